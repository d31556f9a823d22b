//! Finished tiles on their way to the epilogue.

use super::size::{Size, for_range};
use crate::NativeError;
use crate::builder::{Func, Val};

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
