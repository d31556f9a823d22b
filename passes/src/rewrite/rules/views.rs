//! Views: those that do nothing, those after another, and work moved before or past them.

use super::{Roots, Rule, Site, positions, reshape, rule};
use crate::decompose::{Val, int_list};
use crate::rewrite::engine::Engine;
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;
use pt2c_ops::shape::{broadcast, broadcast_all};

/// The theme.
pub const RULES: &[Rule] = &[
    rule("reshape_nothing", "a reshape to the shape a value has is nothing", &["prim.reshape"], same_shape),
    rule("reshape_reshape", "of two reshapes the last counts", &["prim.reshape"], reshape_reshape),
    rule("expand_nothing", "an expansion to the shape a value has is nothing", &["prim.expand"], same_shape),
    rule("expand_expand", "of two expansions the last counts", &["prim.expand"], expand_expand),
    rule("permute_nothing", "a permutation that keeps every dimension is nothing", &["prim.permute"], permute_nothing),
    rule("permute_permute", "two permutations are one", &["prim.permute"], permute_permute),
    rule(
        "permute_ones",
        "a permutation that moves only dimensions of size 1 is a reshape",
        &["prim.permute"],
        permute_ones,
    ),
    rule("slice_all", "a slice of everything is nothing", &["prim.slice"], slice_all),
    rule("slice_slice", "two slices are one", &["prim.slice"], slice_slice),
    rule("pad_nothing", "padding by nothing is nothing", &["prim.pad"], pad_nothing),
    rule("cat_one", "one value concatenated is itself", &["prim.cat"], cat_one),
    Rule {
        name: "expand_last",
        about: "elementwise work is done before its operands are expanded",
        roots: Roots::Pointwise,
        depth: None,
        apply: expand_last,
    },
    rule("matmul_expand", "a matrix product expands its batch itself", &["prim.matmul"], matmul_expand),
    rule(
        "matmul_batch",
        "a product of matrices in a flattened batch is one in the batch as it was",
        &["prim.matmul"],
        matmul_batch,
    ),
];

fn same_shape(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = s.tensor(0)?;
    r.equal_shapes(r.shape(x), r.shape(s.class)).then_some(x)
}

fn reshape_reshape(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = r.operands(s.tensor(0)?, "prim.reshape").first().copied()?;
    reshape(r, x, s.dims(1)?)
}

fn expand_expand(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let x = r.operands(s.tensor(0)?, "prim.expand").first().copied()?;
    let shape = s.dims(1)?;
    if r.equal_shapes(r.shape(x), shape) {
        return Some(x);
    }
    r.b().expand(x, shape).ok()
}

fn permute_nothing(_: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let dims = s.positions(1)?;
    if dims.iter().copied().eq(0..dims.len()) { s.tensor(0) } else { None }
}

fn permute_permute(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let outer = s.positions(1)?;
    let inner = r.calls(s.tensor(0)?, "prim.permute").into_iter().next()?;
    let (x, first) = (*inner.first()?.as_tensor()?, positions(inner.get(1)?)?);
    let dims: Vec<usize> = outer.iter().map(|&d| first.get(d).copied()).collect::<Option<_>>()?;
    r.b().permute(x, &dims).ok()
}

fn permute_ones(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, dims) = (s.tensor(0)?, s.positions(1)?);
    let shape = r.shape(x);
    let moved: Vec<usize> = dims.into_iter().filter(|&d| !shape.get(d).is_some_and(Dim::is_one)).collect();
    if !moved.is_sorted() {
        return None;
    }
    let shape = r.shape(s.class).to_vec();
    reshape(r, x, &shape)
}

fn steps(arg: &Arg<Val>) -> Option<Vec<i64>> {
    arg.as_ints()
}

fn slice_all(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (x, start, size, step) = (s.tensor(0)?, s.dims(1)?, s.dims(2)?, steps(s.args.get(3)?)?);
    let whole = start.iter().all(Dim::is_zero) && step.iter().all(|&t| t == 1) && r.equal_shapes(r.shape(x), size);
    whole.then_some(x)
}

fn slice_slice(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (y, start, size, step) = (s.tensor(0)?, s.dims(1)?, s.dims(2)?, steps(s.args.get(3)?)?);
    let inner = r.calls(y, "prim.slice").into_iter().next()?;
    let x = *inner.first()?.as_tensor()?;
    let (first, first_step) = (inner.get(1)?.as_dims()?, steps(inner.get(3)?)?);
    if first.len() != start.len() || first_step.len() != step.len() || start.len() != step.len() {
        return None;
    }
    let from: Vec<Dim> = first.iter().zip(start).zip(&first_step).map(|((a, b), t)| a + &(b * &Dim::int(*t))).collect();
    let by: Vec<i64> = first_step.iter().zip(&step).map(|(a, b)| a.checked_mul(*b)).collect::<Option<_>>()?;
    r.b().slice(x, &from, size, &by).ok()
}

fn pad_nothing(_: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let nothing = s.dims(2)?.iter().chain(s.dims(3)?).all(Dim::is_zero);
    if nothing { s.tensor(0) } else { None }
}

fn cat_one(_: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    match s.args.first()? {
        Arg::Tensors(xs) if xs.len() == 1 => *xs.first()?,
        _ => None,
    }
}

fn expand_last(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let mut found = false;
    let mut args = s.args.clone();
    for arg in &mut args {
        for v in arg.tensors_mut() {
            if let Some(x) = r.operands(*v, "prim.expand").first().copied() {
                *v = x;
                found = true;
            }
        }
    }
    if !found {
        return None;
    }
    let shapes = args.iter().flat_map(Arg::tensors).map(|v| r.shape(*v));
    broadcast_all(r.symbols(), shapes).ok()?;
    let shape = r.shape(s.class).to_vec();
    let y = r.b().one(s.op, args).ok()?;
    if r.equal_shapes(r.shape(y), &shape) {
        return Some(y);
    }
    r.b().expand(y, &shape).ok()
}

fn matmul_expand(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (a, b) = s.two()?;
    let shape = r.shape(s.class).to_vec();
    let inner = |r: &Engine<'_>, x: Val| {
        let wide = r.shape(x);
        let keeps = |y: &Val| {
            let own = r.shape(*y);
            // The matrices themselves are not expanded.
            own.len() >= 2 && r.equal_shapes(&own[own.len() - 2..], &wide[wide.len() - 2..])
        };
        r.operands(x, "prim.expand").into_iter().find(keeps)
    };
    let options = [(inner(r, a), inner(r, b)), (inner(r, a), None), (None, inner(r, b))];
    for (x, y) in options {
        if x.is_none() && y.is_none() {
            continue;
        }
        let (x, y) = (x.unwrap_or(a), y.unwrap_or(b));
        let (sx, sy) = (r.shape(x), r.shape(y));
        let batch = broadcast(r.symbols(), &sx[..sx.len() - 2], &sy[..sy.len() - 2]).ok();
        if batch.is_some_and(|batch| r.equal_shapes(&batch, &shape[..shape.len() - 2])) {
            return r.b().matmul(x, y).ok();
        }
    }
    None
}

fn matmul_batch(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let (a, b) = s.two()?;
    if r.shape(a).len() != 3 || r.shape(b).len() != 3 {
        return None;
    }
    let matrices = |r: &Engine<'_>, flat: Val| {
        let same = |v: &Val| {
            let shape = r.shape(*v);
            shape.len() > 3 && r.equal_shapes(&shape[shape.len() - 2..], &r.shape(flat)[1..])
        };
        r.operands(flat, "prim.reshape").into_iter().filter(same).collect::<Vec<_>>()
    };
    for x in matrices(r, a) {
        for y in matrices(r, b) {
            let (sx, sy) = (r.shape(x), r.shape(y));
            if sx.len() == sy.len() && r.equal_shapes(&sx[..sx.len() - 2], &sy[..sy.len() - 2]) {
                let product = r.b().matmul(x, y).ok()?;
                let shape = r.shape(s.class).to_vec();
                return reshape(r, product, &shape);
            }
        }
    }
    None
}

/// The last two dimensions exchanged.
pub fn transposed(r: &mut Engine<'_>, x: Val) -> Option<Val> {
    let rank = r.shape(x).len();
    let mut dims: Vec<usize> = (0..rank).collect();
    dims.swap(rank.checked_sub(2)?, rank - 1);
    // Undoes an exchange at once, so that no rule has to.
    let back = int_list(&dims);
    let done = r.calls(x, "prim.permute").into_iter().find(|args| args.get(1) == Some(&back));
    if let Some(args) = done {
        return args.first()?.as_tensor().copied();
    }
    r.b().permute(x, &dims).ok()
}
