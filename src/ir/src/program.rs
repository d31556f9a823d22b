//! A whole program: graph, tensors, signature, dimensions.

use crate::dim::{Pred, Scope, Symbol};
use crate::{Arg, Fact, Graph, Locations, TensorData};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// One exported model.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Name from the archive; the default name of the library.
    pub name: String,
    /// The computation. Its inputs are the user inputs of `signature.inputs` of kind [`InputKind::Tensor`], in order;
    /// its outputs correspond one to one to `signature.outputs`.
    pub graph: Graph,
    /// Parameters, buffers and constants by fully qualified name.
    pub tensors: IndexMap<String, TensorEntry>,
    /// How the caller sees the program.
    pub signature: Signature,
    /// Root symbols, their ranges and what is known of them.
    pub scope: Scope,
    /// What must hold at the entry, besides the ranges of the symbols in `scope`.
    pub constraints: Vec<Constraint>,
    /// The user's source lines, by id.
    pub locations: Locations,
}

/// The buffer of programs that draw random numbers: the seed and the number of calls since it was set, two i64.
pub const RANDOM_STATE: &str = "random.state";

/// A tensor of the program.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    /// What it is to the module.
    pub role: TensorRole,
    /// Element type and shape (always static).
    pub fact: Fact,
    /// Its bytes; absent in programs without weights (parsed text, weightless archives).
    pub data: Option<TensorData>,
}

/// What a tensor is to the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TensorRole {
    /// `nn.Parameter`.
    Parameter,
    /// Registered buffer; `persistent` ones belong to the state dict.
    Buffer { persistent: bool },
    /// A tensor literal or attribute lifted by the exporter, or made by a pass.
    Constant,
}

/// How the caller sees the program.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Signature {
    /// The flattened user inputs, in order, constants included.
    pub inputs: Vec<InputSpec>,
    /// One for each graph output: mutations first, as PyTorch orders them, then the flattened user outputs.
    pub outputs: Vec<OutputSpec>,
    /// Nesting of the inputs: a tuple of (positional tuple, keyword dict), if the archive records it.
    pub input_tree: Option<TreeSpec>,
    /// Nesting of the outputs.
    pub output_tree: Option<TreeSpec>,
    /// What is complex to the caller and pairs of reals in the graph.
    pub pairs: Pairs,
}

/// Tensors of complex numbers that the graph has as real ones with a last dimension of 2: real and imaginary part, as they
/// lie in memory. Empty until complex values are taken apart.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pairs {
    /// Positions in [`Signature::inputs`].
    pub inputs: BTreeSet<usize>,
    /// Positions in [`Signature::outputs`].
    pub outputs: BTreeSet<usize>,
    /// Names in [`Program::tensors`].
    pub tensors: BTreeSet<String>,
}

/// One flattened user input.
#[derive(Clone, PartialEq, Debug)]
pub struct InputSpec {
    /// Name of the leaf as the user would write it: `x`, `inputs["a"][0]`.
    pub name: String,
    /// What the leaf is.
    pub kind: InputKind,
}

/// What a user input leaf is.
#[derive(Clone, PartialEq, Debug)]
pub enum InputKind {
    /// A tensor: the next graph input.
    Tensor,
    /// A symbolic integer; binds this symbol.
    SymInt(Symbol),
    /// A value baked in by the exporter; the caller must pass this very value (or leave it out).
    Constant(Arg),
}

/// One graph output.
#[derive(Clone, PartialEq, Debug)]
pub struct OutputSpec {
    /// Name of the leaf (`output`, `output[0]`, `output["loss"]`) or of the tensor or input that is mutated.
    pub name: String,
    /// What it is.
    pub kind: OutputKind,
}

/// What a graph output is.
#[derive(Clone, PartialEq, Debug)]
pub enum OutputKind {
    /// Returned to the caller.
    User,
    /// The new value of a buffer, by fully qualified name.
    BufferMutation(String),
    /// The new value of user input number `.0` (index into [`Signature::inputs`]).
    InputMutation(usize),
    /// The loss of a training graph; returned to the caller as well.
    Loss,
    /// The gradient of a parameter.
    GradientOfParameter(String),
    /// The gradient of user input number `.0`.
    GradientOfInput(usize),
}

/// What must hold for the sizes of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Constraint {
    /// The condition over root symbols.
    pub pred: Pred,
    /// The rule as the user knows it: guard source, range, or assertion message.
    pub rule: String,
}

/// Nested containers of flattened leaves, as `torch.utils._pytree` records them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeSpec {
    /// Serialised type name (`builtins.tuple`, `builtins.dict`, a registered class); `None` for a leaf.
    pub kind: Option<String>,
    /// The type's context as recorded: dict keys, dataclass fields … (JSON text).
    pub context: Option<String>,
    /// Children in order.
    pub children: Vec<TreeSpec>,
}

impl TreeSpec {
    /// A leaf.
    pub fn leaf() -> TreeSpec {
        TreeSpec { kind: None, context: None, children: Vec::new() }
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        if self.kind.is_none() { 1 } else { self.children.iter().map(TreeSpec::leaves).sum() }
    }
}

impl Program {
    /// Names of the buffers that a call changes, in output order.
    pub fn mutated_buffers(&self) -> impl Iterator<Item = &str> {
        self.signature.outputs.iter().filter_map(|o| match &o.kind {
            OutputKind::BufferMutation(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a tensor keeps its value for the life of the library (and so may be folded and packed).
    pub fn is_constant(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor) && !self.mutated_buffers().any(|m| m == tensor)
    }

    /// Adds a constant made by a pass; the name gets a suffix if it is taken. Returns the name it got.
    pub fn add_constant(&mut self, name: &str, fact: Fact, data: TensorData) -> String {
        let mut unique = name.to_string();
        let mut n = 0;
        while self.tensors.contains_key(&unique) {
            n += 1;
            unique = format!("{name}_{n}");
        }
        let entry = TensorEntry { role: TensorRole::Constant, fact, data: Some(data) };
        self.tensors.insert(unique.clone(), entry);
        unique
    }

    /// The graph inputs with the signature entry of each.
    pub fn tensor_inputs(&self) -> impl Iterator<Item = (usize, &InputSpec, &Fact)> {
        let specs = self.signature.inputs.iter().enumerate().filter(|(_, s)| matches!(s.kind, InputKind::Tensor));
        specs.zip(self.graph.inputs()).filter_map(|((i, s), v)| Some((i, s, self.graph.fact(v)?)))
    }
}
