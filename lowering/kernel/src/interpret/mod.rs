//! The interpreter of kernel IR: runs a program on host memory exactly by the documented scalar semantics, and checks
//! every address. It tests lowering and memory planning without a target.
//!
//! Memory that was never written holds bytes of ones (NaN in floats, no boolean), so that a read of it shows. The
//! arena is one piece of memory, so that buffers that overlap while both are alive show. Loops whose iterations are
//! said to be independent may be run backwards ([`Order`]): results must not change.

mod code;
mod contraction;
mod memory;
mod sort;

use crate::{Body, Bound, BufferId, BufferKind, Kernel, KernelProgram, Routine, Step};
use code::{Compiler, Frame};
use memory::Memory;
use pt2c_ir::dim::{Dim, Symbol};
use std::collections::BTreeMap;

/// Why a program could not be run to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InterpretError {
    /// A run-time check of the program failed, as the model would.
    #[error("{message}")]
    Check { message: String },
    /// An access outside a buffer: a mistake of whoever made the program.
    #[error("kernel `{kernel}`: element {address} of `{param}`, which has {len}")]
    OutOfBounds { kernel: String, param: String, address: i64, len: i64 },
    /// The program breaks another rule of kernel IR.
    #[error("kernel `{kernel}`: {message}")]
    Malformed { kernel: String, message: String },
    /// The program cannot be set up: inputs that do not fit, an arena too small.
    #[error("{0}")]
    Setup(String),
}

/// The order in which iterations run that may run in any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// As written.
    #[default]
    Forward,
    /// Backwards in `Parallel` and `Vector` loops.
    Backward,
}

/// What the caller holds, as dense little-endian bytes: before the call and after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallData {
    /// Tensor inputs by index into the signature's inputs.
    pub inputs: BTreeMap<usize, Vec<u8>>,
    /// Buffers that calls change, by name.
    pub state: BTreeMap<String, Vec<u8>>,
    /// Results by index into the signature's outputs; empty before the call.
    pub outputs: BTreeMap<usize, Vec<u8>>,
    /// After the call: the values of all symbols, those that steps gave included.
    pub symbols: BTreeMap<Symbol, i64>,
}

/// Runs a program on what the caller holds and returns what it holds afterwards.
///
/// # Errors
/// A failed check of the program, or a rule of kernel IR that it breaks.
pub fn interpret(
    program: &KernelProgram,
    symbols: &BTreeMap<Symbol, i64>,
    before: &CallData,
    order: Order,
) -> Result<CallData, InterpretError> {
    let memory = Memory::new(program, symbols, before)?;
    let roots = symbols.iter().map(|(s, v)| (s.clone(), Dim::int(*v))).collect();
    let mut machine = Machine { program, roots, memory, order };
    machine.steps(&program.steps)?;
    let symbols = machine.roots.iter().filter_map(|(s, d)| Some((s.clone(), d.as_int()?))).collect();
    Ok(CallData { symbols, ..machine.memory.call_data(program) })
}

struct Machine<'p> {
    program: &'p KernelProgram,
    roots: BTreeMap<Symbol, Dim>,
    memory: Memory,
    order: Order,
}

impl Machine<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), InterpretError> {
        for step in steps {
            match step {
                Step::Call { kernel, buffers, .. } => {
                    let kernel = self.program.kernels.get(kernel.0 as usize);
                    let kernel = kernel.ok_or_else(|| InterpretError::Setup("a step calls no kernel".into()))?;
                    self.call(kernel, buffers)?;
                }
                Step::Bind { symbol, value } => self.bind(symbol, value)?,
                Step::If { condition, then, otherwise } => {
                    let branch = if self.condition(*condition)? { then } else { otherwise };
                    self.steps(branch)?;
                }
                Step::While { before, condition, body } => {
                    self.steps(before)?;
                    while self.condition(*condition)? {
                        self.steps(body)?;
                        self.steps(before)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn bind(&mut self, symbol: &Symbol, value: &Bound) -> Result<(), InterpretError> {
        let value = match value {
            Bound::Element(buffer) => self.memory.load(*buffer, 0).map(|v| v.to_i64()),
            Bound::Size(dim) => dim.subs(&self.roots).as_int(),
        };
        let value = value.ok_or_else(|| InterpretError::Setup(format!("`{symbol}` gets no value")))?;
        let range = self.program.scope.range_of(symbol);
        if range.min.is_some_and(|min| value < min) || range.max.is_some_and(|max| value > max) {
            return Err(InterpretError::Check { message: format!("{symbol} is {value}, which is out of its range") });
        }
        self.roots.insert(symbol.clone(), Dim::int(value));
        let known = |s: &Symbol| self.roots.get(s).and_then(Dim::as_int);
        let stage = self.program.stages.iter().position(|s| s.symbol == *symbol).map_or(0, |i| i + 1);
        self.memory.enter(self.program, stage, &known)
    }

    /// The very routine that libraries contain, over copies of the buffers.
    fn routine(&mut self, r: &Routine, kernel: &Kernel, buffers: &[BufferId]) -> Result<(), String> {
        let value = |d: &Dim| {
            let known = d.eval(&|s| self.roots.get(s).and_then(Dim::as_int));
            known.map_err(|e| format!("the size {d}: {e}"))
        };
        let sizes = r.sizes.iter().map(|d| value(d).map(|n| n as usize)).collect::<Result<Vec<_>, _>>()?;
        let count = usize::try_from(value(&r.count)?).map_err(|_| "a negative count".to_string())?;
        let mut copies: Vec<Vec<u8>> = buffers.iter().map(|b| self.memory.bytes(*b).to_vec()).collect();
        let double = kernel.params.first().is_some_and(|p| p.dtype == pt2c_ir::DType::F64);
        pt2c_ops::prim::routine::run(&r.name, double, r.pairs, &mut copies, &sizes, count)?;
        for (buffer, copy) in buffers.iter().zip(&copies) {
            self.memory.set_bytes(*buffer, copy);
        }
        Ok(())
    }

    fn condition(&self, buffer: BufferId) -> Result<bool, InterpretError> {
        let value = self.memory.load(buffer, 0);
        value.map(|v| v.to_bool()).ok_or_else(|| InterpretError::Setup("a condition without a value".into()))
    }

    fn call(&mut self, kernel: &Kernel, buffers: &[BufferId]) -> Result<(), InterpretError> {
        let malformed = |message: String| InterpretError::Malformed { kernel: kernel.name.clone(), message };
        if buffers.len() != kernel.params.len() {
            return Err(malformed(format!("{} buffers for {} parameters", buffers.len(), kernel.params.len())));
        }
        for (param, buffer) in kernel.params.iter().zip(buffers) {
            let known = self.program.buffers.get(buffer.0 as usize);
            let known = known.ok_or_else(|| malformed("a buffer that does not exist".into()))?;
            if known.dtype != param.dtype {
                return Err(malformed(format!("`{}` is {}, the buffer {}", param.name, param.dtype, known.dtype)));
            }
            let read_only = matches!(known.kind, BufferKind::Constant(_));
            if read_only && param.access != crate::Access::Read {
                return Err(malformed(format!("`{}` writes the constant `{}`", param.name, known.name)));
            }
        }
        let mut compiler = Compiler::new(kernel, &self.roots, self.order);
        let mut frame = Frame::new(kernel, buffers, &mut self.memory);
        match &kernel.body {
            Body::Loops(stmts) => {
                let code = compiler.stmts(stmts).map_err(malformed)?;
                frame.reserve(&compiler);
                frame.run(&code)
            }
            Body::Matmul(m) => contraction::matmul(&mut compiler, &mut frame, m),
            Body::Convolution(c) => contraction::convolution(&mut compiler, &mut frame, c),
            Body::Winograd(w) => contraction::winograd(&mut compiler, &mut frame, w),
            Body::Strassen(s) => contraction::strassen(&mut compiler, &mut frame, s),
            Body::Attention(a) => contraction::attention(&mut compiler, &mut frame, a),
            Body::Sort(s) => sort::sort(kernel, buffers, &mut self.memory, s, &self.roots),
            Body::Custom(c) => {
                Err(malformed(format!("`{}` is a function that the library's user provides", c.function)))
            }
            Body::Routine(r) => {
                drop(frame);
                self.routine(r, kernel, buffers).map_err(malformed)
            }
        }
    }
}
