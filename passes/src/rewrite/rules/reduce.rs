//! Reductions.

use super::{Rule, Site, positions, reshape, rule};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::dim::Dim;

/// The theme.
pub const RULES: &[Rule] = &[
    rule("reduce_reduce", "reductions of one kind after another are one", &["prim.reduce"], reduce_reduce),
    rule("reduce_ones", "a reduction over dimensions of size 1 is a view", &["prim.reduce"], reduce_ones),
    rule(
        "reduce_expand",
        "a reduction over dimensions that repeat is one element, or for sums that many times it",
        &["prim.reduce"],
        reduce_expand,
    ),
];

fn reduce_reduce(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, dims, kind) = (s.tensor(0)?, s.positions(1)?, s.args.get(2)?.as_str()?);
    for inner in r.calls(x, "prim.reduce") {
        let (y, first) = (*inner.first()?.as_tensor()?, positions(inner.get(1)?)?);
        if inner.get(2)?.as_str()? != kind {
            continue;
        }
        let kept: Vec<usize> = (0..r.shape(y).len()).filter(|d| !first.contains(d)).collect();
        let mut all: Vec<usize> = dims.iter().map(|&d| kept.get(d).copied()).collect::<Option<_>>()?;
        all.extend(first);
        all.sort_unstable();
        return r.b().reduce(y, &all, kind).ok();
    }
    None
}

fn reduce_ones(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, dims) = (s.tensor(0)?, s.positions(1)?);
    if !dims.iter().all(|&d| r.shape(x).get(d).is_some_and(|n| r.equal(n, &Dim::ONE))) {
        return None;
    }
    let shape = r.shape(s.class).to_vec();
    reshape(r, x, &shape)
}

fn reduce_expand(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, dims, kind) = (s.tensor(0)?, s.positions(1)?, s.args.get(2)?.as_str()?);
    let shape = r.shape(s.class).to_vec();
    for y in r.operands(x, "prim.expand") {
        let (full, own) = (r.shape(x).to_vec(), r.shape(y).to_vec());
        let front = full.len().checked_sub(own.len())?;
        // Every reduced dimension repeats one element, and there is at least one.
        let repeats = |d: &usize| *d < front || own.get(d - front).is_some_and(Dim::is_one);
        let count = dims.iter().filter_map(|&d| full.get(d)).fold(Dim::ONE, |n, d| &n * d);
        if !dims.iter().all(repeats) || !r.symbols().prove_le(&Dim::ONE, &count).is_yes() {
            continue;
        }
        let sums = match kind {
            "max" | "min" | "any" | "all" => false,
            "sum" if r.dtype(x).is_float() => true,
            _ => continue,
        };
        let left: Vec<Dim> =
            own.iter().enumerate().filter(|(d, _)| !dims.contains(&(d + front))).map(|(_, n)| n.clone()).collect();
        let dtype = r.dtype(x);
        let mut y = reshape(r, y, &left)?;
        if sums {
            let count = r.b().constant_dim(&count, dtype).ok()?;
            y = r.b().mul(y, count).ok()?;
        }
        if r.equal_shapes(r.shape(y), &shape) {
            return Some(y);
        }
        return r.b().expand(y, &shape).ok();
    }
    None
}
