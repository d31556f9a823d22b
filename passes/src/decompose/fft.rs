//! Fourier transforms, real and imaginary parts apart: by factors where the length is known (`dft`), else as products with
//! matrices of cosines and sines.

use super::assert::at_least_one;
use super::common::{outputs, tensor};
use super::dft::{self, Wanted, turns};
use super::linear::matmul;
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::fft::{Kind, Transform};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._fft_c2c.default", transform),
    ("aten._fft_c2r.default", transform),
    ("aten._fft_r2c.default", transform),
    ("aten.fft_fft.default", transform),
    ("aten.fft_fft2.default", transform),
    ("aten.fft_fftn.default", transform),
    ("aten.fft_hfft.default", transform),
    ("aten.fft_hfft2.default", transform),
    ("aten.fft_hfftn.default", transform),
    ("aten.fft_ifft.default", transform),
    ("aten.fft_ifft2.default", transform),
    ("aten.fft_ifftn.default", transform),
    ("aten.fft_ihfft.default", transform),
    ("aten.fft_ihfft2.default", transform),
    ("aten.fft_ihfftn.default", transform),
    ("aten.fft_irfft.default", transform),
    ("aten.fft_irfft2.default", transform),
    ("aten.fft_irfftn.default", transform),
    ("aten.fft_rfft.default", transform),
    ("aten.fft_rfft2.default", transform),
    ("aten.fft_rfftn.default", transform),
];

/// A complex value by its parts; no imaginary part is zero.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub re: Val,
    pub im: Option<Val>,
}

/// The parts of a value in real dtype `dtype`.
pub(super) fn parts(b: &mut Builder<'_>, x: Val, dtype: DType) -> Result<Parts, OpError> {
    if !b.dtype(x).is_complex() {
        return Ok(Parts { re: b.cast(x, dtype)?, im: None });
    }
    let (re, im) = (b.real(x)?, b.imag(x)?);
    Ok(Parts { re: b.cast(re, dtype)?, im: Some(b.cast(im, dtype)?) })
}

/// `size` elements along `dim`: cut, or filled up with zeros.
fn fitted(b: &mut Builder<'_>, x: Val, dim: usize, size: &Dim) -> Result<Val, OpError> {
    let shape = b.shape(x);
    let own = &shape[dim];
    if own == size {
        return Ok(x);
    }
    let missing = size - own;
    match missing.as_int() {
        Some(m) if m < 0 => b.slice_dim(x, dim, &Dim::ZERO, size, 1),
        None if b.scope().prove_le(size, own).is_yes() => b.slice_dim(x, dim, &Dim::ZERO, size, 1),
        _ => {
            let dtype = b.dtype(x);
            let zero = b.constant(0.0, dtype)?;
            let (low, mut high) = (vec![Dim::ZERO; shape.len()], vec![Dim::ZERO; shape.len()]);
            high[dim] = missing;
            b.pad(x, zero, &low, &high)
        }
    }
}

/// One dimension: `out[k] = Σ_j x[j]·e^(∓2πi·jk/n)`, of which only the real part is made if `real`.
#[allow(clippy::too_many_arguments)]
fn along(
    b: &mut Builder<'_>,
    x: Parts,
    dim: usize,
    n: &Dim,
    (read, out): (&Dim, &Dim),
    forward: bool,
    real: bool,
) -> Result<Parts, OpError> {
    if let (Some(n), Some(keep)) = (n.as_int().filter(|n| *n > 0), out.as_int()) {
        return known(b, x, dim, n, read, Wanted { forward, keep, real });
    }
    at_least_one(b, n, "fft: the number of points must be at least 1")?;
    let dtype = b.dtype(x.re);
    let (cos, sin) = turns(b, n, read, out)?;
    let (mut cos, mut sin) = (b.cast(cos, dtype)?, b.cast(sin, dtype)?);
    if real {
        // The half that is not stored is the conjugate: each row counts twice, but the ends of the whole.
        let k = b.iota(read, DType::I64)?;
        let k = b.unsqueeze(k, 1)?;
        let (zero, two, n) =
            (b.constant(0.0, DType::I64)?, b.constant(2.0, DType::I64)?, b.constant_dim(n, DType::I64)?);
        let twice = b.mul(k, two)?;
        let (first, last) = (b.eq(k, zero)?, b.eq(twice, n)?);
        let ends = b.or(first, last)?;
        let (one, two) = (b.constant(1.0, dtype)?, b.constant(2.0, dtype)?);
        let weight = b.where_(ends, one, two)?;
        (cos, sin) = (b.mul(cos, weight)?, b.mul(sin, weight)?);
    }
    let last = b.rank(x.re) - 1;
    let line = |b: &mut Builder<'_>, v: Val, m: Val| -> Result<Val, OpError> {
        let v = b.transpose(v, dim, last)?;
        let y = if last == 0 { matmul(b, v, m)? } else { b.matmul(v, m)? };
        b.transpose(y, dim, last)
    };
    let re = fitted(b, x.re, dim, read)?;
    let im = x.im.map(|im| fitted(b, im, dim, read)).transpose()?;
    // (re + i·im)·(cos ∓ i·sin)
    let (re_cos, re_sin) = (line(b, re, cos)?, line(b, re, sin)?);
    let Some(im) = im else {
        let im = if forward { b.neg(re_sin)? } else { re_sin };
        return Ok(Parts { re: re_cos, im: (!real).then_some(im) });
    };
    let (im_cos, im_sin) = (line(b, im, cos)?, line(b, im, sin)?);
    let re = if forward { b.add(re_cos, im_sin)? } else { b.sub(re_cos, im_sin)? };
    let im = if forward { b.sub(im_cos, re_sin)? } else { b.add(im_cos, re_sin)? };
    Ok(Parts { re, im: (!real).then_some(im) })
}

/// One dimension of known length.
fn known(b: &mut Builder<'_>, x: Parts, dim: usize, n: i64, read: &Dim, wanted: Wanted) -> Result<Parts, OpError> {
    let last = b.rank(x.re) - 1;
    let mut line = |v: Val, sign: f64| {
        let v = fitted(b, v, dim, read)?;
        let v = b.transpose(v, dim, last)?;
        if wanted.real { whole(b, v, last, n, sign) } else { Ok(v) }
    };
    let x = Parts { re: line(x.re, 1.0)?, im: x.im.map(|im| line(im, -1.0)).transpose()? };
    let y = dft::transform(b, x, n, wanted)?;
    Ok(Parts { re: b.transpose(y.re, dim, last)?, im: y.im.map(|im| b.transpose(im, dim, last)).transpose()? })
}

/// The `n` elements of a part that is symmetric but for its sign, from the first half.
fn whole(b: &mut Builder<'_>, v: Val, last: usize, n: i64, sign: f64) -> Result<Val, OpError> {
    let mirrored = (n - 1) / 2;
    if mirrored == 0 {
        return Ok(v);
    }
    let rest = b.slice_dim(v, last, &Dim::int(mirrored), &Dim::int(mirrored), -1)?;
    let rest = if sign < 0.0 { b.neg(rest)? } else { rest };
    b.cat(&[v, rest], last)
}

fn transform(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let input = tensor(c, "self")?;
    let out = outputs(b, c)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))?;
    let plan = Transform::new(c, &b.shape(input))?;
    let dtype = super::common::wide(out.dtype.to_real());
    let mut x = parts(b, input, dtype)?;
    for i in plan.order() {
        let (read, size) = plan.extents(i);
        let real = plan.kind == Kind::ToReal && i + 1 == plan.dims.len();
        x = along(b, x, plan.dims[i], &plan.sizes[i], (&read, &size), plan.forward, real)?;
    }
    if plan.power != 0.0 {
        let count = plan.sizes.iter().fold(Dim::ONE, |n, d| &n * d);
        let count = b.constant_dim(&count, dtype)?;
        let scale = if plan.power == -1.0 { b.reciprocal(count)? } else { b.rsqrt(count)? };
        x.re = b.mul(x.re, scale)?;
        x.im = x.im.map(|im| b.mul(im, scale)).transpose()?;
    }
    if !out.dtype.is_complex() {
        return Ok(vec![b.cast(x.re, out.dtype)?]);
    }
    let zero = b.constant(0.0, dtype)?;
    let im = match x.im {
        Some(im) => im,
        None => b.expand(zero, &out.shape)?,
    };
    let y = b.complex(x.re, im)?;
    Ok(vec![b.cast(y, out.dtype)?])
}
