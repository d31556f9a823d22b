//! Movement operators: those that only rearrange elements (views, slices, splits, joins, padding, windows).
//!
//! Each is said once, as a plan: for every output a chain of simple moves of an operand, of other chains joined, or
//! of a chain with a region replaced. Inference, evaluation and decomposition all follow from the plan.

use crate::{Call, OpError, Scalar, Tags, Tensor, aten, host, shape};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{DType, Fact};
use std::sync::OnceLock;

/// One step. Meanings are those of the primitives of the same name.
#[derive(Clone, PartialEq, Debug)]
pub enum Move {
    /// The same elements in row-major order, in another shape of as many.
    Reshape(Vec<Dim>),
    /// Dimension `i` of the result is dimension `.0[i]`.
    Permute(Vec<usize>),
    /// Broadcast from the right.
    Expand(Vec<Dim>),
    /// Elements `start + i·step`, `i < size`, per dimension.
    Slice { start: Vec<Dim>, size: Vec<Dim>, step: Vec<i64> },
    /// `count` windows of `size` elements, `step` apart, along `dim`, which counts the windows afterwards; the
    /// elements of a window become the last dimension.
    Windows { dim: usize, count: Dim, size: Dim, step: i64 },
    /// Element `offset + Σ index·stride` of a 1-d operand.
    Strided { offset: Dim, size: Vec<Dim>, stride: Vec<Dim> },
    /// `low` elements of a constant before and `high` behind, per dimension; none is negative.
    Pad { low: Vec<Dim>, high: Vec<Dim>, value: Scalar },
    /// Another element type, as `Tensor.to(dtype)` converts.
    Cast(DType),
    /// Complex conjugate; nothing on real values.
    Conj,
}

/// Where a chain begins.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// Tensor operand number `.0` of the call.
    Operand(usize),
    /// Chains of one element type, one after another along `dim`.
    Cat { parts: Vec<Chain>, dim: usize },
    /// `base` with the elements `start + i·step` replaced by `src`, of the same rank and element type.
    Update { base: Box<Chain>, src: Box<Chain>, start: Vec<Dim>, step: Vec<i64> },
}

/// How one output comes about.
#[derive(Clone, PartialEq, Debug)]
pub struct Chain {
    /// Where it begins.
    pub source: Source,
    /// The steps, in order.
    pub moves: Vec<Move>,
    /// Element type after them.
    pub dtype: DType,
    /// The shape after them.
    pub shape: Vec<Dim>,
}

/// The chains of all outputs.
pub type PlanFn = fn(&Call<'_, Fact>) -> Result<Vec<Chain>, OpError>;

/// The plan of a movement operator by full name; `None` for other operators.
pub fn movement_of(op: &str) -> Option<PlanFn> {
    static PLANS: OnceLock<IndexMap<&'static str, PlanFn>> = OnceLock::new();
    let plans = PLANS.get_or_init(|| {
        let defs = aten::MOVEMENTS.iter().flat_map(|family| family.iter());
        defs.filter_map(|(schema, plan)| {
            let op = crate::ops().find(|op| op.def.schema == *schema)?;
            Some((op.name.as_str(), *plan))
        })
        .collect()
    });
    plans.get(op).copied()
}

/// Declares a family of movement operators: `OPS` for the table and `PLANS`, by schema.
macro_rules! movements {
    ($($schema:literal => $plan:expr),* $(,)?) => {
        /// The family.
        pub const OPS: &[OpDef] = &[$(
            OpDef::new($schema, |c| movement::infer(c, $plan), |c| movement::eval(c, $plan))
                .tagged(movement::tags_of($schema))
        ),*];
        /// The plan of each operator, by schema.
        pub const PLANS: &[(&str, PlanFn)] = &[$(($schema, $plan)),*];
    };
}
pub(crate) use movements;

/// A schema that annotates an alias (`Tensor(a)`) is of a view.
pub(crate) const fn tags_of(schema: &str) -> Tags {
    let text = schema.as_bytes();
    let mut i = 1;
    while i < text.len() {
        if text[i] == b'a' && text[i - 1] == b'(' && (text[i + 1] == b')' || text[i + 1] == b' ') {
            return Tags::VIEW;
        }
        i += 1;
    }
    Tags::NONE
}

/// Facts of the outputs of a plan.
pub fn infer(call: &Call<'_, Fact>, plan: PlanFn) -> Result<Vec<Fact>, OpError> {
    Ok(plan(call)?.into_iter().map(|chain| Fact::new(chain.dtype, chain.shape)).collect())
}

/// Outputs of a plan.
pub fn eval(call: &Call<'_, Tensor>, plan: PlanFn) -> Result<Vec<Tensor>, OpError> {
    let facts = host::fact_args(call.args);
    let chains = plan(&Call { op: call.op, args: &facts, scope: call.scope })?;
    let operands: Vec<&Tensor> = call.args.iter().flat_map(|a| a.tensors()).collect();
    chains.iter().map(|chain| follow(chain, &operands)).collect()
}

fn follow(chain: &Chain, operands: &[&Tensor]) -> Result<Tensor, OpError> {
    let start = match &chain.source {
        Source::Operand(i) => (**operands.get(*i).ok_or_else(|| OpError::invalid("no such operand"))?).clone(),
        Source::Cat { parts, dim } => {
            let parts = parts.iter().map(|p| follow(p, operands)).collect::<Result<Vec<_>, _>>()?;
            Tensor::cat(&parts.iter().collect::<Vec<_>>(), *dim)?
        }
        Source::Update { base, src, start, step } => {
            host::update_slice(&follow(base, operands)?, &follow(src, operands)?, &host::ints(start)?, step)?
        }
    };
    chain.moves.iter().try_fold(start, |x, step| apply(&x, step))
}

/// One move of a host tensor.
pub fn apply(x: &Tensor, step: &Move) -> Result<Tensor, OpError> {
    Ok(match step {
        Move::Reshape(shape) => x.reshape(&shape::known(shape)?)?,
        Move::Permute(dims) => x.permute(dims),
        Move::Expand(shape) => x.broadcast_to(&shape::known(shape)?)?,
        Move::Slice { start, size, step } => host::slice(x, &host::ints(start)?, &shape::known(size)?, step)?,
        Move::Windows { dim, count, size, step } => {
            let window = shape::known(&[count.clone(), size.clone()])?;
            let mut shape = x.shape().to_vec();
            shape[*dim] = window[0];
            shape.push(window[1]);
            let strides = x.strides();
            x.gather(&shape, |i| {
                let last = i.len() - 1;
                let base: usize = (0..last).filter(|d| d != dim).map(|d| i[d] * strides[d]).sum();
                base + (i[*dim] * *step as usize + i[last]) * strides[*dim]
            })
        }
        Move::Strided { offset, size, stride } => {
            let (size, offset) = (shape::known(size)?, shape::known(std::slice::from_ref(offset))?[0]);
            let stride = shape::known(stride)?;
            let last: usize = size.iter().zip(&stride).map(|(n, s)| n.saturating_sub(1) * s).sum();
            if size.iter().all(|&n| n > 0) && offset + last >= x.numel() {
                return Err(OpError::invalid("a strided view reaches outside its tensor"));
            }
            x.gather(&size, |i| offset + host::dot(i, &stride))
        }
        Move::Pad { low, high, value } => host::pad(x, &shape::known(low)?, &shape::known(high)?, *value),
        Move::Cast(dtype) => x.cast(*dtype),
        Move::Conj if x.dtype().is_complex() => {
            Tensor::from_fn(x.dtype(), x.shape(), |i| Scalar::Complex(x.get(i).to_complex().conj()))
        }
        Move::Conj => x.clone(),
    })
}

impl Chain {
    /// No step yet, on tensor operand number `operand`.
    pub fn new(operand: usize, fact: &Fact) -> Chain {
        Chain { source: Source::Operand(operand), moves: Vec::new(), dtype: fact.dtype, shape: fact.shape.clone() }
    }

    /// Chains one after another along `dim`, converted to `dtype`; their other sizes agree. One part is itself.
    pub fn cat(parts: Vec<Chain>, dim: usize, dtype: DType) -> Result<Chain, OpError> {
        let mut parts: Vec<Chain> = parts.into_iter().map(|p| p.cast(dtype)).collect();
        let first = parts.first().ok_or_else(|| OpError::invalid("there is nothing to join"))?;
        let mut shape = first.shape.clone();
        if parts.iter().any(|p| p.rank() != shape.len()) || dim >= shape.len() {
            return Err(OpError::invalid("only tensors of one rank, which has that dimension, can be joined"));
        }
        for (d, own) in shape.iter_mut().enumerate() {
            if d == dim {
                *own = parts.iter().map(|p| &p.shape[d]).sum();
                continue;
            }
            for p in &parts {
                match (own.as_int(), p.shape[d].as_int()) {
                    (Some(a), Some(b)) if a != b => {
                        return Err(OpError::Invalid(format!("tensors of sizes {a} and {b} cannot be joined")));
                    }
                    (None, Some(_)) => *own = p.shape[d].clone(),
                    _ => {}
                }
            }
        }
        if parts.len() == 1 {
            return parts.pop().ok_or_else(|| OpError::invalid("there is nothing to join"));
        }
        Ok(Chain { source: Source::Cat { parts, dim }, moves: Vec::new(), dtype, shape })
    }

    /// This chain with the elements `start + i·step` along `dim` replaced by `src`, which is converted and
    /// broadcast to that region of `count` elements.
    pub fn update(self, src: Chain, dim: usize, start: Dim, count: Dim, step: i64) -> Chain {
        let rank = self.rank();
        let mut region = self.shape.clone();
        region[dim] = count;
        let (mut starts, mut steps) = (vec![Dim::int(0); rank], vec![1; rank]);
        (starts[dim], steps[dim]) = (start, step);
        let (dtype, shape) = (self.dtype, self.shape.clone());
        let src = Box::new(src.cast(dtype).expand(region));
        let source = Source::Update { base: Box::new(self), src, start: starts, step: steps };
        Chain { source, moves: Vec::new(), dtype, shape }
    }

    /// Then a constant around; a negative number of elements crops.
    pub fn pad(mut self, low: Vec<Dim>, high: Vec<Dim>, value: Scalar) -> Chain {
        let negative = |d: &Dim| d.as_int().is_some_and(|i| i < 0);
        let zero = || Dim::int(0);
        for d in 0..self.rank() {
            let cut_low = if negative(&low[d]) { -&low[d] } else { zero() };
            let cut_high = if negative(&high[d]) { -&high[d] } else { zero() };
            let size = &(&self.shape[d] - &cut_low) - &cut_high;
            self = self.slice(d, cut_low, size, 1);
        }
        let grow =
            |list: Vec<Dim>| -> Vec<Dim> { list.into_iter().map(|d| if negative(&d) { zero() } else { d }).collect() };
        let (low, high) = (grow(low), grow(high));
        if low.iter().chain(&high).any(|d| !d.is_zero()) {
            self.shape = self.shape.iter().zip(low.iter().zip(&high)).map(|(n, (l, h))| &(l + n) + h).collect();
            self.moves.push(Move::Pad { low, high, value });
        }
        self
    }

    /// Then a conversion.
    pub fn cast(mut self, dtype: DType) -> Chain {
        if dtype != self.dtype {
            self.moves.push(Move::Cast(dtype));
            self.dtype = dtype;
        }
        self
    }

    /// Number of dimensions so far.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Then a reshape. The number of elements must agree; the caller has seen to that.
    pub fn reshape(mut self, shape: Vec<Dim>) -> Chain {
        if shape != self.shape {
            self.moves.push(Move::Reshape(shape.clone()));
            self.shape = shape;
        }
        self
    }

    /// Then a permutation of the dimensions.
    pub fn permute(mut self, dims: Vec<usize>) -> Chain {
        if !dims.iter().enumerate().all(|(i, &d)| i == d) {
            self.shape = dims.iter().map(|&d| self.shape[d].clone()).collect();
            self.moves.push(Move::Permute(dims));
        }
        self
    }

    /// Then two dimensions exchanged.
    pub fn transpose(self, a: usize, b: usize) -> Chain {
        let mut dims: Vec<usize> = (0..self.rank()).collect();
        if a < dims.len() && b < dims.len() {
            dims.swap(a, b);
        }
        self.permute(dims)
    }

    /// Then a broadcast.
    pub fn expand(mut self, shape: Vec<Dim>) -> Chain {
        if shape != self.shape {
            self.moves.push(Move::Expand(shape.clone()));
            self.shape = shape;
        }
        self
    }

    /// Then a slice along one dimension.
    pub fn slice(mut self, dim: usize, start: Dim, size: Dim, step: i64) -> Chain {
        if start.is_zero() && step == 1 && size == self.shape[dim] {
            return self;
        }
        let rank = self.rank();
        let (mut starts, mut sizes, mut steps) = (vec![Dim::int(0); rank], self.shape.clone(), vec![1; rank]);
        (starts[dim], sizes[dim], steps[dim]) = (start, size, step);
        self.shape.clone_from(&sizes);
        self.moves.push(Move::Slice { start: starts, size: sizes, step: steps });
        self
    }

    /// Then dimensions reversed.
    pub fn flip(self, dims: &[usize]) -> Chain {
        dims.iter().fold(self, |chain, &d| {
            let n = chain.shape[d].clone();
            chain.slice(d, &n - &Dim::int(1), n, -1)
        })
    }

    /// Then windows along one dimension.
    pub fn windows(mut self, dim: usize, count: Dim, size: Dim, step: i64) -> Chain {
        self.shape[dim] = count.clone();
        self.shape.push(size.clone());
        self.moves.push(Move::Windows { dim, count, size, step });
        self
    }

    /// Then a strided view of a 1-d operand.
    pub fn strided(mut self, offset: Dim, size: Vec<Dim>, stride: Vec<Dim>) -> Chain {
        self.shape.clone_from(&size);
        self.moves.push(Move::Strided { offset, size, stride });
        self
    }

    /// Then a conjugate.
    pub fn conj(mut self) -> Chain {
        if self.dtype.is_complex() {
            self.moves.push(Move::Conj);
        }
        self
    }

    /// Then a dimension of size 1 before `dim`.
    pub fn unsqueeze(self, dim: usize) -> Chain {
        let mut shape = self.shape.clone();
        shape.insert(dim.min(shape.len()), Dim::int(1));
        self.reshape(shape)
    }

    /// Then a dimension of size 1 dropped.
    pub fn drop_dim(self, dim: usize) -> Chain {
        let mut shape = self.shape.clone();
        if dim < shape.len() {
            shape.remove(dim);
        }
        self.reshape(shape)
    }

    /// Then one index along `dim`, which goes away.
    pub fn select(self, dim: usize, index: Dim) -> Chain {
        self.slice(dim, index, Dim::int(1), 1).drop_dim(dim)
    }
}

/// An index as Python slices take it (negative counts from the end, then clamped) → `0 ..= size`.
pub fn clamp_index(scope: &Scope, index: &Dim, size: &Dim) -> Dim {
    let zero = Dim::int(0);
    let from_start = match index.as_int() {
        // `x[:huge]`, as exporters write an open end.
        Some(i) if i >= i64::MAX / 2 => return size.clone(),
        Some(i) if i < 0 => size + index,
        Some(_) => index.clone(),
        None if scope.prove_lt(index, &zero).is_yes() => size + index,
        None => index.clone(),
    };
    let low = if scope.prove_le(&zero, &from_start).is_yes() { from_start } else { Dim::max_of([from_start, zero]) };
    if scope.prove_le(&low, size).is_yes() {
        low
    } else if scope.prove_le(size, &low).is_yes() {
        size.clone()
    } else {
        Dim::min_of([low, size.clone()])
    }
}

/// An index of one element: negative counts from the end.
pub fn wrap_index(scope: &Scope, index: &Dim, size: &Dim) -> Dim {
    let zero = Dim::ZERO;
    if scope.prove_le(&zero, index).is_yes() {
        index.clone()
    } else if scope.prove_lt(index, &zero).is_yes() {
        size + index
    } else {
        // Right for every index that exists.
        index.modulo(size)
    }
}
