//! Which operators return memory of their operand, and as which [`Step`].
//!
//! The schema's alias annotations say where a result may share memory; `reshape`, `to`, `contiguous` and their
//! like share it only sometimes, which the strides recorded at export decide. An annotated operator without an
//! entry here becomes an [`Step::Opaque`] view: harmless until somebody writes.

use pt2c_ir::Arg;
use pt2c_ir::dim::{Dim, Proof, Scope};
use pt2c_ops::{Schema, wrap_dim};

use super::step::Step;
use super::strides::{reshape_is_view, same_strides};
use crate::import::arguments::NamedArg;
use crate::import::facts::Typed;
use crate::import::schemas::{aten_base, overload};

/// What memory one result of an operator is.
#[derive(Clone, Debug, PartialEq)]
pub enum Alias {
    /// Its own.
    Fresh,
    /// The operand of this name itself.
    Same(String),
    /// A view of the operand of this name.
    View(String, Step),
}

/// What every result of a call shares memory with. `typed` gives the type and strides of an operand.
pub fn view_steps(
    op: &str,
    schema: Option<&Schema>,
    args: &[NamedArg],
    typed: &dyn Fn(&str) -> Option<Typed>,
    outputs: &[Typed],
    scope: &Scope,
) -> Vec<Alias> {
    let fresh = vec![Alias::Fresh; outputs.len()];
    let Some(name) = aten_base(op) else { return fresh };
    if name == "broadcast_tensors" {
        return broadcast(args, typed, outputs);
    }
    let Some(base) = args.first().and_then(Arg::as_tensor) else { return fresh };
    let Some(input) = typed(base) else { return fresh };
    let call = View { name, overload: overload(op), args, base, input: &input, scope };
    let annotated =
        schema.and_then(|s| s.returns.first()).is_some_and(|r| r.starts_with("Tensor(") && !r.contains('!'));
    if let Some(steps) = call.several(outputs) {
        return steps.into_iter().map(|step| call.view(step)).collect();
    }
    outputs
        .iter()
        .map(|output| match call.one(output) {
            Some(alias) => alias,
            None if annotated => call.view(Step::Opaque { op: op.to_owned() }),
            None => Alias::Fresh,
        })
        .collect()
}

struct View<'a> {
    name: &'a str,
    overload: &'a str,
    args: &'a [NamedArg],
    base: &'a str,
    input: &'a Typed,
    scope: &'a Scope,
}

impl View<'_> {
    fn view(&self, step: Step) -> Alias {
        Alias::View(self.base.to_owned(), step)
    }

    fn same(&self) -> Alias {
        Alias::Same(self.base.to_owned())
    }

    fn arg(&self, index: usize) -> &NamedArg {
        self.args.get(index).unwrap_or(&Arg::None)
    }

    fn rank(&self) -> usize {
        self.input.fact.rank()
    }

    /// A dimension number argument, counted from the front.
    fn dim(&self, index: usize) -> Option<usize> {
        wrap_dim(self.arg(index).as_int()?, self.rank()).ok()
    }

    fn size(&self, dim: usize) -> Option<&Dim> {
        self.input.fact.shape.get(dim)
    }

    /// The single result of a view operator; `None` if the operator is not one that is listed here.
    fn one(&self, output: &Typed) -> Option<Alias> {
        Some(match self.name {
            "alias" | "detach" | "lift_fresh" | "positive" | "data" | "resolve_conj" | "resolve_neg" => self.same(),
            "view" if self.overload == "dtype" => {
                if self.input.fact.dtype.size() != output.fact.dtype.size() {
                    return None;
                }
                self.view(Step::Bitcast)
            }
            "view" | "view_as" | "_unsafe_view" | "_reshape_alias" | "squeeze" | "unsqueeze" => {
                self.view(Step::Reshape)
            }
            "reshape" | "reshape_as" | "flatten" | "unflatten" | "ravel" | "atleast_1d" | "atleast_2d"
            | "atleast_3d" => self
                .maybe(reshape_is_view(&self.input.fact, &self.input.strides, &output.fact, self.scope), Step::Reshape),
            "contiguous" => self.unless_copied(output, false),
            "to" | "type_as" | "cpu" | "cuda" => self.unless_copied(output, self.asked_to_copy()),
            // At inference these return their operand; in training they make a new tensor.
            "dropout" | "feature_dropout" | "alpha_dropout" | "feature_alpha_dropout" => {
                if self.arg(2).as_bool() == Some(true) { Alias::Fresh } else { self.same() }
            }
            "permute" | "transpose" | "t" | "numpy_T" | "mT" | "swapaxes" | "swapdims" | "movedim" | "moveaxis" => {
                self.view(Step::Permute(self.permutation()?))
            }
            "expand" | "expand_as" | "broadcast_to" => {
                if self.input.fact.shape == output.fact.shape {
                    self.same()
                } else {
                    self.view(Step::Expand)
                }
            }
            "slice" => {
                let (start, end, step) = (self.arg(2).clone(), self.arg(3).clone(), self.arg(4).as_dim()?.clone());
                self.view(Step::Slice { dim: self.dim(1)?, start, end, step })
            }
            "narrow" => {
                let (start, length) = (self.arg(2).as_dim()?, self.arg(3).as_dim()?);
                // A negative start counts from the end, and then the end may be 0, which a slice would misread.
                let start = match start.as_int() {
                    Some(known) if known < 0 => start + self.size(self.dim(1)?)?,
                    _ => start.clone(),
                };
                let end = &start + length;
                self.view(slice(self.dim(1)?, start, end))
            }
            "select" => self.view(Step::Select { dim: self.dim(1)?, index: self.arg(2).as_dim()?.clone() }),
            "diagonal" => self.view(Step::Diagonal {
                offset: self.arg(1).as_dim()?.clone(),
                dim1: self.dim(2)?,
                dim2: self.dim(3)?,
            }),
            "view_as_real" => self.view(Step::AsReal),
            "view_as_complex" => self.view(Step::AsComplex),
            "real" | "conj" if !self.input.fact.dtype.is_complex() => self.same(),
            _ => return None,
        })
    }

    /// The results of an operator that cuts its operand into pieces.
    fn several(&self, outputs: &[Typed]) -> Option<Vec<Step>> {
        let dim = match self.name {
            "split" | "split_with_sizes" | "chunk" | "tensor_split" => self.dim(2)?,
            "unbind" => {
                let dim = self.dim(1)?;
                let select = |i: usize| Step::Select { dim, index: Dim::int(i as i64) };
                return Some((0..outputs.len()).map(select).collect());
            }
            _ => return None,
        };
        let mut start = Dim::int(0);
        outputs
            .iter()
            .map(|output| {
                let end = &start + output.fact.shape.get(dim)?;
                Some(slice(dim, std::mem::replace(&mut start, end.clone()), end))
            })
            .collect()
    }

    /// A view, a copy, or undecided: then it must not be written through.
    fn maybe(&self, is_view: Proof, step: Step) -> Alias {
        match is_view {
            Proof::Yes => self.view(step),
            Proof::No => Alias::Fresh,
            Proof::Unknown => self.view(Step::Opaque { op: format!("aten.{} (a view for some sizes)", self.name) }),
        }
    }

    /// Operators that return their operand when there is nothing to convert.
    fn unless_copied(&self, output: &Typed, copy: bool) -> Alias {
        let unchanged = self.input.fact.dtype == output.fact.dtype
            && same_strides(&self.input.fact.shape, &self.input.strides, &output.strides);
        if unchanged && !copy { self.same() } else { Alias::Fresh }
    }

    /// `to(…, copy=True)`.
    fn asked_to_copy(&self) -> bool {
        let at = match self.overload {
            "device" | "dtype" | "other" => self.args.len().checked_sub(2),
            "dtype_layout" => Some(6),
            _ => None,
        };
        at.is_some_and(|at| self.arg(at).as_bool() == Some(true))
    }

    fn permutation(&self) -> Option<Vec<usize>> {
        let rank = self.rank();
        let wrap = |dims: Vec<i64>| dims.into_iter().map(|d| wrap_dim(d, rank).ok()).collect::<Option<Vec<_>>>();
        let mut dims: Vec<usize> = (0..rank).collect();
        match self.name {
            "permute" => return wrap(self.arg(1).as_ints()?),
            "numpy_T" => dims.reverse(),
            "t" if rank < 2 => {}
            "t" => dims.swap(0, 1),
            "mT" => dims.swap(rank.checked_sub(2)?, rank.checked_sub(1)?),
            "transpose" | "swapaxes" | "swapdims" => {
                let (a, b) = (self.dim(1)?, self.dim(2)?);
                if rank > 0 {
                    dims.swap(a, b);
                }
            }
            _ => {
                let one_or_more = |arg: &NamedArg| arg.as_ints().or_else(|| Some(vec![arg.as_int()?]));
                let (from, to) = (wrap(one_or_more(self.arg(1))?)?, wrap(one_or_more(self.arg(2))?)?);
                let mut moved: Vec<Option<usize>> = vec![None; rank];
                for (&from, &to) in from.iter().zip(&to) {
                    *moved.get_mut(to)? = Some(from);
                }
                let mut rest = dims.iter().copied().filter(|d| !from.contains(d));
                dims = moved.into_iter().map(|d| d.or_else(|| rest.next())).collect::<Option<_>>()?;
            }
        }
        Some(dims)
    }
}

fn slice(dim: usize, start: Dim, end: Dim) -> Step {
    Step::Slice { dim, start: Arg::Int(start), end: Arg::Int(end), step: Dim::int(1) }
}

/// Every result is its operand, expanded.
fn broadcast(args: &[NamedArg], typed: &dyn Fn(&str) -> Option<Typed>, outputs: &[Typed]) -> Vec<Alias> {
    let operands: Vec<&String> = args.iter().flat_map(Arg::tensors).collect();
    outputs
        .iter()
        .enumerate()
        .map(|(index, output)| match operands.get(index) {
            Some(&name) if typed(name).is_some_and(|t| t.fact.shape == output.fact.shape) => Alias::Same(name.clone()),
            Some(&name) => Alias::View(name.clone(), Step::Expand),
            None => Alias::Fresh,
        })
        .collect()
}
