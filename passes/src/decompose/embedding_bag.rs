//! Bags of embeddings: membership of indices in bags as a matrix.

use super::common::{opt_tensor, outputs, tensor, wide};
use super::{Builder, Decomposition, Val};
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::embedding_bag::{Mode, is_fast, mode_of, padding_of};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._embedding_bag.default", bag),
    ("aten._embedding_bag_forward_only.default", bag),
    ("aten.embedding_bag.default", bag),
    ("aten.embedding_bag.padding_idx", bag),
];

fn bag(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let facts = outputs(b, c)?;
    let (w, indices, offsets) = (tensor(c, "weight")?, tensor(c, "indices")?, tensor(c, "offsets")?);
    let (dtype, compute) = (b.dtype(w), wide(b.dtype(w)));
    let rows = b.shape(w).first().cloned().unwrap_or_default();
    let indices = b.cast(indices, DType::I64)?;
    let offsets = b.cast(offsets, DType::I64)?;
    let count = b.fact(indices).numel();
    let [bags, width] = &facts[0].shape[..] else { return Err(OpError::invalid("an embedding bag is a matrix")) };
    // The bag of an index: how many offsets lie at or before it, less one.
    let at = b.iota(&count, DType::I64)?;
    let at = b.unsqueeze(at, 1)?;
    let begun = b.ge(at, offsets)?;
    let begun = b.cast(begun, DType::I64)?;
    let begun = b.reduce(begun, &[1], "sum")?;
    let one = b.constant(1.0, DType::I64)?;
    let covered = b.ge(begun, one)?;
    b.assert(covered, "embedding_bag: the first offset must be 0")?;
    let of = b.sub(begun, one)?;
    let each = b.iota(bags, DType::I64)?;
    let each = b.unsqueeze(each, 1)?;
    let mut member = b.eq(each, of)?;
    if let Some(padding) = padding_of(c, &rows)? {
        let padding = b.constant_dim(&padding, DType::I64)?;
        let real = b.ne(indices, padding)?;
        member = b.and(member, real)?;
    }
    let taken = b.take(w, indices, 0)?;
    let mut values = b.cast(taken, compute)?;
    if let Some(s) = opt_tensor(c, "per_sample_weights")? {
        let s = b.cast(s, compute)?;
        let s = b.unsqueeze(s, 1)?;
        values = b.mul(values, s)?;
    }
    let sizes = b.cast(member, DType::I64)?;
    let sizes = b.reduce(sizes, &[1], "sum")?;
    let mode = mode_of(c)?;
    let out = match mode {
        Mode::Sum | Mode::Mean => {
            let weights = b.cast(member, compute)?;
            let sum = b.matmul(weights, values)?;
            if mode == Mode::Mean {
                let filled = b.max(sizes, one)?;
                let filled = b.cast(filled, compute)?;
                let filled = b.unsqueeze(filled, 1)?;
                b.div(sum, filled)?
            } else {
                sum
            }
        }
        Mode::Max => {
            let lowest = b.scalar_like(&Arg::Float(f64::NEG_INFINITY), compute)?;
            let member = b.unsqueeze(member, 2)?;
            let inside = b.where_(member, values, lowest)?;
            let top = b.reduce(inside, &[1], "max")?;
            let zero = b.constant(0.0, DType::I64)?;
            let empty = b.eq(sizes, zero)?;
            let empty = b.unsqueeze(empty, 1)?;
            let none = b.constant(0.0, compute)?;
            b.where_(empty, none, top)?
        }
    };
    let out = b.reshape(out, &[bags.clone(), width.clone()])?;
    let out = b.cast(out, dtype)?;
    // Bookkeeping that only the backward pass reads.
    let list = facts[1].dtype;
    let zero = b.constant(0.0, list)?;
    let fast = mode == Mode::Sum && is_fast(c, dtype, &rows)?;
    let (of, sizes) = if fast {
        (b.expand(zero, &facts[1].shape)?, b.expand(zero, &facts[2].shape)?)
    } else {
        (b.cast(of, list)?, b.cast(sizes, list)?)
    };
    let largest = b.expand(zero, &facts[3].shape)?;
    Ok(vec![out, of, sizes, largest])
}
