//! Margin losses over classes.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "multi_margin_loss(Tensor self, Tensor target, Scalar p=1, Scalar margin=1, Tensor? weight=None, int reduction=1) -> Tensor",
        |s, c| {
            let (x, target) = rows(s, c, false);
            let classes = x.extent(1);
            let dtype = x.dtype();
            let legal = target.ge(0.0).and(target.lt(s.size(&classes, DType::I64)));
            s.assert(legal, "multi_margin_loss: a class index must be at least 0 and below the number of classes");
            let own = s.iota(&classes, DType::I64).eq(target.unsqueeze(1));
            let score = own.pick(x, 0.0).sum(&[1], true);
            let gap = (x - score + c.float("margin")?).max(0.0);
            let gap = if c.float("p")? == 2.0 { gap * gap } else { gap };
            let gap = if c.opt_tensor("weight")?.is_some() {
                let w = s.arg(c, "weight").cast(dtype).expand(&x.shape());
                gap * own.pick(w, 0.0).sum(&[1], true)
            } else {
                gap
            };
            let losses = own.pick(0.0, gap).sum(&[1], false) / s.size(&classes, dtype);
            vec![reduced(s, c, losses, 1)?]
        }
    ),
    formula!(
        "multi_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, Scalar p, Scalar margin, Tensor? weight=None, int reduction=1) -> Tensor",
        |s, c| {
            let (x, target) = rows(s, c, false);
            let own = s.iota(&x.extent(1), DType::I64).eq(target.unsqueeze(1));
            let gap = x - own.pick(x, 0.0).sum(&[1], true) + c.float("margin")?;
            let slope = if c.float("p")? == 2.0 { gap * 2.0 } else { gap.like(1.0) };
            let mut slope = gap.gt(0.0).and(own.not()).pick(slope, 0.0);
            if c.opt_tensor("weight")?.is_some() {
                let w = s.arg(c, "weight").cast(x.dtype()).expand(&x.shape());
                slope = slope * own.pick(w, 0.0).sum(&[1], true);
            }
            vec![spread(s, c, slope - own.pick(slope.sum(&[1], true), 0.0))?]
        }
    ),
    formula!(
        "multilabel_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, Tensor is_target) -> Tensor",
        |s, c| {
            let (hit, counts, gap) = pairs(s, c);
            let active = counts.and(gap.gt(0.0)).cast(gap.dtype());
            let own = hit.cast(gap.dtype()) * active.sum(&[2], true);
            vec![spread(s, c, active.sum(&[1], false) - own.sum(&[1], false))?]
        }
    ),
    formula!("multilabel_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", |s, c| vec![
        labels(s, c)?.0
    ]),
    formula!(
        "multilabel_margin_loss_forward(Tensor self, Tensor target, int reduction) -> (Tensor output, Tensor is_target)",
        |s, c| {
            let (loss, targets) = labels(s, c)?;
            vec![loss, targets.reshape(&s.arg(c, "target").shape()).cast(s.arg(c, "self").dtype())]
        }
    ),
];

/// Scores as `[N, C]` and targets as `[N]` (`[N, C]` for several labels); a single sample is a batch of one.
fn rows<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, labels: bool) -> (Term<'s>, Term<'s>) {
    let (x, target) = (s.arg(c, "self").wide(), s.arg(c, "target").cast(DType::I64));
    match x.rank() {
        0 => {
            (x.reshape(&[Dim::ONE, Dim::ONE]), target.reshape(if labels { &[Dim::ONE, Dim::ONE] } else { &[Dim::ONE] }))
        }
        1 => (x.unsqueeze(0), if labels { target.unsqueeze(0) } else { target.reshape(&[Dim::ONE]) }),
        _ => (x, target),
    }
}

/// Mean, sum or every sample's loss, in the input's dtype and of its rank less `removed`.
fn reduced<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, losses: Term<'s>, removed: usize) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, "self");
    let result = match c.int("reduction")? {
        0 if x.rank() <= removed => losses.reshape(&[]),
        0 => losses,
        1 => {
            let count = losses.shape().first().cloned().unwrap_or(Dim::ONE);
            losses.total() / s.size(&count, losses.dtype())
        }
        _ => losses.total(),
    };
    Ok(result.cast(x.dtype()))
}

/// The incoming gradient times the slopes `[N, C]` of the sums that losses are, in the input's shape.
fn spread<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, slopes: Term<'s>) -> Result<Term<'s>, OpError> {
    let (x, g) = (s.arg(c, "self"), s.arg(c, "grad_output").cast(slopes.dtype()));
    let g = if g.rank() > 0 { g.unsqueeze(1) } else { g };
    let (samples, classes) = (slopes.extent(0), slopes.extent(1));
    let count = if c.int("reduction")? == 1 { samples * &classes } else { classes };
    Ok((slopes * g / s.size(&count, slopes.dtype())).reshape(&x.shape()).cast(x.dtype()))
}

/// The loss, and which classes are targets: those listed before the first -1.
fn labels<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<(Term<'s>, Term<'s>), OpError> {
    let (hit, counts, gap) = pairs(s, c);
    let classes = gap.extent(2);
    let losses = counts.pick(gap.max(0.0), 0.0).sum(&[1, 2], false) / s.size(&classes, gap.dtype());
    Ok((reduced(s, c, losses, 1)?, hit.then(|b, v| b.reduce(v, &[1], "any"))))
}

/// For each sample, place in its list and class: whether it is the class listed there, whether the pair counts, and how
/// far its score comes too close.
fn pairs<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> (Term<'s>, Term<'s>, Term<'s>) {
    let (x, target) = rows(s, c, true);
    let classes = x.extent(1);
    let legal = target.ge(-1.0).and(target.lt(s.size(&classes, DType::I64)));
    s.assert(legal, "multilabel_margin_loss: a class index must be at least -1 and below the number of classes");
    let ended = target.lt(0.0).cast(DType::I64).then(|b, v| b.scan(v, 1, "max"));
    let listed = ended.eq(0.0);
    // [N, place in the list, class]
    let hit = s.iota(&classes, DType::I64).eq(target.unsqueeze(2)).and(listed.unsqueeze(2));
    let is_target = hit.then(|b, v| b.reduce(v, &[1], "any"));
    let wide = hit.shape();
    let score = hit.pick(x.unsqueeze(1).expand(&wide), 0.0).sum(&[2], true);
    let gap = 1.0 - score + x.unsqueeze(1);
    let counts = listed.unsqueeze(2).and(is_target.not().unsqueeze(1));
    (hit, counts, gap)
}
