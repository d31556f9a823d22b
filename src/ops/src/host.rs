//! Plain operations on host tensors that the reference evaluations are written with.

use crate::tensor::{ravel, strides_of, unravel};
use crate::{Call, OpError, Scalar, Tensor};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// The fact of a host tensor.
pub fn fact_of(x: &Tensor) -> Fact {
    Fact::new(x.dtype(), x.shape().iter().map(|&n| Dim::int(n as i64)).collect::<Vec<_>>())
}

/// The same arguments with facts for tensors.
pub fn fact_args(args: &[Arg<Tensor>]) -> Vec<Arg<Fact>> {
    args.iter().map(|a| a.map(fact_of)).collect()
}

/// What inference says of this call.
pub fn inferred(call: &Call<'_, Tensor>) -> Result<Vec<Fact>, OpError> {
    let args = fact_args(call.args);
    (call.op.def.infer)(&Call { op: call.op, args: &args, scope: call.scope })
}

/// Element type and sizes of the first output, by inference.
pub fn result_of(call: &Call<'_, Tensor>) -> Result<(DType, Vec<usize>), OpError> {
    let facts = inferred(call)?;
    let fact = facts.first().ok_or_else(|| OpError::invalid("the operator has no output"))?;
    Ok((fact.dtype, sizes(&fact.shape)?))
}

/// Sizes as machine integers: all must be known and not negative.
pub fn sizes(dims: &[Dim]) -> Result<Vec<usize>, OpError> {
    let known = |d: &Dim| d.as_int().and_then(|i| usize::try_from(i).ok());
    dims.iter()
        .map(|d| known(d).ok_or_else(|| OpError::Invalid(format!("the size {d} is not a known non-negative integer"))))
        .collect()
}

/// Known integers, of either sign.
pub fn ints(dims: &[Dim]) -> Result<Vec<i64>, OpError> {
    dims.iter().map(|d| d.as_int().ok_or_else(|| OpError::Invalid(format!("{d} is not known")))).collect()
}

/// Dimensions reordered: dimension `i` of the result is `dims[i]` of `x`.
pub fn permute(x: &Tensor, dims: &[usize]) -> Tensor {
    let shape: Vec<usize> = dims.iter().map(|&d| x.shape().get(d).copied().unwrap_or(1)).collect();
    let strides = x.strides();
    let picked: Vec<usize> = dims.iter().map(|&d| strides.get(d).copied().unwrap_or(0)).collect();
    x.gather(&shape, |i| dot(i, &picked))
}

/// Broadcast from the right to `shape`.
pub fn expand(x: &Tensor, shape: &[usize]) -> Tensor {
    if x.shape() == shape {
        return x.clone();
    }
    let strides = broadcast_strides(x.shape(), shape.len());
    x.gather(shape, |i| dot(i, &strides))
}

/// Strides by which a broadcast operand is read in an index space of `rank` dimensions: 0 where it has size 1 or no
/// dimension.
pub fn broadcast_strides(shape: &[usize], rank: usize) -> Vec<usize> {
    let own = strides_of(shape);
    let missing = rank.saturating_sub(shape.len());
    let read = own.iter().zip(shape).map(|(&s, &n)| if n == 1 { 0 } else { s });
    std::iter::repeat_n(0, missing).chain(read).collect()
}

/// Elements `start[d] + i·step[d]` for `i < size[d]`, along every dimension.
pub fn slice(x: &Tensor, start: &[i64], size: &[usize], step: &[i64]) -> Result<Tensor, OpError> {
    for (d, &n) in x.shape().iter().enumerate() {
        let last = start[d] + step[d] * (size[d] as i64 - 1);
        if size[d] > 0 && (start[d].min(last) < 0 || start[d].max(last) >= n as i64) {
            return Err(OpError::Invalid(format!("a slice reaches outside dimension {d} of size {n}")));
        }
    }
    let strides = x.strides();
    Ok(x.gather(size, |i| {
        i.iter().enumerate().map(|(d, &i)| (start[d] + step[d] * i as i64) as usize * strides[d]).sum()
    }))
}

/// Operands one after another along `dim`; sizes and dtypes have been checked.
pub fn cat(xs: &[Tensor], dim: usize) -> Result<Tensor, OpError> {
    let first = xs.first().ok_or_else(|| OpError::invalid("cat needs at least one tensor"))?;
    let mut shape = first.shape().to_vec();
    if dim >= shape.len() || xs.iter().any(|x| x.rank() != shape.len()) {
        return Err(OpError::invalid("cat needs tensors of one rank, which has that dimension"));
    }
    shape[dim] = xs.iter().map(|x| x.shape()[dim]).sum();
    // Which operand, and where in it, each position along `dim` is.
    let place: Vec<(usize, usize)> =
        xs.iter().enumerate().flat_map(|(k, x)| (0..x.shape()[dim]).map(move |i| (k, i))).collect();
    let mut index = vec![0; shape.len()];
    let out = shape.clone();
    Ok(Tensor::from_fn(first.dtype(), &shape, |i| {
        unravel(i, &out, &mut index);
        let (k, at) = place[index[dim]];
        index[dim] = at;
        xs[k].get(ravel(&index, xs[k].shape()))
    }))
}

/// A constant around.
pub fn pad(x: &Tensor, low: &[usize], high: &[usize], value: Scalar) -> Tensor {
    let shape: Vec<usize> = x.shape().iter().zip(low.iter().zip(high)).map(|(n, (l, h))| l + n + h).collect();
    let mut index = vec![0; shape.len()];
    let own = x.shape();
    Tensor::from_fn(x.dtype(), &shape, |i| {
        unravel(i, &shape, &mut index);
        let mut at = 0;
        for d in 0..own.len() {
            if index[d] < low[d] || index[d] >= low[d] + own[d] {
                return value;
            }
            at = at * own[d] + index[d] - low[d];
        }
        x.get(at)
    })
}

/// `x` with the elements `start[d] + i·step[d]` replaced by those of `src`.
pub fn update_slice(x: &Tensor, src: &Tensor, start: &[i64], step: &[i64]) -> Result<Tensor, OpError> {
    let inside = |d: usize| {
        let last = start[d] + step[d] * (src.shape()[d] as i64 - 1);
        start[d].min(last) >= 0 && start[d].max(last) < x.shape()[d] as i64
    };
    if src.rank() != x.rank() || src.numel() > 0 && !(0..x.rank()).all(inside) {
        return Err(OpError::invalid("the region to replace does not fit"));
    }
    let strides = x.strides();
    let mut taken: Vec<Option<usize>> = vec![None; x.numel()];
    let mut index = vec![0; x.rank()];
    for i in 0..src.numel() {
        unravel(i, src.shape(), &mut index);
        let at = |d: usize| (start[d] + step[d] * index[d] as i64) as usize * strides[d];
        taken[(0..x.rank()).map(at).sum::<usize>()] = Some(i);
    }
    Ok(Tensor::from_fn(x.dtype(), x.shape(), |i| taken[i].map_or_else(|| x.get(i), |from| src.get(from))))
}

/// A binary function of broadcast operands, computed on floats; the result has the dtype and shape given.
pub fn zip(dtype: DType, shape: &[usize], a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let (sa, sb) = (broadcast_strides(a.shape(), shape.len()), broadcast_strides(b.shape(), shape.len()));
    let mut index = vec![0; shape.len()];
    Tensor::from_fn(dtype, shape, |i| {
        unravel(i, shape, &mut index);
        Scalar::Float(f(a.f64(dot(&index, &sa)), b.f64(dot(&index, &sb))))
    })
}

/// An elementwise function of floats.
pub fn map(x: &Tensor, f: impl Fn(f64) -> f64) -> Tensor {
    Tensor::from_fn(x.dtype(), x.shape(), |i| Scalar::Float(f(x.f64(i))))
}

/// `x` with the lines along `dim` moved to the end and flattened: number of lines, length of a line, and where the
/// element `k` of line `l` is.
pub struct Lines {
    /// Number of lines.
    pub count: usize,
    /// Elements of a line.
    pub len: usize,
    inner: usize,
}

impl Lines {
    /// The lines of a tensor of this shape along `dim`; a 0-d tensor is one line of one element.
    pub fn new(shape: &[usize], dim: usize) -> Lines {
        let len = shape.get(dim).copied().unwrap_or(1);
        let inner = shape.iter().skip(dim + 1).product();
        let outer: usize = shape.iter().take(dim).product();
        Lines { count: outer * inner, len, inner }
    }

    /// Row-major position of element `k` of line `l`, in a tensor whose size along the dimension is `len`.
    pub fn at_in(&self, len: usize, l: usize, k: usize) -> usize {
        let inner = self.inner.max(1);
        (l / inner * len + k) * inner + l % inner
    }

    /// Row-major position of element `k` of line `l`.
    pub fn at(&self, l: usize, k: usize) -> usize {
        self.at_in(self.len, l, k)
    }
}

/// Replaces every line along `dim` by a line of as many elements: `f` gets the elements and overwrites them.
pub fn map_lines(x: &Tensor, dtype: DType, dim: usize, mut f: impl FnMut(&mut [f64])) -> Tensor {
    let lines = Lines::new(x.shape(), dim);
    let mut out = vec![0.0; x.numel()];
    let mut line = vec![0.0; lines.len];
    for l in 0..lines.count {
        for (k, v) in line.iter_mut().enumerate() {
            *v = x.f64(lines.at(l, k));
        }
        f(&mut line);
        for (k, v) in line.iter().enumerate() {
            out[lines.at(l, k)] = *v;
        }
    }
    Tensor::from_f64(dtype, x.shape(), &out)
}

/// Matrix product `[*, M, K]·[*, K, N]` with broadcast batch dimensions, accumulated in f64 (integers wrap).
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    let (ra, rb) = (a.rank(), b.rank());
    if ra < 2 || rb < 2 || a.shape()[ra - 1] != b.shape()[rb - 2] {
        return Err(OpError::Invalid(format!("{:?} and {:?} do not multiply", a.shape(), b.shape())));
    }
    let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
    let (ba, bb) = (&a.shape()[..ra - 2], &b.shape()[..rb - 2]);
    let batch = broadcast(ba, bb)?;
    let (sa, sb) = (broadcast_strides(ba, batch.len()), broadcast_strides(bb, batch.len()));
    let count: usize = batch.iter().product();
    let shape: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
    let mut index = vec![0; batch.len()];
    if a.dtype().is_complex() || !(a.dtype().is_float()) {
        return Ok(matmul_generic(a, b, (m, k, n), &batch, (&sa, &sb)));
    }
    let (va, vb) = (a.to_f64s(), b.to_f64s());
    let mut out = vec![0.0; count * m * n];
    for t in 0..count {
        unravel(t, &batch, &mut index);
        let (xa, xb) = (dot(&index, &sa) * m * k, dot(&index, &sb) * k * n);
        for i in 0..m {
            let row = &mut out[(t * m + i) * n..(t * m + i + 1) * n];
            for p in 0..k {
                let x = va[xa + i * k + p];
                for (o, y) in row.iter_mut().zip(&vb[xb + p * n..xb + (p + 1) * n]) {
                    *o += x * y;
                }
            }
        }
    }
    Ok(Tensor::from_f64(a.dtype(), &shape, &out))
}

fn matmul_generic(
    a: &Tensor,
    b: &Tensor,
    (m, k, n): (usize, usize, usize),
    batch: &[usize],
    (sa, sb): (&[usize], &[usize]),
) -> Tensor {
    let shape: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
    let mut index = vec![0; shape.len()];
    Tensor::from_fn(a.dtype(), &shape, |at| {
        unravel(at, &shape, &mut index);
        let (i, j) = (index[batch.len()], index[batch.len() + 1]);
        let (xa, xb) = (dot(&index[..batch.len()], sa) * m * k, dot(&index[..batch.len()], sb) * k * n);
        let pairs = (0..k).map(|p| (a.get(xa + i * k + p), b.get(xb + p * n + j)));
        match a.dtype() {
            d if d.is_complex() => Scalar::Complex(pairs.map(|(x, y)| x.to_complex() * y.to_complex()).sum()),
            DType::Bool => Scalar::Bool(pairs.into_iter().any(|(x, y)| x.to_bool() && y.to_bool())),
            _ => Scalar::Int(pairs.fold(0i64, |s, (x, y)| s.wrapping_add(x.to_i64().wrapping_mul(y.to_i64())))),
        }
    })
}

/// NumPy broadcasting of known shapes.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, OpError> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(OpError::Invalid(format!("{a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// `x[:, 0]`-like: one index dropped from `dim`.
pub fn select(x: &Tensor, dim: usize, index: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    if dim < shape.len() {
        shape.remove(dim);
    }
    let lines = Lines::new(x.shape(), dim);
    Tensor::from_fn(x.dtype(), &shape, |l| x.get(lines.at(l, index)))
}

/// Sum of products of indices and strides.
pub fn dot(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Evaluates an operator of the table.
pub fn call(op: &str, args: Vec<Arg<Tensor>>) -> Result<Vec<Tensor>, OpError> {
    let op = crate::lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
    (op.def.eval)(&Call { op, args: &args, scope: &Scope::default() })
}

/// Evaluates an operator of the table that has one result.
pub fn call1(op: &str, args: Vec<Arg<Tensor>>) -> Result<Tensor, OpError> {
    call(op, args)?.pop().ok_or_else(|| OpError::Invalid(format!("`{op}` has no result")))
}

/// A broadcast binary function in f64.
pub fn binary(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Result<Tensor, OpError> {
    let shape = broadcast(a.shape(), b.shape())?;
    Ok(zip(DType::F64, &shape, a, b, f))
}

/// Sum over dimensions in f64; they stay with size 1 if `keep`.
pub fn sum(x: &Tensor, dims: &[usize], keep: bool) -> Tensor {
    fold(x, dims, keep, 0.0, |a, b| a + b)
}

/// Mean over dimensions in f64.
pub fn mean(x: &Tensor, dims: &[usize], keep: bool) -> Tensor {
    let count: usize = dims.iter().map(|&d| x.shape()[d]).product();
    map(&sum(x, dims, keep), |v| v / count as f64)
}

/// A left fold over dimensions in f64.
pub fn fold(x: &Tensor, dims: &[usize], keep: bool, init: f64, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let kept: Vec<usize> = x.shape().iter().enumerate().map(|(d, &n)| if dims.contains(&d) { 1 } else { n }).collect();
    let strides = broadcast_strides(&kept, x.rank());
    let mut out = vec![init; kept.iter().product()];
    let mut index = vec![0; x.rank()];
    for i in 0..x.numel() {
        unravel(i, x.shape(), &mut index);
        let at = dot(&index, &strides);
        out[at] = f(out[at], x.f64(i));
    }
    let shape: Vec<usize> = if keep {
        kept
    } else {
        x.shape().iter().enumerate().filter(|(d, _)| !dims.contains(d)).map(|(_, &n)| n).collect()
    };
    Tensor::from_f64(DType::F64, &shape, &out)
}

/// The result of `eval`, which computes in f64 (or exactly), rounded to the inferred dtype.
pub fn round_result(
    call: &Call<'_, Tensor>,
    eval: impl Fn(&Call<'_, Tensor>) -> Result<Tensor, OpError>,
) -> Result<Vec<Tensor>, OpError> {
    let (dtype, shape) = result_of(call)?;
    let out = eval(call)?.cast(dtype);
    if out.shape() != shape {
        return Err(OpError::Invalid(format!("`{}` gave {:?} where {shape:?} is inferred", call.op.name, out.shape())));
    }
    Ok(vec![out])
}

/// Floats as f64; other tensors as they are.
pub fn widened(x: &Tensor) -> Tensor {
    if x.dtype().is_float() { x.cast(DType::F64) } else { x.clone() }
}

/// Declares an operator with one result whose evaluation computes in f64: `rounded!(schema, infer, eval)`.
macro_rules! rounded {
    ($schema:expr, $infer:expr, $eval:expr $(,)?) => {
        OpDef::new($schema, $infer, |c| $crate::host::round_result(c, $eval))
    };
}
pub(crate) use rounded;
