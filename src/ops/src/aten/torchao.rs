//! Quantisation as torchao exports it (namespace `torchao`): scales and zero points for blocks of any shape. A block that
//! is as large as the tensor along every dimension is quantisation per tensor, one of size 1 along a dimension per channel.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("torchao::choose_qparams_affine(Tensor? input, str mapping_type, SymInt[] block_size, ScalarType target_dtype, Scalar? quant_min=None, Scalar? quant_max=None, float? eps=None, ScalarType? scale_dtype=None, ScalarType? zero_point_dtype=None, bool keepdim=False) -> (Tensor, Tensor)", choose),
    formula!("torchao::quantize_affine(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType output_dtype, Scalar? quant_min=None, Scalar? quant_max=None) -> Tensor", |s, c| {
        let x = s.arg(c, "input");
        let blocks = Blocks::of(c, &x.shape(), "block_size")?;
        let (low, high) = bounds(c, "output_dtype")?;
        let one = s.arg(c, "scale").reshape(&blocks.line()).reciprocal();
        let whole = x.reshape(&blocks.shape).op("aten.mul.Tensor", vec![Arg::Tensor(one.value())]).round();
        let zero = zero_point(s, c)?.ok_or_else(|| OpError::invalid("quantize_affine needs a zero point"))?;
        let zero = zero.reshape(&blocks.line());
        let moved = whole.op("aten.add.Tensor", vec![Arg::Tensor(zero.value())]);
        let cut = moved.op("aten.clamp.default", vec![low, high]);
        vec![cut.reshape(&x.shape()).cast(c.dtype("output_dtype")?)]
    }),
    formula!("torchao::dequantize_affine(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType input_dtype, Scalar? quant_min=None, Scalar? quant_max=None, ScalarType output_dtype=6) -> Tensor", |s, c| {
        let (x, out) = (s.arg(c, "input"), c.dtype("output_dtype")?);
        let blocks = Blocks::of(c, &x.shape(), "block_size")?;
        let mut y = x.reshape(&blocks.shape).cast(out);
        if let Some(zero) = zero_point(s, c)? {
            y = y - zero.cast(out).reshape(&blocks.line());
        }
        let scale = s.arg(c, "scale").reshape(&blocks.line());
        vec![y.op("aten.mul.Tensor", vec![Arg::Tensor(scale.value())]).reshape(&x.shape()).cast(out)]
    }),
    formula!("torchao::choose_scale_float8(Tensor tensor, SymInt[] block_size, ScalarType float8_dtype=24, ScalarType scale_dtype=6, float? hp_value_lb=None, float? hp_value_ub=None) -> Tensor", |s, c| {
        if c.dtype("scale_dtype")? != DType::F32 {
            return Err(OpError::Unsupported("scales of another type than float32".into()));
        }
        let x = s.arg(c, "tensor");
        let blocks = Blocks::of(c, &x.shape(), "block_size")?;
        let size = x.reshape(&blocks.shape).abs().op("aten.amax.default", vec![blocks.dims(), Arg::Bool(true)]);
        let (least, most) = (c.arg("hp_value_lb")?.clone(), c.arg("hp_value_ub")?.clone());
        let size = if least.is_none() && most.is_none() { size } else { size.op("aten.clamp.default", vec![least, most]) };
        let (_, largest) = range(c.dtype("float8_dtype")?)?;
        vec![size.op("aten.div.Tensor", vec![largest]).reshape(&blocks.counts).cast(DType::F32)]
    }),
    formula!("torchao::quantize_affine_float8_non_decomposed(Tensor tensor, Tensor scale, ScalarType float8_dtype=24) -> Tensor", |s, c| {
        let (x, out) = (s.arg(c, "tensor"), c.dtype("float8_dtype")?);
        let (split, scale) = with_scale(s, c, x)?;
        let scaled = split.cast(DType::F32).op("aten.div.Tensor", vec![Arg::Tensor(scale.value())]);
        let (low, high) = range(out)?;
        vec![scaled.op("aten.clamp.default", vec![low, high]).reshape(&x.shape()).cast(out)]
    }),
    formula!("torchao::dequantize_affine_float8_non_decomposed(Tensor tensor, Tensor scale, ScalarType output_dtype=6) -> Tensor", |s, c| {
        let x = s.arg(c, "tensor");
        let (split, scale) = with_scale(s, c, x)?;
        let y = split.cast(DType::F32).op("aten.mul.Tensor", vec![Arg::Tensor(scale.value())]);
        vec![y.reshape(&x.shape()).cast(c.dtype("output_dtype")?)]
    }),
];

/// A tensor cut into blocks: each dimension that a block divides becomes two, their number and the block's size.
struct Blocks {
    shape: Vec<Dim>,
    /// The dimensions inside of blocks.
    inner: Vec<usize>,
    /// Number of blocks along each dimension of the tensor.
    counts: Vec<Dim>,
}

impl Blocks {
    fn of(c: &Call<'_, Val>, sizes: &[Dim], name: &str) -> Result<Blocks, OpError> {
        let block = c.dims(name)?;
        if block.len() != sizes.len() {
            return Err(OpError::Invalid(format!(
                "blocks of rank {} for a tensor of rank {}",
                block.len(),
                sizes.len()
            )));
        }
        let mut blocks = Blocks { shape: Vec::new(), inner: Vec::new(), counts: Vec::new() };
        for (b, n) in block.iter().zip(sizes) {
            let whole = c.scope.prove_eq(b, n).is_yes();
            blocks.counts.push(if whole { Dim::ONE } else { n.floor_div(b) });
            if whole || b.is_one() {
                if !b.is_one() {
                    blocks.inner.push(blocks.shape.len());
                }
                blocks.shape.push(n.clone());
            } else {
                blocks.inner.push(blocks.shape.len() + 1);
                blocks.shape.extend([n.floor_div(b), b.clone()]);
            }
        }
        Ok(blocks)
    }

    /// The shape of what each block has one of.
    fn line(&self) -> Vec<Dim> {
        let size = |(i, n): (usize, &Dim)| if self.inner.contains(&i) { Dim::ONE } else { n.clone() };
        self.shape.iter().enumerate().map(size).collect()
    }

    fn dims<T>(&self) -> Arg<T> {
        Arg::Ints(self.inner.iter().map(|&d| Dim::int(d as i64)).collect())
    }
}

/// Scale and zero point of each block from its smallest and largest element.
fn choose<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let x = s.arg(c, "input");
    let blocks = Blocks::of(c, &x.shape(), "block_size")?;
    let (low, high) = bounds(c, "target_dtype")?;
    let number = |a: &Arg<Val>| a.as_float().ok_or_else(|| OpError::invalid("a bound that is no number"));
    let (quant_min, quant_max) = (number(&low)?, number(&high)?);
    let keep = c.bool("keepdim")?;
    let split = x.reshape(&blocks.shape);
    let end = |op: &str| split.op(op, vec![blocks.dims(), Arg::Bool(keep)]);
    let (least, most) = (end("aten.amin.default").min(0.0), end("aten.amax.default").max(0.0));
    let by = |t: Term<'s>, number: f64| t.op("aten.div.Tensor", vec![Arg::Float(number)]);
    let eps = match c.opt_float("eps")? {
        Some(eps) => eps,
        None if x.dtype() == DType::F16 => 2f64.powi(-14),
        None => f64::from(f32::MIN_POSITIVE),
    };
    let at_least = |t: Term<'s>| t.op("aten.clamp.default", vec![Arg::Float(eps)]);
    let given = c.opt_dtype("zero_point_dtype")?;
    let (scale, zero) = match c.str("mapping_type")? {
        "ASYMMETRIC" => {
            let scale = at_least(by(most - least, quant_max - quant_min));
            let offset = (least / scale).round().op("aten.rsub.Scalar", vec![low.clone()]);
            (scale, offset.op("aten.clamp.default", vec![low, high]).cast(given.unwrap_or(DType::I32)))
        }
        kind @ ("SYMMETRIC" | "SYMMETRIC_NO_CLIPPING_ERR") => {
            let scale = if kind == "SYMMETRIC" {
                by((-least).max(most), (quant_max - quant_min) / 2.0)
            } else {
                let (below, above) = (by(least, quant_min), by(most, quant_max));
                below.gt(above).pick(below, above)
            };
            let middle = ((quant_max + quant_min + 1.0) / 2.0).trunc();
            let zero = s.number(middle, scale.dtype()).expand(&scale.shape());
            (at_least(scale), zero.cast(given.unwrap_or(scale.dtype())))
        }
        other => return Err(OpError::Unsupported(format!("the mapping {other:?} of quantisation"))),
    };
    let shaped = |t: Term<'s>| if keep { t.reshape(&blocks.counts) } else { t };
    Ok(vec![shaped(scale).cast(c.opt_dtype("scale_dtype")?.unwrap_or(x.dtype())), shaped(zero)])
}

/// The zero point, unless there is none (or one without elements, which says the same).
fn zero_point<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Option<Term<'s>>, OpError> {
    let zero = c.opt_tensor("zero_point")?.map(|_| s.arg(c, "zero_point"));
    Ok(zero.filter(|z| !z.shape().contains(&Dim::ZERO)))
}

/// What the call says of the range of quantised values, or all of the type.
fn bounds(c: &Call<'_, Val>, dtype: &str) -> Result<(Arg<Val>, Arg<Val>), OpError> {
    let (mut low, mut high) = (c.arg("quant_min")?.clone(), c.arg("quant_max")?.clone());
    if low.is_none() || high.is_none() {
        let (least, most) = range(c.dtype(dtype)?)?;
        low = if low.is_none() { least } else { low };
        high = if high.is_none() { most } else { high };
    }
    Ok((low, high))
}

fn range(dtype: DType) -> Result<(Arg<Val>, Arg<Val>), OpError> {
    let whole = |low: i64, high: i64| (Arg::Int(Dim::int(low)), Arg::Int(Dim::int(high)));
    Ok(match dtype {
        DType::I8 => whole(-128, 127),
        DType::U8 => whole(0, 255),
        DType::I16 => whole(-(1 << 15), (1 << 15) - 1),
        DType::I32 => whole(-(1 << 31), (1 << 31) - 1),
        DType::F8E4M3FN => (Arg::Float(-448.0), Arg::Float(448.0)),
        DType::F8E5M2 => (Arg::Float(-57344.0), Arg::Float(57344.0)),
        other => return Err(OpError::Unsupported(format!("quantised values of type {other}"))),
    })
}

/// The tensor cut into the blocks that the scale has one number for each of, and the scale beside it.
fn with_scale<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, x: Term<'s>) -> Result<(Term<'s>, Term<'s>), OpError> {
    let scale = s.arg(c, "scale");
    let (sizes, counts) = (x.shape(), scale.shape());
    let broadcast = |(n, k): (&Dim, &Dim)| k.is_one() || c.scope.prove_eq(n, k).is_yes();
    if counts.iter().all(Dim::is_one) || sizes.iter().zip(&counts).all(broadcast) {
        return Ok((x, scale));
    }
    if sizes.len() != counts.len() {
        return Err(OpError::Invalid(format!("a scale of rank {} for a tensor of rank {}", counts.len(), sizes.len())));
    }
    let split: Vec<Dim> = sizes.iter().zip(&counts).flat_map(|(n, k)| [k.clone(), n.floor_div(k)]).collect();
    let line: Vec<Dim> = counts.iter().flat_map(|k| [k.clone(), Dim::ONE]).collect();
    Ok((x.reshape(&split), scale.reshape(&line)))
}
