//! Pseudoinverse, rank, least squares, condition.

use super::spectral::{svd, symmetric, threshold};
use super::{matrix, nothing, reduce};
use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("linalg_pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor", |s, c| vec![pinv(
        s,
        c,
        None,
        Some("rcond")
    )?]),
    formula!(
        "linalg_pinv.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
        |s, c| vec![pinv(s, c, Some("atol"), Some("rtol"))?]
    ),
    formula!(
        "linalg_pinv.atol_rtol_tensor(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        |s, c| vec![pinv(s, c, Some("atol"), Some("rtol"))?]
    ),
    formula!("linalg_pinv.rcond_tensor(Tensor self, Tensor rcond, bool hermitian=False) -> Tensor", |s, c| vec![pinv(
        s,
        c,
        None,
        Some("rcond")
    )?]),
    formula!("pinverse(Tensor self, float rcond=1.0000000000000001e-15) -> Tensor", |s, c| vec![pinv(
        s,
        c,
        None,
        Some("rcond")
    )?]),
    formula!("linalg_matrix_rank(Tensor self, float tol, bool hermitian=False) -> Tensor", |s, c| vec![rank(
        s,
        c,
        "self",
        Some("tol"),
        None
    )?]),
    formula!("linalg_matrix_rank.tol_tensor(Tensor input, Tensor tol, bool hermitian=False) -> Tensor", |s, c| vec![
        rank(s, c, "input", Some("tol"), None)?
    ]),
    formula!(
        "linalg_matrix_rank.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
        |s, c| vec![rank(s, c, "self", Some("atol"), Some("rtol"))?]
    ),
    formula!(
        "linalg_matrix_rank.atol_rtol_tensor(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        |s, c| vec![rank(s, c, "input", Some("atol"), Some("rtol"))?]
    ),
    formula!(
        "linalg_lstsq(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)",
        |s, c| least_squares(s, c)?
    ),
    formula!("linalg_vander(Tensor x, *, SymInt? N=None) -> Tensor", |s, c| {
        let x = s.arg(c, "x");
        let x = if x.rank() == 0 { x.unsqueeze(0) } else { x };
        let last = x.rank();
        let count = match c.opt_dim("N")? {
            Some(n) => n,
            None => x.shape().last().cloned().unwrap_or(Dim::ONE),
        };
        let whole = x.dtype().is_int() || x.dtype() == DType::Bool;
        let dtype = if whole { DType::I64 } else { x.dtype() };
        let powers = s.iota(&count, DType::I64);
        let wide = crate::formula::common::wide(dtype);
        // Powers by multiplication: exact for integers, and as PyTorch computes them.
        let column = x.cast(wide).unsqueeze(last);
        let first = powers.eq(0.0);
        let factors = first.pick(column.like(1.0), column);
        vec![factors.then(|b, v| b.scan(v, last, "prod")).cast(dtype)]
    }),
];

/// An optional tolerance: a number or a tensor.
fn tolerance<'s>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    name: Option<&str>,
    dtype: DType,
) -> Result<Option<Term<'s>>, OpError> {
    let Some(name) = name else { return Ok(None) };
    Ok(match c.arg(name)? {
        Arg::None => None,
        _ => Some(s.operand(c, name, dtype)),
    })
}

fn is_hermitian(c: &Call<'_, Val>) -> Result<bool, OpError> {
    Ok(c.op.schema.position("hermitian").is_some() && c.bool("hermitian")?)
}

fn pinv<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, atol: Option<&str>, rtol: Option<&str>) -> Result<Term<'s>, OpError> {
    let (a, z) = matrix(s, c, "self");
    if z.m.is_zero() || z.n.is_zero() {
        return Ok(a.mh());
    }
    let dtype = a.dtype().to_real();
    let (atol, rtol) = (tolerance(s, c, atol, dtype)?, tolerance(s, c, rtol, dtype)?);
    if is_hermitian(c)? {
        let (values, vectors) = symmetric(s, a, &z, true);
        let size = values.abs();
        let keep = size.gt(threshold(s, size, &z, atol, rtol));
        return Ok(scaled(vectors, keep.pick(values.reciprocal(), 0.0)).matmul(vectors.mh()));
    }
    let [u, values, vh] = svd(s, a, &z, false);
    let keep = values.gt(threshold(s, values, &z, atol, rtol));
    Ok(scaled(vh.mh(), keep.pick(values.reciprocal(), 0.0)).matmul(u.mh()))
}

/// Columns times factors.
fn scaled<'s>(a: Term<'s>, factors: Term<'s>) -> Term<'s> {
    a * factors.unsqueeze(factors.rank().wrapping_sub(1)).cast(a.dtype())
}

fn rank<'s>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    name: &str,
    atol: Option<&str>,
    rtol: Option<&str>,
) -> Result<Term<'s>, OpError> {
    let (a, z) = matrix(s, c, name);
    let dtype = a.dtype().to_real();
    let (absolute, mut relative) = (tolerance(s, c, atol, dtype)?, tolerance(s, c, rtol, dtype)?);
    // A `tol` is all there is.
    if atol == Some("tol") {
        relative = Some(s.number(0.0, dtype));
    }
    if z.m.is_zero() || z.n.is_zero() {
        return Ok(s.number(0.0, DType::I64).expand(&z.batch));
    }
    let values = if is_hermitian(c)? { symmetric(s, a, &z, true).0.abs() } else { svd(s, a, &z, false)[1] };
    let counts = values.gt(threshold(s, values, &z, absolute, relative)).cast(DType::I64);
    Ok(reduce(counts, &[0], "sum"))
}

fn least_squares<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let (a, z) = matrix(s, c, "self");
    let given = s.arg(c, "b");
    let vector = a.rank() == given.rank() + 1;
    let b = if vector { given.unsqueeze(given.rank()) } else { given };
    let driver = c.opt_str("driver")?.unwrap_or("gelsy");
    let rcond = match c.opt_float("rcond")? {
        Some(r) => Some(s.number(r, a.dtype().to_real())),
        None => None,
    };
    let [u, values, vh] = svd(s, a, &z, false);
    let keep = values.gt(threshold(s, values, &z, None, rcond));
    let x = scaled(vh.mh(), keep.pick(values.reciprocal(), 0.0)).matmul(u.mh().matmul(b));
    let overdetermined = z.m.as_int().zip(z.n.as_int()).is_some_and(|(m, n)| m > n);
    let residuals = if overdetermined && driver != "gelsy" {
        reduce((a.matmul(x) - b).modulus().squared(), &[1], "sum")
    } else {
        nothing(s, a.dtype().to_real())
    };
    let ranks = if driver == "gels" { nothing(s, DType::I64) } else { reduce(keep.cast(DType::I64), &[0], "sum") };
    let singular = if matches!(driver, "gelsd" | "gelss") { values } else { nothing(s, a.dtype().to_real()) };
    let x = if vector { drop_last(x) } else { x };
    Ok(vec![x, residuals, ranks, singular])
}

fn drop_last(x: Term<'_>) -> Term<'_> {
    let mut shape = x.shape();
    shape.pop();
    x.reshape(&shape)
}
