//! Programs and weights with wrong numbers, names and types: each is refused at the value that is wrong.

mod common;

use common::{Entries, payload, program, text};
use pt2c_pt2::LoadError;
use pt2c_pt2::payload::PayloadError;
use pt2c_pt2::schema::SchemaError;
use serde_json::{Value, json};

fn schema_error(sample: Entries) -> SchemaError {
    match sample.load().expect_err("must be refused") {
        LoadError::Schema(error) => error,
        LoadError::Payload(PayloadError::Schema(error)) => error,
        other => panic!("expected a schema error, got {other:?}"),
    }
}

fn payload_error(sample: Entries) -> PayloadError {
    match sample.load().expect_err("must be refused") {
        LoadError::Payload(error) => error,
        other => panic!("expected a payload error, got {other:?}"),
    }
}

/// The path and reason of a wrong value.
fn wrong_value(edit: impl FnOnce(&mut Value)) -> (String, String) {
    match schema_error(Entries::sample().edit_program(edit)) {
        SchemaError::Value { path, reason, .. } => (path, reason),
        other => panic!("expected a wrong value, got {other:?}"),
    }
}

#[test]
fn wrong_types_are_located() {
    let node = "/graph_module/graph/nodes/0";
    let set = |pointer: String, value: Value| {
        move |program: &mut Value| *program.pointer_mut(&pointer).expect("there") = value
    };
    let (path, reason) = wrong_value(set(format!("{node}/inputs/1/arg"), json!({"as_int": "NaN"})));
    assert_eq!(path, "graph_module.graph.nodes[0].inputs[1].arg.as_int");
    assert!(reason.contains("NaN"), "{reason}");

    let (path, _) = wrong_value(set(format!("{node}/inputs/1/arg"), json!({"as_int": 1.5})));
    assert_eq!(path, "graph_module.graph.nodes[0].inputs[1].arg.as_int");

    let (path, reason) = wrong_value(set(format!("{node}/inputs/1/arg"), json!({"as_quaternion": 1})));
    assert_eq!(path, "graph_module.graph.nodes[0].inputs[1].arg");
    assert!(reason.contains("as_quaternion"), "{reason}");

    let (path, reason) = wrong_value(set(format!("{node}/inputs/1/arg"), json!({"as_float": "big"})));
    assert_eq!(path, "graph_module.graph.nodes[0].inputs[1].arg.as_float");
    assert!(reason.contains("not a float"), "{reason}");

    let (path, reason) = wrong_value(set("/graph_module/graph/tensor_values/x/dtype".into(), json!(99)));
    assert_eq!(path, "graph_module.graph.tensor_values.x.dtype");
    assert!(reason.contains("ScalarType number 99"), "{reason}");

    let (path, _) = wrong_value(set("/graph_module/graph/tensor_values/x/sizes/1".into(), json!({"as_int": null})));
    assert_eq!(path, "graph_module.graph.tensor_values.x.sizes[1].as_int");
}

#[test]
fn integers_beyond_64_bits_are_located() {
    let big = program().to_string().replacen(
        r#"{"as_tensor":{"name":"p_w"}},"kind""#,
        r#"{"as_int":123456789012345678901234567890},"kind""#,
        1,
    );
    let error = schema_error(Entries::sample().with("models/model.json", big));
    assert!(
        matches!(&error, SchemaError::Value { path, .. } | SchemaError::Syntax { reason: path, .. } if !path.is_empty()),
        "{error:?}"
    );
}

#[test]
fn a_literal_nan_is_no_json() {
    let text = program().to_string().replacen("\"major\":8", "\"major\":NaN", 1);
    let error = schema_error(Entries::sample().with("models/model.json", text));
    assert!(matches!(error, SchemaError::Syntax { .. }), "{error:?}");
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    let error = schema_error(Entries::sample().with("models/model.json", deep));
    assert!(matches!(&error, SchemaError::Syntax { reason, .. } if reason.contains("recursion")), "{error:?}");

    let mut spec = json!({"type": null, "context": null, "children_spec": []});
    for _ in 0..80 {
        spec = json!({"type": "builtins.list", "context": "null", "children_spec": [spec]});
    }
    let error = schema_error(Entries::sample().edit_program(|p| {
        p["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json!(json!([1, spec]).to_string());
    }));
    assert!(error.to_string().contains("out_spec"), "{error}");
}

#[test]
fn a_repeated_key_is_refused() {
    let text =
        String::from_utf8(text(&json!({"config": {"w": payload("weight_0", &[2, 3], &[3, 1], 0)}}))).expect("UTF-8");
    let twice = text.replacen("{\"w\"", &format!("{{\"w\":{},\"w\"", payload("weight_0", &[1], &[1], 0)), 1);
    let error = schema_error(Entries::sample().with("data/weights/model_weights_config.json", twice));
    assert!(error.to_string().contains("occurs twice"), "{error}");
}

#[test]
fn other_schema_versions_are_refused() {
    for (version, expected) in
        [(json!({"major": 9, "minor": 0}), "9.0"), (json!({"major": -1, "minor": 0}), "-1.0"), (json!(9), "9.0")]
    {
        let error = schema_error(Entries::sample().edit_program(|p| p["schema_version"] = version));
        assert!(matches!(&error, SchemaError::Version { found, .. } if found == expected), "{error:?}");
    }
}

#[test]
fn unknown_fields_and_missing_optional_ones_are_no_errors() {
    Entries::sample()
        .edit_program(|p| {
            p["invented"] = json!({"a": [1, 2.5, null]});
            let node = &mut p["graph_module"]["graph"]["nodes"][0];
            node["invented"] = json!(1);
            for optional in ["name", "metadata", "is_hop_single_tensor_return"] {
                node.as_object_mut().expect("object").remove(optional);
            }
            let root = p.as_object_mut().expect("object");
            for optional in ["guards_code", "verifiers", "torch_version"] {
                root.remove(optional);
            }
        })
        .load()
        .expect("loads");
}

#[test]
fn a_signature_that_does_not_fit_is_located() {
    let (path, _) = wrong_value(|p| {
        p["graph_module"]["signature"]["input_specs"].as_array_mut().expect("array").pop();
    });
    assert_eq!(path, "graph_module.signature.input_specs");
    let (path, _) = wrong_value(|p| {
        p["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"] = json!("nobody");
    });
    assert_eq!(path, "graph_module.signature.output_specs[0]");
    let (path, reason) = wrong_value(|p| {
        p["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] =
            json!(r#"[1, {"type": "builtins.tuple", "context": "null", "children_spec": []}]"#);
    });
    assert!(path.ends_with("out_spec") && reason.contains("0 leaves"), "{path}: {reason}");
}

#[test]
fn weights_beyond_their_file_are_refused() {
    for (sizes, strides, offset) in [
        (vec![2, 4], vec![4, 1], 0),
        (vec![2, 3], vec![4, 1], 0),
        (vec![2, 3], vec![3, 1], 1),
        (vec![1], vec![1], i64::MAX),
        (vec![2], vec![i64::MAX], 0),
        (vec![3; 60], vec![0; 60], 0),
    ] {
        let error = payload_error(Entries::sample().with_weight(payload("weight_0", &sizes, &strides, offset)));
        assert!(
            matches!(error, PayloadError::OutOfBounds { .. } | PayloadError::BadNumber { field: "sizes", .. }),
            "{error:?}"
        );
    }
}

#[test]
fn numbers_that_make_no_tensor_are_refused() {
    let cases = [
        (payload("weight_0", &[-2, 3], &[3, 1], 0), "sizes"),
        (payload("weight_0", &[2, 3], &[3, -1], 0), "strides"),
        (payload("weight_0", &[2, 3], &[3, 1], -1), "storage_offset"),
        (payload("weight_0", &[2, 3], &[3], 0), "strides"),
        (payload("weight_0", &[1; 65], &[1; 65], 0), "sizes"),
        (payload("weight_0", &[i64::MAX, i64::MAX], &[0, 0], 0), "sizes"),
        (payload("weight_0", &[0, i64::MAX, i64::MAX], &[0, 0, 0], 0), "sizes"),
    ];
    for (meta, wanted) in cases {
        let error = payload_error(Entries::sample().with_weight(meta));
        assert!(matches!(&error, PayloadError::BadNumber { field, .. } if *field == wanted), "{error:?}");
    }
    let mut symbolic = payload("weight_0", &[2, 3], &[3, 1], 0);
    symbolic["tensor_meta"]["sizes"][0] = json!({"as_expr": {"expr_str": "s0", "hint": null}});
    let error = payload_error(Entries::sample().with_weight(symbolic));
    assert!(matches!(error, PayloadError::BadNumber { field: "sizes", .. }));
}

#[test]
fn payloads_without_meaning_are_refused() {
    let edit = |key: &str, value: Value| {
        let mut meta = payload("weight_0", &[2, 3], &[3, 1], 0);
        meta[key] = value;
        Entries::sample().with_weight(meta)
    };
    assert!(matches!(payload_error(edit("tensor_meta", Value::Null)), PayloadError::NoMeta { .. }));
    assert!(matches!(payload_error(edit("path_name", json!("../models/model.json"))), PayloadError::BadPath { .. }));
    assert!(matches!(payload_error(edit("path_name", json!("weight_7"))), PayloadError::MissingFile { .. }));

    let mut sparse = payload("weight_0", &[2, 3], &[3, 1], 0);
    sparse["tensor_meta"]["layout"] = json!(1);
    assert!(matches!(payload_error(Entries::sample().with_weight(sparse)), PayloadError::Unsupported { .. }));
    let mut unknown = payload("weight_0", &[2, 3], &[3, 1], 0);
    unknown["tensor_meta"]["dtype"] = json!(0);
    assert!(matches!(payload_error(Entries::sample().with_weight(unknown)), PayloadError::Unsupported { .. }));

    // A pickle is kept, and refused when its tensor is asked for.
    let program = edit("use_pickle", json!(true)).load().expect("kept");
    assert!(matches!(program.tensor("w"), Err(PayloadError::Pickled { fqn }) if fqn == "w"));

    let empty = Entries::sample().with("data/weights/model_weights_config.json", text(&json!({"config": {}})));
    assert!(matches!(payload_error(empty), PayloadError::MissingTensor { kind: "parameter", fqn } if fqn == "w"));
}
