//! Symmetric systems: Cholesky and LDLᵀ.

use super::triangular::solve;
use super::{identity, routine, sizes, square, together, triangle};
use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor", |s, c| {
        vec![factor(s, c, c.bool("upper")?, true).0]
    }),
    formula!(
        "linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)",
        |s, c| {
            let (l, info) = factor(s, c, c.bool("upper")?, c.bool("check_errors")?);
            vec![l, info]
        }
    ),
    formula!("cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor", |s, c| {
        vec![apply(s, s.arg(c, "input2"), s.arg(c, "self"), c.bool("upper")?)]
    }),
    formula!("_cholesky_solve_helper(Tensor self, Tensor A, bool upper) -> Tensor", |s, c| {
        vec![apply(s, s.arg(c, "A"), s.arg(c, "self"), c.bool("upper")?)]
    }),
    formula!("cholesky_inverse(Tensor self, bool upper=False) -> Tensor", |s, c| {
        let (a, z) = square(s, c, "self");
        let diagonal =
            a.op("aten.diagonal.default", vec![Arg::Int(Dim::ZERO), Arg::Int(Dim::int(-2)), Arg::Int(Dim::int(-1))]);
        s.assert(diagonal.ne(0.0), "cholesky_inverse: the matrix is singular: its diagonal must be without zeros");
        vec![apply(s, a, identity(s, &z.batch, &z.n, a.dtype()), c.bool("upper")?)]
    }),
    formula!("linalg_ldl_factor(Tensor self, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)", |s, c| {
        let [ld, pivots, info] = ldl(s, c)?;
        s.assert(info.eq(0.0), "linalg.ldl_factor: a block of D is singular");
        vec![ld, pivots]
    }),
    formula!(
        "linalg_ldl_factor_ex(Tensor self, *, bool hermitian=False, bool check_errors=False) -> (Tensor LD, Tensor pivots, Tensor info)",
        |s, c| {
            let [ld, pivots, info] = ldl(s, c)?;
            if c.bool("check_errors")? {
                s.assert(info.eq(0.0), "linalg.ldl_factor_ex: a block of D is singular");
            }
            vec![ld, pivots, info]
        }
    ),
    formula!("linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor", |s, c| {
        let (ld, b) = together(s, s.arg(c, "LD"), s.arg(c, "B"));
        let z = sizes(s, b);
        let pivots = s.arg(c, "pivots");
        let size = pivots.abs();
        let legal = size.ge(1.0).and(size.le(s.size(&z.m, pivots.dtype())));
        s.assert(legal, "linalg.ldl_solve: the size of a pivot must be between 1 and the number of rows");
        let wide = pivots.expand(&[&z.batch[..], std::slice::from_ref(&z.m)].concat());
        let [_, _, x] = routine(s, "ldl_solve", &[ld, wide, b], &z.batch, &[z.m, z.n, hermitian(c)?]);
        vec![x]
    }),
];

/// The factor and LAPACK's `info`. The lower triangle is read, of the transpose for an upper factor.
fn factor<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, upper: bool, check: bool) -> (Term<'s>, Term<'s>) {
    let (a, z) = square(s, c, "self");
    let [l, info] = routine(s, "cholesky", &[if upper { a.mh() } else { a }], &z.batch, &[z.n]);
    if check {
        s.assert(info.eq(0.0), "linalg.cholesky: the matrix is not positive-definite");
    }
    (if upper { l.mh() } else { l }, info)
}

fn apply<'s>(s: &'s Sheet<'_>, a: Term<'s>, b: Term<'s>, upper: bool) -> Term<'s> {
    let l = if upper { a.mh() } else { a };
    let x = solve(s, l, b, false, false);
    solve(s, l.mh(), x, true, false)
}

/// Whether the other triangle is the conjugate, as a size.
fn hermitian(c: &Call<'_, Val>) -> Result<Dim, OpError> {
    Ok(Dim::int(i64::from(c.bool("hermitian")?)))
}

fn ldl<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<[Term<'s>; 3], OpError> {
    let (a, z) = square(s, c, "self");
    let [ld, pivots, info] = routine(s, "ldl", &[a], &z.batch, &[z.n, hermitian(c)?]);
    // LAPACK leaves the other triangle as it was; PyTorch clears it.
    Ok([triangle(ld, true, 0), pivots, info])
}
