//! Cumulative operators along a dimension.

use crate::prim::prefix;
use crate::{Call, OpDef, OpError, Tensor, to_sum, wrap_dim};
use pt2c_ir::{DType, Fact};

/// A sum or product, in the dtype argument or i64 for integers.
macro_rules! cumulative {
    ($schema:literal, $kind:literal) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("self")?;
                wrap_dim(c.int("dim")?, x.rank())?;
                Ok(vec![Fact::new(c.opt_dtype("dtype")?.unwrap_or_else(|| to_sum(x.dtype)), x.shape.clone())])
            },
            |c| {
                let x = c.tensor("self")?;
                let dtype = c.opt_dtype("dtype")?.unwrap_or_else(|| to_sum(x.dtype()));
                Ok(vec![prefix(&x.cast(dtype), wrap_dim(c.int("dim")?, x.rank())?, $kind)?])
            },
        )
    };
}

/// A running extreme and the index of its last occurrence.
macro_rules! extreme {
    ($schema:literal, $better:expr) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("self")?;
                wrap_dim(c.int("dim")?, x.rank())?;
                Ok(vec![Fact::new(x.dtype, x.shape.clone()), Fact::new(DType::I64, x.shape.clone())])
            },
            |c| running(c, $better),
        )
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    cumulative!("cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", "sum"),
    cumulative!("cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", "prod"),
    extreme!("cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)", |new, old| new >= old),
    extreme!("cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)", |new, old| new <= old),
    OpDef::new(
        "logcumsumexp(Tensor self, int dim) -> Tensor",
        |c| {
            let x = c.tensor("self")?;
            wrap_dim(c.int("dim")?, x.rank())?;
            Ok(vec![Fact::new(x.dtype, x.shape.clone())])
        },
        |c| {
            let x = c.tensor("self")?;
            Ok(vec![prefix(x, wrap_dim(c.int("dim")?, x.rank())?, "logsumexp")?])
        },
    ),
];

/// Integers up to 2⁵³ compare exactly as floats, which is enough for an oracle.
fn running(c: &Call<'_, Tensor>, better: fn(f64, f64) -> bool) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let n = x.shape().get(dim).copied().unwrap_or(1).max(1);
    let inner: usize = x.shape().iter().skip(dim + 1).product();
    let values = x.as_f64s();
    // Position of the extreme so far, for each element.
    let mut at: Vec<usize> = (0..x.numel()).collect();
    for i in inner..x.numel() {
        if i / inner.max(1) % n != 0
            && let (Some(&best), Some(&new)) = (at.get(i - inner), values.get(i))
            && let Some(&old) = values.get(best)
            && !(new.is_nan() || !old.is_nan() && better(new, old))
            && let Some(slot) = at.get_mut(i)
        {
            *slot = best;
        }
    }
    let indices = at.iter().map(|&i| (i / inner.max(1) % n) as i64).collect();
    Ok(vec![x.pick(x.shape(), at.iter().copied()), Tensor::ints(DType::I64, x.shape(), indices)])
}
