//! Rows: cut into tiles, and finished tiles on their way to the epilogue.

use super::size::{Size, for_range};
use crate::NativeError;
use crate::builder::{Func, IntPredicate, Val};

/// Calls `body(builder, row of the tile, its vectors)` for every row of a tile of `rows × vectors` accumulators.
///
/// Short epilogues are written once for each accumulator and work on registers. For long ones the tile waits in
/// `waiting`, memory for as many vectors, and the epilogue is written for one row: all at once would need more registers
/// than there are, and keep their values on the stack one by one.
pub(super) fn each_row(
    b: &mut Func<'_>,
    waiting: Option<Val>,
    acc: &[Val],
    vectors: u32,
    body: &mut dyn FnMut(&mut Func<'_>, Size, &[Val]) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    let rows = acc.chunks(vectors.max(1) as usize);
    let (Some(waiting), Some(first), 2..) = (waiting, acc.first(), rows.len()) else {
        return (0..).zip(rows).try_for_each(|(row, values)| body(b, Size::Static(row), values));
    };
    let lanes = first.ty.lanes();
    let count = rows.len() as i64;
    for (i, value) in (0..).zip(acc) {
        let at = b.index(i * i64::from(lanes));
        b.vstore(*value, waiting, at);
    }
    for_range(b, Size::ZERO, Size::Static(count), |b, row| {
        let from = row.times(b, i64::from(vectors * lanes));
        let values: Vec<Val> = (0..vectors)
            .map(|j| {
                let at = from.plus(b, i64::from(j * lanes)).val(b);
                b.vload(waiting, at, lanes)
            })
            .collect();
        body(b, row, &values)
    })
}

/// Writes a tile: (builder, first row, rows).
pub(super) type RowTile<'a> = dyn FnMut(&mut Func<'_>, Size, u32) -> Result<(), NativeError> + 'a;

/// Calls `body` for tiles of `tile_rows` that cover `count` rows from `first` on: a loop over whole tiles, then the rest as
/// one tile where its size is known, in powers of two where it is not. The rows are a block of `all`, of which only the
/// last block has a rest.
pub(super) fn row_tiles(
    b: &mut Func<'_>,
    tile_rows: u32,
    first: Size,
    count: Size,
    all: Size,
    body: &mut RowTile<'_>,
) -> Result<(), NativeError> {
    let mr = i64::from(tile_rows);
    let whole = count.div(b, mr);
    for_range(b, Size::ZERO, whole, |b, t| {
        let down = t.times(b, mr);
        let row = first.add(b, down);
        body(b, row, tile_rows)
    })?;
    let done = whole.times(b, mr);
    let mut row = first.add(b, done);
    let rest = count.rem(b, mr);
    match (rest, all) {
        (Size::Static(0), _) => Ok(()),
        (Size::Static(rest), _) => body(b, row, rest as u32),
        (_, Size::Static(all)) if all % mr == 0 => Ok(()),
        (_, Size::Static(all)) => rest.if_cmp(b, IntPredicate::Ne, Size::ZERO, |b| body(b, row, (all % mr) as u32)),
        (Size::Dynamic(rest), _) => {
            for piece in (0..=(tile_rows.max(2) - 1).ilog2()).rev() {
                let bit = b.index(1 << piece);
                let part = Size::Dynamic(b.andi(rest, bit));
                part.if_cmp(b, IntPredicate::Ne, Size::ZERO, |b| body(b, row, 1 << piece))?;
                row = row.add(b, part);
            }
            Ok(())
        }
    }
}
