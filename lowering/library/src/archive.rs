//! The static library: members in a given order with a symbol table, and nothing that depends on time, user or place.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};

use crate::library::CompiledObject;

/// Writes the objects as a GNU archive.
pub fn write(path: &Path, objects: &[CompiledObject]) -> std::io::Result<()> {
    let members: Vec<NewArchiveMember<'_>> = objects
        .iter()
        .map(|object| NewArchiveMember::new(object.bytes.as_slice(), &DEFAULT_OBJECT_READER, object.name.clone()))
        .collect();
    let mut out = BufWriter::new(File::create(path)?);
    write_archive_to_stream(&mut out, &members, ArchiveKind::Gnu, false, None)?;
    out.flush()
}
