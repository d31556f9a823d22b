//! pt2c-lit
