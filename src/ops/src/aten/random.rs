//! Random numbers and dropout. The reference draws from the primitive's fixed stream.

use crate::prim::draw;
use crate::{Call, OpDef, OpError, Scalar, Tags, Tensor, functions};
use pt2c_ir::{Arg, DType, Fact};

/// What is drawn: one of the kinds of `prim.random` with its two parameters.
pub struct Draw {
    /// Kind of `prim.random`.
    pub kind: &'static str,
    /// Its first parameter.
    pub a: f64,
    /// Its second parameter.
    pub b: f64,
}

macro_rules! drawn {
    ($schema:literal) => {
        OpDef::new(
            $schema,
            |c| Ok(vec![fact(c)?]),
            |c| {
                let fact = inferred(c)?;
                let d = distribution(c)?;
                Ok(vec![draw(d.kind, d.a, d.b, fact.dtype, &crate::shape::known(&fact.shape)?)?])
            },
        )
        .tagged(Tags::RANDOM)
    };
}

/// Dropout that is the identity outside of training.
macro_rules! dropout {
    ($schema:literal) => {
        OpDef::new(
            $schema,
            |c| {
                let x = c.tensor("input")?;
                Ok(vec![Fact::new(x.dtype, x.shape.clone())])
            },
            |c| {
                let x = c.tensor("input")?;
                if !c.bool("train")? {
                    return Ok(vec![x.clone()]);
                }
                let p = c.float("p")?;
                let keep = draw("bernoulli", 1.0 - p, 0.0, x.dtype(), x.shape())?;
                let scale = Tensor::scalar(x.dtype(), Scalar::Float(if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }));
                Ok(vec![functions::MUL.apply(&functions::MUL.apply(x, &keep)?, &scale)?])
            },
        )
        .tagged(Tags::RANDOM)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    drawn!("rand(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("rand.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randn(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randn.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("rand_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randn_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randint(SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randint.low(SymInt low, SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randint_like(Tensor self, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randint_like.low_dtype(Tensor self, SymInt low, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("rand_like.generator(Tensor self, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randn_like.generator(Tensor self, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randint.generator(SymInt high, SymInt[] size, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randint.low_generator(SymInt low, SymInt high, SymInt[] size, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("randint_like.generator(Tensor self, SymInt high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("randint_like.low_generator_dtype(Tensor self, SymInt low, SymInt high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"),
    drawn!("normal.float_float(float mean, float std, SymInt[] size, *, Generator? generator=None, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"),
    drawn!("normal_functional(Tensor self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor"),
    drawn!("uniform(Tensor self, float from=0., float to=1., *, Generator? generator=None) -> Tensor"),
    drawn!("exponential(Tensor self, float lambd=1., *, Generator? generator=None) -> Tensor"),
    drawn!("bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor"),
    OpDef::new(
        "bernoulli(Tensor self, *, Generator? generator=None) -> Tensor",
        |c| {
            let p = c.tensor("self")?;
            Ok(vec![Fact::new(p.dtype, p.shape.clone())])
        },
        |c| {
            let p = c.tensor("self")?;
            let u = draw("uniform", 0.0, 1.0, DType::F64, p.shape())?;
            Ok(vec![functions::LT.apply(&u, &p.cast(DType::F64))?.cast(p.dtype())])
        },
    )
    .tagged(Tags::RANDOM),
    OpDef::new(
        "randperm(SymInt n, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
        |c| Ok(vec![Fact::new(c.opt_dtype("dtype")?.unwrap_or(DType::I64), [c.dim("n")?])]),
        |c| {
            let n = usize::try_from(c.int("n")?).map_err(|_| OpError::invalid("a negative size"))?;
            let keys = draw("uniform", 0.0, 1.0, DType::F64, &[n])?;
            let order = crate::prim::sorted(&keys, 0, false, n)?;
            Ok(order.into_iter().skip(1).map(|i| i.cast(c.opt_dtype("dtype").ok().flatten().unwrap_or(DType::I64))).collect())
        },
    )
    .tagged(Tags::RANDOM),
    dropout!("dropout(Tensor input, float p, bool train) -> Tensor"),
    OpDef::new(
        "native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)",
        |c| {
            let x = c.tensor("input")?;
            Ok(vec![Fact::new(x.dtype, x.shape.clone()), Fact::new(DType::Bool, x.shape.clone())])
        },
        |c| {
            let (x, p) = (c.tensor("input")?, c.float("p")?);
            if c.arg("train")?.as_bool() == Some(false) || p == 0.0 {
                return Ok(vec![x.clone(), Tensor::full(DType::Bool, x.shape(), Scalar::Bool(true))]);
            }
            let keep = draw("bernoulli", 1.0 - p, 0.0, DType::Bool, x.shape())?;
            let scale = Tensor::scalar(x.dtype(), Scalar::Float(if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }));
            let kept = functions::MUL.apply(x, &keep.cast(x.dtype()))?;
            Ok(vec![functions::MUL.apply(&kept, &scale)?, keep])
        },
    )
    .tagged(Tags::RANDOM),
    OpDef::new(
        "rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> Tensor",
        |c| {
            let x = c.tensor("self")?;
            Ok(vec![Fact::new(x.dtype, x.shape.clone())])
        },
        |c| {
            let x = c.tensor("self")?;
            let (lower, upper) = (c.float("lower")?, c.float("upper")?);
            let slopes = if c.bool("training")? {
                draw("uniform", lower, upper, DType::F64, x.shape())?
            } else {
                Tensor::full(DType::F64, x.shape(), Scalar::Float((lower + upper) / 2.0))
            };
            let f = |v: &[f64]| if let [x, s] = v { if *x >= 0.0 { *x } else { x * s } } else { f64::NAN };
            Ok(vec![crate::pointwise::map_floats(x.dtype(), &[x, &slopes], f)?])
        },
    )
    .tagged(Tags::RANDOM),
];

/// Dtype and shape of what a call draws.
fn fact(c: &Call<'_, Fact>) -> Result<Fact, OpError> {
    let has = |name| c.op.schema.position(name).is_some();
    let asked = if has("dtype") { c.opt_dtype("dtype")? } else { None };
    if has("self") {
        let x = c.tensor("self")?;
        return Ok(Fact::new(asked.unwrap_or(x.dtype), x.shape.clone()));
    }
    let otherwise = if has("high") { DType::I64 } else { DType::F32 };
    Ok(Fact::new(asked.unwrap_or(otherwise), c.dims("size")?))
}

fn inferred(c: &Call<'_, Tensor>) -> Result<Fact, OpError> {
    let args: Vec<Arg<Fact>> = c.args.iter().map(|a| a.map(Tensor::fact)).collect();
    fact(&Call { op: c.op, args: &args, scope: c.scope })
}

/// The distribution a call draws from.
pub fn distribution<T>(c: &Call<'_, T>) -> Result<Draw, OpError> {
    let name = c.op.schema.name.as_str();
    let bound = |n: &str| {
        c.dim(n)?
            .as_int()
            .map(|i| i as f64)
            .ok_or_else(|| OpError::Unsupported(format!("`{}` with a symbolic bound: use a constant one", c.op.name)))
    };
    Ok(match name {
        "rand" | "rand_like" => Draw { kind: "uniform", a: 0.0, b: 1.0 },
        "randn" | "randn_like" => Draw { kind: "normal", a: 0.0, b: 1.0 },
        "randint" | "randint_like" => {
            let low = if c.op.schema.position("low").is_some() { bound("low")? } else { 0.0 };
            Draw { kind: "integer", a: low, b: bound("high")? }
        }
        "normal" | "normal_functional" => Draw { kind: "normal", a: c.float("mean")?, b: c.float("std")? },
        "uniform" => Draw { kind: "uniform", a: c.float("from")?, b: c.float("to")? },
        "exponential" => Draw { kind: "exponential", a: c.float("lambd")?, b: 0.0 },
        "bernoulli" => Draw { kind: "bernoulli", a: c.float("p")?, b: 0.0 },
        _ => return Err(OpError::Unsupported(format!("the distribution of `{}`", c.op.name))),
    })
}
