//! What PyTorch refuses in a call is an error here as well, natively and in the interpreter, that says what is wrong:
//! indices out of range, which are never read or written (`tests/models/record_bad_indices.py`), and sizes that break a
//! rule of the dynamic dimensions (`tests/models/record_dims.py`). A call that fails leaves the state as it was.

use pt2c::compile::{self, Settings};
use pt2c::tensors::Tensors;
use pt2c::{execute, leaves, tensors};
use pt2c_ir::TensorData;
use pt2c_native::Target;
use pt2c_native::library::{Instance, RunError};
use pt2c_ops::interpret::Input;
use std::path::{Path, PathBuf};

fn programs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(folder);
    let mut models: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the programs are in the repository")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "pt2"))
        .collect();
    models.sort();
    models
}

fn read(path: &Path) -> Tensors {
    tensors::read_all(&[path.to_string_lossy().into_owned()]).expect("a recorded file")
}

fn state(instance: &mut Instance) -> Vec<(String, TensorData)> {
    instance.state().expect("the state can be read")
}

/// That a program refuses bad inputs with an error that `fits` (by their number), and works at good ones afterwards.
fn check(model: &Path, fits: &dyn Fn(usize, &str) -> bool) -> Result<(), String> {
    let program = compile::open(model).map_err(|d| d.message)?.program;
    let settings = Settings::new("model", Target::from_flag("x86-64-v3").expect("a known processor"));
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {}).map_err(|d| d.message)?;
    let mut instance = execute::instance(&compiled, &settings, 1).map_err(|d| d.message)?;
    let beside = |kind: &str| model.with_extension("").to_string_lossy().into_owned() + &format!(".{kind}.safetensors");
    let given = |path: &str| leaves::inputs(&program, &read(Path::new(path))).map_err(|d| d.message);
    let good = given(&beside("inputs"))?;
    let run = |instance: &mut Instance, inputs: &[Input]| {
        instance.run(&execute::values(inputs).expect("values of the inputs"))
    };
    let initial = state(&mut instance);
    let expected = read(Path::new(&beside("outputs")));
    for number in 0.. {
        let path = beside(&format!("bad{number}"));
        if !Path::new(&path).exists() {
            break;
        }
        let bad = given(&path)?;
        match run(&mut instance, &bad) {
            Err(RunError::Library { message, .. }) if fits(number, &message) => {}
            Err(other) => return Err(format!("bad {number}: another error: {other}")),
            Ok(_) => return Err(format!("bad {number} is accepted")),
        }
        let after = state(&mut instance);
        for ((name, was), (_, is)) in initial.iter().zip(&after) {
            if was.to_dense() != is.to_dense() {
                return Err(format!("bad {number} changed the state {name}"));
            }
        }
        if execute::oracle(&program, &bad, &Tensors::new()).is_ok() {
            return Err(format!("bad {number} is accepted by the interpreter"));
        }
    }
    let results = execute::call(&program, &mut instance, &good, &Tensors::new()).map_err(|d| d.message)?;
    for (name, want) in &expected {
        let got = results.outputs.get(name).ok_or("an output is missing")?;
        let far = pt2c::verify::distance(want, got)?;
        if !far.within {
            return Err(format!("output {name} differs by {:.1e}", far.largest));
        }
    }
    Ok(())
}

#[test]
fn bad_indices_are_refused_and_leave_the_state_alone() {
    let models = programs("bad_indices");
    assert!(models.len() >= 16);
    let fits =
        |_, message: &str| ["index", "class values", "must be", "must satisfy"].iter().any(|w| message.contains(w));
    let failed: Vec<String> =
        models.iter().filter_map(|m| Some(format!("{}: {}", m.display(), check(m, &fits).err()?))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_broken_rule_of_a_dimension_is_named() {
    let models = programs("dims");
    let mut broken = 0;
    let mut failed = Vec::new();
    for model in &models {
        let rules = std::fs::read_to_string(model.with_extension("rules.json")).expect("the words of the errors");
        let rules: Vec<Vec<String>> = serde_json::from_str(&rules).expect("lists of words");
        broken += rules.len();
        let fits = |number: usize, message: &str| rules[number].iter().all(|w| message.contains(w.as_str()));
        failed.extend(check(model, &fits).err().map(|why| format!("{}: {why}", model.display())));
    }
    assert!(models.len() >= 17 && broken >= 27, "{} programs, {broken} broken calls", models.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
