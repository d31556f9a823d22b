//! pt2c-ir
