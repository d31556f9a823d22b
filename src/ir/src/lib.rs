//! The graph IR of pt2c: what every phase before kernel IR reads and writes.
//!
//! # Semantics
//!
//! A [`Program`] is one exported model: a [`Graph`] of operator calls, the tensors it closes over
//! (parameters, buffers, constants, by name), a [`Signature`] that ties graph inputs and outputs to the caller
//! and to state, and a [`dim::Scope`] of symbolic sizes with the constraints PyTorch recorded.
//!
//! * A graph is **functional**: no operator changes a tensor. Effects are outputs of the program
//!   ([`OutputKind::BufferMutation`], [`OutputKind::InputMutation`]), as after PyTorch's `run_decompositions()`.
//! * A [`Value`](ValueId) is a tensor and has one [`Fact`]: dtype, symbolic shape, physical layout.
//! * **Integers are not values.** A size, a stride or an index known from sizes is a [`dim::Dim`] expression over
//!   root symbols, inside shapes and arguments. Root symbols are bound at the entry (from input sizes) or by the
//!   node that discovers them.
//! * A node calls an operator by name with arguments in the order of the operator's schema, all defaults filled
//!   in. Its tensor operands are the tensor leaves of those arguments, in order.
//! * What an operator *means* is not known here: that is the operator table, crate `pt2c-ops`.

#![forbid(unsafe_code)]

mod arg;
pub mod diagnostic;
pub mod dim;
mod dtype;
mod fact;
mod graph;
mod location;
mod program;
mod tensor;
pub mod text;
pub mod verify;

pub use arg::Arg;
pub use diagnostic::{Diagnostic, Severity};
pub use dtype::DType;
pub use fact::{DimOrder, Fact};
pub use graph::{Graph, GraphError, Node, NodeId, NodeKind, ValueId, late_symbols};
pub use location::{Location, LocationId, Locations};
pub use program::{
    Constraint, InputKind, InputSpec, OutputKind, OutputSpec, Program, RANDOM_STATE, Signature, TensorEntry,
    TensorRole, TreeSpec,
};
pub use tensor::{Bytes, TensorData, TensorDataError};
