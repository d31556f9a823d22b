//! Recorded programs through every phase, lowered, and interpreted as kernel IR: the results are PyTorch's. This tests
//! passes, lowering and memory planning without a target. `PT2C_MODELS=DIR` checks another folder of recorded
//! programs, `PT2C_MODEL=NAME` only one program.

use pt2c_ir::dim::Symbol;
use pt2c_ir::{DType, InputKind, OutputKind, Program};
use pt2c_kernel::interpret::{CallData, Order, interpret};
use pt2c_ops::interpret::{Input, bind_symbols};
use pt2c_ops::{Scalar, Tensor};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Size up to which a program is run; larger ones are only lowered and verified.
const MAX_FILE: u64 = 4 << 20;

type Tensors = BTreeMap<String, Tensor>;

fn read(path: &Path) -> Option<Tensors> {
    let bytes = std::fs::read(path).ok()?;
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let dtype = format!("{:?}", view.dtype()).to_lowercase();
        let dtype: DType = dtype.parse().unwrap_or_else(|()| panic!("{dtype}"));
        (name, Tensor::from_bytes(dtype, view.shape(), view.data()).expect("a tensor"))
    });
    Some(tensors.collect())
}

/// A recorded complex tensor is real pairs.
fn as_declared(tensor: &Tensor, dtype: DType) -> Tensor {
    if dtype.is_complex() && !tensor.dtype().is_complex() {
        let shape = &tensor.shape()[..tensor.rank() - 1];
        return Tensor::from_bytes(dtype, shape, &tensor.to_bytes()).expect("pairs");
    }
    tensor.clone()
}

fn inputs(program: &Program, given: &Tensors) -> Vec<Input> {
    let mut facts = program.graph.inputs().filter_map(|v| program.graph.fact(v));
    let specs = program.signature.inputs.iter().enumerate();
    specs
        .map(|(i, spec)| {
            let given = given.get(&format!("{i:04}"));
            match &spec.kind {
                InputKind::Tensor => {
                    let fact = facts.next().expect("a fact");
                    Input::Tensor(as_declared(given.unwrap_or_else(|| panic!("input {i}")), fact.dtype))
                }
                InputKind::SymInt(_) => Input::Int(given.expect("an integer").i64(0)),
                InputKind::Constant(_) => Input::Baked,
            }
        })
        .collect()
}

/// What differs: too far in value, where both are compared in f64.
fn compare(what: &str, found: &Tensor, expected: &Tensor) -> Result<(), String> {
    let expected = as_declared(expected, found.dtype());
    if found.shape() != expected.shape() || found.dtype() != expected.dtype() {
        let (f, e) = (found.fact(), expected.fact());
        return Err(format!("{what}: {f}, recorded {e}"));
    }
    let tolerance = match found.dtype() {
        DType::F64 => 1e-9,
        DType::F32 => 2e-4,
        DType::F16 => 5e-3,
        DType::BF16 => 4e-2,
        _ => 0.0,
    };
    let expected_values: Vec<Scalar> = (0..expected.numel()).map(|i| expected.get(i)).collect();
    let scale = expected_values.iter().map(|x| x.to_f64().abs()).filter(|x| x.is_finite()).fold(1.0f64, f64::max);
    for (i, expected) in expected_values.into_iter().enumerate() {
        let (a, b) = match (found.get(i), expected) {
            (Scalar::Complex(a), Scalar::Complex(b)) => ((a - b).norm(), 0.0),
            (a, b) => (a.to_f64(), b.to_f64()),
        };
        if a != b && !(a.is_nan() && b.is_nan()) && !((a - b).abs() <= tolerance * scale) {
            return Err(format!("{what}: element {i} of {:?} is {a}, recorded {b}", found.shape()));
        }
    }
    Ok(())
}

fn tensor_of(bytes: &[u8], fact: &pt2c_ir::Fact, symbols: &BTreeMap<Symbol, i64>) -> Result<Tensor, String> {
    let sizes = fact.shape.iter().map(|d| d.eval(&|s| symbols.get(s).copied()).map(|n| n as usize));
    let sizes = sizes.collect::<Result<Vec<_>, _>>().map_err(|e| format!("{fact}: {e}"))?;
    Tensor::from_bytes(fact.dtype, &sizes, bytes).map_err(|e| e.to_string())
}

/// One recorded call, in one order of the independent loops. With a state given, the call begins from that instead of
/// the initial one, and only its results are compared. Returns the recorded state.
fn call(
    program: &Program,
    kernels: &pt2c_kernel::KernelProgram,
    at: &Path,
    stem: &str,
    sample: &str,
    order: Order,
    chained: Option<&Tensors>,
) -> Result<Tensors, String> {
    let file = |kind: &str| read(&at.join(format!("{stem}.{kind}{sample}.safetensors")));
    let inputs = inputs(program, &file("inputs").ok_or("no recorded inputs")?);
    let symbols = bind_symbols(program, &inputs).map_err(|e| e.to_string())?;
    let mut before = CallData::default();
    for (i, input) in inputs.iter().enumerate() {
        if let Input::Tensor(t) = input {
            before.inputs.insert(i, t.to_bytes());
        }
    }
    for (name, tensor) in &program.tensors {
        if let Some(data) = &tensor.data {
            before.state.insert(name.clone(), data.to_dense().into_owned());
        }
    }
    for (name, tensor) in chained.into_iter().flatten() {
        before.state.insert(name.clone(), tensor.to_bytes());
    }
    let after = interpret(kernels, &symbols, &before, order).map_err(|e| e.to_string())?;
    let recorded = file("outputs").ok_or("no recorded outputs")?;
    let mut position = 0;
    for (i, (spec, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
        let fact = arg.as_tensor().and_then(|v| program.graph.fact(*v));
        let row_major = fact.map(|f| pt2c_ir::Fact::new(f.dtype, f.shape.clone()));
        let (bytes, expected) = match &spec.kind {
            OutputKind::BufferMutation(name) => {
                (after.state.get(name), file("state").and_then(|s| s.get(name).cloned()))
            }
            OutputKind::InputMutation(i) => {
                (after.inputs.get(i), file("after").and_then(|s| s.get(&format!("{i:04}")).cloned()))
            }
            _ => {
                position += 1;
                (after.outputs.get(&i), recorded.get(&format!("{:04}", position - 1)).cloned())
            }
        };
        let skipped = chained.is_some() && !matches!(spec.kind, OutputKind::User);
        if let (Some(bytes), Some(fact), Some(expected), false) = (bytes, row_major, expected, skipped) {
            compare(&spec.name, &tensor_of(bytes, &fact, &after.symbols)?, &expected)?;
        }
    }
    Ok(file("state").unwrap_or_default())
}

fn check(at: &Path, stem: &str) -> Result<(), String> {
    let exported = pt2c_pt2::ExportedProgram::open(&at.join(format!("{stem}.pt2"))).map_err(|e| e.to_string())?;
    let program = pt2c_pt2::import(&exported).map_err(|e| e.to_string())?.program;
    let fused = pt2c_passes::pipeline::run(&program, &mut |_, _| Ok(())).map_err(|e| e.to_string())?;
    let kernels = pt2c_kernel::lower::lower(&fused).map_err(|e| e.to_string())?;
    // Large programs would take minutes here; the compiled ones are checked elsewhere.
    if std::fs::metadata(at.join(format!("{stem}.pt2"))).is_ok_and(|m| m.len() > MAX_FILE) {
        return Ok(());
    }
    let two = at.join(format!("{stem}.inputs1.safetensors")).exists();
    let before = call(&fused, &kernels, at, stem, "", Order::Forward, None).map_err(|e| format!("forward: {e}"))?;
    // Which sizes there are depends on the data of each sample.
    for sample in 2.. {
        if !at.join(format!("{stem}.inputs{sample}.safetensors")).exists() {
            break;
        }
        let sample = sample.to_string();
        call(&fused, &kernels, at, stem, &sample, Order::Forward, None).map_err(|e| format!("{sample}: {e}"))?;
    }
    if !two {
        call(&fused, &kernels, at, stem, "", Order::Backward, None).map_err(|e| format!("backward: {e}"))?;
        return Ok(());
    }
    if let Err(fresh) = call(&fused, &kernels, at, stem, "1", Order::Backward, None) {
        // PyTorch's module may have been called for the samples one after the other, the state kept.
        call(&fused, &kernels, at, stem, "1", Order::Backward, Some(&before))
            .map_err(|e| format!("second sample, backward: from the initial state {fresh}; from the first's {e}"))?;
    }
    Ok(())
}

#[test]
fn recorded_programs() {
    run_folder("");
}

/// Programs whose sizes, numbers or control flow depend on data.
#[test]
fn dynamic_programs() {
    run_folder("dynamic");
}

/// PyTorch's own examples of `torch.export`.
#[test]
fn examples() {
    run_folder("examples");
}

fn run_folder(under: &str) {
    let folder = std::env::var_os("PT2C_MODELS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models"), PathBuf::from)
        .join(under);
    if !folder.is_dir() {
        return;
    }
    let only = std::env::var("PT2C_MODEL").ok();
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .filter_map(|e| e.ok()?.file_name().into_string().ok()?.strip_suffix(".pt2").map(str::to_string))
        .filter(|name| only.as_ref().is_none_or(|only| only == name))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let mut failed = Vec::new();
    for name in &names {
        let start = std::time::Instant::now();
        let result = check(&folder, name);
        eprintln!("{name}: {:.1} s {}", start.elapsed().as_secs_f64(), result.as_ref().err().map_or("ok", |e| e));
        if let Err(error) = result {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), names.len(), failed.join("\n"));
}
