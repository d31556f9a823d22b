//! Predicates over integer expressions, in canonical form.

use std::collections::{BTreeMap, BTreeSet};

use super::arith::gcd;
use super::expr::{Dim, Func, Kind, Term};
use super::order::order;
use super::symbol::Symbol;

/// A condition on integer expressions.
///
/// The constructors ([`Pred::eq`], [`Pred::le`], [`Pred::not`], …) canonicalise: comparisons are
/// divided by their common content, `>` and `>=` are flipped, negations are pushed down to the
/// comparisons (so there is no negation node), and conjunctions and disjunctions are flat, without repetitions,
/// in the order written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Pred {
    /// Always holds.
    True,
    /// Never holds.
    False,
    /// Both sides are equal.
    Eq(Dim, Dim),
    /// The sides differ.
    Ne(Dim, Dim),
    /// The left side is less.
    Lt(Dim, Dim),
    /// The left side is less or equal.
    Le(Dim, Dim),
    /// All hold. Evaluated from left to right, stopping at the first that fails.
    And(Vec<Pred>),
    /// At least one holds. Evaluated from left to right, stopping at the first that holds.
    Or(Vec<Pred>),
}

impl Pred {
    /// `a == b`
    pub fn eq(a: &Dim, b: &Dim) -> Pred {
        equality(a, b, true)
    }

    /// `a != b`
    pub fn ne(a: &Dim, b: &Dim) -> Pred {
        equality(a, b, false)
    }

    /// `a <= b`
    pub fn le(a: &Dim, b: &Dim) -> Pred {
        at_most(a, b, 0)
    }

    /// `a < b`
    pub fn lt(a: &Dim, b: &Dim) -> Pred {
        at_most(a, b, 1)
    }

    /// `a >= b`
    pub fn ge(a: &Dim, b: &Dim) -> Pred {
        Pred::le(b, a)
    }

    /// `a > b`
    pub fn gt(a: &Dim, b: &Dim) -> Pred {
        Pred::lt(b, a)
    }

    /// `a % b == 0`
    pub fn divisible(a: &Dim, b: &Dim) -> Pred {
        Pred::eq(&a.modulo(b), &Dim::ZERO)
    }

    /// All of the given predicates; true for none.
    pub fn and(parts: impl IntoIterator<Item = Pred>) -> Pred {
        combine(parts, true)
    }

    /// Any of the given predicates; false for none.
    pub fn or(parts: impl IntoIterator<Item = Pred>) -> Pred {
        combine(parts, false)
    }

    /// The negation.
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Pred {
        match self {
            Pred::True => Pred::False,
            Pred::False => Pred::True,
            Pred::Eq(a, b) => Pred::ne(&a, &b),
            Pred::Ne(a, b) => Pred::eq(&a, &b),
            Pred::Lt(a, b) => Pred::le(&b, &a),
            Pred::Le(a, b) => Pred::lt(&b, &a),
            Pred::And(parts) => Pred::or(parts.into_iter().map(Pred::not)),
            Pred::Or(parts) => Pred::and(parts.into_iter().map(Pred::not)),
        }
    }

    /// The canonical form of a predicate that may have been put together by hand.
    pub fn canonical(&self) -> Pred {
        self.map(&mut Dim::clone)
    }

    /// Rebuilds the predicate with every expression replaced.
    pub fn map(&self, change: &mut dyn FnMut(&Dim) -> Dim) -> Pred {
        match self {
            Pred::True => Pred::True,
            Pred::False => Pred::False,
            Pred::Eq(a, b) => Pred::eq(&change(a), &change(b)),
            Pred::Ne(a, b) => Pred::ne(&change(a), &change(b)),
            Pred::Lt(a, b) => Pred::lt(&change(a), &change(b)),
            Pred::Le(a, b) => Pred::le(&change(a), &change(b)),
            Pred::And(parts) => {
                let parts: Vec<_> = parts.iter().map(|p| p.map(change)).collect();
                Pred::and(parts)
            }
            Pred::Or(parts) => {
                let parts: Vec<_> = parts.iter().map(|p| p.map(change)).collect();
                Pred::or(parts)
            }
        }
    }

    /// Replaces symbols by expressions, all at once.
    pub fn subs(&self, map: &BTreeMap<Symbol, Dim>) -> Pred {
        self.map(&mut |dim| dim.subs(map))
    }

    /// All symbols that occur, sorted.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut found = BTreeSet::new();
        for dim in self.dims() {
            dim.collect_symbols(&mut found);
        }
        found
    }

    /// The expressions compared, from left to right.
    pub fn dims(&self) -> Vec<&Dim> {
        match self {
            Pred::True | Pred::False => Vec::new(),
            Pred::Eq(a, b) | Pred::Ne(a, b) | Pred::Lt(a, b) | Pred::Le(a, b) => vec![a, b],
            Pred::And(parts) | Pred::Or(parts) => parts.iter().flat_map(Pred::dims).collect(),
        }
    }
}

/// The difference of two sides as terms divided by their content, with the constant not yet divided.
/// `None` where the difference is not usable (overflow).
fn difference(a: &Dim, b: &Dim) -> Option<(Vec<Term>, i64, i64)> {
    let difference = a - b;
    if let Kind::Func(Func::RawAdd(..) | Func::TooLarge(_)) = difference.kind() {
        return None;
    }
    let (terms, constant) = difference.terms();
    let content = terms.iter().fold(0, |g, t| gcd(g, t.coeff.unsigned_abs())).max(1);
    let content = i64::try_from(content).ok()?;
    let terms = terms.iter().map(|t| Term { factors: t.factors.clone(), coeff: t.coeff / content }).collect();
    Some((terms, constant, content))
}

/// Splits terms into those with positive coefficients and the negated others.
fn split_signs(terms: Vec<Term>) -> Option<(Dim, Dim)> {
    let (positive, negative): (Vec<_>, Vec<_>) = terms.into_iter().partition(|t| t.coeff > 0);
    let negative = negative
        .into_iter()
        .map(|t| Some(Term { coeff: t.coeff.checked_neg()?, factors: t.factors }))
        .collect::<Option<Vec<_>>>()?;
    Some((Dim::from_terms(positive, 0), Dim::from_terms(negative, 0)))
}

fn equality(a: &Dim, b: &Dim, equal: bool) -> Pred {
    let decided = |holds: bool| {
        if holds == equal { Pred::True } else { Pred::False }
    };
    let built = |a: Dim, b: Dim| {
        if equal { Pred::Eq(a, b) } else { Pred::Ne(a, b) }
    };
    let raw = || {
        if a == b {
            decided(true)
        } else if order(a, b).is_le() {
            built(a.clone(), b.clone())
        } else {
            built(b.clone(), a.clone())
        }
    };
    let Some((mut terms, constant, content)) = difference(a, b) else {
        return raw();
    };
    if terms.is_empty() {
        return decided(constant == 0);
    }
    if constant % content != 0 {
        return decided(false);
    }
    let mut constant = constant / content;
    if terms.first().is_some_and(|t| t.coeff < 0) {
        for term in &mut terms {
            let Some(coeff) = term.coeff.checked_neg() else {
                return raw();
            };
            term.coeff = coeff;
        }
        let Some(negated) = constant.checked_neg() else {
            return raw();
        };
        constant = negated;
    }
    let (Some((left, right)), Some(offset)) = (split_signs(terms), constant.checked_neg()) else {
        return raw();
    };
    built(left, right + offset)
}

/// `a + slack <= b`, with a slack of 0 or 1.
fn at_most(a: &Dim, b: &Dim, slack: i64) -> Pred {
    let raw = || {
        if slack == 0 { Pred::Le(a.clone(), b.clone()) } else { Pred::Lt(a.clone(), b.clone()) }
    };
    let Some((terms, constant, content)) = difference(a, b) else {
        return raw();
    };
    let Some(constant) = constant.checked_add(slack) else {
        return raw();
    };
    if terms.is_empty() {
        return if constant <= 0 { Pred::True } else { Pred::False };
    }
    // content·t + c <= 0 holds exactly where t + ceil(c / content) <= 0.
    let constant = -((-i128::from(constant)).div_euclid(i128::from(content)));
    let (Ok(constant), Some((left, right))) = (i64::try_from(constant), split_signs(terms)) else {
        return raw();
    };
    let Some(negated) = constant.checked_neg() else {
        return raw();
    };
    if left.is_zero() {
        Pred::Le(Dim::int(constant), right)
    } else if constant == 1 && !right.is_zero() {
        Pred::Lt(left, right)
    } else if constant > 0 && !right.is_zero() {
        Pred::Le(left + constant, right)
    } else {
        Pred::Le(left, right + negated)
    }
}

fn combine(parts: impl IntoIterator<Item = Pred>, all: bool) -> Pred {
    let (neutral, absorbing) = if all { (Pred::True, Pred::False) } else { (Pred::False, Pred::True) };
    // The order of the parts is kept: a later one may be defined only where the earlier ones hold.
    let mut flat: Vec<Pred> = Vec::new();
    for part in parts {
        let inner = match part {
            Pred::And(inner) if all => inner,
            Pred::Or(inner) if !all => inner,
            part => vec![part],
        };
        for part in inner {
            if part == absorbing {
                return absorbing;
            }
            if part != neutral && !flat.contains(&part) {
                flat.push(part);
            }
        }
    }
    if flat.iter().any(|p| flat.contains(&p.clone().not())) {
        return absorbing;
    }
    match flat.len() {
        0 => neutral,
        1 => flat.pop().unwrap_or(neutral),
        _ if all => Pred::And(flat),
        _ => Pred::Or(flat),
    }
}
