//! The real numbers that routines compute with. Functions that `core` lacks come from libm, which every library may
//! need anyway.

use crate::scalar::Scalar;

mod libm {
    unsafe extern "C" {
        pub fn sqrt(x: f64) -> f64;
        pub fn sqrtf(x: f32) -> f32;
        pub fn exp(x: f64) -> f64;
        pub fn log(x: f64) -> f64;
        pub fn log1p(x: f64) -> f64;
        pub fn sin(x: f64) -> f64;
        pub fn cos(x: f64) -> f64;
        pub fn acos(x: f64) -> f64;
        pub fn pow(x: f64, y: f64) -> f64;
        pub fn floor(x: f64) -> f64;
        pub fn ceil(x: f64) -> f64;
        pub fn round(x: f64) -> f64;
        pub fn fabs(x: f64) -> f64;
        pub fn lgamma(x: f64) -> f64;
    }
}

macro_rules! functions {
    ($($name:ident = $of:ident;)*) => {
        $(
            #[doc = concat!("`", stringify!($of), "` of libm.")]
            pub fn $name(x: f64) -> f64 {
                // SAFETY: the function is defined for every number and has no other effect than on errno.
                unsafe { libm::$of(x) }
            }
        )*
    };
}

functions! {
    exp = exp; ln = log; ln_1p = log1p; sin = sin; cos = cos; acos = acos; floor = floor; ceil = ceil; round = round;
    abs = fabs; ln_gamma = lgamma; sqrt = sqrt;
}

/// `x^y`.
pub fn pow(x: f64, y: f64) -> f64 {
    // SAFETY: defined for all numbers.
    unsafe { libm::pow(x, y) }
}

/// f32 or f64.
pub trait Real: Scalar<Real = Self> + PartialOrd {
    /// Distance from 1 to the next number.
    const EPSILON: Self;
    /// The smallest number with all its digits.
    const SMALLEST: Self;
    /// From a double, rounded.
    fn from_f64(x: f64) -> Self;
    /// To a double, exactly.
    fn to_f64(self) -> f64;
    /// Square root.
    fn sqrt(self) -> Self;

    /// Absolute value.
    fn abs(self) -> Self {
        if self < Self::ZERO { -self } else { self }
    }

    /// `√(a² + b²)` without overflow.
    fn hypot(self, other: Self) -> Self {
        let (a, b) = (self.abs(), other.abs());
        let (high, low) = if a > b { (a, b) } else { (b, a) };
        if high == Self::ZERO {
            return high;
        }
        let r = low / high;
        high * (Self::ONE + r * r).sqrt()
    }
}

impl Real for f32 {
    const EPSILON: f32 = f32::EPSILON;
    const SMALLEST: f32 = f32::MIN_POSITIVE;

    fn from_f64(x: f64) -> f32 {
        x as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn sqrt(self) -> f32 {
        // SAFETY: defined for all numbers.
        unsafe { libm::sqrtf(self) }
    }
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;
    const SMALLEST: f64 = f64::MIN_POSITIVE;

    fn from_f64(x: f64) -> f64 {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn sqrt(self) -> f64 {
        sqrt(self)
    }
}

/// Two different rows of a row-major matrix with `n` columns, the first to be written.
pub fn rows<T>(a: &mut [T], n: usize, i: usize, j: usize) -> (&mut [T], &mut [T]) {
    if i < j {
        let (low, high) = a.split_at_mut(j * n);
        (&mut low[i * n..(i + 1) * n], &mut high[..n])
    } else {
        let (low, high) = a.split_at_mut(i * n);
        (&mut high[..n], &mut low[j * n..(j + 1) * n])
    }
}
