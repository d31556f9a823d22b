//! The products of Winograd's F(2×2, 3×3), whose input tiles are already transformed.
//!
//! For a few tiles × one panel of output channels, 16 small matrix products fill a block on the stack, which the output
//! transform then turns into four pixels a tile. The factors of a panel are read once for every few tiles, from a near
//! cache where several row tiles follow; the block stays in the first-level cache.

use super::micro::{Arithmetic, Columns, Rows, tile};
use super::size::{Size, for_range};
use super::tile::Tile;
use super::{Epilogue, Out};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Val};
use pt2c_kernel::winograd::{INPUTS, OUTPUT, OUTPUTS, PRODUCTS};

/// The second half of a convolution with a 3×3 window of stride 1, in f32.
pub struct Winograd {
    /// Tiles along both dimensions.
    pub tiles: [Size; 2],
    /// Tiles of all images.
    pub count: Size,
    /// Output extents.
    pub output: [Size; 2],
    /// Input channels.
    pub input_channels: i64,
    /// Output channels.
    pub out_channels: i64,
    /// The transformed input, `[16, tiles, input channels]`.
    pub v: Val,
    /// The factors, packed by [`super::pack::winograd`] for the tile.
    pub factors: Val,
    /// Register tile: tiles × vectors of output channels.
    pub tile: Tile,
}

/// Multiply-adds of a task.
const TASK_WORK: i64 = 2_000_000;

impl Winograd {
    /// Tiles of a task: a multiple of the register tile's.
    pub fn task_tiles(&self) -> i64 {
        let rows = i64::from(self.tile.rows.max(1));
        let one = rows * PRODUCTS * self.input_channels * self.tile.columns();
        let most = (TASK_WORK / one.max(1)).max(1);
        match self.count {
            Size::Static(n) => {
                let all = (n.max(1) + rows - 1) / rows;
                let tasks = (all + most - 1) / most;
                (all + tasks - 1) / tasks * rows
            }
            Size::Dynamic(_) => most * rows,
        }
    }

    /// Panels of output channels. Tasks are these times `⌈tiles / task_tiles⌉`.
    pub fn panels(&self) -> i64 {
        let width = self.tile.columns().max(1);
        (self.out_channels + width - 1) / width
    }

    /// Elements of the next panel that a step fetches: all of it by the time the last row tile is done.
    fn prefetch_per_step(&self) -> i64 {
        let line = 64 / i64::from(Elem::F32.bytes());
        let row_tiles = self.count.known().unwrap_or(256) / i64::from(self.tile.rows.max(1));
        let row_tiles = row_tiles.max(1);
        ((self.tile.columns() + row_tiles - 1) / row_tiles + line - 1) / line * line
    }

    /// Emits the tasks `begin..end` (index values); [`Out::batch`] is the image and the two spatial indices.
    ///
    /// # Errors
    /// Those of the callback.
    pub fn emit(&self, b: &mut Func<'_>, begin: Val, end: Val, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let lanes = i64::from(self.tile.lanes);
        let block = i64::from(self.tile.rows) * self.tile.columns() * PRODUCTS;
        let sums = b.stack(block as u64, Elem::F32);
        let task_tiles = self.task_tiles();
        let row_tasks = self.count.ceil_div(b, task_tiles);
        let whole = self.out_channels / self.tile.columns();
        let rest = self.out_channels % self.tile.columns();
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let (panel, row_task) = task.split(b, row_tasks);
            let first = row_task.times(b, task_tiles);
            let last = first.plus(b, task_tiles).min(b, self.count);
            let whole_panel = (rest > 0 && whole > 0).then(|| {
                let (p, w) = (panel.val(b), b.index(whole));
                b.cmpi(IntPredicate::Slt, p, w)
            });
            let scope = whole_panel.map(|c| b.begin_if(c, &[]));
            if whole > 0 {
                self.row_tiles(
                    b,
                    &Block { panel, vectors: self.tile.vectors, mask: None, sums },
                    first,
                    last,
                    epilogue,
                )?;
            }
            if scope.is_some() {
                b.begin_else(&[]);
            }
            if rest > 0 {
                let mask = (rest % lanes > 0).then(|| {
                    let partial = b.index(rest % lanes);
                    b.mask(partial, self.tile.lanes)
                });
                let vectors = ((rest + lanes - 1) / lanes) as u32;
                self.row_tiles(b, &Block { panel, vectors, mask, sums }, first, last, epilogue)?;
            }
            if let Some(scope) = scope {
                b.end_if(scope, &[]);
            }
            Ok(())
        })
    }

    /// Tiles `first..last` in register tiles, then those left over.
    fn row_tiles(
        &self,
        b: &mut Func<'_>,
        block: &Block,
        first: Size,
        last: Size,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let rows = i64::from(self.tile.rows);
        let count = last.sub(b, first);
        let whole = count.div(b, rows);
        for_range(b, Size::ZERO, whole, |b, t| {
            let row = t.times(b, rows).add(b, first);
            self.tile_block(b, block, row, self.tile.rows, epilogue)
        })?;
        let done = whole.times(b, rows).add(b, first);
        match self.count {
            Size::Static(n) if n % rows == 0 => Ok(()),
            Size::Static(n) => {
                let rest = last.sub(b, done);
                rest.if_cmp(b, IntPredicate::Ne, Size::ZERO, |b| {
                    self.tile_block(b, block, done, (n % rows) as u32, epilogue)
                })
            }
            Size::Dynamic(_) => for_range(b, done, last, |b, row| self.tile_block(b, block, row, 1, epilogue)),
        }
    }

    /// `rows` tiles from `row` on, for one panel.
    fn tile_block(
        &self,
        b: &mut Func<'_>,
        block: &Block,
        row: Size,
        rows: u32,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let lanes = self.tile.lanes;
        let width = i64::from(block.vectors * lanes);
        let channels = self.input_channels;
        let product_sums = i64::from(rows) * width;
        let arithmetic = Arithmetic { lanes, elem: Elem::F32, signed: true, pairs: false };
        // Between the same panel of two products: all panels, the last one only as wide as its vectors.
        let l = i64::from(lanes);
        let all = self.out_channels / self.tile.columns() * self.tile.columns()
            + (self.out_channels % self.tile.columns() + l - 1) / l * l;
        let product_step = all * channels;
        let panel_base = block.panel.times(b, self.tile.columns() * channels);
        // The row tiles of a panel together fetch the factors of the next one.
        let ahead = (width == self.tile.columns()).then(|| {
            let tile_index = row.div(b, i64::from(self.tile.rows.max(1)));
            let per_step = self.prefetch_per_step();
            (tile_index.times(b, channels * per_step).plus(b, width * channels), per_step)
        });
        let tile_base = row.times(b, channels);
        let product_rows = self.count.times(b, channels);
        for_range(b, Size::ZERO, Size::Static(PRODUCTS), |b, product| {
            let along = product.mul(b, product_rows);
            let rows_at =
                Rows { buffer: self.v, base: tile_base.add(b, along), row: Size::Static(channels), step: Size::ONE };
            let base = product.times(b, product_step).add(b, panel_base);
            let prefetch = ahead.map(|(part, per_step)| (base.add(b, part), per_step));
            let columns = Columns {
                buffer: self.factors,
                base,
                less: None,
                step: Size::Static(width),
                vectors: block.vectors,
                mask: None,
                prefetch,
            };
            let zero = b.zero(arithmetic.ty());
            let acc = vec![zero; (rows * block.vectors) as usize];
            let acc = tile(b, arithmetic, rows_at, rows, columns, Size::Static(channels), acc);
            let to = product.times(b, product_sums);
            for (i, value) in (0..).zip(acc) {
                let at = to.plus(b, i * i64::from(lanes)).val(b);
                b.vstore(value, block.sums, at);
            }
            Ok(())
        })?;
        for_range(b, Size::ZERO, Size::Static(i64::from(rows)), |b, r| {
            let tile_index = row.add(b, r);
            let (rest, tx) = tile_index.split(b, self.tiles[1]);
            let (image, ty) = rest.split(b, self.tiles[0]);
            let from = r.times(b, width);
            let mut pixels = Vec::new();
            for j in 0..block.vectors {
                let sums: Vec<Val> = (0..PRODUCTS)
                    .map(|p| {
                        let at = from.plus(b, p * product_sums + i64::from(j * lanes)).val(b);
                        b.vload(block.sums, at, lanes)
                    })
                    .collect();
                pixels.push(outputs(b, &sums));
            }
            let column = block.panel.times(b, self.tile.columns());
            for y in 0..OUTPUTS {
                let oy = ty.times(b, OUTPUTS as i64).plus(b, y as i64);
                for x in 0..OUTPUTS {
                    let ox = tx.times(b, OUTPUTS as i64).plus(b, x as i64);
                    let mut store = |b: &mut Func<'_>| -> Result<(), NativeError> {
                        for (j, values) in (0..).zip(&pixels) {
                            let Some(value) = values.get(y * OUTPUTS + x) else { continue };
                            let col = column.plus(b, i64::from(j * lanes));
                            let mask = block.mask.filter(|_| j + 1 == block.vectors);
                            epilogue(b, &Out { value: *value, batch: vec![image, oy, ox], row: ox, col, mask })?;
                        }
                        Ok(())
                    };
                    // The second pixel of a tile may lie behind the last one.
                    let mut in_row = |b: &mut Func<'_>| match (x, self.output[1]) {
                        (0, _) => store(b),
                        (_, Size::Static(n)) if n % OUTPUTS as i64 == 0 => store(b),
                        (_, width) => ox.if_cmp(b, IntPredicate::Slt, width, &mut store),
                    };
                    match (y, self.output[0]) {
                        (0, _) => in_row(b)?,
                        (_, Size::Static(n)) if n % OUTPUTS as i64 == 0 => in_row(b)?,
                        (_, height) => oy.if_cmp(b, IntPredicate::Slt, height, in_row)?,
                    }
                }
            }
            Ok(())
        })
    }
}

/// One panel of output channels, and the block that sums wait in.
struct Block {
    panel: Size,
    vectors: u32,
    mask: Option<Val>,
    sums: Val,
}

/// `Aᵀ M A` of 16 vectors: the four pixels of a tile, row-major.
fn outputs(b: &mut Func<'_>, sums: &[Val]) -> Vec<Val> {
    let half: Vec<Val> =
        (0..OUTPUTS * INPUTS).map(|at| combine(b, &OUTPUT[at / INPUTS], |k| sums[k * INPUTS + at % INPUTS])).collect();
    (0..OUTPUTS * OUTPUTS).map(|at| combine(b, &OUTPUT[at % OUTPUTS], |k| half[at / OUTPUTS * INPUTS + k])).collect()
}

/// `Σ_k factor_k · value(k)` for factors 0 and ±1, the first of which is +1.
fn combine(b: &mut Func<'_>, factors: &[f64], value: impl Fn(usize) -> Val) -> Val {
    let mut sum: Option<Val> = None;
    for (k, factor) in factors.iter().enumerate() {
        sum = match sum {
            sum if *factor == 0.0 => sum,
            None => Some(value(k)),
            Some(s) if *factor > 0.0 => Some(b.addf(s, value(k))),
            Some(s) => Some(b.subf(s, value(k))),
        };
    }
    sum.unwrap_or_else(|| value(0))
}
