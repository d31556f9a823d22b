//! Archives of every PyTorch that wrote `torch.export.save` files: they load without executing a pickle, and the
//! reference interpreter gets the values that that PyTorch computed.

mod common;

use common::models;
use indexmap::IndexMap;
use pt2c_ir::DType;
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, run};
use pt2c_pt2::{ExportedProgram, import};
use safetensors::SafeTensors;
use std::collections::BTreeSet;
use std::path::Path;

/// The recorded programs: name without `.pt2`.
fn recorded() -> Vec<String> {
    let files = std::fs::read_dir(models().join("versions")).expect("there");
    let names = files.map(|file| file.expect("readable").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".pt2")?.to_owned())).collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

fn load(name: &str) -> ExportedProgram {
    let path = models().join(format!("versions/{name}.pt2"));
    ExportedProgram::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn tensors(path: &Path) -> Option<Vec<Tensor>> {
    let bytes = std::fs::read(path).ok()?;
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut names = file.names();
    names.sort();
    let read = |name: &&str| {
        let view = file.tensor(name).expect("there");
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::I64 => DType::I64,
            other => panic!("{other:?}"),
        };
        Tensor::from_bytes(dtype, view.shape(), view.data()).expect("fits")
    };
    Some(names.iter().map(read).collect())
}

#[test]
fn all_versions_compute_what_they_computed() {
    let mut compared = BTreeSet::new();
    for name in recorded() {
        let program = import(&load(&name)).unwrap_or_else(|error| panic!("{name}: {error}")).program;
        for sample in ["", "1"] {
            let file = |what: &str| models().join(format!("versions/{name}.{what}{sample}.safetensors"));
            let (Some(inputs), Some(expected)) = (tensors(&file("inputs")), tensors(&file("outputs"))) else {
                continue;
            };
            let inputs: Vec<Input> = inputs.into_iter().map(Input::Tensor).collect();
            let outcome = run(&program, &inputs, &IndexMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(outcome.outputs.len(), expected.len(), "{name}");
            for (found, expected) in outcome.outputs.iter().zip(&expected) {
                let found = found.as_tensor().unwrap_or_else(|| panic!("{name}: no tensor"));
                assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{name}");
                for (a, b) in found.to_f64s().iter().zip(expected.to_f64s()) {
                    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{name}: {a} for {b}");
                }
            }
            let version = name.strip_prefix("torch_").and_then(|rest| rest.split('.').nth(1)).expect("a version");
            compared.insert(version.parse::<u32>().expect("a number"));
        }
    }
    // Every minor version since the first that had `torch.export.save`.
    assert_eq!(compared, (1..=15).collect());
}

#[test]
fn weights_of_older_archives_are_the_signatures() {
    for name in recorded() {
        let program = load(&name);
        for spec in &program.graph_signature().input_specs {
            if let Some(fqn) = spec.target() {
                let tensor = program.tensor(fqn).expect("no pickle").unwrap_or_else(|| panic!("{name}: {fqn}"));
                let parameter = matches!(spec, pt2c_pt2::schema::InputSpec::Parameter(_));
                assert_eq!(tensor.is_param, parameter, "{name}: {fqn}");
            }
        }
    }
}

#[test]
fn tied_weights_stay_tied_in_pickles() {
    for name in recorded().iter().filter(|name| name.ends_with(".tied")) {
        let program = load(name);
        let get = |fqn: &str| program.tensor(fqn).expect("no pickle").expect("there");
        assert!(get("out.weight").same_view(get("embed.weight")), "{name}");
        // A view of every second element of twelve: the storage stays whole.
        let view = get("scaling");
        assert_eq!((view.sizes.as_slice(), view.strides.as_slice()), (&[6][..], &[2][..]), "{name}");
        assert_eq!(view.storage.bytes.len(), 24, "{name}");
    }
}

#[test]
fn example_inputs_are_read() {
    let program = load("torch_2.7.1");
    let (args, kwargs) = program.sample_inputs().expect("readable").expect("there");
    assert_eq!((args.len(), kwargs.len()), (1, 0));
    assert!(matches!(&args[0], pt2c_pt2::torch_save::SavedValue::Tensor(t) if t.sizes == [2, 4]), "{args:?}");
}
