//! Notes to valgrind's thread checker. It knows mutexes and condition variables but not atomics, so the pool tells it
//! what its atomics order. On a real machine each note is five instructions that do nothing.

use core::ffi::c_void;

/// Helgrind's request numbers (`valgrind/helgrind.h`): the tool's letters H and G, then a running number.
const SEND: u64 = 0x4847_0121;
const RECEIVE: u64 = 0x4847_0122;
const UNTRACK: u64 = 0x4847_0127;

fn request(number: u64, a: u64, b: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        let arguments: [u64; 6] = [number, a, b, 0, 0, 0];
        // SAFETY: the rotations add up to 128 bits and restore rdi, the exchange of a register with itself does
        // nothing. Under valgrind the sequence is a request: it reads the six words behind rax and puts a result into
        // rdx.
        unsafe {
            core::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") arguments.as_ptr(),
                inout("rdx") 0u64 => _,
                options(nostack),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (number, a, b);
}

/// What this thread did so far happens before what follows a [`receive`] of the same tag.
pub fn send(tag: *const c_void) {
    request(SEND, tag as u64, 0);
}

/// See [`send`].
pub fn receive(tag: *const c_void) {
    request(RECEIVE, tag as u64, 0);
}

/// The memory holds atomics: accesses to it are no races.
pub fn untrack(start: *const c_void, size: usize) {
    request(UNTRACK, start as u64, size as u64);
}
