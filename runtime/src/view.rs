//! The descriptor's arrays as slices, and its programs evaluated.

use core::ffi::{CStr, c_char};
use core::slice;

use pt2c_abi::{Binding, Buffer, Constraint, Leaf, Model, Program, Size, State, Symbol, evaluate};

/// `count` items from `start`; empty for null.
///
/// # Safety
/// `start` is null or points to `count` values that live and do not change for `'a`.
pub unsafe fn items<'a, T>(start: *const T, count: u64) -> &'a [T] {
    if start.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { slice::from_raw_parts(start, count as usize) }
}

/// Read access to a model.
#[derive(Clone, Copy)]
pub struct View(&'static Model);

macro_rules! arrays {
    ($($name:ident: $type:ty, $field:ident, $count:ident;)*) => {
        $(pub fn $name(self) -> &'static [$type] {
            // SAFETY: the compiler wrote the descriptor; its arrays are read-only data of the stated length.
            unsafe { items(self.0.$field, self.0.$count) }
        })*
    };
}

impl View {
    pub fn new(model: &'static Model) -> View {
        View(model)
    }

    pub fn model(self) -> &'static Model {
        self.0
    }

    arrays! {
        inputs: Leaf, inputs, input_count;
        outputs: Leaf, outputs, output_count;
        symbols: Symbol, symbols, symbol_count;
        bindings: Binding, bindings, binding_count;
        constraints: Constraint, constraints, constraint_count;
        states: State, states, state_count;
        buffers: Buffer, buffers, buffer_count;
        messages: *const c_char, messages, message_count;
        words: i64, programs, program_words;
    }

    pub fn dims(self, leaf: &Leaf) -> &'static [Size] {
        // SAFETY: as above.
        unsafe { items(leaf.dims, u64::from(leaf.rank)) }
    }

    /// The words of a program; empty for an absent one.
    pub fn program(self, program: Program) -> &'static [i64] {
        let start = program.start as usize;
        self.words().get(start..start + program.length as usize).unwrap_or(&[])
    }

    /// `None` if the value is undefined: an overflow or a division by zero.
    pub fn evaluate(self, program: Program, symbols: &[i64]) -> Option<i64> {
        evaluate(self.program(program), symbols)
    }
}

/// Whether a text of the descriptor is a plain number.
///
/// # Safety
/// `text` ends in a zero byte.
pub unsafe fn is_number(text: *const c_char) -> bool {
    // SAFETY: by the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    bytes.iter().all(|byte| byte.is_ascii_digit())
}
