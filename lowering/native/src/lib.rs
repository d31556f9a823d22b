//! pt2c-native
