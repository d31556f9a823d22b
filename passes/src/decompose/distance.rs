//! Distances and similarities.

use super::common::{dim_arg, modulus, outputs, plus, tensor, wide, widened};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::distance::exponent;
use pt2c_ops::{Call, OpError, shape, wrap_dim};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._cdist_forward.default", cdist),
    ("aten._euclidean_dist.default", cdist),
    ("aten._pdist_forward.default", pdist),
    ("aten.cdist.default", cdist),
    ("aten.cosine_similarity.default", cosine),
    ("aten.pairwise_distance.default", pairwise),
    ("aten.pdist.default", pdist),
    ("aten.renorm.default", renorm),
];

/// `(Σ |x|^p)^(1/p)` over dimensions, which stay with size 1.
fn norm(b: &mut Builder<'_>, x: Val, dims: &[usize], p: f64) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    if p == 0.0 {
        let zero = b.constant(0.0, dtype)?;
        let other = b.ne(x, zero)?;
        let other = b.cast(other, dtype)?;
        return b.keepdim_reduce(other, dims, "sum");
    }
    if p == 2.0 {
        let squares = b.mul(x, x)?;
        let sum = b.keepdim_reduce(squares, dims, "sum")?;
        return b.sqrt(sum);
    }
    let size = b.abs(x)?;
    if p == 1.0 {
        return b.keepdim_reduce(size, dims, "sum");
    }
    if p.is_infinite() {
        return b.keepdim_reduce(size, dims, "max");
    }
    let exponent = b.constant(p, dtype)?;
    let powers = b.pow(size, exponent)?;
    let sum = b.keepdim_reduce(powers, dims, "sum")?;
    let root = b.constant(1.0 / p, dtype)?;
    b.pow(sum, root)
}

/// The one output of a call.
fn output(b: &Builder<'_>, c: &Call<'_, Val>) -> Result<pt2c_ir::Fact, OpError> {
    outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))
}

fn cdist(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = output(b, c)?;
    let compute = wide(out.dtype);
    let (x, y) = (tensor(c, "x1")?, tensor(c, "x2")?);
    let (x, y) = (b.cast(x, compute)?, b.cast(y, compute)?);
    let (rows, columns) = (b.rank(x) - 1, b.rank(y) - 2);
    let (x, y) = (b.unsqueeze(x, rows)?, b.unsqueeze(y, columns)?);
    let last = b.rank(x).max(b.rank(y)) - 1;
    let difference = b.sub(x, y)?;
    let size = if b.shape(difference)[last].is_zero() {
        b.full(&out.shape, &pt2c_ir::Arg::Float(0.0), compute)?
    } else {
        norm(b, difference, &[last], exponent(c)?)?
    };
    let size = b.reshape(size, &out.shape)?;
    Ok(vec![b.cast(size, out.dtype)?])
}

/// Row by row: the distances of a vector to those behind it.
fn pdist(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let dtype = b.dtype(input);
    let x = widened(b, input)?;
    let rows = b.shape(x).first().cloned().unwrap_or(Dim::ZERO);
    let Some(n) = rows.as_int() else {
        return pairs(b, c, x, &rows);
    };
    let mut parts = Vec::new();
    for i in 0..(n - 1).max(0) {
        let own = b.slice_dim(x, 0, &Dim::int(i), &Dim::ONE, 1)?;
        let rest = b.slice_dim(x, 0, &Dim::int(i + 1), &Dim::int(n - i - 1), 1)?;
        let difference = b.sub(own, rest)?;
        let size = norm(b, difference, &[1], c.float("p")?)?;
        parts.push(b.reshape(size, &[Dim::int(n - i - 1)])?);
    }
    let out = output(b, c)?;
    if parts.is_empty() {
        return Ok(vec![b.full(&out.shape, &pt2c_ir::Arg::Float(0.0), dtype)?]);
    }
    let out = b.cat(&parts, 0)?;
    Ok(vec![b.cast(out, dtype)?])
}

/// The distances of all pairs of a number of vectors that only the call tells, in the same order: the places above the
/// diagonal of a square.
fn pairs(b: &mut Builder<'_>, c: &Call<'_, Val>, x: Val, n: &Dim) -> Outputs {
    let out = output(b, c)?;
    let column = b.iota(n, DType::I64)?;
    let row = b.unsqueeze(column, 1)?;
    let above = b.lt(row, column)?;
    let above = b.reshape(above, &[n * n])?;
    let count = out.shape.first().cloned().unwrap_or(Dim::ZERO);
    let at = b.one("prim.compact", vec![Arg::Tensor(above), Arg::Int(count)])?;
    let width = b.constant_dim(&Dim::max(n, &Dim::ONE), DType::I64)?;
    let (first, second) = (b.div_floor(at, width)?, b.rem_floor(at, width)?);
    let (first, second) = (b.take(x, first, 0)?, b.take(x, second, 0)?);
    let difference = b.sub(first, second)?;
    let size = norm(b, difference, &[1], c.float("p")?)?;
    let size = b.reshape(size, &out.shape)?;
    Ok(vec![b.cast(size, out.dtype)?])
}

fn cosine(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = output(b, c)?;
    let compute = wide(out.dtype);
    let (x, y) = (tensor(c, "x1")?, tensor(c, "x2")?);
    let whole = shape::broadcast(c.scope, &b.shape(x), &b.shape(y))?;
    let dim = wrap_dim(c.int("dim")?, whole.len())?;
    let dims: &[usize] = if whole.is_empty() { &[] } else { &[dim] };
    let (x, y) = (b.cast(x, compute)?, b.cast(y, compute)?);
    let (x, y) = (b.expand(x, &whole)?, b.expand(y, &whole)?);
    let products = b.mul(x, y)?;
    let dot = b.keepdim_reduce(products, dims, "sum")?;
    let eps = b.constant(c.float("eps")?, compute)?;
    let (a, d) = (norm(b, x, dims, 2.0)?, norm(b, y, dims, 2.0)?);
    let (a, d) = (b.max(a, eps)?, b.max(d, eps)?);
    let lengths = b.mul(a, d)?;
    let y = b.div(dot, lengths)?;
    let y = b.reshape(y, &out.shape)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

fn pairwise(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = output(b, c)?;
    let given = b.result_type(c, &["x1", "x2"])?;
    let compute = if given.is_complex() { given } else { wide(out.dtype) };
    let (x, y) = (tensor(c, "x1")?, tensor(c, "x2")?);
    let (x, y) = (b.cast(x, compute)?, b.cast(y, compute)?);
    let difference = b.sub(x, y)?;
    let difference = plus(b, difference, c.float("eps")?)?;
    let difference = if compute.is_complex() { modulus(b, difference)? } else { difference };
    let last = b.rank(difference) - 1;
    let y = norm(b, difference, &[last], c.float("p")?)?;
    let y = b.reshape(y, &out.shape)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

fn renorm(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let dtype = b.dtype(input);
    let x = widened(b, input)?;
    let compute = b.dtype(x).to_real();
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let dims: Vec<usize> = (0..b.rank(x)).filter(|&d| d != dim).collect();
    let sizes = if b.dtype(x).is_complex() { modulus(b, x)? } else { x };
    let size = norm(b, sizes, &dims, c.float("p")?)?;
    let most = b.constant(c.float("maxnorm")?, compute)?;
    let safe = plus(b, size, 1e-7)?;
    let factor = b.div(most, safe)?;
    let one = b.constant(1.0, compute)?;
    let above = b.gt(size, most)?;
    let factor = b.where_(above, factor, one)?;
    let factor = b.cast(factor, b.dtype(x))?;
    let y = b.mul(x, factor)?;
    Ok(vec![b.cast(y, dtype)?])
}
