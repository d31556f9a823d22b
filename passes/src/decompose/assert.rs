//! Checks: those of values stay, those the exporter has made already vanish.

use super::unary::truth;
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._assert_async.default", |b, c| check(b, c, "an assertion failed")),
    ("aten._assert_async.msg", |b, c| check(b, c, c.str("assert_msg")?)),
    ("aten._assert_scalar.default", |b, c| check(b, c, c.str("assert_msg")?)),
    ("aten._assert_tensor_metadata.default", |_, _| Ok(Vec::new())),
    ("aten.sym_constrain_range.default", |_, _| Ok(Vec::new())),
    ("aten.sym_constrain_range_for_size.default", |_, _| Ok(Vec::new())),
];

/// A run-time check that a size which the operator does not take empty is at least 1, unless that is known.
pub(super) fn at_least_one(b: &mut Builder<'_>, size: &Dim, message: &str) -> Result<(), OpError> {
    if size.is_int() || b.scope().prove_lt(&Dim::ZERO, size).is_yes() {
        return Ok(());
    }
    let (size, zero) = (b.constant_dim(size, DType::I64)?, b.constant(0.0, DType::I64)?);
    let some = b.gt(size, zero)?;
    b.assert(some, message)
}

fn check(b: &mut Builder<'_>, c: &Call<'_, Val>, message: &str) -> Result<Vec<Val>, OpError> {
    let x = match c.arg("self")? {
        Arg::Bool(true) => return Ok(Vec::new()),
        Arg::Tensor(x) => *x,
        number => b.scalar_like(number, DType::I64)?,
    };
    let holds = truth(b, x)?;
    let dims: Vec<usize> = (0..b.rank(holds)).collect();
    let holds = b.reduce(holds, &dims, "all")?;
    b.assert(holds, message)?;
    Ok(Vec::new())
}
