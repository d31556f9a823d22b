//! `pt2c compare`: the first node on which compiled code and reference interpreter differ, cut out as text IR.

use super::{Outcome, settings, show_warnings};
use crate::verify::{self, Sizes};
use crate::{compile, decompositions, leaves, tensors};
use clap::Args;
use pt2c_ir::Diagnostic;
use pt2c_native::program::Keep;
use std::path::PathBuf;

/// Flags of `pt2c compare`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    source: compile::Source,
    /// Inputs (.safetensors, .npy); made up without
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// Where the reproducer goes: NODE.pt2c, text that `pt2c opt` reads, and NODE.safetensors with its inputs
    #[arg(short, long, default_value = ".")]
    output: PathBuf,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
}

/// Runs the command. The exit code is 1 if there is a difference.
pub fn run(flags: &Flags) -> Outcome {
    let imported = flags.source.open(&flags.model)?;
    show_warnings(&imported.warnings);
    let program = imported.program;
    decompositions::no_custom(&program)?;
    let settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    let inputs = if flags.inputs.is_empty() {
        verify::made_inputs(&program, 0, Sizes::Different)
            .ok_or_else(|| Diagnostic::error("no sizes satisfy the program's rules; give --inputs"))?
    } else {
        leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?
    };
    let Some(culprit) = verify::first_difference(&program, &settings, &inputs)? else {
        println!("no node differs");
        return Ok(());
    };
    let file = |suffix: &str| flags.output.join(format!("{}.{suffix}", culprit.node));
    let text = pt2c_ir::text::print(&culprit.reproducer);
    std::fs::write(file("pt2c"), &text)
        .map_err(|error| Diagnostic::error(format!("cannot write {}: {error}", file("pt2c").display())))?;
    tensors::write(&file("safetensors"), &culprit.inputs)?;
    println!("{text}");
    Err(Diagnostic::error(format!(
        "`{}` ({}) {}",
        culprit.node,
        culprit.op,
        super::verify::describe(&culprit.distance)
    ))
    .note(format!("written to {} and {}", file("pt2c").display(), file("safetensors").display())))
}
