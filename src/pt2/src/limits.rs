//! Every limit that reading an archive enforces, in one place.
//!
//! An archive is untrusted input: a count or size is compared with its limit before anything is allocated or
//! looped over because of it. The limits are far above what real programs need (the largest exported program
//! known to us has about 60,000 nodes and 90 MB of JSON) and low enough that a hostile file cannot exhaust
//! memory. They are documented for users in each error that names them.

/// Most entries of the zip directory. A program has one entry per weight storage plus about ten.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Longest entry name in bytes.
pub const MAX_ENTRY_NAME: usize = 4096;

/// Largest JSON document in bytes (`models/model.json` and the two payload configs).
pub const MAX_JSON_BYTES: u64 = 1 << 30;

/// Largest deflated entry after inflation, in bytes. `torch.export.save` deflates nothing; only archives that
/// were zipped again meet this limit, and stored entries do not (they are never copied).
pub const MAX_INFLATED_BYTES: u64 = 1 << 32;

/// Best ratio that the deflate format can reach (1032 : 1); a directory that promises more lies.
pub const MAX_DEFLATE_RATIO: u64 = 1032;

/// Deepest nesting of JSON arrays and objects. One nested graph takes eight levels. It is serde_json's own
/// recursion limit, which is not configurable below or above this.
pub const MAX_JSON_DEPTH: usize = 128;

/// Most dimensions of a tensor: PyTorch's own limit for its kernels (`at::MAX_DIMS` is 64).
pub const MAX_RANK: usize = 64;

/// Largest tensor in bytes when its view of a storage is written out densely. Stride 0 lets a tensor be larger
/// than its file, so this is not implied by the file's size.
pub const MAX_TENSOR_BYTES: u64 = 1 << 36;

/// Most nodes of a program, nested graphs included.
pub const MAX_NODES: usize = 4_000_000;

/// Largest pickle in bytes (`data.pkl` of a `torch.save` zip: names and sizes only, the elements lie beside it).
pub const MAX_PICKLE_BYTES: usize = 1 << 28;

/// Most objects of a pickle. A tensor takes about twelve.
pub const MAX_PICKLE_OBJECTS: usize = 1 << 24;

/// Most leaves and inner nodes of one pytree specification.
pub const MAX_TREE_NODES: usize = 1 << 20;

/// Deepest pytree. Every level is a string-in-a-string free object of two JSON levels, so serde_json's limit
/// of [`MAX_JSON_DEPTH`] levels is met first.
pub const MAX_TREE_DEPTH: usize = 64;

/// Deepest nesting of graphs inside graphs (`cond` in `while_loop` in …).
pub const MAX_GRAPH_DEPTH: usize = 15;
