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

/// A size or offset at the present values of the symbols.
fn size(dim: &Dim, what: &str, known: &dyn Fn(&Symbol) -> Option<i64>) -> Result<usize, InterpretError> {
    let value = dim.eval(&|s| known(s)).map_err(|e| InterpretError::Setup(format!("{what} {dim}: {e}")))?;
    usize::try_from(value).map_err(|_| InterpretError::Setup(format!("{what} {dim} is {value}")))
}

/// All memory of a call.
pub struct Memory {
    storages: Vec<Vec<u8>>,
    places: Vec<Place>,
    /// The storage of each stage's arena.
    arenas: Vec<usize>,
    scratch: Vec<u8>,
}

impl Memory {
    /// Memory for a program: the caller's data copied in, the arena and the results filled with ones. Buffers whose
    /// sizes data decide are empty until [`Memory::enter`].
    pub fn new(
        program: &KernelProgram,
        symbols: &BTreeMap<Symbol, i64>,
        before: &CallData,
    ) -> Result<Memory, InterpretError> {
        let mut memory = Memory { storages: Vec::new(), places: Vec::new(), arenas: Vec::new(), scratch: Vec::new() };
        for stage in 0..=program.stages.len() {
            memory.arenas.push(stage);
            memory.storages.push(Vec::new());
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let known = |s: &Symbol| symbols.get(s).copied();
        for buffer in &program.buffers {
            let given = |data: Option<&Vec<u8>>| {
                let data = data.ok_or_else(|| InterpretError::Setup(format!("no data for `{}`", buffer.name)))?;
                let len = size(&buffer.len, "a buffer of length", &known)?;
                let bytes = len.checked_mul(buffer.dtype.size());
                if bytes != Some(data.len()) {
                    let (name, given) = (&buffer.name, data.len());
                    return Err(InterpretError::Setup(format!("`{name}` has {bytes:?} bytes, {given} are given")));
                }
                Ok((data.clone(), len))
            };
            let (mut storage, mut len) = (memory.storages.len(), 0);
            let content = match &buffer.kind {
                BufferKind::Arena(_) => {
                    storage = 0;
                    None
                }
                BufferKind::Input(i) => Some(given(before.inputs.get(i))?),
                BufferKind::Output(_) => Some((Vec::new(), 0)),
                BufferKind::State(name) => match names.get(name.as_str()) {
                    Some(known) => {
                        storage = *known;
                        len = given(before.state.get(name))?.1;
                        None
                    }
                    None => {
                        names.insert(name, storage);
                        Some(given(before.state.get(name))?)
                    }
                },
                BufferKind::Constant(data) => Some(given(Some(&data.to_vec()))?),
            };
            if let Some((data, elements)) = content {
                memory.storages.push(data);
                len = elements;
            }
            memory.places.push(Place { storage, offset: 0, len, dtype: buffer.dtype });
        }
        memory.enter(program, 0, &known)?;
        Ok(memory)
    }

    /// Makes room for the buffers whose sizes are known at a stage.
    pub fn enter(
        &mut self,
        program: &KernelProgram,
        stage: usize,
        known: &dyn Fn(&Symbol) -> Option<i64>,
    ) -> Result<(), InterpretError> {
        let arena = match stage.checked_sub(1) {
            Some(late) => program.stages.get(late).map_or(&Dim::ZERO, |s| &s.arena_bytes),
            None => &program.arena_bytes,
        };
        let arena = size(arena, "the arena", known)?;
        let own = self.arenas.get(stage).copied().unwrap_or(0);
        if let Some(storage) = self.storages.get_mut(own) {
            *storage = vec![0xff; arena];
        }
        for (buffer, place) in program.buffers.iter().zip(&mut self.places) {
            let placed = matches!(buffer.kind, BufferKind::Arena(_) | BufferKind::Output(_));
            if !placed || program.stage_of(&buffer.len) != stage {
                continue;
            }
            let len = size(&buffer.len, "a buffer of length", known)?;
            let bytes = len.checked_mul(buffer.dtype.size());
            let bytes = bytes.ok_or_else(|| InterpretError::Setup("a buffer's size overflows".into()))?;
            place.len = len;
            if let BufferKind::Arena(at) = &buffer.kind {
                let offset = size(at, "an offset", known)?;
                if offset % 64 != 0 || offset.checked_add(bytes).is_none_or(|end| end > arena) {
                    let name = &buffer.name;
                    let message = format!("`{name}`: {bytes} bytes at {offset} of an arena of {arena}");
                    return Err(InterpretError::Setup(message));
                }
                (place.storage, place.offset) = (own, offset);
            } else if let Some(storage) = self.storages.get_mut(place.storage) {
                *storage = vec![0xff; bytes];
            }
        }
        Ok(())
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

    /// The bytes of a buffer.
    pub fn bytes(&self, buffer: BufferId) -> &[u8] {
        let place = self.places.get(buffer.0 as usize);
        let found = place.and_then(|p| self.storages.get(p.storage)?.get(p.offset..p.offset + p.len * p.dtype.size()));
        found.unwrap_or(&[])
    }

    /// Overwrites a buffer with as many bytes as it has.
    pub fn set_bytes(&mut self, buffer: BufferId, bytes: &[u8]) {
        let Some(place) = self.places.get(buffer.0 as usize) else { return };
        let end = place.offset + place.len * place.dtype.size();
        let to = self.storages.get_mut(place.storage).and_then(|s| s.get_mut(place.offset..end));
        if let Some(to) = to.filter(|to| to.len() == bytes.len()) {
            to.copy_from_slice(bytes);
        }
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
