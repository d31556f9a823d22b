//! Matching tensor files with the leaves of a program's signature.

use crate::tensors::{Stored, Tensors};
use pt2c_ir::{Arg, Diagnostic, InputKind, OutputKind, Program};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::Input;

/// The key of leaf number `i`.
pub fn key(i: usize) -> String {
    format!("{i:04}")
}

fn find<'t>(tensors: &'t Tensors, name: &str, i: usize) -> Option<&'t Stored> {
    tensors.get(name).or_else(|| tensors.get(&key(i)))
}

/// The inputs of a call from a file's tensors: by argument name, or by leaf position as four digits.
pub fn inputs(program: &Program, tensors: &Tensors) -> Result<Vec<Input>, Diagnostic> {
    let mut used = Vec::new();
    let mut result = Vec::new();
    let mut facts = program.graph.inputs().filter_map(|v| program.graph.fact(v));
    for (i, spec) in program.signature.inputs.iter().enumerate() {
        let given = find(tensors, &spec.name, i);
        used.extend([spec.name.clone(), key(i)]);
        let missing = || {
            let known: Vec<&str> = tensors.keys().map(String::as_str).collect();
            Diagnostic::error(format!("input `{}` (leaf {}) is not given", spec.name, key(i)))
                .note(format!("the file holds: {}", known.join(", ")))
        };
        let wrong = |why: String| Diagnostic::error(format!("input `{}`: {why}", spec.name));
        result.push(match &spec.kind {
            InputKind::Tensor => {
                let fact = facts.next().ok_or_else(missing)?;
                let tensor = given.ok_or_else(missing)?.to_tensor(fact.dtype).map_err(wrong)?;
                if tensor.rank() != fact.rank() {
                    return Err(wrong(format!("it has the shape {:?}, the program takes {fact}", tensor.shape())));
                }
                Input::Tensor(tensor)
            }
            InputKind::SymInt(_) => {
                let tensor = given.ok_or_else(missing)?.to_tensor(pt2c_ir::DType::I64).map_err(wrong)?;
                if tensor.numel() != 1 {
                    return Err(wrong("an integer is a 0-d int64 tensor".into()));
                }
                Input::Int(tensor.i64(0))
            }
            InputKind::Constant(value) => {
                if let Some(given) = given
                    && let Some(expected) = value.as_float()
                {
                    let tensor = given.to_tensor(given.dtype).map_err(wrong)?;
                    if tensor.numel() != 1 || tensor.f64(0) != expected {
                        return Err(wrong(format!("the program was exported with the constant {expected}"))
                            .help("export again with the other value, or make it a tensor"));
                    }
                }
                Input::Baked
            }
        });
    }
    if let Some(extra) = tensors.keys().find(|k| !used.contains(k)) {
        let names: Vec<&str> = program.signature.inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(Diagnostic::error(format!("the file's tensor `{extra}` is no input of the program"))
            .note(format!("the inputs are: {}", names.join(", "))));
    }
    Ok(result)
}

/// User outputs by leaf position, from the outputs as the program returns them.
pub fn outputs(program: &Program, results: &[Arg<Tensor>]) -> Tensors {
    let mut tensors = Tensors::new();
    for (i, result) in results.iter().enumerate() {
        if let Some(stored) = leaf(result) {
            tensors.insert(key(i), stored);
        }
    }
    debug_assert!(results.len() <= program.signature.outputs.len());
    tensors
}

/// A leaf as it is written: tensors, and symbolic integers as 0-d int64. Constants are left out.
fn leaf(result: &Arg<Tensor>) -> Option<Stored> {
    match result {
        Arg::Tensor(t) => Some(Stored::from_tensor(t)),
        Arg::Int(d) => {
            let value = d.as_int()?;
            Some(Stored::from_tensor(&Tensor::scalar(pt2c_ir::DType::I64, pt2c_ops::Scalar::Int(value))))
        }
        _ => None,
    }
}

/// Positions of the user outputs among the signature's outputs.
pub fn user_outputs(program: &Program) -> Vec<usize> {
    let effects = |k: &OutputKind| matches!(k, OutputKind::BufferMutation(_) | OutputKind::InputMutation(_));
    (0..program.signature.outputs.len()).filter(|i| !effects(&program.signature.outputs[*i].kind)).collect()
}
