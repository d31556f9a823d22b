//! Factorisations of square systems: LU with partial pivoting, Cholesky, LDLᵀ. As LAPACK's getrf, potrf and sytf2.

use crate::real::{Real, rows};
use crate::scalar::{Scalar, axpy, dot, squares};

/// `a` (`m×n`) becomes `L\U` with rows exchanged; `pivots[k]` is the row (from 1) that was exchanged with row `k`;
/// `info` is 0 or the first column (from 1) whose pivot is 0.
pub fn lu<S: Scalar>(a: &mut [S], pivots: &mut [i32], info: &mut [i32], m: usize, n: usize) {
    info[0] = 0;
    for k in 0..m.min(n) {
        let mut p = k;
        for i in k + 1..m {
            if a[i * n + k].size() > a[p * n + k].size() {
                p = i;
            }
        }
        pivots[k] = p as i32 + 1;
        if p != k {
            let (x, y) = rows(a, n, k, p);
            x.swap_with_slice(y);
        }
        let pivot = a[k * n + k];
        if pivot == S::ZERO {
            if info[0] == 0 {
                info[0] = k as i32 + 1;
            }
            continue;
        }
        for i in k + 1..m {
            let (row, top) = rows(a, n, i, k);
            let factor = row[k] / pivot;
            row[k] = factor;
            axpy(&mut row[k + 1..], -factor, &top[k + 1..]);
        }
    }
}

/// The order in which exchanges put `m` rows: row `i` of the result is row `order[i]` of the original.
pub fn permutation(pivots: &[i32], order: &mut [i64]) {
    for (i, o) in order.iter_mut().enumerate() {
        *o = i as i64;
    }
    for (k, &p) in pivots.iter().enumerate() {
        let p = (p - 1) as usize;
        if k < order.len() && p < order.len() {
            order.swap(k, p);
        }
    }
}

/// `a` (`n×n`, its lower triangle is read) becomes L with zeros above; `info` is 0 or the order (from 1) of the first
/// leading minor that is not positive.
pub fn cholesky<S: Scalar>(a: &mut [S], info: &mut [i32], n: usize) {
    info[0] = 0;
    for i in 0..n {
        for j in 0..i {
            let (row, above) = rows(a, n, i, j);
            row[j] = (row[j] - dot(&row[..j], &above[..j])) / above[j];
        }
        let row = &mut a[i * n..(i + 1) * n];
        let d = row[i].re() - squares(&row[..i]);
        if !(d > S::Real::ZERO) {
            info[0] = i as i32 + 1;
            break;
        }
        row[i] = S::of(d.sqrt());
    }
    for i in 0..n {
        a[i * n + i + 1..(i + 1) * n].fill(S::ZERO);
    }
}

/// Bunch and Kaufman's `a = L·D·Lᵀ` of a symmetric matrix, or `L·D·Lᴴ` of a Hermitian one, by its lower triangle;
/// `pivots` as LAPACK writes them: the row (from 1) exchanged, both negative for a block of two.
pub fn ldl<S: Scalar>(a: &mut [S], pivots: &mut [i32], info: &mut [i32], n: usize, hermitian: bool) {
    let alpha = S::Real::from_f64((1.0 + crate::real::sqrt(17.0)) / 8.0);
    let zero = S::Real::ZERO;
    info[0] = 0;
    if hermitian {
        for i in 0..n {
            a[i * n + i] = S::of(a[i * n + i].re());
        }
    }
    let mut k = 0;
    while k < n {
        let mut step = 1;
        let diagonal = a[k * n + k].size();
        let (mut big, mut column) = (k, zero);
        for i in k + 1..n {
            if a[i * n + k].size() > column {
                (big, column) = (i, a[i * n + k].size());
            }
        }
        let mut p = k;
        if diagonal == zero && column == zero {
            if info[0] == 0 {
                info[0] = k as i32 + 1;
            }
        } else {
            if diagonal < alpha * column {
                let mut row = zero;
                let mut see = |x: S| row = if x.size() > row { x.size() } else { row };
                for j in k..big {
                    see(a[big * n + j]);
                }
                for i in big + 1..n {
                    see(a[i * n + big]);
                }
                if diagonal < alpha * column * (column / row) {
                    if a[big * n + big].size() >= alpha * row {
                        p = big;
                    } else {
                        (p, step) = (big, 2);
                    }
                }
            }
            let q = k + step - 1;
            if p != q {
                exchange(a, n, k, q, p, step, hermitian);
            }
            eliminate(a, n, k, step, hermitian);
        }
        if step == 1 {
            pivots[k] = p as i32 + 1;
        } else {
            pivots[k] = -(p as i32 + 1);
            pivots[k + 1] = -(p as i32 + 1);
        }
        k += step;
    }
}

/// What the other triangle holds of an element.
fn mirrored<S: Scalar>(x: S, hermitian: bool) -> S {
    if hermitian { x.conj() } else { x }
}

/// Exchanges rows and columns `q` and `p` of the trailing matrix, lower triangle.
fn exchange<S: Scalar>(a: &mut [S], n: usize, k: usize, q: usize, p: usize, step: usize, hermitian: bool) {
    for i in p + 1..n {
        a.swap(i * n + q, i * n + p);
    }
    for j in q + 1..p {
        let (x, y) = (a[j * n + q], a[p * n + j]);
        a[j * n + q] = mirrored(y, hermitian);
        a[p * n + j] = mirrored(x, hermitian);
    }
    a[p * n + q] = mirrored(a[p * n + q], hermitian);
    a.swap(q * n + q, p * n + p);
    if step == 2 {
        a.swap((k + 1) * n + k, p * n + k);
    }
}

/// Subtracts what the pivot block explains from the trailing matrix and leaves the multipliers below the block.
fn eliminate<S: Scalar>(a: &mut [S], n: usize, k: usize, step: usize, hermitian: bool) {
    let other = |x: S| mirrored(x, hermitian);
    if step == 1 {
        let d = S::ONE / a[k * n + k];
        for j in k + 1..n {
            let f = other(a[j * n + k] * d);
            for i in j..n {
                let x = a[i * n + k];
                a[i * n + j] -= x * f;
            }
        }
        for i in k + 1..n {
            a[i * n + k] *= d;
        }
        return;
    }
    let off = a[(k + 1) * n + k];
    let (d11, d22) = (a[(k + 1) * n + k + 1] / off, a[k * n + k] / other(off));
    let t = S::ONE / (d11 * d22 - S::ONE);
    for j in k + 2..n {
        let w = t * (d11 * a[j * n + k] - a[j * n + k + 1]) / other(off);
        let v = t * (d22 * a[j * n + k + 1] - a[j * n + k]) / off;
        for i in j..n {
            let (x, y) = (a[i * n + k], a[i * n + k + 1]);
            a[i * n + j] = a[i * n + j] - x * other(w) - y * other(v);
        }
        a[j * n + k] = w;
        a[j * n + k + 1] = v;
    }
}

/// Solves `L·D·Lᵀ·x = b` (`L·D·Lᴴ·x = b`) in place for `b` (`n×r`) from what [`ldl`] leaves.
pub fn ldl_solve<S: Scalar>(a: &[S], pivots: &[i32], b: &mut [S], n: usize, r: usize, hermitian: bool) {
    let swap = |b: &mut [S], i: usize, j: usize| {
        if i != j {
            let (x, y) = rows(b, r, i, j);
            x.swap_with_slice(y);
        }
    };
    let other = |x: S| mirrored(x, hermitian);
    let mut k = 0;
    while k < n {
        let p = (pivots[k].unsigned_abs() as usize).saturating_sub(1);
        if pivots[k] > 0 {
            swap(b, k, p.min(n - 1));
            for i in k + 1..n {
                let (x, top) = rows(b, r, i, k);
                axpy(x, -a[i * n + k], top);
            }
            let d = a[k * n + k];
            b[k * r..(k + 1) * r].iter_mut().for_each(|x| *x /= d);
            k += 1;
        } else {
            if k + 1 == n {
                // A block of two rows has to begin before the last row; these pivots are of no factorisation.
                break;
            }
            swap(b, k + 1, p.min(n - 1));
            for i in k + 2..n {
                for s in 0..2 {
                    let (x, top) = rows(b, r, i, k + s);
                    axpy(x, -a[i * n + k + s], top);
                }
            }
            let off = a[(k + 1) * n + k];
            let (d1, d2) = (a[k * n + k] / other(off), a[(k + 1) * n + k + 1] / off);
            let det = d1 * d2 - S::ONE;
            for c in 0..r {
                let (x, y) = (b[k * r + c] / other(off), b[(k + 1) * r + c] / off);
                b[k * r + c] = (d2 * x - y) / det;
                b[(k + 1) * r + c] = (d1 * y - x) / det;
            }
            k += 2;
        }
    }
    let mut k = n;
    while k > 0 {
        let two = pivots[k - 1] < 0;
        let start = if two { k.saturating_sub(2) } else { k - 1 };
        for s in start..k {
            for i in k..n {
                let (x, below) = rows(b, r, s, i);
                axpy(x, -other(a[i * n + s]), below);
            }
        }
        swap(b, k - 1, (pivots[k - 1].unsigned_abs() as usize).saturating_sub(1).min(n - 1));
        k = start;
    }
}
