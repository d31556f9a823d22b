//! Sorting in the interpreter: plain and obvious.

use super::InterpretError;
use super::memory::Memory;
use crate::{BufferId, Kernel, Sort};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ops::Scalar;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// NaN is larger than every number.
fn order(a: Scalar, b: Scalar) -> Ordering {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (a, b) => a.to_i64().cmp(&b.to_i64()),
    }
}

/// Sorts all lines, one after the other.
pub fn sort(
    kernel: &Kernel,
    buffers: &[BufferId],
    memory: &mut Memory,
    s: &Sort,
    symbols: &BTreeMap<Symbol, Dim>,
) -> Result<(), InterpretError> {
    let malformed = |message: String| InterpretError::Malformed { kernel: kernel.name.clone(), message };
    let size = |d: &Dim| d.subs(symbols).as_int().ok_or_else(|| malformed(format!("{d} has no value")));
    let buffer = |param: usize| buffers.get(param).copied().ok_or_else(|| malformed("a missing buffer".into()));
    let (outer, len, inner, keep) = (size(&s.outer)?, size(&s.len)?, size(&s.inner)?, size(&s.keep)?);
    let (x, indices, scratch) = (buffer(s.x)?, buffer(s.indices)?, buffer(s.scratch)?);
    let areas = size(&s.areas)?;
    if memory.len(scratch) < areas * len * 4 || areas < 1 {
        return Err(malformed(format!("{areas} areas for lines of {len} in {} elements", memory.len(scratch))));
    }
    let outside = |address: i64, param: usize, len: i64| InterpretError::OutOfBounds {
        kernel: kernel.name.clone(),
        param: kernel.params.get(param).map_or_else(String::new, |p| p.name.clone()),
        address,
        len,
    };
    let (lines, step, width) = if s.rows { (outer, inner, inner) } else { (outer * inner, inner, 1) };
    let start =
        |line: i64, len: i64| if s.rows { line * len * inner } else { line / inner * len * inner + line % inner };
    for line in 0..lines {
        let mut keys: Vec<(Vec<Scalar>, i64)> = Vec::new();
        for k in 0..len {
            let from = start(line, len) + k * step;
            let row = (from..from + width).map(|at| memory.load(x, at).ok_or_else(|| outside(at, s.x, memory.len(x))));
            keys.push((row.collect::<Result<_, _>>()?, k));
        }
        keys.sort_by(|(a, _), (b, _)| {
            let first = a.iter().zip(b).map(|(a, b)| order(*a, *b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
            if s.descending { first.reverse() } else { first }
        });
        for (k, (row, from)) in (0..keep).zip(keys) {
            let at = if s.rows { line * keep + k } else { start(line, keep) + k * step };
            let length = memory.len(indices);
            memory.store(indices, at, Scalar::Int(from)).ok_or_else(|| outside(at, s.indices, length))?;
            if let (Some(param), Some(value)) = (s.values, row.first()) {
                let values = buffer(param)?;
                let length = memory.len(values);
                memory.store(values, at, *value).ok_or_else(|| outside(at, param, length))?;
            }
        }
    }
    Ok(())
}
