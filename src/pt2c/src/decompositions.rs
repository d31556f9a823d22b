//! Decompositions on the command line: files of rules, operators to keep, and what was done.

use clap::Args;
use pt2c_ir::{Diagnostic, Program};
use pt2c_passes::rules::{Table, run_decompositions};
use std::path::PathBuf;

/// Flags of the commands that take decompositions.
#[derive(Args, Debug, Default)]
pub struct Decompositions {
    /// Replace operators by the rules of this file, tried before all others (the language: docs/decompositions.md)
    #[arg(long, value_name = "FILE")]
    decompositions: Vec<PathBuf>,
    /// Keep this operator although a rule would replace it (aten.linear.default)
    #[arg(long, value_name = "OPERATOR")]
    keep: Vec<String>,
    /// Tell which rule replaced which node
    #[arg(long)]
    explain_decompositions: bool,
}

/// The table that the flags ask for; `None` if they ask for none.
///
/// # Errors
/// A file that cannot be read, or a rule that is wrong.
pub fn table(flags: &Decompositions, default: bool) -> Result<Option<Table>, Diagnostic> {
    if !default && flags.decompositions.is_empty() {
        return Ok(None);
    }
    let mut table = if default { Table::default_decompositions()? } else { Table::empty() };
    for path in flags.decompositions.iter().rev() {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Diagnostic::error(format!("cannot read {}: {error}", path.display())))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        table.prepend(Table::parse(&name, &text)?);
    }
    for op in &flags.keep {
        table.keep(op);
    }
    Ok(Some(table))
}

/// Runs them and tells what was done if the flags ask for it.
///
/// # Errors
/// A rule that does not fit.
pub fn run(program: &Program, table: &Table, flags: &Decompositions) -> Result<Program, Diagnostic> {
    let (program, applied) = run_decompositions(program, table)?;
    if flags.explain_decompositions {
        for one in applied {
            println!("{}: {} by {}", one.node, one.op, one.rule);
        }
    }
    Ok(program)
}
