//! Activation functions: one operand, numbers as parameters, the result in the operand's dtype.

use crate::special::*;
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor};
use pt2c_ir::Fact;

/// An activation: the block computes, from the call, a function of f64.
macro_rules! activation {
    ($schema:literal, $c:ident => $make:block) => {
        OpDef::new($schema, same, |$c| {
            let f = $make;
            map($c, f)
        })
        .tagged(Tags::POINTWISE)
    };
    ($schema:literal, $f:expr) => {
        OpDef::new($schema, same, |c| map(c, $f)).tagged(Tags::POINTWISE)
    };
}

const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// The family.
pub const OPS: &[OpDef] = &[
    activation!("relu(Tensor self) -> Tensor", |x| max(x, 0.0)),
    activation!("relu6(Tensor self) -> Tensor", |x| min(max(x, 0.0), 6.0)),
    activation!("silu(Tensor self) -> Tensor", |x| x * sigmoid(x)),
    activation!("mish(Tensor self) -> Tensor", |x| x * log1p_exp(x).tanh()),
    activation!("hardsigmoid(Tensor self) -> Tensor", |x| min(max(x + 3.0, 0.0), 6.0) / 6.0),
    activation!("hardswish(Tensor self) -> Tensor", |x| x * min(max(x + 3.0, 0.0), 6.0) / 6.0),
    activation!("selu(Tensor self) -> Tensor", |x| SELU_SCALE * elu(x, SELU_ALPHA)),
    activation!("log_sigmoid(Tensor self) -> Tensor", |x| -log1p_exp(-x)),
    activation!("gelu(Tensor self, *, str approximate=\"none\") -> Tensor", c => {
        let f: fn(f64) -> f64 = match c.str("approximate")? {
            "tanh" => |x| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            },
            _ => gelu,
        };
        f
    }),
    activation!("leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor", c => {
        let slope = c.float("negative_slope")?;
        move |x: f64| if x > 0.0 { x } else { x * slope }
    }),
    activation!("elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor", c => {
        let (alpha, scale, input_scale) = (c.float("alpha")?, c.float("scale")?, c.float("input_scale")?);
        move |x: f64| if x > 0.0 { scale * x } else { scale * alpha * (x * input_scale).exp_m1() }
    }),
    activation!("celu(Tensor self, Scalar alpha=1.) -> Tensor", c => {
        let alpha = c.float("alpha")?;
        move |x: f64| if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() }
    }),
    activation!("softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor", c => {
        let (beta, threshold) = (c.float("beta")?, c.float("threshold")?);
        move |x: f64| if x * beta > threshold { x } else { log1p_exp(x * beta) / beta }
    }),
    activation!("hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor", c => {
        let (low, high) = (c.float("min_val")?, c.float("max_val")?);
        move |x: f64| min(max(x, low), high)
    }),
    activation!("hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor", c => {
        let lambda = c.float("lambd")?;
        move |x: f64| if x >= -lambda && x <= lambda { 0.0 } else { x }
    }),
    activation!("softshrink(Tensor self, Scalar lambd=0.5) -> Tensor", c => {
        let lambda = c.float("lambd")?;
        move |x: f64| if x > lambda { x - lambda } else if x < -lambda { x + lambda } else { x * 0.0 }
    }),
    activation!("threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor", c => {
        let (threshold, value) = (c.float("threshold")?, c.float("value")?);
        move |x: f64| if x <= threshold { value } else { x }
    }),
];

fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

fn same(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

fn map(c: &Call<'_, Tensor>, f: impl Fn(f64) -> f64) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    if x.dtype().is_complex() {
        return Err(OpError::Unsupported(format!("`{}` of complex numbers", c.op.name)));
    }
    Ok(vec![if x.dtype().is_float() {
        Tensor::floats(x.dtype(), x.shape(), x.as_f64s().iter().map(|&x| f(x)).collect())
    } else {
        Tensor::from_fn(x.dtype(), x.shape(), |i| Scalar::Float(f(x.f64(i))))
    }])
}
