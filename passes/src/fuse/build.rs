//! Writing groups out as regions.

use super::groups::Groups;
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Graph, NodeId, NodeKind, ValueId};
use std::collections::BTreeMap;

/// The fused graph.
pub fn build(graph: &Graph, scope: &Scope, groups: &Groups) -> Result<Graph, Diagnostic> {
    let mut builder = Builder { graph, scope, groups, fused: Graph::new(), placed: BTreeMap::new() };
    for value in graph.inputs() {
        if let Some(fact) = graph.fact(value) {
            let new = builder.fused.add_input(&graph.node(value.node).name, fact.clone());
            builder.placed.insert(value, new);
        }
    }
    let mut regions = Vec::with_capacity(groups.groups.len());
    for g in 0..groups.groups.len() {
        regions.push(builder.body(g)?);
    }
    for g in order(&regions, groups) {
        builder.emit(&regions[g])?;
    }
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for arg in &graph.outputs {
        outputs.push(arg.try_map(|v| builder.materialised(*v))?);
    }
    builder.fused.outputs = outputs;
    Ok(builder.fused)
}

/// A region before it is placed.
struct Region {
    body: Graph,
    /// Values of the original graph.
    operands: Vec<ValueId>,
    results: Vec<ValueId>,
    name: String,
    lead: NodeId,
}

struct Builder<'p> {
    graph: &'p Graph,
    scope: &'p Scope,
    groups: &'p Groups,
    fused: Graph,
    /// Materialised values of the original graph in the fused one.
    placed: BTreeMap<ValueId, ValueId>,
}

fn internal(e: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(format!("fusion built an impossible region: {e}"))
}

impl Builder<'_> {
    /// The body of a group: its members and everything inlined into them.
    fn body(&self, group: usize) -> Result<Region, Diagnostic> {
        let graph = self.graph;
        let members = &self.groups.groups[group].members;
        let mut region = Region {
            body: Graph::new(),
            operands: Vec::new(),
            results: Vec::new(),
            name: String::new(),
            lead: members[0],
        };
        if super::classify(graph.node(region.lead)) == super::Class::Control {
            // Stays as it is.
            region.operands = graph.node(region.lead).operands().collect();
            region.results = graph.values(region.lead).collect();
            return Ok(region);
        }
        let mut cloned: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for &member in members {
            self.clone_node(group, member, &mut region, &mut cloned)?;
        }
        for &member in members {
            let node = graph.node(member);
            let all = node.outputs.len() > 1;
            for value in graph.values(member) {
                let outside = graph.users(member).iter().any(|u| self.uses_outside(group, *u, value));
                let returned = graph.output_values().any(|v| v == value);
                if outside || returned || all {
                    region.results.push(value);
                }
            }
        }
        if region.results.is_empty() {
            // An effect (an assertion), or a value nobody reads.
            region.results = members.iter().flat_map(|m| graph.values(*m)).collect();
        }
        let outputs =
            region.results.iter().map(|v| cloned.get(v).copied().map(Arg::Tensor)).collect::<Option<Vec<_>>>();
        region.body.outputs = outputs.ok_or_else(|| internal("a result that is not computed"))?;
        let heavy = members
            .iter()
            .find(|m| matches!(super::classify(graph.node(**m)), super::Class::Root { .. } | super::Class::Reduction));
        region.lead = *heavy.unwrap_or(&members[0]);
        region.name = graph.node(members[members.len() - 1]).name.clone();
        Ok(region)
    }

    /// Whether `user` reads `value` for another group (directly, or inlined into one).
    fn uses_outside(&self, group: usize, user: NodeId, value: ValueId) -> bool {
        let graph = self.graph;
        if !graph.node(user).operands().any(|o| o == value) {
            return false;
        }
        match self.groups.of.get(&user) {
            Some(g) => *g != group,
            None => graph.values(user).any(|v| {
                graph.users(user).iter().any(|u| self.uses_outside(group, *u, v))
                    || graph.output_values().any(|o| o == v)
            }),
        }
    }

    fn clone_node(
        &self,
        group: usize,
        id: NodeId,
        region: &mut Region,
        cloned: &mut BTreeMap<ValueId, ValueId>,
    ) -> Result<(), Diagnostic> {
        let graph = self.graph;
        // Depth first without recursion: chains of inlined nodes can be long.
        let mut stack = vec![(id, false)];
        while let Some((id, ready)) = stack.pop() {
            if cloned.contains_key(&ValueId { node: id, index: 0 }) {
                continue;
            }
            let node = graph.node(id);
            if !ready {
                stack.push((id, true));
                let mut operands: Vec<ValueId> = node.operands().collect();
                operands.reverse();
                for v in operands {
                    if cloned.contains_key(&v) {
                        continue;
                    }
                    let source = graph.node(v.node);
                    let here = self.groups.of.get(&v.node).is_none_or(|g| *g == group);
                    if source.op().is_some() && here {
                        stack.push((v.node, false));
                    } else {
                        let fact = graph.fact(v).ok_or_else(|| internal("an operand without a fact"))?;
                        let new = region.body.add_input(&graph.value_name(v).replace('.', "_"), fact.clone());
                        region.operands.push(v);
                        cloned.insert(v, new);
                    }
                }
                continue;
            }
            let NodeKind::Call { op, args } = &node.kind else { return Err(internal("a leaf in a body")) };
            let args = args
                .iter()
                .map(|a| a.try_map(|v| cloned.get(v).copied().ok_or_else(|| internal("an operand is missing"))))
                .collect::<Result<Vec<_>, _>>()?;
            let new =
                region.body.add_call(op, args, &node.name, node.outputs.clone(), node.location).map_err(internal)?;
            for (old, new) in graph.values(id).zip(region.body.values(new)) {
                cloned.insert(old, new);
            }
        }
        Ok(())
    }

    /// The fused graph's value for a materialised value; tensors are added when first used.
    fn materialised(&mut self, value: ValueId) -> Result<ValueId, Diagnostic> {
        if let Some(known) = self.placed.get(&value) {
            return Ok(*known);
        }
        let node = self.graph.node(value.node);
        let NodeKind::Tensor(name) = &node.kind else {
            return Err(internal(format!("`{}` is used before it is computed", node.name)));
        };
        let fact = node.outputs.first().cloned().ok_or_else(|| internal("a tensor without a fact"))?;
        let new = self.fused.add_tensor(name, &node.name, fact);
        self.placed.insert(value, new);
        Ok(new)
    }

    fn emit(&mut self, region: &Region) -> Result<(), Diagnostic> {
        let graph = self.graph;
        let operands =
            region.operands.iter().map(|v| self.materialised(*v).map(Some)).collect::<Result<Vec<_>, _>>()?;
        let facts = region.results.iter().filter_map(|v| graph.fact(*v).cloned()).collect();
        let lead = graph.node(region.lead);
        if let (super::Class::Control, NodeKind::Call { op, args }) = (super::classify(lead), &lead.kind) {
            let mut new = Vec::with_capacity(args.len());
            for arg in args {
                new.push(match arg {
                    Arg::Graph(body) => Arg::Graph(super::fuse_graph(body, self.scope)?.into()),
                    other => other.try_map(|v| self.materialised(*v))?,
                });
            }
            let node = self.fused.add_call(op, new, &lead.name, lead.outputs.clone(), lead.location);
            let node = node.map_err(internal)?;
            for (old, new) in region.results.iter().zip(self.fused.values(node).collect::<Vec<_>>()) {
                self.placed.insert(*old, new);
            }
            return Ok(());
        }
        let kind = lead.op().unwrap_or_default().trim_start_matches("prim.").to_string();
        let args = vec![Arg::Tensors(operands), Arg::Graph(region.body.clone().into()), Arg::Str(kind)];
        let location = lead.location;
        let node = self.fused.add_call("prim.region", args, &region.name, facts, location).map_err(internal)?;
        for (old, new) in region.results.iter().zip(self.fused.values(node).collect::<Vec<_>>()) {
            self.placed.insert(*old, new);
        }
        Ok(())
    }
}

/// Groups in an order in which operands come before users, as close to the order they were formed in as possible.
fn order(regions: &[Region], groups: &Groups) -> Vec<usize> {
    let mut done = vec![false; regions.len()];
    let mut result = Vec::with_capacity(regions.len());
    for start in 0..regions.len() {
        let mut stack = vec![(start, false)];
        while let Some((g, ready)) = stack.pop() {
            if done[g] {
                continue;
            }
            if ready {
                done[g] = true;
                result.push(g);
                continue;
            }
            stack.push((g, true));
            let bound = groups.binding.get(g).into_iter().flatten();
            let before = regions[g].operands.iter().map(|v| &v.node).chain(bound);
            let before = before.filter_map(|n| groups.of.get(n).copied());
            stack.extend(before.filter(|b| !done[*b] && *b != g).map(|b| (b, false)));
        }
    }
    result
}
