//! The operator table: every operator is declared once, here.
//!
//! An [`Op`] has the schema PyTorch prints for it (names, types, defaults of the arguments), tags, inference over
//! symbolic facts and plain reference evaluation. Two namespaces live in the table:
//!
//! * [`aten`]: PyTorch's operators with PyTorch's meaning, composites included, one file per family;
//! * [`prim`]: the strict primitives that everything is decomposed into and that lowering understands: operands of
//!   an elementwise primitive have one dtype, casts are explicit, indices are in range and not negative.
//!
//! How an operator is decomposed or lowered is said in keyed tables of the crates that do it; whether it is legal
//! at a stage is derived from those tables.

#![forbid(unsafe_code)]

pub mod aten;
mod builder;
mod call;
pub mod formula;
pub mod functions;
pub mod host;
pub mod index_map;
pub mod interpret;
pub mod movement;
mod op;
pub mod pointwise;
pub mod prim;
mod promote;
mod schema;
pub mod shape;
pub mod special;
mod tensor;
pub mod verify;

pub use builder::{Build, Builder, Decomposition, Val, int, int_list, tensor_list};
pub use call::{Call, OpError, number, wrap_dim};
pub use op::{Op, OpDef, Tags, functional_of, has_effect, infer, lookup, ops};
pub use promote::{Category, Typed, promote_types, result_type, to_float, to_sum};
pub use schema::{BaseType, Param, ParamType, Schema, SchemaError};
pub use tensor::{Scalar, Strided, Tensor, ravel, read_element, round_to, strides_of, unravel, wrap_to, write_element};
