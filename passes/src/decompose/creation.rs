//! Operators that make tensors from sizes and numbers.

use super::common::{plus, times};
use super::unary::iota_along;
use super::{Builder, Decomposition, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::aten::creation::{bounds, triangle_elements, window_terms, window_turn};
use pt2c_ops::{Call, OpError, infer};

/// One number everywhere in the inferred shape.
macro_rules! filled {
    ($op:literal, $number:expr) => {
        (concat!("aten.", $op), |b, c| filled(b, c, &Arg::Int(Dim::int($number))))
    };
    ($op:literal, arg $name:literal) => {
        (concat!("aten.", $op), |b, c| filled(b, c, c.arg($name)?))
    };
}

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    filled!("zeros.default", 0),
    filled!("_efficientzerotensor.default", 0),
    filled!("ones.default", 1),
    filled!("full.default", arg "fill_value"),
    filled!("empty.memory_format", 0),
    filled!("empty_permuted.default", 0),
    filled!("empty_strided.default", 0),
    filled!("scalar_tensor.default", arg "s"),
    filled!("new_zeros.default", 0),
    filled!("new_ones.default", 1),
    filled!("new_full.default", arg "fill_value"),
    filled!("new_empty.default", 0),
    filled!("new_empty_strided.default", 0),
    filled!("zeros_like.default", 0),
    filled!("ones_like.default", 1),
    filled!("full_like.default", arg "fill_value"),
    filled!("empty_like.default", 0),
    filled!("zero.default", 0),
    filled!("fill.Scalar", arg "value"),
    ("aten.fill.Tensor", |b, c| spread(b, c, "value")),
    ("aten.copy.default", |b, c| spread(b, c, "src")),
    ("aten.arange.default", arange),
    ("aten.arange.start", arange),
    ("aten.arange.start_step", arange),
    ("aten.eye.default", eye),
    ("aten.eye.m", eye),
    ("aten.tril.default", |b, c| triangle(b, c, true)),
    ("aten.triu.default", |b, c| triangle(b, c, false)),
    ("aten.tril_indices.default", |b, c| triangle_indices(b, c, true)),
    ("aten.triu_indices.default", |b, c| triangle_indices(b, c, false)),
    ("aten.hann_window.default", window),
    ("aten.hann_window.periodic", window),
    ("aten.hamming_window.default", window),
    ("aten.hamming_window.periodic", window),
    ("aten.blackman_window.default", window),
    ("aten.blackman_window.periodic", window),
];

/// What the operator's own inference says of its output.
pub(super) fn fact_of(b: &Builder<'_>, c: &Call<'_, Val>) -> Result<Fact, OpError> {
    let args: Vec<Arg<Fact>> = c.args.iter().map(|a| a.map(|&v| b.fact(v))).collect();
    infer(&c.op.name, &args, b.scope())?.pop().ok_or_else(|| OpError::invalid("no output"))
}

fn filled(b: &mut Builder<'_>, c: &Call<'_, Val>, number: &Arg<Val>) -> Result<Vec<Val>, OpError> {
    let fact = fact_of(b, c)?;
    Ok(vec![b.full(&fact.shape, number, fact.dtype)?])
}

/// An operand in the dtype and shape of `self`.
fn spread(b: &mut Builder<'_>, c: &Call<'_, Val>, name: &str) -> Result<Vec<Val>, OpError> {
    let fact = b.fact(*c.tensor("self")?);
    let x = b.operand(c, name, fact.dtype)?;
    Ok(vec![b.expand(x, &fact.shape)?])
}

fn arange(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let fact = fact_of(b, c)?;
    let size = fact.shape.first().ok_or_else(|| OpError::invalid("a range has one dimension"))?;
    let [start, _, step] = bounds(c)?;
    let is = |a: &Arg<Val>, n: i64| a.as_int() == Some(n);
    if is(&start, 0) && is(&step, 1) {
        return Ok(vec![b.iota(size, fact.dtype)?]);
    }
    // In i64 or f64, then rounded once.
    let inner = if matches!((&start, &step), (Arg::Int(_), Arg::Int(_))) { DType::I64 } else { DType::F64 };
    let mut x = b.iota(size, inner)?;
    if !is(&step, 1) {
        let step = b.scalar_like(&step, inner)?;
        x = b.mul(x, step)?;
    }
    if !is(&start, 0) {
        let start = b.scalar_like(&start, inner)?;
        x = b.add(x, start)?;
    }
    Ok(vec![b.cast(x, fact.dtype)?])
}

fn eye(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let fact = fact_of(b, c)?;
    let (rows, columns) = (iota_along(b, &fact.shape, 0, DType::I64)?, iota_along(b, &fact.shape, 1, DType::I64)?);
    let diagonal = b.eq(rows, columns)?;
    Ok(vec![b.cast(diagonal, fact.dtype)?])
}

fn triangle(b: &mut Builder<'_>, c: &Call<'_, Val>, lower: bool) -> Result<Vec<Val>, OpError> {
    let x = *c.tensor("self")?;
    let fact = b.fact(x);
    let matrix = fact.shape.len().checked_sub(2).and_then(|at| fact.shape.get(at..));
    let matrix = matrix.ok_or_else(|| OpError::invalid("a triangle needs a matrix"))?;
    let (rows, columns) = (iota_along(b, matrix, 0, DType::I64)?, iota_along(b, matrix, 1, DType::I64)?);
    let diagonal = b.scalar_like(c.arg("diagonal")?, DType::I64)?;
    let limit = b.add(rows, diagonal)?;
    let keep = if lower { b.le(columns, limit)? } else { b.ge(columns, limit)? };
    let zero = b.constant(0.0, fact.dtype)?;
    Ok(vec![b.where_(keep, x, zero)?])
}

/// Row by row: each row's columns are a range.
fn triangle_indices(b: &mut Builder<'_>, c: &Call<'_, Val>, lower: bool) -> Result<Vec<Val>, OpError> {
    let elements = triangle_elements(c, lower)?;
    let dtype = fact_of(b, c)?.dtype;
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for run in elements.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(row, first)) = run.first() else { continue };
        let n = Dim::int(run.len() as i64);
        rows.push(b.full(std::slice::from_ref(&n), &Arg::Int(Dim::int(row)), dtype)?);
        let range = b.iota(&n, dtype)?;
        columns.push(if first == 0 { range } else { plus(b, range, first as f64)? });
    }
    if rows.is_empty() {
        return Ok(vec![b.full(&[Dim::int(2), Dim::ZERO], &Arg::Int(Dim::ZERO), dtype)?]);
    }
    let (rows, columns) = (b.cat(&rows, 0)?, b.cat(&columns, 0)?);
    let pair = [b.unsqueeze(rows, 0)?, b.unsqueeze(columns, 0)?];
    Ok(vec![b.cat(&pair, 0)?])
}

fn window(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let fact = fact_of(b, c)?;
    if fact.shape == [Dim::ONE] {
        return Ok(vec![b.full(&fact.shape, &Arg::Float(1.0), fact.dtype)?]);
    }
    let size = fact.shape.first().ok_or_else(|| OpError::invalid("a window has one dimension"))?;
    let ([constant, one, two], turn) = (window_terms(&c.op.name), window_turn(c)?);
    let i = b.iota(size, DType::F64)?;
    let phase = times(b, i, 2.0 * std::f64::consts::PI / turn)?;
    let cos = b.cos(phase)?;
    let mut y = times(b, cos, one)?;
    if two != 0.0 {
        let doubled = times(b, phase, 2.0)?;
        let cos = b.cos(doubled)?;
        let second = times(b, cos, two)?;
        y = b.add(y, second)?;
    }
    let y = plus(b, y, constant)?;
    Ok(vec![b.cast(y, fact.dtype)?])
}
