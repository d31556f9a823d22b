//! Operators against recorded results, as kernel IR: every sample becomes a program of one call, which goes through all
//! phases, is lowered and interpreted. `PT2C_OP=NAME` checks only operators whose name contains it.
//!
//! A sample passes or is refused. What is refused, by operator, dtype and reason, stands in
//! `tests/conformance/refused.txt`, which `PT2C_BLESS=1` rewrites: nothing slips in unseen.

#[path = "../../../tests/conformance/programs.rs"]
mod programs;
#[path = "../../../tests/conformance/samples.rs"]
mod samples;

use programs::{dtype_of, program};
use pt2c_kernel::interpret::{CallData, Order, interpret};
use pt2c_ops::{OpError, Tensor};
use samples::{Failures, Sample};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong; `Err` if the operator is refused with a reason before it is lowered.
fn check(s: &Sample) -> Result<Option<String>, String> {
    let (program, inputs, _) = match program(&[s]) {
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
    let initial = |name: &str| Some(fused.tensors.get(name)?.data.as_ref()?.to_dense().into_owned());
    let state = fused.mutated_buffers().filter_map(|name| Some((name.to_string(), initial(name)?))).collect();
    let before = CallData { inputs, state, ..CallData::default() };
    let after = match interpret(&kernels, &BTreeMap::new(), &before, Order::Backward) {
        Ok(after) => after,
        Err(e) => return Ok(Some(format!("run: {e}"))),
    };
    let mut got = Vec::new();
    for (i, value) in program.graph.output_values().enumerate() {
        let fact = program.graph.fact(value).ok_or("a fact")?;
        let size = |d: &pt2c_ir::dim::Dim| d.eval(&|s| after.symbols.get(s).copied()).map(|n| n as usize);
        let shape: Vec<usize> = fact.shape.iter().map(size).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let bytes = after.outputs.get(&i).ok_or("an output")?;
        got.push(Tensor::from_bytes(fact.dtype, &shape, bytes).map_err(|e| e.to_string())?);
    }
    Ok(s.differs(&got))
}

#[test]
fn lowered_operators_agree_with_pytorch() {
    let only = std::env::var("PT2C_OP").unwrap_or_default();
    let mut failures = Failures::default();
    let (mut count, mut refusals, mut refused) = (0, 0, BTreeSet::new());
    for family in samples::families() {
        for mut s in samples::samples(&family).0 {
            if !s.op.name.contains(&only) || s.op.def.refusal.is_some() {
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
                    let key = format!("{} {}", s.op.name, dtype_of(&s));
                    failures.add(key, format!("{} {}: {why}", s.at, s.describe()));
                }
                Err(reason) => {
                    refusals += 1;
                    refused.insert(format!("{} {}: {}", s.op.name, dtype_of(&s), reason.replace('\n', " ")));
                }
            }
        }
    }
    println!("{count} samples run, {refusals} refused");
    assert!(count > 0, "the samples were not found");
    failures.assert_none();
    if only.is_empty() {
        compare_refusals(&refused);
    }
}

/// The list of refusals is exactly the recorded one.
fn compare_refusals(refused: &BTreeSet<String>) {
    let path = samples::families()[0].with_file_name("../refused.txt");
    if std::env::var_os("PT2C_BLESS").is_some() {
        let text: String = refused.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("the list can be written");
        return;
    }
    let known = std::fs::read_to_string(&path).expect("the list of refusals can be read");
    let known: BTreeSet<String> = known.lines().map(str::to_string).collect();
    let new: Vec<&String> = refused.difference(&known).collect();
    let gone: Vec<&String> = known.difference(refused).collect();
    assert!(new.is_empty(), "newly refused: {new:#?}");
    assert!(gone.is_empty(), "no longer refused, which PT2C_BLESS=1 notes: {gone:#?}");
}
