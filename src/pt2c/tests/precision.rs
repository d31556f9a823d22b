//! `pt2c compile --quantize-weights`: smaller libraries, and the difference to f32 measured and told.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn recorded(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

/// Compiles CREPE, whose linear layer of 256 × 360 weights is the only product large enough.
fn compile(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pt2c"))
        .arg("compile")
        .arg(recorded("real_crepe_tiny.dyn.pt2"))
        .args(["--name", "crepe", "--weights", "file", "-o"])
        .arg(folder)
        .args(more)
        .output()
        .expect("the command runs")
}

#[test]
fn weights_shrink_and_the_difference_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = |more: &[&str]| {
        let output = compile(folder.path(), more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::metadata(folder.path().join("crepe.weights")).expect("weights").len();
        (bytes as i64, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (exact, told) = size(&[]);
    assert!(!told.contains("differ"), "{told}");
    let inputs = recorded("real_crepe_tiny.dyn.inputs.safetensors");
    let inputs = inputs.to_string_lossy();
    // Of 4 bits with the 32nd part of a scale's 32; 8 bits; 16 bits.
    for (name, bits, most) in [("int4", 5, 30.0), ("int8", 8, 3.0), ("bf16", 16, 1.0)] {
        let (fewer, told) = size(&["--quantize-weights", name, "--measure-on", &inputs]);
        // The layer's elements, padded to whole vectors, less a scale for each column.
        let saved = 256 * 360 * (32 - bits) / 8;
        assert!((exact - fewer - saved).abs() < saved / 20, "{name}: {exact} {fewer}");
        let line =
            told.lines().find(|l| l.starts_with(&format!("{name} weights: on the given inputs"))).expect("a line");
        let percent = line.split("at most ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
        let percent: f64 = percent.parse().expect("a number");
        assert!(percent > 0.0 && percent < most, "{line}");
    }
    let (both, told) = size(&["--precision", "bf16", "--measure-on", &inputs]);
    assert!((exact - both - 256 * 360 * 2).abs() < 256 * 360 / 10, "{exact} {both}");
    assert!(told.contains("bf16 products: on the given inputs outputs differ"), "{told}");
    let output = compile(folder.path(), &["--precision", "bf16", "--quantize-weights", "int8"]);
    assert!(!output.status.success(), "one choice excludes the other");
    let output = compile(folder.path(), &["--quantize-weights", "int8", "--cpu", "x86-64", "--quiet"]);
    assert!(output.status.success() && output.stdout.is_empty());
    let wrong = compile(folder.path(), &["--quantize-weights", "int3"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("int8"));
}
