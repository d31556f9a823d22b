//! What replaces an operator that writes to its operands.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact};
use pt2c_ops::{Param, Schema};

use crate::import::arguments::NamedArg;
use crate::import::error::ImportErrorKind;
use crate::import::schemas::{aten_base, overload, overloads, schema};

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
    /// An `out=` variant: the results of a pure operator are stored in the operands of these names.
    Outs {
        /// The pure operator.
        op: String,
        /// Its arguments.
        args: Vec<NamedArg>,
        /// Where each of its results goes.
        targets: Vec<String>,
    },
    /// `fill_diagonal_`, which has no pure form.
    FillDiagonal,
    /// Instance normalisation that updates running statistics.
    InstanceStatistics,
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

/// In-place operators that change how a tensor is seen, not what it holds; resizing makes it another one.
const RENAMING: [&str; 10] = [
    "squeeze_",
    "unsqueeze_",
    "transpose_",
    "t_",
    "swapaxes_",
    "swapdims_",
    "detach_",
    "as_strided_",
    "resize_",
    "resize_as_",
];

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
    if name == "instance_norm" && args.get(5).and_then(Arg::as_bool) == Some(true) {
        let given = [3, 4].map(|index| args.get(index).and_then(Arg::as_tensor).is_some());
        match given {
            [false, false] => {}
            [true, true] => return Ok(Some(Mutation::InstanceStatistics)),
            _ => return Err(no_pure_form(op)),
        }
    }
    let Some(signature) = signature.filter(|s| s.params.iter().any(|p| p.mutated)) else { return Ok(None) };
    if let Some(outs) = outs(name, signature, args) {
        return Ok(Some(outs));
    }
    // Only the first operand may be written here; optimisers write others.
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
        "fill_diagonal_" => return Ok(Some(Mutation::FillDiagonal)),
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
        // The pure operator has its operands the other way round.
        "polygamma_" => {
            let args = args.iter().rev().cloned().collect();
            return Ok(Some(Mutation::Compute { target, op: "aten.polygamma.default".to_owned(), args }));
        }
        "normal_" => {
            let op = "aten.normal_functional.default".to_owned();
            return Ok(Some(Mutation::Compute { target, op, args: args.to_vec() }));
        }
        _ => {}
    }
    let pure = pure_name(name).and_then(|base| pure_form(&base, overload(op), signature));
    let op = pure.ok_or_else(|| no_pure_form(op))?;
    Ok(Some(Mutation::Compute { target, op, args: args.to_vec() }))
}

/// `add.out(self, other, *, alpha, out)`: the overload without the parameters that are written computes what they get.
fn outs(name: &str, signature: &Schema, args: &[NamedArg]) -> Option<Mutation> {
    let (written, kept): (Vec<_>, Vec<_>) = signature.params.iter().zip(args).partition(|(param, _)| param.mutated);
    if !written.iter().all(|(param, _)| param.keyword_only) {
        return None;
    }
    let same = |(a, (b, _)): (&Param, &(&Param, &NamedArg))| !a.mutated && a.name == b.name && a.ty == b.ty;
    let fits = |pure: &Schema| pure.params.len() == kept.len() && pure.params.iter().zip(&kept).all(same);
    let (op, _) = overloads(name).find(|(_, pure)| fits(pure))?;
    let targets = written.iter().map(|(_, arg)| arg.as_tensor().cloned()).collect::<Option<_>>()?;
    Some(Mutation::Outs { op: op.to_owned(), args: kept.into_iter().map(|(_, arg)| arg.clone()).collect(), targets })
}

/// The overload of the pure operator with the in-place one's parameters: usually of the same name, but
/// `pow_.Scalar` is `pow.Tensor_Scalar`, because `pow.Scalar` is another operator.
fn pure_form(base: &str, overload: &str, inplace: &Schema) -> Option<String> {
    let fits = |pure: &Schema| {
        pure.params.len() == inplace.params.len()
            && pure.params.iter().zip(&inplace.params).all(|(a, b)| !a.mutated && a.ty == b.ty)
    };
    let same = format!("aten.{base}.{overload}");
    if schema(&same).is_some_and(fits) {
        return Some(same);
    }
    overloads(base).find(|(_, schema)| fits(schema)).map(|(name, _)| name.to_owned())
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
    let tensor = |index: usize| args.get(index).and_then(Arg::as_tensor).cloned();
    let returned = match name {
        "batch_norm" => 1,
        "native_batch_norm" | "_native_batch_norm_legit" => 3,
        "_batch_norm_with_update" => {
            let op = "aten._batch_norm_with_update_functional.default";
            return Some(Mutation::Statistics {
                op,
                args: args.to_vec(),
                targets: [tensor(3)?, tensor(4)?],
                returned: 4,
            });
        }
        _ => return None,
    };
    // All three begin (input, weight, bias, running_mean, running_var, training, momentum, eps).
    let targets = [tensor(3)?, tensor(4)?];
    if args.get(5).and_then(Arg::as_bool) != Some(true) {
        return None;
    }
    let op = "aten._native_batch_norm_legit_functional.default";
    Some(Mutation::Statistics { op, args: args.get(..8)?.to_vec(), targets, returned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::schemas::overloads;

    fn pure_of(op: &str) -> Option<String> {
        let signature = schema(op).unwrap_or_else(|| panic!("{op} has a schema"));
        pure_form(&pure_name(aten_base(op)?)?, overload(op), signature)
    }

    #[test]
    fn pure_forms_have_the_same_parameters() {
        for (inplace, pure) in [
            ("aten.relu_.default", "aten.relu.default"),
            ("aten.add_.Tensor", "aten.add.Tensor"),
            ("aten.pow_.Scalar", "aten.pow.Tensor_Scalar"),
            ("aten.pow_.Tensor", "aten.pow.Tensor_Tensor"),
            ("aten.dropout_.default", "aten.dropout.default"),
            ("aten.__iand__.Tensor", "aten.__and__.Tensor"),
            ("aten.uniform_.default", "aten.uniform.default"),
            ("aten.bernoulli_.float", "aten.bernoulli.p"),
        ] {
            assert_eq!(pure_of(inplace).as_deref(), Some(pure));
        }
    }

    #[test]
    fn every_inplace_operator_has_one_but_for_these() {
        let names = include_str!("../../../../../tests/conformance/schemas.txt")
            .lines()
            .filter(|line| line.split('\t').nth(1).is_some_and(|tags| tags.split(',').any(|tag| tag == "inplace")));
        let without: Vec<&str> = names
            .filter_map(|line| line.strip_prefix("aten::")?.split(['(', '.']).next())
            .filter(|base| overloads(base).any(|(op, _)| pure_of(op).is_none()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        // `fill_diagonal_`, `normal_` and `polygamma_` are mapped by hand; nobody exports the others, or they cannot be pure.
        assert_eq!(
            without,
            [
                "_fill_mem_eff_dropout_mask_",
                "_sobol_engine_ff_",
                "_sobol_engine_initialize_state_",
                "_sobol_engine_scramble_",
                "fill_diagonal_",
                "normal_",
                "polygamma_",
                "requires_grad_",
                "rrelu_with_noise_",
                "set_",
                "shallow_copy_data_",
            ]
        );
    }
}
