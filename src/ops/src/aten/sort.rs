//! Sorting and selection by rank.

use crate::{Call, OpDef, OpError, Tensor, host, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor", |c| indices_only(sort_fact(c)?), |c| indices_only(sort(c)?)),
    OpDef::new("argsort.stable(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor", |c| indices_only(sort_fact(c)?), |c| indices_only(sort(c)?)),
    OpDef::new("kthvalue(Tensor self, SymInt k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)", kth_fact, kth),
    OpDef::new("msort(Tensor self) -> Tensor", |c| Ok(vec![c.tensor("self")?.clone()]), |c| Ok(sorted(c.tensor("self")?, 0, false)?.into_iter().take(1).collect())),
    OpDef::new("sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)", sort_fact, sort),
    OpDef::new("sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)", sort_fact, sort),
    OpDef::new("topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)", topk_fact, topk),
];

fn indices_only<T>(mut outputs: Vec<T>) -> Result<Vec<T>, OpError> {
    Ok(outputs.pop().into_iter().collect())
}

fn sort_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    wrap_dim(c.int("dim")?, x.rank())?;
    Ok(vec![x.clone(), x.with_dtype(DType::I64)])
}

/// Values and indices along `dim`, equal elements in their order; a 0-d tensor is sorted.
fn sorted(x: &Tensor, dim: usize, descending: bool) -> Result<Vec<Tensor>, OpError> {
    if x.rank() == 0 {
        return Ok(vec![x.clone(), Tensor::from_i64(DType::I64, &[], &[0])]);
    }
    let dim = Arg::Int(Dim::int(dim as i64));
    host::call("prim.sort", vec![Arg::Tensor(x.clone()), dim, Arg::Bool(descending), Arg::Bool(true)])
}

fn sort(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    sorted(x, wrap_dim(c.int("dim")?, x.rank())?, c.bool("descending")?)
}

fn topk_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut x = c.tensor("self")?.clone();
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let k = c.dim("k")?;
    if let Some(n) = x.shape.get_mut(dim) {
        if k.as_int().zip(n.as_int()).is_some_and(|(k, n)| k < 0 || k > n) {
            return Err(OpError::Invalid(format!("topk: {k} of {n} elements")));
        }
        *n = k;
    }
    Ok(vec![x.clone(), x.with_dtype(DType::I64)])
}

fn topk(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    if x.rank() == 0 {
        return sorted(x, 0, true);
    }
    let dim = Arg::Int(Dim::int(wrap_dim(c.int("dim")?, x.rank())? as i64));
    let flags = [Arg::Bool(c.bool("largest")?), Arg::Bool(true)];
    host::call("prim.topk", [Arg::Tensor(x.clone()), Arg::Int(c.dim("k")?), dim].into_iter().chain(flags).collect())
}

fn kth_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let mut shape = x.shape.clone();
    if dim < shape.len() {
        if c.bool("keepdim")? {
            shape[dim] = Dim::int(1);
        } else {
            shape.remove(dim);
        }
    }
    let out = Fact::new(x.dtype, shape);
    Ok(vec![out.clone(), out.with_dtype(DType::I64)])
}

fn kth(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let (_, shape) = host::result_of(c)?;
    let n = x.shape().get(dim).copied().unwrap_or(1);
    let k = usize::try_from(c.int("k")? - 1).ok().filter(|&k| k < n);
    let k = k.ok_or_else(|| OpError::Invalid(format!("kthvalue: k is out of range for {n} elements")))?;
    sorted(x, dim, false)?.iter().map(|t| host::select(t, dim, k).reshape(&shape)).collect()
}
