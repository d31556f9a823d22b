//! QR by Householder reflections, as LAPACK's geqrf, orgqr and ormqr: `H = I - tau·v·vᴴ`, `v[k] = 1`, the rest of `v`
//! below the diagonal.

use crate::real::{Real, rows};
use crate::scalar::{Scalar, axpy, dot, identity, squares};

/// `a` (`m×n`) becomes R above the diagonal and the reflections below; `work` has `n` elements.
pub fn qr<S: Scalar>(a: &mut [S], tau: &mut [S], work: &mut [S], m: usize, n: usize) {
    for k in 0..m.min(n) {
        let alpha = a[k * n + k];
        // Scaled, so that squares neither overflow nor vanish.
        let mut scale = S::Real::ZERO;
        for i in k + 1..m {
            let x = a[i * n + k].size();
            scale = if x > scale { x } else { scale };
        }
        if scale == S::Real::ZERO && alpha == alpha.conj() {
            tau[k] = S::ZERO;
            continue;
        }
        let mut sum = S::Real::ZERO;
        if scale > S::Real::ZERO {
            for i in k + 1..m {
                sum += (a[i * n + k] / S::of(scale)).square();
            }
        }
        let norm = alpha.modulus().hypot(scale * sum.sqrt());
        let beta = S::of(if alpha.re() < S::Real::ZERO { norm } else { -norm });
        tau[k] = (beta - alpha) / beta;
        for i in k + 1..m {
            a[i * n + k] /= alpha - beta;
        }
        a[k * n + k] = beta;
        // The other columns: w = vᴴ·A, A -= tau*·v·w.
        let factor = -tau[k].conj();
        let w = &mut work[k + 1..n];
        w.copy_from_slice(&a[k * n + k + 1..(k + 1) * n]);
        for i in k + 1..m {
            let v = a[i * n + k];
            axpy(w, v.conj(), &a[i * n + k + 1..(i + 1) * n]);
        }
        axpy(&mut a[k * n + k + 1..(k + 1) * n], factor, w);
        for i in k + 1..m {
            let v = a[i * n + k];
            axpy(&mut a[i * n + k + 1..(i + 1) * n], factor * v, w);
        }
    }
}

/// The product of the `k` reflections in `a` (`m×n`) as the first `p` columns `q` (`m×p`); `work` has `p` elements.
pub fn product<S: Scalar>(a: &[S], tau: &[S], q: &mut [S], work: &mut [S], m: usize, n: usize, k: usize, p: usize) {
    identity(q, m, p);
    for j in (0..k.min(m)).rev() {
        let w = &mut work[..p];
        w.copy_from_slice(&q[j * p..(j + 1) * p]);
        for i in j + 1..m {
            axpy(w, a[i * n + j].conj(), &q[i * p..(i + 1) * p]);
        }
        axpy(&mut q[j * p..(j + 1) * p], -tau[j], w);
        for i in j + 1..m {
            axpy(&mut q[i * p..(i + 1) * p], -tau[j] * a[i * n + j], w);
        }
    }
}

/// Completes the first `have` of the `p` rows of `u` (each of `m`) to orthonormal ones, from unit vectors. Rows of
/// zeros count as missing.
pub fn complete<S: Scalar>(u: &mut [S], have: usize, p: usize, m: usize) {
    let mut next = 0;
    for r in 0..p {
        let row = &u[r * m..(r + 1) * m];
        if r < have && squares(row) > S::Real::from_f64(0.25) {
            continue;
        }
        while next < m {
            u[r * m..(r + 1) * m].fill(S::ZERO);
            u[r * m + next] = S::ONE;
            next += 1;
            // Twice is enough (Giraud and Langou, 2002).
            for _ in 0..2 {
                for s in 0..p {
                    if s == r || s > r && s >= have {
                        continue;
                    }
                    let (x, y) = rows(u, m, r, s);
                    let along = dot(x, y);
                    axpy(x, -along, y);
                }
            }
            let norm = squares(&u[r * m..(r + 1) * m]).sqrt();
            if norm > S::Real::from_f64(1e-2) {
                u[r * m..(r + 1) * m].iter_mut().for_each(|x| *x /= S::of(norm));
                break;
            }
        }
    }
}
