//! Operators that are another one under a second name, or a few calls of others: conveniences of user code, and what
//! older archives and PyTorch's own decompositions write instead.

use crate::formula::{Sheet, Term, formula};
use crate::{Builder, Call, OpDef, OpError, Tags, Val, wrap_dim};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// Another operator with the arguments of these names, the rest by default.
macro_rules! renamed {
    ($schema:literal, $op:literal, $($name:literal)+) => {
        OpDef::formula($schema, |b, c| b.with_defaults($op, vec![$(c.arg($name)?.clone()),+]))
    };
}

/// A conversion to one element type.
macro_rules! cast {
    ($schema:literal, $dtype:ident) => {
        formula!($schema, |s, c| vec![s.arg(c, "self").cast(DType::$dtype)])
    };
}

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    cast!("_cast_Byte(Tensor self, bool non_blocking=False) -> Tensor", U8),
    cast!("_cast_Char(Tensor self, bool non_blocking=False) -> Tensor", I8),
    cast!("_cast_Double(Tensor self, bool non_blocking=False) -> Tensor", F64),
    cast!("_cast_Float(Tensor self, bool non_blocking=False) -> Tensor", F32),
    cast!("_cast_Half(Tensor self, bool non_blocking=False) -> Tensor", F16),
    cast!("_cast_Int(Tensor self, bool non_blocking=False) -> Tensor", I32),
    cast!("_cast_Long(Tensor self, bool non_blocking=False) -> Tensor", I64),
    cast!("_cast_Short(Tensor self, bool non_blocking=False) -> Tensor", I16),
    renamed!("special_multigammaln(Tensor self, int p) -> Tensor", "aten.mvlgamma.default", "self" "p"),
    renamed!("special_xlogy.other_scalar(Tensor self, Scalar other) -> Tensor", "aten.xlogy.Scalar_Other", "self" "other"),
    renamed!("special_xlogy.self_scalar(Scalar self, Tensor other) -> Tensor", "aten.xlogy.Scalar_Self", "self" "other"),
    renamed!("_stack(Tensor[] tensors, int dim=0) -> Tensor", "aten.stack.default", "tensors" "dim"),
    renamed!("_neg_view_copy(Tensor self) -> Tensor", "aten.neg.default", "self"),
    renamed!("_pin_memory(Tensor self, Device? device=None) -> Tensor", "aten.clone.default", "self"),
    renamed!("_lazy_clone(Tensor self) -> Tensor", "aten.clone.default", "self"),
    renamed!("_index_put_impl(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False, bool unsafe=False) -> Tensor", "aten.index_put.default", "self" "indices" "values" "accumulate"),
    renamed!("_aminmax(Tensor self) -> (Tensor, Tensor)", "aten.aminmax.default", "self"),
    renamed!("_aminmax.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)", "aten.aminmax.default", "self" "dim" "keepdim"),
    renamed!("_logcumsumexp(Tensor self, int dim) -> Tensor", "aten.logcumsumexp.default", "self" "dim"),
    renamed!("view_copy.dtype(Tensor self, ScalarType dtype) -> Tensor", "aten.view.dtype", "self" "dtype"),
    OpDef::formula("float_power.Scalar(Scalar self, Tensor exponent) -> Tensor", |b, c| {
        let base = c.arg("self")?;
        let base = b.scalar_like(base, if matches!(base, Arg::Complex(..)) { DType::C128 } else { DType::F64 })?;
        b.with_defaults("aten.float_power.Tensor_Tensor", vec![Arg::Tensor(base), c.arg("exponent")?.clone()])
    }),
    formula!("range(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| vec![range(s, c, &Arg::Int(Dim::ONE))?]),
    formula!("range.step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor", |s, c| vec![range(s, c, c.arg("step")?)?]),
    OpDef::formula("vander(Tensor x, int? N=None, bool increasing=False) -> Tensor", |b, c| {
        let powers = b.op("aten.linalg_vander.default", vec![c.arg("x")?.clone(), c.arg("N")?.clone()])?;
        if c.bool("increasing")? {
            return Ok(vec![powers]);
        }
        b.with_defaults("aten.flip.default", vec![Arg::Tensor(powers), Arg::Ints(vec![Dim::int(-1)])])
    }),
    formula!("_dim_arange(Tensor like, int dim) -> Tensor", |s, c| {
        let x = s.arg(c, "like");
        let dim = wrap_dim(c.int("dim")?, x.rank())?;
        vec![s.iota(&x.shape().get(dim).cloned().unwrap_or(Dim::ONE), DType::I64)]
    }),
    formula!("_shape_as_tensor(Tensor self) -> Tensor", |s, c| {
        let sizes: Vec<_> = s.arg(c, "self").shape().iter().map(|n| s.size(n, DType::I64).reshape(&[Dim::ONE]).value()).collect();
        vec![if sizes.is_empty() { s.iota(&Dim::ZERO, DType::I64) } else { s.step(|b| b.cat(&sizes, 0)) }]
    }),
    OpDef::formula("pad_sequence(Tensor[] sequences, bool batch_first=False, float padding_value=0., str padding_side=\"right\") -> Tensor", pad_sequence),
    OpDef::formula("_pad_enum(Tensor self, SymInt[] pad, int mode, float? value=None) -> Tensor", |b, c| {
        let modes = ["reflect", "replicate", "circular", "constant"];
        let mode = usize::try_from(c.int("mode")?).ok().and_then(|m| modes.get(m)).ok_or_else(|| OpError::invalid("an unknown mode of padding"))?;
        b.with_defaults("aten.pad.default", vec![c.arg("self")?.clone(), c.arg("pad")?.clone(), Arg::Str((*mode).into()), c.arg("value")?.clone()])
    }),
    OpDef::formula("_pad_circular(Tensor self, SymInt[] pad) -> Tensor", |b, c| {
        b.with_defaults("aten.pad.default", vec![c.arg("self")?.clone(), c.arg("pad")?.clone(), Arg::Str("circular".into())])
    }),
    formula!("conv_tbc(Tensor self, Tensor weight, Tensor bias, int pad=0) -> Tensor", |s, c| {
        let (x, w) = (s.arg(c, "self").then(|b, v| b.permute(v, &[1, 2, 0])), s.arg(c, "weight").then(|b, v| b.permute(v, &[2, 1, 0])));
        let more = vec![Arg::Tensor(w.value()), c.arg("bias")?.clone(), Arg::Ints(vec![Dim::ONE]), Arg::Ints(vec![c.dim("pad")?])];
        vec![x.op("aten.conv1d.default", more).then(|b, v| b.permute(v, &[2, 0, 1]))]
    }),
    formula!("norm_except_dim(Tensor v, int pow=2, int dim=0) -> Tensor", |s, c| vec![norm_except(s, c, c.float("pow")?)?]),
    formula!("_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor)", |s, c| {
        let norm = norm_except(s, c, 2.0)?;
        let scaled = s.step(|b| b.op("aten._weight_norm.default", c.args.to_vec()));
        vec![scaled, norm]
    }),
    formula!("_masked_softmax(Tensor self, Tensor mask, int? dim=None, int? mask_type=None) -> Tensor", |s, c| vec![masked_softmax(s, c)?]),
    formula!("_weight_int8pack_mm(Tensor self, Tensor mat2, Tensor scales) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let wide = x.wide();
        let product = wide.matmul(s.arg(c, "mat2").cast(wide.dtype()).mt());
        vec![(product * s.arg(c, "scales").cast(wide.dtype())).cast(x.dtype())]
    }),
    formula!("bernoulli.Tensor(Tensor self, Tensor p, *, Generator? generator=None) -> Tensor", |s, c| {
        let x = s.arg(c, "self");
        let p = s.arg(c, "p").cast(DType::F64).expand(&x.shape());
        let shape = x.shape();
        let u = s.step(|b| b.random(&shape, DType::F64, "uniform", 0.0, 1.0));
        vec![u.lt(p).cast(x.dtype())]
    }).tagged(Tags::RANDOM),
    formula!("randint_like.Tensor(Tensor self, Tensor high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor", |s, c| vec![below(s, c)?]).tagged(Tags::RANDOM),
    formula!("randint_like.Tensor_generator(Tensor self, Tensor high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor", |s, c| vec![below(s, c)?]).tagged(Tags::RANDOM),
    OpDef::formula("_add_relu.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", |b, c| {
        let sum = b.op("aten.add.Tensor", c.args.to_vec())?;
        b.with_defaults("aten.relu.default", vec![Arg::Tensor(sum)])
    }),
    OpDef::formula("_add_relu.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", |b, c| {
        let sum = b.op("aten.add.Scalar", c.args.to_vec())?;
        b.with_defaults("aten.relu.default", vec![Arg::Tensor(sum)])
    }),
    OpDef::formula("_addmm_activation(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, bool use_gelu=False) -> Tensor", |b, c| {
        let sum = b.op("aten.addmm.default", c.args.iter().take(5).cloned().collect())?;
        if c.bool("use_gelu")? {
            return b.with_defaults("aten.gelu.default", vec![Arg::Tensor(sum)]);
        }
        b.with_defaults("aten.relu.default", vec![Arg::Tensor(sum)])
    }),
    formula!("log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)", |s, c| {
        let x = s.arg(c, "self");
        vec![x.op("aten.log_sigmoid.default", vec![]), (-x.wide().abs()).exp().cast(x.dtype())]
    }),
    OpDef::formula("_batch_norm_no_update(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor)", |b, c| {
        let mut args = c.args.to_vec();
        args.insert(5, Arg::Bool(false));
        let mut results = b.call("aten.native_batch_norm.default", args)?;
        results.push(b.iota(&Dim::ZERO, DType::U8)?);
        Ok(results)
    }),
];

/// Both ends belong to it, and it is of floats unless another dtype is asked for.
fn range<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, step: &Arg<Val>) -> Result<Term<'s>, OpError> {
    let (start, end) = (c.arg("start")?, c.arg("end")?);
    let count = match (start, end, step) {
        (Arg::Int(a), Arg::Int(b), Arg::Int(by)) if !by.is_zero() => (b - a).floor_div(by) + 1,
        _ => {
            let value = |a: &Arg<Val>| {
                a.as_float().ok_or_else(|| {
                    OpError::Unsupported(
                        "`range` of symbolic sizes with a fractional bound: make all bounds integers".into(),
                    )
                })
            };
            let count = ((value(end)? - value(start)?) / value(step)?).floor() + 1.0;
            if !(1.0..1e15).contains(&count) {
                return Err(OpError::invalid("`range` needs a step that leads from its start to its end"));
            }
            Dim::int(count as i64)
        }
    };
    let number = |a: &Arg<Val>| s.step(|b| b.scalar_like(a, DType::F64));
    let values = s.iota(&count, DType::F64) * number(step) + number(start);
    Ok(values.cast(c.opt_dtype("dtype")?.unwrap_or(DType::F32)))
}

/// Every sequence gets the longest one's length.
fn pad_sequence(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    let sequences = c.tensors("sequences")?;
    let lengths: Option<Vec<Dim>> = sequences.iter().map(|x| b.shape(**x).first().cloned()).collect();
    let lengths = lengths.ok_or_else(|| OpError::invalid("a sequence has a dimension"))?;
    let longest = Dim::max_of(lengths.iter().cloned());
    let mut padded = Vec::new();
    for (x, length) in sequences.iter().zip(&lengths) {
        let value = b.constant(c.float("padding_value")?, b.dtype(**x))?;
        let none = vec![Dim::ZERO; b.rank(**x)];
        let mut some = none.clone();
        some[0] = b.scope().simplify(&(&longest - length));
        let left = c.str("padding_side")? == "left";
        let (low, high) = if left { (&some, &none) } else { (&none, &some) };
        padded.push(Some(b.pad(**x, value, low, high)?));
    }
    let dim = Dim::int(i64::from(!c.bool("batch_first")?));
    b.with_defaults("aten.stack.default", vec![Arg::Tensors(padded), Arg::Int(dim)])
}

/// The norm of `v` over all dimensions but `dim`, which stay with size 1; over everything for -1.
fn norm_except<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, power: f64) -> Result<Term<'s>, OpError> {
    let v = s.arg(c, "v");
    let kept = match c.int("dim")? {
        -1 => None,
        d => Some(wrap_dim(d, v.rank())?),
    };
    let dims = (0..v.rank()).filter(|&d| Some(d) != kept).map(|d| Dim::int(d as i64)).collect();
    Ok(v.op("aten.linalg_vector_norm.default", vec![Arg::Float(power), Arg::Ints(dims), Arg::Bool(kept.is_some())]))
}

/// The mask says what counts for nothing: for each query and key, for each key of a batch, or for each element.
fn masked_softmax<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Term<'s>, OpError> {
    let (x, mut mask) = (s.arg(c, "self"), s.arg(c, "mask"));
    if c.opt_int("mask_type")? == Some(1) {
        mask = mask.unsqueeze(1).unsqueeze(1);
    }
    let masked = mask.expand(&x.shape()).pick(f64::NEG_INFINITY, x);
    let dim = Arg::Int(Dim::int(c.opt_int("dim")?.unwrap_or(-1)));
    Ok(masked.op("aten.softmax.int", vec![dim]))
}

/// Whole numbers below one that is a tensor.
fn below<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Term<'s>, OpError> {
    let x = s.arg(c, "self");
    let high = s.arg(c, "high").cast(DType::F64);
    let shape = x.shape();
    let u = s.step(|b| b.random(&shape, DType::F64, "uniform", 0.0, 1.0));
    Ok((u * high).floor().cast(c.opt_dtype("dtype")?.unwrap_or(x.dtype())))
}
