//! Error functions and their inverse, GELU, digamma.

use super::exp_log::{exp_normal, exp2_negative, wide_exp, wide_log};
use super::ops::{Cmp, Ops};
use crate::builder::Val;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// f32 erf: two minimax polynomials by N. Juffa (one in x², one in the exponent of 1 − e^r).
pub(super) fn erf(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let a = o.abs(x);
    // erf is 1 in f32 from 3.92 on.
    let t = o.min_c(a, 4.2);
    let s = o.mul(t, t);
    let hi = o.poly(t, &[3.831_971_26e-4, -1.728_534_70e-5]);
    let lo = o.poly(t, &[2.425_462_19e-2, -3.883_964_38e-3]);
    let r = o.fma(hi, s, lo);
    let c = o.f(-1.067_778_77e-1);
    let r = o.fma(r, t, c);
    let c = o.f(-6.348_466_87e-1);
    let r = o.fma(r, t, c);
    let c = o.f(-1.287_175_12e-1);
    let r = o.fma(r, t, c);
    let nt = o.neg(t);
    let r = o.fma(r, t, nt);
    let e = exp_normal(o, r);
    let big = o.c_sub(1.0, e);
    let p = o.poly(
        s,
        &[1.283_791_66e-1, -3.761_253_36e-1, 1.128_199_25e-1, -2.676_813_49e-2, 4.991_194_23e-3, -5.967_617_03e-4],
    );
    let small = o.fma(p, a, a);
    let outer = o.cmp_c(Cmp::Gt, a, 0.927_734_375);
    let y = o.select(outer, big, small);
    o.copysign(y, x)
}

/// f32 erfc, through f64: e^(−x²)·q(x)/(1 + 2x) with q fitted on [0, 10.3] in (x − 4)/(x + 4).
pub(super) fn erfc(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let a = w.abs(wx);
    // f32 erfc is 0 from 10.06 on.
    let a = w.min_c(a, 10.25);
    let y = wide_erfc(&mut w, a);
    let mirrored = w.c_sub(2.0, y);
    let left = w.cmp_c(Cmp::Lt, wx, 0.0);
    let y = w.select(left, mirrored, y);
    o.truncate(y)
}

/// f64 erfc of lanes in [0, 10.3], about 2e-10 relative.
fn wide_erfc(w: &mut Ops<'_, '_>, a: Val) -> Val {
    let num = w.add_c(a, -4.0);
    let den = w.add_c(a, 4.0);
    let q = w.div(num, den);
    let p = w.poly(
        q,
        &[
            1.232_995_118_751_434_5,
            -0.139_621_118_179_644_76,
            0.015_379_628_069_999_969,
            0.068_097_131_002_271_98,
            -0.101_038_273_258_883_95,
            0.093_732_007_665_267_35,
            -0.066_340_139_893_190_15,
            0.037_165_568_563_073_04,
            -0.016_147_572_331_647,
            0.005_085_175_996_646_357,
            -0.000_836_223_589_081_399_9,
            -0.000_362_982_550_807_760_65,
            8.324_494_100_728_927e-5,
        ],
    );
    let x2 = w.mul(a, a);
    let nx2 = w.neg(x2);
    let e = wide_exp(w, nx2);
    let one = w.f(1.0);
    let den = w.fma_c(a, 2.0, one);
    let y = w.mul(p, e);
    w.div(y, den)
}

/// Inverse error function, f32 (through f64) or f64: M. Giles' single-precision approximation as the first guess,
/// Newton's steps on erf (centre) or erfc (tails).
pub(super) fn erfinv(o: &mut Ops<'_, '_>, x: Val) -> Val {
    if o.is_f64() {
        return wide_erfinv(o, x, 2, &mut |w, y, tail| if tail { w.libm("erfc", &[y]) } else { w.libm("erf", &[y]) });
    }
    let wx = o.extend(x);
    let mut w = o.wide();
    let y = wide_erfinv(&mut w, wx, 1, &mut |w, y, tail| {
        if tail {
            return wide_erfc(w, y);
        }
        // erf by its Taylor series; the centre ends at erfinv(1/2) = 0.477.
        let y2 = w.mul(y, y);
        let mut c = vec![FRAC_2_SQRT_PI];
        let mut factorial = 1.0;
        for k in 1..13 {
            factorial *= -f64::from(k);
            c.push(FRAC_2_SQRT_PI / (factorial * f64::from(2 * k + 1)));
        }
        let p = w.poly(y2, &c);
        w.mul(p, y)
    });
    o.truncate(y)
}

/// `erf_or_erfc(w, y, tail)` evaluates erf(y), or erfc(y) in the tails.
fn wide_erfinv(
    w: &mut Ops<'_, '_>,
    x: Val,
    steps: usize,
    erf_or_erfc: &mut dyn FnMut(&mut Ops<'_, '_>, Val, bool) -> Val,
) -> Val {
    let a = w.abs(x);
    let below = w.c_sub(1.0, a);
    let above = w.add_c(a, 1.0);
    let product = w.mul(below, above);
    let l = wide_log(w, product);
    let l = w.neg(l);
    let near = w.cmp_c(Cmp::Lt, l, 5.0);
    let u = w.add_c(l, -2.5);
    let p = w.poly(
        u,
        &[
            1.501_409_41,
            0.246_640_727,
            -0.004_177_681_64,
            -0.001_253_725_03,
            0.000_218_580_87,
            -4.391_506_54e-6,
            -3.523_387_7e-6,
            3.432_739_39e-7,
            2.810_226_36e-8,
        ],
    );
    let v = w.sqrt(l);
    let v = w.add_c(v, -3.0);
    let q = w.poly(
        v,
        &[
            2.832_976_82,
            1.001_674_06,
            0.009_438_870_47,
            -0.007_622_461_3,
            0.005_739_507_73,
            -0.003_673_428_44,
            0.001_349_343_22,
            0.000_100_950_558,
            -0.000_200_214_257,
        ],
    );
    let p = w.select(near, p, q);
    let mut y = w.mul(p, a);
    let centre = w.cmp_c(Cmp::Lt, a, 0.5);
    for _ in 0..steps {
        let erf = erf_or_erfc(w, y, false);
        let erfc = erf_or_erfc(w, y, true);
        let inner = w.sub(a, erf);
        let outer = w.sub(erfc, below);
        let error = w.select(centre, inner, outer);
        let y2 = w.mul(y, y);
        let e = wide_exp(w, y2);
        let step = w.mul(error, e);
        y = w.fma_c(step, 1.0 / FRAC_2_SQRT_PI, y);
    }
    // ±inf at ±1 (the step there is inf − inf); NaN beyond comes from the logarithm.
    let inf = w.f(f64::INFINITY);
    let end = w.cmp_c(Cmp::Eq, a, 1.0);
    let y = w.select(end, inf, y);
    w.copysign(y, x)
}

/// x · (1 + erf(x/√2)) / 2, f32 or f64.
///
/// In f32, `erfc(a/√2) = 2^(a·P(a))` for `a = |x|` to 1.6e-8 of 1, by a polynomial fitted with that weight; it falls on
/// beyond the fitted [0, 6], to exactly 0 as PyTorch's sum 1 + erf does: gelu(−inf) is −inf · 0.
pub(super) fn gelu(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let h = o.mul_c(x, 0.5);
    if o.is_f64() {
        let z = o.mul_c(x, FRAC_1_SQRT_2);
        let e = o.libm("erf", &[z]);
        let e = o.add_c(e, 1.0);
        return o.mul(h, e);
    }
    let a = o.abs(x);
    let p = o.poly(
        a,
        &[
            -1.151_106_218_585_614_2,
            -4.591_954_904_789_456_4e-1,
            -5.254_659_622_741_527_5e-2,
            7.154_652_837_272_906_4e-3,
            -2.214_873_957_581_757_2e-4,
            -1.448_168_587_635_207_5e-4,
            2.927_772_095_253_896_5e-5,
            -1.870_685_377_309_289_8e-6,
        ],
    );
    let q = o.mul(p, a);
    let tail = exp2_negative(o, q);
    let above = o.c_sub(2.0, tail);
    let left = o.cmp_c(Cmp::Lt, x, 0.0);
    let y = o.select(left, tail, above);
    o.mul(h, y)
}

/// ψ(x), f32 (through f64) or f64: reflection to x > 0, ten steps up the recurrence, asymptotic series.
pub(super) fn digamma(o: &mut Ops<'_, '_>, x: Val) -> Val {
    if o.is_f64() {
        return wide_digamma(o, x);
    }
    let wx = o.extend(x);
    let mut w = o.wide();
    let y = wide_digamma(&mut w, wx);
    o.truncate(y)
}

fn wide_digamma(w: &mut Ops<'_, '_>, x: Val) -> Val {
    let left = w.cmp_c(Cmp::Lt, x, 0.0);
    let reflected = w.c_sub(1.0, x);
    let y = w.select(left, reflected, x);
    let mut sum = w.c_div(1.0, y);
    for k in 1..10 {
        let d = w.add_c(y, f64::from(k));
        let d = w.c_div(1.0, d);
        sum = w.add(sum, d);
    }
    let z = w.add_c(y, 10.0);
    let l = wide_log(w, z);
    let inv = w.c_div(1.0, z);
    let inv2 = w.mul(inv, inv);
    let p = w.poly(inv2, &[1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0]);
    let tail = w.mul(p, inv2);
    let tail = w.fma_c(inv, 0.5, tail);
    let psi = w.sub(l, tail);
    let psi = w.sub(psi, sum);
    // ψ(x) = ψ(1 − x) − π·cot(πx); the cotangent has period 1.
    let (_, whole) = w.round(x);
    let r = w.sub(x, whole);
    let u = w.mul_c(r, PI);
    let u2 = w.mul(u, u);
    let (mut sin_c, mut cos_c) = (vec![1.0], vec![1.0]);
    for k in 1..11 {
        let m = f64::from(2 * k);
        cos_c.push(-cos_c[cos_c.len() - 1] / ((m - 1.0) * m));
        sin_c.push(-sin_c[sin_c.len() - 1] / (m * (m + 1.0)));
    }
    let s = w.poly(u2, &sin_c);
    let s = w.mul(s, u);
    let c = w.poly(u2, &cos_c);
    let cot = w.div(c, s);
    let mirrored = w.fma_c(cot, -PI, psi);
    let y = w.select(left, mirrored, psi);
    // Poles: NaN at the negative integers (all lanes below −2^51 are integers), ∓inf at ±0.
    let nan = w.f(f64::NAN);
    let integer = w.cmp_c(Cmp::Eq, r, 0.0);
    let pole = w.and(left, integer);
    let y = w.select(pole, nan, y);
    let far = w.cmp_c(Cmp::Lt, x, -2_251_799_813_685_248.0);
    let y = w.select(far, nan, y);
    let inf = w.f(f64::INFINITY);
    let nx = w.neg(x);
    let signed_inf = w.copysign(inf, nx);
    let zero = w.cmp_c(Cmp::Eq, x, 0.0);
    w.select(zero, signed_inf, y)
}
