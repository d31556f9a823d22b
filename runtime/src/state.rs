//! The state of a context as bytes, to be kept and to be given to a context later.
//!
//! The format, version 1; integers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `pt2cstat` |
//! | 8..12 | version: 1 |
//! | 12..16 | number of buffers |
//! | 16..24 | XXH64 chain over every buffer's name in PyTorch, element type and shape: whose state it is |
//! | 24..32 | bytes of content |
//! | 32..40 | XXH64 of the content |
//! | 40.. | the content of the buffers in the order of the descriptor, one after the other |
//!
//! All of it is checked before anything is written.

use core::ffi::CStr;
use core::{ptr, slice};

use pt2c_abi::{State, Status, hash::hash};

use crate::context::Context;
use crate::view::items;

const MAGIC: &[u8; 8] = b"pt2cstat";
const VERSION: u32 = 1;
const HEADER: usize = 40;

/// Hash of a hash and a word.
fn chain(before: u64, word: u64) -> u64 {
    let mut both = [0; 16];
    let (a, b) = both.split_at_mut(8);
    a.copy_from_slice(&before.to_le_bytes());
    b.copy_from_slice(&word.to_le_bytes());
    hash(&both)
}

/// What the buffers are.
fn layout(states: &[State]) -> u64 {
    states.iter().fold(0, |value, state| {
        // SAFETY: strings and shapes of the descriptor.
        let (path, shape) =
            unsafe { (CStr::from_ptr(state.path).to_bytes(), items(state.shape, u64::from(state.rank))) };
        let value = chain(chain(value, hash(path)), u64::from(state.dtype));
        shape.iter().fold(chain(value, u64::from(state.rank)), |value, &size| chain(value, size as u64))
    })
}

/// Bytes of content.
fn content(states: &[State]) -> usize {
    states.iter().map(|state| state.size as usize).sum()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok());
    word.map_or(0, u64::from_le_bytes)
}

impl Context {
    /// Writes the state to `bytes`, which may be null: then only `size` is set, to the bytes needed.
    ///
    /// # Safety
    /// `size` is null or valid, `bytes` is null or valid for writing `*size` bytes.
    pub unsafe fn save_state(&mut self, bytes: *mut u8, size: *mut u64) -> Result<(), Status> {
        if size.is_null() {
            self.message.text("the size of the state is NULL");
            return Err(Status::Argument);
        }
        let states = self.view.states();
        let needed = HEADER + content(states);
        // SAFETY: not null, so valid.
        let capacity = unsafe { size.replace(needed as u64) };
        if bytes.is_null() {
            return Ok(());
        }
        if capacity < needed as u64 {
            self.message.text("the state has ").unsigned(needed as u64).text(" bytes, but there is room for ");
            self.message.unsigned(capacity);
            return Err(Status::Capacity);
        }
        // SAFETY: the caller's memory is at least that long.
        let out = unsafe { slice::from_raw_parts_mut(bytes, needed) };
        let (header, body) = out.split_at_mut(HEADER);
        let mut rest = &mut *body;
        for state in states {
            let (own, behind) = rest.split_at_mut(state.size as usize);
            // SAFETY: the state lies in the context's block, the caller's memory elsewhere.
            unsafe {
                ptr::copy_nonoverlapping(self.state.start().add(state.offset as usize), own.as_mut_ptr(), own.len());
            }
            rest = behind;
        }
        let counts = u64::from(VERSION) | (states.len() as u64) << 32;
        let words = [u64::from_le_bytes(*MAGIC), counts, layout(states), body.len() as u64, hash(body)];
        for (place, word) in header.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    /// Replaces the state by a saved one, or leaves it alone and says why.
    ///
    /// # Safety
    /// `bytes` is null or valid for reading `size` bytes.
    pub unsafe fn load_state(&mut self, bytes: *const u8, size: u64) -> Result<(), Status> {
        if bytes.is_null() {
            self.message.text("the saved state is NULL");
            return Err(Status::Argument);
        }
        // SAFETY: by the caller's promise.
        let given = unsafe { items(bytes, size) };
        let states = self.view.states();
        let counts = u64_at(given, 8);
        let (version, body) = (counts as u32, given.get(HEADER..).unwrap_or(&[]));
        let wrong = if given.len() < HEADER || given.get(..8) != Some(MAGIC) {
            "these bytes are no saved state"
        } else if version != VERSION {
            self.message.text("the saved state has version ").unsigned(u64::from(version));
            self.message.text(", this library reads version ").unsigned(u64::from(VERSION));
            return Err(Status::Argument);
        } else if counts >> 32 != states.len() as u64 || u64_at(given, 16) != layout(states) {
            "the saved state is that of another model: its buffers have other names, types or shapes"
        } else if body.len() != content(states) || u64_at(given, 24) != body.len() as u64 {
            "the saved state is cut off"
        } else if u64_at(given, 32) != hash(body) {
            "the saved state is damaged"
        } else {
            ""
        };
        if !wrong.is_empty() {
            self.message.text(wrong);
            return Err(Status::Argument);
        }
        let mut rest = body;
        for state in states {
            let Some((own, behind)) = rest.split_at_checked(state.size as usize) else { break };
            // SAFETY: the state lies in the context's block, the caller's memory elsewhere.
            unsafe {
                ptr::copy_nonoverlapping(own.as_ptr(), self.state.start().add(state.offset as usize), own.len());
            }
            rest = behind;
        }
        Ok(())
    }
}
