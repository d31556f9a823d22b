//! Discrete Fourier transforms of known length in O(n log n), as products with small constant matrices.
//!
//! A length is split into factors of at most [`LARGEST`] (Cooley and Tukey 1965): transforms of the factors are real matrix
//! products over both parts at once, with a multiplication by roots of unity in between. Lengths with a large prime factor
//! become convolutions of a length that has none (Bluestein 1970).
//!
//! Everything works on the last dimension and leaves the dimensions before it alone. Roots of unity are computed in f64.

use super::fft::Parts;
use super::{Builder, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::OpError;
use std::f64::consts::PI;

/// The largest factor that is transformed by one matrix product if there is a choice, and if there is none.
const LARGEST: i64 = 32;
const LARGEST_PRIME: i64 = 80;

type Made = Result<Parts, OpError>;

/// Which transform, and what of its result is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// With `e^(-i…)`; else `e^(+i…)`.
    pub forward: bool,
    /// The first so many elements.
    pub keep: i64,
    /// The real part only.
    pub real: bool,
}

/// `out[k] = Σ_j x[j]·e^(∓2πi·jk/n)` along the last dimension, which has `n` elements.
pub(super) fn transform(b: &mut Builder<'_>, x: Parts, n: i64, wanted: Wanted) -> Made {
    if n <= LARGEST {
        return direct(b, x, n, wanted);
    }
    match factor(n) {
        Some(a) => split(b, x, a, n / a, wanted),
        None if n <= LARGEST_PRIME => direct(b, x, n, wanted),
        None => chirp(b, x, n, wanted),
    }
}

/// The factor of `n` to split off: among those that one product transforms, the one that leaves the most balanced parts.
fn factor(n: i64) -> Option<i64> {
    let mut stages = 1;
    while LARGEST.checked_pow(stages).is_some_and(|p| p < n) {
        stages += 1;
    }
    let balanced = (n as f64).powf(1.0 / f64::from(stages));
    let far = |a: i64| ((a as f64) / balanced).ln().abs();
    let small = (2..=LARGEST).filter(|a| n % a == 0).min_by(|a, b| far(*a).total_cmp(&far(*b)));
    small.or_else(|| (LARGEST..=LARGEST_PRIME).find(|a| n % a == 0 && *a < n))
}

/// `cos` and `sin` of `2π·jk/n` for `j < rows`, `k < columns` in f64. The product is taken modulo `n` as an integer, so
/// that angles stay exact.
pub(super) fn turns(b: &mut Builder<'_>, n: &Dim, rows: &Dim, columns: &Dim) -> Result<(Val, Val), OpError> {
    let (j, k) = (b.iota(rows, DType::I64)?, b.iota(columns, DType::I64)?);
    let j = b.unsqueeze(j, 1)?;
    let product = b.mul(j, k)?;
    roots(b, product, n)
}

/// `cos` and `sin` of `2π·i/n` of integers `i`.
fn roots(b: &mut Builder<'_>, i: Val, n: &Dim) -> Result<(Val, Val), OpError> {
    let whole = b.constant_dim(n, DType::I64)?;
    let steps = b.rem_floor(i, whole)?;
    let steps = b.cast(steps, DType::F64)?;
    let n = b.constant_dim(n, DType::F64)?;
    let share = b.div(steps, n)?;
    let turn = b.constant(2.0 * PI, DType::F64)?;
    let angle = b.mul(share, turn)?;
    Ok((b.cos(angle)?, b.sin(angle)?))
}

/// The imaginary part, negative for forward transforms.
fn directed(b: &mut Builder<'_>, sin: Val, forward: bool) -> Result<Val, OpError> {
    if forward { b.neg(sin) } else { Ok(sin) }
}

/// `size` elements from `start` of a dimension.
fn part(b: &mut Builder<'_>, x: Val, dim: usize, start: i64, size: i64) -> Result<Val, OpError> {
    b.slice_dim(x, dim, &Dim::int(start), &Dim::int(size), 1)
}

/// One matrix product: `[re | im] · [[cos, ±sin], [∓sin, cos]]`.
fn direct(b: &mut Builder<'_>, x: Parts, n: i64, wanted: Wanted) -> Made {
    let dtype = b.dtype(x.re);
    let last = b.rank(x.re) - 1;
    let (cos, sin) = turns(b, &Dim::int(n), &Dim::int(n), &Dim::int(wanted.keep))?;
    let sin = directed(b, sin, wanted.forward)?;
    let mut matrix = if wanted.real { cos } else { b.cat(&[cos, sin], 1)? };
    let mut row = x.re;
    if let Some(im) = x.im {
        row = b.cat(&[x.re, im], last)?;
        let turned = b.neg(sin)?;
        let below = if wanted.real { turned } else { b.cat(&[turned, cos], 1)? };
        matrix = b.cat(&[matrix, below], 0)?;
    }
    let matrix = b.cast(matrix, dtype)?;
    // A vector is a matrix of one row.
    let flat = last == 0;
    if flat {
        row = b.unsqueeze(row, 0)?;
    }
    let mut y = b.matmul(row, matrix)?;
    if flat {
        y = b.squeeze(y, 0)?;
    }
    if wanted.real {
        return Ok(Parts { re: y, im: None });
    }
    Ok(Parts { re: part(b, y, last, 0, wanted.keep)?, im: Some(part(b, y, last, wanted.keep, wanted.keep)?) })
}

/// A transform of length `p·q`: element `q·j + i` of the input, element `k + p·l` of the result.
fn split(b: &mut Builder<'_>, x: Parts, p: i64, q: i64, wanted: Wanted) -> Made {
    let dtype = b.dtype(x.re);
    let shape = b.shape(x.re);
    let last = shape.len() - 1;
    let lead = &shape[..last];
    let table = [lead, &[Dim::int(p), Dim::int(q)]].concat();
    let re = b.reshape(x.re, &table)?;
    // Transforms over j, by a product from the left.
    let (cos, sin) = turns(b, &Dim::int(p), &Dim::int(p), &Dim::int(p))?;
    let sin = directed(b, sin, wanted.forward)?;
    let mut matrix = b.cat(&[cos, sin], 0)?;
    let mut stacked = re;
    if let Some(im) = x.im {
        let im = b.reshape(im, &table)?;
        stacked = b.cat(&[re, im], last)?;
        let turned = b.neg(sin)?;
        let beside = b.cat(&[turned, cos], 0)?;
        matrix = b.cat(&[matrix, beside], 1)?;
    }
    let matrix = b.cast(matrix, dtype)?;
    let y = b.matmul(matrix, stacked)?;
    let (re, im) = (part(b, y, last, 0, p)?, part(b, y, last, p, p)?);
    // Roots of unity e^(∓2πi·ki/n).
    let (cos, sin) = turns(b, &Dim::int(p * q), &Dim::int(p), &Dim::int(q))?;
    let sin = directed(b, sin, wanted.forward)?;
    let turned = multiplied(b, Parts { re, im: Some(im) }, cos, sin)?;
    // Transforms over i.
    let inner = Wanted { keep: (wanted.keep + p - 1) / p, ..wanted };
    let z = transform(b, turned, q, inner)?;
    let flat = [lead, &[Dim::int(p * inner.keep)]].concat();
    let mut ordered = |v: Val| {
        let v = b.transpose(v, last, last + 1)?;
        let v = b.reshape(v, &flat)?;
        part(b, v, last, 0, wanted.keep)
    };
    Ok(Parts { re: ordered(z.re)?, im: z.im.map(&mut ordered).transpose()? })
}

/// `x · (cos + i·sin)`, of f64 factors.
fn multiplied(b: &mut Builder<'_>, x: Parts, cos: Val, sin: Val) -> Made {
    let dtype = b.dtype(x.re);
    let (cos, sin) = (b.cast(cos, dtype)?, b.cast(sin, dtype)?);
    let (re, im) = (b.mul(x.re, cos)?, b.mul(x.re, sin)?);
    let Some(other) = x.im else { return Ok(Parts { re, im: Some(im) }) };
    let (re_rest, im_rest) = (b.mul(other, sin)?, b.mul(other, cos)?);
    Ok(Parts { re: b.sub(re, re_rest)?, im: Some(b.add(im, im_rest)?) })
}

/// As a convolution with `e^(±πi·j²/n)`, by transforms of a power of two.
fn chirp(b: &mut Builder<'_>, x: Parts, n: i64, wanted: Wanted) -> Made {
    let dtype = b.dtype(x.re);
    let last = b.rank(x.re) - 1;
    let length = (2 * n - 1).unsigned_abs().next_power_of_two() as i64;
    let whole = Dim::int(2 * n);
    // j² modulo 2n: the chirp has that period.
    let j = b.iota(&Dim::int(n), DType::I64)?;
    let square = b.mul(j, j)?;
    let (cos, sin) = roots(b, square, &whole)?;
    let sin = directed(b, sin, wanted.forward)?;
    let chirped = multiplied(b, x, cos, sin)?;
    let zero = b.constant(0.0, dtype)?;
    let mut padded = |v: Val| {
        let (low, mut high) = (vec![Dim::ZERO; last + 1], vec![Dim::ZERO; last + 1]);
        high[last] = Dim::int(length - n);
        b.pad(v, zero, &low, &high)
    };
    let filled = Parts { re: padded(chirped.re)?, im: chirped.im.map(&mut padded).transpose()? };
    // The filter is even around 0, modulo the length: |j| is min(j, length - j), where that is below n.
    let at = b.iota(&Dim::int(length), DType::I64)?;
    let all = b.constant_dim(&Dim::int(length), DType::I64)?;
    let back = b.sub(all, at)?;
    let distance = b.min(at, back)?;
    let square = b.mul(distance, distance)?;
    let (filter, filter_im) = roots(b, square, &whole)?;
    let filter_im = directed(b, filter_im, !wanted.forward)?;
    let limit = b.constant_dim(&Dim::int(n), DType::I64)?;
    let (inside, nothing) = (b.lt(distance, limit)?, b.constant(0.0, DType::F64)?);
    let (filter, filter_im) = (b.where_(inside, filter, nothing)?, b.where_(inside, filter_im, nothing)?);
    let everything = Wanted { forward: true, keep: length, real: false };
    let response = transform(b, Parts { re: filter, im: Some(filter_im) }, length, everything)?;
    let spectrum = transform(b, filled, length, everything)?;
    let im = response.im.ok_or_else(|| OpError::invalid("a spectrum without imaginary part"))?;
    let product = multiplied(b, spectrum, response.re, im)?;
    let back = transform(b, product, length, Wanted { forward: false, keep: wanted.keep, real: false })?;
    let im = back.im.ok_or_else(|| OpError::invalid("a convolution without imaginary part"))?;
    let scale = b.constant(1.0 / length as f64, DType::F64)?;
    let (cos, sin) = (b.mul(cos, scale)?, b.mul(sin, scale)?);
    let (cos, sin) = (part(b, cos, 0, 0, wanted.keep)?, part(b, sin, 0, 0, wanted.keep)?);
    let y = multiplied(b, Parts { re: back.re, im: Some(im) }, cos, sin)?;
    Ok(Parts { re: y.re, im: y.im.filter(|_| !wanted.real) })
}
