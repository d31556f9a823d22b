//! A program for calls whose dynamic sizes have given values.

use pt2c_ir::dim::{Dim, Pred, Symbol};
use pt2c_ir::{Arg, Diagnostic, Fact, Graph, NodeId, NodeKind, Program};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sizes of a likely call, by symbol.
pub type Sizes = BTreeMap<Symbol, i64>;

/// The program with the symbols replaced by their values. Names, signature and tensors stay.
///
/// # Errors
/// If the program accepts no call with such sizes.
pub fn specialize(program: &Program, sizes: &Sizes) -> Result<Program, Diagnostic> {
    let map: BTreeMap<Symbol, Dim> = sizes.iter().map(|(s, n)| (s.clone(), Dim::int(*n))).collect();
    let mut result = program.clone();
    for (symbol, value) in sizes {
        let range = program.scope.range_of(symbol);
        if range.min.is_some_and(|min| *value < min) || range.max.is_some_and(|max| *value > max) {
            let bound = |b: Option<i64>| b.map_or("any".to_string(), |b| b.to_string());
            return Err(Diagnostic::error(format!("{symbol} = {value} is not allowed")).note(format!(
                "it must be between {} and {}",
                bound(range.min),
                bound(range.max)
            )));
        }
    }
    result.constraints.clear();
    for constraint in &program.constraints {
        let pred = constraint.pred.subs(&map);
        if pred == Pred::False {
            let wanted: Vec<String> = sizes.iter().map(|(s, n)| format!("{s} = {n}")).collect();
            return Err(Diagnostic::error(format!("no call has {}", wanted.join(", ")))
                .note(format!("the program requires {}", constraint.pred)));
        }
        result.constraints.push(pt2c_ir::Constraint { pred, rule: constraint.rule.clone() });
    }
    for (symbol, value) in sizes {
        result.scope.declare(symbol.clone(), Some(*value), Some(*value));
    }
    result.graph = graph(&program.graph, &map)?;
    Ok(result)
}

fn graph(graph: &Graph, map: &BTreeMap<Symbol, Dim>) -> Result<Graph, Diagnostic> {
    let failed = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    let mut result = graph.clone();
    let nodes: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
    for id in nodes {
        if let NodeKind::Call { op, args } = &graph.node(id).kind {
            result.set_call(id, op, arguments(args, map)?).map_err(failed)?;
        }
        for value in graph.values(id) {
            if let Some(fact) = graph.fact(value) {
                let shape: Vec<Dim> = fact.shape.iter().map(|d| d.subs(map)).collect();
                result.set_fact(value, Fact { shape, ..fact.clone() }).map_err(failed)?;
            }
        }
    }
    result.outputs = arguments(&graph.outputs, map)?;
    Ok(result)
}

fn arguments(args: &[Arg], map: &BTreeMap<Symbol, Dim>) -> Result<Vec<Arg>, Diagnostic> {
    args.iter()
        .map(|arg| {
            Ok(match arg {
                Arg::Int(d) => Arg::Int(d.subs(map)),
                Arg::Ints(dims) => Arg::Ints(dims.iter().map(|d| d.subs(map)).collect()),
                Arg::Graph(body) => Arg::Graph(Arc::new(graph(body, map)?)),
                other => other.clone(),
            })
        })
        .collect()
}
