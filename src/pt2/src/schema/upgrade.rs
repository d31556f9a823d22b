//! Documents of older schemas (majors 1 to 7, torch 2.1 to 2.5) rewritten to the current one.
//!
//! What changed between them is naming, not meaning: unions for plain values, a signature of dictionaries that became
//! one of specs, fields that moved. Each step rewrites the JSON before it is given types, so the types know one form.

use serde_json::{Map, Value, json};

use super::json::SchemaError;

/// Rewrites a document of an older schema in place.
///
/// # Errors
/// [`SchemaError::Value`] where the old form contradicts itself.
pub fn upgrade(document: &str, value: &mut Value) -> Result<(), SchemaError> {
    rename(value, "dialect", |dialect| ("verifiers", json!([dialect])));
    walk(value);
    let Some(module) = value.get_mut("graph_module") else {
        return Err(SchemaError::value(document, "graph_module", "missing"));
    };
    let call_spec = module.get("call_spec").cloned();
    if let Some(graph) = module.get_mut("graph") {
        graph_values(graph);
        for node in graph.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
            module_stack(node);
        }
    }
    signature(document, module)?;
    root_call(module, call_spec.as_ref());
    // Only the JSON's form was old: from here on it is a document of the current schema.
    if let Some(object) = value.as_object_mut() {
        object.insert("schema_version".to_owned(), json!({"major": super::SCHEMA_MAJOR, "minor": 0}));
    }
    Ok(())
}

/// Replaces a field of an object by another one.
fn rename(value: &mut Value, from: &str, to: impl FnOnce(Value) -> (&'static str, Value)) {
    if let Some(object) = value.as_object_mut()
        && let Some(old) = object.remove(from)
    {
        let (name, new) = to(old);
        object.insert(name.to_owned(), new);
    }
}

/// Value tables of schema 1: tensors are wrapped in `{"meta": …}`.
fn graph_values(graph: &mut Value) {
    if let Some(Value::Object(values)) = graph.get_mut("tensor_values") {
        for value in values.values_mut() {
            if let Some(meta) = value.get_mut("meta") {
                *value = meta.take();
            }
        }
    }
}

/// The modules around a node: torch 2.1 wrote `key:(path,class)`, later ones write `key,path,class`.
fn module_stack(node: &mut Value) {
    if let Some(Value::String(stack)) = node.pointer_mut("/metadata/nn_module_stack") {
        let level = |level: &str| match level.strip_suffix(')').and_then(|level| level.split_once(":(")) {
            Some((key, place)) => format!("{key},{place}"),
            None => level.to_owned(),
        };
        *stack = stack.split(';').map(level).collect::<Vec<_>>().join(";");
    }
}

/// The signature of schema 1 is dictionaries by kind; afterwards it is a spec per input and output.
fn signature(document: &str, module: &mut Value) -> Result<(), SchemaError> {
    let old = module.get("signature").and_then(Value::as_object).cloned().unwrap_or_default();
    if old.contains_key("input_specs") {
        return Ok(());
    }
    let dictionary = |name: &str| old.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (parameters, buffers, mutated) =
        (dictionary("inputs_to_parameters"), dictionary("inputs_to_buffers"), dictionary("buffers_to_mutate"));
    let backward = old.get("backward_signature").and_then(Value::as_object).cloned().unwrap_or_default();
    let of = |part: &str| backward.get(part).and_then(Value::as_object).cloned().unwrap_or_default();
    let (to_parameters, to_inputs) = (of("gradients_to_parameters"), of("gradients_to_user_inputs"));
    let list = |name: &str| {
        let list = module.get("graph").and_then(|graph| graph.get(name)).and_then(Value::as_array).cloned();
        list.ok_or_else(|| SchemaError::value(document, format!("graph_module.graph.{name}"), "missing"))
    };
    let inputs = list("inputs")?.into_iter().map(|argument| {
        let name = argument_name(&argument).to_owned();
        match (parameters.get(&name), buffers.get(&name)) {
            (Some(fqn), _) => json!({"parameter": {"arg": {"name": name}, "parameter_name": fqn}}),
            (_, Some(fqn)) => json!({"buffer": {"arg": {"name": name}, "buffer_name": fqn, "persistent": true}}),
            (None, None) => json!({"user_input": {"arg": argument}}),
        }
    });
    let outputs = list("outputs")?.into_iter().map(|argument| {
        let name = argument_name(&argument).to_owned();
        let arg = json!({"name": name});
        if let Some(fqn) = mutated.get(&name) {
            return json!({"buffer_mutation": {"arg": arg, "buffer_name": fqn}});
        }
        if let Some(fqn) = to_parameters.get(&name) {
            return json!({"gradient_to_parameter": {"arg": arg, "parameter_name": fqn}});
        }
        if let Some(input) = to_inputs.get(&name) {
            return json!({"gradient_to_user_input": {"arg": arg, "user_input_name": input}});
        }
        if backward.get("loss_output").and_then(Value::as_str) == Some(&name) {
            return json!({"loss_output": {"arg": arg}});
        }
        json!({"user_output": {"arg": argument}})
    });
    let (inputs, outputs): (Vec<Value>, Vec<Value>) = (inputs.collect(), outputs.collect());
    if let Some(module) = module.as_object_mut() {
        module.insert("signature".to_owned(), json!({"input_specs": inputs, "output_specs": outputs}));
    }
    Ok(())
}

/// The name of the value that an argument is; empty for a constant.
fn argument_name(argument: &Value) -> &str {
    let inner = argument.as_object().and_then(|object| object.values().next());
    let name = inner.and_then(|inner| inner.get("name").or_else(|| inner.get("as_name")));
    name.and_then(Value::as_str).unwrap_or("")
}

/// The program's own call: schema 1 keeps its pytrees beside the module calls.
fn root_call(module: &mut Value, call_spec: Option<&Value>) {
    let Some(spec) = call_spec.and_then(Value::as_object) else { return };
    let Some(module) = module.as_object_mut() else { return };
    let calls = module.entry("module_call_graph").or_insert_with(|| json!([]));
    let Some(calls) = calls.as_array_mut() else { return };
    let has_root = calls.first().is_some_and(|call| call.get("fqn").and_then(Value::as_str) == Some(""));
    if !has_root {
        calls.insert(0, json!({"fqn": "", "signature": null}));
    }
    if let Some(root) = calls.first_mut().and_then(Value::as_object_mut)
        && root.get("signature").is_none_or(Value::is_null)
    {
        let part = |name: &str| spec.get(name).cloned().unwrap_or(Value::Null);
        let in_spec = args_and_kwargs(part("in_spec"));
        let signature = json!({"inputs": [], "outputs": [], "in_spec": in_spec, "out_spec": part("out_spec")});
        root.insert("signature".to_owned(), signature);
    }
}

/// The tree of inputs is a pair of positional and keyword arguments; schema 1 wrote the positional ones alone.
fn args_and_kwargs(text: Value) -> Value {
    let parsed = text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(Value::Array(document)) = parsed else { return text };
    let [version, spec] = document.as_slice() else { return text };
    let kind = |spec: &Value| spec.get("type").and_then(Value::as_str).map(str::to_owned);
    let children = spec.get("children_spec").and_then(Value::as_array).map(Vec::as_slice).unwrap_or(&[]);
    if let [args, kwargs] = children
        && kind(args).as_deref() == Some("builtins.tuple")
        && kind(kwargs).as_deref() == Some("builtins.dict")
    {
        return text;
    }
    let kwargs = json!({"type": "builtins.dict", "context": "[]", "children_spec": []});
    let pair = json!({"type": "builtins.tuple", "context": "null", "children_spec": [spec, kwargs]});
    Value::String(json!([version, pair]).to_string())
}

/// Alternatives of input and output specs.
const SPEC_KINDS: [&str; 14] = [
    "user_input",
    "parameter",
    "buffer",
    "tensor_constant",
    "custom_obj",
    "token",
    "constant_input",
    "user_output",
    "loss_output",
    "buffer_mutation",
    "parameter_mutation",
    "gradient_to_parameter",
    "gradient_to_user_input",
    "user_input_mutation",
];

/// Small changes of form, wherever they occur.
fn walk(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Object(object) => {
            forms(object);
            object.values_mut().for_each(walk);
        }
        _ => {}
    }
}

fn forms(object: &mut Map<String, Value>) {
    // A union was written with all its alternatives, the others null.
    if object.len() > 1 && object.keys().all(|key| key.starts_with("as_")) {
        object.retain(|_, value| !value.is_null());
    }
    // The empty tuple was None's value.
    if let Some(none @ Value::Array(_)) = object.get_mut("as_none") {
        *none = json!(true);
    }
    if object.len() > 1 && object.keys().all(|key| SPEC_KINDS.contains(&key.as_str())) {
        object.retain(|_, value| !value.is_null());
    }
    // A tensor of an optional list was its bare name.
    if let Some(Value::String(name)) = object.get("as_tensor") {
        let name = name.clone();
        object.insert("as_tensor".to_owned(), json!({"name": name}));
    }
    if let Some(offset @ Value::Number(_)) = object.get_mut("storage_offset") {
        *offset = json!({"as_int": offset});
    }
    if object.contains_key("expr_str")
        && let Some(hint @ Value::Number(_)) = object.get_mut("hint")
    {
        *hint = json!({"as_int": hint});
    }
    // A symbolic bool was its bare expression.
    if let Some(Value::String(text)) = object.get("as_expr") {
        let text = text.clone();
        object.insert("as_expr".to_owned(), json!({"expr_str": text}));
    }
    // Buffers that are not saved came later.
    if object.contains_key("buffer_name") && object.contains_key("arg") && !object.contains_key("persistent") {
        object.insert("persistent".to_owned(), json!(true));
    }
}
