//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

mod activation;
mod assert;
pub mod attention;
mod binary;
mod compare;
pub mod composite;
pub mod conv;
pub mod creation;
pub mod distance;
mod dtype;
pub mod dynamic;
pub mod einsum;
pub mod embedding_bag;
pub mod fft;
pub mod grid;
pub mod index;
mod join;
pub mod linear;
pub mod loss;
pub mod norm;
mod pad;
pub mod pool;
pub mod quantized;
pub mod random;
pub mod reduction;
pub mod resample;
pub mod rnn;
mod scan;
pub mod scatter;
mod slicing;
pub mod softmax;
pub mod sort;
pub mod statistics;
pub mod stft;
mod ternary;
pub mod unary;
mod view;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families, one a line.
#[rustfmt::skip]
pub const FAMILIES: &[&[OpDef]] = &[
    activation::OPS,
    assert::OPS,
    attention::OPS,
    binary::OPS,
    compare::OPS,
    composite::OPS,
    conv::OPS,
    creation::OPS,
    distance::OPS,
    dtype::OPS,
    dynamic::OPS,
    einsum::OPS,
    embedding_bag::OPS,
    fft::OPS,
    grid::OPS,
    index::OPS,
    join::OPS,
    linear::OPS,
    loss::OPS,
    norm::OPS,
    pad::OPS,
    pool::OPS,
    quantized::OPS,
    random::OPS,
    reduction::OPS,
    resample::OPS,
    rnn::OPS,
    scan::OPS,
    scatter::OPS,
    slicing::OPS,
    softmax::OPS,
    sort::OPS,
    statistics::OPS,
    stft::OPS,
    ternary::OPS,
    unary::OPS,
    view::OPS,
];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[fft::PLANS, join::PLANS, pad::PLANS, slicing::PLANS, view::PLANS];
