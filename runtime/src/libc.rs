//! The C library's functions that the runtime uses, for Linux on 64-bit machines.

use core::ffi::{c_char, c_int, c_void};

pub const O_RDONLY: c_int = 0;
pub const O_CLOEXEC: c_int = 0o2000000;
pub const SEEK_END: c_int = 2;
pub const PROT_READ: c_int = 1;
pub const MAP_PRIVATE: c_int = 2;
pub const MADV_HUGEPAGE: c_int = 14;
pub const SIG_SETMASK: c_int = 2;

/// Room for a `pthread_mutex_t` or a `pthread_cond_t` of glibc or musl (40 to 48 bytes).
#[repr(C, align(16))]
pub struct Opaque([u8; 64]);

impl Opaque {
    pub const ZERO: Opaque = Opaque([0; 64]);
}

/// Room for a `sigset_t` (128 bytes).
#[repr(C, align(16))]
pub struct SignalSet(pub [u8; 128]);

unsafe extern "C" {
    pub fn abort() -> !;
    pub fn free(pointer: *mut c_void);
    pub fn posix_memalign(pointer: *mut *mut c_void, alignment: usize, size: usize) -> c_int;
    pub fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    pub fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    pub fn munmap(address: *mut c_void, length: usize) -> c_int;
    pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub fn close(file: c_int) -> c_int;
    pub fn read(file: c_int, buffer: *mut c_void, size: usize) -> isize;
    pub fn lseek(file: c_int, offset: i64, whence: c_int) -> i64;
    pub fn getpid() -> c_int;
    pub fn sched_getaffinity(process: c_int, size: usize, mask: *mut c_void) -> c_int;
    pub fn pthread_create(
        thread: *mut usize,
        attributes: *const c_void,
        start: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    pub fn pthread_join(thread: usize, result: *mut *mut c_void) -> c_int;
    pub fn pthread_mutex_init(mutex: *mut Opaque, attributes: *const c_void) -> c_int;
    pub fn pthread_mutex_destroy(mutex: *mut Opaque) -> c_int;
    pub fn pthread_mutex_lock(mutex: *mut Opaque) -> c_int;
    pub fn pthread_mutex_unlock(mutex: *mut Opaque) -> c_int;
    pub fn pthread_cond_init(condition: *mut Opaque, attributes: *const c_void) -> c_int;
    pub fn pthread_cond_destroy(condition: *mut Opaque) -> c_int;
    pub fn pthread_cond_wait(condition: *mut Opaque, mutex: *mut Opaque) -> c_int;
    pub fn pthread_cond_signal(condition: *mut Opaque) -> c_int;
    pub fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    pub fn sigfillset(set: *mut SignalSet) -> c_int;
}
