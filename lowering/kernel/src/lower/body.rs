//! Evaluating a region's body at an index: from values to scalar statements and expressions.
//!
//! Views become index arithmetic, elementwise primitives become expressions, reductions and windows become loops in
//! the block that is open, reads of materialised values become loads. A value at an index is computed once for a
//! block and the blocks inside it.

use super::LowerError;
use super::reduce::Window;
use super::scalar::{Scalar, scalar_of};
use crate::{Access, BinaryOp, CompareOp, Expr, LoopKind, Param, Stmt, UnaryOp, Var};
use pt2c_ir::dim::{Dim, Proof, Scope, Symbol};
use pt2c_ir::{Arg, DType, Fact, Graph, NodeKind, ValueId};
use pt2c_ops::index_map::{address, broadcast_index, reshape_index};
use std::collections::BTreeMap;

/// The dtype a value of this dtype is computed in.
pub fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => DType::F32,
        other => other,
    }
}

/// A list of statements under construction and the values already computed in it.
#[derive(Default)]
struct Block {
    stmts: Vec<Stmt>,
    memo: BTreeMap<(ValueId, Vec<Dim>), Expr>,
}

/// Builds the statements of one kernel from one region body.
pub struct Body<'g> {
    /// The region's body.
    pub graph: &'g Graph,
    /// Parameters of the kernel: the body's inputs, then what lowering adds.
    pub params: Vec<Param>,
    /// What is known of root symbols and of the loop variables made so far.
    pub scope: Scope,
    inputs: BTreeMap<ValueId, usize>,
    blocks: Vec<Block>,
    vars: u32,
    symbols: u32,
    /// Inside a guarded value: nothing may be put into the block.
    pub(super) lazy: u32,
    /// How the innermost loop of a reduction runs.
    pub reduction_kind: LoopKind,
}

impl<'g> Body<'g> {
    /// A kernel whose first parameters are the inputs of `graph`.
    pub fn new(graph: &'g Graph, scope: &Scope) -> Body<'g> {
        let mut body = Body {
            graph,
            params: Vec::new(),
            scope: scope.clone(),
            inputs: BTreeMap::new(),
            blocks: vec![Block::default()],
            // Variable 0 is the accumulator of contractions.
            vars: 1,
            symbols: 0,
            lazy: 0,
            reduction_kind: LoopKind::Serial,
        };
        for value in graph.inputs() {
            let dtype = body.fact(value).map_or(DType::F32, |f| f.dtype);
            let at = body.add_param(&graph.value_name(value), dtype, Access::Read);
            body.inputs.insert(value, at);
        }
        body
    }

    /// Adds a parameter and returns its position.
    pub fn add_param(&mut self, name: &str, dtype: DType, access: Access) -> usize {
        self.params.push(Param { name: name.to_string(), dtype, access });
        self.params.len() - 1
    }

    /// A fresh scalar.
    pub fn new_var(&mut self) -> Var {
        self.vars += 1;
        Var(self.vars - 1)
    }

    /// A fresh loop variable in `0..extent`.
    pub fn new_symbol(&mut self, hint: &str, extent: &Dim) -> Symbol {
        let symbol = Symbol::from(format!("{hint}{}", self.symbols).as_str());
        self.symbols += 1;
        self.scope.declare_in(symbol.clone(), Dim::ZERO, extent.clone());
        symbol
    }

    /// Opens a nested list of statements.
    pub fn open(&mut self) {
        self.blocks.push(Block::default());
    }

    /// Closes the innermost list and returns it.
    pub fn close(&mut self) -> Vec<Stmt> {
        let block = self.blocks.pop().unwrap_or_default();
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        block.stmts
    }

    /// Appends to the open list.
    pub fn push(&mut self, stmt: Stmt) {
        if let Some(block) = self.blocks.last_mut() {
            block.stmts.push(stmt);
        }
    }

    /// States that `value` at `index` is `expr` from here on in the open list.
    pub fn define(&mut self, value: ValueId, index: &[Dim], expr: Expr) {
        if let Some(block) = self.blocks.last_mut() {
            block.memo.insert((value, index.to_vec()), expr);
        }
    }

    /// The parameter of a body input.
    pub fn param_of(&self, value: ValueId) -> Option<usize> {
        self.inputs.get(&value).copied()
    }

    /// The fact of a value of the body.
    pub fn fact(&self, value: ValueId) -> Result<&'g Fact, LowerError> {
        self.graph.fact(value).ok_or(LowerError::Malformed("a value without a fact"))
    }

    /// Names an expression, so that it is computed once; simple ones stay as they are.
    pub fn name(&mut self, dtype: DType, expr: Expr) -> Expr {
        if self.lazy > 0
            || matches!(expr, Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_))
        {
            return expr;
        }
        let var = self.new_var();
        self.push(Stmt::Let { var, dtype: compute_type(dtype), value: expr });
        Expr::Var(var)
    }

    /// The element of `value` at `index`.
    pub fn eval(&mut self, value: ValueId, index: &[Dim]) -> Result<Expr, LowerError> {
        let key = (value, index.to_vec());
        if let Some(known) = self.blocks.iter().rev().find_map(|b| b.memo.get(&key)) {
            return Ok(known.clone());
        }
        let expr = self.compute(value, index)?;
        if self.lazy == 0
            && let Some(block) = self.blocks.last_mut()
        {
            block.memo.insert(key, expr.clone());
        }
        Ok(expr)
    }

    /// Evaluates inside a guard: pure, nothing is added to the block.
    pub fn eval_lazy(&mut self, value: ValueId, index: &[Dim]) -> Result<Expr, LowerError> {
        self.lazy += 1;
        let expr = self.eval(value, index);
        self.lazy -= 1;
        expr
    }

    fn compute(&mut self, value: ValueId, index: &[Dim]) -> Result<Expr, LowerError> {
        let fact = self.fact(value)?;
        if let Some(param) = self.param_of(value) {
            let address = address(&self.scope, fact, index);
            return Ok(self.name(fact.dtype, Expr::Load { param, address }));
        }
        let node = self.graph.node(value.node);
        let NodeKind::Call { op, args } = &node.kind else {
            return Err(LowerError::Malformed("a tensor or input inside a region body"));
        };
        if let Some(scalar) = scalar_of(op) {
            let operands: Vec<ValueId> = node.operands().collect();
            return self.elementwise(scalar, fact, &operands, index);
        }
        match (op.as_str(), args.as_slice()) {
            ("prim.where", [Arg::Tensor(c), Arg::Tensor(a), Arg::Tensor(b)]) => {
                let mut operand = |v: &ValueId| -> Result<Expr, LowerError> {
                    let at = broadcast_index(self.fact(*v)?, index);
                    self.eval(*v, &at)
                };
                let (c, a, b) = (operand(c)?, operand(a)?, operand(b)?);
                let select = Expr::Select(Box::new(c), Box::new(a), Box::new(b));
                Ok(self.name(fact.dtype, select))
            }
            ("prim.cast", [Arg::Tensor(x), _]) => {
                let x = self.eval(*x, index)?;
                Ok(self.name(fact.dtype, Expr::Cast(fact.dtype, Box::new(x))))
            }
            ("prim.bitcast", [Arg::Tensor(x), _]) => {
                let x = self.eval(*x, index)?;
                Ok(self.name(fact.dtype, Expr::Bitcast(fact.dtype, Box::new(x))))
            }
            ("prim.constant", [number, _]) => constant(number, fact.dtype),
            ("prim.iota", [_, _]) => {
                let at = index.first().cloned().unwrap_or(Dim::ZERO);
                Ok(integer(at, fact.dtype))
            }
            ("prim.reshape", [Arg::Tensor(x), _]) => {
                let from = self.fact(*x)?;
                let at = reshape_index(&self.scope, &from.shape, &fact.shape, index);
                self.eval(*x, &at)
            }
            ("prim.expand", [Arg::Tensor(x), _]) => {
                let at = broadcast_index(self.fact(*x)?, index);
                self.eval(*x, &at)
            }
            ("prim.permute", [Arg::Tensor(x), Arg::Ints(dims)]) => {
                let mut at = vec![Dim::ZERO; index.len()];
                for (i, d) in index.iter().zip(dims) {
                    let slot = d.as_int().and_then(|d| at.get_mut(usize::try_from(d).ok()?));
                    *slot.ok_or(LowerError::Malformed("permute"))? = i.clone();
                }
                self.eval(*x, &at)
            }
            ("prim.slice", [Arg::Tensor(x), Arg::Ints(start), _, Arg::Ints(step)]) => {
                let at: Vec<Dim> = index.iter().zip(start).zip(step).map(|((i, s), t)| s + &(i * t)).collect();
                self.eval(*x, &at)
            }
            ("prim.pad", [Arg::Tensor(x), Arg::Tensor(fill), Arg::Ints(low), _]) => {
                let inner = self.fact(*x)?;
                let at: Vec<Dim> = index.iter().zip(low).map(|(i, l)| i - l).collect();
                let at: Vec<Dim> = at.iter().map(|i| self.scope.simplify(i)).collect();
                let other = self.eval(*fill, &[])?;
                let Some(condition) = self.inside(&at, &inner.shape) else { return self.eval(*x, &at) };
                let value = self.eval_lazy(*x, &at)?;
                let guarded =
                    Expr::Guarded { condition: Box::new(condition), value: Box::new(value), other: Box::new(other) };
                Ok(self.name(fact.dtype, guarded))
            }
            ("prim.update_slice", [Arg::Tensor(x), Arg::Tensor(src), Arg::Ints(start), Arg::Ints(step)]) => {
                self.update_slice(*x, *src, start, step, index)
            }
            ("prim.cat", [Arg::Tensors(xs), Arg::Int(dim)]) => {
                let dim = dim.as_int().and_then(|d| usize::try_from(d).ok()).filter(|d| *d < index.len());
                let dim = dim.ok_or(LowerError::Malformed("cat"))?;
                self.cat(xs, dim, index, fact.dtype)
            }
            ("prim.reduce", [Arg::Tensor(x), Arg::Ints(dims), Arg::Str(kind)]) => {
                self.reduce(*x, dims, kind, index, fact.dtype)
            }
            ("prim.argreduce", [Arg::Tensor(x), Arg::Int(dim), Arg::Str(kind)]) => {
                self.argreduce(*x, dim, kind == "argmax", index)
            }
            (
                "prim.window_reduce",
                [
                    Arg::Tensor(x),
                    Arg::Str(kind),
                    Arg::Ints(window),
                    Arg::Ints(stride),
                    Arg::Ints(dilation),
                    Arg::Ints(low),
                    _,
                ],
            ) => {
                let steps: Vec<Window<'_>> = (0..window.len())
                    .map(|i| {
                        Some(Window {
                            size: window.get(i)?,
                            stride: stride.get(i)?,
                            dilation: dilation.get(i)?,
                            low: low.get(i)?,
                        })
                    })
                    .collect::<Option<_>>()
                    .ok_or(LowerError::Malformed("window_reduce"))?;
                self.window(*x, kind, &steps, index, fact.dtype)
            }
            ("prim.take", [Arg::Tensor(x), Arg::Tensor(at), Arg::Int(dim)]) => {
                let dim = dim.as_int().and_then(|d| usize::try_from(d).ok()).ok_or(LowerError::Malformed("take"))?;
                let (source, rank) = (self.fact(*x)?, self.fact(*at)?.rank());
                if dim + rank > index.len() || dim >= source.rank() {
                    return Err(LowerError::Malformed("take"));
                }
                let picked = self.data_index(*at, &index[dim..dim + rank], &source.shape[dim], dim)?;
                let full = [&index[..dim], &[picked], &index[dim + rank..]].concat();
                self.eval(*x, &full)
            }
            ("prim.gather", [Arg::Tensor(x), Arg::Tensor(at), Arg::Int(dim)]) => {
                let dim = dim.as_int().and_then(|d| usize::try_from(d).ok()).filter(|d| *d < index.len());
                let dim = dim.ok_or(LowerError::Malformed("gather"))?;
                let extent = self.fact(*x)?.shape.get(dim).cloned().ok_or(LowerError::Malformed("gather"))?;
                let mut full = index.to_vec();
                full[dim] = self.data_index(*at, index, &extent, dim)?;
                self.eval(*x, &full)
            }
            ("prim.index", [Arg::Tensor(x), Arg::Tensors(indices)]) => {
                let full = self.joint_index(*x, indices, index)?;
                self.eval(*x, &full)
            }
            _ => Err(LowerError::NotScalar { op: op.clone() }),
        }
    }

    fn elementwise(
        &mut self,
        scalar: Scalar,
        fact: &Fact,
        operands: &[ValueId],
        index: &[Dim],
    ) -> Result<Expr, LowerError> {
        // Predicates of floats hold for no other number.
        if let Scalar::Unary(UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::SignBit) = scalar
            && let [x] = operands
            && !self.fact(*x)?.dtype.is_float()
        {
            return Ok(Expr::Bool(false));
        }
        let mut exprs = Vec::with_capacity(operands.len());
        for &v in operands {
            let at = broadcast_index(self.fact(v)?, index);
            exprs.push(Box::new(self.eval(v, &at)?));
        }
        let mut exprs = exprs.into_iter();
        let mut next = || exprs.next().ok_or(LowerError::Malformed("an elementwise primitive lacks an operand"));
        let expr = match scalar {
            Scalar::Unary(op) => Expr::Unary(op, next()?),
            Scalar::Binary(op) => Expr::Binary(op, next()?, next()?),
            Scalar::Compare(op) => Expr::Compare(op, next()?, next()?),
        };
        if matches!(
            scalar,
            Scalar::Binary(BinaryOp::DivFloor | BinaryOp::DivTrunc | BinaryOp::RemFloor | BinaryOp::RemTrunc)
        ) && fact.dtype.is_int()
            && let Expr::Binary(_, _, divisor) = &expr
            && !self.is_never_zero(divisor)
        {
            let zero = Expr::Int(0, fact.dtype);
            let condition = Expr::Compare(CompareOp::Ne, divisor.clone(), Box::new(zero));
            self.check(condition, "integer division by zero", None)?;
        }
        let expr = round_to_storage(fact.dtype, expr);
        Ok(self.name(fact.dtype, expr))
    }

    /// Whether a divisor is a number or a size that is not zero.
    fn is_never_zero(&self, divisor: &Expr) -> bool {
        match divisor {
            Expr::Int(n, _) => *n != 0,
            Expr::Index(size) => self.scope.prove_lt(&Dim::ZERO, size).is_yes(),
            _ => false,
        }
    }

    /// Ends the call with an error unless the condition holds.
    fn check(&mut self, condition: Expr, message: &str, value: Option<Expr>) -> Result<(), LowerError> {
        if self.lazy > 0 {
            return Err(LowerError::NotLazy { what: "a run-time check" });
        }
        self.push(Stmt::Check { condition, message: message.to_string(), value });
        Ok(())
    }

    /// The condition that every coordinate is inside the shape; `None` if that is proven.
    pub(super) fn inside(&mut self, at: &[Dim], shape: &[Dim]) -> Option<Expr> {
        let mut all: Option<Expr> = None;
        let mut require = |holds: Proof, a: Dim, op: CompareOp, b: Dim| {
            if holds != Proof::Yes {
                let test = Expr::Compare(op, Box::new(Expr::Index(a)), Box::new(Expr::Index(b)));
                all = Some(match all.take() {
                    Some(before) => Expr::Binary(BinaryOp::And, Box::new(before), Box::new(test)),
                    None => test,
                });
            }
        };
        for (i, n) in at.iter().zip(shape) {
            require(self.scope.prove_le(&Dim::ZERO, i), i.clone(), CompareOp::Ge, Dim::ZERO);
            require(self.scope.prove_lt(i, n), i.clone(), CompareOp::Lt, n.clone());
        }
        all
    }

    fn cat(&mut self, xs: &[Option<ValueId>], dim: usize, index: &[Dim], dtype: DType) -> Result<Expr, LowerError> {
        let mut parts = Vec::new();
        let mut start = Dim::ZERO;
        for x in xs.iter().flatten() {
            let size = self.fact(*x)?.shape.get(dim).cloned().ok_or(LowerError::Malformed("cat"))?;
            let end = self.scope.simplify(&(&start + &size));
            if !size.is_zero() {
                parts.push((*x, start, end.clone()));
            }
            start = end;
        }
        if parts.is_empty() {
            return Err(LowerError::Malformed("cat of nothing"));
        }
        // Every part is read under its own condition: a target may evaluate what stands behind `other` for all lanes.
        let computed = compute_type(dtype);
        let mut expr = match computed {
            DType::Bool => Expr::Bool(false),
            d if d.is_float() => Expr::Float(0.0, d),
            d => Expr::Int(0, d),
        };
        for (x, start, end) in parts.iter().rev() {
            let mut at = index.to_vec();
            at[dim] = self.scope.simplify(&(&index[dim] - start));
            let value = self.eval_lazy(*x, &at)?;
            let position = || Box::new(Expr::Index(index[dim].clone()));
            let mut condition = Expr::Compare(CompareOp::Lt, position(), Box::new(Expr::Index(end.clone())));
            if !start.is_zero() {
                let from = Expr::Compare(CompareOp::Ge, position(), Box::new(Expr::Index(start.clone())));
                condition = Expr::Binary(BinaryOp::And, Box::new(from), Box::new(condition));
            }
            expr = Expr::Guarded { condition: Box::new(condition), value: Box::new(value), other: Box::new(expr) };
        }
        Ok(self.name(dtype, expr))
    }

    fn update_slice(
        &mut self,
        x: ValueId,
        src: ValueId,
        start: &[Dim],
        step: &[Dim],
        index: &[Dim],
    ) -> Result<Expr, LowerError> {
        let (whole, part) = (self.fact(x)?, self.fact(src)?);
        let mut at = Vec::with_capacity(index.len());
        let mut on_grid: Option<Expr> = None;
        for (d, i) in index.iter().enumerate() {
            let (Some(s), Some(t)) = (start.get(d), step.get(d)) else {
                return Err(LowerError::Malformed("update_slice"));
            };
            let covers = s.is_zero() && t.is_one() && part.shape.get(d) == whole.shape.get(d);
            let offset = if covers { i.clone() } else { self.scope.simplify(&(i - s)) };
            at.push(self.scope.simplify(&offset.floor_div(t)));
            if !t.is_one() {
                let rest = self.scope.simplify(&offset.modulo(t));
                let test =
                    Expr::Compare(CompareOp::Eq, Box::new(Expr::Index(rest)), Box::new(Expr::Int(0, DType::I64)));
                on_grid = Some(match on_grid {
                    Some(before) => Expr::Binary(BinaryOp::And, Box::new(before), Box::new(test)),
                    None => test,
                });
            }
        }
        let inside = self.inside(&at, &part.shape);
        let condition = match (inside, on_grid) {
            (Some(a), Some(b)) => Expr::Binary(BinaryOp::And, Box::new(a), Box::new(b)),
            (Some(c), None) | (None, Some(c)) => c,
            (None, None) => return self.eval(src, &at),
        };
        let value = self.eval_lazy(src, &at)?;
        let other = self.eval_lazy(x, index)?;
        let guarded = Expr::Guarded { condition: Box::new(condition), value: Box::new(value), other: Box::new(other) };
        Ok(self.name(whole.dtype, guarded))
    }

    /// An index read from data, checked and named as a symbol.
    pub fn data_index(&mut self, indices: ValueId, at: &[Dim], extent: &Dim, dim: usize) -> Result<Dim, LowerError> {
        if let Some(known) = self.known_index(indices, at) {
            return Ok(known);
        }
        if self.lazy > 0 {
            return Err(LowerError::NotLazy { what: "an index read from data" });
        }
        let value = self.eval(indices, at)?;
        let value = self.name(DType::I64, value);
        let int = |d: Dim| Box::new(Expr::Index(d));
        let low = Expr::Compare(CompareOp::Ge, Box::new(value.clone()), int(Dim::ZERO));
        let high = Expr::Compare(CompareOp::Lt, Box::new(value.clone()), int(extent.clone()));
        let message = format!("index {{}} is out of bounds for dimension {dim} with size {extent}");
        self.check(Expr::Binary(BinaryOp::And, Box::new(low), Box::new(high)), &message, Some(value.clone()))?;
        let symbol = self.new_symbol("x", extent);
        self.push(Stmt::Index { symbol: symbol.clone(), extent: extent.clone(), value });
        let dim = Dim::sym(symbol);
        let key = (indices, at.to_vec());
        if let Some(block) = self.blocks.last_mut() {
            block.memo.insert(key, Expr::Index(dim.clone()));
        }
        Ok(dim)
    }

    /// The index as an expression over symbols, where its computation is integer arithmetic on positions.
    fn known_index(&mut self, indices: ValueId, at: &[Dim]) -> Option<Dim> {
        let key = (indices, at.to_vec());
        if let Some(Expr::Index(dim)) = self.blocks.iter().rev().find_map(|b| b.memo.get(&key)) {
            return Some(dim.clone());
        }
        None
    }

    /// The index of `x` for an index of `prim.index(x, indices)` (or the place that `prim.index_put` writes to).
    pub fn joint_index(
        &mut self,
        x: ValueId,
        indices: &[Option<ValueId>],
        index: &[Dim],
    ) -> Result<Vec<Dim>, LowerError> {
        let source = self.fact(x)?;
        let count = indices.len();
        let trailing = source.rank().checked_sub(count).ok_or(LowerError::Malformed("index"))?;
        let joint = index.len().checked_sub(trailing).ok_or(LowerError::Malformed("index"))?;
        let mut full = Vec::with_capacity(source.rank());
        for (d, i) in indices.iter().enumerate() {
            let i = i.ok_or(LowerError::Malformed("index"))?;
            let at = broadcast_index(self.fact(i)?, &index[..joint]);
            full.push(self.data_index(i, &at, &source.shape[d], d)?);
        }
        full.extend_from_slice(&index[joint..]);
        Ok(full)
    }

    /// Parameter and address of the element at `index`, if the value is an input seen through views only.
    pub fn access(&mut self, value: ValueId, index: &[Dim]) -> Option<(usize, Dim)> {
        self.lazy += 1;
        let expr = self.compute(value, index);
        self.lazy -= 1;
        match expr {
            Ok(Expr::Load { param, address }) => Some((param, address)),
            _ => None,
        }
    }

    /// The index of `value` at which it holds the element that `root` has at `index`.
    pub fn forward_index(&self, root: ValueId, index: &[Dim], value: ValueId) -> Option<Vec<Dim>> {
        pt2c_ops::index_map::forward_index(self.graph, &self.scope, root, index, value)
    }
}

/// An integer expression as a value of this dtype.
pub fn integer(at: Dim, dtype: DType) -> Expr {
    match dtype {
        DType::I64 => Expr::Index(at),
        other => Expr::Cast(other, Box::new(Expr::Index(at))),
    }
}

fn constant(number: &Arg, dtype: DType) -> Result<Expr, LowerError> {
    let computed = compute_type(dtype);
    Ok(match number {
        Arg::Int(d) => match d.as_int() {
            Some(i) if computed.is_float() => Expr::Float(i as f64, computed),
            Some(i) if computed == DType::Bool => Expr::Bool(i != 0),
            Some(i) => Expr::Int(i, computed),
            None => integer(d.clone(), computed),
        },
        Arg::Float(x) if computed.is_float() => round_constant(*x, dtype),
        Arg::Float(x) if computed == DType::Bool => Expr::Bool(*x != 0.0),
        Arg::Float(x) => Expr::Int(*x as i64, computed),
        Arg::Bool(b) if computed == DType::Bool => Expr::Bool(*b),
        Arg::Bool(b) if computed.is_float() => Expr::Float(f64::from(u8::from(*b)), computed),
        Arg::Bool(b) => Expr::Int(i64::from(*b), computed),
        _ => return Err(LowerError::NotScalar { op: "prim.constant of a complex number".into() }),
    })
}

fn round_constant(x: f64, dtype: DType) -> Expr {
    Expr::Float(pt2c_ops::round_to(dtype, x), compute_type(dtype))
}

/// Rounds a value computed in f32 to the storage type it has, if that is narrower.
pub(super) fn round_to_storage(dtype: DType, expr: Expr) -> Expr {
    if compute_type(dtype) == dtype { expr } else { Expr::Cast(dtype, Box::new(expr)) }
}

/// The accumulated value of a contraction, rounded to the dtype it is stored in.
pub fn round_accumulator(dtype: DType, var: Var) -> Expr {
    round_to_storage(dtype, Expr::Var(var))
}
