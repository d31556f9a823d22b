//! Loop nests of kernel IR on every instruction set: vectors and tails, strides, gathers, guards, reductions, checks,
//! conversions, integer arithmetic.

use crate::harness::{Data, Outcome, Runner, one_kernel};
use crate::support::targets;
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Bytes, DType};
use pt2c_kernel::{
    Access, BinaryOp, Body, BufferKind, Carried, CompareOp, Expr, For, KernelProgram, LoopKind, Param, ReduceOp, Stmt,
    UnaryOp, Var,
};

fn read(dtype: DType) -> Param {
    Param { name: "in".to_string(), dtype, access: Access::Read }
}

fn write(dtype: DType) -> Param {
    Param { name: "out".to_string(), dtype, access: Access::Write }
}

fn each(var: &str, extent: Dim, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For(For { var: Symbol::new(var), extent, kind, carried: vec![], body })
}

fn load(param: usize, address: Dim) -> Box<Expr> {
    Box::new(Expr::Load { param, address })
}

fn store(param: usize, address: Dim, value: Expr) -> Stmt {
    Stmt::Store { param, address, value }
}

fn sym(name: &str) -> Dim {
    Dim::sym(name)
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.declare("s0", Some(0), Some(1 << 20));
    scope
}

fn binary(op: BinaryOp, a: Box<Expr>, b: Box<Expr>) -> Expr {
    Expr::Binary(op, a, b)
}

/// `out[i] = f(in[i])` for `i < s0`.
fn map(from: DType, to: DType, f: impl Fn(Box<Expr>) -> Expr) -> KernelProgram {
    let body = vec![store(1, sym("i"), f(load(0, sym("i"))))];
    one_kernel(vec![read(from), write(to)], Body::Loops(vec![each("i", sym("s0"), LoopKind::Vector, body)]), scope())
}

const SIZES: [usize; 9] = [0, 1, 7, 16, 31, 64, 65, 130, 1000];

fn floats(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.25).collect()
}

#[test]
fn elementwise_loops_of_any_length() {
    // relu(x * x - 3)
    let program = map(DType::F32, DType::F32, |x| {
        let square = binary(BinaryOp::Mul, x.clone(), x);
        let moved = binary(BinaryOp::Sub, Box::new(square), Box::new(Expr::Float(3.0, DType::F32)));
        binary(BinaryOp::Max, Box::new(moved), Box::new(Expr::Float(0.0, DType::F32)))
    });
    for target in targets() {
        let runner = Runner::new(&program, &["s0"], &target);
        for n in SIZES {
            let x = floats(n);
            let mut buffers = [Data::f32(&x), Data::f32(&vec![0.0; n])];
            assert_eq!(runner.run(&mut buffers, &[n as i64]), Outcome::Done);
            for (x, y) in x.iter().zip(buffers[1].as_f32()) {
                let want = (f64::from(*x) * f64::from(*x) - 3.0).max(0.0);
                assert_eq!(f64::from(y), want, "{:?} n {n}", target.isa);
            }
        }
    }
}

#[test]
fn nan_survives_maxima_with_constants_and_values() {
    for constant in [true, false] {
        let program = map(DType::F32, DType::F32, |x| {
            let other = if constant {
                Box::new(Expr::Float(0.0, DType::F32))
            } else {
                Box::new(Expr::Unary(UnaryOp::Neg, x.clone()))
            };
            binary(BinaryOp::Max, x, other)
        });
        for target in targets() {
            let runner = Runner::new(&program, &["s0"], &target);
            let mut buffers = [Data::f32(&[f32::NAN, -1.0, 2.0]), Data::f32(&[0.0; 3])];
            runner.run(&mut buffers, &[3]);
            let y = buffers[1].as_f32();
            assert!(y[0].is_nan(), "{:?}", target.isa);
            assert_eq!(y[2], 2.0);
        }
    }
}

#[test]
fn strided_reversed_and_arbitrary_addresses() {
    let n = 37i64;
    let i = sym("i");
    // Every address form: stride 3, reversed, (i % 5) * 7 + i // 5, uniform.
    let addresses = [&i * 3, Dim::int(n - 1) - &i, i.modulo(&Dim::int(5)) * 7 + i.floor_div(&Dim::int(5)), Dim::int(4)];
    let body = addresses
        .iter()
        .enumerate()
        .map(|(k, a)| store(1, &i + n * k as i64, *load(0, a.clone())))
        .chain([store(2, &i * 2 + 1, *load(0, i.clone())), store(2, (Dim::int(n - 1) - &i) * 2, *load(0, &i + 1))])
        .collect();
    let program = one_kernel(
        vec![read(DType::F32), write(DType::F32), write(DType::F32)],
        Body::Loops(vec![each("i", Dim::int(n), LoopKind::Vector, body)]),
        Scope::new(),
    );
    for target in targets() {
        let runner = Runner::new(&program, &[], &target);
        let x = floats(3 * n as usize);
        let mut buffers = [Data::f32(&x), Data::f32(&vec![0.0; 4 * n as usize]), Data::f32(&vec![0.0; 2 * n as usize])];
        runner.run(&mut buffers, &[]);
        let (y, z) = (buffers[1].as_f32(), buffers[2].as_f32());
        let n = n as usize;
        for k in 0..n {
            assert_eq!(y[k], x[3 * k]);
            assert_eq!(y[n + k], x[n - 1 - k]);
            assert_eq!(y[2 * n + k], x[k % 5 * 7 + k / 5]);
            assert_eq!(y[3 * n + k], x[4]);
            assert_eq!(z[2 * k + 1], x[k]);
            assert_eq!(z[(n - 1 - k) * 2], x[k + 1]);
        }
    }
}

/// `out[r] = op over c of in[r * cols + c]`, rows parallel, columns in lanes.
fn rows(op: ReduceOp, init: Expr, dtype: DType, square: bool) -> KernelProgram {
    let element = Expr::Load { param: 0, address: sym("r") * sym("s0") + sym("c") };
    let next = if square { binary(BinaryOp::Mul, Box::new(element.clone()), Box::new(element)) } else { element };
    let reduce = Stmt::For(For {
        var: Symbol::new("c"),
        extent: sym("s0"),
        kind: LoopKind::Vector,
        carried: vec![Carried { var: Var(0), result: Var(1), dtype, init, next, reduction: Some(op) }],
        body: vec![],
    });
    let body = vec![reduce, store(1, sym("r"), Expr::Var(Var(1)))];
    one_kernel(
        vec![read(dtype), write(dtype)],
        Body::Loops(vec![each("r", Dim::int(3), LoopKind::Parallel, body)]),
        scope(),
    )
}

#[test]
fn reductions_over_lanes() {
    for target in targets() {
        let squares =
            Runner::new(&rows(ReduceOp::Sum, Expr::Float(0.0, DType::F32), DType::F32, true), &["s0"], &target);
        let low = Expr::Float(f64::NEG_INFINITY, DType::F32);
        let max = Runner::new(&rows(ReduceOp::Max, low, DType::F32, false), &["s0"], &target);
        let product =
            Runner::new(&rows(ReduceOp::Product, Expr::Int(1, DType::I64), DType::I64, false), &["s0"], &target);
        let least = Runner::new(&rows(ReduceOp::Min, Expr::Int(255, DType::U8), DType::U8, false), &["s0"], &target);
        let all = Runner::new(&rows(ReduceOp::And, Expr::Bool(true), DType::Bool, false), &["s0"], &target);
        for n in SIZES {
            let x = floats(3 * n);
            let mut buffers = [Data::f32(&x), Data::f32(&[0.0; 3])];
            squares.run(&mut buffers, &[n as i64]);
            for (r, got) in buffers[1].as_f32().iter().enumerate() {
                let want: f64 = x[r * n..][..n].iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
                assert!((f64::from(*got) - want).abs() <= 1e-5 * want, "{:?} n {n} {got} {want}", target.isa);
            }
            max.run(&mut buffers, &[n as i64]);
            for (r, got) in buffers[1].as_f32().iter().enumerate() {
                assert_eq!(*got, x[r * n..][..n].iter().copied().fold(f32::NEG_INFINITY, f32::max));
            }
            let ints: Vec<i64> = (0..3 * n as i64).map(|k| 2 * k + 1).collect();
            let mut buffers = [Data::i64(&ints), Data::i64(&[0; 3])];
            product.run(&mut buffers, &[n as i64]);
            for (r, got) in buffers[1].as_i64().iter().enumerate() {
                assert_eq!(*got, ints[r * n..][..n].iter().fold(1i64, |p, v| p.wrapping_mul(*v)));
            }
            let bytes: Vec<u8> = (0..3 * n).map(|k| (k * 89 % 256) as u8).collect();
            let mut buffers = [Data::u8(&bytes), Data::u8(&[0; 3])];
            least.run(&mut buffers, &[n as i64]);
            for (r, got) in buffers[1].as_u8().iter().enumerate() {
                assert_eq!(*got, bytes[r * n..][..n].iter().copied().fold(255, u8::min));
            }
            let truths: Vec<u8> = (0..3 * n).map(|k| u8::from(k != n + n / 2)).collect();
            let mut buffers = [Data::u8(&truths).of(DType::Bool), Data::u8(&[9; 3]).of(DType::Bool)];
            all.run(&mut buffers, &[n as i64]);
            let want: Vec<u8> = (0..3).map(|r| u8::from(truths[r * n..][..n].iter().all(|t| *t == 1))).collect();
            assert_eq!(buffers[1].bytes, want);
        }
    }
}

#[test]
fn serial_loops_run_in_step_inside_lanes() {
    // out[c] = Σ_r in[r, c], columns in lanes; and an argmax of the same column with explicit state.
    let n = 45i64;
    let element = Expr::Load { param: 0, address: sym("r") * n + sym("c") };
    let larger = Expr::Compare(CompareOp::Gt, Box::new(element.clone()), Box::new(Expr::Var(Var(2))));
    let carried = vec![
        Carried {
            var: Var(0),
            result: Var(1),
            dtype: DType::F32,
            init: Expr::Float(0.0, DType::F32),
            next: element.clone(),
            reduction: Some(ReduceOp::Sum),
        },
        Carried {
            var: Var(2),
            result: Var(3),
            dtype: DType::F32,
            init: Expr::Float(f64::NEG_INFINITY, DType::F32),
            next: Expr::Select(Box::new(larger.clone()), Box::new(element), Box::new(Expr::Var(Var(2)))),
            reduction: None,
        },
        Carried {
            var: Var(4),
            result: Var(5),
            dtype: DType::I64,
            init: Expr::Int(0, DType::I64),
            next: Expr::Select(Box::new(larger), Box::new(Expr::Index(sym("r"))), Box::new(Expr::Var(Var(4)))),
            reduction: None,
        },
    ];
    let inner =
        Stmt::For(For { var: Symbol::new("r"), extent: sym("s0"), kind: LoopKind::Serial, carried, body: vec![] });
    let body = vec![inner, store(1, sym("c"), Expr::Var(Var(1))), store(2, sym("c"), Expr::Var(Var(5)))];
    let program = one_kernel(
        vec![read(DType::F32), write(DType::F32), write(DType::I64)],
        Body::Loops(vec![each("c", Dim::int(n), LoopKind::Vector, body)]),
        scope(),
    );
    for target in targets() {
        let runner = Runner::new(&program, &["s0"], &target);
        let (n, rows) = (n as usize, 6);
        let x = floats(n * rows);
        let mut buffers = [Data::f32(&x), Data::f32(&vec![0.0; n]), Data::i64(&vec![-1; n])];
        runner.run(&mut buffers, &[rows as i64]);
        let (sums, places) = (buffers[1].as_f32(), buffers[2].as_i64());
        for c in 0..n {
            let column: Vec<f32> = (0..rows).map(|r| x[r * n + c]).collect();
            assert_eq!(f64::from(sums[c]), column.iter().map(|v| f64::from(*v)).sum::<f64>());
            let best = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(places[c], column.iter().position(|v| *v == best).expect("it is there") as i64);
        }
    }
}

#[test]
fn guarded_loads_stay_inside_the_buffer() {
    // out[i] = 0 <= i - 3 < s0 ? in[i - 3] : -1, for i < s0 + 8: padding.
    let at = sym("i") - 3;
    let index = |d: Dim| Box::new(Expr::Index(d));
    let condition = binary(
        BinaryOp::And,
        Box::new(Expr::Compare(CompareOp::Ge, index(at.clone()), Box::new(Expr::Int(0, DType::I64)))),
        Box::new(Expr::Compare(CompareOp::Lt, index(at.clone()), index(sym("s0")))),
    );
    let value = Expr::Guarded {
        condition: Box::new(condition),
        value: load(0, at),
        other: Box::new(Expr::Float(-1.0, DType::F32)),
    };
    let body = vec![store(1, sym("i"), value)];
    let program = one_kernel(
        vec![read(DType::F32), write(DType::F32)],
        Body::Loops(vec![each("i", sym("s0") + 8, LoopKind::Vector, body)]),
        scope(),
    );
    for target in targets() {
        let runner = Runner::new(&program, &["s0"], &target);
        for n in SIZES {
            let x = floats(n);
            let mut buffers = [Data::f32(&x), Data::f32(&vec![0.0; n + 8])];
            runner.run(&mut buffers, &[n as i64]);
            let want: Vec<f32> =
                (0..n + 8).map(|i| i.checked_sub(3).and_then(|k| x.get(k)).copied().unwrap_or(-1.0)).collect();
            assert_eq!(buffers[1].as_f32(), want);
        }
    }
}

#[test]
fn neither_branch_of_a_guard_reads_where_the_other_is_taken() {
    // out[i] = i < s0 ? a[i] : b[i - s0], for i < 2·s0: both loads would leave their buffers.
    let condition = Expr::Compare(CompareOp::Lt, Box::new(Expr::Index(sym("i"))), Box::new(Expr::Index(sym("s0"))));
    let value = Expr::Guarded {
        condition: Box::new(condition),
        value: load(0, sym("i") * 100_000),
        other: load(1, (sym("i") - sym("s0")) * 100_000),
    };
    for kind in [LoopKind::Vector, LoopKind::Serial] {
        let body = vec![store(2, sym("i"), value.clone())];
        let program = one_kernel(
            vec![read(DType::F32), read(DType::F32), write(DType::F32)],
            Body::Loops(vec![each("i", sym("s0") * 2, kind, body)]),
            scope(),
        );
        for target in targets() {
            // One element each: any other access would be far outside.
            let mut buffers = [Data::f32(&[3.0]), Data::f32(&[4.0]), Data::f32(&[0.0; 2])];
            Runner::new(&program, &["s0"], &target).run(&mut buffers, &[1]);
            assert_eq!(buffers[2].as_f32(), [3.0, 4.0]);
        }
    }
}

/// An embedding: rows of `table` (5 rows of 20) by `ids`, checked; in lanes over columns or over ids.
fn embedding(lanes_over_ids: bool) -> KernelProgram {
    let id = Expr::Load { param: 1, address: sym("t") };
    let in_range = binary(
        BinaryOp::And,
        Box::new(Expr::Compare(CompareOp::Ge, Box::new(Expr::Var(Var(0))), Box::new(Expr::Int(0, DType::I64)))),
        Box::new(Expr::Compare(CompareOp::Lt, Box::new(Expr::Var(Var(0))), Box::new(Expr::Int(5, DType::I64)))),
    );
    let kinds =
        if lanes_over_ids { (LoopKind::Vector, LoopKind::Serial) } else { (LoopKind::Parallel, LoopKind::Vector) };
    let copy = store(2, sym("t") * 20 + sym("c"), *load(0, sym("row") * 20 + sym("c")));
    let body = vec![
        Stmt::Let { var: Var(0), dtype: DType::I64, value: id },
        Stmt::Check {
            condition: in_range,
            message: "index {} is out of range".to_string(),
            value: Some(Expr::Var(Var(0))),
        },
        Stmt::Index { symbol: Symbol::new("row"), extent: Dim::int(5), value: Expr::Var(Var(0)) },
        each("c", Dim::int(20), kinds.1, vec![copy]),
    ];
    one_kernel(
        vec![read(DType::F32), read(DType::I64), write(DType::F32)],
        Body::Loops(vec![each("t", sym("s0"), kinds.0, body)]),
        scope(),
    )
}

#[test]
fn data_dependent_addresses_are_checked() {
    for target in targets() {
        for lanes_over_ids in [false, true] {
            let runner = Runner::new(&embedding(lanes_over_ids), &["s0"], &target);
            let table = floats(100);
            let ids: Vec<i64> = (0..19).map(|k| k * 3 % 5).collect();
            let mut buffers = [Data::f32(&table), Data::i64(&ids), Data::f32(&[0.0; 380])];
            assert_eq!(runner.run(&mut buffers, &[19]), Outcome::Done);
            let want: Vec<f32> = ids.iter().flat_map(|id| table[*id as usize * 20..][..20].iter().copied()).collect();
            assert_eq!(buffers[2].as_f32(), want);
            for bad in [5, -1, i64::MAX] {
                let mut ids = ids.clone();
                ids[17] = bad;
                let mut buffers = [Data::f32(&table), Data::i64(&ids), Data::f32(&[0.0; 380])];
                let outcome = runner.run(&mut buffers, &[19]);
                assert_eq!(outcome, Outcome::Failed("index {} is out of range".to_string(), bad));
            }
        }
    }
}

#[test]
fn conversions_follow_pytorch() {
    let x = [-3.7f32, -0.5, 0.0, 0.5, 1.0, 2.5, 100.9, 200.25];
    // Recorded from torch.tensor(x).to(dtype) on x86-64 (two's complement wrap for unsigned targets).
    let u8s: Vec<u8> = x.iter().map(|v| *v as i32 as u8).collect();
    let i64s: Vec<i64> = x.iter().map(|v| *v as i64).collect();
    let bools: Vec<u8> = x.iter().map(|v| u8::from(*v != 0.0)).collect();
    let f64s: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    for target in targets() {
        let cases = [
            (DType::U8, Data::u8(&u8s)),
            (DType::I64, Data::i64(&i64s)),
            (DType::Bool, Data::u8(&bools).of(DType::Bool)),
            (DType::F64, Data::f64(&f64s)),
        ];
        for (dtype, want) in cases {
            let program = map(DType::F32, dtype, |v| Expr::Cast(dtype, v));
            let runner = Runner::new(&program, &["s0"], &target);
            let mut buffers = [Data::f32(&x), Data { dtype, bytes: vec![7; want.bytes.len()] }];
            runner.run(&mut buffers, &[8]);
            assert_eq!(buffers[1], want, "{:?}", target.isa);
        }
        // Storing to bf16 rounds; loading widens.
        let program = map(DType::F32, DType::BF16, |v| *v);
        let mut buffers = [Data::f32(&x), Data { dtype: DType::BF16, bytes: vec![0; 16] }];
        Runner::new(&program, &["s0"], &target).run(&mut buffers, &[8]);
        let program = map(DType::BF16, DType::F32, |v| *v);
        let mut back = [buffers[1].clone(), Data::f32(&[0.0; 8])];
        Runner::new(&program, &["s0"], &target).run(&mut back, &[8]);
        let want: Vec<f32> = x.iter().map(|v| half::bf16::from_f32(*v).to_f32()).collect();
        assert_eq!(back[1].as_f32(), want);
    }
}

#[test]
fn integer_arithmetic_rounds_and_wraps_as_pytorch_does() {
    let pairs: Vec<(i32, i32)> = [7, -7, 0, i32::MAX, i32::MIN, 13]
        .iter()
        .flat_map(|a| [3, -3, 1, -1, 31, 33, i32::MIN].iter().map(move |b| (*a, *b)))
        .collect();
    let reference = |op: BinaryOp, a: i32, b: i32| -> i32 {
        match op {
            BinaryOp::DivFloor => (f64::from(a) / f64::from(b)).floor() as i64 as i32,
            BinaryOp::DivTrunc => a.wrapping_div(b),
            BinaryOp::RemFloor => (i64::from(a) - i64::from(b) * (f64::from(a) / f64::from(b)).floor() as i64) as i32,
            BinaryOp::RemTrunc => a.wrapping_rem(b),
            BinaryOp::Shl => u32::try_from(b).ok().and_then(|s| a.checked_shl(s)).unwrap_or(0),
            BinaryOp::Shr => a >> u32::try_from(b).map_or(31, |s| s.min(31)),
            BinaryOp::Pow if b < 0 => match a {
                1 => 1,
                -1 => {
                    if b % 2 == 0 {
                        1
                    } else {
                        -1
                    }
                }
                _ => 0,
            },
            BinaryOp::Pow => (0..b).fold(1i32, |p, _| p.wrapping_mul(a)),
            BinaryOp::Max => a.max(b),
            _ => a.wrapping_mul(b),
        }
    };
    for target in targets() {
        for op in [
            BinaryOp::DivFloor,
            BinaryOp::DivTrunc,
            BinaryOp::RemFloor,
            BinaryOp::RemTrunc,
            BinaryOp::Shl,
            BinaryOp::Shr,
            BinaryOp::Pow,
            BinaryOp::Max,
            BinaryOp::Mul,
        ] {
            let body = vec![store(2, sym("i"), binary(op, load(0, sym("i")), load(1, sym("i"))))];
            let program = one_kernel(
                vec![read(DType::I32), read(DType::I32), write(DType::I32)],
                Body::Loops(vec![each("i", sym("s0"), LoopKind::Vector, body)]),
                scope(),
            );
            let runner = Runner::new(&program, &["s0"], &target);
            let (a, b): (Vec<i32>, Vec<i32>) = pairs.iter().copied().unzip();
            let mut buffers = [Data::i32(&a), Data::i32(&b), Data::i32(&vec![0; a.len()])];
            runner.run(&mut buffers, &[a.len() as i64]);
            for ((a, b), got) in pairs.iter().zip(buffers[2].as_i32()) {
                assert_eq!(got, reference(op, *a, *b), "{a} {op:?} {b} {:?}", target.isa);
            }
        }
    }
}

#[test]
fn math_functions_and_float_remainders() {
    let x = [-5.5f32, -0.25, 0.75, 3.0, 7.25];
    let cases: [(Box<dyn Fn(Box<Expr>) -> Expr>, fn(f64) -> f64); 4] = [
        (Box::new(|v| Expr::Unary(UnaryOp::Sigmoid, v)), |v| 1.0 / (1.0 + (-v).exp())),
        (Box::new(|v| Expr::Unary(UnaryOp::Exp, v)), f64::exp),
        (Box::new(|v| binary(BinaryOp::RemFloor, v, Box::new(Expr::Float(2.0, DType::F32)))), |v| {
            v - 2.0 * (v / 2.0).floor()
        }),
        (Box::new(|v| binary(BinaryOp::DivFloor, v, Box::new(Expr::Float(2.0, DType::F32)))), |v| (v / 2.0).floor()),
    ];
    for target in targets() {
        for (f, reference) in &cases {
            let program = map(DType::F32, DType::F32, f);
            let mut buffers = [Data::f32(&x), Data::f32(&[0.0; 5])];
            Runner::new(&program, &["s0"], &target).run(&mut buffers, &[5]);
            for (x, y) in x.iter().zip(buffers[1].as_f32()) {
                let want = reference(f64::from(*x));
                assert!((f64::from(y) - want).abs() <= 1e-6 * want.abs().max(1e-3), "{x} {y} {want}");
            }
        }
    }
}

#[test]
fn equal_kernels_become_one_function() {
    let mut program = map(DType::F32, DType::F32, |x| Expr::Unary(UnaryOp::Neg, x));
    let mut twin = program.kernels[0].clone();
    twin.name = "twin".to_string();
    program.kernels.push(twin);
    let symbols = [Symbol::new("s0")];
    let lowered =
        pt2c_native::program::lower(&program, &symbols, "p", &pt2c_native::Target::baseline()).expect("lowers");
    let text: String = lowered.units.iter().map(|u| u.mlir.as_str()).collect();
    assert_eq!(text.matches("__body(").count(), 2, "one definition and one call");
    assert!(!text.contains("twin"));
}

#[test]
fn constants_read_across_rows_are_transposed() {
    // Rows of whole vectors are cut into panels where threads cannot start in between, as in a loop inside another.
    for (units, inside) in [(21, false), (21, true), (64, false), (64, true), (192, true)] {
        gates(units, 13, inside);
    }
}

/// `out[g, j] = Σ_k w[g·units + j, k] · x[k]` for two gates: lanes run over j.
fn gates(units: i64, depth: i64, inside: bool) {
    let carried = (0..2u32)
        .map(|g| Carried {
            var: Var(2 * g),
            result: Var(2 * g + 1),
            dtype: DType::F32,
            init: Expr::Float(0.0, DType::F32),
            next: binary(
                BinaryOp::Mul,
                load(0, (sym("j") + units * i64::from(g)) * depth + sym("k")),
                load(1, sym("k")),
            ),
            reduction: Some(ReduceOp::Sum),
        })
        .collect();
    let inner = Stmt::For(For {
        var: Symbol::new("k"),
        extent: Dim::int(depth),
        kind: LoopKind::Serial,
        carried,
        body: vec![],
    });
    let body = vec![inner, store(2, sym("j"), Expr::Var(Var(1))), store(2, sym("j") + units, Expr::Var(Var(3)))];
    let lanes = each("j", Dim::int(units), LoopKind::Vector, body);
    let nest = if inside { each("t", Dim::int(2), LoopKind::Serial, vec![lanes]) } else { lanes };
    let mut program =
        one_kernel(vec![read(DType::F32), read(DType::F32), write(DType::F32)], Body::Loops(vec![nest]), Scope::new());
    let (w, x) = (floats((2 * units * depth) as usize), floats(depth as usize));
    program.buffers[0].kind = BufferKind::Constant(Bytes::new(Data::f32(&w).bytes));
    program.buffers[0].len = Dim::int(2 * units * depth);
    for target in targets() {
        let lowered = pt2c_native::program::lower(&program, &[], "p", &target).expect("lowers");
        assert!(lowered.units.iter().all(|u| !u.mlir.contains("vector.gather")));
        let mut buffers = [Data::f32(&[]), Data::f32(&x), Data::f32(&vec![0.0; 2 * units as usize])];
        Runner::new(&program, &[], &target).run(&mut buffers, &[]);
        for (row, got) in buffers[2].as_f32().iter().enumerate() {
            let d = depth as usize;
            let want: f64 = (0..d).map(|k| f64::from(w[row * d + k]) * f64::from(x[k])).sum();
            assert!((f64::from(*got) - want).abs() < 1e-3, "{:?} row {row}: {got} {want}", target.isa);
        }
    }
}
