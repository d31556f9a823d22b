//! `pt2c bench`: how long a call takes.

use super::{Outcome, settings};
use crate::{compile, execute, leaves, tensors};
use clap::Args;
use pt2c_ir::Diagnostic;
use pt2c_native::program::Keep;
use std::path::PathBuf;
use std::time::Instant;

/// Flags of `pt2c bench`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    /// Inputs, as for `pt2c run`
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
    /// Threads that a call uses; 0 = one for each processor
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Calls to time, after a tenth as many to warm up
    #[arg(long, default_value_t = 100)]
    iterations: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let program = compile::open(&flags.model)?.program;
    let inputs = leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?;
    let settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    let begun = Instant::now();
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut instance = execute::instance(&compiled, &settings, flags.threads)?;
    let values = execute::values(&inputs)?;
    let fail = |e: pt2c_native::library::RunError| Diagnostic::error(e.to_string());
    instance.run_repeatedly(&values, flags.iterations.div_ceil(10)).map_err(fail)?;
    let (_, mut times) = instance.run_repeatedly(&values, flags.iterations).map_err(fail)?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e3;
    let (min, median, high) = (at(0.0), at(0.5), at(0.9));
    if flags.json {
        println!(
            "{{\"min_ms\": {min}, \"median_ms\": {median}, \"p90_ms\": {high}, \"iterations\": {}, \"threads\": {}, \"compile_s\": {seconds}}}",
            times.len(),
            flags.threads
        );
    } else {
        println!("median {median:.4} ms, least {min:.4} ms, 90 % below {high:.4} ms, of {} calls", times.len());
    }
    Ok(())
}
