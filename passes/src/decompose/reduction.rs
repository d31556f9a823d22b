//! Reductions over dimensions. f16 and bf16 accumulate in f32.

use super::common::wide;
use super::unary::{magnitude, truth};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::aten::reduction::{correction, keeps_dims, reduced_dims};
use pt2c_ops::{Call, OpError, shape, to_float, to_sum};

/// A reduction from the operand and its reduced dimensions; the result has them removed, and is put into the shape
/// that `keepdim` asks for.
macro_rules! reduction {
    ($op:literal, $f:expr) => {
        (concat!("aten.", $op), |b, c| {
            let f: Reduction = $f;
            let r = Reduced::new(b, c)?;
            f(b, c, &r)?.into_iter().map(|y| b.reshape(y, &r.shape)).collect()
        })
    };
}

type Reduction = fn(&mut Builder<'_>, &Call<'_, Val>, &Reduced) -> Result<Vec<Val>, OpError>;

/// The operand of a reduction.
struct Reduced {
    x: Val,
    dtype: DType,
    dims: Vec<usize>,
    /// Shape of the result.
    shape: Vec<Dim>,
    /// Shape of the operand with the reduced sizes 1.
    kept: Vec<Dim>,
    /// Number of elements that become one.
    count: Dim,
}

impl Reduced {
    fn new(b: &Builder<'_>, c: &Call<'_, Val>) -> Result<Reduced, OpError> {
        let x = *c.tensor("self")?;
        let fact = b.fact(x);
        let args: Vec<Arg<Fact>> = c.args.iter().map(|a| a.map(|&v| b.fact(v))).collect();
        let dims = reduced_dims(&Call { op: c.op, args: &args, scope: c.scope })?;
        Ok(Reduced {
            x,
            dtype: fact.dtype,
            shape: shape::reduced(&fact.shape, &dims, keeps_dims(c)?),
            kept: shape::reduced(&fact.shape, &dims, true),
            count: dims.iter().filter_map(|&d| fact.shape.get(d)).fold(Dim::ONE, |n, d| &n * d),
            dims,
        })
    }

    /// The dtype argument, or what the rule makes of the operand's.
    fn result(&self, c: &Call<'_, Val>, rule: fn(DType) -> DType) -> Result<DType, OpError> {
        let asked = if c.op.schema.position("dtype").is_some() { c.opt_dtype("dtype")? } else { None };
        Ok(asked.unwrap_or_else(|| rule(self.dtype)))
    }
}

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    reduction!("sum.default", |b, c, r| total(b, c, r, r.x, "sum")),
    reduction!("sum.dim_IntList", |b, c, r| total(b, c, r, r.x, "sum")),
    reduction!("nansum.default", |b, c, r| {
        let x = without_nan(b, r.x)?;
        total(b, c, r, x, "sum")
    }),
    reduction!("prod.default", |b, c, r| total(b, c, r, r.x, "prod")),
    reduction!("prod.dim_int", |b, c, r| total(b, c, r, r.x, "prod")),
    reduction!("mean.default", mean),
    reduction!("mean.dim", mean),
    reduction!("nanmean.default", |b, c, r| {
        let dtype = r.result(c, same)?;
        let present = b.eq(r.x, r.x)?;
        let (x, ones) = (without_nan(b, r.x)?, b.cast(present, wide(dtype))?);
        let x = b.cast(x, wide(dtype))?;
        let (sum, n) = (b.reduce(x, &r.dims, "sum")?, b.reduce(ones, &r.dims, "sum")?);
        let y = b.div(sum, n)?;
        Ok(vec![b.cast(y, dtype)?])
    }),
    reduction!("amax.default", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "max")?])),
    reduction!("amin.default", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "min")?])),
    reduction!("max.default", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "max")?])),
    reduction!("min.default", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "min")?])),
    reduction!("aminmax.default", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "min")?, b.reduce(r.x, &r.dims, "max")?])),
    reduction!("max.dim", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "max")?, extreme_at(b, r, "argmax")?])),
    reduction!("min.dim", |b, _, r| Ok(vec![b.reduce(r.x, &r.dims, "min")?, extreme_at(b, r, "argmin")?])),
    reduction!("argmax.default", |b, c, r| arg_extreme(b, c, r, "argmax")),
    reduction!("argmin.default", |b, c, r| arg_extreme(b, c, r, "argmin")),
    reduction!("all.default", |b, _, r| logical(b, r, "all")),
    reduction!("all.dim", |b, _, r| logical(b, r, "all")),
    reduction!("all.dims", |b, _, r| logical(b, r, "all")),
    reduction!("any.default", |b, _, r| logical(b, r, "any")),
    reduction!("any.dim", |b, _, r| logical(b, r, "any")),
    reduction!("any.dims", |b, _, r| logical(b, r, "any")),
    reduction!("_is_all_true.default", |b, _, r| logical(b, r, "all")),
    reduction!("_is_any_true.default", |b, _, r| logical(b, r, "any")),
    reduction!("count_nonzero.default", count),
    reduction!("count_nonzero.dim_IntList", count),
    reduction!("logsumexp.default", logsumexp),
    reduction!("special_logsumexp.default", logsumexp),
    reduction!("linalg_vector_norm.default", |b, c, r| norm(b, c, r, c.float("ord")?)),
    reduction!("norm.Scalar", |b, c, r| norm(b, c, r, c.float("p")?)),
    reduction!("norm.ScalarOpt_dim", |b, c, r| norm(b, c, r, c.opt_float("p")?.unwrap_or(2.0))),
    reduction!("norm.ScalarOpt_dim_dtype", |b, c, r| norm(b, c, r, c.opt_float("p")?.unwrap_or(2.0))),
    reduction!("norm.ScalarOpt_dtype", |b, c, r| norm(b, c, r, c.opt_float("p")?.unwrap_or(2.0))),
    reduction!("var.default", |b, c, r| moments(b, c, r, false, false)),
    reduction!("var.dim", |b, c, r| moments(b, c, r, false, false)),
    reduction!("var.correction", |b, c, r| moments(b, c, r, false, false)),
    reduction!("std.default", |b, c, r| moments(b, c, r, true, false)),
    reduction!("std.dim", |b, c, r| moments(b, c, r, true, false)),
    reduction!("std.correction", |b, c, r| moments(b, c, r, true, false)),
    reduction!("var_mean.default", |b, c, r| moments(b, c, r, false, true)),
    reduction!("var_mean.dim", |b, c, r| moments(b, c, r, false, true)),
    reduction!("var_mean.correction", |b, c, r| moments(b, c, r, false, true)),
    reduction!("std_mean.default", |b, c, r| moments(b, c, r, true, true)),
    reduction!("std_mean.dim", |b, c, r| moments(b, c, r, true, true)),
    reduction!("std_mean.correction", |b, c, r| moments(b, c, r, true, true)),
];

fn same(dtype: DType) -> DType {
    dtype
}

fn without_nan(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    if !b.dtype(x).is_float() {
        return Ok(x);
    }
    let (nan, zero) = (b.is_nan(x)?, b.constant(0.0, b.dtype(x))?);
    b.where_(nan, zero, x)
}

fn total(b: &mut Builder<'_>, c: &Call<'_, Val>, r: &Reduced, x: Val, kind: &str) -> Result<Vec<Val>, OpError> {
    let dtype = r.result(c, to_sum)?;
    let x = b.cast(x, dtype)?;
    if dtype == DType::Bool {
        // Sum and product of truth values, where the caller asks for that dtype.
        return Ok(vec![b.reduce(x, &r.dims, if kind == "sum" { "any" } else { "all" })?]);
    }
    let x = b.cast(x, wide(dtype))?;
    let y = b.reduce(x, &r.dims, kind)?;
    Ok(vec![b.cast(y, dtype)?])
}

fn mean(b: &mut Builder<'_>, c: &Call<'_, Val>, r: &Reduced) -> Result<Vec<Val>, OpError> {
    let dtype = r.result(c, same)?;
    let x = b.cast(r.x, dtype)?;
    let x = b.cast(x, wide(dtype))?;
    let (sum, n) = (b.reduce(x, &r.dims, "sum")?, b.constant_dim(&r.count, wide(dtype))?);
    let y = b.div(sum, n)?;
    Ok(vec![b.cast(y, dtype)?])
}

/// Position of the extreme along the one reduced dimension.
fn extreme_at(b: &mut Builder<'_>, r: &Reduced, kind: &str) -> Result<Val, OpError> {
    match r.dims.as_slice() {
        [dim] => b.argreduce(r.x, *dim, kind),
        _ => b.full(&r.shape, &Arg::Int(Dim::ZERO), DType::I64),
    }
}

fn arg_extreme(b: &mut Builder<'_>, c: &Call<'_, Val>, r: &Reduced, kind: &str) -> Result<Vec<Val>, OpError> {
    if c.arg("dim")?.is_none() {
        let flat = b.reshape(r.x, std::slice::from_ref(&r.count))?;
        return Ok(vec![b.argreduce(flat, 0, kind)?]);
    }
    Ok(vec![extreme_at(b, r, kind)?])
}

fn logical(b: &mut Builder<'_>, r: &Reduced, kind: &str) -> Result<Vec<Val>, OpError> {
    let x = truth(b, r.x)?;
    let y = b.reduce(x, &r.dims, kind)?;
    Ok(vec![if r.dtype == DType::U8 { b.cast(y, DType::U8)? } else { y }])
}

fn count(b: &mut Builder<'_>, _: &Call<'_, Val>, r: &Reduced) -> Result<Vec<Val>, OpError> {
    let x = truth(b, r.x)?;
    let x = b.cast(x, DType::I64)?;
    Ok(vec![b.reduce(x, &r.dims, "sum")?])
}

/// Shifted by the largest element, unless that is infinite.
fn logsumexp(b: &mut Builder<'_>, _: &Call<'_, Val>, r: &Reduced) -> Result<Vec<Val>, OpError> {
    let dtype = to_float(r.dtype);
    let x = b.cast(r.x, wide(dtype))?;
    // Of complex numbers, the real part says how large an exponential is.
    let level = if dtype.is_complex() { b.real(x)? } else { x };
    let top = b.reduce(level, &r.dims, "max")?;
    let (infinite, zero) = (b.is_inf(top)?, b.constant(0.0, wide(dtype).to_real())?);
    let shift = b.where_(infinite, zero, top)?;
    let shift = b.cast(shift, wide(dtype))?;
    let spread = b.reshape(shift, &r.kept)?;
    let lowered = b.sub(x, spread)?;
    let e = b.exp(lowered)?;
    let sum = b.reduce(e, &r.dims, "sum")?;
    let log = b.log(sum)?;
    let y = b.add(log, shift)?;
    Ok(vec![b.cast(y, dtype)?])
}

fn norm(b: &mut Builder<'_>, c: &Call<'_, Val>, r: &Reduced, p: f64) -> Result<Vec<Val>, OpError> {
    let dtype = r.result(c, DType::to_real)?.to_real();
    let x = if r.dtype.is_complex() { r.x } else { b.cast(r.x, dtype)? };
    let x = if r.dtype.is_complex() { x } else { b.cast(x, wide(dtype))? };
    let real_square = p == 2.0 && !r.dtype.is_complex();
    let size = if real_square { x } else { magnitude(b, x)? };
    let dims = &r.dims;
    let y = match p {
        f64::INFINITY => b.reduce(size, dims, "max")?,
        f64::NEG_INFINITY => b.reduce(size, dims, "min")?,
        0.0 => {
            let present = truth(b, size)?;
            let ones = b.cast(present, wide(dtype))?;
            b.reduce(ones, dims, "sum")?
        }
        1.0 => b.reduce(size, dims, "sum")?,
        2.0 => {
            let squares = b.mul(size, size)?;
            let sum = b.reduce(squares, dims, "sum")?;
            b.sqrt(sum)?
        }
        _ => {
            let inner = b.dtype(size);
            let (up, down) = (b.constant(p, inner)?, b.constant(1.0 / p, inner)?);
            let powers = b.pow(size, up)?;
            let sum = b.reduce(powers, dims, "sum")?;
            b.pow(sum, down)?
        }
    };
    Ok(vec![b.cast(y, dtype)?])
}

/// Variance or standard deviation, and the mean if asked for, in two passes over the elements.
fn moments(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    r: &Reduced,
    root: bool,
    with_mean: bool,
) -> Result<Vec<Val>, OpError> {
    let (dtype, inner) = (r.dtype, wide(r.dtype).to_real());
    let x = b.cast(r.x, wide(r.dtype))?;
    let (sum, n) = (b.reduce(x, &r.dims, "sum")?, b.constant_dim(&r.count, inner)?);
    let whole = b.cast(n, wide(r.dtype))?;
    let mean = b.div(sum, whole)?;
    let spread = b.reshape(mean, &r.kept)?;
    let centred = b.sub(x, spread)?;
    // Of complex numbers, the squared distance from the mean.
    let squares = if dtype.is_complex() {
        let (re, im) = (b.real(centred)?, b.imag(centred)?);
        let (re, im) = (b.mul(re, re)?, b.mul(im, im)?);
        b.add(re, im)?
    } else {
        b.mul(centred, centred)?
    };
    let sum = b.reduce(squares, &r.dims, "sum")?;
    let correction = correction(c)?;
    let freedom = match r.count.as_int() {
        Some(n) => b.constant((n as f64 - correction).max(0.0), inner)?,
        None => {
            let (correction, zero) = (b.constant(correction, inner)?, b.constant(0.0, inner)?);
            let left = b.sub(n, correction)?;
            b.max(left, zero)?
        }
    };
    let mut y = b.div(sum, freedom)?;
    if root {
        y = b.sqrt(y)?;
    }
    let mut outputs = vec![b.cast(y, dtype.to_real())?];
    if with_mean {
        outputs.push(b.cast(mean, dtype)?);
    }
    Ok(outputs)
}
