//! Random numbers from other distributions, as formulas over the uniform and the normal one.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Tags, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!("normal.Tensor_Tensor(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor", |s, c| normal(s, c)?)
        .tagged(Tags::RANDOM),
    formula!("normal.Tensor_float(Tensor mean, float std=1., *, Generator? generator=None) -> Tensor", |s, c| normal(s, c)?)
        .tagged(Tags::RANDOM),
    formula!("normal.float_Tensor(float mean, Tensor std, *, Generator? generator=None) -> Tensor", |s, c| normal(s, c)?)
        .tagged(Tags::RANDOM),
    formula!("log_normal(Tensor self, float mean=1., float std=2., *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let (mean, std) = (c.float("mean")?, c.float("std")?);
        vec![drawn(s, &x.shape(), x.wide().dtype(), "normal", mean, std).exp().cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("cauchy(Tensor self, float median=0., float sigma=1., *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let u = drawn(s, &x.shape(), x.wide().dtype(), "uniform", -0.5, 0.5);
        vec![((u * std::f64::consts::PI).tan() * c.float("sigma")? + c.float("median")?).cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("geometric(Tensor self, float p, *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let u = drawn(s, &x.shape(), DType::F64, "uniform", 0.0, 1.0);
        let tries = ((-u).log1p() / (-c.float("p")?).ln_1p()).ceil().max(1.0);
        vec![tries.cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("random(Tensor self, *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let high = match x.dtype() {
            DType::F16 => 2f64.powi(11),
            DType::BF16 => 2f64.powi(8),
            DType::F32 => 2f64.powi(24),
            DType::Bool => 2.0,
            DType::U8 => 2f64.powi(8),
            DType::I8 => 2f64.powi(7),
            DType::I16 => 2f64.powi(15),
            DType::I32 => 2f64.powi(31),
            _ => 2f64.powi(53),
        };
        vec![drawn(s, &x.shape(), DType::F64, "integer", 0.0, high).cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("random.from(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor", |s, c| {
        let (x, low) = (s.arg(c, "self"), c.int("from")?);
        let high = c.opt_int("to")?.unwrap_or(1 << 53);
        vec![drawn(s, &x.shape(), DType::F64, "integer", low as f64, high as f64).cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("random.to(Tensor self, int to, *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        vec![drawn(s, &x.shape(), DType::F64, "integer", 0.0, c.int("to")? as f64).cast(x.dtype())]
    })
    .tagged(Tags::RANDOM),
    formula!("feature_dropout(Tensor input, float p, bool train) -> Tensor", |s, c| vec![feature_dropout(s, c)?])
        .tagged(Tags::RANDOM),
    formula!("alpha_dropout(Tensor input, float p, bool train) -> Tensor", |s, c| vec![alpha_dropout(s, c, false)?])
        .tagged(Tags::RANDOM),
    formula!("feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor", |s, c| vec![alpha_dropout(s, c, true)?])
        .tagged(Tags::RANDOM),
    formula!("rrelu_with_noise_functional(Tensor self, Tensor noise, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> (Tensor, Tensor noise_out)", |s, c| {
        let (x, noise) = (s.arg(c, "self"), s.arg(c, "noise"));
        let (lower, upper) = (c.float("lower")?, c.float("upper")?);
        let wide = x.wide();
        if c.bool("training")? {
            let slopes = drawn(s, &x.shape(), wide.dtype(), "uniform", lower, upper);
            let factor = wide.le(0.0).pick(slopes, 1.0);
            vec![(wide * factor).cast(x.dtype()), factor.cast(noise.dtype())]
        } else {
            vec![wide.le(0.0).pick(wide * ((lower + upper) / 2.0), wide).cast(x.dtype()), noise]
        }
    })
    .tagged(Tags::RANDOM),
    formula!("multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor", |s, c| multinomial(s, c)?)
        .tagged(Tags::RANDOM),
];

fn drawn<'s>(s: &'s Sheet<'_>, shape: &[Dim], dtype: DType, kind: &str, a: f64, b: f64) -> Term<'s> {
    s.step(|f| f.random(shape, dtype, kind, a, b))
}

fn normal<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let tensor = |n: &str| matches!(c.arg(n), Ok(Arg::Tensor(_)));
    let like = s.arg(c, if tensor("mean") { "mean" } else { "std" });
    let dtype = like.wide().dtype();
    let (mean, std) = (s.operand(c, "mean", dtype), s.operand(c, "std", dtype));
    let shape = (mean + std).shape();
    Ok(vec![(drawn(s, &shape, dtype, "normal", 0.0, 1.0) * std + mean).cast(like.dtype())])
}

/// With replacement by the inverse of the distribution function; without by the largest of `p / e` for exponential
/// `e` (Efraimidis and Spirakis, 2006), which is what PyTorch does.
fn multinomial<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let weights = s.arg(c, "self");
    let samples = c.dim("num_samples")?;
    let last = weights.rank().checked_sub(1).ok_or_else(|| OpError::invalid("multinomial of a number"))?;
    let wide = weights.wide();
    if !c.bool("replacement")? {
        let e = drawn(s, &weights.shape(), wide.dtype(), "exponential", 1.0, 0.0);
        let keys = wide / e;
        let [_, order] = s.many(|b| b.topk(keys.value(), &samples, last, true, true).map(|(top, at)| vec![top, at]));
        return Ok(vec![order]);
    }
    let p = wide.cast(DType::F64);
    let sums = p.then(|b, v| b.scan(v, last, "sum"));
    let total = p.sum(&[last], true);
    let mut shape = weights.shape();
    shape[last] = samples;
    let u = drawn(s, &shape, DType::F64, "uniform", 0.0, 1.0) * total;
    // How many bounds are not above the draw.
    let below = sums.unsqueeze(last).le(u.unsqueeze(last + 1)).cast(DType::I64).sum(&[last + 1], false);
    let classes = weights.shape()[last].clone();
    Ok(vec![below.min(s.size(&classes, DType::I64) - 1.0)])
}

/// 1 where elements (or whole channels) are kept.
fn kept<'s>(s: &'s Sheet<'_>, x: Term<'s>, p: f64, channels: bool) -> Term<'s> {
    let mut shape = x.shape();
    if channels {
        shape.iter_mut().skip(2).for_each(|d| *d = Dim::ONE);
    }
    drawn(s, &shape, DType::Bool, "bernoulli", 1.0 - p, 0.0)
}

fn feature_dropout<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Term<'s>, OpError> {
    let (x, p) = (s.arg(c, "input"), c.float("p")?);
    if !c.bool("train")? || p == 0.0 {
        return Ok(x);
    }
    let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    Ok(x * kept(s, x, p, true).pick(x.like(scale), x.like(0.0)))
}

/// Keeps mean and variance of what a scaled exponential linear unit gives (Klambauer and others, 2017).
fn alpha_dropout<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, channels: bool) -> Result<Term<'s>, OpError> {
    const ALPHA: f64 = 1.758_099_340_847_376_6;
    let (x, p) = (s.arg(c, "input"), c.float("p")?);
    if !c.bool("train")? || p == 0.0 {
        return Ok(x);
    }
    if p >= 1.0 {
        return Ok(x * 0.0);
    }
    let a = 1.0 / ((ALPHA * ALPHA * p + 1.0) * (1.0 - p)).sqrt();
    let keep = kept(s, x, p, channels);
    let shift = keep.pick(x.like(ALPHA * a * p), x.like(ALPHA * a * (p - 1.0)));
    Ok(x * keep.pick(x.like(a), x.like(0.0)) + shift)
}
