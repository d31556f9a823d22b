//! The types of scalar expressions, and the functions behind their operators: shared by the verifier and the
//! interpreter.

use crate::{BinaryOp, CompareOp, Expr, Param, UnaryOp, Var};
use pt2c_ir::DType;
use pt2c_ops::functions as f;
use pt2c_ops::pointwise::{Binary, Comparison, Unary};

/// The dtype in which a value of this storage dtype is computed: narrow floats are widened to f32.
pub fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => DType::F32,
        other => other,
    }
}

/// A unary operator: a function of one dtype, or a predicate of floats.
pub enum UnaryFn {
    /// The result has the operand's dtype.
    Map(Unary),
    /// The result is a boolean.
    Test(fn(f64) -> bool),
}

/// The function of a unary operator.
pub fn unary(op: UnaryOp) -> UnaryFn {
    UnaryFn::Map(match op {
        UnaryOp::IsNan => return UnaryFn::Test(f64::is_nan),
        UnaryOp::IsInf => return UnaryFn::Test(f64::is_infinite),
        UnaryOp::SignBit => return UnaryFn::Test(f64::is_sign_negative),
        UnaryOp::Neg => f::NEG,
        UnaryOp::Abs => f::ABS,
        UnaryOp::Sign => f::SIGN,
        UnaryOp::Ceil => f::CEIL,
        UnaryOp::Floor => f::FLOOR,
        UnaryOp::Round => f::ROUND,
        UnaryOp::Trunc => f::TRUNC,
        UnaryOp::Not => f::NOT,
        UnaryOp::Exp => f::EXP,
        UnaryOp::Exp2 => f::EXP2,
        UnaryOp::Expm1 => f::EXPM1,
        UnaryOp::Log => f::LOG,
        UnaryOp::Log2 => f::LOG2,
        UnaryOp::Log10 => f::LOG10,
        UnaryOp::Log1p => f::LOG1P,
        UnaryOp::Sqrt => f::SQRT,
        UnaryOp::Rsqrt => f::RSQRT,
        UnaryOp::Reciprocal => f::RECIPROCAL,
        UnaryOp::Sin => f::SIN,
        UnaryOp::Cos => f::COS,
        UnaryOp::Tan => f::TAN,
        UnaryOp::Asin => f::ASIN,
        UnaryOp::Acos => f::ACOS,
        UnaryOp::Atan => f::ATAN,
        UnaryOp::Sinh => f::SINH,
        UnaryOp::Cosh => f::COSH,
        UnaryOp::Tanh => f::TANH,
        UnaryOp::Asinh => f::ASINH,
        UnaryOp::Acosh => f::ACOSH,
        UnaryOp::Atanh => f::ATANH,
        UnaryOp::Erf => f::ERF,
        UnaryOp::Erfc => f::ERFC,
        UnaryOp::Erfinv => f::ERFINV,
        UnaryOp::Lgamma => f::LGAMMA,
        UnaryOp::Digamma => f::DIGAMMA,
        UnaryOp::Sigmoid => f::SIGMOID,
        UnaryOp::Gelu => f::GELU,
    })
}

/// The function of a binary operator; `None` for `NextAfter`, which depends on the dtype.
pub fn binary(op: BinaryOp) -> Option<Binary> {
    Some(match op {
        BinaryOp::Add => f::ADD,
        BinaryOp::Sub => f::SUB,
        BinaryOp::Mul => f::MUL,
        BinaryOp::Div => f::DIV,
        BinaryOp::DivFloor => f::DIV_FLOOR,
        BinaryOp::DivTrunc => f::DIV_TRUNC,
        BinaryOp::RemFloor => f::REM_FLOOR,
        BinaryOp::RemTrunc => f::REM_TRUNC,
        BinaryOp::Pow => f::POW,
        BinaryOp::Atan2 => f::ATAN2,
        BinaryOp::Max => f::MAX,
        BinaryOp::Min => f::MIN,
        BinaryOp::FMax => f::FMAX,
        BinaryOp::FMin => f::FMIN,
        BinaryOp::And => f::AND,
        BinaryOp::Or => f::OR,
        BinaryOp::Xor => f::XOR,
        BinaryOp::Shl => f::SHL,
        BinaryOp::Shr => f::SHR,
        BinaryOp::CopySign => f::COPYSIGN,
        BinaryOp::Hypot => f::HYPOT,
        BinaryOp::NextAfter => return None,
    })
}

/// The relation of a comparison.
pub fn comparison(op: CompareOp) -> Comparison {
    match op {
        CompareOp::Eq => f::EQ,
        CompareOp::Ne => f::NE,
        CompareOp::Lt => f::LT,
        CompareOp::Le => f::LE,
        CompareOp::Gt => f::GT,
        CompareOp::Ge => f::GE,
    }
}

fn has<F, I, B>(dtype: DType, float: Option<F>, int: Option<I>, bool: Option<B>) -> bool {
    match dtype {
        DType::F32 | DType::F64 => float.is_some(),
        DType::Bool => bool.is_some(),
        other => other.is_int() && int.is_some(),
    }
}

/// The dtype of an expression, or what is wrong with it.
///
/// # Errors
/// A variable that is not defined, a parameter that does not exist, operands that do not fit the operator.
pub fn type_of(expr: &Expr, params: &[Param], vars: &dyn Fn(Var) -> Option<DType>) -> Result<DType, String> {
    let of = |e: &Expr| type_of(e, params, vars);
    let same = |a: &Expr, b: &Expr, what: &dyn std::fmt::Debug| -> Result<DType, String> {
        let (a, b) = (of(a)?, of(b)?);
        if a == b { Ok(a) } else { Err(format!("{what:?} of {a} and {b}")) }
    };
    match expr {
        Expr::Var(v) => vars(*v).ok_or_else(|| format!("v{} is not defined before its use", v.0)),
        Expr::Float(_, d) if matches!(d, DType::F32 | DType::F64) => Ok(*d),
        Expr::Float(_, d) => Err(format!("a float constant of {d}")),
        Expr::Int(_, d) if d.is_int() => Ok(*d),
        Expr::Int(_, d) => Err(format!("an integer constant of {d}")),
        Expr::Bool(_) => Ok(DType::Bool),
        Expr::Index(_) => Ok(DType::I64),
        Expr::Load { param, .. } => {
            let param =
                params.get(*param).ok_or_else(|| format!("a load from parameter {param}, which does not exist"))?;
            if param.dtype.is_complex() {
                return Err(format!("a load of {}", param.dtype));
            }
            Ok(compute_type(param.dtype))
        }
        Expr::Guarded { condition, value: a, other: b } | Expr::Select(condition, a, b) => match of(condition)? {
            DType::Bool => same(a, b, &"a choice"),
            other => Err(format!("a condition of {other}")),
        },
        Expr::Unary(op, x) => {
            let x = of(x)?;
            match unary(*op) {
                UnaryFn::Test(_) if x.is_float() => Ok(DType::Bool),
                UnaryFn::Map(f) if has(x, f.float, f.int, f.bool) => Ok(x),
                _ => Err(format!("{op:?} of {x}")),
            }
        }
        Expr::Binary(op, a, b) => {
            let dtype = same(a, b, op)?;
            let fits = match binary(*op) {
                Some(f) => has(dtype, f.float, f.int, f.bool),
                None => dtype.is_float(),
            };
            if fits { Ok(dtype) } else { Err(format!("{op:?} of {dtype}")) }
        }
        Expr::Compare(op, a, b) => same(a, b, op).map(|_| DType::Bool),
        Expr::Cast(d, x) => {
            of(x)?;
            if d.is_complex() { Err(format!("a cast to {d}")) } else { Ok(compute_type(*d)) }
        }
        Expr::Bitcast(d, x) => {
            let x = of(x)?;
            if d.size() == x.size() && compute_type(*d) == *d {
                Ok(*d)
            } else {
                Err(format!("{x} reinterpreted as {d}"))
            }
        }
    }
}
