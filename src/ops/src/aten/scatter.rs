//! Writing by index: scatter, index_put and their relatives, all of them functional.

use super::index::{positions, without_masks, wrapped};
use crate::{Call, OpDef, OpError, Scalar, Tensor, host, shape, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_unsafe_index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor", same_as_self, index_put),
    OpDef::new("index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor", same_as_self, index_add),
    OpDef::new("index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor", same_as_self, |c| along(c, "set")),
    OpDef::new("index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", same_as_self, index_fill),
    OpDef::new("index_fill.int_Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor", same_as_self, index_fill),
    OpDef::new("index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor", same_as_self, index_put),
    OpDef::new("index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor", same_as_self, index_reduce),
    OpDef::new("masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor", masked_fact, masked_scatter),
    OpDef::new("put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor", same_as_self, put),
    OpDef::new("scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor", same_as_self, |c| scatter(c, "src")),
    OpDef::new("scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", same_as_self, |c| scatter(c, "src")),
    OpDef::new("scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", same_as_self, |c| scatter(c, "value")),
    OpDef::new("scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor", same_as_self, |c| scatter(c, "value")),
    OpDef::new("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", same_as_self, |c| scatter(c, "src")),
    OpDef::new("scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor", same_as_self, scatter_reduce),
];

fn same_as_self(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![c.tensor("self")?.clone()])
}

/// A number or tensor argument as a tensor of this shape and dtype.
fn filled(arg: &Arg<Tensor>, dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    match arg {
        Arg::Tensor(t) => t.cast(dtype).broadcast_to(shape),
        number => {
            let value = crate::number(number).ok_or_else(|| OpError::invalid("a number was expected"))?;
            Ok(Tensor::full(dtype, shape, value))
        }
    }
}

/// Rank 0 counts as rank 1.
fn lifted(t: &Tensor) -> Result<Tensor, OpError> {
    if t.rank() == 0 { t.reshape(&[1]) } else { Ok(t.clone()) }
}

/// `prim.scatter` of host tensors, at least 1-d.
fn scattered(x: &Tensor, index: &Tensor, src: &Tensor, dim: usize, reduce: &str) -> Result<Tensor, OpError> {
    if index.numel() == 0 {
        return Ok(x.clone());
    }
    let tensors = [lifted(x)?, lifted(index)?.cast(DType::I64), lifted(src)?].map(Arg::Tensor);
    let rest = [Arg::Int(Dim::int(dim as i64)), Arg::Str(reduce.into())];
    host::call1("prim.scatter", tensors.into_iter().chain(rest).collect())?.reshape(x.shape())
}

/// How a scatter combines, as the primitive calls it.
pub fn scatter_kind<T>(c: &Call<'_, T>) -> Result<&'static str, OpError> {
    if c.op.schema.name == "scatter_add" {
        return Ok("add");
    }
    if c.op.schema.position("reduce").is_none() {
        return Ok("set");
    }
    match c.str("reduce")? {
        "add" | "sum" => Ok("add"),
        "multiply" | "prod" => Ok("mul"),
        "amax" => Ok("max"),
        "amin" => Ok("min"),
        "mean" => Ok("add"),
        other => Err(OpError::Invalid(format!("`{other}` is no way to scatter"))),
    }
}

fn scatter(c: &Call<'_, Tensor>, src: &str) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let src = match c.arg(src)? {
        Arg::Tensor(t) => t.clone(),
        number => filled(number, x.dtype(), index.shape())?,
    };
    Ok(vec![scattered(x, index, &src, dim, scatter_kind(c)?)?])
}

/// A reduction with a name of `scatter_reduce`, over positions along `dim`.
fn reduced(
    x: &Tensor,
    index: &Tensor,
    src: &Tensor,
    dim: usize,
    (reduce, kind): (&str, &str),
    include: bool,
) -> Result<Tensor, OpError> {
    let dtype = x.dtype();
    let mut base = x.clone();
    if !include {
        // What is written to starts from the neutral element of the reduction.
        let (low, high) = limits(dtype);
        let neutral = match kind {
            "mul" => Scalar::Int(1),
            "max" => low,
            "min" => high,
            _ => Scalar::Int(0),
        };
        base = scattered(x, index, &Tensor::full(dtype, src.shape(), neutral), dim, "set")?;
    }
    let out = scattered(&base, index, src, dim, kind)?;
    if reduce != "mean" {
        return Ok(out);
    }
    let ones = Tensor::full(DType::F64, src.shape(), Scalar::Int(1));
    let start = Tensor::full(DType::F64, x.shape(), Scalar::Int(i64::from(include)));
    let counts = scattered(&start, index, &ones, dim, "add")?;
    let by = |i: usize| counts.f64(i).max(1.0);
    Ok(Tensor::from_fn(dtype, x.shape(), |i| match dtype.is_float() {
        true => Scalar::Float(out.f64(i) / by(i)),
        false => Scalar::Int(out.i64(i).div_euclid(by(i) as i64)),
    }))
}

/// The least and greatest values of a dtype.
pub fn limits(dtype: DType) -> (Scalar, Scalar) {
    if dtype.is_float() {
        return (Scalar::Float(f64::NEG_INFINITY), Scalar::Float(f64::INFINITY));
    }
    let bits = 8 * dtype.size() as u32;
    match dtype {
        DType::Bool => (Scalar::Bool(false), Scalar::Bool(true)),
        d if d.is_signed_int() => (Scalar::Int(i64::MIN >> (64 - bits)), Scalar::Int(i64::MAX >> (64 - bits))),
        _ => (Scalar::Int(0), Scalar::Int(if bits == 64 { -1 } else { (1 << bits) - 1 })),
    }
}

fn scatter_reduce(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index, src) = (c.tensor("self")?, c.tensor("index")?, c.tensor("src")?);
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    if index.numel() == 0 {
        return Ok(vec![x.clone()]);
    }
    // Only the part of the source that the index covers takes part.
    let src = lifted(src)?;
    let strides: Vec<isize> = src.strides().iter().map(|&s| s as isize).collect();
    let src = src.strided(lifted(index)?.shape(), &strides, 0);
    let kinds = (c.str("reduce")?, scatter_kind(c)?);
    Ok(vec![reduced(x, index, &src, dim, kinds, c.bool("include_self")?)?])
}

/// The index of an `index_…` operator spread over the shape of its source.
fn spread_index(index: &Tensor, shape: &[usize], dim: usize) -> Result<Tensor, OpError> {
    let mut own = vec![1; shape.len()];
    if let Some(n) = own.get_mut(dim) {
        *n = index.numel();
    }
    index.reshape(&own)?.broadcast_to(shape)
}

fn along(c: &Call<'_, Tensor>, kind: &str) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (lifted(c.tensor("self")?)?, c.tensor("index")?);
    let source = lifted(c.tensor("source")?)?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let index = spread_index(index, source.shape(), dim)?;
    Ok(vec![scattered(&x, &index, &source, dim, kind)?.reshape(c.tensor("self")?.shape())?])
}

fn index_add(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (lifted(c.tensor("self")?)?, c.tensor("index")?);
    let source = lifted(c.tensor("source")?)?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let source = match c.arg("alpha")? {
        Arg::Int(one) if one.is_one() => source,
        alpha => {
            let alpha = filled(alpha, source.dtype(), &[])?;
            host::call1("prim.mul", vec![Arg::Tensor(source), Arg::Tensor(alpha)])?
        }
    };
    let index = spread_index(index, source.shape(), dim)?;
    Ok(vec![scattered(&x, &index, &source, dim, "add")?.reshape(c.tensor("self")?.shape())?])
}

fn index_fill(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (lifted(c.tensor("self")?)?, c.tensor("index")?);
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let n = x.shape()[dim];
    let wrapped_index =
        index.as_i64s().iter().map(|&i| Ok(wrapped(i, n)? as i64)).collect::<Result<Vec<_>, OpError>>()?;
    let index = Tensor::from_i64(DType::I64, &[index.numel()], &wrapped_index);
    let mut shape = x.shape().to_vec();
    shape[dim] = index.numel();
    let src = filled(c.arg("value")?, x.dtype(), &shape)?;
    let index = spread_index(&index, &shape, dim)?;
    Ok(vec![scattered(&x, &index, &src, dim, "set")?.reshape(c.tensor("self")?.shape())?])
}

fn index_reduce(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index, source) = (c.tensor("self")?, c.tensor("index")?, c.tensor("source")?);
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let source = lifted(source)?;
    let index = spread_index(index, source.shape(), dim)?;
    let kinds = (c.str("reduce")?, scatter_kind(c)?);
    Ok(vec![reduced(x, &index, &source, dim, kinds, c.bool("include_self")?)?])
}

fn index_put(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, values) = (c.tensor("self")?, c.tensor("values")?);
    let indices = without_masks(&c.opt_tensors("indices")?);
    let (to, shape) = positions(x.shape(), &indices)?;
    let values = values.broadcast_to(&shape)?;
    write(x, &to, &values, c.bool("accumulate")?)
}

/// `values` written to (or added at) flat positions, in order.
fn write(x: &Tensor, to: &[usize], values: &Tensor, accumulate: bool) -> Result<Vec<Tensor>, OpError> {
    let index: Vec<i64> = to.iter().map(|&i| i as i64).collect();
    let index = Tensor::from_i64(DType::I64, &[to.len()], &index);
    let (flat, values) = (x.reshape(&[x.numel()])?, values.reshape(&[to.len()])?);
    let out = scattered(&flat, &index, &values, 0, if accumulate { "add" } else { "set" })?;
    Ok(vec![out.reshape(x.shape())?])
}

fn put(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let to = index.as_i64s().iter().map(|&i| wrapped(i, x.numel())).collect::<Result<Vec<_>, _>>()?;
    write(x, &to, c.tensor("source")?, c.bool("accumulate")?)
}

fn masked_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, mask) = (c.tensor("self")?, c.tensor("mask")?);
    Ok(vec![Fact::new(x.dtype, shape::broadcast(c.scope, &x.shape, &mask.shape)?)])
}

/// Elements of `source`, in order, where the mask is true.
fn masked_scatter(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, mask, source) = (c.tensor("self")?, c.tensor("mask")?, c.tensor("source")?);
    let (dtype, shape) = host::result_of(c)?;
    let (x, mask) = (x.broadcast_to(&shape)?, mask.broadcast_to(&shape)?);
    let needed = (0..mask.numel()).filter(|&i| mask.get(i).to_bool()).count();
    if needed > source.numel() {
        return Err(OpError::Runtime(format!(
            "masked_scatter needs {needed} elements, the source has {}",
            source.numel()
        )));
    }
    let mut next = 0;
    Ok(vec![Tensor::from_fn(dtype, &shape, |i| {
        if !mask.get(i).to_bool() {
            return x.get(i);
        }
        next += 1;
        source.get(next - 1)
    })])
}
