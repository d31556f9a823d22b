//! Gradients of views and lookups: what flows back into the places that were read.

use crate::{Builder, Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::formula(
        "select_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt index) -> Tensor",
        |b, c| {
            let (zeros, _) = target(b, c)?;
            let (g, dim, index) = (c.arg("grad_output")?.clone(), c.arg("dim")?.clone(), c.arg("index")?.clone());
            b.with_defaults("aten.select_scatter.default", vec![zeros, g, dim, index])
        },
    ),
    OpDef::formula(
        "slice_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt start, SymInt end, SymInt step) -> Tensor",
        |b, c| {
            let (zeros, _) = target(b, c)?;
            let rest = ["dim", "start", "end", "step"].map(|n| c.arg(n).cloned());
            let rest = rest.into_iter().collect::<Result<Vec<_>, _>>()?;
            b.with_defaults("aten.slice_scatter.default", [vec![zeros, c.arg("grad_output")?.clone()], rest].concat())
        },
    ),
    OpDef::formula(
        "diagonal_backward(Tensor grad_output, SymInt[] input_sizes, int offset, int dim1, int dim2) -> Tensor",
        |b, c| {
            let (zeros, _) = target(b, c)?;
            let rest = ["offset", "dim1", "dim2"].map(|n| c.arg(n).cloned());
            let rest = rest.into_iter().collect::<Result<Vec<_>, _>>()?;
            b.with_defaults(
                "aten.diagonal_scatter.default",
                [vec![zeros, c.arg("grad_output")?.clone()], rest].concat(),
            )
        },
    ),
    OpDef::formula(
        "index_select_backward(Tensor grad, SymInt[] self_sizes, int dim, Tensor index) -> Tensor",
        |b, c| {
            let g = *c.tensor("grad")?;
            let zeros = zeros(b, &c.dims("self_sizes")?, b.dtype(g))?;
            let args = vec![Arg::Tensor(zeros), c.arg("dim")?.clone(), c.arg("index")?.clone(), Arg::Tensor(g)];
            b.with_defaults("aten.index_add.default", args)
        },
    ),
    OpDef::formula(
        "value_selecting_reduction_backward(Tensor grad, int dim, Tensor indices, SymInt[] sizes, bool keepdim) -> Tensor",
        |b, c| {
            let (mut g, mut at, sizes) = (*c.tensor("grad")?, *c.tensor("indices")?, c.dims("sizes")?);
            let dim = wrap_dim(c.int("dim")?, sizes.len())?;
            if !c.bool("keepdim")? && !sizes.is_empty() {
                (g, at) = (b.unsqueeze(g, dim)?, b.unsqueeze(at, dim)?);
            }
            let dtype = b.dtype(g);
            let into = zeros(b, &sizes, dtype)?;
            b.with_defaults(
                "aten.scatter.src",
                vec![Arg::Tensor(into), crate::builder::int(dim), Arg::Tensor(at), Arg::Tensor(g)],
            )
        },
    ),
    OpDef::formula(
        "gather_backward(Tensor grad, Tensor self, int dim, Tensor index, bool sparse_grad) -> Tensor",
        |b, c| {
            let x = *c.tensor("self")?;
            let (shape, dtype) = (b.shape(x), b.dtype(x));
            let into = zeros(b, &shape, dtype)?;
            let rest =
                ["dim", "index", "grad"].map(|n| c.arg(n).cloned()).into_iter().collect::<Result<Vec<_>, _>>()?;
            b.with_defaults("aten.scatter_add.default", [vec![Arg::Tensor(into)], rest].concat())
        },
    ),
    OpDef::formula("masked_select_backward(Tensor grad, Tensor input, Tensor mask) -> Tensor", |b, c| {
        let x = *c.tensor("input")?;
        let (shape, dtype) = (b.shape(x), b.dtype(x));
        let into = zeros(b, &shape, dtype)?;
        b.with_defaults(
            "aten.masked_scatter.default",
            vec![Arg::Tensor(into), c.arg("mask")?.clone(), c.arg("grad")?.clone()],
        )
    }),
    OpDef::formula("trace_backward(Tensor grad, SymInt[] sizes) -> Tensor", |b, c| {
        let (g, sizes) = (*c.tensor("grad")?, c.dims("sizes")?);
        let [rows, columns] = sizes.as_slice() else { return Err(OpError::invalid("the trace is of a matrix")) };
        let (row, column) = (b.iota(rows, DType::I64)?, b.iota(columns, DType::I64)?);
        let row = b.unsqueeze(row, 1)?;
        let dtype = b.dtype(g);
        let (diagonal, zero) = (b.eq(row, column)?, b.constant(0.0, dtype)?);
        Ok(vec![b.where_(diagonal, g, zero)?])
    }),
    OpDef::formula(
        "unfold_backward(Tensor grad_in, SymInt[] input_sizes, int dim, int size, int step) -> Tensor",
        unfold,
    ),
    OpDef::formula(
        "embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq) -> Tensor",
        |b, c| embedding(b, c, "grad_output"),
    ),
    OpDef::formula(
        "embedding_backward(Tensor grad, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq, bool sparse) -> Tensor",
        |b, c| embedding(b, c, "grad"),
    ),
];

fn zeros(b: &mut Builder<'_>, shape: &[Dim], dtype: DType) -> Result<Val, OpError> {
    b.full(shape, &Arg::Int(Dim::ZERO), dtype)
}

fn target(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<(Arg<Val>, Val), OpError> {
    let g = *c.tensor("grad_output")?;
    let made = zeros(b, &c.dims("input_sizes")?, b.dtype(g))?;
    Ok((Arg::Tensor(made), g))
}

/// Windows overlap: their elements are added up.
fn unfold(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let (g, sizes) = (*c.tensor("grad_in")?, c.dims("input_sizes")?);
    let dim = wrap_dim(c.int("dim")?, sizes.len())?;
    let (rank, dtype) = (b.rank(g), b.dtype(g));
    let shape = b.shape(g);
    let count = shape.get(dim).ok_or_else(|| OpError::invalid("the unfolded dimension is missing"))?.clone();
    let window = Dim::int(c.int("size")?);
    // The windows and their elements first: [n, size, rest…].
    let order: Vec<usize> = [dim, rank - 1].into_iter().chain((0..rank - 1).filter(|&d| d != dim)).collect();
    let values = b.permute(g, &order)?;
    let start = b.iota(&count, DType::I64)?;
    let step = b.constant(c.int("step")? as f64, DType::I64)?;
    let start = b.mul(start, step)?;
    let start = b.unsqueeze(start, 1)?;
    let within = b.iota(&window, DType::I64)?;
    let at = b.add(start, within)?;
    let mut rest = sizes.clone();
    let moved = rest.remove(dim);
    let into = zeros(b, &[&[moved], &rest[..]].concat(), dtype)?;
    let sum = b.index_put(into, &[at], values, true)?;
    let back: Vec<usize> = (1..=dim).chain([0]).chain(dim + 1..sizes.len()).collect();
    Ok(vec![b.permute(sum, &back)?])
}

fn embedding(b: &mut Builder<'_>, c: &Call<'_, Val>, grad: &str) -> Result<Vec<Val>, OpError> {
    let (g, indices) = (*c.tensor(grad)?, *c.tensor("indices")?);
    let indices = b.cast(indices, DType::I64)?;
    let (shape, dtype) = (b.shape(g), b.dtype(g));
    let compute = crate::formula::common::wide(dtype);
    let g = b.cast(g, compute)?;
    let width = shape.last().cloned().unwrap_or(Dim::ONE);
    let rows = c.dim("num_weights")?;
    let padding = b.constant_dim(&c.dim("padding_idx")?, DType::I64)?;
    let skipped = b.eq(indices, padding)?;
    let rank = b.rank(indices);
    let mut factor = b.constant(1.0, compute)?;
    if c.bool("scale_grad_by_freq")? {
        let none = zeros(b, std::slice::from_ref(&rows), compute)?;
        let counts = b.index_put(none, &[indices], factor, true)?;
        let counts = b.take(counts, indices, 0)?;
        let inverse = b.reciprocal(counts)?;
        factor = b.unsqueeze(inverse, rank)?;
    }
    let g = b.mul(g, factor)?;
    let zero = b.constant(0.0, compute)?;
    let skipped = b.unsqueeze(skipped, rank)?;
    let g = b.where_(skipped, zero, g)?;
    let into = zeros(b, &[rows, width], compute)?;
    let sum = b.index_put(into, &[indices], g, true)?;
    Ok(vec![b.cast(sum, dtype)?])
}
