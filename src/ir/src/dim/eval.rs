//! Checked evaluation and substitution.

use std::collections::BTreeMap;

use super::division::{floor_div_i64, floor_mod_i64};
use super::expr::{Dim, Func, Kind, Term};
use super::pred::Pred;
use super::symbol::Symbol;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The symbol has no value.
    #[error("the symbol {0} has no value")]
    UnknownSymbol(Symbol),
    /// A division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// An intermediate or final value does not fit 64 bits.
    #[error("the value does not fit a 64-bit integer")]
    Overflow,
    /// A power with a negative exponent.
    #[error("negative exponent")]
    NegativeExponent,
    /// The expression was too large to be kept.
    #[error("the expression exceeds the size limit")]
    TooLarge,
}

/// Gives symbols their values.
pub type Lookup<'a> = dyn Fn(&Symbol) -> Option<i64> + 'a;

impl Dim {
    /// The value for the given symbol values, with every step checked.
    ///
    /// # Errors
    /// An unknown symbol, a division by zero, a negative exponent, or a value beyond 64 bits.
    pub fn eval(&self, lookup: &Lookup<'_>) -> Result<i64, EvalError> {
        match self.kind() {
            Kind::Int(value) => Ok(value),
            Kind::Symbol(symbol) => lookup(symbol).ok_or_else(|| EvalError::UnknownSymbol(symbol.clone())),
            Kind::Sum(sum) => {
                let mut total = i128::from(sum.constant);
                for term in &sum.terms {
                    total = total.checked_add(eval_term(term, lookup)?).ok_or(EvalError::Overflow)?;
                }
                i64::try_from(total).map_err(|_| EvalError::Overflow)
            }
            Kind::Func(func) => eval_func(func, lookup),
        }
    }

    /// Replaces symbols by expressions, all at once.
    pub fn subs(&self, map: &BTreeMap<Symbol, Dim>) -> Dim {
        if map.is_empty() || !self.mentions(&|s| map.contains_key(s)) {
            return self.clone();
        }
        match self.kind() {
            Kind::Symbol(symbol) => map.get(symbol).unwrap_or(self).clone(),
            _ => self.rebuild(&mut |inner| inner.subs(map)),
        }
    }

    /// Replaces one symbol by an expression.
    pub fn subs_one(&self, symbol: &Symbol, by: &Dim) -> Dim {
        if !self.mentions(&|s| s == symbol) {
            return self.clone();
        }
        match self.kind() {
            Kind::Symbol(_) => by.clone(),
            _ => self.rebuild(&mut |inner| inner.subs_one(symbol, by)),
        }
    }

    /// Rebuilds the expression with every immediate sub-expression (factors of a sum's terms,
    /// arguments of a function) replaced, through the canonicalising constructors.
    pub fn rebuild(&self, change: &mut dyn FnMut(&Dim) -> Dim) -> Dim {
        match self.kind() {
            Kind::Int(_) | Kind::Symbol(_) => self.clone(),
            Kind::Sum(sum) => {
                let mut total = Dim::int(sum.constant);
                for term in &sum.terms {
                    let mut factors = Vec::with_capacity(term.factors.len() + 1);
                    if term.coeff != 1 {
                        factors.push(Dim::int(term.coeff));
                    }
                    for (factor, power) in &term.factors {
                        let changed = change(factor);
                        factors.push(match power {
                            1 => changed,
                            _ => changed.pow(&Dim::int(i64::from(*power))),
                        });
                    }
                    total = total + super::arith::product(&factors);
                }
                total
            }
            Kind::Func(func) => match func {
                Func::FloorDiv(a, b) => change(a).floor_div(&change(b)),
                Func::Mod(a, b) => change(a).modulo(&change(b)),
                Func::Pow(a, b) => change(a).pow(&change(b)),
                Func::Max(args) => Dim::max_of(args.iter().map(&mut *change).collect::<Vec<_>>()),
                Func::Min(args) => Dim::min_of(args.iter().map(&mut *change).collect::<Vec<_>>()),
                Func::Where(pred, a, b) => {
                    let pred = pred.map(change);
                    Dim::where_(pred, change(a), change(b))
                }
                Func::RawAdd(a, b) => change(a) + change(b),
                Func::RawMul(a, b) => change(a) * change(b),
                Func::TooLarge(_) => self.clone(),
            },
        }
    }
}

fn eval_term(term: &Term, lookup: &Lookup<'_>) -> Result<i128, EvalError> {
    let mut product = i128::from(term.coeff);
    for (factor, power) in &term.factors {
        let value = i128::from(factor.eval(lookup)?).checked_pow(*power).ok_or(EvalError::Overflow)?;
        product = product.checked_mul(value).ok_or(EvalError::Overflow)?;
    }
    Ok(product)
}

fn eval_func(func: &Func, lookup: &Lookup<'_>) -> Result<i64, EvalError> {
    let pair = |a: &Dim, b: &Dim| Ok((a.eval(lookup)?, b.eval(lookup)?));
    let divide = |a: &Dim, b: &Dim, by: fn(i64, i64) -> Option<i64>| {
        let (a, b) = pair(a, b)?;
        if b == 0 {
            return Err(EvalError::DivisionByZero);
        }
        by(a, b).ok_or(EvalError::Overflow)
    };
    let extreme = |args: &[Dim], pick: fn(i64, i64) -> i64| {
        let mut best: Option<i64> = None;
        for arg in args {
            let value = arg.eval(lookup)?;
            best = Some(best.map_or(value, |b| pick(b, value)));
        }
        Ok(best.unwrap_or(0))
    };
    match func {
        Func::FloorDiv(a, b) => divide(a, b, floor_div_i64),
        Func::Mod(a, b) => divide(a, b, floor_mod_i64),
        Func::Max(args) => extreme(args, i64::max),
        Func::Min(args) => extreme(args, i64::min),
        Func::Pow(a, b) => {
            let (a, b) = pair(a, b)?;
            power_i64(a, b)
        }
        Func::Where(pred, a, b) => {
            if pred.eval(lookup)? {
                a.eval(lookup)
            } else {
                b.eval(lookup)
            }
        }
        Func::RawAdd(a, b) => {
            let (a, b) = pair(a, b)?;
            a.checked_add(b).ok_or(EvalError::Overflow)
        }
        Func::RawMul(a, b) => {
            let (a, b) = pair(a, b)?;
            a.checked_mul(b).ok_or(EvalError::Overflow)
        }
        Func::TooLarge(_) => Err(EvalError::TooLarge),
    }
}

/// `base ** exponent` for a non-negative exponent; `0 ** 0` is 1.
pub(super) fn power_i64(base: i64, exponent: i64) -> Result<i64, EvalError> {
    if exponent < 0 {
        return Err(EvalError::NegativeExponent);
    }
    match (base, u32::try_from(exponent)) {
        (0 | 1, _) => Ok(if exponent == 0 { 1 } else { base }),
        (-1, _) => Ok(if exponent % 2 == 0 { 1 } else { -1 }),
        (_, Ok(exponent)) => base.checked_pow(exponent).ok_or(EvalError::Overflow),
        (_, Err(_)) => Err(EvalError::Overflow),
    }
}

impl Pred {
    /// Whether the predicate holds for the given symbol values. Conjunctions and disjunctions stop at
    /// the first part that decides them, as in Python.
    ///
    /// # Errors
    /// As for [`Dim::eval`].
    pub fn eval(&self, lookup: &Lookup<'_>) -> Result<bool, EvalError> {
        Ok(match self {
            Pred::True => true,
            Pred::False => false,
            Pred::Eq(a, b) => a.eval(lookup)? == b.eval(lookup)?,
            Pred::Ne(a, b) => a.eval(lookup)? != b.eval(lookup)?,
            Pred::Lt(a, b) => a.eval(lookup)? < b.eval(lookup)?,
            Pred::Le(a, b) => a.eval(lookup)? <= b.eval(lookup)?,
            Pred::And(parts) => {
                for part in parts {
                    if !part.eval(lookup)? {
                        return Ok(false);
                    }
                }
                true
            }
            Pred::Or(parts) => {
                for part in parts {
                    if part.eval(lookup)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }
}
