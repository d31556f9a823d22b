//! Distances and similarities of vectors.

use crate::host::{self, rounded};
use crate::{Call, OpDef, OpError, Scalar, Tensor, promote_types, shape, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("_cdist_forward(Tensor x1, Tensor x2, float p, int? compute_mode) -> Tensor", cdist_fact, cdist),
    rounded!("_euclidean_dist(Tensor x1, Tensor x2) -> Tensor", cdist_fact, cdist),
    rounded!("_pdist_forward(Tensor self, float p=2.) -> Tensor", pdist_fact, pdist),
    rounded!("cdist(Tensor x1, Tensor x2, float p=2., int? compute_mode=None) -> Tensor", cdist_fact, cdist),
    rounded!("cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor", cosine_fact, cosine),
    rounded!("pairwise_distance(Tensor x1, Tensor x2, float p=2., float eps=9.9999999999999995e-07, bool keepdim=False) -> Tensor", pairwise_fact, pairwise),
    rounded!("pdist(Tensor self, float p=2.) -> Tensor", pdist_fact, pdist),
    rounded!("renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor", |c| Ok(vec![c.tensor("self")?.clone()]), renorm),
];

/// `(Σ |x|^p)^(1/p)`; for 0 the number of elements that are not zero, for infinity the largest.
pub(super) fn norm(values: impl Iterator<Item = f64>, p: f64) -> f64 {
    if p == 0.0 {
        values.map(|v| f64::from(v != 0.0)).sum()
    } else if p == 1.0 {
        values.map(f64::abs).sum()
    } else if p == 2.0 {
        values.map(|v| v * v).sum::<f64>().sqrt()
    } else if p.is_infinite() {
        values.map(f64::abs).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
    } else {
        values.map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p)
    }
}

/// The exponent of a call: 2 where the operator has none.
pub fn exponent<T>(c: &Call<'_, T>) -> Result<f64, OpError> {
    if c.op.schema.position("p").is_some() { c.float("p") } else { Ok(2.0) }
}

fn cdist_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
    let ([lead_a @ .., p, m], [lead_b @ .., r, n]) = (&a.shape[..], &b.shape[..]) else {
        return Err(OpError::invalid("cdist takes matrices"));
    };
    if m.as_int().zip(n.as_int()).is_some_and(|(m, n)| m != n) {
        return Err(OpError::Invalid(format!("cdist of vectors of {m} and {n} elements")));
    }
    let mut shape = shape::broadcast(c.scope, lead_a, lead_b)?;
    shape.extend([p.clone(), r.clone()]);
    Ok(vec![Fact::new(promote_types(a.dtype, b.dtype), shape)])
}

fn cdist(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
    let (_, out) = host::result_of(c)?;
    let p = exponent(c)?;
    let (rank, m) = (out.len(), a.shape()[a.rank() - 1]);
    let (rows, columns) = (out[rank - 2], out[rank - 1]);
    let lead = &out[..rank - 2];
    let a = a.broadcast_to(&[lead, &[rows, m]].concat())?;
    let b = b.broadcast_to(&[lead, &[columns, m]].concat())?;
    Ok(Tensor::from_fn(DType::F64, &out, |i| {
        let (batch, r, s) = (i / (rows * columns), i / columns % rows, i % columns);
        let (x, y) = ((batch * rows + r) * m, (batch * columns + s) * m);
        Scalar::Float(norm((0..m).map(|k| a.f64(x + k) - b.f64(y + k)), p))
    }))
}

fn pdist_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let n = x.shape.first().ok_or_else(|| OpError::invalid("pdist takes a matrix"))?;
    let pairs = (n * &(n - &Dim::int(1))).floor_div(&Dim::int(2));
    Ok(vec![Fact::new(x.dtype, vec![pairs])])
}

fn pdist(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (x, p) = (c.tensor("self")?, c.float("p")?);
    let &[n, m] = x.shape() else { return Err(OpError::invalid("pdist takes a matrix")) };
    let mut out = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            out.push(norm((0..m).map(|k| x.f64(i * m + k) - x.f64(j * m + k)), p));
        }
    }
    Ok(Tensor::from_f64(DType::F64, &[out.len()], &out))
}

fn cosine_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
    let mut shape = shape::broadcast(c.scope, &a.shape, &b.shape)?;
    let dim = wrap_dim(c.int("dim")?, shape.len())?;
    if dim < shape.len() {
        shape.remove(dim);
    }
    Ok(vec![Fact::new(promote_types(a.dtype, b.dtype), shape)])
}

/// `x·y / (max(‖x‖, eps)·max(‖y‖, eps))`.
fn cosine(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (a, b, eps) = (c.tensor("x1")?, c.tensor("x2")?, c.float("eps")?);
    let (_, out) = host::result_of(c)?;
    let whole = shape::broadcast_known(&[a.shape(), b.shape()])?;
    let (a, b) = (a.broadcast_to(&whole)?, b.broadcast_to(&whole)?);
    let lines = host::Lines::new(&whole, wrap_dim(c.int("dim")?, whole.len())?);
    Ok(Tensor::from_fn(DType::F64, &out, |l| {
        let at = |k| lines.at(l, k);
        let dot: f64 = (0..lines.len).map(|k| a.f64(at(k)) * b.f64(at(k))).sum();
        let length = |t: &Tensor| norm((0..lines.len).map(|k| t.f64(at(k))), 2.0).max(eps);
        Scalar::Float(dot / (length(&a) * length(&b)))
    }))
}

fn pairwise_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
    let mut shape = shape::broadcast(c.scope, &a.shape, &b.shape)?;
    let last = shape.len().checked_sub(1).ok_or_else(|| OpError::invalid("pairwise_distance takes vectors"))?;
    shape = shape::reduced(&shape, &[last], c.bool("keepdim")?);
    let dtype = promote_types(a.dtype, b.dtype).to_real();
    Ok(vec![Fact::new(if dtype.is_float() { dtype } else { DType::F32 }, shape)])
}

fn pairwise(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    host::only_real(c, &["x1", "x2"])?;
    let (p, eps) = (c.float("p")?, c.float("eps")?);
    let (_, out) = host::result_of(c)?;
    let difference = host::binary(c.tensor("x1")?, c.tensor("x2")?, |x, y| x - y + eps)?;
    let n = difference.shape().last().copied().unwrap_or(1);
    Ok(Tensor::from_fn(DType::F64, &out, |l| Scalar::Float(norm((0..n).map(|k| difference.f64(l * n + k)), p))))
}

/// Slices along `dim` whose norm is above `maxnorm` scaled down to it.
fn renorm(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    host::only_real(c, &["self"])?;
    let (x, p, most) = (c.tensor("self")?, c.float("p")?, c.float("maxnorm")?);
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let count = x.shape()[dim];
    let inner: usize = x.shape()[dim + 1..].iter().product();
    let of = |i: usize| i / inner.max(1) % count.max(1);
    let norms: Vec<f64> =
        (0..count).map(|s| norm((0..x.numel()).filter(|&i| of(i) == s).map(|i| x.f64(i)), p)).collect();
    Ok(Tensor::from_fn(DType::F64, x.shape(), |i| {
        let n = norms[of(i)];
        Scalar::Float(if n > most { x.f64(i) * (most / (n + 1e-7)) } else { x.f64(i) })
    }))
}
