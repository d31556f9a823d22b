//! Polynomials and Chebyshev series.

/// `Σ c[i]·x^(n-i)`.
pub(super) fn horner(x: f64, c: &[f64]) -> f64 {
    c.iter().fold(0.0, |sum, c| sum * x + c)
}

/// A Chebyshev series by Clenshaw's recurrence, halved (Cephes' `chbevl`).
pub(super) fn chebyshev(x: f64, c: &[f64]) -> f64 {
    let (mut a, mut p, mut q) = (0.0, 0.0, 0.0);
    for c in c {
        p = q;
        q = a;
        a = x * q - p + c;
    }
    0.5 * (a - p)
}
