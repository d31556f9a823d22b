//! Runs a compiled library inside this process, without a system linker: the very objects that `compile` archives,
//! called through the same functions and checked by the same runtime as in a C program.

mod instance;

pub use instance::{Finished, Instance, InstanceOptions, LeafInfo, RunError, Value};
