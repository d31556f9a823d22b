//! `pt2c opt`: named passes over text IR.

use super::Outcome;
use clap::Args;
use pt2c_ir::text;
use pt2c_ir::{Diagnostic, Location};
use pt2c_ops::verify::{Stage, verify};
use pt2c_passes::pipeline::Selection;
use std::io::Read;
use std::path::PathBuf;

/// Flags of `pt2c opt`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The program as text IR, as `pt2c inspect --format ir` and `--dump-phases` print it; `-` reads standard input
    file: PathBuf,
    /// Phases to run, in order: normalize, decompose, fold_constants, fuse, assign_layouts; lower as the last prints
    /// kernel IR
    #[arg(long, default_value = "")]
    passes: String,
    /// Only list what the verifier finds in the program
    #[arg(long)]
    verify_only: bool,
    /// What the program is: imported, primitives or fused. Otherwise its operators say
    #[arg(long)]
    stage: Option<String>,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let name = flags.file.display().to_string();
    let source = if name == "-" {
        let mut source = String::new();
        std::io::stdin().read_to_string(&mut source).map(|_| source)
    } else {
        std::fs::read_to_string(&flags.file)
    };
    let source = source.map_err(|e| Diagnostic::error(format!("cannot read `{name}`: {e}")))?;
    let program = text::parse(&source).map_err(|e| {
        let code = source.lines().nth(e.line.saturating_sub(1)).unwrap_or_default().trim().to_string();
        let line = u32::try_from(e.line).unwrap_or(0);
        let place = Location { file: name.clone(), line, code, ..Location::default() };
        Diagnostic::error(format!("column {}: {}", e.column, e.message)).at(Some(&place))
    })?;
    let stage = match &flags.stage {
        Some(name) => Some(Stage::named(name).ok_or_else(|| {
            let known: Vec<&str> = Stage::ALL.iter().map(|(n, _)| *n).collect();
            Diagnostic::error(format!("`{name}` is no stage")).help(format!("the stages are {}", known.join(", ")))
        })?),
        None => None,
    };
    let selection = Selection::parse(&flags.passes)?;
    if flags.verify_only {
        let mut found = verify(&program, stage.unwrap_or_else(|| Stage::of(&program)));
        let Some(last) = found.pop() else {
            println!("nothing found");
            return Ok(());
        };
        for diagnostic in &found {
            eprintln!("{}", crate::render::render(diagnostic));
        }
        return Err(last);
    }
    let result = selection.run(&program, stage)?;
    if selection.lower {
        print!("{}", pt2c_kernel::print(&pt2c_kernel::lower::lower(&result)?));
    } else {
        print!("{}", text::print(&result));
    }
    Ok(())
}
