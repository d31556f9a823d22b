//! What is known about symbols: ranges, symbolic bounds, asserted predicates.

use std::collections::BTreeMap;

use super::expr::Dim;
use super::interval::Interval;
use super::pred::Pred;
use super::symbol::Symbol;

/// The answer to a question about symbolic values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Holds for all values that the scope allows.
    Yes,
    /// Holds for no value that the scope allows.
    No,
    /// Not decided: may hold for some values, or the prover is too weak.
    Unknown,
}

impl Proof {
    /// Whether the answer is [`Proof::Yes`].
    pub fn is_yes(self) -> bool {
        self == Proof::Yes
    }

    /// Whether the answer is [`Proof::No`].
    pub fn is_no(self) -> bool {
        self == Proof::No
    }

    /// The answer for the negated question.
    #[must_use]
    pub fn negate(self) -> Proof {
        match self {
            Proof::Yes => Proof::No,
            Proof::No => Proof::Yes,
            Proof::Unknown => Proof::Unknown,
        }
    }
}

/// A loop variable's symbolic range `lo <= symbol <= last`.
#[derive(Clone, Debug)]
pub(super) struct SymbolicRange {
    pub(super) lo: Dim,
    pub(super) last: Dim,
    /// Number of loops declared before this one.
    pub(super) depth: usize,
}

/// `dim % modulus == remainder`, with constant modulus.
#[derive(Clone, Debug)]
pub(super) struct Residue {
    pub(super) dim: Dim,
    pub(super) modulus: i64,
    pub(super) remainder: i64,
}

/// Known facts about symbols. Every answer derived from a scope holds for all assignments that
/// satisfy all its facts; with contradictory facts every answer is right.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Constant bounds of symbols.
    pub(super) ranges: BTreeMap<Symbol, Interval>,
    /// Symbolic ranges of loop variables.
    pub(super) loops: BTreeMap<Symbol, SymbolicRange>,
    /// Expressions known to be at least 0.
    pub(super) nonnegative: Vec<Dim>,
    /// Predicates as assumed, in canonical form.
    pub(super) assumed: Vec<Pred>,
    /// Known remainders.
    pub(super) residues: Vec<Residue>,
    /// Atoms with a known simpler value, such as `Mod(s0, 4)` with 0, or `s1` with `s0`.
    pub(super) rewrites: Vec<(Dim, Dim)>,
}

impl Scope {
    /// A scope without facts.
    pub fn new() -> Self {
        Scope::default()
    }

    /// States `min <= symbol <= max` (`None`: unbounded), in addition to what is known.
    pub fn declare(&mut self, symbol: impl Into<Symbol>, min: Option<i64>, max: Option<i64>) {
        let symbol = symbol.into();
        let stated = Interval { min, max };
        let range = self.ranges.entry(symbol.clone()).or_default();
        *range = range.intersect(stated);
        self.align(&symbol);
        let equal = self.rewrites.iter().find(|(part, _)| part.as_symbol() == Some(&symbol));
        if let Some((_, value)) = equal.cloned() {
            self.bound(&value, stated);
        }
    }

    /// Declares a loop variable: `lo <= symbol < lo + extent`. As the variable has a value only inside its loop, the
    /// extent is known to be at least 1: what is proved holds inside the loop, so clone the scope for its body. An
    /// earlier range of the same name is forgotten, facts about it are not: names should be unique.
    pub fn declare_in(&mut self, symbol: impl Into<Symbol>, lo: Dim, extent: Dim) {
        let symbol = symbol.into();
        self.assume(Pred::le(&Dim::ONE, &extent));
        let last = &lo + &extent - 1;
        let (min, max) = (self.bounds(&lo).min, self.bounds(&last).max);
        self.ranges.insert(symbol.clone(), Interval { min, max });
        self.loops.insert(symbol, SymbolicRange { lo, last, depth: self.loops.len() });
    }

    /// The constant range of a symbol.
    pub fn range_of(&self, symbol: &Symbol) -> Interval {
        self.ranges.get(symbol).copied().unwrap_or_default()
    }

    /// The greatest value that a data-dependent symbol is known to have, over symbols that do not depend on data.
    pub fn upper_bound(&self, symbol: &Symbol) -> Option<Dim> {
        let constant = self.range_of(symbol).max.map(Dim::int);
        let stated = self.nonnegative.iter().filter_map(|d| {
            let (coefficient, rest) = d.coefficient_of(symbol)?;
            let plain = coefficient.as_int() == Some(-1) && !rest.mentions(&|s| s.is_unbacked());
            plain.then_some(rest)
        });
        stated.chain(constant).reduce(|a, b| Dim::min(&a, &b))
    }

    /// The declared symbols with their constant ranges, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = (&Symbol, Interval)> {
        self.ranges.iter().map(|(symbol, range)| (symbol, *range))
    }

    /// The predicates assumed so far.
    pub fn assumptions(&self) -> &[Pred] {
        &self.assumed
    }

    /// Whether `a == b` for all allowed values.
    pub fn prove_eq(&self, a: &Dim, b: &Dim) -> Proof {
        self.prove(&Pred::eq(a, b))
    }

    /// Whether `a <= b` for all allowed values.
    pub fn prove_le(&self, a: &Dim, b: &Dim) -> Proof {
        self.prove(&Pred::le(a, b))
    }

    /// Whether `a < b` for all allowed values.
    pub fn prove_lt(&self, a: &Dim, b: &Dim) -> Proof {
        self.prove(&Pred::lt(a, b))
    }

    /// Whether `a` is a multiple of `b` for all allowed values.
    pub fn prove_divisible(&self, a: &Dim, b: &Dim) -> Proof {
        self.prove(&Pred::divisible(a, b))
    }
}
