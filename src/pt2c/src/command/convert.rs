//! `pt2c convert`: reads a program of any PyTorch and writes it for the current one: as it is, made functional,
//! decomposed, or one of its modules.

use super::{Outcome, show_warnings};
use crate::decompositions::{self, Decompositions};
use clap::Args;
use pt2c_ir::Diagnostic;
use pt2c_pt2::import::import_with_operators;
use pt2c_pt2::{ExportedProgram, export};
use std::path::PathBuf;

/// Flags of `pt2c convert`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program, saved by any PyTorch from 2.1 on
    model: PathBuf,
    /// The archive to write; torch.export.load of PyTorch 2.9 or later reads it
    #[arg(short, long)]
    output: PathBuf,
    /// Turn writes in place into mutation outputs, as run_decompositions({}) does in PyTorch
    #[arg(long)]
    functional: bool,
    /// Replace composite operators by Core ATen ones, as run_decompositions() does in PyTorch
    #[arg(long)]
    decompose: bool,
    #[command(flatten)]
    decompositions: Decompositions,
    /// Write one call of a module as a program of its own (see `pt2c inspect --modules`)
    #[arg(long, value_name = "MODULE")]
    entry: Option<String>,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let mut program = ExportedProgram::open(&flags.model).map_err(Diagnostic::from)?;
    if let Some(entry) = &flags.entry {
        program = program.submodule(entry).map_err(|error| Diagnostic::error(error.to_string()))?;
    }
    let table = decompositions::table(&flags.decompositions, flags.decompose)?;
    if flags.functional || table.is_some() || flags.decompositions.implements() {
        let custom = flags.decompositions.custom()?;
        let imported = import_with_operators(&program, &custom.operators).map_err(Diagnostic::from)?;
        show_warnings(&imported.warnings);
        let functional = decompositions::implemented(imported.program, &custom)?;
        let functional = match &table {
            Some(table) => decompositions::run(&functional, table, &flags.decompositions)?,
            None => functional,
        };
        program = export(&functional, Some(&program)).map_err(|error| Diagnostic::error(error.to_string()))?;
    }
    program.save(&flags.output).map_err(|error| Diagnostic::error(error.to_string()))?;
    println!("{}: {} nodes", flags.output.display(), program.graph().nodes.len());
    Ok(())
}
