//! `assign_layouts`: chooses the order of dimensions in memory for every value that crosses regions.
//!
//! Precondition: regions. Each region writes its results in the order in which it walks them: contractions row-major,
//! convolutions channels-last (their kernels vectorise over channels), both carried through the views behind them;
//! elementwise, window and index regions in the order of what they read. The caller's buffers stay row-major. So does
//! a value whose strides a contraction would lose behind a reshape, and the weight of a convolution.

mod order;

use order::{natural_orders, strided_behind_views};
use pt2c_ir::{Arg, Diagnostic, DimOrder, Fact, Graph, Node, NodeId, NodeKind, Program, ValueId};
use std::collections::BTreeSet;

/// Assigns layouts to a fused program.
pub fn assign_layouts(program: &Program) -> Result<Program, Diagnostic> {
    let mut fixed: BTreeSet<ValueId> = program.graph.output_values().collect();
    for (id, _) in program.graph.nodes() {
        // Bodies of control flow take and give row-major tensors.
        if crate::fuse::classify(program.graph.node(id)) == crate::fuse::Class::Control || sorts(&program.graph, id) {
            fixed.extend(program.graph.node(id).operands());
        }
        if let Some((operands, body)) = region(&program.graph, id) {
            fixed.extend(
                operands.iter().zip(body.inputs()).filter(|(_, input)| is_weight(body, *input)).map(|(v, _)| v),
            );
        }
    }
    // Each round fixes at least one value more, until every contraction can follow its operands.
    loop {
        let assigned = assign(program, &fixed)?;
        let lost = lost_strides(&assigned.graph);
        if lost.is_subset(&fixed) {
            return Ok(assigned);
        }
        fixed.extend(lost);
    }
}

/// Gives every region's results the order in which the region walks them, but row-major to those `fixed`.
fn assign(program: &Program, fixed: &BTreeSet<ValueId>) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    let fail = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    let ids: Vec<NodeId> = program.graph.nodes().map(|(id, _)| id).collect();
    for id in ids {
        let Some((operands, body)) = region(&program.graph, id) else { continue };
        let mut body = body.clone();
        for (v, input) in operands.iter().zip(body.inputs().collect::<Vec<_>>()) {
            if let Some(fact) = program.graph.fact(*v) {
                body.set_fact(input, fact.clone()).map_err(fail)?;
            }
        }
        let orders = if follows(&body) { natural_orders(&body) } else { Default::default() };
        let results: Vec<ValueId> = program.graph.values(id).collect();
        let outputs: Vec<ValueId> = body.output_values().collect();
        for (result, output) in results.into_iter().zip(outputs) {
            let Some(fact) = program.graph.fact(result).cloned() else { continue };
            let order = if fixed.contains(&result) {
                DimOrder::default()
            } else {
                orders.get(&output).cloned().unwrap_or_default()
            };
            let fact = Fact { order, ..fact };
            body.set_fact(output, fact.clone()).map_err(fail)?;
            program.graph.set_fact(result, fact).map_err(fail)?;
        }
        if let NodeKind::Call { op, args } = &program.graph.node(id).kind {
            let mut args = args.clone();
            if let Some(slot) = args.get_mut(1) {
                *slot = Arg::Graph(body.into());
            }
            let op = op.clone();
            program.graph.set_call(id, &op, args).map_err(fail)?;
        }
    }
    Ok(program)
}

/// The values whose order a contraction cannot follow through the views in front of it.
fn lost_strides(graph: &Graph) -> BTreeSet<ValueId> {
    let mut lost = BTreeSet::new();
    for (id, _) in graph.nodes() {
        let Some((operands, body)) = region(graph, id) else { continue };
        if !has_contraction(body) {
            continue;
        }
        for (v, input) in operands.iter().zip(body.inputs()) {
            let row_major = graph.fact(*v).is_none_or(|f| f.order.is_row_major());
            if let (false, Some(fact)) = (row_major, body.fact(input)) {
                if !strided_behind_views(body, input, &fact.order) {
                    lost.insert(*v);
                }
            }
        }
    }
    lost
}

fn region(graph: &Graph, id: NodeId) -> Option<(Vec<ValueId>, &Graph)> {
    match graph.node(id).args() {
        [Arg::Tensors(operands), Arg::Graph(body), _] => Some((operands.iter().flatten().copied().collect(), body)),
        _ => None,
    }
}

/// Whether a region sorts: lines are expected at fixed distances.
fn sorts(graph: &Graph, id: NodeId) -> bool {
    let sort = |n: &Node| matches!(n.op(), Some("prim.sort" | "prim.topk" | "prim.sort_rows"));
    region(graph, id).is_some_and(|(_, body)| body.nodes().any(|(_, n)| sort(n)))
}

fn has_contraction(body: &Graph) -> bool {
    body.nodes().any(|(_, n)| matches!(n.op(), Some("prim.matmul" | "prim.conv" | "prim.attention")))
}

/// Whether a body input is the weight of a convolution, which is read as `[K, C, window…]`.
fn is_weight(body: &Graph, input: ValueId) -> bool {
    let reads = |node: &Node| node.op() == Some("prim.conv") && node.args().get(1) == Some(&Arg::Tensor(input));
    body.users(input.node).into_iter().any(|u| reads(body.node(u)))
}

/// Whether a region's results lie as its nodes walk them: sequences write theirs row-major.
fn follows(body: &Graph) -> bool {
    use crate::fuse::{Class, classify};
    !body.nodes().any(|(_, n)| matches!(classify(n), Class::Root { epilogue: false }))
}
