//! `assign_layouts`: chooses the order of dimensions in memory for every value that crosses regions.
//!
//! Precondition: regions. Convolutions produce channels-last values (their kernels vectorise over channels), and
//! elementwise and pooling regions keep the order of what they read. The caller's buffers stay row-major. So does a
//! value that a contraction reads through a reshape, whose strides would be lost, and the weight of a convolution.

use pt2c_ir::{Arg, Diagnostic, DimOrder, Fact, Graph, Node, NodeId, NodeKind, Program, ValueId};
use std::collections::BTreeSet;

/// Assigns layouts to a fused program.
pub fn assign_layouts(program: &Program) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    let fail = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    let mut fixed: BTreeSet<ValueId> = program.graph.output_values().collect();
    let ids: Vec<NodeId> = program.graph.nodes().map(|(id, _)| id).collect();
    for &id in &ids {
        if let Some((operands, body)) = region(&program.graph, id) {
            for (v, input) in operands.iter().zip(body.inputs()) {
                if (has_contraction(body) && behind_reshape(body, input)) || is_weight(body, input) {
                    fixed.insert(*v);
                }
            }
        }
    }
    for &id in &ids {
        let Some((operands, body)) = region(&program.graph, id) else { continue };
        let mut body = body.clone();
        let mut read: Vec<(Vec<pt2c_ir::dim::Dim>, DimOrder)> = Vec::new();
        for (v, input) in operands.iter().zip(body.inputs().collect::<Vec<_>>()) {
            let Some(fact) = program.graph.fact(*v).cloned() else { continue };
            if !fact.order.is_row_major() {
                read.push((fact.shape.clone(), fact.order.clone()));
            }
            body.set_fact(input, fact).map_err(fail)?;
        }
        let convolves = body.nodes().any(|(_, n)| n.op() == Some("prim.conv"));
        let root_shape = body
            .nodes()
            .find(|(_, n)| n.op() == Some("prim.conv"))
            .and_then(|(_, n)| n.outputs.first().map(|f| f.shape.clone()));
        let keeps = keeps_order(&body);
        let results: Vec<ValueId> = program.graph.values(id).collect();
        let outputs: Vec<ValueId> = body.output_values().collect();
        for (result, output) in results.into_iter().zip(outputs) {
            let Some(fact) = program.graph.fact(result).cloned() else { continue };
            let order = if fixed.contains(&result) || fact.rank() < 3 {
                DimOrder::default()
            } else if convolves && root_shape.as_ref() == Some(&fact.shape) {
                DimOrder::channels_last(fact.rank())
            } else if keeps {
                let same_rank = read.iter().find(|(shape, _)| shape.len() == fact.rank());
                same_rank.map(|(_, order)| order.clone()).unwrap_or_default()
            } else {
                DimOrder::default()
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

fn region(graph: &Graph, id: NodeId) -> Option<(Vec<ValueId>, &Graph)> {
    match graph.node(id).args() {
        [Arg::Tensors(operands), Arg::Graph(body), _] => Some((operands.iter().flatten().copied().collect(), body)),
        _ => None,
    }
}

fn has_contraction(body: &Graph) -> bool {
    body.nodes().any(|(_, n)| matches!(n.op(), Some("prim.matmul" | "prim.conv" | "prim.attention")))
}

/// Whether a body input is the weight of a convolution, which is read as `[K, C, window…]`.
fn is_weight(body: &Graph, input: ValueId) -> bool {
    let reads = |node: &Node| node.op() == Some("prim.conv") && node.args().get(1) == Some(&Arg::Tensor(input));
    body.users(input.node).into_iter().any(|u| reads(body.node(u)))
}

/// Whether a region's results lie like its operands: elementwise, window and index work does, contractions and
/// sequences do not.
fn keeps_order(body: &Graph) -> bool {
    use crate::fuse::{Class, classify};
    !body.nodes().any(|(_, n)| matches!(classify(n), Class::Root { .. }))
}

/// Whether a body input is read through a reshape.
fn behind_reshape(body: &Graph, input: ValueId) -> bool {
    body.users(input.node).into_iter().any(|u| match body.node(u).op() {
        // Dimensions of size 1 come and go without changing strides.
        Some("prim.reshape") if !same_but_ones(body, input, u) => true,
        Some("prim.reshape" | "prim.permute" | "prim.slice" | "prim.expand") => {
            behind_reshape(body, ValueId { node: u, index: 0 })
        }
        _ => false,
    })
}

/// Whether a reshape of `input` only adds or removes dimensions of size 1.
fn same_but_ones(body: &Graph, input: ValueId, reshape: NodeId) -> bool {
    let sizes = |v: ValueId| body.fact(v).into_iter().flat_map(|f| &f.shape).filter(|n| !n.is_one());
    sizes(input).eq(sizes(ValueId { node: reshape, index: 0 }))
}
