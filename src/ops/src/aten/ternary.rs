//! Pointwise functions of three operands: selection, clamping, interpolation.

use crate::functions::{MAX, MIN};
use crate::pointwise::{map_floats, select};
use crate::{Call, OpDef, OpError, Tags, Tensor};
use pt2c_ir::{DType, Fact};

/// A function with the promoted dtype of some operands and the broadcast shape of others.
macro_rules! pointwise {
    ($schema:literal, $types:expr, $shapes:expr, $eval:expr) => {
        OpDef::new($schema, |c| Ok(vec![Fact::new(c.result_type(&$types)?, c.broadcast(&$shapes)?)]), $eval)
            .tagged(Tags::POINTWISE)
    };
}

/// Selection between two operands.
macro_rules! choice {
    ($schema:literal) => {
        pointwise!($schema, ["self", "other"], ["condition", "self", "other"], |c| {
            let dtype = c.result_type(&["self", "other"])?;
            let cond = c.operand("condition", DType::Bool)?;
            Ok(vec![select(&cond, &c.operand("self", dtype)?, &c.operand("other", dtype)?)?])
        })
    };
}

/// Limits from below, from above, or both.
macro_rules! clamp {
    ($schema:literal, $names:expr) => {
        pointwise!($schema, $names, $names, |c| clamp(c, &$names))
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    choice!("where.self(Tensor condition, Tensor self, Tensor other) -> Tensor"),
    choice!("where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor"),
    choice!("where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor"),
    choice!("where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor"),
    pointwise!(
        "masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor",
        ["self"],
        ["self", "mask"],
        fill
    ),
    pointwise!(
        "masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor",
        ["self"],
        ["self", "mask"],
        fill
    ),
    clamp!("clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", ["self", "min", "max"]),
    clamp!("clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", ["self", "min", "max"]),
    clamp!("clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", ["self", "min", "max"]),
    clamp!("clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", ["self", "min", "max"]),
    clamp!("clamp_min(Tensor self, Scalar min) -> Tensor", ["self", "min"]),
    clamp!("clamp_min.Tensor(Tensor self, Tensor min) -> Tensor", ["self", "min"]),
    clamp!("clamp_max(Tensor self, Scalar max) -> Tensor", ["self", "max"]),
    clamp!("clamp_max.Tensor(Tensor self, Tensor max) -> Tensor", ["self", "max"]),
    pointwise!("lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor", ["self", "end"], ["self", "end"], lerp),
    pointwise!(
        "lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor",
        ["self", "end", "weight"],
        ["self", "end", "weight"],
        lerp
    ),
    pointwise!(
        "addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
        ["self", "tensor1", "tensor2"],
        ["self", "tensor1", "tensor2"],
        |c| fused(c, |a, b| a * b)
    ),
    pointwise!(
        "addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
        ["self", "tensor1", "tensor2"],
        ["self", "tensor1", "tensor2"],
        |c| fused(c, |a, b| a / b)
    ),
];

fn fill(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    Ok(vec![select(&c.operand("mask", DType::Bool)?, &c.operand("value", x.dtype())?, x)?])
}

/// A NaN in any operand wins; a lower limit above the upper one gives the upper one.
fn clamp(c: &Call<'_, Tensor>, names: &[&str]) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.result_type(names)?;
    let mut x = c.operand("self", dtype)?;
    if names.contains(&"min")
        && let Some(low) = c.opt_operand("min", dtype)?
    {
        x = MAX.apply(&x, &low)?;
    }
    if names.contains(&"max")
        && let Some(high) = c.opt_operand("max", dtype)?
    {
        x = MIN.apply(&x, &high)?;
    }
    Ok(vec![x])
}

/// `self + weight·(end - self)`, from the nearer end.
fn lerp(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.result_type(&["self", "end"])?;
    let operands = [c.operand("self", dtype)?, c.operand("end", dtype)?, c.operand("weight", DType::F64)?];
    let f = |v: &[f64]| match v {
        [a, b, w] if w.abs() < 0.5 => a + w * (b - a),
        [a, b, w] => b - (b - a) * (1.0 - w),
        _ => f64::NAN,
    };
    Ok(vec![map_floats(dtype, &operands.each_ref(), f)?])
}

/// `self + value·f(tensor1, tensor2)`.
fn fused(c: &Call<'_, Tensor>, f: fn(f64, f64) -> f64) -> Result<Vec<Tensor>, OpError> {
    let names = ["self", "tensor1", "tensor2"];
    let dtype = c.result_type(&names)?;
    let operands = [c.operand("self", dtype)?, c.operand("tensor1", dtype)?, c.operand("tensor2", dtype)?];
    let value = c.float("value")?;
    let g = |v: &[f64]| if let [x, a, b] = v { x + value * f(*a, *b) } else { f64::NAN };
    Ok(vec![map_floats(dtype, &operands.each_ref(), g)?])
}
