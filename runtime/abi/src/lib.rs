//! pt2c-abi
