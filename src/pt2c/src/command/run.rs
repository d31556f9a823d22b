//! `pt2c run`: executes a program on tensors from files, compiled or in the reference interpreter.

use super::{Outcome, settings, show_warnings};
use crate::tensors::{self, Stored, Tensors};
use crate::{compile, leaves};
use clap::Args;
use indexmap::IndexMap;
use pt2c_ir::{Arg, DType, Diagnostic, Program};
use pt2c_native::Session;
use pt2c_native::program::Keep;
use pt2c_native::session::{Buffer, Value};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{self, Input};
use std::path::PathBuf;

/// Flags of `pt2c run`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    /// Inputs: FILE.safetensors (tensors named by argument or by leaf position: 0000, 0001 …), FILE.npy, or NAME=FILE.npy
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// Where the outputs go, named by leaf position (.safetensors, or .npy for a single one)
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Run in the reference interpreter instead of compiled code
    #[arg(long)]
    oracle: bool,
    /// Write the user inputs that the program changed, after the call
    #[arg(long, value_name = "FILE")]
    inputs_after: Option<PathBuf>,
    /// Start from these buffers instead of the ones in the archive, by name
    #[arg(long, value_name = "FILE")]
    state_in: Option<PathBuf>,
    /// Write the buffers that the program changed, by name
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
    /// Threads that the call uses; 0 = one for each processor
    #[arg(long, default_value_t = 1)]
    threads: u32,
}

/// What a call returned, in either way of running.
struct Results {
    outputs: Tensors,
    inputs_after: Tensors,
    state: Tensors,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let imported = compile::open(&flags.model)?;
    show_warnings(&imported.warnings);
    let program = imported.program;
    let mut given = Tensors::new();
    for source in &flags.inputs {
        tensors::read(source, &mut given)?;
    }
    let inputs = leaves::inputs(&program, &given)?;
    let mut state = Tensors::new();
    if let Some(path) = &flags.state_in {
        tensors::read(&path.to_string_lossy(), &mut state)?;
    }
    let results =
        if flags.oracle { interpret(&program, &inputs, &state)? } else { execute(flags, &program, &inputs, &state)? };
    if let Some(path) = &flags.outputs {
        tensors::write(path, &results.outputs)?;
    } else {
        for (name, t) in &results.outputs {
            println!("{name}: {}{:?} {}", t.dtype, t.shape, summary(t));
        }
    }
    if let Some(path) = &flags.inputs_after {
        tensors::write(path, &results.inputs_after)?;
    }
    if let Some(path) = &flags.state_out {
        tensors::write(path, &results.state)?;
    }
    Ok(())
}

/// The first elements.
fn summary(t: &Stored) -> String {
    let Ok(tensor) = Tensor::from_bytes(t.dtype, &t.shape, &t.bytes) else { return String::new() };
    let shown: Vec<String> = (0..tensor.numel().min(8))
        .map(|i| match tensor.get(i) {
            pt2c_ops::Scalar::Float(x) => format!("{x:.6}"),
            pt2c_ops::Scalar::Int(x) => x.to_string(),
            pt2c_ops::Scalar::Bool(x) => x.to_string(),
            pt2c_ops::Scalar::Complex(x) => x.to_string(),
        })
        .collect();
    format!("[{}{}]", shown.join(", "), if tensor.numel() > 8 { ", …" } else { "" })
}

/// The tensors of `state`, each checked against the buffer of its name.
fn state_tensors(program: &Program, state: &Tensors) -> Result<IndexMap<String, Tensor>, Diagnostic> {
    let mut checked = IndexMap::new();
    for (name, stored) in state {
        let wrong = |why: String| Diagnostic::error(format!("state `{name}`: {why}"));
        let entry = program.tensors.get(name).ok_or_else(|| wrong("the program has no buffer of this name".into()))?;
        let tensor = stored.to_tensor(entry.fact.dtype).map_err(wrong)?;
        let shape: Vec<i64> = tensor.shape().iter().map(|&n| n as i64).collect();
        if Some(&shape) != entry.fact.static_shape().as_ref() {
            return Err(wrong(format!("it has the shape {shape:?}, the buffer is {}", entry.fact)));
        }
        checked.insert(name.clone(), tensor);
    }
    Ok(checked)
}

fn interpret(program: &Program, inputs: &[Input], state: &Tensors) -> Result<Results, Diagnostic> {
    let state = state_tensors(program, state)?;
    let outcome = interpret::run(program, inputs, &state).map_err(|e| Diagnostic::error(e.to_string()))?;
    let named = |(name, t): (&String, &Tensor)| (name.clone(), Stored::from_tensor(t));
    let mut inputs_after = Tensors::new();
    for (i, t) in &outcome.inputs {
        inputs_after.insert(leaves::key(*i), Stored::from_tensor(t));
    }
    Ok(Results {
        outputs: leaves::outputs(program, &outcome.outputs),
        inputs_after,
        state: outcome.buffers.iter().map(named).collect(),
    })
}

/// The library's values for the program's inputs: tensors and integers, without the constants.
pub fn values(inputs: &[Input]) -> Result<Vec<Value>, Diagnostic> {
    let mut values = Vec::new();
    for input in inputs {
        match input {
            Input::Tensor(t) => {
                let shape = t.shape().iter().map(|&n| n as i64).collect();
                let buffer = Buffer::new(crate::compile::abi_dtype(t.dtype())?, shape, &t.to_bytes());
                values.push(Value::Tensor(buffer.ok_or_else(|| Diagnostic::error("an input of the wrong size"))?));
            }
            Input::Int(i) => values.push(Value::Int(*i)),
            Input::Baked => {}
        }
    }
    Ok(values)
}

fn stored(buffer: &Buffer, dtype: DType) -> Stored {
    Stored::new(dtype, buffer.shape.iter().map(|&n| n as usize).collect(), buffer.bytes().to_vec())
}

fn execute(flags: &Flags, program: &Program, inputs: &[Input], state: &Tensors) -> Result<Results, Diagnostic> {
    let settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    let compiled = compile::compile(program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let objects = compiled.objects(&settings)?;
    let mut session =
        Session::new(&objects, &settings.name, flags.threads).map_err(compile::native_error)?;
    let names = session.state_names();
    for (name, tensor) in state_tensors(program, state)? {
        let fits = names.iter().position(|n| *n == name).is_none_or(|i| session.write_state(i, &tensor.to_bytes()));
        if !fits {
            return Err(Diagnostic::error(format!("state `{name}` has another size in the library")));
        }
    }
    let mut values = values(inputs)?;
    let outputs = session.call(&mut values).map_err(compile::native_error)?;
    // The library numbers its outputs by leaf position; constants among them are not its business.
    let mut results: Vec<Arg<Tensor>> = leaves::user_outputs(program).iter().map(|_| Arg::None).collect();
    let fail = |e: pt2c_ops::OpError| Diagnostic::error(e.to_string());
    let dtypes: Vec<DType> = leaves::user_outputs(program)
        .iter()
        .map(|i| match program.graph.outputs.get(*i) {
            Some(Arg::Tensor(v)) => program.graph.fact(*v).map_or(DType::I64, |f| f.dtype),
            _ => DType::I64,
        })
        .collect();
    for ((position, _), value) in session.positions(true).into_iter().zip(outputs) {
        let Some(slot) = results.get_mut(position as usize) else { continue };
        *slot = match value {
            Value::Int(i) => Arg::Int(pt2c_ir::dim::Dim::int(i)),
            Value::Tensor(b) => {
                let shape: Vec<usize> = b.shape.iter().map(|&n| n as usize).collect();
                let dtype = dtypes.get(position as usize).copied().unwrap_or(DType::F32);
                Arg::Tensor(Tensor::from_bytes(dtype, &shape, b.bytes()).map_err(fail)?)
            }
        };
    }
    let mut after = Tensors::new();
    let mutated: Vec<usize> = program
        .signature
        .outputs
        .iter()
        .filter_map(|o| if let pt2c_ir::OutputKind::InputMutation(i) = o.kind { Some(i) } else { None })
        .collect();
    let mut given = values.iter();
    for (i, input) in inputs.iter().enumerate() {
        let value = if matches!(input, Input::Baked) { None } else { given.next() };
        if let (Some(Value::Tensor(b)), Input::Tensor(t), true) = (value, input, mutated.contains(&i)) {
            after.insert(leaves::key(i), stored(b, t.dtype()));
        }
    }
    let mut state = Tensors::new();
    for (i, name) in names.iter().enumerate() {
        let dtype = program.tensors.get(name).map(|t| t.fact.dtype);
        if let (Some(buffer), Some(dtype)) = (session.read_state(i), dtype) {
            state.insert(name.clone(), stored(&buffer, dtype));
        }
    }
    Ok(Results { outputs: leaves::outputs(program, &results), inputs_after: after, state })
}
