//! MLIR text → a verified module → the LLVM dialect.

use crate::error::NativeError;
use melior::Context;
use melior::diagnostic::{Diagnostic, DiagnosticSeverity};
use melior::dialect::DialectRegistry;
use melior::ir::Module;
use melior::pass::PassManager;
use melior::utility::{
    parse_pass_pipeline, register_all_dialects, register_all_llvm_translations, register_all_passes,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;

/// The conversions from `scf`, `memref`, `vector`, `math`, `arith`, `func` to the LLVM dialect. Buffers become bare
/// pointers.
const PIPELINE: &str = "builtin.module(canonicalize,cse,convert-scf-to-cf,convert-vector-to-llvm,convert-math-to-llvm,\
convert-arith-to-llvm,finalize-memref-to-llvm,convert-func-to-llvm{use-bare-ptr-memref-call-conv=1},convert-cf-to-llvm,\
reconcile-unrealized-casts)";

/// What MLIR said about a module, with the line it spoke of.
#[derive(Clone, Debug, Default)]
struct Said {
    message: String,
    line: usize,
}

/// An MLIR context with every dialect registered and its diagnostics kept.
pub(crate) struct Session {
    context: Context,
    said: Rc<RefCell<Option<Said>>>,
}

impl Session {
    pub(crate) fn new() -> Session {
        static PASSES: Once = Once::new();
        PASSES.call_once(register_all_passes);
        let registry = DialectRegistry::new();
        register_all_dialects(&registry);
        let context = Context::new_with_registry(&registry, false);
        register_all_llvm_translations(&context);
        let said = Rc::new(RefCell::new(None));
        let sink = Rc::clone(&said);
        context.attach_diagnostic_handler(move |d| {
            // Errors beyond the first are its consequences; remarks and warnings are no one's concern.
            if matches!(d.severity(), DiagnosticSeverity::Error) {
                sink.borrow_mut().get_or_insert_with(|| describe(&d));
            }
            true
        });
        Session { context, said }
    }

    /// Parses and verifies a module.
    pub(crate) fn parse(&self, text: &str) -> Result<Module<'_>, NativeError> {
        Module::parse(&self.context, text).ok_or_else(|| self.error("parse", text))
    }

    /// Lowers a module to the LLVM dialect, in place.
    pub(crate) fn lower(&self, module: &mut Module<'_>, text: &str) -> Result<(), NativeError> {
        let passes = PassManager::new(&self.context);
        passes.enable_verifier(cfg!(debug_assertions));
        parse_pass_pipeline(passes.as_operation_pass_manager(), PIPELINE).map_err(|_| self.error("pipeline", text))?;
        passes.run(module).map_err(|_| self.error("lowering", text))
    }

    /// The module as an LLVM module in `llvm`.
    pub(crate) fn translate<'l>(
        &self,
        module: &Module<'_>,
        llvm: &'l inkwell::context::Context,
        text: &str,
    ) -> Result<inkwell::module::Module<'l>, NativeError> {
        // SAFETY: the operation is alive for the call, `llvm.raw()` is a live LLVM context, and both libraries are the
        // same LLVM 22; the returned module belongs to that context and to nobody else.
        let raw = unsafe {
            mlir_sys::mlirTranslateModuleToLLVMIR(
                module.as_operation().to_raw(),
                llvm.raw().cast::<mlir_sys::LLVMOpaqueContext>(),
            )
        };
        if raw.is_null() {
            return Err(self.error("translation", text));
        }
        // SAFETY: `raw` is a fresh module that nobody else owns; inkwell disposes of it.
        Ok(unsafe { inkwell::module::Module::new(raw.cast::<inkwell::llvm_sys::LLVMModule>()) })
    }

    /// What MLIR last said, as an error.
    fn error(&self, phase: &'static str, text: &str) -> NativeError {
        let said = self.said.borrow_mut().take().unwrap_or_default();
        let message = if said.message.is_empty() { "no reason given".to_string() } else { said.message };
        let line_text = said.line.checked_sub(1).and_then(|k| text.lines().nth(k)).unwrap_or_default().to_string();
        NativeError::Mlir { phase, message, line: said.line, text: line_text }
    }
}

fn describe(d: &Diagnostic<'_>) -> Said {
    let mut message = d.to_string();
    for k in 0..d.note_count() {
        if let Ok(note) = d.note(k) {
            message.push_str("; ");
            message.push_str(&note.to_string());
        }
    }
    // A location prints as loc("-":LINE:COLUMN).
    let place = d.location().to_string();
    let line = place.split(':').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    Said { message, line }
}
