//! Operators that make tensors from sizes and numbers.

use crate::{Call, OpDef, OpError, Scalar, Tensor};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// One number everywhere. How dtype and shape are found, and which number.
macro_rules! filled {
    ($schema:literal, $infer:expr, $number:expr) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![$infer(c)?]),
            |c| {
                let number: fn(&Call<'_, Tensor>) -> Result<Scalar, OpError> = $number;
                full(c, number(c)?)
            },
        )
    };
}

/// Operators given by inference of one fact and evaluation of one tensor of it.
macro_rules! made {
    ($schema:literal, $infer:expr, $eval:expr) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![$infer(c)?]),
            |c| {
                let fact = inferred(c)?;
                let shape = crate::shape::known(&fact.shape)?;
                let eval: fn(&Call<'_, Tensor>, DType, &[usize]) -> Result<Tensor, OpError> = $eval;
                Ok(vec![eval(c, fact.dtype, &shape)?])
            },
        )
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    filled!(
        "zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "_efficientzerotensor(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        one
    ),
    filled!(
        "full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        |c| c.number("fill_value")
    ),
    filled!(
        "empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        |c: &Call<'_, Fact>| Ok::<Fact, OpError>(Fact::new(c.opt_dtype("dtype")?.unwrap_or(DType::F32), [])),
        |c| c.number("s")
    ),
    filled!(
        "new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "new_ones(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        one
    ),
    filled!(
        "new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        |c| c.number("fill_value")
    ),
    filled!(
        "new_empty(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        sized,
        zero
    ),
    filled!(
        "zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
        like,
        zero
    ),
    filled!(
        "ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
        like,
        one
    ),
    filled!(
        "full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
        like,
        |c| c.number("fill_value")
    ),
    filled!(
        "empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
        like,
        zero
    ),
    filled!("zero(Tensor self) -> Tensor", like, zero),
    filled!("fill.Scalar(Tensor self, Scalar value) -> Tensor", like, |c| c.number("value")),
    made!("fill.Tensor(Tensor self, Tensor value) -> Tensor", like, |c, dtype, shape| c
        .operand("value", dtype)?
        .broadcast_to(shape)),
    made!("copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor", like, |c, dtype, shape| c
        .operand("src", dtype)?
        .broadcast_to(shape)),
    made!(
        "arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        range,
        arange
    ),
    made!(
        "arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        range,
        arange
    ),
    made!(
        "arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        range,
        arange
    ),
    made!(
        "eye(SymInt n, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        square,
        eye
    ),
    made!(
        "eye.m(SymInt n, SymInt m, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        square,
        eye
    ),
    made!("tril(Tensor self, SymInt diagonal=0) -> Tensor", like, |c, dtype, shape| triangle(
        c,
        dtype,
        shape,
        |below, k| below <= k
    )),
    made!("triu(Tensor self, SymInt diagonal=0) -> Tensor", like, |c, dtype, shape| triangle(
        c,
        dtype,
        shape,
        |below, k| below >= k
    )),
    made!(
        "tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        |c| infer_indices(c, true),
        |c, dtype, _| indices(c, dtype, true)
    ),
    made!(
        "triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        |c| infer_indices(c, false),
        |c, dtype, _| indices(c, dtype, false)
    ),
    made!(
        "hann_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
    made!(
        "hann_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
    made!(
        "hamming_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
    made!(
        "hamming_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
    made!(
        "blackman_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
    made!(
        "blackman_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        window,
        cosine
    ),
];

fn zero(_: &Call<'_, Tensor>) -> Result<Scalar, OpError> {
    Ok(Scalar::Int(0))
}

fn one(_: &Call<'_, Tensor>) -> Result<Scalar, OpError> {
    Ok(Scalar::Int(1))
}

/// The fact of a call's output, from its evaluation arguments.
fn inferred(c: &Call<'_, Tensor>) -> Result<Fact, OpError> {
    let args: Vec<Arg<Fact>> = c.args.iter().map(|a| a.map(Tensor::fact)).collect();
    let mut facts = (c.op.def.infer)(&Call { op: c.op, args: &args, scope: c.scope })?;
    facts.pop().ok_or_else(|| OpError::invalid("no output"))
}

fn full(c: &Call<'_, Tensor>, number: Scalar) -> Result<Vec<Tensor>, OpError> {
    let fact = inferred(c)?;
    Ok(vec![Tensor::full(fact.dtype, &crate::shape::known(&fact.shape)?, number)])
}

/// The dtype of a Python number on its own.
fn dtype_of_number<T>(arg: &Arg<T>) -> DType {
    match arg {
        Arg::Bool(_) => DType::Bool,
        Arg::Int(_) => DType::I64,
        Arg::Complex(..) => DType::C64,
        _ => DType::F32,
    }
}

/// `size` and `dtype`; without a dtype that of `self`, of the fill value, or f32.
fn sized(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let dtype = match c.opt_dtype("dtype")? {
        Some(dtype) => dtype,
        None if c.op.schema.position("self").is_some() => c.tensor("self")?.dtype,
        None if c.op.schema.position("fill_value").is_some() => dtype_of_number(c.arg("fill_value")?),
        None => DType::F32,
    };
    Ok(Fact::new(dtype, c.dims("size")?))
}

/// The shape of `self`; its dtype unless another is given.
fn like(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let x = c.tensor("self")?;
    let asked = if c.op.schema.position("dtype").is_some() { c.opt_dtype("dtype")? } else { None };
    Ok(Fact::new(asked.unwrap_or(x.dtype), x.shape.clone()))
}

/// Start, end and step of a range; absent ones are 0 and 1.
pub fn bounds<T: Clone>(c: &Call<'_, T>) -> Result<[Arg<T>; 3], OpError> {
    let or = |name: &str, default: i64| {
        if c.op.schema.position(name).is_some() { c.arg(name).cloned() } else { Ok(Arg::Int(Dim::int(default))) }
    };
    Ok([or("start", 0)?, or("end", 0)?, or("step", 1)?])
}

fn range(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let [start, end, step] = bounds(c)?;
    let integral = [&start, &end, &step].into_iter().all(|a| matches!(a, Arg::Int(_)));
    let dtype = c.opt_dtype("dtype")?.unwrap_or(if integral { DType::I64 } else { DType::F32 });
    let bad = || OpError::invalid("`arange` needs a step that leads from its start to its end");
    let size = match (&start, &end, &step) {
        (Arg::Int(a), Arg::Int(b), Arg::Int(s)) => {
            let (span, s) =
                if c.scope.prove_lt(s, &Dim::ZERO).is_yes() { (a - b, &Dim::ZERO - s) } else { (b - a, s.clone()) };
            if s.is_zero() || c.scope.prove_lt(&span, &Dim::ZERO).is_yes() {
                return Err(bad());
            }
            span.ceil_div(&s)
        }
        _ => {
            let value = |a: &Arg<Fact>| {
                a.as_float().ok_or_else(|| {
                    OpError::Unsupported(
                        "`arange` of symbolic sizes with a fractional bound: make all bounds integers".into(),
                    )
                })
            };
            let size = ((value(&end)? - value(&start)?) / value(&step)?).ceil();
            if !(0.0..1e15).contains(&size) {
                return Err(bad());
            }
            Dim::int(size as i64)
        }
    };
    Ok(Fact::new(dtype, [size]))
}

fn arange(c: &Call<'_, Tensor>, dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    let [start, _, step] = bounds(c)?;
    let bad = || OpError::invalid("`arange` needs numbers");
    Ok(if let (Arg::Int(a), Arg::Int(s)) = (&start, &step) {
        let (a, s) = (a.as_int().ok_or_else(bad)?, s.as_int().ok_or_else(bad)?);
        Tensor::from_fn(dtype, shape, |i| Scalar::Int(a + i as i64 * s))
    } else {
        let (a, s) = (start.as_float().ok_or_else(bad)?, step.as_float().ok_or_else(bad)?);
        Tensor::from_fn(dtype, shape, |i| Scalar::Float(a + i as f64 * s))
    })
}

fn square(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let n = c.dim("n")?;
    let m = if c.op.schema.position("m").is_some() { c.dim("m")? } else { n.clone() };
    Ok(Fact::new(c.opt_dtype("dtype")?.unwrap_or(DType::F32), [n, m]))
}

fn eye(_: &Call<'_, Tensor>, dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    let m = shape.last().copied().unwrap_or(1).max(1);
    Ok(Tensor::from_fn(dtype, shape, |i| Scalar::Bool(i / m == i % m)))
}

fn triangle(
    c: &Call<'_, Tensor>,
    dtype: DType,
    shape: &[usize],
    keep: fn(i64, i64) -> bool,
) -> Result<Tensor, OpError> {
    let (x, k) = (c.tensor("self")?, c.int("diagonal")?);
    let [.., rows, columns] = shape else {
        return Err(OpError::invalid("a triangle needs a matrix"));
    };
    let (rows, columns) = ((*rows).max(1), (*columns).max(1));
    Ok(Tensor::from_fn(dtype, shape, |i| {
        let (row, column) = (i / columns % rows, i % columns);
        if keep(column as i64 - row as i64, k) { x.get(i) } else { Scalar::Int(0) }
    }))
}

/// Row and column of every element of a triangle, row by row.
pub fn triangle_elements<T>(c: &Call<'_, T>, lower: bool) -> Result<Vec<(i64, i64)>, OpError> {
    let (rows, columns, offset) = (c.int("row")?, c.int("col")?, c.int("offset")?);
    if rows < 0 || columns < 0 || rows.saturating_mul(columns) > 1 << 28 {
        return Err(OpError::invalid("the triangle's sizes are out of range"));
    }
    let inside = |r: i64, k: i64| if lower { k - r <= offset } else { k - r >= offset };
    Ok((0..rows).flat_map(|r| (0..columns).map(move |k| (r, k))).filter(|&(r, k)| inside(r, k)).collect())
}

fn infer_indices(c: &Call<'_, Fact>, lower: bool) -> Result<Fact, OpError> {
    let n = triangle_elements(c, lower)?.len();
    Ok(Fact::new(c.opt_dtype("dtype")?.unwrap_or(DType::I64), [Dim::int(2), Dim::int(n as i64)]))
}

fn indices(c: &Call<'_, Tensor>, dtype: DType, lower: bool) -> Result<Tensor, OpError> {
    let at = triangle_elements(c, lower)?;
    let values: Vec<i64> = at.iter().map(|p| p.0).chain(at.iter().map(|p| p.1)).collect();
    Ok(Tensor::ints(dtype, &[2, at.len()], values))
}

fn window(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    Ok(Fact::new(c.opt_dtype("dtype")?.unwrap_or(DType::F32), [c.dim("window_length")?]))
}

/// Coefficients of the cosines of 0, 1 and 2 turns.
pub fn window_terms(op: &str) -> [f64; 3] {
    match op {
        _ if op.contains("hann") => [0.5, -0.5, 0.0],
        _ if op.contains("hamming") => [0.54, -0.46, 0.0],
        _ => [0.42, -0.5, 0.08],
    }
}

/// The number of steps in one turn of a window: one less than its length if it is not periodic.
pub fn window_turn<T>(c: &Call<'_, T>) -> Result<f64, OpError> {
    let n = c.int("window_length")? as f64;
    let periodic = c.op.schema.position("periodic").is_none() || c.bool("periodic")?;
    Ok(if periodic { n } else { n - 1.0 })
}

fn cosine(c: &Call<'_, Tensor>, dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    let ([a, b, d], turn) = (window_terms(&c.op.name), window_turn(c)?);
    if shape == [1] {
        return Ok(Tensor::full(dtype, shape, Scalar::Int(1)));
    }
    Ok(Tensor::from_fn(dtype, shape, |i| {
        let phase = 2.0 * std::f64::consts::PI * i as f64 / turn;
        Scalar::Float(a + b * phase.cos() + d * (2.0 * phase).cos())
    }))
}
