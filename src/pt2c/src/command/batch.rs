//! `pt2c batch`: runs many programs in one process, for the conformance runner. One JSON request a line on stdin:
//!
//! ```json
//! {"model": "a.pt2", "oracle": true, "calls": [{"inputs": "a.safetensors", "native": "n.safetensors", "oracle": "o.safetensors"}]}
//! ```
//!
//! and one JSON answer a line on stdout: why the program is refused (`refused`: `phase`, `message`), or what went wrong in
//! each call (`calls`: `native` and `oracle`, null where results were written), and milliseconds of each stage. Inputs are
//! the file's tensors `in.NNNN`; results are named by leaf.

use super::{Outcome, settings};
use crate::compile::{self, Compiled, Settings};
use crate::tensors::{self, Tensors};
use crate::{execute, leaves};
use clap::Args;
use pt2c_ir::{Diagnostic, Program};
use pt2c_native::library::Instance;
use pt2c_native::program::Keep;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of `pt2c batch`.
#[derive(Args, Debug)]
pub struct Flags {
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
}

/// A line of the input.
#[derive(Deserialize)]
struct Request {
    model: PathBuf,
    #[serde(default)]
    oracle: bool,
    calls: Vec<Call>,
}

/// One call of the program.
#[derive(Deserialize)]
struct Call {
    inputs: PathBuf,
    native: PathBuf,
    oracle: PathBuf,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let settings = settings(Path::new("model"), Some("model"), &flags.cpu, Keep::default())?;
    let failed = |e: std::io::Error| Diagnostic::error(e.to_string());
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(failed)?;
        let request: Request =
            serde_json::from_str(&line).map_err(|e| Diagnostic::error(format!("a request that is none: {e}")))?;
        let answer = answer(&request, &settings);
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(failed)?;
    }
    Ok(())
}

/// Milliseconds of each stage, by name.
struct Stages {
    begun: Instant,
    spent: Map<String, Value>,
}

impl Stages {
    fn end(&mut self, name: &str) {
        let ms = self.begun.elapsed().as_secs_f64() * 1e3;
        let sum = ms + self.spent.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        self.spent.insert(name.to_string(), json!(sum));
        self.begun = Instant::now();
    }
}

fn answer(request: &Request, settings: &Settings) -> Value {
    let mut stages = Stages { begun: Instant::now(), spent: Map::new() };
    let refused = |phase: &str, d: &Diagnostic| json!({"phase": phase, "message": text(d)});
    let program = match compile::open(&request.model) {
        Ok(imported) => imported.program,
        Err(d) => return json!({"refused": refused("import", &d)}),
    };
    stages.end("import");
    let mut instance = load(&program, settings, &mut stages);
    let mut calls = Vec::new();
    for call in &request.calls {
        let inputs = match read(&program, &call.inputs) {
            Ok(inputs) => inputs,
            Err(d) => {
                calls.push(json!({"native": text(&d), "oracle": text(&d)}));
                continue;
            }
        };
        stages.end("read");
        let native = match &mut instance {
            Ok(instance) => execute::call(&program, instance, &inputs, &Tensors::new())
                .and_then(|r| tensors::write(&call.native, &r.outputs))
                .err()
                .map(|d| text(&d)),
            Err(_) => None,
        };
        stages.end("run");
        let mut result = json!({"native": native});
        if request.oracle {
            let oracle = execute::oracle(&program, &inputs, &Tensors::new());
            let oracle = oracle.and_then(|r| tensors::write(&call.oracle, &r.outputs));
            result["oracle"] = json!(oracle.err().map(|d| text(&d)));
            stages.end("oracle");
        }
        calls.push(result);
    }
    let refused = instance.err().map(|(phase, d)| refused(phase, &d));
    json!({"refused": refused, "calls": calls, "ms": stages.spent})
}

/// Compiles the program and loads the library; the error names the phase.
fn load(program: &Program, settings: &Settings, stages: &mut Stages) -> Result<Instance, (&'static str, Diagnostic)> {
    let (program, rewriting) =
        crate::pipeline::run_with(program, &settings.rewrite, &mut |_, _| Ok(())).map_err(|d| ("passes", d))?;
    stages.end("passes");
    let kernels = pt2c_kernel::lower::lower_with(&program, settings.lower).map_err(|d| ("lower", d))?;
    stages.end("lower");
    let code = compile::generate(&kernels, settings, &|_, _| {}).map_err(|d| ("native", d))?;
    stages.end("native");
    let compiled = Compiled { program, kernels, code, rewriting };
    let instance = execute::instance(&compiled, settings, 1).map_err(|d| ("load", d))?;
    stages.end("load");
    Ok(instance)
}

fn read(program: &Program, path: &Path) -> Result<Vec<pt2c_ops::interpret::Input>, Diagnostic> {
    let mut all = Tensors::new();
    tensors::read(&path.to_string_lossy(), &mut all)?;
    let inputs = all.into_iter().filter_map(|(name, t)| Some((name.strip_prefix("in.")?.to_string(), t))).collect();
    leaves::inputs(program, &inputs)
}

/// Message, subject and notes in one line.
fn text(d: &Diagnostic) -> String {
    let subject = d.subject.iter().map(|s| format!(" [{s}]"));
    std::iter::once(d.message.clone())
        .chain(subject)
        .chain(d.notes.iter().map(|n| format!("; {n}")))
        .chain(d.help.iter().map(|h| format!(" (help: {h})")))
        .collect()
}
