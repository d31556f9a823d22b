//! Bags of embeddings: rows of a table summed, averaged or maximised over segments of a list of indices.

use super::index::taken;
use crate::{Call, OpDef, OpError, Tensor, host};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1) -> (Tensor, Tensor, Tensor, Tensor)", infer, eval),
    OpDef::new("_embedding_bag_forward_only(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1) -> (Tensor, Tensor, Tensor, Tensor)", infer, eval),
    OpDef::new("embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False) -> (Tensor, Tensor, Tensor, Tensor)", infer, eval),
    OpDef::new("embedding_bag.padding_idx(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq, int mode, bool sparse, Tensor? per_sample_weights, bool include_last_offset, int? padding_idx) -> (Tensor, Tensor, Tensor, Tensor)", infer, eval),
];

/// How the rows of a bag combine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Sum,
    Mean,
    Max,
}

/// The mode of a call.
pub fn mode_of<T>(c: &Call<'_, T>) -> Result<Mode, OpError> {
    match c.int("mode")? {
        0 => Ok(Mode::Sum),
        1 => Ok(Mode::Mean),
        2 => Ok(Mode::Max),
        other => Err(OpError::Invalid(format!("there is no embedding bag mode {other}"))),
    }
}

/// The index whose rows count for nothing; `None` for none. Negative ones count from the end of the table.
pub fn padding_of<T>(c: &Call<'_, T>, rows: &Dim) -> Result<Option<Dim>, OpError> {
    let has = c.op.schema.position("padding_idx").is_some();
    let given = if has { c.opt_int("padding_idx")? } else { None };
    let wraps = c.op.schema.name == "embedding_bag";
    Ok(match given {
        Some(i) if i >= 0 => Some(Dim::int(i)),
        Some(i) if wraps => Some(rows + &Dim::int(i)),
        _ => None,
    })
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (w, indices, offsets) = (c.tensor("weight")?, c.tensor("indices")?, c.tensor("offsets")?);
    let ([rows, width], [count], [bags]) = (&w.shape[..], &indices.shape[..], &offsets.shape[..]) else {
        return Err(OpError::invalid("an embedding bag takes a matrix, a list of indices and a list of offsets"));
    };
    let mode = mode_of(c)?;
    let bags = if c.bool("include_last_offset")? { bags - &Dim::int(1) } else { bags.clone() };
    // PyTorch's CPU kernel leaves the bookkeeping for the backward pass out where it can sum quickly.
    let which = if mode == Mode::Sum && is_fast(c, w.dtype, rows)? { Dim::int(0) } else { count.clone() };
    let largest = if mode == Mode::Max { vec![bags.clone(), width.clone()] } else { vec![bags.clone()] };
    let list = |shape: Vec<Dim>| Fact::new(offsets.dtype, shape);
    Ok(vec![Fact::new(w.dtype, vec![bags.clone(), width.clone()]), list(vec![which]), list(vec![bags]), list(largest)])
}

/// Whether PyTorch sums without keeping track of who is in which bag, as exported programs say it: the kernel does so for
/// bf16 too, but the sizes that `torch.export` writes down do not.
pub fn is_fast<T>(c: &Call<'_, T>, dtype: DType, rows: &Dim) -> Result<bool, OpError> {
    Ok(matches!(dtype, DType::F32 | DType::F16) && padding_of(c, rows)?.is_none())
}

fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (w, indices, offsets) = (c.tensor("weight")?, c.tensor("indices")?, c.tensor("offsets")?);
    let facts = host::inferred(c)?;
    let shape = crate::shape::known(&facts[0].shape)?;
    let (bags, width) = (shape[0], shape[1]);
    let mode = mode_of(c)?;
    let padding = padding_of(c, &Dim::int(w.shape()[0] as i64))?.and_then(|d| d.as_int());
    let weights = c.opt_tensor("per_sample_weights")?;
    let rows = taken(w, indices, 0)?;
    let n = indices.numel();
    let mut out = vec![0.0; bags * width];
    let (mut of, mut sizes) = (vec![0i64; n], vec![0i64; bags]);
    for bag in 0..bags {
        let start = usize::try_from(offsets.i64(bag)).unwrap_or(n).min(n);
        let end = if bag + 1 < offsets.numel() { usize::try_from(offsets.i64(bag + 1)).unwrap_or(n).min(n) } else { n };
        of[start..end.max(start)].fill(bag as i64);
        let members: Vec<usize> = (start..end).filter(|&i| Some(indices.i64(i)) != padding).collect();
        sizes[bag] = members.len() as i64;
        for k in 0..width {
            let value = |i: &usize| rows.f64(i * width + k) * weights.map_or(1.0, |s| s.f64(*i));
            out[bag * width + k] = match mode {
                Mode::Sum => members.iter().map(value).sum(),
                Mode::Mean => members.iter().map(value).sum::<f64>() / members.len().max(1) as f64,
                Mode::Max => members.iter().map(value).reduce(f64::max).unwrap_or(0.0),
            };
        }
    }
    if mode == Mode::Sum && is_fast(c, w.dtype(), &Dim::int(w.shape()[0] as i64))? {
        sizes.fill(0);
    }
    // The last two are for the backward pass alone; the positions of the largest rows are not computed.
    let list = |fact: &Fact, values: &[i64]| -> Result<Tensor, OpError> {
        Ok(Tensor::from_i64(fact.dtype, &crate::shape::known(&fact.shape)?, values))
    };
    Ok(vec![
        Tensor::from_f64(w.dtype(), &shape, &out),
        list(&facts[1], &of)?,
        list(&facts[2], &sizes)?,
        list(&facts[3], &[])?,
    ])
}
