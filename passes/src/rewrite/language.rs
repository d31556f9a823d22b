//! The terms of the e-graph: one kind of node for every operator.
//!
//! A node is a [`Head`] (operator with everything about its arguments that is no tensor) over classes of operands.
//! Heads are interned, so that nodes compare by numbers. A call with other than one output is a class of its own
//! that only [`Head::Output`] nodes use.

use egg::{Id, Language};
use indexmap::IndexSet;
use pt2c_ir::Arg;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Index of an interned [`Head`].
pub type HeadId = u32;

/// An argument without its tensors: their places stay. Floats compare by their bits, subgraphs by identity.
#[derive(Clone, Debug)]
pub struct Attr(pub Arg<()>);

impl Attr {
    /// What two equal arguments share, and different ones never.
    fn key(&self) -> (u8, Vec<u64>, &str) {
        let bits = |x: &f64| x.to_bits();
        match &self.0 {
            Arg::None => (0, Vec::new(), ""),
            Arg::Tensor(()) => (1, Vec::new(), ""),
            Arg::Tensors(ts) => (2, ts.iter().map(|t| u64::from(t.is_some())).collect(), ""),
            Arg::Int(_) => (3, Vec::new(), ""),
            Arg::Ints(_) => (4, Vec::new(), ""),
            Arg::Float(x) => (5, vec![bits(x)], ""),
            Arg::Floats(xs) => (6, xs.iter().map(bits).collect(), ""),
            Arg::Bool(b) => (7, vec![u64::from(*b)], ""),
            Arg::Bools(bs) => (8, bs.iter().map(|b| u64::from(*b)).collect(), ""),
            Arg::Complex(re, im) => (9, vec![bits(re), bits(im)], ""),
            Arg::Str(s) => (10, Vec::new(), s),
            Arg::DType(d) => (11, Vec::new(), d.name()),
            Arg::Opaque(s) => (12, Vec::new(), s),
            Arg::Graph(g) => (13, vec![Arc::as_ptr(g) as usize as u64], ""),
        }
    }

    /// The symbolic integers.
    fn dims(&self) -> &[pt2c_ir::dim::Dim] {
        match &self.0 {
            Arg::Int(d) => std::slice::from_ref(d),
            Arg::Ints(ds) => ds,
            _ => &[],
        }
    }
}

impl PartialEq for Attr {
    fn eq(&self, other: &Attr) -> bool {
        self.key() == other.key() && self.dims() == other.dims()
    }
}

impl Eq for Attr {}

impl Hash for Attr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Subgraphs are told apart by equality alone, so that nothing depends on where they lie in memory.
        if !matches!(self.0, Arg::Graph(_)) {
            self.key().hash(state);
        }
        self.dims().hash(state);
    }
}

/// What a node is, without its operands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Head {
    /// Graph input by position.
    Input(u32),
    /// Tensor of the program by name.
    Tensor(String),
    /// A call.
    Call {
        /// Full name of the operator.
        op: String,
        /// Arguments in schema order.
        attrs: Vec<Attr>,
        /// Not 0 for calls that must never be merged with an equal one: random numbers, effects, sizes found at run
        /// time.
        unique: u32,
    },
    /// One output of a call with several.
    Output(u32),
}

/// The interned heads.
#[derive(Default, Debug)]
pub struct Heads(IndexSet<Head>);

impl Heads {
    /// The number of a head.
    pub fn intern(&mut self, head: Head) -> HeadId {
        self.0.insert_full(head).0 as HeadId
    }

    /// The head of a node.
    pub fn get(&self, node: &Node) -> &Head {
        static NOTHING: Head = Head::Input(u32::MAX);
        self.0.get_index(node.head as usize).unwrap_or(&NOTHING)
    }

    /// The operator of a node that is a call.
    pub fn op(&self, node: &Node) -> Option<&str> {
        if let Head::Call { op, .. } = self.get(node) { Some(op) } else { None }
    }

    /// The arguments of a node that is a call, with the classes of the operands put back by `class`.
    pub fn args<V>(&self, node: &Node, mut class: impl FnMut(Id) -> V) -> Vec<Arg<V>> {
        let Head::Call { attrs, .. } = self.get(node) else { return Vec::new() };
        let mut children = node.children.iter();
        let args = attrs.iter().map(|a| a.0.try_map(|()| children.next().map(|c| class(*c)).ok_or(())));
        args.collect::<Result<_, _>>().unwrap_or_default()
    }
}

/// A node of the e-graph.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// What it is.
    pub head: HeadId,
    /// The classes of its operands, in order.
    pub children: Vec<Id>,
}

impl Language for Node {
    type Discriminant = HeadId;

    fn discriminant(&self) -> HeadId {
        self.head
    }

    fn matches(&self, other: &Node) -> bool {
        self.head == other.head && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}
