//! What a caller chooses when it creates a context.

use core::ffi::c_char;

/// The fixed part of a header's `NAME_options`. One `int64_t` for each of [`crate::Model::bindings`] but the computed
/// ones follows: the greatest value of that symbol that the arena shall be able to serve without growing (0 = no
/// statement).
#[repr(C)]
#[derive(Debug)]
pub struct Options {
    /// Bytes of the whole struct, the words behind it included: tells a header of another build from the right one.
    pub size: u64,
    /// Threads that a call uses, the caller's among them; 0 = one for each CPU that affinity mask and cgroup allow.
    pub threads: i32,
    /// Non-zero: a call that needs a larger arena fails instead of growing it.
    pub no_grow: i32,
    /// Non-zero: read the whole weights file at creation and compare its hash.
    pub verify_weights: i32,
    pub reserved: i32,
    /// Path of the weights file, used where the weights are not embedded; null = the default name in the current
    /// folder.
    pub weights_file: *const c_char,
}

const _: () = assert!(core::mem::size_of::<Options>() == 32);

/// What every call returns; 0 is success. The codes are part of the ABI.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok = 0,
    /// A null or misaligned pointer, a size that breaks a rule, an unusable option.
    Argument = 1,
    /// An output's capacity is too small.
    Capacity = 2,
    /// No memory, or the arena would have to grow and must not.
    Memory = 3,
    /// The weights file is missing, damaged or belongs to another library.
    Weights = 4,
    /// A check inside the program failed on the data (an index out of range, a runtime assertion).
    Data = 5,
    /// A thread could not be created.
    Threads = 6,
    /// The machine lacks instructions that the code needs.
    Cpu = 7,
}

impl Status {
    /// All of them, in the order of their codes: the name in C (after the prefix) and what it means.
    pub const ALL: &'static [(Status, &'static str, &'static str)] = &[
        (Status::Ok, "OK", "success"),
        (
            Status::Argument,
            "ERROR_ARGUMENT",
            "a null or misaligned pointer, a size that breaks a rule, an unusable option",
        ),
        (Status::Capacity, "ERROR_CAPACITY", "an output's capacity is too small; its shape says what is needed"),
        (Status::Memory, "ERROR_MEMORY", "no memory, or the arena would have to grow and no_grow is set"),
        (Status::Weights, "ERROR_WEIGHTS", "the weights file is missing, damaged or belongs to another library"),
        (Status::Data, "ERROR_DATA", "a check inside the model failed on the data (for example an index out of range)"),
        (Status::Threads, "ERROR_THREADS", "a thread could not be created"),
        (Status::Cpu, "ERROR_CPU", "this machine lacks instructions that the library was compiled for"),
    ];
}
