//! The runtime inside every compiled library: entry checks, arena, state, weights file, thread pool.
//!
//! It is `no_std`, uses libc alone and is compiled once, when the compiler is built. `pt2c-library` then puts a copy
//! into each archive with its symbols renamed: `pt2c_api_X` becomes the public `NAME_X`, `pt2c_rt_X` the hidden
//! `NAME__rt_X`. It reads the model from the descriptor `pt2c_rt_model` ([`pt2c_abi::Model`]), which the compiler
//! wrote, and trusts it; everything that comes from the caller is checked.
//!
//! | module | job |
//! | --- | --- |
//! | `api` | the exported functions |
//! | `context` | what a context owns; creation and destruction |
//! | `bind` | sizes → symbols → rules → arena, offsets and output shapes |
//! | `call` | one run: pointers, capacities, the entry function, failures |
//! | `pool` | persistent threads that divide a task |
//! | `sort` | stable sorting of lines, for the compiled program
//! | `state` | state saved and loaded |
//! | `weights` | the mapped weights file |
//! | `cpu` | instruction-set check, default thread count |
//! | `view`, `memory`, `message` | slices over the descriptor, allocation, error text |
//! | `libc`, `helgrind` | declarations of the C library, notes for valgrind |
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

mod api;
mod bind;
mod call;
mod context;
mod cpu;
mod helgrind;
mod libc;
mod memory;
mod message;
mod pool;
mod sort;
mod state;
mod view;
mod weights;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `abort` may be called at any time.
    unsafe { libc::abort() }
}
