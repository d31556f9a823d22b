//! Powers and roots, f32, through f64 logarithm and exponential.

use super::exp_log::{wide_exp, wide_log};
use super::ops::{Cmp, Ops};
use crate::builder::Val;

/// f32 x^y with C's special cases.
pub(super) fn pow(o: &mut Ops<'_, '_>, x: Val, y: Val) -> Val {
    let wx = o.extend(x);
    let wy = o.extend(y);
    let mut w = o.wide();
    let a = w.abs(wx);
    let l = wide_log(&mut w, a);
    let t = w.mul(wy, l);
    // 0 · inf: y = 0, and |x| = 1 with infinite y, both give 1 (x = 1 also for NaN y).
    let zero = w.f(0.0);
    let unit = w.cmp_c(Cmp::Eq, a, 1.0);
    let y_inf = w.abs(wy);
    let y_inf = w.cmp_c(Cmp::Eq, y_inf, f64::INFINITY);
    let unit_inf = w.and(unit, y_inf);
    let t = w.select(unit_inf, zero, t);
    let x_one = w.cmp_c(Cmp::Eq, wx, 1.0);
    let t = w.select(x_one, zero, t);
    let y_zero = w.cmp_c(Cmp::Eq, wy, 0.0);
    let t = w.select(y_zero, zero, t);
    let r = wide_exp(&mut w, t);
    // Parity of y: every f32 from 2^24 on is an even integer; below, halves are compared with their rounding.
    let ay = w.abs(wy);
    let ay = w.min_c(ay, 16_777_216.0);
    let (_, whole) = w.round(ay);
    let integer = w.cmp(Cmp::Eq, whole, ay);
    let half = w.mul_c(ay, 0.5);
    let (_, whole) = w.round(half);
    let even = w.cmp(Cmp::Eq, whole, half);
    let not_even = w.not(even);
    let odd = w.and(integer, not_even);
    // A negative finite base needs an integer exponent.
    let nan = w.f(f64::NAN);
    let negative = w.cmp_c(Cmp::Lt, wx, 0.0);
    let finite = w.cmp_c(Cmp::Gt, wx, f64::NEG_INFINITY);
    let fractional = w.not(integer);
    let undefined = w.and(negative, finite);
    let undefined = w.and(undefined, fractional);
    let undefined_or_nan = w.select(undefined, nan, r);
    // An odd exponent passes the base's sign on (−0 and −inf included).
    let signed = w.copysign(undefined_or_nan, wx);
    let r = w.select(odd, signed, undefined_or_nan);
    o.truncate(r)
}

/// f32 cube root.
pub(super) fn cbrt(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let a = w.abs(wx);
    let l = wide_log(&mut w, a);
    let t = w.mul_c(l, 1.0 / 3.0);
    let r = wide_exp(&mut w, t);
    let finite = w.cmp_c(Cmp::Lt, t, f64::INFINITY);
    // exp is clamped: inf and 0 pass by.
    let r = w.select(finite, r, a);
    let zero = w.cmp_c(Cmp::Eq, wx, 0.0);
    let r = w.select(zero, wx, r);
    let r = w.copysign(r, wx);
    o.truncate(r)
}
