//! Plain operations on host tensors that the reference evaluations are written with.

use crate::tensor::{strides_of, unravel};
use crate::{Call, OpError, Scalar, Tensor, shape};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// The same arguments with facts for tensors.
pub fn fact_args(args: &[Arg<Tensor>]) -> Vec<Arg<Fact>> {
    args.iter().map(|a| a.map(Tensor::fact)).collect()
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
    Ok((fact.dtype, shape::known(&fact.shape)?))
}

/// Known integers, of either sign.
pub fn ints(dims: &[Dim]) -> Result<Vec<i64>, OpError> {
    dims.iter().map(|d| d.as_int().ok_or_else(|| OpError::Invalid(format!("{d} is not known")))).collect()
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

/// Matrix product `[*, M, K]·[*, K, N]` with broadcast batch dimensions.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    call1("prim.matmul", vec![Arg::Tensor(a.clone()), Arg::Tensor(b.clone())])
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
    let shape = shape::broadcast_known(&[a.shape(), b.shape()])?;
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
    let out = eval(call)?;
    if dtype.is_complex() && !out.dtype().is_complex() {
        return Err(OpError::Unsupported(format!("`{}` of complex numbers", call.op.name)));
    }
    let out = out.cast(dtype);
    if out.shape() != shape {
        return Err(OpError::Invalid(format!("`{}` gave {:?} where {shape:?} is inferred", call.op.name, out.shape())));
    }
    Ok(vec![out])
}

/// Refuses complex operands, for evaluations over real numbers.
pub fn only_real(call: &Call<'_, Tensor>, names: &[&str]) -> Result<(), OpError> {
    for name in names {
        if call.tensor(name)?.dtype().is_complex() {
            return Err(OpError::Unsupported(format!("`{}` of complex numbers", call.op.name)));
        }
    }
    Ok(())
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
