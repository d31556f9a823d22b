//! Calls of the runtime's routines: the operands are copied into the results, which the routine then works on.

use super::contraction::IsConstant;
use super::sequence::copy_into;
use super::{Binding, LowerError, Lowered};
use crate::{Access, Body, Kernel, Param, Routine};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, Graph, NodeId, ValueId};

/// `prim.routine(operands, name, batch, sizes)`.
pub fn routine(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    _: IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let [Arg::Tensors(operands), Arg::Str(routine), batch, sizes] = graph.node(root).args() else {
        return Err(LowerError::Malformed("routine"));
    };
    let dims = |a: &Arg| if let Arg::Ints(d) = a { Ok(d.clone()) } else { Err(LowerError::Malformed("routine")) };
    let (batch, sizes) = (dims(batch)?, dims(sizes)?);
    let (known, pairs) =
        pt2c_ops::prim::routine::routine(routine).ok_or(LowerError::Malformed("an unknown routine"))?;
    let expected: Vec<ValueId> = graph.values(root).collect();
    if graph.output_values().collect::<Vec<_>>() != expected || known.slots.len() != expected.len() {
        return Err(LowerError::Malformed("the region must return all buffers of its routine"));
    }
    let mut kernels = Vec::new();
    let mut given = operands.iter().flatten();
    let mut params = Vec::new();
    for (i, (slot, value)) in known.slots.iter().zip(&expected).enumerate() {
        let fact = graph.fact(*value).ok_or(LowerError::Malformed("routine"))?;
        if !fact.order.is_row_major() {
            return Err(LowerError::Malformed("a buffer of a routine must be row-major"));
        }
        if slot.operand {
            let x = given.next().ok_or(LowerError::Malformed("routine"))?;
            kernels.push(copy_into(graph, *x, i, name, scope)?);
        }
        let access = if slot.operand { Access::ReadWrite } else { Access::Write };
        params.push(Param { name: graph.value_name(*value), dtype: fact.dtype, access });
    }
    let count = batch.iter().fold(Dim::ONE, |n, d| n * d);
    let cost = (known.cost)(&sizes);
    let body = Body::Routine(Routine { name: known.name.to_string(), pairs, count, sizes, cost });
    let bindings = (0..params.len()).map(Binding::Output).collect();
    kernels.push(Lowered { kernel: Kernel { name: name.to_string(), params, body }, bindings, repeat: None });
    Ok(kernels)
}
