//! Rules as text: they apply where they should and nowhere else, keep values, and say what is wrong with them.

use indexmap::IndexMap;
use pt2c_ir::{DType, Program};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, run};
use pt2c_passes::rules::{Table, run_decompositions};

fn program(text: &str) -> Program {
    pt2c_ir::text::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn ops(program: &Program) -> Vec<String> {
    program.graph.nodes().filter_map(|(_, node)| node.op()).map(str::to_string).collect()
}

/// relu(a + b), and a silu of it.
fn sample() -> Program {
    program(
        r#"program "sample"
input "x": tensor
input "y": tensor
output "z": user

graph(%x: f32[2, 3], %y: f32[2, 3]) {
  %add: f32[2, 3] = aten.add.Tensor(%x, %y, 1)
  %relu: f32[2, 3] = aten.relu.default(%add)
  %silu: f32[2, 3] = aten.silu.default(%relu)
  return %silu
}
"#,
    )
}

fn values(program: &Program) -> Vec<f64> {
    let tensor = |from: f64| {
        let values: Vec<f64> = (0..6).map(|i| from + f64::from(i) * 0.7).collect();
        Input::Tensor(Tensor::from_f64(DType::F32, &[2, 3], &values))
    };
    let outcome = run(program, &[tensor(-2.0), tensor(-0.5)], &IndexMap::new()).expect("runs");
    outcome.outputs[0].as_tensor().expect("a tensor").to_f64s()
}

fn table(text: &str) -> Table {
    Table::parse("test.rules", text).unwrap_or_else(|error| panic!("{error}"))
}

const SILU: &str = "rule aten.silu.default($x)\n  s = aten.sigmoid.default($x)\n  => aten.mul.Tensor($x, s)\n";

#[test]
fn a_rule_replaces_and_keeps_values() {
    let before = sample();
    let (after, applied) = run_decompositions(&before, &table(SILU)).expect("fits");
    assert_eq!(ops(&after), ["aten.add.Tensor", "aten.relu.default", "aten.sigmoid.default", "aten.mul.Tensor"]);
    assert_eq!(applied.len(), 1);
    assert_eq!((applied[0].node.as_str(), applied[0].rule.as_str()), ("silu", "test.rules:1"));
    for (a, b) in values(&before).iter().zip(values(&after)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn patterns_nest_and_dead_operands_go() {
    let rules = "rule aten.relu.default(aten.add.Tensor($a, $b))\n  => aten.maximum.default(aten.add.Tensor($a, $b), aten.zeros_like.default($a))\n";
    let before = sample();
    let (after, _) = run_decompositions(&before, &table(rules)).expect("fits");
    assert!(!ops(&after).contains(&"aten.relu.default".to_string()));
    assert_eq!(ops(&after).iter().filter(|op| *op == "aten.add.Tensor").count(), 1, "the old sum is dead");
    assert_eq!(values(&before), values(&after));
}

#[test]
fn guards_decide() {
    let applies = |guard: &str| {
        let rules = format!(
            "rule aten.silu.default($x)\n  where {guard}\n  => aten.mul.Tensor($x, aten.sigmoid.default($x))\n"
        );
        run_decompositions(&sample(), &table(&rules)).expect("fits").1.len() == 1
    };
    for guard in [
        "dtype($x) == f32",
        "dtype($x) in [f16, f32]",
        "rank($x) == 2 and size($x, -1) == 3",
        "not dtype($x) == f64",
        "1 < size($x, 0)",
        "numel($x) == 6 or rank($x) == 7",
    ] {
        assert!(applies(guard), "{guard}");
    }
    for guard in ["dtype($x) == f16", "size($x, 0) == 3", "rank($x) == 2 and rank($x) == 3", "dtype($x) in [f16, bf16]"]
    {
        assert!(!applies(guard), "{guard}");
    }
}

#[test]
fn arguments_left_out_must_be_defaults() {
    let rules = table("rule aten.add.Tensor($a, $b)\n  => aten.sub.Tensor($a, aten.neg.default($b))\n");
    assert_eq!(run_decompositions(&sample(), &rules).expect("fits").1.len(), 1);
    let scaled = program(
        "program \"s\"\ninput \"x\": tensor\noutput \"y\": user\n\ngraph(%x: f32[2]) {\n  %add: f32[2] = aten.add.Tensor(%x, %x, 3)\n  return %add\n}\n",
    );
    assert!(run_decompositions(&scaled, &rules).expect("fits").1.is_empty(), "alpha is 3");
}

#[test]
fn an_operator_can_be_kept() {
    let mut table = Table::default_decompositions().expect("reads");
    table.keep("aten.silu.default");
    let (after, _) = run_decompositions(&sample(), &table).expect("fits");
    assert!(ops(&after).contains(&"aten.silu.default".to_string()));
    let (after, _) = run_decompositions(&sample(), &Table::default_decompositions().expect("reads")).expect("fits");
    assert!(!ops(&after).contains(&"aten.silu.default".to_string()));
}

#[test]
fn custom_operators_can_be_given_a_meaning() {
    let before = program(
        "program \"c\"\ninput \"x\": tensor\noutput \"y\": user\n\ngraph(%x: f32[2]) {\n  %y: f32[2] = mylib.scaled_relu.default(%x, 2.5)\n  return %y\n}\n",
    );
    let rules = table("rule mylib.scaled_relu.default($x, $k)\n  => aten.mul.Tensor(aten.relu.default($x), $k)\n");
    let (after, _) = run_decompositions(&before, &rules).expect("fits");
    assert_eq!(ops(&after), ["aten.relu.default", "aten.mul.Tensor"]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("rule aten.silu.default($x)\n", "no result"),
        ("=> $x\n", "belongs to no rule"),
        ("rule aten.no_such.default($x)\n  => $x\n", "there is no operator"),
        ("rule aten.silu.default($x, 1)\n  => $x\n", "takes 1 arguments"),
        ("rule aten.silu.default($x)\n  => aten.mul.Tensor($x, other=$x, wrong=1)\n", "there is no argument"),
        ("rule aten.silu.default($x)\n  where dimension($x) == 1\n  => $x\n", "there is no function"),
        ("rule aten.silu.default($x)\n  => (($x)\n", "expected"),
        ("rule aten.silu.default($x)\n  => _\n", "stands in patterns only"),
        ("rule aten.silu.default($x) ; \n", "unexpected"),
    ];
    for (text, wanted) in cases {
        let error = Table::parse("f.rules", text).expect_err(text);
        assert!(error.message.contains(wanted), "{text}: {}", error.message);
        assert!(error.message.starts_with("f.rules:"), "{}", error.message);
    }
}

#[test]
fn a_result_of_another_type_is_refused() {
    for (rules, wanted) in [
        ("rule aten.silu.default($x)\n  => aten.sum.default($x)\n", "it gives f32[], the operator gives f32[2, 3]"),
        ("rule aten.silu.default($x)\n  => aten.mul.Tensor($x, $y)\n", "$y is not defined"),
        ("rule aten.silu.default($x)\n  => aten.silu.default(aten.neg.default($x))\n", "again and again"),
    ] {
        let error = run_decompositions(&sample(), &table(rules)).expect_err(rules);
        assert!(error.message.contains(wanted), "{}", error.message);
    }
}

/// The default table gives the recorded programs' own values.
#[test]
fn core_aten_reads() {
    let table = Table::default_decompositions().expect("reads");
    assert!(table.rules().len() > 40);
}
