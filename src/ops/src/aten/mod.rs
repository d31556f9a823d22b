//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

mod activation;
mod assert;
pub mod attention;
mod backward;
mod binary;
mod calculus;
mod chunked_loss;
mod compare;
pub mod composite;
pub mod conv;
pub mod creation;
pub mod distance;
mod dtype;
pub mod dynamic;
pub mod einsum;
pub mod embedding_bag;
mod fake_quantize;
pub mod fft;
pub mod grid;
mod histogram;
pub mod index;
mod join;
mod linalg;
pub mod linear;
mod lookup;
pub mod loss;
mod margin;
mod mixture;
pub mod norm;
mod pad;
pub mod pool;
pub mod quantized;
pub mod random;
pub mod reduction;
mod refused;
pub mod resample;
pub mod rnn;
mod sampling;
mod scan;
pub mod scatter;
mod sequence;
mod shorthand;
mod slicing;
pub mod softmax;
pub mod sort;
mod special;
pub mod statistics;
pub mod stft;
mod ternary;
mod torchao;
pub mod unary;
mod view;
mod vision;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families, one a line.
#[rustfmt::skip]
pub const FAMILIES: &[&[OpDef]] = &[
    activation::OPS,
    assert::OPS,
    attention::OPS,
    backward::activation::OPS,
    backward::convolution::OPS,
    backward::indexing::OPS,
    backward::loss::OPS,
    backward::normalization::OPS,
    backward::pooling::OPS,
    binary::OPS,
    calculus::OPS,
    chunked_loss::OPS,
    compare::OPS,
    composite::OPS,
    conv::OPS,
    creation::OPS,
    distance::OPS,
    dtype::OPS,
    dynamic::OPS,
    einsum::OPS,
    embedding_bag::OPS,
    fake_quantize::OPS,
    fft::OPS,
    grid::OPS,
    histogram::OPS,
    index::OPS,
    join::OPS,
    linalg::cholesky::OPS,
    linalg::least_squares::OPS,
    linalg::lu::OPS,
    linalg::norm::OPS,
    linalg::orthogonal::OPS,
    linalg::spectral::OPS,
    linalg::triangular::OPS,
    linear::OPS,
    lookup::OPS,
    loss::OPS,
    margin::OPS,
    mixture::OPS,
    norm::OPS,
    pad::OPS,
    pool::OPS,
    quantized::OPS,
    random::OPS,
    reduction::OPS,
    refused::OPS,
    resample::OPS,
    rnn::OPS,
    sampling::OPS,
    scan::OPS,
    scatter::OPS,
    sequence::OPS,
    shorthand::OPS,
    slicing::OPS,
    softmax::OPS,
    sort::OPS,
    special::OPS,
    statistics::OPS,
    stft::OPS,
    ternary::OPS,
    torchao::OPS,
    unary::OPS,
    view::OPS,
    vision::OPS,
];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[fft::PLANS, join::PLANS, pad::PLANS, slicing::PLANS, view::PLANS];
