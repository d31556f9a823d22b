//! Graph → e-graph: every node of the program with its decomposition.

use super::engine::{Engine, Origin, Record, Step, id};
use super::language::Head;
use super::{Options, rewrite_graph};
use crate::decompose::{Val, is_primitive};
use indexmap::IndexMap;
use pt2c_ir::{Arg, Graph, LocationId, Node, NodeKind, ValueId};
use pt2c_ops::OpError;
use std::sync::Arc;

/// Which node could not be handled, and why. Boxed where it is returned.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Its place in the user's program.
    pub location: LocationId,
    /// What is wrong.
    pub error: OpError,
}

impl Failure {
    /// A failure that is about no node of the program in particular.
    pub fn output(error: OpError) -> Box<Failure> {
        Box::new(Failure { node: "output".into(), op: "output".into(), location: LocationId::UNKNOWN, error })
    }
}

/// Adds a graph; returns its outputs as classes.
pub fn import(engine: &mut Engine<'_>, graph: &Graph, options: &Options) -> Result<Vec<Arg<Val>>, Box<Failure>> {
    let mut map: IndexMap<ValueId, Val> = IndexMap::new();
    let mut inputs = 0;
    for (node_id, node) in graph.nodes() {
        let op = node.op().unwrap_or("input");
        engine.context = Record { step: Step::Import, from: None, origin: engine.origins.len() };
        engine.origins.push(Origin { name: node.name.clone(), location: node.location, what: op.to_string() });
        let outputs = import_node(engine, node, &mut inputs, &map, options).map_err(|error| {
            Box::new(Failure { node: node.name.clone(), op: op.to_string(), location: node.location, error })
        })?;
        map.extend(graph.values(node_id).zip(outputs));
    }
    let outputs: Result<Vec<Arg<Val>>, OpError> = graph.outputs.iter().map(|a| a.try_map(|v| value(&map, v))).collect();
    let outputs = outputs.map_err(Failure::output)?;
    for v in outputs.iter().flat_map(Arg::tensors) {
        engine.egraph[id(*v)].data.uses += 1;
    }
    engine.egraph.rebuild();
    Ok(outputs)
}

fn value(map: &IndexMap<ValueId, Val>, v: &ValueId) -> Result<Val, OpError> {
    map.get(v).copied().ok_or_else(|| OpError::invalid("an operand has no value: the graph is out of order"))
}

fn import_node(
    engine: &mut Engine<'_>,
    node: &Node,
    inputs: &mut u32,
    map: &IndexMap<ValueId, Val>,
    options: &Options,
) -> Result<Vec<Val>, OpError> {
    match &node.kind {
        NodeKind::Input | NodeKind::Tensor(_) => {
            let fact = node.outputs.first().cloned().ok_or_else(|| OpError::invalid("a node without a value"))?;
            let head = match &node.kind {
                NodeKind::Tensor(name) => Head::Tensor(name.clone()),
                _ => {
                    *inputs += 1;
                    Head::Input(*inputs - 1)
                }
            };
            Ok(vec![engine.leaf(head, fact)])
        }
        NodeKind::Call { op, args } => {
            let mut args: Vec<Arg<Val>> =
                args.iter().map(|a| a.try_map(|v| value(map, v))).collect::<Result<_, OpError>>()?;
            if is_primitive(op) {
                for arg in &mut args {
                    if let Arg::Graph(body) = arg {
                        *arg = Arg::Graph(Arc::new(rewrite_body(engine, body, options)?));
                    }
                }
            }
            engine.import_call(op, args, node.outputs.clone())
        }
    }
}

/// Bodies of control flow are rewritten by themselves.
fn rewrite_body(engine: &Engine<'_>, body: &Graph, options: &Options) -> Result<Graph, OpError> {
    let known = &engine.egraph.analysis;
    match rewrite_graph(known.program, known.scope, body, options) {
        Ok((graph, _)) => Ok(graph),
        Err(f) => Err(OpError::Invalid(format!("in node \"{}\" ({}) of its body: {}", f.node, f.op, f.error))),
    }
}
