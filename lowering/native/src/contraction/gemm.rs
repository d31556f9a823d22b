//! Matrix products: `out[z, i, j] = epilogue(Σ_k a[z, i, k] · b[z, k, j])`.
//!
//! A task is a block of rows and a few column panels of one batch. Inside, panels are the outer loop and row tiles the
//! inner one, so that a panel of `b` is read from a near cache for all rows of the block.

use super::finish::{RowTile, each_row, row_tiles};
use super::micro::{Arithmetic, Columns, Rows, tile};
use super::pieces::Scratch;
use super::size::{Size, for_range};
use super::tile::Tile;
use super::{Epilogue, Grouped, Matrix, Out};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Val};

/// A (batched) matrix product.
pub struct Gemm<'a> {
    /// Batch extents, outermost first.
    pub batch: Vec<Size>,
    /// Rows.
    pub m: Size,
    /// Columns.
    pub n: Size,
    /// Contracted extent.
    pub k: Size,
    /// First operand: `row` steps m, `col` steps k.
    pub a: Matrix<'a>,
    /// Second operand.
    pub b: GemmB<'a>,
    /// Element that sums are kept in; operands are widened to it.
    pub accumulator: Elem,
    /// Whether integer operands narrower than the accumulator are signed.
    pub signed: bool,
    /// Register tile ([`super::tile::choose`]).
    pub tile: Tile,
    /// Products of bf16 pairs: `k` counts pairs, `b` is packed with a pair in the place of an f32 element, and rows of
    /// `a`, f32 with neighbouring columns, are rounded on the way.
    pub pairs: bool,
    /// Whether the epilogue is long: written for a row of a tile, not for each of its accumulators.
    pub long_epilogue: bool,
}

/// Where the second operand is.
pub enum GemmB<'a> {
    /// A constant packed by [`super::pack::columns`] with panels of [`Tile::columns`].
    Packed {
        /// The panels.
        buffer: Val,
    },
    /// A packed constant of 4 bits an element.
    Grouped(Grouped),
    /// Anywhere: `row` steps k, `col` steps n.
    Strided(Matrix<'a>),
}

/// How the output is cut into tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of a task: a multiple of the tile's rows.
    pub rows: i64,
    /// Columns of a task: a multiple of the tile's columns.
    pub columns: i64,
}

/// Multiply-adds of a task: tens of microseconds, so that starting one costs nothing and threads share evenly.
const TASK_WORK: i64 = 2_000_000;
/// Rows of a task: enough to pay for reading a panel, few enough that their part of `a` stays in the second-level cache.
const TASK_ROWS: i64 = 96;

impl Blocking {
    /// The cut for a product of this shape; unknown sizes are taken as large.
    pub fn choose(m: Size, n: Size, k: Size, tile: Tile) -> Blocking {
        let mr = i64::from(tile.rows.max(1));
        let round_up = |x: i64, to: i64| (x + to - 1) / to * to;
        let rows = match m {
            Size::Static(m) => {
                let blocks = (m.max(1) + TASK_ROWS - 1) / TASK_ROWS;
                (m.max(1) + blocks - 1) / blocks
            }
            Size::Dynamic(_) => TASK_ROWS,
        };
        let rows = round_up(rows, mr);
        let width = tile.columns().max(1);
        let k = k.known().unwrap_or(512).max(1);
        let panels = (TASK_WORK / rows.saturating_mul(k).saturating_mul(width).max(1)).max(1);
        let all = n.known().map_or(panels, |n| (n.max(1) + width - 1) / width);
        // An even split of the panels over tasks.
        let tasks = (all + panels - 1) / panels;
        Blocking { rows, columns: (all + tasks - 1) / tasks * width }
    }
}

impl Gemm<'_> {
    /// How the output is cut into tasks. Their number is the product of the batch extents, `⌈m / rows⌉` and
    /// `⌈n / columns⌉`.
    pub fn blocking(&self) -> Blocking {
        Blocking::choose(self.m, self.n, self.k, self.tile)
    }

    /// Emits the tasks `begin..end` (index values).
    ///
    /// # Errors
    /// Those of the callbacks.
    pub fn emit(&self, b: &mut Func<'_>, begin: Val, end: Val, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let blocking = self.blocking();
        let scratch = self.scratch(b);
        let tile = i64::from(self.tile.rows) * self.tile.columns();
        let waiting = self.long_epilogue.then(|| b.stack(tile as u64, self.accumulator));
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let column_tasks = self.n.ceil_div(b, blocking.columns);
            let row_tasks = self.m.ceil_div(b, blocking.rows);
            let (mut rest, row_task, column_task);
            if self.rows_first() {
                (rest, row_task) = task.split(b, row_tasks);
                (rest, column_task) = rest.split(b, column_tasks);
            } else {
                (rest, column_task) = task.split(b, column_tasks);
                (rest, row_task) = rest.split(b, row_tasks);
            }
            let mut batch = vec![Size::ZERO; self.batch.len()];
            for (index, extent) in batch.iter_mut().zip(&self.batch).rev() {
                (rest, *index) = rest.split(b, *extent);
            }
            let row0 = row_task.times(b, blocking.rows);
            let left = self.m.sub(b, row0);
            let rows = Size::Static(blocking.rows).min(b, left);
            let a_base = (self.a.base)(b, &batch)?;
            let b_base = match &self.b {
                GemmB::Packed { .. } | GemmB::Grouped(_) => Size::ZERO,
                GemmB::Strided(matrix) => (matrix.base)(b, &batch)?,
            };
            let block = Block { row0, rows, a_base, b_base, batch: &batch, scratch, waiting };
            self.panels(b, &block, blocking, column_task, epilogue)
        })
    }

    /// Whether neighbouring tasks are blocks of rows of the same columns: the larger operand is read once, the smaller
    /// one again and again, from a nearer cache.
    fn rows_first(&self) -> bool {
        match (self.m, self.n) {
            (Size::Static(m), Size::Static(n)) => m <= n,
            (Size::Dynamic(_), _) => true,
            (Size::Static(_), Size::Dynamic(_)) => false,
        }
    }

    pub(super) fn arithmetic(&self) -> Arithmetic {
        Arithmetic { lanes: self.tile.lanes, elem: self.accumulator, signed: self.signed, pairs: self.pairs }
    }

    /// All columns of a task: whole panels, then what is left of the last one.
    fn panels(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        blocking: Blocking,
        column_task: Size,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let width = self.tile.columns();
        let lanes = i64::from(self.tile.lanes);
        let per_task = blocking.columns / width;
        let whole = self.n.div(b, width);
        let first = column_task.times(b, per_task);
        let last = first.plus(b, per_task).min(b, whole);
        for_range(b, first, last, |b, panel| {
            let column = panel.times(b, width);
            self.panel(b, block, column, self.tile.vectors, None, epilogue)
        })?;
        // The columns behind the last whole panel belong to the last task.
        let tasks = self.n.ceil_div(b, blocking.columns);
        let last_task = tasks.plus(b, -1);
        let rest = self.n.rem(b, width);
        let column = whole.times(b, width);
        column_task.if_cmp(b, IntPredicate::Eq, last_task, |b| match rest {
            Size::Static(0) => Ok(()),
            Size::Static(rest) => {
                let vectors = ((rest + lanes - 1) / lanes) as u32;
                let partial = rest % lanes;
                let mask = (partial > 0).then(|| {
                    let partial = b.index(partial);
                    b.mask(partial, self.tile.lanes)
                });
                self.panel(b, block, column, vectors, mask, epilogue)
            }
            Size::Dynamic(_) => {
                let pieces = rest.ceil_div(b, lanes);
                for_range(b, Size::ZERO, pieces, |b, piece| {
                    let done = piece.times(b, lanes);
                    let at = column.add(b, done);
                    let left = rest.sub(b, done).val(b);
                    let mask = b.mask(left, self.tile.lanes);
                    self.panel(b, block, at, 1, Some(mask), epilogue)
                })
            }
        })
    }

    /// One panel of columns for all rows of the block. `mask` says which lanes of the last vector exist.
    fn panel(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        column: Size,
        vectors: u32,
        mask: Option<Val>,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let width = i64::from(vectors) * i64::from(self.tile.lanes);
        if block.scratch.is_some() {
            return self.in_pieces(b, block, column, vectors, mask, epilogue);
        }
        let direct = match &self.b {
            GemmB::Grouped(weights) => {
                return self.row_tiles(b, block, &mut |b, row, mr| {
                    let rows = self.rows_from(b, block, row, Size::ZERO);
                    let acc = weights.tile(b, self.arithmetic(), rows, mr, (column, vectors), self.k);
                    self.finish(b, block, row, column, mr, vectors, mask, &acc, epilogue)
                });
            }
            GemmB::Packed { buffer } => {
                let base = column.mul(b, self.k);
                let step = Size::Static(width);
                let prefetch = (width == self.tile.columns() && !self.k.is(1)).then(|| {
                    let skip = self.k.times(b, width);
                    (base.add(b, skip), self.prefetch_per_step())
                });
                // Packed panels are padded: no mask for loads.
                Columns { buffer: *buffer, base, less: None, step, vectors, mask: None, prefetch }
            }
            GemmB::Strided(matrix) => {
                let base = block.b_base.add(b, column);
                Columns { buffer: matrix.buffer, base, less: None, step: matrix.row, vectors, mask, prefetch: None }
            }
        };
        let k = self.k;
        self.row_tiles(b, block, &mut |b, row, mr| {
            let zero = b.zero(self.arithmetic().ty());
            let acc = vec![zero; (mr * vectors) as usize];
            let mut columns = direct;
            if let Some((next, per_step)) = columns.prefetch {
                // Each row tile fetches another part of the next panel.
                let tile_index = row.sub(b, block.row0).div(b, i64::from(self.tile.rows));
                let part = tile_index.mul(b, k).times(b, per_step);
                columns.prefetch = Some((next.add(b, part), per_step));
            }
            let rows = self.rows_from(b, block, row, Size::ZERO);
            let acc = tile(b, self.arithmetic(), rows, mr, columns, k, acc);
            self.finish(b, block, row, column, mr, vectors, mask, &acc, epilogue)
        })
    }

    /// Elements of the next panel that one step fetches: all of it by the time the block's rows are done.
    fn prefetch_per_step(&self) -> i64 {
        let element = match &self.b {
            GemmB::Packed { buffer } | GemmB::Grouped(Grouped { buffer, .. }) => buffer.ty.elem(),
            GemmB::Strided(matrix) => matrix.buffer.ty.elem(),
        };
        let line = 64 / i64::from(element.bytes());
        let tiles = (self.blocking().rows / i64::from(self.tile.rows.max(1))).max(1);
        let width = self.tile.columns();
        ((width + tiles - 1) / tiles + line - 1) / line * line
    }

    /// Rows of the first operand from `row` on, at step `k0` of the contracted index.
    pub(super) fn rows_from(&self, b: &mut Func<'_>, block: &Block<'_>, row: Size, k0: Size) -> Rows {
        let down = row.mul(b, self.a.row);
        let along = k0.times(b, if self.pairs { 2 } else { 1 }).mul(b, self.a.col);
        let base = block.a_base.add(b, down).add(b, along);
        Rows { buffer: self.a.buffer, base, row: self.a.row, step: self.a.col }
    }

    /// Calls `body(builder, first row, rows)` for row tiles that cover the block.
    pub(super) fn row_tiles(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        body: &mut RowTile<'_>,
    ) -> Result<(), NativeError> {
        row_tiles(b, self.tile.rows, block.row0, block.rows, self.m, body)
    }

    /// Hands a tile's sums to the epilogue.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of one tile")]
    pub(super) fn finish(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        row: Size,
        column: Size,
        mr: u32,
        vectors: u32,
        mask: Option<Val>,
        acc: &[Val],
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let acc = acc.get(..(mr * vectors) as usize).unwrap_or_default();
        each_row(b, block.waiting, acc, vectors, &mut |b, r, values| {
            let row = row.add(b, r);
            for (j, value) in (0..).zip(values) {
                let col = column.plus(b, i64::from(j * self.tile.lanes));
                let mask = mask.filter(|_| j + 1 == vectors);
                epilogue(b, &Out { value: *value, batch: block.batch.to_vec(), row, col, mask })?;
            }
            Ok(())
        })
    }
}

/// The rows and operands of a task.
pub(super) struct Block<'a> {
    pub row0: Size,
    pub rows: Size,
    pub a_base: Size,
    pub b_base: Size,
    pub batch: &'a [Size],
    /// Where operands are copied on the way, if they are.
    pub scratch: Option<Scratch>,
    /// Where finished tiles wait for a long epilogue.
    pub waiting: Option<Val>,
}
