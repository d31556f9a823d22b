//! Applies the rules until nothing changes, in rounds, within limits on rounds and nodes that do not depend on time.

use super::Options;
use super::engine::{Engine, Record, Step, val};
use super::language::{Head, Node};
use super::rules::{RULES, Roots, Rule, Site};
use egg::{Id, Language};
use indexmap::IndexMap;
use pt2c_ops::{Tags, lookup};
use std::collections::HashSet;

/// How deep under its root a rule that says nothing else looks.
const DEPTH: usize = 5;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saturation {
    /// Rounds over the whole e-graph.
    pub rounds: u32,
    /// Applications that changed something.
    pub applied: usize,
    /// Whether a limit ended it.
    pub limited: bool,
}

/// The rules by operator of their root.
struct Index {
    by_op: IndexMap<&'static str, Vec<&'static Rule>>,
    pointwise: Vec<&'static Rule>,
}

impl Index {
    fn new() -> Index {
        let mut index = Index { by_op: IndexMap::new(), pointwise: Vec::new() };
        for rule in RULES.iter().copied().flatten() {
            match rule.roots {
                Roots::Ops(ops) => {
                    for op in ops {
                        index.by_op.entry(op).or_default().push(rule);
                    }
                }
                Roots::Pointwise => index.pointwise.push(rule),
            }
        }
        index
    }

    fn of(&self, op: &str) -> Vec<&'static Rule> {
        let mut rules = self.by_op.get(op).cloned().unwrap_or_default();
        if op.starts_with("prim.") && lookup(op).is_some_and(|op| op.def.tags.has(Tags::POINTWISE)) {
            rules.extend(&self.pointwise);
        }
        rules
    }
}

/// Applies all rules.
pub fn saturate(engine: &mut Engine<'_>, options: &Options) -> Saturation {
    let index = Index::new();
    let mut result = Saturation::default();
    let most = options.max_nodes.max(engine.egraph.nodes().len().saturating_mul(8));
    loop {
        if result.rounds >= options.max_rounds || engine.egraph.nodes().len() > most {
            result.limited = true;
            return result;
        }
        let near = distances(engine, result.rounds);
        result.rounds += 1;
        engine.egraph.analysis.round = result.rounds;
        let before = result.applied;
        let mut seen: HashSet<Node> = HashSet::new();
        for i in 0..engine.egraph.nodes().len() {
            let class = engine.egraph.find(Id::from(i));
            let node = engine.egraph.nodes()[i].clone().map_children(|c| engine.egraph.find(c));
            let Head::Call { op, .. } = engine.egraph.analysis.heads.get(&node) else { continue };
            let rules = index.of(op);
            if rules.is_empty() || node.children.contains(&class) || !seen.insert(node.clone()) {
                continue;
            }
            let op = op.clone();
            let distance = near.get(usize::from(class)).copied().unwrap_or(0);
            for rule in rules {
                if distance > rule.depth.unwrap_or(DEPTH) {
                    continue;
                }
                if options.stop_after.is_some_and(|n| result.applied >= n) {
                    engine.egraph.rebuild();
                    result.limited = true;
                    return result;
                }
                // Rules applied before in this round may have united operands: the arguments are read anew.
                let args = engine.egraph.analysis.heads.args(&node, |c| val(engine.egraph.find(c)));
                let site = Site { class: val(engine.egraph.find(class)), op: &op, args };
                let origin = engine.records.get(i).map_or(0, |r| r.origin);
                engine.context = Record { step: Step::Rule(rule.name), from: Some(i), origin };
                // A rule whose result cannot be built does not apply.
                if let Some(new) = (rule.apply)(engine, &site)
                    && engine.unite(site.class, new)
                {
                    result.applied += 1;
                }
            }
            if engine.egraph.nodes().len() > most {
                break;
            }
        }
        engine.egraph.rebuild();
        if result.applied == before {
            return result;
        }
    }
}

/// For every class, how far under it the nearest class is that changed in the last round; large where none is.
fn distances(engine: &Engine<'_>, last: u32) -> Vec<usize> {
    let count = engine.egraph.nodes().len();
    let mut near = vec![usize::MAX; count];
    for (i, distance) in near.iter_mut().enumerate() {
        let class = engine.egraph.find(Id::from(i));
        if usize::from(class) == i && engine.egraph[class].data.changed >= last {
            *distance = 0;
        }
    }
    let farthest = RULES.iter().copied().flatten().filter_map(|r| r.depth).max().unwrap_or(0).max(DEPTH);
    for step in 1..=farthest {
        let mut changed = false;
        for (i, node) in engine.egraph.nodes().iter().enumerate() {
            let class = usize::from(engine.egraph.find(Id::from(i)));
            let below =
                node.children.iter().any(|c| near.get(usize::from(engine.egraph.find(*c))) == Some(&(step - 1)));
            if below && near.get(class).is_some_and(|d| *d > step) {
                near[class] = step;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    near
}
