//! Byte ranges that keep their source alive: a piece of a mapped file, or of memory owned by us.

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// What a [`Bytes`] points into.
#[derive(Clone)]
enum Source {
    /// A file mapped read-only.
    Map(Arc<Mmap>),
    /// Memory of our own (an inflated entry, an archive built in memory).
    Owned(Arc<[u8]>),
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Source::Map(map) => map,
            Source::Owned(bytes) => bytes,
        }
    }
}

/// A cheaply clonable range of bytes. Slicing shares the source; nothing is copied.
#[derive(Clone)]
pub struct Bytes {
    source: Source,
    range: Range<usize>,
}

impl Bytes {
    /// Maps a whole file. The file must not be truncated by another process while any part of it is in use
    /// (the operating system would end the process with SIGBUS, as for every mapped file).
    ///
    /// # Errors
    /// What the operating system says about opening or mapping it.
    pub fn map_file(path: &Path) -> std::io::Result<Bytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            // An empty file cannot be mapped on every system.
            return Ok(Bytes::from(Vec::new()));
        }
        // SAFETY: the mapping is private to this process and read-only. Rust asks that nobody changes the file
        // meanwhile; that is the documented condition above, the same one that every mapping reader of model
        // files (safetensors, PyTorch's own `mmap=True`) has, and no value read from it is trusted: checks and
        // uses read each number once.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file)? };
        let range = 0..map.len();
        Ok(Bytes {
            source: Source::Map(Arc::new(map)),
            range,
        })
    }

    /// A part of these bytes, or `None` when the range does not lie inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        Some(Bytes {
            source: self.source.clone(),
            range: self.range.start + range.start..self.range.start + range.end,
        })
    }

    /// Whether two ranges begin at the same byte of the same source and are equally long.
    pub fn same_range(&self, other: &Bytes) -> bool {
        std::ptr::eq(self.as_ptr(), other.as_ptr()) && self.len() == other.len()
    }

    /// Whether the bytes are part of a mapped file rather than a copy in memory.
    pub fn is_mapped(&self) -> bool {
        matches!(self.source, Source::Map(_))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        let range = 0..bytes.len();
        Bytes {
            source: Source::Owned(bytes.into()),
            range,
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // The range was checked against the source when it was made; a source never shrinks.
        self.source.bytes().get(self.range.clone()).unwrap_or(&[])
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_mapped() { "mapped" } else { "owned" };
        write!(f, "Bytes({} {kind})", self.len())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        self.same_range(other) || **self == **other
    }
}

impl Eq for Bytes {}
