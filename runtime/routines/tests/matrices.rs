//! Factorisations multiply back to the matrix they are of, real and complex.

use pt2c_routines::scalar::{Complex, Scalar};
use pt2c_routines::{eigen, factor, householder, schur, singular};

type C = Complex<f64>;

/// A number of a fixed sequence (Lehmer), in -1..1.
fn next(state: &mut u64) -> f64 {
    *state = *state * 48_271 % 0x7fff_ffff;
    *state as f64 / f64::from(0x4000_0000) - 1.0
}

trait Number: Scalar<Real = f64> {
    fn random(state: &mut u64) -> Self;
}

impl Number for f64 {
    fn random(state: &mut u64) -> f64 {
        next(state)
    }
}

impl Number for C {
    fn random(state: &mut u64) -> C {
        Complex { re: next(state), im: next(state) }
    }
}

fn random<S: Number>(m: usize, n: usize, mut seed: u64) -> Vec<S> {
    (0..m * n).map(|_| S::random(&mut seed)).collect()
}

/// `a` (`m×k`) times `b` (`k×n`).
fn product<S: Scalar>(a: &[S], b: &[S], m: usize, k: usize, n: usize) -> Vec<S> {
    let element = |i: usize| (0..k).fold(S::ZERO, |sum, p| sum + a[i / n * k + p] * b[p * n + i % n]);
    (0..m * n).map(element).collect()
}

/// The conjugate transpose of `a` (`m×n`).
fn adjoint<S: Scalar>(a: &[S], m: usize, n: usize) -> Vec<S> {
    (0..n * m).map(|i| a[i % m * n + i / m].conj()).collect()
}

fn transpose<S: Scalar>(a: &[S], m: usize, n: usize) -> Vec<S> {
    (0..n * m).map(|i| a[i % m * n + i / m]).collect()
}

/// A Hermitian matrix.
fn hermitian<S: Number>(n: usize, seed: u64) -> Vec<S> {
    let a = random::<S>(n, n, seed);
    a.iter().zip(adjoint(&a, n, n)).map(|(&x, y)| x + y).collect()
}

#[track_caller]
fn close<S: Scalar<Real = f64>>(a: &[S], b: &[S]) {
    assert_eq!(a.len(), b.len());
    for (i, (&x, &y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).modulus() < 1e-11, "element {i} is off by {}", (x - y).modulus());
    }
}

/// The columns times real factors.
fn scaled<S: Scalar>(a: &[S], by: &[S], n: usize) -> Vec<S> {
    a.iter().enumerate().map(|(i, &x)| x * by[i % n]).collect()
}

fn unit<S: Scalar>(n: usize) -> Vec<S> {
    (0..n * n).map(|i| if i / n == i % n { S::ONE } else { S::ZERO }).collect()
}

fn cholesky_of<S: Number>() {
    let (n, b) = (6, random::<S>(6, 6, 3));
    let a: Vec<S> =
        product(&b, &adjoint(&b, n, n), n, n, n).iter().zip(unit::<S>(n)).map(|(&x, one)| x + one).collect();
    let (mut l, mut info) = (a.clone(), [0]);
    factor::cholesky(&mut l, &mut info, n);
    assert_eq!(info, [0]);
    close(&product(&l, &adjoint(&l, n, n), n, n, n), &a);
}

fn ldl_solves<S: Number>(conjugated: bool) {
    for seed in 1..20 {
        let (n, r) = (7, 3);
        let a: Vec<S> = if conjugated {
            hermitian(n, seed)
        } else {
            let a = random::<S>(n, n, seed);
            a.iter().zip(transpose(&a, n, n)).map(|(&x, y)| x + y).collect()
        };
        let b = random::<S>(n, r, seed + 100);
        let (mut f, mut pivots, mut info, mut x) = (a.clone(), vec![0; n], [0], b.clone());
        factor::ldl(&mut f, &mut pivots, &mut info, n, conjugated);
        assert_eq!(info, [0]);
        factor::ldl_solve(&f, &pivots, &mut x, n, r, conjugated);
        close(&product(&a, &x, n, n, r), &b);
    }
}

fn qr_of<S: Number>(m: usize, n: usize) {
    let a = random::<S>(m, n, 5);
    let k = m.min(n);
    let (mut f, mut tau, mut work) = (a.clone(), vec![S::ZERO; k], vec![S::ZERO; m.max(n)]);
    householder::qr(&mut f, &mut tau, &mut work, m, n);
    let mut q = vec![S::ZERO; m * k];
    householder::product(&f, &tau, &mut q, &mut work, m, n, k, k);
    close(&product(&adjoint(&q, m, k), &q, k, m, k), &unit(k));
    let r: Vec<S> = (0..k * n).map(|i| if i / n <= i % n { f[i] } else { S::ZERO }).collect();
    close(&product(&q, &r, m, k, n), &a);
}

fn eigh_of<S: Number>() {
    let (n, a) = (6, hermitian::<S>(6, 7));
    let (mut work, mut values, mut v) = (a.clone(), vec![0.0; n], vec![S::ZERO; n * n]);
    eigen::symmetric(&mut work, &mut values, &mut v, n);
    assert!(values.is_sorted());
    close(&product(&adjoint(&v, n, n), &v, n, n, n), &unit(n));
    let values: Vec<S> = values.into_iter().map(S::of).collect();
    close(&product(&a, &v, n, n, n), &scaled(&v, &values, n));
}

fn svd_of<S: Number>(m: usize, n: usize, full: bool) {
    let a = random::<S>(m, n, 11);
    let k = m.min(n);
    let (p, q) = if full { (m, n) } else { (k, k) };
    let (mut work, mut s) = (a.clone(), vec![0.0; k]);
    let (mut u, mut vh) = (vec![S::ZERO; p * m], vec![S::ZERO; q * n]);
    singular::svd(&mut work, &mut s, &mut u, &mut vh, [m, n, p, q]);
    assert!(s.iter().rev().is_sorted());
    // Rows are orthonormal vectors.
    let plain = transpose(&u, p, m);
    close(&product(&adjoint(&plain, m, p), &plain, p, m, p), &unit(p));
    close(&product(&vh, &adjoint(&vh, q, n), q, n, q), &unit(q));
    let s: Vec<S> = s.into_iter().map(S::of).collect();
    let left: Vec<S> = scaled(&(0..m * k).map(|i| plain[i / k * p + i % k]).collect::<Vec<_>>(), &s, k);
    close(&product(&left, &vh[..k * n], m, k, n), &a);
}

#[test]
fn cholesky() {
    cholesky_of::<f64>();
    cholesky_of::<C>();
}

#[test]
fn symmetric_systems() {
    ldl_solves::<f64>(false);
    ldl_solves::<C>(false);
    ldl_solves::<C>(true);
}

#[test]
fn reflections() {
    for (m, n) in [(5, 5), (7, 4), (4, 7), (1, 3)] {
        qr_of::<f64>(m, n);
        qr_of::<C>(m, n);
    }
}

#[test]
fn hermitian_eigenvalues() {
    eigh_of::<f64>();
    eigh_of::<C>();
}

#[test]
fn singular_values() {
    for (m, n) in [(6, 6), (7, 4), (4, 7), (1, 1), (1, 3), (5, 1)] {
        for full in [false, true] {
            svd_of::<f64>(m, n, full);
            svd_of::<C>(m, n, full);
        }
    }
}

#[test]
fn general_eigenvalues() {
    for seed in 1..30 {
        let n = 1 + seed as usize % 9;
        let real = seed % 3 == 0;
        let a: Vec<C> =
            if real { random::<f64>(n, n, seed).into_iter().map(C::of).collect() } else { random::<C>(n, n, seed) };
        let (mut t, mut values, mut v) = (a.clone(), vec![C::ZERO; n], vec![C::ZERO; n * n]);
        let (mut basis, mut info) = (vec![C::ZERO; n * n], [0]);
        schur::eigen(&mut t, &mut values, &mut v, &mut basis, &mut info, n);
        assert_eq!(info, [0]);
        close(&product(&a, &v, n, n, n), &scaled(&v, &values, n));
        for k in 0..n {
            let length: f64 = (0..n).map(|i| v[i * n + k].square()).sum();
            assert!((length - 1.0).abs() < 1e-12);
        }
    }
    // A defective matrix has fewer vectors, but its eigenvalues.
    let a = [C::ONE, C::ONE, C::ZERO, C::ONE];
    let (mut t, mut values, mut v, mut basis, mut info) = (a, [C::ZERO; 2], [C::ZERO; 4], [C::ZERO; 4], [0]);
    schur::eigen(&mut t, &mut values, &mut v, &mut basis, &mut info, 2);
    close(&values, &[C::ONE, C::ONE]);
    close(&[v[2].square()], &[0.0]);
}
