//! Orthogonal polynomials of a degree that is data, by their three-term recurrences.

use crate::real::{acos, cos, sin};

/// A polynomial whose degree is beyond what anyone evaluates: as PyTorch, which does so for Hermite's.
const HIGHEST: f64 = 512.0;

/// The polynomials of degree 0 and 1, and the next from the last two: `next(k, p, q)` is of degree `k`.
fn recurrence(n: f64, first: f64, second: f64, next: impl Fn(f64, f64, f64) -> f64) -> f64 {
    if !(n >= 1.0) {
        return if n >= 0.0 { first } else { 0.0 };
    }
    let (mut p, mut q) = (first, second);
    let mut k = 2.0;
    while k <= n && !q.is_nan() {
        (p, q) = (q, next(k, p, q));
        k += 1.0;
    }
    q
}

/// The degree: whole, towards zero.
fn degree(n: f64) -> f64 {
    if n.is_finite() { (n as i64) as f64 } else { -1.0 }
}

/// Chebyshev's recurrence, which needs only its second polynomial.
fn chebyshev(x: f64, n: f64, second: f64) -> f64 {
    recurrence(n, 1.0, second, |_, p, q| (x + x) * q - p)
}

fn even(n: f64) -> bool {
    (n as i64) % 2 == 0
}

/// Chebyshev polynomial of the first kind.
pub fn chebyshev_polynomial_t(x: f64, n: f64) -> f64 {
    let n = degree(n);
    if n > 6.0 && x > -1.0 && x < 1.0 { cos(n * acos(x)) } else { chebyshev(x, n, x) }
}

/// Chebyshev polynomial of the second kind.
pub fn chebyshev_polynomial_u(x: f64, n: f64) -> f64 {
    let n = degree(n);
    let angle = acos(x);
    if n > 8.0 && x > -1.0 && x < 1.0 && sin(angle) != 0.0 {
        return sin((n + 1.0) * angle) / sin(angle);
    }
    chebyshev(x, n, x + x)
}

/// Chebyshev polynomial of the third kind.
pub fn chebyshev_polynomial_v(x: f64, n: f64) -> f64 {
    let n = degree(n);
    let half = acos(x) / 2.0;
    if n > 8.0 && x > -1.0 && x < 1.0 && sin(half) != 1.0 {
        return cos((n + 0.5) * 2.0 * half) / cos(half);
    }
    chebyshev(x, n, x + x - 1.0)
}

/// Chebyshev polynomial of the fourth kind.
pub fn chebyshev_polynomial_w(x: f64, n: f64) -> f64 {
    let n = degree(n);
    let half = acos(x) / 2.0;
    if n > 8.0 && x > -1.0 && x < 1.0 && cos(half) != 1.0 {
        return sin((n + 0.5) * 2.0 * half) / sin(half);
    }
    if n >= 0.0 && x == -1.0 {
        return if even(n) { 1.0 } else { -1.0 };
    }
    chebyshev(x, n, x + x + 1.0)
}

/// [`chebyshev_polynomial_t`] of `2x - 1`.
pub fn shifted_chebyshev_polynomial_t(x: f64, n: f64) -> f64 {
    chebyshev_polynomial_t(x + x - 1.0, n)
}

/// [`chebyshev_polynomial_u`] of `2x - 1`.
pub fn shifted_chebyshev_polynomial_u(x: f64, n: f64) -> f64 {
    chebyshev_polynomial_u(x + x - 1.0, n)
}

/// [`chebyshev_polynomial_v`] of `2x - 1`.
pub fn shifted_chebyshev_polynomial_v(x: f64, n: f64) -> f64 {
    chebyshev_polynomial_v(x + x - 1.0, n)
}

/// [`chebyshev_polynomial_w`] of `2x - 1`.
pub fn shifted_chebyshev_polynomial_w(x: f64, n: f64) -> f64 {
    chebyshev_polynomial_w(x + x - 1.0, n)
}

/// Physicists' Hermite polynomial.
pub fn hermite_polynomial_h(x: f64, n: f64) -> f64 {
    let n = degree(n);
    if n > HIGHEST {
        return f64::NAN;
    }
    recurrence(n, 1.0, x + x, |k, p, q| (x + x) * q - 2.0 * (k - 1.0) * p)
}

/// Probabilists' Hermite polynomial.
pub fn hermite_polynomial_he(x: f64, n: f64) -> f64 {
    let n = degree(n);
    if n > HIGHEST {
        return f64::NAN;
    }
    recurrence(n, 1.0, x, |k, p, q| x * q - (k - 1.0) * p)
}

/// Laguerre polynomial.
pub fn laguerre_polynomial_l(x: f64, n: f64) -> f64 {
    recurrence(degree(n), 1.0, 1.0 - x, |k, p, q| ((k + k - 1.0 - x) * q - (k - 1.0) * p) / k)
}

/// Legendre polynomial.
pub fn legendre_polynomial_p(x: f64, n: f64) -> f64 {
    recurrence(degree(n), 1.0, x, |k, p, q| ((k + k - 1.0) * x * q - (k - 1.0) * p) / k)
}
