//! Programs that PyTorch wrote: they load, say what PyTorch says of them, and survive a round trip of their JSON.

mod common;

use common::{load, models};
use pt2c_pt2::ExportedProgram;
use pt2c_pt2::archive::Archive;
use pt2c_pt2::schema::{self, Argument, ConstantValue, InputSpec};

const ALL: [&str; 13] = [
    "m_bn_train",
    "m_ensemble.dyn",
    "m_kvcache_prefill.dyn",
    "m_kvcache_step",
    "m_lstm",
    "m_preproc_uint8",
    "m_pytree_io",
    "real_crepe_tiny.dyn",
    "real_mtcnn_onet.dyn",
    "real_silero_vad_16k.dyn",
    "hf_bert_tiny",
    "hf_gpt2_tiny",
    "hf_llama",
];

#[test]
fn all_load_and_their_json_round_trips() {
    for name in ALL {
        let program = load(name);
        assert_eq!(program.program.schema_version.minor, 20, "{name}");
        assert_eq!(program.program.verifiers, ["TRAINING"], "{name}");
        let json = serde_json::to_vec(&program.program).expect("writes");
        let again = schema::read_program("again", &json).expect("reads");
        assert_eq!(program.program, again, "{name}");
    }
}

#[test]
fn written_json_is_the_json_that_was_read() {
    for name in ALL {
        let archive = Archive::open(&models().join(format!("{name}.pt2"))).expect("opens");
        let bytes = archive.read_json("models/model.json").expect("there");
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let ours = serde_json::to_value(&load(name).program).expect("writes");
        assert_eq!(normal(value), normal(ours), "{name}");
    }
}

/// Numbers by value rather than by their digits (`1e-05` is `1e-5`), objects without order.
fn normal(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.as_i64().is_none() => Value::String(format!("{:?}", number.as_f64())),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(k, v)| (k, normal(v))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        other => other,
    }
}

#[test]
fn leaves_have_the_callers_names() {
    let program = load("m_pytree_io");
    assert_eq!(program.input_names(), [r#"d["a"]"#, r#"d["b"][0]"#, r#"d["b"][1]"#, "l[0]", "l[1]", "scale", "flag"]);
    assert_eq!(
        program.output_names(),
        [
            r#"output["out"][0]"#,
            r#"output["out"][1][0]"#,
            r#"output["n"]"#,
            r#"output["k"]"#,
            r#"output["f"]"#,
            r#"output["s"]"#,
            r#"output["in"]"#,
        ]
    );
    let InputSpec::ConstantInput(scale) = &program.graph_signature().input_specs[5] else {
        panic!("scale is a constant");
    };
    assert_eq!(scale.value, ConstantValue::AsFloat(schema::Float(2.0)));
    assert!(matches!(program.graph().outputs[6], Argument::AsTensor(ref t) if t.name == "l_1"));
}

#[test]
fn unregistered_output_classes_keep_their_field_names() {
    assert_eq!(load("hf_bert_tiny").output_names(), ["output.logits"]);
    assert_eq!(load("hf_llama").input_names(), ["input_ids", "attention_mask"]);
}

#[test]
fn non_persistent_buffers_are_found_among_the_constants() {
    let program = load("m_kvcache_step");
    let pos = program.tensor("pos").expect("no pickle").expect("there");
    assert_eq!((pos.sizes.len(), pos.storage.bytes.len()), (0, 8));
    assert!(program.state_dict.entries.get("pos").is_none());
    assert_eq!(program.graph_signature().inputs_to_buffers().count(), 3);
}

#[test]
fn tied_embeddings_share_their_storage() {
    // GPT-2 ties the output projection to the token embedding.
    let program = load("hf_gpt2_tiny");
    let get = |name: &str| program.tensor(name).expect("no pickle").expect("there");
    assert!(get("lm_head.weight").same_view(get("transformer.wte.weight")));
}

#[test]
fn weights_are_mapped_not_copied() {
    let archive = Archive::open(&models().join("real_crepe_tiny.dyn.pt2")).expect("opens");
    let program = ExportedProgram::from_archive(&archive, None).expect("loads");
    for spec in &program.graph_signature().input_specs {
        if let Some(fqn) = spec.target() {
            let tensor = program.tensor(fqn).expect("no pickle").expect("there");
            let again = archive.read(&tensor.storage.path).expect("there");
            assert_eq!(again.as_ptr(), tensor.storage.bytes.as_ptr(), "{fqn}");
        }
    }
}
