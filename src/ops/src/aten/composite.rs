//! Small composites: gated and learned activations, differences and trapezoids, simulated quantisation, repeats.

use crate::host::{self, binary, rounded};
use crate::special::sigmoid;
use crate::{Call, OpDef, OpError, Tags, Tensor, promote_types, shape, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("_prelu_kernel(Tensor self, Tensor weight) -> Tensor", prelu_fact, prelu),
    rounded!("cumulative_trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", |c| trapezoid_fact(c, true), |c| trapezoid(c, true)),
    rounded!("cumulative_trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", |c| trapezoid_fact(c, true), |c| trapezoid(c, true)),
    OpDef::new("diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor", diff_fact, diff),
    rounded!("fake_quantize_per_channel_affine(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max) -> Tensor", same_as_self, fake_quantize),
    rounded!("fake_quantize_per_tensor_affine(Tensor self, float scale, int zero_point, int quant_min, int quant_max) -> Tensor", same_as_self, fake_quantize),
    rounded!("fake_quantize_per_tensor_affine.tensor_qparams(Tensor self, Tensor scale, Tensor zero_point, int quant_min, int quant_max) -> Tensor", same_as_self, fake_quantize),
    rounded!("glu(Tensor self, int dim=-1) -> Tensor", glu_fact, glu),
    rounded!("prelu(Tensor self, Tensor weight) -> Tensor", prelu_fact, prelu),
    OpDef::new("repeat_interleave.self_Tensor(Tensor self, Tensor repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor", repeat_fact, repeat).tagged(Tags::LATE),
    rounded!("trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", |c| trapezoid_fact(c, false), |c| trapezoid(c, false)),
    rounded!("trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", |c| trapezoid_fact(c, false), |c| trapezoid(c, false)),
];

fn same_as_self(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![c.tensor("self")?.clone()])
}

fn prelu_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, w) = (c.tensor("self")?, c.tensor("weight")?);
    match c.op.schema.name.as_str() {
        "prelu" => Ok(vec![x.clone()]),
        _ => Ok(vec![Fact::new(x.dtype, shape::broadcast(c.scope, &x.shape, &w.shape)?)]),
    }
}

/// The weight of a PReLU against its input: one for all, or one per channel (dimension 1).
pub fn prelu_weight_shape(x: &[Dim], w: &[Dim]) -> Vec<Dim> {
    let count = w.iter().fold(Dim::int(1), |n, d| &n * d);
    let mut shape = vec![Dim::int(1); x.len()];
    if x.len() > 1 {
        shape[1] = count;
    } else if x.len() == 1 && !count.is_one() {
        shape[0] = count;
    }
    shape
}

fn prelu(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (x, w) = (c.tensor("self")?, c.tensor("weight")?);
    let w = match c.op.schema.name.as_str() {
        "prelu" => w.reshape(&shape::known(&prelu_weight_shape(&x.fact().shape, &w.fact().shape))?)?,
        _ => w.clone(),
    };
    binary(x, &w, |x, w| if x > 0.0 { x } else { w * x })
}

fn glu_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut x = c.tensor("self")?.clone();
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let n = x.shape.get_mut(dim).ok_or_else(|| OpError::invalid("glu needs a dimension to halve"))?;
    if n.as_int().is_some_and(|n| n % 2 != 0) {
        return Err(OpError::Invalid(format!("glu cannot halve a size of {n}")));
    }
    *n = n.floor_div(&Dim::int(2));
    Ok(vec![x])
}

fn glu(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let (_, shape) = host::result_of(c)?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let (lines, half) = (host::Lines::new(x.shape(), dim), shape[dim]);
    let mut out = vec![0.0; shape.iter().product()];
    for l in 0..lines.count {
        for k in 0..half {
            out[lines.at_in(half, l, k)] = x.f64(lines.at(l, k)) * sigmoid(x.f64(lines.at(l, k + half)));
        }
    }
    Ok(Tensor::from_f64(DType::F64, &shape, &out))
}

fn diff_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let (mut shape, mut dtype) = (x.shape.clone(), x.dtype);
    let n = c.int("n")?;
    if n == 0 {
        // Nothing is put in front or behind either.
        return Ok(vec![x.clone()]);
    }
    let size = shape.get(dim).cloned().ok_or_else(|| OpError::invalid("diff needs a dimension"))?;
    let mut size = size;
    for name in ["prepend", "append"] {
        if let Some(t) = c.opt_tensor(name)? {
            size = &size + t.shape.get(dim).ok_or_else(|| OpError::invalid("diff: another number of dimensions"))?;
            dtype = promote_types(dtype, t.dtype);
        }
    }
    let left = &size - &Dim::int(n);
    shape[dim] = match left.as_int() {
        Some(left) => Dim::int(left.max(0)),
        None => left,
    };
    Ok(vec![Fact::new(dtype, shape)])
}

fn diff(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    if c.int("n")? == 0 {
        return Ok(vec![x.clone()]);
    }
    let (dtype, _) = host::result_of(c)?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let parts: Vec<Tensor> = [c.opt_tensor("prepend")?, Some(x), c.opt_tensor("append")?]
        .into_iter()
        .flatten()
        .map(|t| t.cast(dtype))
        .collect();
    let mut x = Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim)?;
    for _ in 0..c.int("n")? {
        let n = x.shape()[dim];
        if n == 0 {
            break;
        }
        let part = |from: i64| {
            let mut start = vec![0; x.rank()];
            let mut size = x.shape().to_vec();
            (start[dim], size[dim]) = (from, n - 1);
            host::slice(&x, &start, &size, &vec![1; x.rank()])
        };
        let op = if dtype == DType::Bool { "prim.xor" } else { "prim.sub" };
        let from = i64::from(n > 1);
        x = host::call1(op, vec![Arg::Tensor(part(from)?), Arg::Tensor(part(0)?)])?;
    }
    Ok(vec![x])
}

fn trapezoid_fact(c: &Call<'_, Fact>, cumulative: bool) -> Result<Vec<Fact>, OpError> {
    let y = c.tensor("y")?;
    let dim = wrap_dim(c.int("dim")?, y.rank())?;
    let mut shape = y.shape.clone();
    let has_x = c.op.schema.position("x").is_some();
    let mut dtype = y.dtype;
    if has_x {
        let x = c.tensor("x")?;
        dtype = promote_types(dtype, x.dtype);
        if x.rank() > 1 || y.rank() > 1 && x.rank() != 1 {
            shape = shape::broadcast(c.scope, &shape, &x.shape)?;
        }
    }
    let n = shape.get_mut(dim).ok_or_else(|| OpError::invalid("trapezoid needs a dimension"))?;
    let empty = n.is_zero();
    if cumulative {
        *n = if empty { Dim::int(0) } else { &*n - &Dim::int(1) };
    } else {
        shape.remove(dim);
    }
    if !dtype.is_float() && !dtype.is_complex() {
        dtype = DType::F32;
    }
    Ok(vec![Fact::new(dtype, shape)])
}

fn trapezoid(c: &Call<'_, Tensor>, cumulative: bool) -> Result<Tensor, OpError> {
    let mut y = c.tensor("y")?.clone();
    let (_, shape) = host::result_of(c)?;
    let dim = wrap_dim(c.int("dim")?, y.rank())?;
    let mut steps: Option<Tensor> = None;
    if c.op.schema.position("x").is_some() {
        let mut x = c.tensor("x")?.clone();
        if x.rank() == 1 && y.rank() > 1 {
            let mut own = vec![1; y.rank()];
            own[dim] = x.numel();
            x = x.reshape(&own)?;
        }
        let whole = shape::broadcast_known(&[x.shape(), y.shape()])?;
        (x, y) = (x.broadcast_to(&whole)?, y.broadcast_to(&whole)?);
        steps = Some(x);
    }
    let dx = if steps.is_none() { c.float("dx")? } else { 1.0 };
    let lines = host::Lines::new(y.shape(), dim);
    let last = lines.len.saturating_sub(1);
    let mut out = vec![0.0; shape.iter().product()];
    for l in 0..lines.count {
        let mut sum = 0.0;
        for k in 0..last {
            let step = steps.as_ref().map_or(dx, |x| x.f64(lines.at(l, k + 1)) - x.f64(lines.at(l, k)));
            sum += (y.f64(lines.at(l, k)) + y.f64(lines.at(l, k + 1))) / 2.0 * step;
            if cumulative {
                out[lines.at_in(last, l, k)] = sum;
            }
        }
        if !cumulative {
            out[l] = sum;
        }
    }
    Ok(Tensor::from_f64(DType::F64, &shape, &out))
}

/// `(clamp(round(x / scale) + zero_point, min, max) - zero_point) · scale`.
fn fake_quantize(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let (low, high) = (c.float("quant_min")?, c.float("quant_max")?);
    let axis = if c.op.schema.position("axis").is_some() { Some(wrap_dim(c.int("axis")?, x.rank())?) } else { None };
    let parameter = |name: &str, i: usize| match c.arg(name)? {
        Arg::Tensor(t) => {
            let inner: usize = axis.map_or(1, |a| x.shape()[a + 1..].iter().product());
            Ok(t.f64(axis.map_or(0, |a| i / inner.max(1) % x.shape()[a].max(1))))
        }
        number => number.as_float().ok_or_else(|| OpError::invalid("a number was expected")),
    };
    let mut out = Vec::with_capacity(x.numel());
    for i in 0..x.numel() {
        let (scale, zero) = (parameter("scale", i)?, parameter("zero_point", i)?);
        // PyTorch multiplies with the f32 inverse of the scale.
        let inverse = f64::from(1.0f32 / scale as f32);
        let q = (crate::round_to(DType::F32, x.f64(i) * inverse) + zero).round_ties_even().clamp(low, high);
        out.push((q - zero) * f64::from(scale as f32));
    }
    Ok(Tensor::from_f64(DType::F64, x.shape(), &out))
}

fn repeat_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let size = c.opt_dim("output_size")?.unwrap_or_else(crate::shape::late);
    Ok(vec![match c.opt_int("dim")? {
        Some(d) => {
            let dim = wrap_dim(d, x.rank())?;
            let mut out = x.clone();
            if let Some(n) = out.shape.get_mut(dim) {
                *n = size;
            }
            out
        }
        None => Fact::new(x.dtype, vec![size]),
    }])
}

fn repeat(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, repeats) = (c.tensor("self")?, c.tensor("repeats")?);
    let (x, dim) = match c.opt_int("dim")? {
        Some(d) => (x.clone(), wrap_dim(d, x.rank())?),
        None => (x.reshape(&[x.numel()])?, 0),
    };
    let n = x.shape().get(dim).copied().unwrap_or(1);
    let count = |i: usize| repeats.i64(if repeats.numel() == 1 { 0 } else { i }).max(0) as usize;
    let from: Vec<i64> = (0..n).flat_map(|i| std::iter::repeat_n(i as i64, count(i))).collect();
    if let Some(size) = c.opt_int("output_size")?
        && size != from.len() as i64
    {
        return Err(OpError::Runtime(format!("repeat_interleave gives {} elements, not {size}", from.len())));
    }
    let index = Tensor::from_i64(DType::I64, &[from.len()], &from);
    Ok(vec![super::index::taken(&x, &index, dim)?])
}
