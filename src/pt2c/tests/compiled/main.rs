//! Programs that are compiled and called within the test, and what is said of them. One binary, because each one links all of LLVM; the recorded
//! programs (`models.rs`) need a binary with a harness of their own.

mod check;
mod conformance;
mod refused_calls;
mod specialize;
