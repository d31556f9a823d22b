//! Host tensors of the reference evaluator: dense, row-major, every float held as f64 and rounded to its dtype.

use half::{bf16, f16};
use num_complex::Complex64;
use pt2c_ir::{DType, TensorData};
use std::sync::Arc;

use crate::OpError;

/// A dense row-major tensor. Cloning shares the elements.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<Data>,
}

/// Elements by category. Values are always representable in the tensor's dtype.
#[derive(Clone, PartialEq, Debug)]
enum Data {
    Float(Vec<f64>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
    Complex(Vec<Complex64>),
}

/// One element.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    /// Of a float tensor.
    Float(f64),
    /// Of an integer tensor (u64 as its two's complement).
    Int(i64),
    /// Of a boolean tensor.
    Bool(bool),
    /// Of a complex tensor.
    Complex(Complex64),
}

impl Scalar {
    /// As a float; the real part of a complex number.
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(i) => i as f64,
            Scalar::Bool(b) => f64::from(u8::from(b)),
            Scalar::Complex(c) => c.re,
        }
    }

    /// As an integer: floats truncate toward zero (saturating).
    pub fn to_i64(self) -> i64 {
        match self {
            Scalar::Float(x) => x as i64,
            Scalar::Int(i) => i,
            Scalar::Bool(b) => i64::from(b),
            Scalar::Complex(c) => c.re as i64,
        }
    }

    /// As a boolean: not equal to zero.
    pub fn to_bool(self) -> bool {
        match self {
            Scalar::Float(x) => x != 0.0,
            Scalar::Int(i) => i != 0,
            Scalar::Bool(b) => b,
            Scalar::Complex(c) => c != Complex64::ZERO,
        }
    }

    /// As a complex number.
    pub fn to_complex(self) -> Complex64 {
        match self {
            Scalar::Complex(c) => c,
            other => Complex64::new(other.to_f64(), 0.0),
        }
    }
}

/// Rounds to the nearest value of a float type.
pub fn round_to(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::F32 | DType::C64 => f64::from(x as f32),
        DType::F16 | DType::C32 => f16::from_f64(x).to_f64(),
        DType::BF16 => bf16::from_f64(x).to_f64(),
        _ => x,
    }
}

/// Wraps to the range of an integer type.
pub fn wrap_to(dtype: DType, i: i64) -> i64 {
    match dtype {
        DType::U8 => i64::from(i as u8),
        DType::I8 => i64::from(i as i8),
        DType::I16 => i64::from(i as i16),
        DType::U16 => i64::from(i as u16),
        DType::I32 => i64::from(i as i32),
        DType::U32 => i64::from(i as u32),
        _ => i,
    }
}

impl Tensor {
    /// Builds a tensor element by element, in row-major order, converting each to `dtype`.
    pub fn from_fn(dtype: DType, shape: &[usize], mut f: impl FnMut(usize) -> Scalar) -> Tensor {
        let n = shape.iter().product();
        let data = if dtype.is_float() {
            Data::Float((0..n).map(|i| round_to(dtype, f(i).to_f64())).collect())
        } else if dtype.is_complex() {
            Data::Complex(
                (0..n)
                    .map(|i| {
                        let c = f(i).to_complex();
                        Complex64::new(round_to(dtype, c.re), round_to(dtype, c.im))
                    })
                    .collect(),
            )
        } else if dtype == DType::Bool {
            Data::Bool((0..n).map(|i| f(i).to_bool()).collect())
        } else {
            Data::Int((0..n).map(|i| wrap_to(dtype, f(i).to_i64())).collect())
        };
        Tensor { dtype, shape: shape.to_vec(), data: Arc::new(data) }
    }

    /// A tensor of floats (rounded to `dtype`); `values` holds one per element.
    pub fn from_f64(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
        Tensor::from_fn(dtype, shape, |i| Scalar::Float(values.get(i).copied().unwrap_or(f64::NAN)))
    }

    /// A tensor of integers (wrapped to `dtype`); `values` holds one per element.
    pub fn from_i64(dtype: DType, shape: &[usize], values: &[i64]) -> Tensor {
        Tensor::from_fn(dtype, shape, |i| Scalar::Int(values.get(i).copied().unwrap_or(0)))
    }

    /// A tensor with one value everywhere.
    pub fn full(dtype: DType, shape: &[usize], value: Scalar) -> Tensor {
        Tensor::from_fn(dtype, shape, |_| value)
    }

    /// A 0-d tensor.
    pub fn scalar(dtype: DType, value: Scalar) -> Tensor {
        Tensor::full(dtype, &[], value)
    }

    /// Reads little-endian elements.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, OpError> {
        let n = shape
            .iter()
            .try_fold(dtype.size(), |n, &s| n.checked_mul(s))
            .ok_or_else(|| OpError::invalid("the size of the tensor overflows"))?;
        if bytes.len() != n {
            return Err(OpError::Invalid(format!("{} bytes for a tensor of {n}", bytes.len())));
        }
        let size = dtype.size();
        Ok(Tensor::from_fn(dtype, shape, |i| read(dtype, &bytes[i * size..(i + 1) * size])))
    }

    /// Reads the tensor behind a parameter, buffer or constant.
    pub fn from_data(data: &TensorData) -> Result<Tensor, OpError> {
        Tensor::from_bytes(data.dtype(), data.sizes(), &data.to_dense())
    }

    /// Writes little-endian elements.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.numel() * self.dtype.size());
        for i in 0..self.numel() {
            write(self.dtype, self.get(i), &mut out);
        }
        out
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        strides_of(&self.shape)
    }

    /// The element at a row-major position; NaN/0/false past the end.
    pub fn get(&self, i: usize) -> Scalar {
        match &*self.data {
            Data::Float(v) => Scalar::Float(v.get(i).copied().unwrap_or(f64::NAN)),
            Data::Int(v) => Scalar::Int(v.get(i).copied().unwrap_or(0)),
            Data::Bool(v) => Scalar::Bool(v.get(i).copied().unwrap_or(false)),
            Data::Complex(v) => Scalar::Complex(v.get(i).copied().unwrap_or_default()),
        }
    }

    /// The element at a row-major position as a float.
    pub fn f64(&self, i: usize) -> f64 {
        self.get(i).to_f64()
    }

    /// The element at a row-major position as an integer.
    pub fn i64(&self, i: usize) -> i64 {
        self.get(i).to_i64()
    }

    /// All elements as floats.
    pub fn to_f64s(&self) -> Vec<f64> {
        (0..self.numel()).map(|i| self.f64(i)).collect()
    }

    /// Converted to another element type, as `Tensor.to(dtype)` does.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype { self.clone() } else { Tensor::from_fn(dtype, &self.shape, |i| self.get(i)) }
    }

    /// The same elements in another shape of as many.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor, OpError> {
        if shape.iter().product::<usize>() != self.numel() {
            return Err(OpError::Invalid(format!("{:?} does not hold the elements of {:?}", shape, self.shape)));
        }
        Ok(Tensor { dtype: self.dtype, shape: shape.to_vec(), data: self.data.clone() })
    }

    /// A tensor of `shape` whose element at each index is this tensor's element at position `source(index)`.
    pub fn gather(&self, shape: &[usize], mut source: impl FnMut(&[usize]) -> usize) -> Tensor {
        let mut index = vec![0; shape.len()];
        Tensor::from_fn(self.dtype, shape, |i| {
            unravel(i, shape, &mut index);
            self.get(source(&index))
        })
    }
}

/// Row-major strides of a shape.
pub fn strides_of(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// The index of row-major position `i` in `shape`, written into `index`.
pub fn unravel(mut i: usize, shape: &[usize], index: &mut [usize]) {
    for d in (0..shape.len()).rev() {
        index[d] = i % shape[d].max(1);
        i /= shape[d].max(1);
    }
}

/// Row-major position of `index` in `shape`.
pub fn ravel(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (&i, &n)| at * n + i)
}

fn read(dtype: DType, b: &[u8]) -> Scalar {
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
        DType::F8E5M2 => Scalar::Float(f16::from_bits(u16::from(b[0]) << 8).to_f64()),
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

fn write(dtype: DType, value: Scalar, out: &mut Vec<u8>) {
    match dtype {
        DType::Bool => out.push(u8::from(value.to_bool())),
        DType::F16 => out.extend(f16::from_f64(value.to_f64()).to_le_bytes()),
        DType::BF16 => out.extend(bf16::from_f64(value.to_f64()).to_le_bytes()),
        DType::F32 => out.extend((value.to_f64() as f32).to_le_bytes()),
        DType::F64 => out.extend(value.to_f64().to_le_bytes()),
        DType::F8E5M2 => out.push((f16::from_f64(value.to_f64()).to_bits() >> 8) as u8),
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
fn f8e4m3fn_to_f64(b: u8) -> f64 {
    let sign = if b & 0x80 != 0 { -1.0 } else { 1.0 };
    let (e, m) = (i32::from((b >> 3) & 15), f64::from(b & 7));
    match (e, b & 7) {
        (15, 7) => f64::NAN,
        (0, _) => sign * m / 8.0 * 2f64.powi(-6),
        _ => sign * (1.0 + m / 8.0) * 2f64.powi(e - 7),
    }
}

/// The nearest of the 256 values, ties to the even code.
fn f64_to_f8e4m3fn(x: f64) -> u8 {
    if x.is_nan() || x.abs() > 464.0 {
        return 0x7f | if x.is_sign_negative() { 0x80 } else { 0 };
    }
    let magnitude = x.abs();
    let best = (0u8..0x7f).min_by(|&a, &b| {
        let (da, db) = ((f8e4m3fn_to_f64(a) - magnitude).abs(), (f8e4m3fn_to_f64(b) - magnitude).abs());
        da.total_cmp(&db).then((a & 1).cmp(&(b & 1)))
    });
    best.unwrap_or(0) | if x.is_sign_negative() { 0x80 } else { 0 }
}
