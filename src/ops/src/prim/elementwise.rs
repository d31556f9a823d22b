//! Elementwise primitives: operands of one dtype, NumPy broadcasting, no promotion.

use crate::functions::*;
use crate::pointwise::{self, Binary, Unary};
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, shape};
use num_complex::Complex64;
use pt2c_ir::{DType, Fact};

/// A function of one operand with a result of its dtype.
macro_rules! unary {
    ($schema:literal, $function:expr) => {
        OpDef::new($schema, same, |c| {
            const F: Unary = $function;
            Ok(vec![F.apply(c.tensor("x")?)?])
        })
        .tagged(Tags::POINTWISE)
    };
}

/// A function of two operands with a result of their dtype.
macro_rules! binary {
    ($schema:literal, $function:expr) => {
        OpDef::new($schema, two_same, |c| {
            const F: Binary = $function;
            Ok(vec![F.apply(c.tensor("a")?, c.tensor("b")?)?])
        })
        .tagged(Tags::POINTWISE)
    };
}

/// A relation of two operands.
macro_rules! comparison {
    ($schema:literal, $relation:expr) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![two_same(c)?.swap_remove(0).with_dtype(DType::Bool)]),
            |c| Ok(vec![$relation.apply(c.tensor("a")?, c.tensor("b")?)?]),
        )
        .tagged(Tags::POINTWISE)
    };
}

/// A predicate of floats; false for other categories.
macro_rules! predicate {
    ($schema:literal, $predicate:expr) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![result(DType::Bool, c.tensor("x")?)]),
            |c| {
                let x = c.tensor("x")?;
                let p: fn(f64) -> bool = $predicate;
                let values = if x.dtype().is_complex() {
                    x.as_complexes().iter().map(|z| p(z.re) || p(z.im)).collect()
                } else {
                    x.as_f64s().iter().map(|&v| p(v)).collect()
                };
                Ok(vec![Tensor::bools(x.shape(), values)])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    unary!("neg(Tensor x) -> Tensor", NEG),
    unary!("abs(Tensor x) -> Tensor", ABS),
    unary!("sign(Tensor x) -> Tensor", SIGN),
    unary!("ceil(Tensor x) -> Tensor", CEIL),
    unary!("floor(Tensor x) -> Tensor", FLOOR),
    unary!("round(Tensor x) -> Tensor", ROUND),
    unary!("trunc(Tensor x) -> Tensor", TRUNC),
    unary!("exp(Tensor x) -> Tensor", EXP),
    unary!("exp2(Tensor x) -> Tensor", EXP2),
    unary!("expm1(Tensor x) -> Tensor", EXPM1),
    unary!("log(Tensor x) -> Tensor", LOG),
    unary!("log2(Tensor x) -> Tensor", LOG2),
    unary!("log10(Tensor x) -> Tensor", LOG10),
    unary!("log1p(Tensor x) -> Tensor", LOG1P),
    unary!("sqrt(Tensor x) -> Tensor", SQRT),
    unary!("rsqrt(Tensor x) -> Tensor", RSQRT),
    unary!("reciprocal(Tensor x) -> Tensor", RECIPROCAL),
    unary!("sin(Tensor x) -> Tensor", SIN),
    unary!("cos(Tensor x) -> Tensor", COS),
    unary!("tan(Tensor x) -> Tensor", TAN),
    unary!("asin(Tensor x) -> Tensor", ASIN),
    unary!("acos(Tensor x) -> Tensor", ACOS),
    unary!("atan(Tensor x) -> Tensor", ATAN),
    unary!("sinh(Tensor x) -> Tensor", SINH),
    unary!("cosh(Tensor x) -> Tensor", COSH),
    unary!("tanh(Tensor x) -> Tensor", TANH),
    unary!("asinh(Tensor x) -> Tensor", ASINH),
    unary!("acosh(Tensor x) -> Tensor", ACOSH),
    unary!("atanh(Tensor x) -> Tensor", ATANH),
    unary!("erf(Tensor x) -> Tensor", ERF),
    unary!("erfc(Tensor x) -> Tensor", ERFC),
    unary!("erfinv(Tensor x) -> Tensor", ERFINV),
    unary!("lgamma(Tensor x) -> Tensor", LGAMMA),
    unary!("digamma(Tensor x) -> Tensor", DIGAMMA),
    unary!("sigmoid(Tensor x) -> Tensor", SIGMOID),
    unary!("gelu(Tensor x) -> Tensor", GELU),
    unary!("not(Tensor x) -> Tensor", NOT),
    unary!("conj(Tensor x) -> Tensor", CONJ),
    predicate!("is_nan(Tensor x) -> Tensor", f64::is_nan),
    predicate!("is_inf(Tensor x) -> Tensor", f64::is_infinite),
    predicate!("signbit(Tensor x) -> Tensor", f64::is_sign_negative),
    binary!("add(Tensor a, Tensor b) -> Tensor", ADD),
    binary!("sub(Tensor a, Tensor b) -> Tensor", SUB),
    binary!("mul(Tensor a, Tensor b) -> Tensor", MUL),
    binary!("div(Tensor a, Tensor b) -> Tensor", DIV),
    binary!("div_floor(Tensor a, Tensor b) -> Tensor", DIV_FLOOR),
    OpDef::new("div_trunc(Tensor a, Tensor b) -> Tensor", two_same, |c| {
        Ok(vec![div_trunc(c.tensor("a")?, c.tensor("b")?)?])
    })
    .tagged(Tags::POINTWISE),
    binary!("rem_floor(Tensor a, Tensor b) -> Tensor", REM_FLOOR),
    binary!("rem_trunc(Tensor a, Tensor b) -> Tensor", REM_TRUNC),
    binary!("pow(Tensor a, Tensor b) -> Tensor", POW),
    binary!("atan2(Tensor a, Tensor b) -> Tensor", ATAN2),
    binary!("max(Tensor a, Tensor b) -> Tensor", MAX),
    binary!("min(Tensor a, Tensor b) -> Tensor", MIN),
    binary!("fmax(Tensor a, Tensor b) -> Tensor", FMAX),
    binary!("fmin(Tensor a, Tensor b) -> Tensor", FMIN),
    binary!("and(Tensor a, Tensor b) -> Tensor", AND),
    binary!("or(Tensor a, Tensor b) -> Tensor", OR),
    binary!("xor(Tensor a, Tensor b) -> Tensor", XOR),
    binary!("shl(Tensor a, Tensor b) -> Tensor", SHL),
    binary!("shr(Tensor a, Tensor b) -> Tensor", SHR),
    binary!("copysign(Tensor a, Tensor b) -> Tensor", COPYSIGN),
    binary!("hypot(Tensor a, Tensor b) -> Tensor", HYPOT),
    OpDef::new("nextafter(Tensor a, Tensor b) -> Tensor", two_same, |c| {
        Ok(vec![nextafter(c.tensor("a")?, c.tensor("b")?)?])
    })
    .tagged(Tags::POINTWISE),
    comparison!("eq(Tensor a, Tensor b) -> Tensor", EQ),
    comparison!("ne(Tensor a, Tensor b) -> Tensor", NE),
    comparison!("lt(Tensor a, Tensor b) -> Tensor", LT),
    comparison!("le(Tensor a, Tensor b) -> Tensor", LE),
    comparison!("gt(Tensor a, Tensor b) -> Tensor", GT),
    comparison!("ge(Tensor a, Tensor b) -> Tensor", GE),
    OpDef::new("where(Tensor cond, Tensor a, Tensor b) -> Tensor", infer_where, |c| {
        Ok(vec![pointwise::select(c.tensor("cond")?, c.tensor("a")?, c.tensor("b")?)?])
    })
    .tagged(Tags::POINTWISE),
    OpDef::new(
        "cast(Tensor x, ScalarType dtype) -> Tensor",
        |c| Ok(vec![result(c.dtype("dtype")?, c.tensor("x")?)]),
        |c| Ok(vec![c.tensor("x")?.cast(c.dtype("dtype")?)]),
    )
    .tagged(Tags::POINTWISE),
    OpDef::new("bitcast(Tensor x, ScalarType dtype) -> Tensor", infer_bitcast, |c| {
        let x = c.tensor("x")?;
        Ok(vec![Tensor::from_bytes(c.dtype("dtype")?, x.shape(), &x.to_bytes())?])
    })
    .tagged(Tags::POINTWISE),
    OpDef::new("real(Tensor x) -> Tensor", infer_part, |c| part(c, |z| z.re)).tagged(Tags::POINTWISE),
    OpDef::new("imag(Tensor x) -> Tensor", infer_part, |c| part(c, |z| z.im)).tagged(Tags::POINTWISE),
    OpDef::new("complex(Tensor re, Tensor im) -> Tensor", infer_complex, complex).tagged(Tags::POINTWISE),
    OpDef::new(
        "constant(Scalar value, ScalarType dtype) -> Tensor",
        |c| Ok(vec![Fact::new(c.dtype("dtype")?, [])]),
        |c| Ok(vec![Tensor::scalar(c.dtype("dtype")?, c.number("value")?)]),
    ),
    OpDef::new(
        "iota(SymInt size, ScalarType dtype) -> Tensor",
        |c| Ok(vec![Fact::new(c.dtype("dtype")?, [c.dim("size")?])]),
        |c| {
            let n = usize::try_from(c.int("size")?).map_err(|_| OpError::invalid("negative size"))?;
            Ok(vec![Tensor::from_fn(c.dtype("dtype")?, &[n], |i| Scalar::Int(i as i64))])
        },
    ),
];

/// A row-major result of another dtype in the operand's shape.
fn result(dtype: DType, x: &Fact) -> Fact {
    Fact::new(dtype, x.shape.clone())
}

fn same(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    Ok(vec![result(x.dtype, x)])
}

fn one_dtype(c: &Call<'_, Fact>, a: &Fact, b: &Fact) -> Result<DType, OpError> {
    if a.dtype == b.dtype {
        Ok(a.dtype)
    } else {
        Err(OpError::Invalid(format!("operands of `{}` have dtypes {} and {}", c.op.name, a.dtype, b.dtype)))
    }
}

fn two_same(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (a, b) = (c.tensor("a")?, c.tensor("b")?);
    Ok(vec![Fact::new(one_dtype(c, a, b)?, shape::broadcast(c.scope, &a.shape, &b.shape)?)])
}

fn infer_where(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (cond, a, b) = (c.tensor("cond")?, c.tensor("a")?, c.tensor("b")?);
    if cond.dtype != DType::Bool {
        return Err(OpError::Invalid(format!("the condition of `prim.where` is {}", cond.dtype)));
    }
    Ok(vec![Fact::new(one_dtype(c, a, b)?, c.broadcast(&["cond", "a", "b"])?)])
}

fn infer_bitcast(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, dtype) = (c.tensor("x")?, c.dtype("dtype")?);
    if x.dtype.size() != dtype.size() {
        return Err(OpError::Invalid(format!("{} and {dtype} differ in size", x.dtype)));
    }
    Ok(vec![result(dtype, x)])
}

fn infer_part(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("x")?;
    Ok(vec![result(x.dtype.to_real(), x)])
}

fn part(c: &Call<'_, Tensor>, f: fn(&Complex64) -> f64) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    Ok(vec![Tensor::floats(x.dtype().to_real(), x.shape(), x.as_complexes().iter().map(f).collect())])
}

fn infer_complex(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (re, im) = (c.tensor("re")?, c.tensor("im")?);
    let dtype = one_dtype(c, re, im)?;
    let dtype = dtype.to_complex().ok_or_else(|| OpError::Invalid(format!("no complex type has parts of {dtype}")))?;
    Ok(vec![Fact::new(dtype, shape::broadcast(c.scope, &re.shape, &im.shape)?)])
}

fn complex(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (re, im) = (c.tensor("re")?, c.tensor("im")?);
    let shape = shape::broadcast_known(&[re.shape(), im.shape()])?;
    let (re, im) = (re.broadcast_to(&shape)?, im.broadcast_to(&shape)?);
    let dtype = re.dtype().to_complex().ok_or_else(|| OpError::invalid("parts of no complex type"))?;
    let values = re.as_f64s().iter().zip(im.as_f64s().iter()).map(|(&re, &im)| Complex64::new(re, im)).collect();
    Ok(vec![Tensor::complexes(dtype, &shape, values)])
}

/// Division towards zero; a float quotient is first rounded to the dtype, as hardware does.
pub(crate) fn div_trunc(a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    if a.dtype().is_float() { TRUNC.apply(&DIV.apply(a, b)?) } else { DIV_TRUNC.apply(a, b) }
}

/// The next value of the operands' dtype after `a` towards `b`.
pub(crate) fn nextafter(a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    let step: fn(f64, f64) -> f64 = match a.dtype() {
        DType::F64 => libm::nextafter,
        DType::F32 => |a, b| f64::from(libm::nextafterf(a as f32, b as f32)),
        DType::BF16 => {
            |a, b| next_16(a, b, half::bf16::from_f64(a).to_bits(), |bits| half::bf16::from_bits(bits).to_f64())
        }
        DType::F16 => {
            |a, b| next_16(a, b, half::f16::from_f64(a).to_bits(), |bits| half::f16::from_bits(bits).to_f64())
        }
        d => return Err(OpError::Invalid(format!("`nextafter` is not defined for {d}"))),
    };
    Binary::new("nextafter", step).apply(a, b)
}

/// The next of a 16-bit float format after `a`, whose code is `bits`.
fn next_16(a: f64, b: f64, bits: u16, decode: fn(u16) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        b
    } else if a == 0.0 {
        decode(1 | if b < 0.0 { 0x8000 } else { 0 })
    } else if (a < b) == (a > 0.0) {
        decode(bits + 1)
    } else {
        decode(bits - 1)
    }
}
