//! The text form of programs: what phases print and `pt2c opt` reads.

use crate::{Arg, Graph, InputKind, NodeKind, OutputKind, Program, TensorRole, ValueId};
use std::fmt::Write;

/// The program as text.
pub fn print(program: &Program) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "program {:?}", program.name);
    for (symbol, range) in program.scope.symbols() {
        let bound = |b: Option<i64>| b.map_or(String::new(), |b| b.to_string());
        let _ = writeln!(out, "symbol {symbol} in {}..{}", bound(range.min), bound(range.max));
    }
    for c in &program.constraints {
        let _ = writeln!(out, "constraint {} {:?}", c.pred, c.rule);
    }
    for (name, t) in &program.tensors {
        let role = match t.role {
            TensorRole::Parameter => "parameter",
            TensorRole::Buffer { persistent: true } => "buffer",
            TensorRole::Buffer { persistent: false } => "buffer?",
            TensorRole::Constant => "constant",
        };
        let _ = writeln!(out, "{role} {name:?}: {}", t.fact);
    }
    for input in &program.signature.inputs {
        let kind = match &input.kind {
            InputKind::Tensor => "tensor".to_string(),
            InputKind::SymInt(s) => format!("int {s}"),
            InputKind::Constant(value) => format!("constant {}", arg(&Graph::new(), value, 0)),
        };
        let _ = writeln!(out, "input {:?} {kind}", input.name);
    }
    for output in &program.signature.outputs {
        let kind = match &output.kind {
            OutputKind::User => "user".to_string(),
            OutputKind::BufferMutation(name) => format!("buffer_mutation {name:?}"),
            OutputKind::InputMutation(i) => format!("input_mutation {i}"),
            OutputKind::Loss => "loss".to_string(),
            OutputKind::GradientOfParameter(name) => format!("gradient_of_parameter {name:?}"),
            OutputKind::GradientOfInput(i) => format!("gradient_of_input {i}"),
        };
        let _ = writeln!(out, "output {:?} {kind}", output.name);
    }
    out.push_str(&graph(&program.graph, 0));
    out.push('\n');
    out
}

/// One graph as text, indented by `depth` levels.
fn graph(g: &Graph, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let value = |v: ValueId| format!("%{}", g.value_name(v));
    let typed = |v: ValueId| format!("{}: {}", value(v), g.fact(v).map_or_else(String::new, |f| f.to_string()));
    let inputs: Vec<String> = g.inputs().map(typed).collect();
    let mut out = format!("graph({}) {{\n", inputs.join(", "));
    for (id, node) in g.nodes() {
        let results: Vec<String> = g.values(id).map(typed).collect();
        let lhs = if results.is_empty() { String::new() } else { format!("{} = ", results.join(", ")) };
        let rhs = match &node.kind {
            NodeKind::Input => continue,
            NodeKind::Tensor(name) => format!("tensor {name:?}"),
            NodeKind::Call { op, args } => {
                let args: Vec<String> = args.iter().map(|a| arg(g, a, depth + 1)).collect();
                format!("{op}({})", args.join(", "))
            }
        };
        let _ = writeln!(out, "{pad}  {lhs}{rhs}");
    }
    let outputs: Vec<String> = g.outputs.iter().map(|a| arg(g, a, depth + 1)).collect();
    let _ = write!(out, "{pad}  return {}\n{pad}}}", outputs.join(", "));
    out
}

fn arg(g: &Graph, a: &Arg, depth: usize) -> String {
    fn list<T>(items: &[T], f: impl Fn(&T) -> String) -> String {
        format!("[{}]", items.iter().map(f).collect::<Vec<_>>().join(", "))
    }
    let value = |v: &ValueId| format!("%{}", g.value_name(*v));
    match a {
        Arg::None => "none".into(),
        Arg::Tensor(v) => value(v),
        Arg::Tensors(vs) => list(vs, |v| v.as_ref().map_or("none".into(), value)),
        Arg::Int(d) => d.to_string(),
        Arg::Ints(ds) => list(ds, |d| d.to_string()),
        Arg::Float(x) => format!("{x:?}"),
        Arg::Floats(xs) => list(xs, |x| format!("{x:?}")),
        Arg::Bool(b) => b.to_string(),
        Arg::Bools(bs) => list(bs, |b| b.to_string()),
        Arg::Complex(re, im) => format!("complex({re:?}, {im:?})"),
        Arg::Str(s) => format!("{s:?}"),
        Arg::DType(d) => d.to_string(),
        Arg::Opaque(s) => format!("opaque({s:?})"),
        Arg::Graph(body) => graph(body, depth),
    }
}
