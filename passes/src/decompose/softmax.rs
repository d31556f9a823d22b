//! Softmax and its relatives: stable, in f32 for narrower floats.

use super::common::{dim_arg, outputs, tensor, wide};
use super::{Builder, Decomposition, Val};
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._log_softmax.default", |b, c| along(b, c, log_softmax)),
    ("aten._safe_softmax.default", |b, c| along(b, c, safe_softmax)),
    ("aten._softmax.default", |b, c| along(b, c, softmax)),
    ("aten.log_softmax.int", |b, c| along(b, c, log_softmax)),
    ("aten.softmax.int", |b, c| along(b, c, softmax)),
    ("aten.special_log_softmax.default", |b, c| along(b, c, log_softmax)),
    ("aten.special_softmax.default", |b, c| along(b, c, softmax)),
];

type Line = fn(&mut Builder<'_>, Val, usize) -> Result<Val, OpError>;

fn along(b: &mut Builder<'_>, c: &Call<'_, Val>, line: Line) -> Outputs {
    let mut x = tensor(c, "self")?;
    let shape = b.shape(x);
    let dim = dim_arg(c, "dim", shape.len())?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    // A requested dtype is converted to before anything else.
    if c.op.schema.position("dtype").is_some() {
        x = b.cast(x, out.dtype)?;
    }
    let x = b.cast(x, wide(out.dtype))?;
    let x = if shape.is_empty() { b.reshape(x, &[Dim::ONE])? } else { x };
    let y = line(b, x, dim)?;
    let y = b.reshape(y, &shape)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

/// `exp(x - max) / Σ exp(x - max)` along `dim`.
pub(super) fn softmax(b: &mut Builder<'_>, x: Val, dim: usize) -> Result<Val, OpError> {
    let top = b.keepdim_reduce(x, &[dim], "max")?;
    let below = b.sub(x, top)?;
    let exp = b.exp(below)?;
    let sum = b.keepdim_reduce(exp, &[dim], "sum")?;
    b.div(exp, sum)
}

/// `x - max - log Σ exp(x - max)` along `dim`.
pub(super) fn log_softmax(b: &mut Builder<'_>, x: Val, dim: usize) -> Result<Val, OpError> {
    let top = b.keepdim_reduce(x, &[dim], "max")?;
    let below = b.sub(x, top)?;
    let exp = b.exp(below)?;
    let sum = b.keepdim_reduce(exp, &[dim], "sum")?;
    let log = b.log(sum)?;
    b.sub(below, log)
}

/// Zero where everything is -infinity.
fn safe_softmax(b: &mut Builder<'_>, x: Val, dim: usize) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    let lowest = b.scalar_like(&Arg::Float(f64::NEG_INFINITY), dtype)?;
    let masked = b.eq(x, lowest)?;
    let masked = b.keepdim_reduce(masked, &[dim], "all")?;
    let y = softmax(b, x, dim)?;
    let zero = b.constant(0.0, dtype)?;
    b.where_(masked, zero, y)
}
