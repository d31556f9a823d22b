//! The exponential of a matrix by scaling, a Taylor polynomial and squaring.

use crate::real::Real;
use crate::scalar::{axpy, identity};

/// Terms of the polynomial: enough for a norm of 1/2 in double precision.
const TERMS: usize = 18;

/// `x = e^a`, all `n×n`; `a` is scaled, `work` is overwritten.
pub fn exponential<T: Real>(a: &mut [T], x: &mut [T], work: &mut [T], n: usize) {
    let mut norm = T::ZERO;
    for i in 0..n {
        let sum = a[i * n..(i + 1) * n].iter().fold(T::ZERO, |sum, v| sum + v.abs());
        norm = if sum > norm { sum } else { norm };
    }
    let mut squarings = 0;
    let half = T::from_f64(0.5);
    while norm > half && squarings < 1100 {
        norm *= half;
        squarings += 1;
    }
    let mut factor = T::ONE;
    for _ in 0..squarings {
        factor *= half;
    }
    a.iter_mut().for_each(|v| *v *= factor);
    // I + a/1·(I + a/2·(I + …))
    identity(x, n, n);
    for k in (1..=TERMS).rev() {
        multiply(a, x, work, n);
        let by = T::ONE / T::from_f64(k as f64);
        identity(x, n, n);
        axpy(x, by, work);
    }
    for _ in 0..squarings {
        multiply(x, x, work, n);
        x.copy_from_slice(work);
    }
}

/// `c = a·b`.
fn multiply<T: Real>(a: &[T], b: &[T], c: &mut [T], n: usize) {
    c.fill(T::ZERO);
    for i in 0..n {
        for k in 0..n {
            axpy(&mut c[i * n..(i + 1) * n], a[i * n + k], &b[k * n..(k + 1) * n]);
        }
    }
}
