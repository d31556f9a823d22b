//! How much a kernel has to do: floating-point operations and memory traffic, for the reports of a profile.
//!
//! Operations are those of the definition, whatever a target makes of it: a multiply-add counts as two, every other
//! function as one, and a convolution by minimal filtering counts as the convolution it replaces. Traffic is what must
//! move at least: each parameter's elements once, or as many as are accessed where that is fewer (a gather).

use crate::contraction::*;
use crate::ir::*;
use pt2c_ir::dim::{Dim, Symbol};
use std::collections::BTreeMap;

/// What a call of a kernel does.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Work {
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes read and written.
    pub bytes: f64,
}

/// The work of a kernel called on `buffers`, where the root symbols have the values of `roots`. What depends on a
/// symbol without a value counts as nothing.
pub fn work(program: &KernelProgram, kernel: &Kernel, buffers: &[BufferId], roots: &BTreeMap<Symbol, i64>) -> Work {
    let mut count = Count { values: roots.clone(), operations: 0.0, accesses: vec![0.0; kernel.params.len()] };
    count.body(&kernel.body);
    let mut bytes = 0.0;
    for ((param, buffer), accesses) in kernel.params.iter().zip(buffers).zip(&count.accesses) {
        let length = program.buffers.get(buffer.0 as usize).map_or(0.0, |b| count.size(&b.len));
        let passes = if param.access == Access::ReadWrite { 2.0 } else { 1.0 };
        bytes += accesses.min(length * passes) * param.dtype.size() as f64;
    }
    Work { operations: count.operations, bytes }
}

struct Count {
    /// Root symbols, and loop variables at the middle of their range.
    values: BTreeMap<Symbol, i64>,
    operations: f64,
    /// By parameter.
    accesses: Vec<f64>,
}

impl Count {
    fn size(&self, dim: &Dim) -> f64 {
        dim.eval(&|s| self.values.get(s).copied()).map_or(0.0, |n| n.max(0) as f64)
    }

    fn sizes<'d>(&self, dims: impl IntoIterator<Item = &'d Dim>) -> f64 {
        dims.into_iter().map(|d| self.size(d)).product()
    }

    fn access(&mut self, param: usize, times: f64) {
        if let Some(count) = self.accesses.get_mut(param) {
            *count += times;
        }
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Loops(stmts) => self.stmts(stmts, 1.0),
            Body::Matmul(m) => {
                let batch = self.sizes(m.batch.iter().map(|(_, n)| n));
                let [rows, columns, depth] = [&m.m, &m.n, &m.k].map(|(_, n)| self.size(n));
                self.operations += 2.0 * batch * rows * columns * depth;
                self.access(m.a.0, batch * rows * depth);
                match &m.b {
                    MatmulB::Strided { param, .. } | MatmulB::Constant { param, .. } => {
                        self.access(*param, batch * depth * columns);
                    }
                    MatmulB::Grouped { param, scales, group } => {
                        self.access(*param, depth * columns / 2.0);
                        self.access(*scales, depth * columns / *group as f64);
                    }
                }
                self.epilogue(&m.epilogue, batch * rows * columns);
            }
            Body::Convolution(c) => {
                let images = self.size(&c.batch.1);
                let outputs =
                    self.sizes([&c.batch.1, &c.channel.1].into_iter().chain(c.spatial.iter().map(|(_, n)| n)));
                let taps = (c.window.iter().product::<i64>() * (c.input_channels / c.groups.max(1))) as f64;
                self.operations += 2.0 * outputs * taps;
                let inputs = images * c.input_channels as f64 * self.sizes(&c.input_spatial);
                self.access(c.x.0, inputs);
                self.access(c.w, self.size(&c.channel.1) * taps);
                self.epilogue(&c.epilogue, outputs);
            }
            Body::Winograd(w) => {
                let outputs =
                    self.sizes([&w.batch.1, &w.channel.1].into_iter().chain(w.spatial.iter().map(|(_, n)| n)));
                let channels = w.input_channels as f64;
                self.operations += 2.0 * outputs * 9.0 * channels;
                let products = crate::winograd::PRODUCTS as f64;
                self.access(w.v, products * self.sizes([&w.batch.1, &w.tiles[0], &w.tiles[1]]) * channels);
                self.access(w.w, f64::INFINITY);
                self.epilogue(&w.epilogue, outputs);
            }
            Body::Strassen(s) => {
                let [rows, columns, depth] = [&s.m, &s.n, &s.k].map(|(_, n)| self.size(n));
                self.operations += 2.0 * rows * columns * depth;
                self.access(s.v, f64::INFINITY);
                self.access(s.b.0, depth * columns);
                self.epilogue(&s.epilogue, rows * columns);
            }
            Body::Attention(a) => self.attention(a),
            // What the function does, only its author knows.
            Body::Custom(_) => (0..self.accesses.len()).for_each(|param| self.access(param, f64::INFINITY)),
            Body::Routine(r) => {
                self.operations += 2.0 * self.size(&r.count) * self.size(&r.cost);
                (0..self.accesses.len()).for_each(|param| self.access(param, f64::INFINITY));
            }
            Body::Sort(s) => {
                let elements = self.sizes([&s.outer, &s.len, &s.inner]);
                let kept = self.sizes([&s.outer, &s.keep, &s.inner]);
                self.access(s.x, elements);
                self.access(s.indices, kept);
                if let Some(values) = s.values {
                    self.access(values, kept);
                }
            }
        }
    }

    fn attention(&mut self, a: &Attention) {
        let heads = self.sizes(a.batch.iter().map(|(_, n)| n));
        let [rows, positions, depth, value_depth] =
            [&a.row, &a.position, &a.depth, &a.value_depth].map(|(_, n)| self.size(n));
        // A causal row sees the positions up to its own.
        let seen =
            if a.causal { (0..rows as i64).map(|i| positions.min(i as f64 + 1.0)).sum() } else { rows * positions };
        // Scale, difference to the maximum, exponential and sum of each score.
        self.operations += heads * seen * (2.0 * (depth + value_depth) + 4.0);
        self.access(a.q.0, heads * rows * depth);
        self.access(a.k.0, heads * positions * depth);
        self.access(a.v.0, heads * positions * value_depth);
        if let Some(mask) = &a.mask {
            self.expr(mask, heads * seen);
        }
        self.epilogue(&a.epilogue, heads * rows * value_depth);
    }

    fn epilogue(&mut self, e: &Epilogue, times: f64) {
        self.stmts(&e.lets, times);
        for (param, _, value) in &e.stores {
            self.access(*param, times);
            self.expr(value, times);
        }
    }

    fn stmts(&mut self, list: &[Stmt], times: f64) {
        for stmt in list {
            match stmt {
                Stmt::Let { value, .. } | Stmt::Index { value, .. } => self.expr(value, times),
                Stmt::Store { param, value, .. } => {
                    self.access(*param, times);
                    self.expr(value, times);
                }
                Stmt::For(f) => {
                    let extent = self.size(&f.extent);
                    let middle = ((extent as i64) - 1).max(0) / 2;
                    let outer = self.values.insert(f.var.clone(), middle);
                    for c in &f.carried {
                        self.expr(&c.init, times);
                        self.expr(&c.next, times * extent);
                        if c.reduction.is_some() && c.dtype.is_float() {
                            self.operations += times * extent;
                        }
                    }
                    self.stmts(&f.body, times * extent);
                    match outer {
                        Some(value) => self.values.insert(f.var.clone(), value),
                        None => self.values.remove(&f.var),
                    };
                }
                Stmt::If { condition, then } => {
                    self.expr(condition, times);
                    self.stmts(then, times);
                }
                Stmt::Check { condition, .. } => self.expr(condition, times),
            }
        }
    }

    /// Counts an expression; arithmetic on integers and truth values is addressing and masks, not operations.
    fn expr(&mut self, expr: &Expr, times: f64) {
        match expr {
            Expr::Load { param, .. } => self.access(*param, times),
            Expr::Guarded { condition, value, other } => {
                [condition, value, other].into_iter().for_each(|e| self.expr(e, times));
            }
            Expr::Select(condition, a, b) => [condition, a, b].into_iter().for_each(|e| self.expr(e, times)),
            Expr::Unary(op, a) => {
                if !matches!(op, UnaryOp::Not | UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::SignBit) {
                    self.operations += times;
                }
                self.expr(a, times);
            }
            Expr::Cast(_, a) | Expr::Bitcast(_, a) => self.expr(a, times),
            Expr::Binary(op, a, b) => {
                if !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr) {
                    self.operations += times;
                }
                self.expr(a, times);
                self.expr(b, times);
            }
            Expr::Compare(_, a, b) => {
                self.expr(a, times);
                self.expr(b, times);
            }
            Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => {}
        }
    }
}
