//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

mod binary;
mod einsum;
mod join;
mod linear;
mod pad;
mod slicing;
mod view;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families, one a line.
#[rustfmt::skip]
pub const FAMILIES: &[&[OpDef]] = &[
    binary::OPS,
    join::OPS,
    einsum::OPS,
    linear::OPS,
    pad::OPS,
    slicing::OPS,
    view::OPS,
];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[join::PLANS, pad::PLANS, slicing::PLANS, view::PLANS];
