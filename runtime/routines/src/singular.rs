//! Singular values by one-sided Jacobi rotations (Hestenes, 1958), which are accurate and need no bidiagonal form.

use crate::householder::complete;
use crate::real::{Real, rows};
use crate::scalar::{Scalar, axpy, dot, identity, squares, turn};

/// Sweeps after which rotations end in any case; ten are rarely needed.
const SWEEPS: usize = 60;

/// Singular values of a matrix `a` of `m` rows and `n` columns, which it overwrites: `s`, descending, the left vectors `Uᵀ`
/// (`p×m`), and the right ones `Vᴴ` (`q×n`). `p` and `q` are at least `min(m, n)`; vectors beyond that complete the basis.
pub fn svd<S: Scalar>(a: &mut [S], s: &mut [S::Real], u: &mut [S], vh: &mut [S], [m, n, p, q]: [usize; 4]) {
    if m >= n {
        // The columns as rows; `u` has room for them.
        let work = &mut u[..m * n];
        work.copy_from_slice(a);
        for i in 0..m {
            for j in 0..n {
                a[j * m + i] = work[i * n + j];
            }
        }
        tall(a, s, u, vh, m, n, p);
        vh.iter_mut().for_each(|x| *x = x.conj());
    } else {
        // Aᵀ = (Vᴴ)ᵀ Σ Uᵀ: its left vectors as rows are Vᴴ, its right ones, conjugated, are Uᵀ.
        tall(a, s, vh, u, n, m, q);
        u.iter_mut().for_each(|x| *x = x.conj());
    }
}

/// `a` holds the `n` columns of the matrix as rows of `m ≥ n`. Leaves the singular values in `s`, descending, the left
/// vectors as the `p ≥ n` rows of `u` (those beyond `n` complete the basis), the right vectors, not conjugated, as the
/// rows of `v` (`n×n`).
fn tall<S: Scalar>(a: &mut [S], s: &mut [S::Real], u: &mut [S], v: &mut [S], m: usize, n: usize, p: usize) {
    let (zero, one) = (S::Real::ZERO, S::Real::ONE);
    identity(v, n, n);
    // Without scaling, squares of large elements overflow.
    let mut scale = zero;
    for x in a.iter() {
        scale = if x.size() > scale { x.size() } else { scale };
    }
    if scale > zero {
        a.iter_mut().for_each(|x| *x /= S::of(scale));
    }
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for i in 0..n {
            for j in i + 1..n {
                let (x, y) = rows(a, m, i, j);
                let (alpha, beta) = (squares(x), squares(y));
                // Once the second column has another phase, the product of the two is real.
                let Some((size, phase)) = dot(x, y).polar() else { continue };
                if size <= S::Real::EPSILON * (alpha * beta).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (beta - alpha) / (size + size);
                let root = zeta.abs() + one.hypot(zeta);
                let t = if zeta < zero { -(one / root) } else { one / root };
                let c = one / (one + t * t).sqrt();
                turn(x, y, phase, c, c * t);
                let (x, y) = rows(v, n, i, j);
                turn(x, y, phase, c, c * t);
            }
        }
        if !rotated {
            break;
        }
    }
    for i in 0..n {
        s[i] = squares(&a[i * m..(i + 1) * m]).sqrt();
    }
    for i in 0..n {
        let mut best = i;
        for j in i + 1..n {
            if s[j] > s[best] {
                best = j;
            }
        }
        if best != i {
            s.swap(i, best);
            let (x, y) = rows(a, m, i, best);
            x.swap_with_slice(y);
            let (x, y) = rows(v, n, i, best);
            x.swap_with_slice(y);
        }
    }
    u.fill(S::ZERO);
    let smallest = if n > 0 { s[0] * S::Real::EPSILON * S::Real::from_f64(n as f64) } else { zero };
    for i in 0..n.min(p) {
        if s[i] > smallest {
            let factor = S::of(one / s[i]);
            axpy(&mut u[i * m..(i + 1) * m], factor, &a[i * m..(i + 1) * m]);
        }
    }
    complete(u, n.min(p), p, m);
    s.iter_mut().for_each(|x| *x *= scale);
}
