//! Diagnostics: what went wrong, where in the user's program, why, and what to do. Rendering is the driver's.

use crate::Location;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Compiles, but probably not what was meant.
    Warning,
    /// Cannot continue.
    Error,
}

/// One finding. Typed errors convert into it at the edge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What, in one line.
    pub message: String,
    /// The user's own source line, where known.
    pub location: Option<Location>,
    /// The node, file or argument it is about (`node "conv2d_3" (aten.conv2d.default)`).
    pub subject: Option<String>,
    /// Why: facts that explain the message.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error with only a message.
    pub fn error(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            location: None,
            subject: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning with only a message.
    pub fn warning(message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message) }
    }

    /// The same with a place in the user's program.
    pub fn at(mut self, location: Option<&Location>) -> Diagnostic {
        self.location = location.cloned();
        self
    }

    /// The same, about a node, file or argument.
    pub fn about(mut self, subject: impl Into<String>) -> Diagnostic {
        self.subject = Some(subject.into());
        self
    }

    /// The same with one more fact.
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// Plain text, for logs and tests; the command renders it better.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}", self.message)?;
        if let Some(subject) = &self.subject {
            write!(f, "\n  in {subject}")?;
        }
        if let Some(l) = &self.location {
            write!(f, "\n  at {}:{} in {}: {}", l.file, l.line, l.function, l.code)?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
