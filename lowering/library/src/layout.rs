//! Everything that follows from a [`LibrarySpec`]: C names, words of the typed structs, how symbols are bound, which
//! input a rule is about, where states lie. Header and descriptor are both written from this.

use std::collections::BTreeSet;

use pt2c_abi::{ALIGNMENT, Op, SymbolSource};
use pt2c_ir::dim::{Dim, PostfixOp, Pred, Symbol as Name};

use crate::names::{identifier, is_identifier};
use crate::spec::{Buffer, Leaf, LeafKind, LibrarySpec, SpecError};

/// One leaf's place in its struct.
pub struct LeafPlace {
    /// Member name.
    pub name: String,
    pub first_word: u32,
}

/// How a symbol gets its value; see [`pt2c_abi::Binding`].
pub struct Bound {
    pub symbol: usize,
    pub source: SymbolSource,
    pub input: usize,
    pub dim: usize,
    pub scale: i64,
    /// Zero for a size that is scale · symbol.
    pub offset: Dim,
}

/// One state's name and place.
pub struct StatePlace {
    pub name: String,
    pub offset: u64,
    pub size: u64,
}

/// A rule with the input it is reported for.
pub struct Rule {
    pub pred: Pred,
    pub text: String,
    /// Input and dimension; `None` for the dimension of an integer input.
    pub input: usize,
    pub dim: Option<usize>,
    /// The computed symbol after which it is checked.
    pub late: Option<u32>,
}

/// See the module.
pub struct Layout {
    pub inputs: Vec<LeafPlace>,
    pub outputs: Vec<LeafPlace>,
    pub input_words: u32,
    pub output_words: u32,
    pub bindings: Vec<Bound>,
    pub rules: Vec<Rule>,
    pub states: Vec<StatePlace>,
    pub state_size: u64,
}

impl Layout {
    /// Checks the spec and lays it out.
    pub fn new(spec: &LibrarySpec) -> Result<Layout, SpecError> {
        if !is_identifier(&spec.name) {
            return Err(SpecError::Name(spec.name.clone()));
        }
        check(spec)?;
        let (inputs, input_words) = place_leaves(&spec.inputs, "input", 1)?;
        let (outputs, output_words) = place_leaves(&spec.outputs, "output", 2)?;
        let bindings = bind(spec)?;
        let rules = rules(spec, &bindings)?;
        let (states, state_size) = place_states(spec)?;
        Ok(Layout { inputs, outputs, input_words, output_words, bindings, rules, states, state_size })
    }

    /// The bindings of the symbols that inputs determine; those that the run computes come after them.
    pub fn bound(&self) -> impl Iterator<Item = &Bound> {
        self.bindings.iter().filter(|bound| bound.source != SymbolSource::Computed)
    }
}

fn inconsistent(text: impl Into<String>) -> SpecError {
    SpecError::Inconsistent(text.into())
}

/// Product of sizes and element size, if it fits.
pub fn bytes(shape: &[i64], element: usize) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(element as u64, |bytes, &size| bytes.checked_mul(u64::try_from(size).ok()?))
}

fn check(spec: &LibrarySpec) -> Result<(), SpecError> {
    let mut names = BTreeSet::new();
    for symbol in &spec.symbols {
        if !is_identifier(&symbol.name) || !names.insert(symbol.name.as_str()) {
            return Err(inconsistent(format!("\"{}\" is not a symbol name, or is one twice", symbol.name)));
        }
        if symbol.min > symbol.max {
            return Err(inconsistent(format!(
                "the range of {} is empty ({} to {})",
                symbol.name, symbol.min, symbol.max
            )));
        }
    }
    let declared = |place: &str, symbols: &BTreeSet<Name>| {
        let missing = symbols.iter().find(|symbol| !names.contains(symbol.as_str()));
        missing.map_or(Ok(()), |symbol| {
            Err(SpecError::Undeclared { place: place.to_owned(), symbol: symbol.as_str().to_owned() })
        })
    };
    for leaf in spec.inputs.iter().chain(&spec.outputs) {
        for size in leaf.shape.iter().chain(&leaf.value) {
            declared(&format!("the size of {}", leaf.path), &size.symbols())?;
        }
        if (leaf.kind == LeafKind::Int) != leaf.value.is_some()
            || (leaf.kind == LeafKind::Int && !leaf.shape.is_empty())
        {
            return Err(inconsistent(format!("{} must have either a shape or a value", leaf.path)));
        }
    }
    for constraint in &spec.constraints {
        declared(&format!("the rule {}", constraint.rule), &constraint.rule.symbols())?;
    }
    let computed = |name: &Name| spec.symbols.iter().any(|symbol| symbol.computed && symbol.name == name.as_str());
    let known_at_entry = |place: &str, dim: &Dim| {
        declared(place, &dim.symbols())?;
        match dim.symbols().iter().find(|name| computed(name)) {
            Some(name) => Err(inconsistent(format!("{place} depends on {}, which the run computes", name.as_str()))),
            None => Ok(()),
        }
    };
    let staged = |name: &Name| {
        let symbol = |stage: &crate::spec::Stage| spec.symbols.get(stage.symbol as usize);
        spec.stages.iter().filter_map(symbol).any(|symbol| symbol.name == name.as_str())
    };
    let known_somewhere = |place: &str, dim: &Dim| {
        declared(place, &dim.symbols())?;
        match dim.symbols().iter().find(|name| computed(name) && !staged(name)) {
            Some(name) => Err(inconsistent(format!("{place} depends on {}, which nothing computes", name.as_str()))),
            None => Ok(()),
        }
    };
    if let Some(size) = &spec.arena_size {
        known_at_entry("the size of the arena", size)?;
    }
    for leaf in &spec.inputs {
        for size in leaf.shape.iter().chain(&leaf.value) {
            known_at_entry(&format!("the size of input {}", leaf.path), size)?;
        }
    }
    let is_tensor =
        |leaves: &[Leaf], index: u32| leaves.get(index as usize).is_some_and(|leaf| leaf.kind == LeafKind::Tensor);
    for (index, buffer) in spec.buffers.iter().enumerate() {
        let legal = match buffer {
            Buffer::Input(input) => is_tensor(&spec.inputs, *input),
            Buffer::Output(output) => is_tensor(&spec.outputs, *output),
            Buffer::State(state) => (*state as usize) < spec.states.len(),
            Buffer::Arena { offset, size } => {
                known_somewhere(&format!("buffer {index}"), offset)?;
                known_somewhere(&format!("buffer {index}"), size)?;
                spec.arena_size.is_some() || spec.late(&size.symbols()).is_some()
            }
            Buffer::Weights { offset, size } => offset.checked_add(*size).is_some_and(|end| i64::try_from(end).is_ok()),
        };
        if !legal {
            return Err(inconsistent(format!("buffer {index} ({buffer:?}) refers to nothing")));
        }
    }
    for leaf in spec.outputs.iter() {
        for size in leaf.shape.iter().chain(&leaf.value) {
            known_somewhere(&format!("the size of output {}", leaf.path), size)?;
        }
        if let Some(most) = &leaf.most {
            known_at_entry(&format!("the greatest size of output {}", leaf.path), most)?;
        }
    }
    Ok(())
}

/// Names and words: a tensor takes `header` words and one for each dimension, an integer one.
fn place_leaves(leaves: &[Leaf], prefix: &str, header: u32) -> Result<(Vec<LeafPlace>, u32), SpecError> {
    let mut used = BTreeSet::new();
    let mut next = 0u32;
    let mut places = Vec::new();
    for leaf in leaves {
        places.push(LeafPlace { name: identifier(&leaf.path, prefix, &mut used), first_word: next });
        let words = if leaf.kind == LeafKind::Int { 1 } else { header + leaf.shape.len() as u32 };
        next = next.checked_add(words).ok_or_else(|| inconsistent("too many leaves"))?;
    }
    Ok((places, next))
}

fn place_states(spec: &LibrarySpec) -> Result<(Vec<StatePlace>, u64), SpecError> {
    let mut used = BTreeSet::new();
    let mut end = 0u64;
    let mut places = Vec::new();
    for state in &spec.states {
        let too_large = || inconsistent(format!("the state {} is too large", state.path));
        let size = bytes(&state.shape, state.dtype.size()).ok_or_else(too_large)?;
        let offset = end.checked_next_multiple_of(ALIGNMENT).ok_or_else(too_large)?;
        end = offset.checked_add(size).filter(|&end| i64::try_from(end).is_ok()).ok_or_else(too_large)?;
        places.push(StatePlace { name: identifier(&state.path, "state", &mut used), offset, size });
    }
    Ok((places, end))
}

/// Finds for every symbol the input size that determines it: first sizes that are a symbol, then, as long as something
/// is found, sizes that are linear in one symbol that is not bound yet.
fn bind(spec: &LibrarySpec) -> Result<Vec<Bound>, SpecError> {
    let mut bindings: Vec<Bound> = Vec::new();
    let mut open: Vec<usize> = (0..spec.symbols.len()).filter(|&index| !spec.symbols[index].computed).collect();
    let sizes: Vec<(usize, usize, SymbolSource, &Dim)> = spec
        .inputs
        .iter()
        .enumerate()
        .flat_map(|(input, leaf)| {
            let dims =
                leaf.shape.iter().enumerate().map(move |(dim, size)| (input, dim, SymbolSource::Dimension, size));
            dims.chain(leaf.value.iter().map(move |value| (input, 0, SymbolSource::Int, value)))
        })
        .collect();
    // Rounds: 0 takes symbols only, 1 coefficients of ±1, 2 any coefficient; a success starts over.
    let mut round = 0;
    while !open.is_empty() && round < 3 {
        let found = sizes.iter().find_map(|&(input, dim, source, size)| {
            let mut unbound =
                open.iter().filter(|&&index| size.symbols().contains(&Name::new(&spec.symbols[index].name)));
            let (Some(&symbol), None) = (unbound.next(), unbound.next()) else {
                return None;
            };
            let (scale, offset) = size.coefficient_of(&Name::new(&spec.symbols[symbol].name))?;
            let scale = scale.as_int().filter(|&scale| scale != 0 && scale != i64::MIN)?;
            let fits = match round {
                0 => scale == 1 && offset.is_zero(),
                1 => scale.abs() == 1,
                _ => true,
            };
            fits.then_some(Bound { symbol, source, input, dim, scale, offset })
        });
        match found {
            Some(bound) => {
                open.retain(|&index| index != bound.symbol);
                bindings.push(bound);
                round = 0;
            }
            None => round += 1,
        }
    }
    for index in open {
        let name = Name::new(&spec.symbols[index].name);
        if is_used(spec, &name) {
            return Err(SpecError::Unbound { symbol: name.as_str().to_owned() });
        }
        bindings.push(unbound(index));
    }
    bindings
        .extend(spec.symbols.iter().enumerate().filter(|(_, symbol)| symbol.computed).map(|(index, _)| unbound(index)));
    Ok(bindings)
}

/// A symbol that no input determines.
fn unbound(symbol: usize) -> Bound {
    Bound { symbol, source: SymbolSource::Computed, input: 0, dim: 0, scale: 1, offset: Dim::ZERO }
}

fn is_used(spec: &LibrarySpec, name: &Name) -> bool {
    let leaves = spec.inputs.iter().chain(&spec.outputs).flat_map(|leaf| leaf.shape.iter().chain(&leaf.value));
    let buffers = spec.buffers.iter().flat_map(|buffer| match buffer {
        Buffer::Arena { offset, size } => vec![offset, size],
        _ => Vec::new(),
    });
    leaves.chain(buffers).chain(&spec.arena_size).any(|dim| dim.symbols().contains(name))
        || spec.constraints.iter().any(|constraint| constraint.rule.symbols().contains(name))
}

/// Each rule is reported for the input that binds the last of its symbols.
fn rules(spec: &LibrarySpec, bindings: &[Bound]) -> Result<Vec<Rule>, SpecError> {
    let mut rules = Vec::new();
    for constraint in &spec.constraints {
        let symbols = constraint.rule.symbols();
        if symbols.is_empty() {
            if constraint.rule.eval(&|_| None) == Ok(true) {
                continue;
            }
            return Err(inconsistent(format!("the rule {} can never hold", constraint.rule)));
        }
        if let Some(late) = spec.late(&symbols) {
            let text = constraint.text.clone().unwrap_or_else(|| format!("must satisfy {}", constraint.rule));
            rules.push(Rule { pred: constraint.rule.clone(), text, input: 0, dim: None, late: Some(late) });
            continue;
        }
        let involved = |bound: &&Bound| symbols.contains(&Name::new(&spec.symbols[bound.symbol].name));
        if bindings.iter().filter(involved).any(|bound| bound.source == SymbolSource::Computed) {
            return Err(inconsistent(format!("the rule {} is about a value that the run computes", constraint.rule)));
        }
        let Some(bound) = bindings.iter().rfind(involved) else {
            return Err(inconsistent(format!("the rule {} is about nothing", constraint.rule)));
        };
        rules.push(Rule {
            pred: constraint.rule.clone(),
            text: constraint.text.clone().unwrap_or_else(|| format!("must satisfy {}", constraint.rule)),
            input: bound.input,
            dim: (bound.source == SymbolSource::Dimension).then_some(bound.dim),
            late: None,
        });
    }
    Ok(rules)
}

/// The words of a program with the spec's symbol indices.
pub fn encode(program: &[PostfixOp], spec: &LibrarySpec) -> Result<Vec<i64>, SpecError> {
    let mut words = Vec::new();
    for op in program {
        let op = match op {
            PostfixOp::PushConst(value) => Op::Const(*value),
            PostfixOp::PushSymbol(name) => {
                let index = spec.symbols.iter().position(|symbol| symbol.name == name.as_str());
                Op::Symbol(index.ok_or_else(|| SpecError::Undeclared {
                    place: "an expression".to_owned(),
                    symbol: name.as_str().to_owned(),
                })? as u32)
            }
            PostfixOp::PushUndefined => Op::Undefined,
            PostfixOp::Add => Op::Add,
            PostfixOp::Mul => Op::Mul,
            PostfixOp::FloorDiv => Op::FloorDiv,
            PostfixOp::Mod => Op::Mod,
            PostfixOp::Max => Op::Max,
            PostfixOp::Min => Op::Min,
            PostfixOp::Pow => Op::Pow,
            PostfixOp::Eq => Op::Eq,
            PostfixOp::Ne => Op::Ne,
            PostfixOp::Lt => Op::Lt,
            PostfixOp::Le => Op::Le,
            PostfixOp::And => Op::And,
            PostfixOp::Or => Op::Or,
            PostfixOp::Select => Op::Select,
        };
        let (code, operand) = op.encode();
        words.push(code);
        words.extend(operand);
    }
    if depth(program) > pt2c_abi::program::MAX_STACK {
        return Err(inconsistent("an expression is nested too deeply for the runtime"));
    }
    Ok(words)
}

/// The deepest stack of a program.
fn depth(program: &[PostfixOp]) -> usize {
    let (mut now, mut deepest) = (0usize, 0);
    for op in program {
        now = match op {
            PostfixOp::PushConst(_) | PostfixOp::PushSymbol(_) | PostfixOp::PushUndefined => now + 1,
            PostfixOp::Select => now.saturating_sub(2),
            _ => now.saturating_sub(1),
        };
        deepest = deepest.max(now);
    }
    deepest
}

/// The ABI's code of an element type.
pub fn dtype_code(dtype: pt2c_ir::DType) -> pt2c_abi::DType {
    use pt2c_abi::DType as Abi;
    use pt2c_ir::DType as Ir;
    match dtype {
        Ir::Bool => Abi::Bool,
        Ir::U8 => Abi::U8,
        Ir::I8 => Abi::I8,
        Ir::I16 => Abi::I16,
        Ir::U16 => Abi::U16,
        Ir::I32 => Abi::I32,
        Ir::U32 => Abi::U32,
        Ir::I64 => Abi::I64,
        Ir::U64 => Abi::U64,
        Ir::F8E4M3FN => Abi::F8E4M3FN,
        Ir::F8E5M2 => Abi::F8E5M2,
        Ir::F16 => Abi::F16,
        Ir::BF16 => Abi::BF16,
        Ir::F32 => Abi::F32,
        Ir::F64 => Abi::F64,
        Ir::C32 => Abi::C32,
        Ir::C64 => Abi::C64,
        Ir::C128 => Abi::C128,
    }
}

/// The element type of an ABI code; `None` for a code that the IR has no type for.
pub fn dtype_from_code(code: u32) -> Option<pt2c_ir::DType> {
    pt2c_ir::DType::ALL.into_iter().find(|&dtype| dtype_code(dtype) as u32 == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pt2c_ir::dim::run_postfix;

    /// The runtime's evaluator against the IR's definition, over programs made from a fixed pseudo-random sequence.
    #[test]
    fn the_runtime_evaluates_as_the_ir_defines() {
        let names = ["s0", "s1"];
        let spec = LibrarySpec {
            symbols: names
                .iter()
                .map(|name| crate::spec::Symbol { name: (*name).into(), min: 0, max: 100, computed: false })
                .collect(),
            ..LibrarySpec::default()
        };
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let binary = [
            PostfixOp::Add,
            PostfixOp::Mul,
            PostfixOp::FloorDiv,
            PostfixOp::Mod,
            PostfixOp::Max,
            PostfixOp::Min,
            PostfixOp::Pow,
            PostfixOp::Eq,
            PostfixOp::Ne,
            PostfixOp::Lt,
            PostfixOp::Le,
            PostfixOp::And,
            PostfixOp::Or,
        ];
        let constants = [0, 1, -1, 2, 3, -7, 63, i64::MAX, i64::MIN, i64::MAX / 2];
        let mut defined = 0;
        for _ in 0..20_000 {
            let mut program = Vec::new();
            let mut depth = 0;
            while program.len() < 25 && (depth != 1 || program.len() < 5) {
                match random(10) {
                    0..4 => program.push(PostfixOp::PushConst(constants[random(10) as usize])),
                    4 => program.push(PostfixOp::PushSymbol(Name::new(names[random(2) as usize]))),
                    5 if random(8) == 0 => program.push(PostfixOp::PushUndefined),
                    6 if depth >= 3 => program.push(PostfixOp::Select),
                    _ if depth >= 2 => program.push(binary[random(13) as usize].clone()),
                    _ => continue,
                }
                depth = match program.last() {
                    Some(PostfixOp::PushConst(_) | PostfixOp::PushSymbol(_) | PostfixOp::PushUndefined) => depth + 1,
                    Some(PostfixOp::Select) => depth - 2,
                    _ => depth - 1,
                };
            }
            let values = [random(9) as i64, random(100) as i64 - 50];
            let lookup = |name: &Name| names.iter().position(|known| *known == name.as_str()).map(|at| values[at]);
            let expected = run_postfix(&program, &lookup);
            defined += u32::from(expected.is_some());
            assert_eq!(
                pt2c_abi::evaluate(&encode(&program, &spec).unwrap(), &values),
                expected,
                "{program:?} {values:?}"
            );
        }
        assert!(defined > 5000, "only {defined} programs had a value");
    }

    #[test]
    fn element_types_have_equal_sizes_and_names_on_both_sides() {
        for dtype in pt2c_ir::DType::ALL {
            let code = dtype_code(dtype);
            assert_eq!(code.size() as usize, dtype.size());
            assert_eq!(pt2c_abi::DType::from_code(code as u32), Some(code));
            assert_eq!(dtype_from_code(code as u32), Some(dtype));
        }
    }
}
