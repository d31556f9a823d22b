//! The graph: operator calls over values, kept in a petgraph whose edges mirror the operands.
//!
//! Operands are ordered on the node; the petgraph edges are an index for traversal and are private. Node order is
//! explicit too: [`Graph::nodes`] is a topological order that new nodes are appended to, so that printing, passes
//! and code generation visit nodes in one deterministic order.

use crate::dim::{Dim, Symbol};
use crate::{Arg, Fact, LocationId};
use indexmap::IndexSet;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use std::collections::BTreeSet;

/// A node of one graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(NodeIndex<u32>);

/// A value of one graph: output number `index` of `node`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ValueId {
    /// The node that defines it.
    pub node: NodeId,
    /// Which of its outputs.
    pub index: u32,
}

/// What a node is.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeKind {
    /// A graph input; its place among [`Graph::inputs`] is its position.
    Input,
    /// A tensor of the program by name: parameter, buffer (its value before the call) or constant.
    Tensor(String),
    /// A call of an operator: name in the table, arguments in schema order.
    Call { op: String, args: Vec<Arg> },
}

/// One node and the facts of its outputs.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Base name of its values, unique in the graph (`conv2d_3`); kept from the archive where it has one.
    pub name: String,
    /// One fact for each output.
    pub outputs: Vec<Fact>,
    /// Where it comes from.
    pub location: LocationId,
}

impl Node {
    /// The operator's name, if this is a call.
    pub fn op(&self) -> Option<&str> {
        if let NodeKind::Call { op, .. } = &self.kind { Some(op) } else { None }
    }

    /// The arguments, if this is a call; empty otherwise.
    pub fn args(&self) -> &[Arg] {
        if let NodeKind::Call { args, .. } = &self.kind { args } else { &[] }
    }

    /// The symbols to which the node may give a value: the one that a `prim.bind` names, and sizes of its results that
    /// are symbols by themselves.
    pub fn binds(&self) -> Vec<Symbol> {
        let named = match (self.op(), self.args()) {
            (Some("prim.bind"), [_, Arg::Int(d)]) => d.as_symbol(),
            _ => None,
        };
        let sizes = self.outputs.iter().flat_map(|f| &f.shape).filter_map(Dim::as_symbol);
        named.into_iter().chain(sizes).filter(|s| s.is_unbacked()).cloned().collect()
    }

    /// The data-dependent symbols that the node speaks of, in types, arguments and bodies.
    pub fn late_symbols(&self) -> BTreeSet<Symbol> {
        let mut found = late_symbols(self.args());
        found.extend(self.outputs.iter().flat_map(|f| &f.shape).flat_map(Dim::symbols).filter(Symbol::is_unbacked));
        found
    }

    /// The tensor operands, in order.
    pub fn operands(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.args().iter().flat_map(|a| a.tensors().copied())
    }
}

/// The data-dependent symbols in arguments and in the graphs among them.
pub fn late_symbols<V>(args: &[Arg<V>]) -> BTreeSet<Symbol> {
    let mut found = BTreeSet::new();
    for arg in args {
        match arg {
            Arg::Int(d) => found.extend(d.symbols()),
            Arg::Ints(ds) => found.extend(ds.iter().flat_map(Dim::symbols)),
            Arg::Graph(body) => {
                let bound: BTreeSet<Symbol> = body.nodes().flat_map(|(_, n)| n.binds()).collect();
                let used = body.nodes().flat_map(|(_, n)| n.late_symbols());
                found.extend(used.filter(|s| !bound.contains(s)));
            }
            _ => {}
        }
    }
    found.retain(Symbol::is_unbacked);
    found
}

/// An edit that would break the graph.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GraphError {
    /// The value does not exist (its node was erased, or it is of another graph).
    #[error("the value does not exist in this graph")]
    NoSuchValue,
    /// The node still has uses.
    #[error("node `{0}` still has uses")]
    StillUsed(String),
    /// Following operands leads back to the node.
    #[error("the graph has a cycle through `{0}`")]
    Cycle(String),
}

/// A functional dataflow graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    dag: StableDiGraph<Node, (), u32>,
    order: IndexSet<NodeId>,
    inputs: Vec<NodeId>,
    /// What the graph returns, in order; a value may appear more than once, an input may be returned. An output
    /// that is no tensor (symbolic integer, constant, None) is another kind of argument.
    pub outputs: Vec<Arg>,
    names: IndexSet<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    fn unique(&mut self, name: &str) -> String {
        let base = if name.is_empty() { "v" } else { name };
        let mut candidate = base.to_string();
        let mut n = 0u32;
        while self.names.contains(&candidate) {
            n += 1;
            candidate = format!("{base}_{n}");
        }
        self.names.insert(candidate.clone());
        candidate
    }

    fn push(&mut self, kind: NodeKind, name: &str, outputs: Vec<Fact>, location: LocationId) -> NodeId {
        let name = self.unique(name);
        let id = NodeId(self.dag.add_node(Node { kind, name, outputs, location }));
        self.order.insert(id);
        self.link(id);
        id
    }

    /// Draws the edges from the operands of `id`.
    fn link(&mut self, id: NodeId) {
        let sources: IndexSet<NodeId> = self.node(id).operands().map(|v| v.node).collect();
        for source in sources {
            if self.dag.contains_node(source.0) {
                self.dag.add_edge(source.0, id.0, ());
            }
        }
    }

    /// Adds an input; `name` is made unique if taken.
    pub fn add_input(&mut self, name: &str, fact: Fact) -> ValueId {
        let node = self.push(NodeKind::Input, name, vec![fact], LocationId::UNKNOWN);
        self.inputs.push(node);
        ValueId { node, index: 0 }
    }

    /// The value of a tensor of the program.
    pub fn add_tensor(&mut self, tensor: &str, name: &str, fact: Fact) -> ValueId {
        let node = self.push(NodeKind::Tensor(tensor.to_string()), name, vec![fact], LocationId::UNKNOWN);
        ValueId { node, index: 0 }
    }

    /// Appends a call. The operands must be values of this graph.
    pub fn add_call(
        &mut self,
        op: &str,
        args: Vec<Arg>,
        name: &str,
        outputs: Vec<Fact>,
        location: LocationId,
    ) -> Result<NodeId, GraphError> {
        if args.iter().flat_map(|a| a.tensors()).any(|v| self.fact(*v).is_none()) {
            return Err(GraphError::NoSuchValue);
        }
        Ok(self.push(NodeKind::Call { op: op.to_string(), args }, name, outputs, location))
    }

    /// The node. Panics never: ids are only made by this graph, and an erased node reads as an empty input.
    pub fn node(&self, id: NodeId) -> &Node {
        static ERASED: Node =
            Node { kind: NodeKind::Input, name: String::new(), outputs: Vec::new(), location: LocationId::UNKNOWN };
        self.dag.node_weight(id.0).unwrap_or(&ERASED)
    }

    /// Whether the node is (still) in the graph.
    pub fn contains(&self, id: NodeId) -> bool {
        self.dag.contains_node(id.0)
    }

    /// The fact of a value, if it exists.
    pub fn fact(&self, value: ValueId) -> Option<&Fact> {
        self.dag.node_weight(value.node.0)?.outputs.get(value.index as usize)
    }

    /// Changes the fact of a value.
    pub fn set_fact(&mut self, value: ValueId, fact: Fact) -> Result<(), GraphError> {
        let slot = self.dag.node_weight_mut(value.node.0).and_then(|n| n.outputs.get_mut(value.index as usize));
        *slot.ok_or(GraphError::NoSuchValue)? = fact;
        Ok(())
    }

    /// Replaces operator and arguments of a call, keeping its outputs.
    pub fn set_call(&mut self, id: NodeId, op: &str, args: Vec<Arg>) -> Result<(), GraphError> {
        if args.iter().flat_map(|a| a.tensors()).any(|v| self.fact(*v).is_none()) {
            return Err(GraphError::NoSuchValue);
        }
        let node = self.dag.node_weight_mut(id.0).ok_or(GraphError::NoSuchValue)?;
        node.kind = NodeKind::Call { op: op.to_string(), args };
        let incoming: Vec<_> = self.dag.edges_directed(id.0, petgraph::Incoming).map(|e| e.id()).collect();
        for edge in incoming {
            self.dag.remove_edge(edge);
        }
        self.link(id);
        Ok(())
    }

    /// The name of a value: its node's, with `.index` behind it for outputs of nodes with several.
    pub fn value_name(&self, value: ValueId) -> String {
        let node = self.node(value.node);
        if node.outputs.len() == 1 { node.name.clone() } else { format!("{}.{}", node.name, value.index) }
    }

    /// Gives a node another name, made unique if taken.
    pub fn rename(&mut self, id: NodeId, name: &str) {
        let Some(node) = self.dag.node_weight(id.0) else { return };
        if node.name != name {
            let old = node.name.clone();
            self.names.swap_remove(&old);
            let name = self.unique(name);
            if let Some(node) = self.dag.node_weight_mut(id.0) {
                node.name = name;
            }
        }
    }

    /// All nodes in a topological order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.order.iter().map(|&id| (id, self.node(id)))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The graph's inputs, in order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = ValueId> + '_ {
        self.inputs.iter().map(|&node| ValueId { node, index: 0 })
    }

    /// The values of a node.
    pub fn values(&self, id: NodeId) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.node(id).outputs.len() as u32).map(move |index| ValueId { node: id, index })
    }

    /// The nodes that use a value or another output of its node, each once, in graph order.
    pub fn users(&self, id: NodeId) -> Vec<NodeId> {
        let mut users: Vec<NodeId> = self.dag.neighbors_directed(id.0, petgraph::Outgoing).map(NodeId).collect();
        users.sort_by_key(|u| self.order.get_index_of(u));
        users.dedup();
        users
    }

    /// How often a value is used, by nodes and by the graph's outputs.
    pub fn use_count(&self, value: ValueId) -> usize {
        let in_nodes: usize =
            self.users(value.node).into_iter().map(|u| self.node(u).operands().filter(|&o| o == value).count()).sum();
        in_nodes + self.output_values().filter(|&o| o == value).count()
    }

    /// The tensors among the graph's outputs, in order.
    pub fn output_values(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.outputs.iter().flat_map(|a| a.tensors().copied())
    }

    /// Makes every use of `from`, outputs included, a use of `to`. The order may need [`Graph::sort`] after it.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) -> Result<(), GraphError> {
        self.fact(to).ok_or(GraphError::NoSuchValue)?;
        for user in self.users(from.node) {
            let node = self.node(user);
            if let NodeKind::Call { op, args } = &node.kind
                && node.operands().any(|o| o == from)
            {
                let args = args.iter().map(|a| a.map(|&v| if v == from { to } else { v })).collect();
                let op = op.clone();
                self.set_call(user, &op, args)?;
            }
        }
        for v in self.outputs.iter_mut().flat_map(|a| a.tensors_mut()).filter(|v| **v == from) {
            *v = to;
        }
        Ok(())
    }

    /// Removes a node without uses.
    pub fn erase(&mut self, id: NodeId) -> Result<(), GraphError> {
        if !self.users(id).is_empty() || self.output_values().any(|v| v.node == id) {
            return Err(GraphError::StillUsed(self.node(id).name.clone()));
        }
        if let Some(node) = self.dag.remove_node(id.0) {
            self.names.swap_remove(&node.name);
        }
        self.order.shift_remove(&id);
        self.inputs.retain(|&n| n != id);
        Ok(())
    }

    /// Removes every call and tensor that no output depends on, except calls `keep` says have effects. Inputs stay.
    pub fn remove_dead(&mut self, keep: impl Fn(&Node) -> bool) {
        let mut live: IndexSet<NodeId> = self.output_values().map(|v| v.node).collect();
        live.extend(self.inputs.iter().copied());
        live.extend(self.nodes().filter(|(_, n)| n.op().is_some() && keep(n)).map(|(id, _)| id));
        let mut next = 0;
        while let Some(&id) = live.get_index(next) {
            live.extend(self.node(id).operands().map(|v| v.node).collect::<Vec<_>>());
            next += 1;
        }
        let dead: Vec<NodeId> = self.order.iter().copied().filter(|id| !live.contains(id)).collect();
        for id in dead {
            if let Some(node) = self.dag.remove_node(id.0) {
                self.names.swap_remove(&node.name);
            }
        }
        self.order.retain(|id| live.contains(id));
    }

    /// Restores a topological order after edits, as close to the present one as the edges allow.
    pub fn sort(&mut self) -> Result<(), GraphError> {
        let mut sorted: IndexSet<NodeId> = IndexSet::with_capacity(self.order.len());
        let mut open: IndexSet<NodeId> = IndexSet::new();
        for &root in &self.order {
            let mut stack = vec![(root, false)];
            while let Some((id, operands_done)) = stack.pop() {
                if sorted.contains(&id) {
                    continue;
                }
                if operands_done {
                    open.swap_remove(&id);
                    sorted.insert(id);
                } else if !open.insert(id) {
                    return Err(GraphError::Cycle(self.node(id).name.clone()));
                } else {
                    stack.push((id, true));
                    let operands: Vec<NodeId> = self.node(id).operands().map(|v| v.node).collect();
                    stack.extend(operands.into_iter().rev().filter(|o| !sorted.contains(o)).map(|o| (o, false)));
                }
            }
        }
        self.order = sorted;
        Ok(())
    }

    /// Position of a node in the order of [`Graph::nodes`].
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.order.get_index_of(&id)
    }
}

/// Equal when they print the same: same nodes in the same order, wherever they are stored.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        let at = |g: &Graph, v: &ValueId| (g.position(v.node), v.index);
        let same_args = |a: &[Arg], b: &[Arg]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.map(|v| at(self, v)) == b.map(|v| at(other, v)))
        };
        self.len() == other.len()
            && self.nodes().zip(other.nodes()).all(|((_, a), (_, b))| {
                a.name == b.name
                    && a.outputs == b.outputs
                    && a.location == b.location
                    && match (&a.kind, &b.kind) {
                        (NodeKind::Call { op: p, args: x }, NodeKind::Call { op: q, args: y }) => {
                            p == q && same_args(x, y)
                        }
                        (a, b) => a == b,
                    }
            })
            && self.inputs().map(|v| at(self, &v)).eq(other.inputs().map(|v| at(other, &v)))
            && same_args(&self.outputs, &other.outputs)
    }
}
