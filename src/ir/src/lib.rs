//! pt2c-ir
pub mod dim;
