//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

pub mod attention;
mod binary;
pub mod conv;
pub mod einsum;
pub mod embedding_bag;
pub mod index;
mod join;
pub mod linear;
pub mod norm;
mod pad;
pub mod pool;
pub mod rnn;
pub mod scatter;
mod slicing;
pub mod softmax;
pub mod sort;
mod view;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families, one a line.
#[rustfmt::skip]
pub const FAMILIES: &[&[OpDef]] = &[
    attention::OPS,
    binary::OPS,
    conv::OPS,
    einsum::OPS,
    embedding_bag::OPS,
    index::OPS,
    join::OPS,
    linear::OPS,
    norm::OPS,
    pad::OPS,
    pool::OPS,
    rnn::OPS,
    scatter::OPS,
    slicing::OPS,
    softmax::OPS,
    sort::OPS,
    view::OPS,
];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[join::PLANS, pad::PLANS, slicing::PLANS, view::PLANS];
