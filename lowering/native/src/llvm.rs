//! The LLVM half of the chain: attributes, optimisation, object code.

use crate::error::NativeError;
use crate::mlir::Session;
use crate::target::{TRIPLE, Target};
use inkwell::GlobalVisibility;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{FileType, TargetMachine, TargetTriple};

/// What to generate besides the object.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Functions that other members of the archive call, by name. They get hidden visibility; every other function of
    /// the module becomes local to the object.
    pub public: Vec<String>,
    /// Functions whose name begins so are members of the same archive: calls need no indirection.
    pub archive_prefix: Option<String>,
    /// Keep the optimised LLVM module as text.
    pub keep_llvm: bool,
    /// Keep the assembly text.
    pub keep_asm: bool,
}

/// How the names of the runtime's functions begin: it is a member of the same archive.
const RUNTIME_PREFIX: &[u8] = b"pt2c_rt_";

/// The middle end's pipeline. O3 would add little but copies of whole loop nests, one for each way a test may go.
const PIPELINE: &str = "default<O2>";

/// A compiled module.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// A position-independent ELF object for x86-64 Linux.
    pub object: Vec<u8>,
    /// The optimised LLVM module, if asked for.
    pub llvm: Option<String>,
    /// The assembly, if asked for.
    pub asm: Option<String>,
}

/// Compiles one MLIR module to an object. The result depends on the arguments alone.
///
/// # Errors
/// [`NativeError::Mlir`] with the offending line if MLIR refuses the text, [`NativeError::Llvm`] if LLVM does.
pub fn compile_module(mlir_text: &str, target: &Target, options: &Options) -> Result<Compiled, NativeError> {
    let machine = target.machine()?;
    let context = Context::create();
    let module = {
        let session = Session::new();
        let mut mlir = session.parse(mlir_text)?;
        session.lower(&mut mlir, mlir_text)?;
        session.translate(&mlir, &context, mlir_text)?
    };
    prepare(&module, &context, &machine, target, options);
    module.verify().map_err(llvm_error)?;
    let passes = PassBuilderOptions::create();
    // Kernels come vectorised: what is left scalar is short tails and set-up code, which only grows by these.
    passes.set_loop_vectorization(false);
    passes.set_loop_slp_vectorization(false);
    passes.set_loop_unrolling(true);
    passes.set_loop_interleaving(false);
    module.run_passes(PIPELINE, &machine, passes).map_err(llvm_error)?;
    let object = machine.write_to_memory_buffer(&module, FileType::Object).map_err(llvm_error)?.as_slice().to_vec();
    let llvm = options.keep_llvm.then(|| module.print_to_string().to_string());
    let asm = if options.keep_asm {
        let buffer = machine.write_to_memory_buffer(&module, FileType::Assembly).map_err(llvm_error)?;
        Some(String::from_utf8_lossy(buffer.as_slice()).into_owned())
    } else {
        None
    };
    Ok(Compiled { object, llvm, asm })
}

/// Checks MLIR text without compiling it.
///
/// # Errors
/// [`NativeError::Mlir`] with the offending line.
pub fn check_module(mlir_text: &str) -> Result<(), NativeError> {
    Session::new().parse(mlir_text).map(|_| ())
}

/// Sets the platform, linkage and attributes of every function.
fn prepare(module: &Module<'_>, context: &Context, machine: &TargetMachine, target: &Target, options: &Options) {
    module.set_triple(&TargetTriple::create(TRIPLE));
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let width = target.vector_bits().to_string();
    let strings = [
        ("target-cpu", target.cpu.as_str()),
        ("target-features", target.features.as_str()),
        ("prefer-vector-width", width.as_str()),
        ("no-trapping-math", "true"),
    ];
    let nounwind = Attribute::get_named_enum_kind_id("nounwind");
    for f in module.get_functions() {
        f.add_attribute(AttributeLoc::Function, context.create_enum_attribute(nounwind, 0));
        if f.count_basic_blocks() == 0 {
            let own = options.archive_prefix.as_ref().map_or(RUNTIME_PREFIX, String::as_bytes);
            let name = f.get_name().to_bytes();
            if name.starts_with(RUNTIME_PREFIX) || name.starts_with(own) {
                f.as_global_value().set_visibility(GlobalVisibility::Hidden);
            }
            continue;
        }
        // The middle end learns the processor from these alone.
        for (key, value) in strings {
            if !value.is_empty() {
                f.add_attribute(AttributeLoc::Function, context.create_string_attribute(key, value));
            }
        }
        let public = f.get_name().to_str().is_ok_and(|name| options.public.iter().any(|p| p == name));
        if public {
            f.set_linkage(Linkage::External);
            f.as_global_value().set_visibility(GlobalVisibility::Hidden);
        } else {
            f.set_linkage(Linkage::Internal);
        }
    }
}

fn llvm_error(message: impl std::fmt::Display) -> NativeError {
    NativeError::Llvm { message: message.to_string() }
}
