//! pt2c-kernel
