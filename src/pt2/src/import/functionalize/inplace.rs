//! What replaces an operator that writes to its operands.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact};
use pt2c_ops::Schema;

use crate::import::arguments::NamedArg;
use crate::import::error::ImportErrorKind;
use crate::import::schemas::{aten_base, overload, schema};

/// How an operator that writes is made functional. Tensor operands are still names.
#[derive(Clone, Debug, PartialEq)]
pub enum Mutation {
    /// A pure operator computes the new value of `target` and, being the in-place one's result, the result.
    Compute {
        /// Which operand is written.
        target: String,
        /// The pure operator.
        op: String,
        /// Its arguments.
        args: Vec<NamedArg>,
    },
    /// `target` gets the value of another operand, converted and broadcast.
    Assign {
        /// Which operand is written.
        target: String,
        /// The value.
        source: String,
    },
    /// The operand's name becomes a view of its own memory (`unsqueeze_`, `t_`).
    Rename {
        /// Which operand.
        target: String,
        /// The pure view operator.
        op: String,
    },
    /// Batch normalisation that updates running statistics: the functional operator returns them behind its own results.
    Statistics {
        /// The pure operator.
        op: &'static str,
        /// Its arguments.
        args: Vec<NamedArg>,
        /// Names of the running statistics, in the order of the additional results.
        targets: [String; 2],
        /// How many of the results the original operator returns.
        returned: usize,
    },
}

/// In-place operators that change how a tensor is seen, not what it holds.
const RENAMING: [&str; 8] =
    ["squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "detach_", "as_strided_"];

/// How this call is made functional; `None` if it writes nothing.
///
/// # Errors
/// [`ImportErrorKind::Unsupported`] for operators that write and have no pure form.
pub fn mutation(
    op: &str,
    signature: Option<&Schema>,
    args: &[NamedArg],
    fact: &dyn Fn(&str) -> Option<Fact>,
) -> Result<Option<Mutation>, ImportErrorKind> {
    let Some(name) = aten_base(op) else {
        return match signature.filter(|s| s.params.iter().any(|p| p.mutated)) {
            None => Ok(None),
            Some(_) => Err(no_pure_form(op)),
        };
    };
    if let Some(statistics) = statistics(name, args) {
        return Ok(Some(statistics));
    }
    if name == "instance_norm"
        && args.get(3).is_some_and(|running| !running.is_none())
        && args.get(5).and_then(Arg::as_bool) == Some(true)
    {
        return Err(no_pure_form(op));
    }
    let Some(signature) = signature.filter(|s| s.params.iter().any(|p| p.mutated)) else { return Ok(None) };
    // Only the first operand may be written here; `out=` variants and optimisers write others.
    let first_only = signature.params.iter().enumerate().all(|(i, p)| p.mutated == (i == 0));
    let target = args.first().and_then(Arg::as_tensor).cloned();
    let (Some(target), true) = (target, first_only) else { return Err(no_pure_form(op)) };

    let tensor = |index: usize| args.get(index).and_then(Arg::as_tensor).cloned();
    match name {
        _ if RENAMING.contains(&name) => {
            let base = name.trim_end_matches('_');
            // `transpose_` has one overload, `transpose` several.
            let overloads = [overload(op), "int"];
            let pure =
                overloads.iter().map(|overload| format!("aten.{base}.{overload}")).find(|op| schema(op).is_some());
            return Ok(Some(Mutation::Rename { target, op: pure.ok_or_else(|| no_pure_form(op))? }));
        }
        "copy_" => {
            let source = tensor(1).ok_or_else(|| ImportErrorKind::argument("src", "is not a tensor"))?;
            return Ok(Some(Mutation::Assign { target, source }));
        }
        "fill_" if tensor(1).is_some() => {
            let source = tensor(1).unwrap_or_default();
            return Ok(Some(Mutation::Assign { target, source }));
        }
        "fill_" | "zero_" => {
            let to = fact(&target).ok_or_else(|| ImportErrorKind::Untyped { name: target.clone() })?;
            let value = args.get(1).cloned().unwrap_or(Arg::Int(Dim::int(0)));
            let args = vec![Arg::Ints(to.shape), value, Arg::DType(to.dtype), Arg::None, Arg::None, Arg::None];
            return Ok(Some(Mutation::Compute { target, op: "aten.full.default".to_owned(), args }));
        }
        _ => {}
    }
    let pure = pure_name(name).map(|pure| format!("aten.{pure}.{}", overload(op))).ok_or_else(|| no_pure_form(op))?;
    match schema(&pure) {
        // The pure form has the same arguments in the same order.
        Some(found) if found.params.len() == signature.params.len() && !found.params.iter().any(|p| p.mutated) => {
            Ok(Some(Mutation::Compute { target, op: pure, args: args.to_vec() }))
        }
        _ => Err(no_pure_form(op)),
    }
}

/// `add_` → `add`, `__iand__` → `__and__`.
fn pure_name(name: &str) -> Option<String> {
    if let Some(inner) = name.strip_prefix("__i").and_then(|n| n.strip_suffix("__")) {
        return Some(format!("__{inner}__"));
    }
    name.strip_suffix('_').map(str::to_owned)
}

fn no_pure_form(op: &str) -> ImportErrorKind {
    ImportErrorKind::unsupported(
        format!("{op}, which writes to its operands,"),
        "use the operator that returns a new tensor",
    )
}

/// Batch normalisation in training mode writes its running statistics although its schema does not say so.
fn statistics(name: &str, args: &[NamedArg]) -> Option<Mutation> {
    let returned = match name {
        "batch_norm" => 1,
        "native_batch_norm" | "_native_batch_norm_legit" => 3,
        _ => return None,
    };
    // All three begin (input, weight, bias, running_mean, running_var, training, momentum, eps).
    let tensor = |index: usize| args.get(index).and_then(Arg::as_tensor).cloned();
    let targets = [tensor(3)?, tensor(4)?];
    if args.get(5).and_then(Arg::as_bool) != Some(true) {
        return None;
    }
    let op = "aten._native_batch_norm_legit_functional.default";
    Some(Mutation::Statistics { op, args: args.get(..8)?.to_vec(), targets, returned })
}
