//! Persistent threads that divide one task at a time.
//!
//! The caller's thread publishes the task to the slot of each worker that takes part, takes part itself and waits until
//! the count of workers still at it is zero. Each thread has a share of the indices, the same at every task of a size,
//! so that it finds in its caches what it wrote before. It takes ever smaller ranges from its share and then from those of
//! others, so that all end together even where indices differ in work or another program takes a processor away.
//! Both sides spin for a while, then sleep on a condition variable;
//! no lock is taken unless the other side sleeps. The two flags that decide about it (work there / someone sleeps) are
//! written and then read in opposite order by the two sides with sequentially consistent operations, so that a wake-up
//! is never lost.
//!
//! In a process that is forked, where only the forking thread goes on, tasks are not divided: a context made there has threads
//! again.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::*};

use pt2c_abi::{Status, TaskFn};

use crate::libc::{self, Opaque, SignalSet};
use crate::memory::Block;
use crate::message::Message;
use crate::{cpu, helgrind};

/// Upper limit of the thread count.
pub const MAX_THREADS: usize = 1024;

/// Rounds of the spin loop before a thread sleeps: some hundred microseconds, longer than a kernel that one thread computes
/// alone. To sleep and be woken takes tens of microseconds, on a virtual machine more.
const SPINS: u32 = 10_000;

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

/// A task to take part in; no function means: end.
#[derive(Clone, Copy)]
struct Work {
    task: Option<TaskFn>,
    args: *mut *mut c_void,
    extent: i64,
    grain: i64,
    /// Threads that take part.
    threads: i64,
}

impl Work {
    /// The first index of a thread's share.
    fn share(&self, thread: i64) -> i64 {
        let chunks = self.extent / self.grain + i64::from(self.extent % self.grain != 0);
        let (each, extra) = (chunks / self.threads, chunks % self.threads);
        (thread * each + thread.min(extra)).saturating_mul(self.grain).min(self.extent)
    }
}

/// What one worker and the caller share; a cache line pair of its own.
#[repr(C, align(128))]
struct Slot {
    /// Counts what was published.
    sequence: AtomicU32,
    bed: Bed,
    /// Written before `sequence`, read after it.
    work: UnsafeCell<Work>,
    /// The first index of this worker's share that nobody has taken.
    next: Shared,
    pool: *const Pool,
    /// Its number among the threads of a task, from 1.
    own: i64,
    thread: usize,
}

/// A counter on a cache line of its own: every thread writes it.
#[repr(C, align(64))]
struct Shared(AtomicI64);

/// The threads of one context. Lives at a fixed address.
pub struct Pool {
    slots: Block,
    workers: usize,
    /// The process that has the threads: one that is forked from it has none of them.
    process: c_int,
    spins: u32,
    /// Workers that have not finished yet.
    open: AtomicU32,
    /// The first index that nobody has taken.
    next: Shared,
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
                process: libc::getpid(),
                spins: if threads > cpus { 0 } else { SPINS },
                open: AtomicU32::new(0),
                next: Shared(AtomicI64::new(0)),
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
            helgrind::untrack(ptr::from_ref(&pool.next).cast(), size_of::<AtomicI64>());
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
                (*slot).own = index as i64 + 1;
                (*slot).bed.init();
                helgrind::untrack((&raw const (*slot).next).cast(), size_of::<AtomicI64>());
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

    /// Hands a task to a worker that has none.
    ///
    /// # Safety
    /// As [`Pool::slot`]; only the owner of the pool publishes.
    unsafe fn publish(pool: *const Pool, index: usize, work: Work) {
        // SAFETY: the worker reads it only after it has seen the new sequence number.
        unsafe {
            let slot = Pool::slot(pool, index);
            (*slot).work.get().write(work);
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
        // SAFETY: the threads are joined before their slots go; a forked process has none, and the sleepers that its locks
        // remember are the other process's.
        unsafe {
            if (*pool).process != libc::getpid() {
                ptr::drop_in_place(pool);
                return;
            }
            for index in 0..(*pool).workers {
                Pool::publish(pool, index, Work { task: None, args: ptr::null_mut(), extent: 0, grain: 1, threads: 1 });
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
            let threads = chunks.min(this.workers as i64 + 1);
            if threads == 1 || this.process != libc::getpid() || this.busy.swap(true, Acquire) {
                task(args, 0, extent);
                return;
            }
            this.open.store(threads as u32 - 1, SeqCst);
            let work = Work { task: Some(task), args, extent, grain, threads };
            for thread in 0..threads {
                (*Pool::next(pool, thread)).store(work.share(thread), Relaxed);
            }
            for worker in 1..threads {
                Pool::publish(pool, worker as usize - 1, work);
            }
            Pool::take_part(pool, 0, task, &work);
            this.bed.wait(this.spins, || this.open.load(SeqCst) == 0);
            helgrind::receive(ptr::from_ref(&this.open).cast());
            this.busy.store(false, Release);
        }
    }

    /// The counter of a thread's share; thread 0 is the caller.
    ///
    /// # Safety
    /// As [`Pool::slot`].
    unsafe fn next(pool: *const Pool, thread: i64) -> *const AtomicI64 {
        // SAFETY: by the caller's promise.
        unsafe {
            match usize::try_from(thread - 1) {
                Ok(worker) => &raw const (*Pool::slot(pool, worker)).next.0,
                Err(_) => &raw const (*pool).next.0,
            }
        }
    }

    /// Handles ranges until none is left: of this thread's share, then of the others'. Each is half of what is left of
    /// the share, a whole number of grains.
    ///
    /// # Safety
    /// As [`Pool::slot`]; the work is published, so that the counters belong to it.
    unsafe fn take_part(pool: *const Pool, own: i64, task: TaskFn, work: &Work) {
        for step in 0..work.threads {
            let thread = (own + step) % work.threads;
            let last = work.share(thread + 1);
            // SAFETY: by the caller's promise.
            let next = unsafe { &*Pool::next(pool, thread) };
            let mut begin = next.load(Relaxed);
            while begin < last {
                let length = ((last - begin) / 2 / work.grain * work.grain).max(work.grain);
                let end = begin.saturating_add(length).min(last);
                // What the range reads was written before the work was published.
                match next.compare_exchange_weak(begin, end, Relaxed, Relaxed) {
                    Ok(_) => {
                        // SAFETY: by the caller's promise; no other thread has this range.
                        unsafe { task(work.args, begin, end) };
                        begin = next.load(Relaxed);
                    }
                    Err(now) => begin = now,
                }
            }
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
            let work = *(*slot).work.get();
            let Some(task) = work.task else {
                return ptr::null_mut();
            };
            Pool::take_part(pool, (*slot).own, task, &work);
            helgrind::send(ptr::from_ref(&pool.open).cast());
            if pool.open.fetch_sub(1, SeqCst) == 1 {
                pool.bed.wake();
            }
        }
    }
}
