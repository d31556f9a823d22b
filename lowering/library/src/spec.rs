//! What the code generator tells this crate about a model: leaves, symbols, rules, buffers, state and weights.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pt2c_ir::dim::{Dim, Pred};
use pt2c_ir::{Bytes, DType};

pub use pt2c_abi::LeafKind;

/// The interface and the memory of one compiled model.
///
/// The indices are those of the vectors: `Buffer::Input(i)` is `inputs[i]`; in the generated entry function
/// (`NAME__main`, see [`pt2c_abi::MainFn`]) `values[i]` is `buffers[i]` and `symbols[i]` is `symbols[i]` of this
/// struct. Expressions use the symbols by name.
#[derive(Clone, Debug, Default)]
pub struct LibrarySpec {
    /// Prefix of every symbol, file and type: a C identifier.
    pub name: String,
    /// Lines about the model for the header's first comment.
    pub description: Vec<String>,
    /// The target CPU as text (`x86-64-v4`).
    pub cpu: String,
    /// LLVM's names of the features that the code needs; those that [`pt2c_abi::cpu`] does not know are not checked at
    /// run time.
    pub cpu_features: Vec<String>,
    pub inputs: Vec<Leaf>,
    pub outputs: Vec<Leaf>,
    /// Leaves that are baked into the program.
    pub constants: Vec<Constant>,
    pub symbols: Vec<Symbol>,
    pub constraints: Vec<Constraint>,
    pub states: Vec<State>,
    pub buffers: Vec<Buffer>,
    /// Bytes of the arena; `None` = no arena.
    pub arena_size: Option<Dim>,
    /// The symbols that the run computes, in the order in which it does.
    pub stages: Vec<Stage>,
    /// Texts of the failures that the program reports with `rt_fail`, by message id; `{}` stands for the value.
    pub messages: Vec<String>,
    pub forward: Forward,
    /// What the library's user has to provide.
    pub functions: Vec<Function>,
}

/// A function of a custom operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    /// What it is given: type and name.
    pub parameters: Vec<(&'static str, String)>,
}

/// An input or an output of the call.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The leaf as PyTorch names it (`x`, `batch["ids"]`, `outputs.logits`); the C name is made from it.
    pub path: String,
    /// Position among the flattened leaves of inputs or outputs, constants included.
    pub position: u32,
    pub kind: LeafKind,
    pub dtype: DType,
    /// Sizes of a tensor, outermost first.
    pub shape: Vec<Dim>,
    /// An integer leaf: its value. An input's is a symbol or linear in one.
    pub value: Option<Dim>,
    /// Inputs: the program writes to the caller's data.
    pub mutated: bool,
    /// Outputs whose size the run computes: the greatest number of elements that it can have, from the symbols of the
    /// inputs, if that is known.
    pub most: Option<Dim>,
}

impl Leaf {
    /// A tensor leaf that is not mutated.
    pub fn tensor(path: &str, position: u32, dtype: DType, shape: Vec<Dim>) -> Leaf {
        Leaf {
            path: path.to_owned(),
            position,
            kind: LeafKind::Tensor,
            dtype,
            shape,
            value: None,
            mutated: false,
            most: None,
        }
    }

    /// An integer leaf.
    pub fn int(path: &str, position: u32, value: Dim) -> Leaf {
        Leaf { kind: LeafKind::Int, value: Some(value), ..Leaf::tensor(path, position, DType::I64, Vec::new()) }
    }
}

/// A leaf whose value is fixed in the program.
#[derive(Clone, Debug)]
pub struct Constant {
    pub path: String,
    /// Whether it is among the outputs.
    pub output: bool,
    pub position: u32,
    pub value: Literal,
}

/// A value that the exporter fixed.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// A value that no argument of a call can be.
    Other,
}

/// The value as Python prints it.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::None => f.write_str("None"),
            Literal::Bool(true) => f.write_str("True"),
            Literal::Bool(false) => f.write_str("False"),
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(value) => write!(f, "{value:?}"),
            Literal::Str(value) => write!(f, "{value:?}"),
            Literal::Other => f.write_str("a fixed value"),
        }
    }
}

/// Nested containers of leaves in Python.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Type of the container as PyTorch serialises it (`builtins.dict`, a registered class); `None` = a leaf.
    pub type_name: Option<String>,
    /// The type's context as JSON text: the keys of a dict, for example.
    pub context: Option<String>,
    /// Attribute names of the children of a class, where they are known.
    pub fields: Vec<String>,
    pub children: Vec<Tree>,
}

/// How Python code calls the model: for bindings that pass nested values.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// Names of the arguments, positional ones first; empty if the archive does not tell.
    pub arguments: Vec<String>,
    /// Nesting of the input leaves: (positional tuple, keyword dict).
    pub input_tree: Option<Tree>,
    /// Nesting of the output leaves.
    pub output_tree: Option<Tree>,
    /// Output leaves that are floats to Python; the library returns them as tensors without dimensions.
    pub floats: BTreeSet<u32>,
    /// The same for bools.
    pub bools: BTreeSet<u32>,
}

/// A root symbol.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// `s77`, `u0`: a C identifier.
    pub name: String,
    /// Inclusive bounds; `i64::MAX` = none above.
    pub min: i64,
    pub max: i64,
    /// The run computes it (an unbacked symbol): the entry function calls `rt_bind`. All others are solved from the input
    /// sizes.
    pub computed: bool,
}

/// What the run knows when it has computed a symbol.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Index of the symbol.
    pub symbol: u32,
    /// Bytes of the arena for the buffers whose sizes are known then.
    pub arena: Dim,
}

impl LibrarySpec {
    /// The program's name within a library of several (`encoder` of `speech_encoder`); empty if it has the library's name.
    pub fn name_in(&self, library: &str) -> &str {
        self.name.strip_prefix(library).unwrap_or(&self.name).trim_start_matches('_')
    }

    /// The symbol that decides an expression last, if the run computes any of its symbols.
    pub fn late(&self, symbols: &BTreeSet<pt2c_ir::dim::Symbol>) -> Option<u32> {
        let mentioned = |stage: &&Stage| {
            let name = self.symbols.get(stage.symbol as usize).map(|s| s.name.as_str());
            symbols.iter().any(|s| Some(s.as_str()) == name)
        };
        self.stages.iter().rev().find(mentioned).map(|stage| stage.symbol)
    }
}

/// A rule that every call must satisfy. One that mentions computed symbols is checked when the last is known.
#[derive(Clone, Debug)]
pub struct Constraint {
    pub rule: Pred,
    /// What the error says after "is N, but "; default: `must satisfy RULE`.
    pub text: Option<String>,
}

/// A buffer that keeps its content from call to call.
#[derive(Clone, Debug)]
pub struct State {
    /// Its qualified name in the PyTorch module.
    pub path: String,
    pub dtype: DType,
    pub shape: Vec<i64>,
    /// Where its initial content is in the weights (bytes); `None` = zeros.
    pub initial: Option<u64>,
}

/// One entry of the `values` array of the entry function.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// The data of `inputs[i]` (a tensor).
    Input(u32),
    /// The data of `outputs[i]` (a tensor).
    Output(u32),
    /// A place in the arena (in that of a stage, if the size depends on symbols that the run computes), in bytes;
    /// offsets are multiples of [`pt2c_abi::ALIGNMENT`].
    Arena { offset: Dim, size: Dim },
    /// `states[i]`.
    State(u32),
    /// A place in the weights, in bytes.
    Weights { offset: u64, size: u64 },
}

/// The weights' content: pieces laid out one after the other at aligned offsets. Borrowed pieces (parameters in the
/// mapped archive) are not copied before they are written.
#[derive(Clone, Debug, Default)]
pub struct Weights<'a> {
    pieces: Vec<(u64, Piece<'a>)>,
    size: u64,
}

/// One piece of the weights.
#[derive(Clone, Debug)]
enum Piece<'a> {
    Plain(Cow<'a, [u8]>),
    Shared(Bytes),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Plain(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

impl<'a> Weights<'a> {
    /// Appends a piece and returns its offset, a multiple of [`pt2c_abi::ALIGNMENT`].
    pub fn push(&mut self, bytes: impl Into<Cow<'a, [u8]>>) -> u64 {
        self.append(Piece::Plain(bytes.into()))
    }

    /// As [`Weights::push`] for bytes that someone else keeps, such as a mapped file.
    pub fn push_shared(&mut self, bytes: Bytes) -> u64 {
        self.append(Piece::Shared(bytes))
    }

    fn append(&mut self, piece: Piece<'a>) -> u64 {
        let offset = self.size.next_multiple_of(pt2c_abi::ALIGNMENT);
        self.size = offset + piece.bytes().len() as u64;
        self.pieces.push((offset, piece));
        offset
    }

    /// Appends the pieces of another program's weights that are not here yet, and gives the new offset of every piece
    /// by its old one.
    pub(crate) fn absorb(&mut self, other: &Weights<'a>) -> BTreeMap<u64, u64> {
        let key = |bytes: &[u8]| (bytes.len(), pt2c_abi::hash::hash(bytes));
        let mut known: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
        for (index, (_, piece)) in self.pieces.iter().enumerate() {
            known.entry(key(piece.bytes())).or_default().push(index);
        }
        let mut moved = BTreeMap::new();
        for (old, piece) in &other.pieces {
            let candidates = known.entry(key(piece.bytes())).or_default();
            let same = |index: &&usize| self.pieces.get(**index).is_some_and(|(_, p)| p.bytes() == piece.bytes());
            let found =
                candidates.iter().find(same).and_then(|&index| self.pieces.get(index)).map(|(offset, _)| *offset);
            let offset = found.unwrap_or_else(|| {
                candidates.push(self.pieces.len());
                self.append(piece.clone())
            });
            moved.insert(*old, offset);
        }
        moved
    }

    /// Total bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Calls `write` with the content in order, gaps as zeros. Each piece is let go once it is written: of large weights
    /// there is hardly more than one copy at a time.
    pub(crate) fn for_each(self, mut write: impl FnMut(&[u8])) {
        let mut position = 0;
        for (offset, piece) in self.pieces {
            let bytes = piece.bytes();
            let gap = offset.saturating_sub(position) as usize;
            write(&[0; pt2c_abi::ALIGNMENT as usize][..gap.min(pt2c_abi::ALIGNMENT as usize)]);
            write(bytes);
            position = offset + bytes.len() as u64;
        }
    }
}

/// A spec that no library can be made from. These are mistakes of the compiler, except for an invalid name.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The prefix must be usable in C.
    #[error(
        "\"{0}\" cannot name a library: it must be a C identifier (letters, digits, _; a letter first; at most 64 characters) that no C library uses as a prefix"
    )]
    Name(String),
    /// No input determines the symbol.
    #[error("no input size determines {symbol}: every symbol must be a size of an input, or linear in one")]
    Unbound { symbol: String },
    /// An expression uses a symbol that is not in the list.
    #[error("{place} uses the symbol {symbol}, which is not declared")]
    Undeclared { place: String, symbol: String },
    /// A reference to something that is not there, or a shape that makes no sense.
    #[error("inconsistent library description: {0}")]
    Inconsistent(String),
}
