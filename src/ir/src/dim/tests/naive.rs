//! A deterministic generator of random expressions, each as a plain tree that is evaluated directly
//! (the oracle) and as the [`Dim`] that the constructors build from it.

use crate::dim::{Dim, Pred, Symbol};

/// A small linear congruential generator: the tests must not depend on a seed from outside.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number in `0..bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }
}

/// The variables of the generated expressions.
pub(super) const NAMES: [&str; 3] = ["x", "y", "z"];

/// An expression tree.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Int(i64),
    Var(usize),
    Add(Box<Tree>, Box<Tree>),
    Sub(Box<Tree>, Box<Tree>),
    Mul(Box<Tree>, Box<Tree>),
    FloorDiv(Box<Tree>, Box<Tree>),
    Mod(Box<Tree>, Box<Tree>),
    CeilDiv(Box<Tree>, Box<Tree>),
    Max(Box<Tree>, Box<Tree>),
    Min(Box<Tree>, Box<Tree>),
    Abs(Box<Tree>),
    Square(Box<Tree>),
    Where(Box<Cond>, Box<Tree>, Box<Tree>),
}

/// A condition tree.
#[derive(Clone, Debug)]
pub(super) enum Cond {
    Eq(Tree, Tree),
    Ne(Tree, Tree),
    Lt(Tree, Tree),
    Le(Tree, Tree),
    Gt(Tree, Tree),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
    Not(Box<Cond>),
}

impl Tree {
    /// A random tree of at most the given height.
    pub(super) fn random(random: &mut Random, height: u32) -> Tree {
        if height == 0 || random.below(6) == 0 {
            return match random.below(3) {
                0 => Tree::Int(random.between(-7, 9)),
                _ => Tree::Var(random.below(NAMES.len() as u64) as usize),
            };
        }
        let kind = random.below(16);
        let left = Box::new(Tree::random(random, height - 1));
        let right = Box::new(Tree::random(random, height - 1));
        match kind {
            0..=2 => Tree::Add(left, right),
            3 => Tree::Sub(left, right),
            4 | 5 => Tree::Mul(left, right),
            6 | 7 => Tree::FloorDiv(left, divisor(random, right)),
            8 | 9 => Tree::Mod(left, divisor(random, right)),
            10 => Tree::CeilDiv(left, divisor(random, right)),
            11 => Tree::Max(left, right),
            12 => Tree::Min(left, right),
            13 => Tree::Abs(left),
            14 => Tree::Square(left),
            _ => Tree::Where(Box::new(Cond::random(random, height - 1)), left, right),
        }
    }

    /// Replaces some constants by ones near the ends of 64 bits.
    pub(super) fn enlarge(&mut self, random: &mut Random) {
        match self {
            Tree::Int(value) => {
                let near = random.between(0, 3);
                match random.below(4) {
                    0 => *value = i64::MAX - near,
                    1 => *value = i64::MIN + near,
                    2 => *value = (i64::MAX >> 1) + near,
                    _ => {}
                }
            }
            Tree::Var(_) => {}
            Tree::Abs(a) | Tree::Square(a) => a.enlarge(random),
            Tree::Add(a, b)
            | Tree::Sub(a, b)
            | Tree::Mul(a, b)
            | Tree::FloorDiv(a, b)
            | Tree::Mod(a, b)
            | Tree::CeilDiv(a, b)
            | Tree::Max(a, b)
            | Tree::Min(a, b)
            | Tree::Where(_, a, b) => {
                a.enlarge(random);
                b.enlarge(random);
            }
        }
    }

    /// The value, or `None` where it is undefined (division by zero, beyond 64 bits).
    pub(super) fn eval(&self, vars: &[i64]) -> Option<i64> {
        let floor = |a: i64, b: i64| {
            if b == 0 {
                return None;
            }
            let (a, b) = (i128::from(a), i128::from(b));
            // Rounded towards minus infinity by exact search around the truncated quotient.
            let mut q = a / b + 1;
            while (b > 0 && q * b > a) || (b < 0 && q * b < a) {
                q -= 1;
            }
            i64::try_from(q).ok()
        };
        Some(match self {
            Tree::Int(value) => *value,
            Tree::Var(at) => *vars.get(*at)?,
            Tree::Add(a, b) => a.eval(vars)?.checked_add(b.eval(vars)?)?,
            Tree::Sub(a, b) => a.eval(vars)?.checked_sub(b.eval(vars)?)?,
            Tree::Mul(a, b) => a.eval(vars)?.checked_mul(b.eval(vars)?)?,
            Tree::FloorDiv(a, b) => floor(a.eval(vars)?, b.eval(vars)?)?,
            Tree::Mod(a, b) => {
                let (a, b) = (a.eval(vars)?, b.eval(vars)?);
                let whole = i128::from(floor(a, b)?) * i128::from(b);
                i64::try_from(i128::from(a) - whole).ok()?
            }
            Tree::CeilDiv(a, b) => floor(a.eval(vars)?.checked_neg()?, b.eval(vars)?)?.checked_neg()?,
            Tree::Max(a, b) => a.eval(vars)?.max(b.eval(vars)?),
            Tree::Min(a, b) => a.eval(vars)?.min(b.eval(vars)?),
            Tree::Abs(a) => a.eval(vars)?.checked_abs()?,
            Tree::Square(a) => a.eval(vars)?.checked_pow(2)?,
            Tree::Where(cond, a, b) => {
                if cond.eval(vars)? {
                    a.eval(vars)?
                } else {
                    b.eval(vars)?
                }
            }
        })
    }

    /// The tree through the canonicalising constructors.
    pub(super) fn dim(&self) -> Dim {
        match self {
            Tree::Int(value) => Dim::int(*value),
            Tree::Var(at) => Dim::sym(NAMES[*at]),
            Tree::Add(a, b) => a.dim() + b.dim(),
            Tree::Sub(a, b) => a.dim() - b.dim(),
            Tree::Mul(a, b) => a.dim() * b.dim(),
            Tree::FloorDiv(a, b) => a.dim().floor_div(&b.dim()),
            Tree::Mod(a, b) => a.dim().modulo(&b.dim()),
            Tree::CeilDiv(a, b) => a.dim().ceil_div(&b.dim()),
            Tree::Max(a, b) => a.dim().max(b.dim()),
            Tree::Min(a, b) => a.dim().min(b.dim()),
            Tree::Abs(a) => a.dim().abs(),
            Tree::Square(a) => a.dim().pow(&Dim::int(2)),
            Tree::Where(cond, a, b) => Dim::where_(cond.pred(), a.dim(), b.dim()),
        }
    }
}

/// Mostly constants: those are the divisors that shapes have.
fn divisor(random: &mut Random, other: Box<Tree>) -> Box<Tree> {
    match random.below(4) {
        0 => other,
        1 => Box::new(Tree::Var(random.below(NAMES.len() as u64) as usize)),
        _ => Box::new(Tree::Int(random.between(-3, 9))),
    }
}

impl Cond {
    /// A random condition of at most the given height.
    pub(super) fn random(random: &mut Random, height: u32) -> Cond {
        let kind = random.below(if height == 0 { 5 } else { 8 });
        if kind >= 5 {
            let left = Box::new(Cond::random(random, height - 1));
            let right = Box::new(Cond::random(random, height - 1));
            return match kind {
                5 => Cond::And(left, right),
                6 => Cond::Or(left, right),
                _ => Cond::Not(left),
            };
        }
        let height = height.min(2);
        let left = Tree::random(random, height);
        let right = Tree::random(random, height);
        match kind {
            0 => Cond::Eq(left, right),
            1 => Cond::Ne(left, right),
            2 => Cond::Lt(left, right),
            3 => Cond::Le(left, right),
            _ => Cond::Gt(left, right),
        }
    }

    /// The truth value, or `None` where any part is undefined.
    pub(super) fn eval(&self, vars: &[i64]) -> Option<bool> {
        Some(match self {
            Cond::Eq(a, b) => a.eval(vars)? == b.eval(vars)?,
            Cond::Ne(a, b) => a.eval(vars)? != b.eval(vars)?,
            Cond::Lt(a, b) => a.eval(vars)? < b.eval(vars)?,
            Cond::Le(a, b) => a.eval(vars)? <= b.eval(vars)?,
            Cond::Gt(a, b) => a.eval(vars)? > b.eval(vars)?,
            Cond::And(a, b) => {
                let (a, b) = (a.eval(vars)?, b.eval(vars)?);
                a && b
            }
            Cond::Or(a, b) => {
                let (a, b) = (a.eval(vars)?, b.eval(vars)?);
                a || b
            }
            Cond::Not(a) => !a.eval(vars)?,
        })
    }

    /// The condition through the canonicalising constructors.
    pub(super) fn pred(&self) -> Pred {
        match self {
            Cond::Eq(a, b) => Pred::eq(&a.dim(), &b.dim()),
            Cond::Ne(a, b) => Pred::ne(&a.dim(), &b.dim()),
            Cond::Lt(a, b) => Pred::lt(&a.dim(), &b.dim()),
            Cond::Le(a, b) => Pred::le(&a.dim(), &b.dim()),
            Cond::Gt(a, b) => Pred::gt(&a.dim(), &b.dim()),
            Cond::And(a, b) => Pred::and([a.pred(), b.pred()]),
            Cond::Or(a, b) => Pred::or([a.pred(), b.pred()]),
            Cond::Not(a) => a.pred().not(),
        }
    }
}

/// Looks a variable up in a list of values.
pub(super) fn lookup(vars: &[i64]) -> impl Fn(&Symbol) -> Option<i64> {
    move |symbol| {
        let at = NAMES.iter().position(|name| *name == symbol.as_str())?;
        vars.get(at).copied()
    }
}

/// Random values for the variables.
pub(super) fn values(random: &mut Random, low: i64, high: i64) -> [i64; 3] {
    [random.between(low, high), random.between(low, high), random.between(low, high)]
}
