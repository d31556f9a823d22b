//! Comparisons and logic of two operands; results are boolean.

use crate::functions::*;
use crate::pointwise::{Comparison, map_floats};
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, shape};
use pt2c_ir::{DType, Fact};

/// A relation in the promoted dtype of the operands.
macro_rules! relation {
    ($schema:literal, $f:expr) => {
        OpDef::new($schema, infer, |c| relation(c, &$f)).tagged(Tags::POINTWISE)
    };
}

/// A function of two truth values; other dtypes are true where not zero.
macro_rules! logical {
    ($schema:literal, $f:expr) => {
        OpDef::new($schema, infer, |c| {
            let f: fn(bool, bool) -> bool = $f;
            let (a, b) = (c.tensor("self")?, c.tensor("other")?);
            let shape = shape::broadcast_known(&[a.shape(), b.shape()])?;
            let (a, b) = (a.broadcast_to(&shape)?, b.broadcast_to(&shape)?);
            Ok(vec![Tensor::from_fn(DType::Bool, &shape, |i| Scalar::Bool(f(a.get(i).to_bool(), b.get(i).to_bool())))])
        })
        .tagged(Tags::POINTWISE)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    relation!("eq.Tensor(Tensor self, Tensor other) -> Tensor", EQ),
    relation!("eq.Scalar(Tensor self, Scalar other) -> Tensor", EQ),
    relation!("ne.Tensor(Tensor self, Tensor other) -> Tensor", NE),
    relation!("ne.Scalar(Tensor self, Scalar other) -> Tensor", NE),
    relation!("not_equal.Tensor(Tensor self, Tensor other) -> Tensor", NE),
    relation!("not_equal.Scalar(Tensor self, Scalar other) -> Tensor", NE),
    relation!("lt.Tensor(Tensor self, Tensor other) -> Tensor", LT),
    relation!("lt.Scalar(Tensor self, Scalar other) -> Tensor", LT),
    relation!("less.Tensor(Tensor self, Tensor other) -> Tensor", LT),
    relation!("less.Scalar(Tensor self, Scalar other) -> Tensor", LT),
    relation!("le.Tensor(Tensor self, Tensor other) -> Tensor", LE),
    relation!("le.Scalar(Tensor self, Scalar other) -> Tensor", LE),
    relation!("less_equal.Tensor(Tensor self, Tensor other) -> Tensor", LE),
    relation!("less_equal.Scalar(Tensor self, Scalar other) -> Tensor", LE),
    relation!("gt.Tensor(Tensor self, Tensor other) -> Tensor", GT),
    relation!("gt.Scalar(Tensor self, Scalar other) -> Tensor", GT),
    relation!("greater.Tensor(Tensor self, Tensor other) -> Tensor", GT),
    relation!("greater.Scalar(Tensor self, Scalar other) -> Tensor", GT),
    relation!("ge.Tensor(Tensor self, Tensor other) -> Tensor", GE),
    relation!("ge.Scalar(Tensor self, Scalar other) -> Tensor", GE),
    relation!("greater_equal.Tensor(Tensor self, Tensor other) -> Tensor", GE),
    relation!("greater_equal.Scalar(Tensor self, Scalar other) -> Tensor", GE),
    logical!("logical_and(Tensor self, Tensor other) -> Tensor", |a, b| a && b),
    logical!("logical_or(Tensor self, Tensor other) -> Tensor", |a, b| a || b),
    logical!("logical_xor(Tensor self, Tensor other) -> Tensor", |a, b| a != b),
    OpDef::new(
        "isclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
        infer,
        isclose,
    )
    .tagged(Tags::POINTWISE),
];

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(DType::Bool, c.broadcast(&["self", "other"])?)])
}

fn relation(c: &Call<'_, Tensor>, f: &Comparison) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.result_type(&["self", "other"])?;
    Ok(vec![f.apply(&c.operand("self", dtype)?, &c.operand("other", dtype)?)?])
}

fn isclose(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (rtol, atol, equal_nan) = (c.float("rtol")?, c.float("atol")?, c.bool("equal_nan")?);
    let close = |v: &[f64]| match v {
        [a, b] => {
            let difference = (a - b).abs();
            a == b
                || equal_nan && a.is_nan() && b.is_nan()
                || difference.is_finite() && difference <= atol + (rtol * b).abs()
        }
        _ => false,
    };
    let operands = [c.tensor("self")?, c.tensor("other")?];
    Ok(vec![map_floats(DType::Bool, &operands, |v| f64::from(u8::from(close(v))))?])
}
