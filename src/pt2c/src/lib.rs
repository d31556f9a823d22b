//! The driver: what the `pt2c` command does, as a library.

#![forbid(unsafe_code)]

pub mod check;
pub mod command;
pub mod compile;
pub mod decompositions;
pub mod entries;
pub mod execute;
pub mod leaves;
pub mod page;
pub mod pipeline;
pub mod precision;
pub mod profile;
pub mod render;
pub mod specialize;
pub mod tensors;
pub mod verify;
pub mod view;
