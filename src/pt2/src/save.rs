//! Writing archives: [`ExportedProgram::save`] makes what `torch.export.load` reads.
//!
//! The format is that of `torch.export.save` 2.15 (schema 8.20): one root folder, stored entries whose data start at
//! multiples of 64 bytes, one raw file per storage, so tied weights and overlapping views stay what they are. The
//! same program gives the same bytes: no clock, no identifiers, no paths.

use std::io::{Cursor, Seek, Write};
use std::path::Path;

use indexmap::IndexMap;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::ExportedProgram;
use crate::payload::{Payload, Payloads, StoredTensor};
use crate::schema::{self, Layout, PayloadConfig, PayloadMeta, SchemaVersion, SymInt, TensorMeta};

/// The schema that is written.
pub const WRITTEN_SCHEMA: SchemaVersion = SchemaVersion { major: 8, minor: 20 };

/// Every entry's data starts at a multiple of this many bytes, so that it can be mapped.
const ALIGNMENT: u16 = 64;

/// Entries from this size on need the zip64 form.
const ZIP64_FROM: usize = u32::MAX as usize;

/// Why a program cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The operating system could not write the file.
    #[error("cannot write {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The zip writer refused.
    #[error("cannot write the archive: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A document that JSON cannot express.
    #[error("cannot write {entry}: {error}")]
    Json {
        /// The entry.
        entry: String,
        /// Why.
        error: serde_json::Error,
    },
    /// The program contradicts itself, so a file of it could not be loaded.
    #[error(transparent)]
    Schema(#[from] schema::SchemaError),
    /// A parameter, buffer or constant of the signature that neither dictionary holds.
    #[error("there is no data for {fqn:?}, which the signature names")]
    MissingTensor {
        /// Its name.
        fqn: String,
    },
    /// A number that the schema's 64 bits do not hold.
    #[error("{fqn}: {value} does not fit the archive's 64-bit integers")]
    TooLarge {
        /// The tensor.
        fqn: String,
        /// The size, stride or offset.
        value: u64,
    },
    /// A name that cannot be part of an entry's name.
    #[error("{name:?} cannot be an entry's name")]
    BadName {
        /// As given.
        name: String,
    },
}

impl ExportedProgram {
    /// Writes the program to a file that `torch.export.load` reads. The folder inside is named after the file, as
    /// PyTorch does.
    ///
    /// # Errors
    /// [`SaveError`]; the file is written under another name first, so a failure leaves no broken archive behind.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        let io = |error| SaveError::Io { path: path.display().to_string(), error };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let root = name.strip_suffix(".pt2").unwrap_or(&name).to_owned();
        let root = if plain(&root) { root } else { "archive".to_owned() };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let partial = folder.join(format!(".{name}.partial"));
        let written = std::fs::File::create(&partial)
            .map_err(io)
            .and_then(|file| self.write(&root, std::io::BufWriter::with_capacity(1 << 20, file)))
            .and_then(|_| std::fs::rename(&partial, path).map_err(io));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&partial);
        }
        written
    }

    /// The archive's bytes, with the root folder [`ExportedProgram::archive_name`].
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, SaveError> {
        let root = if plain(&self.archive_name) { self.archive_name.as_str() } else { "archive" };
        Ok(self.write(root, Cursor::new(Vec::new()))?.into_inner())
    }

    /// Writes the archive with this root folder.
    fn write<W: Write + Seek>(&self, root: &str, out: W) -> Result<W, SaveError> {
        let model = if self.model_name.is_empty() { "model" } else { &self.model_name };
        for name in std::iter::once(model).chain(self.extra_files.keys().map(String::as_str)) {
            if !name.split('/').all(plain) {
                return Err(SaveError::BadName { name: name.to_owned() });
            }
        }
        let document = format!("models/{model}.json");
        self.program.graph_module.signature.check(&document, &self.program.graph_module.graph)?;
        self.check_specs(&document)?;
        for fqn in self.graph_signature().input_specs.iter().filter_map(schema::InputSpec::target) {
            if !self.state_dict.entries.contains_key(fqn) && !self.constants.entries.contains_key(fqn) {
                return Err(SaveError::MissingTensor { fqn: fqn.to_owned() });
            }
        }
        let mut program = self.program.clone();
        program.schema_version = WRITTEN_SCHEMA;

        let mut zip = ArchiveWriter { zip: ZipWriter::new(out), root };
        let weights = zip.payloads("data/weights", "weight_", &self.state_dict)?;
        zip.json(&format!("data/weights/{model}_weights_config.json"), &weights)?;
        let constants = zip.payloads("data/constants", "tensor_", &self.constants)?;
        zip.json(&format!("data/constants/{model}_constants_config.json"), &constants)?;
        zip.json(&document, &program)?;
        zip.entry(&format!("data/sample_inputs/{model}.pt"), &self.example_inputs)?;
        for (name, bytes) in &self.extra_files {
            zip.entry(&format!("extra/{name}"), bytes)?;
        }
        zip.entry("archive_format", b"pt2")?;
        zip.entry("archive_version", b"0")?;
        zip.entry(".data/version", b"6\n")?;
        zip.entry("byteorder", b"little")?;
        let mut out = zip.zip.finish()?;
        out.flush().map_err(|error| SaveError::Io { path: "the archive".to_owned(), error })?;
        Ok(out)
    }
}

/// Whether a name can be one part of an entry's name.
fn plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.chars().any(|c| c.is_control() || c == '/' || c == '\\')
}

struct ArchiveWriter<'r, W: Write + Seek> {
    zip: ZipWriter<W>,
    root: &'r str,
}

impl<W: Write + Seek> ArchiveWriter<'_, W> {
    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), SaveError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(bytes.len() >= ZIP64_FROM);
        let full = format!("{}/{name}", self.root);
        self.zip.start_file(full.clone(), options)?;
        self.zip.write_all(bytes).map_err(|error| SaveError::Io { path: full, error })
    }

    fn json<T: serde::Serialize>(&mut self, name: &str, value: &T) -> Result<(), SaveError> {
        let bytes = serde_json::to_vec(value).map_err(|error| SaveError::Json { entry: name.to_owned(), error })?;
        self.entry(name, &bytes)
    }

    /// Writes one file per storage and element type, as PyTorch does, and says which tensors are views of which.
    fn payloads(&mut self, folder: &str, prefix: &str, payloads: &Payloads) -> Result<PayloadConfig, SaveError> {
        let mut config = IndexMap::new();
        let mut files: Vec<(StoredTensor, String)> = Vec::new();
        let mut counts: IndexMap<&str, usize> = IndexMap::new();
        let mut number = |prefix| {
            let count = counts.entry(prefix).or_insert(0);
            *count += 1;
            format!("{prefix}{}", *count - 1)
        };
        // Archives may hold thousands of tensors: find the file of a storage by its address and type.
        let mut known: std::collections::BTreeMap<(usize, usize, i64), usize> = std::collections::BTreeMap::new();
        for (fqn, payload) in &payloads.entries {
            let meta = match payload {
                Payload::Tensor(tensor) => {
                    let bytes = &tensor.storage.bytes;
                    let key = (bytes.as_ptr() as usize, bytes.len(), tensor.dtype.number());
                    let index = *known.entry(key).or_insert(files.len());
                    let path = match files.get(index) {
                        Some((_, path)) => path.clone(),
                        None => {
                            let path = number(prefix);
                            self.entry(&format!("{folder}/{path}"), bytes)?;
                            files.push((tensor.clone(), path.clone()));
                            path
                        }
                    };
                    PayloadMeta {
                        path_name: path,
                        is_param: tensor.is_param,
                        use_pickle: false,
                        tensor_meta: Some(meta_of(fqn, tensor)?),
                    }
                }
                // The reader decides by the file's name what kind of object it is.
                Payload::Pickled { meta, bytes } => {
                    let kinds = ["custom_obj_", "opaque_obj_", "tensor_", "weight_"];
                    let prefix = kinds.into_iter().find(|kind| meta.path_name.starts_with(kind)).unwrap_or(prefix);
                    let path = number(prefix);
                    self.entry(&format!("{folder}/{path}"), bytes)?;
                    PayloadMeta { path_name: path, ..meta.clone() }
                }
            };
            config.insert(fqn.clone(), meta);
        }
        Ok(PayloadConfig { config })
    }
}

/// What the config says of a tensor.
fn meta_of(fqn: &str, tensor: &StoredTensor) -> Result<TensorMeta, SaveError> {
    let int = |&value: &u64| {
        i64::try_from(value).map(SymInt::AsInt).map_err(|_| SaveError::TooLarge { fqn: fqn.to_owned(), value })
    };
    Ok(TensorMeta {
        dtype: tensor.dtype,
        sizes: tensor.sizes.iter().map(int).collect::<Result<_, _>>()?,
        requires_grad: tensor.requires_grad,
        device: tensor.device.clone(),
        strides: tensor.strides.iter().map(int).collect::<Result<_, _>>()?,
        storage_offset: int(&tensor.offset)?,
        layout: Layout::Strided,
    })
}
