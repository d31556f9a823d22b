//! Depthwise convolution (one input and one output channel per group): channels are the lanes.

use super::conv::{Image, carried_range, position, rows};
use super::size::{Size, for_range};
use super::spatial::{Axis, Segment};
use super::tile::Tile;
use super::{Convolution, Epilogue, Out, multiply_add, widen};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Type, Val};
use crate::target::{Isa, Target};

/// A depthwise convolution over an input whose channels are neighbours in memory.
pub struct Depthwise {
    /// Images.
    pub batch: Size,
    /// Channels, of input and output.
    pub channels: i64,
    /// Spatial dimensions, outermost first.
    pub axes: Vec<Axis>,
    /// The input; its channel stride is 1.
    pub x: Image,
    /// The weight, packed by [`super::pack::depthwise`].
    pub weight: Val,
    /// Element that sums are kept in; operands are widened to it.
    pub accumulator: Elem,
    /// Whether integer operands narrower than the accumulator are signed.
    pub signed: bool,
    /// Register tile: pixels × one vector of channels ([`Depthwise::choose_tile`]).
    pub tile: Tile,
}

/// Multiply-adds of a task; they wait for memory, so fewer than elsewhere.
const TASK_WORK: i64 = 100_000;

impl Depthwise {
    /// The tile for a row of `pixels` outputs.
    pub fn choose_tile(target: &Target, elem: Elem, pixels: Size) -> Tile {
        let most = match target.isa {
            Isa::Avx512 => 10,
            Isa::Avx2 => 8,
            Isa::Baseline => 6,
        };
        let rows = match pixels {
            Size::Static(n) => {
                let tiles = (n.max(1) + most - 1) / most;
                (n.max(1) + tiles - 1) / tiles
            }
            Size::Dynamic(_) => most,
        };
        Tile { rows: rows as u32, vectors: 1, lanes: target.lanes_of(elem.bytes()) }
    }

    /// Rows of a task. The number of tasks is `⌈rows / task_rows⌉`, where rows are the product of the batch and the
    /// output extents of all but the tiled dimension ([`Convolution::tiled_axis`]).
    pub fn task_rows(&self) -> i64 {
        let tiled = Convolution::tiled_axis(&self.axes);
        let pixels = self.axes.get(tiled).and_then(|a| a.output.known()).unwrap_or(56).max(1);
        let taps: i64 = self.axes.iter().map(|a| a.window).product();
        (TASK_WORK / (pixels * taps * self.channels).max(1)).max(1)
    }

    /// Emits the tasks `begin..end`; see [`Convolution::emit`].
    ///
    /// # Errors
    /// Those of the callback.
    pub fn emit(&self, b: &mut Func<'_>, begin: Val, end: Val, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let task_rows = self.task_rows();
        let rows = rows(b, self.batch, &self.axes);
        let first = Size::Dynamic(begin).times(b, task_rows);
        let last = Size::Dynamic(end).times(b, task_rows).min(b, rows);
        for_range(b, first, last, |b, row| self.row(b, row, epilogue))
    }

    /// One row of outputs. All channels of a tile before the next tile: what is read and written is then contiguous, which
    /// the processor's prefetching follows, and rows of the input that two rows of outputs need are still near.
    fn row(&self, b: &mut Func<'_>, row: Size, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let tiled = Convolution::tiled_axis(&self.axes);
        let Some(axis) = self.axes.get(tiled) else { return Ok(()) };
        let (image, position) = position(b, row, &self.axes, tiled);
        let image_at = image.mul(b, self.x.batch);
        let x_base = self.x.base.add(b, image_at);
        let lanes = i64::from(self.tile.lanes);
        axis.tiles(b, self.tile.rows, &mut |b, o, pixels, segments| {
            let origin = axis.origin(b, o).mul(b, axis.step);
            let x = x_base.add(b, origin);
            let mut batch = vec![image];
            batch.extend(&position);
            let tile = Pixels { conv: self, position: &position, tiled, segments, batch, o, count: pixels };
            for_range(b, Size::ZERO, Size::Static(self.channels / lanes), |b, block| {
                let channel = block.times(b, lanes);
                tile.emit(b, x, channel, None, epilogue)
            })?;
            let rest = self.channels % lanes;
            Size::Static(rest).if_cmp(b, IntPredicate::Ne, Size::ZERO, |b| {
                let left = b.index(rest);
                let mask = b.mask(left, self.tile.lanes);
                tile.emit(b, x, Size::Static(self.channels - rest), Some(mask), epilogue)
            })
        })
    }
}

/// Neighbouring output pixels of a row.
struct Pixels<'a> {
    conv: &'a Depthwise,
    position: &'a [Size],
    tiled: usize,
    segments: &'a [Segment],
    /// The image and the position of the row.
    batch: Vec<Size>,
    /// The first pixel.
    o: Size,
    count: u32,
}

impl Pixels<'_> {
    /// One vector of channels; `x` is the address of the first channel.
    fn emit(
        &self,
        b: &mut Func<'_>,
        x: Size,
        channel: Size,
        mask: Option<Val>,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let Pixels { conv, position, tiled, segments, .. } = *self;
        let ty = Type::of_lanes(conv.tile.lanes, conv.accumulator);
        let zero = b.zero(ty);
        let x = x.add(b, channel);
        let nest = Nest { conv, position, tiled, segments, mask };
        let acc = nest.outer(b, 0, x, channel, vec![zero; self.count as usize]);
        let mut batch = self.batch.clone();
        for (r, value) in (0..).zip(acc) {
            let o = self.o.plus(b, r);
            if let Some(slot) = batch.get_mut(1 + tiled) {
                *slot = o;
            }
            epilogue(b, &Out { value, batch: batch.clone(), row: o, col: channel, mask })?;
        }
        Ok(())
    }
}

/// The loops over taps around one tile.
struct Nest<'a> {
    conv: &'a Depthwise,
    position: &'a [Size],
    tiled: usize,
    segments: &'a [Segment],
    mask: Option<Val>,
}

impl Nest<'_> {
    fn weight_step(&self, axis: usize) -> i64 {
        self.conv.axes.iter().skip(axis + 1).map(|a| a.window).product::<i64>() * self.conv.channels
    }

    fn outer(&self, b: &mut Func<'_>, axis: usize, x: Size, w: Size, acc: Vec<Val>) -> Vec<Val> {
        let Some(a) = self.conv.axes.get(axis) else { return self.inner(b, x, w, acc) };
        if axis == self.tiled {
            return self.outer(b, axis + 1, x, w, acc);
        }
        let o = self.position.get(axis).copied().unwrap_or(Size::ZERO);
        let origin = a.origin(b, o);
        let (lo, hi) = a.taps(b, origin);
        let offset = origin.mul(b, a.step);
        let x = x.add(b, offset);
        let (x_step, w_step) = (a.step.times(b, a.dilation), self.weight_step(axis));
        carried_range(b, lo, hi, acc, &mut |b, tap, acc| {
            let dx = tap.mul(b, x_step);
            let dw = tap.times(b, w_step);
            let (x, w) = (x.add(b, dx), w.add(b, dw));
            self.outer(b, axis + 1, x, w, acc)
        })
    }

    fn inner(&self, b: &mut Func<'_>, x: Size, w: Size, acc: Vec<Val>) -> Vec<Val> {
        let Some(axis) = self.conv.axes.get(self.tiled) else { return acc };
        let x_step = axis.step.times(b, axis.dilation);
        let w_step = self.weight_step(self.tiled);
        let pixel = axis.step.times(b, axis.stride);
        self.segments.iter().fold(acc, |acc, segment| {
            let mut body = |b: &mut Func<'_>, tap: Size, mut acc: Vec<Val>| {
                let dw = tap.times(b, w_step);
                let at = w.add(b, dw);
                let weight = self.vector(b, self.conv.weight, at);
                let dx = tap.mul(b, x_step);
                let from = x.add(b, dx);
                for r in segment.first..segment.last {
                    let down = pixel.times(b, i64::from(r));
                    let at = from.add(b, down);
                    let v = self.vector(b, self.conv.x.buffer, at);
                    if let Some(sum) = acc.get_mut(r as usize) {
                        *sum = multiply_add(b, v, weight, *sum);
                    }
                }
                acc
            };
            match (segment.lo, segment.hi) {
                (Size::Static(lo), Size::Static(hi)) if hi - lo <= 7 => {
                    (lo..hi).fold(acc, |acc, tap| body(b, Size::Static(tap), acc))
                }
                _ => carried_range(b, segment.lo, segment.hi, acc, &mut body),
            }
        })
    }

    /// A vector of channels, widened.
    fn vector(&self, b: &mut Func<'_>, buffer: Val, at: Size) -> Val {
        let lanes = self.conv.tile.lanes;
        let at = at.val(b);
        let v = match self.mask {
            Some(mask) => {
                let pass = b.zero(Type::of_lanes(lanes, buffer.ty.elem()));
                b.masked_load(buffer, at, mask, pass)
            }
            None => b.vload(buffer, at, lanes),
        };
        widen(b, v, self.conv.accumulator, self.conv.signed)
    }
}
