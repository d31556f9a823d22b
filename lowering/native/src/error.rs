//! What can go wrong while code is generated or loaded.

/// An error of code generation. All but [`NativeError::UnknownCpu`] mean a defect in the
/// compiler, not in its input; they are reported, not panicked on.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// A `--cpu` value that names no processor we know.
    #[error("unknown processor `{cpu}`; accepted are: {known}")]
    UnknownCpu {
        /// The name given.
        cpu: String,
        /// The names accepted, comma-separated.
        known: String,
    },
    /// MLIR refused generated text or could not lower it.
    #[error("MLIR {phase} failed: {message}{}", location(*.line, .text))]
    Mlir {
        /// Parse, verify, or lower.
        phase: &'static str,
        /// MLIR's own words, notes included.
        message: String,
        /// The line in the generated text, from 1; 0 if unknown.
        line: usize,
        /// That line.
        text: String,
    },
    /// LLVM refused the module or could not generate code.
    #[error("LLVM: {message}")]
    Llvm {
        /// LLVM's own words.
        message: String,
    },
    /// Generated code would need a symbolic value that has none where it is needed.
    #[error("no value for `{name}` at this place of the generated code")]
    Unbound {
        /// The symbol.
        name: String,
    },
    /// Something that code generation has no form for.
    #[error("code generation does not support {what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A library could not be loaded into this process.
    #[error("the compiled library could not be loaded: {message}")]
    Load {
        /// The linker's own words.
        message: String,
    },
}

fn location(line: usize, text: &str) -> String {
    if line == 0 { String::new() } else { format!("\n  at line {line} of the generated module: {}", text.trim()) }
}
