//! Primitives around the computation: checks, symbols that data bind, control flow, and regions made by `fuse`.
//!
//! Bodies of control flow take tensors only and return tensors only. They may speak of the symbols that are bound
//! where the call stands, and bind more.

use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, interpret, shape};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, Fact, Graph};
use std::collections::BTreeMap;

const CONTROL: Tags = Tags::CONTROL.with(Tags::EFFECT);

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new(
        "assert(Tensor cond, str message) -> ()",
        |c| {
            c.tensor("cond")?;
            Ok(Vec::new())
        },
        |c| {
            if c.tensor("cond")?.as_bools().iter().all(|&b| b) {
                Ok(Vec::new())
            } else {
                Err(OpError::Runtime(c.str("message")?.to_string()))
            }
        },
    )
    .tagged(Tags::EFFECT),
    // Gives the symbol its value; one that has a value already must have this one. What is known of the symbol is
    // checked there. The interpreter does it, since only it knows the values of the symbols.
    OpDef::new("bind(Tensor value, SymInt symbol) -> ()", infer_bind, outside).tagged(CONTROL),
    // Positions of the true elements of a vector, in order. Their number is `size`; the caller has bound it.
    OpDef::new("compact(Tensor mask, SymInt size) -> Tensor", infer_compact, compact),
    // Distinct rows in order: stable order of the rows of a matrix, compared element by element.
    OpDef::new("sort_rows(Tensor x) -> Tensor", infer_sort_rows, sort_rows),
    OpDef::new("cond(Tensor pred, Graph then, Graph otherwise, Tensor[] operands) -> (...)", infer_cond, outside)
        .tagged(CONTROL),
    // Both bodies take `carried`, then `captured`. The body gives the next `carried`; so it goes while the condition
    // gives true, and the last `carried` are the results.
    OpDef::new(
        "while(Graph condition, Graph body, Tensor[] carried, Tensor[] captured) -> (...)",
        infer_while,
        outside,
    )
    .tagged(CONTROL),
    // For every index of dimension 0 of the `scanned` tensors (in `size` iterations, backwards if `reverse`): the body
    // takes `carried`, the slices and `captured`, and gives the next `carried`, then slices of the other results.
    OpDef::new(
        "loop(Graph body, Tensor[] carried, Tensor[] scanned, Tensor[] captured, SymInt size, bool reverse) -> (...)",
        infer_loop,
        outside,
    )
    .tagged(CONTROL),
    // The same for every index of dimension 0 of the `scanned` tensors, in any order: the body takes the slices and
    // `captured`, and gives slices of the results. Only up to `batch`, which makes operators or a loop of it.
    OpDef::new("vmap(Graph body, Tensor[] scanned, Tensor[] captured, SymInt size) -> (...)", infer_vmap, outside)
        .tagged(Tags::CONTROL),
    // The interpreter runs a region itself, since only it knows the values of the symbols; this is for bodies
    // without symbolic sizes.
    OpDef::new("region(Tensor[] operands, Graph body, str kind) -> (...)", infer_region, |c| {
        let operands: Vec<_> = c.tensors("operands")?.into_iter().cloned().collect();
        interpret::run_body(body(c)?, &operands, &BTreeMap::new()).map_err(|e| OpError::Invalid(e.to_string()))
    }),
];

fn outside(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    Err(OpError::Invalid(format!("`{}` runs in a program only", c.op.name)))
}

fn infer_bind(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let value = c.tensor("value")?;
    if value.dtype != DType::I64 || value.rank() != 0 {
        return Err(OpError::Invalid(format!("a symbol takes a 0-d i64, not {value}")));
    }
    if c.dim("symbol")?.as_symbol().is_none_or(|s| !Symbol::is_unbacked(s)) {
        return Err(OpError::Invalid(format!("{} is no symbol that data bind", c.dim("symbol")?)));
    }
    Ok(Vec::new())
}

fn infer_compact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let mask = c.tensor("mask")?;
    if mask.dtype != DType::Bool || mask.rank() != 1 {
        return Err(OpError::Invalid(format!("positions are looked for in a vector of booleans, not {mask}")));
    }
    Ok(vec![Fact::new(DType::I64, vec![c.dim("size")?])])
}

fn compact(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let mask = c.tensor("mask")?.as_bools();
    let size = shape::known(&[c.dim("size")?])?.first().copied().unwrap_or(0);
    let found: Vec<i64> = mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i as i64).collect();
    if found.len() != size {
        return Err(OpError::Runtime(format!("{} elements are selected, not {size}", found.len())));
    }
    Ok(vec![Tensor::from_i64(DType::I64, &[size], &found)])
}

fn infer_sort_rows(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    match c.tensor("x")?.shape.as_slice() {
        [rows, _] => Ok(vec![Fact::new(DType::I64, vec![rows.clone()])]),
        _ => Err(OpError::invalid("the rows of a matrix are sorted")),
    }
}

fn sort_rows(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    let [rows, width] = x.shape() else { return Err(OpError::invalid("the rows of a matrix are sorted")) };
    let order = |a: Scalar, b: Scalar| match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => a.cmp(&b),
        (a, b) => {
            let (a, b) = (a.to_f64(), b.to_f64());
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    };
    let mut index: Vec<usize> = (0..*rows).collect();
    index.sort_by(|a, b| {
        let mut all = (0..*width).map(|k| order(x.get(a * width + k), x.get(b * width + k)));
        all.find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(vec![Tensor::from_i64(DType::I64, &[*rows], &index.iter().map(|&i| i as i64).collect::<Vec<_>>())])
}

fn graph<'a, T>(c: &Call<'a, T>, name: &str) -> Result<&'a Graph, OpError> {
    c.arg(name)?.as_graph().map(|g| &**g).ok_or_else(|| OpError::Invalid(format!("`{}` needs a body", c.op.name)))
}

fn body<'a, T>(c: &Call<'a, T>) -> Result<&'a Graph, OpError> {
    graph(c, "body")
}

/// The facts of a body's outputs; an error if it returns anything but tensors or takes another number of them.
fn results(c: &Call<'_, Fact>, name: &str, operands: usize) -> Result<Vec<Fact>, OpError> {
    let body = graph(c, name)?;
    if operands != body.inputs().len() {
        let inputs = body.inputs().len();
        let what = &c.op.schema.name;
        return Err(OpError::Invalid(format!("a {what} of {inputs} inputs has {operands} operands")));
    }
    let fact = |v| body.fact(v).cloned().ok_or_else(|| OpError::invalid("a body returns a value it does not have"));
    let facts = body.output_values().map(fact).collect::<Result<Vec<_>, _>>()?;
    if facts.len() != body.outputs.len() {
        return Err(OpError::invalid("a body returns something that is no tensor"));
    }
    Ok(facts)
}

fn infer_cond(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let pred = c.tensor("pred")?;
    if pred.dtype != DType::Bool || !pred.numel().is_one() {
        return Err(OpError::Invalid(format!("a condition is one boolean, not {pred}")));
    }
    let operands = c.tensors("operands")?.len();
    let (then, otherwise) = (results(c, "then", operands)?, results(c, "otherwise", operands)?);
    if then.len() != otherwise.len() {
        return Err(OpError::invalid("the branches return different numbers of tensors"));
    }
    let both = |(a, b): (&Fact, &Fact)| {
        if a.dtype != b.dtype || a.rank() != b.rank() {
            return Err(OpError::Invalid(format!("one branch returns {a}, the other {b}")));
        }
        // Sizes that differ are found out by running.
        let size = |(x, y): (&Dim, &Dim)| if c.scope.prove_eq(x, y).is_yes() { x.clone() } else { shape::late() };
        Ok(Fact::new(a.dtype, a.shape.iter().zip(&b.shape).map(size).collect::<Vec<_>>()))
    };
    then.iter().zip(&otherwise).map(both).collect()
}

fn infer_while(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (carried, captured) = (c.tensors("carried")?, c.tensors("captured")?);
    let condition = results(c, "condition", carried.len() + captured.len())?;
    if !matches!(condition.as_slice(), [one] if one.dtype == DType::Bool && one.numel().is_one()) {
        return Err(OpError::invalid("the condition of a loop gives one boolean"));
    }
    let next = results(c, "body", carried.len() + captured.len())?;
    if next.len() != carried.len() {
        return Err(OpError::Invalid(format!(
            "a loop carries {} tensors, its body gives {}",
            carried.len(),
            next.len()
        )));
    }
    Ok(carried.into_iter().cloned().collect())
}

fn infer_loop(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let carried = c.tensors("carried")?;
    let operands = carried.len() + c.tensors("scanned")?.len() + c.tensors("captured")?.len();
    let size = c.dim("size")?;
    let results = results(c, "body", operands)?;
    if results.len() < carried.len() {
        return Err(OpError::Invalid(format!("a loop carries {}, its body gives {}", carried.len(), results.len())));
    }
    let stacked = |f: &Fact| stacked(&size, f);
    Ok(carried.iter().map(|f| (*f).clone()).chain(results.iter().skip(carried.len()).map(stacked)).collect())
}

fn infer_vmap(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let size = c.dim("size")?;
    let results = results(c, "body", c.tensors("scanned")?.len() + c.tensors("captured")?.len())?;
    Ok(results.iter().map(|f| stacked(&size, f)).collect())
}

/// So many of these, one behind the other.
fn stacked(size: &Dim, f: &Fact) -> Fact {
    Fact::new(f.dtype, [&[size.clone()], f.shape.as_slice()].concat())
}

/// The facts of the body's outputs. They may speak of the same symbols as the operands.
fn infer_region(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    results(c, "body", c.tensors("operands")?.len())
}
