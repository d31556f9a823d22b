//! Matrix products in pieces of the contracted extent: for operands that are better copied before they are used.
//!
//! A strided second operand becomes a dense panel; rows of the first one whose elements must be widened are copied too.
//! With more than one piece the sums of a block of rows wait on the stack. (Copying rows whose stride is a multiple of
//! 4 KiB, or blocking long contractions of packed operands, was measured and lost 5 to 10 %: the rows' misses hide
//! behind the arithmetic, the copy's do not.)

use super::gemm::{Block, Gemm, GemmB};
use super::micro::{Columns, Rows, tile};
use super::panel::{Source, copy};
use super::size::{Size, for_range};
use super::{Epilogue, widen};
use crate::NativeError;
use crate::builder::{Elem, Func, Type, Val};

/// Stack buffers of a kernel that works in pieces.
#[derive(Clone, Copy)]
pub(super) struct Scratch {
    /// Steps of the contracted index in a piece.
    piece: i64,
    /// The second operand's piece, `[piece][tile columns]`, if it is copied.
    panel: Option<Val>,
    /// The first operand's piece, `[rows of the block][piece + gap]`, if it is copied.
    rows: Option<Val>,
    /// Sums of the block, `[rows of the block][tile columns]`, if there is more than one piece.
    sums: Option<Val>,
}

/// Bytes of a copied panel.
const PANEL_BYTES: i64 = 48 * 1024;
/// Bytes of a copied row.
const ROW_BYTES: i64 = 1024;
/// Bytes between copied rows: neighbours fall on different cache sets.
const GAP_BYTES: i64 = 64;

impl Gemm<'_> {
    fn bytes(&self) -> i64 {
        i64::from(self.accumulator.bytes())
    }

    /// Whether there are enough rows that a copy is used several times.
    fn many_rows(&self) -> bool {
        self.m.known().is_none_or(|m| m > 3 * i64::from(self.tile.rows))
    }

    fn copies_columns(&self) -> bool {
        match &self.b {
            // Weights in fewer bits are widened once for all rows; for few rows on the way into the registers.
            GemmB::Packed { buffer } => buffer.ty.elem() != self.accumulator && self.many_rows(),
            GemmB::Grouped(_) => !self.m.is(1),
            // Neighbouring columns can be read in place, but rows may be pages apart.
            GemmB::Strided(matrix) => !matrix.col.is(1) || self.many_rows(),
        }
    }

    /// Rows that need widening are widened once for a panel, not once for every column vector.
    fn copies_rows(&self) -> bool {
        if self.pairs {
            return true;
        }
        self.many_rows()
            && self.a.col.is(1)
            && self.a.buffer.ty.elem() != self.accumulator
            && self.k.known().is_none_or(|k| k >= 32)
    }

    /// Stack buffers, if the product works in pieces.
    pub(super) fn scratch(&self, b: &mut Func<'_>) -> Option<Scratch> {
        let (columns, rows) = (self.copies_columns(), self.copies_rows());
        if !columns && !rows {
            return None;
        }
        let width = self.tile.columns();
        let piece = if rows { ROW_BYTES / self.bytes() } else { (PANEL_BYTES / (width * self.bytes()).max(1)).max(16) };
        // A contracted extent a little over one piece is still one piece.
        let whole = self.k.known().filter(|k| *k <= 3 * piece / 2);
        // A piece of weights with scales is whole groups.
        let piece = match &self.b {
            GemmB::Grouped(weights) => (piece / weights.group).max(1) * weights.group,
            GemmB::Packed { .. } | GemmB::Strided(_) => piece,
        };
        let piece = whole.map_or(piece, |k| k.max(1));
        let block = self.blocking().rows;
        let stride = piece + GAP_BYTES / self.bytes();
        Some(Scratch {
            piece,
            panel: columns.then(|| b.stack((piece * width) as u64, self.accumulator)),
            rows: rows.then(|| b.stack((block * stride) as u64, self.accumulator)),
            sums: whole.is_none().then(|| b.stack((block * width) as u64, self.accumulator)),
        })
    }

    /// One panel of columns for all rows of the block, in pieces.
    pub(super) fn in_pieces(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        column: Size,
        vectors: u32,
        mask: Option<Val>,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let Some(Scratch { piece, sums, .. }) = block.scratch else { return Ok(()) };
        let arithmetic = self.arithmetic();
        let lanes = self.tile.lanes;
        let width = i64::from(vectors * lanes);
        let Some(sums) = sums else {
            let columns = self.columns_piece(b, block, column, vectors, mask, Size::ZERO, self.k)?;
            self.copy_rows(b, block, Size::ZERO, self.k)?;
            return self.row_tiles(b, block, &mut |b, row, mr| {
                let zero = b.zero(arithmetic.ty());
                let acc = vec![zero; (mr * vectors) as usize];
                let rows = self.rows_piece(b, block, row, Size::ZERO);
                let acc = tile(b, arithmetic, rows, mr, columns, self.k, acc);
                self.finish(b, block, row, column, mr, vectors, mask, &acc, epilogue)
            });
        };
        let place = |b: &mut Func<'_>, row: Size, r: u32, j: u32| {
            let at = row.sub(b, block.row0).times(b, width);
            at.plus(b, i64::from(r) * width + i64::from(j * lanes)).val(b)
        };
        let all = block.rows.times(b, i64::from(vectors));
        for_range(b, Size::ZERO, all, |b, v| {
            let zero = b.zero(arithmetic.ty());
            let at = v.times(b, i64::from(lanes)).val(b);
            b.vstore(zero, sums, at);
            Ok(())
        })?;
        let pieces = self.k.ceil_div(b, piece);
        for_range(b, Size::ZERO, pieces, |b, p| {
            let k0 = p.times(b, piece);
            let left = self.k.sub(b, k0);
            let count = if self.k.known().is_some_and(|k| k % piece == 0) {
                Size::Static(piece)
            } else {
                Size::Static(piece).min(b, left)
            };
            let columns = self.columns_piece(b, block, column, vectors, mask, k0, count)?;
            self.copy_rows(b, block, k0, count)?;
            self.row_tiles(b, block, &mut |b, row, mr| {
                let mut acc = Vec::new();
                for r in 0..mr {
                    for j in 0..vectors {
                        let at = place(b, row, r, j);
                        acc.push(b.vload(sums, at, lanes));
                    }
                }
                let rows = self.rows_piece(b, block, row, k0);
                let acc = tile(b, arithmetic, rows, mr, columns, count, acc);
                for r in 0..mr {
                    for j in 0..vectors {
                        if let Some(v) = acc.get((r * vectors + j) as usize) {
                            let at = place(b, row, r, j);
                            b.vstore(*v, sums, at);
                        }
                    }
                }
                Ok(())
            })
        })?;
        let row_end = block.row0.add(b, block.rows);
        for_range(b, block.row0, row_end, |b, row| {
            let acc: Vec<Val> = (0..vectors)
                .map(|j| {
                    let at = place(b, row, 0, j);
                    b.vload(sums, at, lanes)
                })
                .collect();
            self.finish(b, block, row, column, 1, vectors, mask, &acc, epilogue)
        })
    }

    /// Steps `k0..k0+count` of a column block, copied where that is the plan.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of one piece")]
    fn columns_piece(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        column: Size,
        vectors: u32,
        mask: Option<Val>,
        k0: Size,
        count: Size,
    ) -> Result<Columns, NativeError> {
        let width = i64::from(vectors * self.tile.lanes);
        let dense = |buffer, base| Columns {
            buffer,
            base,
            less: None,
            step: Size::Static(width),
            vectors,
            mask: None,
            prefetch: None,
        };
        match &self.b {
            GemmB::Packed { buffer } => {
                let skip = k0.times(b, width);
                let base = column.mul(b, self.k);
                let Some(panel) = block.scratch.and_then(|s| s.panel) else {
                    return Ok(dense(*buffer, base.add(b, skip)));
                };
                let source = Source {
                    buffer: *buffer,
                    base,
                    row: Size::Static(width),
                    col: Size::ONE,
                    neighbours: true,
                    columns: Size::Static(width),
                    vectors,
                    // Panels are padded.
                    mask: None,
                    arithmetic: self.arithmetic(),
                };
                copy(b, &source, k0, count, panel)?;
                Ok(dense(panel, Size::ZERO))
            }
            GemmB::Grouped(weights) => {
                let panel = block.scratch.and_then(|s| s.panel).ok_or_else(|| NativeError::Unsupported {
                    what: "weights of 4 bits in pieces without a panel".to_string(),
                })?;
                weights.copy(b, self.arithmetic(), (column, vectors), self.k, (k0, count), panel)?;
                Ok(dense(panel, Size::ZERO))
            }
            GemmB::Strided(matrix) => {
                let across = column.mul(b, matrix.col);
                let base = block.b_base.add(b, across);
                let Some(panel) = block.scratch.and_then(|s| s.panel) else {
                    let down = k0.mul(b, matrix.row);
                    let base = base.add(b, down);
                    return Ok(Columns {
                        buffer: matrix.buffer,
                        base,
                        less: None,
                        step: matrix.row,
                        vectors,
                        mask,
                        prefetch: None,
                    });
                };
                let source = Source {
                    buffer: matrix.buffer,
                    base,
                    row: matrix.row,
                    col: matrix.col,
                    neighbours: matrix.col.is(1),
                    columns: self.n.sub(b, column),
                    vectors,
                    mask,
                    arithmetic: self.arithmetic(),
                };
                copy(b, &source, k0, count, panel)?;
                Ok(dense(panel, Size::ZERO))
            }
        }
    }

    /// Distance between copied rows.
    fn row_stride(&self, scratch: &Scratch) -> i64 {
        scratch.piece + GAP_BYTES / self.bytes()
    }

    /// Copies steps `k0..k0+count` of the block's rows, widened, if that is the plan.
    fn copy_rows(&self, b: &mut Func<'_>, block: &Block<'_>, k0: Size, count: Size) -> Result<(), NativeError> {
        let Some((scratch, to)) = block.scratch.and_then(|s| s.rows.map(|r| (s, r))) else { return Ok(()) };
        let lanes = self.tile.lanes;
        let l = i64::from(lanes);
        let first = self.rows_from(b, block, block.row0, k0).base;
        let (whole, rest) = (count.div(b, l), count.rem(b, l));
        for_range(b, Size::ZERO, block.rows, |b, r| {
            let down = r.mul(b, self.a.row);
            let from = first.add(b, down);
            let at = r.times(b, self.row_stride(&scratch));
            if self.pairs {
                return self.copy_pairs(b, (to, at), from, whole, rest);
            }
            for_range(b, Size::ZERO, whole, |b, v| {
                let step = v.times(b, l);
                let source = from.add(b, step).val(b);
                let v = b.vload(self.a.buffer, source, lanes);
                let v = widen(b, v, self.accumulator, self.signed);
                let at = at.add(b, step).val(b);
                b.vstore(v, to, at);
                Ok(())
            })?;
            if rest.is(0) {
                return Ok(());
            }
            let step = whole.times(b, l);
            let source = from.add(b, step).val(b);
            let left = rest.val(b);
            let mask = b.mask(left, lanes);
            let pass = b.zero(Type::of_lanes(lanes, self.a.buffer.ty.elem()));
            let v = b.masked_load(self.a.buffer, source, mask, pass);
            let v = widen(b, v, self.accumulator, self.signed);
            // A whole vector: the gap between rows takes what lies beyond.
            let at = at.add(b, step).val(b);
            b.vstore(v, to, at);
            Ok(())
        })
    }

    /// Rounds a row to pairs of bf16: `whole` vectors of pairs, then `rest` pairs.
    fn copy_pairs(
        &self,
        b: &mut Func<'_>,
        (to, at): (Val, Size),
        from: Size,
        whole: Size,
        rest: Size,
    ) -> Result<(), NativeError> {
        let lanes = self.tile.lanes;
        let l = i64::from(lanes);
        for_range(b, Size::ZERO, whole, |b, v| {
            let low = v.times(b, 2 * l).add(b, from);
            let high = low.plus(b, l).val(b);
            let low = low.val(b);
            let (low, high) = (b.vload(self.a.buffer, low, lanes), b.vload(self.a.buffer, high, lanes));
            let pairs = b.bf16_pairs(low, high);
            let at = v.times(b, l).add(b, at).val(b);
            b.vstore(pairs, to, at);
            Ok(())
        })?;
        if rest.is(0) {
            return Ok(());
        }
        let low = whole.times(b, 2 * l).add(b, from);
        let high = low.plus(b, l).val(b);
        let low = low.val(b);
        let left = rest.times(b, 2);
        let behind = left.plus(b, -l).max(b, Size::ZERO).val(b);
        let left = left.val(b);
        let (first, second) = (b.mask(left, lanes), b.mask(behind, lanes));
        let pass = b.zero(Type::of_lanes(lanes, Elem::F32));
        let low = b.masked_load(self.a.buffer, low, first, pass);
        let high = b.masked_load(self.a.buffer, high, second, pass);
        let pairs = b.bf16_pairs(low, high);
        // A whole vector: the gap between rows takes what lies beyond.
        let at = whole.times(b, l).add(b, at).val(b);
        b.vstore(pairs, to, at);
        Ok(())
    }

    /// Rows from `row` on at step `k0`, from the copy if there is one.
    fn rows_piece(&self, b: &mut Func<'_>, block: &Block<'_>, row: Size, k0: Size) -> Rows {
        match block.scratch.and_then(|s| s.rows.map(|r| (s, r))) {
            None => self.rows_from(b, block, row, k0),
            Some((scratch, buffer)) => {
                let stride = self.row_stride(&scratch);
                let base = row.sub(b, block.row0).times(b, stride);
                Rows { buffer, base, row: Size::Static(stride), step: Size::ONE }
            }
        }
    }
}
