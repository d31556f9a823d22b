//! Random numbers and dropout.

use super::common::times;
use super::creation::fact_of;
use super::{Builder, Decomposition, Val};
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::random::distribution;
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.rand.default", drawn),
    ("aten.rand.generator", drawn),
    ("aten.randn.default", drawn),
    ("aten.randn.generator", drawn),
    ("aten.rand_like.default", drawn),
    ("aten.rand_like.generator", drawn),
    ("aten.randn_like.default", drawn),
    ("aten.randn_like.generator", drawn),
    ("aten.randint.default", drawn),
    ("aten.randint.low", drawn),
    ("aten.randint.generator", drawn),
    ("aten.randint.low_generator", drawn),
    ("aten.randint_like.default", drawn),
    ("aten.randint_like.low_dtype", drawn),
    ("aten.randint_like.generator", drawn),
    ("aten.randint_like.low_generator_dtype", drawn),
    ("aten.normal.float_float", drawn),
    ("aten.normal_functional.default", drawn),
    ("aten.uniform.default", drawn),
    ("aten.exponential.default", drawn),
    ("aten.bernoulli.p", drawn),
    ("aten.bernoulli.default", |b, c| {
        let p = *c.tensor("self")?;
        let (shape, dtype) = (b.shape(p), b.dtype(p));
        let u = b.random(&shape, DType::F64, "uniform", 0.0, 1.0)?;
        let p = b.cast(p, DType::F64)?;
        let hit = b.lt(u, p)?;
        Ok(vec![b.cast(hit, dtype)?])
    }),
    ("aten.randperm.default", |b, c| {
        let fact = fact_of(b, c)?;
        let keys = b.random(&fact.shape, DType::F64, "uniform", 0.0, 1.0)?;
        let (_, order) = b.sort(keys, 0, false, false)?;
        Ok(vec![b.cast(order, fact.dtype)?])
    }),
    ("aten.dropout.default", dropout),
    ("aten.native_dropout.default", |b, c| {
        let (x, p) = (*c.tensor("input")?, c.float("p")?);
        let shape = b.shape(x);
        if c.arg("train")?.as_bool() == Some(false) || p == 0.0 {
            return Ok(vec![x, b.full(&shape, &Arg::Bool(true), DType::Bool)?]);
        }
        let keep = b.random(&shape, DType::Bool, "bernoulli", 1.0 - p, 0.0)?;
        Ok(vec![masked(b, x, keep, p)?, keep])
    }),
    ("aten.rrelu.default", |b, c| {
        let x = *c.tensor("self")?;
        let (lower, upper, dtype) = (c.float("lower")?, c.float("upper")?, b.dtype(x));
        let low = if c.bool("training")? {
            let shape = b.shape(x);
            let slopes = b.random(&shape, dtype, "uniform", lower, upper)?;
            b.mul(x, slopes)?
        } else {
            times(b, x, (lower + upper) / 2.0)?
        };
        let zero = b.constant(0.0, dtype)?;
        let positive = b.ge(x, zero)?;
        Ok(vec![b.where_(positive, x, low)?])
    }),
];

fn drawn(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let (fact, d) = (fact_of(b, c)?, distribution(c)?);
    Ok(vec![b.random(&fact.shape, fact.dtype, d.kind, d.a, d.b)?])
}

/// `x` where kept, scaled so that its mean stays.
fn masked(b: &mut Builder<'_>, x: Val, keep: Val, p: f64) -> Result<Val, OpError> {
    let zero = b.constant(0.0, b.dtype(x))?;
    let scaled = times(b, x, if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 })?;
    b.where_(keep, scaled, zero)
}

fn dropout(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let (x, p) = (*c.tensor("input")?, c.float("p")?);
    if !c.bool("train")? || p == 0.0 {
        return Ok(vec![x]);
    }
    let shape = b.shape(x);
    let keep = b.random(&shape, DType::Bool, "bernoulli", 1.0 - p, 0.0)?;
    Ok(vec![masked(b, x, keep, p)?])
}
