//! Eigenvalues of symmetric and Hermitian matrices by Jacobi rotations (Golub and Van Loan, "Matrix Computations", 8.5).

use crate::real::{Real, rows};
use crate::scalar::{Scalar, identity, turn};

/// Sweeps after which rotations end in any case.
const SWEEPS: usize = 60;

/// Diagonalises symmetric or Hermitian `a` (`n×n`): ascending eigenvalues in `values`, the vectors as the columns of `vectors`.
pub fn symmetric<S: Scalar>(a: &mut [S], values: &mut [S::Real], vectors: &mut [S], n: usize) {
    let (zero, one) = (S::Real::ZERO, S::Real::ONE);
    identity(vectors, n, n);
    for _ in 0..SWEEPS {
        let (mut off, mut all) = (zero, zero);
        for i in 0..n {
            for j in 0..n {
                let x = a[i * n + j].size();
                if i != j {
                    off = if x > off { x } else { off };
                }
                all = if x > all { x } else { all };
            }
        }
        if !(off > all * S::Real::EPSILON * S::Real::from_f64(0.25)) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                // Once row and column `q` have another phase, the element is real.
                let Some((size, phase)) = a[p * n + q].polar() else { continue };
                let theta = (a[q * n + q].re() - a[p * n + p].re()) / (size + size);
                let root = theta.abs() + one.hypot(theta);
                let t = if theta < zero { -(one / root) } else { one / root };
                let c = one / (one + t * t).sqrt();
                let s = c * t;
                // Rows, then columns; the vectors are kept as rows until the end.
                let (x, y) = rows(a, n, p, q);
                turn(x, y, phase, c, s);
                for i in 0..n {
                    let (x, y) = (a[i * n + p], a[i * n + q] * phase.conj());
                    a[i * n + p] = S::of(c) * x - S::of(s) * y;
                    a[i * n + q] = S::of(s) * x + S::of(c) * y;
                }
                let (x, y) = rows(vectors, n, p, q);
                turn(x, y, phase.conj(), c, s);
            }
        }
    }
    for i in 0..n {
        values[i] = a[i * n + i].re();
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
