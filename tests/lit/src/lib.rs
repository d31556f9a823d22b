//! Text tests of the phases: a case is a program in text form, what to run on it, and what must come out.
//!
//! A case is a file `cases/PHASE/NAME.pt2c`. Lines that begin with `//` say what to do:
//!
//! * `// RUN: normalize,decompose` runs these phases (the names of `pt2c opt --passes`), each followed by the
//!   verifier. `lower` as the last gives kernel IR, `import` alone what the printer makes of the text. Options behind
//!   the phases: `--stage imported|primitives|fused` where the text's own operators do not say it, `--verify-only`
//!   for the verifier's findings in place of a result.
//! * `// RUN: not …` expects the run to fail; the result is the message. A text that does not parse fails, too.
//! * `// CHECK: text`, `// CHECK-NEXT: text`, `// CHECK-SAME: text`, `// CHECK-DAG: text` and `// CHECK-NOT: text` must
//!   hold of the result, in order. They mean what LLVM's FileCheck means by them, patterns are those of the
//!   `filecheck` crate: text is literal, `$(name=regex)` matches and names, `$name` matches the same again. `// REGEX: V=…`
//!   names a regular expression.
//! * A case without such lines states its result exactly, on lines that begin with `//|` at its end.
//!   `PT2C_BLESS=1 cargo test -p pt2c-lit` (`make bless`) writes these; look at the difference before committing it.

use filecheck::{CheckerBuilder, NO_VARIABLES};
use pt2c_ir::{Program, text};
use pt2c_ops::verify::{Stage, verify};
use pt2c_passes::pipeline::Selection;
use std::path::Path;

/// How an exact result is written in a case.
const EXACT: &str = "//|";

/// Directives of a case and what `filecheck` calls them.
const DIRECTIVES: [(&str, &str); 6] = [
    ("CHECK:", "check:"),
    ("CHECK-NEXT:", "nextln:"),
    ("CHECK-SAME:", "sameln:"),
    ("CHECK-DAG:", "unordered:"),
    ("CHECK-NOT:", "not:"),
    ("REGEX:", "regex:"),
];

/// A `RUN` line.
struct Run {
    phases: Selection,
    stage: Option<Stage>,
    verify_only: bool,
    fails: bool,
}

fn parse_run(line: &str) -> Result<Run, String> {
    let mut words = line.split_whitespace().peekable();
    let fails = words.next_if_eq(&"not").is_some();
    let mut run =
        Run { phases: Selection { phases: Vec::new(), lower: false }, stage: None, verify_only: false, fails };
    while let Some(word) = words.next() {
        match word {
            "--verify-only" => run.verify_only = true,
            "--stage" => {
                let name = words.next().unwrap_or_default();
                run.stage = Some(Stage::named(name).ok_or_else(|| format!("`{name}` is no stage"))?);
            }
            phases => run.phases = Selection::parse(phases).map_err(|e| e.to_string())?,
        }
    }
    Ok(run)
}

/// What a `RUN` line makes of a text: the result, or the error as text.
fn result(run: &Run, case: &str) -> Result<String, String> {
    let program: Program = text::parse(case).map_err(|e| e.to_string())?;
    if run.verify_only {
        let found = verify(&program, run.stage.unwrap_or_else(|| Stage::of(&program)));
        let text: String = found.iter().map(|d| format!("{d}\n")).collect();
        return if found.is_empty() { Ok("nothing found\n".into()) } else { Err(text) };
    }
    let result = run.phases.run(&program, run.stage).map_err(|e| e.to_string())?;
    if run.phases.lower {
        let kernels = pt2c_kernel::lower::lower(&result).map_err(|e| e.to_string())?;
        return Ok(pt2c_kernel::print(&kernels));
    }
    Ok(text::print(&result))
}

/// Runs a case. The error is for whoever wrote it.
///
/// # Errors
/// What does not hold of the result, or what is wrong with the case itself.
pub fn run_case(case: &str) -> Result<(), String> {
    let found = outcome(case)?;
    match exact(case) {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(format!("{}\n{BLESS}", first_difference(&expected, &found))),
        None => check(case, &found),
    }
}

const BLESS: &str = "If the new result is right, run `make bless` (PT2C_BLESS=1) and look at the difference it makes.";

/// What running a case gives, and that it fails or not as the case says.
fn outcome(case: &str) -> Result<String, String> {
    let line = case.lines().find_map(|l| l.strip_prefix("// RUN:")).ok_or("the case has no `// RUN:` line")?;
    let run = parse_run(line)?;
    match (result(&run, case), run.fails) {
        (Ok(found), false) | (Err(found), true) => Ok(found.trim_end().to_string() + "\n"),
        (Err(error), false) => Err(format!("it fails:\n{error}")),
        (Ok(found), true) => Err(format!("it should fail, but gives\n{found}")),
    }
}

/// The exact result that a case states; empty if it states nothing at all.
fn exact(case: &str) -> Option<String> {
    if directives(case).next().is_some() {
        return None;
    }
    let lines = case.lines().filter_map(|l| l.strip_prefix(EXACT));
    Some(lines.map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(l))).collect())
}

fn directives(case: &str) -> impl Iterator<Item = String> + '_ {
    case.lines().filter_map(|line| {
        let line = line.strip_prefix("//")?.trim_start();
        DIRECTIVES.iter().find_map(|(ours, theirs)| line.strip_prefix(ours).map(|rest| format!("{theirs}{rest}")))
    })
}

fn check(case: &str, found: &str) -> Result<(), String> {
    let mut builder = CheckerBuilder::new();
    for directive in directives(case) {
        let known = builder.directive(&directive).map_err(|e| format!("`{directive}`: {e}"))?;
        if !known {
            return Err(format!("`{directive}` is no directive"));
        }
    }
    let checker = builder.finish();
    let holds = checker.check(found, NO_VARIABLES).map_err(|e| e.to_string())?;
    if holds {
        return Ok(());
    }
    let (_, why) = checker.explain(found, NO_VARIABLES).map_err(|e| e.to_string())?;
    Err(format!("the CHECK lines do not hold:\n{why}"))
}

fn first_difference(expected: &str, found: &str) -> String {
    let (mut e, mut f) = (expected.lines(), found.lines());
    let mut line = 1;
    loop {
        match (e.next(), f.next()) {
            (a, b) if a == b && a.is_some() => line += 1,
            (a, b) => {
                let show = |l: Option<&str>| l.map_or("the end".to_string(), |l| format!("`{l}`"));
                let (a, b) = (show(a), show(b));
                return format!("line {line} of the result: expected {a}, found {b}\nthe whole result:\n{found}");
            }
        }
    }
}

/// The case with the exact result it gives now.
///
/// # Errors
/// A case that does not run, or fails where it should not.
pub fn blessed(case: &str) -> Result<String, String> {
    if exact(case).is_none() {
        return Ok(case.to_string());
    }
    let found = outcome(case)?;
    let kept: String = case.lines().filter(|l| !l.starts_with(EXACT)).map(|l| format!("{l}\n")).collect();
    let stated: String = found.lines().map(|l| format!("{EXACT} {l}").trim_end().to_string() + "\n").collect();
    Ok(format!("{}\n\n{stated}", kept.trim_end()))
}

/// Runs the case in a file, or with `PT2C_BLESS=1` rewrites what it states exactly.
///
/// # Errors
/// As for [`run_case`], or a file that cannot be read or written.
pub fn run_file(path: &Path) -> Result<(), String> {
    let case = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if std::env::var_os("PT2C_BLESS").is_some_and(|v| v == "1") {
        let new = blessed(&case)?;
        if new != case {
            std::fs::write(path, new).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    let case = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    run_case(&case)
}
