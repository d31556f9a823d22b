//! One spatial dimension of a convolution: which taps of the window meet the input, and how a row of outputs is cut into
//! tiles so that no tap needs a test inside the loops.

use super::size::{Size, for_range};
use crate::NativeError;
use crate::builder::{Func, IntPredicate};

/// One spatial dimension.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Output extent.
    pub output: Size,
    /// Input extent.
    pub input: Size,
    /// Taps.
    pub window: i64,
    /// Distance between windows.
    pub stride: i64,
    /// Distance between taps.
    pub dilation: i64,
    /// Implicit zeros before the first element.
    pub pad: Size,
    /// Distance between input elements in memory.
    pub step: Size,
}

/// Taps `lo..hi` of the window, which pixels `first..last` of a tile meet inside the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub lo: Size,
    pub hi: Size,
    pub first: u32,
    pub last: u32,
}

/// Runs of taps over all tiles of a row, from which on borders are done pixel by pixel.
const MOST_SEGMENTS: usize = 48;

/// A tile's body: (builder, first output, pixels, taps).
pub(super) type TileBody<'a> = dyn FnMut(&mut Func<'_>, Size, u32, &[Segment]) -> Result<(), NativeError> + 'a;

impl Axis {
    /// Input position of tap 0 for output `o`; may be negative.
    pub fn origin(&self, b: &mut Func<'_>, o: Size) -> Size {
        o.times(b, self.stride).sub(b, self.pad)
    }

    /// Whether neighbouring outputs read the same element with different taps.
    pub(super) fn pixels_share_inputs(&self) -> bool {
        (1..self.window).any(|taps| (taps * self.dilation) % self.stride.max(1) == 0)
    }

    /// The taps that lie inside the input for a window at `origin`.
    pub fn taps(&self, b: &mut Func<'_>, origin: Size) -> (Size, Size) {
        if self.window == 1 && self.pad.is(0) {
            return (Size::ZERO, Size::ONE);
        }
        let before = Size::ZERO.sub(b, origin).max(b, Size::ZERO);
        let lo = before.ceil_div(b, self.dilation);
        let left = self.input.sub(b, origin).max(b, Size::ZERO);
        let hi = left.ceil_div(b, self.dilation).min(b, Size::Static(self.window));
        (lo, hi)
    }

    /// Calls `body(builder, first output, pixels, taps)` for tiles of at most `pixels` outputs that cover the row. Tiles
    /// of equal form share one body in a loop. At the borders of a row of known length tiles keep their size and each
    /// run of taps lists its pixels; otherwise border pixels are tiles of one.
    pub(super) fn tiles(&self, b: &mut Func<'_>, pixels: u32, body: &mut TileBody<'_>) -> Result<(), NativeError> {
        match (self.output, self.input, self.pad) {
            (Size::Static(output), Size::Static(input), Size::Static(pad)) => {
                self.known_tiles(b, output, input, pad, pixels, body)
            }
            _ => self.unknown_tiles(b, pixels, body),
        }
    }

    fn known_tiles(
        &self,
        b: &mut Func<'_>,
        output: i64,
        input: i64,
        pad: i64,
        pixels: u32,
        body: &mut TileBody<'_>,
    ) -> Result<(), NativeError> {
        if output <= 0 {
            return Ok(());
        }
        let most = i64::from(pixels.max(1));
        let count = (output + most - 1) / most;
        let (small, larger) = (output / count, output % count);
        // (first output, pixels, segments) of every tile; runs of equal ones become loops.
        let mut start = 0;
        let mut run: Option<(i64, i64, i64, Vec<Segment>)> = None;
        let mut runs = Vec::new();
        for t in 0..count {
            let size = if t < larger { small + 1 } else { small };
            let segments = self.segments(start, size, input, pad);
            match &mut run {
                Some((_, n, s, seg)) if *s == size && *seg == segments => *n += 1,
                _ => {
                    runs.extend(run.take());
                    run = Some((start, 1, size, segments));
                }
            }
            start += size;
        }
        runs.extend(run);
        // A wide window over a padded row: every border tile is different. Too much code.
        if runs.iter().map(|(_, _, _, segments)| segments.len()).sum::<usize>() > MOST_SEGMENTS {
            return self.unknown_tiles(b, pixels, body);
        }
        for (first, n, size, segments) in runs {
            for_range(b, Size::ZERO, Size::Static(n), |b, t| {
                let o = t.times(b, size).plus(b, first);
                body(b, o, size as u32, &segments)
            })?;
        }
        Ok(())
    }

    /// Runs of taps that the same pixels of a tile meet.
    fn segments(&self, start: i64, size: i64, input: i64, pad: i64) -> Vec<Segment> {
        let meets = |pixel: i64, tap: i64| {
            let at = (start + pixel) * self.stride - pad + tap * self.dilation;
            at >= 0 && at < input
        };
        let mut out: Vec<Segment> = Vec::new();
        for tap in 0..self.window {
            let Some(first) = (0..size).find(|p| meets(*p, tap)) else { continue };
            let last = (first..size).take_while(|p| meets(*p, tap)).count() as i64 + first;
            let (first, last) = (first as u32, last as u32);
            match out.last_mut() {
                Some(s) if s.hi.is(tap) && s.first == first && s.last == last => s.hi = Size::Static(tap + 1),
                _ => out.push(Segment { lo: Size::Static(tap), hi: Size::Static(tap + 1), first, last }),
            }
        }
        out
    }

    fn unknown_tiles(&self, b: &mut Func<'_>, pixels: u32, body: &mut TileBody<'_>) -> Result<(), NativeError> {
        let plain = self.window == 1 && self.pad.is(0);
        let (left, right) = if plain {
            (Size::ZERO, self.output)
        } else {
            let left = self.pad.ceil_div(b, self.stride).min(b, self.output);
            // Outputs whose last tap is inside: o·stride − pad + reach < input.
            let reach = (self.window - 1) * self.dilation;
            let room = self.input.add(b, self.pad).plus(b, -reach).max(b, Size::ZERO);
            let right = room.ceil_div(b, self.stride).max(b, left).min(b, self.output);
            (left, right)
        };
        if !plain {
            // One body serves both borders: outputs 0..left and right.., seen as one range with a gap.
            let gap = right.sub(b, left);
            let outside = self.output.sub(b, gap);
            for_range(b, Size::ZERO, outside, |b, i| {
                let (i, first, skip) = (i.val(b), left.val(b), gap.val(b));
                let behind = b.cmpi(IntPredicate::Sge, i, first);
                let zero = b.index(0);
                let skip = b.select(behind, skip, zero);
                let o = Size::Dynamic(b.addi(i, skip));
                let origin = self.origin(b, o);
                let (lo, hi) = self.taps(b, origin);
                body(b, o, 1, &[Segment { lo, hi, first: 0, last: 1 }])
            })?;
        }
        let all = |mr: u32| [Segment { lo: Size::ZERO, hi: Size::Static(self.window), first: 0, last: mr }];
        let inner = right.sub(b, left);
        let mr = i64::from(pixels.max(1));
        let whole = inner.div(b, mr);
        for_range(b, Size::ZERO, whole, |b, t| {
            let o = t.times(b, mr).add(b, left);
            body(b, o, pixels, &all(pixels))
        })?;
        if pixels < 2 {
            return Ok(());
        }
        let done = whole.times(b, mr);
        let mut o = left.add(b, done);
        let rest = inner.rem(b, mr).val(b);
        let mut piece = (pixels - 1).ilog2();
        loop {
            let bit = b.index(1 << piece);
            let part = Size::Dynamic(b.andi(rest, bit));
            part.if_cmp(b, IntPredicate::Ne, Size::ZERO, |b| body(b, o, 1 << piece, &all(1 << piece)))?;
            if piece == 0 {
                return Ok(());
            }
            o = o.add(b, part);
            piece -= 1;
        }
    }
}
