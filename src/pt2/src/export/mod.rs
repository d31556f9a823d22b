//! `export`: an IR program becomes an [`ExportedProgram`] again, so that what the passes did can be saved, looked at
//! and run by PyTorch.
//!
//! The opposite of [`crate::import()`]. Every operator must be ATen's (a program with primitives has no form in an
//! archive). The result is functional: what import found out about writes stands in the signature as mutations, as
//! after PyTorch's `run_decompositions()`. With the archive that the program came from, names, signature, module
//! calls, guards and source lines are kept.

mod expr;
mod nodes;
mod numbers;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use pt2c_ir::dim::Symbol;
use pt2c_ir::{Arg, Bytes, DType, Fact, InputKind, Location, OutputKind, Program, TensorRole};

pub use expr::{srepr, srepr_pred};
use nodes::{Names, Nodes, named};
pub use writer::{Hints, Writer};

use crate::ExportedProgram;
use crate::import::{location, schemas};
use crate::payload::{Payload, Payloads, Storage, StoredTensor};
use crate::pytree::TreeSpec;
use crate::save::WRITTEN_SCHEMA;
use crate::schema::{
    self, Argument, ConstantValue, Device, Float, Graph, GraphModule, GraphSignature, InputSpec, ModuleCallEntry,
    ModuleCallSignature, OutputSpec, RangeConstraint, ScalarType, SymExprHint, SymInt, SymIntArgument, TensorArgument,
};
use crate::signature::argument_name;

/// Why a program has no form in an archive.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An operator of the compiler's own.
    #[error(
        "{op} is a primitive of the compiler: archives hold ATen operators, so save the program before it is lowered to primitives"
    )]
    Primitive {
        /// Its name.
        op: String,
    },
    /// An argument that the archive's schema cannot express.
    #[error("argument {argument:?} of {op} {reason}")]
    Argument {
        /// The operator.
        op: String,
        /// The parameter's name.
        argument: String,
        /// What is wrong.
        reason: String,
    },
    /// A size that no input determines, or without a form in Python.
    #[error("the size {size} cannot be computed from the sizes of the inputs")]
    Size {
        /// The expression.
        size: String,
    },
    /// A tensor without bytes.
    #[error("the tensor {name:?} has no data")]
    MissingData {
        /// Its name.
        name: String,
    },
    /// A value that is used but not defined.
    #[error("the value {name:?} does not exist")]
    Undefined {
        /// Its name.
        name: String,
    },
    /// An operator that inference refuses.
    #[error("{op}: {reason}")]
    Call {
        /// The operator.
        op: String,
        /// In the operator table's words.
        reason: String,
    },
}

/// Makes an archive's program of an IR program. `base` is the archive that it was imported from, if any.
///
/// # Errors
/// [`ExportError`] for primitives, regions and sizes that come out of the data.
pub fn export(program: &Program, base: Option<&ExportedProgram>) -> Result<ExportedProgram, ExportError> {
    let mut graph = Graph::default();
    let hints = base.map(hints_of).unwrap_or_else(|| default_hints(program));
    let metadata = base.map(metadata_by_location).unwrap_or_default();
    let mut values = Names::new();
    let mut specs = Vec::new();
    let mut state_dict = base.map(|base| base.state_dict.clone()).unwrap_or_default();
    let mut constants = base.map(|base| base.constants.clone()).unwrap_or_default();

    let mut writer = Writer::new(&mut graph, hints);
    let names = inputs(program, base, &mut writer, &mut specs, &mut state_dict, &mut constants)?;
    values.extend(program.graph.inputs().zip(names.inputs.iter().cloned()));
    Nodes::new(program, &metadata, &names.tensors).write(&program.graph, &mut writer, &mut values)?;
    let output_specs = outputs(program, base, &mut writer, &values, &names)?;

    let functional = graph.nodes.iter().all(|node| {
        let schema = schemas::schema(&schemas::op_name(&node.target));
        schema.is_none_or(|schema| !schema.params.iter().any(|param| param.mutated))
    });
    let signature = GraphSignature { input_specs: specs, output_specs };
    let module = match base {
        Some(base) => {
            let module_call_graph = module_calls(base, &graph);
            GraphModule { graph, signature, module_call_graph, ..base.program.graph_module.clone() }
        }
        None => GraphModule { graph, signature, module_call_graph: vec![root_call(program)], ..GraphModule::default() },
    };
    let described = match base {
        Some(base) => schema::ExportedProgram { graph_module: module, ..base.program.clone() },
        None => schema::ExportedProgram { graph_module: module, range_constraints: ranges(program), ..empty_program() },
    };
    let described = schema::ExportedProgram {
        verifiers: vec![if functional { "ATEN" } else { "TRAINING" }.to_owned()],
        schema_version: WRITTEN_SCHEMA,
        ..described
    };
    Ok(ExportedProgram {
        archive_name: base.map_or_else(|| program.name.clone(), |base| base.archive_name.clone()),
        model_name: base.map_or_else(|| "model".to_owned(), |base| base.model_name.clone()),
        in_spec: base.map_or_else(|| tree(program.signature.input_tree.as_ref()), |base| base.in_spec.clone()),
        out_spec: base.map_or_else(|| tree(program.signature.output_tree.as_ref()), |base| base.out_spec.clone()),
        program: described,
        state_dict,
        constants,
        example_inputs: base.map_or_else(|| Bytes::new(Vec::new()), |base| base.example_inputs.clone()),
        extra_files: base.map(|base| base.extra_files.clone()).unwrap_or_default(),
    })
}

/// A document without content, as torch 2.15 would begin one.
pub(crate) fn empty_program() -> schema::ExportedProgram {
    schema::ExportedProgram {
        opset_version: IndexMap::from([("aten".to_owned(), 10)]),
        schema_version: WRITTEN_SCHEMA,
        verifiers: vec!["ATEN".to_owned()],
        torch_version: "2.15.0".to_owned(),
        ..schema::ExportedProgram::default()
    }
}

/// Names of the values that stand for tensors of the program, and for its tensor inputs in order.
struct InputNames {
    tensors: BTreeMap<String, String>,
    inputs: Vec<String>,
    /// Names of user inputs by leaf, tensors or not.
    leaves: Vec<String>,
}

/// The graph's inputs: those of the base, then tensors that passes added, in PyTorch's order of kinds.
fn inputs(
    program: &Program,
    base: Option<&ExportedProgram>,
    writer: &mut Writer<'_>,
    specs: &mut Vec<InputSpec>,
    state_dict: &mut Payloads,
    constants: &mut Payloads,
) -> Result<InputNames, ExportError> {
    let mut names = InputNames { tensors: BTreeMap::new(), inputs: Vec::new(), leaves: Vec::new() };
    let mut arguments = Vec::new();
    let base_specs = base.map(|base| base.graph_signature().input_specs.as_slice()).unwrap_or(&[]);
    let base_inputs = base.map(|base| base.graph().inputs.as_slice()).unwrap_or(&[]);
    // The base's names come first, so that new ones make way. Tokens are gone: the order of nodes is the order of effects.
    let kept = |spec: &InputSpec| !spec.is_leaf() && !matches!(spec, InputSpec::Token(_));
    for (spec, argument) in base_specs.iter().zip(base_inputs).filter(|(spec, _)| kept(spec)) {
        if let Some(base) = base
            && let Some(name) = argument_name(argument)
        {
            writer.unique(name);
            if let Some(meta) = base.graph().tensor_values.get(name) {
                writer.graph().tensor_values.insert(name.to_owned(), meta.clone());
            }
            if let Some(fqn) = spec.target() {
                names.tensors.insert(fqn.to_owned(), name.to_owned());
            }
        }
        specs.push(spec.clone());
        arguments.push(argument.clone());
    }
    for (spec, argument) in base_specs.iter().zip(base_inputs).filter(|(spec, _)| spec.is_leaf()) {
        if matches!(spec, InputSpec::UserInput(_))
            && let Some(name) = argument_name(argument)
        {
            writer.unique(name);
        }
    }
    for kind in [TensorRole::Parameter, TensorRole::Buffer { persistent: true }, TensorRole::Constant] {
        for (fqn, entry) in &program.tensors {
            let same_kind = std::mem::discriminant(&entry.role) == std::mem::discriminant(&kind);
            if !same_kind || names.tensors.contains_key(fqn) {
                continue;
            }
            // A name that attributes can have: PyTorch makes attributes of them.
            let fqn_written = attribute_name(fqn);
            let prefix = match entry.role {
                TensorRole::Parameter => "p",
                TensorRole::Buffer { .. } => "b",
                TensorRole::Constant => "c",
            };
            let name = writer.unique(&format!("{prefix}_{}", fqn_written.replace('.', "_")));
            writer.declare(&name, &entry.fact)?;
            let stored = stored(fqn, entry.data.as_ref(), entry.role)?;
            let arg = TensorArgument { name: name.clone() };
            arguments.push(Argument::AsTensor(arg.clone()));
            let (payloads, spec) = match entry.role {
                TensorRole::Parameter => (
                    &mut *state_dict,
                    InputSpec::Parameter(schema::InputToParameterSpec { arg, parameter_name: fqn_written.clone() }),
                ),
                TensorRole::Buffer { persistent } => (
                    if persistent { &mut *state_dict } else { &mut *constants },
                    InputSpec::Buffer(schema::InputToBufferSpec { arg, buffer_name: fqn_written.clone(), persistent }),
                ),
                TensorRole::Constant => (
                    &mut *constants,
                    InputSpec::TensorConstant(schema::InputToTensorConstantSpec {
                        arg,
                        tensor_constant_name: fqn_written.clone(),
                    }),
                ),
            };
            payloads.entries.insert(fqn_written, Payload::Tensor(stored));
            specs.push(spec);
            names.tensors.insert(fqn.clone(), name);
        }
    }
    let base_leaves: Vec<_> = base_specs.iter().zip(base_inputs).filter(|(spec, _)| spec.is_leaf()).collect();
    let mut facts = program.graph.inputs();
    for (leaf, spec) in program.signature.inputs.iter().enumerate() {
        let base_leaf = base_leaves.get(leaf);
        let wanted = base_leaf.and_then(|(_, argument)| argument_name(argument)).map(str::to_owned);
        match &spec.kind {
            InputKind::Tensor => {
                let value = facts.next();
                let fact = value.and_then(|value| program.graph.fact(value));
                let (Some(value), Some(fact)) = (value, fact) else {
                    return Err(ExportError::Undefined { name: spec.name.clone() });
                };
                let name = match wanted {
                    Some(name) => name,
                    None => writer.unique(&identifier(&program.graph.value_name(value))),
                };
                let meta = base.and_then(|base| base.graph().tensor_values.get(&name)).cloned();
                match meta {
                    Some(meta) => {
                        writer.graph().tensor_values.insert(name.clone(), meta);
                    }
                    None => writer.declare(&name, fact)?,
                }
                writer.bind_sizes(&name, &fact.shape);
                let argument = Argument::AsTensor(TensorArgument { name: name.clone() });
                specs.push(InputSpec::UserInput(schema::UserInputSpec { arg: argument.clone() }));
                arguments.push(argument);
                names.inputs.push(name.clone());
                names.leaves.push(name);
            }
            InputKind::SymInt(symbol) => {
                let name = match wanted {
                    Some(name) => name,
                    None => writer.unique(&identifier(&spec.name)),
                };
                writer.bind_input(&name, symbol);
                let known = base.and_then(|base| base.graph().sym_int_values.get(&name)).cloned();
                let value = match known {
                    Some(value) => value,
                    None => writer.sym_int(&pt2c_ir::dim::Dim::sym(symbol.clone()))?,
                };
                writer.graph().sym_int_values.insert(name.clone(), value);
                let argument = Argument::AsSymInt(SymIntArgument::AsName(name.clone()));
                specs.push(InputSpec::UserInput(schema::UserInputSpec { arg: argument.clone() }));
                arguments.push(argument);
                names.leaves.push(name);
            }
            InputKind::Constant(value) => match base_leaf {
                Some((spec, argument)) => {
                    specs.push((*spec).clone());
                    arguments.push((*argument).clone());
                    names.leaves.push(spec.name().to_owned());
                }
                None => {
                    let name = writer.unique(&identifier(&spec.name));
                    let value = constant(value).ok_or_else(|| ExportError::Argument {
                        op: "the signature".to_owned(),
                        argument: spec.name.clone(),
                        reason: "is a constant of a kind that archives do not have".to_owned(),
                    })?;
                    arguments.push(constant_argument(&value));
                    names.leaves.push(name.clone());
                    specs.push(InputSpec::ConstantInput(schema::InputToConstantInputSpec { name, value }));
                }
            },
        }
    }
    writer.graph().inputs = arguments;
    Ok(names)
}

/// What the graph returns, and what each of it is.
fn outputs(
    program: &Program,
    base: Option<&ExportedProgram>,
    writer: &mut Writer<'_>,
    values: &Names,
    names: &InputNames,
) -> Result<Vec<OutputSpec>, ExportError> {
    let mut specs = Vec::new();
    let mut arguments = Vec::new();
    writer.set_metadata(IndexMap::new());
    // Constants among the outputs (strings, bools) stay as the base writes them.
    let base_leaves: Vec<Argument> = base
        .map(|base| {
            let specs = base.graph_signature().output_specs.iter().zip(&base.graph().outputs);
            specs.filter(|(spec, _)| spec.is_leaf()).map(|(_, argument)| argument.clone()).collect()
        })
        .unwrap_or_default();
    let mut leaf = 0;
    // PyTorch finds mutations by the names of their values, which differ therefore (tied tensors have one value).
    let mut mutations = BTreeSet::new();
    for (spec, arg) in program.signature.outputs.iter().zip(&program.graph.outputs) {
        let is_leaf = matches!(spec.kind, OutputKind::User | OutputKind::Loss);
        let argument = match arg {
            Arg::Tensor(value) => {
                let name = named(values, &program.graph, *value)?;
                match base_leaves.get(leaf).filter(|_| is_leaf) {
                    // A number in Python.
                    Some(Argument::AsSymFloat(_) | Argument::AsSymBool(_)) => {
                        let fact = program.graph.fact(*value);
                        writer.number(&name, fact.is_some_and(|fact| fact.dtype == DType::Bool))?
                    }
                    _ if !is_leaf && !mutations.insert(name.clone()) => {
                        let fact = program.graph.fact(*value).cloned();
                        let fact = fact.ok_or_else(|| ExportError::Undefined { name: name.clone() })?;
                        let args = [Arg::Tensor(name), Arg::None];
                        let copy = writer.call("aten.clone.default", &args, "clone", &[fact], &|_| true)?;
                        Argument::AsTensor(TensorArgument { name: copy.into_iter().next().unwrap_or_default() })
                    }
                    _ => Argument::AsTensor(TensorArgument { name }),
                }
            }
            Arg::Int(dim) => match dim.as_int() {
                Some(value) => Argument::AsInt(value),
                None => Argument::AsSymInt(SymIntArgument::AsName(writer.size(dim)?)),
            },
            Arg::None => Argument::AsNone(true),
            Arg::Float(value) => Argument::AsFloat(Float(*value)),
            Arg::Bool(value) => Argument::AsBool(*value),
            Arg::Str(value) => Argument::AsString(value.clone()),
            _ => base_leaves.get(leaf).cloned().ok_or_else(|| ExportError::Argument {
                op: "the signature".to_owned(),
                argument: spec.name.clone(),
                reason: "is an output of a kind that archives do not have".to_owned(),
            })?,
        };
        leaf += usize::from(is_leaf);
        let tensor = || match &argument {
            Argument::AsTensor(tensor) => Ok(tensor.clone()),
            _ => Err(ExportError::Argument {
                op: "the signature".to_owned(),
                argument: spec.name.clone(),
                reason: "is no tensor".to_owned(),
            }),
        };
        let user_input = |index: &usize| {
            names.leaves.get(*index).cloned().ok_or_else(|| ExportError::Undefined { name: spec.name.clone() })
        };
        specs.push(match &spec.kind {
            OutputKind::User => OutputSpec::UserOutput(schema::UserOutputSpec { arg: argument.clone() }),
            OutputKind::Loss => OutputSpec::LossOutput(schema::LossOutputSpec { arg: tensor()? }),
            OutputKind::BufferMutation(fqn) => {
                let parameter = program.tensors.get(fqn).is_some_and(|entry| entry.role == TensorRole::Parameter);
                match parameter {
                    true => OutputSpec::ParameterMutation(schema::ParameterMutationSpec {
                        arg: tensor()?,
                        parameter_name: fqn.clone(),
                    }),
                    false => OutputSpec::BufferMutation(schema::BufferMutationSpec {
                        arg: tensor()?,
                        buffer_name: fqn.clone(),
                    }),
                }
            }
            OutputKind::InputMutation(index) => OutputSpec::UserInputMutation(schema::UserInputMutationSpec {
                arg: tensor()?,
                user_input_name: user_input(index)?,
            }),
            OutputKind::GradientOfParameter(fqn) => OutputSpec::GradientToParameter(schema::GradientToParameterSpec {
                arg: tensor()?,
                parameter_name: fqn.clone(),
            }),
            OutputKind::GradientOfInput(index) => OutputSpec::GradientToUserInput(schema::GradientToUserInputSpec {
                arg: tensor()?,
                user_input_name: user_input(index)?,
            }),
        });
        arguments.push(argument);
    }
    writer.graph().outputs = arguments;
    Ok(specs)
}

/// A tensor's bytes as a stored tensor.
fn stored(name: &str, data: Option<&pt2c_ir::TensorData>, role: TensorRole) -> Result<StoredTensor, ExportError> {
    let data = data.ok_or_else(|| ExportError::MissingData { name: name.to_owned() })?;
    let mut tensor = StoredTensor::dense(data);
    tensor.is_param = role == TensorRole::Parameter;
    tensor.requires_grad = tensor.is_param && data.dtype().is_float();
    Ok(tensor)
}

impl StoredTensor {
    /// A tensor of its own storage, row-major: what a program made in Rust stores.
    pub fn dense(data: &pt2c_ir::TensorData) -> StoredTensor {
        let sizes: Vec<u64> = data.sizes().iter().map(|&size| size as u64).collect();
        let mut strides = vec![1u64; sizes.len()];
        for i in (1..sizes.len()).rev() {
            if let (Some(&stride), Some(&size)) = (strides.get(i), sizes.get(i))
                && let Some(slot) = strides.get_mut(i - 1)
            {
                *slot = stride.saturating_mul(size.max(1));
            }
        }
        StoredTensor {
            storage: Arc::new(Storage { path: String::new(), bytes: Bytes::new(data.to_dense().into_owned()) }),
            dtype: ScalarType::from(data.dtype()),
            sizes,
            strides,
            offset: 0,
            element_size: data.dtype().size() as u64,
            is_param: false,
            requires_grad: false,
            device: Device { kind: "cpu".to_owned(), index: None },
        }
    }
}

/// Example values of the symbols, from the expressions that an archive stores them with.
pub(crate) fn hints_of(base: &ExportedProgram) -> Hints {
    let mut hints = Hints::new();
    let metas = base.graph().tensor_values.values().flat_map(|meta| meta.sizes.iter());
    for value in metas.chain(base.graph().sym_int_values.values()) {
        if let SymInt::AsExpr(expr) = value
            && let Some(SymExprHint::AsInt(hint)) = expr.hint
            && let Ok(dim) = crate::import::dim_of(&expr.expr_str)
            && let Some(symbol) = dim.as_symbol()
        {
            hints.entry(symbol.clone()).or_insert(hint);
        }
    }
    hints
}

/// An example value for each symbol of a program that has none: small, in range, and different from the others'.
fn default_hints(program: &Program) -> Hints {
    let hint = |(index, (symbol, range)): (usize, (&Symbol, pt2c_ir::dim::Interval))| {
        let least = range.min.unwrap_or(2).max(2);
        let wanted = least.saturating_add(index as i64);
        (symbol.clone(), range.max.map_or(wanted, |max| wanted.min(max)))
    };
    program.scope.symbols().enumerate().map(hint).collect()
}

/// The whole metadata of the archive's nodes by the place that they name.
fn metadata_by_location(base: &ExportedProgram) -> BTreeMap<Location, IndexMap<String, String>> {
    let mut known = BTreeMap::new();
    for node in &base.graph().nodes {
        known.entry(location::of_node(node)).or_insert_with(|| node.metadata.clone());
    }
    known
}

/// What a place says as a node's metadata.
pub(crate) fn metadata_of(place: &Location) -> IndexMap<String, String> {
    let mut metadata = IndexMap::new();
    if !place.file.is_empty() {
        let trace = format!("File \"{}\", line {}, in {}\n    {}", place.file, place.line, place.function, place.code);
        metadata.insert("stack_trace".to_owned(), trace);
    }
    if !place.module.is_empty() {
        let key = place.module.replace('.', "_");
        let stack = format!("L__self__,,torch.nn.modules.module.Module;{key},{},{}", place.module, place.module_class);
        metadata.insert("nn_module_stack".to_owned(), stack);
    }
    metadata
}

/// Ranges of the symbols as the archive states them.
fn ranges(program: &Program) -> IndexMap<String, RangeConstraint> {
    let range = |(symbol, range): (&Symbol, pt2c_ir::dim::Interval)| {
        (symbol.to_string(), RangeConstraint { min_val: range.min, max_val: range.max })
    };
    program.scope.symbols().map(range).collect()
}

/// A pytree of the IR in the archive's terms.
fn tree(spec: Option<&pt2c_ir::TreeSpec>) -> TreeSpec {
    spec.map(TreeSpec::from_ir).unwrap_or_else(TreeSpec::leaf)
}

/// The base's module calls. What they take or return and the graph does not have any more, because nothing used it, is
/// None there.
fn module_calls(base: &ExportedProgram, graph: &Graph) -> Vec<ModuleCallEntry> {
    let mut calls = base.module_call_graph().to_vec();
    let before = &base.graph().tensor_values;
    let is_there = |name: &str| match (before.get(name), graph.tensor_values.get(name)) {
        (Some(before), Some(now)) => before.dtype == now.dtype && before.sizes == now.sizes,
        _ => false,
    };
    for signature in calls.iter_mut().filter_map(|call| call.signature.as_mut()) {
        for argument in signature.inputs.iter_mut().chain(&mut signature.outputs) {
            let gone = match &*argument {
                Argument::AsTensor(tensor) => !is_there(&tensor.name),
                Argument::AsSymInt(SymIntArgument::AsName(name)) => !graph.sym_int_values.contains_key(name),
                Argument::AsSymFloat(_) | Argument::AsSymBool(_) => true,
                _ => false,
            };
            if gone {
                *argument = Argument::AsNone(true);
            }
        }
    }
    calls
}

fn root_call(program: &Program) -> ModuleCallEntry {
    let text = |spec: Option<&pt2c_ir::TreeSpec>| tree(spec).to_text();
    let names = program.signature.inputs.iter().map(|input| identifier(&input.name)).collect();
    ModuleCallEntry {
        fqn: String::new(),
        signature: Some(ModuleCallSignature {
            inputs: Vec::new(),
            outputs: Vec::new(),
            in_spec: text(program.signature.input_tree.as_ref()),
            out_spec: text(program.signature.output_tree.as_ref()),
            forward_arg_names: Some(names),
        }),
    }
}

fn constant(value: &Arg) -> Option<ConstantValue> {
    Some(match value {
        Arg::None => ConstantValue::AsNone(true),
        Arg::Int(dim) => ConstantValue::AsInt(dim.as_int()?),
        Arg::Float(value) => ConstantValue::AsFloat(Float(*value)),
        Arg::Str(value) => ConstantValue::AsString(value.clone()),
        Arg::Bool(value) => ConstantValue::AsBool(*value),
        _ => return None,
    })
}

fn constant_argument(value: &ConstantValue) -> Argument {
    match value {
        ConstantValue::AsNone(_) => Argument::AsNone(true),
        ConstantValue::AsInt(value) => Argument::AsInt(*value),
        ConstantValue::AsFloat(value) => Argument::AsFloat(*value),
        ConstantValue::AsString(value) => Argument::AsString(value.clone()),
        ConstantValue::AsBool(value) => Argument::AsBool(*value),
    }
}

/// A name that Python accepts as an identifier.
pub(crate) fn identifier(name: &str) -> String {
    let mut text: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        text.insert_str(0, "v_");
    }
    text
}

/// A dotted name whose parts can be attributes of a module.
fn attribute_name(fqn: &str) -> String {
    let part = |part: &str| match part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !part.is_empty() {
        true => part.to_owned(),
        false => identifier(part),
    };
    fqn.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A fact of a value for those who build programs.
pub(crate) fn fact_of(graph: &Graph, name: &str) -> Result<Fact, ExportError> {
    crate::import::fact_of(graph, name).map_err(|_| ExportError::Undefined { name: name.to_owned() })
}
