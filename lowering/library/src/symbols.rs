//! The library's promise about symbols, checked on every object before it goes into the archive: everything defined
//! carries the model's name, everything undefined is in libc, libm or the library itself.

use object::{Object, ObjectSymbol};

use crate::library::LibraryError;
use crate::spec::Function;

include!("allowed_symbols.rs");

/// Checks one object of the library `name`.
/// `provided` are the functions of custom operators, which the library's user defines.
pub fn check(object_name: &str, bytes: &[u8], name: &str, provided: &[Function]) -> Result<(), LibraryError> {
    let file = object::File::parse(bytes)?;
    let prefix = format!("{name}_");
    for symbol in file.symbols().filter(|symbol| symbol.is_global() || symbol.is_undefined()) {
        let symbol_name = symbol.name()?;
        if symbol_name.is_empty() || symbol_name.starts_with(&prefix) {
            continue;
        }
        // Position-independent code names the linker's table.
        if symbol.is_undefined() && (is_allowed(symbol_name) || symbol_name == "_GLOBAL_OFFSET_TABLE_") {
            continue;
        }
        if symbol.is_undefined() && provided.iter().any(|function| function.name == symbol_name) {
            continue;
        }
        return Err(LibraryError::Symbol {
            object: object_name.to_owned(),
            symbol: symbol_name.to_owned(),
            undefined: symbol.is_undefined(),
        });
    }
    Ok(())
}
