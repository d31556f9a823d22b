//! `NAME.json` says what the header says.

mod common;

use pt2c_library::{Forward, Tree, WeightsPlacement, write_library};
use serde_json::{Value, json};

#[test]
fn the_interface_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = common::spec("m");
    let leaf = || Tree::default();
    let keys = Tree {
        type_name: Some("builtins.dict".into()),
        context: Some("[\"y\"]".into()),
        fields: Vec::new(),
        children: vec![leaf()],
    };
    spec.forward = Forward {
        arguments: vec!["x".into()],
        input_tree: Some(keys),
        output_tree: Some(leaf()),
        floats: [1].into(),
        ..Forward::default()
    };
    let files = write_library(&spec, Vec::new(), &common::weights(), WeightsPlacement::File, folder.path()).unwrap();
    let document: Value = serde_json::from_str(&std::fs::read_to_string(files.manifest).unwrap()).unwrap();
    assert_eq!((&document["library"], &document["weights_file"]), (&json!("m"), &json!("m.weights")));
    let document = &document["entries"][0];
    assert_eq!(document["inputs"][1]["name"], "batch_y");
    assert_eq!(document["inputs"][1]["shape"], json!(["2*s0 + 1"]));
    assert_eq!(document["inputs"][1]["mutated"], true);
    // x: data and two sizes; batch["y"]: data and one size.
    let words: Vec<&Value> = document["inputs"].as_array().unwrap().iter().map(|leaf| &leaf["word"]).collect();
    assert_eq!(words, [&json!(0), &json!(3), &json!(5)]);
    let kinds: Vec<&Value> = document["outputs"].as_array().unwrap().iter().map(|leaf| &leaf["kind"]).collect();
    assert_eq!(kinds, ["tensor", "float", "int"]);
    assert_eq!(
        document["constants"][0],
        json!({"path": "flag", "output": false, "position": 1, "kind": "bool", "value": true})
    );
    assert_eq!(document["symbols"][1], json!({"name": "s1", "min": 2, "max": null, "computed": false}));
    assert_eq!(document["states"][1]["path"], "bias");
    assert_eq!(document["arguments"], json!(["x"]));
    assert_eq!(document["input_tree"]["children"].as_array().unwrap().len(), 1);
    assert_eq!(document["capacity"], json!(["s0", "s1"]));
}
