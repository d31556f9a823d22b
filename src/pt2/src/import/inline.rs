//! Operators that only set a mode around a nested graph (gradients on or off, autocast, checkpoints): the graph takes the
//! place of the call.

use super::error::{ImportError, ImportErrorKind};
use super::functionalize::Names;
use super::graph::{Builder, insert, known, tensor_names};
use crate::schema::{self, Argument, Node};

/// A nested graph that can stand in place of its operator.
pub(super) struct Inlined<'a> {
    graph: &'a schema::Graph,
    operands: Vec<&'a Argument>,
    /// Whether autocast is on inside; `None` leaves it as it is outside.
    autocast: Option<bool>,
}

/// The nested graph of operators that only set a mode which means nothing here.
pub(super) fn inlined<'a>(node: &'a Node, op: &str) -> Result<Option<Inlined<'a>>, ImportErrorKind> {
    let position = node.inputs.iter().position(|input| matches!(input.arg, Argument::AsGraph(_)));
    let found = position.and_then(|at| match node.inputs.get(at).map(|input| &input.arg) {
        Some(Argument::AsGraph(inner)) => Some((at, &inner.graph)),
        _ => None,
    });
    let Some((at, graph)) = found else { return Ok(None) };
    let autocast = match op {
        "higher_order.wrap_with_set_grad_enabled"
        | "higher_order.tag_activation_checkpoint"
        | "higher_order.invoke_subgraph" => None,
        // Device, type, enabled, cache enabled, graph.
        "higher_order.wrap_with_autocast" => match node.inputs.get(2).map(|input| &input.arg) {
            Some(Argument::AsBool(enabled)) => Some(*enabled),
            _ => return Err(ImportErrorKind::argument("enabled", "is no boolean")),
        },
        _ => return Ok(None),
    };
    // Names and other settings may stand among the operands.
    let operands = node.inputs.iter().skip(at + 1).map(|input| &input.arg);
    let operands = operands.filter(|arg| !matches!(arg, Argument::AsString(_))).collect();
    Ok(Some(Inlined { graph, operands, autocast }))
}

impl Builder<'_> {
    /// Imports a nested graph in place of the node: operators that only set a mode around it.
    pub(super) fn inline(&mut self, names: &mut Names, node: &Node, inlined: Inlined<'_>) -> Result<(), ImportError> {
        let Inlined { graph: source, operands, autocast } = inlined;
        if source.inputs.len() != operands.len() {
            let reason = format!("{} operands for {} inputs of the nested graph", operands.len(), source.inputs.len());
            return Err(ImportErrorKind::argument("operands", reason).into());
        }
        let mut inner = Names::new();
        for (input, operand) in source.inputs.iter().zip(operands) {
            if let (Argument::AsTensor(input), Argument::AsTensor(operand)) = (input, operand) {
                insert(&mut inner, &input.name, known(names, &operand.name)?.clone())?;
            }
        }
        let outside = self.autocast;
        self.autocast = autocast.unwrap_or(outside);
        let imported = self.nodes(source, &mut inner);
        self.autocast = outside;
        imported?;
        let results: Vec<&str> = node.outputs.iter().flat_map(tensor_names).collect();
        let returned: Vec<&str> = source.outputs.iter().flat_map(tensor_names).collect();
        if results.len() != returned.len() {
            let reason = format!("{} results for {} outputs of the nested graph", results.len(), returned.len());
            return Err(ImportErrorKind::argument("outputs", reason).into());
        }
        for (result, returned) in results.into_iter().zip(returned) {
            let view = known(&inner, returned)?.clone();
            insert(names, result, view)?;
        }
        Ok(())
    }
}
