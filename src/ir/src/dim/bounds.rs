//! Constant bounds of expressions by interval arithmetic.

use super::expr::{Dim, Func, Kind, Term};
use super::interval::Interval;
use super::scope::{Proof, Scope};

/// Stands for an open end in the 128-bit arithmetic below; larger results count as open too.
const OPEN: i128 = 1 << 120;

/// An interval whose ends are clamped to `-OPEN..=OPEN`.
#[derive(Clone, Copy)]
struct Wide {
    min: i128,
    max: i128,
}

impl From<Interval> for Wide {
    fn from(interval: Interval) -> Self {
        Wide { min: interval.min.map_or(-OPEN, i128::from), max: interval.max.map_or(OPEN, i128::from) }
    }
}

impl From<Wide> for Interval {
    fn from(wide: Wide) -> Self {
        Interval { min: i64::try_from(wide.min).ok(), max: i64::try_from(wide.max).ok() }
    }
}

fn clamp(value: i128) -> i128 {
    value.clamp(-OPEN, OPEN)
}

impl Wide {
    const ALL: Wide = Wide { min: -OPEN, max: OPEN };

    fn corners(self, other: Wide, by: impl Fn(i128, i128) -> i128) -> Wide {
        let ends = [by(self.min, other.min), by(self.min, other.max), by(self.max, other.min), by(self.max, other.max)];
        Wide {
            min: clamp(ends.iter().copied().min().unwrap_or(-OPEN)),
            max: clamp(ends.iter().copied().max().unwrap_or(OPEN)),
        }
    }

    fn add(self, other: Wide) -> Wide {
        Wide { min: clamp(self.min.saturating_add(other.min)), max: clamp(self.max.saturating_add(other.max)) }
    }

    fn mul(self, other: Wide) -> Wide {
        self.corners(other, i128::saturating_mul)
    }

    fn pow(self, power: u32) -> Wide {
        let end = |value: i128| clamp(value.saturating_pow(power));
        if power % 2 == 1 || self.min >= 0 {
            Wide { min: end(self.min), max: end(self.max) }
        } else if self.max <= 0 {
            Wide { min: end(self.max), max: end(self.min) }
        } else {
            Wide { min: 0, max: end(self.min).max(end(self.max)) }
        }
    }

    fn neg(self) -> Wide {
        Wide { min: -self.max, max: -self.min }
    }

    /// The quotient for a divisor of one sign.
    fn floor_div(self, by: Wide) -> Wide {
        // With contradictory facts an interval may be empty; any answer is right then.
        if by.max < 0 && by.min <= by.max {
            return self.neg().floor_div(by.neg());
        }
        if by.min < 1 || by.min > by.max {
            return Wide::ALL;
        }
        self.corners(by, |a, b| match (a, b) {
            (a, OPEN) if a.abs() < OPEN => i128::from(a >= 0) - 1,
            (a, _) if a.abs() >= OPEN => a,
            (a, b) => a.div_euclid(b),
        })
    }

    fn modulo(self, by: Wide) -> Wide {
        if by.max < 0 && by.min <= by.max {
            return self.neg().modulo(by.neg()).neg();
        }
        if by.min < 1 || by.min > by.max {
            return Wide::ALL;
        }
        if self.min >= 0 && self.max < by.min {
            return self;
        }
        let most = if by.max >= OPEN { OPEN } else { by.max - 1 };
        Wide { min: 0, max: if self.min >= 0 { most.min(self.max) } else { most } }
    }
}

impl Scope {
    /// Constant bounds that hold for all allowed values, by interval arithmetic: every sub-expression is bounded on
    /// its own, so `s - s // 2` gets wider bounds than it has. [`Scope::prove_le`] knows more.
    pub fn bounds(&self, dim: &Dim) -> Interval {
        match dim.kind() {
            Kind::Int(value) => Interval::point(value),
            Kind::Symbol(symbol) => self.range_of(symbol),
            _ => self.wide(dim).into(),
        }
    }

    /// Whether the bounds show that the value is at least `least`.
    pub(super) fn is_at_least(&self, dim: &Dim, least: i64) -> bool {
        self.bounds(dim).min.is_some_and(|min| min >= least)
    }

    fn wide(&self, dim: &Dim) -> Wide {
        match dim.kind() {
            Kind::Int(value) => Interval::point(value).into(),
            Kind::Symbol(symbol) => self.range_of(symbol).into(),
            Kind::Sum(sum) => {
                let start = Interval::point(sum.constant).into();
                sum.terms.iter().fold(start, |total: Wide, term| total.add(self.wide_term(term)))
            }
            Kind::Func(func) => self.wide_func(func),
        }
    }

    fn wide_term(&self, term: &Term) -> Wide {
        let start = Interval::point(term.coeff).into();
        term.factors.iter().fold(start, |product: Wide, (factor, power)| product.mul(self.wide(factor).pow(*power)))
    }

    fn wide_func(&self, func: &Func) -> Wide {
        match func {
            Func::FloorDiv(a, b) => self.wide(a).floor_div(self.wide(b)),
            Func::Mod(a, b) => self.wide(a).modulo(self.wide(b)),
            Func::Max(args) => args
                .iter()
                .map(|a| self.wide(a))
                .fold(Wide { min: -OPEN, max: -OPEN }, |x, y| Wide { min: x.min.max(y.min), max: x.max.max(y.max) }),
            Func::Min(args) => args
                .iter()
                .map(|a| self.wide(a))
                .fold(Wide { min: OPEN, max: OPEN }, |x, y| Wide { min: x.min.min(y.min), max: x.max.min(y.max) }),
            Func::Pow(a, b) => {
                let (base, power) = (self.wide(a), self.wide(b));
                let end = |base: i128, power: i128| match u32::try_from(power) {
                    Ok(power) => clamp(base.saturating_pow(power)),
                    Err(_) if base <= 1 => base,
                    Err(_) => OPEN,
                };
                if base.min < 0 {
                    Wide::ALL
                } else {
                    // Undefined for a negative exponent; 0 ** 0 is 1, 0 ** n is 0.
                    let least = if base.min == 0 { 0 } else { end(base.min, power.min.max(0)) };
                    Wide { min: least, max: end(base.max, power.max.max(0)).max(1) }
                }
            }
            Func::Where(pred, a, b) => match self.quick(pred) {
                Proof::Yes => self.wide(a),
                Proof::No => self.wide(b),
                Proof::Unknown => {
                    let (a, b) = (self.wide(a), self.wide(b));
                    Wide { min: a.min.min(b.min), max: a.max.max(b.max) }
                }
            },
            Func::RawAdd(a, b) => self.wide(a).add(self.wide(b)),
            Func::RawMul(a, b) => self.wide(a).mul(self.wide(b)),
            Func::TooLarge(_) => Wide::ALL,
        }
    }
}
