//! Functions of one operand.

use super::common::{plus, times, wide};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::unary::largest;
use pt2c_ops::{Call, OpError, to_float};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI, SQRT_2};

/// A primitive on the operand as it is.
macro_rules! same {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op, ".default"), |b, c| Ok(vec![b.$prim(*c.tensor("self")?)?]))
    };
}

/// A primitive on floats that does nothing to integers.
macro_rules! rounding {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op, ".default"), |b, c| {
            let x = *c.tensor("self")?;
            Ok(vec![if b.dtype(x).is_float() { b.$prim(x)? } else { x }])
        })
    };
}

/// A primitive on the operand as a float.
macro_rules! float {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op, ".default"), |b, c| {
            let x = float_operand(b, c)?;
            Ok(vec![b.$prim(x)?])
        })
    };
}

/// A function computed in f64 and rounded to the operand's (float) dtype: rare functions, where precision comes
/// before speed.
macro_rules! double {
    ($op:literal, $f:expr) => {
        (concat!("aten.", $op, ".default"), |b, c| {
            let x = float_operand(b, c)?;
            let dtype = real(b, x)?;
            let wide = b.cast(x, DType::F64)?;
            let y = $f(b, wide)?;
            Ok(vec![b.cast(y, dtype)?])
        })
    };
}

macro_rules! identity {
    ($op:literal) => {
        (concat!("aten.", $op, ".default"), |_, c| Ok(vec![*c.tensor("self")?]))
    };
}

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    same!("neg", neg),
    same!("negative", neg),
    same!("_neg_view", neg),
    same!("sign", sign),
    same!("bitwise_not", not),
    rounding!("ceil", ceil),
    rounding!("floor", floor),
    rounding!("round", round),
    rounding!("trunc", trunc),
    rounding!("fix", trunc),
    identity!("positive"),
    identity!("resolve_conj"),
    identity!("resolve_neg"),
    ("aten.conj_physical.default", conj),
    ("aten._conj_physical.default", conj),
    ("aten._conj.default", conj),
    ("aten._conj_copy.default", conj),
    ("aten.conj.default", conj),
    ("aten.abs.default", abs),
    ("aten.absolute.default", abs),
    ("aten.angle.default", angle),
    ("aten.sgn.default", sgn),
    ("aten.square.default", |b, c| {
        let x = *c.tensor("self")?;
        let x = if b.dtype(x) == DType::Bool { b.cast(x, DType::I64)? } else { x };
        Ok(vec![b.mul(x, x)?])
    }),
    ("aten.frac.default", |b, c| {
        let x = *c.tensor("self")?;
        let whole = b.trunc(x)?;
        Ok(vec![b.sub(x, whole)?])
    }),
    ("aten.round.decimals", round_decimals),
    ("aten.special_round.default", round_decimals),
    float!("acos", acos),
    float!("acosh", acosh),
    float!("asin", asin),
    float!("asinh", asinh),
    float!("atan", atan),
    float!("atanh", atanh),
    float!("arccos", acos),
    float!("arccosh", acosh),
    float!("arcsin", asin),
    float!("arcsinh", asinh),
    float!("arctan", atan),
    float!("arctanh", atanh),
    float!("cos", cos),
    float!("cosh", cosh),
    float!("digamma", digamma),
    float!("special_digamma", digamma),
    float!("special_psi", digamma),
    float!("erf", erf),
    float!("special_erf", erf),
    float!("erfc", erfc),
    float!("special_erfc", erfc),
    float!("erfinv", erfinv),
    float!("special_erfinv", erfinv),
    float!("exp", exp),
    float!("exp2", exp2),
    float!("special_exp2", exp2),
    float!("expm1", expm1),
    float!("special_expm1", expm1),
    float!("lgamma", lgamma),
    float!("special_gammaln", lgamma),
    float!("log", log),
    float!("log10", log10),
    float!("log1p", log1p),
    float!("special_log1p", log1p),
    float!("log2", log2),
    float!("reciprocal", reciprocal),
    float!("rsqrt", rsqrt),
    float!("sigmoid", sigmoid),
    float!("special_expit", sigmoid),
    float!("sin", sin),
    float!("sinh", sinh),
    float!("sqrt", sqrt),
    float!("tan", tan),
    float!("tanh", tanh),
    ("aten.deg2rad.default", |b, c| scaled(b, c, PI / 180.0)),
    ("aten.rad2deg.default", |b, c| scaled(b, c, 180.0 / PI)),
    ("aten.sinc.default", sinc),
    ("aten.special_sinc.default", sinc),
    double!("i0", |b, x| bessel(b, x, 0, false)),
    double!("special_i0", |b, x| bessel(b, x, 0, false)),
    double!("special_i0e", |b, x| bessel(b, x, 0, true)),
    double!("special_i1", |b, x| bessel(b, x, 1, false)),
    double!("special_i1e", |b, x| bessel(b, x, 1, true)),
    double!("special_entr", entr),
    double!("special_erfcx", erfcx),
    double!("special_log_ndtr", log_ndtr),
    double!("special_ndtr", |b: &mut Builder<'_>, x| {
        let scaled = times(b, x, FRAC_1_SQRT_2)?;
        let e = b.erf(scaled)?;
        let sum = plus(b, e, 1.0)?;
        times(b, sum, 0.5)
    }),
    double!("special_ndtri", |b: &mut Builder<'_>, x| {
        let doubled = times(b, x, 2.0)?;
        let y = plus(b, doubled, -1.0)?;
        let y = b.erfinv(y)?;
        times(b, y, SQRT_2)
    }),
    ("aten.isnan.default", |b, c| float_property(b, c, |b, x| b.is_nan(x))),
    ("aten.isinf.default", |b, c| float_property(b, c, |b, x| b.is_inf(x))),
    ("aten.isposinf.default", |b, c| float_property(b, c, |b, x| equals(b, x, f64::INFINITY))),
    ("aten.isneginf.default", |b, c| float_property(b, c, |b, x| equals(b, x, f64::NEG_INFINITY))),
    ("aten.isfinite.default", |b, c| {
        let x = *c.tensor("self")?;
        if !b.dtype(x).is_float() && !b.dtype(x).is_complex() {
            let shape = b.shape(x);
            return Ok(vec![b.full(&shape, &Arg::Bool(true), DType::Bool)?]);
        }
        let (nan, inf) = (b.is_nan(x)?, b.is_inf(x)?);
        let either = b.or(nan, inf)?;
        Ok(vec![b.not(either)?])
    }),
    ("aten.signbit.default", |b, c| {
        let x = *c.tensor("self")?;
        if b.dtype(x).is_signed_int() {
            let zero = b.constant(0.0, b.dtype(x))?;
            return Ok(vec![b.lt(x, zero)?]);
        }
        float_property(b, c, |b, x| b.signbit(x))
    }),
    ("aten.logical_not.default", |b, c| {
        let truth = truth(b, *c.tensor("self")?)?;
        Ok(vec![b.not(truth)?])
    }),
    ("aten.logit.default", logit),
    ("aten.special_logit.default", logit),
    ("aten.nan_to_num.default", nan_to_num),
];

/// `self`, integers and booleans as f32.
pub(super) fn float_operand(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Val, OpError> {
    let x = *c.tensor("self")?;
    let dtype = to_float(b.dtype(x));
    b.cast(x, dtype)
}

/// The dtype of a real value.
fn real(b: &Builder<'_>, x: Val) -> Result<DType, OpError> {
    let dtype = b.dtype(x);
    if dtype.is_complex() {
        Err(OpError::Unsupported(format!("this function of {dtype} numbers: compute with real and imaginary parts")))
    } else {
        Ok(dtype)
    }
}

/// Whether an element is not zero.
pub(super) fn truth(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    if dtype == DType::Bool {
        return Ok(x);
    }
    let zero = b.constant(0.0, dtype)?;
    b.ne(x, zero)
}

/// `x = k`.
pub(super) fn equals(b: &mut Builder<'_>, x: Val, k: f64) -> Result<Val, OpError> {
    let k = b.constant(k, b.dtype(x))?;
    b.eq(x, k)
}

/// `x < k`.
pub(super) fn less(b: &mut Builder<'_>, x: Val, k: f64) -> Result<Val, OpError> {
    let k = b.constant(k, b.dtype(x))?;
    b.lt(x, k)
}

/// `x > k`.
pub(super) fn greater(b: &mut Builder<'_>, x: Val, k: f64) -> Result<Val, OpError> {
    let k = b.constant(k, b.dtype(x))?;
    b.gt(x, k)
}

fn float_property(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    f: fn(&mut Builder<'_>, Val) -> Result<Val, OpError>,
) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    if b.dtype(x).is_float() || b.dtype(x).is_complex() {
        return Ok(vec![f(b, x)?]);
    }
    let shape = b.shape(x);
    Ok(vec![b.full(&shape, &Arg::Bool(false), DType::Bool)?])
}

fn conj(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    Ok(vec![if b.dtype(x).is_complex() { b.conj(x)? } else { x }])
}

/// Absolute value of any number; of a complex one its distance from zero.
pub(super) fn magnitude(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    if b.dtype(x).is_complex() {
        let (re, im) = (b.real(x)?, b.imag(x)?);
        return b.hypot(re, im);
    }
    if b.dtype(x) == DType::Bool { Ok(x) } else { b.abs(x) }
}

fn abs(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    Ok(vec![magnitude(b, *c.tensor("self")?)?])
}

fn angle(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = float_operand(b, c)?;
    if b.dtype(x).is_complex() {
        let (re, im) = (b.real(x)?, b.imag(x)?);
        return Ok(vec![b.atan2(im, re)?]);
    }
    let dtype = b.dtype(x);
    let (pi, zero) = (b.constant(PI, dtype)?, b.constant(0.0, dtype)?);
    let (negative, nan) = (b.lt(x, zero)?, b.is_nan(x)?);
    let angle = b.where_(negative, pi, zero)?;
    Ok(vec![b.where_(nan, x, angle)?])
}

fn sgn(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    if !b.dtype(x).is_complex() {
        return Ok(vec![b.sign(x)?]);
    }
    let size = magnitude(b, x)?;
    let zero = b.constant(0.0, b.dtype(size))?;
    let at_zero = b.eq(size, zero)?;
    let (re, im) = (b.real(x)?, b.imag(x)?);
    let mut part = |p| {
        let unit = b.div(p, size)?;
        b.where_(at_zero, zero, unit)
    };
    let (re, im) = (part(re)?, part(im)?);
    Ok(vec![b.complex(re, im)?])
}

fn round_decimals(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let (x, decimals) = (*c.tensor("self")?, c.int("decimals")?);
    let dtype = b.dtype(x);
    if !dtype.is_float() {
        return Ok(vec![x]);
    }
    let ten = b.constant(10f64.powi(decimals.unsigned_abs().min(400) as i32), dtype)?;
    let scaled = if decimals >= 0 { b.mul(x, ten)? } else { b.div(x, ten)? };
    let rounded = b.round(scaled)?;
    Ok(vec![if decimals >= 0 { b.div(rounded, ten)? } else { b.mul(rounded, ten)? }])
}

fn scaled(b: &mut Builder<'_>, c: &Call<'_, Val>, k: f64) -> Result<Vec<Val>, OpError> {
    let x = float_operand(b, c)?;
    Ok(vec![times(b, x, k)?])
}

fn sinc(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = float_operand(b, c)?;
    let dtype = b.dtype(x);
    let x = b.cast(x, wide(dtype))?;
    let px = times(b, x, PI)?;
    let sine = b.sin(px)?;
    let (ratio, at_zero) = (b.div(sine, px)?, equals(b, x, 0.0)?);
    let one = b.constant(1.0, b.dtype(x))?;
    let y = b.where_(at_zero, one, ratio)?;
    Ok(vec![b.cast(y, dtype)?])
}

/// Modified Bessel function of order 0 or 1 in f64: power series (all terms positive) below 30, Hankel's expansion
/// above, where either is exact to rounding.
fn bessel(b: &mut Builder<'_>, x: Val, order: i32, scaled: bool) -> Result<Val, OpError> {
    let a = b.abs(x)?;
    let square = b.mul(a, a)?;
    // Horner from the last term: 1 + q/(1(1+n)) · (1 + q/(2(2+n)) · …).
    let limit = b.constant(900.0, DType::F64)?;
    let bounded = b.min(square, limit)?;
    let mut series = b.constant(1.0, DType::F64)?;
    for k in (1..=64).rev() {
        let ratio = times(b, bounded, 0.25 / (f64::from(k) * f64::from(k + order)))?;
        let term = b.mul(ratio, series)?;
        series = plus(b, term, 1.0)?;
    }
    if order == 1 {
        let half = times(b, a, 0.5)?;
        series = b.mul(series, half)?;
    }
    let negative = b.neg(a)?;
    let decay = b.exp(negative)?;
    let small = b.mul(series, decay)?;
    let mu = f64::from(4 * order * order);
    let mut expansion = b.constant(1.0, DType::F64)?;
    for k in (1..20).rev() {
        let odd = f64::from(2 * k - 1);
        let factor = b.constant(-(mu - odd * odd) / (8.0 * f64::from(k)), DType::F64)?;
        let ratio = b.div(factor, a)?;
        let term = b.mul(ratio, expansion)?;
        expansion = plus(b, term, 1.0)?;
    }
    let turn = times(b, a, 2.0 * PI)?;
    let root = b.sqrt(turn)?;
    let large = b.div(expansion, root)?;
    let is_small = less(b, a, 30.0)?;
    let mut y = b.where_(is_small, small, large)?;
    if !scaled {
        let growth = b.exp(a)?;
        y = b.mul(y, growth)?;
    }
    if order == 1 { b.copysign(y, x) } else { Ok(y) }
}

fn entr(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let log = b.log(x)?;
    let product = b.mul(x, log)?;
    let inside = b.neg(product)?;
    let (zero, below) = (b.constant(0.0, DType::F64)?, b.constant(f64::NEG_INFINITY, DType::F64)?);
    let (at_zero, negative) = (equals(b, x, 0.0)?, less(b, x, 0.0)?);
    let y = b.where_(at_zero, zero, inside)?;
    b.where_(negative, below, y)
}

/// `e^(x²)·erfc(x)`, by the asymptotic series from 20 on.
fn erfcx(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let a = b.abs(x)?;
    let square = b.mul(x, x)?;
    let (growth, tail) = (b.exp(square)?, b.erfc(a)?);
    let small = b.mul(growth, tail)?;
    let mut series = b.constant(1.0, DType::F64)?;
    for k in (1..8).rev() {
        let factor = b.constant(-f64::from(2 * k - 1) / 2.0, DType::F64)?;
        let ratio = b.div(factor, square)?;
        let term = b.mul(ratio, series)?;
        series = plus(b, term, 1.0)?;
    }
    let scale = times(b, a, PI.sqrt())?;
    let large = b.div(series, scale)?;
    let is_small = less(b, a, 20.0)?;
    let positive = b.where_(is_small, small, large)?;
    let doubled = times(b, growth, 2.0)?;
    let (reflected, negative) = (b.sub(doubled, positive)?, less(b, x, 0.0)?);
    b.where_(negative, reflected, positive)
}

fn log_ndtr(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let scaled = times(b, x, FRAC_1_SQRT_2)?;
    let mirrored = b.neg(scaled)?;
    let tail = erfcx(b, mirrored)?;
    let log = b.log(tail)?;
    let log = plus(b, log, -LN_2)?;
    let square = b.mul(scaled, scaled)?;
    let low = b.sub(log, square)?;
    let upper = b.erfc(scaled)?;
    let upper = times(b, upper, -0.5)?;
    let (high, is_low) = (b.log1p(upper)?, less(b, x, -1.0)?);
    b.where_(is_low, low, high)
}

fn logit(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = float_operand(b, c)?;
    let dtype = real(b, x)?;
    let mut p = x;
    if let Some(eps) = c.opt_float("eps")? {
        // In the order of PyTorch's comparisons, which shows when eps is above 1/2.
        let (low, one) = (b.constant(eps, dtype)?, b.constant(1.0, dtype)?);
        let high = b.sub(one, low)?;
        let (below, above) = (b.lt(x, low)?, b.gt(x, high)?);
        p = b.where_(above, high, x)?;
        p = b.where_(below, low, p)?;
    }
    let p = b.cast(p, wide(dtype))?;
    let one = b.constant(1.0, wide(dtype))?;
    let rest = b.sub(one, p)?;
    let odds = b.div(p, rest)?;
    let y = b.log(odds)?;
    Ok(vec![b.cast(y, dtype)?])
}

fn nan_to_num(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let dtype = b.dtype(x);
    if !dtype.is_float() {
        if dtype.is_complex() {
            let (re, im) = (b.real(x)?, b.imag(x)?);
            let (re, im) = (finite(b, c, re)?, finite(b, c, im)?);
            return Ok(vec![b.complex(re, im)?]);
        }
        return Ok(vec![x]);
    }
    Ok(vec![finite(b, c, x)?])
}

/// Numbers in place of NaN and infinities of a real value.
fn finite(b: &mut Builder<'_>, c: &Call<'_, Val>, x: Val) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    let limits = [
        (f64::INFINITY, c.opt_float("posinf")?.unwrap_or(largest(dtype))),
        (f64::NEG_INFINITY, c.opt_float("neginf")?.unwrap_or(-largest(dtype))),
    ];
    let (nan, value) = (b.is_nan(x)?, b.constant(c.opt_float("nan")?.unwrap_or(0.0), dtype)?);
    let mut y = b.where_(nan, value, x)?;
    for (infinity, value) in limits {
        let (at, value) = (equals(b, x, infinity)?, b.constant(value, dtype)?);
        y = b.where_(at, value, y)?;
    }
    Ok(y)
}

/// `[0, 1, …]` along dimension `dim` of a shape, with size 1 along the others.
pub(super) fn iota_along(b: &mut Builder<'_>, shape: &[Dim], dim: usize, dtype: DType) -> Result<Val, OpError> {
    let Some(n) = shape.get(dim) else {
        return b.constant(0.0, dtype);
    };
    let flat = b.iota(n, dtype)?;
    let shape: Vec<Dim> = shape.iter().enumerate().map(|(d, n)| if d == dim { n.clone() } else { Dim::ONE }).collect();
    b.reshape(flat, &shape)
}
