//! The total order by which canonical forms sort their parts. It compares how expressions are written, not
//! their values.

use std::cmp::Ordering;

use super::expr::{Body, Dim, Func, Node, Repr, Sum, Term};
use super::pred::Pred;

/// The order of the written form, so that expressions can be keys of sorted maps. `a < b` says nothing about
/// values: ask [`super::Scope::prove_lt`].
impl PartialOrd for Dim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `max` and `min` are those of values, the same as [`Dim::max`] and [`Dim::min`]: method resolution picks these
/// for `a.max(b)` on owned expressions, and an answer by written form would be a silent error.
impl Ord for Dim {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self, other)
    }

    fn max(self, other: Self) -> Self {
        Dim::max_of([self, other])
    }

    fn min(self, other: Self) -> Self {
        Dim::min_of([self, other])
    }
}

impl PartialOrd for Pred {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pred {
    fn cmp(&self, other: &Self) -> Ordering {
        order_preds(self, other)
    }
}

/// Compares expressions: constants, then symbols by name, then functions, then sums.
pub(super) fn order(a: &Dim, b: &Dim) -> Ordering {
    match (&a.0, &b.0) {
        (Repr::Int(a), Repr::Int(b)) => a.cmp(b),
        (Repr::Sym(a), Repr::Sym(b)) => a.cmp(b),
        (Repr::Node(a), Repr::Node(b)) => order_nodes(a, b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Compares products by their factors.
pub(super) fn order_factors(a: &[(Dim, u32)], b: &[(Dim, u32)]) -> Ordering {
    lexicographic(a, b, |(a, power_a), (b, power_b)| order(a, b).then_with(|| power_a.cmp(power_b)))
}

/// Compares terms by their factors, then by their coefficients.
pub(super) fn order_terms(a: &Term, b: &Term) -> Ordering {
    order_factors(&a.factors, &b.factors).then_with(|| a.coeff.cmp(&b.coeff))
}

fn rank(repr: &Repr) -> u8 {
    match repr {
        Repr::Int(_) => 0,
        Repr::Sym(_) => 1,
        Repr::Node(_) => 2,
    }
}

fn order_nodes(a: &Node, b: &Node) -> Ordering {
    if std::ptr::eq(a, b) {
        return Ordering::Equal;
    }
    match (&a.body, &b.body) {
        (Body::Func(a), Body::Func(b)) => order_funcs(a, b),
        (Body::Sum(a), Body::Sum(b)) => order_sums(a, b),
        (Body::Func(_), Body::Sum(_)) => Ordering::Less,
        (Body::Sum(_), Body::Func(_)) => Ordering::Greater,
    }
}

fn order_sums(a: &Sum, b: &Sum) -> Ordering {
    lexicographic(&a.terms, &b.terms, order_terms).then_with(|| a.constant.cmp(&b.constant))
}

fn order_funcs(a: &Func, b: &Func) -> Ordering {
    let rank = |func: &Func| match func {
        Func::FloorDiv(..) => 0,
        Func::Mod(..) => 1,
        Func::Max(_) => 2,
        Func::Min(_) => 3,
        Func::Pow(..) => 4,
        Func::Where(..) => 5,
        Func::RawAdd(..) => 6,
        Func::RawMul(..) => 7,
        Func::TooLarge(_) => 8,
    };
    match (a, b) {
        (Func::TooLarge(a), Func::TooLarge(b)) => a.cmp(b),
        (Func::Where(p, a, b), Func::Where(q, c, d)) => {
            order_preds(p, q).then_with(|| order(a, c)).then_with(|| order(b, d))
        }
        _ => rank(a).cmp(&rank(b)).then_with(|| lexicographic(&a.args(), &b.args(), |a, b| order(a, b))),
    }
}

fn order_preds(a: &Pred, b: &Pred) -> Ordering {
    let rank = |pred: &Pred| match pred {
        Pred::True => 0,
        Pred::False => 1,
        Pred::Eq(..) => 2,
        Pred::Ne(..) => 3,
        Pred::Lt(..) => 4,
        Pred::Le(..) => 5,
        Pred::And(_) => 6,
        Pred::Or(_) => 7,
    };
    match (a, b) {
        (Pred::And(a), Pred::And(b)) | (Pred::Or(a), Pred::Or(b)) => lexicographic(a, b, order_preds),
        _ => rank(a).cmp(&rank(b)).then_with(|| lexicographic(&a.dims(), &b.dims(), |a, b| order(a, b))),
    }
}

fn lexicographic<T>(a: &[T], b: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|found| found.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}
