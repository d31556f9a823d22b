//! What a node costs, in thousandths of the time to move 8 bytes. Knows that elementwise work and views are fused
//! into whatever reads or makes their operands, and that what depends on constants only is computed at compile time.
//!
//! Sizes that are symbolic count as a representative value.

use super::analysis::{Known, is_constant};
use super::language::{Head, Node};
use egg::{EGraph, Id};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, Fact};
use pt2c_ops::{Tags, lookup};

/// What a symbol is taken to be, within its range.
const REPRESENTATIVE: i64 = 64;
/// Above any real cost, low enough that sums stay far from overflow.
const MOST: u64 = 1 << 60;

/// The size that a symbolic size counts as.
pub fn representative(scope: &Scope, dim: &Dim) -> u64 {
    let value = dim.as_int().or_else(|| {
        dim.eval(&|s| {
            let range = scope.range_of(s);
            let low = range.min.unwrap_or(0);
            Some(REPRESENTATIVE.max(low).min(range.max.unwrap_or(i64::MAX).max(low)))
        })
        .ok()
    });
    value.and_then(|n| u64::try_from(n).ok()).unwrap_or(REPRESENTATIVE as u64)
}

/// The cost of one node without its operands; `None` for what lowering does not understand.
pub fn cost(egraph: &EGraph<Node, Known<'_>>, node: &Node, class: Id) -> Option<u64> {
    let known = &egraph.analysis;
    let op = match known.heads.get(node) {
        Head::Call { op, .. } => op.strip_prefix("prim.")?,
        // What a projection or a leaf costs is in the call, or nothing.
        _ => return Some(1),
    };
    let facts = &egraph[class].data.facts;
    if is_constant(egraph, node, facts) {
        return Some(1);
    }
    let size = |f: &Fact| f.shape.iter().fold(1u64, |n, d| n.saturating_mul(representative(known.scope, d)).min(MOST));
    let bytes = |f: &Fact| size(f).saturating_mul(f.dtype.size() as u64);
    let operands: Vec<&Fact> = node.children.iter().filter_map(|c| egraph[*c].data.facts.first()).collect();
    let operand = |i: usize| operands.get(i).copied();
    let extent = |i: usize, from_end: usize| {
        let shape = operand(i).map_or(&[][..], |f| &f.shape);
        shape.len().checked_sub(from_end).and_then(|d| shape.get(d)).map_or(1, |d| representative(known.scope, d))
    };
    let made = facts.first().map_or(0, size);
    let written: u64 = facts.iter().map(bytes).fold(0, u64::saturating_add);
    let read: u64 = operands.iter().map(|f| bytes(f)).fold(0, u64::saturating_add);
    // Products and sums at 32 a step; a step moves 8 bytes as well.
    let flops = |n: u64| n.saturating_mul(2 * 1000 / 32);
    let moved = |bytes: u64| bytes.saturating_mul(1000 / 8);
    let cost = match op {
        "matmul" => flops(made.saturating_mul(extent(0, 1))).saturating_add(moved(written)),
        "conv" => {
            let taps = operand(1).map_or(1, |w| size(w) / extent(1, w.rank()).max(1));
            flops(made.saturating_mul(taps)).saturating_add(moved(written))
        }
        "conv_transpose" => {
            let taps = operand(1).map_or(1, |w| size(w) / extent(1, w.rank()).max(1));
            flops(operand(0).map_or(0, size).saturating_mul(taps)).saturating_add(moved(written))
        }
        "attention" => {
            let scores = made / extent(2, 1).max(1) * extent(1, 2);
            let products = scores.saturating_mul(extent(0, 1) + extent(2, 1));
            flops(products).saturating_add(scores.saturating_mul(200)).saturating_add(moved(written))
        }
        "lstm" | "gru" | "rnn" => {
            let steps = operand(0).map_or(0, size).saturating_mul(extent(1, 1));
            flops(steps).saturating_mul(2).saturating_add(moved(written))
        }
        "constant" | "iota" | "reshape" | "expand" | "slice" => 2,
        "permute" => 3,
        "pad" | "cat" | "update_slice" => moved(written) / 2 + 10,
        "assert" => 10,
        _ => match lookup(&format!("prim.{op}")) {
            Some(op) if op.def.tags.has(Tags::POINTWISE) => made.saturating_mul(weight(&op.name)) + 4,
            Some(op) if op.def.tags.has(Tags::REDUCTION) => moved(read.saturating_add(written)) / 2 + 10,
            _ => moved(read.saturating_add(written)).saturating_add(10),
        },
    };
    let fused = if has_body(known, node) { cost.saturating_mul(64) } else { cost };
    Some(fused.clamp(1, MOST))
}

fn has_body(known: &Known<'_>, node: &Node) -> bool {
    matches!(known.heads.get(node), Head::Call { attrs, .. } if attrs.iter().any(|a| matches!(a.0, Arg::Graph(_))))
}

/// Thousandths of a step for one element of an elementwise operator.
fn weight(op: &str) -> u64 {
    match op {
        "prim.add" | "prim.sub" | "prim.mul" | "prim.max" | "prim.min" | "prim.neg" | "prim.abs" | "prim.where"
        | "prim.cast" | "prim.bitcast" | "prim.and" | "prim.or" | "prim.xor" | "prim.not" | "prim.eq" | "prim.ne"
        | "prim.lt" | "prim.le" | "prim.gt" | "prim.ge" => 60,
        "prim.div" | "prim.sqrt" | "prim.rsqrt" | "prim.reciprocal" => 250,
        "prim.sigmoid" | "prim.exp" | "prim.gelu" => 450,
        "prim.pow" => 1500,
        _ => 600,
    }
}
