//! LU factorisation and what follows from it: solving, inverse, determinant.

use super::triangular::solve as solve_triangular;
use super::{Sizes, diagonal, identity, reduce, routine, sizes, square, together, triangle};
use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)", |s, c| {
        let f = factor_argument(s, c, "A")?;
        f.check(s, "linalg.lu_factor: a pivot is zero: the matrix is singular", f.z.m == f.z.n);
        vec![f.lu, f.pivots]
    }),
    formula!(
        "linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor LU, Tensor pivots, Tensor info)",
        |s, c| {
            let f = factor_argument(s, c, "A")?;
            f.check(s, "linalg.lu_factor_ex: a pivot is zero: the matrix is singular", c.bool("check_errors")?);
            vec![f.lu, f.pivots, f.info]
        }
    ),
    formula!(
        "_lu_with_info(Tensor self, bool pivot=True, bool check_errors=True) -> (Tensor LU, Tensor pivots, Tensor info)",
        |s, c| {
            let f = factor_argument(s, c, "self")?;
            f.check(s, "lu: a pivot is zero: the matrix is singular", c.bool("check_errors")?);
            vec![f.lu, f.pivots, f.info]
        }
    ),
    formula!("linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)", |s, c| {
        let f = factor_argument(s, c, "A")?;
        let (l, u) = parts(s, f.lu);
        vec![permutation_matrix(s, f.pivots, &f.z, f.lu.dtype()), l, u]
    }),
    formula!(
        "lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> (Tensor P, Tensor L, Tensor U)",
        |s, c| {
            let (lu, pivots) = (s.arg(c, "LU_data"), s.arg(c, "LU_pivots"));
            let z = sizes(s, lu);
            let none = super::nothing(s, lu.dtype());
            let p = if c.bool("unpack_pivots")? {
                permutation_matrix(s, rows_only(s, pivots, &z.m), &z, lu.dtype())
            } else {
                none
            };
            let (l, u) = if c.bool("unpack_data")? { parts(s, lu) } else { (none, none) };
            vec![p, l, u]
        }
    ),
    formula!(
        "linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor",
        |s, c| {
            let (lu, b) = (s.arg(c, "LU"), s.arg(c, "B"));
            let pivots = rows_only(s, s.arg(c, "pivots"), &sizes(s, lu).m);
            let (left, adjoint) = (c.bool("left")?, c.bool("adjoint")?);
            vec![match (left, adjoint) {
                (true, false) => apply(s, lu, pivots, b, false),
                (true, true) => apply(s, lu.conjugate(), pivots, b, true),
                (false, false) => apply(s, lu, pivots, b.mt(), true).mt(),
                (false, true) => apply(s, lu, pivots, b.mh(), false).mh(),
            }]
        }
    ),
    formula!("lu_solve(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor", |s, c| {
        let lu = s.arg(c, "LU_data");
        let pivots = rows_only(s, s.arg(c, "LU_pivots"), &sizes(s, lu).m);
        vec![apply(s, lu, pivots, s.arg(c, "self"), false)]
    }),
    formula!("linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor", |s, c| vec![solved(s, c, true)?.0]),
    formula!(
        "linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor info)",
        |s, c| {
            let (x, f) = solved(s, c, c.bool("check_errors")?)?;
            vec![x, f.info]
        }
    ),
    formula!(
        "_linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor LU, Tensor pivots, Tensor info)",
        |s, c| {
            let (x, f) = solved(s, c, c.bool("check_errors")?)?;
            vec![x, f.lu, f.pivots, f.info]
        }
    ),
    formula!("linalg_inv(Tensor A) -> Tensor", |s, c| vec![inverse(s, c, "A", true).0]),
    formula!("inverse(Tensor self) -> Tensor", |s, c| vec![inverse(s, c, "self", true).0]),
    formula!("linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)", |s, c| {
        let (x, info) = inverse(s, c, "A", c.bool("check_errors")?);
        vec![x, info]
    }),
    formula!("linalg_det(Tensor A) -> Tensor", |s, c| vec![determinant(s, c, "A").0]),
    formula!("det(Tensor self) -> Tensor", |s, c| vec![determinant(s, c, "self").0]),
    formula!("_linalg_det(Tensor A) -> (Tensor result, Tensor LU, Tensor pivots)", |s, c| {
        let (d, f) = determinant(s, c, "A");
        vec![d, f.lu, f.pivots]
    }),
    formula!("linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)", |s, c| {
        let (sign, log, _) = log_determinant(s, c, "A");
        vec![sign, log]
    }),
    formula!("slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)", |s, c| {
        let (sign, log, _) = log_determinant(s, c, "self");
        vec![sign, log]
    }),
    formula!("_linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet, Tensor LU, Tensor pivots)", |s, c| {
        let (sign, log, f) = log_determinant(s, c, "A");
        vec![sign, log, f.lu, f.pivots]
    }),
    formula!("logdet(Tensor self) -> Tensor", |s, c| {
        let (sign, log, _) = log_determinant(s, c, "self");
        vec![if sign.dtype().is_complex() {
            sign.log() + log.cast(sign.dtype())
        } else {
            sign.lt(0.0).pick(f64::NAN, log)
        }]
    }),
    formula!("linalg_tensorinv(Tensor self, int ind=2) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let ind = usize::try_from(c.int("ind")?).unwrap_or(0).min(x.rank());
        let shape = x.shape();
        let count = |d: &[Dim]| d.iter().fold(Dim::ONE, |n, d| &n * d);
        let a = x.reshape(&[count(&shape[..ind]), count(&shape[ind..])]);
        let f = factor(s, a);
        f.check(s, "linalg.tensorinv: the matrix is singular", true);
        let inverse = apply(s, f.lu, f.pivots, identity(s, &[], &f.z.n, x.dtype()), false);
        vec![inverse.reshape(&[&shape[ind..], &shape[..ind]].concat())]
    }),
    formula!("linalg_tensorsolve(Tensor self, Tensor other, int[]? dims=None) -> Tensor", |s, c| {
        let (mut a, b) = (s.arg(c, "self"), s.arg(c, "other"));
        if let Some(dims) = c.opt_ints("dims")? {
            let last = dims.iter().map(|&d| crate::wrap_dim(d, a.rank())).collect::<Result<Vec<_>, _>>()?;
            let order: Vec<usize> = (0..a.rank()).filter(|d| !last.contains(d)).chain(last.iter().copied()).collect();
            a = a.then(|f, v| f.permute(v, &order));
        }
        let shape = a.shape()[b.rank().min(a.rank())..].to_vec();
        let count = shape.iter().fold(Dim::ONE, |n, d| &n * d);
        let f = factor(s, a.reshape(&[count.clone(), count.clone()]));
        f.check(s, "linalg.tensorsolve: the matrix is singular", true);
        vec![apply(s, f.lu, f.pivots, b.reshape(&[count, Dim::ONE]), false).reshape(&shape)]
    }),
    formula!("linalg_matrix_exp(Tensor self) -> Tensor", |s, c| vec![exponential(s, c)]),
    formula!("matrix_exp(Tensor self) -> Tensor", |s, c| vec![exponential(s, c)]),
];

/// A factorisation.
struct Factors<'s> {
    lu: Term<'s>,
    pivots: Term<'s>,
    info: Term<'s>,
    z: Sizes,
}

impl<'s> Factors<'s> {
    fn check(&self, s: &'s Sheet<'_>, message: &str, wanted: bool) {
        if wanted {
            s.assert(self.info.eq(0.0), message);
        }
    }
}

fn factor<'s>(s: &'s Sheet<'_>, a: Term<'s>) -> Factors<'s> {
    let z = sizes(s, a);
    let [lu, pivots, info] = routine(s, "lu", &[a], &z.batch, &[z.m.clone(), z.n.clone()]);
    Factors { lu, pivots, info, z }
}

fn factor_argument<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, name: &str) -> Result<Factors<'s>, OpError> {
    if !c.bool("pivot")? {
        return Err(OpError::Unsupported("LU without pivoting: PyTorch has it on CUDA only; leave pivot=True".into()));
    }
    Ok(factor(s, s.arg(c, name)))
}

/// L with ones on its diagonal, and U.
fn parts<'s>(s: &'s Sheet<'_>, lu: Term<'s>) -> (Term<'s>, Term<'s>) {
    let z = sizes(s, lu);
    let k = Dim::min_of([z.m.clone(), z.n.clone()]);
    let rank = lu.rank();
    let left = lu.narrow(rank.wrapping_sub(1), &Dim::ZERO, &k);
    let ones = s.iota(&z.m, DType::I64).unsqueeze(1).eq(s.iota(&k, DType::I64)).cast(lu.dtype());
    let top = lu.narrow(rank.wrapping_sub(2), &Dim::ZERO, &k);
    (triangle(left, true, -1) + ones, triangle(top, false, 0))
}

/// The pivots of a caller, who may be wrong about the number of rows.
fn rows_only<'s>(s: &'s Sheet<'_>, pivots: Term<'s>, rows: &Dim) -> Term<'s> {
    let legal = pivots.ge(1.0).and(pivots.le(s.size(rows, pivots.dtype())));
    s.assert(legal, "lu: a pivot must be between 1 and the number of rows");
    pivots
}

/// Row `i` of the permuted matrix is row `order[i]` of the original.
fn order<'s>(s: &'s Sheet<'_>, pivots: Term<'s>, batch: &[Dim], m: &Dim) -> Term<'s> {
    let k = pivots.shape().last().cloned().unwrap_or(Dim::ONE);
    let wide = pivots.cast(DType::I32).expand(&[batch, std::slice::from_ref(&k)].concat());
    let [_, order] = routine(s, "permutation", &[wide], batch, &[k, m.clone()]);
    order
}

fn permutation_matrix<'s>(s: &'s Sheet<'_>, pivots: Term<'s>, z: &Sizes, dtype: DType) -> Term<'s> {
    let order = order(s, pivots, &z.batch, &z.m);
    let last = order.rank().wrapping_sub(1);
    s.iota(&z.m, DType::I64).unsqueeze(1).eq(order.unsqueeze(last)).cast(dtype)
}

/// `A⁻¹·B`, or `A⁻ᵀ·B` if transposed, from the factors of `A`.
fn apply<'s>(s: &'s Sheet<'_>, lu: Term<'s>, pivots: Term<'s>, b: Term<'s>, transposed: bool) -> Term<'s> {
    let (lu, b) = together(s, lu, b);
    let z = sizes(s, b);
    let order = order(s, pivots, &z.batch, &z.m);
    let dim = b.rank().wrapping_sub(2);
    let pick = |x: Term<'s>, order: Term<'s>| {
        let index = order.unsqueeze(dim + 1).expand(&x.shape());
        x.then(|f, v| f.gather(v, index.value(), dim))
    };
    if transposed {
        // A = Pᵀ·L·U, so A⁻ᵀ·B = Pᵀ·L⁻ᵀ·U⁻ᵀ·B.
        let x = solve_triangular(s, lu.mt(), b, false, false);
        let x = solve_triangular(s, lu.mt(), x, true, true);
        let place = s.step(|f| f.sort(order.value(), dim, false, true).map(|(_, back)| back));
        pick(x, place)
    } else {
        let x = solve_triangular(s, lu, pick(b, order), false, true);
        solve_triangular(s, lu, x, true, false)
    }
}

fn solved<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, check: bool) -> Result<(Term<'s>, Factors<'s>), OpError> {
    let ((a, _), b, left) = (square(s, c, "A"), s.arg(c, "B"), c.bool("left")?);
    let (sa, sb) = (a.shape(), b.shape());
    let vector = b.rank() == 1 || a.rank() == b.rank() + 1 && sa[..b.rank()] == sb[..];
    let f = factor(s, a);
    f.check(s, "linalg.solve: the matrix is singular", check);
    let x = if vector {
        let x = apply(s, f.lu, f.pivots, b.unsqueeze(b.rank()), !left);
        let mut shape = x.shape();
        shape.pop();
        x.reshape(&shape)
    } else if left {
        apply(s, f.lu, f.pivots, b, false)
    } else {
        apply(s, f.lu, f.pivots, b.mt(), true).mt()
    };
    Ok((x, f))
}

fn inverse<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, name: &str, check: bool) -> (Term<'s>, Term<'s>) {
    let (a, z) = square(s, c, name);
    let (x, info) = inverse_of(s, a, &z);
    if check {
        s.assert(info.eq(0.0), "linalg.inv: the matrix is singular");
    }
    (x, info)
}

/// The inverse of matrices, and LAPACK's `info`.
pub(super) fn inverse_of<'s>(s: &'s Sheet<'_>, a: Term<'s>, z: &Sizes) -> (Term<'s>, Term<'s>) {
    let f = factor(s, a);
    (apply(s, f.lu, f.pivots, identity(s, &z.batch, &z.n, a.dtype()), false), f.info)
}

/// -1 for an odd number of exchanges.
fn parity<'s>(s: &'s Sheet<'_>, f: &Factors<'s>, dtype: DType) -> Term<'s> {
    let own = s.iota(&f.z.n, DType::I32) + 1.0;
    let moved = f.pivots.ne(own);
    let minus = moved.pick(s.number(-1.0, dtype), s.number(1.0, dtype));
    reduce(minus, &[0], "prod")
}

fn determinant<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, name: &str) -> (Term<'s>, Factors<'s>) {
    let f = factor(s, square(s, c, name).0);
    let product = reduce(diagonal(f.lu), &[0], "prod");
    (product * parity(s, &f, f.lu.dtype()), f)
}

fn log_determinant<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, name: &str) -> (Term<'s>, Term<'s>, Factors<'s>) {
    let f = factor(s, square(s, c, name).0);
    let d = diagonal(f.lu);
    let sign = reduce(d.op("aten.sgn.default", Vec::new()), &[0], "prod") * parity(s, &f, d.dtype());
    let log = reduce(d.modulus().log(), &[0], "sum");
    (sign, log, f)
}

fn exponential<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Term<'s> {
    let given = s.arg(c, "self");
    if !given.dtype().is_complex() {
        return real_exponential(s, given);
    }
    // e^(a+bi) is what e^[[a, -b], [b, a]] holds of it.
    let (re, im) = (given.op("aten.real.default", Vec::new()), given.op("aten.imag.default", Vec::new()));
    let rank = re.rank();
    let (rows, columns) = (rank.wrapping_sub(2), rank.wrapping_sub(1));
    let beside = |a: Term<'s>, b: Term<'s>, dim: usize| s.step(|f| f.cat(&[a.value(), b.value()], dim));
    let all = beside(beside(re, -im, columns), beside(im, re, columns), rows);
    let exp = real_exponential(s, all);
    let n = re.shape().pop().unwrap_or(Dim::ONE);
    let left = exp.narrow(columns, &Dim::ZERO, &n);
    let (re, im) = (left.narrow(rows, &Dim::ZERO, &n), left.narrow(rows, &n, &n));
    re.op("aten.complex.default", vec![pt2c_ir::Arg::Tensor(im.value())])
}

fn real_exponential<'s>(s: &'s Sheet<'_>, given: Term<'s>) -> Term<'s> {
    // In double: squaring a power of two times multiplies the relative error as often.
    let z = sizes(s, given.cast(DType::F64));
    let [_, x, _] = routine(s, "matrix_exp", &[given.cast(DType::F64)], &z.batch, &[z.n]);
    x.cast(given.dtype())
}
