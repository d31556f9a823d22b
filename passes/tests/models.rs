//! Whole exported programs through the reference interpreter, as imported and decomposed into primitives, against
//! what PyTorch computed.

use indexmap::IndexMap;
use pt2c_ir::{Arg, DType, InputKind, Program};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, run};
use pt2c_passes::decompose::decompose_program;
use pt2c_pt2::ExportedProgram;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

type Tensors = IndexMap<String, Tensor>;

fn read(path: &Path) -> Option<Tensors> {
    let bytes = std::fs::read(path).ok()?;
    let file = SafeTensors::deserialize(&bytes).expect("recorded tensors can be read");
    let mut tensors: Tensors = file
        .iter()
        .map(|(name, view)| {
            let dtype = match view.dtype() {
                Dtype::BOOL => DType::Bool,
                Dtype::U8 => DType::U8,
                Dtype::I8 => DType::I8,
                Dtype::I32 => DType::I32,
                Dtype::I64 => DType::I64,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::F32 => DType::F32,
                Dtype::F64 => DType::F64,
                other => panic!("dtype {other:?}"),
            };
            (name.to_string(), Tensor::from_bytes(dtype, view.shape(), view.data()).expect("the sizes fit"))
        })
        .collect();
    tensors.sort_keys();
    Some(tensors)
}

fn inputs(program: &Program, tensors: &Tensors) -> Vec<Input> {
    let kinds = program.signature.inputs.iter().enumerate();
    kinds
        .map(|(i, spec)| match (&spec.kind, tensors.get(&format!("{i:04}"))) {
            (InputKind::Tensor, Some(t)) => Input::Tensor(t.clone()),
            (InputKind::SymInt(_), Some(t)) => Input::Int(t.i64(0)),
            _ => Input::Baked,
        })
        .collect()
}

/// Relative to the largest recorded element: whole networks in f32.
fn differs(name: &str, got: &Tensor, recorded: &Tensor) -> Option<String> {
    if got.shape() != recorded.shape() || got.dtype() != recorded.dtype() {
        return Some(format!("{name} is {}, recorded {}", got.fact(), recorded.fact()));
    }
    let largest = recorded.to_f64s().iter().fold(0f64, |m, v| m.max(v.abs()));
    let error = (0..got.numel()).map(|i| (got.f64(i) - recorded.f64(i)).abs()).fold(0f64, f64::max);
    (error > 1e-4 * largest.max(1e-3)).then(|| format!("{name} is off by {error} at a largest of {largest}"))
}

/// Runs one program on one recorded call and leaves the changed buffers in `buffers`; what is wrong with it.
fn check(
    program: &Program,
    given: &Tensors,
    outputs: &Tensors,
    state: Option<&Tensors>,
    buffers: &mut Tensors,
) -> Result<(), String> {
    let call = |buffers: &Tensors| run(program, &inputs(program, given), buffers).map_err(|e| e.to_string());
    // The outputs of a later call were recorded after the earlier one, the buffers after this call alone.
    let fresh = call(&Tensors::new())?;
    let outcome = if buffers.is_empty() { fresh.clone() } else { call(buffers)? };
    for (key, recorded) in outputs {
        let i: usize = key.parse().map_err(|_| format!("output key {key}"))?;
        match outcome.outputs.get(i) {
            Some(Arg::Tensor(t)) => differs(key, t, recorded).map_or(Ok(()), Err)?,
            other => return Err(format!("output {key} is {other:?}")),
        }
    }
    for (name, recorded) in state.into_iter().flatten() {
        let got = fresh.buffers.get(name).ok_or_else(|| format!("buffer {name} was not changed"))?;
        differs(name, got, recorded).map_or(Ok(()), Err)?;
    }
    *buffers = outcome.buffers;
    Ok(())
}

fn check_model(path: &Path, failures: &mut Vec<String>) -> usize {
    let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_string();
    let exported = ExportedProgram::open(path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let imported = pt2c_pt2::import(&exported).unwrap_or_else(|e| panic!("{name}: {e}")).program;
    let decomposed = match decompose_program(&imported) {
        Ok(program) => program,
        Err(e) => {
            failures.push(format!("{name} cannot be decomposed: {e}"));
            return 0;
        }
    };
    let mut calls = 0;
    let mut buffers = [Tensors::new(), Tensors::new()];
    for suffix in ["", "1", "2"] {
        let file = |what: &str| path.with_file_name(format!("{name}.{what}{suffix}.safetensors"));
        let (Some(given), Some(outputs)) = (read(&file("inputs")), read(&file("outputs"))) else { continue };
        let state = read(&file("state"));
        let phases = [("imported", &imported), ("decomposed", &decomposed)];
        for ((phase, program), buffers) in phases.into_iter().zip(&mut buffers) {
            let start = std::time::Instant::now();
            if let Err(why) = check(program, &given, &outputs, state.as_ref(), buffers) {
                failures.push(format!("{name} {phase}, call {calls}: {why}"));
            }
            println!("{name} {phase}: {} nodes in {:.2} s", program.graph.len(), start.elapsed().as_secs_f64());
        }
        calls += 1;
    }
    calls
}

#[test]
fn programs_agree_with_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the models are in the repository")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "pt2"))
        .collect();
    paths.sort();
    let mut failures = Vec::new();
    let calls: usize = paths.iter().map(|p| check_model(p, &mut failures)).sum();
    println!("{calls} calls");
    assert!(calls >= 10, "{calls} recorded calls were found");
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
