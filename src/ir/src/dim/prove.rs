//! Proofs of predicates under a scope.
//!
//! Everything is reduced to "`d` is never negative". Interval arithmetic settles most questions; otherwise parts of
//! `d` are replaced, one after the other, by something that is not larger: a division by its defining inequality, a
//! remainder by its bounds, a maximum by one of its arguments, a loop variable by the end of its symbolic range, and
//! known facts are subtracted. The search is bounded by a step count, never by time.

use std::collections::HashSet;

use super::arith::gcd;
use super::division::{common_factor, divide_term};
use super::expr::{Dim, Func, Kind, Term};
use super::pred::Pred;
use super::scope::{Proof, Scope};
use super::simplify::ROUNDS;

/// Replacements tried for one question.
const STEPS: u32 = 120;
/// Expressions with more nodes are not searched: clearing divisions multiplies their size.
const SIZE: u32 = 100;
/// Facts that are combined for one question.
const FACTS: u32 = 2;

/// What is left of the search's allowance.
struct Budget {
    steps: u32,
    facts: u32,
    /// Expressions already searched without success: different orders of replacement meet again.
    failed: HashSet<Dim>,
}

impl Budget {
    /// Spends at most half of the steps on one of several alternatives, so that a hopeless one leaves some to the
    /// others.
    fn attempt(&mut self, search: impl FnOnce(&mut Budget) -> bool) -> bool {
        let half = self.steps.div_ceil(2);
        let kept = self.steps - half;
        self.steps = half;
        let found = search(self);
        self.steps += kept;
        found
    }
}

impl Scope {
    /// Whether the predicate holds for all allowed values of the symbols, for none, or neither is known.
    ///
    /// Values are those of exact integer arithmetic wherever both sides are defined.
    pub fn prove(&self, pred: &Pred) -> Proof {
        self.prove_rounds(pred, ROUNDS)
    }

    /// A proof that simplifies the operands for that many rounds.
    pub(super) fn prove_rounds(&self, pred: &Pred, rounds: u32) -> Proof {
        match pred {
            Pred::True => return Proof::Yes,
            Pred::False => return Proof::No,
            _ => {}
        }
        match self.assumed_proof(pred) {
            Proof::Unknown => {}
            known => return known,
        }
        match pred {
            Pred::And(parts) => all(parts.iter().map(|p| self.prove_rounds(p, rounds))),
            Pred::Or(parts) => all(parts.iter().map(|p| self.prove_rounds(p, rounds).negate())).negate(),
            _ => self.prove_comparison(pred, rounds),
        }
    }

    fn prove_comparison(&self, pred: &Pred, rounds: u32) -> Proof {
        // Before simplification, the operands may decide by themselves.
        match self.quick(pred) {
            Proof::Unknown => {}
            known => return known,
        }
        let simple = pred.map(&mut |dim| self.simplify_rounds(dim, rounds));
        if simple != *pred {
            match self.quick(&simple) {
                Proof::Unknown => {}
                known => return known,
            }
        }
        match &simple {
            Pred::True => Proof::Yes,
            Pred::False => Proof::No,
            Pred::Le(a, b) => self.decide_nonnegative(&(b - a)),
            Pred::Lt(a, b) => self.decide_nonnegative(&(b - a - 1)),
            Pred::Eq(a, b) => self.decide_zero(&(a - b)),
            Pred::Ne(a, b) => self.decide_zero(&(a - b)).negate(),
            Pred::And(_) | Pred::Or(_) => Proof::Unknown,
        }
    }

    fn assumed_proof(&self, pred: &Pred) -> Proof {
        if self.assumed.is_empty() {
            Proof::Unknown
        } else if self.assumed.contains(pred) {
            Proof::Yes
        } else if self.assumed.contains(&pred.clone().not()) {
            Proof::No
        } else {
            Proof::Unknown
        }
    }

    /// Decides a predicate by interval arithmetic alone.
    pub(super) fn quick(&self, pred: &Pred) -> Proof {
        let sign = |a: &Dim, b: &Dim, slack: i64| {
            let room = self.bounds(&(b - a - slack));
            if room.min.is_some_and(|min| min >= 0) {
                Proof::Yes
            } else if room.max.is_some_and(|max| max < 0) {
                Proof::No
            } else {
                Proof::Unknown
            }
        };
        let equal = |a: &Dim, b: &Dim| {
            let difference = self.bounds(&(a - b));
            match difference.as_point() {
                Some(0) => Proof::Yes,
                _ if !difference.contains(0) => Proof::No,
                _ => Proof::Unknown,
            }
        };
        match pred {
            Pred::True => Proof::Yes,
            Pred::False => Proof::No,
            Pred::Le(a, b) => sign(a, b, 0),
            Pred::Lt(a, b) => sign(a, b, 1),
            Pred::Eq(a, b) => equal(a, b),
            Pred::Ne(a, b) => equal(a, b).negate(),
            Pred::And(parts) => all(parts.iter().map(|p| self.quick(p))),
            Pred::Or(parts) => all(parts.iter().map(|p| self.quick(p).negate())).negate(),
        }
    }

    fn decide_nonnegative(&self, d: &Dim) -> Proof {
        if self.is_nonnegative(d) {
            Proof::Yes
        } else if self.is_nonnegative(&(-d - 1)) {
            Proof::No
        } else {
            Proof::Unknown
        }
    }

    fn decide_zero(&self, d: &Dim) -> Proof {
        let leaves_remainder = |modulus: i64| {
            let remainder = self.simplify_rounds(&d.modulo(&Dim::int(modulus)), ROUNDS / 2);
            remainder.as_int().is_some_and(|r| r != 0)
        };
        if self.residues.iter().any(|residue| leaves_remainder(residue.modulus)) {
            return Proof::No;
        }
        let not_below = self.is_nonnegative(d);
        if not_below && self.is_nonnegative(&-d) {
            Proof::Yes
        } else if self.is_nonnegative(&(d - 1)) || (!not_below && self.is_nonnegative(&(-d - 1))) {
            Proof::No
        } else {
            Proof::Unknown
        }
    }

    /// Whether the expression is proven to be at least 0.
    pub(super) fn is_nonnegative(&self, d: &Dim) -> bool {
        self.nonnegative_within(d, &mut Budget { steps: STEPS, facts: FACTS, failed: HashSet::new() })
    }

    /// Whether `0 <= d < bound` is proven.
    pub(super) fn is_within(&self, d: &Dim, bound: &Dim) -> bool {
        self.is_nonnegative(d) && self.is_nonnegative(&(bound - d - 1))
    }

    fn nonnegative_within(&self, d: &Dim, budget: &mut Budget) -> bool {
        let range = self.bounds(d);
        if range.min.is_some_and(|min| min >= 0) {
            return true;
        }
        if d.is_int() || range.max.is_some_and(|max| max < 0) || budget.steps == 0 || d.size() > SIZE {
            return false;
        }
        if !budget.failed.insert(d.clone()) {
            return false;
        }
        budget.steps -= 1;
        if let Some(tighter) = tighten(d) {
            return self.nonnegative_within(&tighter, budget);
        }
        if let Some((factor, rest)) = shared_factor(d)
            && self.is_at_least(&factor, 0)
        {
            return self.nonnegative_within(&rest, budget);
        }
        if let Some(function) = top_level(d, &|factor| matches!(factor.kind(), Kind::Func(_))) {
            let (coeff, rest) = split(d, &function);
            if self.without_function(&function, &coeff, &rest, budget) {
                return true;
            }
        }
        budget.attempt(|half| self.without_symbol(d, half)) || self.with_facts(d, budget)
    }

    /// Replaces a function in `coeff·function + rest` by something smaller.
    fn without_function(&self, function: &Dim, coeff: &Dim, rest: &Dim, budget: &mut Budget) -> bool {
        let Kind::Func(func) = function.kind() else {
            return false;
        };
        let (up, down) = (self.is_at_least(coeff, 0), self.is_at_least(&-coeff, 0));
        let mut try_value = |value: &Dim| budget.attempt(|half| self.nonnegative_within(&(coeff * value + rest), half));
        match func {
            Func::FloorDiv(a, k) if self.is_at_least(k, 1) => {
                // With q = a // k: q >= -r holds exactly where a >= -r·k, and q <= r where a < (r + 1)·k.
                let cleared = match coeff.as_int() {
                    Some(1) => a + &(k * rest),
                    Some(-1) => k * rest + k - 1 - a,
                    _ if up => coeff * &(a - k + 1) + k * rest,
                    _ if down => coeff * a + k * rest,
                    _ => return false,
                };
                self.nonnegative_within(&cleared, budget)
            }
            Func::Mod(_, k) if up && self.is_at_least(k, 1) => try_value(&Dim::ZERO),
            Func::Mod(a, k) if down && self.is_at_least(k, 1) => {
                try_value(&(k - 1)) || (self.is_at_least(a, 0) && try_value(a))
            }
            Func::Max(args) if up => args.iter().any(try_value),
            Func::Min(args) if down => args.iter().any(try_value),
            Func::Max(args) | Func::Min(args) => args.iter().all(try_value),
            Func::Where(_, a, b) => try_value(a) && try_value(b),
            _ => false,
        }
    }

    /// Subtracts known non-negative expressions.
    fn with_facts(&self, d: &Dim, budget: &mut Budget) -> bool {
        if budget.facts == 0 || self.nonnegative.is_empty() {
            return false;
        }
        budget.facts -= 1;
        let (terms, _) = d.terms();
        let found = self.nonnegative.iter().any(|fact| {
            let (fact_terms, _) = fact.terms();
            fact_terms.iter().any(|own| terms.iter().any(|term| self.without_term(d, term, fact, own, budget)))
        });
        budget.facts += 1;
        found
    }

    /// Subtracts a multiple of a known non-negative expression, the multiple being non-negative too and such that the
    /// expression's term `own` cancels `term`.
    fn without_term(&self, d: &Dim, term: &Term, fact: &Dim, own: &Term, budget: &mut Budget) -> bool {
        if (own.coeff < 0) != (term.coeff < 0) || budget.steps == 0 {
            return false;
        }
        let unit = |t: &Term| Term { factors: t.factors.clone(), coeff: 1 };
        let Some(scale) = divide_term(&unit(term), &unit(own)) else {
            return false;
        };
        if !self.is_at_least(&scale, 0) {
            return false;
        }
        // |b|·d - |a|·scale·fact has no such term any more; d is at least that, divided by |b| > 0.
        let g = gcd(own.coeff.unsigned_abs(), term.coeff.unsigned_abs()).max(1);
        let (Ok(a), Ok(b)) =
            (i64::try_from(term.coeff.unsigned_abs() / g), i64::try_from(own.coeff.unsigned_abs() / g))
        else {
            return false;
        };
        let rest = d * b - scale * fact * a;
        budget.attempt(|half| self.nonnegative_within(&rest, half))
    }

    /// Replaces a symbol that has a symbolic range, or a constant range and a symbolic coefficient, by the end of the
    /// range where the expression is least.
    fn without_symbol(&self, d: &Dim, budget: &mut Budget) -> bool {
        // The innermost loop variable first: its range may depend on the outer ones.
        let (terms, _) = d.terms();
        let innermost = terms
            .iter()
            .flat_map(|t| &t.factors)
            .filter_map(|(factor, _)| Some((self.loops.get(factor.as_symbol()?)?, factor)))
            .max_by_key(|(range, _)| range.depth);
        if let Some((range, factor)) = innermost {
            let (coeff, rest) = split(d, factor);
            let end = if self.is_at_least(&coeff, 0) {
                &range.lo
            } else if self.is_at_least(&-&coeff, 0) {
                &range.last
            } else {
                return false;
            };
            return self.nonnegative_within(&(coeff * end + rest), budget);
        }
        let nonlinear = |t: &&Term| t.factors.len() > 1 || t.factors.iter().any(|(_, power)| *power > 1);
        for (factor, _) in terms.iter().filter(nonlinear).flat_map(|t| &t.factors) {
            let Some(symbol) = factor.as_symbol() else {
                continue;
            };
            let range = self.range_of(symbol);
            let (coeff, rest) = split(d, factor);
            let end = match (range.min, range.max) {
                (Some(min), _) if self.is_at_least(&coeff, 0) => min,
                (_, Some(max)) if self.is_at_least(&-&coeff, 0) => max,
                _ => continue,
            };
            return self.nonnegative_within(&(coeff * end + rest), budget);
        }
        false
    }
}

/// Yes where all are yes, no where any is no.
fn all(proofs: impl Iterator<Item = Proof>) -> Proof {
    let mut result = Proof::Yes;
    for proof in proofs {
        match proof {
            Proof::No => return Proof::No,
            Proof::Unknown => result = Proof::Unknown,
            Proof::Yes => {}
        }
    }
    result
}

/// Divides by the integer content: `g·t + c >= 0` holds exactly where `t + c // g >= 0`.
fn tighten(d: &Dim) -> Option<Dim> {
    let (terms, constant) = d.terms();
    let g = terms.iter().fold(0, |g, t| gcd(g, t.coeff.unsigned_abs()));
    let g = i64::try_from(g).ok().filter(|g| *g > 1)?;
    let terms = terms.iter().map(|t| Term { factors: t.factors.clone(), coeff: t.coeff / g }).collect();
    Some(Dim::from_terms(terms, constant.div_euclid(g)))
}

/// The factors that all terms share, and the expression divided by them.
fn shared_factor(d: &Dim) -> Option<(Dim, Dim)> {
    let (terms, constant) = d.terms();
    if constant != 0 || terms.len() < 2 {
        return None;
    }
    let (factor, rest, _) = common_factor(d, &Dim::ZERO);
    (!factor.is_int()).then_some((factor, rest))
}

/// The largest factor of a term that satisfies the condition.
fn top_level(d: &Dim, wanted: &dyn Fn(&Dim) -> bool) -> Option<Dim> {
    let (terms, _) = d.terms();
    terms
        .iter()
        .flat_map(|t| &t.factors)
        .map(|(factor, _)| factor)
        .filter(|factor| wanted(factor))
        .max_by_key(|factor| factor.size())
        .cloned()
}

/// `(coeff, rest)` with `d == coeff·factor + rest`, where the factor may occur in both again (in powers, or inside
/// functions).
fn split(d: &Dim, factor: &Dim) -> (Dim, Dim) {
    let (terms, constant) = d.terms();
    let (mut coeff, mut rest) = (Dim::ZERO, Vec::new());
    for term in terms.iter() {
        match term.factors.iter().position(|(f, _)| f == factor) {
            None => rest.push(term.clone()),
            Some(at) => {
                let mut factors = term.factors.clone();
                let power = factors.get_mut(at).map(|(_, power)| {
                    *power -= 1;
                    *power
                });
                if power == Some(0) {
                    factors.remove(at);
                }
                let part = if factors.is_empty() {
                    Dim::int(term.coeff)
                } else {
                    Dim::from_terms(vec![Term { factors, coeff: term.coeff }], 0)
                };
                coeff = coeff + part;
            }
        }
    }
    (coeff, Dim::from_terms(rest, constant))
}
