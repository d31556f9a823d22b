//! Quantisation as PyTorch's quantiser exports it (namespace `quantized_decomposed`): plain arithmetic between floats
//! and small integers. Each operator is one formula over other operators, from which inference, evaluation and
//! decomposition follow.

use crate::{Call, OpDef, OpError, Tensor, infer, lookup};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

macro_rules! formula {
    ($schema:literal) => {
        OpDef::new($schema, infer_formula, evaluate)
    };
}

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("quantized_decomposed::quantize_per_tensor(Tensor input, float scale, int zero_point, int quant_min, int quant_max, ScalarType dtype) -> Tensor"),
    formula!("quantized_decomposed::quantize_per_tensor.tensor(Tensor input, Tensor scale, Tensor zero_point, int quant_min, int quant_max, ScalarType dtype) -> Tensor"),
    formula!("quantized_decomposed::dequantize_per_tensor(Tensor input, float scale, int zero_point, int quant_min, int quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor"),
    formula!("quantized_decomposed::dequantize_per_tensor.tensor(Tensor input, Tensor scale, Tensor zero_point, int quant_min, int quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor"),
    formula!("quantized_decomposed::quantize_per_channel(Tensor input, Tensor scales, Tensor zero_points, int axis, int quant_min, int quant_max, ScalarType dtype) -> Tensor"),
    formula!("quantized_decomposed::dequantize_per_channel(Tensor input, Tensor scales, Tensor? zero_points, int axis, int quant_min, int quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor"),
    formula!("quantized_decomposed::choose_qparams.tensor(Tensor input, int quant_min, int quant_max, float eps, ScalarType dtype) -> (Tensor, Tensor)"),
    formula!("quantized_decomposed::choose_qparams_symmetric.tensor(Tensor input, int quant_min, int quant_max, float eps, ScalarType dtype) -> (Tensor, Tensor)"),
    formula!("quantized_decomposed::choose_qparams_per_token_asymmetric(Tensor input, ScalarType dtype) -> (Tensor, Tensor)"),
    formula!("quantized_decomposed::quantize_per_token(Tensor input, Tensor scales, Tensor zero_points, int quant_min, int quant_max, ScalarType dtype) -> Tensor"),
    formula!("quantized_decomposed::dequantize_per_token(Tensor input, Tensor scales, Tensor zero_points, int quant_min, int quant_max, ScalarType dtype, ScalarType output_dtype) -> Tensor"),
];

/// How a formula is carried out: on facts, on tensors, or into a graph.
pub trait Arithmetic<T> {
    /// The first output of a call; arguments complete and in order.
    fn call(&mut self, op: &str, args: Vec<Arg<T>>) -> Result<T, OpError>;
    /// What is known of a value.
    fn fact(&self, value: &T) -> Fact;
}

/// Adds the operators of a formula one by one.
struct Steps<'a, T> {
    by: &'a mut dyn Arithmetic<T>,
}

impl<T: Clone> Steps<'_, T> {
    fn two(&mut self, op: &str, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.by.call(op, vec![Arg::Tensor(a.clone()), b])
    }

    fn mul(&mut self, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.two("aten.mul.Tensor", a, b)
    }

    fn div(&mut self, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.two("aten.div.Tensor", a, b)
    }

    fn add(&mut self, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.by.call("aten.add.Tensor", vec![Arg::Tensor(a.clone()), b, int(1)])
    }

    fn sub(&mut self, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.by.call("aten.sub.Tensor", vec![Arg::Tensor(a.clone()), b, int(1)])
    }

    /// `b - a`.
    fn rsub(&mut self, a: &T, b: Arg<T>) -> Result<T, OpError> {
        self.by.call("aten.rsub.Scalar", vec![Arg::Tensor(a.clone()), b, int(1)])
    }

    fn round(&mut self, a: &T) -> Result<T, OpError> {
        self.by.call("aten.round.default", vec![Arg::Tensor(a.clone())])
    }

    fn clamp(&mut self, a: &T, low: Arg<T>, high: Arg<T>) -> Result<T, OpError> {
        self.by.call("aten.clamp.default", vec![Arg::Tensor(a.clone()), low, high])
    }

    fn reciprocal(&mut self, a: &T) -> Result<T, OpError> {
        self.by.call("aten.reciprocal.default", vec![Arg::Tensor(a.clone())])
    }

    fn cast(&mut self, a: &T, dtype: DType) -> Result<T, OpError> {
        self.by.call("prim.cast", vec![Arg::Tensor(a.clone()), Arg::DType(dtype)])
    }

    fn reshape(&mut self, a: &T, shape: Vec<Dim>) -> Result<T, OpError> {
        self.by.call("prim.reshape", vec![Arg::Tensor(a.clone()), Arg::Ints(shape)])
    }

    /// `clamp(round(x·inverse) + zero, low, high)` as `dtype`.
    fn quantize(&mut self, c: &Call<'_, T>, x: &T, inverse: Arg<T>, zero: Arg<T>) -> Result<T, OpError> {
        let x = self.mul(x, inverse)?;
        let x = self.round(&x)?;
        let x = self.add(&x, zero)?;
        let x = self.clamp(&x, c.arg("quant_min")?.clone(), c.arg("quant_max")?.clone())?;
        self.cast(&x, c.dtype("dtype")?)
    }

    /// The input, f16 and bf16 as f32.
    fn widened(&mut self, c: &Call<'_, T>) -> Result<T, OpError> {
        let x = c.tensor("input")?;
        if matches!(self.by.fact(x).dtype, DType::F16 | DType::BF16) { self.cast(x, DType::F32) } else { Ok(x.clone()) }
    }

    /// A vector along dimension `axis` of the input.
    fn along(&mut self, c: &Call<'_, T>, name: &str) -> Result<T, OpError> {
        let (v, x) = (c.tensor(name)?, self.by.fact(c.tensor("input")?));
        let axis = crate::wrap_dim(c.int("axis")?, x.rank())?;
        let count = self.by.fact(v).numel();
        let shape = (0..x.rank()).map(|d| if d == axis { count.clone() } else { Dim::ONE }).collect();
        self.reshape(v, shape)
    }

    /// A scale or zero point of one element as a 0-d tensor, which promotes as a number does.
    fn number(&mut self, c: &Call<'_, T>, name: &str) -> Result<T, OpError> {
        let v = c.tensor(name)?;
        let v = self.reshape(v, Vec::new())?;
        self.cast(&v, DType::F64)
    }

    /// Smallest element or 0, and largest element or 0; over all, or along the last dimension, which stays.
    fn range(&mut self, x: &T, per_row: bool) -> Result<(T, T), OpError> {
        let mut ends = Vec::new();
        for (op, limit) in [("aten.amin.default", "max"), ("aten.amax.default", "min")] {
            let dims = if per_row { vec![Dim::int(-1)] } else { Vec::new() };
            let end = self.by.call(op, vec![Arg::Tensor(x.clone()), Arg::Ints(dims), Arg::Bool(per_row)])?;
            let zero = int(0);
            ends.push(if limit == "max" {
                self.clamp(&end, Arg::None, zero)?
            } else {
                self.clamp(&end, zero, Arg::None)?
            });
        }
        let high = ends.pop().ok_or_else(|| OpError::invalid("no range"))?;
        let low = ends.pop().ok_or_else(|| OpError::invalid("no range"))?;
        Ok((low, high))
    }
}

fn int<T>(i: i64) -> Arg<T> {
    Arg::Int(Dim::int(i))
}

/// Carries out the operator's formula; one value per output.
pub fn formula<T: Clone>(c: &Call<'_, T>, by: &mut dyn Arithmetic<T>) -> Result<Vec<T>, OpError> {
    let mut s = Steps { by };
    let (name, overload) = (c.op.schema.name.as_str(), c.op.schema.overload.as_str());
    Ok(match name {
        "quantize_per_tensor" => {
            let x = s.widened(c)?;
            let (inverse, zero) = if overload == "tensor" {
                let scale = s.number(c, "scale")?;
                (Arg::Tensor(s.reciprocal(&scale)?), Arg::Tensor(s.number(c, "zero_point")?))
            } else {
                (Arg::Float(1.0 / c.float("scale")?), c.arg("zero_point")?.clone())
            };
            vec![s.quantize(c, &x, inverse, zero)?]
        }
        "dequantize_per_tensor" => {
            let x = s.cast(c.tensor("input")?, c.opt_dtype("out_dtype")?.unwrap_or(DType::F32))?;
            let (scale, zero) = if overload == "tensor" {
                (Arg::Tensor(s.number(c, "scale")?), Arg::Tensor(s.number(c, "zero_point")?))
            } else {
                (c.arg("scale")?.clone(), c.arg("zero_point")?.clone())
            };
            let x = s.sub(&x, zero)?;
            vec![s.mul(&x, scale)?]
        }
        "quantize_per_channel" => {
            let (x, scales, zero) = (s.widened(c)?, s.along(c, "scales")?, s.along(c, "zero_points")?);
            let inverse = s.reciprocal(&scales)?;
            vec![s.quantize(c, &x, Arg::Tensor(inverse), Arg::Tensor(zero))?]
        }
        "dequantize_per_channel" => {
            let mut x = c.tensor("input")?.clone();
            let scales = s.along(c, "scales")?;
            if !c.arg("zero_points")?.is_none() {
                let zero = s.along(c, "zero_points")?;
                x = s.sub(&x, Arg::Tensor(zero))?;
            }
            let x = s.mul(&x, Arg::Tensor(scales))?;
            vec![s.cast(&x, c.opt_dtype("out_dtype")?.unwrap_or(DType::F32))?]
        }
        "quantize_per_token" => {
            let inverse = s.reciprocal(c.tensor("scales")?)?;
            let x = s.mul(c.tensor("input")?, Arg::Tensor(inverse))?;
            let x = s.add(&x, c.arg("zero_points")?.clone())?;
            let x = s.round(&x)?;
            let x = s.clamp(&x, c.arg("quant_min")?.clone(), c.arg("quant_max")?.clone())?;
            vec![s.cast(&x, c.dtype("dtype")?)?]
        }
        "dequantize_per_token" => {
            let x = s.sub(c.tensor("input")?, c.arg("zero_points")?.clone())?;
            let x = s.mul(&x, c.arg("scales")?.clone())?;
            vec![s.cast(&x, c.dtype("output_dtype")?)?]
        }
        "choose_qparams" | "choose_qparams_symmetric" => choose(c, &mut s, name == "choose_qparams_symmetric")?,
        "choose_qparams_per_token_asymmetric" => choose_per_token(c, &mut s)?,
        _ => return Err(OpError::Unsupported(format!("`{}` has no formula", c.op.name))),
    })
}

/// Scale and zero point for the range of the whole input.
fn choose<T: Clone>(c: &Call<'_, T>, s: &mut Steps<'_, T>, symmetric: bool) -> Result<Vec<T>, OpError> {
    let (low, high) = s.range(c.tensor("input")?, false)?;
    let (quant_min, quant_max) = (c.int("quant_min")?, c.int("quant_max")?);
    let steps = (quant_max - quant_min) as f64;
    let eps = Arg::Float(f64::from(c.float("eps")? as f32));
    let scale = if symmetric {
        let negative = s.mul(&low, int(-1))?;
        let size = s.two("aten.maximum.default", &negative, Arg::Tensor(high.clone()))?;
        s.div(&size, Arg::Float(steps / 2.0))?
    } else {
        let span = s.sub(&high, Arg::Tensor(low.clone()))?;
        s.div(&span, Arg::Float(steps))?
    };
    let scale = s.clamp(&scale, eps, Arg::None)?;
    let zero = if symmetric {
        let middle = if c.dtype("dtype")? == DType::U8 { 128 } else { 0 };
        let none = s.mul(&low, int(0))?;
        s.add(&none, int(middle))?
    } else {
        let offset = s.div(&low, Arg::Tensor(scale.clone()))?;
        let offset = s.round(&offset)?;
        let zero = s.rsub(&offset, int(quant_min))?;
        s.clamp(&zero, int(quant_min), int(quant_max))?
    };
    let (scale, zero) = (s.cast(&scale, DType::F64)?, s.cast(&zero, DType::I64)?);
    Ok(vec![s.reshape(&scale, vec![Dim::ONE])?, s.reshape(&zero, vec![Dim::ONE])?])
}

/// Scale and zero point for the range of each row, with the smaller error at the ends (as XNNPACK does).
fn choose_per_token<T: Clone>(c: &Call<'_, T>, s: &mut Steps<'_, T>) -> Result<Vec<T>, OpError> {
    let (low, high) = s.range(c.tensor("input")?, true)?;
    let span = s.sub(&high, Arg::Tensor(low.clone()))?;
    let scale = s.div(&span, Arg::Float(255.0))?;
    let scale = s.clamp(&scale, Arg::Float(f64::from(f32::EPSILON)), Arg::None)?;
    let (low, high) = (s.div(&low, Arg::Tensor(scale.clone()))?, s.div(&high, Arg::Tensor(scale.clone()))?);
    let (from_low, from_high) = (s.add(&low, int(-128))?, s.add(&high, int(127))?);
    let sum = s.add(&from_low, Arg::Tensor(from_high))?;
    let positive = s.two("aten.gt.Scalar", &sum, int(0))?;
    let (a, b) = (s.rsub(&low, int(-128))?, s.rsub(&high, int(127))?);
    let zero = s.by.call("aten.where.self", [positive, a, b].into_iter().map(Arg::Tensor).collect())?;
    let zero = s.clamp(&zero, int(-128), int(127))?;
    let zero = s.round(&zero)?;
    Ok(vec![s.cast(&scale, DType::F64)?, s.cast(&zero, DType::I64)?])
}

struct Inference<'a>(&'a pt2c_ir::dim::Scope);

impl Arithmetic<Fact> for Inference<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Fact>>) -> Result<Fact, OpError> {
        infer(op, &args, self.0)?.into_iter().next().ok_or_else(|| OpError::invalid("no output"))
    }

    fn fact(&self, value: &Fact) -> Fact {
        value.clone()
    }
}

fn infer_formula(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    formula(c, &mut Inference(c.scope))
}

struct Evaluation<'a>(&'a pt2c_ir::dim::Scope);

impl Arithmetic<Tensor> for Evaluation<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Tensor>>) -> Result<Tensor, OpError> {
        let op = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        let outputs = (op.def.eval)(&Call { op, args: &args, scope: self.0 })?;
        outputs.into_iter().next().ok_or_else(|| OpError::invalid("no output"))
    }

    fn fact(&self, value: &Tensor) -> Fact {
        value.fact()
    }
}

fn evaluate(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    formula(c, &mut Evaluation(c.scope))
}
