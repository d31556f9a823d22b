//! Symbolic expressions whose value differs from lane to lane.

use super::Cx;
use crate::NativeError;
use crate::builder::{Elem, IntPredicate, Type, Val};
use crate::dims::floor_divide;
use pt2c_ir::dim::{Dim, Func as DimFunc, Kind, Pred, Scope, Symbol};

/// How an expression depends on the lane.
pub(super) enum LaneForm {
    /// Not at all: an `index`.
    Uniform(Val),
    /// `base + stride * lane`; `stride` is a constant.
    Strided(Val, i64),
    /// In any other way: an i64 for each lane.
    Any(Val),
}

impl Cx<'_> {
    /// Whether a symbol's value differs from lane to lane.
    fn differs(&self, symbol: &Symbol) -> bool {
        self.lanes.as_ref().is_some_and(|l| l.symbol == *symbol) || self.varying.contains_key(symbol)
    }

    /// An expression, as simple as its dependence on the lane allows.
    pub(super) fn lane_form(&mut self, dim: &Dim) -> Result<LaneForm, NativeError> {
        if !dim.mentions(&|s| self.differs(s)) {
            return Ok(LaneForm::Uniform(self.ix.dim(&mut self.b, dim)?));
        }
        if let Some(lanes) = &self.lanes
            && !dim.mentions(&|s| self.varying.contains_key(s))
            && let Some((stride, _)) = dim.coefficient_of(&lanes.symbol)
            && let Some(stride) = stride.as_int()
        {
            // The lane symbol is bound to its value in lane 0.
            return Ok(LaneForm::Strided(self.ix.dim(&mut self.b, dim)?, stride));
        }
        if let Some(stride) = self.stride_within_vector(dim) {
            return Ok(LaneForm::Strided(self.ix.dim(&mut self.b, dim)?, stride));
        }
        Ok(LaneForm::Any(self.lane_dim(dim)?))
    }

    /// The step from lane to lane of an expression with divisions that no vector straddles.
    fn stride_within_vector(&self, dim: &Dim) -> Option<i64> {
        let lanes = self.lanes.as_ref().filter(|l| l.aligned)?;
        if dim.mentions(&|s| self.varying.contains_key(s)) {
            return None;
        }
        stride_within(dim, &lanes.symbol, i64::from(lanes.width), &self.ix.scope)
    }

    /// An expression as i64: a scalar if it does not depend on the lane, else a vector.
    pub fn index_value(&mut self, dim: &Dim) -> Result<Val, NativeError> {
        let ty = Type::Vector(self.width(), Elem::I64);
        Ok(match self.lane_form(dim)? {
            LaneForm::Uniform(v) => self.b.index_to_i64(v),
            LaneForm::Strided(base, stride) => {
                let base = self.b.index_to_i64(base);
                let base = self.b.broadcast(base, ty.lanes());
                let steps: Vec<i64> = (0..i64::from(ty.lanes())).map(|k| k.wrapping_mul(stride)).collect();
                let steps = self.b.int_lanes(Elem::I64, &steps);
                self.b.addi(base, steps)
            }
            LaneForm::Any(v) => v,
        })
    }

    /// An expression as a vector of i64.
    fn lane_dim(&mut self, dim: &Dim) -> Result<Val, NativeError> {
        let width = self.width();
        if !dim.mentions(&|s| self.differs(s)) {
            let v = self.ix.dim(&mut self.b, dim)?;
            let v = self.b.index_to_i64(v);
            return Ok(self.b.broadcast(v, width));
        }
        match dim.kind() {
            Kind::Symbol(s) => match self.varying.get(s) {
                Some(v) => Ok(*v),
                None => self.index_value(dim),
            },
            Kind::Sum(sum) => {
                let ty = Type::Vector(width, Elem::I64);
                let mut total = self.b.int(ty, sum.constant);
                for term in &sum.terms {
                    let mut product = self.b.int(ty, term.coeff);
                    for (factor, power) in &term.factors {
                        let f = self.lane_dim(factor)?;
                        for _ in 0..*power {
                            product = self.b.muli(product, f);
                        }
                    }
                    total = self.b.addi(total, product);
                }
                Ok(total)
            }
            Kind::Func(f) => self.lane_func(f),
            Kind::Int(_) => Err(NativeError::Unbound { name: dim.to_string() }),
        }
    }

    fn lane_func(&mut self, f: &DimFunc) -> Result<Val, NativeError> {
        match f {
            DimFunc::FloorDiv(x, y) => Ok(self.lane_division(x, y)?.0),
            DimFunc::Mod(x, y) => Ok(self.lane_division(x, y)?.1),
            DimFunc::Max(args) | DimFunc::Min(args) => {
                let mut result: Option<Val> = None;
                for arg in args {
                    let v = self.lane_dim(arg)?;
                    result = Some(match result {
                        None => v,
                        Some(r) if matches!(f, DimFunc::Max(_)) => self.b.maxsi(r, v),
                        Some(r) => self.b.minsi(r, v),
                    });
                }
                result.ok_or_else(|| NativeError::Unbound { name: "an empty extremum".to_string() })
            }
            DimFunc::Where(p, x, y) => {
                let p = self.lane_pred(p)?;
                let (x, y) = (self.lane_dim(x)?, self.lane_dim(y)?);
                Ok(self.b.select(p, x, y))
            }
            DimFunc::RawAdd(x, y) => {
                let (x, y) = (self.lane_dim(x)?, self.lane_dim(y)?);
                Ok(self.b.addi(x, y))
            }
            DimFunc::RawMul(x, y) => {
                let (x, y) = (self.lane_dim(x)?, self.lane_dim(y)?);
                Ok(self.b.muli(x, y))
            }
            DimFunc::Pow(..) | DimFunc::TooLarge(_) => {
                Err(NativeError::Unsupported { what: "a power of a loop variable".to_string() })
            }
        }
    }

    fn lane_pred(&mut self, p: &Pred) -> Result<Val, NativeError> {
        let ty = Type::Vector(self.width(), Elem::I1);
        let (predicate, x, y) = match p {
            Pred::True => return Ok(self.b.boolean(ty, true)),
            Pred::False => return Ok(self.b.boolean(ty, false)),
            Pred::And(parts) | Pred::Or(parts) => {
                let all = matches!(p, Pred::And(_));
                let mut result = self.b.boolean(ty, all);
                for part in parts {
                    let v = self.lane_pred(part)?;
                    result = if all { self.b.andi(result, v) } else { self.b.ori(result, v) };
                }
                return Ok(result);
            }
            Pred::Eq(x, y) => (IntPredicate::Eq, x, y),
            Pred::Ne(x, y) => (IntPredicate::Ne, x, y),
            Pred::Lt(x, y) => (IntPredicate::Slt, x, y),
            Pred::Le(x, y) => (IntPredicate::Sle, x, y),
        };
        let (x, y) = (self.lane_dim(x)?, self.lane_dim(y)?);
        Ok(self.b.cmpi(predicate, x, y))
    }

    /// Quotient and remainder with Python's rounding, lane by lane.
    fn lane_division(&mut self, x: &Dim, y: &Dim) -> Result<(Val, Val), NativeError> {
        let (bx, by) = (self.ix.scope.bounds(x), self.ix.scope.bounds(y));
        let natural = bx.min.is_some_and(|m| m >= 0) && by.min.is_some_and(|m| m >= 1);
        let small = |m: Option<i64>| m.is_some_and(|m| m <= i64::from(i32::MAX));
        let (xv, mut yv) = (self.lane_dim(x)?, self.lane_dim(y)?);
        if y.as_int().is_none_or(|y| y == 0) {
            // A lane that does not exist may hold a zero, and must not trap.
            let (zero, one) = (self.b.zero(yv.ty), self.b.int(yv.ty, 1));
            let is_zero = self.b.cmpi(IntPredicate::Eq, yv, zero);
            yv = self.b.select(is_zero, one, yv);
        }
        if natural && small(bx.max) && small(by.max) {
            // 32-bit lanes divide by constants with a multiplication; 64-bit lanes one by one. A lane beyond the loop's
            // end may hold anything, which a truncation keeps harmless.
            let narrow = Type::Scalar(Elem::I32);
            let (xn, yn) = (self.b.cast_int(xv, narrow, true), self.b.cast_int(yv, narrow, true));
            let q = self.b.divui(xn, yn);
            let p = self.b.muli(q, yn);
            let r = self.b.subi(xn, p);
            return Ok((self.b.cast_int(q, Type::I64, false), self.b.cast_int(r, Type::I64, false)));
        }
        if natural {
            return Ok((self.b.divui(xv, yv), self.b.remui(xv, yv)));
        }
        Ok(floor_divide(&mut self.b, xv, yv))
    }
}

/// The constant by which an expression grows from one value of `symbol` to the next, inside every block of `width` values
/// that starts at a multiple of `width`.
pub(crate) fn stride_within(dim: &Dim, symbol: &Symbol, width: i64, scope: &Scope) -> Option<i64> {
    let (block, lane) = (Symbol::new("block of lanes"), Symbol::new("lane"));
    let mut scope = scope.clone();
    scope.declare(block.clone(), Some(0), None);
    scope.declare(lane.clone(), Some(0), Some(width - 1));
    let value = &(&Dim::sym(block) * width) + &Dim::sym(lane.clone());
    let inside = scope.simplify(&dim.subs_one(symbol, &value));
    inside.coefficient_of(&lane).and_then(|(stride, _)| stride.as_int())
}
