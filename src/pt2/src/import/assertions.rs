//! What a program asserts about sizes: constraints of the whole program, or checks where a branch runs.

use pt2c_ir::dim::{Dim, Pred};
use pt2c_ir::{Arg, Diagnostic, LocationId};

use super::arguments::{self, NamedArg};
use super::error::ImportErrorKind;
use super::functionalize::Names;
use super::graph::Builder;
use crate::schema::{self, Argument, Node, SymBoolArgument};

impl Builder<'_> {
    /// Assertions on sizes become constraints. Returns whether the node was one.
    pub(super) fn assertion(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
        location: LocationId,
    ) -> Result<bool, ImportErrorKind> {
        let argument = |name: &str| node.inputs.iter().find(|i| i.name == name).map(|i| &i.arg);
        let expressions = &mut self.shared.expressions;
        match op {
            // What it asserts are the facts that the archive states.
            "aten._assert_tensor_metadata.default" => Ok(true),
            "aten._assert_scalar.default" => {
                let rule = match argument("assert_msg") {
                    Some(Argument::AsString(message)) => message.clone(),
                    _ => "an assertion of the program".to_owned(),
                };
                if let Some(Argument::AsSymBool(SymBoolArgument::AsName(name))) = argument("self")
                    && names.contains_key(name)
                {
                    let holds = self.read(names, name, location)?;
                    self.check(holds, &rule, location)?;
                    return Ok(true);
                }
                let pred = match argument("self") {
                    Some(Argument::AsSymBool(value)) => arguments::sym_bool(value, source, expressions)?,
                    Some(Argument::AsSymInt(value)) => {
                        Pred::ne(&arguments::sym_int(value, source, expressions)?, &Dim::int(0))
                    }
                    Some(Argument::AsBool(holds)) => {
                        if *holds {
                            Pred::True
                        } else {
                            Pred::False
                        }
                    }
                    Some(Argument::AsInt(value)) => {
                        if *value != 0 {
                            Pred::True
                        } else {
                            Pred::False
                        }
                    }
                    _ => return Err(ImportErrorKind::argument("self", "is no condition")),
                };
                self.require(pred, rule, location)?;
                Ok(true)
            }
            "aten.sym_constrain_range.default" | "aten.sym_constrain_range_for_size.default" => {
                let size = match argument("size") {
                    Some(Argument::AsSymInt(value)) => arguments::sym_int(value, source, expressions)?,
                    _ => return Ok(true),
                };
                let bound = |name: &str| match argument(name) {
                    Some(Argument::AsInt(value)) if *value < i64::MAX - 1 => Some(Dim::int(*value)),
                    _ => None,
                };
                let bounds =
                    [bound("min").map(|min| Pred::ge(&size, &min)), bound("max").map(|max| Pred::le(&size, &max))];
                self.require(Pred::and(bounds.into_iter().flatten()), format!("the range of {size}"), location)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A selected index must exist, although PyTorch's rules for the sizes may leave that to the operator.
    pub(super) fn require_index(
        &mut self,
        names: &Names,
        op: &str,
        args: &[NamedArg],
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let (x, dim, index, length) = match (op, args) {
            ("aten.select.int", [Arg::Tensor(x), Arg::Int(dim), Arg::Int(index)]) => (x, dim, index, Dim::ONE),
            ("aten.narrow.default", [Arg::Tensor(x), Arg::Int(dim), Arg::Int(start), Arg::Int(length)]) => {
                (x, dim, start, length.clone())
            }
            _ => return Ok(()),
        };
        let Some(fact) = names.get(x).map(|view| &view.typed.fact) else { return Ok(()) };
        let Some(dim) = dim.as_int() else { return Ok(()) };
        let size = pt2c_ops::wrap_dim(dim, fact.rank()).ok().and_then(|d| fact.shape.get(d));
        let Some(size) = size.cloned().filter(|n| !(n.is_int() && index.is_int() && length.is_int())) else {
            return Ok(());
        };
        let scope = &self.shared.facts.scope;
        let (least, end) = (Dim::ZERO - &size, index + &length);
        let legal = if scope.prove_le(&Dim::ZERO, index).is_yes() {
            Pred::le(&end, &size)
        } else if scope.prove_lt(index, &Dim::ZERO).is_yes() {
            Pred::and([Pred::le(&least, index), Pred::le(&end, &Dim::ZERO)])
        } else {
            let at = pt2c_ops::movement::wrap_index(scope, index, &size);
            Pred::and([Pred::le(&least, index), Pred::le(&end, &size), Pred::le(&(&at + &length), &size)])
        };
        if scope.prove(&legal).is_yes() {
            return Ok(());
        }
        let rule = match op {
            "aten.select.int" => format!("index {index} of dimension {dim} of size {size}"),
            _ => format!("{length} elements from {index} on of dimension {dim} of size {size}"),
        };
        self.require(legal, rule, location)
    }

    /// `squeeze` keeps a dimension that was larger than 1 when the program was exported, also in a call where it is 1.
    pub(super) fn note_squeeze(&mut self, names: &Names, op: &str, args: &[NamedArg], location: LocationId) {
        let (x, dims) = match (op, args) {
            ("aten.squeeze.default", [Arg::Tensor(x)]) => (x, None),
            ("aten.squeeze.dim", [Arg::Tensor(x), Arg::Int(dim)]) => (x, dim.as_int().map(|d| vec![d])),
            ("aten.squeeze.dims", [Arg::Tensor(x), dims]) => (x, dims.as_ints()),
            _ => return,
        };
        let Some(fact) = names.get(x).map(|view| &view.typed.fact) else { return };
        let dims: Option<Vec<usize>> =
            dims.map(|dims| dims.into_iter().filter_map(|d| pt2c_ops::wrap_dim(d, fact.rank()).ok()).collect());
        let facts = &mut self.shared.facts;
        for (d, size) in fact.shape.iter().enumerate().filter(|(d, _)| dims.as_ref().is_none_or(|all| all.contains(d)))
        {
            let may_be_one = !size.is_int() && !facts.scope.prove(&Pred::ne(size, &Dim::ONE)).is_yes();
            if may_be_one && !facts.scope.prove_eq(size, &Dim::ONE).is_yes() {
                facts.warnings.push(
                    Diagnostic::warning(format!("`squeeze` keeps dimension {d}, of size {size}, also where that is 1"))
                        .at(self.shared.locations.get(location))
                        .note("PyTorch drops it there: its result has a dimension less in such a call")
                        .help("name the dimensions to drop, as in x.squeeze(-1)"),
                );
            }
        }
    }

    /// An assertion of a branch holds only where the branch runs: it is checked there, and nothing follows from it.
    fn require(&mut self, pred: Pred, rule: String, location: LocationId) -> Result<(), ImportErrorKind> {
        if !self.nested {
            self.shared.facts.require(pred, rule);
        } else if !self.shared.facts.scope.prove(&pred).is_yes() {
            let holds = self.truth(&pred, location)?;
            self.check(holds, &rule, location)?;
        }
        Ok(())
    }
}
