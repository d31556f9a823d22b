//! Canonical maxima, minima, absolute values and conditional expressions.

use super::expr::{Dim, Func, Kind};
use super::order::order;
use super::pred::Pred;

impl Dim {
    /// The greater of two expressions.
    pub fn max(&self, other: &Dim) -> Dim {
        Dim::max_of([self.clone(), other.clone()])
    }

    /// The lesser of two expressions.
    pub fn min(&self, other: &Dim) -> Dim {
        Dim::min_of([self.clone(), other.clone()])
    }

    /// The greatest of the given expressions; 0 where none is given.
    pub fn max_of(args: impl IntoIterator<Item = Dim>) -> Dim {
        extremum(args, true)
    }

    /// The least of the given expressions; 0 where none is given.
    pub fn min_of(args: impl IntoIterator<Item = Dim>) -> Dim {
        extremum(args, false)
    }

    /// The absolute value, as `Max(self, -self)`.
    pub fn abs(&self) -> Dim {
        self.max(&-self)
    }

    /// `then` where the predicate holds, else `otherwise`; only the chosen one is evaluated.
    pub fn where_(pred: Pred, then: Dim, otherwise: Dim) -> Dim {
        match pred.canonical() {
            Pred::True => then,
            Pred::False => otherwise,
            _ if then == otherwise => then,
            pred => Dim::from_func(Func::Where(pred, then, otherwise)),
        }
    }
}

fn extremum(args: impl IntoIterator<Item = Dim>, greatest: bool) -> Dim {
    // Arguments as a constant-free part and a constant: of those that differ by a constant only, one is kept.
    let mut kept: Vec<(Dim, i64)> = Vec::new();
    let mut keep = |arg: &Dim| {
        let (plain, constant) = arg.split_constant();
        match kept.iter_mut().find(|(other, _)| *other == plain) {
            Some((_, best)) if greatest => *best = constant.max(*best),
            Some((_, best)) => *best = constant.min(*best),
            None => kept.push((plain, constant)),
        }
    };
    for arg in args {
        match (arg.kind(), greatest) {
            (Kind::Func(Func::Max(inner)), true) | (Kind::Func(Func::Min(inner)), false) => {
                inner.iter().for_each(&mut keep);
            }
            _ => keep(&arg),
        }
    }
    let mut kept: Vec<Dim> = kept.into_iter().map(|(plain, constant)| plain + constant).collect();
    kept.sort_by(order);
    match kept.len() {
        0 => Dim::ZERO,
        1 => kept.pop().unwrap_or_default(),
        _ if greatest => Dim::from_func(Func::Max(kept)),
        _ => Dim::from_func(Func::Min(kept)),
    }
}
