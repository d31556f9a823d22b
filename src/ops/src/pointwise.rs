//! Scalar functions by category, and their application to whole tensors with broadcasting. Shared by the primitives
//! and by PyTorch's pointwise operators, so that a function is written down once.

use crate::{OpError, Scalar, Tensor, shape};
use num_complex::Complex64;
use pt2c_ir::DType;

/// A function of one element, for each category it exists in. The result has the operand's dtype.
#[derive(Clone, Copy)]
pub struct Unary {
    /// Name for messages.
    pub name: &'static str,
    /// Floats: computed in f64, rounded by the tensor.
    pub float: Option<fn(f64) -> f64>,
    /// Integers: wrapped by the tensor.
    pub int: Option<fn(i64) -> i64>,
    /// Booleans.
    pub bool: Option<fn(bool) -> bool>,
    /// Complex numbers.
    pub complex: Option<fn(Complex64) -> Complex64>,
}

impl Unary {
    /// A function of floats.
    pub const fn new(name: &'static str, float: fn(f64) -> f64) -> Unary {
        Unary { name, float: Some(float), int: None, bool: None, complex: None }
    }

    /// Also of integers.
    pub const fn int(self, f: fn(i64) -> i64) -> Unary {
        Unary { int: Some(f), ..self }
    }

    /// Also of booleans.
    pub const fn bool(self, f: fn(bool) -> bool) -> Unary {
        Unary { bool: Some(f), ..self }
    }

    /// Also of complex numbers.
    pub const fn complex(self, f: fn(Complex64) -> Complex64) -> Unary {
        Unary { complex: Some(f), ..self }
    }

    /// Not of floats.
    pub const fn no_float(self) -> Unary {
        Unary { float: None, ..self }
    }

    /// The function at every element.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor, OpError> {
        let (dtype, shape) = (x.dtype(), x.shape());
        if dtype.is_float() {
            let f = self.float.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::floats(dtype, shape, x.as_f64s().iter().map(|&v| f(v)).collect()))
        } else if dtype.is_complex() {
            let f = self.complex.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::complexes(dtype, shape, x.as_complexes().iter().map(|&v| f(v)).collect()))
        } else if dtype == DType::Bool {
            let f = self.bool.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::bools(shape, x.as_bools().iter().map(|&v| f(v)).collect()))
        } else {
            let f = self.int.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::ints(dtype, shape, x.as_i64s().iter().map(|&v| f(v)).collect()))
        }
    }
}

/// A function of two elements, for each category it exists in. The result has the operands' dtype.
#[derive(Clone, Copy)]
pub struct Binary {
    /// Name for messages.
    pub name: &'static str,
    /// Floats.
    pub float: Option<fn(f64, f64) -> f64>,
    /// Integers.
    pub int: Option<fn(i64, i64) -> i64>,
    /// Whether a zero second integer is an error, as for division.
    pub nonzero: bool,
    /// Booleans.
    pub bool: Option<fn(bool, bool) -> bool>,
    /// Complex numbers.
    pub complex: Option<fn(Complex64, Complex64) -> Complex64>,
}

impl Binary {
    /// A function of floats.
    pub const fn new(name: &'static str, float: fn(f64, f64) -> f64) -> Binary {
        Binary { name, float: Some(float), int: None, nonzero: false, bool: None, complex: None }
    }

    /// Also of integers.
    pub const fn int(self, f: fn(i64, i64) -> i64) -> Binary {
        Binary { int: Some(f), ..self }
    }

    /// Also of integers, the second not zero.
    pub const fn int_nonzero(self, f: fn(i64, i64) -> i64) -> Binary {
        Binary { int: Some(f), nonzero: true, ..self }
    }

    /// Also of booleans.
    pub const fn bool(self, f: fn(bool, bool) -> bool) -> Binary {
        Binary { bool: Some(f), ..self }
    }

    /// Also of complex numbers.
    pub const fn complex(self, f: fn(Complex64, Complex64) -> Complex64) -> Binary {
        Binary { complex: Some(f), ..self }
    }

    /// Not of floats.
    pub const fn no_float(self) -> Binary {
        Binary { float: None, ..self }
    }

    /// The function at every element of two tensors of one dtype, broadcast against each other.
    pub fn apply(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
        let (a, b) = together(a, b)?;
        let (dtype, shape) = (a.dtype(), a.shape());
        if dtype.is_float() {
            let f = self.float.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::floats(dtype, shape, zip(&a.as_f64s(), &b.as_f64s(), f)))
        } else if dtype.is_complex() {
            let f = self.complex.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::complexes(dtype, shape, zip(&a.as_complexes(), &b.as_complexes(), f)))
        } else if dtype == DType::Bool {
            let f = self.bool.ok_or_else(|| no_category(self.name, dtype))?;
            Ok(Tensor::bools(shape, zip(&a.as_bools(), &b.as_bools(), f)))
        } else {
            let f = self.int.ok_or_else(|| no_category(self.name, dtype))?;
            let divisors = b.as_i64s();
            if self.nonzero && divisors.contains(&0) {
                return Err(OpError::Runtime("integer division by zero".into()));
            }
            Ok(Tensor::ints(dtype, shape, zip(&a.as_i64s(), &divisors, f)))
        }
    }
}

/// A relation of two elements.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// Name for messages.
    pub name: &'static str,
    /// Floats.
    pub float: fn(f64, f64) -> bool,
    /// Integers; booleans as 0 and 1.
    pub int: fn(i64, i64) -> bool,
    /// Complex numbers, which have no order.
    pub complex: Option<fn(Complex64, Complex64) -> bool>,
}

impl Comparison {
    /// The relation at every element of two tensors of one dtype, broadcast against each other.
    pub fn apply(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
        let (a, b) = together(a, b)?;
        let (dtype, shape) = (a.dtype(), a.shape());
        Ok(Tensor::bools(
            shape,
            if dtype.is_float() {
                zip(&a.as_f64s(), &b.as_f64s(), self.float)
            } else if dtype.is_complex() {
                let f = self.complex.ok_or_else(|| no_category(self.name, dtype))?;
                zip(&a.as_complexes(), &b.as_complexes(), f)
            } else {
                zip(&a.as_i64s(), &b.as_i64s(), self.int)
            },
        ))
    }
}

/// `a` where `cond` holds, else `b`; all three broadcast against each other.
pub fn select(cond: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    same_dtype(a, b)?;
    let shape = shape::broadcast_known(&[cond.shape(), a.shape(), b.shape()])?;
    let (cond, a, b) = (cond.broadcast_to(&shape)?, a.broadcast_to(&shape)?, b.broadcast_to(&shape)?);
    let cond = cond.as_bools();
    fn pick<T: Copy>(cond: &[bool], a: &[T], b: &[T]) -> Vec<T> {
        cond.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }).collect()
    }
    Ok(match a.dtype() {
        d if d.is_float() => Tensor::floats(d, &shape, pick(&cond, &a.as_f64s(), &b.as_f64s())),
        d if d.is_complex() => Tensor::complexes(d, &shape, pick(&cond, &a.as_complexes(), &b.as_complexes())),
        DType::Bool => Tensor::bools(&shape, pick(&cond, &a.as_bools(), &b.as_bools())),
        d => Tensor::ints(d, &shape, pick(&cond, &a.as_i64s(), &b.as_i64s())),
    })
}

/// A function of the floats at each index of any number of tensors of one dtype, broadcast against each other.
pub fn map_floats(dtype: DType, operands: &[&Tensor], f: impl Fn(&[f64]) -> f64) -> Result<Tensor, OpError> {
    let shape = shape::broadcast_known(&operands.iter().map(|t| t.shape()).collect::<Vec<_>>())?;
    let operands = operands.iter().map(|t| t.broadcast_to(&shape)).collect::<Result<Vec<_>, _>>()?;
    if operands.iter().any(|t| t.dtype().is_complex()) {
        return Err(OpError::Unsupported("this function of complex numbers".into()));
    }
    let mut row = vec![0.0; operands.len()];
    Ok(Tensor::from_fn(dtype, &shape, |i| {
        row.iter_mut().zip(&operands).for_each(|(to, t)| *to = t.f64(i));
        Scalar::Float(f(&row))
    }))
}

fn together(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor), OpError> {
    same_dtype(a, b)?;
    let shape = shape::broadcast_known(&[a.shape(), b.shape()])?;
    Ok((a.broadcast_to(&shape)?, b.broadcast_to(&shape)?))
}

fn same_dtype(a: &Tensor, b: &Tensor) -> Result<(), OpError> {
    if a.dtype() == b.dtype() {
        Ok(())
    } else {
        Err(OpError::Invalid(format!("operands of one dtype expected, found {} and {}", a.dtype(), b.dtype())))
    }
}

fn zip<T: Copy, U>(a: &[T], b: &[T], f: impl Fn(T, T) -> U) -> Vec<U> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

fn no_category(name: &str, dtype: DType) -> OpError {
    let message = format!("`{name}` is not defined for {dtype}");
    if dtype.is_complex() { OpError::Unsupported(message) } else { OpError::Invalid(message) }
}
