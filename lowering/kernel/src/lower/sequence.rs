//! Primitives with an order of their own: scans, sorts, scatters, windows with indices, transposed convolution, checks.

use super::body::{Body, compute_type};
use super::contraction::IsConstant;
use super::reduce::{identity, reduce_op};
use super::{Binding, LowerError, Lowered, nest};
use crate::{
    Access, BinaryOp, Body as KernelBody, Carried, CompareOp, Expr, For, Kernel, LoopKind, ReduceOp, Stmt, UnaryOp,
};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, DType, Fact, Graph, LocationId, NodeId, ValueId};
use pt2c_ops::index_map::{address, broadcast_index};

type Lowering = Result<Vec<Lowered>, LowerError>;

fn boxed(e: Expr) -> Box<Expr> {
    Box::new(e)
}

fn and(a: Expr, b: Expr) -> Expr {
    Expr::Binary(BinaryOp::And, boxed(a), boxed(b))
}

fn or(a: Expr, b: Expr) -> Expr {
    Expr::Binary(BinaryOp::Or, boxed(a), boxed(b))
}

fn compare(op: CompareOp, a: Expr, b: Expr) -> Expr {
    Expr::Compare(op, boxed(a), boxed(b))
}

/// Opens a loop for every dimension of `shape` but `skip`; returns their symbols and the index (with 0 at `skip`).
fn open_loops(body: &mut Body<'_>, shape: &[Dim], skip: Option<usize>) -> (Vec<(Symbol, Dim)>, Vec<Dim>) {
    let mut loops = Vec::new();
    let mut index = vec![Dim::ZERO; shape.len()];
    for (d, n) in shape.iter().enumerate() {
        if Some(d) == skip || n.is_one() {
            continue;
        }
        let symbol = body.new_symbol("i", n);
        index[d] = Dim::sym(symbol.clone());
        loops.push((symbol, n.clone()));
        body.open();
    }
    (loops, index)
}

fn close_loops(body: &mut Body<'_>, loops: Vec<(Symbol, Dim)>, outer: LoopKind, innermost: LoopKind) {
    let count = loops.len();
    for (level, (var, extent)) in loops.into_iter().enumerate().rev() {
        let kind = if level + 1 == count { innermost } else { outer };
        let stmts = body.close();
        body.push(Stmt::For(For { var, extent, kind, carried: Vec::new(), body: stmts }));
    }
}

fn with(index: &[Dim], dim: usize, at: Dim) -> Vec<Dim> {
    let mut index = index.to_vec();
    if let Some(slot) = index.get_mut(dim) {
        *slot = at;
    }
    index
}

fn dim_of(arg: &Arg, rank: usize) -> Result<usize, LowerError> {
    arg.as_int()
        .and_then(|d| usize::try_from(d).ok())
        .filter(|d| *d < rank.max(1))
        .ok_or(LowerError::Malformed("a dimension out of range"))
}

/// One parameter for each output of the root, in order; the region must return exactly these.
fn outputs(body: &mut Body<'_>, root: NodeId) -> Result<Vec<(usize, Fact)>, LowerError> {
    let expected: Vec<ValueId> = body.graph.values(root).collect();
    if body.graph.output_values().collect::<Vec<_>>() != expected {
        return Err(LowerError::Malformed("the region must return all outputs of its node"));
    }
    expected
        .into_iter()
        .map(|v| {
            let fact = body.fact(v)?.clone();
            Ok((body.add_param(&body.graph.value_name(v), fact.dtype, Access::Write), fact))
        })
        .collect()
}

fn finish(graph: &Graph, mut body: Body<'_>, name: &str) -> Lowered {
    let stmts = body.close();
    let outputs = graph.output_values().count();
    let bindings = (0..graph.inputs().len()).map(Binding::Operand).chain((0..outputs).map(Binding::Output)).collect();
    Lowered {
        kernel: Kernel { name: name.to_string(), params: body.params, body: KernelBody::Loops(stmts) },
        bindings,
        repeat: None,
    }
}

/// `prim.scan`: a running combination along one dimension.
pub fn scan(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), dim, Arg::Str(kind)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("scan"));
    };
    let mut body = Body::new(graph, scope);
    let outs = outputs(&mut body, root)?;
    let (param, fact) = outs.first().cloned().ok_or(LowerError::Malformed("scan"))?;
    let dim = dim_of(dim, fact.rank())?;
    let dtype = compute_type(fact.dtype);
    let extent = fact.shape.get(dim).cloned().unwrap_or(Dim::ONE);
    let (loops, index) = open_loops(&mut body, &fact.shape, Some(dim));
    let symbol = body.new_symbol("t", &extent);
    let (sum, result) = (body.new_var(), body.new_var());
    body.open();
    let at = with(&index, dim, Dim::sym(symbol.clone()));
    let value = body.eval(*x, &at)?;
    let init = match kind.as_str() {
        "logsumexp" => Expr::Float(f64::NEG_INFINITY, dtype),
        kind => identity(reduce_op(kind).ok_or(LowerError::Malformed("scan"))?, dtype),
    };
    let old = Expr::Var(sum);
    let next = match kind.as_str() {
        "logsumexp" => {
            // max + log1p(exp(min - max)); equal infinities have no difference.
            let high = body.name(dtype, Expr::Binary(BinaryOp::Max, boxed(old.clone()), boxed(value.clone())));
            let low = Expr::Binary(BinaryOp::Min, boxed(old.clone()), boxed(value.clone()));
            let gap = Expr::Unary(UnaryOp::Exp, boxed(Expr::Binary(BinaryOp::Sub, boxed(low), boxed(high.clone()))));
            let soft = Expr::Binary(BinaryOp::Add, boxed(high.clone()), boxed(Expr::Unary(UnaryOp::Log1p, boxed(gap))));
            let same = compare(CompareOp::Eq, old, value);
            let infinite = and(same, Expr::Unary(UnaryOp::IsInf, boxed(high.clone())));
            Expr::Select(boxed(infinite), boxed(high), boxed(soft))
        }
        "sum" => Expr::Binary(BinaryOp::Add, boxed(old), boxed(value)),
        "prod" => Expr::Binary(BinaryOp::Mul, boxed(old), boxed(value)),
        "max" => Expr::Binary(BinaryOp::Max, boxed(old), boxed(value)),
        _ => Expr::Binary(BinaryOp::Min, boxed(old), boxed(value)),
    };
    let next = body.name(dtype, next);
    let store = address(&body.scope, &fact, &at);
    body.push(Stmt::Store { param, address: store, value: next.clone() });
    let stmts = body.close();
    let carried = vec![Carried { var: sum, result, dtype, init, next, reduction: None }];
    body.push(Stmt::For(For { var: symbol, extent, kind: LoopKind::Serial, carried, body: stmts }));
    close_loops(&mut body, loops, LoopKind::Parallel, LoopKind::Parallel);
    Ok(vec![finish(graph, body, name)])
}

/// `prim.compact(mask, size)`: the positions of the true elements, counted up one after the other.
pub fn compact(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(mask), Arg::Int(size)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("compact"));
    };
    let mut body = Body::new(graph, scope);
    let outs = outputs(&mut body, root)?;
    let (param, _) = outs.first().cloned().ok_or(LowerError::Malformed("compact"))?;
    let extent = body.fact(*mask)?.shape.first().cloned().unwrap_or(Dim::ONE);
    let symbol = body.new_symbol("t", &extent);
    let (count, result) = (body.new_var(), body.new_var());
    body.open();
    let at = Dim::sym(symbol.clone());
    let value = body.eval(*mask, std::slice::from_ref(&at))?;
    let holds = body.name(DType::Bool, value);
    let place = body.new_symbol("x", size);
    body.open();
    body.push(Stmt::Index { symbol: place.clone(), extent: size.clone(), value: Expr::Var(count) });
    body.push(Stmt::Store { param, address: Dim::sym(place), value: Expr::Index(at) });
    let then = body.close();
    body.push(Stmt::If { condition: holds.clone(), then });
    let (one, zero) = (Expr::Int(1, DType::I64), Expr::Int(0, DType::I64));
    let step = Expr::Select(boxed(holds), boxed(one), boxed(zero));
    let next = body.name(DType::I64, Expr::Binary(BinaryOp::Add, boxed(Expr::Var(count)), boxed(step)));
    let stmts = body.close();
    let init = Expr::Int(0, DType::I64);
    let carried = vec![Carried { var: count, result, dtype: DType::I64, init, next, reduction: None }];
    body.push(Stmt::For(For { var: symbol, extent, kind: LoopKind::Serial, carried, body: stmts }));
    Ok(vec![finish(graph, body, name)])
}

/// A region that only copies the value `x` of `graph` into its first output, as a first kernel of a scatter.
fn copy_of(graph: &Graph, x: ValueId, name: &str, scope: &Scope) -> Result<Lowered, LowerError> {
    copy_into(graph, x, 0, name, scope)
}

/// A region that only copies the value `x` of `graph` into one of its outputs.
pub(super) fn copy_into(
    graph: &Graph,
    x: ValueId,
    output: usize,
    name: &str,
    scope: &Scope,
) -> Result<Lowered, LowerError> {
    let fact = graph.fact(x).cloned().ok_or(LowerError::Malformed("scatter"))?;
    let mut copy = graph.clone();
    let row_major = Fact::new(fact.dtype, fact.shape.clone());
    let shape = Arg::Ints(fact.shape);
    let node = copy
        .add_call("prim.reshape", vec![Arg::Tensor(x), shape], "copy", vec![row_major], LocationId::UNKNOWN)
        .map_err(|_| LowerError::Malformed("scatter"))?;
    copy.outputs = vec![Arg::Tensor(ValueId { node, index: 0 })];
    copy.remove_dead(|_| false);
    let kernel = nest::lower(&copy, &format!("{name}_copy"), scope)?;
    let operands = copy.inputs().len();
    let bindings = (0..operands).map(Binding::Operand).chain([Binding::Output(output)]).collect();
    Ok(Lowered { kernel, bindings, repeat: None })
}

/// Combines `value` into the element at `address` of a parameter.
fn combine(body: &mut Body<'_>, param: usize, fact: &Fact, at: &[Dim], value: Expr, how: Option<BinaryOp>) {
    let address = address(&body.scope, fact, at);
    let value = match how {
        None => value,
        Some(op) => {
            let old = Expr::Load { param, address: address.clone() };
            let new = Expr::Binary(op, boxed(old), boxed(value));
            body.name(fact.dtype, new)
        }
    };
    body.push(Stmt::Store { param, address, value });
}

/// `prim.scatter(x, index, src, dim, reduce)`: a copy of `x`, then the elements of `src` one after the other.
pub fn scatter(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), Arg::Tensor(index), Arg::Tensor(src), dim, Arg::Str(reduce)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("scatter"));
    };
    let copy = copy_of(graph, *x, name, scope)?;
    let mut body = Body::new(graph, scope);
    let fact = body.fact(ValueId { node: root, index: 0 })?.clone();
    let param = body.add_param("out", fact.dtype, Access::ReadWrite);
    let places = body.fact(*index)?.clone();
    let dim = dim_of(dim, fact.rank())?;
    let (loops, at) = open_loops(&mut body, &places.shape, None);
    let extent = fact.shape.get(dim).cloned().unwrap_or(Dim::ONE);
    let place = body.data_index(*index, &at, &extent, dim)?;
    let value = body.eval(*src, &at)?;
    let how = match reduce.as_str() {
        "set" => None,
        "add" => Some(BinaryOp::Add),
        "mul" => Some(BinaryOp::Mul),
        "max" => Some(BinaryOp::Max),
        "min" => Some(BinaryOp::Min),
        _ => return Err(LowerError::Malformed("scatter")),
    };
    let target = if fact.rank() == 0 { Vec::new() } else { with(&at, dim, place) };
    combine(&mut body, param, &fact, &target, value, how);
    close_loops(&mut body, loops, LoopKind::Serial, LoopKind::Serial);
    Ok(vec![copy, finish(graph, body, name)])
}

/// `prim.update_slice(x, src, start, step)` into the memory of `x`: stores the elements of `src` alone.
pub fn update_slice(graph: &Graph, name: &str, scope: &Scope) -> Lowering {
    let malformed = LowerError::Malformed("update_slice");
    let [Arg::Tensor(result)] = graph.outputs.as_slice() else { return Err(malformed) };
    let [_, Arg::Tensor(src), Arg::Ints(start), Arg::Ints(step)] = graph.node(result.node).args() else {
        return Err(malformed);
    };
    let mut body = Body::new(graph, scope);
    let fact = body.fact(*result)?.clone();
    let param = body.add_param("out", fact.dtype, Access::Write);
    let shape = body.fact(*src)?.shape.clone();
    let (loops, at) = open_loops(&mut body, &shape, None);
    let value = body.eval(*src, &at)?;
    let target: Vec<Dim> = at.iter().zip(start.iter().zip(step)).map(|(i, (start, step))| start + i * step).collect();
    let store = address(&body.scope, &fact, &target);
    body.push(Stmt::Store { param, address: store, value });
    close_loops(&mut body, loops, LoopKind::Parallel, LoopKind::Parallel);
    Ok(vec![finish(graph, body, name)])
}

/// `prim.index_put(x, indices, values, accumulate)`: a copy of `x`, then the values one after the other.
pub fn index_put(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), Arg::Tensors(indices), Arg::Tensor(values), Arg::Bool(accumulate)] = graph.node(root).args()
    else {
        return Err(LowerError::Malformed("index_put"));
    };
    let copy = copy_of(graph, *x, name, scope)?;
    let mut body = Body::new(graph, scope);
    let fact = body.fact(ValueId { node: root, index: 0 })?.clone();
    let param = body.add_param("out", fact.dtype, Access::ReadWrite);
    let mut joint: Vec<Dim> = Vec::new();
    for i in indices.iter().flatten() {
        let shape = &body.fact(*i)?.shape;
        joint = pt2c_ops::shape::broadcast(scope, &joint, shape).map_err(|_| LowerError::Malformed("index_put"))?;
    }
    joint.extend_from_slice(fact.shape.get(indices.len()..).ok_or(LowerError::Malformed("index_put"))?);
    let (loops, at) = open_loops(&mut body, &joint, None);
    let target = body.joint_index(*x, indices, &at)?;
    let source = broadcast_index(body.fact(*values)?, &at);
    let value = body.eval(*values, &source)?;
    combine(&mut body, param, &fact, &target, value, accumulate.then_some(BinaryOp::Add));
    close_loops(&mut body, loops, LoopKind::Serial, LoopKind::Serial);
    Ok(vec![copy, finish(graph, body, name)])
}

/// `prim.max_window_index(x, window, stride, dilation, pad_low, pad_high) -> (values, indices)`.
pub fn max_window_index(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let node = graph.node(root);
    let [Arg::Tensor(x), Arg::Ints(window), Arg::Ints(stride), Arg::Ints(dilation), Arg::Ints(low), _] = node.args()
    else {
        return Err(LowerError::Malformed("max_window_index"));
    };
    let mut body = Body::new(graph, scope);
    let outs = outputs(&mut body, root)?;
    let source = body.fact(*x)?.clone();
    let dtype = compute_type(source.dtype);
    let (values, fact) = outs.first().cloned().ok_or(LowerError::Malformed("max_window_index"))?;
    let outer = fact.rank().checked_sub(window.len()).ok_or(LowerError::Malformed("max_window_index"))?;
    let (loops, index) = open_loops(&mut body, &fact.shape, None);
    // One loop over all window positions, so that the best value and its place are carried together.
    let total = window.iter().fold(Dim::ONE, |n, w| n * w);
    let symbol = body.new_symbol("r", &total);
    let (best, best_out, place, place_out) = (body.new_var(), body.new_var(), body.new_var(), body.new_var());
    body.open();
    let offsets = pt2c_ops::index_map::delinearize(&body.scope, &Dim::sym(symbol.clone()), window);
    let mut full = index[..outer].to_vec();
    let mut inside: Option<Expr> = None;
    for (d, r) in offsets.iter().enumerate() {
        let at = &index[outer + d] * &stride[d] + r * &dilation[d] - &low[d];
        let n = &source.shape[outer + d];
        let holds = and(
            compare(CompareOp::Ge, Expr::Index(at.clone()), Expr::Int(0, DType::I64)),
            compare(CompareOp::Lt, Expr::Index(at.clone()), Expr::Index(n.clone())),
        );
        inside = Some(match inside.take() {
            Some(before) => and(before, holds),
            None => holds,
        });
        full.push(at);
    }
    let inside = body.name(DType::Bool, inside.unwrap_or(Expr::Bool(true)));
    let flat = pt2c_ops::index_map::linearize(&full[outer..], &source.shape[outer..]);
    let value = body.eval_lazy(*x, &full)?;
    let lowest = identity(ReduceOp::Max, dtype);
    let value = Expr::Guarded { condition: boxed(inside.clone()), value: boxed(value), other: boxed(lowest.clone()) };
    let value = body.name(dtype, value);
    let mut better = compare(CompareOp::Gt, value.clone(), Expr::Var(best));
    if dtype.is_float() {
        better = or(better, Expr::Unary(UnaryOp::IsNan, boxed(value.clone())));
    }
    // The first position inside counts even if its value is the lowest there is.
    let unset = compare(CompareOp::Lt, Expr::Var(place), Expr::Int(0, DType::I64));
    let better = body.name(DType::Bool, and(inside, or(better, unset)));
    let stmts = body.close();
    let select = |a: Expr, b: Expr| Expr::Select(boxed(better.clone()), boxed(a), boxed(b));
    let carried = vec![
        Carried {
            var: best,
            result: best_out,
            dtype,
            init: lowest,
            next: select(value, Expr::Var(best)),
            reduction: None,
        },
        Carried {
            var: place,
            result: place_out,
            dtype: DType::I64,
            init: Expr::Int(-1, DType::I64),
            next: select(Expr::Index(flat), Expr::Var(place)),
            reduction: None,
        },
    ];
    body.push(Stmt::For(For { var: symbol, extent: total, kind: LoopKind::Serial, carried, body: stmts }));
    let at = address(&body.scope, &fact, &index);
    body.push(Stmt::Store { param: values, address: at, value: Expr::Var(best_out) });
    if let Some((param, fact)) = outs.get(1) {
        let at = address(&body.scope, fact, &index);
        body.push(Stmt::Store { param: *param, address: at, value: Expr::Var(place_out) });
    }
    close_loops(&mut body, loops, LoopKind::Parallel, LoopKind::Parallel);
    Ok(vec![finish(graph, body, name)])
}

/// `prim.conv_transpose(x, w, stride, padding, output_padding, dilation, groups)`, gathered: every output element sums
/// the inputs whose window covers it.
pub fn conv_transpose(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), Arg::Tensor(w), stride, Arg::Ints(padding), _, dilation, groups] = graph.node(root).args()
    else {
        return Err(LowerError::Malformed("conv_transpose"));
    };
    let (Some(stride), Some(dilation), Some(groups)) = (stride.as_ints(), dilation.as_ints(), groups.as_int()) else {
        return Err(LowerError::Malformed("conv_transpose with unknown parameters"));
    };
    let mut body = Body::new(graph, scope);
    let outs = outputs(&mut body, root)?;
    let (param, fact) = outs.first().cloned().ok_or(LowerError::Malformed("conv_transpose"))?;
    let (fx, fw) = (body.fact(*x)?.clone(), body.fact(*w)?.clone());
    let spatial = fact.rank().checked_sub(2).ok_or(LowerError::Malformed("conv_transpose"))?;
    let dtype = compute_type(fact.dtype);
    let (loops, index) = open_loops(&mut body, &fact.shape, None);
    let outputs_per_group = fw.shape[1].clone();
    let inputs_per_group = fx.shape[1].floor_div(&Dim::int(groups));
    let group = body.scope.simplify(&index[1].floor_div(&outputs_per_group));
    let within = body.scope.simplify(&index[1].modulo(&outputs_per_group));
    let mut extents = vec![inputs_per_group.clone()];
    extents.extend_from_slice(&fw.shape[2..]);
    let symbols: Vec<Symbol> = extents.iter().map(|n| body.new_symbol("r", n)).collect();
    let vars: Vec<_> = extents.iter().map(|_| (body.new_var(), body.new_var())).collect();
    for _ in &symbols {
        body.open();
    }
    let r: Vec<Dim> = symbols.iter().map(|s| Dim::sym(s.clone())).collect();
    let channel = &group * &inputs_per_group + &r[0];
    let mut at = vec![index[0].clone(), channel.clone()];
    let mut weight_at = vec![channel, within];
    let mut condition: Option<Expr> = None;
    for d in 0..spatial {
        let shifted = &index[2 + d] + &padding[d] - &r[1 + d] * dilation[d];
        let position = shifted.floor_div(&Dim::int(stride[d]));
        let zero = || Expr::Int(0, DType::I64);
        let mut holds = and(
            compare(CompareOp::Ge, Expr::Index(shifted.clone()), zero()),
            compare(CompareOp::Lt, Expr::Index(position.clone()), Expr::Index(fx.shape[2 + d].clone())),
        );
        if stride[d] != 1 {
            holds = and(holds, compare(CompareOp::Eq, Expr::Index(shifted.modulo(&Dim::int(stride[d]))), zero()));
        }
        condition = Some(match condition.take() {
            Some(before) => and(before, holds),
            None => holds,
        });
        at.push(position);
        weight_at.push(r[1 + d].clone());
    }
    let product = Expr::Binary(BinaryOp::Mul, boxed(body.eval_lazy(*x, &at)?), boxed(body.eval_lazy(*w, &weight_at)?));
    let zero = identity(ReduceOp::Sum, dtype);
    let term = Expr::Guarded {
        condition: boxed(condition.unwrap_or(Expr::Bool(true))),
        value: boxed(product),
        other: boxed(zero.clone()),
    };
    let mut next = term;
    for level in (0..symbols.len()).rev() {
        let stmts = body.close();
        let init = if level == 0 { zero.clone() } else { Expr::Var(vars[level - 1].0) };
        let reduction = (level + 1 == symbols.len()).then_some(ReduceOp::Sum);
        let (var, result) = vars[level];
        let carried = vec![Carried { var, result, dtype, init, next, reduction }];
        body.push(Stmt::For(For {
            var: symbols[level].clone(),
            extent: extents[level].clone(),
            kind: LoopKind::Serial,
            carried,
            body: stmts,
        }));
        next = Expr::Var(result);
    }
    let store = address(&body.scope, &fact, &index);
    body.push(Stmt::Store { param, address: store, value: next });
    close_loops(&mut body, loops, LoopKind::Parallel, LoopKind::Parallel);
    Ok(vec![finish(graph, body, name)])
}

/// `prim.assert(cond, message)`: every element must hold.
pub fn assert(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(condition), Arg::Str(message)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("assert"));
    };
    let mut body = Body::new(graph, scope);
    let fact = body.fact(*condition)?.clone();
    let (loops, index) = open_loops(&mut body, &fact.shape, None);
    let holds = body.eval(*condition, &index)?;
    body.push(Stmt::Check { condition: holds, message: message.clone(), value: None });
    close_loops(&mut body, loops, LoopKind::Serial, LoopKind::Serial);
    Ok(vec![finish(graph, body, name)])
}
