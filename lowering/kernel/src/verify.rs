//! The verifier of kernel IR. [`verify`] lists everything it finds:
//! * buffers and kernels have unique names, lengths and constants fit, sizes speak of root symbols;
//! * steps call kernels with as many buffers as they have parameters, of the same dtypes; nothing writes a constant,
//!   and what a call writes is not bound to a second parameter;
//! * variables are defined once and before their use, types fit, symbols are in scope and unique in the kernel;
//! * parameters exist and are used as declared;
//! * loops keep the rules of their kind: `Parallel` only at top level, perfectly nested and without carried values;
//!   no `Vector` loop in another, what it carries are reductions, serial loops in it have the same extent for all
//!   lanes; every iteration of an independent loop stores elsewhere;
//! * routines exist and take as many buffers and sizes;
//! * contractions address their operands by their own index symbols, linearly, and store what they accumulate.

use crate::types::{compute_type, type_of};
use crate::{
    Access, Body, Bound, BufferId, BufferKind, Epilogue, Expr, For, Kernel, KernelProgram, LoopKind, MatmulB, Step,
    Stmt, Var,
};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{DType, Diagnostic};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is wrong with a program.
pub fn verify(program: &KernelProgram) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let roots: BTreeSet<Symbol> = program.scope.symbols().map(|(s, _)| s.clone()).collect();
    buffers(program, &roots, &mut found);
    let mut names = BTreeSet::new();
    for kernel in &program.kernels {
        let mut checker = Checker::new(kernel, &roots, &program.scope);
        if !names.insert(&kernel.name) {
            checker.report("another kernel has the same name");
        }
        checker.kernel();
        found.append(&mut checker.found);
    }
    steps(program, &program.steps, &mut found);
    found
}

/// As [`verify`], as one error that lists everything; `phase` is what made the program.
///
/// # Errors
/// If anything is wrong.
pub fn check(program: &KernelProgram, phase: &str) -> Result<(), Diagnostic> {
    pt2c_ir::verify::as_error(verify(program), phase)
}

fn buffers(program: &KernelProgram, roots: &BTreeSet<Symbol>, found: &mut Vec<Diagnostic>) {
    let mut names = BTreeSet::new();
    for buffer in &program.buffers {
        let mut report = |message: String| {
            found.push(Diagnostic::error(message).about(format!("buffer `{}`", buffer.name)));
        };
        if !names.insert(&buffer.name) {
            report("another buffer has the same name".into());
        }
        let mut sizes = vec![&buffer.len];
        if let BufferKind::Arena(offset) = &buffer.kind {
            sizes.push(offset);
        }
        for size in sizes {
            if let Some(symbol) = size.symbols().into_iter().find(|s| !roots.contains(s)) {
                report(format!("{size} speaks of `{symbol}`, which is no root symbol"));
            }
        }
        if let BufferKind::Constant(bytes) = &buffer.kind {
            let needed = buffer.len.as_int().and_then(|n| usize::try_from(n).ok()?.checked_mul(buffer.dtype.size()));
            if needed != Some(bytes.len()) {
                report(format!("{} elements of {} in {} bytes", buffer.len, buffer.dtype, bytes.len()));
            }
        }
    }
}

fn steps(program: &KernelProgram, list: &[Step], found: &mut Vec<Diagnostic>) {
    let condition = |buffer: &BufferId, found: &mut Vec<Diagnostic>| match program.buffers.get(buffer.0 as usize) {
        Some(b) if b.dtype == DType::Bool => {}
        Some(b) => found.push(Diagnostic::error(format!("the condition `{}` is {}", b.name, b.dtype))),
        None => found.push(Diagnostic::error("a condition that does not exist")),
    };
    for step in list {
        match step {
            Step::Call { kernel, buffers, .. } => {
                let Some(kernel) = program.kernels.get(kernel.0 as usize) else {
                    found.push(Diagnostic::error("a step calls a kernel that does not exist"));
                    continue;
                };
                call(program, kernel, buffers, found);
            }
            Step::Bind { symbol, value } => {
                if !program.stages.iter().any(|s| s.symbol == *symbol) {
                    found.push(Diagnostic::error(format!("`{symbol}` gets a value, but is no stage")));
                }
                if let Bound::Element(buffer) = value {
                    match program.buffers.get(buffer.0 as usize) {
                        Some(b) if b.dtype == DType::I64 && b.len.is_one() => {}
                        Some(b) => {
                            let what = format!("`{symbol}` takes one i64, not {}[{}]", b.dtype, b.len);
                            found.push(Diagnostic::error(what));
                        }
                        None => found.push(Diagnostic::error("a value that does not exist")),
                    }
                }
            }
            Step::If { condition: c, then, otherwise } => {
                condition(c, found);
                steps(program, then, found);
                steps(program, otherwise, found);
            }
            Step::While { before, condition: c, body } => {
                condition(c, found);
                steps(program, before, found);
                steps(program, body, found);
            }
        }
    }
}

fn call(program: &KernelProgram, kernel: &Kernel, buffers: &[BufferId], found: &mut Vec<Diagnostic>) {
    let mut report = |message: String| {
        found.push(Diagnostic::error(message).about(format!("a call of kernel `{}`", kernel.name)));
    };
    if buffers.len() != kernel.params.len() {
        return report(format!("{} buffers for {} parameters", buffers.len(), kernel.params.len()));
    }
    for (i, (param, id)) in kernel.params.iter().zip(buffers).enumerate() {
        let Some(buffer) = program.buffers.get(id.0 as usize) else {
            report(format!("the buffer for `{}` does not exist", param.name));
            continue;
        };
        if buffer.dtype != param.dtype {
            report(format!("`{}` is {}, the buffer `{}` {}", param.name, param.dtype, buffer.name, buffer.dtype));
        }
        if param.access != Access::Read {
            if matches!(buffer.kind, BufferKind::Constant(_)) {
                report(format!("`{}` writes the constant `{}`", param.name, buffer.name));
            }
            if buffers.iter().enumerate().any(|(j, other)| j != i && other == id) {
                report(format!("`{}` is written as `{}` and bound a second time", buffer.name, param.name));
            }
        }
    }
}

/// What surrounds a statement.
#[derive(Clone, Default)]
struct Around {
    /// Only perfectly nested `Parallel` loops.
    top: bool,
    /// The `Vector` loop.
    vector: Option<Symbol>,
    /// Variables of independent loops of more than one iteration.
    independent: Vec<Symbol>,
    /// A loop without iterations.
    empty: bool,
}

struct Checker<'k> {
    kernel: &'k Kernel,
    found: Vec<Diagnostic>,
    types: BTreeMap<Var, DType>,
    /// Every variable and symbol ever defined.
    defined: BTreeSet<Var>,
    seen: BTreeSet<Symbol>,
    scope: Vec<Symbol>,
    roots: &'k BTreeSet<Symbol>,
    /// What is known about the root symbols.
    ranges: &'k Scope,
}

impl<'k> Checker<'k> {
    fn new(kernel: &'k Kernel, roots: &'k BTreeSet<Symbol>, ranges: &'k Scope) -> Checker<'k> {
        Checker {
            kernel,
            found: Vec::new(),
            types: BTreeMap::new(),
            defined: BTreeSet::new(),
            seen: BTreeSet::new(),
            scope: Vec::new(),
            roots,
            ranges,
        }
    }

    fn report(&mut self, message: impl Into<String>) {
        self.found.push(Diagnostic::error(message).about(format!("kernel `{}`", self.kernel.name)));
    }

    fn kernel(&mut self) {
        let name = &self.kernel.name;
        let identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !identifier || name.is_empty() {
            self.report("its name is no identifier");
        }
        match &self.kernel.body {
            Body::Loops(stmts) => self.stmts(stmts, &Around { top: true, ..Around::default() }),
            Body::Matmul(m) => {
                self.axes(&m.batch);
                self.axes(&[m.m.clone(), m.n.clone()]);
                self.axes(std::slice::from_ref(&m.k));
                self.operand(m.a.0, &m.a.1);
                self.linear(&m.a.1);
                match &m.b {
                    MatmulB::Strided { param, address } | MatmulB::Constant { param, address } => {
                        self.operand(*param, address);
                        self.linear(address);
                    }
                    MatmulB::Grouped { param, scales, group } => {
                        self.param(*param, Access::Read);
                        self.param(*scales, Access::Read);
                        let even = *group > 0 && group % 2 == 0;
                        if !even || m.k.1.as_int().is_none_or(|k| k % group != 0) || m.n.1.as_int().is_none() {
                            self.report(format!("groups of {group} of {} contracted elements", m.k.1));
                        }
                        let dtype = |p: &usize| self.kernel.params.get(*p).map(|p| p.dtype);
                        if dtype(param) != Some(DType::U8) || dtype(scales) != Some(DType::F32) {
                            self.report("weights of 4 bits that are not u8 with scales of f32");
                        }
                    }
                }
                self.scope.pop();
                self.epilogue(&m.epilogue, m.accumulator);
            }
            Body::Convolution(c) => {
                let rank = c.spatial.len();
                let lengths =
                    [c.input_spatial.len(), c.window.len(), c.stride.len(), c.dilation.len(), c.pad_low.len()];
                if lengths.iter().any(|n| *n != rank) || c.x.1.len() != rank + 2 {
                    self.report("its parameters are not of one number of spatial dimensions");
                }
                if c.groups < 1 || c.input_channels % c.groups != 0 {
                    self.report(format!("{} groups of {} channels", c.groups, c.input_channels));
                }
                for d in c.x.1.iter().chain(&c.input_spatial).chain(&c.pad_low).chain([&c.x_offset]) {
                    self.dim(d);
                }
                self.param(c.x.0, Access::Read);
                self.param(c.w, Access::Read);
                self.axes(&[c.batch.clone(), c.channel.clone()]);
                self.axes(&c.spatial);
                self.epilogue(&c.epilogue, c.accumulator);
            }
            Body::Winograd(w) => {
                if w.spatial.len() != 2 {
                    self.report("it has not two spatial dimensions");
                }
                w.tiles.iter().for_each(|d| self.dim(d));
                self.param(w.v, Access::Read);
                self.param(w.w, Access::Read);
                self.axes(&[w.batch.clone(), w.channel.clone()]);
                self.axes(&w.spatial);
                self.epilogue(&w.epilogue, DType::F32);
            }
            Body::Strassen(s) => {
                if s.n.1.as_int().is_none() || s.k.1.as_int().is_none_or(|k| k % 2 != 0) {
                    self.report(format!("it cannot halve {} contracted elements of {} columns", s.k.1, s.n.1));
                }
                self.axes(&[s.m.clone(), s.n.clone(), s.k.clone()]);
                self.param(s.v, Access::Read);
                self.operand(s.b.0, &s.b.1);
                self.linear(&s.b.1);
                self.scope.pop();
                self.epilogue(&s.epilogue, DType::F32);
            }
            Body::Sort(s) => {
                for d in [&s.outer, &s.len, &s.inner, &s.keep, &s.areas] {
                    self.dim(d);
                }
                self.param(s.x, Access::Read);
                s.values.iter().for_each(|v| self.param(*v, Access::Write));
                self.param(s.indices, Access::Write);
                self.param(s.scratch, Access::ReadWrite);
                let dtype = |p: usize| self.kernel.params.get(p).map(|p| p.dtype);
                let fits = dtype(s.indices) == Some(DType::I64)
                    && dtype(s.scratch) == Some(DType::I64)
                    && s.values.is_none_or(|v| dtype(v) == dtype(s.x));
                if !fits {
                    self.report("it sorts into other types");
                }
            }
            Body::Attention(a) => {
                self.axes(&a.batch);
                self.axes(&[a.row.clone(), a.value_depth.clone(), a.position.clone(), a.depth.clone()]);
                for (param, address) in [&a.q, &a.k, &a.v] {
                    self.operand(*param, address);
                }
                if let Some(mask) = &a.mask
                    && let Some(dtype) = self.expr(mask)
                    && dtype != DType::Bool
                    && !dtype.is_float()
                {
                    self.report(format!("a mask of {dtype}"));
                }
                let doubles = self.kernel.params.get(a.q.0).is_some_and(|p| p.dtype == DType::F64);
                self.scope.truncate(self.scope.len().saturating_sub(2));
                self.epilogue(&a.epilogue, if doubles { DType::F64 } else { DType::F32 });
            }
            Body::Custom(c) => {
                for d in c.dims() {
                    self.dim(d);
                }
                if c.tensors().any(|t| t.param >= self.kernel.params.len()) {
                    self.report(format!("`{}` is given a parameter that does not exist", c.function));
                }
            }
            Body::Routine(r) => {
                for d in r.sizes.iter().chain([&r.count, &r.cost]) {
                    self.dim(d);
                }
                match pt2c_ops::prim::routine::routine(&r.name) {
                    None => self.report(format!("there is no routine `{}`", r.name)),
                    Some((known, _))
                        if known.slots.len() != self.kernel.params.len() || known.sizes != r.sizes.len() =>
                    {
                        self.report(format!("`{}` does not take these buffers and sizes", r.name));
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn axes(&mut self, axes: &[(Symbol, Dim)]) {
        for (symbol, extent) in axes {
            self.dim(extent);
            self.enter(symbol);
        }
    }

    /// Takes a symbol into scope.
    fn enter(&mut self, symbol: &Symbol) {
        if self.roots.contains(symbol) || !self.seen.insert(symbol.clone()) {
            self.report(format!("`{symbol}` is declared twice"));
        }
        self.scope.push(symbol.clone());
    }

    fn dim(&mut self, dim: &Dim) {
        for symbol in dim.symbols() {
            if !self.roots.contains(&symbol) && !self.scope.contains(&symbol) {
                self.report(format!("{dim} speaks of `{symbol}`, which is not in scope"));
            }
        }
    }

    fn linear(&mut self, address: &Dim) {
        if !address.is_affine_in(&self.scope.iter().cloned().collect()) {
            self.report(format!("the address {address} is not linear in the index symbols"));
        }
    }

    fn param(&mut self, param: usize, access: Access) {
        match self.kernel.params.get(param) {
            None => self.report(format!("parameter {param} does not exist")),
            Some(p) if p.access != access && p.access != Access::ReadWrite => {
                let (verb, declared) =
                    if access == Access::Read { ("read", "writing") } else { ("written", "reading") };
                self.report(format!("`{}` is {verb}, but declared for {declared}", p.name));
            }
            Some(_) => {}
        }
    }

    fn operand(&mut self, param: usize, address: &Dim) {
        self.param(param, Access::Read);
        self.dim(address);
    }

    fn epilogue(&mut self, epilogue: &Epilogue, accumulator: DType) {
        self.define(Var(0), accumulator);
        if epilogue.lets.iter().any(|s| !matches!(s, Stmt::Let { .. })) {
            self.report("an epilogue with other statements than names for values");
        }
        self.open_stmts(&epilogue.lets, &Around::default());
        for (param, address, value) in &epilogue.stores {
            self.linear(address);
            self.store(*param, address, value);
        }
        if epilogue.stores.is_empty() {
            self.report("an epilogue that stores nothing");
        }
    }

    fn define(&mut self, var: Var, dtype: DType) {
        if !self.defined.insert(var) {
            self.report(format!("v{} is defined twice", var.0));
        }
        self.types.insert(var, dtype);
    }

    /// The type of an expression, after a look at all its parts.
    fn expr(&mut self, expr: &Expr) -> Option<DType> {
        self.parts(expr);
        match type_of(expr, &self.kernel.params, &|v| self.types.get(&v).copied()) {
            Ok(dtype) => Some(dtype),
            Err(message) => {
                self.report(message);
                None
            }
        }
    }

    fn parts(&mut self, expr: &Expr) {
        match expr {
            Expr::Load { param, address } => self.operand(*param, address),
            Expr::Index(d) => self.dim(d),
            Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) => {}
            Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
                [a, b, c].into_iter().for_each(|e| self.parts(e));
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => self.parts(a),
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => [a, b].into_iter().for_each(|e| self.parts(e)),
        }
    }

    fn expect(&mut self, expr: &Expr, dtype: DType, what: &str) {
        if let Some(found) = self.expr(expr)
            && found != dtype
        {
            self.report(format!("{what} is {found}, not {dtype}"));
        }
    }

    fn store(&mut self, param: usize, address: &Dim, value: &Expr) {
        self.param(param, Access::Write);
        self.dim(address);
        if let Some(p) = self.kernel.params.get(param) {
            let (dtype, name) = (compute_type(p.dtype), p.name.clone());
            self.expect(value, dtype, &format!("the value stored in `{name}`"));
        }
    }

    fn stmts(&mut self, stmts: &[Stmt], around: &Around) {
        let (depth, types) = (self.scope.len(), self.types.clone());
        self.open_stmts(stmts, around);
        self.scope.truncate(depth);
        self.types = types;
    }

    /// As [`Checker::stmts`], leaving what they define in scope.
    fn open_stmts(&mut self, stmts: &[Stmt], around: &Around) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { var, dtype, value } => {
                    self.expect(value, *dtype, &format!("the value of v{}", var.0));
                    self.define(*var, *dtype);
                }
                Stmt::Index { symbol, extent, value } => {
                    self.dim(extent);
                    self.expect(value, DType::I64, &format!("the value of `{symbol}`"));
                    self.enter(symbol);
                }
                Stmt::Store { param, address, value } => {
                    self.store(*param, address, value);
                    self.disjoint(address, around);
                }
                Stmt::For(l) => self.for_loop(l, around),
                Stmt::If { condition, then } => {
                    self.expect(condition, DType::Bool, "a condition");
                    // Which iterations come here, and so where they store, is up to the data.
                    self.stmts(then, &Around { top: false, independent: Vec::new(), ..around.clone() });
                }
                Stmt::Check { condition, value, .. } => {
                    self.expect(condition, DType::Bool, "a condition");
                    if let Some(value) = value {
                        self.expr(value);
                    }
                }
            }
        }
    }

    /// A store in an independent loop must depend on its variable, directly or through data.
    fn disjoint(&mut self, address: &Dim, around: &Around) {
        let mentioned = address.symbols();
        let by_data = self.scope.iter().any(|s| mentioned.contains(s) && !self.roots.contains(s) && self.is_data(s));
        for symbol in &around.independent {
            if !mentioned.contains(symbol) && !by_data {
                self.report(format!("every iteration of the independent loop over `{symbol}` stores at {address}"));
            }
        }
    }

    /// Whether a symbol in scope is no loop variable.
    fn is_data(&self, symbol: &Symbol) -> bool {
        fn looped(stmts: &[Stmt], symbol: &Symbol) -> bool {
            stmts.iter().any(|s| match s {
                Stmt::For(l) => l.var == *symbol || looped(&l.body, symbol),
                Stmt::If { then, .. } => looped(then, symbol),
                _ => false,
            })
        }
        matches!(&self.kernel.body, Body::Loops(stmts) if !looped(stmts, symbol))
    }

    fn for_loop(&mut self, l: &For, around: &Around) {
        self.dim(&l.extent);
        let mut inner = around.clone();
        match l.kind {
            LoopKind::Parallel => {
                if !around.top {
                    self.report(format!("the parallel loop over `{}` is not at top level", l.var));
                }
                if !l.carried.is_empty() {
                    self.report(format!("the parallel loop over `{}` carries values", l.var));
                }
                inner.top = matches!(l.body.as_slice(), [Stmt::For(_)]);
            }
            LoopKind::Vector => {
                if let Some(outer) = &around.vector {
                    self.report(format!("the vector loop over `{}` is inside that over `{outer}`", l.var));
                }
                if l.carried.iter().any(|c| c.reduction.is_none()) {
                    self.report(format!("the vector loop over `{}` carries more than reductions", l.var));
                }
                inner.vector = Some(l.var.clone());
                inner.top = false;
            }
            LoopKind::Serial => {
                if let Some(lanes) = &around.vector
                    && l.extent.symbols().contains(lanes)
                {
                    self.report(format!("the extent of the loop over `{}` differs between lanes of `{lanes}`", l.var));
                }
                inner.top = false;
            }
        }
        if l.extent.is_zero() {
            // Nothing is stored at all.
            inner.independent.clear();
            inner.empty = true;
        }
        let several = self.ranges.bounds(&l.extent).max.is_none_or(|most| most > 1);
        if l.kind != LoopKind::Serial && l.carried.is_empty() && several && !inner.empty {
            inner.independent.push(l.var.clone());
        }
        for c in &l.carried {
            self.expect(&c.init, c.dtype, &format!("the first value of v{}", c.var.0));
        }
        let (depth, types) = (self.scope.len(), self.types.clone());
        self.enter(&l.var);
        for c in &l.carried {
            self.define(c.var, c.dtype);
        }
        self.open_stmts(&l.body, &inner);
        for c in &l.carried {
            self.expect(&c.next, c.dtype, &format!("the next value of v{}", c.var.0));
        }
        self.scope.truncate(depth);
        self.types = types;
        for c in &l.carried {
            self.define(c.result, c.dtype);
        }
    }
}
