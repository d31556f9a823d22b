//! Host tensors of the reference evaluator: dense, row-major, every float held as f64 and rounded to its dtype.

use half::{bf16, f16};
use num_complex::Complex64;
use pt2c_ir::{DType, Fact, TensorData};
use std::sync::Arc;

use crate::OpError;
use bytes::{f8e4m3fn_to_f64, f8e5m2_to_f64, f64_to_f8e4m3fn, f64_to_f8e5m2, read, write};
use std::borrow::Cow;

mod bytes;

/// The element at the start of little-endian bytes; `None` if there are too few.
pub fn read_element(dtype: DType, from: &[u8]) -> Option<Scalar> {
    from.get(..dtype.size()).map(|b| read(dtype, b))
}

/// Appends an element in little-endian bytes, rounded or wrapped to the dtype.
pub fn write_element(dtype: DType, value: Scalar, to: &mut Vec<u8>) {
    write(dtype, value, to);
}

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
        DType::F8E5M2 => f8e5m2_to_f64(f64_to_f8e5m2(x)),
        DType::F8E4M3FN => f8e4m3fn_to_f64(f64_to_f8e4m3fn(x)),
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

    /// A tensor of a float dtype from its elements, each rounded to it.
    pub fn floats(dtype: DType, shape: &[usize], mut values: Vec<f64>) -> Tensor {
        if dtype != DType::F64 {
            values.iter_mut().for_each(|x| *x = round_to(dtype, *x));
        }
        Tensor { dtype, shape: shape.to_vec(), data: Arc::new(Data::Float(values)) }
    }

    /// A tensor of an integer dtype from its elements, each wrapped to it.
    pub fn ints(dtype: DType, shape: &[usize], mut values: Vec<i64>) -> Tensor {
        if dtype.size() < 8 {
            values.iter_mut().for_each(|x| *x = wrap_to(dtype, *x));
        }
        Tensor { dtype, shape: shape.to_vec(), data: Arc::new(Data::Int(values)) }
    }

    /// A boolean tensor from its elements.
    pub fn bools(shape: &[usize], values: Vec<bool>) -> Tensor {
        Tensor { dtype: DType::Bool, shape: shape.to_vec(), data: Arc::new(Data::Bool(values)) }
    }

    /// A tensor of a complex dtype from its elements, each rounded to it.
    pub fn complexes(dtype: DType, shape: &[usize], mut values: Vec<Complex64>) -> Tensor {
        values.iter_mut().for_each(|z| *z = Complex64::new(round_to(dtype, z.re), round_to(dtype, z.im)));
        Tensor { dtype, shape: shape.to_vec(), data: Arc::new(Data::Complex(values)) }
    }

    /// All elements as floats; borrowed from a float tensor.
    pub fn as_f64s(&self) -> Cow<'_, [f64]> {
        if let Data::Float(v) = &*self.data { Cow::Borrowed(v) } else { Cow::Owned(self.to_f64s()) }
    }

    /// All elements as integers; borrowed from an integer tensor.
    pub fn as_i64s(&self) -> Cow<'_, [i64]> {
        if let Data::Int(v) = &*self.data {
            Cow::Borrowed(v)
        } else {
            Cow::Owned((0..self.numel()).map(|i| self.i64(i)).collect())
        }
    }

    /// All elements as booleans; borrowed from a boolean tensor.
    pub fn as_bools(&self) -> Cow<'_, [bool]> {
        if let Data::Bool(v) = &*self.data {
            Cow::Borrowed(v)
        } else {
            Cow::Owned((0..self.numel()).map(|i| self.get(i).to_bool()).collect())
        }
    }

    /// All elements as complex numbers; borrowed from a complex tensor.
    pub fn as_complexes(&self) -> Cow<'_, [Complex64]> {
        if let Data::Complex(v) = &*self.data {
            Cow::Borrowed(v)
        } else {
            Cow::Owned((0..self.numel()).map(|i| self.get(i).to_complex()).collect())
        }
    }

    /// The elements at these row-major positions, as a tensor of `shape` (of as many elements). Positions past the
    /// end read as in [`Tensor::get`].
    pub fn pick(&self, shape: &[usize], positions: impl IntoIterator<Item = usize>) -> Tensor {
        fn pick<T: Copy>(v: &[T], past: T, positions: impl IntoIterator<Item = usize>) -> Vec<T> {
            positions.into_iter().map(|i| v.get(i).copied().unwrap_or(past)).collect()
        }
        let data = match &*self.data {
            Data::Float(v) => Data::Float(pick(v, f64::NAN, positions)),
            Data::Int(v) => Data::Int(pick(v, 0, positions)),
            Data::Bool(v) => Data::Bool(pick(v, false, positions)),
            Data::Complex(v) => Data::Complex(pick(v, Complex64::ZERO, positions)),
        };
        Tensor { dtype: self.dtype, shape: shape.to_vec(), data: Arc::new(data) }
    }

    /// A copy of a strided view: element `index` is this tensor's at `offset + Σ index·strides` (in range).
    pub fn strided(&self, shape: &[usize], strides: &[isize], offset: usize) -> Tensor {
        self.pick(shape, Strided::new(shape, strides, offset))
    }

    /// Broadcast from the right to `shape`; an error if it does not fit.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Tensor, OpError> {
        if self.shape == shape {
            return Ok(self.clone());
        }
        let fits = self.rank() <= shape.len()
            && self.shape.iter().rev().zip(shape.iter().rev()).all(|(&a, &b)| a == b || a == 1);
        if !fits {
            return Err(OpError::Invalid(format!(
                "a tensor of shape {:?} does not broadcast to {shape:?}",
                self.shape
            )));
        }
        let mut strides = vec![0isize; shape.len()];
        for ((to, &stride), &n) in
            strides.iter_mut().rev().zip(self.strides().iter().rev()).zip(self.shape.iter().rev())
        {
            *to = if n == 1 { 0 } else { stride as isize };
        }
        Ok(self.strided(shape, &strides, 0))
    }

    /// With dimensions in another order: dimension `i` of the result is dimension `dims[i]` of this tensor.
    pub fn permute(&self, dims: &[usize]) -> Tensor {
        let own = self.strides();
        let shape: Vec<usize> = dims.iter().map(|&d| self.shape.get(d).copied().unwrap_or(1)).collect();
        let strides: Vec<isize> = dims.iter().map(|&d| own.get(d).copied().unwrap_or(0) as isize).collect();
        self.strided(&shape, &strides, 0)
    }

    /// Two tensors with the same elements in the same places, one after the other along `dim`, and so on for more.
    /// The caller has checked dtypes and shapes.
    pub fn cat(tensors: &[&Tensor], dim: usize) -> Result<Tensor, OpError> {
        let first = tensors.first().ok_or_else(|| OpError::invalid("nothing to concatenate"))?;
        let mut shape = first.shape.clone();
        let extent =
            shape.get_mut(dim).ok_or_else(|| OpError::invalid("the dimension to concatenate along is missing"))?;
        *extent = tensors.iter().map(|t| t.shape.get(dim).copied().unwrap_or(0)).sum();
        let outer: usize = shape.iter().take(dim).product();
        fn join<T: Copy>(parts: &[(Cow<'_, [T]>, usize)], outer: usize) -> Vec<T> {
            let mut out = Vec::with_capacity(parts.iter().map(|(p, _)| p.len()).sum());
            for o in 0..outer {
                for (values, run) in parts {
                    out.extend_from_slice(values.get(o * run..(o + 1) * run).unwrap_or(&[]));
                }
            }
            out
        }
        let run = |t: &&Tensor| t.shape.iter().skip(dim).product::<usize>();
        let dtype = first.dtype;
        Ok(if dtype.is_float() {
            Tensor::floats(
                dtype,
                &shape,
                join(&tensors.iter().map(|t| (t.as_f64s(), run(t))).collect::<Vec<_>>(), outer),
            )
        } else if dtype.is_complex() {
            let parts: Vec<_> = tensors.iter().map(|t| (t.as_complexes(), run(t))).collect();
            Tensor::complexes(dtype, &shape, join(&parts, outer))
        } else if dtype == DType::Bool {
            Tensor::bools(&shape, join(&tensors.iter().map(|t| (t.as_bools(), run(t))).collect::<Vec<_>>(), outer))
        } else {
            Tensor::ints(dtype, &shape, join(&tensors.iter().map(|t| (t.as_i64s(), run(t))).collect::<Vec<_>>(), outer))
        })
    }

    /// What is known of it without its elements.
    pub fn fact(&self) -> Fact {
        Fact::of(self.dtype, &self.shape.iter().map(|&n| n as i64).collect::<Vec<_>>())
    }

    /// Converted to another element type, as `Tensor.to(dtype)` does.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype {
            return self.clone();
        }
        match &*self.data {
            Data::Float(v) if dtype.is_float() => Tensor::floats(dtype, &self.shape, v.clone()),
            Data::Int(v) if dtype.is_int() => Tensor::ints(dtype, &self.shape, v.clone()),
            _ => Tensor::from_fn(dtype, &self.shape, |i| self.get(i)),
        }
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

/// The positions of a strided view, in row-major order of its index.
pub struct Strided {
    shape: Vec<usize>,
    strides: Vec<isize>,
    index: Vec<usize>,
    at: isize,
    left: usize,
}

impl Strided {
    /// Positions `offset + Σ index·strides` for every index of `shape`.
    pub fn new(shape: &[usize], strides: &[isize], offset: usize) -> Strided {
        Strided {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            index: vec![0; shape.len()],
            at: offset as isize,
            left: shape.iter().product(),
        }
    }
}

impl Iterator for Strided {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        for ((i, &n), &stride) in self.index.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
            *i += 1;
            self.at += stride;
            if *i < n {
                break;
            }
            self.at -= stride * n as isize;
            *i = 0;
        }
        Some(at as usize)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
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
