//! Compiles `runtime/` with rustc: `no_std`, all crates optimised as one, position independent, for any CPU of the
//! target's family. The static library that rustc makes holds one object with everything of ours (and
//! compiler-builtins, which is not needed): that object is taken out, checked, and embedded into this crate.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use object::{Object, ObjectSymbol};

include!("src/allowed_symbols.rs");

fn main() {
    if let Err(message) = build() {
        println!("cargo::error={}", message.replace('\n', " "));
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set: build this crate with cargo"));
    let runtime = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../runtime");
    let runtime = runtime.canonicalize().map_err(|error| format!("{}: {error}", runtime.display()))?;
    for folder in ["src", "abi/src", "routines"] {
        println!("cargo::rerun-if-changed={}", runtime.join(folder).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/allowed_symbols.rs");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let rustc = variable("RUSTC")?;
    let target = variable("TARGET")?;
    if !target.starts_with("x86_64-") || !target.contains("-linux-") {
        return Err(format!("libraries are made for x86-64 Linux; the runtime cannot be compiled for {target}"));
    }

    let abi = out.join("libpt2c_abi.rlib");
    let library = out.join("libpt2c_runtime.a");
    compile(&rustc, &target, &runtime, "pt2c_abi", "rlib", "abi/src/lib.rs", &abi, &[])?;
    let with_abi = ["--extern".to_owned(), format!("pt2c_abi={}", abi.display()), "-Clto=fat".to_owned()];
    compile(&rustc, &target, &runtime, "pt2c_runtime", "staticlib", "src/lib.rs", &library, &with_abi)?;

    let bytes = fs::read(&library).map_err(|error| error.to_string())?;
    let object = extract(&bytes, "pt2c_api_run")?;
    fs::write(out.join("runtime.o"), object).map_err(|error| error.to_string())?;

    // The routines are an object of their own: only libraries that call one contain it.
    let (rlib, library) = (out.join("libpt2c_routines.rlib"), out.join("libpt2c_routines.a"));
    compile(&rustc, &target, &runtime, "pt2c_routines", "rlib", "routines/src/lib.rs", &rlib, &[])?;
    let with_routines = ["--extern".to_owned(), format!("pt2c_routines={}", rlib.display()), "-Clto=fat".to_owned()];
    compile(&rustc, &target, &runtime, "pt2c_entry", "staticlib", "routines/entry.rs", &library, &with_routines)?;
    let bytes = fs::read(&library).map_err(|error| error.to_string())?;
    let object = extract(&bytes, "pt2c_rt_routine_lu_f32")?;
    fs::write(out.join("routines.o"), object).map_err(|error| error.to_string())
}

#[allow(clippy::too_many_arguments)]
fn compile(
    rustc: &str,
    target: &str,
    runtime: &Path,
    name: &str,
    kind: &str,
    source: &str,
    output: &Path,
    more: &[String],
) -> Result<(), String> {
    let mut command = Command::new(rustc);
    command
        .args(["--edition=2024", "--crate-name", name, "--crate-type", kind, "--target", target])
        .args(["-Cpanic=abort", "-Copt-level=3", "-Ccodegen-units=1", "-Crelocation-model=pic", "-Ctarget-cpu=x86-64"])
        .args(["-Cforce-unwind-tables=no", "-Cdebuginfo=0", "-Cembed-bitcode=yes"])
        // The same bytes wherever the repository lies.
        .arg(format!("--remap-path-prefix={}=runtime", runtime.display()))
        .args(more)
        .arg("-o")
        .arg(output)
        .arg(runtime.join(source));
    // Flags meant for the workspace's own crates must not change the runtime.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let result = command.output().map_err(|error| format!("cannot start {rustc}: {error}"))?;
    if !result.status.success() {
        return Err(format!("compiling the runtime failed: {}", String::from_utf8_lossy(&result.stderr)));
    }
    Ok(())
}

/// The member of the static library that defines a function, with everything it must satisfy checked.
fn extract<'a>(library: &'a [u8], defines: &str) -> Result<&'a [u8], String> {
    let archive = object::read::archive::ArchiveFile::parse(library).map_err(|error| error.to_string())?;
    for member in archive.members() {
        let data = member.and_then(|member| member.data(library)).map_err(|error| error.to_string())?;
        let Ok(file) = object::File::parse(data) else {
            continue;
        };
        let globals: Vec<_> = file.symbols().filter(|symbol| symbol.is_global() || symbol.is_undefined()).collect();
        if !globals.iter().any(|symbol| symbol.name() == Ok(defines) && !symbol.is_undefined()) {
            continue;
        }
        for symbol in globals {
            let name = symbol.name().map_err(|error| error.to_string())?;
            let ours = name.starts_with("pt2c_api_") || name.starts_with("pt2c_rt_");
            if !(name.is_empty() || ours || symbol.is_undefined() && is_allowed(name)) {
                return Err(format!("the runtime must not define or need the symbol {name}"));
            }
        }
        return Ok(data);
    }
    Err(format!("rustc's static library holds no object that defines {defines}"))
}
