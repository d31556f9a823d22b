//! Normalisation over batches, layers, groups and instances. Statistics are computed in two passes, in f64.

use crate::host::{self, binary, rounded, widened};
use crate::{Call, OpDef, OpError, Tensor, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)", fused_rms_fact, fused_rms),
    OpDef::formula("_batch_norm_with_update_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor running_mean_out, Tensor running_var_out)", |b, c| {
        let mut args = c.args.to_vec();
        args.insert(5, Arg::Bool(true));
        let mut results = b.with_defaults("aten._native_batch_norm_legit_functional.default", args)?;
        // What PyTorch reserves for its backward kernels: nothing, on a CPU.
        let zero = b.constant(0.0, DType::U8)?;
        results.insert(3.min(results.len()), b.expand(zero, &[Dim::ZERO])?);
        Ok(results)
    }),
    OpDef::new("_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)", |c| batch_fact(c, Stats::Saved), |c| batch(c, Stats::Saved)),
    OpDef::new("_native_batch_norm_legit_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor running_mean_out, Tensor running_var_out)", |c| batch_fact(c, Stats::Running), |c| batch(c, Stats::Running)),
    OpDef::new("_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor)", |c| batch_fact(c, Stats::Saved), |c| batch(c, Stats::Saved)),
    rounded!("_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor", |c| Ok(vec![c.tensor("v")?.clone()]), weight_norm),
    OpDef::new("batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor", |c| batch_fact(c, Stats::None), |c| batch(c, Stats::None)),
    rounded!("group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor", same_as_input, |c| Ok(group(c, c.int("num_groups")?)?.0)),
    rounded!("instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor", same_as_input, instance),
    rounded!("layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor", layer_fact, |c| Ok(layer(c)?.0)),
    OpDef::new("native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)", |c| batch_fact(c, Stats::Saved), |c| batch(c, Stats::Saved)),
    OpDef::new("native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps) -> (Tensor, Tensor, Tensor)", native_group_fact, native_group),
    OpDef::new("native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)", native_layer_fact, native_layer),
    rounded!("rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", layer_fact, |c| Ok(rms(c)?.0)),
];

type Facts<'a> = Call<'a, Fact>;
type Host<'a> = Call<'a, Tensor>;

/// What a batch norm returns besides the result.
#[derive(Clone, Copy, PartialEq)]
enum Stats {
    None,
    /// Mean and inverse deviation of this batch (empty outside of training).
    Saved,
    /// Those, and the new running mean and variance.
    Running,
}

fn same_as_input(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![c.tensor("input")?.clone()])
}

/// Whether this call takes the statistics of the batch.
pub fn trains<T>(c: &Call<'_, T>) -> Result<bool, OpError> {
    Ok(c.op.schema.position("training").is_some() && c.bool("training")?)
}

/// The dtype of the statistics of a batch: the input's, or for half precision the weight's.
pub fn stats_dtype(input: DType, weight: Option<DType>) -> DType {
    match input {
        DType::F16 | DType::BF16 => weight.unwrap_or(input),
        other => other,
    }
}

/// A batch without elements and without a channel dimension.
pub fn has_no_channels(x: &Fact) -> bool {
    x.rank() < 2 && x.numel().is_zero()
}

fn batch_fact(c: &Facts<'_>, stats: Stats) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("input")?;
    // Without elements there is nothing to normalise, and PyTorch asks for no channels.
    let none = has_no_channels(x).then_some(&Dim::ZERO);
    let channels = x.shape.get(1).or(none);
    let channels = channels.ok_or_else(|| OpError::Unsupported("a batch norm without a channel dimension".into()))?;
    let mut out = vec![x.clone()];
    if stats != Stats::None {
        let weight = c.opt_tensor("weight")?.map(|w| w.dtype);
        let size = if trains(c)? { channels.clone() } else { Dim::int(0) };
        let saved = Fact::new(stats_dtype(x.dtype, weight), vec![size]);
        out.extend([saved.clone(), saved]);
    }
    if stats == Stats::Running {
        out.extend([c.tensor("running_mean")?.clone(), c.tensor("running_var")?.clone()]);
    }
    Ok(out)
}

/// Mean and population variance over dimensions, kept with size 1.
fn moments(x: &Tensor, dims: &[usize]) -> Result<(Tensor, Tensor), OpError> {
    let mean = host::mean(x, dims, true);
    let centred = binary(x, &mean, |x, m| (x - m) * (x - m))?;
    Ok((mean, host::mean(&centred, dims, true)))
}

/// `(x - mean) / sqrt(var + eps)`.
fn normalised(x: &Tensor, mean: &Tensor, var: &Tensor, eps: f64) -> Result<Tensor, OpError> {
    binary(&binary(x, mean, |x, m| x - m)?, &host::map(var, |v| 1.0 / (v + eps).sqrt()), |x, s| x * s)
}

/// A per-channel vector as `[1, C, 1, …]` of this rank.
fn channelwise(v: &Tensor, rank: usize) -> Result<Tensor, OpError> {
    let mut shape = vec![1; rank.max(2)];
    shape[1] = v.numel();
    v.cast(DType::F64).reshape(&shape)
}

/// `y · weight + bias`, both optional.
fn affine(y: Tensor, weight: Option<Tensor>, bias: Option<Tensor>) -> Result<Tensor, OpError> {
    let y = match weight {
        Some(w) => binary(&y, &w, |y, w| y * w)?,
        None => y,
    };
    match bias {
        Some(b) => binary(&y, &b, |y, b| y + b),
        None => Ok(y),
    }
}

fn channel_affine(c: &Host<'_>, y: Tensor) -> Result<Tensor, OpError> {
    let rank = y.rank();
    let get = |name: &str| c.opt_tensor(name)?.map(|v| channelwise(v, rank)).transpose();
    affine(y, get("weight")?, get("bias")?)
}

fn batch(c: &Host<'_>, stats: Stats) -> Result<Vec<Tensor>, OpError> {
    let input = c.tensor("input")?;
    let facts = host::inferred(c)?;
    if has_no_channels(&input.fact()) {
        let saved = facts.iter().skip(1).take(2).map(|fact| Tensor::from_f64(fact.dtype, &[0], &[]));
        let running = ["running_mean", "running_var"].iter().take(facts.len().saturating_sub(3));
        let running = running.map(|name| c.tensor(name).cloned()).collect::<Result<Vec<_>, _>>()?;
        return Ok([input.clone()].into_iter().chain(saved).chain(running).collect());
    }
    let (x, eps) = (widened(input), c.float("eps")?);
    let dims: Vec<usize> = (0..x.rank()).filter(|&d| d != 1).collect();
    let training = trains(c)?;
    let has_running = c.op.schema.position("running_mean").is_some();
    let (mean, var) = if training {
        moments(&x, &dims)?
    } else {
        let stat = |name: &str| {
            let given = if has_running { c.opt_tensor(name)? } else { None };
            channelwise(
                given.ok_or_else(|| OpError::invalid("a batch norm outside of training needs statistics"))?,
                x.rank(),
            )
        };
        (stat("running_mean")?, stat("running_var")?)
    };
    let mut out = vec![channel_affine(c, normalised(&x, &mean, &var, eps)?)?.cast(input.dtype())];
    if stats == Stats::None {
        return Ok(out);
    }
    let saved = facts[1].dtype;
    if training {
        let flat = |t: &Tensor| t.reshape(&[t.numel()]);
        out.push(flat(&mean)?.cast(saved));
        out.push(flat(&host::map(&var, |v| 1.0 / (v + eps).sqrt()))?.cast(saved));
    } else {
        out.extend([Tensor::from_f64(saved, &[0], &[]), Tensor::from_f64(saved, &[0], &[])]);
    }
    if stats == Stats::Running {
        let (old_mean, old_var) = (c.tensor("running_mean")?, c.tensor("running_var")?);
        let momentum = c.float("momentum")?;
        let count = x.numel() as f64 / mean.numel().max(1) as f64;
        let blend = |old: &Tensor, new: &Tensor, factor: f64| {
            let values: Vec<f64> =
                (0..old.numel()).map(|i| (1.0 - momentum) * old.f64(i) + momentum * factor * new.f64(i)).collect();
            Tensor::from_f64(old.dtype(), old.shape(), &values)
        };
        if training {
            // The running variance is of the sample.
            out.push(blend(old_mean, &mean, 1.0));
            out.push(blend(old_var, &var, count / (count - 1.0)));
        } else {
            out.extend([old_mean.clone(), old_var.clone()]);
        }
    }
    Ok(out)
}

/// The trailing dimensions that a layer norm covers.
fn layer_dims<T>(c: &Call<'_, T>, rank: usize) -> Result<Vec<usize>, OpError> {
    let count = c.dims("normalized_shape")?.len();
    let first = rank.checked_sub(count).filter(|_| count > 0);
    Ok((first.ok_or_else(|| OpError::invalid("the normalised shape does not fit the input"))?..rank).collect())
}

fn layer_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("input")?;
    layer_dims(c, x.rank())?;
    Ok(vec![x.clone()])
}

fn native_layer_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("input")?;
    let dims = layer_dims(c, x.rank())?;
    let kept = x.shape.iter().enumerate().map(|(d, n)| if dims.contains(&d) { Dim::int(1) } else { n.clone() });
    // On the CPU statistics have the input's dtype, or that of weights in higher precision.
    let weight = c.opt_tensor("weight")?.map(|w| w.dtype);
    let dtype = match weight {
        Some(w) if x.dtype != w => w,
        _ => x.dtype,
    };
    let stats = Fact::new(dtype, kept.collect::<Vec<_>>());
    Ok(vec![x.clone(), stats.clone(), stats])
}

/// Result, mean and inverse deviation, in f64.
fn layer(c: &Host<'_>) -> Result<(Tensor, Tensor, Tensor), OpError> {
    let (x, eps) = (widened(c.tensor("input")?), c.float("eps")?);
    let dims = layer_dims(c, x.rank())?;
    let (mean, var) = moments(&x, &dims)?;
    let get = |name: &str| Ok::<_, OpError>(c.opt_tensor(name)?.map(widened));
    let y = affine(normalised(&x, &mean, &var, eps)?, get("weight")?, get("bias")?)?;
    Ok((y, mean, host::map(&var, |v| 1.0 / (v + eps).sqrt())))
}

fn native_layer(c: &Host<'_>) -> Result<Vec<Tensor>, OpError> {
    let facts = host::inferred(c)?;
    let (y, mean, rstd) = layer(c)?;
    Ok(vec![y.cast(facts[0].dtype), mean.cast(facts[1].dtype), rstd.cast(facts[2].dtype)])
}

/// The epsilon of an RMS norm: given, or that of the dtype it is computed in.
pub fn rms_epsilon<T>(c: &Call<'_, T>, dtype: DType) -> Result<f64, OpError> {
    Ok(c.opt_float("eps")?.unwrap_or(if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }))
}

fn rms(c: &Host<'_>) -> Result<(Tensor, Tensor), OpError> {
    let input = c.tensor("input")?;
    let x = widened(input);
    let dims = layer_dims(c, x.rank())?;
    let eps = rms_epsilon(c, input.dtype())?;
    let mean = host::mean(&host::map(&x, |v| v * v), &dims, true);
    let scale = host::map(&mean, |m| 1.0 / (m + eps).sqrt());
    let y = binary(&x, &scale, |x, s| x * s)?;
    Ok((affine(y, c.opt_tensor("weight")?.map(widened), None)?, scale))
}

fn fused_rms_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("input")?;
    let dims = layer_dims(c, x.rank())?;
    let kept = x.shape.iter().enumerate().map(|(d, n)| if dims.contains(&d) { Dim::int(1) } else { n.clone() });
    Ok(vec![
        x.clone(),
        Fact::new(if x.dtype == DType::F64 { DType::F64 } else { DType::F32 }, kept.collect::<Vec<_>>()),
    ])
}

fn fused_rms(c: &Host<'_>) -> Result<Vec<Tensor>, OpError> {
    let facts = host::inferred(c)?;
    let (y, scale) = rms(c)?;
    Ok(vec![y.cast(facts[0].dtype), scale.cast(facts[1].dtype)])
}

/// Result, means and inverse deviations by `[batch, group]`, in f64.
fn group(c: &Host<'_>, groups: i64) -> Result<(Tensor, Tensor, Tensor), OpError> {
    let x = widened(c.tensor("input")?);
    let (&[n, channels, ..], Ok(groups)) = (x.shape(), usize::try_from(groups)) else {
        return Err(OpError::invalid("a group norm needs a batch and a channel dimension"));
    };
    if groups == 0 || channels % groups != 0 {
        return Err(OpError::Invalid(format!("{channels} channels do not make {groups} groups")));
    }
    let eps = c.float("eps")?;
    let each = x.numel() / (n * groups).max(1);
    let grouped = x.reshape(&[n, groups, each])?;
    let (mean, var) = moments(&grouped, &[2])?;
    let y = normalised(&grouped, &mean, &var, eps)?.reshape(x.shape())?;
    let rstd = host::map(&var, |v| 1.0 / (v + eps).sqrt());
    Ok((channel_affine(c, y)?, mean.reshape(&[n, groups])?, rstd.reshape(&[n, groups])?))
}

fn native_group_fact(c: &Facts<'_>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("input")?;
    let weight = c.opt_tensor("weight")?.map(|w| w.dtype);
    let dtype = weight.unwrap_or(x.dtype);
    let stats = Fact::new(dtype, vec![c.dim("N")?, Dim::int(c.int("group")?)]);
    Ok(vec![x.clone(), stats.clone(), stats])
}

fn native_group(c: &Host<'_>) -> Result<Vec<Tensor>, OpError> {
    let facts = host::inferred(c)?;
    let (y, mean, rstd) = group(c, c.int("group")?)?;
    Ok(vec![y.cast(facts[0].dtype), mean.cast(facts[1].dtype), rstd.cast(facts[2].dtype)])
}

fn instance(c: &Host<'_>) -> Result<Tensor, OpError> {
    let (x, eps) = (widened(c.tensor("input")?), c.float("eps")?);
    let (mean, var) = if c.bool("use_input_stats")? {
        moments(&x, &(2..x.rank()).collect::<Vec<_>>())?
    } else {
        let stat = |name: &str| {
            let given = c.opt_tensor(name)?;
            channelwise(given.ok_or_else(|| OpError::invalid("an instance norm needs statistics"))?, x.rank())
        };
        (stat("running_mean")?, stat("running_var")?)
    };
    channel_affine(c, normalised(&x, &mean, &var, eps)?)
}

/// `v · g / ‖v‖`, the norm over all dimensions but `dim` (-1: over all).
fn weight_norm(c: &Host<'_>) -> Result<Tensor, OpError> {
    let (v, g) = (widened(c.tensor("v")?), c.tensor("g")?);
    let dims: Vec<usize> = match c.int("dim")? {
        -1 => (0..v.rank()).collect(),
        d => {
            let dim = wrap_dim(d, v.rank())?;
            (0..v.rank()).filter(|&d| d != dim).collect()
        }
    };
    let norm = host::map(&host::sum(&host::map(&v, |x| x * x), &dims, true), f64::sqrt);
    binary(&v, &binary(g, &norm, |g, n| g / n)?, |v, s| v * s)
}
