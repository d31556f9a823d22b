//! Primitives along dimensions: reductions, prefix scans, sorting.

use crate::functions::*;
use crate::pointwise::Binary;
use crate::{Call, OpDef, OpError, Tags, Tensor, shape, special};
use num_complex::Complex64;
use pt2c_ir::{DType, Fact};
use std::cmp::Ordering;

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new("reduce(Tensor x, int[] dims, str kind) -> Tensor", infer_reduce, |c| {
        Ok(vec![reduce(c.tensor("x")?, &c.positions("dims")?, c.str("kind")?)?])
    })
    .tagged(Tags::REDUCTION),
    OpDef::new("argreduce(Tensor x, int dim, str kind) -> Tensor", infer_argreduce, argreduce).tagged(Tags::REDUCTION),
    OpDef::new("scan(Tensor x, int dim, str kind) -> Tensor", infer_scan, scan),
    OpDef::new(
        "sort(Tensor x, int dim, bool descending, bool stable) -> (Tensor, Tensor)",
        |c| {
            let x = c.tensor("x")?;
            c.position("dim", x.rank())?;
            Ok(vec![Fact::new(x.dtype, x.shape.clone()), Fact::new(DType::I64, x.shape.clone())])
        },
        |c| {
            let x = c.tensor("x")?;
            let dim = c.position("dim", x.rank())?;
            let n = x.shape().get(dim).copied().unwrap_or(0);
            sorted(x, dim, c.bool("descending")?, n)
        },
    ),
    OpDef::new(
        "topk(Tensor x, SymInt k, int dim, bool largest, bool sorted) -> (Tensor, Tensor)",
        |c| {
            let x = c.tensor("x")?;
            let dim = c.position("dim", x.rank())?;
            let mut shape = x.shape.clone();
            if let Some(n) = shape.get_mut(dim) {
                *n = c.dim("k")?;
            }
            Ok(vec![Fact::new(x.dtype, shape.clone()), Fact::new(DType::I64, shape)])
        },
        |c| {
            let x = c.tensor("x")?;
            let dim = c.position("dim", x.rank())?;
            let k = usize::try_from(c.int("k")?).unwrap_or(usize::MAX);
            if k > x.shape().get(dim).copied().unwrap_or(0) {
                return Err(OpError::Runtime(format!("topk of {k} along a dimension of {:?}", x.shape())));
            }
            sorted(x, dim, c.bool("largest")?, k)
        },
    ),
];

fn infer_reduce(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    let dims = c.positions("dims")?;
    if dims.iter().any(|&d| d >= x.rank()) {
        return Err(OpError::Invalid(format!("{dims:?} are no dimensions of {x}")));
    }
    let logical = matches!(c.str("kind")?, "any" | "all");
    if logical != (x.dtype == DType::Bool) && !matches!(c.str("kind")?, "max" | "min") {
        return Err(OpError::Invalid(format!("`{}` of {} elements", c.str("kind")?, x.dtype)));
    }
    reducer(c.str("kind")?)?;
    Ok(vec![Fact::new(x.dtype, shape::reduced(&x.shape, &dims, false))])
}

/// The function of a reduction and its neutral float.
fn reducer(kind: &str) -> Result<(Binary, f64), OpError> {
    Ok(match kind {
        "sum" => (ADD, 0.0),
        "prod" => (MUL, 1.0),
        "max" => (MAX, f64::NEG_INFINITY),
        "min" => (MIN, f64::INFINITY),
        "any" => (OR, 0.0),
        "all" => (AND, 1.0),
        _ => return Err(OpError::Invalid(format!("`{kind}` is no reduction"))),
    })
}

/// The elements grouped by what stays, each group contiguous, and its length.
fn grouped(x: &Tensor, dims: &[usize]) -> (Tensor, usize, Vec<usize>) {
    let kept: Vec<usize> = (0..x.rank()).filter(|d| !dims.contains(d)).collect();
    let of = |ds: &[usize]| ds.iter().filter_map(|&d| x.shape().get(d).copied()).collect::<Vec<_>>();
    let (shape, n) = (of(&kept), of(dims).iter().product());
    let order: Vec<usize> = kept.iter().chain(dims).copied().collect();
    let grouped = if order.iter().copied().eq(0..x.rank()) { x.clone() } else { x.permute(&order) };
    (grouped, n, shape)
}

/// Reduces over `dims`, which are removed. Floats accumulate in f64 and round once.
pub(crate) fn reduce(x: &Tensor, dims: &[usize], kind: &str) -> Result<Tensor, OpError> {
    let (f, neutral) = reducer(kind)?;
    let (grouped, n, shape) = grouped(x, dims);
    let groups: usize = shape.iter().product();
    fn fold<T: Copy>(values: &[T], n: usize, groups: usize, neutral: T, f: fn(T, T) -> T) -> Vec<T> {
        let group = |g: usize| values.get(g * n..(g + 1) * n).unwrap_or(&[]);
        (0..groups).map(|g| group(g).iter().copied().fold(neutral, f)).collect()
    }
    let dtype = x.dtype();
    let missing = || undefined(kind, dtype);
    Ok(if dtype.is_float() {
        let f = f.float.ok_or_else(missing)?;
        Tensor::floats(dtype, &shape, fold(&grouped.as_f64s(), n, groups, neutral, f))
    } else if dtype.is_complex() {
        let f = f.complex.ok_or_else(missing)?;
        Tensor::complexes(dtype, &shape, fold(&grouped.as_complexes(), n, groups, Complex64::new(neutral, 0.0), f))
    } else if dtype == DType::Bool {
        let f = f.bool.ok_or_else(missing)?;
        Tensor::bools(&shape, fold(&grouped.as_bools(), n, groups, matches!(kind, "all" | "min" | "prod"), f))
    } else {
        let f = f.int.ok_or_else(missing)?;
        Tensor::ints(dtype, &shape, fold(&grouped.as_i64s(), n, groups, lowest_or(kind, dtype, neutral), f))
    })
}

fn undefined(kind: &str, dtype: DType) -> OpError {
    let message = format!("`{kind}` is not defined for {dtype}");
    if dtype.is_complex() { OpError::Unsupported(message) } else { OpError::Invalid(message) }
}

fn lowest_or(kind: &str, dtype: DType, neutral: f64) -> i64 {
    let bits = dtype.size() as u32 * 8;
    match (kind, dtype.is_signed_int()) {
        ("max", true) => i64::MIN >> (64 - bits),
        ("min", true) => i64::MAX >> (64 - bits),
        ("max", false) => 0,
        ("min", false) if bits < 64 => (1 << bits) - 1,
        ("min", false) => i64::MAX,
        _ => neutral as i64,
    }
}

fn infer_argreduce(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    let dim = c.position("dim", x.rank())?;
    if !matches!(c.str("kind")?, "argmax" | "argmin") {
        return Err(OpError::Invalid(format!("`{}` is no kind of `prim.argreduce`", c.str("kind")?)));
    }
    Ok(vec![Fact::new(DType::I64, shape::reduced(&x.shape, &[dim], false))])
}

fn argreduce(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    Ok(vec![arg_extreme(x, c.position("dim", x.rank())?, c.str("kind")? == "argmax")])
}

/// Index of the first largest (smallest) element along `dim`; a NaN is both.
pub(crate) fn arg_extreme(x: &Tensor, dim: usize, largest: bool) -> Tensor {
    let (grouped, n, shape) = grouped(x, &[dim]);
    let groups: usize = shape.iter().product();
    let best = (0..groups).map(|g| {
        let mut best = 0usize;
        for i in 1..n {
            let order = compare(&grouped, g * n + i, g * n + best);
            let nan = |at: usize| grouped.f64(at).is_nan();
            let better = if nan(g * n + best) {
                false
            } else {
                nan(g * n + i) || order == if largest { Ordering::Greater } else { Ordering::Less }
            };
            if better {
                best = i;
            }
        }
        best as i64
    });
    Tensor::ints(DType::I64, &shape, best.collect())
}

/// Order of two elements of a tensor; NaN is the largest.
fn compare(x: &Tensor, i: usize, j: usize) -> Ordering {
    if x.dtype().is_float() {
        let (a, b) = (x.f64(i), x.f64(j));
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    } else {
        x.i64(i).cmp(&x.i64(j))
    }
}

fn infer_scan(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    c.position("dim", x.rank())?;
    scanner(c.str("kind")?)?;
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

fn scanner(kind: &str) -> Result<Binary, OpError> {
    match kind {
        "logsumexp" => Ok(Binary::new("logsumexp", special::logaddexp)),
        "sum" | "prod" | "max" | "min" => Ok(reducer(kind)?.0),
        _ => Err(OpError::Invalid(format!("`{kind}` is no scan"))),
    }
}

fn scan(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    Ok(vec![prefix(x, c.position("dim", x.rank())?, c.str("kind")?)?])
}

/// Inclusive scan along `dim`.
pub(crate) fn prefix(x: &Tensor, dim: usize, kind: &str) -> Result<Tensor, OpError> {
    let f = scanner(kind)?;
    let n = x.shape().get(dim).copied().unwrap_or(1);
    let inner: usize = x.shape().iter().skip(dim + 1).product();
    fn run<T: Copy>(mut values: Vec<T>, n: usize, inner: usize, f: fn(T, T) -> T) -> Vec<T> {
        for at in inner..values.len() {
            if at / inner % n != 0
                && let (Some(&before), Some(&here)) = (values.get(at - inner), values.get(at))
                && let Some(slot) = values.get_mut(at)
            {
                *slot = f(before, here);
            }
        }
        values
    }
    let dtype = x.dtype();
    if n * inner == 0 {
        return Ok(x.clone());
    }
    let missing = || undefined(kind, dtype);
    Ok(if dtype.is_float() {
        Tensor::floats(dtype, x.shape(), run(x.to_f64s(), n, inner, f.float.ok_or_else(missing)?))
    } else if dtype.is_complex() {
        let values = x.as_complexes().into_owned();
        Tensor::complexes(dtype, x.shape(), run(values, n, inner, f.complex.ok_or_else(missing)?))
    } else if dtype == DType::Bool {
        Tensor::bools(x.shape(), run(x.as_bools().into_owned(), n, inner, f.bool.ok_or_else(missing)?))
    } else {
        Tensor::ints(dtype, x.shape(), run(x.as_i64s().into_owned(), n, inner, f.int.ok_or_else(missing)?))
    })
}

/// The first `k` along `dim` in order, stable, and where they were.
pub(crate) fn sorted(x: &Tensor, dim: usize, descending: bool, k: usize) -> Result<Vec<Tensor>, OpError> {
    let (grouped, n, mut shape) = grouped(x, &[dim]);
    let groups: usize = shape.iter().product();
    let k = k.min(n);
    let mut order = Vec::with_capacity(groups * k);
    for g in 0..groups {
        let mut row: Vec<usize> = (0..n).collect();
        row.sort_by(|&i, &j| {
            let (i, j) = (g * n + i, g * n + j);
            if descending { compare(&grouped, j, i) } else { compare(&grouped, i, j) }
        });
        order.extend(row.into_iter().take(k));
    }
    let rank = shape.len() + 1;
    shape.push(k);
    let values = grouped.pick(&shape, order.iter().enumerate().map(|(i, &at)| i / k.max(1) * n + at));
    let indices = Tensor::ints(DType::I64, &shape, order.iter().map(|&i| i as i64).collect());
    // The dimension was moved to the end.
    let mut back: Vec<usize> = (0..rank - 1).collect();
    back.insert(dim.min(rank - 1), rank - 1);
    Ok(vec![values.permute(&back), indices.permute(&back)])
}
