//! Comparing what a program computes in two ways: compiled, in the reference interpreter, by PyTorch.

use crate::compile::{self, Settings};
use crate::execute::{self, Results};
use crate::leaves;
use crate::tensors::{Stored, Tensors};
use pt2c_ir::{Arg, DType, Diagnostic, InputKind, NodeKind, OutputKind, OutputSpec, Program, ValueId};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, bind_symbols};

/// Largest difference allowed, as a share of the largest magnitude of the expected tensor: some tens of f32 roundings
/// along the depth of a network; three of the narrow types. The sums of a contraction are added in another order than
/// PyTorch's, so element by element nothing tighter holds for small results.
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 2e-5,
        DType::F64 => 1e-11,
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        _ => 0.0,
    }
}

/// How far a tensor is from the expected one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distance {
    /// Largest difference of two elements; infinite where only one is finite.
    pub largest: f64,
    /// Largest magnitude of the expected elements.
    pub scale: f64,
    /// Whether every element is within the tolerance.
    pub within: bool,
}

/// Compares two tensors.
///
/// # Errors
/// Other types or shapes.
pub fn distance(expected: &Stored, found: &Stored) -> Result<Distance, String> {
    if expected.shape != found.shape || expected.dtype != found.dtype {
        let (a, b) = (expected, found);
        return Err(format!("it is {}{:?}, not {}{:?}", b.dtype, b.shape, a.dtype, a.shape));
    }
    let host = |s: &Stored| Tensor::from_bytes(s.dtype, &s.shape, &s.bytes).map_err(|e| e.to_string());
    let (a, b) = (host(expected)?, host(found)?);
    let scale = (0..a.numel()).map(|i| a.f64(i).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    let allowed = tolerance(expected.dtype) * scale.max(1e-3);
    let mut result = Distance { largest: 0.0, scale, within: true };
    for i in 0..a.numel() {
        let (x, y) = (a.f64(i), b.f64(i));
        if x == y || (x.is_nan() && y.is_nan()) {
            continue;
        }
        let difference = if x.is_finite() && y.is_finite() { (x - y).abs() } else { f64::INFINITY };
        result.largest = result.largest.max(difference);
        result.within &= difference <= allowed;
    }
    Ok(result)
}

/// One line for each tensor that two results have: its name and how far it is, or why it cannot be compared.
pub fn distances(expected: &Results, found: &Results) -> Vec<(String, Result<Distance, String>)> {
    let parts = [
        ("output", &expected.outputs, &found.outputs),
        ("buffer", &expected.state, &found.state),
        ("changed input", &expected.inputs_after, &found.inputs_after),
    ];
    parts
        .into_iter()
        .flat_map(|(what, expected, found)| {
            expected.iter().map(move |(name, want)| {
                let compared = found.get(name).ok_or("it is missing".to_string()).and_then(|got| distance(want, got));
                (format!("{what} {name}"), compared)
            })
        })
        .collect()
}

/// Pseudo-random numbers that are the same every time (an LCG with Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How the sizes of made-up inputs are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sizes {
    /// Each symbol has its own.
    Different,
    /// As equal as the ranges let them be: for programs with sizes that must agree though no rule says so.
    Equal,
}

/// Inputs for call number `call`: sizes inside the dynamic ranges, floats between -1 and 1, integers 0 or 1. `None` if
/// the program's rules allow no such sizes.
pub fn made_inputs(program: &Program, call: usize, chosen: Sizes) -> Option<Vec<Input>> {
    let mut numbers = Numbers(call as u64 + 1);
    let size = |index: usize, least: i64, most: Option<i64>| {
        // Small, different for each call, and the least one first.
        let wanted = match chosen {
            Sizes::Different => least.max(1) + ((call * (index + 2)) % 7) as i64,
            Sizes::Equal => least.max(1 + (2 * call) as i64),
        };
        most.map_or(wanted, |most| wanted.min(most))
    };
    let sizes: std::collections::BTreeMap<_, i64> = program
        .scope
        .symbols()
        .enumerate()
        .map(|(index, (symbol, range))| (symbol.clone(), size(index, range.min.unwrap_or(1), range.max)))
        .collect();
    let value = |dim: &pt2c_ir::dim::Dim| dim.eval(&|symbol| sizes.get(symbol).copied()).ok();
    let mut facts = program.graph.inputs().filter_map(|v| program.graph.fact(v));
    let mut inputs = Vec::new();
    for spec in &program.signature.inputs {
        inputs.push(match &spec.kind {
            InputKind::Tensor => {
                let fact = facts.next()?;
                let shape: Vec<usize> =
                    fact.shape.iter().map(|d| value(d).and_then(|n| usize::try_from(n).ok())).collect::<Option<_>>()?;
                let count: usize = shape.iter().product();
                let float = fact.dtype.is_float() || fact.dtype.is_complex();
                let next = |_| if float { numbers.next() * 2.0 - 1.0 } else { (numbers.next() * 2.0).floor() };
                let values: Vec<f64> = (0..count).map(next).collect();
                Input::Tensor(Tensor::from_f64(fact.dtype, &shape, &values))
            }
            InputKind::SymInt(symbol) => Input::Int(sizes.get(symbol).copied()?),
            InputKind::Constant(_) => Input::Baked,
        });
    }
    bind_symbols(program, &inputs).ok()?;
    Some(inputs)
}

/// Runs a program compiled.
///
/// # Errors
/// What compiling or calling says.
pub fn compiled(program: &Program, settings: &Settings, inputs: &[Input]) -> Result<Results, Diagnostic> {
    let compiled = compile::compile(program, settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let mut instance = execute::instance(&compiled, settings, 1)?;
    execute::call(program, &mut instance, inputs, &Tensors::new())
}

/// The first value on which the compiled program and the interpreter differ, as a program of its own.
pub struct Culprit {
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// How far.
    pub distance: Result<Distance, String>,
    /// The node alone: its operands are inputs.
    pub reproducer: Program,
    /// The operands' values.
    pub inputs: Tensors,
}

/// Looks for the first node whose value differs when the program is cut behind it. Cutting changes what is fused, so a
/// difference of the whole may be found nowhere: `None`.
///
/// # Errors
/// A part that cannot be compiled or run.
pub fn first_difference(
    program: &Program,
    settings: &Settings,
    inputs: &[Input],
) -> Result<Option<Culprit>, Diagnostic> {
    let calls: Vec<ValueId> = program
        .graph
        .nodes()
        .filter(|(_, node)| node.op().is_some() && node.outputs.first().is_some_and(|f| !f.dtype.is_complex()))
        .flat_map(|(id, _)| program.graph.values(id).take(1))
        .collect();
    let differs = |value: ValueId| -> Result<Option<Result<Distance, String>>, Diagnostic> {
        let part = cut(program, &[value]);
        let wanted = execute::oracle(&part, inputs, &Tensors::new())?;
        let found = compiled(&part, settings, inputs)?;
        let far = distances(&wanted, &found).into_iter().map(|(_, d)| d).find(|d| !matches!(d, Ok(d) if d.within));
        Ok(far)
    };
    // Differences carry on to what depends on them, so the first one divides the list.
    let (mut low, mut high) = (0, calls.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if differs(calls[middle])?.is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let Some(&value) = calls.get(low) else { return Ok(None) };
    let Some(distance) = differs(value)? else { return Ok(None) };
    let node = program.graph.node(value.node);
    let operands: Vec<ValueId> = node.operands().collect();
    let before = execute::oracle(&cut(program, &operands), inputs, &Tensors::new())?;
    Ok(Some(Culprit {
        node: node.name.clone(),
        op: node.op().unwrap_or_default().to_string(),
        distance,
        reproducer: alone(program, value)?,
        inputs: before.outputs,
    }))
}

/// The program up to these values, which it returns.
fn cut(program: &Program, values: &[ValueId]) -> Program {
    let mut part = program.clone();
    part.graph.outputs = values.iter().map(|value| Arg::Tensor(*value)).collect();
    part.signature.outputs =
        (0..values.len()).map(|i| OutputSpec { name: format!("value {i}"), kind: OutputKind::User }).collect();
    part.signature.output_tree = None;
    part.graph.remove_dead(|_| false);
    part
}

/// One node as a program; its operands are the inputs.
fn alone(program: &Program, value: ValueId) -> Result<Program, Diagnostic> {
    let wrong = |error: pt2c_ir::GraphError| Diagnostic::error(error.to_string());
    let node = program.graph.node(value.node);
    let NodeKind::Call { op, args } = &node.kind else { return Err(Diagnostic::error("no call")) };
    let mut graph = pt2c_ir::Graph::new();
    let mut part = Program { name: node.name.clone(), scope: program.scope.clone(), ..Program::default() };
    let mut inputs = 0;
    let args: Vec<Arg> = args
        .iter()
        .map(|arg| {
            arg.try_map(|operand| {
                let fact = program.graph.fact(*operand).cloned().ok_or_else(|| Diagnostic::error("no type"))?;
                inputs += 1;
                Ok::<_, Diagnostic>(graph.add_input(&format!("x{}", inputs - 1), fact))
            })
        })
        .collect::<Result<_, _>>()?;
    let id = graph.add_call(op, args, &node.name, node.outputs.clone(), node.location).map_err(wrong)?;
    graph.outputs = vec![Arg::Tensor(ValueId { node: id, index: value.index })];
    part.graph = graph;
    part.locations = program.locations.clone();
    let input = |i| pt2c_ir::InputSpec { name: format!("x{i}"), kind: InputKind::Tensor };
    part.signature.inputs = (0..inputs).map(input).collect();
    part.signature.outputs = vec![OutputSpec { name: "y".into(), kind: OutputKind::User }];
    Ok(part)
}

/// The tensors of made inputs by leaf, to be written to a file.
pub fn stored_inputs(inputs: &[Input]) -> Tensors {
    let tensors = inputs.iter().enumerate().filter_map(|(leaf, input)| match input {
        Input::Tensor(tensor) => Some((leaves::key(leaf), Stored::from_tensor(tensor))),
        _ => None,
    });
    tensors.collect()
}
