//! Expressions.

use super::access::one;
use super::{Cx, Mask, Value, value_elem};
use crate::NativeError;
use crate::builder::{Type, Val};
use pt2c_ir::DType;
use pt2c_kernel::{BinaryOp, Expr, UnaryOp};

impl Cx<'_> {
    /// The value of an expression: a scalar where it does not depend on the lane.
    ///
    /// # Errors
    /// For unbound names and for operations that a dtype does not have.
    pub fn expr(&mut self, expr: &Expr) -> Result<Value, NativeError> {
        match expr {
            Expr::Var(var) => {
                self.vars.get(var).copied().ok_or_else(|| NativeError::Unbound { name: format!("v{}", var.0) })
            }
            Expr::Float(x, dtype) => {
                let elem = value_elem(*dtype)?;
                Ok(Value { val: self.b.float(Type::Scalar(elem), *x), dtype: super::loaded_dtype(*dtype) })
            }
            Expr::Int(x, dtype) => {
                let elem = value_elem(*dtype)?;
                Ok(Value { val: self.b.int(Type::Scalar(elem), *x), dtype: *dtype })
            }
            Expr::Bool(x) => Ok(Value { val: self.b.boolean(Type::BOOL, *x), dtype: DType::Bool }),
            Expr::Index(dim) => Ok(Value { val: self.index_value(dim)?, dtype: DType::I64 }),
            Expr::Load { param, address } => self.load(*param, address),
            Expr::Guarded { condition, value, other } => self.guarded(condition, value, other),
            Expr::Select(condition, a, b) => {
                let condition = self.expr(condition)?;
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                self.choose(condition, a, b)
            }
            Expr::Unary(op, x) => {
                let x = self.expr(x)?;
                self.unary(*op, x)
            }
            Expr::Binary(op, x, y) => {
                let constant = match y.as_ref() {
                    Expr::Int(c, _) => Some(*c),
                    _ => None,
                };
                if matches!(op, BinaryOp::Max | BinaryOp::Min)
                    && let Some(v) = self.clamp(*op, x, y)?
                {
                    return Ok(v);
                }
                let (x, y) = (self.expr(x)?, self.expr(y)?);
                self.binary(*op, x, y, constant)
            }
            Expr::Compare(op, x, y) => {
                let (x, y) = (self.expr(x)?, self.expr(y)?);
                self.compare(*op, x, y)
            }
            Expr::Cast(dtype, x) => {
                let x = self.expr(x)?;
                self.cast(x, *dtype)
            }
            Expr::Bitcast(dtype, x) => {
                let x = self.expr(x)?;
                self.bitcast(x, *dtype)
            }
        }
    }

    /// `condition ? a : b` of computed values.
    pub(super) fn choose(&mut self, condition: Value, a: Value, b: Value) -> Result<Value, NativeError> {
        let dtype = a.dtype;
        let (mut x, mut y) = self.unify(a.val, b.val);
        if condition.val.ty.is_vector() {
            let lanes = condition.val.ty.lanes();
            x = self.b.broadcast(x, lanes);
            y = self.b.broadcast(y, lanes);
        }
        Ok(Value { val: self.b.select(condition.val, x, y), dtype })
    }

    /// `condition ? value : other`, where nothing of the one that is not taken executes.
    fn guarded(&mut self, condition: &Expr, value: &Expr, other: &Expr) -> Result<Value, NativeError> {
        let condition = self.expr(condition)?;
        if condition.val.ty.is_vector() {
            let value = self.expr_where(condition.val, value)?;
            let other = if loads(other) {
                let not = self.b.not(condition.val);
                self.expr_where(not, other)?
            } else {
                self.expr(other)?
            };
            return self.choose(condition, value, other);
        }
        if !loads(value) && !loads(other) {
            let (value, other) = (self.expr(value)?, self.expr(other)?);
            return self.choose(condition, value, other);
        }
        // The same for all lanes. Both branches yield one type: a vector wherever there are lanes.
        let dtype = self.dtype_of(value)?;
        let ty = self.lane_type(dtype)?;
        let scope = self.b.begin_if(condition.val, &[ty]);
        self.ix.enter();
        let value = self.expr(value);
        self.ix.leave();
        let value = self.spread(value?);
        self.b.begin_else(&[value.val]);
        self.ix.enter();
        let other = self.expr(other);
        self.ix.leave();
        let other = self.spread(other?);
        let results = self.b.end_if(scope, &[other.val]);
        Ok(Value { val: one(results)?, dtype })
    }

    /// An expression of which only the lanes in `wanted` may touch memory.
    fn expr_where(&mut self, wanted: Val, expr: &Expr) -> Result<Value, NativeError> {
        let outer = self.mask;
        let val = match outer {
            Some(m) => self.b.andi(m.val, wanted),
            None => wanted,
        };
        self.mask = Some(Mask { val, first_lane: false });
        self.ix.enter();
        let value = self.expr(expr);
        self.ix.leave();
        self.mask = outer;
        value
    }

    /// The dtype of an expression's value.
    fn dtype_of(&self, expr: &Expr) -> Result<DType, NativeError> {
        Ok(match expr {
            Expr::Var(v) => self.vars.get(v).ok_or_else(|| NativeError::Unbound { name: format!("v{}", v.0) })?.dtype,
            Expr::Float(_, d) | Expr::Int(_, d) | Expr::Cast(d, _) | Expr::Bitcast(d, _) => super::loaded_dtype(*d),
            Expr::Bool(_) | Expr::Compare(..) => DType::Bool,
            Expr::Index(_) => DType::I64,
            Expr::Load { param, .. } => super::loaded_dtype(self.memory(*param)?.dtype),
            Expr::Guarded { value: a, .. } | Expr::Select(_, a, _) | Expr::Binary(_, a, _) => self.dtype_of(a)?,
            Expr::Unary(op, a) => match op {
                UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::SignBit => DType::Bool,
                _ => self.dtype_of(a)?,
            },
        })
    }
}

/// Whether an expression reads memory.
fn loads(expr: &Expr) -> bool {
    match expr {
        Expr::Load { .. } => true,
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => false,
        Expr::Guarded { condition, value, other } => loads(condition) || loads(value) || loads(other),
        Expr::Select(a, b, c) => loads(a) || loads(b) || loads(c),
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => loads(a),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => loads(a) || loads(b),
    }
}
