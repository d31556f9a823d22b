//! The pass pipeline: functions from program to program, each with a precondition that the verifier checks.

#![forbid(unsafe_code)]

pub mod batch;
pub mod check_sizes;
pub mod custom;
pub mod decompose;
pub mod draw;
pub mod fold_constants;
pub mod fuse;
pub mod implement;
pub mod layout;
pub mod normalize;
pub mod pipeline;
pub mod rewrite;
pub mod rules;
pub mod specialize;
pub mod split_complex;
pub mod support;
