//! Kernel IR: what is left of a program when only loops over buffers remain. It knows neither LLVM nor Metal.
//!
//! # Semantics
//!
//! A [`KernelProgram`] is a list of [`Buffer`]s and a list of [`Step`]s that run in order; a step calls a [`Kernel`] on
//! buffers. A kernel is a loop nest over scalars ([`Body::Loops`]), or one of the contractions that targets emit with
//! register tiles of their own ([`Body::Matmul`], [`Body::Convolution`], [`Body::Winograd`], [`Body::Attention`]), or a
//! call of a routine that the runtime brings along ([`Body::Routine`]).
//!
//! * **Sizes and addresses are [`Dim`](pt2c_ir::dim::Dim) expressions**, in elements, over root symbols, loop
//!   variables and integers read from data ([`Stmt::Index`]). Buffers are flat; shapes and strides are gone.
//! * **Loops have scalar semantics.** [`LoopKind`] says what a target may do with them: run iterations in parallel, in
//!   vector lanes, or only in order. What an iteration stores, no other iteration of the same `Parallel` or `Vector`
//!   loop reads or stores.
//! * **Values are pure expressions** ([`Expr`]) with one dtype each. f16 and bf16 exist in buffers only: a load widens
//!   them to f32, a store rounds; [`Expr::Cast`] to them rounds an f32 value and leaves it in f32. `bool` is one
//!   byte, 0 or 1, in buffers.
//! * Addresses are in range whenever the access executes. Where a value is conditional, the access is inside the
//!   branch ([`Expr::Select`] evaluates both sides, [`Expr::Guarded`] only the one it takes).
//! * A symbol that data decide gets its value by [`Step::Bind`]. Buffers whose sizes depend on it exist from then on;
//!   each such symbol ([`Stage`]) has an arena of its own. In a loop it may get a new value, then they are new as well.
//! * Loop-carried values are explicit ([`Carried`]), so that targets keep them in registers.

#![forbid(unsafe_code)]

pub mod choose;
mod contraction;
pub mod interpret;
mod ir;
pub mod lower;
pub mod plan_memory;
mod print;
mod quantize;
pub mod strassen;
mod types;
pub mod verify;
pub mod winograd;
mod work;

pub use contraction::*;
pub use ir::*;
pub use print::{print, print_kernel};
pub use quantize::{WeightType, quantize_weights};
pub use work::{Work, work};
