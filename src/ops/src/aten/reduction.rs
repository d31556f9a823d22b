//! Reductions over dimensions: sums, extremes, moments, norms.

use crate::functions::{ABS, NE};
use crate::prim::{arg_extreme, reduce};
use crate::shape::{reduced, wrap_dims};
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, Typed, to_float, to_sum};
use pt2c_ir::{Arg, DType, Fact};

/// One output: a dtype rule and an evaluation from the operand (converted to the result's dtype or not) and the
/// dimensions.
macro_rules! reduction {
    ($schema:literal, $rule:expr, $eval:expr) => {
        OpDef::new(
            $schema,
            |c| infer(c, &[$rule]),
            |c| {
                let eval: Eval = $eval;
                let (x, dims, keepdim) = parts(c)?;
                let dtype = dtype_of(c, x.dtype(), $rule)?;
                Ok(vec![keep(&eval(c, x, &dims, dtype)?, x.shape(), &dims, keepdim)?])
            },
        )
        .tagged(Tags::REDUCTION)
    };
}

/// A spread, which is real, and the mean where it is asked for too.
macro_rules! moments {
    ($schema:literal, $spread:expr $(, $mean:expr)?) => {
        OpDef::new($schema, |c| infer(c, &[real $(, of_mean($mean))?]), |c| {
            let (x, dims, keepdim) = parts(c)?;
            let moments = moments(x, &dims, correction(c)?)?;
            let outputs: &[Moment] = &[$spread $(, $mean)?];
            outputs
                .iter()
                .map(|m| {
                    let moment = m(&moments);
                    let dtype = if moment.dtype().is_complex() { x.dtype() } else { x.dtype().to_real() };
                    keep(&moment.cast(dtype), x.shape(), &dims, keepdim)
                })
                .collect()
        })
        .tagged(Tags::REDUCTION)
    };
}

/// Largest or smallest along one dimension, and where.
macro_rules! extreme {
    ($schema:literal, $kind:literal) => {
        OpDef::new(
            $schema,
            |c| infer(c, &[same, to_index]),
            |c| {
                let (x, dims, keepdim) = parts(c)?;
                let dim = dims.first().copied();
                let index = dim.map_or_else(|| zero_index(x), |d| arg_extreme(x, d, $kind == "max"));
                Ok(vec![
                    keep(&reduce(x, &dims, $kind)?, x.shape(), &dims, keepdim)?,
                    keep(&index, x.shape(), &dims, keepdim)?,
                ])
            },
        )
        .tagged(Tags::REDUCTION)
    };
}

type Eval = fn(&Call<'_, Tensor>, &Tensor, &[usize], DType) -> Result<Tensor, OpError>;
type Moment = fn(&Moments) -> Tensor;

/// The family.
pub const OPS: &[OpDef] = &[
    reduction!("sum(Tensor self, *, ScalarType? dtype=None) -> Tensor", to_sum, sum),
    reduction!(
        "sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        to_sum,
        sum
    ),
    reduction!(
        "nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        to_sum,
        |c, x, dims, dtype| { sum(c, &without_nan(x), dims, dtype) }
    ),
    reduction!("mean(Tensor self, *, ScalarType? dtype=None) -> Tensor", same, mean),
    reduction!(
        "mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        same,
        mean
    ),
    reduction!(
        "nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        same,
        |_, x, dims, dtype| {
            let total = reduce(&wide(&without_nan(x)), dims, "sum")?;
            let present = Tensor::from_fn(DType::F64, x.shape(), |i| Scalar::Bool(!x.f64(i).is_nan()));
            Ok(crate::functions::DIV.apply(&total, &reduce(&present, dims, "sum")?)?.cast(dtype))
        }
    ),
    reduction!("prod(Tensor self, *, ScalarType? dtype=None) -> Tensor", to_sum, prod),
    reduction!(
        "prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        to_sum,
        prod
    ),
    reduction!("amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", same, |_, x, dims, _| reduce(
        x, dims, "max"
    )),
    reduction!("amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", same, |_, x, dims, _| reduce(
        x, dims, "min"
    )),
    reduction!("max(Tensor self) -> Tensor", same, |_, x, dims, _| reduce(x, dims, "max")),
    reduction!("min(Tensor self) -> Tensor", same, |_, x, dims, _| reduce(x, dims, "min")),
    extreme!("max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", "max"),
    extreme!("min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", "min"),
    OpDef::new(
        "aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
        |c| infer(c, &[same, same]),
        |c| {
            let (x, dims, keepdim) = parts(c)?;
            ["min", "max"].into_iter().map(|k| keep(&reduce(x, &dims, k)?, x.shape(), &dims, keepdim)).collect()
        },
    )
    .tagged(Tags::REDUCTION),
    reduction!("argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", to_index, |c, x, dims, _| arg(
        c, x, dims, true
    )),
    reduction!("argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", to_index, |c, x, dims, _| arg(
        c, x, dims, false
    )),
    reduction!("all(Tensor self) -> Tensor", to_truth, |_, x, dims, dtype| truth(x, dims, dtype, "all")),
    reduction!("all.dim(Tensor self, int dim, bool keepdim=False) -> Tensor", to_truth, |_, x, dims, dtype| truth(
        x, dims, dtype, "all"
    )),
    reduction!(
        "all.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
        to_truth,
        |_, x, dims, dtype| truth(x, dims, dtype, "all")
    ),
    reduction!("any(Tensor self) -> Tensor", to_truth, |_, x, dims, dtype| truth(x, dims, dtype, "any")),
    reduction!("any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor", to_truth, |_, x, dims, dtype| truth(
        x, dims, dtype, "any"
    )),
    reduction!(
        "any.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
        to_truth,
        |_, x, dims, dtype| truth(x, dims, dtype, "any")
    ),
    reduction!("_is_all_true(Tensor self) -> Tensor", to_truth, |_, x, dims, dtype| truth(x, dims, dtype, "all")),
    reduction!("_is_any_true(Tensor self) -> Tensor", to_truth, |_, x, dims, dtype| truth(x, dims, dtype, "any")),
    reduction!("count_nonzero(Tensor self, int? dim=None) -> Tensor", to_index, count),
    reduction!("count_nonzero.dim_IntList(Tensor self, int[] dim) -> Tensor", to_index, count),
    reduction!("logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", to_float, logsumexp),
    reduction!("special_logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", to_float, logsumexp),
    reduction!(
        "linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        real,
        |c, x, dims, dtype| norm(x, dims, c.float("ord")?, dtype)
    ),
    reduction!("norm.Scalar(Tensor self, Scalar p=2) -> Tensor", real, |c, x, dims, dtype| norm(
        x,
        dims,
        c.float("p")?,
        dtype
    )),
    reduction!(
        "norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor",
        real,
        |c, x, dims, dtype| { norm(x, dims, c.opt_float("p")?.unwrap_or(2.0), dtype) }
    ),
    reduction!(
        "norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, ScalarType dtype) -> Tensor",
        real,
        |c, x, dims, dtype| { norm(x, dims, c.opt_float("p")?.unwrap_or(2.0), dtype) }
    ),
    reduction!(
        "norm.ScalarOpt_dtype(Tensor self, Scalar? p, *, ScalarType dtype) -> Tensor",
        real,
        |c, x, dims, dtype| { norm(x, dims, c.opt_float("p")?.unwrap_or(2.0), dtype) }
    ),
    moments!("var(Tensor self, bool unbiased=True) -> Tensor", Moments::var),
    moments!("var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor", Moments::var),
    moments!(
        "var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor",
        Moments::var
    ),
    moments!("std(Tensor self, bool unbiased=True) -> Tensor", Moments::std),
    moments!("std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor", Moments::std),
    moments!(
        "std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor",
        Moments::std
    ),
    moments!("var_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)", Moments::var, Moments::mean),
    moments!(
        "var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
        Moments::var,
        Moments::mean
    ),
    moments!(
        "var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
        Moments::var,
        Moments::mean
    ),
    moments!("std_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)", Moments::std, Moments::mean),
    moments!(
        "std_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
        Moments::std,
        Moments::mean
    ),
    moments!(
        "std_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
        Moments::std,
        Moments::mean
    ),
];

fn same(dtype: DType) -> DType {
    dtype
}

fn real(dtype: DType) -> DType {
    dtype.to_real()
}

fn of_mean(_: Moment) -> fn(DType) -> DType {
    same
}

fn to_index(_: DType) -> DType {
    DType::I64
}

/// `any` and `all` of u8 are u8, for old times' sake.
fn to_truth(dtype: DType) -> DType {
    if dtype == DType::U8 { DType::U8 } else { DType::Bool }
}

/// The dimensions a call reduces, sorted and non-negative. None and, where PyTorch has it so, an empty list are all.
pub fn reduced_dims<T: Typed>(c: &Call<'_, T>) -> Result<Vec<usize>, OpError> {
    let rank = c.tensor("self")?.rank();
    let all = || (0..rank).collect();
    if c.op.schema.position("dim").is_none() || c.arg("dim")?.is_none() {
        return Ok(all());
    }
    let dims = c.ints("dim")?;
    // `any.dims` and `all.dims` take an empty list at its word.
    if dims.is_empty() && !matches!(c.op.name.as_str(), "aten.any.dims" | "aten.all.dims") {
        return Ok(all());
    }
    let dims = wrap_dims(&dims, rank)?;
    Ok(if rank == 0 { Vec::new() } else { dims })
}

/// Whether the reduced dimensions stay with size 1.
pub fn keeps_dims<T>(c: &Call<'_, T>) -> Result<bool, OpError> {
    if c.op.schema.position("keepdim").is_some() { c.bool("keepdim") } else { Ok(false) }
}

/// The dtype of the result: as asked for, or by the rule.
fn dtype_of<T>(c: &Call<'_, T>, dtype: DType, rule: fn(DType) -> DType) -> Result<DType, OpError> {
    let asked = if c.op.schema.position("dtype").is_some() { c.opt_dtype("dtype")? } else { None };
    // Norms are real, in whatever they are computed.
    let norm = c.op.schema.name.ends_with("norm");
    Ok(asked.map_or_else(|| rule(dtype), |d| if norm { d.to_real() } else { d }))
}

fn infer(c: &Call<'_, Fact>, rules: &[fn(DType) -> DType]) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let shape = reduced(&x.shape, &reduced_dims(c)?, keeps_dims(c)?);
    rules.iter().map(|&rule| Ok(Fact::new(dtype_of(c, x.dtype, rule)?, shape.clone()))).collect()
}

fn parts<'a>(c: &Call<'a, Tensor>) -> Result<(&'a Tensor, Vec<usize>, bool), OpError> {
    Ok((c.tensor("self")?, reduced_dims(c)?, keeps_dims(c)?))
}

/// A reduced tensor in the shape asked for.
fn keep(reduced: &Tensor, shape: &[usize], dims: &[usize], keepdim: bool) -> Result<Tensor, OpError> {
    if !keepdim {
        return Ok(reduced.clone());
    }
    let shape: Vec<usize> = shape.iter().enumerate().map(|(d, &n)| if dims.contains(&d) { 1 } else { n }).collect();
    reduced.reshape(&shape)
}

/// In the precision that intermediate results are kept in.
fn wide(x: &Tensor) -> Tensor {
    x.cast(if x.dtype().is_complex() { DType::C128 } else { DType::F64 })
}

fn sum(_: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], dtype: DType) -> Result<Tensor, OpError> {
    reduce(&x.cast(dtype), dims, "sum")
}

fn prod(_: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], dtype: DType) -> Result<Tensor, OpError> {
    reduce(&x.cast(dtype), dims, "prod")
}

fn count_of(x: &Tensor, dims: &[usize]) -> f64 {
    dims.iter().map(|&d| x.shape().get(d).copied().unwrap_or(1) as f64).product()
}

fn mean(_: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], dtype: DType) -> Result<Tensor, OpError> {
    let total = reduce(&wide(&x.cast(dtype)), dims, "sum")?;
    let n = Tensor::scalar(total.dtype(), Scalar::Float(count_of(x, dims)));
    Ok(crate::functions::DIV.apply(&total, &n)?.cast(dtype))
}

fn without_nan(x: &Tensor) -> Tensor {
    if !x.dtype().is_float() {
        return x.clone();
    }
    Tensor::floats(x.dtype(), x.shape(), x.as_f64s().iter().map(|&v| if v.is_nan() { 0.0 } else { v }).collect())
}

fn zero_index(x: &Tensor) -> Tensor {
    Tensor::from_i64(DType::I64, x.shape(), &vec![0; x.numel()])
}

fn arg(c: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], largest: bool) -> Result<Tensor, OpError> {
    if matches!(c.arg("dim")?, Arg::None) {
        // Of the flattened tensor.
        return Ok(arg_extreme(&x.reshape(&[x.numel()])?, 0, largest));
    }
    Ok(dims.first().map_or_else(|| zero_index(x), |&d| arg_extreme(x, d, largest)))
}

fn nonzero(x: &Tensor) -> Result<Tensor, OpError> {
    NE.apply(x, &Tensor::scalar(x.dtype(), Scalar::Int(0)))
}

fn truth(x: &Tensor, dims: &[usize], dtype: DType, kind: &str) -> Result<Tensor, OpError> {
    Ok(reduce(&nonzero(x)?, dims, kind)?.cast(dtype))
}

fn count(_: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], _: DType) -> Result<Tensor, OpError> {
    reduce(&nonzero(x)?.cast(DType::I64), dims, "sum")
}

fn logsumexp(_: &Call<'_, Tensor>, x: &Tensor, dims: &[usize], dtype: DType) -> Result<Tensor, OpError> {
    if x.dtype().is_complex() {
        return Err(OpError::Unsupported("`logsumexp` of complex numbers".into()));
    }
    let x = x.cast(DType::F64);
    let top = reduce(&x, dims, "max")?;
    // Where the largest is infinite, it is the result or the sum is.
    let shift = Tensor::from_fn(DType::F64, top.shape(), |i| {
        let t = top.f64(i);
        Scalar::Float(if t.is_infinite() { 0.0 } else { t })
    });
    let spread = keep(&shift, x.shape(), dims, true)?.broadcast_to(x.shape())?;
    let terms = x.as_f64s().iter().zip(spread.as_f64s().iter()).map(|(x, s)| (x - s).exp()).collect();
    let sums = reduce(&Tensor::floats(DType::F64, x.shape(), terms), dims, "sum")?;
    let values = sums.as_f64s().iter().zip(shift.as_f64s().iter()).map(|(t, s)| t.ln() + s).collect();
    Ok(Tensor::floats(dtype, sums.shape(), values))
}

/// The p-norm of the elements over `dims`.
fn norm(x: &Tensor, dims: &[usize], p: f64, dtype: DType) -> Result<Tensor, OpError> {
    let x = if x.dtype().is_complex() { x.clone() } else { x.cast(if dtype.is_complex() { x.dtype() } else { dtype }) };
    let sizes: Tensor = if x.dtype().is_complex() {
        Tensor::floats(DType::F64, x.shape(), x.as_complexes().iter().map(|z| z.norm()).collect())
    } else {
        ABS.apply(&x.cast(DType::F64))?
    };
    let map = |t: &Tensor, f: &dyn Fn(f64) -> f64| {
        Tensor::floats(DType::F64, t.shape(), t.as_f64s().iter().map(|&v| f(v)).collect())
    };
    let result = if p == f64::INFINITY {
        reduce(&sizes, dims, "max")?
    } else if p == f64::NEG_INFINITY {
        reduce(&sizes, dims, "min")?
    } else if p == 0.0 {
        reduce(&map(&sizes, &|v| f64::from(u8::from(v != 0.0))), dims, "sum")?
    } else {
        map(&reduce(&map(&sizes, &|v| v.powf(p)), dims, "sum")?, &|v| v.powf(1.0 / p))
    };
    Ok(result.cast(dtype.to_real()))
}

/// `correction` of a variance: 1 where not given; `unbiased` is the older way to say 1 or 0.
pub fn correction<T>(c: &Call<'_, T>) -> Result<f64, OpError> {
    if c.op.schema.position("unbiased").is_some() {
        return Ok(f64::from(u8::from(c.bool("unbiased")?)));
    }
    Ok(c.opt_float("correction")?.unwrap_or(1.0))
}

/// Mean and variance, in f64.
struct Moments {
    mean: Tensor,
    var: Tensor,
}

impl Moments {
    fn mean(&self) -> Tensor {
        self.mean.clone()
    }

    fn var(&self) -> Tensor {
        self.var.clone()
    }

    fn std(&self) -> Tensor {
        Tensor::floats(DType::F64, self.var.shape(), self.var.as_f64s().iter().map(|v| v.sqrt()).collect())
    }
}

fn moments(x: &Tensor, dims: &[usize], correction: f64) -> Result<Moments, OpError> {
    if !x.dtype().is_float() && !x.dtype().is_complex() {
        return Err(OpError::Unsupported(format!("the variance of {} elements", x.dtype())));
    }
    let x = wide(x);
    let n = count_of(&x, dims);
    let scale = |t: &Tensor, by: f64| match t.dtype().is_complex() {
        true => Tensor::complexes(t.dtype(), t.shape(), t.as_complexes().iter().map(|v| v / by).collect()),
        false => Tensor::floats(DType::F64, t.shape(), t.as_f64s().iter().map(|v| v / by).collect()),
    };
    let mean = scale(&reduce(&x, dims, "sum")?, n);
    let spread = keep(&mean, x.shape(), dims, true)?.broadcast_to(x.shape())?;
    let squares = match x.dtype().is_complex() {
        true => x.as_complexes().iter().zip(spread.as_complexes().iter()).map(|(x, m)| (x - m).norm_sqr()).collect(),
        false => x.as_f64s().iter().zip(spread.as_f64s().iter()).map(|(x, m)| (x - m) * (x - m)).collect(),
    };
    let var = scale(&reduce(&Tensor::floats(DType::F64, x.shape(), squares), dims, "sum")?, (n - correction).max(0.0));
    Ok(Moments { mean, var })
}
