//! Buffers in host memory.

use super::{CallData, InterpretError};
use crate::{BufferId, BufferKind, KernelProgram};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ops::{Scalar, read_element, write_element};
use std::collections::BTreeMap;

/// A buffer's place.
struct Place {
    storage: usize,
    /// In bytes.
    offset: usize,
    /// In elements.
    len: usize,
    dtype: DType,
}

/// All memory of a call.
pub struct Memory {
    storages: Vec<Vec<u8>>,
    places: Vec<Place>,
    scratch: Vec<u8>,
}

impl Memory {
    /// Memory for a program: the caller's data copied in, the arena and the results filled with ones.
    pub fn new(
        program: &KernelProgram,
        symbols: &BTreeMap<Symbol, i64>,
        before: &CallData,
    ) -> Result<Memory, InterpretError> {
        let size = |dim: &Dim, what: &str| {
            let value = dim.eval(&|s| symbols.get(s).copied());
            let value = value.map_err(|e| InterpretError::Setup(format!("{what} {dim}: {e}")))?;
            usize::try_from(value).map_err(|_| InterpretError::Setup(format!("{what} {dim} is {value}")))
        };
        let arena = size(&program.arena_bytes, "the arena")?;
        let mut memory = Memory { storages: vec![vec![0xff; arena]], places: Vec::new(), scratch: Vec::new() };
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for buffer in &program.buffers {
            let len = size(&buffer.len, "a buffer of length")?;
            let bytes = len.checked_mul(buffer.dtype.size());
            let bytes = bytes.ok_or_else(|| InterpretError::Setup("a buffer's size overflows".into()))?;
            let given = |data: Option<&Vec<u8>>| match data {
                Some(data) if data.len() == bytes => Ok(data.clone()),
                Some(data) => {
                    let (name, given) = (&buffer.name, data.len());
                    Err(InterpretError::Setup(format!("`{name}` has {bytes} bytes, {given} are given")))
                }
                None => Err(InterpretError::Setup(format!("no data for `{}`", buffer.name))),
            };
            let mut offset = 0;
            let mut storage = memory.storages.len();
            match &buffer.kind {
                BufferKind::Arena(at) => {
                    (storage, offset) = (0, size(at, "an offset")?);
                    if offset % 64 != 0 || offset.checked_add(bytes).is_none_or(|end| end > arena) {
                        let name = &buffer.name;
                        let message = format!("`{name}`: {bytes} bytes at {offset} of an arena of {arena}");
                        return Err(InterpretError::Setup(message));
                    }
                }
                BufferKind::Input(i) => memory.storages.push(given(before.inputs.get(i))?),
                BufferKind::Output(_) => memory.storages.push(vec![0xff; bytes]),
                BufferKind::State(name) => match names.get(name.as_str()) {
                    Some(known) => storage = *known,
                    None => {
                        names.insert(name, storage);
                        memory.storages.push(given(before.state.get(name))?);
                    }
                },
                BufferKind::Constant(data) => memory.storages.push(given(Some(&data.to_vec()))?),
            }
            memory.places.push(Place { storage, offset, len, dtype: buffer.dtype });
        }
        Ok(memory)
    }

    /// What the caller holds now.
    pub fn call_data(self, program: &KernelProgram) -> CallData {
        let mut after = CallData::default();
        for (buffer, place) in program.buffers.iter().zip(&self.places) {
            let bytes = || self.storages.get(place.storage).cloned().unwrap_or_default();
            match &buffer.kind {
                BufferKind::Input(i) => drop(after.inputs.insert(*i, bytes())),
                BufferKind::Output(i) => drop(after.outputs.insert(*i, bytes())),
                BufferKind::State(name) => drop(after.state.insert(name.clone(), bytes())),
                BufferKind::Arena(_) | BufferKind::Constant(_) => {}
            }
        }
        after
    }

    /// Number of elements of a buffer.
    pub fn len(&self, buffer: BufferId) -> i64 {
        self.places.get(buffer.0 as usize).map_or(0, |p| p.len as i64)
    }

    fn place(&self, buffer: BufferId, at: i64) -> Option<(usize, usize, DType)> {
        let place = self.places.get(buffer.0 as usize)?;
        let at = usize::try_from(at).ok().filter(|at| *at < place.len)?;
        Some((place.storage, place.offset + at * place.dtype.size(), place.dtype))
    }

    /// An element; `None` outside the buffer.
    pub fn load(&self, buffer: BufferId, at: i64) -> Option<Scalar> {
        let (storage, start, dtype) = self.place(buffer, at)?;
        let bytes = self.storages.get(storage)?.get(start..)?;
        if dtype == DType::F32 {
            let bytes: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
            return Some(Scalar::Float(f64::from(f32::from_le_bytes(bytes))));
        }
        read_element(dtype, bytes)
    }

    /// Writes an element, rounded to the buffer's dtype; `None` outside the buffer.
    pub fn store(&mut self, buffer: BufferId, at: i64, value: Scalar) -> Option<()> {
        let (storage, start, dtype) = self.place(buffer, at)?;
        self.scratch.clear();
        write_element(dtype, value, &mut self.scratch);
        let to = self.storages.get_mut(storage)?.get_mut(start..start + self.scratch.len())?;
        to.copy_from_slice(&self.scratch);
        Some(())
    }
}
