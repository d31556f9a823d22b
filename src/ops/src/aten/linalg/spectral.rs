//! Eigenvalues of symmetric matrices, singular values, and what follows from them.

use super::{Sizes, matrix, nothing, routine, square, triangle};
use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("linalg_eigh(Tensor self, str UPLO=\"L\") -> (Tensor eigenvalues, Tensor eigenvectors)", |s, c| {
        let (values, vectors) = eigh(s, c, "self")?;
        vec![values, vectors]
    }),
    formula!(
        "_linalg_eigh(Tensor A, str UPLO=\"L\", bool compute_v=True) -> (Tensor eigenvalues, Tensor eigenvectors)",
        |s, c| {
            let (values, vectors) = eigh(s, c, "A")?;
            vec![values, if c.bool("compute_v")? { vectors } else { nothing(s, vectors.dtype()) }]
        }
    ),
    formula!("linalg_eigvalsh(Tensor self, str UPLO=\"L\") -> Tensor", |s, c| vec![eigh(s, c, "self")?.0]),
    formula!("linalg_matrix_sqrth(Tensor self) -> Tensor", |s, c| {
        let (a, z) = square(s, c, "self");
        let (values, vectors) = symmetric(s, a, &z, true);
        let root = values.max(0.0).sqrt();
        vec![(vectors * root.unsqueeze(root.rank().wrapping_sub(1)).cast(vectors.dtype())).matmul(vectors.mh())]
    }),
    formula!(
        "linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
        |s, c| {
            let (a, z) = matrix(s, c, "A");
            svd(s, a, &z, c.bool("full_matrices")?).to_vec()
        }
    ),
    formula!(
        "_linalg_svd(Tensor A, bool full_matrices=False, bool compute_uv=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
        |s, c| {
            let (a, z) = matrix(s, c, "A");
            let [u, values, vh] = svd(s, a, &z, c.bool("full_matrices")?);
            if c.bool("compute_uv")? {
                vec![u, values, vh]
            } else {
                vec![nothing(s, a.dtype()), values, nothing(s, a.dtype())]
            }
        }
    ),
    formula!("svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)", |s, c| {
        let (a, z) = matrix(s, c, "self");
        let wanted = c.bool("compute_uv")?;
        let [u, values, vh] = svd(s, a, &z, !c.bool("some")? || !wanted);
        if wanted { vec![u, values, vh.mh()] } else { vec![u * 0.0, values, vh.mt() * 0.0] }
    }),
    formula!("linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor", |s, c| {
        let (a, z) = matrix(s, c, "A");
        vec![svd(s, a, &z, false)[1]]
    }),
    formula!("linalg_polar(Tensor A) -> (Tensor U, Tensor H)", |s, c| {
        let (a, z) = matrix(s, c, "A");
        let [u, values, vh] = svd(s, a, &z, false);
        let scaled = vh.mh() * values.unsqueeze(values.rank().wrapping_sub(1)).cast(vh.dtype());
        vec![u.matmul(vh), scaled.matmul(vh)]
    }),
    formula!("linalg_eig(Tensor self) -> (Tensor eigenvalues, Tensor eigenvectors)", |s, c| eig(s, c).to_vec()),
    formula!("linalg_eigvals(Tensor self) -> Tensor", |s, c| vec![eig(s, c)[0]]),
    formula!("_linalg_eigvals(Tensor self) -> Tensor", |s, c| vec![eig(s, c)[0]]),
];

/// Eigenvalues and vectors of a general matrix, as complex numbers.
fn eig<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> [Term<'s>; 2] {
    let (a, z) = square(s, c, "self");
    let a = a.cast(a.dtype().to_complex().unwrap_or(DType::C64));
    let [_, values, vectors, _, info] = routine(s, "eig", &[a], &z.batch, std::slice::from_ref(&z.n));
    s.assert(info.eq(0.0), "linalg.eig: the iteration does not converge");
    [values, vectors]
}

fn eigh<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, name: &str) -> Result<(Term<'s>, Term<'s>), OpError> {
    let (a, z) = square(s, c, name);
    Ok(symmetric(s, a, &z, matches!(c.str("UPLO")?, "L" | "l")))
}

/// Ascending eigenvalues and the vectors as columns, of the matrix that one triangle says.
pub(super) fn symmetric<'s>(s: &'s Sheet<'_>, a: Term<'s>, z: &Sizes, lower: bool) -> (Term<'s>, Term<'s>) {
    let inner = if lower { -1 } else { 1 };
    let whole = triangle(a, lower, 0) + triangle(a, lower, inner).mh();
    // Imaginary parts on the diagonal are not read.
    let whole = if a.dtype().is_complex() { (whole + whole.mh()) * 0.5 } else { whole };
    let [_, values, vectors] = routine(s, "eigh", &[whole], &z.batch, std::slice::from_ref(&z.n));
    (values, vectors)
}

/// U, the singular values, and Vᴴ.
pub(super) fn svd<'s>(s: &'s Sheet<'_>, a: Term<'s>, z: &Sizes, full: bool) -> [Term<'s>; 3] {
    let least = Dim::min_of([z.m.clone(), z.n.clone()]);
    let (p, q) = if full { (z.m.clone(), z.n.clone()) } else { (least.clone(), least) };
    let [_, values, u, vh] = routine(s, "svd", &[a], &z.batch, &[z.m.clone(), z.n.clone(), p, q]);
    [u.mt(), values, vh]
}

/// The threshold below which singular values count as zero, as `[…, 1]`: the larger of `atol` and `rtol` times the
/// largest.
pub(super) fn threshold<'s>(
    s: &'s Sheet<'_>,
    values: Term<'s>,
    z: &Sizes,
    atol: Option<Term<'s>>,
    rtol: Option<Term<'s>>,
) -> Term<'s> {
    let dtype = values.dtype();
    let last = values.rank().wrapping_sub(1);
    let largest = values.then(|b, v| b.keepdim_reduce(v, &[last], "max"));
    let epsilon = if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let column = |t: Term<'s>| {
        let t = t.cast(dtype);
        t.unsqueeze(t.rank())
    };
    let default = s.size(&Dim::max_of([z.m.clone(), z.n.clone()]), dtype) * epsilon;
    let rtol = match (atol, rtol) {
        (_, Some(r)) => column(r),
        (Some(a), None) => column(a).gt(0.0).pick(s.number(0.0, dtype), default),
        (None, None) => default,
    };
    let relative = largest * rtol;
    atol.map_or(relative, |a| relative.max(column(a)))
}
