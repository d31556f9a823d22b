//! Custom operators replaced by programs: `--implement mylib::op=op.pt2`.
//!
//! The program's user inputs take the operator's arguments in order: tensors, integers as sizes, numbers also where the
//! program takes a tensor of one element. Its dynamic sizes are solved from the arguments of each call, its rules are
//! proven there or become rules of the whole. Its weights are there once, under the operator's name. The inputs that the
//! program changes are the arguments that the operator writes.

use pt2c_ir::dim::{Dim, Pred, Symbol};
use pt2c_ir::{Arg, Constraint, DType, Diagnostic, Fact, Graph, InputKind, LocationId, Node, NodeKind, OutputKind};
use pt2c_ir::{Program, TensorRole, ValueId};
use pt2c_ops::prim::custom;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Replaces every call of the operator `op` (`mylib.op.default`) by the program.
///
/// # Errors
/// A program that keeps state, a call whose arguments or results are not the program's, an operator that is not called.
pub fn implement(program: &Program, op: &str, by: &Program) -> Result<Program, Diagnostic> {
    let allowed = |kind: &OutputKind| matches!(kind, OutputKind::User | OutputKind::InputMutation(_));
    if let Some(output) = by.signature.outputs.iter().find(|output| !allowed(&output.kind)) {
        return Err(Diagnostic::error(format!("the program that implements {op} changes {:?}", output.name))
            .help("what replaces an operator returns tensors and may change its inputs, without state of its own"));
    }
    let mut result = Program { graph: Graph::new(), ..program.clone() };
    let mut names = BTreeMap::new();
    for (name, entry) in &by.tensors {
        let mut own = format!("{op}.{name}");
        while result.tensors.contains_key(&own) {
            own.push('_');
        }
        let role = TensorRole::Constant;
        result.tensors.insert(own.clone(), pt2c_ir::TensorEntry { role, ..entry.clone() });
        names.insert(name.clone(), own);
    }
    let mut inliner = Inliner { op, by, tensors: names, result, calls: 0 };
    let graph = inliner.graph(&program.graph)?;
    if inliner.calls == 0 {
        return Err(Diagnostic::error(format!("the program does not call {op}"))
            .help("`pt2c check` lists the custom operators of a program"));
    }
    inliner.result.graph = graph;
    Ok(inliner.result)
}

struct Inliner<'a> {
    op: &'a str,
    by: &'a Program,
    /// The tensors of `by` by their names in the result.
    tensors: BTreeMap<String, String>,
    result: Program,
    calls: usize,
}

fn broken(error: pt2c_ir::GraphError) -> Diagnostic {
    Diagnostic::error(error.to_string())
}

fn undefined() -> Diagnostic {
    Diagnostic::error("a value is used before it is defined")
}

impl Inliner<'_> {
    /// The graph with the calls replaced, in its nested graphs too.
    fn graph(&mut self, source: &Graph) -> Result<Graph, Diagnostic> {
        let mut graph = Graph::new();
        let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for (id, node) in source.nodes() {
            let results = match &node.kind {
                NodeKind::Call { op, args } => {
                    let args = args.iter().map(|arg| arg.try_map(|v| values.get(v).copied().ok_or_else(undefined)));
                    let args = args.collect::<Result<Vec<_>, _>>()?;
                    if op == self.op {
                        self.calls += 1;
                        self.call(&mut graph, node, &args)?
                    } else {
                        let args = args.into_iter().map(|arg| match arg {
                            Arg::Graph(body) => Ok(Arg::Graph(Arc::new(self.graph(&body)?))),
                            other => Ok(other),
                        });
                        let args = args.collect::<Result<Vec<_>, Diagnostic>>()?;
                        let new = graph.add_call(op, args, &node.name, node.outputs.clone(), node.location);
                        let new = new.map_err(broken)?;
                        graph.values(new).collect()
                    }
                }
                _ => copy_leaf(&mut graph, node, None)?,
            };
            values.extend(source.values(id).zip(results));
        }
        let outputs = source.outputs.iter().map(|arg| arg.try_map(|v| values.get(v).copied().ok_or_else(undefined)));
        graph.outputs = outputs.collect::<Result<_, _>>()?;
        Ok(graph)
    }

    /// The program in place of a call.
    fn call(&mut self, graph: &mut Graph, node: &Node, args: &[Arg]) -> Result<Vec<ValueId>, Diagnostic> {
        let place = self.result.locations.get(node.location).cloned();
        let op = self.op;
        let wrong = |why: String| {
            Diagnostic::error(format!("the program that implements {op} does not fit: {why}"))
                .about(format!("node `{}`", node.name))
                .at(place.as_ref())
        };
        let (args, written) = custom::written(args);
        let args = leaves(args);
        let written: Vec<usize> = (0..)
            .zip(&args)
            .filter(|(_, (position, arg))| written.contains(position) && arg.as_tensor().is_some())
            .map(|(leaf, _)| leaf)
            .collect();
        if args.len() != self.by.signature.inputs.len() {
            let takes: Vec<&str> = self.by.signature.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(wrong(format!("{} arguments for its inputs {}", args.len(), takes.join(", "))));
        }
        let mut sizes: BTreeMap<Symbol, Dim> = BTreeMap::new();
        let mut inputs = Vec::new();
        let mut facts = self.by.graph.inputs().filter_map(|value| self.by.graph.fact(value));
        let mut given = Vec::new();
        for (spec, (_, arg)) in self.by.signature.inputs.iter().zip(&args) {
            let mismatch = |what: String| wrong(format!("its input `{}` {what}", spec.name));
            match (&spec.kind, arg) {
                (InputKind::Tensor, arg) => {
                    let wanted = facts.next().ok_or_else(|| mismatch("has no type".to_owned()))?;
                    let value = match arg {
                        Arg::Tensor(value) => *value,
                        Arg::Int(_) | Arg::Float(_) | Arg::Bool(_) if wanted.rank() == 0 => {
                            number(graph, arg, wanted.dtype, node.location)?
                        }
                        _ => return Err(mismatch(format!("is a tensor, the call gives {}", describe(arg)))),
                    };
                    let fact = graph.fact(value).cloned().ok_or_else(undefined)?;
                    if fact.dtype != wanted.dtype || fact.rank() != wanted.rank() {
                        return Err(mismatch(format!("is {wanted}, the call gives {fact}")));
                    }
                    for (want, have) in wanted.shape.iter().zip(&fact.shape) {
                        if let Some(symbol) = want.as_symbol() {
                            sizes.entry(symbol.clone()).or_insert_with(|| have.clone());
                        }
                    }
                    given.push((spec.name.clone(), wanted.clone(), fact));
                    inputs.push(value);
                }
                (InputKind::SymInt(symbol), Arg::Int(value)) => {
                    sizes.insert(symbol.clone(), value.clone());
                }
                (InputKind::Constant(wanted), arg) if wanted == arg => {}
                (InputKind::Constant(wanted), arg) => {
                    let (wanted, arg) = (describe(wanted), describe(arg));
                    return Err(mismatch(format!("was exported as {wanted}, the call gives {arg}"))
                        .help("export it with a 0-d tensor in its place: then it takes any number"));
                }
                (InputKind::SymInt(_), arg) => {
                    return Err(mismatch(format!("is an integer, the call gives {}", describe(arg))));
                }
            }
        }
        let mut rules = Vec::new();
        for (name, wanted, fact) in &given {
            for (want, have) in wanted.shape.iter().zip(&fact.shape) {
                rules.push((Pred::eq(&want.subs(&sizes), have), format!("{}: a size of `{name}`", self.op)));
            }
        }
        for (symbol, range) in self.by.scope.symbols().filter(|(symbol, _)| !symbol.is_unbacked()) {
            let size =
                sizes.get(symbol).ok_or_else(|| wrong(format!("nothing in the call tells its size {symbol}")))?;
            let least = range.min.map(|min| Pred::ge(size, &Dim::int(min)));
            let most = range.max.map(|max| Pred::le(size, &Dim::int(max)));
            let range = Pred::and(least.into_iter().chain(most));
            rules.push((range, format!("{}: the range of {symbol}", self.op)));
        }
        for constraint in &self.by.constraints {
            rules.push((constraint.pred.subs(&sizes), format!("{}: {}", self.op, constraint.rule)));
        }
        // What the data decide gets symbols of its own in every call.
        let late: Vec<Symbol> = self.by.scope.symbols().map(|(s, _)| s.clone()).filter(Symbol::is_unbacked).collect();
        let numbers =
            self.result.scope.symbols().filter_map(|(s, _)| s.as_str().strip_prefix('u')?.parse::<u64>().ok());
        let mut next = numbers.max().map_or(0, |last| last + 1);
        for symbol in late {
            let range = self.by.scope.range_of(&symbol);
            let own = Symbol::from(format!("u{next}").as_str());
            next += 1;
            self.result.scope.declare(own.clone(), range.min, range.max);
            sizes.insert(symbol, Dim::sym(own));
        }
        for (pred, rule) in rules {
            if pred == Pred::False || self.result.scope.prove(&pred).is_no() {
                return Err(wrong(format!("a call breaks its rule {rule} ({pred})")));
            }
            if !self.result.scope.prove(&pred).is_yes() {
                self.result.scope.assume(pred.clone());
                self.result.constraints.push(Constraint { pred, rule });
            }
        }
        let by = self.by;
        let computed = self.copy(graph, &by.graph, &inputs, &sizes, Some(node))?;
        let (mut results, mut changed) = (Vec::new(), BTreeMap::new());
        for (result, spec) in computed.into_iter().zip(&by.signature.outputs) {
            match spec.kind {
                OutputKind::InputMutation(leaf) if written.contains(&leaf) => drop(changed.insert(leaf, result)),
                OutputKind::InputMutation(_) => {
                    return Err(wrong(format!(
                        "it changes its input `{}`, which the operator does not write",
                        spec.name
                    )));
                }
                // `forward` returned None.
                _ if result.is_none() => {}
                _ => results.push(result),
            }
        }
        let own = node.outputs.len().saturating_sub(written.len());
        if results.len() != own {
            return Err(wrong(format!("it returns {} tensors, the operator {own}", results.len())));
        }
        // What the operator may write and the program leaves alone keeps its value.
        let unchanged = |leaf: &usize| args.get(*leaf).map_or(Arg::None, |(_, arg)| arg.clone());
        results.extend(written.iter().map(|leaf| changed.remove(leaf).unwrap_or_else(|| unchanged(leaf))));
        let mut values = Vec::new();
        for (index, (result, wanted)) in results.into_iter().zip(&node.outputs).enumerate() {
            let Arg::Tensor(value) = result else {
                return Err(wrong(format!("its output {index} is no tensor")));
            };
            let fact = graph.fact(value).cloned().ok_or_else(undefined)?;
            let same = |(a, b): (&Dim, &Dim)| self.result.scope.prove_eq(a, b).is_yes();
            if fact.dtype != wanted.dtype
                || fact.rank() != wanted.rank()
                || !fact.shape.iter().zip(&wanted.shape).all(same)
            {
                return Err(wrong(format!("its output {index} is {fact}, that of the operator is {wanted}")));
            }
            values.push(value);
        }
        Ok(values)
    }

    /// Copies a graph of the implementation behind what there is; gives its outputs.
    fn copy(
        &mut self,
        graph: &mut Graph,
        source: &Graph,
        inputs: &[ValueId],
        sizes: &BTreeMap<Symbol, Dim>,
        call: Option<&Node>,
    ) -> Result<Vec<Arg>, Diagnostic> {
        let mut values: BTreeMap<ValueId, ValueId> = source.inputs().zip(inputs.iter().copied()).collect();
        for (id, node) in source.nodes() {
            let results = match &node.kind {
                NodeKind::Input => continue,
                NodeKind::Tensor(name) => copy_leaf(graph, node, self.tensors.get(name).map(String::as_str))?,
                NodeKind::Call { op, args } => {
                    let args = args.iter().map(|arg| arg.try_map(|v| values.get(v).copied().ok_or_else(undefined)));
                    let mut args = args.collect::<Result<Vec<_>, _>>()?;
                    for arg in &mut args {
                        self.substitute(arg, sizes)?;
                    }
                    let facts = node.outputs.iter().map(|fact| at_sizes(fact, sizes)).collect();
                    let location = match call {
                        Some(call) => call.location,
                        None => LocationId::UNKNOWN,
                    };
                    let new = graph.add_call(op, args, &node.name, facts, location).map_err(broken)?;
                    graph.values(new).collect()
                }
            };
            values.extend(source.values(id).zip(results));
        }
        let mut outputs = Vec::new();
        for output in &source.outputs {
            let mut output = output.try_map(|v| values.get(v).copied().ok_or_else(undefined))?;
            self.substitute(&mut output, sizes)?;
            outputs.push(output);
        }
        Ok(outputs)
    }

    fn substitute(&mut self, arg: &mut Arg, sizes: &BTreeMap<Symbol, Dim>) -> Result<(), Diagnostic> {
        match arg {
            Arg::Int(dim) => *dim = dim.subs(sizes),
            Arg::Ints(dims) => dims.iter_mut().for_each(|dim| *dim = dim.subs(sizes)),
            Arg::Graph(body) => {
                let mut graph = Graph::new();
                let mut inputs = Vec::new();
                for input in body.inputs() {
                    let fact = body.fact(input).ok_or_else(undefined)?;
                    inputs.push(graph.add_input(&body.value_name(input), at_sizes(fact, sizes)));
                }
                let outputs = self.copy(&mut graph, body, &inputs, sizes, None)?;
                graph.outputs = outputs;
                *body = Arc::new(graph);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The arguments with lists of tensors taken apart, as a program's inputs are, each with its position.
fn leaves(args: &[Arg]) -> Vec<(usize, Arg)> {
    let mut leaves = Vec::new();
    for (position, arg) in args.iter().enumerate() {
        match arg {
            Arg::Tensors(list) => {
                leaves.extend(list.iter().map(|value| (position, value.map_or(Arg::None, Arg::Tensor))));
            }
            other => leaves.push((position, other.clone())),
        }
    }
    leaves
}

fn at_sizes(fact: &Fact, sizes: &BTreeMap<Symbol, Dim>) -> Fact {
    Fact { shape: fact.shape.iter().map(|dim| dim.subs(sizes)).collect(), ..fact.clone() }
}

/// Copies an input, or a tensor of the program under the name that it has in the result.
fn copy_leaf(graph: &mut Graph, node: &Node, tensor: Option<&str>) -> Result<Vec<ValueId>, Diagnostic> {
    let fact = node.outputs.first().cloned().ok_or_else(undefined)?;
    Ok(vec![match &node.kind {
        NodeKind::Tensor(name) => graph.add_tensor(tensor.unwrap_or(name), &node.name, fact),
        _ => graph.add_input(&node.name, fact),
    }])
}

/// A number as a tensor without dimensions.
fn number(graph: &mut Graph, value: &Arg, dtype: DType, location: LocationId) -> Result<ValueId, Diagnostic> {
    let args = vec![value.clone(), Arg::DType(dtype), Arg::None, Arg::None, Arg::None];
    let fact = Fact::new(dtype, Vec::<Dim>::new());
    let node = graph.add_call("aten.scalar_tensor.default", args, "number", vec![fact], location).map_err(broken)?;
    Ok(ValueId { node, index: 0 })
}

fn describe(arg: &Arg) -> String {
    match arg {
        Arg::Tensor(_) => "a tensor".to_owned(),
        Arg::Tensors(_) => "a list of tensors".to_owned(),
        Arg::None => "None".to_owned(),
        Arg::Int(value) => value.to_string(),
        Arg::Float(value) => format!("{value:?}"),
        Arg::Bool(value) => value.to_string(),
        Arg::Str(value) => format!("{value:?}"),
        _ => "something else".to_owned(),
    }
}
