//! Functions in terms of cheaper ones.

use super::{Rule, Site, both, in_shape, rule};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// The theme.
pub const RULES: &[Rule] = &[
    rule(
        "pow_known",
        "a power of 1, 2, 3, -1, -2, 1/2 or -1/2 without pow, as PyTorch computes it",
        &["prim.pow"],
        pow_known,
    ),
    rule("one_over", "1 / x is its reciprocal", &["prim.div"], one_over),
    rule("reciprocal_sqrt", "1 / √x is rsqrt", &["prim.reciprocal"], reciprocal_sqrt),
    rule("div_sqrt", "x / √y is x · rsqrt(y) where y is broadcast", &["prim.div"], div_sqrt),
    rule("sigmoid_found", "1 / (1 + exp(-x)) is sigmoid", &["prim.reciprocal"], sigmoid_found),
    rule("gelu_found", "x · (1 + erf(x / √2)) / 2 is gelu, in any order of the factors", &["prim.mul"], gelu_found),
    rule("tanh_gate", "1 + tanh(x) is 2 · sigmoid(2x), which does not cancel below 0", &["prim.add"], tanh_gate),
];

fn pow_known(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, exponent) = s.two()?;
    let exponent = r.number(exponent)?;
    let x = in_shape(r, s, x)?;
    let float = r.dtype(x).is_float();
    let mut b = r.b();
    match exponent {
        1.0 => Some(x),
        2.0 => b.mul(x, x).ok(),
        3.0 => {
            let square = b.mul(x, x).ok()?;
            b.mul(square, x).ok()
        }
        0.5 if float => b.sqrt(x).ok(),
        -0.5 if float => b.rsqrt(x).ok(),
        -1.0 if float => b.reciprocal(x).ok(),
        -2.0 if float => {
            let square = b.mul(x, x).ok()?;
            b.reciprocal(square).ok()
        }
        _ => None,
    }
}

fn one_over(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (one, x) = s.two()?;
    if r.number(one) != Some(1.0) || !r.dtype(x).is_float() {
        return None;
    }
    let x = in_shape(r, s, x)?;
    r.b().reciprocal(x).ok()
}

fn reciprocal_sqrt(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = r.operands(s.tensor(0)?, "prim.sqrt").first().copied()?;
    r.b().rsqrt(x).ok()
}

fn div_sqrt(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, root) = s.two()?;
    let y = r.operands(root, "prim.sqrt").first().copied()?;
    let numel = |shape: &[Dim]| shape.iter().fold(Dim::ONE, |n, d| &n * d);
    let (few, many) = (numel(r.shape(y)), numel(r.shape(s.class)));
    if !r.symbols().prove_lt(&few, &many).is_yes() || !r.dtype(x).is_float() {
        return None;
    }
    let factor = r.b().rsqrt(y).ok()?;
    r.b().mul(x, factor).ok()
}

fn sigmoid_found(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    if !r.dtype(s.class).is_float() {
        return None;
    }
    for pair in r.pairs(s.tensor(0)?, "prim.add") {
        for (e, one) in both(pair) {
            if r.number(one) != Some(1.0) {
                continue;
            }
            for negated in r.operands(e, "prim.exp") {
                if let Some(x) = r.operands(negated, "prim.neg").first().copied() {
                    let x = in_shape(r, s, x)?;
                    return r.b().sigmoid(x).ok();
                }
            }
        }
    }
    None
}

/// The three factors x, ½ and 1 + erf(x/√2), two of them in a product of their own.
fn gelu_found(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    if !matches!(r.dtype(s.class), DType::F32 | DType::F64) {
        return None;
    }
    for (product, third) in both(s.two()?) {
        for pair in r.pairs(product, "prim.mul") {
            for (first, second) in both(pair) {
                for [x, half, gate] in [[first, second, third], [first, third, second], [third, first, second]] {
                    if r.number(half) == Some(0.5)
                        && r.equal_shapes(r.shape(x), r.shape(s.class))
                        && is_erf_gate(r, gate, x)
                    {
                        return r.b().gelu(x).ok();
                    }
                }
            }
        }
    }
    None
}

/// Whether a value is 1 + erf(x/√2).
fn is_erf_gate(r: &Engine<'_>, gate: Val, x: Val) -> bool {
    let near = |n: Option<f64>, value: f64| n.is_some_and(|n| (n / value - 1.0).abs() < 1e-6);
    r.pairs(gate, "prim.add").into_iter().flat_map(both).any(|(erf, one)| {
        r.number(one) == Some(1.0)
            && r.operands(erf, "prim.erf").into_iter().any(|z| {
                let scaled = r.pairs(z, "prim.mul").into_iter().flat_map(both);
                let divided = r.pairs(z, "prim.div").into_iter();
                scaled.into_iter().any(|(a, c)| r.same(a, x) && near(r.number(c), FRAC_1_SQRT_2))
                    || divided.into_iter().any(|(a, c)| r.same(a, x) && near(r.number(c), SQRT_2))
            })
    })
}

fn tanh_gate(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    if !matches!(r.dtype(s.class), DType::F32 | DType::F64) {
        return None;
    }
    for (tanh, one) in both(s.two()?) {
        if r.number(one) != Some(1.0) {
            continue;
        }
        if let Some(x) = r.operands(tanh, "prim.tanh").first().copied() {
            let x = in_shape(r, s, x)?;
            let dtype = r.dtype(x);
            let two = r.b().constant(2.0, dtype).ok()?;
            let twice = r.b().mul(x, two).ok()?;
            let gate = r.b().sigmoid(twice).ok()?;
            return r.b().mul(gate, two).ok();
        }
    }
    None
}
