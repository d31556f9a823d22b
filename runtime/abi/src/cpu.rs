//! CPU features that compiled code may need, as bits of [`crate::Model::cpu_features`]. The runtime refuses to create
//! a context on a machine that lacks one, instead of dying of an illegal instruction later.

/// Name (as LLVM spells it) and bit of every feature that the runtime knows how to look for.
pub const FEATURES: &[(&str, u64)] = &[
    ("sse3", 1 << 0),
    ("ssse3", 1 << 1),
    ("sse4.1", 1 << 2),
    ("sse4.2", 1 << 3),
    ("popcnt", 1 << 4),
    ("avx", 1 << 5),
    ("avx2", 1 << 6),
    ("fma", 1 << 7),
    ("f16c", 1 << 8),
    ("bmi", 1 << 9),
    ("bmi2", 1 << 10),
    ("lzcnt", 1 << 11),
    ("movbe", 1 << 12),
    ("avx512f", 1 << 13),
    ("avx512bw", 1 << 14),
    ("avx512cd", 1 << 15),
    ("avx512dq", 1 << 16),
    ("avx512vl", 1 << 17),
    ("avx512vnni", 1 << 18),
    ("avx512bf16", 1 << 19),
    ("avx512fp16", 1 << 20),
    ("avx512vbmi", 1 << 21),
    ("avxvnni", 1 << 22),
    ("amx-tile", 1 << 23),
    ("amx-int8", 1 << 24),
    ("amx-bf16", 1 << 25),
];

/// The bit of a feature by LLVM's name (with or without a leading `+`); `None` for one that the runtime does not check.
pub fn feature_bit(name: &str) -> Option<u64> {
    let name = name.strip_prefix('+').unwrap_or(name);
    FEATURES.iter().find(|(known, _)| *known == name).map(|&(_, bit)| bit)
}
