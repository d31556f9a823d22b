//! `pt2c run`: executes a program on tensors from files, compiled or in the reference interpreter.

use super::{Outcome, settings, show_warnings};
use crate::specialize::Specialize;
use crate::tensors::{self, Stored, Tensors};
use crate::{compile, decompositions, execute, leaves};
use clap::Args;
use pt2c_native::program::Keep;
use pt2c_ops::Tensor;
use std::path::PathBuf;

/// Flags of `pt2c run`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    source: compile::Source,
    #[command(flatten)]
    specialize: Specialize,
    /// Inputs: FILE.safetensors (tensors named by argument or by leaf position: 0000, 0001 …), FILE.npy, or NAME=FILE.npy
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// Where the outputs go, named by leaf position (.safetensors, or .npy for a single one)
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Run in the reference interpreter instead of compiled code
    #[arg(long)]
    oracle: bool,
    /// Write the user inputs that the program changed, after the call
    #[arg(long, value_name = "FILE")]
    inputs_after: Option<PathBuf>,
    /// Start from these buffers instead of the ones in the archive, by name
    #[arg(long, value_name = "FILE")]
    state_in: Option<PathBuf>,
    /// Write the buffers that the program changed, by name
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
    /// Threads that the call uses; 0 = one for each processor
    #[arg(long, default_value_t = 1)]
    threads: u32,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let imported = flags.source.open(&flags.model)?;
    show_warnings(&imported.warnings);
    let program = imported.program;
    decompositions::no_custom(&program)?;
    let inputs = leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?;
    let mut state = Tensors::new();
    if let Some(path) = &flags.state_in {
        tensors::read(&path.to_string_lossy(), &mut state)?;
    }
    let results = if flags.oracle {
        execute::oracle(&program, &inputs, &state)?
    } else {
        let mut settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
        settings.variants = flags.specialize.variants(&program)?;
        let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
        let mut instance = execute::instance(&compiled, &settings, flags.threads)?;
        execute::call(&program, &mut instance, &inputs, &state)?
    };
    if let Some(path) = &flags.outputs {
        tensors::write(path, &results.outputs)?;
    } else {
        for (name, t) in &results.outputs {
            println!("{name}: {}{:?} {}", t.dtype, t.shape, summary(t));
        }
    }
    if let Some(path) = &flags.inputs_after {
        tensors::write(path, &results.inputs_after)?;
    }
    if let Some(path) = &flags.state_out {
        tensors::write(path, &results.state)?;
    }
    Ok(())
}

/// The first elements.
fn summary(t: &Stored) -> String {
    let Ok(tensor) = Tensor::from_bytes(t.dtype, &t.shape, &t.bytes) else { return String::new() };
    let shown: Vec<String> = (0..tensor.numel().min(8))
        .map(|i| match tensor.get(i) {
            pt2c_ops::Scalar::Float(x) => format!("{x:.6}"),
            pt2c_ops::Scalar::Int(x) => x.to_string(),
            pt2c_ops::Scalar::Bool(x) => x.to_string(),
            pt2c_ops::Scalar::Complex(x) => x.to_string(),
        })
        .collect();
    format!("[{}{}]", shown.join(", "), if tensor.numel() > 8 { ", …" } else { "" })
}
