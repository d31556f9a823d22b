//! Work that changes nothing, or undoes itself.

use super::{Rule, Site, both, in_shape, rule};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::DType;
use pt2c_ops::Scalar;

/// The theme.
pub const RULES: &[Rule] = &[
    rule("add_zero", "x + 0 is x", &["prim.add"], |r, s| neutral(r, s, 0.0)),
    rule("mul_one", "x · 1 is x", &["prim.mul"], |r, s| neutral(r, s, 1.0)),
    rule("sub_zero", "x - 0 is x", &["prim.sub"], |r, s| neutral_right(r, s, 0.0)),
    rule("div_one", "x / 1 is x", &["prim.div"], |r, s| neutral_right(r, s, 1.0)),
    rule("mul_minus_one", "x · -1 is -x", &["prim.mul"], mul_minus_one),
    rule("cast_same", "a cast to the dtype a value has is nothing", &["prim.cast"], cast_same),
    rule("cast_cast", "a cast through a dtype that holds every value is a direct one", &["prim.cast"], cast_cast),
    rule("neg_neg", "-(-x) is x", &["prim.neg"], |r, s| undone(r, s, "prim.neg")),
    rule("not_not", "not not x is x", &["prim.not"], |r, s| undone(r, s, "prim.not")),
    rule("not_equal", "not (a = b) is a ≠ b, and the other way round", &["prim.not"], not_equal),
    rule("and_true", "x and true is x", &["prim.and"], |r, s| neutral_bool(r, s, true)),
    rule("or_false", "x or false is x", &["prim.or"], |r, s| neutral_bool(r, s, false)),
    rule("add_neg", "x + (-y) is x - y", &["prim.add"], add_neg),
    rule("sub_neg", "x - (-y) is x + y", &["prim.sub"], sub_neg),
    rule("abs_abs", "|±x| and ||x|| are |x|", &["prim.abs"], abs_abs),
    rule("where_known", "a choice by a known condition is that choice", &["prim.where"], where_known),
    rule("where_same", "a choice between equals is either", &["prim.where"], where_same),
    rule("where_not", "a choice by a negated condition is the other choice", &["prim.where"], where_not),
];

fn neutral(r: &mut Engine<'_>, s: &Site<'_>, number: f64) -> Option<Val> {
    let (x, _) = both(s.two()?).into_iter().find(|(_, n)| r.number(*n) == Some(number))?;
    in_shape(r, s, x)
}

fn neutral_bool(r: &mut Engine<'_>, s: &Site<'_>, known: bool) -> Option<Val> {
    let is = |v: Val| matches!(r.uniform(v), Some(Scalar::Bool(b)) if b == known);
    let (x, _) = both(s.two()?).into_iter().find(|(_, c)| is(*c))?;
    in_shape(r, s, x)
}

fn neutral_right(r: &mut Engine<'_>, s: &Site<'_>, number: f64) -> Option<Val> {
    let (x, n) = s.two()?;
    if r.number(n) == Some(number) { in_shape(r, s, x) } else { None }
}

fn mul_minus_one(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    if r.dtype(s.class) == DType::Bool {
        return None;
    }
    let (x, _) = both(s.two()?).into_iter().find(|(_, n)| r.number(*n) == Some(-1.0))?;
    let x = in_shape(r, s, x)?;
    r.b().neg(x).ok()
}

fn cast_same(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = s.tensor(0)?;
    (r.dtype(x) == r.dtype(s.class)).then_some(x)
}

/// Whether every value of `from` is a value of `to`.
fn holds(to: DType, from: DType) -> bool {
    use DType::*;
    let bits = |d: DType| d.size() * 8;
    match (from, to) {
        (a, b) if a == b => true,
        (Bool, _) => true,
        (a, b) if a.is_int() && b.is_int() => {
            if a.is_signed_int() == b.is_signed_int() {
                bits(a) < bits(b)
            } else {
                b.is_signed_int() && bits(a) < bits(b)
            }
        }
        (a, F16) => matches!(a, U8 | I8),
        (a, F32) => matches!(a, U8 | I8 | U16 | I16 | F16 | BF16 | F8E4M3FN | F8E5M2),
        (a, F64) => (a.is_int() && bits(a) <= 32) || a.is_float(),
        (a, C64) => matches!(a, F32 | F16 | BF16),
        (a, C128) => matches!(a, F64 | F32 | F16 | BF16 | C64),
        _ => false,
    }
}

fn cast_cast(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (middle, last) = (s.tensor(0)?, r.dtype(s.class));
    let through = r.dtype(middle);
    for x in r.operands(middle, "prim.cast") {
        let first = r.dtype(x);
        // An integer out of range becomes another by way of a float than by truncation of its bits.
        let truncates = first.is_int() && !through.is_int() && last.is_int() && !holds(last, first);
        if holds(through, first) && !truncates {
            return r.b().cast(x, last).ok();
        }
    }
    None
}

fn undone(r: &mut Engine<'_>, s: &Site<'_>, op: &str) -> Option<Val> {
    r.operands(s.tensor(0)?, op).first().copied()
}

fn not_equal(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = s.tensor(0)?;
    if let Some((a, b)) = r.pairs(x, "prim.eq").first().copied() {
        return r.b().ne(a, b).ok();
    }
    let (a, b) = r.pairs(x, "prim.ne").first().copied()?;
    r.b().eq(a, b).ok()
}

fn add_neg(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    for (x, y) in both(s.two()?) {
        // A constant is negated at compile time.
        if !r.constant(y)
            && let Some(z) = r.operands(y, "prim.neg").first().copied()
        {
            return r.b().sub(x, z).ok();
        }
    }
    None
}

fn sub_neg(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, y) = s.two()?;
    let z = r.operands(y, "prim.neg").first().copied()?;
    r.b().add(x, z).ok()
}

fn abs_abs(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = s.tensor(0)?;
    if let Some(y) = r.operands(x, "prim.neg").first().copied() {
        return r.b().abs(y).ok();
    }
    (!r.calls(x, "prim.abs").is_empty()).then_some(x)
}

fn where_known(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let Scalar::Bool(condition) = r.uniform(s.tensor(0)?)? else { return None };
    in_shape(r, s, s.tensor(if condition { 1 } else { 2 })?)
}

fn where_same(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (a, b) = (s.tensor(1)?, s.tensor(2)?);
    if r.same(a, b) { in_shape(r, s, a) } else { None }
}

fn where_not(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (c, a, b) = (s.tensor(0)?, s.tensor(1)?, s.tensor(2)?);
    let inner = r.operands(c, "prim.not").first().copied()?;
    r.b().where_(inner, b, a).ok()
}
