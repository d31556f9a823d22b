//! Weights in fewer bits: which change, to what, and that the interpreter of kernel IR understands them.

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Bytes, DType, LocationId};
use pt2c_kernel::interpret::{CallData, Order, interpret};
use pt2c_kernel::verify::verify;
use pt2c_kernel::{
    Access, BinaryOp, Body, Buffer, BufferId, BufferKind, Epilogue, Expr, Kernel, KernelId, KernelProgram, Matmul,
    MatmulB, Param, Step, Stmt, Var, WeightType, quantize_weights,
};
use std::collections::BTreeMap;

/// `out[n] = 2 · Σ_k a[k] · w[n, k]`, the doubling behind a named value.
fn program(n: i64, k: i64, weights: &[f32]) -> KernelProgram {
    let sum = || Box::new(Expr::Var(Var(0)));
    let double = Expr::Binary(BinaryOp::Add, sum(), sum());
    let matmul = Matmul {
        batch: vec![],
        m: (Symbol::new("m"), Dim::ONE),
        n: (Symbol::new("n"), Dim::int(n)),
        k: (Symbol::new("k"), Dim::int(k)),
        a: (0, Dim::sym("k")),
        b: MatmulB::Constant { param: 1, address: Dim::sym("n") * k + Dim::sym("k") },
        accumulator: DType::F32,
        rounding: None,
        epilogue: Epilogue {
            lets: vec![Stmt::Let { var: Var(1), dtype: DType::F32, value: double }],
            stores: vec![(2, Dim::sym("n"), Expr::Var(Var(1)))],
        },
    };
    let param = |name: &str, access| Param { name: name.into(), dtype: DType::F32, access };
    let buffer = |name: &str, len: i64, kind| Buffer { name: name.into(), dtype: DType::F32, len: Dim::int(len), kind };
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    KernelProgram {
        buffers: vec![
            buffer("a", k, BufferKind::Input(0)),
            buffer("w", n * k, BufferKind::Constant(Bytes::new(bytes))),
            buffer("out", n, BufferKind::Output(0)),
        ],
        kernels: vec![Kernel {
            name: "linear".into(),
            params: vec![param("a", Access::Read), param("w", Access::Read), param("out", Access::Write)],
            body: Body::Matmul(matmul),
        }],
        steps: vec![Step::Call {
            kernel: KernelId(0),
            buffers: vec![BufferId(0), BufferId(1), BufferId(2)],
            location: LocationId::UNKNOWN,
        }],
        arena_bytes: Dim::ZERO,
        ..KernelProgram::default()
    }
}

fn run(program: &KernelProgram, a: &[f32]) -> Vec<f32> {
    let mut before = CallData::default();
    before.inputs.insert(0, a.iter().flat_map(|v| v.to_le_bytes()).collect());
    let after = interpret(program, &BTreeMap::new(), &before, Order::Forward).expect("runs");
    after.outputs[&0].chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
}

#[test]
fn columns_keep_their_largest_magnitude_and_zero() {
    // Column n holds multiples of its own step, so that 8 bits say them exactly: -127 … 127 times (n + 1) / 64.
    let (n, k) = (72usize, 255usize);
    let weights: Vec<f32> = (0..n * k).map(|i| ((i % k) as f32 - 127.0) * (i / k + 1) as f32 / 64.0).collect();
    let exact = program(n as i64, k as i64, &weights);
    let mut fewer = exact.clone();
    assert_eq!(quantize_weights(&mut fewer, WeightType::Int8), 1);
    assert_eq!(verify(&fewer), vec![]);
    assert_eq!(fewer.buffers[3].dtype, DType::I8);
    assert_eq!(fewer.buffers[4].len, Dim::int(n as i64));
    let a: Vec<f32> = (0..k).map(|i| ((i * 37 % 11) as f32 - 5.0) / 4.0).collect();
    for (e, f) in run(&exact, &a).iter().zip(run(&fewer, &a)) {
        assert!((e - f).abs() <= 1e-5 * e.abs().max(1.0), "{e} {f}");
    }
}

#[test]
fn groups_keep_their_largest_weight_and_zero() {
    // Group g of column n holds -8 … 7 times its own step, twice: 4 bits say them exactly.
    let (n, k) = (72usize, 256usize);
    let step = |column: usize, group: usize| (column + 1) as f32 / (group + 3) as f32;
    let weights: Vec<f32> = (0..n * k).map(|i| ((i % 16) as f32 - 8.0) * step(i / k, i % k / 32)).collect();
    let exact = program(n as i64, k as i64, &weights);
    let mut fewer = exact.clone();
    assert_eq!(quantize_weights(&mut fewer, WeightType::Int4), 1);
    assert_eq!(verify(&fewer), vec![]);
    assert_eq!((fewer.buffers[3].dtype, &fewer.buffers[3].len), (DType::U8, &Dim::int((n * k / 2) as i64)));
    assert_eq!(fewer.buffers[4].len, Dim::int((n * k / 32) as i64));
    let a: Vec<f32> = (0..k).map(|i| ((i * 37 % 11) as f32 - 5.0) / 4.0).collect();
    for (e, f) in run(&exact, &a).iter().zip(run(&fewer, &a)) {
        assert!((e - f).abs() <= 1e-5 * e.abs().max(1.0), "{e} {f}");
    }
    // Sums whose length 32 does not divide get 8 bits.
    let mut odd = program(128, 130, &vec![1.0; 128 * 130]);
    assert_eq!(quantize_weights(&mut odd, WeightType::Int4), 1);
    assert_eq!(odd.buffers[3].dtype, DType::I8);
}

#[test]
fn sixteen_bits_round_to_eight_significant_ones() {
    let (n, k) = (128usize, 128usize);
    let mut weights = vec![0.0f32; n * k];
    // 1 + 2⁻⁸ lies between two neighbours: the even one is 1; a little more rounds up to 1 + 2⁻⁷.
    weights[..3].copy_from_slice(&[1.00390625, 1.004, -3.0]);
    let mut fewer = program(n as i64, k as i64, &weights);
    assert_eq!(quantize_weights(&mut fewer, WeightType::Bf16), 1);
    assert_eq!(verify(&fewer), vec![]);
    let at = |one: usize| {
        let mut a = vec![0.0; k];
        a[one] = 1.0;
        run(&fewer, &a)[0]
    };
    assert_eq!([at(0), at(1), at(2)], [2.0, 2.015625, -6.0]);
}

#[test]
fn rows_are_rounded_where_products_are() {
    let (n, k) = (128usize, 128usize);
    let mut fewer = program(n as i64, k as i64, &vec![1.0; n * k]);
    assert_eq!(quantize_weights(&mut fewer, WeightType::Bf16Products), 1);
    assert_eq!(verify(&fewer), vec![]);
    let mut a = vec![0.0; k];
    a[5] = 1.004;
    assert_eq!(run(&fewer, &a)[7], 2.015625);
}

#[test]
fn small_weights_and_those_of_other_kernels_stay() {
    let mut small = program(10, 10, &[1.0; 100]);
    assert_eq!(quantize_weights(&mut small, WeightType::Int8), 0);
    assert_eq!(small.buffers.len(), 3);
    // A weight that is an input of the program.
    let mut given = program(128, 128, &[1.0; 128 * 128]);
    given.buffers[1].kind = BufferKind::Input(1);
    assert_eq!(quantize_weights(&mut given, WeightType::Int8), 0);
    assert_eq!(given.kernels[0].params[1].dtype, DType::F32);
}
