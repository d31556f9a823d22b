//! Primitives that address elements by computed indices. An index out of range is a run-time error.

use crate::{Call, OpDef, OpError, Strided, Tensor, functions, pointwise::Binary, shape, strides_of};
use num_complex::Complex64;
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new("take(Tensor x, Tensor index, int dim) -> Tensor", infer_take, take),
    OpDef::new("gather(Tensor x, Tensor index, int dim) -> Tensor", infer_gather, gather),
    OpDef::new("index(Tensor x, Tensor[] indices) -> Tensor", infer_index, index),
    OpDef::new("scatter(Tensor x, Tensor index, Tensor src, int dim, str reduce) -> Tensor", infer_scatter, scatter),
    OpDef::new(
        "index_put(Tensor x, Tensor[] indices, Tensor values, bool accumulate) -> Tensor",
        infer_index_put,
        index_put,
    ),
];

fn is_index(f: &Fact) -> Result<(), OpError> {
    if f.dtype == DType::I64 { Ok(()) } else { Err(OpError::Invalid(format!("an index of dtype {}", f.dtype))) }
}

/// An index as a position below `n`.
fn checked(i: i64, n: usize) -> Result<usize, OpError> {
    usize::try_from(i)
        .ok()
        .filter(|&i| i < n)
        .ok_or_else(|| OpError::Runtime(format!("index {i} is out of bounds for a dimension of size {n}")))
}

fn infer_take(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, index) = (c.tensor("x")?, c.tensor("index")?);
    is_index(index)?;
    let dim = c.position("dim", x.rank())?;
    let shape: Vec<Dim> =
        x.shape.iter().take(dim).chain(&index.shape).chain(x.shape.iter().skip(dim + 1)).cloned().collect();
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn take(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (c.tensor("x")?, c.tensor("index")?);
    let dim = c.position("dim", x.rank())?;
    let n = x.shape().get(dim).copied().unwrap_or(0);
    let outer: usize = x.shape().iter().take(dim).product();
    let inner: usize = x.shape().iter().skip(dim + 1).product();
    let indices = index.as_i64s().iter().map(|&i| checked(i, n)).collect::<Result<Vec<_>, _>>()?;
    let shape: Vec<usize> =
        x.shape().iter().take(dim).chain(index.shape()).chain(x.shape().iter().skip(dim + 1)).copied().collect();
    let positions =
        (0..outer).flat_map(|o| indices.iter().flat_map(move |&i| (o * n + i) * inner..(o * n + i + 1) * inner));
    Ok(vec![x.pick(&shape, positions)])
}

fn infer_gather(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, index) = (c.tensor("x")?, c.tensor("index")?);
    is_index(index)?;
    c.position("dim", x.rank())?;
    if index.rank() != x.rank() {
        return Err(OpError::Invalid(format!("{index} cannot index {x}: ranks differ")));
    }
    Ok(vec![Fact::new(x.dtype, index.shape.clone())])
}

/// For each element of `index`: its position in a tensor of `shape` when coordinate `dim` is the element's value.
fn along(shape: &[usize], index: &Tensor, dim: usize) -> Result<Vec<usize>, OpError> {
    let strides = strides_of(shape);
    let n = shape.get(dim).copied().unwrap_or(0);
    let step = strides.get(dim).copied().unwrap_or(0);
    let fits = index.shape().iter().zip(shape).enumerate().all(|(d, (i, n))| d == dim || i <= n);
    if !fits {
        return Err(OpError::Invalid(format!("an index of shape {:?} is larger than {shape:?}", index.shape())));
    }
    let others: Vec<isize> = strides.iter().enumerate().map(|(d, &s)| if d == dim { 0 } else { s as isize }).collect();
    let values = index.as_i64s();
    Strided::new(index.shape(), &others, 0)
        .zip(values.iter())
        .map(|(base, &i)| Ok(base + checked(i, n)? * step))
        .collect()
}

fn gather(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (c.tensor("x")?, c.tensor("index")?);
    let positions = along(x.shape(), index, c.position("dim", x.rank())?)?;
    Ok(vec![x.pick(index.shape(), positions)])
}

/// Broadcast shape of the indices, followed by the dimensions they leave.
fn indexed_shape(c: &Call<'_, Fact>) -> Result<Vec<Dim>, OpError> {
    let (x, indices) = (c.tensor("x")?, c.tensors("indices")?);
    indices.iter().try_for_each(|i| is_index(i))?;
    if indices.is_empty() || indices.len() > x.rank() {
        return Err(OpError::Invalid(format!("{} indices for {x}", indices.len())));
    }
    let mut shape = shape::broadcast_all(c.scope, indices.iter().map(|i| i.shape.as_slice()))?;
    shape.extend(x.shape.iter().skip(indices.len()).cloned());
    Ok(shape)
}

fn infer_index(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(c.tensor("x")?.dtype, indexed_shape(c)?)])
}

/// Start of the run that each index addresses, the length of the runs, and the shape of the result.
fn runs(x: &Tensor, indices: &[&Tensor]) -> Result<(Vec<usize>, usize, Vec<usize>), OpError> {
    let mut shape = shape::broadcast_known(&indices.iter().map(|i| i.shape()).collect::<Vec<_>>())?;
    let mut starts = vec![0usize; shape.iter().product()];
    for ((index, &n), &stride) in indices.iter().zip(x.shape()).zip(&x.strides()) {
        let index = index.broadcast_to(&shape)?;
        for (start, &i) in starts.iter_mut().zip(index.as_i64s().iter()) {
            *start += checked(i, n)? * stride;
        }
    }
    let rest = x.shape().get(indices.len()..).ok_or_else(|| OpError::invalid("more indices than dimensions"))?;
    shape.extend(rest);
    Ok((starts, rest.iter().product(), shape))
}

fn index(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    let (starts, run, shape) = runs(x, &c.tensors("indices")?)?;
    Ok(vec![x.pick(&shape, starts.into_iter().flat_map(|s| s..s + run))])
}

fn infer_scatter(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, index, src) = (c.tensor("x")?, c.tensor("index")?, c.tensor("src")?);
    is_index(index)?;
    c.position("dim", x.rank())?;
    Reduce::parse(c.str("reduce")?)?;
    if index.rank() != x.rank() || src.rank() != x.rank() || src.dtype != x.dtype {
        return Err(OpError::Invalid(format!("{src} cannot be scattered into {x} by {index}")));
    }
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

fn scatter(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index, src) = (c.tensor("x")?, c.tensor("index")?, c.tensor("src")?);
    let targets = along(x.shape(), index, c.position("dim", x.rank())?)?;
    let strides: Vec<isize> = src.strides().iter().map(|&s| s as isize).collect();
    let src = src.strided(index.shape(), &strides, 0);
    Ok(vec![Reduce::parse(c.str("reduce")?)?.apply(x, &targets, &src)?])
}

fn infer_index_put(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, values) = (c.tensor("x")?, c.tensor("values")?);
    let region = indexed_shape(c)?;
    if values.dtype != x.dtype || values.rank() > region.len() {
        return Err(OpError::Invalid(format!("{values} cannot be put into {x}")));
    }
    shape::broadcast(c.scope, &region, &values.shape)?;
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

fn index_put(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    let (starts, run, shape) = runs(x, &c.tensors("indices")?)?;
    let values = c.tensor("values")?.broadcast_to(&shape)?;
    let targets: Vec<usize> = starts.into_iter().flat_map(|s| s..s + run).collect();
    let reduce = if c.bool("accumulate")? { Reduce::With(functions::ADD) } else { Reduce::Set };
    Ok(vec![reduce.apply(x, &targets, &values)?])
}

/// How scattered elements combine with what is there.
enum Reduce {
    Set,
    With(Binary),
}

impl Reduce {
    fn parse(name: &str) -> Result<Reduce, OpError> {
        Ok(match name {
            "set" => Reduce::Set,
            "add" => Reduce::With(functions::ADD),
            "mul" => Reduce::With(functions::MUL),
            "max" => Reduce::With(functions::MAX),
            "min" => Reduce::With(functions::MIN),
            _ => return Err(OpError::Invalid(format!("`{name}` is no way to scatter"))),
        })
    }

    /// `x` with element `i` of `src` combined into element `targets[i]`, in order.
    fn apply(&self, x: &Tensor, targets: &[usize], src: &Tensor) -> Result<Tensor, OpError> {
        fn run<T: Copy>(x: &[T], targets: &[usize], src: &[T], f: Option<fn(T, T) -> T>) -> Vec<T> {
            let mut out = x.to_vec();
            for (&at, &new) in targets.iter().zip(src) {
                if let Some(slot) = out.get_mut(at) {
                    *slot = f.map_or(new, |f| f(*slot, new));
                }
            }
            out
        }
        let missing = || OpError::Invalid(format!("this reduction is not defined for {}", x.dtype()));
        macro_rules! by {
            ($field:ident) => {
                match self {
                    Reduce::Set => None,
                    Reduce::With(f) => Some(f.$field.ok_or_else(missing)?),
                }
            };
        }
        let (dtype, shape) = (x.dtype(), x.shape());
        Ok(if dtype.is_float() {
            Tensor::floats(dtype, shape, run::<f64>(&x.as_f64s(), targets, &src.as_f64s(), by!(float)))
        } else if dtype.is_complex() {
            let f = by!(complex);
            Tensor::complexes(dtype, shape, run::<Complex64>(&x.as_complexes(), targets, &src.as_complexes(), f))
        } else if dtype == DType::Bool {
            Tensor::bools(shape, run::<bool>(&x.as_bools(), targets, &src.as_bools(), by!(bool)))
        } else {
            Tensor::ints(dtype, shape, run::<i64>(&x.as_i64s(), targets, &src.as_i64s(), by!(int)))
        })
    }
}
