//! Results whose size depends on values: the size is counted, bound to the symbol that the program has for it, and
//! what follows is computed at that size.

use super::common::{dim_arg, opt_tensor, outputs, tensor};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::dynamic::{unique_dim, unique_extras};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._unique.default", unique),
    ("aten._unique2.default", unique),
    ("aten.argwhere.default", nonzero),
    ("aten.bincount.default", bincount),
    ("aten.masked_select.default", masked_select),
    ("aten.nonzero.default", nonzero),
    ("aten.nonzero_numpy.default", columns),
    ("aten.nonzero_static.default", nonzero_static),
    ("aten.repeat_interleave.Tensor", repeat),
    ("aten.unique_consecutive.default", unique),
    ("aten.unique_dim.default", unique),
    ("aten.unique_dim_consecutive.default", unique),
    ("aten.where.default", columns),
    ("torchvision.nms.default", suppressed),
];

/// A size as the program states it: dimension `dim` of result `output`.
pub(super) fn stated(b: &Builder<'_>, output: usize, dim: usize) -> Result<Dim, OpError> {
    let size = b.stated().get(output).and_then(|f| f.shape.get(dim)).cloned();
    let size = size.filter(|d| *d != pt2c_ops::shape::late());
    size.ok_or_else(|| OpError::Unsupported("a size that depends on values inside of another operator".into()))
}

/// Makes `size` the value of the 0-d `count`: binds it if it is a symbol of its own, checks it otherwise.
pub(super) fn bind(b: &mut Builder<'_>, count: Val, size: &Dim) -> Result<(), OpError> {
    if size.as_symbol().is_some_and(Symbol::is_unbacked) {
        return b.call("prim.bind", vec![Arg::Tensor(count), Arg::Int(size.clone())]).map(|_| ());
    }
    let known = b.constant_dim(size, DType::I64)?;
    let same = b.eq(count, known)?;
    b.assert(same, &format!("the number of elements found at run time is not {size}, as the program says"))
}

/// Number of true elements of a vector.
fn count(b: &mut Builder<'_>, mask: Val) -> Result<Val, OpError> {
    let ones = b.cast(mask, DType::I64)?;
    b.reduce(ones, &[0], "sum")
}

/// Row-major positions of the true elements of a mask, whose number becomes `size`.
fn selected(b: &mut Builder<'_>, mask: Val, size: &Dim) -> Result<Val, OpError> {
    let numel = b.fact(mask).numel();
    let flat = b.reshape(mask, &[numel])?;
    let total = count(b, flat)?;
    bind(b, total, size)?;
    b.one("prim.compact", vec![Arg::Tensor(flat), Arg::Int(size.clone())])
}

/// What is not zero.
fn truth(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let dtype = b.dtype(x);
    if dtype == DType::Bool {
        return Ok(x);
    }
    let zero = b.constant(0.0, dtype)?;
    b.ne(x, zero)
}

/// Row-major positions in a shape as one index for each dimension.
fn unraveled(b: &mut Builder<'_>, at: Val, shape: &[Dim]) -> Outputs {
    let mut stride = Dim::ONE;
    let mut out = Vec::with_capacity(shape.len());
    for (d, n) in shape.iter().enumerate().rev() {
        let mut index = at;
        // Positions exist only where no size is zero; the code that divides runs even where there are none.
        if !stride.is_one() {
            let by = b.constant_dim(&Dim::max(&stride, &Dim::ONE), DType::I64)?;
            index = b.div_floor(index, by)?;
        }
        if d > 0 {
            let size = b.constant_dim(&n.max(&Dim::ONE), DType::I64)?;
            index = b.rem_floor(index, size)?;
        }
        out.push(index);
        stride = &stride * n;
    }
    out.reverse();
    Ok(out)
}

/// The positions of the true elements of a mask, one index for each of its dimensions.
pub(super) fn indices_of(b: &mut Builder<'_>, mask: Val, size: &Dim) -> Outputs {
    let mask = truth(b, mask)?;
    let shape = b.shape(mask);
    let at = selected(b, mask, size)?;
    if shape.is_empty() {
        // A 0-d mask has no dimension to index.
        return Ok(vec![at]);
    }
    unraveled(b, at, &shape)
}

fn nonzero(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let size = stated(b, 0, 0)?;
    let rank = b.rank(x);
    let columns = indices_of(b, x, &size)?;
    if rank == 0 {
        let nothing = b.constant(0.0, DType::I64)?;
        return Ok(vec![b.expand(nothing, &[size, Dim::ZERO])?]);
    }
    let columns = columns.into_iter().map(|v| b.unsqueeze(v, 1)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![b.cat(&columns, 1)?])
}

fn columns(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, if c.op.schema.name == "where" { "condition" } else { "self" })?;
    let size = stated(b, 0, 0)?;
    indices_of(b, x, &size)
}

/// Boxes in order of their scores, without those that overlap a better one.
fn suppressed(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (boxes, scores) = (tensor(c, "dets")?, tensor(c, "scores")?);
    let size = stated(b, 0, 0)?;
    let count = b.shape(scores).first().cloned().unwrap_or(Dim::ZERO);
    let (_, order) = b.sort(scores, 0, true, true)?;
    let sorted = b.take(boxes, order, 0)?;
    // As PyTorch: in the boxes' own precision, which is f32 or f64.
    let dtype = if b.dtype(boxes) == DType::F64 { DType::F64 } else { DType::F32 };
    let sorted = b.cast(sorted, dtype)?;
    let threshold = b.scalar_like(&Arg::Float(c.float("iou_threshold")?), DType::F64)?;
    let buffers = b.routine("nms", &[sorted, threshold], &[], &[count])?;
    let keep = *buffers.get(2).ok_or_else(|| OpError::invalid("a routine without its result"))?;
    let at = selected(b, keep, &size)?;
    Ok(vec![b.take(order, at, 0)?])
}

/// The first positions in order of a running count; what is missing is filled.
fn nonzero_static(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let size = c.dim("size")?;
    let mask = truth(b, x)?;
    let shape = b.shape(mask);
    let numel = b.fact(mask).numel();
    let flat = b.reshape(mask, &[numel.clone()])?;
    let ones = b.cast(flat, DType::I64)?;
    let running = b.scan(ones, 0, "sum")?;
    // True element number k goes to place k; everything else to the last place, which is cut off.
    let one = b.constant(1.0, DType::I64)?;
    let place = b.sub(running, one)?;
    let last = b.constant_dim(&size, DType::I64)?;
    let place = b.where_(flat, place, last)?;
    let place = b.min(place, last)?;
    let at = b.iota(&numel, DType::I64)?;
    let room = b.full(&[&size + &Dim::ONE], &Arg::Int(Dim::int(-1)), DType::I64)?;
    let found = b.scatter(room, place, at, 0, "set")?;
    let found = b.slice_dim(found, 0, &Dim::ZERO, &size, 1)?;
    let zero = b.constant(0.0, DType::I64)?;
    let missing = b.lt(found, zero)?;
    let fill = b.scalar_like(&c.arg("fill_value")?.clone(), DType::I64)?;
    let mut columns = Vec::new();
    for index in unraveled(b, found, &shape)? {
        let index = b.where_(missing, fill, index)?;
        columns.push(b.unsqueeze(index, 1)?);
    }
    if columns.is_empty() {
        return Ok(vec![b.expand(zero, &[size, Dim::ZERO])?]);
    }
    Ok(vec![b.cat(&columns, 1)?])
}

fn masked_select(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, mask) = (tensor(c, "self")?, tensor(c, "mask")?);
    let shape = pt2c_ops::shape::broadcast(b.scope(), &b.shape(x), &b.shape(mask))?;
    let (x, mask) = (b.expand(x, &shape)?, b.expand(mask, &shape)?);
    let size = stated(b, 0, 0)?;
    let at = selected(b, mask, &size)?;
    let numel = b.fact(x).numel();
    let flat = b.reshape(x, &[numel])?;
    Ok(vec![b.take(flat, at, 0)?])
}

fn bincount(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let weights = opt_tensor(c, "weights")?;
    let size = stated(b, 0, 0)?;
    let dtype = outputs(b, c)?.first().map_or(DType::I64, |f| f.dtype);
    let x = b.cast(x, DType::I64)?;
    let numel = b.fact(x).numel();
    let (zero, one) = (b.constant(0.0, DType::I64)?, b.constant(1.0, DType::I64)?);
    let positive = b.ge(x, zero)?;
    b.assert(positive, "bincount only takes non-negative integers")?;
    // A value behind the last, so that there is a largest one.
    let low = b.constant(-1.0, DType::I64)?;
    let padded = b.pad(x, low, &[Dim::ZERO], &[Dim::ONE])?;
    let largest = b.reduce(padded, &[0], "max")?;
    let bins = b.add(largest, one)?;
    let least = b.scalar_like(&c.arg("minlength")?.clone(), DType::I64)?;
    let bins = b.max(bins, least)?;
    bind(b, bins, &size)?;
    let room = b.full(&[size], &Arg::Int(Dim::ZERO), dtype)?;
    let each = match weights {
        Some(w) => b.cast(w, dtype)?,
        None => b.full(&[numel], &Arg::Int(Dim::ONE), dtype)?,
    };
    Ok(vec![b.scatter(room, x, each, 0, "add")?])
}

/// For each of `size` places the number of the run that it lies in, from the lengths of the runs: one is counted at
/// the end of every run, and the counts are summed up.
pub(super) fn repeated(b: &mut Builder<'_>, repeats: Val, size: &Dim) -> Result<Val, OpError> {
    let runs = b.fact(repeats).numel();
    let zero = b.constant(0.0, DType::I64)?;
    let legal = b.ge(repeats, zero)?;
    b.assert(legal, "repeats can not be negative")?;
    let ends = b.scan(repeats, 0, "sum")?;
    let total = b.reduce(repeats, &[0], "sum")?;
    bind(b, total, size)?;
    let room = b.full(&[size + &Dim::ONE], &Arg::Int(Dim::ZERO), DType::I64)?;
    let ones = b.full(&[runs], &Arg::Int(Dim::ONE), DType::I64)?;
    let marks = b.scatter(room, ends, ones, 0, "add")?;
    let marks = b.slice_dim(marks, 0, &Dim::ZERO, size, 1)?;
    b.scan(marks, 0, "sum")
}

fn repeat(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let repeats = tensor(c, "repeats")?;
    let dtype = b.dtype(repeats);
    let size = match c.opt_dim("output_size")? {
        Some(size) => size,
        None => stated(b, 0, 0)?,
    };
    let repeats = b.cast(repeats, DType::I64)?;
    let from = repeated(b, repeats, &size)?;
    Ok(vec![b.cast(from, dtype)?])
}

/// Whether each element of a vector (or row of a matrix) differs from the one before it; the first does.
fn starts(b: &mut Builder<'_>, rows: Val) -> Result<Val, OpError> {
    let shape = b.shape(rows);
    let n = shape.first().cloned().unwrap_or(Dim::ONE);
    let at = b.iota(&n, DType::I64)?;
    let (zero, one) = (b.constant(0.0, DType::I64)?, b.constant(1.0, DType::I64)?);
    let before = b.sub(at, one)?;
    let before = b.max(before, zero)?;
    let previous = b.take(rows, before, 0)?;
    let mut differs = b.ne(rows, previous)?;
    if shape.len() > 1 {
        differs = b.reduce(differs, &[1], "any")?;
    }
    let first = b.eq(at, zero)?;
    b.or(differs, first)
}

/// Sorted, equal neighbours become one; the running count of those that remain says where each went.
fn unique(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let shape = b.shape(x);
    let dim = with_dim(b, c, x)?;
    let (inverse, counts) = unique_extras(c)?;
    let size = stated(b, 0, dim.unwrap_or(0))?;
    let sorts = !c.op.schema.name.ends_with("consecutive");
    // The slices that are compared as rows.
    let (front, rows, n) = match dim {
        Some(d) => {
            let order: Vec<usize> = std::iter::once(d).chain((0..shape.len()).filter(|&i| i != d)).collect();
            let front = b.permute(x, &order)?;
            let n = shape.get(d).cloned().unwrap_or(Dim::ONE);
            let width = shape.iter().enumerate().filter(|(i, _)| *i != d).fold(Dim::ONE, |w, (_, s)| &w * s);
            (front, b.reshape(front, &[n.clone(), width])?, n)
        }
        None => {
            let n = b.fact(x).numel();
            let flat = b.reshape(x, &[n.clone()])?;
            (flat, flat, n)
        }
    };
    let (rows, front, order) = match (sorts, dim) {
        (false, _) => (rows, front, None),
        (true, None) => {
            let (values, order) = b.sort(rows, 0, false, true)?;
            (values, values, Some(order))
        }
        (true, Some(_)) => {
            let order = b.one("prim.sort_rows", vec![Arg::Tensor(rows)])?;
            (b.take(rows, order, 0)?, b.take(front, order, 0)?, Some(order))
        }
    };
    let first = starts(b, rows)?;
    let at = selected(b, first, &size)?;
    let mut distinct = b.take(front, at, 0)?;
    if let Some(d) = dim {
        let mut back: Vec<usize> = (1..shape.len()).collect();
        back.insert(d.min(back.len()), 0);
        distinct = b.permute(distinct, &back)?;
    }
    let nothing = |b: &mut Builder<'_>| b.full(&[Dim::ZERO], &Arg::Int(Dim::ZERO), DType::I64);
    let places = if inverse {
        let ones = b.cast(first, DType::I64)?;
        let running = b.scan(ones, 0, "sum")?;
        let one = b.constant(1.0, DType::I64)?;
        let place = b.sub(running, one)?;
        let place = match order {
            Some(order) => {
                let room = b.full(&[n.clone()], &Arg::Int(Dim::ZERO), DType::I64)?;
                b.scatter(room, order, place, 0, "set")?
            }
            None => place,
        };
        if dim.is_some() { place } else { b.reshape(place, &shape)? }
    } else {
        nothing(b)?
    };
    let counted = if counts {
        // To the start of the next, or to the end.
        let end = b.constant_dim(&n, DType::I64)?;
        let padded = b.pad(at, end, &[Dim::ZERO], &[Dim::ONE])?;
        let next = b.slice_dim(padded, 0, &Dim::ONE, &size, 1)?;
        b.sub(next, at)?
    } else {
        nothing(b)?
    };
    let mut out = vec![distinct, places, counted];
    out.truncate(c.op.schema.returns.len().max(2));
    Ok(out)
}

fn with_dim(b: &Builder<'_>, c: &Call<'_, Val>, x: Val) -> Result<Option<usize>, OpError> {
    match unique_dim(c, b.rank(x))? {
        Some(_) => dim_arg(c, "dim", b.rank(x)).map(Some),
        None => Ok(None),
    }
}
