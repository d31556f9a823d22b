//! Programs that are compiled and called within the test. One binary, because each one links all of LLVM; the recorded
//! programs (`models.rs`) need a binary with a harness of their own.

mod conformance;
mod refused_calls;
mod specialize;
