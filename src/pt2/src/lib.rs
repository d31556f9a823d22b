//! pt2c-pt2
