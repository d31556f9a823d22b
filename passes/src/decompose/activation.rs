//! Activation functions. Those of several steps compute f16 and bf16 in f32.

use super::common::{plus, times, wide};
use super::unary::{greater, less};
use super::{Builder, Decomposition, Val};
use pt2c_ops::{Call, OpError};
use std::f64::consts::PI;

/// A function of the operand in the dtype that composites compute in.
macro_rules! activation {
    ($op:literal, $f:expr) => {
        (concat!("aten.", $op, ".default"), |b, c| {
            let f: Activation = $f;
            let x = *c.tensor("self")?;
            let dtype = b.dtype(x);
            if dtype.is_complex() && c.op.schema.name != "silu" {
                return Err(OpError::Unsupported(format!("`{}` of {dtype} numbers", c.op.name)));
            }
            let x = b.cast(x, wide(dtype))?;
            let y = f(b, c, x)?;
            Ok(vec![b.cast(y, dtype)?])
        })
    };
}

type Activation = fn(&mut Builder<'_>, &Call<'_, Val>, Val) -> Result<Val, OpError>;

const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.relu.default", |b, c| {
        let x = *c.tensor("self")?;
        let zero = b.constant(0.0, b.dtype(x))?;
        Ok(vec![b.max(x, zero)?])
    }),
    ("aten.relu6.default", |b, c| {
        let x = *c.tensor("self")?;
        Ok(vec![between(b, x, 0.0, 6.0)?])
    }),
    ("aten.hardtanh.default", |b, c| {
        let x = *c.tensor("self")?;
        Ok(vec![between(b, x, c.float("min_val")?, c.float("max_val")?)?])
    }),
    activation!("silu", |b, _, x| {
        let gate = b.sigmoid(x)?;
        b.mul(x, gate)
    }),
    activation!("mish", |b, _, x| {
        let e = b.exp(x)?;
        let soft = b.log1p(e)?;
        let gate = b.tanh(soft)?;
        b.mul(x, gate)
    }),
    activation!("hardsigmoid", |b, _, x| {
        let gate = gate6(b, x)?;
        let six = b.constant(6.0, b.dtype(x))?;
        b.div(gate, six)
    }),
    activation!("hardswish", |b, _, x| {
        let gate = gate6(b, x)?;
        let product = b.mul(x, gate)?;
        let six = b.constant(6.0, b.dtype(x))?;
        b.div(product, six)
    }),
    activation!("selu", |b, _, x| elu(b, x, SELU_ALPHA, SELU_SCALE, 1.0)),
    activation!("elu", |b, c, x| elu(b, x, c.float("alpha")?, c.float("scale")?, c.float("input_scale")?)),
    activation!("celu", |b, c, x| {
        let alpha = c.float("alpha")?;
        elu(b, x, alpha, 1.0, 1.0 / alpha)
    }),
    activation!("log_sigmoid", |b, _, x| {
        let zero = b.constant(0.0, b.dtype(x))?;
        let (low, size) = (b.min(x, zero)?, b.abs(x)?);
        let negative = b.neg(size)?;
        let e = b.exp(negative)?;
        let rest = b.log1p(e)?;
        b.sub(low, rest)
    }),
    activation!("gelu", |b, c, x| {
        if c.str("approximate")? != "tanh" {
            return b.gelu(x);
        }
        let square = b.mul(x, x)?;
        let cube = b.mul(square, x)?;
        let cubic = times(b, cube, 0.044715)?;
        let sum = b.add(x, cubic)?;
        let inner = times(b, sum, (2.0 / PI).sqrt())?;
        let gate = b.tanh(inner)?;
        let (gate, half) = (plus(b, gate, 1.0)?, times(b, x, 0.5)?);
        b.mul(half, gate)
    }),
    activation!("leaky_relu", |b, c, x| {
        let (low, positive) = (times(b, x, c.float("negative_slope")?)?, greater(b, x, 0.0)?);
        b.where_(positive, x, low)
    }),
    activation!("softplus", |b, c, x| {
        let scaled = times(b, x, c.float("beta")?)?;
        let e = b.exp(scaled)?;
        let soft = b.log1p(e)?;
        let beta = b.constant(c.float("beta")?, b.dtype(x))?;
        let (soft, linear) = (b.div(soft, beta)?, greater(b, scaled, c.float("threshold")?)?);
        b.where_(linear, x, soft)
    }),
    activation!("hardshrink", |b, c, x| {
        let (size, zero) = (b.abs(x)?, b.constant(0.0, b.dtype(x))?);
        let lambda = b.constant(c.float("lambd")?, b.dtype(x))?;
        let inside = b.le(size, lambda)?;
        b.where_(inside, zero, x)
    }),
    activation!("softshrink", |b, c, x| {
        let lambda = c.float("lambd")?;
        let (above, below) = (greater(b, x, lambda)?, less(b, x, -lambda)?);
        let (lowered, raised) = (plus(b, x, -lambda)?, plus(b, x, lambda)?);
        // NaN stays NaN.
        let zero = times(b, x, 0.0)?;
        let y = b.where_(below, raised, zero)?;
        b.where_(above, lowered, y)
    }),
    activation!("threshold", |b, c, x| {
        let (limit, value) =
            (b.scalar_like(c.arg("threshold")?, b.dtype(x))?, b.scalar_like(c.arg("value")?, b.dtype(x))?);
        let low = b.le(x, limit)?;
        b.where_(low, value, x)
    }),
];

/// `min(max(x, low), high)`; NaN stays NaN.
fn between(b: &mut Builder<'_>, x: Val, low: f64, high: f64) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    let (low, high) = (b.constant(low, dtype)?, b.constant(high, dtype)?);
    let y = b.max(x, low)?;
    b.min(y, high)
}

/// `relu6(x + 3)`.
fn gate6(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let shifted = plus(b, x, 3.0)?;
    between(b, shifted, 0.0, 6.0)
}

fn elu(b: &mut Builder<'_>, x: Val, alpha: f64, scale: f64, input_scale: f64) -> Result<Val, OpError> {
    let (high, inner) = (scaled(b, x, scale)?, scaled(b, x, input_scale)?);
    let grown = b.expm1(inner)?;
    let (low, positive) = (times(b, grown, alpha * scale)?, greater(b, x, 0.0)?);
    b.where_(positive, high, low)
}

fn scaled(b: &mut Builder<'_>, x: Val, k: f64) -> Result<Val, OpError> {
    if k == 1.0 { Ok(x) } else { times(b, x, k) }
}
