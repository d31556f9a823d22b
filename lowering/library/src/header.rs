//! `NAME.h`: types and functions of one library, with the contract of every argument and dimension in comments.
//! Compiles as C99 and as C++17.

use std::collections::BTreeMap;
use std::fmt::Write;

use pt2c_abi::{Status, SymbolSource};
use pt2c_ir::dim::{Dim, Symbol as Name};
use pt2c_ir::{DType, RANDOM_STATE};

use crate::layout::{Layout, LeafPlace, bytes};
use crate::library::WeightsPlacement;
use crate::names::comment;
use crate::nested::{self, Nested};
use crate::spec::{Leaf, LeafKind, LibrarySpec};

/// The structs that describe any model to generic callers, as C.
const DESCRIPTOR: &str = include_str!("descriptor.h");

/// The struct that custom operators' functions take, as C.
const TENSOR: &str = include_str!("tensor.h");

/// The text of the header of the library `library`: what each program needs, one after the other.
pub fn write(library: &str, entries: &[(LibrarySpec, Layout)], placement: WeightsPlacement) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    if entries.len() > 1 {
        let _ = contents(&mut out, library, entries);
    }
    for (index, (spec, layout)) in entries.iter().enumerate() {
        let header = Header { spec, layout, placement, library, name: &spec.name };
        let _ = header.write(&mut out);
        let _ = sharing(&mut out, library, spec, &entries[..index]);
    }
    out
}

/// The first comment of a library of several programs.
fn contents(out: &mut String, library: &str, entries: &[(LibrarySpec, Layout)]) -> Written {
    writeln!(
        out,
        "/* {library}.h: {} programs in one library, with one copy of the weights that are equal:",
        entries.len()
    )?;
    for (spec, _) in entries {
        writeln!(
            out,
            " *   {}_run: {}",
            spec.name,
            spec.description.first().map_or(String::new(), |line| comment(line))
        )?;
    }
    writeln!(out, " * Each has its own contexts. A context can use the state of another program's: see the functions")?;
    writeln!(
        out,
        " * {library}_X_share_state_of_Y, which exist where both programs know a buffer of the same name and type. */\n"
    )
}

/// Functions that give a program's contexts the state of those before it.
fn sharing(out: &mut String, library: &str, spec: &LibrarySpec, others: &[(LibrarySpec, Layout)]) -> Written {
    let name = &spec.name;
    for (other, _) in others {
        let same = spec.states.iter().filter(|state| {
            other.states.iter().any(|o| o.path == state.path && o.dtype == state.dtype && o.shape == state.shape)
        });
        let paths: Vec<String> = same.map(|state| comment(&state.path)).collect();
        if paths.is_empty() {
            continue;
        }
        let owner = &other.name;
        let short = other.name_in(library);
        remark(
            out,
            &format!(
                "From now on the context uses the state of owner, which must outlive it, for: {}. Not while either runs; the \
                 two run one after the other.",
                paths.join(", ")
            ),
        )?;
        writeln!(out, "#ifdef __cplusplus\nextern \"C\"\n#endif")?;
        writeln!(out, "{name}_status {name}_share_state({name}_context *context, void *owner);\n")?;
        writeln!(
            out,
            "static inline {name}_status {name}_share_state_of_{short}({name}_context *context, {owner}_context *owner) {{"
        )?;
        writeln!(out, "  return {name}_share_state(context, owner);\n}}\n")?;
    }
    Ok(())
}

struct Header<'a> {
    spec: &'a LibrarySpec,
    layout: &'a Layout,
    placement: WeightsPlacement,
    /// Name of the library, which has the program's name if it is the only one.
    library: &'a str,
    name: &'a str,
}

/// The C type of an element; complex types are structs of this header.
pub(crate) fn c_type(dtype: DType, name: &str) -> String {
    let plain = match dtype {
        DType::Bool | DType::U8 | DType::F8E4M3FN | DType::F8E5M2 => "uint8_t",
        DType::I8 => "int8_t",
        DType::U16 | DType::F16 | DType::BF16 => "uint16_t",
        DType::I16 => "int16_t",
        DType::U32 => "uint32_t",
        DType::I32 => "int32_t",
        DType::U64 => "uint64_t",
        DType::I64 => "int64_t",
        DType::F32 => "float",
        DType::F64 => "double",
        DType::C32 => return format!("{name}_complex32"),
        DType::C64 => return format!("{name}_complex64"),
        DType::C128 => return format!("{name}_complex128"),
    };
    plain.to_owned()
}

/// PyTorch's name of an element type, with a note where C's type does not say it all.
fn type_text(dtype: DType) -> String {
    let name = crate::layout::dtype_code(dtype).name();
    match dtype {
        DType::Bool => format!("{name} (bytes 0 or 1)"),
        DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => format!("{name} (as bits)"),
        _ => name.to_owned(),
    }
}

fn shape_text(shape: &[Dim]) -> String {
    let sizes: Vec<String> = shape.iter().map(|size| comment(&size.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// The number of elements if all sizes are known.
fn static_elements(shape: &[Dim]) -> Option<u64> {
    let sizes: Option<Vec<i64>> = shape.iter().map(Dim::as_int).collect();
    bytes(&sizes?, 1)
}

type Written = std::fmt::Result;

/// Writes a C comment, wrapped.
fn remark(out: &mut String, text: &str) -> Written {
    const WIDTH: usize = 100;
    let mut line = "/*".to_owned();
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            writeln!(out, "{line}")?;
            line = " *".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(out, "{line} */")
}

/// Type, shape and notes of a leaf.
pub(crate) fn leaf_comment(spec: &LibrarySpec, leaf: &Leaf) -> String {
    if let Some(value) = &leaf.value {
        return format!("integer {}", comment(&value.to_string()));
    }
    let mut text = format!("{} {}", type_text(leaf.dtype), shape_text(&leaf.shape));
    if leaf.mutated {
        text.push_str(", changed by the call");
    }
    if leaf.shape.iter().any(|size| spec.late(&size.symbols()).is_some()) {
        text.push_str(", size known after the call");
    }
    text
}

impl Header<'_> {
    fn write(&self, out: &mut String) -> Written {
        let guard = format!("PT2C_{}_H", self.name);
        self.overview(out)?;
        let nested = Nested::of(self.spec);
        let copies = if nested.is_some() { "#include <string.h>\n" } else { "" };
        writeln!(out, "#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n{copies}")?;
        writeln!(out, "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n")?;
        self.status(out)?;
        self.options(out)?;
        self.complex_types(out)?;
        self.inputs(out)?;
        self.outputs(out)?;
        self.functions(out)?;
        if let Some(nested) = &nested {
            nested::c::write(out, self.spec, self.layout, nested)?;
        }
        self.states(out)?;
        self.custom(out)?;
        self.describe(out)?;
        writeln!(out, "#ifdef __cplusplus\n}}\n#endif\n\n#endif")
    }

    /// The first comment: the whole contract at a glance.
    fn overview(&self, out: &mut String) -> Written {
        let name = self.name;
        writeln!(out, "/* {name}.h: a PyTorch model as a library, made by pt2c {}.", env!("CARGO_PKG_VERSION"))?;
        for line in &self.spec.description {
            writeln!(out, " * {}", comment(line))?;
        }
        writeln!(out, " *\n * Inputs:")?;
        self.leaf_list(out, &self.spec.inputs, &self.layout.inputs)?;
        writeln!(out, " *\n * Outputs:")?;
        self.leaf_list(out, &self.spec.outputs, &self.layout.outputs)?;
        if !self.spec.symbols.is_empty() {
            writeln!(out, " *\n * Dynamic sizes, checked at every call:")?;
            for line in self.symbol_lines() {
                writeln!(out, " *   {line}")?;
            }
        }
        if !self.layout.rules.is_empty() {
            writeln!(out, " *\n * Rules, checked at every call:")?;
            for rule in &self.layout.rules {
                writeln!(out, " *   {}", comment(&rule.pred.to_string()))?;
            }
        }
        if !self.spec.constants.is_empty() {
            writeln!(out, " *\n * Fixed when the model was exported, so neither given nor returned:")?;
            for constant in &self.spec.constants {
                let what = if constant.output { "output" } else { "input" };
                let (path, value) = (comment(&constant.path), comment(&constant.value.to_string()));
                writeln!(out, " *   {what} {} {path} = {value}", constant.position)?;
            }
        }
        writeln!(
            out,
            " *\n * Tensors are dense and row-major; their data must be aligned to the element type, and outputs must\n \
             * not overlap inputs or each other."
        )?;
        if !self.spec.cpu.is_empty() {
            let cpu = comment(&self.spec.cpu);
            writeln!(out, " * The code is for {cpu}; creation fails on a machine that lacks its instructions.")?;
        }
        writeln!(out, " * Link with -l{} -lm -pthread.\n *", self.library)?;
        writeln!(out, " * Use:")?;
        writeln!(out, " *   {name}_options options = {name}_options_default();")?;
        writeln!(out, " *   {name}_context *context;")?;
        writeln!(
            out,
            " *   if ({name}_create(&options, &context) != {name}_OK) {{ puts({name}_error(context)); ... }}"
        )?;
        writeln!(out, " *   {name}_inputs inputs = {name}_inputs_default();")?;
        for (leaf, place) in self.spec.inputs.iter().zip(&self.layout.inputs) {
            let member = &place.name;
            if leaf.kind == LeafKind::Int {
                writeln!(out, " *   inputs.{member} = ...;")?;
                continue;
            }
            write!(out, " *   inputs.{member}.data = ...;")?;
            for (index, _) in leaf.shape.iter().enumerate().filter(|(_, size)| size.as_int().is_none()) {
                write!(out, " inputs.{member}.shape[{index}] = ...;")?;
            }
            writeln!(out)?;
        }
        writeln!(out, " *   {name}_outputs outputs = {name}_outputs_default();")?;
        for (leaf, place) in self.spec.outputs.iter().zip(&self.layout.outputs) {
            if leaf.kind == LeafKind::Tensor {
                let member = &place.name;
                writeln!(out, " *   outputs.{member}.data = ...; outputs.{member}.capacity = number of elements;")?;
            }
        }
        writeln!(
            out,
            " *   if ({name}_run(context, &inputs, &outputs) != {name}_OK) {{ puts({name}_error(context)); ... }}"
        )?;
        writeln!(out, " *   {name}_destroy(context);\n */")
    }

    fn leaf_list(&self, out: &mut String, leaves: &[Leaf], places: &[LeafPlace]) -> Written {
        if leaves.is_empty() {
            return writeln!(out, " *   none");
        }
        for (leaf, place) in leaves.iter().zip(places) {
            write!(out, " *   {}: {}", place.name, self.leaf_text(leaf))?;
            if place.name != leaf.path {
                write!(out, " ({})", comment(&leaf.path))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn leaf_text(&self, leaf: &Leaf) -> String {
        leaf_comment(self.spec, leaf)
    }

    /// One line for each symbol: what it is and its range.
    fn symbol_lines(&self) -> Vec<String> {
        self.layout
            .bindings
            .iter()
            .map(|bound| {
                let symbol = &self.spec.symbols[bound.symbol];
                let name = &symbol.name;
                let range = match (symbol.min, symbol.max) {
                    (i64::MIN, i64::MAX) => "any value".to_owned(),
                    (i64::MIN, max) => format!("at most {max}"),
                    (min, i64::MAX) => format!("at least {min}"),
                    (min, max) if min == max => format!("exactly {min}"),
                    (min, max) => format!("{min} to {max}"),
                };
                let input = self.layout.inputs.get(bound.input).map_or("", |place| place.name.as_str());
                let formula = || {
                    let plain = bound.scale == 1 && bound.offset.is_zero();
                    let product = Dim::sym(Name::new(name)) * Dim::int(bound.scale) + bound.offset.clone();
                    if plain { String::new() } else { format!("(= {}) ", comment(&product.to_string())) }
                };
                match bound.source {
                    SymbolSource::Dimension => {
                        format!("{name}: from {input}.shape[{}] {}; {range}", bound.dim, formula()).replace(" ;", ";")
                    }
                    SymbolSource::Int => format!("{name}: from {input} {}; {range}", formula()).replace(" ;", ";"),
                    SymbolSource::Computed => format!("{name}: computed by the call; {range}"),
                }
            })
            .collect()
    }

    fn status(&self, out: &mut String) -> Written {
        let name = self.name;
        writeln!(out, "/* What every function that can fail returns; {name}_error has the message. */")?;
        writeln!(out, "typedef enum {name}_status {{")?;
        for (index, (status, label, meaning)) in Status::ALL.iter().enumerate() {
            let comma = if index + 1 < Status::ALL.len() { "," } else { "" };
            writeln!(out, "  {name}_{label} = {}{comma} /* {meaning} */", *status as i32)?;
        }
        writeln!(out, "}} {name}_status;\n")?;
        remark(
            out,
            "Owns everything that changes: working memory, state, threads. One context serves one thread at a time; \
             several contexts may run on several threads at once and share code and weights.",
        )?;
        writeln!(out, "typedef struct {name}_context {name}_context;\n")
    }

    fn options(&self, out: &mut String) -> Written {
        let name = self.name;
        let size = 32 + 8 * self.layout.bound().count();
        writeln!(out, "/* What a context is created with; start from {name}_options_default(). */")?;
        writeln!(out, "typedef struct {name}_options {{")?;
        writeln!(out, "  uint64_t size; /* sizeof({name}_options) */")?;
        writeln!(
            out,
            "  int32_t threads; /* threads of one call, yours included; 0 = as many as affinity and cgroup allow */"
        )?;
        writeln!(
            out,
            "  int32_t no_grow; /* 1 = a call that needs more working memory fails instead of allocating */"
        )?;
        writeln!(out, "  int32_t verify_weights; /* 1 = compare the hash of the whole weights file at creation */")?;
        writeln!(out, "  int32_t reserved; /* 0 */")?;
        let file = match self.placement {
            WeightsPlacement::Embedded => "not used: the weights are in the library".to_owned(),
            WeightsPlacement::File => format!("path of {}.weights; NULL = in the current folder", self.library),
        };
        writeln!(out, "  const char *weights_file; /* {file} */")?;
        if self.layout.bound().next().is_some() {
            writeln!(out, "  struct {{")?;
            for bound in self.layout.bound() {
                writeln!(out, "    int64_t {};", self.spec.symbols[bound.symbol].name)?;
            }
            writeln!(
                out,
                "  }} capacity; /* sizes to provide working memory for at creation; 0 = the declared maximum */"
            )?;
        }
        writeln!(out, "}} {name}_options;\n")?;
        writeln!(out, "typedef char {name}_check_options[sizeof({name}_options) == {size} ? 1 : -1];\n")?;
        writeln!(out, "static inline {name}_options {name}_options_default(void) {{")?;
        writeln!(out, "  {name}_options options;")?;
        writeln!(out, "  options.size = sizeof(options);")?;
        for member in ["threads", "no_grow", "verify_weights", "reserved", "weights_file"] {
            writeln!(out, "  options.{member} = 0;")?;
        }
        for bound in self.layout.bound() {
            writeln!(out, "  options.capacity.{} = 0;", self.spec.symbols[bound.symbol].name)?;
        }
        writeln!(out, "  return options;\n}}\n")
    }

    fn complex_types(&self, out: &mut String) -> Written {
        let name = self.name;
        let leaves = self.spec.inputs.iter().chain(&self.spec.outputs).map(|leaf| leaf.dtype);
        let mut used: BTreeMap<&str, (&str, u32)> = BTreeMap::new();
        for dtype in leaves.chain(self.spec.states.iter().map(|state| state.dtype)) {
            match dtype {
                DType::C32 => used.insert("complex32", ("uint16_t", 0)),
                DType::C64 => used.insert("complex64", ("float", 0)),
                DType::C128 => used.insert("complex128", ("double", 0)),
                _ => None,
            };
        }
        for (complex, (part, _)) in used {
            writeln!(
                out,
                "typedef struct {name}_{complex} {{\n  {part} real;\n  {part} imag;\n}} {name}_{complex};\n"
            )?;
        }
        Ok(())
    }

    fn inputs(&self, out: &mut String) -> Written {
        let name = self.name;
        writeln!(
            out,
            "/* The arguments of a call; start from {name}_inputs_default(), which knows the fixed sizes. */"
        )?;
        writeln!(out, "typedef struct {name}_inputs {{")?;
        for (leaf, place) in self.spec.inputs.iter().zip(&self.layout.inputs) {
            let member = &place.name;
            if leaf.kind == LeafKind::Int {
                writeln!(out, "  int64_t {member}; /* {} */", self.leaf_text(leaf))?;
                continue;
            }
            let c_type = c_type(leaf.dtype, name);
            let constant = if leaf.mutated { "" } else { "const " };
            writeln!(out, "  struct {{\n    {constant}{c_type} *data;")?;
            if !leaf.shape.is_empty() {
                writeln!(out, "    int64_t shape[{}];", leaf.shape.len())?;
            }
            writeln!(out, "  }} {member}; /* {} */", self.leaf_text(leaf))?;
        }
        self.close_struct(out, "inputs", self.layout.input_words)?;
        writeln!(out, "static inline {name}_inputs {name}_inputs_default(void) {{\n  {name}_inputs inputs;")?;
        for (leaf, place) in self.spec.inputs.iter().zip(&self.layout.inputs) {
            let member = &place.name;
            if leaf.kind == LeafKind::Int {
                writeln!(out, "  inputs.{member} = 0;")?;
                continue;
            }
            writeln!(out, "  inputs.{member}.data = 0;")?;
            for (dim, size) in leaf.shape.iter().enumerate() {
                writeln!(out, "  inputs.{member}.shape[{dim}] = {};", size.as_int().unwrap_or(0))?;
            }
        }
        if self.layout.input_words == 0 {
            writeln!(out, "  inputs.unused = 0;")?;
        }
        writeln!(out, "  return inputs;\n}}\n")
    }

    fn outputs(&self, out: &mut String) -> Written {
        let name = self.name;
        for (leaf, place) in self.spec.outputs.iter().zip(&self.layout.outputs) {
            if let (LeafKind::Tensor, Some(count)) = (leaf.kind, static_elements(&leaf.shape)) {
                writeln!(out, "/* Elements of {}. */", place.name)?;
                writeln!(out, "#define {name}_OUTPUT_{}_ELEMENTS {count}\n", place.name)?;
            }
        }
        remark(
            out,
            "The results of a call. You provide data and capacity (in elements); the call fills shape, also when it \
             fails because a capacity is too small.",
        )?;
        writeln!(out, "typedef struct {name}_outputs {{")?;
        for (leaf, place) in self.spec.outputs.iter().zip(&self.layout.outputs) {
            let member = &place.name;
            if leaf.kind == LeafKind::Int {
                writeln!(out, "  int64_t {member}; /* {} */", self.leaf_text(leaf))?;
                continue;
            }
            writeln!(out, "  struct {{\n    {} *data;\n    int64_t capacity;", c_type(leaf.dtype, name))?;
            if !leaf.shape.is_empty() {
                writeln!(out, "    int64_t shape[{}];", leaf.shape.len())?;
            }
            writeln!(out, "  }} {member}; /* {} */", self.leaf_text(leaf))?;
        }
        self.close_struct(out, "outputs", self.layout.output_words)?;
        writeln!(out, "static inline {name}_outputs {name}_outputs_default(void) {{\n  {name}_outputs outputs;")?;
        for (leaf, place) in self.spec.outputs.iter().zip(&self.layout.outputs) {
            let member = &place.name;
            if leaf.kind == LeafKind::Int {
                writeln!(out, "  outputs.{member} = 0;")?;
                continue;
            }
            writeln!(out, "  outputs.{member}.data = 0;\n  outputs.{member}.capacity = 0;")?;
            for dim in 0..leaf.shape.len() {
                writeln!(out, "  outputs.{member}.shape[{dim}] = 0;")?;
            }
        }
        if self.layout.output_words == 0 {
            writeln!(out, "  outputs.unused = 0;")?;
        }
        writeln!(out, "  return outputs;\n}}\n")
    }

    /// Ends a struct of words; C has no empty structs.
    fn close_struct(&self, out: &mut String, what: &str, words: u32) -> Written {
        let name = self.name;
        if words == 0 {
            writeln!(out, "  int64_t unused; /* there are none */")?;
        }
        writeln!(out, "}} {name}_{what};\n")?;
        writeln!(out, "typedef char {name}_check_{what}[sizeof({name}_{what}) == {} ? 1 : -1];\n", 8 * words.max(1))
    }

    fn functions(&self, out: &mut String) -> Written {
        let name = self.name;
        let dynamic = self.layout.bound().next().is_some();
        remark(
            out,
            "Creates a context; options may be NULL. On failure *context is NULL (no memory) or a context that can \
             only give its message and must be destroyed.",
        )?;
        writeln!(out, "{name}_status {name}_create(const {name}_options *options, {name}_context **context);\n")?;
        remark(out, "Frees a context and ends its threads; NULL is allowed.")?;
        writeln!(out, "void {name}_destroy({name}_context *context);\n")?;
        remark(out, "Why the last call on this context failed; empty after a success. Valid until the next call.")?;
        writeln!(out, "const char *{name}_error(const {name}_context *context);\n")?;
        let allocation = match dynamic {
            false => "It allocates nothing.",
            true => {
                "It allocates nothing unless its sizes need more working memory than any call before; capacity, \
                 reserve and no_grow in the options control that."
            }
        };
        remark(out, &format!("Runs the model. {allocation}"))?;
        let arguments = format!("{name}_context *context, const {name}_inputs *inputs, {name}_outputs *outputs");
        writeln!(out, "{name}_status {name}_run({arguments});\n")?;
        remark(
            out,
            "Fills shape and capacity (elements to provide) of every output for the sizes in inputs; data is not looked \
             at. A size that only the call will know is -1; the capacity then covers the worst case, or is -1 where none is known: \
             call with a guess, and again with what the shape says if that was too small (status CAPACITY).",
        )?;
        writeln!(out, "{name}_status {name}_output_shapes({arguments});\n")?;
        remark(out, "Provides working memory for the sizes in inputs; data is not looked at.")?;
        writeln!(out, "{name}_status {name}_reserve({name}_context *context, const {name}_inputs *inputs);\n")
    }

    fn states(&self, out: &mut String) -> Written {
        let name = self.name;
        remark(out, "Puts every state buffer back to its content in the exported model.")?;
        writeln!(out, "{name}_status {name}_reset({name}_context *context);\n")?;
        remark(
            out,
            "Writes the state to bytes, of which there are *size; *size becomes the number that it takes. With bytes NULL \
             only that is told.",
        )?;
        writeln!(out, "{name}_status {name}_save_state({name}_context *context, void *bytes, uint64_t *size);\n")?;
        remark(
            out,
            "Puts back a saved state. What is not a whole state of a model with the same buffers (names, types, shapes) is \
             refused and changes nothing.",
        )?;
        writeln!(out, "{name}_status {name}_load_state({name}_context *context, const void *bytes, uint64_t size);\n")?;
        remark(
            out,
            "Address and bytes (may be NULL) of state buffer number index; NULL if there is none. The functions below \
             are typed.",
        )?;
        writeln!(out, "void *{name}_state({name}_context *context, uint64_t index, uint64_t *bytes);\n")?;
        for (index, (state, place)) in self.spec.states.iter().zip(&self.layout.states).enumerate() {
            let c_type = c_type(state.dtype, name);
            let shape: Vec<String> = state.shape.iter().map(i64::to_string).collect();
            let count = place.size / state.dtype.size() as u64;
            writeln!(
                out,
                "/* {}: {} [{}], {count} elements, kept from call to call. */",
                comment(&state.path),
                type_text(state.dtype),
                shape.join(", ")
            )?;
            writeln!(out, "#define {name}_STATE_{}_ELEMENTS {count}", place.name)?;
            writeln!(out, "static inline {c_type} *{name}_state_{}({name}_context *context) {{", place.name)?;
            writeln!(out, "  return ({c_type} *){name}_state(context, {index}, 0);\n}}\n")?;
            if state.path == RANDOM_STATE {
                remark(
                    out,
                    "Starts the random numbers anew: calls after it draw what they drew after any other call of it with \
                     the same seed. The generator is Philox4x32-10; a new context has seed 0.",
                )?;
                writeln!(out, "static inline void {name}_seed({name}_context *context, uint64_t seed) {{")?;
                writeln!(out, "  {c_type} *state = {name}_state_{}(context);", place.name)?;
                writeln!(out, "  if (state) {{\n    state[0] = ({c_type})seed;\n    state[1] = 0;\n  }}\n}}\n")?;
            }
        }
        Ok(())
    }

    /// The functions that the library needs.
    fn custom(&self, out: &mut String) -> Written {
        if self.spec.functions.is_empty() {
            return Ok(());
        }
        write!(out, "{TENSOR}")?;
        remark(
            out,
            "Custom operators of the model, which YOU define and link with: they fill the results, whose memory and sizes are \
             given, write the arguments that their schemas mark (a!) in place, and return 0, or a code that ends the call with status ERROR_DATA. Integers and booleans come as int64_t, \
             a list as address and count, a text zero-terminated, an optional tensor that is not given as NULL.",
        )?;
        for function in &self.spec.functions {
            let parameters: Vec<String> = function.parameters.iter().map(|(ty, name)| format!("{ty}{name}")).collect();
            writeln!(out, "int32_t {}({});\n", function.name, parameters.join(", "))?;
        }
        Ok(())
    }

    fn describe(&self, out: &mut String) -> Written {
        let name = self.name;
        writeln!(out, "{DESCRIPTOR}")?;
        writeln!(out, "/* Describes this library to callers that drive any model. */")?;
        writeln!(out, "const struct pt2c_model *{name}_model(void);\n")
    }
}
