//! Writes the model descriptor ([`pt2c_abi::Model`]) as an object file: one section of read-only data after relocation.

use std::collections::BTreeMap;

use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SymbolFlags,
    SymbolKind, SymbolScope,
};
use pt2c_abi::{
    ABI_VERSION, ALIGNMENT, BufferKind, LEAF_LATE, LEAF_MUTATED, MODEL_MAGIC, Model, NO_DIM, NOT_LATE, ZERO_INITIAL,
};
use pt2c_ir::dim::{Dim, Scope, Symbol as Name};

use crate::layout::{Layout, LeafPlace, dtype_code, encode};
use crate::library::LibraryError;
use crate::names::comment;
use crate::spec::{Buffer, Leaf, LeafKind, LibrarySpec, SpecError};

/// Where the weights are, for the descriptor.
pub struct WeightsInfo {
    pub size: u64,
    pub hash: u64,
    /// The default file name; `None` = embedded.
    pub file: Option<String>,
    /// What embedded ones are called.
    pub symbol: String,
}

/// The bytes of the section and what must be relocated in them.
#[derive(Default)]
struct Data {
    bytes: Vec<u8>,
    /// (place, target): 8-byte absolute addresses.
    relocations: Vec<(u64, Target)>,
    strings: BTreeMap<String, u64>,
}

#[derive(Clone)]
enum Target {
    /// An offset in the section itself.
    Here(u64),
    /// A symbol of another object.
    Symbol(String),
}

impl Data {
    fn align(&mut self) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.bytes.len() as u64
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn pointer(&mut self, target: Option<Target>) {
        if let Some(target) = target {
            self.relocations.push((self.bytes.len() as u64, target));
        }
        self.u64(0);
    }

    /// A pointer to an array and its length; null for an empty one.
    fn array(&mut self, place: u64, count: usize) {
        self.pointer((count > 0).then_some(Target::Here(place)));
        self.u64(count as u64);
    }

    /// Adds a string once and gives its place. Zero bytes would end it, so they become spaces with the other control
    /// characters.
    fn string(&mut self, text: &str) -> Target {
        let text = comment(text);
        if let Some(&place) = self.strings.get(&text) {
            return Target::Here(place);
        }
        let place = self.bytes.len() as u64;
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
        self.strings.insert(text, place);
        Target::Here(place)
    }
}

/// The pool of programs.
struct Programs<'a> {
    spec: &'a LibrarySpec,
    words: Vec<i64>,
    known: BTreeMap<Vec<i64>, (u32, u32)>,
}

impl Programs<'_> {
    /// Start and length of a program, added if it is new.
    fn add(&mut self, words: Vec<i64>) -> Result<(u32, u32), SpecError> {
        if let Some(&range) = self.known.get(&words) {
            return Ok(range);
        }
        let too_many = |_| SpecError::Inconsistent("the size formulas are too large".to_owned());
        let range = (u32::try_from(self.words.len()).map_err(too_many)?, u32::try_from(words.len()).map_err(too_many)?);
        self.words.extend(&words);
        self.known.insert(words, range);
        Ok(range)
    }

    fn dim(&mut self, dim: &Dim) -> Result<(u32, u32), SpecError> {
        self.add(encode(&dim.to_postfix(), self.spec)?)
    }
}

impl Data {
    fn program(&mut self, (start, length): (u32, u32)) {
        self.u32(start);
        self.u32(length);
    }
}

/// The descriptor as an object file that defines `NAME__rt_model`.
pub fn write(spec: &LibrarySpec, layout: &Layout, weights: &WeightsInfo) -> Result<Vec<u8>, LibraryError> {
    let mut data = Data::default();
    let mut programs = Programs { spec, words: Vec::new(), known: BTreeMap::new() };
    let scope = scope(spec);
    let inputs = leaves(&mut data, &mut programs, &scope, &spec.inputs, &layout.inputs)?;
    let outputs = leaves(&mut data, &mut programs, &scope, &spec.outputs, &layout.outputs)?;
    let symbols = symbols(&mut data, spec);
    let bindings = bindings(&mut data, &mut programs, layout)?;
    let constraints = constraints(&mut data, &mut programs, layout)?;
    let states = states(&mut data, spec, layout);
    let buffers = buffers(&mut data, &mut programs, spec)?;
    let messages: Vec<Target> = spec.messages.iter().map(|text| data.string(text)).collect();
    let messages_place = data.align();
    for message in &messages {
        data.pointer(Some(message.clone()));
    }
    let arena = match &spec.arena_size {
        Some(size) => programs.dim(size)?,
        None => programs.dim(&Dim::ZERO)?,
    };
    let name = data.string(&spec.name);
    let cpu = data.string(&spec.cpu);
    let weights_file = weights.file.as_ref().map(|file| data.string(file));
    let programs_place = data.align();
    for &word in &programs.words {
        data.i64(word);
    }
    let features = spec.cpu_features.iter().filter_map(|feature| pt2c_abi::cpu::feature_bit(feature));

    let model = data.align();
    data.u64(MODEL_MAGIC);
    data.u32(ABI_VERSION);
    data.u32(size_of::<Model>() as u32);
    data.pointer(Some(name));
    data.pointer(Some(cpu));
    data.u64(features.fold(0, |bits, bit| bits | bit));
    data.array(inputs, spec.inputs.len());
    data.array(outputs, spec.outputs.len());
    data.array(symbols, spec.symbols.len());
    data.array(bindings, layout.bindings.len());
    data.array(constraints, layout.rules.len());
    data.array(states, spec.states.len());
    data.u64(layout.state_size);
    data.array(buffers, spec.buffers.len());
    data.array(messages_place, messages.len());
    data.array(programs_place, programs.words.len());
    data.program(arena);
    data.u64(u64::from(layout.input_words));
    data.u64(u64::from(layout.output_words));
    let embedded = weights.file.is_none() && weights.size > 0;
    data.pointer(embedded.then(|| Target::Symbol(weights.symbol.clone())));
    data.u64(weights.size);
    data.u64(weights.hash);
    data.pointer(weights_file);
    data.pointer(Some(Target::Symbol(format!("{}__main", spec.name))));
    debug_assert_eq!(data.bytes.len() as u64 - model, size_of::<Model>() as u64);
    Ok(object(&data, &format!("{}__rt_model", spec.name), model)?)
}

/// What is known about the symbols, for the bounds of the dimensions.
fn scope(spec: &LibrarySpec) -> Scope {
    let mut scope = Scope::new();
    for symbol in &spec.symbols {
        scope.declare(Name::new(&symbol.name), Some(symbol.min), (symbol.max < i64::MAX).then_some(symbol.max));
    }
    for constraint in &spec.constraints {
        scope.assume(constraint.rule.clone());
    }
    scope
}

fn leaves(
    data: &mut Data,
    programs: &mut Programs<'_>,
    scope: &Scope,
    leaves: &[Leaf],
    places: &[LeafPlace],
) -> Result<u64, SpecError> {
    let mut prepared = Vec::new();
    for (leaf, place) in leaves.iter().zip(places) {
        let mut texts = Vec::new();
        for dim in &leaf.shape {
            texts.push((programs.dim(dim)?, data.string(&dim.to_string()), scope.bounds(dim)));
        }
        let dims = data.align();
        for (program, text, bounds) in texts {
            data.program(program);
            data.pointer(Some(text));
            data.i64(bounds.min.unwrap_or(0).max(0));
            data.i64(bounds.max.unwrap_or(i64::MAX));
        }
        prepared.push((data.string(&place.name), data.string(&leaf.path), dims));
    }
    let start = data.align();
    for ((leaf, place), (name, path, dims)) in leaves.iter().zip(places).zip(prepared) {
        data.pointer(Some(name));
        data.pointer(Some(path));
        data.u32(leaf.kind as u32);
        data.u32(dtype_code(leaf.dtype) as u32);
        data.u32(leaf.shape.len() as u32);
        let mutated = if leaf.mutated { LEAF_MUTATED } else { 0 };
        let symbols = leaf.shape.iter().flat_map(Dim::symbols).collect();
        let late = programs.spec.late(&symbols);
        data.u32(mutated | if late.is_some() { LEAF_LATE } else { 0 });
        data.u32(leaf.position);
        data.u32(place.first_word);
        data.u32(late.unwrap_or(NOT_LATE));
        data.u32(0);
        data.pointer((!leaf.shape.is_empty()).then_some(Target::Here(dims)));
        let value = leaf.value.as_ref().filter(|_| leaf.kind == LeafKind::Int);
        data.program(value.map_or(Ok((0, 0)), |value| programs.dim(value))?);
        data.program(leaf.most.as_ref().map_or(Ok((0, 0)), |most| programs.dim(most))?);
    }
    Ok(start)
}

fn symbols(data: &mut Data, spec: &LibrarySpec) -> u64 {
    let names: Vec<Target> = spec.symbols.iter().map(|symbol| data.string(&symbol.name)).collect();
    let start = data.align();
    for (symbol, name) in spec.symbols.iter().zip(names) {
        data.pointer(Some(name));
        data.i64(symbol.min);
        data.i64(symbol.max);
    }
    start
}

fn bindings(data: &mut Data, programs: &mut Programs<'_>, layout: &Layout) -> Result<u64, SpecError> {
    let start = data.align();
    for bound in &layout.bindings {
        data.u32(bound.symbol as u32);
        data.u32(bound.source as u32);
        data.u32(bound.input as u32);
        data.u32(bound.dim as u32);
        data.i64(bound.scale);
        let stage = programs.spec.stages.iter().find(|stage| stage.symbol as usize == bound.symbol);
        let offset = stage.map_or(&bound.offset, |stage| &stage.arena);
        let offset = if offset.is_zero() { (0, 0) } else { programs.dim(offset)? };
        data.program(offset);
    }
    Ok(start)
}

fn constraints(data: &mut Data, programs: &mut Programs<'_>, layout: &Layout) -> Result<u64, SpecError> {
    let texts: Vec<Target> = layout.rules.iter().map(|rule| data.string(&rule.text)).collect();
    let start = data.align();
    for (rule, text) in layout.rules.iter().zip(texts) {
        let words = encode(&rule.pred.to_postfix(), programs.spec)?;
        data.program(programs.add(words)?);
        data.u32(rule.input as u32);
        data.u32(rule.dim.map_or(NO_DIM, |dim| dim as u32));
        data.pointer(Some(text));
        data.u32(rule.late.unwrap_or(NOT_LATE));
        data.u32(0);
    }
    Ok(start)
}

fn states(data: &mut Data, spec: &LibrarySpec, layout: &Layout) -> u64 {
    let mut prepared = Vec::new();
    for (state, place) in spec.states.iter().zip(&layout.states) {
        let shape = data.align();
        for &size in &state.shape {
            data.i64(size);
        }
        prepared.push((data.string(&place.name), data.string(&state.path), shape));
    }
    let start = data.align();
    for ((state, place), (name, path, shape)) in spec.states.iter().zip(&layout.states).zip(prepared) {
        data.pointer(Some(name));
        data.pointer(Some(path));
        data.u32(dtype_code(state.dtype) as u32);
        data.u32(state.shape.len() as u32);
        data.pointer((!state.shape.is_empty()).then_some(Target::Here(shape)));
        data.u64(place.size);
        data.u64(place.offset);
        data.u64(state.initial.unwrap_or(ZERO_INITIAL));
    }
    start
}

fn buffers(data: &mut Data, programs: &mut Programs<'_>, spec: &LibrarySpec) -> Result<u64, SpecError> {
    let start = data.align();
    let too_large = |_| SpecError::Inconsistent("a weight lies beyond 63 bits".to_owned());
    for buffer in &spec.buffers {
        let (kind, index, offset, size) = match buffer {
            Buffer::Input(index) => (BufferKind::Input, *index, (0, 0), (0, 0)),
            Buffer::Output(index) => (BufferKind::Output, *index, (0, 0), (0, 0)),
            Buffer::State(index) => (BufferKind::State, *index, (0, 0), (0, 0)),
            Buffer::Arena { offset, size } => (BufferKind::Arena, 0, programs.dim(offset)?, programs.dim(size)?),
            Buffer::Weights { offset, size } => {
                let offset = i64::try_from(*offset).map_err(too_large)?;
                let size = i64::try_from(*size).map_err(too_large)?;
                (BufferKind::Weights, 0, programs.dim(&Dim::int(offset))?, programs.dim(&Dim::int(size))?)
            }
        };
        data.u32(kind as u32);
        data.u32(index);
        data.program(offset);
        data.program(size);
        let late = match buffer {
            Buffer::Arena { size, .. } => programs.spec.late(&size.symbols()),
            Buffer::Output(output) => {
                let leaf = programs.spec.outputs.get(*output as usize);
                let symbols = leaf.into_iter().flat_map(|leaf| &leaf.shape).flat_map(Dim::symbols).collect();
                programs.spec.late(&symbols)
            }
            _ => None,
        };
        data.u32(late.unwrap_or(NOT_LATE));
        data.u32(0);
    }
    Ok(start)
}

/// Wraps the data into an ELF object. Every global symbol is hidden: it can be linked against, but no shared library
/// that holds this code exports it.
fn object(data: &Data, name: &str, place: u64) -> object::write::Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = object.section_id(StandardSection::ReadOnlyDataWithRel);
    object.append_section_data(section, &data.bytes, ALIGNMENT);
    object.add_symbol(hidden(name, place, size_of::<Model>() as u64, SymbolSection::Section(section)));
    let here = object.section_symbol(section);
    let mut others: BTreeMap<&str, SymbolId> = BTreeMap::new();
    for (offset, target) in &data.relocations {
        let (symbol, addend) = match target {
            Target::Here(place) => (here, *place as i64),
            Target::Symbol(name) => {
                let symbol = *others
                    .entry(name)
                    .or_insert_with(|| object.add_symbol(hidden(name, 0, 0, SymbolSection::Undefined)));
                (symbol, 0)
            }
        };
        relocate(&mut object, section, *offset, symbol, addend)?;
    }
    no_executable_stack(&mut object);
    object.write()
}

/// Says that the object needs no executable stack; without this section some linkers assume that it does.
pub fn no_executable_stack(object: &mut Object<'_>) {
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), object::SectionKind::Other);
}

/// A global symbol of hidden visibility.
pub fn hidden(name: &str, value: u64, size: u64, section: SymbolSection) -> Symbol {
    Symbol {
        name: name.as_bytes().to_vec(),
        value,
        size,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section,
        flags: SymbolFlags::None,
    }
}

fn relocate(
    object: &mut Object<'_>,
    section: SectionId,
    offset: u64,
    symbol: SymbolId,
    addend: i64,
) -> object::write::Result<()> {
    let flags =
        RelocationFlags::Generic { kind: RelocationKind::Absolute, encoding: RelocationEncoding::Generic, size: 64 };
    object.add_relocation(section, Relocation { offset, symbol, addend, flags })
}
