//! The products of a matrix product by Strassen's algorithm, whose first operand is already summed.
//!
//! A task is two neighbouring panels of columns, the halves of a pair, and some of half the rows. For a tile of rows of
//! both halves, seven contracted loops run one after the other: where a product is added to others its loop starts from
//! their sum, so that products never wait in memory by themselves. The four finished tiles do, on the stack, in the
//! first-level cache. Long contracted extents are cut into blocks whose part of a pair of panels stays in the second-level
//! cache for all rows of a task; the task's finished tiles are then summed over the blocks.

use super::finish::{RowTile, row_tiles};
use super::micro::{Arithmetic, Columns, Rows, tile};
use super::size::{Size, for_range};
use super::tile::Tile;
use super::{Epilogue, Out};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Type, Val};
use pt2c_kernel::strassen::{FACTORS, PRODUCTS, QUARTERS, row_stride};

/// The second half of a product with a constant matrix, in f32.
pub struct Strassen {
    /// Rows of the product.
    pub m: Size,
    /// Half of them, rounded up.
    pub rows: Size,
    /// Columns.
    pub n: i64,
    /// Half the contracted extent.
    pub half: i64,
    /// The sums and scales of the first operand.
    pub v: Val,
    /// The second operand, packed by [`super::pack::strassen`] for the tile.
    pub b: Val,
    /// Register tile: rows of a half × vectors of a panel.
    pub tile: Tile,
}

/// Multiply-adds of a block of a task.
const TASK_WORK: i64 = 4_200_000;
/// Contracted steps of a block at most: four quarters of 48 columns take 288 KiB.
const BLOCK_STEPS: i64 = 384;

/// How half the contracted extent is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// How many there are.
    pub count: i64,
    /// Steps of each; the last one may have fewer, but takes as much memory.
    pub steps: i64,
}

impl Blocks {
    /// An even split of `half` steps.
    pub fn of(half: i64) -> Blocks {
        let count = ((half + BLOCK_STEPS - 1) / BLOCK_STEPS).max(1);
        Blocks { count, steps: (half + count - 1) / count }
    }

    /// Steps that memory is taken for.
    pub fn all(self) -> i64 {
        self.count * self.steps
    }
}

/// One pair of panels, and the rows of a task.
#[derive(Clone, Copy)]
struct Pair {
    /// Address of its first element.
    base: Size,
    /// Its first column.
    column: Size,
    /// Vectors of a panel.
    vectors: u32,
    /// Columns of each panel that exist; all where the pair is a whole one.
    columns: [i64; 2],
    /// First row of the task.
    first: Size,
    /// Where finished tiles wait, those of the whole task if there are several blocks.
    sums: Val,
}

/// One block of the contracted steps.
#[derive(Clone, Copy)]
struct Block {
    /// Its first step.
    first: Size,
    /// Its steps.
    steps: Size,
    /// Address of its part of the pair of panels.
    base: Size,
}

impl Strassen {
    /// Rows of a task, counted in a half: a multiple of the tile's.
    pub fn task_rows(&self) -> i64 {
        let mr = i64::from(self.tile.rows.max(1));
        let one = mr * PRODUCTS as i64 * self.blocks().steps * self.tile.columns();
        let most = (TASK_WORK / one.max(1)).max(1);
        match self.rows {
            Size::Static(rows) => {
                let all = (rows.max(1) + mr - 1) / mr;
                let tasks = (all + most - 1) / most;
                (all + tasks - 1) / tasks * mr
            }
            Size::Dynamic(_) => most * mr,
        }
    }

    fn blocks(&self) -> Blocks {
        Blocks::of(self.half)
    }

    /// Pairs of panels. Tasks are these times `⌈rows / task_rows⌉`.
    pub fn pairs(&self) -> i64 {
        let width = 2 * self.tile.columns().max(1);
        (self.n + width - 1) / width
    }

    /// Emits the tasks `begin..end` (index values).
    ///
    /// # Errors
    /// Those of the callback.
    pub fn emit(&self, b: &mut Func<'_>, begin: Val, end: Val, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let width = self.tile.columns();
        let task_rows = self.task_rows();
        let sums = b.stack((self.waiting() + 2 * i64::from(self.tile.rows) * width) as u64, Elem::F32);
        let row_tasks = self.rows.ceil_div(b, task_rows);
        let whole = self.n / (2 * width);
        let rest = self.n % (2 * width);
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let (number, row_task) = task.split(b, row_tasks);
            let first = row_task.times(b, task_rows);
            let last = first.plus(b, task_rows).min(b, self.rows);
            let base = number.times(b, QUARTERS as i64 * self.blocks().all() * width);
            let column = number.times(b, 2 * width);
            let (narrow, columns) = rest_of(rest, self.tile.lanes);
            let partial = Pair { base, column, vectors: narrow, columns, first, sums };
            let full = Pair { vectors: self.tile.vectors, columns: [width; 2], ..partial };
            match (whole, rest) {
                (_, 0) => self.rows(b, &full, last, epilogue),
                (0, _) => self.rows(b, &partial, last, epilogue),
                _ => {
                    let (number, whole) = (number.val(b), b.index(whole));
                    let is_whole = b.cmpi(IntPredicate::Slt, number, whole);
                    let scope = b.begin_if(is_whole, &[]);
                    self.rows(b, &full, last, epilogue)?;
                    b.begin_else(&[]);
                    self.rows(b, &partial, last, epilogue)?;
                    b.end_if(scope, &[]);
                    Ok(())
                }
            }
        })
    }

    /// Elements of the four finished tiles of all row tiles of a task, or of one where the sums are complete at once.
    fn waiting(&self) -> i64 {
        let rows = if self.blocks().count > 1 { self.task_rows() } else { i64::from(self.tile.rows) };
        QUARTERS as i64 * rows * self.tile.columns()
    }

    /// The task's rows up to `last` of the halves, in tiles.
    fn rows(&self, b: &mut Func<'_>, pair: &Pair, last: Size, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let Blocks { count, steps } = self.blocks();
        let rows = last.sub(b, pair.first);
        let tiles =
            |b: &mut Func<'_>, body: &mut RowTile<'_>| row_tiles(b, self.tile.rows, pair.first, rows, self.rows, body);
        if count == 1 {
            let block = Block { first: Size::ZERO, steps: Size::Static(steps), base: pair.base };
            return tiles(b, &mut |b, row, mr| {
                self.tiles(b, pair, &block, row, mr);
                self.finish_tiles(b, pair, row, mr, epilogue)
            });
        }
        let lanes = i64::from(self.tile.lanes);
        let vectors = rows.times(b, QUARTERS as i64 * i64::from(pair.vectors));
        for_range(b, Size::ZERO, vectors, |b, vector| {
            let zero = b.zero(Type::of_lanes(self.tile.lanes, Elem::F32));
            let at = vector.times(b, lanes).val(b);
            b.vstore(zero, pair.sums, at);
            Ok(())
        })?;
        for_range(b, Size::ZERO, Size::Static(count), |b, number| {
            let first = number.times(b, steps);
            let steps = match self.half % count {
                0 => Size::Static(steps),
                _ => {
                    let left = Size::Static(self.half).sub(b, first);
                    Size::Static(steps).min(b, left)
                }
            };
            let down = first.times(b, QUARTERS as i64 * i64::from(pair.vectors) * lanes);
            let block = Block { first, steps, base: pair.base.add(b, down) };
            tiles(b, &mut |b, row, mr| {
                self.tiles(b, pair, &block, row, mr);
                Ok(())
            })
        })?;
        tiles(b, &mut |b, row, mr| self.finish_tiles(b, pair, row, mr, epilogue))
    }

    /// Address of the finished tiles of the row tile from `row` on.
    fn finished(&self, b: &mut Func<'_>, pair: &Pair, row: Size) -> Size {
        if self.blocks().count == 1 {
            return Size::ZERO;
        }
        let width = i64::from(pair.vectors * self.tile.lanes);
        row.sub(b, pair.first).times(b, QUARTERS as i64 * width)
    }

    /// What a block adds to `mr` rows of each half from `row` on, of one pair.
    fn tiles(&self, b: &mut Func<'_>, pair: &Pair, block: &Block, row: Size, mr: u32) {
        let lanes = self.tile.lanes;
        let accumulators = (mr * pair.vectors) as usize;
        let size = accumulators as i64 * i64::from(lanes);
        let zero = b.zero(Type::of_lanes(lanes, Elem::F32));
        let finished = self.finished(b, pair, row);
        let quarter = |b: &mut Func<'_>, number: i64| finished.plus(b, size * number);
        // On the way to them: what several start from, and a product that two sums take.
        let (common, single) = (Size::Static(self.waiting()), Size::Static(self.waiting() + size));
        let save = |b: &mut Func<'_>, acc: &[Val], to: Size| {
            for (i, value) in (0..).zip(acc) {
                let at = to.plus(b, i * i64::from(lanes)).val(b);
                b.vstore(*value, pair.sums, at);
            }
            // The next product needs the registers.
            b.forget(pair.sums);
        };
        let saved = |b: &mut Func<'_>, from: Size| -> Vec<Val> {
            let load = |i: usize| {
                let at = from.plus(b, i as i64 * i64::from(lanes)).val(b);
                b.vload(pair.sums, at, lanes)
            };
            (0..accumulators).map(load).collect()
        };
        let plus = |b: &mut Func<'_>, acc: &[Val], from: Size| -> Vec<Val> {
            let others = saved(b, from);
            acc.iter().zip(others).map(|(value, other)| b.addf(*value, other)).collect()
        };
        let several = self.blocks().count > 1;
        let done = |b: &mut Func<'_>, acc: Vec<Val>, number: i64| {
            let to = quarter(b, number);
            let acc = if several { plus(b, &acc, to) } else { acc };
            save(b, &acc, to);
        };
        let zeros = || vec![zero; accumulators];
        let product =
            |b: &mut Func<'_>, number: usize, acc: Vec<Val>| self.product(b, pair, block, row, mr, number, acc);
        let first = product(b, 0, zeros());
        save(b, &first, common);
        let upper_left = product(b, 1, first);
        done(b, upper_left, 0);
        let shared = saved(b, common);
        let shared = product(b, 2, shared);
        save(b, &shared, common);
        let alone = product(b, 3, zeros());
        save(b, &alone, single);
        let start = plus(b, &alone, common);
        let upper_right = product(b, 4, start);
        done(b, upper_right, 1);
        let shared = saved(b, common);
        let shared = product(b, 5, shared);
        save(b, &shared, common);
        let lower_right = plus(b, &shared, single);
        done(b, lower_right, 3);
        let shared = saved(b, common);
        let lower_left = product(b, 6, shared);
        done(b, lower_left, 2);
    }

    /// Hands the finished tiles of `mr` rows of each half to the epilogue.
    fn finish_tiles(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        row: Size,
        mr: u32,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let size = i64::from(mr * pair.vectors * self.tile.lanes);
        let finished = self.finished(b, pair, row);
        for_range(b, Size::ZERO, Size::Static(2), |b, lower| {
            for_range(b, Size::ZERO, Size::Static(i64::from(mr)), |b, r| {
                let of_rows = self.rows.mul(b, lower).add(b, row);
                let to = of_rows.add(b, r);
                let down = r.times(b, i64::from(pair.vectors * self.tile.lanes));
                let from = lower.times(b, 2 * size).add(b, down).add(b, finished);
                let mut finish = |b: &mut Func<'_>| self.finish(b, pair, from, to, size, epilogue);
                match self.m {
                    Size::Static(m) if m % 2 == 0 => finish(b),
                    // The last row of the lower half may not exist.
                    m => to.if_cmp(b, IntPredicate::Slt, m, &mut finish),
                }
            })
        })
    }

    /// Adds a block of a product to the accumulators.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of one tile")]
    fn product(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        block: &Block,
        row: Size,
        mr: u32,
        number: usize,
        acc: Vec<Val>,
    ) -> Vec<Val> {
        let lanes = self.tile.lanes;
        let width = i64::from(pair.vectors * lanes);
        let arithmetic = Arithmetic { lanes, elem: Elem::F32, signed: true, pairs: false };
        let stride = row_stride(self.half);
        let base = self.rows.times(b, number as i64).add(b, row).times(b, stride).add(b, block.first);
        let rows = Rows { buffer: self.v, base, row: Size::Static(stride), step: Size::ONE };
        let element = |b: &mut Func<'_>, at: usize| block.base.plus(b, at as i64 * self.blocks().steps * width);
        let (first, second) = FACTORS[number];
        let columns = Columns {
            buffer: self.b,
            base: element(b, first),
            less: second.map(|at| element(b, at)),
            step: Size::Static(width),
            vectors: pair.vectors,
            mask: None,
            prefetch: self.prefetch(b, pair, block, row, number),
        };
        tile(b, arithmetic, rows, mr, columns, block.steps, acc)
    }

    /// What a product's loop fetches of what comes next, the next block or the first one of the next pair: the row tiles
    /// that read a block before it leaves the cache together fetch all of it.
    fn prefetch(&self, b: &mut Func<'_>, pair: &Pair, block: &Block, row: Size, number: usize) -> Option<(Size, i64)> {
        let line = 64 / i64::from(Elem::F32.bytes());
        let Blocks { count, steps } = self.blocks();
        let mr = i64::from(self.tile.rows.max(1));
        let (rows, first) = match count {
            1 => (self.rows.known().unwrap_or(64), Size::ZERO),
            _ => (self.task_rows(), pair.first),
        };
        let row_tiles = ((rows + mr - 1) / mr).max(1);
        let all = QUARTERS as i64 * steps * self.tile.columns();
        // Lines that a row tile fetches, in as few of its loops as one line a step allows.
        let lines = (all / line + row_tiles - 1) / row_tiles;
        let loops = ((lines + steps - 1) / steps).max(1);
        let products = PRODUCTS as i64;
        let per_step = (loops + products - 1) / products;
        let loops = (loops + per_step - 1) / per_step;
        let number = number as i64;
        if pair.vectors != self.tile.vectors || number >= loops {
            return None;
        }
        let each = per_step * line * steps;
        let part = row.sub(b, first).div(b, mr).times(b, loops * each).plus(b, number * each + all);
        Some((block.base.add(b, part), per_step * line))
    }

    /// Hands a row of finished tiles to the epilogue: from address `from` on and a tile later, row `to` of the product.
    fn finish(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        from: Size,
        to: Size,
        size: i64,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let lanes = self.tile.lanes;
        let l = i64::from(lanes);
        let width = i64::from(pair.vectors) * l;
        // The scales of rows lie behind the sums, those of columns behind the panels.
        let of_rows = self.rows.times(b, PRODUCTS as i64 * row_stride(self.half)).add(b, to).val(b);
        let row_scale = b.load(self.v, of_rows);
        let row_scale = b.broadcast(row_scale, lanes);
        let of_columns = super::pack::strassen_scales(self.half, self.n, self.tile.columns(), l);
        for (side, exist) in pair.columns.into_iter().enumerate() {
            let side = side as i64;
            for j in 0..i64::from(pair.vectors) {
                let left = exist - j * l;
                if left <= 0 {
                    continue;
                }
                let mask = (left < l).then(|| {
                    let left = b.index(left);
                    b.mask(left, lanes)
                });
                let at = from.plus(b, side * size + j * l).val(b);
                let sum = b.vload(pair.sums, at, lanes);
                let col = pair.column.plus(b, side * width + j * l);
                let at = col.plus(b, of_columns).val(b);
                let scale = b.vload(self.b, at, lanes);
                let value = b.mulf(sum, scale);
                let value = b.mulf(value, row_scale);
                epilogue(b, &Out { value, batch: Vec::new(), row: to, col, mask })?;
            }
        }
        Ok(())
    }
}

/// A last pair of `rest` columns: vectors of its panels, and the columns of each that exist.
pub(super) fn rest_of(rest: i64, lanes: u32) -> (u32, [i64; 2]) {
    let lanes = i64::from(lanes.max(1));
    let vectors = (rest + 2 * lanes - 1) / (2 * lanes);
    let first = rest.min(vectors * lanes);
    (vectors as u32, [first, rest - first])
}
