//! Taking in facts: ranges, equalities, divisibility, inequalities.

use super::expr::{Dim, Func, Kind};
use super::interval::Interval;
use super::pred::Pred;
use super::scope::{Residue, Scope};
use super::symbol::Symbol;

impl Scope {
    /// Adds a fact. Besides being remembered as it is, it tightens ranges (`s0 <= 5`, `s0 + s1 <= 512`), makes
    /// equal things interchangeable (`s1 == s0`), and divisions exact (`s0 % 8 == 0`).
    pub fn assume(&mut self, pred: Pred) {
        let pred = pred.canonical();
        match &pred {
            Pred::True => return,
            Pred::And(parts) => {
                for part in parts {
                    self.assume(part.clone());
                }
                return;
            }
            _ if self.assumed.contains(&pred) => return,
            _ => self.assumed.push(pred.clone()),
        }
        match &pred {
            Pred::Le(a, b) => self.learn_nonnegative(&self.simplify(&(b - a))),
            Pred::Lt(a, b) => self.learn_nonnegative(&self.simplify(&(b - a - 1))),
            Pred::Eq(a, b) => self.learn_equal(a, b),
            Pred::Ne(a, b) => self.learn_different(a, b),
            _ => {}
        }
    }

    fn learn_nonnegative(&mut self, d: &Dim) {
        if d.is_int() || self.is_at_least(d, 0) || self.nonnegative.contains(d) {
            return;
        }
        // c·s + rest >= 0 bounds s by the rest's largest value.
        let (terms, _) = d.terms();
        let mut bounds = Vec::new();
        for term in terms.iter() {
            let [(factor, 1)] = term.factors.as_slice() else { continue };
            let Some(symbol) = factor.as_symbol() else { continue };
            let own = Dim::from_terms(vec![term.clone()], 0);
            let Some(most) = self.bounds(&(d - &own)).max else { continue };
            // s >= ceil(-most / c) for c > 0, s <= floor(-most / c) for c < 0.
            let (bound, c) = (-i128::from(most), i128::from(term.coeff));
            let limit = if c > 0 { -floor_div_i128(-bound, c) } else { floor_div_i128(bound, c) };
            let Ok(limit) = i64::try_from(limit) else { continue };
            let range =
                if term.coeff > 0 { Interval::new(Some(limit), None) } else { Interval::new(None, Some(limit)) };
            bounds.push((symbol.clone(), range));
        }
        let simple = terms.len() == 1 && d.is_affine();
        for (symbol, range) in bounds {
            self.narrow(symbol, range);
        }
        if simple {
            return;
        }
        self.nonnegative.push(d.clone());
        // a // k + r >= 0 says a + k·r >= 0, and r - a // k >= 0 says k·r + k - 1 - a >= 0.
        for term in terms.iter() {
            let [(factor, 1)] = term.factors.as_slice() else { continue };
            let Kind::Func(Func::FloorDiv(a, k)) = factor.kind() else { continue };
            if k.as_int().is_none_or(|k| k < 1) {
                continue;
            }
            let rest = k * (d - Dim::from_terms(vec![term.clone()], 0));
            match term.coeff {
                1 => self.learn_nonnegative(&(a + rest)),
                -1 => self.learn_nonnegative(&(rest + k - 1 - a)),
                _ => {}
            }
        }
    }

    fn narrow(&mut self, symbol: Symbol, range: Interval) {
        let known = self.ranges.entry(symbol.clone()).or_default();
        *known = known.intersect(range);
        self.align(&symbol);
    }

    /// Moves the ends of a symbol's range to values with its known remainders.
    pub(super) fn align(&mut self, symbol: &Symbol) {
        let Some(range) = self.ranges.get_mut(symbol) else { return };
        for Residue { dim, modulus, remainder } in &self.residues {
            if dim.as_symbol() != Some(symbol) {
                continue;
            }
            let gap =
                |from: i64, to: i64| i64::try_from((i128::from(to) - i128::from(from)).rem_euclid((*modulus).into()));
            range.min = range.min.and_then(|min| min.checked_add(gap(min, *remainder).ok()?));
            range.max = range.max.and_then(|max| max.checked_sub(gap(*remainder, max).ok()?));
        }
    }

    /// `plain != excluded` moves an end of the range of `plain` that is the excluded value.
    fn learn_different(&mut self, a: &Dim, b: &Dim) {
        let (plain, offset) = (a - b).split_constant();
        let Some(excluded) = offset.checked_neg() else { return };
        let range = self.bounds(&plain);
        if range.min == Some(excluded) {
            self.assume(Pred::gt(&plain, &Dim::int(excluded)));
        } else if range.max == Some(excluded) {
            self.assume(Pred::lt(&plain, &Dim::int(excluded)));
        }
    }

    fn learn_equal(&mut self, a: &Dim, b: &Dim) {
        let difference = self.simplify(&(a - b));
        if difference.is_int() {
            return;
        }
        self.learn_residue(&difference);
        let Some((part, value)) = solve(&difference) else {
            self.learn_nonnegative(&difference);
            self.learn_nonnegative(&-&difference);
            return;
        };
        if let Some(symbol) = part.as_symbol() {
            let range = self.range_of(symbol);
            let loop_range = self.loops.get(symbol).cloned();
            self.add_rewrite(part, value.clone());
            self.bound(&value, range);
            if let Some(range) = loop_range {
                self.assume(Pred::le(&range.lo, &value));
                self.assume(Pred::le(&value, &range.last));
            }
        } else {
            let range = self.bounds(&part);
            self.add_rewrite(part, value.clone());
            self.bound(&value, range);
        }
    }

    /// States that an expression lies in a constant range.
    pub(super) fn bound(&mut self, dim: &Dim, range: Interval) {
        if let Some(min) = range.min {
            self.assume(Pred::ge(dim, &Dim::int(min)));
        }
        if let Some(max) = range.max {
            self.assume(Pred::le(dim, &Dim::int(max)));
        }
    }

    /// From `a % m - r == 0` or its negation: `a` leaves the remainder `r` modulo `m`.
    fn learn_residue(&mut self, difference: &Dim) {
        let (plain, offset) = difference.split_constant();
        for (candidate, offset) in [(plain.clone(), offset.checked_neg()), (-plain, Some(offset))] {
            // The content of `c·(a % m) == r` has been divided out by canonicalisation.
            if let (Kind::Func(Func::Mod(a, m)), Some(remainder)) = (candidate.kind(), offset)
                && let Some(modulus) = m.as_int().filter(|m| *m > 1)
            {
                self.residues.push(Residue { dim: a.clone(), modulus, remainder });
                if let Some(symbol) = a.as_symbol() {
                    self.align(symbol);
                }
            }
        }
    }

    fn add_rewrite(&mut self, part: Dim, value: Dim) {
        let mut rewrites = std::mem::take(&mut self.rewrites);
        for (_, known) in &mut rewrites {
            *known = replace(known, &part, &value);
        }
        rewrites.push((part, value));
        self.rewrites = rewrites;
    }
}

/// `a // b` for a `b` that is not 0.
fn floor_div_i128(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
}

/// Solves `difference == 0` for a symbol, or else for a function, that occurs once with coefficient 1 or -1.
fn solve(difference: &Dim) -> Option<(Dim, Dim)> {
    let (terms, _) = difference.terms();
    let solved = |want_symbol: bool| {
        // The last symbol in order: newer names are expressed by older ones.
        terms.iter().rev().find_map(|term| {
            let [(factor, 1)] = term.factors.as_slice() else { return None };
            if factor.as_symbol().is_some() != want_symbol || term.coeff.unsigned_abs() != 1 {
                return None;
            }
            let own = Dim::from_terms(vec![term.clone()], 0);
            let rest = difference - &own;
            if contains(&rest, factor) {
                return None;
            }
            let value = if term.coeff > 0 { -rest } else { rest };
            Some((factor.clone(), value))
        })
    };
    solved(true).or_else(|| solved(false))
}

fn contains(dim: &Dim, part: &Dim) -> bool {
    if let Some(symbol) = part.as_symbol() {
        return dim.mentions(&|s| s == symbol);
    }
    dim == part
        || match dim.kind() {
            Kind::Int(_) | Kind::Symbol(_) => false,
            Kind::Sum(sum) => sum.terms.iter().flat_map(|t| &t.factors).any(|(f, _)| contains(f, part)),
            Kind::Func(func) => func.args().into_iter().any(|arg| contains(arg, part)),
        }
}

fn replace(dim: &Dim, part: &Dim, value: &Dim) -> Dim {
    if dim == part {
        return value.clone();
    }
    if !contains(dim, part) {
        return dim.clone();
    }
    dim.rebuild(&mut |inner| replace(inner, part, value))
}
