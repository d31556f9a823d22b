//! The products of a matrix product by Strassen's algorithm, whose first operand is already summed.
//!
//! A task is two neighbouring panels of columns, the halves of a pair, and some of half the rows. For a tile of rows of
//! both halves, seven contracted loops run one after the other: where a product is added to others its loop starts from
//! their sum, so that products never wait in memory by themselves. The four finished tiles do, on the stack, in the
//! first-level cache.

use super::finish::row_tiles;
use super::micro::{Arithmetic, Columns, Rows, tile};
use super::size::{Size, for_range};
use super::tile::Tile;
use super::{Epilogue, Out};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Val};
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

/// Multiply-adds of a task.
const TASK_WORK: i64 = 4_000_000;

/// One pair of panels.
struct Pair {
    /// Address of its first element.
    base: Size,
    /// Its first column.
    column: Size,
    /// Vectors of a panel.
    vectors: u32,
    /// Columns of each panel that exist; all where the pair is a whole one.
    columns: [i64; 2],
    /// Where finished tiles wait.
    sums: Val,
}

impl Strassen {
    /// Rows of a task, counted in a half: a multiple of the tile's.
    pub fn task_rows(&self) -> i64 {
        let mr = i64::from(self.tile.rows.max(1));
        let one = mr * PRODUCTS as i64 * self.half * self.tile.columns();
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
        // Four finished tiles, and two sums on the way to them.
        let sums = b.stack(((QUARTERS as i64 + 2) * i64::from(self.tile.rows) * width) as u64, Elem::F32);
        let task_rows = self.task_rows();
        let row_tasks = self.rows.ceil_div(b, task_rows);
        let whole = self.n / (2 * width);
        let rest = self.n % (2 * width);
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let (number, row_task) = task.split(b, row_tasks);
            let first = row_task.times(b, task_rows);
            let last = first.plus(b, task_rows).min(b, self.rows);
            let base = number.times(b, QUARTERS as i64 * self.half * width);
            let column = number.times(b, 2 * width);
            let (narrow, columns) = rest_of(rest, self.tile.lanes);
            let partial = Pair { base, column, vectors: narrow, columns, sums };
            let full = Pair { vectors: self.tile.vectors, columns: [width; 2], ..partial };
            match (whole, rest) {
                (_, 0) => self.row_tiles(b, &full, first, last, epilogue),
                (0, _) => self.row_tiles(b, &partial, first, last, epilogue),
                _ => {
                    let (number, whole) = (number.val(b), b.index(whole));
                    let is_whole = b.cmpi(IntPredicate::Slt, number, whole);
                    let scope = b.begin_if(is_whole, &[]);
                    self.row_tiles(b, &full, first, last, epilogue)?;
                    b.begin_else(&[]);
                    self.row_tiles(b, &partial, first, last, epilogue)?;
                    b.end_if(scope, &[]);
                    Ok(())
                }
            }
        })
    }

    /// Rows `first..last` of the halves in tiles.
    fn row_tiles(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        first: Size,
        last: Size,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let count = last.sub(b, first);
        row_tiles(b, self.tile.rows, first, count, self.rows, &mut |b, row, mr| self.tiles(b, pair, row, mr, epilogue))
    }

    /// `mr` rows of each half from `row` on, of one pair.
    fn tiles(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        row: Size,
        mr: u32,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let lanes = self.tile.lanes;
        let size = i64::from(mr * pair.vectors * lanes);
        let arithmetic = Arithmetic { lanes, elem: Elem::F32, signed: true, pairs: false };
        let zero = b.zero(arithmetic.ty());
        let zeros = vec![zero; (mr * pair.vectors) as usize];
        let place = |i: usize, number: usize| size * number as i64 + i as i64 * i64::from(lanes);
        let save = |b: &mut Func<'_>, acc: &[Val], number: usize| {
            for (i, value) in acc.iter().enumerate() {
                let at = b.index(place(i, number));
                b.vstore(*value, pair.sums, at);
            }
        };
        let saved = |b: &mut Func<'_>, acc: &[Val], number: usize| -> Vec<Val> {
            let sum = |(i, value): (usize, &Val)| {
                let at = b.index(place(i, number));
                let other = b.vload(pair.sums, at, lanes);
                b.addf(*value, other)
            };
            acc.iter().enumerate().map(sum).collect()
        };
        // Finished tiles, by quarter; then what others start from.
        let (common, single) = (QUARTERS, QUARTERS + 1);
        let product = |b: &mut Func<'_>, number: usize, acc: Vec<Val>| self.product(b, pair, row, mr, number, acc);
        let first = product(b, 0, zeros.clone());
        save(b, &first, common);
        let upper_left = product(b, 1, first);
        save(b, &upper_left, 0);
        let shared = saved(b, &zeros, common);
        let shared = product(b, 2, shared);
        save(b, &shared, common);
        let alone = product(b, 3, zeros.clone());
        save(b, &alone, single);
        let start = saved(b, &alone, common);
        let upper_right = product(b, 4, start);
        save(b, &upper_right, 1);
        let shared = saved(b, &zeros, common);
        let shared = product(b, 5, shared);
        let lower_right = saved(b, &shared, single);
        save(b, &lower_right, 3);
        let lower_left = product(b, 6, shared);
        save(b, &lower_left, 2);
        for_range(b, Size::ZERO, Size::Static(2), |b, lower| {
            for_range(b, Size::ZERO, Size::Static(i64::from(mr)), |b, r| {
                let of_rows = self.rows.mul(b, lower).add(b, row);
                let to = of_rows.add(b, r);
                let mut finish = |b: &mut Func<'_>| self.finish(b, pair, lower, r, to, size, epilogue);
                match self.m {
                    Size::Static(m) if m % 2 == 0 => finish(b),
                    // The last row of the lower half may not exist.
                    m => to.if_cmp(b, IntPredicate::Slt, m, &mut finish),
                }
            })
        })
    }

    /// Adds a product to the accumulators.
    fn product(&self, b: &mut Func<'_>, pair: &Pair, row: Size, mr: u32, number: usize, acc: Vec<Val>) -> Vec<Val> {
        let lanes = self.tile.lanes;
        let width = i64::from(pair.vectors * lanes);
        let arithmetic = Arithmetic { lanes, elem: Elem::F32, signed: true, pairs: false };
        let stride = row_stride(self.half);
        let base = self.rows.times(b, number as i64).add(b, row).times(b, stride);
        let rows = Rows { buffer: self.v, base, row: Size::Static(stride), step: Size::ONE };
        let element = |b: &mut Func<'_>, at: usize| pair.base.plus(b, at as i64 * self.half * width);
        let (first, second) = FACTORS[number];
        let columns = Columns {
            buffer: self.b,
            base: element(b, first),
            less: second.map(|at| element(b, at)),
            step: Size::Static(width),
            vectors: pair.vectors,
            mask: None,
            prefetch: self.prefetch(b, pair, row, number),
        };
        tile(b, arithmetic, rows, mr, columns, Size::Static(self.half), acc)
    }

    /// What a product's loop fetches of the next pair: the row tiles together fetch all of it.
    fn prefetch(&self, b: &mut Func<'_>, pair: &Pair, row: Size, number: usize) -> Option<(Size, i64)> {
        let line = 64 / i64::from(Elem::F32.bytes());
        let mr = i64::from(self.tile.rows.max(1));
        let row_tiles = ((self.rows.known().unwrap_or(64) + mr - 1) / mr).max(1);
        let all = QUARTERS as i64 * self.half * self.tile.columns();
        // Lines that a row tile fetches, in as few of its loops as one line a step allows.
        let lines = (all / line + row_tiles - 1) / row_tiles;
        let loops = ((lines + self.half - 1) / self.half).max(1);
        let products = PRODUCTS as i64;
        let per_step = (loops + products - 1) / products;
        let loops = (loops + per_step - 1) / per_step;
        let number = number as i64;
        if pair.vectors != self.tile.vectors || number >= loops {
            return None;
        }
        let each = per_step * line * self.half;
        let part = row.div(b, mr).times(b, loops * each).plus(b, number * each + all);
        Some((pair.base.add(b, part), per_step * line))
    }

    /// Hands a row of finished tiles to the epilogue: row `r` of the tiles of a half, row `to` of the product.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of one row")]
    fn finish(
        &self,
        b: &mut Func<'_>,
        pair: &Pair,
        lower: Size,
        r: Size,
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
        let from = {
            let down = r.times(b, width);
            lower.times(b, 2 * size).add(b, down)
        };
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
