//! `NAME.hpp`: the header for C++20, with spans in, vectors out and exceptions for errors.

use std::fmt::Write;

use crate::header::c_type;
use crate::layout::{Layout, LeafPlace};
use crate::names::comment;
use crate::nested::{self, Nested};
use crate::spec::{Leaf, LeafKind, LibrarySpec, SpecError};

/// What all programs share.
const COMMON: &str = r#"
#ifndef PT2C_CPP_1
#define PT2C_CPP_1

namespace pt2c {

/// What a failed call throws; `status` is the code of the C function.
struct error : std::runtime_error {
  int status;
  error(int status, const std::string &message) : std::runtime_error(message), status(status) {}
};

inline std::int64_t elements(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  for (std::int64_t size : shape) count *= size;
  return count;
}

/// An argument: elements of yours, and how they are laid out (row-major).
template <class T, std::size_t Rank> struct view {
  std::span<T> data;
  std::array<std::int64_t, Rank> shape;
};

/// A result.
template <class T, std::size_t Rank> struct tensor {
  std::vector<T> data;
  std::array<std::int64_t, Rank> shape;
};

} // namespace pt2c

#endif
"#;

/// The text of the header for the programs of the library `library`.
///
/// # Errors
/// As [`Layout::new`].
pub fn cpp(library: &str, specs: &[&LibrarySpec]) -> Result<String, SpecError> {
    let mut out = String::new();
    let placed = specs.iter().map(|spec| Layout::new(spec).map(|layout| (*spec, layout)));
    let placed: Vec<(&LibrarySpec, Layout)> = placed.collect::<Result<_, _>>()?;
    // Writing to a string cannot fail.
    let _ = write_header(&mut out, library, &placed);
    Ok(out)
}

fn write_header(out: &mut String, library: &str, programs: &[(&LibrarySpec, Layout)]) -> std::fmt::Result {
    writeln!(
        out,
        "// {library}.hpp: the library of {library}.h for C++20. A thin layer: {library}.h says what holds.\n//"
    )?;
    if let Some((spec, layout)) = programs.first() {
        writeln!(out, "//   {}::model model;", spec.name)?;
        writeln!(out, "//   {}::inputs in;", spec.name)?;
        for (leaf, place) in spec.inputs.iter().zip(&layout.inputs) {
            match leaf.kind {
                LeafKind::Int => writeln!(out, "//   in.{} = ...;", place.name)?,
                LeafKind::Tensor => writeln!(out, "//   in.{} = {{data, {{sizes}}}};", place.name)?,
            }
        }
        writeln!(out, "//   {}::outputs out = model.run(in);    // throws pt2c::error", spec.name)?;
    }
    writeln!(out, "#ifndef PT2C_{library}_HPP\n#define PT2C_{library}_HPP\n\n#include \"{library}.h\"\n")?;
    for header in ["algorithm", "array", "cstdint", "span", "stdexcept", "string", "utility", "vector"] {
        writeln!(out, "#include <{header}>")?;
    }
    out.push_str(COMMON);
    for (spec, layout) in programs {
        program(out, spec, layout)?;
    }
    writeln!(out, "\n#endif")
}

fn program(out: &mut String, spec: &LibrarySpec, layout: &Layout) -> std::fmt::Result {
    let name = &spec.name;
    writeln!(out, "\nnamespace {name} {{\n")?;
    writeln!(out, "struct inputs {{")?;
    for (leaf, place) in spec.inputs.iter().zip(&layout.inputs) {
        member(out, name, leaf, place, true)?;
    }
    writeln!(out, "}};\n\nstruct outputs {{")?;
    for (leaf, place) in spec.outputs.iter().zip(&layout.outputs) {
        member(out, name, leaf, place, false)?;
    }
    writeln!(out, "}};\n")?;
    let nested = Nested::of(spec);
    if let Some(nested) = &nested {
        nested::cpp::types(out, spec, nested)?;
    }
    writeln!(out, "/// One context: serves one thread at a time.\nclass model {{\npublic:")?;
    writeln!(out, "  explicit model(const {name}_options &options = {name}_options_default()) {{")?;
    writeln!(out, "    const int status = {name}_create(&options, &context_);")?;
    writeln!(out, "    if (status != {name}_OK) {{")?;
    writeln!(out, "      pt2c::error error(status, {name}_error(context_));")?;
    writeln!(out, "      {name}_destroy(context_);\n      throw error;\n    }}\n  }}")?;
    writeln!(out, "  model(model &&other) noexcept : context_(std::exchange(other.context_, nullptr)) {{}}")?;
    writeln!(
        out,
        "  model &operator=(model &&other) noexcept {{\n    std::swap(context_, other.context_);\n    return *this;\n  }}"
    )?;
    writeln!(out, "  model(const model &) = delete;\n  model &operator=(const model &) = delete;")?;
    writeln!(out, "  ~model() {{ {name}_destroy(context_); }}\n")?;
    writeln!(out, "  {name}_context *get() {{ return context_; }}\n")?;
    run(out, spec, layout)?;
    if let Some(nested) = &nested {
        nested::cpp::call(out, spec, layout, nested)?;
    }
    writeln!(out, "  /// Every state buffer as exported.\n  void reset() {{ check({name}_reset(context_)); }}\n")?;
    for (state, place) in spec.states.iter().zip(&layout.states) {
        let count = place.size / state.dtype.size().max(1) as u64;
        writeln!(out, "  /// {}, kept from call to call.", comment(&state.path))?;
        writeln!(out, "  std::span<{}, {count}> state_{}() {{", c_type(state.dtype, name), place.name)?;
        writeln!(
            out,
            "    return std::span<{0}, {count}>({name}_state_{1}(context_), {count});\n  }}\n",
            c_type(state.dtype, name),
            place.name
        )?;
    }
    writeln!(out, "private:\n  void check(int status) const {{")?;
    writeln!(out, "    if (status != {name}_OK) throw pt2c::error(status, {name}_error(context_));\n  }}\n")?;
    writeln!(out, "  {name}_context *context_ = nullptr;\n}};\n\n}} // namespace {name}")
}

pub(crate) fn member(out: &mut String, name: &str, leaf: &Leaf, place: &LeafPlace, input: bool) -> std::fmt::Result {
    let member = &place.name;
    let rank = leaf.shape.len();
    let sizes: Vec<String> = leaf.shape.iter().map(|size| size.as_int().unwrap_or(0).to_string()).collect();
    let text: Vec<String> = leaf.shape.iter().map(|size| comment(&size.to_string())).collect();
    match leaf.kind {
        LeafKind::Int => writeln!(out, "  std::int64_t {member} = 0;"),
        LeafKind::Tensor => {
            let constant = if leaf.mutated || !input { "" } else { "const " };
            let kind = if input { "view" } else { "tensor" };
            writeln!(
                out,
                "  pt2c::{kind}<{constant}{}, {rank}> {member}{{{{}}, {{{}}}}}; // [{}]",
                c_type(leaf.dtype, name),
                sizes.join(", "),
                text.join(", ")
            )
        }
    }
}

/// The call: arguments are checked for their number of elements, results get the room they need.
fn run(out: &mut String, spec: &LibrarySpec, layout: &Layout) -> std::fmt::Result {
    let name = &spec.name;
    writeln!(out, "  outputs run(const inputs &in) {{\n    outputs out;\n    run(in, out);\n    return out;\n  }}\n")?;
    writeln!(out, "  /// The same, with vectors that are used again.\n  void run(const inputs &in, outputs &out) {{")?;
    let unused = if layout.input_words == 0 { "    (void)in;\n" } else { "" };
    writeln!(out, "{unused}    {name}_inputs raw = {name}_inputs_default();")?;
    for (leaf, place) in spec.inputs.iter().zip(&layout.inputs) {
        let member = &place.name;
        if leaf.kind == LeafKind::Int {
            writeln!(out, "    raw.{member} = in.{member};")?;
            continue;
        }
        writeln!(
            out,
            "    if (static_cast<std::int64_t>(in.{member}.data.size()) != pt2c::elements(in.{member}.shape))"
        )?;
        writeln!(
            out,
            "      throw pt2c::error({name}_ERROR_ARGUMENT, \"input \\\"{member}\\\": the data has another number of elements \
             than the shape\");"
        )?;
        writeln!(out, "    raw.{member}.data = in.{member}.data.data();")?;
        for dim in 0..leaf.shape.len() {
            writeln!(out, "    raw.{member}.shape[{dim}] = in.{member}.shape[{dim}];")?;
        }
    }
    writeln!(out, "    {name}_outputs results = {name}_outputs_default();")?;
    writeln!(out, "    check({name}_output_shapes(context_, &raw, &results));")?;
    let tensors: Vec<(&Leaf, &LeafPlace)> =
        spec.outputs.iter().zip(&layout.outputs).filter(|(leaf, _)| leaf.kind == LeafKind::Tensor).collect();
    for (_, place) in &tensors {
        writeln!(out, "    out.{0}.data.resize(std::max<std::int64_t>(results.{0}.capacity, 0));", place.name)?;
    }
    let provide = |out: &mut String, indent: &str| -> std::fmt::Result {
        for (_, place) in &tensors {
            let member = &place.name;
            writeln!(out, "{indent}results.{member}.data = out.{member}.data.data();")?;
            writeln!(out, "{indent}results.{member}.capacity = static_cast<std::int64_t>(out.{member}.data.size());")?;
        }
        Ok(())
    };
    let late = spec.outputs.iter().any(|leaf| leaf.shape.iter().any(|size| spec.late(&size.symbols()).is_some()));
    if late {
        writeln!(out, "    // A size that only the call finds out can ask for more room.")?;
        writeln!(out, "    for (int attempt = 0;; attempt++) {{")?;
        provide(out, "      ")?;
        writeln!(out, "      const int status = {name}_run(context_, &raw, &results);")?;
        writeln!(out, "      if (status != {name}_ERROR_CAPACITY || attempt > {}) {{", 2 * tensors.len())?;
        writeln!(out, "        check(status);\n        break;\n      }}")?;
        for (_, place) in &tensors {
            let member = &place.name;
            writeln!(
                out,
                "      out.{member}.data.resize(std::max(results.{member}.capacity, pt2c::elements(results.{member}.shape)));"
            )?;
        }
        writeln!(out, "    }}")?;
    } else {
        provide(out, "    ")?;
        writeln!(out, "    check({name}_run(context_, &raw, &results));")?;
    }
    for (leaf, place) in spec.outputs.iter().zip(&layout.outputs) {
        let member = &place.name;
        if leaf.kind == LeafKind::Int {
            writeln!(out, "    out.{member} = results.{member};")?;
            continue;
        }
        for dim in 0..leaf.shape.len() {
            writeln!(out, "    out.{member}.shape[{dim}] = results.{member}.shape[{dim}];")?;
        }
        writeln!(out, "    out.{member}.data.resize(pt2c::elements(out.{member}.shape));")?;
    }
    writeln!(out, "  }}\n")
}
