//! How views move indices: from an index of a view's result to the index of its operand.

use pt2c_ir::dim::{Dim, Proof, Scope};
use pt2c_ir::{Arg, Fact, Graph, ValueId};

/// The index of broadcast operand `fact` for an index of the result: aligned from the right, 0 where the size is 1.
pub fn broadcast_index(fact: &Fact, index: &[Dim]) -> Vec<Dim> {
    let skip = index.len().saturating_sub(fact.rank());
    fact.shape.iter().zip(&index[skip..]).map(|(n, i)| if n.is_one() { Dim::ZERO } else { i.clone() }).collect()
}

/// Element offset of `index` in a dense value of this fact.
pub fn address(scope: &Scope, fact: &Fact, index: &[Dim]) -> Dim {
    let strides = fact.order.strides(&fact.shape);
    let sum = index.iter().zip(&strides).fold(Dim::ZERO, |at, (i, s)| at + i * s);
    scope.simplify(&sum)
}

/// Row-major position of an index.
pub fn linearize(index: &[Dim], shape: &[Dim]) -> Dim {
    index.iter().zip(shape).fold(Dim::ZERO, |at, (i, n)| &at * n + i)
}

/// The index of row-major position `at`.
pub fn delinearize(scope: &Scope, at: &Dim, shape: &[Dim]) -> Vec<Dim> {
    let mut index = vec![Dim::ZERO; shape.len()];
    let mut rest = at.clone();
    for d in (0..shape.len()).rev() {
        if shape[d].is_one() {
            continue;
        }
        // Nothing is left of the position for the dimensions outside this one: no remainder is taken.
        let outermost = shape[..d].iter().all(Dim::is_one);
        if outermost {
            index[d] = scope.simplify(&rest);
        } else {
            index[d] = scope.simplify(&rest.modulo(&shape[d]));
            rest = scope.simplify(&rest.floor_div(&shape[d]));
        }
    }
    index
}

/// The index in `from` of the element at `index` in `to`, two row-major shapes of as many elements.
///
/// Dimensions are matched in groups of equal products from the right, so that an index that a reshape leaves alone
/// stays as it is, without divisions.
pub fn reshape_index(scope: &Scope, from: &[Dim], to: &[Dim], index: &[Dim]) -> Vec<Dim> {
    let mut result = vec![Dim::ZERO; from.len()];
    let (mut f, mut t) = (from.len(), to.len());
    while f > 0 || t > 0 {
        // Sizes of 1 belong to any group.
        if f > 0 && from[f - 1].is_one() {
            f -= 1;
            continue;
        }
        if t > 0 && to[t - 1].is_one() {
            t -= 1;
            continue;
        }
        if f == 0 || t == 0 {
            break;
        }
        let (f_end, t_end) = (f, t);
        f -= 1;
        t -= 1;
        let (mut pf, mut pt) = (from[f].clone(), to[t].clone());
        while !same(scope, &pf, &pt) {
            let take_from = match (pf.as_int(), pt.as_int()) {
                (Some(a), Some(b)) => a < b,
                // A known product can only grow to meet an unknown one.
                (Some(_), None) => f > 0,
                (None, Some(_)) => t == 0,
                (None, None) => match scope.prove_divisible(&pt, &pf) {
                    Proof::Yes => f > 0,
                    _ => t == 0,
                },
            };
            if take_from && f > 0 {
                f -= 1;
                pf = scope.simplify(&(&pf * &from[f]));
            } else if t > 0 {
                t -= 1;
                pt = scope.simplify(&(&pt * &to[t]));
            } else if f > 0 {
                f -= 1;
                pf = scope.simplify(&(&pf * &from[f]));
            } else {
                break;
            }
        }
        let (from_group, to_group) = (&from[f..f_end], &to[t..t_end]);
        let group = &index[t..t_end];
        let many = |shape: &[Dim]| shape.iter().filter(|n| !n.is_one()).count() > 1;
        if !many(from_group) && !many(to_group) {
            let at = linearize(group, to_group);
            if let Some(d) = (f..f_end).find(|&d| !from[d].is_one()) {
                result[d] = at;
            }
        } else {
            let at = scope.simplify(&linearize(group, to_group));
            for (d, i) in delinearize(scope, &at, from_group).into_iter().enumerate() {
                result[f + d] = i;
            }
        }
    }
    result
}

/// Follows `prim` views from `value` at `index` down to the value they look at, and the index there.
pub fn trace_views(graph: &Graph, scope: &Scope, value: ValueId, index: &[Dim]) -> Option<(ValueId, Vec<Dim>)> {
    graph.fact(value)?;
    match view_step(graph, scope, value, index) {
        Some((x, at)) => trace_views(graph, scope, x, &at),
        None => Some((value, index.to_vec())),
    }
}

/// The operand of a view and the index there; `None` if the value is not a view.
pub fn view_step(graph: &Graph, scope: &Scope, value: ValueId, index: &[Dim]) -> Option<(ValueId, Vec<Dim>)> {
    let node = graph.node(value.node);
    let fact = graph.fact(value)?;
    Some(match (node.op(), node.args()) {
        (Some("prim.reshape"), [Arg::Tensor(x), _]) => {
            (*x, reshape_index(scope, &graph.fact(*x)?.shape, &fact.shape, index))
        }
        (Some("prim.expand"), [Arg::Tensor(x), _]) => (*x, broadcast_index(graph.fact(*x)?, index)),
        (Some("prim.permute"), [Arg::Tensor(x), Arg::Ints(dims)]) => {
            let mut at = vec![Dim::ZERO; index.len()];
            for (i, d) in index.iter().zip(dims) {
                *at.get_mut(usize::try_from(d.as_int()?).ok()?)? = i.clone();
            }
            (*x, at)
        }
        (Some("prim.slice"), [Arg::Tensor(x), Arg::Ints(start), _, Arg::Ints(step)]) => {
            (*x, index.iter().zip(start).zip(step).map(|((i, s), t)| s + &(i * t)).collect())
        }
        _ => return None,
    })
}

/// The index of `value` at which it holds the element that `root` has at `index`, following views forward: through
/// reshapes, permutations, and elementwise primitives of the same shape.
pub fn forward_index(graph: &Graph, scope: &Scope, root: ValueId, index: &[Dim], value: ValueId) -> Option<Vec<Dim>> {
    if value == root {
        return Some(index.to_vec());
    }
    let node = graph.node(value.node);
    let fact = graph.fact(value)?;
    match (node.op()?, node.args()) {
        ("prim.reshape", [Arg::Tensor(x), _]) => {
            let inner = forward_index(graph, scope, root, index, *x)?;
            Some(reshape_index(scope, &fact.shape, &graph.fact(*x)?.shape, &inner))
        }
        ("prim.permute", [Arg::Tensor(x), Arg::Ints(dims)]) => {
            let inner = forward_index(graph, scope, root, index, *x)?;
            dims.iter().map(|d| inner.get(usize::try_from(d.as_int()?).ok()?).cloned()).collect()
        }
        _ => node
            .operands()
            .filter(|o| graph.fact(*o).is_some_and(|f| f.shape == fact.shape))
            .find_map(|o| forward_index(graph, scope, root, index, o)),
    }
}

fn same(scope: &Scope, a: &Dim, b: &Dim) -> bool {
    a == b || scope.prove_eq(a, b) == Proof::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(n: &[i64]) -> Vec<Dim> {
        n.iter().map(|&n| Dim::int(n)).collect()
    }

    /// Every reshape of 24 elements, against plain linear positions.
    #[test]
    fn reshapes_agree_with_positions() {
        let scope = Scope::new();
        let shapes = [vec![24], vec![2, 12], vec![2, 1, 3, 4], vec![4, 6], vec![3, 8], vec![1, 24, 1], vec![6, 2, 2]];
        for from in &shapes {
            for to in &shapes {
                for at in 0..24 {
                    let index = delinearize(&scope, &Dim::int(at), &dims(to));
                    let source = reshape_index(&scope, &dims(from), &dims(to), &index);
                    assert_eq!(linearize(&source, &dims(from)), Dim::int(at), "{from:?} {to:?} {at}");
                }
            }
        }
    }

    #[test]
    fn untouched_dimensions_stay_plain() {
        let mut scope = Scope::new();
        scope.declare("s0", Some(1), None);
        for (v, n) in [("b", Dim::sym("s0")), ("s", Dim::int(7)), ("h", Dim::int(4)), ("d", Dim::int(8))] {
            scope.declare_in(v, Dim::ZERO, n);
        }
        let index = [Dim::sym("b"), Dim::sym("s"), Dim::sym("h"), Dim::sym("d")];
        let from = [Dim::sym("s0"), Dim::int(7), Dim::int(32)];
        let to = [Dim::sym("s0"), Dim::int(7), Dim::int(4), Dim::int(8)];
        let got = reshape_index(&scope, &from, &to, &index);
        assert_eq!(got, [Dim::sym("b"), Dim::sym("s"), Dim::sym("h") * 8 + Dim::sym("d")]);
    }
}
