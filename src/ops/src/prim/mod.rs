//! The primitives: what everything is decomposed into and what lowering understands.
//!
//! They are strict. Operands of an elementwise primitive have one dtype and broadcast from the right; casts are
//! nodes; a number enters through `prim.constant`; dimension numbers and indices are never negative. Results are
//! row-major. f16 and bf16 compute in f32 and round once.

mod elementwise;

use crate::OpDef;

/// All primitive families.
pub const FAMILIES: &[&[OpDef]] = &[elementwise::OPS];
