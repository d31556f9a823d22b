//! Calling a program: compiled, through the library's own interface, or in the reference interpreter.

use crate::compile::{Compiled, Settings};
use crate::leaves;
use crate::tensors::{Stored, Tensors};
use indexmap::IndexMap;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Diagnostic, Program, TensorData};
use pt2c_native::library::{Instance, InstanceOptions, RunError, Value};
use pt2c_ops::interpret::{self, Input, InterpretError};
use pt2c_ops::{OpError, Tensor};
use pt2c_passes::custom::call_custom;
use pt2c_passes::decompose::decompose_program;

/// What a call returned.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Outputs by leaf position.
    pub outputs: Tensors,
    /// User inputs that the program changed, by leaf position.
    pub inputs_after: Tensors,
    /// Buffers that the program changed, by name.
    pub state: Tensors,
}

fn failed(error: RunError) -> Diagnostic {
    Diagnostic::error(error.to_string())
}

/// The compiled library, loaded into this process with its own context.
pub fn instance(compiled: &Compiled, settings: &Settings, threads: u32) -> Result<Instance, Diagnostic> {
    let options = InstanceOptions { threads, ..InstanceOptions::default() };
    Instance::new(compiled.objects(settings)?, &settings.name, &options).map_err(failed)
}

fn data(tensor: &Tensor) -> Result<TensorData, Diagnostic> {
    TensorData::dense(tensor.dtype(), tensor.shape().to_vec(), tensor.to_bytes())
        .map_err(|e| Diagnostic::error(e.to_string()))
}

/// The library's arguments for the program's inputs: tensors and integers, without the constants.
pub fn values(inputs: &[Input]) -> Result<Vec<Value>, Diagnostic> {
    let value = |input: &Input| match input {
        Input::Tensor(t) => Some(data(t).map(Value::Tensor)),
        Input::Int(i) => Some(Ok(Value::Int(*i))),
        Input::Baked => None,
    };
    inputs.iter().filter_map(value).collect()
}

fn tensor(data: &TensorData) -> Result<Tensor, Diagnostic> {
    Tensor::from_data(data).map_err(|e| Diagnostic::error(e.to_string()))
}

/// Calls the library; `state` replaces the content of buffers first.
pub fn call(
    program: &Program,
    instance: &mut Instance,
    inputs: &[Input],
    state: &Tensors,
) -> Result<Results, Diagnostic> {
    let buffers: Vec<String> = instance.state().map_err(failed)?.into_iter().map(|(name, _)| name).collect();
    for (name, tensor) in state_tensors(program, state)? {
        // A buffer that the program only reads is a constant of the library.
        if !buffers.contains(&name) {
            return Err(Diagnostic::error(format!("state `{name}`: the program does not change this buffer"))
                .note(format!("it changes: {}", buffers.join(", "))));
        }
        instance.set_state(&name, &data(&tensor)?).map_err(failed)?;
    }
    let finished = instance.run(&values(inputs)?).map_err(failed)?;
    let mut outputs: Vec<Arg<Tensor>> = leaves::user_outputs(program).iter().map(|_| Arg::None).collect();
    for (leaf, value) in instance.outputs().iter().zip(&finished.outputs) {
        if let Some(slot) = outputs.get_mut(leaf.position) {
            *slot = match value {
                Value::Int(i) => Arg::Int(Dim::int(*i)),
                Value::Tensor(t) => Arg::Tensor(tensor(t)?),
            };
        }
    }
    constants(program, &mut outputs);
    let mut inputs_after = Tensors::new();
    for (leaf, after) in instance.inputs().iter().zip(&finished.inputs_after) {
        if let Some(after) = after {
            inputs_after.insert(leaves::key(leaf.position), Stored::from_tensor(&tensor(after)?));
        }
    }
    let mut after = Tensors::new();
    for (name, content) in instance.state().map_err(failed)? {
        after.insert(name, Stored::from_tensor(&tensor(&content)?));
    }
    Ok(Results { outputs: leaves::outputs(program, &outputs), inputs_after, state: after })
}

/// Integer outputs that the exporter fixed: the library does not return them, the program does.
fn constants(program: &Program, outputs: &mut [Arg<Tensor>]) {
    for (slot, at) in outputs.iter_mut().zip(leaves::user_outputs(program)) {
        if let (Arg::None, Some(Arg::Int(d))) = (&*slot, program.graph.outputs.get(at)) {
            *slot = Arg::Int(d.clone());
        }
    }
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

/// Runs the program in the reference interpreter: PyTorch's operators themselves, or, where one has no evaluation of its
/// own (some of complex numbers), the primitives that all are made of.
pub fn oracle(program: &Program, inputs: &[Input], state: &Tensors) -> Result<Results, Diagnostic> {
    let state = state_tensors(program, state)?;
    let outcome = interpret::run(program, inputs, &state).or_else(|error| {
        if !matches!(&error, InterpretError::Node { error: OpError::Unsupported(_), .. }) {
            return Err(Diagnostic::error(error.to_string()));
        }
        let primitives = decompose_program(&call_custom(program)?)?;
        interpret::run(&primitives, inputs, &state).map_err(|e| Diagnostic::error(e.to_string()))
    })?;
    let mut inputs_after = Tensors::new();
    for (i, t) in &outcome.inputs {
        inputs_after.insert(leaves::key(*i), Stored::from_tensor(t));
    }
    Ok(Results {
        outputs: leaves::outputs(program, &outcome.outputs),
        inputs_after,
        state: outcome.buffers.iter().map(|(name, t)| (name.clone(), Stored::from_tensor(t))).collect(),
    })
}
