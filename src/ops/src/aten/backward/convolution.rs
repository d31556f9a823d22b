//! Gradients of convolution and attention.

use crate::formula::{Sheet, Term, formula};
use crate::shape::spread;
use crate::{Builder, Call, OpDef, OpError, Val};
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::formula(
        "convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
        convolution,
    ),
    formula!(
        "_scaled_dot_product_flash_attention_for_cpu_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, float dropout_p, bool is_causal, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)",
        |s, c| attention(s, c)?
    ),
];

fn convolution(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let [g, x, w] = ["grad_output", "input", "weight"].map(|n| c.tensor(n).copied());
    let (g, x, w) = (g?, x?, w?);
    let spatial = b.rank(x).checked_sub(2).ok_or_else(|| OpError::invalid("convolution of less than 3 dimensions"))?;
    let list = |name: &str| spread(&c.dims(name)?, spatial, name);
    let (stride, padding, dilation) = (list("stride")?, list("padding")?, list("dilation")?);
    let (transposed, groups) = (c.bool("transposed")?, c.dim("groups")?);
    let (xs, ws, gs) = (b.shape(x), b.shape(w), b.shape(g));
    // The size that the transposed product reaches by itself, and what is missing.
    let mut missing = Vec::new();
    for d in 0..spatial {
        let reach = (&gs[2 + d] - 1) * &stride[d] - &padding[d] * 2 + (&ws[2 + d] - 1) * &dilation[d] + 1;
        missing.push(b.scope().simplify(&(&xs[2 + d] - reach)));
    }
    let lists = [stride.clone(), padding.clone(), dilation.clone()].map(Arg::Ints);
    let back = [Arg::Bool(!transposed), Arg::Ints(if transposed { vec![Dim::ZERO; spatial] } else { missing })];
    let args = [Arg::Tensor(g), Arg::Tensor(w), Arg::None].into_iter().chain(lists).chain(back);
    let dx = b.one("aten.convolution.default", args.chain([Arg::Int(groups.clone())]).collect())?;
    let dx = sliced(b, dx, &xs[2..])?;
    // The roles of input and output are exchanged in a transposed convolution.
    let (input, output) = if transposed { (g, x) } else { (x, g) };
    let dw = weight(b, input, output, &ws, [&stride, &padding, &dilation], &groups)?;
    let dims: Vec<usize> = (0..gs.len()).filter(|&d| d != 1).collect();
    let db = b.reduce(g, &dims, "sum")?;
    Ok(vec![dx, dw, db])
}

/// The leading elements of the spatial dimensions.
fn sliced(b: &mut Builder<'_>, x: Val, spatial: &[Dim]) -> Result<Val, OpError> {
    (0..spatial.len()).try_fold(x, |x, d| b.slice_dim(x, 2 + d, &Dim::ZERO, &spatial[d], 1))
}

/// The correlation of input and gradient: the batch is contracted, groups are kept apart.
fn weight(
    b: &mut Builder<'_>,
    x: Val,
    g: Val,
    shape: &[Dim],
    [stride, padding, dilation]: [&[Dim]; 3],
    groups: &Dim,
) -> Result<Val, OpError> {
    let (xs, gs) = (b.shape(x), b.shape(g));
    let (each_in, each_out) = (xs[1].floor_div(groups), gs[1].floor_div(groups));
    let n = &xs[0];
    let space = |rank: usize| 3..rank + 1;
    // [N, G, C/G, …] → [C/G, G·N, …]
    let x5 = b.reshape(x, &[&[n.clone(), groups.clone(), each_in.clone()], &xs[2..]].concat())?;
    let order: Vec<usize> = [2, 1, 0].into_iter().chain(space(xs.len())).collect();
    let x5 = b.permute(x5, &order)?;
    let x5 = b.reshape(x5, &[&[each_in.clone(), groups * n], &xs[2..]].concat())?;
    // [N, G, K/G, …] → [G·K/G, N, …]
    let g5 = b.reshape(g, &[&[n.clone(), groups.clone(), each_out.clone()], &gs[2..]].concat())?;
    let order: Vec<usize> = [1, 2, 0].into_iter().chain(space(gs.len())).collect();
    let g5 = b.permute(g5, &order)?;
    let g5 = b.reshape(g5, &[&[gs[1].clone(), n.clone()], &gs[2..]].concat())?;
    // [C/G, G·K/G, …]
    let w = b.conv(x5, g5, dilation, padding, padding, stride, groups)?;
    let w = sliced(b, w, &shape[2..])?;
    b.transpose(w, 0, 1)
}

fn attention<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    if c.float("dropout_p")? != 0.0 {
        return Err(OpError::Unsupported("the gradient of attention with dropout: export with dropout 0".into()));
    }
    let inputs = ["query", "key", "value"].map(|n| s.arg(c, n));
    let dtype = inputs[0].wide().dtype();
    let [q, k, v] = inputs.map(|t| t.cast(dtype));
    let g = s.arg(c, "grad_out").cast(dtype);
    let depth = q.shape().last().cloned().unwrap_or(Dim::ONE);
    let scale = match c.opt_float("scale")? {
        Some(scale) => s.number(scale, dtype),
        None => s.size(&depth, dtype).rsqrt(),
    };
    let mut scores = q.matmul(k.mt()) * scale;
    if c.bool("is_causal")? {
        let size = |t: Term<'_>| t.shape().iter().rev().nth(1).cloned().unwrap_or(Dim::ONE);
        let rows = s.iota(&size(q), pt2c_ir::DType::I64).unsqueeze(1);
        let columns = s.iota(&size(k), pt2c_ir::DType::I64);
        scores = columns.le(rows).pick(scores, f64::NEG_INFINITY);
    }
    if c.opt_tensor("attn_mask")?.is_some() {
        scores = scores + s.arg(c, "attn_mask").cast(dtype);
    }
    let last = [scores.rank().saturating_sub(1)];
    let high = scores.then(|b, v| b.keepdim_reduce(v, &last, "max"));
    let weights = (scores - high).exp();
    let p = weights / weights.sum(&last, true);
    let dp = g.matmul(v.mt());
    let ds = p * (dp - (dp * p).sum(&last, true)) * scale;
    let results = [ds.matmul(k), ds.mt().matmul(q), p.mt().matmul(g)];
    Ok(results.iter().zip(inputs).map(|(r, t)| r.cast(t.dtype())).collect())
}
