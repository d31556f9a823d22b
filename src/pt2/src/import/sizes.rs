//! What follows from a value being a size: it is not negative, and what a selection leaves is no more than there was.

use pt2c_ir::dim::{Dim, Pred};
use pt2c_ir::{Arg, DType, Fact};

use super::arguments::NamedArg;
use super::functionalize::Names;
use super::symbols::Facts;

/// Notes that these are sizes.
pub fn assume_sizes(facts: &mut Facts, of: &Fact) {
    for size in &of.shape {
        if size.is_int() {
            continue;
        }
        match size.as_symbol() {
            Some(symbol) if symbol.is_unbacked() => facts.scope.declare(symbol, Some(0), None),
            Some(_) => {}
            None if facts.sizes.insert(size.clone()) => {
                let legal = Pred::ge(size, &Dim::ZERO);
                if !facts.scope.prove(&legal).is_yes() {
                    facts.scope.assume(legal);
                }
            }
            None => {}
        }
    }
}

/// Notes that a call whose first size data decide gives no more elements than it looks at.
pub fn assume_selection(facts: &mut Facts, names: &Names, op: &str, args: &[NamedArg], result: &Fact) {
    let fact = |i: usize| names.get(args.get(i)?.as_tensor()?).map(|view| &view.typed.fact);
    let looked_at = match op {
        "aten.nonzero.default" | "aten.argwhere.default" | "aten.where.default" | "aten.nonzero_numpy.default" => {
            fact(0).map(Fact::numel)
        }
        "aten._unique.default" | "aten._unique2.default" => fact(0).map(Fact::numel),
        "aten.unique_consecutive.default" if args.get(3).is_some_and(Arg::is_none) => fact(0).map(Fact::numel),
        "aten.unique_dim.default" => {
            let dim = args.get(1).and_then(Arg::as_int);
            fact(0).and_then(|f| f.shape.get(pt2c_ops::wrap_dim(dim?, f.rank()).ok()?).cloned())
        }
        "aten.masked_select.default" => fact(0).zip(fact(1)).and_then(|(x, mask)| {
            let shape = pt2c_ops::shape::broadcast(&facts.scope, &x.shape, &mask.shape).ok()?;
            Some(shape.iter().fold(Dim::ONE, |n, d| &n * d))
        }),
        "aten.index.Tensor" => match args.get(1) {
            Some(Arg::Tensors(indices)) => {
                let mut masks = indices.iter().flatten().filter_map(|name| names.get(name));
                match (masks.next(), masks.next()) {
                    (Some(mask), None) if mask.typed.fact.dtype == DType::Bool => Some(mask.typed.fact.numel()),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    };
    let late = result.shape.iter().find(|d| d.as_symbol().is_some_and(|s| s.is_unbacked()));
    if let (Some(most), Some(size)) = (looked_at, late) {
        facts.scope.assume(Pred::le(size, &most));
    }
}
