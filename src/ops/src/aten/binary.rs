//! Binary arithmetic with type promotion.

use crate::OpDef;

/// The family.
pub const OPS: &[OpDef] = &[];
