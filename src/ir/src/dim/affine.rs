//! Taking expressions apart as linear functions of symbols.

use std::collections::BTreeSet;

use super::arith::product;
use super::expr::{Dim, Kind};
use super::symbol::Symbol;

impl Dim {
    /// `(coeff, rest)` with `self == coeff·symbol + rest`, both free of the symbol. `None` where the
    /// expression is not linear in it. An expression without the symbol gives `(0, self)`.
    pub fn coefficient_of(&self, symbol: &Symbol) -> Option<(Dim, Dim)> {
        let is_it = |s: &Symbol| s == symbol;
        match self.kind() {
            Kind::Int(_) => Some((Dim::ZERO, self.clone())),
            Kind::Symbol(found) if found == symbol => Some((Dim::ONE, Dim::ZERO)),
            Kind::Symbol(_) => Some((Dim::ZERO, self.clone())),
            Kind::Func(_) if self.mentions(&is_it) => None,
            Kind::Func(_) => Some((Dim::ZERO, self.clone())),
            Kind::Sum(sum) => {
                let mut coeff = Dim::ZERO;
                let mut rest = Vec::new();
                for term in &sum.terms {
                    let mut linear = false;
                    let mut others = vec![Dim::int(term.coeff)];
                    for (factor, power) in &term.factors {
                        if *power == 1 && factor.as_symbol() == Some(symbol) {
                            linear = true;
                        } else if factor.mentions(&is_it) {
                            return None;
                        } else {
                            others.push(factor.pow(&Dim::int(i64::from(*power))));
                        }
                    }
                    if linear {
                        coeff = coeff + product(&others);
                    } else {
                        rest.push(term.clone());
                    }
                }
                Some((coeff, Dim::from_terms(rest, sum.constant)))
            }
        }
    }

    /// Whether this is a constant plus constants times symbols.
    pub fn is_affine(&self) -> bool {
        match self.kind() {
            Kind::Int(_) | Kind::Symbol(_) => true,
            Kind::Func(_) => false,
            Kind::Sum(sum) => sum
                .terms
                .iter()
                .all(|term| matches!(term.factors.as_slice(), [(factor, 1)] if factor.as_symbol().is_some())),
        }
    }

    /// Whether this is linear in the given symbols together: each term has at most one of them, to the
    /// first power, and nothing else depends on them. Coefficients may be symbolic.
    pub fn is_affine_in(&self, symbols: &BTreeSet<Symbol>) -> bool {
        let wanted = |s: &Symbol| symbols.contains(s);
        match self.kind() {
            Kind::Int(_) | Kind::Symbol(_) => true,
            Kind::Func(_) => !self.mentions(&wanted),
            Kind::Sum(sum) => sum.terms.iter().all(|term| {
                let mut used = 0u32;
                term.factors.iter().all(|(factor, power)| {
                    match factor.as_symbol() {
                        Some(symbol) if symbols.contains(symbol) => {
                            used = used.saturating_add(*power);
                        }
                        _ if factor.mentions(&wanted) => return false,
                        _ => {}
                    }
                    used <= 1
                })
            }),
        }
    }
}
