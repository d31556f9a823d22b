//! Restored modules: the hierarchy and calls that the Python module has, and every kept module as a program of its own
//! that computes what the module computed inside the whole.

mod common;

use common::{load, models};
use indexmap::IndexMap;
use pt2c_ir::{DType, InputKind};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, run};
use pt2c_pt2::archive::Archive;
use pt2c_pt2::unflatten::UnflattenError;
use pt2c_pt2::{ExportedProgram, import};
use safetensors::SafeTensors;

const KEPT: [&str; 4] = ["blocks.0", "blocks.1", "blocks.0@1", "head"];

fn tensors(name: &str) -> IndexMap<usize, Tensor> {
    let bytes = std::fs::read(models().join(format!("modules/{name}.safetensors"))).expect(name);
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut read: Vec<(usize, Tensor)> = file
        .iter()
        .map(|(key, view)| {
            let tensor = Tensor::from_bytes(DType::F32, view.shape(), view.data()).expect("f32");
            (key.parse().expect("a position"), tensor)
        })
        .collect();
    read.sort_by_key(|(position, _)| *position);
    read.into_iter().collect()
}

#[test]
fn the_hierarchy_is_the_modules() {
    for name in ["modules", "modules_preserved"] {
        let modules = load(&format!("modules/{name}")).unflatten().expect("restores");
        let paths: Vec<&str> = modules.modules().map(|module| module.path.as_str()).collect();
        let expected = [
            "",
            "blocks",
            "blocks.0",
            "blocks.0.linear",
            "blocks.0.norm",
            "blocks.1",
            "blocks.1.linear",
            "blocks.1.norm",
            "head",
            "tied",
        ];
        assert_eq!(paths, expected, "{name}");
        let of = |path: &str| modules.modules().find(|module| module.path == path).expect(path).clone();
        assert_eq!(of("blocks.0").buffers, ["seen"]);
        assert_eq!(of("").buffers, ["scale"]);
        assert_eq!(of("blocks.0.linear").parameters, ["weight", "bias"]);
        // A list has no forward; a block is called twice, its norm twice in each call.
        assert_eq!((of("blocks").calls, of("blocks.0").calls, of("blocks.1").calls), (0, 2, 1));
        assert_eq!((of("blocks.0.norm").calls, of("blocks.1.norm").calls), (4, 2));
        assert!(of("blocks.0").class.ends_with("Block"));
    }
}

#[test]
fn consecutive_calls_of_one_module_stay_apart() {
    let program = load("modules/modules");
    let modules = program.unflatten().expect("restores");
    let names: Vec<String> = modules.calls().map(|call| call.name()).collect();
    assert!(names.contains(&"blocks.0.norm@3".to_owned()), "{names:?}");
    let call = modules.call("blocks.0@1").expect("there");
    let parent =
        |name: &str| modules.call(name).expect(name).parent.and_then(|p| modules.calls().nth(p)).map(|c| c.name());
    assert_eq!(parent("blocks.0.norm@3").as_deref(), Some("blocks.0@1"));
    assert_eq!(parent("blocks.0"), None);
    // Every node of an inner call is one of the outer call's.
    assert!(modules.call("blocks.0.linear@1").expect("there").nodes.iter().all(|node| call.nodes.contains(node)));
    // A buffer of the root that the block is given is an input of the call, its own parameters are not.
    let first = modules.call("blocks.0").expect("there");
    let inputs: Vec<&str> = first.inputs.iter().flat_map(|input| input.names()).collect();
    assert_eq!(inputs, ["x", "b_scale"]);
    assert_eq!(
        first.outputs.iter().flat_map(|output| output.names()).count(),
        2,
        "the sum of the first call is dropped"
    );
    assert!(matches!(modules.call("blocks.7"), Err(UnflattenError::NoSuchCall { .. })));
}

#[test]
fn kept_modules_are_programs_of_their_own() {
    let whole = load("modules/modules_preserved");
    for name in KEPT {
        let program = whole.submodule(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        program.lint().unwrap_or_else(|error| panic!("{name}: {error}"));
        let archive = Archive::from_bytes(pt2c_ir::Bytes::new(program.to_bytes().expect("writes"))).expect("opens");
        let program = ExportedProgram::from_archive(&archive, None).expect("loads");
        let imported = import(&program).unwrap_or_else(|error| panic!("{name}: {error}")).program;
        let recorded = tensors(&format!("modules_preserved.{name}.inputs"));
        let inputs: Vec<Input> = imported
            .signature
            .inputs
            .iter()
            .enumerate()
            .map(|(leaf, spec)| match (&spec.kind, recorded.get(&leaf)) {
                (InputKind::Tensor, Some(tensor)) => Input::Tensor(tensor.clone()),
                (InputKind::Constant(_), None) => Input::Baked,
                other => panic!("{name}: leaf {leaf} is {other:?}"),
            })
            .collect();
        let outcome = run(&imported, &inputs, &IndexMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = tensors(&format!("modules_preserved.{name}.outputs"));
        assert_eq!(outcome.outputs.len(), expected.len(), "{name}");
        for (found, expected) in outcome.outputs.iter().zip(expected.values()) {
            let found = found.as_tensor().expect("a tensor");
            assert_eq!(found.shape(), expected.shape(), "{name}");
            for (a, b) in found.to_f64s().iter().zip(expected.to_f64s()) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{name}: {a} for {b}");
            }
        }
        assert_eq!(program.out_spec, whole_spec(&whole, name), "{name}");
    }
}

/// The pytree of what a kept module returns, as the whole program records it.
fn whole_spec(whole: &ExportedProgram, name: &str) -> pt2c_pt2::TreeSpec {
    let entry = whole.module_call_graph().iter().find(|entry| entry.fqn == name).expect(name);
    let text = &entry.signature.as_ref().expect("kept").out_spec;
    pt2c_pt2::TreeSpec::parse("out_spec", text, &IndexMap::new()).expect("readable")
}

/// Every call of every recorded program that is one piece can stand alone.
#[test]
fn calls_of_recorded_programs_can_be_cut_out() {
    let mut cut = 0;
    for name in ["real_mtcnn_onet.dyn", "m_ensemble.dyn", "hf_bert_tiny", "modules/modules"] {
        let whole = load(name);
        for call in whole.unflatten().expect("restores").calls() {
            let program = match whole.submodule(&call.name()) {
                Ok(program) => program,
                Err(UnflattenError::NotConvex { .. } | UnflattenError::Export(_)) => continue,
                Err(error) => panic!("{name}: {}: {error}", call.name()),
            };
            program.lint().unwrap_or_else(|error| panic!("{name}: {}: {error}", call.name()));
            import(&program).unwrap_or_else(|error| panic!("{name}: {}: {error}", call.name()));
            cut += 1;
        }
    }
    assert!(cut > 30, "{cut}");
}
