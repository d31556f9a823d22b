//! What a primitive becomes when some of its operands have one more dimension in front, of the slices.

use crate::decompose::{Builder, Val};
use indexmap::IndexMap;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Graph, Node, NodeKind, ValueId};
use pt2c_ops::{OpError, Tags, lookup};

/// A value of a mapped body outside of it.
#[derive(Clone, Copy)]
pub struct Mapped {
    /// The value.
    pub value: Val,
    /// Whether its first dimension is that of the slices; else all slices have the same.
    pub sliced: bool,
}

/// Elementwise operands are of any rank; of the other rules, these take the dimension as it comes.
const RULES: &[&str] = &[
    "prim.argreduce",
    "prim.assert",
    "prim.cat",
    "prim.constant",
    "prim.conv",
    "prim.expand",
    "prim.gather",
    "prim.index",
    "prim.index_put",
    "prim.iota",
    "prim.matmul",
    "prim.max_window_index",
    "prim.pad",
    "prim.permute",
    "prim.random",
    "prim.reduce",
    "prim.reshape",
    "prim.routine",
    "prim.scan",
    "prim.scatter",
    "prim.slice",
    "prim.sort",
    "prim.take",
    "prim.topk",
    "prim.update_slice",
    "prim.window_reduce",
];

fn pointwise(op: &str) -> bool {
    lookup(op).is_some_and(|op| op.def.tags.has(Tags::POINTWISE))
}

/// Whether all primitives of a body have a rule.
pub fn covers(body: &Graph) -> bool {
    let covered = |op: &str| pointwise(op) || RULES.contains(&op);
    body.nodes().all(|(_, node)| match &node.kind {
        NodeKind::Call { op, .. } => covered(op),
        NodeKind::Input => true,
        NodeKind::Tensor(_) => false,
    })
}

/// Carries out a decomposed body for all slices. `inputs` are those of the body; the results are sliced.
///
/// # Errors
/// A body that is malformed.
pub fn apply(b: &mut Builder<'_>, body: &Graph, inputs: &[Mapped], size: &Dim) -> Result<Vec<Val>, OpError> {
    let mut map: IndexMap<ValueId, Mapped> = body.inputs().zip(inputs.iter().copied()).collect();
    for (id, node) in body.nodes() {
        let NodeKind::Call { op, args } = &node.kind else { continue };
        let operand = |v: &ValueId| map.get(v).copied().ok_or_else(|| OpError::invalid("an operand without a value"));
        let args = args.iter().map(|a| a.try_map(operand)).collect::<Result<Vec<_>, _>>()?;
        let sliced = args.iter().flat_map(Arg::tensors).any(|m| m.sliced);
        let results = if sliced || op == "prim.random" {
            let results = Rule { b, size, node, args: &args }.apply(op)?;
            results.into_iter().map(|value| Mapped { value, sliced: true }).collect::<Vec<_>>()
        } else {
            let args = args.iter().map(|a| a.map(|m| m.value)).collect();
            b.call(op, args)?.into_iter().map(|value| Mapped { value, sliced: false }).collect()
        };
        map.extend(body.values(id).zip(results));
    }
    let results: Vec<ValueId> = body.output_values().collect();
    let mut values = Vec::new();
    for v in results {
        let mapped = map.get(&v).copied().ok_or_else(|| OpError::invalid("an output without a value"))?;
        values.push(every(b, mapped, size)?);
    }
    Ok(values)
}

/// A value that has the dimension of the slices.
fn every(b: &mut Builder<'_>, m: Mapped, size: &Dim) -> Result<Val, OpError> {
    if m.sliced {
        return Ok(m.value);
    }
    let shape = [&[size.clone()], b.shape(m.value).as_slice()].concat();
    b.expand(m.value, &shape)
}

/// One primitive of a body.
struct Rule<'r, 'b> {
    b: &'r mut Builder<'b>,
    size: &'r Dim,
    node: &'r Node,
    args: &'r [Arg<Mapped>],
}

impl Rule<'_, '_> {
    fn arg(&self, at: usize) -> Result<&Arg<Mapped>, OpError> {
        self.args.get(at).ok_or_else(|| OpError::invalid("a call without its arguments"))
    }

    fn tensor(&self, at: usize) -> Result<Mapped, OpError> {
        self.arg(at)?.as_tensor().copied().ok_or_else(|| OpError::invalid("an argument that is no tensor"))
    }

    /// A tensor argument with the dimension of the slices.
    fn sliced(&mut self, at: usize) -> Result<Val, OpError> {
        let m = self.tensor(at)?;
        every(self.b, m, self.size)
    }

    /// The rank of a slice.
    fn rank(&self, m: Mapped) -> usize {
        self.b.rank(m.value) - usize::from(m.sliced)
    }

    /// With dimensions of size 1 behind that of the slices, so that a slice has this rank. What all slices share
    /// broadcasts as it is.
    fn padded(&mut self, m: Mapped, rank: usize) -> Result<Val, OpError> {
        let own = self.rank(m);
        if !m.sliced || own >= rank {
            return Ok(m.value);
        }
        let mut shape = self.b.shape(m.value);
        shape.splice(1..1, vec![Dim::ONE; rank - own]);
        self.b.reshape(m.value, &shape)
    }

    fn int(&self, at: usize) -> Result<usize, OpError> {
        let int = self.arg(at)?.as_dim().and_then(Dim::as_int).and_then(|i| usize::try_from(i).ok());
        int.ok_or_else(|| OpError::invalid("an argument that is no dimension"))
    }

    fn dims(&self, at: usize) -> Result<Vec<Dim>, OpError> {
        match self.arg(at)? {
            Arg::Ints(dims) => Ok(dims.clone()),
            _ => Err(OpError::invalid("an argument that is no list of sizes")),
        }
    }

    /// A list with a number for the dimension of the slices before its others.
    fn with(&self, first: &Dim, at: usize) -> Result<Arg<Val>, OpError> {
        Ok(Arg::Ints([&[first.clone()], self.dims(at)?.as_slice()].concat()))
    }

    /// The arguments with some replaced, none of the others tensors.
    fn call(&mut self, op: &str, new: Vec<(usize, Arg<Val>)>) -> Result<Vec<Val>, OpError> {
        let mut args: Vec<Arg<Val>> = self.args.iter().map(|a| a.map(|m| m.value)).collect();
        for (at, arg) in new {
            if let Some(slot) = args.get_mut(at) {
                *slot = arg;
            }
        }
        self.b.call(op, args)
    }

    fn apply(mut self, op: &str) -> Result<Vec<Val>, OpError> {
        let later = |d: usize| Arg::Int(Dim::int(d as i64 + 1));
        match op {
            _ if pointwise(op) => {
                let operands: Vec<(usize, Mapped)> =
                    self.args.iter().enumerate().filter_map(|(i, a)| Some((i, *a.as_tensor()?))).collect();
                let rank = operands.iter().map(|(_, m)| self.rank(*m)).max().unwrap_or(0);
                let mut new = Vec::new();
                for (i, m) in operands {
                    new.push((i, Arg::Tensor(self.padded(m, rank)?)));
                }
                self.call(op, new)
            }
            "prim.assert" => {
                let cond = self.tensor(0)?.value;
                self.call(op, vec![(0, Arg::Tensor(cond))])
            }
            "prim.reshape" => {
                let shape = self.with(&self.size.clone(), 1)?;
                self.call(op, vec![(1, shape)])
            }
            "prim.expand" => {
                let rank = self.dims(1)?.len();
                let x = self.tensor(0)?;
                let x = self.padded(x, rank)?;
                let shape = self.with(&self.size.clone(), 1)?;
                self.call(op, vec![(0, Arg::Tensor(x)), (1, shape)])
            }
            "prim.permute" | "prim.reduce" => {
                let moved = self.dims(1)?.into_iter().map(|d| d + 1);
                let first = (op == "prim.permute").then_some(Dim::ZERO);
                let dims = Arg::Ints(first.into_iter().chain(moved).collect());
                self.call(op, vec![(1, dims)])
            }
            "prim.slice" => {
                let size = self.size.clone();
                let new = [(1, Dim::ZERO), (2, size), (3, Dim::ONE)];
                let new = new.iter().map(|(at, first)| Ok((*at, self.with(first, *at)?)));
                let new = new.collect::<Result<Vec<_>, OpError>>()?;
                self.call(op, new)
            }
            "prim.pad" => {
                if self.tensor(1)?.sliced {
                    return self.pad_with_slices();
                }
                let new = vec![(2, self.with(&Dim::ZERO, 2)?), (3, self.with(&Dim::ZERO, 3)?)];
                self.call(op, new)
            }
            "prim.update_slice" => {
                let (x, src) = (self.sliced(0)?, self.sliced(1)?);
                let new = vec![
                    (0, Arg::Tensor(x)),
                    (1, Arg::Tensor(src)),
                    (2, self.with(&Dim::ZERO, 2)?),
                    (3, self.with(&Dim::ONE, 3)?),
                ];
                self.call(op, new)
            }
            "prim.cat" => {
                let Arg::Tensors(list) = self.arg(0)?.clone() else {
                    return Err(OpError::invalid("nothing to concatenate"));
                };
                let mut all = Vec::new();
                for m in list.into_iter().flatten() {
                    all.push(Some(every(self.b, m, self.size)?));
                }
                let dim = later(self.int(1)?);
                self.call(op, vec![(0, Arg::Tensors(all)), (1, dim)])
            }
            "prim.argreduce" | "prim.scan" | "prim.sort" => {
                let dim = later(self.int(1)?);
                self.call(op, vec![(1, dim)])
            }
            "prim.topk" => {
                let dim = later(self.int(2)?);
                self.call(op, vec![(2, dim)])
            }
            "prim.gather" => {
                let (x, index, dim) = (self.sliced(0)?, self.sliced(1)?, later(self.int(2)?));
                self.call(op, vec![(0, Arg::Tensor(x)), (1, Arg::Tensor(index)), (2, dim)])
            }
            "prim.scatter" => {
                let (x, index, src, dim) = (self.sliced(0)?, self.sliced(1)?, self.sliced(2)?, later(self.int(3)?));
                let new = vec![(0, Arg::Tensor(x)), (1, Arg::Tensor(index)), (2, Arg::Tensor(src)), (3, dim)];
                self.call(op, new)
            }
            "prim.take" => self.take(),
            "prim.index" => {
                let x = self.tensor(0)?;
                let indices = self.indices(1, x.sliced)?;
                self.call(op, vec![(0, Arg::Tensor(x.value)), (1, indices)])
            }
            "prim.index_put" => {
                // Without slices every write would be to the same place.
                let x = self.sliced(0)?;
                let indices = self.indices(1, true)?;
                let values = self.sliced(2)?;
                self.call(op, vec![(0, Arg::Tensor(x)), (1, indices), (2, Arg::Tensor(values))])
            }
            "prim.matmul" => self.matmul(),
            "prim.conv" => self.conv(),
            "prim.window_reduce" | "prim.max_window_index" => self.call(op, Vec::new()),
            "prim.routine" => {
                let Arg::Tensors(list) = self.arg(0)?.clone() else { return Err(OpError::invalid("no operands")) };
                let mut all = Vec::new();
                for m in list.into_iter().flatten() {
                    all.push(Some(every(self.b, m, self.size)?));
                }
                let batch = self.with(&self.size.clone(), 2)?;
                self.call(op, vec![(0, Arg::Tensors(all)), (2, batch)])
            }
            "prim.random" => {
                let shape = self.with(&self.size.clone(), 0)?;
                self.call(op, vec![(0, shape)])
            }
            _ => Err(OpError::Invalid(format!("`{op}` ({}) cannot be mapped", self.node.name))),
        }
    }

    /// Around each slice its own number: padding that is chosen afterwards.
    fn pad_with_slices(&mut self) -> Result<Vec<Val>, OpError> {
        let (x, value) = (self.sliced(0)?, self.tensor(1)?);
        let (low, high) = (self.with(&Dim::ZERO, 2)?, self.with(&Dim::ZERO, 3)?);
        let (Arg::Ints(low), Arg::Ints(high)) = (low, high) else { return Err(OpError::invalid("no sizes")) };
        let dtype = self.b.dtype(x);
        let zero = self.b.constant(0.0, dtype)?;
        let padded = self.b.pad(x, zero, &low, &high)?;
        let shape = self.b.shape(padded);
        let around = self.padded(value, shape.len() - 1)?;
        let around = self.b.expand(around, &shape)?;
        let step = vec![1; shape.len()];
        Ok(vec![self.b.update_slice(around, x, &low, &step)?])
    }

    /// Indices into slices: the number of the slice first, if what they index has slices.
    fn indices(&mut self, at: usize, into_slices: bool) -> Result<Arg<Val>, OpError> {
        let Arg::Tensors(list) = self.arg(at)?.clone() else { return Err(OpError::invalid("no indices")) };
        let list: Vec<Mapped> = list.into_iter().flatten().collect();
        let rank = list.iter().map(|m| self.rank(*m)).max().unwrap_or(0);
        let mut all = Vec::new();
        if into_slices {
            all.push(Some(self.numbers(rank)?));
        }
        for m in list {
            all.push(Some(self.padded(m, rank)?));
        }
        Ok(Arg::Tensors(all))
    }

    /// The numbers of the slices, with so many dimensions of size 1 behind them.
    fn numbers(&mut self, rank: usize) -> Result<Val, OpError> {
        let numbers = self.b.iota(self.size, DType::I64)?;
        let shape = [vec![self.size.clone()], vec![Dim::ONE; rank]].concat();
        self.b.reshape(numbers, &shape)
    }

    fn take(&mut self) -> Result<Vec<Val>, OpError> {
        let (x, index, dim) = (self.tensor(0)?, self.tensor(1)?, self.int(2)?);
        if !index.sliced {
            return Ok(vec![self.b.take(x.value, index.value, dim + 1)?]);
        }
        let taken = self.rank(index);
        if !x.sliced {
            // The slices stand where the dimension was.
            let y = self.b.take(x.value, index.value, dim)?;
            let mut order: Vec<usize> = (0..self.b.rank(y)).filter(|d| *d != dim).collect();
            order.insert(0, dim);
            return Ok(vec![self.b.permute(y, &order)?]);
        }
        let rank = self.rank(x);
        let order: Vec<usize> = [0, dim + 1].into_iter().chain((1..=rank).filter(|d| *d != dim + 1)).collect();
        let front = self.b.permute(x.value, &order)?;
        let numbers = self.numbers(taken)?;
        let y = self.b.index(front, &[numbers, index.value])?;
        // Slices, what was taken, the dimensions before, those behind.
        let before = (1 + taken..1 + taken + dim).collect::<Vec<_>>();
        let behind = 1 + taken + dim..self.b.rank(y);
        let order: Vec<usize> = [0].into_iter().chain(before).chain(1..1 + taken).chain(behind).collect();
        Ok(vec![self.b.permute(y, &order)?])
    }

    fn matmul(&mut self) -> Result<Vec<Val>, OpError> {
        let (x, y) = (self.tensor(0)?, self.tensor(1)?);
        let (rank_x, rank_y) = (self.rank(x), self.rank(y));
        // Rows of all slices by one matrix.
        if x.sliced && !y.sliced && rank_y == 2 {
            let shape = self.b.shape(x.value);
            let [rows @ .., k] = shape.as_slice() else { return Err(OpError::invalid("no matrices")) };
            let count = rows.iter().fold(Dim::ONE, |n, d| &n * d);
            let flat = self.b.reshape(x.value, &[count, k.clone()])?;
            let product = self.b.matmul(flat, y.value)?;
            let columns = self.b.shape(y.value).last().cloned().unwrap_or(Dim::ONE);
            return Ok(vec![self.b.reshape(product, &[rows, &[columns]].concat())?]);
        }
        let rank = rank_x.max(rank_y);
        let (x, y) = (self.padded(x, rank)?, self.padded(y, rank)?);
        Ok(vec![self.b.matmul(x, y)?])
    }

    /// Slices of the input are more images; slices of the filters more groups.
    fn conv(&mut self) -> Result<Vec<Val>, OpError> {
        let (x, w) = (self.tensor(0)?, self.tensor(1)?);
        let size = self.size.clone();
        let joined = |shape: &[Dim], at: usize| -> Vec<Dim> {
            let mut shape = shape.to_vec();
            let n = shape.remove(at);
            if let Some(d) = shape.get_mut(at) {
                *d = &*d * &n;
            }
            shape
        };
        if !w.sliced {
            let shape = self.b.shape(x.value);
            let images = self.b.reshape(x.value, &joined(&shape, 0))?;
            let y = self.call("prim.conv", vec![(0, Arg::Tensor(images))])?;
            let y = y.first().copied().ok_or_else(|| OpError::invalid("no result"))?;
            let own = self.b.shape(y);
            let shape = [&[size, shape.get(1).cloned().unwrap_or(Dim::ONE)], own.get(1..).unwrap_or_default()].concat();
            return Ok(vec![self.b.reshape(y, &shape)?]);
        }
        let (x, w) = (self.sliced(0)?, w.value);
        let front = self.b.transpose(x, 0, 1)?;
        let shape = self.b.shape(front);
        let channels = self.b.reshape(front, &joined(&shape, 1))?;
        let filters = self.b.shape(w);
        let all = self.b.reshape(w, &joined(&filters, 0))?;
        let groups = self.arg(6)?.as_dim().cloned().unwrap_or(Dim::ONE);
        let groups = Arg::Int(&groups * &size);
        let y = self.call("prim.conv", vec![(0, Arg::Tensor(channels)), (1, Arg::Tensor(all)), (6, groups)])?;
        let y = y.first().copied().ok_or_else(|| OpError::invalid("no result"))?;
        let mut shape = self.b.shape(y);
        shape.splice(1..2, [size, filters.get(1).cloned().unwrap_or(Dim::ONE)]);
        let y = self.b.reshape(y, &shape)?;
        Ok(vec![self.b.transpose(y, 0, 1)?])
    }
}
