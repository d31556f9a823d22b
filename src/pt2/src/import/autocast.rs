//! Autocast regions: operators are recorded as called, with operands that autocast would have converted on entry.
//!
//! PyTorch keeps a list of operators per device that run in the low-precision type, and one of those that run in
//! f32. The lists need not be repeated here, because the archive states the type of every result: where an
//! operator's own promotion gives another type than the recorded one, its operands were converted to the recorded
//! type. Only operators that take operands of one type alone, and were given several, need a list.

use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::{infer, lookup};

use super::arguments::NamedArg;
use super::functionalize::Names;
use super::schemas::aten_base;
use pt2c_ir::dim::Scope;

/// Contractions: their operands have one type, whatever they are given inside the region.
const ONE_TYPE: [&str; 22] = [
    "linear",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "addmm",
    "addmv",
    "addbmm",
    "baddbmm",
    "einsum",
    "conv1d",
    "conv2d",
    "conv3d",
    "convolution",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "scaled_dot_product_attention",
    "prelu",
    "lstm",
    "gru",
    "bilinear",
];

/// The type that a call's float operands are converted to, if they are. `result` is the recorded first result.
pub fn conversion(op: &str, args: &[NamedArg], names: &Names, result: &Fact, scope: &Scope) -> Option<DType> {
    if !result.dtype.is_float() {
        return None;
    }
    let operands: Vec<DType> = args
        .iter()
        .flat_map(Arg::tensors)
        .filter_map(|name| names.get(name).map(|view| view.typed.fact.dtype))
        .filter(|dtype| dtype.is_float())
        .collect();
    if operands.iter().all(|&dtype| dtype == result.dtype) {
        return None;
    }
    if aten_base(op).is_some_and(|base| ONE_TYPE.contains(&base)) {
        return Some(result.dtype);
    }
    let natural = lookup(op).and_then(|_| {
        let facts = args.iter().map(|arg| arg.try_map(|name| names.get(name).map(|v| v.typed.fact.clone()).ok_or(())));
        let facts = facts.collect::<Result<Vec<_>, _>>().ok()?;
        Some(infer(op, &facts, scope).ok()?.first()?.dtype)
    });
    match natural {
        Some(natural) if natural == result.dtype => None,
        Some(_) => Some(result.dtype),
        // Nothing is known of the operator: only a result that no operand has tells of a conversion.
        None => (!operands.contains(&result.dtype) && !operands.is_empty()).then_some(result.dtype),
    }
}
