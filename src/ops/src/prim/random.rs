//! Random numbers. The reference draws from a fixed stream: only dtype, shape and distribution mean anything.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor};
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] = &[OpDef::new(
    "random(SymInt[] shape, ScalarType dtype, str kind, float a, float b) -> Tensor",
    |c| {
        kind(c.str("kind")?)?;
        Ok(vec![Fact::new(c.dtype("dtype")?, c.dims("shape")?)])
    },
    random,
)
.tagged(Tags::RANDOM)];

/// What a draw is made from two uniform numbers in [0, 1) and the parameters.
type Draw = fn(f64, f64, f64, f64) -> f64;

fn kind(name: &str) -> Result<Draw, OpError> {
    Ok(match name {
        // In [a, b).
        "uniform" => |u, _, a, b| a + u * (b - a),
        // Mean a, standard deviation b (Box and Muller).
        "normal" => |u, v, a, b| a + b * (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos(),
        // 1 with probability a.
        "bernoulli" => |u, _, a, _| f64::from(u8::from(u < a)),
        // Rate a.
        "exponential" => |u, _, a, _| -(1.0 - u).ln() / a,
        // Integers in [a, b).
        "integer" => |u, _, a, b| (a + u * (b - a)).floor(),
        _ => return Err(OpError::Invalid(format!("`{name}` is no distribution"))),
    })
}

fn random(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    Ok(vec![draw(c.str("kind")?, c.float("a")?, c.float("b")?, c.dtype("dtype")?, &c.sizes("shape")?)?])
}

/// Draws from a distribution; always the same numbers.
pub(crate) fn draw(name: &str, a: f64, b: f64, dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    let draw = kind(name)?;
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut state = 0x5eed_u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    Ok(Tensor::from_fn(dtype, shape, |_| {
        let (u, v) = (uniform(), uniform());
        Scalar::Float(draw(u, v, a, b))
    }))
}
