//! Attention: kept whole as `prim.attention`, unless the number of features depends on the input.

use super::common::{opt_tensor, outputs, tensor, wide};
use super::linear::matmul;
use super::softmax;
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::aten::attention::scale_of;
use pt2c_ops::shape::broadcast;
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._scaled_dot_product_attention_math.default", math),
    ("aten._scaled_dot_product_flash_attention_for_cpu.default", flash),
    ("aten.scaled_dot_product_attention.default", |b, c| Ok(vec![attention(b, c)?])),
];

/// The last of the operand's feature sizes.
fn features(b: &Builder<'_>, q: Val) -> Result<Dim, OpError> {
    b.shape(q).last().cloned().ok_or_else(|| OpError::invalid("attention needs operands with dimensions"))
}

fn attention(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Val, OpError> {
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let (mut q, mut k, mut v) = (tensor(c, "query")?, tensor(c, "key")?, tensor(c, "value")?);
    if !features(b, q)?.is_int() || !features(b, v)?.is_int() {
        return written_out(b, c, &out);
    }
    let scale = scale_of(c, &features(b, q)?)?;
    // The primitive has a dimension of heads, which key and value may have fewer of, and equal batch dimensions.
    let mask = opt_tensor(c, "attn_mask")?;
    let operands: Vec<Val> = [q, k, v].into_iter().chain(mask).collect();
    let rank = operands.iter().map(|x| b.rank(*x)).fold(3, usize::max);
    let grouped = c.op.schema.position("enable_gqa").is_some() && c.bool("enable_gqa")?;
    let mut lead: Vec<Dim> = Vec::new();
    let outer = |shape: Vec<Dim>| -> Vec<Dim> { shape[..shape.len().saturating_sub(2)].to_vec() };
    for &x in &operands {
        let mut own = outer(b.shape(x));
        if grouped {
            own.pop();
            own.push(Dim::ONE);
        }
        lead = broadcast(c.scope, &lead, &own)?;
    }
    let lead = [vec![Dim::ONE; rank - 2 - lead.len()], lead].concat();
    for x in [&mut q, &mut k, &mut v] {
        let shape = b.shape(*x);
        let mut wanted = lead.clone();
        if grouped {
            // Each operand keeps its own number of heads.
            if let (Some(heads), Some(last)) =
                (shape.len().checked_sub(3).and_then(|d| shape.get(d)), wanted.last_mut())
            {
                *last = heads.clone();
            }
        }
        wanted.extend(shape[shape.len().saturating_sub(2)..].iter().cloned());
        *x = b.expand(*x, &wanted)?;
    }
    let mask = match mask {
        Some(m) if b.dtype(m) != DType::Bool => Some(b.cast(m, b.dtype(q))?),
        other => other,
    };
    let y = b.attention(q, k, v, mask, scale, c.bool("is_causal")?)?;
    b.reshape(y, &out.shape)
}

/// `softmax(scores)·v`, where rows that are masked everywhere are zero.
fn written_out(b: &mut Builder<'_>, c: &Call<'_, Val>, out: &Fact) -> Result<Val, OpError> {
    let (q, v) = (tensor(c, "query")?, tensor(c, "value")?);
    let s = scores(b, c)?;
    let (last, compute) = (b.rank(s) - 1, b.dtype(s));
    let top = b.keepdim_reduce(s, &[last], "max")?;
    let lowest = b.scalar_like(&Arg::Float(f64::NEG_INFINITY), compute)?;
    let hidden = b.eq(top, lowest)?;
    let weights = softmax::softmax(b, s, last)?;
    let zero = b.constant(0.0, compute)?;
    let weights = b.where_(hidden, zero, weights)?;
    let v = with_heads_of(b, v, q)?;
    let v = b.cast(v, compute)?;
    let y = matmul(b, weights, v)?;
    let y = b.cast(y, out.dtype)?;
    b.reshape(y, &out.shape)
}

/// Keys or values whose heads several heads of the queries share, one for each of those.
fn with_heads_of(b: &mut Builder<'_>, x: Val, q: Val) -> Result<Val, OpError> {
    let (own, wanted) = (b.shape(x), b.shape(q));
    let ([lead @ .., heads, n, features], [.., all, _, _]) = (&own[..], &wanted[..]) else { return Ok(x) };
    if heads == all || heads.is_one() || all.is_one() {
        return Ok(x);
    }
    let each = all.floor_div(heads);
    let x = b.unsqueeze(x, lead.len() + 1)?;
    let x = b.expand(x, &[lead, &[heads.clone(), each, n.clone(), features.clone()]].concat())?;
    b.reshape(x, &[lead, &[all.clone(), n.clone(), features.clone()]].concat())
}

/// The factor of the scores.
fn factor(b: &mut Builder<'_>, c: &Call<'_, Val>, q: Val, dtype: DType) -> Result<Val, OpError> {
    let features = features(b, q)?;
    if features.is_int() || c.opt_float("scale")?.is_some() {
        return b.constant(scale_of(c, &features)?, dtype);
    }
    let features = b.constant_dim(&features, DType::I64)?;
    let features = b.cast(features, dtype)?;
    b.rsqrt(features)
}

/// `q·kᵀ·scale` with masks added, in the wide dtype.
fn scores(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Val, OpError> {
    let (q, k) = (tensor(c, "query")?, tensor(c, "key")?);
    let compute = wide(b.dtype(q));
    let factor = factor(b, c, q, compute)?;
    let k = with_heads_of(b, k, q)?;
    let (q, k) = (b.cast(q, compute)?, b.cast(k, compute)?);
    let rank = b.rank(k);
    if rank < 2 {
        return Err(OpError::invalid("attention needs operands of at least two dimensions"));
    }
    let k = b.transpose(k, rank - 2, rank - 1)?;
    let s = matmul(b, q, k)?;
    let mut s = b.mul(s, factor)?;
    let lowest = b.scalar_like(&Arg::Float(f64::NEG_INFINITY), compute)?;
    if let Some(m) = opt_tensor(c, "attn_mask")? {
        s = if b.dtype(m) == DType::Bool {
            b.where_(m, s, lowest)?
        } else {
            let m = b.cast(m, compute)?;
            b.add(s, m)?
        };
    }
    if c.bool("is_causal")? {
        let shape = b.shape(s);
        let (rows, columns) =
            (b.iota(&shape[shape.len() - 2], DType::I64)?, b.iota(&shape[shape.len() - 1], DType::I64)?);
        let rows = b.unsqueeze(rows, 1)?;
        let seen = b.le(columns, rows)?;
        s = b.where_(seen, s, lowest)?;
    }
    Ok(s)
}

fn ungrouped(c: &Call<'_, Val>) -> Result<(), OpError> {
    if c.op.schema.position("enable_gqa").is_some() && c.bool("enable_gqa")? {
        return Err(OpError::Unsupported("the weights of an attention with grouped heads".into()));
    }
    Ok(())
}

fn math(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    ungrouped(c)?;
    let dtype = b.dtype(tensor(c, "query")?);
    let out = attention(b, c)?;
    let s = scores(b, c)?;
    let last = b.rank(s) - 1;
    let weights = softmax::softmax(b, s, last)?;
    Ok(vec![out, b.cast(weights, dtype)?])
}

fn flash(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let facts = outputs(b, c)?;
    let out = attention(b, c)?;
    let s = scores(b, c)?;
    let last = b.rank(s) - 1;
    let top = b.keepdim_reduce(s, &[last], "max")?;
    let below = b.sub(s, top)?;
    let exp = b.exp(below)?;
    let sum = b.reduce(exp, &[last], "sum")?;
    let log = b.log(sum)?;
    let top = b.squeeze(top, last)?;
    let logs = b.add(log, top)?;
    let dtype = facts.get(1).map_or(DType::F32, |f| f.dtype);
    Ok(vec![out, b.cast(logs, dtype)?])
}
