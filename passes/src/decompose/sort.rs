//! Sorting and selection by rank.

use super::common::{dim_arg, outputs, tensor};
use super::{Builder, Decomposition, Val};
use pt2c_ir::DType;
use pt2c_ir::dim::Dim;
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.argsort.default", |b, c| Ok(sort(b, c)?.into_iter().skip(1).collect())),
    ("aten.argsort.stable", |b, c| Ok(sort(b, c)?.into_iter().skip(1).collect())),
    ("aten.kthvalue.default", kth),
    ("aten.msort.default", |b, c| Ok(sorted(b, tensor(c, "self")?, 0, false)?.into_iter().take(1).collect())),
    ("aten.sort.default", sort),
    ("aten.sort.stable", sort),
    ("aten.topk.default", topk),
];

/// Values and indices along `dim`, equal elements in their order; a 0-d value is sorted.
fn sorted(b: &mut Builder<'_>, x: Val, dim: usize, descending: bool) -> Outputs {
    if b.rank(x) == 0 {
        return Ok(vec![x, b.constant(0.0, DType::I64)?]);
    }
    let (values, indices) = b.sort(x, dim, descending, true)?;
    Ok(vec![values, indices])
}

fn sort(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    sorted(b, x, dim, c.bool("descending")?)
}

fn topk(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    if b.rank(x) == 0 {
        return sorted(b, x, 0, true);
    }
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let (values, indices) = b.topk(x, &c.dim("k")?, dim, c.bool("largest")?, c.bool("sorted")?)?;
    Ok(vec![values, indices])
}

fn kth(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let x = tensor(c, "self")?;
    let facts = outputs(b, c)?;
    let dim = dim_arg(c, "dim", b.rank(x))?;
    let at = &c.dim("k")? - &Dim::ONE;
    let mut out = Vec::new();
    for (v, fact) in sorted(b, x, dim, false)?.into_iter().zip(&facts) {
        let own = if b.rank(v) == 0 { v } else { b.slice_dim(v, dim, &at, &Dim::ONE, 1)? };
        out.push(b.reshape(own, &fact.shape)?);
    }
    Ok(out)
}
