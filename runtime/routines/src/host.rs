//! Routines by name over byte buffers, every length checked: how the compiler's interpreters call them.

use crate::table::{Element, ROUTINES};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// What a routine computes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// f64 rather than f32.
    pub double: bool,
    /// Complex numbers of that precision.
    pub complex: bool,
}

/// Runs a routine over all items of a batch. The buffers hold little-endian elements and are changed in place.
///
/// # Errors
/// If there is no such routine for such numbers, or a buffer is too small for it.
pub fn call(
    name: &str,
    numbers: Numbers,
    buffers: &mut [Vec<u8>],
    sizes: &[usize],
    count: usize,
) -> Result<(), String> {
    let routine = ROUTINES.iter().find(|r| r.name == name).ok_or_else(|| format!("there is no routine `{name}`"))?;
    let parts = (routine.parts)(sizes);
    if parts.len() != buffers.len() || sizes.len() != routine.sizes {
        return Err(format!("`{name}` takes {} buffers and {} sizes", parts.len(), routine.sizes));
    }
    // Words are aligned for every element.
    let mut memory: Vec<Vec<u64>> = Vec::new();
    let size = if numbers.double { 8 } else { 4 };
    for ((buffer, (element, len)), &shared) in buffers.iter().zip(parts).zip(routine.shared) {
        let bytes = match element {
            Element::Real => size,
            Element::Scalar => size * (1 + usize::from(numbers.complex)),
            Element::Bytes(n) => n,
        };
        let items = if shared { 1 } else { count };
        let needed = bytes.checked_mul(len).and_then(|n| n.checked_mul(items));
        if needed.is_none_or(|n| n > buffer.len()) {
            return Err(format!("a buffer of `{name}` has {} bytes, {needed:?} are needed", buffer.len()));
        }
        let mut words = vec![0u64; buffer.len().div_ceil(8)];
        for (word, chunk) in words.iter_mut().zip(buffer.chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(whole);
        }
        memory.push(words);
    }
    let mut words: Vec<u64> = memory.iter_mut().map(|m| m.as_mut_ptr() as u64).collect();
    words.extend(sizes.iter().map(|&n| n as u64));
    let items = i64::try_from(count).map_err(|_| "too many items".to_string())?;
    let tasks = if numbers.complex { routine.complex } else { Some(routine.real) };
    let tasks = tasks.ok_or_else(|| format!("`{name}` does not compute with complex numbers"))?;
    let task = tasks[usize::from(numbers.double)];
    // SAFETY: the words are the addresses of live buffers that are as long as the table says, then the sizes.
    unsafe { task(words.as_ptr(), 0, items) };
    for (buffer, words) in buffers.iter_mut().zip(memory) {
        for (chunk, word) in buffer.chunks_mut(8).zip(words) {
            let n = chunk.len();
            chunk.copy_from_slice(&word.to_ne_bytes()[..n]);
        }
    }
    Ok(())
}
