//! The `pt2c` command.

use clap::{Parser, Subcommand};
use pt2c::command::{self, MessageFormat};
use std::process::ExitCode;

/// Ahead-of-time compiler for PyTorch programs exported with torch.export.
///
/// Save a program in Python:
///
///     torch.export.save(torch.export.export(model.eval(), (example,)), "model.pt2")
///
/// and compile it:
///
///     pt2c compile model.pt2 -o out/
///
/// out/libmodel.a and out/model.h need nothing but libc and libm. Exit codes: 0 done, 1 the program cannot be read,
/// compiled or run (the message says why), 2 wrong usage.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a program to a static library and a C header
    Compile(command::compile::Flags),
    /// Run a program on tensors from files
    Run(command::run::Flags),
    /// Show signature, dimensions, modules, operators and parameters of a program
    Inspect(command::inspect::Flags),
    /// Tell everything that keeps a program from compiling, and what its library will insist on
    Check(command::check::Flags),
    /// Write a program of any PyTorch for the current one, as it is or made functional
    Convert(command::convert::Flags),
    /// Run named passes over a program in text form
    Opt(command::opt::Flags),
    /// Compare the compiled program with the reference interpreter and with recorded outputs, at several sizes
    Verify(command::verify::Flags),
    /// Find the first node on which compiled code and reference interpreter differ
    Compare(command::compare::Flags),
    /// Time calls of the compiled program
    Bench(command::bench::Flags),
    /// Run many programs in one process (for the conformance runner)
    #[command(hide = true)]
    Batch(command::batch::Flags),
}

fn main() -> ExitCode {
    pt2c_native::return_large_blocks();
    let command = Cli::parse().command;
    let format = match &command {
        Command::Compile(flags) => flags.message_format,
        _ => MessageFormat::Human,
    };
    let result = match command {
        Command::Compile(flags) => command::compile::run(&flags),
        Command::Run(flags) => command::run::run(&flags),
        Command::Inspect(flags) => command::inspect::run(&flags),
        Command::Check(flags) => command::check::run(&flags),
        Command::Convert(flags) => command::convert::run(&flags),
        Command::Opt(flags) => command::opt::run(&flags),
        Command::Verify(flags) => command::verify::run(&flags),
        Command::Compare(flags) => command::compare::run(&flags),
        Command::Bench(flags) => command::bench::run(&flags),
        Command::Batch(flags) => command::batch::run(&flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(diagnostic) => {
            format.show(&[diagnostic]);
            ExitCode::FAILURE
        }
    }
}
