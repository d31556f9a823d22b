//! `NAME.rs`: the library for Rust, to be included into a module: slices in, vectors out, errors as values.

use std::fmt::Write;

use pt2c_abi::SymbolSource;
use pt2c_ir::DType;

use crate::layout::{Layout, LeafPlace};
use crate::names::comment;
use crate::nested::{self, Nested};
use crate::spec::{Leaf, LeafKind, LibrarySpec, SpecError};

/// What all programs share.
const COMMON: &str = r#"
/// What a failed call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The code of the C function.
    pub status: i32,
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// An argument: elements and sizes, row-major.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T, const RANK: usize> {
    pub data: &'a [T],
    pub shape: [i64; RANK],
}

/// An argument that the call changes.
#[derive(Debug)]
pub struct ViewMut<'a, T, const RANK: usize> {
    pub data: &'a mut [T],
    pub shape: [i64; RANK],
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T, const RANK: usize> {
    pub data: Vec<T>,
    pub shape: [i64; RANK],
}

impl<T, const RANK: usize> Default for Tensor<T, RANK> {
    fn default() -> Self {
        Tensor { data: Vec::new(), shape: [0; RANK] }
    }
}

fn check_elements(name: &str, given: usize, shape: &[i64]) -> Result<(), Error> {
    let wanted = shape.iter().try_fold(1i64, |count, &size| count.checked_mul(size));
    match wanted == i64::try_from(given).ok() {
        true => Ok(()),
        false => Err(Error { status: 1, message: format!("input \"{name}\": {given} elements for the shape {shape:?}") }),
    }
}

fn text(message: *const std::ffi::c_char) -> String {
    // SAFETY: the library's messages are zero-terminated and stay valid until the next call.
    unsafe { std::ffi::CStr::from_ptr(message) }.to_string_lossy().into_owned()
}
"#;

pub(crate) fn rust_type(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool | DType::U8 | DType::F8E4M3FN | DType::F8E5M2 => "u8",
        DType::I8 => "i8",
        DType::U16 | DType::F16 | DType::BF16 => "u16",
        DType::I16 => "i16",
        DType::U32 => "u32",
        DType::I32 => "i32",
        DType::U64 => "u64",
        DType::I64 => "i64",
        DType::F32 => "f32",
        DType::F64 => "f64",
        DType::C32 => "[u16; 2]",
        DType::C64 => "[f32; 2]",
        DType::C128 => "[f64; 2]",
    }
}

/// A member's name in Rust, where words are reserved that C does not know.
pub(crate) fn field(name: &str) -> String {
    const WORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "crate", "dyn", "final", "fn", "gen", "impl", "in", "let",
        "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "self", "Self", "super",
        "trait", "type", "unsafe", "unsized", "use", "where", "yield",
    ];
    if WORDS.contains(&name) { format!("{name}_") } else { name.to_owned() }
}

/// The text of the file for the programs of the library `library`; of several, each is a module.
///
/// # Errors
/// As [`Layout::new`].
pub fn rust(library: &str, specs: &[&LibrarySpec]) -> Result<String, SpecError> {
    let mut out = String::new();
    let placed = specs.iter().map(|spec| Layout::new(spec).map(|layout| (*spec, layout)));
    let placed: Vec<(&LibrarySpec, Layout)> = placed.collect::<Result<_, _>>()?;
    // Writing to a string cannot fail.
    let _ = write_file(&mut out, library, &placed);
    Ok(out)
}

fn write_file(out: &mut String, library: &str, programs: &[(&LibrarySpec, Layout)]) -> std::fmt::Result {
    writeln!(out, "// {library}.rs: the library of {library}.h for Rust. Include it into a module:\n//")?;
    writeln!(out, "//     mod {library} {{")?;
    writeln!(out, "//         include!(concat!(env!(\"OUT_DIR\"), \"/{library}.rs\"));\n//     }}\n//")?;
    writeln!(
        out,
        "// and link with lib{library}.a (`cargo::rustc-link-lib=static={library}`); {library}.h says what holds."
    )?;
    out.push_str(COMMON);
    for (spec, layout) in programs {
        let short = spec.name_in(library);
        match programs.len() {
            1 => program(out, spec, layout)?,
            _ => {
                writeln!(out, "\n/// {}", spec.description.first().map_or(String::new(), |line| comment(line)))?;
                writeln!(out, "pub mod {} {{\nuse super::*;", field(short))?;
                program(out, spec, layout)?;
                writeln!(out, "}}")?;
            }
        }
    }
    Ok(())
}

fn program(out: &mut String, spec: &LibrarySpec, layout: &Layout) -> std::fmt::Result {
    let name = &spec.name;
    writeln!(out, "\nunsafe extern \"C\" {{")?;
    let raw = "*mut std::ffi::c_void";
    writeln!(out, "    fn {name}_create(options: *const u64, context: *mut {raw}) -> i32;")?;
    writeln!(out, "    fn {name}_destroy(context: {raw});")?;
    writeln!(out, "    fn {name}_error(context: {raw}) -> *const std::ffi::c_char;")?;
    writeln!(out, "    fn {name}_output_shapes(context: {raw}, inputs: *const i64, outputs: *mut i64) -> i32;")?;
    writeln!(out, "    fn {name}_run(context: {raw}, inputs: *const i64, outputs: *mut i64) -> i32;")?;
    writeln!(out, "    fn {name}_reset(context: {raw}) -> i32;")?;
    if !spec.states.is_empty() {
        writeln!(out, "    fn {name}_state(context: {raw}, index: u64, bytes: *mut u64) -> {raw};")?;
    }
    writeln!(out, "}}\n")?;
    let lifetime = if spec.inputs.iter().any(|leaf| leaf.kind == LeafKind::Tensor) { "<'a>" } else { "" };
    writeln!(out, "/// The arguments of a call.\n#[derive(Debug)]\npub struct Inputs{lifetime} {{")?;
    for (leaf, place) in spec.inputs.iter().zip(&layout.inputs) {
        documented(out, leaf)?;
        match leaf.kind {
            LeafKind::Int => writeln!(out, "    pub {}: i64,", field(&place.name))?,
            LeafKind::Tensor => {
                let view = if leaf.mutated { "ViewMut" } else { "View" };
                let (element, rank) = (rust_type(leaf.dtype), leaf.shape.len());
                writeln!(out, "    pub {}: {view}<'a, {element}, {rank}>,", field(&place.name))?;
            }
        }
    }
    writeln!(
        out,
        "}}\n\n/// The results of a call.\n#[derive(Clone, Debug, Default, PartialEq)]\npub struct Outputs {{"
    )?;
    for (leaf, place) in spec.outputs.iter().zip(&layout.outputs) {
        documented(out, leaf)?;
        match leaf.kind {
            LeafKind::Int => writeln!(out, "    pub {}: i64,", field(&place.name))?,
            LeafKind::Tensor => {
                writeln!(
                    out,
                    "    pub {}: Tensor<{}, {}>,",
                    field(&place.name),
                    rust_type(leaf.dtype),
                    leaf.shape.len()
                )?;
            }
        }
    }
    writeln!(out, "}}\n")?;
    let bound = layout.bindings.iter().filter(|bound| bound.source != SymbolSource::Computed).count();
    writeln!(
        out,
        "/// One context: working memory, state and threads. It serves one call at a time.\n#[derive(Debug)]\n\
         pub struct Model {{\n    context: {raw},\n}}\n\n\
         // SAFETY: a context may be used by any thread, by one at a time.\nunsafe impl Send for Model {{}}\n\n\
         impl Drop for Model {{\n    fn drop(&mut self) {{\n        // SAFETY: the context is used no more.\n        \
         unsafe {{ {name}_destroy(self.context) }}\n    }}\n}}\n\n\
         impl Model {{\n    /// A context for calls of so many threads; 0 = as many as this process may use.\n    \
         pub fn new(threads: u16) -> Result<Model, Error> {{"
    )?;
    // Size, threads, two flags, and the path of the weights; then one capacity for each bound symbol.
    writeln!(out, "        let mut options = [0u64; {}];", 4 + bound)?;
    writeln!(out, "        options[0] = {};\n        options[1] = u64::from(threads);", 8 * (4 + bound))?;
    writeln!(
        out,
        "        let mut model = Model {{ context: std::ptr::null_mut() }};\n        \
         // SAFETY: the options are as large as they say.\n        \
         let status = unsafe {{ {name}_create(options.as_ptr(), &mut model.context) }};\n        \
         model.check(status).map(|()| model)\n    }}\n"
    )?;
    writeln!(
        out,
        "    fn check(&self, status: i32) -> Result<(), Error> {{\n        if status == 0 {{\n            return Ok(());\n        \
         }}\n        // SAFETY: the context is null or valid.\n        \
         Err(Error {{ status, message: text(unsafe {{ {name}_error(self.context) }}) }})\n    }}\n"
    )?;
    run(out, spec, layout, lifetime)?;
    writeln!(
        out,
        "    /// Gives every state buffer its content in the exported model.\n    \
         pub fn reset(&mut self) -> Result<(), Error> {{\n        // SAFETY: the context is valid.\n        \
         let status = unsafe {{ {name}_reset(self.context) }};\n        self.check(status)\n    }}"
    )?;
    for (index, (state, place)) in spec.states.iter().zip(&layout.states).enumerate() {
        let count = place.size / state.dtype.size().max(1) as u64;
        let element = rust_type(state.dtype);
        writeln!(
            out,
            "\n    /// {}, kept from call to call.\n    pub fn state_{}(&mut self) -> &mut [{element}] {{\n        \
             // SAFETY: the buffer has so many elements and lives as long as the context.\n        unsafe {{\n            \
             let start = {name}_state(self.context, {index}, std::ptr::null_mut());\n            \
             std::slice::from_raw_parts_mut(start.cast(), {count})\n        }}\n    }}",
            comment(&state.path),
            place.name
        )?;
    }
    writeln!(out, "}}")?;
    match Nested::of(spec) {
        Some(nested) => nested::rust::write(out, spec, layout, &nested),
        None => Ok(()),
    }
}

fn documented(out: &mut String, leaf: &Leaf) -> std::fmt::Result {
    let sizes: Vec<String> = leaf.shape.iter().map(|size| comment(&size.to_string())).collect();
    match leaf.kind {
        LeafKind::Int => writeln!(out, "    /// `{}`.", comment(&leaf.path)),
        LeafKind::Tensor => writeln!(out, "    /// `{}`: {} [{}].", comment(&leaf.path), leaf.dtype, sizes.join(", ")),
    }
}

/// The call, over the words that the typed C structs consist of.
fn run(out: &mut String, spec: &LibrarySpec, layout: &Layout, lifetime: &str) -> std::fmt::Result {
    let name = &spec.name;
    let any = if lifetime.is_empty() { "" } else { "<'_>" };
    let mutated = spec.inputs.iter().any(|leaf| leaf.mutated);
    let (borrow, used) =
        (if mutated { "&mut " } else { "&" }, if spec.inputs.is_empty() { "_inputs" } else { "inputs" });
    writeln!(
        out,
        "    /// Runs the model.\n    pub fn run(&mut self, {used}: {borrow}Inputs{any}) -> Result<Outputs, Error> {{"
    )?;
    let inputs = if spec.inputs.is_empty() { "let" } else { "let mut" };
    writeln!(out, "        {inputs} words = [0i64; {}];", layout.input_words.max(1))?;
    for (leaf, place) in spec.inputs.iter().zip(&layout.inputs) {
        let (member, word) = (field(&place.name), place.first_word);
        if leaf.kind == LeafKind::Int {
            writeln!(out, "        words[{word}] = inputs.{member};")?;
            continue;
        }
        let pointer = if leaf.mutated { "as_mut_ptr" } else { "as_ptr" };
        writeln!(out, "        check_elements(\"{member}\", inputs.{member}.data.len(), &inputs.{member}.shape)?;")?;
        writeln!(out, "        words[{word}] = inputs.{member}.data.{pointer}().expose_provenance() as i64;")?;
        if !leaf.shape.is_empty() {
            let (from, to) = (word + 1, word + 1 + leaf.shape.len() as u32);
            writeln!(out, "        words[{from}..{to}].copy_from_slice(&inputs.{member}.shape);")?;
        }
    }
    writeln!(out, "        let mut results = [0i64; {}];", layout.output_words.max(1))?;
    writeln!(out, "        let mut outputs = Outputs::default();")?;
    writeln!(
        out,
        "        // SAFETY: both arrays have the words of the header's structs; no data is looked at.\n        \
         let status = unsafe {{ {name}_output_shapes(self.context, words.as_ptr(), results.as_mut_ptr()) }};\n        \
         self.check(status)?;"
    )?;
    let tensors: Vec<(&Leaf, &LeafPlace)> =
        spec.outputs.iter().zip(&layout.outputs).filter(|(leaf, _)| leaf.kind == LeafKind::Tensor).collect();
    writeln!(out, "        // A size that only the call finds out can ask for more room.")?;
    writeln!(out, "        for attempt in 0.. {{")?;
    for (leaf, place) in &tensors {
        let (member, word) = (field(&place.name), place.first_word);
        let zero = match leaf.dtype {
            DType::C32 | DType::C64 | DType::C128 => "[Default::default(); 2]",
            _ => "Default::default()",
        };
        writeln!(out, "            outputs.{member}.data.resize(results[{}].max(0) as usize, {zero});", word + 1)?;
        writeln!(out, "            results[{word}] = outputs.{member}.data.as_mut_ptr().expose_provenance() as i64;")?;
        writeln!(out, "            results[{}] = outputs.{member}.data.len() as i64;", word + 1)?;
    }
    writeln!(
        out,
        "            // SAFETY: every pointer leads to as many elements as shape or capacity say.\n            \
         let status = unsafe {{ {name}_run(self.context, words.as_ptr(), results.as_mut_ptr()) }};\n            \
         if status != 2 || attempt > {} {{\n                self.check(status)?;\n                break;\n            }}",
        2 * tensors.len()
    )?;
    for (leaf, place) in &tensors {
        let (word, rank) = (place.first_word, leaf.shape.len() as u32);
        writeln!(
            out,
            "            results[{0}] = results[{0}].max(results[{1}..{2}].iter().product());",
            word + 1,
            word + 2,
            word + 2 + rank
        )?;
    }
    writeln!(out, "        }}")?;
    for (leaf, place) in spec.outputs.iter().zip(&layout.outputs) {
        let (member, word) = (field(&place.name), place.first_word);
        if leaf.kind == LeafKind::Int {
            writeln!(out, "        outputs.{member} = results[{word}];")?;
            continue;
        }
        if !leaf.shape.is_empty() {
            let (from, to) = (word + 2, word + 2 + leaf.shape.len() as u32);
            writeln!(out, "        outputs.{member}.shape.copy_from_slice(&results[{from}..{to}]);")?;
        }
        writeln!(
            out,
            "        outputs.{member}.data.truncate(outputs.{member}.shape.iter().product::<i64>().max(0) as usize);"
        )?;
    }
    writeln!(out, "        Ok(outputs)\n    }}\n")
}
