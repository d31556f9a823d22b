//! Compiling: archive → program → phases → kernels → objects. What the commands share.

use crate::decompositions::{self, Decompositions};
use crate::pipeline;
use pt2c_ir::{Diagnostic, Program};
use pt2c_kernel::KernelProgram;
use pt2c_kernel::choose::{Variant, choose};
use pt2c_library::{CompiledObject, LibrarySpec, Weights, WeightsPlacement};
use pt2c_native::program::{CompiledProgram, Keep};
use pt2c_native::{NativeError, Target};
use pt2c_passes::rewrite;
use pt2c_passes::specialize::{Sizes, specialize};
use pt2c_pt2::import::Imported;
use pt2c_pt2::pytree::{TreeKind, TreeSpec};
use std::path::Path;

/// What to compile for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Prefix of everything in the library.
    pub name: String,
    /// The processor.
    pub target: Target,
    /// Which intermediate texts to keep.
    pub keep: Keep,
    /// Limits on the rewriting.
    pub rewrite: rewrite::Options,
    /// Choices of the lowering.
    pub lower: pt2c_kernel::lower::Options,
    /// Sizes that get code of their own, in the order in which they are tried.
    pub variants: Vec<Sizes>,
}

impl Settings {
    /// The defaults: no texts kept, no variants.
    pub fn new(name: impl Into<String>, target: Target) -> Settings {
        Settings {
            name: name.into(),
            target,
            keep: Keep::default(),
            rewrite: Default::default(),
            lower: Default::default(),
            variants: Vec::new(),
        }
    }
}

/// Reads an archive and imports its program.
pub fn open(path: &Path) -> Result<Imported, Diagnostic> {
    let exported = pt2c_pt2::ExportedProgram::open(path)
        .map_err(|e| Diagnostic::error(e.to_string()).about(path.display().to_string()))?;
    pt2c_pt2::import::import(&exported).map_err(Diagnostic::from)
}

/// What to make of an archive before it is compiled.
#[derive(clap::Args, Debug, Default)]
pub struct Source {
    /// Take one call of a module as the program (`encoder`, `encoder@1`; see `pt2c inspect --modules`)
    #[arg(long, value_name = "MODULE")]
    entry: Option<String>,
    #[command(flatten)]
    decompositions: Decompositions,
}

impl Source {
    /// Reads an archive, takes the wanted part of it, imports that, and applies the rules.
    ///
    /// # Errors
    /// As [`open`]; a module that is not there or cannot stand alone; a rule that does not fit.
    pub fn open(&self, path: &Path) -> Result<Imported, Diagnostic> {
        open_entry(path, self.entry.as_deref(), &self.decompositions)
    }
}

/// Reads an archive, takes the call of a module as the program, if one is named, imports that, and applies the rules.
///
/// # Errors
/// As [`Source::open`].
pub fn open_entry(path: &Path, entry: Option<&str>, decompositions: &Decompositions) -> Result<Imported, Diagnostic> {
    let about = |message: String| Diagnostic::error(message).about(path.display().to_string());
    let mut exported = pt2c_pt2::ExportedProgram::open(path).map_err(|e| about(e.to_string()))?;
    if let Some(entry) = entry {
        exported = exported.submodule(entry).map_err(|e| about(e.to_string()))?;
    }
    let custom = decompositions.custom()?;
    let imported = pt2c_pt2::import::import_with_operators(&exported, &custom.operators);
    let mut imported = imported.map_err(Diagnostic::from)?;
    imported.program = decompositions::implemented(imported.program, &custom)?;
    if let Some(table) = decompositions::table(decompositions, false)? {
        imported.program = decompositions::run(&imported.program, &table, decompositions)?;
    }
    Ok(imported)
}

/// A compiled program, before anything is written.
pub struct Compiled {
    /// The program after the last graph phase.
    pub program: Program,
    /// Its kernels, before the target packed constants.
    pub kernels: KernelProgram,
    /// The code.
    pub code: CompiledProgram,
    /// What the rewriting did.
    pub rewriting: rewrite::Log,
}

/// Every error of code generation is a defect of the compiler; say so.
pub fn native_error(error: NativeError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string());
    match error {
        NativeError::UnknownCpu { .. } => diagnostic.help("use --cpu native for this machine"),
        _ => diagnostic
            .help("this is a defect of pt2c: please report it with the model, or with its `pt2c inspect` output"),
    }
}

/// Compiles an imported program. `progress` is told how many units of code are done, of how many.
pub fn compile(
    program: &Program,
    settings: &Settings,
    after: &mut dyn FnMut(&pipeline::Phase, &Program) -> Result<(), Diagnostic>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Compiled, Diagnostic> {
    let imported = program;
    let (program, rewriting) = pipeline::run_with(imported, &settings.rewrite, after)?;
    let kernels = pt2c_kernel::lower::lower_with(&program, settings.lower)?;
    let kernels = with_variants(imported, kernels, settings)?;
    let code = generate(&kernels, settings, progress)?;
    Ok(Compiled { program, kernels, code, rewriting })
}

/// The kernels with those of the variants beside them.
fn with_variants(imported: &Program, kernels: KernelProgram, settings: &Settings) -> Result<KernelProgram, Diagnostic> {
    let variant = |sizes: &Sizes| {
        let special = specialize(imported, sizes)?;
        let (special, _) = pipeline::run_with(&special, &settings.rewrite, &mut |_, _| Ok(()))?;
        let program = pt2c_kernel::lower::lower_with(&special, settings.lower)?;
        Ok(Variant { sizes: sizes.clone(), program })
    };
    choose(kernels, settings.variants.iter().map(variant).collect::<Result<_, Diagnostic>>()?)
}

/// The code of a lowered program.
pub fn generate(
    kernels: &KernelProgram,
    settings: &Settings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<CompiledProgram, Diagnostic> {
    let symbols = pt2c_library::symbols(kernels);
    pt2c_native::program::compile(kernels, &symbols, &settings.name, &settings.target, settings.keep, progress)
        .map_err(native_error)
}

/// Adds to a library's description what only the archive tells of `forward`.
pub fn tell_forward(spec: &mut LibrarySpec, forward: &pt2c_pt2::import::Forward) {
    spec.forward = pt2c_library::Forward {
        arguments: forward.arguments.clone(),
        input_tree: Some(tree(&forward.input_tree)),
        output_tree: Some(tree(&forward.output_tree)),
        floats: forward.floats.clone(),
        bools: forward.bools.clone(),
    };
}

fn tree(spec: &TreeSpec) -> pt2c_library::Tree {
    let fields = match &spec.kind {
        TreeKind::NamedTuple { fields, .. } | TreeKind::Opaque { fields, .. } => fields.clone(),
        _ => Vec::new(),
    };
    pt2c_library::Tree {
        type_name: spec.type_name().map(str::to_owned),
        context: spec.context_text(),
        fields,
        children: spec.children.iter().map(tree).collect(),
    }
}

impl Compiled {
    /// The library's description and weights.
    pub fn describe(&self, settings: &Settings) -> Result<(LibrarySpec, Weights<'static>), Diagnostic> {
        let target = &settings.target;
        let identity = pt2c_library::Identity {
            name: settings.name.clone(),
            description: vec![format!("Compiled from the PyTorch program \"{}\".", self.program.name)],
            cpu: target.cpu.clone(),
            cpu_features: target.instructions(),
            messages: self.code.lowered.messages.clone(),
        };
        pt2c_library::describe(&self.program, &self.code.lowered.program, identity)
            .map_err(|e| Diagnostic::error(e.to_string()))
    }

    /// The generated code as members of the archive.
    pub fn members(&self, settings: &Settings) -> Vec<CompiledObject> {
        let member = |(i, unit): (usize, &pt2c_native::Compiled)| CompiledObject {
            name: format!("{}_{i}.o", settings.name),
            bytes: unit.object.clone(),
        };
        self.code.units.iter().enumerate().map(member).collect()
    }

    /// All objects of the library, weights embedded: what a linker would get.
    pub fn objects(&self, settings: &Settings) -> Result<Vec<CompiledObject>, Diagnostic> {
        let (spec, weights) = self.describe(settings)?;
        pt2c_library::link_objects(&spec, self.members(settings), &weights, WeightsPlacement::Embedded)
            .map_err(|e| Diagnostic::error(e.to_string()))
    }
}
