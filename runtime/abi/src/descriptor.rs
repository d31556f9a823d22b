//! The model descriptor: read-only data in the compiled object that says everything a caller or the runtime has to
//! know.
//!
//! All structs are `repr(C)` with members of 4 or 8 bytes in an order that leaves no padding, so that the compiler can
//! write them member by member. The generated header documents the same structs for C callers that drive any library
//! without its typed functions. Strings are UTF-8 and end in a zero byte.
//!
//! The typed `NAME_inputs` and `NAME_outputs` structs of a header consist of 8-byte words only (pointers and
//! `int64_t`), so the runtime reads both as arrays of words: an input tensor is `data, shape[0..rank]`, an output
//! tensor is
//! `data, capacity, shape[0..rank]`, an integer leaf is one word. [`Leaf::first_word`] says where each leaf begins.

use core::ffi::{c_char, c_void};

/// "pt2cmodl", the first eight bytes of a [`Model`].
pub const MODEL_MAGIC: u64 = u64::from_le_bytes(*b"pt2cmodl");

/// A size or a rule: `length` words from `start` in [`Model::programs`] (see [`crate::program`]); length 0 = absent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Program {
    pub start: u32,
    pub length: u32,
}

/// One dimension of a leaf.
#[repr(C)]
#[derive(Debug)]
pub struct Size {
    /// Its value from the symbols.
    pub program: Program,
    /// The formula as text: `s0`, `2*s0 + 1`, `1024`.
    pub text: *const c_char,
    /// Least value that is ever legal (inclusive).
    pub min: i64,
    /// Greatest value that is ever legal (inclusive); `i64::MAX` = no bound.
    pub max: i64,
}

/// What a leaf holds.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    /// A dense row-major tensor.
    Tensor = 0,
    /// An `int64_t` passed by value (a symbolic int of the exported program).
    Int = 1,
}

/// The program writes into this input.
pub const LEAF_MUTATED: u32 = 1;
/// The size of this output is known only during the run: when the computed symbol [`Leaf::late`] gets its value.
pub const LEAF_LATE: u32 = 2;

/// One input or output of the call.
#[repr(C)]
#[derive(Debug)]
pub struct Leaf {
    /// The member's name in the typed struct, a C identifier.
    pub name: *const c_char,
    /// The leaf as PyTorch names it: argument name and path (`batch["ids"]`).
    pub path: *const c_char,
    /// A [`LeafKind`].
    pub kind: u32,
    /// A [`DType`]; `I64` for an integer leaf.
    pub dtype: u32,
    /// Number of dimensions; 0 for an integer leaf.
    pub rank: u32,
    /// `LEAF_…` bits.
    pub flags: u32,
    /// Position among the flattened leaves of the exported program (constants baked into the program are counted too).
    pub position: u32,
    /// First 8-byte word of the leaf in the typed struct.
    pub first_word: u32,
    /// For a late output: the index of the last symbol that its size needs.
    pub late: u32,
    pub reserved: u32,
    /// `rank` sizes.
    pub dims: *const Size,
    /// For an integer output: its value from the symbols.
    pub value: Program,
    /// For a late output: the greatest number of elements that it can have, from the symbols of the inputs; absent = no
    /// bound is known.
    pub most: Program,
}

/// How a symbol gets its value.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolSource {
    /// From dimension `dim` of tensor input `input`: size = scale · symbol + offset.
    Dimension = 0,
    /// From integer input `input`: value = scale · symbol + offset.
    Int = 1,
    /// The program computes it during the run (an unbacked symbol) and tells the runtime.
    Computed = 2,
}

/// One root symbol.
#[repr(C)]
#[derive(Debug)]
pub struct Symbol {
    pub name: *const c_char,
    /// Inclusive range, checked at the call.
    pub min: i64,
    pub max: i64,
}

/// The rule that gives a symbol its value. Bindings run in order: an offset may use the symbols bound before.
#[repr(C)]
#[derive(Debug)]
pub struct Binding {
    /// Index of the symbol.
    pub symbol: u32,
    /// A [`SymbolSource`].
    pub source: u32,
    pub input: u32,
    pub dim: u32,
    /// Never 0.
    pub scale: i64,
    /// Added to scale · symbol; absent = 0. For a computed symbol: bytes of the arena of the buffers whose sizes it
    /// decides.
    pub offset: Program,
}

/// `Constraint::dim` of a rule about an integer input.
pub const NO_DIM: u32 = u32::MAX;

/// [`Constraint::late`] of a rule about inputs, [`Buffer::late`] of a buffer whose size the inputs decide.
pub const NOT_LATE: u32 = u32::MAX;

/// A rule over the symbols that every call must satisfy.
#[repr(C)]
#[derive(Debug)]
pub struct Constraint {
    /// Non-zero = satisfied.
    pub program: Program,
    /// The input that the message names.
    pub input: u32,
    /// Its dimension, or [`NO_DIM`].
    pub dim: u32,
    /// Follows "is N, but " in the message: `must be at least 2 (s0 >= 2)`.
    pub text: *const c_char,
    /// The computed symbol after which the rule is checked, or [`NOT_LATE`]: at the entry.
    pub late: u32,
    pub reserved: u32,
}

/// Where a buffer of the program lives.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// The data of input `index`.
    Input = 0,
    /// The data of output `index`.
    Output = 1,
    /// `offset` bytes into the context's arena.
    Arena = 2,
    /// State buffer `index`.
    State = 3,
    /// `offset` bytes into the weights.
    Weights = 4,
}

/// One entry of the `values` array that the model's entry function receives.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// A [`BufferKind`].
    pub kind: u32,
    pub index: u32,
    /// Bytes from the start of arena or weights.
    pub offset: Program,
    /// Bytes that the program uses of it.
    pub size: Program,
    /// The computed symbol that decides the size last, in whose arena the buffer lies, or [`NOT_LATE`].
    pub late: u32,
    pub reserved: u32,
}

/// `State::initial` of a state that starts as zeros.
pub const ZERO_INITIAL: u64 = u64::MAX;

/// A mutable buffer that lives in the context and keeps its content from call to call.
#[repr(C)]
#[derive(Debug)]
pub struct State {
    /// A C identifier.
    pub name: *const c_char,
    /// The buffer's qualified name in the PyTorch module.
    pub path: *const c_char,
    /// A [`DType`].
    pub dtype: u32,
    pub rank: u32,
    /// `rank` constant sizes.
    pub shape: *const i64,
    /// Bytes.
    pub size: u64,
    /// Bytes from the start of the context's state block, a multiple of [`crate::ALIGNMENT`].
    pub offset: u64,
    /// Offset of the initial content in the weights, or [`ZERO_INITIAL`].
    pub initial: u64,
}

/// The function that the compiler generates: runs the whole program.
///
/// `values[i]` is the base address of buffer `i`; `symbols` holds the values of the symbols. `bind` changes both: it
/// gives a computed symbol its value and places the buffers whose sizes are known then. `call` is passed on to
/// `parallel_for`, `bind` and `fail`. Returns 0, or anything else after a `fail`.
pub type MainFn = unsafe extern "C" fn(values: *const *mut c_void, symbols: *mut i64, call: *mut c_void) -> i32;

/// A task that `parallel_for` divides: handles the indices `begin..end`.
pub type TaskFn = unsafe extern "C" fn(args: *mut *mut c_void, begin: i64, end: i64);

/// The model.
#[repr(C)]
#[derive(Debug)]
pub struct Model {
    /// [`MODEL_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_VERSION`].
    pub abi_version: u32,
    /// Bytes of this struct.
    pub struct_size: u32,
    /// The prefix of every name in the library.
    pub name: *const c_char,
    /// The target CPU as text, for messages (`x86-64-v4`).
    pub cpu: *const c_char,
    /// [`crate::cpu`] bits that the code needs.
    pub cpu_features: u64,
    pub inputs: *const Leaf,
    pub input_count: u64,
    pub outputs: *const Leaf,
    pub output_count: u64,
    pub symbols: *const Symbol,
    pub symbol_count: u64,
    /// One for each symbol.
    pub bindings: *const Binding,
    pub binding_count: u64,
    pub constraints: *const Constraint,
    pub constraint_count: u64,
    pub states: *const State,
    pub state_count: u64,
    /// Bytes of the context's state block.
    pub state_size: u64,
    pub buffers: *const Buffer,
    pub buffer_count: u64,
    /// Texts of the failures that the program can report while it runs; `{}` stands for the value.
    pub messages: *const *const c_char,
    pub message_count: u64,
    /// The pool of all programs.
    pub programs: *const i64,
    pub program_words: u64,
    /// Bytes of the arena.
    pub arena_size: Program,
    /// 8-byte words of the typed input struct.
    pub input_words: u64,
    /// 8-byte words of the typed output struct.
    pub output_words: u64,
    /// The embedded weights; null when they are in a file.
    pub weights: *const u8,
    /// Bytes.
    pub weights_size: u64,
    /// [`crate::hash::hash`] of the weights.
    pub weights_hash: u64,
    /// Default file name of the weights; null when they are embedded.
    pub weights_file: *const c_char,
    pub main: Option<MainFn>,
}

macro_rules! dtypes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $size:literal, $text:literal;)*) => {
        /// Element types. The codes are part of the ABI.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DType { $($(#[$doc])* $name = $code,)* }

        impl DType {
            /// All element types, in the order of their codes.
            pub const ALL: &'static [DType] = &[$(DType::$name),*];

            /// The type with this code.
            pub const fn from_code(code: u32) -> Option<DType> {
                match code { $($code => Some(DType::$name),)* _ => None }
            }

            /// Bytes of one element.
            pub const fn size(self) -> u64 {
                match self { $(DType::$name => $size,)* }
            }

            /// The type that PyTorch calls so (without the `torch.`).
            pub fn from_name(name: &str) -> Option<DType> {
                match name { $($text => Some(DType::$name),)* _ => None }
            }

            /// PyTorch's name without the `torch.`.
            pub const fn name(self) -> &'static str {
                match self { $(DType::$name => $text,)* }
            }
        }
    };
}

dtypes! {
    /// One byte, 0 or 1.
    Bool = 0, 1, "bool";
    U8 = 1, 1, "uint8";
    I8 = 2, 1, "int8";
    U16 = 3, 2, "uint16";
    I16 = 4, 2, "int16";
    U32 = 5, 4, "uint32";
    I32 = 6, 4, "int32";
    U64 = 7, 8, "uint64";
    I64 = 8, 8, "int64";
    F16 = 9, 2, "float16";
    BF16 = 10, 2, "bfloat16";
    F32 = 11, 4, "float32";
    F64 = 12, 8, "float64";
    /// Pair of float16: real, imaginary.
    C32 = 13, 4, "complex32";
    C64 = 14, 8, "complex64";
    C128 = 15, 16, "complex128";
    F8E4M3FN = 16, 1, "float8_e4m3fn";
    F8E5M2 = 17, 1, "float8_e5m2";
    F8E4M3FNUZ = 18, 1, "float8_e4m3fnuz";
    F8E5M2FNUZ = 19, 1, "float8_e5m2fnuz";
    F8E8M0FNU = 20, 1, "float8_e8m0fnu";
}

impl DType {
    /// The address of the data must be a multiple of this many bytes (complex: that of one part).
    pub const fn alignment(self) -> u64 {
        match self {
            DType::C32 => 2,
            DType::C64 => 4,
            DType::C128 => 8,
            other => other.size(),
        }
    }
}

// The compiler writes these structs member by member: a hidden padding byte would shift everything after it.
const _: () = {
    use core::mem::size_of;
    assert!(size_of::<Program>() == 8);
    assert!(size_of::<Size>() == 32);
    assert!(size_of::<Leaf>() == 72);
    assert!(size_of::<Symbol>() == 24);
    assert!(size_of::<Binding>() == 32);
    assert!(size_of::<Constraint>() == 32);
    assert!(size_of::<Buffer>() == 32);
    assert!(size_of::<State>() == 56);
    assert!(size_of::<Model>() == 256);
};
