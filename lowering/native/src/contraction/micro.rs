//! The register-blocked tile: `mr` rows × `nv` vectors of accumulators carried through the contracted loop.

use super::size::Size;
use super::{multiply_add, widen};
use crate::builder::{Elem, Func, Type, Val};

/// One column block of the second operand as the tile reads it.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// Where the values are.
    pub buffer: Val,
    /// Address of the block's first element.
    pub base: Size,
    /// Address of the first element of what is subtracted from the values, laid out as they are.
    pub less: Option<Size>,
    /// Distance between steps of the contracted index; columns are neighbours.
    pub step: Size,
    /// Vectors in the block.
    pub vectors: u32,
    /// Mask of the last vector, where memory ends inside it.
    pub mask: Option<Val>,
    /// Address of what is wanted next, prefetched a little with every step: (address, elements per step).
    pub prefetch: Option<(Size, i64)>,
}

/// The rows of the first operand.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Where the values are.
    pub buffer: Val,
    /// Address of the first row's first element.
    pub base: Size,
    /// Distance between rows.
    pub row: Size,
    /// Distance between steps of the contracted index.
    pub step: Size,
}

/// What the tile computes in.
#[derive(Clone, Copy)]
pub(super) struct Arithmetic {
    /// Lanes of one vector.
    pub lanes: u32,
    /// Accumulator element.
    pub elem: Elem,
    /// Whether integer operands narrower than the accumulator are signed.
    pub signed: bool,
    /// Whether an f32 element of an operand is a pair of bf16 numbers, neighbours along the contracted index.
    pub pairs: bool,
}

impl Arithmetic {
    /// The accumulators' type.
    pub fn ty(self) -> Type {
        Type::of_lanes(self.lanes, self.elem)
    }
}

/// Unrolling of the contracted loop: enough multiply-adds in one round that the loop's own work does not show.
pub(super) fn unroll(tile: u32) -> i64 {
    match tile {
        0..=4 => 8,
        5..=11 => 4,
        _ => 2,
    }
}

/// A round of the contracted loop: (builder, first index, steps, accumulators).
pub(super) type Steps<'a, 't> = dyn FnMut(&mut Func<'t>, Size, i64, &mut Vec<Val>) + 'a;

/// Runs `body(builder, k, count, accumulators)` over `k` in `0..extent`, `count` steps at a time (a constant), carrying
/// the accumulators.
pub(super) fn contracted_loop<'t>(
    b: &mut Func<'t>,
    extent: Size,
    unroll: i64,
    mut acc: Vec<Val>,
    body: &mut Steps<'_, 't>,
) -> Vec<Val> {
    let main = match extent {
        // Short loops are straight code.
        Size::Static(n) if n <= 2 * unroll => {
            if n > 0 {
                body(b, Size::ZERO, n, &mut acc);
            }
            return acc;
        }
        Size::Static(n) => Size::Static(n / unroll * unroll),
        Size::Dynamic(_) => {
            let rest = extent.rem(b, unroll);
            extent.sub(b, rest)
        }
    };
    let (zero, hi, step) = (b.index(0), main.val(b), b.index(unroll));
    let (scope, k, mut inner) = b.begin_for(zero, hi, step, &acc);
    body(b, Size::Dynamic(k), unroll, &mut inner);
    acc = b.end_for(scope, &inner);
    match (extent, main) {
        (Size::Static(n), Size::Static(m)) => {
            if n > m {
                body(b, Size::Static(m), n - m, &mut acc);
            }
            acc
        }
        _ => {
            let (hi, one) = (extent.val(b), b.index(1));
            let lo = main.val(b);
            let (scope, k, mut inner) = b.begin_for(lo, hi, one, &acc);
            body(b, Size::Dynamic(k), 1, &mut inner);
            b.end_for(scope, &inner)
        }
    }
}

/// `acc[r][j] += Σ_k rows[r, k] · columns[k, j]` over `extent` steps.
pub(super) fn tile(
    b: &mut Func<'_>,
    arithmetic: Arithmetic,
    rows: Rows,
    mr: u32,
    columns: Columns,
    extent: Size,
    acc: Vec<Val>,
) -> Vec<Val> {
    let Arithmetic { lanes, elem, signed, pairs } = arithmetic;
    let nv = columns.vectors;
    // Row addresses that are no constants apart are computed once, outside the loop.
    let row_base: Vec<Size> = (0..i64::from(mr))
        .map(|r| {
            let offset = rows.row.times(b, r);
            match offset {
                Size::Static(_) => rows.base,
                Size::Dynamic(_) => rows.base.add(b, offset),
            }
        })
        .collect();
    contracted_loop(b, extent, unroll(mr * nv), acc, &mut |b, k, count, acc| {
        let along = k.mul(b, columns.step);
        let from_b = along.add(b, columns.base);
        let from_less = columns.less.map(|base| along.add(b, base));
        let ka = k.mul(b, rows.step);
        let from_a: Vec<Size> = match rows.row {
            Size::Static(_) => vec![ka.add(b, rows.base)],
            Size::Dynamic(_) => row_base.iter().map(|base| ka.add(b, *base)).collect(),
        };
        if let Some((next, per_step)) = columns.prefetch {
            let done = k.times(b, per_step);
            let from = done.add(b, next);
            let line = 64 / i64::from(columns.buffer.ty.elem().bytes());
            let mut at = 0;
            while at < per_step * count {
                let address = from.plus(b, at).val(b);
                b.prefetch(columns.buffer, address, false, 2);
                at += line;
            }
        }
        for kk in 0..count {
            let step = columns.step.times(b, kk);
            let from = from_b.add(b, step);
            let mut vectors = Vec::with_capacity(nv as usize);
            for j in 0..nv {
                let address = from.plus(b, i64::from(j * lanes)).val(b);
                let v = match columns.mask {
                    Some(mask) if j + 1 == nv => {
                        let pass = b.zero(Type::of_lanes(lanes, columns.buffer.ty.elem()));
                        b.masked_load(columns.buffer, address, mask, pass)
                    }
                    _ => b.vload(columns.buffer, address, lanes),
                };
                let mut v = widen(b, v, elem, signed);
                if let Some(from) = from_less {
                    let address = from.add(b, step).plus(b, i64::from(j * lanes)).val(b);
                    let less = b.vload(columns.buffer, address, lanes);
                    v = b.subf(v, less);
                }
                vectors.push(v);
            }
            let step = rows.step.times(b, kk);
            for r in 0..mr as usize {
                let base = match rows.row {
                    Size::Static(row) => from_a.first().copied().unwrap_or(Size::ZERO).plus(b, row * r as i64),
                    Size::Dynamic(_) => from_a.get(r).copied().unwrap_or(Size::ZERO),
                };
                let address = base.add(b, step).val(b);
                let scalar = b.load(rows.buffer, address);
                let scalar = widen(b, scalar, elem, signed);
                let spread = b.broadcast(scalar, lanes);
                for (j, v) in vectors.iter().enumerate() {
                    let place = r * nv as usize + j;
                    if let Some(sum) = acc.get_mut(place) {
                        *sum =
                            if pairs { b.bf16_products(spread, *v, *sum) } else { multiply_add(b, spread, *v, *sum) };
                    }
                }
            }
        }
    })
}
