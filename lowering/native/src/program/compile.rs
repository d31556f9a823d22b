//! Compiles a program's units on all cores; the result does not depend on their number.

use super::{Lowered, lower};
use crate::{Compiled, NativeError, Options, Target, compile_module};
use pt2c_ir::dim::Symbol;
use pt2c_kernel::KernelProgram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A compiled program.
#[derive(Clone, Debug)]
pub struct CompiledProgram {
    /// The generated code before compilation: its units, the main function's name, the texts of its checks.
    pub lowered: Lowered,
    /// One object for each unit.
    pub units: Vec<Compiled>,
}

/// What to keep of the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Optimised LLVM modules.
    pub llvm: bool,
    /// Assembly.
    pub asm: bool,
}

/// Lowers and compiles a program (see [`lower`]). `progress` is told how many units are done, of how many.
///
/// # Errors
/// As [`lower`] and [`compile_module`]; of several failures, that of the first unit.
pub fn compile(
    program: &KernelProgram,
    symbols: &[Symbol],
    prefix: &str,
    target: &Target,
    keep: Keep,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<CompiledProgram, NativeError> {
    let lowered = lower(program, symbols, prefix, target)?;
    let count = lowered.units.len();
    let results: Vec<Mutex<Option<Result<Compiled, NativeError>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        // The last unit, the main function, is often the largest: begin with it.
        while let Some(k) = count.checked_sub(1 + next.fetch_add(1, Ordering::Relaxed)) {
            let (Some(unit), Some(slot)) = (lowered.units.get(k), results.get(k)) else { break };
            let options = Options {
                public: unit.public.clone(),
                archive_prefix: Some(format!("{prefix}__")),
                keep_llvm: keep.llvm,
                keep_asm: keep.asm,
            };
            let result = compile_module(&unit.mlir, target, &options);
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(result);
            }
            progress(1 + done.fetch_add(1, Ordering::Relaxed), count);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(count);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // MLIR's parser and verifier recurse over nested regions.
            let spawned = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, work);
            if spawned.is_err() {
                break;
            }
        }
        work();
    });
    let mut units = Vec::with_capacity(count);
    for slot in results {
        match slot.into_inner() {
            Ok(Some(result)) => units.push(result?),
            _ => return Err(NativeError::Llvm { message: "a compiling thread ended early".to_string() }),
        }
    }
    Ok(CompiledProgram { lowered, units })
}
