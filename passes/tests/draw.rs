//! Random numbers: the counter arithmetic draws what the reference generator draws, distributions are what they say,
//! and every call draws anew.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact, Graph, LocationId, OutputKind, OutputSpec, Program, Signature};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::run;
use pt2c_passes::draw::draw;

/// A program that returns these draws of `n` numbers.
fn program(draws: &[(DType, &str, f64, f64)], n: i64) -> Program {
    let mut graph = Graph::new();
    let mut outputs = Vec::new();
    for (dtype, kind, a, b) in draws {
        let args = vec![
            Arg::Ints(vec![Dim::int(n)]),
            Arg::DType(*dtype),
            Arg::Str((*kind).into()),
            Arg::Float(*a),
            Arg::Float(*b),
            Arg::Int(Dim::ZERO),
        ];
        let fact = Fact::of(*dtype, &[n]);
        let node = graph.add_call("prim.random", args, "x", vec![fact], LocationId::UNKNOWN).expect("a call");
        outputs.extend(graph.values(node).map(Arg::Tensor));
    }
    graph.outputs = outputs;
    let output = |_| OutputSpec { name: "y".into(), kind: OutputKind::User };
    let signature = Signature { outputs: (0..draws.len()).map(output).collect(), ..Signature::default() };
    Program { name: "draws".into(), graph, signature, ..Program::default() }
}

fn tensors(program: &Program) -> Vec<Tensor> {
    let outcome = run(program, &[], &Default::default()).expect("it runs");
    outcome.outputs.into_iter().filter_map(|a| if let Arg::Tensor(t) = a { Some(t) } else { None }).collect()
}

fn drawn(kind: &str, dtype: DType, a: f64, b: f64) -> Vec<f64> {
    let program = draw(&program(&[(dtype, kind, a, b)], 20_000)).expect("it is drawn");
    tensors(&program)[0].to_f64s()
}

#[test]
fn the_arithmetic_is_the_reference_generator() {
    for kind in ["uniform", "normal", "exponential"] {
        let before = program(&[(DType::F64, kind, 0.5, 2.0)], 500);
        let after = draw(&before).expect("it is drawn");
        let (x, y) = (tensors(&before)[0].to_f64s(), tensors(&after)[0].to_f64s());
        let worst = x.iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "{kind} differs by {worst}");
    }
}

#[test]
fn draws_and_calls_differ() {
    let once = program(&[(DType::F32, "uniform", 0.0, 1.0), (DType::F32, "uniform", 0.0, 1.0)], 100);
    let after = draw(&once).expect("it is drawn");
    let first = tensors(&after);
    assert_ne!(first[0].to_f64s(), first[1].to_f64s());
    let outcome = run(&after, &[], &Default::default()).expect("it runs");
    let next = run(&after, &[], &outcome.buffers).expect("it runs again");
    let second = next.outputs.iter().filter_map(|a| if let Arg::Tensor(t) = a { Some(t) } else { None }).next();
    assert_ne!(first[0].to_f64s(), second.expect("a tensor").to_f64s());
}

/// The largest distance between the distribution of the numbers and the one that is meant (Kolmogorov and Smirnov):
/// below 1.95/√n with a probability of 0.999.
fn check(kind: &str, dtype: DType, a: f64, b: f64, cumulative: impl Fn(f64) -> f64) {
    let mut x = drawn(kind, dtype, a, b);
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let worst = x.iter().enumerate().map(|(i, &v)| {
        let meant = cumulative(v);
        (meant - i as f64 / n).abs().max((meant - (i + 1) as f64 / n).abs())
    });
    let worst = worst.fold(0.0, f64::max);
    assert!(worst < 1.95 / n.sqrt(), "{kind} of {dtype}: distance {worst}");
}

#[test]
fn distributions_are_what_they_say() {
    for dtype in [DType::F32, DType::F64] {
        check("uniform", dtype, -1.0, 3.0, |x| (x + 1.0) / 4.0);
        check("normal", dtype, 2.0, 3.0, |x| 0.5 * (1.0 + libm::erf((x - 2.0) / 3.0 / 2f64.sqrt())));
        check("exponential", dtype, 0.5, 0.0, |x| 1.0 - (-0.5 * x).exp());
    }
    // Discrete ones by counts: four standard deviations.
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let hits = drawn("bernoulli", DType::Bool, 0.3, 0.0);
    assert!((mean(&hits) - 0.3).abs() < 4.0 * (0.21f64 / 20_000.0).sqrt());
    let dice = drawn("integer", DType::I64, 1.0, 7.0);
    for side in 1..7 {
        let share = dice.iter().filter(|&&v| v == f64::from(side)).count() as f64 / 20_000.0;
        assert!((share - 1.0 / 6.0).abs() < 4.0 * (5.0f64 / 36.0 / 20_000.0).sqrt(), "{side}: {share}");
    }
    assert!(dice.iter().all(|v| (1.0..7.0).contains(v)));
    assert!(drawn("uniform", DType::BF16, 0.0, 1.0).iter().all(|v| (0.0..1.0).contains(v)));
}
