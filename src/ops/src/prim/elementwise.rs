//! Elementwise primitives.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor};

/// The family.
pub const OPS: &[OpDef] =
    &[unary("neg(Tensor x) -> Tensor", |c| map(c, |x| -x)), unary("exp(Tensor x) -> Tensor", |c| map(c, f64::exp))];

/// A primitive with one operand and a result of the same dtype.
const fn unary(schema: &'static str, eval: crate::op::EvalFn) -> OpDef {
    OpDef::new(schema, |call| Ok(vec![call.tensor("x")?.clone()]), eval).tagged(Tags::POINTWISE)
}

fn map(call: &Call<'_, Tensor>, f: fn(f64) -> f64) -> Result<Vec<Tensor>, OpError> {
    let x = call.tensor("x")?;
    Ok(vec![Tensor::from_fn(x.dtype(), x.shape(), |i| Scalar::Float(f(x.f64(i))))])
}
