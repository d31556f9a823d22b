//! Constant factors and addends, moved together and into the weights of what they follow.
//!
//! Only for f32 and f64: narrower weights would be rounded anew. A fold into weights asks that no other call of the
//! program uses the unscaled result, which would otherwise be computed twice, and that large weights have no other
//! use, since the library would hold them twice.

use super::{Rule, Site, aligned, both, in_shape, one_covers, rule};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The theme.
pub const RULES: &[Rule] = &[
    rule("combine_scales", "(x · a) · b is x · (a · b) for constants", &["prim.mul"], combine_scales),
    rule("combine_shifts", "(x + a) + b is x + (a + b) for constants", &["prim.add"], combine_shifts),
    rule("sub_constant", "x - a is x + (-a) for a constant", &["prim.sub"], sub_constant),
    rule("div_power_of_two", "x / 2ⁿ is x · 2⁻ⁿ", &["prim.div"], div_power_of_two),
    rule(
        "distribute_scale",
        "(y + b) · c is y · c + b · c for constants, where y can take the factor into its weights",
        &["prim.mul"],
        distribute_scale,
    ),
    rule("fold_scale_conv", "conv(x, w) · c is conv(x, w · c), c constant per channel", &["prim.mul"], fold_scale_conv),
    rule("fold_scale_matmul", "(x·w) · c is x·(w · c), c constant per column", &["prim.mul"], fold_scale_matmul),
    rule(
        "fold_scale_before",
        "the product with constant weights of x · c, c one number, is that of x with the weights · c",
        &["prim.matmul", "prim.conv", "prim.conv_transpose"],
        fold_scale_before,
    ),
];

fn rounds_finely(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// A value that is no constant with one that is, in an operation of two operands.
fn with_constant(r: &Engine<'_>, pair: (Val, Val)) -> Option<(Val, Val)> {
    both(pair).into_iter().find(|(x, c)| !r.constant(*x) && r.constant(*c))
}

/// Whether a number can be a factor or its inverse without leaving the normal numbers of the dtype.
fn normal(x: f64, dtype: DType) -> bool {
    let x = x.abs();
    match dtype {
        DType::F32 => (1e-37..1e37).contains(&x),
        _ => (1e-300..1e300).contains(&x),
    }
}

fn combine_scales(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (y, b) = with_constant(r, s.two()?)?;
    let dtype = r.dtype(y);
    if !rounds_finely(dtype) {
        return None;
    }
    for pair in r.pairs(y, "prim.mul") {
        let Some((x, a)) = with_constant(r, pair) else { continue };
        let known = match (r.number(a), r.number(b)) {
            (Some(a), Some(b)) => normal(a * b, dtype) && normal(a, dtype) && normal(b, dtype),
            _ => true,
        };
        if known && one_covers(r, a, b) {
            let c = r.b().mul(a, b).ok()?;
            return r.b().mul(x, c).ok();
        }
    }
    None
}

fn combine_shifts(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (y, b) = with_constant(r, s.two()?)?;
    if !rounds_finely(r.dtype(y)) {
        return None;
    }
    for pair in r.pairs(y, "prim.add") {
        let Some((x, a)) = with_constant(r, pair) else { continue };
        // Numbers that cancel are there to round x.
        let known = match (r.number(a), r.number(b)) {
            (Some(a), Some(b)) => (a + b).abs() * 2.0 >= a.abs().max(b.abs()),
            _ => true,
        };
        if known && one_covers(r, a, b) {
            let c = r.b().add(a, b).ok()?;
            return r.b().add(x, c).ok();
        }
    }
    None
}

fn sub_constant(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, a) = s.two()?;
    if r.constant(x) || !r.constant(a) || !rounds_finely(r.dtype(x)) {
        return None;
    }
    let minus = r.b().neg(a).ok()?;
    r.b().add(x, minus).ok()
}

fn div_power_of_two(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, c) = s.two()?;
    let dtype = r.dtype(x);
    let c = r.number(c)?;
    // Neither the number nor its inverse may be subnormal in any float dtype wider than 8 bits.
    let power = c.to_bits() & ((1 << 52) - 1) == 0 && (1e-4..1e4).contains(&c.abs());
    if !power || !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return None;
    }
    let x = in_shape(r, s, x)?;
    let inverse = r.b().constant(1.0 / c, dtype).ok()?;
    r.b().mul(x, inverse).ok()
}

/// Elements of weights of which a library may hold a second copy.
const FEW: i64 = 1 << 16;

/// Whether scaled weights may take the place of weights: nothing else needs those, or they are few.
fn replaceable(r: &Engine<'_>, w: Val) -> bool {
    let count = r.shape(w).iter().fold(Dim::ONE, |n, d| &n * d);
    if count.as_int().is_some_and(|n| n <= FEW) {
        return true;
    }
    let mut w = w;
    // Views end at the tensor; classes that a rule made cyclic end anyway.
    for _ in 0..16 {
        if !r.used_once(w) {
            return false;
        }
        let views = ["prim.permute", "prim.reshape", "prim.slice", "prim.cast"];
        match views.iter().find_map(|op| r.operands(w, op).first().copied()) {
            Some(base) => w = base,
            None => return true,
        }
    }
    false
}

/// The products with constant weights in a class: operator, arguments, weights.
fn products(r: &Engine<'_>, v: Val) -> Vec<(&'static str, Vec<Arg<Val>>, Val)> {
    let mut found = Vec::new();
    for op in ["prim.conv", "prim.conv_transpose", "prim.matmul"] {
        for args in r.calls(v, op) {
            if let Some(w) = args.get(1).and_then(Arg::as_tensor).copied()
                && r.constant(w)
                && replaceable(r, w)
            {
                found.push((op, args, w));
            }
        }
    }
    found
}

fn distribute_scale(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (sum, c) = with_constant(r, s.two()?)?;
    if !rounds_finely(r.dtype(sum)) || !r.used_once(sum) {
        return None;
    }
    for pair in r.pairs(sum, "prim.add") {
        let Some((y, b)) = with_constant(r, pair) else { continue };
        let takes = r.used_once(y) && products(r, y).into_iter().any(|(op, _, _)| factor(r, op, y, c).is_some());
        if takes && one_covers(r, b, c) {
            let scaled = r.b().mul(y, c).ok()?;
            let shift = r.b().mul(b, c).ok()?;
            return r.b().add(scaled, shift).ok();
        }
    }
    None
}

/// The shape in which `c` multiplies the weights of a product whose result is `y`: one factor per channel or column.
fn factor(r: &Engine<'_>, op: &str, y: Val, c: Val) -> Option<Vec<Dim>> {
    let rank = r.shape(y).len();
    let sizes = aligned(r, c, rank)?;
    let channel = if op == "prim.matmul" { rank.checked_sub(1)? } else { 1 };
    if sizes.iter().enumerate().any(|(d, n)| d != channel && !n.is_one()) {
        return None;
    }
    let n = sizes.get(channel)?.clone();
    Some(match op {
        // [K, N]
        "prim.matmul" => vec![n],
        // [K, C/g, …]
        "prim.conv" => [vec![n], vec![Dim::ONE; rank - 1]].concat(),
        // [C, K/g, …]
        _ => [vec![Dim::ONE, n], vec![Dim::ONE; rank.checked_sub(2)?]].concat(),
    })
}

fn fold_scale(r: &mut Engine<'_>, s: &Site<'_>, wanted: &[&str]) -> Option<Val> {
    let (y, c) = with_constant(r, s.two()?)?;
    if !rounds_finely(r.dtype(y)) || !r.used_once(y) || !r.equal_shapes(r.shape(y), r.shape(s.class)) {
        return None;
    }
    for (op, mut args, w) in products(r, y) {
        if !wanted.contains(&op) {
            continue;
        }
        let Some(shape) = factor(r, op, y, c) else { continue };
        let one_group = args.last().and_then(Arg::as_int) == Some(1);
        if op == "prim.conv_transpose" && !one_group && !shape.iter().all(Dim::is_one) {
            continue;
        }
        let c = r.b().reshape(c, &shape).ok()?;
        let w = r.b().mul(w, c).ok()?;
        args[1] = Arg::Tensor(w);
        return r.b().one(op, args).ok();
    }
    None
}

fn fold_scale_conv(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    fold_scale(r, s, &["prim.conv", "prim.conv_transpose"])
}

fn fold_scale_matmul(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    fold_scale(r, s, &["prim.matmul"])
}

fn fold_scale_before(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, w) = s.two()?;
    let dtype = r.dtype(x);
    if !rounds_finely(dtype) || !r.constant(w) || r.constant(x) || !r.used_once(x) || !replaceable(r, w) {
        return None;
    }
    for pair in r.pairs(x, "prim.mul") {
        let Some((z, c)) = with_constant(r, pair) else { continue };
        let Some(number) = r.number(c).filter(|c| normal(*c, dtype)) else { continue };
        if !r.equal_shapes(r.shape(z), r.shape(x)) {
            continue;
        }
        let c = r.b().constant(number, dtype).ok()?;
        let w = r.b().mul(w, c).ok()?;
        let mut args = s.args.clone();
        args[0] = Arg::Tensor(z);
        args[1] = Arg::Tensor(w);
        return r.b().one(s.op, args).ok();
    }
    None
}
