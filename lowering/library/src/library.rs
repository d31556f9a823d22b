//! Puts the pieces together and writes the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::descriptor::WeightsInfo;
use crate::layout::Layout;
use crate::spec::{LibrarySpec, SpecError, Weights};
use crate::{archive, descriptor, header, manifest, package, runtime, symbols, weights};

/// Embedded weights above this size go to a file: the object formats and linkers' default code model reach 2 GiB.
pub const LARGEST_EMBEDDED: u64 = 1536 << 20;

/// An ELF object file.
#[derive(Clone, Debug)]
pub struct CompiledObject {
    /// Name of the archive member.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Where the weights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsPlacement {
    /// Into the archive.
    Embedded,
    /// Into `NAME.weights`, which the library maps when a context is created.
    File,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct LibraryFiles {
    pub archive: PathBuf,
    pub header: PathBuf,
    /// The interface as JSON, for bindings.
    pub manifest: PathBuf,
    pub pkg_config: PathBuf,
    pub cmake: PathBuf,
    pub weights: Option<PathBuf>,
}

/// Why no library was written.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The weights do not fit into an object.
    #[error(
        "{size} bytes of weights are too many to embed (the limit is {LARGEST_EMBEDDED}); keep them in a file \
         (--weights file)"
    )]
    WeightsTooLarge { size: u64 },
    /// The code generator broke the promise about symbols.
    #[error("{object} {} the symbol {symbol}, which is neither the library's own nor in libc or libm",
        if *.undefined { "needs" } else { "defines" })]
    Symbol { object: String, symbol: String, undefined: bool },
    /// An object could not be read or renamed.
    #[error("an object file is malformed: {0}")]
    Read(#[from] object::read::Error),
    #[error("an object file cannot be rewritten: {0}")]
    Rewrite(#[from] object::build::Error),
    #[error("an object file cannot be written: {0}")]
    Write(#[from] object::write::Error),
    #[error("cannot write {}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
}

/// All objects of the library in archive order: the given code first, then descriptor, runtime and (if embedded)
/// weights. Together they need only libc and libm, so they can also be linked or loaded without an archive.
pub fn link_objects(
    spec: &LibrarySpec,
    code: Vec<CompiledObject>,
    weights: &Weights<'_>,
    placement: WeightsPlacement,
) -> Result<Vec<CompiledObject>, LibraryError> {
    let layout = Layout::new(spec)?;
    let content = weights::content(weights);
    assemble(spec, &layout, code, &content, pt2c_abi::hash::hash(&content), placement)
}

fn assemble(
    spec: &LibrarySpec,
    layout: &Layout,
    code: Vec<CompiledObject>,
    content: &[u8],
    hash: u64,
    placement: WeightsPlacement,
) -> Result<Vec<CompiledObject>, LibraryError> {
    let name = &spec.name;
    let size = content.len() as u64;
    let to_file = placement == WeightsPlacement::File;
    let info = WeightsInfo { size, hash, file: to_file.then(|| weights_name(spec)) };
    // Code generators call the runtime by its own names; the library has names of its own.
    let mut objects = Vec::new();
    let mut with_routines = false;
    for object in code {
        with_routines |= runtime::calls_routines(&object.bytes)?;
        objects.push(CompiledObject { bytes: runtime::rename(&object.bytes, name)?, name: object.name });
    }
    objects.push(CompiledObject { name: format!("{name}_model.o"), bytes: descriptor::write(spec, layout, &info)? });
    objects.push(CompiledObject { name: format!("{name}_runtime.o"), bytes: runtime::object(name)? });
    if with_routines {
        objects.push(CompiledObject { name: format!("{name}_routines.o"), bytes: runtime::routines(name)? });
    }
    if !to_file && size > 0 {
        if size > LARGEST_EMBEDDED {
            return Err(LibraryError::WeightsTooLarge { size });
        }
        let bytes = weights::object(content, &format!("{name}__weights"))?;
        objects.push(CompiledObject { name: format!("{name}_weights.o"), bytes });
    }
    for object in &objects {
        symbols::check(&object.name, &object.bytes, name)?;
    }
    Ok(objects)
}

fn weights_name(spec: &LibrarySpec) -> String {
    format!("{}.weights", spec.name)
}

/// Writes `libNAME.a`, `NAME.h`, `NAME.json`, `NAME.pc`, `NAMEConfig.cmake` and, if asked for, `NAME.weights` into a folder that
/// exists. `code` must define `NAME__main` ([`pt2c_abi::MainFn`]) and may call the runtime as `pt2c_rt_parallel_for`
/// and `pt2c_rt_fail` (or as `NAME__rt_…`); everything else that it defines globally must begin with `NAME_`.
pub fn write_library(
    spec: &LibrarySpec,
    code: Vec<CompiledObject>,
    weights: &Weights<'_>,
    placement: WeightsPlacement,
    folder: &Path,
) -> Result<LibraryFiles, LibraryError> {
    let layout = Layout::new(spec)?;
    let content = weights::content(weights);
    let hash = pt2c_abi::hash::hash(&content);
    let objects = assemble(spec, &layout, code, &content, hash, placement)?;
    let name = &spec.name;
    let files = LibraryFiles {
        archive: folder.join(format!("lib{name}.a")),
        header: folder.join(format!("{name}.h")),
        manifest: folder.join(format!("{name}.json")),
        pkg_config: folder.join(format!("{name}.pc")),
        cmake: folder.join(format!("{name}Config.cmake")),
        weights: (placement == WeightsPlacement::File).then(|| folder.join(weights_name(spec))),
    };
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| LibraryError::Io { path, error }
    };
    archive::write(&files.archive, &objects).map_err(at(&files.archive))?;
    let header = header::write(spec, &layout, placement);
    fs::write(&files.header, header).map_err(at(&files.header))?;
    fs::write(&files.manifest, manifest::write(spec, &layout, placement)).map_err(at(&files.manifest))?;
    fs::write(&files.pkg_config, package::pkg_config(spec)).map_err(at(&files.pkg_config))?;
    fs::write(&files.cmake, package::cmake(spec)).map_err(at(&files.cmake))?;
    if let Some(path) = &files.weights {
        let write = || {
            let mut file = fs::File::create(path)?;
            weights::write_file(&mut file, &content, hash)
        };
        write().map_err(at(path))?;
    }
    Ok(files)
}
