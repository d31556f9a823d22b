//! `pt2c check`: every problem of a program at once.

use super::Outcome;
use crate::check;
use clap::{Args, ValueEnum};
use pt2c_ir::Diagnostic;
use std::path::PathBuf;

/// Flags of `pt2c check`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the report to a file instead
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// One page for a browser
    Html,
}

/// Runs the command. The exit code is 1 if the program does not compile.
pub fn run(flags: &Flags) -> Outcome {
    let report = check::check_file(&flags.model);
    let text = match flags.format {
        Format::Text => check::text(&report),
        Format::Json => format!("{:#}\n", check::json(&report)),
        Format::Html => check::html(&report),
    };
    match &flags.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Diagnostic::error(format!("cannot write {}: {error}", path.display())))?,
        None => print!("{text}"),
    }
    if report.passes() {
        return Ok(());
    }
    Err(Diagnostic::error(format!("{} does not compile", report.file)))
}
