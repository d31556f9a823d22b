//! Vector loops: whole vectors (several registers at a time where that hides latencies), then the rest.
//!
//! A step of `width` iterations uses vectors of that many lanes; where `width` is several registers, LLVM splits each
//! operation, which unrolls and interleaves the loop, gives a reduction as many accumulators, and jams an inner loop.
//! The rest runs with a mask on AVX-512, and as scalars elsewhere. Nothing is read or written beyond the end.

use super::{Cx, Value, loaded_dtype};
use crate::NativeError;
use crate::builder::{Type, Val};
use crate::target::{Isa, Target};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_kernel::{Expr, For, LoopKind, Stmt, UnaryOp};
use std::collections::BTreeSet;

impl Cx<'_> {
    /// A vector loop, over `range` or its whole extent.
    pub(super) fn vector_loop(&mut self, f: &For, range: Option<(Val, Val)>) -> Result<(), NativeError> {
        if !vectorises(f) {
            return self.scalar_loop(f, range);
        }
        let known = if range.is_none() { f.extent.as_int() } else { None };
        let (lo, hi) = match range {
            Some(range) => range,
            None => (self.b.index(0), self.ix.dim(&mut self.b, &f.extent)?),
        };
        let dtypes: Vec<DType> = self.params.iter().map(|m| m.dtype).collect();
        let (narrow, wide) = widths(f, &dtypes, known, self.b.target);
        let masks = self.b.target.isa == Isa::Avx512;
        // The carried values as scalars; each part of the loop adds its own.
        let mut totals = Vec::new();
        for c in &f.carried {
            let value = self.expr(&c.init)?;
            totals.push(self.cast(value, loaded_dtype(c.dtype))?.val);
        }
        self.aligned_parts = known.is_some();
        match known {
            // Every part starts at a multiple of its width.
            Some(n) => {
                let (w, l) = (i64::from(wide), i64::from(narrow));
                let main = n / w * w;
                let middle = main + (n - main) / l * l;
                self.known_part(f, 0, main, wide, &mut totals)?;
                self.known_part(f, main, middle, narrow, &mut totals)?;
                if middle < n && masks {
                    let (at, end) = (self.b.index(middle), self.b.index(n));
                    self.single(f, at, narrow, Some(end), &mut totals)?;
                } else {
                    self.known_part(f, middle, n, 1, &mut totals)?;
                }
            }
            None => {
                let count = self.b.subi(hi, lo);
                let w = self.b.index(i64::from(wide));
                let rest = self.b.remui(count, w);
                let mut at = self.b.subi(hi, rest);
                self.part(f, lo, at, wide, None, &mut totals)?;
                if masks {
                    self.part(f, at, hi, narrow, Some(hi), &mut totals)?;
                } else {
                    if wide > narrow {
                        let l = self.b.index(i64::from(narrow));
                        let rest = self.b.remui(rest, l);
                        let middle = self.b.subi(hi, rest);
                        self.part(f, at, middle, narrow, None, &mut totals)?;
                        at = middle;
                    }
                    self.part(f, at, hi, 1, None, &mut totals)?;
                }
            }
        }
        for (c, v) in f.carried.iter().zip(totals) {
            self.set_var(c.result, Value { val: v, dtype: loaded_dtype(c.dtype) });
        }
        Ok(())
    }

    /// Iterations `from..to`, known numbers whose difference is a multiple of `width`.
    fn known_part(&mut self, f: &For, from: i64, to: i64, width: u32, totals: &mut [Val]) -> Result<(), NativeError> {
        if from >= to {
            return Ok(());
        }
        let (lo, hi) = (self.b.index(from), self.b.index(to));
        if to - from == i64::from(width) {
            return self.single(f, lo, width, None, totals);
        }
        self.part(f, lo, hi, width, None, totals)
    }

    /// One step of `width` iterations from `at`; with `end`, only those before it.
    fn single(
        &mut self,
        f: &For,
        at: Val,
        width: u32,
        end: Option<Val>,
        totals: &mut [Val],
    ) -> Result<(), NativeError> {
        let start = self.starts(f, width, totals)?;
        let sums = self.step(f, at, width, end, &start)?;
        self.gather_up(f, width, &sums, totals)
    }

    /// A loop of steps of `width` iterations over `lo..hi`; with `end`, each step masks what lies beyond it.
    fn part(
        &mut self,
        f: &For,
        lo: Val,
        hi: Val,
        width: u32,
        end: Option<Val>,
        totals: &mut [Val],
    ) -> Result<(), NativeError> {
        let start = self.starts(f, width, totals)?;
        let step = self.b.index(i64::from(width));
        let (region, iv, inner) = self.b.begin_for(lo, hi, step, &start);
        self.ix.enter();
        let next = self.step(f, iv, width, end, &inner);
        self.ix.leave();
        let sums = self.b.end_for(region, &next?);
        self.gather_up(f, width, &sums, totals)
    }

    /// What the accumulators of a part start with.
    fn starts(&mut self, f: &For, width: u32, totals: &[Val]) -> Result<Vec<Val>, NativeError> {
        let mut start = Vec::new();
        for (c, total) in f.carried.iter().zip(totals) {
            start.push(match c.reduction {
                Some(op) if width > 1 => {
                    let ty = Type::Vector(width, total.ty.elem());
                    self.identity(op, ty, loaded_dtype(c.dtype))
                }
                _ => *total,
            });
        }
        Ok(start)
    }

    /// Adds the accumulators of a part to the totals.
    fn gather_up(&mut self, f: &For, width: u32, sums: &[Val], totals: &mut [Val]) -> Result<(), NativeError> {
        for ((c, sum), total) in f.carried.iter().zip(sums).zip(totals) {
            *total = match c.reduction {
                Some(op) if width > 1 => {
                    let dtype = loaded_dtype(c.dtype);
                    let reduced = self.reduce_lanes(op, *sum, dtype)?;
                    self.combine(op, *total, reduced, dtype)?
                }
                _ => *sum,
            };
        }
        Ok(())
    }

    /// The loop's body for `width` iterations from `at`. Returns the accumulators after it.
    fn step(
        &mut self,
        f: &For,
        at: Val,
        width: u32,
        end: Option<Val>,
        accumulators: &[Val],
    ) -> Result<Vec<Val>, NativeError> {
        let mask = end.map(|end| {
            let left = self.b.subi(end, at);
            self.b.mask(left, width)
        });
        let known = self.ix.scope.clone();
        self.ix.scope.declare_in(&f.var, Dim::ZERO, f.extent.clone());
        self.enter_lanes(&f.var, at, width, mask);
        if self.aligned_parts {
            self.align_lanes();
        }
        for (c, v) in f.carried.iter().zip(accumulators) {
            self.set_var(c.var, Value { val: *v, dtype: loaded_dtype(c.dtype) });
        }
        let next = self.body(
            &f.body,
            &mut |cx| {
                let next = cx.next_values(&f.carried, accumulators)?;
                Ok(match mask {
                    Some(mask) => next.iter().zip(accumulators).map(|(n, a)| cx.b.select(mask, *n, *a)).collect(),
                    None => next,
                })
            },
            accumulators,
        );
        self.leave_lanes();
        self.ix.scope = known;
        next
    }
}

/// Lanes of one register for a loop's element types, and iterations of a step: several registers where the loop is light.
pub(crate) fn widths(f: &For, dtypes: &[DType], known: Option<i64>, target: &Target) -> (u32, u32) {
    let mut params = BTreeSet::new();
    params_of(&f.body, &mut params);
    for c in &f.carried {
        params_of_expr(&c.next, &mut params);
    }
    let small = params.iter().filter_map(|p| dtypes.get(*p)).any(|dtype| dtype.size() < 8);
    let narrow = if small || params.is_empty() { target.lanes } else { target.lanes / 2 };
    let mut wide = narrow * unroll(f, target.registers);
    while wide > narrow && known.is_some_and(|n| n < i64::from(wide)) {
        wide /= 2;
    }
    (narrow, wide)
}

/// Whether a loop's iterations can run in lanes.
fn vectorises(f: &For) -> bool {
    let mut varying = BTreeSet::from([f.var.clone()]);
    f.carried.iter().all(|c| c.reduction.is_some()) && inner_loops_uniform(&f.body, &mut varying)
}

/// Whether the loops in a body run equally often in every lane.
fn inner_loops_uniform(list: &[Stmt], varying: &mut BTreeSet<Symbol>) -> bool {
    list.iter().all(|stmt| match stmt {
        Stmt::Index { symbol, .. } => {
            varying.insert(symbol.clone());
            true
        }
        Stmt::For(f) => {
            f.kind != LoopKind::Vector
                && !f.extent.mentions(&|s| varying.contains(s))
                && inner_loops_uniform(&f.body, varying)
        }
        Stmt::If { then, .. } => inner_loops_uniform(then, varying),
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Check { .. } => true,
    })
}

/// How much work an iteration is.
#[derive(Default)]
struct Weight {
    /// Plain operations, loads and stores.
    plain: u32,
    /// Math functions and integer divisions: a dozen instructions each.
    heavy: u32,
    /// Whether there is a carried value: a chain of dependent operations.
    chained: bool,
}

/// Registers that one step should fill.
fn unroll(f: &For, registers: u32) -> u32 {
    // A sum inside is where the time goes, whatever follows it.
    let hot = inner_sum(&f.body).unwrap_or(f);
    let mut weight = Weight { chained: !hot.carried.is_empty(), ..Weight::default() };
    weigh(&hot.body, &mut weight);
    for c in &hot.carried {
        weigh_expr(&c.next, &mut weight);
    }
    let factor = match (weight.heavy, weight.chained, weight.plain) {
        (0, true, 0..=12) => 4,
        (0, true, 13..=24) | (1, true, 0..=12) => 2,
        (0, false, 0..=6) => 4,
        (0, false, 7..=14) => 2,
        _ => 1,
    };
    if registers < 32 { factor.min(2) } else { factor }
}

/// The innermost loop of a body that carries values, if there is only one loop at each level.
fn inner_sum(list: &[Stmt]) -> Option<&For> {
    let mut loops = list.iter().filter_map(|s| if let Stmt::For(f) = s { Some(f) } else { None });
    let (f, None) = (loops.next()?, loops.next()) else { return None };
    inner_sum(&f.body).or_else(|| (!f.carried.is_empty()).then_some(f))
}

fn weigh(list: &[Stmt], w: &mut Weight) {
    for stmt in list {
        match stmt {
            Stmt::Let { value, .. } => weigh_expr(value, w),
            Stmt::Index { value, .. } => {
                // Data-dependent addresses: gathers gain nothing from more lanes.
                w.heavy += 2;
                weigh_expr(value, w);
            }
            Stmt::Store { value, .. } => {
                w.plain += 1;
                weigh_expr(value, w);
            }
            Stmt::For(f) => {
                w.chained |= !f.carried.is_empty();
                weigh(&f.body, w);
                for c in &f.carried {
                    weigh_expr(&c.next, w);
                }
            }
            Stmt::If { condition, then } => {
                weigh_expr(condition, w);
                weigh(then, w);
            }
            Stmt::Check { condition, .. } => {
                w.heavy += 2;
                weigh_expr(condition, w);
            }
        }
    }
}

fn weigh_expr(expr: &Expr, w: &mut Weight) {
    match expr {
        Expr::Unary(op, x) => {
            match op {
                UnaryOp::Neg
                | UnaryOp::Abs
                | UnaryOp::Not
                | UnaryOp::Sign
                | UnaryOp::Ceil
                | UnaryOp::Floor
                | UnaryOp::Round
                | UnaryOp::Trunc
                | UnaryOp::IsNan
                | UnaryOp::IsInf
                | UnaryOp::SignBit
                | UnaryOp::Sqrt
                | UnaryOp::Rsqrt
                | UnaryOp::Reciprocal => w.plain += 1,
                _ => w.heavy += 1,
            }
            weigh_expr(x, w);
        }
        Expr::Binary(op, x, y) => {
            use pt2c_kernel::BinaryOp as B;
            match op {
                B::DivFloor | B::DivTrunc | B::RemFloor | B::RemTrunc | B::Pow | B::Atan2 | B::NextAfter => {
                    w.heavy += 1;
                }
                _ => w.plain += 1,
            }
            weigh_expr(x, w);
            weigh_expr(y, w);
        }
        Expr::Compare(_, x, y) => {
            w.plain += 1;
            weigh_expr(x, w);
            weigh_expr(y, w);
        }
        Expr::Load { .. } => w.plain += 1,
        Expr::Cast(_, x) | Expr::Bitcast(_, x) => {
            w.plain += 1;
            weigh_expr(x, w);
        }
        Expr::Select(c, x, y) => {
            w.plain += 1;
            weigh_expr(c, w);
            weigh_expr(x, w);
            weigh_expr(y, w);
        }
        Expr::Guarded { condition, value, other } => {
            w.plain += 2;
            weigh_expr(condition, w);
            weigh_expr(value, w);
            weigh_expr(other, w);
        }
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => {}
    }
}

fn params_of(list: &[Stmt], out: &mut BTreeSet<usize>) {
    for stmt in list {
        match stmt {
            Stmt::Let { value, .. } | Stmt::Index { value, .. } => params_of_expr(value, out),
            Stmt::Store { param, value, .. } => {
                out.insert(*param);
                params_of_expr(value, out);
            }
            Stmt::For(f) => {
                params_of(&f.body, out);
                for c in &f.carried {
                    params_of_expr(&c.init, out);
                    params_of_expr(&c.next, out);
                }
            }
            Stmt::If { condition, then } => {
                params_of_expr(condition, out);
                params_of(then, out);
            }
            Stmt::Check { condition, .. } => params_of_expr(condition, out),
        }
    }
}

fn params_of_expr(expr: &Expr, out: &mut BTreeSet<usize>) {
    match expr {
        Expr::Load { param, .. } => {
            out.insert(*param);
        }
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            params_of_expr(a, out);
            params_of_expr(b, out);
            params_of_expr(c, out);
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => params_of_expr(a, out),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            params_of_expr(a, out);
            params_of_expr(b, out);
        }
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => {}
    }
}
