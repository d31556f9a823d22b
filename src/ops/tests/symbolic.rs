//! Inference over symbolic sizes, against the shapes torch.export records for the same calls with dynamic dimensions.

use pt2c_ir::dim::{Dim, Scope, parse_plain};
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::infer;

fn dim(text: &str) -> Dim {
    parse_plain(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn tensor(shape: &[&str]) -> Arg<Fact> {
    Arg::Tensor(Fact::new(DType::F32, shape.iter().map(|d| dim(d)).collect::<Vec<_>>()))
}

fn ints(values: &[&str]) -> Arg<Fact> {
    Arg::Ints(values.iter().map(|d| dim(d)).collect())
}

fn int(value: &str) -> Arg<Fact> {
    Arg::Int(dim(value))
}

/// The shapes of all outputs must be provably these.
fn check(op: &str, args: Vec<Arg<Fact>>, expected: &[&[&str]]) {
    let mut scope = Scope::new();
    for symbol in ["s0", "s1", "s2"] {
        scope.declare(symbol, Some(2), None);
    }
    let facts = infer(op, &args, &scope).unwrap_or_else(|e| panic!("{op}: {e}"));
    assert_eq!(facts.len(), expected.len(), "{op}");
    for (fact, shape) in facts.iter().zip(expected) {
        let same = fact.rank() == shape.len()
            && fact.shape.iter().zip(*shape).all(|(got, want)| scope.prove_eq(got, &dim(want)).is_yes());
        assert!(same, "{op}: inferred {fact}, PyTorch records {shape:?}");
    }
}

#[test]
fn views() {
    let x = || tensor(&["s0", "s1", "8"]);
    check("aten.view.default", vec![x(), ints(&["s0", "-1"])], &[&["s0", "8*s1"]]);
    check("aten.reshape.default", vec![x(), ints(&["-1", "8"])], &[&["s0*s1", "8"]]);
    check("aten.view.default", vec![x(), ints(&["-1", "s1", "2", "4"])], &[&["s0", "s1", "2", "4"]]);
    check("aten.flatten.using_ints", vec![x(), int("0"), int("1")], &[&["s0*s1", "8"]]);
    check(
        "aten.expand.default",
        vec![x(), ints(&["3", "-1", "-1", "8"]), Arg::Bool(false)],
        &[&["3", "s0", "s1", "8"]],
    );
    check("aten.repeat.default", vec![x(), ints(&["2", "1", "3"])], &[&["2*s0", "s1", "24"]]);
}

#[test]
fn slices() {
    let x = || tensor(&["s0", "12"]);
    let slice = |dim: &str, start: Arg<Fact>, end: Arg<Fact>, step: &str, expected: &[&str]| {
        check("aten.slice.Tensor", vec![x(), int(dim), start, end, int(step)], &[expected]);
    };
    slice("0", int("1"), int("9223372036854775807"), "1", &["s0 - 1", "12"]);
    slice("0", Arg::None, int("-1"), "1", &["s0 - 1", "12"]);
    slice("0", Arg::None, Arg::None, "2", &["(s0 + 1)//2", "12"]);
    slice("1", int("-3"), int("9223372036854775807"), "1", &["s0", "3"]);
    slice("0", Arg::None, int("s0//2"), "1", &["s0//2", "12"]);
    check("aten.select.int", vec![x(), int("0"), int("-1")], &[&["12"]]);
    check("aten.chunk.default", vec![x(), int("2"), int("0")], &[&["(s0 + 1)//2", "12"], &["s0 - (s0 + 1)//2", "12"]]);
    check("aten.unfold.default", vec![x(), int("0"), int("2"), int("3")], &[&["(s0 - 2)//3 + 1", "12", "2"]]);
}

#[test]
fn windows() {
    let x = || tensor(&["s0", "3", "s1", "s2"]);
    let pair = |a: &str| ints(&[a, a]);
    check(
        "aten.conv2d.default",
        vec![x(), tensor(&["6", "3", "3", "3"]), Arg::None, pair("2"), pair("1"), pair("1"), int("1")],
        &[&["s0", "6", "(s1 - 1)//2 + 1", "(s2 - 1)//2 + 1"]],
    );
    check(
        "aten.conv2d.padding",
        vec![x(), tensor(&["6", "3", "3", "3"]), Arg::None, pair("1"), Arg::Str("same".into()), pair("1"), int("1")],
        &[&["s0", "6", "s1", "s2"]],
    );
    check(
        "aten.conv_transpose2d.input",
        vec![x(), tensor(&["3", "4", "2", "2"]), Arg::None, pair("2"), pair("0"), pair("0"), int("1"), pair("1")],
        &[&["s0", "4", "2*s1", "2*s2"]],
    );
    check(
        "aten.max_pool2d.default",
        vec![x(), pair("3"), pair("2"), pair("1"), pair("1"), Arg::Bool(false)],
        &[&["s0", "3", "(s1 - 1)//2 + 1", "(s2 - 1)//2 + 1"]],
    );
    check("aten.adaptive_avg_pool2d.default", vec![x(), pair("1")], &[&["s0", "3", "1", "1"]]);
    check(
        "aten.upsample_bilinear2d.vec",
        vec![x(), Arg::None, Arg::Bool(false), Arg::Floats(vec![2.0, 2.0])],
        &[&["s0", "3", "2*s1", "2*s2"]],
    );
}

#[test]
fn contractions() {
    let x = || tensor(&["s0", "s1", "8"]);
    check("aten.linear.default", vec![x(), tensor(&["4", "8"]), Arg::None], &[&["s0", "s1", "4"]]);
    check("aten.matmul.default", vec![x(), tensor(&["s0", "8", "2"])], &[&["s0", "s1", "2"]]);
    let einsum = |text: &str, other: Arg<Fact>, expected: &[&str]| {
        let (Arg::Tensor(x), Arg::Tensor(y)) = (x(), other) else { panic!("tensors") };
        let operands = Arg::Tensors(vec![Some(x), Some(y)]);
        check("aten.einsum.default", vec![Arg::Str(text.into()), operands, Arg::None], &[expected]);
    };
    einsum("bij,bjk->bki", tensor(&["s0", "8", "2"]), &["s0", "2", "s1"]);
    einsum("...d,de->...e", tensor(&["8", "4"]), &["s0", "s1", "4"]);
    let heads = |length: &str| tensor(&["s0", "4", length, "8"]);
    check(
        "aten.scaled_dot_product_attention.default",
        vec![
            heads("s1"),
            heads("s2"),
            heads("s2"),
            Arg::None,
            Arg::Float(0.0),
            Arg::Bool(false),
            Arg::None,
            Arg::Bool(false),
        ],
        &[&["s0", "4", "s1", "8"]],
    );
}
