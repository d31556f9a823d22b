//! Kernel IR → MLIR → LLVM → object code for x86-64. The only crate that links LLVM.
//!
//! [`builder`] writes MLIR text, [`compile_module`] turns such text into an object, [`loader`] runs objects in this
//! process, [`target`] is what `--cpu` names.
#![allow(unsafe_code)]

mod allocator;
pub mod builder;
pub mod contraction;
pub mod dims;
pub mod error;
pub mod library;
mod llvm;
pub mod loader;
pub mod loops;
pub mod machine;
pub mod math;
mod mlir;
pub mod program;
pub mod target;

pub use allocator::return_large_blocks;
pub use error::NativeError;
pub use llvm::{Compiled, Options, check_module, compile_module};
pub use loader::Loaded;
pub use target::{Isa, Target};
