//! Diagnostics as a person sees them in a terminal.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use pt2c_ir::{Diagnostic, Severity};
use std::io::IsTerminal;

/// The rendered text, with colours if standard error is a terminal.
pub fn render(diagnostic: &Diagnostic) -> String {
    let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    render_with(diagnostic, &renderer)
}

/// A finding as an object for programs, with the text for people in it.
pub fn to_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let location = diagnostic.location.as_ref().map(|l| {
        serde_json::json!({
            "file": l.file, "line": l.line, "function": l.function, "code": l.code, "module": l.module,
        })
    });
    serde_json::json!({"diagnostic": {
        "severity": severity,
        "message": diagnostic.message,
        "location": location,
        "subject": diagnostic.subject,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
        "rendered": render_with(diagnostic, &Renderer::plain()),
    }})
}

fn render_with(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(diagnostic.message.clone());
    let mut group = Group::with_title(title);
    if let Some(l) = &diagnostic.location
        && !l.code.is_empty()
    {
        let span = 0..l.code.len();
        let label = if l.module.is_empty() {
            format!("in {}", l.function)
        } else {
            format!("in {} ({})", l.function, l.module)
        };
        let snippet = Snippet::source(l.code.clone())
            .path(l.file.clone())
            .line_start(l.line.max(1) as usize)
            .annotation(AnnotationKind::Primary.span(span).label(label));
        group = group.element(snippet);
    }
    if let Some(subject) = &diagnostic.subject {
        group = group.element(Level::NOTE.message(format!("this is about {subject}")));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.clone()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    renderer.render(&[group]).to_string()
}
