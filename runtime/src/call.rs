//! One run of the model: the caller's pointers, the entry function, what it reported.

use core::ffi::{c_char, c_void};
use core::ptr;

use pt2c_abi::{BufferKind, DType, LEAF_LATE, Leaf, LeafKind, NOT_LATE, Status};

use crate::bind::{elements, shape_range};
use crate::context::Context;
use crate::view::items;

/// Size of an output dimension, or capacity of an output, that only the run will tell.
pub const UNKNOWN: i64 = -1;

/// The first words of a tensor in the output struct, before its shape.
const DATA: usize = 0;
const CAPACITY: usize = 1;

impl Context {
    /// Runs the model.
    ///
    /// # Safety
    /// The words are the typed structs of this model's header, whose non-null pointers are valid for the sizes they
    /// state.
    pub unsafe fn run(&mut self, inputs: *const i64, outputs: *mut i64) -> Result<(), Status> {
        let view = self.view;
        // SAFETY: the structs hold as many words as the descriptor says.
        let (inputs, outputs) = unsafe { self.structs(inputs, outputs)? };
        self.bind(inputs)?;
        self.fill_shapes(outputs);
        self.check_inputs_data(inputs)?;
        self.check_outputs_data(outputs)?;
        for &index in self.io.iter() {
            let Some(buffer) = view.buffers().get(index as usize) else {
                continue;
            };
            let (leaves, words) = match buffer.kind == BufferKind::Input as u32 {
                true => (view.inputs(), inputs),
                false => (view.outputs(), &outputs[..]),
            };
            if let (Some(leaf), Some(value)) = (leaves.get(buffer.index as usize), self.values.get_mut(index as usize))
                && buffer.late == NOT_LATE
            {
                *value = pointer(words, leaf);
            }
        }
        let Some(main) = view.model().main else {
            self.message.text("the library holds no program");
            return Err(Status::Argument);
        };
        self.outputs = outputs.as_mut_ptr();
        let (values, symbols, call) = (self.values.as_ptr(), self.shapes.symbols.as_mut_ptr(), self.call());
        let context = ptr::from_mut(self);
        // SAFETY: values and symbols are those that the program was compiled for; every size and capacity was checked.
        // While the program runs, only `bind` uses the context, through this pointer.
        let code = unsafe {
            (*call).context = context;
            main(values, symbols, call.cast())
        };
        if code != 0 && !self.message.is_empty() {
            // `bind` refused a value and said why.
            return Err(self.refused);
        }
        if let Some((id, value)) = self.take_failure() {
            let text =
                view.messages().get(id as usize).copied().unwrap_or(c"a check inside the model failed ({})".as_ptr());
            // SAFETY: the descriptor's strings are zero-terminated.
            unsafe { self.message.c_with(text, value) };
            return Err(Status::Data);
        }
        if code != 0 {
            self.message.text("the program ended with code ").int(i64::from(code));
            return Err(Status::Data);
        }
        self.finish_outputs(outputs)
    }

    /// Fills shapes and capacities of the outputs for the sizes in the inputs; no pointer is read.
    ///
    /// # Safety
    /// As [`Context::run`].
    pub unsafe fn output_shapes(&mut self, inputs: *const i64, outputs: *mut i64) -> Result<(), Status> {
        // SAFETY: by the caller's promise.
        let (inputs, outputs) = unsafe { self.structs(inputs, outputs)? };
        self.bind(inputs)?;
        self.fill_shapes(outputs);
        for (leaf, &count) in self.view.outputs().iter().zip(self.shapes.output_elements.iter()) {
            if let Some(capacity) = outputs.get_mut(leaf.first_word as usize + CAPACITY).filter(|_| is_tensor(leaf)) {
                *capacity = i64::try_from(count).unwrap_or(UNKNOWN);
            }
        }
        Ok(())
    }

    /// Makes the arena large enough for the sizes in the inputs; no pointer is read.
    ///
    /// # Safety
    /// As [`Context::run`].
    pub unsafe fn reserve(&mut self, inputs: *const i64) -> Result<(), Status> {
        // The outputs are not looked at.
        let mut none = 0;
        // SAFETY: by the caller's promise.
        let (inputs, _) = unsafe { self.structs(inputs, &raw mut none)? };
        let fixed = core::mem::replace(&mut self.no_grow, false);
        let result = self.bind(inputs);
        self.no_grow = fixed;
        result
    }

    /// The caller's structs as words.
    ///
    /// # Safety
    /// Non-null pointers are valid for the words that the descriptor states (`outputs` may have fewer if it is not
    /// used).
    unsafe fn structs<'a>(
        &mut self,
        inputs: *const i64,
        outputs: *mut i64,
    ) -> Result<(&'a [i64], &'a mut [i64]), Status> {
        let model = self.view.model();
        if inputs.is_null() && model.input_words > 0 {
            self.message.text("the inputs are NULL");
            return Err(Status::Argument);
        }
        if outputs.is_null() && model.output_words > 0 {
            self.message.text("the outputs are NULL");
            return Err(Status::Argument);
        }
        // SAFETY: by the caller's promise.
        unsafe {
            let outputs = match model.output_words {
                0 => &mut [],
                count => core::slice::from_raw_parts_mut(outputs, count as usize),
            };
            Ok((items(inputs, model.input_words), outputs))
        }
    }

    fn fill_shapes(&self, outputs: &mut [i64]) {
        for leaf in self.view.outputs().iter().filter(|leaf| is_tensor(leaf)) {
            let range = shape_range(leaf, true);
            if let (Some(to), Some(from)) = (outputs.get_mut(range.clone()), self.shapes.output_words.get(range)) {
                to.copy_from_slice(from);
            }
        }
    }

    fn check_inputs_data(&mut self, inputs: &[i64]) -> Result<(), Status> {
        for (index, leaf) in self.view.inputs().iter().enumerate().filter(|(_, leaf)| is_tensor(leaf)) {
            let count = self.shapes.input_elements.get(index).copied().unwrap_or(0);
            self.check_pointer("input \"", leaf, pointer(inputs, leaf), count)?;
        }
        Ok(())
    }

    fn check_outputs_data(&mut self, outputs: &[i64]) -> Result<(), Status> {
        for (index, leaf) in self.view.outputs().iter().enumerate().filter(|(_, leaf)| is_tensor(leaf)) {
            if leaf.flags & LEAF_LATE == 0 {
                let count = self.shapes.output_elements.get(index).copied().unwrap_or(0);
                self.check_output(leaf, outputs, count)?;
            }
        }
        Ok(())
    }

    /// Whether an output has room for `count` elements.
    fn check_output(&mut self, leaf: &Leaf, outputs: &[i64], count: u64) -> Result<(), Status> {
        let capacity = outputs.get(leaf.first_word as usize + CAPACITY).copied().unwrap_or(0);
        if count == 0 || u64::try_from(capacity).is_ok_and(|capacity| capacity >= count) {
            return self.check_pointer("output \"", leaf, pointer(outputs, leaf), count);
        }
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe { self.message.text("output \"").c(leaf.path).text("\": capacity is ").int(capacity).text(", but ") };
        self.message.unsigned(count).text(if count == 1 { " element is" } else { " elements are" });
        self.message.text(" needed (shape [");
        for (dim, &size) in outputs.get(shape_range(leaf, true)).unwrap_or(&[]).iter().enumerate() {
            self.message.text(if dim == 0 { "" } else { ", " }).int(size);
        }
        self.message.text("])");
        Err(Status::Capacity)
    }

    fn check_pointer(&mut self, kind: &str, leaf: &Leaf, data: *mut c_void, count: u64) -> Result<(), Status> {
        if count == 0 {
            return Ok(());
        }
        let dtype = DType::from_code(leaf.dtype).unwrap_or(DType::U8);
        if !data.is_null() && data as u64 & (dtype.alignment() - 1) == 0 {
            return Ok(());
        }
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe { self.message.text(kind).c(leaf.path).text("\": data ") };
        if data.is_null() {
            self.message.text("is NULL, but ").unsigned(count);
            self.message.text(if count == 1 { " element is" } else { " elements are" }).text(" expected");
        } else {
            self.message.text("is not aligned: its address must be a multiple of ").unsigned(dtype.alignment());
            self.message.text(" (").text(dtype.name()).text(")");
        }
        Err(Status::Argument)
    }

    /// Integer outputs, and tensors whose size the run computed.
    fn finish_outputs(&mut self, outputs: &mut [i64]) -> Result<(), Status> {
        let view = self.view;
        for leaf in view.outputs() {
            if !is_tensor(leaf) {
                let Some(value) = view.evaluate(leaf.value, &self.shapes.symbols) else {
                    return Err(self.out_of_range(leaf));
                };
                if let Some(word) = outputs.get_mut(leaf.first_word as usize) {
                    *word = value;
                }
                continue;
            }
        }
        Ok(())
    }

    /// The outputs whose sizes are known with this symbol: fills their shapes, checks their capacities, places the
    /// program's buffers.
    pub fn place_outputs(&mut self, symbol: u32) -> Result<(), Status> {
        let view = self.view;
        if self.outputs.is_null() {
            return Ok(());
        }
        // SAFETY: during a run this is the caller's struct, of as many words as the descriptor says; nothing else
        // looks at it meanwhile.
        let outputs =
            unsafe { core::slice::from_raw_parts_mut(self.outputs, view.model().output_words as usize) };
        let late = |leaf: &&Leaf| leaf.flags & LEAF_LATE != 0 && leaf.late == symbol;
        for leaf in view.outputs().iter().filter(late) {
            for (at, size) in shape_range(leaf, true).zip(view.dims(leaf)) {
                let value = view.evaluate(size.program, &self.shapes.symbols).unwrap_or(UNKNOWN);
                match outputs.get_mut(at) {
                    Some(word) if value >= 0 => *word = value,
                    _ => return Err(self.out_of_range(leaf)),
                }
            }
        }
        for leaf in view.outputs().iter().filter(late) {
            let count = elements(outputs.get(shape_range(leaf, true)).unwrap_or(&[]), leaf.dtype);
            let Some(count) = count else {
                return Err(self.out_of_range(leaf));
            };
            self.check_output(leaf, outputs, count)?;
        }
        for &index in self.io.iter() {
            let Some(buffer) = view.buffers().get(index as usize).filter(|buffer| buffer.late == symbol) else {
                continue;
            };
            if buffer.kind == BufferKind::Output as u32
                && let (Some(leaf), Some(value)) =
                    (view.outputs().get(buffer.index as usize), self.values.get_mut(index as usize))
            {
                *value = pointer(outputs, leaf);
            }
        }
        Ok(())
    }

    fn out_of_range(&mut self, leaf: &Leaf) -> Status {
        // SAFETY: the descriptor's strings are zero-terminated.
        unsafe { self.message.text("output \"").c(leaf.path).text("\": the computed size is out of range") };
        Status::Data
    }

    /// The context's message.
    pub fn error(&self) -> *const c_char {
        self.message.as_ptr()
    }
}

fn is_tensor(leaf: &Leaf) -> bool {
    leaf.kind == LeafKind::Tensor as u32
}

/// The data pointer of a leaf.
fn pointer(words: &[i64], leaf: &Leaf) -> *mut c_void {
    let address = words.get(leaf.first_word as usize + DATA).copied().unwrap_or(0);
    ptr::with_exposed_provenance_mut(address as usize)
}
