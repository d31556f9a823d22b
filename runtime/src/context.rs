//! What a context owns, and its creation and destruction.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

use pt2c_abi::{ABI_VERSION, BufferKind, MODEL_MAGIC, Model, Options, State, Status, SymbolSource, ZERO_INITIAL};

use crate::bind::{Shapes, symbols_of};
use crate::memory::{Array, Block, Blocks};
use crate::message::Message;
use crate::pool::{MAX_THREADS, Pool};
use crate::view::{View, items};
use crate::weights::Weights;
use crate::{cpu, helgrind};

/// An arena that could serve the greatest sizes is allocated at creation if it is not larger than this (memory that is
/// never touched costs address space only).
const MODEST_ARENA: u64 = 256 << 20;

/// What the running program sees of the context: it has its own allocation because several threads use it during a
/// call.
pub struct Call {
    /// The context, during a run.
    pub context: *mut Context,
    /// Id of the first failure's message; negative: none.
    pub failure: AtomicI64,
    pub failure_value: AtomicI64,
    pub pool: MaybeUninit<Pool>,
}

/// The caller's handle.
pub struct Context {
    pub view: View,
    pub message: Message,
    /// Creation succeeded: the context can run.
    pub usable: bool,
    pub no_grow: bool,
    pub weights: Weights,
    pub arena: Block,
    pub state: Block,
    /// Address of each state buffer: in `state`, or in that of a context whose state this one shares.
    pub states: Array<*mut u8>,
    /// For each symbol the arena of the buffers whose sizes it decides during a run.
    pub late_arenas: Blocks,
    /// The caller's output struct during a run.
    pub outputs: *mut i64,
    /// Why the program's last `bind` was refused.
    pub refused: Status,
    /// Base addresses of the program's buffers.
    pub values: Array<*mut c_void>,
    /// Which of them are the caller's: they change with every call.
    pub io: Array<u32>,
    pub shapes: Shapes,
    /// A [`Call`]; empty until the pool runs.
    pub call: Block,
    /// Where the context itself lives.
    own: Block,
}

impl Context {
    /// Creates a context. Without memory the result is null; every other failure leaves a context that holds the
    /// message.
    ///
    /// # Safety
    /// `options` is null or points to the options of this model's header.
    pub unsafe fn create(model: &'static Model, options: *const Options) -> (Status, *mut Context) {
        let Some(own) = Block::new(size_of::<Context>() as u64) else {
            return (Status::Memory, ptr::null_mut());
        };
        let place = own.start().cast::<Context>();
        // SAFETY: the block is large enough and, at 64 bytes, aligned enough; every member is written.
        let context = unsafe {
            place.write(Context {
                view: View::new(model),
                message: Message::new(),
                usable: false,
                no_grow: false,
                weights: Weights::NONE,
                arena: Block::EMPTY,
                state: Block::EMPTY,
                states: match Array::zeroed(0) {
                    Some(array) => array,
                    None => return (Status::Memory, ptr::null_mut()),
                },
                late_arenas: match Blocks::new(0) {
                    Some(blocks) => blocks,
                    None => return (Status::Memory, ptr::null_mut()),
                },
                outputs: ptr::null_mut(),
                refused: Status::Data,
                values: match Array::zeroed(0) {
                    Some(array) => array,
                    None => return (Status::Memory, ptr::null_mut()),
                },
                io: match Array::zeroed(0) {
                    Some(array) => array,
                    None => return (Status::Memory, ptr::null_mut()),
                },
                shapes: match Shapes::new(0, 0, 0, 0, 0) {
                    Some(shapes) => shapes,
                    None => return (Status::Memory, ptr::null_mut()),
                },
                call: Block::EMPTY,
                own,
            });
            &mut *place
        };
        // SAFETY: by the caller's promise.
        match unsafe { context.set_up(options) } {
            Ok(()) => {
                context.usable = true;
                (Status::Ok, place)
            }
            Err(status) => {
                if context.message.is_empty() {
                    context.message.text("out of memory");
                }
                (status, place)
            }
        }
    }

    /// # Safety
    /// As [`Context::create`].
    unsafe fn set_up(&mut self, options: *const Options) -> Result<(), Status> {
        let view = self.view;
        let model = view.model();
        if model.magic != MODEL_MAGIC
            || model.abi_version != ABI_VERSION
            || model.struct_size as usize != size_of::<Model>()
        {
            self.message.text("the library is inconsistent: its model descriptor is of another version");
            return Err(Status::Argument);
        }
        let bound =
            view.bindings().iter().filter(|binding| binding.source != SymbolSource::Computed as u32).count() as u64;
        let expected = size_of::<Options>() as u64 + 8 * bound;
        let default = Options {
            size: expected,
            threads: 0,
            no_grow: 0,
            verify_weights: 0,
            reserved: 0,
            weights_file: ptr::null(),
        };
        // SAFETY: `options` is null or valid.
        let given = unsafe { options.as_ref() };
        let options_ref = given.unwrap_or(&default);
        if options_ref.size != expected {
            self.message.text("options: size is ").unsigned(options_ref.size).text(", but must be ").unsigned(expected);
            self.message.text(" (start from the options_default function of this library's header)");
            return Err(Status::Argument);
        }
        // SAFETY: the size says that the words of the capacity follow.
        let capacity: &[i64] = match given {
            Some(_) => unsafe { items(options.add(1).cast(), bound) },
            None => &[],
        };
        let threads = usize::try_from(options_ref.threads).ok().filter(|&threads| threads <= MAX_THREADS);
        let Some(threads) = threads else {
            self.message.text("options: threads is ").int(i64::from(options_ref.threads));
            self.message.text(", but must be between 0 (automatic) and ").unsigned(MAX_THREADS as u64);
            return Err(Status::Argument);
        };
        self.no_grow = options_ref.no_grow != 0;
        if !cpu::check_features(model.cpu_features, &mut self.message) {
            return Err(Status::Cpu);
        }
        // SAFETY: the option is null or a C string.
        self.weights = unsafe {
            Weights::open(view, options_ref.weights_file, options_ref.verify_weights != 0, &mut self.message)?
        };
        self.state = Block::new(model.state_size).ok_or(Status::Memory)?;
        // SAFETY: null pointers are valid values.
        self.states = unsafe { Array::zeroed(view.states().len()) }.ok_or(Status::Memory)?;
        for (address, state) in self.states.iter_mut().zip(view.states()) {
            // The compiler placed the states inside the state block.
            *address = self.state.start().wrapping_add(state.offset as usize);
        }
        self.reset();
        self.late_arenas = Blocks::new(model.symbol_count as usize).ok_or(Status::Memory)?;
        // SAFETY: null pointers and zeros are valid values.
        self.values = unsafe { Array::zeroed(model.buffer_count as usize) }.ok_or(Status::Memory)?;
        let is_io = |kind: u32| kind == BufferKind::Input as u32 || kind == BufferKind::Output as u32;
        let count = view.buffers().iter().filter(|buffer| is_io(buffer.kind)).count();
        // SAFETY: zeros are valid values.
        self.io = unsafe { Array::zeroed(count) }.ok_or(Status::Memory)?;
        let indices = view.buffers().iter().enumerate().filter(|(_, buffer)| is_io(buffer.kind));
        for (slot, (index, _)) in self.io.iter_mut().zip(indices) {
            *slot = index as u32;
        }
        self.shapes = Shapes::new(
            model.symbol_count,
            model.input_words,
            model.output_words,
            model.input_count,
            model.output_count,
        )
        .ok_or(Status::Memory)?;
        self.reserve_for(capacity)?;
        self.start_call(threads)
    }

    /// Allocates the arena for the greatest sizes: those that the caller stated, else the declared ones.
    fn reserve_for(&mut self, capacity: &[i64]) -> Result<(), Status> {
        let view = self.view;
        let arena = view.program(view.model().arena_size);
        // Of the symbols that the arena depends on: is the maximum of each known, is it the caller's statement?
        let mut known = true;
        let mut stated = true;
        // Computed symbols come last and are in no formula of the arena.
        for (index, binding) in view.bindings().iter().enumerate() {
            let (Some(symbol), Some(slot)) =
                (view.symbols().get(binding.symbol as usize), self.shapes.symbols.get_mut(binding.symbol as usize))
            else {
                continue;
            };
            let wanted = capacity.get(index).copied().unwrap_or(0);
            if wanted < 0 || wanted > symbol.max {
                // SAFETY: the descriptor's strings are zero-terminated.
                unsafe { self.message.text("options: capacity.").c(symbol.name) };
                self.message
                    .text(" is ")
                    .int(wanted)
                    .text(", but must be between 0 (no statement) and ")
                    .int(symbol.max);
                return Err(Status::Argument);
            }
            if symbols_of(arena).any(|used| used == binding.symbol) {
                stated &= wanted > 0;
                known &= wanted > 0 || symbol.max < i64::MAX;
            }
            *slot = if wanted > 0 { wanted.max(symbol.min) } else { symbol.max };
        }
        if !known {
            return Ok(());
        }
        // A formula that overflows at the maxima only means that nobody will ever call with them.
        let Some(size) = view.evaluate(view.model().arena_size, &self.shapes.symbols) else {
            return Ok(());
        };
        let size = size.max(0) as u64;
        if stated || size <= MODEST_ARENA {
            self.arena = self.allocate_arena(size)?;
        }
        Ok(())
    }

    /// A new arena; says so where there is no memory.
    pub fn allocate_arena(&mut self, size: u64) -> Result<Block, Status> {
        Block::new(size).ok_or_else(|| {
            self.message.text("no memory for the arena of ").unsigned(size).text(" bytes");
            Status::Memory
        })
    }

    /// Starts the threads.
    fn start_call(&mut self, threads: usize) -> Result<(), Status> {
        let block = Block::new(size_of::<Call>() as u64).ok_or(Status::Memory)?;
        let call = block.start().cast::<Call>();
        // SAFETY: the block is large and aligned enough; the pool stays there until it is stopped.
        unsafe {
            (&raw mut (*call).context).write(ptr::null_mut());
            (&raw mut (*call).failure).write(AtomicI64::new(-1));
            (&raw mut (*call).failure_value).write(AtomicI64::new(0));
            helgrind::untrack(call.cast(), size_of::<*mut Context>() + 2 * size_of::<AtomicI64>());
            Pool::start((&raw mut (*call).pool).cast(), threads, &mut self.message)?;
        }
        self.call = block;
        Ok(())
    }

    /// The part that the running program sees; null in a context whose creation failed.
    pub fn call(&self) -> *mut Call {
        self.call.start().cast()
    }

    /// Takes the failure that the program reported.
    pub fn take_failure(&self) -> Option<(i64, i64)> {
        // SAFETY: contexts that run have a call block.
        let call = unsafe { self.call().as_ref() }?;
        let id = call.failure.swap(-1, Relaxed);
        (id >= 0).then(|| (id, call.failure_value.load(Relaxed)))
    }

    /// Gives every state buffer its initial content.
    pub fn reset(&mut self) {
        for (state, &target) in self.view.states().iter().zip(self.states.iter()) {
            let size = state.size as usize;
            // SAFETY: the buffers are as large as their states, and the compiler placed their initial content inside the
            // weights.
            unsafe {
                if state.initial == ZERO_INITIAL {
                    ptr::write_bytes(target, 0, size);
                } else {
                    ptr::copy_nonoverlapping(self.weights.start().add(state.initial as usize), target, size);
                }
            }
        }
    }

    /// Uses the state of another context of this library for the buffers that both have, by name, type and shape.
    ///
    /// # Safety
    /// `owner` is valid, is not this context, and outlives it.
    pub unsafe fn share_state(&mut self, owner: *const Context) -> Result<(), Status> {
        // SAFETY: by the caller's promise; all contexts of a library have the same runtime.
        let Some(owner) = (unsafe { owner.as_ref() }).filter(|owner| owner.usable) else {
            self.message.text("there is no state to share: the owner is NULL or unusable");
            return Err(Status::Argument);
        };
        for (state, address) in self.view.states().iter().zip(self.states.iter_mut()) {
            // SAFETY: strings and shapes of the descriptors.
            let same = |other: &&(&State, &*mut u8)| unsafe {
                let (ours, theirs) = (items(state.shape, state.rank.into()), items(other.0.shape, other.0.rank.into()));
                CStr::from_ptr(state.path) == CStr::from_ptr(other.0.path)
                    && state.dtype == other.0.dtype
                    && ours == theirs
            };
            let mut states = owner.view.states().iter().zip(owner.states.iter());
            if let Some((_, &shared)) = states.find(|pair| same(&pair)) {
                *address = shared;
            }
        }
        // The next call looks the addresses up again.
        self.shapes.valid = false;
        Ok(())
    }

    /// Ends the threads and frees everything.
    ///
    /// # Safety
    /// `context` comes from [`Context::create`] and is not used afterwards.
    pub unsafe fn destroy(context: *mut Context) {
        // SAFETY: the pool is stopped before its memory goes; the block that holds the context outlives the drop.
        unsafe {
            let call = (*context).call();
            if !call.is_null() {
                Pool::stop((&raw mut (*call).pool).cast());
            }
            let own = core::mem::replace(&mut (*context).own, Block::EMPTY);
            ptr::drop_in_place(context);
            drop(own);
        }
    }
}
