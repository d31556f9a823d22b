//! `pt2c verify`: the compiled program against the reference interpreter, and against recorded outputs, at several sizes.

use super::{Outcome, settings, show_warnings};
use crate::verify::{self, Distance};
use crate::{compile, decompositions, execute, leaves, tensors};
use clap::Args;
use pt2c_ir::Diagnostic;
use pt2c_native::program::Keep;
use std::path::PathBuf;

/// Flags of `pt2c verify`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    source: compile::Source,
    /// Recorded inputs (.safetensors, .npy); without any, inputs are made up at several sizes
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// What PyTorch returned for them, by leaf position
    #[arg(long, value_name = "FILE", requires = "inputs")]
    outputs: Option<String>,
    /// How many calls to make up
    #[arg(long, default_value_t = 4)]
    calls: usize,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let imported = flags.source.open(&flags.model)?;
    show_warnings(&imported.warnings);
    let program = imported.program;
    decompositions::no_custom(&program)?;
    let settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let mut calls = Vec::new();
    if flags.inputs.is_empty() {
        calls.extend((0..flags.calls).filter_map(|call| verify::made_inputs(&program, call)));
    } else {
        calls.push(leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?);
    }
    if calls.is_empty() {
        return Err(Diagnostic::error("no sizes satisfy the program's rules; give --inputs"));
    }
    let mut failed = 0;
    let mut compared = 0;
    for (number, inputs) in calls.iter().enumerate() {
        // Every call begins with the initial state.
        let mut instance = execute::instance(&compiled, &settings, 1)?;
        let found = execute::call(&program, &mut instance, inputs, &tensors::Tensors::new())?;
        let oracle = execute::oracle(&program, inputs, &tensors::Tensors::new())?;
        let mut lines = verify::distances(&oracle, &found);
        if let Some(path) = &flags.outputs {
            let mut recorded = execute::Results {
                outputs: tensors::Tensors::new(),
                inputs_after: tensors::Tensors::new(),
                state: tensors::Tensors::new(),
            };
            tensors::read(path, &mut recorded.outputs)?;
            lines.extend(
                verify::distances(&recorded, &found).into_iter().map(|(name, d)| (format!("recorded {name}"), d)),
            );
        }
        for (name, distance) in lines {
            compared += 1;
            let within = matches!(&distance, Ok(d) if d.within);
            failed += usize::from(!within);
            println!("call {number}: {name}: {}{}", describe(&distance), if within { "" } else { "  DIFFERENT" });
        }
    }
    println!("{compared} tensors of {} calls compared, {failed} different", calls.len());
    match failed {
        0 => Ok(()),
        _ => {
            Err(Diagnostic::error("the compiled program differs")
                .help("`pt2c compare` looks for the first node that does"))
        }
    }
}

/// A distance in words.
pub fn describe(distance: &Result<Distance, String>) -> String {
    match distance {
        Ok(d) if d.largest == 0.0 => "equal".to_string(),
        Ok(d) => format!("differs by {:.2e} of {:.2e}", d.largest, d.scale),
        Err(why) => why.clone(),
    }
}
