//! From a lowered program to the description of its library: who the caller's leaves are, what rules their sizes obey,
//! where each buffer lives.

use pt2c_ir::dim::{Dim, Symbol as Name};
use pt2c_ir::{Arg, Bytes, DType, Fact, InputKind, OutputKind, Program};
use pt2c_kernel::{Body, BufferKind, CustomArgument, KernelProgram};

use crate::spec::{
    Buffer, Constant, Constraint, Function, Leaf, LibrarySpec, Literal, SpecError, Stage, State, Symbol, Weights,
};

/// How a library is called and what it is made for.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Prefix of all names: a C identifier.
    pub name: String,
    /// Lines about the model for the header.
    pub description: Vec<String>,
    /// The target CPU as text.
    pub cpu: String,
    /// LLVM's names of the instruction sets that the code needs.
    pub cpu_features: Vec<String>,
    /// The texts of the checks in the generated code, by their number.
    pub messages: Vec<String>,
}

/// The root symbols of a program in the order in which the library passes their values to the entry function.
pub fn symbols(kernels: &KernelProgram) -> Vec<Name> {
    kernels.scope.symbols().map(|(name, _)| name.clone()).collect()
}

/// Describes the library of a program and collects its weights: the constants of the kernel program and the initial
/// content of the state. The entry function gets `kernels.buffers` as `values` and [`symbols`] as `symbols`.
///
/// # Errors
/// If the program's interface cannot be that of a library (an output whose size only the run knows, state without
/// content).
pub fn describe(
    program: &Program,
    kernels: &KernelProgram,
    identity: Identity,
) -> Result<(LibrarySpec, Weights<'static>), SpecError> {
    let mut weights = Weights::default();
    let mut spec = LibrarySpec {
        name: identity.name,
        description: identity.description,
        cpu: identity.cpu,
        cpu_features: identity.cpu_features,
        messages: identity.messages,
        arena_size: Some(kernels.arena_bytes.clone()),
        functions: functions(kernels),
        ..LibrarySpec::default()
    };
    for (name, range) in kernels.scope.symbols() {
        let stage = kernels.stages.iter().any(|stage| stage.symbol == *name);
        spec.symbols.push(Symbol {
            name: name.as_str().to_owned(),
            min: range.min.unwrap_or(i64::MIN),
            max: range.max.unwrap_or(i64::MAX),
            computed: stage || (name.is_unbacked() && !is_given(program, name)),
        });
    }
    for stage in &kernels.stages {
        let symbol = kernels.scope.symbols().position(|(name, _)| *name == stage.symbol);
        let symbol = symbol
            .ok_or_else(|| SpecError::Undeclared { place: "a stage".to_owned(), symbol: stage.symbol.to_string() })?;
        spec.stages.push(Stage { symbol: symbol as u32, arena: stage.arena_bytes.clone() });
    }
    for constraint in &program.constraints {
        // A rule about a symbol that nothing binds is about code that is gone.
        let known = |name: &Name| {
            kernels.stages.iter().any(|stage| stage.symbol == *name) || !name.is_unbacked() || is_given(program, name)
        };
        if constraint.pred.symbols().iter().all(known) {
            let rule = constraint.pred.to_string();
            let text = match constraint.rule.is_empty() || constraint.rule == rule {
                true => format!("must satisfy {rule}"),
                false => format!("must satisfy {rule} ({})", constraint.rule),
            };
            spec.constraints.push(Constraint { rule: constraint.pred.clone(), text: Some(text) });
        }
    }
    // The signature counts constants (and outputs also mutations); the library has a vector of what is passed.
    let inputs = inputs(program, &mut spec)?;
    let outputs = outputs(program, &mut spec)?;
    let mut stored: Vec<(Bytes, u64)> = Vec::new();
    for buffer in &kernels.buffers {
        let missing = || SpecError::Inconsistent(format!("buffer {} is not among the program's leaves", buffer.name));
        let place = |map: &[Option<u32>], index: usize| map.get(index).copied().flatten().ok_or_else(missing);
        let element = buffer.dtype.size() as i64;
        let described = match &buffer.kind {
            BufferKind::Input(index) => Buffer::Input(place(&inputs, *index)?),
            BufferKind::Output(index) => Buffer::Output(place(&outputs, *index)?),
            BufferKind::Arena(offset) => {
                Buffer::Arena { offset: offset.clone(), size: buffer.len.clone() * Dim::int(element) }
            }
            BufferKind::State(name) => Buffer::State(state(program, name, &mut spec, &mut weights)?),
            BufferKind::Constant(bytes) => {
                let known = stored.iter().find(|(known, _)| known.same_storage(bytes)).map(|(_, offset)| *offset);
                let offset = known.unwrap_or_else(|| {
                    let offset = weights.push_shared(bytes.clone());
                    stored.push((bytes.clone(), offset));
                    offset
                });
                Buffer::Weights { offset, size: bytes.len() as u64 }
            }
        };
        spec.buffers.push(described);
    }
    Ok((spec, weights))
}

/// The functions of custom operators, each once.
fn functions(kernels: &KernelProgram) -> Vec<Function> {
    const TENSOR: &str = "const pt2c_tensor *";
    let mut functions: Vec<Function> = Vec::new();
    for kernel in &kernels.kernels {
        let Body::Custom(custom) = &kernel.body else { continue };
        if functions.iter().any(|known| known.name == custom.function) {
            continue;
        }
        let mut parameters = Vec::new();
        for (i, argument) in custom.arguments.iter().enumerate() {
            match argument {
                CustomArgument::Tensor(_) | CustomArgument::Absent => parameters.push((TENSOR, format!("x{i}"))),
                CustomArgument::Int(_) | CustomArgument::Bool(_) => parameters.push(("int64_t ", format!("x{i}"))),
                CustomArgument::Ints(_) => {
                    parameters.push(("const int64_t *", format!("x{i}")));
                    parameters.push(("int64_t ", format!("x{i}_count")));
                }
                CustomArgument::Float(_) => parameters.push(("double ", format!("x{i}"))),
                CustomArgument::Floats(_) => {
                    parameters.push(("const double *", format!("x{i}")));
                    parameters.push(("int64_t ", format!("x{i}_count")));
                }
                CustomArgument::Tensors(_) => {
                    parameters.push((TENSOR, format!("x{i}")));
                    parameters.push(("int64_t ", format!("x{i}_count")));
                }
                CustomArgument::Text(_) => parameters.push(("const char *", format!("x{i}"))),
            }
        }
        let result = |i: usize| if custom.results.len() == 1 { "result".to_owned() } else { format!("result{i}") };
        parameters.extend((0..custom.results.len()).map(|i| (TENSOR, result(i))));
        functions.push(Function { name: custom.function.clone(), parameters });
    }
    functions
}

/// Element type and sizes to the caller: pairs in the program are complex numbers to them.
fn as_seen(fact: &Fact, pairs: bool) -> (DType, Vec<Dim>) {
    let mut shape = fact.shape.to_vec();
    match fact.dtype.to_complex() {
        Some(complex) if pairs => {
            shape.pop();
            (complex, shape)
        }
        _ => (fact.dtype, shape),
    }
}

/// Whether an input says what a data-dependent symbol is.
fn is_given(program: &Program, name: &Name) -> bool {
    let sizes = program.tensor_inputs().flat_map(|(_, _, fact)| &fact.shape);
    sizes.flat_map(Dim::symbols).any(|s| s == *name)
        || program.signature.inputs.iter().any(|i| matches!(&i.kind, InputKind::SymInt(s) if s == name))
}

/// The input leaves; gives for each input of the signature its index among them.
fn inputs(program: &Program, spec: &mut LibrarySpec) -> Result<Vec<Option<u32>>, SpecError> {
    let mut facts = program.tensor_inputs();
    let mut map = Vec::new();
    for (position, input) in program.signature.inputs.iter().enumerate() {
        let number = position as u32;
        let leaf = match &input.kind {
            InputKind::Tensor => {
                let no_fact = || SpecError::Inconsistent(format!("input {} has no shape", input.name));
                let (_, _, fact) = facts.next().ok_or_else(no_fact)?;
                let (dtype, shape) = as_seen(fact, program.signature.pairs.inputs.contains(&position));
                let mut leaf = Leaf::tensor(&input.name, number, dtype, shape);
                leaf.mutated = program
                    .signature
                    .outputs
                    .iter()
                    .any(|output| matches!(output.kind, OutputKind::InputMutation(mutated) if mutated == position));
                Some(leaf)
            }
            InputKind::SymInt(symbol) => Some(Leaf::int(&input.name, number, Dim::sym(symbol.clone()))),
            InputKind::Constant(value) => {
                spec.constants.push(constant(&input.name, false, number, value));
                None
            }
        };
        map.push(leaf.is_some().then_some(spec.inputs.len() as u32));
        spec.inputs.extend(leaf);
    }
    Ok(map)
}

/// The output leaves; gives for each output of the signature its index among them.
fn outputs(program: &Program, spec: &mut LibrarySpec) -> Result<Vec<Option<u32>>, SpecError> {
    let mut map = Vec::new();
    let mut position = 0;
    for (i, (output, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
        if matches!(output.kind, OutputKind::BufferMutation(_) | OutputKind::InputMutation(_)) {
            map.push(None);
            continue;
        }
        let leaf = match arg {
            Arg::Tensor(value) => {
                let no_fact = || SpecError::Inconsistent(format!("output {} has no shape", output.name));
                let fact = program.graph.fact(*value).ok_or_else(no_fact)?;
                let (dtype, shape) = as_seen(fact, program.signature.pairs.outputs.contains(&i));
                let most = greatest(program, &shape.iter().fold(Dim::ONE, |n, d| &n * d));
                Some(Leaf { most, ..Leaf::tensor(&output.name, position, dtype, shape) })
            }
            Arg::Int(value) if value.as_int().is_none() => Some(Leaf::int(&output.name, position, value.clone())),
            other => {
                spec.constants.push(constant(&output.name, true, position, other));
                None
            }
        };
        map.push(leaf.is_some().then_some(spec.outputs.len() as u32));
        spec.outputs.extend(leaf);
        position += 1;
    }
    Ok(map)
}

/// The greatest value of a number of elements that data decide, where the ranges of the symbols tell it.
fn greatest(program: &Program, elements: &Dim) -> Option<Dim> {
    let mut most = elements.clone();
    for symbol in elements.symbols().iter().filter(|s| s.is_unbacked()) {
        let bound = program.scope.upper_bound(symbol)?;
        // Larger sizes give more elements: the number is a product of sizes.
        most = most.subs(&[(symbol.clone(), bound)].into());
    }
    (most != *elements && !most.symbols().iter().any(Name::is_unbacked)).then_some(most)
}

fn constant<V>(path: &str, output: bool, position: u32, value: &Arg<V>) -> Constant {
    let value = match value {
        Arg::None => Literal::None,
        Arg::Int(value) => value.as_int().map_or(Literal::Other, Literal::Int),
        Arg::Float(value) => Literal::Float(*value),
        Arg::Bool(value) => Literal::Bool(*value),
        Arg::Str(value) => Literal::Str(value.clone()),
        _ => Literal::Other,
    };
    Constant { path: path.to_owned(), output, position, value }
}

/// The index of a state buffer, added at its first use.
fn state(
    program: &Program,
    name: &str,
    spec: &mut LibrarySpec,
    weights: &mut Weights<'static>,
) -> Result<u32, SpecError> {
    if let Some(index) = spec.states.iter().position(|state| state.path == name) {
        return Ok(index as u32);
    }
    let incomplete = |what: &str| SpecError::Inconsistent(format!("the buffer {name} {what}"));
    let entry = program.tensors.get(name).ok_or_else(|| incomplete("is not in the program"))?;
    let (dtype, shape) = as_seen(&entry.fact, program.signature.pairs.tensors.contains(name));
    let shape: Option<Vec<i64>> = shape.iter().map(Dim::as_int).collect();
    let shape = shape.ok_or_else(|| incomplete("has no fixed shape"))?;
    let data = entry.data.as_ref().ok_or_else(|| incomplete("has no content: the archive holds no weights"))?;
    let bytes = data.to_dense();
    let initial = if bytes.iter().all(|&byte| byte == 0) { None } else { Some(weights.push(bytes.into_owned())) };
    spec.states.push(State { path: name.to_owned(), dtype, shape, initial });
    Ok(spec.states.len() as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pt2c_ir::dim::Pred;
    use pt2c_ir::{DType, Fact, InputSpec, OutputSpec, TensorData, TensorEntry, TensorRole};

    /// x: f32 [s0, 2]; a constant; n: int s1 → state += …, x changed, out: f32 [s0], 2*s0, None.
    fn program() -> Program {
        let mut program = Program { name: "m".into(), ..Program::default() };
        let x = program.graph.add_input("x", Fact::new(DType::F32, vec![Dim::sym("s0"), Dim::int(2)]));
        let input = |name: &str, kind| InputSpec { name: name.into(), kind };
        program.signature.inputs = vec![
            input("x", InputKind::Tensor),
            input("flag", InputKind::Constant(Arg::Bool(true))),
            input("n", InputKind::SymInt(Name::new("s1"))),
        ];
        let output = |name: &str, kind| OutputSpec { name: name.into(), kind };
        program.signature.outputs = vec![
            output("count", OutputKind::BufferMutation("count".into())),
            output("x", OutputKind::InputMutation(0)),
            output("output[0]", OutputKind::User),
            output("output[1]", OutputKind::User),
            output("output[2]", OutputKind::User),
        ];
        program.graph.outputs =
            vec![Arg::Tensor(x), Arg::Tensor(x), Arg::Tensor(x), Arg::Int(Dim::sym("s0") * Dim::int(2)), Arg::None];
        program.scope.declare("s0", Some(2), Some(8));
        program.scope.declare("s1", None, None);
        program.scope.declare("u0", Some(0), None);
        let constraint = |pred: Pred, rule: &str| pt2c_ir::Constraint { pred, rule: rule.into() };
        program.constraints = vec![
            constraint(Pred::divisible(&Dim::sym("s0"), &Dim::int(2)), "L['x'].size()[0] % 2 == 0"),
            constraint(Pred::lt(&Dim::sym("u0"), &Dim::int(5)), "u0 < 5"),
        ];
        let data = TensorData::dense(DType::I32, vec![2], vec![1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        let entry = TensorEntry {
            role: TensorRole::Buffer { persistent: true },
            fact: Fact::of(DType::I32, &[2]),
            data: Some(data),
        };
        program.tensors.insert("count".into(), entry);
        program
    }

    fn kernels() -> KernelProgram {
        let buffer =
            |name: &str, kind| pt2c_kernel::Buffer { name: name.into(), dtype: DType::F32, len: Dim::sym("s0"), kind };
        let shared = Bytes::new(vec![7u8; 12]);
        KernelProgram {
            buffers: vec![
                buffer("x", BufferKind::Input(0)),
                buffer("out", BufferKind::Output(2)),
                buffer("t", BufferKind::Arena(Dim::int(64))),
                buffer("count", BufferKind::State("count".into())),
                buffer("w", BufferKind::Constant(shared.clone())),
                buffer("w.again", BufferKind::Constant(shared)),
            ],
            arena_bytes: Dim::sym("s0") * Dim::int(4) + 64,
            scope: program().scope,
            ..KernelProgram::default()
        }
    }

    #[test]
    fn leaves_keep_their_positions_and_buffers_find_them() {
        let identity = Identity { name: "m".into(), ..Identity::default() };
        let (spec, weights) = describe(&program(), &kernels(), identity).unwrap();
        let leaves = |leaves: &[Leaf]| leaves.iter().map(|leaf| (leaf.path.clone(), leaf.position)).collect::<Vec<_>>();
        assert_eq!(leaves(&spec.inputs), [("x".to_owned(), 0), ("n".to_owned(), 2)]);
        assert_eq!(leaves(&spec.outputs), [("output[0]".to_owned(), 0), ("output[1]".to_owned(), 1)]);
        assert!(spec.inputs[0].mutated && !spec.inputs[1].mutated);
        let constants: Vec<_> = spec.constants.iter().map(|c| (c.output, c.position, c.value.to_string())).collect();
        assert_eq!(constants, [(false, 1, "True".to_owned()), (true, 2, "None".to_owned())]);
        let ranges: Vec<_> = spec.symbols.iter().map(|s| (s.name.as_str(), s.min, s.max, s.computed)).collect();
        assert_eq!(
            ranges,
            [("s0", 2, 8, false), ("s1", i64::MIN, i64::MAX, false), ("u0", 0, i64::MAX, true)],
            "in the order of `symbols`"
        );
        // The rule about u0 is left to the program.
        assert_eq!(spec.constraints.len(), 1);
        assert!(spec.constraints[0].text.as_ref().unwrap().contains("(L['x'].size()[0] % 2 == 0)"));
        let [Buffer::Input(0), Buffer::Output(0), Buffer::Arena { size, .. }, Buffer::State(0), w, again] =
            spec.buffers.as_slice()
        else {
            panic!("{:?}", spec.buffers);
        };
        assert_eq!(size.to_string(), "4*s0");
        // The state's content came first; equal storage is stored once.
        let expected = Buffer::Weights { offset: 64, size: 12 };
        assert_eq!((format!("{w:?}"), format!("{again:?}")), (format!("{expected:?}"), format!("{expected:?}")));
        assert_eq!((weights.size(), spec.states[0].initial), (76, Some(0)));
    }

    #[test]
    fn missing_weights_are_an_error() {
        let mut program = program();
        program.tensors["count"].data = None;
        let error = describe(&program, &kernels(), Identity::default()).unwrap_err();
        assert!(error.to_string().contains("holds no weights"), "{error}");
    }
}
