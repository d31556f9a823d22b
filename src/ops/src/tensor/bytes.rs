//! Elements as little-endian bytes, and the 8-bit floats.

use super::Scalar;
use half::{bf16, f16};
use num_complex::Complex64;
use pt2c_ir::DType;

pub(super) fn read(dtype: DType, b: &[u8]) -> Scalar {
    fn bytes<const N: usize>(b: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&b[..N]);
        out
    }
    match dtype {
        DType::Bool => Scalar::Bool(b[0] != 0),
        DType::U8 => Scalar::Int(i64::from(b[0])),
        DType::I8 => Scalar::Int(i64::from(b[0] as i8)),
        DType::I16 => Scalar::Int(i64::from(i16::from_le_bytes(bytes(b)))),
        DType::U16 => Scalar::Int(i64::from(u16::from_le_bytes(bytes(b)))),
        DType::I32 => Scalar::Int(i64::from(i32::from_le_bytes(bytes(b)))),
        DType::U32 => Scalar::Int(i64::from(u32::from_le_bytes(bytes(b)))),
        DType::I64 | DType::U64 => Scalar::Int(i64::from_le_bytes(bytes(b))),
        DType::F16 => Scalar::Float(f16::from_le_bytes(bytes(b)).to_f64()),
        DType::BF16 => Scalar::Float(bf16::from_le_bytes(bytes(b)).to_f64()),
        DType::F32 => Scalar::Float(f64::from(f32::from_le_bytes(bytes(b)))),
        DType::F64 => Scalar::Float(f64::from_le_bytes(bytes(b))),
        DType::F8E5M2 => Scalar::Float(f8e5m2_to_f64(b[0])),
        DType::F8E4M3FN => Scalar::Float(f8e4m3fn_to_f64(b[0])),
        DType::C32 => {
            let (re, im) = (f16::from_le_bytes(bytes(b)), f16::from_le_bytes(bytes(&b[2..])));
            Scalar::Complex(Complex64::new(re.to_f64(), im.to_f64()))
        }
        DType::C64 => {
            let (re, im) = (f32::from_le_bytes(bytes(b)), f32::from_le_bytes(bytes(&b[4..])));
            Scalar::Complex(Complex64::new(re.into(), im.into()))
        }
        DType::C128 => {
            Scalar::Complex(Complex64::new(f64::from_le_bytes(bytes(b)), f64::from_le_bytes(bytes(&b[8..]))))
        }
    }
}

pub(super) fn write(dtype: DType, value: Scalar, out: &mut Vec<u8>) {
    match dtype {
        DType::Bool => out.push(u8::from(value.to_bool())),
        DType::F16 => out.extend(f16::from_f64(value.to_f64()).to_le_bytes()),
        DType::BF16 => out.extend(bf16::from_f64(value.to_f64()).to_le_bytes()),
        DType::F32 => out.extend((value.to_f64() as f32).to_le_bytes()),
        DType::F64 => out.extend(value.to_f64().to_le_bytes()),
        DType::F8E5M2 => out.push(f64_to_f8e5m2(value.to_f64())),
        DType::F8E4M3FN => out.push(f64_to_f8e4m3fn(value.to_f64())),
        DType::C32 => {
            let c = value.to_complex();
            out.extend(f16::from_f64(c.re).to_le_bytes());
            out.extend(f16::from_f64(c.im).to_le_bytes());
        }
        DType::C64 => {
            let c = value.to_complex();
            out.extend((c.re as f32).to_le_bytes());
            out.extend((c.im as f32).to_le_bytes());
        }
        DType::C128 => {
            let c = value.to_complex();
            out.extend(c.re.to_le_bytes());
            out.extend(c.im.to_le_bytes());
        }
        int => out.extend(&value.to_i64().to_le_bytes()[..int.size()]),
    }
}

/// 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinities; all ones is NaN.
pub(super) fn f8e4m3fn_to_f64(b: u8) -> f64 {
    let sign = if b & 0x80 != 0 { -1.0 } else { 1.0 };
    let (e, m) = (i32::from((b >> 3) & 15), f64::from(b & 7));
    match (e, b & 7) {
        (15, 7) => f64::NAN,
        (0, _) => sign * m / 8.0 * 2f64.powi(-6),
        _ => sign * (1.0 + m / 8.0) * 2f64.powi(e - 7),
    }
}

/// The nearest of the 256 values, ties to the even code; what is too large, infinity as well, becomes the largest value.
pub(super) fn f64_to_f8e4m3fn(x: f64) -> u8 {
    if x.is_nan() {
        return 0x7f | if x.is_sign_negative() { 0x80 } else { 0 };
    }
    let magnitude = x.abs().min(448.0);
    let best = (0u8..0x7f).min_by(|&a, &b| {
        let (da, db) = ((f8e4m3fn_to_f64(a) - magnitude).abs(), (f8e4m3fn_to_f64(b) - magnitude).abs());
        da.total_cmp(&db).then((a & 1).cmp(&(b & 1)))
    });
    best.unwrap_or(0) | if x.is_sign_negative() { 0x80 } else { 0 }
}

/// The upper half of an f16: 1 sign, 5 exponent (bias 15), 2 mantissa bits.
pub(super) fn f8e5m2_to_f64(b: u8) -> f64 {
    f16::from_bits(u16::from(b) << 8).to_f64()
}

/// The nearest value, ties to the even code; infinity from the middle behind the largest.
pub(super) fn f64_to_f8e5m2(x: f64) -> u8 {
    let sign = if x.is_sign_negative() { 0x80 } else { 0 };
    let magnitude = x.abs();
    if x.is_nan() || magnitude >= 61440.0 {
        return sign | if x.is_nan() { 0x7f } else { 0x7c };
    }
    let best = (0u8..0x7c).min_by(|&a, &b| {
        let (da, db) = ((f8e5m2_to_f64(a) - magnitude).abs(), (f8e5m2_to_f64(b) - magnitude).abs());
        da.total_cmp(&db).then((a & 1).cmp(&(b & 1)))
    });
    best.unwrap_or(0) | sign
}
