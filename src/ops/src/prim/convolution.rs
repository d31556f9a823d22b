//! Convolution and its transpose over any number of spatial dimensions.

use super::contraction::axpy;
use crate::{Call, OpDef, OpError, Tensor, strides_of, unravel};
use num_complex::Complex64;
use pt2c_ir::Fact;
use pt2c_ir::dim::Dim;
use std::num::Wrapping;
use std::ops::{AddAssign, Mul};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new(
        "conv(Tensor x, Tensor w, SymInt[] stride, SymInt[] pad_low, SymInt[] pad_high, SymInt[] dilation, SymInt groups) -> Tensor",
        infer_conv,
        |c| {
            let (x, w) = (c.tensor("x")?, c.tensor("w")?);
            let g = Geometry {
                stride: c.sizes("stride")?,
                low: c.sizes("pad_low")?,
                dilation: c.sizes("dilation")?,
                groups: groups(c)?,
            };
            let high = c.sizes("pad_high")?;
            Ok(vec![conv(x, w, &g, &high)?])
        },
    ),
    OpDef::new(
        "conv_transpose(Tensor x, Tensor w, SymInt[] stride, SymInt[] padding, SymInt[] output_padding, SymInt[] dilation, SymInt groups) -> Tensor",
        infer_conv_transpose,
        |c| {
            let (x, w) = (c.tensor("x")?, c.tensor("w")?);
            let g = Geometry {
                stride: c.sizes("stride")?,
                low: c.sizes("padding")?,
                dilation: c.sizes("dilation")?,
                groups: groups(c)?,
            };
            let output_padding = c.sizes("output_padding")?;
            Ok(vec![conv_transpose(x, w, &g, &output_padding)?])
        },
    ),
];

/// How the windows lie, by spatial dimension.
struct Geometry {
    stride: Vec<usize>,
    low: Vec<usize>,
    dilation: Vec<usize>,
    groups: usize,
}

fn groups(c: &Call<'_, Tensor>) -> Result<usize, OpError> {
    usize::try_from(c.int("groups")?).ok().filter(|&g| g > 0).ok_or_else(|| OpError::invalid("groups must be positive"))
}

/// The parameters of each spatial dimension, checked to be as many as there are.
fn per_dim(c: &Call<'_, Fact>, names: &[&str], spatial: usize) -> Result<Vec<Vec<Dim>>, OpError> {
    let lists = names.iter().map(|n| c.dims(n)).collect::<Result<Vec<_>, _>>()?;
    if lists.iter().any(|l| l.len() != spatial) {
        return Err(OpError::Invalid(format!("`{}` needs {spatial} values for each parameter", c.op.name)));
    }
    Ok((0..spatial).map(|d| lists.iter().filter_map(|l| l.get(d).cloned()).collect()).collect())
}

fn infer_conv(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, w, groups) = (c.tensor("x")?, c.tensor("w")?, c.dim("groups")?);
    let wrong = || OpError::Invalid(format!("{x} cannot be convolved with {w} in {groups} groups"));
    let ([n, channels, spatial @ ..], [filters, depth, kernel @ ..]) = (x.shape.as_slice(), w.shape.as_slice()) else {
        return Err(wrong());
    };
    let fits = x.dtype == w.dtype
        && spatial.len() == kernel.len()
        && !c.scope.prove_eq(channels, &(depth * &groups)).is_no()
        && !c.scope.prove_divisible(filters, &groups).is_no();
    if !fits {
        return Err(wrong());
    }
    let mut shape = vec![n.clone(), filters.clone()];
    let parameters = per_dim(c, &["stride", "pad_low", "pad_high", "dilation"], spatial.len())?;
    for ((size, k), p) in spatial.iter().zip(kernel).zip(parameters) {
        let [stride, low, high, dilation] = p.as_slice() else { return Err(wrong()) };
        let room = size + low + high - dilation * &(k - Dim::ONE) - Dim::ONE;
        shape.push(room.floor_div(stride) + Dim::ONE);
    }
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn infer_conv_transpose(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, w, groups) = (c.tensor("x")?, c.tensor("w")?, c.dim("groups")?);
    let wrong = || OpError::Invalid(format!("{x} cannot be convolved with {w} (transposed) in {groups} groups"));
    let ([n, channels, spatial @ ..], [depth, filters, kernel @ ..]) = (x.shape.as_slice(), w.shape.as_slice()) else {
        return Err(wrong());
    };
    if x.dtype != w.dtype || spatial.len() != kernel.len() || c.scope.prove_eq(channels, depth).is_no() {
        return Err(wrong());
    }
    let mut shape = vec![n.clone(), filters * &groups];
    let parameters = per_dim(c, &["stride", "padding", "output_padding", "dilation"], spatial.len())?;
    for ((size, k), p) in spatial.iter().zip(kernel).zip(parameters) {
        let [stride, padding, extra, dilation] = p.as_slice() else { return Err(wrong()) };
        let full = &(size - Dim::ONE) * stride + dilation * &(k - Dim::ONE) + Dim::ONE;
        shape.push(full - padding - padding + extra);
    }
    Ok(vec![Fact::new(x.dtype, shape)])
}

/// Output size of one dimension; an error if the window is larger than the padded input.
pub(super) fn window_count(
    size: usize,
    low: usize,
    high: usize,
    k: usize,
    dilation: usize,
    stride: usize,
) -> Result<usize, OpError> {
    let window = dilation * k.saturating_sub(1) + 1;
    match (size + low + high).checked_sub(window) {
        Some(room) if stride > 0 => Ok(room / stride + 1),
        _ => Err(OpError::Invalid(format!("a window of {window} does not fit a padded size of {}", size + low + high))),
    }
}

fn conv(x: &Tensor, w: &Tensor, g: &Geometry, high: &[usize]) -> Result<Tensor, OpError> {
    let ([n, _, spatial @ ..], [filters, _, kernel @ ..]) = (x.shape(), w.shape()) else {
        return Err(OpError::invalid("a convolution needs at least two dimensions"));
    };
    let mut shape = vec![*n, *filters];
    for d in 0..spatial.len() {
        let at = |v: &[usize]| v.get(d).copied().unwrap_or(0);
        shape.push(window_count(at(spatial), at(&g.low), at(high), at(kernel), at(&g.dilation), at(&g.stride))?);
    }
    Ok(run(x, w, &shape, g, false))
}

fn conv_transpose(x: &Tensor, w: &Tensor, g: &Geometry, extra: &[usize]) -> Result<Tensor, OpError> {
    let ([n, _, spatial @ ..], [_, filters, kernel @ ..]) = (x.shape(), w.shape()) else {
        return Err(OpError::invalid("a convolution needs at least two dimensions"));
    };
    let mut shape = vec![*n, filters * g.groups];
    for d in 0..spatial.len() {
        let at = |v: &[usize]| v.get(d).copied().unwrap_or(0);
        let full = at(spatial).saturating_sub(1) * at(&g.stride) + at(&g.dilation) * at(kernel).saturating_sub(1) + 1;
        let size = (full + at(extra)).checked_sub(2 * at(&g.low));
        shape.push(size.ok_or_else(|| OpError::invalid("padding is larger than the transposed convolution's output"))?);
    }
    Ok(run(x, w, &shape, g, true))
}

/// The convolution (or its transpose) in the operands' category; `shape` is the result's.
fn run(x: &Tensor, w: &Tensor, shape: &[usize], g: &Geometry, transpose: bool) -> Tensor {
    let dtype = x.dtype();
    let shapes = Shapes { x: x.shape(), w: w.shape(), out: shape };
    if dtype.is_float() {
        Tensor::floats(dtype, shape, taps(&x.as_f64s(), &w.as_f64s(), &shapes, g, transpose))
    } else if dtype.is_complex() {
        let out: Vec<Complex64> = taps(&x.as_complexes(), &w.as_complexes(), &shapes, g, transpose);
        Tensor::complexes(dtype, shape, out)
    } else {
        let wrapping = |t: &Tensor| t.as_i64s().iter().map(|&i| Wrapping(i)).collect::<Vec<_>>();
        let out = taps(&wrapping(x), &wrapping(w), &shapes, g, transpose);
        Tensor::ints(dtype, shape, out.into_iter().map(|w| w.0).collect())
    }
}

struct Shapes<'a> {
    x: &'a [usize],
    w: &'a [usize],
    out: &'a [usize],
}

/// One plane of the input added to one plane of the output for every tap of the filter. Input position `i` and
/// output position `o` of a dimension belong together at tap `t` where `i + low = o·stride + t·dilation` (with input
/// and output exchanged for the transpose), so both directions share this loop.
fn taps<T: Copy + Default + Mul<Output = T> + AddAssign>(
    x: &[T],
    w: &[T],
    shapes: &Shapes<'_>,
    g: &Geometry,
    transpose: bool,
) -> Vec<T> {
    let mut out = vec![T::default(); shapes.out.iter().product()];
    let ([batch, in_channels, x_size @ ..], [w0, w1, kernel @ ..], [_, out_channels, out_size @ ..]) =
        (shapes.x, shapes.w, shapes.out)
    else {
        return out;
    };
    let (x_plane, out_plane, window): (usize, usize, usize) =
        (x_size.iter().product(), out_size.iter().product(), kernel.iter().product());
    if x_plane * out_plane * window == 0 || *w0 * *w1 == 0 {
        return out;
    }
    let (per_in, per_out) = (in_channels / g.groups, out_channels / g.groups);
    // `wide` is the side that steps by the stride: the input of a convolution, the output of its transpose.
    let (wide_size, narrow_size) = if transpose { (out_size, x_size) } else { (x_size, out_size) };
    let segments: Vec<Vec<Segment>> = (0..window).map(|tap| segments(tap, kernel, wide_size, narrow_size, g)).collect();
    for (n, (x, out)) in
        x.chunks_exact(in_channels * x_plane).zip(out.chunks_exact_mut(out_channels * out_plane)).enumerate()
    {
        debug_assert!(n < *batch);
        for (k, out) in out.chunks_exact_mut(out_plane).enumerate() {
            let group = k / per_out.max(1);
            for c in 0..per_in {
                let channel = group * per_in + c;
                let x = x.get(channel * x_plane..(channel + 1) * x_plane).unwrap_or(&[]);
                let filter = if transpose { channel * w1 + k % per_out.max(1) } else { k * w1 + c };
                let w = w.get(filter * window..(filter + 1) * window).unwrap_or(&[]);
                for (&weight, segments) in w.iter().zip(&segments) {
                    for s in segments {
                        if transpose {
                            let x = x.get(s.narrow..s.narrow + s.count).unwrap_or(&[]);
                            let out = out.get_mut(s.wide..).unwrap_or(&mut []);
                            for (o, &v) in out.iter_mut().step_by(s.step).zip(x) {
                                *o += weight * v;
                            }
                        } else {
                            let x = x.get(s.wide..).unwrap_or(&[]);
                            let out = out.get_mut(s.narrow..s.narrow + s.count).unwrap_or(&mut []);
                            if s.step == 1 {
                                axpy(weight, x, out);
                            } else {
                                for (o, &v) in out.iter_mut().zip(x.iter().step_by(s.step)) {
                                    *o += weight * v;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

/// A run of elements along the last dimension that meet at one tap: `count` of the narrow side next to each other,
/// of the wide side `step` apart.
struct Segment {
    wide: usize,
    narrow: usize,
    count: usize,
    step: usize,
}

fn segments(tap: usize, kernel: &[usize], wide: &[usize], narrow: &[usize], g: &Geometry) -> Vec<Segment> {
    let mut taps = vec![0; kernel.len()];
    unravel(tap, kernel, &mut taps);
    // Without spatial dimensions a plane is one element.
    let Some((&last, outer)) = narrow.split_last() else {
        return vec![Segment { wide: 0, narrow: 0, count: 1, step: 1 }];
    };
    let at = |v: &[usize], d: usize| v.get(d).copied().unwrap_or(1);
    // Wide position of narrow position `o` of dimension `d`, if inside.
    let meet = |d: usize, o: usize| {
        let padded = o * at(&g.stride, d) + at(&taps, d) * at(&g.dilation, d);
        padded.checked_sub(at(&g.low, d)).filter(|&i| i < at(wide, d))
    };
    let d = outer.len();
    let inside: Vec<(usize, usize)> = (0..last).filter_map(|o| Some((o, meet(d, o)?))).collect();
    let Some(&(first, wide_first)) = inside.first() else { return Vec::new() };
    let (wide_strides, narrow_strides) = (strides_of(wide), strides_of(narrow));
    let mut index = vec![0; outer.len()];
    let mut found = Vec::new();
    for row in 0..outer.iter().product() {
        unravel(row, outer, &mut index);
        let rows: Option<usize> =
            index.iter().enumerate().map(|(d, &o)| Some(meet(d, o)? * at(&wide_strides, d))).sum();
        if let Some(wide_row) = rows {
            let narrow_row: usize = index.iter().zip(&narrow_strides).map(|(i, s)| i * s).sum();
            found.push(Segment {
                wide: wide_row + wide_first,
                narrow: narrow_row + first,
                count: inside.len(),
                step: at(&g.stride, d),
            });
        }
    }
    // Rows that follow each other without a gap on both sides are one run.
    let mut merged: Vec<Segment> = Vec::new();
    for s in found {
        match merged.last_mut() {
            Some(l) if l.step == 1 && l.wide + l.count == s.wide && l.narrow + l.count == s.narrow => {
                l.count += s.count
            }
            _ => merged.push(s),
        }
    }
    merged
}
