//! What this machine can do at most: the yardsticks beside which a profile puts kernels. Measured, not looked up, with
//! code for the same target as the kernels.

use crate::builder::{Elem, Func, Module, Type, Val};
use crate::{Loaded, NativeError, Options, Target, compile_module};
use std::time::{Duration, Instant};

/// The greatest rates of one thread.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// f32 multiply-adds from registers, each counted as two operations, per second.
    pub operations: f64,
    /// Bytes read from memory that no cache holds, per second.
    pub read_bytes: f64,
    /// Rate of the counter that [`ticks`] reads, per second.
    pub ticks: f64,
}

/// The processor's running counter, as generated code reads it. 0 where there is none.
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the counter.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Independent sums: more than latency times throughput of any multiplier.
const SUMS: u32 = 12;
/// Rounds of one measurement of arithmetic: about a millisecond.
const ROUNDS: usize = 200_000;
/// Floats of the memory that is read: beyond the last-level cache of most machines.
const FLOATS: usize = 32 << 20;
/// How long each rate is measured; the best of the measurements counts.
const PATIENCE: Duration = Duration::from_millis(300);

/// `multiply(n, out)`: n rounds of [`SUMS`] multiply-adds; the sums go to `out`, so that they are needed.
fn multiply(target: &Target) -> Func<'_> {
    let mut b = Func::new(target, "multiply").public();
    let (n, out) = (b.param(Type::INDEX), b.param(Type::buffer(Elem::F32)));
    let (zero, one) = (b.index(0), b.index(1));
    let ty = Type::of_lanes(target.lanes, Elem::F32);
    let factor = b.vload(out, zero, target.lanes);
    let init: Vec<Val> = (0..SUMS).map(|k| b.float(ty, f64::from(k))).collect();
    let (scope, _, sums) = b.begin_for(zero, n, one, &init);
    let next: Vec<Val> = sums.iter().map(|sum| b.mul_add(*sum, factor, factor)).collect();
    let sums = b.end_for(scope, &next);
    for (k, sum) in sums.iter().enumerate() {
        let at = b.index(k as i64 * i64::from(target.lanes));
        b.vstore(*sum, out, at);
    }
    b.ret(&[]);
    b
}

/// `read(n, from, out)`: adds up n floats, a multiple of eight vectors.
fn read(target: &Target) -> Func<'_> {
    let mut b = Func::new(target, "read").public();
    let (n, from, out) = (b.param(Type::INDEX), b.param(Type::buffer(Elem::F32)), b.param(Type::buffer(Elem::F32)));
    let lanes = i64::from(target.lanes);
    let (lo, step) = (b.index(0), b.index(8 * lanes));
    let zero = b.zero(Type::of_lanes(target.lanes, Elem::F32));
    let (scope, i, sums) = b.begin_for(lo, n, step, &[zero; 8]);
    let next: Vec<Val> = (0i64..)
        .zip(&sums)
        .map(|(k, sum)| {
            let at = b.add_const(i, k * lanes);
            let v = b.vload(from, at, target.lanes);
            b.addf(*sum, v)
        })
        .collect();
    let sums = b.end_for(scope, &next);
    for (k, sum) in (0i64..).zip(&sums) {
        let at = b.index(k * lanes);
        b.vstore(*sum, out, at);
    }
    b.ret(&[]);
    b
}

/// The least seconds of `call`, repeated for a while.
fn least(mut call: impl FnMut()) -> f64 {
    let (begun, mut least) = (Instant::now(), f64::INFINITY);
    while begun.elapsed() < PATIENCE {
        let once = Instant::now();
        call();
        least = least.min(once.elapsed().as_secs_f64());
    }
    least.max(1e-9)
}

/// Measures this machine with code for `target`; takes about a second.
///
/// # Errors
/// If the measuring code cannot be compiled or loaded.
pub fn measure(target: &Target) -> Result<Machine, NativeError> {
    let mut module = Module::new();
    module.add(multiply(target));
    module.add(read(target));
    let options = Options { public: vec!["multiply".into(), "read".into()], ..Options::default() };
    let code = Loaded::new(&[compile_module(&module.finish(), target, &options)?.object])?;
    // SAFETY: the functions were written above with exactly these parameters.
    let (multiply, read) = unsafe {
        (
            std::mem::transmute::<*const (), extern "C" fn(usize, *mut f32)>(code.symbol("multiply")?),
            std::mem::transmute::<*const (), extern "C" fn(usize, *const f32, *mut f32)>(code.symbol("read")?),
        )
    };
    let (clock, counter) = (Instant::now(), ticks());
    let lanes = target.lanes as usize;
    // Below one, so that the sums stay finite.
    let mut out = vec![0.5f32; SUMS as usize * lanes];
    let seconds = least(|| {
        out.fill(0.5);
        multiply(ROUNDS, out.as_mut_ptr());
    });
    let operations = 2.0 * (ROUNDS * SUMS as usize * lanes) as f64 / seconds;
    let memory = vec![1.0f32; FLOATS];
    let read_bytes = 4.0 * FLOATS as f64 / least(|| read(FLOATS, memory.as_ptr(), out.as_mut_ptr()));
    let passed = ticks().wrapping_sub(counter) as f64 / clock.elapsed().as_secs_f64();
    Ok(Machine { operations, read_bytes, ticks: passed.max(1.0) })
}
