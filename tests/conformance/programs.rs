//! Programs of recorded calls; shared by the tests of several crates, which include this file next to `samples.rs`.

use super::samples::Sample;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact, Graph, InputKind, InputSpec, LocationId, OutputKind, OutputSpec, Program, Signature};
use pt2c_ops::{OpError, Tensor, infer};

/// A program that makes these calls, independent of each other; its inputs; and how many outputs each call has.
pub fn program(samples: &[&Sample]) -> Result<(Program, Vec<Tensor>, Vec<usize>), OpError> {
    let mut program = Program { name: "sample".into(), ..Program::default() };
    let (mut graph, mut inputs, mut counts) = (Graph::new(), Vec::new(), Vec::new());
    let mut outputs: Vec<Arg> = Vec::new();
    for (number, s) in samples.iter().enumerate() {
        let mut args = Vec::new();
        for a in &s.args {
            args.push(a.map(|t| {
                inputs.push(t.clone());
                graph.add_input("x", t.fact())
            }));
        }
        let facts: Vec<Arg<Fact>> = s.args.iter().map(|a| a.map(Tensor::fact)).collect();
        let mut results = infer(&s.op.name, &facts, &program.scope)?;
        // A size that depends on values is a symbol, as in an exported program.
        let symbol = format!("u{number}");
        for size in results.iter_mut().flat_map(|f| &mut f.shape).filter(|d| **d == pt2c_ops::shape::late()) {
            *size = Dim::sym(symbol.as_str());
            program.scope.declare(symbol.as_str(), Some(0), None);
        }
        let node = graph
            .add_call(&s.op.name, args, "y", results, LocationId::UNKNOWN)
            .map_err(|e| OpError::invalid(e.to_string()))?;
        let before = outputs.len();
        outputs.extend(graph.values(node).map(Arg::Tensor));
        counts.push(outputs.len() - before);
    }
    graph.outputs = outputs;
    let input = |i: usize| InputSpec { name: format!("x{i}"), kind: InputKind::Tensor };
    let output = |i: usize| OutputSpec { name: format!("y{i}"), kind: OutputKind::User };
    program.signature = Signature {
        inputs: (0..inputs.len()).map(input).collect(),
        outputs: (0..graph.outputs.len()).map(output).collect(),
        ..Signature::default()
    };
    program.graph = graph;
    Ok((program, inputs, counts))
}

/// The element type that a call is about: that of its first tensor, or of its result.
#[allow(dead_code)] // Not every crate counts by dtype.
pub fn dtype_of(s: &Sample) -> &'static str {
    let first = s.args.iter().flat_map(Arg::tensors).next();
    first.or(s.outputs.iter().flatten().next()).map_or("none", |t| t.dtype().name())
}
