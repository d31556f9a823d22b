//! What the compiler and the runtime inside every compiled library agree on: the model descriptor (repr(C)), the
//! postfix programs that compute sizes and check rules, the weights file's header, and the CPU feature bits.
//!
//! The crate is `no_std`, has no dependency and contains no `unsafe`: the runtime (`runtime/`) reads these structs
//! from the read-only data that `pt2c-library` wrote into the object. A change of any layout or meaning raises
//! [`ABI_VERSION`].
#![no_std]

pub mod cpu;
pub mod descriptor;
pub mod hash;
pub mod options;
pub mod program;
pub mod weights;

pub use descriptor::*;
pub use options::{Options, Status};
pub use program::{Op, evaluate};

/// Version of everything in this crate; the first 32-bit field after the descriptor's magic number.
pub const ABI_VERSION: u32 = 2;

/// Every buffer of the arena, the state block and the weights starts at a multiple of this many bytes.
pub const ALIGNMENT: u64 = 64;

/// Bytes of a huge page: memory of which much is read starts at a multiple of it, so that whole huge pages can back it.
pub const HUGE_PAGE: u64 = 2 << 20;
