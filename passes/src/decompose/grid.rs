//! Sampling of images at a grid of points, and affine grids.

use super::common::{outputs, plus, tensor, times, wide};
use super::resample::cubic_weights;
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::grid::{Interpolation, Padding, modes};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.affine_grid_generator.default", affine),
    ("aten.grid_sampler.default", sample),
    ("aten.grid_sampler_2d.default", sample),
    ("aten.grid_sampler_3d.default", sample),
];

/// One axis of the image while it is sampled.
struct Axis {
    size: Dim,
    padding: Padding,
    align: bool,
}

impl Axis {
    fn last(&self, b: &mut Builder<'_>, dtype: DType) -> Result<Val, OpError> {
        b.constant_dim(&(&self.size - &Dim::ONE), dtype)
    }

    /// A coordinate in -1..1 as a position between elements.
    fn position(&self, b: &mut Builder<'_>, g: Val) -> Result<Val, OpError> {
        let dtype = b.dtype(g);
        let g = plus(b, g, 1.0)?;
        if self.align {
            let half = times(b, g, 0.5)?;
            let last = self.last(b, dtype)?;
            return b.mul(half, last);
        }
        let size = b.constant_dim(&self.size, dtype)?;
        let x = b.mul(g, size)?;
        let x = plus(b, x, -1.0)?;
        times(b, x, 0.5)
    }

    fn clipped(&self, b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
        let dtype = b.dtype(x);
        let (zero, last) = (b.constant(0.0, dtype)?, self.last(b, dtype)?);
        // NaN goes to the first element, so that it can be an index.
        let x = b.fmax(x, zero)?;
        b.fmin(x, last)
    }

    /// A position moved inside as the padding wants it.
    fn padded(&self, b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
        match self.padding {
            Padding::Zeros => Ok(x),
            Padding::Border => self.clipped(b, x),
            Padding::Reflection => {
                let dtype = b.dtype(x);
                let low = if self.align { 0.0 } else { -0.5 };
                let span = if self.align { &self.size - &Dim::ONE } else { self.size.clone() };
                if span.is_zero() {
                    let zero = b.constant(0.0, dtype)?;
                    return b.mul(x, zero);
                }
                let span = b.constant_dim(&span, dtype)?;
                let x = plus(b, x, -low)?;
                let x = b.abs(x)?;
                let extra = b.rem_trunc(x, span)?;
                let flips = b.div(x, span)?;
                let flips = b.floor(flips)?;
                let two = b.constant(2.0, dtype)?;
                let odd = b.rem_trunc(flips, two)?;
                let zero = b.constant(0.0, dtype)?;
                let even = b.eq(odd, zero)?;
                let back = b.sub(span, extra)?;
                let x = b.where_(even, extra, back)?;
                let x = plus(b, x, low)?;
                self.clipped(b, x)
            }
        }
    }

    /// Whole positions (maybe outside) and their weights.
    fn taps(&self, b: &mut Builder<'_>, x: Val, how: Interpolation) -> Result<Vec<(Val, Option<Val>)>, OpError> {
        match how {
            Interpolation::Nearest => {
                let x = self.padded(b, x)?;
                Ok(vec![(b.round(x)?, None)])
            }
            Interpolation::Linear => {
                let x = self.padded(b, x)?;
                let low = b.floor(x)?;
                let high = plus(b, low, 1.0)?;
                let (below, above) = (b.sub(high, x)?, b.sub(x, low)?);
                Ok(vec![(low, Some(below)), (high, Some(above))])
            }
            Interpolation::Cubic => {
                let low = b.floor(x)?;
                let t = b.sub(x, low)?;
                let mut out = Vec::new();
                for (k, w) in cubic_weights(b, t)?.into_iter().enumerate() {
                    let p = plus(b, low, k as f64 - 1.0)?;
                    out.push((self.padded(b, p)?, Some(w)));
                }
                Ok(out)
            }
        }
    }
}

fn sample(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (input, grid) = (tensor(c, "input")?, tensor(c, "grid")?);
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let (interpolation, padding) = modes(c)?;
    let align = c.bool("align_corners")?;
    let shape = b.shape(input);
    let compute = wide(out.dtype);
    let [n, channels, sizes @ ..] = &shape[..] else { return Err(OpError::invalid("grid_sampler takes images")) };
    let points = out.shape[2..].iter().fold(Dim::ONE, |n, d| &n * d);
    let plane = sizes.iter().fold(Dim::ONE, |n, d| &n * d);
    let x = b.cast(input, compute)?;
    let x = b.reshape(x, &[n.clone(), channels.clone(), plane])?;
    let grid = b.cast(grid, compute)?;
    let grid = b.reshape(grid, &[n.clone(), points.clone(), Dim::int(sizes.len() as i64)])?;
    // [n, 1, points] per axis; the grid names the last dimension first.
    let mut axes = Vec::new();
    for (d, size) in sizes.iter().enumerate() {
        let axis = Axis { size: size.clone(), padding, align };
        let at = Dim::int((sizes.len() - 1 - d) as i64);
        let g = b.slice_dim(grid, 2, &at, &Dim::ONE, 1)?;
        let g = b.reshape(g, &[n.clone(), Dim::ONE, points.clone()])?;
        let position = axis.position(b, g)?;
        let taps = axis.taps(b, position, interpolation)?;
        axes.push((axis, taps));
    }
    let zero = b.constant(0.0, compute)?;
    let index_shape = [n.clone(), channels.clone(), points.clone()];
    let count: usize = axes.iter().map(|(_, t)| t.len()).product();
    let mut total: Option<Val> = None;
    for k in 0..count {
        let (mut k, mut flat, mut weight, mut inside): (usize, Option<Val>, Option<Val>, Option<Val>) =
            (k, None, None, None);
        for (axis, taps) in &axes {
            let (p, w) = taps[k % taps.len()];
            k /= taps.len();
            let size = b.constant_dim(&axis.size, compute)?;
            if padding == Padding::Zeros || interpolation == Interpolation::Linear {
                let (from, to) = (b.ge(p, zero)?, b.lt(p, size)?);
                let own = b.and(from, to)?;
                inside = Some(match inside {
                    Some(i) => b.and(i, own)?,
                    None => own,
                });
            }
            let p = axis.clipped(b, p)?;
            let p = b.cast(p, DType::I64)?;
            let stride = b.constant_dim(&axis.size, DType::I64)?;
            flat = Some(match flat {
                Some(f) => {
                    let f = b.mul(f, stride)?;
                    b.add(f, p)?
                }
                None => p,
            });
            weight = match (weight, w) {
                (Some(a), Some(w)) => Some(b.mul(a, w)?),
                (a, w) => a.or(w),
            };
        }
        let flat = flat.ok_or_else(|| OpError::invalid("grid_sampler needs a spatial dimension"))?;
        let index = b.expand(flat, &index_shape)?;
        let mut part = b.gather(x, index, 2)?;
        if let Some(i) = inside {
            part = b.where_(i, part, zero)?;
        }
        if let Some(w) = weight {
            part = b.mul(part, w)?;
        }
        total = Some(match total {
            Some(sum) => b.add(sum, part)?,
            None => part,
        });
    }
    let total = total.ok_or_else(|| OpError::invalid("no taps"))?;
    let y = b.reshape(total, &out.shape)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

/// Homogeneous coordinates of the points of a regular grid, times `thetaᵀ`.
fn affine(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let theta = tensor(c, "theta")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let align = c.bool("align_corners")?;
    let compute = wide(out.dtype);
    let sizes = &out.shape[1..out.shape.len() - 1];
    let one = Dim::ONE;
    let whole = [sizes, std::slice::from_ref(&one)].concat();
    let mut columns = Vec::new();
    for (d, size) in sizes.iter().enumerate().rev() {
        let i = b.iota(size, compute)?;
        let i = times(b, i, 2.0)?;
        let x = if align {
            let last = b.constant_dim(&(size - &one), compute)?;
            let least = b.constant(1.0, compute)?;
            let last = b.max(last, least)?;
            b.div(i, last)?
        } else {
            let i = plus(b, i, 1.0)?;
            let size = b.constant_dim(size, compute)?;
            b.div(i, size)?
        };
        // A single aligned point lies in the middle.
        let x = if align && size.is_one() { x } else { plus(b, x, -1.0)? };
        let mut own = vec![one.clone(); whole.len()];
        own[d] = size.clone();
        let x = b.reshape(x, &own)?;
        columns.push(b.expand(x, &whole)?);
    }
    let unit = b.constant(1.0, compute)?;
    columns.push(b.expand(unit, &whole)?);
    let base = b.cat(&columns, sizes.len())?;
    let points = sizes.iter().fold(Dim::ONE, |n, d| &n * d);
    let base = b.reshape(base, &[points, Dim::int(columns.len() as i64)])?;
    let theta = b.cast(theta, compute)?;
    let theta = b.transpose(theta, 1, 2)?;
    let y = super::linear::matmul(b, base, theta)?;
    let y = b.reshape(y, &out.shape)?;
    Ok(vec![b.cast(y, out.dtype)?])
}
