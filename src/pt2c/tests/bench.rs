//! `pt2c bench`: what a profile says of a program whose work is known from its architecture.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn recorded(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

fn bench(more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pt2c"))
        .arg("bench")
        .arg(recorded("real_crepe_tiny.dyn.pt2"))
        .arg("--inputs")
        .arg(recorded("real_crepe_tiny.dyn.inputs.safetensors"))
        .args(["--iterations", "3"])
        .args(more)
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_profile_knows_the_work_the_place_and_the_time_of_every_kernel() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let report = bench(&["--profile", "--json", "--trace", &trace.to_string_lossy()]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let kernels = report["kernels"].as_array().expect("kernels");
    // CREPE "tiny" on frames of 1024 samples: each convolution's outputs, then halved by pooling; a linear layer.
    let frames = 2.0;
    let layers = [
        (256, 128, 512),
        (128, 16, 128 * 64),
        (64, 16, 16 * 64),
        (32, 16, 16 * 64),
        (16, 32, 16 * 64),
        (8, 64, 32 * 64),
    ];
    let mut expected: Vec<f64> = layers.iter().map(|(n, out, k)| 2.0 * frames * f64::from(n * out * k)).collect();
    expected.push(2.0 * frames * f64::from(256 * 360));
    let heavy: Vec<&Value> =
        kernels.iter().filter(|k| ["conv", "matmul"].contains(&k["kind"].as_str().unwrap_or(""))).collect();
    assert_eq!(heavy.len(), expected.len());
    for (kernel, expected) in heavy.iter().zip(&expected) {
        let operations = kernel["operations"].as_f64().expect("operations");
        // Bias and activation come on top.
        assert!((*expected..=1.1 * expected).contains(&operations), "{kernel}: {expected}");
    }
    for kernel in kernels {
        assert_eq!(kernel["runs"], 1.0, "{kernel}");
        assert!(
            kernel["ms"].as_f64() > Some(0.0) && kernel["ms"].as_f64() <= kernel["average_ms"].as_f64(),
            "{kernel}"
        );
        assert!(kernel["line"].as_u64() > Some(0), "{kernel}");
    }
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(&trace).expect("a trace")).expect("JSON");
    assert_eq!(trace["traceEvents"].as_array().map(Vec::len), Some(kernels.len()));
    // Without marks the work is the same, found by one marked run because the number of frames is a symbol.
    let plain: Value = serde_json::from_str(&bench(&["--json"])).expect("JSON");
    assert_eq!(plain["operations"], report["operations"]);
    assert!(plain.get("kernels").is_none());
}

#[test]
fn the_table_names_kernels_modules_and_lines() {
    let table = bench(&["--profile"]);
    for expected in ["GFLOP/s", "share", "conv", "classifier", "model.py:", "1 thread(s)"] {
        assert!(table.contains(expected), "{expected} is missing:\n{table}");
    }
}
