//! Attention found again in programs that were decomposed, or that write it out.
//!
//! `softmax(q·kᵀ·scale + mask)·v` becomes `prim.attention`. A row that is masked everywhere is zero after it, as in
//! PyTorch's scaled dot product attention, where the written-out form has NaN.

use super::views::transposed;
use super::{Roots, Rule, Site, both, reshape, rule};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The theme.
pub const RULES: &[Rule] = &[
    Rule {
        name: "attention_found",
        about: "softmax(q·kᵀ·scale + mask)·v is attention",
        roots: Roots::Ops(&["prim.matmul"]),
        depth: Some(24),
        apply: attention_found,
    },
    rule(
        "attention_scale",
        "a factor of the queries or keys is one of the scores",
        &["prim.attention"],
        attention_scale,
    ),
    rule(
        "attention_shared_heads",
        "keys and values repeated for several heads are shared by them",
        &["prim.attention"],
        attention_shared_heads,
    ),
    rule(
        "attention_mask",
        "an addend of 0 or -infinity is a mask of what is kept",
        &["prim.attention"],
        attention_mask,
    ),
    rule("attention_causal", "a mask of what came before is causal attention", &["prim.attention"], attention_causal),
];

/// A value without expansions and reshapes that keep the rank or add dimensions of size 1.
fn behind_keepdim(r: &Engine<'_>, v: Val) -> Vec<Val> {
    let mut found = vec![v];
    let mut next = 0;
    while let Some(&v) = found.get(next) {
        for op in ["prim.expand", "prim.reshape"] {
            for x in r.operands(v, op) {
                if !found.iter().any(|f| r.same(*f, x)) && found.len() < 8 {
                    found.push(x);
                }
            }
        }
        next += 1;
    }
    found
}

/// The value reduced over its last dimension, if `v` is that with the dimension kept.
fn row_reduction(r: &Engine<'_>, v: Val, kind: &str, of: Val) -> bool {
    let last = r.shape(of).len().checked_sub(1);
    behind_keepdim(r, v).into_iter().any(|v| {
        r.calls(v, "prim.reduce").iter().any(|args| {
            let dims = args.get(1).and_then(super::positions);
            args.get(2).and_then(Arg::as_str) == Some(kind)
                && dims.as_deref().is_some_and(|d| Some(d) == last.as_ref().map(std::slice::from_ref))
                && args.first().and_then(Arg::as_tensor).is_some_and(|x| r.same(*x, of))
        })
    })
}

/// Whether `v`, of the shape of `of`, keeps the rows of `of`: its last dimension is 1, the others are those of `of`.
fn is_per_row(r: &Engine<'_>, v: Val, of: Val) -> bool {
    let (own, full) = (r.shape(v), r.shape(of));
    match (own.split_last(), full.split_last()) {
        (Some((last, own)), Some((n, full))) => {
            own.len() == full.len() && r.equal_shapes(own, full) && (last.is_one() || r.equal(last, n))
        }
        _ => false,
    }
}

/// The scores behind weights that are their softmax along the last dimension.
fn scores_of(r: &Engine<'_>, weights: Val) -> Option<Val> {
    let weights = match r.calls(weights, "prim.where").into_iter().find_map(|args| safe_softmax(r, &args)) {
        Some(inner) => inner,
        None => weights,
    };
    for (e, sum) in r.pairs(weights, "prim.div") {
        if !is_per_row(r, sum, e) || !row_reduction(r, sum, "sum", e) {
            continue;
        }
        for below in r.operands(e, "prim.exp") {
            for (scores, top) in r.pairs(below, "prim.sub") {
                if is_per_row(r, top, scores) && row_reduction(r, top, "max", scores) {
                    return Some(scores);
                }
            }
        }
    }
    None
}

/// The softmax in `where(all -inf, 0, softmax)` or `where(any not -inf, softmax, 0)`.
fn safe_softmax(r: &Engine<'_>, args: &[Arg<Val>]) -> Option<Val> {
    let (condition, a, b) = (*args.first()?.as_tensor()?, *args.get(1)?.as_tensor()?, *args.get(2)?.as_tensor()?);
    for (zero, softmax, kind, compare) in [(a, b, "all", "prim.eq"), (b, a, "any", "prim.ne")] {
        if r.number(zero) != Some(0.0) {
            continue;
        }
        let Some(scores) = scores_of(r, softmax) else { continue };
        let compared = |m: Val| {
            let mut sides = r.pairs(m, compare).into_iter().flat_map(both);
            sides.any(|(x, low)| r.same(x, scores) && r.number(low) == Some(f64::NEG_INFINITY))
        };
        let hides = |v: Val| {
            r.calls(v, "prim.reduce").iter().any(|args| {
                let masked = args.first().and_then(Arg::as_tensor).copied();
                args.get(2).and_then(Arg::as_str) == Some(kind) && masked.is_some_and(compared)
            })
        };
        if is_per_row(r, condition, scores) && behind_keepdim(r, condition).into_iter().any(hides) {
            return Some(softmax);
        }
    }
    None
}

/// What the scores of an attention are made of.
struct Scores {
    q: Val,
    /// Transposed.
    kt: Val,
    scale: f64,
    /// Booleans (true where kept) or addends.
    mask: Option<Val>,
}

/// Takes scores apart: an addend or a choice outside, then a factor, then the product.
fn scores(r: &mut Engine<'_>, s: Val) -> Option<Scores> {
    if let Some((q, kt, scale)) = scaled_product(r, s) {
        return Some(Scores { q, kt, scale, mask: None });
    }
    for pair in r.pairs(s, "prim.add") {
        for (x, mask) in both(pair) {
            if r.equal_shapes(r.shape(x), r.shape(s))
                && let Some((q, kt, scale)) = scaled_product(r, x)
            {
                return Some(Scores { q, kt, scale, mask: Some(mask) });
            }
        }
    }
    for args in r.calls(s, "prim.where") {
        let operand = |i: usize| args.get(i).and_then(Arg::as_tensor).copied();
        let (cond, a, b) = (operand(0)?, operand(1)?, operand(2)?);
        for (x, low, kept) in [(a, b, true), (b, a, false)] {
            if r.number(low) != Some(f64::NEG_INFINITY) || !r.equal_shapes(r.shape(x), r.shape(s)) {
                continue;
            }
            if let Some((q, kt, scale)) = scaled_product(r, x) {
                let mask = if kept { cond } else { r.b().not(cond).ok()? };
                return Some(Scores { q, kt, scale, mask: Some(mask) });
            }
        }
    }
    None
}

fn scaled_product(r: &Engine<'_>, v: Val) -> Option<(Val, Val, f64)> {
    if let Some((q, kt)) = r.pairs(v, "prim.matmul").first().copied() {
        return Some((q, kt, 1.0));
    }
    let product = |v: Val, c: f64| {
        let (q, kt) = r.pairs(v, "prim.matmul").first().copied()?;
        (c.is_finite() && c != 0.0).then_some((q, kt, c))
    };
    for pair in r.pairs(v, "prim.mul") {
        for (x, c) in both(pair) {
            if let Some(found) = r.number(c).and_then(|c| product(x, c)) {
                return Some(found);
            }
        }
    }
    for (x, c) in r.pairs(v, "prim.div") {
        if let Some(found) = r.number(c).and_then(|c| product(x, 1.0 / c)) {
            return Some(found);
        }
    }
    None
}

fn attention_found(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (mut weights, v) = s.two()?;
    let dtype = r.dtype(v);
    if !dtype.is_float() {
        return None;
    }
    // Narrower floats are often widened for the softmax alone; attention computes in f32 anyway.
    let narrow = matches!(dtype, DType::F16 | DType::BF16);
    let mut found = scores_of(r, weights);
    if found.is_none() && narrow {
        let wide = r.operands(weights, "prim.cast").into_iter().find(|x| r.dtype(*x) == DType::F32)?;
        weights = wide;
        found = scores_of(r, weights);
    }
    let line = found?;
    let mut parts = scores(r, line);
    if parts.is_none() && narrow {
        let inner = r.operands(line, "prim.cast").into_iter().find(|x| r.dtype(*x) == dtype)?;
        parts = scores(r, inner);
    }
    let Scores { q, kt, scale, mask } = parts?;
    if r.dtype(q) != dtype || r.dtype(kt) != dtype {
        return None;
    }
    let k = transposed(r, kt)?;
    let (sq, sk, sv) = (r.shape(q).to_vec(), r.shape(k).to_vec(), r.shape(v).to_vec());
    let rank = sq.len();
    if rank < 2 || sk.len() != rank || sv.len() != rank {
        return None;
    }
    let batch = &sq[..rank - 2];
    // The primitive's feature sizes are known when the program is compiled.
    let fits = sq[rank - 1].is_int()
        && sv[rank - 1].is_int()
        && r.equal_shapes(batch, &sk[..rank - 2])
        && r.equal_shapes(batch, &sv[..rank - 2])
        && r.equal(&sk[rank - 2], &sv[rank - 2])
        && r.equal(&sq[rank - 1], &sk[rank - 1]);
    if !fits {
        return None;
    }
    let mask = match mask {
        Some(m) if r.dtype(m) == DType::Bool || r.dtype(m) == dtype => Some(m),
        Some(_) => return None,
        None => None,
    };
    let shape = r.shape(s.class).to_vec();
    // The primitive has a dimension of heads.
    let with_heads = |r: &mut Engine<'_>, x: Val| {
        let own = r.shape(x).to_vec();
        if rank > 2 { Some(x) } else { reshape(r, x, &[vec![Dim::ONE], own].concat()) }
    };
    let (q, k, v) = (with_heads(r, q)?, with_heads(r, k)?, with_heads(r, v)?);
    let y = r.b().attention(q, k, v, mask, scale, false).ok()?;
    reshape(r, y, &shape)
}

/// A value that is another times one number.
fn scaled(r: &Engine<'_>, v: Val) -> Option<(Val, f64)> {
    for pair in r.pairs(v, "prim.mul") {
        for (x, c) in both(pair) {
            let c = r.number(c).filter(|c| c.is_finite() && *c != 0.0 && r.number(x).is_none());
            if let Some(c) = c
                && r.equal_shapes(r.shape(x), r.shape(v))
            {
                return Some((x, c));
            }
        }
    }
    for (x, c) in r.pairs(v, "prim.div") {
        let c = r.number(c).filter(|c| c.is_finite() && *c != 0.0 && r.number(x).is_none());
        if let Some(c) = c
            && r.equal_shapes(r.shape(x), r.shape(v))
        {
            return Some((x, 1.0 / c));
        }
    }
    None
}

/// The same behind a permutation.
fn scaled_view(r: &mut Engine<'_>, v: Val) -> Option<(Val, f64)> {
    if let Some(found) = scaled(r, v) {
        return Some(found);
    }
    for args in r.calls(v, "prim.permute") {
        let (x, dims) = (*args.first()?.as_tensor()?, super::positions(args.get(1)?)?);
        if let Some((x, c)) = scaled(r, x) {
            return Some((r.b().permute(x, &dims).ok()?, c));
        }
    }
    None
}

fn attention_scale(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let scale = s.args.get(4)?.as_float()?;
    // Narrower operands are rounded by the product.
    if !matches!(r.dtype(s.class), DType::F32 | DType::F64) {
        return None;
    }
    for i in [0, 1] {
        if let Some((x, c)) = scaled_view(r, s.tensor(i)?) {
            let mut args = s.args.clone();
            args[i] = Arg::Tensor(x);
            args[4] = Arg::Float(scale * c);
            return r.b().one(s.op, args).ok();
        }
    }
    None
}

/// `[B…, H, S, E]` behind `reshape(expand(reshape(x, [B…, H, 1, S, E]), [B…, H, n, S, E]), [B…, H·n, S, E])`.
fn unrepeated(r: &mut Engine<'_>, v: Val) -> Option<Val> {
    let shape = r.shape(v).to_vec();
    let rank = shape.len();
    let heads = rank.checked_sub(3)?;
    for wide in r.operands(v, "prim.reshape") {
        let full = r.shape(wide).to_vec();
        let matches = full.len() == rank + 1
            && r.equal_shapes(&full[..heads], &shape[..heads])
            && r.equal_shapes(&full[heads + 2..], &shape[heads + 1..]);
        if !matches {
            continue;
        }
        for narrow in r.operands(wide, "prim.expand") {
            let own = r.shape(narrow).to_vec();
            let same = own.len() == rank + 1
                && own[heads + 1].is_one()
                && own.iter().zip(&full).enumerate().all(|(d, (a, b))| d == heads + 1 || r.equal(a, b));
            if same {
                let shape = [&own[..=heads], &own[heads + 2..]].concat();
                return reshape(r, narrow, &shape);
            }
        }
    }
    None
}

fn attention_shared_heads(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (k, v) = (unrepeated(r, s.tensor(1)?)?, unrepeated(r, s.tensor(2)?)?);
    let mut args = s.args.clone();
    args[1] = Arg::Tensor(k);
    args[2] = Arg::Tensor(v);
    r.b().one(s.op, args).ok()
}

fn attention_mask(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let mask = s.tensor(3)?;
    for choice in r.calls(mask, "prim.where") {
        let operand = |i: usize| choice.get(i).and_then(Arg::as_tensor).copied();
        let (kept, a, b) = (operand(0)?, operand(1)?, operand(2)?);
        let kept = match (r.number(a)?, r.number(b)?) {
            (0.0, f64::NEG_INFINITY) => kept,
            (f64::NEG_INFINITY, 0.0) => r.b().not(kept).ok()?,
            _ => continue,
        };
        let mut args = s.args.clone();
        args[3] = Arg::Tensor(kept);
        return r.b().one(s.op, args).ok();
    }
    None
}

fn attention_causal(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let mask = s.tensor(3)?;
    let [.., rows, columns] = r.shape(mask) else { return None };
    let (rows, columns) = (rows.clone(), columns.clone());
    let counts = |r: &Engine<'_>, v: Val, n: &Dim, by_row: bool| {
        let shape = r.shape(v);
        let last = if by_row { shape.len().checked_sub(2) } else { shape.len().checked_sub(1) };
        let along = last.and_then(|d| shape.get(d));
        let ones = shape.iter().filter(|d| !d.is_one()).count() <= 1;
        let is_iota = behind_keepdim(r, v).into_iter().any(|v| {
            r.calls(v, "prim.iota").iter().any(|args| args.first().and_then(Arg::as_dim).is_some_and(|m| r.equal(m, n)))
        });
        ones && along.is_some_and(|m| r.equal(m, n)) && is_iota
    };
    let le = r.pairs(mask, "prim.le");
    let ge = r.pairs(mask, "prim.ge").into_iter().map(|(a, b)| (b, a));
    let mut compared: Vec<(Val, Val)> = le.into_iter().chain(ge).collect();
    // column - row ≤ 0
    for (difference, zero) in compared.clone() {
        if r.number(zero) == Some(0.0) {
            compared.extend(r.pairs(difference, "prim.sub"));
        }
    }
    let before = |(column, row): &(Val, Val)| counts(r, *column, &columns, false) && counts(r, *row, &rows, true);
    let causal = compared.iter().any(before);
    // The mask has a row for each query, rather than one for all.
    let shape = r.shape(s.tensor(0)?);
    let full = shape.len().checked_sub(2).and_then(|d| shape.get(d)).is_some_and(|n| r.equal(n, &rows));
    if !causal || !full || s.args.get(5)?.as_bool()? {
        return None;
    }
    let mut args = s.args.clone();
    args[3] = Arg::None;
    args[5] = Arg::Bool(true);
    r.b().one(s.op, args).ok()
}
