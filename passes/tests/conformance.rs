//! Decompositions against recorded results: every sample becomes a program of one call, which is decomposed and run
//! as primitives.

#[path = "../../tests/conformance/programs.rs"]
mod programs;
#[path = "../../tests/conformance/samples.rs"]
mod samples;

use programs::program;
use pt2c_ir::{Arg, NodeKind};
use pt2c_ops::interpret::{Input, InterpretError, run};
use pt2c_ops::{OpError, Tensor, ops};
use pt2c_passes::decompose::{decompose_program, decomposition_of, is_primitive};
use pt2c_passes::rules::{Table, run_decompositions};
use samples::Sample;
use std::collections::BTreeMap;

/// What is wrong with the decomposition of a sample's operator; `Err` if it is refused with a reason.
fn check(s: &Sample) -> Result<Option<String>, String> {
    let (program, inputs) = match program(&[s]) {
        Ok((program, inputs, _)) => (program, inputs.into_iter().map(Input::Tensor).collect::<Vec<_>>()),
        Err(OpError::Unsupported(why)) => return Err(why),
        Err(why) => return Ok(Some(format!("inference: {why}"))),
    };
    let decomposed = decompose_program(&program).map_err(|e| e.message)?;
    for (_, node) in decomposed.graph.nodes() {
        if let NodeKind::Call { op, .. } = &node.kind
            && !is_primitive(op)
        {
            return Ok(Some(format!("{op} is left")));
        }
    }
    let before: Vec<_> = program.graph.output_values().map(|v| program.graph.fact(v).cloned()).collect();
    let after: Vec<_> = decomposed.graph.output_values().map(|v| decomposed.graph.fact(v).cloned()).collect();
    if before != after {
        return Ok(Some(format!("facts {before:?} became {after:?}")));
    }
    Ok(match run(&decomposed, &inputs, &Default::default()) {
        Err(InterpretError::Node { error: OpError::Unsupported(why), .. }) => return Err(why),
        Err(e) => Some(format!("evaluation: {e}")),
        Ok(outcome) => {
            let got: Vec<Tensor> = outcome
                .outputs
                .into_iter()
                .filter_map(|a| if let Arg::Tensor(t) = a { Some(t) } else { None })
                .collect();
            s.differs(&got)
        }
    })
}

#[test]
fn decompositions_agree_with_pytorch() {
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for family in samples::families() {
        for mut s in samples::samples(&family).0 {
            // Primitives round after every step.
            s.steps = 2.0;
            if decomposition_of(&s.op.name).is_none() || s.op.def.refusal.is_some() {
                continue;
            }
            count += 1;
            match check(&s) {
                Ok(None) => {}
                Ok(Some(why)) => {
                    failures.entry(s.op.name.clone()).or_default().push(format!("{} {}: {why}", s.at, s.describe()));
                }
                Err(reason) => refused.entry(s.op.name.clone()).or_default().push(reason),
            }
        }
    }
    let refusals: usize = refused.values().map(Vec::len).sum();
    println!("{count} samples run, {refusals} refused");
    for (op, reasons) in &refused {
        println!("refused {op}: {} ({})", reasons.len(), reasons[0]);
    }
    let report: Vec<String> = failures
        .iter()
        .map(|(op, all)| {
            format!(
                "{op}: {} failed\n    {}",
                all.len(),
                all.iter().take(3).cloned().collect::<Vec<_>>().join("\n    ")
            )
        })
        .collect();
    assert!(count > 1000, "the samples were not found");
    assert!(failures.is_empty(), "{} operators failed\n{}", failures.len(), report.join("\n"));
    assert!(refusals * 20 < count, "{refusals} of {count} samples are refused");
}

/// The default rules give PyTorch's recorded values too, and never a type that is not the operator's.
#[test]
fn core_aten_rules_agree_with_pytorch() {
    let table = Table::default_decompositions().expect("reads");
    let mut failures = Vec::new();
    let mut replaced: BTreeMap<String, usize> = BTreeMap::new();
    for family in samples::families() {
        for mut s in samples::samples(&family).0 {
            // Each step rounds.
            s.steps = 4.0;
            if !table.rules().iter().any(|rule| rule.op == s.op.name) {
                continue;
            }
            let Ok((program, inputs, _)) = program(&[&s]) else { continue };
            let inputs: Vec<Input> = inputs.into_iter().map(Input::Tensor).collect();
            let (after, applied) = match run_decompositions(&program, &table) {
                Ok(done) => done,
                Err(error) => {
                    failures.push(format!("{} {}: {}", s.at, s.describe(), error.message));
                    continue;
                }
            };
            if applied.is_empty() {
                continue;
            }
            *replaced.entry(s.op.name.clone()).or_default() += 1;
            match run(&after, &inputs, &Default::default()) {
                Err(InterpretError::Node { error: OpError::Unsupported(_), .. }) => {}
                Err(error) => failures.push(format!("{} {}: {error}", s.at, s.describe())),
                Ok(outcome) => {
                    let outputs = outcome.outputs.into_iter();
                    let got: Vec<Tensor> = outputs.filter_map(|a| a.as_tensor().cloned()).collect();
                    failures.extend(s.differs(&got).map(|why| format!("{} {}: {why}", s.at, s.describe())));
                }
            }
        }
    }
    println!("{replaced:?}");
    assert!(replaced.len() > 20, "{replaced:?}");
    assert!(failures.is_empty(), "{} samples failed\n{}", failures.len(), failures.join("\n"));
}

/// Nothing is declared without a way to compile it, or a reason not to.
#[test]
fn every_operator_is_a_primitive_or_has_a_decomposition_or_is_refused() {
    let missing: Vec<&str> = ops()
        .filter(|op| op.def.refusal.is_none() && !is_primitive(&op.name) && decomposition_of(&op.name).is_none())
        .map(|op| op.name.as_str())
        .collect();
    assert!(missing.is_empty(), "no decomposition for {missing:?}");
}
