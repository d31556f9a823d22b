//! Reading by index: advanced indexing, gather, take, one-hot, embedding.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, host, shape, unravel, wrap_dim};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_unsafe_index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", infer_index, index),
    OpDef::new("embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor", embedding_fact, embedding),
    OpDef::new("gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor", gather_fact, gather),
    OpDef::new("index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", infer_index, index).tagged(Tags::LATE),
    OpDef::new("index_select(Tensor self, int dim, Tensor index) -> Tensor", index_select_fact, index_select),
    OpDef::new("one_hot(Tensor self, int num_classes=-1) -> Tensor", one_hot_fact, one_hot).tagged(Tags::LATE),
    OpDef::new("take(Tensor self, Tensor index) -> Tensor", take_fact, take),
    OpDef::new("take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor", take_along_fact, take_along),
];

/// An indexing call in order: which dimensions are indexed by integers, and where the dimensions of the indices go.
#[derive(Clone, PartialEq, Debug)]
pub struct Indexing {
    /// The indexed dimensions, in order; the k-th belongs to the k-th index that is not None.
    pub dims: Vec<usize>,
    /// Position of the broadcast index dimensions in the result: where the first indexed dimension was if the
    /// indexed ones are adjacent, else in front.
    pub place: usize,
    /// Broadcast shape of the indices.
    pub broadcast: Vec<Dim>,
    /// Shape of the result.
    pub shape: Vec<Dim>,
}

impl Indexing {
    /// For a tensor of shape `x` and indices for its leading dimensions, None for a full slice. A mask stands for the
    /// positions of its true elements, one index for each of its dimensions; their number is [`shape::late`].
    pub fn new(scope: &Scope, x: &[Dim], indices: &[Option<&Fact>]) -> Result<Indexing, OpError> {
        let mut broadcast = Vec::new();
        let mut dims = Vec::new();
        let mut next = 0;
        for index in indices {
            let Some(index) = index else {
                next += 1;
                continue;
            };
            let (taken, own) = match index.dtype {
                DType::Bool | DType::U8 => (index.rank(), vec![shape::late()]),
                DType::I64 | DType::I32 | DType::I16 | DType::I8 => (1, index.shape.clone()),
                other => return Err(OpError::Invalid(format!("an index of element type {other}"))),
            };
            broadcast = shape::broadcast(scope, &broadcast, &own)?;
            dims.extend(next..next + taken);
            next += taken;
        }
        if next > x.len() {
            return Err(OpError::Invalid(format!("indices for {next} of {} dimensions", x.len())));
        }
        let adjacent = dims.windows(2).all(|w| w[1] == w[0] + 1);
        let place = if adjacent { dims.first().copied().unwrap_or(0) } else { 0 };
        let mut shape: Vec<Dim> = (0..x.len()).filter(|d| !dims.contains(d)).map(|d| x[d].clone()).collect();
        shape.splice(place..place, broadcast.iter().cloned());
        Ok(Indexing { dims, place, broadcast, shape })
    }
}

/// Masks among indices replaced by the positions of their true elements, one index per dimension of the mask.
pub(super) fn without_masks(indices: &[Option<&Tensor>]) -> Vec<Option<Tensor>> {
    let mut out = Vec::new();
    for index in indices {
        match index {
            Some(mask) if matches!(mask.dtype(), DType::Bool | DType::U8) => {
                let mut positions = vec![Vec::new(); mask.rank()];
                let mut at = vec![0; mask.rank()];
                for i in (0..mask.numel()).filter(|&i| mask.get(i).to_bool()) {
                    unravel(i, mask.shape(), &mut at);
                    positions.iter_mut().zip(&at).for_each(|(list, &i)| list.push(i as i64));
                }
                out.extend(positions.iter().map(|p| Some(Tensor::from_i64(DType::I64, &[p.len()], p))));
            }
            other => out.push(other.map(|t| t.cast(DType::I64))),
        }
    }
    out
}

/// For every element of the result of an indexing, its position in the indexed tensor; and the result's shape.
pub(super) fn positions(x: &[usize], indices: &[Option<Tensor>]) -> Result<(Vec<usize>, Vec<usize>), OpError> {
    let facts: Vec<Option<Fact>> = indices.iter().map(|i| i.as_ref().map(Tensor::fact)).collect();
    let sizes: Vec<Dim> = x.iter().map(|&n| Dim::int(n as i64)).collect();
    let plan = Indexing::new(&Scope::default(), &sizes, &facts.iter().map(Option::as_ref).collect::<Vec<_>>())?;
    let (shape, broadcast) = (shape::known(&plan.shape)?, shape::known(&plan.broadcast)?);
    let strides = crate::strides_of(x);
    let kept: Vec<usize> = (0..x.len()).filter(|d| !plan.dims.contains(d)).collect();
    let reads: Vec<(usize, &Tensor, Vec<usize>)> = plan
        .dims
        .iter()
        .filter_map(|&d| indices[d].as_ref().map(|t| (d, t, host::broadcast_strides(t.shape(), broadcast.len()))))
        .collect();
    let mut at = vec![0; shape.len()];
    let mut out = Vec::with_capacity(shape.iter().product());
    for i in 0..shape.iter().product() {
        unravel(i, &shape, &mut at);
        let own = &at[plan.place..plan.place + broadcast.len()];
        let mut from = 0;
        for (d, index, steps) in &reads {
            from += wrapped(index.i64(host::dot(own, steps)), x[*d])? * strides[*d];
        }
        let rest = at[..plan.place].iter().chain(&at[plan.place + broadcast.len()..]);
        from += rest.zip(&kept).map(|(i, &d)| i * strides[d]).sum::<usize>();
        out.push(from);
    }
    Ok((out, shape))
}

/// An index that may count from the end.
pub(super) fn wrapped(i: i64, n: usize) -> Result<usize, OpError> {
    let at = if i < 0 { i + n as i64 } else { i };
    usize::try_from(at)
        .ok()
        .filter(|&at| at < n)
        .ok_or_else(|| OpError::Runtime(format!("index {i} is out of bounds for a dimension of size {n}")))
}

fn infer_index(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let plan = Indexing::new(c.scope, &x.shape, &c.opt_tensors("indices")?)?;
    Ok(vec![Fact::new(x.dtype, plan.shape)])
}

fn index(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let indices = without_masks(&c.opt_tensors("indices")?);
    let (from, shape) = positions(x.shape(), &indices)?;
    Ok(vec![x.pick(&shape, from)])
}

fn embedding_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (w, i) = (c.tensor("weight")?, c.tensor("indices")?);
    let rest = w.shape.get(1..).ok_or_else(|| OpError::invalid("an embedding needs a matrix"))?;
    Ok(vec![Fact::new(w.dtype, [&i.shape, rest].concat())])
}

/// `prim.take` of host tensors.
pub(super) fn taken(x: &Tensor, index: &Tensor, dim: usize) -> Result<Tensor, OpError> {
    let dim = Arg::Int(Dim::int(dim as i64));
    host::call1("prim.take", vec![Arg::Tensor(x.clone()), Arg::Tensor(index.cast(DType::I64)), dim])
}

fn embedding(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    Ok(vec![taken(c.tensor("weight")?, c.tensor("indices")?, 0)?])
}

fn gather_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, i) = (c.tensor("self")?, c.tensor("index")?);
    wrap_dim(c.int("dim")?, x.rank())?;
    if x.rank().max(1) != i.rank().max(1) && !i.numel().is_zero() {
        return Err(OpError::Invalid(format!("gather from {x} with {i}: their dimensions differ")));
    }
    Ok(vec![Fact::new(x.dtype, i.shape.clone())])
}

/// `x[…, index[i…], …]` along `dim`, for an index of the same rank (0-d tensors count as 1-d).
pub(super) fn gathered(x: &Tensor, index: &Tensor, dim: usize) -> Result<Tensor, OpError> {
    if index.numel() == 0 {
        return Ok(Tensor::from_fn(x.dtype(), index.shape(), |_| Scalar::Int(0)));
    }
    let lift = |t: &Tensor| if t.rank() == 0 { t.reshape(&[1]) } else { Ok(t.clone()) };
    let dim = Arg::Int(Dim::int(dim as i64));
    let args = vec![Arg::Tensor(lift(x)?), Arg::Tensor(lift(index)?.cast(DType::I64)), dim];
    host::call1("prim.gather", args)?.reshape(index.shape())
}

fn gather(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    Ok(vec![gathered(x, c.tensor("index")?, wrap_dim(c.int("dim")?, x.rank())?)?])
}

fn index_select_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let mut out = x.clone();
    if let Some(n) = out.shape.get_mut(dim) {
        *n = c.tensor("index")?.numel();
    }
    Ok(vec![out])
}

fn index_select(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, i) = (c.tensor("self")?, c.tensor("index")?);
    if x.rank() == 0 {
        return Ok(vec![x.clone()]);
    }
    Ok(vec![taken(x, &i.reshape(&[i.numel()])?, wrap_dim(c.int("dim")?, x.rank())?)?])
}

fn one_hot_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, classes) = (c.tensor("self")?, c.int("num_classes")?);
    let classes = if classes < 0 { shape::late() } else { Dim::int(classes) };
    Ok(vec![Fact::new(DType::I64, [&x.shape[..], &[classes]].concat())])
}

fn one_hot(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, mut classes) = (c.tensor("self")?, c.int("num_classes")?);
    let values = x.as_i64s();
    if classes < 0 {
        classes = values.iter().max().map_or(0, |m| m + 1);
    }
    if values.iter().any(|v| !(0..classes).contains(v)) {
        return Err(OpError::Runtime(format!(
            "Class values must be non-negative and smaller than num_classes {classes}"
        )));
    }
    let classes = usize::try_from(classes).unwrap_or(0);
    let shape = [x.shape(), &[classes]].concat();
    let hot = |i: usize| x.i64(i / classes.max(1)) == (i % classes.max(1)) as i64;
    Ok(vec![Tensor::from_fn(DType::I64, &shape, |i| Scalar::Int(i64::from(hot(i))))])
}

fn take_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(c.tensor("self")?.dtype, c.tensor("index")?.shape.clone())])
}

fn take(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let from = index.as_i64s().iter().map(|&i| wrapped(i, x.numel())).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![x.pick(index.shape(), from)])
}

/// Shapes of operand and index of `take_along_dim`, and the dimension: flattened, or broadcast but for `dim`.
#[allow(clippy::type_complexity)]
pub fn take_along_shapes<T>(c: &Call<'_, T>, x: &[Dim], index: &[Dim]) -> Result<(Vec<Dim>, Vec<Dim>, usize), OpError> {
    let Some(dim) = c.opt_int("dim")? else {
        let flat = |s: &[Dim]| vec![s.iter().fold(Dim::int(1), |n, d| &n * d)];
        return Ok((flat(x), flat(index), 0));
    };
    if x.len() != index.len() {
        return Err(OpError::invalid("take_along_dim needs as many dimensions in the index as in the tensor"));
    }
    let dim = wrap_dim(dim, x.len())?;
    let but = |s: &[Dim]| -> Vec<Dim> {
        s.iter().enumerate().map(|(d, n)| if d == dim { Dim::int(1) } else { n.clone() }).collect()
    };
    let common = shape::broadcast(c.scope, &but(x), &but(index))?;
    let with = |s: &[Dim]| {
        let mut out = common.clone();
        if let (Some(to), Some(n)) = (out.get_mut(dim), s.get(dim)) {
            to.clone_from(n);
        }
        out
    };
    Ok((with(x), with(index), dim))
}

fn take_along_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, i) = (c.tensor("self")?, c.tensor("indices")?);
    let (_, shape, _) = take_along_shapes(c, &x.shape, &i.shape)?;
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn take_along(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, i) = (c.tensor("self")?, c.tensor("indices")?);
    let (xs, is, dim) = take_along_shapes(c, &x.fact().shape, &i.fact().shape)?;
    let fit = |t: &Tensor, s: &[Dim]| -> Result<Tensor, OpError> {
        let s = shape::known(s)?;
        if s.len() == t.rank() { t.broadcast_to(&s) } else { t.reshape(&s) }
    };
    let (x, i) = (fit(x, &xs)?, fit(i, &is)?);
    let n = x.shape().get(dim).copied().unwrap_or(1);
    let wrapped = i.as_i64s().iter().map(|&i| Ok(wrapped(i, n)? as i64)).collect::<Result<Vec<_>, OpError>>()?;
    Ok(vec![gathered(&x, &Tensor::from_i64(DType::I64, i.shape(), &wrapped), dim)?])
}
