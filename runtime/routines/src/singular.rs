//! Singular values by one-sided Jacobi rotations (Hestenes, 1958), which are accurate and need no bidiagonal form.

use crate::householder::complete;
use crate::real::{Real, axpy, dot, identity, rows};

/// Sweeps after which rotations end in any case; ten are rarely needed.
const SWEEPS: usize = 60;

/// `a` holds the `n` columns of the matrix as rows of `m ≥ n`. Leaves the singular values in `s`, descending, the left
/// vectors as the `p ≥ n` rows of `u` (those beyond `n` complete the basis), the right vectors as the rows of `v`
/// (`n×n`).
pub fn svd<T: Real>(a: &mut [T], s: &mut [T], u: &mut [T], v: &mut [T], m: usize, n: usize, p: usize) {
    identity(v, n, n);
    // Without scaling, squares of large elements overflow.
    let mut scale = T::ZERO;
    for x in a.iter() {
        scale = if x.abs() > scale { x.abs() } else { scale };
    }
    if scale > T::ZERO {
        a.iter_mut().for_each(|x| *x /= scale);
    }
    let tolerance = T::EPSILON;
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for i in 0..n {
            for j in i + 1..n {
                let (x, y) = rows(a, m, i, j);
                let (alpha, beta, gamma) = (dot(x, x), dot(y, y), dot(x, y));
                if gamma == T::ZERO || gamma.abs() <= tolerance * (alpha * beta).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (beta - alpha) / (gamma + gamma);
                let root = zeta.abs() + T::ONE.hypot(zeta);
                let t = if zeta < T::ZERO { -(T::ONE / root) } else { T::ONE / root };
                let c = T::ONE / (T::ONE + t * t).sqrt();
                rotate(x, y, c, c * t);
                let (x, y) = rows(v, n, i, j);
                rotate(x, y, c, c * t);
            }
        }
        if !rotated {
            break;
        }
    }
    for i in 0..n {
        s[i] = dot(&a[i * m..(i + 1) * m], &a[i * m..(i + 1) * m]).sqrt();
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
    u.fill(T::ZERO);
    let smallest = if n > 0 { s[0] * T::EPSILON * T::from_f64(n as f64) } else { T::ZERO };
    for i in 0..n.min(p) {
        if s[i] > smallest {
            let factor = T::ONE / s[i];
            axpy(&mut u[i * m..(i + 1) * m], factor, &a[i * m..(i + 1) * m]);
        }
    }
    complete(u, n.min(p), p, m);
    s.iter_mut().for_each(|x| *x *= scale);
}

fn rotate<T: Real>(x: &mut [T], y: &mut [T], c: T, s: T) {
    for (p, q) in x.iter_mut().zip(y) {
        let (a, b) = (*p, *q);
        *p = c * a - s * b;
        *q = s * a + c * b;
    }
}
