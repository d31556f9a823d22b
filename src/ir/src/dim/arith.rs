//! Canonical sums, products and powers.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{Add, Mul, Neg, Sub};

use super::eval::power_i64;
use super::expr::{Dim, Func, Kind, Term};
use super::order::{order, order_factors};

/// A product of several sums is multiplied out only when that gives at most this many terms; beyond
/// it the sums stay as factors.
const EXPANSION_LIMIT: u64 = 64;

impl Dim {
    /// The expression as terms plus a constant; a symbol or function is one term.
    pub(super) fn terms(&self) -> (Cow<'_, [Term]>, i64) {
        match self.kind() {
            Kind::Int(value) => (Cow::Borrowed(&[]), value),
            Kind::Sum(sum) => (Cow::Borrowed(&sum.terms), sum.constant),
            Kind::Symbol(_) | Kind::Func(_) => {
                (Cow::Owned(vec![Term { factors: vec![(self.clone(), 1)], coeff: 1 }]), 0)
            }
        }
    }

    /// The expression without its constant term, and that constant.
    pub fn split_constant(&self) -> (Dim, i64) {
        match self.kind() {
            Kind::Int(value) => (Dim::ZERO, value),
            Kind::Sum(sum) if sum.constant != 0 => (Dim::from_terms(sum.terms.clone(), 0), sum.constant),
            _ => (self.clone(), 0),
        }
    }

    /// `self + scale · other`.
    pub(super) fn add_scaled(&self, other: &Dim, scale: i64) -> Dim {
        if other.is_zero() || scale == 0 {
            return self.clone();
        }
        if self.is_zero() && scale == 1 {
            return other.clone();
        }
        match self.checked_add_scaled(other, scale) {
            Some(sum) => sum,
            None if scale == 1 => raw_add(self.clone(), other.clone()),
            None => self.add_scaled(&product(&[Dim::int(scale), other.clone()]), 1),
        }
    }

    fn checked_add_scaled(&self, other: &Dim, scale: i64) -> Option<Dim> {
        let (left, left_constant) = self.terms();
        let (right, right_constant) = other.terms();
        let constant = left_constant.checked_add(right_constant.checked_mul(scale)?)?;
        let terms = merge(&left, &right, scale)?;
        Some(finish_sum(terms, constant))
    }

    /// `self` to the power `exponent`. A constant non-negative exponent becomes a product; any other
    /// exponent stays a power, undefined where the exponent is negative.
    pub fn pow(&self, exponent: &Dim) -> Dim {
        match (self.as_int(), exponent.as_int()) {
            (_, Some(0)) => return Dim::ONE,
            (_, Some(1)) => return self.clone(),
            (Some(base), Some(power)) => {
                if let Ok(value) = power_i64(base, power) {
                    return Dim::int(value);
                }
            }
            (None, Some(power)) => {
                if let Ok(power) = u32::try_from(power)
                    && let Some(result) = power_of(self, power)
                {
                    return result;
                }
            }
            (Some(1), None) => return Dim::ONE,
            _ => {}
        }
        Dim::from_func(Func::Pow(self.clone(), exponent.clone()))
    }
}

/// The sum of any number of expressions.
pub(super) fn sum_of<'a>(parts: impl IntoIterator<Item = &'a Dim>) -> Dim {
    parts.into_iter().fold(Dim::ZERO, |acc, part| acc.add_scaled(part, 1))
}

fn raw_add(a: Dim, b: Dim) -> Dim {
    let (a, b) = if order(&a, &b).is_le() { (a, b) } else { (b, a) };
    Dim::from_func(Func::RawAdd(a, b))
}

fn raw_mul(a: Dim, b: Dim) -> Dim {
    let (a, b) = if order(&a, &b).is_le() { (a, b) } else { (b, a) };
    Dim::from_func(Func::RawMul(a, b))
}

/// Merges two sorted term lists, the second scaled; `None` on overflow.
fn merge(left: &[Term], right: &[Term], scale: i64) -> Option<Vec<Term>> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Some(out),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order_factors(&a.factors, &b.factors),
        };
        let from_left = if order.is_le() { left.next() } else { None };
        let from_right = if order.is_ge() { right.next() } else { None };
        let coeff = from_left
            .map_or(0, |t| t.coeff)
            .checked_add(from_right.map_or(Some(0), |t| t.coeff.checked_mul(scale))?)?;
        if coeff != 0
            && let Some(term) = from_left.or(from_right)
        {
            out.push(Term { factors: term.factors.clone(), coeff });
        }
    }
}

/// Wraps merged terms, joining `c·k·(a // k) + c·(a % k)` to `c·a`.
fn finish_sum(terms: Vec<Term>, constant: i64) -> Dim {
    if terms.len() >= 2 && terms.iter().any(|t| remainder_of(t).is_some()) {
        join_remainders(terms, constant)
    } else {
        Dim::from_terms(terms, constant)
    }
}

/// A term as `c·(a % b)`, where one of its factors is a remainder.
fn remainder_of(term: &Term) -> Option<(Dim, &Dim, &Dim)> {
    let at = term
        .factors
        .iter()
        .position(|(factor, power)| *power == 1 && matches!(factor.kind(), Kind::Func(Func::Mod(..))))?;
    let (factor, _) = term.factors.get(at)?;
    let Kind::Func(Func::Mod(a, b)) = factor.kind() else { return None };
    let mut others = term.factors.to_vec();
    others.remove(at);
    let rest = if others.is_empty() {
        Dim::int(term.coeff)
    } else {
        Dim::from_terms(vec![Term { factors: others.into(), coeff: term.coeff }], 0)
    };
    Some((rest, a, b))
}

fn join_remainders(terms: Vec<Term>, constant: i64) -> Dim {
    for (at, term) in terms.iter().enumerate() {
        let Some((coeff, dividend, divisor)) = remainder_of(term) else {
            continue;
        };
        // a % k = a - k·(a // k): when the sum already holds that quotient, the two cancel.
        let quotient = dividend.floor_div(divisor);
        let scaled = product(&[coeff.clone(), divisor.clone(), quotient]);
        let (wanted, _) = scaled.terms();
        let present = !wanted.is_empty()
            && wanted.iter().all(|w| terms.iter().any(|t| t.factors == w.factors && t.coeff == w.coeff));
        if !present {
            continue;
        }
        let whole = product(&[coeff, dividend.clone()]);
        let mut rest = terms.clone();
        rest.remove(at);
        let rest = Dim::from_terms(rest, constant);
        if let Some(joined) = rest.checked_add_scaled(&whole, 1).and_then(|sum| sum.checked_add_scaled(&scaled, -1)) {
            return joined;
        }
    }
    Dim::from_terms(terms, constant)
}

/// The product of any number of expressions. All factors are considered together, so that whether a
/// product of sums is multiplied out does not depend on how it was parenthesised in the text.
pub(super) fn product(factors: &[Dim]) -> Dim {
    if factors.iter().any(Dim::is_zero) {
        return Dim::ZERO;
    }
    if let [a, b] = factors {
        if a.is_one() {
            return b.clone();
        }
        if b.is_one() {
            return a.clone();
        }
    }
    checked_product(factors).unwrap_or_else(|| {
        let mut factors = factors.iter();
        let first = factors.next().cloned().unwrap_or(Dim::ONE);
        factors.fold(first, |acc, factor| {
            checked_product(&[acc.clone(), factor.clone()]).unwrap_or_else(|| raw_mul(acc, factor.clone()))
        })
    })
}

/// `base^power` for a non-constant base; `None` on overflow.
fn power_of(base: &Dim, power: u32) -> Option<Dim> {
    let mut parts = Parts::default();
    parts.push(base, power)?;
    parts.finish()
}

fn checked_product(factors: &[Dim]) -> Option<Dim> {
    let mut parts = Parts { coeff: 1, ..Parts::default() };
    for factor in factors {
        parts.push(factor, 1)?;
    }
    parts.finish()
}

/// The factors of a product, sorted into a coefficient, atoms, and sums.
struct Parts {
    coeff: i64,
    atoms: Vec<(Dim, u32)>,
    sums: Vec<(Dim, u32)>,
}

impl Default for Parts {
    fn default() -> Self {
        Parts { coeff: 1, atoms: Vec::new(), sums: Vec::new() }
    }
}

impl Parts {
    fn push(&mut self, factor: &Dim, power: u32) -> Option<()> {
        match factor.kind() {
            Kind::Int(value) => self.coeff = self.coeff.checked_mul(value.checked_pow(power)?)?,
            Kind::Symbol(_) | Kind::Func(_) => self.atoms.push((factor.clone(), power)),
            Kind::Sum(sum) => match sum.terms.as_slice() {
                [term] if sum.constant == 0 => {
                    self.coeff = self.coeff.checked_mul(term.coeff.checked_pow(power)?)?;
                    for (inner, inner_power) in &term.factors {
                        let power = inner_power.checked_mul(power)?;
                        match inner.kind() {
                            Kind::Sum(_) => self.sums.push((inner.clone(), power)),
                            _ => self.atoms.push((inner.clone(), power)),
                        }
                    }
                }
                _ => self.sums.push((factor.clone(), power)),
            },
        }
        Some(())
    }

    fn finish(mut self) -> Option<Dim> {
        if self.coeff == 0 {
            return Some(Dim::ZERO);
        }
        let expanded = self.sums.iter().fold(1u64, |count, (sum, power)| {
            let (terms, constant) = sum.terms();
            let here = terms.len() as u64 + u64::from(constant != 0);
            count.saturating_mul(here.saturating_pow(*power))
        });
        let single = matches!(self.sums.as_slice(), [(_, 1)]);
        if single || expanded <= EXPANSION_LIMIT {
            let mut result = monomial(self.coeff, self.atoms)?;
            for (sum, power) in &self.sums {
                for _ in 0..*power {
                    result = multiply_out(&result, sum)?;
                }
            }
            return Some(result);
        }
        for (sum, power) in std::mem::take(&mut self.sums) {
            let (content, primitive) = primitive_part(&sum)?;
            self.coeff = self.coeff.checked_mul(content.checked_pow(power)?)?;
            self.atoms.push((primitive, power));
        }
        monomial(self.coeff, self.atoms)
    }
}

/// `coeff · Π factors`, merging equal factors.
fn monomial(coeff: i64, mut factors: Vec<(Dim, u32)>) -> Option<Dim> {
    if factors.is_empty() {
        return Some(Dim::int(coeff));
    }
    factors.sort_by(|(a, _), (b, _)| order(a, b));
    let mut merged: Vec<(Dim, u32)> = Vec::with_capacity(factors.len());
    for (factor, power) in factors {
        match merged.last_mut() {
            Some((last, total)) if *last == factor => *total = total.checked_add(power)?,
            _ => merged.push((factor, power)),
        }
    }
    Some(Dim::from_terms(vec![Term { factors: merged, coeff }], 0))
}

fn multiply_factors(a: &[(Dim, u32)], b: &[(Dim, u32)]) -> Option<Vec<(Dim, u32)>> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return Some(out),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((x, _)), Some((y, _))) => order(x, y),
        };
        let left = if order.is_le() { a.next() } else { None };
        let right = if order.is_ge() { b.next() } else { None };
        let power = left.map_or(0, |(_, p)| *p).checked_add(right.map_or(0, |(_, p)| *p))?;
        if let Some((factor, _)) = left.or(right) {
            out.push((factor.clone(), power));
        }
    }
}

fn multiply_out(a: &Dim, b: &Dim) -> Option<Dim> {
    let (left, left_constant) = a.terms();
    let (right, right_constant) = b.terms();
    let mut products: Vec<Term> = Vec::new();
    let mut add = |factors: Vec<(Dim, u32)>, coeff: i64| products.push(Term { factors, coeff });
    for x in left.iter() {
        for y in right.iter() {
            add(multiply_factors(&x.factors, &y.factors)?, x.coeff.checked_mul(y.coeff)?);
        }
        if right_constant != 0 {
            add(x.factors.clone(), x.coeff.checked_mul(right_constant)?);
        }
    }
    if left_constant != 0 {
        for y in right.iter() {
            add(y.factors.clone(), y.coeff.checked_mul(left_constant)?);
        }
    }
    let constant = left_constant.checked_mul(right_constant)?;
    products.sort_by(|a, b| order_factors(&a.factors, &b.factors));
    let mut terms: Vec<Term> = Vec::with_capacity(products.len());
    for term in products {
        match terms.last_mut() {
            Some(last) if last.factors == term.factors => {
                last.coeff = last.coeff.checked_add(term.coeff)?;
            }
            _ => terms.push(term),
        }
    }
    terms.retain(|t| t.coeff != 0);
    Some(finish_sum(terms, constant))
}

/// Splits a sum into its integer content, carrying the sign of the first term, and the rest.
fn primitive_part(sum: &Dim) -> Option<(i64, Dim)> {
    let (terms, constant) = sum.terms();
    let mut content = terms.iter().fold(constant.unsigned_abs(), |g, t| gcd(g, t.coeff.unsigned_abs()));
    if content == 0 {
        content = 1;
    }
    let mut content = i64::try_from(content).ok()?;
    if terms.first().is_some_and(|t| t.coeff < 0) {
        content = -content;
    }
    let primitive = divide_exactly(sum, content)?;
    Some((content, primitive))
}

/// Divides every coefficient by `divisor`; `None` where one is not a multiple of it.
pub(super) fn divide_exactly(dim: &Dim, divisor: i64) -> Option<Dim> {
    if divisor == 1 {
        return Some(dim.clone());
    }
    let exact = |value: i64| match value.checked_rem(divisor) {
        Some(0) => value.checked_div(divisor),
        _ => None,
    };
    let (terms, constant) = dim.terms();
    let terms = terms
        .iter()
        .map(|t| Some(Term { factors: t.factors.clone(), coeff: exact(t.coeff)? }))
        .collect::<Option<Vec<_>>>()?;
    Some(Dim::from_terms(terms, exact(constant)?))
}

/// Greatest common divisor; `gcd(0, x) = x`.
pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

macro_rules! binary_op {
    ($trait:ident, $method:ident, |$a:ident, $b:ident| $body:expr) => {
        impl $trait<&Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                let ($a, $b) = (self, other);
                $body
            }
        }
        impl $trait<Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                (&self).$method(&other)
            }
        }
        impl $trait<&Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                (&self).$method(other)
            }
        }
        impl $trait<Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                self.$method(&other)
            }
        }
        impl $trait<i64> for Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim {
                (&self).$method(&Dim::int(other))
            }
        }
        impl $trait<i64> for &Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim {
                self.$method(&Dim::int(other))
            }
        }
        impl $trait<Dim> for i64 {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                (&Dim::int(self)).$method(&other)
            }
        }
        impl $trait<&Dim> for i64 {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                (&Dim::int(self)).$method(other)
            }
        }
    };
}

binary_op!(Add, add, |a, b| a.add_scaled(b, 1));
binary_op!(Sub, sub, |a, b| a.add_scaled(b, -1));
binary_op!(Mul, mul, |a, b| match (a.as_int(), b.as_int()) {
    (Some(x), Some(y)) if x.checked_mul(y).is_some() => Dim::int(x.wrapping_mul(y)),
    _ => product(&[a.clone(), b.clone()]),
});

impl Neg for &Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        product(&[Dim::int(-1), self.clone()])
    }
}

impl Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        -&self
    }
}

impl std::iter::Sum for Dim {
    fn sum<I: Iterator<Item = Dim>>(iter: I) -> Dim {
        iter.fold(Dim::ZERO, |acc, part| acc + part)
    }
}

impl std::iter::Product for Dim {
    fn product<I: Iterator<Item = Dim>>(iter: I) -> Dim {
        product(&iter.collect::<Vec<_>>())
    }
}

impl<'a> std::iter::Sum<&'a Dim> for Dim {
    fn sum<I: Iterator<Item = &'a Dim>>(iter: I) -> Dim {
        sum_of(iter)
    }
}

impl<'a> std::iter::Product<&'a Dim> for Dim {
    fn product<I: Iterator<Item = &'a Dim>>(iter: I) -> Dim {
        product(&iter.cloned().collect::<Vec<_>>())
    }
}
