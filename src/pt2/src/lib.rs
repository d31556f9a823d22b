//! `.pt2` archives: the only crate that knows PyTorch's format.
//!
//! [`archive`] opens the container, [`schema`] types its JSON, [`payload`] turns weight files into tensors,
//! [`pytree`] and [`signature`] say what the flat inputs and outputs mean, [`ExportedProgram`] holds it all, and
//! [`import()`] makes an IR program of it.
//! Nothing in an archive is executed, and every number is checked before it is used ([`limits`]).

pub mod archive;
pub mod import;
pub mod limits;
pub mod payload;
pub mod program;
pub mod pytree;
pub mod schema;
pub mod signature;

pub use import::{ImportError, ImportErrorKind, Imported, import};
pub use program::{ExportedProgram, LoadError};
