//! Names of symbols, and the small deterministic hash that expression nodes cache.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

/// The name of an integer unknown: `s77` (a size bound at the library's entry), `u0` (an unbacked,
/// data-dependent integer bound by the node that produces it), or a loop variable such as `i0`.
/// Cheap to clone; ordered and compared by name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// A symbol of that name. Names that are not identifiers are legal but do not survive
    /// printing and parsing.
    pub fn new(name: &str) -> Self {
        Symbol(Arc::from(name))
    }

    /// The name as written in the archive.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name has the form PyTorch gives to data-dependent integers (`u0`, `u17`).
    pub fn is_unbacked(&self) -> bool {
        self.0.strip_prefix('u').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl From<&str> for Symbol {
    fn from(name: &str) -> Self {
        Symbol::new(name)
    }
}

impl From<String> for Symbol {
    fn from(name: String) -> Self {
        Symbol(Arc::from(name))
    }
}

impl From<&Symbol> for Symbol {
    fn from(symbol: &Symbol) -> Self {
        symbol.clone()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A multiply-rotate hash with fixed constants: expression nodes cache it, and the fingerprint of an
/// over-large expression is printed, so it must not depend on the standard library's choice.
pub(super) struct StableHasher(u64);

impl StableHasher {
    pub(super) fn new() -> Self {
        StableHasher(0x9e37_79b9_7f4a_7c15)
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_i64(&mut self, value: i64) {
        self.mix(value as u64);
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }
}
