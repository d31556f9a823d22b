//! Builds archives by hand, so that each test can make the one thing wrong that it is about.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Cursor, Write};
use std::path::PathBuf;

use pt2c_ir::Bytes;
use pt2c_pt2::archive::{Archive, ArchiveError};
use pt2c_pt2::{ExportedProgram, LoadError};
use serde_json::{Value, json};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Where the recorded programs are.
pub fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models")
}

/// A recorded program.
pub fn load(name: &str) -> ExportedProgram {
    let path = models().join(format!("{name}.pt2"));
    ExportedProgram::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Names and contents of an archive's entries; `write` makes the zip.
#[derive(Clone)]
pub struct Entries {
    pub root: String,
    pub entries: Vec<(String, Vec<u8>)>,
    pub deflate: bool,
}

impl Entries {
    /// `y = x + w` with one f32 parameter of 2 × 3 elements, as torch would write it.
    pub fn sample() -> Entries {
        let entries = vec![
            ("data/weights/weight_0".to_owned(), vec![0u8; 24]),
            (
                "data/weights/model_weights_config.json".to_owned(),
                text(&json!({"config": {"w": payload("weight_0", &[2, 3], &[3, 1], 0)}})),
            ),
            ("data/constants/model_constants_config.json".to_owned(), text(&json!({"config": {}}))),
            ("models/model.json".to_owned(), text(&program())),
            ("data/sample_inputs/model.pt".to_owned(), Vec::new()),
            ("archive_format".to_owned(), b"pt2".to_vec()),
            ("archive_version".to_owned(), b"0".to_vec()),
            (".data/version".to_owned(), b"6\n".to_vec()),
            ("byteorder".to_owned(), b"little".to_vec()),
        ];
        Entries { root: "sample".to_owned(), entries, deflate: false }
    }

    /// Replaces or adds an entry.
    pub fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Entries {
        let content = content.into();
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = content,
            None => self.entries.push((name.to_owned(), content)),
        }
        self
    }

    /// Replaces the program's JSON after an edit.
    pub fn edit_program(self, edit: impl FnOnce(&mut Value)) -> Entries {
        let mut value = program();
        edit(&mut value);
        self.with("models/model.json", text(&value))
    }

    /// Replaces the weights config.
    pub fn with_weight(self, meta: Value) -> Entries {
        self.with("data/weights/model_weights_config.json", text(&json!({"config": {"w": meta}})))
    }

    pub fn without(mut self, name: &str) -> Entries {
        self.entries.retain(|(n, _)| n != name);
        self
    }

    pub fn write(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let method = if self.deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, content) in &self.entries {
            let full = if self.root.is_empty() { name.clone() } else { format!("{}/{name}", self.root) };
            zip.start_file(full, options).expect("in memory");
            zip.write_all(content).expect("in memory");
        }
        zip.finish().expect("in memory").into_inner()
    }

    pub fn archive(&self) -> Result<Archive, ArchiveError> {
        Archive::from_bytes(Bytes::new(self.write()))
    }

    pub fn load(&self) -> Result<ExportedProgram, LoadError> {
        ExportedProgram::from_archive(&self.archive()?, None)
    }
}

pub fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A f32 `TensorMeta`.
pub fn tensor_meta(sizes: &[i64], strides: &[i64], offset: i64) -> Value {
    let ints = |values: &[i64]| values.iter().map(|v| json!({"as_int": v})).collect::<Vec<_>>();
    json!({
        "dtype": 7, "sizes": ints(sizes), "requires_grad": true,
        "device": {"type": "cpu", "index": null}, "strides": ints(strides),
        "storage_offset": {"as_int": offset}, "layout": 7
    })
}

/// A `PayloadMeta` of a f32 parameter.
pub fn payload(path: &str, sizes: &[i64], strides: &[i64], offset: i64) -> Value {
    json!({
        "path_name": path, "is_param": true, "use_pickle": false,
        "tensor_meta": tensor_meta(sizes, strides, offset)
    })
}

/// The JSON of `y = x + w`.
pub fn program() -> Value {
    let tensor = |name: &str| json!({"as_tensor": {"name": name}});
    let meta = || tensor_meta(&[2, 3], &[3, 1], 0);
    let leaf = json!({"type": null, "context": null, "children_spec": []});
    let tuple = |children: Vec<Value>| json!({"type": "builtins.tuple", "context": "null", "children_spec": children});
    let in_spec = json!([
        1,
        tuple(vec![tuple(vec![leaf.clone()]), json!({"type": "builtins.dict", "context": "[]", "children_spec": []})])
    ]);
    json!({
        "graph_module": {
            "graph": {
                "inputs": [tensor("p_w"), tensor("x")],
                "outputs": [tensor("add")],
                "nodes": [{
                    "target": "torch.ops.aten.add.Tensor",
                    "inputs": [
                        {"name": "self", "arg": tensor("x"), "kind": 1},
                        {"name": "other", "arg": tensor("p_w"), "kind": 1}
                    ],
                    "outputs": [tensor("add")],
                    "metadata": {}, "is_hop_single_tensor_return": null, "name": "add"
                }],
                "tensor_values": {"p_w": meta(), "x": meta(), "add": meta()},
                "sym_int_values": {}, "sym_bool_values": {}, "is_single_tensor_return": false,
                "custom_obj_values": {}, "sym_float_values": {}
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "w"}},
                    {"user_input": {"arg": tensor("x")}}
                ],
                "output_specs": [{"user_output": {"arg": tensor("add")}}]
            },
            "module_call_graph": [{"fqn": "", "signature": {
                "inputs": [], "outputs": [], "in_spec": in_spec.to_string(),
                "out_spec": json!([1, leaf]).to_string(), "forward_arg_names": ["x"]
            }}],
            "metadata": {}, "treespec_namedtuple_fields": {}
        },
        "opset_version": {"aten": 10}, "range_constraints": {},
        "schema_version": {"major": 8, "minor": 20}, "verifiers": ["TRAINING"],
        "torch_version": "2.15.0", "guards_code": []
    })
}

/// A call's inputs from a recording: tensors and integers by leaf position.
pub fn inputs(program: &pt2c_ir::Program, bytes: &[u8]) -> Vec<pt2c_ops::interpret::Input> {
    use pt2c_ir::{DType, InputKind};
    use pt2c_ops::{Tensor, interpret::Input};
    let file = safetensors::SafeTensors::deserialize(bytes).expect("safetensors");
    let tensor = |leaf: usize| {
        let view = file.tensor(&format!("{leaf:04}")).expect("recorded");
        let dtype = match view.dtype() {
            safetensors::Dtype::BOOL => DType::Bool,
            safetensors::Dtype::U8 => DType::U8,
            safetensors::Dtype::I32 => DType::I32,
            safetensors::Dtype::I64 => DType::I64,
            safetensors::Dtype::F16 => DType::F16,
            safetensors::Dtype::BF16 => DType::BF16,
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::F64 => DType::F64,
            other => panic!("{other:?}"),
        };
        Tensor::from_bytes(dtype, view.shape(), view.data()).expect("fits")
    };
    let leaves = program.signature.inputs.iter().enumerate();
    leaves
        .map(|(leaf, spec)| match spec.kind {
            InputKind::Tensor => Input::Tensor(tensor(leaf)),
            InputKind::SymInt(_) => Input::Int(tensor(leaf).i64(0)),
            InputKind::Constant(_) => Input::Baked,
        })
        .collect()
}
