//! Buffers between inaccessible pages: a kernel that reads or writes outside dies at once.

use std::ffi::c_void;

unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> i32;
    fn mprotect(at: *mut c_void, len: usize, protection: i32) -> i32;
}

const PAGE: usize = 4096;

/// Elements that touch an inaccessible page at one end.
pub struct Guarded<T> {
    map: *mut c_void,
    len: usize,
    data: *mut T,
    count: usize,
}

impl<T: Copy> Guarded<T> {
    /// A copy of `values`; the guard page lies right behind them, or right before if `front`.
    pub fn new(values: &[T], front: bool) -> Guarded<T> {
        let bytes = size_of_val(values);
        let pages = bytes.div_ceil(PAGE).max(1);
        let len = (pages + 2) * PAGE;
        // SAFETY: a private anonymous mapping of our own; the two outer pages are made inaccessible.
        unsafe {
            let map = mmap(std::ptr::null_mut(), len, 3, 0x22, -1, 0);
            assert!(!map.is_null() && map as isize != -1, "mmap failed");
            assert_eq!(mprotect(map, PAGE, 0), 0);
            assert_eq!(mprotect(map.add((pages + 1) * PAGE), PAGE, 0), 0);
            let offset = if front { PAGE } else { (pages + 1) * PAGE - bytes };
            let data = map.cast::<u8>().add(offset).cast::<T>();
            std::ptr::copy_nonoverlapping(values.as_ptr(), data, values.len());
            Guarded { map, len, data, count: values.len() }
        }
    }

    /// For the kernel.
    pub fn ptr(&self) -> *mut T {
        self.data
    }

    /// What is there now.
    pub fn values(&self) -> &[T] {
        // SAFETY: `count` elements were written at `data`, which stays mapped as long as `self`.
        unsafe { std::slice::from_raw_parts(self.data, self.count) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it outlives `self`.
        unsafe {
            munmap(self.map, self.len);
        }
    }
}

/// Small deterministic pseudo-random values in [−1, 1).
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}
