//! Elements of small tensors as numbers.

use crate::DType;
use half::{bf16, f16};

fn read<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// A float as it is read back: shortest decimal, `inf`, `nan`, or the bits of a NaN that is not the usual one.
fn float(value: impl std::fmt::Debug, nan: bool, bits: u64, usual: u64) -> String {
    match (nan, bits == usual) {
        (true, true) => "nan".to_string(),
        (true, false) => format!("{bits:#x}"),
        _ => format!("{value:?}"),
    }
}

/// One element, little-endian.
pub fn print(dtype: DType, b: &[u8]) -> String {
    match dtype {
        DType::Bool => (b.first().is_some_and(|b| *b != 0)).to_string(),
        DType::U8 => u8::from_le_bytes(read(b)).to_string(),
        DType::I8 => i8::from_le_bytes(read(b)).to_string(),
        DType::I16 => i16::from_le_bytes(read(b)).to_string(),
        DType::U16 => u16::from_le_bytes(read(b)).to_string(),
        DType::I32 => i32::from_le_bytes(read(b)).to_string(),
        DType::U32 => u32::from_le_bytes(read(b)).to_string(),
        DType::I64 => i64::from_le_bytes(read(b)).to_string(),
        DType::U64 => u64::from_le_bytes(read(b)).to_string(),
        DType::F8E4M3FN | DType::F8E5M2 => format!("{:#x}", u8::from_le_bytes(read(b))),
        DType::F16 => {
            let x = f16::from_le_bytes(read(b));
            float(x.to_f32(), x.is_nan(), x.to_bits().into(), f16::NAN.to_bits().into())
        }
        DType::BF16 => {
            let x = bf16::from_le_bytes(read(b));
            float(x.to_f32(), x.is_nan(), x.to_bits().into(), bf16::NAN.to_bits().into())
        }
        DType::F32 => {
            let x = f32::from_le_bytes(read(b));
            float(x, x.is_nan(), x.to_bits().into(), f32::NAN.to_bits().into())
        }
        DType::F64 => {
            let x = f64::from_le_bytes(read(b));
            float(x, x.is_nan(), x.to_bits(), f64::NAN.to_bits())
        }
        DType::C32 | DType::C64 | DType::C128 => {
            let real = dtype.to_real();
            let (re, im) = b.split_at(real.size().min(b.len()));
            format!("{} {}", print(real, re), print(real, im))
        }
    }
}

/// The bytes of one element, appended to `out`; `None` if the text is no value of the type.
pub fn parse(dtype: DType, text: &str, out: &mut Vec<u8>) -> Option<()> {
    if dtype.is_complex() {
        let (re, im) = text.split_once(' ')?;
        parse(dtype.to_real(), re, out)?;
        return parse(dtype.to_real(), im, out);
    }
    let bits = text.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
    let bits = match bits {
        Some(bits) => Some(bits.ok()?),
        None => None,
    };
    match dtype {
        DType::Bool => out.push(u8::from(text.parse::<bool>().ok()?)),
        DType::U8 => out.push(text.parse().ok()?),
        DType::I8 => out.extend(text.parse::<i8>().ok()?.to_le_bytes()),
        DType::I16 => out.extend(text.parse::<i16>().ok()?.to_le_bytes()),
        DType::U16 => out.extend(text.parse::<u16>().ok()?.to_le_bytes()),
        DType::I32 => out.extend(text.parse::<i32>().ok()?.to_le_bytes()),
        DType::U32 => out.extend(text.parse::<u32>().ok()?.to_le_bytes()),
        DType::I64 => out.extend(text.parse::<i64>().ok()?.to_le_bytes()),
        DType::U64 => out.extend(text.parse::<u64>().ok()?.to_le_bytes()),
        DType::F8E4M3FN | DType::F8E5M2 => out.push(u8::try_from(bits?).ok()?),
        DType::F16 => out.extend(match bits {
            Some(bits) => u16::try_from(bits).ok()?.to_le_bytes(),
            None => f16::from_f64(text.parse().ok()?).to_le_bytes(),
        }),
        DType::BF16 => out.extend(match bits {
            Some(bits) => u16::try_from(bits).ok()?.to_le_bytes(),
            None => bf16::from_f64(text.parse().ok()?).to_le_bytes(),
        }),
        DType::F32 => out.extend(match bits {
            Some(bits) => u32::try_from(bits).ok()?.to_le_bytes(),
            None => text.parse::<f32>().ok()?.to_le_bytes(),
        }),
        DType::F64 => out.extend(match bits {
            Some(bits) => bits.to_le_bytes(),
            None => text.parse::<f64>().ok()?.to_le_bytes(),
        }),
        DType::C32 | DType::C64 | DType::C128 => return None,
    }
    Some(())
}
