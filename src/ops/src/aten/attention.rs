//! Scaled dot-product attention.

use super::linear::multiply;
use super::softmax::softmax;
use crate::host::{self, binary, rounded, widened};
use crate::{Call, OpDef, OpError, Tensor, shape};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_scaled_dot_product_attention_math(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, Tensor? dropout_mask=None, *, float? scale=None, bool enable_gqa=False) -> (Tensor, Tensor)", math_fact, math),
    OpDef::new("_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool is_causal=False, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor output, Tensor logsumexp)", flash_fact, flash),
    rounded!("scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor", infer, |c| Ok(attend(c, true)?.0)),
];

/// Whether dropout would change the result; it is only drawn while training.
fn no_dropout<T>(c: &Call<'_, T>) -> Result<(), OpError> {
    if c.float("dropout_p")? != 0.0 {
        return Err(OpError::Unsupported("attention with dropout: export the model in evaluation mode".into()));
    }
    Ok(())
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    no_dropout(c)?;
    let (q, k, v) = (c.tensor("query")?, c.tensor("key")?, c.tensor("value")?);
    if q.rank() < 2 || k.rank() < 2 || v.rank() < 2 {
        return Err(OpError::invalid("attention needs operands of at least two dimensions"));
    }
    let last = q.rank() - 2;
    let outer = |x: &Fact, kept: usize| x.shape[..x.rank().saturating_sub(kept)].to_vec();
    // Grouped heads are as many as the query's; everything in front of them broadcasts.
    let kept = if gqa(c)? { 3 } else { 2 };
    let mut shape = shape::broadcast_all(c.scope, [&outer(q, kept)[..], &outer(k, kept), &outer(v, kept)])?;
    if kept == 3 {
        shape.extend(q.rank().checked_sub(3).map(|d| q.shape[d].clone()));
    }
    if let Some(mask) = c.opt_tensor("attn_mask")? {
        shape = shape::broadcast(c.scope, &shape, &outer(mask, 2))?;
    }
    shape.extend([q.shape[last].clone(), v.shape[v.rank() - 1].clone()]);
    Ok(vec![Fact::new(q.dtype, shape)])
}

fn gqa<T>(c: &Call<'_, T>) -> Result<bool, OpError> {
    Ok(c.op.schema.position("enable_gqa").is_some() && c.bool("enable_gqa")?)
}

fn math_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut out = infer(c)?;
    let (q, k) = (c.tensor("query")?, c.tensor("key")?);
    let mut weights = q.clone();
    weights.shape[q.rank() - 1] = k.shape[k.rank() - 2].clone();
    out.push(weights);
    Ok(out)
}

fn flash_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut out = infer(c)?;
    let q = c.tensor("query")?;
    let [b, h, l, _] = &q.shape[..] else { return Err(OpError::invalid("flash attention needs four dimensions")) };
    let dtype = if q.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    out.push(Fact::new(dtype, vec![b.clone(), h.clone(), l.clone()]));
    Ok(out)
}

/// The factor of the scores: given, or `1/√E`.
pub fn scale_of<T>(c: &Call<'_, T>, e: &Dim) -> Result<f64, OpError> {
    match (c.opt_float("scale")?, e.as_int()) {
        (Some(s), _) => Ok(s),
        (None, Some(e)) => Ok(1.0 / (e as f64).sqrt()),
        _ => Err(OpError::Unsupported("attention over a feature size that depends on the input".into())),
    }
}

/// Heads repeated to as many as the query has.
fn repeated(x: &Tensor, heads: usize) -> Result<Tensor, OpError> {
    let at = x.rank() - 3;
    let own = x.shape()[at];
    let order: Vec<usize> = (0..heads).map(|h| h * own / heads.max(1)).collect();
    let index = Tensor::from_i64(DType::I64, &[heads], &order.iter().map(|&i| i as i64).collect::<Vec<_>>());
    host::call1(
        "prim.take",
        vec![pt2c_ir::Arg::Tensor(x.clone()), pt2c_ir::Arg::Tensor(index), pt2c_ir::Arg::Int(Dim::int(at as i64))],
    )
}

/// Result, weights and log of the sum of exponentials of each row, in f64. Rows masked everywhere are zero where
/// `safe`, NaN otherwise.
fn attend(c: &Call<'_, Tensor>, safe: bool) -> Result<(Tensor, Tensor, Tensor), OpError> {
    no_dropout(c)?;
    let (q, mut k, mut v) = (widened(c.tensor("query")?), widened(c.tensor("key")?), widened(c.tensor("value")?));
    if gqa(c)? && q.rank() > 2 {
        let heads = q.shape()[q.rank() - 3];
        (k, v) = (repeated(&k, heads)?, repeated(&v, heads)?);
    }
    let scale = scale_of(c, &Dim::int(q.shape()[q.rank() - 1] as i64))?;
    let mut order: Vec<usize> = (0..k.rank()).collect();
    order.swap(k.rank() - 2, k.rank() - 1);
    let mut scores = host::map(&multiply(&q, &k.permute(&order))?, |s| s * scale);
    if let Some(mask) = c.opt_tensor("attn_mask")? {
        let bool_mask = mask.dtype() == DType::Bool;
        scores = binary(&scores, mask, |s, m| match bool_mask {
            true if m == 0.0 => f64::NEG_INFINITY,
            true => s,
            false => s + m,
        })?;
    }
    let (rows, columns) = (scores.shape()[scores.rank() - 2], scores.shape()[scores.rank() - 1]);
    if c.bool("is_causal")? {
        scores = Tensor::from_fn(DType::F64, scores.shape(), |i| {
            let (row, column) = (i / columns % rows, i % columns);
            if column > row { crate::Scalar::Float(f64::NEG_INFINITY) } else { scores.get(i) }
        });
    }
    let mut logs = Vec::new();
    let weights = host::map_lines(&scores, DType::F64, scores.rank() - 1, |line| {
        let top = line.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        logs.push(line.iter().map(|x| (x - top).exp()).sum::<f64>().ln() + top);
        if safe && top == f64::NEG_INFINITY && !line.iter().any(|x| x.is_nan()) {
            line.fill(0.0);
        } else {
            softmax(line);
        }
    });
    let logs = Tensor::from_f64(DType::F64, &scores.shape()[..scores.rank() - 1], &logs);
    Ok((multiply(&weights, &v)?, weights, logs))
}

fn math(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let dtype = c.tensor("query")?.dtype();
    let (out, weights, _) = attend(c, true)?;
    Ok(vec![out.cast(dtype), weights.cast(dtype)])
}

fn flash(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let facts = host::inferred(c)?;
    let (out, _, logs) = attend(c, true)?;
    Ok(vec![out.cast(facts[0].dtype), logs.cast(facts[1].dtype)])
}
