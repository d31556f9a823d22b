//! `.pt2` archives: the only crate that knows PyTorch's format.
//!
//! [`archive`] opens the container, [`schema`] types its JSON, [`payload`] turns weight files into tensors,
//! [`pytree`] and [`signature`] say what the flat inputs and outputs mean, and [`ExportedProgram`] holds it all.
//! [`import()`] makes an IR program of it and [`export()`] the way back; [`edit`] changes its graph, [`builder`]
//! makes one from nothing, [`unflatten`] restores its modules, [`save`] writes it, [`module`] runs it.
//! Nothing in an archive is executed, and every number is checked before it is used ([`limits`]). Pickles (weights of
//! older archives, example inputs) are read by a recogniser of plain data ([`pickle`], [`torch_save`]).
//!
//! The names are PyTorch's, so its documentation of `torch.export` applies:
//!
//! ```
//! use pt2c_pt2::ExportedProgram;
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/real_mtcnn_onet.dyn.pt2");
//!
//! let program = ExportedProgram::open(std::path::Path::new(path))?;
//! for node in &program.graph().nodes {
//!     println!("{} -> {:?}", node.target, node.outputs);
//! }
//! assert_eq!(program.graph_signature().inputs_to_parameters().count(), 21);
//! assert_eq!(program.range_constraints()["s77"].min_val, Some(0));
//! assert_eq!(program.input_names(), ["x"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod archive;
pub mod builder;
#[cfg(doctest)]
mod docs;
pub mod edit;
pub mod export;
pub mod import;
pub mod limits;
pub mod module;
pub mod payload;
pub mod pickle;
pub mod program;
pub mod pytree;
pub mod save;
pub mod schema;
pub mod signature;
pub mod torch_save;
pub mod unflatten;

pub use builder::{Nested, ProgramBuilder, Value};
pub use export::{ExportError, export};
pub use import::{ImportError, ImportErrorKind, Imported, import, import_all};
pub use module::Module;
pub use program::{ExportedProgram, LoadError};
pub use pytree::TreeSpec;
pub use save::SaveError;
