//! Gradients of activations and of softmax.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val, wrap_dim};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("sigmoid_backward(Tensor grad_output, Tensor output) -> Tensor", |s, c| {
        let (g, y) = operands(s, c, "output")?;
        done(s, c, g * y * (1.0 - y))
    }),
    formula!("tanh_backward(Tensor grad_output, Tensor output) -> Tensor", |s, c| {
        let (g, y) = operands(s, c, "output")?;
        done(s, c, g * (1.0 - y * y))
    }),
    formula!("silu_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let y = x.sigmoid();
        done(s, c, g * y * (x * (1.0 - y) + 1.0))
    }),
    formula!("gelu_backward(Tensor grad_output, Tensor self, *, str approximate=\"none\") -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let slope = if c.str("approximate")? == "tanh" {
            let (k, cubic) = (FRAC_2_SQRT_PI * FRAC_1_SQRT_2, 0.044715);
            let t = ((x * x * x * cubic + x) * k).tanh();
            let inner = (x * x * (3.0 * cubic) + 1.0) * k;
            (t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * inner
        } else {
            let density = (x * x * -0.5).exp() * (1.0 / (2.0 * PI).sqrt());
            ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5 + x * density
        };
        done(s, c, g * slope)
    }),
    formula!("threshold_backward(Tensor grad_output, Tensor self, Scalar threshold) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        done(s, c, x.le(c.float("threshold")?).pick(0.0, g))
    }),
    formula!(
        "elu_backward(Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool is_result, Tensor self_or_result) -> Tensor",
        |s, c| {
            let (g, x) = operands(s, c, "self_or_result")?;
            let (alpha, scale, inner) = (c.float("alpha")?, c.float("scale")?, c.float("input_scale")?);
            let low = if c.bool("is_result")? {
                g * inner * (x + alpha * scale)
            } else {
                g * (inner * alpha * scale) * (x * inner).exp()
            };
            done(s, c, x.le(0.0).pick(low, g * scale))
        }
    ),
    formula!(
        "leaky_relu_backward(Tensor grad_output, Tensor self, Scalar negative_slope, bool self_is_result) -> Tensor",
        |s, c| {
            let (g, x) = operands(s, c, "self")?;
            done(s, c, x.gt(0.0).pick(g, g * c.float("negative_slope")?))
        }
    ),
    formula!("hardswish_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let middle = x.lt(3.0).pick(g * (x / 3.0 + 0.5), g);
        done(s, c, x.le(-3.0).pick(0.0, middle))
    }),
    formula!("hardsigmoid_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        done(s, c, x.gt(-3.0).and(x.lt(3.0)).pick(g * (1.0 / 6.0), 0.0))
    }),
    formula!("hardtanh_backward(Tensor grad_output, Tensor self, Scalar min_val, Scalar max_val) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let outside = x.le(c.float("min_val")?).or(x.ge(c.float("max_val")?));
        done(s, c, outside.pick(0.0, g))
    }),
    formula!("softplus_backward(Tensor grad_output, Tensor self, Scalar beta, Scalar threshold) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let scaled = x * c.float("beta")?;
        let z = scaled.exp();
        done(s, c, scaled.gt(c.float("threshold")?).pick(g, g * z / (z + 1.0)))
    }),
    formula!("log_sigmoid_backward(Tensor grad_output, Tensor self, Tensor buffer) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let z = (-x.abs()).exp();
        let part = z / (z + 1.0);
        let negative = x.lt(0.0);
        done(s, c, g * negative.pick(1.0 - part, part))
    }),
    formula!("glu_backward(Tensor grad_output, Tensor self, int dim) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let dim = wrap_dim(c.int("dim")?, x.rank())?;
        let half = x.shape().get(dim).map(|n| n.floor_div(&pt2c_ir::dim::Dim::int(2))).unwrap_or_default();
        let first = x.narrow(dim, &pt2c_ir::dim::Dim::ZERO, &half);
        let gate = x.narrow(dim, &half, &half).sigmoid();
        let (a, b) = (g * gate, g * first * gate * (1.0 - gate));
        done(s, c, s.step(|f| f.cat(&[a.value(), b.value()], dim)))
    }),
    formula!("mish_backward(Tensor grad_output, Tensor self) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let soft = x.gt(20.0).pick(x, x.exp().log1p());
        let t = soft.tanh();
        done(s, c, g * (t + x * x.sigmoid() * (1.0 - t * t)))
    }),
    formula!("softshrink_backward(Tensor grad_output, Tensor self, Scalar lambd) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        shrink(s, c, g, x)
    }),
    formula!("hardshrink_backward(Tensor grad_out, Tensor self, Scalar lambd) -> Tensor", |s, c| {
        let (g, x) = (s.arg(c, "grad_out").wide(), s.arg(c, "self").wide());
        shrink(s, c, g, x)
    }),
    formula!("logit_backward(Tensor grad_output, Tensor self, float? eps=None) -> Tensor", |s, c| {
        let (g, x) = operands(s, c, "self")?;
        let (low, outside) = c.opt_float("eps")?.map_or((0.0, f64::NAN), |eps| (eps, 0.0));
        let inside = x.ge(low).and(x.le(1.0 - low));
        done(s, c, inside.pick(g / (x * (1.0 - x)), outside))
    }),
    formula!("_prelu_kernel_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor)", |s, c| {
        let ((g, x), dtype) = (operands(s, c, "self")?, s.arg(c, "self").dtype());
        let (w, above) = (s.arg(c, "weight").cast(g.dtype()), x.gt(0.0));
        vec![above.pick(g, g * w).cast(dtype), above.pick(0.0, g * x).cast(dtype)]
    }),
    formula!(
        "rrelu_with_noise_backward(Tensor grad_output, Tensor self, Tensor noise, Scalar lower, Scalar upper, bool training, bool self_is_result) -> Tensor",
        |s, c| {
            let ((g, x), lower, upper) = (operands(s, c, "self")?, c.float("lower")?, c.float("upper")?);
            if c.bool("training")? && upper - lower > 1e-6 {
                done(s, c, g * s.arg(c, "noise").cast(g.dtype()))
            } else {
                done(s, c, x.gt(0.0).pick(g, g * ((lower + upper) / 2.0)))
            }
        }
    ),
    formula!("native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor", |s, c| {
        let (g, mask) = operands(s, c, "mask")?;
        let product = g * mask * c.float("scale")?;
        if s.arg(c, "grad_output").dtype().is_float() { done(s, c, product) } else { vec![product] }
    }),
    formula!("_masked_scale(Tensor self, Tensor mask, float scale) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        vec![(x.wide() * s.arg(c, "mask").wide() * c.float("scale")?).cast(x.dtype())]
    }),
    formula!(
        "_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor",
        |s, c| {
            let (g, y) = operands(s, c, "output")?;
            let product = g * y;
            let dims = along(c, y)?;
            vec![(product - y * product.sum(&dims, true)).cast(c.dtype("input_dtype")?)]
        }
    ),
    formula!(
        "_log_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor",
        |s, c| {
            let (g, y) = operands(s, c, "output")?;
            let dims = along(c, y)?;
            vec![(g - y.exp() * g.sum(&dims, true)).cast(c.dtype("input_dtype")?)]
        }
    ),
];

/// The incoming gradient and another operand, in the dtype they are computed in.
fn operands<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, other: &str) -> Result<(Term<'s>, Term<'s>), OpError> {
    let g = s.arg(c, "grad_output").wide();
    Ok((g, s.arg(c, other).cast(g.dtype())))
}

/// The result in the incoming gradient's dtype.
fn done<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, result: Term<'s>) -> Vec<Term<'s>> {
    let name = c.op.schema.params.first().map_or("", |p| p.name.as_str());
    let name = if name.starts_with("grad") { name } else { "grad_output" };
    vec![result.cast(s.arg(c, name).dtype())]
}

fn shrink<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, g: Term<'s>, x: Term<'s>) -> Vec<Term<'s>> {
    let limit = c.float("lambd").unwrap_or(0.5);
    done(s, c, x.ge(-limit).and(x.le(limit)).pick(0.0, g))
}

fn along(c: &Call<'_, Val>, y: Term<'_>) -> Result<Vec<usize>, OpError> {
    let rank = y.rank();
    let dim = wrap_dim(c.int("dim")?, rank)?;
    Ok(if rank == 0 { Vec::new() } else { vec![dim] })
}
