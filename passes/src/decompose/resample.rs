//! Resizing: along each spatial dimension in turn, elements taken and weighted. Positions are computed in f32, weights of
//! f64 images in f64.

use super::common::wide;
use super::linear::matmul;
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::resample::{Axis, Method, Resize};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._upsample_bicubic2d_aa.default", resize),
    ("aten._upsample_bicubic2d_aa.vec", resize),
    ("aten._upsample_bilinear2d_aa.default", resize),
    ("aten._upsample_bilinear2d_aa.vec", resize),
    ("aten._upsample_lanczos2d_aa.default", resize),
    ("aten._upsample_lanczos2d_aa.vec", resize),
    ("aten._upsample_nearest_exact1d.default", resize),
    ("aten._upsample_nearest_exact1d.vec", resize),
    ("aten._upsample_nearest_exact2d.default", resize),
    ("aten._upsample_nearest_exact2d.vec", resize),
    ("aten._upsample_nearest_exact3d.default", resize),
    ("aten._upsample_nearest_exact3d.vec", resize),
    ("aten.upsample_bicubic2d.default", resize),
    ("aten.upsample_bicubic2d.vec", resize),
    ("aten.upsample_bilinear2d.default", resize),
    ("aten.upsample_bilinear2d.vec", resize),
    ("aten.upsample_linear1d.default", resize),
    ("aten.upsample_linear1d.vec", resize),
    ("aten.upsample_nearest1d.default", resize),
    ("aten.upsample_nearest1d.vec", resize),
    ("aten.upsample_nearest2d.default", resize),
    ("aten.upsample_nearest2d.vec", resize),
    ("aten.upsample_nearest3d.default", resize),
    ("aten.upsample_nearest3d.vec", resize),
    ("aten.upsample_trilinear3d.default", resize),
    ("aten.upsample_trilinear3d.vec", resize),
];

const INT: DType = DType::I64;
const REAL: DType = DType::F32;

/// The dtype of positions and weights for a value.
fn real_of(b: &Builder<'_>, x: Val) -> DType {
    if b.dtype(x) == DType::F64 { DType::F64 } else { REAL }
}

fn resize(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let input = *c.tensor(if c.op.schema.position("input").is_some() { "input" } else { "self" })?;
    let resize = Resize::new(c, &b.shape(input))?;
    let dtype = b.dtype(input);
    let picks = matches!(resize.method, Method::Nearest | Method::NearestExact);
    if !picks && !dtype.is_float() {
        return Err(OpError::Unsupported("interpolation of integer images: convert them to float".into()));
    }
    let mut x = if picks { input } else { b.cast(input, wide(dtype))? };
    for (d, axis) in resize.axes.iter().enumerate() {
        x = along(b, x, d + 2, axis, &resize)?;
    }
    Ok(vec![b.cast(x, dtype)?])
}

fn along(b: &mut Builder<'_>, x: Val, dim: usize, axis: &Axis, resize: &Resize) -> Result<Val, OpError> {
    match resize.method {
        Method::Nearest | Method::NearestExact => nearest(b, x, dim, axis, resize),
        Method::Linear => linear(b, x, dim, axis, resize),
        Method::Cubic => cubic(b, x, dim, axis, resize),
        Method::LinearAntialias | Method::CubicAntialias | Method::LanczosAntialias => {
            antialias(b, x, dim, axis, resize)
        }
    }
}

/// The number by which output positions are scaled.
fn ratio(b: &mut Builder<'_>, axis: &Axis, resize: &Resize, real: DType) -> Result<Val, OpError> {
    let known = if real == REAL { resize.ratio::<f32>(axis).map(f64::from) } else { resize.ratio::<f64>(axis) };
    if let Some(known) = known {
        return b.constant(known, real);
    }
    let less = Dim::int(i64::from(resize.align_corners));
    let size = b.constant_dim(&(&axis.size - &less), real)?;
    let out = b.constant_dim(&(&axis.out - &less), real)?;
    if !resize.align_corners {
        return b.div(size, out);
    }
    // One output element lies at the first input element.
    let (zero, one) = (b.constant(0.0, real)?, b.constant(1.0, real)?);
    let single = b.lt(out, one)?;
    let safe = b.max(out, one)?;
    let ratio = b.div(size, safe)?;
    b.where_(single, zero, ratio)
}

/// `(i + offset) · ratio` for every output position.
fn scaled(b: &mut Builder<'_>, axis: &Axis, resize: &Resize, offset: f64, real: DType) -> Result<Val, OpError> {
    let ratio = ratio(b, axis, resize, real)?;
    let i = b.iota(&axis.out, real)?;
    let i = if offset == 0.0 { i } else { super::common::plus(b, i, offset)? };
    b.mul(i, ratio)
}

/// The centre of every output position in the input.
fn centres(b: &mut Builder<'_>, axis: &Axis, resize: &Resize, real: DType) -> Result<Val, OpError> {
    if resize.align_corners {
        return scaled(b, axis, resize, 0.0, real);
    }
    let at = scaled(b, axis, resize, 0.5, real)?;
    super::common::plus(b, at, -0.5)
}

/// Whole positions as indices inside the input.
fn clamped(b: &mut Builder<'_>, at: Val, axis: &Axis) -> Result<Val, OpError> {
    let at = b.cast(at, INT)?;
    let zero = b.constant(0.0, INT)?;
    let last = b.constant_dim(&(&axis.size - &Dim::ONE), INT)?;
    let at = b.max(at, zero)?;
    b.min(at, last)
}

fn nearest(b: &mut Builder<'_>, x: Val, dim: usize, axis: &Axis, resize: &Resize) -> Result<Val, OpError> {
    if axis.size == axis.out && axis.factor.is_none_or(|f| f == 1.0) {
        return Ok(x);
    }
    // Powers of two scale exactly: every element is repeated.
    for times in [2, 4, 8, 16] {
        if &axis.size * &Dim::int(times) == axis.out && axis.factor.is_none_or(|f| f == times as f64) {
            let mut shape = b.shape(x);
            shape.insert(dim + 1, Dim::ONE);
            let split = b.reshape(x, &shape)?;
            shape[dim + 1] = Dim::int(times);
            let repeated = b.expand(split, &shape)?;
            shape.remove(dim + 1);
            shape[dim] = axis.out.clone();
            return b.reshape(repeated, &shape);
        }
    }
    let offset = if resize.method == Method::NearestExact { 0.5 } else { 0.0 };
    let at = scaled(b, axis, resize, offset, REAL)?;
    let at = b.floor(at)?;
    let at = clamped(b, at, axis)?;
    b.take(x, at, dim)
}

/// A vector of weights along `dim`, to multiply `x` with.
fn weights(b: &mut Builder<'_>, w: Val, x: Val, dim: usize) -> Result<Val, OpError> {
    let mut shape = vec![Dim::ONE; b.rank(x)];
    shape[dim] = b.fact(w).numel();
    let dtype = b.dtype(x);
    let w = b.cast(w, dtype)?;
    b.reshape(w, &shape)
}

fn linear(b: &mut Builder<'_>, x: Val, dim: usize, axis: &Axis, resize: &Resize) -> Result<Val, OpError> {
    let real = real_of(b, x);
    if axis.size == axis.out && (resize.align_corners || axis.factor.is_none_or(|f| f == 1.0)) {
        return Ok(x);
    }
    let at = centres(b, axis, resize, real)?;
    let (zero, one) = (b.constant(0.0, real)?, b.constant(1.0, real)?);
    let at = b.max(at, zero)?;
    let floor = b.floor(at)?;
    let low = clamped(b, floor, axis)?;
    let next = super::common::plus(b, floor, 1.0)?;
    let high = clamped(b, next, axis)?;
    let start = b.cast(low, real)?;
    let weight = b.sub(at, start)?;
    let weight = b.min(weight, one)?;
    let rest = b.sub(one, weight)?;
    let (below, above) = (b.take(x, low, dim)?, b.take(x, high, dim)?);
    let (rest, weight) = (weights(b, rest, x, dim)?, weights(b, weight, x, dim)?);
    let (below, above) = (b.mul(below, rest)?, b.mul(above, weight)?);
    b.add(below, above)
}

/// The cubic kernel at `x ≥ 0`: the inner piece below 1, the outer one up to 2.
fn cubic_piece(b: &mut Builder<'_>, x: Val, a: f64, inner: bool) -> Result<Val, OpError> {
    use super::common::{plus, times};
    if inner {
        let p = times(b, x, a + 2.0)?;
        let p = plus(b, p, -(a + 3.0))?;
        let p = b.mul(p, x)?;
        let p = b.mul(p, x)?;
        return plus(b, p, 1.0);
    }
    let p = times(b, x, a)?;
    let p = plus(b, p, -5.0 * a)?;
    let p = b.mul(p, x)?;
    let p = plus(b, p, 8.0 * a)?;
    let p = b.mul(p, x)?;
    plus(b, p, -4.0 * a)
}

/// Weights of the four elements around a position whose fraction is `t`, with A = -0.75.
pub(super) fn cubic_weights(b: &mut Builder<'_>, t: Val) -> Result<[Val; 4], OpError> {
    use super::common::plus;
    let dtype = b.dtype(t);
    let one = b.constant(1.0, dtype)?;
    let two = b.constant(2.0, dtype)?;
    let (t1, u, u1) = (plus(b, t, 1.0)?, b.sub(one, t)?, b.sub(two, t)?);
    Ok([
        cubic_piece(b, t1, -0.75, false)?,
        cubic_piece(b, t, -0.75, true)?,
        cubic_piece(b, u, -0.75, true)?,
        cubic_piece(b, u1, -0.75, false)?,
    ])
}

fn cubic(b: &mut Builder<'_>, x: Val, dim: usize, axis: &Axis, resize: &Resize) -> Result<Val, OpError> {
    let real = real_of(b, x);
    let at = centres(b, axis, resize, real)?;
    let floor = b.floor(at)?;
    let t = b.sub(at, floor)?;
    let mut total = None;
    for (k, w) in cubic_weights(b, t)?.into_iter().enumerate() {
        let p = super::common::plus(b, floor, k as f64 - 1.0)?;
        let p = clamped(b, p, axis)?;
        let part = b.take(x, p, dim)?;
        let w = weights(b, w, x, dim)?;
        let part = b.mul(part, w)?;
        total = Some(match total {
            Some(sum) => b.add(sum, part)?,
            None => part,
        });
    }
    total.ok_or_else(|| OpError::invalid("no taps"))
}

/// A product with the matrix of filter weights: the filter is as wide as the scale, so positions have many taps.
fn antialias(b: &mut Builder<'_>, x: Val, dim: usize, axis: &Axis, resize: &Resize) -> Result<Val, OpError> {
    let real = real_of(b, x);
    use super::common::{plus, times};
    let radius = f64::from(resize.method.radius());
    let ratio_value = ratio(b, axis, resize, real)?;
    let (zero, one) = (b.constant(0.0, real)?, b.constant(1.0, real)?);
    let stretch = b.max(ratio_value, one)?;
    let support = times(b, stretch, radius)?;
    let i = b.iota(&axis.out, real)?;
    let i = plus(b, i, 0.5)?;
    let centre = b.mul(i, ratio_value)?;
    let low = b.sub(centre, support)?;
    let low = plus(b, low, 0.5)?;
    let low = b.trunc(low)?;
    let low = b.max(low, zero)?;
    let high = b.add(centre, support)?;
    let high = plus(b, high, 0.5)?;
    let high = b.trunc(high)?;
    // Rows are input positions, columns output positions.
    let p = b.iota(&axis.size, real)?;
    let p = b.unsqueeze(p, 1)?;
    let (after, before) = (b.ge(p, low)?, b.lt(p, high)?);
    let inside = b.and(after, before)?;
    let away = b.sub(p, centre)?;
    let away = plus(b, away, 0.5)?;
    let away = b.div(away, stretch)?;
    let away = b.abs(away)?;
    let weight = if resize.method == Method::LanczosAntialias {
        let x = times(b, away, std::f64::consts::PI)?;
        let third = times(b, x, 1.0 / radius)?;
        let (above, below) = (b.sin(x)?, b.mul(x, third)?);
        let other = b.sin(third)?;
        let product = b.mul(above, other)?;
        let at_zero = b.eq(away, zero)?;
        let weight = b.div(product, below)?;
        let weight = b.where_(at_zero, one, weight)?;
        let reach = b.constant(radius, real)?;
        let reached = b.lt(away, reach)?;
        b.where_(reached, weight, zero)?
    } else if resize.method == Method::CubicAntialias {
        let (near, far) = (cubic_piece(b, away, -0.5, true)?, cubic_piece(b, away, -0.5, false)?);
        let two = b.constant(2.0, real)?;
        let (in_near, in_far) = (b.lt(away, one)?, b.lt(away, two)?);
        let far = b.where_(in_far, far, zero)?;
        b.where_(in_near, near, far)?
    } else {
        let rest = b.sub(one, away)?;
        b.max(rest, zero)?
    };
    let weight = b.where_(inside, weight, zero)?;
    let total = b.keepdim_reduce(weight, &[0], "sum")?;
    let weight = b.div(weight, total)?;
    let dtype = b.dtype(x);
    let weight = b.cast(weight, dtype)?;
    let last = b.rank(x) - 1;
    let x = b.transpose(x, dim, last)?;
    let y = matmul(b, x, weight)?;
    b.transpose(y, dim, last)
}
