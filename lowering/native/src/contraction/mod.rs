//! Direct emitters of contraction kernels: matrix products, convolutions, attention.
//!
//! Each writes loop nests around a register-blocked tile: the accumulators are values carried by the innermost loops,
//! one hardware register each, so nothing depends on what an optimiser may find. Constant weights are packed at compile
//! time ([`pack`]) in the order in which the tile reads them. Sizes and strides are [`Size`]s: known now, or values.
//!
//! Work is split into tasks numbered from 0; a kernel runs the tasks of a range, and tasks write disjoint outputs. What
//! is stored is the caller's business: the emitter hands every finished vector to an [`Epilogue`], which applies bias,
//! activation, residual and stores.
//!
//! Tile shapes come from one table, [`tile`].

mod attention;
mod conv;
mod depthwise;
mod finish;
mod gemm;
mod grouped;
mod micro;
pub mod pack;
mod panel;
mod pieces;
mod size;
mod spatial;
mod strassen;
pub mod tile;
mod winograd;

pub use attention::{Attention, Mask, MaskAt};
pub use conv::{Convolution, Image, Weight};
pub use depthwise::Depthwise;
pub use gemm::{Blocking, Gemm, GemmB};
pub use grouped::Grouped;
pub use size::Size;
pub use spatial::Axis;
pub use strassen::Strassen;
pub use winograd::Winograd;

use crate::NativeError;
use crate::builder::{Elem, Func, Val};

/// Gives an operand's address for a batch index: `(builder, batch indices) -> address in elements` with all other
/// indices 0.
pub type Base<'a> = dyn Fn(&mut Func<'_>, &[Size]) -> Result<Size, NativeError> + 'a;

/// A matrix operand in memory: element `(i, j)` of batch `z` lies at `base(z) + i·row + j·col`.
pub struct Matrix<'a> {
    /// The buffer.
    pub buffer: Val,
    /// Address of element (0, 0) of a batch.
    pub base: &'a Base<'a>,
    /// Distance between rows.
    pub row: Size,
    /// Distance between columns.
    pub col: Size,
}

/// A finished piece of the output: neighbouring columns of one row.
#[derive(Clone, Debug)]
pub struct Out {
    /// The sums: a vector of [`Out::value`]'s lanes.
    pub value: Val,
    /// Batch indices, outermost first (convolution: batch, then all spatial indices but the last).
    pub batch: Vec<Size>,
    /// Row (convolution: last spatial index).
    pub row: Size,
    /// First column (convolution: output channel).
    pub col: Size,
    /// Lanes that exist, when not all do: a mask for loads and stores.
    pub mask: Option<Val>,
}

/// Takes finished vectors and stores them.
pub type Epilogue<'a> = dyn FnMut(&mut Func<'_>, &Out) -> Result<(), NativeError> + 'a;

/// Converts a loaded element or vector to the accumulator's type (exact).
fn widen(b: &mut Func<'_>, v: Val, to: Elem, signed: bool) -> Val {
    match (v.ty.elem().is_float(), to.is_float()) {
        (true, _) => b.cast_float(v, to),
        (false, false) => {
            let ty = v.ty.with_elem(to);
            b.cast_int(v, ty, signed)
        }
        (false, true) => b.int_to_float(v, to, signed),
    }
}

/// `x * y + z` in a float or integer type.
fn multiply_add(b: &mut Func<'_>, x: Val, y: Val, z: Val) -> Val {
    if x.ty.elem().is_float() {
        b.mul_add(x, y, z)
    } else {
        let p = b.muli(x, y);
        b.addi(p, z)
    }
}
