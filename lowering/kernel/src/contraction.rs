//! The data types of contractions: what they read, how they sum, and what becomes of a sum before it is stored.

use crate::{Expr, Stmt};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};

/// A value applied to the accumulator of a contraction before it is stored: bias, residual, activation, scale, cast.
///
/// `value` is an expression in which [`Var`]`(0)` is the accumulated element (F32, or F64 for f64 operands) and the
/// symbols of the contraction's output index (named in the contraction) may occur in addresses of loads. The loads' and
/// the store's addresses are affine in those symbols. Statements before it name shared values.
#[derive(Clone, PartialEq, Debug)]
pub struct Epilogue {
    /// Shared values: only [`Stmt::Let`].
    pub lets: Vec<Stmt>,
    /// One store for each output: parameter, address, value.
    pub stores: Vec<(usize, Dim, Expr)>,
}

/// `out[batch…, m, n] = epilogue(Σ_k a[batch…, m, k] · b[batch…, k, n])`.
///
/// Addresses are affine in the index symbols.
#[derive(Clone, Debug)]
pub struct Matmul {
    /// Batch dimensions: symbol and extent of each, outermost first.
    pub batch: Vec<(Symbol, Dim)>,
    /// Row symbol and extent.
    pub m: (Symbol, Dim),
    /// Column symbol and extent: the vectorised dimension.
    pub n: (Symbol, Dim),
    /// Contracted symbol and extent.
    pub k: (Symbol, Dim),
    /// Parameter and address of `a`, over batch, m, k.
    pub a: (usize, Dim),
    /// How `b` is found.
    pub b: MatmulB,
    /// Type of the accumulator: F32, F64, or an integer type.
    pub accumulator: DType,
    /// Type that both operands are rounded to before they are multiplied, if any. A target may keep more bits.
    pub rounding: Option<DType>,
    /// What is stored.
    pub epilogue: Epilogue,
}

/// The second operand of a matrix product.
#[derive(Clone, PartialEq, Debug)]
pub enum MatmulB {
    /// Anywhere: parameter and address over batch, k, n.
    Strided { param: usize, address: Dim },
    /// A constant the target may pack at compile time; parameter and address over k, n in the constant as it is.
    /// The same buffer may have other users, so the target adds a buffer in its own layout for this parameter.
    Constant { param: usize, address: Dim },
    /// A constant of 4 bits an element. Of a dense u8 matrix `[K/2, N]`, byte `(k/2, n)` holds element `(k, n)` in its low
    /// half for an even `k`, in its high half for an odd one. An element is `q - 8` times element `(k/group, n)` of the
    /// dense f32 matrix `scales`, `[K/group, N]`. `K` is known and a multiple of `group`, which is even.
    Grouped { param: usize, scales: usize, group: i64 },
}

impl MatmulB {
    /// The parameter that holds the elements.
    pub fn param(&self) -> usize {
        match self {
            MatmulB::Strided { param, .. } | MatmulB::Constant { param, .. } | MatmulB::Grouped { param, .. } => *param,
        }
    }

    /// The address of an element, where each has one.
    pub fn address(&self) -> Option<&Dim> {
        match self {
            MatmulB::Strided { address, .. } | MatmulB::Constant { address, .. } => Some(address),
            MatmulB::Grouped { .. } => None,
        }
    }
}

/// Convolution over 1 to 3 spatial dimensions, zero padding.
///
/// `out[n, g·K/G + k, o…] = epilogue(Σ_{c, r…} x[n, g·C/G + c, o…·stride + r…·dilation − pad_low] · w[g·K/G + k, c, r…])`
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Batch symbol and extent.
    pub batch: (Symbol, Dim),
    /// Output channel symbol and extent (all groups): the vectorised dimension.
    pub channel: (Symbol, Dim),
    /// Output spatial symbols and extents, outermost first.
    pub spatial: Vec<(Symbol, Dim)>,
    /// Input spatial extents.
    pub input_spatial: Vec<Dim>,
    /// Input channels (all groups).
    pub input_channels: i64,
    /// Number of groups.
    pub groups: i64,
    /// Kernel extents.
    pub window: Vec<i64>,
    /// Strides of the window, per spatial dimension.
    pub stride: Vec<i64>,
    /// Dilation.
    pub dilation: Vec<i64>,
    /// Implicit zeros before the first element, per spatial dimension. (Those behind the last follow from the extents.)
    pub pad_low: Vec<Dim>,
    /// Parameter of the input and its strides in elements: batch, channel, spatial….
    pub x: (usize, Vec<Dim>),
    /// Constant offset of the first input element.
    pub x_offset: Dim,
    /// Parameter of the weight, a constant, dense row-major `[K, C/groups, window…]`; the target packs it. When it is
    /// no constant, `weight_is_constant` is false and the target packs at run time or reads it strided.
    pub w: usize,
    /// Whether the weight is known at compile time.
    pub weight_is_constant: bool,
    /// Type of the accumulator.
    pub accumulator: DType,
    /// What is stored, over batch, channel and spatial symbols.
    pub epilogue: Epilogue,
}

/// The products of a 3×3 convolution of stride 1 by [`crate::winograd`], whose input was transformed by the kernel before:
/// `out[n, k, 2·ty + y, 2·tx + x] = epilogue((Aᵀ [Σ_c (G w[k, c] Gᵀ) ⊙ v[·, n, ty, tx, c]] A)[y, x])`, in f32.
#[derive(Clone, Debug)]
pub struct Winograd {
    /// Batch symbol and extent.
    pub batch: (Symbol, Dim),
    /// Output channel symbol and extent: the vectorised dimension.
    pub channel: (Symbol, Dim),
    /// The two output spatial symbols and extents.
    pub spatial: Vec<(Symbol, Dim)>,
    /// Tiles along both spatial dimensions: half the outputs, rounded up.
    pub tiles: [Dim; 2],
    /// Input channels.
    pub input_channels: i64,
    /// Parameter of the transformed input, dense `[16, batch, tiles…, C]`.
    pub v: usize,
    /// Parameter of the weight, a constant, dense row-major `[K, C, 3, 3]`; the target transforms and packs it.
    pub w: usize,
    /// What is stored, over batch, channel and spatial symbols.
    pub epilogue: Epilogue,
}

/// A product with a constant matrix by [`crate::strassen`], whose first operand was summed by the kernel before:
/// `out[m, n] = epilogue(scale[m] · Σ_p Σ_k v[p, m mod M/2, k] · (p's factor of b)[k, n])`, in f32.
#[derive(Clone, Debug)]
pub struct Strassen {
    /// Row symbol and extent.
    pub m: (Symbol, Dim),
    /// Column symbol and extent (static): the vectorised dimension.
    pub n: (Symbol, Dim),
    /// Contracted symbol and extent (static and even).
    pub k: (Symbol, Dim),
    /// Parameter of the sums: `[7, ⌈M/2⌉]` rows of K/2 elements [`crate::strassen::row_stride`] apart, then a scale for
    /// each of `2·⌈M/2⌉` rows.
    pub v: usize,
    /// Parameter and address, over k and n, of the matrix, a constant; the target brings it into its basis and packs it.
    pub b: (usize, Dim),
    /// What is stored, over m and n.
    pub epilogue: Epilogue,
}

/// `out[b…, h, i, e] = Σ_j softmax_j(scale · Σ_d q[b…, h, i, d] k[b…, h', j, d] + mask[b…, h, i, j]) · v[b…, h', j, e]`
/// with `h' = h / (Hq / Hkv)`.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Batch dimensions, then the query head as the last: symbols and extents.
    pub batch: Vec<(Symbol, Dim)>,
    /// Query row symbol and extent.
    pub row: (Symbol, Dim),
    /// Key/value position symbol and extent.
    pub position: (Symbol, Dim),
    /// Depth of q and k: symbol and extent (static).
    pub depth: (Symbol, Dim),
    /// Depth of v: symbol and extent (static).
    pub value_depth: (Symbol, Dim),
    /// Parameter and address of q, over batch, row, depth.
    pub q: (usize, Dim),
    /// Parameter and address of k, over batch (grouping included), position, depth.
    pub k: (usize, Dim),
    /// Parameter and address of v, over batch, position, value_depth.
    pub v: (usize, Dim),
    /// Mask value as an expression over batch, row and position: boolean (true = keep) or float (added).
    pub mask: Option<Expr>,
    /// Positions after the row's own are left out (top-left aligned).
    pub causal: bool,
    /// Factor of the scores.
    pub scale: f64,
    /// Parameter and address of the output, over batch, row, value_depth; `Var(0)` in `epilogue` is the result.
    pub epilogue: Epilogue,
}
