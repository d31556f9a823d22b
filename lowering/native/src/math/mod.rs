//! Vector math: elementary and special functions as inlined MLIR arithmetic.
//!
//! [`emit_unary`] and [`emit_binary`] write a function's algorithm for a scalar or a vector of f32 or f64. The f32
//! versions are branch-free vector code (a few evaluate in f64 on the way, where that is cheaper than compensated
//! arithmetic); only `sin`/`cos`/`tan` of huge arguments and `lgamma` call the C library, lane by lane. The f64 versions call
//! the C library lane by lane, except `sqrt`, `rsqrt` and `digamma`.
//!
//! Every version is right for NaN, ±inf, ±0 and subnormals, as C's Annex F asks. Accuracy is stated once, in
//! [`MathFn::max_ulp`], and swept by the tests over the whole range of f32 on every instruction set.

mod exp_log;
mod hyperbolic;
mod ops;
mod power;
mod special;
mod trig;

use crate::builder::{Elem, Func, Module, Type, Val};
use ops::Ops;

/// A function of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MathFn {
    /// e^x
    Exp,
    /// 2^x
    Exp2,
    /// e^x − 1
    Expm1,
    /// natural logarithm
    Log,
    /// logarithm to base 2
    Log2,
    /// logarithm to base 10
    Log10,
    /// log(1 + x)
    Log1p,
    /// sine
    Sin,
    /// cosine
    Cos,
    /// tangent
    Tan,
    /// arcsine
    Asin,
    /// arccosine
    Acos,
    /// arctangent
    Atan,
    /// hyperbolic sine
    Sinh,
    /// hyperbolic cosine
    Cosh,
    /// hyperbolic tangent
    Tanh,
    /// inverse hyperbolic sine
    Asinh,
    /// inverse hyperbolic cosine
    Acosh,
    /// inverse hyperbolic tangent
    Atanh,
    /// error function
    Erf,
    /// 1 − erf(x), relatively accurate in the tail
    Erfc,
    /// inverse error function
    Erfinv,
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// square root, correctly rounded
    Sqrt,
    /// 1 / sqrt(x)
    Rsqrt,
    /// cube root
    Cbrt,
    /// log |Γ(x)|
    Lgamma,
    /// ψ(x), the derivative of log Γ; ∓inf at ±0, NaN at the negative integers, as `torch.digamma`
    Digamma,
    /// x · (1 + erf(x/√2)) / 2, as PyTorch computes `gelu(approximate="none")`
    Gelu,
}

/// A function of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MathFn2 {
    /// x^y with C's special cases
    Pow,
    /// angle of the point (second argument, first argument), in (−π, π]
    Atan2,
}

impl MathFn {
    /// Every function, for tables and tests.
    pub const ALL: [MathFn; 29] = [
        MathFn::Exp,
        MathFn::Exp2,
        MathFn::Expm1,
        MathFn::Log,
        MathFn::Log2,
        MathFn::Log10,
        MathFn::Log1p,
        MathFn::Sin,
        MathFn::Cos,
        MathFn::Tan,
        MathFn::Asin,
        MathFn::Acos,
        MathFn::Atan,
        MathFn::Sinh,
        MathFn::Cosh,
        MathFn::Tanh,
        MathFn::Asinh,
        MathFn::Acosh,
        MathFn::Atanh,
        MathFn::Erf,
        MathFn::Erfc,
        MathFn::Erfinv,
        MathFn::Sigmoid,
        MathFn::Sqrt,
        MathFn::Rsqrt,
        MathFn::Cbrt,
        MathFn::Lgamma,
        MathFn::Digamma,
        MathFn::Gelu,
    ];

    /// Accuracy of the f32 version: a bound on its error in units of the last place of the exact result, with and
    /// without FMA, over all arguments. Subnormal results count in units of the smallest subnormal.
    /// [`MathFn::Gelu`] is stated for x ≥ 0; below, in units of |x|, because 1 + erf cancels by definition.
    /// The f64 versions are as accurate as the C library's ([`MathFn::Digamma`]: 1e-13, [`MathFn::Sigmoid`] and
    /// [`MathFn::Rsqrt`]: 2 ulp).
    pub fn max_ulp(self) -> f64 {
        match self {
            MathFn::Exp => 1.0,
            MathFn::Exp2 => 1.1,
            MathFn::Expm1 => 0.51,
            MathFn::Log => 0.8,
            MathFn::Log2 => 0.51,
            MathFn::Log10 => 0.51,
            MathFn::Log1p => 0.51,
            MathFn::Sin => 1.6,
            MathFn::Cos => 1.6,
            MathFn::Tan => 1.1,
            MathFn::Asin => 0.51,
            MathFn::Acos => 0.51,
            MathFn::Atan => 0.51,
            MathFn::Sinh => 0.51,
            MathFn::Cosh => 0.51,
            MathFn::Tanh => 1.3,
            MathFn::Asinh => 0.51,
            MathFn::Acosh => 0.51,
            MathFn::Atanh => 0.51,
            MathFn::Erf => 1.2,
            MathFn::Erfc => 0.51,
            MathFn::Erfinv => 0.51,
            MathFn::Sigmoid => 2.2,
            MathFn::Sqrt => 0.5,
            MathFn::Rsqrt => 1.5,
            MathFn::Cbrt => 0.51,
            // The C library's own (glibc: 4.4 near the zeros between the negative integers).
            MathFn::Lgamma => 6.0,
            MathFn::Digamma => 0.51,
            MathFn::Gelu => 2.4,
        }
    }
}

impl MathFn2 {
    /// Accuracy of the f32 version, as in [`MathFn::max_ulp`].
    pub fn max_ulp(self) -> f64 {
        match self {
            MathFn2::Pow => 0.51,
            MathFn2::Atan2 => 0.51,
        }
    }
}

/// C library functions that the emitters may call (f64 name, number of arguments); f32 variants end in `f`.
pub const LIBM: &[(&str, usize)] = &[
    ("acos", 1),
    ("acosh", 1),
    ("asin", 1),
    ("asinh", 1),
    ("atan", 1),
    ("atan2", 2),
    ("atanh", 1),
    ("cbrt", 1),
    ("cos", 1),
    ("cosh", 1),
    ("erf", 1),
    ("erfc", 1),
    ("exp", 1),
    ("exp2", 1),
    ("expm1", 1),
    ("lgamma", 1),
    ("log", 1),
    ("log10", 1),
    ("log1p", 1),
    ("log2", 1),
    ("pow", 2),
    ("sin", 1),
    ("sinh", 1),
    ("tan", 1),
    ("tanh", 1),
];

/// Declares [`LIBM`] in a module: needed once in every module whose functions use this file. Unused declarations
/// leave no trace in the object.
pub fn declare_libm(module: &mut Module) {
    for (name, arity) in LIBM {
        module.declare(name, &vec![Type::Scalar(Elem::F64); *arity], &[Type::Scalar(Elem::F64)]);
        module.declare(&format!("{name}f"), &vec![Type::F32; *arity], &[Type::F32]);
    }
}

/// Emits `f(x)`. `x` is f32 or f64, scalar or vector; half-precision values are to be widened to f32 first.
pub fn emit_unary(b: &mut Func<'_>, f: MathFn, x: Val) -> Val {
    let mut o = Ops::new(b, x.ty);
    match f {
        MathFn::Sqrt => return o.sqrt(x),
        MathFn::Rsqrt => {
            let s = o.sqrt(x);
            return o.c_div(1.0, s);
        }
        MathFn::Sigmoid => return exp_log::sigmoid(&mut o, x),
        MathFn::Gelu => return special::gelu(&mut o, x),
        MathFn::Digamma => return special::digamma(&mut o, x),
        MathFn::Erfinv => return special::erfinv(&mut o, x),
        _ => {}
    }
    if o.is_f64() {
        return o.libm(libm_name(f), &[x]);
    }
    match f {
        MathFn::Exp => exp_log::exp(&mut o, x),
        MathFn::Exp2 => exp_log::exp2(&mut o, x),
        MathFn::Expm1 => exp_log::expm1(&mut o, x),
        MathFn::Log => exp_log::log(&mut o, x),
        MathFn::Log2 => exp_log::log_base(&mut o, x, std::f64::consts::LOG2_E),
        MathFn::Log10 => exp_log::log_base(&mut o, x, std::f64::consts::LOG10_E),
        MathFn::Log1p => exp_log::log1p(&mut o, x),
        MathFn::Sin => trig::sin(&mut o, x),
        MathFn::Cos => trig::cos(&mut o, x),
        MathFn::Tan => trig::tan(&mut o, x),
        MathFn::Asin => trig::asin(&mut o, x),
        MathFn::Acos => trig::acos(&mut o, x),
        MathFn::Atan => trig::atan(&mut o, x),
        MathFn::Sinh => hyperbolic::sinh(&mut o, x),
        MathFn::Cosh => hyperbolic::cosh(&mut o, x),
        MathFn::Tanh => hyperbolic::tanh(&mut o, x),
        MathFn::Asinh => hyperbolic::asinh(&mut o, x),
        MathFn::Acosh => hyperbolic::acosh(&mut o, x),
        MathFn::Atanh => hyperbolic::atanh(&mut o, x),
        MathFn::Erf => special::erf(&mut o, x),
        MathFn::Erfc => special::erfc(&mut o, x),
        MathFn::Cbrt => power::cbrt(&mut o, x),
        MathFn::Lgamma => o.libm("lgamma", &[x]),
        MathFn::Sqrt | MathFn::Rsqrt | MathFn::Sigmoid | MathFn::Gelu | MathFn::Digamma | MathFn::Erfinv => x,
    }
}

/// Emits `f(x, y)`; both of one type, f32 or f64.
pub fn emit_binary(b: &mut Func<'_>, f: MathFn2, x: Val, y: Val) -> Val {
    let mut o = Ops::new(b, x.ty);
    match (f, o.is_f64()) {
        (MathFn2::Pow, true) => o.libm("pow", &[x, y]),
        (MathFn2::Atan2, true) => o.libm("atan2", &[x, y]),
        (MathFn2::Pow, false) => power::pow(&mut o, x, y),
        (MathFn2::Atan2, false) => trig::atan2(&mut o, x, y),
    }
}

/// The C library's name of a function (empty for those that never call it).
fn libm_name(f: MathFn) -> &'static str {
    match f {
        MathFn::Exp => "exp",
        MathFn::Exp2 => "exp2",
        MathFn::Expm1 => "expm1",
        MathFn::Log => "log",
        MathFn::Log2 => "log2",
        MathFn::Log10 => "log10",
        MathFn::Log1p => "log1p",
        MathFn::Sin => "sin",
        MathFn::Cos => "cos",
        MathFn::Tan => "tan",
        MathFn::Asin => "asin",
        MathFn::Acos => "acos",
        MathFn::Atan => "atan",
        MathFn::Sinh => "sinh",
        MathFn::Cosh => "cosh",
        MathFn::Tanh => "tanh",
        MathFn::Asinh => "asinh",
        MathFn::Acosh => "acosh",
        MathFn::Atanh => "atanh",
        MathFn::Erf => "erf",
        MathFn::Erfc => "erfc",
        MathFn::Cbrt => "cbrt",
        MathFn::Lgamma => "lgamma",
        MathFn::Sqrt | MathFn::Rsqrt | MathFn::Sigmoid | MathFn::Gelu | MathFn::Digamma | MathFn::Erfinv => "",
    }
}
