//! The runtime's object, compiled by this crate's build script, and the renaming of symbols for one library.

use object::build::ByteString;
use object::build::elf::{Builder, SectionData};
use object::elf;
use object::{Object, ObjectSymbol};

use crate::library::LibraryError;

/// The object as rustc made it.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.o"));

/// The routines' object.
const ROUTINES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/routines.o"));

/// What the names of routines begin with.
const ROUTINE: &str = "pt2c_rt_routine_";

/// Prefix of the runtime's public functions.
const PUBLIC: &str = "pt2c_api_";
/// Prefix of everything that only the library's own objects use.
const PRIVATE: &str = "pt2c_rt_";

/// The runtime for the library `name`.
pub fn object(name: &str) -> Result<Vec<u8>, LibraryError> {
    rename(OBJECT, name)
}

/// The routines for the library `name`.
pub fn routines(name: &str) -> Result<Vec<u8>, LibraryError> {
    rename(ROUTINES, name)
}

/// Whether an object, as a code generator wrote it, calls a routine.
pub fn calls_routines(object: &[u8]) -> Result<bool, LibraryError> {
    let file = object::File::parse(object)?;
    Ok(file.symbols().any(|s| s.is_undefined() && s.name().is_ok_and(|n| n.starts_with(ROUTINE))))
}

/// Gives an object's symbols the names of the library `name`: `pt2c_api_X` becomes `NAME_X`, `pt2c_rt_X` becomes
/// `NAME__rt_X`; the latter and whatever else begins with `NAME__` is hidden, so that no shared library which holds
/// this code exports it.
pub fn rename(object: &[u8], name: &str) -> Result<Vec<u8>, LibraryError> {
    let mut builder = Builder::read(object)?;
    let internal = format!("{name}__");
    for symbol in &mut builder.symbols {
        let Ok(old) = std::str::from_utf8(symbol.name.as_slice()) else {
            continue;
        };
        let new = if let Some(rest) = old.strip_prefix(PUBLIC) {
            format!("{name}_{rest}")
        } else if let Some(rest) = old.strip_prefix(PRIVATE) {
            format!("{internal}rt_{rest}")
        } else {
            old.to_owned()
        };
        if new.starts_with(&internal) && symbol.st_bind() != elf::STB_LOCAL {
            symbol.st_other = elf::STV_HIDDEN;
        }
        symbol.name = ByteString::from(new.into_bytes());
    }
    for section in &mut builder.sections {
        // Names the compilers and their versions, and changes nothing.
        section.delete |= section.name.as_slice() == b".comment";
    }
    // LLVM keeps the names of sections and of symbols in one table, the writer wants two.
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = builder.sections.add();
        names.name = ByteString::from(".shstrtab");
        names.sh_type = elf::SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes)?;
    Ok(bytes)
}
