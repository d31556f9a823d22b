//! What the verifier of kernel IR finds, and what the interpreter refuses: kernels made by hand, each with one mistake.

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, LocationId};
use pt2c_kernel::interpret::{CallData, InterpretError, Order, interpret};
use pt2c_kernel::verify::verify;
use pt2c_kernel::{
    Access, BinaryOp, Body, Buffer, BufferId, BufferKind, Carried, Expr, For, Kernel, KernelId, KernelProgram,
    LoopKind, Param, ReduceOp, Step, Stmt, Var,
};
use std::collections::BTreeMap;

fn sym(name: &str) -> Dim {
    Dim::sym(name)
}

fn load(address: Dim) -> Expr {
    Expr::Load { param: 0, address }
}

fn looped(var: &str, extent: i64, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For(For { var: Symbol::from(var), extent: Dim::int(extent), kind, carried: Vec::new(), body })
}

fn store(address: Dim, value: Expr) -> Stmt {
    Stmt::Store { param: 1, address, value }
}

/// A kernel from four floats to four floats.
fn program(body: Vec<Stmt>) -> KernelProgram {
    let buffer = |name: &str, kind| Buffer { name: name.into(), dtype: DType::F32, len: Dim::int(4), kind };
    let param = |name: &str, access| Param { name: name.into(), dtype: DType::F32, access };
    KernelProgram {
        buffers: vec![buffer("x", BufferKind::Input(0)), buffer("y", BufferKind::Output(0))],
        kernels: vec![Kernel {
            name: "k".into(),
            params: vec![param("x", Access::Read), param("y", Access::Write)],
            body: Body::Loops(body),
        }],
        steps: vec![Step::Call {
            kernel: KernelId(0),
            buffers: vec![BufferId(0), BufferId(1)],
            location: LocationId::UNKNOWN,
        }],
        arena_bytes: Dim::ZERO,
        ..KernelProgram::default()
    }
}

fn found(body: Vec<Stmt>) -> Vec<String> {
    verify(&program(body)).into_iter().map(|d| d.message).collect()
}

fn run(body: Vec<Stmt>, x: [f32; 4]) -> Result<Vec<f32>, InterpretError> {
    let mut before = CallData::default();
    before.inputs.insert(0, x.iter().flat_map(|v| v.to_le_bytes()).collect());
    let after = interpret(&program(body), &BTreeMap::new(), &before, Order::Forward)?;
    Ok(after.outputs[&0].chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect())
}

#[test]
fn a_copy_is_fine() {
    let body = || vec![looped("i", 4, LoopKind::Vector, vec![store(sym("i"), load(sym("i")))])];
    assert_eq!(found(body()), [""; 0]);
    assert_eq!(run(body(), [1.0, 2.0, 3.0, 4.0]), Ok(vec![1.0, 2.0, 3.0, 4.0]));
    let text = pt2c_kernel::print(&program(body()));
    assert!(text.contains("  vector for i in 0..4 {\n    y[i] = x[i]\n  }\n"), "{text}");
}

#[test]
fn a_reduction_adds_in_f32() {
    let sum = For {
        var: Symbol::from("i"),
        extent: Dim::int(4),
        kind: LoopKind::Vector,
        carried: vec![Carried {
            var: Var(1),
            result: Var(2),
            dtype: DType::F32,
            init: Expr::Float(0.5, DType::F32),
            next: load(sym("i")),
            reduction: Some(ReduceOp::Sum),
        }],
        body: Vec::new(),
    };
    let body =
        || vec![Stmt::For(sum.clone()), looped("j", 4, LoopKind::Serial, vec![store(sym("j"), Expr::Var(Var(2)))])];
    assert_eq!(found(body()), [""; 0]);
    assert_eq!(run(body(), [1.0, 2.0, 3.0, 4.0]), Ok(vec![10.5; 4]));
    // What the loop carries is not visible behind it.
    let wrong = vec![Stmt::For(sum), store(Dim::ZERO, Expr::Var(Var(1)))];
    assert_eq!(found(wrong), ["v1 is not defined before its use"]);
}

#[test]
fn symbols_and_variables_are_in_scope() {
    let body = vec![
        looped("i", 4, LoopKind::Serial, vec![store(sym("i") + sym("j"), load(sym("k")))]),
        store(sym("i"), Expr::Var(Var(7))),
    ];
    assert_eq!(
        found(body),
        [
            "i + j speaks of `j`, which is not in scope",
            "k speaks of `k`, which is not in scope",
            "i speaks of `i`, which is not in scope",
            "v7 is not defined before its use",
        ]
    );
}

#[test]
fn types_fit() {
    let add = Expr::Binary(BinaryOp::Add, Box::new(load(Dim::ZERO)), Box::new(Expr::Int(1, DType::I64)));
    let not_bool = Stmt::If { condition: load(Dim::ZERO), then: Vec::new() };
    let body = vec![store(Dim::ZERO, add), store(Dim::ZERO, Expr::Bool(true)), not_bool];
    assert_eq!(
        found(body),
        ["Add of f32 and i64", "the value stored in `y` is bool, not f32", "a condition is f32, not bool"]
    );
}

#[test]
fn parameters_are_used_as_declared() {
    let read_y = Expr::Load { param: 1, address: Dim::ZERO };
    let write_x = Stmt::Store { param: 0, address: Dim::ZERO, value: read_y };
    let messages = found(vec![write_x]);
    assert_eq!(messages, ["`x` is written, but declared for reading", "`y` is read, but declared for writing"]);
}

#[test]
fn loops_keep_the_rules_of_their_kind() {
    let copy = || store(sym("i") * 2 + sym("j"), load(sym("j")));
    let nested = |outer, inner| vec![looped("i", 2, outer, vec![looped("j", 2, inner, vec![copy()])])];
    assert_eq!(found(nested(LoopKind::Parallel, LoopKind::Vector)), [""; 0]);
    assert_eq!(found(nested(LoopKind::Vector, LoopKind::Vector)), ["the vector loop over `j` is inside that over `i`"]);
    assert_eq!(found(nested(LoopKind::Serial, LoopKind::Parallel)), ["the parallel loop over `j` is not at top level"]);
    let same_place = vec![looped("i", 4, LoopKind::Parallel, vec![store(Dim::ZERO, load(sym("i")))])];
    assert_eq!(found(same_place), ["every iteration of the independent loop over `i` stores at 0"]);
}

#[test]
fn the_interpreter_checks_addresses_and_checks() {
    let past = vec![looped("i", 4, LoopKind::Serial, vec![store(sym("i"), load(sym("i") + 1))])];
    let error = run(past, [0.0; 4]).expect_err("reads past the end");
    assert_eq!(error.to_string(), "kernel `k`: element 4 of `x`, which has 4");
    let check = Stmt::Check {
        condition: Expr::Bool(false),
        message: "index {} is out of range".into(),
        value: Some(Expr::Int(9, DType::I64)),
    };
    assert_eq!(run(vec![check], [0.0; 4]).expect_err("fails").to_string(), "index 9 is out of range");
    // What is never written is no number.
    assert!(run(Vec::new(), [0.0; 4]).expect("runs").iter().all(|v| v.is_nan()));
}
