//! The deliverable: `libNAME.a`, `NAME.h`, `NAME.json`, `NAME.pc` and a CMake config from a [`LibrarySpec`] (what the model's
//! interface and memory look like) and the object file that the code generator made.
//!
//! [`describe`] makes the spec of a lowered program, [`write_library`] writes the files.
//!
//! The archive holds four objects: the model's code, the descriptor ([`pt2c_abi::Model`]) as read-only data, the
//! weights (unless they go to a file of their own), and the runtime, whose symbols are renamed so that everything in
//! the archive begins with the model's name and two models link into one program. Nothing here needs LLVM.

mod archive;
mod cpp;
mod descriptor;
mod header;
mod interface;
mod layout;
mod library;
mod manifest;
mod names;
mod nested;
mod package;
mod python;
mod runtime;
mod rust;
mod spec;
mod symbols;
mod weights;

pub use cpp::cpp;
pub use interface::{Identity, describe, symbols};
pub use layout::{dtype_code, dtype_from_code};
pub use library::{
    CompiledObject, Entry, LARGEST_EMBEDDED, LibraryError, LibraryFiles, WeightsPlacement, link_objects, write_entries,
    write_library,
};
pub use names::is_identifier;
pub use python::python;
pub use rust::rust;
pub use spec::{
    Buffer, Constant, Constraint, Forward, Function, Leaf, LeafKind, LibrarySpec, Literal, SpecError, Stage, State,
    Symbol, Tree, Weights,
};
