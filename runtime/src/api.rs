//! The exported functions. `pt2c_api_X` becomes `NAME_X`, `pt2c_rt_X` becomes the hidden `NAME__rt_X` when the
//! compiler writes a library; the generated header documents the former for callers.

use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

use pt2c_abi::{Model, Options, Status, TaskFn};

use crate::context::{Call, Context};
use crate::pool::Pool;
use crate::sort;

unsafe extern "C" {
    /// The descriptor that the compiler wrote.
    #[link_name = "pt2c_rt_model"]
    static MODEL: Model;
}

/// The library's model descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn pt2c_api_model() -> *const Model {
    &raw const MODEL
}

/// Creates a context; see the header.
///
/// # Safety
/// `options` is null or points to the header's options struct, `context` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_create(options: *const Options, context: *mut *mut Context) -> i32 {
    if context.is_null() {
        return Status::Argument as i32;
    }
    // SAFETY: the descriptor is read-only data; the rest by the caller's promise.
    unsafe {
        let (status, created) = Context::create(&MODEL, options);
        context.write(created);
        status as i32
    }
}

/// Frees a context; null is allowed.
///
/// # Safety
/// `context` is null or from `create`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_destroy(context: *mut Context) {
    if !context.is_null() {
        // SAFETY: by the caller's promise.
        unsafe { Context::destroy(context) };
    }
}

/// The message of the last call that failed on this context.
///
/// # Safety
/// `context` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_error(context: *const Context) -> *const c_char {
    // SAFETY: by the caller's promise.
    match unsafe { context.as_ref() } {
        Some(context) => context.error(),
        None => c"there is no context: out of memory, or its address was not given".as_ptr(),
    }
}

/// Runs a call on a usable context with an empty message.
///
/// # Safety
/// `context` is null or valid and used by no other thread.
unsafe fn enter(context: *mut Context, call: impl FnOnce(&mut Context) -> Result<(), Status>) -> i32 {
    // SAFETY: by the caller's promise.
    let Some(context) = (unsafe { context.as_mut() }) else {
        return Status::Argument as i32;
    };
    if !context.usable {
        // The message says why the creation failed; it stays.
        return Status::Argument as i32;
    }
    context.message.clear();
    call(context).err().unwrap_or(Status::Ok) as i32
}

/// Runs the model.
///
/// # Safety
/// See the header: structs and buffers are valid, the context is used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_run(context: *mut Context, inputs: *const i64, outputs: *mut i64) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.run(inputs, outputs)) }
}

/// Fills the shapes and capacities of the outputs.
///
/// # Safety
/// As [`pt2c_api_run`], but no data pointer is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_output_shapes(context: *mut Context, inputs: *const i64, outputs: *mut i64) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.output_shapes(inputs, outputs)) }
}

/// Grows the arena for the sizes in the inputs.
///
/// # Safety
/// As [`pt2c_api_run`], but no data pointer is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_reserve(context: *mut Context, inputs: *const i64) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.reserve(inputs)) }
}

/// Puts every state buffer back to its initial content.
///
/// # Safety
/// `context` is null or valid and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_reset(context: *mut Context) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe {
        enter(context, |context| {
            context.reset();
            Ok(())
        })
    }
}

/// Writes the state to memory; see the header.
///
/// # Safety
/// As [`Context::save_state`]; `context` is null or valid and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_save_state(context: *mut Context, bytes: *mut c_void, size: *mut u64) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.save_state(bytes.cast(), size)) }
}

/// Replaces the state by a saved one; see the header.
///
/// # Safety
/// As [`Context::load_state`]; `context` is null or valid and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_load_state(context: *mut Context, bytes: *const c_void, size: u64) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.load_state(bytes.cast(), size)) }
}

/// Address and size of a state buffer; null for a wrong index.
///
/// # Safety
/// `context` is null or valid, `bytes` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_state(context: *mut Context, index: u64, bytes: *mut u64) -> *mut c_void {
    // SAFETY: by the caller's promise.
    let Some(context) = (unsafe { context.as_ref() }).filter(|context| context.usable) else {
        return ptr::null_mut();
    };
    let Some(state) = usize::try_from(index).ok().and_then(|index| context.view.states().get(index)) else {
        return ptr::null_mut();
    };
    if !bytes.is_null() {
        // SAFETY: not null, so valid for writing.
        unsafe { bytes.write(state.size) };
    }
    context.states.get(index as usize).map_or(ptr::null_mut(), |address| address.cast())
}

/// Uses the state of another context of this library.
///
/// # Safety
/// Both are null or valid and used by no other thread; `owner` outlives `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_api_share_state(context: *mut Context, owner: *const Context) -> i32 {
    if ptr::eq(context, owner) {
        return Status::Argument as i32;
    }
    // SAFETY: by the caller's promise.
    unsafe { enter(context, |context| context.share_state(owner)) }
}

/// For the compiled program: divides `0..extent` among the context's threads in ranges of multiples of `grain`.
///
/// # Safety
/// `call` is what the entry function received; `task` may run on several threads at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_rt_parallel_for(
    call: *mut c_void,
    task: TaskFn,
    args: *mut *mut c_void,
    extent: i64,
    grain: i64,
) {
    // SAFETY: by the caller's promise; the pool runs as long as the context lives.
    unsafe {
        let pool = (&raw const (*call.cast::<Call>()).pool).cast::<Pool>();
        Pool::divide(pool, task, args, extent, grain);
    }
}

/// For the compiled program: gives a computed symbol its value. Returns 0, or 1 if the call must end.
///
/// # Safety
/// `call` is what the entry function received, and this is the thread that called it, outside of tasks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_rt_bind(call: *mut c_void, symbol: i64, value: i64) -> i32 {
    // SAFETY: by the caller's promise; `run` left the pointer, and does not look at the context meanwhile.
    unsafe {
        let context = (*call.cast::<Call>()).context;
        let Some(context) = context.as_mut() else {
            return 1;
        };
        match context.bind_late(symbol as u32, value) {
            Ok(()) => 0,
            Err(status) => {
                context.refused = status;
                1
            }
        }
    }
}

/// For the compiled program: reports that a check on the data failed; the first report counts. May be called from
/// tasks.
///
/// # Safety
/// `call` is what the entry function received.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_rt_fail(call: *mut c_void, message: i64, value: i64) {
    // SAFETY: by the caller's promise.
    let call = unsafe { &*call.cast::<Call>() };
    if call.failure.compare_exchange(-1, message.max(0), Relaxed, Relaxed).is_ok() {
        call.failure_value.store(value, Relaxed);
    }
}

/// For the compiled program: sorts the lines of the areas `begin..end`.
///
/// # Safety
/// As [`sort::sort`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pt2c_rt_sort(
    x: *mut c_void,
    values: *mut c_void,
    indices: *mut c_void,
    scratch: *mut c_void,
    shape: *const sort::Shape,
    begin: i64,
    end: i64,
) {
    // SAFETY: by the caller's promise.
    unsafe { sort::sort([x, values, indices, scratch], &*shape, begin, end) };
}
