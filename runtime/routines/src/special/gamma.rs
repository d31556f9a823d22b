//! Incomplete gamma functions and Hurwitz' zeta function.

use crate::real::{abs, exp, floor, ln, ln_1p, ln_gamma, pow, sqrt};

/// Terms after which a series ends in any case.
const TERMS: usize = 20_000;

/// `x^a·e^-x / Γ(a)`.
fn factor(a: f64, x: f64) -> f64 {
    if a > 50.0 && abs(x - a) < 0.4 * a {
        // Stirling's series: the logarithms would cancel.
        let t = (x - a) / a;
        let correction = 1.0 / (12.0 * a) - 1.0 / (360.0 * a * a * a) + 1.0 / (1260.0 * a * a * a * a * a);
        return sqrt(a / (2.0 * core::f64::consts::PI)) * exp(a * (ln_1p(t) - t) - correction);
    }
    exp(a * ln(x) - x - ln_gamma(a))
}

/// The regularised lower function by its power series: for `x < a + 1`.
fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut r) = (1.0, 1.0, a);
    for _ in 0..TERMS {
        r += 1.0;
        term *= x / r;
        sum += term;
        if term <= sum * 1e-17 {
            break;
        }
    }
    sum * factor(a, x) / a
}

/// The regularised upper function by its continued fraction (Lentz): for `x ≥ a + 1`.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..TERMS {
        let n = -(i as f64) * (i as f64 - a);
        b += 2.0;
        d = n * d + b;
        d = if abs(d) < tiny { tiny } else { d };
        c = b + n / c;
        c = if abs(c) < tiny { tiny } else { c };
        d = 1.0 / d;
        h *= d * c;
        if abs(d * c - 1.0) < 1e-16 {
            break;
        }
    }
    h * factor(a, x)
}

/// The regularised lower incomplete gamma function.
pub fn igamma(a: f64, x: f64) -> f64 {
    match ends(a, x) {
        Some(upper) => 1.0 - upper,
        None if x < a + 1.0 => lower_series(a, x),
        None => 1.0 - upper_fraction(a, x),
    }
}

/// The regularised upper incomplete gamma function.
pub fn igammac(a: f64, x: f64) -> f64 {
    match ends(a, x) {
        Some(upper) => upper,
        None if x < a + 1.0 => 1.0 - lower_series(a, x),
        None => upper_fraction(a, x),
    }
}

/// The upper function where it needs no series.
fn ends(a: f64, x: f64) -> Option<f64> {
    if !(a >= 0.0) || !(x >= 0.0) || a == 0.0 && x == 0.0 || a.is_infinite() && x.is_infinite() {
        Some(f64::NAN)
    } else if a == 0.0 || x.is_infinite() {
        Some(0.0)
    } else if x == 0.0 || a.is_infinite() {
        Some(1.0)
    } else {
        None
    }
}

/// Hurwitz' zeta function `Σ (q + k)^-x`, by Euler and Maclaurin's formula.
pub fn zeta(x: f64, q: f64) -> f64 {
    // (2k)! / B2k
    const A: [f64; 12] = [
        12.0,
        -720.0,
        30240.0,
        -1209600.0,
        47900160.0,
        -1.8924375803183791606e9,
        7.47242496e10,
        -2.950130727918164224e12,
        1.1646782814350067249e14,
        -4.5979787224074726105e15,
        1.8152105401943546773e17,
        -7.1661652561756670113e18,
    ];
    const SMALL: f64 = 1.11022302462515654042e-16;
    if x == 1.0 {
        return f64::INFINITY;
    }
    if !(x > 1.0) || q.is_nan() {
        return f64::NAN;
    }
    if q <= 0.0 {
        if q == floor(q) {
            return f64::INFINITY;
        }
        if x != floor(x) {
            return f64::NAN;
        }
    }
    let mut s = pow(q, -x);
    let mut a = q;
    let mut b = 0.0;
    let mut i = 0;
    while i < 9 || a <= 9.0 {
        // Far on the negative side the sum is of millions of terms that nobody needs.
        if i > 1_000_000 {
            break;
        }
        i += 1;
        a += 1.0;
        b = pow(a, -x);
        s += b;
        if -SMALL * s < b && b < SMALL * s {
            return s;
        }
    }
    let w = a;
    s += b * w / (x - 1.0) - 0.5 * b;
    let (mut a, mut k) = (1.0, 0.0);
    for c in A {
        a *= x + k;
        b /= w;
        let t = a * b / c;
        s += t;
        if abs(t / s) < SMALL {
            return s;
        }
        k += 1.0;
        a *= x + k;
        b /= w;
        k += 1.0;
    }
    s
}
