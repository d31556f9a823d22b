//! Elementary functions of complex numbers by their parts, in double precision.
//!
//! Branch cuts and the forms that stay accurate next to them are those of W. Kahan, "Branch cuts for complex elementary
//! functions" (1987), which C99 and PyTorch follow.

use super::rules::{Parts, divided, product};
use crate::decompose::{Builder, Val};
use pt2c_ir::DType;
use pt2c_ops::OpError;

type Made = Result<Parts, OpError>;

fn number(b: &mut Builder<'_>, value: f64) -> Result<Val, OpError> {
    b.constant(value, DType::F64)
}

/// `k · x`.
pub fn scaled(b: &mut Builder<'_>, x: Parts, k: f64) -> Made {
    let k = number(b, k)?;
    Ok(Parts { re: b.mul(x.re, k)?, im: b.mul(x.im, k)? })
}

/// `-i · f(i·x)`: the circular function of a hyperbolic one, and back.
pub fn turned(b: &mut Builder<'_>, x: Parts, f: fn(&mut Builder<'_>, Parts) -> Made) -> Made {
    let re = b.neg(x.im)?;
    let y = f(b, Parts { re, im: x.re })?;
    Ok(Parts { re: y.im, im: b.neg(y.re)? })
}

/// `e^x`.
pub fn exp(b: &mut Builder<'_>, x: Parts) -> Made {
    let (size, cos, sin) = (b.exp(x.re)?, b.cos(x.im)?, b.sin(x.im)?);
    let (re, im) = (b.mul(size, cos)?, b.mul(size, sin)?);
    // Real arguments have real results, infinite ones too.
    let zero = number(b, 0.0)?;
    let real = b.eq(x.im, zero)?;
    Ok(Parts { re: b.where_(real, size, re)?, im: b.where_(real, x.im, im)? })
}

/// `e^x - 1`, exact near 0.
pub fn expm1(b: &mut Builder<'_>, x: Parts) -> Made {
    let (grown, cos, sin, half) = (b.expm1(x.re)?, b.cos(x.im)?, b.sin(x.im)?, number(b, 0.5)?);
    let half = b.mul(x.im, half)?;
    let half_sin = b.sin(half)?;
    let square = b.mul(half_sin, half_sin)?;
    let twice = b.add(square, square)?;
    let product = b.mul(grown, cos)?;
    let size = b.exp(x.re)?;
    Ok(Parts { re: b.sub(product, twice)?, im: b.mul(size, sin)? })
}

/// Natural logarithm; the cut is the negative real axis.
pub fn log(b: &mut Builder<'_>, x: Parts) -> Made {
    let size = b.hypot(x.re, x.im)?;
    Ok(Parts { re: b.log(size)?, im: b.atan2(x.im, x.re)? })
}

/// `log(1 + x)`, exact near 0.
pub fn log1p(b: &mut Builder<'_>, x: Parts) -> Made {
    let (one, two, half) = (number(b, 1.0)?, number(b, 2.0)?, number(b, 0.5)?);
    // |1 + x|² - 1 = re·(2 + re) + im²
    let sum = b.add(x.re, two)?;
    let (first, second) = (b.mul(x.re, sum)?, b.mul(x.im, x.im)?);
    let beyond = b.add(first, second)?;
    let log = b.log1p(beyond)?;
    let real = b.add(x.re, one)?;
    Ok(Parts { re: b.mul(log, half)?, im: b.atan2(x.im, real)? })
}

/// Square root with a real part that is not negative.
pub fn sqrt(b: &mut Builder<'_>, x: Parts) -> Made {
    let (zero, half) = (number(b, 0.0)?, number(b, 0.5)?);
    let (size, across) = (b.hypot(x.re, x.im)?, b.abs(x.re)?);
    let sum = b.add(size, across)?;
    let mean = b.mul(sum, half)?;
    let large = b.sqrt(mean)?;
    let twice = b.add(large, large)?;
    let height = b.abs(x.im)?;
    let small = b.div(height, twice)?;
    let (nothing, left) = (b.eq(twice, zero)?, b.lt(x.re, zero)?);
    let small = b.where_(nothing, zero, small)?;
    let (re, im) = (b.where_(left, small, large)?, b.where_(left, large, small)?);
    Ok(Parts { re, im: b.copysign(im, x.im)? })
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid(b: &mut Builder<'_>, x: Parts) -> Made {
    let (one, zero) = (number(b, 1.0)?, number(b, 0.0)?);
    let negative = Parts { re: b.neg(x.re)?, im: b.neg(x.im)? };
    let decay = exp(b, negative)?;
    let below = Parts { re: b.add(decay.re, one)?, im: decay.im };
    divided(b, Parts { re: one, im: zero }, below)
}

pub fn sin(b: &mut Builder<'_>, x: Parts) -> Made {
    let (sin, cos, sinh, cosh) = (b.sin(x.re)?, b.cos(x.re)?, b.sinh(x.im)?, b.cosh(x.im)?);
    Ok(Parts { re: b.mul(sin, cosh)?, im: b.mul(cos, sinh)? })
}

pub fn cos(b: &mut Builder<'_>, x: Parts) -> Made {
    let (sin, cos, sinh, cosh) = (b.sin(x.re)?, b.cos(x.re)?, b.sinh(x.im)?, b.cosh(x.im)?);
    let im = b.mul(sin, sinh)?;
    Ok(Parts { re: b.mul(cos, cosh)?, im: b.neg(im)? })
}

pub fn sinh(b: &mut Builder<'_>, x: Parts) -> Made {
    let (sin, cos, sinh, cosh) = (b.sin(x.im)?, b.cos(x.im)?, b.sinh(x.re)?, b.cosh(x.re)?);
    Ok(Parts { re: b.mul(sinh, cos)?, im: b.mul(cosh, sin)? })
}

pub fn cosh(b: &mut Builder<'_>, x: Parts) -> Made {
    let (sin, cos, sinh, cosh) = (b.sin(x.im)?, b.cos(x.im)?, b.sinh(x.re)?, b.cosh(x.re)?);
    Ok(Parts { re: b.mul(cosh, cos)?, im: b.mul(sinh, sin)? })
}

/// `(sinh 2re + i·sin 2im) / (cosh 2re + cos 2im)`.
pub fn tanh(b: &mut Builder<'_>, x: Parts) -> Made {
    let (two, low, high) = (number(b, 2.0)?, number(b, -600.0)?, number(b, 600.0)?);
    let (re, im) = (b.mul(x.re, two)?, b.mul(x.im, two)?);
    // Beyond, the result is ±1 and the functions would overflow.
    let re = b.max(re, low)?;
    let re = b.min(re, high)?;
    let (sinh, cosh, sin, cos) = (b.sinh(re)?, b.cosh(re)?, b.sin(im)?, b.cos(im)?);
    let below = b.add(cosh, cos)?;
    Ok(Parts { re: b.div(sinh, below)?, im: b.div(sin, below)? })
}

/// `√(1 - x)` and `√(1 + x)`.
fn roots(b: &mut Builder<'_>, x: Parts) -> Result<(Parts, Parts), OpError> {
    let one = number(b, 1.0)?;
    let (less, more) = (b.sub(one, x.re)?, b.add(one, x.re)?);
    let mirrored = b.neg(x.im)?;
    Ok((sqrt(b, Parts { re: less, im: mirrored })?, sqrt(b, Parts { re: more, im: x.im })?))
}

fn conj(b: &mut Builder<'_>, x: Parts) -> Made {
    Ok(Parts { re: x.re, im: b.neg(x.im)? })
}

pub fn asin(b: &mut Builder<'_>, x: Parts) -> Made {
    let (minus, plus) = roots(b, x)?;
    let whole = product(b, minus, plus)?;
    let minus = conj(b, minus)?;
    let mixed = product(b, minus, plus)?;
    Ok(Parts { re: b.atan2(x.re, whole.re)?, im: b.asinh(mixed.im)? })
}

pub fn acos(b: &mut Builder<'_>, x: Parts) -> Made {
    let (minus, plus) = roots(b, x)?;
    let half = b.atan2(minus.re, plus.re)?;
    let plus = conj(b, plus)?;
    let mixed = product(b, plus, minus)?;
    Ok(Parts { re: b.add(half, half)?, im: b.asinh(mixed.im)? })
}

pub fn acosh(b: &mut Builder<'_>, x: Parts) -> Made {
    let one = number(b, 1.0)?;
    let (less, more) = (b.sub(x.re, one)?, b.add(x.re, one)?);
    let (minus, plus) = (sqrt(b, Parts { re: less, im: x.im })?, sqrt(b, Parts { re: more, im: x.im })?);
    let half = b.atan2(minus.im, plus.re)?;
    let minus = conj(b, minus)?;
    let mixed = product(b, minus, plus)?;
    Ok(Parts { re: b.asinh(mixed.re)?, im: b.add(half, half)? })
}

/// `¼·log1p(4re / ((1 - re)² + im²)) + ½i·atan2(2im, (1 - re)(1 + re) - im²)`.
pub fn atanh(b: &mut Builder<'_>, x: Parts) -> Made {
    let (one, half, quarter, four) = (number(b, 1.0)?, number(b, 0.5)?, number(b, 0.25)?, number(b, 4.0)?);
    let (less, more) = (b.sub(one, x.re)?, b.add(one, x.re)?);
    let (near, height) = (b.mul(less, less)?, b.mul(x.im, x.im)?);
    let below = b.add(near, height)?;
    let above = b.mul(x.re, four)?;
    let ratio = b.div(above, below)?;
    let log = b.log1p(ratio)?;
    let (across, twice) = (b.mul(less, more)?, b.add(x.im, x.im)?);
    let across = b.sub(across, height)?;
    let angle = b.atan2(twice, across)?;
    Ok(Parts { re: b.mul(log, quarter)?, im: b.mul(angle, half)? })
}

/// `x^y = e^(y·log x)`; 0 to any power but 0 is 0.
pub fn pow(b: &mut Builder<'_>, x: Parts, y: Parts) -> Made {
    let log = log(b, x)?;
    let exponent = product(b, y, log)?;
    let power = exp(b, exponent)?;
    let (zero, one) = (number(b, 0.0)?, number(b, 1.0)?);
    let is_zero = |b: &mut Builder<'_>, x: Parts| {
        let (re, im) = (b.eq(x.re, zero)?, b.eq(x.im, zero)?);
        b.and(re, im)
    };
    let (of_zero, to_zero) = (is_zero(b, x)?, is_zero(b, y)?);
    let re = b.where_(of_zero, zero, power.re)?;
    let im = b.where_(of_zero, zero, power.im)?;
    Ok(Parts { re: b.where_(to_zero, one, re)?, im: b.where_(to_zero, zero, im)? })
}
