//! Changing a program's graph: find, insert, replace, erase, dead code, lint.
//!
//! A graph is a list of nodes in execution order; values are named, and `tensor_values` and its siblings hold their
//! types. These functions keep the tables in step with the nodes. The example replaces every `relu` by `gelu`:
//!
//! ```
//! use pt2c_ir::Arg;
//! use pt2c_pt2::ExportedProgram;
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/m_ensemble.dyn.pt2");
//!
//! let mut program = ExportedProgram::open(std::path::Path::new(path))?;
//! let mut at = 0;
//! while let Some(found) = program.graph().find_op("aten.relu.default", at) {
//!     let old = program.graph().nodes[found].output_names()[0].to_owned();
//!     let operand = program.graph().nodes[found].tensor("self").expect("relu has an operand").to_owned();
//!     let new = program.insert_call(found, "aten.gelu.default", &[Arg::Tensor(operand)])?;
//!     program.replace_all_uses(&old, &new[0])?;
//!     program.program.graph_module.graph.erase(found + 1)?;
//!     at = found + 1;
//! }
//! program.lint()?;
//! assert!(program.graph().find_op("aten.relu.default", 0).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeSet;

use pt2c_ir::Arg;
use pt2c_ir::dim::Scope;

use crate::ExportedProgram;
use crate::builder::{complete, facts_of};
use crate::export::{ExportError, Writer, fact_of, hints_of};
use crate::import::{self, schemas};
use crate::schema::{
    Argument, Graph, InputSpec, Node, OptionalTensorArgument, OutputSpec, SymBoolArgument, SymFloatArgument,
    SymIntArgument, TensorArgument,
};
use crate::signature::argument_name;

/// Why an edit is refused, or what [`ExportedProgram::lint`] finds.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such node.
    #[error("there is no node number {index}; the graph has {len}")]
    NoSuchNode {
        /// Its index.
        index: usize,
        /// Number of nodes.
        len: usize,
    },
    /// The value is not defined in this graph.
    #[error("the value {name:?} is not defined")]
    NoSuchValue {
        /// Its name.
        name: String,
    },
    /// The value still has uses.
    #[error("{name:?} is still used by {user:?}")]
    InUse {
        /// The value.
        name: String,
        /// A node's name, or `the output`.
        user: String,
    },
    /// A use before the definition.
    #[error("{user:?} uses {name:?} before it is defined")]
    UseBeforeDefinition {
        /// The value.
        name: String,
        /// The node that uses it.
        user: String,
    },
    /// Two definitions.
    #[error("{name:?} is defined twice")]
    DefinedTwice {
        /// The value.
        name: String,
    },
    /// A value that no table lists.
    #[error("{name:?} has no entry in the value tables")]
    Untyped {
        /// The value.
        name: String,
    },
    /// The signature contradicts the graph.
    #[error(transparent)]
    Schema(#[from] crate::schema::SchemaError),
    /// A call that cannot be written.
    #[error(transparent)]
    Call(#[from] ExportError),
}

impl Argument {
    /// The names of the values in it, nested graphs aside.
    pub fn names(&self) -> Vec<&str> {
        fn tensors(list: &[TensorArgument]) -> Vec<&str> {
            list.iter().map(|tensor| tensor.name.as_str()).collect()
        }
        fn optional(item: &OptionalTensorArgument) -> Option<&str> {
            match item {
                OptionalTensorArgument::AsTensor(tensor) => Some(&tensor.name),
                OptionalTensorArgument::AsNone(_) => None,
            }
        }
        match self {
            Argument::AsTensors(list) => tensors(list),
            Argument::AsNestedTensors(lists) => lists.iter().flat_map(|list| tensors(list)).collect(),
            Argument::AsOptionalTensor(item) => optional(item).into_iter().collect(),
            Argument::AsOptionalTensors(list) => list.iter().filter_map(optional).collect(),
            Argument::AsSymInts(list) => list
                .iter()
                .filter_map(|item| if let SymIntArgument::AsName(name) = item { Some(name.as_str()) } else { None })
                .collect(),
            Argument::AsSymFloats(list) => list
                .iter()
                .filter_map(|item| if let SymFloatArgument::AsName(name) = item { Some(name.as_str()) } else { None })
                .collect(),
            Argument::AsSymBools(list) => list
                .iter()
                .filter_map(|item| if let SymBoolArgument::AsName(name) = item { Some(name.as_str()) } else { None })
                .collect(),
            Argument::AsStringToArgument(map) => map.values().flat_map(Argument::names).collect(),
            other => argument_name(other).into_iter().collect(),
        }
    }

    /// Gives values other names where `rename` says so.
    pub fn rename(&mut self, rename: &mut dyn FnMut(&str) -> Option<String>) {
        let mut apply = |name: &mut String| {
            if let Some(new) = rename(name) {
                *name = new;
            }
        };
        match self {
            Argument::AsTensor(tensor) => apply(&mut tensor.name),
            Argument::AsTensors(tensors) => tensors.iter_mut().for_each(|tensor| apply(&mut tensor.name)),
            Argument::AsNestedTensors(lists) => {
                lists.iter_mut().flatten().for_each(|tensor| apply(&mut tensor.name));
            }
            Argument::AsOptionalTensor(OptionalTensorArgument::AsTensor(tensor)) => apply(&mut tensor.name),
            Argument::AsOptionalTensors(tensors) => {
                for tensor in tensors {
                    if let OptionalTensorArgument::AsTensor(tensor) = tensor {
                        apply(&mut tensor.name);
                    }
                }
            }
            Argument::AsSymInt(SymIntArgument::AsName(name))
            | Argument::AsSymFloat(SymFloatArgument::AsName(name))
            | Argument::AsSymBool(SymBoolArgument::AsName(name)) => apply(name),
            Argument::AsSymInts(values) => {
                for value in values {
                    if let SymIntArgument::AsName(name) = value {
                        apply(name);
                    }
                }
            }
            Argument::AsSymFloats(values) => {
                for value in values {
                    if let SymFloatArgument::AsName(name) = value {
                        apply(name);
                    }
                }
            }
            Argument::AsSymBools(values) => {
                for value in values {
                    if let SymBoolArgument::AsName(name) = value {
                        apply(name);
                    }
                }
            }
            Argument::AsCustomObj(object) => apply(&mut object.name),
            Argument::AsStringToArgument(map) => {
                for argument in map.values_mut() {
                    argument.rename(rename);
                }
            }
            _ => {}
        }
    }
}

impl Node {
    /// The operator by the compiler's name: `aten.add.Tensor`, `higher_order.cond`, `py._operator.mul`.
    pub fn op(&self) -> String {
        schemas::op_name(&self.target)
    }

    /// The argument under its name in the operator's schema.
    pub fn input(&self, name: &str) -> Option<&Argument> {
        self.inputs.iter().find(|input| input.name == name).map(|input| &input.arg)
    }

    /// The name of the tensor that an argument is.
    pub fn tensor(&self, name: &str) -> Option<&str> {
        match self.input(name) {
            Some(Argument::AsTensor(tensor)) => Some(&tensor.name),
            _ => None,
        }
    }

    /// Names of the values that it uses, in order, as often as it uses them.
    pub fn operand_names(&self) -> Vec<&str> {
        self.inputs.iter().flat_map(|input| input.arg.names()).collect()
    }

    /// Names of the values that it defines.
    pub fn output_names(&self) -> Vec<&str> {
        self.outputs.iter().flat_map(Argument::names).collect()
    }

    /// The node's own name, for messages.
    pub fn label(&self) -> &str {
        self.name.as_deref().or_else(|| self.outputs.first().and_then(argument_name)).unwrap_or(&self.target)
    }

    /// Whether it does something besides computing its results: writes, checks, random numbers, unknown operators.
    pub fn has_effect(&self) -> bool {
        let op = self.op();
        if op.starts_with("py.") {
            return false;
        }
        match schemas::schema(&op) {
            None => true,
            Some(schema) => {
                let known = pt2c_ops::lookup(&op);
                schema.returns.is_empty()
                    || schema.params.iter().any(|param| param.mutated)
                    || known.is_some_and(|op| op.def.tags.has(pt2c_ops::Tags::EFFECT))
            }
        }
    }
}

impl Graph {
    /// The index of the node that defines a value.
    pub fn find(&self, value: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.output_names().contains(&value))
    }

    /// The index of the first call of an operator from node `from` on.
    pub fn find_op(&self, op: &str, from: usize) -> Option<usize> {
        let mut nodes = self.nodes.iter().enumerate().skip(from);
        nodes.find(|(_, node)| node.op() == op).map(|(index, _)| index)
    }

    /// Indices of the nodes that use a value, and whether the graph returns it.
    pub fn users(&self, value: &str) -> (Vec<usize>, bool) {
        let nodes = self.nodes.iter().enumerate();
        let users = nodes.filter(|(_, node)| node.operand_names().contains(&value)).map(|(index, _)| index).collect();
        (users, self.outputs.iter().any(|output| output.names().contains(&value)))
    }

    /// Removes a node whose results nobody uses, and their types.
    ///
    /// # Errors
    /// [`EditError::InUse`] with a user.
    pub fn erase(&mut self, index: usize) -> Result<Node, EditError> {
        let len = self.nodes.len();
        let node = self.nodes.get(index).ok_or(EditError::NoSuchNode { index, len })?;
        for name in node.output_names() {
            let (users, returned) = self.users(name);
            let user = match users.first().and_then(|&user| self.nodes.get(user)) {
                Some(user) => user.label().to_owned(),
                None if returned => "the output".to_owned(),
                None => continue,
            };
            return Err(EditError::InUse { name: name.to_owned(), user });
        }
        let node = self.nodes.remove(index);
        for name in node.output_names() {
            self.forget(name);
        }
        Ok(node)
    }

    fn forget(&mut self, name: &str) {
        self.tensor_values.shift_remove(name);
        self.sym_int_values.shift_remove(name);
        self.sym_bool_values.shift_remove(name);
        self.sym_float_values.shift_remove(name);
        self.custom_obj_values.shift_remove(name);
    }

    /// Removes every node without effect whose results nobody uses; returns how many. Nested graphs are cleaned too.
    pub fn eliminate_dead_code(&mut self) -> usize {
        let mut used: BTreeSet<String> = self.outputs.iter().flat_map(Argument::names).map(str::to_owned).collect();
        let mut keep = vec![true; self.nodes.len()];
        for (node, keep) in self.nodes.iter().zip(&mut keep).rev() {
            *keep = node.has_effect() || node.output_names().iter().any(|name| used.contains(*name));
            if *keep {
                used.extend(node.operand_names().into_iter().map(str::to_owned));
            }
        }
        let mut removed = 0;
        let mut keep = keep.into_iter();
        let nodes = std::mem::take(&mut self.nodes);
        for node in nodes {
            if keep.next() == Some(false) {
                removed += 1;
                for name in node.output_names() {
                    self.forget(name);
                }
            } else {
                self.nodes.push(node);
            }
        }
        for node in &mut self.nodes {
            for input in &mut node.inputs {
                if let Argument::AsGraph(inner) = &mut input.arg {
                    removed += inner.graph.eliminate_dead_code();
                }
            }
        }
        removed
    }

    /// Makes every use of one value, by nodes and outputs, a use of another.
    fn rename_uses(&mut self, old: &str, new: &str, except: Option<usize>) {
        let mut rename = |name: &str| (name == old).then(|| new.to_owned());
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if Some(index) != except {
                node.inputs.iter_mut().for_each(|input| input.arg.rename(&mut rename));
            }
        }
        self.outputs.iter_mut().for_each(|output| output.rename(&mut rename));
    }

    /// Checks that every value is defined once, before its uses, and has a type. `path` names the graph in nested ones.
    fn lint(&self) -> Result<(), EditError> {
        let mut defined: BTreeSet<&str> = BTreeSet::new();
        let typed = |name: &str| {
            self.tensor_values.contains_key(name)
                || self.sym_int_values.contains_key(name)
                || self.sym_bool_values.contains_key(name)
                || self.sym_float_values.contains_key(name)
                || self.custom_obj_values.contains_key(name)
        };
        let define = |name: &str| -> Result<(), EditError> {
            if !typed(name) {
                return Err(EditError::Untyped { name: name.to_owned() });
            }
            Ok(())
        };
        for name in self.inputs.iter().flat_map(Argument::names) {
            define(name)?;
            if !defined.insert(name) {
                return Err(EditError::DefinedTwice { name: name.to_owned() });
            }
        }
        for node in &self.nodes {
            for name in node.operand_names() {
                if !defined.contains(name) {
                    let user = node.label().to_owned();
                    return Err(EditError::UseBeforeDefinition { name: name.to_owned(), user });
                }
            }
            for name in node.output_names() {
                define(name)?;
                if !defined.insert(name) {
                    return Err(EditError::DefinedTwice { name: name.to_owned() });
                }
            }
            for input in &node.inputs {
                if let Argument::AsGraph(inner) = &input.arg {
                    inner.graph.lint()?;
                }
            }
        }
        for name in self.outputs.iter().flat_map(Argument::names) {
            if !defined.contains(name) {
                let user = "the output".to_owned();
                return Err(EditError::UseBeforeDefinition { name: name.to_owned(), user });
            }
        }
        Ok(())
    }
}

impl ExportedProgram {
    /// Inserts a call in front of node number `at` (the number of nodes: at the end). Arguments are in schema order,
    /// tensors by name; those left out take their defaults. Returns the names of the results, whose types are
    /// inferred. The new node gets the source line and modules of the node that it is put in front of.
    ///
    /// # Errors
    /// [`ExportError`] for an unknown operator, arguments that do not fit, or sizes without a source.
    pub fn insert_call(&mut self, at: usize, op: &str, args: &[Arg<String>]) -> Result<Vec<String>, EditError> {
        let args = complete(op, args)?;
        let facts = facts_of(self.graph(), &args)?;
        let scope = self.scope();
        let inferred = pt2c_ops::infer(op, &facts, &scope)
            .map_err(|error| ExportError::Call { op: op.to_owned(), reason: error.to_string() })?;
        let hints = hints_of(self);
        let metadata = self.graph().nodes.get(at).or(self.graph().nodes.last()).map(|node| node.metadata.clone());
        let inputs: Vec<(String, Vec<pt2c_ir::dim::Dim>)> = self
            .graph_signature()
            .input_specs
            .iter()
            .filter(|spec| matches!(spec, InputSpec::UserInput(_)))
            .filter_map(|spec| Some((spec.name().to_owned(), fact_of(self.graph(), spec.name()).ok()?.shape)))
            .collect();
        let mut writer = Writer::new(&mut self.program.graph_module.graph, hints).at(at);
        for (name, shape) in &inputs {
            writer.bind_sizes(name, shape);
        }
        writer.remember_sizes();
        writer.set_metadata(metadata.unwrap_or_default());
        let base = op.split('.').nth(1).unwrap_or(op);
        Ok(writer.call(op, &args, base, &inferred, &|_| true)?)
    }

    /// Makes every use of one value a use of another, in nodes, outputs and signature.
    ///
    /// # Errors
    /// [`EditError::NoSuchValue`] if the new value does not exist.
    pub fn replace_all_uses(&mut self, old: &str, new: &str) -> Result<(), EditError> {
        let graph = &mut self.program.graph_module.graph;
        if graph.find(new).is_none() && !graph.inputs.iter().any(|input| input.names().contains(&new)) {
            return Err(EditError::NoSuchValue { name: new.to_owned() });
        }
        // The new value may be computed from the old one.
        let definition = graph.find(new);
        graph.rename_uses(old, new, definition);
        let rename = |name: &mut String| {
            if name == old {
                *name = new.to_owned();
            }
        };
        for spec in &mut self.program.graph_module.signature.output_specs {
            match spec {
                OutputSpec::UserOutput(spec) => spec.arg.rename(&mut |name| (name == old).then(|| new.to_owned())),
                OutputSpec::LossOutput(spec) => rename(&mut spec.arg.name),
                OutputSpec::BufferMutation(spec) => rename(&mut spec.arg.name),
                OutputSpec::ParameterMutation(spec) => rename(&mut spec.arg.name),
                OutputSpec::GradientToParameter(spec) => rename(&mut spec.arg.name),
                OutputSpec::GradientToUserInput(spec) => rename(&mut spec.arg.name),
                OutputSpec::UserInputMutation(spec) => rename(&mut spec.arg.name),
                OutputSpec::Token(spec) => rename(&mut spec.arg.name),
            }
        }
        Ok(())
    }

    /// Checks the graph, its tables and the signature: what PyTorch's `graph.lint()` and its verifier would find.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn lint(&self) -> Result<(), EditError> {
        self.graph().lint()?;
        self.graph_signature().check("the program", self.graph())?;
        Ok(self.check_specs("the program")?)
    }

    /// What is known of the program's symbols: their ranges.
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::new();
        for (key, range) in self.range_constraints() {
            if let Some(symbol) = import::dim_of(key).ok().as_ref().and_then(|dim| dim.as_symbol()) {
                scope.declare(symbol, range.min_val, range.max_val);
            }
        }
        scope
    }
}
