//! `pt2c bench`: how long a call takes, beside what the machine could do, and with `--profile` where the time goes.

use super::{Outcome, settings};
use crate::compile::{self, Compiled, Settings};
use crate::profile::{self, Profile};
use crate::specialize::Specialize;
use crate::{execute, leaves, pipeline, precision, tensors};
use clap::Args;
use pt2c_ir::{Diagnostic, Program};
use pt2c_native::machine;
use pt2c_native::program::Keep;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Flags of `pt2c bench`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    specialize: Specialize,
    /// Inputs, as for `pt2c run`
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
    #[command(flatten)]
    precision: precision::Flags,
    /// Threads that a call uses; 0 = one for each processor
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Calls to time, after a tenth as many to warm up
    #[arg(long, default_value_t = 100)]
    iterations: usize,
    /// Also show where the time goes, by kernel: compiled with clock readings around each
    #[arg(long)]
    profile: bool,
    /// Write the kernels of one call as a trace for chrome://tracing or Perfetto
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compiles with clock readings around each kernel.
fn compile_marked(program: &Program, settings: &Settings) -> Result<Compiled, Diagnostic> {
    let (mut program, rewriting) = pipeline::run_with(program, &settings.rewrite, &mut |_, _| Ok(()))?;
    let mut kernels = pt2c_kernel::lower::lower_with(&program, settings.lower)?;
    profile::add_marks(&mut program, &mut kernels).map_err(|e| Diagnostic::error(e.to_string()))?;
    let code = compile::generate(&kernels, settings, &|_, _| {})?;
    Ok(Compiled { program, kernels, code, rewriting })
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let program = compile::open(&flags.model)?.program;
    let inputs = leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?;
    let mut settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    flags.precision.apply(&mut settings);
    settings.variants = flags.specialize.variants(&program)?;
    let begun = Instant::now();
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let seconds = begun.elapsed().as_secs_f64();
    let fail = |e: pt2c_native::library::RunError| Diagnostic::error(e.to_string());
    let values = execute::values(&inputs)?;
    let mut instance = execute::instance(&compiled, &settings, flags.threads)?;
    instance.run_repeatedly(&values, flags.iterations.div_ceil(10)).map_err(fail)?;
    let (_, mut times) = instance.run_repeatedly(&values, flags.iterations).map_err(fail)?;
    drop(instance);
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (min, median, high) = (at(0.0), at(0.5), at(0.9));
    let machine = machine::measure(&settings.target).map_err(compile::native_error)?;
    let threads = match flags.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        n => n,
    };
    let measured = flags.profile || flags.trace.is_some();
    let profile = if measured || profile::needs_marks(&compiled.kernels) {
        let runs = if measured { flags.iterations.max(1) } else { 1 };
        let marked = compile_marked(&program, &settings)?;
        let mut instance = execute::instance(&marked, &settings, flags.threads)?;
        instance.run_repeatedly(&values, runs).map_err(fail)?;
        Profile::read(&marked, &instance.state().map_err(fail)?, runs, machine, threads)
    } else {
        Profile::read(&compiled, &[], 1, machine, threads)
    };
    if let Some(path) = &flags.trace {
        std::fs::write(path, profile.trace()).map_err(|e| Diagnostic::error(format!("{}: {e}", path.display())))?;
    }
    let (operations, bytes) = (profile.operations() / median, profile.bytes() / median);
    let peak = machine.operations * f64::from(threads);
    if flags.json {
        let mut report = json!({
            "min_ms": min * 1e3, "median_ms": median * 1e3, "p90_ms": high * 1e3, "iterations": times.len(),
            "threads": threads, "compile_s": seconds, "operations": profile.operations(), "bytes": profile.bytes(),
            "peak_operations_per_s": peak, "read_bytes_per_s": machine.read_bytes,
        });
        if let (true, Some(report)) = (flags.profile, report.as_object_mut()) {
            report.insert("kernels".to_string(), profile.json());
        }
        println!("{report}");
        return Ok(());
    }
    println!(
        "median {:.4} ms, least {:.4} ms, 90 % below {:.4} ms, of {} calls",
        median * 1e3,
        min * 1e3,
        high * 1e3,
        times.len()
    );
    println!(
        "{:.2} GFLOP/s, {:.0} % of the {:.0} that {threads} thread(s) reach here; {:.2} GB/s between kernels and memory, \
         one thread reads {:.1}",
        operations / 1e9,
        100.0 * operations / peak,
        peak / 1e9,
        bytes / 1e9,
        machine.read_bytes / 1e9
    );
    if flags.profile {
        print!("\n{}", profile.table());
    }
    Ok(())
}
