//! Loop nests for regions without a contraction: which loops there are, in which order, and what each may do.
//!
//! The iteration space is the shape of the first output, or the operand of the reductions for regions that have some.
//! Loops follow the order of the dimensions in memory, innermost last; a loop variable that addresses divide by a
//! constant is split at it, so that addresses stay affine; loops that walk memory without a gap are merged.

use super::LowerError;
use super::body::Body;
use super::collapse::collapse;
use crate::{Access, Body as KernelBody, Expr, For, Kernel, LoopKind, Stmt};
use pt2c_ir::dim::{Dim, Func, Kind, Scope, Symbol};
use pt2c_ir::{Arg, Graph, NodeId, ValueId};
use pt2c_ops::index_map::{address, reshape_index};

/// Splits of logical dimensions one after the other: dimension, which of its loops so far (outermost is 0), inner extent.
type Splits = Vec<(usize, usize, Dim)>;

/// Lowers a region of views, elementwise primitives, reads by index, windows and reductions.
pub fn lower(graph: &Graph, name: &str, scope: &Scope) -> Result<Kernel, LowerError> {
    let mut splits: Splits = Vec::new();
    let mut kernel = attempt(graph, name, scope, &splits)?;
    // A split can uncover another one; more than a few levels of views do not occur.
    for _ in 0..4 {
        let Some(found) = find_split(&kernel, scope) else { break };
        splits.push(found);
        let next = attempt(graph, name, scope, &splits)?;
        if divisions(&next.kernel.body) >= divisions(&kernel.kernel.body) {
            break;
        }
        kernel = next;
    }
    let mut kernel = kernel.kernel;
    if let KernelBody::Loops(stmts) = &mut kernel.body {
        collapse(stmts);
    }
    Ok(kernel)
}

/// A lowered kernel and its loop variables by logical dimension.
struct Attempt {
    kernel: Kernel,
    loops: Vec<(usize, Symbol, Dim)>,
}

/// The reductions of a region that the iteration space is built around.
fn reductions(graph: &Graph) -> Vec<NodeId> {
    graph.nodes().filter(|(_, n)| n.op() == Some("prim.reduce")).map(|(id, _)| id).collect()
}

fn attempt(graph: &Graph, name: &str, scope: &Scope, splits: &Splits) -> Result<Attempt, LowerError> {
    let mut body = Body::new(graph, scope);
    let outputs: Vec<ValueId> = graph.output_values().collect();
    let first = *outputs.first().ok_or(LowerError::Malformed("a region without outputs"))?;
    let mut stores = Vec::with_capacity(outputs.len());
    for &value in &outputs {
        let dtype = body.fact(value)?.dtype;
        stores.push(body.add_param(&graph.value_name(value), dtype, Access::Write));
    }
    let reductions = reductions(graph);
    let mut reduced: Vec<usize> = Vec::new();
    let space_value = match reductions.first().map(|id| graph.node(*id).args()) {
        Some([Arg::Tensor(x), Arg::Ints(dims), _]) => {
            reduced = dims.iter().filter_map(|d| usize::try_from(d.as_int()?).ok()).collect();
            *x
        }
        _ => first,
    };
    let space = body.fact(space_value)?.clone();
    // Memory order: the first input or output that spans the whole space decides.
    let spanning = graph.inputs().chain(outputs.iter().copied()).find_map(|v| {
        let fact = graph.fact(v)?;
        (fact.shape == space.shape && !fact.order.is_row_major()).then(|| fact.order.clone())
    });
    let order = if reduced.is_empty() { body.fact(first)?.order.clone() } else { spanning.unwrap_or_default() };
    let order = order.dims(space.rank());

    let mut index = vec![Dim::ZERO; space.rank()];
    let mut loops: Vec<(usize, Symbol, Dim)> = Vec::new();
    for &d in &order {
        if space.shape[d].is_one() || reduced.contains(&d) {
            continue;
        }
        let mut parts = vec![space.shape[d].clone()];
        for (_, part, inner) in splits.iter().filter(|(dim, ..)| *dim == d) {
            if let Some(whole) = parts.get_mut(*part) {
                *whole = whole.floor_div(inner);
                parts.insert(part + 1, inner.clone());
            }
        }
        for extent in parts {
            let symbol = body.new_symbol("i", &extent);
            index[d] = &index[d] * &extent + Dim::sym(symbol.clone());
            loops.push((d, symbol, extent));
        }
    }
    // With reductions along the innermost memory dimension, lanes run along the reduction; otherwise along the
    // innermost loop that is left.
    let lanes_reduce = order.iter().rev().find(|d| !space.shape[**d].is_one()).is_some_and(|d| reduced.contains(d));
    body.reduction_kind = if lanes_reduce { LoopKind::Vector } else { LoopKind::Serial };

    for _ in &loops {
        body.open();
    }
    let outer: Vec<Dim> = (0..space.rank()).filter(|d| !reduced.contains(d)).map(|d| index[d].clone()).collect();
    for id in &reductions {
        body.eval(ValueId { node: *id, index: 0 }, &outer)?;
    }
    let mut full = Vec::new();
    for (&value, &param) in outputs.iter().zip(&stores) {
        let fact = body.fact(value)?.clone();
        if fact.shape == space.shape && !reduced.is_empty() {
            full.push((value, param));
            continue;
        }
        let at = output_index(&body, value, &fact.shape, space_value, &space.shape, &reduced, &index, &outer)?;
        let value = body.eval(value, &at)?;
        let address = address(&body.scope, &fact, &at);
        body.push(Stmt::Store { param, address, value });
    }
    if !full.is_empty() {
        let inner: Vec<usize> = order.iter().copied().filter(|d| reduced.contains(d)).collect();
        let mut at = index.clone();
        let mut symbols = Vec::new();
        for &d in &inner {
            let symbol = body.new_symbol("j", &space.shape[d]);
            at[d] = Dim::sym(symbol.clone());
            symbols.push((symbol, space.shape[d].clone()));
        }
        for _ in &symbols {
            body.open();
        }
        for (value, param) in full {
            let fact = body.fact(value)?.clone();
            let expr = body.eval(value, &at)?;
            let address = address(&body.scope, &fact, &at);
            body.push(Stmt::Store { param, address, value: expr });
        }
        for (level, (var, extent)) in symbols.into_iter().enumerate().rev() {
            let innermost = level + 1 == inner.len();
            let kind = if innermost && lanes_reduce { LoopKind::Vector } else { LoopKind::Serial };
            let stmts = body.close();
            body.push(Stmt::For(For { var, extent, kind, carried: Vec::new(), body: stmts }));
        }
    }
    for (level, (_, var, extent)) in loops.iter().enumerate().rev() {
        let innermost = level + 1 == loops.len();
        let kind = if innermost && !lanes_reduce { LoopKind::Vector } else { LoopKind::Parallel };
        let stmts = body.close();
        body.push(Stmt::For(For { var: var.clone(), extent: extent.clone(), kind, carried: Vec::new(), body: stmts }));
    }
    let stmts = body.close();
    let kernel = Kernel { name: name.to_string(), params: body.params, body: KernelBody::Loops(stmts) };
    Ok(Attempt { kernel, loops })
}

/// Where an output holds the element that the iteration at `index` computes.
#[allow(clippy::too_many_arguments)]
fn output_index(
    body: &Body<'_>,
    value: ValueId,
    shape: &[Dim],
    space_value: ValueId,
    space: &[Dim],
    reduced: &[usize],
    index: &[Dim],
    outer: &[Dim],
) -> Result<Vec<Dim>, LowerError> {
    if reduced.is_empty() {
        if shape == space {
            return Ok(index.to_vec());
        }
        if let Some(at) = body.forward_index(space_value, index, value) {
            return Ok(at);
        }
        // Of reductions over no dimension, elementwise work with more or fewer dimensions of size 1 may follow.
        let significant = |n: &&Dim| !n.is_one();
        if !shape.iter().filter(significant).eq(space.iter().filter(significant)) {
            return Err(LowerError::Malformed("outputs of different iteration spaces"));
        }
    }
    // The kept dimensions, with or without the reduced ones as size 1.
    let kept: Vec<Dim> = (0..space.len()).filter(|d| !reduced.contains(d)).map(|d| space[d].clone()).collect();
    if shape == kept {
        return Ok(outer.to_vec());
    }
    Ok(reshape_index(&body.scope, shape, &kept, outer))
}

/// A loop variable that an address divides, with the divisor, if the loop's extent is a multiple of it.
fn find_split(attempt: &Attempt, scope: &Scope) -> Option<(usize, usize, Dim)> {
    let mut found = None;
    let KernelBody::Loops(stmts) = &attempt.kernel.body else { return None };
    visit_dims(stmts, &mut |dim| {
        visit_funcs(dim, &mut |func| {
            let (Func::FloorDiv(a, b) | Func::Mod(a, b)) = func else { return };
            if found.is_some() {
                return;
            }
            let Some(symbol) = a.as_symbol() else { return };
            let looped = attempt.loops.iter().find(|(_, s, _)| s == symbol);
            if let Some((d, _, extent)) = looped
                && extent != b
                && scope.prove_divisible(extent, b).is_yes()
            {
                let part = attempt.loops.iter().filter(|(of, ..)| of == d).position(|(_, s, _)| s == symbol);
                found = part.map(|part| (*d, part, b.clone()));
            }
        });
    });
    found
}

/// How many divisions and remainders the addresses contain.
fn divisions(body: &KernelBody) -> usize {
    let mut count = 0;
    if let KernelBody::Loops(stmts) = body {
        visit_dims(stmts, &mut |dim| {
            visit_funcs(dim, &mut |func| {
                count += usize::from(matches!(func, Func::FloorDiv(..) | Func::Mod(..)));
            });
        });
    }
    count
}

/// Calls `f` with every function application inside an expression.
fn visit_funcs(dim: &Dim, f: &mut dyn FnMut(&Func)) {
    match dim.kind() {
        Kind::Func(func) => {
            f(func);
            for arg in func.args() {
                visit_funcs(arg, f);
            }
        }
        Kind::Sum(sum) => {
            for (factor, _) in sum.terms.iter().flat_map(|t| &t.factors) {
                visit_funcs(factor, f);
            }
        }
        _ => {}
    }
}

/// Calls `f` with every address and index expression of the statements.
pub fn visit_dims(stmts: &[Stmt], f: &mut dyn FnMut(&Dim)) {
    for stmt in stmts {
        match stmt {
            Stmt::Let { value, .. } | Stmt::Index { value, .. } => visit_expr(value, f),
            Stmt::Store { address, value, .. } => {
                f(address);
                visit_expr(value, f);
            }
            Stmt::For(l) => {
                for c in &l.carried {
                    visit_expr(&c.init, f);
                    visit_expr(&c.next, f);
                }
                visit_dims(&l.body, f);
            }
            Stmt::If { condition, then } => {
                visit_expr(condition, f);
                visit_dims(then, f);
            }
            Stmt::Check { condition, value, .. } => {
                visit_expr(condition, f);
                if let Some(v) = value {
                    visit_expr(v, f);
                }
            }
        }
    }
}

/// Calls `f` with every address and index expression of an epilogue.
pub fn visit_epilogue(epilogue: &crate::Epilogue, f: &mut dyn FnMut(&Dim)) {
    visit_dims(&epilogue.lets, f);
    for (_, address, value) in &epilogue.stores {
        f(address);
        visit_expr(value, f);
    }
}

/// Whether an epilogue reads a parameter.
pub fn epilogue_loads(epilogue: &crate::Epilogue, param: usize) -> bool {
    let lets = epilogue.lets.iter().any(|s| matches!(s, crate::Stmt::Let { value, .. } if loads(value, param)));
    lets || epilogue.stores.iter().any(|(_, _, value)| loads(value, param))
}

fn loads(expr: &Expr, param: usize) -> bool {
    match expr {
        Expr::Load { param: read, .. } => *read == param,
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => false,
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            [a, b, c].into_iter().any(|e| loads(e, param))
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => loads(a, param),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => loads(a, param) || loads(b, param),
    }
}

fn visit_expr(expr: &Expr, f: &mut dyn FnMut(&Dim)) {
    match expr {
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) => {}
        Expr::Index(d) | Expr::Load { address: d, .. } => f(d),
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            visit_expr(a, f);
            visit_expr(b, f);
            visit_expr(c, f);
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => visit_expr(a, f),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            visit_expr(a, f);
            visit_expr(b, f);
        }
    }
}
