//! pt2c
