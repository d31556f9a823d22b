//! Writing by index.

use super::common::{dim_arg, opt_tensor, outputs, scaled, tensor};
use super::index::{front, lifted, plan, wrapped};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::scatter::{limits, scatter_kind};
use pt2c_ops::{Call, OpError, Scalar};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._unsafe_index_put.default", index_put),
    ("aten.index_add.default", index_add),
    ("aten.index_copy.default", index_copy),
    ("aten.index_fill.int_Scalar", index_fill),
    ("aten.index_fill.int_Tensor", index_fill),
    ("aten.index_put.default", index_put),
    ("aten.index_reduce.default", index_reduce),
    ("aten.masked_scatter.default", masked_scatter),
    ("aten.put.default", put),
    ("aten.scatter.reduce", |b, c| scatter(b, c, "src")),
    ("aten.scatter.src", |b, c| scatter(b, c, "src")),
    ("aten.scatter.value", |b, c| scatter(b, c, "value")),
    ("aten.scatter.value_reduce", |b, c| scatter(b, c, "value")),
    ("aten.scatter_add.default", |b, c| scatter(b, c, "src")),
    ("aten.scatter_reduce.two", scatter_reduce),
];

/// `prim.scatter` with 0-d operands lifted and an empty index ignored.
fn scattered(b: &mut Builder<'_>, x: Val, index: Val, src: Val, dim: usize, kind: &str) -> Result<Val, OpError> {
    if b.fact(index).numel().is_zero() {
        return Ok(x);
    }
    let shape = b.shape(x);
    let (x, index, src) = (lifted(b, x)?, lifted(b, index)?, lifted(b, src)?);
    let index = b.cast(index, DType::I64)?;
    let out = b.scatter(x, index, src, dim, kind)?;
    b.reshape(out, &shape)
}

fn scatter(b: &mut Builder<'_>, c: &Call<'_, Val>, src: &str) -> Outputs {
    let (x, index) = (tensor(c, "self")?, tensor(c, "index")?);
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let dtype = b.dtype(x);
    let src = match c.arg(src)? {
        Arg::Tensor(v) => *v,
        number => {
            let shape = b.shape(index);
            b.full(&shape, number, dtype)?
        }
    };
    Ok(vec![scattered(b, x, index, src, dim, scatter_kind(c)?)?])
}

/// A `scatter_reduce` reduction of `src` (of the index's shape) into `x`.
fn reduced(b: &mut Builder<'_>, x: Val, index: Val, src: Val, dim: usize, c: &Call<'_, Val>) -> Result<Val, OpError> {
    let (reduce, kind, include) = (c.str("reduce")?, scatter_kind(c)?, c.bool("include_self")?);
    let dtype = b.dtype(x);
    let (wide, numbers) = (b.shape(x), b.shape(src));
    let mut base = x;
    if !include {
        let (low, high) = limits(dtype);
        let as_arg = |s: Scalar| match s {
            Scalar::Bool(v) => Arg::Bool(v),
            Scalar::Int(v) => Arg::Int(Dim::int(v)),
            other => Arg::Float(other.to_f64()),
        };
        let neutral = match kind {
            "mul" => Arg::Int(Dim::ONE),
            "max" => as_arg(low),
            "min" => as_arg(high),
            _ => Arg::Int(Dim::ZERO),
        };
        let neutral = b.full(&numbers, &neutral, dtype)?;
        base = scattered(b, base, index, neutral, dim, "set")?;
    }
    let out = scattered(b, base, index, src, dim, kind)?;
    if reduce != "mean" {
        return Ok(out);
    }
    // Counted exactly, whatever the dtype.
    let ones = b.full(&numbers, &Arg::Int(Dim::ONE), DType::I64)?;
    let start = b.full(&wide, &Arg::Int(Dim::int(i64::from(include))), DType::I64)?;
    let counts = scattered(b, start, index, ones, dim, "add")?;
    let one = b.constant(1.0, DType::I64)?;
    let counts = b.max(counts, one)?;
    let counts = b.cast(counts, dtype)?;
    if dtype.is_int() { b.div_floor(out, counts) } else { b.div(out, counts) }
}

fn scatter_reduce(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, index, src) = (tensor(c, "self")?, tensor(c, "index")?, tensor(c, "src")?);
    let dim = dim_arg(c, "dim", b.rank(x))?;
    if b.fact(index).numel().is_zero() {
        return Ok(vec![x]);
    }
    let (index, src) = (lifted(b, index)?, lifted(b, src)?);
    let size = b.shape(index);
    let (start, step) = (vec![Dim::ZERO; size.len()], vec![1; size.len()]);
    let src = b.slice(src, &start, &size, &step)?;
    Ok(vec![reduced(b, x, index, src, dim, c)?])
}

/// The index of an `index_…` operator spread over a shape.
fn spread(b: &mut Builder<'_>, index: Val, shape: &[Dim], dim: usize) -> Result<Val, OpError> {
    let mut own = vec![Dim::ONE; shape.len()];
    if let Some(n) = own.get_mut(dim) {
        *n = b.fact(index).numel();
    }
    let index = b.cast(index, DType::I64)?;
    let index = b.reshape(index, &own)?;
    b.expand(index, shape)
}

/// `source` written or added at an index along `dim`.
fn along(b: &mut Builder<'_>, c: &Call<'_, Val>, source: Val, kind: &str) -> Outputs {
    let x = tensor(c, "self")?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let source = lifted(b, source)?;
    let shape = b.shape(source);
    let index = spread(b, tensor(c, "index")?, &shape, dim)?;
    Ok(vec![scattered(b, x, index, source, dim, kind)?])
}

fn index_copy(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    along(b, c, tensor(c, "source")?, "set")
}

fn index_add(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let source = scaled(b, tensor(c, "source")?, c.arg("alpha")?)?;
    along(b, c, source, "add")
}

fn index_fill(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, index) = (tensor(c, "self")?, tensor(c, "index")?);
    let dtype = b.dtype(x);
    let lifted_x = lifted(b, x)?;
    let mut shape = b.shape(lifted_x);
    let dim = dim_arg(c, "dim", shape.len())?;
    let index = wrapped(b, index, &shape[dim].clone())?;
    shape[dim] = b.fact(index).numel();
    let value = b.operand(c, "value", dtype)?;
    let src = b.expand(value, &shape)?;
    let index = spread(b, index, &shape, dim)?;
    Ok(vec![scattered(b, x, index, src, dim, "set")?])
}

fn index_reduce(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, source) = (tensor(c, "self")?, tensor(c, "source")?);
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let source = lifted(b, source)?;
    let shape = b.shape(source);
    let index = spread(b, tensor(c, "index")?, &shape, dim)?;
    Ok(vec![reduced(b, x, index, source, dim, c)?])
}

/// A mask behind `before` full slices.
struct Mask {
    value: Val,
    before: usize,
}

fn mask_of(b: &Builder<'_>, indices: &[Option<Val>]) -> Option<Mask> {
    let given: Vec<(usize, Val)> = indices.iter().enumerate().filter_map(|(d, i)| Some((d, (*i)?))).collect();
    match given[..] {
        [(before, value)] if b.dtype(value) == DType::Bool => Some(Mask { value, before }),
        _ => None,
    }
}

/// Values written through a mask without knowing how many elements it selects: one for all, or the n-th for the
/// n-th selected element, counted with a running sum.
fn put_masked(b: &mut Builder<'_>, x: Val, values: Val, mask: &Mask, accumulate: bool) -> Result<Val, OpError> {
    let (shape, own) = (b.shape(x), b.shape(mask.value));
    let after = shape.len().checked_sub(mask.before + own.len());
    let after = after.ok_or_else(|| OpError::invalid("a mask has more dimensions than its tensor"))?;
    let condition = [vec![Dim::ONE; mask.before], own.clone(), vec![Dim::ONE; after]].concat();
    let condition = b.reshape(mask.value, &condition)?;
    let given = b.shape(values);
    let new = match given.len().checked_sub(after + 1) {
        None => values,
        Some(at) if given[at].is_one() => {
            let wide = [&given[..at], &vec![Dim::ONE; own.len()], &given[at + 1..]].concat();
            b.reshape(values, &wide)?
        }
        Some(at) => {
            let order = running_positions(b, mask.value)?;
            b.take(values, order, at)?
        }
    };
    let new = b.expand(new, &shape)?;
    let new = if accumulate { b.add(x, new)? } else { new };
    b.where_(condition, new, x)
}

/// For every true element how many are true before it, in row-major order; 0 for the others.
fn running_positions(b: &mut Builder<'_>, mask: Val) -> Result<Val, OpError> {
    let shape = b.shape(mask);
    let flat = b.reshape(mask, &[shape.iter().fold(Dim::ONE, |n, d| &n * d)])?;
    let ones = b.cast(flat, DType::I64)?;
    let counted = b.scan(ones, 0, "sum")?;
    let (one, zero) = (b.constant(1.0, DType::I64)?, b.constant(0.0, DType::I64)?);
    let at = b.sub(counted, one)?;
    let at = b.where_(flat, at, zero)?;
    b.reshape(at, &shape)
}

fn index_put(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, values) = (tensor(c, "self")?, tensor(c, "values")?);
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    let values = b.cast(values, dtype)?;
    let accumulate = c.bool("accumulate")?;
    let indices: Vec<Option<Val>> = c.opt_tensors("indices")?.into_iter().map(|i| i.copied()).collect();
    if let Some(mask) = mask_of(b, &indices) {
        return Ok(vec![put_masked(b, x, values, &mask, accumulate)?]);
    }
    let (plan, at) = plan(b, &shape, &indices)?;
    if at.is_empty() {
        let new = b.expand(values, &shape)?;
        return Ok(vec![if accumulate { b.add(x, new)? } else { new }]);
    }
    if let ([index], [dim], [count]) = (&at[..], &plan.dims[..], &plan.broadcast[..])
        && plan.place > 0
    {
        // One vector of indices: written along its dimension, so that nothing is moved.
        let mut size = shape.clone();
        if let Some(n) = size.get_mut(*dim) {
            n.clone_from(count);
        }
        let new = b.expand(values, &size)?;
        let index = spread(b, *index, &size, *dim)?;
        let kind = if accumulate { "add" } else { "set" };
        return Ok(vec![scattered(b, x, index, new, *dim, kind)?]);
    }
    // Values lie as the indexed result does: its index dimensions go to the front with the indexed ones.
    let mut put = values;
    if plan.place > 0 {
        let count = plan.broadcast.len();
        put = b.expand(put, &plan.shape)?;
        let own = plan.place..plan.place + count;
        let order: Vec<usize> = own.clone().chain((0..plan.shape.len()).filter(|d| !own.contains(d))).collect();
        put = b.permute(put, &order)?;
    }
    let order = front(shape.len(), &plan.dims);
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, &d)| back[d] = i);
    let moved = b.permute(x, &order)?;
    let out = b.index_put(moved, &at, put, accumulate)?;
    Ok(vec![b.permute(out, &back)?])
}

fn put(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, index, source) = (tensor(c, "self")?, tensor(c, "index")?, tensor(c, "source")?);
    let shape = b.shape(x);
    let (numel, count) = (b.fact(x).numel(), b.fact(index).numel());
    let flat = b.reshape(x, &[numel.clone()])?;
    let index = wrapped(b, index, &numel)?;
    let index = b.reshape(index, &[count.clone()])?;
    let source = b.reshape(source, &[count])?;
    let kind = if c.bool("accumulate")? { "add" } else { "set" };
    let out = scattered(b, flat, index, source, 0, kind)?;
    Ok(vec![b.reshape(out, &shape)?])
}

/// The n-th true element takes element n of the source.
fn masked_scatter(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let x = b.expand(tensor(c, "self")?, &out.shape)?;
    let mask = b.expand(opt_tensor(c, "mask")?.ok_or_else(|| OpError::invalid("no mask"))?, &out.shape)?;
    let source = tensor(c, "source")?;
    let count = b.fact(source).numel();
    if count.is_zero() {
        return Ok(vec![x]);
    }
    let at = running_positions(b, mask)?;
    let source = b.reshape(source, &[count])?;
    let new = b.take(source, at, 0)?;
    Ok(vec![b.where_(mask, new, x)?])
}
