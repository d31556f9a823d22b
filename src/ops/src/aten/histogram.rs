//! Histograms and reductions over segments.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)", |s, c| {
        let x = s.arg(c, "self");
        let x = x.reshape(&[count(x), Dim::ONE]);
        let edges = even(s, c, x, 0, c.int("bins")?)?;
        vec![histogram(s, c, x, &[edges])?, edges]
    }),
    formula!("histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)", |s, c| {
        let x = s.arg(c, "self");
        let x = x.reshape(&[count(x), Dim::ONE]);
        let edges = s.arg(c, "bins");
        vec![histogram(s, c, x, &[edges])?, edges]
    }),
    formula!("histogramdd(Tensor self, int[] bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)", |s, c| {
        let x = points(s, c);
        let edges = c.ints("bins")?.into_iter().enumerate().map(|(d, n)| even(s, c, x, d, n)).collect::<Result<Vec<_>, _>>()?;
        [vec![histogram(s, c, x, &edges)?], edges].concat()
    }),
    formula!("histogramdd.int_bins(Tensor self, int bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)", |s, c| {
        let x = points(s, c);
        let dims = x.extent(1).as_int().unwrap_or(0) as usize;
        let bins = c.int("bins")?;
        let edges = (0..dims).map(|d| even(s, c, x, d, bins)).collect::<Result<Vec<_>, _>>()?;
        [vec![histogram(s, c, x, &edges)?], edges].concat()
    }),
    formula!("histogramdd.TensorList_bins(Tensor self, Tensor[] bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)", |s, c| {
        let x = points(s, c);
        let edges: Vec<Term<'_>> = c.tensors("bins")?.into_iter().map(|&v| s.term(v)).collect();
        [vec![histogram(s, c, x, &edges)?], edges].concat()
    }),
    formula!("segment_reduce(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? indices=None, Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? initial=None) -> Tensor", |s, c| segments(s, c)?),
];

fn count(x: Term<'_>) -> Dim {
    x.shape().iter().fold(Dim::ONE, |n, d| &n * d)
}

/// Points `[N, D]`.
fn points<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Term<'s> {
    let x = s.arg(c, "self");
    let dims = x.shape().last().cloned().unwrap_or(Dim::ONE);
    let lead = x.shape().iter().rev().skip(1).fold(Dim::ONE, |n, d| &n * d);
    x.reshape(&[lead, dims])
}

/// Evenly spaced edges over the range asked for, or that of the points.
fn even<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: Term<'s>, d: usize, bins: i64) -> Result<Term<'s>, OpError> {
    let range = match c.arg("range")? {
        Arg::Floats(ends) => ends.get(2 * d).copied().zip(ends.get(2 * d + 1).copied()),
        Arg::Ints(ends) => {
            let end = |i: usize| ends.get(i).and_then(Dim::as_int).map(|n| n as f64);
            end(2 * d).zip(end(2 * d + 1))
        }
        _ => None,
    };
    let column = x.narrow(1, &Dim::int(d as i64), &Dim::ONE);
    let (low, high) = match range {
        Some((low, high)) => (s.number(low, x.dtype()), s.number(high, x.dtype())),
        // Of no points the range is [0, 1].
        None if count(x).is_zero() => (s.number(0.0, x.dtype()), s.number(0.0, x.dtype())),
        None => {
            let end = |kind: &'static str| column.then(move |b, v| b.reduce(v, &[0, 1], kind));
            (end("min"), end("max"))
        }
    };
    let same = low.eq(high);
    let (low, high) = if count(x).is_zero() && range.is_none() {
        (low, high + 1.0)
    } else {
        (same.pick(low - 0.5, low), same.pick(high + 0.5, high))
    };
    let n = Dim::int(bins + 1);
    let i = s.iota(&n, x.dtype());
    let step = (high - low) / bins as f64;
    let (up, down) = (low + i * step, high - (bins as f64 - i) * step);
    Ok(i.lt(((bins + 1) / 2) as f64).pick(up, down))
}

/// Weights added up in the cell of each point `[N, D]`; points outside count nowhere.
fn histogram<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: Term<'s>, edges: &[Term<'s>]) -> Result<Term<'s>, OpError> {
    let n = x.extent(0);
    let dtype = x.dtype();
    let mut place = s.number(0.0, DType::I64).expand(std::slice::from_ref(&n));
    let mut inside = s.number(1.0, DType::Bool).expand(std::slice::from_ref(&n));
    let mut shape = Vec::new();
    for (d, edge) in edges.iter().enumerate() {
        let value = x.narrow(1, &Dim::int(d as i64), &Dim::ONE).reshape(std::slice::from_ref(&n));
        let bins = &edge.extent(0) - 1;
        let (first, last) = (edge.narrow(0, &Dim::ZERO, &Dim::ONE), edge.narrow(0, &bins, &Dim::ONE));
        let found = s.step(|b| {
            let args = vec![Arg::Tensor(edge.value()), Arg::Tensor(value.value()), Arg::Bool(false), Arg::Bool(true)];
            b.op("aten.searchsorted.Tensor", args)
        });
        let cell = (found - 1.0).min(s.size(&bins, DType::I64) - 1.0).max(0.0);
        inside = inside.and(value.ge(first)).and(value.le(last));
        place = place * s.size(&bins, DType::I64) + cell;
        shape.push(bins);
    }
    let weight = match c.opt_tensor("weight")? {
        Some(_) => s.arg(c, "weight").cast(dtype).reshape(std::slice::from_ref(&n)),
        None => s.number(1.0, dtype).expand(std::slice::from_ref(&n)),
    };
    let weight = inside.pick(weight, 0.0);
    let cells = shape.iter().fold(Dim::ONE, |n, d| &n * d);
    let zeros = s.number(0.0, dtype).expand(&[cells]);
    let sums = s.step(|b| b.index_put(zeros.value(), &[place.value()], weight.value(), true));
    let mut hist = sums.reshape(&shape);
    if c.bool("density")? {
        hist = hist / hist.total();
        for (d, edge) in edges.iter().enumerate() {
            let bins = &shape[d];
            let width = edge.narrow(0, &Dim::ONE, bins) - edge.narrow(0, &Dim::ZERO, bins);
            let mut line = vec![Dim::ONE; shape.len()];
            line[d] = bins.clone();
            hist = hist / width.reshape(&line);
        }
    }
    Ok(hist)
}

/// Every segment reduced by itself: element `i` belongs to the segment whose bounds hold it.
fn segments<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let data = s.arg(c, "data");
    let axis = wrap_dim(c.int("axis")?, data.rank())?;
    let bounds = if c.opt_tensor("lengths")?.is_some() {
        let lengths = s.arg(c, "lengths").cast(DType::I64);
        let last = lengths.rank().saturating_sub(1);
        let ends = lengths.then(|b, v| b.scan(v, last, "sum"));
        (ends - lengths, ends)
    } else {
        let offsets = s.arg(c, "offsets").cast(DType::I64);
        let last = offsets.rank().saturating_sub(1);
        let n = offsets.extent(last) - 1;
        let (starts, ends) = (offsets.narrow(last, &Dim::ZERO, &n), offsets.narrow(last, &Dim::ONE, &n));
        (starts, ends)
    };
    let reduce = c.str("reduce")?;
    let x = data.wide();
    let size = x.extent(axis);
    // [leading…, segment, element, rest…]
    let position = s.iota(&size, DType::I64);
    let member = position.ge(bounds.0.unsqueeze(axis + 1)).and(position.lt(bounds.1.unsqueeze(axis + 1)));
    let mut wide = x.shape();
    wide.insert(axis, bounds.0.extent(axis));
    let mut line = member.shape();
    line.resize(wide.len(), Dim::ONE);
    let member = member.reshape(&line).expand(&wide);
    let (kind, neutral) = match reduce {
        "sum" | "mean" => ("sum", 0.0),
        "prod" => ("prod", 1.0),
        "max" => ("max", f64::NEG_INFINITY),
        "min" => ("min", f64::INFINITY),
        other => return Err(OpError::Invalid(format!("there is no segment reduction `{other}`"))),
    };
    let initial = c.opt_float("initial")?;
    let terms = member.pick(x.unsqueeze(axis).expand(&wide), neutral);
    let mut result = terms.then(|b, v| b.reduce(v, &[axis + 1], kind));
    let counts = member.cast(x.dtype()).sum(&[axis + 1], false);
    if let Some(first) = initial {
        let first = result.like(first);
        result = match kind {
            "sum" => result + first,
            "prod" => result * first,
            "max" => result.max(first),
            _ => result.min(first),
        };
    }
    if reduce == "mean" {
        let mean = result / counts;
        let empty = initial.unwrap_or(f64::NAN);
        result = counts.eq(0.0).pick(result.like(empty), mean);
    }
    s.assert(bounds.1.ge(bounds.0), "segment_reduce: a segment must not end before it begins");
    if c.opt_tensor("lengths")?.is_some() && !c.bool("unsafe")? {
        let all = (bounds.1 - bounds.0).sum(&[axis], false);
        s.assert(all.eq(s.size(&size, DType::I64)), "segment_reduce: the lengths must add up to the size of the data");
    }
    Ok(vec![result.cast(data.dtype())])
}
