//! Programs as text.

use super::{INLINE_ELEMENTS, data, is_plain, is_reserved};
use crate::dim::Dim;
use crate::{
    Arg, Fact, Graph, InputKind, LocationId, NodeKind, OutputKind, Program, TensorData, TensorRole, TreeSpec, ValueId,
};
use indexmap::IndexMap;
use std::fmt::Write;

/// The program as text.
pub fn print(program: &Program) -> String {
    let locations = program.locations.iter().enumerate().map(|(i, (id, _))| (id, i + 1)).collect();
    let mut printer = Printer { out: String::new(), locations };
    printer.program(program);
    printer.out
}

struct Printer {
    out: String,
    /// Numbers of the locations in the table.
    locations: IndexMap<LocationId, usize>,
}

/// A string in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn name(text: &str) -> String {
    if is_plain(text) { text.to_string() } else { quoted(text) }
}

fn value(g: &Graph, v: ValueId) -> String {
    let node = g.node(v.node);
    let base = name(&node.name);
    if node.outputs.len() == 1 { format!("%{base}") } else { format!("%{base}.{}", v.index) }
}

fn float(x: f64) -> String {
    if x.is_nan() {
        if x.to_bits() == f64::NAN.to_bits() { "nan".into() } else { format!("nan({:#x})", x.to_bits()) }
    } else {
        format!("{x:?}")
    }
}

fn list<T>(items: &[T], of: &str, f: impl Fn(&T) -> String) -> String {
    if items.is_empty() {
        return format!("{of}[]");
    }
    format!("[{}]", items.iter().map(f).collect::<Vec<_>>().join(", "))
}

/// Whether the text of an integer expression begins with a word that means something else.
fn begins_reserved(text: &str) -> bool {
    let word = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    is_reserved(word)
}

fn int(d: &Dim) -> String {
    let text = d.to_string();
    if begins_reserved(&text) { format!("int({text})") } else { text }
}

fn ints(ds: &[Dim]) -> String {
    let text = list(ds, "ints", Dim::to_string);
    if text.starts_with('[') && begins_reserved(&text[1..]) { format!("ints{text}") } else { text }
}

fn tree(spec: &TreeSpec) -> String {
    let mut out = spec.kind.as_deref().map_or("*".to_string(), quoted);
    if let Some(context) = &spec.context {
        let _ = write!(out, "{{{}}}", quoted(context));
    }
    if spec.kind.is_some() || !spec.children.is_empty() {
        let children: Vec<String> = spec.children.iter().map(tree).collect();
        let _ = write!(out, "({})", children.join(", "));
    }
    out
}

fn elements(tensor: &TensorData) -> String {
    let bytes = tensor.to_dense();
    let items: Vec<String> = bytes.chunks(tensor.dtype().size()).map(|b| data::print(tensor.dtype(), b)).collect();
    format!("[{}]", items.join(", "))
}

impl Printer {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn program(&mut self, program: &Program) {
        self.line(&format!("program {}", quoted(&program.name)));
        for (symbol, range) in program.scope.symbols() {
            let end = |b: Option<i64>| b.map_or(String::new(), |b| b.to_string());
            self.line(&format!("symbol {} in {}..{}", name(symbol.as_str()), end(range.min), end(range.max)));
        }
        for pred in program.scope.assumptions() {
            self.line(&format!("assume {pred}"));
        }
        for c in &program.constraints {
            self.line(&format!("constraint {}: {}", c.pred, quoted(&c.rule)));
        }
        for (tensor, entry) in &program.tensors {
            let role = match entry.role {
                TensorRole::Parameter => "parameter",
                TensorRole::Buffer { persistent: true } => "buffer",
                TensorRole::Buffer { persistent: false } => "transient buffer",
                TensorRole::Constant => "constant",
            };
            let mut text = format!("{role} {}: {}", quoted(tensor), entry.fact);
            if let Some(data) = entry.data.as_ref().filter(|d| d.numel() <= INLINE_ELEMENTS) {
                let _ = write!(text, " = {}", elements(data));
            }
            self.line(&text);
        }
        for input in &program.signature.inputs {
            let kind = match &input.kind {
                InputKind::Tensor => "tensor".to_string(),
                InputKind::SymInt(s) => format!("int {}", name(s.as_str())),
                InputKind::Constant(value) => {
                    self.out.push_str(&format!("input {}: constant ", quoted(&input.name)));
                    self.arg(&Graph::new(), value, 0);
                    self.out.push('\n');
                    continue;
                }
            };
            self.line(&format!("input {}: {kind}", quoted(&input.name)));
        }
        for output in &program.signature.outputs {
            let kind = match &output.kind {
                OutputKind::User => "user".to_string(),
                OutputKind::BufferMutation(buffer) => format!("buffer_mutation {}", quoted(buffer)),
                OutputKind::InputMutation(i) => format!("input_mutation {i}"),
                OutputKind::Loss => "loss".to_string(),
                OutputKind::GradientOfParameter(p) => format!("gradient_of_parameter {}", quoted(p)),
                OutputKind::GradientOfInput(i) => format!("gradient_of_input {i}"),
            };
            self.line(&format!("output {}: {kind}", quoted(&output.name)));
        }
        let pairs = &program.signature.pairs;
        let positions = |which: &'static str, at: &std::collections::BTreeSet<usize>| {
            at.iter().map(|i| format!("pairs {which} {i}")).collect::<Vec<_>>()
        };
        let tensors = pairs.tensors.iter().map(|name| format!("pairs tensor {}", quoted(name)));
        for line in
            positions("input", &pairs.inputs).into_iter().chain(positions("output", &pairs.outputs)).chain(tensors)
        {
            self.line(&line);
        }
        for (which, spec) in
            [("input_tree", &program.signature.input_tree), ("output_tree", &program.signature.output_tree)]
        {
            if let Some(spec) = spec {
                self.line(&format!("{which} {}", tree(spec)));
            }
        }
        for (i, (_, l)) in program.locations.iter().enumerate() {
            self.line(&format!(
                "location {}: {}:{} function {} code {} module {} class {}",
                i + 1,
                quoted(&l.file),
                l.line,
                quoted(&l.function),
                quoted(&l.code),
                quoted(&l.module),
                quoted(&l.module_class)
            ));
        }
        self.out.push('\n');
        self.graph(&program.graph, 0);
        self.out.push('\n');
    }

    /// A graph, its lines after the first indented by `depth` levels.
    fn graph(&mut self, g: &Graph, depth: usize) {
        let pad = "  ".repeat(depth);
        let fact = |v: ValueId| g.fact(v).map_or_else(String::new, Fact::to_string);
        let inputs: Vec<String> = g.inputs().map(|v| format!("{}: {}", value(g, v), fact(v))).collect();
        let _ = writeln!(self.out, "graph({}) {{", inputs.join(", "));
        for (_, node) in g.nodes() {
            if node.kind == NodeKind::Input {
                continue;
            }
            let facts: Vec<String> = node.outputs.iter().map(Fact::to_string).collect();
            let facts = if facts.len() == 1 { facts.concat() } else { format!("({})", facts.join(", ")) };
            let _ = write!(self.out, "{pad}  %{}: {facts} = ", name(&node.name));
            match &node.kind {
                NodeKind::Input => {}
                NodeKind::Tensor(tensor) => {
                    let _ = write!(self.out, "tensor {}", quoted(tensor));
                }
                NodeKind::Call { op, args } => {
                    let plain = op.split('.').all(|part| !part.is_empty() && part.chars().all(is_op_char));
                    self.out.push_str(&if plain && is_op_start(op) { op.clone() } else { quoted(op) });
                    self.out.push('(');
                    self.args(g, args, depth + 1);
                    self.out.push(')');
                }
            }
            if let Some(number) = self.locations.get(&node.location) {
                let _ = write!(self.out, " loc({number})");
            }
            self.out.push('\n');
        }
        let _ = write!(self.out, "{pad}  return");
        if !g.outputs.is_empty() {
            self.out.push(' ');
        }
        self.args(g, &g.outputs, depth + 1);
        let _ = write!(self.out, "\n{pad}}}");
    }

    fn args(&mut self, g: &Graph, args: &[Arg], depth: usize) {
        for (i, a) in args.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.arg(g, a, depth);
        }
    }

    fn arg(&mut self, g: &Graph, a: &Arg, depth: usize) {
        let text = match a {
            Arg::None => "none".into(),
            Arg::Tensor(v) => value(g, *v),
            Arg::Tensors(vs) => {
                let text = list(vs, "tensors", |v| v.as_ref().map_or("none".into(), |v| value(g, *v)));
                if text.starts_with("[none") { format!("tensors{text}") } else { text }
            }
            Arg::Int(d) => int(d),
            Arg::Ints(ds) => ints(ds),
            Arg::Float(x) => float(*x),
            Arg::Floats(xs) => list(xs, "floats", |x| float(*x)),
            Arg::Bool(b) => b.to_string(),
            Arg::Bools(bs) => list(bs, "bools", bool::to_string),
            Arg::Complex(re, im) => format!("complex({}, {})", float(*re), float(*im)),
            Arg::Str(s) => quoted(s),
            Arg::DType(d) => d.to_string(),
            Arg::Opaque(s) => format!("opaque({})", quoted(s)),
            Arg::Graph(body) => return self.graph(body, depth),
        };
        self.out.push_str(&text);
    }
}

/// Characters of an operator's name besides the dots.
pub(super) fn is_op_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether an operator's name begins as one and not like the keyword `tensor`.
fn is_op_start(op: &str) -> bool {
    op.contains('.') && op.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}
