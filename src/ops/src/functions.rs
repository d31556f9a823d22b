//! The scalar functions behind the elementwise primitives and PyTorch's pointwise operators.

use crate::pointwise::{Binary, Comparison, Unary};
use crate::special;
use num_complex::Complex64;

fn same<T>(x: T) -> T {
    x
}

pub const NEG: Unary = Unary::new("neg", |x| -x).int(i64::wrapping_neg).complex(|z| -z);
/// Of a complex number: not here, its result is real.
pub const ABS: Unary = Unary::new("abs", f64::abs).int(i64::wrapping_abs).bool(same);
/// NaN has sign 0, as in PyTorch.
pub const SIGN: Unary =
    Unary::new("sign", |x| f64::from(i8::from(x > 0.0) - i8::from(x < 0.0))).int(i64::signum).bool(same);
pub const CEIL: Unary = Unary::new("ceil", f64::ceil).int(same);
pub const FLOOR: Unary = Unary::new("floor", f64::floor).int(same);
/// Half to even.
pub const ROUND: Unary = Unary::new("round", f64::round_ties_even).int(same);
pub const TRUNC: Unary = Unary::new("trunc", f64::trunc).int(same);
pub const EXP: Unary = Unary::new("exp", f64::exp).complex(Complex64::exp);
pub const EXP2: Unary = Unary::new("exp2", f64::exp2).complex(|z| (z * std::f64::consts::LN_2).exp());
pub const EXPM1: Unary = Unary::new("expm1", f64::exp_m1).complex(|z| z.exp() - 1.0);
pub const LOG: Unary = Unary::new("log", f64::ln).complex(Complex64::ln);
pub const LOG2: Unary = Unary::new("log2", f64::log2).complex(|z| z.ln() / std::f64::consts::LN_2);
pub const LOG10: Unary = Unary::new("log10", f64::log10).complex(Complex64::log10);
pub const LOG1P: Unary = Unary::new("log1p", f64::ln_1p).complex(|z| (z + 1.0).ln());
pub const SQRT: Unary = Unary::new("sqrt", f64::sqrt).complex(Complex64::sqrt);
pub const RSQRT: Unary = Unary::new("rsqrt", |x| 1.0 / x.sqrt()).complex(|z| z.sqrt().inv());
pub const RECIPROCAL: Unary = Unary::new("reciprocal", |x| 1.0 / x).complex(|z| z.inv());
pub const SIN: Unary = Unary::new("sin", f64::sin).complex(Complex64::sin);
pub const COS: Unary = Unary::new("cos", f64::cos).complex(Complex64::cos);
pub const TAN: Unary = Unary::new("tan", f64::tan).complex(Complex64::tan);
pub const ASIN: Unary = Unary::new("asin", f64::asin).complex(Complex64::asin);
pub const ACOS: Unary = Unary::new("acos", f64::acos).complex(Complex64::acos);
pub const ATAN: Unary = Unary::new("atan", f64::atan).complex(Complex64::atan);
pub const SINH: Unary = Unary::new("sinh", f64::sinh).complex(Complex64::sinh);
pub const COSH: Unary = Unary::new("cosh", f64::cosh).complex(Complex64::cosh);
pub const TANH: Unary = Unary::new("tanh", f64::tanh).complex(Complex64::tanh);
pub const ASINH: Unary = Unary::new("asinh", libm::asinh).complex(Complex64::asinh);
pub const ACOSH: Unary = Unary::new("acosh", libm::acosh).complex(Complex64::acosh);
pub const ATANH: Unary = Unary::new("atanh", libm::atanh).complex(Complex64::atanh);
pub const ERF: Unary = Unary::new("erf", libm::erf);
pub const ERFC: Unary = Unary::new("erfc", libm::erfc);
pub const ERFINV: Unary = Unary::new("erfinv", special::erfinv);
pub const LGAMMA: Unary = Unary::new("lgamma", special::lgamma);
pub const DIGAMMA: Unary = Unary::new("digamma", special::digamma);
/// `x·(1 + erf(x/√2))/2`.
pub const GELU: Unary = Unary::new("gelu", special::gelu);
pub const SIGMOID: Unary = Unary::new("sigmoid", special::sigmoid).complex(|z| ((-z).exp() + 1.0).inv());
/// Bitwise; logical for booleans.
pub const NOT: Unary = Unary::new("not", same).no_float().int(|x| !x).bool(|b| !b);
pub const CONJ: Unary = Unary::new("conj", same).int(same).bool(same).complex(|z| z.conj());

/// Logical or for booleans.
pub const ADD: Binary =
    Binary::new("add", |a, b| a + b).int(i64::wrapping_add).bool(|a, b| a | b).complex(|a, b| a + b);
pub const SUB: Binary = Binary::new("sub", |a, b| a - b).int(i64::wrapping_sub).complex(|a, b| a - b);
/// Logical and for booleans.
pub const MUL: Binary =
    Binary::new("mul", |a, b| a * b).int(i64::wrapping_mul).bool(|a, b| a & b).complex(|a, b| a * b);
pub const DIV: Binary = Binary::new("div", |a, b| a / b).complex(|a, b| a / b);
pub const DIV_FLOOR: Binary = Binary::new("div_floor", special::floor_divide).int_nonzero(floor_divide_int);
pub const DIV_TRUNC: Binary = Binary::new("div_trunc", |a, b| (a / b).trunc()).int_nonzero(i64::wrapping_div);
/// The sign of the divisor, as Python's `%`.
pub const REM_FLOOR: Binary = Binary::new("rem_floor", special::remainder).int_nonzero(|a, b| {
    let r = a.wrapping_rem(b);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
});
/// The sign of the dividend, as C's `fmod`.
pub const REM_TRUNC: Binary = Binary::new("rem_trunc", |a, b| a % b).int_nonzero(i64::wrapping_rem);
pub const POW: Binary = Binary::new("pow", libm::pow)
    .int(special::pow_int)
    .complex(|a, b| if b == Complex64::ZERO { Complex64::ONE } else { a.powc(b) });
pub const ATAN2: Binary = Binary::new("atan2", f64::atan2);
/// NaN if either is.
pub const MAX: Binary = Binary::new("max", special::max).int(i64::max).bool(|a, b| a | b);
/// NaN if either is.
pub const MIN: Binary = Binary::new("min", special::min).int(i64::min).bool(|a, b| a & b);
/// NaN only if both are.
pub const FMAX: Binary = Binary::new("fmax", f64::max).int(i64::max).bool(|a, b| a | b);
/// NaN only if both are.
pub const FMIN: Binary = Binary::new("fmin", f64::min).int(i64::min).bool(|a, b| a & b);
pub const AND: Binary = Binary::new("and", |a, _| a).no_float().int(|a, b| a & b).bool(|a, b| a & b);
pub const OR: Binary = Binary::new("or", |a, _| a).no_float().int(|a, b| a | b).bool(|a, b| a | b);
pub const XOR: Binary = Binary::new("xor", |a, _| a).no_float().int(|a, b| a ^ b).bool(|a, b| a ^ b);
/// Zero when the count is negative or past the width (the tensor wraps what lies past a narrow width).
pub const SHL: Binary =
    Binary::new("shl", |a, _| a).no_float().int(|a, b| if (0..64).contains(&b) { a.wrapping_shl(b as u32) } else { 0 });
/// Arithmetic; a count that is negative or past the width shifts everything out.
pub const SHR: Binary =
    Binary::new("shr", |a, _| a).no_float().int(|a, b| a >> if (0..64).contains(&b) { b } else { 63 });
pub const COPYSIGN: Binary = Binary::new("copysign", f64::copysign);
pub const HYPOT: Binary = Binary::new("hypot", f64::hypot);

pub const EQ: Comparison =
    Comparison { name: "eq", float: |a, b| a == b, int: |a, b| a == b, complex: Some(|a, b| a == b) };
pub const NE: Comparison =
    Comparison { name: "ne", float: |a, b| a != b, int: |a, b| a != b, complex: Some(|a, b| a != b) };
pub const LT: Comparison = Comparison { name: "lt", float: |a, b| a < b, int: |a, b| a < b, complex: None };
pub const LE: Comparison = Comparison { name: "le", float: |a, b| a <= b, int: |a, b| a <= b, complex: None };
pub const GT: Comparison = Comparison { name: "gt", float: |a, b| a > b, int: |a, b| a > b, complex: None };
pub const GE: Comparison = Comparison { name: "ge", float: |a, b| a >= b, int: |a, b| a >= b, complex: None };

fn floor_divide_int(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}
