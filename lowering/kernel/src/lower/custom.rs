//! Calls of custom operators' functions: the operands are copied into dense buffers, and the function reads those.

use super::contraction::IsConstant;
use super::sequence::copy_into;
use super::{Binding, LowerError, Lowered};
use crate::{Access, Body, Custom, CustomArgument, CustomTensor, Kernel, Param};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, Graph, NodeId, ValueId};
use pt2c_ops::prim::custom::{Argument, Form};

/// `prim.custom(operands, function, form, ints, floats, sizes)`.
pub fn custom(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    _: IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let malformed = || LowerError::Malformed("a custom operator");
    let [Arg::Tensors(operands), Arg::Str(function), Arg::Str(form), ints, floats, _] = graph.node(root).args() else {
        return Err(malformed());
    };
    let form = Form::parse(form).ok_or_else(malformed)?;
    let mut ints = match ints {
        Arg::Ints(dims) => dims.clone().into_iter(),
        _ => return Err(malformed()),
    };
    let mut floats = match floats {
        Arg::Floats(values) => values.clone().into_iter(),
        _ => return Err(malformed()),
    };
    let expected: Vec<ValueId> = graph.values(root).collect();
    if graph.output_values().collect::<Vec<_>>() != expected || expected.len() != operands.len() + form.results.len() {
        return Err(LowerError::Malformed("the region must return all buffers of its custom operator"));
    }
    let mut kernels = Vec::new();
    let (mut params, mut tensors) = (Vec::new(), Vec::new());
    for (i, value) in expected.iter().enumerate() {
        let fact = graph.fact(*value).ok_or_else(malformed)?;
        if !fact.order.is_row_major() {
            return Err(LowerError::Malformed("a buffer of a custom operator must be row-major"));
        }
        let operand = operands.get(i).copied().flatten();
        if let Some(x) = operand {
            kernels.push(copy_into(graph, x, i, name, scope)?);
        }
        let access = if operand.is_some() { Access::ReadWrite } else { Access::Write };
        params.push(Param { name: graph.value_name(*value), dtype: fact.dtype, access });
        tensors.push(CustomTensor { param: i, sizes: fact.shape.to_vec() });
    }
    let mut tensors = tensors.into_iter();
    let mut arguments = Vec::new();
    for argument in &form.arguments {
        let mut int = || ints.next().ok_or_else(malformed);
        arguments.push(match argument {
            Argument::Tensor => CustomArgument::Tensor(tensors.next().ok_or_else(malformed)?),
            Argument::Absent => CustomArgument::Absent,
            Argument::Int => CustomArgument::Int(int()?),
            Argument::Bool => CustomArgument::Bool(int()?),
            Argument::Ints(count) => {
                CustomArgument::Ints((0..*count).map(|_| int()).collect::<Result<Vec<Dim>, LowerError>>()?)
            }
            Argument::Float => CustomArgument::Float(floats.next().ok_or_else(malformed)?),
            Argument::Floats(count) => CustomArgument::Floats(floats.by_ref().take(*count).collect()),
            Argument::Tensors(count) => CustomArgument::Tensors(tensors.by_ref().take(*count).collect()),
            Argument::Text(text) => CustomArgument::Text(text.clone()),
        });
    }
    let body = Body::Custom(Custom { function: function.clone(), arguments, results: tensors.collect() });
    let bindings = (0..params.len()).map(Binding::Output).collect();
    kernels.push(Lowered { kernel: Kernel { name: name.to_string(), params, body }, bindings, repeat: None });
    Ok(kernels)
}
