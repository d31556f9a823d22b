//! C identifiers from PyTorch's names, and texts that are safe inside a C comment.

use std::collections::BTreeSet;

/// Words that cannot be members or functions in C or C++, and macros of common headers and of GNU's C mode.
const RESERVED: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "complex",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "errno",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "i386",
    "if",
    "imaginary",
    "inline",
    "int",
    "linux",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "stderr",
    "stdin",
    "stdout",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "I",
    "NULL",
    "EOF",
    "assert",
];

/// Prefixes whose `_create`, `_destroy` and so on are functions of C libraries, and the one of the descriptor's types.
const TAKEN: &[&str] = &["cnd", "mtx", "pt2c", "pthread", "sem", "thrd", "timer"];

/// Longest identifier that is made from a name.
const LONGEST: usize = 64;

/// Whether a text can prefix the library's names: letters, digits and underscores, a letter first, at most 64
/// characters, no C keyword, and none of the prefixes of C libraries.
pub fn is_identifier(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&text)
        && !TAKEN.contains(&text)
}

/// An identifier for a PyTorch name that is not in `used` (and is added there): `batch["ids"][0]` → `batch_ids_0`. A
/// name that does not start with a letter gets `prefix` in front.
pub fn identifier(path: &str, prefix: &str, used: &mut BTreeSet<String>) -> String {
    let mut name = String::new();
    for c in path.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let mut name = name.trim_end_matches('_').to_owned();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name = if name.is_empty() { prefix.to_owned() } else { format!("{prefix}_{name}") };
    }
    // Only ASCII is left, so any length is a character boundary.
    name.truncate(LONGEST);
    if RESERVED.contains(&name.as_str()) {
        name.push('_');
    }
    let mut unique = name.clone();
    let mut number = 2;
    while !used.insert(unique.clone()) {
        unique = format!("{name}_{number}");
        number += 1;
    }
    unique
}

/// A text for a C comment or a one-line message: no control characters, no comment delimiters, no trigraphs, no line
/// splice.
pub fn comment(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '/' if safe.ends_with('*') => safe.push_str(" /"),
            '*' if safe.ends_with('/') => safe.push_str(" *"),
            '?' if safe.ends_with('?') => safe.push_str(" ?"),
            '\\' => safe.push('/'),
            c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => {
                safe.push(' ')
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_legal_and_unique() {
        let mut used = BTreeSet::new();
        for (path, expected) in [
            ("x", "x"),
            ("batch[\"ids\"][0]", "batch_ids_0"),
            ("0", "input_0"),
            ("class", "class_"),
            ("x", "x_2"),
            ("x!", "x_3"),
            ("_hidden", "hidden"),
            ("größe", "gr_e"),
            ("", "input"),
            ("linux", "linux_"),
        ] {
            assert_eq!(identifier(path, "input", &mut used), expected, "{path}");
        }
    }

    #[test]
    fn comments_cannot_be_left() {
        assert_eq!(comment("a */ int main; /* b"), "a * / int main; / * b");
        assert_eq!(comment("**//"), "** //");
        assert_eq!(comment("line\nbreak\\"), "line break/");
        assert_eq!(comment("??/"), "? ?/");
    }

    #[test]
    fn prefixes() {
        assert!(is_identifier("crepe_tiny2"));
        for bad in ["", "2x", "a-b", "int", "_x", "ä"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
