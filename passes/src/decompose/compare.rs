//! Comparisons and logic.

use super::unary::{magnitude, truth};
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ops::{Call, OpError};

/// A relation in the promoted dtype.
macro_rules! relation {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op), |b, c| {
            let dtype = b.result_type(c, &["self", "other"])?;
            let (x, y) = (b.operand(c, "self", dtype)?, b.operand(c, "other", dtype)?);
            Ok(vec![b.$prim(x, y)?])
        })
    };
}

/// A function of truth values.
macro_rules! logical {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op, ".default"), |b, c| {
            let (x, y) = (truth(b, *c.tensor("self")?)?, truth(b, *c.tensor("other")?)?);
            Ok(vec![b.$prim(x, y)?])
        })
    };
}

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    relation!("eq.Tensor", eq),
    relation!("eq.Scalar", eq),
    relation!("ne.Tensor", ne),
    relation!("ne.Scalar", ne),
    relation!("not_equal.Tensor", ne),
    relation!("not_equal.Scalar", ne),
    relation!("lt.Tensor", lt),
    relation!("lt.Scalar", lt),
    relation!("less.Tensor", lt),
    relation!("less.Scalar", lt),
    relation!("le.Tensor", le),
    relation!("le.Scalar", le),
    relation!("less_equal.Tensor", le),
    relation!("less_equal.Scalar", le),
    relation!("gt.Tensor", gt),
    relation!("gt.Scalar", gt),
    relation!("greater.Tensor", gt),
    relation!("greater.Scalar", gt),
    relation!("ge.Tensor", ge),
    relation!("ge.Scalar", ge),
    relation!("greater_equal.Tensor", ge),
    relation!("greater_equal.Scalar", ge),
    logical!("logical_and", and),
    logical!("logical_or", or),
    logical!("logical_xor", xor),
    ("aten.isclose.default", isclose),
];

/// `|x - y| ≤ atol + |rtol·y|`, or equal (infinities, and NaNs if asked for).
fn isclose(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "other"])?;
    let (x, y) = (b.operand(c, "self", dtype)?, b.operand(c, "other", dtype)?);
    let mut close = b.eq(x, y)?;
    if (dtype.is_float() || dtype.is_complex()) && c.bool("equal_nan")? {
        let (nan_x, nan_y) = (b.is_nan(x)?, b.is_nan(y)?);
        let both = b.and(nan_x, nan_y)?;
        close = b.or(close, both)?;
    }
    let double = if dtype.is_complex() { DType::C128 } else { DType::F64 };
    let (x, y) = (b.cast(x, double)?, b.cast(y, double)?);
    let (rtol, atol) = (b.constant(c.float("rtol")?, DType::F64)?, b.constant(c.float("atol")?, DType::F64)?);
    let size = magnitude(b, y)?;
    let scaled = b.mul(rtol, size)?;
    let relative = b.abs(scaled)?;
    let allowed = b.add(atol, relative)?;
    let difference = b.sub(x, y)?;
    let distance = magnitude(b, difference)?;
    let infinity = b.constant(f64::INFINITY, DType::F64)?;
    let (near, finite) = (b.le(distance, allowed)?, b.lt(distance, infinity)?);
    let near = b.and(near, finite)?;
    Ok(vec![b.or(close, near)?])
}
