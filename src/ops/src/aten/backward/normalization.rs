//! Gradients of normalisation. A gradient that is not asked for is computed all the same: nothing reads it.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "native_layer_norm_backward(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
        |s, c| layer(s, c)?
    ),
    formula!(
        "native_group_norm_backward(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor? weight, SymInt N, SymInt C, SymInt HxW, int group, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
        |s, c| group(s, c)?
    ),
    formula!(
        "native_batch_norm_backward(Tensor grad_out, Tensor input, Tensor? weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_invstd, bool train, float eps, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
        |s, c| batch(s, c, "save_invstd", c.bool("train")?)?
    ),
    formula!(
        "batch_norm_backward(Tensor grad_out, Tensor input, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, bool update, float eps, bool[3] output_mask, Tensor reserve) -> (Tensor, Tensor, Tensor)",
        |s, c| batch(s, c, "save_var", c.bool("update")?)?
    ),
];

fn count(shape: &[Dim], dims: &[usize]) -> Dim {
    dims.iter().filter_map(|&d| shape.get(d)).fold(Dim::ONE, |n, d| &n * d)
}

fn layer<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let input = s.arg(c, "input");
    let x = input.wide();
    let g = s.arg(c, "grad_out").cast(x.dtype());
    let first = x.rank().saturating_sub(c.dims("normalized_shape")?.len());
    let (outer, inner): (Vec<usize>, Vec<usize>) = (0..x.rank()).partition(|&d| d < first);
    let rstd = s.arg(c, "rstd").cast(x.dtype());
    let unit = (x - s.arg(c, "mean").cast(x.dtype())) * rstd;
    let scaled = match c.opt_tensor("weight")? {
        Some(_) => g * s.arg(c, "weight").cast(x.dtype()),
        None => g,
    };
    let n = s.size(&count(&x.shape(), &inner), x.dtype());
    let slope = scaled * n - scaled.sum(&inner, true) - unit * (scaled * unit).sum(&inner, true);
    let parts = [rstd / n * slope, (g * unit).sum(&outer, false), g.sum(&outer, false)];
    Ok(parts.map(|t| t.cast(input.dtype())).to_vec())
}

fn group<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let input = s.arg(c, "input");
    let (n, channels, area, groups) = (c.dim("N")?, c.dim("C")?, c.dim("HxW")?, Dim::int(c.int("group")?));
    let each = channels.floor_div(&groups);
    let dtype = input.wide().dtype();
    let split = [n.clone(), groups.clone(), each.clone(), area.clone()];
    let x = input.cast(dtype).reshape(&split);
    let g = s.arg(c, "grad_out").cast(dtype).reshape(&split);
    let line = [n, groups.clone(), Dim::ONE, Dim::ONE];
    let (mean, rstd) = (s.arg(c, "mean").cast(dtype).reshape(&line), s.arg(c, "rstd").cast(dtype).reshape(&line));
    let unit = (x - mean) * rstd;
    let scaled = match c.opt_tensor("weight")? {
        Some(_) => g * s.arg(c, "weight").cast(dtype).reshape(&[Dim::ONE, groups, each.clone(), Dim::ONE]),
        None => g,
    };
    let size = s.size(&(&each * &area), dtype);
    let slope = scaled - (scaled.sum(&[2, 3], true) + unit * (scaled * unit).sum(&[2, 3], true)) / size;
    let line = [channels];
    let parts = [
        (rstd * slope).reshape(&input.shape()),
        (g * unit).sum(&[0, 3], false).reshape(&line),
        g.sum(&[0, 3], false).reshape(&line),
    ];
    Ok(parts.map(|t| t.cast(input.dtype())).to_vec())
}

fn batch<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, saved: &str, train: bool) -> Result<Vec<Term<'s>>, OpError> {
    let input = s.arg(c, "input");
    let x = input.wide();
    let g = s.arg(c, "grad_out").cast(x.dtype());
    let dims: Vec<usize> = (0..x.rank()).filter(|&d| d != 1).collect();
    let mut line = vec![Dim::ONE; x.rank()];
    if let (Some(to), Some(n)) = (line.get_mut(1), x.shape().get(1)) {
        *to = n.clone();
    }
    let channel = |name: &str| s.arg(c, name).cast(x.dtype()).reshape(&line);
    let (mean, rstd) = if train {
        (channel("save_mean"), channel(saved))
    } else {
        (channel("running_mean"), (channel("running_var") + c.float("eps")?).rsqrt())
    };
    let centred = x - mean;
    let (sum, dot) = (g.sum(&dims, true), (g * centred).sum(&dims, true));
    let scale = if c.opt_tensor("weight")?.is_some() { rstd * channel("weight") } else { rstd };
    let slope = if train {
        let n = s.size(&count(&x.shape(), &dims), x.dtype());
        g - sum / n - centred * (dot / n * rstd * rstd)
    } else {
        g
    };
    let flat = |t: Term<'s>| t.then(|b, v| b.reshape(v, &line[1..2])).cast(scale.dtype());
    Ok(vec![(slope * scale).cast(input.dtype()), flat(dot * rstd), flat(sum)])
}
