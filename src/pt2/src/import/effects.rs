//! Operators that are in a program for their effects in Python, or for Python's sake only.
//!
//! | operator | becomes |
//! | --- | --- |
//! | `aten._print`, `print` | nothing, with a warning |
//! | `with_effects(token, op, …)` | the operator; a token only says what comes before what, as the order of nodes does |
//! | `aten.promote_types`, `lazy_load_decompositions` | nothing: their results, if any, are in the archive as constants |

use pt2c_ir::{Diagnostic, LocationId};

use super::error::{ImportError, ImportErrorKind};
use super::functionalize::Names;
use super::graph::Builder;
use super::schemas;
use crate::schema::{self, Argument, Node};

impl Builder<'_> {
    /// Imports an operator that is there for an effect in Python. Returns whether it was one.
    pub(super) fn effect(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
        location: LocationId,
    ) -> Result<bool, ImportError> {
        match op {
            "aten.promote_types.default" | "py.torch._functorch.predispatch.lazy_load_decompositions" => Ok(true),
            "aten._print.default" | "higher_order.print" => {
                self.shared.facts.warnings.push(
                    Diagnostic::warning("the compiled program does not print")
                        .at(self.shared.locations.get(location))
                        .help("return the value, or read it with `pt2c compare`"),
                );
                Ok(true)
            }
            "higher_order.with_effects" => {
                let inner = wrapped(node)?;
                let op = schemas::op_name(&inner.target);
                self.node(source, names, &inner, &op)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// The call inside `with_effects(token, op, arguments …) -> (token, results …)`.
fn wrapped(node: &Node) -> Result<Node, ImportErrorKind> {
    let target = node.inputs.get(1).map(|input| &input.arg);
    let (Some(Argument::AsOperator(target)), false) = (target, node.outputs.is_empty()) else {
        return Err(ImportErrorKind::argument("op", "is no operator"));
    };
    let schema = schemas::schema(&schemas::op_name(target));
    let inputs = node.inputs.iter().skip(2).enumerate().map(|(i, input)| {
        let mut input = input.clone();
        if let (true, Some(param)) = (input.name.is_empty(), schema.and_then(|s| s.params.get(i))) {
            input.name.clone_from(&param.name);
        }
        input
    });
    let results = node.outputs.iter().skip(1).filter(|output| !matches!(output, Argument::AsNone(_)));
    Ok(Node { target: target.clone(), inputs: inputs.collect(), outputs: results.cloned().collect(), ..node.clone() })
}
