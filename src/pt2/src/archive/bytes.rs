//! Mapping a file as shared bytes.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use pt2c_ir::Bytes;

/// Maps a whole file. The file must not be truncated by another process while any part of it is in use (the
/// operating system would end the process with SIGBUS, as for every mapped file).
///
/// # Errors
/// What the operating system says about opening or mapping it.
pub fn map_file(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        // An empty file cannot be mapped on every system.
        return Ok(Bytes::new(Vec::new()));
    }
    // SAFETY: the mapping is private to this process and read-only. Rust asks that nobody changes the file
    // meanwhile; that is the documented condition above, the same one that every mapping reader of model files
    // (safetensors, PyTorch's own `mmap=True`) has. Every use is bounds-checked against the mapping's length,
    // which is fixed, so changed bytes can make a wrong result but no access outside.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::new(map))
}
