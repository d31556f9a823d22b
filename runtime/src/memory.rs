//! Aligned allocation.

use core::ffi::c_void;
use core::ptr;

use crate::libc;

/// The size of a huge page as the platform's functions take it.
const HUGE: usize = pt2c_abi::HUGE_PAGE as usize;

/// Asks the kernel to back the huge pages that lie within the range with huge pages: fewer translations to look up, and
/// prefetching that does not end every 4 KiB. Of a mapped file, pages that are not in memory yet are then read as huge ones.
/// A refusal only costs speed.
///
/// # Safety
/// The range is mapped.
pub unsafe fn advise_huge(start: *const u8, size: usize) {
    let gap = start.align_offset(HUGE);
    let length = size.saturating_sub(gap) / HUGE * HUGE;
    if length > 0 {
        // SAFETY: whole pages within a mapped range; their content does not change.
        unsafe { libc::madvise(start.wrapping_add(gap).cast_mut().cast(), length, libc::MADV_HUGEPAGE) };
    }
}

/// Memory that is freed when the value is dropped.
pub struct Block {
    start: *mut u8,
    size: usize,
}

impl Block {
    pub const EMPTY: Block = Block { start: ptr::null_mut(), size: 0 };

    /// `size` bytes at an address that is a multiple of [`pt2c_abi::ALIGNMENT`]; `None` without memory. The content is
    /// undefined.
    pub fn new(size: u64) -> Option<Block> {
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            return Some(Block::EMPTY);
        }
        if size > isize::MAX as usize {
            return None;
        }
        let alignment = if size >= 2 * HUGE { HUGE } else { pt2c_abi::ALIGNMENT as usize };
        let mut start: *mut c_void = ptr::null_mut();
        // SAFETY: `start` is valid for writing, the alignment is a power of two and a multiple of a pointer's size.
        if unsafe { libc::posix_memalign(&mut start, alignment, size) } != 0 {
            return None;
        }
        if alignment == HUGE {
            // SAFETY: the range was just allocated.
            unsafe { advise_huge(start.cast(), size) };
        }
        Some(Block { start: start.cast(), size })
    }

    /// As [`Block::new`], filled with zeros.
    pub fn zeroed(size: u64) -> Option<Block> {
        let block = Block::new(size)?;
        if block.size > 0 {
            // SAFETY: the block is `size` bytes long.
            unsafe { ptr::write_bytes(block.start, 0, block.size) };
        }
        Some(block)
    }

    /// The first byte; null for an empty block.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size as u64
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: null or from `posix_memalign`, and freed once.
        unsafe { libc::free(self.start.cast()) };
    }
}

/// A fixed number of plain values.
pub struct Array<T: Copy> {
    block: Block,
    count: usize,
    values: core::marker::PhantomData<T>,
}

impl<T: Copy> Array<T> {
    /// `count` values whose bytes are all zero, which must be a valid `T`; `None` without memory.
    ///
    /// # Safety
    /// All-zero bytes are a valid `T`.
    pub unsafe fn zeroed(count: usize) -> Option<Array<T>> {
        let bytes = count.checked_mul(size_of::<T>())?;
        Some(Array { block: Block::zeroed(bytes as u64)?, count, values: core::marker::PhantomData })
    }
}

impl<T: Copy> core::ops::Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: the block holds `count` valid values.
        unsafe { core::slice::from_raw_parts(self.block.start().cast(), self.count) }
    }
}

impl<T: Copy> core::ops::DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.count == 0 {
            return &mut [];
        }
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.block.start().cast(), self.count) }
    }
}

/// A number of blocks, empty at first.
pub struct Blocks {
    places: Array<(*mut u8, usize)>,
}

impl Blocks {
    /// `count` empty blocks; `None` without memory.
    pub fn new(count: usize) -> Option<Blocks> {
        // SAFETY: a null pointer and a zero are valid.
        unsafe { Array::zeroed(count) }.map(|places| Blocks { places })
    }

    /// First byte and size of a block; `None` if there is no such one.
    pub fn get(&self, index: usize) -> Option<(*mut u8, u64)> {
        self.places.get(index).map(|&(start, size)| (start, size as u64))
    }

    /// Frees a block and puts a new one in its place.
    pub fn set(&mut self, index: usize, block: Block) {
        let Some(place) = self.places.get_mut(index) else { return };
        drop(Block { start: place.0, size: place.1 });
        *place = (block.start, block.size);
        core::mem::forget(block);
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for place in self.places.iter() {
            drop(Block { start: place.0, size: place.1 });
        }
    }
}
