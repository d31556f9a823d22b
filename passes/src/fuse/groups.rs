//! Which nodes are computed together.

use super::classify::{Class, classify, cost, needs_statements};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, Graph, Node, NodeId, ValueId};
use pt2c_ops::index_map::{address, broadcast_index, forward_index, reshape_index, trace_views, view_step};
use std::collections::{BTreeMap, BTreeSet};

/// Cheap work may be computed again by every user, up to this cost per element.
const CHEAP: u32 = 4;
/// Bodies stay below these sizes, so that a kernel stays within registers and parameters.
const MAX_NODES: usize = 160;
const MAX_OPERANDS: usize = 28;

/// A group of nodes that become one region.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its nodes in graph order: those that are not inlined.
    pub members: Vec<NodeId>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Debug)]
enum Kind {
    /// Elementwise over a shape.
    Loop { space: Vec<Dim> },
    /// Reductions of a shape over some dimensions, with elementwise work around them.
    Rows { space: Vec<Dim>, reduced: Vec<i64> },
    /// A heavy node and what follows it.
    Epilogue { root: ValueId },
    /// A heavy node alone.
    Alone,
}

/// The groups and who is where.
pub struct Groups {
    /// All groups.
    pub groups: Vec<Group>,
    /// The group of each member.
    pub of: BTreeMap<NodeId, usize>,
    /// For each group the nodes that give a value to the symbols it speaks of.
    pub binding: Vec<Vec<NodeId>>,
}

struct Former<'g> {
    graph: &'g Graph,
    scope: Scope,
    groups: Vec<Group>,
    of: BTreeMap<NodeId, usize>,
    /// Nodes that every user computes for itself.
    inlined: BTreeSet<NodeId>,
    /// Views that must be materialised.
    forced: BTreeSet<NodeId>,
    /// For each node the nodes that give a value to the symbols it speaks of, as if they were operands.
    binders: BTreeMap<NodeId, Vec<ValueId>>,
}

/// Whether the node sorts: it reads whole rows again and again.
fn sorts(node: &Node) -> bool {
    matches!(node.op(), Some("prim.sort" | "prim.topk" | "prim.sort_rows"))
}

/// The nodes behind which each node must come because of the symbols it speaks of.
fn binders(graph: &Graph) -> BTreeMap<NodeId, Vec<ValueId>> {
    let mut by: BTreeMap<Symbol, NodeId> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (id, node) in graph.nodes() {
        let needed: Vec<ValueId> =
            node.late_symbols().iter().filter_map(|s| by.get(s)).map(|&node| ValueId { node, index: 0 }).collect();
        if !needed.is_empty() {
            found.insert(id, needed);
        }
        if classify(node) == Class::Control {
            for symbol in node.binds() {
                by.entry(symbol).or_insert(id);
            }
        }
    }
    found
}

/// Forms groups over a graph of primitives.
pub fn form(graph: &Graph, scope: &Scope) -> Groups {
    let mut former = Former {
        graph,
        scope: scope.clone(),
        groups: Vec::new(),
        of: BTreeMap::new(),
        inlined: BTreeSet::new(),
        forced: BTreeSet::new(),
        binders: binders(graph),
    };
    former.force_views();
    for (id, node) in graph.nodes() {
        former.place(id, node);
    }
    let binding = (0..former.groups.len()).map(|g| former.binding(g)).collect();
    Groups { groups: former.groups, of: former.of, binding }
}

impl<'g> Former<'g> {
    fn fact_shape(&self, v: ValueId) -> &'g [Dim] {
        self.graph.fact(v).map_or(&[], |f| &f.shape)
    }

    /// Fresh symbols over a shape; 0 for dimensions of size 1.
    fn probe(scope: &mut Scope, shape: &[Dim]) -> (BTreeSet<Symbol>, Vec<Dim>) {
        let mut symbols = BTreeSet::new();
        let index = shape
            .iter()
            .enumerate()
            .map(|(d, n)| {
                if n.is_one() {
                    return Dim::ZERO;
                }
                let symbol = Symbol::from(format!("probe{d}").as_str());
                scope.declare_in(symbol.clone(), Dim::ZERO, n.clone());
                symbols.insert(symbol.clone());
                Dim::sym(symbol)
            })
            .collect();
        (symbols, index)
    }

    /// Whether `value` is a strided view of what it looks at.
    fn is_strided(&self, value: ValueId) -> bool {
        let mut scope = self.scope.clone();
        let (symbols, index) = Self::probe(&mut scope, self.fact_shape(value));
        let Some((base, at)) = trace_views(self.graph, &scope, value, &index) else { return false };
        // What is made from nothing has no memory to look at.
        if classify(self.graph.node(base.node)) == Class::Generator {
            return false;
        }
        let Some(fact) = self.graph.fact(base) else { return false };
        address(&scope, fact, &at).is_affine_in(&symbols)
    }

    /// Marks the views and generators that need memory of their own: results of the graph, and operands of heavy nodes
    /// that are not strided views of materialised values.
    fn force_views(&mut self) {
        let graph = self.graph;
        for v in graph.output_values() {
            self.forced.insert(v.node);
        }
        for (_, node) in graph.nodes() {
            if classify(node) == Class::Control || sorts(node) {
                for v in node.operands() {
                    if matches!(classify(graph.node(v.node)), Class::View | Class::Generator) {
                        self.forced.insert(v.node);
                    }
                }
                continue;
            }
            if !matches!(classify(node), Class::Root { .. }) {
                continue;
            }
            let strided_operands = matches!(node.op(), Some("prim.matmul" | "prim.attention"));
            let weight =
                (node.op() == Some("prim.conv")).then(|| node.args().get(1).and_then(Arg::as_tensor)).flatten();
            // A mask is evaluated element by element, so it may be any cheap expression.
            let mask =
                (node.op() == Some("prim.attention")).then(|| node.args().get(3).and_then(Arg::as_tensor)).flatten();
            for v in node.operands() {
                let view = matches!(classify(graph.node(v.node)), Class::View | Class::Generator);
                let fine = if Some(&v) == weight {
                    false
                } else if Some(&v) == mask {
                    true
                } else if strided_operands || node.op() == Some("prim.conv") {
                    self.is_strided(v)
                } else {
                    true
                };
                if view && !fine {
                    self.forced.insert(v.node);
                }
            }
        }
    }

    fn place(&mut self, id: NodeId, node: &Node) {
        let class = classify(node);
        match class {
            Class::Leaf => {}
            Class::Control => self.start(id, Kind::Alone),
            Class::Generator | Class::View if !self.forced.contains(&id) => {
                self.inlined.insert(id);
            }
            Class::Root { epilogue } => {
                let root = ValueId { node: id, index: 0 };
                let kind = if epilogue { Kind::Epilogue { root } } else { Kind::Alone };
                self.start(id, kind);
            }
            _ => {
                if !self.forced.contains(&id) && self.may_inline(id, node) {
                    self.inlined.insert(id);
                } else if let Some(group) = self.joinable(id, node, class) {
                    let joined = &mut self.groups[group];
                    joined.members.push(id);
                    if let (Kind::Loop { space }, Class::Reduction) = (&joined.kind, class) {
                        let reduced = node.args().get(1).and_then(Arg::as_ints).unwrap_or_default();
                        joined.kind = Kind::Rows { space: space.clone(), reduced };
                    }
                    self.of.insert(id, group);
                } else {
                    self.start_for(id, node, class);
                }
            }
        }
    }

    fn start(&mut self, id: NodeId, kind: Kind) {
        self.of.insert(id, self.groups.len());
        self.groups.push(Group { members: vec![id], kind });
    }

    fn start_for(&mut self, id: NodeId, node: &Node, class: Class) {
        let kind = match (class, node.args()) {
            (Class::Reduction, [Arg::Tensor(x), dims, _]) => {
                Kind::Rows { space: self.fact_shape(*x).to_vec(), reduced: dims.as_ints().unwrap_or_default() }
            }
            _ => Kind::Loop { space: self.fact_shape(ValueId { node: id, index: 0 }).to_vec() },
        };
        self.start(id, kind);
    }

    /// Cost of computing an element of `v` from materialised values, and whether that needs statements; `None` if it
    /// depends on a group's member (which is materialised as soon as anyone asks).
    fn closure(&self, v: ValueId, seen: &mut BTreeSet<NodeId>) -> (u32, bool, bool) {
        if !self.inlined.contains(&v.node) || !seen.insert(v.node) {
            return (0, false, self.of.contains_key(&v.node));
        }
        let node = self.graph.node(v.node);
        let own = (cost(node), needs_statements(self.graph, node), false);
        node.operands().fold(own, |(c, s, g), o| {
            let (c2, s2, g2) = self.closure(o, seen);
            (c + c2, s || s2, g || g2)
        })
    }

    fn operand_closure(&self, node: &Node) -> (u32, bool, bool) {
        let mut seen = BTreeSet::new();
        node.operands().fold((cost(node), needs_statements(self.graph, node), false), |(c, s, g), o| {
            let (c2, s2, g2) = self.closure(o, &mut seen);
            (c + c2, s || s2, g || g2)
        })
    }

    /// Whether every user may compute the node's value for itself.
    fn may_inline(&self, id: NodeId, node: &Node) -> bool {
        if matches!(classify(node), Class::Reduction | Class::Window) || node.outputs.len() != 1 {
            return false;
        }
        let (total, statements, on_members) = self.operand_closure(node);
        let users = self.consumers(id);
        // Under a condition, in an epilogue or behind a window only plain expressions can stand.
        let plain_needed = users
            .iter()
            .any(|(u, _)| matches!(classify(self.graph.node(*u)), Class::Guarded | Class::Root { .. } | Class::Window));
        if statements && plain_needed {
            return false;
        }
        let heavy_user = users.iter().any(|(u, via)| self.needs_memory(*u, *via));
        if heavy_user {
            return false;
        }
        if total <= CHEAP && !on_members {
            return true;
        }
        let [(user, via)] = users.as_slice() else { return false };
        let reader = self.graph.node(*user);
        let reads_once = match classify(reader) {
            Class::Pointwise | Class::Guarded | Class::Reduction => !self.is_broadcast(id, *via),
            // The index operand is read once for each result element; the data operand is chosen from.
            Class::Indexed => {
                reader.args().first().and_then(Arg::as_tensor) != Some(via) && !self.is_broadcast(id, *via)
            }
            _ => false,
        };
        reads_once && self.closure_size(id) < MAX_NODES && !(statements && classify(reader) == Class::Guarded)
    }

    fn closure_size(&self, id: NodeId) -> usize {
        let mut seen = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(n) = stack.pop() {
            if seen.insert(n) {
                stack.extend(self.graph.node(n).operands().map(|o| o.node).filter(|o| self.inlined.contains(o)));
            }
        }
        seen.len()
    }

    /// Whether the user can only read this operand from memory.
    fn needs_memory(&self, user: NodeId, via: ValueId) -> bool {
        let node = self.graph.node(user);
        match classify(node) {
            // Masks of attention are evaluated element by element.
            Class::Root { .. } if node.op() == Some("prim.attention") => {
                node.args().get(3).and_then(Arg::as_tensor) != Some(&via)
            }
            Class::Root { epilogue } => epilogue || sorts(node),
            Class::Control => true,
            _ => false,
        }
    }

    /// The users of a node behind views that are inlined, with the operand they use it through.
    fn consumers(&self, id: NodeId) -> Vec<(NodeId, ValueId)> {
        let mut found = Vec::new();
        let mut stack = vec![id];
        while let Some(n) = stack.pop() {
            for user in self.graph.users(n) {
                let node = self.graph.node(user);
                if classify(node) == Class::View && !self.forced.contains(&user) {
                    stack.push(user);
                } else {
                    found.extend(node.operands().filter(|o| o.node == n).map(|o| (user, o)));
                }
            }
        }
        found
    }

    /// Whether `via`, a view of `id`, repeats elements.
    fn is_broadcast(&self, id: NodeId, via: ValueId) -> bool {
        let shape = |v: ValueId| self.graph.fact(v).map(|f| f.numel());
        let (mine, read) = (shape(ValueId { node: id, index: 0 }), shape(via));
        let expands = {
            let mut v = via;
            let mut expands = false;
            while v.node != id {
                let node = self.graph.node(v.node);
                expands |= node.op() == Some("prim.expand");
                match node.operands().next() {
                    Some(o) => v = o,
                    None => break,
                }
            }
            expands
        };
        expands && mine != read
    }

    /// What gives a value to the symbols that a group's members, and what is inlined into them, speak of.
    fn binding(&self, group: usize) -> Vec<NodeId> {
        let members = self.groups.get(group).map_or(&[][..], |g| &g.members);
        let bases = members.iter().flat_map(|m| self.bases(*m, self.graph.node(*m)));
        let control = |v: &ValueId| classify(self.graph.node(v.node)) == Class::Control;
        bases.filter(control).map(|v| v.node).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Materialised values and group members that `node` reads, through inlined nodes, and what gives a value to the
    /// symbols that it speaks of.
    fn bases(&self, id: NodeId, node: &Node) -> Vec<ValueId> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let bound = |id: &NodeId| self.binders.get(id).map_or(&[][..], Vec::as_slice);
        let mut stack: Vec<ValueId> = node.operands().chain(bound(&id).iter().copied()).collect();
        while let Some(v) = stack.pop() {
            if !seen.insert(v) {
                continue;
            }
            if self.inlined.contains(&v.node) {
                stack.extend(self.graph.node(v.node).operands());
                stack.extend(bound(&v.node));
            } else {
                found.push(v);
            }
        }
        found.sort();
        found
    }

    /// The group that the node may join, the latest first.
    fn joinable(&self, id: NodeId, node: &Node, class: Class) -> Option<usize> {
        let bases = self.bases(id, node);
        let mut candidates: Vec<usize> = bases.iter().filter_map(|b| self.of.get(&b.node).copied()).collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().rev().find(|&g| {
            self.fits(g, id, node, class)
                && !self.depends_elsewhere(g, &bases)
                && self.operand_count(g, &bases) <= MAX_OPERANDS
                && self.groups[g].members.len() < MAX_NODES
        })
    }

    fn operand_count(&self, group: usize, more: &[ValueId]) -> usize {
        let mut all: BTreeSet<ValueId> = more.iter().copied().collect();
        for m in &self.groups[group].members {
            all.extend(self.bases(*m, self.graph.node(*m)));
        }
        all.iter().filter(|v| self.of.get(&v.node) != Some(&group)).count()
    }

    /// Whether another operand of the node is computed, directly or not, from the group.
    fn depends_elsewhere(&self, group: usize, bases: &[ValueId]) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<usize> =
            bases.iter().filter_map(|b| self.of.get(&b.node).copied()).filter(|g| *g != group).collect();
        while let Some(g) = stack.pop() {
            if g == group {
                return true;
            }
            if seen.insert(g) {
                for m in &self.groups[g].members {
                    stack.extend(
                        self.bases(*m, self.graph.node(*m)).iter().filter_map(|b| self.of.get(&b.node).copied()),
                    );
                }
            }
        }
        false
    }

    fn fits(&self, group: usize, id: NodeId, node: &Node, class: Class) -> bool {
        let value = ValueId { node: id, index: 0 };
        let shape = self.fact_shape(value);
        match &self.groups[group].kind {
            Kind::Alone => false,
            Kind::Loop { space } => match class {
                Class::Pointwise => shape == space.as_slice() && self.reads_in_place(group, value, node),
                Class::Reduction => self.reduces(group, node, space),
                _ => false,
            },
            Kind::Rows { space, reduced } => match class {
                Class::Pointwise if shape == space.as_slice() => self.reads_rows(group, value, space, reduced),
                Class::Pointwise => {
                    self.is_kept_shape(shape, space, reduced) && self.reads_rows(group, value, space, reduced)
                }
                Class::Reduction => {
                    node.args().get(1).and_then(Arg::as_ints).as_ref() == Some(reduced)
                        && self.reduces(group, node, space)
                }
                _ => false,
            },
            Kind::Epilogue { root } => match class {
                Class::Pointwise | Class::View => self.follows(*root, group, value, node),
                _ => false,
            },
        }
    }

    /// Whether the node, a reduction, combines elements the group computes, over the group's whole space.
    fn reduces(&self, group: usize, node: &Node, space: &[Dim]) -> bool {
        let Some(Arg::Tensor(x)) = node.args().first() else { return false };
        let dims = node.args().get(1).and_then(Arg::as_ints).unwrap_or_default();
        let reduced = match &self.groups[group].kind {
            Kind::Rows { reduced, .. } => reduced.clone(),
            _ => dims,
        };
        // A window or a choice by data inside the group would be computed again in every pass.
        let cheap = self.groups[group]
            .members
            .iter()
            .all(|m| matches!(classify(self.graph.node(*m)), Class::Pointwise | Class::Reduction));
        cheap && self.fact_shape(*x) == space && self.reads_rows(group, *x, space, &reduced)
    }

    fn is_kept_shape(&self, shape: &[Dim], space: &[Dim], reduced: &[i64]) -> bool {
        let kept = || space.iter().enumerate().filter(|(d, _)| !reduced.contains(&(*d as i64))).map(|(_, n)| n);
        let significant = |n: &&Dim| !n.is_one();
        shape.iter().filter(significant).eq(kept().filter(significant))
    }

    /// Whether everything `value` takes from the group is taken at the very index it is computed at.
    fn reads_in_place(&self, group: usize, value: ValueId, node: &Node) -> bool {
        let mut scope = self.scope.clone();
        let (_, index) = Self::probe(&mut scope, self.fact_shape(value));
        node.operands().all(|o| {
            let at = broadcast_index(
                match self.graph.fact(o) {
                    Some(f) => f,
                    None => return false,
                },
                &index,
            );
            self.element_of(&scope, o, &at, &|v, at| self.of.get(&v.node) != Some(&group) || at == index.as_slice())
        })
    }

    /// Whether everything `value` takes from a group of rows is of the row that it is computed in.
    fn reads_rows(&self, group: usize, value: ValueId, space: &[Dim], reduced: &[i64]) -> bool {
        let mut scope = self.scope.clone();
        let shape = self.fact_shape(value);
        let (_, full) = Self::probe(&mut scope, space);
        let kept: Vec<Dim> =
            (0..space.len()).filter(|d| !reduced.contains(&(*d as i64))).map(|d| full[d].clone()).collect();
        let kept_shape: Vec<Dim> =
            (0..space.len()).filter(|d| !reduced.contains(&(*d as i64))).map(|d| space[d].clone()).collect();
        let index = if shape == space { full.clone() } else { reshape_index(&scope, shape, &kept_shape, &kept) };
        let row = |v: ValueId, at: &[Dim]| {
            if self.of.get(&v.node) != Some(&group) {
                return true;
            }
            let shape = self.fact_shape(v);
            if shape == space {
                at == full.as_slice()
            } else {
                at == reshape_index(&scope, shape, &kept_shape, &kept).as_slice()
            }
        };
        if self.of.get(&value.node) == Some(&group) {
            return row(value, &index);
        }
        self.element_of(&scope, value, &index, &row)
    }

    /// Whether the element of `v` at `at`, followed through inlined nodes, reads only elements that `fine` allows.
    fn element_of(&self, scope: &Scope, v: ValueId, at: &[Dim], fine: &dyn Fn(ValueId, &[Dim]) -> bool) -> bool {
        let node = self.graph.node(v.node);
        let new = !self.inlined.contains(&v.node) && !self.of.contains_key(&v.node) && node.op().is_some();
        if !self.inlined.contains(&v.node) && !new {
            return fine(v, at);
        }
        match classify(node) {
            Class::Leaf | Class::Generator => true,
            Class::View => match view_step(self.graph, scope, v, at) {
                Some((base, at)) => self.element_of(scope, base, &at, fine),
                None => false,
            },
            Class::Pointwise => node.operands().all(|o| {
                let Some(fact) = self.graph.fact(o) else { return false };
                let at = broadcast_index(fact, at);
                self.element_of(scope, o, &at, fine)
            }),
            // Reads at other indices: fine only if nothing of the group is read.
            _ => {
                let mut seen = BTreeSet::new();
                let mut stack: Vec<ValueId> = node.operands().collect();
                let everywhere: Vec<Dim> = Vec::new();
                while let Some(o) = stack.pop() {
                    if seen.insert(o) {
                        if self.inlined.contains(&o.node) {
                            stack.extend(self.graph.node(o.node).operands());
                        } else if !fine(o, &everywhere) {
                            return false;
                        }
                    }
                }
                true
            }
        }
    }

    /// Whether the node can be computed where the contraction's elements are, and stored from there.
    fn follows(&self, root: ValueId, group: usize, value: ValueId, node: &Node) -> bool {
        let (_, statements, _) = self.operand_closure(node);
        if statements {
            return false;
        }
        let mut scope = self.scope.clone();
        let (symbols, index) = Self::probe(&mut scope, self.fact_shape(root));
        let Some(at) = forward_index(self.graph, &scope, root, &index, value) else { return false };
        let Some(fact) = self.graph.fact(value) else { return false };
        if !address(&scope, fact, &at).is_affine_in(&symbols) {
            return false;
        }
        // Members are read where they were computed, other operands by strides.
        self.element_of(&scope, value, &at, &|v, at| {
            if self.of.get(&v.node) == Some(&group) {
                forward_index(self.graph, &scope, root, &index, v).is_some_and(|i| i == at)
            } else {
                self.graph
                    .fact(v)
                    .is_some_and(|f| at.len() == f.rank() && address(&scope, f, at).is_affine_in(&symbols))
            }
        })
    }
}
