//! `NAME.json`: the library's interface for programs that drive it, such as the Python package: what the header says,
//! and how the leaves are nested in Python.

use pt2c_ir::dim::Dim;
use serde_json::{Value, json};

use crate::layout::{Layout, LeafPlace, dtype_code};
use crate::spec::{Leaf, LeafKind, LibrarySpec, Literal, Tree};

/// Version of the document.
const FORMAT: u32 = 1;

/// The text of the file: what the programs share, and each of them.
pub fn write(name: &str, entries: &[(LibrarySpec, Layout)], weights: Option<&str>) -> String {
    let entries: Vec<Value> = entries.iter().map(|(spec, layout)| entry(spec, layout)).collect();
    let document = json!({
        "format": FORMAT,
        "abi": pt2c_abi::ABI_VERSION,
        "library": name,
        "weights_file": weights,
        "entries": entries,
    });
    // Values of this kind always have a text.
    format!("{document:#}\n")
}

fn entry(spec: &LibrarySpec, layout: &Layout) -> Value {
    let symbols: Vec<Value> = spec.symbols.iter().map(symbol).collect();
    let states: Vec<Value> = spec
        .states
        .iter()
        .zip(&layout.states)
        .map(|(state, place)| {
            let dtype = dtype_code(state.dtype).name();
            json!({"name": place.name, "path": state.path, "dtype": dtype, "shape": state.shape})
        })
        .collect();
    let constants: Vec<Value> = spec
        .constants
        .iter()
        .map(|constant| {
            let (kind, value) = literal(&constant.value);
            let output = constant.output;
            json!({"path": constant.path, "output": output, "position": constant.position, "kind": kind, "value": value})
        })
        .collect();
    json!({
        "name": spec.name,
        "description": spec.description,
        "cpu": spec.cpu,
        "arguments": spec.forward.arguments,
        "input_tree": spec.forward.input_tree.as_ref().map(tree),
        "output_tree": spec.forward.output_tree.as_ref().map(tree),
        "inputs": leaves(&spec.inputs, &layout.inputs, |_| "tensor"),
        "outputs": leaves(&spec.outputs, &layout.outputs, |position| {
            if spec.forward.floats.contains(&position) {
                "float"
            } else if spec.forward.bools.contains(&position) {
                "bool"
            } else {
                "tensor"
            }
        }),
        "constants": constants,
        "symbols": symbols,
        "states": states,
        "input_words": layout.input_words,
        "output_words": layout.output_words,
        "capacity": layout.bound().map(|bound| &spec.symbols[bound.symbol].name).collect::<Vec<_>>(),
    })
}

fn symbol(symbol: &crate::spec::Symbol) -> Value {
    let bound = |value: i64, none: i64| (value != none).then_some(value);
    json!({
        "name": symbol.name,
        "min": bound(symbol.min, i64::MIN),
        "max": bound(symbol.max, i64::MAX),
        "computed": symbol.computed,
    })
}

/// Inputs or outputs; `python` tells what a tensor is to Python.
fn leaves(leaves: &[Leaf], places: &[LeafPlace], python: impl Fn(u32) -> &'static str) -> Vec<Value> {
    let leaf = |(leaf, place): (&Leaf, &LeafPlace)| {
        let (path, position, word) = (&leaf.path, leaf.position, place.first_word);
        match leaf.kind {
            LeafKind::Int => {
                json!({"name": place.name, "path": path, "position": position, "word": word, "kind": "int"})
            }
            LeafKind::Tensor => json!({
                "name": place.name, "path": path, "position": position, "word": word, "kind": python(position),
                "dtype": dtype_code(leaf.dtype).name(), "shape": leaf.shape.iter().map(size).collect::<Vec<_>>(),
                "mutated": leaf.mutated,
            }),
        }
    };
    leaves.iter().zip(places).map(leaf).collect()
}

/// A number, or the formula as text.
fn size(size: &Dim) -> Value {
    size.as_int().map_or_else(|| Value::from(size.to_string()), Value::from)
}

fn literal(value: &Literal) -> (&'static str, Value) {
    match value {
        Literal::None => ("none", Value::Null),
        Literal::Bool(value) => ("bool", Value::from(*value)),
        Literal::Int(value) => ("int", Value::from(*value)),
        // JSON has no infinities: text that Python's float() reads.
        Literal::Float(value) => ("float", Value::from(format!("{value:?}"))),
        Literal::Str(value) => ("str", Value::from(value.as_str())),
        Literal::Other => ("other", Value::Null),
    }
}

fn tree(spec: &Tree) -> Value {
    let children: Vec<Value> = spec.children.iter().map(tree).collect();
    json!({"type": spec.type_name, "context": spec.context, "fields": spec.fields, "children": children})
}
