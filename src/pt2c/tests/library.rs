//! The library as a stranger gets it: written by the command, linked by the system's C compiler, run as a program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn model(name: &str) -> PathBuf {
    repository().join("tests/models").join(format!("{name}.pt2"))
}

fn recorded(name: &str, kind: &str) -> PathBuf {
    repository().join("tests/models").join(format!("{name}.{kind}.safetensors"))
}

fn pt2c(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pt2c")).args(args).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program that must succeed and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Compiles a recorded program for a processor that valgrind can emulate as well.
fn library(name: &str, as_name: &str, folder: &Path, more: &[&str]) {
    let (model, folder) = (model(name), folder.to_string_lossy().into_owned());
    let model = model.to_string_lossy();
    let mut args = vec!["compile", &model, "-o", &folder, "--name", as_name, "--cpu", "x86-64-v3", "--quiet"];
    args.extend(more);
    let output = pt2c(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// The generic harness of `bench/`, linked with one library.
fn harness(name: &str, folder: &Path) -> PathBuf {
    let program = folder.join(format!("{name}_harness"));
    run(Command::new("cc")
        .args(["-O1", "-g", "-std=c99", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("-DPT2C_NAME={name}"))
        .arg(format!("-DPT2C_HEADER=\"{name}.h\""))
        .arg("-I")
        .arg(folder)
        .arg(repository().join("bench/harness.c"))
        .arg(folder.join(format!("lib{name}.a")))
        .args(["-lm", "-pthread", "-o"])
        .arg(&program));
    program
}

fn symbols(archive: &Path, flags: &[&str]) -> Vec<String> {
    let listing = run(Command::new("nm").args(flags).arg(archive));
    listing
        .lines()
        .filter(|l| !l.ends_with(':') && !l.is_empty())
        .filter_map(|l| l.split_whitespace().last().map(str::to_string))
        .collect()
}

#[test]
fn needs_only_libc_and_exports_only_its_prefix() {
    let folder = tempfile::tempdir().unwrap();
    for (name, as_name) in [("real_silero_vad_16k.dyn", "vad"), ("hf_gpt2_tiny", "gpt2"), ("m_kvcache_step", "step")] {
        library(name, as_name, folder.path(), &[]);
        let archive = folder.path().join(format!("lib{as_name}.a"));
        let defined = symbols(&archive, &["-g", "--defined-only"]);
        assert!(!defined.is_empty());
        let stray: Vec<&String> = defined.iter().filter(|s| !s.starts_with(&format!("{as_name}_"))).collect();
        assert!(stray.is_empty(), "{as_name} exports {stray:?}");
        // What stays undefined must come from libc and libm: nothing else is on this link line.
        let main = folder.path().join("main.c");
        std::fs::write(&main, format!("#include \"{as_name}.h\"\nint main(void) {{ {as_name}_context *c; return {as_name}_create(0, &c) != 0; }}\n")).unwrap();
        let program = folder.path().join("main");
        run(Command::new("cc")
            .args(["-std=c99", "-nodefaultlibs", "-I"])
            .arg(folder.path())
            .arg(&main)
            .arg(&archive)
            .args(["-Wl,-z,defs", "-lc", "-lm", "-o"])
            .arg(&program));
        run(&mut Command::new(&program));
        let outside: Vec<String> = symbols(&archive, &["-u"])
            .into_iter()
            .filter(|s| !s.starts_with(&format!("{as_name}_")) && !s.starts_with('_'))
            .collect();
        for s in ["std", "rust", "llvm", "mlir", "torch"] {
            assert!(!outside.iter().any(|o| o.to_lowercase().contains(s)), "{as_name} needs {outside:?}");
        }
    }
}

#[test]
fn two_models_live_in_one_program() {
    let folder = tempfile::tempdir().unwrap();
    library("m_lstm", "first", folder.path(), &[]);
    library("real_crepe_tiny.dyn", "second", folder.path(), &[]);
    let main = folder.path().join("two.c");
    std::fs::write(
        &main,
        "#include \"first.h\"\n#include \"second.h\"\n#include <stdio.h>\n\
         static float frames[2 * 1024], bins[2 * 360];\n\
         int main(void) {\n\
         first_context *a; second_context *b;\n\
         if (first_create(0, &a) != first_OK || second_create(0, &b) != second_OK) return 1;\n\
         second_inputs in = second_inputs_default(); second_outputs out = second_outputs_default();\n\
         in.x.data = frames; in.x.shape[0] = 2; out.output.data = bins; out.output.capacity = 720;\n\
         frames[5] = 1;\n\
         if (second_run(b, &in, &out) != second_OK) return 2;\n\
         printf(\"%d %d\\n\", (int)out.output.shape[0], (int)out.output.shape[1]);\n\
         in.x.shape[1] = 1000;\n\
         if (second_run(b, &in, &out) != second_ERROR_ARGUMENT) return 3;\n\
         puts(second_error(b));\n\
         first_destroy(a); second_destroy(b); return 0; }\n",
    )
    .unwrap();
    for (compiler, standard) in [("cc", "-std=c99"), ("c++", "-std=c++17")] {
        if compiler == "c++" && Command::new("c++").arg("--version").output().is_err() {
            eprintln!("not checked as C++: there is no c++ on this machine");
            continue;
        }
        let program = folder.path().join("two");
        let mut command = Command::new(compiler);
        if compiler == "c++" {
            command.args(["-x", "c++"]);
        }
        command.args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(folder.path()).arg(&main);
        if compiler == "c++" {
            command.args(["-x", "none"]);
        }
        command.args([folder.path().join("libfirst.a"), folder.path().join("libsecond.a")]);
        run(command.args(["-lm", "-pthread", "-o"]).arg(&program));
        let printed = run(&mut Command::new(&program));
        let mut lines = printed.lines();
        assert_eq!(lines.next(), Some("2 360"));
        let error = lines.next().unwrap_or_default();
        assert!(error.contains("\"x\"") && error.contains("dimension 1") && error.contains("1000"), "{error}");
    }
}

#[test]
fn the_same_archive_gives_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&a, &b] {
        library("hf_bert_tiny", "bert", folder.path(), &["--weights", "file"]);
        library("real_mtcnn_onet.dyn", "onet", folder.path(), &["--emit", "asm"]);
    }
    let mut compared = 0;
    for entry in std::fs::read_dir(a.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |folder: &Path| std::fs::read(folder.join(&name)).unwrap();
        assert!(read(a.path()) == read(b.path()), "{name:?} differs");
        compared += 1;
    }
    assert!(compared >= 9, "only {compared} files");
}

fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        eprintln!("not checked: valgrind is not installed");
    }
    found
}

/// Compiles a recorded program and calls it under valgrind with each of its recorded inputs: at most `samples`.
fn run_in_valgrind(name: &str, as_name: &str, folder: &Path, samples: usize) {
    library(name, as_name, folder, &[]);
    let program = harness(as_name, folder);
    let kinds = std::iter::once("inputs".to_string()).chain((1..samples).map(|n| format!("inputs{n}")));
    for inputs in kinds.map(|kind| recorded(name, &kind)).filter(|inputs| inputs.exists()) {
        run(Command::new("valgrind")
            .args(["-q", "--error-exitcode=9", "--leak-check=full"])
            .arg(&program)
            .arg(&inputs)
            .args(["--iterations", "-1", "--threads", "2"]));
    }
}

#[test]
fn valgrind_finds_nothing() {
    if !has_valgrind() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let programs = [
        ("real_silero_vad_16k.dyn", "vad"),
        ("real_crepe_tiny.dyn", "crepe"),
        ("m_kvcache_prefill.dyn", "cache"),
        ("hf_llama", "llama"),
    ];
    for (name, as_name) in programs {
        run_in_valgrind(name, as_name, folder.path(), 2);
    }
}

/// Every kind of kernel at 1, at odd sizes and at the upper bound. With `PT2C_VALGRIND=all` (`make valgrind`) every
/// recorded program with dynamic sizes.
#[test]
fn valgrind_finds_nothing_at_any_size() {
    if !has_valgrind() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<String> =
        ["shapes/blocks", "shapes/blocks.from_4", "shapes/pooling", "dynamic/counts"].map(String::from).into();
    if std::env::var("PT2C_VALGRIND").is_ok_and(|v| v == "all") {
        for kind in ["shapes", "dynamic", "dims"] {
            let entries = std::fs::read_dir(repository().join("tests/models").join(kind)).unwrap();
            let found = entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".pt2").map(String::from));
            names.extend(found.map(|name| format!("{kind}/{name}")));
        }
        names.sort();
        names.dedup();
    }
    for name in &names {
        let as_name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        run_in_valgrind(name, &as_name, folder.path(), 4);
    }
}

#[test]
fn weights_in_a_file_give_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    library("real_silero_vad_16k.dyn", "embedded", folder.path(), &[]);
    library("real_silero_vad_16k.dyn", "mapped", folder.path(), &["--weights", "file"]);
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("libmapped.a") < 300_000 && size("mapped.weights") > 1_000_000);
    let mut results = Vec::new();
    for name in ["embedded", "mapped"] {
        let program = harness(name, folder.path());
        let outputs = folder.path().join(format!("{name}.safetensors"));
        let inputs = recorded("real_silero_vad_16k.dyn", "inputs");
        run(Command::new(program)
            .current_dir(folder.path())
            .arg(inputs)
            .args(["--iterations", "-1", "--outputs"])
            .arg(&outputs));
        results.push(std::fs::read(outputs).unwrap());
    }
    assert!(results[0] == results[1]);
}

#[test]
fn bad_input_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let good = std::fs::read(model("m_ensemble.dyn")).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 3] ^= 0x55;
    let crepe = model("real_crepe_tiny.dyn").to_string_lossy().into_owned();
    let cases: Vec<(Vec<String>, &str)> = vec![
        (vec!["compile".into(), file("empty.pt2", b"")], "empty file"),
        (vec!["compile".into(), file("text.pt2", b"hello")], "not a zip archive"),
        (vec!["compile".into(), file("cut.pt2", &good[..good.len() / 2])], "cut off"),
        (vec!["compile".into(), folder.path().join("missing.pt2").to_string_lossy().into_owned()], "missing.pt2"),
        (vec!["compile".into(), crepe.clone(), "--cpu".into(), "pentium".into()], "x86-64-v3"),
        (vec!["compile".into(), crepe.clone(), "--print-after".into(), "magic".into()], "fuse"),
        (vec!["run".into(), crepe.clone()], "not given"),
        (
            vec!["run".into(), crepe, "--inputs".into(), recorded("m_lstm", "inputs").to_string_lossy().into_owned()],
            "[1, 10, 8]",
        ),
    ];
    for (args, expected) in cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = pt2c(&args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains("error") && error.contains(expected), "{args:?}: {error}");
        assert!(!error.contains("panicked"), "{args:?}: {error}");
    }
    // What an older PyTorch saved is no error.
    let old = pt2c(&["inspect", &model("versions/torch_2.5.1").to_string_lossy()]);
    assert!(old.status.success() && text(&old.stdout).contains("buffer mutation"), "{}", text(&old.stderr));
    // A damaged byte is either noticed or harmless; it never ends in a panic.
    let output = pt2c(&["inspect", &file("flipped.pt2", &flipped)]);
    assert!(!text(&output.stderr).contains("panicked"));
}
