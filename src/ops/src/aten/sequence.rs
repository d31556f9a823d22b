//! Tensors from nothing that are formulas over positions: windows, frequencies, points between given ends.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use std::f64::consts::PI;

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("bartlett_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| bartlett(s, c)?),
    formula!("bartlett_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| bartlett(s, c)?),
    formula!("hamming_window.periodic_alpha(int window_length, bool periodic, float alpha, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| hamming(s, c)?),
    formula!("hamming_window.periodic_alpha_beta(int window_length, bool periodic, float alpha, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| hamming(s, c)?),
    formula!("kaiser_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| kaiser(s, c)?),
    formula!("kaiser_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| kaiser(s, c)?),
    formula!("kaiser_window.beta(int window_length, bool periodic, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| kaiser(s, c)?),
    formula!("fft_fftfreq(int n, float d=1., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| {
        let n = c.int("n")?;
        let i = s.iota(&Dim::int(n), DType::F64);
        let wrapped = i.ge(((n + 1) / 2) as f64).pick(i - n as f64, i);
        vec![(wrapped * (1.0 / (n as f64 * c.float("d")?))).cast(dtype(c)?)]
    }),
    formula!("fft_rfftfreq(int n, float d=1., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| {
        let n = c.int("n")?;
        vec![(s.iota(&Dim::int(n / 2 + 1), DType::F64) * (1.0 / (n as f64 * c.float("d")?))).cast(dtype(c)?)]
    }),
    formula!("linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("linspace.Tensor_Scalar(Tensor start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("linspace.Scalar_Tensor(Scalar start, Tensor end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("logspace(Scalar start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("logspace.Tensor_Scalar(Tensor start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
    formula!("logspace.Scalar_Tensor(Scalar start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| between(s, c)?),
];

fn dtype(c: &Call<'_, Val>) -> Result<DType, OpError> {
    Ok(c.opt_dtype("dtype")?.unwrap_or(DType::F32))
}

/// Length of a window, and what the position is divided by to run from 0 to 1.
fn length(c: &Call<'_, Val>) -> Result<(i64, f64), OpError> {
    let n = c.int("window_length")?;
    let periodic = c.op.schema.position("periodic").is_none() || c.bool("periodic")?;
    Ok((n, if periodic { n } else { n - 1 } as f64))
}

/// A window of one point is 1 whatever its kind.
fn window<'s>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    of: impl FnOnce(Term<'s>) -> Term<'s>,
) -> Result<Vec<Term<'s>>, OpError> {
    let (n, turn) = length(c)?;
    let i = s.iota(&Dim::int(n), DType::F64);
    let y = if n == 1 { i + 1.0 } else { of(i * (1.0 / turn)) };
    Ok(vec![y.cast(dtype(c)?)])
}

fn bartlett<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    window(s, c, |t| 1.0 - (t * 2.0 - 1.0).abs())
}

fn hamming<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let alpha = c.float("alpha")?;
    let beta = if c.op.schema.position("beta").is_some() { c.float("beta")? } else { 0.46 };
    window(s, c, |t| alpha - (t * (2.0 * PI)).cos() * beta)
}

fn kaiser<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let beta = if c.op.schema.position("beta").is_some() { c.float("beta")? } else { 12.0 };
    let i0 = |t: Term<'s>| t.op("aten.special_i0.default", Vec::new());
    window(s, c, |t| {
        let x = t * 2.0 - 1.0;
        i0((1.0 - x * x).max(0.0).sqrt() * beta) / i0(s.number(beta, DType::F64))
    })
}

/// Points from `start` to `end`, counted from the nearer end; powers of the base for `logspace`.
fn between<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let (out, n) = (dtype(c)?, c.int("steps")?);
    let whole = !out.is_float() && !out.is_complex();
    let inner = if out.is_complex() { DType::C128 } else { DType::F64 };
    let log = c.op.schema.name == "logspace";
    // Ends become whole numbers first, as PyTorch reads them in the result's dtype.
    let end = |name: &str| {
        let t = s.operand(c, name, inner);
        if whole { t.trunc() } else { t }
    };
    let (start, end) = (end("start"), end("end"));
    let i = s.iota(&Dim::int(n), DType::F64).cast(inner);
    let points = if n <= 1 {
        i + start
    } else {
        let step = (end - start) / (n - 1) as f64;
        let (up, down) = (start + i * step, end - step * ((n - 1) as f64 - i));
        let first = s.iota(&Dim::int(n), DType::I64).lt((n / 2) as f64);
        first.pick(up, down)
    };
    let points = if log { points.like(c.float("base")?).pow(points) } else { points };
    Ok(vec![points.cast(out)])
}
