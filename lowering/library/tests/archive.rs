//! The files themselves: symbols, two libraries in one program, shared linking, weights placement, determinism,
//! headers.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{c_file, code, has_valgrind, int, library, program, run, spec, stdout, weights};
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};
use pt2c_ir::DType;
use pt2c_library::{
    Leaf, LibraryError, LibrarySpec, State, Symbol, Weights, WeightsPlacement, link_objects, write_library,
};

/// The symbols that `nm` lists, one on each line after the object names.
fn nm(flags: &[&str], file: &Path) -> Vec<String> {
    let output = run(Command::new("nm").args(flags).arg(file));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|name| !name.ends_with(':'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn symbols_carry_the_prefix_and_need_only_libc() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let archive = folder.path().join("libscale.a");
    let defined = nm(&["-g", "--defined-only"], &archive);
    assert!(defined.iter().any(|name| name == "scale_run"), "{defined:?}");
    for name in &defined {
        assert!(name.starts_with("scale_"), "{name} does not carry the prefix");
    }
    // Nothing but libc and libpthread is linked: any other name would be unresolved.
    let undefined = nm(&["-u"], &archive);
    let libc = ["abort", "free", "memcpy", "pthread_create", "posix_memalign"];
    assert!(libc.iter().all(|name| undefined.iter().any(|found| found == name)), "{undefined:?}");
    run(Command::new("cc")
        .args(["-shared", "-nostdlib", "-Wl,-z,defs", "-Wl,--whole-archive"])
        .arg(&archive)
        .args(["-Wl,--no-whole-archive", "-lc", "-o"])
        .arg(folder.path().join("all.so")));
    // In a shared library only the public functions can be seen.
    let public = nm(&["-D", "--defined-only"], &folder.path().join("all.so"));
    assert!(public.iter().any(|name| name == "scale_run"));
    assert!(!public.iter().any(|name| name.contains("__") && name.starts_with("scale")), "{public:?}");
}

#[test]
fn a_foreign_symbol_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("foreign.c");
    fs::write(&source, "int puts(const char *); int scale__main(void) { return puts(\"no\"); }").unwrap();
    let object = folder.path().join("foreign.o");
    run(Command::new("cc").arg("-c").arg(&source).arg("-o").arg(&object));
    let code = vec![pt2c_library::CompiledObject { name: "foreign.o".into(), bytes: fs::read(object).unwrap() }];
    let error = link_objects(&spec("scale"), code, &weights(), WeightsPlacement::Embedded).unwrap_err();
    assert!(matches!(error, LibraryError::Symbol { ref symbol, undefined: true, .. } if symbol == "puts"), "{error}");
}

#[test]
fn two_libraries_in_one_program_on_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    library("other", folder.path(), WeightsPlacement::Embedded);
    let program = program("two.c", folder.path(), &["scale", "other"], &[]);
    let text = stdout(&program, &[]);
    let sums: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    // The same sums computed here from the model's definition.
    let (w, bias) = ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]);
    let scale: f64 = (0..200)
        .map(|call| 2 * (call % 33))
        .flat_map(|rows| (0..4 * rows).map(|i| ((i % 7) as f64 - 3.0, i % 4)))
        .map(|(x, column)| x * w[column] + bias[column] + x.max(0.0))
        .sum();
    let other: f64 = 200.0 * (0..8).map(|i| (i + 1) as f64 * w[i % 4] + bias[i % 4]).sum::<f64>();
    assert_eq!(sums, [scale, scale, other, other]);
    if has_valgrind("two_libraries_in_one_program_on_several_threads") {
        for tool in ["memcheck", "helgrind"] {
            let leaks: &[&str] = if tool == "memcheck" { &["--leak-check=full"] } else { &[] };
            run(Command::new("valgrind")
                .args(["-q", "--error-exitcode=9", &format!("--tool={tool}")])
                .args(leaks)
                .arg(&program));
        }
    }
}

#[test]
fn calls_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // No maximum: nothing is known about the arena, so that it grows.
    let mut spec = spec("scale");
    spec.symbols[0].max = i64::MAX;
    write_library(&spec, code("scale", folder.path()), &weights(), WeightsPlacement::Embedded, folder.path()).unwrap();
    let wraps =
        ["posix_memalign", "free", "malloc", "calloc", "realloc", "mmap"].map(|name| format!("-Wl,--wrap={name}"));
    let wraps: Vec<&str> = wraps.iter().map(String::as_str).collect();
    let program = program("allocations.c", folder.path(), &["scale"], &wraps);
    let expected = "\
2 rows: status 0, 1 allocations
2 rows: status 0, 0 allocations
64 rows: status 0, 2 allocations
8 rows: status 0, 0 allocations
64 rows: status 0, 0 allocations
32 rows: status 0, 0 allocations
34 rows: status 3, 0 allocations, these sizes need an arena of 1120 bytes; the context has 1024 and must not grow (no_grow); \
reserve before, or state a capacity
reserve: 0
64 rows: status 0, 0 allocations
";
    assert_eq!(stdout(&program, &[]), expected);
}

#[test]
fn weights_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    library("scale", folder.path(), WeightsPlacement::File);
    let program = program("weights.c", folder.path(), &["scale"], &[]);
    assert_eq!(stdout(&program, &[]), "0 44\n");
    assert_eq!(stdout(&program, &["scale.weights", "verify"]), "0 44\n");
    assert_eq!(stdout(&program, &["missing"]), "4 weights file \"missing\": cannot open it\n");
    fs::write(path("short"), b"pt2c").unwrap();
    assert_eq!(
        stdout(&program, &["short"]),
        "4 weights file \"short\": not a weights file: it is shorter than the header\n"
    );
    fs::write(path("text"), [b'x'; 100]).unwrap();
    assert_eq!(stdout(&program, &["text"]), "4 weights file \"text\": not a weights file of pt2c\n");
    let good = fs::read(path("scale.weights")).unwrap();
    assert_eq!(good.len(), 64 + 80);
    fs::write(path("cut"), &good[..100]).unwrap();
    assert_eq!(
        stdout(&program, &["cut"]),
        "4 weights file \"cut\": it holds 36 bytes of weights, but its header says 80: the file is damaged\n"
    );
    let mut changed = good.clone();
    changed[70] ^= 1;
    fs::write(path("changed"), &changed).unwrap();
    assert_eq!(
        stdout(&program, &["changed", "verify"]),
        "4 weights file \"changed\": its content does not match its hash: the file is damaged\n"
    );
    let mut other = good;
    other[24] ^= 1;
    fs::write(path("other"), &other).unwrap();
    assert_eq!(
        stdout(&program, &["other"]),
        "4 weights file \"other\": it was written for another model or another compilation of this one\n"
    );
}

#[test]
fn the_same_bytes_every_time_and_everywhere() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let objects = code("scale", one.path());
    for (folder, placement) in [(&one, WeightsPlacement::File), (&two, WeightsPlacement::File)] {
        write_library(&spec("scale"), objects.clone(), &weights(), placement, folder.path()).unwrap();
    }
    for file in ["libscale.a", "scale.h", "scale.pc", "scaleConfig.cmake", "scale.weights"] {
        let bytes = fs::read(one.path().join(file)).unwrap();
        assert!(bytes == fs::read(two.path().join(file)).unwrap(), "{file} differs");
        let manifest = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!bytes.windows(manifest.len()).any(|window| window == manifest), "{file} holds a path of this machine");
    }
}

/// Every element type, awkward names, no rank.
fn every_type() -> LibrarySpec {
    let leaf = |path: &str, dtype, shape| Leaf::tensor(path, 0, dtype, shape);
    let names = ["class", "this->x", "0", "*/", "a b", "int"];
    let mut inputs: Vec<Leaf> = DType::ALL
        .iter()
        .enumerate()
        .map(|(index, &dtype)| leaf(names.get(index).copied().unwrap_or("x"), dtype, vec![int(2), int(index as i64)]))
        .collect();
    inputs.push(leaf("scalar", DType::C64, vec![]));
    let outputs = DType::ALL.iter().map(|&dtype| leaf("y", dtype, vec![int(3)])).collect();
    LibrarySpec {
        name: "types".to_owned(),
        inputs,
        outputs,
        states: DType::ALL
            .iter()
            .map(|&dtype| State { path: "a.b".into(), dtype, shape: vec![2, 2], initial: None })
            .collect(),
        symbols: vec![Symbol { name: "unused".into(), min: 0, max: 5, computed: false }],
        ..LibrarySpec::default()
    }
}

#[test]
fn headers_compile_as_c99_and_cpp17() {
    let folder = tempfile::tempdir().unwrap();
    let main =
        pt2c_library::CompiledObject { name: "code.o".into(), bytes: code("types", folder.path())[0].bytes.clone() };
    write_library(&every_type(), vec![main], &Weights::default(), WeightsPlacement::Embedded, folder.path()).unwrap();
    let empty = LibrarySpec { name: "empty".to_owned(), ..LibrarySpec::default() };
    write_library(&empty, code("empty", folder.path()), &Weights::default(), WeightsPlacement::Embedded, folder.path())
        .unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wshadow", "-Wconversion", "-fsyntax-only", "-I"];
    for (compiler, standard, language) in [("cc", "-std=c99", "c"), ("c++", "-std=c++17", "c++")] {
        run(Command::new(compiler)
            .arg(standard)
            .args(strict)
            .arg(folder.path())
            .args(["-x", language])
            .arg(c_file("header.c")));
        for name in ["types", "empty", "scale"] {
            let header = folder.path().join(format!("{name}.h"));
            let text = fs::read_to_string(&header).unwrap();
            let source = folder.path().join("twice.c");
            fs::write(&source, format!("#include \"{name}.h\"\n#include \"{name}.h\"\n#include \"scale.h\"\n"))
                .unwrap();
            run(Command::new(compiler)
                .arg(standard)
                .args(strict)
                .arg(folder.path())
                .args(["-x", language])
                .arg(&source));
            assert!(!text.contains("#error") || text.contains("* A test. * / #error"), "the comment was left");
        }
    }
}

#[test]
fn build_systems_find_the_library() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let pkg_config =
        Command::new("pkg-config").args(["--cflags", "--libs", "scale"]).env("PKG_CONFIG_PATH", folder.path()).output();
    match pkg_config {
        Ok(output) if output.status.success() => {
            let flags = String::from_utf8(output.stdout).unwrap();
            let program = folder.path().join("with_pkg_config");
            run(Command::new("cc").arg(c_file("basic.c")).args(flags.split_whitespace()).arg("-o").arg(&program));
            assert!(stdout(&program, &["1"]).starts_with("needed: out 8"));
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("build_systems_find_the_library: pkg-config left out: {error}"),
    }
    if Command::new("cmake").arg("--version").output().is_err() {
        println!("build_systems_find_the_library: cmake is not installed, left out");
        return;
    }
    let lists = format!(
        "cmake_minimum_required(VERSION 3.10)\nproject(t C)\nfind_package(scale REQUIRED PATHS {} NO_DEFAULT_PATH)\n\
         add_executable(t {})\ntarget_link_libraries(t scale::scale)\n",
        folder.path().display(),
        c_file("basic.c").display()
    );
    fs::write(folder.path().join("CMakeLists.txt"), lists).unwrap();
    run(Command::new("cmake").args(["-S", ".", "-B", "build"]).current_dir(folder.path()));
    run(Command::new("cmake").args(["--build", "build"]).current_dir(folder.path()));
    assert!(stdout(&folder.path().join("build/t"), &["1"]).starts_with("needed: out 8"));
}

#[test]
fn large_weights_are_written_quickly_and_link() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = weights();
    // Above the limit from which a section for large data is used.
    let block = vec![7u8; 260 << 20];
    weights.push(block.as_slice());
    write_library(&spec("scale"), code("scale", folder.path()), &weights, WeightsPlacement::Embedded, folder.path())
        .unwrap();
    for flags in [&["-no-pie"][..], &["-pie", "-fPIE"]] {
        let program = program("weights.c", folder.path(), &["scale"], flags);
        assert_eq!(stdout(&program, &[]), "0 44\n", "{flags:?}");
    }
}

/// The kernel maps a file's pages as huge ones only where address and offset agree modulo a huge page.
#[test]
fn weights_of_some_size_start_at_a_huge_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = weights();
    weights.push(vec![1; 16 << 20]);
    let (spec, code) = (spec("scale"), code("scale", folder.path()));
    write_library(&spec, code.clone(), &weights, WeightsPlacement::Embedded, folder.path()).unwrap();
    let program = program("weights.c", folder.path(), &["scale"], &[]);
    assert_eq!(stdout(&program, &["none"]), "0 44\n");
    let bytes = fs::read(&program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let place = file.symbols().find(|symbol| symbol.name() == Ok("scale__weights")).unwrap().address();
    assert_eq!(place % pt2c_abi::HUGE_PAGE, 0);
    let holds =
        |segment: &object::Segment<'_, '_>| (segment.address()..segment.address() + segment.size()).contains(&place);
    let segment = file.segments().find(holds).unwrap();
    assert_eq!((place - segment.address() + segment.file_range().0) % pt2c_abi::HUGE_PAGE, 0);
    // Linkers in memory place sections within a page.
    let objects = link_objects(&spec, code, &weights, WeightsPlacement::Embedded).unwrap();
    let object = object::File::parse(objects.last().unwrap().bytes.as_slice()).unwrap();
    assert!(object.sections().all(|section| section.align() <= 4096));
}
