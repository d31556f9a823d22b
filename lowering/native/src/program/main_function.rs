//! The function that runs a program: its steps in order.
//!
//! It is written as basic blocks rather than nested regions, because a failed check leaves it from any depth.

use super::{BIND, PARALLEL_FOR, Range, Task};
use crate::NativeError;
use crate::builder::{Elem, Func, IntPredicate, Module, Type, Val};
use crate::dims::Indices;
use crate::target::Target;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_kernel::{Bound, BufferId, KernelProgram, MARKS_PER_CALL, Step};

/// Work (in vector instructions) below which giving a thread a part costs more than it saves: some 5 µs.
const PARALLEL_COST: i64 = 20_000;

/// Writes the function `name` into the module.
pub(super) fn write(
    program: &KernelProgram,
    symbols: &[Symbol],
    tasks: &[Task],
    target: &Target,
    name: &str,
    module: &mut Module,
) -> Result<(), NativeError> {
    let mut b = Func::new(target, name).public();
    let values = b.param(Type::Ptr);
    let symbol_values = b.param(Type::Ptr);
    let call = b.param(Type::Ptr);
    b.returns(&[Type::I32]);
    let widest = program
        .kernels
        .iter()
        .zip(tasks)
        .map(|(k, t)| k.params.len() + t.symbols.len() + t.sizes.len() + 2)
        .max()
        .unwrap_or(1);
    let words = b.stack_words(widest as u64);
    let flag = b.stack_words(1);
    let zero = b.int(Type::I64, 0);
    b.ptr_store(zero, flag);
    let mut writer =
        Writer { program, symbols, tasks, b, values, symbol_values, call, words, flag, blocks: 0, calls: 0 };
    writer.steps(&program.steps)?;
    writer.mark_symbols();
    writer.b.stmt("cf.br ^done");
    writer.b.stmt("^failed:");
    let one = writer.b.int(Type::I32, 1);
    writer.b.ret(&[one]);
    writer.b.stmt("^done:");
    let zero = writer.b.int(Type::I32, 0);
    writer.b.ret(&[zero]);
    // Without a check nothing branches to `^failed`; the canonicaliser removes it.
    module.add(writer.b);
    Ok(())
}

struct Writer<'a, 't> {
    program: &'a KernelProgram,
    symbols: &'a [Symbol],
    tasks: &'a [Task],
    b: Func<'t>,
    values: Val,
    symbol_values: Val,
    call: Val,
    words: Val,
    flag: Val,
    blocks: u32,
    /// Calls written so far.
    calls: usize,
}

impl Writer<'_, '_> {
    /// A new label.
    fn block(&mut self) -> String {
        self.blocks += 1;
        format!("^bb{}", self.blocks)
    }

    fn start(&mut self, label: &str) {
        self.b.stmt(&format!("{label}:"));
    }

    fn branch(&mut self, condition: Val, yes: &str, no: &str) {
        self.b.stmt(&format!("cf.cond_br {condition}, {yes}, {no}"));
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), NativeError> {
        for step in steps {
            match step {
                Step::Call { kernel, buffers, .. } => self.call_kernel(kernel.0 as usize, buffers)?,
                Step::Bind { symbol, value } => self.bind(symbol, value)?,
                Step::If { condition, then, otherwise } => {
                    let (yes, no, after) = (self.block(), self.block(), self.block());
                    let holds = self.truth(*condition);
                    self.branch(holds, &yes, &no);
                    self.start(&yes);
                    self.steps(then)?;
                    self.b.stmt(&format!("cf.br {after}"));
                    self.start(&no);
                    self.steps(otherwise)?;
                    self.b.stmt(&format!("cf.br {after}"));
                    self.start(&after);
                }
                Step::While { before, condition, body } => {
                    let (head, inside, after) = (self.block(), self.block(), self.block());
                    self.b.stmt(&format!("cf.br {head}"));
                    self.start(&head);
                    self.steps(before)?;
                    let holds = self.truth(*condition);
                    self.branch(holds, &inside, &after);
                    self.start(&inside);
                    self.steps(body)?;
                    self.b.stmt(&format!("cf.br {head}"));
                    self.start(&after);
                }
            }
        }
        Ok(())
    }

    /// Whether a one-element boolean buffer holds.
    fn truth(&mut self, buffer: BufferId) -> Val {
        let ptr = self.address(buffer);
        let byte = self.b.ptr_load(ptr, Type::Scalar(Elem::I8));
        let zero = self.b.zero(byte.ty);
        self.b.cmpi(IntPredicate::Ne, byte, zero)
    }

    /// The address of a buffer.
    fn address(&mut self, buffer: BufferId) -> Val {
        let place = self.b.ptr_at(self.values, 8 * i64::from(buffer.0));
        self.b.ptr_load(place, Type::Ptr)
    }

    fn symbol(&mut self, symbol: &Symbol) -> Result<Val, NativeError> {
        let at = self
            .symbols
            .iter()
            .position(|s| s == symbol)
            .ok_or_else(|| NativeError::Unbound { name: symbol.to_string() })?;
        let place = self.b.ptr_at(self.symbol_values, 8 * at as i64);
        Ok(self.b.ptr_load(place, Type::I64))
    }

    /// Gives a symbol its value, and leaves if the runtime refuses it.
    fn bind(&mut self, symbol: &Symbol, value: &Bound) -> Result<(), NativeError> {
        let value = match value {
            Bound::Element(buffer) => {
                let ptr = self.address(*buffer);
                self.b.ptr_load(ptr, Type::I64)
            }
            Bound::Size(dim) => {
                let mut indices = Indices::new(self.program.scope.clone());
                for symbol in dim.symbols() {
                    let value = self.symbol(&symbol)?;
                    let value = self.b.to_index(value);
                    indices.bind(&symbol, value);
                }
                let value = indices.dim(&mut self.b, dim)?;
                self.b.index_to_i64(value)
            }
        };
        let at = self.symbols.iter().position(|s| s == symbol);
        let at = at.ok_or_else(|| NativeError::Unbound { name: symbol.to_string() })?;
        let at = self.b.int(Type::I64, at as i64);
        let refused = self.b.call(BIND, &[self.call, at, value], &[Type::I32]);
        let refused = refused.into_iter().next().ok_or_else(|| NativeError::Unbound { name: symbol.to_string() })?;
        let zero = self.b.int(Type::I32, 0);
        let ended = self.b.cmpi(IntPredicate::Ne, refused, zero);
        let next = self.block();
        self.branch(ended, "^failed", &next);
        self.start(&next);
        Ok(())
    }

    fn call_kernel(&mut self, kernel: usize, buffers: &[BufferId]) -> Result<(), NativeError> {
        let Some(task) = self.tasks.get(kernel) else {
            return Err(NativeError::Unsupported { what: format!("a call of missing kernel {kernel}") });
        };
        let mut args = Vec::new();
        for buffer in buffers {
            args.push(self.address(*buffer));
        }
        for symbol in &task.symbols {
            args.push(self.symbol(symbol)?);
        }
        let mut indices = self.indices(task.sizes.iter())?;
        for size in &task.sizes {
            let value = indices.dim(&mut self.b, size)?;
            args.push(self.b.index_to_i64(value));
        }
        if task.checks {
            args.extend([self.call, self.flag]);
        }
        for (k, arg) in args.iter().enumerate() {
            let place = self.b.ptr_at(self.words, 8 * k as i64);
            self.b.ptr_store(*arg, place);
        }
        let begun = self.program.marks.map(|marks| (marks, self.b.cycle_counter()));
        match &task.range {
            None => {
                let (zero, one) = (self.b.int(Type::I64, 0), self.b.int(Type::I64, 1));
                self.b.call(&task.name, &[self.words, zero, one], &[]);
            }
            Some(range) => self.call_range(task, range)?,
        }
        if let Some((marks, begun)) = begun {
            self.mark_call(marks, begun);
        }
        self.calls += 1;
        if task.checks {
            let flag = self.b.ptr_load(self.flag, Type::I64);
            let zero = self.b.int(Type::I64, 0);
            let failed = self.b.cmpi(IntPredicate::Ne, flag, zero);
            let next = self.block();
            self.branch(failed, "^failed", &next);
            self.start(&next);
        }
        Ok(())
    }

    /// Leaves the clock's readings of a call that has just ended.
    fn mark_call(&mut self, marks: BufferId, begun: Val) {
        let ended = self.b.cycle_counter();
        let marks = self.address(marks);
        let spent = self.b.subi(ended, begun);
        let one = self.b.int(Type::I64, 1);
        let [runs, all, least, start] =
            [0, 1, 2, 3].map(|k| self.b.ptr_at(marks, 8 * (MARKS_PER_CALL * self.calls + k) as i64));
        for (place, more) in [(runs, one), (all, spent)] {
            let before = self.b.ptr_load(place, Type::I64);
            let after = self.b.addi(before, more);
            self.b.ptr_store(after, place);
        }
        // 0 says that none was read yet: both less one, it is the greatest unsigned number.
        let before = self.b.ptr_load(least, Type::I64);
        let [spent_less, before_less] = [spent, before].map(|ticks| self.b.subi(ticks, one));
        let shorter = self.b.cmpi(IntPredicate::Ult, spent_less, before_less);
        let after = self.b.select(shorter, spent, before);
        self.b.ptr_store(after, least);
        self.b.ptr_store(begun, start);
    }

    /// Leaves the symbols' values behind the calls' marks.
    fn mark_symbols(&mut self) {
        let Some(marks) = self.program.marks else { return };
        let marks = self.address(marks);
        for k in 0..self.symbols.len() {
            let from = self.b.ptr_at(self.symbol_values, 8 * k as i64);
            let value = self.b.ptr_load(from, Type::I64);
            let to = self.b.ptr_at(marks, 8 * (MARKS_PER_CALL * self.calls + k) as i64);
            self.b.ptr_store(value, to);
        }
    }

    /// For writing these expressions: the symbols that they mention.
    fn indices<'d>(&mut self, dims: impl Iterator<Item = &'d Dim> + Clone) -> Result<Indices, NativeError> {
        let mut indices = Indices::new(self.program.scope.clone());
        let mentions = |root: &Symbol| dims.clone().any(|d| d.mentions(&|s| s == root));
        let mentioned: Vec<Symbol> = self.symbols.iter().filter(|root| mentions(root)).cloned().collect();
        for symbol in mentioned {
            let value = self.symbol(&symbol)?;
            let value = self.b.to_index(value);
            indices.bind(&symbol, value);
        }
        Ok(indices)
    }

    /// Calls a task over its whole range, on several threads where that pays.
    fn call_range(&mut self, task: &Task, range: &Range) -> Result<(), NativeError> {
        let total = &range.extent * &range.cost;
        let mut indices = self.indices([&total, &range.extent].into_iter())?;
        let extent = indices.dim(&mut self.b, &range.extent)?;
        let extent = self.b.index_to_i64(extent);
        // For vector loops the cost is that of `multiple` iterations.
        let small = total.as_int().is_some_and(|t| t / range.multiple.max(1) < 2 * PARALLEL_COST);
        if small {
            let zero = self.b.int(Type::I64, 0);
            self.b.call(&task.name, &[self.words, zero, extent], &[]);
            return Ok(());
        }
        let cost = Dim::max_of([range.cost.clone(), Dim::ONE]);
        let grain = Dim::max_of([Dim::int(PARALLEL_COST).floor_div(&cost), Dim::ONE]);
        let grain = grain * range.multiple;
        let grain = indices.dim(&mut self.b, &grain)?;
        let grain = self.b.index_to_i64(grain);
        let pointer = self.b.function_pointer(&task.name, &[Type::Ptr, Type::I64, Type::I64], &[]);
        self.b.call(PARALLEL_FOR, &[self.call, pointer, self.words, extent, grain], &[]);
        Ok(())
    }
}
