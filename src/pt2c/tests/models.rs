//! Recorded programs, end to end: each is compiled and called at every recorded input, and must give what PyTorch gave.
//!
//! A folder of `NAME.pt2` with `NAME.inputsN.safetensors`, `NAME.outputsN.safetensors` and, where calls change them,
//! `NAME.stateN.safetensors` (buffers) and `NAME.afterN.safetensors` (inputs): `tests/models`, or the one that the
//! variable `PT2C_MODELS` names. One compiled library serves all samples of a program.

use pt2c::command::default_name;
use pt2c::compile::{self, Settings};
use pt2c::execute::{self, Results};
use pt2c::leaves;
use pt2c::tensors::{self, Stored, Tensors};
use pt2c::verify::distance;
use pt2c_ir::Program;
use pt2c_native::Target;
use std::path::{Path, PathBuf};

type Outcome = datatest_stable::Result<()>;

fn compare(what: &str, expected: &Tensors, found: &Tensors) -> Result<(), String> {
    for (name, want) in expected {
        let got = found.get(name).ok_or_else(|| format!("{what} {name} is missing"))?;
        let far = distance(want, got).map_err(|why| format!("{what} {name}: {why}"))?;
        if !far.within {
            return Err(format!("{what} {name} differs from PyTorch by {:.2e} of {:.2e}", far.largest, far.scale));
        }
    }
    Ok(())
}

/// A recorded file beside the program: `NAME.KINDN.safetensors`.
fn recorded(model: &Path, kind: &str, sample: usize) -> Option<PathBuf> {
    let number = if sample == 0 { String::new() } else { sample.to_string() };
    let path = model.with_extension("").to_string_lossy().into_owned();
    let path = PathBuf::from(format!("{path}.{kind}{number}.safetensors"));
    path.exists().then_some(path)
}

fn read(path: Option<PathBuf>) -> Result<Tensors, Box<dyn std::error::Error>> {
    let sources: Vec<String> = path.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    Ok(tensors::read_all(&sources)?)
}

/// Calls the program on all samples in turn, each from the initial state, and compares.
fn check(
    model: &Path,
    program: &Program,
    call: &mut dyn FnMut(&[pt2c_ops::interpret::Input], &Tensors) -> Result<Results, Box<dyn std::error::Error>>,
) -> Outcome {
    let mut before: Option<Tensors> = None;
    for sample in 0.. {
        let Some(inputs) = recorded(model, "inputs", sample) else { break };
        let given = leaves::inputs(program, &read(Some(inputs))?)?;
        let outputs = read(recorded(model, "outputs", sample))?;
        let state = read(recorded(model, "state", sample))?;
        let after = read(recorded(model, "after", sample))?;
        let results = call(&given, &initial_state(program))?;
        let fresh = compare("output", &outputs, &results.outputs);
        compare("state", &state, &results.state).map_err(|e| format!("sample {sample}: {e}"))?;
        compare("changed input", &after, &results.inputs_after).map_err(|e| format!("sample {sample}: {e}"))?;
        if let (Err(error), Some(before)) = (&fresh, &before) {
            // PyTorch's module may have been called for the samples one after the other, the state kept.
            let chained = call(&given, before)?;
            compare("output", &outputs, &chained.outputs)
                .map_err(|e| format!("sample {sample}: from the initial state {error}; after the sample before {e}"))?;
        } else {
            fresh.map_err(|e| format!("sample {sample}: {e}"))?;
        }
        before = (!results.state.is_empty()).then_some(results.state);
    }
    Ok(())
}

/// The mutated buffers as the archive has them.
fn initial_state(program: &Program) -> Tensors {
    let mut state = Tensors::new();
    for name in program.mutated_buffers() {
        if let Some(data) = program.tensors.get(name).and_then(|t| t.data.as_ref()) {
            let stored = Stored::new(data.dtype(), data.sizes().to_vec(), data.to_dense().into_owned());
            state.insert(name.to_string(), stored);
        }
    }
    state
}

fn compiled(model: &Path, cpu: &str, threads: u32) -> Outcome {
    let target = Target::from_flag(cpu)?;
    let runs_here = Target::from_flag("native")?.isa >= target.isa;
    let program = compile::open(model)?.program;
    let settings = Settings::new(default_name(model), target);
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    if !runs_here {
        eprintln!("{} compiled for {cpu}, not run: this machine lacks its instructions", model.display());
        return Ok(());
    }
    let mut instance = execute::instance(&compiled, &settings, threads)?;
    check(model, &program, &mut |inputs, state| Ok(execute::call(&program, &mut instance, inputs, state)?))
}

fn avx512(model: &Path) -> Outcome {
    compiled(model, "x86-64-v4", 1)
}

fn avx2_two_threads(model: &Path) -> Outcome {
    compiled(model, "x86-64-v3", 2)
}

fn any_x86_64(model: &Path) -> Outcome {
    compiled(model, "x86-64", 1)
}

fn oracle(model: &Path) -> Outcome {
    let program = compile::open(model)?.program;
    check(model, &program, &mut |inputs, state| Ok(execute::oracle(&program, inputs, state)?))
}

fn folder() -> String {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models");
    std::env::var("PT2C_MODELS").unwrap_or_else(|_| own.to_string())
}

/// A folder below; the project's own where the one that is asked for has none.
fn below(name: &str) -> String {
    let path = format!("{}/{name}", folder());
    let own = format!("{}/../../tests/models/{name}", env!("CARGO_MANIFEST_DIR"));
    if Path::new(&path).is_dir() { path } else { own }
}

/// Programs whose sizes, numbers or control flow depend on data.
fn dynamic() -> String {
    below("dynamic")
}

/// Operators at sizes that the caller chooses.
fn shapes() -> String {
    below("shapes")
}

/// Every form of dynamic dimension.
fn dims() -> String {
    below("dims")
}

/// PyTorch's own examples of `torch.export`.
fn examples() -> String {
    below("examples")
}

datatest_stable::harness! {
    { test = avx512, root = examples(), pattern = r"^[^/]*\.pt2$" },
    { test = oracle, root = examples(), pattern = r"^[^/]*\.pt2$" },
    { test = any_x86_64, root = dims(), pattern = r"^[^/]*\.pt2$" },
    { test = oracle, root = dims(), pattern = r"^[^/]*\.pt2$" },
    { test = avx512, root = shapes(), pattern = r"^[^/]*\.pt2$" },
    { test = any_x86_64, root = shapes(), pattern = r"^[^/]*\.pt2$" },
    { test = oracle, root = shapes(), pattern = r"^[^/]*\.pt2$" },
    { test = avx512, root = dynamic(), pattern = r"^[^/]*\.pt2$" },
    { test = avx2_two_threads, root = dynamic(), pattern = r"^[^/]*\.pt2$" },
    { test = any_x86_64, root = dynamic(), pattern = r"^[^/]*\.pt2$" },
    { test = oracle, root = dynamic(), pattern = r"^[^/]*\.pt2$" },
    { test = avx512, root = folder(), pattern = r"^[^/]*\.pt2$" },
    { test = avx2_two_threads, root = folder(), pattern = r"^[^/]*\.pt2$" },
    { test = any_x86_64, root = folder(), pattern = r"^[^/]*\.pt2$" },
    { test = oracle, root = folder(), pattern = r"^[^/]*\.pt2$" },
}
