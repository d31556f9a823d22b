//! Simplification under a scope: divisions and remainders that ranges decide, dominated maxima and minima, known
//! equalities and remainders.

use super::division::{common_factor, divide, divide_term};
use super::expr::{Dim, Func, Kind, Term};
use super::pred::Pred;
use super::scope::{Proof, Residue, Scope};

/// How often the result of one rule is simplified again.
pub(super) const ROUNDS: u32 = 12;
/// Maxima and minima with more arguments are not searched for dominated ones.
const MAX_ARGS: usize = 16;

impl Scope {
    /// An expression with the same value for all allowed values of the symbols, wherever the given one is defined.
    pub fn simplify(&self, dim: &Dim) -> Dim {
        self.simplify_rounds(dim, ROUNDS)
    }

    /// A predicate with the same truth value for all allowed values, [`Pred::True`] or [`Pred::False`] where that is
    /// proven.
    pub fn simplify_pred(&self, pred: &Pred) -> Pred {
        match self.prove(pred) {
            Proof::Yes => Pred::True,
            Proof::No => Pred::False,
            Proof::Unknown => match pred {
                Pred::And(parts) => Pred::and(parts.iter().map(|p| self.simplify_pred(p))),
                Pred::Or(parts) => Pred::or(parts.iter().map(|p| self.simplify_pred(p))),
                _ => pred.map(&mut |dim| self.simplify(dim)),
            },
        }
    }

    pub(super) fn simplify_rounds(&self, dim: &Dim, rounds: u32) -> Dim {
        if rounds == 0 {
            return dim.clone();
        }
        match dim.kind() {
            Kind::Int(_) => dim.clone(),
            Kind::Symbol(symbol) => match self.range_of(symbol).as_point() {
                Some(value) => Dim::int(value),
                None => self.rewritten(dim),
            },
            Kind::Sum(sum) => {
                let changes = sum.terms.iter().flat_map(|t| &t.factors).any(|(f, _)| self.may_change(f));
                if !changes {
                    return dim.clone();
                }
                let rebuilt = dim.rebuild(&mut |inner| self.simplify_rounds(inner, rounds));
                self.join_exact(rebuilt, rounds)
            }
            Kind::Func(func) => {
                let rebuilt = match func {
                    Func::FloorDiv(a, b) => {
                        let (a, b) = (self.simplify_rounds(a, rounds), self.simplify_rounds(b, rounds));
                        return self.settle(dim, a.floor_div(&b), rounds);
                    }
                    Func::Mod(a, b) => {
                        let (a, b) = (self.simplify_rounds(a, rounds), self.simplify_rounds(b, rounds));
                        return self.settle(dim, a.modulo(&b), rounds);
                    }
                    Func::Max(args) => self.extremum(args, rounds, true),
                    Func::Min(args) => self.extremum(args, rounds, false),
                    Func::Where(pred, a, b) => match self.prove_rounds(pred, rounds - 1) {
                        Proof::Yes => return self.simplify_rounds(a, rounds),
                        Proof::No => return self.simplify_rounds(b, rounds),
                        Proof::Unknown => dim.rebuild(&mut |inner| self.simplify_rounds(inner, rounds)),
                    },
                    _ => dim.rebuild(&mut |inner| self.simplify_rounds(inner, rounds)),
                };
                self.rewritten(&rebuilt)
            }
        }
    }

    /// Whether simplification could change an expression: it has a function, or a symbol that is not free.
    fn may_change(&self, dim: &Dim) -> bool {
        match dim.kind() {
            Kind::Int(_) => false,
            Kind::Symbol(symbol) => self.range_of(symbol).as_point().is_some() || self.rewritten(dim) != *dim,
            Kind::Sum(sum) => sum.terms.iter().flat_map(|t| &t.factors).any(|(f, _)| self.may_change(f)),
            Kind::Func(_) => true,
        }
    }

    /// The known value of a symbol or function.
    fn rewritten(&self, dim: &Dim) -> Dim {
        self.rewrites.iter().find(|(part, _)| part == dim).map_or_else(|| dim.clone(), |(_, value)| value.clone())
    }

    /// Simplifies a quotient or remainder that has been rebuilt: where it is still one, by the rules for it; where it
    /// became something else, that is simplified in turn.
    fn settle(&self, before: &Dim, rebuilt: Dim, rounds: u32) -> Dim {
        let rebuilt = self.rewritten(&rebuilt);
        let ruled = match rebuilt.kind() {
            Kind::Func(Func::FloorDiv(a, b)) => self.floor_div_rules(a, b),
            Kind::Func(Func::Mod(a, b)) => self.modulo_rules(a, b),
            _ if rebuilt == *before => None,
            _ => Some(rebuilt.clone()),
        };
        match ruled {
            Some(changed) => self.simplify_rounds(&changed, rounds - 1),
            None => rebuilt,
        }
    }

    fn floor_div_rules(&self, a: &Dim, b: &Dim) -> Option<Dim> {
        if self.is_at_least(&-b, 1) {
            return Some((-a).floor_div(&-b))
                .filter(|flipped| !matches!(flipped.kind(), Kind::Func(Func::FloorDiv(x, y)) if x == a && y == b));
        }
        if !self.is_at_least(b, 1) {
            return None;
        }
        if let Some(quotient) = self.constant_quotient(a, b) {
            return Some(Dim::int(quotient));
        }
        if let Some((multiple, rest)) = self.exact_part(a, b)
            && !rest.modulo(b).is_zero()
        {
            return Some(multiple.floor_div(b) + rest.floor_div(b));
        }
        // (g·x + y) // (g·z) = x // z for 0 <= y < g.
        if let Some((_, x, z, _)) = self.digits(a, b) {
            return Some(x.floor_div(&z));
        }
        // (x // m + c) // b = (x + c·m) // (m·b), also for a symbolic b > 0.
        let (plain, offset) = a.split_constant();
        if let Kind::Func(Func::FloorDiv(x, m)) = plain.kind() {
            return Some((x + &(m * offset)).floor_div(&(m * b)));
        }
        None
    }

    fn modulo_rules(&self, a: &Dim, b: &Dim) -> Option<Dim> {
        if !self.is_at_least(b, 1) {
            return None;
        }
        if let Some(quotient) = self.constant_quotient(a, b) {
            return Some(a - &(b * quotient));
        }
        if let Some((_, rest)) = self.exact_part(a, b) {
            return Some(rest.modulo(b));
        }
        // An inner remainder is transparent where its multiple of b is a multiple of its own divisor.
        let (terms, _) = a.terms();
        for term in terms.iter() {
            let inner = term.factors.iter().find_map(|(factor, _)| match factor.kind() {
                Kind::Func(Func::Mod(x, m)) => Some((factor, x, m)),
                _ => None,
            });
            if let Some((factor, x, m)) = inner {
                let own = Dim::from_terms(vec![term.clone()], 0);
                let coeff = divide(&own, factor).0;
                let (_, rest) = divide(&(&coeff * m), b);
                if rest.is_zero() && !coeff.is_zero() {
                    return Some((a - &own + &coeff * x).modulo(b));
                }
            }
        }
        // (g·x + y) % (g·z) = g·(x % z) + y for 0 <= y < g.
        if let Some((g, x, z, y)) = self.digits(a, b) {
            return Some(g * x.modulo(&z) + y);
        }
        None
    }

    /// The quotient, where it is the same for all allowed values: 0, -1, or given by constant bounds.
    fn constant_quotient(&self, a: &Dim, b: &Dim) -> Option<i64> {
        if self.is_within(a, b) {
            return Some(0);
        }
        if let Some(divisor) = b.as_int() {
            let range = self.bounds(a);
            let (low, high) = (range.min?.div_euclid(divisor), range.max?.div_euclid(divisor));
            return (low == high).then_some(low);
        }
        self.is_within(&(a + b), b).then_some(-1)
    }

    /// Splits `a = g·x + y` and `b = g·z` with `0 <= y < g`, as `(g, x, z, y)`.
    fn digits(&self, a: &Dim, b: &Dim) -> Option<(Dim, Dim, Dim, Dim)> {
        let (terms, _) = a.terms();
        let mut tried: Vec<Dim> = Vec::new();
        for term in terms.iter() {
            let own = Dim::from_terms(vec![term.clone()], 0);
            let (g, _, z) = common_factor(&own, b);
            if g.is_one() || tried.contains(&g) || !self.is_at_least(&g, 1) {
                continue;
            }
            let (x, y) = by_terms(a, &g);
            if !x.is_zero() && self.is_within(&y, &g) {
                return Some((g, x, z, y));
            }
            tried.push(g);
        }
        None
    }

    /// Splits `a` into a part that known remainders show to be a multiple of the constant `b`, and the rest.
    fn exact_part(&self, a: &Dim, b: &Dim) -> Option<(Dim, Dim)> {
        let b = b.as_int().filter(|b| *b != 0)?;
        self.residues.iter().find_map(|Residue { dim, modulus, remainder }| {
            let base = dim - *remainder;
            let (base_terms, _) = base.terms();
            let (terms, _) = a.terms();
            let lead = base_terms.first()?;
            let scale = terms.iter().find_map(|t| divide_term(t, lead))?;
            let factor = scale.terms().0.first().map_or(scale.as_int(), |t| Some(t.coeff))?;
            if factor.checked_mul(*modulus)? % b != 0 {
                return None;
            }
            let multiple = &base * &scale;
            let rest = a - &multiple;
            Some((multiple, rest))
        })
    }

    /// Replaces `c·k·(a // k)` by `c·a` where `a` is known to be a multiple of `k`.
    fn join_exact(&self, dim: Dim, rounds: u32) -> Dim {
        if self.residues.is_empty() && self.rewrites.is_empty() {
            return dim;
        }
        let (terms, _) = dim.terms();
        for term in terms.iter() {
            for (factor, _) in &term.factors {
                let Kind::Func(Func::FloorDiv(a, k)) = factor.kind() else { continue };
                let own = Dim::from_terms(vec![term.clone()], 0);
                let (others, _) = divide(&own, factor);
                let (scale, left) = divide_by(&others, k);
                if scale.is_zero() || !left.is_zero() {
                    continue;
                }
                if self.simplify_rounds(&a.modulo(k), rounds / 2).is_zero() {
                    let joined = &dim - &own + scale * a;
                    return self.join_exact(joined, rounds);
                }
            }
        }
        dim
    }

    fn extremum(&self, args: &[Dim], rounds: u32, greatest: bool) -> Dim {
        let args: Vec<Dim> = args.iter().map(|a| self.simplify_rounds(a, rounds)).collect();
        let whole = if greatest { Dim::max_of(args) } else { Dim::min_of(args) };
        let args = match whole.kind() {
            Kind::Func(Func::Max(args)) if greatest => args,
            Kind::Func(Func::Min(args)) if !greatest => args,
            _ => return whole,
        };
        if args.len() > MAX_ARGS {
            return whole;
        }
        let mut kept: Vec<Dim> = Vec::with_capacity(args.len());
        for arg in args {
            let beaten = |by: &Dim, this: &Dim| {
                let room = if greatest { by - this } else { this - by };
                self.is_nonnegative(&room)
            };
            if kept.iter().any(|other| beaten(other, arg)) {
                continue;
            }
            kept.retain(|other| !beaten(arg, other));
            kept.push(arg.clone());
        }
        if greatest { Dim::max_of(kept) } else { Dim::min_of(kept) }
    }
}

/// Division by any non-zero expression, constants included.
fn divide_by(a: &Dim, b: &Dim) -> (Dim, Dim) {
    match b.as_int() {
        Some(0) => (Dim::ZERO, a.clone()),
        Some(k) => match super::arith::divide_exactly(a, k) {
            Some(quotient) => (quotient, Dim::ZERO),
            None => (Dim::ZERO, a.clone()),
        },
        None => divide(a, b),
    }
}

/// Sorts the terms of `a` into multiples of the monomial `g`, divided by it, and the rest. A constant term is split
/// where `g` is a constant.
fn by_terms(a: &Dim, g: &Dim) -> (Dim, Dim) {
    let (terms, constant) = a.terms();
    let (mut multiple, mut rest): (Dim, Vec<Term>) = (Dim::ZERO, Vec::new());
    for term in terms.iter() {
        let own = Dim::from_terms(vec![term.clone()], 0);
        let (quotient, left) = divide_by(&own, g);
        if left.is_zero() {
            multiple = multiple + quotient;
        } else {
            rest.push(term.clone());
        }
    }
    match g.as_int() {
        Some(g) if g > 0 => (multiple + constant.div_euclid(g), Dim::from_terms(rest, constant.rem_euclid(g))),
        _ => (multiple, Dim::from_terms(rest, constant)),
    }
}
