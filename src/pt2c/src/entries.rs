//! Several programs in one library: which they are, what they are called, and the state that they have in common.

use crate::compile;
use crate::decompositions::Decompositions;
use pt2c_ir::{Arg, Diagnostic, NodeKind, OutputKind, OutputSpec, Program, TensorEntry, TensorRole, ValueId};
use pt2c_pt2::import::Imported;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One program of the library.
pub struct Entry {
    /// Its part of the prefix of all names; empty if the library has one program.
    pub name: String,
    pub imported: Imported,
}

/// Reads the programs: every file, or of one file the calls of the named modules. `module` and `NAME=module` name a
/// module, `NAME=` the whole program.
///
/// # Errors
/// As [`compile::Source::open`]; names that are no identifiers, or are there twice.
pub fn open(models: &[PathBuf], modules: &[String], decompositions: &Decompositions) -> Result<Vec<Entry>, Diagnostic> {
    let wanted: Vec<(&Path, String, Option<&str>)> = match (models, modules) {
        ([one], []) => vec![(one, String::new(), None)],
        ([one], modules) => modules
            .iter()
            .map(|module| {
                let (name, module) = module.split_once('=').unwrap_or((module, module));
                let name = if modules.len() == 1 { String::new() } else { identifier(name) };
                (one.as_path(), name, Some(module).filter(|module| !module.is_empty()))
            })
            .collect(),
        (several, []) => {
            let stem = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let name = |path: &Path| identifier(stem(path).strip_suffix(".pt2").unwrap_or(&stem(path)));
            several.iter().map(|path| (path.as_path(), name(path), None)).collect()
        }
        _ => {
            return Err(Diagnostic::error("--entry takes modules out of one file, but several files are given")
                .help("cut each file first: pt2c convert FILE --entry MODULE -o PART.pt2"));
        }
    };
    let mut seen = BTreeSet::new();
    for (path, name, _) in &wanted {
        if !seen.insert(name) {
            return Err(Diagnostic::error(format!("two programs of the library are called `{name}`"))
                .about(path.display().to_string())
                .help("rename a file, or name modules with --entry NAME=MODULE"));
        }
    }
    let mut entries = Vec::new();
    for (path, name, module) in wanted {
        entries.push(Entry { name, imported: compile::open_entry(path, module, decompositions)? });
    }
    let mut programs: Vec<&mut Program> = entries.iter_mut().map(|entry| &mut entry.imported.program).collect();
    share_state(&mut programs);
    Ok(entries)
}

/// Letters, digits and underscores of a name.
fn identifier(name: &str) -> String {
    let mut result = String::new();
    for c in name.chars() {
        match c.is_ascii_alphanumeric() {
            true => result.push(c),
            false if !result.is_empty() && !result.ends_with('_') => result.push('_'),
            false => {}
        }
    }
    result.trim_end_matches('_').to_owned()
}

/// A buffer that one program changes is state in all of them that know it, by name, type and content: those that only
/// read it must not take its first content for a constant. They say that they change it to what it is.
fn share_state(programs: &mut [&mut Program]) {
    let mutated: Vec<(String, TensorEntry)> = programs
        .iter()
        .flat_map(|program| {
            program.mutated_buffers().filter_map(|name| Some((name.to_owned(), program.tensors.get(name)?.clone())))
        })
        .collect();
    for program in programs {
        for (name, entry) in &mutated {
            let same = program.tensors.get(name).is_some_and(|own| {
                let content = |entry: &TensorEntry| entry.data.as_ref().map(|data| data.to_dense().into_owned());
                matches!(own.role, TensorRole::Buffer { .. })
                    && own.fact == entry.fact
                    && content(own) == content(entry)
            });
            if !same || program.mutated_buffers().any(|own| own == name) {
                continue;
            }
            let reads = |kind: &NodeKind| matches!(kind, NodeKind::Tensor(tensor) if tensor == name);
            let Some((node, _)) = program.graph.nodes().find(|(_, node)| reads(&node.kind)) else { continue };
            let value = ValueId { node, index: 0 };
            let spec = OutputSpec { name: name.clone(), kind: OutputKind::BufferMutation(name.clone()) };
            program.signature.outputs.insert(0, spec);
            program.graph.outputs.insert(0, Arg::Tensor(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_are_identifiers() {
        for (name, expected) in [("encoder.layers.0", "encoder_layers_0"), ("decoder@1", "decoder_1"), ("a-b", "a_b")] {
            assert_eq!(identifier(name), expected);
        }
    }
}
