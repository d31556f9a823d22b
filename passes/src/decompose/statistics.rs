//! Order statistics and counting.

use super::common::{dim_arg, outputs, tensor, wide};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::statistics::{Between, between, search_args, search_right, search_sorter};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.bucketize.Scalar", search),
    ("aten.bucketize.Tensor", search),
    ("aten.histc.default", histc),
    ("aten.isin.Scalar_Tensor", isin),
    ("aten.isin.Tensor_Scalar", isin),
    ("aten.isin.Tensor_Tensor", isin),
    ("aten.median.default", |b, c| whole_median(b, c, false)),
    ("aten.median.dim", |b, c| median_along(b, c, false)),
    ("aten.mode.default", mode),
    ("aten.nanmedian.default", |b, c| whole_median(b, c, true)),
    ("aten.nanmedian.dim", |b, c| median_along(b, c, true)),
    ("aten.nanquantile.default", quantile),
    ("aten.nanquantile.scalar", quantile),
    ("aten.quantile.default", quantile),
    ("aten.quantile.scalar", quantile),
    ("aten.searchsorted.Scalar", search),
    ("aten.searchsorted.Tensor", search),
];

/// Number of elements along `dim` that are not NaN, which stays with size 1.
fn count_real(b: &mut Builder<'_>, x: Val, dim: usize) -> Result<Val, OpError> {
    if b.dtype(x).is_float() {
        let nan = b.is_nan(x)?;
        let real = b.not(nan)?;
        let real = b.cast(real, DType::I64)?;
        return b.keepdim_reduce(real, &[dim], "sum");
    }
    let mut shape = b.shape(x);
    let n = shape[dim].clone();
    shape[dim] = Dim::ONE;
    let n = b.constant_dim(&n, DType::I64)?;
    b.expand(n, &shape)
}

/// Lower median along `dim` (which stays with size 1) and its position. NaN does not count, or wins.
fn median(b: &mut Builder<'_>, x: Val, dim: usize, skip: bool) -> Result<(Val, Val), OpError> {
    let (values, indices) = b.sort(x, dim, false, true)?;
    let real = count_real(b, x, dim)?;
    let (one, two, zero) = (b.constant(1.0, DType::I64)?, b.constant(2.0, DType::I64)?, b.constant(0.0, DType::I64)?);
    let before = b.sub(real, one)?;
    let before = b.max(before, zero)?;
    let mut at = b.div_floor(before, two)?;
    if !skip && b.dtype(x).is_float() {
        // NaN sorts to the end: the first of them is behind all real elements.
        let n = b.shape(x)[dim].clone();
        let n = b.constant_dim(&n, DType::I64)?;
        let some = b.lt(real, n)?;
        at = b.where_(some, real, at)?;
    }
    Ok((b.gather(values, at, dim)?, b.gather(indices, at, dim)?))
}

fn median_along(b: &mut Builder<'_>, c: &Call<'_, Val>, skip: bool) -> Outputs {
    let x = tensor(c, "self")?;
    if b.rank(x) == 0 {
        return Ok(vec![x, b.constant(0.0, DType::I64)?]);
    }
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let (value, index) = median(b, x, dim, skip)?;
    let facts = outputs(b, c)?;
    [value, index].into_iter().zip(&facts).map(|(v, fact)| b.reshape(v, &fact.shape)).collect()
}

fn whole_median(b: &mut Builder<'_>, c: &Call<'_, Val>, skip: bool) -> Outputs {
    let x = tensor(c, "self")?;
    let numel = b.fact(x).numel();
    if numel.is_zero() {
        let dtype = b.dtype(x);
        let none = if dtype.is_float() { Arg::Float(f64::NAN) } else { Arg::Int(Dim::int(i64::MIN)) };
        return Ok(vec![b.scalar_like(&none, dtype)?]);
    }
    let x = b.reshape(x, &[numel])?;
    let (value, _) = median(b, x, 0, skip)?;
    Ok(vec![b.reshape(value, &[])?])
}

/// Of the most frequent elements the smallest, and the last place it is at.
fn mode(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let facts = outputs(b, c)?;
    if b.rank(x) == 0 {
        return Ok(vec![x, b.constant(0.0, DType::I64)?]);
    }
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let (sorted, places) = b.sort(x, dim, false, true)?;
    let n = b.shape(sorted)[dim].clone();
    // Where a run of equal elements begins: the length of it so far is largest at its end.
    let rest = &n - &Dim::ONE;
    let one = Dim::ONE;
    let (before, behind) = (b.slice_dim(sorted, dim, &Dim::ZERO, &rest, 1)?, b.slice_dim(sorted, dim, &one, &rest, 1)?);
    let mut same = b.eq(before, behind)?;
    if b.dtype(x).is_float() {
        let (p, q) = (b.is_nan(before)?, b.is_nan(behind)?);
        let both = b.and(p, q)?;
        same = b.or(same, both)?;
    }
    let no = b.scalar_like(&Arg::Bool(false), DType::Bool)?;
    let none = vec![Dim::ZERO; b.rank(x)];
    let mut first = none.clone();
    first[dim] = Dim::ONE;
    let same = b.pad(same, no, &first, &none)?;
    let at = b.iota(&n, DType::I64)?;
    let mut along = vec![Dim::ONE; b.rank(x)];
    along[dim] = n;
    let at = b.reshape(at, &along)?;
    let zero = b.constant(0.0, DType::I64)?;
    let starts = b.where_(same, zero, at)?;
    let starts = b.scan(starts, dim, "max")?;
    let length = b.sub(at, starts)?;
    // The first of the largest belongs to the smallest value.
    let last = b.argreduce(length, dim, "argmax")?;
    let last = b.unsqueeze(last, dim)?;
    let value = b.gather(sorted, last, dim)?;
    let index = b.gather(places, last, dim)?;
    [value, index].into_iter().zip(&facts).map(|(v, fact)| b.reshape(v, &fact.shape)).collect()
}

fn quantile(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let dtype = out.dtype;
    let skip = c.op.schema.name.starts_with("nan");
    let (x, dim) = match c.opt_int("dim")? {
        Some(_) if b.rank(x) > 0 => (x, dim_arg(c, "dim", b.rank(x))?),
        _ => {
            let numel = b.fact(x).numel();
            (b.reshape(x, &[numel])?, 0)
        }
    };
    // Lines last, sorted; the quantiles' dimension in front.
    let last = b.rank(x) - 1;
    let order: Vec<usize> = (0..=last).filter(|&d| d != dim).chain([dim]).collect();
    let x = b.permute(x, &order)?;
    let (sorted, _) = b.sort(x, last, false, true)?;
    let real = count_real(b, x, last)?;
    let one = b.constant(1.0, DType::I64)?;
    let zero = b.constant(0.0, DType::I64)?;
    let ends = b.sub(real, one)?;
    let ends = b.max(ends, zero)?;
    let ends = b.cast(ends, dtype)?;
    let q = b.operand(c, "q", dtype)?;
    let count = b.fact(q).numel();
    let q = b.reshape(q, &[count])?;
    // [..., Q] positions between elements.
    let rank = b.mul(ends, q)?;
    let (low, high) = (b.floor(rank)?, b.ceil(rank)?);
    let between = between(c)?;
    let at = |b: &mut Builder<'_>, p: Val| {
        let p = b.cast(p, DType::I64)?;
        b.gather(sorted, p, last)
    };
    let mut y = match between {
        Between::Lower => at(b, low)?,
        Between::Higher => at(b, high)?,
        Between::Nearest => {
            let p = b.round(rank)?;
            at(b, p)?
        }
        Between::Linear | Between::Midpoint => {
            let (below, above) = (at(b, low)?, at(b, high)?);
            let weight = match between {
                Between::Midpoint => b.constant(0.5, dtype)?,
                _ => b.sub(rank, low)?,
            };
            let step = b.sub(above, below)?;
            let step = b.mul(step, weight)?;
            b.add(below, step)?
        }
    };
    // Without a real element, or with any NaN if they count, there is no quantile.
    let n = b.shape(x)[last].clone();
    let n = b.constant_dim(&n, DType::I64)?;
    let none = if skip { b.eq(real, zero)? } else { b.lt(real, n)? };
    let nan = b.scalar_like(&Arg::Float(f64::NAN), dtype)?;
    y = b.where_(none, nan, y)?;
    let order: Vec<usize> = [last].into_iter().chain(0..last).collect();
    let y = b.permute(y, &order)?;
    Ok(vec![b.reshape(y, &out.shape)?])
}

/// Counts per bin: every element finds its own.
fn histc(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let compute = if out.dtype.is_float() { wide(out.dtype) } else { DType::F32 };
    let numel = b.fact(input).numel();
    let x = b.cast(input, compute)?;
    let x = b.reshape(x, &[numel.clone()])?;
    let (low, high) = (c.float("min")?, c.float("max")?);
    let bins = c.int("bins")?;
    let (mut from, mut to) = (b.constant(low, compute)?, b.constant(high, compute)?);
    if low == high && !numel.is_zero() {
        (from, to) = (b.reduce(x, &[0], "min")?, b.reduce(x, &[0], "max")?);
        // All elements equal: a bin's width to either side.
        let equal = b.eq(from, to)?;
        let one = b.constant(1.0, compute)?;
        let (less, more) = (b.sub(from, one)?, b.add(to, one)?);
        (from, to) = (b.where_(equal, less, from)?, b.where_(equal, more, to)?);
    }
    let (above, below) = (b.ge(x, from)?, b.le(x, to)?);
    let inside = b.and(above, below)?;
    let span = b.sub(to, from)?;
    let offset = b.sub(x, from)?;
    let count = b.constant(bins as f64, compute)?;
    let scaled = b.div(offset, span)?;
    let scaled = b.mul(scaled, count)?;
    let zero = b.constant(0.0, compute)?;
    let scaled = b.where_(inside, scaled, zero)?;
    let bin = b.floor(scaled)?;
    let last = b.constant((bins - 1) as f64, compute)?;
    // The upper end belongs to the last bin.
    let bin = b.min(bin, last)?;
    // One bin more for what lies outside.
    let outside = b.constant(bins as f64, compute)?;
    let bin = b.where_(inside, bin, outside)?;
    let bin = b.cast(bin, DType::I64)?;
    let (zero, one) = (b.constant(0.0, DType::I64)?, b.constant(1.0, DType::I64)?);
    let (none, ones) = (b.expand(zero, &[Dim::int(bins + 1)])?, b.expand(one, &[numel])?);
    let sums = b.scatter(none, bin, ones, 0, "add")?;
    let sums = b.slice_dim(sums, 0, &Dim::ZERO, &Dim::int(bins), 1)?;
    Ok(vec![b.cast(sums, out.dtype)?])
}

/// How many elements of a sorted sequence come before a value.
fn search(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (sorted, values) = search_args(c)?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let facts = [Arg::Tensor(b.fact(*sorted)), values.map(|&v| b.fact(v))];
    let dtype = pt2c_ops::result_type(&facts).ok_or_else(|| OpError::invalid("nothing to search"))?;
    let sorted = match search_sorter(c)? {
        Some(order) => b.gather(*sorted, *order, b.rank(*sorted) - 1)?,
        None => *sorted,
    };
    let sorted = b.cast(sorted, dtype)?;
    let values = match values {
        Arg::Tensor(v) => b.cast(*v, dtype)?,
        number => b.scalar_like(number, dtype)?,
    };
    let count = places(b, sorted, values, search_right(c)?)?;
    let count = b.cast(count, out.dtype)?;
    Ok(vec![b.reshape(count, &out.shape)?])
}

/// Sequences are shorter than 2 to this power, which takes as many halvings.
const LONGEST: u32 = 40;

/// For every value the number of elements of a sorted sequence before it (`right`: those equal to it as well), by
/// halving. A sequence with more than one dimension holds one for each row of values.
fn places(b: &mut Builder<'_>, sorted: Val, values: Val, right: bool) -> Result<Val, OpError> {
    let shape = b.shape(values);
    let axis = b.rank(sorted) - 1;
    let n = b.shape(sorted)[axis].clone();
    let mut own = shape.clone();
    let mut values = values;
    if axis == 0 {
        own = vec![b.fact(values).numel()];
        values = b.reshape(values, &own)?;
    }
    // A place is looked at for values whose place is found already: there must be one.
    let mut zeros = vec![Dim::ZERO; axis + 1];
    let none = zeros.clone();
    zeros[axis] = Dim::ONE;
    let filler = b.constant(0.0, b.dtype(sorted))?;
    let sorted = b.pad(sorted, filler, &none, &zeros)?;
    let int = DType::I64;
    let (zero, one, end) = (b.constant(0.0, int)?, b.constant(1.0, int)?, b.constant_dim(&n, int)?);
    let (mut low, mut high) = (b.expand(zero, &own)?, b.expand(end, &own)?);
    let halvings = (0..LONGEST).find(|&k| b.scope().prove_lt(&n, &Dim::int(1 << k)).is_yes()).unwrap_or(LONGEST);
    for _ in 0..halvings {
        let sum = b.add(low, high)?;
        let middle = b.shr(sum, one)?;
        let element = b.gather(sorted, middle, axis)?;
        let behind = if right { b.gt(element, values)? } else { b.ge(element, values)? };
        let before = b.not(behind)?;
        let open = b.lt(low, high)?;
        let (up, down) = (b.and(open, before)?, b.and(open, behind)?);
        let next = b.add(middle, one)?;
        low = b.where_(up, next, low)?;
        high = b.where_(down, middle, high)?;
    }
    b.reshape(low, &shape)
}

/// Up to this many elements are compared one by one.
const FEW: i64 = 16;

fn isin(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let (elements, tests) = match c.op.schema.overload.as_str() {
        "Scalar_Tensor" => ("element", "test_elements"),
        "Tensor_Scalar" => ("elements", "test_element"),
        _ => ("elements", "test_elements"),
    };
    let operands = b.promote(c, &[elements, tests])?;
    let count = b.fact(operands[1]).numel();
    let tests = b.reshape(operands[1], &[count.clone()])?;
    let found = if count.as_int().is_some_and(|n| n <= FEW) {
        let last = b.rank(operands[0]);
        let elements = b.unsqueeze(operands[0], last)?;
        let same = b.eq(elements, tests)?;
        b.reduce(same, &[last], "any")?
    } else {
        let (sorted, _) = b.sort(tests, 0, false, false)?;
        let (from, to) = (places(b, sorted, operands[0], false)?, places(b, sorted, operands[0], true)?);
        b.lt(from, to)?
    };
    let found = if c.bool("invert")? { b.not(found)? } else { found };
    Ok(vec![b.reshape(found, &out.shape)?])
}
