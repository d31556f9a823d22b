//! Gradients of losses.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("mse_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction) -> Tensor", |s, c| {
        let l = Loss::of(s, c)?;
        l.done(l.d * 2.0)
    }),
    formula!(
        "smooth_l1_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, float beta) -> Tensor",
        |s, c| {
            let (l, beta) = (Loss::of(s, c)?, c.float("beta")?);
            let small = l.d.abs().lt(beta);
            l.done(small.pick(l.d / beta, l.d.sign()))
        }
    ),
    formula!(
        "huber_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, float delta) -> Tensor",
        |s, c| {
            let (l, delta) = (Loss::of(s, c)?, c.float("delta")?);
            let small = l.d.abs().le(delta);
            l.done(small.pick(l.d, l.d.sign() * delta))
        }
    ),
    formula!(
        "binary_cross_entropy_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor",
        |s, c| {
            let l = Loss::of(s, c)?;
            let x = s.arg(c, "self").wide();
            let mut slope = l.d / ((1.0 - x) * x).max(1e-12);
            if c.opt_tensor("weight")?.is_some() {
                slope = slope * s.arg(c, "weight").cast(slope.dtype());
            }
            l.done(slope)
        }
    ),
    formula!(
        "soft_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction) -> Tensor",
        |s, c| {
            let l = Loss::of(s, c)?;
            let (x, t) = (s.arg(c, "self").wide(), s.arg(c, "target").cast(l.d.dtype()));
            l.done(-t * (-t * x).sigmoid())
        }
    ),
    formula!(
        "nll_loss_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight) -> Tensor",
        |s, c| nll(s, c)?
    ),
    formula!(
        "nll_loss2d_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight) -> Tensor",
        |s, c| nll(s, c)?
    ),
];

/// What losses of a difference share.
struct Loss<'s> {
    g: Term<'s>,
    d: Term<'s>,
    share: Option<Term<'s>>,
    dtype: DType,
}

impl<'s> Loss<'s> {
    fn of(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Loss<'s>, OpError> {
        let x = s.arg(c, "self");
        let wide = x.wide();
        let d = wide - s.arg(c, "target").cast(wide.dtype());
        let count = d.shape().iter().fold(Dim::ONE, |n, d| &n * d);
        let share = (c.int("reduction")? == 1).then(|| s.size(&count, wide.dtype()));
        Ok(Loss { g: s.arg(c, "grad_output").cast(wide.dtype()), d, share, dtype: x.dtype() })
    }

    fn done(&self, slope: Term<'s>) -> Vec<Term<'s>> {
        let mut result = slope * self.g;
        if let Some(count) = self.share {
            result = result / count;
        }
        vec![result.cast(self.dtype)]
    }
}

fn nll<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let x = s.arg(c, "self");
    let dtype = x.wide().dtype();
    let classes = usize::from(x.rank() >= 2);
    let target = s.arg(c, "target").cast(DType::I64).unsqueeze(classes);
    let ignored = s.size(&c.dim("ignore_index")?, DType::I64);
    let count = x.shape().get(classes).cloned().unwrap_or(Dim::ONE);
    let mut line = vec![Dim::ONE; x.rank()];
    if let Some(n) = line.get_mut(classes) {
        *n = count.clone();
    }
    let hit = s.iota(&count, DType::I64).reshape(&line).eq(target).and(target.ne(ignored));
    let mut g = s.arg(c, "grad_output").cast(dtype);
    if c.int("reduction")? == 1 {
        g = g / s.arg(c, "total_weight").cast(dtype);
    }
    if g.rank() > 0 && g.rank() < x.rank() {
        g = g.unsqueeze(classes);
    }
    if c.opt_tensor("weight")?.is_some() {
        g = g * s.arg(c, "weight").cast(dtype).reshape(&line);
    }
    Ok(vec![hit.pick(-g, 0.0).expand(&x.shape()).cast(x.dtype())])
}
