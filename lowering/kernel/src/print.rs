//! Kernel IR as text, for dumps and tests.
//!
//! ```text
//! buffer x: f32[3*s0] input 0
//! buffer y: f32[s0] arena at 0
//! arena 64*((s0 + 15) // 16) bytes
//!
//! kernel row_sums(read x: f32, write y: f32) {
//!   parallel for i0 in 0..s0 {
//!     vector for i1 in 0..3 carry v1: f32 = 0.0 by sum {
//!       let v3: f32 = x[3*i0 + i1]
//!       next v1 = v3
//!     } -> v2
//!     y[i0] = v2
//!   }
//! }
//!
//! call row_sums(x, y)
//! ```
//!
//! Numbers are f32, i64 or booleans where nothing else is said (`1.0:f64`, `3:i32`). `if c { a } else { b }` evaluates
//! only what it takes, `select(c, a, b)` both. Contractions print their index symbols and what is stored.

use crate::{
    Access, Attention, BinaryOp, Body, Bound, Buffer, BufferId, BufferKind, CompareOp, Convolution, Epilogue, Expr,
    For, Kernel, KernelProgram, LoopKind, Matmul, MatmulB, ReduceOp, Sort, Step, Stmt, Strassen, Winograd,
};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};
use std::fmt::Write;

/// The program as text: buffers, kernels, steps.
pub fn print(program: &KernelProgram) -> String {
    let mut out = String::new();
    for b in &program.buffers {
        let kind = match &b.kind {
            BufferKind::Input(i) => format!("input {i}"),
            BufferKind::Output(i) => format!("output {i}"),
            BufferKind::Arena(at) => format!("arena at {at}"),
            BufferKind::State(name) => format!("state {name:?}"),
            BufferKind::Constant(_) => "constant".to_string(),
        };
        let _ = writeln!(out, "buffer {}: {}[{}] {kind}", name(&b.name), b.dtype, b.len);
    }
    let _ = writeln!(out, "arena {} bytes", program.arena_bytes);
    for stage in &program.stages {
        let _ = writeln!(out, "arena {} bytes with {}", stage.arena_bytes, stage.symbol);
    }
    for kernel in &program.kernels {
        out.push('\n');
        out.push_str(&print_kernel(kernel));
    }
    out.push('\n');
    steps(program, &program.steps, 0, &mut out);
    out
}

/// One kernel as text.
pub fn print_kernel(kernel: &Kernel) -> String {
    let mut printer = Printer { kernel, out: String::new(), depth: 1 };
    let params: Vec<String> = (0..kernel.params.len())
        .map(|i| {
            let access = match kernel.params[i].access {
                Access::Read => "read",
                Access::Write => "write",
                Access::ReadWrite => "read write",
            };
            format!("{access} {}: {}", printer.param(i), kernel.params[i].dtype)
        })
        .collect();
    let _ = writeln!(printer.out, "kernel {}({}) {{", name(&kernel.name), params.join(", "));
    match &kernel.body {
        Body::Loops(stmts) => printer.stmts(stmts),
        Body::Matmul(m) => printer.matmul(m),
        Body::Convolution(c) => printer.convolution(c),
        Body::Winograd(w) => printer.winograd(w),
        Body::Strassen(s) => printer.strassen(s),
        Body::Attention(a) => printer.attention(a),
        Body::Sort(s) => printer.sort(s),
        Body::Custom(c) => {
            let sizes: Vec<String> = c.dims().map(ToString::to_string).collect();
            let _ = writeln!(printer.out, "  custom {}({})", name(&c.function), sizes.join(", "));
        }
        Body::Routine(r) => {
            let sizes: Vec<String> = r.sizes.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                printer.out,
                "  routine {}{}({}) for {} items",
                if r.pairs { "complex " } else { "" },
                name(&r.name),
                sizes.join(", "),
                r.count
            );
        }
    }
    printer.out.push_str("}\n");
    printer.out
}

fn name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if !text.is_empty() && text.chars().all(plain) { text.to_string() } else { format!("{text:?}") }
}

fn steps(program: &KernelProgram, list: &[Step], depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let buffer = |b: &BufferId| {
        program.buffers.get(b.0 as usize).map_or_else(|| format!("buffer#{}", b.0), |b: &Buffer| name(&b.name))
    };
    for step in list {
        match step {
            Step::Call { kernel, buffers, .. } => {
                let known = program.kernels.get(kernel.0 as usize);
                let kernel = known.map_or_else(|| format!("kernel#{}", kernel.0), |k| name(&k.name));
                let buffers: Vec<String> = buffers.iter().map(buffer).collect();
                let _ = writeln!(out, "{pad}call {kernel}({})", buffers.join(", "));
            }
            Step::Bind { symbol, value } => {
                let value = match value {
                    Bound::Element(b) => buffer(b),
                    Bound::Size(d) => d.to_string(),
                };
                let _ = writeln!(out, "{pad}bind {symbol} = {value}");
            }
            Step::If { condition, then, otherwise } => {
                let _ = writeln!(out, "{pad}if {} {{", buffer(condition));
                steps(program, then, depth + 1, out);
                let _ = writeln!(out, "{pad}}} else {{");
                steps(program, otherwise, depth + 1, out);
                let _ = writeln!(out, "{pad}}}");
            }
            Step::While { before, condition, body } => {
                let _ = writeln!(out, "{pad}loop {{");
                steps(program, before, depth + 1, out);
                let _ = writeln!(out, "{pad}}} while {} {{", buffer(condition));
                steps(program, body, depth + 1, out);
                let _ = writeln!(out, "{pad}}}");
            }
        }
    }
}

fn reduction(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "sum",
        ReduceOp::Product => "product",
        ReduceOp::Max => "max",
        ReduceOp::Min => "min",
        ReduceOp::And => "and",
        ReduceOp::Or => "or",
    }
}

struct Printer<'k> {
    kernel: &'k Kernel,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", "  ".repeat(self.depth));
    }

    /// A parameter's name; with its position behind it where another has the same name.
    fn param(&self, i: usize) -> String {
        let Some(param) = self.kernel.params.get(i) else { return format!("param#{i}") };
        let twice = self.kernel.params.iter().filter(|p| p.name == param.name).count() > 1;
        if twice { format!("{}#{i}", name(&param.name)) } else { name(&param.name) }
    }

    fn element(&self, param: usize, address: &Dim) -> String {
        format!("{}[{address}]", self.param(param))
    }

    fn sort(&mut self, s: &Sort) {
        let what = if s.rows { "rows" } else { "lines" };
        let order = if s.descending { " descending" } else { "" };
        self.line(&format!("sort {what} of {}[{}, {}, {}]{order}", self.param(s.x), s.outer, s.len, s.inner));
        let values = s.values.map_or(String::new(), |v| format!("{}, ", self.param(v)));
        self.line(&format!("keep {} in {values}{}", s.keep, self.param(s.indices)));
        self.line(&format!("{} at a time in {}", s.areas, self.param(s.scratch)));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { var, dtype, value } => {
                    let value = self.expr(value);
                    self.line(&format!("let v{}: {dtype} = {value}", var.0));
                }
                Stmt::Index { symbol, extent, value } => {
                    let value = self.expr(value);
                    self.line(&format!("index {symbol} in 0..{extent} = {value}"));
                }
                Stmt::Store { param, address, value } => {
                    let text = format!("{} = {}", self.element(*param, address), self.expr(value));
                    self.line(&text);
                }
                Stmt::For(l) => self.for_loop(l),
                Stmt::If { condition, then } => {
                    let condition = self.expr(condition);
                    self.line(&format!("if {condition} {{"));
                    self.block(then);
                    self.line("}");
                }
                Stmt::Check { condition, message, value } => {
                    let value = value.as_ref().map_or(String::new(), |v| format!(", {}", self.expr(v)));
                    let condition = self.expr(condition);
                    self.line(&format!("check {condition} else {message:?}{value}"));
                }
            }
        }
    }

    fn block(&mut self, stmts: &[Stmt]) {
        self.depth += 1;
        self.stmts(stmts);
        self.depth -= 1;
    }

    fn for_loop(&mut self, l: &For) {
        let kind = match l.kind {
            LoopKind::Serial => "for",
            LoopKind::Parallel => "parallel for",
            LoopKind::Vector => "vector for",
        };
        let mut head = format!("{kind} {} in 0..{}", l.var, l.extent);
        for (i, c) in l.carried.iter().enumerate() {
            let by = c.reduction.map_or(String::new(), |op| format!(" by {}", reduction(op)));
            let lead = if i == 0 { " carry" } else { "," };
            let _ = write!(head, "{lead} v{}: {} = {}{by}", c.var.0, c.dtype, self.expr(&c.init));
        }
        self.line(&format!("{head} {{"));
        self.block(&l.body);
        self.depth += 1;
        for c in &l.carried {
            let next = self.expr(&c.next);
            self.line(&format!("next v{} = {next}", c.var.0));
        }
        self.depth -= 1;
        let results: Vec<String> = l.carried.iter().map(|c| format!("v{}", c.result.0)).collect();
        self.line(&if results.is_empty() { "}".to_string() } else { format!("}} -> {}", results.join(", ")) });
    }

    fn epilogue(&mut self, what: &str, epilogue: &Epilogue) {
        self.line(&format!("store with v0 = {what} {{"));
        self.depth += 1;
        self.stmts(&epilogue.lets);
        for (param, address, value) in &epilogue.stores {
            let text = format!("{} = {}", self.element(*param, address), self.expr(value));
            self.line(&text);
        }
        self.depth -= 1;
        self.line("}");
    }

    fn axes(&mut self, what: &str, axes: &[(Symbol, Dim)]) {
        let axes: Vec<String> = axes.iter().map(|(s, n)| format!("{s} in 0..{n}")).collect();
        if !axes.is_empty() {
            self.line(&format!("{what} {}", axes.join(", ")));
        }
    }

    fn matmul(&mut self, m: &Matmul) {
        self.axes("batch", &m.batch);
        self.axes("rows", std::slice::from_ref(&m.m));
        self.axes("columns", std::slice::from_ref(&m.n));
        self.axes("contracted", std::slice::from_ref(&m.k));
        let a = self.element(m.a.0, &m.a.1);
        let b = match &m.b {
            MatmulB::Strided { param, address } => self.element(*param, address),
            MatmulB::Constant { param, address } => format!("constant {}", self.element(*param, address)),
            MatmulB::Grouped { param, scales, group } => {
                format!("halves of {} in groups of {group} with scales {}", self.param(*param), self.param(*scales))
            }
        };
        let rounded = m.rounding.map_or_else(String::new, |dtype| format!(" rounded to {dtype}"));
        self.epilogue(&format!("matmul:{} of {a} and {b}{rounded}", m.accumulator), &m.epilogue);
    }

    fn convolution(&mut self, c: &Convolution) {
        let dims = |dims: &[Dim]| format!("[{}]", dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "));
        self.axes("batch", std::slice::from_ref(&c.batch));
        self.axes("channel", std::slice::from_ref(&c.channel));
        self.axes("spatial", &c.spatial);
        let text = format!(
            "input {} offset {} strides {}, {} channels of {}, groups {}",
            self.param(c.x.0),
            c.x_offset,
            dims(&c.x.1),
            c.input_channels,
            dims(&c.input_spatial),
            c.groups
        );
        self.line(&text);
        let text = format!(
            "window {:?} stride {:?} dilation {:?} pad {} weight {}{}",
            c.window,
            c.stride,
            c.dilation,
            dims(&c.pad_low),
            if c.weight_is_constant { "constant " } else { "" },
            self.param(c.w)
        );
        self.line(&text);
        self.epilogue(&format!("convolution:{}", c.accumulator), &c.epilogue);
    }

    fn winograd(&mut self, w: &Winograd) {
        self.axes("batch", std::slice::from_ref(&w.batch));
        self.axes("channel", std::slice::from_ref(&w.channel));
        self.axes("spatial", &w.spatial);
        let [rows, columns] = &w.tiles;
        let (v, weight) = (self.param(w.v), self.param(w.w));
        self.line(&format!("tiles {v} [{rows}, {columns}] of {} channels, weight constant {weight}", w.input_channels));
        self.epilogue("winograd:f32", &w.epilogue);
    }

    fn strassen(&mut self, s: &Strassen) {
        for (name, axis) in [("rows", &s.m), ("columns", &s.n), ("contracted", &s.k)] {
            self.axes(name, std::slice::from_ref(axis));
        }
        let (v, b) = (self.param(s.v), self.element(s.b.0, &s.b.1));
        self.line(&format!("sums {v}, constant {b}"));
        self.epilogue("strassen:f32", &s.epilogue);
    }

    fn attention(&mut self, a: &Attention) {
        self.axes("batch", &a.batch);
        self.axes("rows", std::slice::from_ref(&a.row));
        self.axes("positions", std::slice::from_ref(&a.position));
        self.axes("depth", std::slice::from_ref(&a.depth));
        self.axes("value depth", std::slice::from_ref(&a.value_depth));
        let mask = a.mask.as_ref().map_or(String::new(), |m| format!(" mask {}", self.expr(m)));
        let causal = if a.causal { " causal" } else { "" };
        self.line(&format!("scale {:?}{causal}{mask}", a.scale));
        let [q, k, v] = [&a.q, &a.k, &a.v].map(|(p, at)| self.element(*p, at));
        self.epilogue(&format!("attention of {q}, {k} and {v}"), &a.epilogue);
    }

    fn expr(&self, expr: &Expr) -> String {
        let infix = |a: &Expr, op: &str, b: &Expr| format!("({} {op} {})", self.expr(a), self.expr(b));
        match expr {
            Expr::Var(v) => format!("v{}", v.0),
            Expr::Float(x, DType::F32) => format!("{x:?}"),
            Expr::Float(x, d) => format!("{x:?}:{d}"),
            Expr::Int(i, DType::I64) => i.to_string(),
            Expr::Int(i, d) => format!("{i}:{d}"),
            Expr::Bool(b) => b.to_string(),
            Expr::Index(d) => format!("index({d})"),
            Expr::Load { param, address } => self.element(*param, address),
            Expr::Guarded { condition, value, other } => {
                format!("if {} {{ {} }} else {{ {} }}", self.expr(condition), self.expr(value), self.expr(other))
            }
            Expr::Select(c, a, b) => format!("select({}, {}, {})", self.expr(c), self.expr(a), self.expr(b)),
            Expr::Unary(op, x) => format!("{}({})", snake(&format!("{op:?}")), self.expr(x)),
            Expr::Binary(op, a, b) => match op {
                BinaryOp::Add => infix(a, "+", b),
                BinaryOp::Sub => infix(a, "-", b),
                BinaryOp::Mul => infix(a, "*", b),
                BinaryOp::Div => infix(a, "/", b),
                BinaryOp::And => infix(a, "and", b),
                BinaryOp::Or => infix(a, "or", b),
                op => format!("{}({}, {})", snake(&format!("{op:?}")), self.expr(a), self.expr(b)),
            },
            Expr::Compare(op, a, b) => {
                let op = match op {
                    CompareOp::Eq => "==",
                    CompareOp::Ne => "!=",
                    CompareOp::Lt => "<",
                    CompareOp::Le => "<=",
                    CompareOp::Gt => ">",
                    CompareOp::Ge => ">=",
                };
                infix(a, op, b)
            }
            Expr::Cast(d, x) => format!("{d}({})", self.expr(x)),
            Expr::Bitcast(d, x) => format!("bits_as_{d}({})", self.expr(x)),
        }
    }
}

/// `DivFloor` as `div_floor`.
fn snake(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
