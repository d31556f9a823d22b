//! Weights as views of storages: strides, offsets, sharing and emptiness.

mod common;

use common::{Entries, payload, text};
use pt2c_pt2::ExportedProgram;
use serde_json::{Value, json};

/// Loads the sample with further weights beside `w`, over a storage whose f32 elements are their own indices.
fn with_weights(weights: &[(&str, Value)], elements: usize) -> ExportedProgram {
    let bytes: Vec<u8> = (0..elements).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let mut config = json!({"w": payload("weight_0", &[2, 3], &[3, 1], 0)});
    for (name, meta) in weights {
        config[name] = meta.clone();
    }
    Entries::sample()
        .with("data/weights/weight_0", bytes)
        .with("data/weights/weight_1", Vec::new())
        .with("data/weights/model_weights_config.json", text(&json!({"config": config})))
        .load()
        .expect("loads")
}

fn elements(program: &ExportedProgram, name: &str) -> Vec<f32> {
    let tensor = program.tensor(name).expect("no pickle").expect("there");
    let data = tensor.data(name).expect("f32");
    data.to_dense().chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().expect("four bytes"))).collect()
}

#[test]
fn strides_and_offsets_select_elements() {
    let program = with_weights(
        &[
            ("transposed", payload("weight_0", &[3, 2], &[1, 3], 0)),
            ("expanded", payload("weight_0", &[2, 2], &[0, 1], 10)),
            ("slice", payload("weight_0", &[3], &[1], 10)),
            ("column", payload("weight_0", &[3], &[6], 2)),
            ("scalar", payload("weight_0", &[], &[], 7)),
            ("empty", payload("weight_1", &[0, 5], &[5, 1], 0)),
        ],
        20,
    );
    assert_eq!(elements(&program, "w"), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(elements(&program, "transposed"), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(elements(&program, "expanded"), [10., 11., 10., 11.]);
    assert_eq!(elements(&program, "slice"), [10., 11., 12.]);
    assert_eq!(elements(&program, "column"), [2., 8., 14.]);
    assert_eq!(elements(&program, "scalar"), [7.]);
    assert_eq!(elements(&program, "empty"), [0f32; 0]);
}

#[test]
fn tied_weights_share_a_storage() {
    let program = with_weights(
        &[("tied", payload("weight_0", &[2, 3], &[3, 1], 0)), ("part", payload("weight_0", &[3], &[1], 3))],
        6,
    );
    let get = |name: &str| program.tensor(name).expect("no pickle").expect("there");
    assert!(get("w").same_view(get("tied")));
    assert!(!get("w").same_view(get("part")));
    assert!(std::sync::Arc::ptr_eq(&get("w").storage, &get("part").storage));
}
