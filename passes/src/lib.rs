//! The pass pipeline: functions from program to program, each with a precondition that the verifier checks.

#![forbid(unsafe_code)]

pub mod decompose;
