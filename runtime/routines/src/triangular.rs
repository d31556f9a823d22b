//! Triangular systems.

use crate::real::rows;
use crate::scalar::{Scalar, axpy};

/// Solves `A·X = B` in place for `b` (`n×r`); `a` is triangular, with ones on its diagonal if `unit`.
pub fn solve<S: Scalar>(a: &[S], b: &mut [S], n: usize, r: usize, upper: bool, unit: bool) {
    for step in 0..n {
        let i = if upper { n - 1 - step } else { step };
        for before in 0..step {
            let j = if upper { n - 1 - before } else { before };
            let (x, y) = rows(b, r, i, j);
            axpy(x, -a[i * n + j], y);
        }
        if !unit {
            let d = a[i * n + i];
            b[i * r..(i + 1) * r].iter_mut().for_each(|x| *x /= d);
        }
    }
}
