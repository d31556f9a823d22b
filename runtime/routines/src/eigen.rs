//! Eigenvalues of symmetric matrices by Jacobi rotations (Golub and Van Loan, "Matrix Computations", 8.5).

use crate::real::{Real, identity, rows};

/// Sweeps after which rotations end in any case.
const SWEEPS: usize = 60;

/// Diagonalises symmetric `a` (`n×n`): ascending eigenvalues in `values`, the vectors as the columns of `vectors`.
pub fn symmetric<T: Real>(a: &mut [T], values: &mut [T], vectors: &mut [T], n: usize) {
    identity(vectors, n, n);
    for _ in 0..SWEEPS {
        let (mut off, mut all) = (T::ZERO, T::ZERO);
        for i in 0..n {
            for j in 0..n {
                let x = a[i * n + j].abs();
                if i != j {
                    off = if x > off { x } else { off };
                }
                all = if x > all { x } else { all };
            }
        }
        if !(off > all * T::EPSILON * T::from_f64(0.25)) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == T::ZERO {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (apq + apq);
                let root = theta.abs() + T::ONE.hypot(theta);
                let t = if theta < T::ZERO { -(T::ONE / root) } else { T::ONE / root };
                let c = T::ONE / (T::ONE + t * t).sqrt();
                let s = c * t;
                // Rows, then columns; the vectors are kept as rows until the end.
                let (x, y) = rows(a, n, p, q);
                turn(x, y, c, s);
                for i in 0..n {
                    let (x, y) = (a[i * n + p], a[i * n + q]);
                    a[i * n + p] = c * x - s * y;
                    a[i * n + q] = s * x + c * y;
                }
                let (x, y) = rows(vectors, n, p, q);
                turn(x, y, c, s);
            }
        }
    }
    for i in 0..n {
        values[i] = a[i * n + i];
    }
    for i in 0..n {
        let mut best = i;
        for j in i + 1..n {
            if values[j] < values[best] {
                best = j;
            }
        }
        if best != i {
            values.swap(i, best);
            let (x, y) = rows(vectors, n, i, best);
            x.swap_with_slice(y);
        }
    }
    for i in 0..n {
        for j in i + 1..n {
            vectors.swap(i * n + j, j * n + i);
        }
    }
}

fn turn<T: Real>(x: &mut [T], y: &mut [T], c: T, s: T) {
    for (p, q) in x.iter_mut().zip(y) {
        let (a, b) = (*p, *q);
        *p = c * a - s * b;
        *q = s * a + c * b;
    }
}
