//! `fuse`: groups primitives into regions, each of which becomes one kernel.
//!
//! Precondition: only primitives. Postcondition: only regions, inputs and tensors; a region's body is primitives over
//! its operands, and every operand of a region is materialised (an input, a tensor, or a result of a region).
//!
//! Rules, in the order in which they apply to a node:
//! * Views, generators, and cheap work on materialised values are **inlined** into whoever uses them; so is a value
//!   with one user that reads each element once.
//! * What remains **joins** the group of an operand if it computes in that group's iteration space: elementwise after
//!   elementwise, a reduction over what a group computes, elementwise work on both sides of a reduction (softmax,
//!   normalisations), and the epilogue of a contraction through any view that moves elements one to one.
//! * Otherwise it starts a group.

mod build;
mod classify;
mod groups;

pub use classify::{Class, classify};

use pt2c_ir::dim::Scope;
use pt2c_ir::{Diagnostic, Graph, Program};

/// Fuses a program of primitives.
pub fn fuse(program: &Program) -> Result<Program, Diagnostic> {
    let mut fused = program.clone();
    fused.graph = fuse_graph(&program.graph, &program.scope)?;
    Ok(fused)
}

/// Fuses a graph and the bodies of control flow in it.
fn fuse_graph(graph: &Graph, scope: &Scope) -> Result<Graph, Diagnostic> {
    build::build(graph, scope, &groups::form(graph, scope))
}
