//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

pub mod attention;
mod binary;
pub mod conv;
pub mod einsum;
mod join;
pub mod linear;
pub mod norm;
mod pad;
pub mod pool;
mod slicing;
pub mod softmax;
mod view;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families, one a line.
#[rustfmt::skip]
pub const FAMILIES: &[&[OpDef]] = &[
    binary::OPS,
    attention::OPS,
    conv::OPS,
    einsum::OPS,
    join::OPS,
    linear::OPS,
    norm::OPS,
    pad::OPS,
    pool::OPS,
    slicing::OPS,
    softmax::OPS,
    view::OPS,
];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[join::PLANS, pad::PLANS, slicing::PLANS, view::PLANS];
