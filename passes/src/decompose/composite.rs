//! Small composites.

use super::common::{dim_arg, opt_tensor, outputs, tensor, wide, widened};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::composite::prelu_weight_shape;
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._prelu_kernel.default", prelu),
    ("aten.cumulative_trapezoid.dx", |b, c| trapezoid(b, c, true)),
    ("aten.cumulative_trapezoid.x", |b, c| trapezoid(b, c, true)),
    ("aten.diff.default", diff),
    ("aten.fake_quantize_per_channel_affine.default", fake_quantize),
    ("aten.fake_quantize_per_tensor_affine.default", fake_quantize),
    ("aten.fake_quantize_per_tensor_affine.tensor_qparams", fake_quantize),
    ("aten.glu.default", glu),
    ("aten.prelu.default", prelu),
    ("aten.repeat_interleave.self_Tensor", repeat),
    ("aten.trapezoid.dx", |b, c| trapezoid(b, c, false)),
    ("aten.trapezoid.x", |b, c| trapezoid(b, c, false)),
];

fn output(b: &Builder<'_>, c: &Call<'_, Val>) -> Result<pt2c_ir::Fact, OpError> {
    outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))
}

fn prelu(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, w) = (tensor(c, "self")?, tensor(c, "weight")?);
    let dtype = b.dtype(x);
    let mut w = b.cast(w, dtype)?;
    if c.op.schema.name == "prelu" {
        let shape = prelu_weight_shape(&b.shape(x), &b.shape(w));
        w = b.reshape(w, &shape)?;
    }
    let zero = b.constant(0.0, dtype)?;
    let positive = b.gt(x, zero)?;
    let scaled = b.mul(x, w)?;
    Ok(vec![b.where_(positive, x, scaled)?])
}

fn glu(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let out = output(b, c)?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let half = out.shape[dim].clone();
    let x = widened(b, x)?;
    let value = b.slice_dim(x, dim, &Dim::ZERO, &half, 1)?;
    let gate = b.slice_dim(x, dim, &half, &half, 1)?;
    let gate = b.sigmoid(gate)?;
    let y = b.mul(value, gate)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

/// Elements along `dim` from `from`, one fewer than there are.
fn shortened(b: &mut Builder<'_>, x: Val, dim: usize, from: i64) -> Result<Val, OpError> {
    let n = &b.shape(x)[dim] - &Dim::ONE;
    b.slice_dim(x, dim, &Dim::int(from), &n, 1)
}

fn diff(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    if c.int("n")? == 0 {
        return Ok(vec![x]);
    }
    let out = output(b, c)?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let mut parts = Vec::new();
    for part in [opt_tensor(c, "prepend")?, Some(x), opt_tensor(c, "append")?].into_iter().flatten() {
        parts.push(b.cast(part, out.dtype)?);
    }
    let mut x = b.cat(&parts, dim)?;
    for _ in 0..c.int("n")? {
        if b.shape(x)[dim].is_zero() {
            break;
        }
        let (later, earlier) = match b.shape(x)[dim].as_int() {
            Some(1) => {
                let none = shortened(b, x, dim, 0)?;
                (none, none)
            }
            _ => (shortened(b, x, dim, 1)?, shortened(b, x, dim, 0)?),
        };
        x = if out.dtype == DType::Bool { b.xor(later, earlier)? } else { b.sub(later, earlier)? };
    }
    Ok(vec![b.reshape(x, &out.shape)?])
}

fn trapezoid(b: &mut Builder<'_>, c: &Call<'_, Val>, cumulative: bool) -> Outputs {
    let y = tensor(c, "y")?;
    let out = output(b, c)?;
    let compute = wide(out.dtype);
    let dim = dim_arg(c, "dim", b.rank(y))?;
    let mut y = b.cast(y, compute)?;
    let mut x = None;
    if c.op.schema.position("x").is_some() {
        let mut own = b.cast(tensor(c, "x")?, compute)?;
        if b.rank(own) == 1 && b.rank(y) > 1 {
            let mut shape = vec![Dim::ONE; b.rank(y)];
            shape[dim] = b.fact(own).numel();
            own = b.reshape(own, &shape)?;
        }
        let whole = pt2c_ops::shape::broadcast(c.scope, &b.shape(own), &b.shape(y))?;
        y = b.expand(y, &whole)?;
        x = Some(b.expand(own, &whole)?);
    }
    if b.shape(y)[dim].is_zero() {
        return Ok(vec![b.full(&out.shape, &Arg::Float(0.0), out.dtype)?]);
    }
    // A single element leaves nothing between.
    let from = if b.shape(y)[dim].is_one() { 0 } else { 1 };
    let (later, earlier) = (shortened(b, y, dim, from)?, shortened(b, y, dim, 0)?);
    let sum = b.add(later, earlier)?;
    let half = b.constant(0.5, compute)?;
    let mean = b.mul(sum, half)?;
    let step = match x {
        Some(x) => {
            let (later, earlier) = (shortened(b, x, dim, from)?, shortened(b, x, dim, 0)?);
            b.sub(later, earlier)?
        }
        None => b.scalar_like(c.arg("dx")?, compute)?,
    };
    let areas = b.mul(mean, step)?;
    let y = if cumulative { b.scan(areas, dim, "sum")? } else { b.reduce(areas, &[dim], "sum")? };
    let y = b.cast(y, out.dtype)?;
    Ok(vec![b.reshape(y, &out.shape)?])
}

fn fake_quantize(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let dtype = b.dtype(input);
    let x = widened(b, input)?;
    let compute = b.dtype(x);
    let mut shape = Vec::new();
    if c.op.schema.position("axis").is_some() {
        let axis = dim_arg(c, "axis", b.rank(x))?;
        shape = vec![Dim::ONE; b.rank(x)];
        shape[axis] = b.shape(x)[axis].clone();
    }
    let (scale, zero) = (b.operand(c, "scale", compute)?, b.operand(c, "zero_point", compute)?);
    let (scale, zero) = (b.reshape(scale, &shape)?, b.reshape(zero, &shape)?);
    let (low, high) = (b.constant(c.float("quant_min")?, compute)?, b.constant(c.float("quant_max")?, compute)?);
    // PyTorch multiplies with the inverse of the scale.
    let inverse = b.reciprocal(scale)?;
    let q = b.mul(x, inverse)?;
    let q = b.add(q, zero)?;
    let q = b.round(q)?;
    let q = b.max(q, low)?;
    let q = b.min(q, high)?;
    let q = b.sub(q, zero)?;
    let y = b.mul(q, scale)?;
    Ok(vec![b.cast(y, dtype)?])
}

/// Output position `i` comes from the run of repeats that it lies in.
fn repeat(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, repeats) = (tensor(c, "self")?, tensor(c, "repeats")?);
    let (x, dim) = match c.opt_int("dim")? {
        Some(_) => (x, dim_arg(c, "dim", b.rank(x))?),
        None => {
            let numel = b.fact(x).numel();
            (b.reshape(x, &[numel])?, 0)
        }
    };
    let size = match c.opt_dim("output_size")? {
        Some(size) => size,
        None => super::dynamic::stated(b, 0, dim)?,
    };
    let n = b.shape(x).get(dim).cloned().unwrap_or(Dim::ONE);
    let repeats = b.cast(repeats, DType::I64)?;
    let count = b.fact(repeats).numel();
    let repeats = b.reshape(repeats, &[count])?;
    let repeats = b.expand(repeats, &[n])?;
    let from = super::dynamic::repeated(b, repeats, &size)?;
    Ok(vec![b.take(x, from, dim)?])
}
