//! The root of the object that goes into libraries: the routines and what a program without a standard library needs.
#![no_std]

extern crate pt2c_routines;

unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `abort` may be called at any time.
    unsafe { abort() }
}
