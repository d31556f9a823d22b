//! What is known of a value before the program runs.

use crate::{DType, dim::Dim};
use std::fmt;

/// The order in which the logical dimensions of a value lie in memory, outermost first.
///
/// `DimOrder::default()` (empty) is row-major, whatever the rank. Channels-last of an `[n, c, h, w]` value is
/// `[0, 2, 3, 1]`. A value in any order is dense: the strides follow from shape and order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct DimOrder(Vec<u8>);

impl DimOrder {
    /// An order from a permutation of `0..rank`; the identity becomes the default. `None` if not a permutation.
    pub fn new(order: &[usize]) -> Option<DimOrder> {
        let mut seen = vec![false; order.len()];
        for &d in order {
            match seen.get_mut(d) {
                Some(s) if !*s => *s = true,
                _ => return None,
            }
        }
        if order.len() > u8::MAX as usize || order.iter().enumerate().all(|(i, &d)| i == d) {
            return Some(DimOrder::default());
        }
        Some(DimOrder(order.iter().map(|&d| d as u8).collect()))
    }

    /// Channels innermost: `[0, 2, …, rank-1, 1]`.
    pub fn channels_last(rank: usize) -> DimOrder {
        let order: Vec<usize> = (0..rank).filter(|&d| d != 1).chain((rank > 1).then_some(1)).collect();
        DimOrder::new(&order).unwrap_or_default()
    }

    /// Whether this is plain row-major order.
    pub fn is_row_major(&self) -> bool {
        self.0.is_empty()
    }

    /// The logical dimensions from outermost to innermost, for a value of `rank` dimensions.
    pub fn dims(&self, rank: usize) -> Vec<usize> {
        if self.0.len() == rank { self.0.iter().map(|&d| d as usize).collect() } else { (0..rank).collect() }
    }

    /// Strides in elements, by logical dimension, of a dense value of this shape.
    pub fn strides(&self, shape: &[Dim]) -> Vec<Dim> {
        let mut strides = vec![Dim::int(1); shape.len()];
        let mut stride = Dim::int(1);
        for d in self.dims(shape.len()).into_iter().rev() {
            strides[d] = stride.clone();
            stride = &stride * &shape[d];
        }
        strides
    }
}

/// Element type, symbolic shape and physical layout of a value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// One size per logical dimension; every size is known to be ≥ 0.
    pub shape: Vec<Dim>,
    /// How the dimensions lie in memory. Row-major until `assign_layouts`.
    pub order: DimOrder,
}

impl Fact {
    /// A row-major fact.
    pub fn new(dtype: DType, shape: impl Into<Vec<Dim>>) -> Fact {
        Fact { dtype, shape: shape.into(), order: DimOrder::default() }
    }

    /// A row-major fact of known sizes.
    pub fn of(dtype: DType, shape: &[i64]) -> Fact {
        Fact::new(dtype, shape.iter().map(|&n| Dim::int(n)).collect::<Vec<_>>())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Product of the sizes.
    pub fn numel(&self) -> Dim {
        self.shape.iter().fold(Dim::int(1), |n, d| &n * d)
    }

    /// The sizes when none is symbolic.
    pub fn static_shape(&self) -> Option<Vec<i64>> {
        self.shape.iter().map(Dim::as_int).collect()
    }

    /// Same shape and layout, another element type.
    pub fn with_dtype(&self, dtype: DType) -> Fact {
        Fact { dtype, ..self.clone() }
    }
}

/// `f32[2, s0]`, with `@[0, 2, 3, 1]` behind it for an order other than row-major.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")?;
        if !self.order.is_row_major() {
            write!(f, "@{:?}", self.order.0)?;
        }
        Ok(())
    }
}
