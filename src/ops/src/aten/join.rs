//! Tensors put together: concatenation, stacking, rolling, replaced regions, diagonal matrices.

use super::slicing::slice_range;
use super::view::{dim_arg, dims_arg, of_self, raise};
use crate::movement::{self, Chain, PlanFn, movements, wrap_index};
use crate::{Call, OpDef, OpError, Scalar, result_type, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

type Plan = Result<Vec<Chain>, OpError>;
type Facts<'a> = Call<'a, Fact>;

movements! {
    "block_diag(Tensor[] tensors) -> Tensor" => block_diag,
    "cartesian_prod(Tensor[] tensors) -> Tensor" => cartesian_prod,
    "cat(Tensor[] tensors, int dim=0) -> Tensor" => cat,
    "column_stack(Tensor[] tensors) -> Tensor" => column_stack,
    "combinations(Tensor self, int r=2, bool with_replacement=False) -> Tensor" => combinations,
    "concat(Tensor[] tensors, int dim=0) -> Tensor" => cat,
    "concatenate(Tensor[] tensors, int dim=0) -> Tensor" => cat,
    "diag(Tensor self, int diagonal=0) -> Tensor" => diag,
    "diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor" => diag_embed,
    "diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor" => diagonal_scatter,
    "dstack(Tensor[] tensors) -> Tensor" => |c| raised(c, 3, 2),
    "hstack(Tensor[] tensors) -> Tensor" => hstack,
    "roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor" => roll,
    "row_stack(Tensor[] tensors) -> Tensor" => |c| raised(c, 2, 0),
    "select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor" => select_scatter,
    "slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor" => slice_scatter,
    "stack(Tensor[] tensors, int dim=0) -> Tensor" => stack,
    "vstack(Tensor[] tensors) -> Tensor" => |c| raised(c, 2, 0),
}

/// A chain for each tensor of the argument `tensors`, and the element type all are converted to.
fn operands(call: &Facts<'_>) -> Result<(Vec<Chain>, DType), OpError> {
    let facts = call.tensors("tensors")?;
    let args: Vec<Arg<Fact>> = facts.iter().map(|f| Arg::Tensor((*f).clone())).collect();
    let dtype = result_type(&args).ok_or_else(|| OpError::invalid("there is nothing to join"))?;
    Ok((facts.iter().enumerate().map(|(i, f)| Chain::new(i, f)).collect(), dtype))
}

fn cat(call: &Facts<'_>) -> Plan {
    let (mut xs, dtype) = operands(call)?;
    // Old code joins onto an empty 1-d tensor; PyTorch leaves such operands out.
    let empty = |x: &Chain| x.rank() == 1 && x.shape[0].is_zero();
    if xs.iter().any(|x| !empty(x)) {
        xs.retain(|x| !empty(x));
    } else {
        xs.truncate(1);
    }
    let dim = dim_arg(call, "dim", xs.first().map_or(0, Chain::rank))?;
    Ok(vec![Chain::cat(xs, dim, dtype)?])
}

fn stack(call: &Facts<'_>) -> Plan {
    let (xs, dtype) = operands(call)?;
    let dim = dim_arg(call, "dim", xs.first().map_or(0, Chain::rank) + 1)?;
    let xs = xs.into_iter().map(|x| x.unsqueeze(dim)).collect();
    Ok(vec![Chain::cat(xs, dim, dtype)?])
}

/// Operands of at least `rank` dimensions joined along `dim`.
fn raised(call: &Facts<'_>, rank: usize, dim: usize) -> Plan {
    let (xs, dtype) = operands(call)?;
    let xs = xs.into_iter().map(|x| if x.rank() < rank { raise(x, rank) } else { x }).collect();
    Ok(vec![Chain::cat(xs, dim, dtype)?])
}

fn hstack(call: &Facts<'_>) -> Plan {
    let rank = call.tensors("tensors")?.iter().map(|x| x.rank()).max().unwrap_or(1);
    raised(call, 1, usize::from(rank > 1))
}

fn column_stack(call: &Facts<'_>) -> Plan {
    let (xs, dtype) = operands(call)?;
    let column = |x: Chain| {
        let rows = x.shape.first().cloned().unwrap_or(Dim::int(1));
        if x.rank() < 2 { x.reshape(vec![rows, Dim::int(1)]) } else { x }
    };
    Ok(vec![Chain::cat(xs.into_iter().map(column).collect(), 1, dtype)?])
}

fn block_diag(call: &Facts<'_>) -> Plan {
    let (xs, dtype) = operands(call)?;
    let xs: Vec<Chain> = xs.into_iter().map(|x| if x.rank() < 2 { raise(x, 2) } else { x }).collect();
    let width: Dim = xs.iter().map(|x| &x.shape[1]).sum();
    let mut before = Dim::int(0);
    let mut blocks = Vec::new();
    for x in xs {
        let own = x.shape[1].clone();
        let after = &(&width - &before) - &own;
        let (low, high) = (vec![Dim::int(0), before.clone()], vec![Dim::int(0), after]);
        blocks.push(x.pad(low, high, Scalar::Int(0)));
        before = &before + &own;
    }
    Ok(vec![Chain::cat(blocks, 0, dtype)?])
}

fn cartesian_prod(call: &Facts<'_>) -> Plan {
    let (xs, dtype) = operands(call)?;
    if xs.len() == 1 {
        return Ok(xs);
    }
    let sizes: Vec<Dim> = xs.iter().map(|x| x.shape.first().cloned().unwrap_or(Dim::int(1))).collect();
    let rows: Dim = sizes.iter().fold(Dim::int(1), |n, d| &n * d);
    let column = |(i, x): (usize, Chain)| {
        let mut shape = vec![Dim::int(1); sizes.len()];
        shape[i] = sizes[i].clone();
        x.reshape(shape).expand(sizes.clone()).reshape(vec![rows.clone(), Dim::int(1)])
    };
    Ok(vec![Chain::cat(xs.into_iter().enumerate().map(column).collect(), 1, dtype)?])
}

fn combinations(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let (r, again) = (call.int("r")?, call.bool("with_replacement")?);
    let r = usize::try_from(r).map_err(|_| OpError::invalid("combinations of a negative number of elements"))?;
    if r == 1 {
        return Ok(vec![x.unsqueeze(1)]);
    }
    if r == 0 {
        return Ok(vec![x.slice(0, Dim::ZERO, Dim::ZERO, 1)]);
    }
    let n = x.shape.first().and_then(Dim::as_int).and_then(|n| usize::try_from(n).ok());
    let n = n.ok_or_else(|| OpError::Unsupported("combinations of a number of elements that is dynamic".into()))?;
    let columns = combined(n, r, again)
        .ok_or_else(|| OpError::Unsupported(format!("more than {MAX_COMBINATIONS} combinations")))?;
    if columns.iter().all(Vec::is_empty) {
        let none = x.slice(0, Dim::ZERO, Dim::ZERO, 1).unsqueeze(1);
        return Ok(vec![none.expand(vec![Dim::ZERO, Dim::int(r as i64)])]);
    }
    let column = |indices: &Vec<usize>| Ok(Chain::cat(runs(&x, indices), 0, x.dtype)?.unsqueeze(1));
    let columns = columns.iter().map(column).collect::<Result<Vec<_>, OpError>>()?;
    Ok(vec![Chain::cat(columns, 1, x.dtype)?])
}

/// Each combination is part of the program.
const MAX_COMBINATIONS: usize = 1 << 14;

/// The combinations of `r` of `n` in lexicographic order, as `r` columns of indices; `None` if they are too many.
fn combined(n: usize, r: usize, again: bool) -> Option<Vec<Vec<usize>>> {
    let mut columns: Vec<Vec<usize>> = vec![(0..n).collect()];
    for _ in 1..r {
        let last = columns.last()?.clone();
        let next = |i: &usize| if again { *i..n } else { i + 1..n };
        if last.iter().map(|i| next(i).len()).sum::<usize>() > MAX_COMBINATIONS {
            return None;
        }
        let repeat = |column: Vec<usize>| {
            let rows = column.into_iter().zip(&last);
            rows.flat_map(|(own, i)| std::iter::repeat_n(own, next(i).len())).collect()
        };
        columns = columns.into_iter().map(repeat).collect();
        columns.push(last.iter().flat_map(next).collect());
    }
    Some(columns)
}

/// Elements at indices, as slices of indices that follow one another and repeated elements.
fn runs(x: &Chain, indices: &[usize]) -> Vec<Chain> {
    let mut runs = Vec::new();
    let mut rest = indices;
    while let Some(&first) = rest.first() {
        let same = rest.iter().take_while(|&&i| i == first).count();
        let rising = rest.iter().zip(first..).take_while(|(i, wanted)| **i == *wanted).count();
        let (take, size) = if same > 1 { (same, 1) } else { (rising, rising) };
        let run = x.clone().slice(0, Dim::int(first as i64), Dim::int(size as i64), 1);
        runs.push(if same > 1 { run.expand(vec![Dim::int(same as i64)]) } else { run });
        rest = rest.get(take..).unwrap_or_default();
    }
    runs
}

fn roll(call: &Facts<'_>) -> Plan {
    let mut x = of_self(call)?;
    let shape = x.shape.clone();
    let shifts = call.dims("shifts")?;
    let mut dims = dims_arg(call, "dims", x.rank())?;
    let flat = dims.is_empty();
    if flat {
        let numel = call.tensor("self")?.numel();
        x = x.reshape(vec![numel]);
        dims = vec![0];
    }
    if dims.len() != shifts.len() {
        return Err(OpError::invalid("roll needs as many dimensions as shifts"));
    }
    for (&dim, shift) in dims.iter().zip(&shifts) {
        let Some(n) = x.shape.get(dim).cloned().filter(|n| !n.is_zero()) else { continue };
        let shift = shift.modulo(&n);
        if shift.is_zero() {
            continue;
        }
        let rest = &n - &shift;
        let moved = x.clone().slice(dim, rest.clone(), shift, 1);
        let dtype = x.dtype;
        x = Chain::cat(vec![moved, x.slice(dim, Dim::int(0), rest, 1)], dim, dtype)?;
    }
    Ok(vec![if flat { x.reshape(shape) } else { x }])
}

fn source(call: &Facts<'_>) -> Result<Chain, OpError> {
    Ok(Chain::new(1, call.tensor("src")?))
}

fn select_scatter(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let index = wrap_index(call.scope, &call.dim("index")?, &x.shape[dim]);
    Ok(vec![x.update(source(call)?.unsqueeze(dim), dim, index, Dim::int(1), 1)])
}

fn slice_scatter(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let step = call.int("step")?;
    let (start, count) = slice_range(call.scope, &x.shape[dim], call.opt_dim("start")?, call.opt_dim("end")?, step)?;
    Ok(vec![x.update(source(call)?, dim, start, count, step)])
}

fn diagonal_scatter(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let rank = x.rank();
    let (a, b) = (dim_arg(call, "dim1", rank)?, dim_arg(call, "dim2", rank)?);
    let offset = call.int("offset")?;
    if a == b || rank < 2 {
        return Err(OpError::invalid("a diagonal lies between two different dimensions"));
    }
    let count = super::slicing::diagonal_size(&x.shape[a], &x.shape[b], offset);
    let order: Vec<usize> = (0..rank).filter(|&d| d != a && d != b).chain([a, b]).collect();
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(i, &d)| back[d] = i);
    let x = x.permute(order);
    let shape = x.shape.clone();
    let Some(width) = shape[rank - 1].as_int() else {
        return Ok(vec![onto_diagonal(x, source(call)?, offset, count).permute(back)]);
    };
    let flat = [&shape[..rank - 2], &[&shape[rank - 2] * &shape[rank - 1]]].concat();
    let first = if count.is_zero() { 0 } else { offset.max(-offset * width) };
    let x = x.reshape(flat).update(source(call)?, rank - 2, Dim::int(first), count, width + 1);
    Ok(vec![x.reshape(shape).permute(back)])
}

/// `x` with `src` on the diagonal between its last two dimensions, whatever their sizes.
fn onto_diagonal(x: Chain, src: Chain, offset: i64, count: Dim) -> Chain {
    let rank = x.rank();
    let (lead, n, m) = (x.shape[..rank - 2].to_vec(), x.shape[rank - 2].clone(), x.shape[rank - 1].clone());
    if offset != 0 {
        // That of the rows or columns behind the offset begins at their corner.
        let (dim, size) = if offset > 0 { (rank - 1, &m) } else { (rank - 2, &n) };
        let start = Dim::int(offset.abs());
        let size = size - &start;
        let part = onto_diagonal(x.clone().slice(dim, start.clone(), size.clone(), 1), src, 0, count);
        return x.update(part, dim, start, size, 1);
    }
    // In rows that are one element longer, the diagonal is the first column.
    let zeros = |last: Dim| [vec![Dim::ZERO; rank - 2], vec![last]].concat();
    let (all, long) = (&n * &m, &m + &Dim::ONE);
    let flat = x.reshape([&lead[..], &[all.clone()]].concat()).pad(zeros(Dim::ZERO), zeros(n.clone()), Scalar::Int(0));
    let rows = flat.reshape([&lead[..], &[n.clone(), long.clone()]].concat());
    let column = rows.clone().slice(rank - 1, Dim::ZERO, Dim::ONE, 1);
    let column = column.update(src.unsqueeze(rank - 1), rank - 2, Dim::ZERO, count, 1);
    let rows = rows.update(column, rank - 1, Dim::ZERO, Dim::ONE, 1);
    let flat = rows.reshape([&lead[..], &[&n * &long]].concat()).slice(rank - 2, Dim::ZERO, all, 1);
    flat.reshape([lead, vec![n, m]].concat())
}

fn diag(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let offset = call.int("diagonal")?;
    match x.rank() {
        1 => embed(x, offset).map(|x| vec![x]),
        2 => super::slicing::diagonal_chain(x, offset, 0, 1).map(|x| vec![x]),
        rank => Err(OpError::Invalid(format!("diag takes one or two dimensions, not {rank}"))),
    }
}

fn diag_embed(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let rank = x.rank() + 1;
    let (a, b) = (wrap_dim(call.int("dim1")?, rank)?, wrap_dim(call.int("dim2")?, rank)?);
    if a == b {
        return Err(OpError::invalid("a diagonal lies between two different dimensions"));
    }
    let mut offset = call.int("offset")?;
    let mut order: Vec<usize> = (0..rank - 2).collect();
    // Row and column dimensions go where they are asked for; the wrong way round is the transposed matrix.
    if a > b {
        offset = -offset;
    }
    order.insert(a.min(b), rank - 2);
    order.insert(a.max(b), rank - 1);
    Ok(vec![embed(x, offset)?.permute(order)])
}

/// The last dimension of `x` as the diagonal of square matrices, zero elsewhere.
fn embed(x: Chain, offset: i64) -> Result<Chain, OpError> {
    let lead: Vec<Dim> = x.shape[..x.rank() - 1].to_vec();
    let n = x.shape[x.rank() - 1].clone();
    let side = &n + &Dim::int(offset.abs());
    // Each element followed by `side` zeros lies, flattened, one row and one column behind the one before.
    let zeros = |last: Dim, rank: usize| [vec![Dim::int(0); rank - 1], vec![last]].concat();
    let before = if offset >= 0 { Dim::int(offset) } else { &side * &Dim::int(-offset) };
    let rank = lead.len() + 2;
    let original = x.clone();
    let x = x.unsqueeze(rank - 2 + 1).pad(zeros(Dim::int(0), rank), zeros(side.clone(), rank), Scalar::Int(0));
    let run = &n * &(&side + &Dim::int(1));
    let total = &side * &side;
    let x = x.reshape([lead.clone(), vec![run.clone()]].concat());
    // What is missing at the end, or (on the main diagonal) the zeros behind the last element that are too many.
    let after = &(&total - &before) - &run;
    let x = match after.as_int() {
        Some(_) => x.pad(zeros(before, rank - 1), zeros(after, rank - 1), Scalar::Int(0)),
        None if offset == 0 => x.slice(rank - 2, Dim::int(0), total, 1),
        None => {
            // The matrix of the main diagonal, in a corner.
            let square = embed(original, 0)?;
            let gap = Dim::int(offset.abs());
            let corner = |down: Dim, right: Dim| [vec![Dim::ZERO; rank - 2], vec![down, right]].concat();
            let (low, high) = match offset > 0 {
                true => (corner(Dim::ZERO, gap.clone()), corner(gap, Dim::ZERO)),
                false => (corner(gap.clone(), Dim::ZERO), corner(Dim::ZERO, gap)),
            };
            return Ok(square.pad(low, high, Scalar::Int(0)));
        }
    };
    Ok(x.reshape([lead, vec![side.clone(), side]].concat()))
}
