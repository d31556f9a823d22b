//! Whole programs: decomposition, folding into convolutions, effects, determinism, limits, speed.

use crate::build::*;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Location};
use pt2c_ops::Tensor;
use pt2c_passes::decompose::decompose_program;
use pt2c_passes::fold_constants::fold_constants;
use pt2c_passes::rewrite::{Options, explain, rewrite, rewrite_with_log, rules};

const F: DType = DType::F32;

fn ones(n: usize) -> Arg {
    dims(&vec![1; n])
}

/// conv2d with bias → batch_norm at inference → relu by hand.
fn conv_block(p: &mut P, x: pt2c_ir::ValueId, channels: i64) -> pt2c_ir::ValueId {
    let from = p.shape(x)[1];
    let (w, b) = (p.weight(&[channels, from, 3, 3]), p.weight(&[channels]));
    let args = vec![t(x), t(w), t(b), ones(2), ones(2), ones(2), Arg::Int(Dim::ONE)];
    let y = p.call("aten.conv2d.default", args);
    let (weight, bias, mean, var) =
        (p.weight(&[channels]), p.weight(&[channels]), p.weight(&[channels]), p.positive(&[channels]));
    let mut args = vec![t(y), t(weight), t(bias), t(mean), t(var)];
    args.extend([Arg::Bool(false), Arg::Float(0.1), Arg::Float(1e-5), Arg::Bool(true)]);
    let y = p.call("aten.batch_norm.default", args);
    let zero = p.number(0.0);
    p.binary("max", y, zero)
}

#[test]
fn batch_norm_folds_into_the_convolution() {
    let mut p = P::new();
    let x = p.input(F, &[2, 3, 6, 6]);
    let y = conv_block(&mut p, x, 4);
    let y = conv_block(&mut p, y, 5);
    p.out(y);
    let (rewritten, _) = check(&p.program);
    let folded = fold_constants(&rewritten).unwrap();
    let heavy: Vec<String> =
        ops(&folded).into_iter().filter(|o| !matches!(o.as_str(), "constant" | "reshape")).collect();
    assert_eq!(heavy, ["conv", "add", "max", "conv", "add", "max"]);
    for (a, b) in results(&p.program, 5).iter().zip(&results(&folded, 5)) {
        assert!(close(a, b));
    }
    // The straight-line expansion says the same.
    for (a, b) in results(&decompose_program(&p.program).unwrap(), 5).iter().zip(&results(&folded, 5)) {
        assert!(close(a, b));
    }
}

#[test]
fn only_primitives_remain_and_equal_calls_are_one() {
    let mut p = P::new();
    let x = p.input(F, &[2, 4]);
    let softmax = |p: &mut P| p.call("aten.softmax.int", vec![t(x), Arg::Int(Dim::ONE), Arg::None]);
    let (a, b) = (softmax(&mut p), softmax(&mut p));
    let y = p.binary("add", a, b);
    p.out(y);
    let (rewritten, _) = check(&p.program);
    assert!(rewritten.graph.nodes().all(|(_, n)| n.op().is_none_or(|op| op.starts_with("prim."))));
    assert_eq!(count(&rewritten, "exp"), 1);
}

#[test]
fn random_numbers_and_effects_stay_apart() {
    let mut p = P::new();
    let x = p.input(DType::Bool, &[]);
    let random = |p: &mut P| {
        let args = vec![dims(&[3]), Arg::DType(F), Arg::Str("uniform".into()), Arg::Float(0.0), Arg::Float(1.0)];
        p.call("prim.random", args)
    };
    let (a, b) = (random(&mut p), random(&mut p));
    let y = p.binary("sub", a, b);
    for _ in 0..2 {
        p.calls("prim.assert", vec![t(x), Arg::Str("must hold".into())]);
    }
    p.out(y);
    let rewritten = rewrite(&p.program).unwrap();
    assert_eq!(count(&rewritten, "random"), 2);
    assert_eq!(count(&rewritten, "assert"), 2);
}

#[test]
fn several_outputs() {
    let mut p = P::new();
    let x = p.input(F, &[3, 5]);
    let args = vec![t(x), Arg::Int(Dim::int(2)), Arg::Int(Dim::ONE), Arg::Bool(true), Arg::Bool(true)];
    let out = p.calls("prim.topk", args);
    let one = p.number(1.0);
    let y = p.binary("mul", out[0], one);
    p.out(y);
    p.out(out[1]);
    assert_eq!(ops(&check(&p.program).0), ["topk"]);
}

#[test]
fn names_and_places_are_kept() {
    let mut p = P::new();
    let x = p.input(F, &[3]);
    let y = p.unary("exp", x);
    p.out(y);
    let program = check(&p.program).0;
    let names: Vec<&str> = program.graph.nodes().map(|(_, n)| n.name.as_str()).collect();
    assert_eq!(names, ["x0", "exp"]);
}

#[test]
fn what_cannot_be_decomposed_is_named() {
    let mut p = P::new();
    let x = p.input(F, &[3]);
    let location = Location { file: "model.py".into(), line: 7, ..Location::default() };
    let at = p.program.locations.intern(location);
    let fact = p.program.graph.fact(x).unwrap().clone();
    let node = p.program.graph.add_call("aten.no_such.default", vec![t(x)], "bad", vec![fact], at).unwrap();
    let y = p.program.graph.values(node).next().unwrap();
    p.out(y);
    let (mine, straight) = (rewrite(&p.program).unwrap_err(), decompose_program(&p.program).unwrap_err());
    assert_eq!(mine, straight);
    assert_eq!(mine.location.unwrap().line, 7);
}

#[test]
fn the_same_twice_and_nothing_left_to_do() {
    let mut p = P::new();
    let x = p.input(F, &[2, 3, 6, 6]);
    let y = conv_block(&mut p, x, 4);
    let y = conv_block(&mut p, y, 4);
    p.out(y);
    let first = rewrite(&p.program).unwrap();
    assert_eq!(first.graph, rewrite(&p.program).unwrap().graph);
    let again = rewrite(&first).unwrap();
    assert_eq!(ops(&again), ops(&first));
}

#[test]
fn explanations_and_bisection() {
    let mut p = P::new();
    let x = p.input(F, &[2, 3, 6, 6]);
    let y = conv_block(&mut p, x, 4);
    p.out(y);
    let (program, log) = check(&p.program);
    let lines = explain(&log);
    assert_eq!(lines.len(), ops(&program).len());
    let conv = lines.iter().find(|l| l.contains("(prim.conv)")).unwrap();
    assert!(conv.contains("fold_scale_conv") && conv.ends_with("<- decompose aten.batch_norm.default <- %batch_norm"));
    let applied = log.saturation.applied;
    assert!(applied >= 3, "{applied}");
    let before = results(&p.program, 9);
    for n in 0..=applied {
        let options = Options { stop_after: Some(n), ..Options::default() };
        let (program, log) = rewrite_with_log(&p.program, &options).unwrap();
        assert_eq!(log.saturation.applied, n);
        assert!(close(&before[0], &results(&program, 9)[0]), "after {n}");
    }
    let names: Vec<&str> = rules().map(|(name, _)| name).collect();
    let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
}

#[test]
fn limits_end_it_with_a_right_program() {
    let mut p = P::new();
    let x = p.input(F, &[2, 3, 6, 6]);
    let y = conv_block(&mut p, x, 4);
    p.out(y);
    let options = Options { max_rounds: 1, ..Options::default() };
    let (program, log) = rewrite_with_log(&p.program, &options).unwrap();
    assert!(log.saturation.limited);
    assert!(close(&results(&p.program, 9)[0], &results(&program, 9)[0]));
}

/// y = y + tanh(y · w + b), many times: the tree has 2ⁿ leaves.
fn chain(blocks: usize) -> P {
    let mut p = P::new();
    let mut x = p.input(F, &[4]);
    let (w, b) = (p.weight(&[4]), p.weight(&[4]));
    for _ in 0..blocks {
        let y = p.binary("mul", x, w);
        let y = p.binary("add", y, b);
        let y = p.unary("tanh", y);
        x = p.binary("add", x, y);
    }
    p.out(x);
    p
}

#[test]
fn residual_connections_are_no_trees() {
    let p = chain(500);
    let start = std::time::Instant::now();
    let (program, log) = rewrite_with_log(&p.program, &Options::default()).unwrap();
    println!("{} nodes, {:?}, {:?}", log.nodes, log.saturation, start.elapsed());
    assert_eq!(ops(&program).len(), 2000);
    assert!(start.elapsed().as_secs() < 20, "exponential: {:?}", start.elapsed());
}

#[test]
fn constants_that_cannot_be_evaluated_stay_calls() {
    let mut p = P::new();
    let table = p.weight(&[4]);
    let outside = p.tensor(&Tensor::ints(DType::I64, &[1], vec![9]));
    let one = p.number(1.0);
    let one = p.expand(one, &[4]);
    let moved = p.binary("add", table, one);
    // An error at run time, as in PyTorch, and so is what is made of it; what goes into it is a constant.
    let missing = p.call("prim.take", vec![t(moved), t(outside), Arg::Int(Dim::ZERO)]);
    let after = p.unary("neg", missing);
    let doubled = p.binary("mul", moved, moved);
    p.out(after);
    p.out(doubled);
    assert_eq!(ops(&fold_constants(&p.program).unwrap()), ["take", "neg"]);
}
