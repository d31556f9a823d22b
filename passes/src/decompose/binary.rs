//! Arithmetic of two operands.

use super::common::{times, wide};
use super::unary::equals;
use super::{Builder, Decomposition, Val};
use pt2c_ir::{Arg, DType};
use pt2c_ops::{Call, OpError, to_float};

/// A primitive in the promoted dtype.
macro_rules! binary {
    ($op:literal, $prim:ident) => {
        binary!($op, "self", "other", $prim)
    };
    ($op:literal, $a:literal, $b:literal, $prim:ident) => {
        (concat!("aten.", $op), |b, c| {
            let dtype = b.result_type(c, &[$a, $b])?;
            let (x, y) = (b.operand(c, $a, dtype)?, b.operand(c, $b, dtype)?);
            Ok(vec![b.$prim(x, y)?])
        })
    };
}

/// A primitive on floats.
macro_rules! float {
    ($op:literal, $prim:ident) => {
        (concat!("aten.", $op), |b, c| {
            let [x, y] = floats(b, c)?;
            Ok(vec![b.$prim(x, y)?])
        })
    };
}

/// A function of floats that is computed in more than one step.
macro_rules! steps {
    ($op:literal, $f:expr) => {
        (concat!("aten.", $op), |b, c| {
            let f: fn(&mut Builder<'_>, Val, Val) -> Result<Val, OpError> = $f;
            let [x, y] = floats(b, c)?;
            let dtype = b.dtype(x);
            if dtype.is_complex() {
                return Err(OpError::Unsupported(format!("`{}` of {dtype} numbers", c.op.name)));
            }
            let (x, y) = (b.cast(x, wide(dtype))?, b.cast(y, wide(dtype))?);
            let z = f(b, x, y)?;
            Ok(vec![b.cast(z, dtype)?])
        })
    };
}

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.add.Tensor", |b, c| scaled(b, c, |b, x, y| b.add(x, y))),
    ("aten.add.Scalar", |b, c| scaled(b, c, |b, x, y| b.add(x, y))),
    ("aten.sub.Tensor", |b, c| scaled(b, c, |b, x, y| b.sub(x, y))),
    ("aten.sub.Scalar", |b, c| scaled(b, c, |b, x, y| b.sub(x, y))),
    ("aten.subtract.Tensor", |b, c| scaled(b, c, |b, x, y| b.sub(x, y))),
    ("aten.subtract.Scalar", |b, c| scaled(b, c, |b, x, y| b.sub(x, y))),
    ("aten.rsub.Tensor", reversed),
    ("aten.rsub.Scalar", reversed),
    binary!("mul.Tensor", mul),
    binary!("mul.Scalar", mul),
    binary!("multiply.Tensor", mul),
    binary!("multiply.Scalar", mul),
    float!("div.Tensor", div),
    float!("div.Scalar", div),
    float!("divide.Tensor", div),
    float!("divide.Scalar", div),
    float!("true_divide.Tensor", div),
    float!("true_divide.Scalar", div),
    ("aten.div.Tensor_mode", rounded),
    ("aten.div.Scalar_mode", rounded),
    ("aten.divide.Tensor_mode", rounded),
    ("aten.divide.Scalar_mode", rounded),
    binary!("floor_divide.default", div_floor),
    binary!("floor_divide.Scalar", div_floor),
    binary!("remainder.Tensor", rem_floor),
    binary!("remainder.Scalar", rem_floor),
    binary!("remainder.Scalar_Tensor", rem_floor),
    binary!("fmod.Tensor", rem_trunc),
    binary!("fmod.Scalar", rem_trunc),
    binary!("pow.Tensor_Tensor", "self", "exponent", pow),
    binary!("pow.Scalar", "self", "exponent", pow),
    ("aten.pow.Tensor_Scalar", pow_number),
    ("aten.float_power.Tensor_Tensor", float_power),
    ("aten.float_power.Tensor_Scalar", float_power),
    binary!("maximum.default", max),
    binary!("minimum.default", min),
    binary!("max.other", max),
    binary!("min.other", min),
    binary!("fmax.default", fmax),
    binary!("fmin.default", fmin),
    binary!("bitwise_and.Tensor", and),
    binary!("bitwise_and.Scalar", and),
    binary!("bitwise_and.Scalar_Tensor", and),
    binary!("bitwise_or.Tensor", or),
    binary!("bitwise_or.Scalar", or),
    binary!("bitwise_or.Scalar_Tensor", or),
    binary!("bitwise_xor.Tensor", xor),
    binary!("bitwise_xor.Scalar", xor),
    binary!("bitwise_xor.Scalar_Tensor", xor),
    binary!("__and__.Tensor", and),
    binary!("__and__.Scalar", and),
    binary!("__or__.Tensor", or),
    binary!("__or__.Scalar", or),
    binary!("__xor__.Tensor", xor),
    binary!("__xor__.Scalar", xor),
    binary!("bitwise_left_shift.Tensor", shl),
    binary!("bitwise_left_shift.Tensor_Scalar", shl),
    binary!("bitwise_left_shift.Scalar_Tensor", shl),
    binary!("bitwise_right_shift.Tensor", shr),
    binary!("bitwise_right_shift.Tensor_Scalar", shr),
    binary!("bitwise_right_shift.Scalar_Tensor", shr),
    binary!("__lshift__.Tensor", shl),
    binary!("__lshift__.Scalar", shl),
    binary!("__rshift__.Tensor", shr),
    binary!("__rshift__.Scalar", shr),
    float!("atan2.default", atan2),
    float!("arctan2.default", atan2),
    float!("copysign.Tensor", copysign),
    float!("copysign.Scalar", copysign),
    binary!("hypot.default", hypot),
    binary!("nextafter.default", nextafter),
    ("aten.logaddexp.default", |b, c| {
        let [x, y] = floats(b, c)?;
        let dtype = b.dtype(x);
        if dtype.is_complex() {
            return Ok(vec![logaddexp_complex(b, x, y)?]);
        }
        let (x, y) = (b.cast(x, wide(dtype))?, b.cast(y, wide(dtype))?);
        let z = logaddexp(b, x, y, |b, x| b.exp(x), 1.0)?;
        Ok(vec![b.cast(z, dtype)?])
    }),
    steps!("logaddexp2.default", |b, x, y| logaddexp(b, x, y, |b, x| b.exp2(x), std::f64::consts::LOG2_E)),
    steps!("xlogy.Tensor", |b, x, y| times_log(b, x, y, |b, x| b.log(x))),
    steps!("xlogy.Scalar_Other", |b, x, y| times_log(b, x, y, |b, x| b.log(x))),
    steps!("xlogy.Scalar_Self", |b, x, y| times_log(b, x, y, |b, x| b.log(x))),
    steps!("special_xlogy.default", |b, x, y| times_log(b, x, y, |b, x| b.log(x))),
    steps!("special_xlog1py.default", |b, x, y| times_log(b, x, y, |b, x| b.log1p(x))),
    steps!("special_xlog1py.other_scalar", |b, x, y| times_log(b, x, y, |b, x| b.log1p(x))),
    steps!("special_xlog1py.self_scalar", |b, x, y| times_log(b, x, y, |b, x| b.log1p(x))),
    ("aten.heaviside.default", |b, c| {
        let dtype = b.result_type(c, &["self", "values"])?;
        let (x, values) = (b.operand(c, "self", dtype)?, b.operand(c, "values", dtype)?);
        let zero = b.constant(0.0, dtype)?;
        let (at_zero, positive) = (b.eq(x, zero)?, b.gt(x, zero)?);
        let step = b.cast(positive, dtype)?;
        Ok(vec![b.where_(at_zero, values, step)?])
    }),
    ("aten.gcd.default", |b, c| {
        let [x, y] = integers(b, c)?;
        Ok(vec![gcd(b, x, y)?])
    }),
    ("aten.lcm.default", |b, c| {
        let [x, y] = integers(b, c)?;
        let divisor = gcd(b, x, y)?;
        let safe = or_one(b, divisor)?;
        let part = b.div_trunc(x, safe)?;
        let product = b.mul(part, y)?;
        Ok(vec![b.abs(product)?])
    }),
];

fn floats(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<[Val; 2], OpError> {
    let dtype = to_float(b.result_type(c, &["self", "other"])?);
    Ok([b.operand(c, "self", dtype)?, b.operand(c, "other", dtype)?])
}

fn integers(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<[Val; 2], OpError> {
    let dtype = b.result_type(c, &["self", "other"])?;
    Ok([b.operand(c, "self", dtype)?, b.operand(c, "other", dtype)?])
}

/// An operand times `alpha`.
fn times_alpha(b: &mut Builder<'_>, c: &Call<'_, Val>, name: &str, dtype: DType) -> Result<Val, OpError> {
    let x = b.operand(c, name, dtype)?;
    match c.arg("alpha")? {
        Arg::Int(one) if one.is_one() => Ok(x),
        Arg::Float(1.0) => Ok(x),
        alpha => {
            let alpha = b.scalar_like(alpha, dtype)?;
            b.mul(x, alpha)
        }
    }
}

fn scaled(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    f: fn(&mut Builder<'_>, Val, Val) -> Result<Val, OpError>,
) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "other"])?;
    let (x, y) = (b.operand(c, "self", dtype)?, times_alpha(b, c, "other", dtype)?);
    Ok(vec![f(b, x, y)?])
}

fn reversed(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "other"])?;
    let (x, y) = (b.operand(c, "other", dtype)?, times_alpha(b, c, "self", dtype)?);
    Ok(vec![b.sub(x, y)?])
}

fn rounded(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let Some(mode) = c.opt_str("rounding_mode")? else {
        let [x, y] = floats(b, c)?;
        return Ok(vec![b.div(x, y)?]);
    };
    let [x, y] = integers(b, c)?;
    Ok(vec![match mode {
        "floor" => b.div_floor(x, y)?,
        "trunc" => b.div_trunc(x, y)?,
        _ => return Err(OpError::Invalid(format!("`{mode}` is no rounding mode of a division"))),
    }])
}

/// Powers with the shortcuts that PyTorch takes too, whose results differ for infinities and zeros.
fn pow_number(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let dtype = b.result_type(c, &["self", "exponent"])?;
    let x = b.operand(c, "self", dtype)?;
    let float = dtype.is_float() || dtype.is_complex();
    Ok(vec![match c.arg("exponent")?.as_float() {
        Some(0.0) => {
            let shape = b.shape(x);
            b.full(&shape, &Arg::Float(1.0), dtype)?
        }
        Some(1.0) => x,
        Some(2.0) => b.mul(x, x)?,
        Some(3.0) => {
            let square = b.mul(x, x)?;
            b.mul(square, x)?
        }
        Some(0.5) if float => b.sqrt(x)?,
        Some(-0.5) if float => b.rsqrt(x)?,
        Some(-1.0) if float => b.reciprocal(x)?,
        Some(-2.0) if float => {
            let square = b.mul(x, x)?;
            b.reciprocal(square)?
        }
        _ => {
            let exponent = b.operand(c, "exponent", dtype)?;
            b.pow(x, exponent)?
        }
    }])
}

fn float_power(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let complex = b.result_type(c, &["self", "exponent"])?.is_complex();
    let dtype = if complex { DType::C128 } else { DType::F64 };
    let (x, y) = (b.operand(c, "self", dtype)?, b.operand(c, "exponent", dtype)?);
    Ok(vec![b.pow(x, y)?])
}

/// `log(f(x) + f(y))` for an exponential `f`; `scale` converts from the natural logarithm.
fn logaddexp(
    b: &mut Builder<'_>,
    x: Val,
    y: Val,
    f: fn(&mut Builder<'_>, Val) -> Result<Val, OpError>,
    scale: f64,
) -> Result<Val, OpError> {
    let (top, difference) = (b.max(x, y)?, b.sub(x, y)?);
    let distance = b.abs(difference)?;
    let negative = b.neg(distance)?;
    let ratio = f(b, negative)?;
    let mut rest = b.log1p(ratio)?;
    if scale != 1.0 {
        rest = times(b, rest, scale)?;
    }
    let sum = b.add(top, rest)?;
    // The difference of equal infinities is no number.
    let (same, infinite) = (b.eq(x, y)?, b.is_inf(x)?);
    let exact = b.and(same, infinite)?;
    b.where_(exact, x, sum)
}

/// `log(e^x + e^y)` of complex numbers: what has the larger real part, plus `log(1 + e^(other - it))`. The imaginary part
/// is not brought into (-π, π], as in PyTorch.
fn logaddexp_complex(b: &mut Builder<'_>, x: Val, y: Val) -> Result<Val, OpError> {
    let (p, q) = (b.real(x)?, b.real(y)?);
    let first = b.ge(p, q)?;
    let (large, small) = (b.where_(first, x, y)?, b.where_(first, y, x)?);
    let difference = b.sub(small, large)?;
    let ratio = b.exp(difference)?;
    let log = b.log1p(ratio)?;
    b.add(large, log)
}

/// `x·log(y)`, 0 where x is 0 and y a number.
fn times_log(
    b: &mut Builder<'_>,
    x: Val,
    y: Val,
    log: fn(&mut Builder<'_>, Val) -> Result<Val, OpError>,
) -> Result<Val, OpError> {
    let log = log(b, y)?;
    let product = b.mul(x, log)?;
    let (at_zero, zero, nan) = (equals(b, x, 0.0)?, b.constant(0.0, b.dtype(x))?, b.is_nan(y)?);
    let z = b.where_(at_zero, zero, product)?;
    b.where_(nan, y, z)
}

/// `x`, or 1 where it is 0.
fn or_one(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let (at_zero, one) = (equals(b, x, 0.0)?, b.constant(1.0, b.dtype(x))?);
    b.where_(at_zero, one, x)
}

/// Euclid's algorithm with as many steps as two integers of this width can need (Lamé's theorem).
fn gcd(b: &mut Builder<'_>, x: Val, y: Val) -> Result<Val, OpError> {
    let bits = b.dtype(x).size() * 8;
    let (mut x, mut y) = (b.abs(x)?, b.abs(y)?);
    for _ in 0..bits * 3 / 2 {
        let (safe, done) = (or_one(b, y)?, equals(b, y, 0.0)?);
        let rest = b.rem_trunc(x, safe)?;
        let next = b.where_(done, x, y)?;
        y = b.where_(done, y, rest)?;
        x = next;
    }
    Ok(x)
}
