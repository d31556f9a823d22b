//! pt2c-ops
