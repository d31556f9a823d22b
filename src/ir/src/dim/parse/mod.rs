//! Reading expressions: sympy's `srepr`, its plain printed form, and the Python guards of an exported
//! program. The text is untrusted: it is never executed, and its length, nesting and size are limited.
//!
//! `token` and `syntax` read the common Python expression syntax, `lower` gives it meaning, `real`
//! holds the fractions that appear inside integer expressions, `guard` the leaves of guards.

mod guard;
mod lower;
mod real;
mod syntax;
mod token;

pub use guard::{Guard, InputProperty, InputRef, PathStep};

use super::expr::Dim;
use super::pred::Pred;
use lower::Lowering;
use syntax::{Ast, is_keyword, parse};

/// Bytes of text accepted.
const MAX_TEXT: usize = 1 << 18;
/// Tokens (and so nodes) accepted.
const MAX_NODES: usize = 1 << 14;
/// Nesting accepted.
const MAX_NESTING: usize = 100;
/// Bytes of a symbol's name.
const MAX_NAME: usize = 128;

/// Why a text is not an expression that we can represent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the grammar that is expected.
    #[error("at byte {at}: {what}")]
    Syntax {
        /// Offset in the text.
        at: usize,
        /// What was found or missing.
        what: String,
    },
    /// A function, or a use of one, that has no exact integer form here.
    #[error("unsupported expression: {0}")]
    Unsupported(String),
    /// The text, its nesting or its number of nodes is beyond the limit.
    #[error("the expression exceeds the limit on {0}")]
    Limit(&'static str),
}

impl ParseError {
    fn syntax(at: usize, what: impl Into<String>) -> Self {
        ParseError::Syntax { at, what: what.into() }
    }
}

/// Reads sympy's `srepr` form of an integer expression, as recent archives store it.
///
/// # Errors
/// Bad syntax, an unsupported function, or a text beyond the limits.
pub fn parse_srepr(text: &str) -> Result<Dim, ParseError> {
    srepr(text, |lowering, ast| lowering.dim(ast))
}

/// Reads sympy's `srepr` form of a boolean expression, whose classes are `GreaterThan` (≥), `LessThan`
/// (≤), `StrictGreaterThan`, `StrictLessThan`, `Equality`, `Unequality`, `And`, `Or`, `Not`.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_srepr_pred(text: &str) -> Result<Pred, ParseError> {
    srepr(text, |lowering, ast| lowering.pred(ast))
}

/// Reads the plain printed form (`2*s0 + 1`, `Max(1, s1)`, `(s0 // 4)`), which is also what `Display`
/// writes.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_plain(text: &str) -> Result<Dim, ParseError> {
    plain(text, |lowering, ast| lowering.dim(ast))
}

/// Reads the plain printed form of a boolean expression: comparisons, `and`, `or`, `not`, `Eq(…)`, ….
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_plain_pred(text: &str) -> Result<Pred, ParseError> {
    plain(text, |lowering, ast| lowering.pred(ast))
}

/// Reads a guard: a Python condition over `L['input'].size()[i]` and the like.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_guard(text: &str) -> Result<Guard, ParseError> {
    Guard::parse(text)
}

fn srepr<T>(text: &str, read: impl FnOnce(&mut Lowering<'_>, &Ast) -> Result<T, ParseError>) -> Result<T, ParseError> {
    let ast = parse(text)?;
    let mut leaf = |ast: &Ast| match ast {
        // The keyword arguments are sympy's assumptions; ranges come from the range constraints.
        Ast::Call { callee, args, .. } if **callee == Ast::Name("Symbol".to_owned()) => match args.as_slice() {
            [Ast::Str(name)] => symbol(name).map(Some),
            _ => Err(ParseError::Unsupported("Symbol without a name".to_owned())),
        },
        _ => Ok(None),
    };
    read(&mut Lowering { leaf: &mut leaf, float_division: false }, &ast)
}

fn plain<T>(text: &str, read: impl FnOnce(&mut Lowering<'_>, &Ast) -> Result<T, ParseError>) -> Result<T, ParseError> {
    let ast = parse(text)?;
    let mut leaf = |ast: &Ast| match ast {
        Ast::Name(name) if !is_truth_value(name) => symbol(name).map(Some),
        _ => Ok(None),
    };
    read(&mut Lowering { leaf: &mut leaf, float_division: false }, &ast)
}

fn is_truth_value(name: &str) -> bool {
    matches!(name, "True" | "False" | "true" | "false")
}

/// A symbol whose name survives printing and parsing.
fn symbol(name: &str) -> Result<Dim, ParseError> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !plain || name.len() > MAX_NAME || is_keyword(name) || is_truth_value(name) {
        return Err(ParseError::Unsupported(format!(
            "the symbol name {:?}",
            name.chars().take(MAX_NAME).collect::<String>()
        )));
    }
    Ok(Dim::sym(name))
}
