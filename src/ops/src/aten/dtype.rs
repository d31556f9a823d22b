//! Conversions between element types, complex numbers and their parts, and operators that return their operand.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, shape};
use num_complex::Complex64;
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// Conversion to the dtype argument, if there is one.
macro_rules! to_dtype {
    ($schema:literal) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("self")?;
                Ok(vec![Fact::new(c.opt_dtype("dtype")?.unwrap_or(x.dtype), x.shape.clone())])
            },
            |c| {
                let x = c.tensor("self")?;
                Ok(vec![x.cast(c.opt_dtype("dtype")?.unwrap_or(x.dtype()))])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// Conversion to another tensor's dtype.
macro_rules! to_other {
    ($schema:literal) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![Fact::new(c.tensor("other")?.dtype, c.tensor("self")?.shape.clone())]),
            |c| Ok(vec![c.tensor("self")?.cast(c.tensor("other")?.dtype())]),
        )
        .tagged(Tags::POINTWISE)
    };
}

/// Returns its operand: an alias in PyTorch if tagged so, or a copy.
macro_rules! identity {
    ($schema:literal) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("self")?;
                Ok(vec![Fact::new(x.dtype, x.shape.clone())])
            },
            |c| Ok(vec![c.tensor("self")?.clone()]),
        )
        .tagged(Tags::IDENTITY)
    };
}

/// Real or imaginary part.
macro_rules! part {
    ($schema:literal, $f:expr) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("self")?;
                Ok(vec![Fact::new(x.dtype.to_real(), x.shape.clone())])
            },
            |c| {
                let x = c.tensor("self")?;
                let f: fn(Complex64) -> f64 = $f;
                let part = |i| if let Scalar::Complex(z) = x.get(i) { Scalar::Float(f(z)) } else { x.get(i) };
                Ok(vec![Tensor::from_fn(x.dtype().to_real(), x.shape(), part)])
            },
        )
        .tagged(Tags::POINTWISE)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    to_dtype!(
        "to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)"
    ),
    to_dtype!(
        "to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)"
    ),
    to_dtype!(
        "to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)"
    ),
    to_dtype!(
        "_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor"
    ),
    to_other!(
        "to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)"
    ),
    to_other!("type_as(Tensor self, Tensor other) -> Tensor"),
    identity!("alias(Tensor(a) self) -> Tensor(a)").tagged(Tags::VIEW),
    identity!("detach(Tensor(a) self) -> Tensor(a)").tagged(Tags::VIEW),
    identity!("contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)").tagged(Tags::VIEW),
    identity!("lift_fresh(Tensor(a) self) -> Tensor(a)").tagged(Tags::VIEW),
    identity!("alias_copy(Tensor self) -> Tensor"),
    identity!("detach_copy(Tensor self) -> Tensor"),
    identity!("lift(Tensor self) -> Tensor"),
    identity!("lift_fresh_copy(Tensor self) -> Tensor"),
    identity!("clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor"),
    OpDef::new("view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)", infer_view, view).tagged(Tags::VIEW),
    part!("real(Tensor(a) self) -> Tensor(a)", |z| z.re).tagged(Tags::VIEW),
    part!("imag(Tensor(a) self) -> Tensor(a)", |z| z.im).tagged(Tags::VIEW),
    OpDef::new("view_as_real(Tensor(a) self) -> Tensor(a)", infer_as_real, as_real).tagged(Tags::VIEW),
    OpDef::new("view_as_real_copy(Tensor self) -> Tensor", infer_as_real, as_real),
    OpDef::new("view_as_complex(Tensor(a) self) -> Tensor(a)", infer_as_complex, as_complex).tagged(Tags::VIEW),
    OpDef::new("view_as_complex_copy(Tensor self) -> Tensor", infer_as_complex, as_complex),
    OpDef::new(
        "complex(Tensor real, Tensor imag) -> Tensor",
        |c| infer_pair(c, ["real", "imag"]),
        |c| pair(c, ["real", "imag"], Complex64::new),
    )
    .tagged(Tags::POINTWISE),
    OpDef::new(
        "polar(Tensor abs, Tensor angle) -> Tensor",
        |c| infer_pair(c, ["abs", "angle"]),
        |c| pair(c, ["abs", "angle"], Complex64::from_polar),
    )
    .tagged(Tags::POINTWISE),
];

fn complex_of(dtype: DType) -> Result<DType, OpError> {
    dtype.to_complex().ok_or_else(|| OpError::Invalid(format!("no complex type has parts of {dtype}")))
}

/// A last dimension that holds as many bytes as before.
fn infer_view(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, dtype) = (c.tensor("self")?, c.dtype("dtype")?);
    let mut shape = x.shape.clone();
    if x.dtype.size() != dtype.size() {
        let last = shape.last_mut().ok_or_else(|| OpError::invalid("a 0-d tensor keeps its element size"))?;
        let bytes = &*last * &Dim::int(x.dtype.size() as i64);
        *last = bytes.floor_div(&Dim::int(dtype.size() as i64));
    }
    Ok(vec![Fact::new(dtype, shape)])
}

fn view(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, dtype) = (c.tensor("self")?, c.dtype("dtype")?);
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = *last * x.dtype().size() / dtype.size();
    }
    Ok(vec![Tensor::from_bytes(dtype, &shape, &x.to_bytes())?])
}

fn infer_as_real(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let mut shape = x.shape.clone();
    shape.push(Dim::int(2));
    Ok(vec![Fact::new(x.dtype.to_real(), shape)])
}

fn as_real(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let mut shape = x.shape().to_vec();
    shape.push(2);
    let parts = x.as_complexes().iter().flat_map(|z| [z.re, z.im]).collect();
    Ok(vec![Tensor::floats(x.dtype().to_real(), &shape, parts)])
}

fn infer_as_complex(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    match x.shape.split_last() {
        Some((last, shape)) if !c.scope.prove_eq(last, &Dim::int(2)).is_no() => {
            Ok(vec![Fact::new(complex_of(x.dtype)?, shape.to_vec())])
        }
        _ => Err(OpError::Invalid(format!("the last dimension of {x} is not 2"))),
    }
}

fn as_complex(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let shape = x.shape().split_last().map_or(&[][..], |(_, s)| s);
    let values = x.as_f64s().chunks_exact(2).filter_map(|p| Some(Complex64::new(*p.first()?, *p.last()?))).collect();
    Ok(vec![Tensor::complexes(complex_of(x.dtype())?, shape, values)])
}

fn infer_pair(c: &Call<'_, Fact>, names: [&str; 2]) -> Result<Vec<Fact>, OpError> {
    Ok(vec![Fact::new(complex_of(c.result_type(&names)?)?, c.broadcast(&names)?)])
}

fn pair(c: &Call<'_, Tensor>, names: [&str; 2], f: fn(f64, f64) -> Complex64) -> Result<Vec<Tensor>, OpError> {
    let [a, b] = names.map(|n| c.tensor(n));
    let (a, b) = (a?, b?);
    let shape = shape::broadcast_known(&[a.shape(), b.shape()])?;
    let (a, b) = (a.broadcast_to(&shape)?, b.broadcast_to(&shape)?);
    let values = a.as_f64s().iter().zip(b.as_f64s().iter()).map(|(&a, &b)| f(a, b)).collect();
    Ok(vec![Tensor::complexes(complex_of(a.dtype())?, &shape, values)])
}
