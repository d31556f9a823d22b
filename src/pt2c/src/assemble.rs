//! From a program and its kernels to the description that a library is written from.

use pt2c_ir::dim::Symbol;
use pt2c_ir::{Arg, DType, Diagnostic, InputKind, OutputKind, Program};
use pt2c_kernel::{BufferKind, KernelProgram};
use pt2c_library::spec;
use pt2c_library::{LibrarySpec, Weights};
use std::borrow::Cow;

/// The root symbols that generated code may use, in the order in which the runtime passes them: those that inputs bind.
pub fn symbols(program: &Program) -> Vec<Symbol> {
    let mut found = std::collections::BTreeSet::new();
    for (_, _, fact) in program.tensor_inputs() {
        for d in &fact.shape {
            found.extend(d.symbols());
        }
    }
    for input in &program.signature.inputs {
        if let InputKind::SymInt(s) = &input.kind {
            found.insert(s.clone());
        }
    }
    found.into_iter().collect()
}

/// A value as Python prints it.
fn python(arg: &Arg) -> String {
    match arg {
        Arg::Bool(true) => "True".into(),
        Arg::Bool(false) => "False".into(),
        Arg::Int(d) => d.to_string(),
        Arg::Float(x) => format!("{x:?}"),
        Arg::Str(s) => format!("{s:?}"),
        Arg::Complex(re, im) => format!("complex({re:?}, {im:?})"),
        _ => "None".into(),
    }
}

/// The description of the library `name` and the content of its weights.
pub fn assemble<'k>(
    program: &Program,
    kernels: &'k KernelProgram,
    name: &str,
    messages: Vec<String>,
    cpu: (&str, &str),
) -> Result<(LibrarySpec, Weights<'k>), Diagnostic> {
    let mut library = LibrarySpec { name: name.to_string(), messages, cpu: cpu.0.to_string(), ..LibrarySpec::default() };
    library.description = vec![format!("Compiled from the PyTorch program \"{}\".", program.name)];
    library.cpu_features =
        cpu.1.split(',').filter_map(|f| f.strip_prefix('+')).map(str::to_string).collect();
    let mut weights = Weights::default();

    let mutated: Vec<usize> = program
        .signature
        .outputs
        .iter()
        .filter_map(|o| if let OutputKind::InputMutation(i) = o.kind { Some(i) } else { None })
        .collect();
    // Positions in the spec's vectors by position in the program's signature.
    let mut input_at = vec![None; program.signature.inputs.len()];
    let mut facts = program.graph.inputs().filter_map(|v| program.graph.fact(v));
    for (i, input) in program.signature.inputs.iter().enumerate() {
        let position = i as u32;
        match &input.kind {
            InputKind::Tensor => {
                let fact = facts.next().ok_or_else(|| Diagnostic::error("an input without a fact"))?;
                input_at[i] = Some(library.inputs.len() as u32);
                let mut leaf = spec::Leaf::tensor(&input.name, position, fact.dtype, fact.shape.clone());
                leaf.mutated = mutated.contains(&i);
                library.inputs.push(leaf);
            }
            InputKind::SymInt(symbol) => {
                input_at[i] = Some(library.inputs.len() as u32);
                library.inputs.push(spec::Leaf::int(&input.name, position, pt2c_ir::dim::Dim::sym(symbol.clone())));
            }
            InputKind::Constant(value) => library.constants.push(spec::Constant {
                path: input.name.clone(),
                output: false,
                position,
                value: python(value),
            }),
        }
    }
    let mut output_at = vec![None; program.signature.outputs.len()];
    let mut position = 0;
    for (i, (output, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
        if matches!(output.kind, OutputKind::BufferMutation(_) | OutputKind::InputMutation(_)) {
            continue;
        }
        match arg {
            Arg::Tensor(v) => {
                let fact = program.graph.fact(*v).ok_or_else(|| Diagnostic::error("an output without a fact"))?;
                output_at[i] = Some(library.outputs.len() as u32);
                library.outputs.push(spec::Leaf::tensor(&output.name, position, fact.dtype, fact.shape.clone()));
            }
            Arg::Int(d) if !d.is_int() => {
                library.outputs.push(spec::Leaf::int(&output.name, position, d.clone()));
            }
            constant => library.constants.push(spec::Constant {
                path: output.name.clone(),
                output: true,
                position,
                value: python(constant),
            }),
        }
        position += 1;
    }
    for symbol in symbols(program) {
        let range = program.scope.range_of(&symbol);
        library.symbols.push(spec::Symbol {
            name: symbol.as_str().to_string(),
            min: range.min.unwrap_or(0),
            max: range.max.unwrap_or(i64::MAX),
            computed: false,
        });
    }
    for constraint in &program.constraints {
        if constraint.pred != pt2c_ir::dim::Pred::True {
            let text = (!constraint.rule.is_empty()).then(|| format!("must satisfy {}", constraint.rule));
            library.constraints.push(spec::Constraint { rule: constraint.pred.clone(), text });
        }
    }
    let fail = |what: &str| Diagnostic::error(format!("the library cannot be described: {what}"));
    for buffer in &kernels.buffers {
        let at = |slots: &[Option<u32>], i: usize| slots.get(i).copied().flatten().ok_or_else(|| fail("a lost leaf"));
        library.buffers.push(match &buffer.kind {
            BufferKind::Input(i) => spec::Buffer::Input(at(&input_at, *i)?),
            BufferKind::Output(i) => spec::Buffer::Output(at(&output_at, *i)?),
            BufferKind::Arena(offset) => spec::Buffer::Arena {
                offset: offset.clone(),
                size: &buffer.len * buffer.dtype.size() as i64,
            },
            BufferKind::Constant(bytes) => {
                let offset = weights.push(Cow::Borrowed(&bytes[..]));
                spec::Buffer::Weights { offset, size: bytes.len() as u64 }
            }
            BufferKind::State(fqn) => {
                let entry = program.tensors.get(fqn).ok_or_else(|| fail("a lost buffer"))?;
                let shape = entry.fact.static_shape().ok_or_else(|| fail("a state of unknown size"))?;
                let initial = entry.data.as_ref().map(|d| weights.push(Cow::Owned(d.to_dense().into_owned())));
                let state = spec::State { path: fqn.clone(), dtype: entry.fact.dtype, shape, initial };
                library.states.push(state);
                spec::Buffer::State(library.states.len() as u32 - 1)
            }
        });
    }
    if !kernels.arena_bytes.is_zero() {
        library.arena_size = Some(kernels.arena_bytes.clone());
    }
    Ok((library, weights))
}

/// The dtype of the library's descriptor for one of the IR's.
pub fn abi_dtype(dtype: DType) -> pt2c_abi::DType {
    pt2c_library::dtype_code(dtype)
}
