//! A graph as data for people: nodes with operands, written arguments, types, modules and source lines. `pt2c inspect`
//! makes its JSON, its DOT and its page of it.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Graph, NodeKind, Program, ValueId};
use pt2c_ops::Schema;
use serde_json::{Value, json};

/// One program after one phase.
pub fn program(program: &Program) -> Value {
    let tensors: Vec<Value> = program
        .tensors
        .iter()
        .map(|(name, entry)| json!({"name": name, "type": entry.fact.to_string(), "role": format!("{:?}", entry.role)}))
        .collect();
    let symbols: Vec<Value> =
        program.scope.symbols().map(|(s, r)| json!({"name": s.to_string(), "min": r.min, "max": r.max})).collect();
    json!({
        "nodes": nodes(program, &program.graph),
        "outputs": outputs(program),
        "tensors": tensors,
        "dimensions": symbols,
        "constraints": program.constraints.iter().map(|c| c.pred.to_string()).collect::<Vec<_>>(),
    })
}

fn nodes(program: &Program, graph: &Graph) -> Vec<Value> {
    graph
        .nodes()
        .map(|(id, node)| {
            let types: Vec<String> = node.outputs.iter().map(|fact| fact.to_string()).collect();
            let location = program.locations.get(node.location);
            let mut out = json!({
                "name": node.name,
                "types": types,
                "uses": graph.users(id).len(),
            });
            match &node.kind {
                NodeKind::Input => out["op"] = json!("input"),
                NodeKind::Tensor(name) => {
                    out["op"] = json!("tensor");
                    out["tensor"] = json!(name);
                }
                NodeKind::Call { op, args } => {
                    out["op"] = json!(op);
                    out["operands"] = json!(node.operands().map(|v| operand(graph, v)).collect::<Vec<_>>());
                    out["args"] = json!(arguments(pt2c_ops::lookup(op).map(|op| &op.schema), graph, args));
                    let bodies: Vec<Vec<Value>> =
                        args.iter().filter_map(Arg::as_graph).map(|body| nodes(program, body)).collect();
                    if !bodies.is_empty() {
                        out["bodies"] = json!(bodies);
                    }
                }
            }
            if let Some(place) = location {
                out["module"] = json!(place.module);
                out["class"] = json!(place.module_class);
                if !place.file.is_empty() {
                    out["source"] = json!(format!("{}:{}", place.file, place.line));
                    out["code"] = json!(place.code);
                }
            }
            out
        })
        .collect()
}

fn outputs(program: &Program) -> Vec<Value> {
    let specs = program.signature.outputs.iter().zip(&program.graph.outputs);
    specs
        .map(|(spec, arg)| {
            let value = match arg {
                Arg::Tensor(value) => json!(operand(&program.graph, *value)),
                other => json!(argument(&program.graph, other)),
            };
            json!({"name": spec.name, "kind": format!("{:?}", spec.kind), "value": value})
        })
        .collect()
}

/// The node that a value comes from.
fn operand(graph: &Graph, value: ValueId) -> String {
    graph.node(value.node).name.clone()
}

/// Arguments as in Python, those equal to their defaults left out.
fn arguments(schema: Option<&Schema>, graph: &Graph, args: &[Arg]) -> String {
    let mut parts = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let param = schema.and_then(|schema| schema.params.get(index));
        let default = param.and_then(|param| param.default.as_ref()).map(|d| d.map(|never| match *never {}));
        if default.as_ref() == Some(arg) || arg.as_graph().is_some() {
            continue;
        }
        let text = argument(graph, arg);
        parts.push(match param {
            Some(param) if index > 0 && arg.tensors().next().is_none() => format!("{}={text}", param.name),
            _ => text,
        });
    }
    parts.join(", ")
}

/// One argument as in Python.
fn argument(graph: &Graph, arg: &Arg) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match arg {
        Arg::None => "None".into(),
        Arg::Tensor(value) => operand(graph, *value),
        Arg::Tensors(values) => {
            list(values.iter().map(|v| v.map_or_else(|| "None".into(), |v| operand(graph, v))).collect())
        }
        Arg::Int(dim) => dim.to_string(),
        Arg::Ints(dims) => list(dims.iter().map(Dim::to_string).collect()),
        Arg::Float(x) => format!("{x:?}"),
        Arg::Floats(xs) => list(xs.iter().map(|x| format!("{x:?}")).collect()),
        Arg::Bool(b) => if *b { "True" } else { "False" }.into(),
        Arg::Bools(bs) => list(bs.iter().map(|b| if *b { "True" } else { "False" }.to_string()).collect()),
        Arg::Complex(re, im) => format!("{re:?}+{im:?}j"),
        Arg::Str(text) => format!("{text:?}"),
        Arg::DType(dtype) => dtype.to_string(),
        Arg::Opaque(text) => text.clone(),
        Arg::Graph(_) => "(graph)".into(),
    }
}

/// The graph in the language of Graphviz, one cluster for each module.
pub fn dot(program: &Program) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!(
        "digraph {} {{\n  rankdir=TB; node [shape=box, fontname=monospace, fontsize=10];\n",
        quote(&program.name)
    );
    let mut modules: indexmap::IndexMap<String, Vec<String>> = indexmap::IndexMap::new();
    for (_, node) in program.graph.nodes() {
        let (title, shape) = match &node.kind {
            NodeKind::Input => ("input".to_string(), ", style=filled, fillcolor=\"#d5e8ff\""),
            NodeKind::Tensor(name) => (name.clone(), ", style=filled, fillcolor=\"#eeeeee\""),
            NodeKind::Call { op, .. } => (op.clone(), ""),
        };
        let types: Vec<String> = node.outputs.iter().map(|fact| fact.to_string()).collect();
        let label = format!("{}\n{title}\n{}", node.name, types.join(", ")).replace('\n', "\\n");
        let line = format!("    {} [label=\"{}\"{shape}];\n", quote(&node.name), label.replace('"', "\\\""));
        let module = program.locations.get(node.location).map(|l| l.module.clone()).unwrap_or_default();
        modules.entry(module).or_default().push(line);
    }
    for (index, (module, lines)) in modules.iter().enumerate() {
        if module.is_empty() {
            lines.iter().for_each(|line| out.push_str(line));
        } else {
            out.push_str(&format!("  subgraph cluster_{index} {{ label={}; color=gray;\n", quote(module)));
            lines.iter().for_each(|line| out.push_str(line));
            out.push_str("  }\n");
        }
    }
    for (_, node) in program.graph.nodes() {
        for value in node.operands() {
            out.push_str(&format!("  {} -> {};\n", quote(&operand(&program.graph, value)), quote(&node.name)));
        }
    }
    for (index, (spec, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
        if let Arg::Tensor(value) = arg {
            let name = format!("output {index}");
            out.push_str(&format!(
                "  {} [label={}, style=filled, fillcolor=\"#d8f5d0\"];\n  {} -> {};\n",
                quote(&name),
                quote(&spec.name),
                quote(&operand(&program.graph, *value)),
                quote(&name)
            ));
        }
    }
    out.push_str("}\n");
    out
}
