//! The module hierarchy of a program, restored: which modules there are, how often each is called, what goes in and
//! out of each call, and any call as a program of its own.
//!
//! Exporting flattens modules away; what is left is the `nn_module_stack` of every node, whose keys tell the calls of
//! one module apart (`L__self__blocks.0`, `L__self__blocks.0@1`), and the `module_call_graph`, which has the signatures
//! of modules that were kept with `preserve_module_call_signature`.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/modules/modules_preserved.pt2");
//! let program = pt2c_pt2::ExportedProgram::open(std::path::Path::new(path))?;
//! let modules = program.unflatten()?;
//! let calls: Vec<String> = modules.calls().map(|call| call.name()).collect();
//! assert_eq!(calls[..3], ["blocks.0", "blocks.0.linear", "blocks.0.norm"]);
//! assert!(calls.contains(&"blocks.0@1".to_owned()));            // the same module, called again
//! let block = program.submodule("blocks.0@1")?;                 // a program of its own
//! assert_eq!(block.input_names().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::ExportedProgram;
use crate::export::{ExportError, Writer, fact_of, hints_of};
use crate::import::schemas;
use crate::payload::Payloads;
use crate::pytree::TreeSpec;
use crate::schema::{
    self, Argument, ConstantValue, Graph, GraphModule, GraphSignature, InputSpec, ModuleCallEntry, ModuleCallSignature,
    Node, OutputSpec, SchemaError, TensorArgument, UserInputSpec, UserOutputSpec,
};
use crate::signature::argument_name;

/// Why modules cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum UnflattenError {
    /// No such call.
    #[error("there is no call {name:?}; the calls are {known}")]
    NoSuchCall {
        /// As asked for.
        name: String,
        /// The first of those there are.
        known: String,
    },
    /// The call's nodes do not stand together: a value goes out and comes back in between.
    #[error("{name:?} is not one piece: {value:?} depends on it and is used by it")]
    NotConvex {
        /// The call.
        name: String,
        /// A value computed outside.
        value: String,
    },
    /// A signature that contradicts itself.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A size that the call's inputs do not determine.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// A module: what it is and what it owns. A module that several paths share is listed under each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its path, empty for the root.
    pub path: String,
    /// Its class; empty for containers that are never called themselves.
    pub class: String,
    /// Names of its own parameters.
    pub parameters: Vec<String>,
    /// Names of its own buffers.
    pub buffers: Vec<String>,
    /// How often it is called.
    pub calls: usize,
}

/// One call of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleCall {
    /// Path of the module.
    pub path: String,
    /// 0 for the first call of this module.
    pub index: usize,
    /// Class of the module.
    pub class: String,
    /// The call that it is made from: its position among the calls; `None` for the root's own calls.
    pub parent: Option<usize>,
    /// All its nodes, those of calls that it makes included, by position in the graph.
    pub nodes: Vec<usize>,
    /// Values from outside, in the order of the preserved signature or of first use; attributes of the root
    /// (parameters and buffers) that belong to the module itself are not among them.
    pub inputs: Vec<Argument>,
    /// Values that are used outside.
    pub outputs: Vec<Argument>,
    /// Whether inputs and outputs are those of the module's `forward`, with its pytrees.
    pub preserved: bool,
}

impl ModuleCall {
    /// The path, with `@N` for the calls behind the first: PyTorch's name of it.
    pub fn name(&self) -> String {
        if self.index == 0 { self.path.clone() } else { format!("{}@{}", self.path, self.index) }
    }
}

/// The modules of a program and their calls.
#[derive(Clone, Debug)]
pub struct Unflattened {
    modules: IndexMap<String, ModuleInfo>,
    calls: Vec<ModuleCall>,
}

impl Unflattened {
    /// The modules, a parent before its children, siblings in the order of the module call graph.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleInfo> {
        self.modules.values()
    }

    /// The calls in the order in which they begin.
    pub fn calls(&self) -> impl Iterator<Item = &ModuleCall> {
        self.calls.iter()
    }

    /// The call of this name.
    ///
    /// # Errors
    /// [`UnflattenError::NoSuchCall`].
    pub fn call(&self, name: &str) -> Result<&ModuleCall, UnflattenError> {
        self.calls.iter().find(|call| call.name() == name).ok_or_else(|| UnflattenError::NoSuchCall {
            name: name.to_owned(),
            known: self.calls.iter().take(20).map(ModuleCall::name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// One level of a node's module stack.
struct Level<'n> {
    key: &'n str,
    path: &'n str,
    class: &'n str,
}

/// The stack of a node without the root, outermost first.
fn stack(node: &Node) -> Vec<Level<'_>> {
    let Some(text) = node.metadata.get("nn_module_stack") else { return Vec::new() };
    let levels = text.split(';').filter_map(|level| {
        let mut parts = level.splitn(3, ',');
        let (key, path, class) = (parts.next()?, parts.next()?, parts.next().unwrap_or(""));
        // Exporters of torch 2.1 to 2.4 wrote paths as expressions: L['self'].encoder
        let path = path.strip_prefix("L['self']").unwrap_or(path).trim_start_matches('.');
        let hook = key.starts_with("_empty_nn_module_stack");
        (!hook && !path.is_empty()).then_some(Level { key, path, class })
    });
    levels.collect()
}

impl ExportedProgram {
    /// Restores the module hierarchy: PyTorch's `torch.export.unflatten`.
    ///
    /// # Errors
    /// [`SchemaError`] for preserved signatures whose pytrees cannot be read.
    pub fn unflatten(&self) -> Result<Unflattened, UnflattenError> {
        let mut modules = self.modules();
        let mut calls: Vec<ModuleCall> = Vec::new();
        // By key, of the innermost call of each path that began last.
        let mut open: BTreeMap<String, usize> = BTreeMap::new();
        for (position, node) in self.graph().nodes.iter().enumerate() {
            let mut parent = None;
            for level in stack(node) {
                // A key names a call of a module within the call it is made from: older exporters reuse keys.
                let key = format!("{}/{}", parent.map_or(String::new(), |p: usize| p.to_string()), level.key);
                let call = *open.entry(key).or_insert_with(|| {
                    let index = calls.iter().filter(|call| call.path == level.path).count();
                    calls.push(ModuleCall {
                        path: level.path.to_owned(),
                        index,
                        class: level.class.to_owned(),
                        parent,
                        nodes: Vec::new(),
                        inputs: Vec::new(),
                        outputs: Vec::new(),
                        preserved: false,
                    });
                    calls.len() - 1
                });
                if let Some(call) = calls.get_mut(call) {
                    call.nodes.push(position);
                }
                parent = Some(call);
            }
        }
        let signatures: BTreeMap<&str, &ModuleCallSignature> = self
            .module_call_graph()
            .iter()
            .filter_map(|entry| Some((entry.fqn.as_str(), entry.signature.as_ref()?)))
            .collect();
        let uses = Uses::of(self.graph());
        for call in &mut calls {
            match signatures.get(call.name().as_str()) {
                Some(signature) => {
                    call.inputs.clone_from(&signature.inputs);
                    call.outputs.clone_from(&signature.outputs);
                    call.preserved = true;
                }
                None => (call.inputs, call.outputs) = self.boundary(call, &uses),
            }
            let module = modules.entry(call.path.clone()).or_insert_with(|| ModuleInfo::new(&call.path));
            module.class.clone_from(&call.class);
            module.calls += 1;
        }
        if let Some(root) = modules.get_mut("") {
            root.calls = 1;
        }
        Ok(Unflattened { modules, calls })
    }

    /// Modules by path, from the call graph and from the names of parameters and buffers.
    fn modules(&self) -> IndexMap<String, ModuleInfo> {
        let mut modules: IndexMap<String, ModuleInfo> = IndexMap::new();
        let mut paths = vec![String::new()];
        let listed = self.module_call_graph().iter().map(|entry| entry.fqn.as_str()).filter(|fqn| !fqn.contains('@'));
        let owners = self.graph_signature().input_specs.iter().filter_map(InputSpec::target);
        let owners = owners.filter_map(|fqn| fqn.rsplit_once('.').map(|(owner, _)| owner));
        for path in listed.chain(owners) {
            // Parents that are containers may be missing from the call graph.
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            paths.extend(ends.filter_map(|end| path.get(..end)).map(str::to_owned));
        }
        for path in paths {
            modules.entry(path.clone()).or_insert_with(|| ModuleInfo::new(&path));
        }
        for spec in &self.graph_signature().input_specs {
            let Some(fqn) = spec.target() else { continue };
            let (owner, name) = fqn.rsplit_once('.').unwrap_or(("", fqn));
            if let Some(module) = modules.get_mut(owner) {
                match spec {
                    InputSpec::Parameter(_) => module.parameters.push(name.to_owned()),
                    InputSpec::Buffer(_) => module.buffers.push(name.to_owned()),
                    _ => {}
                }
            }
        }
        modules
    }

    /// Values that a module has of its own, rather than being given: its buffers, also under the name of a module that
    /// shares them, and all parameters and constants.
    fn attributes_of(&self, path: &str) -> BTreeSet<&str> {
        let prefix = format!("{path}.");
        let stored = |fqn: &str| self.tensor(fqn).ok().flatten();
        let specs = &self.graph_signature().input_specs;
        let buffers: Vec<_> = specs
            .iter()
            .filter_map(|spec| match spec {
                InputSpec::Buffer(_) => spec.target().filter(|fqn| fqn.starts_with(&prefix)).and_then(stored),
                _ => None,
            })
            .collect();
        specs
            .iter()
            .filter(|spec| match spec {
                InputSpec::Parameter(_) | InputSpec::TensorConstant(_) => true,
                InputSpec::Buffer(_) => {
                    let own = spec.target().and_then(stored);
                    own.is_some_and(|tensor| buffers.iter().any(|buffer| buffer.same_view(tensor)))
                }
                _ => false,
            })
            .map(InputSpec::name)
            .collect()
    }

    /// What goes in and out of a call whose signature was not preserved.
    fn boundary(&self, call: &ModuleCall, uses: &Uses<'_>) -> (Vec<Argument>, Vec<Argument>) {
        let inside: BTreeSet<usize> = call.nodes.iter().copied().collect();
        let own = self.attributes_of(&call.path);
        let (mut inputs, mut seen) = (Vec::new(), BTreeSet::new());
        let (mut outputs, mut returned) = (Vec::new(), BTreeSet::new());
        for node in call.nodes.iter().filter_map(|&position| self.graph().nodes.get(position)) {
            for name in node.operand_names() {
                let name = uses.origin(self.graph(), name, &inside);
                let outside = uses.definition.get(name).is_none_or(|definition| !inside.contains(definition));
                if outside && self.graph().tensor_values.contains_key(name) && !own.contains(name) && seen.insert(name)
                {
                    inputs.push(tensor(name));
                }
            }
            for name in node.output_names() {
                // The module's own buffer, written to: what uses it later finds it in the module.
                if own.contains(uses.origin(self.graph(), name, &BTreeSet::new())) {
                    continue;
                }
                let users = uses.users.get(name).map(Vec::as_slice).unwrap_or(&[]);
                let used = users.iter().any(|user| !inside.contains(user)) || uses.returned.contains(name);
                if used && self.graph().tensor_values.contains_key(name) && returned.insert(name) {
                    outputs.push(tensor(name));
                }
            }
        }
        (inputs, outputs)
    }

    /// One call of a module as a program of its own, with the weights that it uses: an entry to compile separately.
    /// With a preserved signature it takes and returns what `forward` does; without, the flat values.
    ///
    /// # Errors
    /// [`UnflattenError`]: no such call, nodes that depend on one another through the outside, or sizes that its inputs
    /// do not determine.
    pub fn submodule(&self, name: &str) -> Result<ExportedProgram, UnflattenError> {
        let unflattened = self.unflatten()?;
        let call = unflattened.call(name)?;
        self.extract(call, &unflattened)
    }

    fn extract(&self, call: &ModuleCall, unflattened: &Unflattened) -> Result<ExportedProgram, UnflattenError> {
        let source = self.graph();
        let uses = Uses::of(source);
        let mut inside: BTreeSet<usize> = call.nodes.iter().copied().collect();
        self.check_one_piece(call, &inside, &uses)?;
        // Sizes are computed wherever the exporter came to them; they are computed again from the call's own inputs.
        let passed: BTreeSet<&str> = call.inputs.iter().filter_map(argument_name).collect();
        inside.retain(|position| source.nodes.get(*position).is_some_and(|node| !is_arithmetic(node)));
        let mut nodes: Vec<Node> = inside.iter().filter_map(|&position| source.nodes.get(position)).cloned().collect();
        let mut outputs = call.outputs.clone();
        let mut original = |name: &str| {
            let origin = uses.origin(source, name, &inside);
            (origin != name).then(|| origin.to_owned())
        };
        nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(|input| input.arg.rename(&mut original));
        outputs.iter_mut().for_each(|output| output.rename(&mut original));
        let defined: BTreeSet<String> = nodes.iter().flat_map(Node::output_names).map(str::to_owned).collect();

        let mut graph = Graph::default();
        let (mut attributes, mut leaves) = (Vec::new(), Vec::new());
        for (spec, argument) in self.graph_signature().input_specs.iter().zip(&source.inputs) {
            let used = |name: &str| {
                nodes.iter().any(|node| node.operand_names().contains(&name))
                    || outputs.iter().any(|output| argument_name(output) == Some(name))
            };
            if !spec.is_leaf() && used(spec.name()) && !passed.contains(spec.name()) {
                attributes.push((spec.clone(), argument.clone()));
            }
        }
        for (index, argument) in call.inputs.iter().enumerate() {
            leaves.push((input_spec(argument, index), argument.clone()));
        }
        for (_, argument) in attributes.iter().chain(&leaves) {
            if let Some(name) = argument_name(argument) {
                copy_value(source, &mut graph, name);
            }
        }
        for name in &defined {
            copy_value(source, &mut graph, name);
        }
        // Symbolic values from outside, by the expression that they are.
        let mut wanted: Vec<String> = Vec::new();
        for name in nodes.iter().flat_map(Node::operand_names).chain(outputs.iter().flat_map(Argument::names)) {
            let symbolic = source.sym_int_values.contains_key(name);
            if symbolic && !defined.contains(name) && !passed.contains(name) && !wanted.iter().any(|w| w == name) {
                wanted.push(name.to_owned());
            }
        }
        let shapes: Vec<(String, Vec<pt2c_ir::dim::Dim>)> = leaves
            .iter()
            .filter_map(|(_, argument)| argument_name(argument))
            .filter_map(|name| Some((name.to_owned(), fact_of(source, name).ok()?.shape)))
            .collect();
        let mut writer = Writer::new(&mut graph, hints_of(self));
        for (name, shape) in &shapes {
            writer.bind_sizes(name, shape);
        }
        let mut renamed: BTreeMap<String, Argument> = BTreeMap::new();
        for name in wanted {
            let value = match source.sym_int_values.get(&name) {
                Some(schema::SymInt::AsExpr(expr)) => {
                    crate::import::dim_of(&expr.expr_str).map_err(|_| ExportError::Undefined { name: name.clone() })?
                }
                Some(schema::SymInt::AsInt(value)) => pt2c_ir::dim::Dim::int(*value),
                None => return Err(ExportError::Undefined { name }.into()),
            };
            let argument = match value.as_int() {
                Some(value) => Argument::AsInt(value),
                None => Argument::AsSymInt(schema::SymIntArgument::AsName(writer.size(&value)?)),
            };
            renamed.insert(name, argument);
        }
        let mut rename = |name: &str| match renamed.get(name) {
            Some(Argument::AsSymInt(schema::SymIntArgument::AsName(new))) => Some(new.clone()),
            _ => None,
        };
        for node in &mut nodes {
            node.inputs.iter_mut().for_each(|input| input.arg.rename(&mut rename));
        }
        outputs.iter_mut().for_each(|output| output.rename(&mut rename));
        graph.nodes.extend(nodes);
        graph.outputs.clone_from(&outputs);
        // What the call was is what this program's modules are.
        for node in &mut graph.nodes {
            rebase(node, &call.path);
        }
        let (input_specs, inputs): (Vec<_>, Vec<_>) = attributes.into_iter().chain(leaves).unzip();
        graph.inputs = inputs;
        let output_specs = outputs.into_iter().map(|arg| OutputSpec::UserOutput(UserOutputSpec { arg })).collect();
        self.assemble(call, unflattened, graph, GraphSignature { input_specs, output_specs })
    }

    /// The program around an extracted graph.
    fn assemble(
        &self,
        call: &ModuleCall,
        unflattened: &Unflattened,
        graph: Graph,
        signature: GraphSignature,
    ) -> Result<ExportedProgram, UnflattenError> {
        let preserved = self.module_call_graph().iter().find(|entry| entry.fqn == call.name());
        let preserved = preserved.and_then(|entry| entry.signature.clone());
        let flat = |count: usize| TreeSpec::tuple((0..count).map(|_| TreeSpec::leaf()).collect());
        let root =
            preserved.map(|signature| ModuleCallSignature { inputs: Vec::new(), outputs: Vec::new(), ..signature });
        let root = root.unwrap_or_else(|| ModuleCallSignature {
            inputs: Vec::new(),
            outputs: Vec::new(),
            in_spec: TreeSpec::tuple(vec![flat(call.inputs.len()), TreeSpec::dict(Vec::new())]).to_text(),
            out_spec: flat(call.outputs.len()).to_text(),
            forward_arg_names: Some(call.inputs.iter().map(|i| argument_name(i).unwrap_or("x").to_owned()).collect()),
        });
        let prefix = format!("{}.", call.path);
        let inner = unflattened.modules().filter_map(|module| module.path.strip_prefix(&prefix));
        let inner = inner.map(|path| ModuleCallEntry { fqn: path.to_owned(), signature: None });
        let names = &self.program.graph_module.treespec_namedtuple_fields;
        let in_spec = TreeSpec::parse("in_spec", &root.in_spec, names)?;
        let out_spec = TreeSpec::parse("out_spec", &root.out_spec, names)?;
        let calls = std::iter::once(ModuleCallEntry { fqn: String::new(), signature: Some(root) }).chain(inner);
        let used: BTreeSet<&str> = signature.input_specs.iter().filter_map(InputSpec::target).collect();
        let payloads = |from: &Payloads| Payloads {
            entries: from
                .entries
                .iter()
                .filter(|(fqn, _)| used.contains(fqn.as_str()))
                .map(|(fqn, payload)| (fqn.clone(), payload.clone()))
                .collect(),
        };
        let (state_dict, constants) = (payloads(&self.state_dict), payloads(&self.constants));
        let graph_module =
            GraphModule { module_call_graph: calls.collect(), graph, signature, ..self.program.graph_module.clone() };
        let program = schema::ExportedProgram {
            graph_module,
            // They are about the root's inputs.
            guards_code: Vec::new(),
            ..self.program.clone()
        };
        Ok(ExportedProgram {
            archive_name: format!("{}_{}", self.archive_name, crate::export::identifier(&call.name())),
            model_name: self.model_name.clone(),
            program,
            state_dict,
            constants,
            example_inputs: pt2c_ir::Bytes::new(Vec::new()),
            extra_files: IndexMap::new(),
            in_spec,
            out_spec,
        })
    }

    /// A call can stand alone if nothing outside depends on it and feeds it.
    fn check_one_piece(
        &self,
        call: &ModuleCall,
        inside: &BTreeSet<usize>,
        uses: &Uses<'_>,
    ) -> Result<(), UnflattenError> {
        let mut after: BTreeSet<usize> = BTreeSet::new();
        for (position, node) in self.graph().nodes.iter().enumerate() {
            let tainted = |name: &&str| {
                let definition = uses.definition.get(*name);
                definition.is_some_and(|at| after.contains(at) || (inside.contains(at) && !inside.contains(&position)))
            };
            if let Some(value) = node.operand_names().iter().find(|name| tainted(name)) {
                let back = uses.definition.get(*value).is_some_and(|at| after.contains(at));
                if inside.contains(&position) && back && !is_arithmetic(node) {
                    return Err(UnflattenError::NotConvex { name: call.name(), value: (*value).to_owned() });
                }
                if !inside.contains(&position) {
                    after.insert(position);
                }
            }
        }
        Ok(())
    }
}

impl ModuleInfo {
    fn new(path: &str) -> ModuleInfo {
        ModuleInfo {
            path: path.to_owned(),
            class: String::new(),
            parameters: Vec::new(),
            buffers: Vec::new(),
            calls: 0,
        }
    }
}

/// Definitions and uses of a graph's values.
struct Uses<'g> {
    definition: BTreeMap<&'g str, usize>,
    users: BTreeMap<&'g str, Vec<usize>>,
    returned: BTreeSet<&'g str>,
}

impl<'g> Uses<'g> {
    fn of(graph: &'g Graph) -> Uses<'g> {
        let mut uses = Uses { definition: BTreeMap::new(), users: BTreeMap::new(), returned: BTreeSet::new() };
        for (position, node) in graph.nodes.iter().enumerate() {
            for name in node.operand_names() {
                uses.users.entry(name).or_default().push(position);
            }
            for name in node.output_names() {
                uses.definition.insert(name, position);
            }
        }
        uses.returned = graph.outputs.iter().flat_map(Argument::names).collect();
        uses
    }
}

impl<'g> Uses<'g> {
    /// The value itself, or, if it was made outside by an operator that writes in place, the value that was written to:
    /// a module that counts its calls in a buffer goes on with what the call before returned.
    fn origin<'n>(&self, graph: &'n Graph, name: &'n str, inside: &BTreeSet<usize>) -> &'n str {
        let mut name = name;
        while let Some(node) =
            self.definition.get(name).filter(|at| !inside.contains(at)).and_then(|&at| graph.nodes.get(at))
        {
            let schema = schemas::schema(&node.op());
            let written = schema.and_then(|schema| schema.params.first()).filter(|param| param.mutated);
            match written.and_then(|param| node.tensor(&param.name)) {
                Some(operand) => name = operand,
                None => break,
            }
        }
        name
    }
}

fn tensor(name: &str) -> Argument {
    Argument::AsTensor(TensorArgument { name: name.to_owned() })
}

/// Whether a node only computes sizes.
fn is_arithmetic(node: &Node) -> bool {
    !node.outputs.is_empty() && node.outputs.iter().all(|output| matches!(output, Argument::AsSymInt(_)))
}

/// What an input of a call is to the program that the call becomes.
fn input_spec(argument: &Argument, index: usize) -> InputSpec {
    let value = match argument {
        Argument::AsNone(_) => ConstantValue::AsNone(true),
        Argument::AsInt(value) => ConstantValue::AsInt(*value),
        Argument::AsFloat(value) => ConstantValue::AsFloat(*value),
        Argument::AsBool(value) => ConstantValue::AsBool(*value),
        Argument::AsString(value) => ConstantValue::AsString(value.clone()),
        other => return InputSpec::UserInput(UserInputSpec { arg: other.clone() }),
    };
    InputSpec::ConstantInput(schema::InputToConstantInputSpec { name: format!("constant_{index}"), value })
}

/// Copies a value's entry of the tables.
fn copy_value(from: &Graph, to: &mut Graph, name: &str) {
    if let Some(meta) = from.tensor_values.get(name) {
        to.tensor_values.insert(name.to_owned(), meta.clone());
    }
    if let Some(value) = from.sym_int_values.get(name) {
        to.sym_int_values.insert(name.to_owned(), value.clone());
    }
    if let Some(value) = from.sym_bool_values.get(name) {
        to.sym_bool_values.insert(name.to_owned(), value.clone());
    }
    if let Some(value) = from.sym_float_values.get(name) {
        to.sym_float_values.insert(name.to_owned(), value.clone());
    }
    if let Some(value) = from.custom_obj_values.get(name) {
        to.custom_obj_values.insert(name.to_owned(), value.clone());
    }
}

/// Makes a node's module stack begin at the module of this path.
fn rebase(node: &mut Node, path: &str) {
    let levels: Vec<String> = {
        let inner = stack(node).into_iter().skip_while(|level| level.path != path);
        inner
            .map(|level| {
                let below = level.path.strip_prefix(path).unwrap_or(level.path).trim_start_matches('.');
                let key = if below.is_empty() { "L__self__".to_owned() } else { level.key.to_owned() };
                format!("{key},{below},{}", level.class)
            })
            .collect()
    };
    if !levels.is_empty() {
        node.metadata.insert("nn_module_stack".to_owned(), levels.join(";"));
    }
}
