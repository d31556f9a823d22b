//! Eigenvalues of general matrices: Hessenberg form, then the shifted QR iteration to triangular form (Golub and Van
//! Loan, "Matrix Computations", 7.4 and 7.5), in complex numbers, all by Givens rotations.

use crate::real::Real;
use crate::scalar::{Scalar, identity};

/// Iterations for one eigenvalue before it is given up: five are rarely needed.
const ITERATIONS: usize = 100;

/// A rotation `[[c, s], [-s*, c]]` with real `c` that takes `(x, y)` to `(r, 0)`.
fn rotation<S: Scalar>(x: S, y: S) -> (S::Real, S) {
    let (size, other) = (x.modulus(), y.modulus());
    if other == S::Real::ZERO {
        return (S::Real::ONE, S::ZERO);
    }
    let length = size.hypot(other);
    if size == S::Real::ZERO {
        return (S::Real::ZERO, y.conj() / S::of(other));
    }
    (size / length, x / S::of(size) * y.conj() / S::of(length))
}

/// Turns rows `i` and `j` of `a` from column `from` on.
fn turn_rows<S: Scalar>(a: &mut [S], n: usize, i: usize, j: usize, from: usize, c: S::Real, s: S) {
    for k in from..n {
        let (x, y) = (a[i * n + k], a[j * n + k]);
        a[i * n + k] = S::of(c) * x + s * y;
        a[j * n + k] = S::of(c) * y - s.conj() * x;
    }
}

/// Turns columns `i` and `j` of the first `rows` rows of `a` by the conjugate.
fn turn_columns<S: Scalar>(a: &mut [S], n: usize, i: usize, j: usize, rows: usize, c: S::Real, s: S) {
    for k in 0..rows {
        let (x, y) = (a[k * n + i], a[k * n + j]);
        a[k * n + i] = S::of(c) * x + s.conj() * y;
        a[k * n + j] = S::of(c) * y - s * x;
    }
}

/// Eigenvalues of `a` (`n×n`) and the vectors as the columns of `vectors`, of length 1 and with their largest element
/// real. `a` becomes the triangular factor, `basis` its unitary one. The numbers must be complex; `info` counts the
/// eigenvalues that were not found.
pub fn eigen<S: Scalar>(a: &mut [S], values: &mut [S], vectors: &mut [S], basis: &mut [S], info: &mut [i32], n: usize) {
    info[0] = 0;
    identity(basis, n, n);
    for k in 0..n.saturating_sub(2) {
        for i in k + 2..n {
            let (c, s) = rotation(a[(k + 1) * n + k], a[i * n + k]);
            turn_rows(a, n, k + 1, i, k, c, s);
            turn_columns(a, n, k + 1, i, n, c, s);
            turn_columns(basis, n, k + 1, i, n, c, s);
            a[i * n + k] = S::ZERO;
        }
    }
    let mut high = n;
    let mut tries = 0;
    while high > 1 {
        // The block at the end that does not fall apart.
        let mut low = high - 1;
        while low > 0 {
            let beside = a[(low - 1) * n + low - 1].size() + a[low * n + low].size();
            if a[low * n + low - 1].size() <= S::Real::EPSILON * beside {
                a[low * n + low - 1] = S::ZERO;
                break;
            }
            low -= 1;
        }
        if low == high - 1 {
            (high, tries) = (high - 1, 0);
            continue;
        }
        if tries == ITERATIONS {
            info[0] += 1;
            (high, tries) = (high - 1, 0);
            continue;
        }
        tries += 1;
        let shift = if tries % 10 == 0 {
            // A shift of no meaning breaks cycles.
            a[(high - 1) * n + high - 1] + S::of(a[(high - 1) * n + high - 2].modulus())
        } else {
            wilkinson(a, n, high)
        };
        sweep(a, basis, n, low, high, shift);
    }
    for k in 0..n {
        values[k] = a[k * n + k];
    }
    triangular_vectors(a, vectors, basis, n);
}

/// The eigenvalue of the last 2×2 block that is nearer to its last element.
fn wilkinson<S: Scalar>(a: &[S], n: usize, high: usize) -> S {
    let at = |i: usize, j: usize| a[(high - 2 + i) * n + high - 2 + j];
    let half = S::of(S::Real::from_f64(0.5));
    let (mean, difference) = ((at(0, 0) + at(1, 1)) * half, (at(0, 0) - at(1, 1)) * half);
    let root = (difference * difference + at(0, 1) * at(1, 0)).root();
    let (p, q) = (mean + root, mean - root);
    if (p - at(1, 1)).modulus() < (q - at(1, 1)).modulus() { p } else { q }
}

/// `A - shift = Q·R` of the active block, then `R·Q + shift`, on the whole matrix.
fn sweep<S: Scalar>(a: &mut [S], basis: &mut [S], n: usize, low: usize, high: usize, shift: S) {
    for i in low..high {
        a[i * n + i] -= shift;
    }
    // Rotation `k` acts on columns `k` and `k + 1` only once row `k + 1` is done with: one behind is enough.
    let mut before: Option<(usize, S::Real, S)> = None;
    for k in low..high - 1 {
        let (c, s) = rotation(a[k * n + k], a[(k + 1) * n + k]);
        turn_rows(a, n, k, k + 1, k, c, s);
        a[(k + 1) * n + k] = S::ZERO;
        if let Some((j, c, s)) = before {
            turn_columns(a, n, j, j + 1, j + 2, c, s);
        }
        turn_columns(basis, n, k, k + 1, n, c, s);
        before = Some((k, c, s));
    }
    if let Some((j, c, s)) = before {
        turn_columns(a, n, j, j + 1, (j + 2).min(n), c, s);
    }
    for i in low..high {
        a[i * n + i] += shift;
    }
}

/// Vectors of the triangular matrix `t` by substitution, in the original basis.
fn triangular_vectors<S: Scalar>(t: &mut [S], vectors: &mut [S], basis: &[S], n: usize) {
    let mut norm = S::Real::ZERO;
    for i in 0..n {
        for j in i..n {
            let x = t[i * n + j].size();
            norm = if x > norm { x } else { norm };
        }
    }
    let least = if norm > S::Real::ZERO { norm * S::Real::EPSILON } else { S::Real::EPSILON };
    for k in 0..n {
        let value = t[k * n + k];
        for i in 0..n {
            vectors[i * n + k] = if i == k { S::ONE } else { S::ZERO };
        }
        for i in (0..k).rev() {
            let mut sum = S::ZERO;
            for j in i + 1..=k {
                sum += t[i * n + j] * vectors[j * n + k];
            }
            let gap = t[i * n + i] - value;
            let gap = if gap.size() < least { S::of(least) } else { gap };
            vectors[i * n + k] = -(sum / gap);
        }
    }
    // Columns by the basis, a row of the product at a time in what is no longer needed of `t`.
    for i in 0..n {
        for k in 0..n {
            let mut sum = S::ZERO;
            for j in 0..=k {
                sum += basis[i * n + j] * vectors[j * n + k];
            }
            t[i * n + k] = sum;
        }
    }
    vectors.copy_from_slice(&t[..n * n]);
    for k in 0..n {
        let mut length = S::Real::ZERO;
        let mut largest = S::ZERO;
        for i in 0..n {
            let x = vectors[i * n + k];
            length += x.square();
            largest = if x.modulus() > largest.modulus() { x } else { largest };
        }
        let size = largest.modulus();
        if size > S::Real::ZERO {
            let factor = largest.conj() / S::of(size) / S::of(length.sqrt());
            for i in 0..n {
                vectors[i * n + k] *= factor;
            }
        }
    }
}
