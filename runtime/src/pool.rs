//! Persistent threads that divide one task at a time.
//!
//! The caller's thread publishes a range to the slot of each worker that takes part, handles the first range itself
//! and waits until the count of open ranges is zero. Both sides spin for a while, then sleep on a condition variable;
//! no lock is taken unless the other side sleeps. The two flags that decide about it (work there / someone sleeps) are
//! written and then read in opposite order by the two sides with sequentially consistent operations, so that a wake-up
//! is never lost.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

use pt2c_abi::{Status, TaskFn};

use crate::libc::{self, Opaque, SignalSet};
use crate::memory::Block;
use crate::message::Message;
use crate::{cpu, helgrind};

/// Upper limit of the thread count.
pub const MAX_THREADS: usize = 1024;

/// Rounds of the spin loop before a thread sleeps: some tens of microseconds, longer than the gap between two kernels.
const SPINS: u32 = 1000;

/// Where a thread sleeps until something happens.
struct Bed {
    /// Non-zero while the thread sleeps or is about to.
    occupied: AtomicU32,
    mutex: UnsafeCell<Opaque>,
    condition: UnsafeCell<Opaque>,
}

impl Bed {
    /// # Safety
    /// `self` does not move afterwards, and [`Bed::destroy`] is called once at the end.
    unsafe fn init(&self) {
        // SAFETY: both objects are large enough and not in use yet.
        unsafe {
            libc::pthread_mutex_init(self.mutex.get(), ptr::null());
            libc::pthread_cond_init(self.condition.get(), ptr::null());
        }
        helgrind::untrack(ptr::from_ref(&self.occupied).cast(), size_of::<AtomicU32>());
    }

    /// # Safety
    /// Was initialised, nobody uses it any more.
    unsafe fn destroy(&self) {
        // SAFETY: by the caller's promise.
        unsafe {
            libc::pthread_cond_destroy(self.condition.get());
            libc::pthread_mutex_destroy(self.mutex.get());
        }
    }

    /// Returns when `ready` holds: at once, after spinning, or after sleeping.
    fn wait(&self, spins: u32, ready: impl Fn() -> bool) {
        for _ in 0..spins {
            if ready() {
                return;
            }
            core::hint::spin_loop();
        }
        // SAFETY: initialised; the mutex is held around the wait.
        unsafe {
            libc::pthread_mutex_lock(self.mutex.get());
            self.occupied.store(1, SeqCst);
            while !ready() {
                libc::pthread_cond_wait(self.condition.get(), self.mutex.get());
            }
            self.occupied.store(0, SeqCst);
            libc::pthread_mutex_unlock(self.mutex.get());
        }
    }

    /// Wakes the sleeper, if there is one. What it waits for must have been stored with `SeqCst` before.
    fn wake(&self) {
        if self.occupied.load(SeqCst) != 0 {
            // SAFETY: initialised. The sleeper either holds the mutex no longer (it waits) or has seen the new value.
            unsafe {
                libc::pthread_mutex_lock(self.mutex.get());
                libc::pthread_cond_signal(self.condition.get());
                libc::pthread_mutex_unlock(self.mutex.get());
            }
        }
    }
}

/// One worker's part of a task; no function means: end.
#[derive(Clone, Copy)]
struct Part {
    task: Option<TaskFn>,
    args: *mut *mut c_void,
    begin: i64,
    end: i64,
}

/// What one worker and the caller share; a cache line pair of its own.
#[repr(C, align(128))]
struct Slot {
    /// Counts the parts that were published.
    sequence: AtomicU32,
    bed: Bed,
    /// Written before `sequence`, read after it.
    part: UnsafeCell<Part>,
    pool: *const Pool,
    thread: usize,
}

/// The threads of one context. Lives at a fixed address.
pub struct Pool {
    slots: Block,
    workers: usize,
    spins: u32,
    /// Parts that are not finished yet.
    open: AtomicU32,
    /// A task is being divided; one that a task starts runs undivided.
    busy: AtomicBool,
    bed: Bed,
}

impl Pool {
    /// Makes `place` a pool of `threads` threads (the caller's included); 0 means one for each usable CPU.
    ///
    /// # Safety
    /// `place` is valid for writing, stays where it is, and [`Pool::stop`] is called once at the end if this succeeds.
    pub unsafe fn start(place: *mut Pool, threads: usize, message: &mut Message) -> Result<(), Status> {
        let cpus = cpu::usable_cpus();
        let threads = if threads == 0 { cpus.min(MAX_THREADS) } else { threads };
        let workers = threads - 1;
        let bytes = workers * size_of::<Slot>();
        // Blocks are aligned to 64 bytes; slots want 128.
        let Some(slots) = Block::zeroed((bytes + align_of::<Slot>()) as u64 * u64::from(workers > 0)) else {
            message.text("no memory for the threads");
            return Err(Status::Memory);
        };
        // SAFETY: `place` is valid for writing; all parts are initialised before a thread sees them.
        unsafe {
            place.write(Pool {
                slots,
                workers: 0,
                spins: if threads > cpus { 0 } else { SPINS },
                open: AtomicU32::new(0),
                busy: AtomicBool::new(false),
                bed: Bed {
                    occupied: AtomicU32::new(0),
                    mutex: UnsafeCell::new(Opaque::ZERO),
                    condition: UnsafeCell::new(Opaque::ZERO),
                },
            });
            let pool = &mut *place;
            pool.bed.init();
            helgrind::untrack(ptr::from_ref(&pool.open).cast(), size_of::<AtomicU32>());
            helgrind::untrack(ptr::from_ref(&pool.busy).cast(), size_of::<AtomicBool>());
            // Signals are the application's business: the workers inherit a mask that blocks them all.
            let mut all = SignalSet([0; 128]);
            let mut old = SignalSet([0; 128]);
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
            let mut failed = false;
            for index in 0..workers {
                let slot = Pool::slot(place, index);
                (*slot).pool = place;
                (*slot).bed.init();
                helgrind::untrack(ptr::from_ref(&(*slot).sequence).cast(), size_of::<AtomicU32>());
                if libc::pthread_create(&mut (*slot).thread, ptr::null(), work, slot.cast()) != 0 {
                    (*slot).bed.destroy();
                    failed = true;
                    break;
                }
                (*place).workers += 1;
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &old, ptr::null_mut());
            if failed {
                message.text("cannot create thread ").unsigned((*place).workers as u64 + 2);
                message.text(" of ").unsigned(threads as u64);
                Pool::stop(place);
                return Err(Status::Threads);
            }
        }
        Ok(())
    }

    /// The slot of a worker.
    ///
    /// # Safety
    /// `pool` is a started pool with room for more than `index` workers.
    unsafe fn slot(pool: *const Pool, index: usize) -> *mut Slot {
        // SAFETY: the block has room for the slots after rounding up to their alignment.
        unsafe {
            let start = (*pool).slots.start();
            start.add(start.align_offset(align_of::<Slot>())).cast::<Slot>().add(index)
        }
    }

    /// Hands a part to a worker that has none.
    ///
    /// # Safety
    /// As [`Pool::slot`]; only the owner of the pool publishes.
    unsafe fn publish(pool: *const Pool, index: usize, part: Part) {
        // SAFETY: the worker reads the part only after it has seen the new sequence number.
        unsafe {
            let slot = Pool::slot(pool, index);
            (*slot).part.get().write(part);
            helgrind::send(slot.cast());
            (*slot).sequence.fetch_add(1, SeqCst);
            (*slot).bed.wake();
        }
    }

    /// Ends all threads and frees what the pool holds.
    ///
    /// # Safety
    /// `pool` was started and is not used afterwards.
    pub unsafe fn stop(pool: *mut Pool) {
        // SAFETY: the threads are joined before their slots go.
        unsafe {
            for index in 0..(*pool).workers {
                Pool::publish(pool, index, Part { task: None, args: ptr::null_mut(), begin: 0, end: 0 });
            }
            for index in 0..(*pool).workers {
                let slot = Pool::slot(pool, index);
                libc::pthread_join((*slot).thread, ptr::null_mut());
                (*slot).bed.destroy();
            }
            (*pool).bed.destroy();
            ptr::drop_in_place(pool);
        }
    }

    /// Calls `task` for ranges that cover `0..extent`, each but the last a multiple of `grain` long, and returns when
    /// all are done.
    ///
    /// # Safety
    /// `pool` is started; `task` may be called with `args` on several threads at once.
    pub unsafe fn divide(pool: *const Pool, task: TaskFn, args: *mut *mut c_void, extent: i64, grain: i64) {
        if extent <= 0 {
            return;
        }
        // SAFETY: by the caller's promise.
        unsafe {
            let this = &*pool;
            let grain = grain.max(1);
            let chunks = extent / grain + i64::from(extent % grain != 0);
            let parts = chunks.min(this.workers as i64 + 1);
            if parts == 1 || this.busy.swap(true, Acquire) {
                task(args, 0, extent);
                return;
            }
            let (each, extra) = (chunks / parts, chunks % parts);
            let begin = |part: i64| (part * each + part.min(extra)).saturating_mul(grain).min(extent);
            this.open.store(parts as u32 - 1, SeqCst);
            for part in 1..parts {
                let range = Part { task: Some(task), args, begin: begin(part), end: begin(part + 1) };
                Pool::publish(pool, part as usize - 1, range);
            }
            task(args, 0, begin(1));
            this.bed.wait(this.spins, || this.open.load(SeqCst) == 0);
            helgrind::receive(ptr::from_ref(&this.open).cast());
            this.busy.store(false, Release);
        }
    }
}

/// A worker's life.
unsafe extern "C" fn work(slot: *mut c_void) -> *mut c_void {
    // SAFETY: slot and pool outlive the thread, which is joined before they go.
    unsafe {
        let slot = slot.cast::<Slot>();
        let pool = &*(*slot).pool;
        let mut seen = 0;
        loop {
            (*slot).bed.wait(pool.spins, || (*slot).sequence.load(SeqCst) != seen);
            seen = seen.wrapping_add(1);
            helgrind::receive(slot.cast());
            let part = *(*slot).part.get();
            let Some(task) = part.task else {
                return ptr::null_mut();
            };
            task(part.args, part.begin, part.end);
            helgrind::send(ptr::from_ref(&pool.open).cast());
            if pool.open.fetch_sub(1, SeqCst) == 1 {
                pool.bed.wake();
            }
        }
    }
}
