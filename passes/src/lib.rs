//! pt2c-passes
