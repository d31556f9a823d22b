//! Custom operators become calls of C functions that the library's user provides.

use pt2c_ir::{Diagnostic, LocationId, Node, NodeId, NodeKind, Program, ValueId};
use pt2c_ops::prim::custom::{arguments, is_custom};

/// Every call of an operator that is neither PyTorch's nor known here becomes `prim.custom`. Calls that no C function can
/// take stay what they are, and are refused with all others that are not supported.
///
/// # Errors
/// If the program is malformed.
pub fn call_custom(program: &Program) -> Result<Program, Diagnostic> {
    let custom = |node: &Node| node.op().is_some_and(is_custom);
    let calls: Vec<NodeId> = program.graph.nodes().filter(|(_, node)| custom(node)).map(|(id, _)| id).collect();
    if calls.is_empty() {
        return Ok(program.clone());
    }
    let malformed = |error: pt2c_ir::GraphError| Diagnostic::error(error.to_string());
    let mut result = program.clone();
    for id in calls {
        let node = result.graph.node(id).clone();
        let NodeKind::Call { op, args } = &node.kind else { continue };
        let Ok(args) = arguments(op, args, &node.outputs) else { continue };
        let copies: Vec<pt2c_ir::Fact> = args
            .iter()
            .flat_map(pt2c_ir::Arg::tensors)
            .filter_map(|value| result.graph.fact(*value))
            .map(|fact| pt2c_ir::Fact::new(fact.dtype, fact.shape.clone()))
            .collect();
        let first = copies.len() as u32;
        let facts = copies.into_iter().chain(node.outputs.iter().cloned()).collect();
        let location: LocationId = node.location;
        let call = result.graph.add_call("prim.custom", args, &node.name, facts, location).map_err(malformed)?;
        let old: Vec<ValueId> = result.graph.values(id).collect();
        for value in old {
            let new = ValueId { node: call, index: first + value.index };
            result.graph.replace_uses(value, new).map_err(malformed)?;
        }
        result.graph.erase(id).map_err(malformed)?;
    }
    result.graph.sort().map_err(malformed)?;
    Ok(result)
}
