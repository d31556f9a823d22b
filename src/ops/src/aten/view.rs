//! Views: the same elements in another shape, order of dimensions, or broadcast.

use super::slicing::unfold;
use crate::movement::{self, Chain, PlanFn, movements};
use crate::{Call, OpDef, OpError, shape, wrap_dim};
use pt2c_ir::Fact;
use pt2c_ir::dim::{Dim, Scope};

type Plan = Result<Vec<Chain>, OpError>;
type Facts<'a> = Call<'a, Fact>;

movements! {
    "_reshape_alias(Tensor(a) self, SymInt[] size, SymInt[] stride) -> Tensor(a)" => |c| view(c, "size"),
    "_reshape_copy(Tensor self, SymInt[] size) -> Tensor" => |c| view(c, "size"),
    "_unsafe_view(Tensor self, SymInt[] size) -> Tensor" => |c| view(c, "size"),
    "_reshape_alias_copy(Tensor self, SymInt[] size, SymInt[] stride) -> Tensor" => |c| view(c, "size"),
    "adjoint(Tensor(a) self) -> Tensor(a)" => adjoint,
    "atleast_1d(Tensor self) -> Tensor" => |c| at_least(c, 1),
    "atleast_1d.Sequence(Tensor[] tensors) -> Tensor[]" => |c| at_least(c, 1),
    "atleast_2d(Tensor self) -> Tensor" => |c| at_least(c, 2),
    "atleast_2d.Sequence(Tensor[] tensors) -> Tensor[]" => |c| at_least(c, 2),
    "atleast_3d(Tensor self) -> Tensor" => |c| at_least(c, 3),
    "atleast_3d.Sequence(Tensor[] tensors) -> Tensor[]" => |c| at_least(c, 3),
    "broadcast_tensors(Tensor[] tensors) -> Tensor[]" => broadcast_tensors,
    "broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)" => expand,
    "channel_shuffle(Tensor self, SymInt groups) -> Tensor" => channel_shuffle,
    "expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)" => expand,
    "expand_as(Tensor(a) self, Tensor other) -> Tensor(a)" => expand_as,
    "expand_copy(Tensor self, SymInt[] size, *, bool implicit=False) -> Tensor" => expand,
    "flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)" => flatten,
    "mH(Tensor(a) self) -> Tensor(a)" => adjoint,
    "mT(Tensor(a) self) -> Tensor(a)" => matrix_transpose,
    "matrix_H(Tensor(a) self) -> Tensor(a)" => adjoint,
    "meshgrid(Tensor[] tensors) -> Tensor[]" => |c| meshgrid(c, false),
    "meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]" => |c| meshgrid(c, c.str("indexing")? == "xy"),
    "moveaxis.int(Tensor(a) self, int source, int destination) -> Tensor(a)" => movedim,
    "moveaxis.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)" => movedim,
    "movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)" => movedim,
    "movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)" => movedim,
    "native_channel_shuffle(Tensor self, SymInt groups) -> Tensor" => channel_shuffle,
    "numpy_T(Tensor(a) self) -> Tensor(a)" => reverse_dims,
    "permute(Tensor(a) self, int[] dims) -> Tensor(a)" => permute,
    "permute_copy(Tensor self, int[] dims) -> Tensor" => permute,
    "pixel_shuffle(Tensor self, int upscale_factor) -> Tensor" => pixel_shuffle,
    "pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor" => pixel_unshuffle,
    "ravel(Tensor(a) self) -> Tensor(a)" => ravel,
    "repeat(Tensor self, SymInt[] repeats) -> Tensor" => |c| repeat(c, c.dims("repeats")?),
    "repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor" => repeat_interleave,
    "reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)" => |c| view(c, "shape"),
    "reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)" => view_as,
    "rot90(Tensor self, int k=1, int[] dims=[0, 1]) -> Tensor" => rot90,
    "squeeze(Tensor(a) self) -> Tensor(a)" => squeeze,
    "squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)" => squeeze_dims,
    "squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)" => squeeze_dims,
    "squeeze_copy(Tensor self) -> Tensor" => squeeze,
    "squeeze_copy.dim(Tensor self, int dim) -> Tensor" => squeeze_dims,
    "squeeze_copy.dims(Tensor self, int[] dim) -> Tensor" => squeeze_dims,
    "swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)" => |c| transpose(c, "axis0", "axis1"),
    "swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)" => |c| transpose(c, "dim0", "dim1"),
    "t(Tensor(a) self) -> Tensor(a)" => reverse_dims,
    "t_copy(Tensor self) -> Tensor" => reverse_dims,
    "tile(Tensor self, SymInt[] dims) -> Tensor" => |c| repeat(c, c.dims("dims")?),
    "transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)" => |c| transpose(c, "dim0", "dim1"),
    "transpose_copy.int(Tensor self, int dim0, int dim1) -> Tensor" => |c| transpose(c, "dim0", "dim1"),
    "unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)" => unflatten,
    "unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)" => unfold,
    "unfold_copy(Tensor self, int dimension, int size, int step) -> Tensor" => unfold,
    "unsqueeze(Tensor(a) self, int dim) -> Tensor(a)" => unsqueeze,
    "unsqueeze_copy(Tensor self, int dim) -> Tensor" => unsqueeze,
    "view(Tensor(a) self, SymInt[] size) -> Tensor(a)" => |c| view(c, "size"),
    "view_as(Tensor(a) self, Tensor other) -> Tensor(a)" => view_as,
    "view_copy(Tensor self, SymInt[] size) -> Tensor" => |c| view(c, "size"),
}

/// The chain of the operand `self` without a step.
pub(super) fn of_self(call: &Facts<'_>) -> Result<Chain, OpError> {
    Ok(Chain::new(0, call.tensor("self")?))
}

/// A dimension argument, wrapped.
pub(super) fn dim_arg(call: &Facts<'_>, name: &str, rank: usize) -> Result<usize, OpError> {
    wrap_dim(call.int(name)?, rank)
}

/// A list of dimension arguments, wrapped.
pub(super) fn dims_arg(call: &Facts<'_>, name: &str, rank: usize) -> Result<Vec<usize>, OpError> {
    call.ints(name)?.into_iter().map(|d| wrap_dim(d, rank)).collect()
}

/// The shape a reshape asks for, with the size -1 computed from the number of elements.
pub fn resolve_shape(scope: &Scope, asked: &[Dim], numel: &Dim) -> Result<Vec<Dim>, OpError> {
    let open: Vec<usize> = (0..asked.len()).filter(|&i| asked[i].as_int() == Some(-1)).collect();
    let known: Dim = asked.iter().filter(|d| d.as_int() != Some(-1)).fold(Dim::int(1), |n, d| &n * d);
    let misfit = || OpError::Invalid(format!("{numel} elements do not fill a shape of {known} elements"));
    match open[..] {
        [] => {
            let both = known.as_int().zip(numel.as_int());
            if both.is_some_and(|(a, b)| a != b) { Err(misfit()) } else { Ok(asked.to_vec()) }
        }
        [at] => {
            if known.is_zero() {
                return Err(OpError::invalid("a size of -1 is ambiguous where the other sizes hold no element"));
            }
            if scope.prove_divisible(numel, &known).is_no() {
                return Err(misfit());
            }
            let mut shape = asked.to_vec();
            shape[at] = numel.floor_div(&known);
            Ok(shape)
        }
        _ => Err(OpError::invalid("at most one size may be -1")),
    }
}

fn view(call: &Facts<'_>, arg: &str) -> Plan {
    let x = call.tensor("self")?;
    let shape = resolve_shape(call.scope, &call.dims(arg)?, &x.numel())?;
    Ok(vec![of_self(call)?.reshape(shape)])
}

fn view_as(call: &Facts<'_>) -> Plan {
    let shape = resolve_shape(call.scope, &call.tensor("other")?.shape, &call.tensor("self")?.numel())?;
    Ok(vec![of_self(call)?.reshape(shape)])
}

fn ravel(call: &Facts<'_>) -> Plan {
    Ok(vec![of_self(call)?.reshape(vec![call.tensor("self")?.numel()])])
}

fn flatten(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let rank = x.rank();
    let (start, end) = (dim_arg(call, "start_dim", rank)?, dim_arg(call, "end_dim", rank)?);
    if rank == 0 {
        return Ok(vec![x.reshape(vec![Dim::int(1)])]);
    }
    if start > end {
        return Err(OpError::invalid("flatten: the first dimension comes after the last"));
    }
    let merged: Dim = x.shape[start..=end].iter().fold(Dim::int(1), |n, d| &n * d);
    let shape = [&x.shape[..start], &[merged], &x.shape[end + 1..]].concat();
    Ok(vec![x.reshape(shape)])
}

fn unflatten(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank())?;
    let split = resolve_shape(call.scope, &call.dims("sizes")?, &x.shape[dim])?;
    let shape = [&x.shape[..dim], &split, &x.shape[dim + 1..]].concat();
    Ok(vec![x.reshape(shape)])
}

fn unsqueeze(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dim = dim_arg(call, "dim", x.rank() + 1)?;
    Ok(vec![x.unsqueeze(dim)])
}

/// Whether a size is 1, as far as is known (the exporter has guarded on it where it mattered).
fn is_one(scope: &Scope, d: &Dim) -> bool {
    d.is_one() || !d.is_int() && scope.prove_eq(d, &Dim::int(1)).is_yes()
}

fn squeeze(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let shape = x.shape.iter().filter(|d| !is_one(call.scope, d)).cloned().collect();
    Ok(vec![x.reshape(shape)])
}

fn squeeze_dims(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dims = dims_arg(call, "dim", x.rank())?;
    let kept = x.shape.iter().enumerate().filter(|(i, d)| !(dims.contains(i) && is_one(call.scope, d)));
    let shape = kept.map(|(_, d)| d.clone()).collect();
    Ok(vec![x.reshape(shape)])
}

fn permute(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dims = dims_arg(call, "dims", x.rank())?;
    let mut sorted = dims.clone();
    sorted.sort_unstable();
    if dims.len() != x.rank() || sorted.into_iter().enumerate().any(|(i, d)| i != d) {
        return Err(OpError::Invalid(format!("{dims:?} is not an order of {} dimensions", x.rank())));
    }
    Ok(vec![x.permute(dims)])
}

fn transpose(call: &Facts<'_>, first: &str, second: &str) -> Plan {
    let x = of_self(call)?;
    let (a, b) = (dim_arg(call, first, x.rank())?, dim_arg(call, second, x.rank())?);
    Ok(vec![x.transpose(a, b)])
}

fn reverse_dims(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dims = (0..x.rank()).rev().collect();
    Ok(vec![x.permute(dims)])
}

fn swap_last(x: Chain) -> Result<Chain, OpError> {
    match x.rank() {
        0 | 1 => Err(OpError::invalid("a matrix transpose needs at least two dimensions")),
        rank => Ok(x.transpose(rank - 2, rank - 1)),
    }
}

fn matrix_transpose(call: &Facts<'_>) -> Plan {
    Ok(vec![swap_last(of_self(call)?)?])
}

fn adjoint(call: &Facts<'_>) -> Plan {
    Ok(vec![swap_last(of_self(call)?)?.conj()])
}

fn movedim(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let (from, to) = (dims_arg(call, "source", x.rank())?, dims_arg(call, "destination", x.rank())?);
    if from.len() != to.len() {
        return Err(OpError::invalid("movedim: as many destinations as sources are needed"));
    }
    let mut places: Vec<Option<usize>> = vec![None; x.rank()];
    for (&s, &d) in from.iter().zip(&to) {
        if let Some(place) = places.get_mut(d) {
            *place = Some(s);
        }
    }
    let mut rest = (0..x.rank()).filter(|d| !from.contains(d));
    let dims: Option<Vec<usize>> = places.into_iter().map(|p| p.or_else(|| rest.next())).collect();
    let dims = dims.ok_or_else(|| OpError::invalid("movedim: a dimension is named twice"))?;
    Ok(vec![x.permute(dims)])
}

/// The shape `expand` asks for: -1 keeps a size.
fn expanded_shape(from: &[Dim], asked: &[Dim]) -> Result<Vec<Dim>, OpError> {
    let lead = asked.len().checked_sub(from.len());
    let lead = lead.ok_or_else(|| OpError::invalid("expand: fewer sizes than dimensions"))?;
    let size = |(i, d): (usize, &Dim)| match (d.as_int(), i.checked_sub(lead).and_then(|i| from.get(i))) {
        (Some(-1), Some(own)) => Ok(own.clone()),
        (Some(n), None) if n < 0 => Err(OpError::invalid("expand: a new dimension needs a size")),
        (Some(n), Some(own)) if own.as_int().is_some_and(|own| own != 1 && own != n) => {
            Err(OpError::Invalid(format!("expand: size {own} does not broadcast to {n}")))
        }
        _ => Ok(d.clone()),
    };
    asked.iter().enumerate().map(size).collect()
}

fn expand(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let shape = expanded_shape(&x.shape, &call.dims("size")?)?;
    Ok(vec![x.expand(shape)])
}

fn expand_as(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let shape = expanded_shape(&x.shape, &call.tensor("other")?.shape)?;
    Ok(vec![x.expand(shape)])
}

fn broadcast_tensors(call: &Facts<'_>) -> Plan {
    let xs = call.tensors("tensors")?;
    let mut common = Vec::new();
    for x in &xs {
        common = shape::broadcast(call.scope, &common, &x.shape)?;
    }
    Ok(xs.iter().enumerate().map(|(i, x)| Chain::new(i, x).expand(common.clone())).collect())
}

fn at_least(call: &Facts<'_>, rank: usize) -> Plan {
    let raised = |x: Chain| if x.rank() >= rank { x } else { raise(x, rank) };
    if call.op.schema.position("tensors").is_some() {
        let tensors = call.tensors("tensors")?;
        return Ok(tensors.iter().enumerate().map(|(i, x)| raised(Chain::new(i, x))).collect());
    }
    Ok(vec![raised(of_self(call)?)])
}

/// Dimensions of size 1 added as `torch.atleast_nd` does.
pub(super) fn raise(x: Chain, rank: usize) -> Chain {
    let one = Dim::int(1);
    let shape = match (x.rank(), rank) {
        (0, _) => vec![one; rank],
        (1, 2) => vec![one, x.shape[0].clone()],
        (1, 3) => vec![one.clone(), x.shape[0].clone(), one],
        (2, 3) => vec![x.shape[0].clone(), x.shape[1].clone(), one],
        _ => x.shape.clone(),
    };
    x.reshape(shape)
}

fn meshgrid(call: &Facts<'_>, xy: bool) -> Plan {
    let xs = call.tensors("tensors")?;
    let mut sizes: Vec<Dim> = xs.iter().map(|x| x.numel()).collect();
    let swap = xy && xs.len() >= 2;
    if swap {
        sizes.swap(0, 1);
    }
    let grid = |(i, x): (usize, &&Fact)| {
        let mut shape = vec![Dim::int(1); sizes.len()];
        shape[if swap && i < 2 { 1 - i } else { i }] = x.numel();
        Chain::new(i, x).reshape(shape).expand(sizes.clone())
    };
    Ok(xs.iter().enumerate().map(grid).collect())
}

fn repeat(call: &Facts<'_>, repeats: Vec<Dim>) -> Plan {
    let x = of_self(call)?;
    let rank = x.rank().max(repeats.len());
    let padded = |list: &[Dim]| [vec![Dim::int(1); rank - list.len()], list.to_vec()].concat();
    // `repeat` wants a number for every dimension; `tile` fills up with ones.
    let (sizes, repeats) = (padded(&x.shape), padded(&repeats));
    let (mut split, mut tiled) = (Vec::new(), Vec::new());
    for (n, r) in sizes.iter().zip(&repeats) {
        if !r.is_one() {
            split.push(Dim::int(1));
            tiled.push(r.clone());
        }
        split.push(n.clone());
        tiled.push(n.clone());
    }
    let shape = sizes.iter().zip(&repeats).map(|(n, r)| n * r).collect();
    Ok(vec![x.reshape(split).expand(tiled).reshape(shape)])
}

fn repeat_interleave(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let (x, dim) = match call.opt_int("dim")? {
        Some(d) => {
            let dim = wrap_dim(d, x.rank())?;
            (x, dim)
        }
        None => {
            let numel = call.tensor("self")?.numel();
            (x.reshape(vec![numel]), 0)
        }
    };
    let repeats = call.dim("repeats")?;
    let (mut split, mut shape) = (x.shape.clone(), x.shape.clone());
    split.insert(dim + 1, Dim::int(1));
    let mut tiled = split.clone();
    tiled[dim + 1] = repeats.clone();
    shape[dim] = &shape[dim] * &repeats;
    Ok(vec![x.reshape(split).expand(tiled).reshape(shape)])
}

fn rot90(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let dims = dims_arg(call, "dims", x.rank())?;
    let [a, b] = dims[..] else { return Err(OpError::invalid("rot90 turns a plane of two dimensions")) };
    Ok(vec![match call.int("k")?.rem_euclid(4) {
        0 => x,
        1 => x.flip(&[b]).transpose(a, b),
        2 => x.flip(&[a, b]),
        _ => x.flip(&[a]).transpose(a, b),
    }])
}

/// Sizes before the last three dimensions, and those three.
fn image(x: &Chain) -> Result<(Vec<Dim>, [Dim; 3]), OpError> {
    match &x.shape[..] {
        [lead @ .., c, h, w] => Ok((lead.to_vec(), [c.clone(), h.clone(), w.clone()])),
        _ => Err(OpError::invalid("an image has at least three dimensions")),
    }
}

fn pixel_shuffle(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let r = call.dim("upscale_factor")?;
    let (lead, [c, h, w]) = image(&x)?;
    let n = lead.len();
    let channels = c.floor_div(&(&r * &r));
    let split = [lead.clone(), vec![channels.clone(), r.clone(), r.clone(), h.clone(), w.clone()]].concat();
    let order = (0..n).chain([n, n + 3, n + 1, n + 4, n + 2]).collect();
    let shape = [lead, vec![channels, &h * &r, &w * &r]].concat();
    Ok(vec![x.reshape(split).permute(order).reshape(shape)])
}

fn pixel_unshuffle(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let r = call.dim("downscale_factor")?;
    let (lead, [c, h, w]) = image(&x)?;
    let n = lead.len();
    let (oh, ow) = (h.floor_div(&r), w.floor_div(&r));
    let split = [lead.clone(), vec![c.clone(), oh.clone(), r.clone(), ow.clone(), r.clone()]].concat();
    let order = (0..n).chain([n, n + 2, n + 4, n + 1, n + 3]).collect();
    let shape = [lead, vec![&c * &(&r * &r), oh, ow]].concat();
    Ok(vec![x.reshape(split).permute(order).reshape(shape)])
}

fn channel_shuffle(call: &Facts<'_>) -> Plan {
    let x = of_self(call)?;
    let groups = call.dim("groups")?;
    let [batch, channels, rest @ ..] = &x.shape[..] else {
        return Err(OpError::invalid("channel_shuffle needs a channel dimension"));
    };
    let each = channels.floor_div(&groups);
    let split = [&[batch.clone(), groups, each], rest].concat();
    let shape = x.shape.clone();
    Ok(vec![x.reshape(split).transpose(1, 2).reshape(shape)])
}
