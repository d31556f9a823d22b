//! The container: a zip file, opened by mapping it.
//!
//! Stored entries (all that `torch.export.save` writes) are handed out as ranges of the mapping, so weights are
//! never copied; deflated ones (archives that somebody zipped again) are inflated into memory under a limit.
//! The `zip` crate parses the directory. What it does not promise is checked here: that names are unique and
//! harmless, that the stored sizes agree, that no two entries overlap, that one root folder holds everything,
//! and the checksum of every entry at the time it is read.

mod bytes;
mod layout;

use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;

use indexmap::IndexMap;
use zip::{CompressionMethod, ZipArchive};

pub use bytes::map_file;
pub use layout::Layout;
use pt2c_ir::Bytes;

use crate::limits;

/// What is wrong with a file as a container.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system could not open or map the file.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// A well-formed file of another kind.
    #[error("this is {layout}; {}", layout.advice())]
    WrongLayout {
        /// What it is.
        layout: Layout,
    },
    /// The zip directory is damaged.
    #[error("the zip directory is damaged: {reason}")]
    Damaged {
        /// In the zip reader's words.
        reason: String,
    },
    /// More entries than [`limits::MAX_ENTRIES`].
    #[error("the zip directory lists {count} entries; at most {} are read", limits::MAX_ENTRIES)]
    TooManyEntries {
        /// How many it lists.
        count: u64,
    },
    /// Two entries of one name: which of them counts would depend on the reader.
    #[error("the zip holds two entries named {name:?}")]
    DuplicateEntry {
        /// The name.
        name: String,
    },
    /// An absolute name, one with `..`, a backslash, an empty part or a control character, or one that is not UTF-8.
    #[error("the entry name {name:?} is not a plain relative path")]
    UnsafeName {
        /// The name, damaged characters replaced.
        name: String,
    },
    /// Entries below more than one root folder.
    #[error("the archive has two root folders, {first:?} and {second:?}; torch.export.save writes one")]
    TwoRoots {
        /// The first entry's.
        first: String,
        /// Another entry's.
        second: String,
    },
    /// An entry that asks for a password.
    #[error("entry {name:?} is encrypted")]
    Encrypted {
        /// The entry.
        name: String,
    },
    /// An entry compressed by something else than deflate.
    #[error("entry {name:?} is compressed by {method}; only stored and deflated entries are read")]
    UnsupportedCompression {
        /// The entry.
        name: String,
        /// The zip method.
        method: String,
    },
    /// The directory's offset and size of an entry do not lie inside the file, or contradict each other.
    #[error("the zip lies about entry {name:?}: {reason}")]
    BadEntry {
        /// The entry.
        name: String,
        /// Which numbers contradict each other.
        reason: String,
    },
    /// Two entries share bytes.
    #[error("the zip lies about its offsets: entries {first:?} and {second:?} overlap")]
    Overlap {
        /// The one that starts first.
        first: String,
        /// The one that starts inside it.
        second: String,
    },
    /// An entry that a program needs is not there.
    #[error("the archive has no entry {name:?}")]
    Missing {
        /// Its name below the root folder.
        name: String,
    },
    /// An entry's bytes do not have the checksum that the directory states: the file is damaged.
    #[error("entry {name:?} is damaged (its checksum is {found:08x}, the directory says {expected:08x})")]
    Checksum {
        /// The entry.
        name: String,
        /// As listed.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// An entry larger than what we read into memory.
    #[error("entry {name:?} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// The entry.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// `archive_version` or `byteorder` with a value that we cannot read.
    #[error("{what} is {found:?}; only {supported:?} is read")]
    Unsupported {
        /// The entry's name.
        what: &'static str,
        /// Its value.
        found: String,
        /// The one that we read.
        supported: &'static str,
    },
}

/// The file as the `zip` crate reads it.
#[derive(Clone, Debug)]
struct Source(Bytes);

impl AsRef<[u8]> for Source {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// One entry of the zip directory.
#[derive(Clone, Debug)]
struct Entry {
    /// Position in the directory, by which the `zip` crate finds it again.
    index: usize,
    /// Where its (possibly compressed) bytes lie in the file.
    range: Range<usize>,
    /// Uncompressed size in bytes.
    size: u64,
    deflated: bool,
    crc32: u32,
}

/// An opened archive.
#[derive(Debug)]
pub struct Archive {
    file: Bytes,
    zip: ZipArchive<Cursor<Source>>,
    layout: Layout,
    /// Empty for the flat archives of torch 2.1 to 2.7.
    root: String,
    /// Entries by their names below the root folder, in directory order.
    entries: IndexMap<String, Entry>,
}

impl Archive {
    /// Maps and checks a file.
    ///
    /// # Errors
    /// [`ArchiveError::WrongLayout`] for every file that `torch.export.save` did not write, others for damaged or
    /// dishonest ones.
    pub fn open(path: &Path) -> Result<Archive, ArchiveError> {
        if path.is_dir() {
            return Err(ArchiveError::WrongLayout {
                layout: Layout::Other("a folder (an unpacked archive?), not a file"),
            });
        }
        Archive::from_bytes(map_file(path)?)
    }

    /// Checks an archive that is already in memory.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn from_bytes(file: Bytes) -> Result<Archive, ArchiveError> {
        Archive::of_layout(file, Layout::is_program)
    }

    /// Checks what `torch.save` wrote: the weights of older programs, and example inputs.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn torch_save(file: Bytes) -> Result<Archive, ArchiveError> {
        Archive::of_layout(file, |layout| *layout == Layout::TorchSave)
    }

    fn of_layout(file: Bytes, accepted: fn(&Layout) -> bool) -> Result<Archive, ArchiveError> {
        let mut zip = match ZipArchive::new(Cursor::new(Source(file.clone()))) {
            Ok(zip) => zip,
            Err(error) => return Err(not_a_zip(&file, &error)),
        };
        if zip.len() > limits::MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries { count: zip.len() as u64 });
        }
        reject_duplicates(&file, zip.central_directory_start())?;
        let listed = list_entries(&file, &mut zip)?;
        let layout = Layout::of_names(listed.keys().map(String::as_str));
        if !accepted(&layout) {
            return Err(ArchiveError::WrongLayout { layout });
        }
        reject_overlaps(&listed)?;

        let (root, entries) = match layout {
            Layout::FlatExport => (String::new(), listed),
            _ => {
                let root = root_of(listed.keys().map(String::as_str))?;
                let below = |(name, entry): (String, Entry)| Some((name.get(root.len() + 1..)?.to_owned(), entry));
                let entries = listed.into_iter().filter_map(below).collect();
                (root, entries)
            }
        };
        let archive = Archive { file, zip, layout, root, entries };
        archive.check_marker("archive_version", "0")?;
        archive.check_marker("archive_format", "pt2")?;
        archive.check_marker("byteorder", "little")?;
        Ok(archive)
    }

    /// Which of PyTorch's formats it is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The root folder's name: the base name that the file had when it was saved, or `archive`; empty in flat archives.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Names of all entries below the root folder, in directory order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is such an entry.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Uncompressed size of an entry in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.size)
    }

    /// The bytes of an entry, checked against its checksum: a range of the mapping if it is stored, a new
    /// buffer if it is deflated.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Checksum`], [`ArchiveError::TooLarge`] and
    /// [`ArchiveError::BadEntry`].
    pub fn read(&self, name: &str) -> Result<Bytes, ArchiveError> {
        let entry = self.entries.get(name).ok_or_else(|| ArchiveError::Missing { name: name.to_owned() })?;
        let bytes = if entry.deflated {
            self.inflate(name, entry)?
        } else {
            self.file.slice(entry.range.start, entry.range.len()).ok_or_else(|| ArchiveError::BadEntry {
                name: name.to_owned(),
                reason: "it does not lie inside the file".to_owned(),
            })?
        };
        let found = crc32fast::hash(&bytes);
        if found != entry.crc32 {
            return Err(ArchiveError::Checksum { name: name.to_owned(), expected: entry.crc32, found });
        }
        Ok(bytes)
    }

    /// A JSON document: [`Archive::read`] under [`limits::MAX_JSON_BYTES`].
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn read_json(&self, name: &str) -> Result<Bytes, ArchiveError> {
        match self.size(name) {
            Some(size) if size > limits::MAX_JSON_BYTES => {
                Err(ArchiveError::TooLarge { name: name.to_owned(), size, limit: limits::MAX_JSON_BYTES })
            }
            _ => self.read(name),
        }
    }

    fn inflate(&self, name: &str, entry: &Entry) -> Result<Bytes, ArchiveError> {
        if entry.size > limits::MAX_INFLATED_BYTES {
            return Err(ArchiveError::TooLarge {
                name: name.to_owned(),
                size: entry.size,
                limit: limits::MAX_INFLATED_BYTES,
            });
        }
        let bad = |reason: String| ArchiveError::BadEntry { name: name.to_owned(), reason };
        // The archive's clone shares the directory; only the cursor is its own.
        let mut zip = self.zip.clone();
        let reader = zip.by_index(entry.index).map_err(|error| bad(error.to_string()))?;
        // The buffer grows with what really comes out, not with what the directory promises.
        let mut bytes = Vec::new();
        reader
            .take(entry.size + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| bad(format!("it cannot be inflated: {error}")))?;
        if bytes.len() as u64 != entry.size {
            let found =
                if bytes.len() as u64 > entry.size { "more".to_owned() } else { format!("{} bytes", bytes.len()) };
            return Err(bad(format!("the directory says {} bytes, it inflates to {found}", entry.size)));
        }
        Ok(Bytes::new(bytes))
    }

    /// Compares one of the small text entries that say how to read the rest; a missing one is no contradiction.
    fn check_marker(&self, what: &'static str, supported: &'static str) -> Result<(), ArchiveError> {
        if !self.contains(what) {
            return Ok(());
        }
        let bytes = self.read(what)?;
        let head = bytes.get(..bytes.len().min(32)).unwrap_or(&[]);
        let found = String::from_utf8_lossy(head).trim().to_owned();
        if found == supported {
            return Ok(());
        }
        Err(ArchiveError::Unsupported { what, found, supported })
    }
}

/// Tells a damaged zip from a file of another kind.
fn not_a_zip(file: &Bytes, error: &zip::result::ZipError) -> ArchiveError {
    let looks_like_zip = file.starts_with(b"PK\x03\x04");
    let has_directory_end = file.windows(4).rev().take(1 << 17).any(|w| w == b"PK\x05\x06");
    if looks_like_zip && has_directory_end {
        return ArchiveError::Damaged { reason: error.to_string() };
    }
    ArchiveError::WrongLayout { layout: Layout::of_plain_file(file) }
}

/// Walks the central directory for repeated names, which the `zip` crate silently merges.
fn reject_duplicates(file: &Bytes, directory_start: u64) -> Result<(), ArchiveError> {
    const HEADER: usize = 46;
    let u16_at = |bytes: &[u8], at: usize| -> usize {
        match bytes.get(at..at + 2) {
            Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut rest = usize::try_from(directory_start).ok().and_then(|start| file.get(start..)).unwrap_or(&[]);
    while let Some(header) = rest.get(..HEADER) {
        if !header.starts_with(b"PK\x01\x02") {
            break;
        }
        let name_len = u16_at(header, 28);
        let extra = u16_at(header, 30) + u16_at(header, 32);
        let Some(name) = rest.get(HEADER..HEADER + name_len) else {
            break;
        };
        if !seen.insert(name) {
            return Err(ArchiveError::DuplicateEntry { name: String::from_utf8_lossy(name).into_owned() });
        }
        if seen.len() > limits::MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries { count: seen.len() as u64 });
        }
        rest = rest.get(HEADER + name_len + extra..).unwrap_or(&[]);
    }
    Ok(())
}

/// Checks every entry's name, method, offset and sizes. Folder entries are dropped.
fn list_entries(file: &Bytes, zip: &mut ZipArchive<Cursor<Source>>) -> Result<IndexMap<String, Entry>, ArchiveError> {
    let mut entries = IndexMap::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|error| ArchiveError::Damaged { reason: error.to_string() })?;
        let name = match std::str::from_utf8(entry.name_raw()) {
            Ok(name) if is_plain_path(name) => name.to_owned(),
            _ => {
                return Err(ArchiveError::UnsafeName { name: String::from_utf8_lossy(entry.name_raw()).into_owned() });
            }
        };
        if name.ends_with('/') {
            continue;
        }
        if entry.encrypted() {
            return Err(ArchiveError::Encrypted { name });
        }
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            method => {
                return Err(ArchiveError::UnsupportedCompression { name, method: method.to_string() });
            }
        };
        let (size, compressed) = (entry.size(), entry.compressed_size());
        let range = entry
            .data_start()
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| Some(start..start.checked_add(usize::try_from(compressed).ok()?)?))
            .filter(|range| range.end <= file.len());
        let Some(range) = range else {
            return Err(ArchiveError::BadEntry {
                name,
                reason: format!("its {compressed} bytes do not lie inside the file of {} bytes", file.len()),
            });
        };
        if !deflated && size != compressed {
            return Err(ArchiveError::BadEntry {
                name,
                reason: format!("it is stored, yet {compressed} bytes are to become {size}"),
            });
        }
        // A deflate block needs a few bytes even for an empty entry.
        let most = compressed.saturating_mul(limits::MAX_DEFLATE_RATIO);
        if deflated && size > most {
            return Err(ArchiveError::BadEntry {
                name,
                reason: format!("{compressed} deflated bytes cannot become {size}"),
            });
        }
        let crc32 = entry.crc32();
        entries.insert(name, Entry { index, range, size, deflated, crc32 });
    }
    Ok(entries)
}

/// Whether a name is a relative path of plain parts. Nothing is ever extracted to disk, but a name that tries
/// to leave its folder is a sign of a hostile file.
fn is_plain_path(name: &str) -> bool {
    let trimmed = name.strip_suffix('/').unwrap_or(name);
    !trimmed.is_empty()
        && name.len() <= limits::MAX_ENTRY_NAME
        && !name.chars().any(|c| c.is_control() || c == '\\')
        && trimmed.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Two entries with common bytes make a small file expand without bound and are never written by PyTorch.
fn reject_overlaps(entries: &IndexMap<String, Entry>) -> Result<(), ArchiveError> {
    let mut ranges: Vec<(&Range<usize>, &str)> = entries
        .iter()
        .filter(|(_, entry)| !entry.range.is_empty())
        .map(|(name, entry)| (&entry.range, name.as_str()))
        .collect();
    ranges.sort_by_key(|(range, name)| (range.start, range.end, *name));
    for pair in ranges.windows(2) {
        if let [(first, first_name), (second, second_name)] = pair
            && second.start < first.end
        {
            return Err(ArchiveError::Overlap { first: (*first_name).to_owned(), second: (*second_name).to_owned() });
        }
    }
    Ok(())
}

/// The one folder that all entries lie in.
fn root_of<'a>(names: impl Iterator<Item = &'a str>) -> Result<String, ArchiveError> {
    let mut root: Option<&str> = None;
    for name in names {
        let this = name.split_once('/').map_or("", |(root, _)| root);
        match root {
            None => root = Some(this),
            Some(first) if first == this => {}
            Some(first) => {
                return Err(ArchiveError::TwoRoots { first: first.to_owned(), second: this.to_owned() });
            }
        }
    }
    Ok(root.unwrap_or("").to_owned())
}
