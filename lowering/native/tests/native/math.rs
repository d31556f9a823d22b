//! Accuracy sweeps: every 4093rd bit pattern of f32 (and special values) against f64 references, per instruction set.

use crate::support::{function, load_module, targets};
use pt2c_native::Target;
use pt2c_native::builder::{Elem, Func, Module, Type};
use pt2c_native::math::{MathFn, MathFn2, declare_libm, emit_binary, emit_unary};

/// Bit patterns of the sweep, padded to whole vectors.
fn inputs() -> Vec<f32> {
    let mut v: Vec<f32> = (0..u32::MAX / 4093).map(|k| f32::from_bits(k * 4093)).collect();
    let special: [f32; 27] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        1.5,
        -1.5,
        88.72284,
        -87.33655,
        -103.97208,
        1.4616321,
        0.625,
        0.9277344,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        1e-45,
        -1e-45,
        33.0,
    ];
    v.extend(special);
    for s in special {
        v.push(f32::from_bits(s.to_bits().wrapping_add(1)));
        v.push(f32::from_bits(s.to_bits().wrapping_sub(1)));
    }
    while !v.len().is_multiple_of(16) {
        v.push(1.0);
    }
    v
}

/// The f64 reference.
fn reference(f: MathFn, x: f64) -> f64 {
    match f {
        MathFn::Exp => libm::exp(x),
        MathFn::Exp2 => libm::exp2(x),
        MathFn::Expm1 => libm::expm1(x),
        MathFn::Log => libm::log(x),
        MathFn::Log2 => libm::log2(x),
        MathFn::Log10 => libm::log10(x),
        MathFn::Log1p => libm::log1p(x),
        MathFn::Sin => libm::sin(x),
        MathFn::Cos => libm::cos(x),
        MathFn::Tan => libm::tan(x),
        MathFn::Asin => libm::asin(x),
        MathFn::Acos => libm::acos(x),
        MathFn::Atan => libm::atan(x),
        MathFn::Sinh => libm::sinh(x),
        MathFn::Cosh => libm::cosh(x),
        MathFn::Tanh => libm::tanh(x),
        MathFn::Asinh => libm::asinh(x),
        MathFn::Acosh if x < 1.0 => f64::NAN,
        MathFn::Acosh => libm::acosh(x),
        MathFn::Atanh => libm::atanh(x),
        MathFn::Erf => libm::erf(x),
        MathFn::Erfc => libm::erfc(x),
        MathFn::Erfinv => erfinv(x),
        MathFn::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        MathFn::Sqrt => x.sqrt(),
        MathFn::Rsqrt => 1.0 / x.sqrt(),
        MathFn::Cbrt => libm::cbrt(x),
        MathFn::Lgamma => libm::lgamma(x),
        MathFn::Digamma => digamma(x),
        MathFn::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
    }
}

/// ψ by forty steps of the recurrence and the asymptotic series; independent of the emitter's ten.
fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        let r = x - x.round();
        return digamma(1.0 - x) - std::f64::consts::PI / (std::f64::consts::PI * r).tan();
    }
    let mut y = x;
    let mut s = 0.0;
    while y < 40.0 {
        s += 1.0 / y;
        y += 1.0;
    }
    let i = 1.0 / (y * y);
    y.ln() - 0.5 / y - i * (1.0 / 12.0 - i * (1.0 / 120.0 - i / 252.0)) - s
}

/// Distance of `got` from the exact result in units of its last place.
fn ulp_error(got: f32, exact: f64) -> f64 {
    if exact.is_nan() || got.is_nan() {
        return if exact.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let rounded = exact as f32;
    if rounded.is_infinite() || got.is_infinite() {
        if rounded == got {
            return 0.0;
        }
        // One side of the overflow threshold: measured as if the exponent went on.
        let g = if got.is_infinite() { 2f64.powi(128).copysign(f64::from(got)) } else { f64::from(got) };
        return if exact.is_infinite() { f64::INFINITY } else { (g - exact).abs() / 2f64.powi(104) };
    }
    if rounded == 0.0 && got == 0.0 {
        // Signs of exact zeros are checked.
        return if exact == 0.0 && exact.is_sign_negative() != got.is_sign_negative() { f64::INFINITY } else { 0.0 };
    }
    let exponent = exact.abs().log2().floor().max(-126.0);
    (f64::from(got) - exact).abs() / 2f64.powf(exponent - 23.0)
}

/// erf⁻¹ by bisection on libm's erf and erfc.
fn erfinv(x: f64) -> f64 {
    let a = x.abs();
    if a >= 1.0 || a.is_nan() {
        return if a == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    if a < 1e-9 {
        return x * std::f64::consts::PI.sqrt() / 2.0;
    }
    let (mut lo, mut hi) = (0.0, 6.0);
    for _ in 0..80 {
        let mid = 0.5 * (lo + hi);
        let low = if a < 0.5 { libm::erf(mid) < a } else { libm::erfc(mid) > 1.0 - a };
        if low { lo = mid } else { hi = mid }
    }
    (0.5 * (lo + hi)).copysign(x)
}

/// A module that maps every function over `n` elements, in whole vectors.
fn module(target: &Target, lanes: u32) -> Module {
    let mut m = Module::new();
    declare_libm(&mut m);
    for f in MathFn::ALL {
        let mut b = Func::new(target, format!("{f:?}")).public();
        let x = b.param(Type::buffer(Elem::F32));
        let y = b.param(Type::buffer(Elem::F32));
        let n = b.param(Type::INDEX);
        let zero = b.index(0);
        b.for_each(zero, n, i64::from(lanes), |b, i| {
            let v = b.vload(x, i, lanes);
            let r = emit_unary(b, f, v);
            b.vstore(r, y, i);
        });
        b.ret(&[]);
        m.add(b);
    }
    for f in BINARY {
        let mut b = Func::new(target, format!("{f:?}")).public();
        let p = b.param(Type::buffer(Elem::F32));
        let q = b.param(Type::buffer(Elem::F32));
        let y = b.param(Type::buffer(Elem::F32));
        let n = b.param(Type::INDEX);
        let zero = b.index(0);
        b.for_each(zero, n, i64::from(lanes), |b, i| {
            let v = b.vload(p, i, lanes);
            let w = b.vload(q, i, lanes);
            let r = emit_binary(b, f, v, w);
            b.vstore(r, y, i);
        });
        b.ret(&[]);
        m.add(b);
    }
    m
}

const BINARY: [MathFn2; 2] = [MathFn2::Pow, MathFn2::Atan2];

#[test]
fn accuracy_is_as_stated() {
    let xs = inputs();
    let exact: Vec<Vec<f64>> =
        MathFn::ALL.iter().map(|f| xs.iter().map(|x| reference(*f, f64::from(*x))).collect()).collect();
    // Arguments of the binary functions: the sweep against itself in another order, and every pair of special values.
    let shift = xs.len() / 3;
    let (mut ps, mut qs): (Vec<f32>, Vec<f32>) = (xs.clone(), Vec::new());
    qs.extend((0..xs.len()).map(|k| xs[(k * 7919 + shift) % xs.len()]));
    let special: Vec<f32> = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 16_777_215.0, 16_777_216.0, 1e30, f32::INFINITY, 1e-40]
        .into_iter()
        .flat_map(|x| [x, -x])
        .chain([f32::NAN, f32::MAX])
        .collect();
    for p in &special {
        for q in &special {
            ps.push(*p);
            qs.push(*q);
        }
    }
    // Bases near 1 with exponents of any size: where powers are finite.
    for k in 0..100_000u32 {
        ps.push(f32::from_bits(0x3e80_0000 + k * 263));
        qs.push(((k * 7919 % 4001) as f32 - 2000.0) * 0.37);
    }
    while ps.len() % 16 != 0 {
        ps.push(1.0);
        qs.push(1.0);
    }
    let exact2: Vec<Vec<f64>> = BINARY
        .iter()
        .map(|f| {
            ps.iter()
                .zip(&qs)
                .map(|(p, q)| match f {
                    MathFn2::Pow => libm::pow(f64::from(*p), f64::from(*q)),
                    MathFn2::Atan2 => libm::atan2(f64::from(*p), f64::from(*q)),
                })
                .collect()
        })
        .collect();
    let names: Vec<String> =
        MathFn::ALL.iter().map(|f| format!("{f:?}")).chain(BINARY.iter().map(|f| format!("{f:?}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut failures = Vec::new();
    for target in targets() {
        for lanes in [target.lanes, 1] {
            let loaded = load_module(module(&target, lanes), &target, &names);
            let mut report = |name: &str, limit: f64, worst: (f64, f32, f32)| {
                let line =
                    format!("{name} {:?} x{lanes}: {:.3} ulp at {:e}: {:e}", target.isa, worst.0, worst.1, worst.2);
                println!("{line}");
                if worst.0 > limit {
                    failures.push(line);
                }
            };
            for (f, exact) in MathFn::ALL.iter().zip(&exact) {
                let mut ys = vec![0f32; xs.len()];
                let run = function!(loaded, &format!("{f:?}"), extern "C" fn(*const f32, *mut f32, usize));
                run(xs.as_ptr(), ys.as_mut_ptr(), xs.len());
                let mut worst = (0.0, 0.0, 0.0);
                for ((x, y), e) in xs.iter().zip(&ys).zip(exact) {
                    let mut u = ulp_error(*y, *e);
                    if *f == MathFn::Gelu && *x < 0.0 {
                        let scale = f64::from(*x).abs().max(f64::from(f32::MIN_POSITIVE));
                        u = (f64::from(*y) - e).abs() / (scale * f64::from(f32::EPSILON));
                        if !x.is_finite() {
                            // −inf · 0: NaN, as in PyTorch.
                            u = 0.0;
                        }
                    }
                    if u > worst.0 {
                        worst = (u, *x, *y);
                    }
                }
                report(&format!("{f:?}"), f.max_ulp(), worst);
            }
            for (f, exact) in BINARY.iter().zip(&exact2) {
                let mut ys = vec![0f32; ps.len()];
                let run = function!(loaded, &format!("{f:?}"), extern "C" fn(*const f32, *const f32, *mut f32, usize));
                run(ps.as_ptr(), qs.as_ptr(), ys.as_mut_ptr(), ps.len());
                let mut worst = (0.0, 0.0, 0.0);
                for (k, (y, e)) in ys.iter().zip(exact).enumerate() {
                    let u = ulp_error(*y, *e);
                    if u > worst.0 {
                        worst = (u, ps[k], qs[k]);
                    }
                }
                report(&format!("{f:?}"), f.max_ulp(), worst);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn double_precision_follows_the_references() {
    let mut xs: Vec<f64> = (-400..400).map(|k| f64::from(k) * 0.0371).collect();
    xs.extend([0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, -1e-20, 1e20, 700.0, -700.0]);
    xs.extend([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.4616321449683622, -3.5, 4e15]);
    while !xs.len().is_multiple_of(8) {
        xs.push(0.25);
    }
    for target in targets() {
        let mut m = Module::new();
        declare_libm(&mut m);
        let lanes = target.lanes_of(8);
        let names: Vec<String> = MathFn::ALL.iter().map(|f| format!("{f:?}")).collect();
        for (f, name) in MathFn::ALL.iter().zip(&names) {
            let mut b = Func::new(&target, name.clone()).public();
            let x = b.param(Type::buffer(Elem::F64));
            let y = b.param(Type::buffer(Elem::F64));
            let n = b.param(Type::INDEX);
            let zero = b.index(0);
            b.for_each(zero, n, i64::from(lanes), |b, i| {
                let v = b.vload(x, i, lanes);
                let r = emit_unary(b, *f, v);
                b.vstore(r, y, i);
            });
            b.ret(&[]);
            m.add(b);
        }
        let public: Vec<&str> = names.iter().map(String::as_str).collect();
        let loaded = load_module(m, &target, &public);
        for (f, name) in MathFn::ALL.iter().zip(&names) {
            let run = function!(loaded, name, extern "C" fn(*const f64, *mut f64, usize));
            let mut ys = vec![0f64; xs.len()];
            run(xs.as_ptr(), ys.as_mut_ptr(), xs.len());
            for (x, y) in xs.iter().zip(&ys) {
                let e = reference(*f, *x);
                if e.is_nan() || e.is_infinite() {
                    // gelu(−inf) is −inf · 0.
                    let both = e.is_nan() && y.is_nan() || e == *y;
                    assert!(both || *f == MathFn::Gelu, "{f:?} {:?}: {x:e} -> {y:e}, expected {e:e}", target.isa);
                    continue;
                }
                // Relative, but absolute near the zeros that cancellation makes (digamma, gelu's left tail).
                let scale = match f {
                    MathFn::Gelu => e.abs().max(x.abs()),
                    MathFn::Digamma | MathFn::Lgamma => e.abs().max(1.0),
                    _ => e.abs(),
                };
                let error = (y - e).abs();
                assert!(error <= 2e-13 * scale + 1e-300, "{f:?} {:?}: {x:e} -> {y:e}, expected {e:e}", target.isa);
            }
        }
    }
}
