//! Statements, loops of scalars, checks.

use super::{Cx, Mask, Value, is_float, is_signed, loaded_dtype};
use crate::NativeError;
use crate::builder::{Elem, Reduction, Type, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_kernel::{BinaryOp, Carried, Expr, For, LoopKind, ReduceOp, Stmt};

/// The runtime's function that records a failed check: `(call, message, value)`.
pub const FAIL: &str = "pt2c_rt_fail";

/// What ends a list of statements: the values that its region yields.
pub(super) type Finish<'f, 't> = dyn FnMut(&mut Cx<'t>) -> Result<Vec<Val>, NativeError> + 'f;

impl<'t> Cx<'t> {
    /// Writes statements.
    ///
    /// # Errors
    /// For unbound names and unsupported operations.
    pub fn stmts(&mut self, list: &[Stmt]) -> Result<(), NativeError> {
        self.body(list, &mut |_| Ok(Vec::new()), &[]).map(|_| ())
    }

    /// Writes a kernel's statements, of whose only top-level loop it does the iterations of `range`.
    ///
    /// # Errors
    /// As [`Cx::stmts`].
    pub fn task(&mut self, list: &[Stmt], range: (Val, Val)) -> Result<(), NativeError> {
        match list {
            [before @ .., Stmt::For(f)] => {
                let finish: &mut Finish<'_, 't> = &mut |cx| {
                    if f.kind == LoopKind::Vector {
                        cx.vector_loop(f, Some(range))?;
                    } else {
                        cx.scalar_loop(f, Some(range))?;
                    }
                    Ok(Vec::new())
                };
                self.body(before, finish, &[]).map(|_| ())
            }
            _ => self.stmts(list),
        }
    }

    /// Writes statements and what `finish` yields after them. If a check fails, nothing after it runs and the region
    /// yields `fallback` instead.
    pub(super) fn body(
        &mut self,
        list: &[Stmt],
        finish: &mut Finish<'_, 't>,
        fallback: &[Val],
    ) -> Result<Vec<Val>, NativeError> {
        for (k, stmt) in list.iter().enumerate() {
            if let Stmt::Check { condition, message, value } = stmt {
                let rest = list.get(k + 1..).unwrap_or_default();
                return self.check(condition, message, value.as_ref(), rest, finish, fallback);
            }
            self.stmt(stmt)?;
        }
        finish(self)
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), NativeError> {
        match stmt {
            Stmt::Let { var, dtype, value } => {
                let value = self.expr(value)?;
                let value = self.cast(value, loaded_dtype(*dtype))?;
                self.set_var(*var, value);
                Ok(())
            }
            Stmt::Index { symbol, extent, value } => {
                let value = self.expr(value)?;
                let value = self.cast(value, DType::I64)?;
                self.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
                if value.val.ty.is_vector() {
                    self.varying.insert(symbol.clone(), value.val);
                } else {
                    let index = self.b.to_index(value.val);
                    self.ix.bind(symbol, index);
                }
                Ok(())
            }
            Stmt::Store { param, address, value } => {
                let value = self.expr(value)?;
                self.store(*param, address, value)
            }
            Stmt::For(f) if f.kind == LoopKind::Vector && self.lanes.is_none() => self.vector_loop(f, None),
            Stmt::For(f) => self.scalar_loop(f, None),
            Stmt::If { condition, then } => self.conditional(condition, then),
            Stmt::Check { .. } => Ok(()),
        }
    }

    fn conditional(&mut self, condition: &Expr, then: &[Stmt]) -> Result<(), NativeError> {
        let condition = self.expr(condition)?;
        let outer = self.mask;
        let go = if condition.val.ty.is_vector() {
            let val = match outer {
                Some(m) => self.b.andi(m.val, condition.val),
                None => condition.val,
            };
            self.mask = Some(Mask { val, first_lane: false });
            self.b.any(val)
        } else {
            condition.val
        };
        let scope = self.b.begin_if(go, &[]);
        self.ix.enter();
        let result = self.stmts(then);
        self.ix.leave();
        self.mask = outer;
        result?;
        self.b.end_if(scope, &[]);
        Ok(())
    }

    /// A loop in order, over `range` or its whole extent. In vector lanes all lanes run it in step.
    pub(super) fn scalar_loop(&mut self, f: &For, range: Option<(Val, Val)>) -> Result<(), NativeError> {
        let mut init = Vec::new();
        for c in &f.carried {
            let value = self.expr(&c.init)?;
            let value = self.cast(value, loaded_dtype(c.dtype))?;
            init.push(self.spread(value).val);
        }
        let (lo, hi) = match range {
            Some(range) => range,
            None => (self.b.index(0), self.ix.dim(&mut self.b, &f.extent)?),
        };
        let step = self.b.index(1);
        let (region, iv, inner) = self.b.begin_for(lo, hi, step, &init);
        let known = self.ix.scope.clone();
        self.ix.enter();
        self.ix.bind(&f.var, iv);
        self.ix.scope.declare_in(&f.var, Dim::ZERO, f.extent.clone());
        for (c, v) in f.carried.iter().zip(&inner) {
            self.set_var(c.var, Value { val: *v, dtype: loaded_dtype(c.dtype) });
        }
        let next = self.body(&f.body, &mut |cx| cx.next_values(&f.carried, &inner), &inner);
        self.ix.leave();
        self.ix.scope = known;
        let results = self.b.end_for(region, &next?);
        for (c, v) in f.carried.iter().zip(results) {
            self.set_var(c.result, Value { val: v, dtype: loaded_dtype(c.dtype) });
        }
        Ok(())
    }

    /// The carried values for the next iteration, where `current` are those of this one.
    pub(super) fn next_values(&mut self, carried: &[Carried], current: &[Val]) -> Result<Vec<Val>, NativeError> {
        let mut next = Vec::new();
        for (c, now) in carried.iter().zip(current) {
            let dtype = loaded_dtype(c.dtype);
            let value = match (&c.reduction, &c.next) {
                // A sum of products is fused: its terms may be combined in any order anyway.
                (Some(ReduceOp::Sum), Expr::Binary(BinaryOp::Mul, x, y)) if is_float(dtype) => {
                    let (x, y) = (self.expr(x)?, self.expr(y)?);
                    let (x, y) = (self.cast(x, dtype)?, self.cast(y, dtype)?);
                    let (x, y) = (self.spread(x), self.spread(y));
                    self.b.mul_add(x.val, y.val, *now)
                }
                (reduction, expr) => {
                    let value = self.expr(expr)?;
                    let value = self.cast(value, dtype)?;
                    let value = self.spread(value).val;
                    match reduction {
                        Some(op) => self.combine(*op, *now, value, dtype)?,
                        None => value,
                    }
                }
            };
            next.push(value);
        }
        Ok(next)
    }

    /// `op(a, b)`.
    pub(super) fn combine(&mut self, op: ReduceOp, a: Val, b: Val, dtype: DType) -> Result<Val, NativeError> {
        let op = match op {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Product => BinaryOp::Mul,
            ReduceOp::Max => BinaryOp::Max,
            ReduceOp::Min => BinaryOp::Min,
            ReduceOp::And => BinaryOp::And,
            ReduceOp::Or => BinaryOp::Or,
        };
        let (a, b) = (Value { val: a, dtype }, Value { val: b, dtype });
        Ok(self.binary(op, a, b, None)?.val)
    }

    /// All lanes of `v` combined.
    pub(super) fn reduce_lanes(&mut self, op: ReduceOp, v: Val, dtype: DType) -> Result<Val, NativeError> {
        if is_float(dtype) && matches!(op, ReduceOp::Max | ReduceOp::Min) {
            // LLVM's own reduction would order the zeros, at ten instructions a step.
            let mut v = v;
            while v.ty.lanes() > 2 {
                let half = v.ty.lanes() / 2;
                let low: Vec<u32> = (0..half).collect();
                let high: Vec<u32> = (half..2 * half).collect();
                let (low, high) = (self.b.shuffle(v, v, &low), self.b.shuffle(v, v, &high));
                v = self.combine(op, low, high, dtype)?;
            }
            let (first, second) = (self.b.extract(v, 0), self.b.extract(v, v.ty.lanes() - 1));
            return self.combine(op, first, second, dtype);
        }
        let unsigned = !is_float(dtype) && !is_signed(dtype);
        let kind = match op {
            ReduceOp::Sum if dtype == DType::Bool => Reduction::Or,
            ReduceOp::Product if dtype == DType::Bool => Reduction::And,
            ReduceOp::Sum => Reduction::Add,
            ReduceOp::Product => Reduction::Mul,
            ReduceOp::Max if unsigned => Reduction::MaxUnsigned,
            ReduceOp::Max => Reduction::Max,
            ReduceOp::Min if unsigned => Reduction::MinUnsigned,
            ReduceOp::Min => Reduction::Min,
            ReduceOp::And => Reduction::And,
            ReduceOp::Or => Reduction::Or,
        };
        Ok(self.b.reduce(kind, v))
    }

    /// The value that leaves the other operand of `op` as it is.
    pub(super) fn identity(&mut self, op: ReduceOp, ty: Type, dtype: DType) -> Val {
        let float = is_float(dtype);
        let bits = ty.elem().bits();
        let (low, high) = match (is_signed(dtype), bits) {
            (true, 64) => (i64::MIN, i64::MAX),
            (true, _) => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
            // All bits set, in whatever width.
            (false, _) => (0, -1),
        };
        match op {
            ReduceOp::Sum | ReduceOp::Or => self.b.zero(ty),
            ReduceOp::Max if float => self.b.float(ty, f64::NEG_INFINITY),
            ReduceOp::Min if float => self.b.float(ty, f64::INFINITY),
            ReduceOp::Product if float => self.b.float(ty, 1.0),
            _ if ty.elem() == Elem::I1 => {
                self.b.boolean(ty, matches!(op, ReduceOp::And | ReduceOp::Min | ReduceOp::Product))
            }
            ReduceOp::Product => self.b.int(ty, 1),
            ReduceOp::And => self.b.int(ty, -1),
            ReduceOp::Max => self.b.int(ty, low),
            ReduceOp::Min => self.b.int(ty, high),
        }
    }

    /// `rest` and its end if the condition holds (in every lane that exists); else a report.
    fn check(
        &mut self,
        condition: &Expr,
        message: &str,
        value: Option<&Expr>,
        rest: &[Stmt],
        finish: &mut Finish<'_, 't>,
        fallback: &[Val],
    ) -> Result<Vec<Val>, NativeError> {
        let Some(failure) = self.failure else {
            return Err(NativeError::Unsupported { what: "a check where nothing can be reported".to_string() });
        };
        let condition = self.expr(condition)?;
        let mut bad = None;
        let holds = if condition.val.ty.is_vector() {
            let mut failed = self.b.not(condition.val);
            if let Some(mask) = self.mask {
                failed = self.b.andi(failed, mask.val);
            }
            bad = Some(failed);
            let any = self.b.any(failed);
            self.b.not(any)
        } else {
            condition.val
        };
        let types: Vec<Type> = fallback.iter().map(|v| v.ty).collect();
        let region = self.b.begin_if(holds, &types);
        self.ix.enter();
        let results = self.body(rest, finish, fallback);
        self.ix.leave();
        self.b.begin_else(&results?);
        self.ix.enter();
        let shown = self.shown_value(value, bad);
        self.ix.leave();
        let number = self.message(message);
        let number = self.b.int(Type::I64, number as i64);
        let shown = shown?;
        self.b.call(FAIL, &[failure.call, number, shown], &[]);
        let one = self.b.int(Type::I64, 1);
        self.b.ptr_store(one, failure.flag);
        Ok(self.b.end_if(region, fallback))
    }

    /// Reports a failure with this message unless an `i64` is zero, which the message shows where it has `{}`.
    ///
    /// # Errors
    /// If there is nowhere to report it.
    pub fn fail_unless_zero(&mut self, code: Val, message: &str) -> Result<(), NativeError> {
        let Some(failure) = self.failure else {
            return Err(NativeError::Unsupported { what: "a check where nothing can be reported".to_string() });
        };
        let number = self.message(message);
        let zero = self.b.int(Type::I64, 0);
        let failed = self.b.cmpi(crate::builder::IntPredicate::Ne, code, zero);
        self.b.if_then(failed, |b| {
            let number = b.int(Type::I64, number as i64);
            b.call(FAIL, &[failure.call, number, code], &[]);
            let one = b.int(Type::I64, 1);
            b.ptr_store(one, failure.flag);
        });
        Ok(())
    }

    /// The position of a message among the program's.
    fn message(&mut self, message: &str) -> usize {
        match self.messages.iter().position(|m| m == message) {
            Some(k) => k,
            None => {
                self.messages.push(message.to_string());
                self.messages.len() - 1
            }
        }
    }

    /// The number that a failed check's message shows: that of a failing lane.
    fn shown_value(&mut self, value: Option<&Expr>, bad: Option<Val>) -> Result<Val, NativeError> {
        let Some(value) = value else { return Ok(self.b.int(Type::I64, 0)) };
        let value = self.expr(value)?;
        let value = self.cast(value, DType::I64)?;
        if !value.val.ty.is_vector() {
            return Ok(value.val);
        }
        let least = self.b.int(value.val.ty, i64::MIN);
        let picked = match bad {
            Some(bad) => self.b.select(bad, value.val, least),
            None => value.val,
        };
        Ok(self.b.reduce(Reduction::Max, picked))
    }
}
