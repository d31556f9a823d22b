//! Primitives around the computation: checks, and regions made by `fuse`.

use crate::{Call, OpDef, OpError, Tags, interpret};
use pt2c_ir::Fact;
use std::collections::BTreeMap;

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new(
        "assert(Tensor cond, str message) -> ()",
        |c| {
            c.tensor("cond")?;
            Ok(Vec::new())
        },
        |c| {
            if c.tensor("cond")?.as_bools().iter().all(|&b| b) {
                Ok(Vec::new())
            } else {
                Err(OpError::Runtime(c.str("message")?.to_string()))
            }
        },
    )
    .tagged(Tags::EFFECT),
    // The interpreter runs a region itself, since only it knows the values of the symbols; this is for bodies
    // without symbolic sizes.
    OpDef::new("region(Tensor[] operands, Graph body, str kind) -> (...)", infer_region, |c| {
        let operands: Vec<_> = c.tensors("operands")?.into_iter().cloned().collect();
        interpret::run_body(body(c)?, &operands, &BTreeMap::new()).map_err(|e| OpError::Invalid(e.to_string()))
    }),
];

fn body<'a, T>(c: &Call<'a, T>) -> Result<&'a pt2c_ir::Graph, OpError> {
    c.arg("body")?.as_graph().map(|g| &**g).ok_or_else(|| OpError::invalid("a region needs a body"))
}

/// The facts of the body's outputs. They may speak of the same symbols as the operands.
fn infer_region(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (operands, body) = (c.tensors("operands")?, body(c)?);
    if operands.len() != body.inputs().len() {
        return Err(OpError::Invalid(format!(
            "a region of {} inputs has {} operands",
            body.inputs().len(),
            operands.len()
        )));
    }
    body.output_values()
        .map(|v| body.fact(v).cloned().ok_or_else(|| OpError::invalid("a region returns a value it does not have")))
        .collect()
}
