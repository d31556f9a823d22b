//! Matrix product.

use crate::{Call, OpDef, OpError, Strided, Tensor, shape};
use num_complex::Complex64;
use pt2c_ir::Fact;
use std::num::Wrapping;
use std::ops::{AddAssign, Mul};

/// The family.
pub const OPS: &[OpDef] = &[OpDef::new("matmul(Tensor a, Tensor b) -> Tensor", infer_matmul, |c| {
    Ok(vec![matmul(c.tensor("a")?, c.tensor("b")?)?])
})];

fn infer_matmul(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (a, b) = (c.tensor("a")?, c.tensor("b")?);
    let wrong = || OpError::Invalid(format!("{a} and {b} are no matrices to multiply"));
    let ([batch_a @ .., m, k], [batch_b @ .., l, n]) = (a.shape.as_slice(), b.shape.as_slice()) else {
        return Err(wrong());
    };
    if a.dtype != b.dtype || c.scope.prove_eq(k, l).is_no() {
        return Err(wrong());
    }
    let mut shape = shape::broadcast(c.scope, batch_a, batch_b)?;
    shape.extend([m.clone(), n.clone()]);
    Ok(vec![Fact::new(a.dtype, shape)])
}

/// `[*, m, k]` times `[*, k, n]` with broadcast batch dimensions; accumulates in f64 and rounds once.
pub(crate) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
    let wrong = || OpError::Invalid(format!("shapes {:?} and {:?} do not multiply", a.shape(), b.shape()));
    let ([batch_a @ .., m, k], [batch_b @ .., l, n]) = (a.shape(), b.shape()) else {
        return Err(wrong());
    };
    let (m, k, n) = (*m, *k, *n);
    if k != *l {
        return Err(wrong());
    }
    let batch = shape::broadcast_known(&[batch_a, batch_b])?;
    // Which matrix of an operand belongs to each matrix of the result.
    let matrices = |own: &[usize]| -> Vec<usize> {
        let (mut strides, mut stride) = (vec![0isize; batch.len()], 1);
        for (to, &size) in strides.iter_mut().rev().zip(own.iter().rev()) {
            *to = if size == 1 { 0 } else { stride };
            stride *= size as isize;
        }
        Strided::new(&batch, &strides, 0).collect()
    };
    let pairs: Vec<(usize, usize)> = matrices(batch_a).into_iter().zip(matrices(batch_b)).collect();
    let mut shape = batch.clone();
    shape.extend([m, n]);
    let dtype = a.dtype();
    Ok(if dtype.is_float() {
        Tensor::floats(dtype, &shape, multiply(&a.as_f64s(), &b.as_f64s(), &pairs, m, k, n))
    } else if dtype.is_complex() {
        let out: Vec<Complex64> = multiply(&a.as_complexes(), &b.as_complexes(), &pairs, m, k, n);
        Tensor::complexes(dtype, &shape, out)
    } else {
        let wrapping = |t: &Tensor| t.as_i64s().iter().map(|&i| Wrapping(i)).collect::<Vec<_>>();
        let out = multiply(&wrapping(a), &wrapping(b), &pairs, m, k, n);
        Tensor::from_i64(dtype, &shape, &out.into_iter().map(|w| w.0).collect::<Vec<_>>())
    })
}

fn multiply<T: Copy + Default + Mul<Output = T> + AddAssign>(
    a: &[T],
    b: &[T],
    pairs: &[(usize, usize)],
    m: usize,
    k: usize,
    n: usize,
) -> Vec<T> {
    let mut out = vec![T::default(); pairs.len() * m * n];
    if m * n * k == 0 {
        return out;
    }
    for (&(of_a, of_b), out) in pairs.iter().zip(out.chunks_exact_mut(m * n)) {
        let a = a.get(of_a * m * k..(of_a + 1) * m * k).unwrap_or(&[]);
        let b = b.get(of_b * k * n..(of_b + 1) * k * n).unwrap_or(&[]);
        for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
            for (&x, b) in row.iter().zip(b.chunks_exact(n)) {
                axpy(x, b, out);
            }
        }
    }
    out
}

/// `out += x · v`.
pub(super) fn axpy<T: Copy + Mul<Output = T> + AddAssign>(x: T, v: &[T], out: &mut [T]) {
    for (o, &v) in out.iter_mut().zip(v) {
        *o += x * v;
    }
}
