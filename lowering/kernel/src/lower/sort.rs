//! Sorting and selection by rank: kernels of their own kind, over materialised row-major operands.

use super::body::Body;
use super::contraction::IsConstant;
use super::{Binding, LowerError, Lowered};
use crate::{Access, Body as KernelBody, Kernel, Sort};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact, Graph, NodeId, ValueId};

type Lowering = Result<Vec<Lowered>, LowerError>;

/// Lines that are sorted at the same time at most: each needs memory to work in.
const AREAS: i64 = 16;

/// What is asked for.
struct Order<'a> {
    x: ValueId,
    dim: usize,
    descending: bool,
    keep: Option<&'a Dim>,
    rows: bool,
}

fn lower(graph: &Graph, root: NodeId, name: &str, scope: &Scope, order: &Order<'_>) -> Lowering {
    let malformed = LowerError::Malformed("sort");
    let mut body = Body::new(graph, scope);
    let fact = body.fact(order.x)?.clone();
    let x = body.param_of(order.x).filter(|_| fact.order.is_row_major()).ok_or(malformed.clone())?;
    let expected: Vec<ValueId> = graph.values(root).collect();
    if graph.output_values().collect::<Vec<_>>() != expected {
        return Err(LowerError::Malformed("the region must return all outputs of its node"));
    }
    let mut outputs = Vec::new();
    for v in &expected {
        let dtype = body.fact(*v)?.dtype;
        outputs.push(body.add_param(&graph.value_name(*v), dtype, Access::Write));
    }
    let scratch = body.add_param("scratch", DType::I64, Access::ReadWrite);
    let product = |sizes: &[Dim]| sizes.iter().fold(Dim::ONE, |n, d| &n * d);
    let len = fact.shape.get(order.dim).cloned().unwrap_or(Dim::ONE);
    let outer = product(fact.shape.get(..order.dim).unwrap_or(&[]));
    let inner = product(fact.shape.get(order.dim + 1..).unwrap_or(&[]));
    let lines = if order.rows { outer.clone() } else { &outer * &inner };
    let areas = scope.simplify(&Dim::max(&Dim::min(&lines, &Dim::int(AREAS)), &Dim::ONE));
    let (values, indices) = match outputs.as_slice() {
        [indices] => (None, *indices),
        [values, indices] => (Some(*values), *indices),
        _ => return Err(malformed),
    };
    let sort = Sort {
        outer,
        keep: order.keep.cloned().unwrap_or_else(|| len.clone()),
        inner,
        descending: order.descending,
        rows: order.rows,
        x,
        values,
        indices,
        scratch,
        areas: areas.clone(),
        len: len.clone(),
    };
    let mut bindings: Vec<Binding> = (0..graph.inputs().len()).map(Binding::Operand).collect();
    bindings.extend((0..outputs.len()).map(Binding::Output));
    let words = scope.simplify(&(areas * len * 4));
    bindings.push(Binding::Scratch(Fact::new(DType::I64, vec![words])));
    let kernel = Kernel { name: name.to_string(), params: body.params, body: KernelBody::Sort(sort) };
    Ok(vec![Lowered { kernel, bindings, repeat: None }])
}

fn dim_of(arg: &Arg) -> Result<usize, LowerError> {
    let dim = arg.as_int().and_then(|d| usize::try_from(d).ok());
    dim.ok_or(LowerError::Malformed("a dimension out of range"))
}

/// `prim.sort(x, dim, descending, stable) -> (values, indices)`, always stable.
pub fn sort(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), dim, Arg::Bool(descending), _] = graph.node(root).args() else {
        return Err(LowerError::Malformed("sort"));
    };
    let order = Order { x: *x, dim: dim_of(dim)?, descending: *descending, keep: None, rows: false };
    lower(graph, root, name, scope, &order)
}

/// `prim.topk(x, k, dim, largest, sorted) -> (values, indices)`, always sorted.
pub fn topk(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x), Arg::Int(k), dim, Arg::Bool(largest), _] = graph.node(root).args() else {
        return Err(LowerError::Malformed("topk"));
    };
    let order = Order { x: *x, dim: dim_of(dim)?, descending: *largest, keep: Some(k), rows: false };
    lower(graph, root, name, scope, &order)
}

/// `prim.sort_rows(x) -> indices`.
pub fn sort_rows(graph: &Graph, root: NodeId, name: &str, scope: &Scope, _: IsConstant<'_>) -> Lowering {
    let [Arg::Tensor(x)] = graph.node(root).args() else { return Err(LowerError::Malformed("sort_rows")) };
    // One line whose elements are the rows.
    let order = Order { x: *x, dim: 0, descending: false, keep: None, rows: true };
    lower(graph, root, name, scope, &order)
}
