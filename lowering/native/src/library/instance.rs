//! One context of a loaded library, driven through its descriptor.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;
use std::{ptr, slice};

use pt2c_abi::{LEAF_MUTATED, Leaf, LeafKind, Model, Options, State, Status, SymbolSource};
use pt2c_ir::{DType, TensorData, TensorDataError};
use pt2c_library::{CompiledObject, dtype_from_code};

use crate::{Loaded, NativeError};

/// How a context is created.
#[derive(Clone, Debug, Default)]
pub struct InstanceOptions {
    /// Threads of one call; 0 = as many as affinity and cgroup allow.
    pub threads: u32,
    /// The weights file, for a library whose weights are not embedded.
    pub weights_file: Option<PathBuf>,
}

/// An argument or a result.
#[derive(Clone, Debug)]
pub enum Value {
    /// A tensor of any strides (results are dense).
    Tensor(TensorData),
    /// A symbolic integer.
    Int(i64),
}

/// What a call gave.
#[derive(Clone, Debug)]
pub struct Finished {
    /// In the order of [`Instance::outputs`].
    pub outputs: Vec<Value>,
    /// In the order of [`Instance::inputs`]: the new content of those that the program changes.
    pub inputs_after: Vec<Option<TensorData>>,
}

/// A leaf as the descriptor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafInfo {
    /// PyTorch's name.
    pub path: String,
    /// Position among the flattened leaves of the exported program, constants included.
    pub position: usize,
    /// `None` for an integer.
    pub dtype: Option<DType>,
    /// Number of dimensions.
    pub rank: usize,
    /// The program writes to this input.
    pub mutated: bool,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The library reports an error.
    #[error("{message}")]
    Library {
        /// Its status code.
        status: i32,
        /// Its message.
        message: String,
    },
    /// The objects could not be loaded.
    #[error(transparent)]
    Load(#[from] NativeError),
    /// The number of arguments is wrong.
    #[error("{given} inputs are given, the library takes {expected}")]
    Count {
        /// How many were given.
        given: usize,
        /// How many there are.
        expected: usize,
    },
    /// An argument is of another kind, type or rank.
    #[error("input \"{path}\": {message}")]
    Input {
        /// The leaf.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such state buffer, or the content does not fit it.
    #[error("state \"{path}\": {message}")]
    State {
        /// The buffer's qualified name.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A result that cannot be represented.
    #[error("an output is malformed: {0}")]
    Output(#[from] TensorDataError),
    /// A path with a zero byte, or a descriptor that is not ours.
    #[error("{0}")]
    Other(String),
}

type Create = unsafe extern "C" fn(*const c_void, *mut *mut c_void) -> i32;
type Destroy = unsafe extern "C" fn(*mut c_void);
type ErrorText = unsafe extern "C" fn(*const c_void) -> *const c_char;
type Call = unsafe extern "C" fn(*mut c_void, *const i64, *mut i64) -> i32;
type StateOf = unsafe extern "C" fn(*mut c_void, u64, *mut u64) -> *mut c_void;
type Describe = unsafe extern "C" fn() -> *const Model;

/// The library's functions.
#[derive(Clone, Copy)]
struct Api {
    destroy: Destroy,
    error: ErrorText,
    run: Call,
    output_shapes: Call,
    state: StateOf,
}

/// A loaded library with one context.
pub struct Instance {
    api: Api,
    model: &'static Model,
    context: *mut c_void,
    /// Keeps code, descriptor and weights mapped; dropped after the context.
    _loaded: Loaded,
}

// SAFETY: a context may be used by any thread, one at a time; `&mut self` of the calls ensures the latter.
unsafe impl Send for Instance {}

/// Memory for a tensor, aligned as any element type and any vector register.
struct Aligned {
    words: Vec<[u64; 8]>,
    start: usize,
    bytes: usize,
}

impl Aligned {
    fn new(bytes: usize) -> Aligned {
        // One word more than needed, so that an aligned place is inside.
        let words = vec![[0u64; 8]; bytes / 64 + 2];
        let start = words.as_ptr().cast::<u8>().align_offset(64);
        Aligned { words, start, bytes }
    }

    fn pointer(&mut self) -> *mut u8 {
        // SAFETY: `start` is below 64 and the vector at least 128 bytes long.
        unsafe { self.words.as_mut_ptr().cast::<u8>().add(self.start) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the vector holds `start + bytes` initialised bytes: `bytes / 64 + 2` words of 64.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast::<u8>().add(self.start), self.bytes) }
    }

    fn fill(&mut self, content: &[u8]) {
        let count = content.len().min(self.bytes);
        // SAFETY: the place is `bytes` long and does not overlap the argument, which is borrowed separately.
        unsafe { ptr::copy_nonoverlapping(content.as_ptr(), self.pointer(), count) };
    }
}

/// A string of the descriptor or of a context.
///
/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// An array of the descriptor.
///
/// # Safety
/// `start` is null or points to `count` items that live as long as the library is loaded.
unsafe fn array<'a, T>(start: *const T, count: u64) -> &'a [T] {
    // SAFETY: by the caller's promise.
    if start.is_null() { &[] } else { unsafe { slice::from_raw_parts(start, count as usize) } }
}

impl Instance {
    /// Loads the objects of the library `name` ([`pt2c_library::link_objects`]) and creates a context.
    ///
    /// # Errors
    /// If they do not link, or the library refuses (for example because of the machine or the weights file).
    pub fn new(objects: Vec<CompiledObject>, name: &str, options: &InstanceOptions) -> Result<Instance, RunError> {
        let objects: Vec<Vec<u8>> = objects.into_iter().map(|object| object.bytes).collect();
        let loaded = Loaded::new(&objects)?;
        drop(objects);
        let find = |function: &str| loaded.symbol(&format!("{name}_{function}"));
        // SAFETY: the runtime defines these functions with these signatures (`runtime/src/api.rs`).
        let (create, describe, api) = unsafe {
            (
                std::mem::transmute::<*const (), Create>(find("create")?),
                std::mem::transmute::<*const (), Describe>(find("model")?),
                Api {
                    destroy: std::mem::transmute::<*const (), Destroy>(find("destroy")?),
                    error: std::mem::transmute::<*const (), ErrorText>(find("error")?),
                    run: std::mem::transmute::<*const (), Call>(find("run")?),
                    output_shapes: std::mem::transmute::<*const (), Call>(find("output_shapes")?),
                    state: std::mem::transmute::<*const (), StateOf>(find("state")?),
                },
            )
        };
        // SAFETY: the function takes nothing and returns the address of the descriptor, which is read-only and loaded
        // as long as the instance lives; the reference does not leave it.
        let model: &'static Model = unsafe { &*describe() };
        if model.magic != pt2c_abi::MODEL_MAGIC || model.abi_version != pt2c_abi::ABI_VERSION {
            return Err(RunError::Other("the library's descriptor is of another version".to_owned()));
        }
        let file = match &options.weights_file {
            Some(path) => {
                let bytes = path.as_os_str().as_encoded_bytes().to_vec();
                Some(CString::new(bytes).map_err(|_| RunError::Other("a path holds a zero byte".to_owned()))?)
            }
            None => None,
        };
        // SAFETY: an array of the descriptor.
        let bindings = unsafe { array(model.bindings, model.binding_count) };
        let bound = bindings.iter().filter(|binding| binding.source != SymbolSource::Computed as u32).count();
        let fixed = size_of::<Options>() / 8;
        let mut words = vec![0u64; fixed + bound];
        let options = Options {
            size: 8 * words.len() as u64,
            threads: i32::try_from(options.threads).unwrap_or(i32::MAX),
            no_grow: 0,
            verify_weights: 0,
            reserved: 0,
            weights_file: file.as_ref().map_or(ptr::null(), |file| file.as_ptr()),
        };
        let mut context = ptr::null_mut();
        // SAFETY: the words begin with room for the options and hold one zero for each bound symbol behind them.
        let status = unsafe {
            words.as_mut_ptr().cast::<Options>().write(options);
            create(words.as_ptr().cast(), &mut context)
        };
        let instance = Instance { api, model, context, _loaded: loaded };
        instance.check(status)?;
        Ok(instance)
    }

    fn check(&self, status: i32) -> Result<(), RunError> {
        if status == Status::Ok as i32 {
            return Ok(());
        }
        // SAFETY: the context is null or live.
        Err(RunError::Library { status, message: unsafe { text((self.api.error)(self.context)) } })
    }

    fn input_leaves(&self) -> &[Leaf] {
        // SAFETY: an array of the descriptor.
        unsafe { array(self.model.inputs, self.model.input_count) }
    }

    fn output_leaves(&self) -> &[Leaf] {
        // SAFETY: an array of the descriptor.
        unsafe { array(self.model.outputs, self.model.output_count) }
    }

    fn states(&self) -> &[State] {
        // SAFETY: an array of the descriptor.
        unsafe { array(self.model.states, self.model.state_count) }
    }

    /// What a call takes.
    pub fn inputs(&self) -> Vec<LeafInfo> {
        self.input_leaves().iter().map(info).collect()
    }

    /// What a call gives.
    pub fn outputs(&self) -> Vec<LeafInfo> {
        self.output_leaves().iter().map(info).collect()
    }

    /// Runs the program.
    ///
    /// # Errors
    /// If an argument has another type or rank, or the library reports an error.
    pub fn run(&mut self, inputs: &[Value]) -> Result<Finished, RunError> {
        self.run_repeatedly(inputs, 1).map(|(finished, _)| finished)
    }

    /// Runs the program `count` times (at least once) on the same inputs and outputs and gives the seconds of each call.
    /// State and changed inputs carry over from call to call.
    ///
    /// # Errors
    /// As [`Instance::run`].
    pub fn run_repeatedly(&mut self, inputs: &[Value], count: usize) -> Result<(Finished, Vec<f64>), RunError> {
        let (mut words, mut buffers) = self.input_words(inputs)?;
        let mut result_words = vec![0i64; (self.model.output_words as usize).max(1)];
        // SAFETY: both arrays have the words that the descriptor states; this call reads no data pointer.
        let status = unsafe { (self.api.output_shapes)(self.context, words.as_ptr(), result_words.as_mut_ptr()) };
        self.check(status)?;
        let mut results = Vec::new();
        for leaf in self.output_leaves() {
            let first = leaf.first_word as usize;
            let dtype = dtype_from_code(leaf.dtype);
            let mut memory = Aligned::new(0);
            if leaf.kind == LeafKind::Tensor as u32 {
                let capacity = result_words.get(first + 1).copied().unwrap_or(0).max(0) as usize;
                memory = Aligned::new(capacity * dtype.map_or(1, DType::size));
                if let Some([data, room]) = result_words.get_mut(first..first + 2) {
                    *data = memory.pointer().expose_provenance() as i64;
                    *room = (*room).max(0);
                }
            }
            results.push(memory);
        }
        for (buffer, leaf) in buffers.iter_mut().zip(self.input_leaves()) {
            if let (Some(buffer), Some(word)) = (buffer, words.get_mut(leaf.first_word as usize)) {
                *word = buffer.pointer().expose_provenance() as i64;
            }
        }
        let mut seconds = Vec::with_capacity(count.max(1));
        let mut again = 0;
        while seconds.len() < count.max(1) {
            if again > 2 * results.len() + 2 {
                return Err(RunError::Other("the library asks for more and more room".to_owned()));
            }
            let begun = std::time::Instant::now();
            // SAFETY: every pointer leads to memory of the size that shapes and capacities state, alive until the call
            // is over.
            let status = unsafe { (self.api.run)(self.context, words.as_ptr(), result_words.as_mut_ptr()) };
            seconds.push(begun.elapsed().as_secs_f64());
            if status == Status::Capacity as i32 && self.make_room(&mut result_words, &mut results)? {
                // The call found out a size that no bound is known of; it changed nothing.
                seconds.pop();
                again += 1;
                continue;
            }
            self.check(status)?;
        }
        let mut outputs = Vec::new();
        for (leaf, memory) in self.output_leaves().iter().zip(&results) {
            let first = leaf.first_word as usize;
            if leaf.kind == LeafKind::Int as u32 {
                outputs.push(Value::Int(result_words.get(first).copied().unwrap_or(0)));
                continue;
            }
            let shape = result_words.get(first + 2..first + 2 + leaf.rank as usize).unwrap_or(&[]);
            outputs.push(Value::Tensor(dense(leaf, shape, memory.bytes())?));
        }
        let mut inputs_after = Vec::new();
        for (leaf, buffer) in self.input_leaves().iter().zip(&buffers) {
            let first = leaf.first_word as usize;
            let shape = words.get(first + 1..first + 1 + leaf.rank as usize).unwrap_or(&[]);
            inputs_after.push(match buffer {
                Some(buffer) if leaf.flags & LEAF_MUTATED != 0 => Some(dense(leaf, shape, buffer.bytes())?),
                _ => None,
            });
        }
        Ok((Finished { outputs, inputs_after }, seconds))
    }

    /// Makes those outputs larger whose shapes say more than they have room for. Whether there were any.
    fn make_room(&self, words: &mut [i64], results: &mut [Aligned]) -> Result<bool, RunError> {
        let mut grown = false;
        for (leaf, memory) in self.output_leaves().iter().zip(results) {
            let first = leaf.first_word as usize;
            let shape = words.get(first + 2..first + 2 + leaf.rank as usize).unwrap_or(&[]);
            let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(usize::try_from(size).ok()?));
            let (Some(elements), true) = (elements, leaf.kind == LeafKind::Tensor as u32) else { continue };
            let size = dtype_from_code(leaf.dtype).map_or(1, DType::size);
            if words.get(first + 1).is_some_and(|&capacity| usize::try_from(capacity).unwrap_or(0) < elements) {
                let bytes = elements.checked_mul(size).ok_or(TensorDataError::Overflow)?;
                *memory = Aligned::new(bytes);
                if let Some([data, capacity]) = words.get_mut(first..first + 2) {
                    *data = memory.pointer().expose_provenance() as i64;
                    *capacity = elements as i64;
                }
                grown = true;
            }
        }
        Ok(grown)
    }

    /// The words of the input struct, data pointers still missing, and copies of the tensors.
    fn input_words(&self, inputs: &[Value]) -> Result<(Vec<i64>, Vec<Option<Aligned>>), RunError> {
        let leaves = self.input_leaves();
        if inputs.len() != leaves.len() {
            return Err(RunError::Count { given: inputs.len(), expected: leaves.len() });
        }
        let mut words = vec![0i64; (self.model.input_words as usize).max(1)];
        let mut buffers = Vec::new();
        for (leaf, input) in leaves.iter().zip(inputs) {
            let leaf_info = info(leaf);
            let wrong = |message: String| RunError::Input { path: leaf_info.path.clone(), message };
            let first = leaf.first_word as usize;
            match (input, leaf_info.dtype) {
                (Value::Int(value), None) => {
                    if let Some(word) = words.get_mut(first) {
                        *word = *value;
                    }
                    buffers.push(None);
                }
                (Value::Tensor(tensor), Some(dtype)) => {
                    if tensor.dtype() != dtype {
                        return Err(wrong(format!("its type is {}, but must be {dtype}", tensor.dtype())));
                    }
                    if tensor.sizes().len() != leaf_info.rank {
                        let rank = tensor.sizes().len();
                        return Err(wrong(format!("it has {rank} dimensions, but must have {}", leaf_info.rank)));
                    }
                    for (word, size) in words.iter_mut().skip(first + 1).zip(tensor.sizes()) {
                        *word = i64::try_from(*size).unwrap_or(i64::MAX);
                    }
                    let content = tensor.to_dense();
                    let mut memory = Aligned::new(content.len());
                    memory.fill(&content);
                    buffers.push(Some(memory));
                }
                (Value::Int(_), Some(dtype)) => {
                    return Err(wrong(format!("it is a tensor of {dtype}, not an integer")));
                }
                (Value::Tensor(_), None) => return Err(wrong("it is an integer, not a tensor".to_owned())),
            }
        }
        Ok((words, buffers))
    }

    /// The state buffers by their names in the PyTorch module.
    ///
    /// # Errors
    /// If the descriptor's shapes make no sense.
    pub fn state(&mut self) -> Result<Vec<(String, TensorData)>, RunError> {
        let mut result = Vec::new();
        for (index, state) in self.states().iter().enumerate() {
            // SAFETY: strings and shapes of the descriptor; the state's memory belongs to the live context.
            let (path, shape, content) = unsafe {
                let start = (self.api.state)(self.context, index as u64, ptr::null_mut());
                (
                    text(state.path),
                    array(state.shape, u64::from(state.rank)),
                    array(start.cast::<u8>().cast_const(), state.size),
                )
            };
            let dtype = dtype_from_code(state.dtype).unwrap_or(DType::U8);
            let sizes = shape.iter().map(|&size| size.max(0) as usize).collect();
            result.push((path, TensorData::dense(dtype, sizes, content.to_vec())?));
        }
        Ok(result)
    }

    /// Replaces the content of one state buffer.
    ///
    /// # Errors
    /// If there is no such buffer, or type or shape differ.
    pub fn set_state(&mut self, path: &str, content: &TensorData) -> Result<(), RunError> {
        let wrong = |message: String| RunError::State { path: path.to_owned(), message };
        // SAFETY: a string of the descriptor.
        let found = self.states().iter().enumerate().find(|(_, state)| unsafe { text(state.path) } == path);
        let (index, state) = found.ok_or_else(|| wrong("the program has no such buffer".to_owned()))?;
        // SAFETY: an array of the descriptor.
        let shape = unsafe { array(state.shape, u64::from(state.rank)) };
        let fits = content.sizes().len() == shape.len()
            && content.sizes().iter().zip(shape).all(|(&given, &size)| i64::try_from(given) == Ok(size))
            && dtype_from_code(state.dtype) == Some(content.dtype());
        if !fits {
            let (given, sizes) = (content.dtype(), content.sizes());
            let dtype = dtype_from_code(state.dtype).map_or("another type", DType::name);
            return Err(wrong(format!("{given} {sizes:?} is given, but it is {dtype} {shape:?}")));
        }
        let bytes = content.to_dense();
        // SAFETY: the state's memory belongs to the live context and is `state.size` bytes long; no call runs.
        unsafe {
            let start = (self.api.state)(self.context, index as u64, ptr::null_mut());
            if !start.is_null() {
                let count = bytes.len().min(state.size as usize);
                ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast::<u8>(), count);
            }
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: the context is null or live, and not used again.
        unsafe { (self.api.destroy)(self.context) };
    }
}

fn info(leaf: &Leaf) -> LeafInfo {
    LeafInfo {
        // SAFETY: a string of the descriptor.
        path: unsafe { text(leaf.path) },
        position: leaf.position as usize,
        dtype: if leaf.kind == LeafKind::Int as u32 { None } else { dtype_from_code(leaf.dtype) },
        rank: leaf.rank as usize,
        mutated: leaf.flags & LEAF_MUTATED != 0,
    }
}

/// A dense tensor of a leaf's type from the first bytes of its memory.
fn dense(leaf: &Leaf, shape: &[i64], memory: &[u8]) -> Result<TensorData, TensorDataError> {
    let dtype = dtype_from_code(leaf.dtype).unwrap_or(DType::U8);
    let sizes: Vec<usize> = shape.iter().map(|&size| size.max(0) as usize).collect();
    let bytes = sizes.iter().try_fold(dtype.size(), |bytes, &size| bytes.checked_mul(size));
    let bytes = bytes.ok_or(TensorDataError::Overflow)?;
    TensorData::dense(dtype, sizes, memory.get(..bytes).unwrap_or(memory).to_vec())
}
