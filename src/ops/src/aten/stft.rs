//! Short-time Fourier transforms.

use crate::host;
use crate::{Call, OpDef, OpError, Scalar, Tensor};
use num_complex::Complex64;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("istft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, bool normalized=False, bool? onesided=None, int? length=None, bool return_complex=False) -> Tensor", istft_fact, istft),
    OpDef::new("stft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor", stft_fact, stft),
    OpDef::new("stft.center(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, str pad_mode=\"reflect\", bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor", stft_fact, stft),
];

/// The frames of a short-time transform.
#[derive(Clone, PartialEq, Debug)]
pub struct Frames {
    /// Length of a frame.
    pub size: i64,
    /// Distance of the frames.
    pub hop: i64,
    /// Length of the window, centred in the frame.
    pub window: i64,
    /// Whether frames are centred on their time, so that the signal is padded by half a frame.
    pub center: bool,
    /// Whether results are divided by the square root of the frame's length.
    pub normalized: bool,
    /// Whether only the first half of the symmetric spectrum is kept.
    pub onesided: bool,
}

fn opt_bool<T>(c: &Call<'_, T>, name: &str) -> Result<Option<bool>, OpError> {
    if c.op.schema.position(name).is_none() || c.arg(name)?.is_none() { Ok(None) } else { c.bool(name).map(Some) }
}

impl Frames {
    /// Reads the arguments; `complex` says whether the signal is.
    pub fn new<T>(c: &Call<'_, T>, complex: bool) -> Result<Frames, OpError> {
        let size = c.int("n_fft")?;
        let frames = Frames {
            size,
            hop: c.opt_int("hop_length")?.unwrap_or(size / 4),
            window: c.opt_int("win_length")?.unwrap_or(size),
            center: opt_bool(c, "center")?.unwrap_or(false),
            normalized: c.bool("normalized")?,
            onesided: opt_bool(c, "onesided")?.unwrap_or(!complex),
        };
        if size < 1 || frames.hop < 1 || !(1..=size).contains(&frames.window) {
            return Err(OpError::Invalid(format!("`{}`: the frames do not fit together", c.op.name)));
        }
        Ok(frames)
    }

    /// Number of frequencies of a frame.
    pub fn frequencies(&self) -> i64 {
        if self.onesided { self.size / 2 + 1 } else { self.size }
    }
}

fn stft_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let window = c.opt_tensor("window")?.is_some_and(|w| w.dtype.is_complex());
    let frames = Frames::new(c, x.dtype.is_complex() || window)?;
    let (Some(length), lead) = (x.shape.last(), &x.shape[..x.rank().saturating_sub(1)]) else {
        return Err(OpError::invalid("stft takes a signal or a batch of signals"));
    };
    let padded = if frames.center { length + &Dim::int(frames.size / 2 * 2) } else { length.clone() };
    let count = &(&padded - &Dim::int(frames.size)).floor_div(&Dim::int(frames.hop)) + &Dim::int(1);
    if count.as_int().is_some_and(|n| n < 1) {
        return Err(OpError::invalid("stft: a frame is longer than the signal"));
    }
    let mut shape = [lead, &[Dim::int(frames.frequencies()), count]].concat();
    let complex = x.dtype.to_complex().ok_or_else(|| OpError::Unsupported(format!("stft of {}", x.dtype)))?;
    let as_complex = opt_bool(c, "return_complex")?.unwrap_or(false);
    if !as_complex {
        shape.push(Dim::int(2));
    }
    Ok(vec![Fact::new(if as_complex { complex } else { x.dtype.to_real() }, shape)])
}

/// The window inside a frame, zero around.
fn window_of(c: &Call<'_, Tensor>, frames: &Frames) -> Result<Vec<f64>, OpError> {
    let given = c.opt_tensor("window")?;
    let before = (frames.size - frames.window) / 2;
    let at = |i: i64| match given {
        _ if !(0..frames.window).contains(&i) => 0.0,
        Some(w) => w.f64(i as usize),
        None => 1.0,
    };
    Ok((0..frames.size).map(|i| at(i - before)).collect())
}

fn stft(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let input = c.tensor("self")?;
    if input.dtype().is_complex() || c.opt_tensor("window")?.is_some_and(|w| w.dtype().is_complex()) {
        return Err(OpError::Unsupported("stft of complex numbers".into()));
    }
    let (dtype, out) = host::result_of(c)?;
    let frames = Frames::new(c, false)?;
    let mut x = input.cast(DType::F64);
    let length = x.shape().last().copied().unwrap_or(1);
    x = x.reshape(&[x.numel() / length.max(1), length])?;
    if frames.center {
        let pad = Arg::Ints(vec![Dim::int(frames.size / 2); 2]);
        let mode = Arg::Str(c.str("pad_mode")?.to_string());
        x = host::call1("aten.pad.default", vec![Arg::Tensor(x), pad, mode, Arg::None])?;
    }
    let (rows, length) = (x.shape()[0], x.shape()[1]);
    let window = window_of(c, &frames)?;
    let (size, hop) = (frames.size as usize, frames.hop as usize);
    let (count, bins) = ((length - size) / hop + 1, frames.frequencies() as usize);
    let scale = if frames.normalized { 1.0 / (size as f64).sqrt() } else { 1.0 };
    let mut values = Vec::with_capacity(rows * bins * count);
    for row in 0..rows {
        for k in 0..bins {
            for t in 0..count {
                let term = |i: usize| {
                    let angle = -2.0 * std::f64::consts::PI * (i * k % size) as f64 / size as f64;
                    Complex64::from_polar(x.f64(row * length + t * hop + i) * window[i], angle)
                };
                values.push((0..size).map(term).sum::<Complex64>() * scale);
            }
        }
    }
    Ok(vec![Tensor::from_fn(dtype, &out, |i| match dtype.is_complex() {
        true => Scalar::Complex(values[i]),
        false if i % 2 == 0 => Scalar::Float(values[i / 2].re),
        false => Scalar::Float(values[i / 2].im),
    })])
}

fn istft_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let frames = Frames::new(c, false)?;
    if !x.dtype.is_complex() {
        return Err(OpError::invalid("istft takes a complex spectrum"));
    }
    let [lead @ .., _, count] = &x.shape[..] else { return Err(OpError::invalid("istft takes a spectrum")) };
    let length = match c.opt_dim("length")? {
        Some(n) => n,
        None => {
            let whole = &(&(count - &Dim::int(1)) * &Dim::int(frames.hop)) + &Dim::int(frames.size);
            if frames.center { &whole - &Dim::int(frames.size / 2 * 2) } else { whole }
        }
    };
    let dtype = if c.bool("return_complex")? { x.dtype } else { x.dtype.to_real() };
    Ok(vec![Fact::new(dtype, [lead, &[length]].concat())])
}

fn istft(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, out) = host::result_of(c)?;
    let frames = Frames::new(c, false)?;
    if dtype.is_complex() {
        return Err(OpError::Unsupported("istft to a complex signal".into()));
    }
    let (size, hop) = (frames.size as usize, frames.hop as usize);
    let &[.., bins, count] = x.shape() else { return Err(OpError::invalid("istft takes a spectrum")) };
    let rows = x.numel() / (bins * count).max(1);
    let window = window_of(c, &frames)?;
    let scale = if frames.normalized { (size as f64).sqrt() } else { 1.0 } / size as f64;
    let whole = (count - 1) * hop + size;
    let start = if frames.center { size / 2 } else { 0 };
    let length = out.last().copied().unwrap_or(0);
    let mut values = vec![0.0; rows * length];
    for row in 0..rows {
        let (mut signal, mut weight) = (vec![0.0; whole], vec![0.0; whole]);
        for t in 0..count {
            for i in 0..size {
                let term = |k: usize| {
                    let twice = if k == 0 || 2 * k == size { 1.0 } else { 2.0 };
                    let angle = 2.0 * std::f64::consts::PI * (i * k % size) as f64 / size as f64;
                    (x.get((row * bins + k) * count + t).to_complex() * Complex64::from_polar(twice, angle)).re
                };
                // Of a two-sided spectrum only the first half is read.
                signal[t * hop + i] += (0..bins.min(size / 2 + 1)).map(term).sum::<f64>() * scale * window[i];
                weight[t * hop + i] += window[i] * window[i];
            }
        }
        for i in 0..length.min(whole.saturating_sub(start)) {
            values[row * length + i] = signal[start + i] / weight[start + i];
        }
    }
    Ok(vec![Tensor::from_f64(dtype, &out, &values)])
}

/// The shape of a batch of signals or spectra as one batch dimension.
pub fn flattened(lead: &[Dim]) -> Dim {
    lead.iter().fold(Dim::int(1), |n, d| &n * d)
}

/// Whether the caller wants complex numbers rather than pairs.
pub fn wants_complex<T>(c: &Call<'_, T>) -> Result<bool, OpError> {
    Ok(opt_bool(c, "return_complex")?.unwrap_or(false))
}
