//! Complex primitives in terms of the parts of their operands.
//!
//! Rules use the same [`Builder`] as decompositions; `real`, `imag` and `complex` only name parts here. Formulas follow
//! PyTorch where they decide about overflow (division scales by the larger part of the divisor).

use super::functions;
use crate::decompose::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::{Call, OpError, prim};

type Outputs = Result<Vec<Val>, OpError>;

/// A complex value by its parts.
#[derive(Clone, Copy)]
pub struct Parts {
    pub re: Val,
    pub im: Val,
}

const RULES: &[(&str, Decomposition)] = &[
    ("add", each_part),
    ("sub", each_part),
    ("neg", each_part),
    ("where", each_part),
    ("reshape", each_part),
    ("expand", each_part),
    ("permute", each_part),
    ("slice", each_part),
    ("pad", each_part),
    ("cat", each_part),
    ("update_slice", each_part),
    ("take", each_part),
    ("gather", each_part),
    ("index", each_part),
    ("index_put", each_part),
    ("scatter", |b, c| match c.str("reduce")? {
        "set" | "add" => each_part(b, c),
        other => Err(OpError::Unsupported(format!("scatter of complex numbers that combines them by `{other}`"))),
    }),
    ("reduce", reduce),
    ("scan", scan),
    ("conj", |b, c| {
        let x = parts(b, *c.tensor("x")?)?;
        let im = b.neg(x.im)?;
        join(b, Parts { re: x.re, im })
    }),
    ("mul", |b, c| bilinear(b, c, "a", "b")),
    ("matmul", |b, c| bilinear(b, c, "a", "b")),
    ("conv", |b, c| bilinear(b, c, "x", "w")),
    ("conv_transpose", |b, c| bilinear(b, c, "x", "w")),
    ("div", |b, c| {
        let (x, y) = (parts(b, *c.tensor("a")?)?, parts(b, *c.tensor("b")?)?);
        let quotient = divided(b, x, y)?;
        join(b, quotient)
    }),
    ("reciprocal", |b, c| {
        let x = parts(b, *c.tensor("x")?)?;
        let inverse = reciprocal(b, x)?;
        join(b, inverse)
    }),
    ("eq", |b, c| {
        let (re, im) = both(b, c)?;
        Ok(vec![b.and(re, im)?])
    }),
    ("ne", |b, c| {
        let (re, im) = both(b, c)?;
        Ok(vec![b.or(re, im)?])
    }),
    ("is_nan", |b, c| {
        let (re, im) = both(b, c)?;
        Ok(vec![b.or(re, im)?])
    }),
    ("is_inf", |b, c| {
        let (re, im) = both(b, c)?;
        Ok(vec![b.or(re, im)?])
    }),
    ("routine", routine),
    ("cast", cast),
    ("constant", constant),
    ("random", |b, c| {
        // Both parts have half the variance.
        let (shape, dtype, kind) = (c.dims("shape")?.to_vec(), c.dtype("dtype")?.to_real(), c.str("kind")?.to_string());
        let (mean, mut spread) = (c.float("a")?, c.float("b")?);
        if kind == "normal" {
            spread *= std::f64::consts::FRAC_1_SQRT_2;
        }
        let re = b.random(&shape, dtype, &kind, mean, spread)?;
        let im = b.random(&shape, dtype, &kind, mean, spread)?;
        join(b, Parts { re, im })
    }),
    ("exp", |b, c| wide(b, c, functions::exp)),
    ("exp2", |b, c| {
        wide(b, c, |b, x| {
            let x = functions::scaled(b, x, std::f64::consts::LN_2)?;
            functions::exp(b, x)
        })
    }),
    ("expm1", |b, c| wide(b, c, functions::expm1)),
    ("log", |b, c| wide(b, c, functions::log)),
    ("log2", |b, c| {
        wide(b, c, |b, x| {
            let y = functions::log(b, x)?;
            functions::scaled(b, y, std::f64::consts::LOG2_E)
        })
    }),
    ("log10", |b, c| {
        wide(b, c, |b, x| {
            let y = functions::log(b, x)?;
            functions::scaled(b, y, std::f64::consts::LOG10_E)
        })
    }),
    ("log1p", |b, c| wide(b, c, functions::log1p)),
    ("sqrt", |b, c| wide(b, c, functions::sqrt)),
    ("rsqrt", |b, c| {
        wide(b, c, |b, x| {
            let root = functions::sqrt(b, x)?;
            reciprocal(b, root)
        })
    }),
    ("sigmoid", |b, c| wide(b, c, functions::sigmoid)),
    ("sin", |b, c| wide(b, c, functions::sin)),
    ("cos", |b, c| wide(b, c, functions::cos)),
    ("tan", |b, c| wide(b, c, |b, x| functions::turned(b, x, functions::tanh))),
    ("sinh", |b, c| wide(b, c, functions::sinh)),
    ("cosh", |b, c| wide(b, c, functions::cosh)),
    ("tanh", |b, c| wide(b, c, functions::tanh)),
    ("asin", |b, c| wide(b, c, functions::asin)),
    ("acos", |b, c| wide(b, c, functions::acos)),
    ("atan", |b, c| wide(b, c, |b, x| functions::turned(b, x, functions::atanh))),
    ("asinh", |b, c| wide(b, c, |b, x| functions::turned(b, x, functions::asin))),
    ("acosh", |b, c| wide(b, c, functions::acosh)),
    ("atanh", |b, c| wide(b, c, functions::atanh)),
    ("pow", |b, c| {
        let (x, y) = (*c.tensor("a")?, *c.tensor("b")?);
        let dtype = b.dtype(x);
        let (x, y) = (b.cast(x, DType::C128)?, b.cast(y, DType::C128)?);
        let (x, y) = (parts(b, x)?, parts(b, y)?);
        let power = functions::pow(b, x, y)?;
        let power = b.complex(power.re, power.im)?;
        Ok(vec![b.cast(power, dtype)?])
    }),
];

/// The rule of a primitive.
pub fn rule_of(op: &str) -> Option<Decomposition> {
    let name = op.strip_prefix("prim.")?;
    RULES.iter().find(|(n, _)| *n == name).map(|(_, rule)| *rule)
}

/// The parts of a value.
pub fn parts(b: &mut Builder<'_>, x: Val) -> Result<Parts, OpError> {
    Ok(Parts { re: b.real(x)?, im: b.imag(x)? })
}

fn join(b: &mut Builder<'_>, x: Parts) -> Outputs {
    Ok(vec![b.complex(x.re, x.im)?])
}

/// The primitive itself on one part of every complex operand.
fn on_part(b: &mut Builder<'_>, c: &Call<'_, Val>, imaginary: bool) -> Result<Val, OpError> {
    let args = c.args.iter().map(|a| {
        a.try_map(|v| {
            if !b.dtype(*v).is_complex() {
                Ok(*v)
            } else if imaginary {
                b.imag(*v)
            } else {
                b.real(*v)
            }
        })
    });
    let args = args.collect::<Result<Vec<_>, OpError>>()?;
    b.one(&c.op.name, args)
}

fn both(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<(Val, Val), OpError> {
    Ok((on_part(b, c, false)?, on_part(b, c, true)?))
}

/// A routine of the runtime: its numbers go in and come out as pairs.
fn routine(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (name, batch, sizes) = (c.str("name")?, c.dims("batch")?, c.dims("sizes")?);
    let (known, _) = prim::routine::routine(name).ok_or_else(|| OpError::invalid("no such routine"))?;
    let mut operands = Vec::new();
    for &x in c.tensors("operands")? {
        if !b.dtype(x).is_complex() {
            operands.push(x);
            continue;
        }
        let (x, last) = (parts(b, x)?, b.rank(x));
        let (re, im) = (b.unsqueeze(x.re, last)?, b.unsqueeze(x.im, last)?);
        operands.push(b.cat(&[re, im], last)?);
    }
    let results = b.routine(&format!("{}{name}", prim::routine::PAIRS), &operands, &batch, &sizes)?;
    let joined = results.into_iter().zip(known.slots).map(|(x, slot)| {
        if slot.element != prim::routine::Element::Scalar {
            return Ok(x);
        }
        let shape = b.shape(x);
        let (last, shape) = shape.split_last().ok_or_else(|| OpError::invalid("a pair without its dimension"))?;
        debug_assert_eq!(last.as_int(), Some(2));
        let mut part = |i: i64| {
            let part = b.slice_dim(x, shape.len(), &Dim::int(i), &Dim::ONE, 1)?;
            b.reshape(part, shape)
        };
        let (re, im) = (part(0)?, part(1)?);
        b.complex(re, im)
    });
    joined.collect()
}

/// Primitives that do the same to both parts.
fn each_part(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (re, im) = both(b, c)?;
    Ok(vec![b.complex(re, im)?])
}

/// Primitives that are linear in each of two operands.
fn bilinear(b: &mut Builder<'_>, c: &Call<'_, Val>, first: &str, second: &str) -> Outputs {
    let (x, y) = (*c.tensor(first)?, *c.tensor(second)?);
    let (x, y) = (parts(b, x)?, parts(b, y)?);
    let at = |name: &str| c.op.schema.params.iter().position(|p| p.name == name);
    let (i, j) = at(first).zip(at(second)).ok_or_else(|| OpError::invalid("an operand is missing"))?;
    let mut product = |p: Val, q: Val| {
        let mut args = c.args.to_vec();
        (args[i], args[j]) = (Arg::Tensor(p), Arg::Tensor(q));
        b.one(&c.op.name, args)
    };
    let (rr, ii, ri, ir) = (product(x.re, y.re)?, product(x.im, y.im)?, product(x.re, y.im)?, product(x.im, y.re)?);
    let (re, im) = (b.sub(rr, ii)?, b.add(ri, ir)?);
    Ok(vec![b.complex(re, im)?])
}

/// `x · y`.
pub fn product(b: &mut Builder<'_>, x: Parts, y: Parts) -> Result<Parts, OpError> {
    let (rr, ii, ri, ir) = (b.mul(x.re, y.re)?, b.mul(x.im, y.im)?, b.mul(x.re, y.im)?, b.mul(x.im, y.re)?);
    Ok(Parts { re: b.sub(rr, ii)?, im: b.add(ri, ir)? })
}

/// `x / y`, scaled by the larger part of `y` (Smith 1962), as PyTorch does.
pub fn divided(b: &mut Builder<'_>, x: Parts, y: Parts) -> Result<Parts, OpError> {
    let (c, d) = (b.abs(y.re)?, b.abs(y.im)?);
    let real_is_larger = b.ge(c, d)?;
    let (large, small) = (b.where_(real_is_larger, y.re, y.im)?, b.where_(real_is_larger, y.im, y.re)?);
    let ratio = b.div(small, large)?;
    // 0/0 is no ratio: the quotient is what division of the parts by zero gives.
    let zero = b.constant(0.0, b.dtype(large))?;
    let by_zero = b.eq(large, zero)?;
    let ratio = b.where_(by_zero, zero, ratio)?;
    let tail = b.mul(small, ratio)?;
    let whole = b.add(large, tail)?;
    let (p, q) = (b.where_(real_is_larger, x.re, x.im)?, b.where_(real_is_larger, x.im, x.re)?);
    // re: (a + b·r)/w or (a·r + b)/w; im: (b - a·r)/w or (b·r - a)/w.
    let q_part = b.mul(q, ratio)?;
    let re = b.add(p, q_part)?;
    let re = b.div(re, whole)?;
    let (a_part, b_part) = (b.mul(x.re, ratio)?, b.mul(x.im, ratio)?);
    let (one, other) = (b.sub(x.im, a_part)?, b.sub(b_part, x.re)?);
    let im = b.where_(real_is_larger, one, other)?;
    let im = b.div(im, whole)?;
    Ok(Parts { re, im })
}

/// `1 / x`.
pub fn reciprocal(b: &mut Builder<'_>, x: Parts) -> Result<Parts, OpError> {
    let dtype = b.dtype(x.re);
    let (one, zero) = (b.constant(1.0, dtype)?, b.constant(0.0, dtype)?);
    divided(b, Parts { re: one, im: zero }, x)
}

/// A function computed in double precision.
fn wide(b: &mut Builder<'_>, c: &Call<'_, Val>, f: fn(&mut Builder<'_>, Parts) -> Result<Parts, OpError>) -> Outputs {
    let x = *c.tensor("x")?;
    let dtype = b.dtype(x);
    let x = b.cast(x, DType::C128)?;
    let x = parts(b, x)?;
    let y = f(b, x)?;
    let y = b.complex(y.re, y.im)?;
    Ok(vec![b.cast(y, dtype)?])
}

fn cast(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (x, dtype) = (*c.tensor("x")?, c.dtype("dtype")?);
    if dtype == DType::C32 {
        return Err(OpError::Unsupported("complex numbers of half precision: use complex64".into()));
    }
    if !b.dtype(x).is_complex() {
        let re = b.cast(x, dtype.to_real())?;
        let im = b.constant(0.0, dtype.to_real())?;
        return join(b, Parts { re, im });
    }
    let x = parts(b, x)?;
    if dtype.is_complex() {
        let (re, im) = (b.cast(x.re, dtype.to_real())?, b.cast(x.im, dtype.to_real())?);
        return join(b, Parts { re, im });
    }
    if dtype == DType::Bool {
        let zero = b.constant(0.0, b.dtype(x.re))?;
        let (re, im) = (b.ne(x.re, zero)?, b.ne(x.im, zero)?);
        return Ok(vec![b.or(re, im)?]);
    }
    Ok(vec![b.cast(x.re, dtype)?])
}

fn constant(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let (value, dtype) = (c.arg("value")?.clone(), c.dtype("dtype")?.to_real());
    let (re, im) = match value {
        Arg::Complex(re, im) => (Arg::Float(re), Arg::Float(im)),
        Arg::Bool(v) => (Arg::Float(f64::from(u8::from(v))), Arg::Float(0.0)),
        other => (other, Arg::Float(0.0)),
    };
    let (re, im) = (b.scalar_like(&re, dtype)?, b.scalar_like(&im, dtype)?);
    join(b, Parts { re, im })
}

/// Elements `start, start + step, …` of one dimension, `size` of them.
fn stepped(b: &mut Builder<'_>, x: Parts, dim: usize, start: i64, size: i64, step: i64) -> Result<Parts, OpError> {
    let (start, size) = (Dim::int(start), Dim::int(size));
    Ok(Parts { re: b.slice_dim(x.re, dim, &start, &size, step)?, im: b.slice_dim(x.im, dim, &start, &size, step)? })
}

/// Products are made of neighbours, level by level; everything else is real or does the same to both parts.
fn reduce(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    if c.str("kind")? == "sum" {
        return each_part(b, c);
    }
    if c.str("kind")? != "prod" {
        return Err(OpError::Unsupported(format!("a reduction `{}` of complex numbers", c.str("kind")?)));
    }
    let mut dims: Vec<usize> = c.ints("dims")?.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    dims.sort_unstable();
    let mut x = parts(b, *c.tensor("x")?)?;
    for &dim in dims.iter().rev() {
        let mut size = known_size(b, x, dim)?;
        if size == 0 {
            let mut shape = b.shape(x.re);
            shape[dim] = Dim::ONE;
            let dtype = b.dtype(x.re);
            x = Parts { re: b.full(&shape, &Arg::Float(1.0), dtype)?, im: b.full(&shape, &Arg::Float(0.0), dtype)? };
            size = 1;
        }
        while size > 1 {
            let half = size / 2;
            let (low, high) = (stepped(b, x, dim, 0, half, 1)?, stepped(b, x, dim, half, half, 1)?);
            let mut next = product(b, low, high)?;
            if size % 2 == 1 {
                let last = stepped(b, x, dim, size - 1, 1, 1)?;
                next = Parts { re: b.cat(&[next.re, last.re], dim)?, im: b.cat(&[next.im, last.im], dim)? };
            }
            x = next;
            size = half + size % 2;
        }
        x = Parts { re: b.squeeze(x.re, dim)?, im: b.squeeze(x.im, dim)? };
    }
    join(b, x)
}

/// The number of elements of one dimension.
fn known_size(b: &Builder<'_>, x: Parts, dim: usize) -> Result<i64, OpError> {
    b.shape(x.re).get(dim).and_then(Dim::as_int).ok_or_else(|| {
        OpError::Unsupported(
            "a product of complex numbers over a dynamic dimension: export it with a fixed size".into(),
        )
    })
}

/// Running products by doubling distances (Hillis and Steele 1986).
fn scan(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let kind = c.str("kind")?;
    if kind == "sum" {
        return each_part(b, c);
    }
    if kind != "prod" {
        return Err(OpError::Unsupported(format!("a scan `{kind}` of complex numbers")));
    }
    let dim = usize::try_from(c.int("dim")?).map_err(|_| OpError::invalid("a negative dimension"))?;
    let mut x = parts(b, *c.tensor("x")?)?;
    let size = known_size(b, x, dim)?;
    let mut distance = 1;
    while distance < size {
        let (low, high) =
            (stepped(b, x, dim, 0, size - distance, 1)?, stepped(b, x, dim, distance, size - distance, 1)?);
        let (first, rest) = (stepped(b, x, dim, 0, distance, 1)?, product(b, low, high)?);
        x = Parts { re: b.cat(&[first.re, rest.re], dim)?, im: b.cat(&[first.im, rest.im], dim)? };
        distance *= 2;
    }
    join(b, x)
}
