//! PyTorch's operators, one file per family. Schemas are PyTorch's own text; a test compares them with a dump.

mod binary;
mod slicing;
mod view;

use crate::OpDef;
use crate::movement::PlanFn;

/// All ATen families.
pub const FAMILIES: &[&[OpDef]] = &[binary::OPS, slicing::OPS, view::OPS];

/// Families that only rearrange elements.
pub const MOVEMENTS: &[&[(&str, PlanFn)]] = &[slicing::PLANS, view::PLANS];
