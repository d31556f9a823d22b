//! Products of groups of rows with a matrix each: mixtures of experts.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "_grouped_mm(Tensor self, Tensor mat2, Tensor? offs=None, Tensor? bias=None, ScalarType? out_dtype=None) -> Tensor",
        |s, c| {
            if c.opt_tensor("bias")?.is_some() {
                return Err(OpError::Unsupported("`_grouped_mm` with a bias: add it behind the product".into()));
            }
            let (x, w) = (s.arg(c, "self"), s.arg(c, "mat2"));
            let y = match (x.rank(), w.rank(), c.opt_tensor("offs")?) {
                (3, 3, None) => x.wide().matmul(w.wide()),
                (2, 3, Some(_)) => by_rows(s, c, x, w)?,
                _ => {
                    return Err(OpError::Unsupported(
                    "`_grouped_mm` with groups of columns or of the contracted dimension: only backward passes have it".into(),
                ));
                }
            };
            vec![y.cast(c.opt_dtype("out_dtype")?.unwrap_or(x.dtype()))]
        }
    ),
    formula!("transformers::grouped_mm_fallback(Tensor input, Tensor weight, Tensor offs) -> Tensor", |s, c| {
        let (x, w) = (s.arg(c, "input"), s.arg(c, "weight"));
        vec![by_rows(s, c, x, w)?.cast(x.dtype())]
    }),
];

/// Rows `[S, K]` in consecutive groups that end at `offs`, each times its matrix of `[E, K, N]`; rows behind the last
/// group are 0. Every matrix is applied to all rows and the right product is taken: a product of full speed, and
/// lengths of groups that are data.
fn by_rows<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: Term<'s>, w: Term<'s>) -> Result<Term<'s>, OpError> {
    let [rows, _] = <[Dim; 2]>::try_from(x.shape()).map_err(|_| OpError::invalid("rows are a matrix"))?;
    let [experts, _, columns] =
        <[Dim; 3]>::try_from(w.shape()).map_err(|_| OpError::invalid("matrices are [E, K, N]"))?;
    let ends = s.arg(c, "offs").cast(DType::I64);
    let row = s.iota(&rows, DType::I64).unsqueeze(1);
    // How many groups end at or before a row.
    let expert = ends.le(row).cast(DType::I64).sum(&[1], false);
    let product = x.wide().unsqueeze(0).matmul(w.wide());
    let inside = expert.lt(s.size(&experts, DType::I64));
    let place = expert.min(s.size(&experts, DType::I64) - 1.0);
    let index = place.reshape(&[Dim::ONE, rows.clone(), Dim::ONE]).expand(&[Dim::ONE, rows.clone(), columns.clone()]);
    let taken = product.then(|b, v| b.gather(v, index.value(), 0)).reshape(&[rows, columns]);
    Ok(inside.unsqueeze(1).pick(taken, 0.0))
}
