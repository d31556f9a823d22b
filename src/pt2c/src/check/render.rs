//! The report for people in a terminal, for programs, and for a browser.

use super::{Finding, Place, Report};
use crate::page::{escape, page};
use pt2c_ir::Severity;
use serde_json::{Value, json};

/// Places that are printed of each finding; the JSON and HTML forms have all.
const PRINTED_PLACES: usize = 5;

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// `1 error`, `2 errors`.
fn counted(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

fn verdict(report: &Report) -> String {
    match (report.passes(), report.kernels) {
        (true, Some(kernels)) => {
            let (nodes, kernels) = (counted(report.nodes, "node"), counted(kernels, "kernel"));
            format!("compiles: {nodes} become {kernels}")
        }
        (true, None) => "compiles".to_string(),
        (false, _) if !report.is_readable() => "cannot be read".to_string(),
        (false, _) => format!("does not compile: {}", counted(report.count(Severity::Error), "error")),
    }
}

fn place(place: &Place) -> String {
    let mut out = String::new();
    if let Some(l) = &place.location {
        if !l.file.is_empty() {
            out.push_str(&format!("{}:{}", l.file, l.line));
        }
        if !l.module.is_empty() {
            out.push_str(&format!(" in {} ({})", l.module, l.module_class.rsplit('.').next().unwrap_or("")));
        }
    }
    if !place.subject.is_empty() {
        let separator = if out.is_empty() { "" } else { ", " };
        out.push_str(&format!("{separator}{}", place.subject));
    }
    out
}

/// For a terminal.
pub fn text(report: &Report) -> String {
    let mut out = format!("{}: {}\n", report.file, verdict(report));
    if !report.written_by.is_empty() {
        out.push_str(&format!("written by {}\n", report.written_by));
    }
    for (number, finding) in report.findings.iter().enumerate() {
        out.push_str(&format!("\n{}. {}: {}\n", number + 1, severity(finding.severity), finding.what));
        for note in &finding.notes {
            out.push_str(&format!("   {note}\n"));
        }
        for (index, at) in finding.places.iter().take(PRINTED_PLACES).enumerate() {
            out.push_str(&format!("   {} {}\n", if index == 0 { "where:      " } else { "            " }, place(at)));
            let code = at.location.as_ref().map(|l| l.code.trim()).unwrap_or("");
            if !code.is_empty() {
                out.push_str(&format!("                  {code}\n"));
            }
        }
        if finding.places.len() > PRINTED_PLACES {
            out.push_str(&format!("                and {} more\n", finding.places.len() - PRINTED_PLACES));
        }
        out.push_str(&format!("   consequence: {}\n", finding.consequence));
        if let Some(fix) = &finding.fix {
            out.push_str(&format!("   fix:         {fix}\n"));
        }
    }
    let count = |wanted, one: &str| counted(report.count(wanted), one);
    out.push_str(&format!(
        "\n{}, {}, {}\n",
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
        count(Severity::Note, "note")
    ));
    out
}

/// For programs.
pub fn json(report: &Report) -> Value {
    let at = |place: &Place| {
        let l = place.location.clone().unwrap_or_default();
        json!({
            "subject": place.subject, "file": l.file, "line": l.line, "function": l.function, "code": l.code,
            "module": l.module, "class": l.module_class,
        })
    };
    let finding = |(number, finding): (usize, &Finding)| {
        json!({
            "number": number + 1,
            "severity": severity(finding.severity),
            "kind": finding.kind.name(),
            "what": finding.what,
            "notes": finding.notes,
            "places": finding.places.iter().map(at).collect::<Vec<_>>(),
            "consequence": finding.consequence,
            "fix": finding.fix,
        })
    };
    json!({
        "file": report.file,
        "written_by": report.written_by,
        "compiles": report.passes(),
        "nodes": report.nodes,
        "kernels": report.kernels,
        "findings": report.findings.iter().enumerate().map(finding).collect::<Vec<_>>(),
    })
}

/// For a browser: one page without anything from elsewhere.
pub fn html(report: &Report) -> String {
    let mut body = format!(
        "<h1>{}</h1><p class=\"verdict {}\">{}</p><p class=\"quiet\">{}</p><ol class=\"findings\">",
        escape(&report.file),
        if report.passes() { "good" } else { "bad" },
        escape(&verdict(report)),
        escape(&report.written_by)
    );
    for finding in &report.findings {
        body.push_str(&format!(
            "<li class=\"{0}\"><b>{0}</b> {1}<span class=\"kind\">{2}</span>",
            severity(finding.severity),
            escape(&finding.what),
            finding.kind.name()
        ));
        for note in &finding.notes {
            body.push_str(&format!("<p class=\"quiet\">{}</p>", escape(note)));
        }
        if !finding.places.is_empty() {
            let open = if finding.places.len() <= PRINTED_PLACES { " open" } else { "" };
            body.push_str(&format!("<details{open}><summary>{}</summary><ul>", counted(finding.places.len(), "place")));
            for at in &finding.places {
                let code = at.location.as_ref().map(|l| l.code.trim()).unwrap_or("");
                body.push_str(&format!("<li>{}", escape(&place(at))));
                if !code.is_empty() {
                    body.push_str(&format!("<pre>{}</pre>", escape(code)));
                }
                body.push_str("</li>");
            }
            body.push_str("</ul></details>");
        }
        body.push_str(&format!("<p><i>consequence</i> {}</p>", escape(&finding.consequence)));
        if let Some(fix) = &finding.fix {
            body.push_str(&format!("<p><i>fix</i> {}</p>", escape(fix)));
        }
        body.push_str("</li>");
    }
    body.push_str("</ol>");
    page(&format!("{} – pt2c check", report.file), include_str!("check.css"), &body)
}
