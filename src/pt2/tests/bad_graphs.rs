//! Graphs that contradict themselves or write where nothing may be written: typed errors with the node and the
//! user's line. And thousands of damaged programs: whatever happens, nothing panics.

mod common;

use common::{Entries, load, tensor_meta};
use pt2c_ir::Diagnostic;
use pt2c_pt2::schema::{self};
use pt2c_pt2::{ExportedProgram, ImportError, ImportErrorKind, import};
use serde_json::{Value, json};

fn tensor(name: &str) -> Value {
    json!({"as_tensor": {"name": name}})
}

fn input(name: &str, arg: Value) -> Value {
    json!({"name": name, "arg": arg, "kind": 1})
}

/// A node with one result and a stack trace.
fn node(target: &str, inputs: Vec<Value>, output: &str) -> Value {
    json!({
        "target": target, "inputs": inputs, "outputs": [tensor(output)], "name": output,
        "metadata": {"stack_trace": "File \"model.py\", line 7, in forward\n    x.relu_()"}
    })
}

/// Imports the sample with other nodes; `sizes` gives the new values' sizes.
fn with_nodes(nodes: Vec<Value>, sizes: &[(&str, &[i64])]) -> Result<ExportedProgram, ImportError> {
    let exported = Entries::sample()
        .edit_program(|p| {
            let graph = &mut p["graph_module"]["graph"];
            graph["nodes"] = Value::Array(nodes);
            for (name, sizes) in sizes {
                let mut strides = vec![1; sizes.len()];
                for i in (1..sizes.len()).rev() {
                    strides[i - 1] = strides[i] * sizes[i];
                }
                graph["tensor_values"][name] = tensor_meta(sizes, &strides, 0);
            }
        })
        .load()
        .expect("loads");
    import(&exported).map(|_| exported)
}

fn refused(nodes: Vec<Value>, sizes: &[(&str, &[i64])]) -> ImportErrorKind {
    let error = with_nodes(nodes, sizes).expect_err("must be refused");
    assert_eq!(error.location.as_ref().map(|l| l.line), Some(7), "{error:?}");
    error.kind
}

fn add(a: &str, b: &str, output: &str) -> Value {
    node("torch.ops.aten.add.Tensor", vec![input("self", tensor(a)), input("other", tensor(b))], output)
}

#[test]
fn uses_and_definitions_are_checked() {
    assert!(matches!(
        refused(vec![add("x", "ghost", "add")], &[]),
        ImportErrorKind::Undefined { name } if name == "ghost"
    ));
    // A cycle: each node uses the other's result.
    assert!(matches!(
        refused(vec![add("x", "b", "a"), add("x", "a", "b"), add("a", "b", "add")], &[("a", &[2, 3]), ("b", &[2, 3])]),
        ImportErrorKind::Undefined { name } if name == "b"
    ));
    assert!(matches!(
        refused(vec![add("x", "x", "add"), add("x", "x", "add")], &[]),
        ImportErrorKind::Redefined { name } if name == "add"
    ));
    assert!(matches!(
        refused(vec![add("x", "x", "y"), add("x", "y", "add")], &[]),
        ImportErrorKind::Untyped { name } if name == "y"
    ));
}

#[test]
fn arguments_are_checked_against_the_schema() {
    let relu = |inputs| vec![node("torch.ops.aten.relu.default", inputs, "add")];
    assert!(matches!(
        refused(relu(vec![input("self", tensor("x")), input("slope", json!({"as_float": 0.1}))]), &[]),
        ImportErrorKind::Argument { argument, .. } if argument == "slope"
    ));
    assert!(matches!(
        refused(relu(vec![]), &[]),
        ImportErrorKind::Argument { argument, reason } if argument == "self" && reason.contains("missing")
    ));
    assert!(matches!(
        refused(relu(vec![input("self", tensor("x")), input("self", tensor("x"))]), &[]),
        ImportErrorKind::Argument { reason, .. } if reason.contains("twice")
    ));
}

#[test]
fn writes_without_meaning_are_refused() {
    let copy =
        |target: &str, output: &str| node("torch.ops.aten.relu_.default", vec![input("self", tensor(target))], output);
    let sizes = json!({"as_ints": [4, 2, 3]});
    let expand = node("torch.ops.aten.expand.default", vec![input("self", tensor("x")), input("size", sizes)], "wide");
    let kind = refused(
        vec![expand.clone(), copy("wide", "w"), add("x", "x", "add")],
        &[("wide", &[4, 2, 3]), ("w", &[4, 2, 3])],
    );
    assert!(matches!(&kind, ImportErrorKind::Aliasing { reason } if reason.contains("expanded")), "{kind:?}");

    let ints = |name: &str, values: &[i64]| input(name, json!({"as_ints": values}));
    let strided = node(
        "torch.ops.aten.as_strided.default",
        vec![input("self", tensor("x")), ints("size", &[2, 2]), ints("stride", &[1, 1])],
        "s",
    );
    let kind = refused(vec![strided.clone(), copy("s", "w"), add("x", "x", "add")], &[("s", &[2, 2]), ("w", &[2, 2])]);
    assert!(matches!(&kind, ImportErrorKind::Aliasing { reason } if reason.contains("as_strided")), "{kind:?}");

    // Nobody writes: then it does not matter what it is a view of.
    with_nodes(vec![strided, add("x", "x", "add")], &[("s", &[2, 2])]).expect("imports");

    // PyTorch would give the tensor another size.
    let out = node(
        "torch.ops.aten.add.out",
        vec![input("self", tensor("wide")), input("other", tensor("x")), input("out", tensor("p_w"))],
        "add",
    );
    let kind = refused(vec![expand, out], &[("wide", &[4, 2, 3])]);
    assert!(matches!(kind, ImportErrorKind::Unsupported { .. }), "{kind:?}");
}

#[test]
fn the_diagnostic_names_the_users_line() {
    let relu = node("torch.ops.aten.relu_.default", vec![], "add");
    let error = with_nodes(vec![relu], &[]).expect_err("refused");
    let text = Diagnostic::from(error).to_string();
    assert!(text.contains("model.py:7 in forward: x.relu_()"), "{text}");
    assert!(text.contains("node \"add\" (aten.relu_.default)"), "{text}");
}

#[test]
fn weights_that_contradict_the_graph_are_refused() {
    let exported = Entries::sample()
        .edit_program(|p| p["graph_module"]["graph"]["tensor_values"]["p_w"] = tensor_meta(&[3, 2], &[2, 1], 0))
        .load()
        .expect("loads");
    let error = import(&exported).expect_err("refused");
    assert!(matches!(error.kind, ImportErrorKind::WeightMismatch { fqn, .. } if fqn == "w"));
}

/// A small generator of repeatable numbers (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The nth value of a document, depth first.
fn nth<'v>(value: &'v mut Value, n: &mut usize) -> Option<&'v mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, n)),
        Value::Object(fields) => fields.values_mut().find_map(|item| nth(item, n)),
        _ => None,
    }
}

#[test]
fn damaged_programs_never_panic() {
    for name in
        ["m_kvcache_prefill.dyn", "m_bn_train", "effects/views_of_buffers", "effects/dynamic", "effects/no_grad"]
    {
        let exported = load(name);
        let original = serde_json::to_value(&exported.program).expect("writes");
        let total = count(&original);
        let mut random = Random(7);
        let mut imported = 0;
        for _ in 0..800 {
            let mut damaged = original.clone();
            for _ in 0..1 + random.below(2) {
                let other = nth(&mut damaged, &mut random.below(total).clone()).cloned().unwrap_or(Value::Null);
                let replacement = match random.below(8) {
                    0 => Value::Null,
                    1 => json!(-1),
                    2 => json!(i64::MAX),
                    3 => json!([]),
                    4 => json!("Symbol('s99', integer=True)"),
                    5 => json!(0),
                    // A part of the document in another place: the likeliest way to fool a reader.
                    _ => other,
                };
                if let Some(slot) = nth(&mut damaged, &mut random.below(total)) {
                    *slot = replacement;
                }
            }
            let bytes = damaged.to_string().into_bytes();
            let Ok(program) = schema::read_program("damaged", &bytes) else { continue };
            if program.graph_module.signature.check("damaged", &program.graph_module.graph).is_err() {
                continue;
            }
            let program = ExportedProgram { program, ..exported.clone() };
            imported += usize::from(import(&program).is_ok());
        }
        assert!(imported > 0, "{name}: some damage is harmless");
    }
}
