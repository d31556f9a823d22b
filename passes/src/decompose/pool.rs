//! Pooling over windows, fixed and adaptive.

use super::common::{outputs, tensor, wide};
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::pool::{Pooling, adaptive_window};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._adaptive_avg_pool2d.default", adaptive_average),
    ("aten._adaptive_avg_pool3d.default", adaptive_average),
    ("aten.adaptive_avg_pool1d.default", adaptive_average),
    ("aten.adaptive_avg_pool2d.default", adaptive_average),
    ("aten.adaptive_avg_pool3d.default", adaptive_average),
    ("aten.adaptive_max_pool1d.default", adaptive_maximum),
    ("aten.adaptive_max_pool2d.default", adaptive_maximum),
    ("aten.adaptive_max_pool3d.default", adaptive_maximum),
    ("aten.avg_pool1d.default", average),
    ("aten.avg_pool2d.default", average),
    ("aten.avg_pool3d.default", average),
    ("aten.max_pool1d.default", maximum),
    ("aten.max_pool1d_with_indices.default", maximum_with_indices),
    ("aten.max_pool2d.default", maximum),
    ("aten.max_pool2d_with_indices.default", maximum_with_indices),
    ("aten.max_pool3d.default", maximum),
    ("aten.max_pool3d_with_indices.default", maximum_with_indices),
    ("aten.max_unpool2d.default", unpool),
    ("aten.max_unpool3d.default", unpool),
];

fn low(pool: &Pooling) -> Vec<Dim> {
    pool.padding.iter().map(|&p| Dim::int(p)).collect()
}

fn maximum(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let pool = Pooling::new(c, &b.shape(x))?;
    let out = b.window_reduce(x, "max", &pool.kernel, &pool.stride, &pool.dilation, &low(&pool), &pool.pad_high)?;
    fixed(b, c, vec![out])
}

fn maximum_with_indices(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let pool = Pooling::new(c, &b.shape(x))?;
    let (values, indices) =
        b.max_window_index(x, &pool.kernel, &pool.stride, &pool.dilation, &low(&pool), &pool.pad_high)?;
    fixed(b, c, vec![values, indices])
}

/// Outputs with the shapes inference gives: the primitive's own may be the same in another form.
fn fixed(b: &mut Builder<'_>, c: &Call<'_, Val>, values: Vec<Val>) -> Outputs {
    let facts = outputs(b, c)?;
    values.into_iter().zip(facts).map(|(v, fact)| b.reshape(v, &fact.shape)).collect()
}

fn average(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let dtype = b.dtype(input);
    let shape = b.shape(input);
    let pool = Pooling::new(c, &shape)?;
    let compute = wide(dtype);
    let x = b.cast(input, compute)?;
    let (low, high) = (low(&pool), &pool.pad_high);
    let sum = b.window_reduce(x, "sum", &pool.kernel, &pool.stride, &pool.dilation, &low, high)?;
    let spatial = pool.spatial();
    let given = if spatial > 1 { c.opt_int("divisor_override")? } else { None };
    let include = c.bool("count_include_pad")?;
    let unpadded = low.iter().chain(high).all(Dim::is_zero);
    let count = if given.is_some() || unpadded || (include && !pool.overhangs) {
        let all: i64 = pool.kernel.iter().product();
        b.constant(given.unwrap_or(all) as f64, compute)?
    } else {
        // How many elements each window has: the same windows over ones. Padding that counts is ones as well; what a
        // window of `ceil_mode` has beyond it never counts.
        let mut plane = shape[shape.len() - spatial..].to_vec();
        let (mut ones_low, mut ones_high) = (low.clone(), high.clone());
        if include {
            for d in 0..spatial {
                let own = Dim::int(pool.padding[d]);
                plane[d] = &plane[d] + &(&own + &own);
                ones_low[d] = Dim::ZERO;
                ones_high[d] = Dim::max_of([&high[d] - &own, Dim::ZERO]);
            }
        }
        let one = b.constant(1.0, compute)?;
        let ones = b.expand(one, &plane)?;
        b.window_reduce(ones, "sum", &pool.kernel, &pool.stride, &pool.dilation, &ones_low, &ones_high)?
    };
    let y = if compute.is_float() { b.div(sum, count)? } else { b.div_trunc(sum, count)? };
    let y = b.cast(y, dtype)?;
    fixed(b, c, vec![y])
}

/// Whether all windows of an adaptive pooling are equal: output sizes divide the input's.
fn equal_windows(b: &Builder<'_>, plane: &[Dim], size: &[Dim]) -> Option<Vec<i64>> {
    plane
        .iter()
        .zip(size)
        .map(|(n, out)| {
            if n == out {
                return Some(1);
            }
            let each = n.floor_div(out);
            (b.scope().prove_divisible(n, out).is_yes() || each.as_int().is_some() && &each * out == *n)
                .then(|| each.as_int())
                .flatten()
                .filter(|&k| k > 0)
        })
        .collect()
}

fn adaptive_average(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let dtype = b.dtype(input);
    let size = c.dims("output_size")?;
    let shape = b.shape(input);
    let lead = shape.len().checked_sub(size.len()).ok_or_else(|| OpError::invalid("too few dimensions to pool"))?;
    let compute = wide(dtype);
    let mut x = b.cast(input, compute)?;
    if size.iter().all(Dim::is_one) {
        let dims: Vec<usize> = (lead..shape.len()).collect();
        x = super::common::mean(b, x, &dims)?;
    } else if let Some(kernel) = equal_windows(b, &shape[lead..], &size) {
        let none = vec![Dim::ZERO; kernel.len()];
        let all: i64 = kernel.iter().product();
        if all > 1 {
            let ones = vec![1; kernel.len()];
            let sum = b.window_reduce(x, "sum", &kernel, &kernel, &ones, &none, &none)?;
            let count = b.constant(all as f64, compute)?;
            x = b.div(sum, count)?;
        }
    } else {
        for (d, out) in size.iter().enumerate() {
            x = average_along(b, x, lead + d, out)?;
        }
    }
    let y = b.cast(x, dtype)?;
    fixed(b, c, vec![y])
}

/// Adaptive average along one dimension, for any sizes: a product with the matrix of weights, whose row for output
/// `i` has `1/length` at positions `⌊i·n/out⌋ .. ⌈(i+1)·n/out⌉`.
fn average_along(b: &mut Builder<'_>, x: Val, dim: usize, out: &Dim) -> Result<Val, OpError> {
    let n = b.shape(x).get(dim).cloned().unwrap_or(Dim::ONE);
    if n == *out {
        return Ok(x);
    }
    let compute = b.dtype(x);
    let (rank, int) = (b.rank(x), DType::I64);
    let (n_value, out_value) = (b.constant_dim(&n, int)?, b.constant_dim(out, int)?);
    let i = b.iota(out, int)?;
    let first = b.mul(i, n_value)?;
    let start = b.div_floor(first, out_value)?;
    // ⌈((i+1)·n)/out⌉ = ⌊((i+1)·n + out - 1)/out⌋.
    let rest = b.constant_dim(&(&n + &(out - &Dim::ONE)), int)?;
    let last = b.add(first, rest)?;
    let end = b.div_floor(last, out_value)?;
    let count = b.sub(end, start)?;
    let count = b.cast(count, compute)?;
    let at = b.iota(&n, int)?;
    let at = b.unsqueeze(at, 1)?;
    let (after, before) = (b.ge(at, start)?, b.lt(at, end)?);
    let inside = b.and(after, before)?;
    let inside = b.cast(inside, compute)?;
    let weights = b.div(inside, count)?;
    let order: Vec<usize> = (0..rank).filter(|&d| d != dim).chain([dim]).collect();
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(i, &d)| back[d] = i);
    let x = b.permute(x, &order)?;
    let y = super::linear::matmul(b, x, weights)?;
    b.permute(y, &back)
}

/// At most how many of `n` elements one of `out` windows covers; exact where both are known.
fn longest_window(n: &Dim, out: &Dim) -> Dim {
    let known = |d: &Dim| d.as_int().and_then(|i| usize::try_from(i).ok());
    match (known(n), known(out)) {
        (Some(n), Some(out)) => {
            let longest = (0..out).map(|i| adaptive_window(i, n, out).len()).max().unwrap_or(1);
            Dim::int(longest as i64)
        }
        _ => &(&(n + out) - &Dim::ONE).floor_div(out) + &Dim::ONE,
    }
}

fn adaptive_maximum(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let size = c.dims("output_size")?;
    let shape = b.shape(x);
    let lead = shape.len().checked_sub(size.len()).ok_or_else(|| OpError::invalid("too few dimensions to pool"))?;
    if let Some(kernel) = equal_windows(b, &shape[lead..], &size) {
        let none = vec![Dim::ZERO; kernel.len()];
        let ones = vec![1; kernel.len()];
        let (values, indices) = b.max_window_index(x, &kernel, &kernel, &ones, &none, &none)?;
        return fixed(b, c, vec![values, indices]);
    }
    // Windows of the largest length along each dimension; shorter ones repeat their last element, which never wins
    // over its first occurrence.
    let plane = &shape[lead..];
    let mut windows = x;
    let mut positions = b.constant(0.0, DType::I64)?;
    let count = plane.len();
    let mut lengths = Vec::new();
    for (d, (n, out)) in plane.iter().zip(&size).enumerate() {
        let longest = longest_window(n, out);
        lengths.push(longest.clone());
        let (whole, o) = (b.constant_dim(n, DType::I64)?, b.constant_dim(out, DType::I64)?);
        let i = b.iota(out, DType::I64)?;
        let first = b.mul(i, whole)?;
        let start = b.div_floor(first, o)?;
        let rest = b.constant_dim(&(&(n + out) - &Dim::ONE), DType::I64)?;
        let last = b.add(first, rest)?;
        let end = b.div_floor(last, o)?;
        let one = b.constant(1.0, DType::I64)?;
        let last = b.sub(end, one)?;
        let (start, last) = (b.unsqueeze(start, 1)?, b.unsqueeze(last, 1)?);
        let step = b.iota(&longest, DType::I64)?;
        let at = b.add(start, step)?;
        let at = b.min(at, last)?;
        windows = b.take(windows, at, lead + 2 * d)?;
        // The flat position in the plane, over [out_0, len_0, out_1, len_1, …].
        let stride = plane[d + 1..].iter().fold(Dim::ONE, |n, d| &n * d);
        let stride = b.constant_dim(&stride, DType::I64)?;
        let at = b.mul(at, stride)?;
        let mut wide = vec![Dim::ONE; 2 * count];
        wide[2 * d] = out.clone();
        wide[2 * d + 1] = longest;
        let at = b.reshape(at, &wide)?;
        positions = b.add(positions, at)?;
    }
    let inner = lengths.iter().fold(Dim::ONE, |n, d| &n * d);
    let outs = (0..count).map(|d| lead + 2 * d);
    let lens = (0..count).map(|d| lead + 2 * d + 1);
    let order: Vec<usize> = (0..lead).chain(outs).chain(lens).collect();
    let windows = b.permute(windows, &order)?;
    let flat = [&shape[..lead], &size, &[inner.clone()]].concat();
    let windows = b.reshape(windows, &flat)?;
    let order: Vec<usize> = (0..count).map(|d| 2 * d).chain((0..count).map(|d| 2 * d + 1)).collect();
    let positions = b.permute(positions, &order)?;
    let positions = b.reshape(positions, &[&size[..], &[inner]].concat())?;
    let positions = b.expand(positions, &flat)?;
    let last = lead + count;
    let winner = b.argreduce(windows, last, "argmax")?;
    let winner = b.unsqueeze(winner, last)?;
    let values = b.gather(windows, winner, last)?;
    let indices = b.gather(positions, winner, last)?;
    fixed(b, c, vec![values, indices])
}

fn unpool(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, indices) = (tensor(c, "self")?, tensor(c, "indices")?);
    let size = c.dims("output_size")?;
    let shape = b.shape(x);
    let lead = shape.len().checked_sub(size.len()).ok_or_else(|| OpError::invalid("too few dimensions to unpool"))?;
    let flat = |dims: &[Dim]| dims.iter().fold(Dim::ONE, |n, d| &n * d);
    let own = [&shape[..lead], &[flat(&shape[lead..])]].concat();
    let (x, indices) = (b.reshape(x, &own)?, b.reshape(indices, &own)?);
    let dtype = b.dtype(x);
    let zero = b.constant(0.0, dtype)?;
    let plane = b.expand(zero, &[&shape[..lead], &[flat(&size)]].concat())?;
    let out = b.scatter(plane, indices, x, lead, "set")?;
    fixed(b, c, vec![out])
}
