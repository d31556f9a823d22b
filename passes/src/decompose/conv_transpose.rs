//! Transposed convolutions as convolutions of stride 1 (Shi et al., "Is the deconvolution layer the same as a
//! convolutional layer?", 2016).
//!
//! With stride s, output `s·q + p` depends on the taps `p, p + s, p + 2s …` only: every phase p is a convolution of the
//! input with a part of the window, reversed. All phases together are one convolution with s times as many channels, whose
//! results are interleaved.

use super::assert::at_least_one;
use super::{Builder, Val};
use pt2c_ir::dim::Dim;
use pt2c_ops::OpError;
use pt2c_ops::aten::conv::Convolution;

/// One spatial dimension, all known when the program is compiled.
struct Axis {
    stride: i64,
    dilation: i64,
    /// Window, taps apart by `dilation` filled with zeros.
    reach: i64,
    /// Taps of a phase.
    taps: i64,
    /// Zeros behind the input beyond those that the window needs, for outputs that it does not reach.
    extra: i64,
}

/// The transposed convolution of `x`, `[N, C, …]`, with `w`, `[C, K / groups, window…]`, without bias. Parameters that are
/// not known leave the primitive.
pub fn conv_transpose(b: &mut Builder<'_>, x: Val, w: Val, conv: &Convolution) -> Result<Val, OpError> {
    let whole =
        b.conv_transpose(x, w, &conv.stride, &conv.pad_low, &conv.output_padding, &conv.dilation, &conv.groups)?;
    let out = b.shape(whole);
    for size in out.iter().skip(2) {
        at_least_one(b, size, "conv_transpose: the input is too small: every size of the result must be at least 1")?;
    }
    let (xs, ws) = (b.shape(x), b.shape(w));
    let spatial = ws.len().saturating_sub(2);
    let axes: Option<Vec<Axis>> = (0..spatial)
        .map(|d| {
            let (stride, dilation) = (conv.stride.get(d)?.as_int()?, conv.dilation.get(d)?.as_int()?);
            let (pad, more) = (conv.pad_low.get(d)?.as_int()?, conv.output_padding.get(d)?.as_int()?);
            let window = ws.get(d + 2)?.as_int()?;
            if stride < 1 || dilation < 1 || window < 1 || pad < 0 || more < 0 {
                return None;
            }
            let ceil = |n: i64| -(-n).div_euclid(stride);
            let reach = (window - 1) * dilation + 1;
            let taps = ceil(reach);
            let extra = (ceil(reach - pad + more) - taps).max(0);
            Some(Axis { stride, dilation, reach, taps, extra })
        })
        .collect();
    let groups = conv.groups.as_int().filter(|g| *g > 0);
    let (Some(axes), Some(groups)) = (axes, groups) else { return Ok(whole) };
    let [n, channels, ..] = &xs[..] else { return Ok(whole) };
    let Some(per_group) = ws.get(1) else { return Ok(whole) };
    let inputs = channels.floor_div(&Dim::int(groups));
    let ints = |f: &dyn Fn(&Axis) -> i64| axes.iter().map(|a| Dim::int(f(a))).collect::<Vec<_>>();
    let (strides, taps) = (ints(&|a| a.stride), ints(&|a| a.taps));

    let w = spread(b, w, &axes)?;
    // [g, C/g, K/g, taps, phase, …] → [g, phase…, K/g, C/g, taps…], taps reversed.
    let paired: Vec<Dim> = taps.iter().zip(&strides).flat_map(|(t, s)| [t.clone(), s.clone()]).collect();
    let w = b.reshape(w, &[&[Dim::int(groups), inputs.clone(), per_group.clone()], &paired[..]].concat())?;
    let (tap_dims, phase_dims) = (0..spatial).map(|d| (3 + 2 * d, 4 + 2 * d)).unzip::<_, _, Vec<_>, Vec<_>>();
    let w = b.permute(w, &[&[0], &phase_dims[..], &[2, 1], &tap_dims[..]].concat())?;
    let phases = strides.iter().fold(Dim::ONE, |p, s| &p * s);
    let outputs = &(&phases * per_group) * &Dim::int(groups);
    let mut w = b.reshape(w, &[&[outputs, inputs], &taps[..]].concat())?;
    for (d, t) in taps.iter().enumerate() {
        w = b.slice_dim(w, d + 2, &(t - &Dim::ONE), t, -1)?;
    }

    let ones = vec![Dim::ONE; spatial];
    let (low, high) = (ints(&|a| a.taps - 1), ints(&|a| a.taps - 1 + a.extra));
    let plain = Convolution {
        stride: ones.clone(),
        pad_low: low,
        pad_high: high,
        dilation: ones,
        transposed: false,
        output_padding: Vec::new(),
        groups: Dim::int(groups),
        batched: true,
    };
    let y = super::conv::convolve(b, x, w, &plain)?;

    // [N, g, phase…, K/g, q…] → [N, g, K/g, (q, phase)…], then the outputs that the padding leaves.
    let shape = b.shape(y);
    let counts = shape.get(2..).unwrap_or_default().to_vec();
    let split = [&[n.clone(), Dim::int(groups)], &strides[..], std::slice::from_ref(per_group), &counts[..]].concat();
    let y = b.reshape(y, &split)?;
    let pairs = (0..spatial).flat_map(|d| [3 + spatial + d, 2 + d]);
    let y = b.permute(y, &[0, 1, 2 + spatial].into_iter().chain(pairs).collect::<Vec<_>>())?;
    let all: Vec<Dim> = counts.iter().zip(&strides).map(|(q, s)| q * s).collect();
    let y = b.reshape(y, &[&[n.clone(), per_group * &Dim::int(groups)], &all[..]].concat())?;
    let start = [&[Dim::ZERO, Dim::ZERO], &conv.pad_low[..]].concat();
    let steps = vec![1; out.len()];
    b.slice(y, &start, &out, &steps)
}

/// The window with zeros between its taps and behind them, a multiple of the strides long.
fn spread(b: &mut Builder<'_>, mut w: Val, axes: &[Axis]) -> Result<Val, OpError> {
    let dtype = b.dtype(w);
    for (d, axis) in axes.iter().enumerate() {
        let dim = d + 2;
        if axis.dilation > 1 {
            // Each tap becomes a row of `dilation` elements, of which the first is the tap.
            let shape = b.shape(w);
            let mut rows = shape.clone();
            rows.insert(dim + 1, Dim::ONE);
            let taps = b.reshape(w, &rows)?;
            let zero = b.constant(0.0, dtype)?;
            let mut high = vec![Dim::ZERO; rows.len()];
            high[dim + 1] = Dim::int(axis.dilation - 1);
            let padded = b.pad(taps, zero, &vec![Dim::ZERO; rows.len()], &high)?;
            let mut long = shape.clone();
            long[dim] = &shape[dim] * &Dim::int(axis.dilation);
            let padded = b.reshape(padded, &long)?;
            w = b.slice_dim(padded, dim, &Dim::ZERO, &Dim::int(axis.reach), 1)?;
        }
        let missing = axis.taps * axis.stride - axis.reach;
        if missing > 0 {
            let zero = b.constant(0.0, dtype)?;
            let rank = b.rank(w);
            let mut high = vec![Dim::ZERO; rank];
            high[dim] = Dim::int(missing);
            w = b.pad(w, zero, &vec![Dim::ZERO; rank], &high)?;
        }
    }
    Ok(w)
}
