//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

mod binary;

use crate::OpDef;

/// All ATen families.
pub const FAMILIES: &[&[OpDef]] = &[binary::OPS];
