//! `batch`: what a program does for every slice of a tensor (`prim.vmap`) is done for all slices at once.
//!
//! Precondition: an imported program. Postcondition: no `prim.vmap`. The body is decomposed into primitives; each that
//! depends on a slice becomes the same primitive with one more dimension in front ([`rules`]), the others are computed
//! once. Inner calls come first, so that nested ones become dimensions one behind the other. A body with a primitive that
//! has no such form (control flow, recurrent networks) stays a loop over the slices.

mod rules;

use crate::decompose::{Build, Builder, Val, decompose_graph};
use indexmap::IndexMap;
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, DType, Diagnostic, Fact, Graph, LocationId, NodeKind, Program, ValueId};
use pt2c_ops::{OpError, has_effect, infer};
use std::sync::Arc;

const VMAP: &str = "prim.vmap";

/// Replaces every `prim.vmap` of a program.
///
/// # Errors
/// A body that cannot be decomposed, with the node.
pub fn batch(program: &Program) -> Result<Program, Diagnostic> {
    if !mentions(&program.graph) {
        return Ok(program.clone());
    }
    let graph = batch_graph(&program.graph, &program.scope).map_err(|(location, error)| {
        Diagnostic::error(error.to_string()).at(program.locations.get(location)).about("a mapped function (vmap)")
    })?;
    Ok(Program { graph, ..program.clone() })
}

/// Whether a graph or one inside of it maps.
fn mentions(graph: &Graph) -> bool {
    let inside = |arg: &Arg| arg.as_graph().is_some_and(|body| mentions(body));
    graph.nodes().any(|(_, node)| node.op() == Some(VMAP) || node.args().iter().any(inside))
}

type Located<T> = Result<T, (LocationId, OpError)>;

fn batch_graph(graph: &Graph, scope: &Scope) -> Located<Graph> {
    let mut copy =
        Copy { graph: Graph::new(), scope, values: Vec::new(), name: String::new(), location: LocationId::UNKNOWN };
    let mut map: IndexMap<ValueId, Val> = IndexMap::new();
    for (id, node) in graph.nodes() {
        copy.name.clone_from(&node.name);
        copy.location = node.location;
        let at = |error| (node.location, error);
        let results = match &node.kind {
            NodeKind::Input => vec![node.outputs.first().map(|fact| copy.graph.add_input(&node.name, fact.clone()))],
            NodeKind::Tensor(name) => {
                vec![node.outputs.first().map(|fact| copy.graph.add_tensor(name, &node.name, fact.clone()))]
            }
            NodeKind::Call { op, args } => {
                let value =
                    |v: &ValueId| map.get(v).copied().ok_or_else(|| OpError::invalid("an operand without a value"));
                let mut args = args.iter().map(|a| a.try_map(value)).collect::<Result<Vec<_>, _>>().map_err(at)?;
                for arg in &mut args {
                    if let Arg::Graph(body) = arg
                        && mentions(body)
                    {
                        *arg = Arg::Graph(Arc::new(batch_graph(body, scope)?));
                    }
                }
                let results = if op == VMAP {
                    copy.vmap(&args, &node.outputs).map_err(at)?
                } else {
                    copy.append(op, args, node.outputs.clone()).map_err(at)?
                };
                map.extend(graph.values(id).zip(results));
                continue;
            }
        };
        for (value, new) in graph.values(id).zip(results.into_iter().flatten()) {
            let new = copy.value(new);
            map.insert(value, new);
        }
    }
    let value = |v: &ValueId| {
        let val = map.get(v).ok_or_else(|| OpError::invalid("an output without a value"))?;
        copy.value_of(*val)
    };
    let outputs: Result<Vec<Arg>, OpError> = graph.outputs.iter().map(|a| a.try_map(value)).collect();
    let outputs = outputs.map_err(|error| (LocationId::UNKNOWN, error))?;
    let mut result = copy.graph;
    result.outputs = outputs;
    result.remove_dead(has_effect);
    Ok(result)
}

/// A copy of a graph under construction.
struct Copy<'p> {
    graph: Graph,
    scope: &'p Scope,
    values: Vec<ValueId>,
    name: String,
    location: LocationId,
}

impl Copy<'_> {
    fn value(&mut self, value: ValueId) -> Val {
        self.values.push(value);
        Val(self.values.len() as u32 - 1)
    }

    fn value_of(&self, v: Val) -> Result<ValueId, OpError> {
        self.values.get(v.0 as usize).copied().ok_or_else(|| OpError::invalid("no such value"))
    }

    fn append(&mut self, op: &str, args: Vec<Arg<Val>>, facts: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        let args = args.iter().map(|a| a.try_map(|v| self.value_of(*v))).collect::<Result<Vec<_>, _>>()?;
        let node = self.graph.add_call(op, args, &self.name, facts, self.location);
        let node = node.map_err(|e| OpError::Invalid(e.to_string()))?;
        Ok(self.graph.values(node).map(|v| self.value(v)).collect())
    }

    /// A mapped body: its primitives with one more dimension, or a loop.
    fn vmap(&mut self, args: &[Arg<Val>], facts: &[Fact]) -> Result<Vec<Val>, OpError> {
        let [Arg::Graph(body), Arg::Tensors(scanned), Arg::Tensors(captured), Arg::Int(size)] = args else {
            return Err(OpError::invalid("a mapped body without its operands"));
        };
        let body = decompose_graph(body, self.scope).map_err(|failure| failure.error)?;
        if rules::covers(&body) {
            let mut builder = Builder::new(self);
            let scanned = scanned.iter().flatten().map(|v| rules::Mapped { value: *v, sliced: true });
            let captured = captured.iter().flatten().map(|v| rules::Mapped { value: *v, sliced: false });
            let inputs: Vec<rules::Mapped> = scanned.chain(captured).collect();
            return rules::apply(&mut builder, &body, &inputs, size);
        }
        let none = Arg::Tensors(Vec::new());
        let (scanned, captured) = (Arg::Tensors(scanned.clone()), Arg::Tensors(captured.clone()));
        let args = vec![Arg::Graph(Arc::new(body)), none, scanned, captured, Arg::Int(size.clone()), Arg::Bool(false)];
        self.append("prim.loop", args, facts.to_vec())
    }
}

impl Build for Copy<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        let facts: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|&v| self.fact(v))).collect();
        let facts = infer(op, &facts, self.scope)?;
        self.append(op, args, facts)
    }

    fn fact(&self, v: Val) -> Fact {
        let value = self.values.get(v.0 as usize);
        value.and_then(|v| self.graph.fact(*v)).cloned().unwrap_or_else(|| Fact::of(DType::Bool, &[0]))
    }

    fn scope(&self) -> &Scope {
        self.scope
    }
}
