//! A program as loaded: [`ExportedProgram`], in PyTorch's terms, before it becomes IR.

use std::path::Path;

use indexmap::IndexMap;

use pt2c_ir::{Bytes, Diagnostic};

use crate::archive::{Archive, ArchiveError, Layout};
use crate::payload::{Payload, PayloadError, Payloads};
use crate::pytree::TreeSpec;
use crate::schema::{self, Graph, GraphSignature, InputSpec, ModuleCallEntry, RangeConstraint, SchemaError, SymInt};
use crate::torch_save::{SavedValue, TorchSave};

/// Why a program cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The container.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The program's JSON.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A weight or constant.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Several programs, or none of the name asked for.
    #[error("the archive holds the programs {found:?}; {wanted}")]
    NoSuchModel {
        /// Names of those it holds.
        found: Vec<String>,
        /// What was looked for.
        wanted: String,
    },
}

impl From<LoadError> for Diagnostic {
    fn from(error: LoadError) -> Diagnostic {
        let diagnostic = Diagnostic::error(error.to_string());
        match &error {
            LoadError::Archive(ArchiveError::WrongLayout { layout }) => {
                Diagnostic::error(format!("this is {layout}")).help(layout.advice())
            }
            LoadError::Archive(ArchiveError::Io(_)) => diagnostic,
            LoadError::Archive(ArchiveError::Checksum { .. } | ArchiveError::Damaged { .. }) => {
                diagnostic.help("copy or download the file again")
            }
            LoadError::Archive(_) => diagnostic.help("save the program again with torch.export.save"),
            LoadError::Schema(SchemaError::Version { .. }) => diagnostic.help(
                "load it with torch.export.load in a PyTorch that reads this version, and save it again with torch.export.save in a current one",
            ),
            LoadError::Schema(_) | LoadError::Payload(_) => diagnostic,
            LoadError::NoSuchModel { .. } => diagnostic.help("name one of them"),
        }
    }
}

/// A program with its weights: what `torch.export.load` returns.
#[derive(Clone, Debug)]
pub struct ExportedProgram {
    /// Name of the archive's root folder: the base name of the file that was saved, `archive` for a buffer.
    pub archive_name: String,
    /// `model` unless several programs were packaged together.
    pub model_name: String,
    /// The JSON document: graph, signature, module calls, constraints.
    pub program: schema::ExportedProgram,
    /// Parameters and persistent buffers by qualified name.
    pub state_dict: Payloads,
    /// Non-persistent buffers, lifted tensors and custom objects by qualified name.
    pub constants: Payloads,
    /// The pickled example inputs as written, never looked into; empty if there were none.
    pub example_inputs: Bytes,
    /// `extra/NAME` entries.
    pub extra_files: IndexMap<String, Bytes>,
    /// How the flat inputs nest: always `(args, kwargs)`.
    pub in_spec: TreeSpec,
    /// How the flat outputs nest.
    pub out_spec: TreeSpec,
}

impl ExportedProgram {
    /// Opens the only program of an archive, or the one named `model`.
    ///
    /// # Errors
    /// [`LoadError`]: a file of another kind, damage, numbers that do not fit, an unknown schema.
    pub fn open(path: &Path) -> Result<ExportedProgram, LoadError> {
        ExportedProgram::from_archive(&Archive::open(path)?, None)
    }

    /// Opens one program of an archive by name, `None` meaning the only one or `model`.
    ///
    /// # Errors
    /// As [`ExportedProgram::open`].
    pub fn from_archive(archive: &Archive, name: Option<&str>) -> Result<ExportedProgram, LoadError> {
        let parts = match archive.layout() {
            Layout::FlatExport => Parts::flat(archive, name)?,
            _ => Parts::foldered(archive, name)?,
        };
        let Parts { model_name, document, program, state_dict, constants, example_inputs, extra_files } = parts;
        let module = &program.graph_module;
        module.signature.check(&document, &module.graph)?;
        let (in_spec, out_spec) = specs(&document, &program)?;
        let program = ExportedProgram {
            archive_name: archive.root().to_owned(),
            model_name,
            program,
            state_dict,
            constants,
            example_inputs,
            extra_files,
            in_spec,
            out_spec,
        };
        program.check_payloads()?;
        Ok(program)
    }

    /// Checks that the root's pytrees, as text, are readable and have the leaves that the signature has.
    ///
    /// # Errors
    /// [`SchemaError::Value`].
    pub(crate) fn check_specs(&self, document: &str) -> Result<(), SchemaError> {
        specs(document, &self.program).map(|_| ())
    }

    /// The example inputs as they were saved: the positional ones and those by keyword; `None` if there are none.
    ///
    /// # Errors
    /// [`PayloadError`] if they hold anything but plain values and tensors, or are damaged. The program itself does
    /// not depend on them.
    pub fn sample_inputs(&self) -> Result<Option<(Vec<SavedValue>, Vec<(SavedValue, SavedValue)>)>, PayloadError> {
        if self.example_inputs.is_empty() {
            return Ok(None);
        }
        let path = "the example inputs";
        let value = TorchSave::open(path, self.example_inputs.clone())?.into_value()?;
        match value {
            SavedValue::Tuple(pair) => match <[SavedValue; 2]>::try_from(pair) {
                Ok([SavedValue::Tuple(args) | SavedValue::List(args), SavedValue::Dict(kwargs)]) => {
                    Ok(Some((args, kwargs)))
                }
                _ => Err(PayloadError::Malformed { path: path.to_owned(), reason: "it is no pair (args, kwargs)" }),
            },
            SavedValue::None => Ok(None),
            _ => Err(PayloadError::Malformed { path: path.to_owned(), reason: "it is no pair (args, kwargs)" }),
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.program.graph_module.graph
    }

    /// What the graph's inputs and outputs are.
    pub fn graph_signature(&self) -> &GraphSignature {
        &self.program.graph_module.signature
    }

    /// Bounds by expression.
    pub fn range_constraints(&self) -> &IndexMap<String, RangeConstraint> {
        &self.program.range_constraints
    }

    /// Calls of modules, the root first.
    pub fn module_call_graph(&self) -> &[ModuleCallEntry] {
        &self.program.graph_module.module_call_graph
    }

    /// Parameter names of `forward`; empty if an older torch did not write them.
    pub fn forward_arg_names(&self) -> &[String] {
        self.module_call_graph()
            .first()
            .and_then(|entry| entry.signature.as_ref())
            .and_then(|signature| signature.forward_arg_names.as_deref())
            .unwrap_or(&[])
    }

    /// Names of the input leaves, such as `inputs["a"][0]`.
    pub fn input_names(&self) -> Vec<String> {
        self.in_spec.input_names(self.forward_arg_names())
    }

    /// Names of the output leaves, such as `output.logits`.
    pub fn output_names(&self) -> Vec<String> {
        self.out_spec.output_names()
    }

    /// The payload of a parameter, buffer or constant, wherever it is kept. Non-persistent buffers are among the constants.
    ///
    /// # Errors
    /// [`PayloadError::Pickled`] if only Python can decode it.
    pub fn tensor(&self, fqn: &str) -> Result<Option<&crate::payload::StoredTensor>, PayloadError> {
        match self.state_dict.tensor(fqn)? {
            Some(tensor) => Ok(Some(tensor)),
            None => self.constants.tensor(fqn),
        }
    }

    /// Checks that data is there for every parameter, buffer and constant of the signature.
    fn check_payloads(&self) -> Result<(), PayloadError> {
        for spec in &self.graph_signature().input_specs {
            let kind = match spec {
                InputSpec::Parameter(_) => "parameter",
                InputSpec::Buffer(_) => "buffer",
                InputSpec::TensorConstant(_) => "constant",
                _ => continue,
            };
            let Some(fqn) = spec.target() else { continue };
            let has = |payloads: &Payloads| payloads.entries.contains_key(fqn);
            if !has(&self.state_dict) && !has(&self.constants) {
                return Err(PayloadError::MissingTensor { kind, fqn: fqn.to_owned() });
            }
        }
        Ok(())
    }
}

/// What the layouts hold, read from wherever each keeps it.
struct Parts {
    model_name: String,
    document: String,
    program: schema::ExportedProgram,
    state_dict: Payloads,
    constants: Payloads,
    example_inputs: Bytes,
    extra_files: IndexMap<String, Bytes>,
}

impl Parts {
    /// torch 2.8 and later: a root folder; weights raw, or (2.8) pickled in one file.
    fn foldered(archive: &Archive, name: Option<&str>) -> Result<Parts, LoadError> {
        let model_name = choose_model(archive, name)?;
        let document = format!("models/{model_name}.json");
        let program = schema::read_program(&document, &archive.read_json(&document)?)?;
        let payloads = |folder: &str, what: &str| {
            let pickled = format!("data/{folder}/{model_name}.pt");
            match archive.contains(&pickled) {
                true => pickled_payloads(archive, &pickled, &program),
                false => Payloads::read(archive, &format!("data/{folder}/{model_name}_{what}_config.json")),
            }
        };
        let state_dict = payloads("weights", "weights")?;
        let constants = payloads("constants", "constants")?;
        let example_inputs = optional(archive, &format!("data/sample_inputs/{model_name}.pt"))?;
        let extra_files = below(archive, "extra/")?;
        Ok(Parts { model_name, document, program, state_dict, constants, example_inputs, extra_files })
    }

    /// torch 2.1 to 2.7: no folder, pickled weights (named `.json` up to 2.2).
    fn flat(archive: &Archive, name: Option<&str>) -> Result<Parts, LoadError> {
        let model_name = "model".to_owned();
        if let Some(name) = name.filter(|&name| name != model_name) {
            return Err(LoadError::NoSuchModel { found: vec![model_name], wanted: format!("none is named {name:?}") });
        }
        let document = "serialized_exported_program.json".to_owned();
        let json = archive.read_json(&document)?;
        let mut program = schema::read_program(&document, &json)?;
        let payloads = |part: &str| {
            let names = [format!("serialized_{part}.pt"), format!("serialized_{part}.json")];
            match names.iter().find(|name| archive.contains(name)) {
                Some(name) => pickled_payloads(archive, name, &program),
                // torch 2.1 has no constants.
                None => Ok(Payloads::default()),
            }
        };
        let state_dict = payloads("state_dict")?;
        let mut constants = payloads("constants")?;
        // torch 2.1 writes constants into the document.
        for (name, bytes) in schema::embedded_constants(&document, &json)? {
            embed(&mut program, &mut constants, name, bytes)?;
        }
        let example_inputs = optional(archive, "serialized_example_inputs.pt")?;
        let extra_files = below(archive, "extra_files/")?;
        Ok(Parts { model_name, document, program, state_dict, constants, example_inputs, extra_files })
    }
}

/// A constant that the graph uses by name becomes an input of the graph, as in later versions.
fn embed(
    program: &mut schema::ExportedProgram,
    constants: &mut Payloads,
    name: String,
    bytes: Vec<u8>,
) -> Result<(), PayloadError> {
    let SavedValue::Tensor(tensor) = TorchSave::open(&name, Bytes::new(bytes))?.into_value()? else {
        return Err(PayloadError::Malformed { path: name, reason: "it is no tensor" });
    };
    let ints = |values: &[u64]| values.iter().map(|&v| SymInt::AsInt(i64::try_from(v).unwrap_or(i64::MAX))).collect();
    let module = &mut program.graph_module;
    let meta = schema::TensorMeta {
        dtype: tensor.dtype,
        sizes: ints(&tensor.sizes),
        requires_grad: tensor.requires_grad,
        device: tensor.device.clone(),
        strides: ints(&tensor.strides),
        storage_offset: SymInt::AsInt(0),
        layout: schema::Layout::Strided,
    };
    let arg = schema::TensorArgument { name: name.clone() };
    let spec = schema::InputToTensorConstantSpec { arg: arg.clone(), tensor_constant_name: name.clone() };
    // In front of what the caller passes.
    let specs = &mut module.signature.input_specs;
    let at = specs.iter().position(InputSpec::is_leaf).unwrap_or(specs.len());
    specs.insert(at, InputSpec::TensorConstant(spec));
    module.graph.inputs.insert(at.min(module.graph.inputs.len()), schema::Argument::AsTensor(arg));
    module.graph.tensor_values.insert(name.clone(), meta);
    constants.entries.insert(name, Payload::Tensor(*tensor));
    Ok(())
}

/// The tensors of a `torch.save` entry; which are parameters, the signature knows.
fn pickled_payloads(
    archive: &Archive,
    entry: &str,
    program: &schema::ExportedProgram,
) -> Result<Payloads, PayloadError> {
    let bytes = archive.read(entry)?;
    if bytes.is_empty() {
        return Ok(Payloads::default());
    }
    let parameters: std::collections::BTreeSet<&str> =
        program.graph_module.signature.inputs_to_parameters().map(|(_, fqn)| fqn).collect();
    TorchSave::open(entry, bytes)?.state_dict(&|fqn| parameters.contains(fqn))
}

/// An entry's bytes; none if it is not there.
fn optional(archive: &Archive, entry: &str) -> Result<Bytes, ArchiveError> {
    match archive.contains(entry) {
        true => archive.read(entry),
        false => Ok(Bytes::new(Vec::new())),
    }
}

/// All entries of a folder by their names in it.
fn below(archive: &Archive, folder: &str) -> Result<IndexMap<String, Bytes>, ArchiveError> {
    let names = archive.names().filter_map(|entry| Some((entry, entry.strip_prefix(folder)?)));
    names.map(|(entry, name)| Ok((name.to_owned(), archive.read(entry)?))).collect()
}

/// Which program of the archive is meant.
fn choose_model(archive: &Archive, name: Option<&str>) -> Result<String, LoadError> {
    let found: Vec<String> = archive
        .names()
        .filter_map(|entry| entry.strip_prefix("models/")?.strip_suffix(".json"))
        .map(str::to_owned)
        .collect();
    let wanted = match (name, found.as_slice()) {
        (None, [only]) => return Ok(only.clone()),
        (None, _) => "model",
        (Some(name), _) => name,
    };
    if found.iter().any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    let wanted = match name {
        Some(name) => format!("none is named {name:?}"),
        None => "name the one to use".to_owned(),
    };
    Err(LoadError::NoSuchModel { found, wanted })
}

/// The pytrees of inputs and outputs, checked against the signature's leaves.
fn specs(document: &str, program: &schema::ExportedProgram) -> Result<(TreeSpec, TreeSpec), SchemaError> {
    let module = &program.graph_module;
    let signature = module
        .module_call_graph
        .first()
        .filter(|entry| entry.fqn.is_empty())
        .and_then(|entry| entry.signature.as_ref())
        .ok_or_else(|| {
            SchemaError::value(
                document,
                "graph_module.module_call_graph",
                "its first entry must be the program's own (fqn \"\") with a signature",
            )
        })?;
    let parse = |what: &str, text: &str, leaves: usize| {
        let path = format!("graph_module.module_call_graph[0].signature.{what}");
        let spec = TreeSpec::parse(&format!("{document}: {path}"), text, &module.treespec_namedtuple_fields)?;
        if spec.leaf_count() == leaves {
            return Ok(spec);
        }
        Err(SchemaError::value(
            document,
            path,
            format!("{} leaves for {leaves} specs of the signature", spec.leaf_count()),
        ))
    };
    let inputs = module.signature.input_specs.iter().filter(|s| s.is_leaf()).count();
    let outputs = module.signature.output_specs.iter().filter(|s| s.is_leaf()).count();
    Ok((parse("in_spec", &signature.in_spec, inputs)?, parse("out_spec", &signature.out_spec, outputs)?))
}
