//! One test for each rule.

use crate::build::*;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact, ValueId};
use pt2c_ops::Tensor;

const F: DType = DType::F32;

/// A program of one input; the operators that remain after rewriting, without constants.
fn left(build: impl FnOnce(&mut P, ValueId) -> ValueId) -> Vec<String> {
    left_of(F, &[2, 3, 4], build)
}

fn left_of(dtype: DType, shape: &[i64], build: impl FnOnce(&mut P, ValueId) -> ValueId) -> Vec<String> {
    let mut p = P::new();
    let x = p.input(dtype, shape);
    let y = build(&mut p, x);
    p.out(y);
    let (rewritten, _) = check(&p.program);
    ops(&rewritten).into_iter().filter(|o| o != "constant").collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn neutral_numbers() {
    for (op, n) in [("add", 0.0), ("mul", 1.0), ("sub", 0.0), ("div", 1.0), ("pow", 1.0)] {
        assert_eq!(
            left(|p, x| {
                let c = p.number(n);
                p.binary(op, x, c)
            }),
            NOTHING,
            "{op}"
        );
    }
    for (op, n) in [("add", 0.0), ("mul", 1.0)] {
        assert_eq!(
            left(|p, x| {
                let c = p.number(n);
                p.binary(op, c, x)
            }),
            NOTHING,
            "{op}"
        );
    }
    // A neutral operand that broadcasts the other leaves an expansion.
    assert_eq!(
        left(|p, x| {
            let c = p.number(1.0);
            let c = p.expand(c, &[5, 2, 3, 4]);
            p.binary("mul", x, c)
        }),
        ["expand"]
    );
}

#[test]
fn mul_minus_one() {
    assert_eq!(
        left(|p, x| {
            let c = p.number(-1.0);
            p.binary("mul", x, c)
        }),
        ["neg"]
    );
}

#[test]
fn casts() {
    assert_eq!(left(|p, x| p.cast(x, F)), NOTHING);
    assert_eq!(
        left(|p, x| {
            let y = p.cast(x, DType::F64);
            p.cast(y, F)
        }),
        NOTHING
    );
    assert_eq!(
        left(|p, x| {
            let y = p.cast(x, DType::F64);
            p.cast(y, DType::F16)
        }),
        ["cast"]
    );
    // Narrowing loses digits and stays.
    assert_eq!(
        left(|p, x| {
            let y = p.cast(x, DType::F16);
            p.cast(y, F)
        }),
        ["cast", "cast"]
    );
    assert_eq!(
        left_of(DType::I8, &[3], |p, x| {
            let y = p.cast(x, DType::I32);
            p.cast(y, DType::I64)
        }),
        ["cast"]
    );
    // -1 as u64 is not -1 as f32.
    let through = left_of(DType::I64, &[3], |p, x| {
        let y = p.cast(x, DType::U64);
        p.cast(y, F)
    });
    assert_eq!(through, ["cast", "cast"]);
}

#[test]
fn undone() {
    assert_eq!(
        left(|p, x| {
            let y = p.unary("neg", x);
            p.unary("neg", y)
        }),
        NOTHING
    );
    assert_eq!(
        left_of(DType::Bool, &[4], |p, x| {
            let y = p.unary("not", x);
            p.unary("not", y)
        }),
        NOTHING
    );
    assert_eq!(
        left(|p, x| {
            let y = p.unary("neg", x);
            p.unary("abs", y)
        }),
        ["abs"]
    );
    assert_eq!(
        left(|p, x| {
            let y = p.unary("abs", x);
            p.unary("abs", y)
        }),
        ["abs"]
    );
}

#[test]
fn logic() {
    for (op, known) in [("and", true), ("or", false)] {
        let y = left_of(DType::Bool, &[4], |p, x| {
            let c = p.call("prim.constant", vec![Arg::Bool(known), Arg::DType(DType::Bool)]);
            p.binary(op, x, c)
        });
        assert_eq!(y, NOTHING);
    }
}

#[test]
fn signs_in_sums() {
    let two = |op: &'static str| {
        let mut p = P::new();
        let (x, y) = (p.input(F, &[3]), p.input(F, &[3]));
        let z = p.unary("neg", y);
        let z = p.binary(op, x, z);
        p.out(z);
        ops(&check(&p.program).0)
    };
    assert_eq!(two("add"), ["sub"]);
    assert_eq!(two("sub"), ["add"]);
}

#[test]
fn negated_comparisons() {
    assert_eq!(
        left(|p, x| {
            let c = p.number(0.5);
            let y = p.binary("eq", x, c);
            p.unary("not", y)
        }),
        ["ne"]
    );
    assert_eq!(
        left(|p, x| {
            let c = p.number(0.5);
            let y = p.binary("ne", x, c);
            p.unary("not", y)
        }),
        ["eq"]
    );
    // Not less is not greater or equal where there is NaN.
    assert_eq!(
        left(|p, x| {
            let c = p.number(0.5);
            let y = p.binary("lt", x, c);
            p.unary("not", y)
        }),
        ["lt", "not"]
    );
}

#[test]
fn choices() {
    let known = |value: bool| {
        let mut p = P::new();
        let (x, y) = (p.input(F, &[2, 3]), p.input(F, &[3]));
        let c = p.call("prim.constant", vec![Arg::Bool(value), Arg::DType(DType::Bool)]);
        let z = p.call("prim.where", vec![t(c), t(x), t(y)]);
        p.out(z);
        ops(&check(&p.program).0).into_iter().filter(|o| o != "constant").collect::<Vec<_>>()
    };
    assert_eq!(known(true), NOTHING);
    assert_eq!(known(false), ["expand"]);
    let same = |negate: bool| {
        let mut p = P::new();
        let (c, x, y) = (p.input(DType::Bool, &[3]), p.input(F, &[3]), p.input(F, &[3]));
        let c = if negate { p.unary("not", c) } else { c };
        let z = p.call("prim.where", vec![t(c), t(x), t(if negate { y } else { x })]);
        p.out(z);
        ops(&check(&p.program).0)
    };
    assert_eq!(same(false), NOTHING);
    assert_eq!(same(true), ["where"]);
}

#[test]
fn fold_uniform() {
    let y = left(|p, x| {
        let (a, b) = (p.number(3.0), p.number(4.0));
        let c = p.binary("mul", a, b);
        let c = p.unary("sqrt", c);
        p.binary("add", x, c)
    });
    assert_eq!(y, ["add"]);
}

#[test]
fn views_of_views() {
    assert_eq!(left(|p, x| p.reshape(x, &[2, 3, 4])), NOTHING);
    assert_eq!(
        left(|p, x| {
            let y = p.reshape(x, &[24]);
            p.reshape(y, &[6, 4])
        }),
        ["reshape"]
    );
    assert_eq!(
        left(|p, x| {
            let y = p.reshape(x, &[24]);
            p.reshape(y, &[2, 3, 4])
        }),
        NOTHING
    );
    assert_eq!(left(|p, x| p.expand(x, &[2, 3, 4])), NOTHING);
    assert_eq!(
        left(|p, x| {
            let y = p.expand(x, &[5, 2, 3, 4]);
            p.expand(y, &[6, 5, 2, 3, 4])
        }),
        ["expand"]
    );
    assert_eq!(left(|p, x| p.permute(x, &[0, 1, 2])), NOTHING);
    assert_eq!(
        left(|p, x| {
            let y = p.permute(x, &[1, 2, 0]);
            p.permute(y, &[2, 0, 1])
        }),
        NOTHING
    );
    assert_eq!(
        left(|p, x| {
            let y = p.permute(x, &[1, 2, 0]);
            p.permute(y, &[1, 0, 2])
        }),
        ["permute"]
    );
    assert_eq!(left_of(F, &[2, 1, 3], |p, x| p.permute(x, &[1, 0, 2])), ["reshape"]);
}

fn slice(p: &mut P, x: ValueId, start: &[i64], size: &[i64], step: &[i64]) -> ValueId {
    p.call("prim.slice", vec![t(x), dims(start), dims(size), dims(step)])
}

#[test]
fn slices_and_joins() {
    assert_eq!(left(|p, x| slice(p, x, &[0, 0, 0], &[2, 3, 4], &[1, 1, 1])), NOTHING);
    let twice = left_of(F, &[20], |p, x| {
        let y = slice(p, x, &[1], &[9], &[2]);
        slice(p, y, &[7], &[3], &[-2])
    });
    assert_eq!(twice, ["slice"]);
    assert_eq!(left(|p, x| p.call("prim.cat", vec![Arg::Tensors(vec![Some(x)]), Arg::Int(Dim::ONE)])), NOTHING);
    let padded = left(|p, x| {
        let c = p.number(7.0);
        p.call("prim.pad", vec![t(x), t(c), dims(&[0, 0, 0]), dims(&[0, 0, 0])])
    });
    assert_eq!(padded, NOTHING);
}

#[test]
fn expand_last() {
    assert_eq!(
        left_of(F, &[3, 1], |p, x| {
            let y = p.expand(x, &[3, 5]);
            p.unary("exp", y)
        }),
        ["exp", "expand"]
    );
    let mut p = P::new();
    let (x, y) = (p.input(F, &[3, 1]), p.input(F, &[3, 5]));
    let x = p.expand(x, &[3, 5]);
    let z = p.binary("mul", x, y);
    p.out(z);
    assert_eq!(ops(&fires(&p, "expand_last")), ["mul"]);
}

#[test]
fn matmul_expand() {
    let mut p = P::new();
    let (x, y) = (p.input(F, &[1, 3, 4]), p.input(F, &[5, 4, 2]));
    let x = p.expand(x, &[5, 3, 4]);
    let z = p.binary("matmul", x, y);
    p.out(z);
    assert_eq!(ops(&fires(&p, "matmul_expand")), ["matmul"]);
}

#[test]
fn matmul_batch() {
    let mut p = P::new();
    let (x, y) = (p.input(F, &[2, 3, 4, 5]), p.input(F, &[2, 3, 5, 6]));
    let (a, b) = (p.reshape(x, &[6, 4, 5]), p.reshape(y, &[6, 5, 6]));
    let z = p.binary("matmul", a, b);
    let z = p.reshape(z, &[2, 3, 4, 6]);
    p.out(z);
    assert_eq!(ops(&fires(&p, "matmul_batch")), ["matmul"]);
}

#[test]
fn powers() {
    for (n, want) in [
        (2.0, vec!["mul"]),
        (3.0, vec!["mul", "mul"]),
        (0.5, vec!["sqrt"]),
        (-0.5, vec!["rsqrt"]),
        (-1.0, vec!["reciprocal"]),
        (-2.0, vec!["mul", "reciprocal"]),
        (1.7, vec!["pow"]),
    ] {
        assert_eq!(
            left(|p, x| {
                let c = p.number(n);
                p.binary("pow", x, c)
            }),
            want
        );
    }
}

#[test]
fn functions() {
    assert_eq!(
        left(|p, x| {
            let c = p.number(1.0);
            p.binary("div", c, x)
        }),
        ["reciprocal"]
    );
    assert_eq!(
        left(|p, x| {
            let y = p.unary("sqrt", x);
            p.unary("reciprocal", y)
        }),
        ["rsqrt"]
    );
    let found = left(|p, x| {
        let (y, one) = (p.unary("neg", x), p.number(1.0));
        let y = p.unary("exp", y);
        let y = p.binary("add", one, y);
        p.binary("div", one, y)
    });
    assert_eq!(found, ["sigmoid"]);
    // The gate of the tanh form of GELU: the factors meet others, or each other.
    let found = left(|p, x| {
        let (y, one, half) = (p.unary("tanh", x), p.number(1.0), p.number(0.5));
        let y = p.binary("add", y, one);
        p.binary("mul", y, half)
    });
    assert_eq!(found, ["mul", "sigmoid"]);
    assert_eq!(left(|p, x| p.unary("tanh", x)), ["tanh"]);
    let mut p = P::new();
    let (x, y) = (p.input(F, &[3, 5]), p.input(F, &[3, 1]));
    let y = p.unary("sqrt", y);
    let z = p.binary("div", x, y);
    p.out(z);
    assert_eq!(ops(&fires(&p, "div_sqrt")), ["rsqrt", "mul"]);
}

#[test]
fn constant_factors_and_addends() {
    let mut p = P::new();
    let x = p.input(F, &[2, 3, 4]);
    let (a, b, c, d) = (p.weight(&[4]), p.number(0.3), p.weight(&[3, 1]), p.weight(&[3, 1]));
    let y = p.binary("mul", x, a);
    let y = p.binary("mul", y, b);
    let y = p.binary("add", y, c);
    let y = p.binary("sub", y, d);
    p.out(y);
    let rewritten = fires(&p, "combine_scales");
    fires(&p, "combine_shifts");
    fires(&p, "sub_constant");
    let folded = pt2c_passes::fold_constants::fold_constants(&rewritten).unwrap();
    assert_eq!(ops(&folded), ["mul", "add"]);
}

#[test]
fn numbers_that_round_stay() {
    // Adding and taking away 1.5·2²³ rounds to integers.
    let y = left(|p, x| {
        let (a, b) = (p.number(12_582_912.0), p.number(-12_582_912.0));
        let y = p.binary("add", x, a);
        p.binary("add", y, b)
    });
    assert_eq!(y, ["add", "add"]);
    // The product of these factors is no normal number.
    let y = left(|p, x| {
        let (a, b) = (p.number(1e-30), p.number(1e-30));
        let y = p.binary("mul", x, a);
        p.binary("mul", y, b)
    });
    assert_eq!(y, ["mul", "mul"]);
}

#[test]
fn div_power_of_two() {
    assert_eq!(
        left(|p, x| {
            let c = p.number(8.0);
            p.binary("div", x, c)
        }),
        ["mul"]
    );
    assert_eq!(
        left(|p, x| {
            let c = p.number(3.0);
            p.binary("div", x, c)
        }),
        ["div"]
    );
}

fn folded(p: &P, rule: &str) -> Vec<String> {
    let rewritten = fires(p, rule);
    ops(&pt2c_passes::fold_constants::fold_constants(&rewritten).unwrap())
}

#[test]
fn scale_after_conv() {
    for shape in [vec![1, 4, 1, 1], vec![4, 1, 1], vec![]] {
        let mut p = P::new();
        let (x, w) = (p.input(F, &[2, 3, 5, 5]), p.weight(&[4, 3, 3, 3]));
        let y = p.conv(x, w);
        let c = p.weight(&shape);
        let y = p.binary("mul", y, c);
        p.out(y);
        assert_eq!(folded(&p, "fold_scale_conv"), ["conv"]);
    }
    // Another use of the result: scaling stays apart.
    let mut p = P::new();
    let (x, w, c) = (p.input(F, &[2, 3, 5, 5]), p.weight(&[4, 3, 3, 3]), p.weight(&[4, 1, 1]));
    let y = p.conv(x, w);
    let z = p.binary("mul", y, c);
    p.out(y);
    p.out(z);
    assert_eq!(ops(&check(&p.program).0), ["conv", "mul"]);
}

#[test]
fn scale_after_conv_transpose() {
    let mut p = P::new();
    let (x, w, c) = (p.input(F, &[2, 3, 5, 5]), p.weight(&[3, 4, 2, 2]), p.weight(&[4, 1, 1]));
    let (one, zero) = (dims(&[2, 2]), dims(&[0, 0]));
    let args = vec![t(x), t(w), one, zero.clone(), zero, dims(&[1, 1]), Arg::Int(Dim::ONE)];
    let y = p.call("prim.conv_transpose", args);
    let y = p.binary("mul", y, c);
    p.out(y);
    assert_eq!(folded(&p, "fold_scale_conv"), ["conv_transpose"]);
}

#[test]
fn scale_after_matmul() {
    let mut p = P::new();
    let (x, w, c, d) = (p.input(F, &[2, 3, 5]), p.weight(&[5, 4]), p.weight(&[4]), p.weight(&[4]));
    let y = p.binary("matmul", x, w);
    let y = p.binary("add", y, d);
    let y = p.binary("mul", y, c);
    p.out(y);
    fires(&p, "distribute_scale");
    assert_eq!(folded(&p, "fold_scale_matmul"), ["matmul", "add"]);
}

#[test]
fn large_weights_are_not_held_twice() {
    for shared in [false, true] {
        let mut p = P::new();
        let (x, w, c) = (p.input(F, &[1, 300]), p.weight(&[250, 300]), p.weight(&[250]));
        let columns = p.permute(w, &[1, 0]);
        let y = p.binary("matmul", x, columns);
        let y = p.binary("mul", y, c);
        p.out(y);
        if shared {
            let index = p.input(DType::I64, &[0]);
            let rows = p.call("prim.take", vec![t(w), t(index), Arg::Int(Dim::ZERO)]);
            p.out(rows);
        }
        let (rewritten, _) = check(&p.program);
        let folded = pt2c_passes::fold_constants::fold_constants(&rewritten).unwrap();
        assert_eq!(count(&folded, "mul"), usize::from(shared));
    }
}

#[test]
fn scale_before_products() {
    let mut p = P::new();
    let (x, w, c) = (p.input(F, &[2, 3, 5]), p.weight(&[5, 4]), p.number(0.3));
    let y = p.binary("mul", x, c);
    let y = p.binary("matmul", y, w);
    p.out(y);
    assert_eq!(folded(&p, "fold_scale_before"), ["matmul"]);
}

#[test]
fn reductions() {
    assert_eq!(
        left(|p, x| {
            let y = p.reduce(x, &[1], "sum");
            p.reduce(y, &[0, 1], "sum")
        }),
        ["reduce"]
    );
    assert_eq!(
        left(|p, x| {
            let y = p.reduce(x, &[1], "sum");
            p.reduce(y, &[0], "max")
        }),
        ["reduce", "reduce"]
    );
    assert_eq!(left_of(F, &[2, 1, 3], |p, x| p.reduce(x, &[1], "sum")), ["reshape"]);
    let repeated = |kind: &'static str| {
        left_of(F, &[2, 1, 3], |p, x| {
            let y = p.expand(x, &[5, 2, 4, 3]);
            p.reduce(y, &[0, 2], kind)
        })
    };
    assert_eq!(repeated("max"), ["reshape"]);
    assert_eq!(repeated("sum"), ["reshape", "mul"]);
}

#[test]
fn sizes_that_may_differ_stay() {
    // Whether s is t is not known, so the reshape is not nothing.
    let mut p = P::new();
    p.program.scope.declare("s", Some(2), Some(100));
    p.program.scope.declare("t", Some(2), Some(100));
    let x = p.input_of(Fact::new(F, vec![Dim::sym("s"), Dim::sym("t")]));
    let args = vec![t(x), Arg::Ints(vec![Dim::sym("t"), Dim::sym("s")])];
    let y = p.call("prim.reshape", args);
    p.out(y);
    assert_eq!(ops(&check(&p.program).0), ["reshape"]);
    let mut p = P::new();
    p.program.scope.declare("s", Some(2), Some(100));
    let s = Dim::sym("s");
    let x = p.input_of(Fact::new(F, vec![s.clone(), Dim::int(4)]));
    let y = p.call("prim.reshape", vec![t(x), Arg::Ints(vec![&s * &Dim::int(4)])]);
    let y = p.call("prim.reshape", vec![t(y), Arg::Ints(vec![s, Dim::int(4)])]);
    p.out(y);
    assert_eq!(ops(&check(&p.program).0), NOTHING);
}

#[test]
fn narrow_floats_keep_their_rounding() {
    let mut p = P::new();
    let x = p.input(DType::BF16, &[2, 5]);
    let w = p.tensor(&Random(1).tensor(DType::BF16, &[5, 4]));
    let c = p.tensor(&Tensor::floats(DType::BF16, &[4], vec![0.3, 0.7, 1.1, 1.3]));
    let y = p.binary("matmul", x, w);
    let y = p.binary("mul", y, c);
    p.out(y);
    assert_eq!(ops(&check(&p.program).0), ["matmul", "mul"]);
}
