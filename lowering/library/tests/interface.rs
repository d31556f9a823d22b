//! The generated interface, driven from C: results, state, errors and their messages.

mod common;

use std::process::Command;

use common::{code, code_from, has_valgrind, int, library, program, run, s, stdout};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_library::{Buffer, Leaf, LibrarySpec, SpecError, Symbol, Weights, WeightsPlacement, write_library};

const BASIC: &str = "\
needed: out 8 (2 x 4), positive 8 (-1)
out 11 16 39 24 15 32 9 72
positive (5) 1 3 5 6 8
total 15, y[0] 3, calls 3
changed bias: 101
after reset: 11, calls 1
NaN: status 5, x holds NaN at element 5
again: status 0, \"\"
empty: status 0, 
empty shapes 0 x 4, 0
model scale: 3 inputs, first word of n 5, dim text 2*s0 + 1, y position 2
";

#[test]
fn runs_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let program = program("basic.c", folder.path(), &["scale"], &[]);
    for threads in ["1", "2", "4", "0"] {
        assert_eq!(stdout(&program, &[threads]), BASIC, "{threads} threads");
    }
    if has_valgrind("runs_with_any_number_of_threads") {
        for threads in ["1", "3"] {
            run(Command::new("valgrind")
                .args(["-q", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"])
                .arg(&program)
                .arg(threads));
        }
    }
}

#[test]
fn every_violation_is_named() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let program = program("errors.c", folder.path(), &["scale"], &[]);
    let expected = "\
fixed size: 1 input \"x\": dimension 1 is 5, but must be 4
above range: 1 input \"x\": dimension 0 is 66, but must be at most 64 (s0 <= 64)
negative: 1 input \"x\": dimension 0 is -1, but must not be negative
integer below range: 1 input \"n\": its value is 1, but must be at least 2 (s1 >= 2)
derived: 1 input \"batch[\"y\"]\": dimension 0 is 6, but must be 5 (2*s0 + 1, where s0 = 2 is dimension 0 of input \"x\")
divisibility: 1 input \"x\": dimension 0 is 3, but must be even (s0 % 2 == 0)
two symbols: 1 input \"n\": its value is 2, but must satisfy s0 <= 8*s1, where s0 = 20 is dimension 0 of input \"x\" and s1 = 2 is input \"n\"
null input: 1 input \"x\": data is NULL, but 8 elements are expected
misaligned input: 1 input \"x\": data is not aligned: its address must be a multiple of 4 (float32)
null output: 1 output \"out\": data is NULL, but 8 elements are expected
small output: 2 output \"out\": capacity is 7, but 8 elements are needed (shape [2, 4])
misaligned output: 1 output \"out\": data is not aligned: its address must be a multiple of 4 (float32)
small computed output: 2 output \"positive\": capacity is 0, but 1 element is needed (shape [1])
null structs: 1 the inputs are NULL; 1 the outputs are NULL; 1 there is no context: out of memory, or its address was not given
threads: 1 options: threads is -1, but must be between 0 (automatic) and 1024
run on it: 1 options: threads is -1, but must be between 0 (automatic) and 1024
size: 1 options: size is 8, but must be 48 (start from the options_default function of this library's header)
capacity: 1 options: capacity.s0 is 65, but must be between 0 (no statement) and 64
create without a place: 1
";
    assert_eq!(stdout(&program, &[]), expected);
}

fn symbol(name: &str, min: i64, max: i64) -> Symbol {
    Symbol { name: name.into(), min, max, computed: false }
}

#[test]
fn threads_divide_many_small_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let spec = LibrarySpec {
        name: "stress".into(),
        inputs: vec![Leaf::int("n", 0, s("n"))],
        outputs: vec![Leaf::tensor("out", 0, DType::I64, vec![int(13)])],
        symbols: vec![symbol("n", 0, i64::MAX)],
        buffers: vec![Buffer::Output(0)],
        ..LibrarySpec::default()
    };
    let code = code_from("stress_model.c", "stress", folder.path());
    write_library(&spec, code, &Weights::default(), WeightsPlacement::Embedded, folder.path()).unwrap();
    let program = program("stress.c", folder.path(), &["stress"], &[]);
    for threads in ["1", "2", "3", "8", "40"] {
        let tasks = 3000;
        assert_eq!(
            stdout(&program, &[threads, &tasks.to_string()]),
            format!("{tasks} ").repeat(13),
            "{threads} threads"
        );
    }
    // A forked process has no threads but its own: it must not wait for the others.
    assert_eq!(stdout(&program, &["3", "200", "fork"]), "200 ".repeat(4 * 13));
    if has_valgrind("threads_divide_many_small_tasks") {
        run(Command::new("valgrind")
            .args(["-q", "--tool=helgrind", "--error-exitcode=9"])
            .arg(&program)
            .args(["3", "200"]));
    }
}

/// a: [3*p + 1], b: [p + 2*q]; q can be had only after p.
fn solve() -> LibrarySpec {
    LibrarySpec {
        name: "solve".into(),
        inputs: vec![
            Leaf::tensor("b", 0, DType::F32, vec![s("p") + s("q") * int(2)]),
            Leaf::tensor("a", 1, DType::F32, vec![s("p") * int(3) + int(1)]),
        ],
        outputs: vec![Leaf::tensor("y", 0, DType::F32, vec![s("p"), Dim::max_of([s("q") * s("q"), s("p")])])],
        symbols: vec![symbol("q", 0, i64::MAX), symbol("p", 2, 1 << 40), symbol("unused", 0, 9)],
        ..LibrarySpec::default()
    }
}

#[test]
fn symbols_are_solved_from_formulas() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = || code("solve", folder.path());
    write_library(&solve(), nothing(), &Weights::default(), WeightsPlacement::Embedded, folder.path()).unwrap();
    let program = program("solve.c", folder.path(), &["solve"], &[]);
    assert_eq!(stdout(&program, &["13", "10"]), "0 4 9");
    assert_eq!(
        stdout(&program, &["12", "10"]),
        "1 input \"a\": dimension 0 is 12, but must be 3*p + 1 with an integer p0 0"
    );
    assert_eq!(
        stdout(&program, &["4", "10"]),
        "1 input \"a\": dimension 0 is 4, but must be 3*p + 1 with p >= 2 (here p = 1)0 0"
    );
    assert_eq!(
        stdout(&program, &["13", "9"]),
        "1 input \"b\": dimension 0 is 9, but must be p + 2*q with an integer q0 0"
    );
    assert_eq!(
        stdout(&program, &["13", "2"]),
        "1 input \"b\": dimension 0 is 2, but must be p + 2*q with q >= 0 (here q = -1)0 0"
    );
    // Sizes whose products leave 63 bits.
    let huge = (1i64 << 62).to_string();
    assert_eq!(stdout(&program, &["7", &huge]), format!("1 input \"b\": its bytes cannot be counted in 63 bits0 0"));
}

#[test]
fn impossible_descriptions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |change: &dyn Fn(&mut LibrarySpec)| {
        let mut spec = solve();
        change(&mut spec);
        let code = code("solve", folder.path());
        let placement = WeightsPlacement::Embedded;
        match write_library(&spec, code, &Weights::default(), placement, folder.path()) {
            Err(pt2c_library::LibraryError::Spec(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refuse(&|spec| spec.name = "pthread".into()), SpecError::Name(_)));
    let error = refuse(&|spec| {
        spec.inputs.pop();
    });
    assert!(matches!(error, SpecError::Unbound { .. }), "{error}");
    let error = refuse(&|spec| spec.outputs[0].shape.push(s("other")));
    assert!(matches!(error, SpecError::Undeclared { .. }), "{error}");
    let error = refuse(&|spec| spec.buffers.push(Buffer::Input(7)));
    assert!(matches!(error, SpecError::Inconsistent(_)), "{error}");
    let error = refuse(&|spec| spec.outputs[0].shape.push(Dim::sym("u0")));
    assert!(matches!(error, SpecError::Undeclared { .. }), "{error}");
    let error = refuse(&|spec| {
        spec.symbols.push(Symbol { computed: true, ..symbol("u0", 0, 5) });
        spec.outputs[0].shape.push(Dim::sym("u0"));
    });
    assert!(error.to_string().contains("which nothing computes"), "{error}");
}

/// Linux's names of the features that pt2c calls otherwise.
fn linux_name(feature: &str) -> String {
    match feature {
        "sse3" => "pni".into(),
        "bmi" => "bmi1".into(),
        "lzcnt" => "abm".into(),
        "avxvnni" => "avx_vnni".into(),
        "avx512vnni" | "avx512bf16" | "avx512fp16" => feature.replace("avx512", "avx512_"),
        other => other.replace(['.', '-'], "_"),
    }
}

#[test]
fn the_machine_must_have_the_instructions() {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags: Vec<&str> = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap().split_whitespace().collect();
    let names = pt2c_abi::cpu::FEATURES.iter().map(|(name, _)| *name);
    let (present, missing): (Vec<&str>, Vec<&str>) = names.partition(|name| flags.contains(&linux_name(name).as_str()));
    let folder = tempfile::tempdir().unwrap();
    let result = |features: &[&str]| {
        let mut spec = solve();
        spec.cpu_features = features.iter().map(|name| format!("+{name}")).collect();
        let code = code("solve", folder.path());
        write_library(&spec, code, &Weights::default(), WeightsPlacement::Embedded, folder.path()).unwrap();
        stdout(&program("solve.c", folder.path(), &["solve"], &[]), &["13", "10"])
    };
    assert_eq!(result(&present), "0 4 9", "{present:?}");
    if missing.is_empty() {
        println!("the_machine_must_have_the_instructions: this machine has all, the refusal is left out");
        return;
    }
    let all: Vec<&str> = present.iter().chain(&missing).copied().collect();
    let expected = format!(
        "7 this machine lacks instructions that the library was compiled for: {}",
        pt2c_abi::cpu::FEATURES.iter().map(|f| f.0).filter(|name| missing.contains(name)).collect::<Vec<_>>().join(" ")
    );
    assert_eq!(result(&all), expected);
}

#[test]
fn state_is_saved_and_loaded_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let program = program("state.c", folder.path(), &["scale"], &[]);
    let printed = stdout(&program, &[]);
    let (small, rest) = printed.split_once('\n').unwrap_or_default();
    assert!(small.starts_with("small: 2 the state has "), "{small}");
    let expected = "\
needed again: 1
saved: pt2cstat version 1, 2 buffers
cut: 1 the saved state is cut off; calls 0
short: 1 these bytes are no saved state; calls 0
null: 1 the saved state is NULL; calls 0
changed: 1 these bytes are no saved state; calls 0
changed: 1 the saved state has version 3, this library reads version 1; calls 0
changed: 1 the saved state is that of another model: its buffers have other names, types or shapes; calls 0
changed: 1 the saved state is damaged; calls 0
good: 0 ; calls 41
bias 2.5
reset: calls 0
";
    assert_eq!(rest, expected);
    if has_valgrind("state_is_saved_and_loaded_whole_or_not_at_all") {
        run(Command::new("valgrind").args(["-q", "--error-exitcode=9", "--leak-check=full"]).arg(&program));
    }
}
