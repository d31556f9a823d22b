//! Softmax and its relatives.

use crate::host::{self, rounded};
use crate::{Call, OpDef, OpError, Tensor, wrap_dim};
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor", infer_half, |c| along(c, log_softmax)),
    rounded!("_safe_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", infer, |c| along(c, safe_softmax)),
    rounded!("_softmax(Tensor self, int dim, bool half_to_float) -> Tensor", infer_half, |c| along(c, softmax)),
    rounded!("log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", infer, |c| along(c, log_softmax)),
    rounded!("softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", infer, |c| along(c, softmax)),
    rounded!("special_log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", infer, |c| along(c, log_softmax)),
    rounded!("special_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", infer, |c| along(c, softmax)),
];

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    wrap_dim(c.int("dim")?, x.rank())?;
    Ok(vec![x.with_dtype(c.opt_dtype("dtype")?.unwrap_or(x.dtype))])
}

fn infer_half(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    wrap_dim(c.int("dim")?, x.rank())?;
    Ok(vec![if c.bool("half_to_float")? { x.with_dtype(DType::F32) } else { x.clone() }])
}

fn along(c: &Call<'_, Tensor>, f: fn(&mut [f64])) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    // A requested dtype is converted to first.
    let given = if c.op.schema.position("dtype").is_some() { c.opt_dtype("dtype")? } else { None };
    let x = given.map_or(x.clone(), |d| x.cast(d));
    Ok(host::map_lines(&x, DType::F64, dim, f))
}

fn largest(line: &[f64]) -> f64 {
    line.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a || b.is_nan() { b } else { a })
}

/// In place: `exp(x - max) / Σ exp(x - max)`.
pub fn softmax(line: &mut [f64]) {
    let top = largest(line);
    line.iter_mut().for_each(|x| *x = (*x - top).exp());
    let sum: f64 = line.iter().sum();
    line.iter_mut().for_each(|x| *x /= sum);
}

/// Softmax, but zero where everything is -infinity.
fn safe_softmax(line: &mut [f64]) {
    if line.iter().all(|x| *x == f64::NEG_INFINITY) {
        line.fill(0.0);
    } else {
        softmax(line);
    }
}

/// In place: `x - max - log Σ exp(x - max)`.
pub fn log_softmax(line: &mut [f64]) {
    let top = largest(line);
    let sum: f64 = line.iter().map(|x| (x - top).exp()).sum();
    line.iter_mut().for_each(|x| *x = *x - top - sum.ln());
}
