//! Tests of symbolic dimensions. `naive` is the independent oracle: plain trees evaluated directly.

mod canonical;
mod naive;
mod parsing;
mod reasoning;
mod recorded;
