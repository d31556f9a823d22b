//! Losses.

use super::common::{modulus, opt_tensor, outputs, plus, tensor, times, wide};
use super::softmax::log_softmax;
use super::{Builder, Decomposition, Val};
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::aten::loss::is_probability;
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.binary_cross_entropy.default", cross_entropy_of_probabilities),
    ("aten.binary_cross_entropy_with_logits.default", cross_entropy_of_logits),
    ("aten.cosine_embedding_loss.default", cosine),
    ("aten.cross_entropy_loss.default", cross_entropy),
    ("aten.hinge_embedding_loss.default", hinge),
    ("aten.huber_loss.default", huber_loss),
    ("aten.kl_div.default", kl_div),
    ("aten.l1_loss.default", l1),
    ("aten.margin_ranking_loss.default", ranking),
    ("aten.mse_loss.default", mse),
    ("aten.nll_loss.default", |b, c| Ok(nll_call(b, c)?.into_iter().take(1).collect())),
    ("aten.nll_loss2d.default", |b, c| Ok(nll_call(b, c)?.into_iter().take(1).collect())),
    ("aten.nll_loss2d_forward.default", nll_call),
    ("aten.nll_loss_forward.default", nll_call),
    ("aten.nll_loss_nd.default", |b, c| Ok(nll_call(b, c)?.into_iter().take(1).collect())),
    ("aten.poisson_nll_loss.default", poisson),
    ("aten.smooth_l1_loss.default", smooth_l1),
    ("aten.soft_margin_loss.default", soft_margin),
    ("aten.triplet_margin_loss.default", triplet),
];

/// The fact of the result and the dtype it is computed in.
fn result(b: &Builder<'_>, c: &Call<'_, Val>) -> Result<(Fact, DType), OpError> {
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let compute = wide(out.dtype);
    Ok((out, compute))
}

/// Two operands in the dtype they are computed in.
fn pair(b: &mut Builder<'_>, c: &Call<'_, Val>, x: &str, y: &str) -> Result<(Val, Val), OpError> {
    let (_, mut compute) = result(b, c)?;
    // Distances of complex numbers are real.
    let given = b.result_type(c, &[x, y])?;
    if given.is_complex() {
        compute = given;
    }
    Ok((b.cast(tensor(c, x)?, compute)?, b.cast(tensor(c, y)?, compute)?))
}

/// The reduction the call asks for, in the result's dtype.
fn finish(b: &mut Builder<'_>, c: &Call<'_, Val>, losses: Val) -> Outputs {
    let (out, compute) = result(b, c)?;
    let reduction = c.int("reduction")?;
    let mut y = losses;
    if reduction != 0 {
        let count = b.fact(losses).numel();
        let dims: Vec<usize> = (0..b.rank(losses)).collect();
        y = b.reduce(losses, &dims, "sum")?;
        if reduction == 1 {
            let count = b.constant_dim(&count, compute)?;
            y = if compute.is_float() { b.div(y, count)? } else { b.div_trunc(y, count)? };
        }
    }
    let y = b.cast(y, out.dtype)?;
    Ok(vec![b.reshape(y, &out.shape)?])
}

fn difference(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Val, OpError> {
    let (x, t) = pair(b, c, "self", "target")?;
    b.sub(x, t)
}

fn mse(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let d = difference(b, c)?;
    let losses = b.mul(d, d)?;
    finish(b, c, losses)
}

fn l1(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let d = difference(b, c)?;
    let losses = modulus(b, d)?;
    finish(b, c, losses)
}

/// Quadratic up to `delta`, linear behind.
fn huber(b: &mut Builder<'_>, d: Val, delta: f64) -> Result<Val, OpError> {
    let dtype = b.dtype(d);
    let d = b.abs(d)?;
    let limit = b.constant(delta, dtype)?;
    let small = b.lt(d, limit)?;
    let square = b.mul(d, d)?;
    let square = times(b, square, 0.5)?;
    let line = plus(b, d, -0.5 * delta)?;
    let line = times(b, line, delta)?;
    b.where_(small, square, line)
}

fn huber_loss(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let d = difference(b, c)?;
    let losses = huber(b, d, c.float("delta")?)?;
    finish(b, c, losses)
}

fn smooth_l1(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let beta = c.float("beta")?;
    if beta == 0.0 {
        return l1(b, c);
    }
    let d = difference(b, c)?;
    let losses = huber(b, d, beta)?;
    let losses = times(b, losses, 1.0 / beta)?;
    finish(b, c, losses)
}

fn weighted(b: &mut Builder<'_>, c: &Call<'_, Val>, losses: Val) -> Result<Val, OpError> {
    let dtype = b.dtype(losses);
    match b.opt_operand(c, "weight", dtype)? {
        Some(w) => b.mul(losses, w),
        None => Ok(losses),
    }
}

fn cross_entropy_of_probabilities(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, t) = pair(b, c, "self", "target")?;
    let dtype = b.dtype(x);
    let (least, one) = (b.constant(-100.0, dtype)?, b.constant(1.0, dtype)?);
    let yes = b.log(x)?;
    let yes = b.max(yes, least)?;
    let negative = b.neg(x)?;
    let no = b.log1p(negative)?;
    let no = b.max(no, least)?;
    let rest = b.sub(one, t)?;
    let (yes, no) = (b.mul(t, yes)?, b.mul(rest, no)?);
    let sum = b.add(yes, no)?;
    let losses = b.neg(sum)?;
    let losses = weighted(b, c, losses)?;
    finish(b, c, losses)
}

/// `log(1 + e^x)` without overflow: `max(x, 0) + log1p(e^-|x|)`.
fn softplus(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    let zero = b.constant(0.0, dtype)?;
    let size = b.abs(x)?;
    let size = b.neg(size)?;
    let exp = b.exp(size)?;
    let small = b.log1p(exp)?;
    let large = b.max(x, zero)?;
    b.add(large, small)
}

fn cross_entropy_of_logits(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, t) = pair(b, c, "self", "target")?;
    let dtype = b.dtype(x);
    let one = b.constant(1.0, dtype)?;
    let rest = b.sub(one, t)?;
    let linear = b.mul(rest, x)?;
    let negative = b.neg(x)?;
    let mut log = softplus(b, negative)?;
    if let Some(w) = b.opt_operand(c, "pos_weight", dtype)? {
        let w = b.sub(w, one)?;
        let w = b.mul(w, t)?;
        let w = b.add(w, one)?;
        log = b.mul(log, w)?;
    }
    let losses = b.add(linear, log)?;
    let losses = weighted(b, c, losses)?;
    finish(b, c, losses)
}

fn kl_div(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, t) = pair(b, c, "self", "target")?;
    let losses = if c.bool("log_target")? {
        let (p, d) = (b.exp(t)?, b.sub(t, x)?);
        b.mul(p, d)?
    } else {
        // t·log t is 0 at 0.
        let dtype = b.dtype(t);
        let zero = b.constant(0.0, dtype)?;
        let none = b.eq(t, zero)?;
        let log = b.log(t)?;
        let entropy = b.mul(t, log)?;
        let entropy = b.where_(none, zero, entropy)?;
        let cross = b.mul(t, x)?;
        b.sub(entropy, cross)?
    };
    finish(b, c, losses)
}

/// In the operands' own dtype, in which PyTorch's exponential overflows.
fn soft_margin(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (out, compute) = result(b, c)?;
    let (x, t) = (b.cast(tensor(c, "self")?, out.dtype)?, b.cast(tensor(c, "target")?, out.dtype)?);
    let product = b.mul(x, t)?;
    let product = b.neg(product)?;
    let power = b.exp(product)?;
    let losses = b.log1p(power)?;
    let losses = b.cast(losses, compute)?;
    finish(b, c, losses)
}

fn poisson(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, t) = pair(b, c, "input", "target")?;
    let dtype = b.dtype(x);
    let mut losses = if c.bool("log_input")? {
        let (exp, product) = (b.exp(x)?, b.mul(t, x)?);
        b.sub(exp, product)?
    } else {
        let log = plus(b, x, c.float("eps")?)?;
        let log = b.log(log)?;
        let product = b.mul(t, log)?;
        b.sub(x, product)?
    };
    if c.bool("full")? {
        // Stirling's formula for log t!.
        let (one, zero) = (b.constant(1.0, dtype)?, b.constant(0.0, dtype)?);
        let log = b.log(t)?;
        let product = b.mul(t, log)?;
        let product = b.sub(product, t)?;
        let root = times(b, t, 2.0 * std::f64::consts::PI)?;
        let root = b.log(root)?;
        let root = times(b, root, 0.5)?;
        let stirling = b.add(product, root)?;
        let large = b.gt(t, one)?;
        let stirling = b.where_(large, stirling, zero)?;
        losses = b.add(losses, stirling)?;
    }
    finish(b, c, losses)
}

fn hinge(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, t) = pair(b, c, "self", "target")?;
    let dtype = b.dtype(x);
    let (one, minus, zero) = (b.constant(1.0, dtype)?, b.constant(-1.0, dtype)?, b.constant(0.0, dtype)?);
    let margin = b.constant(c.float("margin")?, dtype)?;
    let apart = b.sub(margin, x)?;
    let apart = b.max(apart, zero)?;
    let (not_same, not_other) = (b.ne(t, one)?, b.ne(t, minus)?);
    let apart = b.where_(not_same, apart, zero)?;
    let near = b.where_(not_other, x, zero)?;
    let losses = b.add(apart, near)?;
    finish(b, c, losses)
}

fn ranking(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y) = pair(b, c, "input1", "input2")?;
    let dtype = b.dtype(x);
    let t = b.cast(tensor(c, "target")?, dtype)?;
    let d = b.sub(x, y)?;
    let product = b.mul(t, d)?;
    let margin = b.constant(c.float("margin")?, dtype)?;
    let zero = b.constant(0.0, dtype)?;
    let losses = b.sub(margin, product)?;
    let losses = b.max(losses, zero)?;
    finish(b, c, losses)
}

fn cosine(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    const EPS: f64 = 1e-12;
    let (x, y) = pair(b, c, "input1", "input2")?;
    let dtype = b.dtype(x);
    let t = b.cast(tensor(c, "target")?, dtype)?;
    let last = b.rank(x).max(b.rank(y)).saturating_sub(1);
    let dot = |b: &mut Builder<'_>, p: Val, q: Val| -> Result<Val, OpError> {
        let products = b.mul(p, q)?;
        b.reduce(products, &[last], "sum")
    };
    let shared = dot(b, x, y)?;
    let squares = |b: &mut Builder<'_>, v: Val| -> Result<Val, OpError> {
        let own = b.mul(v, v)?;
        let own_last = b.rank(v) - 1;
        let sum = b.reduce(own, &[own_last], "sum")?;
        plus(b, sum, EPS)
    };
    let (p, q) = (squares(b, x)?, squares(b, y)?);
    let lengths = b.mul(p, q)?;
    let lengths = b.sqrt(lengths)?;
    let cosine = b.div(shared, lengths)?;
    let (one, minus, zero) = (b.constant(1.0, dtype)?, b.constant(-1.0, dtype)?, b.constant(0.0, dtype)?);
    let same = b.sub(one, cosine)?;
    let other = plus(b, cosine, -c.float("margin")?)?;
    let other = b.max(other, zero)?;
    let (is_same, is_other) = (b.eq(t, one)?, b.eq(t, minus)?);
    let losses = b.where_(is_other, other, zero)?;
    let losses = b.where_(is_same, same, losses)?;
    finish(b, c, losses)
}

fn triplet(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (anchor, positive) = pair(b, c, "anchor", "positive")?;
    let (_, negative) = pair(b, c, "anchor", "negative")?;
    let (p, eps) = (c.arg("p")?.clone(), c.arg("eps")?.clone());
    let distance = |b: &mut Builder<'_>, x: Val, y: Val| {
        let args = vec![Arg::Tensor(x), Arg::Tensor(y), p.clone(), eps.clone(), Arg::Bool(false)];
        b.one("aten.pairwise_distance.default", args)
    };
    let near = distance(b, anchor, positive)?;
    let mut far = distance(b, anchor, negative)?;
    if c.bool("swap")? {
        let other = distance(b, positive, negative)?;
        far = b.min(far, other)?;
    }
    let losses = b.sub(near, far)?;
    let losses = plus(b, losses, c.float("margin")?)?;
    let dtype = b.dtype(losses);
    let zero = b.constant(0.0, dtype)?;
    let losses = b.max(losses, zero)?;
    finish(b, c, losses)
}

/// Scores with the classes last, `[…, C]`.
fn classes_last(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let rank = b.rank(x);
    if rank < 3 {
        return Ok(x);
    }
    let order: Vec<usize> = (0..rank).filter(|&d| d != 1).chain([1]).collect();
    b.permute(x, &order)
}

/// Negative log-likelihoods of the target classes by element, and the weight of each: both 0 where ignored.
fn nll_elements(b: &mut Builder<'_>, c: &Call<'_, Val>, logs: Val) -> Result<(Val, Val), OpError> {
    let dtype = b.dtype(logs);
    let target = b.cast(tensor(c, "target")?, DType::I64)?;
    let ignored = b.constant_dim(&c.dim("ignore_index")?, DType::I64)?;
    let counts = b.ne(target, ignored)?;
    let first = b.constant(0.0, DType::I64)?;
    let safe = b.where_(counts, target, first)?;
    let last = b.rank(target);
    let index = b.unsqueeze(safe, last)?;
    let picked = b.gather(logs, index, last)?;
    let picked = b.squeeze(picked, last)?;
    let one = b.constant(1.0, dtype)?;
    let weight = match b.opt_operand(c, "weight", dtype)? {
        Some(w) => b.take(w, safe, 0)?,
        None => one,
    };
    let zero = b.constant(0.0, dtype)?;
    let weight = b.where_(counts, weight, zero)?;
    let losses = b.mul(picked, weight)?;
    let losses = b.neg(losses)?;
    Ok((b.where_(counts, losses, zero)?, weight))
}

fn total(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let dims: Vec<usize> = (0..b.rank(x)).collect();
    b.reduce(x, &dims, "sum")
}

/// The reduced loss and the total weight.
fn nll(b: &mut Builder<'_>, c: &Call<'_, Val>, logs: Val) -> Result<(Val, Val), OpError> {
    let (losses, weights) = nll_elements(b, c, logs)?;
    let dtype = b.dtype(losses);
    Ok(match c.int("reduction")? {
        0 => (losses, b.constant(0.0, dtype)?),
        reduction => {
            let (sum, weight) = (total(b, losses)?, total(b, weights)?);
            (if reduction == 1 { b.div(sum, weight)? } else { sum }, weight)
        }
    })
}

fn nll_call(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (out, compute) = result(b, c)?;
    let x = b.cast(tensor(c, "self")?, compute)?;
    let x = classes_last(b, x)?;
    let (loss, weight) = nll(b, c, x)?;
    Ok(vec![b.cast(loss, out.dtype)?, b.cast(weight, out.dtype)?])
}

fn cross_entropy(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (out, compute) = result(b, c)?;
    let (input, target) = (tensor(c, "self")?, tensor(c, "target")?);
    let x = b.cast(input, compute)?;
    let x = classes_last(b, x)?;
    let last = b.rank(x) - 1;
    let logs = log_softmax(b, x, last)?;
    let shape = b.shape(x);
    let classes = b.constant_dim(&shape[last], compute)?;
    let smoothing = c.float("label_smoothing")?;
    let reduction = c.int("reduction")?;
    let weight = opt_tensor(c, "weight")?.map(|w| b.cast(w, compute)).transpose()?;
    // Losses against every class: -Σ weight·probability·log.
    let against = |b: &mut Builder<'_>, probability: Option<Val>| -> Result<Val, OpError> {
        let mut terms = logs;
        for factor in [probability, weight].into_iter().flatten() {
            terms = b.mul(terms, factor)?;
        }
        let sum = b.reduce(terms, &[last], "sum")?;
        b.neg(sum)
    };
    if is_probability(&b.fact(input), &b.fact(target)) {
        let mut p = b.cast(target, compute)?;
        p = classes_last(b, p)?;
        if smoothing > 0.0 {
            let amount = b.constant(smoothing, compute)?;
            let share = b.div(amount, classes)?;
            p = times(b, p, 1.0 - smoothing)?;
            p = b.add(p, share)?;
        }
        let losses = against(b, Some(p))?;
        return finish(b, c, losses);
    }
    let (mut loss, weights) = nll(b, c, logs)?;
    if smoothing > 0.0 {
        let ignored = b.constant_dim(&c.dim("ignore_index")?, DType::I64)?;
        let target = b.cast(target, DType::I64)?;
        let counts = b.ne(target, ignored)?;
        let zero = b.constant(0.0, compute)?;
        let smooth = against(b, None)?;
        let mut smooth = b.where_(counts, smooth, zero)?;
        if reduction != 0 {
            smooth = total(b, smooth)?;
        }
        if reduction == 1 {
            smooth = b.div(smooth, weights)?;
        }
        let amount = b.constant(smoothing, compute)?;
        let share = b.div(amount, classes)?;
        let smooth = b.mul(smooth, share)?;
        loss = times(b, loss, 1.0 - smoothing)?;
        loss = b.add(loss, smooth)?;
    }
    let loss = b.reshape(loss, &out.shape)?;
    Ok(vec![b.cast(loss, out.dtype)?])
}
