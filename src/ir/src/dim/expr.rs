//! The representation of an integer expression: constants and symbols inline, everything else a
//! shared node that is a sum of products with integer coefficients or a function application.
//!
//! A `Dim` is only ever built by the canonicalising constructors (`arith`, `division`, `extremum`),
//! so two expressions that the canonical form identifies are structurally equal.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::pred::Pred;
use super::symbol::{StableHasher, Symbol};

/// Nesting above which an expression is replaced by an opaque [`Func::TooLarge`].
pub(super) const MAX_DEPTH: u32 = 128;
/// Number of nodes above which an expression is replaced by an opaque [`Func::TooLarge`].
pub(super) const MAX_SIZE: u32 = 20_000;

/// An integer expression over symbols, always in canonical form.
///
/// Canonical form: a sum of products with integer coefficients, like terms merged, terms and factors
/// sorted, constants folded; divisions, remainders, maxima and so on are atoms with canonical
/// arguments. Equality (`==`) of two expressions proves that their values are equal wherever both
/// are defined (no division by zero); inequality proves nothing. `<` compares the written form: compare values with
/// [`super::Scope::prove_lt`] and the like.
///
/// Arithmetic never panics and never wraps: where a coefficient would not fit an `i64`, the operation
/// stays unevaluated ([`Func::RawAdd`], [`Func::RawMul`]) and reports [`super::EvalError::Overflow`]
/// when evaluated.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Dim(pub(super) Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Repr {
    Int(i64),
    Sym(Symbol),
    Node(Arc<Node>),
}

/// What an expression is made of, for code that takes expressions apart.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A constant.
    Int(i64),
    /// A symbol alone.
    Symbol(&'a Symbol),
    /// At least two summands, or one with a coefficient or several factors.
    Sum(&'a Sum),
    /// A function application.
    Func(&'a Func),
}

/// `constant + Σ coeff · Π factor^power`, terms sorted by their factors, no zero coefficients.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sum {
    /// The non-constant terms.
    pub terms: Vec<Term>,
    /// The constant term.
    pub constant: i64,
}

/// One product of a [`Sum`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Term {
    /// The factors with their powers (at least 1), sorted, never empty. A factor is a symbol, a
    /// function application, or a sum that was too large to multiply out.
    pub factors: Vec<(Dim, u32)>,
    /// The integer coefficient, never zero.
    pub coeff: i64,
}

/// A function application with canonical arguments.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Func {
    /// Division rounding towards minus infinity (Python `//`).
    FloorDiv(Dim, Dim),
    /// Remainder with the divisor's sign (Python `%`).
    Mod(Dim, Dim),
    /// The greatest of at least two arguments, sorted.
    Max(Vec<Dim>),
    /// The least of at least two arguments, sorted.
    Min(Vec<Dim>),
    /// Power with an exponent that is not a constant; undefined for a negative exponent.
    Pow(Dim, Dim),
    /// The second argument where the predicate holds, else the third.
    Where(Pred, Dim, Dim),
    /// A sum whose coefficients overflow `i64`.
    RawAdd(Dim, Dim),
    /// A product whose coefficients overflow `i64`.
    RawMul(Dim, Dim),
    /// An expression beyond the depth or size limit, known only by its fingerprint. It has no value.
    TooLarge(u64),
}

#[derive(Debug)]
pub(super) enum Body {
    Sum(Sum),
    Func(Func),
}

/// A shared inner node with its cached hash, size and depth.
pub(super) struct Node {
    hash: u64,
    size: u32,
    depth: u32,
    pub(super) body: Body,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && match (&self.body, &other.body) {
                (Body::Sum(a), Body::Sum(b)) => a == b,
                (Body::Func(a), Body::Func(b)) => a == b,
                _ => false,
            }
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Func {
    /// The arguments that are expressions, in order; a predicate's come first.
    pub fn args(&self) -> Vec<&Dim> {
        match self {
            Func::FloorDiv(a, b) | Func::Mod(a, b) | Func::Pow(a, b) | Func::RawAdd(a, b) | Func::RawMul(a, b) => {
                vec![a, b]
            }
            Func::Max(args) | Func::Min(args) => args.iter().collect(),
            Func::Where(pred, a, b) => {
                let mut args = pred.dims();
                args.push(a);
                args.push(b);
                args
            }
            Func::TooLarge(_) => Vec::new(),
        }
    }
}

impl Dim {
    /// The constant zero.
    pub const ZERO: Dim = Dim(Repr::Int(0));
    /// The constant one.
    pub const ONE: Dim = Dim(Repr::Int(1));

    /// A constant.
    pub const fn int(value: i64) -> Self {
        Dim(Repr::Int(value))
    }

    /// A symbol.
    pub fn sym(name: impl Into<Symbol>) -> Self {
        Dim(Repr::Sym(name.into()))
    }

    /// The value of a constant expression.
    pub fn as_int(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The symbol, where the expression is a symbol alone.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match &self.0 {
            Repr::Sym(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// Whether this is the constant 0.
    pub fn is_zero(&self) -> bool {
        self.as_int() == Some(0)
    }

    /// Whether this is the constant 1.
    pub fn is_one(&self) -> bool {
        self.as_int() == Some(1)
    }

    /// Whether this is a constant.
    pub fn is_int(&self) -> bool {
        matches!(self.0, Repr::Int(_))
    }

    /// What the expression is made of.
    pub fn kind(&self) -> Kind<'_> {
        match &self.0 {
            Repr::Int(value) => Kind::Int(*value),
            Repr::Sym(symbol) => Kind::Symbol(symbol),
            Repr::Node(node) => match &node.body {
                Body::Sum(sum) => Kind::Sum(sum),
                Body::Func(func) => Kind::Func(func),
            },
        }
    }

    /// Number of nodes of the expression written as a tree (saturating).
    pub fn size(&self) -> u32 {
        match &self.0 {
            Repr::Node(node) => node.size,
            _ => 1,
        }
    }

    fn depth(&self) -> u32 {
        match &self.0 {
            Repr::Node(node) => node.depth,
            _ => 1,
        }
    }

    /// All symbols that occur, sorted.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut found = BTreeSet::new();
        self.collect_symbols(&mut found);
        found
    }

    pub(super) fn collect_symbols(&self, found: &mut BTreeSet<Symbol>) {
        match self.kind() {
            Kind::Int(_) => {}
            Kind::Symbol(symbol) => {
                if !found.contains(symbol) {
                    found.insert(symbol.clone());
                }
            }
            Kind::Sum(sum) => {
                for (factor, _) in sum.terms.iter().flat_map(|t| &t.factors) {
                    factor.collect_symbols(found);
                }
            }
            Kind::Func(func) => {
                for arg in func.args() {
                    arg.collect_symbols(found);
                }
            }
        }
    }

    /// Whether any symbol for which `wanted` holds occurs.
    pub fn mentions(&self, wanted: &dyn Fn(&Symbol) -> bool) -> bool {
        match self.kind() {
            Kind::Int(_) => false,
            Kind::Symbol(symbol) => wanted(symbol),
            Kind::Sum(sum) => sum.terms.iter().flat_map(|t| &t.factors).any(|(factor, _)| factor.mentions(wanted)),
            Kind::Func(func) => func.args().into_iter().any(|arg| arg.mentions(wanted)),
        }
    }

    /// Wraps a function application whose arguments the caller has already canonicalised.
    pub(super) fn from_func(func: Func) -> Dim {
        let (mut size, mut depth) = (1u32, 0);
        for arg in func.args() {
            size = size.saturating_add(arg.size());
            depth = depth.max(arg.depth());
        }
        Dim::from_body(Body::Func(func), size, depth + 1)
    }

    /// Wraps sorted, merged terms and a constant.
    pub(super) fn from_terms(mut terms: Vec<Term>, constant: i64) -> Dim {
        if terms.is_empty() {
            return Dim::int(constant);
        }
        if constant == 0
            && terms.len() == 1
            && let Some(term) = terms.first_mut()
            && term.coeff == 1
            && let [(_, 1)] = term.factors.as_slice()
            && let Some((factor, _)) = term.factors.pop()
        {
            return factor;
        }
        let (mut size, mut depth) = (1u32, 0);
        for (factor, _) in terms.iter().flat_map(|t| &t.factors) {
            size = size.saturating_add(factor.size());
            depth = depth.max(factor.depth());
        }
        Dim::from_body(Body::Sum(Sum { terms, constant }), size, depth + 1)
    }

    fn from_body(body: Body, size: u32, depth: u32) -> Dim {
        let mut hasher = StableHasher::new();
        match &body {
            Body::Sum(sum) => sum.hash(&mut hasher),
            Body::Func(func) => func.hash(&mut hasher),
        }
        let hash = hasher.finish();
        if depth > MAX_DEPTH || size > MAX_SIZE {
            return Dim::from_body(Body::Func(Func::TooLarge(hash)), 1, 1);
        }
        Dim(Repr::Node(Arc::new(Node { hash, size, depth, body })))
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Self {
        Dim::int(value)
    }
}

impl From<Symbol> for Dim {
    fn from(symbol: Symbol) -> Self {
        Dim::sym(symbol)
    }
}

impl From<&Symbol> for Dim {
    fn from(symbol: &Symbol) -> Self {
        Dim::sym(symbol)
    }
}

impl From<&Dim> for Dim {
    fn from(dim: &Dim) -> Self {
        dim.clone()
    }
}

impl Default for Dim {
    fn default() -> Self {
        Dim::ZERO
    }
}
