//! Reading by index.

use super::common::{dim_arg, outputs, tensor};
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::index::{Indexing, take_along_shapes};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._unsafe_index.Tensor", index),
    ("aten.embedding.default", embedding),
    ("aten.gather.default", gather),
    ("aten.index.Tensor", index),
    ("aten.index_select.default", index_select),
    ("aten.one_hot.default", one_hot),
    ("aten.take.default", take),
    ("aten.take_along_dim.default", take_along),
];

/// Indices as i64 with negative ones counted from the end of a dimension of this size.
pub(super) fn wrapped(b: &mut Builder<'_>, index: Val, size: &Dim) -> Result<Val, OpError> {
    let index = b.cast(index, DType::I64)?;
    let zero = b.constant(0.0, DType::I64)?;
    let size = b.constant_dim(size, DType::I64)?;
    let negative = b.lt(index, zero)?;
    let from_end = b.add(index, size)?;
    b.where_(negative, from_end, index)
}

/// The indices of an indexing call, wrapped, with the plan that orders them.
pub(super) fn plan(
    b: &mut Builder<'_>,
    shape: &[Dim],
    indices: &[Option<Val>],
) -> Result<(Indexing, Vec<Val>), OpError> {
    let facts: Vec<_> = indices.iter().map(|i| i.map(|v| b.fact(v))).collect();
    let mut plan = Indexing::new(b.scope(), shape, &facts.iter().map(Option::as_ref).collect::<Vec<_>>())?;
    let masked = |v: Val, b: &Builder<'_>| matches!(b.dtype(v), DType::Bool | DType::U8);
    let mut values = Vec::new();
    let mut sizes = shape.iter();
    if indices.iter().flatten().any(|v| masked(*v, b)) {
        // The number of selected elements is a size of the result: the last one of the indices' own dimensions.
        let last = (plan.place + plan.broadcast.len()).checked_sub(1).ok_or_else(|| OpError::invalid("no index"))?;
        let size = super::dynamic::stated(b, 0, last)?;
        for slot in plan.broadcast.iter_mut().rev().take(1) {
            slot.clone_from(&size);
        }
        if let Some(slot) = plan.shape.get_mut(last) {
            slot.clone_from(&size);
        }
        for index in indices {
            match index {
                None => {
                    sizes.next();
                }
                Some(mask) if masked(*mask, b) => {
                    let _ = sizes.by_ref().take(b.rank(*mask)).count();
                    values.extend(super::dynamic::indices_of(b, *mask, &size)?);
                }
                Some(v) => values.push(wrapped(b, *v, sizes.next().unwrap_or(&Dim::ONE))?),
            }
        }
        return Ok((plan, values));
    }
    for (index, size) in indices.iter().zip(sizes) {
        if let Some(v) = index {
            values.push(wrapped(b, *v, size)?);
        }
    }
    Ok((plan, values))
}

/// The order of dimensions that brings the indexed ones to the front.
pub(super) fn front(rank: usize, dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().chain((0..rank).filter(|d| !dims.contains(d))).collect()
}

/// The order that brings `count` leading dimensions to `place`, of `rank`.
pub(super) fn back(rank: usize, count: usize, place: usize) -> Vec<usize> {
    (count..count + place).chain(0..count).chain(count + place..rank).collect()
}

fn index(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let shape = b.shape(x);
    let indices: Vec<Option<Val>> = c.opt_tensors("indices")?.into_iter().map(|i| i.copied()).collect();
    let (plan, values) = plan(b, &shape, &indices)?;
    let out = match (&values[..], &plan.dims[..]) {
        ([], _) => x,
        ([one], [dim]) => b.take(x, *one, *dim)?,
        _ => {
            let x = b.permute(x, &front(shape.len(), &plan.dims))?;
            let out = b.index(x, &values)?;
            let order = back(b.rank(out), plan.broadcast.len(), plan.place);
            b.permute(out, &order)?
        }
    };
    Ok(vec![b.reshape(out, &plan.shape)?])
}

fn embedding(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let indices = b.cast(tensor(c, "indices")?, DType::I64)?;
    Ok(vec![b.take(tensor(c, "weight")?, indices, 0)?])
}

/// A value with at least one dimension.
pub(super) fn lifted(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    if b.rank(x) == 0 { b.reshape(x, &[Dim::ONE]) } else { Ok(x) }
}

fn gathered(b: &mut Builder<'_>, x: Val, index: Val, dim: usize) -> Result<Val, OpError> {
    let (shape, dtype) = (b.shape(index), b.dtype(x));
    if b.fact(index).numel().is_zero() {
        let zero = b.constant(0.0, dtype)?;
        return b.expand(zero, &shape);
    }
    let (x, index) = (lifted(b, x)?, lifted(b, index)?);
    let index = b.cast(index, DType::I64)?;
    let out = b.gather(x, index, dim)?;
    b.reshape(out, &shape)
}

fn gather(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    Ok(vec![gathered(b, x, tensor(c, "index")?, dim)?])
}

fn index_select(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, index) = (tensor(c, "self")?, tensor(c, "index")?);
    if b.rank(x) == 0 {
        return Ok(vec![x]);
    }
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let index = b.cast(index, DType::I64)?;
    let index = lifted(b, index)?;
    Ok(vec![b.take(x, index, dim)?])
}

fn one_hot(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let x = b.cast(tensor(c, "self")?, DType::I64)?;
    let last = b.rank(x);
    let mut classes = out.shape.get(last).cloned().unwrap_or(Dim::ONE);
    if c.int("num_classes")? < 0 {
        classes = super::dynamic::stated(b, 0, last)?;
        let numel = b.fact(x).numel();
        let flat = b.reshape(x, &[numel])?;
        let largest = b.reduce(flat, &[0], "max")?;
        let one = b.constant(1.0, DType::I64)?;
        let found = b.add(largest, one)?;
        super::dynamic::bind(b, found, &classes)?;
    }
    let (low, high) = (b.constant(0.0, DType::I64)?, b.constant_dim(&classes, DType::I64)?);
    let (above, below) = (b.ge(x, low)?, b.lt(x, high)?);
    let legal = b.and(above, below)?;
    b.assert(legal, "one_hot: class values must be non-negative and smaller than num_classes")?;
    let x = b.unsqueeze(x, last)?;
    let classes = b.iota(&classes, DType::I64)?;
    let hot = b.eq(x, classes)?;
    Ok(vec![b.cast(hot, out.dtype)?])
}

fn take(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let numel = b.fact(x).numel();
    let flat = b.reshape(x, &[numel.clone()])?;
    let index = wrapped(b, tensor(c, "index")?, &numel)?;
    Ok(vec![b.take(flat, index, 0)?])
}

fn take_along(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, index) = (tensor(c, "self")?, tensor(c, "indices")?);
    let (xs, is, dim) = take_along_shapes(c, &b.shape(x), &b.shape(index))?;
    let fit = |b: &mut Builder<'_>, v: Val, s: &[Dim]| {
        if b.rank(v) == s.len() { b.expand(v, s) } else { b.reshape(v, s) }
    };
    let (x, index) = (fit(b, x, &xs)?, fit(b, index, &is)?);
    let size = xs.get(dim).cloned().unwrap_or(Dim::ONE);
    let index = wrapped(b, index, &size)?;
    Ok(vec![gathered(b, x, index, dim)?])
}
