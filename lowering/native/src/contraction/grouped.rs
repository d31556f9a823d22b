//! Weights of 4 bits: pairs of neighbours along the contracted index in a byte, a scale for each group of them.
//!
//! A weight is `q · scale - 8 · scale`, one multiply-add behind the conversion of `q`. For one row that happens on the
//! way into the product; for more of them a panel is widened once.

use super::micro::{Arithmetic, Rows};
use super::size::{Size, for_range};
use crate::NativeError;
use crate::builder::{Elem, Func, Type, Val};

/// A constant `[K, N]` of 4 bits an element, packed by [`super::pack::columns`]: bytes of pairs `[K/2, N]` and scales
/// `[K/group, N]` in panels of the same columns.
#[derive(Clone, Copy)]
pub struct Grouped {
    /// Bytes of pairs: the low half is the first.
    pub buffer: Val,
    /// Scales, f32.
    pub scales: Val,
    /// Elements along the contracted index that share a scale; even.
    pub group: i64,
}

/// What turns the numbers of one group and one vector of columns into weights.
#[derive(Clone, Copy)]
struct Scale {
    scale: Val,
    /// -8 times the scale.
    offset: Val,
}

/// Offset of the stored numbers.
const MIDDLE: f64 = 8.0;

impl Grouped {
    /// The scales of group `group` of the panel that begins with `column`.
    fn scales(&self, b: &mut Func<'_>, lanes: u32, panel: (Size, u32), k: Size, group: Size) -> Vec<Scale> {
        let (column, vectors) = panel;
        let groups = k.div(b, self.group);
        let base = column.mul(b, groups);
        let at = group.times(b, i64::from(vectors * lanes)).add(b, base);
        let middle = b.float(Type::of_lanes(lanes, Elem::F32), -MIDDLE);
        (0..vectors)
            .map(|j| {
                let at = at.plus(b, i64::from(j * lanes)).val(b);
                let scale = b.vload(self.scales, at, lanes);
                let offset = b.mulf(scale, middle);
                Scale { scale, offset }
            })
            .collect()
    }

    /// Two rows of weights, of contracted indices `2·pair` and `2·pair + 1`, for one vector of columns.
    fn pair(&self, b: &mut Func<'_>, lanes: u32, at: Val, scale: Scale) -> [Val; 2] {
        let ints = Type::of_lanes(lanes, Elem::I32);
        let bytes = b.vload(self.buffer, at, lanes);
        let bytes = b.cast_int(bytes, ints, false);
        let (mask, four) = (b.int(ints, 15), b.int(ints, 4));
        let low = b.andi(bytes, mask);
        let high = b.shrui(bytes, four);
        [low, high].map(|q| {
            let q = b.int_to_float(q, Elem::F32, true);
            b.mul_add(q, scale.scale, scale.offset)
        })
    }

    /// The sums of `mr` rows with a panel's columns. `panel` is its first column and its width in vectors.
    pub(super) fn tile(
        &self,
        b: &mut Func<'_>,
        arithmetic: Arithmetic,
        rows: Rows,
        mr: u32,
        panel: (Size, u32),
        k: Size,
    ) -> Vec<Val> {
        let lanes = arithmetic.lanes;
        let (column, vectors) = panel;
        let width = i64::from(vectors * lanes);
        let zero = b.zero(arithmetic.ty());
        let acc = vec![zero; (mr * vectors) as usize];
        let base = k.div(b, 2).mul(b, column);
        let (low, high, step) = (b.index(0), k.div(b, self.group).val(b), b.index(1));
        let (groups, group, acc) = b.begin_for(low, high, step, &acc);
        let group = Size::Dynamic(group);
        let scales = self.scales(b, lanes, panel, k, group);
        let pairs = self.group / 2;
        let first = group.times(b, pairs);
        let (low, high, step) = (b.index(0), b.index(pairs), b.index(1));
        let (inner, pair, mut acc) = b.begin_for(low, high, step, &acc);
        let pair = first.add(b, Size::Dynamic(pair));
        let from = pair.times(b, width).add(b, base);
        let along = pair.times(b, 2);
        let spread: Vec<[Val; 2]> = (0..mr)
            .map(|r| {
                [0, 1].map(|which| {
                    let down = rows.row.times(b, i64::from(r));
                    let across = along.plus(b, which).mul(b, rows.step);
                    let at = rows.base.add(b, down).add(b, across).val(b);
                    let value = b.load(rows.buffer, at);
                    let value = super::widen(b, value, arithmetic.elem, arithmetic.signed);
                    b.broadcast(value, lanes)
                })
            })
            .collect();
        for (j, scale) in scales.iter().enumerate() {
            let at = from.plus(b, j as i64 * i64::from(lanes)).val(b);
            let weights = self.pair(b, lanes, at, *scale);
            for (r, values) in spread.iter().enumerate() {
                for (value, weight) in values.iter().zip(weights) {
                    if let Some(sum) = acc.get_mut(r * vectors as usize + j) {
                        *sum = b.mul_add(*value, weight, *sum);
                    }
                }
            }
        }
        let acc = b.end_for(inner, &acc);
        b.end_for(groups, &acc)
    }

    /// Writes the weights of steps `first..first + count`, whole groups, into `to[count][width]`.
    pub(super) fn copy(
        &self,
        b: &mut Func<'_>,
        arithmetic: Arithmetic,
        panel: (Size, u32),
        k: Size,
        (first, count): (Size, Size),
        to: Val,
    ) -> Result<(), NativeError> {
        let lanes = arithmetic.lanes;
        let (column, vectors) = panel;
        let width = i64::from(vectors * lanes);
        let base = k.div(b, 2).mul(b, column);
        let (skipped, groups) = (first.div(b, self.group), count.div(b, self.group));
        for_range(b, Size::ZERO, groups, |b, group| {
            let absolute = skipped.add(b, group);
            let scales = self.scales(b, lanes, panel, k, absolute);
            let pairs = Size::Static(self.group / 2);
            for_range(b, Size::ZERO, pairs, |b, pair| {
                let inside = group.times(b, self.group / 2).add(b, pair);
                let from = skipped.times(b, self.group / 2).add(b, inside).times(b, width).add(b, base);
                let into = inside.times(b, 2 * width);
                for (j, scale) in scales.iter().enumerate() {
                    let across = j as i64 * i64::from(lanes);
                    let at = from.plus(b, across).val(b);
                    for (which, weights) in self.pair(b, lanes, at, *scale).into_iter().enumerate() {
                        let at = into.plus(b, across + which as i64 * width).val(b);
                        b.vstore(weights, to, at);
                    }
                }
                Ok(())
            })
        })
    }
}
