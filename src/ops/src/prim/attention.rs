//! Scaled dot-product attention as one primitive: found by `decompose` or kept from the model, tiled by lowering.

use super::contraction::matmul;
use crate::{Call, OpDef, OpError, Tensor, shape};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] = &[OpDef::new(
    "attention(Tensor q, Tensor k, Tensor v, Tensor? mask, float scale, bool causal) -> Tensor",
    infer_attention,
    attention,
)];

fn infer_attention(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (q, k, v) = (c.tensor("q")?, c.tensor("k")?, c.tensor("v")?);
    let wrong = || OpError::Invalid(format!("{q}, {k} and {v} are no operands of an attention"));
    let ([batch @ .., heads, l, e], [.., shared, s, e2], [.., shared2, s2, ev]) =
        (q.shape.as_slice(), k.shape.as_slice(), v.shape.as_slice())
    else {
        return Err(wrong());
    };
    let differ = |a: &Dim, b: &Dim| c.scope.prove_eq(a, b).is_no();
    if q.dtype != k.dtype
        || q.dtype != v.dtype
        || differ(e, e2)
        || differ(s, s2)
        || differ(shared, shared2)
        || c.scope.prove_divisible(heads, shared).is_no()
    {
        return Err(wrong());
    }
    if let Some(mask) = c.opt_tensor("mask")?
        && mask.dtype != DType::Bool
        && mask.dtype != q.dtype
    {
        return Err(OpError::Invalid(format!("a mask of {} for an attention of {}", mask.dtype, q.dtype)));
    }
    let mut shape = batch.to_vec();
    shape.extend([heads.clone(), l.clone(), ev.clone()]);
    Ok(vec![Fact::new(q.dtype, shape)])
}

/// Each head of `k` or `v` repeated for the query heads that share it.
fn repeat_heads(x: &Tensor, heads: usize) -> Result<Tensor, OpError> {
    let at = x.rank() - 3;
    let own = x.shape().get(at).copied().unwrap_or(1).max(1);
    if own == heads {
        return Ok(x.clone());
    }
    let (mut split, mut joined) = (x.shape().to_vec(), x.shape().to_vec());
    split.insert(at + 1, 1);
    if let Some(n) = joined.get_mut(at) {
        *n = heads;
    }
    let x = x.reshape(&split)?;
    if let Some(n) = split.get_mut(at + 1) {
        *n = heads / own;
    }
    x.broadcast_to(&split)?.reshape(&joined)
}

/// `softmax(q·kᵀ·scale + mask)·v` in f64, rounded once; a row that is masked everywhere is zero.
fn attention(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (q, k, v) = (c.tensor("q")?, c.tensor("k")?, c.tensor("v")?);
    let (dtype, scale, causal) = (q.dtype(), c.float("scale")?, c.bool("causal")?);
    let ([.., heads, l, _], [.., s, _]) = (q.shape(), k.shape()) else {
        return Err(OpError::invalid("an attention needs three dimensions"));
    };
    let (l, s) = (*l, *s);
    if k.rank() < 3 || v.rank() < 3 {
        return Err(OpError::invalid("an attention needs three dimensions"));
    }
    let q = q.cast(DType::F64);
    let k = repeat_heads(&k.cast(DType::F64), *heads)?;
    let v = repeat_heads(&v.cast(DType::F64), *heads)?;
    let mut transposed: Vec<usize> = (0..k.rank()).collect();
    transposed.swap(k.rank() - 2, k.rank() - 1);
    let scores = matmul(&q, &k.permute(&transposed))?;
    let mut shape = scores.shape().to_vec();
    if let Some(mask) = c.opt_tensor("mask")? {
        shape = shape::broadcast_known(&[&shape, mask.shape()])?;
    }
    let mut values = scores.broadcast_to(&shape)?.to_f64s();
    values.iter_mut().for_each(|x| *x *= scale);
    if let Some(mask) = c.opt_tensor("mask")? {
        let mask = mask.broadcast_to(&shape)?;
        for (i, x) in values.iter_mut().enumerate() {
            match mask.get(i) {
                crate::Scalar::Bool(true) => {}
                crate::Scalar::Bool(false) => *x = f64::NEG_INFINITY,
                other => *x += other.to_f64(),
            }
        }
    }
    for (row, x) in values.chunks_mut(s.max(1)).enumerate() {
        if causal && l > 0 {
            x.iter_mut().skip(row % l + 1).for_each(|x| *x = f64::NEG_INFINITY);
        }
        let top = x.iter().copied().fold(f64::NEG_INFINITY, crate::special::max);
        if top == f64::NEG_INFINITY {
            x.fill(0.0);
            continue;
        }
        x.iter_mut().for_each(|x| *x = (*x - top).exp());
        let sum: f64 = x.iter().sum();
        x.iter_mut().for_each(|x| *x /= sum);
    }
    let weights = Tensor::floats(DType::F64, &shape, values);
    Ok(vec![matmul(&weights, &v)?.cast(dtype)])
}
