//! Operators against recorded results, as kernel IR: every sample becomes a program of one call, which goes through all
//! phases, is lowered and interpreted. `PT2C_OP=NAME` checks only operators whose name contains it.

#[path = "../../../tests/conformance/samples.rs"]
mod samples;

use pt2c_ir::{Arg, Graph, InputKind, InputSpec, LocationId, OutputKind, OutputSpec, Program, Signature};
use pt2c_kernel::interpret::{CallData, Order, interpret};
use pt2c_ops::{OpError, Tensor, infer};
use samples::Sample;
use std::collections::BTreeMap;

/// A program that makes this one call, and its inputs.
fn program(s: &Sample) -> Result<(Program, Vec<Tensor>), OpError> {
    let mut program = Program { name: "sample".into(), ..Program::default() };
    let (mut graph, mut inputs) = (Graph::new(), Vec::new());
    let mut args = Vec::new();
    for a in &s.args {
        args.push(a.map(|t| {
            inputs.push(t.clone());
            graph.add_input("x", t.fact())
        }));
    }
    let facts: Vec<_> = s.args.iter().map(|a| a.map(Tensor::fact)).collect();
    let outputs = infer(&s.op.name, &facts, &program.scope)?;
    let node = graph
        .add_call(&s.op.name, args, "y", outputs, LocationId::UNKNOWN)
        .map_err(|e| OpError::invalid(e.to_string()))?;
    graph.outputs = graph.values(node).map(Arg::Tensor).collect();
    let input = |i: usize| InputSpec { name: format!("x{i}"), kind: InputKind::Tensor };
    let output = |i: usize| OutputSpec { name: format!("y{i}"), kind: OutputKind::User };
    program.signature = Signature {
        inputs: (0..inputs.len()).map(input).collect(),
        outputs: (0..graph.outputs.len()).map(output).collect(),
        ..Signature::default()
    };
    program.graph = graph;
    Ok((program, inputs))
}

/// What is wrong; `Err` if the operator is refused with a reason before it is lowered.
fn check(s: &Sample) -> Result<Option<String>, String> {
    let (program, inputs) = match program(s) {
        Ok(made) => made,
        Err(OpError::Unsupported(why)) => return Err(why),
        Err(why) => return Ok(Some(format!("inference: {why}"))),
    };
    let fused = match pt2c_passes::pipeline::run(&program, &mut |_, _| Ok(())) {
        Ok(fused) => fused,
        Err(e) if e.message.contains("malformed") => return Ok(Some(e.to_string())),
        Err(e) => return Err(e.message),
    };
    let kernels = match pt2c_kernel::lower::lower(&fused) {
        Ok(kernels) => kernels,
        // Refusals of whole programs, not of one region.
        Err(e) if e.subject.is_none() && e.notes.is_empty() => return Err(e.message),
        Err(e) => return Ok(Some(format!("lower: {e}"))),
    };
    let inputs = inputs.iter().enumerate().map(|(i, t)| (i, t.to_bytes())).collect();
    let before = CallData { inputs, ..CallData::default() };
    let after = match interpret(&kernels, &BTreeMap::new(), &before, Order::Backward) {
        Ok(after) => after,
        Err(e) => return Ok(Some(format!("run: {e}"))),
    };
    let mut got = Vec::new();
    for (i, value) in program.graph.output_values().enumerate() {
        let fact = program.graph.fact(value).ok_or("a fact")?;
        let shape: Vec<usize> = fact.static_shape().ok_or("a shape")?.iter().map(|n| *n as usize).collect();
        let bytes = after.outputs.get(&i).ok_or("an output")?;
        got.push(Tensor::from_bytes(fact.dtype, &shape, bytes).map_err(|e| e.to_string())?);
    }
    Ok(s.differs(&got))
}

#[test]
fn lowered_operators_agree_with_pytorch() {
    let only = std::env::var("PT2C_OP").unwrap_or_default();
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut count, mut refused) = (0, BTreeMap::<String, Vec<String>>::new());
    for family in samples::families() {
        for mut s in samples::samples(&family).0 {
            if !s.op.name.contains(&only) {
                continue;
            }
            // Primitives round after every step, and sums are accumulated in f32.
            s.steps = 16.0;
            count += 1;
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&s)))
                .unwrap_or_else(|_| Ok(Some("a panic".into())))
            {
                Ok(None) => {}
                Ok(Some(why)) => {
                    failures.entry(s.op.name.clone()).or_default().push(format!("{} {}: {why}", s.at, s.describe()));
                }
                Err(reason) => refused.entry(s.op.name.clone()).or_default().push(reason),
            }
        }
    }
    println!("{count} samples run, {} refused", refused.values().map(Vec::len).sum::<usize>());
    for (op, reasons) in &refused {
        println!("refused {op}: {} ({})", reasons.len(), reasons[0]);
    }
    let report: Vec<String> = failures
        .iter()
        .map(|(op, all)| {
            let first: Vec<String> = all.iter().take(2).map(|why| why.chars().take(600).collect()).collect();
            format!("{op}: {} failed\n    {}", all.len(), first.join("\n    "))
        })
        .collect();
    assert!(count > 0, "the samples were not found");
    // Complex and random numbers are refused as a whole; else refusals are rare.
    let whole = |why: &&String| why.contains("complex numbers") || why.contains("random numbers");
    let rest = refused.values().flatten().filter(|why| !whole(why)).count();
    assert!(!only.is_empty() || rest * 20 < count, "{rest} of {count} samples are refused");
    assert!(failures.is_empty(), "{} operators failed\n{}", failures.len(), report.join("\n"));
}
