//! Losses. `reduction` is 0 for none, 1 for the mean, 2 for the sum.

use super::distance::norm;
use super::softmax::log_softmax;
use crate::host::{self, Lines, binary, rounded};
use crate::special::log1p_exp;
use crate::{Call, OpDef, OpError, Tensor, promote_types, round_to, shape};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor", |c| pointwise(c, "self", "target"), cross_entropy_of_probabilities),
    rounded!("binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor", |c| pointwise(c, "self", "target"), cross_entropy_of_logits),
    rounded!("cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor", cosine_fact, cosine),
    rounded!("cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, float label_smoothing=0.) -> Tensor", class_fact, cross_entropy),
    rounded!("hinge_embedding_loss(Tensor self, Tensor target, float margin=1., int reduction=1) -> Tensor", |c| pointwise(c, "self", "target"), |c| {
        let margin = c.float("margin")?;
        elementwise(c, "self", "target", |x, t| {
            let apart = if t != 1.0 { (margin - x).max(0.0) } else { 0.0 };
            apart + if t != -1.0 { x } else { 0.0 }
        })
    }),
    rounded!("huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.) -> Tensor", |c| pointwise(c, "self", "target"), |c| {
        let delta = c.float("delta")?;
        elementwise(c, "self", "target", |x, t| huber((x - t).abs(), delta))
    }),
    rounded!("kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor", |c| pointwise(c, "self", "target"), |c| {
        let log = c.bool("log_target")?;
        elementwise(c, "self", "target", |x, t| match log {
            true => t.exp() * (t - x),
            false if t == 0.0 => 0.0,
            false => t * (t.ln() - x),
        })
    }),
    rounded!("l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", distance_fact, |c| {
        host::only_real(c, &["self", "target"])?;
        elementwise(c, "self", "target", |x, t| (x - t).abs())
    }),
    rounded!("margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor", ranking_fact, ranking),
    rounded!("mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", |c| pointwise(c, "self", "target"), |c| elementwise(c, "self", "target", |x, t| (x - t) * (x - t))),
    rounded!("nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor", class_fact, |c| Ok(nll(c, c.tensor("self")?)?.0)),
    rounded!("nll_loss2d(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor", class_fact, |c| Ok(nll(c, c.tensor("self")?)?.0)),
    OpDef::new("nll_loss2d_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)", forward_fact, forward),
    OpDef::new("nll_loss_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)", forward_fact, forward),
    rounded!("nll_loss_nd(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor", class_fact, |c| Ok(nll(c, c.tensor("self")?)?.0)),
    rounded!("poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction) -> Tensor", poisson_fact, poisson),
    rounded!("smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.) -> Tensor", |c| pointwise(c, "self", "target"), |c| {
        let beta = c.float("beta")?;
        elementwise(c, "self", "target", |x, t| if beta == 0.0 { (x - t).abs() } else { huber((x - t).abs(), beta) / beta })
    }),
    rounded!("soft_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", |c| pointwise(c, "self", "target"), soft_margin),
    rounded!("triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1., float p=2., float eps=9.9999999999999995e-07, bool swap=False, int reduction=1) -> Tensor", triplet_fact, triplet),
];

type Facts<'a> = Call<'a, Fact>;
type Host<'a> = Call<'a, Tensor>;

/// The fact of elementwise losses of this shape after the reduction.
fn after<T>(c: &Call<'_, T>, dtype: DType, shape: Vec<Dim>) -> Result<Vec<Fact>, OpError> {
    if dtype.is_complex() {
        return Err(OpError::Unsupported(format!("`{}` of complex numbers", c.op.name)));
    }
    Ok(vec![Fact::new(dtype, if c.int("reduction")? == 0 { shape } else { Vec::new() })])
}

/// The dtype of losses that are fractions even of integers.
fn fractional(dtype: DType) -> DType {
    if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F32 }
}

fn pointwise(c: &Facts<'_>, x: &str, target: &str) -> Result<Vec<Fact>, OpError> {
    let (x, t) = (c.tensor(x)?, c.tensor(target)?);
    after(c, promote_types(x.dtype, t.dtype), shape::broadcast(c.scope, &x.shape, &t.shape)?)
}

/// Of the distance of two numbers, which is real.
fn distance_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let (x, t) = (c.tensor("self")?, c.tensor("target")?);
    let dtype = promote_types(x.dtype, t.dtype).to_real();
    after(c, dtype, shape::broadcast(c.scope, &x.shape, &t.shape)?)
}

fn reduce(c: &Host<'_>, losses: Tensor) -> Result<Tensor, OpError> {
    let sum = || losses.to_f64s().into_iter().sum::<f64>();
    Ok(match c.int("reduction")? {
        0 => losses,
        1 => Tensor::from_f64(DType::F64, &[], &[sum() / losses.numel() as f64]),
        _ => Tensor::from_f64(DType::F64, &[], &[sum()]),
    })
}

fn elementwise(c: &Host<'_>, x: &str, t: &str, f: impl Fn(f64, f64) -> f64) -> Result<Tensor, OpError> {
    reduce(c, binary(c.tensor(x)?, c.tensor(t)?, f)?)
}

/// Overflows where PyTorch's does, which rounds behind every step.
fn soft_margin(c: &Host<'_>) -> Result<Tensor, OpError> {
    let dtype = promote_types(c.tensor("self")?.dtype(), c.tensor("target")?.dtype());
    elementwise(c, "self", "target", |x, t| {
        let power = round_to(dtype, round_to(dtype, -t * x).exp());
        round_to(dtype, power.ln_1p())
    })
}

/// Quadratic up to `delta`, linear behind.
fn huber(d: f64, delta: f64) -> f64 {
    if d < delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
}

fn weighted(losses: Tensor, weight: Option<&Tensor>) -> Result<Tensor, OpError> {
    weight.map_or(Ok(losses.clone()), |w| binary(&losses, w, |l, w| l * w))
}

fn cross_entropy_of_probabilities(c: &Host<'_>) -> Result<Tensor, OpError> {
    let losses = binary(c.tensor("self")?, c.tensor("target")?, |x, t| {
        -(t * x.ln().max(-100.0) + (1.0 - t) * (-x).ln_1p().max(-100.0))
    })?;
    reduce(c, weighted(losses, c.opt_tensor("weight")?)?)
}

fn cross_entropy_of_logits(c: &Host<'_>) -> Result<Tensor, OpError> {
    let (x, t) = (c.tensor("self")?, c.tensor("target")?);
    // (1 - t)·x + (1 + (w - 1)·t)·log(1 + e^-x)
    let positive = match c.opt_tensor("pos_weight")? {
        Some(w) => binary(t, w, |t, w| (w - 1.0) * t + 1.0)?,
        None => Tensor::full(DType::F64, &[], crate::Scalar::Int(1)),
    };
    let scaled = binary(&positive, x, |w, x| w * log1p_exp(-x))?;
    let rest = binary(t, x, |t, x| (1.0 - t) * x)?;
    reduce(c, weighted(binary(&rest, &scaled, |a, b| a + b)?, c.opt_tensor("weight")?)?)
}

fn poisson_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let facts = pointwise(c, "input", "target")?;
    Ok(facts.into_iter().map(|f| f.with_dtype(fractional(f.dtype))).collect())
}

fn poisson(c: &Host<'_>) -> Result<Tensor, OpError> {
    let (log, full, eps) = (c.bool("log_input")?, c.bool("full")?, c.float("eps")?);
    elementwise(c, "input", "target", |x, t| {
        let loss = if log { x.exp() - t * x } else { x - t * (x + eps).ln() };
        let stirling = t * t.ln() - t + 0.5 * (2.0 * std::f64::consts::PI * t).ln();
        loss + if full && t > 1.0 { stirling } else { 0.0 }
    })
}

fn ranking_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let (x, y, t) = (c.tensor("input1")?, c.tensor("input2")?, c.tensor("target")?);
    let shape = shape::broadcast_all(c.scope, [&x.shape[..], &y.shape, &t.shape])?;
    after(c, fractional(promote_types(promote_types(x.dtype, y.dtype), t.dtype)), shape)
}

fn ranking(c: &Host<'_>) -> Result<Tensor, OpError> {
    let margin = c.float("margin")?;
    let difference = binary(c.tensor("input1")?, c.tensor("input2")?, |x, y| x - y)?;
    reduce(c, binary(&difference, c.tensor("target")?, |d, t| (margin - t * d).max(0.0))?)
}

/// Dimension of the vectors of a cosine embedding loss: the last.
fn cosine_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let (x, y, t) = (c.tensor("input1")?, c.tensor("input2")?, c.tensor("target")?);
    let mut shape = shape::broadcast(c.scope, &x.shape, &y.shape)?;
    shape.pop();
    let dtype = promote_types(x.dtype, y.dtype);
    after(c, fractional(dtype), shape::broadcast(c.scope, &shape, &t.shape)?)
}

fn cosine(c: &Host<'_>) -> Result<Tensor, OpError> {
    const EPS: f64 = 1e-12;
    let (x, y, margin) = (c.tensor("input1")?, c.tensor("input2")?, c.float("margin")?);
    let whole = shape::broadcast_known(&[x.shape(), y.shape()])?;
    let (x, y) = (x.broadcast_to(&whole)?, y.broadcast_to(&whole)?);
    let n = whole.last().copied().unwrap_or(1);
    let line = |l: usize, f: &dyn Fn(usize) -> f64| (l * n..(l + 1) * n).map(f).sum::<f64>();
    let cosines: Vec<f64> = (0..x.numel() / n.max(1))
        .map(|l| {
            let dot = line(l, &|i| x.f64(i) * y.f64(i));
            let (a, b) = (line(l, &|i| x.f64(i) * x.f64(i)), line(l, &|i| y.f64(i) * y.f64(i)));
            dot / ((a + EPS) * (b + EPS)).sqrt()
        })
        .collect();
    let cosines = Tensor::from_f64(DType::F64, &whole[..whole.len().saturating_sub(1)], &cosines);
    reduce(
        c,
        binary(&cosines, c.tensor("target")?, |s, t| match t {
            1.0 => 1.0 - s,
            -1.0 => (s - margin).max(0.0),
            _ => 0.0,
        })?,
    )
}

fn triplet_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let (a, p, n) = (c.tensor("anchor")?, c.tensor("positive")?, c.tensor("negative")?);
    let mut shape = shape::broadcast_all(c.scope, [&a.shape[..], &p.shape, &n.shape])?;
    shape.pop();
    let dtype = promote_types(promote_types(a.dtype, p.dtype), n.dtype);
    after(c, fractional(dtype).to_real(), shape)
}

fn triplet(c: &Host<'_>) -> Result<Tensor, OpError> {
    host::only_real(c, &["anchor", "positive", "negative"])?;
    let (p, eps, margin) = (c.float("p")?, c.float("eps")?, c.float("margin")?);
    let distance = |x: &str, y: &str| -> Result<Tensor, OpError> {
        let d = binary(c.tensor(x)?, c.tensor(y)?, |x, y| x - y + eps)?;
        let n = d.shape().last().copied().unwrap_or(1);
        let lengths: Vec<f64> =
            (0..d.numel() / n.max(1)).map(|l| norm((l * n..(l + 1) * n).map(|i| d.f64(i)), p)).collect();
        Ok(Tensor::from_f64(DType::F64, &d.shape()[..d.rank().saturating_sub(1)], &lengths))
    };
    let near = distance("anchor", "positive")?;
    let mut far = distance("anchor", "negative")?;
    if c.bool("swap")? {
        far = binary(&far, &distance("positive", "negative")?, f64::min)?;
    }
    reduce(c, binary(&near, &far, |near, far| (margin + near - far).max(0.0))?)
}

/// Whether a target holds probabilities of the classes rather than their numbers.
pub fn is_probability(x: &Fact, target: &Fact) -> bool {
    target.dtype.is_float() && target.rank() == x.rank()
}

fn class_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let (x, t) = (c.tensor("self")?, c.tensor("target")?);
    if is_probability(x, t) {
        let mut shape = x.shape.clone();
        shape.remove(usize::from(x.rank() > 1));
        return after(c, x.dtype, shape);
    }
    if t.rank() + 1 != x.rank() {
        return Err(OpError::Invalid(format!("classes {t} do not fit scores {x}")));
    }
    after(c, x.dtype, t.shape.clone())
}

fn forward_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let mut out = class_fact(c)?;
    out.push(Fact::new(c.tensor("self")?.dtype, vec![]));
    Ok(out)
}

/// Loss and total weight for log-probabilities with classes in dimension 1 (0 of a vector).
fn nll(c: &Host<'_>, scores: &Tensor) -> Result<(Tensor, f64), OpError> {
    let (target, weight, ignored) = (c.tensor("target")?, c.opt_tensor("weight")?, c.int("ignore_index")?);
    let lines = Lines::new(scores.shape(), usize::from(scores.rank() > 1));
    let (mut losses, mut total) = (vec![0.0; target.numel()], 0.0);
    for (l, loss) in losses.iter_mut().enumerate() {
        let class = target.i64(l);
        if class == ignored {
            continue;
        }
        let class = usize::try_from(class).ok().filter(|&k| k < lines.len);
        let class = class.ok_or_else(|| OpError::Runtime(format!("target {} is out of bounds", target.i64(l))))?;
        let w = weight.map_or(1.0, |w| w.f64(class));
        total += w;
        *loss = -w * scores.f64(lines.at(l, class));
    }
    let sum = losses.iter().sum::<f64>();
    let one = |v: f64| Tensor::from_f64(DType::F64, &[], &[v]);
    Ok(match c.int("reduction")? {
        0 => (Tensor::from_f64(DType::F64, target.shape(), &losses), 0.0),
        1 => (one(sum / total), total),
        _ => (one(sum), total),
    })
}

fn forward(c: &Host<'_>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (loss, total) = nll(c, x)?;
    Ok(vec![loss.cast(x.dtype()), Tensor::from_f64(x.dtype(), &[], &[total])])
}

fn cross_entropy(c: &Host<'_>) -> Result<Tensor, OpError> {
    let (x, target, weight) = (c.tensor("self")?, c.tensor("target")?, c.opt_tensor("weight")?);
    let dim = usize::from(x.rank() > 1);
    let (smoothing, classes) = (c.float("label_smoothing")?, x.shape()[dim] as f64);
    let logs = host::map_lines(x, DType::F64, dim, log_softmax);
    let lines = Lines::new(x.shape(), dim);
    let weight_of = |k: usize| weight.map_or(1.0, |w| w.f64(k));
    let shape: Vec<usize> = x.shape().iter().enumerate().filter(|(d, _)| *d != dim).map(|(_, &n)| n).collect();
    let over_classes = |f: &dyn Fn(usize, usize) -> f64| -> Tensor {
        let losses: Vec<f64> =
            (0..lines.count).map(|l| (0..lines.len).map(|k| -f(l, k) * logs.f64(lines.at(l, k))).sum()).collect();
        Tensor::from_f64(DType::F64, &shape, &losses)
    };
    let one = |v: f64| Tensor::from_f64(DType::F64, &[], &[v]);
    if is_probability(&x.fact(), &target.fact()) {
        let losses =
            over_classes(&|l, k| weight_of(k) * (target.f64(lines.at(l, k)) * (1.0 - smoothing) + smoothing / classes));
        let sum = losses.to_f64s().into_iter().sum::<f64>();
        return Ok(match c.int("reduction")? {
            0 => losses,
            1 => one(sum / lines.count as f64),
            _ => one(sum),
        });
    }
    let (loss, total) = nll(c, &logs)?;
    if smoothing == 0.0 {
        return Ok(loss);
    }
    let ignored = c.int("ignore_index")?;
    let smooth = over_classes(&|l, k| if target.i64(l) == ignored { 0.0 } else { weight_of(k) });
    let smooth = match c.int("reduction")? {
        0 => smooth,
        r => one(smooth.to_f64s().into_iter().sum::<f64>() / if r == 1 { total } else { 1.0 }),
    };
    binary(&loss, &smooth, |l, s| (1.0 - smoothing) * l + s * (smoothing / classes))
}
