//! The `rewrite` phase: rules fire where they should, and the values stay, by the reference interpreter.

mod attention;
mod build;
mod programs;
mod random;
mod rules;
