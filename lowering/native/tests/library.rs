//! A library loaded into this process: the hand-written model of `lowering/library/tests/c`, called through its descriptor.

use std::path::Path;
use std::process::Command;

use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, TensorData};
use pt2c_library::{
    Buffer, CompiledObject, Leaf, LibrarySpec, Stage, State, Symbol, Weights, WeightsPlacement, link_objects,
};
use pt2c_native::library::{Instance, InstanceOptions, RunError, Value};

fn floats(sizes: &[usize], values: &[f32]) -> TensorData {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorData::dense(DType::F32, sizes.to_vec(), bytes).unwrap()
}

fn read(tensor: &TensorData) -> (Vec<usize>, Vec<f32>) {
    let values = tensor.to_dense().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (tensor.sizes().to_vec(), values)
}

fn objects() -> Vec<CompiledObject> {
    let folder = std::env::temp_dir().join(format!("pt2c-library-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let object = folder.join("model.o");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../library/tests/c/model.c");
    let status = Command::new("cc").args(["-c", "-O2", "-fPIC", "-DMODEL=toy", "-o"]).arg(&object).arg(source).status();
    assert!(status.unwrap().success());
    let code = CompiledObject { name: "model.o".into(), bytes: std::fs::read(&object).unwrap() };
    std::fs::remove_dir_all(&folder).unwrap();

    let rows = || Dim::sym("s0");
    let int = Dim::int;
    let bytes = |values: [f32; 4]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut weights = Weights::default();
    weights.push(bytes([1.0, 2.0, 3.0, 4.0]));
    let bias = weights.push(bytes([10.0, 20.0, 30.0, 40.0]));
    let mut y = Leaf::tensor("y", 2, DType::F32, vec![rows() * int(2) + int(1)]);
    y.mutated = true;
    let mut positive = Leaf::tensor("positive", 1, DType::F32, vec![Dim::sym("u0")]);
    positive.most = Some(rows() * int(4));
    let symbol = |name: &str, computed| Symbol { name: name.into(), min: 0, max: i64::MAX, computed };
    let spec = LibrarySpec {
        name: "toy".into(),
        inputs: vec![Leaf::tensor("x", 0, DType::F32, vec![rows(), int(4)]), y, Leaf::int("n", 3, Dim::sym("s1"))],
        outputs: vec![
            Leaf::tensor("out", 0, DType::F32, vec![rows(), int(4)]),
            positive,
            Leaf::int("total", 2, rows() * int(4) + Dim::sym("s1")),
        ],
        symbols: vec![symbol("s0", false), symbol("s1", false), symbol("u0", true)],
        states: vec![
            State { path: "calls".into(), dtype: DType::I64, shape: vec![], initial: None },
            State { path: "bias".into(), dtype: DType::F32, shape: vec![4], initial: Some(bias) },
        ],
        buffers: vec![
            Buffer::Input(0),
            Buffer::Input(1),
            Buffer::Output(0),
            Buffer::Arena { offset: int(0), size: rows() * int(16) },
            Buffer::Arena { offset: rows() * int(64), size: rows() * int(16) },
            Buffer::Weights { offset: 0, size: 16 },
            Buffer::State(0),
            Buffer::State(1),
            Buffer::Output(1),
        ],
        stages: vec![Stage { symbol: 2, arena: int(0) }],
        arena_size: Some(rows() * int(80)),
        messages: vec!["x holds NaN at element {}".into()],
        ..LibrarySpec::default()
    };
    link_objects(&spec, vec![code], &weights, WeightsPlacement::Embedded).unwrap()
}

#[test]
fn a_library_runs_in_this_process() {
    let mut toy = Instance::new(objects(), "toy", &InstanceOptions { threads: 2, weights_file: None }).unwrap();
    assert_eq!(toy.inputs().iter().map(|leaf| leaf.path.clone()).collect::<Vec<_>>(), ["x", "y", "n"]);
    let arguments = |first: f32| {
        vec![
            Value::Tensor(floats(&[2, 4], &[first, -2.0, 3.0, -4.0, 5.0, 6.0, -7.0, 8.0])),
            Value::Tensor(floats(&[5], &[1.0, 2.0, 3.0, 4.0, 5.0])),
            Value::Int(7),
        ]
    };
    let finished = toy.run(&arguments(1.0)).unwrap();
    let [Value::Tensor(out), Value::Tensor(positive), Value::Int(15)] = finished.outputs.as_slice() else {
        panic!("{:?}", finished.outputs);
    };
    assert_eq!(read(out), (vec![2, 4], vec![11.0, 16.0, 39.0, 24.0, 15.0, 32.0, 9.0, 72.0]));
    assert_eq!(read(positive), (vec![5], vec![1.0, 3.0, 5.0, 6.0, 8.0]));
    assert!(finished.inputs_after[0].is_none());
    assert_eq!(read(finished.inputs_after[1].as_ref().unwrap()).1, [2.0, 2.0, 3.0, 4.0, 5.0]);

    toy.set_state("bias", &floats(&[4], &[100.0; 4])).unwrap();
    let finished = toy.run(&arguments(1.0)).unwrap();
    let Value::Tensor(out) = &finished.outputs[0] else { panic!() };
    assert_eq!(read(out).1[0], 101.0);
    let state = toy.state().unwrap();
    assert_eq!((state[0].0.as_str(), &*state[0].1.to_dense()), ("calls", &2i64.to_le_bytes()[..]));
    assert!(matches!(toy.set_state("bias", &floats(&[3], &[0.0; 3])), Err(RunError::State { .. })));

    let error = toy.run(&arguments(f32::NAN)).unwrap_err();
    assert_eq!(error.to_string(), "x holds NaN at element 0");
    let mut wrong = arguments(1.0);
    wrong[0] = Value::Tensor(floats(&[2, 3], &[0.0; 6]));
    assert_eq!(toy.run(&wrong).unwrap_err().to_string(), "input \"x\": dimension 1 is 3, but must be 4");
    wrong[0] = Value::Int(1);
    assert!(matches!(toy.run(&wrong), Err(RunError::Input { .. })));
}
