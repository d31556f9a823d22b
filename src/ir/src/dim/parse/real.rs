//! The small real-valued sub-language: exact quotients of integer expressions.
//!
//! PyTorch computes true divisions in 64-bit floats. A quotient of integers below 2^53 that is rounded
//! once keeps its floor, ceiling, nearest integer and its order relative to such integers, so those
//! uses have an exact integer form. Where a rounded value would be computed with further, its result
//! may differ from the exact one: that is refused.

use super::ParseError;
use crate::dim::expr::Dim;
use crate::dim::pred::Pred;

/// `num / den`, with a divisor assumed not to be zero.
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub(super) num: Dim,
    pub(super) den: Dim,
    /// Whether PyTorch would have rounded it to a float.
    pub(super) rounded: bool,
    /// Whether it is a float literal that stands for a fraction; see [`Real::float`].
    pub(super) literal: bool,
}

fn unsupported(what: &str) -> ParseError {
    ParseError::Unsupported(what.to_owned())
}

impl Real {
    pub(super) fn int(num: Dim) -> Self {
        Real { num, den: Dim::ONE, rounded: false, literal: false }
    }

    /// A float literal. With few enough bits, a product with a size below 2^32 is exact in floats. Otherwise it stands for
    /// a fraction of small numbers (1.7 for 17/10): where the literal is off by at most a quarter of its last place, its
    /// rounded product with a size is an integer exactly where the fraction's is, and lies between the same integers.
    pub(super) fn float(value: f64) -> Result<Self, ParseError> {
        const BITS: i32 = 21;
        let scale = f64::from(1 << BITS);
        let scaled = value * scale;
        if value.is_finite() && scaled.fract() == 0.0 && scaled.abs() < 2f64.powi(62) {
            let bits = scaled as i64;
            let shift = bits.trailing_zeros().min(BITS.unsigned_abs());
            let num = bits >> shift;
            if num.unsigned_abs() < 1 << BITS || shift == BITS.unsigned_abs() {
                let den = Dim::int(1 << (BITS.unsigned_abs() - shift));
                return Ok(Real { num: Dim::int(num), den, rounded: false, literal: false });
            }
        }
        let (num, den) = fraction(value).ok_or_else(|| unsupported("a float constant with many digits"))?;
        Ok(Real { num: Dim::int(num), den: Dim::int(den), rounded: true, literal: true })
    }

    /// The value as an integer expression.
    pub(super) fn to_int(&self) -> Result<Dim, ParseError> {
        if self.den.is_one() {
            return Ok(self.num.clone());
        }
        if !self.den.is_zero() && self.num.modulo(&self.den).is_zero() {
            return Ok(self.num.floor_div(&self.den));
        }
        Err(unsupported("a value that is not known to be an integer"))
    }

    fn usable(&self) -> Result<&Self, ParseError> {
        if self.rounded {
            return Err(unsupported("arithmetic on a float that may be rounded"));
        }
        Ok(self)
    }

    pub(super) fn sum(parts: &[Real]) -> Result<Real, ParseError> {
        if parts.iter().all(|p| p.den.is_one()) {
            let parts: Vec<_> = parts.iter().map(|p| p.num.clone()).collect();
            return Ok(Real::int(balanced_sum(&parts)));
        }
        let mut total = Real::int(Dim::ZERO);
        for part in parts {
            part.usable()?;
            total = if total.den == part.den {
                Real { num: &total.num + &part.num, den: total.den, rounded: false, literal: false }
            } else {
                Real {
                    num: &total.num * &part.den + &part.num * &total.den,
                    den: &total.den * &part.den,
                    rounded: false,
                    literal: false,
                }
            };
        }
        Ok(total)
    }

    pub(super) fn product(parts: &[Real]) -> Result<Real, ParseError> {
        let rounded = parts.iter().any(|p| p.rounded);
        let scaled = matches!(parts, [a, b] if a.literal && b.den.is_one() && !b.rounded
            || b.literal && a.den.is_one() && !a.rounded);
        if rounded && !scaled {
            // Only scaling by a power of two does not round again.
            for part in parts.iter().filter(|p| !p.rounded) {
                let plain = |d: &Dim| d.as_int().is_some_and(|v| v.unsigned_abs().is_power_of_two());
                if !plain(&part.num) || !plain(&part.den) {
                    part.clone().mark_rounded().usable()?;
                }
            }
            if parts.iter().filter(|p| p.rounded).count() > 1 {
                return Err(unsupported("arithmetic on a float that may be rounded"));
            }
        }
        Ok(Real {
            num: parts.iter().map(|p| p.num.clone()).product(),
            den: parts.iter().map(|p| p.den.clone()).product(),
            rounded,
            literal: false,
        })
    }

    fn mark_rounded(mut self) -> Self {
        self.rounded = true;
        self
    }

    pub(super) fn neg(&self) -> Real {
        Real { num: -&self.num, ..self.clone() }
    }

    /// The quotient; `rounds` where PyTorch computes it in floats.
    pub(super) fn divide(&self, by: &Real, rounds: bool) -> Result<Real, ParseError> {
        self.usable()?;
        by.usable()?;
        let quotient = Real { num: &self.num * &by.den, den: &self.den * &by.num, rounded: false, literal: false };
        if quotient.den.is_zero() {
            return Err(unsupported("division by zero"));
        }
        let exact = quotient.den.as_int().is_some_and(|d| d.unsigned_abs().is_power_of_two());
        Ok(if rounds && !exact { quotient.mark_rounded() } else { quotient })
    }

    /// `self ** exponent`, for integer constants also negative.
    pub(super) fn pow(&self, exponent: &Real) -> Result<Real, ParseError> {
        let exponent = exponent.to_int()?;
        match exponent.as_int() {
            Some(power) if power < 0 => {
                let inverse = Real::int(Dim::ONE).divide(self, false)?;
                let power = power.checked_neg().ok_or_else(|| unsupported("a large negative exponent"))?;
                inverse.pow(&Real::int(Dim::int(power)))
            }
            Some(_) => {
                self.usable()?;
                Ok(Real { num: self.num.pow(&exponent), den: self.den.pow(&exponent), rounded: false, literal: false })
            }
            None => Ok(Real::int(self.to_int()?.pow(&exponent))),
        }
    }

    pub(super) fn floor(&self) -> Dim {
        self.num.floor_div(&self.den)
    }

    pub(super) fn ceil(&self) -> Dim {
        self.num.ceil_div(&self.den)
    }

    /// Rounds towards zero.
    pub(super) fn trunc(&self) -> Dim {
        if self.den.is_one() {
            return self.num.clone();
        }
        let sign = match self.den.as_int() {
            Some(d) if d > 0 => self.num.clone(),
            _ => &self.num * &self.den,
        };
        Dim::where_(Pred::ge(&sign, &Dim::ZERO), self.floor(), self.ceil())
    }

    /// Rounds to the nearest integer, ties to the even one, as Python's `round`.
    pub(super) fn round(&self) -> Dim {
        if self.den.is_one() {
            return self.num.clone();
        }
        let (twice, whole) = (&self.num * 2 + &self.den, &self.den * 2);
        let nearest = twice.floor_div(&whole);
        let tie = Pred::divisible(&twice, &whole);
        let odd = Pred::eq(&nearest.modulo(&Dim::int(2)), &Dim::ONE);
        Dim::where_(Pred::and([tie, odd]), &nearest - 1, nearest)
    }

    /// Both sides of a comparison brought to integers, order preserved.
    pub(super) fn comparable(&self, other: &Real) -> Result<(Dim, Dim), ParseError> {
        if self.den.is_one() && other.den.is_one() {
            return Ok((self.num.clone(), other.num.clone()));
        }
        if self.rounded && other.rounded {
            return Err(unsupported("a comparison of two floats that may be rounded"));
        }
        let positive = |d: &Dim| d.as_int().is_some_and(|v| v > 0);
        if positive(&self.den) && positive(&other.den) {
            return Ok((&self.num * &other.den, &other.num * &self.den));
        }
        // Multiplied by the square of both divisors, which is positive.
        let (a2, b2) = (&self.den * &self.den, &other.den * &other.den);
        Ok((&(&self.num * &self.den) * &b2, &(&other.num * &other.den) * &a2))
    }
}

/// The fraction with the smallest divisor that is within a quarter of the last place of `value`.
fn fraction(value: f64) -> Option<(i64, i64)> {
    const LARGEST: i64 = 1000;
    if !(1.0 / 1024.0..1024.0).contains(&value.abs()) {
        return None;
    }
    (2..=LARGEST).find_map(|den| {
        let num = (value * den as f64).round();
        // value = mantissa · 2^exponent, exactly.
        let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1075;
        let mantissa = (value / 2f64.powi(exponent)) as i128;
        let scaled = i128::from(num as i64) << exponent.unsigned_abs();
        let error = (mantissa * i128::from(den) - scaled).unsigned_abs();
        (error.checked_mul(1 << 54)? <= scaled.unsigned_abs()).then_some((num as i64, den))
    })
}

/// Adds in a balanced tree, so that a long sum costs n·log n.
fn balanced_sum(parts: &[Dim]) -> Dim {
    match parts {
        [] => Dim::ZERO,
        [one] => one.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            balanced_sum(left) + balanced_sum(right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fraction;

    #[test]
    fn a_fraction_rounds_as_the_float_product_does() {
        let mut taken = 0;
        for hundredths in 3..1000 {
            let value = f64::from(hundredths) / 100.0;
            let Some((num, den)) = fraction(value) else { continue };
            taken += 1;
            for n in (1..3000).chain((1..40).map(|i| i * 1_000_003)) {
                let (product, exact) = (value * n as f64, num * n);
                assert_eq!(product.floor() as i64, exact.div_euclid(den), "{value} * {n}");
                assert_eq!(product.ceil() as i64, (exact + den - 1).div_euclid(den), "{value} * {n}");
            }
        }
        assert!(taken > 400, "{taken}");
        assert_eq!(fraction(1.7), Some((17, 10)));
        assert_eq!(fraction(-1.0 / 3.0), Some((-1, 3)));
        // 0.29 * 100 is below 29.
        assert_eq!(fraction(0.29), None);
        assert_eq!(fraction(std::f64::consts::PI), None);
    }
}
