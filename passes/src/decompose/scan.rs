//! Cumulative operators.

use super::common::wide;
use super::unary::iota_along;
use super::{Builder, Decomposition, Val};
use pt2c_ir::Arg;
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::{Call, OpError, to_sum, wrap_dim};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.cumsum.default", |b, c| cumulative(b, c, "sum")),
    ("aten.cumprod.default", |b, c| cumulative(b, c, "prod")),
    ("aten.cummax.default", |b, c| extreme(b, c, "max")),
    ("aten.cummin.default", |b, c| extreme(b, c, "min")),
    ("aten.logcumsumexp.default", |b, c| {
        let x = *c.tensor("self")?;
        Ok(vec![if b.dtype(x).is_complex() { complex_logsumexp(b, c, x)? } else { scan(b, c, x, "logsumexp")? }])
    }),
];

/// A scan along `dim`; f16 and bf16 accumulate in f32. A 0-d tensor is its own scan.
fn scan(b: &mut Builder<'_>, c: &Call<'_, Val>, x: Val, kind: &str) -> Result<Val, OpError> {
    let (dtype, rank) = (b.dtype(x), b.rank(x));
    let dim = wrap_dim(c.int("dim")?, rank)?;
    if rank == 0 {
        return Ok(x);
    }
    let x = b.cast(x, wide(dtype))?;
    let y = b.scan(x, dim, kind)?;
    b.cast(y, dtype)
}

/// By doubling distances (Hillis and Steele, 1986).
fn complex_logsumexp(b: &mut Builder<'_>, c: &Call<'_, Val>, x: Val) -> Result<Val, OpError> {
    if b.rank(x) == 0 {
        return Ok(x);
    }
    let dim = wrap_dim(c.int("dim")?, b.rank(x))?;
    let size = b.shape(x).get(dim).and_then(Dim::as_int);
    let size = size.ok_or_else(|| {
        OpError::Unsupported(
            "logcumsumexp of complex numbers over a dynamic dimension: export it with a fixed size".into(),
        )
    })?;
    let (mut x, mut distance) = (x, 1);
    while distance < size {
        let part =
            |b: &mut Builder<'_>, start: i64, count: i64| b.slice_dim(x, dim, &Dim::int(start), &Dim::int(count), 1);
        let (low, high) = (part(b, 0, size - distance)?, part(b, distance, size - distance)?);
        let first = part(b, 0, distance)?;
        let rest = b.one("aten.logaddexp.default", vec![Arg::Tensor(low), Arg::Tensor(high)])?;
        x = b.cat(&[first, rest], dim)?;
        distance *= 2;
    }
    Ok(x)
}

fn cumulative(b: &mut Builder<'_>, c: &Call<'_, Val>, kind: &str) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let dtype = c.opt_dtype("dtype")?.unwrap_or_else(|| to_sum(b.dtype(x)));
    let x = b.cast(x, dtype)?;
    Ok(vec![scan(b, c, x, kind)?])
}

/// The running extreme, and the last place where it was met: the largest index so far whose element equals it.
fn extreme(b: &mut Builder<'_>, c: &Call<'_, Val>, kind: &str) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, b.rank(x))?;
    let shape = b.shape(x);
    let zero = b.constant(0.0, DType::I64)?;
    if shape.is_empty() {
        return Ok(vec![x, zero]);
    }
    let values = b.scan(x, dim, kind)?;
    let mut met = b.eq(x, values)?;
    if b.dtype(x).is_float() {
        let nan = b.is_nan(x)?;
        met = b.or(met, nan)?;
    }
    let index = iota_along(b, &shape, dim, DType::I64)?;
    let place = b.where_(met, index, zero)?;
    Ok(vec![values, b.scan(place, dim, "max")?])
}
