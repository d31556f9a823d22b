//! Reductions over sliding windows of the trailing dimensions: what pooling is made of.

use super::convolution::window_count;
use crate::{Call, OpDef, OpError, Tags, Tensor, strides_of, unravel};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new(
        "window_reduce(Tensor x, str kind, int[] window, int[] stride, int[] dilation, SymInt[] pad_low, SymInt[] pad_high) -> Tensor",
        |c| {
            if !matches!(c.str("kind")?, "max" | "sum") {
                return Err(OpError::Invalid(format!("`{}` is no kind of `prim.window_reduce`", c.str("kind")?)));
            }
            Ok(vec![infer_window(c)?])
        },
        |c| {
            let max = c.str("kind")? == "max";
            Ok(vec![windows(c, max)?.swap_remove(0)])
        },
    )
    .tagged(Tags::REDUCTION),
    OpDef::new(
        "max_window_index(Tensor x, int[] window, int[] stride, int[] dilation, SymInt[] pad_low, SymInt[] pad_high) -> (Tensor, Tensor)",
        |c| {
            let values = infer_window(c)?;
            Ok(vec![values.clone(), values.with_dtype(DType::I64)])
        },
        |c| windows(c, true),
    )
    .tagged(Tags::REDUCTION),
];

fn infer_window(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let x = c.tensor("x")?;
    let (window, stride, dilation) = (c.ints("window")?, c.ints("stride")?, c.ints("dilation")?);
    let (low, high) = (c.dims("pad_low")?, c.dims("pad_high")?);
    let k = window.len();
    let positive = [&window, &stride, &dilation].iter().all(|v| v.len() == k && v.iter().all(|&i| i > 0));
    let kept = x.rank().checked_sub(k).filter(|_| positive && low.len() == k && high.len() == k);
    let kept = kept.ok_or_else(|| OpError::Invalid(format!("the windows of `{}` do not fit {x}", c.op.name)))?;
    let mut shape: Vec<Dim> = x.shape.iter().take(kept).cloned().collect();
    for ((((n, w), s), d), (l, h)) in
        x.shape.iter().skip(kept).zip(&window).zip(&stride).zip(&dilation).zip(low.iter().zip(&high))
    {
        let room = n + l + h - Dim::int(d * (w - 1) + 1);
        shape.push(room.floor_div(&Dim::int(*s)) + Dim::ONE);
    }
    Ok(Fact::new(x.dtype, shape))
}

/// The reduced windows, and the flat index into the windowed dimensions of each window's first largest element.
fn windows(c: &Call<'_, Tensor>, max: bool) -> Result<Vec<Tensor>, OpError> {
    let x = c.tensor("x")?;
    let (window, stride, dilation) = (c.sizes("window")?, c.sizes("stride")?, c.sizes("dilation")?);
    let (low, high) = (c.sizes("pad_low")?, c.sizes("pad_high")?);
    let k = window.len();
    let (outer, plane) = x.shape().split_at(x.rank().saturating_sub(k));
    let at = |v: &[usize], d: usize| v.get(d).copied().unwrap_or(0);
    let counts = (0..k)
        .map(|d| {
            window_count(at(plane, d), at(&low, d), at(&high, d), at(&window, d), at(&dilation, d), at(&stride, d))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let strides = strides_of(plane);
    // The positions inside the plane that each window covers.
    let (mut base, mut tap) = (vec![0; k], vec![0; k]);
    let mut covered: Vec<Vec<usize>> = Vec::new();
    for w in 0..counts.iter().product() {
        unravel(w, &counts, &mut base);
        let mut inside = Vec::new();
        for t in 0..window.iter().product() {
            unravel(t, &window, &mut tap);
            let position: Option<usize> = (0..k)
                .map(|d| {
                    let padded = at(&base, d) * at(&stride, d) + at(&tap, d) * at(&dilation, d);
                    let i = padded.checked_sub(at(&low, d)).filter(|&i| i < at(plane, d))?;
                    Some(i * at(&strides, d))
                })
                .sum();
            inside.extend(position);
        }
        covered.push(inside);
    }
    let mut shape = outer.to_vec();
    shape.extend(&counts);
    let (size, planes): (usize, usize) = (plane.iter().product(), outer.iter().product());
    let windows = || (0..planes).flat_map(|p| covered.iter().map(move |w| (p * size, w)));
    let dtype = x.dtype();
    if !max {
        return Ok(vec![if dtype.is_float() {
            let v = x.as_f64s();
            let sum = |(base, w): (usize, &Vec<usize>)| w.iter().filter_map(|i| v.get(base + i)).sum();
            Tensor::floats(dtype, &shape, windows().map(sum).collect())
        } else {
            let v = x.as_i64s();
            let sum = |(base, w): (usize, &Vec<usize>)| {
                w.iter().filter_map(|i| v.get(base + i)).fold(0i64, |a, b| a.wrapping_add(*b))
            };
            Tensor::ints(dtype, &shape, windows().map(sum).collect())
        }]);
    }
    fn best<T: Copy>(v: &[T], base: usize, w: &[usize], better: impl Fn(T, T) -> bool) -> usize {
        let mut found: Option<(usize, T)> = None;
        for &i in w {
            if let Some(&x) = v.get(base + i)
                && found.is_none_or(|(_, y)| better(x, y))
            {
                found = Some((i, x));
            }
        }
        found.map_or(usize::MAX, |(i, _)| i)
    }
    let winners: Vec<usize> = if dtype.is_float() {
        let v = x.as_f64s();
        windows().map(|(base, w)| best(&v, base, w, |x, y| x > y || x.is_nan())).collect()
    } else {
        let v = x.as_i64s();
        windows().map(|(base, w)| best(&v, base, w, |x, y| x > y)).collect()
    };
    // A window that covers nothing but padding has the lowest value.
    let lowest = if dtype.is_float() { crate::Scalar::Float(f64::NEG_INFINITY) } else { crate::Scalar::Int(i64::MIN) };
    let per_plane = covered.len().max(1);
    let values = Tensor::from_fn(dtype, &shape, |i| match winners.get(i) {
        Some(&w) if w != usize::MAX => x.get(i / per_plane * size + w),
        _ => lowest,
    });
    let indices = winners.iter().map(|&w| i64::try_from(w).unwrap_or(0)).collect();
    Ok(vec![values, Tensor::ints(DType::I64, &shape, indices)])
}
