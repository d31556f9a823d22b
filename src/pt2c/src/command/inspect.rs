//! `pt2c inspect`: what a program is, without running it.

use super::{Outcome, show_warnings};
use crate::{compile, page, view};
use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use pt2c_ir::{Arg, Diagnostic, InputKind, OutputKind, Program, TensorRole};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Flags of `pt2c inspect`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format html
    #[arg(long, conflicts_with_all = ["format", "dot", "json"])]
    html: bool,
    /// The same as --format dot
    #[arg(long, conflicts_with_all = ["format", "json"])]
    dot: bool,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Show the module hierarchy: classes, calls, what goes in and out of each, and which can be an --entry
    #[arg(long, conflicts_with_all = ["format", "html", "dot", "json"])]
    modules: bool,
    /// Write to a file instead
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: everything, every node included
    Json,
    /// One page for a browser: the graph by modules, searchable, after every phase
    Html,
    /// For Graphviz
    Dot,
    /// The program as text IR, as `pt2c opt` reads it
    Ir,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    if flags.modules {
        let exported = pt2c_pt2::ExportedProgram::open(&flags.model).map_err(Diagnostic::from)?;
        print!("{}", modules(&exported)?);
        return Ok(());
    }
    let imported = compile::open(&flags.model)?;
    let program = &imported.program;
    let format = match (flags.html, flags.dot, flags.json) {
        (true, _, _) => Format::Html,
        (_, true, _) => Format::Dot,
        (_, _, true) => Format::Json,
        _ => flags.format,
    };
    let shown = match format {
        Format::Text => {
            show_warnings(&imported.warnings);
            text(&describe(program))
        }
        Format::Json => {
            let mut about = describe(program);
            about["graph"] = view::program(program);
            format!("{about:#}\n")
        }
        Format::Html => page::inspect(program, &describe(program))?,
        Format::Dot => view::dot(program),
        Format::Ir => pt2c_ir::text::print(program),
    };
    match &flags.output {
        Some(path) => std::fs::write(path, shown)
            .map_err(|error| Diagnostic::error(format!("cannot write {}: {error}", path.display()))),
        None => {
            print!("{shown}");
            Ok(())
        }
    }
}

/// The module hierarchy and its calls.
fn modules(exported: &pt2c_pt2::ExportedProgram) -> Result<String, Diagnostic> {
    let restored = exported.unflatten().map_err(|error| Diagnostic::error(error.to_string()))?;
    let mut out = String::from("modules\n");
    for module in restored.modules() {
        let depth = if module.path.is_empty() { 0 } else { module.path.matches('.').count() + 1 };
        let name = if module.path.is_empty() { "(root)" } else { &module.path };
        let calls = match module.calls {
            1 => String::new(),
            0 => "  not called".to_string(),
            n => format!("  called {n} times"),
        };
        out.push_str(&format!("  {}{name}  {}{calls}\n", "  ".repeat(depth), module.class));
        for (what, names) in [("parameters", &module.parameters), ("buffers", &module.buffers)] {
            if !names.is_empty() {
                out.push_str(&format!("  {}    {what}: {}\n", "  ".repeat(depth), names.join(", ")));
            }
        }
    }
    out.push_str("\ncalls\n");
    let list = |arguments: &[pt2c_pt2::schema::Argument]| {
        let names = arguments.iter().map(|argument| argument.names().first().map_or("None", |name| name).to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    for call in restored.calls() {
        let depth = std::iter::successors(call.parent, |&at| restored.calls().nth(at).and_then(|c| c.parent)).count();
        out.push_str(&format!(
            "  {}{}({}) -> {}  [{} nodes{}]\n",
            "  ".repeat(depth),
            call.name(),
            list(&call.inputs),
            list(&call.outputs),
            call.nodes.len(),
            if call.preserved { ", signature kept" } else { "" }
        ));
    }
    Ok(out)
}

/// Everything the command says, as JSON; the text is made from it.
fn describe(program: &Program) -> Value {
    let mut facts = program.graph.inputs().filter_map(|v| program.graph.fact(v));
    let inputs: Vec<Value> = program
        .signature
        .inputs
        .iter()
        .enumerate()
        .map(|(i, input)| match &input.kind {
            InputKind::Tensor => json!({"leaf": i, "name": input.name, "type": facts.next().map(|f| f.to_string())}),
            InputKind::SymInt(s) => json!({"leaf": i, "name": input.name, "type": "int", "symbol": s.to_string()}),
            InputKind::Constant(value) => json!({"leaf": i, "name": input.name, "constant": format!("{value:?}")}),
        })
        .collect();
    let outputs: Vec<Value> = program
        .signature
        .outputs
        .iter()
        .zip(&program.graph.outputs)
        .map(|(output, arg)| {
            let ty = match arg {
                Arg::Tensor(v) => program.graph.fact(*v).map_or_else(String::new, |f| f.to_string()),
                other => format!("{other:?}"),
            };
            let kind = match &output.kind {
                OutputKind::User => "user",
                OutputKind::BufferMutation(_) => "buffer mutation",
                OutputKind::InputMutation(_) => "input mutation",
                OutputKind::Loss => "loss",
                OutputKind::GradientOfParameter(_) => "gradient of parameter",
                OutputKind::GradientOfInput(_) => "gradient of input",
            };
            json!({"name": output.name, "kind": kind, "type": ty})
        })
        .collect();
    let symbols: Vec<Value> =
        program.scope.symbols().map(|(s, r)| json!({"name": s.to_string(), "min": r.min, "max": r.max})).collect();
    let constraints: Vec<Value> =
        program.constraints.iter().map(|c| json!({"condition": c.pred.to_string(), "rule": c.rule})).collect();
    let mut operators: IndexMap<&str, usize> = IndexMap::new();
    let mut modules: IndexMap<(String, String), usize> = IndexMap::new();
    for (_, node) in program.graph.nodes() {
        if let Some(op) = node.op() {
            *operators.entry(op).or_default() += 1;
            if let Some(l) = program.locations.get(node.location) {
                *modules.entry((l.module.clone(), l.module_class.clone())).or_default() += 1;
            }
        }
    }
    operators.sort_by(|a, n, b, m| m.cmp(n).then(a.cmp(b)));
    let modules: Vec<Value> =
        modules.iter().map(|((path, class), n)| json!({"path": path, "class": class, "nodes": n})).collect();
    // Tied weights are one view of one storage under several names: they count once.
    let same_as = |index: usize, data: Option<&pt2c_ir::TensorData>| {
        let data = data?;
        let earlier = program.tensors.iter().take(index);
        let found = earlier.filter_map(|(name, t)| Some((name, t.data.as_ref()?))).find(|(_, t)| t.same_view(data));
        found.map(|(name, _)| name.clone())
    };
    let tensors: Vec<Value> = program
        .tensors
        .iter()
        .enumerate()
        .map(|(index, (name, t))| {
            let role = match t.role {
                TensorRole::Parameter => "parameter",
                TensorRole::Buffer { persistent: true } => "buffer",
                TensorRole::Buffer { persistent: false } => "buffer (not persistent)",
                TensorRole::Constant => "constant",
            };
            let bytes = t.fact.numel().as_int().unwrap_or(0) * t.fact.dtype.size() as i64;
            json!({"name": name, "role": role, "type": t.fact.to_string(), "bytes": bytes,
                "mutated": program.mutated_buffers().any(|m| m == name), "same_as": same_as(index, t.data.as_ref())})
        })
        .collect();
    json!({
        "name": program.name,
        "inputs": inputs,
        "outputs": outputs,
        "dimensions": symbols,
        "constraints": constraints,
        "operators": operators,
        "modules": modules,
        "tensors": tensors,
    })
}

fn text(about: &Value) -> String {
    let mut out = format!("program {}\n", plain(&about["name"]));
    let rows = |key: &str| about[key].as_array().cloned().unwrap_or_default();
    out.push_str("\ninputs\n");
    for i in rows("inputs") {
        let what =
            if i["constant"].is_null() { plain(&i["type"]) } else { format!("constant {}", plain(&i["constant"])) };
        out.push_str(&format!("  {:>4}  {:<32} {what}\n", plain(&i["leaf"]), plain(&i["name"])));
    }
    out.push_str("\noutputs\n");
    for o in rows("outputs") {
        out.push_str(&format!("        {:<32} {:<24} {}\n", plain(&o["name"]), plain(&o["type"]), plain(&o["kind"])));
    }
    if !rows("dimensions").is_empty() {
        out.push_str("\ndimensions\n");
        for d in rows("dimensions") {
            let max = if d["max"].is_null() { "∞".to_string() } else { plain(&d["max"]) };
            let min = if d["min"].is_null() { "-∞".to_string() } else { plain(&d["min"]) };
            out.push_str(&format!("        {:<32} {min} … {max}\n", plain(&d["name"])));
        }
    }
    if !rows("constraints").is_empty() {
        out.push_str("\nconstraints, checked at every call\n");
        for c in rows("constraints") {
            out.push_str(&format!("        {}\n", plain(&c["condition"])));
        }
    }
    out.push_str("\noperators\n");
    for (op, n) in about["operators"].as_object().into_iter().flatten() {
        out.push_str(&format!("  {:>4}  {op}\n", plain(n)));
    }
    out.push_str("\nmodules\n");
    for m in rows("modules") {
        let path = plain(&m["path"]);
        let depth = if path.is_empty() { 0 } else { path.matches('.').count() + 1 };
        let path = if path.is_empty() { "(root)".to_string() } else { path };
        out.push_str(&format!("  {:>4}  {}{path}  {}\n", plain(&m["nodes"]), "  ".repeat(depth), plain(&m["class"])));
    }
    let total: i64 =
        rows("tensors").iter().filter(|t| t["same_as"].is_null()).filter_map(|t| t["bytes"].as_i64()).sum();
    out.push_str(&format!("\ntensors, {:.2} MB\n", total as f64 / 1e6));
    for t in rows("tensors") {
        let mutated = if t["mutated"] == json!(true) { ", changed by calls" } else { "" };
        let tied = t["same_as"].as_str().map_or_else(String::new, |name| format!(", the same as {name}"));
        out.push_str(&format!(
            "  {:>12}  {:<48} {:<24} {}{mutated}{tied}\n",
            plain(&t["bytes"]),
            plain(&t["name"]),
            plain(&t["type"]),
            plain(&t["role"])
        ));
    }
    out
}

/// A JSON value without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
