//! The nested types in Rust, and a call that takes them.

use std::fmt::{Result, Write};

use super::{Nested, Place};
use crate::layout::Layout;
use crate::names::comment;
use crate::rust::{field, rust_type};
use crate::spec::{LeafKind, LibrarySpec};

/// `arguments_options` → `ArgumentsOptions`; names of classes stay.
fn type_name(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('_').map(part).collect()
}

/// Writes the types and `Model::call`.
pub fn write(out: &mut String, spec: &LibrarySpec, layout: &Layout, nested: &Nested) -> Result {
    let borrows = |index: usize| borrows(spec, nested, index);
    let lifetime = |index: usize| if borrows(index) { "<'a>" } else { "" };
    for (index, of) in nested.types.iter().enumerate() {
        let derives = if of.output { "Clone, Debug, Default, PartialEq" } else { "Debug" };
        writeln!(
            out,
            "\n/// {}\n#[derive({derives})]\npub struct {}{} {{",
            comment(&of.python),
            type_name(&of.name),
            lifetime(index)
        )?;
        let leaves = if of.output { &spec.outputs } else { &spec.inputs };
        for member in &of.members {
            let kind = match member.place {
                Place::Type(inner) => {
                    let name = nested.types.get(inner).map_or("", |of| of.name.as_str());
                    format!("{}{}", type_name(name), lifetime(inner))
                }
                Place::Leaf(index) => match leaves.get(index) {
                    Some(leaf) if leaf.kind == LeafKind::Int => "i64".to_owned(),
                    Some(leaf) => {
                        let view = match (of.output, leaf.mutated) {
                            (true, _) => "Tensor<",
                            (false, true) => "ViewMut<'a, ",
                            (false, false) => "View<'a, ",
                        };
                        let sizes: Vec<String> = leaf.shape.iter().map(|size| comment(&size.to_string())).collect();
                        writeln!(out, "    /// {} [{}].", leaf.dtype, sizes.join(", "))?;
                        format!("{view}{}, {}>", rust_type(leaf.dtype), leaf.shape.len())
                    }
                    None => continue,
                },
            };
            writeln!(out, "    pub {}: {kind},", field(&member.name))?;
        }
        writeln!(out, "}}")?;
    }
    let any = if borrows(nested.arguments) { "<'_>" } else { "" };
    let mutated = spec.inputs.iter().any(|leaf| leaf.mutated);
    let borrow = if mutated { "&mut " } else { "&" };
    let (given, inputs) = match (spec.inputs.is_empty(), mutated) {
        (true, _) => ("_arguments", "let inputs"),
        (false, true) => ("arguments", "let mut inputs"),
        (false, false) => ("arguments", "let inputs"),
    };
    writeln!(
        out,
        "\nimpl Model {{\n    /// Runs the model on arguments nested as in Python.\n    \
         pub fn call(&mut self, {given}: {borrow}Arguments{any}) -> Result<Results, Error> {{\n        {inputs} = Inputs {{"
    )?;
    let way = |path: &[String]| path.iter().map(|name| field(name)).collect::<Vec<_>>().join(".");
    for ((leaf, place), path) in spec.inputs.iter().zip(&layout.inputs).zip(nested.paths(nested.arguments)) {
        let (member, path) = (field(&place.name), way(&path));
        match leaf.mutated {
            true => writeln!(
                out,
                "            {member}: ViewMut {{ data: &mut *arguments.{path}.data, shape: arguments.{path}.shape }},"
            )?,
            false => writeln!(out, "            {member}: arguments.{path},")?,
        }
    }
    let unused = if spec.outputs.is_empty() { "_flat" } else { "flat" };
    writeln!(
        out,
        "        }};\n        let {unused} = self.run({borrow}inputs)?;\n        let {}results = Results::default();",
        if spec.outputs.is_empty() { "" } else { "mut " }
    )?;
    for (place, path) in layout.outputs.iter().zip(nested.paths(nested.results)) {
        writeln!(out, "        results.{} = flat.{};", way(&path), field(&place.name))?;
    }
    writeln!(out, "        Ok(results)\n    }}\n}}")
}

/// Whether a type of arguments has tensors in it.
fn borrows(spec: &LibrarySpec, nested: &Nested, index: usize) -> bool {
    let Some(of) = nested.types.get(index).filter(|of| !of.output) else { return false };
    of.members.iter().any(|member| match member.place {
        Place::Leaf(leaf) => spec.inputs.get(leaf).is_some_and(|leaf| leaf.kind == LeafKind::Tensor),
        Place::Type(inner) => borrows(spec, nested, inner),
    })
}
