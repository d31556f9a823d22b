//! Gradients as functional operators: what a program with its backward pass carries. All are formulas.

pub mod activation;
pub mod convolution;
pub mod indexing;
pub mod loss;
pub mod normalization;
pub mod pooling;
