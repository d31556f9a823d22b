//! QR factorisation and products of reflections.

use super::{Sizes, matrix, nothing, routine, sizes, triangle};
use crate::formula::{Sheet, Term, formula};
use crate::{OpDef, OpError};
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("linalg_qr(Tensor A, str mode=\"reduced\") -> (Tensor Q, Tensor R)", |s, c| {
        let (a, z) = matrix(s, c, "A");
        let mode = c.str("mode")?;
        qr(s, a, &z, mode)?
    }),
    formula!("geqrf(Tensor self) -> (Tensor a, Tensor tau)", |s, c| {
        let (a, z) = matrix(s, c, "self");
        let [compact, tau, _] = routine(s, "qr", &[a], &z.batch, &[z.m, z.n]);
        vec![compact, tau]
    }),
    formula!("linalg_householder_product(Tensor input, Tensor tau) -> Tensor", |s, c| {
        let (a, z) = matrix(s, c, "input");
        let columns = z.n.clone();
        vec![product(s, a, s.arg(c, "tau"), &z, &columns)]
    }),
    formula!("orgqr(Tensor self, Tensor input2) -> Tensor", |s, c| {
        let (a, z) = matrix(s, c, "self");
        let columns = z.n.clone();
        vec![product(s, a, s.arg(c, "input2"), &z, &columns)]
    }),
    formula!(
        "ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor",
        |s, c| {
            let (a, z) = matrix(s, c, "self");
            let rows = z.m.clone();
            let q = product(s, a, s.arg(c, "input2"), &z, &rows);
            let q = if c.bool("transpose")? { q.mh() } else { q };
            let other = s.arg(c, "input3");
            vec![if c.bool("left")? { q.matmul(other) } else { other.matmul(q) }]
        }
    ),
];

/// The first `p` columns of the product of the reflections below the diagonal of `a`.
fn product<'s>(s: &'s Sheet<'_>, a: Term<'s>, tau: Term<'s>, z: &Sizes, p: &Dim) -> Term<'s> {
    let k = tau.shape().last().cloned().unwrap_or(Dim::ZERO);
    let sizes = [z.m.clone(), z.n.clone(), k, p.clone()];
    let [_, _, q, _] = routine(s, "householder_product", &[a, tau], &z.batch, &sizes);
    q
}

fn qr<'s>(s: &'s Sheet<'_>, a: Term<'s>, z: &Sizes, mode: &str) -> Result<Vec<Term<'s>>, OpError> {
    let [compact, tau, _] = routine(s, "qr", &[a], &z.batch, &[z.m.clone(), z.n.clone()]);
    let k = Dim::min_of([z.m.clone(), z.n.clone()]);
    let p = match mode {
        "reduced" | "r" => k,
        "complete" => z.m.clone(),
        other => return Err(OpError::Invalid(format!("there is no QR mode `{other}`"))),
    };
    let z = sizes(s, compact);
    let r = triangle(compact.narrow(a.rank().wrapping_sub(2), &Dim::ZERO, &p), false, 0);
    let q = if mode == "r" { nothing(s, a.dtype()) } else { product(s, compact, tau, &z, &p) };
    Ok(vec![q, r])
}
