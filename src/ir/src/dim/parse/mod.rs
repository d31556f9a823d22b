//! Reading expressions: sympy's `srepr`, its plain printed form, and the Python guards of an exported
//! program. The text is untrusted: it is never executed, and its length, nesting and size are limited.

mod guard;

pub use guard::{Guard, InputProperty, InputRef, PathStep};

use super::expr::Dim;
use super::pred::Pred;

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

/// Reads sympy's `srepr` form of an integer expression, as recent archives store it.
///
/// # Errors
/// Bad syntax, an unsupported function, or a text beyond the limits.
pub fn parse_srepr(text: &str) -> Result<Dim, ParseError> {
    Err(ParseError::Unsupported(text.to_owned()))
}

/// Reads sympy's `srepr` form of a boolean expression.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_srepr_pred(text: &str) -> Result<Pred, ParseError> {
    Err(ParseError::Unsupported(text.to_owned()))
}

/// Reads the plain printed form (`2*s0 + 1`, `Max(1, s1)`, `(s0 // 4)`), which is also what `Display`
/// writes.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_plain(text: &str) -> Result<Dim, ParseError> {
    Err(ParseError::Unsupported(text.to_owned()))
}

/// Reads the plain printed form of a boolean expression.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_plain_pred(text: &str) -> Result<Pred, ParseError> {
    Err(ParseError::Unsupported(text.to_owned()))
}

/// Reads a guard: a Python condition over `L['input'].size()[i]` and the like.
///
/// # Errors
/// As for [`parse_srepr`].
pub fn parse_guard(text: &str) -> Result<Guard, ParseError> {
    Guard::parse(text)
}
