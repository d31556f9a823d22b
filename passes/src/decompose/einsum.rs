//! `torch.einsum`: operands contracted from left to right, each pair as one batched matrix product.

use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::einsum::{Equation, label_size};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[("aten.einsum.default", einsum)];

/// A value whose dimensions are named by labels, each once.
struct Named {
    value: Val,
    labels: Vec<u32>,
}

fn einsum(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let xs: Vec<Val> = c.tensors("tensors")?.into_iter().copied().collect();
    let facts: Vec<_> = xs.iter().map(|&x| b.fact(x)).collect();
    let equation = Equation::parse(c.str("equation")?, &facts.iter().map(|f| f.rank()).collect::<Vec<_>>())?;
    let refs: Vec<_> = facts.iter().collect();
    let size = |label: u32| label_size(&equation, &refs, label);
    let mut operands = Vec::new();
    for (&x, labels) in xs.iter().zip(&equation.operands) {
        operands.push(without_repeats(b, x, labels)?);
    }
    let mut rest = operands.into_iter().enumerate();
    let (_, mut left) = rest.next().ok_or_else(|| OpError::invalid("einsum needs an operand"))?;
    for (i, right) in rest {
        // Labels that the result or a later operand still needs.
        let needed =
            |l: u32| equation.result.contains(&l) || equation.operands.iter().skip(i + 1).any(|own| own.contains(&l));
        left = contract(b, left, right, &needed, &size)?;
    }
    let left = sum_out(b, left, &|l| equation.result.contains(&l))?;
    let order: Option<Vec<usize>> =
        equation.result.iter().map(|l| left.labels.iter().position(|own| own == l)).collect();
    let order = order.ok_or_else(|| OpError::invalid("einsum: a label of the result is missing"))?;
    let out = b.permute(left.value, &order)?;
    let shape: Vec<Dim> = equation.result.iter().map(|&l| size(l)).collect();
    Ok(vec![b.expand(out, &shape)?])
}

/// A label that occurs twice in one operand stands for the diagonal: other elements are masked, then summed away.
fn without_repeats(b: &mut Builder<'_>, x: Val, labels: &[u32]) -> Result<Named, OpError> {
    let (mut value, mut labels) = (x, labels.to_vec());
    while let Some((i, j)) =
        (0..labels.len()).find_map(|i| (i + 1..labels.len()).find(|&j| labels[i] == labels[j]).map(|j| (i, j)))
    {
        let shape = b.shape(value);
        let along = |b: &mut Builder<'_>, d: usize| -> Result<Val, OpError> {
            let at = b.iota(&shape[d], DType::I64)?;
            let mut own = vec![Dim::ONE; shape.len()];
            own[d] = shape[d].clone();
            b.reshape(at, &own)
        };
        let (rows, columns) = (along(b, i)?, along(b, j)?);
        let same = b.eq(rows, columns)?;
        let dtype = b.dtype(value);
        let zero = b.constant(0.0, dtype)?;
        let masked = b.where_(same, value, zero)?;
        value = b.reduce(masked, &[j], "sum")?;
        labels.remove(j);
    }
    Ok(Named { value, labels })
}

/// Sums over the labels that are not kept.
fn sum_out(b: &mut Builder<'_>, x: Named, keep: &dyn Fn(u32) -> bool) -> Result<Named, OpError> {
    let dims: Vec<usize> = (0..x.labels.len()).filter(|&d| !keep(x.labels[d])).collect();
    let dtype = b.dtype(x.value);
    let wide = super::common::widened(b, x.value)?;
    let sum = b.reduce(wide, &dims, "sum")?;
    Ok(Named { value: b.cast(sum, dtype)?, labels: x.labels.into_iter().filter(|&l| keep(l)).collect() })
}

/// `[batch…, rows…, inner…]·[batch…, inner…, columns…]` for labels of both that are needed later, of the left alone,
/// of both that are not needed, and of the right alone.
fn contract(
    b: &mut Builder<'_>,
    left: Named,
    right: Named,
    needed: &dyn Fn(u32) -> bool,
    size: &dyn Fn(u32) -> Dim,
) -> Result<Named, OpError> {
    let left = sum_out(b, left, &|l| needed(l) || right.labels.contains(&l))?;
    let right = sum_out(b, right, &|l| needed(l) || left.labels.contains(&l))?;
    let shared = |l: &&u32| right.labels.contains(l);
    let batch: Vec<u32> = left.labels.iter().filter(shared).copied().filter(|&l| needed(l)).collect();
    let inner: Vec<u32> = left.labels.iter().filter(shared).copied().filter(|&l| !needed(l)).collect();
    let rows: Vec<u32> = left.labels.iter().copied().filter(|l| !right.labels.contains(l)).collect();
    let columns: Vec<u32> = right.labels.iter().copied().filter(|l| !left.labels.contains(l)).collect();
    let sizes = |labels: &[u32]| -> Vec<Dim> { labels.iter().map(|&l| size(l)).collect() };
    let flat = |labels: &[u32]| labels.iter().fold(Dim::ONE, |n, &l| &n * &size(l));
    let x = arrange(b, &left, &[&batch[..], &rows, &inner].concat(), size)?;
    let y = arrange(b, &right, &[&batch[..], &inner, &columns].concat(), size)?;
    let lead = sizes(&batch);
    let x = b.reshape(x, &[&lead[..], &[flat(&rows), flat(&inner)]].concat())?;
    let y = b.reshape(y, &[&lead[..], &[flat(&inner), flat(&columns)]].concat())?;
    let out = b.matmul(x, y)?;
    let labels = [batch, rows, columns].concat();
    Ok(Named { value: b.reshape(out, &sizes(&labels))?, labels })
}

/// A value with its dimensions in this order, sizes of 1 broadcast to the label's.
fn arrange(b: &mut Builder<'_>, x: &Named, order: &[u32], size: &dyn Fn(u32) -> Dim) -> Result<Val, OpError> {
    let dims: Option<Vec<usize>> = order.iter().map(|l| x.labels.iter().position(|own| own == l)).collect();
    let dims = dims.ok_or_else(|| OpError::invalid("einsum: a label is missing"))?;
    let value = b.permute(x.value, &dims)?;
    let shape: Vec<Dim> = order.iter().map(|&l| size(l)).collect();
    b.expand(value, &shape)
}
