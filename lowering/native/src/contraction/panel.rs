//! Copies a block of columns of a strided operand into a dense panel, as the register tile reads it.

use super::micro::Arithmetic;
use super::size::{Size, for_range};
use super::widen;
use crate::NativeError;
use crate::builder::{Func, Type, Val};

/// A block of columns in memory.
pub(super) struct Source {
    /// The buffer.
    pub buffer: Val,
    /// Address of the first column's first element.
    pub base: Size,
    /// Distance between steps of the contracted index.
    pub row: Size,
    /// Distance between columns.
    pub col: Size,
    /// Whether columns are neighbours in memory (and at most the last vector lacks some).
    pub neighbours: bool,
    /// Columns that exist from here on.
    pub columns: Size,
    /// Width of the block in vectors.
    pub vectors: u32,
    /// Which lanes of the last vector exist, where not all do.
    pub mask: Option<Val>,
    /// Lanes, and the element that values are widened to.
    pub arithmetic: Arithmetic,
}

/// Copies steps `first..first+count` into `panel[count][width]`, widened. Lanes without a column hold anything finite
/// or a copy of another column.
pub(super) fn copy(b: &mut Func<'_>, source: &Source, first: Size, count: Size, panel: Val) -> Result<(), NativeError> {
    let Arithmetic { lanes, elem, signed, .. } = source.arithmetic;
    let l = i64::from(lanes);
    let vectors = source.vectors;
    let width = i64::from(vectors) * l;
    let along = first.mul(b, source.row);
    let base = source.base.add(b, along);
    if source.neighbours {
        return for_range(b, Size::ZERO, count, |b, k| {
            let down = k.mul(b, source.row);
            let from = base.add(b, down);
            let to = k.times(b, width);
            for j in 0..vectors {
                let at = from.plus(b, i64::from(j) * l).val(b);
                let v = match source.mask {
                    Some(mask) if j + 1 == vectors => {
                        let pass = b.zero(Type::of_lanes(lanes, source.buffer.ty.elem()));
                        b.masked_load(source.buffer, at, mask, pass)
                    }
                    _ => b.vload(source.buffer, at, lanes),
                };
                let v = widen(b, v, elem, signed);
                let at = to.plus(b, i64::from(j) * l).val(b);
                b.vstore(v, panel, at);
            }
            Ok(())
        });
    }
    // Columns that do not exist repeat the last one: in bounds, and their lanes are dropped at the end.
    let last = source.columns.plus(b, -1);
    let column_at = |b: &mut Func<'_>, j: Size| -> Size {
        let j = if source.mask.is_some() { j.min(b, last) } else { j };
        j.mul(b, source.col)
    };
    let mut done = Size::ZERO;
    if source.row.is(1) && lanes > 1 {
        // Neighbours along the contracted index: square transposes in registers.
        let squares = count.div(b, l);
        for_range(b, Size::ZERO, squares, |b, s| {
            let k = s.times(b, l);
            for j in 0..vectors {
                let mut square = b.zero(Type::Matrix(lanes, lanes, elem));
                for r in 0..lanes {
                    let across = column_at(b, Size::Static(i64::from(j * lanes + r)));
                    let at = base.add(b, k).add(b, across).val(b);
                    let v = b.vload(source.buffer, at, lanes);
                    let v = widen(b, v, elem, signed);
                    square = b.insert(v, square, r);
                }
                let square = b.transpose(square);
                for r in 0..lanes {
                    let v = b.extract(square, r);
                    let at = k.times(b, width).plus(b, i64::from(r) * width + i64::from(j) * l).val(b);
                    b.vstore(v, panel, at);
                }
            }
            Ok(())
        })?;
        done = squares.times(b, l);
    }
    for_range(b, done, count, |b, k| {
        let down = k.mul(b, source.row);
        let from = base.add(b, down);
        let to = k.times(b, width);
        for_range(b, Size::ZERO, Size::Static(width), |b, j| {
            let across = column_at(b, j);
            let at = from.add(b, across).val(b);
            let v = b.load(source.buffer, at);
            let v = widen(b, v, elem, signed);
            let at = to.add(b, j).val(b);
            b.store(v, panel, at);
            Ok(())
        })
    })
}
