//! Operators whose results have sizes that depend on values: positions of true elements, distinct elements, counts.
//!
//! Inference gives such a size as [`shape::late`]; the program states it as a symbol, which the call binds.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, host, shape, unravel, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};
use std::cmp::Ordering;

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_unique(Tensor self, bool sorted=True, bool return_inverse=False) -> (Tensor, Tensor)", unique_fact, unique).tagged(Tags::LATE),
    OpDef::new("_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)", unique_fact, unique).tagged(Tags::LATE),
    OpDef::new("argwhere(Tensor self) -> Tensor", nonzero_fact, nonzero).tagged(Tags::LATE),
    OpDef::new("bincount(Tensor self, Tensor? weights=None, SymInt minlength=0) -> Tensor", bincount_fact, bincount).tagged(Tags::LATE),
    OpDef::new("masked_select(Tensor self, Tensor mask) -> Tensor", masked_select_fact, masked_select).tagged(Tags::LATE),
    OpDef::new("nonzero(Tensor self) -> Tensor", nonzero_fact, nonzero).tagged(Tags::LATE),
    OpDef::new("nonzero_numpy(Tensor self) -> Tensor[]", columns_fact, columns).tagged(Tags::LATE),
    OpDef::new("nonzero_static(Tensor self, *, SymInt size, int fill_value=-1) -> Tensor", nonzero_static_fact, nonzero_static),
    OpDef::new("repeat_interleave.Tensor(Tensor repeats, *, SymInt? output_size=None) -> Tensor", repeat_fact, repeat).tagged(Tags::LATE),
    OpDef::new("torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", nms_fact, nms).tagged(Tags::LATE),
    OpDef::new("unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) -> (Tensor, Tensor, Tensor)", unique_fact, unique).tagged(Tags::LATE),
    OpDef::new("unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)", unique_fact, unique).tagged(Tags::LATE),
    OpDef::new("unique_dim_consecutive(Tensor self, int dim, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)", unique_fact, unique).tagged(Tags::LATE),
    OpDef::new("where(Tensor condition) -> Tensor[]", columns_fact, columns).tagged(Tags::LATE),
];

/// The operand of the operators that look for true elements.
fn searched<'a, T>(c: &Call<'a, T>) -> Result<&'a T, OpError> {
    if c.op.schema.name == "where" { c.tensor("condition") } else { c.tensor("self") }
}

fn nonzero_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = searched(c)?;
    Ok(vec![Fact::new(DType::I64, vec![shape::late(), Dim::int(x.rank() as i64)])])
}

/// Row-major positions of the elements that are not zero (NaN is not).
fn positions(x: &Tensor) -> Vec<usize> {
    let holds = |i: &usize| match x.get(*i) {
        Scalar::Float(v) => v != 0.0,
        other => other.to_bool(),
    };
    (0..x.numel()).filter(holds).collect()
}

fn nonzero(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = searched(c)?;
    let found = positions(x);
    let mut index = vec![0; x.rank()];
    let mut out = Vec::with_capacity(found.len() * x.rank());
    for &i in &found {
        unravel(i, x.shape(), &mut index);
        out.extend(index.iter().map(|&i| i as i64));
    }
    Ok(vec![Tensor::from_i64(DType::I64, &[found.len(), x.rank()], &out)])
}

fn nms_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (boxes, scores) = (c.tensor("dets")?, c.tensor("scores")?);
    if boxes.rank() != 2 || scores.rank() != 1 {
        return Err(OpError::invalid("boxes are [N, 4] and scores [N]"));
    }
    Ok(vec![Fact::new(DType::I64, [shape::late()])])
}

/// Boxes from the best score on, without those that share more of their union than the threshold with a better one.
fn nms(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (boxes, scores, threshold) = (c.tensor("dets")?, c.tensor("scores")?, c.float("iou_threshold")?);
    let n = scores.numel();
    if boxes.shape() != [n, 4] {
        return Err(OpError::invalid("boxes are [N, 4] and scores [N]"));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| scores.get(j).to_f64().total_cmp(&scores.get(i).to_f64()));
    let side = |i: usize, j: usize| boxes.get(4 * i + j).to_f64();
    let area = |i: usize| (side(i, 2) - side(i, 0)) * (side(i, 3) - side(i, 1));
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        let suppressed = |&k: &usize| {
            let along = |d: usize| (side(i, d + 2).min(side(k, d + 2)) - side(i, d).max(side(k, d))).max(0.0);
            let shared = along(0) * along(1);
            shared / (area(i) + area(k) - shared) > threshold
        };
        if !kept.iter().any(suppressed) {
            kept.push(i);
        }
    }
    let kept: Vec<i64> = kept.into_iter().map(|i| i as i64).collect();
    Ok(vec![Tensor::from_i64(DType::I64, &[kept.len()], &kept)])
}

/// A 0-d condition counts as one of one element.
fn columns_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let rank = searched(c)?.rank().max(1);
    Ok(vec![Fact::new(DType::I64, vec![shape::late()]); rank])
}

fn columns(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = searched(c)?;
    let lifted = if x.rank() == 0 { vec![1] } else { x.shape().to_vec() };
    let found = positions(x);
    let mut index = vec![0; lifted.len()];
    let mut out = vec![Vec::with_capacity(found.len()); lifted.len()];
    for &i in &found {
        unravel(i, &lifted, &mut index);
        out.iter_mut().zip(&index).for_each(|(column, &i)| column.push(i as i64));
    }
    Ok(out.iter().map(|column| Tensor::from_i64(DType::I64, &[found.len()], column)).collect())
}

fn nonzero_static_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(DType::I64, vec![c.dim("size")?, Dim::int(c.tensor("self")?.rank() as i64)])])
}

fn nonzero_static(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (size, fill) = (shape::known(&[c.dim("size")?])?, c.int("fill_value")?);
    let rank = c.tensor("self")?.rank();
    let all = nonzero(c)?.pop().ok_or_else(|| OpError::invalid("no positions"))?;
    let wanted = size.first().copied().unwrap_or(0);
    let value = |i: usize| if i < all.numel() { all.i64(i) } else { fill };
    Ok(vec![Tensor::from_fn(DType::I64, &[wanted, rank], |i| Scalar::Int(value(i)))])
}

fn masked_select_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    c.broadcast(&["self", "mask"])?;
    Ok(vec![Fact::new(c.tensor("self")?.dtype, vec![shape::late()])])
}

fn masked_select(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, mask) = (c.tensor("self")?, c.tensor("mask")?);
    let shape = shape::broadcast_known(&[x.shape(), mask.shape()])?;
    let (x, mask) = (x.broadcast_to(&shape)?, mask.broadcast_to(&shape)?);
    let found = positions(&mask);
    Ok(vec![x.pick(&[found.len()], found)])
}

fn bincount_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let dtype = match c.opt_tensor("weights")? {
        None => DType::I64,
        Some(w) if w.dtype == DType::F32 => DType::F32,
        Some(_) => DType::F64,
    };
    Ok(vec![Fact::new(dtype, vec![shape::late()])])
}

fn bincount(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, weights) = (c.tensor("self")?, c.opt_tensor("weights")?);
    let values = x.as_i64s();
    if values.iter().any(|&v| v < 0) {
        return Err(OpError::Runtime("bincount only takes non-negative integers".into()));
    }
    let count = values.iter().max().map_or(0, |&m| m + 1).max(c.int("minlength")?);
    let mut bins = vec![0.0; usize::try_from(count).unwrap_or(0)];
    for (i, &v) in values.iter().enumerate() {
        if let Some(bin) = usize::try_from(v).ok().and_then(|v| bins.get_mut(v)) {
            *bin += weights.map_or(1.0, |w| w.f64(i));
        }
    }
    let dtype = bincount_fact(&Call { op: c.op, args: &host::fact_args(c.args), scope: c.scope })?;
    let dtype = dtype.first().map_or(DType::I64, |f| f.dtype);
    Ok(vec![Tensor::from_f64(dtype, &[bins.len()], &bins)])
}

fn repeat_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(c.tensor("repeats")?.dtype, vec![c.opt_dim("output_size")?.unwrap_or_else(shape::late)])])
}

fn repeat(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let repeats = c.tensor("repeats")?;
    if repeats.as_i64s().iter().any(|&n| n < 0) {
        return Err(OpError::Runtime("repeats can not be negative".into()));
    }
    let copies = |(i, &n): (usize, &i64)| std::iter::repeat_n(i as i64, n.max(0) as usize);
    let from: Vec<i64> = repeats.as_i64s().iter().enumerate().flat_map(copies).collect();
    Ok(vec![Tensor::from_i64(repeats.dtype(), &[from.len()], &from)])
}

/// The dimension along which slices are compared; `None` compares elements.
pub fn unique_dim<T>(c: &Call<'_, T>, rank: usize) -> Result<Option<usize>, OpError> {
    let given = match c.op.schema.position("dim") {
        Some(_) => c.opt_int("dim")?,
        None => None,
    };
    given.map(|d| wrap_dim(d, rank)).transpose()
}

/// Whether a `unique` operator gives, besides the distinct elements, where each element went and how many went there.
/// Along a dimension PyTorch always gives both.
pub fn unique_extras<T>(c: &Call<'_, T>) -> Result<(bool, bool), OpError> {
    let along = match c.op.schema.position("dim") {
        Some(_) => c.opt_int("dim")?.is_some(),
        None => false,
    };
    let flag = |name: &str| match c.op.schema.position(name) {
        Some(_) => c.bool(name),
        None => Ok(false),
    };
    Ok((along || flag("return_inverse")?, along || flag("return_counts")?))
}

fn unique_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let dim = unique_dim(c, x.rank())?;
    let (inverse, counts) = unique_extras(c)?;
    let mut distinct = vec![shape::late()];
    let mut places = x.shape.clone();
    if let Some(d) = dim {
        distinct.clone_from(&x.shape);
        places = x.shape.get(d..d + 1).map_or_else(|| vec![Dim::ONE], <[Dim]>::to_vec);
        if let Some(n) = distinct.get_mut(d) {
            *n = shape::late();
        }
    }
    let nothing = || vec![Dim::ZERO];
    let mut facts = vec![
        Fact::new(x.dtype, distinct),
        Fact::new(DType::I64, if inverse { places } else { nothing() }),
        Fact::new(DType::I64, if counts { vec![shape::late()] } else { nothing() }),
    ];
    facts.truncate(c.op.schema.returns.len().max(2));
    Ok(facts)
}

/// Order of two elements; `None` for a NaN.
fn order(x: &Tensor, i: usize, j: usize) -> Option<Ordering> {
    match (x.get(i), x.get(j)) {
        (Scalar::Int(a), Scalar::Int(b)) if x.dtype() == DType::U64 => Some((a as u64).cmp(&(b as u64))),
        (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(&b)),
        (a, b) => a.to_f64().partial_cmp(&b.to_f64()),
    }
}

fn unique(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let dim = unique_dim(c, x.rank())?;
    let (inverse, counts) = unique_extras(c)?;
    // Slices along the dimension as rows.
    let (rows, width) = match dim {
        Some(d) => {
            let n = x.shape().get(d).copied().unwrap_or(1);
            (n, x.numel().checked_div(n).unwrap_or(0))
        }
        None => (x.numel(), 1),
    };
    let lines = host::Lines::new(x.shape(), dim.unwrap_or(0));
    let at = |row: usize, k: usize| if dim.is_some() { lines.at(k, row) } else { row };
    let same = |a: usize, b: usize| (0..width).all(|k| order(x, at(a, k), at(b, k)) == Some(Ordering::Equal));
    let mut sorted: Vec<usize> = (0..rows).collect();
    if !c.op.schema.name.ends_with("consecutive") {
        sorted.sort_by(|&a, &b| {
            let nan = |r: usize, k: usize| x.f64(at(r, k)).is_nan();
            let one = |k: usize| order(x, at(a, k), at(b, k)).unwrap_or_else(|| nan(a, k).cmp(&nan(b, k)));
            (0..width).map(one).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
    let (mut first, mut place, mut count) = (Vec::new(), vec![0i64; rows], Vec::new());
    for (i, &row) in sorted.iter().enumerate() {
        match i.checked_sub(1).and_then(|before| sorted.get(before)) {
            Some(&before) if same(before, row) => {}
            _ => {
                first.push(row as i64);
                count.push(0i64);
            }
        }
        if let (Some(slot), Some(total)) = (place.get_mut(row), count.last_mut()) {
            *slot = first.len() as i64 - 1;
            *total += 1;
        }
    }
    let distinct = match dim {
        Some(d) => super::index::taken(x, &Tensor::from_i64(DType::I64, &[first.len()], &first), d)?,
        None => x.pick(&[first.len()], first.iter().map(|&i| i as usize)),
    };
    let list = |wanted: bool, shape: &[usize], values: &[i64]| match wanted {
        true => Tensor::from_i64(DType::I64, shape, values),
        false => Tensor::from_i64(DType::I64, &[0], &[]),
    };
    let places = if dim.is_some() { vec![rows] } else { x.shape().to_vec() };
    let mut out = vec![distinct, list(inverse, &places, &place), list(counts, &[count.len()], &count)];
    out.truncate(c.op.schema.returns.len().max(2));
    Ok(out)
}
