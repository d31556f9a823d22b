//! Short-time Fourier transforms: frames taken from the signal, windowed, times matrices of cosines and sines.

use super::common::{opt_tensor, outputs, tensor, times};
use super::dft::{self, Wanted};
use super::fft::parts;
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::stft::{Frames, flattened, wants_complex};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] =
    &[("aten.istft.default", istft), ("aten.stft.center", stft), ("aten.stft.default", stft)];

/// The window inside a frame, zero around.
fn window(b: &mut Builder<'_>, c: &Call<'_, Val>, frames: &Frames, dtype: DType) -> Result<Val, OpError> {
    let (one, zero) = (b.constant(1.0, dtype)?, b.constant(0.0, dtype)?);
    let own = match opt_tensor(c, "window")? {
        Some(w) => b.cast(w, dtype)?,
        None => b.expand(one, &[Dim::int(frames.window)])?,
    };
    let before = (frames.size - frames.window) / 2;
    b.pad(own, zero, &[Dim::int(before)], &[Dim::int(frames.size - frames.window - before)])
}

/// Position in the signal of each element of each frame: `[count, size]`.
fn places(b: &mut Builder<'_>, frames: &Frames, count: &Dim) -> Result<Val, OpError> {
    let t = b.iota(count, DType::I64)?;
    let hop = b.constant(frames.hop as f64, DType::I64)?;
    let t = b.mul(t, hop)?;
    let t = b.unsqueeze(t, 1)?;
    let i = b.iota(&Dim::int(frames.size), DType::I64)?;
    b.add(t, i)
}

fn stft(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let window_dtype = opt_tensor(c, "window")?.map(|w| b.dtype(w));
    let given = b.dtype(input);
    let complex = given.is_complex() || window_dtype.is_some_and(pt2c_ir::DType::is_complex);
    let frames = Frames::new(c, complex)?;
    let wide = super::common::wide(given);
    let dtype = if complex { wide.to_complex().unwrap_or(wide) } else { wide };
    let shape = b.shape(input);
    let (length, lead) = shape.split_last().ok_or_else(|| OpError::invalid("stft takes a signal"))?;
    let rows = flattened(lead);
    let x = b.cast(input, dtype)?;
    let mut x = b.reshape(x, &[rows.clone(), length.clone()])?;
    if frames.center {
        let half = Dim::int(frames.size / 2);
        let args = vec![
            Arg::Tensor(x),
            Arg::Ints(vec![half.clone(), half]),
            Arg::Str(c.str("pad_mode")?.to_string()),
            Arg::None,
        ];
        x = b.one("aten.pad.default", args)?;
    }
    let count = out.shape[lead.len() + 1].clone();
    let at = places(b, &frames, &count)?;
    let taken = b.take(x, at, 1)?;
    let window = window(b, c, &frames, dtype)?;
    let taken = b.mul(taken, window)?;
    let bins = Dim::int(frames.frequencies());
    let taken = parts(b, taken, dtype.to_real())?;
    let wanted = Wanted { forward: true, keep: frames.frequencies(), real: false };
    let spectrum = dft::transform(b, taken, frames.size, wanted)?;
    let (mut re, im) = (spectrum.re, spectrum.im);
    let mut im = im.ok_or_else(|| OpError::invalid("a spectrum without imaginary part"))?;
    if frames.normalized {
        let scale = 1.0 / (frames.size as f64).sqrt();
        (re, im) = (times(b, re, scale)?, times(b, im, scale)?);
    }
    // Frequencies before frames.
    let (re, im) = (b.transpose(re, 1, 2)?, b.transpose(im, 1, 2)?);
    let whole = [lead, &[bins, count]].concat();
    let (re, im) = (b.reshape(re, &whole)?, b.reshape(im, &whole)?);
    if wants_complex(c)? {
        let y = b.complex(re, im)?;
        return Ok(vec![b.cast(y, out.dtype)?]);
    }
    let last = whole.len();
    let (re, im) = (b.unsqueeze(re, last)?, b.unsqueeze(im, last)?);
    let y = b.cat(&[re, im], last)?;
    Ok(vec![b.cast(y, out.dtype)?])
}

/// Frames transformed back, windowed and added where they overlap, divided by what the windows add up to.
fn istft(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let input = tensor(c, "self")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let frames = Frames::new(c, false)?;
    let dtype = out.dtype;
    let shape = b.shape(input);
    let [lead @ .., bins, count] = &shape[..] else { return Err(OpError::invalid("istft takes a spectrum")) };
    let rows = flattened(lead);
    let x = b.reshape(input, &[rows.clone(), bins.clone(), count.clone()])?;
    let x = b.transpose(x, 1, 2)?;
    let args = vec![Arg::Tensor(x), Arg::Int(Dim::int(frames.size)), Arg::Int(Dim::int(2)), Arg::None];
    // Of a two-sided spectrum of a real signal only the first half is read.
    let mut signal =
        b.one(if dtype.is_complex() { "aten.fft_ifft.default" } else { "aten.fft_irfft.default" }, args)?;
    if frames.normalized {
        signal = times(b, signal, (frames.size as f64).sqrt())?;
    }
    let window = window(b, c, &frames, dtype)?;
    let signal = b.mul(signal, window)?;
    let squares = b.mul(window, window)?;
    let each = count * &Dim::int(frames.size);
    let whole = &(&(count - &Dim::ONE) * &Dim::int(frames.hop)) + &Dim::int(frames.size);
    let at = places(b, &frames, count)?;
    let at = b.reshape(at, &[each.clone()])?;
    let zero = b.constant(0.0, dtype)?;
    let squares = b.expand(squares, &[count.clone(), Dim::int(frames.size)])?;
    let squares = b.reshape(squares, &[each.clone()])?;
    let weight = b.expand(zero, &[whole.clone()])?;
    let weight = b.scatter(weight, at, squares, 0, "add")?;
    let signal = b.reshape(signal, &[rows.clone(), each.clone()])?;
    let at = b.expand(at, &[rows.clone(), each])?;
    let sum = b.expand(zero, &[rows.clone(), whole.clone()])?;
    let sum = b.scatter(sum, at, signal, 1, "add")?;
    let start = Dim::int(if frames.center { frames.size / 2 } else { 0 });
    let length = out.shape.last().cloned().unwrap_or(Dim::ONE);
    // A requested length beyond the last frame is filled up with zeros.
    let there = &whole - &start;
    let missing = &length - &there;
    let (kept, missing) = match missing.as_int() {
        Some(m) if m > 0 => (there, missing),
        _ => (length, Dim::ZERO),
    };
    let sum = b.slice_dim(sum, 1, &start, &kept, 1)?;
    let weight = b.slice_dim(weight, 0, &start, &kept, 1)?;
    let y = b.div(sum, weight)?;
    let y = b.pad(y, zero, &[Dim::ZERO, Dim::ZERO], &[Dim::ZERO, missing])?;
    Ok(vec![b.reshape(y, &out.shape)?])
}
