//! Proofs about predicates and bounds of expressions.

use super::expr::{Dim, Kind};
use super::interval::Interval;
use super::pred::Pred;
use super::scope::{Proof, Scope};

impl Scope {
    /// Adds a fact.
    pub fn assume(&mut self, pred: Pred) {
        let pred = pred.canonical();
        if !self.assumed.contains(&pred) {
            self.assumed.push(pred);
        }
    }

    /// Constant bounds that hold for all allowed values.
    pub fn bounds(&self, dim: &Dim) -> Interval {
        match dim.kind() {
            Kind::Int(value) => Interval::point(value),
            Kind::Symbol(symbol) => self.range_of(symbol),
            _ => Interval::ALL,
        }
    }

    /// Whether the predicate holds for all allowed values of the symbols, for none, or neither is
    /// known.
    pub fn prove(&self, pred: &Pred) -> Proof {
        match pred {
            Pred::True => Proof::Yes,
            Pred::False => Proof::No,
            pred if self.assumed.contains(pred) => Proof::Yes,
            pred if self.assumed.contains(&pred.clone().not()) => Proof::No,
            _ => Proof::Unknown,
        }
    }
}
