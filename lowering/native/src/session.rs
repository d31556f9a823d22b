//! Calls a compiled library inside this process through its own C interface, as any program that links it would.

use crate::{Loaded, NativeError};
use pt2c_abi::{Leaf, LeafKind, Model, Size};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// A tensor in memory aligned to a cache line.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Element type.
    pub dtype: pt2c_abi::DType,
    /// Sizes.
    pub shape: Vec<i64>,
    lines: Vec<Line>,
    len: usize,
}

/// A cache line of bytes.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; 64]);

impl Buffer {
    /// A tensor of zeros.
    pub fn zeros(dtype: pt2c_abi::DType, shape: Vec<i64>) -> Buffer {
        let count = shape.iter().fold(1usize, |n, &d| n.saturating_mul(usize::try_from(d).unwrap_or(0)));
        let len = count.saturating_mul(dtype.size() as usize);
        Buffer { dtype, shape, lines: vec![Line([0; 64]); len.div_ceil(64).max(1)], len }
    }

    /// A tensor with these little-endian elements; `None` if their number does not fit the shape.
    pub fn new(dtype: pt2c_abi::DType, shape: Vec<i64>, bytes: &[u8]) -> Option<Buffer> {
        let mut buffer = Buffer::zeros(dtype, shape);
        if buffer.len != bytes.len() {
            return None;
        }
        buffer.bytes_mut().copy_from_slice(bytes);
        Some(buffer)
    }

    /// The elements.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `lines` holds at least `len` initialised bytes, and `Line` has no padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The elements, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// An input or output leaf.
#[derive(Clone, Debug)]
pub enum Value {
    /// A tensor.
    Tensor(Buffer),
    /// A symbolic integer.
    Int(i64),
}

type Create = unsafe extern "C" fn(*const pt2c_abi::Options, *mut *mut c_void) -> i32;
type Destroy = unsafe extern "C" fn(*mut c_void);
type Message = unsafe extern "C" fn(*const c_void) -> *const c_char;
type Run = unsafe extern "C" fn(*mut c_void, *const i64, *mut i64) -> i32;
type Reset = unsafe extern "C" fn(*mut c_void) -> i32;
type StateFn = unsafe extern "C" fn(*mut c_void, u64, *mut u64) -> *mut c_void;

/// A context of a loaded library.
pub struct Session {
    context: *mut c_void,
    model: *const Model,
    destroy: Destroy,
    message: Message,
    run: Run,
    shapes: Run,
    reset: Reset,
    state: StateFn,
    /// Keeps the code mapped; dropped after the context, which `Drop` destroys.
    _loaded: Loaded,
}

impl Session {
    /// Links the objects of library `name` and creates a context with `threads` threads (0: as many as there are).
    ///
    /// # Errors
    /// [`NativeError::Load`] with the library's own message.
    pub fn new(objects: &[Vec<u8>], name: &str, threads: u32) -> Result<Session, NativeError> {
        let loaded = Loaded::new(objects)?;
        let symbol = |suffix: &str| loaded.symbol(&format!("{name}_{suffix}"));
        // SAFETY: the library defines these functions with these signatures (see its header and `pt2c_abi`).
        let (model, create, session) = unsafe {
            let model: unsafe extern "C" fn() -> *const Model = std::mem::transmute(symbol("model")?);
            let create: Create = std::mem::transmute(symbol("create")?);
            let session = Session {
                context: ptr::null_mut(),
                model: ptr::null(),
                destroy: std::mem::transmute::<*const (), Destroy>(symbol("destroy")?),
                message: std::mem::transmute::<*const (), Message>(symbol("error")?),
                run: std::mem::transmute::<*const (), Run>(symbol("run")?),
                shapes: std::mem::transmute::<*const (), Run>(symbol("output_shapes")?),
                reset: std::mem::transmute::<*const (), Reset>(symbol("reset")?),
                state: std::mem::transmute::<*const (), StateFn>(symbol("state")?),
                _loaded: loaded,
            };
            (model, create, session)
        };
        let mut session = session;
        // SAFETY: `NAME_model` has no precondition.
        session.model = unsafe { model() };
        // The options struct ends in one capacity word for each symbol that inputs bind; 0 = none stated.
        let capacities = session.model().binding_count;
        let size = (size_of::<pt2c_abi::Options>() as u64) + 8 * capacities;
        let mut words = vec![0u64; (size / 8) as usize];
        words[0] = size;
        words[1] = u64::from(threads);
        // SAFETY: the words are laid out like `Options`, with the capacities behind; the context is written.
        let status = unsafe { create(words.as_ptr().cast(), &mut session.context) };
        session.check(status)?;
        Ok(session)
    }

    fn check(&self, status: i32) -> Result<(), NativeError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a terminated string that lives as long as the context.
        let message = unsafe { CStr::from_ptr((self.message)(self.context)) };
        Err(NativeError::Call { message: message.to_string_lossy().into_owned() })
    }

    /// The model's descriptor.
    pub fn model(&self) -> &Model {
        // SAFETY: `NAME_model` returns the address of static data of the loaded objects.
        unsafe { &*self.model }
    }

    fn leaves(&self, outputs: bool) -> &[Leaf] {
        let model = self.model();
        let (start, count) =
            if outputs { (model.outputs, model.output_count) } else { (model.inputs, model.input_count) };
        if count == 0 {
            return &[];
        }
        // SAFETY: the descriptor says how many leaves there are.
        unsafe { std::slice::from_raw_parts(start, count as usize) }
    }

    /// Positions of the inputs (or outputs) among the flattened leaves of the program, with their dtypes.
    pub fn positions(&self, outputs: bool) -> Vec<(u32, Option<pt2c_abi::DType>)> {
        self.leaves(outputs)
            .iter()
            .map(|l| (l.position, (l.kind == LeafKind::Tensor as u32).then(|| pt2c_abi::DType::from_code(l.dtype)).flatten()))
            .collect()
    }

    /// Ranges of the dimensions of every input, for drawing examples.
    pub fn input_ranges(&self) -> Vec<Vec<(i64, i64)>> {
        let sizes = |l: &Leaf| -> Vec<(i64, i64)> {
            if l.rank == 0 {
                return Vec::new();
            }
            // SAFETY: a leaf has `rank` sizes.
            let dims: &[Size] = unsafe { std::slice::from_raw_parts(l.dims, l.rank as usize) };
            dims.iter().map(|d| (d.min, d.max)).collect()
        };
        self.leaves(false).iter().map(sizes).collect()
    }

    /// Runs the model. Mutated inputs are changed in place; the outputs are allocated here, once their shapes are known.
    ///
    /// # Errors
    /// [`NativeError::Call`] with the library's message.
    pub fn call(&mut self, inputs: &mut [Value]) -> Result<Vec<Value>, NativeError> {
        let words = self.input_words(inputs)?;
        let mut out = vec![0i64; self.model().output_words as usize];
        // SAFETY: the words are laid out as the descriptor says; data pointers are not used by this call.
        let status = unsafe { (self.shapes)(self.context, words.as_ptr(), out.as_mut_ptr()) };
        self.check(status)?;
        let mut outputs = Vec::new();
        for leaf in self.leaves(true) {
            let first = leaf.first_word as usize;
            if leaf.kind == LeafKind::Int as u32 {
                outputs.push(Value::Int(out[first]));
                continue;
            }
            let dtype = pt2c_abi::DType::from_code(leaf.dtype).unwrap_or(pt2c_abi::DType::U8);
            let shape = out[first + 2..first + 2 + leaf.rank as usize].to_vec();
            let buffer = Buffer::zeros(dtype, shape);
            out[first] = buffer.lines.as_ptr() as i64;
            out[first + 1] = (buffer.len / dtype.size() as usize) as i64;
            outputs.push(Value::Tensor(buffer));
        }
        self.run_words(&words, &mut out)?;
        for (leaf, value) in self.leaves(true).iter().zip(&mut outputs) {
            let first = leaf.first_word as usize;
            match value {
                Value::Int(i) => *i = out[first],
                // A size that the run found out may be smaller than the one provided for.
                Value::Tensor(b) => {
                    b.shape = out[first + 2..first + 2 + leaf.rank as usize].to_vec();
                    let count: i64 = b.shape.iter().product();
                    b.len = b.len.min(usize::try_from(count).unwrap_or(0) * b.dtype.size() as usize);
                }
            }
        }
        Ok(outputs)
    }

    /// The input struct as words: pointers into `inputs` and sizes.
    ///
    /// # Errors
    /// [`NativeError::Call`] if the values are not those that the library takes.
    pub fn input_words(&self, inputs: &mut [Value]) -> Result<Vec<i64>, NativeError> {
        let wrong = |what: String| NativeError::Call { message: what };
        let leaves = self.leaves(false);
        if leaves.len() != inputs.len() {
            return Err(wrong(format!("the library takes {} inputs, {} were given", leaves.len(), inputs.len())));
        }
        let mut words = vec![0i64; self.model().input_words as usize];
        for (leaf, value) in leaves.iter().zip(inputs) {
            let first = leaf.first_word as usize;
            match value {
                Value::Int(i) if leaf.kind == LeafKind::Int as u32 => words[first] = *i,
                Value::Tensor(b) if leaf.kind == LeafKind::Tensor as u32 => {
                    if b.shape.len() != leaf.rank as usize || b.dtype as u32 != leaf.dtype {
                        return Err(wrong(format!(
                            "input {} is {} of {} dimensions, the library takes {} of {}",
                            leaf.position,
                            b.dtype.name(),
                            b.shape.len(),
                            pt2c_abi::DType::from_code(leaf.dtype).map_or("another type", |d| d.name()),
                            leaf.rank
                        )));
                    }
                    words[first] = b.lines.as_mut_ptr() as i64;
                    words[first + 1..first + 1 + b.shape.len()].copy_from_slice(&b.shape);
                }
                _ => return Err(wrong(format!("input {} is of another kind", leaf.position))),
            }
        }
        Ok(words)
    }

    fn run_words(&mut self, inputs: &[i64], outputs: &mut [i64]) -> Result<(), NativeError> {
        // SAFETY: the words are laid out as the descriptor says and point to buffers of the stated sizes.
        let status = unsafe { (self.run)(self.context, inputs.as_ptr(), outputs.as_mut_ptr()) };
        self.check(status)
    }

    /// Runs the model `count` times on the same inputs and outputs and returns the seconds of each run.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn time(&mut self, inputs: &mut [Value], count: usize) -> Result<Vec<f64>, NativeError> {
        let mut outputs = self.call(inputs)?;
        let words = self.input_words(inputs)?;
        let mut out = vec![0i64; self.model().output_words as usize];
        for (leaf, value) in self.leaves(true).iter().zip(&mut outputs) {
            if let Value::Tensor(b) = value {
                out[leaf.first_word as usize] = b.lines.as_mut_ptr() as i64;
                out[leaf.first_word as usize + 1] = (b.lines.len() * 64 / b.dtype.size() as usize) as i64;
            }
        }
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            let start = std::time::Instant::now();
            self.run_words(&words, &mut out)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    /// Names of the state buffers.
    pub fn state_names(&self) -> Vec<String> {
        let model = self.model();
        (0..model.state_count as usize)
            .map(|i| {
                // SAFETY: the descriptor says how many states there are; the path is a terminated string.
                unsafe { CStr::from_ptr((*model.states.add(i)).path).to_string_lossy().into_owned() }
            })
            .collect()
    }

    /// Content of a state buffer.
    pub fn read_state(&self, index: usize) -> Option<Buffer> {
        let model = self.model();
        if index >= model.state_count as usize {
            return None;
        }
        // SAFETY: the index is in range; the library returns the address of `size` bytes.
        unsafe {
            let state = &*model.states.add(index);
            let dtype = pt2c_abi::DType::from_code(state.dtype)?;
            let shape =
                if state.rank == 0 { Vec::new() } else { std::slice::from_raw_parts(state.shape, state.rank as usize).to_vec() };
            let mut bytes = 0u64;
            let data = (self.state)(self.context, index as u64, &mut bytes);
            if data.is_null() {
                return None;
            }
            Buffer::new(dtype, shape, std::slice::from_raw_parts(data.cast(), bytes as usize))
        }
    }

    /// Replaces the content of a state buffer. `false` if it is of another size.
    pub fn write_state(&mut self, index: usize, bytes: &[u8]) -> bool {
        if index >= self.model().state_count as usize {
            return false;
        }
        let mut size = 0u64;
        // SAFETY: the index is in range; the library returns the address of `size` bytes.
        unsafe {
            let data = (self.state)(self.context, index as u64, &mut size);
            if data.is_null() || size as usize != bytes.len() {
                return false;
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len());
        }
        true
    }

    /// Puts the state back to its initial content.
    ///
    /// # Errors
    /// [`NativeError::Call`] with the library's message.
    pub fn reset(&mut self) -> Result<(), NativeError> {
        // SAFETY: the context is live.
        let status = unsafe { (self.reset)(self.context) };
        self.check(status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the context is owned (or null, which is allowed) and not used again.
        unsafe { (self.destroy)(self.context) };
    }
}
