//! The rules, one file per theme. A rule looks at one call and what its operands' classes hold, checks what it needs
//! of the facts, and builds an equal value.
//!
//! Rules go one way, towards what costs less or is found again by another rule; there is no general commutativity or
//! associativity. A rule holds for infinities and NaN and changes no rounding but by the last bit or two, or says
//! what it asks for instead. The sign of a zero may change.

mod attention;
mod constants;
mod functions;
mod identity;
mod reduce;
mod scale;
mod views;

use super::engine::Engine;
use crate::decompose::Val;
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;
use pt2c_ops::shape::broadcast;

/// A call that a rule is applied to.
pub struct Site<'a> {
    /// Its class.
    pub class: Val,
    /// Its operator.
    pub op: &'a str,
    /// Its arguments.
    pub args: Vec<Arg<Val>>,
}

impl Site<'_> {
    /// Operand `i`.
    pub fn tensor(&self, i: usize) -> Option<Val> {
        self.args.get(i)?.as_tensor().copied()
    }

    /// The first two operands.
    pub fn two(&self) -> Option<(Val, Val)> {
        Some((self.tensor(0)?, self.tensor(1)?))
    }

    /// Argument `i`, a list of sizes.
    pub fn dims(&self, i: usize) -> Option<&[Dim]> {
        self.args.get(i)?.as_dims()
    }

    /// Argument `i`, a list of dimension numbers.
    pub fn positions(&self, i: usize) -> Option<Vec<usize>> {
        positions(self.args.get(i)?)
    }
}

/// Dimension numbers in an argument.
pub fn positions(arg: &Arg<Val>) -> Option<Vec<usize>> {
    arg.as_ints()?.into_iter().map(|d| usize::try_from(d).ok()).collect()
}

/// The calls that a rule is tried on.
pub enum Roots {
    /// Calls of these operators.
    Ops(&'static [&'static str]),
    /// All elementwise calls.
    Pointwise,
}

/// A rule.
pub struct Rule {
    /// Its name in explanations.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The calls that it is tried on.
    pub roots: Roots,
    /// How many levels of operands it looks at; 5 if it does not say.
    pub depth: Option<usize>,
    /// Matches, checks, builds. `None` if it does not apply.
    pub apply: fn(&mut Engine<'_>, &Site<'_>) -> Option<Val>,
}

/// All rules.
#[rustfmt::skip]
pub static RULES: &[&[Rule]] = &[
    constants::RULES,
    identity::RULES,
    views::RULES,
    functions::RULES,
    scale::RULES,
    reduce::RULES,
    attention::RULES,
];

/// A rule for calls of these operators.
const fn rule(
    name: &'static str,
    about: &'static str,
    ops: &'static [&'static str],
    apply: fn(&mut Engine<'_>, &Site<'_>) -> Option<Val>,
) -> Rule {
    Rule { name, about, roots: Roots::Ops(ops), depth: None, apply }
}

/// The two operands in both orders.
fn both((a, b): (Val, Val)) -> [(Val, Val); 2] {
    [(a, b), (b, a)]
}

/// `x` in the shape of the call: broadcast where an operand that goes away had made it larger.
fn in_shape(r: &mut Engine<'_>, s: &Site<'_>, x: Val) -> Option<Val> {
    let shape = r.shape(s.class).to_vec();
    if r.equal_shapes(r.shape(x), &shape) {
        return Some(x);
    }
    r.b().expand(x, &shape).ok()
}

/// `x` in another shape of as many elements.
fn reshape(r: &mut Engine<'_>, x: Val, shape: &[Dim]) -> Option<Val> {
    if r.equal_shapes(r.shape(x), shape) {
        return Some(x);
    }
    r.b().reshape(x, shape).ok()
}

/// Whether two values broadcast to the shape of one of them.
fn one_covers(r: &Engine<'_>, a: Val, b: Val) -> bool {
    let Ok(both) = broadcast(r.symbols(), r.shape(a), r.shape(b)) else { return false };
    r.equal_shapes(&both, r.shape(a)) || r.equal_shapes(&both, r.shape(b))
}

/// The sizes of `x` seen as a value of `rank` dimensions, with 1 in front.
fn aligned(r: &Engine<'_>, x: Val, rank: usize) -> Option<Vec<Dim>> {
    let shape = r.shape(x);
    let mut full = vec![Dim::ONE; rank.checked_sub(shape.len())?];
    full.extend_from_slice(shape);
    Some(full)
}
