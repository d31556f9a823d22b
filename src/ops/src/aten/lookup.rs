//! Reading and writing by computed places: masked indexing, strided scatters, slices whose start is data.

use crate::formula::{Sheet, Term, formula};
use crate::{Builder, Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::formula("_unsafe_masked_index(Tensor self, Tensor mask, Tensor?[] indices, Scalar fill) -> Tensor", |b, c| {
        let x = *c.tensor("self")?;
        let indices = clamped(b, c, x)?;
        let found = b.op("aten.index.Tensor", vec![Arg::Tensor(x), indices])?;
        let args = [c.arg("mask")?.clone(), Arg::Tensor(found), c.arg("fill")?.clone()];
        b.with_defaults("aten.where.ScalarOther", args.to_vec())
    }),
    OpDef::formula("_unsafe_masked_index_put_accumulate(Tensor self, Tensor mask, Tensor?[] indices, Tensor values) -> Tensor", |b, c| {
        let x = *c.tensor("self")?;
        let indices = clamped(b, c, x)?;
        let kept = b.op("aten.where.ScalarOther", vec![c.arg("mask")?.clone(), c.arg("values")?.clone(), Arg::Int(Dim::ZERO)])?;
        let dtype = b.dtype(x);
        let kept = b.cast(kept, dtype)?;
        b.with_defaults("aten.index_put.default", vec![Arg::Tensor(x), indices, Arg::Tensor(kept), Arg::Bool(true)])
    }),
    OpDef::formula("as_strided_scatter(Tensor self, Tensor src, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor", |b, c| {
        let (x, src) = (*c.tensor("self")?, *c.tensor("src")?);
        let (size, stride) = (c.dims("size")?, c.dims("stride")?);
        let mut place = b.constant_dim(&c.opt_dim("storage_offset")?.unwrap_or(Dim::ZERO), DType::I64)?;
        for (d, (n, step)) in size.iter().zip(&stride).enumerate() {
            let i = b.iota(n, DType::I64)?;
            let step = b.constant_dim(step, DType::I64)?;
            let offset = b.mul(i, step)?;
            let mut line = vec![Dim::ONE; size.len()];
            line[d] = n.clone();
            let offset = b.reshape(offset, &line)?;
            place = b.add(place, offset)?;
        }
        let (shape, dtype) = (b.shape(x), b.dtype(x));
        let count = b.fact(x).numel();
        let flat = b.reshape(x, &[count])?;
        let src = b.cast(src, dtype)?;
        let written = b.index_put(flat, &[place], src, false)?;
        Ok(vec![b.reshape(written, &shape)?])
    }),
    formula!("narrow.Tensor(Tensor(a) self, int dim, Tensor start, SymInt length) -> Tensor(a)", |s, c| {
        let x = s.arg(c, "self");
        let dim = wrap_dim(c.int("dim")?, x.rank())?;
        let size = s.size(&x.extent(dim), DType::I64);
        let start = s.arg(c, "start").cast(DType::I64).reshape(&[]);
        let start = start.lt(0.0).pick(start + size, start);
        let index = s.iota(&c.dim("length")?, DType::I64) + start;
        vec![x.then(|b, v| b.take(v, index.value(), dim))]
    }),
    OpDef::formula("fractional_max_pool2d(Tensor self, int[2] kernel_size, int[2] output_size, Tensor random_samples) -> (Tensor, Tensor)", |b, c| fractional(b, c, 2)),
    OpDef::formula("fractional_max_pool3d(Tensor self, int[3] kernel_size, int[3] output_size, Tensor random_samples) -> (Tensor, Tensor)", |b, c| fractional(b, c, 3)),
    formula!("embedding_renorm(Tensor self, Tensor indices, float max_norm, float norm_type) -> Tensor", |s, c| vec![
        renormed(s, c)?
    ]),
    formula!("resize(Tensor self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor", |s, c| vec![resized(
        s,
        c,
        &c.dims("size")?
    )?]),
    formula!("resize_as(Tensor self, Tensor the_template, *, MemoryFormat? memory_format=None) -> Tensor", |s, c| vec![
        resized(s, c, &s.arg(c, "the_template").shape())?
    ]),
];

/// The call's indices, each moved into range: where the mask does not hold they may be anything.
fn clamped(b: &mut Builder<'_>, c: &Call<'_, Val>, x: Val) -> Result<Arg<Val>, OpError> {
    let shape = b.shape(x);
    let mut out = Vec::new();
    for (d, index) in c.opt_tensors("indices")?.into_iter().enumerate() {
        out.push(match index {
            None => None,
            Some(&i) => {
                let i = b.cast(i, DType::I64)?;
                let n = shape.get(d).ok_or_else(|| OpError::invalid("more indices than dimensions"))?;
                let (low, last) = (b.constant_dim(&-n, DType::I64)?, b.constant_dim(&(n - 1), DType::I64)?);
                let i = b.max(i, low)?;
                Some(b.min(i, last)?)
            }
        });
    }
    Ok(Arg::Tensors(out))
}

/// The largest element of windows whose places come from samples (Graham, "Fractional Max-Pooling", 2014).
fn fractional(b: &mut Builder<'_>, c: &Call<'_, Val>, spatial: usize) -> Result<Vec<Val>, OpError> {
    let (x, samples) = (*c.tensor("self")?, *c.tensor("random_samples")?);
    let (window, out) = (c.ints("kernel_size")?, c.ints("output_size")?);
    let shape = b.shape(x);
    let batched = shape.len() == spatial + 2;
    let lead: Vec<Dim> = if batched { shape[..2].to_vec() } else { vec![Dim::ONE, shape[0].clone()] };
    let plane = shape[shape.len() - spatial..].to_vec();
    let area = plane.iter().fold(Dim::ONE, |n, d| &n * d);
    let dtype = b.dtype(samples);
    // Flat place of every element of every window: [N, C, out…, window…].
    let rank = 2 + 2 * spatial;
    let mut flat = b.constant(0.0, DType::I64)?;
    for d in 0..spatial {
        let (k, m) = (window[d], out[d]);
        let reach = &plane[d] - k;
        // Samples are stored from the last dimension to the first.
        let column = spatial - 1 - d;
        let column = if spatial == 2 { column } else { d };
        let sample = b.slice_dim(samples, 2, &Dim::int(column as i64), &Dim::ONE, 1)?;
        let i = b.iota(&Dim::int(m), dtype)?;
        let start = if m > 1 {
            let (span, steps) = (b.constant_dim(&reach, dtype)?, b.constant((m - 1) as f64, dtype)?);
            let alpha = b.div(span, steps)?;
            let shifted = b.add(i, sample)?;
            let (low, high) = (b.mul(sample, alpha)?, b.mul(shifted, alpha)?);
            let (low, high) = (b.trunc(low)?, b.trunc(high)?);
            let start = b.sub(high, low)?;
            b.cast(start, DType::I64)?
        } else {
            let zero = b.constant(0.0, DType::I64)?;
            b.expand(zero, &[lead[0].clone(), lead[1].clone(), Dim::ONE])?
        };
        // The last window ends with the plane.
        let last = b.constant((m - 1) as f64, dtype)?;
        let is_last = b.eq(i, last)?;
        let end = b.constant_dim(&reach, DType::I64)?;
        let start = b.where_(is_last, end, start)?;
        let mut line = vec![Dim::ONE; rank];
        (line[0], line[1], line[2 + d]) = (lead[0].clone(), lead[1].clone(), Dim::int(m));
        let start = b.reshape(start, &line)?;
        let mut line = vec![Dim::ONE; rank];
        line[2 + spatial + d] = Dim::int(k);
        let within = b.iota(&Dim::int(k), DType::I64)?;
        let within = b.reshape(within, &line)?;
        let at = b.add(start, within)?;
        let width = b.constant_dim(&plane[d], DType::I64)?;
        let scaled = b.mul(flat, width)?;
        flat = b.add(scaled, at)?;
    }
    let windows = window.iter().product::<i64>();
    let outs: Vec<Dim> = out.iter().map(|&n| Dim::int(n)).collect();
    let count = outs.iter().fold(Dim::ONE, |n, d| &n * d);
    let flat = b.reshape(flat, &[lead[0].clone(), lead[1].clone(), &count * windows])?;
    let planes = b.reshape(x, &[lead[0].clone(), lead[1].clone(), area])?;
    let values = b.gather(planes, flat, 2)?;
    let lines = [lead[0].clone(), lead[1].clone(), count, Dim::int(windows)];
    let (values, flat) = (b.reshape(values, &lines)?, b.reshape(flat, &lines)?);
    let best = b.argreduce(values, 3, "argmax")?;
    let best = b.unsqueeze(best, 3)?;
    let (value, place) = (b.gather(values, best, 3)?, b.gather(flat, best, 3)?);
    let result = [&shape[..shape.len() - spatial], &outs[..]].concat();
    Ok(vec![b.reshape(value, &result)?, b.reshape(place, &result)?])
}

/// Rows that are looked up, scaled down to a norm of at most `max_norm`.
fn renormed<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Term<'s>, OpError> {
    let (x, indices) = (s.arg(c, "self"), s.arg(c, "indices").cast(DType::I64));
    let (p, most) = (c.float("norm_type")?, c.float("max_norm")?);
    let [rows, _] = <[Dim; 2]>::try_from(x.shape()).map_err(|_| OpError::invalid("an embedding is a matrix"))?;
    let count = indices.shape().iter().fold(Dim::ONE, |n, d| &n * d);
    let at = indices.reshape(std::slice::from_ref(&count));
    let asked = s.number(0.0, DType::I64).expand(std::slice::from_ref(&rows)).then(|b, zeros| {
        let one = b.constant(1.0, DType::I64)?;
        let ones = b.expand(one, std::slice::from_ref(&count))?;
        b.scatter(zeros, at.value(), ones, 0, "set")
    });
    let wide = x.wide();
    let more = vec![Arg::Float(p), Arg::Ints(vec![Dim::int(1)]), Arg::Bool(true), Arg::None];
    let norm = wide.op("aten.linalg_vector_norm.default", more);
    let large = norm.gt(most).and(asked.ne(0.0).unsqueeze(1));
    let scale = norm.like(most) / (norm + 1e-7);
    Ok((wide * large.pick(scale, 1.0)).cast(x.dtype()))
}

/// The first elements in another shape; what is beyond them is 0 (PyTorch leaves it undefined).
fn resized<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, size: &[Dim]) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, "self");
    let count = |shape: &[Dim]| shape.iter().fold(Dim::ONE, |n, d| &n * d);
    let (have, want) = (count(&x.shape()), count(size));
    let flat = x.reshape(std::slice::from_ref(&have));
    let fits = c.scope.prove_le(&want, &have);
    if fits.is_yes() {
        return Ok(flat.narrow(0, &Dim::ZERO, &want).reshape(size));
    }
    if !fits.is_no() {
        return Err(OpError::Unsupported("resize to a size that may or may not be larger: use reshape".into()));
    }
    let missing = &want - &have;
    let padded = flat.then(|b, v| {
        let zero = b.constant(0.0, b.dtype(v))?;
        b.pad(v, zero, &[Dim::ZERO], std::slice::from_ref(&missing))
    });
    Ok(padded.reshape(size))
}
