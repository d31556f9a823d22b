//! What the C library's allocator, which Rust and LLVM share, does with large blocks.

/// Blocks from this size on are mapped one by one: bytes.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Gives large blocks back to the system as soon as they are freed. By default glibc keeps those of up to 32 MiB once the
/// first of them was freed, and the packed copies of a model's weights, hundreds of such blocks, stay until the end.
pub fn return_large_blocks() {
    // SAFETY: `mallopt` takes and returns plain integers; a refusal leaves the default.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
