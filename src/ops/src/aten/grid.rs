//! Sampling of images at a grid of points, and affine grids.

use super::linear::multiply;
use crate::host::{self, rounded};
use crate::{Call, OpDef, OpError, Scalar, Tensor, shape, unravel};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("affine_grid_generator(Tensor theta, SymInt[] size, bool align_corners) -> Tensor", affine_fact, affine),
    rounded!("grid_sampler(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor", infer, sample),
    rounded!("grid_sampler_2d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor", infer, sample),
    rounded!("grid_sampler_3d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor", infer, sample),
];

/// How values between grid points are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interpolation {
    Linear,
    Nearest,
    Cubic,
}

/// What lies outside of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// The modes of a call.
pub fn modes<T>(c: &Call<'_, T>) -> Result<(Interpolation, Padding), OpError> {
    let interpolation = match c.int("interpolation_mode")? {
        0 => Interpolation::Linear,
        1 => Interpolation::Nearest,
        2 => Interpolation::Cubic,
        m => return Err(OpError::Invalid(format!("there is no interpolation mode {m}"))),
    };
    let padding = match c.int("padding_mode")? {
        0 => Padding::Zeros,
        1 => Padding::Border,
        2 => Padding::Reflection,
        m => return Err(OpError::Invalid(format!("there is no padding mode {m}"))),
    };
    Ok((interpolation, padding))
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, grid) = (c.tensor("input")?, c.tensor("grid")?);
    let (interpolation, _) = modes(c)?;
    if x.rank() != grid.rank() || !(4..=5).contains(&x.rank()) || interpolation == Interpolation::Cubic && x.rank() == 5
    {
        return Err(OpError::Invalid(format!("a grid {grid} does not sample {x}")));
    }
    let points = &grid.shape[1..grid.rank() - 1];
    Ok(vec![Fact::new(x.dtype, [&x.shape[..2], points].concat())])
}

/// A grid coordinate in -1..1 as a position between elements.
fn position(g: f64, n: usize, align: bool) -> f64 {
    if align { (g + 1.0) / 2.0 * (n as f64 - 1.0) } else { ((g + 1.0) * n as f64 - 1.0) / 2.0 }
}

/// A position moved inside the image as the padding wants it.
fn padded(x: f64, n: usize, padding: Padding, align: bool) -> f64 {
    let last = n as f64 - 1.0;
    match padding {
        Padding::Zeros => x,
        Padding::Border => x.max(0.0).min(last),
        Padding::Reflection => {
            let (low, span) = if align { (0.0, last) } else { (-0.5, n as f64) };
            if span <= 0.0 {
                return 0.0;
            }
            let x = (x - low).abs();
            let (extra, flips) = (x % span, (x / span).floor());
            let x = if flips % 2.0 == 0.0 { extra + low } else { span - extra + low };
            x.max(0.0).min(last)
        }
    }
}

/// Positions (maybe outside) and weights along one axis.
fn taps(x: f64, n: usize, (interpolation, padding): (Interpolation, Padding), align: bool) -> Vec<(f64, f64)> {
    match interpolation {
        Interpolation::Nearest => vec![(padded(x, n, padding, align).round_ties_even(), 1.0)],
        Interpolation::Linear => {
            let x = padded(x, n, padding, align);
            let low = x.floor();
            vec![(low, low + 1.0 - x), (low + 1.0, x - low)]
        }
        Interpolation::Cubic => {
            let (low, a) = (x.floor(), -0.75);
            let t = x - low;
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            let at = |k: usize| padded(low + k as f64 - 1.0, n, padding, align);
            (0..4).map(|k| (at(k), weights[k])).collect()
        }
    }
}

fn sample(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (x, grid) = (c.tensor("input")?, c.tensor("grid")?);
    let (_, out) = host::result_of(c)?;
    let (modes, align) = (modes(c)?, c.bool("align_corners")?);
    let spatial = x.rank() - 2;
    let sizes = &x.shape()[2..];
    let plane: usize = sizes.iter().product();
    let points: usize = out[2..].iter().product();
    let mut index = vec![0; 3];
    let space = [out[0], out[1], points];
    Ok(Tensor::from_fn(DType::F64, &out, |i| {
        unravel(i, &space, &mut index);
        let (n, channel, point) = (index[0], index[1], index[2]);
        // The grid names the last dimension first.
        let axes: Vec<Vec<(f64, f64)>> = (0..spatial)
            .map(|d| {
                let g = grid.f64((n * points + point) * spatial + spatial - 1 - d);
                taps(position(g, sizes[d], align), sizes[d], modes, align)
            })
            .collect();
        let mut total = 0.0;
        for k in 0..axes.iter().map(Vec::len).product() {
            let (mut k, mut flat, mut weight, mut inside) = (k, 0, 1.0, true);
            for (d, own) in axes.iter().enumerate() {
                let (p, w) = own[k % own.len()];
                k /= own.len();
                inside &= p >= 0.0 && p < sizes[d] as f64;
                flat = flat * sizes[d] + if inside { p as usize } else { 0 };
                weight *= w;
            }
            // A weight that is not a number counts even where it falls outside.
            total += weight * if inside { x.f64((n * out[1] + channel) * plane + flat) } else { 0.0 };
        }
        Scalar::Float(total)
    }))
}

fn affine_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let theta = c.tensor("theta")?;
    let size = c.dims("size")?;
    let [n, _, spatial @ ..] = &size[..] else {
        return Err(OpError::invalid("affine_grid_generator needs the size of a batch of images"));
    };
    let last = Dim::int(spatial.len() as i64);
    Ok(vec![Fact::new(theta.dtype, [&[n.clone()], spatial, &[last]].concat())])
}

/// Grid points `x = ((2·i + 1)/n - 1)` (or from -1 to 1 with aligned corners), homogeneous, times `thetaᵀ`.
fn affine(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let theta = c.tensor("theta")?;
    let (_, out) = host::result_of(c)?;
    let align = c.bool("align_corners")?;
    let sizes = shape::known(&c.dims("size")?)?[2..].to_vec();
    let (spatial, points) = (sizes.len(), sizes.iter().product::<usize>());
    let mut index = vec![0; spatial];
    let base = Tensor::from_fn(DType::F64, &[points, spatial + 1], |i| {
        unravel(i / (spatial + 1), &sizes, &mut index);
        let d = i % (spatial + 1);
        if d == spatial {
            return Scalar::Float(1.0);
        }
        let (at, n) = (index[spatial - 1 - d] as f64, sizes[spatial - 1 - d] as f64);
        Scalar::Float(match align {
            true if n > 1.0 => 2.0 * at / (n - 1.0) - 1.0,
            true => 0.0,
            false => (2.0 * at + 1.0) / n - 1.0,
        })
    });
    multiply(&base, &theta.permute(&[0, 2, 1]))?.reshape(&out)
}
