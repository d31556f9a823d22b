//! From the sizes of a call to everything that depends on them: symbols, rules, output shapes, buffer addresses, arena.
//!
//! The result is kept: a call whose sizes equal those of the call before does none of this again.

use core::ffi::c_void;

use pt2c_abi::{
    Binding, BufferKind, Constraint, DType, LEAF_LATE, Leaf, LeafKind, NO_DIM, NOT_LATE, Op, Program, Size, Status,
    SymbolSource,
};

use crate::call::UNKNOWN;
use crate::context::Context;
use crate::memory::{Array, Block};
use crate::message::Message;
use crate::view::{View, is_number};

/// The sizes of the last call and what followed from them.
pub struct Shapes {
    /// The rest is valid.
    pub valid: bool,
    pub symbols: Array<i64>,
    /// The input struct of the last call; the words that are pointers are not compared.
    last: Array<i64>,
    /// Laid out as the output struct; only the words of the shapes are used.
    pub output_words: Array<i64>,
    /// Elements of each input.
    pub input_elements: Array<u64>,
    /// Elements of each output; of a late one the greatest possible number, `u64::MAX` if none is known.
    pub output_elements: Array<u64>,
}

impl Shapes {
    pub fn new(symbols: u64, input_words: u64, output_words: u64, inputs: u64, outputs: u64) -> Option<Shapes> {
        // SAFETY: zero is a valid integer.
        unsafe {
            Some(Shapes {
                valid: false,
                symbols: Array::zeroed(symbols as usize)?,
                last: Array::zeroed(input_words as usize)?,
                output_words: Array::zeroed(output_words as usize)?,
                input_elements: Array::zeroed(inputs as usize)?,
                output_elements: Array::zeroed(outputs as usize)?,
            })
        }
    }
}

/// The words of a leaf's shape in its struct (for an integer leaf: its value).
pub fn shape_range(leaf: &Leaf, output: bool) -> core::ops::Range<usize> {
    let first = leaf.first_word as usize;
    if leaf.kind == LeafKind::Int as u32 {
        return first..first + 1;
    }
    // data, and in outputs capacity, come first.
    let start = first + 1 + usize::from(output);
    start..start + leaf.rank as usize
}

/// The words of a leaf's shape; empty where the struct is too short, which the compiler never writes.
fn shape<'a>(words: &'a [i64], leaf: &Leaf, output: bool) -> &'a [i64] {
    words.get(shape_range(leaf, output)).unwrap_or(&[])
}

/// Number of elements; `None` if their bytes cannot be addressed.
pub fn elements(shape: &[i64], dtype: u32) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let size = DType::from_code(dtype).map_or(1, DType::size);
    let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(u64::try_from(size).ok()?))?;
    count.checked_mul(size).filter(|&bytes| bytes <= i64::MAX as u64)?;
    Some(count)
}

impl Context {
    /// Makes `self.shapes`, `self.values` and the arena fit the sizes in the input struct.
    pub fn bind(&mut self, words: &[i64]) -> Result<(), Status> {
        if self.shapes.valid && self.same_sizes(words) {
            return Ok(());
        }
        self.shapes.valid = false;
        self.check_negative(words)?;
        self.bind_symbols(words)?;
        self.check_inputs(words)?;
        self.check_constraints(words)?;
        self.size_outputs()?;
        self.fit_arena()?;
        self.place_buffers(NOT_LATE)?;
        self.shapes.last.copy_from_slice(words);
        self.shapes.valid = true;
        Ok(())
    }

    fn same_sizes(&self, words: &[i64]) -> bool {
        self.view.inputs().iter().all(|leaf| shape(words, leaf, false) == shape(&self.shapes.last, leaf, false))
    }

    fn check_negative(&mut self, words: &[i64]) -> Result<(), Status> {
        for leaf in self.view.inputs().iter().filter(|leaf| leaf.kind == LeafKind::Tensor as u32) {
            let sizes = shape(words, leaf, false);
            if let Some((dim, &size)) = sizes.iter().enumerate().find(|(_, size)| **size < 0) {
                subject(&mut self.message, leaf, dim as u32, size).text("must not be negative");
                return Err(Status::Argument);
            }
        }
        Ok(())
    }

    /// Solves each symbol from the size that determines it.
    fn bind_symbols(&mut self, words: &[i64]) -> Result<(), Status> {
        let view = self.view;
        for binding in view.bindings() {
            let (Some(symbol), index) = (view.symbols().get(binding.symbol as usize), binding.symbol as usize) else {
                continue;
            };
            if binding.source == SymbolSource::Computed as u32 {
                if let Some(slot) = self.shapes.symbols.get_mut(index) {
                    *slot = symbol.min;
                }
                continue;
            }
            let Some((leaf, dim, size)) = source(view, binding, words) else {
                continue;
            };
            let offset = match binding.offset.length {
                0 => Some(0),
                _ => view.evaluate(binding.offset, &self.shapes.symbols),
            };
            let rest = offset.and_then(|offset| size.checked_sub(offset));
            let exact = rest.filter(|rest| rest.checked_rem(binding.scale) == Some(0));
            let Some(value) = exact.and_then(|rest| rest.checked_div(binding.scale)) else {
                let formula = formula(view, leaf, dim);
                let message = subject(&mut self.message, leaf, dim, size).text("must be ");
                // SAFETY: the descriptor's strings are zero-terminated.
                unsafe { message.c(formula).text(" with an integer ").c(symbol.name) };
                return Err(Status::Argument);
            };
            if let Some(slot) = self.shapes.symbols.get_mut(index) {
                *slot = value;
            }
            if value >= symbol.min && value <= symbol.max {
                continue;
            }
            let (bound, words, relation) =
                if value < symbol.min { (symbol.min, "at least ", " >= ") } else { (symbol.max, "at most ", " <= ") };
            let message = subject(&mut self.message, leaf, dim, size);
            // SAFETY: as above.
            unsafe {
                if binding.scale == 1 && binding.offset.length == 0 {
                    message.text("must be ").text(words).int(bound);
                    message.text(" (").c(symbol.name).text(relation).int(bound).text(")");
                } else {
                    message.text("must be ").c(formula(view, leaf, dim)).text(" with ").c(symbol.name);
                    message.text(relation).int(bound).text(" (here ").c(symbol.name).text(" = ").int(value).text(")");
                }
            }
            return Err(Status::Argument);
        }
        Ok(())
    }

    /// Compares every size with its formula and counts the elements.
    fn check_inputs(&mut self, words: &[i64]) -> Result<(), Status> {
        let view = self.view;
        for (index, leaf) in view.inputs().iter().enumerate() {
            let sizes = shape(words, leaf, false);
            if leaf.kind == LeafKind::Int as u32 {
                let given = sizes.first().copied().unwrap_or(0);
                if leaf.value.length > 0 {
                    match view.evaluate(leaf.value, &self.shapes.symbols) {
                        Some(value) if value == given => {}
                        Some(value) => {
                            subject(&mut self.message, leaf, NO_DIM, given).text("must be ").int(value);
                            return Err(Status::Argument);
                        }
                        None => return Err(self.unusable(leaf, NO_DIM, given)),
                    }
                }
                continue;
            }
            for (dim, (&given, size)) in sizes.iter().zip(view.dims(leaf)).enumerate() {
                match view.evaluate(size.program, &self.shapes.symbols) {
                    Some(value) if value == given => {}
                    Some(value) => {
                        self.differs(leaf, dim as u32, given, value, size);
                        return Err(Status::Argument);
                    }
                    None => return Err(self.unusable(leaf, dim as u32, given)),
                }
            }
            let Some(count) = elements(sizes, leaf.dtype) else {
                // SAFETY: the descriptor's strings are zero-terminated.
                unsafe {
                    self.message.text("input \"").c(leaf.path).text("\": its bytes cannot be counted in 63 bits")
                };
                return Err(Status::Argument);
            };
            if let Some(slot) = self.shapes.input_elements.get_mut(index) {
                *slot = count;
            }
        }
        Ok(())
    }

    /// Says that a size is not what its formula gives.
    fn differs(&mut self, leaf: &Leaf, dim: u32, given: i64, value: i64, size: &Size) {
        let message = subject(&mut self.message, leaf, dim, given).text("must be ").int(value);
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe {
            if is_number(size.text) {
                return;
            }
            message.text(" (").c(size.text);
        }
        self.explain(size.program);
        self.message.text(")");
    }

    /// Says that a size cannot even be computed.
    fn unusable(&mut self, leaf: &Leaf, dim: u32, given: i64) -> Status {
        let message = subject(&mut self.message, leaf, dim, given);
        message.text("a size that depends on it overflows or divides by zero");
        Status::Argument
    }

    /// Adds ", where s0 = 2 is dimension 0 of input "x"" for every symbol of a program.
    fn explain(&mut self, program: Program) {
        let view = self.view;
        let mut separator = ", where ";
        for (index, symbol) in view.symbols().iter().enumerate() {
            if !symbols_of(view.program(program)).any(|used| used as usize == index) {
                continue;
            }
            let value = self.shapes.symbols.get(index).copied().unwrap_or(0);
            // SAFETY: the descriptor's strings are zero-terminated.
            unsafe { self.message.text(separator).c(symbol.name).text(" = ").int(value) };
            separator = " and ";
            let binding = view.bindings().iter().find(|binding| binding.symbol as usize == index);
            let Some(binding) = binding.filter(|binding| binding.scale == 1 && binding.offset.length == 0) else {
                continue;
            };
            let Some(leaf) = view.inputs().get(binding.input as usize) else {
                continue;
            };
            // SAFETY: as above.
            unsafe {
                if binding.source == SymbolSource::Dimension as u32 {
                    self.message
                        .text(" is dimension ")
                        .unsigned(u64::from(binding.dim))
                        .text(" of input \"")
                        .c(leaf.path);
                    self.message.text("\"");
                } else if binding.source == SymbolSource::Int as u32 {
                    self.message.text(" is input \"").c(leaf.path).text("\"");
                }
            }
        }
    }

    fn check_constraints(&mut self, words: &[i64]) -> Result<(), Status> {
        let view = self.view;
        for constraint in view.constraints().iter().filter(|constraint| constraint.late == NOT_LATE) {
            if matches!(view.evaluate(constraint.program, &self.shapes.symbols), Some(value) if value != 0) {
                continue;
            }
            let Some(leaf) = view.inputs().get(constraint.input as usize) else {
                // A rule about no input: only its text can be told.
                // SAFETY: the descriptor's strings are zero-terminated.
                unsafe { self.message.text("the sizes of this call ").c(constraint.text) };
                return Err(Status::Argument);
            };
            let sizes = shape(words, leaf, false);
            let at = if constraint.dim == NO_DIM { 0 } else { constraint.dim as usize };
            let given = sizes.get(at).copied().unwrap_or(0);
            // SAFETY: as above.
            unsafe { subject(&mut self.message, leaf, constraint.dim, given).c(constraint.text) };
            let used =
                view.symbols().iter().enumerate().filter(|(index, _)| {
                    symbols_of(view.program(constraint.program)).any(|used| used as usize == *index)
                });
            if used.count() > 1 {
                self.explain(constraint.program);
            }
            return Err(Status::Argument);
        }
        Ok(())
    }

    fn size_outputs(&mut self) -> Result<(), Status> {
        let view = self.view;
        for (index, leaf) in view.outputs().iter().enumerate() {
            if leaf.kind == LeafKind::Int as u32 {
                continue;
            }
            for (at, size) in shape_range(leaf, true).zip(view.dims(leaf)) {
                let value = match is_late(view, size.program) {
                    true => Some(UNKNOWN),
                    false => view.evaluate(size.program, &self.shapes.symbols),
                };
                match value {
                    Some(value) if value >= UNKNOWN => {
                        if let Some(slot) = self.shapes.output_words.get_mut(at) {
                            *slot = value;
                        }
                    }
                    _ => return Err(self.output_too_large(leaf)),
                }
            }
            let count = if leaf.flags & LEAF_LATE != 0 {
                let most = view.evaluate(leaf.most, &self.shapes.symbols).and_then(|most| u64::try_from(most).ok());
                Some(most.unwrap_or(u64::MAX))
            } else {
                elements(shape(&self.shapes.output_words, leaf, true), leaf.dtype)
            };
            let Some(count) = count else {
                return Err(self.output_too_large(leaf));
            };
            if let Some(slot) = self.shapes.output_elements.get_mut(index) {
                *slot = count;
            }
        }
        Ok(())
    }

    fn output_too_large(&mut self, leaf: &Leaf) -> Status {
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe { self.message.text("output \"").c(leaf.path).text("\": its size does not fit into 63 bits") };
        Status::Argument
    }

    /// Grows the arena if this call needs more.
    fn fit_arena(&mut self) -> Result<(), Status> {
        let need = match self.view.evaluate(self.view.model().arena_size, &self.shapes.symbols) {
            Some(need) => need.max(0) as u64,
            None => {
                self.message.text("the memory that these sizes need does not fit into 63 bits");
                return Err(Status::Memory);
            }
        };
        if need <= self.arena.size() {
            return Ok(());
        }
        if self.no_grow {
            self.message.text("these sizes need an arena of ").unsigned(need).text(" bytes; the context has ");
            self.message
                .unsigned(self.arena.size())
                .text(" and must not grow (no_grow); reserve before, or state a capacity");
            return Err(Status::Memory);
        }
        self.grow(need)
    }

    /// Replaces the arena; its content is not kept, no value in it outlives a call.
    pub fn grow(&mut self, need: u64) -> Result<(), Status> {
        self.shapes.valid = false;
        self.arena = Block::EMPTY;
        self.arena = self.allocate_arena(need)?;
        Ok(())
    }

    /// Resolves the base address of every buffer that is not the caller's and is placed with this symbol.
    fn place_buffers(&mut self, late: u32) -> Result<(), Status> {
        let view = self.view;
        let (start, space) = self.late_arenas.get(late as usize).unwrap_or((self.arena.start(), self.arena.size()));
        for (buffer, value) in view.buffers().iter().zip(self.values.iter_mut()).filter(|(b, _)| b.late == late) {
            let evaluate = |program: Program| match program.length {
                0 => Some(0),
                _ => view.evaluate(program, &self.shapes.symbols).and_then(|value| u64::try_from(value).ok()),
            };
            if buffer.kind == BufferKind::Arena as u32 {
                let place = evaluate(buffer.offset).zip(evaluate(buffer.size));
                let end = place.and_then(|(offset, size)| offset.checked_add(size));
                let (Some((offset, _)), true) = (place, end.is_some_and(|end| end <= space)) else {
                    self.message.text("the library is inconsistent: a buffer does not fit into the arena");
                    return Err(Status::Memory);
                };
                // `wrapping_add`: the arena may be empty, then every buffer is.
                *value = start.wrapping_add(offset as usize).cast::<c_void>();
            } else if buffer.kind == BufferKind::State as u32 {
                *value = self.states.get(buffer.index as usize).map_or(core::ptr::null_mut(), |state| state.cast());
            } else if buffer.kind == BufferKind::Weights as u32 {
                let offset = evaluate(buffer.offset).unwrap_or(0);
                *value = self.weights.start().wrapping_add(offset as usize).cast_mut().cast();
            }
        }
        Ok(())
    }
}

impl Context {
    /// During a run: gives a computed symbol its value, checks what is stated of it, and places what it decides the size
    /// of: buffers in its arena, outputs in the caller's memory.
    pub fn bind_late(&mut self, symbol: u32, value: i64) -> Result<(), Status> {
        let view = self.view;
        let (Some(known), Some(slot)) =
            (view.symbols().get(symbol as usize), self.shapes.symbols.get_mut(symbol as usize))
        else {
            return Err(Status::Argument);
        };
        *slot = value;
        if value < known.min || value > known.max {
            let (bound, words) = if value < known.min { (known.min, "at least ") } else { (known.max, "at most ") };
            // SAFETY: the descriptor's strings are zero-terminated.
            unsafe { self.message.text("the model computed ").c(known.name) };
            self.message.text(" = ").int(value).text(", but it must be ").text(words).int(bound);
            return Err(Status::Data);
        }
        for constraint in view.constraints().iter().filter(|constraint| constraint.late == symbol) {
            self.check_late(constraint)?;
        }
        let mut need = 0;
        for binding in view.bindings().iter().filter(|binding| binding.symbol == symbol) {
            need = match view.evaluate(binding.offset, &self.shapes.symbols) {
                Some(bytes) => bytes.max(0) as u64,
                None if binding.offset.length == 0 => 0,
                None => {
                    self.message.text("the memory that the computed sizes need does not fit into 63 bits");
                    return Err(Status::Memory);
                }
            };
        }
        if self.late_arenas.get(symbol as usize).is_some_and(|(_, size)| need > size) {
            if self.no_grow {
                self.message.text("the computed sizes need an arena of ").unsigned(need);
                self.message.text(" bytes more, but the context must not grow (no_grow)");
                return Err(Status::Memory);
            }
            self.late_arenas.set(symbol as usize, Block::EMPTY);
            // Some more, so that slightly larger sizes find room as well.
            let Some(block) = Block::new(need.saturating_add(need / 4)) else {
                self.message.text("no memory for an arena of ").unsigned(need).text(" bytes");
                return Err(Status::Memory);
            };
            self.late_arenas.set(symbol as usize, block);
        }
        self.place_buffers(symbol)?;
        self.place_outputs(symbol)
    }

    /// Reports a rule about computed sizes that does not hold.
    fn check_late(&mut self, constraint: &Constraint) -> Result<(), Status> {
        let view = self.view;
        if matches!(view.evaluate(constraint.program, &self.shapes.symbols), Some(value) if value != 0) {
            return Ok(());
        }
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe { self.message.text("the sizes that the model computed ").c(constraint.text) };
        self.explain(constraint.program);
        Err(Status::Data)
    }
}

/// Starts a message: `input "x": dimension 2 is 1, but `.
fn subject<'a>(message: &'a mut Message, leaf: &Leaf, dim: u32, given: i64) -> &'a mut Message {
    // SAFETY: the descriptor's strings are zero-terminated.
    unsafe { message.text("input \"").c(leaf.path).text("\": ") };
    match dim {
        NO_DIM => message.text("its value"),
        _ => message.text("dimension ").unsigned(u64::from(dim)),
    };
    message.text(" is ").int(given).text(", but ")
}

/// The leaf, the dimension ([`NO_DIM`] for an integer) and the size that determine a symbol.
fn source<'a>(view: View, binding: &Binding, words: &[i64]) -> Option<(&'a Leaf, u32, i64)> {
    let leaf = view.inputs().get(binding.input as usize)?;
    let sizes = shape(words, leaf, false);
    if binding.source == SymbolSource::Int as u32 {
        return Some((leaf, NO_DIM, *sizes.first()?));
    }
    Some((leaf, binding.dim, *sizes.get(binding.dim as usize)?))
}

/// The text of a dimension's formula.
fn formula(view: View, leaf: &Leaf, dim: u32) -> *const core::ffi::c_char {
    view.dims(leaf).get(dim as usize).map_or(c"its formula".as_ptr(), |size| size.text)
}

/// The symbols in a program, with repetitions.
pub fn symbols_of(words: &[i64]) -> impl Iterator<Item = u32> {
    let mut rest = words;
    core::iter::from_fn(move || {
        while let Some((op, taken)) = Op::decode(rest) {
            rest = rest.get(taken..)?;
            if let Op::Symbol(index) = op {
                return Some(index);
            }
        }
        None
    })
}

/// Whether a program holds a symbol that only the run computes.
fn is_late(view: View, program: Program) -> bool {
    symbols_of(view.program(program)).any(|index| {
        let binding = view.bindings().iter().find(|binding| binding.symbol == index);
        binding.is_some_and(|binding| binding.source == SymbolSource::Computed as u32)
    })
}
