//! What `torch.save` wrote, read without executing it: the weights of programs saved by torch 2.1 to 2.8, and the
//! example inputs of all.
//!
//! The file is a zip with a pickle (`data.pkl`) and one entry per storage (`data/0`, …). [`Pickle`] makes a passive
//! tree of it; this file knows the few names that tensors and plain containers need, and refuses every other by name.

use std::sync::Arc;

use indexmap::IndexMap;
use pt2c_ir::Bytes;

use crate::archive::Archive;
use crate::limits;
use crate::payload::{Payload, PayloadError, Payloads, Storage, StoredTensor, view};
use crate::pickle::{Object, ObjectId, Pickle};
use crate::schema::{Device, Layout, ScalarType, SymInt, TensorMeta};

/// A saved Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum SavedValue {
    /// `None`
    None,
    /// A bool.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// A tensor; also a parameter.
    Tensor(Box<StoredTensor>),
    /// A tuple.
    Tuple(Vec<SavedValue>),
    /// A list.
    List(Vec<SavedValue>),
    /// A dict, ordered or not.
    Dict(Vec<(SavedValue, SavedValue)>),
}

/// An opened `torch.save` file.
pub struct TorchSave {
    archive: Archive,
    pickle: Pickle,
    /// The entry that holds it, for messages and for the paths of storages.
    path: String,
    storages: IndexMap<String, Arc<Storage>>,
    /// Values that may still be made: shared objects count each time, so a small pickle cannot grow without bound.
    budget: usize,
}

impl TorchSave {
    /// Opens the zip and parses its pickle. `path` names it.
    ///
    /// # Errors
    /// [`PayloadError`] for another file, a damaged one, or opcodes that saved tensors do not need.
    pub fn open(path: &str, bytes: Bytes) -> Result<TorchSave, PayloadError> {
        let archive = Archive::torch_save(bytes)?;
        let data = archive.read("data.pkl")?;
        let pickle = Pickle::parse(&data)
            .map_err(|error| PayloadError::Pickle { path: path.to_owned(), error: Box::new(error) })?;
        let budget = limits::MAX_PICKLE_OBJECTS;
        Ok(TorchSave { archive, pickle, path: path.to_owned(), storages: IndexMap::new(), budget })
    }

    /// A dict of tensors. `is_param` says which names are parameters, which the older files do not tell.
    ///
    /// # Errors
    /// [`PayloadError::ForeignGlobal`] for every name that tensors do not need, others for numbers that do not fit.
    pub fn state_dict(mut self, is_param: &dyn Fn(&str) -> bool) -> Result<Payloads, PayloadError> {
        let root = self.pickle.root();
        let items = match self.pickle.get(root) {
            Object::Dict(items) => items.clone(),
            Object::Call { callee, items, .. } if self.global(*callee) == Some("collections.OrderedDict") => {
                items.clone()
            }
            _ => return Err(self.malformed("it is no dict of tensors")),
        };
        let mut entries = IndexMap::new();
        for (key, value) in items {
            let Object::Str(fqn) = self.pickle.get(key) else {
                return Err(self.malformed("a key that is no string"));
            };
            let fqn = fqn.clone();
            let mut tensor = match self.value(&fqn, value, 0)? {
                SavedValue::Tensor(tensor) => *tensor,
                _ => return Err(PayloadError::Unsupported { fqn, what: "a value that is no tensor".to_owned() }),
            };
            tensor.is_param |= is_param(&fqn);
            entries.insert(fqn, Payload::Tensor(tensor));
        }
        Ok(Payloads { entries })
    }

    /// The saved value, whatever it is.
    ///
    /// # Errors
    /// As [`TorchSave::state_dict`].
    pub fn into_value(mut self) -> Result<SavedValue, PayloadError> {
        let root = self.pickle.root();
        self.value("value", root, 0)
    }

    fn malformed(&self, reason: &'static str) -> PayloadError {
        PayloadError::Malformed { path: self.path.clone(), reason }
    }

    fn global(&self, id: ObjectId) -> Option<&str> {
        match self.pickle.get(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }

    fn value(&mut self, name: &str, id: ObjectId, depth: usize) -> Result<SavedValue, PayloadError> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| self.malformed("it holds too many values"))?;
        if depth > limits::MAX_TREE_DEPTH {
            return Err(self.malformed("it nests too deep"));
        }
        Ok(match self.pickle.get(id).clone() {
            Object::None => SavedValue::None,
            Object::Bool(value) => SavedValue::Bool(value),
            Object::Int(value) => SavedValue::Int(value),
            Object::Float(value) => SavedValue::Float(value),
            Object::Str(value) => SavedValue::Str(value),
            Object::Tuple(items) => SavedValue::Tuple(self.values(name, &items, depth)?),
            Object::List(items) => SavedValue::List(self.values(name, &items, depth)?),
            Object::Dict(items) => SavedValue::Dict(self.pairs(name, &items, depth)?),
            Object::Global(global) => return Err(self.foreign(name, &global)),
            Object::Persistent(_) => return Err(self.malformed("a storage that is no tensor's")),
            Object::Call { callee, args, items, .. } => {
                let callee =
                    self.global(callee).ok_or_else(|| self.malformed("a call of something unnamed"))?.to_owned();
                let Object::Tuple(args) = self.pickle.get(args).clone() else {
                    return Err(self.malformed("a call without a tuple of arguments"));
                };
                self.call(name, &callee, &args, &items, depth)?
            }
        })
    }

    fn values(&mut self, name: &str, items: &[ObjectId], depth: usize) -> Result<Vec<SavedValue>, PayloadError> {
        items.iter().map(|&item| self.value(name, item, depth + 1)).collect()
    }

    fn pairs(
        &mut self,
        name: &str,
        items: &[(ObjectId, ObjectId)],
        depth: usize,
    ) -> Result<Vec<(SavedValue, SavedValue)>, PayloadError> {
        items.iter().map(|&(k, v)| Ok((self.value(name, k, depth + 1)?, self.value(name, v, depth + 1)?))).collect()
    }

    fn foreign(&self, name: &str, global: &str) -> PayloadError {
        PayloadError::ForeignGlobal { fqn: name.to_owned(), path: self.path.clone(), global: global.to_owned() }
    }

    /// The meaning of the names that we know.
    fn call(
        &mut self,
        name: &str,
        callee: &str,
        args: &[ObjectId],
        items: &[(ObjectId, ObjectId)],
        depth: usize,
    ) -> Result<SavedValue, PayloadError> {
        match (callee, args) {
            // Attributes such as a state dict's `_metadata` come by BUILD and mean nothing here.
            ("collections.OrderedDict", []) => Ok(SavedValue::Dict(self.pairs(name, items, depth)?)),
            ("collections.OrderedDict", [list]) => match self.value(name, *list, depth + 1)? {
                SavedValue::List(pairs) => pairs
                    .into_iter()
                    .map(|pair| match pair {
                        SavedValue::List(pair) | SavedValue::Tuple(pair) => <[SavedValue; 2]>::try_from(pair)
                            .map(|[k, v]| (k, v))
                            .map_err(|_| self.malformed("an item that is no pair")),
                        _ => Err(self.malformed("an item that is no pair")),
                    })
                    .collect::<Result<_, _>>()
                    .map(SavedValue::Dict),
                _ => Err(self.malformed("an OrderedDict of something else than pairs")),
            },
            ("torch.Size", [sizes]) => self.value(name, *sizes, depth + 1),
            // (data, requires_grad, hooks) and (data, requires_grad, hooks, attributes)
            (
                "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
                [data, requires_grad, ..],
            ) => {
                let requires_grad = *self.pickle.get(*requires_grad) == Object::Bool(true);
                match self.value(name, *data, depth + 1)? {
                    SavedValue::Tensor(mut tensor) => {
                        tensor.is_param = true;
                        tensor.requires_grad = requires_grad;
                        Ok(SavedValue::Tensor(tensor))
                    }
                    _ => Err(self.malformed("a parameter that is no tensor")),
                }
            }
            // (storage, offset, size, stride, requires_grad, hooks, metadata?)
            ("torch._utils._rebuild_tensor_v2", [storage, offset, size, stride, requires_grad, _, metadata @ ..]) => {
                self.tensor(name, *storage, [*offset, *size, *stride, *requires_grad], None, metadata)
            }
            // (storage, offset, size, stride, requires_grad, hooks, dtype, metadata?)
            (
                "torch._utils._rebuild_tensor_v3",
                [storage, offset, size, stride, requires_grad, _, dtype, metadata @ ..],
            ) => {
                let global = self.global(*dtype).unwrap_or("").to_owned();
                let dtype = dtype_of(&global).ok_or_else(|| self.foreign(name, &global))?;
                self.tensor(name, *storage, [*offset, *size, *stride, *requires_grad], Some(dtype), metadata)
            }
            _ => Err(self.foreign(name, callee)),
        }
    }

    fn tensor(
        &mut self,
        name: &str,
        storage: ObjectId,
        [offset, size, stride, requires_grad]: [ObjectId; 4],
        dtype: Option<ScalarType>,
        metadata: &[ObjectId],
    ) -> Result<SavedValue, PayloadError> {
        let flags = metadata.first().map(|&id| self.pickle.get(id));
        match flags {
            None | Some(Object::None) => {}
            Some(Object::Dict(flags)) if flags.is_empty() => {}
            // A conjugated or negated view of its storage.
            Some(_) => {
                let what = "a lazily conjugated or negated tensor".to_owned();
                return Err(PayloadError::Unsupported { fqn: name.to_owned(), what });
            }
        }
        let ints = |id: ObjectId| match self.pickle.get(id) {
            Object::Tuple(items) => items
                .iter()
                .map(|&item| match self.pickle.get(item) {
                    Object::Int(value) => Some(SymInt::AsInt(*value)),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let (Some(sizes), Some(strides), Object::Int(offset)) = (ints(size), ints(stride), self.pickle.get(offset))
        else {
            return Err(self.malformed("a tensor whose sizes are no ints"));
        };
        let storage_offset = SymInt::AsInt(*offset);
        let requires_grad = *self.pickle.get(requires_grad) == Object::Bool(true);
        let (storage, storage_dtype, device) = self.storage(name, storage)?;
        let dtype = dtype.or(storage_dtype).ok_or_else(|| self.malformed("a tensor without an element type"))?;
        let meta = TensorMeta { dtype, sizes, requires_grad, device, strides, storage_offset, layout: Layout::Strided };
        Ok(SavedValue::Tensor(Box::new(view(name, &meta, false, storage)?)))
    }

    /// The storage that a persistent id `('storage', class, key, location, numel)` names.
    fn storage(
        &mut self,
        name: &str,
        id: ObjectId,
    ) -> Result<(Arc<Storage>, Option<ScalarType>, Device), PayloadError> {
        let Object::Persistent(id) = self.pickle.get(id) else {
            return Err(self.malformed("a tensor without a storage"));
        };
        let parts = match self.pickle.get(*id) {
            Object::Tuple(parts) => parts.as_slice(),
            _ => &[],
        };
        let &[tag, class, key, location, _numel] = parts else {
            return Err(self.malformed("a persistent id that is no storage"));
        };
        let (Object::Str(tag), Object::Global(class), Object::Str(key), Object::Str(location)) =
            (self.pickle.get(tag), self.pickle.get(class), self.pickle.get(key), self.pickle.get(location))
        else {
            return Err(self.malformed("a persistent id that is no storage"));
        };
        if tag != "storage" {
            return Err(self.malformed("a persistent id that is no storage"));
        }
        let dtype = storage_dtype(class).ok_or_else(|| self.foreign(name, class))?;
        let device = match location.split_once(':') {
            Some((kind, index)) => Device { kind: kind.to_owned(), index: index.parse().ok() },
            None => Device { kind: location.clone(), index: None },
        };
        let entry = format!("data/{key}");
        let path = format!("{}/{entry}", self.path);
        if let Some(storage) = self.storages.get(&entry) {
            return Ok((storage.clone(), dtype, device));
        }
        if !self.archive.contains(&entry) {
            return Err(PayloadError::MissingFile { fqn: name.to_owned(), path });
        }
        let storage = Arc::new(Storage { path, bytes: self.archive.read(&entry)? });
        self.storages.insert(entry, storage.clone());
        Ok((storage, dtype, device))
    }
}

/// The element type of a storage class; the inner `None` is the untyped one. The outer `None` is another class.
fn storage_dtype(class: &str) -> Option<Option<ScalarType>> {
    Some(Some(match class {
        "torch.storage.UntypedStorage" | "torch.UntypedStorage" => return Some(None),
        "torch.ByteStorage" => ScalarType::Byte,
        "torch.CharStorage" => ScalarType::Char,
        "torch.ShortStorage" => ScalarType::Short,
        "torch.IntStorage" => ScalarType::Int,
        "torch.LongStorage" => ScalarType::Long,
        "torch.HalfStorage" => ScalarType::Half,
        "torch.FloatStorage" => ScalarType::Float,
        "torch.DoubleStorage" => ScalarType::Double,
        "torch.ComplexFloatStorage" => ScalarType::ComplexFloat,
        "torch.ComplexDoubleStorage" => ScalarType::ComplexDouble,
        "torch.BoolStorage" => ScalarType::Bool,
        "torch.BFloat16Storage" => ScalarType::BFloat16,
        _ => return None,
    }))
}

/// The element type that a dtype object is.
fn dtype_of(global: &str) -> Option<ScalarType> {
    Some(match global.strip_prefix("torch.")? {
        "uint8" => ScalarType::Byte,
        "int8" => ScalarType::Char,
        "int16" => ScalarType::Short,
        "int32" => ScalarType::Int,
        "int64" => ScalarType::Long,
        "float16" => ScalarType::Half,
        "float32" => ScalarType::Float,
        "float64" => ScalarType::Double,
        "complex32" => ScalarType::ComplexHalf,
        "complex64" => ScalarType::ComplexFloat,
        "complex128" => ScalarType::ComplexDouble,
        "bool" => ScalarType::Bool,
        "bfloat16" => ScalarType::BFloat16,
        "uint16" => ScalarType::UInt16,
        "uint32" => ScalarType::UInt32,
        "uint64" => ScalarType::UInt64,
        "float8_e4m3fn" => ScalarType::Float8E4M3Fn,
        "float8_e5m2" => ScalarType::Float8E5M2,
        "float8_e4m3fnuz" => ScalarType::Float8E4M3Fnuz,
        "float8_e5m2fnuz" => ScalarType::Float8E5M2Fnuz,
        "float8_e8m0fnu" => ScalarType::Float8E8M0Fnu,
        _ => return None,
    })
}
