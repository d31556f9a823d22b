//! Matrix products.

use super::common::{opt_tensor, scaled, tensor, widened};
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::aten::linear::{cross_dim, tensordot_dims};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
#[rustfmt::skip]
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten._int_mm.default", int_mm),
    ("aten.addbmm.default", addbmm),
    ("aten.addmm.default", |b, c| addmm(b, c, "mat1", "mat2")),
    ("aten.addmv.default", |b, c| addmm(b, c, "mat", "vec")),
    ("aten.addr.default", addr),
    ("aten.baddbmm.default", |b, c| addmm(b, c, "batch1", "batch2")),
    ("aten.bilinear.default", bilinear),
    ("aten.bmm.default", |b, c| product(b, c, "self", "mat2")),
    ("aten.chain_matmul.default", |b, c| chain(b, c, "matrices")),
    ("aten.cross.default", cross),
    ("aten.dot.default", |b, c| product(b, c, "self", "tensor")),
    ("aten.ger.default", |b, c| outer(b, c)),
    ("aten.inner.default", inner),
    ("aten.kron.default", kron),
    ("aten.linalg_cross.default", cross),
    ("aten.linalg_matmul.default", |b, c| product(b, c, "self", "other")),
    ("aten.linalg_matrix_power.default", power),
    ("aten.linalg_multi_dot.default", |b, c| chain(b, c, "tensors")),
    ("aten.linalg_vecdot.default", vecdot),
    ("aten.linear.default", linear),
    ("aten.matmul.default", |b, c| product(b, c, "self", "other")),
    ("aten.matrix_power.default", power),
    ("aten.mm.default", |b, c| product(b, c, "self", "mat2")),
    ("aten.mv.default", |b, c| product(b, c, "self", "vec")),
    ("aten.outer.default", |b, c| outer(b, c)),
    ("aten.tensordot.default", tensordot),
    ("aten.vdot.default", vdot),
];

/// `torch.matmul`: vectors become a row on the left, a column on the right.
pub(super) fn matmul(b: &mut Builder<'_>, x: Val, y: Val) -> Result<Val, OpError> {
    let (rx, ry) = (b.rank(x), b.rank(y));
    let left = if rx == 1 { b.unsqueeze(x, 0)? } else { x };
    let right = if ry == 1 { b.unsqueeze(y, 1)? } else { y };
    let mut out = b.matmul(left, right)?;
    if ry == 1 {
        let last = b.rank(out).saturating_sub(1);
        out = b.squeeze(out, last)?;
    }
    if rx == 1 {
        let row = b.rank(out).saturating_sub(1 + usize::from(ry > 1));
        out = b.squeeze(out, row)?;
    }
    Ok(out)
}

fn product(b: &mut Builder<'_>, c: &Call<'_, Val>, x: &str, y: &str) -> Outputs {
    Ok(vec![matmul(b, tensor(c, x)?, tensor(c, y)?)?])
}

fn int_mm(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y) = (tensor(c, "self")?, tensor(c, "mat2")?);
    let (x, y) = (b.cast(x, DType::I32)?, b.cast(y, DType::I32)?);
    Ok(vec![b.matmul(x, y)?])
}

/// `beta·self + alpha·product`, without the term that a factor of 0 switches off.
fn with_addend(b: &mut Builder<'_>, c: &Call<'_, Val>, product: Val) -> Outputs {
    let (alpha, beta) = (c.arg("alpha")?, c.arg("beta")?);
    let product = scaled(b, product, alpha)?;
    if beta.as_float() == Some(0.0) {
        return Ok(vec![product]);
    }
    let addend = scaled(b, tensor(c, "self")?, beta)?;
    Ok(vec![b.add(product, addend)?])
}

fn addmm(b: &mut Builder<'_>, c: &Call<'_, Val>, x: &str, y: &str) -> Outputs {
    let product = matmul(b, tensor(c, x)?, tensor(c, y)?)?;
    with_addend(b, c, product)
}

/// The sum over a batch of products is one product of matrices laid side by side.
fn addbmm(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y) = (tensor(c, "batch1")?, tensor(c, "batch2")?);
    let ([n, m, k], [_, _, p]) = (&b.shape(x)[..], &b.shape(y)[..]) else {
        return Err(OpError::invalid("addbmm takes batches of matrices"));
    };
    let inner = n * k;
    let x = b.permute(x, &[1, 0, 2])?;
    let x = b.reshape(x, &[m.clone(), inner.clone()])?;
    let y = b.reshape(y, &[inner, p.clone()])?;
    let product = b.matmul(x, y)?;
    with_addend(b, c, product)
}

fn outer_product(b: &mut Builder<'_>, x: Val, y: Val) -> Result<Val, OpError> {
    let (x, y) = (b.unsqueeze(x, 1)?, b.unsqueeze(y, 0)?);
    b.mul(x, y)
}

fn outer(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let operands = b.promote(c, &["self", "vec2"])?;
    Ok(vec![outer_product(b, operands[0], operands[1])?])
}

fn addr(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let product = outer_product(b, tensor(c, "vec1")?, tensor(c, "vec2")?)?;
    with_addend(b, c, product)
}

fn vdot(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let mut x = tensor(c, "self")?;
    if b.dtype(x).is_complex() {
        x = b.conj(x)?;
    }
    Ok(vec![matmul(b, x, tensor(c, "other")?)?])
}

fn inner(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y) = (tensor(c, "self")?, tensor(c, "other")?);
    let (sx, sy) = (b.shape(x), b.shape(y));
    let (Some((k, lead_x)), Some((_, lead_y))) = (sx.split_last(), sy.split_last()) else {
        return Ok(vec![b.mul(x, y)?]);
    };
    let flat = |lead: &[Dim]| lead.iter().fold(Dim::ONE, |n, d| &n * d);
    let x = b.reshape(x, &[flat(lead_x), k.clone()])?;
    let y = b.reshape(y, &[flat(lead_y), k.clone()])?;
    let y = b.transpose(y, 0, 1)?;
    let out = b.matmul(x, y)?;
    Ok(vec![b.reshape(out, &[lead_x, lead_y].concat())?])
}

fn kron(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let operands = b.promote(c, &["self", "other"])?;
    let (x, y) = (operands[0], operands[1]);
    let rank = b.rank(x).max(b.rank(y));
    let padded = |s: Vec<Dim>| [vec![Dim::ONE; rank - s.len()], s].concat();
    let (sx, sy) = (padded(b.shape(x)), padded(b.shape(y)));
    // Every dimension of one operand next to that of the other.
    let wide_x: Vec<Dim> = sx.iter().flat_map(|n| [n.clone(), Dim::ONE]).collect();
    let wide_y: Vec<Dim> = sy.iter().flat_map(|n| [Dim::ONE, n.clone()]).collect();
    let shape: Vec<Dim> = sx.iter().zip(&sy).map(|(m, n)| m * n).collect();
    let (x, y) = (b.reshape(x, &wide_x)?, b.reshape(y, &wide_y)?);
    let out = b.mul(x, y)?;
    Ok(vec![b.reshape(out, &shape)?])
}

fn chain(b: &mut Builder<'_>, c: &Call<'_, Val>, arg: &str) -> Outputs {
    let xs: Vec<Val> = c.tensors(arg)?.into_iter().copied().collect();
    let (first, rest) = xs.split_first().ok_or_else(|| OpError::invalid("there is nothing to multiply"))?;
    let out = rest.iter().try_fold(*first, |x, &y| matmul(b, x, y))?;
    Ok(vec![out])
}

/// Repeated squaring.
fn power(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let mut x = tensor(c, "self")?;
    let mut n = c.int("n")?;
    if n < 0 {
        x = b.one("aten.linalg_inv.default", vec![Arg::Tensor(x)])?;
        n = n.checked_neg().ok_or_else(|| OpError::invalid("a matrix power that is no number of factors"))?;
    }
    if n == 0 {
        let fact = b.fact(x);
        let side = fact.shape.last().cloned().unwrap_or(Dim::ONE);
        let i = b.iota(&side, DType::I64)?;
        let rows = b.unsqueeze(i, 1)?;
        let unit = b.eq(rows, i)?;
        let unit = b.cast(unit, fact.dtype)?;
        return Ok(vec![b.expand(unit, &fact.shape)?]);
    }
    let (mut square, mut out) = (x, None);
    loop {
        if n & 1 == 1 {
            out = Some(match out {
                Some(p) => b.matmul(p, square)?,
                None => square,
            });
        }
        n >>= 1;
        if n == 0 {
            return Ok(vec![out.unwrap_or(x)]);
        }
        square = b.matmul(square, square)?;
    }
}

fn cross(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let operands = b.promote(c, &["self", "other"])?;
    let shape = pt2c_ops::shape::broadcast(c.scope, &b.shape(operands[0]), &b.shape(operands[1]))?;
    let dim = cross_dim(c, &shape)?;
    let x = b.expand(operands[0], &shape)?;
    let y = b.expand(operands[1], &shape)?;
    let mut parts = Vec::new();
    for k in 0..3 {
        let (i, j) = (Dim::int((k + 1) % 3), Dim::int((k + 2) % 3));
        let mut at = |v, i: &Dim| b.slice_dim(v, dim, i, &Dim::ONE, 1);
        let (xi, xj, yi, yj) = (at(x, &i)?, at(x, &j)?, at(y, &i)?, at(y, &j)?);
        let (p, q) = (b.mul(xi, yj)?, b.mul(xj, yi)?);
        parts.push(b.sub(p, q)?);
    }
    Ok(vec![b.cat(&parts, dim)?])
}

fn vecdot(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (mut x, y) = (tensor(c, "x")?, tensor(c, "y")?);
    let dtype = b.dtype(x);
    if dtype.is_complex() {
        x = b.conj(x)?;
    }
    let (x, y) = (widened(b, x)?, widened(b, y)?);
    let products = b.mul(x, y)?;
    let dim = pt2c_ops::wrap_dim(c.int("dim")?, b.rank(products))?;
    let out = b.reduce(products, &[dim], "sum")?;
    Ok(vec![b.cast(out, dtype)?])
}

fn linear(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, w) = (tensor(c, "input")?, tensor(c, "weight")?);
    let w = if b.rank(w) > 1 { b.transpose(w, 0, 1)? } else { w };
    let out = matmul(b, x, w)?;
    Ok(vec![match opt_tensor(c, "bias")? {
        Some(bias) => b.add(out, bias)?,
        None => out,
    }])
}

fn bilinear(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y, w) = (tensor(c, "input1")?, tensor(c, "input2")?, tensor(c, "weight")?);
    let [k, i, j] = &b.shape(w)[..] else {
        return Err(OpError::invalid("bilinear needs a weight of three dimensions"));
    };
    let mut shape = b.shape(x);
    let lead = shape.pop().map_or(Vec::new(), |_| shape.clone());
    let rows = lead.iter().fold(Dim::ONE, |n, d| &n * d);
    // [n, i]·[i, k·j] → [n, k, j], times [n, j, 1].
    let w = b.permute(w, &[1, 0, 2])?;
    let w = b.reshape(w, &[i.clone(), k * j])?;
    let x = b.reshape(x, &[rows.clone(), i.clone()])?;
    let left = b.matmul(x, w)?;
    let left = b.reshape(left, &[rows.clone(), k.clone(), j.clone()])?;
    let y = b.reshape(y, &[rows, j.clone(), Dim::ONE])?;
    let out = b.matmul(left, y)?;
    let out = b.reshape(out, &[&lead[..], &[k.clone()]].concat())?;
    Ok(vec![match opt_tensor(c, "bias")? {
        Some(bias) => b.add(out, bias)?,
        None => out,
    }])
}

/// The operands of a contraction, one summed over each dimension where only the other has size 1.
fn summed_where_one(
    b: &mut Builder<'_>,
    c: &Call<'_, Val>,
    mut x: Val,
    mut y: Val,
    dx: &[usize],
    dy: &[usize],
) -> Result<(Val, Val), OpError> {
    for (&i, &j) in dx.iter().zip(dy) {
        let (m, n) = (b.shape(x)[i].clone(), b.shape(y)[j].clone());
        let known = c.scope.prove_eq(&m, &n);
        // A size of 1 meets any other, also one that only the call tells.
        if known.is_yes() || !known.is_no() && !m.is_one() && !n.is_one() {
            continue;
        }
        if n.is_one() {
            x = b.keepdim_reduce(x, &[i], "sum")?;
        } else if m.is_one() {
            y = b.keepdim_reduce(y, &[j], "sum")?;
        } else {
            return Err(OpError::Invalid(format!("tensordot contracts dimensions of sizes {m} and {n}")));
        }
    }
    Ok((x, y))
}

fn tensordot(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, y) = (tensor(c, "self")?, tensor(c, "other")?);
    let [keep_x, dx, keep_y, dy] = tensordot_dims(c, b.rank(x), b.rank(y))?;
    let (x, y) = summed_where_one(b, c, x, y, &dx, &dy)?;
    let (sx, sy) = (b.shape(x), b.shape(y));
    let pick = |s: &[Dim], dims: &[usize]| -> Vec<Dim> { dims.iter().map(|&d| s[d].clone()).collect() };
    let flat = |s: &[Dim]| s.iter().fold(Dim::ONE, |n, d| &n * d);
    let (m, n, k) = (pick(&sx, &keep_x), pick(&sy, &keep_y), pick(&sx, &dx));
    let x = b.permute(x, &[keep_x, dx].concat())?;
    let x = b.reshape(x, &[flat(&m), flat(&k)])?;
    let y = b.permute(y, &[dy, keep_y].concat())?;
    let y = b.reshape(y, &[flat(&k), flat(&n)])?;
    let out = b.matmul(x, y)?;
    Ok(vec![b.reshape(out, &[m, n].concat())?])
}
