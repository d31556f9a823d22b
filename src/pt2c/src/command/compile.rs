//! `pt2c compile`: a .pt2 file becomes a static library and a header.

use super::{MessageFormat, Outcome, settings};
use crate::compile::{self, Compiled, Settings};
use crate::decompositions::Decompositions;
use crate::entries::{self, Entry};
use crate::precision;
use crate::specialize::Specialize;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pt2c_ir::Diagnostic;
use pt2c_library::WeightsPlacement;
use pt2c_native::program::Keep;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of `pt2c compile`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program (`torch.export.save`); of several, each is its own functions in one library
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Take one call of a module as the program (`encoder`, `encoder@1`; see `pt2c inspect --modules`); of several, each is
    /// its own functions in one library. NAME=MODULE gives it another name, NAME= names the whole program
    #[arg(long, value_name = "[NAME=]MODULE")]
    entry: Vec<String>,
    #[command(flatten)]
    decompositions: Decompositions,
    #[command(flatten)]
    specialize: Specialize,
    /// Folder for libNAME.a, NAME.h, NAME.pc and NAMEConfig.cmake; made if it is missing
    #[arg(short, long, default_value = "out")]
    output: PathBuf,
    /// Name of the library and prefix of everything it exports [default: the first file's name]
    #[arg(long)]
    name: Option<String>,
    /// Processor to generate code for: native (this machine), x86-64 (any), x86-64-v3 (AVX2), x86-64-v4 (AVX-512), or
    /// LLVM's name of one (haswell, znver4, sapphirerapids …)
    #[arg(long, default_value = "native")]
    cpu: String,
    /// Where the weights go: into the library, or into NAME.weights beside it, which is mapped at start
    #[arg(long, value_enum, default_value = "embed")]
    weights: WeightsFlag,
    #[command(flatten)]
    precision: precision::Flags,
    /// Also write the interface for another language: NAME.hpp (C++20), NAME.rs or NAME.py (repeatable)
    #[arg(long, value_enum)]
    bindings: Vec<Bindings>,
    /// Also write these intermediate forms into the output folder (repeatable)
    #[arg(long, value_enum)]
    emit: Vec<Emit>,
    /// Write the program after every phase into this folder
    #[arg(long, value_name = "FOLDER")]
    dump_phases: Option<PathBuf>,
    /// Print the program after this phase (repeatable; `all` for every one)
    #[arg(long, value_name = "PHASE")]
    print_after: Vec<String>,
    /// Print for every primitive the rules that made it from the exported program
    #[arg(long)]
    explain: bool,
    /// Stop rewriting after this many applications of rules, to find by bisection the one that goes wrong
    #[arg(long, value_name = "N")]
    stop_after_rewrite: Option<usize>,
    /// Sum convolutions tap by tap, without Winograd's transforms: slower, and weights stay at their size
    #[arg(long)]
    direct_convolutions: bool,
    /// Sum large matrix products element by element, without Strassen's recombination: slower
    #[arg(long)]
    direct_products: bool,
    /// Print how long each phase took
    #[arg(long)]
    timings: bool,
    /// How progress, warnings and errors are told: for people, or as one JSON object a line on standard error
    #[arg(long, value_enum, default_value = "human")]
    pub message_format: MessageFormat,
    /// No progress bar, no summary
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum WeightsFlag {
    Embed,
    File,
}

/// Languages other than C.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Bindings {
    Cpp,
    Rust,
    Python,
}

/// Intermediate forms behind the graph phases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Emit {
    /// Kernel IR
    Kernel,
    /// MLIR, one file a unit
    Mlir,
    /// Optimised LLVM IR
    Llvm,
    /// Assembly
    Asm,
}

/// Text of intermediate forms goes to these places.
struct Dumps<'a> {
    flags: &'a Flags,
    /// Name of the program, if the library has several.
    entry: &'a str,
    started: Instant,
    timings: Vec<(&'static str, f64)>,
}

impl Dumps<'_> {
    fn after(&mut self, phase: &'static str, text: &dyn Fn() -> String) -> Result<(), Diagnostic> {
        self.timings.push((phase, self.started.elapsed().as_secs_f64()));
        if self.flags.print_after.iter().any(|p| p == phase || p == "all") {
            println!("// after {phase}\n{}", text());
        }
        if let Some(folder) = &self.flags.dump_phases {
            let at = self.timings.len();
            write(&folder.join(self.entry).join(format!("{at:02}_{phase}.txt")), text().as_bytes())?;
        }
        self.started = Instant::now();
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|e| Diagnostic::error(format!("cannot write {}: {e}", path.display())))
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let phases: Vec<&str> = crate::pipeline::names().collect();
    if let Some(unknown) = flags.print_after.iter().find(|p| *p != "all" && !phases.contains(&p.as_str())) {
        return Err(Diagnostic::error(format!("there is no phase `{unknown}`"))
            .help(format!("the phases are: {}", phases.join(", "))));
    }
    let keep = Keep { llvm: flags.emit.contains(&Emit::Llvm), asm: flags.emit.contains(&Emit::Asm) };
    let first = flags.models.first().map_or(Path::new("model"), PathBuf::as_path);
    let mut settings = settings(first, flags.name.as_deref(), &flags.cpu, keep)?;
    settings.rewrite.stop_after = flags.stop_after_rewrite;
    settings.lower.winograd = !flags.direct_convolutions;
    settings.lower.strassen = !flags.direct_products;
    flags.precision.apply(&mut settings);
    let library = settings.name.clone();
    let begun = Instant::now();
    let entries = entries::open(&flags.models, &flags.entry, &flags.decompositions)?;
    std::fs::create_dir_all(&flags.output)
        .map_err(|e| Diagnostic::error(format!("cannot make the folder {}: {e}", flags.output.display())))?;
    let (mut timings, mut differences) = (Vec::new(), Vec::new());
    let mut parts = Vec::new();
    let mut kernels = 0;
    for entry in &entries {
        flags.message_format.show(&entry.imported.warnings);
        if !entry.name.is_empty() {
            settings.name = format!("{library}_{}", entry.name);
        }
        let mut dumps = Dumps { flags, entry: &entry.name, started: Instant::now(), timings: Vec::new() };
        settings.variants = flags.specialize.variants(&entry.imported.program)?;
        let compiled = one(flags, entry, &settings, &mut dumps)?;
        kernels += compiled.kernels.kernels.len();
        let (mut spec, weights) = compiled.describe(&settings)?;
        compile::tell_forward(&mut spec, &entry.imported.forward);
        if !flags.quiet {
            differences.extend(flags.precision.measure(&entry.imported.program, &compiled, &settings)?);
        }
        timings.push((settings.name.clone(), dumps.timings));
        parts.push((spec, compiled.members(&settings), weights));
    }
    let placement = match flags.weights {
        WeightsFlag::Embed => WeightsPlacement::Embedded,
        WeightsFlag::File => WeightsPlacement::File,
    };
    let provided: BTreeSet<String> =
        parts.iter().flat_map(|(spec, ..)| spec.functions.iter().map(|function| function.name.clone())).collect();
    write_bindings(flags, &library, &parts.iter().map(|(spec, ..)| spec).collect::<Vec<_>>())?;
    let parts = parts.iter_mut().map(|(spec, code, weights)| pt2c_library::Entry {
        spec,
        code: std::mem::take(code),
        weights: std::mem::take(weights),
    });
    let files = pt2c_library::write_entries(&library, parts.collect(), placement, &flags.output)
        .map_err(|e| Diagnostic::error(e.to_string()))?;
    if flags.timings {
        for (name, phases) in &timings {
            if timings.len() > 1 {
                eprintln!("{name}");
            }
            for (phase, seconds) in phases {
                eprintln!("{phase:>16} {:8.1} ms", seconds * 1e3);
            }
        }
    }
    if !flags.quiet {
        let size = |p: &Path| std::fs::metadata(p).map_or(0, |m| m.len());
        let total = size(&files.archive) + files.weights.as_deref().map_or(0, size);
        let programs = if entries.len() > 1 { format!("{} programs, ", entries.len()) } else { String::new() };
        println!(
            "{} and {}: {programs}{kernels} kernels for {}, {:.1} MB of which {:.1} MB weights, in {:.1} s",
            files.archive.display(),
            files.header.display(),
            settings.target.cpu,
            total as f64 / 1e6,
            files.weights_size as f64 / 1e6,
            begun.elapsed().as_secs_f64()
        );
        for difference in &differences {
            println!("{difference}");
        }
        if !provided.is_empty() {
            let names: Vec<&str> = provided.iter().map(String::as_str).collect();
            println!("custom operators that your program has to define: {}", names.join(", "));
        }
    }
    Ok(())
}

/// Writes the bindings that the flags ask for.
fn write_bindings(flags: &Flags, library: &str, specs: &[&pt2c_library::LibrarySpec]) -> Outcome {
    for binding in &flags.bindings {
        let (text, suffix) = match binding {
            Bindings::Cpp => (pt2c_library::cpp(library, specs), "hpp"),
            Bindings::Rust => (pt2c_library::rust(library, specs), "rs"),
            Bindings::Python => (Ok(pt2c_library::python(library, specs)), "py"),
        };
        let text = text.map_err(|e| Diagnostic::error(e.to_string()))?;
        write(&flags.output.join(format!("{library}.{suffix}")), text.as_bytes())?;
    }
    Ok(())
}

/// Compiles one program and writes the intermediate forms that the flags ask for.
fn one(flags: &Flags, entry: &Entry, settings: &Settings, dumps: &mut Dumps<'_>) -> Result<Compiled, Diagnostic> {
    let program = &entry.imported.program;
    dumps.after("import", &|| pt2c_ir::text::print(program))?;
    let json = flags.message_format == MessageFormat::Json;
    let bar = if flags.quiet || json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(
        ProgressStyle::with_template("{msg:>14} [{bar:32}] {pos}/{len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message("optimising");
    let compiled = compile::compile(
        program,
        settings,
        &mut |phase, program| dumps.after(phase.name, &|| pt2c_ir::text::print(program)),
        &|done, of| {
            if json {
                eprintln!("{}", serde_json::json!({"progress": {"done": done, "of": of}}));
            }
            bar.set_message("generating code");
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        },
    )?;
    bar.finish_and_clear();
    if flags.explain {
        for line in pt2c_passes::rewrite::explain(&compiled.rewriting) {
            println!("{line}");
        }
    }
    dumps.after("lower", &|| pt2c_kernel::print(&compiled.kernels))?;
    let file = |suffix: &str| flags.output.join(format!("{}{suffix}", settings.name));
    if flags.emit.contains(&Emit::Kernel) {
        write(&file(".kernels.txt"), pt2c_kernel::print(&compiled.kernels).as_bytes())?;
    }
    for (i, (unit, code)) in compiled.code.lowered.units.iter().zip(&compiled.code.units).enumerate() {
        if flags.emit.contains(&Emit::Mlir) {
            write(&file(&format!(".{i}.mlir")), unit.mlir.as_bytes())?;
        }
        for (text, suffix) in [(&code.llvm, "ll"), (&code.asm, "s")] {
            if let Some(text) = text {
                write(&file(&format!(".{i}.{suffix}")), text.as_bytes())?;
            }
        }
    }
    Ok(compiled)
}
