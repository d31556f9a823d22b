//! Kernel IR as text, for dumps and tests.

use crate::KernelProgram;
use std::fmt::Write;

/// The program as text: buffers, kernels, steps.
pub fn print(program: &KernelProgram) -> String {
    let mut out = String::new();
    for b in &program.buffers {
        let kind = match &b.kind {
            crate::BufferKind::Constant(bytes) => format!("constant of {} bytes", bytes.len()),
            other => format!("{other:?}"),
        };
        let _ = writeln!(out, "buffer {:?}: {} x {}, {kind}", b.name, b.dtype, b.len);
    }
    for k in &program.kernels {
        let _ = writeln!(out, "{k:#?}");
    }
    for s in &program.steps {
        let _ = writeln!(out, "{s:?}");
    }
    out
}
