//! Programs that write to their tensors, imported: the mutation outputs are those that PyTorch's
//! `run_decompositions()` reports, and the functional program computes what eager PyTorch computed, the changed
//! buffers and inputs included. Recorded by tests/models/record_effects.py.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::models;
use indexmap::IndexMap;
use pt2c_ir::{Arg, DType, InputKind, NodeKind, OutputKind, Program};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, run};
use pt2c_pt2::schema::InputSpec;
use pt2c_pt2::{ExportedProgram, import};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    models().join("effects")
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("there")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".pt2")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    names
}

fn load(name: &str) -> (ExportedProgram, Program) {
    let exported = common::load(&format!("effects/{name}"));
    let imported = import(&exported).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(imported.warnings.is_empty(), "{name}: {:?}", imported.warnings);
    (exported, imported.program)
}

/// `["buffer_mutation", "a"]` for each mutation output.
fn effects(exported: &ExportedProgram, program: &Program) -> Vec<(String, String)> {
    // PyTorch names a user input by its value in the graph.
    let leaves: Vec<&InputSpec> = exported.graph_signature().input_specs.iter().filter(|s| s.is_leaf()).collect();
    let outputs = program.signature.outputs.iter();
    outputs
        .filter_map(|output| match &output.kind {
            OutputKind::BufferMutation(name) => Some(("buffer_mutation".to_owned(), name.clone())),
            OutputKind::InputMutation(index) => {
                Some(("user_input_mutation".to_owned(), leaves[*index].name().to_owned()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn mutation_outputs_are_pytorchs() {
    for name in names() {
        let (exported, program) = load(&name);
        let text = std::fs::read_to_string(folder().join(format!("{name}.effects.json"))).expect("recorded");
        let expected: Vec<(String, String)> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(effects(&exported, &program), expected, "{name}");
    }
}

#[test]
fn no_operator_writes() {
    for name in names() {
        let (_, program) = load(&name);
        for (_, node) in program.graph.nodes() {
            if let NodeKind::Call { op, .. } = &node.kind {
                let base = op.split('.').nth(1).unwrap_or("");
                assert!(!base.ends_with('_') || base.ends_with("__"), "{name}: {op}");
            }
        }
    }
}

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let Ok(bytes) = std::fs::read(path) else { return BTreeMap::new() };
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    file.iter()
        .map(|(name, view)| {
            let dtype = match view.dtype() {
                safetensors::Dtype::BF16 => DType::BF16,
                safetensors::Dtype::F16 => DType::F16,
                safetensors::Dtype::F32 => DType::F32,
                safetensors::Dtype::F64 => DType::F64,
                safetensors::Dtype::I64 => DType::I64,
                other => panic!("{other:?}"),
            };
            (name.to_owned(), Tensor::from_bytes(dtype, view.shape(), view.data()).expect("fits"))
        })
        .collect()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{what}");
    // A result in half precision may round the other way where the sum inside was taken in another order.
    let tolerance = if found.dtype().size() == 2 { 1e-2 } else { 1e-5 };
    for (i, (a, b)) in found.to_f64s().iter().zip(expected.to_f64s()).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}[{i}]: {a}, PyTorch has {b}");
    }
}

#[test]
fn values_are_those_of_eager_pytorch() {
    for name in names() {
        let (_, program) = load(&name);
        let recorded = |kind: &str| tensors(&folder().join(format!("{name}.{kind}.safetensors")));
        let given = recorded("inputs");
        let inputs: Vec<Input> = program
            .signature
            .inputs
            .iter()
            .enumerate()
            .map(|(index, spec)| match spec.kind {
                InputKind::Tensor => Input::Tensor(given[&format!("{index:04}")].clone()),
                _ => Input::Baked,
            })
            .collect();
        let outcome = run(&program, &inputs, &IndexMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (index, expected) in recorded("outputs") {
            let Arg::Tensor(found) = &outcome.outputs[index.parse::<usize>().expect("a number")] else {
                panic!("{name}: output {index} is no tensor");
            };
            assert_close(&format!("{name} output {index}"), found, &expected);
        }
        for (buffer, expected) in recorded("state") {
            assert_close(&format!("{name} buffer {buffer}"), &outcome.buffers[&buffer], &expected);
        }
        for (index, expected) in recorded("after") {
            let found = &outcome.inputs[&index.parse::<usize>().expect("a number")];
            assert_close(&format!("{name} input {index}"), found, &expected);
        }
    }
}
