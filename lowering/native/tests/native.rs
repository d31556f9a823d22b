//! Generated code, compiled for every instruction set this machine runs and executed in-process. One binary, because
//! each one links all of LLVM.
#![allow(unsafe_code)]

#[path = "native/attention.rs"]
mod attention;
#[path = "native/chain.rs"]
mod chain;
#[path = "native/contractions.rs"]
mod contractions;
#[path = "native/conv.rs"]
mod conv;
#[path = "native/dims.rs"]
mod dims;
#[path = "native/gemm.rs"]
mod gemm;
#[path = "native/harness.rs"]
mod harness;
#[path = "native/loops.rs"]
mod loops;
#[path = "native/math.rs"]
mod math;
#[path = "native/memory.rs"]
mod memory;
#[path = "native/support.rs"]
mod support;
