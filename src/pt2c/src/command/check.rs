//! `pt2c check`: every problem of a program at once.

use super::Outcome;
use crate::check;
use crate::decompositions::Schemas;
use clap::{Args, ValueEnum};
use pt2c_ir::Diagnostic;
use std::path::PathBuf;

/// Flags of `pt2c check`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    schemas: Schemas,
    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format html
    #[arg(long, conflicts_with_all = ["format", "json"])]
    html: bool,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
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

/// Runs the command. The exit code is 1 if the program does not compile or cannot be read.
pub fn run(flags: &Flags) -> Outcome {
    let report = check::check_file(&flags.model, &flags.schemas.operators()?);
    let format = match (flags.html, flags.json) {
        (true, _) => Format::Html,
        (_, true) => Format::Json,
        _ => flags.format,
    };
    let text = match format {
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
    let what = if report.is_readable() { "does not compile" } else { "cannot be read" };
    Err(Diagnostic::error(format!("{} {what}", report.file)))
}
