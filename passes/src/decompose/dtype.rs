//! Conversions, complex numbers and their parts, and operators that return their operand.

use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
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
        Ok(vec![seen_as(b, x, dtype)?])
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

/// The same bytes as elements of another type. Of another size: the last dimension grows or shrinks, and the lower part
/// of a number comes first.
fn seen_as(b: &mut Builder<'_>, x: Val, dtype: DType) -> Result<Val, OpError> {
    let own = b.dtype(x);
    if own == dtype {
        return Ok(x);
    }
    let mut shape = b.shape(x);
    let rank = shape.len();
    let no_last = || OpError::invalid("a 0-d tensor keeps its element size");
    let last = rank.checked_sub(1).ok_or_else(no_last)?;
    if own.is_complex() {
        let (re, im) = (b.real(x)?, b.imag(x)?);
        let parts = [b.unsqueeze(re, rank)?, b.unsqueeze(im, rank)?];
        let pairs = b.cat(&parts, rank)?;
        shape[last] = &shape[last] * &Dim::int(2);
        let flat = b.reshape(pairs, &shape)?;
        return seen_as(b, flat, dtype);
    }
    if dtype.is_complex() {
        let flat = seen_as(b, x, dtype.to_real())?;
        let pairs = b.shape(flat)[last].floor_div(&Dim::int(2));
        shape[last] = pairs;
        shape.push(Dim::int(2));
        let pairs = b.reshape(flat, &shape)?;
        return complex_of_pairs(b, pairs);
    }
    let (from, to) = (integer(own)?, integer(dtype)?);
    let bits = bits_of(b, x)?;
    if from == to {
        return of_bits(b, bits, dtype);
    }
    let all = if own.size() > dtype.size() {
        let count = own.size() / dtype.size();
        let mut parts = Vec::new();
        for i in 0..count {
            let by = b.constant((8 * dtype.size() * i) as f64, from)?;
            let part = b.shr(bits, by)?;
            let part = b.cast(part, to)?;
            parts.push(b.unsqueeze(part, rank)?);
        }
        let parts = b.cat(&parts, rank)?;
        shape[last] = &shape[last] * &Dim::int(count as i64);
        b.reshape(parts, &shape)?
    } else {
        let count = dtype.size() / own.size();
        shape[last] = shape[last].floor_div(&Dim::int(count as i64));
        shape.push(Dim::int(count as i64));
        let parts = b.reshape(bits, &shape)?;
        // Every part but the highest is without its sign.
        let mask = b.constant(2f64.powi(8 * own.size() as i32) - 1.0, to)?;
        let mut all = None;
        for i in 0..count {
            let part = b.slice_dim(parts, rank, &Dim::int(i as i64), &Dim::ONE, 1)?;
            let part = b.squeeze(part, rank)?;
            let part = b.cast(part, to)?;
            let part = b.and(part, mask)?;
            let by = b.constant((8 * own.size() * i) as f64, to)?;
            let part = b.shl(part, by)?;
            all = Some(match all {
                Some(lower) => b.or(lower, part)?,
                None => part,
            });
        }
        all.ok_or_else(no_last)?
    };
    of_bits(b, all, dtype)
}

/// The integer as large as an element. Registers hold 8-bit floats and f16 as f32, so their bits are not at hand.
fn integer(dtype: DType) -> Result<DType, OpError> {
    match (dtype, dtype.size()) {
        (DType::F16 | DType::F8E4M3FN | DType::F8E5M2, _) => {
            Err(OpError::Unsupported(format!("the bits of {dtype}: convert to or from f32 outside of the view")))
        }
        (_, 1) => Ok(DType::I8),
        (_, 2) => Ok(DType::I16),
        (_, 4) => Ok(DType::I32),
        (_, 8) => Ok(DType::I64),
        _ => Err(OpError::Unsupported(format!("the bits of {dtype}"))),
    }
}

/// The bits as an integer of the same size; bf16 is the upper half of an f32.
fn bits_of(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let own = b.dtype(x);
    let to = integer(own)?;
    if own != DType::BF16 {
        return if own == to { Ok(x) } else { b.bitcast(x, to) };
    }
    let wide = b.cast(x, DType::F32)?;
    let wide = b.bitcast(wide, DType::I32)?;
    let by = b.constant(16.0, DType::I32)?;
    let upper = b.shr(wide, by)?;
    b.cast(upper, to)
}

/// What [`bits_of`] takes apart.
fn of_bits(b: &mut Builder<'_>, bits: Val, dtype: DType) -> Result<Val, OpError> {
    if dtype != DType::BF16 {
        return if b.dtype(bits) == dtype { Ok(bits) } else { b.bitcast(bits, dtype) };
    }
    let wide = b.cast(bits, DType::I32)?;
    let by = b.constant(16.0, DType::I32)?;
    let wide = b.shl(wide, by)?;
    let wide = b.bitcast(wide, DType::F32)?;
    b.cast(wide, dtype)
}

fn as_complex(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    Ok(vec![complex_of_pairs(b, *c.tensor("self")?)?])
}

fn complex_of_pairs(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let last = b.rank(x).checked_sub(1).ok_or_else(|| OpError::invalid("a 0-d tensor has no pairs"))?;
    let mut part = |i: i64| {
        let slice = b.slice_dim(x, last, &Dim::int(i), &Dim::ONE, 1)?;
        b.squeeze(slice, last)
    };
    let (re, im) = (part(0)?, part(1)?);
    b.complex(re, im)
}
