//! The nested types in C++, and a call that takes them.

use std::fmt::{Result, Write};

use super::{Nested, Place};
use crate::cpp::member as leaf_member;
use crate::layout::{Layout, LeafPlace};
use crate::names::comment;
use crate::spec::LibrarySpec;

/// Writes the types, which stand in front of the model's class.
pub fn types(out: &mut String, spec: &LibrarySpec, nested: &Nested) -> Result {
    for of in &nested.types {
        writeln!(out, "/// {}\nstruct {} {{", comment(&of.python), of.name)?;
        let leaves = if of.output { &spec.outputs } else { &spec.inputs };
        for member in &of.members {
            match member.place {
                Place::Leaf(index) => {
                    let Some(leaf) = leaves.get(index) else { continue };
                    let place = LeafPlace { name: member.name.clone(), first_word: 0 };
                    leaf_member(out, &spec.name, leaf, &place, !of.output)?;
                }
                Place::Type(index) => {
                    let inner = nested.types.get(index).map_or("", |of| of.name.as_str());
                    writeln!(out, "  {inner} {};", member.name)?;
                }
            }
        }
        writeln!(out, "}};\n")?;
    }
    Ok(())
}

/// Writes the member function that takes and returns them.
pub fn call(out: &mut String, spec: &LibrarySpec, layout: &Layout, nested: &Nested) -> Result {
    let name = |index: usize| nested.types.get(index).map_or("", |of| of.name.as_str());
    let (arguments, results) = (name(nested.arguments), name(nested.results));
    let unused = if spec.inputs.is_empty() { "    (void)nested;\n" } else { "" };
    writeln!(
        out,
        "  /// The same on arguments nested as in Python.\n  {results} call(const {arguments} &nested) {{\n{unused}    inputs in;"
    )?;
    for (place, path) in layout.inputs.iter().zip(nested.paths(nested.arguments)) {
        writeln!(out, "    in.{} = nested.{};", place.name, path.join("."))?;
    }
    writeln!(out, "    outputs out = run(in);\n    {results} all;")?;
    for (place, path) in layout.outputs.iter().zip(nested.paths(nested.results)) {
        writeln!(out, "    all.{} = std::move(out.{});", path.join("."), place.name)?;
    }
    writeln!(out, "    return all;\n  }}\n")
}
