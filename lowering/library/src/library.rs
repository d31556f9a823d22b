//! Puts the pieces together and writes the files.

use std::fs;
use std::path::{Path, PathBuf};

use pt2c_abi::ALIGNMENT;

use crate::descriptor::WeightsInfo;
use crate::layout::Layout;
use crate::spec::{Buffer, LibrarySpec, SpecError, Weights};
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
    /// Bytes of the weights, wherever they are.
    pub weights_size: u64,
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

/// One program of a library.
pub struct Entry<'a> {
    pub spec: &'a LibrarySpec,
    /// Must define `NAME__main` ([`pt2c_abi::MainFn`]) for the spec's name, and may call the runtime as
    /// `pt2c_rt_parallel_for` and `pt2c_rt_fail` (or as `NAME__rt_…`); everything else that it defines globally must
    /// begin with `NAME_`.
    pub code: Vec<CompiledObject>,
    pub weights: Weights<'a>,
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
    // Linkers in memory place sections within one page size.
    let weights = Content::new(&spec.name, weights.clone(), placement, ALIGNMENT)?;
    let mut objects = assemble(spec, &layout, code, &weights)?;
    objects.extend(weights.into_object());
    Ok(objects)
}

/// The weights of a library: what goes into their file, or the object that embeds them.
struct Content<'a> {
    library: &'a str,
    bytes: Vec<u8>,
    size: u64,
    hash: u64,
    placement: WeightsPlacement,
}

impl<'a> Content<'a> {
    /// `alignment`: of the object's section, in bytes.
    fn new(
        library: &'a str,
        weights: Weights<'_>,
        placement: WeightsPlacement,
        alignment: u64,
    ) -> Result<Content<'a>, LibraryError> {
        let size = weights.size();
        if placement == WeightsPlacement::File || size == 0 {
            let bytes = weights::content(weights);
            let hash = pt2c_abi::hash::hash(&bytes);
            return Ok(Content { library, bytes, size, hash, placement });
        }
        if size > LARGEST_EMBEDDED {
            return Err(LibraryError::WeightsTooLarge { size });
        }
        let (bytes, place) = weights::object(weights, &format!("{library}__weights"), alignment)?;
        let hash = pt2c_abi::hash::hash(bytes.get(place).unwrap_or_default());
        Ok(Content { library, bytes, size, hash, placement })
    }

    /// Name of the file, if they go to one.
    fn file(&self) -> Option<String> {
        (self.placement == WeightsPlacement::File).then(|| format!("{}.weights", self.library))
    }

    fn symbol(&self) -> String {
        format!("{}__weights", self.library)
    }

    /// The object that embeds them.
    fn into_object(self) -> Option<CompiledObject> {
        if self.placement == WeightsPlacement::File || self.size == 0 {
            return None;
        }
        Some(CompiledObject { name: format!("{}_weights.o", self.library), bytes: self.bytes })
    }
}

/// The objects of one program.
fn assemble(
    spec: &LibrarySpec,
    layout: &Layout,
    code: Vec<CompiledObject>,
    weights: &Content<'_>,
) -> Result<Vec<CompiledObject>, LibraryError> {
    let name = &spec.name;
    let info = WeightsInfo { size: weights.size, hash: weights.hash, file: weights.file(), symbol: weights.symbol() };
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
    for object in &objects {
        symbols::check(&object.name, &object.bytes, weights.library, &spec.functions)?;
    }
    Ok(objects)
}

/// Writes the library of one program; see [`write_entries`].
pub fn write_library(
    spec: &LibrarySpec,
    code: Vec<CompiledObject>,
    weights: &Weights<'_>,
    placement: WeightsPlacement,
    folder: &Path,
) -> Result<LibraryFiles, LibraryError> {
    write_entries(&spec.name, vec![Entry { spec, code, weights: weights.clone() }], placement, folder)
}

/// Writes `libNAME.a`, `NAME.h`, `NAME.json`, `NAME.pc`, `NAMEConfig.cmake` and, if asked for, `NAME.weights` into a
/// folder that exists. The names of several entries must begin with `NAME_`; of weights that are equal there is one copy.
pub fn write_entries(
    name: &str,
    mut entries: Vec<Entry<'_>>,
    placement: WeightsPlacement,
    folder: &Path,
) -> Result<LibraryFiles, LibraryError> {
    let (specs, weights) = match entries.as_mut_slice() {
        [only] => (vec![only.spec.clone()], std::mem::take(&mut only.weights)),
        several => merge(several),
    };
    let placed = specs.into_iter().map(|spec| Layout::new(&spec).map(|layout| (spec, layout)));
    let specs = placed.collect::<Result<Vec<(LibrarySpec, Layout)>, _>>()?;
    let alignment = weights::linked_alignment(weights.size());
    let content = Content::new(name, weights, placement, alignment)?;
    let mut objects = Vec::new();
    for ((spec, layout), entry) in specs.iter().zip(entries) {
        objects.extend(assemble(spec, layout, entry.code, &content)?);
    }
    let weights_file = content.file();
    let files = LibraryFiles {
        archive: folder.join(format!("lib{name}.a")),
        header: folder.join(format!("{name}.h")),
        manifest: folder.join(format!("{name}.json")),
        pkg_config: folder.join(format!("{name}.pc")),
        cmake: folder.join(format!("{name}Config.cmake")),
        weights: weights_file.as_ref().map(|file| folder.join(file)),
        weights_size: content.size,
    };
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| LibraryError::Io { path, error }
    };
    fs::write(&files.header, header::write(name, &specs, placement)).map_err(at(&files.header))?;
    let manifest = manifest::write(name, &specs, weights_file.as_deref());
    fs::write(&files.manifest, manifest).map_err(at(&files.manifest))?;
    let description = specs.first().and_then(|(spec, _)| spec.description.first());
    fs::write(&files.pkg_config, package::pkg_config(name, description)).map_err(at(&files.pkg_config))?;
    fs::write(&files.cmake, package::cmake(name)).map_err(at(&files.cmake))?;
    if let (Some(path), Some(name)) = (&files.weights, &weights_file) {
        // Under another name first: a running program may have the old file mapped, and would crash if it were cut.
        let partial = folder.join(format!(".{name}.partial"));
        let write = || {
            let mut file = fs::File::create(&partial)?;
            weights::write_file(&mut file, &content.bytes, content.hash)?;
            fs::rename(&partial, path)
        };
        write().map_err(at(path))?;
    }
    objects.extend(content.into_object());
    archive::write(&files.archive, &objects).map_err(at(&files.archive))?;
    Ok(files)
}

/// The weights of several programs, equal pieces once, and the programs with their places in them.
fn merge<'a>(entries: &mut [Entry<'a>]) -> (Vec<LibrarySpec>, Weights<'a>) {
    let mut merged = Weights::default();
    let mut specs = Vec::new();
    for entry in entries {
        let moved = merged.absorb(&std::mem::take(&mut entry.weights));
        let place = |offset: u64| {
            let piece = moved.range(..=offset).next_back();
            piece.map_or(offset, |(old, new)| offset - old + new)
        };
        let mut spec = entry.spec.clone();
        for buffer in &mut spec.buffers {
            if let Buffer::Weights { offset, .. } = buffer {
                *offset = place(*offset);
            }
        }
        for initial in spec.states.iter_mut().filter_map(|state| state.initial.as_mut()) {
            *initial = place(*initial);
        }
        specs.push(spec);
    }
    (specs, merged)
}
