//! Order statistics and counting: median, mode, quantiles, histograms, search in sorted sequences, membership.

use crate::host::{self, Lines};
use crate::{Call, OpDef, OpError, Scalar, Tensor, shape, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("bucketize.Scalar(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor", search_fact, search),
    OpDef::new("bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor", search_fact, search),
    OpDef::new("histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor", histc_fact, histc),
    OpDef::new("isin.Scalar_Tensor(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor", isin_fact, isin),
    OpDef::new("isin.Tensor_Scalar(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False) -> Tensor", isin_fact, isin),
    OpDef::new("isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor", isin_fact, isin),
    OpDef::new("median(Tensor self) -> Tensor", whole_fact, |c| Ok(vec![whole_median(c, false)?])),
    OpDef::new("median.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", along_fact, |c| lines(c, |l| median(l, false))),
    OpDef::new("mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)", along_fact, |c| lines(c, mode)),
    OpDef::new("nanmedian(Tensor self) -> Tensor", whole_fact, |c| Ok(vec![whole_median(c, true)?])),
    OpDef::new("nanmedian.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", along_fact, |c| lines(c, |l| median(l, true))),
    OpDef::new("nanquantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor", quantile_fact, quantile),
    OpDef::new("nanquantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor", quantile_fact, quantile),
    OpDef::new("quantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor", quantile_fact, quantile),
    OpDef::new("quantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor", quantile_fact, quantile),
    OpDef::new("searchsorted.Scalar(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor", search_fact, search),
    OpDef::new("searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor", search_fact, search),
];

fn whole_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(c.tensor("self")?.dtype, vec![])])
}

fn along_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let dim = wrap_dim(c.int("dim")?, x.rank())?;
    let dims: &[usize] = if x.rank() == 0 { &[] } else { &[dim] };
    let out = Fact::new(x.dtype, shape::reduced(&x.shape, dims, c.bool("keepdim")?));
    Ok(vec![out.clone(), out.with_dtype(DType::I64)])
}

/// Positions of a line's elements in ascending order, NaN last, equal ones in their order.
fn order(line: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..line.len()).collect();
    order.sort_by(|&i, &j| match (line[i].is_nan(), line[j].is_nan()) {
        (false, false) => line[i].total_cmp(&line[j]).then(i.cmp(&j)),
        (a, b) => a.cmp(&b).then(i.cmp(&j)),
    });
    order
}

/// Position of the lower median; with `skip` NaN does not count, otherwise it wins.
fn median(line: &[f64], skip: bool) -> Option<usize> {
    if !skip && let Some(i) = line.iter().position(|v| v.is_nan()) {
        return Some(i);
    }
    let real = line.iter().filter(|v| !v.is_nan()).count();
    order(line).get(real.saturating_sub(1) / 2).copied()
}

/// Position of the last of the most frequent elements; of equally frequent ones the smallest.
fn mode(line: &[f64]) -> Option<usize> {
    let order = order(line);
    let (mut best, mut best_count, mut count) = (None, 0, 0);
    for (k, &i) in order.iter().enumerate() {
        count += 1;
        let ends = order.get(k + 1).is_none_or(|&j| line[j] != line[i] && !(line[i].is_nan() && line[j].is_nan()));
        if ends {
            if count > best_count {
                (best, best_count) = (Some(i), count);
            }
            count = 0;
        }
    }
    best
}

/// Values and indices that `pick` chooses from every line.
fn lines(c: &Call<'_, Tensor>, pick: impl Fn(&[f64]) -> Option<usize>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let lines = Lines::new(x.shape(), wrap_dim(c.int("dim")?, x.rank())?);
    let mut picked = Vec::new();
    for l in 0..lines.count {
        let line: Vec<f64> = (0..lines.len).map(|k| x.f64(lines.at(l, k))).collect();
        picked.push(pick(&line).ok_or_else(|| OpError::invalid("an empty dimension has no such element"))?);
    }
    let indices: Vec<i64> = picked.iter().map(|&k| k as i64).collect();
    Ok(vec![
        Tensor::from_fn(dtype, &shape, |l| x.get(lines.at(l, picked[l]))),
        Tensor::from_i64(DType::I64, &shape, &indices),
    ])
}

fn whole_median(c: &Call<'_, Tensor>, skip: bool) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let line = x.to_f64s();
    Ok(match median(&line, skip) {
        Some(i) => Tensor::scalar(x.dtype(), x.get(i)),
        None if x.dtype().is_float() => Tensor::scalar(x.dtype(), Scalar::Float(f64::NAN)),
        None => Tensor::scalar(x.dtype(), Scalar::Int(i64::MIN)),
    })
}

fn quantile_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let q = match c.arg("q")? {
        Arg::Tensor(q) => q.shape.clone(),
        _ => Vec::new(),
    };
    let keep = c.bool("keepdim")?;
    let rest = match c.opt_int("dim")? {
        Some(d) => shape::reduced(&x.shape, &[wrap_dim(d, x.rank())?], keep),
        None if keep => vec![Dim::int(1); x.rank()],
        None => Vec::new(),
    };
    Ok(vec![Fact::new(x.dtype, [q, rest].concat())])
}

/// How a quantile between two elements is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Between {
    Linear,
    Lower,
    Higher,
    Midpoint,
    Nearest,
}

/// The interpolation of a call.
pub fn between<T>(c: &Call<'_, T>) -> Result<Between, OpError> {
    Ok(match c.str("interpolation")? {
        "linear" => Between::Linear,
        "lower" => Between::Lower,
        "higher" => Between::Higher,
        "midpoint" => Between::Midpoint,
        "nearest" => Between::Nearest,
        other => return Err(OpError::Invalid(format!("there is no interpolation `{other}`"))),
    })
}

fn quantile(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let (between, skip) = (between(c)?, c.op.schema.name.starts_with("nan"));
    let q = match c.arg("q")? {
        Arg::Tensor(q) => q.to_f64s(),
        number => vec![number.as_float().ok_or_else(|| OpError::invalid("a quantile is a number"))?],
    };
    let (x, dim) = match c.opt_int("dim")? {
        Some(d) => (x.clone(), wrap_dim(d, x.rank())?),
        None => (x.reshape(&[x.numel()])?, 0),
    };
    let lines = Lines::new(x.shape(), dim);
    let mut out = Vec::new();
    for &q in &q {
        for l in 0..lines.count {
            let mut line: Vec<f64> = (0..lines.len).map(|k| x.f64(lines.at(l, k))).collect();
            let has_nan = line.iter().any(|v| v.is_nan());
            line.retain(|v| !v.is_nan());
            if has_nan && !skip || line.is_empty() {
                out.push(f64::NAN);
                continue;
            }
            line.sort_by(f64::total_cmp);
            let rank = crate::round_to(dtype, q * (line.len() - 1) as f64);
            let (low, high) = (line[rank.floor() as usize], line[rank.ceil() as usize]);
            out.push(match between {
                Between::Linear => low + (high - low) * rank.fract(),
                Between::Lower => low,
                Between::Higher => high,
                Between::Midpoint => (low + high) / 2.0,
                Between::Nearest => line[rank.round_ties_even() as usize],
            });
        }
    }
    Ok(vec![Tensor::from_f64(dtype, &shape, &out)])
}

fn histc_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(c.tensor("self")?.dtype, vec![Dim::int(c.int("bins")?)])])
}

fn histc(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, bins) = (c.tensor("self")?, c.int("bins")?);
    let (mut low, mut high) = (c.float("min")?, c.float("max")?);
    let values = x.to_f64s();
    if low == high && !values.is_empty() {
        low = values.iter().copied().fold(f64::INFINITY, f64::min);
        high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    let mut counts = vec![0i64; usize::try_from(bins).unwrap_or(0)];
    for v in values.into_iter().filter(|v| *v >= low && *v <= high) {
        let bin = ((v - low) / (high - low) * bins as f64) as usize;
        let last = counts.len().saturating_sub(1);
        if let Some(n) = counts.get_mut(bin.min(last)) {
            *n += 1;
        }
    }
    let counts: Vec<f64> = counts.into_iter().map(|n| n as f64).collect();
    Ok(vec![Tensor::from_f64(x.dtype(), &[counts.len()], &counts)])
}

/// Sequence and searched values of a search; the values are a tensor or a number.
pub fn search_args<'a, T>(c: &Call<'a, T>) -> Result<(&'a T, &'a Arg<T>), OpError> {
    let sorted = if c.op.schema.name == "bucketize" { "boundaries" } else { "sorted_sequence" };
    Ok((c.tensor(sorted)?, c.arg("self")?))
}

/// The order in which the sequence of a search is sorted, if it is not by itself.
pub fn search_sorter<'a, T>(c: &Call<'a, T>) -> Result<Option<&'a T>, OpError> {
    if c.op.schema.position("sorter").is_some() { c.opt_tensor("sorter") } else { Ok(None) }
}

/// Whether equal elements count as smaller than the value.
pub fn search_right<T>(c: &Call<'_, T>) -> Result<bool, OpError> {
    let side = if c.op.schema.position("side").is_some() { c.opt_str("side")? } else { None };
    Ok(side == Some("right") || c.bool("right")?)
}

fn search_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (_, values) = search_args(c)?;
    let dtype = if c.bool("out_int32")? { DType::I32 } else { DType::I64 };
    let shape = values.as_tensor().map_or(Vec::new(), |v| v.shape.clone());
    Ok(vec![Fact::new(dtype, shape)])
}

fn search(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (sorted, values) = search_args(c)?;
    let (dtype, shape) = host::result_of(c)?;
    let (right, sorter) = (search_right(c)?, search_sorter(c)?.map(Tensor::to_f64s));
    let n = sorted.shape().last().copied().unwrap_or(1);
    let width = shape.last().copied().unwrap_or(1).max(1);
    let number = values.as_float();
    Ok(vec![Tensor::from_fn(dtype, &shape, |i| {
        let v = number.unwrap_or_else(|| values.as_tensor().map_or(f64::NAN, |t| t.f64(i)));
        // A sequence for every row, or one for all.
        let row = if sorted.rank() > 1 { i / width * n } else { 0 };
        let element = |at: usize| match &sorter {
            Some(order) => order.get(row + at).map_or(f64::NAN, |i| sorted.f64(row + (*i as usize).min(n - 1))),
            None => sorted.f64(row + at),
        };
        let before = |s: f64| if right { !(s > v) } else { !(s >= v) };
        let (mut low, mut high) = (0, n);
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(element(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Scalar::Int(low as i64)
    })])
}

fn isin_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let elements = if c.op.schema.overload == "Scalar_Tensor" { "element" } else { "elements" };
    let shape = c.arg(elements)?.as_tensor().map_or(Vec::new(), |t| t.shape.clone());
    Ok(vec![Fact::new(DType::Bool, shape)])
}

fn isin(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (elements, tests) = match c.op.schema.overload.as_str() {
        "Scalar_Tensor" => ("element", "test_elements"),
        "Tensor_Scalar" => ("elements", "test_element"),
        _ => ("elements", "test_elements"),
    };
    let numbers = |name: &str| -> Result<Vec<f64>, OpError> {
        match c.arg(name)? {
            Arg::Tensor(t) => Ok(t.to_f64s()),
            number => Ok(vec![number.as_float().ok_or_else(|| OpError::invalid("a number was expected"))?]),
        }
    };
    let (values, tests, invert) = (numbers(elements)?, numbers(tests)?, c.bool("invert")?);
    let (dtype, shape) = host::result_of(c)?;
    Ok(vec![Tensor::from_fn(dtype, &shape, |i| Scalar::Bool(tests.contains(&values[i]) != invert))])
}
