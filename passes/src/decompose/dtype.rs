//! Conversions, complex numbers and their parts, and operators that return their operand.

use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.to.dtype", to_dtype),
    ("aten.to.device", to_dtype),
    ("aten.to.dtype_layout", to_dtype),
    ("aten._to_copy.default", to_dtype),
    ("aten.to.other", to_other),
    ("aten.type_as.default", to_other),
    ("aten.alias.default", identity),
    ("aten.detach.default", identity),
    ("aten.contiguous.default", identity),
    ("aten.lift_fresh.default", identity),
    ("aten.alias_copy.default", identity),
    ("aten.detach_copy.default", identity),
    ("aten.lift.default", identity),
    ("aten.lift_fresh_copy.default", identity),
    ("aten.clone.default", identity),
    ("aten.view.dtype", |b, c| {
        let (x, dtype) = (*c.tensor("self")?, c.dtype("dtype")?);
        if b.dtype(x).size() != dtype.size() {
            let own = b.dtype(x);
            return Err(OpError::Unsupported(format!("{own} elements seen as {dtype}, which differ in size")));
        }
        Ok(vec![b.bitcast(x, dtype)?])
    }),
    ("aten.real.default", |b, c| {
        let x = *c.tensor("self")?;
        Ok(vec![if b.dtype(x).is_complex() { b.real(x)? } else { x }])
    }),
    ("aten.imag.default", |b, c| Ok(vec![b.imag(*c.tensor("self")?)?])),
    ("aten.view_as_real.default", as_real),
    ("aten.view_as_real_copy.default", as_real),
    ("aten.view_as_complex.default", as_complex),
    ("aten.view_as_complex_copy.default", as_complex),
    ("aten.complex.default", |b, c| Ok(vec![b.complex(*c.tensor("real")?, *c.tensor("imag")?)?])),
    ("aten.polar.default", |b, c| {
        let (size, angle) = (*c.tensor("abs")?, *c.tensor("angle")?);
        let (cos, sin) = (b.cos(angle)?, b.sin(angle)?);
        let (re, im) = (b.mul(size, cos)?, b.mul(size, sin)?);
        Ok(vec![b.complex(re, im)?])
    }),
];

fn identity(_: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    Ok(vec![*c.tensor("self")?])
}

fn to_dtype(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    Ok(vec![match c.opt_dtype("dtype")? {
        Some(dtype) => b.cast(x, dtype)?,
        None => x,
    }])
}

fn to_other(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.dtype(*c.tensor("other")?);
    Ok(vec![b.cast(*c.tensor("self")?, dtype)?])
}

/// The parts next to each other in a new last dimension.
fn as_real(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let rank = b.rank(x);
    let (re, im) = (b.real(x)?, b.imag(x)?);
    let parts = [b.unsqueeze(re, rank)?, b.unsqueeze(im, rank)?];
    Ok(vec![b.cat(&parts, rank)?])
}

fn as_complex(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let last = b.rank(x).checked_sub(1).ok_or_else(|| OpError::invalid("a 0-d tensor has no pairs"))?;
    let mut part = |i: i64| {
        let slice = b.slice_dim(x, last, &Dim::int(i), &Dim::ONE, 1)?;
        b.squeeze(slice, last)
    };
    let (re, im) = (part(0)?, part(1)?);
    Ok(vec![b.complex(re, im)?])
}
