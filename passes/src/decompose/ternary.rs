//! Selection, clamping and interpolation.

use super::common::wide;
use super::unary::{magnitude, truth};
use super::{Builder, Decomposition, Val};
use pt2c_ir::Arg;
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.where.self", choose),
    ("aten.where.Scalar", choose),
    ("aten.where.ScalarOther", choose),
    ("aten.where.ScalarSelf", choose),
    ("aten.masked_fill.Scalar", masked_fill),
    ("aten.masked_fill.Tensor", masked_fill),
    ("aten.clamp.default", |b, c| clamp(b, c, &["self", "min", "max"])),
    ("aten.clamp.Tensor", |b, c| clamp(b, c, &["self", "min", "max"])),
    ("aten.clip.default", |b, c| clamp(b, c, &["self", "min", "max"])),
    ("aten.clip.Tensor", |b, c| clamp(b, c, &["self", "min", "max"])),
    ("aten.clamp_min.default", |b, c| clamp(b, c, &["self", "min"])),
    ("aten.clamp_min.Tensor", |b, c| clamp(b, c, &["self", "min"])),
    ("aten.clamp_max.default", |b, c| clamp(b, c, &["self", "max"])),
    ("aten.clamp_max.Tensor", |b, c| clamp(b, c, &["self", "max"])),
    ("aten.lerp.Scalar", lerp),
    ("aten.lerp.Tensor", lerp),
    ("aten.addcmul.default", |b, c| fused(b, c, |b, x, y| b.mul(x, y))),
    ("aten.addcdiv.default", |b, c| fused(b, c, |b, x, y| b.div(x, y))),
];

fn choose(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "other"])?;
    let cond = truth(b, *c.tensor("condition")?)?;
    let (x, y) = (b.operand(c, "self", dtype)?, b.operand(c, "other", dtype)?);
    Ok(vec![b.where_(cond, x, y)?])
}

fn masked_fill(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let value = b.operand(c, "value", b.dtype(x))?;
    let mask = truth(b, *c.tensor("mask")?)?;
    Ok(vec![b.where_(mask, value, x)?])
}

fn clamp(b: &mut Builder<'_>, c: &Call<'_, Val>, names: &[&str]) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, names)?;
    let mut x = b.operand(c, "self", dtype)?;
    if names.contains(&"min")
        && let Some(low) = b.opt_operand(c, "min", dtype)?
    {
        x = b.max(x, low)?;
    }
    if names.contains(&"max")
        && let Some(high) = b.opt_operand(c, "max", dtype)?
    {
        x = b.min(x, high)?;
    }
    Ok(vec![x])
}

/// `self + w·(end - self)` for small weights, else from the other end, as PyTorch does.
fn lerp(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "end"])?;
    let (x, y) = (b.operand(c, "self", wide(dtype))?, b.operand(c, "end", wide(dtype))?);
    let (w, span) = (b.operand(c, "weight", wide(dtype))?, b.sub(y, x)?);
    let step = b.mul(w, span)?;
    let from_start = b.add(x, step)?;
    let one = b.constant(1.0, wide(dtype))?;
    let rest = b.sub(one, w)?;
    let back = b.mul(span, rest)?;
    let from_end = b.sub(y, back)?;
    let z = match c.arg("weight")? {
        Arg::Tensor(_) => {
            let (size, half) = (magnitude(b, w)?, b.constant(0.5, wide(dtype).to_real())?);
            let near = b.lt(size, half)?;
            b.where_(near, from_start, from_end)?
        }
        number if number.as_float().is_some_and(|w| w.abs() < 0.5) => from_start,
        _ => from_end,
    };
    Ok(vec![b.cast(z, dtype)?])
}

/// `self + value·f(tensor1, tensor2)`.
fn fused(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    f: fn(&mut Builder<'_>, Val, Val) -> Result<Val, OpError>,
) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "tensor1", "tensor2"])?;
    let inner = wide(dtype);
    let (x, y) = (b.operand(c, "tensor1", inner)?, b.operand(c, "tensor2", inner)?);
    let mut z = f(b, x, y)?;
    if c.arg("value")?.as_float() != Some(1.0) {
        let value = b.operand(c, "value", inner)?;
        z = b.mul(z, value)?;
    }
    let start = b.operand(c, "self", inner)?;
    let z = b.add(start, z)?;
    Ok(vec![b.cast(z, dtype)?])
}
