//! Special functions that the runtime's routines compute element by element.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("special_airy_ai(Tensor x) -> Tensor", |s, c| vec![one(s, c, "x", "airy_ai")?]),
    formula!("special_bessel_j0(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "bessel_j0")?]),
    formula!("special_bessel_j1(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "bessel_j1")?]),
    formula!("special_bessel_y0(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "bessel_y0")?]),
    formula!("special_bessel_y1(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "bessel_y1")?]),
    formula!("special_modified_bessel_i0(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "modified_bessel_i0")?]),
    formula!("special_modified_bessel_i1(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "modified_bessel_i1")?]),
    formula!("special_modified_bessel_k0(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "modified_bessel_k0")?]),
    formula!("special_modified_bessel_k1(Tensor self) -> Tensor", |s, c| vec![one(s, c, "self", "modified_bessel_k1")?]),
    formula!("special_scaled_modified_bessel_k0(Tensor x) -> Tensor", |s, c| vec![one(s, c, "x", "scaled_modified_bessel_k0")?]),
    formula!("special_scaled_modified_bessel_k1(Tensor x) -> Tensor", |s, c| vec![one(s, c, "x", "scaled_modified_bessel_k1")?]),
    formula!("special_spherical_bessel_j0(Tensor x) -> Tensor", |s, c| vec![one(s, c, "x", "spherical_bessel_j0")?]),
    formula!("special_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_t")?]),
    formula!("special_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_t")?]),
    formula!("special_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_t")?]),
    formula!("special_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_u")?]),
    formula!("special_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_u")?]),
    formula!("special_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_u")?]),
    formula!("special_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_v")?]),
    formula!("special_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_v")?]),
    formula!("special_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_v")?]),
    formula!("special_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_w")?]),
    formula!("special_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_w")?]),
    formula!("special_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "chebyshev_polynomial_w")?]),
    formula!("special_hermite_polynomial_h(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_h")?]),
    formula!("special_hermite_polynomial_h.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_h")?]),
    formula!("special_hermite_polynomial_h.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_h")?]),
    formula!("special_hermite_polynomial_he(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_he")?]),
    formula!("special_hermite_polynomial_he.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_he")?]),
    formula!("special_hermite_polynomial_he.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "hermite_polynomial_he")?]),
    formula!("special_laguerre_polynomial_l(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "laguerre_polynomial_l")?]),
    formula!("special_laguerre_polynomial_l.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "laguerre_polynomial_l")?]),
    formula!("special_laguerre_polynomial_l.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "laguerre_polynomial_l")?]),
    formula!("special_legendre_polynomial_p(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "legendre_polynomial_p")?]),
    formula!("special_legendre_polynomial_p.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "legendre_polynomial_p")?]),
    formula!("special_legendre_polynomial_p.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "legendre_polynomial_p")?]),
    formula!("special_shifted_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_t")?]),
    formula!("special_shifted_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_t")?]),
    formula!("special_shifted_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_t")?]),
    formula!("special_shifted_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_u")?]),
    formula!("special_shifted_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_u")?]),
    formula!("special_shifted_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_u")?]),
    formula!("special_shifted_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_v")?]),
    formula!("special_shifted_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_v")?]),
    formula!("special_shifted_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_v")?]),
    formula!("special_shifted_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_w")?]),
    formula!("special_shifted_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_w")?]),
    formula!("special_shifted_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor", |s, c| vec![two(s, c, "x", "n", "shifted_chebyshev_polynomial_w")?]),
    formula!("special_zeta(Tensor self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "zeta")?]),
    formula!("special_zeta.other_scalar(Tensor self, Scalar other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "zeta")?]),
    formula!("special_zeta.self_scalar(Scalar self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "zeta")?]),
    formula!("igamma(Tensor self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "igamma")?]),
    formula!("igammac(Tensor self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "igammac")?]),
    formula!("special_gammainc(Tensor self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "igamma")?]),
    formula!("special_gammaincc(Tensor self, Tensor other) -> Tensor", |s, c| vec![two(s, c, "self", "other", "igammac")?]),
    formula!("polygamma(int n, Tensor self) -> Tensor", |s, c| vec![polygamma(s, c)?]),
    formula!("special_polygamma(int n, Tensor self) -> Tensor", |s, c| vec![polygamma(s, c)?]),
];

/// The dtype of a floating-point function's result, and the one that the routine computes in.
fn dtypes(x: DType) -> (DType, DType) {
    let out = if x.is_float() { x } else { DType::F32 };
    (out, if out == DType::F64 { DType::F64 } else { DType::F32 })
}

fn routine<'s>(s: &'s Sheet<'_>, name: &str, operands: &[Term<'s>]) -> Term<'s> {
    let batch = operands.first().map(|t| t.shape()).unwrap_or_default();
    let operands: Vec<Val> = operands.iter().map(|t| t.value()).collect();
    let [y] = s.many(|b| b.routine(name, &operands, &batch, &[]));
    y
}

fn one<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: &str, name: &str) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, x);
    let (out, inner) = dtypes(x.dtype());
    Ok(routine(s, name, &[x.cast(inner)]).cast(out))
}

fn two<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: &str, y: &str, name: &str) -> Result<Term<'s>, OpError> {
    let dtype = s.step(|b| {
        let dtype = b.result_type(c, &[x, y])?;
        b.constant(0.0, dtype)
    });
    let (out, inner) = dtypes(dtype.dtype());
    let (x, y) = (s.operand(c, x, inner), s.operand(c, y, inner));
    let shape = (x + y).shape();
    Ok(routine(s, name, &[x.expand(&shape), y.expand(&shape)]).cast(out))
}

/// `(-1)^(n+1)·n!·ζ(n + 1, x)`; of order 0 the digamma function.
fn polygamma<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Term<'s>, OpError> {
    let (n, x) = (c.int("n")?, s.arg(c, "self"));
    if !(0..=170).contains(&n) {
        return Err(OpError::Unsupported("polygamma of a negative order, or one above 170".into()));
    }
    let (out, inner) = dtypes(x.dtype());
    let x = x.cast(inner);
    if n == 0 {
        return Ok(x.digamma().cast(out));
    }
    if n == 1 {
        return Ok(trigamma(x).cast(out));
    }
    let factorial = (1..=n).fold(1.0, |f, k| f * k as f64);
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    // In double: the factorial overflows f32 long before the product does.
    let x = x.cast(DType::F64);
    let order = s.step(|b| b.full(&[], &Arg::Int(Dim::int(n + 1)), DType::F64)).expand(&x.shape());
    Ok((routine(s, "zeta", &[order, x]) * (sign * factorial)).cast(out))
}

/// PyTorch's own trigamma, which is good to nine digits: the reflection formula, six steps of the recurrence, and the
/// asymptotic series.
fn trigamma(x: Term<'_>) -> Term<'_> {
    let left = x.lt(0.5);
    let pole = (x * std::f64::consts::PI).sin();
    let square = pole.squared();
    let mut z = left.pick(-x + 1.0, x);
    let mut sum = left.pick(square.reciprocal() * -(std::f64::consts::PI * std::f64::consts::PI), x.like(0.0));
    for _ in 0..6 {
        sum = sum + z.squared().reciprocal();
        z = z + 1.0;
    }
    let inverse = z.squared().reciprocal();
    let series = inverse.polynomial(&[1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0]);
    let tail = (z.reciprocal() * 0.5 + 1.0 + inverse * series) / z;
    let result = sum + tail;
    left.pick(-result, result)
}
