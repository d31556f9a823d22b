//! Triangular systems.

use super::{routine, sizes, together};
use crate::OpDef;
use crate::formula::{Sheet, Term, formula};
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
        |s, c| {
            let (a, b) = (s.arg(c, "self"), s.arg(c, "B"));
            let (upper, unit) = (c.bool("upper")?, c.bool("unitriangular")?);
            vec![if c.bool("left")? {
                solve(s, a, b, upper, unit)
            } else {
                solve(s, a.mt(), b.mt(), !upper, unit).mt()
            }]
        }
    ),
    formula!(
        "triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> (Tensor solution, Tensor cloned_coefficient)",
        |s, c| {
            let (b, a) = together(s, s.arg(c, "self"), s.arg(c, "A"));
            let (upper, unit) = (c.bool("upper")?, c.bool("unitriangular")?);
            let x = if c.bool("transpose")? { solve(s, a.mt(), b, !upper, unit) } else { solve(s, a, b, upper, unit) };
            vec![x, a]
        }
    ),
];

/// `A⁻¹·B` for triangular `A`.
pub(super) fn solve<'s>(s: &'s Sheet<'_>, a: Term<'s>, b: Term<'s>, upper: bool, unit: bool) -> Term<'s> {
    let (a, b) = together(s, a, b);
    let z = sizes(s, b);
    let flags = [upper, unit].map(|f| Dim::int(i64::from(f)));
    let [upper, unit] = flags;
    let [_, x] = routine(s, "solve_triangular", &[a, b], &z.batch, &[z.m, z.n, upper, unit]);
    x
}
