//! Why a program cannot be imported: what, where in the user's source, and what to do.

use pt2c_ir::dim::ParseError;
use pt2c_ir::{Diagnostic, Location};

use crate::payload::PayloadError;
use crate::schema::UnsupportedScalarType;

/// An import that failed, with the place in the user's program where known.
#[derive(Debug, thiserror::Error)]
#[error("{kind}{}", subject.as_ref().map(|s| format!(" (in {s})")).unwrap_or_default())]
pub struct ImportError {
    /// What is wrong.
    pub kind: ImportErrorKind,
    /// The node: `node "relu_" (aten.relu_.default)`.
    pub subject: Option<String>,
    /// The user's source line.
    pub location: Option<Box<Location>>,
}

/// What is wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum ImportErrorKind {
    /// A weight or constant.
    #[error("{0}")]
    Payload(Box<PayloadError>),
    /// An element type that the IR does not have.
    #[error("{name}: {source}")]
    DType {
        /// The value or tensor.
        name: String,
        /// The type.
        source: UnsupportedScalarType,
    },
    /// A symbolic expression that cannot be read.
    #[error("the symbolic expression {text:?} cannot be read: {error}")]
    Expression {
        /// As in the archive.
        text: String,
        /// Why.
        error: ParseError,
    },
    /// A use of a value that no table or node defines before it.
    #[error("the value {name:?} is used but not defined")]
    Undefined {
        /// Its name.
        name: String,
    },
    /// A second definition of a value.
    #[error("the value {name:?} is defined twice")]
    Redefined {
        /// Its name.
        name: String,
    },
    /// A value whose type the graph's tables do not state.
    #[error("the value {name:?} has no entry in the graph's value tables")]
    Untyped {
        /// Its name.
        name: String,
    },
    /// Weights whose type or shape contradicts the graph.
    #[error("{fqn}: the archive holds {stored}, the graph declares {declared}")]
    WeightMismatch {
        /// The weight.
        fqn: String,
        /// Its payload's type and shape.
        stored: String,
        /// The graph's.
        declared: String,
    },
    /// An argument that its operator's schema does not have, or of another type, or missing without default.
    #[error("argument {argument:?}: {reason}")]
    Argument {
        /// Its name in the schema.
        argument: String,
        /// What is wrong.
        reason: String,
    },
    /// A write whose effect on other views of the same memory cannot be expressed.
    #[error("this writes to a tensor in place in a way that cannot be made functional: {reason}")]
    Aliasing {
        /// Which views are involved.
        reason: String,
    },
    /// Legal, but not implemented.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        help: &'static str,
    },
}

impl ImportErrorKind {
    /// An [`ImportErrorKind::Argument`].
    pub(super) fn argument(argument: &str, reason: impl Into<String>) -> Self {
        ImportErrorKind::Argument { argument: argument.to_owned(), reason: reason.into() }
    }

    /// An [`ImportErrorKind::Unsupported`].
    pub(super) fn unsupported(what: impl Into<String>, help: &'static str) -> Self {
        ImportErrorKind::Unsupported { what: what.into(), help }
    }

    fn help(&self) -> Option<&'static str> {
        Some(match self {
            ImportErrorKind::Aliasing { .. } => {
                "write the result to a new tensor instead (x = x.add(1) rather than x.add_(1)), or clone the tensor before writing to it"
            }
            ImportErrorKind::Unsupported { help, .. } => help,
            ImportErrorKind::DType { .. } => "convert the tensor to a supported type before exporting",
            ImportErrorKind::Undefined { .. }
            | ImportErrorKind::Redefined { .. }
            | ImportErrorKind::Untyped { .. }
            | ImportErrorKind::WeightMismatch { .. }
            | ImportErrorKind::Argument { .. } => {
                "the archive contradicts itself: export the program again with torch.export.save"
            }
            ImportErrorKind::Payload(_) | ImportErrorKind::Expression { .. } => return None,
        })
    }
}

impl From<ImportErrorKind> for ImportError {
    fn from(kind: ImportErrorKind) -> ImportError {
        ImportError { kind, subject: None, location: None }
    }
}

impl From<PayloadError> for ImportError {
    fn from(error: PayloadError) -> ImportError {
        ImportErrorKind::Payload(Box::new(error)).into()
    }
}

impl From<ImportError> for Diagnostic {
    fn from(error: ImportError) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(error.kind.to_string()).at(error.location.as_deref());
        diagnostic.subject = error.subject;
        match error.kind.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}
