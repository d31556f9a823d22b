//! Contractions, naively: sums of products in f64, rounded once to the accumulator's dtype.

use super::InterpretError;
use super::code::{Action, Address, Code, Compiler, Frame};
use crate::winograd::{INPUTS, OUTPUT, OUTPUTS, window_factors};
use crate::{Attention, Convolution, Epilogue, Matmul, MatmulB, Strassen, Var, Winograd, strassen as seven};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ops::{Scalar, round_to, wrap_to};

type Result<T> = std::result::Result<T, InterpretError>;

/// A loop over an index.
struct Axis {
    slot: usize,
    extent: i64,
}

/// What is done with an accumulated element.
struct Finish {
    lets: Vec<Action>,
    stores: Vec<(usize, Address, Code)>,
    accumulator: DType,
}

/// A sum in progress.
#[derive(Clone, Copy)]
struct Sum {
    float: f64,
    int: i64,
}

impl Sum {
    const ZERO: Sum = Sum { float: 0.0, int: 0 };

    fn add(&mut self, a: Scalar, b: Scalar) {
        match (a, b) {
            (Scalar::Float(a), Scalar::Float(b)) => self.float += a * b,
            // Weights in whole numbers.
            (Scalar::Float(a), Scalar::Int(b)) => self.float += a * b as f64,
            (a, b) => self.int = self.int.wrapping_add(a.to_i64().wrapping_mul(b.to_i64())),
        }
    }

    fn value(self, dtype: DType) -> Scalar {
        if dtype.is_float() {
            Scalar::Float(round_to(dtype, self.float))
        } else if dtype == DType::Bool {
            Scalar::Bool(self.int != 0)
        } else {
            Scalar::Int(wrap_to(dtype, self.int))
        }
    }
}

fn axis(compiler: &mut Compiler<'_>, frame: &Frame<'_>, (symbol, extent): &(Symbol, Dim)) -> Result<Axis> {
    let extent = int(compiler, frame, extent)?;
    Ok(Axis { slot: compiler.enter(symbol), extent })
}

fn axes(compiler: &mut Compiler<'_>, frame: &Frame<'_>, all: &[(Symbol, Dim)]) -> Result<Vec<Axis>> {
    all.iter().map(|a| axis(compiler, frame, a)).collect()
}

fn address(compiler: &Compiler<'_>, frame: &Frame<'_>, dim: &Dim) -> Result<Address> {
    compiler.address(dim).map_err(|e| frame.malformed(e))
}

fn int(compiler: &Compiler<'_>, frame: &Frame<'_>, dim: &Dim) -> Result<i64> {
    frame.int(&address(compiler, frame, dim)?)
}

fn finish(
    compiler: &mut Compiler<'_>,
    frame: &mut Frame<'_>,
    epilogue: &Epilogue,
    accumulator: DType,
) -> Result<Finish> {
    compiler.define(Var(0), accumulator);
    let lets = compiler.stmts(&epilogue.lets).map_err(|e| frame.malformed(e))?;
    let mut stores = Vec::new();
    for (param, at, value) in &epilogue.stores {
        let value = compiler.expr(value).map_err(|e| frame.malformed(e))?;
        stores.push((*param, address(compiler, frame, at)?, value));
    }
    frame.reserve(compiler);
    Ok(Finish { lets, stores, accumulator })
}

impl Finish {
    fn run(&self, frame: &mut Frame<'_>, value: Scalar) -> Result<()> {
        if let Some(slot) = frame.vars.first_mut() {
            *slot = value;
        }
        frame.run(&self.lets)?;
        // All values first: a store must not change what another one reads.
        let values = self.stores.iter().map(|(_, at, v)| Ok((frame.int(at)?, frame.eval(v)?)));
        for ((param, _, _), (at, value)) in self.stores.iter().zip(values.collect::<Result<Vec<_>>>()?) {
            frame.store(*param, at, value)?;
        }
        Ok(())
    }
}

/// Runs `f` for every index of the axes.
fn nest(frame: &mut Frame<'_>, axes: &[&Axis], f: &mut dyn FnMut(&mut Frame<'_>) -> Result<()>) -> Result<()> {
    let Some((first, rest)) = axes.split_first() else { return f(frame) };
    for i in 0..first.extent {
        frame.bind(first.slot, i);
        nest(frame, rest, f)?;
    }
    Ok(())
}

/// The sum over `k` of the products of two parameters' elements.
fn products(
    frame: &mut Frame<'_>,
    k: &Axis,
    a: (usize, &Address),
    b: (usize, &Address),
    rounding: Option<DType>,
) -> Result<Sum> {
    let rounded = |x: Scalar| match (rounding, x) {
        (Some(dtype), Scalar::Float(x)) => Scalar::Float(round_to(dtype, x)),
        _ => x,
    };
    let mut sum = Sum::ZERO;
    if k.extent <= 0 {
        return Ok(sum);
    }
    frame.bind(k.slot, 0);
    if let (Some(step_a), Some(step_b)) = (a.1.step(k.slot), b.1.step(k.slot)) {
        let (first_a, first_b) = (frame.int(a.1)?, frame.int(b.1)?);
        for i in 0..k.extent {
            let pair = (frame.load(a.0, first_a + i * step_a)?, frame.load(b.0, first_b + i * step_b)?);
            sum.add(rounded(pair.0), rounded(pair.1));
        }
        return Ok(sum);
    }
    for i in 0..k.extent {
        frame.bind(k.slot, i);
        let pair = (frame.load(a.0, frame.int(a.1)?)?, frame.load(b.0, frame.int(b.1)?)?);
        sum.add(rounded(pair.0), rounded(pair.1));
    }
    Ok(sum)
}

/// The sum over `k` of the products of a parameter's elements with weights of 4 bits ([`MatmulB::Grouped`]).
fn grouped_products(
    frame: &mut Frame<'_>,
    k: &Axis,
    a: (usize, &Address),
    (slot, columns): (usize, i64),
    (weights, scales, group): (usize, usize, i64),
) -> Result<Sum> {
    let n = frame.symbols.get(slot).copied().unwrap_or(0);
    let mut sum = Sum::ZERO;
    for i in 0..k.extent {
        frame.bind(k.slot, i);
        let byte = frame.load(weights, i / 2 * columns + n)?.to_i64();
        let q = if i % 2 == 0 { byte & 15 } else { byte >> 4 };
        let scale = frame.load(scales, i / group * columns + n)?.to_f64();
        sum.add(frame.load(a.0, frame.int(a.1)?)?, Scalar::Float((q - 8) as f64 * scale));
    }
    Ok(sum)
}

/// `Body::Matmul`.
pub fn matmul(compiler: &mut Compiler<'_>, frame: &mut Frame<'_>, m: &Matmul) -> Result<()> {
    let mut loops = axes(compiler, frame, &m.batch)?;
    loops.push(axis(compiler, frame, &m.m)?);
    loops.push(axis(compiler, frame, &m.n)?);
    // The epilogue does not see the contracted index.
    let done = finish(compiler, frame, &m.epilogue, m.accumulator)?;
    let k = axis(compiler, frame, &m.k)?;
    let a = address(compiler, frame, &m.a.1)?;
    let (param, at) = match &m.b {
        MatmulB::Strided { param, address } | MatmulB::Constant { param, address } => (param, address),
        MatmulB::Grouped { param, scales, group } => {
            let columns = loops.last().map_or((0, 0), |n| (n.slot, n.extent));
            frame.reserve(compiler);
            return nest(frame, &loops.iter().collect::<Vec<_>>(), &mut |frame| {
                let sum = grouped_products(frame, &k, (m.a.0, &a), columns, (*param, *scales, (*group).max(1)))?;
                done.run(frame, sum.value(done.accumulator))
            });
        }
    };
    let b = address(compiler, frame, at)?;
    frame.reserve(compiler);
    nest(frame, &loops.iter().collect::<Vec<_>>(), &mut |frame| {
        let sum = products(frame, &k, (m.a.0, &a), (*param, &b), m.rounding)?;
        done.run(frame, sum.value(done.accumulator))
    })
}

/// `Body::Convolution`.
pub fn convolution(compiler: &mut Compiler<'_>, frame: &mut Frame<'_>, c: &Convolution) -> Result<()> {
    let batch = axis(compiler, frame, &c.batch)?;
    let channel = axis(compiler, frame, &c.channel)?;
    let spatial = axes(compiler, frame, &c.spatial)?;
    let done = finish(compiler, frame, &c.epilogue, c.accumulator)?;
    let rank = spatial.len();
    let lengths = [c.input_spatial.len(), c.window.len(), c.stride.len(), c.dilation.len(), c.pad_low.len()];
    if lengths.iter().any(|n| *n != rank) || c.x.1.len() != rank + 2 {
        return Err(frame.malformed("a convolution whose parameters differ in rank"));
    }
    if c.groups < 1 || c.input_channels % c.groups != 0 || channel.extent % c.groups != 0 {
        return Err(frame.malformed("groups that do not divide the channels"));
    }
    let all = |dims: &[Dim]| dims.iter().map(|d| int(compiler, frame, d)).collect::<Result<Vec<_>>>();
    let (strides, input, low) = (all(&c.x.1)?, all(&c.input_spatial)?, all(&c.pad_low)?);
    let offset = int(compiler, frame, &c.x_offset)?;
    let per_group = c.input_channels / c.groups;
    let outputs = channel.extent / c.groups;
    let window: i64 = c.window.iter().product();
    let loops: Vec<&Axis> = [&batch, &channel].into_iter().chain(&spatial).collect();
    nest(frame, &loops, &mut |frame| {
        let at = |axis: &Axis| frame.symbols.get(axis.slot).copied().unwrap_or(0);
        let (n, k) = (at(&batch), at(&channel));
        let o: Vec<i64> = spatial.iter().map(at).collect();
        let group = k / outputs.max(1);
        let mut sum = Sum::ZERO;
        for r in 0..window {
            let (mut rest, mut place, mut inside) = (r, offset + n * strides[0], true);
            for d in (0..rank).rev() {
                let tap = rest % c.window[d];
                rest /= c.window[d];
                let i = o[d] * c.stride[d] + tap * c.dilation[d] - low[d];
                inside &= (0..input[d]).contains(&i);
                place += i * strides[2 + d];
            }
            if !inside {
                continue;
            }
            for channel in 0..per_group {
                let x = frame.load(c.x.0, place + (group * per_group + channel) * strides[1])?;
                let w = frame.load(c.w, (k * per_group + channel) * window + r)?;
                sum.add(x, w);
            }
        }
        done.run(frame, sum.value(done.accumulator))
    })
}

/// `Body::Winograd`.
pub fn winograd(compiler: &mut Compiler<'_>, frame: &mut Frame<'_>, w: &Winograd) -> Result<()> {
    let batch = axis(compiler, frame, &w.batch)?;
    let channel = axis(compiler, frame, &w.channel)?;
    let spatial = axes(compiler, frame, &w.spatial)?;
    let done = finish(compiler, frame, &w.epilogue, DType::F32)?;
    let [rows, columns] = [int(compiler, frame, &w.tiles[0])?, int(compiler, frame, &w.tiles[1])?];
    let all = batch.extent * rows * columns;
    let [oy, ox] = spatial.as_slice() else {
        return Err(frame.malformed("a Winograd convolution of other than two dimensions"));
    };
    let loops: Vec<&Axis> = [&batch, &channel].into_iter().chain(&spatial).collect();
    nest(frame, &loops, &mut |frame| {
        let at = |axis: &Axis| frame.symbols.get(axis.slot).copied().unwrap_or(0);
        let (n, k, y, x) = (at(&batch), at(&channel), at(oy), at(ox));
        let outputs = OUTPUTS as i64;
        let tile = (n * rows + y / outputs) * columns + x / outputs;
        let (from_rows, from_columns) = (&OUTPUT[(y % outputs) as usize], &OUTPUT[(x % outputs) as usize]);
        let mut sum = 0.0;
        for c in 0..w.input_channels {
            let mut window = [0.0; 9];
            for (tap, value) in (0..).zip(&mut window) {
                *value = frame.load(w.w, (k * w.input_channels + c) * 9 + tap)?.to_f64();
            }
            for (product, factor) in (0..).zip(window_factors(&window)) {
                let weight = from_rows[product / INPUTS] * from_columns[product % INPUTS];
                if weight != 0.0 {
                    let v = frame.load(w.v, (product as i64 * all + tile) * w.input_channels + c)?.to_f64();
                    sum += weight * factor * v;
                }
            }
        }
        done.run(frame, Scalar::Float(round_to(DType::F32, sum)))
    })
}

/// `Body::Strassen`. Columns are paired with their neighbours, the last one with zeros where it has none.
pub fn strassen(compiler: &mut Compiler<'_>, frame: &mut Frame<'_>, s: &Strassen) -> Result<()> {
    let (m, n) = (axis(compiler, frame, &s.m)?, axis(compiler, frame, &s.n)?);
    let k = axis(compiler, frame, &s.k)?;
    let b = address(compiler, frame, &s.b.1)?;
    let done = finish(compiler, frame, &s.epilogue, DType::F32)?;
    let (rows, half) = ((m.extent + 1) / 2, k.extent / 2);
    let stride = seven::row_stride(half);
    nest(frame, &[&m, &n], &mut |frame| {
        let at = |axis: &Axis| frame.symbols.get(axis.slot).copied().unwrap_or(0);
        let (i, j) = (at(&m), at(&n));
        let takes = &seven::OUTPUT[(i / rows.max(1) * 2 + j % 2) as usize];
        let mut sum = 0.0;
        for step in 0..half {
            let mut quarters = [0.0; seven::QUARTERS];
            for (quarter, value) in (0..).zip(&mut quarters) {
                let column = j / 2 * 2 + quarter % 2;
                if column < n.extent {
                    frame.bind(n.slot, column);
                    frame.bind(k.slot, step + quarter / 2 * half);
                    *value = frame.load(s.b.0, frame.int(&b)?)?.to_f64();
                }
            }
            for product in (0..seven::PRODUCTS).filter(|p| takes[*p]) {
                let row = product as i64 * rows + i % rows;
                sum += frame.load(s.v, row * stride + step)?.to_f64() * seven::factor(product, &quarters);
            }
        }
        frame.bind(n.slot, j);
        let scale = frame.load(s.v, seven::PRODUCTS as i64 * rows * stride + i)?.to_f64();
        done.run(frame, Scalar::Float(round_to(DType::F32, sum * scale)))
    })
}

/// `Body::Attention`. A row that is masked everywhere is zero.
pub fn attention(compiler: &mut Compiler<'_>, frame: &mut Frame<'_>, a: &Attention) -> Result<()> {
    let mut loops = axes(compiler, frame, &a.batch)?;
    loops.push(axis(compiler, frame, &a.row)?);
    let row = loops.last().map_or(0, |r| r.slot);
    let value_depth = axis(compiler, frame, &a.value_depth)?;
    let params = frame_dtype(compiler, a.q.0);
    let accumulator = if params == Some(DType::F64) { DType::F64 } else { DType::F32 };
    let done = finish(compiler, frame, &a.epilogue, accumulator)?;
    let position = axis(compiler, frame, &a.position)?;
    let depth = axis(compiler, frame, &a.depth)?;
    let (q, k, v) =
        (address(compiler, frame, &a.q.1)?, address(compiler, frame, &a.k.1)?, address(compiler, frame, &a.v.1)?);
    let mask = a.mask.as_ref().map(|m| compiler.expr(m)).transpose().map_err(|e| frame.malformed(e))?;
    frame.reserve(compiler);
    nest(frame, &loops.iter().collect::<Vec<_>>(), &mut |frame| {
        let mut scores = Vec::new();
        for j in 0..position.extent {
            frame.bind(position.slot, j);
            if a.causal && frame.symbols.get(row).is_some_and(|i| j > *i) {
                scores.push(f64::NEG_INFINITY);
                continue;
            }
            let sum = products(frame, &depth, (a.q.0, &q), (a.k.0, &k), None)?;
            let mut score = sum.float * a.scale;
            match mask.as_ref().map(|m| frame.eval(m)).transpose()? {
                Some(Scalar::Bool(false)) => score = f64::NEG_INFINITY,
                Some(Scalar::Bool(true)) | None => {}
                Some(other) => score += other.to_f64(),
            }
            scores.push(score);
        }
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, pt2c_ops::special::max);
        let weight = |s: &f64| if top == f64::NEG_INFINITY { 0.0 } else { (s - top).exp() };
        let weights: Vec<f64> = scores.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        for e in 0..value_depth.extent {
            frame.bind(value_depth.slot, e);
            let mut sum = 0.0;
            for (j, w) in (0..position.extent).zip(&weights) {
                frame.bind(position.slot, j);
                sum += w * frame.load(a.v.0, frame.int(&v)?)?.to_f64();
            }
            let value = if total == 0.0 { 0.0 } else { sum / total };
            done.run(frame, Scalar::Float(round_to(done.accumulator, value)))?;
        }
        Ok(())
    })
}

fn frame_dtype(compiler: &Compiler<'_>, param: usize) -> Option<DType> {
    compiler.params().get(param).map(|p| p.dtype)
}
