//! The numbers that matrices are made of: real, or complex as pairs.

use crate::real::Real;
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// f32, f64, or a complex number of them.
pub trait Scalar:
    Copy
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// What parts and moduli are.
    type Real: Real;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// A real number.
    fn of(x: Self::Real) -> Self;
    /// The conjugate.
    fn conj(self) -> Self;
    /// The real part.
    fn re(self) -> Self::Real;
    /// `|re| + |im|`, by which LAPACK chooses pivots.
    fn size(self) -> Self::Real;
    /// The modulus, without overflow.
    fn modulus(self) -> Self::Real;
    /// The square of the modulus.
    fn square(self) -> Self::Real;
    /// The principal square root.
    fn root(self) -> Self;

    /// Modulus and phase; nothing of what is so small that it has no phase of length 1.
    fn polar(self) -> Option<(Self::Real, Self)> {
        let size = self.modulus();
        let large = size * Self::Real::EPSILON > Self::Real::SMALLEST;
        if large { Some((size, self / Self::of(size))) } else { None }
    }
}

macro_rules! real {
    ($($t:ident)*) => {
        $(
            impl Scalar for $t {
                type Real = $t;
                const ZERO: $t = 0.0;
                const ONE: $t = 1.0;

                fn of(x: $t) -> $t {
                    x
                }

                fn conj(self) -> $t {
                    self
                }

                fn re(self) -> $t {
                    self
                }

                fn size(self) -> $t {
                    self.abs()
                }

                fn modulus(self) -> $t {
                    self.abs()
                }

                fn square(self) -> $t {
                    self * self
                }

                fn root(self) -> $t {
                    self.sqrt()
                }
            }
        )*
    };
}

real!(f32 f64);

/// A complex number as it lies in memory.
#[derive(Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Complex<T> {
    pub re: T,
    pub im: T,
}

impl<T: Real> Add for Complex<T> {
    type Output = Self;
    fn add(self, y: Self) -> Self {
        Complex { re: self.re + y.re, im: self.im + y.im }
    }
}

impl<T: Real> Sub for Complex<T> {
    type Output = Self;
    fn sub(self, y: Self) -> Self {
        Complex { re: self.re - y.re, im: self.im - y.im }
    }
}

impl<T: Real> Mul for Complex<T> {
    type Output = Self;
    fn mul(self, y: Self) -> Self {
        Complex { re: self.re * y.re - self.im * y.im, im: self.re * y.im + self.im * y.re }
    }
}

impl<T: Real> Div for Complex<T> {
    type Output = Self;
    /// Scaled by the larger part of the divisor (Smith, 1962).
    fn div(self, y: Self) -> Self {
        if y.re.abs() >= y.im.abs() {
            let r = y.im / y.re;
            let d = y.re + y.im * r;
            Complex { re: (self.re + self.im * r) / d, im: (self.im - self.re * r) / d }
        } else {
            let r = y.re / y.im;
            let d = y.re * r + y.im;
            Complex { re: (self.re * r + self.im) / d, im: (self.im * r - self.re) / d }
        }
    }
}

impl<T: Real> Neg for Complex<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Complex { re: -self.re, im: -self.im }
    }
}

macro_rules! assign {
    ($($trait:ident $method:ident $op:tt;)*) => {
        $(
            impl<T: Real> $trait for Complex<T> {
                fn $method(&mut self, y: Self) {
                    *self = *self $op y;
                }
            }
        )*
    };
}

assign! { AddAssign add_assign +; SubAssign sub_assign -; MulAssign mul_assign *; DivAssign div_assign /; }

impl<T: Real> Scalar for Complex<T> {
    type Real = T;
    const ZERO: Self = Complex { re: T::ZERO, im: T::ZERO };
    const ONE: Self = Complex { re: T::ONE, im: T::ZERO };

    fn of(x: T) -> Self {
        Complex { re: x, im: T::ZERO }
    }

    fn conj(self) -> Self {
        Complex { re: self.re, im: -self.im }
    }

    fn re(self) -> T {
        self.re
    }

    fn size(self) -> T {
        self.re.abs() + self.im.abs()
    }

    fn modulus(self) -> T {
        self.re.hypot(self.im)
    }

    fn square(self) -> T {
        self.re * self.re + self.im * self.im
    }

    fn root(self) -> Self {
        let half = T::from_f64(0.5);
        let size = self.modulus();
        if size == T::ZERO {
            return self;
        }
        let long = ((size + self.re.abs()) * half).sqrt();
        let short = self.im.abs() * half / long;
        let (re, im) = if self.re < T::ZERO { (short, long) } else { (long, short) };
        Complex { re, im: if self.im < T::ZERO { -im } else { im } }
    }
}

/// `Σ a[i]·b[i]*`.
pub fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    a.iter().zip(b).fold(S::ZERO, |sum, (&x, &y)| sum + x * y.conj())
}

/// `Σ |a[i]|²`.
pub fn squares<S: Scalar>(a: &[S]) -> S::Real {
    a.iter().fold(S::Real::ZERO, |sum, x| sum + x.square())
}

/// `a[i] += f·b[i]`.
pub fn axpy<S: Scalar>(a: &mut [S], f: S, b: &[S]) {
    for (x, &y) in a.iter_mut().zip(b) {
        *x += f * y;
    }
}

/// The identity.
pub fn identity<S: Scalar>(a: &mut [S], rows: usize, columns: usize) {
    for i in 0..rows {
        for j in 0..columns {
            a[i * columns + j] = if i == j { S::ONE } else { S::ZERO };
        }
    }
}

/// Turns a pair of rows, after the second is multiplied by `phase`: `x' = c·x - s·y`, `y' = s·x + c·y`.
pub fn turn<S: Scalar>(x: &mut [S], y: &mut [S], phase: S, c: S::Real, s: S::Real) {
    let (c, s) = (S::of(c), S::of(s));
    for (p, q) in x.iter_mut().zip(y) {
        let (a, b) = (*p, *q * phase);
        *p = c * a - s * b;
        *q = s * a + c * b;
    }
}
