//! Reductions inside a region's body: loops that carry what they combine.

use super::LowerError;
use super::body::{Body, compute_type, round_to_storage};
use crate::{BinaryOp, Carried, CompareOp, Expr, For, LoopKind, ReduceOp, Stmt, UnaryOp, Var};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, Fact, ValueId};

/// One dimension of a window.
pub(super) struct Window<'a> {
    pub size: &'a Dim,
    pub stride: &'a Dim,
    pub dilation: &'a Dim,
    pub low: &'a Dim,
}

impl Body<'_> {
    /// A loop nest over `extents` that combines `value(indices)`, in the open block. Returns the result.
    pub(super) fn reduce_nest(
        &mut self,
        extents: &[Dim],
        op: ReduceOp,
        dtype: DType,
        kind: LoopKind,
        value: &mut dyn FnMut(&mut Self, &[Dim]) -> Result<Expr, LowerError>,
    ) -> Result<Expr, LowerError> {
        if self.lazy > 0 {
            return Err(LowerError::NotLazy { what: "a reduction" });
        }
        let symbols: Vec<Symbol> = extents.iter().map(|n| self.new_symbol("r", n)).collect();
        let index: Vec<Dim> = symbols.iter().map(|s| Dim::sym(s.clone())).collect();
        let levels = extents.len().max(1);
        let vars: Vec<(Var, Var)> = (0..levels).map(|_| (self.new_var(), self.new_var())).collect();
        for _ in 0..levels {
            self.open();
        }
        let next = value(self, &index)?;
        let mut body = self.close();
        let Some(innermost) = extents.len().checked_sub(1) else {
            // No dimension to reduce: the value itself.
            for stmt in body {
                self.push(stmt);
            }
            return Ok(next);
        };
        let mut next = next;
        for level in (0..extents.len()).rev() {
            let init = match level.checked_sub(1) {
                Some(outer) => Expr::Var(vars[outer].0),
                None => identity(op, dtype),
            };
            let carried = Carried {
                var: vars[level].0,
                result: vars[level].1,
                dtype,
                init,
                next,
                reduction: (level == innermost).then_some(op),
            };
            let stmt = Stmt::For(For {
                var: symbols[level].clone(),
                extent: extents[level].clone(),
                kind: if level == innermost { kind } else { LoopKind::Serial },
                carried: vec![carried],
                body,
            });
            next = Expr::Var(vars[level].1);
            if level > 0 {
                body = self.close();
                body.push(stmt);
            } else {
                self.push(stmt);
                body = Vec::new();
            }
        }
        Ok(next)
    }

    pub(super) fn reduce(
        &mut self,
        x: ValueId,
        dims: &[Dim],
        kind: &str,
        index: &[Dim],
        dtype: DType,
    ) -> Result<Expr, LowerError> {
        let source = self.fact(x)?;
        let reduced: Vec<usize> = dims.iter().filter_map(|d| usize::try_from(d.as_int()?).ok()).collect();
        let op = reduce_op(kind).ok_or(LowerError::Malformed("reduce"))?;
        // The innermost loop goes along the dimension that is innermost in memory, as far as that is known here.
        let order = self.memory_order(source);
        let loops: Vec<usize> = order.into_iter().filter(|d| reduced.contains(d)).collect();
        let extents: Vec<Dim> = loops.iter().filter_map(|&d| source.shape.get(d).cloned()).collect();
        let mut rest = index.iter();
        let kept: Vec<Option<Dim>> =
            (0..source.rank()).map(|d| if reduced.contains(&d) { None } else { rest.next().cloned() }).collect();
        let computed = compute_type(dtype);
        let result = self.reduce_nest(&extents, op, computed, self.reduction_kind, &mut |body, at| {
            let full: Vec<Dim> = kept
                .iter()
                .enumerate()
                .map(|(d, k)| match k {
                    Some(k) => k.clone(),
                    None => loops.iter().position(|&l| l == d).map_or(Dim::ZERO, |i| at[i].clone()),
                })
                .collect();
            body.eval(x, &full)
        })?;
        let rounded = round_to_storage(dtype, result);
        Ok(self.name(dtype, rounded))
    }

    /// Logical dimensions, outermost in memory first, judged by the first input of the same shape.
    fn memory_order(&self, fact: &Fact) -> Vec<usize> {
        let input = self.graph.inputs().filter_map(|v| self.graph.fact(v)).find(|f| f.shape == fact.shape);
        input.unwrap_or(fact).order.dims(fact.rank())
    }

    pub(super) fn argreduce(&mut self, x: ValueId, dim: &Dim, max: bool, index: &[Dim]) -> Result<Expr, LowerError> {
        if self.lazy > 0 {
            return Err(LowerError::NotLazy { what: "a reduction" });
        }
        let source = self.fact(x)?;
        let dim = dim.as_int().and_then(|d| usize::try_from(d).ok()).filter(|d| *d < source.rank());
        let dim = dim.ok_or(LowerError::Malformed("argreduce"))?;
        let dtype = compute_type(source.dtype);
        let extent = source.shape[dim].clone();
        let at = |i: Dim| [&index[..dim], &[i], &index[dim..]].concat();
        // The first element starts, so that no identity is needed; the loop goes over the others.
        let first = self.eval(x, &at(Dim::ZERO))?;
        let symbol = self.new_symbol("r", &(&extent - 1));
        let (best, best_out, place, place_out) = (self.new_var(), self.new_var(), self.new_var(), self.new_var());
        self.open();
        let here = Dim::sym(symbol.clone()) + 1;
        let value = self.eval(x, &at(here.clone()))?;
        let op = if max { CompareOp::Gt } else { CompareOp::Lt };
        let b = Box::new;
        let mut better = Expr::Compare(op, b(value.clone()), b(Expr::Var(best)));
        if dtype.is_float() {
            // The first NaN wins over everything.
            let nan = |e: Expr| Expr::Unary(UnaryOp::IsNan, b(e));
            let fresh = Expr::Binary(
                BinaryOp::And,
                b(nan(value.clone())),
                b(Expr::Unary(UnaryOp::Not, b(nan(Expr::Var(best))))),
            );
            better = Expr::Binary(BinaryOp::Or, b(better), b(fresh));
        }
        let better = self.name(DType::Bool, better);
        let stmts = self.close();
        let carry = |var, result, dtype, init, next| Carried { var, result, dtype, init, next, reduction: None };
        self.push(Stmt::For(For {
            var: symbol,
            extent: extent - 1,
            kind: LoopKind::Serial,
            carried: vec![
                carry(best, best_out, dtype, first, Expr::Select(b(better.clone()), b(value), b(Expr::Var(best)))),
                carry(
                    place,
                    place_out,
                    DType::I64,
                    Expr::Int(0, DType::I64),
                    Expr::Select(b(better), b(Expr::Index(here)), b(Expr::Var(place))),
                ),
            ],
            body: stmts,
        }));
        Ok(Expr::Var(place_out))
    }

    pub(super) fn window(
        &mut self,
        x: ValueId,
        kind: &str,
        windows: &[Window<'_>],
        index: &[Dim],
        dtype: DType,
    ) -> Result<Expr, LowerError> {
        let source = self.fact(x)?;
        let op = reduce_op(kind).ok_or(LowerError::Malformed("window_reduce"))?;
        let outer = source.rank().checked_sub(windows.len()).ok_or(LowerError::Malformed("window_reduce"))?;
        let extents: Vec<Dim> = windows.iter().map(|w| w.size.clone()).collect();
        let computed = compute_type(dtype);
        let result = self.reduce_nest(&extents, op, computed, LoopKind::Serial, &mut |body, at| {
            let mut full = index[..outer].to_vec();
            for ((w, o), r) in windows.iter().zip(&index[outer..]).zip(at) {
                full.push(body.scope.simplify(&(o * w.stride + r * w.dilation - w.low)));
            }
            let Some(condition) = body.inside(&full, &source.shape) else { return body.eval(x, &full) };
            let value = body.eval_lazy(x, &full)?;
            let other = identity(op, computed);
            Ok(Expr::Guarded { condition: Box::new(condition), value: Box::new(value), other: Box::new(other) })
        })?;
        let rounded = round_to_storage(dtype, result);
        Ok(self.name(dtype, rounded))
    }
}

/// The combination of a reduction's name.
pub fn reduce_op(kind: &str) -> Option<ReduceOp> {
    Some(match kind {
        "sum" => ReduceOp::Sum,
        "prod" => ReduceOp::Product,
        "max" => ReduceOp::Max,
        "min" => ReduceOp::Min,
        "all" => ReduceOp::And,
        "any" => ReduceOp::Or,
        _ => return None,
    })
}

/// What changes nothing when combined.
pub fn identity(op: ReduceOp, dtype: DType) -> Expr {
    let (low, high) = match dtype {
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DType::U16 => (0, i64::from(u16::MAX)),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U32 => (0, i64::from(u32::MAX)),
        DType::U64 => (0, -1),
        _ => (i64::MIN, i64::MAX),
    };
    match op {
        ReduceOp::And => Expr::Bool(true),
        ReduceOp::Or => Expr::Bool(false),
        ReduceOp::Max if dtype == DType::Bool => Expr::Bool(false),
        ReduceOp::Min if dtype == DType::Bool => Expr::Bool(true),
        ReduceOp::Sum | ReduceOp::Product if dtype == DType::Bool => Expr::Bool(op == ReduceOp::Product),
        ReduceOp::Sum if dtype.is_float() => Expr::Float(0.0, dtype),
        ReduceOp::Sum => Expr::Int(0, dtype),
        ReduceOp::Product if dtype.is_float() => Expr::Float(1.0, dtype),
        ReduceOp::Product => Expr::Int(1, dtype),
        ReduceOp::Max if dtype.is_float() => Expr::Float(f64::NEG_INFINITY, dtype),
        ReduceOp::Max => Expr::Int(low, dtype),
        ReduceOp::Min if dtype.is_float() => Expr::Float(f64::INFINITY, dtype),
        ReduceOp::Min => Expr::Int(high, dtype),
    }
}
