//! Evaluation and inference of PyTorch's operators against recorded results.

#[path = "../../../tests/conformance/samples.rs"]
mod samples;

use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Fact};
use pt2c_ops::{Call, OpError, Tensor};
use std::collections::BTreeMap;

#[test]
fn evaluation_agrees_with_pytorch_and_inference_with_evaluation() {
    let scope = Scope::default();
    let mut failures = samples::Failures::default();
    let (mut run, mut unknown) = (0, 0);
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for family in samples::families() {
        let (samples, skipped) = samples::samples(&family);
        unknown += skipped;
        for s in samples {
            run += 1;
            let facts: Vec<Arg<Fact>> = s.args.iter().map(|a| a.map(Tensor::fact)).collect();
            let inferred = (s.op.def.infer)(&Call { op: s.op, args: &facts, scope: &scope });
            let why = match (s.op.def.eval)(&Call { op: s.op, args: &s.args, scope: &scope }) {
                Err(OpError::Unsupported(_)) => {
                    *refused.entry(s.op.name.clone()).or_default() += 1;
                    None
                }
                Err(e) => Some(format!("evaluation: {e}")),
                Ok(got) => s.differs(&got).or_else(|| match inferred {
                    // The size of the result depends on the values.
                    Err(OpError::Unsupported(_)) => None,
                    Err(e) => Some(format!("inference: {e}")),
                    Ok(facts) => disagrees(&facts, &got),
                }),
            };
            if let Some(why) = why {
                failures.add(s.op.name.clone(), format!("{} {}: {why}", s.at, s.describe()));
            }
        }
    }
    let failed = failures.count();
    println!("{run} samples run, {failed} fail, {unknown} are of operators not in the table; refused: {refused:?}");
    // What is refused is complex arithmetic and other corners; a family must not slip into it.
    let refusals: usize = refused.values().sum();
    assert!(refusals * 50 < run, "{refusals} of {run} samples are refused: {refused:?}");
    assert!(run > 1000, "the samples were not found");
    failures.assert_none();
}

/// A symbolic size (data-dependent) agrees with any.
fn disagrees(facts: &[Fact], got: &[Tensor]) -> Option<String> {
    if facts.len() != got.len() {
        return Some(format!("{} outputs inferred, {} computed", facts.len(), got.len()));
    }
    facts.iter().zip(got).find_map(|(f, t)| {
        let same = f.dtype == t.dtype()
            && f.rank() == t.rank()
            && f.shape.iter().zip(t.shape()).all(|(d, &n)| d.as_int().is_none_or(|d| d == n as i64));
        (!same).then(|| format!("inferred {f}, computed {}", t.fact()))
    })
}
