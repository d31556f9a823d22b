//! The nested types in C: structs with the layout of the flat ones, and a call that takes them.

use std::fmt::{Result, Write};

use super::{Nested, Place};
use crate::header::{c_type, leaf_comment};
use crate::layout::Layout;
use crate::spec::{Leaf, LeafKind, LibrarySpec};

/// Writes them into the header, behind the flat structs and functions.
pub fn write(out: &mut String, spec: &LibrarySpec, layout: &Layout, nested: &Nested) -> Result {
    let name = &spec.name;
    writeln!(
        out,
        "/* The same nested as in Python: start from {name}_arguments_default() and {name}_results_default(). */\n"
    )?;
    for of in &nested.types {
        writeln!(out, "/* {} */\ntypedef struct {name}_{} {{", of.python, of.name)?;
        let leaves = if of.output { &spec.outputs } else { &spec.inputs };
        for member in &of.members {
            match member.place {
                Place::Leaf(index) => {
                    let Some(leaf) = leaves.get(index) else { continue };
                    leaf_member(out, spec, leaf, &member.name, of.output)?;
                }
                Place::Type(index) => {
                    let inner = nested.types.get(index).map_or("", |of| of.name.as_str());
                    writeln!(out, "  {name}_{inner} {};", member.name)?;
                }
            }
        }
        if of.members.is_empty() {
            writeln!(out, "  int64_t unused; /* there are none */")?;
        }
        writeln!(out, "}} {name}_{};\n", of.name)?;
    }
    for (whole, flat, words) in
        [("arguments", "inputs", layout.input_words), ("results", "outputs", layout.output_words)]
    {
        let size = 8 * words.max(1);
        writeln!(out, "typedef char {name}_check_{whole}[sizeof({name}_{whole}) == {size} ? 1 : -1];\n")?;
        writeln!(
            out,
            "static inline {name}_{whole} {name}_{whole}_default(void) {{\n  {name}_{flat} flat = {name}_{flat}_default();\n  \
             {name}_{whole} nested;\n  memcpy(&nested, &flat, sizeof(nested));\n  return nested;\n}}\n"
        )?;
    }
    for (function, what) in [
        ("run", "Runs the model"),
        ("output_shapes", "Fills shape and capacity of every output for the sizes in arguments"),
    ] {
        writeln!(
            out,
            "/* {what}: as {name}_{function}. */\nstatic inline {name}_status {name}_{function}_nested({name}_context *context, \
             const {name}_arguments *arguments,\n    {name}_results *results) {{\n  {name}_inputs inputs;\n  \
             {name}_outputs outputs;\n  {name}_status status;\n  memcpy(&inputs, arguments, sizeof(inputs));\n  \
             memcpy(&outputs, results, sizeof(outputs));\n  \
             status = {name}_{function}(context, &inputs, &outputs);\n  \
             memcpy(results, &outputs, sizeof(outputs));\n  return status;\n}}\n"
        )?;
    }
    Ok(())
}

fn leaf_member(out: &mut String, spec: &LibrarySpec, leaf: &Leaf, name: &str, output: bool) -> Result {
    let text = leaf_comment(spec, leaf);
    if leaf.kind == LeafKind::Int {
        return writeln!(out, "  int64_t {name}; /* {text} */");
    }
    let constant = if leaf.mutated || output { "" } else { "const " };
    writeln!(out, "  struct {{\n    {constant}{} *data;", c_type(leaf.dtype, &spec.name))?;
    if output {
        writeln!(out, "    int64_t capacity;")?;
    }
    if !leaf.shape.is_empty() {
        writeln!(out, "    int64_t shape[{}];", leaf.shape.len())?;
    }
    writeln!(out, "  }} {name}; /* {text} */")
}
