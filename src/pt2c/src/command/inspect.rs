//! `pt2c inspect`: what a program is, without running it.

use super::{Outcome, show_warnings};
use crate::compile;
use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use pt2c_ir::{Arg, InputKind, OutputKind, Program, TensorRole};
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
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// The program as text IR, as `pt2c opt` reads it
    Ir,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let imported = compile::open(&flags.model)?;
    match flags.format {
        Format::Text => {
            show_warnings(&imported.warnings);
            print!("{}", text(&describe(&imported.program)));
        }
        Format::Json => println!("{:#}", describe(&imported.program)),
        Format::Ir => print!("{}", pt2c_ir::text::print(&imported.program)),
    }
    Ok(())
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
    let tensors: Vec<Value> = program
        .tensors
        .iter()
        .map(|(name, t)| {
            let role = match t.role {
                TensorRole::Parameter => "parameter",
                TensorRole::Buffer { persistent: true } => "buffer",
                TensorRole::Buffer { persistent: false } => "buffer (not persistent)",
                TensorRole::Constant => "constant",
            };
            let bytes = t.fact.numel().as_int().unwrap_or(0) * t.fact.dtype.size() as i64;
            json!({"name": name, "role": role, "type": t.fact.to_string(), "bytes": bytes,
                "mutated": program.mutated_buffers().any(|m| m == name)})
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
    let total: i64 = rows("tensors").iter().filter_map(|t| t["bytes"].as_i64()).sum();
    out.push_str(&format!("\ntensors, {:.2} MB\n", total as f64 / 1e6));
    for t in rows("tensors") {
        let mutated = if t["mutated"] == json!(true) { ", changed by calls" } else { "" };
        out.push_str(&format!(
            "  {:>12}  {:<48} {:<24} {}{mutated}\n",
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
