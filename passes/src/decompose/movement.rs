//! Views, slices, joins and padding: the plans of the operator table, followed with primitives.

use super::{Builder, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::movement::{Chain, Move, Source, movement_of};
use pt2c_ops::{Call, OpError, Scalar};

/// Follows the plan of a movement operator.
pub fn decompose(b: &mut Builder<'_>, call: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let plan = movement_of(&call.op.name).ok_or_else(|| OpError::UnknownOperator(call.op.name.clone()))?;
    let facts: Vec<_> = call.args.iter().map(|a| a.map(|&v| b.fact(v))).collect();
    let chains = plan(&Call { op: call.op, args: &facts, scope: call.scope })?;
    let operands: Vec<Val> = call.args.iter().flat_map(|a| a.tensors().copied()).collect();
    chains.iter().map(|chain| follow(b, chain, &operands)).collect()
}

/// The value a chain ends in.
pub(super) fn follow(b: &mut Builder<'_>, chain: &Chain, operands: &[Val]) -> Result<Val, OpError> {
    let start = match &chain.source {
        Source::Operand(i) => *operands.get(*i).ok_or_else(|| OpError::invalid("no such operand"))?,
        Source::Cat { parts, dim } => {
            let parts = parts.iter().map(|p| follow(b, p, operands)).collect::<Result<Vec<_>, _>>()?;
            b.cat(&parts, *dim)?
        }
        Source::Update { base, src, start, step } => {
            let (base, src) = (follow(b, base, operands)?, follow(b, src, operands)?);
            b.update_slice(base, src, start, step)?
        }
    };
    chain.moves.iter().try_fold(start, |x, step| apply(b, x, step))
}

fn apply(b: &mut Builder<'_>, x: Val, step: &Move) -> Result<Val, OpError> {
    match step {
        Move::Reshape(shape) => b.reshape(x, shape),
        Move::Permute(dims) => b.permute(x, dims),
        Move::Expand(shape) => b.expand(x, shape),
        Move::Slice { start, size, step } => b.slice(x, start, size, step),
        Move::Windows { dim, count, size, step } => {
            // The positions of a window's elements, by window; taken, they lie at `dim` and behind it.
            let index = positions(b, &Dim::ZERO, &[count.clone(), size.clone()], &[Dim::int(*step), Dim::ONE])?;
            let taken = b.take(x, index, *dim)?;
            let rank = b.rank(taken);
            let order: Vec<usize> = (0..rank).filter(|d| *d != dim + 1).chain([dim + 1]).collect();
            b.permute(taken, &order)
        }
        Move::Strided { offset, size, stride } => {
            let index = positions(b, offset, size, stride)?;
            b.take(x, index, 0)
        }
        Move::Pad { low, high, value } => {
            let dtype = b.dtype(x);
            let value = match *value {
                Scalar::Float(v) => Arg::Float(v),
                Scalar::Int(v) => Arg::Int(Dim::int(v)),
                Scalar::Bool(v) => Arg::Bool(v),
                Scalar::Complex(v) => Arg::Complex(v.re, v.im),
            };
            let value = b.scalar_like(&value, dtype)?;
            b.pad(x, value, low, high)
        }
        Move::Cast(dtype) => b.cast(x, *dtype),
        Move::Conj if b.dtype(x).is_complex() => b.conj(x),
        Move::Conj => Ok(x),
    }
}

/// `offset + Σ index·stride` over an index space.
fn positions(b: &mut Builder<'_>, offset: &Dim, size: &[Dim], stride: &[Dim]) -> Result<Val, OpError> {
    let mut at = b.constant_dim(offset, DType::I64)?;
    for (d, (n, s)) in size.iter().zip(stride).enumerate() {
        let steps = b.iota(n, DType::I64)?;
        let by = b.constant_dim(s, DType::I64)?;
        let steps = b.mul(steps, by)?;
        let mut shape = vec![Dim::ONE; size.len()];
        shape[d] = n.clone();
        let steps = b.reshape(steps, &shape)?;
        at = b.add(at, steps)?;
    }
    b.expand(at, size)
}
