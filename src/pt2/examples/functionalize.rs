//! Makes a program functional: writes in place become mutation outputs, as `run_decompositions({})` does in PyTorch.
//!
//!     cargo run --package pt2c-pt2 --example functionalize model.pt2 functional.pt2
//!
//! With `--plain` the program is only read and written again.

use std::path::Path;

use pt2c_pt2::{ExportedProgram, export, import};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (plain, files): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| *arg == "--plain");
    let [from, to] = files.as_slice() else {
        return Err("usage: functionalize [--plain] FROM.pt2 TO.pt2".into());
    };
    let program = ExportedProgram::open(Path::new(from))?;
    let written = match plain.is_empty() {
        true => export(&import(&program)?.program, Some(&program))?,
        false => program,
    };
    written.lint()?;
    written.save(Path::new(to))?;
    println!("{to}: {} nodes", written.graph().nodes.len());
    Ok(())
}
