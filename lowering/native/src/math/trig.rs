//! Trigonometric functions and their inverses, f32.
//!
//! Arguments are reduced modulo π/2 in f64 with a two-part constant (as in FreeBSD's msun), exact enough for
//! |x| < 2^28; beyond that a whole vector goes to the C library.

use super::ops::{Cmp, Ops};
use crate::builder::{Elem, Val};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// π/2 to 25 bits: its products with integers below 2^28 are exact in f64.
const PIO2_HI: f64 = 1.570_796_310_901_641_8;
/// π/2 − PIO2_HI.
const PIO2_LO: f64 = 1.589_325_477_352_819_6e-8;
/// Where the reduction stops.
const HUGE: f64 = 268_435_456.0;

/// The quadrant number (i64 lanes) and the f64 remainder in ±π/4.
fn reduce(o: &mut Ops<'_, '_>, x: Val) -> (Val, Val) {
    let wx = o.extend(x);
    let mut w = o.wide();
    let t = w.mul_c(wx, FRAC_2_PI);
    let (n, nf) = w.round(t);
    let r = w.fma_c(nf, -PIO2_HI, wx);
    (n, w.fma_c(nf, -PIO2_LO, r))
}

/// Runs `fast` unless a lane is huge (or inf), then the C library's `name` on all lanes.
fn unless_huge<'t>(o: &mut Ops<'_, 't>, x: Val, name: &str, fast: impl FnOnce(&mut Ops<'_, 't>) -> Val) -> Val {
    let ty = o.ty;
    let a = o.abs(x);
    let huge = o.cmp_c(Cmp::Ge, a, HUGE);
    let huge = o.any(huge);
    let scope = o.b.begin_if(huge, &[ty]);
    let slow = o.libm(name, &[x]);
    o.b.begin_else(&[slow]);
    let y = fast(o);
    let results = o.b.end_if(scope, &[y]);
    results.first().copied().unwrap_or(y)
}

/// sin (quadrant offset 0) or cos (offset 1).
fn sin_cos(o: &mut Ops<'_, '_>, x: Val, offset: i64) -> Val {
    let (n, r) = reduce(o, x);
    let it = o.ty.with_elem(Elem::I32);
    let n = o.b.cast_int(n, it, true);
    let r = o.truncate(r);
    let n = o.b.add_const(n, offset);
    let r2 = o.mul(r, r);
    let s = o.poly(r2, &[-1.666_665_461_1e-1, 8.332_160_873_6e-3, -1.951_529_589_1e-4]);
    let s = o.mul(s, r2);
    let s = o.fma(s, r, r);
    let c = o.poly(r2, &[4.166_664_568_298_827e-2, -1.388_731_625_493_765e-3, 2.443_315_711_809_948e-5]);
    let c = o.mul(c, r2);
    let c = o.add_c(c, -0.5);
    let one = o.f(1.0);
    let c = o.fma(c, r2, one);
    let odd = o.iand_c(n, 1);
    let odd = o.nonzero(odd);
    let y = o.select(odd, c, s);
    let sign = o.iand_c(n, 2);
    let sign = o.shl_c(sign, 30);
    let bits = o.bits(y);
    let bits = o.ixor(bits, sign);
    o.float(bits)
}

pub(super) fn sin(o: &mut Ops<'_, '_>, x: Val) -> Val {
    unless_huge(o, x, "sin", |o| {
        let y = sin_cos(o, x, 0);
        // sin(−0) is −0.
        let zero = o.cmp_c(Cmp::Eq, x, 0.0);
        o.select(zero, x, y)
    })
}

pub(super) fn cos(o: &mut Ops<'_, '_>, x: Val) -> Val {
    unless_huge(o, x, "cos", |o| sin_cos(o, x, 1))
}

pub(super) fn tan(o: &mut Ops<'_, '_>, x: Val) -> Val {
    unless_huge(o, x, "tan", |o| {
        let (n, r) = reduce(o, x);
        let mut w = o.wide();
        let r2 = w.mul(r, r);
        // Minimax polynomial of tan on ±π/4 from FreeBSD's k_tanf.c.
        let p = w.poly(
            r2,
            &[
                0.333_331_395_030_791_4,
                0.133_392_002_712_976_74,
                0.053_381_237_844_567_04,
                0.024_528_318_116_654_728,
                0.002_974_357_433_599_673,
                0.009_465_647_849_436_732,
            ],
        );
        let p = w.mul(p, r2);
        let t = w.fma(p, r, r);
        let cot = w.c_div(-1.0, t);
        let odd = w.iand_c(n, 1);
        let odd = w.nonzero(odd);
        let y = w.select(odd, cot, t);
        let y = o.truncate(y);
        let zero = o.cmp_c(Cmp::Eq, x, 0.0);
        o.select(zero, x, y)
    })
}

/// f64 arctangent of lanes in [0, 1], about 1e-11 relative.
fn wide_atan01(w: &mut Ops<'_, '_>, t: Val) -> Val {
    let t2 = w.mul(t, t);
    // Chebyshev interpolation of atan(√u)/√u on [0, 1].
    let p = w.poly(
        t2,
        &[
            0.999_999_999_988_738_1,
            -0.333_333_329_516_572_2,
            0.199_999_783_362_170_84,
            -0.142_852_256_081_602_1,
            0.111_053_067_324_244_64,
            -0.090_491_790_937_205_77,
            0.074_952_623_780_996_96,
            -0.060_221_963_879_374_33,
            0.043_646_589_442_816_67,
            -0.026_005_995_977_608_62,
            0.011_427_633_277_375_594,
            -0.003_195_425_240_736_394_4,
            0.000_419_227_860_112_729,
        ],
    );
    w.mul(p, t)
}

pub(super) fn atan(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let a = w.abs(wx);
    let big = w.cmp_c(Cmp::Gt, a, 1.0);
    let inv = w.c_div(1.0, a);
    let t = w.select(big, inv, a);
    let p = wide_atan01(&mut w, t);
    let q = w.c_sub(FRAC_PI_2, p);
    let y = w.select(big, q, p);
    let y = w.copysign(y, wx);
    o.truncate(y)
}

pub(super) fn atan2(o: &mut Ops<'_, '_>, y: Val, x: Val) -> Val {
    let wy = o.extend(y);
    let wx = o.extend(x);
    let mut w = o.wide();
    let ay = w.abs(wy);
    let ax = w.abs(wx);
    let steep = w.cmp(Cmp::Gt, ay, ax);
    let num = w.select(steep, ax, ay);
    let den = w.select(steep, ay, ax);
    let q = w.div(num, den);
    // 0/0 counts as 0, inf/inf as 1. NaN operands keep the NaN of the quotient.
    let zero = w.f(0.0);
    let den_zero = w.cmp_c(Cmp::Eq, den, 0.0);
    let q = w.select(den_zero, zero, q);
    let one = w.f(1.0);
    let num_inf = w.cmp_c(Cmp::Eq, num, f64::INFINITY);
    let q = w.select(num_inf, one, q);
    // With one NaN the comparison above is false, so num = ay, den = ax: only NaN/0 and inf/NaN lost it.
    let nan = w.add(ay, ax);
    let undefined = w.is_nan(nan);
    let q = w.select(undefined, nan, q);
    let p = wide_atan01(&mut w, q);
    let c = w.c_sub(FRAC_PI_2, p);
    let r = w.select(steep, c, p);
    let back = w.c_sub(PI, r);
    let sign = w.bits(wx);
    let sign = w.sar_c(sign, 63);
    let left = w.nonzero(sign);
    let r = w.select(left, back, r);
    let r = w.copysign(r, wy);
    o.truncate(r)
}

/// The shared part of asin and acos: `(|x| > 1/2, p)` where p is asin of |x|, or of √((1−|x|)/2) in the outer part.
fn asin_core(w: &mut Ops<'_, '_>, wx: Val) -> (Val, Val) {
    let a = w.abs(wx);
    let outer = w.cmp_c(Cmp::Gt, a, 0.5);
    let h = w.c_sub(1.0, a);
    let h = w.mul_c(h, 0.5);
    let a2 = w.mul(a, a);
    let z = w.select(outer, h, a2);
    let root = w.sqrt(h);
    let s = w.select(outer, root, a);
    // Chebyshev interpolation of asin(√u)/√u on [0, 1/4].
    let p = w.poly(
        z,
        &[
            0.999_999_999_999_949_3,
            0.166_666_666_707_231_88,
            0.074_999_994_675_315_61,
            0.044_643_126_897_073_435,
            0.030_375_046_838_709_736,
            0.022_472_629_272_259_407,
            0.016_472_738_109_361_944,
            0.018_638_508_213_446_328,
            -0.002_856_350_533_683_896_7,
            0.031_943_996_384_108_43,
        ],
    );
    (outer, w.mul(p, s))
}

pub(super) fn asin(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let (outer, p) = asin_core(&mut w, wx);
    let half_pi = w.f(FRAC_PI_2);
    let q = w.fma_c(p, -2.0, half_pi);
    let y = w.select(outer, q, p);
    let y = w.copysign(y, wx);
    o.truncate(y)
}

pub(super) fn acos(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let (outer, p) = asin_core(&mut w, wx);
    let double = w.add(p, p);
    let back = w.c_sub(PI, double);
    let right = w.cmp_c(Cmp::Gt, wx, 0.0);
    let q = w.select(right, double, back);
    let signed = w.copysign(p, wx);
    let inner = w.c_sub(FRAC_PI_2, signed);
    let y = w.select(outer, q, inner);
    o.truncate(y)
}
