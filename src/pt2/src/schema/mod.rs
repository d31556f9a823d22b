//! The JSON schema of `torch.export`, version 8.x (older ones are rewritten to it), as PyTorch's `torch/_export/serde/schema.py` declares it.
//!
//! The types are PyTorch's, field for field, so a program can be read, changed and written back. Unknown fields
//! are ignored and absent optional ones take PyTorch's defaults, as its own loader does.

mod argument;
mod graph;
mod json;
mod program;
mod tensor;
mod upgrade;

use indexmap::IndexMap;
use serde::Deserialize;

pub use argument::*;
pub use graph::*;
use json::from_value;
pub use json::{Float, SchemaError, from_json};
pub use program::*;
pub use tensor::*;

use crate::limits;

/// The newest schema major that this reader knows.
pub const SCHEMA_MAJOR: i64 = 8;

/// Reads `models/MODEL.json`.
///
/// # Errors
/// [`SchemaError`], with the path of the offending value.
pub fn read_program(document: &str, bytes: &[u8]) -> Result<ExportedProgram, SchemaError> {
    let program: ExportedProgram = match version(document, bytes)? {
        // PyTorch's own loader lets 0.0 through; PyTorch's own tests write it.
        SCHEMA_MAJOR | 0 => from_json(document, bytes)?,
        _ => {
            let mut value: serde_json::Value = from_json(document, bytes)?;
            upgrade::upgrade(document, &mut value)?;
            from_value(document, value)?
        }
    };
    check_size(document, &program.graph_module.graph)?;
    Ok(program)
}

/// Tensors that a document of schema 1 holds in its text: `torch.save` bytes in base64, by value name.
///
/// # Errors
/// [`SchemaError::Value`] for text that is no base64.
pub fn embedded_constants(document: &str, bytes: &[u8]) -> Result<IndexMap<String, Vec<u8>>, SchemaError> {
    #[derive(Default, Deserialize)]
    struct Outer {
        #[serde(default)]
        graph_module: Module,
    }
    #[derive(Default, Deserialize)]
    struct Module {
        #[serde(default)]
        graph: Inner,
    }
    #[derive(Default, Deserialize)]
    struct Inner {
        #[serde(default)]
        constants: IndexMap<String, String>,
    }
    let outer: Outer = from_json(document, bytes)?;
    let constants = outer.graph_module.graph.constants;
    let decoded = constants.into_iter().map(|(name, text)| match base64(&text) {
        Some(bytes) => Ok((name, bytes)),
        None => {
            let path = format!("graph_module.graph.constants[{name:?}]");
            Err(SchemaError::value(document, path, "this is no base64"))
        }
    });
    decoded.collect()
}

/// Decodes base64 (RFC 4648, padded).
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - group.len()));
        out.extend_from_slice(bits.to_be_bytes().get(1..group.len())?);
    }
    Some(out)
}

/// Looks at the version before anything else, so that a program of a future schema is told so, rather than
/// being refused for the first field that changed. Returns its major number.
fn version(document: &str, bytes: &[u8]) -> Result<i64, SchemaError> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        schema_version: serde_json::Value,
    }
    let Versioned { schema_version } = from_json(document, bytes)?;
    let part = |name: &str| schema_version.get(name).and_then(serde_json::Value::as_i64);
    // A plain number up to torch 2.2.
    let (major, minor) = match schema_version.as_i64() {
        Some(major) => (Some(major), Some(0)),
        None => (part("major"), part("minor")),
    };
    match (major, minor) {
        (Some(major @ 1..=SCHEMA_MAJOR), Some(_)) => Ok(major),
        (Some(0), Some(0)) => Ok(0),
        (Some(major), Some(minor)) => {
            Err(SchemaError::Version { document: document.to_owned(), found: format!("{major}.{minor}") })
        }
        _ if schema_version.is_null() => {
            Err(SchemaError::value(document, "schema_version", "missing: this JSON is no exported program"))
        }
        _ => Err(SchemaError::Version { document: document.to_owned(), found: schema_version.to_string() }),
    }
}

/// Counts nodes over all nested graphs.
fn check_size(document: &str, graph: &Graph) -> Result<(), SchemaError> {
    let mut nodes = 0usize;
    let mut pending = vec![(graph, 1usize)];
    while let Some((graph, depth)) = pending.pop() {
        nodes = nodes.saturating_add(graph.nodes.len());
        if nodes > limits::MAX_NODES {
            return Err(SchemaError::value(
                document,
                "graph_module.graph.nodes",
                format!("more than {} nodes", limits::MAX_NODES),
            ));
        }
        if depth > limits::MAX_GRAPH_DEPTH {
            return Err(SchemaError::value(
                document,
                "graph_module.graph",
                format!("graphs nest deeper than {}", limits::MAX_GRAPH_DEPTH),
            ));
        }
        pending.extend(graph.subgraphs().map(|(_, inner)| (inner, depth + 1)));
    }
    Ok(())
}
