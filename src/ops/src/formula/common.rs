//! Steps that formulas and decompositions of several families share.

use crate::{Builder, Val};
use crate::{Call, OpError};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The dtype a composite is computed in: f32 for narrower floats, so that it rounds once.
pub fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => DType::F32,
        other => other,
    }
}

/// A value converted to the dtype it is computed in.
pub fn widened(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let dtype = wide(b.dtype(x));
    b.cast(x, dtype)
}

/// The absolute value of real or complex numbers, which is real.
pub fn modulus(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    if b.dtype(x).is_complex() { b.one("aten.abs.default", vec![Arg::Tensor(x)]) } else { b.abs(x) }
}

/// Sum over dimensions, which stay with size 1, divided by the number of elements summed.
pub fn mean(b: &mut Builder<'_>, x: Val, dims: &[usize]) -> Result<Val, OpError> {
    let sum = b.keepdim_reduce(x, dims, "sum")?;
    let shape = b.shape(x);
    let count = dims.iter().filter_map(|&d| shape.get(d)).fold(Dim::ONE, |n, d| &n * d);
    let dtype = b.dtype(x);
    let count = b.constant_dim(&count, dtype)?;
    b.div(sum, count)
}

/// A vector as `[1, C, 1, …]` of this rank, computed in the wide dtype.
pub fn channelwise(b: &mut Builder<'_>, v: Val, rank: usize, dtype: DType) -> Result<Val, OpError> {
    let mut shape = vec![Dim::ONE; rank.max(2)];
    shape[1] = b.fact(v).numel();
    let v = b.cast(v, dtype)?;
    b.reshape(v, &shape)
}

/// `x` times a number, which is nothing for 1.
pub fn scaled(b: &mut Builder<'_>, x: Val, by: &Arg<Val>) -> Result<Val, OpError> {
    if by.as_float() == Some(1.0) {
        return Ok(x);
    }
    let dtype = b.dtype(x);
    let by = b.scalar_like(by, dtype)?;
    b.mul(x, by)
}

/// `x` with a number added.
pub fn plus(b: &mut Builder<'_>, x: Val, number: f64) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    let number = b.constant(number, dtype)?;
    b.add(x, number)
}

/// `x` times a number.
pub fn times(b: &mut Builder<'_>, x: Val, number: f64) -> Result<Val, OpError> {
    scaled(b, x, &Arg::Float(number))
}

/// A tensor argument.
pub fn tensor(call: &Call<'_, Val>, name: &str) -> Result<Val, OpError> {
    call.tensor(name).copied()
}

/// A tensor argument or None.
pub fn opt_tensor(call: &Call<'_, Val>, name: &str) -> Result<Option<Val>, OpError> {
    Ok(call.opt_tensor(name)?.copied())
}

/// The facts of a call's operands, for code of the operator table that reads them.
pub fn with_facts<R>(
    b: &Builder<'_>,
    call: &Call<'_, Val>,
    read: impl FnOnce(&Call<'_, pt2c_ir::Fact>) -> Result<R, OpError>,
) -> Result<R, OpError> {
    let facts: Vec<_> = call.args.iter().map(|a| a.map(|&v| b.fact(v))).collect();
    read(&Call { op: call.op, args: &facts, scope: call.scope })
}

/// The inferred facts of a call's outputs.
pub fn outputs(b: &Builder<'_>, call: &Call<'_, Val>) -> Result<Vec<pt2c_ir::Fact>, OpError> {
    with_facts(b, call, |c| (call.op.def.infer)(c))
}

/// A dimension argument, wrapped.
pub fn dim_arg(call: &Call<'_, Val>, name: &str, rank: usize) -> Result<usize, OpError> {
    crate::wrap_dim(call.int(name)?, rank)
}
