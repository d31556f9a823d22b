//! Everything that stands between a program and its library, at once: what `pt2c check` reports.
//!
//! Nothing is listed here a second time: what is unsupported is what import, the operator table, the phases and the
//! lowering refuse; this module runs them all, goes on behind the first refusal, and sorts what they say.

mod hazards;
mod render;

use crate::pipeline;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, Diagnostic, Graph, Location, Program, Severity};
use pt2c_pt2::import::Operators;
use pt2c_pt2::schema::SymInt;
use pt2c_pt2::{ExportedProgram, import_all};
use std::collections::BTreeSet;
use std::path::Path;

pub use render::{html, json, text};

/// What kind of finding it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The file itself.
    Archive,
    /// An operator that cannot be compiled.
    Operator,
    /// An operator outside ATen.
    CustomOperator,
    /// An element type that cannot be compiled.
    DType,
    /// A size that comes out of the data.
    DataDependent,
    /// Something else that import or a phase refuses.
    Program,
    /// A dimension that is fixed though a symbol says it could vary.
    Static,
    /// A rule that every call is checked against.
    Constraint,
    /// A rule about numbers that come out of the data, checked while a call runs.
    Assertion,
    /// A computation that loses precision or speed.
    Precision,
}

impl Kind {
    /// The name in JSON, and the class in HTML.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Archive => "archive",
            Kind::Operator => "unsupported-operator",
            Kind::CustomOperator => "custom-operator",
            Kind::DType => "unsupported-dtype",
            Kind::DataDependent => "data-dependent",
            Kind::Program => "program",
            Kind::Static => "static-dimension",
            Kind::Constraint => "constraint",
            Kind::Assertion => "assertion",
            Kind::Precision => "precision",
        }
    }

    fn consequence(self) -> &'static str {
        match self {
            Kind::Archive => "the program cannot be read",
            Kind::Operator | Kind::DType | Kind::Program => "the program cannot be compiled",
            Kind::CustomOperator => {
                "the library calls a C function, which your program has to define (its header declares it)"
            }
            Kind::DataDependent => "outputs and working memory are made for the bound; a call tells how much it filled",
            Kind::Static => "calls with another size are refused at the entry",
            Kind::Constraint => "calls that break it are refused at the entry, with this rule in the message",
            Kind::Assertion => "calls whose data break it fail, with this rule in the message",
            Kind::Precision => "results may differ from those of a wider type",
        }
    }
}

/// A place in the user's program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The node or value, as the finding names it.
    pub subject: String,
    /// The source line, if the archive tells.
    pub location: Option<Location>,
}

/// One numbered finding; several places that suffer from the same are one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is: errors prevent compilation.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// What, in one line.
    pub what: String,
    /// Facts that explain it.
    pub notes: Vec<String>,
    /// Where; empty if it is about the program as a whole.
    pub places: Vec<Place>,
    /// What it leads to.
    pub consequence: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// What was found out about a program.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The file's name without its folder.
    pub file: String,
    /// The PyTorch that wrote it, and the schema; empty if it cannot be read.
    pub written_by: String,
    /// Number of nodes as exported.
    pub nodes: usize,
    /// Number of kernels it compiles to, if it does.
    pub kernels: Option<usize>,
    /// Errors first, then warnings, then notes.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether it compiles.
    pub fn passes(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Whether there is a program to report on.
    pub fn is_readable(&self) -> bool {
        !self.written_by.is_empty()
    }

    /// Number of findings of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Adds a finding, or a place to one that says the same.
    fn add(&mut self, kind: Kind, diagnostic: Diagnostic) {
        let Diagnostic { severity, message, location, subject, notes, help } = diagnostic;
        let place = Place { subject: subject.unwrap_or_default(), location };
        let place = (!place.subject.is_empty() || place.location.is_some()).then_some(place);
        let known = self.findings.iter_mut().find(|f| f.kind == kind && f.severity == severity && f.what == message);
        match known {
            Some(finding) => {
                finding
                    .notes
                    .extend(notes.into_iter().filter(|note| !finding.notes.contains(note)).collect::<Vec<_>>());
                finding.places.extend(place);
            }
            None => self.findings.push(Finding {
                severity,
                kind,
                what: message,
                notes,
                places: place.into_iter().collect(),
                consequence: kind.consequence().to_string(),
                fix: help,
            }),
        }
    }
}

/// Looks at an archive.
pub fn check_file(path: &Path, operators: &Operators) -> Report {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match ExportedProgram::open(path) {
        Ok(exported) => check(&file, &exported, operators),
        Err(error) => {
            let mut report = Report { file, ..Report::default() };
            report.add(Kind::Archive, Diagnostic::from(error));
            report
        }
    }
}

/// Looks at a program.
pub fn check(file: &str, exported: &ExportedProgram, operators: &Operators) -> Report {
    let version = exported.program.schema_version;
    let mut report = Report {
        file: file.to_string(),
        written_by: format!("PyTorch {}, schema {}.{}", exported.program.torch_version, version.major, version.minor),
        nodes: exported.graph().nodes.len(),
        ..Report::default()
    };
    let (imported, errors) = import_all(exported, operators);
    let failed: Vec<String> = errors.iter().filter_map(|error| error.subject.clone()).collect();
    for error in errors {
        let kind = kind_of_import(&error);
        report.add(kind, Diagnostic::from(error));
    }
    if let Some(imported) = imported {
        for warning in imported.warnings {
            report.add(Kind::Constraint, warning);
        }
        calls(&mut report, &imported.program, &failed);
        dimensions(&mut report, exported, &imported.program);
        hazards::find(&mut report, &imported.program);
        if report.passes() {
            phases(&mut report, &imported.program);
        }
    }
    report.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.kind));
    report
}

fn kind_of_import(error: &pt2c_pt2::ImportError) -> Kind {
    use pt2c_pt2::ImportErrorKind;
    match &error.kind {
        ImportErrorKind::DType { .. } => Kind::DType,
        ImportErrorKind::Payload(_) | ImportErrorKind::WeightMismatch { .. } => Kind::Archive,
        _ => Kind::Program,
    }
}

/// Operators that the table does not have, or not in this way.
fn calls(report: &mut Report, program: &Program, failed: &[String]) {
    use pt2c_ops::prim::custom;
    for (_, node) in program.graph.nodes() {
        let Some(op) = node.op().filter(|op| custom::is_custom(op)) else { continue };
        if failed.iter().any(|subject| subject.starts_with(&format!("node \"{}\"", node.name)))
            || custom::primitive(op, node.args(), &node.outputs).is_err()
        {
            continue;
        }
        let message = format!("the custom operator `{op}` becomes the C function `{}`", custom::function_name(op));
        let help = "define the function and link with it, or replace the operator: by a rule (--decompositions), by a program \
                    (--implement). If it writes its arguments, tell its schema (--schema)";
        let finding = Diagnostic::warning(message).about(format!("node `{}`", node.name)).help(help);
        report.add(Kind::CustomOperator, finding.at(program.locations.get(node.location)));
    }
    for finding in pt2c_ops::verify::unsupported(program) {
        // What import refused already stands in the program as a call without meaning.
        let name = finding.subject.as_deref().and_then(|s| s.strip_prefix("node `")).and_then(|s| s.strip_suffix('`'));
        if name.is_some_and(|name| failed.iter().any(|subject| subject.starts_with(&format!("node \"{name}\"")))) {
            continue;
        }
        let operator = finding.message.split('`').nth(1).unwrap_or("").to_string();
        let namespace = operator.split('.').next().unwrap_or("");
        let (kind, fix) = match namespace {
            "aten" | "prim" | "py" => (
                Kind::Operator,
                "write the line with operators that are supported, or give a rule that replaces the operator \
                 (--decompositions)",
            ),
            "higher_order" => {
                (Kind::Operator, "write the control flow with torch.where, or compile its parts separately")
            }
            _ => (
                Kind::Operator,
                "replace the operator by a rule (--decompositions) or by a program (--implement), or register a \
                 decomposition before exporting",
            ),
        };
        // An operator that is left out on purpose says in its reason, behind a semicolon, what to do instead.
        let refusal = pt2c_ops::lookup(&operator).and_then(|op| op.def.refusal);
        let finding = match refusal.and_then(|reason| reason.split_once("; ")) {
            Some((reason, fix)) => {
                let message = format!("the operator `{operator}` is not supported: {reason}");
                Diagnostic { message, ..finding.help(fix) }
            }
            None if finding.help.is_none() => finding.help(fix),
            None => finding,
        };
        report.add(kind, finding);
    }
}

/// The symbols in the shapes of a graph and its bodies.
fn sizes(graph: &Graph) -> BTreeSet<Symbol> {
    let mut found = BTreeSet::new();
    for (_, node) in graph.nodes() {
        found.extend(node.outputs.iter().flat_map(|fact| &fact.shape).flat_map(Dim::symbols));
        found.extend(node.args().iter().filter_map(Arg::as_graph).flat_map(|body| sizes(body)));
    }
    found
}

/// Dimensions: data-dependent ones, ones that a rule fixes, and the rules of all calls.
fn dimensions(report: &mut Report, exported: &ExportedProgram, program: &Program) {
    for (symbol, range) in program.scope.symbols() {
        if let Some(value) = range.as_point() {
            let message = format!("the dimension {symbol} can only be {value}");
            let help = "if it should vary, look for a line that compares it with a constant, and export with a wider torch.export.Dim";
            report.add(Kind::Static, Diagnostic::warning(message).help(help));
        }
    }
    let sizes = sizes(&program.graph);
    let unbacked = exported.graph().sym_int_values.iter().filter_map(|(name, value)| match value {
        SymInt::AsExpr(expr) if expr.hint.is_none() => Some((name, &expr.expr_str)),
        _ => None,
    });
    for (name, expression) in unbacked {
        let Ok(dim) = pt2c_pt2::import::dim_of(expression) else { continue };
        // A number that is only computed with is no size.
        let Some(symbol) = dim.symbols().into_iter().find(|symbol| symbol.is_unbacked() && sizes.contains(symbol))
        else {
            continue;
        };
        let place = exported.graph().find(name).and_then(|index| exported.graph().nodes.get(index));
        let location = place.map(pt2c_pt2::import::location_of).filter(|location| !location.file.is_empty());
        let message = "a size comes out of the data";
        let mut finding = match program.scope.upper_bound(&symbol) {
            Some(bound) => Diagnostic {
                severity: Severity::Note,
                ..Diagnostic::warning(message).note(format!("{symbol} is at most {bound}"))
            },
            None => Diagnostic::warning(format!("{message} and has no bound"))
                .help("give it one where it is computed: torch._check(n <= limit)"),
        };
        finding = finding.about(format!("{name} = {dim}"));
        finding.location = location;
        report.add(Kind::DataDependent, finding);
    }
    let unbounded =
        |finding: &&mut Finding| finding.kind == Kind::DataDependent && finding.severity == Severity::Warning;
    for finding in report.findings.iter_mut().filter(unbounded) {
        finding.consequence =
            "each call finds out how much memory it needs: a caller guesses the size of such an output, and \
                               calls again if it was too small"
                .into();
    }
    let note = |message: String| Diagnostic { severity: Severity::Note, ..Diagnostic::warning(message) };
    for (symbol, range) in program.scope.symbols().filter(|(_, range)| range.as_point().is_none()) {
        let bound = |value: Option<i64>, open: &str| value.map_or_else(|| open.to_string(), |v| v.to_string());
        let used: Vec<String> = program
            .tensor_inputs()
            .flat_map(|(_, spec, fact)| {
                let sizes = fact.shape.iter().enumerate();
                sizes
                    .filter(|(_, size)| size.symbols().contains(symbol))
                    .map(|(dim, size)| format!("{}.shape[{dim}] = {size}", spec.name))
                    .collect::<Vec<_>>()
            })
            .collect();
        if !used.is_empty() {
            let message = format!("{} <= {symbol} <= {}", bound(range.min, "-∞"), bound(range.max, "∞"));
            report.add(Kind::Constraint, used.into_iter().fold(note(message), Diagnostic::note));
        }
    }
    for constraint in &program.constraints {
        let (rule, recorded) = (constraint.pred.to_string(), format!("recorded as: {}", constraint.rule));
        let data = constraint.pred.symbols().iter().any(|symbol| symbol.is_unbacked());
        let kind = if data { Kind::Assertion } else { Kind::Constraint };
        // One half of a range that is listed already needs no number of its own.
        let halves =
            |f: &Finding| f.what.starts_with(&format!("{rule} <= ")) || f.what.ends_with(&format!(" <= {rule}"));
        match report.findings.iter_mut().find(|finding| finding.kind == kind && halves(finding)) {
            Some(range) => range.notes.push(recorded),
            None => report.add(kind, note(rule).note(recorded)),
        }
    }
}

/// What the phases and the lowering refuse.
fn phases(report: &mut Report, program: &Program) {
    let lowered = pipeline::run(program, &mut |_, _| Ok(())).and_then(|program| {
        let kernels = pt2c_kernel::lower::lower(&program)?;
        Ok(kernels.kernels.len())
    });
    match lowered {
        Ok(kernels) => report.kernels = Some(kernels),
        Err(refusal) => report.add(Kind::Program, refusal),
    }
}
