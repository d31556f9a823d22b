//! One graph of the archive → one graph of the IR, node by node.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, DType, Fact, Graph, LocationId, Locations, NodeId, ValueId};
use pt2c_ops::{Schema, Tags, infer, lookup};

use super::arguments::{self, NamedArg, lay_out};
use super::custom::Operators;
use super::error::{ImportError, ImportErrorKind};
use super::facts::{Typed, typed};
use super::functionalize::{Alias, Memories, Mutation, Names, Owner, add, mutation, row_major, view_steps};
use super::inline::inlined;
use super::split::BY_TENSOR;
use super::symbols::{Expressions, Facts};
use super::{autocast, location, schemas, sizes};
use crate::schema::{self, Argument, Node, OptionalTensorArgument, SymBoolArgument};

/// What all graphs of a program share while they are imported.
#[derive(Default)]
pub struct Shared {
    /// Expressions read so far.
    pub expressions: Expressions,
    /// Scope, constraints, warnings.
    pub facts: Facts,
    /// The user's source lines.
    pub locations: Locations,
    /// Where errors go when the import is to continue behind them; `None` ends it at the first.
    pub errors: Option<Vec<ImportError>>,
    /// What is known of custom operators.
    pub operators: Operators,
    /// The data-dependent symbols that have a value at the node that is imported.
    pub bound: BTreeSet<Symbol>,
}

/// A graph under construction.
pub struct Builder<'s> {
    /// What all graphs share.
    pub shared: &'s mut Shared,
    /// The graph.
    pub graph: Graph,
    /// What its names are views of.
    pub memories: Memories,
    /// Inside a branch or body, which may never run.
    pub(super) nested: bool,
    /// Names of numbers that are 0-d tensors here.
    pub numbers: BTreeSet<String>,
    /// Inside an autocast region.
    pub(super) autocast: bool,
}

/// A node's tensor results: names (`None` for an undefined one) with their types, in order.
pub(super) type Results = Vec<(Option<String>, Typed)>;

impl<'s> Builder<'s> {
    /// An empty graph: the program's own.
    pub fn new(shared: &'s mut Shared) -> Builder<'s> {
        Builder {
            shared,
            graph: Graph::new(),
            memories: Memories::default(),
            nested: false,
            numbers: BTreeSet::new(),
            autocast: false,
        }
    }

    /// Imports all nodes of `source`; `names` holds its inputs and receives its values.
    ///
    /// # Errors
    /// [`ImportError`] with the node and the user's line.
    pub fn nodes(&mut self, source: &schema::Graph, names: &mut Names) -> Result<(), ImportError> {
        let nodes: Vec<&Node> = source.nodes.iter().collect();
        self.list(source, names, &nodes)
    }

    /// Imports a node; an error is kept, if errors are, and its results are defined all the same.
    pub(super) fn node_or_error(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
    ) -> Result<(), ImportError> {
        let op = schemas::op_name(&node.target);
        if let Err(error) = self.node(source, names, node, &op) {
            let error = error.locate(node, &op);
            match &mut self.shared.errors {
                Some(errors) => errors.push(error),
                None => return Err(error),
            }
            self.stand_in(source, names, node, &op);
        }
        Ok(())
    }

    /// A builder of a nested graph, which may never run.
    pub(super) fn nested(&mut self) -> Builder<'_> {
        let autocast = self.autocast;
        Builder { nested: true, autocast, ..Builder::new(self.shared) }
    }

    /// Defines the results of a node that could not be imported, so that what uses them can be looked at too.
    fn stand_in(&mut self, source: &schema::Graph, names: &mut Names, node: &Node, op: &str) {
        let location = self.shared.locations.intern(location::of_node(node));
        for name in node.outputs.iter().flat_map(tensor_names) {
            // A type that cannot be expressed is what the error said; anything will do for the rest.
            let placeholder = || Typed { fact: Fact::new(DType::F32, Vec::new()), strides: Vec::new() };
            let typed = typed(name, source, &mut self.shared.expressions).unwrap_or_else(|_| placeholder());
            let facts = vec![typed.fact.clone()];
            if !names.contains_key(name)
                && let Ok(id) = self.graph.add_call(op, Vec::new(), name, facts, location)
            {
                let view = self.memories.allocate(ValueId { node: id, index: 0 }, typed, Owner::Intermediate);
                names.insert(name.to_owned(), view);
            }
        }
    }

    pub(super) fn node(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
    ) -> Result<(), ImportError> {
        let location = self.shared.locations.intern(location::of_node(node));
        if self.number(source, names, node, op, location)? || self.assertion(source, names, node, op, location)? {
            return Ok(());
        }
        if self.effect(source, names, node, op, location)? {
            return Ok(());
        }
        if let Some(inner) = inlined(node, op)? {
            return self.inline(names, node, inner);
        }
        if op == "higher_order.auto_functionalized" || op == "higher_order.auto_functionalized_v2" {
            return self.auto_functionalized(source, names, node, location);
        }
        if op.starts_with("higher_order.") {
            return self.control(source, names, node, op, location);
        }
        let mut subgraphs = node
            .inputs
            .iter()
            .filter_map(|input| match &input.arg {
                Argument::AsGraph(inner) => Some(self.subgraph(&inner.graph)),
                _ => None,
            })
            .collect::<Result<VecDeque<_>, _>>()?;
        let inputs = Self::with_values(&node.inputs, names);
        let signature = schemas::schema(op);
        let custom = self.custom_schema(op, &inputs);
        let mut args =
            lay_out(&inputs, custom.as_deref().or(signature), source, &mut self.shared.expressions, &mut |_| {
                Ok(subgraphs.pop_front().unwrap_or(Arg::None))
            })?;
        let results = self.results(source, node)?;
        if !self.nested {
            for (_, typed) in &results {
                sizes::assume_sizes(&mut self.shared.facts, &typed.fact);
            }
            if let Some((_, typed)) = results.first() {
                sizes::assume_selection(&mut self.shared.facts, names, op, &args, &typed.fact);
            }
        }
        self.require_index(names, op, &args, location)?;
        self.note_squeeze(names, op, &args, location);
        let fact = results.first().map(|(_, typed)| typed.fact.clone());
        let op = self.take_tensors(names, op, &mut args, fact.as_ref(), location)?;
        let op = op.as_ref();
        let signature = schemas::schema(op);
        let mut call = Call { op, signature, args, results, name: node_name(node), location };
        if self.autocast {
            self.convert_operands(names, &mut call)?;
        }
        Ok(self.call(names, call)?)
    }

    /// Types of the node's tensor results.
    pub(super) fn results(&mut self, source: &schema::Graph, node: &Node) -> Result<Results, ImportErrorKind> {
        let mut results = Results::new();
        // A result that PyTorch leaves undefined has no type; nobody can use it.
        let undefined = || (None, Typed { fact: Fact::of(DType::F32, &[0]), strides: vec![Dim::int(1)] });
        let mut defined = |name: &str| -> Result<_, ImportErrorKind> {
            Ok((Some(name.to_owned()), typed(name, source, &mut self.shared.expressions)?))
        };
        for output in &node.outputs {
            match output {
                Argument::AsTensor(tensor) => results.push(defined(&tensor.name)?),
                Argument::AsTensors(tensors) => {
                    for tensor in tensors {
                        results.push(defined(&tensor.name)?);
                    }
                }
                Argument::AsOptionalTensor(OptionalTensorArgument::AsTensor(tensor)) => {
                    results.push(defined(&tensor.name)?);
                }
                Argument::AsOptionalTensors(tensors) => {
                    for tensor in tensors {
                        results.push(match tensor {
                            OptionalTensorArgument::AsTensor(tensor) => defined(&tensor.name)?,
                            OptionalTensorArgument::AsNone(_) => undefined(),
                        });
                    }
                }
                Argument::AsNone(_) | Argument::AsOptionalTensor(OptionalTensorArgument::AsNone(_)) => {
                    results.push(undefined());
                }
                // A symbolic int among a higher-order operator's results: its expression is in the table.
                Argument::AsSymInt(_) | Argument::AsInt(_) => {}
                other => {
                    return Err(ImportErrorKind::unsupported(
                        format!("a result of kind {}", other.tag()),
                        "return tensors from the operator",
                    ));
                }
            }
        }
        Ok(results)
    }

    /// Inserts the conversions that an autocast region makes.
    fn convert_operands(&mut self, names: &mut Names, call: &mut Call<'_>) -> Result<(), ImportErrorKind> {
        let Some((_, result)) = call.results.first() else { return Ok(()) };
        let scope = &self.shared.facts.scope;
        let Some(dtype) = autocast::conversion(call.op, &call.args, names, &result.fact, scope) else {
            return Ok(());
        };
        let location = call.location;
        for operand in call.args.iter_mut().flat_map(Arg::tensors_mut) {
            let from = known(names, operand)?.typed.clone();
            if !from.fact.dtype.is_float() || from.fact.dtype == dtype {
                continue;
            }
            let to = from.fact.with_dtype(dtype);
            let value = self.read(names, operand, location)?;
            let value = self.convert(value, &from.fact, &to, location)?;
            let typed = Typed { strides: row_major(&to.shape), fact: to };
            let view = self.memories.allocate(value, typed, Owner::Intermediate);
            // No archive has such a name; a later use of the operand converts it again, and equal nodes are merged.
            *operand = format!("{operand} as {dtype}");
            names.insert(operand.clone(), view);
        }
        Ok(())
    }

    /// Adds a call, made functional.
    pub(super) fn call(&mut self, names: &mut Names, call: Call<'_>) -> Result<(), ImportErrorKind> {
        if call.op == BY_TENSOR {
            return self.split_at(names, call);
        }
        let written = self.written(&call)?;
        if !written.is_empty() {
            return self.writing_call(names, call, &written);
        }
        let fact_of = |name: &str| names.get(name).map(|view| view.typed.fact.clone());
        match mutation(call.op, call.signature, &call.args, &fact_of)? {
            None => {
                self.bind_sizes(names, &call)?;
                let facts = call.results.iter().map(|(_, typed)| typed.fact.clone()).collect();
                let id = self.emit(names, call.op, &call.args, &call.name, facts, call.location)?;
                self.define(names, &call, call.op, id)
            }
            Some(Mutation::Compute { target, op, args }) => {
                let to = known(names, &target)?.typed.fact.clone();
                let computed = self.computed_fact(names, &op, &args, &to);
                let id = self.emit(names, &op, &args, &call.name, vec![computed.clone()], call.location)?;
                let value = self.convert(ValueId { node: id, index: 0 }, &computed, &to, call.location)?;
                self.store(names, &target, value, call.location)?;
                self.rename_results(names, &call, &target)
            }
            Some(Mutation::Assign { target, source }) => {
                let to = known(names, &target)?.typed.fact.clone();
                let from = known(names, &source)?.typed.fact.clone();
                let value = self.read(names, &source, call.location)?;
                let value = self.convert(value, &from, &to, call.location)?;
                self.store(names, &target, value, call.location)?;
                self.rename_results(names, &call, &target)
            }
            Some(Mutation::Rename { target, op }) => {
                let facts = call.results.iter().map(|(_, typed)| typed.fact.clone()).collect();
                let id = self.emit(names, &op, &call.args, &call.name, facts, call.location)?;
                self.define(names, &call, &op, id)?;
                // From here on the operand's own name means the new view as well.
                if let Some((Some(result), _)) = call.results.first()
                    && let Some(view) = names.get(result).cloned()
                {
                    names.insert(target, view);
                }
                Ok(())
            }
            Some(Mutation::Outs { op, args, targets }) => self.outs(names, &call, &op, &args, &targets),
            Some(Mutation::FillDiagonal) => self.fill_diagonal(names, &call),
            Some(Mutation::InstanceStatistics) => self.instance_norm(names, &call),
            Some(Mutation::Statistics { op, args, targets, returned }) => {
                let mut facts: Vec<Fact> = call.results.iter().map(|(_, typed)| typed.fact.clone()).collect();
                let statistics = known(names, targets.first().map_or("", String::as_str))?.typed.fact.clone();
                // Output, then saved mean and inverse deviation (and what else it returns), then the new statistics.
                let own = returned.max(3);
                facts.resize(own, statistics.clone());
                facts.resize(own + 2, statistics);
                let id = self.emit(names, op, &args, &call.name, facts, call.location)?;
                for (index, (name, typed)) in call.results.iter().take(returned).enumerate() {
                    let value = ValueId { node: id, index: index as u32 };
                    self.fresh(names, name.as_deref(), value, typed)?;
                }
                for (index, target) in targets.iter().enumerate() {
                    self.store(names, target, ValueId { node: id, index: (own + index) as u32 }, call.location)?;
                }
                Ok(())
            }
        }
    }

    /// Gives a value to the symbols that sizes of the results are and that nothing has bound: a slice at a number that
    /// data decide has such a size, although it follows from the number.
    fn bind_sizes(&mut self, names: &Names, call: &Call<'_>) -> Result<(), ImportErrorKind> {
        let late = |d: &Dim| d.as_symbol().filter(|s| s.is_unbacked()).cloned();
        let finds_out = lookup(call.op).is_some_and(|op| op.def.tags.has(Tags::LATE));
        let mut inferred = None;
        for (i, (_, typed)) in call.results.iter().enumerate() {
            for (d, symbol) in typed.fact.shape.iter().enumerate().filter_map(|(d, n)| Some((d, late(n)?))) {
                if !self.shared.bound.insert(symbol.clone()) || finds_out {
                    continue;
                }
                let facts = inferred.get_or_insert_with(|| self.infer_call(names, call).unwrap_or_default());
                let size = facts.get(i).and_then(|f| f.shape.get(d)).cloned();
                match size.filter(|n| *n != pt2c_ops::shape::late() && !n.mentions(&|s| *s == symbol)) {
                    Some(size) => self.bind_to(&size, &symbol, call.location)?,
                    // It may be a symbol that an operand has and that is bound in another way.
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn infer_call(&self, names: &Names, call: &Call<'_>) -> Option<Vec<Fact>> {
        self.inferred(names, call.op, &call.args)
    }

    /// The types that inference gives the results of a call; `None` if it cannot tell.
    fn inferred(&self, names: &Names, op: &str, args: &[NamedArg]) -> Option<Vec<Fact>> {
        let fact = |name: &String| names.get(name).map(|v| v.typed.fact.clone()).ok_or(());
        let facts = args.iter().map(|arg| arg.try_map(fact)).collect::<Result<Vec<_>, _>>().ok()?;
        infer(op, &facts, &self.shared.facts.scope).ok()
    }

    /// An `out=` variant: what the pure operator computes is stored in the targets.
    fn outs(
        &mut self,
        names: &mut Names,
        call: &Call<'_>,
        op: &str,
        args: &[NamedArg],
        targets: &[String],
    ) -> Result<(), ImportErrorKind> {
        let wanted = targets.iter().map(|target| known(names, target).map(|view| view.typed.fact.clone()));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let computed = self.inferred(names, op, args).filter(|facts| facts.len() == wanted.len());
        let computed = computed.unwrap_or_else(|| wanted.clone());
        let equal = |a: &Dim, b: &Dim| self.shared.facts.scope.prove_eq(a, b).is_yes();
        let fits =
            |(a, b): (&Fact, &Fact)| a.rank() == b.rank() && a.shape.iter().zip(&b.shape).all(|(a, b)| equal(a, b));
        if !computed.iter().zip(&wanted).all(fits) {
            return Err(ImportErrorKind::unsupported(
                format!("{}, whose result is not of the size of `out`,", call.op),
                "give `out` the size of the result, or use the operator without it",
            ));
        }
        let id = self.emit(names, op, args, &call.name, computed.clone(), call.location)?;
        for (index, ((target, from), to)) in targets.iter().zip(&computed).zip(&wanted).enumerate() {
            let value = ValueId { node: id, index: index as u32 };
            let value = self.convert(value, &to.with_dtype(from.dtype), to, call.location)?;
            self.store(names, target, value, call.location)?;
        }
        for (target, (name, _)) in targets.iter().zip(&call.results) {
            if let Some(name) = name {
                let view = known(names, target)?.clone();
                insert(names, name, view)?;
            }
        }
        Ok(())
    }

    /// Gives the results of a call their names, as views where the operator returns its operand's memory.
    fn define(&mut self, names: &mut Names, call: &Call<'_>, op: &str, id: NodeId) -> Result<(), ImportErrorKind> {
        let typed_of = |name: &str| names.get(name).map(|view| view.typed.clone());
        let types: Vec<Typed> = call.results.iter().map(|(_, typed)| typed.clone()).collect();
        let signature = schemas::schema(op);
        let aliases = view_steps(op, signature, &call.args, &typed_of, &types, &self.shared.facts.scope);
        for (index, ((name, typed), alias)) in call.results.iter().zip(aliases).enumerate() {
            let value = ValueId { node: id, index: index as u32 };
            let (base, step) = match alias {
                Alias::Fresh => {
                    self.fresh(names, name.as_deref(), value, typed)?;
                    continue;
                }
                Alias::Same(base) => (base, None),
                Alias::View(base, step) => (base, Some(step)),
            };
            let view = self.memories.derive(known(names, &base)?, step, value, typed.clone());
            if let Some(name) = name {
                insert(names, name, view)?;
            }
        }
        Ok(())
    }

    pub(super) fn fresh(
        &mut self,
        names: &mut Names,
        name: Option<&str>,
        value: ValueId,
        typed: &Typed,
    ) -> Result<(), ImportErrorKind> {
        let Some(name) = name else { return Ok(()) };
        let view = self.memories.allocate(value, typed.clone(), Owner::Intermediate);
        insert(names, name, view)
    }

    /// An in-place operator's result is its operand.
    pub(super) fn rename_results(
        &mut self,
        names: &mut Names,
        call: &Call<'_>,
        target: &str,
    ) -> Result<(), ImportErrorKind> {
        let view = known(names, target)?.clone();
        for name in call.results.iter().filter_map(|(name, _)| name.as_ref()) {
            insert(names, name, view.clone())?;
        }
        Ok(())
    }

    /// The present value of a name.
    pub fn read(&mut self, names: &mut Names, name: &str, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        let view = names.get_mut(name).ok_or_else(|| ImportErrorKind::Undefined { name: name.to_owned() })?;
        self.memories.read(view, &mut self.graph, location)
    }

    pub(super) fn store(
        &mut self,
        names: &mut Names,
        name: &str,
        value: ValueId,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let view = names.get_mut(name).ok_or_else(|| ImportErrorKind::Undefined { name: name.to_owned() })?;
        self.memories.write(view, value, &mut self.graph, location)
    }

    pub(super) fn emit(
        &mut self,
        names: &mut Names,
        op: &str,
        args: &[NamedArg],
        name: &str,
        facts: Vec<Fact>,
        location: LocationId,
    ) -> Result<NodeId, ImportErrorKind> {
        let args = args
            .iter()
            .map(|arg| arg.try_map(|operand| self.read(names, operand, location)))
            .collect::<Result<Vec<_>, _>>()?;
        self.graph
            .add_call(op, args, name, facts, location)
            .map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })
    }

    /// The type of a pure operator that stands for an in-place one: its own promotion rules decide, before the
    /// result is converted to the operand's type.
    fn computed_fact(&self, names: &Names, op: &str, args: &[NamedArg], to: &Fact) -> Fact {
        if lookup(op).is_none() {
            return to.clone();
        }
        match self.inferred(names, op, args).as_deref() {
            Some([fact]) => to.with_dtype(fact.dtype),
            _ => to.clone(),
        }
    }

    /// Converts and broadcasts a value that is written to a tensor of type `to`.
    pub(super) fn convert(
        &mut self,
        value: ValueId,
        from: &Fact,
        to: &Fact,
        location: LocationId,
    ) -> Result<ValueId, ImportErrorKind> {
        let mut value = value;
        if from.dtype != to.dtype {
            let args = vec![Arg::Tensor(value), Arg::DType(to.dtype), Arg::Bool(false), Arg::Bool(false), Arg::None];
            value = add(&mut self.graph, "aten.to.dtype", args, "to", from.with_dtype(to.dtype), location)?;
        }
        if from.shape != to.shape {
            let args = vec![Arg::Tensor(value), Arg::Ints(to.shape.clone()), Arg::Bool(false)];
            value = add(&mut self.graph, "aten.expand.default", args, "expand", to.clone(), location)?;
        }
        Ok(value)
    }

    /// Imports a nested graph of a higher-order operator.
    fn subgraph(&mut self, source: &schema::Graph) -> Result<NamedArg, ImportError> {
        self.body(source).map(|graph| Arg::Graph(Arc::new(graph)))
    }

    /// A nested graph: its tensors in, tensors out.
    pub(super) fn body(&mut self, source: &schema::Graph) -> Result<Graph, ImportError> {
        let mut builder = self.nested();
        let mut names = Names::new();
        for input in &source.inputs {
            if let Argument::AsTensor(tensor) = input {
                let typed = typed(&tensor.name, source, &mut builder.shared.expressions)?;
                let value = builder.graph.add_input(&tensor.name, typed.fact.clone());
                let view = builder.memories.allocate(value, typed, Owner::Operand);
                insert(&mut names, &tensor.name, view)?;
            }
        }
        builder.nodes(source, &mut names)?;
        let outputs = builder.outputs(source, &mut names)?;
        builder.graph.outputs = outputs;
        let mut graph = builder.graph;
        graph.remove_dead(super::has_effect);
        Ok(graph)
    }

    /// What a graph returns.
    pub fn outputs(&mut self, source: &schema::Graph, names: &mut Names) -> Result<Vec<Arg>, ImportErrorKind> {
        source.outputs.iter().map(|output| self.output(output, source, names)).collect()
    }

    /// One output.
    pub fn output(
        &mut self,
        output: &Argument,
        source: &schema::Graph,
        names: &mut Names,
    ) -> Result<Arg, ImportErrorKind> {
        if matches!(output, Argument::AsSymFloat(_) | Argument::AsSymBool(SymBoolArgument::AsName(_))) {
            return self.number_value(source, names, output, DType::F64, LocationId::UNKNOWN).map(Arg::Tensor);
        }
        let arg = arguments::convert("output", output, source, &mut self.shared.expressions, &mut |_| Ok(Arg::None))?;
        arg.try_map(|name| self.read(names, name, LocationId::UNKNOWN))
    }
}

/// A call before it is made functional.
pub(super) struct Call<'a> {
    /// The operator.
    pub op: &'a str,
    /// Its schema.
    pub signature: Option<&'static Schema>,
    /// Its arguments.
    pub args: Vec<NamedArg>,
    /// Names and types of its results.
    pub results: Results,
    /// Base name of the node.
    pub name: String,
    /// Where it is from.
    pub location: LocationId,
}

pub(super) fn tensor_names(argument: &Argument) -> Vec<&str> {
    match argument {
        Argument::AsTensor(tensor) => vec![&tensor.name],
        Argument::AsTensors(tensors) => tensors.iter().map(|t| t.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn known<'n>(names: &'n Names, name: &str) -> Result<&'n super::functionalize::View, ImportErrorKind> {
    names.get(name).ok_or_else(|| ImportErrorKind::Undefined { name: name.to_owned() })
}

/// Defines a name.
///
/// # Errors
/// [`ImportErrorKind::Redefined`].
pub fn insert(names: &mut Names, name: &str, view: super::functionalize::View) -> Result<(), ImportErrorKind> {
    match names.insert(name.to_owned(), view) {
        None => Ok(()),
        Some(_) => Err(ImportErrorKind::Redefined { name: name.to_owned() }),
    }
}

/// The FX node's name; older archives name only the results.
pub(super) fn node_name(node: &Node) -> String {
    let first = || node.outputs.iter().flat_map(tensor_names).next().unwrap_or("").to_owned();
    node.name.clone().unwrap_or_else(first)
}

impl ImportError {
    /// Adds the node and the user's line, unless a node inside said where already.
    fn locate(mut self, node: &Node, op: &str) -> ImportError {
        if self.subject.is_none() {
            self.subject = Some(format!("node \"{}\" ({op})", node_name(node)));
            let location = location::of_node(node);
            self.location = Some(location).filter(|l| !l.file.is_empty()).map(Box::new);
        }
        self
    }
}
