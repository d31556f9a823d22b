//! Guards: Python conditions over the program's inputs.

use std::fmt;

use super::ParseError;
use crate::dim::{Dim, Pred};

/// One step of the way from the arguments to a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathStep {
    /// `['name']`
    Key(String),
    /// `[3]`
    Index(i64),
    /// `.name`
    Attr(String),
}

/// What a guard asks of an input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InputProperty {
    /// The input itself, an integer.
    Value,
    /// `.size()[i]`; a negative index counts from the end.
    Size(i64),
    /// `.stride()[i]`; a negative index counts from the end.
    Stride(i64),
    /// `.storage_offset()`
    StorageOffset,
    /// `.dim()` or `.ndim`
    Rank,
}

/// A leaf of a guard: a property of one input, named by the path that follows `L`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputRef {
    /// The way from the arguments, starting with the parameter's name.
    pub path: Vec<PathStep>,
    /// What of it.
    pub what: InputProperty,
}

/// A parsed guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    refs: Vec<InputRef>,
    text: String,
}

impl Guard {
    /// Reads a guard.
    ///
    /// # Errors
    /// As for [`super::parse_guard`].
    pub fn parse(text: &str) -> Result<Guard, ParseError> {
        Err(ParseError::Unsupported(text.to_owned()))
    }

    /// The inputs' properties that the guard reads, without repetition, in order of appearance.
    pub fn refs(&self) -> &[InputRef] {
        &self.refs
    }

    /// The text as recorded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The predicate that the guard states, given an expression for each input property. `None` from
    /// the resolver makes an error that names the property.
    ///
    /// # Errors
    /// A property without an expression, or an unsupported expression.
    pub fn to_pred(&self, resolve: &dyn Fn(&InputRef) -> Option<Dim>) -> Result<Pred, ParseError> {
        let _ = resolve;
        Err(ParseError::Unsupported(self.text.clone()))
    }
}

impl fmt::Display for InputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L")?;
        for step in &self.path {
            match step {
                PathStep::Key(key) => write!(f, "['{key}']")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
                PathStep::Attr(name) => write!(f, ".{name}")?,
            }
        }
        match &self.what {
            InputProperty::Value => Ok(()),
            InputProperty::Size(i) => write!(f, ".size()[{i}]"),
            InputProperty::Stride(i) => write!(f, ".stride()[{i}]"),
            InputProperty::StorageOffset => write!(f, ".storage_offset()"),
            InputProperty::Rank => write!(f, ".dim()"),
        }
    }
}
