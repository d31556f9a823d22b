//! Classical routines that loops over buffers describe poorly: factorisations, eigenvalues, special functions defined
//! by iterations, suppression of boxes. A compiled library gets them as an object of its own, if it calls any; the
//! compiler's interpreters call the same code, through [`host`].
//!
//! Every routine is a function over slices, generic over f32 and f64 (those of matrices over complex numbers too), listed once in `table.rs` with the lengths of its
//! buffers. The table makes its exported functions `pt2c_rt_routine_NAME_f32` and `…_f64` (`…_c64`, `…_c128`), which take what a task of the
//! runtime's thread pool takes: `(words, begin, end)`. The words are the addresses of the buffers, then the sizes; a
//! buffer holds its part of every item of a batch one after the other; `begin..end` are the items to be done.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, clippy::too_many_arguments, clippy::many_single_char_names)]

#[cfg(feature = "host")]
extern crate std;

pub mod ctc;
pub mod eigen;
pub mod exponential;
pub mod factor;
#[cfg(feature = "host")]
pub mod host;
pub mod householder;
pub mod real;
pub mod scalar;
pub mod schur;
pub mod singular;
pub mod special;
mod table;
pub mod triangular;
pub mod vision;
