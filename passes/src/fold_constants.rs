//! `fold_constants`: computes what depends on constants only, with the reference evaluation.
//!
//! Precondition: primitives. A view of a constant stays a view (it costs nothing), a value larger than what it is made
//! of stays a computation, and so does anything with a symbolic size. Postcondition: no other call has only constant
//! operands.

use indexmap::IndexMap;
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Fact, NodeId, NodeKind, Program, TensorData, ValueId};
use pt2c_ops::{Call, Tags, Tensor, lookup};
use std::collections::{BTreeMap, BTreeSet};

/// Elements that may be computed from nothing (masks, tables of positions).
const FREE_ELEMENTS: usize = 1 << 16;

/// Folds constants.
pub fn fold_constants(program: &Program) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    let views = constant_views(&program);
    let mut foldable = foldable(&program);
    // What cannot be evaluated now fails at run time, or never runs, with all that needs it; what it is made of may still
    // be folded.
    let mut folded = IndexMap::new();
    while let Err(failed) = evaluate_all(&program, &views, &foldable, &mut folded)? {
        foldable.remove(&failed);
        for (id, node) in program.graph.nodes() {
            let known = |v: ValueId| is_constant(&program, &foldable, v);
            if foldable.contains(&id) && !node.operands().all(known) {
                foldable.remove(&id);
            }
        }
    }
    for (value, data) in folded {
        let fact = program.graph.fact(value).cloned().ok_or_else(|| Diagnostic::error("a value without a fact"))?;
        let name = program.graph.node(value.node).name.clone();
        let tensor_name = program.add_constant(&format!("folded.{name}"), fact.clone(), data);
        let new = program.graph.add_tensor(&tensor_name, &name, fact);
        program.graph.replace_uses(value, new).map_err(|e| Diagnostic::error(e.to_string()))?;
    }
    program.graph.sort().map_err(|e| Diagnostic::error(e.to_string()))?;
    crate::normalize::remove_dead(&mut program);
    Ok(program)
}

/// The calls with constant operands only whose results have known sizes and are worth their memory.
fn foldable(program: &Program) -> BTreeSet<NodeId> {
    let mut foldable = BTreeSet::new();
    for (id, node) in program.graph.nodes() {
        let NodeKind::Call { op, args } = &node.kind else { continue };
        let Some(op) = lookup(op) else { continue };
        if op.def.tags.has(Tags::RANDOM)
            || op.def.tags.has(Tags::EFFECT)
            || op.def.tags.has(Tags::CONTROL)
            || node.op() == Some("prim.region")
        {
            continue;
        }
        let symbolic = node.outputs.iter().any(|f| f.static_shape().is_none())
            || args.iter().any(|a| match a {
                Arg::Int(d) => !d.is_int(),
                Arg::Ints(ds) => ds.iter().any(|d| !d.is_int()),
                _ => false,
            });
        if symbolic || !node.operands().all(|v| is_constant(program, &foldable, v)) {
            continue;
        }
        let made: usize = node.outputs.iter().map(elements).sum();
        let from: usize = node.operands().filter_map(|v| program.graph.fact(v)).map(elements).sum();
        if made <= FREE_ELEMENTS || made <= from {
            foldable.insert(id);
        }
    }
    foldable
}

fn elements(fact: &Fact) -> usize {
    fact.numel().as_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

fn is_constant(program: &Program, foldable: &BTreeSet<NodeId>, v: ValueId) -> bool {
    match &program.graph.node(v.node).kind {
        NodeKind::Input => false,
        NodeKind::Tensor(name) => {
            program.is_constant(name) && program.tensors.get(name).is_some_and(|t| t.data.is_some())
        }
        NodeKind::Call { .. } => foldable.contains(&v.node),
    }
}

/// Generators and views: folded only as part of something else, or where only a plain constant will do.
fn constant_views(program: &Program) -> BTreeSet<NodeId> {
    use crate::fuse::{Class, classify};
    let weight = |id: NodeId| {
        program.graph.users(id).into_iter().any(|u| {
            let user = program.graph.node(u);
            user.op() == Some("prim.conv") && user.args().get(1).and_then(Arg::as_tensor).is_some_and(|w| w.node == id)
        })
    };
    let free = |(id, n): &(NodeId, &pt2c_ir::Node)| match classify(n) {
        Class::Generator => true,
        Class::View => !weight(*id),
        _ => false,
    };
    program.graph.nodes().filter(free).map(|(id, _)| id).collect()
}

/// Evaluates the foldable values that something else than folding needs and that are not folded yet, up to a call that
/// cannot be evaluated. A view or generator alone is cheaper than a constant: it is computed only as a part of something
/// else.
fn evaluate_all(
    program: &Program,
    views: &BTreeSet<NodeId>,
    foldable: &BTreeSet<NodeId>,
    folded: &mut IndexMap<ValueId, TensorData>,
) -> Result<Result<(), NodeId>, Diagnostic> {
    let goes = |id: &NodeId| foldable.contains(id) && !views.contains(id);
    let mut evaluator = Evaluator { program, known: BTreeMap::new() };
    for id in program.graph.nodes().map(|(id, _)| id).filter(goes) {
        let only_folded = program.graph.users(id).iter().all(goes);
        for value in program.graph.values(id) {
            let is_output = program.graph.output_values().any(|o| o == value);
            let needed = program.graph.use_count(value) > 0 && (!only_folded || is_output);
            if !needed || folded.contains_key(&value) {
                continue;
            }
            let tensor = match evaluator.value(value)? {
                Ok(tensor) => tensor,
                Err(failed) => return Ok(Err(failed)),
            };
            let fact = program.graph.fact(value).ok_or_else(|| Diagnostic::error("a value without a fact"))?;
            let data = TensorData::dense(fact.dtype, tensor.shape().to_vec(), tensor.to_bytes())
                .map_err(|e| Diagnostic::error(e.to_string()))?;
            folded.insert(value, data);
        }
        evaluator.forget_large();
    }
    Ok(Ok(()))
}

/// Evaluates constant values on demand. Tensors of the reference evaluation have 8 bytes an element, so the large ones
/// are not kept from one folded value to the next.
struct Evaluator<'a> {
    program: &'a Program,
    known: BTreeMap<ValueId, Tensor>,
}

impl Evaluator<'_> {
    /// A value, or the call on the way to it that cannot be evaluated.
    fn value(&mut self, value: ValueId) -> Result<Result<Tensor, NodeId>, Diagnostic> {
        // A stack of our own: chains of constants may be long.
        let mut wanted = vec![value];
        while let Some(&v) = wanted.last() {
            if self.known.contains_key(&v) {
                wanted.pop();
                continue;
            }
            let node = self.program.graph.node(v.node);
            let waiting: Vec<ValueId> = node.operands().filter(|o| !self.known.contains_key(o)).collect();
            if !waiting.is_empty() {
                wanted.extend(waiting);
                continue;
            }
            match self.evaluate(v)? {
                Some(results) => self.known.extend(self.program.graph.values(v.node).zip(results)),
                None => return Ok(Err(v.node)),
            }
        }
        self.known.get(&value).cloned().map(Ok).ok_or_else(missing)
    }

    /// The results of a node whose operands are known; `None` if there are none now.
    fn evaluate(&self, v: ValueId) -> Result<Option<Vec<Tensor>>, Diagnostic> {
        match &self.program.graph.node(v.node).kind {
            NodeKind::Input => Err(missing()),
            NodeKind::Tensor(name) => {
                let data = self.program.tensors.get(name).and_then(|t| t.data.as_ref()).ok_or_else(missing)?;
                let tensor = Tensor::from_data(data).map_err(|e| Diagnostic::error(e.to_string()))?;
                Ok(Some(vec![tensor]))
            }
            NodeKind::Call { op, args } => {
                let op = lookup(op).ok_or_else(missing)?;
                let operand = |v: &ValueId| self.known.get(v).cloned().ok_or_else(missing);
                let args = args.iter().map(|a| a.try_map(|v| operand(v))).collect::<Result<Vec<_>, Diagnostic>>()?;
                let results = (op.def.eval)(&Call { op, args: &args, scope: &Scope::default() }).ok();
                Ok(results.filter(|r| r.len() == self.program.graph.node(v.node).outputs.len()))
            }
        }
    }

    fn forget_large(&mut self) {
        self.known.retain(|_, tensor| tensor.numel() <= FREE_ELEMENTS);
    }
}

fn missing() -> Diagnostic {
    Diagnostic::error("a constant without a value")
}
