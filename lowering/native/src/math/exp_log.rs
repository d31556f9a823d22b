//! Exponentials, logarithms and the logistic function.
//!
//! f32 `exp` and `log` use the reductions and polynomials of Moshier's Cephes library (single precision); the rest
//! evaluates in f64 with truncated Taylor or atanh series, whose error is far below half an f32 unit.

use super::ops::{Cmp, Ops};
use crate::builder::Val;
use std::f64::consts::{LN_2, LOG2_E};

/// High part of ln 2: few enough bits that `n * LN2_HI` is exact for every exponent n, also without FMA.
const LN2_HI: f64 = 0.693359375;
const LN2_LO: f64 = -2.121_944_400_546_905_8e-4;

/// f32 e^x.
pub(super) fn exp(o: &mut Ops<'_, '_>, x: Val) -> Val {
    // Beyond these bounds the result is 0 or inf; inside them 2^n needs two factors to reach subnormals and 2^128.
    let x = o.min_c(x, 89.0);
    let x = o.max_c(x, -104.0);
    let (y, power) = exp_parts(o, x);
    scale(o, y, power)
}

/// f32 e^x for x ≤ 0 (or NaN).
fn exp_of_negative(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let x = o.max_c(x, -104.0);
    let (y, power) = exp_parts(o, x);
    scale(o, y, power)
}

/// f32 e^x for x in ±87, where the result is a normal number (or NaN).
pub(super) fn exp_normal(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let (y, (n, nf)) = exp_parts(o, x);
    if o.has_scalef() {
        return o.scalef(y, nf);
    }
    let s = o.pow2(n);
    o.mul(y, s)
}

/// A whole number, as an integer and as a float.
type Power = (Val, Val);

/// `(y, n)` with e^x = y · 2^n and y between √½ and √2.
fn exp_parts(o: &mut Ops<'_, '_>, x: Val) -> (Val, Power) {
    let t = o.mul_c(x, LOG2_E);
    let (n, nf) = o.round(t);
    let r = o.fma_c(nf, -LN2_HI, x);
    let r = o.fma_c(nf, -LN2_LO, r);
    let p = o.poly(
        r,
        &[
            5.000_000_120_1e-1,
            1.666_666_545_9e-1,
            4.166_579_589_4e-2,
            8.333_451_907_3e-3,
            1.398_199_950_7e-3,
            1.987_569_150_0e-4,
        ],
    );
    let r2 = o.mul(r, r);
    let y = o.fma(p, r2, r);
    (o.add_c(y, 1.0), (n, nf))
}

/// `y * 2^n` for n in ±252, rounding once (subnormal results included).
fn scale(o: &mut Ops<'_, '_>, y: Val, (n, nf): Power) -> Val {
    if o.has_scalef() {
        return o.scalef(y, nf);
    }
    let half = o.sar_c(n, 1);
    let rest = o.isub(n, half);
    let a = o.pow2(half);
    let b = o.pow2(rest);
    let y = o.mul(y, a);
    o.mul(y, b)
}

/// f32 2^x.
pub(super) fn exp2(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let x = o.min_c(x, 129.0);
    let x = o.max_c(x, -151.0);
    let (n, nf) = o.round(x);
    // Exact: |x - n| <= 1/2.
    let f = o.sub(x, nf);
    // 2^f = 1 + f·ln2 + …; the leading coefficient is split so that its rounding does not show.
    let p = o.poly(
        f,
        &[
            0.240_226_506_959_1,
            0.055_504_108_664_82,
            0.009_618_129_107_628,
            0.001_333_355_814_642,
            1.540_353_039_338e-4,
            1.525_273_380_4e-5,
        ],
    );
    let p = o.mul(p, f);
    let p = o.add_c(p, LN_2 - 0.693_145_751_953_125);
    let p = o.mul(p, f);
    let y = o.fma_c(f, 0.693_145_751_953_125, p);
    let y = o.add_c(y, 1.0);
    scale(o, y, (n, nf))
}

/// f32 2^x for x ≤ 0, to 1e-7 of the result; 0 from −151 on.
pub(super) fn exp2_negative(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let x = o.max_c(x, -160.0);
    let (n, nf) = o.round(x);
    let f = o.sub(x, nf);
    let p = o.poly(
        f,
        &[
            1.0,
            0.693_147_206_248_525,
            0.240_226_513_459_211_25,
            0.055_503_277_906_038_36,
            0.009_618_003_889_363_265,
            0.001_340_026_989_050_449_9,
            1.547_630_036_821_864e-4,
        ],
    );
    scale(o, p, (n, nf))
}

/// f64 e^x to about 1e-12 relative, for |x| <= 700 (clamped); NaN stays.
pub(super) fn wide_exp(w: &mut Ops<'_, '_>, x: Val) -> Val {
    let x = w.min_c(x, 700.0);
    let x = w.max_c(x, -700.0);
    let t = w.mul_c(x, LOG2_E);
    let (n, nf) = w.round(t);
    let r = w.fma_c(nf, -LN_2, x);
    let mut c = [1.0; 11];
    for k in 1..c.len() {
        c[k] = c[k - 1] / k as f64;
    }
    let y = w.poly(r, &c);
    let s = w.pow2(n);
    w.mul(y, s)
}

/// f32 e^x − 1, through f64.
pub(super) fn expm1(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let e = wide_exp(&mut w, wx);
    let big = w.add_c(e, -1.0);
    // Near 0 the difference cancels: the series instead.
    let p = w.poly(wx, &[1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0]);
    let small = w.mul(p, wx);
    let a = w.abs(wx);
    let near = w.cmp_c(Cmp::Lt, a, 0.01);
    let y = w.select(near, small, big);
    o.truncate(y)
}

/// f32 natural logarithm.
pub(super) fn log(o: &mut Ops<'_, '_>, x: Val) -> Val {
    // Subnormals are scaled into the normal range.
    let tiny = o.cmp_c(Cmp::Lt, x, f64::from(f32::MIN_POSITIVE));
    let scaled = o.mul_c(x, 8_388_608.0);
    let v = o.select(tiny, scaled, x);
    let zero = o.f(0.0);
    let bias = o.f(-23.0);
    let shift = o.select(tiny, bias, zero);
    // Splits v = m·2^e with m in [√½, √2): subtracting the bits of √½ makes the exponent field step there.
    let bits = o.bits(v);
    let sqrt_half = 0x3f35_04f3;
    let c = o.i(sqrt_half);
    let d = o.isub(bits, c);
    let e = o.sar_c(d, 23);
    let e_bits = o.shl_c(e, 23);
    let m = o.isub(bits, e_bits);
    let m = o.float(m);
    let e = int_to_float(o, e);
    let e = o.add(e, shift);
    let f = o.add_c(m, -1.0);
    let p = o.poly(
        f,
        &[
            3.333_333_117_4e-1,
            -2.499_999_399_3e-1,
            2.000_071_476_5e-1,
            -1.666_805_766_5e-1,
            1.424_932_278_7e-1,
            -1.242_014_084_6e-1,
            1.167_699_874_0e-1,
            -1.151_461_031_0e-1,
            7.037_683_629_2e-2,
        ],
    );
    let f2 = o.mul(f, f);
    let f3 = o.mul(f2, f);
    let y = o.mul(p, f3);
    let y = o.fma_c(e, LN2_LO, y);
    let y = o.fma_c(f2, -0.5, y);
    let y = o.add(f, y);
    let y = o.fma_c(e, LN2_HI, y);
    log_specials(o, x, y)
}

/// Signed integer lanes (small) to float.
fn int_to_float(o: &mut Ops<'_, '_>, n: Val) -> Val {
    let elem = o.ty.elem();
    o.b.int_to_float(n, elem, true)
}

/// A logarithm's special values: −inf at ±0, NaN below, inf at inf, NaN at NaN.
fn log_specials(o: &mut Ops<'_, '_>, x: Val, y: Val) -> Val {
    let inf = o.f(f64::INFINITY);
    let at_inf = o.cmp(Cmp::Eq, x, inf);
    let y = o.select(at_inf, inf, y);
    let ninf = o.f(f64::NEG_INFINITY);
    let at_zero = o.cmp_c(Cmp::Eq, x, 0.0);
    let y = o.select(at_zero, ninf, y);
    let nan = o.f(f64::NAN);
    // False for NaN as well: one select serves both.
    let defined = o.cmp_c(Cmp::Ge, x, 0.0);
    o.select(defined, y, nan)
}

/// f64 natural logarithm to about 1e-15 relative, with all special values. Arguments that come from f32 are normal.
pub(super) fn wide_log(w: &mut Ops<'_, '_>, x: Val) -> Val {
    let bits = w.bits(x);
    let c = w.i(0x3fe6_a09e_667f_3bcd);
    let d = w.isub(bits, c);
    let e = w.sar_c(d, 52);
    let e_bits = w.shl_c(e, 52);
    let m = w.isub(bits, e_bits);
    let m = w.float(m);
    // i64 → f64 has no instruction below AVX-512: add to the magic constant's bits instead.
    let magic = w.f(6_755_399_441_055_744.0);
    let magic_bits = w.bits(magic);
    let e = w.iadd(e, magic_bits);
    let e = w.float(e);
    let e = w.sub(e, magic);
    // log m = 2·atanh(s), s = (m − 1)/(m + 1), |s| <= 0.1716
    let num = w.add_c(m, -1.0);
    let den = w.add_c(m, 1.0);
    let s = w.div(num, den);
    let s2 = w.mul(s, s);
    let c: Vec<f64> = (1..10).map(|k| 2.0 / f64::from(2 * k + 1)).collect();
    let p = w.poly(s2, &c);
    let s3 = w.mul(s2, s);
    let y = w.mul(p, s3);
    let y = w.fma_c(s, 2.0, y);
    let y = w.fma_c(e, LN_2, y);
    log_specials(w, x, y)
}

/// f32 logarithm to another base, through f64: `log x · factor`.
pub(super) fn log_base(o: &mut Ops<'_, '_>, x: Val, factor: f64) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let y = wide_log(&mut w, wx);
    let y = w.mul_c(y, factor);
    o.truncate(y)
}

/// f32 log(1 + x), through f64.
pub(super) fn log1p(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let wx = o.extend(x);
    let mut w = o.wide();
    let u = w.add_c(wx, 1.0);
    let big = wide_log(&mut w, u);
    let p = w.poly(wx, &[1.0, -1.0 / 2.0, 1.0 / 3.0]);
    let small = w.mul(p, wx);
    let a = w.abs(wx);
    let near = w.cmp_c(Cmp::Lt, a, 1.0 / 4096.0);
    let y = w.select(near, small, big);
    o.truncate(y)
}

/// 1 / (1 + e^−x), f32 or f64. With e = exp(−|x|) <= 1 nothing overflows and the left tail keeps its precision.
pub(super) fn sigmoid(o: &mut Ops<'_, '_>, x: Val) -> Val {
    let a = o.abs(x);
    let n = o.neg(a);
    let e = if o.is_f64() { o.libm("exp", &[n]) } else { exp_of_negative(o, n) };
    let den = o.add_c(e, 1.0);
    let one = o.f(1.0);
    let right = o.cmp_c(Cmp::Ge, x, 0.0);
    let num = o.select(right, one, e);
    o.div(num, den)
}
