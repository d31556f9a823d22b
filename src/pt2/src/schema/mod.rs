//! The JSON schema of `torch.export`, versions 8.x, as PyTorch's `torch/_export/serde/schema.py` declares it.
//!
//! The types are PyTorch's, field for field, so a program can be read, changed and written back. Unknown fields
//! are ignored and absent optional ones take PyTorch's defaults, as its own loader does.

mod argument;
mod graph;
mod json;
mod program;
mod tensor;

use serde::Deserialize;

pub use argument::*;
pub use graph::*;
pub use json::{Float, SchemaError, from_json};
pub use program::*;
pub use tensor::*;

use crate::limits;

/// The schema major that this reader knows.
pub const SCHEMA_MAJOR: i64 = 8;

/// Reads `models/MODEL.json`.
///
/// # Errors
/// [`SchemaError`], with the path of the offending value.
pub fn read_program(document: &str, bytes: &[u8]) -> Result<ExportedProgram, SchemaError> {
    check_version(document, bytes)?;
    let program: ExportedProgram = from_json(document, bytes)?;
    check_size(document, &program.graph_module.graph)?;
    Ok(program)
}

/// Looks at the version before anything else, so that a program of a future schema is told so, rather than
/// being refused for the first field that changed.
fn check_version(document: &str, bytes: &[u8]) -> Result<(), SchemaError> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        schema_version: serde_json::Value,
    }
    let Versioned { schema_version } = from_json(document, bytes)?;
    let part = |name: &str| schema_version.get(name).and_then(serde_json::Value::as_i64);
    match (part("major"), part("minor")) {
        (Some(SCHEMA_MAJOR), Some(_)) => Ok(()),
        // PyTorch's own loader lets 0.0 through; PyTorch's own tests write it.
        (Some(0), Some(0)) => Ok(()),
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
