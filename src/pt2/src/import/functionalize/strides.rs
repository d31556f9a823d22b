//! When a reshape is a view: PyTorch's rule (`at::detail::computeStride`) over symbolic sizes.

use pt2c_ir::Fact;
use pt2c_ir::dim::{Dim, Proof, Scope};

/// Row-major strides of a shape.
pub fn row_major(shape: &[Dim]) -> Vec<Dim> {
    let mut strides = vec![Dim::int(1); shape.len()];
    let mut stride = Dim::int(1);
    for (slot, size) in strides.iter_mut().zip(shape).rev() {
        *slot = stride.clone();
        stride = &stride * size;
    }
    strides
}

/// Whether two tensors of one shape lie in memory alike; strides of dimensions of size 1 mean nothing.
pub fn same_strides(shape: &[Dim], a: &[Dim], b: &[Dim]) -> bool {
    shape.iter().zip(a).zip(b).all(|((size, a), b)| size.is_one() || a == b)
}

/// Whether reshaping a tensor of these sizes and strides gives a view. `Unknown` where it depends on symbols.
pub fn reshape_is_view(from: &Fact, strides: &[Dim], to: &Fact, scope: &Scope) -> Proof {
    if from.shape == to.shape || same_strides(&from.shape, strides, &row_major(&from.shape)) {
        return Proof::Yes;
    }
    let known = |dims: &[Dim]| dims.iter().map(Dim::as_int).collect::<Option<Vec<_>>>();
    if let (Some(sizes), Some(strides), Some(to)) = (known(&from.shape), known(strides), known(&to.shape)) {
        return if is_view(&sizes, &strides, &to) { Proof::Yes } else { Proof::No };
    }
    symbolic(from, strides, to, scope)
}

/// PyTorch's rule for known sizes: the target's dimensions must tile the runs of memory that are dense.
fn is_view(sizes: &[i64], strides: &[i64], to: &[i64]) -> bool {
    if sizes.contains(&0) {
        return true;
    }
    let product = |dims: &[i64]| dims.iter().try_fold(1i64, |p, &d| p.checked_mul(d));
    if product(sizes) != product(to) {
        return false;
    }
    let mut left = to.len();
    let (mut chunk, mut base_stride) = (1i64, strides.last().copied().unwrap_or(1));
    for (d, &size) in sizes.iter().enumerate().rev() {
        chunk = chunk.saturating_mul(size);
        // A run of memory ends where the next outer stride does not continue it.
        let ends = match d.checked_sub(1).and_then(|o| Some((*sizes.get(o)?, *strides.get(o)?))) {
            None => true,
            Some((outer, stride)) => outer != 1 && Some(stride) != chunk.checked_mul(base_stride),
        };
        if !ends {
            continue;
        }
        let mut covered = 1i64;
        while left > 0 && (covered < chunk || to.get(left - 1) == Some(&1)) {
            left -= 1;
            covered = covered.saturating_mul(to.get(left).copied().unwrap_or(1));
        }
        if covered != chunk {
            return false;
        }
        if let Some(&outer) = d.checked_sub(1).and_then(|o| strides.get(o)) {
            (chunk, base_stride) = (1, outer);
        }
    }
    left == 0
}

/// Symbolic sizes: only the common cases are decided. Leading dimensions that are the same on both sides are
/// kept; the rest is a view if it is dense.
fn symbolic(from: &Fact, strides: &[Dim], to: &Fact, scope: &Scope) -> Proof {
    let same = from.shape.iter().zip(&to.shape).take_while(|(a, b)| scope.prove_eq(a, b).is_yes()).count();
    for kept in (0..=same).rev() {
        let (Some(rest), Some(rest_strides)) = (from.shape.get(kept..), strides.get(kept..)) else { continue };
        if same_strides(rest, rest_strides, &row_major(rest)) {
            return Proof::Yes;
        }
    }
    Proof::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use pt2c_ir::DType;

    fn check(sizes: &[i64], strides: &[i64], to: &[i64]) -> Proof {
        let strides: Vec<Dim> = strides.iter().map(|&s| Dim::int(s)).collect();
        reshape_is_view(&Fact::of(DType::F32, sizes), &strides, &Fact::of(DType::F32, to), &Scope::new())
    }

    #[test]
    fn follows_pytorchs_rule() {
        // Each expectation is what `t.reshape(to).data_ptr() == t.data_ptr()` says in PyTorch.
        for (sizes, strides, to, expected) in [
            (&[2, 3, 4][..], &[12, 4, 1][..], &[6, 4][..], Proof::Yes),
            (&[2, 3, 4], &[12, 1, 3], &[24], Proof::No),
            (&[2, 3, 4], &[12, 1, 3], &[2, 12], Proof::No),
            (&[2, 3, 4], &[12, 1, 3], &[2, 3, 2, 2], Proof::Yes),
            (&[2, 3, 4], &[12, 1, 3], &[1, 2, 3, 4, 1], Proof::Yes),
            (&[4, 3], &[1, 4], &[2, 2, 3], Proof::Yes),
            (&[4, 3], &[1, 4], &[12], Proof::No),
            (&[4, 3], &[6, 1], &[4, 1, 3], Proof::Yes),
            (&[4, 3], &[6, 1], &[2, 2, 3], Proof::Yes),
            (&[4, 3], &[6, 1], &[12], Proof::No),
            (&[2, 2, 3], &[12, 6, 1], &[4, 3], Proof::Yes),
            (&[5, 1], &[1, 1], &[5], Proof::Yes),
            (&[3, 2], &[0, 1], &[6], Proof::No),
        ] {
            assert_eq!(check(sizes, strides, to), expected, "{sizes:?} {strides:?} -> {to:?}");
        }
    }
}
