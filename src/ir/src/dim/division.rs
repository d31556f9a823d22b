//! Canonical integer division and remainder, with Python's rounding (towards minus infinity).

use super::arith::{divide_exactly, gcd, product};
use super::expr::{Dim, Func, Kind, Term};
use super::order::order_terms;

/// Steps of polynomial division tried before giving up on a quotient.
const DIVISION_STEPS: usize = 64;

impl Dim {
    /// `self // divisor`, rounding towards minus infinity. Multiples of the divisor leave the
    /// division: `(6·a + b) // 3 = 2·a + b // 3`. A division by the constant zero stays as it is and
    /// fails when evaluated.
    pub fn floor_div(&self, divisor: &Dim) -> Dim {
        if divisor.is_one() {
            return self.clone();
        }
        match (self.as_int(), divisor.as_int()) {
            (_, Some(0)) => Dim::from_func(Func::FloorDiv(self.clone(), divisor.clone())),
            (Some(0), _) => Dim::ZERO,
            (Some(a), Some(b)) => match floor_div_i64(a, b) {
                Some(value) => Dim::int(value),
                None => Dim::from_func(Func::FloorDiv(self.clone(), divisor.clone())),
            },
            (None, Some(b)) => {
                self.floor_div_const(b).unwrap_or_else(|| Dim::from_func(Func::FloorDiv(self.clone(), divisor.clone())))
            }
            _ => self.floor_div_symbolic(divisor),
        }
    }

    /// `self % divisor` with the divisor's sign, as in Python. Multiples of the divisor vanish:
    /// `(6·a + b) % 3 = b % 3`.
    pub fn modulo(&self, divisor: &Dim) -> Dim {
        match (self.as_int(), divisor.as_int()) {
            (_, Some(0)) => Dim::from_func(Func::Mod(self.clone(), divisor.clone())),
            (Some(0), _) | (_, Some(1 | -1)) => Dim::ZERO,
            (Some(a), Some(b)) => match floor_mod_i64(a, b) {
                Some(value) => Dim::int(value),
                None => Dim::from_func(Func::Mod(self.clone(), divisor.clone())),
            },
            (None, Some(b)) => {
                self.modulo_const(b).unwrap_or_else(|| Dim::from_func(Func::Mod(self.clone(), divisor.clone())))
            }
            _ => self.modulo_symbolic(divisor),
        }
    }

    /// Division rounding towards plus infinity, as `-((-self) // divisor)`.
    pub fn ceil_div(&self, divisor: &Dim) -> Dim {
        -((-self).floor_div(divisor))
    }

    /// Division by a non-zero constant; `None` where a coefficient would overflow.
    fn floor_div_const(&self, k: i64) -> Option<Dim> {
        if k < 0 {
            let positive = k.checked_neg()?;
            return Some((-self).floor_div(&Dim::int(positive)));
        }
        // What is a whole multiple leaves: coefficients are cut towards zero, the constant downwards,
        // so that a remainder computed the same way recombines with this quotient.
        let (terms, constant) = self.terms();
        let mut outside = Vec::new();
        let mut inside = Vec::with_capacity(terms.len());
        for term in terms.iter() {
            let with = |coeff| Term { factors: term.factors.clone(), coeff };
            if term.coeff / k != 0 {
                outside.push(with(term.coeff / k));
            }
            if term.coeff % k != 0 {
                inside.push(with(term.coeff % k));
            }
        }
        let outside = Dim::from_terms(outside, constant.div_euclid(k));
        let constant = constant.rem_euclid(k);
        if inside.is_empty() {
            return Some(outside);
        }
        // floor((g·a + c) / (g·k)) = floor((a + c // g) / k).
        let g = content(&inside, k);
        for term in &mut inside {
            term.coeff /= g;
        }
        let k = k / g;
        let numerator = Dim::from_terms(inside, constant.div_euclid(g));
        if k == 1 {
            return Some(&outside + &numerator);
        }
        Some(&outside + &reduced_floor_div(numerator, k)?)
    }

    fn modulo_const(&self, k: i64) -> Option<Dim> {
        if k < 0 {
            let positive = k.checked_neg()?;
            return Some(-((-self).modulo(&Dim::int(positive))));
        }
        let (terms, constant) = self.terms();
        let mut inside = Vec::with_capacity(terms.len());
        // Modulo k an inner remainder whose multiple of k is a multiple of its own divisor is
        // transparent: (x % (m·k)) % k = x % k.
        let mut spread = Dim::ZERO;
        for term in terms.iter() {
            let coeff = term.coeff % k;
            if coeff == 0 {
                continue;
            }
            if let [(factor, 1)] = term.factors.as_slice()
                && let Kind::Func(Func::Mod(inner, divisor)) = factor.kind()
                && let Some(m) = divisor.as_int()
                && coeff.checked_mul(m)? % k == 0
            {
                spread = spread.add_scaled(inner, coeff);
                continue;
            }
            inside.push(Term { factors: term.factors.clone(), coeff });
        }
        if !spread.is_zero() {
            let rest = Dim::from_terms(inside, constant.rem_euclid(k));
            return Some((rest + spread).modulo(&Dim::int(k)));
        }
        let constant = constant.rem_euclid(k);
        if inside.is_empty() {
            return Some(Dim::int(constant));
        }
        // (g·a + c) % (g·k) = g·((a + c // g) % k) + c % g.
        let g = content(&inside, k);
        for term in &mut inside {
            term.coeff /= g;
        }
        let k = k / g;
        let outer = constant.rem_euclid(g);
        if k == 1 {
            return Some(Dim::int(outer));
        }
        let inner = Dim::from_terms(inside, constant.div_euclid(g));
        let remainder = Dim::from_func(Func::Mod(inner, Dim::int(k)));
        Some(remainder * g + outer)
    }

    fn floor_div_symbolic(&self, divisor: &Dim) -> Dim {
        if self == divisor {
            return Dim::ONE;
        }
        let (numerator, divisor) = cancel_common(self, divisor);
        if divisor.is_int() {
            return numerator.floor_div(&divisor);
        }
        let (quotient, rest) = divide(&numerator, &divisor);
        if rest.is_zero() {
            return quotient;
        }
        let (rest, divisor) = cancel_common(&rest, &divisor);
        if divisor.is_int() {
            return quotient + rest.floor_div(&divisor);
        }
        quotient + Dim::from_func(Func::FloorDiv(rest, divisor))
    }

    fn modulo_symbolic(&self, divisor: &Dim) -> Dim {
        let (_, rest) = divide(self, divisor);
        if rest.is_zero() {
            return Dim::ZERO;
        }
        // (x % y) % y = x % y.
        if let Kind::Func(Func::Mod(_, inner)) = rest.kind()
            && inner == divisor
        {
            return rest;
        }
        let (common, a, b) = common_factor(&rest, divisor);
        if common.is_one() { Dim::from_func(Func::Mod(rest, divisor.clone())) } else { common * a.modulo(&b) }
    }
}

/// Greatest common divisor of all coefficients and `k > 0`.
fn content(terms: &[Term], k: i64) -> i64 {
    let g = terms.iter().fold(k.unsigned_abs(), |g, t| gcd(g, t.coeff.unsigned_abs()));
    i64::try_from(g).unwrap_or(1).max(1)
}

/// `numerator // k` for `k > 1` and a numerator without common content: fixes the sign and folds a
/// division of a division.
fn reduced_floor_div(numerator: Dim, k: i64) -> Option<Dim> {
    let (terms, constant) = numerator.terms();
    if terms.first().is_some_and(|t| t.coeff < 0) {
        // a // k = -((k - 1 - a) // k).
        let flipped = Dim::int(k - 1).checked_sub(&numerator)?;
        return Some(-(flipped.floor_div(&Dim::int(k))));
    }
    if let [term] = terms.as_ref()
        && term.coeff == 1
        && let [(factor, 1)] = term.factors.as_slice()
        && let Kind::Func(Func::FloorDiv(inner, by)) = factor.kind()
    {
        // (a // b + c) // k = (a + b·c) // (b·k), as k is positive.
        let inner = inner + &product(&[by.clone(), Dim::int(constant)]);
        return Some(inner.floor_div(&product(&[by.clone(), Dim::int(k)])));
    }
    Some(Dim::from_func(Func::FloorDiv(numerator, Dim::int(k))))
}

impl Dim {
    fn checked_sub(&self, other: &Dim) -> Option<Dim> {
        let difference = self - other;
        match difference.kind() {
            Kind::Func(Func::RawAdd(..)) => None,
            _ => Some(difference),
        }
    }
}

/// Divides `a` by the non-constant `b`: `a = quotient·b + rest`, the rest having fewer terms than
/// `a`, or `quotient = 0`.
pub(super) fn divide(a: &Dim, b: &Dim) -> (Dim, Dim) {
    let none = || (Dim::ZERO, a.clone());
    if a == b {
        return (Dim::ONE, Dim::ZERO);
    }
    let (b_terms, _) = b.terms();
    let Some(lead) = b_terms.iter().max_by(|a, b| degree(a).cmp(&degree(b)).then_with(|| order_terms(a, b))) else {
        return none();
    };
    let (mut quotient, mut rest) = (Dim::ZERO, a.clone());
    for _ in 0..DIVISION_STEPS {
        let (terms, _) = rest.terms();
        let step = terms.iter().rev().find_map(|t| divide_term(t, lead));
        let Some(step) = step else { break };
        rest = rest - product(&[step.clone(), b.clone()]);
        quotient = quotient + step;
    }
    if quotient.is_zero() || term_count(&rest) >= term_count(a) {
        return none();
    }
    (quotient, rest)
}

fn degree(term: &Term) -> u64 {
    term.factors.iter().map(|(_, p)| u64::from(*p)).sum()
}

fn term_count(dim: &Dim) -> usize {
    let (terms, constant) = dim.terms();
    terms.len() + usize::from(constant != 0)
}

/// The quotient of two terms, where the second divides the first.
pub(super) fn divide_term(a: &Term, b: &Term) -> Option<Dim> {
    if a.coeff.checked_rem(b.coeff)? != 0 {
        return None;
    }
    let coeff = a.coeff.checked_div(b.coeff)?;
    let mut factors = a.factors.clone();
    for (factor, power) in &b.factors {
        let entry = factors.iter_mut().find(|(f, _)| f == factor)?;
        entry.1 = entry.1.checked_sub(*power)?;
    }
    factors.retain(|(_, power)| *power > 0);
    if factors.is_empty() {
        return Some(Dim::int(coeff));
    }
    Some(Dim::from_terms(vec![Term { factors, coeff }], 0))
}

/// The greatest common monomial (positive integer times factors) of two expressions, and both divided
/// by it.
pub(super) fn common_factor(a: &Dim, b: &Dim) -> (Dim, Dim, Dim) {
    let (a_terms, a_constant) = a.terms();
    let (b_terms, b_constant) = b.terms();
    let all = || a_terms.iter().chain(b_terms.iter());
    let g =
        all().fold(gcd(a_constant.unsigned_abs(), b_constant.unsigned_abs()), |g, t| gcd(g, t.coeff.unsigned_abs()));
    let g = i64::try_from(g).unwrap_or(1).max(1);
    let mut shared: Vec<(Dim, u32)> = Vec::new();
    if a_constant == 0
        && b_constant == 0
        && let Some(first) = all().next()
    {
        shared = first.factors.clone();
        for term in all() {
            for (factor, power) in &mut shared {
                let here = term.factors.iter().find(|(f, _)| f == factor);
                *power = (*power).min(here.map_or(0, |(_, p)| *p));
            }
        }
        shared.retain(|(_, power)| *power > 0);
    }
    let unchanged = || (Dim::ONE, a.clone(), b.clone());
    if g == 1 && shared.is_empty() {
        return unchanged();
    }
    let strip = |dim: &Dim| -> Option<Dim> {
        if shared.is_empty() {
            return divide_exactly(dim, g);
        }
        let divisor = Term { factors: shared.clone(), coeff: g };
        let (terms, _) = dim.terms();
        let parts = terms.iter().map(|t| divide_term(t, &divisor)).collect::<Option<Vec<_>>>()?;
        Some(super::arith::sum_of(&parts))
    };
    let (Some(left), Some(right)) = (strip(a), strip(b)) else {
        return unchanged();
    };
    let common =
        if shared.is_empty() { Dim::int(g) } else { Dim::from_terms(vec![Term { factors: shared, coeff: g }], 0) };
    (common, left, right)
}

/// Cancels the common monomial of a division and makes the divisor's first coefficient positive.
fn cancel_common(a: &Dim, b: &Dim) -> (Dim, Dim) {
    let (_, a, b) = common_factor(a, b);
    let (terms, constant) = b.terms();
    let sign = terms.first().map_or(constant, |t| t.coeff);
    if sign < 0 { (-&a, -&b) } else { (a, b.clone()) }
}

/// Python's `a // b`; `None` for division by zero and for overflow.
pub(super) fn floor_div_i64(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let inexact = a.checked_rem(b)? != 0;
    Some(if inexact && ((a < 0) != (b < 0)) { quotient - 1 } else { quotient })
}

/// Python's `a % b`; `None` for division by zero.
pub(super) fn floor_mod_i64(a: i64, b: i64) -> Option<i64> {
    if b == -1 {
        return Some(0);
    }
    let rest = a.checked_rem(b)?;
    Some(if rest != 0 && ((rest < 0) != (b < 0)) { rest + b } else { rest })
}
