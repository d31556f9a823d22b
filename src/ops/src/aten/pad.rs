//! Padding: constant, reflected, replicated, circular. Padding lists begin with the last dimension.

use super::view::of_self;
use crate::movement::{self, Chain, PlanFn, movements};
use crate::{Call, OpDef, OpError, Scalar};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact};

type Plan = Result<Vec<Chain>, OpError>;
type Facts<'a> = Call<'a, Fact>;

movements! {
    "constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor" => |c| constant(c, c.arg("value")?),
    "pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor" => pad,
    "reflection_pad1d(Tensor self, SymInt[2] padding) -> Tensor" => |c| edges(c, "padding", Edge::Reflect),
    "reflection_pad2d(Tensor self, SymInt[4] padding) -> Tensor" => |c| edges(c, "padding", Edge::Reflect),
    "reflection_pad3d(Tensor self, SymInt[6] padding) -> Tensor" => |c| edges(c, "padding", Edge::Reflect),
    "replication_pad1d(Tensor self, SymInt[2] padding) -> Tensor" => |c| edges(c, "padding", Edge::Replicate),
    "replication_pad2d(Tensor self, SymInt[4] padding) -> Tensor" => |c| edges(c, "padding", Edge::Replicate),
    "replication_pad3d(Tensor self, SymInt[6] padding) -> Tensor" => |c| edges(c, "padding", Edge::Replicate),
}

/// What lies outside.
#[derive(Clone, Copy)]
enum Edge {
    Reflect,
    Replicate,
    Circular,
}

fn pad(call: &Facts<'_>) -> Plan {
    match call.str("mode")? {
        "constant" => constant(call, call.arg("value")?),
        "reflect" => edges(call, "pad", Edge::Reflect),
        "replicate" => edges(call, "pad", Edge::Replicate),
        "circular" => edges(call, "pad", Edge::Circular),
        mode => Err(OpError::Invalid(format!("there is no padding mode `{mode}`"))),
    }
}

/// The padding of each dimension, first to last.
fn amounts(call: &Facts<'_>, arg: &str, rank: usize) -> Result<Vec<(Dim, Dim)>, OpError> {
    let list = call.dims(arg)?;
    if list.len() % 2 != 0 || list.len() > 2 * rank {
        return Err(OpError::Invalid(format!("{} numbers do not pad {rank} dimensions", list.len())));
    }
    let mut pairs: Vec<(Dim, Dim)> = list.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect();
    pairs.resize(rank, (Dim::int(0), Dim::int(0)));
    pairs.reverse();
    Ok(pairs)
}

fn constant(call: &Facts<'_>, value: &Arg<Fact>) -> Plan {
    let x = of_self(call)?;
    let value = match value {
        Arg::None => Scalar::Int(0),
        Arg::Complex(re, im) => Scalar::Complex(num_complex::Complex64::new(*re, *im)),
        Arg::Bool(b) => Scalar::Bool(*b),
        Arg::Int(d) if d.is_int() => Scalar::Int(d.as_int().unwrap_or(0)),
        other => Scalar::Float(
            other
                .as_float()
                .ok_or_else(|| OpError::Unsupported("padding with a value that depends on the input".into()))?,
        ),
    };
    let (low, high) =
        amounts(call, if call.op.schema.position("pad").is_some() { "pad" } else { "padding" }, x.rank())?
            .into_iter()
            .unzip();
    Ok(vec![x.pad(low, high, value)])
}

fn edges(call: &Facts<'_>, arg: &str, edge: Edge) -> Plan {
    let mut x = of_self(call)?;
    let (zero, one) = (Dim::int(0), Dim::int(1));
    for (dim, (low, high)) in amounts(call, arg, x.rank())?.into_iter().enumerate() {
        let n = x.shape[dim].clone();
        let grows = |d: &Dim| d.as_int().is_none_or(|i| i > 0);
        let part = |start: Dim, size: Dim, step: i64| x.clone().slice(dim, start, size, step);
        let side = |amount: &Dim, front: bool| match (edge, front) {
            (Edge::Reflect, true) => part(amount.clone(), amount.clone(), -1),
            (Edge::Reflect, false) => part(&n - &Dim::int(2), amount.clone(), -1),
            (Edge::Circular, true) => part(&n - amount, amount.clone(), 1),
            (Edge::Circular, false) => part(zero.clone(), amount.clone(), 1),
            (Edge::Replicate, _) => {
                let line = part(if front { zero.clone() } else { &n - &one }, one.clone(), 1);
                let mut shape = line.shape.clone();
                shape[dim] = amount.clone();
                line.expand(shape)
            }
        };
        let mut parts = Vec::new();
        if grows(&low) {
            parts.push(side(&low, true));
        }
        let cut = |d: &Dim| if grows(d) { zero.clone() } else { -d };
        let (cut_low, cut_high) = (cut(&low), cut(&high));
        parts.push(part(cut_low.clone(), &(&n - &cut_low) - &cut_high, 1));
        if grows(&high) {
            parts.push(side(&high, false));
        }
        let dtype = x.dtype;
        x = Chain::cat(parts, dim, dtype)?;
    }
    Ok(vec![x])
}
