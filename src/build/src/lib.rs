//! For `build.rs`: compiles exported PyTorch programs into the crate that is built.
//!
//! ```no_run
//! // build.rs
//! fn main() {
//!     pt2c_build::Model::new("model.pt2").compile().unwrap();
//! }
//! ```
//!
//! and in the crate
//!
//! ```text
//! mod model {
//!     include!(concat!(env!("OUT_DIR"), "/model.rs"));
//! }
//! let mut model = model::Model::new(1)?;
//! ```
//!
//! It runs the `pt2c` command, which `PT2C` or `PATH` tells, and says to cargo what to link and when to compile again.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that become one library.
#[derive(Clone, Debug)]
pub struct Model {
    files: Vec<PathBuf>,
    name: Option<String>,
    cpu: String,
    flags: Vec<OsString>,
    command: Option<PathBuf>,
}

/// Why there is no library.
#[derive(Debug)]
pub enum Error {
    /// Not in a build script: cargo's variable is missing.
    NotInBuildScript(&'static str),
    /// The command could not be started.
    Command {
        /// Its path.
        command: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The command said why it failed.
    Compile(String),
    /// The first file has no name to call the library by.
    Unnamed(PathBuf),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NotInBuildScript(variable) => write!(f, "{variable} is not set: this is for build scripts"),
            Error::Command { command, error } => {
                write!(f, "cannot run {}: {error}; install pt2c, or set PT2C to its path", command.display())
            }
            Error::Compile(said) => f.write_str(said),
            Error::Unnamed(path) => write!(f, "{}: a library takes its name from the file; give one", path.display()),
        }
    }
}

impl std::error::Error for Error {}

impl Model {
    /// The program of an archive. The path is relative to the crate's folder.
    pub fn new(file: impl Into<PathBuf>) -> Model {
        Model { files: vec![file.into()], name: None, cpu: "x86-64-v3".to_owned(), flags: Vec::new(), command: None }
    }

    /// One more program for the same library; each is a module of the generated Rust.
    #[must_use]
    pub fn and(mut self, file: impl Into<PathBuf>) -> Model {
        self.files.push(file.into());
        self
    }

    /// The library's name and that of the generated file; without, that of the archive.
    #[must_use]
    pub fn name(mut self, name: &str) -> Model {
        self.name = Some(name.to_owned());
        self
    }

    /// The processor to compile for: `native`, `x86-64`, `x86-64-v3` (as long as nothing is said), `x86-64-v4`, or LLVM's
    /// name of one.
    #[must_use]
    pub fn cpu(mut self, cpu: &str) -> Model {
        self.cpu = cpu.to_owned();
        self
    }

    /// Another flag of `pt2c compile`: `--specialize`, `batch=1`, one each.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<OsString>) -> Model {
        self.flags.push(flag.into());
        self
    }

    /// The command to run, instead of the one that `PT2C` or `PATH` tells.
    #[must_use]
    pub fn command(mut self, command: impl Into<PathBuf>) -> Model {
        self.command = Some(command.into());
        self
    }

    /// Compiles into `OUT_DIR`, tells cargo to link the library, and gives the path of the Rust file to include.
    ///
    /// # Errors
    /// [`Error`]; what the compiler says stands in it.
    pub fn compile(&self) -> Result<PathBuf, Error> {
        let variable = |name: &'static str| env::var_os(name).ok_or(Error::NotInBuildScript(name));
        let out = PathBuf::from(variable("OUT_DIR")?);
        let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
        println!("cargo::rerun-if-env-changed=PT2C");
        let chosen = self.command.clone().or_else(|| env::var_os("PT2C").map(PathBuf::from));
        let command = chosen.unwrap_or_else(|| PathBuf::from("pt2c"));
        let name = self.library()?;
        let mut run = Command::new(&command);
        run.arg("compile");
        for file in &self.files {
            let path = folder.join(file);
            println!("cargo::rerun-if-changed={}", path.display());
            run.arg(path);
        }
        run.args(["--name", &name, "--cpu", &self.cpu, "--bindings", "rust", "--quiet", "--output"]).arg(&out);
        let done = run.args(&self.flags).output().map_err(|error| Error::Command { command, error })?;
        let said = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            return Err(Error::Compile(said.into_owned()));
        }
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            println!("cargo::warning={line}");
        }
        println!("cargo::rustc-link-search=native={}", out.display());
        println!("cargo::rustc-link-lib=static={name}");
        println!("cargo::rustc-link-lib=m");
        println!("cargo::rustc-link-lib=pthread");
        Ok(out.join(format!("{name}.rs")))
    }

    /// The library's name: the given one, or letters and digits of the first file's.
    fn library(&self) -> Result<String, Error> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let file = self.files.first().map_or(Path::new(""), PathBuf::as_path);
        let stem = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
        let plain: String =
            stem.unwrap_or("").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        match plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => Ok(plain),
            false => Err(Error::Unnamed(file.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        let name = |file: &str| Model::new(file).library();
        assert_eq!(name("models/crepe-tiny.dyn.pt2").expect("a name"), "crepe_tiny");
        assert!(matches!(name("2.pt2"), Err(Error::Unnamed(_))));
        assert_eq!(Model::new("2.pt2").name("two").library().expect("a name"), "two");
    }
}
