//! Arguments of an operator call.

use crate::{DType, Graph, dim::Dim};
use std::sync::Arc;

/// One argument, in the place its schema gives it. `V` names a tensor: a [`crate::ValueId`] in a graph, an
/// e-class in the e-graph.
///
/// A Python number in a `Tensor` or `Scalar` parameter is `Int`, `Float` or `Bool`: PyTorch's "weak" scalars,
/// which take part in type promotion only by category.
#[derive(Clone, PartialEq, Debug)]
pub enum Arg<V = crate::ValueId> {
    /// Absent: `None` in Python.
    None,
    /// A tensor.
    Tensor(V),
    /// A list of tensors, some possibly absent (`Tensor[]`, `Tensor?[]`).
    Tensors(Vec<Option<V>>),
    /// An integer, possibly symbolic.
    Int(Dim),
    /// A list of integers, possibly symbolic.
    Ints(Vec<Dim>),
    /// A float.
    Float(f64),
    /// A list of floats.
    Floats(Vec<f64>),
    /// A boolean.
    Bool(bool),
    /// A list of booleans.
    Bools(Vec<bool>),
    /// A complex scalar (real, imaginary).
    Complex(f64, f64),
    /// A string.
    Str(String),
    /// An element type.
    DType(DType),
    /// A device, memory format or layout: kept for saving, without meaning to the compiler.
    Opaque(String),
    /// A subgraph (branches and bodies of higher-order operators, fused regions). Its inputs are bound by the
    /// operator, it sees no value of the graph around it.
    Graph(Arc<Graph>),
}

impl<V> Arg<V> {
    /// The tensor leaves, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &V> {
        let (one, many): (Option<&V>, &[Option<V>]) = match self {
            Arg::Tensor(v) => (Some(v), &[]),
            Arg::Tensors(vs) => (None, vs),
            _ => (None, &[]),
        };
        one.into_iter().chain(many.iter().flatten())
    }

    /// The tensor leaves, in order, to change in place.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let (one, many): (Option<&mut V>, &mut [Option<V>]) = match self {
            Arg::Tensor(v) => (Some(v), &mut []),
            Arg::Tensors(vs) => (None, vs),
            _ => (None, &mut []),
        };
        one.into_iter().chain(many.iter_mut().flatten())
    }

    /// The same argument with every tensor leaf renamed by `f`; the first error ends it.
    pub fn try_map<W, E>(&self, mut f: impl FnMut(&V) -> Result<W, E>) -> Result<Arg<W>, E> {
        Ok(match self {
            Arg::None => Arg::None,
            Arg::Tensor(v) => Arg::Tensor(f(v)?),
            Arg::Tensors(vs) => {
                Arg::Tensors(vs.iter().map(|v| v.as_ref().map(&mut f).transpose()).collect::<Result<_, E>>()?)
            }
            Arg::Int(d) => Arg::Int(d.clone()),
            Arg::Ints(ds) => Arg::Ints(ds.clone()),
            Arg::Float(x) => Arg::Float(*x),
            Arg::Floats(xs) => Arg::Floats(xs.clone()),
            Arg::Bool(b) => Arg::Bool(*b),
            Arg::Bools(bs) => Arg::Bools(bs.clone()),
            Arg::Complex(re, im) => Arg::Complex(*re, *im),
            Arg::Str(s) => Arg::Str(s.clone()),
            Arg::DType(d) => Arg::DType(*d),
            Arg::Opaque(s) => Arg::Opaque(s.clone()),
            Arg::Graph(g) => Arg::Graph(g.clone()),
        })
    }

    /// The same argument with every tensor leaf renamed by `f`.
    pub fn map<W>(&self, mut f: impl FnMut(&V) -> W) -> Arg<W> {
        match self.try_map(|v| Ok::<W, std::convert::Infallible>(f(v))) {
            Ok(arg) => arg,
            Err(never) => match never {},
        }
    }

    /// Whether the argument is absent.
    pub fn is_none(&self) -> bool {
        matches!(self, Arg::None)
    }

    /// The tensor, if this is one.
    pub fn as_tensor(&self) -> Option<&V> {
        if let Arg::Tensor(v) = self { Some(v) } else { None }
    }

    /// The integer, if this is one (symbolic or not).
    pub fn as_dim(&self) -> Option<&Dim> {
        if let Arg::Int(d) = self { Some(d) } else { None }
    }

    /// The integer, if this is one that is not symbolic.
    pub fn as_int(&self) -> Option<i64> {
        self.as_dim().and_then(Dim::as_int)
    }

    /// The integers, if this is a list of them.
    pub fn as_dims(&self) -> Option<&[Dim]> {
        if let Arg::Ints(ds) = self { Some(ds) } else { None }
    }

    /// The integers, if this is a list of them and none is symbolic.
    pub fn as_ints(&self) -> Option<Vec<i64>> {
        self.as_dims()?.iter().map(Dim::as_int).collect()
    }

    /// The number as a float: a float, a known integer, or a boolean (Python's numeric tower).
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Arg::Float(x) => Some(*x),
            Arg::Int(d) => d.as_int().map(|i| i as f64),
            Arg::Bool(b) => Some(f64::from(*b)),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Arg::Bool(b) = self { Some(*b) } else { None }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Arg::Str(s) = self { Some(s) } else { None }
    }

    /// The element type, if this is one.
    pub fn as_dtype(&self) -> Option<DType> {
        if let Arg::DType(d) = self { Some(*d) } else { None }
    }

    /// The subgraph, if this is one.
    pub fn as_graph(&self) -> Option<&Arc<Graph>> {
        if let Arg::Graph(g) = self { Some(g) } else { None }
    }
}
