//! The text form of programs: what `--emit`, `--dump-phases` and `pt2c opt` print, and what `pt2c opt` and the tests
//! under `tests/lit` read. [`parse`] of [`print`] gives the same program again, but for the bytes of tensors of more
//! than [`INLINE_ELEMENTS`] elements, which are not printed.
//!
//! # The language
//!
//! ```text
//! // A line that begins with two slashes is a comment.
//! program "name"
//! // Least and greatest value of a root symbol; both may be missing.
//! symbol s77 in 2..512
//! assume Mod(s77, 2) == 0
//! constraint s77 <= 512: "the rule as the user knows it"
//! // Also: buffer, transient buffer. Small tensors carry their elements.
//! parameter "fc.weight": f32[4, 3]
//! constant "two": i64[2] = [1, 2]
//! // Also: int s5, constant 0.5.
//! input "x": tensor
//! // Also: buffer_mutation "b", input_mutation 0, loss, gradient_of_parameter "w", gradient_of_input 0.
//! output "y": user
//! input_tree "builtins.tuple"(*, *)
//! output_tree "builtins.dict"{"[\"y\"]"}(*)
//! location 1: "model.py":12 function "forward" code "y = self.fc(x)" module "fc" class "torch.nn.Linear"
//!
//! graph(%x: f32[s77, 3]) {
//!   %w: f32[4, 3] = tensor "fc.weight"
//!   %y: f32[s77, 4] = aten.linear.default(%x, %w, none) loc(1)
//!   %parts: (f32[2, 4], f32[s77 - 2, 4]) = aten.split_with_sizes.default(%y, [2, s77 - 2], 0)
//!   return %parts.0
//! }
//! ```
//!
//! * Comments stand on lines of their own (`//` divides elsewhere).
//! * Names that are not identifiers are quoted: `%"a b".1`. Output `i` of a node with other than one output is `%n.i`.
//! * A type is a dtype, a shape, and for an order other than row-major the dimensions from outermost to innermost:
//!   `f32[1, 3, 8, 8]@[0, 2, 3, 1]`.
//! * Arguments: `none`, `%value`, `[%a, none]`, integers and integer expressions over symbols, `1.5`, `inf`, `nan`,
//!   `true`, `"text"`, dtypes, `complex(1.0, 0.0)`, `opaque("cpu")`, `graph(…) {…}`, and lists of one of values,
//!   integers, floats and booleans. An empty list says of what: `ints[]`; so does a list that begins with a symbol
//!   named like a keyword: `ints[nan]`.

mod data;
mod lex;
mod parse;
mod print;

pub use lex::TextError;
pub use parse::parse;
pub use print::print;

/// Tensors of up to this many elements are printed with them.
pub const INLINE_ELEMENTS: usize = 64;

/// Words that begin an argument and so are no bare symbols there.
fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 12] =
        ["none", "true", "false", "inf", "nan", "complex", "opaque", "graph", "int", "ints", "tensors", "bools"];
    WORDS.contains(&word) || word == "floats" || word.parse::<crate::DType>().is_ok()
}

/// Whether a name is written without quotes.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
