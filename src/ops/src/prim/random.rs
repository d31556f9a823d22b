//! Random numbers. The reference draws what the first call of a new context draws first: only dtype, shape and
//! distribution mean anything.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor};
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] = &[OpDef::new(
    "random(SymInt[] shape, ScalarType dtype, str kind, float a, float b, int stream=0) -> Tensor",
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
    let digits = |high: u32, low: u32| ((u64::from(high >> 5) << 26) + u64::from(low >> 6)) as f64 * 2f64.powi(-53);
    Ok(Tensor::from_fn(dtype, shape, |i| {
        let [p, q, r, s] = philox([i as u32, (i as u64 >> 32) as u32, 0, 1], [0, 0]);
        let value = draw(digits(p, q), digits(r, s), a, b);
        // A number that is rounded to fewer digits must not reach the bound.
        let reached = name == "uniform" && b > a && crate::round_to(dtype, value) >= b;
        Scalar::Float(if reached { a } else { value })
    }))
}

/// Philox4x32-10 (Salmon and others, 2011).
fn philox(mut x: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p, q) = (u64::from(x[0]) * 0xD251_1F53, u64::from(x[2]) * 0xCD9E_8D57);
        let high = |v: u64| (v >> 32) as u32;
        x = [high(q) ^ x[1] ^ key[0], q as u32, high(p) ^ x[3] ^ key[1], p as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// The known answers of Random123's distribution (`kat_vectors`).
    #[test]
    fn the_generator_gives_the_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([0xffff_ffff; 4], [0xffff_ffff; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
