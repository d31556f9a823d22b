//! The primitives: what everything is decomposed into and what lowering understands.
//!
//! They are strict. Operands of an elementwise primitive have one dtype and broadcast from the right; casts are
//! nodes; a number enters through `prim.constant`; dimension numbers and indices are never negative. Results are
//! row-major. f16 and bf16 compute in f32 and round once.

mod attention;
mod contraction;
mod control;
mod convolution;
pub mod custom;
mod elementwise;
mod indexing;
mod random;
mod recurrent;
mod reduction;
pub mod routine;
mod shape;
mod windows;

use crate::OpDef;

pub(crate) use elementwise::{div_trunc, nextafter};
pub(crate) use random::draw;
pub(crate) use reduction::{arg_extreme, prefix, reduce, sorted};

/// All primitive families.
pub const FAMILIES: &[&[OpDef]] = &[
    elementwise::OPS,
    shape::OPS,
    indexing::OPS,
    reduction::OPS,
    contraction::OPS,
    convolution::OPS,
    attention::OPS,
    recurrent::OPS,
    windows::OPS,
    random::OPS,
    routine::OPS,
    custom::OPS,
    control::OPS,
];
