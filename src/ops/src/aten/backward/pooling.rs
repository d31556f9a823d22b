//! Gradients of pooling and resampling. Where the forward operator is linear, its matrix along each dimension is
//! transposed.

use crate::formula::{Sheet, Term, formula};
use crate::shape::spread;
use crate::{Builder, Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
        |s, c| average(s, c, 2)?
    ),
    formula!(
        "avg_pool3d_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
        |s, c| average(s, c, 3)?
    ),
    formula!("_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| adaptive(s, c, 2)?),
    formula!("_adaptive_avg_pool3d_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| adaptive(s, c, 3)?),
    OpDef::formula(
        "max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 2),
    ),
    OpDef::formula(
        "max_pool3d_with_indices_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, int[3] dilation, bool ceil_mode, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 3),
    ),
    OpDef::formula(
        "adaptive_max_pool2d_backward(Tensor grad_output, Tensor self, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 2),
    ),
    OpDef::formula(
        "adaptive_max_pool3d_backward(Tensor grad_output, Tensor self, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 3),
    ),
    OpDef::formula(
        "fractional_max_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] output_size, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 2),
    ),
    OpDef::formula(
        "fractional_max_pool3d_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] output_size, Tensor indices) -> Tensor",
        |b, c| maximum(b, c, 3),
    ),
    formula!("reflection_pad1d_backward(Tensor grad_output, Tensor self, SymInt[2] padding) -> Tensor", |s, c| padded(
        s, c, true
    )?),
    formula!("reflection_pad2d_backward(Tensor grad_output, Tensor self, SymInt[4] padding) -> Tensor", |s, c| padded(
        s, c, true
    )?),
    formula!("reflection_pad3d_backward(Tensor grad_output, Tensor self, SymInt[6] padding) -> Tensor", |s, c| padded(
        s, c, true
    )?),
    formula!("replication_pad1d_backward(Tensor grad_output, Tensor self, SymInt[2] padding) -> Tensor", |s, c| {
        padded(s, c, false)?
    }),
    formula!("replication_pad2d_backward(Tensor grad_output, Tensor self, SymInt[4] padding) -> Tensor", |s, c| {
        padded(s, c, false)?
    }),
    formula!("replication_pad3d_backward(Tensor grad_output, Tensor self, SymInt[6] padding) -> Tensor", |s, c| {
        padded(s, c, false)?
    }),
    formula!(
        "upsample_nearest1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None) -> Tensor",
        |s, c| upsample(s, c, nearest)?
    ),
    formula!(
        "upsample_nearest3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, nearest)?
    ),
    formula!(
        "_upsample_nearest_exact1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None) -> Tensor",
        |s, c| upsample(s, c, nearest_exact)?
    ),
    formula!(
        "_upsample_nearest_exact2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, nearest_exact)?
    ),
    formula!(
        "_upsample_nearest_exact3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, nearest_exact)?
    ),
    formula!(
        "upsample_linear1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, bool align_corners, float? scales=None) -> Tensor",
        |s, c| upsample(s, c, linear)?
    ),
    formula!(
        "upsample_trilinear3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, linear)?
    ),
    formula!(
        "upsample_bicubic2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, cubic)?
    ),
    formula!(
        "upsample_nearest2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, nearest)?
    ),
    formula!(
        "upsample_bilinear2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
        |s, c| upsample(s, c, linear)?
    ),
];

/// `g` times the matrix `[in, out]` along dimension `dim`.
fn along<'s>(g: Term<'s>, matrix: Term<'s>, dim: usize) -> Term<'s> {
    let last = g.rank().saturating_sub(1);
    g.then(|b, v| b.transpose(v, dim, last)).matmul(matrix.mt()).then(|b, v| b.transpose(v, dim, last))
}

/// At least one dimension before the matrix: a product needs two.
fn results<'s>(g: Term<'s>, like: Term<'s>) -> Vec<Term<'s>> {
    vec![g.reshape(&like.shape()).cast(like.dtype())]
}

fn average<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, spatial: usize) -> Result<Vec<Term<'s>>, OpError> {
    let x = s.arg(c, "self");
    let dtype = x.wide().dtype();
    let mut g = s.arg(c, "grad_output").cast(dtype);
    let window = spread(&c.ints("kernel_size")?, spatial, "kernel_size")?;
    let stride = c.ints("stride")?;
    let stride = if stride.is_empty() { window.clone() } else { spread(&stride, spatial, "stride")? };
    let padding = spread(&c.ints("padding")?, spatial, "padding")?;
    let (include, divisor) = (c.bool("count_include_pad")?, c.opt_int("divisor_override")?);
    let first = x.rank().saturating_sub(spatial);
    if let Some(n) = divisor {
        g = g * (1.0 / n as f64);
    }
    for d in 0..spatial {
        let (size, out) = (x.extent(first + d), g.extent(first + d));
        let last = s.size(&size, DType::I64);
        let start = s.iota(&out, DType::I64) * stride[d] as f64 - padding[d] as f64;
        let end = (start + window[d] as f64).min(last + padding[d] as f64);
        let position = s.iota(&size, DType::I64).unsqueeze(1);
        let covered = position.ge(start).and(position.lt(end));
        let count = if include { end - start } else { end.min(last) - start.max(0.0) };
        let share = if divisor.is_some() { covered.cast(dtype) } else { covered.cast(dtype) / count.cast(dtype) };
        g = along(g, share, first + d);
    }
    Ok(results(g, x))
}

fn adaptive<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, spatial: usize) -> Result<Vec<Term<'s>>, OpError> {
    let x = s.arg(c, "self");
    let dtype = x.wide().dtype();
    let mut g = s.arg(c, "grad_output").cast(dtype);
    let first = x.rank().saturating_sub(spatial);
    for dim in first..x.rank() {
        let (size, out) = (x.extent(dim), g.extent(dim));
        let (n, m) = (s.size(&size, DType::I64), s.size(&out, DType::I64));
        let window = s.iota(&out, DType::I64);
        let start = (window * n).div_floor(m);
        let end = ((window + 1.0) * n + m - 1.0).div_floor(m);
        let position = s.iota(&size, DType::I64).unsqueeze(1);
        let covered = position.ge(start).and(position.lt(end));
        g = along(g, covered.cast(dtype) / (end - start).cast(dtype), dim);
    }
    Ok(results(g, x))
}

/// Every gradient goes to where the largest element was.
fn maximum(b: &mut Builder<'_>, c: &Call<'_, Val>, spatial: usize) -> Result<Vec<Val>, OpError> {
    let [g, x, indices] = ["grad_output", "self", "indices"].map(|n| c.tensor(n).copied());
    let (g, x, indices) = (g?, x?, indices?);
    let shape = b.shape(x);
    let first = shape.len().saturating_sub(spatial);
    let flat = |s: &[Dim]| {
        let area = s[first..].iter().fold(Dim::ONE, |n, d| &n * d);
        [&s[..first], &[area]].concat()
    };
    let (places, values) = (flat(&b.shape(indices)), flat(&b.shape(g)));
    let indices = b.reshape(indices, &places)?;
    let g = b.reshape(g, &values)?;
    let dtype = b.dtype(x);
    let into = b.full(&flat(&shape), &Arg::Int(Dim::ZERO), dtype)?;
    let sum = b.scatter(into, indices, g, first, "add")?;
    Ok(vec![b.reshape(sum, &shape)?])
}

/// What padding copied to several places is added up there.
fn padded<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, reflect: bool) -> Result<Vec<Term<'s>>, OpError> {
    let x = s.arg(c, "self");
    let dtype = x.wide().dtype();
    let mut g = s.arg(c, "grad_output").cast(dtype);
    for (i, sides) in c.dims("padding")?.chunks_exact(2).enumerate() {
        let dim = x.rank().checked_sub(i + 1).ok_or_else(|| OpError::invalid("more padding than dimensions"))?;
        let (n, out) = (x.extent(dim), g.extent(dim));
        let last = s.size(&(&n - 1), DType::I64);
        let place = s.iota(&out, DType::I64) - s.size(&sides[0], DType::I64);
        let source = if reflect { last - (last - place.abs()).abs() } else { place.max(0.0).min(last) };
        g = along(g, s.iota(&n, DType::I64).unsqueeze(1).eq(source).cast(dtype), dim);
    }
    Ok(results(g, x))
}

/// The matrix `[in, out]` of an interpolation along one dimension; the last is `in / out` where it is given.
type Interpolation = for<'s> fn(&'s Sheet<'_>, &Dim, &Dim, DType, bool, Option<f64>) -> Term<'s>;

fn nearest<'s>(s: &'s Sheet<'_>, n: &Dim, out: &Dim, dtype: DType, _: bool, scale: Option<f64>) -> Term<'s> {
    picked(s, n, out, dtype, scale, 0.0)
}

fn nearest_exact<'s>(s: &'s Sheet<'_>, n: &Dim, out: &Dim, dtype: DType, _: bool, scale: Option<f64>) -> Term<'s> {
    picked(s, n, out, dtype, scale, 0.5)
}

/// The element at each output position moved by `offset`.
fn picked<'s>(s: &'s Sheet<'_>, n: &Dim, out: &Dim, dtype: DType, scale: Option<f64>, offset: f64) -> Term<'s> {
    let ratio =
        scale.map_or_else(|| s.size(n, DType::F32) / s.size(out, DType::F32), |f| s.number(1.0 / f, DType::F32));
    let source = ((s.iota(out, DType::F32) + offset) * ratio).floor().cast(DType::I64);
    let source = source.min(s.size(n, DType::I64) - 1.0);
    s.iota(n, DType::I64).unsqueeze(1).eq(source).cast(dtype)
}

fn linear<'s>(s: &'s Sheet<'_>, n: &Dim, out: &Dim, dtype: DType, align: bool, scale: Option<f64>) -> Term<'s> {
    let (size, o) = (s.size(n, dtype), s.iota(out, dtype));
    let position = if align {
        o * ((size - 1.0) / (s.size(out, dtype) - 1.0).max(1.0))
    } else {
        let ratio = scale.map_or_else(|| size / s.size(out, dtype), |f| s.number(1.0 / f, dtype));
        ((o + 0.5) * ratio - 0.5).max(0.0)
    };
    let position = position.min(size - 1.0);
    // A tent of height 1 over each position.
    (1.0 - (s.iota(n, dtype).unsqueeze(1) - position).abs()).max(0.0)
}

/// Cubic convolution with A = -0.75 over four neighbours; positions outside are those at the edge.
fn cubic<'s>(s: &'s Sheet<'_>, n: &Dim, out: &Dim, dtype: DType, align: bool, scale: Option<f64>) -> Term<'s> {
    const A: f64 = -0.75;
    let (size, o) = (s.size(n, dtype), s.iota(out, dtype));
    let position = if align {
        o * ((size - 1.0) / (s.size(out, dtype) - 1.0).max(1.0))
    } else {
        let ratio = scale.map_or_else(|| size / s.size(out, dtype), |f| s.number(1.0 / f, dtype));
        (o + 0.5) * ratio - 0.5
    };
    let (low, rows) = (position.floor(), s.iota(n, dtype).unsqueeze(1));
    let weight = |tap: i32| {
        let x = (position - low - f64::from(tap)).abs();
        if tap == 0 || tap == 1 {
            ((x * (A + 2.0)) - (A + 3.0)) * x * x + 1.0
        } else {
            ((x * A - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
        }
    };
    let tap = |tap: i32| {
        let source = (low + f64::from(tap)).max(0.0).min(size - 1.0);
        rows.eq(source).cast(dtype) * weight(tap)
    };
    tap(-1) + tap(0) + tap(1) + tap(2)
}

fn upsample<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, how: Interpolation) -> Result<Vec<Term<'s>>, OpError> {
    let incoming = s.arg(c, "grad_output");
    let dtype = incoming.wide().dtype();
    let sizes = c.dims("input_size")?;
    let align = c.op.schema.position("align_corners").is_some() && c.bool("align_corners")?;
    let mut g = incoming.cast(dtype);
    let names = ["scales_d", "scales_h", "scales_w", "scales"];
    let names = names.into_iter().filter(|name| c.op.schema.position(name).is_some());
    for (name, d) in names.zip(2..) {
        let (Some(n), Some(out)) = (sizes.get(d), g.shape().get(d).cloned()) else {
            return Err(OpError::invalid("a resized tensor has a batch, channels and the sizes that change"));
        };
        let scale = c.opt_float(name)?;
        g = along(g, how(s, n, &out, dtype, align, scale), d);
    }
    Ok(vec![g.cast(incoming.dtype())])
}
