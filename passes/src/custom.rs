//! Custom operators become calls of C functions that the library's user provides.

use pt2c_ir::{Diagnostic, LocationId, Node, NodeId, NodeKind, Program, ValueId};
use pt2c_ops::prim::custom::{is_custom, primitive};

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
        let Ok(made) = primitive(op, args, &node.outputs) else { continue };
        let copies: Vec<pt2c_ir::Fact> = made
            .args
            .iter()
            .flat_map(pt2c_ir::Arg::tensors)
            .filter_map(|value| result.graph.fact(*value))
            .map(|fact| pt2c_ir::Fact::new(fact.dtype, fact.shape.clone()))
            .collect();
        let first = copies.len();
        let own = made.results.iter().zip(&node.outputs).filter(|(index, _)| **index >= first);
        let facts = copies.iter().cloned().chain(own.map(|(_, fact)| fact.clone())).collect();
        let location: LocationId = node.location;
        let call = result.graph.add_call("prim.custom", made.args, &node.name, facts, location).map_err(malformed)?;
        let old: Vec<ValueId> = result.graph.values(id).collect();
        for (value, index) in old.into_iter().zip(made.results) {
            let new = ValueId { node: call, index: index as u32 };
            result.graph.replace_uses(value, new).map_err(malformed)?;
        }
        result.graph.erase(id).map_err(malformed)?;
    }
    result.graph.sort().map_err(malformed)?;
    Ok(result)
}
