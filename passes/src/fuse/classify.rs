//! What a primitive is to fusion. One table; everything about placement is derived from it.

use pt2c_ir::{Arg, Graph, Node, NodeKind};
use pt2c_ops::{Tags, lookup};

/// What a node is to fusion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Lives in memory already: graph input, parameter, buffer, constant tensor.
    Leaf,
    /// Made from nothing: constants, ranges.
    Generator,
    /// Only moves indices.
    View,
    /// One result element from the operands' elements at the same index.
    Pointwise,
    /// One result element from one element of one of the operands, chosen by position under a condition.
    Guarded,
    /// One result element from an element chosen by data.
    Indexed,
    /// Combines many elements into one.
    Reduction,
    /// Combines overlapping windows of elements.
    Window,
    /// No computation: control flow and binding of symbols. Reads its operands from memory.
    Control,
    /// A kernel of its own; others may follow as its epilogue if the flag is set.
    Root { epilogue: bool },
}

const TABLE: &[(&str, Class)] = &[
    ("constant", Class::Generator),
    ("iota", Class::Generator),
    ("reshape", Class::View),
    ("permute", Class::View),
    ("expand", Class::View),
    ("slice", Class::View),
    ("where", Class::Pointwise),
    ("cast", Class::Pointwise),
    ("bitcast", Class::Pointwise),
    ("pad", Class::Guarded),
    ("cat", Class::Guarded),
    ("update_slice", Class::Guarded),
    ("take", Class::Indexed),
    ("gather", Class::Indexed),
    ("index", Class::Indexed),
    ("reduce", Class::Reduction),
    ("argreduce", Class::Window),
    ("window_reduce", Class::Window),
    ("matmul", Class::Root { epilogue: true }),
    ("conv", Class::Root { epilogue: true }),
    ("attention", Class::Root { epilogue: true }),
];

/// The class of a node. Primitives that the table does not name are pointwise if the operator table says so, and
/// kernels of their own otherwise.
pub fn classify(node: &Node) -> Class {
    let NodeKind::Call { op, .. } = &node.kind else { return Class::Leaf };
    let name = op.strip_prefix("prim.").unwrap_or(op);
    if let Some((_, class)) = TABLE.iter().find(|(n, _)| *n == name) {
        return *class;
    }
    match lookup(op) {
        Some(op) if op.def.tags.has(Tags::POINTWISE) => Class::Pointwise,
        Some(op) if op.def.tags.has(Tags::CONTROL) => Class::Control,
        _ => Class::Root { epilogue: false },
    }
}

/// Rough cost of computing one element, in additions.
pub fn cost(node: &Node) -> u32 {
    match classify(node) {
        Class::Leaf | Class::Generator | Class::View => 0,
        Class::Pointwise => match node.op().unwrap_or_default() {
            "prim.add" | "prim.sub" | "prim.mul" | "prim.max" | "prim.min" | "prim.neg" | "prim.abs" | "prim.where"
            | "prim.cast" | "prim.bitcast" | "prim.and" | "prim.or" | "prim.xor" | "prim.not" | "prim.eq"
            | "prim.ne" | "prim.lt" | "prim.le" | "prim.gt" | "prim.ge" => 1,
            "prim.div" | "prim.sqrt" | "prim.rsqrt" | "prim.reciprocal" => 4,
            _ => 10,
        },
        Class::Guarded => 2,
        Class::Indexed => 4,
        Class::Reduction | Class::Window | Class::Control | Class::Root { .. } => 1000,
    }
}

/// Whether evaluating the node needs statements (checks, loops), so that it cannot stand under a condition.
pub fn needs_statements(graph: &Graph, node: &Node) -> bool {
    match classify(node) {
        Class::Indexed | Class::Reduction | Class::Window | Class::Control | Class::Root { .. } => true,
        // Integer division checks its divisor unless that is a constant.
        Class::Pointwise => {
            let divides =
                matches!(node.op(), Some("prim.div_floor" | "prim.div_trunc" | "prim.rem_floor" | "prim.rem_trunc"));
            let int = node.outputs.first().is_some_and(|f| f.dtype.is_int());
            let constant = node
                .args()
                .get(1)
                .and_then(Arg::as_tensor)
                .is_some_and(|v| graph.node(v.node).op() == Some("prim.constant"));
            divides && int && !constant
        }
        _ => false,
    }
}
