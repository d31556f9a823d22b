//! Norms of matrices, and conditions.

use super::lu::inverse_of;
use super::spectral::svd;
use super::{reduce, sizes};
use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "linalg_matrix_norm(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        |s, c| { vec![over(s, c, &Order::Number(c.float("ord")?), c.ints("dim")?)?] }
    ),
    formula!(
        "linalg_matrix_norm.str_ord(Tensor self, str ord=\"fro\", int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        |s, c| { vec![over(s, c, &Order::named(c.str("ord")?)?, c.ints("dim")?)?] }
    ),
    formula!(
        "linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        |s, c| {
            let dims = c.opt_ints("dim")?;
            let x = s.arg(c, "self");
            match (c.opt_float("ord")?, dims) {
                (None, dims) => vec![vector(s, c, x, 2.0, dims)],
                (Some(ord), Some(dims)) if dims.len() == 2 => vec![over(s, c, &Order::Number(ord), dims)?],
                (Some(ord), None) if x.rank() == 2 => vec![over(s, c, &Order::Number(ord), vec![0, 1])?],
                (Some(ord), dims) => vec![vector(s, c, x, ord, dims)],
            }
        }
    ),
    formula!(
        "linalg_norm.ord_str(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
        |s, c| { vec![over(s, c, &Order::named(c.str("ord")?)?, c.opt_ints("dim")?.unwrap_or_else(|| vec![-2, -1]))?] }
    ),
    formula!("frobenius_norm.dim(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", |s, c| {
        vec![vector(s, c, s.arg(c, "self"), 2.0, Some(c.ints("dim")?))]
    }),
    formula!("nuclear_norm(Tensor self, bool keepdim=False) -> Tensor", |s, c| vec![over(
        s,
        c,
        &Order::Nuclear,
        vec![-2, -1]
    )?]),
    formula!("nuclear_norm.dim(Tensor self, int[2] dim, bool keepdim=False) -> Tensor", |s, c| vec![over(
        s,
        c,
        &Order::Nuclear,
        c.ints("dim")?
    )?]),
    formula!("linalg_cond(Tensor self, Scalar? p=None) -> Tensor", |s, c| {
        let p = c.opt_float("p")?.unwrap_or(2.0);
        vec![condition(s, c, &Order::Number(p))?]
    }),
    formula!("linalg_cond.p_str(Tensor self, str p) -> Tensor", |s, c| vec![condition(
        s,
        c,
        &Order::named(c.str("p")?)?
    )?]),
];

/// Which norm.
enum Order {
    Frobenius,
    Nuclear,
    Number(f64),
}

impl Order {
    fn named(name: &str) -> Result<Order, OpError> {
        match name {
            "fro" => Ok(Order::Frobenius),
            "nuc" => Ok(Order::Nuclear),
            other => Err(OpError::Invalid(format!("there is no matrix norm `{other}`"))),
        }
    }
}

fn asked(c: &Call<'_, Val>) -> Result<Option<DType>, OpError> {
    if c.op.schema.position("dtype").is_some() { c.opt_dtype("dtype") } else { Ok(None) }
}

/// A vector norm over dimensions.
fn vector<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: Term<'s>, ord: f64, dims: Option<Vec<i64>>) -> Term<'s> {
    let dims = dims.map_or(Arg::None, |d| Arg::Ints(d.into_iter().map(Dim::int).collect()));
    s.step(|b| {
        let dtype = asked(c)?.map_or(Arg::None, Arg::DType);
        let args = vec![Arg::Tensor(x.value()), Arg::Float(ord), dims.clone(), c.arg("keepdim")?.clone(), dtype];
        b.op("aten.linalg_vector_norm.default", args)
    })
}

/// The norm of matrices `[…, m, n]`, their dimensions removed.
fn norm<'s>(s: &'s Sheet<'_>, a: Term<'s>, ord: &Order) -> Result<Term<'s>, OpError> {
    let values = |a: Term<'s>| {
        let z = sizes(s, a);
        svd(s, a, &z, false)[1]
    };
    Ok(match *ord {
        Order::Frobenius => reduce(a.modulus().squared(), &[0, 1], "sum").sqrt(),
        Order::Nuclear => reduce(values(a), &[0], "sum"),
        // The largest of none is 0.
        Order::Number(2.0) => reduce(values(a), &[0], "max").max(0.0),
        Order::Number(-2.0) => reduce(values(a), &[0], "min"),
        Order::Number(ord) => {
            let size = a.op("aten.abs.default", Vec::new());
            let sums = match ord.abs() {
                1.0 => reduce(size, &[1], "sum"),
                f64::INFINITY => reduce(size, &[0], "sum"),
                _ => return Err(OpError::Invalid(format!("there is no matrix norm {ord}"))),
            };
            if ord > 0.0 { reduce(sums, &[0], "max").max(0.0) } else { reduce(sums, &[0], "min") }
        }
    })
}

/// The norm over two dimensions.
fn over<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, ord: &Order, dims: Vec<i64>) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, "self");
    let x = match asked(c)? {
        Some(dtype) => x.cast(dtype),
        None => x,
    };
    let &[p, q] = dims.as_slice() else { return Err(OpError::invalid("a matrix norm is over two dimensions")) };
    let (p, q) = (wrap_dim(p, x.rank())?, wrap_dim(q, x.rank())?);
    let order: Vec<usize> = (0..x.rank()).filter(|&d| d != p && d != q).chain([p, q]).collect();
    let dtype = x.dtype();
    let result = norm(s, x.wide().then(|b, v| b.permute(v, &order)), ord)?;
    let result = result.cast(if dtype.is_complex() { dtype.to_real() } else { dtype });
    Ok(if c.bool("keepdim")? { result.reshape(&crate::shape::reduced(&x.shape(), &[p, q], true)) } else { result })
}

fn condition<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, ord: &Order) -> Result<Term<'s>, OpError> {
    let a = s.arg(c, "self");
    let z = sizes(s, a);
    if let Order::Number(p) = ord
        && p.abs() == 2.0
    {
        let [_, values, _] = svd(s, a, &z, false);
        let (high, low) = (reduce(values, &[0], "max"), reduce(values, &[0], "min"));
        return Ok(if *p > 0.0 { high / low } else { low / high });
    }
    // Of a singular matrix it is infinite.
    let (inverse, info) = inverse_of(s, a, &z);
    let product = norm(s, a, ord)? * norm(s, inverse, ord)?;
    Ok(info.eq(0.0).pick(product, f64::INFINITY))
}
