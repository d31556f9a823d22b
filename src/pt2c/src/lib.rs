//! The driver: what the `pt2c` command does, as a library.

#![forbid(unsafe_code)]

pub mod command;
pub mod compile;
pub mod execute;
pub mod leaves;
pub mod pipeline;
pub mod render;
pub mod tensors;
