//! Weights, buffers and constants: strided views over the archive's payload files.
//!
//! A payload file is one whole storage; a config (`PayloadConfig`) says which tensors are views of it, and how.
//! Tied weights and overlapping views name the same file and share one [`Storage`] here. A view is accepted only
//! if every element it can reach lies inside the file, so later reads need no checks of their own. Nothing is
//! unpickled: entries that only Python can decode are kept by name and refused when a tensor is asked of them.

use std::sync::Arc;

use indexmap::IndexMap;
use pt2c_ir::{Bytes, DType, TensorData};

use crate::archive::{Archive, ArchiveError};
use crate::limits;
use crate::pickle::PickleError;
use crate::schema::{self, Device, Layout, PayloadMeta, ScalarType, SchemaError, SymInt, TensorMeta};

/// What is wrong with a weight or constant. `fqn` is its fully qualified name in the module.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The container.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The config's JSON.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A path that leads out of its folder.
    #[error("{fqn}: the payload path {path:?} is not a plain file name")]
    BadPath {
        /// The tensor.
        fqn: String,
        /// As written in the config.
        path: String,
    },
    /// The config names a file that is not in the archive.
    #[error("{fqn}: the archive has no entry {path:?}")]
    MissingFile {
        /// The tensor.
        fqn: String,
        /// The entry's name below the root folder.
        path: String,
    },
    /// The program uses a weight that the config does not list.
    #[error("the archive holds no data for {kind} {fqn:?}")]
    MissingTensor {
        /// `parameter`, `buffer` or `constant`.
        kind: &'static str,
        /// Its name.
        fqn: String,
    },
    /// Only Python can decode it.
    #[error(
        "{fqn}: stored as a pickle (a tensor subclass or custom object), which is never executed; export the module with plain tensors"
    )]
    Pickled {
        /// The tensor or object.
        fqn: String,
    },
    /// A `torch.save` file whose pickle cannot be followed.
    #[error("{path}: {error}")]
    Pickle {
        /// The archive entry.
        path: String,
        /// Why.
        error: Box<PickleError>,
    },
    /// A `torch.save` file that refers to a function or class that plain tensors do not need.
    #[error(
        "{path}: {fqn:?} is made by {global}, which is not called: only plain tensors and containers are read from pickles"
    )]
    ForeignGlobal {
        /// The tensor.
        fqn: String,
        /// The archive entry.
        path: String,
        /// What the pickle asks to call.
        global: String,
    },
    /// A `torch.save` file whose objects do not fit together.
    #[error("{path}: {reason}")]
    Malformed {
        /// The archive entry.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A payload without a description.
    #[error("{fqn}: not pickled, yet without tensor_meta")]
    NoMeta {
        /// The tensor.
        fqn: String,
    },
    /// A dtype or layout that a raw payload cannot have.
    #[error("{fqn}: {what} is not supported for stored tensors")]
    Unsupported {
        /// The tensor.
        fqn: String,
        /// Which dtype or layout.
        what: String,
    },
    /// A number that is negative, symbolic, too large or of the wrong count.
    #[error("{fqn}: {field} {reason}")]
    BadNumber {
        /// The tensor.
        fqn: String,
        /// `sizes`, `strides` or `storage_offset`.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The view reaches beyond the end of the file.
    #[error("{fqn}: {view} needs {needed} bytes of {path:?}, which has {available}")]
    OutOfBounds {
        /// The tensor.
        fqn: String,
        /// Its file.
        path: String,
        /// Its type, sizes, strides and offset, for the message.
        view: String,
        /// Bytes from the file's begin to the end of the last element.
        needed: u128,
        /// Bytes of the file.
        available: u64,
    },
}

/// One payload file: the bytes of an untyped storage.
#[derive(Debug)]
pub struct Storage {
    /// The entry's name below the root folder.
    pub path: String,
    /// All of it, little-endian.
    pub bytes: Bytes,
}

impl PartialEq for Storage {
    fn eq(&self, other: &Storage) -> bool {
        self.path == other.path && *self.bytes == *other.bytes
    }
}

impl Eq for Storage {}

/// A tensor as a view of a storage, checked to lie inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Shared by tied weights and overlapping views.
    pub storage: Arc<Storage>,
    /// Element type.
    pub dtype: ScalarType,
    /// Size of each dimension; at most [`limits::MAX_RANK`] of them.
    pub sizes: Vec<u64>,
    /// Stride of each dimension in elements; zero for expanded ones, never negative.
    pub strides: Vec<u64>,
    /// Index of the first element in the storage.
    pub offset: u64,
    /// Bytes of one element.
    pub element_size: u64,
    /// A parameter rather than a buffer or constant.
    pub is_param: bool,
    /// Whether autograd tracked it.
    pub requires_grad: bool,
    /// Where it lived at export.
    pub device: Device,
}

impl StoredTensor {
    /// The same view as the IR's tensor data, without a copy.
    ///
    /// # Errors
    /// [`PayloadError::Unsupported`] for element types that the IR does not have.
    pub fn data(&self, fqn: &str) -> Result<TensorData, PayloadError> {
        let unsupported = |what: String| PayloadError::Unsupported { fqn: fqn.to_owned(), what };
        let dtype = DType::try_from(self.dtype).map_err(|_| unsupported(format!("dtype {:?}", self.dtype)))?;
        let narrow = |values: &[u64]| values.iter().map(|&v| usize::try_from(v).ok()).collect::<Option<Vec<_>>>();
        let parts = (narrow(&self.sizes), narrow(&self.strides), usize::try_from(self.offset).ok());
        let (Some(sizes), Some(strides), Some(offset)) = parts else {
            return Err(unsupported("a size beyond this machine's addresses".to_owned()));
        };
        TensorData::strided(dtype, sizes, strides, offset, self.storage.bytes.clone())
            .map_err(|error| unsupported(error.to_string()))
    }

    /// Whether both see the same bytes in the same way.
    pub fn same_view(&self, other: &StoredTensor) -> bool {
        self.storage.bytes.same_storage(&other.storage.bytes)
            && self.dtype == other.dtype
            && self.sizes == other.sizes
            && self.strides == other.strides
            && self.offset == other.offset
    }
}

/// One entry of a config.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Raw bytes seen as a tensor.
    Tensor(StoredTensor),
    /// A tensor subclass or custom object that only Python can decode; kept to be written back.
    Pickled {
        /// As listed.
        meta: PayloadMeta,
        /// The pickle, never looked into.
        bytes: Bytes,
    },
}

/// All payloads of one config, by fully qualified name, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    /// By fully qualified name.
    pub entries: IndexMap<String, Payload>,
}

impl Payloads {
    /// Reads a config entry such as `data/weights/model_weights_config.json` and the files it names, which lie
    /// beside it.
    ///
    /// # Errors
    /// [`PayloadError`] for every number that does not fit the files.
    pub fn read(archive: &Archive, config_entry: &str) -> Result<Payloads, PayloadError> {
        let folder = config_entry.rsplit_once('/').map_or("", |(folder, _)| folder);
        let json = archive.read_json(config_entry)?;
        let config: schema::PayloadConfig = schema::from_json(config_entry, &json)?;
        let mut storages: IndexMap<String, Arc<Storage>> = IndexMap::new();
        let mut entries = IndexMap::new();
        for (fqn, meta) in config.config {
            if meta.path_name.contains('/') || meta.path_name.is_empty() {
                return Err(PayloadError::BadPath { fqn, path: meta.path_name });
            }
            let path = format!("{folder}/{}", meta.path_name);
            let storage = match storages.get(&path) {
                Some(storage) => storage.clone(),
                None => {
                    if !archive.contains(&path) {
                        return Err(PayloadError::MissingFile { fqn, path });
                    }
                    let storage = Arc::new(Storage { path: path.clone(), bytes: archive.read(&path)? });
                    storages.insert(path, storage.clone());
                    storage
                }
            };
            let payload = if meta.use_pickle {
                Payload::Pickled { bytes: storage.bytes.clone(), meta }
            } else {
                match &meta.tensor_meta {
                    Some(tensor) => Payload::Tensor(view(&fqn, tensor, meta.is_param, storage)?),
                    None => return Err(PayloadError::NoMeta { fqn }),
                }
            };
            entries.insert(fqn, payload);
        }
        Ok(Payloads { entries })
    }

    /// The tensor of a name; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`PayloadError::Pickled`] if only Python can decode it.
    pub fn tensor(&self, fqn: &str) -> Result<Option<&StoredTensor>, PayloadError> {
        match self.entries.get(fqn) {
            None => Ok(None),
            Some(Payload::Tensor(tensor)) => Ok(Some(tensor)),
            Some(Payload::Pickled { .. }) => Err(PayloadError::Pickled { fqn: fqn.to_owned() }),
        }
    }
}

/// Checks a tensor's numbers against its storage.
pub(crate) fn view(
    fqn: &str,
    meta: &TensorMeta,
    is_param: bool,
    storage: Arc<Storage>,
) -> Result<StoredTensor, PayloadError> {
    let unsupported = |what: String| PayloadError::Unsupported { fqn: fqn.to_owned(), what };
    let bad = |field, reason: String| PayloadError::BadNumber { fqn: fqn.to_owned(), field, reason };
    let element_size = meta.dtype.element_size().ok_or_else(|| unsupported(format!("dtype {:?}", meta.dtype)))?;
    if meta.layout != Layout::Strided {
        return Err(unsupported(format!("layout {:?}", meta.layout)));
    }
    if meta.sizes.len() > limits::MAX_RANK {
        return Err(bad(
            "sizes",
            format!("has {} dimensions; at most {} are read", meta.sizes.len(), limits::MAX_RANK),
        ));
    }
    if meta.sizes.len() != meta.strides.len() {
        return Err(bad("strides", format!("has {} entries for {} sizes", meta.strides.len(), meta.sizes.len())));
    }
    let number = |field, value: &SymInt| match value {
        SymInt::AsInt(value) => {
            u64::try_from(*value).map_err(|_| bad(field, format!("holds {value}, which is negative")))
        }
        SymInt::AsExpr(expr) => {
            Err(bad(field, format!("holds the symbolic expression {}; stored tensors have known sizes", expr.expr_str)))
        }
    };
    let sizes = meta.sizes.iter().map(|size| number("sizes", size)).collect::<Result<Vec<_>, _>>()?;
    let strides = meta.strides.iter().map(|stride| number("strides", stride)).collect::<Result<Vec<_>, _>>()?;
    let offset = number("storage_offset", &meta.storage_offset)?;

    // A zero makes the tensor empty however large the other sizes are; their product must still be a number,
    // because PyTorch computes it in some order.
    let nonzero_product =
        sizes.iter().filter(|&&size| size != 0).try_fold(1u64, |product, &size| product.checked_mul(size));
    let bytes = nonzero_product
        .and_then(|numel| numel.checked_mul(element_size))
        .filter(|&bytes| bytes <= limits::MAX_TENSOR_BYTES);
    if bytes.is_none() {
        return Err(bad("sizes", format!("{sizes:?} make more than {} bytes", limits::MAX_TENSOR_BYTES)));
    }
    if !sizes.contains(&0) {
        // Sums of at most 64 products of two u64 do not fit u128 in general; saturating says "too large" rightly.
        let last = sizes
            .iter()
            .zip(&strides)
            .map(|(&size, &stride)| u128::from(size - 1).saturating_mul(u128::from(stride)))
            .fold(u128::from(offset), u128::saturating_add);
        let needed = last.saturating_add(1).saturating_mul(u128::from(element_size));
        if needed > storage.bytes.len() as u128 {
            return Err(PayloadError::OutOfBounds {
                fqn: fqn.to_owned(),
                path: storage.path.clone(),
                view: format!("a {:?} tensor of sizes {sizes:?}, strides {strides:?} and offset {offset}", meta.dtype),
                needed,
                available: storage.bytes.len() as u64,
            });
        }
    }
    Ok(StoredTensor {
        storage,
        dtype: meta.dtype,
        sizes,
        strides,
        offset,
        element_size,
        is_param,
        requires_grad: meta.requires_grad,
        device: meta.device.clone(),
    })
}
