//! Differences, integrals, covariance, distances of whole tensors, and numbers taken apart.

use crate::formula::{Sheet, Term, formula};
use crate::{Builder, Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::formula("gradient.array(Tensor self, *, int[] dim, int edge_order=1) -> Tensor[]", gradient),
    OpDef::formula(
        "gradient.scalararray(Tensor self, *, Scalar spacing, int[] dim, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula(
        "gradient.scalarint(Tensor self, *, Scalar? spacing=None, int? dim=None, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula(
        "gradient.scalarrayarray(Tensor self, *, Scalar[] spacing, int[] dim, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula(
        "gradient.scalarrayint(Tensor self, *, Scalar[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula(
        "gradient.tensorarray(Tensor self, *, Tensor[] spacing, int[] dim, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula(
        "gradient.tensorarrayint(Tensor self, *, Tensor[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
        gradient,
    ),
    OpDef::formula("trapz.dx(Tensor y, *, float dx=1., int dim=-1) -> Tensor", |b, c| {
        b.with_defaults("aten.trapezoid.dx", vec![c.arg("y")?.clone(), c.arg("dx")?.clone(), c.arg("dim")?.clone()])
    }),
    OpDef::formula("trapz.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", |b, c| {
        b.with_defaults("aten.trapezoid.x", vec![c.arg("y")?.clone(), c.arg("x")?.clone(), c.arg("dim")?.clone()])
    }),
    OpDef::formula("dist(Tensor self, Tensor other, Scalar p=2) -> Tensor", |b, c| {
        let d = b.op("aten.sub.Tensor", vec![c.arg("self")?.clone(), c.arg("other")?.clone()])?;
        b.with_defaults("aten.linalg_vector_norm.default", vec![Arg::Tensor(d), c.arg("p")?.clone()])
    }),
    OpDef::formula("trace(Tensor self) -> Tensor", |b, c| {
        let diagonal = b.op("aten.diagonal.default", vec![c.arg("self")?.clone()])?;
        b.with_defaults("aten.sum.default", vec![Arg::Tensor(diagonal)])
    }),
    OpDef::formula("linalg_diagonal(Tensor(a) A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor(a)", |b, c| {
        b.with_defaults("aten.diagonal.default", c.args.to_vec())
    }),
    OpDef::formula("diagflat(Tensor self, int offset=0) -> Tensor", |b, c| {
        let x = *c.tensor("self")?;
        let count = b.fact(x).numel();
        let flat = b.reshape(x, &[count])?;
        b.with_defaults("aten.diag_embed.default", vec![Arg::Tensor(flat), c.arg("offset")?.clone()])
    }),
    OpDef::formula("sum_to_size(Tensor self, SymInt[] size) -> Tensor", |b, c| {
        let (x, size) = (*c.tensor("self")?, c.dims("size")?);
        if size.is_empty() {
            return b.with_defaults("aten.sum.default", vec![Arg::Tensor(x)]);
        }
        let shape = b.shape(x);
        let lead =
            shape.len().checked_sub(size.len()).ok_or_else(|| OpError::invalid("sum_to_size adds dimensions"))?;
        let dims: Vec<usize> =
            (0..shape.len()).filter(|&d| d < lead || size[d - lead].is_one() && !shape[d].is_one()).collect();
        if dims.is_empty() {
            return Ok(vec![x]);
        }
        let list = Arg::Ints(dims.iter().map(|&d| Dim::int(d as i64)).collect());
        let sum = b.op("aten.sum.dim_IntList", vec![Arg::Tensor(x), list, Arg::Bool(true)])?;
        Ok(vec![b.reshape(sum, &size)?])
    }),
    formula!(
        "cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
        |s, c| { vec![covariance(s, c, c.int("correction")? as f64)?] }
    ),
    formula!("corrcoef(Tensor self) -> Tensor", |s, c| {
        let table = covariance(s, c, 1.0)?;
        if table.rank() < 2 {
            vec![table / table]
        } else {
            let complex = table.dtype().is_complex();
            let diagonal = s.step(|b| b.op("aten.diagonal.default", vec![Arg::Tensor(table.value())]));
            let real = if complex { diagonal.then(|b, v| b.real(v)) } else { diagonal };
            let root = real.sqrt();
            let root = if complex { root.cast(table.dtype()) } else { root };
            let unit = table / root.unsqueeze(1) / root;
            vec![if complex { unit } else { unit.min(1.0).max(-1.0) }]
        }
    }),
    formula!("isreal(Tensor self) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        if x.dtype().is_complex() {
            vec![x.then(|b, v| b.imag(v)).eq(0.0)]
        } else {
            vec![s.number(1.0, DType::Bool).expand(&x.shape())]
        }
    }),
    OpDef::formula("ldexp.Tensor(Tensor self, Tensor other) -> Tensor", |b, c| {
        let power = b.op("aten.pow.Scalar", vec![Arg::Float(2.0), c.arg("other")?.clone()])?;
        b.with_defaults("aten.mul.Tensor", vec![c.arg("self")?.clone(), Arg::Tensor(power)])
    }),
    formula!("frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)", |s, c| {
        let x = s.arg(c, "self");
        let (mantissa, exponent) = parts(s, x.wide());
        vec![mantissa.cast(x.dtype()), exponent.cast(DType::I32)]
    }),
    formula!("mvlgamma(Tensor self, int p) -> Tensor", |s, c| {
        let p = c.int("p")?;
        if !(1..=64).contains(&p) {
            return Err(OpError::Unsupported("mvlgamma of more than 64 dimensions".into()));
        }
        let x = s.arg(c, "self");
        let wide = x.wide();
        let start = wide.lgamma() + (p * (p - 1)) as f64 / 4.0 * std::f64::consts::PI.ln();
        let sum = (1..p).fold(start, |sum, j| sum + (wide - j as f64 / 2.0).lgamma());
        vec![if x.dtype().is_float() { sum.cast(x.dtype()) } else { sum }]
    }),
    OpDef::formula(
        "_trilinear(Tensor i1, Tensor i2, Tensor i3, int[] expand1, int[] expand2, int[] expand3, int[] sumdim, int unroll_dim=1) -> Tensor",
        trilinear,
    ),
    OpDef::formula("_chunk_cat(Tensor[] tensors, int dim, int num_chunks) -> Tensor", chunk_cat),
];

/// Mantissa in `[0.5, 1)` and exponent from the bits.
fn parts<'s>(s: &'s Sheet<'_>, x: Term<'s>) -> (Term<'s>, Term<'s>) {
    let (ints, shift, bias, mask) =
        if x.dtype() == DType::F64 { (DType::I64, 52, 1022.0, 0x7ff) } else { (DType::I32, 23, 126.0, 0xff) };
    // Subnormal numbers are made normal first.
    let (up, lift) = if ints == DType::I64 { (2f64.powi(54), 54.0) } else { (2f64.powi(25), 25.0) };
    let smallest = if ints == DType::I64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
    let small = x.abs().lt(smallest);
    let normal = small.pick(x * up, x);
    let bits = normal.then(|b, v| b.bitcast(v, ints));
    let integer = |i: i64| s.step(|b| b.scalar_like(&Arg::Int(Dim::int(i)), ints));
    let places = integer(shift);
    let exponent = bits.then(|b, v| b.shr(v, places.value())).and(integer(mask));
    let field = integer(mask).then(|b, v| b.shl(v, places.value()));
    let half = integer(bias as i64).then(|b, v| b.shl(v, places.value()));
    let float = x.dtype();
    let mantissa = bits.and(field.not()).or(half).then(|b, v| b.bitcast(v, float));
    let exponent = exponent.cast(DType::I32) - bias - small.pick(s.number(lift, DType::I32), s.number(0.0, DType::I32));
    let plain = x.eq(0.0).or(x.is_nan()).or(x.is_inf());
    (plain.pick(x, mantissa), plain.pick(s.number(0.0, DType::I32), exponent))
}

fn covariance<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, correction: f64) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, "self");
    let (rank, dtype) = (x.rank(), x.dtype());
    if rank > 2 {
        return Err(OpError::invalid("a covariance is of rows of a matrix"));
    }
    let float = if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F32 };
    let count = if rank == 2 { x.shape()[1].clone() } else { x.shape().first().cloned().unwrap_or(Dim::ONE) };
    let rows = if rank == 2 { x.shape()[0].clone() } else { Dim::ONE };
    let rows = x.cast(crate::formula::common::wide(float)).reshape(&[rows, count.clone()]);
    let real = if float.is_complex() { float.to_real() } else { rows.dtype() };
    let mut weights: Option<Term<'s>> = None;
    for name in ["fweights", "aweights"] {
        if c.op.schema.position(name).is_some() && c.opt_tensor(name)?.is_some() {
            let w = s.arg(c, name).cast(real);
            weights = Some(weights.map_or(w, |other| other * w));
        }
    }
    let total = weights.map_or_else(|| s.size(&count, real), |w| w.sum(&[0], false));
    let scaled = |t: Term<'s>| weights.map_or(t, |w| t * w.cast(t.dtype()));
    let average = scaled(rows).sum(&[1], true) / total.cast(rows.dtype());
    let centred = rows - average;
    let aweights = c.op.schema.position("aweights").is_some() && c.opt_tensor("aweights")?.is_some();
    let norm = match weights {
        Some(w) if aweights && correction != 0.0 => {
            let a = s.arg(c, "aweights").cast(real);
            total - (w * a).sum(&[0], false) / total * correction
        }
        _ => total - correction,
    };
    let norm = norm.max(0.0);
    let other = centred.then(|b, v| if float.is_complex() { b.conj(v) } else { Ok(v) });
    let table = scaled(centred).matmul(other.mt()) / norm.cast(rows.dtype());
    let table = if rank < 2 { table.reshape(&[]) } else { table };
    // Of one row it is a number.
    let table = if rank == 2 && x.shape()[0].is_one() { table.reshape(&[]) } else { table };
    Ok(table.cast(float))
}

fn gradient(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    let all = || (0..shape.len()).collect::<Vec<usize>>();
    let dims = match c.arg("dim")? {
        Arg::None => all(),
        _ => c.ints("dim")?.iter().map(|&d| wrap_dim(d, shape.len())).collect::<Result<_, _>>()?,
    };
    let edge = c.int("edge_order")?;
    let spacing = if c.op.schema.position("spacing").is_some() { c.arg("spacing")?.clone() } else { Arg::None };
    let mut out = Vec::new();
    for (i, &dim) in dims.iter().enumerate() {
        let step = match &spacing {
            Arg::Tensors(all) => all.get(i).or(all.first()).copied().flatten().map(Arg::Tensor),
            Arg::Floats(all) => all.get(i).or(all.first()).map(|f| Arg::Float(*f)),
            Arg::Ints(all) => all.get(i).or(all.first()).map(|d| Arg::Int(d.clone())),
            Arg::None => Some(Arg::Float(1.0)),
            other => Some(other.clone()),
        };
        let step = step.ok_or_else(|| OpError::invalid("a spacing is missing"))?;
        out.push(gradient_along(b, x, dim, &step, edge, dtype)?);
    }
    Ok(out)
}

/// Central differences with one-sided ones at the ends, for even or given coordinates.
fn gradient_along(
    b: &mut Builder<'_>,
    x: Val,
    dim: usize,
    step: &Arg<Val>,
    edge: i64,
    dtype: DType,
) -> Result<Val, OpError> {
    let s = &Sheet::new(b);
    let x = s.term(x);
    let x = if dtype.is_float() || dtype.is_complex() { x } else { x.cast(DType::F32) };
    let rank = x.rank();
    let n = x.shape().get(dim).cloned().ok_or_else(|| OpError::invalid("the gradient's dimension is missing"))?;
    let at = |t: Term<'_>, d: usize, start: &Dim, len: &Dim| s.term(t.value()).narrow(d, start, len);
    let inner = &n - 2;
    let (one, two) = (Dim::ONE, Dim::int(2));
    let (low, middle, high) = (at(x, dim, &Dim::ZERO, &inner), at(x, dim, &one, &inner), at(x, dim, &two, &inner));
    let mut line = vec![Dim::ONE; rank];
    line[dim] = &n - 1;
    // Distances between neighbours.
    let gaps = match step {
        Arg::Tensor(t) => {
            let t = s.term(*t);
            let t = t.cast(x.dtype());
            (t.narrow(0, &one, &(&n - 1)) - t.narrow(0, &Dim::ZERO, &(&n - 1))).reshape(&line)
        }
        number => {
            let dtype = x.dtype();
            s.step(|b| b.scalar_like(number, dtype)).expand(&line)
        }
    };
    let (h, k) = (at(gaps, dim, &Dim::ZERO, &inner), at(gaps, dim, &one, &inner));
    let even = !matches!(step, Arg::Tensor(_));
    let centre = if even {
        (high - low) / (h * 2.0)
    } else {
        low * (-k / (h * (h + k))) + middle * ((k - h) / (h * k)) + high * (h / (k * (h + k)))
    };
    let end = |first: bool| -> Term<'_> {
        let pick = |back: i64| if first { Dim::int(back) } else { &n - 1 - back };
        let gap = |back: i64| if first { Dim::int(back) } else { &n - 2 - back };
        let sign = if first { 1.0 } else { -1.0 };
        let (p, q) = (at(x, dim, &pick(0), &one), at(x, dim, &pick(1), &one));
        let h = at(gaps, dim, &gap(0), &one);
        if edge == 1 {
            (q - p) / h * sign
        } else {
            let r = at(x, dim, &pick(2), &one);
            let k = at(gaps, dim, &gap(1), &one);
            let (a, c) = (-(h * 2.0 + k) / (h * (h + k)), (h + k) / (h * k));
            (p * a + q * c + r * (-h / (k * (h + k)))) * sign
        }
    };
    let (first, last) = (end(true), end(false));
    let all = s.step(|b| b.cat(&[first.value(), centre.value(), last.value()], dim));
    s.finish(&[all])?.into_iter().next().ok_or_else(|| OpError::invalid("no gradient"))
}

/// `Σ i1·i2·i3` over the dimensions `sumdim`, each operand first given the dimensions it lacks.
fn trilinear(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let mut product: Option<Val> = None;
    let mut rank = 0;
    for (operand, missing) in [("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")] {
        let mut x = *c.tensor(operand)?;
        let mut dims = c.positions(missing)?;
        dims.sort_unstable();
        rank = b.rank(x) + dims.len();
        for d in dims {
            x = b.unsqueeze(x, d)?;
        }
        product = Some(match product {
            Some(p) => b.mul(p, x)?,
            None => x,
        });
    }
    let product = product.ok_or_else(|| OpError::invalid("no operands"))?;
    let mut dims = c.ints("sumdim")?.iter().map(|&d| wrap_dim(d, rank)).collect::<Result<Vec<_>, _>>()?;
    dims.sort_unstable();
    Ok(vec![b.reduce(product, &dims, "sum")?])
}

/// Each tensor in equal chunks along `dim`, flattened behind the chunk number, side by side.
fn chunk_cat(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let chunks = c.int("num_chunks")?;
    let mut parts = Vec::new();
    for &x in c.tensors("tensors")? {
        let dim = wrap_dim(c.int("dim")?, b.rank(x))?;
        let shape = b.shape(x);
        let n = shape.get(dim).cloned().ok_or_else(|| OpError::invalid("a chunked tensor has dimensions"))?;
        let each = (&n + (chunks - 1)).floor_div(&Dim::int(chunks));
        let missing = &each * chunks - &n;
        let zero = b.constant(0.0, b.dtype(x))?;
        let mut high = vec![Dim::ZERO; shape.len()];
        high[dim] = missing;
        let padded = b.pad(x, zero, &vec![Dim::ZERO; shape.len()], &high)?;
        let rest = shape[dim + 1..].iter().fold(each, |n, d| &n * d);
        parts.push(b.reshape(padded, &[&shape[..dim], &[Dim::int(chunks), rest]].concat())?);
    }
    let rank = parts.first().map_or(1, |p| b.rank(*p));
    Ok(vec![b.cat(&parts, rank - 1)?])
}
