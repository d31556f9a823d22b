//! Arithmetic of two operands, element by element, with PyTorch's type promotion.

use crate::functions::*;
use crate::pointwise::Binary;
use crate::prim::{div_trunc, nextafter};
use crate::special::*;
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, to_float};
use pt2c_ir::{DType, Fact};

/// A function in the promoted dtype of two named operands.
macro_rules! binary {
    ($schema:literal, $a:literal, $b:literal, $f:expr) => {
        OpDef::new($schema, |c| infer(c, [$a, $b], same), |c| apply(c, [$a, $b], same, &$f)).tagged(Tags::POINTWISE)
    };
    ($schema:literal, $f:expr) => {
        binary!($schema, "self", "other", $f)
    };
}

/// A function of floats: integers and booleans become f32.
macro_rules! float {
    ($schema:literal, $a:literal, $b:literal, $f:expr) => {
        OpDef::new($schema, |c| infer(c, [$a, $b], to_float), |c| apply(c, [$a, $b], to_float, &$f))
            .tagged(Tags::POINTWISE)
    };
    ($schema:literal, $f:expr) => {
        float!($schema, "self", "other", $f)
    };
}

/// `self + alpha·other` and its kin.
macro_rules! scaled {
    ($schema:literal, $f:expr) => {
        OpDef::new($schema, |c| infer(c, ["self", "other"], same), |c| scaled(c, &$f)).tagged(Tags::POINTWISE)
    };
}

/// Division with a rounding mode.
macro_rules! rounded {
    ($schema:literal) => {
        OpDef::new($schema, infer_rounded, rounded).tagged(Tags::POINTWISE)
    };
}

const XLOGY: Binary = Binary::new("xlogy", |x, y| if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln() });
const XLOG1PY: Binary = Binary::new("xlog1py", |x, y| if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln_1p() });
const LOGADDEXP: Binary = Binary::new("logaddexp", logaddexp);
const LOGADDEXP2: Binary = Binary::new("logaddexp2", logaddexp2);
const GCD: Binary = Binary::new("gcd", |a, _| a).no_float().int(gcd);
const LCM: Binary = Binary::new("lcm", |a, _| a)
    .no_float()
    .int(|a, b| if a == 0 || b == 0 { 0 } else { (a / gcd(a, b)).wrapping_mul(b).wrapping_abs() });
const HEAVISIDE: Binary =
    Binary::new("heaviside", |x, at_zero| if x == 0.0 { at_zero } else { f64::from(u8::from(x > 0.0)) })
        .int(|x, at_zero| if x == 0 { at_zero } else { i64::from(x > 0) })
        .bool(|x, at_zero| x || at_zero);

/// The family.
pub const OPS: &[OpDef] = &[
    scaled!("add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", ADD),
    scaled!("add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", ADD),
    scaled!("sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", SUB),
    scaled!("sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", SUB),
    scaled!("subtract.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", SUB),
    scaled!("subtract.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", SUB),
    OpDef::new(
        "rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
        |c| infer(c, ["self", "other"], same),
        reversed,
    )
    .tagged(Tags::POINTWISE),
    OpDef::new(
        "rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
        |c| infer(c, ["self", "other"], same),
        reversed,
    )
    .tagged(Tags::POINTWISE),
    binary!("mul.Tensor(Tensor self, Tensor other) -> Tensor", MUL),
    binary!("mul.Scalar(Tensor self, Scalar other) -> Tensor", MUL),
    binary!("multiply.Tensor(Tensor self, Tensor other) -> Tensor", MUL),
    binary!("multiply.Scalar(Tensor self, Scalar other) -> Tensor", MUL),
    float!("div.Tensor(Tensor self, Tensor other) -> Tensor", DIV),
    float!("div.Scalar(Tensor self, Scalar other) -> Tensor", DIV),
    float!("divide.Tensor(Tensor self, Tensor other) -> Tensor", DIV),
    float!("divide.Scalar(Tensor self, Scalar other) -> Tensor", DIV),
    float!("true_divide.Tensor(Tensor self, Tensor other) -> Tensor", DIV),
    float!("true_divide.Scalar(Tensor self, Scalar other) -> Tensor", DIV),
    rounded!("div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor"),
    rounded!("div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor"),
    rounded!("divide.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor"),
    rounded!("divide.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor"),
    binary!("floor_divide(Tensor self, Tensor other) -> Tensor", DIV_FLOOR),
    binary!("floor_divide.Scalar(Tensor self, Scalar other) -> Tensor", DIV_FLOOR),
    binary!("remainder.Tensor(Tensor self, Tensor other) -> Tensor", REM_FLOOR),
    binary!("remainder.Scalar(Tensor self, Scalar other) -> Tensor", REM_FLOOR),
    binary!("remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", REM_FLOOR),
    binary!("fmod.Tensor(Tensor self, Tensor other) -> Tensor", REM_TRUNC),
    binary!("fmod.Scalar(Tensor self, Scalar other) -> Tensor", REM_TRUNC),
    binary!("pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", "self", "exponent", POW),
    OpDef::new(
        "pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor",
        |c| infer(c, ["self", "exponent"], same),
        |c| {
            // PyTorch takes roots here, which differ from powers for -0 and -∞.
            let dtype = c.result_type(&["self", "exponent"])?;
            match c.arg("exponent")?.as_float() {
                Some(0.5) => Ok(vec![SQRT.apply(&c.operand("self", dtype)?)?]),
                Some(-0.5) => Ok(vec![RSQRT.apply(&c.operand("self", dtype)?)?]),
                _ => apply(c, ["self", "exponent"], same, &POW),
            }
        },
    )
    .tagged(Tags::POINTWISE),
    binary!("pow.Scalar(Scalar self, Tensor exponent) -> Tensor", "self", "exponent", POW),
    OpDef::new(
        "float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
        |c| infer(c, ["self", "exponent"], to_double),
        |c| apply(c, ["self", "exponent"], to_double, &POW),
    )
    .tagged(Tags::POINTWISE),
    OpDef::new(
        "float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor",
        |c| infer(c, ["self", "exponent"], to_double),
        |c| apply(c, ["self", "exponent"], to_double, &POW),
    )
    .tagged(Tags::POINTWISE),
    binary!("maximum(Tensor self, Tensor other) -> Tensor", MAX),
    binary!("minimum(Tensor self, Tensor other) -> Tensor", MIN),
    binary!("max.other(Tensor self, Tensor other) -> Tensor", MAX),
    binary!("min.other(Tensor self, Tensor other) -> Tensor", MIN),
    binary!("fmax(Tensor self, Tensor other) -> Tensor", FMAX),
    binary!("fmin(Tensor self, Tensor other) -> Tensor", FMIN),
    binary!("bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor", AND),
    binary!("bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor", AND),
    binary!("bitwise_and.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", AND),
    binary!("bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor", OR),
    binary!("bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor", OR),
    binary!("bitwise_or.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", OR),
    binary!("bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor", XOR),
    binary!("bitwise_xor.Scalar(Tensor self, Scalar other) -> Tensor", XOR),
    binary!("bitwise_xor.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", XOR),
    binary!("__and__.Tensor(Tensor self, Tensor other) -> Tensor", AND),
    binary!("__and__.Scalar(Tensor self, Scalar other) -> Tensor", AND),
    binary!("__or__.Tensor(Tensor self, Tensor other) -> Tensor", OR),
    binary!("__or__.Scalar(Tensor self, Scalar other) -> Tensor", OR),
    binary!("__xor__.Tensor(Tensor self, Tensor other) -> Tensor", XOR),
    binary!("__xor__.Scalar(Tensor self, Scalar other) -> Tensor", XOR),
    binary!("bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor", SHL),
    binary!("bitwise_left_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor", SHL),
    binary!("bitwise_left_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", SHL),
    binary!("bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor", SHR),
    binary!("bitwise_right_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor", SHR),
    binary!("bitwise_right_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", SHR),
    binary!("__lshift__.Tensor(Tensor self, Tensor other) -> Tensor", SHL),
    binary!("__lshift__.Scalar(Tensor self, Scalar other) -> Tensor", SHL),
    binary!("__rshift__.Tensor(Tensor self, Tensor other) -> Tensor", SHR),
    binary!("__rshift__.Scalar(Tensor self, Scalar other) -> Tensor", SHR),
    float!("atan2(Tensor self, Tensor other) -> Tensor", ATAN2),
    float!("arctan2(Tensor self, Tensor other) -> Tensor", ATAN2),
    float!("copysign.Tensor(Tensor self, Tensor other) -> Tensor", COPYSIGN),
    float!("copysign.Scalar(Tensor self, Scalar other) -> Tensor", COPYSIGN),
    binary!("hypot(Tensor self, Tensor other) -> Tensor", HYPOT),
    float!("logaddexp(Tensor self, Tensor other) -> Tensor", LOGADDEXP),
    float!("logaddexp2(Tensor self, Tensor other) -> Tensor", LOGADDEXP2),
    float!("xlogy.Tensor(Tensor self, Tensor other) -> Tensor", XLOGY),
    float!("xlogy.Scalar_Other(Tensor self, Scalar other) -> Tensor", XLOGY),
    float!("xlogy.Scalar_Self(Scalar self, Tensor other) -> Tensor", XLOGY),
    float!("special_xlogy(Tensor self, Tensor other) -> Tensor", XLOGY),
    float!("special_xlog1py(Tensor self, Tensor other) -> Tensor", XLOG1PY),
    float!("special_xlog1py.other_scalar(Tensor self, Scalar other) -> Tensor", XLOG1PY),
    float!("special_xlog1py.self_scalar(Scalar self, Tensor other) -> Tensor", XLOG1PY),
    binary!("heaviside(Tensor self, Tensor values) -> Tensor", "self", "values", HEAVISIDE),
    binary!("gcd(Tensor self, Tensor other) -> Tensor", GCD),
    binary!("lcm(Tensor self, Tensor other) -> Tensor", LCM),
    OpDef::new(
        "nextafter(Tensor self, Tensor other) -> Tensor",
        |c| infer(c, ["self", "other"], same),
        |c| {
            let dtype = c.result_type(&["self", "other"])?;
            Ok(vec![nextafter(&c.operand("self", dtype)?, &c.operand("other", dtype)?)?])
        },
    )
    .tagged(Tags::POINTWISE),
];

fn same(dtype: DType) -> DType {
    dtype
}

/// What `float_power` computes in.
fn to_double(dtype: DType) -> DType {
    if dtype.is_complex() { DType::C128 } else { DType::F64 }
}

fn infer(c: &Call<'_, Fact>, names: [&str; 2], rule: fn(DType) -> DType) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(rule(c.result_type(&names)?), c.broadcast(&names)?)])
}

fn apply(c: &Call<'_, Tensor>, names: [&str; 2], rule: fn(DType) -> DType, f: &Binary) -> Result<Vec<Tensor>, OpError> {
    let dtype = rule(c.result_type(&names)?);
    let [a, b] = names.map(|n| c.operand(n, dtype));
    Ok(vec![f.apply(&a?, &b?)?])
}

fn scaled(c: &Call<'_, Tensor>, f: &Binary) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.result_type(&["self", "other"])?;
    Ok(vec![f.apply(&c.operand("self", dtype)?, &times_alpha(c, "other", dtype)?)?])
}

fn reversed(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.result_type(&["self", "other"])?;
    Ok(vec![SUB.apply(&c.operand("other", dtype)?, &times_alpha(c, "self", dtype)?)?])
}

fn times_alpha(c: &Call<'_, Tensor>, name: &str, dtype: DType) -> Result<Tensor, OpError> {
    let x = c.operand(name, dtype)?;
    match c.number("alpha")? {
        Scalar::Int(1) => Ok(x),
        alpha => MUL.apply(&x, &Tensor::scalar(dtype, alpha)),
    }
}

/// How a division is rounded to an integer.
type Rounded = fn(&Tensor, &Tensor) -> Result<Tensor, OpError>;

fn mode(mode: Option<&str>) -> Result<Option<Rounded>, OpError> {
    match mode {
        None => Ok(None),
        Some("floor") => Ok(Some(|a, b| DIV_FLOOR.apply(a, b))),
        Some("trunc") => Ok(Some(div_trunc)),
        Some(other) => Err(OpError::Invalid(format!("`{other}` is no rounding mode of a division"))),
    }
}

fn infer_rounded(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let rule = if mode(c.opt_str("rounding_mode")?)?.is_some() { same } else { to_float };
    infer(c, ["self", "other"], rule)
}

fn rounded(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    match mode(c.opt_str("rounding_mode")?)? {
        None => apply(c, ["self", "other"], to_float, &DIV),
        Some(divide) => {
            let dtype = c.result_type(&["self", "other"])?;
            Ok(vec![divide(&c.operand("self", dtype)?, &c.operand("other", dtype)?)?])
        }
    }
}
