//! Direct convolution: no copy of the input into columns, no padded copy.
//!
//! A tile is a few neighbouring output pixels × vectors of output channels; the contracted loop runs over taps and input
//! channels. Where channels are neighbours in memory and taps follow on them, a row of taps is one loop. Borders cost
//! nothing in the interior: outer dimensions clamp the range of taps, the innermost one has tiles of its own
//! ([`super::spatial`]).

use super::finish::each_row;
use super::micro::{Arithmetic, Columns, Rows, tile};
use super::size::{Size, for_range};
use super::spatial::{Axis, Segment};
use super::tile::Tile;
use super::{Epilogue, Out, widen};
use crate::NativeError;
use crate::builder::{Elem, Func, Type, Val};

/// A convolution with 1 to 3 spatial dimensions and implicit zero padding, in the usual sense (cross-correlation).
pub struct Convolution {
    /// Images.
    pub batch: Size,
    /// Groups.
    pub groups: i64,
    /// Input channels of a group.
    pub in_per_group: i64,
    /// Output channels of a group.
    pub out_per_group: i64,
    /// Spatial dimensions, outermost first.
    pub axes: Vec<Axis>,
    /// The input.
    pub x: Image,
    /// The weight.
    pub weight: Weight,
    /// Element that sums are kept in; operands are widened to it.
    pub accumulator: Elem,
    /// Whether integer operands narrower than the accumulator are signed.
    pub signed: bool,
    /// Register tile: pixels × vectors of output channels of a group ([`Convolution::choose_tile`]).
    pub tile: Tile,
    /// Whether the epilogue is long: written for a pixel of a tile, not for each of its accumulators.
    pub long_epilogue: bool,
}

/// Where an input lies; its spatial strides are in the axes.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// The buffer.
    pub buffer: Val,
    /// Address of the first element.
    pub base: Size,
    /// Distance between images.
    pub batch: Size,
    /// Distance between channels.
    pub channel: Size,
}

/// A convolution's weight.
#[derive(Clone, Copy, Debug)]
pub enum Weight {
    /// A constant packed by [`super::pack::convolution`] for the tile.
    Packed {
        /// The panels.
        buffer: Val,
    },
    /// Dense `[groups · out, in, window…]`, known only at run time: gathered vector by vector, slowly.
    Dense {
        /// The buffer.
        buffer: Val,
    },
}

/// Multiply-adds of a task.
const TASK_WORK: i64 = 500_000;

impl Convolution {
    /// The tile for a convolution whose innermost tiled dimension has `pixels` outputs.
    pub fn choose_tile(target: &crate::target::Target, elem: Elem, pixels: Size, out_per_group: i64) -> Tile {
        super::tile::choose(target, elem, pixels, Size::Static(out_per_group))
    }

    /// The spatial dimension that tiles run along: the last one with more than one output, else the last.
    pub fn tiled_axis(axes: &[Axis]) -> usize {
        axes.iter().rposition(|a| !a.output.is(1)).unwrap_or(axes.len().saturating_sub(1))
    }

    /// Rows of a task: a row is all outputs along the tiled dimension at one position of the others.
    pub fn task_rows(&self) -> i64 {
        let pixels = self.row_axis().and_then(|a| a.output.known()).unwrap_or(56).max(1);
        let taps: i64 = self.axes.iter().map(|a| a.window).product();
        let row = pixels * taps * self.in_per_group * self.tile.columns();
        let most = (96 / pixels).max(1).max(TASK_WORK / row.max(1));
        let outer = self.outer_axes().try_fold(1, |n, a| a.output.known().map(|o| n * o));
        let rows = outer.zip(self.batch.known()).map_or(most, |(o, n)| o * n).max(1);
        // An even split.
        let blocks = (rows + most - 1) / most;
        (rows + blocks - 1) / blocks
    }

    /// Column tasks: panels of all groups. The number of tasks is `⌈rows / task_rows⌉` times this, where rows are the
    /// product of the batch and the output extents of all but the tiled dimension.
    pub fn column_tasks(&self) -> i64 {
        self.groups * self.panels_per_group()
    }

    fn panels_per_group(&self) -> i64 {
        let width = self.tile.columns().max(1);
        (self.out_per_group + width - 1) / width
    }

    fn row_axis(&self) -> Option<&Axis> {
        self.axes.get(Self::tiled_axis(&self.axes))
    }

    fn outer_axes(&self) -> impl Iterator<Item = &Axis> {
        let tiled = Self::tiled_axis(&self.axes);
        self.axes.iter().enumerate().filter(move |(i, _)| *i != tiled).map(|(_, a)| a)
    }

    /// Emits the tasks `begin..end` (index values). The epilogue's [`Out::batch`] is the image, then all spatial indices;
    /// [`Out::col`] is the output channel among all groups.
    ///
    /// # Errors
    /// Those of the callback.
    pub fn emit(&self, b: &mut Func<'_>, begin: Val, end: Val, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let task_rows = self.task_rows();
        let rows = rows(b, self.batch, &self.axes);
        let row_tasks = rows.ceil_div(b, task_rows);
        let tile = i64::from(self.tile.rows) * self.tile.columns();
        let waiting = self.long_epilogue.then(|| b.stack(tile as u64, self.accumulator));
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let (column_task, row_task) = task.split(b, row_tasks);
            let (group, panel) = column_task.split(b, Size::Static(self.panels_per_group()));
            let first = row_task.times(b, task_rows);
            let last = first.plus(b, task_rows).min(b, rows);
            let lanes = i64::from(self.tile.lanes);
            let width = self.tile.columns();
            let whole = self.out_per_group / width;
            let rest = self.out_per_group % width;
            let mut columns = |b: &mut Func<'_>, vectors: u32, mask: Option<Val>| {
                let block = Block { group, panel, vectors, mask, waiting };
                for_range(b, first, last, |b, row| self.row(b, &block, row, epilogue))
            };
            let whole_panel = |b: &mut Func<'_>| -> Option<Val> {
                let (p, w) = (panel.val(b), b.index(whole));
                (rest > 0 && whole > 0).then(|| b.cmpi(crate::builder::IntPredicate::Slt, p, w))
            };
            let condition = whole_panel(b);
            let scope = condition.map(|c| b.begin_if(c, &[]));
            if whole > 0 {
                columns(b, self.tile.vectors, None)?;
            }
            if scope.is_some() {
                b.begin_else(&[]);
            }
            if rest > 0 {
                let vectors = ((rest + lanes - 1) / lanes) as u32;
                let partial = rest % lanes;
                let mask = (partial > 0).then(|| {
                    let partial = b.index(partial);
                    b.mask(partial, self.tile.lanes)
                });
                columns(b, vectors, mask)?;
            }
            if let Some(scope) = scope {
                b.end_if(scope, &[]);
            }
            Ok(())
        })
    }

    /// One row of outputs for one panel of channels.
    fn row(&self, b: &mut Func<'_>, block: &Block, row: Size, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let tiled = Self::tiled_axis(&self.axes);
        let Some(axis) = self.axes.get(tiled) else { return Ok(()) };
        let (image, position) = position(b, row, &self.axes, tiled);
        let taps: i64 = self.axes.iter().map(|a| a.window).product();
        let width = i64::from(block.vectors * self.tile.lanes);
        // Where the weights of this panel start and how far taps are apart.
        let k = taps * self.in_per_group;
        let (w_base, tap_step) = match self.weight {
            Weight::Packed { buffer } => {
                let lanes = i64::from(self.tile.lanes);
                let panel = self.tile.columns();
                let per_group =
                    self.out_per_group / panel * panel + (self.out_per_group % panel + lanes - 1) / lanes * lanes;
                let group = block.group.times(b, per_group * k);
                let at = block.panel.times(b, panel * k);
                (Operand { buffer, base: group.add(b, at) }, self.in_per_group * width)
            }
            Weight::Dense { buffer } => {
                let channel = self.first_channel(b, block);
                (Operand { buffer, base: channel.times(b, k) }, 1)
            }
        };
        let image_at = image.mul(b, self.x.batch);
        let channel = block.group.times(b, self.in_per_group).mul(b, self.x.channel);
        let x_base = self.x.base.add(b, image_at).add(b, channel);
        axis.tiles(b, self.tile.rows, &mut |b, o, pixels, segments| {
            let origin = axis.origin(b, o).mul(b, axis.step);
            let zero = b.zero(self.arithmetic().ty());
            let acc = vec![zero; (pixels * block.vectors) as usize];
            let place = Place { x: x_base.add(b, origin), w: w_base.base };
            let nest = Nest { conv: self, block, position: &position, tiled, segments, weight: w_base, tap_step };
            let acc = nest.outer(b, 0, place, acc);
            let mut batch = vec![image];
            batch.extend(&position);
            let channel = self.first_channel(b, block);
            each_row(b, block.waiting, &acc, block.vectors, &mut |b, r, values| {
                let o = o.add(b, r);
                if let Some(slot) = batch.get_mut(1 + tiled) {
                    *slot = o;
                }
                for (j, value) in (0..).zip(values) {
                    let col = channel.plus(b, i64::from(j * self.tile.lanes));
                    let mask = block.mask.filter(|_| j + 1 == block.vectors);
                    epilogue(b, &Out { value: *value, batch: batch.clone(), row: o, col, mask })?;
                }
                Ok(())
            })
        })
    }

    /// The first output channel of a panel, among all groups.
    fn first_channel(&self, b: &mut Func<'_>, block: &Block) -> Size {
        let group = block.group.times(b, self.out_per_group);
        block.panel.times(b, self.tile.columns()).add(b, group)
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic { lanes: self.tile.lanes, elem: self.accumulator, signed: self.signed, pairs: false }
    }
}

/// Rows of outputs: the product of the batch and of all output extents but the tiled one.
pub(super) fn rows(b: &mut Func<'_>, batch: Size, axes: &[Axis]) -> Size {
    let tiled = Convolution::tiled_axis(axes);
    axes.iter().enumerate().filter(|(i, _)| *i != tiled).fold(batch, |n, (_, a)| n.mul(b, a.output))
}

/// Image and spatial position of a row (the tiled index 0).
pub(super) fn position(b: &mut Func<'_>, row: Size, axes: &[Axis], tiled: usize) -> (Size, Vec<Size>) {
    let mut position = vec![Size::ZERO; axes.len()];
    let mut rest = row;
    for (i, axis) in axes.iter().enumerate().rev() {
        if i != tiled {
            let (above, index) = rest.split(b, axis.output);
            rest = above;
            if let Some(slot) = position.get_mut(i) {
                *slot = index;
            }
        }
    }
    (rest, position)
}

/// The channels of a task.
struct Block {
    group: Size,
    panel: Size,
    vectors: u32,
    mask: Option<Val>,
    /// Where finished tiles wait for a long epilogue.
    waiting: Option<Val>,
}

#[derive(Clone, Copy)]
struct Operand {
    buffer: Val,
    base: Size,
}

/// Addresses of the current tap.
#[derive(Clone, Copy)]
struct Place {
    x: Size,
    w: Size,
}

/// The loops over taps around one tile.
struct Nest<'a> {
    conv: &'a Convolution,
    block: &'a Block,
    position: &'a [Size],
    tiled: usize,
    segments: &'a [Segment],
    weight: Operand,
    /// Distance in the weight between neighbouring taps of the last dimension.
    tap_step: i64,
}

impl Nest<'_> {
    /// Distance in the weight between taps of a dimension.
    fn weight_step(&self, axis: usize) -> i64 {
        self.conv.axes.iter().skip(axis + 1).map(|a| a.window).product::<i64>() * self.tap_step
    }

    /// Loops over the taps of the dimensions from `axis` on that are not tiled, then the tiled one.
    fn outer(&self, b: &mut Func<'_>, axis: usize, at: Place, acc: Vec<Val>) -> Vec<Val> {
        let Some(a) = self.conv.axes.get(axis) else { return self.inner(b, at, acc) };
        if axis == self.tiled {
            return self.outer(b, axis + 1, at, acc);
        }
        let o = self.position.get(axis).copied().unwrap_or(Size::ZERO);
        let origin = a.origin(b, o);
        let (lo, hi) = a.taps(b, origin);
        let offset = origin.mul(b, a.step);
        let x = at.x.add(b, offset);
        let (x_step, w_step) = (a.step.times(b, a.dilation), self.weight_step(axis));
        carried_range(b, lo, hi, acc, &mut |b, tap, acc| {
            let dx = tap.mul(b, x_step);
            let dw = tap.times(b, w_step);
            let at = Place { x: x.add(b, dx), w: at.w.add(b, dw) };
            self.outer(b, axis + 1, at, acc)
        })
    }

    /// The taps of the tiled dimension and the input channels.
    fn inner(&self, b: &mut Func<'_>, at: Place, mut acc: Vec<Val>) -> Vec<Val> {
        let conv = self.conv;
        let Some(axis) = conv.axes.get(self.tiled) else { return acc };
        let vectors = self.block.vectors;
        let channels = conv.in_per_group;
        let x_step = axis.step.times(b, axis.dilation);
        let w_step = self.weight_step(self.tiled);
        let packed = matches!(conv.weight, Weight::Packed { .. });
        // Taps and channels as one loop, where both operands step evenly through them.
        let tap_after_channels = conv.x.channel.times(b, channels);
        let merged = packed
            && w_step == self.tap_step
            && (channels == 1 || (x_step == tap_after_channels && x_step.known().is_some()));
        let pixel = axis.step.times(b, axis.stride);
        for segment in self.segments {
            let pick = |acc: &[Val]| -> Vec<Val> {
                let (from, to) = (segment.first * vectors, segment.last * vectors);
                acc.get(from as usize..to as usize).unwrap_or_default().to_vec()
            };
            let skip = pixel.times(b, i64::from(segment.first));
            let start = at.x.add(b, skip);
            let count = segment.last - segment.first;
            let run = |b: &mut Func<'_>, x: Size, w: Size, step: Size, extent: Size, part: Vec<Val>| {
                let rows = Rows { buffer: conv.x.buffer, base: x, row: pixel, step };
                if packed {
                    let width = i64::from(vectors * conv.tile.lanes);
                    let columns = Columns {
                        buffer: self.weight.buffer,
                        base: w,
                        less: None,
                        step: Size::Static(width),
                        vectors,
                        mask: None,
                        prefetch: None,
                    };
                    tile(b, conv.arithmetic(), rows, count, columns, extent, part)
                } else {
                    self.gathered(b, rows, count, w, extent, part)
                }
            };
            let part = pick(&acc);
            let done = if merged {
                let step = if channels == 1 { x_step } else { conv.x.channel };
                let dx = segment.lo.mul(b, x_step);
                let dw = segment.lo.times(b, w_step);
                let (x, w) = (start.add(b, dx), at.w.add(b, dw));
                let extent = segment.hi.sub(b, segment.lo).times(b, channels);
                run(b, x, w, step, extent, part)
            } else {
                let mut tap_body = |b: &mut Func<'_>, tap: Size, part: Vec<Val>| {
                    let dx = tap.mul(b, x_step);
                    let dw = tap.times(b, w_step);
                    let (x, w) = (start.add(b, dx), at.w.add(b, dw));
                    run(b, x, w, conv.x.channel, Size::Static(channels), part)
                };
                match (segment.lo, segment.hi) {
                    // A few multiply-adds per tap: straight code for all taps, unless a pixel's tap is a neighbour's: kept
                    // from tap to tap, those values would take the registers of the sums.
                    (Size::Static(lo), Size::Static(hi))
                        if (hi - lo) * channels <= 32 && (count == 1 || !axis.pixels_share_inputs()) =>
                    {
                        (lo..hi).fold(part, |part, tap| tap_body(b, Size::Static(tap), part))
                    }
                    _ => carried_range(b, segment.lo, segment.hi, part, &mut tap_body),
                }
            };
            for (slot, v) in acc.iter_mut().skip((segment.first * vectors) as usize).zip(done) {
                *slot = v;
            }
        }
        acc
    }

    /// The tile with weights that are not packed: each vector of output channels is gathered.
    fn gathered(&self, b: &mut Func<'_>, rows: Rows, mr: u32, w: Size, extent: Size, acc: Vec<Val>) -> Vec<Val> {
        let conv = self.conv;
        let (lanes, elem) = (conv.tile.lanes, conv.accumulator);
        let taps: i64 = conv.axes.iter().map(|a| a.window).product();
        let channel_step = taps * conv.in_per_group;
        let index_ty = Type::of_lanes(lanes, Elem::I64);
        let offsets: Vec<i64> = (0..i64::from(lanes)).map(|l| l * channel_step).collect();
        carried_range(b, Size::ZERO, extent, acc, &mut |b, k, mut acc| {
            let from = k.times(b, taps).add(b, w);
            let along = k.mul(b, rows.step);
            let x = rows.base.add(b, along);
            let spread: Vec<Val> = (0..mr)
                .map(|r| {
                    let down = rows.row.times(b, i64::from(r));
                    let at = x.add(b, down).val(b);
                    let v = b.load(rows.buffer, at);
                    let v = widen(b, v, elem, conv.signed);
                    b.broadcast(v, lanes)
                })
                .collect();
            for j in 0..self.block.vectors {
                let at = from.plus(b, i64::from(j * lanes) * channel_step).val(b);
                let v = if lanes == 1 {
                    b.load(self.weight.buffer, at)
                } else {
                    let index = b.int_lanes(index_ty.elem(), &offsets);
                    let mask = match self.block.mask {
                        Some(mask) if j + 1 == self.block.vectors => mask,
                        _ => b.full_mask(lanes),
                    };
                    let pass = b.zero(Type::of_lanes(lanes, self.weight.buffer.ty.elem()));
                    b.gather(self.weight.buffer, at, index, mask, pass)
                };
                let v = widen(b, v, elem, conv.signed);
                for (r, s) in spread.iter().enumerate() {
                    if let Some(sum) = acc.get_mut(r * self.block.vectors as usize + j as usize) {
                        *sum = super::multiply_add(b, *s, v, *sum);
                    }
                }
            }
            acc
        })
    }
}

/// One iteration: (builder, index, carried values) to their next values.
pub(super) type CarriedBody<'a, 't> = dyn FnMut(&mut Func<'t>, Size, Vec<Val>) -> Vec<Val> + 'a;

/// `for i in lo..hi` carrying values; a single iteration is straight code.
pub(super) fn carried_range<'t>(
    b: &mut Func<'t>,
    lo: Size,
    hi: Size,
    acc: Vec<Val>,
    body: &mut CarriedBody<'_, 't>,
) -> Vec<Val> {
    if let (Size::Static(lo), Size::Static(hi)) = (lo, hi) {
        if hi <= lo {
            return acc;
        }
        if hi == lo + 1 {
            return body(b, Size::Static(lo), acc);
        }
    }
    let (from, to, one) = (lo.val(b), hi.val(b), b.index(1));
    let (scope, i, inner) = b.begin_for(from, to, one, &acc);
    let next = body(b, Size::Dynamic(i), inner);
    b.end_for(scope, &next)
}
