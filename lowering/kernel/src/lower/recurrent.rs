//! Recurrent layers: one loop over the steps, the product with the recurrent weights and the gates inside it.
//!
//! Where a step is long enough for several threads, it is a kernel of its own, called once for each step: a kernel ends
//! when all its threads have, and the next step needs every unit of the one before.

use super::body::Body;
use super::contraction::IsConstant;
use super::control::counter_in;
use super::in_place::without_param;
use super::{Binding, LowerError, Lowered, Repeat};
use crate::{Access, BinaryOp, Body as KernelBody, Carried, Expr, For, Kernel, LoopKind, ReduceOp, Stmt, UnaryOp};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, Fact, Graph, NodeId, ValueId};
use pt2c_ops::index_map::address;

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

fn unary(op: UnaryOp, x: Expr) -> Expr {
    Expr::Unary(op, Box::new(x))
}

fn add(a: Expr, b: Expr) -> Expr {
    binary(BinaryOp::Add, a, b)
}

fn mul(a: Expr, b: Expr) -> Expr {
    binary(BinaryOp::Mul, a, b)
}

/// A recurrent cell: from the gates' sums to the new hidden state, for one hidden unit.
struct Cell<'a> {
    /// Gates per hidden unit (4 for LSTM, 3 for GRU, 1 for RNN).
    gates: i64,
    /// The new hidden value: gets the input part and the recurrent part of every gate, the old hidden value and the
    /// address of the hidden unit in a `[B, H]` state.
    #[allow(clippy::type_complexity)]
    finish: &'a mut dyn FnMut(&mut Body<'_>, Vec<Expr>, Vec<Expr>, Expr, &Dim, &Dim) -> Result<Expr, LowerError>,
}

/// Multiply-adds of a step from which threads share it: some ten microseconds.
const SHARED_STEP: i64 = 1 << 17;

/// Units that one thread takes at a time; whole vectors of every target.
const TILE: i64 = 64;

/// What a kernel does of a layer.
enum Part {
    /// Everything.
    Whole,
    /// The first step.
    First,
    /// One of the others, by the number of the call.
    Each(Symbol),
    /// The last state.
    Last,
}

/// Parameters and shapes that all recurrent layers share.
struct Layer {
    gates: ValueId,
    w_hh: ValueId,
    hidden: ValueId,
    steps: Dim,
    batch: Dim,
    units: Dim,
    y: usize,
    fact_y: Fact,
    /// Whether threads share a step.
    is_shared: bool,
}

impl Layer {
    /// One step: for each sequence of the batch, for each unit in lanes.
    ///
    /// `previous` gives the old hidden value of a unit.
    fn step(
        &self,
        body: &mut Body<'_>,
        t: &Dim,
        cell: &mut Cell<'_>,
        previous: &dyn Fn(&mut Body<'_>, &Dim, &Dim) -> Result<Expr, LowerError>,
    ) -> Result<(), LowerError> {
        // The loops around a unit, from the outermost: the batch, tiles of units that threads share, units.
        let mut loops = Vec::new();
        let mut open = |body: &mut Body<'_>, hint: &str, extent: Dim, kind: LoopKind| {
            let symbol = body.new_symbol(hint, &extent);
            body.open();
            loops.push((symbol.clone(), extent, kind));
            Dim::sym(symbol)
        };
        let (bi, ji) = if self.is_shared {
            let batch = self.batch.is_one();
            let bi = if batch { Dim::ZERO } else { open(body, "b", self.batch.clone(), LoopKind::Parallel) };
            let tile = open(body, "tile", self.units.floor_div(&Dim::int(TILE)), LoopKind::Parallel);
            (bi, tile * TILE + open(body, "j", Dim::int(TILE), LoopKind::Vector))
        } else {
            let bi = open(body, "b", self.batch.clone(), LoopKind::Serial);
            (bi, open(body, "j", self.units.clone(), LoopKind::Vector))
        };
        let k = body.new_symbol("k", &self.units);
        body.open();
        let ki = Dim::sym(k.clone());
        let h = previous(body, &bi, &ki)?;
        let dtype = self.fact_y.dtype;
        let mut carried = Vec::new();
        for g in 0..cell.gates {
            let row = &self.units * g + &ji;
            let w = body.eval(self.w_hh, &[row, ki.clone()])?;
            let (var, result) = (body.new_var(), body.new_var());
            carried.push(Carried {
                var,
                result,
                dtype,
                init: Expr::Float(0.0, dtype),
                next: mul(w, h.clone()),
                reduction: Some(ReduceOp::Sum),
            });
        }
        let recurrent: Vec<Expr> = carried.iter().map(|c| Expr::Var(c.result)).collect();
        let stmts = body.close();
        body.push(Stmt::For(For { var: k, extent: self.units.clone(), kind: LoopKind::Serial, carried, body: stmts }));
        let mut input = Vec::new();
        for g in 0..cell.gates {
            let column = &self.units * g + &ji;
            input.push(body.eval(self.gates, &[t.clone(), bi.clone(), column])?);
        }
        let old = previous(body, &bi, &ji)?;
        let new = (cell.finish)(body, input, recurrent, old, &bi, &ji)?;
        let at = address(&body.scope, &self.fact_y, &[t.clone(), bi, ji]);
        body.push(Stmt::Store { param: self.y, address: at, value: new });
        for (symbol, extent, kind) in loops.into_iter().rev() {
            self.close_loop(body, symbol, extent, kind);
        }
        Ok(())
    }

    fn close_loop(&self, body: &mut Body<'_>, var: Symbol, extent: Dim, kind: LoopKind) {
        let stmts = body.close();
        body.push(Stmt::For(For { var, extent, kind, carried: Vec::new(), body: stmts }));
    }

    /// The first step from the initial state, the others from the output of the step before, then the last state.
    fn run(&self, body: &mut Body<'_>, cell: &mut Cell<'_>, last: usize, part: &Part) -> Result<(), LowerError> {
        if matches!(part, Part::Whole | Part::First) {
            let hidden = self.hidden;
            self.step(body, &Dim::ZERO, cell, &|body, b, u| body.eval(hidden, &[b.clone(), u.clone()]))?;
        }
        match part {
            Part::Whole => {
                let rest = &self.steps - 1;
                let t = body.new_symbol("t", &rest);
                body.open();
                self.next_step(body, cell, &t)?;
                self.close_loop(body, t, rest, LoopKind::Serial);
            }
            Part::Each(t) => self.next_step(body, cell, t)?,
            Part::First | Part::Last => {}
        }
        if matches!(part, Part::Whole | Part::Last) {
            self.keep_last(body, last);
        }
        Ok(())
    }

    /// Step `t + 1`, from the output of step `t`.
    fn next_step(&self, body: &mut Body<'_>, cell: &mut Cell<'_>, t: &Symbol) -> Result<(), LowerError> {
        let now = Dim::sym(t.clone()) + 1;
        let (y, fact) = (self.y, &self.fact_y);
        self.step(body, &now, cell, &|body, b, u| {
            let at = address(&body.scope, fact, &[Dim::sym(t.clone()), b.clone(), u.clone()]);
            Ok(body.name(fact.dtype, Expr::Load { param: y, address: at }))
        })
    }

    /// h = y[T-1]
    fn keep_last(&self, body: &mut Body<'_>, last: usize) {
        let b = body.new_symbol("b", &self.batch);
        body.open();
        let j = body.new_symbol("j", &self.units);
        body.open();
        let state = [Dim::sym(b.clone()), Dim::sym(j.clone())];
        let from = address(&body.scope, &self.fact_y, &[&[&self.steps - 1], &state[..]].concat());
        let to = &state[0] * &self.units + &state[1];
        let value = Expr::Load { param: self.y, address: from };
        body.push(Stmt::Store { param: last, address: to, value });
        self.close_loop(body, j, self.units.clone(), LoopKind::Vector);
        self.close_loop(body, b, self.batch.clone(), LoopKind::Serial);
    }
}

fn layer(
    body: &mut Body<'_>,
    root: NodeId,
    gates: ValueId,
    hidden: ValueId,
    w_hh: ValueId,
    part: &Part,
) -> Result<Layer, LowerError> {
    let y = ValueId { node: root, index: 0 };
    let fact_y = body.fact(y)?.clone();
    let [steps, batch, units] = fact_y.shape.as_slice() else {
        return Err(LowerError::Malformed("a recurrent layer's output"));
    };
    let (steps, batch, units) = (steps.clone(), batch.clone(), units.clone());
    let y = body.add_param("y", fact_y.dtype, Access::ReadWrite);
    Ok(Layer { gates, w_hh, hidden, steps, batch, units, y, fact_y, is_shared: !matches!(part, Part::Whole) })
}

/// The kernels of a layer with so many gates for each unit; `write` adds one part's parameters, the same for all parts,
/// and its statements.
fn kernels(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    gates: i64,
    write: impl Fn(&mut Body<'_>, &Part) -> Result<(), LowerError>,
) -> Result<Vec<Lowered>, LowerError> {
    let kernel = |part: Part, repeat: Option<Repeat>| {
        let mut body = Body::new(graph, scope);
        if let Some(repeat) = &repeat {
            body.scope.declare_in(repeat.symbol.clone(), Dim::ZERO, repeat.times.clone());
        }
        write(&mut body, &part)?;
        let stmts = body.close();
        bind(graph, root, body, name, stmts, repeat)
    };
    let fact = graph.fact(ValueId { node: root, index: 0 }).ok_or(LowerError::Malformed("a recurrent layer"))?;
    let [steps, _, units] = fact.shape.as_slice() else {
        return Err(LowerError::Malformed("a recurrent layer's output"));
    };
    let is_long = |n: i64| n % TILE == 0 && n.saturating_mul(n).saturating_mul(gates) >= SHARED_STEP;
    if !units.as_int().is_some_and(is_long) || steps.is_one() {
        return Ok(vec![kernel(Part::Whole, None)?]);
    }
    let symbol = counter_in(scope);
    let repeat = Repeat { symbol: symbol.clone(), times: steps - 1 };
    Ok(vec![kernel(Part::First, None)?, kernel(Part::Each(symbol), Some(repeat))?, kernel(Part::Last, None)?])
}

/// The region's outputs must be the node's outputs, in order.
fn bind(
    graph: &Graph,
    root: NodeId,
    body: Body<'_>,
    name: &str,
    stmts: Vec<Stmt>,
    repeat: Option<Repeat>,
) -> Result<Lowered, LowerError> {
    let outputs: Vec<ValueId> = graph.output_values().collect();
    let expected: Vec<ValueId> = graph.values(root).collect();
    if outputs != expected {
        return Err(LowerError::Malformed("a recurrent region must return all outputs of its layer"));
    }
    let operands = graph.inputs().len();
    let bindings = (0..operands).map(Binding::Operand).chain((0..outputs.len()).map(Binding::Output));
    let mut bindings: Vec<Binding> = bindings.collect();
    let mut kernel = Kernel { name: name.to_string(), params: body.params, body: KernelBody::Loops(stmts) };
    // What a part does not use would be kept for it, weights in their first layout among them.
    for param in (0..bindings.len()).rev() {
        if let Some(without) = without_param(&kernel, param) {
            kernel = without;
            bindings.remove(param);
        }
    }
    Ok(Lowered { kernel, bindings, repeat })
}

/// `prim.lstm(gates, h0, c0, w_hh) -> (y, h, c)`; gates in the order i, f, g, o.
pub fn lstm(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    _: IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let [Arg::Tensor(gates), Arg::Tensor(h0), Arg::Tensor(c0), Arg::Tensor(w_hh)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("lstm"));
    };
    kernels(graph, root, name, scope, 4, |body, part| {
        let layer = layer(body, root, *gates, *h0, *w_hh, part)?;
        let dtype = layer.fact_y.dtype;
        let h = body.add_param("h", dtype, Access::Write);
        let c = body.add_param("c", dtype, Access::ReadWrite);
        let units = layer.units.clone();
        if matches!(part, Part::Whole | Part::First) {
            // The cell state lives in its output from the start.
            let b = body.new_symbol("b", &layer.batch);
            body.open();
            let j = body.new_symbol("j", &layer.units);
            body.open();
            let start = [Dim::sym(b.clone()), Dim::sym(j.clone())];
            let value = body.eval(*c0, &start)?;
            body.push(Stmt::Store { param: c, address: &start[0] * &units + &start[1], value });
            layer.close_loop(body, j, layer.units.clone(), LoopKind::Vector);
            layer.close_loop(body, b, layer.batch.clone(), LoopKind::Serial);
        }
        let mut finish = |body: &mut Body<'_>, x: Vec<Expr>, r: Vec<Expr>, _: Expr, b: &Dim, j: &Dim| {
            let mut sums = x.into_iter().zip(r).map(|(x, r)| add(x, r));
            let mut next = || sums.next().ok_or(LowerError::Malformed("lstm gates"));
            let (i, f, g, o) = (next()?, next()?, next()?, next()?);
            let at = b * &units + j;
            let old = Expr::Load { param: c, address: at.clone() };
            let kept = mul(unary(UnaryOp::Sigmoid, f), old);
            let cell = add(kept, mul(unary(UnaryOp::Sigmoid, i), unary(UnaryOp::Tanh, g)));
            let cell = body.name(dtype, cell);
            body.push(Stmt::Store { param: c, address: at, value: cell.clone() });
            let new = mul(unary(UnaryOp::Sigmoid, o), unary(UnaryOp::Tanh, cell));
            Ok(body.name(dtype, new))
        };
        layer.run(body, &mut Cell { gates: 4, finish: &mut finish }, h, part)
    })
}

/// `prim.gru(gates, h0, w_hh, b_hh) -> (y, h)`; gates in the order r, z, n.
pub fn gru(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    _: IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let [Arg::Tensor(gates), Arg::Tensor(h0), Arg::Tensor(w_hh), Arg::Tensor(b_hh)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("gru"));
    };
    kernels(graph, root, name, scope, 3, |body, part| {
        let layer = layer(body, root, *gates, *h0, *w_hh, part)?;
        let dtype = layer.fact_y.dtype;
        let h = body.add_param("h", dtype, Access::Write);
        let units = layer.units.clone();
        let b_hh = *b_hh;
        let mut finish = |body: &mut Body<'_>, x: Vec<Expr>, r: Vec<Expr>, old: Expr, _: &Dim, j: &Dim| {
            let mut recurrent = Vec::new();
            for (g, r) in r.into_iter().enumerate() {
                let bias = body.eval(b_hh, &[&units * g as i64 + j])?;
                recurrent.push(add(r, bias));
            }
            let mut parts = x.into_iter().zip(recurrent);
            let mut next = || parts.next().ok_or(LowerError::Malformed("gru gates"));
            let ((xr, hr), (xz, hz), (xn, hn)) = (next()?, next()?, next()?);
            let reset = unary(UnaryOp::Sigmoid, add(xr, hr));
            let update = body.name(dtype, unary(UnaryOp::Sigmoid, add(xz, hz)));
            let fresh = body.name(dtype, unary(UnaryOp::Tanh, add(xn, mul(reset, hn))));
            // (1 - z)·n + z·h, in the form that PyTorch computes: n + z·(h - n).
            let new = add(fresh.clone(), mul(update, binary(BinaryOp::Sub, old, fresh)));
            Ok(body.name(dtype, new))
        };
        layer.run(body, &mut Cell { gates: 3, finish: &mut finish }, h, part)
    })
}

/// `prim.rnn(gates, h0, w_hh, nonlinearity) -> (y, h)`.
pub fn rnn(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    _: IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let [Arg::Tensor(gates), Arg::Tensor(h0), Arg::Tensor(w_hh), Arg::Str(kind)] = graph.node(root).args() else {
        return Err(LowerError::Malformed("rnn"));
    };
    kernels(graph, root, name, scope, 1, |body, part| {
        let layer = layer(body, root, *gates, *h0, *w_hh, part)?;
        let dtype = layer.fact_y.dtype;
        let h = body.add_param("h", dtype, Access::Write);
        let relu = kind == "relu";
        let mut finish = |body: &mut Body<'_>, x: Vec<Expr>, r: Vec<Expr>, _: Expr, _: &Dim, _: &Dim| {
            let (Some(x), Some(r)) = (x.into_iter().next(), r.into_iter().next()) else {
                return Err(LowerError::Malformed("rnn gates"));
            };
            let sum = add(x, r);
            let new =
                if relu { binary(BinaryOp::Max, sum, Expr::Float(0.0, dtype)) } else { unary(UnaryOp::Tanh, sum) };
            Ok(body.name(dtype, new))
        };
        layer.run(body, &mut Cell { gates: 1, finish: &mut finish }, h, part)
    })
}
