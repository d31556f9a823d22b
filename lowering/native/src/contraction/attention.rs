//! Attention: `out = softmax(scale · q·kᵀ + mask) · v`, without ever holding the scores of a whole row of positions.
//!
//! A task is a block of query rows of one head. Queries are the lanes of the score computation: a small transposed copy
//! of the block's queries is the second operand of the product, keys are broadcast from where they are, so keys need no
//! packing, and the softmax over positions runs down the lanes without a horizontal step. Positions come in pieces; the
//! running maximum and sum of each row rescale what has been accumulated (Milakov & Gimelshein, "Online normalizer
//! calculation for softmax"; Dao et al., "FlashAttention"). Scores transposed are then the broadcast operand of the
//! second product, values its vectors.
//!
//! A row that has no position left (all masked) gives zeros, as PyTorch's `scaled_dot_product_attention`.

use super::micro::{Arithmetic, Columns, Rows, tile};
use super::panel::{Source, copy};
use super::size::{Size, for_range};
use super::{Epilogue, Matrix, Out, widen};
use crate::NativeError;
use crate::builder::{Elem, FloatPredicate, Func, IntPredicate, Type, Val};
use crate::math::{MathFn, emit_unary};
use crate::target::{Isa, Target};

/// Scaled dot-product attention.
pub struct Attention<'a> {
    /// Batch extents, query heads last. Grouped heads are a matter of the bases of `k` and `v`.
    pub batch: Vec<Size>,
    /// Query rows.
    pub rows: Size,
    /// Key and value positions.
    pub positions: Size,
    /// Depth of queries and keys.
    pub depth: i64,
    /// Depth of values and results.
    pub value_depth: i64,
    /// Queries: `row` steps rows, `col` steps the depth.
    pub q: Matrix<'a>,
    /// Keys: `row` steps positions, `col` steps the depth.
    pub k: Matrix<'a>,
    /// Values: `row` steps positions, `col` steps the depth.
    pub v: Matrix<'a>,
    /// Whether a row sees only positions up to its own number.
    pub causal: bool,
    /// Factor of the scores.
    pub scale: f64,
    /// Element of scores and sums: F32 or F64.
    pub accumulator: Elem,
}

/// Where mask values are wanted: neighbouring rows at one position.
#[derive(Clone, Debug)]
pub struct MaskAt<'b> {
    /// Batch indices.
    pub batch: &'b [Size],
    /// Row of lane 0.
    pub row: Size,
    /// Position.
    pub position: Size,
    /// Lanes.
    pub lanes: u32,
    /// Lanes whose row exists, where not all may.
    pub exists: Option<Val>,
}

/// Gives mask values: `i1` (true keeps) or the accumulator's element (added), as a vector or, if all rows agree, a
/// scalar.
pub type Mask<'a> = dyn FnMut(&mut Func<'_>, &MaskAt<'_>) -> Result<Val, NativeError> + 'a;

/// Positions whose scores are held at a time.
const PIECE: i64 = 128;

/// Shapes of the two products.
#[derive(Clone, Copy)]
struct Plan {
    /// Lanes of a vector.
    lanes: u32,
    /// Vectors of query rows.
    queries: u32,
    /// Keys of a score tile.
    keys: u32,
    /// Query rows of a result tile.
    result_rows: u32,
    /// Vectors of values of a result tile.
    result_vectors: u32,
}

impl Plan {
    fn choose(target: &Target, elem: Elem, rows: Size) -> Plan {
        let lanes = target.lanes_of(elem.bytes());
        let few = rows.known().is_some_and(|r| r <= i64::from(lanes));
        let queries = if few { 1 } else { 2 };
        let (keys, result_rows, result_vectors) = match target.isa {
            Isa::Avx512 => (if few { 16 } else { 12 }, 4, 4),
            Isa::Avx2 => (if few { 10 } else { 6 }, 4, 2),
            Isa::Baseline => (if few { 8 } else { 4 }, 4, 2),
        };
        let result_rows = result_rows.min(lanes * queries);
        Plan { lanes, queries, keys, result_rows, result_vectors }
    }

    fn block(self) -> i64 {
        i64::from(self.lanes * self.queries)
    }
}

/// Stack buffers of a task.
#[derive(Clone, Copy)]
struct Scratch {
    /// Queries `[depth][block]`.
    queries: Val,
    /// Scores, then their exponentials `[piece][block]`.
    scores: Val,
    /// Results so far `[block][value_depth rounded up]`.
    results: Val,
    /// Running maximum `[block]`.
    maximum: Val,
    /// Running sum `[block]`.
    sum: Val,
    /// Factors of the rows `[block]`.
    factor: Val,
    /// A piece of the values `[piece][value_depth rounded up]`, where they are not neighbours in memory.
    values: Option<Val>,
}

/// One task.
struct Block<'b> {
    plan: Plan,
    scratch: Scratch,
    batch: &'b [Size],
    row0: Size,
    /// Rows that exist.
    count: Size,
    /// For each vector of rows: which lanes exist, where not all may.
    exists: Vec<Option<Val>>,
    q: Size,
    k: Size,
    v: Size,
    piece: i64,
}

impl Attention<'_> {
    /// Query rows of a task. The number of tasks is the product of the batch extents and `⌈rows / task_rows⌉`.
    pub fn task_rows(&self, target: &Target) -> i64 {
        Plan::choose(target, self.accumulator, self.rows).block()
    }

    fn arithmetic(&self, lanes: u32) -> Arithmetic {
        Arithmetic { lanes, elem: self.accumulator, signed: true, pairs: false }
    }

    /// Emits the tasks `begin..end` (index values).
    ///
    /// # Errors
    /// Those of the callbacks.
    pub fn emit(
        &self,
        b: &mut Func<'_>,
        begin: Val,
        end: Val,
        mask: Option<&mut Mask<'_>>,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let plan = Plan::choose(b.target, self.accumulator, self.rows);
        let lanes = i64::from(plan.lanes);
        let block = plan.block();
        let piece = self.positions.known().filter(|p| *p <= 2 * PIECE).map_or(PIECE, |p| p.max(1));
        let padded = (self.value_depth + lanes - 1) / lanes * lanes;
        let stack = |b: &mut Func<'_>, n: i64| b.stack(n.max(1) as u64, self.accumulator);
        let scratch = Scratch {
            queries: stack(b, self.depth * block),
            scores: stack(b, piece * block),
            results: stack(b, block * padded),
            maximum: stack(b, block),
            sum: stack(b, block),
            factor: stack(b, block),
            values: (!self.v.col.is(1)).then(|| stack(b, piece * padded)),
        };
        let row_tasks = self.rows.ceil_div(b, block);
        for_range(b, Size::Dynamic(begin), Size::Dynamic(end), |b, task| {
            let (mut rest, row_task) = task.split(b, row_tasks);
            let mut batch = vec![Size::ZERO; self.batch.len()];
            for (index, extent) in batch.iter_mut().zip(&self.batch).rev() {
                (rest, *index) = rest.split(b, *extent);
            }
            let row0 = row_task.times(b, block);
            let left = self.rows.sub(b, row0);
            let count = Size::Static(block).min(b, left);
            let whole = self.rows.known().is_some_and(|r| r % block == 0);
            let exists = (0..plan.queries)
                .map(|g| {
                    (!whole).then(|| {
                        let left = left.plus(b, -i64::from(g) * lanes).val(b);
                        b.mask(left, plan.lanes)
                    })
                })
                .collect();
            let q = (self.q.base)(b, &batch)?;
            let k = (self.k.base)(b, &batch)?;
            let v = (self.v.base)(b, &batch)?;
            let block = Block { plan, scratch, batch: &batch, row0, count, exists, q, k, v, piece };
            self.block(b, &block, mask, epilogue)
        })
    }

    /// One block of query rows.
    fn block(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        mask: Option<&mut Mask<'_>>,
        epilogue: &mut Epilogue<'_>,
    ) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        self.start(b, block)?;
        let positions = if self.causal {
            let seen = block.row0.plus(b, plan.block());
            self.positions.min(b, seen)
        } else {
            self.positions
        };
        let pieces = positions.ceil_div(b, block.piece);
        for_range(b, Size::ZERO, pieces, |b, piece| {
            let first = piece.times(b, block.piece);
            let left = positions.sub(b, first);
            let count = Size::Static(block.piece).min(b, left);
            self.scores(b, block, first, count, mask)?;
            self.normalise(b, block, count)?;
            self.accumulate(b, block, first, count)
        })?;
        // 1 / sum; a row without positions has sum 0 and stays 0.
        let zero = b.zero(self.vector(plan.lanes));
        let one = b.float(zero.ty, 1.0);
        for g in 0..plan.queries {
            let at = b.index(i64::from(g * plan.lanes));
            let sum = b.vload(scratch.sum, at, plan.lanes);
            let empty = b.cmpf(FloatPredicate::Oeq, sum, zero);
            let inverse = b.divf(one, sum);
            let inverse = b.select(empty, zero, inverse);
            b.vstore(inverse, scratch.factor, at);
        }
        self.finish(b, block, epilogue)
    }

    fn vector(&self, lanes: u32) -> Type {
        Type::of_lanes(lanes, self.accumulator)
    }

    /// Values of a result row, padded to whole vectors.
    fn padded(&self, plan: Plan) -> i64 {
        let lanes = i64::from(plan.lanes);
        (self.value_depth + lanes - 1) / lanes * lanes
    }

    /// Copies the queries and clears sums and results.
    fn start(&self, b: &mut Func<'_>, block: &Block<'_>) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let down = block.row0.mul(b, self.q.row);
        let left = self.rows.sub(b, block.row0);
        let some = block.exists.iter().flatten().next().copied();
        let source = Source {
            buffer: self.q.buffer,
            base: block.q.add(b, down),
            row: self.q.col,
            // Rows as columns. More than the last vector may lack some.
            col: self.q.row,
            neighbours: false,
            columns: left,
            vectors: plan.queries,
            mask: some,
            arithmetic: self.arithmetic(plan.lanes),
        };
        copy(b, &source, Size::ZERO, Size::Static(self.depth), scratch.queries)?;
        let zero = b.zero(self.vector(plan.lanes));
        let lowest = b.float(zero.ty, f64::NEG_INFINITY);
        for g in 0..plan.queries {
            let at = b.index(i64::from(g * plan.lanes));
            b.vstore(lowest, scratch.maximum, at);
            b.vstore(zero, scratch.sum, at);
        }
        let vectors = plan.block() * self.padded(*plan) / i64::from(plan.lanes);
        for_range(b, Size::ZERO, Size::Static(vectors), |b, v| {
            let at = v.times(b, i64::from(plan.lanes)).val(b);
            b.vstore(zero, scratch.results, at);
            Ok(())
        })
    }

    /// Scores of positions `first..first+count`, into `scores[position][row]`; `factor` becomes their maximum.
    fn scores(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        first: Size,
        count: Size,
        mut mask: Option<&mut Mask<'_>>,
    ) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let lowest = b.float(self.vector(plan.lanes), f64::NEG_INFINITY);
        for g in 0..plan.queries {
            let at = b.index(i64::from(g * plan.lanes));
            b.vstore(lowest, scratch.factor, at);
        }
        let keys = i64::from(plan.keys);
        let whole = count.div(b, keys);
        for_range(b, Size::ZERO, whole, |b, t| {
            let at = t.times(b, keys);
            self.score_tile(b, block, first, at, plan.keys, mask.as_deref_mut())
        })?;
        let done = whole.times(b, keys);
        match count {
            Size::Static(n) if n % keys == 0 => Ok(()),
            Size::Static(n) => self.score_tile(b, block, first, done, (n % keys) as u32, mask),
            Size::Dynamic(_) => for_range(b, done, count, |b, at| self.score_tile(b, block, first, at, 1, mask)),
        }
    }

    fn score_tile(
        &self,
        b: &mut Func<'_>,
        block: &Block<'_>,
        first: Size,
        at: Size,
        keys: u32,
        mut mask: Option<&mut Mask<'_>>,
    ) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let ty = self.vector(plan.lanes);
        let zero = b.zero(ty);
        let position = first.add(b, at);
        let down = position.mul(b, self.k.row);
        let base = block.k.add(b, down);
        let rows = Rows { buffer: self.k.buffer, base, row: self.k.row, step: self.k.col };
        let columns = Columns {
            buffer: scratch.queries,
            base: Size::ZERO,
            less: None,
            step: Size::Static(plan.block()),
            vectors: plan.queries,
            mask: None,
            prefetch: None,
        };
        let acc = vec![zero; (keys * plan.queries) as usize];
        let depth = Size::Static(self.depth);
        let acc = tile(b, self.arithmetic(plan.lanes), rows, keys, columns, depth, acc);
        let scale = b.float(ty, self.scale);
        let lowest = b.float(ty, f64::NEG_INFINITY);
        for g in 0..plan.queries {
            let lane0 = i64::from(g * plan.lanes);
            let place = b.index(lane0);
            let mut maximum = b.vload(scratch.factor, place, plan.lanes);
            let row = block.row0.plus(b, lane0);
            for j in 0..keys {
                let Some(score) = acc.get((j * plan.queries + g) as usize) else { continue };
                let mut score = b.mulf(*score, scale);
                let position = position.plus(b, i64::from(j));
                if let Some(mask) = mask.as_deref_mut() {
                    let exists = block.exists.get(g as usize).copied().flatten();
                    let at = MaskAt { batch: block.batch, row, position, lanes: plan.lanes, exists };
                    let m = mask(b, &at)?;
                    let m = b.broadcast(m, plan.lanes);
                    score = if m.ty.elem() == Elem::I1 { b.select(m, score, lowest) } else { b.addf(score, m) };
                }
                if self.causal {
                    let distance = position.sub(b, row).val(b);
                    let distance = b.cast_int(distance, Type::I32, true);
                    let distance = b.broadcast(distance, plan.lanes);
                    let lane = b.iota(Type::of_lanes(plan.lanes, Elem::I32));
                    let seen = b.cmpi(IntPredicate::Sle, distance, lane);
                    score = b.select(seen, score, lowest);
                }
                // NaN scores are not the maximum, but their exponential is NaN.
                let greater = b.cmpf(FloatPredicate::Ogt, score, maximum);
                maximum = b.select(greater, score, maximum);
                let at = at.plus(b, i64::from(j)).times(b, plan.block()).plus(b, lane0).val(b);
                b.vstore(score, scratch.scores, at);
            }
            b.vstore(maximum, scratch.factor, place);
        }
        Ok(())
    }

    /// Turns scores into exponentials relative to the new maximum, adds them to the sums, and leaves in `factor` what the
    /// results so far are to be multiplied with.
    fn normalise(&self, b: &mut Func<'_>, block: &Block<'_>, count: Size) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let ty = self.vector(plan.lanes);
        let zero = b.zero(ty);
        let lowest = b.float(ty, f64::NEG_INFINITY);
        let (mut shifts, mut sums) = (Vec::new(), Vec::new());
        for g in 0..plan.queries {
            let at = b.index(i64::from(g * plan.lanes));
            let before = b.vload(scratch.maximum, at, plan.lanes);
            let here = b.vload(scratch.factor, at, plan.lanes);
            let greater = b.cmpf(FloatPredicate::Ogt, here, before);
            let now = b.select(greater, here, before);
            b.vstore(now, scratch.maximum, at);
            // Nothing seen yet: exponentials relative to 0 are 0 as well, where −inf − (−inf) would be NaN.
            let none = b.cmpf(FloatPredicate::Oeq, now, lowest);
            let shift = b.select(none, zero, now);
            let fall = b.subf(before, shift);
            let factor = emit_unary(b, MathFn::Exp, fall);
            b.vstore(factor, scratch.factor, at);
            let sum = b.vload(scratch.sum, at, plan.lanes);
            sums.push(b.mulf(sum, factor));
            shifts.push(shift);
        }
        let (lo, hi, one) = (b.index(0), count.val(b), b.index(1));
        let (scope, j, mut sums) = b.begin_for(lo, hi, one, &sums);
        let from = Size::Dynamic(j).times(b, plan.block());
        for (g, (shift, sum)) in (0i64..).zip(shifts.iter().zip(&mut sums)) {
            let at = from.plus(b, g * i64::from(plan.lanes)).val(b);
            let score = b.vload(scratch.scores, at, plan.lanes);
            let fall = b.subf(score, *shift);
            let p = emit_unary(b, MathFn::Exp, fall);
            b.vstore(p, scratch.scores, at);
            *sum = b.addf(*sum, p);
        }
        let sums = b.end_for(scope, &sums);
        for (g, sum) in (0i64..).zip(sums) {
            let at = b.index(g * i64::from(plan.lanes));
            b.vstore(sum, scratch.sum, at);
        }
        Ok(())
    }

    /// `results = results · factor + scoresᵀ · values`.
    fn accumulate(&self, b: &mut Func<'_>, block: &Block<'_>, first: Size, count: Size) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let lanes = i64::from(plan.lanes);
        let padded = self.padded(*plan);
        let down = first.mul(b, self.v.row);
        let base = block.v.add(b, down);
        let (buffer, base, step) = match scratch.values {
            None => (self.v.buffer, base, self.v.row),
            Some(values) => {
                for_range(b, Size::ZERO, count, |b, j| {
                    let down = j.mul(b, self.v.row);
                    let from = base.add(b, down);
                    for_range(b, Size::ZERO, Size::Static(self.value_depth), |b, e| {
                        let across = e.mul(b, self.v.col);
                        let at = from.add(b, across).val(b);
                        let v = b.load(self.v.buffer, at);
                        let v = widen(b, v, self.accumulator, true);
                        let at = j.times(b, padded).add(b, e).val(b);
                        b.store(v, values, at);
                        Ok(())
                    })
                })?;
                (values, Size::ZERO, Size::Static(padded))
            }
        };
        let vectors = padded / lanes;
        let wide = i64::from(plan.result_vectors);
        let tiles = block.count.ceil_div(b, i64::from(plan.result_rows));
        for_range(b, Size::ZERO, tiles, |b, t| {
            let row = t.times(b, i64::from(plan.result_rows));
            for_range(b, Size::ZERO, Size::Static(vectors / wide), |b, c| {
                let e = c.times(b, wide * lanes);
                let columns = Columns {
                    buffer,
                    base: base.add(b, e),
                    less: None,
                    step,
                    vectors: plan.result_vectors,
                    mask: None,
                    prefetch: None,
                };
                let cut = self.value_depth % lanes;
                // The last vector may end inside: only then is this block's tail masked.
                if cut > 0 && vectors % wide == 0 {
                    let n = vectors / wide;
                    e.if_cmp(b, IntPredicate::Eq, Size::Static((n - 1) * wide * lanes), |b| {
                        let masked = self.cut(b, columns, cut);
                        self.result_tile(b, block, row, e, masked, count);
                        Ok(())
                    })?;
                    e.if_cmp(b, IntPredicate::Ne, Size::Static((n - 1) * wide * lanes), |b| {
                        self.result_tile(b, block, row, e, columns, count);
                        Ok(())
                    })
                } else {
                    self.result_tile(b, block, row, e, columns, count);
                    Ok(())
                }
            })?;
            let rest = (vectors % wide) as u32;
            if rest > 0 {
                let e = Size::Static(vectors / wide * wide * lanes);
                let columns = Columns {
                    buffer,
                    base: base.add(b, e),
                    less: None,
                    step,
                    vectors: rest,
                    mask: None,
                    prefetch: None,
                };
                let columns = self.cut(b, columns, self.value_depth % lanes);
                self.result_tile(b, block, row, e, columns, count);
            }
            Ok(())
        })
    }

    /// The columns with their last vector cut to `lanes` lanes (0: whole).
    fn cut(&self, b: &mut Func<'_>, columns: Columns, lanes: i64) -> Columns {
        let width = b.target.lanes_of(self.accumulator.bytes());
        let mask = (lanes > 0).then(|| {
            let lanes = b.index(lanes);
            b.mask(lanes, width)
        });
        Columns { mask, ..columns }
    }

    fn result_tile(&self, b: &mut Func<'_>, block: &Block<'_>, row: Size, e: Size, columns: Columns, count: Size) {
        let Block { plan, scratch, .. } = block;
        let padded = self.padded(*plan);
        let lanes = i64::from(plan.lanes);
        let place = |b: &mut Func<'_>, r: u32, j: u32| {
            let at = row.plus(b, i64::from(r)).times(b, padded).add(b, e);
            at.plus(b, i64::from(j) * lanes).val(b)
        };
        let mut acc = Vec::new();
        for r in 0..plan.result_rows {
            let at = row.plus(b, i64::from(r)).val(b);
            let factor = b.load(scratch.factor, at);
            let factor = b.broadcast(factor, plan.lanes);
            for j in 0..columns.vectors {
                let at = place(b, r, j);
                let so_far = b.vload(scratch.results, at, plan.lanes);
                acc.push(b.mulf(so_far, factor));
            }
        }
        let rows = Rows { buffer: scratch.scores, base: row, row: Size::ONE, step: Size::Static(plan.block()) };
        let acc = tile(b, self.arithmetic(plan.lanes), rows, plan.result_rows, columns, count, acc);
        for r in 0..plan.result_rows {
            for j in 0..columns.vectors {
                if let Some(v) = acc.get((r * columns.vectors + j) as usize) {
                    let at = place(b, r, j);
                    b.vstore(*v, scratch.results, at);
                }
            }
        }
    }

    /// Hands the finished rows to the epilogue.
    fn finish(&self, b: &mut Func<'_>, block: &Block<'_>, epilogue: &mut Epilogue<'_>) -> Result<(), NativeError> {
        let Block { plan, scratch, .. } = block;
        let lanes = i64::from(plan.lanes);
        let padded = self.padded(*plan);
        for_range(b, Size::ZERO, block.count, |b, r| {
            let at = r.val(b);
            let factor = b.load(scratch.factor, at);
            let factor = b.broadcast(factor, plan.lanes);
            let row = block.row0.add(b, r);
            let mut piece = |b: &mut Func<'_>, e: Size, mask: Option<Val>| {
                let at = r.times(b, padded).add(b, e).val(b);
                let v = b.vload(scratch.results, at, plan.lanes);
                let value = b.mulf(v, factor);
                epilogue(b, &Out { value, batch: block.batch.to_vec(), row, col: e, mask })
            };
            for_range(b, Size::ZERO, Size::Static(self.value_depth / lanes), |b, c| {
                let e = c.times(b, lanes);
                piece(b, e, None)
            })?;
            let rest = self.value_depth % lanes;
            if rest == 0 {
                return Ok(());
            }
            let left = b.index(rest);
            let mask = b.mask(left, plan.lanes);
            piece(b, Size::Static(self.value_depth - rest), Some(mask))
        })
    }
}
