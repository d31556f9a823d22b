//! The subcommands, one file each.

pub mod batch;
pub mod bench;
pub mod check;
pub mod compare;
pub mod compile;
pub mod convert;
pub mod inspect;
pub mod opt;
pub mod run;
pub mod verify;

use crate::compile::Settings;
use pt2c_ir::Diagnostic;
use pt2c_native::Target;
use pt2c_native::program::Keep;
use std::path::Path;

/// What a subcommand ends in: diagnostics that have not been shown yet.
pub type Outcome = Result<(), Diagnostic>;

/// The library's default name: the file's, as a C identifier.
pub fn default_name(model: &Path) -> String {
    let stem = model.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_suffix(".pt2").unwrap_or(&stem).to_string();
    let mut name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "model_");
    }
    name.truncate(64);
    name
}

/// Settings from the flags that several commands have.
pub fn settings(model: &Path, name: Option<&str>, cpu: &str, keep: Keep) -> Result<Settings, Diagnostic> {
    let target = Target::from_flag(cpu).map_err(crate::compile::native_error)?;
    let name = name.map_or_else(|| default_name(model), str::to_string);
    Ok(Settings { keep, ..Settings::new(name, target) })
}

/// Who reads what a command tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum MessageFormat {
    Human,
    Json,
}

impl MessageFormat {
    /// Tells what went wrong or should be known.
    pub fn show(self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            match self {
                MessageFormat::Human => eprintln!("{}", crate::render::render(diagnostic)),
                MessageFormat::Json => eprintln!("{}", crate::render::to_json(diagnostic)),
            }
        }
    }
}

/// Shows what the importer wants the user to know.
pub fn show_warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        eprintln!("{}", crate::render::render(warning));
    }
}
