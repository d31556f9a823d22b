//! Compiling: archive → program → phases → kernels → objects. What the commands share.

use crate::{assemble, pipeline};
use pt2c_ir::{Diagnostic, Program};
use pt2c_kernel::KernelProgram;
use pt2c_library::{CompiledObject, LibrarySpec, Weights, WeightsPlacement};
use pt2c_native::{NativeError, Options, Target};
use std::path::Path;

/// What to compile for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Prefix of everything in the library.
    pub name: String,
    /// The processor.
    pub target: Target,
}

/// Reads an archive and imports its program.
pub fn open(path: &Path) -> Result<Program, Diagnostic> {
    let exported = pt2c_pt2::ExportedProgram::open(path)
        .map_err(|e| Diagnostic::error(e.to_string()).about(path.display().to_string()))?;
    pt2c_pt2::import::import(&exported)
}

/// Runs the phases on the graph and lowers the result to kernels.
pub fn lower(
    program: &Program,
    after: &mut dyn FnMut(&pipeline::Phase, &Program) -> Result<(), Diagnostic>,
) -> Result<(Program, KernelProgram), Diagnostic> {
    let program = pipeline::run(program, after)?;
    let kernels = pt2c_kernel::lower::lower(&program)?;
    Ok((program, kernels))
}

/// A compiled program, before anything is written.
pub struct Compiled {
    /// The program after the last graph phase.
    pub program: Program,
    /// Its kernels.
    pub kernels: KernelProgram,
    /// The code.
    pub object: CompiledObject,
    /// Texts of the run-time checks.
    pub messages: Vec<String>,
}

/// Every error of code generation is a defect of the compiler; say so.
pub fn native_error(error: NativeError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string());
    match error {
        NativeError::UnknownCpu { .. } => diagnostic.help("use --cpu native for this machine"),
        NativeError::Call { .. } => diagnostic,
        _ => diagnostic.help("this is a defect of pt2c: please report it with the model, or with its `pt2c inspect` output"),
    }
}

/// MLIR text and messages of a program's kernels.
pub fn mlir(
    program: &Program,
    kernels: &mut KernelProgram,
    settings: &Settings,
) -> Result<pt2c_native::program::Lowered, Diagnostic> {
    let symbols = assemble::symbols(program);
    pt2c_native::program::lower(kernels, &symbols, &settings.name, &settings.target).map_err(native_error)
}

/// Compiles an imported program.
pub fn compile(
    program: &Program,
    settings: &Settings,
    after: &mut dyn FnMut(&pipeline::Phase, &Program) -> Result<(), Diagnostic>,
) -> Result<Compiled, Diagnostic> {
    let (program, mut kernels) = lower(program, after)?;
    let lowered = mlir(&program, &mut kernels, settings)?;
    let public = [lowered.main.as_str()];
    let _ = public;
    let compiled =
        pt2c_native::compile_module(&lowered.mlir, &settings.target, &Options::default()).map_err(native_error)?;
    let object = CompiledObject { name: format!("{}_kernels.o", settings.name), bytes: compiled.object };
    Ok(Compiled { program, kernels, object, messages: lowered.messages })
}

impl Compiled {
    /// The library's description and weights.
    pub fn describe(&self, settings: &Settings) -> Result<(LibrarySpec, Weights<'_>), Diagnostic> {
        let cpu = (settings.target.cpu.as_str(), settings.target.features.as_str());
        assemble::assemble(&self.program, &self.kernels, &settings.name, self.messages.clone(), cpu)
    }

    /// All objects of the library, weights embedded: what a linker would get.
    pub fn objects(&self, settings: &Settings) -> Result<Vec<Vec<u8>>, Diagnostic> {
        let (spec, weights) = self.describe(settings)?;
        let objects =
            pt2c_library::link_objects(&spec, vec![self.object.clone()], &weights, WeightsPlacement::Embedded)
                .map_err(|e| Diagnostic::error(e.to_string()))?;
        Ok(objects.into_iter().map(|o| o.bytes).collect())
    }
}
