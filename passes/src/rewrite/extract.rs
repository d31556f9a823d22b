//! E-graph → graph: the chosen nodes in program order, with the names and places of what they stand for.

use super::choose::Choice;
use super::engine::{Engine, Record, Step, id};
use super::import::Failure;
use super::language::Head;
use crate::decompose::Val;
use egg::{Id, Language};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, Graph, LocationId, ValueId};
use pt2c_ops::OpError;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Why a node of the result is what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The steps from the node of the program to it, newest first.
    pub steps: Vec<String>,
}

/// `%mul (prim.mul): fold_scale_conv <- decompose aten.batch_norm.default <- %bn1`.
impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{} ({}): {}", self.node, self.op, self.steps.join(" <- "))
    }
}

/// Builds the graph. `inputs` are those of the original graph.
pub fn extract(
    engine: &Engine<'_>,
    choice: &Choice,
    original: &Graph,
    outputs: &[Arg<Val>],
) -> Result<(Graph, Vec<Explanation>), Box<Failure>> {
    let mut graph = Graph::new();
    let inputs: Vec<ValueId> = original
        .inputs()
        .filter_map(|v| Some(graph.add_input(&original.node(v.node).name, original.fact(v)?.clone())))
        .collect();
    let mut placed: IndexMap<Id, Vec<ValueId>> = IndexMap::new();
    let mut explanations = Vec::new();
    for (class, record) in schedule(engine, choice, outputs)? {
        let values = emit(engine, &mut graph, &inputs, &placed, class, record)
            .map_err(|error| failure(engine, record, error))?;
        if let Some(op) = values.first().and_then(|v| graph.node(v.node).op()) {
            let node = graph.node(values[0].node).name.clone();
            if !matches!(engine.egraph.analysis.heads.get(&engine.egraph.nodes()[record]), Head::Output(_)) {
                explanations.push(Explanation { node, op: op.to_string(), steps: steps(engine, record) });
            }
        }
        placed.insert(class, values);
    }
    let value = |v: &Val| {
        let class = engine.egraph.find(id(*v));
        placed.get(&class).and_then(|vs| vs.first().copied())
    };
    let outputs: Option<Vec<Arg>> = outputs.iter().map(|a| a.try_map(|v| value(v).ok_or(())).ok()).collect();
    graph.outputs = outputs.ok_or_else(|| Failure::output(OpError::invalid("an output was not computed")))?;
    Ok((graph, explanations))
}

fn failure(engine: &Engine<'_>, record: usize, error: OpError) -> Box<Failure> {
    let origin = engine.records.get(record).and_then(|r| engine.origins.get(r.origin));
    Box::new(Failure {
        node: origin.map_or_else(String::new, |o| o.name.clone()),
        op: origin.map_or_else(String::new, |o| o.what.clone()),
        location: origin.map_or(LocationId::UNKNOWN, |o| o.location),
        error,
    })
}

/// The needed classes with their chosen nodes: operands first, otherwise in program order.
fn schedule(engine: &Engine<'_>, choice: &Choice, outputs: &[Arg<Val>]) -> Result<Vec<(Id, usize)>, Box<Failure>> {
    let egraph = &engine.egraph;
    let roots = outputs.iter().flat_map(Arg::tensors).map(|v| id(*v)).chain(engine.effects.iter().copied());
    let mut stack: Vec<Id> = roots.map(|r| egraph.find(r)).collect();
    // Chosen record and number of operands that are still missing.
    let mut needed: IndexMap<Id, (usize, usize)> = IndexMap::new();
    let binders = binders(engine);
    let mut users: IndexMap<Id, Vec<Id>> = IndexMap::new();
    while let Some(class) = stack.pop() {
        if needed.contains_key(&class) {
            continue;
        }
        let record = choice.record(class).ok_or_else(|| {
            let error = OpError::invalid("no primitives compute this value");
            failure(engine, egraph[class].data.oldest, error)
        })?;
        let mut children: Vec<Id> = egraph.nodes()[record].children().iter().map(|c| egraph.find(*c)).collect();
        // What speaks of a symbol that data bind comes behind the binding.
        for symbol in late_symbols(engine, class, record) {
            children.extend(binders.get(&symbol).copied().filter(|b| *b != class));
        }
        children.sort_unstable();
        children.dedup();
        needed.insert(class, (record, children.len()));
        for child in children {
            users.entry(child).or_default().push(class);
            stack.push(child);
        }
    }
    let key = |record: usize| (engine.records.get(record).map_or(0, |r| r.origin), record);
    let mut ready: BinaryHeap<Reverse<((usize, usize), Id)>> = BinaryHeap::new();
    for (class, (record, missing)) in &needed {
        if *missing == 0 {
            ready.push(Reverse((key(*record), *class)));
        }
    }
    let mut result = Vec::with_capacity(needed.len());
    while let Some(Reverse((_, class))) = ready.pop() {
        if let Some((record, _)) = needed.get(&class) {
            result.push((class, *record));
        }
        for user in users.get(&class).map_or(&[][..], Vec::as_slice) {
            if let Some((record, missing)) = needed.get_mut(user) {
                *missing -= 1;
                if *missing == 0 {
                    ready.push(Reverse((key(*record), *user)));
                }
            }
        }
    }
    if result.len() < needed.len() {
        return Err(Failure::output(OpError::invalid("the chosen nodes need each other")));
    }
    Ok(result)
}

/// The class that gives each data-dependent symbol its value: the first effect that may.
fn binders(engine: &Engine<'_>) -> BTreeMap<Symbol, Id> {
    let mut binders = BTreeMap::new();
    for effect in &engine.effects {
        let class = engine.egraph.find(*effect);
        let heads = &engine.egraph.analysis.heads;
        for node in &engine.egraph[class].nodes {
            let sizes = engine.egraph[class].data.facts.iter().flat_map(|f| &f.shape);
            let mut bound: Vec<&Symbol> = sizes.filter_map(Dim::as_symbol).collect();
            if let Head::Call { op, attrs, .. } = heads.get(node)
                && op == "prim.bind"
            {
                bound.extend(attrs.iter().filter_map(|a| a.0.as_dim()).filter_map(Dim::as_symbol));
            }
            for symbol in bound.into_iter().filter(|s| s.is_unbacked()) {
                binders.entry(symbol.clone()).or_insert(class);
            }
        }
    }
    binders
}

/// The data-dependent symbols that a node speaks of.
fn late_symbols(engine: &Engine<'_>, class: Id, record: usize) -> BTreeSet<Symbol> {
    let facts = &engine.egraph[class].data.facts;
    let mut found: BTreeSet<Symbol> =
        facts.iter().flat_map(|f| &f.shape).flat_map(Dim::symbols).filter(Symbol::is_unbacked).collect();
    let heads = &engine.egraph.analysis.heads;
    found.extend(pt2c_ir::late_symbols(&heads.args(&engine.egraph.nodes()[record], |_| ())));
    found
}

fn emit(
    engine: &Engine<'_>,
    graph: &mut Graph,
    inputs: &[ValueId],
    placed: &IndexMap<Id, Vec<ValueId>>,
    class: Id,
    record: usize,
) -> Result<Vec<ValueId>, OpError> {
    let egraph = &engine.egraph;
    let node = &egraph.nodes()[record];
    let missing = || OpError::invalid("an operand was not computed");
    let of = |c: Id| placed.get(&egraph.find(c));
    let origin = engine.records.get(record).and_then(|r| engine.origins.get(r.origin));
    let origin = origin.ok_or_else(|| OpError::invalid("a node without an origin"))?;
    let facts = &egraph[class].data.facts;
    match egraph.analysis.heads.get(node) {
        Head::Input(i) => Ok(vec![inputs.get(*i as usize).copied().ok_or_else(missing)?]),
        Head::Tensor(name) => {
            let fact = facts.first().cloned().ok_or_else(missing)?;
            Ok(vec![graph.add_tensor(name, &origin.name, fact)])
        }
        Head::Output(i) => {
            let call = node.children.first().and_then(|c| of(*c)).ok_or_else(missing)?;
            Ok(vec![call.get(*i as usize).copied().ok_or_else(missing)?])
        }
        Head::Call { op, .. } => {
            let args = egraph.analysis.heads.args(node, |c| of(c).and_then(|vs| vs.first().copied()));
            let args: Vec<Arg> =
                args.iter().map(|a| a.try_map(|v| v.ok_or_else(missing))).collect::<Result<_, OpError>>()?;
            let new = graph
                .add_call(op, args, &origin.name, facts.clone(), origin.location)
                .map_err(|e| OpError::Invalid(e.to_string()))?;
            Ok(graph.values(new).collect())
        }
    }
}

/// The history of a node, newest step first.
fn steps(engine: &Engine<'_>, record: usize) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at: Option<&Record> = engine.records.get(record);
    while let Some(r) = at {
        match &r.step {
            Step::Import => {
                let name = engine.origins.get(r.origin).map_or("", |o| &o.name);
                steps.push(format!("%{name}"));
            }
            Step::Decompose(op) => steps.push(format!("decompose {op}")),
            Step::Rule(name) => steps.push((*name).to_string()),
        }
        at = r.from.and_then(|i| engine.records.get(i));
    }
    steps
}
