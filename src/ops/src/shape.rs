//! Shape rules shared by the families.

use crate::{OpError, call::wrap_dim};
use pt2c_ir::dim::{Dim, Proof, Scope};

/// NumPy broadcasting of symbolic shapes. Two sizes that can neither be proven equal nor be known to be 1 are taken
/// to be equal: PyTorch's exporter has guarded that.
pub fn broadcast(scope: &Scope, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, OpError> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).and_then(|i| s.get(i)).cloned();
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        shape.push(match (at(a, i), at(b, i)) {
            (Some(x), None) | (None, Some(x)) => x,
            (Some(x), Some(y)) if x.as_int() == Some(1) => y,
            (Some(x), Some(y)) if y.as_int() == Some(1) || x == y => x,
            (Some(x), Some(y)) => match scope.prove_eq(&x, &y) {
                Proof::No if x.as_int().is_some() && y.as_int().is_some() => {
                    return Err(OpError::Invalid(format!("sizes {x} and {y} do not broadcast")));
                }
                _ if y.as_int().is_some() => y,
                _ => x,
            },
            (None, None) => Dim::int(1),
        });
    }
    Ok(shape)
}

/// A size that only the run can tell: what inference says of it. A program has a symbol in its place.
pub fn late() -> Dim {
    Dim::sym("late")
}

/// Broadcasting of any number of symbolic shapes.
pub fn broadcast_all<'a>(scope: &Scope, shapes: impl IntoIterator<Item = &'a [Dim]>) -> Result<Vec<Dim>, OpError> {
    shapes.into_iter().try_fold(Vec::new(), |shape, next| broadcast(scope, &shape, next))
}

/// Broadcasting of known shapes.
pub fn broadcast_known(shapes: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (to, &n) in out.iter_mut().rev().zip(shape.iter().rev()) {
            if *to == 1 {
                *to = n;
            } else if n != 1 && n != *to {
                return Err(OpError::Invalid(format!("the shapes {shapes:?} do not broadcast")));
            }
        }
    }
    Ok(out)
}

/// Dimension numbers as PyTorch takes them, made non-negative and sorted; an error if one repeats.
pub fn wrap_dims(dims: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut wrapped = dims.iter().map(|&d| wrap_dim(d, rank)).collect::<Result<Vec<_>, _>>()?;
    wrapped.sort_unstable();
    if wrapped.windows(2).any(|w| w.first() == w.last()) {
        return Err(OpError::Invalid(format!("a dimension appears more than once in {dims:?}")));
    }
    Ok(wrapped)
}

/// The shape after reducing over `dims` (non-negative): removed, or kept with size 1.
pub fn reduced(shape: &[Dim], dims: &[usize], keepdim: bool) -> Vec<Dim> {
    let all = shape.iter().enumerate();
    if keepdim {
        all.map(|(d, n)| if dims.contains(&d) { Dim::ONE } else { n.clone() }).collect()
    } else {
        all.filter(|(d, _)| !dims.contains(d)).map(|(_, n)| n.clone()).collect()
    }
}

/// A list of sizes given for `n` positions, where PyTorch takes one value for all.
pub fn spread<T: Clone>(values: &[T], n: usize, what: &str) -> Result<Vec<T>, OpError> {
    match values {
        [one] => Ok(vec![one.clone(); n]),
        many if many.len() == n => Ok(many.to_vec()),
        many => Err(OpError::Invalid(format!("{what} needs 1 or {n} values, {} were given", many.len()))),
    }
}

/// Known sizes as `usize`; an error for a negative or symbolic one.
pub fn known(dims: &[Dim]) -> Result<Vec<usize>, OpError> {
    dims.iter()
        .map(|d| d.as_int().and_then(|n| usize::try_from(n).ok()))
        .collect::<Option<_>>()
        .ok_or_else(|| OpError::invalid("a size is negative or not known"))
}
