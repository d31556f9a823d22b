//! Simulated quantisation with the mask that its gradient needs, and quantisation in groups.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val, wrap_dim};
use pt2c_ir::dim::Dim;

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("fake_quantize_per_tensor_affine_cachemask(Tensor self, float scale, int zero_point, int quant_min, int quant_max) -> (Tensor output, Tensor mask)", |s, c| {
        let x = s.arg(c, "self");
        let inverse = f64::from(1.0 / c.float("scale")? as f32);
        masked(s, c, x.wide() * inverse, c.float("scale")?, None)?
    }),
    formula!("fake_quantize_per_channel_affine_cachemask(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max) -> (Tensor output, Tensor mask)", |s, c| {
        let x = s.arg(c, "self");
        let axis = wrap_dim(c.int("axis")?, x.rank())?;
        let mut line = vec![Dim::ONE; x.rank()];
        line[axis] = x.shape()[axis].clone();
        let wide = x.wide();
        let scale = s.arg(c, "scale").cast(wide.dtype()).reshape(&line);
        let zero = s.arg(c, "zero_point").cast(wide.dtype()).reshape(&line);
        masked(s, c, wide * scale.reciprocal(), 1.0, Some((scale, zero)))?
    }),
    formula!("quantized_decomposed::quantize_per_channel_group(Tensor input, Tensor scales, Tensor zero_points, int quant_min, int quant_max, ScalarType dtype, int group_size) -> Tensor", |s, c| {
        let x = s.arg(c, "input");
        let g = Groups::of(s, c, x, "scales")?;
        let (scale, zero) = (s.arg(c, "scales"), s.arg(c, "zero_points"));
        let scale = scale.reshape(&g.line);
        let scaled = x.reshape(&g.split) * scale.reciprocal().cast(x.dtype()) + zero.cast(x.dtype()).reshape(&g.line);
        let whole = scaled.round().max(c.float("quant_min")?).min(c.float("quant_max")?);
        vec![whole.reshape(&x.shape()).cast(c.dtype("dtype")?)]
    }),
    formula!("quantized_decomposed::dequantize_per_channel_group(Tensor input, Tensor scales, Tensor? zero_points, int quant_min, int quant_max, ScalarType dtype, int group_size, ScalarType output_dtype) -> Tensor", |s, c| {
        let x = s.arg(c, "input");
        let out = c.dtype("output_dtype")?;
        let g = Groups::of(s, c, x, "scales")?;
        let scale = s.arg(c, "scales").reshape(&g.line);
        let mut y = x.cast(out).reshape(&g.split);
        if c.opt_tensor("zero_points")?.is_some() {
            y = y - s.arg(c, "zero_points").cast(out).reshape(&g.line);
        }
        vec![(y * scale.cast(out)).reshape(&x.shape()).cast(out)]
    }),
];

/// Quantised and back, and where nothing was cut off. `scaled` is the input by the inverse scale.
fn masked<'s>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    scaled: Term<'s>,
    scale: f64,
    per_channel: Option<(Term<'s>, Term<'s>)>,
) -> Result<Vec<Term<'s>>, OpError> {
    let (low, high) = (c.float("quant_min")?, c.float("quant_max")?);
    let zero = match per_channel {
        Some((_, zero)) => zero,
        None => s.number(c.float("zero_point")?, scaled.dtype()),
    };
    let whole = (scaled + zero).round();
    let whole = if per_channel.is_some() { scaled.round() + zero } else { whole };
    let cut = whole.max(low).min(high);
    let y = (cut - zero) * per_channel.map_or_else(|| s.number(scale, scaled.dtype()), |(scale, _)| scale);
    let mask = whole.ge(low).and(whole.le(high));
    Ok(vec![y.cast(s.arg(c, "self").dtype()), mask])
}

/// Columns in groups that share a scale.
struct Groups {
    split: Vec<Dim>,
    line: Vec<Dim>,
}

impl Groups {
    fn of(s: &Sheet<'_>, c: &Call<'_, Val>, x: Term<'_>, scales: &str) -> Result<Groups, OpError> {
        let size = Dim::int(c.int("group_size")?);
        let mut split = x.shape();
        let columns = split.pop().ok_or_else(|| OpError::invalid("a matrix was expected"))?;
        let mut line = split.clone();
        split.extend([columns.floor_div(&size), size]);
        let groups = s.arg(c, scales).shape().last().cloned().unwrap_or(Dim::ONE);
        line.extend([groups, Dim::ONE]);
        Ok(Groups { split, line })
    }
}
