//! The reference interpreter: runs a program node by node with the table's evaluation, at any phase.

use crate::{Call, OpError, Scalar, Tensor, lookup};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Pred, Scope, Symbol};
use pt2c_ir::{Arg, Constraint, Fact, Graph, InputKind, Node, NodeId, NodeKind, OutputKind, Program, ValueId};
use std::collections::BTreeMap;

/// Why a program could not be run.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum InterpretError {
    /// A node failed.
    #[error("node `{node}` ({op}): {error}")]
    Node { node: String, op: String, error: OpError },
    /// The inputs do not fit the signature.
    #[error("{0}")]
    Input(String),
    /// A tensor of the program has no data.
    #[error("tensor `{0}` has no data")]
    MissingData(String),
    /// A constraint of the program does not hold for these sizes.
    #[error("constraint violated: {rule}")]
    Constraint { rule: String },
}

/// What a call returned.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The user outputs in order; non-tensor leaves are what the program returns for them (integers as 0-d i64).
    pub outputs: Vec<Arg<Tensor>>,
    /// New values of mutated buffers.
    pub buffers: IndexMap<String, Tensor>,
    /// New values of mutated inputs, by index into the signature's inputs.
    pub inputs: IndexMap<usize, Tensor>,
    /// Symbols as bound by this call.
    pub symbols: BTreeMap<Symbol, i64>,
}

/// A user input: what the signature's entries take.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// For [`InputKind::Tensor`].
    Tensor(Tensor),
    /// For [`InputKind::SymInt`].
    Int(i64),
    /// For [`InputKind::Constant`].
    Baked,
}

/// Binds root symbols from the sizes of the inputs: a size that is a plain symbol binds it; then each size that is
/// linear in one unbound symbol binds that.
pub fn bind_symbols(program: &Program, inputs: &[Input]) -> Result<BTreeMap<Symbol, i64>, InterpretError> {
    let mut bound: BTreeMap<Symbol, i64> = BTreeMap::new();
    let mut sizes: Vec<(Dim, i64)> = Vec::new();
    for (spec, input) in program.signature.inputs.iter().zip(inputs) {
        if let (InputKind::SymInt(symbol), Input::Int(i)) = (&spec.kind, input) {
            sizes.push((Dim::sym(symbol.clone()), *i));
        }
    }
    for (i, spec, fact) in program.tensor_inputs() {
        let Some(Input::Tensor(t)) = inputs.get(i) else {
            return Err(InterpretError::Input(format!("input `{}` must be a tensor", spec.name)));
        };
        if t.dtype() != fact.dtype || t.rank() != fact.rank() {
            return Err(InterpretError::Input(format!(
                "input `{}` is {}{:?}, the program takes {fact}",
                spec.name,
                t.dtype(),
                t.shape()
            )));
        }
        sizes.extend(fact.shape.iter().cloned().zip(t.shape().iter().map(|&n| n as i64)));
    }
    loop {
        let before = bound.len();
        for (dim, value) in &sizes {
            let known: BTreeMap<Symbol, Dim> = bound.iter().map(|(s, v)| (s.clone(), Dim::int(*v))).collect();
            let rest = dim.subs(&known);
            let free = rest.symbols();
            if free.len() == 1
                && let Some(symbol) = free.first()
                && let Some((coefficient, offset)) = rest.coefficient_of(symbol)
                && let (Some(c), Some(o)) = (coefficient.as_int(), offset.as_int())
                && c != 0
                && (value - o) % c == 0
            {
                bound.insert(symbol.clone(), (value - o) / c);
            }
        }
        if bound.len() == before {
            break;
        }
    }
    for (dim, value) in &sizes {
        match dim.eval(&|s| bound.get(s).copied()) {
            Ok(n) if n == *value => {}
            _ => return Err(InterpretError::Constraint { rule: format!("a size is {value}, but must be {dim}") }),
        }
    }
    Ok(bound)
}

/// Runs `program` on `inputs` (one per entry of the signature). `state` overrides the initial values of buffers.
pub fn run(program: &Program, inputs: &[Input], state: &IndexMap<String, Tensor>) -> Result<Outcome, InterpretError> {
    if inputs.len() != program.signature.inputs.len() {
        return Err(InterpretError::Input(format!(
            "the program takes {} inputs, {} were given",
            program.signature.inputs.len(),
            inputs.len()
        )));
    }
    let symbols = bind_symbols(program, inputs)?;
    let values: BTreeMap<Symbol, Dim> = symbols.iter().map(|(s, v)| (s.clone(), Dim::int(*v))).collect();
    let tensors: Vec<Tensor> =
        inputs.iter().filter_map(|i| if let Input::Tensor(t) = i { Some(t.clone()) } else { None }).collect();
    let load = |name: &str| match state.get(name) {
        Some(t) => Ok(t.clone()),
        None => {
            let data = program.tensors.get(name).and_then(|t| t.data.as_ref());
            let data = data.ok_or_else(|| InterpretError::MissingData(name.to_string()))?;
            Tensor::from_data(data).map_err(|e| InterpretError::Input(format!("tensor `{name}`: {e}")))
        }
    };
    let rules = Rules { scope: &program.scope, constraints: &program.constraints };
    rules.check(&values, None)?;
    let results = run_graph(&program.graph, &tensors, &values, &rules, &load, &mut |_, _, _| {})?;
    let mut outcome = Outcome { symbols, ..Outcome::default() };
    for (spec, result) in program.signature.outputs.iter().zip(results) {
        match (&spec.kind, result) {
            (OutputKind::BufferMutation(name), Arg::Tensor(t)) => {
                outcome.buffers.insert(name.clone(), t);
            }
            (OutputKind::InputMutation(i), Arg::Tensor(t)) => {
                outcome.inputs.insert(*i, t);
            }
            (_, result) => outcome.outputs.push(result),
        }
    }
    Ok(outcome)
}

/// What must hold of symbols as soon as they have values.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// For the ranges of symbols.
    pub scope: &'a Scope,
    /// Over any symbols.
    pub constraints: &'a [Constraint],
}

impl Rules<'_> {
    /// Checks the ranges, and the constraints whose symbols all have values: those about `new` only, if it is given.
    fn check(&self, symbols: &BTreeMap<Symbol, Dim>, new: Option<&Symbol>) -> Result<(), InterpretError> {
        for (symbol, size) in symbols.iter().filter(|(s, _)| new.is_none_or(|new| new == *s)) {
            let Some(value) = size.as_int() else { continue };
            let range = self.scope.range_of(symbol);
            if range.min.is_some_and(|min| value < min) || range.max.is_some_and(|max| value > max) {
                let rule = format!("{symbol} is {value}, outside {range:?}");
                return Err(InterpretError::Constraint { rule });
            }
        }
        for Constraint { pred, rule } in self.constraints {
            let mentioned = pred.symbols();
            if new.is_some_and(|s| !mentioned.contains(s)) || !mentioned.iter().all(|s| symbols.contains_key(s)) {
                continue;
            }
            if pred.subs(symbols).canonical() == Pred::False {
                return Err(InterpretError::Constraint { rule: rule.clone() });
            }
        }
        Ok(())
    }
}

type Load<'a> = dyn Fn(&str) -> Result<Tensor, InterpretError> + 'a;

/// Runs one graph. `symbols` replaces root symbols by integers, `load` finds tensors by name, `observe` sees every
/// value as it is computed (for `pt2c compare`).
pub fn run_graph(
    graph: &Graph,
    inputs: &[Tensor],
    symbols: &BTreeMap<Symbol, Dim>,
    rules: &Rules<'_>,
    load: &Load<'_>,
    observe: &mut dyn FnMut(NodeId, u32, &Tensor),
) -> Result<Vec<Arg<Tensor>>, InterpretError> {
    let mut values: IndexMap<ValueId, Tensor> = IndexMap::new();
    for (value, tensor) in graph.inputs().zip(inputs) {
        values.insert(value, tensor.clone());
    }
    // A value is dropped after its last use, so that whole networks fit in memory.
    let mut last_use: IndexMap<ValueId, usize> = IndexMap::new();
    for (at, (_, node)) in graph.nodes().enumerate() {
        for v in node.operands() {
            last_use.insert(v, at);
        }
    }
    for v in graph.output_values() {
        last_use.insert(v, usize::MAX);
    }
    let mut symbols = symbols.clone();
    for (at, (id, node)) in graph.nodes().enumerate() {
        let results = match &node.kind {
            NodeKind::Input => continue,
            NodeKind::Tensor(name) => vec![load(name)?],
            NodeKind::Call { op, args } => call(node, op, args, &values, &mut symbols, rules, load)?,
        };
        // A size that is a symbol nothing has bound yet is found out here (nonzero, unique …).
        for (fact, tensor) in node.outputs.iter().zip(&results) {
            for (dim, &n) in fact.shape.iter().zip(tensor.shape()) {
                if let Some(symbol) = dim.as_symbol() {
                    bind(&mut symbols, symbol, n as i64, rules)?;
                }
            }
        }
        for (index, tensor) in results.into_iter().enumerate() {
            observe(id, index as u32, &tensor);
            let value = ValueId { node: id, index: index as u32 };
            if last_use.contains_key(&value) {
                values.insert(value, tensor);
            }
        }
        let done: Vec<ValueId> = node.operands().filter(|v| last_use.get(v) == Some(&at)).collect();
        for v in done {
            values.swap_remove(&v);
        }
    }
    graph
        .outputs
        .iter()
        .map(|a| {
            bind_arg(a, &values, &symbols).map_err(|error| InterpretError::Node {
                node: "output".into(),
                op: "output".into(),
                error,
            })
        })
        .collect()
}

/// Gives a symbol its value, or compares it with the one that it has.
fn bind(
    symbols: &mut BTreeMap<Symbol, Dim>,
    symbol: &Symbol,
    value: i64,
    rules: &Rules<'_>,
) -> Result<(), InterpretError> {
    match symbols.get(symbol).map(Dim::as_int) {
        Some(known) if known == Some(value) => Ok(()),
        Some(_) => Err(InterpretError::Constraint { rule: format!("{symbol} would be {value} as well") }),
        None => {
            symbols.insert(symbol.clone(), Dim::int(value));
            rules.check(symbols, Some(symbol))
        }
    }
}

/// The results of one call.
fn call(
    node: &Node,
    op: &str,
    args: &[Arg],
    values: &IndexMap<ValueId, Tensor>,
    symbols: &mut BTreeMap<Symbol, Dim>,
    rules: &Rules<'_>,
    load: &Load<'_>,
) -> Result<Vec<Tensor>, InterpretError> {
    let fail = |error| InterpretError::Node { node: node.name.clone(), op: op.to_string(), error };
    let operands = args.iter().map(|a| bind_arg(a, values, symbols)).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    // Bodies speak of the symbols of this graph.
    let run = |body: &Graph, inputs: &[Tensor], symbols: &BTreeMap<Symbol, Dim>| {
        run_graph(body, inputs, symbols, rules, load, &mut |_, _, _| {}).map(tensors_only)
    };
    let list = |t: &[Option<Tensor>]| t.iter().flatten().cloned().collect::<Vec<Tensor>>();
    match (op, operands.as_slice()) {
        ("prim.region", [Arg::Tensors(inputs), Arg::Graph(body), _]) => return run(body, &list(inputs), symbols),
        ("prim.bind", [Arg::Tensor(value), _]) => {
            // The argument itself, which the symbol's value has not replaced.
            if let Some(symbol) = args.get(1).and_then(Arg::as_dim).and_then(Dim::as_symbol) {
                bind(symbols, symbol, value.i64(0), rules)?;
            }
            return Ok(Vec::new());
        }
        ("prim.cond", [Arg::Tensor(pred), Arg::Graph(then), Arg::Graph(otherwise), Arg::Tensors(inputs)]) => {
            return run(if pred.get(0).to_bool() { then } else { otherwise }, &list(inputs), symbols);
        }
        ("prim.while", [Arg::Graph(condition), Arg::Graph(body), Arg::Tensors(carried), Arg::Tensors(captured)]) => {
            let (mut carried, captured) = (list(carried), list(captured));
            loop {
                let inputs = [carried.as_slice(), &captured].concat();
                if !run(condition, &inputs, symbols)?.first().is_some_and(|c| c.get(0).to_bool()) {
                    return Ok(carried);
                }
                carried = run(body, &inputs, symbols)?;
            }
        }
        (
            "prim.loop",
            [Arg::Graph(body), Arg::Tensors(carried), Arg::Tensors(scanned), Arg::Tensors(captured), Arg::Int(size), _],
        ) => {
            let reverse = operands.get(5).and_then(Arg::as_bool).unwrap_or(false);
            let lists = [list(carried), list(scanned), list(captured)];
            let size = size.as_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            let mut one = |inputs: &[Tensor]| run(body, inputs, symbols);
            let (mut last, stacked) = iterate(&mut one, lists, size, reverse)?;
            let facts = node.outputs.get(last.len()..).unwrap_or_default();
            last.extend(stack(&stacked, facts, size, symbols).map_err(fail)?);
            return Ok(last);
        }
        ("prim.vmap", [Arg::Graph(body), Arg::Tensors(scanned), Arg::Tensors(captured), Arg::Int(size)]) => {
            let lists = [Vec::new(), list(scanned), list(captured)];
            let size = size.as_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            let mut one = |inputs: &[Tensor]| run(body, inputs, symbols);
            let (_, stacked) = iterate(&mut one, lists, size, false)?;
            return stack(&stacked, &node.outputs, size, symbols).map_err(fail);
        }
        _ => {}
    }
    let op = lookup(op).ok_or_else(|| fail(OpError::UnknownOperator(op.to_string())))?;
    (op.def.eval)(&Call { op, args: &operands, scope: &Scope::default() }).map_err(fail)
}

/// Runs a body for every index of the scanned tensors (`lists` are the carried, the scanned and the captured ones). Gives
/// the last carried tensors, and the slices of every other result in the order of the index; none where there is no index.
fn iterate(
    run: &mut dyn FnMut(&[Tensor]) -> Result<Vec<Tensor>, InterpretError>,
    [mut carried, scanned, captured]: [Vec<Tensor>; 3],
    size: usize,
    reverse: bool,
) -> Result<(Vec<Tensor>, Vec<Vec<Tensor>>), InterpretError> {
    let mut stacked: Vec<Vec<Tensor>> = Vec::new();
    for i in (0..size).map(|i| if reverse { size - 1 - i } else { i }) {
        let slices = scanned.iter().map(|x| crate::host::select(x, 0, i));
        let inputs: Vec<Tensor> = carried.iter().cloned().chain(slices).chain(captured.iter().cloned()).collect();
        let mut results = run(&inputs)?;
        let slices = results.split_off(carried.len().min(results.len()));
        stacked.resize(slices.len(), Vec::new());
        stacked.iter_mut().zip(slices).for_each(|(all, one)| all.push(one));
        carried = results;
    }
    if reverse {
        stacked.iter_mut().for_each(|all| all.reverse());
    }
    Ok((carried, stacked))
}

/// The slices of each result one behind the other, as tensors of these types.
fn stack(
    stacked: &[Vec<Tensor>],
    facts: &[Fact],
    size: usize,
    symbols: &BTreeMap<Symbol, Dim>,
) -> Result<Vec<Tensor>, OpError> {
    let one = |(i, fact): (usize, &Fact)| {
        let own: Vec<Dim> = fact.shape.iter().skip(1).map(|d| d.subs(symbols)).collect();
        let shape = [&[size], crate::shape::known(&own)?.as_slice()].concat();
        let slices = stacked.get(i).map_or(&[][..], Vec::as_slice);
        let elements: Vec<Scalar> = slices.iter().flat_map(|t| (0..t.numel()).map(|i| t.get(i))).collect();
        Ok(Tensor::from_fn(fact.dtype, &shape, |i| elements.get(i).copied().unwrap_or(Scalar::Int(0))))
    };
    facts.iter().enumerate().map(one).collect()
}

/// Runs the body of a region: a graph without tensors of the program.
pub fn run_body(
    body: &Graph,
    inputs: &[Tensor],
    symbols: &BTreeMap<Symbol, Dim>,
) -> Result<Vec<Tensor>, InterpretError> {
    let none = |name: &str| Err(InterpretError::MissingData(name.to_string()));
    let rules = Rules { scope: &Scope::default(), constraints: &[] };
    Ok(tensors_only(run_graph(body, inputs, symbols, &rules, &none, &mut |_, _, _| {})?))
}

fn tensors_only(args: Vec<Arg<Tensor>>) -> Vec<Tensor> {
    args.into_iter().filter_map(|a| if let Arg::Tensor(t) = a { Some(t) } else { None }).collect()
}

fn bind_arg(
    arg: &Arg,
    values: &IndexMap<ValueId, Tensor>,
    symbols: &BTreeMap<Symbol, Dim>,
) -> Result<Arg<Tensor>, OpError> {
    let arg = arg.try_map(|v| {
        values.get(v).cloned().ok_or_else(|| OpError::invalid("an operand has no value: the graph is out of order"))
    })?;
    Ok(match arg {
        Arg::Int(d) => Arg::Int(d.subs(symbols)),
        Arg::Ints(ds) => Arg::Ints(ds.iter().map(|d| d.subs(symbols)).collect()),
        other => other,
    })
}
