//! Normalisation. Means and variances in two passes; narrower floats are computed in f32.

use super::common::{channelwise, mean, opt_tensor, outputs, plus, tensor, times, wide, widened};
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::norm::{has_no_channels, rms_epsilon, trains};
use pt2c_ops::{Call, OpError, wrap_dim};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._fused_rms_norm.default", rms),
    ("aten._native_batch_norm_legit.no_stats", batch),
    ("aten._native_batch_norm_legit_functional.default", batch),
    ("aten._native_batch_norm_legit_no_training.default", batch),
    ("aten._weight_norm.default", weight_norm),
    ("aten.batch_norm.default", batch),
    ("aten.group_norm.default", group),
    ("aten.instance_norm.default", instance),
    ("aten.layer_norm.default", layer),
    ("aten.native_batch_norm.default", batch),
    ("aten.native_group_norm.default", group),
    ("aten.native_layer_norm.default", layer),
    ("aten.rms_norm.default", rms),
];

/// `x` less its mean over dimensions, the mean, and the variance.
fn centred(b: &mut Builder<'_>, x: Val, dims: &[usize]) -> Result<(Val, Val, Val), OpError> {
    let average = mean(b, x, dims)?;
    let centred = b.sub(x, average)?;
    let squares = b.mul(centred, centred)?;
    let var = mean(b, squares, dims)?;
    Ok((centred, average, var))
}

fn inverse_deviation(b: &mut Builder<'_>, var: Val, eps: f64) -> Result<Val, OpError> {
    let var = plus(b, var, eps)?;
    b.rsqrt(var)
}

/// `y · weight + bias`, both optional and already of the shape and dtype of `y`'s computation.
fn affine(b: &mut Builder<'_>, y: Val, weight: Option<Val>, bias: Option<Val>) -> Result<Val, OpError> {
    let y = match weight {
        Some(w) => b.mul(y, w)?,
        None => y,
    };
    match bias {
        Some(v) => b.add(y, v),
        None => Ok(y),
    }
}

/// An optional per-channel argument as `[1, C, 1, …]`.
fn channel_arg(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    name: &str,
    rank: usize,
    dtype: DType,
) -> Result<Option<Val>, OpError> {
    if c.op.schema.position(name).is_none() {
        return Ok(None);
    }
    opt_tensor(c, name)?.map(|v| channelwise(b, v, rank, dtype)).transpose()
}

fn needed(v: Option<Val>) -> Result<Val, OpError> {
    v.ok_or_else(|| OpError::invalid("a norm outside of training needs statistics"))
}

fn batch(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "input")?;
    let facts = outputs(b, c)?;
    if has_no_channels(&b.fact(input)) {
        let mut out = vec![input];
        for saved in facts.iter().skip(1).take(2) {
            let none = b.constant(0.0, saved.dtype)?;
            out.push(b.expand(none, &saved.shape)?);
        }
        for name in ["running_mean", "running_var"].iter().take(facts.len().saturating_sub(3)) {
            out.push(tensor(c, name)?);
        }
        return Ok(out);
    }
    let (rank, dtype) = (b.rank(input), b.dtype(input));
    let compute = wide(dtype);
    let eps = c.float("eps")?;
    let x = b.cast(input, compute)?;
    let weight = channel_arg(b, c, "weight", rank, compute)?;
    let bias = channel_arg(b, c, "bias", rank, compute)?;
    if !trains(c)? {
        let mean = needed(channel_arg(b, c, "running_mean", rank, compute)?)?;
        let var = needed(channel_arg(b, c, "running_var", rank, compute)?)?;
        // One factor and one addend per channel, from constants alone, so that they fold into what comes before.
        let mut scale = inverse_deviation(b, var, eps)?;
        if let Some(w) = weight {
            scale = b.mul(scale, w)?;
        }
        let shift = b.mul(mean, scale)?;
        let shift = match bias {
            Some(v) => b.sub(v, shift)?,
            None => b.neg(shift)?,
        };
        let y = b.mul(x, scale)?;
        let y = b.add(y, shift)?;
        let mut out = vec![b.cast(y, dtype)?];
        if let Some(saved) = facts.get(1) {
            let none = b.constant(0.0, saved.dtype)?;
            let none = b.expand(none, &saved.shape)?;
            out.extend([none, none]);
        }
        if facts.len() > 3 {
            out.extend([tensor(c, "running_mean")?, tensor(c, "running_var")?]);
        }
        return Ok(out);
    }
    let dims: Vec<usize> = (0..rank).filter(|&d| d != 1).collect();
    let (centred, average, var) = centred(b, x, &dims)?;
    let rstd = inverse_deviation(b, var, eps)?;
    let y = b.mul(centred, rstd)?;
    let y = affine(b, y, weight, bias)?;
    let mut out = vec![b.cast(y, dtype)?];
    let Some(saved) = facts.get(1) else { return Ok(out) };
    for stat in [average, rstd] {
        let flat = b.reshape(stat, &saved.shape)?;
        out.push(b.cast(flat, saved.dtype)?);
    }
    if let (Some(mean_fact), Some(var_fact)) = (facts.get(3), facts.get(4)) {
        let momentum = c.float("momentum")?;
        let shape = b.shape(x);
        let count = dims.iter().fold(Dim::ONE, |n, &d| &n * &shape[d]);
        let (all, less) = (b.constant_dim(&count, compute)?, b.constant_dim(&(&count - &Dim::ONE), compute)?);
        // The running variance is of the sample: n / (n - 1).
        let bessel = b.div(all, less)?;
        let sample = b.mul(var, bessel)?;
        for (new, name, fact) in [(average, "running_mean", mean_fact), (sample, "running_var", var_fact)] {
            let new = b.reshape(new, &fact.shape)?;
            let old = b.cast(tensor(c, name)?, compute)?;
            let (new, old) = (times(b, new, momentum)?, times(b, old, 1.0 - momentum)?);
            let blended = b.add(old, new)?;
            out.push(b.cast(blended, fact.dtype)?);
        }
    }
    Ok(out)
}

/// The trailing dimensions a norm covers.
fn trailing(b: &Builder<'_>, c: &Call<'_, Val>, x: Val) -> Result<Vec<usize>, OpError> {
    let rank = b.rank(x);
    let first = rank.checked_sub(c.dims("normalized_shape")?.len());
    Ok((first.ok_or_else(|| OpError::invalid("the normalised shape does not fit the input"))?..rank).collect())
}

fn layer(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "input")?;
    let facts = outputs(b, c)?;
    let x = widened(b, input)?;
    let dims = trailing(b, c, x)?;
    let (centred, average, var) = centred(b, x, &dims)?;
    let rstd = inverse_deviation(b, var, c.float("eps")?)?;
    let y = b.mul(centred, rstd)?;
    let compute = b.dtype(x);
    let (weight, bias) = (b.opt_operand(c, "weight", compute)?, b.opt_operand(c, "bias", compute)?);
    let y = affine(b, y, weight, bias)?;
    [y, average, rstd].into_iter().zip(&facts).map(|(v, fact)| b.cast(v, fact.dtype)).collect()
}

fn rms(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "input")?;
    let facts = outputs(b, c)?;
    let x = widened(b, input)?;
    let dims = trailing(b, c, x)?;
    let squares = b.mul(x, x)?;
    let average = mean(b, squares, &dims)?;
    let scale = inverse_deviation(b, average, rms_epsilon(c, b.dtype(input))?)?;
    let y = b.mul(x, scale)?;
    let compute = b.dtype(x);
    let weight = b.opt_operand(c, "weight", compute)?;
    let y = affine(b, y, weight, None)?;
    [y, scale].into_iter().zip(&facts).map(|(v, fact)| b.cast(v, fact.dtype)).collect()
}

fn group(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "input")?;
    let facts = outputs(b, c)?;
    let groups = c.int(if c.op.schema.position("group").is_some() { "group" } else { "num_groups" })?;
    let x = widened(b, input)?;
    let shape = b.shape(x);
    let [n, channels, rest @ ..] = &shape[..] else {
        return Err(OpError::invalid("a group norm needs a batch and a channel dimension"));
    };
    if groups < 1 {
        return Err(OpError::invalid("a group norm needs a positive number of groups"));
    }
    let groups = Dim::int(groups);
    // The plane keeps its dimensions, so that a channels-last value can be followed.
    let mut split = vec![n.clone(), groups.clone(), channels.floor_div(&groups)];
    split.extend(rest.iter().cloned());
    let grouped = b.reshape(x, &split)?;
    let (centred, average, var) = centred(b, grouped, &(2..split.len()).collect::<Vec<_>>())?;
    let rstd = inverse_deviation(b, var, c.float("eps")?)?;
    let y = b.mul(centred, rstd)?;
    let y = b.reshape(y, &shape)?;
    let (rank, compute) = (shape.len(), b.dtype(x));
    let weight = channel_arg(b, c, "weight", rank, compute)?;
    let bias = channel_arg(b, c, "bias", rank, compute)?;
    let y = affine(b, y, weight, bias)?;
    let mut out = vec![b.cast(y, b.dtype(input))?];
    for (stat, fact) in [average, rstd].into_iter().zip(facts.iter().skip(1)) {
        let stat = b.reshape(stat, &fact.shape)?;
        out.push(b.cast(stat, fact.dtype)?);
    }
    Ok(out)
}

fn instance(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "input")?;
    let x = widened(b, input)?;
    let (rank, compute) = (b.rank(x), b.dtype(x));
    let eps = c.float("eps")?;
    let (centred, var) = if c.bool("use_input_stats")? {
        let (centred, _, var) = centred(b, x, &(2..rank).collect::<Vec<_>>())?;
        (centred, var)
    } else {
        let mean = needed(channel_arg(b, c, "running_mean", rank, compute)?)?;
        let var = needed(channel_arg(b, c, "running_var", rank, compute)?)?;
        (b.sub(x, mean)?, var)
    };
    let rstd = inverse_deviation(b, var, eps)?;
    let y = b.mul(centred, rstd)?;
    let weight = channel_arg(b, c, "weight", rank, compute)?;
    let bias = channel_arg(b, c, "bias", rank, compute)?;
    let y = affine(b, y, weight, bias)?;
    Ok(vec![b.cast(y, b.dtype(input))?])
}

fn weight_norm(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let v = tensor(c, "v")?;
    let rank = b.rank(v);
    let dims: Vec<usize> = match c.int("dim")? {
        -1 => (0..rank).collect(),
        d => {
            let dim = wrap_dim(d, rank)?;
            (0..rank).filter(|&d| d != dim).collect()
        }
    };
    let x = widened(b, v)?;
    let compute = b.dtype(x);
    let squares = b.mul(x, x)?;
    let norm = b.keepdim_reduce(squares, &dims, "sum")?;
    let norm = b.sqrt(norm)?;
    let g = b.cast(tensor(c, "g")?, compute)?;
    let factor = b.div(g, norm)?;
    let y = b.mul(x, factor)?;
    Ok(vec![b.cast(y, b.dtype(v))?])
}
