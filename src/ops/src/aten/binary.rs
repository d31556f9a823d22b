//! Binary arithmetic with type promotion.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, result_type, shape};
use pt2c_ir::Fact;

/// The family.
pub const OPS: &[OpDef] = &[];
