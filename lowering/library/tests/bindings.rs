//! The generated bindings, compiled by the languages' own compilers and run.

mod common;

use pt2c_library::{WeightsPlacement, cpp, rust};
use std::process::Command;

#[test]
fn cpp_takes_spans_and_throws() {
    let folder = tempfile::tempdir().unwrap();
    common::library("scale", folder.path(), WeightsPlacement::Embedded);
    let text = cpp("scale", &[&common::spec("scale")]).unwrap();
    std::fs::write(folder.path().join("scale.hpp"), text).unwrap();
    let program = common::program("spans.cpp", folder.path(), &["scale"], &["-std=c++20"]);
    assert_eq!(
        common::stdout(&program, &[]),
        "11 72 [2, 4]\n7 positive, total 11, y 1, calls 1\n\
         1: input \"x\": the data has another number of elements than the shape\n\
         1: input \"x\": dimension 0 is 1, but must be even (s0 % 2 == 0)\ncalls 0\n"
    );
}

#[test]
fn rust_takes_slices_and_returns_errors() {
    let folder = tempfile::tempdir().unwrap();
    common::library("scale", folder.path(), WeightsPlacement::Embedded);
    let text = rust("scale", &[&common::spec("scale")]).unwrap();
    std::fs::write(folder.path().join("scale.rs"), text).unwrap();
    let program = folder.path().join("slices");
    common::run(
        Command::new("rustc")
            .args(["--edition", "2024", "-D", "warnings", "-A", "dead_code", "-l", "static=scale", "-L"])
            .arg(folder.path())
            .arg("-o")
            .arg(&program)
            .arg(common::c_file("slices.rs"))
            .env("FOLDER", folder.path()),
    );
    assert_eq!(
        common::stdout(&program, &[]),
        "11 72 [2, 4]\n7 positive, total 11\ninput \"x\": 8 elements for the shape [3, 4]\n\
         1: input \"x\": dimension 0 is 1, but must be even (s0 % 2 == 0)\ny 1, calls 1\ncalls 0\n"
    );
}
