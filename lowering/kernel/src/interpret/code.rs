//! Statements and expressions with symbols and variables resolved to slots, and their execution.

use super::memory::Memory;
use super::{InterpretError, Order};
use crate::types::{UnaryFn, binary, comparison, compute_type, type_of, unary};
use crate::{Access, BinaryOp, BufferId, Expr, Kernel, LoopKind, ReduceOp, Stmt, Var};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Func, Kind, Symbol};
use pt2c_ops::pointwise::{Binary, Comparison, Unary};
use pt2c_ops::{Scalar, round_to, wrap_to};
use std::collections::BTreeMap;

/// An integer expression over symbol slots.
#[derive(Clone, Debug)]
pub enum Address {
    /// `base + Σ slot · coefficient`.
    Affine {
        base: i64,
        terms: Vec<(usize, i64)>,
    },
    /// `constant + Σ coefficient · Π factor^power`.
    Sum {
        constant: i64,
        terms: Vec<(i64, Vec<(Address, u32)>)>,
    },
    FloorDiv(Box<Address>, Box<Address>),
    Mod(Box<Address>, Box<Address>),
    Max(Vec<Address>),
    Min(Vec<Address>),
    /// Anything else, by the expression itself.
    Other(Dim, Vec<(Symbol, usize)>),
}

impl Address {
    /// How much the value grows with each step of one symbol, where that is always the same.
    pub fn step(&self, symbol: usize) -> Option<i64> {
        match self {
            Address::Affine { terms, .. } => Some(terms.iter().find(|(s, _)| *s == symbol).map_or(0, |(_, c)| *c)),
            _ => None,
        }
    }

    /// The value; `None` where it has none.
    pub fn eval(&self, symbols: &[i64]) -> Option<i64> {
        let slot = |s: &usize| symbols.get(*s).copied();
        Some(match self {
            Address::Affine { base, terms } => {
                let mut value = *base;
                for (s, c) in terms {
                    value = value.checked_add(slot(s)?.checked_mul(*c)?)?;
                }
                value
            }
            Address::Sum { constant, terms } => {
                let mut value = *constant;
                for (coefficient, factors) in terms {
                    let mut product = *coefficient;
                    for (factor, power) in factors {
                        product = product.checked_mul(factor.eval(symbols)?.checked_pow(*power)?)?;
                    }
                    value = value.checked_add(product)?;
                }
                value
            }
            Address::FloorDiv(a, b) => {
                let (a, b) = (a.eval(symbols)?, b.eval(symbols)?);
                let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
                if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q }
            }
            Address::Mod(a, b) => {
                let (a, b) = (a.eval(symbols)?, b.eval(symbols)?);
                let r = a.checked_rem(b)?;
                if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
            }
            Address::Max(all) => all.iter().map(|a| a.eval(symbols)).collect::<Option<Vec<_>>>()?.into_iter().max()?,
            Address::Min(all) => all.iter().map(|a| a.eval(symbols)).collect::<Option<Vec<_>>>()?.into_iter().min()?,
            Address::Other(dim, slots) => {
                let find = |s: &Symbol| slots.iter().find(|(name, _)| name == s).and_then(|(_, at)| slot(at));
                dim.eval(&find).ok()?
            }
        })
    }
}

/// An expression.
pub enum Code {
    Var(usize),
    Value(Scalar),
    Index(Address),
    Load { param: usize, address: Address },
    Guarded(Box<[Code; 3]>),
    Select(Box<[Code; 3]>),
    Map(Unary, DType, Box<Code>),
    Test(fn(f64) -> bool, Box<Code>),
    Binary(Binary, DType, Box<[Code; 2]>),
    NextAfter(DType, Box<[Code; 2]>),
    Compare(Comparison, DType, Box<[Code; 2]>),
    Cast(DType, Box<Code>),
    Bitcast(DType, DType, Box<Code>),
}

/// A value carried around a loop.
pub struct CarriedCode {
    var: usize,
    result: usize,
    init: Code,
    next: Code,
    reduction: Option<(Binary, DType)>,
}

/// A statement.
pub enum Action {
    Let { var: usize, value: Code },
    Index { slot: usize, extent: Address, value: Code },
    Store { param: usize, address: Address, value: Code },
    For { slot: usize, extent: Address, backward: bool, carried: Vec<CarriedCode>, body: Vec<Action> },
    If { condition: Code, then: Vec<Action> },
    Check { condition: Code, message: String, value: Option<Code> },
}

/// Resolves the names of one kernel.
pub struct Compiler<'k> {
    kernel: &'k Kernel,
    roots: &'k BTreeMap<Symbol, Dim>,
    order: Order,
    symbols: Vec<(Symbol, usize)>,
    slots: usize,
    types: BTreeMap<Var, DType>,
}

type Result<T, E = String> = std::result::Result<T, E>;

impl<'k> Compiler<'k> {
    pub fn new(kernel: &'k Kernel, roots: &'k BTreeMap<Symbol, Dim>, order: Order) -> Compiler<'k> {
        Compiler { kernel, roots, order, symbols: Vec::new(), slots: 0, types: BTreeMap::new() }
    }

    /// The kernel's parameters.
    pub fn params(&self) -> &'k [crate::Param] {
        &self.kernel.params
    }

    /// A slot for a symbol that is in scope from here on.
    pub fn enter(&mut self, symbol: &Symbol) -> usize {
        self.symbols.push((symbol.clone(), self.slots));
        self.slots += 1;
        self.slots - 1
    }

    fn leave(&mut self, depth: usize) {
        self.symbols.truncate(depth);
    }

    /// States the type of a variable.
    pub fn define(&mut self, var: Var, dtype: DType) -> usize {
        self.types.insert(var, dtype);
        var.0 as usize
    }

    fn slot(&self, symbol: &Symbol) -> Result<usize> {
        let found = self.symbols.iter().rev().find(|(s, _)| s == symbol);
        found.map(|(_, slot)| *slot).ok_or_else(|| format!("the symbol {symbol} is not in scope"))
    }

    /// An integer expression.
    pub fn address(&self, dim: &Dim) -> Result<Address> {
        self.resolve(&dim.subs(self.roots))
    }

    fn resolve(&self, dim: &Dim) -> Result<Address> {
        let all = |dims: &[Dim]| dims.iter().map(|d| self.resolve(d)).collect::<Result<Vec<_>>>();
        let both = |a: &Dim, b: &Dim| Ok::<_, String>((Box::new(self.resolve(a)?), Box::new(self.resolve(b)?)));
        Ok(match dim.kind() {
            Kind::Int(base) => Address::Affine { base, terms: Vec::new() },
            Kind::Symbol(s) => Address::Affine { base: 0, terms: vec![(self.slot(s)?, 1)] },
            Kind::Sum(sum) if dim.is_affine() => {
                let mut terms = Vec::new();
                for term in &sum.terms {
                    let symbol = term.factors.first().and_then(|(f, _)| f.as_symbol());
                    terms.push((self.slot(symbol.ok_or("an affine expression of more than symbols")?)?, term.coeff));
                }
                Address::Affine { base: sum.constant, terms }
            }
            Kind::Sum(sum) => {
                let mut terms = Vec::new();
                for term in &sum.terms {
                    let factors = term.factors.iter().map(|(f, p)| Ok((self.resolve(f)?, *p)));
                    terms.push((term.coeff, factors.collect::<Result<Vec<_>>>()?));
                }
                Address::Sum { constant: sum.constant, terms }
            }
            Kind::Func(Func::FloorDiv(a, b)) => both(a, b).map(|(a, b)| Address::FloorDiv(a, b))?,
            Kind::Func(Func::Mod(a, b)) => both(a, b).map(|(a, b)| Address::Mod(a, b))?,
            Kind::Func(Func::Max(args)) => Address::Max(all(args)?),
            Kind::Func(Func::Min(args)) => Address::Min(all(args)?),
            Kind::Func(_) => {
                let slots = dim.symbols().into_iter().map(|s| Ok((s.clone(), self.slot(&s)?)));
                Address::Other(dim.clone(), slots.collect::<Result<Vec<_>>>()?)
            }
        })
    }

    fn type_of(&self, expr: &Expr) -> Result<DType> {
        type_of(expr, &self.kernel.params, &|v| self.types.get(&v).copied())
    }

    /// An expression.
    pub fn expr(&self, expr: &Expr) -> Result<Code> {
        let boxed = |e: &Expr| self.expr(e).map(Box::new);
        let two = |a: &Expr, b: &Expr| Ok::<_, String>(Box::new([self.expr(a)?, self.expr(b)?]));
        let dtype = self.type_of(expr)?;
        Ok(match expr {
            Expr::Var(v) => Code::Var(v.0 as usize),
            Expr::Float(x, d) => Code::Value(Scalar::Float(round_to(*d, *x))),
            Expr::Int(i, d) => Code::Value(Scalar::Int(wrap_to(*d, *i))),
            Expr::Bool(b) => Code::Value(Scalar::Bool(*b)),
            Expr::Index(d) => Code::Index(self.address(d)?),
            Expr::Load { param, address } => Code::Load { param: *param, address: self.address(address)? },
            Expr::Guarded { condition: c, value: a, other: b } => {
                Code::Guarded(Box::new([self.expr(c)?, self.expr(a)?, self.expr(b)?]))
            }
            Expr::Select(c, a, b) => Code::Select(Box::new([self.expr(c)?, self.expr(a)?, self.expr(b)?])),
            Expr::Unary(op, x) => match unary(*op) {
                UnaryFn::Map(f) => Code::Map(f, dtype, boxed(x)?),
                UnaryFn::Test(f) => Code::Test(f, boxed(x)?),
            },
            Expr::Binary(BinaryOp::NextAfter, a, b) => Code::NextAfter(dtype, two(a, b)?),
            Expr::Binary(op, a, b) => {
                let f = binary(*op).ok_or_else(|| format!("{op:?} has no function"))?;
                Code::Binary(f, dtype, two(a, b)?)
            }
            Expr::Compare(op, a, b) => Code::Compare(comparison(*op), self.type_of(a)?, two(a, b)?),
            Expr::Cast(d, x) => Code::Cast(*d, boxed(x)?),
            Expr::Bitcast(d, x) => Code::Bitcast(self.type_of(x)?, *d, boxed(x)?),
        })
    }

    /// A list of statements.
    pub fn stmts(&mut self, stmts: &[Stmt]) -> Result<Vec<Action>> {
        let depth = self.symbols.len();
        let actions = stmts.iter().map(|s| self.stmt(s)).collect();
        self.leave(depth);
        actions
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<Action> {
        Ok(match stmt {
            Stmt::Let { var, dtype, value } => {
                let found = self.type_of(value)?;
                if found != *dtype {
                    return Err(format!("v{} is declared {dtype}, its value is {found}", var.0));
                }
                let value = self.expr(value)?;
                Action::Let { var: self.define(*var, *dtype), value }
            }
            Stmt::Index { symbol, extent, value } => {
                let (extent, value) = (self.address(extent)?, self.expr(value)?);
                Action::Index { slot: self.enter(symbol), extent, value }
            }
            Stmt::Store { param, address, value } => {
                Action::Store { param: *param, address: self.address(address)?, value: self.expr(value)? }
            }
            Stmt::For(l) => {
                let extent = self.address(&l.extent)?;
                let inits = l.carried.iter().map(|c| self.expr(&c.init)).collect::<Result<Vec<_>>>()?;
                let depth = self.symbols.len();
                let slot = self.enter(&l.var);
                for c in &l.carried {
                    self.define(c.var, c.dtype);
                }
                // The next values see what the body defines.
                let body = l.body.iter().map(|s| self.stmt(s)).collect::<Result<Vec<_>>>()?;
                let mut carried = Vec::new();
                for (c, init) in l.carried.iter().zip(inits) {
                    let reduction = match c.reduction {
                        Some(op) => {
                            let f = binary(combination(op)).ok_or_else(|| format!("{op:?} has no function"))?;
                            Some((f, c.dtype))
                        }
                        None => None,
                    };
                    let next = self.expr(&c.next)?;
                    carried.push(CarriedCode {
                        var: c.var.0 as usize,
                        result: c.result.0 as usize,
                        init,
                        next,
                        reduction,
                    });
                }
                self.leave(depth);
                for c in &l.carried {
                    self.define(c.result, c.dtype);
                }
                let free = l.kind != LoopKind::Serial && l.carried.iter().all(|c| c.reduction.is_some());
                Action::For { slot, extent, backward: free && self.order == Order::Backward, carried, body }
            }
            Stmt::If { condition, then } => Action::If { condition: self.expr(condition)?, then: self.stmts(then)? },
            Stmt::Check { condition, message, value } => Action::Check {
                condition: self.expr(condition)?,
                message: message.clone(),
                value: value.as_ref().map(|v| self.expr(v)).transpose()?,
            },
        })
    }
}

/// The operator that combines two values of a reduction.
pub fn combination(op: ReduceOp) -> BinaryOp {
    match op {
        ReduceOp::Sum => BinaryOp::Add,
        ReduceOp::Product => BinaryOp::Mul,
        ReduceOp::Max => BinaryOp::Max,
        ReduceOp::Min => BinaryOp::Min,
        ReduceOp::And => BinaryOp::And,
        ReduceOp::Or => BinaryOp::Or,
    }
}

/// One run of a kernel: values of symbols and variables.
pub struct Frame<'m> {
    kernel: &'m Kernel,
    buffers: &'m [BufferId],
    pub memory: &'m mut Memory,
    pub symbols: Vec<i64>,
    pub vars: Vec<Scalar>,
}

impl<'m> Frame<'m> {
    pub fn new(kernel: &'m Kernel, buffers: &'m [BufferId], memory: &'m mut Memory) -> Frame<'m> {
        Frame { kernel, buffers, memory, symbols: Vec::new(), vars: Vec::new() }
    }

    /// Makes room for everything the compiler has seen.
    pub fn reserve(&mut self, compiler: &Compiler<'_>) {
        self.symbols.resize(compiler.slots, 0);
        let vars = compiler.types.keys().next_back().map_or(0, |v| v.0 as usize + 1);
        self.vars.resize(vars, Scalar::Bool(false));
    }

    pub fn malformed(&self, message: impl Into<String>) -> InterpretError {
        InterpretError::Malformed { kernel: self.kernel.name.clone(), message: message.into() }
    }

    fn out_of_bounds(&self, param: usize, address: i64) -> InterpretError {
        let buffer = self.buffers.get(param).copied();
        InterpretError::OutOfBounds {
            kernel: self.kernel.name.clone(),
            param: self.kernel.params.get(param).map_or_else(String::new, |p| p.name.clone()),
            address,
            len: buffer.map_or(0, |b| self.memory.len(b)),
        }
    }

    /// The value of an integer expression.
    pub fn int(&self, address: &Address) -> Result<i64, InterpretError> {
        address.eval(&self.symbols).ok_or_else(|| self.malformed(format!("{address:?} has no value")))
    }

    /// An element of a parameter.
    pub fn load(&self, param: usize, at: i64) -> Result<Scalar, InterpretError> {
        let known = self.kernel.params.get(param).zip(self.buffers.get(param));
        let (declared, buffer) = known.ok_or_else(|| self.malformed("a parameter that does not exist"))?;
        if declared.access == Access::Write {
            return Err(self.malformed(format!("`{}` is only for writing, but read", declared.name)));
        }
        self.memory.load(*buffer, at).ok_or_else(|| self.out_of_bounds(param, at))
    }

    /// Writes an element of a parameter.
    pub fn store(&mut self, param: usize, at: i64, value: Scalar) -> Result<(), InterpretError> {
        let known = self.kernel.params.get(param).zip(self.buffers.get(param));
        let (declared, buffer) = known.ok_or_else(|| self.malformed("a parameter that does not exist"))?;
        if declared.access == Access::Read {
            return Err(self.malformed(format!("`{}` is only for reading, but written", declared.name)));
        }
        self.memory.store(*buffer, at, value).ok_or_else(|| self.out_of_bounds(param, at))
    }

    fn set(&mut self, var: usize, value: Scalar) -> Result<(), InterpretError> {
        match self.vars.get_mut(var) {
            Some(slot) => *slot = value,
            None => return Err(self.malformed("a variable without a place")),
        }
        Ok(())
    }

    /// Gives a symbol a value.
    pub fn bind(&mut self, slot: usize, value: i64) {
        if let Some(place) = self.symbols.get_mut(slot) {
            *place = value;
        }
    }

    /// The value of an expression.
    pub fn eval(&self, code: &Code) -> Result<Scalar, InterpretError> {
        Ok(match code {
            Code::Var(v) => *self.vars.get(*v).ok_or_else(|| self.malformed("a variable without a place"))?,
            Code::Value(v) => *v,
            Code::Index(a) => Scalar::Int(self.int(a)?),
            Code::Load { param, address } => self.load(*param, self.int(address)?)?,
            Code::Guarded(parts) => {
                let [condition, value, other] = parts.as_ref();
                self.eval(if self.eval(condition)?.to_bool() { value } else { other })?
            }
            Code::Select(parts) => {
                let [condition, value, other] = parts.as_ref();
                let (value, other) = (self.eval(value)?, self.eval(other)?);
                if self.eval(condition)?.to_bool() { value } else { other }
            }
            Code::Map(f, dtype, x) => map(f, *dtype, self.eval(x)?).ok_or_else(|| self.malformed(f.name))?,
            Code::Test(f, x) => Scalar::Bool(f(self.eval(x)?.to_f64())),
            Code::Binary(f, dtype, parts) => {
                let [a, b] = parts.as_ref();
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                combine(f, *dtype, a, b).ok_or_else(|| self.malformed(format!("{} of {a:?} and {b:?}", f.name)))?
            }
            Code::NextAfter(dtype, parts) => {
                let [a, b] = parts.as_ref();
                let (a, b) = (self.eval(a)?.to_f64(), self.eval(b)?.to_f64());
                Scalar::Float(if *dtype == DType::F64 { next_after_f64(a, b) } else { next_after_f32(a, b) })
            }
            Code::Compare(f, dtype, parts) => {
                let [a, b] = parts.as_ref();
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                let floats = dtype.is_float();
                Scalar::Bool(if floats { (f.float)(a.to_f64(), b.to_f64()) } else { (f.int)(a.to_i64(), b.to_i64()) })
            }
            Code::Cast(dtype, x) => cast(*dtype, self.eval(x)?),
            Code::Bitcast(from, to, x) => {
                let mut bytes = Vec::new();
                pt2c_ops::write_element(*from, self.eval(x)?, &mut bytes);
                let value = pt2c_ops::read_element(*to, &bytes);
                value.ok_or_else(|| self.malformed(format!("{from} reinterpreted as {to}")))?
            }
        })
    }

    /// Runs statements.
    pub fn run(&mut self, actions: &[Action]) -> Result<(), InterpretError> {
        for action in actions {
            match action {
                Action::Let { var, value } => {
                    let value = self.eval(value)?;
                    self.set(*var, value)?;
                }
                Action::Index { slot, extent, value } => {
                    let (extent, value) = (self.int(extent)?, self.eval(value)?.to_i64());
                    if !(0..extent).contains(&value) {
                        return Err(self.malformed(format!("an index {value} outside 0..{extent} passed its checks")));
                    }
                    self.bind(*slot, value);
                }
                Action::Store { param, address, value } => {
                    let (at, value) = (self.int(address)?, self.eval(value)?);
                    self.store(*param, at, value)?;
                }
                Action::For { slot, extent, backward, carried, body } => {
                    let extent = self.int(extent)?;
                    for c in carried {
                        let init = self.eval(&c.init)?;
                        self.set(c.var, init)?;
                    }
                    for i in 0..extent {
                        self.bind(*slot, if *backward { extent - 1 - i } else { i });
                        self.run(body)?;
                        let next = carried.iter().map(|c| self.next(c)).collect::<Result<Vec<_>, _>>()?;
                        for (c, value) in carried.iter().zip(next) {
                            self.set(c.var, value)?;
                        }
                    }
                    for c in carried {
                        let value = self.eval(&Code::Var(c.var))?;
                        self.set(c.result, value)?;
                    }
                }
                Action::If { condition, then } => {
                    if self.eval(condition)?.to_bool() {
                        self.run(then)?;
                    }
                }
                Action::Check { condition, message, value } => {
                    if !self.eval(condition)?.to_bool() {
                        let value = value.as_ref().map(|v| self.eval(v)).transpose()?;
                        let value = value.map_or(String::new(), |v| v.to_i64().to_string());
                        return Err(InterpretError::Check { message: message.replacen("{}", &value, 1) });
                    }
                }
            }
        }
        Ok(())
    }

    fn next(&self, c: &CarriedCode) -> Result<Scalar, InterpretError> {
        let next = self.eval(&c.next)?;
        match &c.reduction {
            None => Ok(next),
            Some((f, dtype)) => {
                let old = self.eval(&Code::Var(c.var))?;
                combine(f, *dtype, old, next).ok_or_else(|| self.malformed(f.name))
            }
        }
    }
}

fn map(f: &Unary, dtype: DType, x: Scalar) -> Option<Scalar> {
    Some(match x {
        Scalar::Float(x) => Scalar::Float(round_to(dtype, f.float?(x))),
        Scalar::Int(x) => Scalar::Int(wrap_to(dtype, f.int?(x))),
        Scalar::Bool(x) => Scalar::Bool(f.bool?(x)),
        Scalar::Complex(_) => return None,
    })
}

/// A binary function of two values of one dtype; `None` for division of an integer by zero.
pub fn combine(f: &Binary, dtype: DType, a: Scalar, b: Scalar) -> Option<Scalar> {
    Some(match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(round_to(dtype, f.float?(a, b))),
        (Scalar::Int(_), Scalar::Int(0)) if f.nonzero => return None,
        (Scalar::Int(a), Scalar::Int(b)) => Scalar::Int(wrap_to(dtype, f.int?(a, b))),
        (Scalar::Bool(a), Scalar::Bool(b)) => Scalar::Bool(f.bool?(a, b)),
        _ => return None,
    })
}

/// A conversion with PyTorch's rules.
pub fn cast(dtype: DType, x: Scalar) -> Scalar {
    if dtype == DType::Bool {
        Scalar::Bool(match x {
            Scalar::Float(x) => x != 0.0,
            other => other.to_bool(),
        })
    } else if dtype.is_float() {
        // The value of an unsigned 64-bit integer is not that of its bits, but no cast says where it comes from.
        Scalar::Float(round_to(compute_type(dtype), round_to(dtype, x.to_f64())))
    } else {
        Scalar::Int(wrap_to(dtype, x.to_i64()))
    }
}

fn next_after_f64(a: f64, b: f64) -> f64 {
    match a.partial_cmp(&b) {
        None => f64::NAN,
        Some(std::cmp::Ordering::Equal) => b,
        Some(std::cmp::Ordering::Less) => a.next_up(),
        Some(std::cmp::Ordering::Greater) => a.next_down(),
    }
}

fn next_after_f32(a: f64, b: f64) -> f64 {
    let (a, b) = (a as f32, b as f32);
    f64::from(match a.partial_cmp(&b) {
        None => f32::NAN,
        Some(std::cmp::Ordering::Equal) => b,
        Some(std::cmp::Ordering::Less) => a.next_up(),
        Some(std::cmp::Ordering::Greater) => a.next_down(),
    })
}
