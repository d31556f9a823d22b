//! The harness itself: cases that must fail do, and a failing case makes the whole test program fail.

use pt2c_lit::{blessed, run_case};
use std::path::PathBuf;
use std::process::Command;

const PROGRAM: &str = "program \"p\"\ninput \"x\": tensor\noutput \"y\": user\n\ngraph(%x: f32[2]) {\n  \
                       %y: f32[2] = aten.relu.default(%x)\n  return %y\n}\n";

#[test]
fn checks_that_hold_pass_and_others_fail() {
    let with = |lines: &str| run_case(&format!("// RUN: import\n{lines}\n{PROGRAM}"));
    assert_eq!(with("// CHECK: %y: f32[2] = aten.relu.default(%x)\n// CHECK-NEXT: return %y"), Ok(()));
    assert!(with("// CHECK: aten.sigmoid").is_err());
    assert!(with("// CHECK: graph\n// CHECK-NEXT: return").is_err());
    assert!(with("// CHECK-NOT: aten.relu\n// CHECK: return").is_err());
}

#[test]
fn a_case_without_expectations_fails_and_says_how_to_get_them() {
    let case = format!("// RUN: import\n{PROGRAM}");
    assert!(run_case(&case).expect_err("nothing is stated").contains("make bless"));
    let case = blessed(&case).expect("runs");
    assert_eq!(run_case(&case), Ok(()));
    assert_eq!(blessed(&case), Ok(case.clone()), "blessing twice changes nothing");
    let other = case.replace("//|   return %y", "//|   return %x");
    assert_ne!(other, case);
    let message = run_case(&other).expect_err("another result is stated");
    assert!(message.contains("expected `  return %x`, found `  return %y`"), "{message}");
}

#[test]
fn a_run_that_should_fail_must_fail() {
    assert!(run_case(&format!("// RUN: not import\n// CHECK: x\n{PROGRAM}")).is_err());
    let broken = PROGRAM.replace("relu.default(%x)", "relu.default(%z)");
    let message = run_case(&format!("// RUN: import\n// CHECK: x\n{broken}")).expect_err("does not parse");
    assert!(message.contains("`%z` is not defined before its use"), "{message}");
    assert_eq!(run_case(&format!("// RUN: not import\n// CHECK: `%z` is not defined\n{broken}")), Ok(()));
}

#[test]
fn a_case_must_say_what_to_run() {
    assert!(run_case(PROGRAM).is_err());
    assert!(
        run_case(&format!("// RUN: optimise\n{PROGRAM}")).expect_err("no phase").contains("`optimise` is no phase")
    );
}

#[test]
fn a_failing_case_fails_the_test_program() {
    let me = std::env::current_exe().expect("a path");
    let folder = me.parent().expect("a folder");
    let mut built: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lit-")) && p.extension().is_none())
        .collect();
    built.sort_by_key(|p| p.metadata().and_then(|m| m.modified()).ok());
    let program = built.last().expect("`lit` is built: run all tests of the crate");
    let run = |folder: &str| {
        let cases = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        Command::new(program).env("PT2C_LIT_CASES", cases).env_remove("PT2C_BLESS").output().expect("runs")
    };
    let failing = run("failing");
    assert!(!failing.status.success(), "{}", String::from_utf8_lossy(&failing.stdout));
    assert!(run("cases/import").status.success());
}
