//! Hyperbolic functions and their inverses, f32. `tanh` is native f32 (Cephes); the others pass through f64.

use super::exp_log::{exp_normal, wide_exp, wide_log};
use super::ops::{Cmp, Ops};
use crate::builder::Val;

pub(super) fn tanh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let a = o.abs(x);
    // tanh is 1 in f32 from 9.02 on.
    let t = o.min_c(a, 10.0);
    let t = o.add(t, t);
    let e = exp_normal(o, t);
    let den = o.add_c(e, 1.0);
    let q = o.c_div(2.0, den);
    let big = o.c_sub(1.0, q);
    let x2 = o.mul(a, a);
    let p = o.poly(
        x2,
        &[-3.333_328_194_22e-1, 1.333_144_220_36e-1, -5.373_971_555_31e-2, 2.063_908_879_54e-2, -5.704_988_727_45e-3],
    );
    let p = o.mul(p, x2);
    let small = o.fma(p, a, a);
    let inner = o.cmp_c(Cmp::Lt, a, 0.625);
    let y = o.select(inner, small, big);
    o.copysign(y, x)
}

pub(super) fn sinh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let e = wide_exp(&mut w, wx);
    let inv = w.c_div(1.0, e);
    let d = w.sub(e, inv);
    let big = w.mul_c(d, 0.5);
    let x2 = w.mul(wx, wx);
    let p = w.poly(x2, &[1.0, 1.0 / 6.0, 1.0 / 120.0, 1.0 / 5040.0]);
    let small = w.mul(p, wx);
    let a = w.abs(wx);
    let near = w.cmp_c(Cmp::Lt, a, 0.1);
    let y = w.select(near, small, big);
    o.truncate(y)
}

pub(super) fn cosh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let e = wide_exp(&mut w, wx);
    let inv = w.c_div(1.0, e);
    let s = w.add(e, inv);
    let y = w.mul_c(s, 0.5);
    o.truncate(y)
}

/// Where the inverse functions switch to a two-term series: below it f64 cancellation would show.
const NEAR_ZERO: f64 = 1.0 / 4096.0;

/// `|x| < NEAR_ZERO ? x + c·x³ : y`, f64.
fn near_zero(w: &mut Ops<'_, '_>, x: Val, c: f64, y: Val) -> Val {
    let x2 = w.mul(x, x);
    let one = w.f(1.0);
    let p = w.fma_c(x2, c, one);
    let small = w.mul(p, x);
    let a = w.abs(x);
    let near = w.cmp_c(Cmp::Lt, a, NEAR_ZERO);
    w.select(near, small, y)
}

pub(super) fn asinh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let a = w.abs(wx);
    let one = w.f(1.0);
    let s = w.fma(a, a, one);
    let s = w.sqrt(s);
    let s = w.add(s, a);
    let y = wide_log(&mut w, s);
    let y = w.copysign(y, wx);
    let y = near_zero(&mut w, wx, -1.0 / 6.0, y);
    o.truncate(y)
}

pub(super) fn acosh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    // x² − 1 = (x − 1)(x + 1): exact factors near 1. Below 1 the root is NaN.
    let m = w.add_c(wx, -1.0);
    let p = w.add_c(wx, 1.0);
    let s = w.mul(m, p);
    let s = w.sqrt(s);
    let s = w.add(s, wx);
    let y = wide_log(&mut w, s);
    // x < −1 has a positive product: undefined all the same.
    let nan = w.f(f64::NAN);
    let defined = w.cmp_c(Cmp::Ge, wx, 1.0);
    let y = w.select(defined, y, nan);
    o.truncate(y)
}

pub(super) fn atanh(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let p = w.add_c(wx, 1.0);
    let m = w.c_sub(1.0, wx);
    let q = w.div(p, m);
    let y = wide_log(&mut w, q);
    let y = w.mul_c(y, 0.5);
    let y = near_zero(&mut w, wx, 1.0 / 3.0, y);
    o.truncate(y)
}
