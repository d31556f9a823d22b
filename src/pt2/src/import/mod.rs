//! `import`: an [`ExportedProgram`] becomes an IR program.
//!
//! Operators get complete arguments (`arguments`, `schemas`), symbolic integers become dimension expressions and
//! their nodes disappear, guards and assertions become constraints (`symbols`), in-place operators and writes
//! through views become pure operators with mutation outputs (`functionalize`), autocast regions
//! get the conversions that they imply (`autocast`), and every node keeps the user's source line and module path
//! (`location`). `graph` walks the nodes, this file the signature.

mod arguments;
mod assertions;
mod autocast;
mod control;
mod custom;
mod diagonal;
mod effects;
mod error;
mod facts;
mod functionalize;
mod graph;
mod inline;
pub(crate) mod location;
mod numbers;
pub(crate) mod schemas;
mod sizes;
mod split;
mod statistics;
mod symbols;
mod vmap;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use pt2c_ir::dim::{self, Dim};
use pt2c_ir::{
    Arg, Diagnostic, Fact, InputKind, InputSpec, Node, OutputKind, OutputSpec, Program, Signature, TensorEntry,
    TensorRole,
};

pub use custom::Operators;
pub use error::{ImportError, ImportErrorKind};

use crate::ExportedProgram;
use crate::payload::{PayloadError, StoredTensor};
use crate::pytree::{self, PathStep};
use crate::schema::{self, Argument, ConstantValue};
use functionalize::{Names, Owner, View};
use graph::{Builder, Shared, insert};
use symbols::{GuardInput, GuardInputs};

/// An imported program and what the user should know about it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The program, functional.
    pub program: Program,
    /// What Python code passes and gets, besides the program's signature.
    pub forward: Forward,
    /// Such as rules of the inputs that will not be checked.
    pub warnings: Vec<Diagnostic>,
}

/// How Python code calls the program.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Names of the arguments of `forward`; empty if an older torch did not write them.
    pub arguments: Vec<String>,
    /// Nesting of the input leaves: (positional tuple, keyword dict).
    pub input_tree: pytree::TreeSpec,
    /// Nesting of the output leaves.
    pub output_tree: pytree::TreeSpec,
    /// Positions of the output leaves that are floats (0-d float64 tensors in the program).
    pub floats: BTreeSet<u32>,
    /// Positions of the output leaves that are bools (0-d float64 tensors in the program).
    pub bools: BTreeSet<u32>,
}

impl Forward {
    fn of(exported: &ExportedProgram) -> Forward {
        let mut forward = Forward {
            arguments: exported.forward_arg_names().to_vec(),
            input_tree: exported.in_spec.clone(),
            output_tree: exported.out_spec.clone(),
            floats: BTreeSet::new(),
            bools: BTreeSet::new(),
        };
        let outputs = exported.graph_signature().output_specs.iter().zip(&exported.graph().outputs);
        let user = outputs
            .filter(|(spec, _)| matches!(spec, schema::OutputSpec::UserOutput(_) | schema::OutputSpec::LossOutput(_)));
        for (position, (_, argument)) in (0..).zip(user) {
            match argument {
                Argument::AsSymFloat(_) => forward.floats.insert(position),
                Argument::AsSymBool(schema::SymBoolArgument::AsName(_)) => forward.bools.insert(position),
                _ => false,
            };
        }
        forward
    }
}

/// Imports a program.
///
/// # Errors
/// [`ImportError`], which converts to a [`Diagnostic`] with the user's source line.
pub fn import(exported: &ExportedProgram) -> Result<Imported, ImportError> {
    import_with_operators(exported, &Operators::default())
}

/// Imports a program with custom operators of which more is known than the archive tells.
///
/// # Errors
/// As [`import`].
pub fn import_with_operators(exported: &ExportedProgram, operators: &Operators) -> Result<Imported, ImportError> {
    let shared = Shared { operators: operators.clone(), ..Shared::default() };
    import_with(exported, shared).map(|(imported, _)| imported)
}

/// Imports as much as possible and tells everything that is wrong, for reports: a node that cannot be imported stands
/// in the program as a call without arguments. The program is `None` if the signature or the weights are at fault.
pub fn import_all(exported: &ExportedProgram, operators: &Operators) -> (Option<Imported>, Vec<ImportError>) {
    let shared = Shared { errors: Some(Vec::new()), operators: operators.clone(), ..Shared::default() };
    match import_with(exported, shared) {
        Ok((imported, errors)) => (Some(imported), errors),
        Err(error) => (None, vec![error]),
    }
}

fn import_with(exported: &ExportedProgram, mut shared: Shared) -> Result<(Imported, Vec<ImportError>), ImportError> {
    let source = exported.graph();
    shared.facts.add_ranges(exported.range_constraints(), &mut shared.expressions)?;
    let mut builder = Builder::new(&mut shared);
    let mut inputs = Inputs::default();
    inputs.read(exported, &mut builder)?;
    let Inputs { mut names, tensors, specs, guards, .. } = inputs;
    builder.shared.facts.add_guards(&exported.program.guards_code, &guards);

    builder.nodes(source, &mut names)?;

    let outputs = outputs(exported, &specs, &mut builder, &mut names)?;
    let (arguments, output_specs) = outputs.into_iter().unzip();
    let mut graph = builder.graph;
    graph.outputs = arguments;
    graph.remove_dead(has_effect);

    let Shared { expressions, mut facts, locations, errors, .. } = shared;
    facts.declare_sizes(&expressions);
    let program = Program {
        name: match exported.archive_name.as_str() {
            "archive" | "package" | "" => exported.model_name.clone(),
            name => name.to_owned(),
        },
        graph,
        tensors,
        signature: Signature {
            inputs: specs,
            outputs: output_specs,
            input_tree: Some(exported.in_spec.to_ir()),
            output_tree: Some(exported.out_spec.to_ir()),
            pairs: Default::default(),
        },
        scope: facts.scope,
        constraints: facts.constraints,
        locations,
    };
    Ok((Imported { program, forward: Forward::of(exported), warnings: facts.warnings }, errors.unwrap_or_default()))
}

/// The user's source line and module of a node of the archive; fields that it does not tell are empty.
pub fn location_of(node: &schema::Node) -> pt2c_ir::Location {
    location::of_node(node)
}

/// The type of a value by the graph's own table, for those who write graphs.
pub(crate) fn fact_of(graph: &schema::Graph, name: &str) -> Result<Fact, ImportErrorKind> {
    facts::typed(name, graph, &mut symbols::Expressions::default()).map(|typed| typed.fact)
}

/// A size as the archive writes it (sympy's `srepr`).
///
/// # Errors
/// If it is no such expression, or one that sizes do not have.
pub fn dim_of(text: &str) -> Result<Dim, ImportErrorKind> {
    symbols::Expressions::default().dim(text)
}

/// Calls that are kept although nothing uses their results.
fn has_effect(node: &Node) -> bool {
    pt2c_ops::has_effect(node)
}

/// The inputs of the program's graph.
#[derive(Default)]
struct Inputs {
    names: Names,
    tensors: IndexMap<String, TensorEntry>,
    specs: Vec<InputSpec>,
    guards: GuardInputs,
    /// First tensor seen of every storage, to find tied and overlapping ones.
    storages: IndexMap<String, Vec<(String, StoredTensor)>>,
}

impl Inputs {
    fn read(&mut self, exported: &ExportedProgram, builder: &mut Builder<'_>) -> Result<(), ImportError> {
        let source = exported.graph();
        let leaf_names = exported.input_names();
        let paths = guard_paths(exported);
        self.group_storages(exported)?;
        for (spec, argument) in exported.graph_signature().input_specs.iter().zip(&source.inputs) {
            let leaf = self.specs.len();
            let leaf_name = leaf_names.get(leaf).cloned().unwrap_or_default();
            let path = paths.get(leaf).cloned().unwrap_or_default();
            match spec {
                schema::InputSpec::Parameter(p) => {
                    self.tensor(exported, builder, &p.arg.name, &p.parameter_name, TensorRole::Parameter)?;
                }
                schema::InputSpec::Buffer(b) => {
                    let role = TensorRole::Buffer { persistent: b.persistent };
                    self.tensor(exported, builder, &b.arg.name, &b.buffer_name, role)?;
                }
                schema::InputSpec::TensorConstant(c) => {
                    self.tensor(exported, builder, &c.arg.name, &c.tensor_constant_name, TensorRole::Constant)?;
                }
                schema::InputSpec::UserInput(_) => {
                    let kind = self.user_input(source, builder, argument, leaf, path)?;
                    self.specs.push(InputSpec { name: leaf_name, kind });
                }
                schema::InputSpec::ConstantInput(constant) => {
                    let kind = InputKind::Constant(constant_arg(&constant.value));
                    self.specs.push(InputSpec { name: leaf_name, kind });
                }
                schema::InputSpec::CustomObj(object) => {
                    return Err(ImportErrorKind::unsupported(
                        format!("the custom object {:?} as an input", object.custom_obj_name),
                        "replace the object by tensors and plain Python values",
                    )
                    .into());
                }
                // A token orders effects; nobody passes it, and the order of nodes says the same.
                schema::InputSpec::Token(_) => {}
            }
        }
        Ok(())
    }

    /// Which stored tensors share storages.
    fn group_storages(&mut self, exported: &ExportedProgram) -> Result<(), PayloadError> {
        for spec in &exported.graph_signature().input_specs {
            if let Some(fqn) = spec.target()
                && let Some(tensor) = exported.tensor(fqn)?
            {
                self.storages.entry(tensor.storage.path.clone()).or_default().push((fqn.to_owned(), tensor.clone()));
            }
        }
        Ok(())
    }

    /// A parameter, buffer or constant.
    fn tensor(
        &mut self,
        exported: &ExportedProgram,
        builder: &mut Builder<'_>,
        name: &str,
        fqn: &str,
        role: TensorRole,
    ) -> Result<(), ImportError> {
        let typed = facts::typed(name, exported.graph(), &mut builder.shared.expressions)?;
        let stored =
            exported.tensor(fqn)?.ok_or_else(|| PayloadError::MissingTensor { kind: "tensor", fqn: fqn.to_owned() })?;
        let data = stored.data(fqn)?;
        let shape: Vec<Dim> =
            stored.sizes.iter().map(|&size| Dim::int(i64::try_from(size).unwrap_or(i64::MAX))).collect();
        let fact = Fact::new(data.dtype(), shape);
        if fact != typed.fact {
            return Err(ImportErrorKind::WeightMismatch {
                fqn: fqn.to_owned(),
                stored: fact.to_string(),
                declared: typed.fact.to_string(),
            }
            .into());
        }
        // PyTorch 2.5 writes tied weights as two inputs of one name.
        if let Some(view) = self.tensors.contains_key(fqn).then(|| self.view_of(exported, fqn)).flatten() {
            return Ok(insert(&mut self.names, name, view)?);
        }
        self.tensors.insert(fqn.to_owned(), TensorEntry { role, fact: fact.clone(), data: Some(data) });

        let sharing = self.storages.get(&stored.storage.path).map_or(&[][..], Vec::as_slice);
        let tied = sharing.iter().take_while(|(other, _)| other != fqn).find(|(_, t)| t.same_view(stored));
        if let Some(view) = tied.and_then(|(other, _)| self.view_of(exported, other)) {
            builder.memories.tie(&view, fqn);
            return Ok(insert(&mut self.names, name, view)?);
        }
        let overlapping = sharing.iter().find(|(_, t)| !t.same_view(stored) && !t.sizes.contains(&0));
        let read_only = match (role, overlapping) {
            (TensorRole::Constant, _) => Some(format!("{fqn:?} is a constant of the program")),
            (_, Some((other, _))) => Some(format!("{fqn:?} shares memory with {other:?}")),
            _ => None,
        };
        let value = builder.graph.add_tensor(fqn, name, fact);
        let owner = Owner::Tensors { names: vec![fqn.to_owned()], read_only };
        let view = builder.memories.allocate(value, typed, owner);
        Ok(insert(&mut self.names, name, view)?)
    }

    /// The view of a tensor that was read before, by qualified name.
    fn view_of(&self, exported: &ExportedProgram, fqn: &str) -> Option<View> {
        let specs = &exported.graph_signature().input_specs;
        let spec = specs.iter().find(|spec| spec.target() == Some(fqn))?;
        self.names.get(spec.name()).cloned()
    }

    /// A leaf that the caller passes.
    fn user_input(
        &mut self,
        source: &schema::Graph,
        builder: &mut Builder<'_>,
        argument: &Argument,
        leaf: usize,
        path: Vec<dim::PathStep>,
    ) -> Result<InputKind, ImportError> {
        Ok(match argument {
            Argument::AsTensor(tensor) => {
                let typed = facts::typed(&tensor.name, source, &mut builder.shared.expressions)?;
                builder.shared.bound.extend(typed.fact.shape.iter().flat_map(Dim::symbols));
                sizes::assume_sizes(&mut builder.shared.facts, &typed.fact);
                self.guards.insert(path, GuardInput::Tensor(typed.fact.clone()));
                let value = builder.graph.add_input(&tensor.name, typed.fact.clone());
                let view = builder.memories.allocate(value, typed, Owner::Input(leaf));
                insert(&mut self.names, &tensor.name, view)?;
                InputKind::Tensor
            }
            Argument::AsSymInt(value) => {
                let dim = arguments::sym_int(value, source, &mut builder.shared.expressions)?;
                self.guards.insert(path, GuardInput::Int(dim.clone()));
                match dim.as_symbol() {
                    Some(symbol) => {
                        builder.shared.bound.insert(symbol.clone());
                        InputKind::SymInt(symbol.clone())
                    }
                    None if dim.as_int().is_some() => InputKind::Constant(Arg::Int(dim)),
                    None => {
                        return Err(ImportErrorKind::unsupported(
                            format!("an integer input that is the expression {dim}"),
                            "pass the underlying integer",
                        )
                        .into());
                    }
                }
            }
            other => {
                let no_graph = &mut |_: &schema::Graph| Ok(Arg::None);
                let arg = arguments::convert("input", other, source, &mut builder.shared.expressions, no_graph)?;
                let arg = arg.try_map(|name| Err(ImportErrorKind::Undefined { name: name.clone() }))?;
                InputKind::Constant(arg)
            }
        })
    }
}

/// How guards name each input leaf: `L['x']`, `L['inputs']['a'][0]`.
fn guard_paths(exported: &ExportedProgram) -> Vec<Vec<dim::PathStep>> {
    let names = exported.forward_arg_names();
    let step = |step: &PathStep| match step {
        PathStep::Index(index) => dim::PathStep::Index(i64::try_from(*index).unwrap_or(i64::MAX)),
        PathStep::Key(key) => dim::PathStep::Key(key.clone()),
        PathStep::Attr(name) => dim::PathStep::Attr(name.clone()),
    };
    let paths = exported.in_spec.leaf_paths();
    paths
        .iter()
        .map(|path| match path.as_slice() {
            [PathStep::Index(0), PathStep::Index(index), rest @ ..] => {
                let root = match names.get(*index) {
                    Some(name) => vec![dim::PathStep::Key(name.clone())],
                    None => vec![dim::PathStep::Key("args".to_owned()), step(&PathStep::Index(*index))],
                };
                root.into_iter().chain(rest.iter().map(step)).collect()
            }
            [_, rest @ ..] => rest.iter().map(step).collect(),
            [] => Vec::new(),
        })
        .collect()
}

/// A constant leaf.
fn constant_arg(value: &ConstantValue) -> Arg {
    match value {
        ConstantValue::AsNone(_) => Arg::None,
        ConstantValue::AsInt(value) => Arg::Int(Dim::int(*value)),
        ConstantValue::AsFloat(value) => Arg::Float(value.0),
        ConstantValue::AsString(value) => Arg::Str(value.clone()),
        ConstantValue::AsBool(value) => Arg::Bool(*value),
    }
}

/// The program's outputs: mutations in the order of the inputs that they change, then what the caller gets.
fn outputs(
    exported: &ExportedProgram,
    inputs: &[InputSpec],
    builder: &mut Builder<'_>,
    names: &mut Names,
) -> Result<Vec<(Arg, OutputSpec)>, ImportError> {
    let source = exported.graph();
    let leaf_of = |value: &str| {
        let leaves = exported.graph_signature().input_specs.iter().filter(|spec| spec.is_leaf());
        leaves.enumerate().find(|(_, spec)| spec.name() == value).map(|(index, _)| index)
    };
    let input_name = |index: usize| inputs.get(index).map(|spec| spec.name.clone()).unwrap_or_default();
    let leaf_names = exported.output_names();
    let mut leaf_names = leaf_names.into_iter();

    let mut user = Vec::new();
    let mut mutations = Vec::new();
    for (spec, argument) in exported.graph_signature().output_specs.iter().zip(&source.outputs) {
        if matches!(spec, schema::OutputSpec::Token(_)) {
            continue;
        }
        let arg = builder.output(argument, source, names)?;
        let input_index =
            |name: &str| leaf_of(name).ok_or_else(|| ImportErrorKind::Undefined { name: name.to_owned() });
        let (kind, name) = match spec {
            schema::OutputSpec::UserOutput(_) => (OutputKind::User, leaf_names.next().unwrap_or_default()),
            schema::OutputSpec::LossOutput(_) => (OutputKind::Loss, leaf_names.next().unwrap_or_default()),
            schema::OutputSpec::BufferMutation(m) => {
                (OutputKind::BufferMutation(m.buffer_name.clone()), m.buffer_name.clone())
            }
            schema::OutputSpec::ParameterMutation(m) => {
                (OutputKind::BufferMutation(m.parameter_name.clone()), m.parameter_name.clone())
            }
            schema::OutputSpec::UserInputMutation(m) => {
                let index = input_index(&m.user_input_name)?;
                (OutputKind::InputMutation(index), input_name(index))
            }
            schema::OutputSpec::GradientToParameter(g) => {
                (OutputKind::GradientOfParameter(g.parameter_name.clone()), g.parameter_name.clone())
            }
            schema::OutputSpec::GradientToUserInput(g) => {
                let index = input_index(&g.user_input_name)?;
                (OutputKind::GradientOfInput(index), input_name(index))
            }
            schema::OutputSpec::Token(_) => continue,
        };
        let list = match kind {
            OutputKind::BufferMutation(_) | OutputKind::InputMutation(_) => &mut mutations,
            _ => &mut user,
        };
        list.push((arg, OutputSpec { name, kind }));
    }
    for (owner, value) in builder.memories.effects() {
        let arg = Arg::Tensor(value);
        match owner {
            Owner::Tensors { names, .. } => mutations.extend(names.iter().map(|name| {
                (arg.clone(), OutputSpec { name: name.clone(), kind: OutputKind::BufferMutation(name.clone()) })
            })),
            Owner::Input(index) => {
                let spec = OutputSpec { name: input_name(*index), kind: OutputKind::InputMutation(*index) };
                mutations.push((arg, spec));
            }
            Owner::Intermediate | Owner::Operand => {}
        }
    }
    mutations.extend(user);
    Ok(mutations)
}

impl pytree::TreeSpec {
    /// The same tree in the IR's terms.
    fn to_ir(&self) -> pt2c_ir::TreeSpec {
        pt2c_ir::TreeSpec {
            kind: self.type_name().map(str::to_owned),
            context: self.context_text(),
            children: self.children.iter().map(pytree::TreeSpec::to_ir).collect(),
        }
    }
}
