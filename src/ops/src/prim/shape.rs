//! Primitives that move elements without computing.

use crate::{Call, OpDef, OpError, Tensor, strides_of};
use pt2c_ir::Fact;
use pt2c_ir::dim::{Dim, Proof};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new("reshape(Tensor x, SymInt[] shape) -> Tensor", infer_reshape, |c| {
        Ok(vec![c.tensor("x")?.reshape(&c.sizes("shape")?)?])
    }),
    OpDef::new("expand(Tensor x, SymInt[] shape) -> Tensor", infer_expand, |c| {
        Ok(vec![c.tensor("x")?.broadcast_to(&c.sizes("shape")?)?])
    }),
    OpDef::new("permute(Tensor x, int[] dims) -> Tensor", infer_permute, |c| {
        Ok(vec![c.tensor("x")?.permute(&c.positions("dims")?)])
    }),
    OpDef::new("slice(Tensor x, SymInt[] start, SymInt[] size, int[] step) -> Tensor", infer_slice, slice),
    OpDef::new("pad(Tensor x, Tensor value, SymInt[] low, SymInt[] high) -> Tensor", infer_pad, pad),
    OpDef::new("cat(Tensor[] xs, int dim) -> Tensor", infer_cat, |c| {
        let xs = c.tensors("xs")?;
        Ok(vec![Tensor::cat(&xs, c.position("dim", xs.first().map_or(0, |x| x.rank()))?)?])
    }),
    OpDef::new(
        "update_slice(Tensor x, Tensor src, SymInt[] start, int[] step) -> Tensor",
        infer_update_slice,
        update_slice,
    ),
];

fn infer_reshape(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    let out = Fact::new(x.dtype, c.dims("shape")?);
    if c.scope.prove_eq(&x.numel(), &out.numel()) == Proof::No {
        return Err(OpError::Invalid(format!("{x} cannot be reshaped to {out}")));
    }
    Ok(vec![out])
}

fn infer_expand(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, shape) = (c.tensor("x")?, c.dims("shape")?);
    let fits = x.rank() <= shape.len()
        && x.shape.iter().rev().zip(shape.iter().rev()).all(|(a, b)| a.is_one() || !c.scope.prove_eq(a, b).is_no());
    if !fits {
        return Err(OpError::Invalid(format!("{x} does not expand to {}", Fact::new(x.dtype, shape))));
    }
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn infer_permute(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, dims) = (c.tensor("x")?, c.positions("dims")?);
    let mut sorted = dims.clone();
    sorted.sort_unstable();
    if sorted.into_iter().ne(0..x.rank()) {
        return Err(OpError::Invalid(format!("{dims:?} is no order of the dimensions of {x}")));
    }
    Ok(vec![Fact::new(x.dtype, dims.iter().filter_map(|&d| x.shape.get(d).cloned()).collect::<Vec<_>>())])
}

fn per_dim<T>(values: Vec<T>, x: &Fact, what: &str) -> Result<Vec<T>, OpError> {
    if values.len() == x.rank() {
        Ok(values)
    } else {
        Err(OpError::Invalid(format!("`{what}` has {} values for {x}", values.len())))
    }
}

fn infer_slice(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    per_dim(c.dims("start")?, x, "start")?;
    if per_dim(c.ints("step")?, x, "step")?.contains(&0) {
        return Err(OpError::invalid("a step of 0"));
    }
    Ok(vec![Fact::new(x.dtype, per_dim(c.dims("size")?, x, "size")?)])
}

/// Checks that a strided region lies inside `shape`; returns strides and offset of the region in elements.
fn region(shape: &[usize], start: &[i64], size: &[usize], step: &[i64]) -> Result<(Vec<isize>, usize), OpError> {
    let (mut strides, mut offset) = (Vec::new(), 0usize);
    let own = strides_of(shape);
    for ((((&n, &stride), &start), &count), &step) in shape.iter().zip(&own).zip(start).zip(size).zip(step) {
        strides.push(step as isize * stride as isize);
        if count == 0 {
            continue;
        }
        let last = start + (count as i64 - 1) * step;
        if start < 0 || last < 0 || start >= n as i64 || last >= n as i64 {
            return Err(OpError::Invalid(format!("slice from {start} of {count} by {step} leaves a size of {n}")));
        }
        offset += start as usize * stride;
    }
    Ok((strides, offset))
}

fn slice(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    let size = c.sizes("size")?;
    let (strides, offset) = region(x.shape(), &c.ints("start")?, &size, &c.ints("step")?)?;
    Ok(vec![x.strided(&size, &strides, offset)])
}

fn infer_pad(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, value) = (c.tensor("x")?, c.tensor("value")?);
    if value.dtype != x.dtype || value.rank() != 0 {
        return Err(OpError::Invalid(format!("{x} cannot be padded with {value}")));
    }
    let (low, high) = (per_dim(c.dims("low")?, x, "low")?, per_dim(c.dims("high")?, x, "high")?);
    let shape: Vec<Dim> = x.shape.iter().zip(low.iter().zip(&high)).map(|(n, (l, h))| &(n + l) + h).collect();
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn pad(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, value) = (c.tensor("x")?, c.tensor("value")?);
    let (low, high) = (c.sizes("low")?, c.sizes("high")?);
    let shape: Vec<usize> = x.shape().iter().zip(low.iter().zip(&high)).map(|(n, (l, h))| n + l + h).collect();
    let padded = value.broadcast_to(&shape)?;
    let start: Vec<i64> = low.iter().map(|&l| l as i64).collect();
    Ok(vec![overwrite(&padded, x, &start, &vec![1; shape.len()])?])
}

fn infer_cat(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let xs = c.tensors("xs")?;
    let first = xs.first().ok_or_else(|| OpError::invalid("nothing to concatenate"))?;
    let dim = c.position("dim", first.rank())?;
    let mut shape = first.shape.clone();
    for x in xs.iter().skip(1) {
        let same = x.dtype == first.dtype
            && x.rank() == first.rank()
            && x.shape.iter().zip(&shape).enumerate().all(|(d, (a, b))| d == dim || !c.scope.prove_eq(a, b).is_no());
        if !same {
            return Err(OpError::Invalid(format!("{first} and {x} cannot be concatenated along {dim}")));
        }
        if let (Some(to), Some(n)) = (shape.get_mut(dim), x.shape.get(dim)) {
            *to = &*to + n;
        }
    }
    Ok(vec![Fact::new(first.dtype, shape)])
}

fn infer_update_slice(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, src) = (c.tensor("x")?, c.tensor("src")?);
    if x.dtype != src.dtype || x.rank() != src.rank() {
        return Err(OpError::Invalid(format!("{src} does not fit a slice of {x}")));
    }
    per_dim(c.dims("start")?, x, "start")?;
    per_dim(c.ints("step")?, x, "step")?;
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

fn update_slice(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    Ok(vec![overwrite(c.tensor("x")?, c.tensor("src")?, &c.ints("start")?, &c.ints("step")?)?])
}

/// `x` with the strided region that starts at `start` replaced by `src`.
pub(crate) fn overwrite(x: &Tensor, src: &Tensor, start: &[i64], step: &[i64]) -> Result<Tensor, OpError> {
    let (strides, offset) = region(x.shape(), start, src.shape(), step)?;
    // Position in `src` of each element of `x`, for those inside.
    let mut source = vec![usize::MAX; x.numel()];
    for (i, at) in crate::Strided::new(src.shape(), &strides, offset).enumerate() {
        if let Some(slot) = source.get_mut(at) {
            *slot = i;
        }
    }
    Ok(merge(x, src, &source))
}

/// `x` with element `i` replaced by element `source[i]` of `src`, where that is not `usize::MAX`.
pub(crate) fn merge(x: &Tensor, src: &Tensor, source: &[usize]) -> Tensor {
    fn pick<T: Copy>(x: &[T], src: &[T], source: &[usize]) -> Vec<T> {
        x.iter().zip(source).map(|(&old, &at)| src.get(at).copied().unwrap_or(old)).collect()
    }
    let (dtype, shape) = (x.dtype(), x.shape());
    if dtype.is_float() {
        Tensor::floats(dtype, shape, pick(&x.as_f64s(), &src.as_f64s(), source))
    } else if dtype.is_complex() {
        Tensor::complexes(dtype, shape, pick(&x.as_complexes(), &src.as_complexes(), source))
    } else if dtype == pt2c_ir::DType::Bool {
        Tensor::bools(shape, pick(&x.as_bools(), &src.as_bools(), source))
    } else {
        Tensor::ints(dtype, shape, pick(&x.as_i64s(), &src.as_i64s(), source))
    }
}
