//! Symbolic expressions ([`Dim`]) as index arithmetic: sizes, offsets and conditions inside generated code.

use crate::NativeError;
use crate::builder::{Func, IntPredicate, Type, Val};
use pt2c_ir::dim::{Dim, Func as DimFunc, Interval, Kind, Pred, Scope, Sum, Symbol};
use std::collections::BTreeMap;

/// The symbols that have a value at the current place of a function, and the expressions computed so far.
///
/// An expression is written once for each region that needs it: [`Indices::enter`] and [`Indices::leave`] follow the
/// regions of the function under construction, because a value is visible only inside its own.
#[derive(Clone, Debug)]
pub struct Indices {
    frames: Vec<BTreeMap<Dim, Val>>,
    /// What is known about the symbols; it lets divisions of non-negative values be unsigned.
    pub scope: Scope,
}

impl Indices {
    /// No symbols yet.
    pub fn new(scope: Scope) -> Indices {
        Indices { frames: vec![BTreeMap::new()], scope }
    }

    /// Gives a symbol its value (an `index`) in the current region.
    pub fn bind(&mut self, symbol: impl Into<Symbol>, value: Val) {
        self.remember(Dim::sym(symbol), value);
    }

    /// Opens a region.
    pub fn enter(&mut self) {
        self.frames.push(BTreeMap::new());
    }

    /// Closes the innermost region and forgets what was computed in it.
    pub fn leave(&mut self) {
        self.frames.pop();
    }

    fn remember(&mut self, dim: Dim, value: Val) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(dim, value);
        }
    }

    fn known(&self, dim: &Dim) -> Option<Val> {
        self.frames.iter().rev().find_map(|f| f.get(dim)).copied()
    }

    /// The value of an expression, as an `index`.
    ///
    /// # Errors
    /// [`NativeError::Unbound`] for a symbol without a value here, or an expression that became too large to keep.
    pub fn dim(&mut self, b: &mut Func<'_>, dim: &Dim) -> Result<Val, NativeError> {
        if let Some(value) = dim.as_int() {
            return Ok(b.index(value));
        }
        if let Some(value) = self.known(dim) {
            return Ok(value);
        }
        let value = match dim.kind() {
            Kind::Int(value) => b.index(value),
            Kind::Symbol(symbol) => {
                return Err(NativeError::Unbound { name: symbol.to_string() });
            }
            Kind::Sum(sum) => self.sum(b, sum)?,
            Kind::Func(func) => self.func(b, func)?,
        };
        self.remember(dim.clone(), value);
        Ok(value)
    }

    fn sum(&mut self, b: &mut Func<'_>, sum: &Sum) -> Result<Val, NativeError> {
        let mut total: Option<Val> = None;
        for term in &sum.terms {
            let mut product: Option<Val> = None;
            for (factor, power) in &term.factors {
                let value = self.dim(b, factor)?;
                for _ in 0..*power {
                    product = Some(match product {
                        Some(p) => b.muli(p, value),
                        None => value,
                    });
                }
            }
            let Some(product) = product else { continue };
            total = Some(match total {
                None => b.mul_const(product, term.coeff),
                Some(t) if term.coeff == -1 => b.subi(t, product),
                Some(t) => {
                    let scaled = b.mul_const(product, term.coeff);
                    b.addi(t, scaled)
                }
            });
        }
        Ok(match total {
            Some(t) => b.add_const(t, sum.constant),
            None => b.index(sum.constant),
        })
    }

    fn func(&mut self, b: &mut Func<'_>, func: &DimFunc) -> Result<Val, NativeError> {
        match func {
            DimFunc::FloorDiv(x, y) => Ok(self.division(b, x, y)?.0),
            DimFunc::Mod(x, y) => Ok(self.division(b, x, y)?.1),
            DimFunc::Max(args) => self.fold(b, args, |b, x, y| b.maxsi(x, y)),
            DimFunc::Min(args) => self.fold(b, args, |b, x, y| b.minsi(x, y)),
            DimFunc::RawAdd(x, y) => {
                let (x, y) = (self.dim(b, x)?, self.dim(b, y)?);
                Ok(b.addi(x, y))
            }
            DimFunc::RawMul(x, y) => {
                let (x, y) = (self.dim(b, x)?, self.dim(b, y)?);
                Ok(b.muli(x, y))
            }
            DimFunc::Pow(x, y) => {
                let (x, y) = (self.dim(b, x)?, self.dim(b, y)?);
                let (zero, one) = (b.index(0), b.index(1));
                let power = b.for_loop(zero, y, one, &[one], |b, _, p| p.iter().map(|p| b.muli(*p, x)).collect());
                power.into_iter().next().ok_or_else(|| NativeError::Unbound { name: "power".to_string() })
            }
            DimFunc::Where(pred, x, y) => {
                let p = self.pred(b, pred)?;
                let (x, y) = (self.dim(b, x)?, self.dim(b, y)?);
                Ok(b.select(p, x, y))
            }
            DimFunc::TooLarge(_) => Err(NativeError::Unbound { name: "expression beyond the size limit".to_string() }),
        }
    }

    fn fold(
        &mut self,
        b: &mut Func<'_>,
        args: &[Dim],
        combine: fn(&mut Func<'_>, Val, Val) -> Val,
    ) -> Result<Val, NativeError> {
        let mut result: Option<Val> = None;
        for arg in args {
            let value = self.dim(b, arg)?;
            result = Some(match result {
                Some(r) => combine(b, r, value),
                None => value,
            });
        }
        Ok(result.unwrap_or_else(|| b.index(0)))
    }

    /// Quotient and remainder with Python's rounding.
    fn division(&mut self, b: &mut Func<'_>, x: &Dim, y: &Dim) -> Result<(Val, Val), NativeError> {
        let at_least = |i: Interval, n: i64| i.min.is_some_and(|m| m >= n);
        let plain = at_least(self.scope.bounds(x), 0);
        let divisor = self.scope.bounds(y);
        let (xv, mut yv) = (self.dim(b, x)?, self.dim(b, y)?);
        if !at_least(divisor, 1) && !divisor.max.is_some_and(|m| m < 0) {
            // The value may lie in a branch that is not taken: it must not trap.
            let (zero, one) = (b.index(0), b.index(1));
            let is_zero = b.cmpi(IntPredicate::Eq, yv, zero);
            yv = b.select(is_zero, one, yv);
        }
        if plain && at_least(divisor, 1) {
            return Ok((b.divui(xv, yv), b.remui(xv, yv)));
        }
        Ok(floor_divide(b, xv, yv))
    }

    /// The truth of a predicate, as an `i1`.
    ///
    /// # Errors
    /// As [`Indices::dim`].
    pub fn pred(&mut self, b: &mut Func<'_>, pred: &Pred) -> Result<Val, NativeError> {
        let mut compare = |b: &mut Func<'_>, p, x: &Dim, y: &Dim| -> Result<Val, NativeError> {
            let (x, y) = (self.dim(b, x)?, self.dim(b, y)?);
            Ok(b.cmpi(p, x, y))
        };
        match pred {
            Pred::True => Ok(b.boolean(Type::BOOL, true)),
            Pred::False => Ok(b.boolean(Type::BOOL, false)),
            Pred::Eq(x, y) => compare(b, IntPredicate::Eq, x, y),
            Pred::Ne(x, y) => compare(b, IntPredicate::Ne, x, y),
            Pred::Lt(x, y) => compare(b, IntPredicate::Slt, x, y),
            Pred::Le(x, y) => compare(b, IntPredicate::Sle, x, y),
            Pred::And(parts) | Pred::Or(parts) => {
                let all = matches!(pred, Pred::And(_));
                let mut result = b.boolean(Type::BOOL, all);
                for part in parts {
                    let value = self.pred(b, part)?;
                    result = if all { b.andi(result, value) } else { b.ori(result, value) };
                }
                Ok(result)
            }
        }
    }
}

/// `(x // y, x % y)` of signed integers with Python's rounding towards −∞; lane-wise for vectors. `y` must not be 0.
pub fn floor_divide(b: &mut Func<'_>, x: Val, y: Val) -> (Val, Val) {
    let q = b.divsi(x, y);
    let r = b.remsi(x, y);
    let zero = b.zero(x.ty);
    let inexact = b.cmpi(IntPredicate::Ne, r, zero);
    let mixed = b.xori(r, y);
    let mixed = b.cmpi(IntPredicate::Slt, mixed, zero);
    let fix = b.andi(inexact, mixed);
    let down = b.add_const(q, -1);
    let up = b.addi(r, y);
    (b.select(fix, down, q), b.select(fix, up, r))
}
