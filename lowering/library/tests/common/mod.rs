//! A small model with every feature of the interface, compiled from `tests/c/model.c`, and a way to run C programs
//! with it.
// Not every test file uses everything.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Pred};
use pt2c_library::{
    Buffer, CompiledObject, Constant, Constraint, Leaf, LibrarySpec, Literal, Stage, State, Symbol, Weights,
    WeightsPlacement, write_library,
};

pub fn s(name: &str) -> Dim {
    Dim::sym(name)
}

pub fn int(value: i64) -> Dim {
    Dim::int(value)
}

/// The interface of `tests/c/model.c` for the library `name`.
pub fn spec(name: &str) -> LibrarySpec {
    let x = Leaf::tensor("x", 0, DType::F32, vec![s("s0"), int(4)]);
    let mut y = Leaf::tensor("batch[\"y\"]", 2, DType::F32, vec![s("s0") * int(2) + int(1)]);
    y.mutated = true;
    let out = Leaf::tensor("out", 0, DType::F32, vec![s("s0"), int(4)]);
    let mut positive = Leaf::tensor("positive", 1, DType::F32, vec![s("u0")]);
    positive.most = Some(s("s0") * int(4));
    LibrarySpec {
        name: name.to_owned(),
        description: vec!["A test. */ #error \"the comment was left\" /*".to_owned()],
        cpu: "x86-64".to_owned(),
        cpu_features: vec!["+sse3".to_owned()],
        inputs: vec![x, y, Leaf::int("n", 3, s("s1"))],
        outputs: vec![out, positive, Leaf::int("total", 2, s("s0") * int(4) + s("s1"))],
        constants: vec![Constant { path: "flag".into(), output: false, position: 1, value: Literal::Bool(true) }],
        symbols: vec![
            Symbol { name: "s0".into(), min: 0, max: 64, computed: false },
            Symbol { name: "s1".into(), min: 2, max: i64::MAX, computed: false },
            Symbol { name: "u0".into(), min: 0, max: i64::MAX, computed: true },
        ],
        constraints: vec![
            Constraint { rule: Pred::divisible(&s("s0"), &int(2)), text: Some("must be even (s0 % 2 == 0)".into()) },
            Constraint { rule: Pred::le(&s("s0"), &(s("s1") * int(8))), text: None },
        ],
        states: vec![
            State { path: "counter.calls".into(), dtype: DType::I64, shape: vec![], initial: None },
            State { path: "bias".into(), dtype: DType::F32, shape: vec![4], initial: Some(64) },
        ],
        buffers: vec![
            Buffer::Input(0),
            Buffer::Input(1),
            Buffer::Output(0),
            Buffer::Arena { offset: int(0), size: s("s0") * int(16) },
            Buffer::Arena { offset: (s("s0") * int(16)).ceil_div(&int(64)) * int(64), size: s("s0") * int(16) },
            Buffer::Weights { offset: 0, size: 16 },
            Buffer::State(0),
            Buffer::State(1),
            Buffer::Output(1),
        ],
        stages: vec![Stage { symbol: 2, arena: int(0) }],
        arena_size: Some((s("s0") * int(16)).ceil_div(&int(64)) * int(64) + s("s0") * int(16)),
        messages: vec!["x holds NaN at element {}".to_owned()],
        forward: Default::default(),
        functions: Vec::new(),
    }
}

/// w = 1, 2, 3, 4; the initial bias = 10, 20, 30, 40.
pub fn weights() -> Weights<'static> {
    let bytes = |values: [f32; 4]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut weights = Weights::default();
    assert_eq!(weights.push(bytes([1.0, 2.0, 3.0, 4.0])), 0);
    assert_eq!(weights.push(bytes([10.0, 20.0, 30.0, 40.0])), 64);
    weights
}

pub fn c_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The object that the code generator would have made.
pub fn code(name: &str, folder: &Path) -> Vec<CompiledObject> {
    code_from("model.c", name, folder)
}

/// The object of the entry function in `tests/c/SOURCE`.
pub fn code_from(source: &str, name: &str, folder: &Path) -> Vec<CompiledObject> {
    let object = folder.join(format!("{name}_code.o"));
    run(Command::new("cc")
        .args(["-c", "-O2", "-fPIC", &format!("-DMODEL={name}"), "-o"])
        .arg(&object)
        .arg(c_file(source)));
    vec![CompiledObject { name: format!("{name}_code.o"), bytes: std::fs::read(object).unwrap() }]
}

/// Writes the library `name` into the folder.
pub fn library(name: &str, folder: &Path, placement: WeightsPlacement) {
    write_library(&spec(name), code(name, folder), &weights(), placement, folder).unwrap();
}

/// Compiles `tests/c/NAME.c` with the libraries in the folder and returns the program.
pub fn program(name: &str, folder: &Path, libraries: &[&str], flags: &[&str]) -> PathBuf {
    let program = folder.join(name.trim_end_matches(".c").replace(".cpp", "_cpp"));
    let compiler = if name.ends_with(".cpp") { "c++" } else { "cc" };
    run(Command::new(compiler)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(folder)
        .arg("-o")
        .arg(&program)
        .arg(c_file(name))
        .args(libraries.iter().map(|library| folder.join(format!("lib{library}.a"))))
        .args(["-lm", "-pthread"])
        .args(flags));
    program
}

/// What a program prints.
pub fn stdout(program: &Path, arguments: &[&str]) -> String {
    let folder = program.parent().unwrap();
    let output = run(Command::new(program).args(arguments).current_dir(folder));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether valgrind is installed; says so if a check is left out.
pub fn has_valgrind(test: &str) -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("{test}: left out, valgrind is not installed");
    }
    found
}
