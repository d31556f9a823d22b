//! Shape rules shared by the families.

use crate::OpError;
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
