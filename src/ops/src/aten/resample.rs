//! Resizing of images and sequences: nearest, linear, cubic, and the antialiased filters.
//!
//! Every method is a weighted sum of a few input positions along each spatial dimension in turn. Positions and
//! weights are computed in f32, those of f64 images in f64, as PyTorch computes them.

use crate::host::{self, rounded};
use crate::{Call, OpDef, OpError, Tensor, shape};
use num_traits::Float;
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("_upsample_bicubic2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("_upsample_bicubic2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("_upsample_bilinear2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("_upsample_bilinear2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("_upsample_lanczos2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("_upsample_lanczos2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("_upsample_nearest_exact3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_bicubic2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("upsample_bicubic2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_bilinear2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("upsample_bilinear2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_linear1d(Tensor self, SymInt[1] output_size, bool align_corners, float? scales=None) -> Tensor", infer, eval),
    rounded!("upsample_linear1d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_nearest1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor", infer, eval),
    rounded!("upsample_nearest1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_nearest2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_nearest3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("upsample_nearest3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor", infer, eval),
    rounded!("upsample_trilinear3d(Tensor self, SymInt[3] output_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor", infer, eval),
    rounded!("upsample_trilinear3d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor", infer, eval),
];

/// How a resized element is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The element before or at the scaled position.
    Nearest,
    /// The element that covers the scaled centre.
    NearestExact,
    Linear,
    /// With A = -0.75.
    Cubic,
    /// A triangle as wide as the scale.
    LinearAntialias,
    /// Cubic with A = -0.5, as wide as the scale.
    CubicAntialias,
    /// The Lanczos kernel with three lobes, as wide as the scale.
    LanczosAntialias,
}

impl Method {
    /// How far an antialiased filter reaches at scale 1.
    pub fn radius(self) -> f32 {
        match self {
            Method::LanczosAntialias => 3.0,
            Method::CubicAntialias => 2.0,
            _ => 1.0,
        }
    }
}

/// One spatial dimension's resize.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// Size before.
    pub size: Dim,
    /// Size after.
    pub out: Dim,
    /// The scale factor the caller gave, output over input, if positions follow it rather than the sizes.
    pub factor: Option<f64>,
}

/// A resize: method and axes, in the order of the trailing dimensions.
#[derive(Clone, PartialEq, Debug)]
pub struct Resize {
    pub method: Method,
    pub align_corners: bool,
    pub axes: Vec<Axis>,
}

impl Resize {
    /// Reads the arguments of any operator of the family, for an input of this shape.
    pub fn new<T>(c: &Call<'_, T>, input: &[Dim]) -> Result<Resize, OpError> {
        let name = c.op.schema.name.as_str();
        let method = match name {
            _ if name.contains("nearest_exact") => Method::NearestExact,
            _ if name.contains("nearest") => Method::Nearest,
            _ if name.contains("bicubic") && name.ends_with("_aa") => Method::CubicAntialias,
            _ if name.contains("bicubic") => Method::Cubic,
            _ if name.contains("lanczos") => Method::LanczosAntialias,
            _ if name.ends_with("_aa") => Method::LinearAntialias,
            _ => Method::Linear,
        };
        let spatial = name.chars().find(char::is_ascii_digit).and_then(|d| d.to_digit(10)).unwrap_or(2) as usize;
        if input.len() != spatial + 2 {
            return Err(OpError::Invalid(format!("`{}` takes {} dimensions", c.op.name, spatial + 2)));
        }
        let sizes = &input[2..];
        let align_corners = c.op.schema.position("align_corners").is_some() && c.bool("align_corners")?;
        let given = c.opt_dims("output_size")?;
        let factors: Vec<Option<f64>> = if c.op.schema.position("scale_factors").is_some() {
            match c.arg("scale_factors")? {
                pt2c_ir::Arg::Floats(v) if v.len() == spatial => v.iter().map(|&f| Some(f)).collect(),
                pt2c_ir::Arg::None => vec![None; spatial],
                _ => return Err(OpError::invalid("a scale factor is needed for every spatial dimension")),
            }
        } else {
            let names: &[&str] = match spatial {
                1 => &["scales"],
                2 => &["scales_h", "scales_w"],
                _ => &["scales_d", "scales_h", "scales_w"],
            };
            names.iter().map(|n| c.opt_float(n)).collect::<Result<_, _>>()?
        };
        let out = match given {
            Some(sizes) => shape::spread(&sizes, spatial, "output_size")?,
            None => sizes.iter().zip(&factors).map(|(n, f)| scaled_size(n, *f)).collect::<Result<_, _>>()?,
        };
        let axes = sizes.iter().zip(out).zip(factors);
        let axes =
            axes.map(|((size, out), factor)| Axis { size: size.clone(), out, factor: factor.filter(|f| *f > 0.0) });
        Ok(Resize { method, align_corners, axes: axes.collect() })
    }

    /// Input over output size of an axis as PyTorch scales positions, in the precision of positions (f64 for images in f64
    /// that are not only picked from, else f32); `None` where it depends on sizes that are not known.
    pub fn ratio<R: Float>(&self, axis: &Axis) -> Option<R> {
        if let (Some(factor), false) = (axis.factor, self.align_corners) {
            return R::from(1.0 / factor);
        }
        let (n, out) = (axis.size.as_int()?, axis.out.as_int()?);
        match (self.align_corners, out > 1) {
            (false, _) => Some(R::from(n)? / R::from(out)?),
            (true, true) => Some(R::from(n - 1)? / R::from(out - 1)?),
            (true, false) => Some(R::zero()),
        }
    }
}

/// `⌊size · factor⌋`.
fn scaled_size(size: &Dim, factor: Option<f64>) -> Result<Dim, OpError> {
    let factor = factor.ok_or_else(|| OpError::invalid("a resize needs an output size or scale factors"))?;
    if let Some(n) = size.as_int() {
        return Ok(Dim::int((n as f64 * factor) as i64));
    }
    // A factor that is a fraction of small numbers scales a symbolic size exactly.
    (1..=64i64)
        .find(|d| (factor * *d as f64).fract() == 0.0)
        .map(|d| (size * &Dim::int((factor * d as f64) as i64)).floor_div(&Dim::int(d)))
        .ok_or_else(|| OpError::Unsupported(format!("a size that depends on the input scaled by {factor}")))
}

fn input_of<'a, T>(c: &Call<'a, T>) -> Result<&'a T, OpError> {
    c.tensor(if c.op.schema.position("input").is_some() { "input" } else { "self" })
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = input_of(c)?;
    let resize = Resize::new(c, &x.shape)?;
    let out: Vec<Dim> = resize.axes.into_iter().map(|a| a.out).collect();
    Ok(vec![Fact::new(x.dtype, [&x.shape[..2], &out].concat())])
}

/// The cubic convolution kernel at distance `x` for parameter `a`.
fn cubic<R: Float + From<f32>>(x: R, a: R) -> R {
    let (x, n) = (x.abs(), <R as From<f32>>::from);
    if x < n(1.0) {
        ((a + n(2.0)) * x - (a + n(3.0))) * x * x + n(1.0)
    } else if x < n(2.0) {
        ((a * x - n(5.0) * a) * x + n(8.0) * a) * x - n(4.0) * a
    } else {
        n(0.0)
    }
}

/// `sinc(x)·sinc(x / 3)` up to the third zero.
fn lanczos<R: Float + From<f32>>(x: R) -> R {
    let n = <R as From<f32>>::from;
    let pi = n(-1.0).acos();
    let (x, third) = (x.abs() * pi, x.abs() * pi / n(3.0));
    if x == n(0.0) {
        n(1.0)
    } else if third < pi {
        x.sin() * third.sin() / (x * third)
    } else {
        n(0.0)
    }
}

/// Input positions and weights of output element `i`, computed in `R`.
fn taps<R: Float + From<f32> + Into<f64>>(resize: &Resize, ratio: R, size: usize, i: usize) -> Vec<(usize, f64)> {
    let last = size.saturating_sub(1);
    let clamp = |p: i64| p.clamp(0, last as i64) as usize;
    let n = <R as From<f32>>::from;
    // Whole numbers below the sizes of images are exact in f32.
    let whole = |p: i64| n(p as f32);
    let floor = |x: R| x.to_i64().unwrap_or(i64::MAX);
    let at = |offset: f32| (whole(i as i64) + n(offset)) * ratio;
    let centre = if resize.align_corners { at(0.0) } else { at(0.5) - n(0.5) };
    match resize.method {
        Method::Nearest => vec![(clamp(floor(at(0.0))), 1.0)],
        Method::NearestExact => vec![(clamp(floor(at(0.5))), 1.0)],
        Method::Linear => {
            let centre = centre.max(n(0.0));
            let low = clamp(floor(centre));
            let weight = (centre - whole(low as i64)).max(n(0.0)).min(n(1.0));
            vec![(low, (n(1.0) - weight).into()), (clamp(low as i64 + 1), weight.into())]
        }
        Method::Cubic => {
            let low = centre.floor();
            let t = centre - low;
            (-1..3).map(|k| (clamp(floor(low) + k), cubic(t - whole(k), n(-0.75)).into())).collect()
        }
        Method::LinearAntialias | Method::CubicAntialias | Method::LanczosAntialias => {
            let radius = n(resize.method.radius());
            let support = if ratio >= n(1.0) { radius * ratio } else { radius };
            let inverse = if ratio >= n(1.0) { n(1.0) / ratio } else { n(1.0) };
            let centre = at(0.5);
            let first = floor(centre - support + n(0.5)).max(0);
            let end = floor(centre + support + n(0.5)).min(size as i64);
            let weight = |p: i64| {
                let x = (whole(p) - centre + n(0.5)) * inverse;
                match resize.method {
                    Method::CubicAntialias => cubic(x, n(-0.5)),
                    Method::LanczosAntialias => lanczos(x),
                    _ => (n(1.0) - x.abs()).max(n(0.0)),
                }
            };
            let total = (first..end).map(weight).fold(n(0.0), |sum, w| sum + w);
            (first..end).map(|p| (clamp(p), (weight(p) / total).into())).collect()
        }
    }
}

fn eval(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let input = input_of(c)?;
    let resize = Resize::new(c, &input.fact().shape)?;
    let mut x = input.cast(DType::F64);
    let picks = matches!(resize.method, Method::Nearest | Method::NearestExact);
    let in_f64 = input.dtype() == DType::F64 && !picks;
    for (axis, a) in resize.axes.iter().enumerate() {
        let dim = axis + 2;
        let unknown = || OpError::invalid("a size is not known");
        let (n, out) = (x.shape()[dim], shape::known(std::slice::from_ref(&a.out))?[0]);
        let lines = host::Lines::new(x.shape(), dim);
        let mut resized = x.shape().to_vec();
        resized[dim] = out;
        let mut values = vec![0.0; resized.iter().product()];
        for i in 0..out {
            let taps = if in_f64 {
                taps(&resize, resize.ratio::<f64>(a).ok_or_else(unknown)?, n, i)
            } else {
                taps(&resize, resize.ratio::<f32>(a).ok_or_else(unknown)?, n, i)
            };
            for l in 0..lines.count {
                values[lines.at_in(out, l, i)] = taps.iter().map(|&(p, w)| x.f64(lines.at(l, p)) * w).sum();
            }
        }
        x = Tensor::from_f64(DType::F64, &resized, &values);
    }
    if input.dtype().is_float() || picks {
        return Ok(x);
    }
    // Integer images round, and saturate where a cubic overshoots.
    Ok(host::map(&x, |v| v.round().clamp(0.0, 255.0)))
}
