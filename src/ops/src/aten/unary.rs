//! Functions of one operand, element by element.

use crate::functions::*;
use crate::pointwise::Unary;
use crate::special::*;
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, promote_types, round_to, to_float};
use pt2c_ir::{DType, Fact};

/// A function whose result has the operand's dtype.
macro_rules! same {
    ($schema:literal, $f:expr) => {
        OpDef::new(
            $schema,
            |c| keep(c, |d| d),
            |c| {
                const F: Unary = $f;
                Ok(vec![F.apply(c.tensor("self")?)?])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// A function of floats: integers and booleans become f32 first.
macro_rules! float {
    ($schema:literal, $f:expr) => {
        OpDef::new(
            $schema,
            |c| keep(c, to_float),
            |c| {
                const F: Unary = $f;
                let x = c.tensor("self")?;
                Ok(vec![F.apply(&x.cast(to_float(x.dtype())))?])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// A property of an element: of each part of a complex number, joined by or; never of integers.
macro_rules! property {
    ($schema:literal, $f:expr) => {
        OpDef::new(
            $schema,
            |c| keep(c, |_| DType::Bool),
            |c| {
                let x = c.tensor("self")?;
                let p: fn(f64) -> bool = $f;
                Ok(vec![Tensor::from_fn(DType::Bool, x.shape(), |i| {
                    Scalar::Bool(match x.get(i) {
                        Scalar::Complex(z) => p(z.re) || p(z.im),
                        v => p(v.to_f64()),
                    })
                })])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// Returns its operand (PyTorch: an alias or a copy).
macro_rules! identity {
    ($schema:literal) => {
        OpDef::new($schema, |c| keep(c, |d| d), |c| Ok(vec![c.tensor("self")?.clone()])).tagged(Tags::IDENTITY)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    same!("neg(Tensor self) -> Tensor", NEG),
    same!("negative(Tensor self) -> Tensor", NEG),
    same!("ceil(Tensor self) -> Tensor", CEIL),
    same!("floor(Tensor self) -> Tensor", FLOOR),
    same!("round(Tensor self) -> Tensor", ROUND),
    same!("trunc(Tensor self) -> Tensor", TRUNC),
    same!("fix(Tensor self) -> Tensor", TRUNC),
    same!("frac(Tensor self) -> Tensor", Unary::new("frac", |x| x - x.trunc())),
    same!("sign(Tensor self) -> Tensor", SIGN),
    same!("sgn(Tensor self) -> Tensor", SIGN.complex(|z| if z.norm() == 0.0 { z } else { z / z.norm() })),
    same!("bitwise_not(Tensor self) -> Tensor", NOT),
    same!("conj_physical(Tensor self) -> Tensor", CONJ),
    same!("_conj_physical(Tensor self) -> Tensor", CONJ),
    same!("_conj(Tensor(a) self) -> Tensor(a)", CONJ),
    same!("_conj_copy(Tensor self) -> Tensor", CONJ),
    same!("conj(Tensor(a) self) -> Tensor(a)", CONJ),
    same!("_neg_view(Tensor(a) self) -> Tensor(a)", NEG),
    identity!("positive(Tensor(a) self) -> Tensor(a)"),
    identity!("resolve_conj(Tensor(a) self) -> Tensor(a)"),
    identity!("resolve_neg(Tensor(a) self) -> Tensor(a)"),
    OpDef::new("abs(Tensor self) -> Tensor", |c| keep(c, DType::to_real), abs).tagged(Tags::POINTWISE),
    OpDef::new("absolute(Tensor self) -> Tensor", |c| keep(c, DType::to_real), abs).tagged(Tags::POINTWISE),
    OpDef::new("angle(Tensor self) -> Tensor", |c| keep(c, |d| to_float(d).to_real()), angle).tagged(Tags::POINTWISE),
    OpDef::new(
        "square(Tensor self) -> Tensor",
        |c| keep(c, squared),
        |c| {
            let x = c.tensor("self")?;
            let x = x.cast(squared(x.dtype()));
            Ok(vec![MUL.apply(&x, &x)?])
        },
    )
    .tagged(Tags::POINTWISE),
    OpDef::new("round.decimals(Tensor self, *, int decimals) -> Tensor", |c| keep(c, |d| d), round_decimals)
        .tagged(Tags::POINTWISE),
    OpDef::new("special_round(Tensor self, *, int decimals=0) -> Tensor", |c| keep(c, |d| d), round_decimals)
        .tagged(Tags::POINTWISE),
    float!("acos(Tensor self) -> Tensor", ACOS),
    float!("acosh(Tensor self) -> Tensor", ACOSH),
    float!("asin(Tensor self) -> Tensor", ASIN),
    float!("asinh(Tensor self) -> Tensor", ASINH),
    float!("atan(Tensor self) -> Tensor", ATAN),
    float!("atanh(Tensor self) -> Tensor", ATANH),
    float!("arccos(Tensor self) -> Tensor", ACOS),
    float!("arccosh(Tensor self) -> Tensor", ACOSH),
    float!("arcsin(Tensor self) -> Tensor", ASIN),
    float!("arcsinh(Tensor self) -> Tensor", ASINH),
    float!("arctan(Tensor self) -> Tensor", ATAN),
    float!("arctanh(Tensor self) -> Tensor", ATANH),
    float!("cos(Tensor self) -> Tensor", COS),
    float!("cosh(Tensor self) -> Tensor", COSH),
    float!("deg2rad(Tensor self) -> Tensor", Unary::new("deg2rad", f64::to_radians)),
    float!("rad2deg(Tensor self) -> Tensor", Unary::new("rad2deg", f64::to_degrees)),
    float!("digamma(Tensor self) -> Tensor", DIGAMMA),
    float!("special_digamma(Tensor self) -> Tensor", DIGAMMA),
    float!("special_psi(Tensor self) -> Tensor", DIGAMMA),
    float!("erf(Tensor self) -> Tensor", ERF),
    float!("special_erf(Tensor self) -> Tensor", ERF),
    float!("erfc(Tensor self) -> Tensor", ERFC),
    float!("special_erfc(Tensor self) -> Tensor", ERFC),
    float!("erfinv(Tensor self) -> Tensor", ERFINV),
    float!("special_erfinv(Tensor self) -> Tensor", ERFINV),
    float!("exp(Tensor self) -> Tensor", EXP),
    float!("exp2(Tensor self) -> Tensor", EXP2),
    float!("special_exp2(Tensor self) -> Tensor", EXP2),
    float!("expm1(Tensor self) -> Tensor", EXPM1),
    float!("special_expm1(Tensor self) -> Tensor", EXPM1),
    float!("i0(Tensor self) -> Tensor", Unary::new("i0", i0)),
    float!("special_i0(Tensor self) -> Tensor", Unary::new("i0", i0)),
    float!("special_i0e(Tensor self) -> Tensor", Unary::new("i0e", i0e)),
    float!("special_i1(Tensor self) -> Tensor", Unary::new("i1", i1)),
    float!("special_i1e(Tensor self) -> Tensor", Unary::new("i1e", i1e)),
    float!("lgamma(Tensor self) -> Tensor", LGAMMA),
    float!("special_gammaln(Tensor self) -> Tensor", LGAMMA),
    float!("log(Tensor self) -> Tensor", LOG),
    float!("log10(Tensor self) -> Tensor", LOG10),
    float!("log1p(Tensor self) -> Tensor", LOG1P),
    float!("special_log1p(Tensor self) -> Tensor", LOG1P),
    float!("log2(Tensor self) -> Tensor", LOG2),
    float!("reciprocal(Tensor self) -> Tensor", RECIPROCAL),
    float!("rsqrt(Tensor self) -> Tensor", RSQRT),
    float!("sigmoid(Tensor self) -> Tensor", SIGMOID),
    float!("special_expit(Tensor self) -> Tensor", SIGMOID),
    float!("sin(Tensor self) -> Tensor", SIN),
    float!("sinc(Tensor self) -> Tensor", Unary::new("sinc", sinc)),
    float!("special_sinc(Tensor self) -> Tensor", Unary::new("sinc", sinc)),
    float!("sinh(Tensor self) -> Tensor", SINH),
    float!("sqrt(Tensor self) -> Tensor", SQRT),
    float!("tan(Tensor self) -> Tensor", TAN),
    float!("tanh(Tensor self) -> Tensor", TANH),
    float!("special_entr(Tensor self) -> Tensor", Unary::new("entr", entr)),
    float!("special_erfcx(Tensor self) -> Tensor", Unary::new("erfcx", erfcx)),
    float!("special_log_ndtr(Tensor self) -> Tensor", Unary::new("log_ndtr", log_ndtr)),
    float!(
        "special_ndtr(Tensor self) -> Tensor",
        Unary::new("ndtr", |x| 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)))
    ),
    float!("special_ndtri(Tensor self) -> Tensor", Unary::new("ndtri", ndtri)),
    property!("isnan(Tensor self) -> Tensor", f64::is_nan),
    property!("isinf(Tensor self) -> Tensor", f64::is_infinite),
    property!("isposinf(Tensor self) -> Tensor", |x| x == f64::INFINITY),
    property!("isneginf(Tensor self) -> Tensor", |x| x == f64::NEG_INFINITY),
    property!("signbit(Tensor self) -> Tensor", f64::is_sign_negative),
    OpDef::new(
        "isfinite(Tensor self) -> Tensor",
        |c| keep(c, |_| DType::Bool),
        |c| {
            let x = c.tensor("self")?;
            Ok(vec![Tensor::from_fn(DType::Bool, x.shape(), |i| {
                Scalar::Bool(match x.get(i) {
                    Scalar::Complex(z) => z.is_finite(),
                    v => v.to_f64().is_finite(),
                })
            })])
        },
    )
    .tagged(Tags::POINTWISE),
    OpDef::new(
        "logical_not(Tensor self) -> Tensor",
        |c| keep(c, |_| DType::Bool),
        |c| {
            let x = c.tensor("self")?;
            Ok(vec![Tensor::from_fn(DType::Bool, x.shape(), |i| Scalar::Bool(!x.get(i).to_bool()))])
        },
    )
    .tagged(Tags::POINTWISE),
    OpDef::new("logit(Tensor self, float? eps=None) -> Tensor", |c| keep(c, to_float), logit).tagged(Tags::POINTWISE),
    OpDef::new("special_logit(Tensor self, float? eps=None) -> Tensor", |c| keep(c, to_float), logit)
        .tagged(Tags::POINTWISE),
    OpDef::new(
        "nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
        |c| keep(c, |d| d),
        nan_to_num,
    )
    .tagged(Tags::POINTWISE),
];

/// The operand's shape in a dtype made from its own.
fn keep(c: &Call<'_, Fact>, dtype: fn(DType) -> DType) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    Ok(vec![Fact::new(dtype(x.dtype), x.shape.clone())])
}

fn squared(dtype: DType) -> DType {
    promote_types(dtype, if dtype == DType::Bool { DType::I64 } else { dtype })
}

fn abs(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    Ok(vec![if x.dtype().is_complex() {
        Tensor::floats(x.dtype().to_real(), x.shape(), x.as_complexes().iter().map(|z| z.norm()).collect())
    } else {
        ABS.apply(x)?
    }])
}

fn angle(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let dtype = to_float(x.dtype()).to_real();
    Ok(vec![Tensor::from_fn(dtype, x.shape(), |i| {
        Scalar::Float(match x.get(i) {
            Scalar::Complex(z) => z.arg(),
            v if v.to_f64().is_nan() => f64::NAN,
            v if v.to_f64() < 0.0 => std::f64::consts::PI,
            _ => 0.0,
        })
    })])
}

fn round_decimals(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, decimals) = (c.tensor("self")?, c.int("decimals")?);
    if !x.dtype().is_float() {
        return Ok(vec![x.clone()]);
    }
    let ten = 10f64.powi(decimals.unsigned_abs().min(400) as i32);
    // PyTorch scales in the tensor's own precision.
    let dtype = x.dtype();
    let scaled = |x: f64| round_to(dtype, if decimals >= 0 { x * ten } else { x / ten });
    let back = |x: f64| if decimals >= 0 { x / ten } else { x * ten };
    let values = x.as_f64s().iter().map(|&x| back(scaled(x).round_ties_even())).collect();
    Ok(vec![Tensor::floats(dtype, x.shape(), values)])
}

fn logit(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let eps = c.opt_float("eps")?;
    let dtype = to_float(x.dtype());
    // The limits are numbers of the tensor's dtype; the lower one wins where they cross.
    let limits = eps.map(|e| (round_to(dtype, e), round_to(dtype, 1.0 - round_to(dtype, e))));
    let f = |x: f64| {
        let p = match limits {
            Some((low, _)) if x < low => low,
            Some((_, high)) if x > high => high,
            _ => x,
        };
        (p / (1.0 - p)).ln()
    };
    Ok(vec![Tensor::floats(dtype, x.shape(), x.as_f64s().iter().map(|&x| f(x)).collect())])
}

/// The largest finite value of a float dtype.
pub fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MAX,
        DType::F16 => half::f16::MAX.to_f64(),
        DType::BF16 => half::bf16::MAX.to_f64(),
        DType::F8E4M3FN => 448.0,
        DType::F8E5M2 => 57344.0,
        _ => f64::from(f32::MAX),
    }
}

fn nan_to_num(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    if !x.dtype().is_float() {
        return Ok(vec![x.clone()]);
    }
    let nan = c.opt_float("nan")?.unwrap_or(0.0);
    let above = c.opt_float("posinf")?.unwrap_or(largest(x.dtype()));
    let below = c.opt_float("neginf")?.unwrap_or(-largest(x.dtype()));
    let f = |x: f64| match x {
        x if x.is_nan() => nan,
        f64::INFINITY => above,
        f64::NEG_INFINITY => below,
        x => x,
    };
    Ok(vec![Tensor::floats(x.dtype(), x.shape(), x.as_f64s().iter().map(|&x| f(x)).collect())])
}
