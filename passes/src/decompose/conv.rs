//! Convolutions.

use super::common::{channelwise, opt_tensor, tensor};
use super::conv_transpose::conv_transpose;
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::conv::{Convolution, window_args, window_count};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._convolution.default", convolution),
    ("aten.col2im.default", col2im),
    ("aten.conv1d.default", convolution),
    ("aten.conv1d.padding", convolution),
    ("aten.conv2d.default", convolution),
    ("aten.conv2d.padding", convolution),
    ("aten.conv3d.default", convolution),
    ("aten.conv3d.padding", convolution),
    ("aten.conv_transpose1d.default", convolution),
    ("aten.conv_transpose2d.input", convolution),
    ("aten.conv_transpose3d.input", convolution),
    ("aten.convolution.default", convolution),
    ("aten.im2col.default", im2col),
];

fn convolution(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, w) = (tensor(c, "input")?, tensor(c, "weight")?);
    let conv = Convolution::new(c, &b.fact(x), &b.fact(w))?;
    let x = if conv.batched { x } else { b.unsqueeze(x, 0)? };
    let mut out = if conv.transposed { conv_transpose(b, x, w, &conv)? } else { convolve(b, x, w, &conv)? };
    if let Some(bias) = opt_tensor(c, "bias")? {
        let (rank, dtype) = (b.rank(out), b.dtype(out));
        let bias = channelwise(b, bias, rank, dtype)?;
        out = b.add(out, bias)?;
    }
    Ok(vec![if conv.batched { out } else { b.squeeze(out, 0)? }])
}

/// A convolution with a batch dimension, without bias. Where channels, window or steps depend on the input, which the
/// primitive's kernels need to know, it is a product with gathered windows.
pub(super) fn convolve(b: &mut Builder<'_>, x: Val, w: Val, conv: &Convolution) -> Result<Val, OpError> {
    let (xs, ws) = (b.shape(x), b.shape(w));
    let ([n, channels, plane @ ..], [filters, depth, window @ ..]) = (&xs[..], &ws[..]) else {
        return Err(OpError::invalid("a convolution needs channels"));
    };
    let steps = [window, &conv.stride[..], &conv.dilation[..]].concat();
    let known = (channels.is_int() || depth.is_int()) && filters.is_int() && conv.groups.is_int();
    if known && steps.iter().all(Dim::is_int) {
        return b.conv(x, w, &conv.stride, &conv.pad_low, &conv.pad_high, &conv.dilation, &conv.groups);
    }
    let spatial = plane.len();
    let around = |sizes: &[Dim]| [&[Dim::ZERO, Dim::ZERO], sizes].concat();
    let dtype = b.dtype(x);
    let zero = b.constant(0.0, dtype)?;
    let mut windows = b.pad(x, zero, &around(&conv.pad_low), &around(&conv.pad_high))?;
    let mut counts = Vec::new();
    for d in 0..spatial {
        let room = &(&plane[d] + &conv.pad_low[d]) + &conv.pad_high[d];
        let reach = &(&conv.dilation[d] * &(&window[d] - &Dim::ONE)) + &Dim::ONE;
        let count = &(&room - &reach).floor_div(&conv.stride[d]) + &Dim::ONE;
        let taps = b.iota(&window[d], DType::I64)?;
        let dilation = b.constant_dim(&conv.dilation[d], DType::I64)?;
        let taps = b.mul(taps, dilation)?;
        let taps = b.unsqueeze(taps, 1)?;
        let starts = b.iota(&count, DType::I64)?;
        let stride = b.constant_dim(&conv.stride[d], DType::I64)?;
        let starts = b.mul(starts, stride)?;
        let at = b.add(taps, starts)?;
        windows = b.take(windows, at, 2 + 2 * d)?;
        counts.push(count);
    }
    // [N, C, taps, places, …] → [N, groups, C/groups · taps…, places…].
    let order: Vec<usize> =
        [0, 1].into_iter().chain((0..spatial).map(|d| 2 + 2 * d)).chain((0..spatial).map(|d| 3 + 2 * d)).collect();
    let windows = b.permute(windows, &order)?;
    let product = |dims: &[Dim]| dims.iter().fold(Dim::ONE, |n, d| &n * d);
    let (inner, places) = (depth * &product(window), product(&counts));
    let windows = b.reshape(windows, &[n.clone(), conv.groups.clone(), inner.clone(), places])?;
    let each = filters.floor_div(&conv.groups);
    let w = b.reshape(w, &[conv.groups.clone(), each, inner])?;
    let y = super::linear::matmul(b, w, windows)?;
    b.reshape(y, &[&[n.clone(), filters.clone()], &counts[..]].concat())
}

/// Row-major positions in the padded image of every tap of every window: `[kernel_h, kernel_w, windows_h, windows_w]`
/// as `[taps, windows]`, and the padded sizes.
fn tap_positions(b: &mut Builder<'_>, c: &Call<'_, Val>, size: [Dim; 2]) -> Result<(Val, [Dim; 2]), OpError> {
    let [k, d, p, s] = window_args(c)?;
    let padded = [0, 1].map(|i| &size[i] + &Dim::int(2 * p[i]));
    let counts = [0, 1].map(|i| window_count(&size[i], [k[i], d[i], p[i], s[i]]));
    let mut at = b.constant_dim(&Dim::ZERO, DType::I64)?;
    for (axis, (n, step)) in [
        (Dim::int(k[0]), &padded[1] * &Dim::int(d[0])),
        (Dim::int(k[1]), Dim::int(d[1])),
        (counts[0].clone(), &padded[1] * &Dim::int(s[0])),
        (counts[1].clone(), Dim::int(s[1])),
    ]
    .into_iter()
    .enumerate()
    {
        let i = b.iota(&n, DType::I64)?;
        let step = b.constant_dim(&step, DType::I64)?;
        let i = b.mul(i, step)?;
        let mut shape = vec![Dim::ONE; 4];
        shape[axis] = n;
        let i = b.reshape(i, &shape)?;
        at = b.add(at, i)?;
    }
    let at = b.reshape(at, &[Dim::int(k[0] * k[1]), &counts[0] * &counts[1]])?;
    Ok((at, padded))
}

/// `[…, C, H, W]` with zeros around and the plane flattened.
fn im2col(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let shape = b.shape(x);
    let [lead @ .., channels, h, w] = &shape[..] else { return Err(OpError::invalid("im2col takes an image")) };
    let (at, padded) = tap_positions(b, c, [h.clone(), w.clone()])?;
    let [_, _, p, _] = window_args(c)?;
    let around = [vec![Dim::ZERO; lead.len() + 1], vec![Dim::int(p[0]), Dim::int(p[1])]].concat();
    let dtype = b.dtype(x);
    let zero = b.constant(0.0, dtype)?;
    let x = b.pad(x, zero, &around, &around)?;
    let plane = &padded[0] * &padded[1];
    let x = b.reshape(x, &[lead, &[channels.clone(), plane]].concat())?;
    let out = b.take(x, at, lead.len() + 1)?;
    let columns = b.shape(at);
    let rows = channels * &columns[0];
    Ok(vec![b.reshape(out, &[lead, &[rows, columns[1].clone()]].concat())?])
}

/// Every column added to where its tap lies in the padded image.
fn col2im(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let size = pt2c_ops::shape::spread(&c.dims("output_size")?, 2, "output_size")?;
    let shape = b.shape(x);
    let [lead @ .., rows, _] = &shape[..] else { return Err(OpError::invalid("col2im takes columns")) };
    let [k, _, p, _] = window_args(c)?;
    let (at, padded) = tap_positions(b, c, [size[0].clone(), size[1].clone()])?;
    let channels = rows.floor_div(&Dim::int(k[0] * k[1]));
    let taps = b.fact(at).numel();
    let dtype = b.dtype(x);
    let planes = [lead, &[channels]].concat();
    let x = b.reshape(x, &[&planes[..], &[taps.clone()]].concat())?;
    let at = b.reshape(at, &[taps.clone()])?;
    let at = b.expand(at, &[&planes[..], &[taps]].concat())?;
    let zero = b.constant(0.0, dtype)?;
    let image = b.expand(zero, &[&planes[..], &[&padded[0] * &padded[1]]].concat())?;
    let image = b.scatter(image, at, x, planes.len(), "add")?;
    let image = b.reshape(image, &[&planes[..], &padded].concat())?;
    let start = [vec![Dim::ZERO; planes.len()], vec![Dim::int(p[0]), Dim::int(p[1])]].concat();
    let out = [&planes[..], &size].concat();
    let steps = vec![1; out.len()];
    Ok(vec![b.slice(image, &start, &out, &steps)?])
}
