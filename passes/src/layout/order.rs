//! In which order the values inside a region are walked when its heavy node, or what it reads, is walked in order.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DimOrder, Graph, Node, NodeId, ValueId};
use std::collections::BTreeMap;

/// How much a value's order matters to the region that computes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Strength {
    /// Row-major because nothing asked for anything else.
    Free,
    /// What the region reads lies so.
    Read,
    /// The region's contraction writes it so.
    Written,
}

/// The order of every value of a region's body in which memory is walked most evenly: contractions write row by row,
/// convolutions channels-last; views carry an order along; others take that of the operand that insists most.
/// A value behind a reshape that mixes dimensions apart in memory is row-major again.
pub fn natural_orders(body: &Graph) -> BTreeMap<ValueId, DimOrder> {
    let mut known: BTreeMap<ValueId, (DimOrder, Strength)> = BTreeMap::new();
    for (id, node) in body.nodes() {
        for value in body.values(id) {
            let Some(fact) = body.fact(value) else { continue };
            let rank = fact.rank();
            let entry = match node.op() {
                None => {
                    let strength = if fact.order.is_row_major() { Strength::Free } else { Strength::Read };
                    (fact.order.clone(), strength)
                }
                Some("prim.conv") => (DimOrder::channels_last(rank), Strength::Written),
                Some("prim.matmul") => (product(body, node, rank, &known), Strength::Written),
                Some("prim.attention") => (DimOrder::default(), Strength::Written),
                Some("prim.reshape" | "prim.permute" | "prim.expand" | "prim.reduce") => node
                    .operands()
                    .next()
                    .and_then(|x| Some((x, known.get(&x)?)))
                    .map(|(x, (order, strength))| match follow(body, id, x, order) {
                        Some(order) => (order, *strength),
                        None => (interleaved(body, id, x, order), (*strength).min(Strength::Read)),
                    })
                    .unwrap_or((DimOrder::default(), Strength::Free)),
                Some(_) => strongest(body, node.operands(), value, &known),
            };
            known.insert(value, entry);
        }
    }
    known.into_iter().map(|(v, (order, _))| (v, order)).collect()
}

/// The order of a matrix product: its rows as they lie in the first operand where the second is one matrix for all of
/// them, so that rows that follow one another are computed together; row-major otherwise.
fn product(body: &Graph, node: &Node, rank: usize, known: &BTreeMap<ValueId, (DimOrder, Strength)>) -> DimOrder {
    let mut operands = node.operands();
    let (Some(a), Some(b)) = (operands.next(), operands.next()) else { return DimOrder::default() };
    let (Some(fa), Some(fb), Some((order, _))) = (body.fact(a), body.fact(b), known.get(&a)) else {
        return DimOrder::default();
    };
    let one_matrix = fb.shape.iter().rev().skip(2).all(Dim::is_one);
    let Some(last) = rank.checked_sub(1).filter(|_| one_matrix && fa.rank() == rank) else {
        return DimOrder::default();
    };
    let rows = order.dims(rank).into_iter().filter(|d| *d != last).chain([last]);
    DimOrder::new(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

/// The order of the operand that insists most, among those of the result's shape or else of its rank.
fn strongest(
    body: &Graph,
    operands: impl Iterator<Item = ValueId>,
    value: ValueId,
    known: &BTreeMap<ValueId, (DimOrder, Strength)>,
) -> (DimOrder, Strength) {
    let Some(result) = body.fact(value) else { return (DimOrder::default(), Strength::Free) };
    let mut best = (DimOrder::default(), Strength::Free);
    let mut best_key = (Strength::Free, false);
    for v in operands {
        let (Some(fact), Some((order, strength))) = (body.fact(v), known.get(&v)) else { continue };
        let key = (*strength, fact.shape == result.shape);
        if fact.rank() == result.rank() && key > best_key {
            (best, best_key) = ((order.clone(), *strength), key);
        }
    }
    best
}

/// The order of the result of a view or reduction `id` of `x`, if `x` lies in `order`. `None` if the result has no
/// order of its own: a reshape whose dimensions do not follow one another in memory.
pub fn follow(body: &Graph, id: NodeId, x: ValueId, order: &DimOrder) -> Option<DimOrder> {
    let node = body.node(id);
    let (from, to) = (body.fact(x)?, body.fact(ValueId { node: id, index: 0 })?);
    let walk = order.dims(from.rank());
    match (node.op()?, node.args()) {
        ("prim.permute", [_, Arg::Ints(dims)]) => {
            let dims: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(d.as_int()?).ok()).collect();
            let dims = dims?;
            let placed: Option<Vec<usize>> = walk.iter().map(|d| dims.iter().position(|p| p == d)).collect();
            DimOrder::new(&placed?)
        }
        ("prim.reshape", _) => reshaped(&from.shape, &walk, &to.shape),
        ("prim.expand", _) => {
            let lead = to.rank().checked_sub(from.rank())?;
            DimOrder::new(&(0..lead).chain(walk.iter().map(|d| d + lead)).collect::<Vec<_>>())
        }
        ("prim.reduce", _) if from.rank() == to.rank() => Some(order.clone()),
        ("prim.reduce", [_, Arg::Ints(dims), _]) => {
            let gone: Vec<usize> = dims.iter().filter_map(|d| usize::try_from(d.as_int()?).ok()).collect();
            let kept: Vec<usize> = (0..from.rank()).filter(|d| !gone.contains(d)).collect();
            let placed: Vec<usize> = walk.iter().filter_map(|d| kept.iter().position(|k| k == d)).collect();
            DimOrder::new(&placed)
        }
        _ => Some(order.clone()),
    }
}

/// A reshape as groups of dimensions of equal size: those of the operand, those of the result. Dimensions of one element
/// are left out. `None` where no grouping is found.
fn groups(from: &[Dim], to: &[Dim]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    if from.iter().chain(to).any(|n| n.as_int() == Some(0)) {
        return None;
    }
    let real = |shape: &[Dim]| -> Vec<usize> { (0..shape.len()).filter(|&d| !shape[d].is_one()).collect() };
    let (mut sources, mut targets) = (real(from).into_iter(), real(to).into_iter());
    let mut out = Vec::new();
    loop {
        let (s, t) = match (sources.next(), targets.next()) {
            (Some(s), Some(t)) => (s, t),
            (None, None) => return Some(out),
            _ => return None,
        };
        let (mut group, mut parts) = (vec![s], vec![t]);
        let (mut have, mut want) = (from[s].clone(), to[t].clone());
        while have != want {
            // Whichever product divides the other is still to grow.
            if divides(&have, &want) {
                let s = sources.next()?;
                group.push(s);
                have = &have * &from[s];
            } else {
                let t = targets.next()?;
                parts.push(t);
                want = &want * &to[t];
            }
        }
        out.push((group, parts));
    }
}

/// The order of a reshape: dimensions that are split or merged must follow one another in memory.
fn reshaped(from: &[Dim], walk: &[usize], to: &[Dim]) -> Option<DimOrder> {
    let place = |d: usize| walk.iter().position(|w| *w == d);
    let groups = groups(from, to)?;
    let adjacent = groups.iter().flat_map(|(group, _)| group.windows(2)).all(|w| {
        let unit_between = |a: usize, b: usize| walk[a + 1..b].iter().all(|d| from[*d].is_one());
        matches!((place(w[0]), place(w[1])), (Some(a), Some(b)) if a < b && unit_between(a, b))
    });
    adjacent.then(|| in_places(groups, walk, to))
}

/// The result's dimensions of each group where the innermost of the operand's lies.
fn in_places(mut groups: Vec<(Vec<usize>, Vec<usize>)>, walk: &[usize], to: &[Dim]) -> DimOrder {
    groups.sort_by_key(|(group, _)| group.iter().filter_map(|d| walk.iter().position(|w| w == d)).max());
    let mut order: Vec<usize> = groups.into_iter().flat_map(|(_, parts)| parts).collect();
    if order.is_sorted() {
        return DimOrder::default();
    }
    // Dimensions of one element lie anywhere: beside their neighbours.
    for d in (0..to.len()).filter(|&d| to[d].is_one()) {
        let at = d.checked_sub(1).and_then(|p| order.iter().position(|o| *o == p)).map_or(0, |p| p + 1);
        order.insert(at, d);
    }
    DimOrder::new(&order).unwrap_or_default()
}

/// The order of a reshape that merges dimensions which lie apart: as near to the operand's as there is.
fn interleaved(body: &Graph, id: NodeId, x: ValueId, order: &DimOrder) -> DimOrder {
    let (Some(from), Some(to)) = (body.fact(x), body.fact(ValueId { node: id, index: 0 })) else {
        return DimOrder::default();
    };
    groups(&from.shape, &to.shape).map(|g| in_places(g, &order.dims(from.rank()), &to.shape)).unwrap_or_default()
}

/// Whether `a` surely divides `b`.
fn divides(a: &Dim, b: &Dim) -> bool {
    &b.floor_div(a) * a == *b
}

/// Whether a contraction's operand that lies in `order` at the region's `input` is still a strided view of it behind
/// the region's views.
pub fn strided_behind_views(body: &Graph, input: ValueId, order: &DimOrder) -> bool {
    body.users(input.node).into_iter().all(|u| match body.node(u).op() {
        Some("prim.reshape" | "prim.permute" | "prim.expand") => match follow(body, u, input, order) {
            Some(order) => strided_behind_views(body, ValueId { node: u, index: 0 }, &order),
            None => false,
        },
        // The strides of a part are those of the whole, but its dimensions cannot be merged.
        Some("prim.slice") => !behind_reshape(body, ValueId { node: u, index: 0 }),
        _ => true,
    })
}

/// Whether a value is read through a reshape that does more than add or remove dimensions of size 1.
fn behind_reshape(body: &Graph, value: ValueId) -> bool {
    let sizes = |v: ValueId| body.fact(v).into_iter().flat_map(|f| &f.shape).filter(|n| !n.is_one());
    body.users(value.node).into_iter().any(|u| {
        let result = ValueId { node: u, index: 0 };
        match body.node(u).op() {
            Some("prim.reshape") => !sizes(value).eq(sizes(result)) || behind_reshape(body, result),
            Some("prim.permute" | "prim.slice" | "prim.expand") => behind_reshape(body, result),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_after(from: &[i64], walk: &[usize], to: &[i64]) -> Option<Vec<usize>> {
        let dims = |s: &[i64]| s.iter().map(|&n| Dim::int(n)).collect::<Vec<_>>();
        reshaped(&dims(from), walk, &dims(to)).map(|o| o.dims(to.len()))
    }

    #[test]
    fn reshapes_follow_neighbours_in_memory() {
        // Height and width are neighbours in channels-last memory, channels and height are not.
        assert_eq!(order_after(&[1, 8, 14, 14], &[0, 2, 3, 1], &[1, 8, 196]), Some(vec![0, 2, 1]));
        assert_eq!(order_after(&[1, 8, 14, 14], &[0, 2, 3, 1], &[1, 112, 14]), None);
        assert_eq!(order_after(&[2, 196, 8], &[0, 1, 2], &[2, 14, 14, 8]), Some(vec![0, 1, 2, 3]));
        assert_eq!(order_after(&[2, 8, 6, 5], &[0, 2, 3, 1], &[2, 4, 2, 6, 5]), Some(vec![0, 3, 4, 1, 2]));
        // Two dimensions in the wrong sequence do not merge.
        assert_eq!(order_after(&[4, 6], &[1, 0], &[24]), None);
        assert_eq!(order_after(&[4, 1, 6], &[2, 0, 1], &[4, 6]), Some(vec![1, 0]));
    }

    #[test]
    fn symbolic_sizes_follow_where_their_products_agree() {
        let s = Dim::sym(pt2c_ir::dim::Symbol::new("s0"));
        let from = [Dim::ONE, Dim::int(8), s.clone(), Dim::int(14)];
        let to = [Dim::ONE, Dim::int(8), &s * &Dim::int(14)];
        assert_eq!(reshaped(&from, &[0, 2, 3, 1], &to).map(|o| o.dims(3)), Some(vec![0, 2, 1]));
    }
}
