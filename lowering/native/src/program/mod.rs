//! A whole kernel program as MLIR: one function for each distinct kernel, and the function that calls them in order.
//!
//! A kernel becomes two functions. Its *body* takes flat buffers, the root symbols it mentions and the range of its
//! outermost loop that is to be done. Its *task* has the one signature that the runtime's thread pool knows,
//! `(words, begin, end)`, and unpacks the body's arguments from the words: buffers, symbols, and for kernels that check
//! data also the runtime's handle of the call and a pointer to a word that a failed check sets.
//!
//! Kernels that differ only in name become one function: a network repeats its layers.

mod compile;
mod contraction;
mod custom;
mod main_function;
mod packing;
mod sort;
mod transpose;
mod visit;

pub use compile::{CompiledProgram, Keep, compile};

use crate::NativeError;
use crate::builder::{Elem, Func, Module, Type, Val};
use crate::loops::{Cx, FAIL, LIBM2, Memory, memory_elem};
use crate::math::declare_libm;
use crate::target::Target;
use indexmap::IndexMap;
use packing::{Packing, pack_constants};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_kernel::{Body, For, Kernel, KernelId, KernelProgram, LoopKind, Routine, Stmt};
use std::collections::BTreeSet;

/// What the names of the runtime's routines begin with; what they compute with follows the name.
pub const ROUTINE: &str = "pt2c_rt_routine_";

/// A routine is a task already: it takes its buffers and sizes as words.
fn routine_task(kernel: &Kernel, r: &Routine) -> Task {
    let double = kernel.params.first().is_some_and(|p| p.dtype == pt2c_ir::DType::F64);
    let numbers = match (r.pairs, double) {
        (false, false) => "f32",
        (false, true) => "f64",
        (true, false) => "c64",
        (true, true) => "c128",
    };
    let name = format!("{ROUTINE}{}_{numbers}", r.name);
    let range = Range { extent: r.count.clone(), cost: r.cost.clone(), multiple: 1 };
    Task { name, symbols: Vec::new(), sizes: r.sizes.clone(), checks: false, range: Some(range) }
}

/// The runtime's function that divides a range among threads: `(call, task, words, extent, grain)`.
pub const PARALLEL_FOR: &str = "pt2c_rt_parallel_for";

/// The runtime's function that gives a symbol its value: `(call, symbol, value) -> i32`, not 0 if the call must end.
pub const BIND: &str = "pt2c_rt_bind";

/// A program in the form that [`crate::compile_module`] takes.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// MLIR modules to be compiled each by itself: kernels in groups, then the main function.
    pub units: Vec<Unit>,
    /// The function to call, `PREFIX__main`: `(values, symbols, call) -> i32`. `values[i]` is the address of buffer `i`
    /// of the program, `symbols[i]` the value of the i-th symbol given, `call` is handed on to the runtime. It returns
    /// 0, or 1 if a check failed.
    pub main: String,
    /// The texts of the checks; the runtime is told a position in it.
    pub messages: Vec<String>,
    /// The program as the code expects it: constants that kernels read in a layout of their own are buffers of their
    /// own, behind the original ones. Constants that nothing reads any more are empty.
    pub program: KernelProgram,
}

/// One MLIR module of a program.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its text.
    pub mlir: String,
    /// The functions that other units or the runtime call.
    pub public: Vec<String>,
}

/// Text of kernels that make a unit: units are compiled in parallel, but each costs a fixed time.
const UNIT_BYTES: usize = 100_000;

/// How a kernel is called.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The task function.
    name: String,
    /// The root symbols that follow the buffers among the words.
    symbols: Vec<Symbol>,
    /// What a routine of the runtime is told besides: these follow the symbols.
    sizes: Vec<Dim>,
    /// Whether the call handle and the failure flag follow.
    checks: bool,
    /// The range that threads may share.
    range: Option<Range>,
}

/// The outermost loop of a kernel whose iterations are independent.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// Number of iterations.
    extent: Dim,
    /// Work of one iteration, roughly in vector instructions.
    cost: Dim,
    /// Parts should be multiples of this.
    multiple: i64,
}

/// Writes a program. `symbols` are the root symbols in the order in which their values will be passed.
///
/// # Errors
/// For what code generation does not support, and for symbols that have no value where they are needed.
pub fn lower(
    program: &KernelProgram,
    symbols: &[Symbol],
    prefix: &str,
    target: &Target,
) -> Result<Lowered, NativeError> {
    let mut writer = Writer {
        target,
        prefix,
        symbols,
        scope: &program.scope,
        messages: Vec::new(),
        known: IndexMap::new(),
        functions: Vec::new(),
        custom: custom::Functions::default(),
    };
    let (mut tasks, mut packings) = (Vec::new(), Vec::new());
    for (k, kernel) in program.kernels.iter().enumerate() {
        let transposed = transpose::transpose_constants(program, KernelId(k as u32), target);
        let (kernel, turned) = transposed.as_ref().map_or((kernel, &[][..]), |(kernel, turned)| (kernel, turned));
        let (task, mut packed) = writer.kernel(kernel)?;
        packed.extend_from_slice(turned);
        tasks.push(task);
        packings.push(packed);
    }
    let program = pack_constants(program, &packings)?;
    let mut units = Vec::new();
    let mut open = Open::new(&writer.custom);
    for (name, text) in &writer.functions {
        open.add(name, text);
        if open.bytes > UNIT_BYTES {
            units.push(std::mem::replace(&mut open, Open::new(&writer.custom)).close());
        }
    }
    if !open.public.is_empty() {
        units.push(open.close());
    }
    let main = format!("{prefix}__main");
    let mut module = Module::new();
    module.declare(PARALLEL_FOR, &[Type::Ptr, Type::Ptr, Type::Ptr, Type::I64, Type::I64], &[]);
    module.declare(BIND, &[Type::Ptr, Type::I64, Type::I64], &[Type::I32]);
    for (name, _) in &writer.functions {
        module.declare(name, &TASK_PARAMS, &[]);
    }
    let routines: BTreeSet<&str> = tasks.iter().map(|t| t.name.as_str()).filter(|n| n.starts_with(ROUTINE)).collect();
    for name in routines {
        module.declare(name, &TASK_PARAMS, &[]);
    }
    main_function::write(&program, symbols, &tasks, target, &main, &mut module)?;
    units.push(Unit { mlir: module.finish(), public: vec![main.clone()] });
    Ok(Lowered { units, main, messages: writer.messages, program })
}

/// Parameters of a task: words, begin, end.
const TASK_PARAMS: [Type; 3] = [Type::Ptr, Type::I64, Type::I64];

/// A unit under construction.
struct Open {
    module: Module,
    public: Vec<String>,
    bytes: usize,
}

impl Open {
    fn new(custom: &custom::Functions) -> Open {
        let mut module = Module::new();
        declare_libm(&mut module);
        let double = Type::Scalar(Elem::F64);
        for name in LIBM2 {
            module.declare(name, &[double; 2], &[double]);
            module.declare(&format!("{name}f"), &[Type::F32; 2], &[Type::F32]);
        }
        module.declare(FAIL, &[Type::Ptr, Type::I64, Type::I64], &[]);
        sort::declare(&mut module);
        custom.declare(&mut module);
        Open { module, public: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, name: &str, text: &str) {
        self.bytes += text.len();
        self.public.push(name.to_string());
        self.module.add_text(text.to_string());
    }

    fn close(self) -> Unit {
        Unit { mlir: self.module.finish(), public: self.public }
    }
}

/// Writes kernels and remembers their text.
struct Writer<'a> {
    target: &'a Target,
    prefix: &'a str,
    symbols: &'a [Symbol],
    scope: &'a Scope,
    messages: Vec<String>,
    /// Body text under a common name → the kernel's own name.
    known: IndexMap<String, String>,
    /// Task functions and the text of them and their bodies.
    functions: Vec<(String, String)>,
    /// The functions of custom operators.
    custom: custom::Functions,
}

/// What every body is called until its text is known.
const ANONYMOUS: &str = "kernel";

impl<'a> Writer<'a> {
    fn kernel(&mut self, kernel: &Kernel) -> Result<(Task, Vec<(usize, Packing)>), NativeError> {
        if let Body::Routine(r) = &kernel.body {
            return Ok((routine_task(kernel, r), Vec::new()));
        }
        if let Body::Custom(c) = &kernel.body {
            self.custom.add(c)?;
        }
        let symbols = visit::symbols_of(kernel, self.symbols);
        let checks = visit::has_checks(&kernel.body);
        let mut b = Func::new(self.target, ANONYMOUS);
        let mut params = Vec::new();
        let mut buffers = Vec::new();
        for p in &kernel.params {
            buffers.push(b.param(Type::buffer(memory_elem(p.dtype)?)));
        }
        let values: Vec<Val> = symbols.iter().map(|_| b.param(Type::INDEX)).collect();
        let failure = checks.then(|| (b.param(Type::Ptr), b.param(Type::Ptr)));
        let (begin, end) = (b.param(Type::INDEX), b.param(Type::INDEX));
        for (p, val) in kernel.params.iter().zip(buffers) {
            params.push(Memory::new(&mut b, val, p.dtype));
        }
        let mut cx = Cx::new(b, params, self.scope.clone());
        for (s, v) in symbols.iter().zip(&values) {
            cx.ix.bind(s, *v);
        }
        if let Some((call, flag)) = failure {
            cx.set_failure(call, flag);
        }
        cx.messages = std::mem::take(&mut self.messages);
        let written = self.body(kernel, &mut cx, begin, end);
        self.messages = std::mem::take(&mut cx.messages);
        let (range, packings) = written?;
        cx.b.ret(&[]);
        let text = cx.b.finish();
        let name = match self.known.get(&text) {
            Some(name) => name.clone(),
            None => {
                let name = format!("{}__{}", self.prefix, kernel.name);
                let body = text.replacen(&format!("@{ANONYMOUS}("), &format!("@{name}__body("), 1);
                let task = self.task(kernel, &name, symbols.len(), checks)?.finish();
                self.functions.push((name.clone(), body + &task));
                self.known.insert(text, name.clone());
                name
            }
        };
        Ok((Task { name, symbols, sizes: Vec::new(), checks, range }, packings))
    }

    fn body(
        &self,
        kernel: &Kernel,
        cx: &mut Cx<'a>,
        begin: Val,
        end: Val,
    ) -> Result<(Option<Range>, Vec<(usize, Packing)>), NativeError> {
        let written = match &kernel.body {
            Body::Loops(stmts) => {
                let Some(f) = shared_loop(stmts) else {
                    cx.stmts(stmts)?;
                    return Ok((None, Vec::new()));
                };
                cx.task(stmts, (begin, end))?;
                // One iteration of a vector loop is a part of an instruction: count whole vectors.
                let lanes = if f.kind == LoopKind::Vector { i64::from(self.target.lanes) } else { 1 };
                let cost = visit::cost(&f.body, lanes);
                return Ok((Some(Range { extent: f.extent.clone(), cost, multiple: lanes }), Vec::new()));
            }
            Body::Matmul(m) => contraction::matmul(cx, &kernel.params, m, begin, end)?,
            Body::Convolution(c) => contraction::convolution(cx, &kernel.params, c, begin, end)?,
            Body::Winograd(w) => contraction::winograd(cx, w, begin, end)?,
            Body::Strassen(s) => contraction::strassen(cx, s, begin, end)?,
            Body::Attention(a) => contraction::attention(cx, a, begin, end)?,
            Body::Sort(s) => return Ok((Some(sort::sort(cx, &kernel.params, s, begin, end)?), Vec::new())),
            Body::Custom(c) => {
                custom::custom(cx, &kernel.params, c)?;
                return Ok((None, Vec::new()));
            }
            Body::Routine(_) => return Err(NativeError::Unsupported { what: "a routine as code".into() }),
        };
        Ok((Some(written.range), written.packings))
    }

    /// The function that unpacks words and calls the body.
    fn task(&self, kernel: &Kernel, name: &str, symbols: usize, checks: bool) -> Result<Func<'a>, NativeError> {
        let mut b = Func::new(self.target, name).public();
        let words = b.param(Type::Ptr);
        let (begin, end) = (b.param(Type::I64), b.param(Type::I64));
        let mut args = Vec::new();
        let mut at = 0;
        let mut word = |b: &mut Func<'a>, ty| {
            let place = b.ptr_at(words, at);
            at += 8;
            b.ptr_load(place, ty)
        };
        for p in &kernel.params {
            let ptr = word(&mut b, Type::Ptr);
            let buffer = b.buffer_from_ptr(ptr, memory_elem(p.dtype)?);
            args.push(buffer);
        }
        for _ in 0..symbols {
            let value = word(&mut b, Type::I64);
            args.push(b.to_index(value));
        }
        if checks {
            for _ in 0..2 {
                args.push(word(&mut b, Type::Ptr));
            }
        }
        args.push(b.to_index(begin));
        args.push(b.to_index(end));
        b.call(&format!("{name}__body"), &args, &[]);
        b.ret(&[]);
        Ok(b)
    }
}

/// The top-level loop whose iterations threads may share: the only loop or store at top level, parallel or in vector
/// lanes without carried values.
fn shared_loop(stmts: &[Stmt]) -> Option<&For> {
    let mut found = None;
    for stmt in stmts {
        match stmt {
            Stmt::For(f) if found.is_none() => found = Some(f),
            Stmt::Let { .. } | Stmt::Index { .. } | Stmt::Check { .. } if found.is_none() => {}
            _ => return None,
        }
    }
    found.filter(|f| f.kind != LoopKind::Serial && f.carried.is_empty())
}
