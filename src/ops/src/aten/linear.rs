//! Matrix products and what is made of them. Evaluated in f64 and rounded once.

use crate::host::{self, binary, rounded, widened};
use crate::{Call, OpDef, OpError, Scalar, Tensor, shape, wrap_dim};
use num_complex::Complex64;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_int_mm(Tensor self, Tensor mat2) -> Tensor", int_mm_fact, int_mm),
    rounded!("addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addend_fact, addbmm),
    rounded!("addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", |c| addmm_fact(c, "mat1", "mat2"), |c| addmm(c, "mat1", "mat2")),
    rounded!("addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor", |c| addmm_fact(c, "mat", "vec"), |c| addmm(c, "mat", "vec")),
    rounded!("addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addend_fact, addr),
    rounded!("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", |c| addmm_fact(c, "batch1", "batch2"), |c| addmm(c, "batch1", "batch2")),
    rounded!("bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor", bilinear_fact, bilinear),
    rounded!("bmm(Tensor self, Tensor mat2) -> Tensor", |c| product_fact(c, "self", "mat2"), |c| product(c, "self", "mat2")),
    rounded!("chain_matmul(Tensor[] matrices) -> Tensor", |c| chain_fact(c, "matrices"), |c| chain(c, "matrices")),
    rounded!("cross(Tensor self, Tensor other, int? dim=None) -> Tensor", cross_fact, cross),
    rounded!("dot(Tensor self, Tensor tensor) -> Tensor", |c| product_fact(c, "self", "tensor"), |c| product(c, "self", "tensor")),
    rounded!("ger(Tensor self, Tensor vec2) -> Tensor", outer_fact, |c| outer(c.tensor("self")?, c.tensor("vec2")?)),
    rounded!("inner(Tensor self, Tensor other) -> Tensor", inner_fact, inner),
    rounded!("kron(Tensor self, Tensor other) -> Tensor", kron_fact, kron),
    rounded!("linalg_cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor", cross_fact, cross),
    rounded!("linalg_matmul(Tensor self, Tensor other) -> Tensor", |c| product_fact(c, "self", "other"), |c| product(c, "self", "other")),
    rounded!("linalg_matrix_power(Tensor self, int n) -> Tensor", power_fact, power),
    rounded!("linalg_multi_dot(Tensor[] tensors) -> Tensor", |c| chain_fact(c, "tensors"), |c| chain(c, "tensors")),
    rounded!("linalg_vecdot(Tensor x, Tensor y, *, int dim=-1) -> Tensor", vecdot_fact, vecdot),
    rounded!("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor", linear_fact, linear),
    rounded!("matmul(Tensor self, Tensor other) -> Tensor", |c| product_fact(c, "self", "other"), |c| product(c, "self", "other")),
    rounded!("matrix_power(Tensor self, int n) -> Tensor", power_fact, power),
    rounded!("mm(Tensor self, Tensor mat2) -> Tensor", |c| product_fact(c, "self", "mat2"), |c| product(c, "self", "mat2")),
    rounded!("mv(Tensor self, Tensor vec) -> Tensor", |c| product_fact(c, "self", "vec"), |c| product(c, "self", "vec")),
    rounded!("outer(Tensor self, Tensor vec2) -> Tensor", outer_fact, |c| outer(c.tensor("self")?, c.tensor("vec2")?)),
    rounded!("tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor", tensordot_fact, tensordot),
    rounded!("vdot(Tensor self, Tensor other) -> Tensor", |c| product_fact(c, "self", "other"), vdot),
];

type Facts<'a> = Call<'a, Fact>;
type Host<'a> = Call<'a, Tensor>;
type Inferred = Result<Vec<Fact>, OpError>;
type Evaluated = Result<Tensor, OpError>;

/// The shape of `torch.matmul`: vectors count as a row on the left, a column on the right, and that dimension goes.
pub(super) fn matmul_shape(scope: &Scope, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, OpError> {
    let none = || OpError::invalid("a matrix product needs operands of at least one dimension");
    let (inner_a, inner_b) =
        (a.last().ok_or_else(none)?, b.iter().rev().nth(usize::from(b.len() > 1)).ok_or_else(none)?);
    if let (Some(x), Some(y)) = (inner_a.as_int(), inner_b.as_int())
        && x != y
    {
        return Err(OpError::Invalid(format!("the inner sizes {x} and {y} of a matrix product differ")));
    }
    let batch = |s: &[Dim]| s[..s.len().saturating_sub(2)].to_vec();
    let mut shape = shape::broadcast(scope, &batch(a), &batch(b))?;
    if a.len() > 1 {
        shape.push(a[a.len() - 2].clone());
    }
    if b.len() > 1 {
        shape.push(b[b.len() - 1].clone());
    }
    Ok(shape)
}

fn product_fact(c: &Facts<'_>, a: &str, b: &str) -> Inferred {
    let (a, b) = (c.tensor(a)?, c.tensor(b)?);
    if a.dtype != b.dtype {
        return Err(OpError::Invalid(format!("{a} and {b} have different element types")));
    }
    Ok(vec![Fact::new(a.dtype, matmul_shape(c.scope, &a.shape, &b.shape)?)])
}

fn product(c: &Host<'_>, a: &str, b: &str) -> Evaluated {
    multiply(c.tensor(a)?, c.tensor(b)?)
}

/// `torch.matmul` in f64 (integers and complex numbers in their own type).
pub(super) fn multiply(a: &Tensor, b: &Tensor) -> Evaluated {
    let (mut x, mut y) = (widened(a), widened(b));
    if a.rank() == 1 {
        x = x.reshape(&[1, a.shape()[0]])?;
    }
    if b.rank() == 1 {
        y = y.reshape(&[b.shape()[0], 1])?;
    }
    let out = host::matmul(&x, &y)?;
    let mut shape = out.shape().to_vec();
    if b.rank() == 1 {
        shape.pop();
    }
    if a.rank() == 1 {
        shape.remove(shape.len() - 1 - usize::from(b.rank() > 1));
    }
    out.reshape(&shape)
}

fn int_mm_fact(c: &Facts<'_>) -> Inferred {
    Ok(product_fact(c, "self", "mat2")?.into_iter().map(|f| f.with_dtype(DType::I32)).collect())
}

fn int_mm(c: &Host<'_>) -> Result<Vec<Tensor>, OpError> {
    Ok(vec![host::matmul(&c.tensor("self")?.cast(DType::I32), &c.tensor("mat2")?.cast(DType::I32))?])
}

/// The result has the shape of the product, which `self` broadcasts to.
fn addmm_fact(c: &Facts<'_>, a: &str, b: &str) -> Inferred {
    product_fact(c, a, b)
}

fn addend_fact(c: &Facts<'_>) -> Inferred {
    let x = c.tensor("self")?;
    let product = match c.op.schema.position("batch1") {
        Some(_) => matmul_shape(c.scope, &c.tensor("batch1")?.shape, &c.tensor("batch2")?.shape)?[1..].to_vec(),
        None => [c.tensor("vec1")?.shape.clone(), c.tensor("vec2")?.shape.clone()].concat(),
    };
    Ok(vec![Fact::new(x.dtype, product)])
}

/// `beta·self + alpha·product`; a `beta` of 0 ignores even NaN in `self`.
fn add(c: &Host<'_>, product: &Tensor) -> Evaluated {
    if product.dtype().is_complex() {
        return add_complex(c, product);
    }
    // For integers the factors are integers too.
    let factor = |x: f64| if product.dtype().is_int() { x.trunc() } else { x };
    let (alpha, beta) = (factor(c.float("alpha")?), factor(c.float("beta")?));
    if beta == 0.0 {
        return Ok(host::map(product, |p| alpha * p));
    }
    let shape = shape::broadcast_known(&[c.tensor("self")?.shape(), product.shape()])?;
    Ok(host::zip(DType::F64, &shape, c.tensor("self")?, product, |x, p| beta * x + alpha * p))
}

fn add_complex(c: &Host<'_>, product: &Tensor) -> Evaluated {
    let (alpha, beta) = (c.number("alpha")?.to_complex(), c.number("beta")?.to_complex());
    let x = c.tensor("self")?;
    let shape = shape::broadcast_known(&[x.shape(), product.shape()])?;
    let x = x.broadcast_to(&shape)?;
    let product = product.broadcast_to(&shape)?;
    let sum = |(x, p): (&Complex64, &Complex64)| alpha * p + if beta == Complex64::ZERO { beta } else { beta * x };
    let values = x.as_complexes().iter().zip(product.as_complexes().iter()).map(sum).collect();
    Ok(Tensor::complexes(DType::C128, &shape, values))
}

fn addmm(c: &Host<'_>, a: &str, b: &str) -> Evaluated {
    add(c, &multiply(c.tensor(a)?, c.tensor(b)?)?)
}

fn addbmm(c: &Host<'_>) -> Evaluated {
    let products = product(c, "batch1", "batch2")?;
    if !products.dtype().is_complex() {
        return add(c, &host::sum(&products, &[0], false).cast(products.dtype()));
    }
    let shape = products.shape().get(1..).unwrap_or_default();
    let size = shape.iter().product::<usize>();
    let mut sums = vec![Complex64::ZERO; size];
    for (i, value) in products.as_complexes().iter().enumerate() {
        if let Some(sum) = sums.get_mut(i % size.max(1)) {
            *sum += value;
        }
    }
    add(c, &Tensor::complexes(products.dtype(), shape, sums))
}

fn addr(c: &Host<'_>) -> Evaluated {
    add(c, &outer(c.tensor("vec1")?, c.tensor("vec2")?)?)
}

fn outer_fact(c: &Facts<'_>) -> Inferred {
    let (a, b) = (c.tensor("self")?, c.tensor("vec2")?);
    let dtype = crate::promote_types(a.dtype, b.dtype);
    Ok(vec![Fact::new(dtype, [a.shape.clone(), b.shape.clone()].concat())])
}

fn outer(a: &Tensor, b: &Tensor) -> Evaluated {
    multiply(&a.reshape(&[a.numel(), 1])?, &b.reshape(&[1, b.numel()])?)
}

fn vdot(c: &Host<'_>) -> Evaluated {
    let a = c.tensor("self")?;
    let a = match a.dtype().is_complex() {
        true => Tensor::from_fn(a.dtype(), a.shape(), |i| Scalar::Complex(a.get(i).to_complex().conj())),
        false => a.clone(),
    };
    multiply(&a, c.tensor("other")?)
}

fn inner_fact(c: &Facts<'_>) -> Inferred {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let shape = match (a.rank(), b.rank()) {
        (0, _) => b.shape.clone(),
        (_, 0) => a.shape.clone(),
        (p, q) => [&a.shape[..p - 1], &b.shape[..q - 1]].concat(),
    };
    Ok(vec![Fact::new(a.dtype, shape)])
}

fn inner(c: &Host<'_>) -> Evaluated {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let (_, shape) = host::result_of(c)?;
    if a.rank() == 0 || b.rank() == 0 {
        return binary(a, b, |x, y| x * y);
    }
    let k = a.shape()[a.rank() - 1].max(1);
    let (rows, columns) = (a.numel() / k, b.numel() / k);
    let b = b.reshape(&[columns, k])?.permute(&[1, 0]);
    multiply(&a.reshape(&[rows, k])?, &b)?.reshape(&shape)
}

/// Shapes of both operands of `kron` with ones in front, to the same rank.
fn kron_shapes(a: &[Dim], b: &[Dim]) -> (Vec<Dim>, Vec<Dim>) {
    let rank = a.len().max(b.len());
    let pad = |s: &[Dim]| [vec![Dim::int(1); rank - s.len()], s.to_vec()].concat();
    (pad(a), pad(b))
}

fn kron_fact(c: &Facts<'_>) -> Inferred {
    let (x, y) = (c.tensor("self")?, c.tensor("other")?);
    let (a, b) = kron_shapes(&x.shape, &y.shape);
    let shape: Vec<Dim> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
    Ok(vec![Fact::new(crate::promote_types(x.dtype, y.dtype), shape)])
}

fn kron(c: &Host<'_>) -> Evaluated {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let (_, shape) = host::result_of(c)?;
    let (sa, sb) = (host::broadcast_strides(a.shape(), shape.len()), host::broadcast_strides(b.shape(), shape.len()));
    let size_b = [vec![1; shape.len() - b.rank()], b.shape().to_vec()].concat();
    let mut index = vec![0; shape.len()];
    Ok(Tensor::from_fn(DType::F64, &shape, |i| {
        crate::unravel(i, &shape, &mut index);
        let (mut at, mut bt) = (0, 0);
        for d in 0..shape.len() {
            at += index[d] / size_b[d] * sa[d];
            bt += index[d] % size_b[d] * sb[d];
        }
        Scalar::Float(a.f64(at) * b.f64(bt))
    }))
}

fn chain_fact(c: &Facts<'_>, arg: &str) -> Inferred {
    let xs = c.tensors(arg)?;
    let (first, rest) = xs.split_first().ok_or_else(|| OpError::invalid("there is nothing to multiply"))?;
    let mut shape = first.shape.clone();
    for x in rest {
        shape = matmul_shape(c.scope, &shape, &x.shape)?;
    }
    Ok(vec![Fact::new(first.dtype, shape)])
}

fn chain(c: &Host<'_>, arg: &str) -> Evaluated {
    let xs = c.tensors(arg)?;
    let (first, rest) = xs.split_first().ok_or_else(|| OpError::invalid("there is nothing to multiply"))?;
    rest.iter().try_fold(widened(first), |x, y| multiply(&x, y))
}

fn power_fact(c: &Facts<'_>) -> Inferred {
    Ok(vec![c.tensor("self")?.clone()])
}

fn power(c: &Host<'_>) -> Evaluated {
    let mut x = widened(c.tensor("self")?);
    let power = c.int("n")?;
    if power < 0 {
        x = host::call1("aten.linalg_inv.default", vec![Arg::Tensor(x)])?;
    }
    let n = x.shape().last().copied().unwrap_or(1);
    let unit = Tensor::from_fn(x.dtype(), x.shape(), |i| Scalar::Int(i64::from(i / n % n == i % n)));
    (0..power.unsigned_abs()).try_fold(unit, |p, _| multiply(&p, &x))
}

/// The dimension of a cross product: given, or the first of size 3.
pub fn cross_dim<T>(c: &Call<'_, T>, shape: &[Dim]) -> Result<usize, OpError> {
    match c.opt_int("dim")? {
        Some(d) => wrap_dim(d, shape.len()),
        None => shape
            .iter()
            .position(|d| d.as_int() == Some(3))
            .ok_or_else(|| OpError::invalid("a cross product needs a dimension of size 3")),
    }
}

fn cross_fact(c: &Facts<'_>) -> Inferred {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let shape = shape::broadcast(c.scope, &a.shape, &b.shape)?;
    cross_dim(c, &shape)?;
    Ok(vec![Fact::new(crate::promote_types(a.dtype, b.dtype), shape)])
}

fn cross(c: &Host<'_>) -> Evaluated {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let facts = host::inferred(c)?;
    let dim = cross_dim(c, &facts[0].shape)?;
    let shape = shape::broadcast_known(&[a.shape(), b.shape()])?;
    let (a, b) = (widened(a).broadcast_to(&shape)?, widened(b).broadcast_to(&shape)?);
    let lines = host::Lines::new(&shape, dim);
    let mut out = vec![0.0; a.numel()];
    for l in 0..lines.count {
        let (x, y) = (|k| a.f64(lines.at(l, k)), |k| b.f64(lines.at(l, k)));
        for k in 0..3 {
            let (i, j) = ((k + 1) % 3, (k + 2) % 3);
            out[lines.at(l, k)] = x(i) * y(j) - x(j) * y(i);
        }
    }
    Ok(Tensor::from_f64(DType::F64, &shape, &out))
}

fn vecdot_fact(c: &Facts<'_>) -> Inferred {
    let (x, y) = (c.tensor("x")?, c.tensor("y")?);
    let mut shape = shape::broadcast(c.scope, &x.shape, &y.shape)?;
    shape.remove(wrap_dim(c.int("dim")?, shape.len())?);
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn vecdot(c: &Host<'_>) -> Evaluated {
    let products = binary(c.tensor("x")?, c.tensor("y")?, |x, y| x * y)?;
    let dim = wrap_dim(c.int("dim")?, products.rank())?;
    Ok(host::sum(&products, &[dim], false))
}

fn linear_fact(c: &Facts<'_>) -> Inferred {
    let (x, w) = (c.tensor("input")?, c.tensor("weight")?);
    let (Some(inner), Some(own)) = (x.shape.last(), w.shape.last()) else {
        return Err(OpError::invalid("linear needs an input and a weight with dimensions"));
    };
    if x.dtype != w.dtype || inner.as_int().zip(own.as_int()).is_some_and(|(a, b)| a != b) {
        return Err(OpError::Invalid(format!("a linear layer of weight {w} cannot take {x}")));
    }
    let mut shape = x.shape[..x.rank() - 1].to_vec();
    shape.extend(w.shape[..w.rank() - 1].iter().cloned());
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn linear(c: &Host<'_>) -> Evaluated {
    let (x, w) = (c.tensor("input")?, c.tensor("weight")?);
    let order: Vec<usize> = (0..w.rank()).rev().collect();
    let out = multiply(x, &w.permute(&order))?;
    match c.opt_tensor("bias")? {
        Some(b) => binary(&out, b, |x, b| x + b),
        None => Ok(out),
    }
}

fn bilinear_fact(c: &Facts<'_>) -> Inferred {
    let (x, w) = (c.tensor("input1")?, c.tensor("weight")?);
    if x.rank() == 0 || w.rank() != 3 {
        return Err(OpError::invalid("bilinear needs a weight of three dimensions"));
    }
    let mut shape = x.shape.clone();
    shape[x.rank() - 1] = w.shape[0].clone();
    Ok(vec![Fact::new(x.dtype, shape)])
}

/// `out[n, k] = Σ_ij x[n, i]·w[k, i, j]·y[n, j] + bias[k]`.
fn bilinear(c: &Host<'_>) -> Evaluated {
    let (x, y, w) = (c.tensor("input1")?, c.tensor("input2")?, c.tensor("weight")?);
    let (_, shape) = host::result_of(c)?;
    let &[k, i, j] = w.shape() else { return Err(OpError::invalid("bilinear needs a weight of three dimensions")) };
    let rows = x.numel() / i.max(1);
    // [n, i]·[i, k·j] → [n, k, j], times y, summed over j.
    let left = w.permute(&[1, 0, 2]).reshape(&[i, k * j])?;
    let left = multiply(&x.reshape(&[rows, i])?, &left)?.reshape(&[rows, k, j])?;
    let out = host::sum(&binary(&left, &y.reshape(&[rows, 1, j])?, |a, b| a * b)?, &[2], false);
    let out = match c.opt_tensor("bias")? {
        Some(b) => binary(&out, b, |x, b| x + b)?,
        None => out,
    };
    out.reshape(&shape)
}

/// Dimensions of both operands of `tensordot`: kept ones in order, and contracted ones.
pub fn tensordot_dims<T>(c: &Call<'_, T>, a: usize, b: usize) -> Result<[Vec<usize>; 4], OpError> {
    let wrap = |arg: &str, rank| -> Result<Vec<usize>, OpError> {
        c.ints(arg)?.into_iter().map(|d| wrap_dim(d, rank)).collect()
    };
    let (da, db) = (wrap("dims_self", a)?, wrap("dims_other", b)?);
    if da.len() != db.len() {
        return Err(OpError::invalid("tensordot contracts as many dimensions of one operand as of the other"));
    }
    let kept = |rank: usize, dims: &[usize]| (0..rank).filter(|d| !dims.contains(d)).collect();
    Ok([kept(a, &da), da.clone(), kept(b, &db), db.clone()])
}

fn tensordot_fact(c: &Facts<'_>) -> Inferred {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let [keep_a, _, keep_b, _] = tensordot_dims(c, a.rank(), b.rank())?;
    let shape: Vec<Dim> =
        keep_a.iter().map(|&d| a.shape[d].clone()).chain(keep_b.iter().map(|&d| b.shape[d].clone())).collect();
    Ok(vec![Fact::new(a.dtype, shape)])
}

fn tensordot(c: &Host<'_>) -> Evaluated {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let (_, shape) = host::result_of(c)?;
    let [keep_a, da, keep_b, db] = tensordot_dims(c, a.rank(), b.rank())?;
    let (mut a, mut b) = (a.clone(), b.clone());
    for (&i, &j) in da.iter().zip(&db) {
        // Of a size and 1, the other is summed.
        let summed = |x: &Tensor, d: usize| {
            let args = vec![Arg::Tensor(x.clone()), Arg::Ints(vec![Dim::int(d as i64)]), Arg::Bool(true), Arg::None];
            host::call1("aten.sum.dim_IntList", args)
        };
        match (a.shape()[i], b.shape()[j]) {
            (m, n) if m == n => {}
            (_, 1) => a = summed(&a, i)?,
            (1, _) => b = summed(&b, j)?,
            _ => return Err(OpError::invalid("tensordot contracts dimensions of different sizes")),
        }
    }
    let k: usize = da.iter().map(|&d| a.shape()[d]).product();
    let m: usize = keep_a.iter().map(|&d| a.shape()[d]).product();
    let n: usize = keep_b.iter().map(|&d| b.shape()[d]).product();
    let a = a.permute(&[keep_a, da].concat()).reshape(&[m, k])?;
    let b = b.permute(&[db, keep_b].concat()).reshape(&[k, n])?;
    multiply(&a, &b)?.reshape(&shape)
}
