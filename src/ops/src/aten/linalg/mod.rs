//! Linear algebra: formulas over the runtime's routines. Matrices are the last two dimensions, the others a batch.

pub mod cholesky;
pub mod least_squares;
pub mod lu;
pub mod norm;
pub mod orthogonal;
pub mod spectral;
pub mod triangular;

use crate::formula::{Sheet, Term};
use crate::{OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// Batch, rows and columns of a matrix.
pub(super) struct Sizes {
    pub batch: Vec<Dim>,
    pub m: Dim,
    pub n: Dim,
}

/// The sizes of a matrix; anything else ends the formula.
pub(super) fn sizes(s: &Sheet<'_>, a: Term<'_>) -> Sizes {
    let mut batch = a.shape();
    let (n, m) = (batch.pop(), batch.pop());
    if !matches!(a.dtype(), DType::F32 | DType::F64 | DType::C64 | DType::C128) {
        s.fail(OpError::Invalid(format!(
            "linear algebra takes f32, f64 or complex numbers of them, not {}",
            a.dtype()
        )));
    }
    if m.is_none() {
        s.fail(OpError::invalid("a matrix has two dimensions"));
    }
    Sizes { batch, m: m.unwrap_or(Dim::ONE), n: n.unwrap_or(Dim::ONE) }
}

/// A matrix argument.
pub(super) fn matrix<'s>(s: &'s Sheet<'_>, c: &crate::Call<'_, Val>, name: &str) -> (Term<'s>, Sizes) {
    let a = s.arg(c, name);
    let z = sizes(s, a);
    (a, z)
}

/// A square matrix argument.
pub(super) fn square<'s>(s: &'s Sheet<'_>, c: &crate::Call<'_, Val>, name: &str) -> (Term<'s>, Sizes) {
    let (a, z) = matrix(s, c, name);
    if z.m.as_int().zip(z.n.as_int()).is_some_and(|(m, n)| m != n) {
        s.fail(OpError::Invalid(format!("`{}` needs square matrices", c.op.name)));
    }
    (a, z)
}

/// A routine with `N` buffers.
pub(super) fn routine<'s, const N: usize>(
    s: &'s Sheet<'_>,
    name: &str,
    operands: &[Term<'s>],
    batch: &[Dim],
    sizes: &[Dim],
) -> [Term<'s>; N] {
    let operands: Vec<Val> = operands.iter().map(|t| t.value()).collect();
    s.many(|b| b.routine(name, &operands, batch, sizes))
}

/// Identity matrices.
pub(super) fn identity<'s>(s: &'s Sheet<'_>, batch: &[Dim], n: &Dim, dtype: DType) -> Term<'s> {
    let (rows, columns) = (s.iota(n, DType::I64).unsqueeze(1), s.iota(n, DType::I64));
    rows.eq(columns).cast(dtype).expand(&[batch, &[n.clone(), n.clone()]].concat())
}

/// The elements of a triangle, the others 0: `offset` as in `torch.tril`.
pub(super) fn triangle(a: Term<'_>, lower: bool, offset: i64) -> Term<'_> {
    let op = if lower { "aten.tril.default" } else { "aten.triu.default" };
    a.op(op, vec![Arg::Int(Dim::int(offset))])
}

/// The diagonals of matrices.
pub(super) fn diagonal(a: Term<'_>) -> Term<'_> {
    let ends = [0, -2, -1].map(|i| Arg::Int(Dim::int(i)));
    a.op("aten.diagonal.default", ends.to_vec())
}

/// Reduction over trailing dimensions that are removed; `back` counts from the last.
pub(super) fn reduce<'s>(a: Term<'s>, back: &[usize], kind: &'static str) -> Term<'s> {
    let rank = a.rank();
    let mut dims: Vec<usize> = back.iter().map(|b| rank.wrapping_sub(1 + b)).collect();
    dims.sort_unstable();
    a.then(|b, v| b.reduce(v, &dims, kind))
}

/// Empty, as PyTorch returns what was not asked for.
pub(super) fn nothing<'s>(s: &'s Sheet<'_>, dtype: DType) -> Term<'s> {
    s.number(0.0, dtype).expand(&[Dim::ZERO])
}

/// Both with their batches broadcast.
pub(super) fn together<'s>(s: &'s Sheet<'_>, a: Term<'s>, b: Term<'s>) -> (Term<'s>, Term<'s>) {
    let (x, y) = (sizes(s, a), sizes(s, b));
    let mut batch = Vec::new();
    let joint = s.step(|f| {
        batch = crate::shape::broadcast(f.scope(), &x.batch, &y.batch)?;
        Ok(a.value())
    });
    let wide = |t: Term<'s>, z: Sizes| t.expand(&[&batch[..], &[z.m, z.n]].concat());
    (wide(joint, x), wide(b, y))
}
