//! One step from a tensor to a view of it, with the way back: how to write a changed view into its base.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact};

/// A view of a tensor as one of few canonical operators, whatever operator made it (`chunk` is slices,
/// `t` a permutation, `flatten` a reshape). Dimensions are counted from 0; indices are as PyTorch was given them.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Same elements in the same order, another shape: `aten.view`.
    Reshape,
    /// `aten.permute`: dimension `i` of the view is dimension `dims[i]` of the base.
    Permute(Vec<usize>),
    /// `aten.slice.Tensor`.
    Slice {
        /// Which dimension.
        dim: usize,
        /// First index, or None.
        start: Arg<String>,
        /// End index, or None.
        end: Arg<String>,
        /// Distance.
        step: Dim,
    },
    /// `aten.select.int`.
    Select {
        /// Which dimension.
        dim: usize,
        /// Its index.
        index: Dim,
    },
    /// `aten.diagonal`.
    Diagonal {
        /// Offset, first and second dimension.
        offset: Dim,
        /// First dimension.
        dim1: usize,
        /// Second dimension.
        dim2: usize,
    },
    /// `aten.expand`: elements are repeated, so nothing can be written through it.
    Expand,
    /// `aten.as_strided` of a base that is row-major in memory, by strides that do not overlap.
    Strided {
        /// Sizes.
        sizes: Vec<Dim>,
        /// Strides.
        strides: Vec<Dim>,
        /// Position of the first element.
        offset: Dim,
    },
    /// `aten.view.dtype` between types of one size.
    Bitcast,
    /// `aten.view_as_real`, undone by `aten.view_as_complex`.
    AsReal,
    /// `aten.view_as_complex`, undone by `aten.view_as_real`.
    AsComplex,
    /// A view that is not understood: it shares memory, and only as long as nothing is written does that not matter.
    Opaque {
        /// The operator.
        op: String,
    },
}

/// A call to be added: operator, arguments with holes for tensors, base name of the node.
pub struct Emission {
    /// The operator.
    pub op: &'static str,
    /// Arguments; tensor leaves are 0 for the first operand, 1 for the second.
    pub args: Vec<Arg<u8>>,
    /// The node's base name.
    pub name: &'static str,
}

fn emission(op: &'static str, name: &'static str, args: Vec<Arg<u8>>) -> Option<Emission> {
    Some(Emission { op, args, name })
}

fn int(value: usize) -> Arg<u8> {
    Arg::Int(Dim::int(value as i64))
}

fn ints(values: &[usize]) -> Arg<u8> {
    Arg::Ints(values.iter().map(|&v| Dim::int(v as i64)).collect())
}

fn strided(mut tensors: Vec<Arg<u8>>, sizes: &[Dim], strides: &[Dim], offset: &Dim) -> Vec<Arg<u8>> {
    tensors.extend([Arg::Ints(sizes.to_vec()), Arg::Ints(strides.to_vec()), Arg::Int(offset.clone())]);
    tensors
}

/// Slice bounds hold no tensors.
fn bound(arg: &Arg<String>) -> Arg<u8> {
    arg.map(|_| 0)
}

impl Step {
    /// The view of operand 0 as a value of type `to`; `None` if it cannot be made again.
    pub fn apply(&self, to: &Fact) -> Option<Emission> {
        let x = Arg::Tensor(0);
        match self {
            Step::Reshape => emission("aten.view.default", "view", vec![x, Arg::Ints(to.shape.clone())]),
            Step::Permute(dims) => emission("aten.permute.default", "permute", vec![x, ints(dims)]),
            Step::Slice { dim, start, end, step } => emission(
                "aten.slice.Tensor",
                "slice",
                vec![x, int(*dim), bound(start), bound(end), Arg::Int(step.clone())],
            ),
            Step::Select { dim, index } => {
                emission("aten.select.int", "select", vec![x, int(*dim), Arg::Int(index.clone())])
            }
            Step::Diagonal { offset, dim1, dim2 } => {
                emission("aten.diagonal.default", "diagonal", vec![x, Arg::Int(offset.clone()), int(*dim1), int(*dim2)])
            }
            Step::Expand => {
                emission("aten.expand.default", "expand", vec![x, Arg::Ints(to.shape.clone()), Arg::Bool(false)])
            }
            Step::Strided { sizes, strides, offset } => {
                emission("aten.as_strided.default", "as_strided", strided(vec![x], sizes, strides, offset))
            }
            Step::Bitcast => emission("aten.view.dtype", "view", vec![x, Arg::DType(to.dtype)]),
            Step::AsReal => emission("aten.view_as_real.default", "view_as_real", vec![x]),
            Step::AsComplex => emission("aten.view_as_complex.default", "view_as_complex", vec![x]),
            Step::Opaque { .. } => None,
        }
    }

    /// The base after the view (operand 0) was changed; operand 1 is the base before it, of type `base`.
    /// `None` if the change cannot be written back.
    pub fn invert(&self, base: &Fact) -> Option<Emission> {
        let (view, old) = (Arg::Tensor(0), Arg::Tensor(1));
        match self {
            Step::Reshape => emission("aten.view.default", "view", vec![view, Arg::Ints(base.shape.clone())]),
            Step::Permute(dims) => {
                let mut inverse = vec![0; dims.len()];
                for (to, &from) in dims.iter().enumerate() {
                    *inverse.get_mut(from)? = to;
                }
                emission("aten.permute.default", "permute", vec![view, ints(&inverse)])
            }
            Step::Slice { dim, start, end, step } => emission(
                "aten.slice_scatter.default",
                "slice_scatter",
                vec![old, view, int(*dim), bound(start), bound(end), Arg::Int(step.clone())],
            ),
            Step::Select { dim, index } => emission(
                "aten.select_scatter.default",
                "select_scatter",
                vec![old, view, int(*dim), Arg::Int(index.clone())],
            ),
            Step::Diagonal { offset, dim1, dim2 } => emission(
                "aten.diagonal_scatter.default",
                "diagonal_scatter",
                vec![old, view, Arg::Int(offset.clone()), int(*dim1), int(*dim2)],
            ),
            Step::Strided { sizes, strides, offset } => {
                let args = strided(vec![old, view], sizes, strides, offset);
                emission("aten.as_strided_scatter.default", "as_strided_scatter", args)
            }
            Step::Bitcast => emission("aten.view.dtype", "view", vec![view, Arg::DType(base.dtype)]),
            Step::AsReal => emission("aten.view_as_complex.default", "view_as_complex", vec![view]),
            Step::AsComplex => emission("aten.view_as_real.default", "view_as_real", vec![view]),
            Step::Expand | Step::Opaque { .. } => None,
        }
    }

    /// Whether [`Step::invert`] needs the base as it was.
    pub fn needs_base(&self) -> bool {
        matches!(self, Step::Slice { .. } | Step::Select { .. } | Step::Diagonal { .. } | Step::Strided { .. })
    }

    /// Why [`Step::invert`] or [`Step::apply`] says `None`.
    pub fn obstacle(&self) -> String {
        match self {
            Step::Expand => "it is an expanded view, whose elements share memory".to_owned(),
            Step::Opaque { op } => format!("it is, or shares memory with, a view made by {op}"),
            other => format!("it is a {other:?} view"),
        }
    }
}
