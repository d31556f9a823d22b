//! Pooling: maximum and average over windows, fixed and adaptive.

use crate::host;
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, shape, unravel};
use pt2c_ir::dim::{Dim, Pred, Proof, Scope};
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    pooling("avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], bool ceil_mode=False, bool count_include_pad=True) -> Tensor", infer_one, average),
    pooling("avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor", infer_one, average),
    pooling("avg_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor", infer_one, average),
    pooling("max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> Tensor", infer_one, |c| Ok(vec![maximum(c)?.swap_remove(0)])),
    pooling("max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor", infer_one, |c| Ok(vec![maximum(c)?.swap_remove(0)])),
    pooling("max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor", infer_one, |c| Ok(vec![maximum(c)?.swap_remove(0)])),
    pooling("max_pool1d_with_indices(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> (Tensor, Tensor)", infer_two, maximum),
    pooling("max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)", infer_two, maximum),
    pooling("max_pool3d_with_indices(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)", infer_two, maximum),
    pooling("_adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor", adaptive_one, adaptive_average),
    pooling("_adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor", adaptive_one, adaptive_average),
    pooling("adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor", adaptive_one, adaptive_average),
    pooling("adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor", adaptive_one, adaptive_average),
    pooling("adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor", adaptive_one, adaptive_average),
    pooling("adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)", adaptive_two, adaptive_maximum),
    pooling("adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)", adaptive_two, adaptive_maximum),
    pooling("adaptive_max_pool3d(Tensor self, int[3] output_size) -> (Tensor, Tensor)", adaptive_two, adaptive_maximum),
    OpDef::new("max_unpool2d(Tensor self, Tensor indices, SymInt[2] output_size) -> Tensor", unpool_fact, unpool),
    OpDef::new("max_unpool3d(Tensor self, Tensor indices, SymInt[3] output_size, int[3] stride, int[3] padding) -> Tensor", unpool_fact, unpool),
];

const fn pooling(schema: &'static str, infer: crate::op::InferFn, eval: crate::op::EvalFn) -> OpDef {
    OpDef::new(schema, infer, eval).tagged(Tags::REDUCTION)
}

/// The windows of a pooling call over the trailing dimensions, one value per dimension.
#[derive(Clone, PartialEq, Debug)]
pub struct Pooling {
    /// Size of the windows.
    pub kernel: Vec<i64>,
    /// Their distance.
    pub stride: Vec<i64>,
    /// Padding on both sides that the caller asked for.
    pub padding: Vec<i64>,
    /// Distance of the elements of a window.
    pub dilation: Vec<i64>,
    /// Number of windows.
    pub counts: Vec<Dim>,
    /// Padding behind that the windows really need; more than `padding` where `ceil_mode` adds a window, less where
    /// the last windows end early. Never negative.
    pub pad_high: Vec<Dim>,
    /// Whether a window may reach beyond `padding` (only with `ceil_mode`).
    pub overhangs: bool,
}

impl Pooling {
    /// Reads the arguments of any pooling operator with windows, for an input of this shape.
    pub fn new<T>(c: &Call<'_, T>, input: &[Dim]) -> Result<Pooling, OpError> {
        let spatial = match c.op.schema.name.as_bytes().iter().find(|b| b.is_ascii_digit()) {
            Some(b) => usize::from(b - b'0'),
            None => 2,
        };
        if input.len() != spatial + 1 && input.len() != spatial + 2 {
            return Err(OpError::Invalid(format!("`{}` cannot take {} dimensions", c.op.name, input.len())));
        }
        let list = |name: &str| shape::spread(&c.ints(name)?, spatial, name);
        let kernel = list("kernel_size")?;
        let stride = if c.ints("stride")?.is_empty() { kernel.clone() } else { list("stride")? };
        let padding = list("padding")?;
        let dilation = if c.op.schema.position("dilation").is_some() { list("dilation")? } else { vec![1; spatial] };
        if kernel.iter().chain(&stride).chain(&dilation).any(|&i| i < 1) || padding.iter().any(|&p| p < 0) {
            return Err(OpError::Invalid(format!("the windows of `{}` need positive sizes and steps", c.op.name)));
        }
        let ceil = c.bool("ceil_mode")?;
        let (mut counts, mut pad_high) = (Vec::new(), Vec::new());
        for d in 0..spatial {
            let size = &input[input.len() - spatial + d];
            let (k, s, p) = (dilation[d] * (kernel[d] - 1) + 1, stride[d], padding[d]);
            let count = count(c.scope, size, k, s, p, ceil);
            if count.as_int().is_some_and(|n| n < 1) && !size.is_zero() {
                return Err(OpError::Invalid(format!("a window of {k} does not fit a size of {size}")));
            }
            // (count - 1)·s + k elements are covered, of which p lie before and `size` inside.
            let high = &(&(&count - &Dim::int(1)) * &Dim::int(s)) + &(Dim::int(k - p) - size);
            let exact = (&high - &Dim::int(p)).as_int() == Some(0);
            pad_high.push(match high.as_int() {
                Some(h) => Dim::int(h.max(0)),
                _ if exact => high,
                _ => Dim::max_of([high, Dim::int(0)]),
            });
            counts.push(count);
        }
        let overhangs = ceil && pad_high.iter().zip(&padding).any(|(h, &p)| h.as_int().is_none_or(|h| h > p));
        Ok(Pooling { kernel, stride, padding, dilation, counts, pad_high, overhangs })
    }

    /// Number of pooled dimensions.
    pub fn spatial(&self) -> usize {
        self.kernel.len()
    }
}

/// Number of windows as PyTorch counts them (`pooling_output_shape`): in ceil mode a last window must begin inside
/// the input or the padding before it.
fn count(scope: &Scope, size: &Dim, k: i64, s: i64, p: i64, ceil: bool) -> Dim {
    let step = Dim::int(s);
    let extra = if ceil { s - 1 } else { 0 };
    let count = &(size + &Dim::int(2 * p - k + extra)).floor_div(&step) + &Dim::int(1);
    if !ceil {
        return count;
    }
    let last = &(&count - &Dim::int(1)) * &step;
    let limit = size + &Dim::int(p);
    match scope.prove_le(&limit, &last) {
        Proof::Yes => &count - &Dim::int(1),
        Proof::No => count,
        Proof::Unknown => Dim::where_(Pred::le(&limit, &last), &count - &Dim::int(1), count),
    }
}

fn infer_one(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let pool = Pooling::new(c, &x.shape)?;
    let lead = &x.shape[..x.rank() - pool.spatial()];
    Ok(vec![Fact::new(x.dtype, [lead, &pool.counts].concat())])
}

fn infer_two(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut facts = infer_one(c)?;
    facts.push(facts[0].with_dtype(DType::I64));
    Ok(facts)
}

/// For each window, by position in the spatial index space of the result: the positions inside the plane it covers,
/// and how many elements it has with padding that the caller asked for.
fn windows(pool: &Pooling, plane: &[usize]) -> Result<Vec<(Vec<usize>, usize)>, OpError> {
    let n = pool.spatial();
    let counts = shape::known(&pool.counts)?;
    let kernel: Vec<usize> = pool.kernel.iter().map(|&k| k as usize).collect();
    let (mut at, mut tap) = (vec![0; n], vec![0; n]);
    let mut out = Vec::new();
    for w in 0..counts.iter().product() {
        unravel(w, &counts, &mut at);
        let start = |d: usize| at[d] as i64 * pool.stride[d] - pool.padding[d];
        let padded = |d: usize| (start(d) + pool.kernel[d]).min(plane[d] as i64 + pool.padding[d]) - start(d);
        let all: i64 = (0..n).map(padded).product();
        let mut inside = Vec::new();
        for t in 0..kernel.iter().product() {
            unravel(t, &kernel, &mut tap);
            let position = (0..n).try_fold(0, |flat, d| {
                let i = start(d) + tap[d] as i64 * pool.dilation[d];
                (0..plane[d] as i64).contains(&i).then(|| flat * plane[d] + i as usize)
            });
            inside.extend(position);
        }
        out.push((inside, all.max(0) as usize));
    }
    Ok(out)
}

fn average(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let pool = Pooling::new(c, &x.fact().shape)?;
    let plane = &x.shape()[x.rank() - pool.spatial()..];
    let windows = windows(&pool, plane)?;
    let include = c.bool("count_include_pad")?;
    let given = if pool.spatial() > 1 { c.opt_int("divisor_override")? } else { None };
    let size: usize = plane.iter().product();
    Ok(vec![Tensor::from_fn(dtype, &shape, |i| {
        let (inside, all) = &windows[i % windows.len()];
        let base = i / windows.len() * size;
        let sum: f64 = inside.iter().map(|p| x.f64(base + p)).sum();
        let by = given.map_or(if include { *all } else { inside.len() } as f64, |d| d as f64);
        Scalar::Float(if dtype.is_float() { sum / by } else { (sum / by).trunc() })
    })])
}

/// Values and flat positions of the largest elements of windows.
fn largest(x: &Tensor, dtype: DType, out: &[usize], size: usize, windows: &[Vec<usize>]) -> Vec<Tensor> {
    let mut winners = Vec::new();
    for i in 0..out.iter().product() {
        let base = i / windows.len() * size;
        let mut best: Option<usize> = None;
        for &p in &windows[i % windows.len()] {
            let value = x.f64(base + p);
            // The first of equal elements wins; NaN wins over all, the last NaN of a window over the others.
            if best.is_none_or(|b| value > x.f64(base + b) || value.is_nan()) {
                best = Some(p);
            }
        }
        winners.push(best.map(|p| (base + p, p as i64)));
    }
    let lowest = if dtype.is_float() { Scalar::Float(f64::NEG_INFINITY) } else { Scalar::Int(i64::MIN) };
    let values = Tensor::from_fn(dtype, out, |i| winners[i].map_or(lowest, |(at, _)| x.get(at)));
    let indices: Vec<i64> = winners.iter().map(|w| w.map_or(0, |(_, p)| p)).collect();
    vec![values, Tensor::from_i64(DType::I64, out, &indices)]
}

fn maximum(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let pool = Pooling::new(c, &x.fact().shape)?;
    let plane = &x.shape()[x.rank() - pool.spatial()..];
    let windows: Vec<Vec<usize>> = windows(&pool, plane)?.into_iter().map(|(inside, _)| inside).collect();
    Ok(largest(x, dtype, &shape, plane.iter().product(), &windows))
}

fn adaptive_one(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let size = c.dims("output_size")?;
    if size.len() > x.rank() {
        return Err(OpError::Invalid(format!("`{}` cannot take {x}", c.op.name)));
    }
    Ok(vec![Fact::new(x.dtype, [&x.shape[..x.rank() - size.len()], &size].concat())])
}

fn adaptive_two(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mut facts = adaptive_one(c)?;
    facts.push(facts[0].with_dtype(DType::I64));
    Ok(facts)
}

/// The elements of input position range `start..end` that output position `i` of `out` covers, of `n` elements.
pub fn adaptive_window(i: usize, n: usize, out: usize) -> std::ops::Range<usize> {
    i * n / out..((i + 1) * n).div_ceil(out)
}

fn adaptive_windows(plane: &[usize], out: &[usize]) -> Vec<Vec<usize>> {
    let mut at = vec![0; out.len()];
    let mut windows = Vec::new();
    for w in 0..out.iter().product() {
        unravel(w, out, &mut at);
        let mut inside = vec![0];
        for d in 0..out.len() {
            let range = adaptive_window(at[d], plane[d], out[d]);
            inside = inside.iter().flat_map(|flat| range.clone().map(move |i| flat * plane[d] + i)).collect();
        }
        windows.push(inside);
    }
    windows
}

fn adaptive_average(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let size = shape::known(&c.dims("output_size")?)?;
    let plane = &x.shape()[x.rank() - size.len()..];
    let windows = adaptive_windows(plane, &size);
    let whole: usize = plane.iter().product();
    Ok(vec![Tensor::from_fn(dtype, &shape, |i| {
        let inside = &windows[i % windows.len()];
        let base = i / windows.len() * whole;
        Scalar::Float(inside.iter().map(|p| x.f64(base + p)).sum::<f64>() / inside.len() as f64)
    })])
}

fn adaptive_maximum(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let size = shape::known(&c.dims("output_size")?)?;
    let plane = &x.shape()[x.rank() - size.len()..];
    Ok(largest(x, dtype, &shape, plane.iter().product(), &adaptive_windows(plane, &size)))
}

fn unpool_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    adaptive_one(c)
}

/// Every element at the flat position its index says, zero elsewhere.
fn unpool(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (x, indices) = (c.tensor("self")?, c.tensor("indices")?);
    let (dtype, shape) = host::result_of(c)?;
    let spatial = c.dims("output_size")?.len();
    let size: usize = shape[shape.len() - spatial..].iter().product();
    let own: usize = x.shape()[x.rank() - spatial..].iter().product();
    let mut out = vec![0.0; shape.iter().product()];
    for i in 0..x.numel() {
        let at = indices.i64(i);
        if at < 0 || at as usize >= size {
            return Err(OpError::Runtime(format!("max_unpool: index {at} is out of range for {size} elements")));
        }
        out[i / own.max(1) * size + at as usize] = x.f64(i);
    }
    Ok(vec![Tensor::from_f64(dtype, &shape, &out)])
}
