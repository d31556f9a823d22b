//! Operators against recorded results, as machine code. Many samples become one program, so that a sample costs little
//! more than the code of its kernels; a program that does not compile or run is divided until the sample is found.
//!
//! By default the first sample of every operator and dtype is taken, and every 32nd of the others; `PT2C_ALL=1` takes all,
//! `PT2C_OP=NAME` those whose name contains it. What is refused is checked by the test of kernel IR, which sees all samples.

#[path = "../../../../tests/conformance/programs.rs"]
mod programs;
#[path = "../../../../tests/conformance/samples.rs"]
mod samples;

use programs::{dtype_of, program};
use pt2c::compile::{self, Settings};
use pt2c::execute;
use pt2c_ir::TensorData;
use pt2c_native::Target;
use pt2c_native::library::Value;
use pt2c_ops::Tensor;
use samples::{Failures, Sample};
use std::collections::BTreeSet;

/// Samples of one program.
const BATCH: usize = 48;

/// What came of a sample.
enum Outcome {
    Pass,
    Refused,
    Differs(String),
}

/// The results of all samples, as one program.
fn run(samples: &[&Sample], settings: &Settings) -> Result<Vec<Vec<Tensor>>, String> {
    let (program, inputs, counts) = program(samples).map_err(|e| e.to_string())?;
    let compiled = compile::compile(&program, settings, &mut |_, _| Ok(()), &|_, _| {})
        .map_err(|d| describe(&d.message, &d.help))?;
    let mut instance = execute::instance(&compiled, settings, 1).map_err(|d| format!("defect: {}", d.message))?;
    let data = |t: &Tensor| TensorData::dense(t.dtype(), t.shape().to_vec(), t.to_bytes()).map(Value::Tensor);
    let values: Vec<Value> = inputs.iter().map(data).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let finished = instance.run(&values).map_err(|e| format!("defect: {e}"))?;
    let mut outputs = finished.outputs.into_iter().map(|v| match v {
        Value::Tensor(t) => Tensor::from_data(&t).map_err(|e| e.to_string()),
        Value::Int(i) => Err(format!("an integer {i} as a result")),
    });
    counts.iter().map(|n| outputs.by_ref().take(*n).collect()).collect()
}

/// A refusal, or a defect: what is no refusal must not look like one.
fn describe(message: &str, help: &Option<String>) -> String {
    let defect = message.contains("malformed") || help.as_ref().is_some_and(|h| h.contains("defect"));
    if defect { format!("defect: {message}") } else { message.to_string() }
}

fn judge<'s>(samples: &[&'s Sample], settings: &Settings, found: &mut Vec<(&'s Sample, Outcome)>) {
    match run(samples, settings) {
        Ok(results) => found.extend(samples.iter().zip(results).map(|(s, got)| {
            let outcome = s.differs(&got).map_or(Outcome::Pass, Outcome::Differs);
            (*s, outcome)
        })),
        Err(why) => match samples {
            [one] if why.starts_with("defect") => found.push((one, Outcome::Differs(why))),
            [one] => found.push((one, Outcome::Refused)),
            _ => {
                let (left, right) = samples.split_at(samples.len() / 2);
                judge(left, settings, found);
                judge(right, settings, found);
            }
        },
    }
}

#[test]
fn compiled_operators_agree_with_pytorch() {
    let only = std::env::var("PT2C_OP").unwrap_or_default();
    let all = std::env::var_os("PT2C_ALL").is_some() || !only.is_empty();
    let settings = Settings::new("sample", Target::from_flag("native").expect("this machine is known"));
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for family in samples::families() {
        for (i, mut s) in samples::samples(&family).0.into_iter().enumerate() {
            let first = seen.insert((s.op.name.clone(), dtype_of(&s)));
            if s.op.name.contains(&only) && (all || first || i % 32 == 0) {
                // Primitives round after every step, and sums are accumulated in f32.
                s.steps = 16.0;
                chosen.push(s);
            }
        }
    }
    let chosen: Vec<&Sample> = chosen.iter().collect();
    let mut found = Vec::new();
    for batch in chosen.chunks(BATCH) {
        judge(batch, &settings, &mut found);
    }
    let mut failures = Failures::default();
    let (mut passed, mut refused) = (0, 0);
    for (s, outcome) in found {
        match outcome {
            Outcome::Pass => passed += 1,
            Outcome::Refused => refused += 1,
            Outcome::Differs(why) => {
                let key = format!("{} {}", s.op.name, dtype_of(s));
                failures.add(key, format!("{} {}: {why}", s.at, s.describe()));
            }
        }
    }
    println!("{passed} samples pass, {refused} are refused, {} fail", failures.count());
    assert!(passed > 0, "the samples were not found");
    failures.assert_none();
}
