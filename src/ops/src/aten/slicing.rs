//! Parts of a tensor: slices, single indices, splits, diagonals, flips, windows, strided views.

use super::view::{dim_arg, dims_arg, of_self};
use crate::movement::{self, Chain, PlanFn, clamp_index, movements, wrap_index};
use crate::{Call, OpDef, OpError, wrap_dim};
use pt2c_ir::Fact;
use pt2c_ir::dim::{Dim, Scope};

type Plan = Result<Vec<Chain>, OpError>;
type Facts<'a> = Call<'a, Fact>;

movements! {
    "as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)" => as_strided,
    "as_strided_copy(Tensor self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor" => as_strided,
    "chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]" => chunk,
    "diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)" => diagonal,
    "diagonal_copy(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor" => diagonal,
    "dsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]" => |c| split_at(c, 2),
    "dsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]" => |c| sections(c, 2),
    "flip(Tensor self, int[] dims) -> Tensor" => flip,
    "fliplr(Tensor self) -> Tensor" => |c| Ok(vec![of_self(c)?.flip(&[wrap_dim(1, c.tensor("self")?.rank())?])]),
    "flipud(Tensor self) -> Tensor" => |c| Ok(vec![of_self(c)?.flip(&[0])]),
    "hsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]" => |c| split_at(c, horizontal(c)?),
    "hsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]" => |c| sections(c, horizontal(c)?),
    "narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)" => narrow,
    "narrow_copy(Tensor self, int dim, SymInt start, SymInt length) -> Tensor" => narrow,
    "select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)" => select,
    "select_copy.int(Tensor self, int dim, SymInt index) -> Tensor" => select,
    "slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)" => slice,
    "slice_copy.Tensor(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor" => slice,
    "split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]" => split,
    "split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]" => |c| with_sizes(c, "split_size"),
    "split_copy.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]" => split,
    "split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]" => |c| with_sizes(c, "split_sizes"),
    "split_with_sizes_copy(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]" => |c| with_sizes(c, "split_sizes"),
    "tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]" => |c| split_at(c, dim_arg(c, "dim", c.tensor("self")?.rank())?),
    "tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]" => |c| sections(c, dim_arg(c, "dim", c.tensor("self")?.rank())?),
    "unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]" => unbind,
    "unbind_copy.int(Tensor self, int dim=0) -> Tensor[]" => unbind,
    "unsafe_chunk(Tensor self, int chunks, int dim=0) -> Tensor[]" => chunk,
    "unsafe_split.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]" => split,
    "unsafe_split_with_sizes(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]" => |c| with_sizes(c, "split_sizes"),
    "vsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]" => |c| split_at(c, 0),
    "vsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]" => |c| sections(c, 0),
}

/// The size along a dimension that `wrap_dim` has accepted; a 0-d tensor has none.
fn size_of(x: &Chain, dim: usize) -> Result<Dim, OpError> {
    x.shape.get(dim).cloned().ok_or_else(|| OpError::Invalid(format!("there is no dimension {dim}")))
}

/// First index and number of elements of `start:end:step` along a dimension of this size.
pub(super) fn slice_range(
    scope: &Scope,
    size: &Dim,
    start: Option<Dim>,
    end: Option<Dim>,
    step: i64,
) -> Result<(Dim, Dim), OpError> {
    if step < 1 {
        return Err(OpError::Invalid(format!("a slice needs a positive step, not {step}")));
    }
    let start = start.map_or(Dim::int(0), |s| clamp_index(scope, &s, size));
    let end = end.map_or(size.clone(), |e| clamp_index(scope, &e, size));
    let span = if scope.prove_le(&start, &end).is_yes() {
        &end - &start
    } else if scope.prove_le(&end, &start).is_yes() {
        Dim::int(0)
    } else {
        Dim::max_of([&end - &start, Dim::int(0)])
    };
    // Rounded up as PyTorch writes it: (span + step - 1) // step.
    let count = (&span + &Dim::int(step - 1)).floor_div(&Dim::int(step));
    Ok((start, count))
}

fn slice(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let size = size_of(&x, dim)?;
    let step = call.int("step")?;
    let (start, count) = slice_range(call.scope, &size, call.opt_dim("start")?, call.opt_dim("end")?, step)?;
    Ok(vec![x.slice(dim, start, count, step)])
}

fn narrow(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let start = wrap_index(call.scope, &call.dim("start")?, &size_of(&x, dim)?);
    Ok(vec![x.slice(dim, start, call.dim("length")?, 1)])
}

fn select(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let size = size_of(&x, dim)?;
    let index = wrap_index(call.scope, &call.dim("index")?, &size);
    if let (Some(i), Some(n)) = (index.as_int(), size.as_int())
        && !(0..n).contains(&i)
    {
        return Err(OpError::Invalid(format!("index {i} is out of range for size {n}")));
    }
    Ok(vec![x.select(dim, index)])
}

fn flip(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let mut dims = dims_arg(call, "dims", x.rank())?;
    dims.retain(|&d| d < x.rank());
    Ok(vec![x.flip(&dims)])
}

fn with_sizes(call: &Facts<'_>, arg: &str) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    size_of(&x, dim)?;
    let mut start = Dim::int(0);
    let mut parts = Vec::new();
    for size in call.dims(arg)? {
        let next = &start + &size;
        parts.push(x.clone().slice(dim, start, size, 1));
        start = next;
    }
    Ok(parts)
}

/// Parts of `each` elements, `count` of them, the last one with what is left.
fn equal_parts(x: &Chain, dim: usize, each: &Dim, count: i64) -> Result<Vec<Chain>, OpError> {
    let size = size_of(x, dim)?;
    let part = |i: i64| {
        let start = each * &Dim::int(i);
        let length = if i + 1 == count { &size - &start } else { each.clone() };
        x.clone().slice(dim, start, length, 1)
    };
    Ok((0..count).map(part).collect())
}

/// A number of parts, which must be the same for all sizes that may occur.
fn constant_count(scope: &Scope, count: &Dim) -> Option<i64> {
    count.as_int().or_else(|| scope.bounds(count).as_point())
}

fn split(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let (size, each) = (size_of(&x, dim)?, call.dim("split_size")?);
    if each.is_zero() {
        return Ok(vec![x]);
    }
    // `chunk` in a decomposed program: the size of a part is what makes so many of them.
    let chunks = || (2..=64).find(|&k| (&size + &Dim::int(k - 1)).floor_div(&Dim::int(k)) == each);
    // Where the size is less than a part there is one part as well, so the bound of the size tells the number.
    let parts = Dim::max(&size.ceil_div(&each), &Dim::ONE);
    let count = constant_count(call.scope, &parts).or_else(chunks).ok_or_else(|| {
        OpError::Unsupported(format!(
            "splitting a size of {size} into parts of {each} gives a number of tensors that depends on the input; \
             split into a fixed number of parts instead"
        ))
    })?;
    equal_parts(&x, dim, &each, count.max(1))
}

fn chunk(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let (size, chunks) = (size_of(&x, dim)?, call.int("chunks")?);
    if chunks < 1 {
        return Err(OpError::invalid("chunk needs a positive number of parts"));
    }
    let each = (&size + &Dim::int(chunks - 1)).floor_div(&Dim::int(chunks));
    if size.is_zero() {
        return Ok(vec![x; chunks as usize]);
    }
    // For a symbolic size the exporter has fixed the number of parts: as many as asked for.
    let count = constant_count(call.scope, &size.ceil_div(&each)).unwrap_or(chunks);
    equal_parts(&x, dim, &each, count)
}

fn horizontal(call: &Facts<'_>) -> Result<usize, OpError> {
    Ok(usize::from(call.tensor("self")?.rank() > 1))
}

/// `sections` parts, the first `size % sections` of them one element longer.
fn sections(call: &Facts<'_>, dim: usize) -> Plan {
    let x = of_self(call)?;
    let (size, sections) = (size_of(&x, dim)?, call.int("sections")?);
    if sections < 1 {
        return Err(OpError::invalid("tensor_split needs a positive number of sections"));
    }
    let n = Dim::int(sections);
    let (each, extra) = (size.floor_div(&n), size.modulo(&n));
    let start = |i: i64| &(&each * &Dim::int(i)) + &Dim::min_of([extra.clone(), Dim::int(i)]);
    Ok((0..sections).map(|i| x.clone().slice(dim, start(i), &start(i + 1) - &start(i), 1)).collect())
}

/// Parts between indices, taken as Python slices take them.
fn split_at(call: &Facts<'_>, dim: usize) -> Plan {
    let x = of_self(call)?;
    let size = size_of(&x, dim)?;
    let mut start = None;
    let mut parts = Vec::new();
    let indices = call.dims("indices")?;
    for end in indices.into_iter().map(Some).chain([None]) {
        let (first, count) = slice_range(call.scope, &size, start, end.clone(), 1)?;
        parts.push(x.clone().slice(dim, first, count, 1));
        start = end;
    }
    Ok(parts)
}

fn unbind(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let size = size_of(&x, dim)?;
    let count = constant_count(call.scope, &size).ok_or_else(|| {
        OpError::Unsupported(format!("unbind along a dimension of size {size}, which depends on the input"))
    })?;
    Ok((0..count).map(|i| x.clone().select(dim, Dim::int(i))).collect())
}

/// Number of elements on a diagonal of an n×m matrix.
pub(super) fn diagonal_size(n: &Dim, m: &Dim, offset: i64) -> Dim {
    let (n, m) = if offset >= 0 { (n.clone(), m - &Dim::int(offset)) } else { (n + &Dim::int(offset), m.clone()) };
    match (n.as_int(), m.as_int()) {
        (Some(n), Some(m)) => Dim::int(n.min(m).max(0)),
        _ if offset == 0 => Dim::min_of([n, m]),
        _ => Dim::max(&Dim::min_of([n, m]), &Dim::ZERO),
    }
}

fn diagonal(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let rank = x.rank();
    let (a, b) = (dim_arg(call, "dim1", rank)?, dim_arg(call, "dim2", rank)?);
    if a == b || rank < 2 {
        return Err(OpError::invalid("a diagonal lies between two different dimensions"));
    }
    diagonal_chain(x, call.int("offset")?, a, b).map(|x| vec![x])
}

/// The diagonal between dimensions `a` and `b`, as the last dimension.
pub(super) fn diagonal_chain(x: Chain, offset: i64, a: usize, b: usize) -> Result<Chain, OpError> {
    let (n, m) = (x.shape[a].clone(), x.shape[b].clone());
    let count = diagonal_size(&n, &m, offset);
    let order: Vec<usize> = (0..x.rank()).filter(|&d| d != a && d != b).chain([a, b]).collect();
    let x = x.permute(order);
    let lead: Vec<Dim> = x.shape[..x.rank() - 2].to_vec();
    let Some(step) = m.as_int() else {
        let first = if offset >= 0 { Dim::int(offset) } else { &Dim::int(-offset) * &m };
        let mut strides = vec![&m + &Dim::ONE];
        let mut all = &n * &m;
        for size in lead.iter().rev() {
            strides.insert(0, all.clone());
            all = &all * size;
        }
        return Ok(x.reshape(vec![all]).strided(first, [lead, vec![count]].concat(), strides));
    };
    // Flattened, the elements of a diagonal are one row and one column apart.
    let first = if offset >= 0 { offset } else { -offset * step };
    let first = if count.is_zero() { 0 } else { first };
    let last = lead.len();
    Ok(x.reshape([lead, vec![&n * &m]].concat()).slice(last, Dim::int(first), count, step + 1))
}

pub(super) fn unfold(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    if x.rank() == 0 {
        // A 0-d tensor counts as one element, of which at most one window is one.
        return Ok(vec![x.reshape(vec![Dim::int(1)]).slice(0, Dim::int(0), call.dim("size")?, 1)]);
    }
    let dim = dim_arg(call, "dimension", x.rank())?;
    let (size, step) = (call.dim("size")?, call.int("step")?);
    if step < 1 {
        return Err(OpError::invalid("unfold needs a positive step"));
    }
    let count = &(&x.shape[dim] - &size).floor_div(&Dim::int(step)) + &Dim::int(1);
    Ok(vec![x.windows(dim, count, size, step)])
}

fn as_strided(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let offset = call.opt_dim("storage_offset")?.unwrap_or(Dim::int(0));
    let (size, stride) = (call.dims("size")?, call.dims("stride")?);
    if size.len() != stride.len() {
        return Err(OpError::invalid("as_strided needs as many strides as sizes"));
    }
    let numel = call.tensor("self")?.numel();
    Ok(vec![x.reshape(vec![numel]).strided(offset, size, stride)])
}
