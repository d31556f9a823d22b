//! `fold_constants`: computes what depends on constants only, with the reference evaluation.
//!
//! Precondition: primitives. A view of a constant stays a view (it costs nothing), a value larger than what it is made
//! of stays a computation, and so does anything with a symbolic size. Postcondition: no other call has only constant
//! operands.

use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Fact, NodeId, NodeKind, Program, TensorData, ValueId};
use pt2c_ops::{Call, Tags, Tensor, lookup};
use std::collections::BTreeMap;

/// Elements that may be computed from nothing (masks, tables of positions).
const FREE_ELEMENTS: usize = 1 << 16;

/// Folds constants.
pub fn fold_constants(program: &Program) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    let users = constant_views(&program);
    let ids: Vec<NodeId> = program.graph.nodes().map(|(id, _)| id).collect();
    let mut known: BTreeMap<ValueId, Tensor> = BTreeMap::new();
    let scope = Scope::default();
    let mut folded: Vec<(ValueId, Tensor, bool)> = Vec::new();
    for id in ids {
        let node = program.graph.node(id);
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
        if symbolic || !node.operands().all(|v| is_constant(&program, &known, v)) {
            continue;
        }
        let size = |f: &Fact| f.numel().as_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let made: usize = node.outputs.iter().map(size).sum();
        let from: usize = node.operands().filter_map(|v| program.graph.fact(v)).map(size).sum();
        if made > FREE_ELEMENTS && made > from {
            continue;
        }
        // A generator or a view alone is cheaper than a constant; it is computed when something folds that needs it.
        let lazy = users.contains(&id);
        let mut values = Vec::new();
        for a in args {
            values.push(a.try_map(|v| evaluate(&program, &mut known, *v))?);
        }
        let call = Call { op, args: &values, scope: &scope };
        // What cannot be evaluated now fails at run time, or never runs.
        let Ok(results) = (op.def.eval)(&call) else { continue };
        for (value, tensor) in program.graph.values(id).zip(results) {
            known.insert(value, tensor.clone());
            folded.push((value, tensor, lazy));
        }
    }
    for (value, tensor, lazy) in folded {
        if lazy || program.graph.use_count(value) == 0 {
            continue;
        }
        let only_folded = program.graph.users(value.node).iter().all(|u| {
            let outputs: Vec<ValueId> = program.graph.values(*u).collect();
            outputs.iter().all(|o| known.contains_key(o)) && !users.contains(u)
        });
        if only_folded && !program.graph.output_values().any(|o| o == value) {
            continue;
        }
        let fact = program.graph.fact(value).cloned().ok_or_else(|| Diagnostic::error("a value without a fact"))?;
        let name = program.graph.node(value.node).name.clone();
        let data = TensorData::dense(fact.dtype, tensor.shape().to_vec(), tensor.to_bytes())
            .map_err(|e| Diagnostic::error(e.to_string()))?;
        let tensor_name = program.add_constant(&format!("folded.{name}"), fact.clone(), data);
        let new = program.graph.add_tensor(&tensor_name, &name, fact);
        program.graph.replace_uses(value, new).map_err(|e| Diagnostic::error(e.to_string()))?;
    }
    program.graph.sort().map_err(|e| Diagnostic::error(e.to_string()))?;
    crate::normalize::remove_dead(&mut program);
    Ok(program)
}

/// Generators and views: folded only as part of something else, or where only a plain constant will do.
fn constant_views(program: &Program) -> std::collections::BTreeSet<NodeId> {
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

fn is_constant(program: &Program, known: &BTreeMap<ValueId, Tensor>, v: ValueId) -> bool {
    match &program.graph.node(v.node).kind {
        NodeKind::Input => false,
        NodeKind::Tensor(name) => {
            program.is_constant(name) && program.tensors.get(name).is_some_and(|t| t.data.is_some())
        }
        NodeKind::Call { .. } => known.contains_key(&v),
    }
}

fn evaluate(program: &Program, known: &mut BTreeMap<ValueId, Tensor>, v: ValueId) -> Result<Tensor, Diagnostic> {
    if let Some(t) = known.get(&v) {
        return Ok(t.clone());
    }
    let missing = || Diagnostic::error("a constant without a value");
    let NodeKind::Tensor(name) = &program.graph.node(v.node).kind else { return Err(missing()) };
    let data = program.tensors.get(name).and_then(|t| t.data.as_ref()).ok_or_else(missing)?;
    let tensor = Tensor::from_data(data).map_err(|e| Diagnostic::error(e.to_string()))?;
    known.insert(v, tensor.clone());
    Ok(tensor)
}
