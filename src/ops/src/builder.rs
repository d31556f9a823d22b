//! What decompositions and formulas are written with: one method per primitive, over a graph, the e-graph, facts
//! alone or host tensors alike.

use crate::{Call, OpError, lookup, result_type, shape};
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// Handle of a value under construction (an e-class or a graph value).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Val(pub u32);

/// Something calls can be added to: a graph (straight-line expansion) or the e-graph. Infers facts through the
/// operator table.
pub trait Build {
    /// Adds a call; one value per output. `args` are in schema order, complete.
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError>;
    /// What is known of a value.
    fn fact(&self, v: Val) -> Fact;
    /// What is known of the symbols.
    fn scope(&self) -> &Scope;
}

/// Rewrites one call into calls that mean the same; one value per output of the operator. Errors:
/// [`OpError::Unsupported`] with a reason and what to do.
pub type Decomposition = fn(&mut Builder<'_>, &Call<'_, Val>) -> Result<Vec<Val>, OpError>;

/// Typed calls of the primitives. Calls that change nothing (a cast to the dtype a value has, a reshape to its
/// shape …) return their operand.
pub struct Builder<'a> {
    build: &'a mut dyn Build,
    stated: Vec<Fact>,
}

macro_rules! unary {
    ($($name:ident $op:literal $what:literal;)*) => {
        $(
            #[doc = $what]
            pub fn $name(&mut self, x: Val) -> Result<Val, OpError> {
                self.one(concat!("prim.", $op), vec![Arg::Tensor(x)])
            }
        )*
    };
}

macro_rules! binary {
    ($($name:ident $op:literal $what:literal;)*) => {
        $(
            #[doc = $what]
            pub fn $name(&mut self, a: Val, b: Val) -> Result<Val, OpError> {
                self.one(concat!("prim.", $op), vec![Arg::Tensor(a), Arg::Tensor(b)])
            }
        )*
    };
}

impl<'a> Builder<'a> {
    /// A builder that adds to `build`.
    pub fn new(build: &'a mut dyn Build) -> Builder<'a> {
        Builder { build, stated: Vec::new() }
    }

    /// A builder for the decomposition of a call whose results the program states to be of these types.
    pub fn of_call(build: &'a mut dyn Build, stated: Vec<Fact>) -> Builder<'a> {
        Builder { build, stated }
    }

    /// What the program says of the results of the call that is decomposed: sizes that depend on values are symbols
    /// there, which the call binds. Empty for a call inside of another decomposition.
    pub fn stated(&self) -> &[Fact] {
        &self.stated
    }

    /// What is added to.
    pub(crate) fn inner(&mut self) -> &mut dyn Build {
        self.build
    }

    /// Adds any call.
    pub fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        self.build.call(op, args)
    }

    /// Adds a call with one output.
    pub fn one(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Val, OpError> {
        let out = self.build.call(op, args)?;
        out.first().copied().ok_or_else(|| OpError::Invalid(format!("`{op}` has no output")))
    }

    /// Adds a call of an operator by its leading arguments; the others take their defaults.
    pub fn with_defaults(&mut self, op: &str, mut args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        let known = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        for p in known.schema.params.iter().skip(args.len()) {
            let default = p.default.as_ref().ok_or_else(|| OpError::Invalid(format!("`{op}` needs `{}`", p.name)))?;
            args.push(default.map(|never| match *never {}));
        }
        self.build.call(op, args)
    }

    /// The first output of [`Builder::with_defaults`].
    pub fn op(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Val, OpError> {
        let out = self.with_defaults(op, args)?;
        out.first().copied().ok_or_else(|| OpError::Invalid(format!("`{op}` has no output")))
    }

    /// What is known of a value.
    pub fn fact(&self, v: Val) -> Fact {
        self.build.fact(v)
    }

    /// Element type of a value.
    pub fn dtype(&self, v: Val) -> DType {
        self.fact(v).dtype
    }

    /// Sizes of a value.
    pub fn shape(&self, v: Val) -> Vec<Dim> {
        self.fact(v).shape
    }

    /// Number of dimensions of a value.
    pub fn rank(&self, v: Val) -> usize {
        self.fact(v).rank()
    }

    /// What is known of the symbols.
    pub fn scope(&self) -> &Scope {
        self.build.scope()
    }

    unary! {
        neg "neg" "`-x`.";
        abs "abs" "`|x|` of reals.";
        sign "sign" "-1, 0 or 1; 0 for NaN.";
        ceil "ceil" "Up to an integer.";
        floor "floor" "Down to an integer.";
        round "round" "To the nearest integer, half to even.";
        trunc "trunc" "Towards zero to an integer.";
        exp "exp" "`e^x`.";
        exp2 "exp2" "`2^x`.";
        expm1 "expm1" "`e^x - 1`.";
        log "log" "Natural logarithm.";
        log2 "log2" "Binary logarithm.";
        log10 "log10" "Decimal logarithm.";
        log1p "log1p" "`ln(1 + x)`.";
        sqrt "sqrt" "Square root.";
        rsqrt "rsqrt" "`1/√x`.";
        reciprocal "reciprocal" "`1/x`.";
        sin "sin" "Sine.";
        cos "cos" "Cosine.";
        tan "tan" "Tangent.";
        asin "asin" "Inverse sine.";
        acos "acos" "Inverse cosine.";
        atan "atan" "Inverse tangent.";
        sinh "sinh" "Hyperbolic sine.";
        cosh "cosh" "Hyperbolic cosine.";
        tanh "tanh" "Hyperbolic tangent.";
        asinh "asinh" "Inverse hyperbolic sine.";
        acosh "acosh" "Inverse hyperbolic cosine.";
        atanh "atanh" "Inverse hyperbolic tangent.";
        erf "erf" "Error function.";
        erfc "erfc" "Complementary error function.";
        erfinv "erfinv" "Inverse error function.";
        lgamma "lgamma" "`ln |Γ(x)|`.";
        digamma "digamma" "Derivative of `ln Γ`.";
        sigmoid "sigmoid" "`1/(1 + e^-x)`.";
        gelu "gelu" "`x·(1 + erf(x/√2))/2`.";
        not "not" "Bitwise complement; logical for booleans.";
        conj "conj" "Complex conjugate.";
        is_nan "is_nan" "Whether an element is NaN.";
        is_inf "is_inf" "Whether an element is infinite.";
        signbit "signbit" "Whether the sign bit is set.";
        real "real" "Real part of a complex value.";
        imag "imag" "Imaginary part of a complex value.";
    }

    binary! {
        add "add" "`a + b`.";
        sub "sub" "`a - b`.";
        mul "mul" "`a · b`.";
        div "div" "True division of floats or complex numbers.";
        div_floor "div_floor" "Quotient rounded down.";
        div_trunc "div_trunc" "Quotient rounded towards zero.";
        rem_floor "rem_floor" "Remainder with the divisor's sign.";
        rem_trunc "rem_trunc" "Remainder with the dividend's sign.";
        pow "pow" "`a^b`.";
        atan2 "atan2" "Angle of the point (b, a).";
        max "max" "The larger; NaN if either is.";
        min "min" "The smaller; NaN if either is.";
        fmax "fmax" "The larger; NaN only if both are.";
        fmin "fmin" "The smaller; NaN only if both are.";
        and "and" "Bitwise and.";
        or "or" "Bitwise or.";
        xor "xor" "Bitwise exclusive or.";
        shl "shl" "Shift left.";
        shr "shr" "Arithmetic shift right.";
        copysign "copysign" "`a` with the sign of `b`.";
        nextafter "nextafter" "The float after `a` towards `b`.";
        hypot "hypot" "`√(a² + b²)`.";
        eq "eq" "`a = b`.";
        ne "ne" "`a ≠ b`.";
        lt "lt" "`a < b`.";
        le "le" "`a ≤ b`.";
        gt "gt" "`a > b`.";
        ge "ge" "`a ≥ b`.";
        complex "complex" "Complex numbers from their parts.";
        matmul "matmul" "`[*, M, K]` times `[*, K, N]`, batch dimensions broadcast.";
    }

    /// `a` where `cond` holds, else `b`.
    pub fn where_(&mut self, cond: Val, a: Val, b: Val) -> Result<Val, OpError> {
        self.one("prim.where", vec![Arg::Tensor(cond), Arg::Tensor(a), Arg::Tensor(b)])
    }

    /// Converted to another element type.
    pub fn cast(&mut self, x: Val, dtype: DType) -> Result<Val, OpError> {
        if self.dtype(x) == dtype {
            return Ok(x);
        }
        self.one("prim.cast", vec![Arg::Tensor(x), Arg::DType(dtype)])
    }

    /// The same bits as another element type of the same size.
    pub fn bitcast(&mut self, x: Val, dtype: DType) -> Result<Val, OpError> {
        if self.dtype(x) == dtype {
            return Ok(x);
        }
        self.one("prim.bitcast", vec![Arg::Tensor(x), Arg::DType(dtype)])
    }

    /// A 0-d constant; a whole number for integer dtypes.
    pub fn constant(&mut self, value: f64, dtype: DType) -> Result<Val, OpError> {
        self.scalar_like(&Arg::Float(value), dtype)
    }

    /// A 0-d constant from a size, possibly symbolic.
    pub fn constant_dim(&mut self, value: &Dim, dtype: DType) -> Result<Val, OpError> {
        self.scalar_like(&Arg::Int(value.clone()), dtype)
    }

    /// A number argument as a 0-d constant of `dtype`, in the one form that has for this dtype.
    pub fn scalar_like(&mut self, number: &Arg<Val>, dtype: DType) -> Result<Val, OpError> {
        let complex = dtype.is_complex();
        let value = match number {
            Arg::Float(x) if dtype == DType::Bool => Arg::Bool(*x != 0.0),
            Arg::Float(x) if dtype.is_int() => Arg::Int(Dim::int(*x as i64)),
            Arg::Int(d) if dtype == DType::Bool && d.is_int() => Arg::Bool(!d.is_zero()),
            Arg::Int(d) if dtype.is_float() => d.as_int().map_or(number.clone(), |i| Arg::Float(i as f64)),
            Arg::Bool(v) if dtype.is_int() => Arg::Int(Dim::int(i64::from(*v))),
            Arg::Bool(v) if dtype.is_float() => Arg::Float(f64::from(u8::from(*v))),
            Arg::Complex(re, _) if !complex => return self.constant(*re, dtype),
            Arg::Int(_) | Arg::Float(_) | Arg::Bool(_) | Arg::Complex(..) => number.clone(),
            _ => return Err(OpError::invalid("a number was expected")),
        };
        self.one("prim.constant", vec![value, Arg::DType(dtype)])
    }

    /// `[0, 1, …, size - 1]`.
    pub fn iota(&mut self, size: &Dim, dtype: DType) -> Result<Val, OpError> {
        self.one("prim.iota", vec![Arg::Int(size.clone()), Arg::DType(dtype)])
    }

    /// A number everywhere in `shape`.
    pub fn full(&mut self, shape: &[Dim], number: &Arg<Val>, dtype: DType) -> Result<Val, OpError> {
        let value = self.scalar_like(number, dtype)?;
        self.expand(value, shape)
    }

    /// In another shape of as many elements.
    pub fn reshape(&mut self, x: Val, shape: &[Dim]) -> Result<Val, OpError> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.one("prim.reshape", vec![Arg::Tensor(x), Arg::Ints(shape.to_vec())])
    }

    /// Broadcast from the right to `shape`.
    pub fn expand(&mut self, x: Val, shape: &[Dim]) -> Result<Val, OpError> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.one("prim.expand", vec![Arg::Tensor(x), Arg::Ints(shape.to_vec())])
    }

    /// Dimension `i` of the result is dimension `dims[i]` of `x`.
    pub fn permute(&mut self, x: Val, dims: &[usize]) -> Result<Val, OpError> {
        if dims.iter().copied().eq(0..dims.len()) {
            return Ok(x);
        }
        self.one("prim.permute", vec![Arg::Tensor(x), int_list(dims)])
    }

    /// Two dimensions exchanged.
    pub fn transpose(&mut self, x: Val, a: usize, b: usize) -> Result<Val, OpError> {
        let mut dims: Vec<usize> = (0..self.rank(x)).collect();
        if a.max(b) >= dims.len() {
            return Err(OpError::invalid("a dimension to transpose is missing"));
        }
        dims.swap(a, b);
        self.permute(x, &dims)
    }

    /// With a dimension of size 1 before dimension `dim`.
    pub fn unsqueeze(&mut self, x: Val, dim: usize) -> Result<Val, OpError> {
        let mut shape = self.shape(x);
        shape.insert(dim.min(shape.len()), Dim::ONE);
        self.reshape(x, &shape)
    }

    /// Without dimension `dim`, which has size 1.
    pub fn squeeze(&mut self, x: Val, dim: usize) -> Result<Val, OpError> {
        let mut shape = self.shape(x);
        if dim < shape.len() {
            shape.remove(dim);
        }
        self.reshape(x, &shape)
    }

    /// Along every dimension, `size` elements from `start` by `step`.
    pub fn slice(&mut self, x: Val, start: &[Dim], size: &[Dim], step: &[i64]) -> Result<Val, OpError> {
        if self.shape(x) == size && start.iter().all(Dim::is_zero) && step.iter().all(|&s| s == 1) {
            return Ok(x);
        }
        let step = Arg::Ints(step.iter().map(|&s| Dim::int(s)).collect());
        self.one("prim.slice", vec![Arg::Tensor(x), Arg::Ints(start.to_vec()), Arg::Ints(size.to_vec()), step])
    }

    /// Along one dimension, `size` elements from `start` by `step`.
    pub fn slice_dim(&mut self, x: Val, dim: usize, start: &Dim, size: &Dim, step: i64) -> Result<Val, OpError> {
        let mut sizes = self.shape(x);
        let (mut starts, mut steps) = (vec![Dim::ZERO; sizes.len()], vec![1; sizes.len()]);
        match (sizes.get_mut(dim), starts.get_mut(dim), steps.get_mut(dim)) {
            (Some(n), Some(s), Some(t)) => (*n, *s, *t) = (size.clone(), start.clone(), step),
            _ => return Err(OpError::invalid("the dimension to slice is missing")),
        }
        self.slice(x, &starts, &sizes, &steps)
    }

    /// With `low` and `high` copies of the 0-d `value` around each dimension.
    pub fn pad(&mut self, x: Val, value: Val, low: &[Dim], high: &[Dim]) -> Result<Val, OpError> {
        if low.iter().chain(high).all(Dim::is_zero) {
            return Ok(x);
        }
        let sides = [Arg::Ints(low.to_vec()), Arg::Ints(high.to_vec())];
        self.one("prim.pad", [Arg::Tensor(x), Arg::Tensor(value)].into_iter().chain(sides).collect())
    }

    /// One after the other along `dim`.
    pub fn cat(&mut self, xs: &[Val], dim: usize) -> Result<Val, OpError> {
        if let [one] = xs {
            return Ok(*one);
        }
        self.one("prim.cat", vec![tensor_list(xs), int(dim)])
    }

    /// `x` with the region from `start` by `step`, as large as `src`, replaced by it.
    pub fn update_slice(&mut self, x: Val, src: Val, start: &[Dim], step: &[i64]) -> Result<Val, OpError> {
        let step = Arg::Ints(step.iter().map(|&s| Dim::int(s)).collect());
        self.one("prim.update_slice", vec![Arg::Tensor(x), Arg::Tensor(src), Arg::Ints(start.to_vec()), step])
    }

    /// Elements along `dim` at the positions in `index`, whose dimensions take that dimension's place.
    pub fn take(&mut self, x: Val, index: Val, dim: usize) -> Result<Val, OpError> {
        self.one("prim.take", vec![Arg::Tensor(x), Arg::Tensor(index), int(dim)])
    }

    /// `torch.gather`.
    pub fn gather(&mut self, x: Val, index: Val, dim: usize) -> Result<Val, OpError> {
        self.one("prim.gather", vec![Arg::Tensor(x), Arg::Tensor(index), int(dim)])
    }

    /// The leading dimensions addressed by indices that broadcast together.
    pub fn index(&mut self, x: Val, indices: &[Val]) -> Result<Val, OpError> {
        self.one("prim.index", vec![Arg::Tensor(x), tensor_list(indices)])
    }

    /// `torch.scatter`; `reduce` is set, add, mul, max or min.
    pub fn scatter(&mut self, x: Val, index: Val, src: Val, dim: usize, reduce: &str) -> Result<Val, OpError> {
        let tensors = [x, index, src].map(Arg::Tensor);
        self.one("prim.scatter", tensors.into_iter().chain([int(dim), Arg::Str(reduce.into())]).collect())
    }

    /// `x` with the elements that `indices` address replaced by (or increased by) `values`.
    pub fn index_put(&mut self, x: Val, indices: &[Val], values: Val, accumulate: bool) -> Result<Val, OpError> {
        let args = vec![Arg::Tensor(x), tensor_list(indices), Arg::Tensor(values), Arg::Bool(accumulate)];
        self.one("prim.index_put", args)
    }

    /// Reduces over `dims`, which are removed. `kind` is sum, prod, max, min, any or all.
    pub fn reduce(&mut self, x: Val, dims: &[usize], kind: &str) -> Result<Val, OpError> {
        if dims.is_empty() {
            return Ok(x);
        }
        self.one("prim.reduce", vec![Arg::Tensor(x), int_list(dims), Arg::Str(kind.into())])
    }

    /// Reduces over `dims`, which stay with size 1.
    pub fn keepdim_reduce(&mut self, x: Val, dims: &[usize], kind: &str) -> Result<Val, OpError> {
        let kept = shape::reduced(&self.shape(x), dims, true);
        let reduced = self.reduce(x, dims, kind)?;
        self.reshape(reduced, &kept)
    }

    /// Reduces over `dims`, which stay with size 1 if `keepdim`.
    pub fn reduce_dims(&mut self, x: Val, dims: &[usize], keepdim: bool, kind: &str) -> Result<Val, OpError> {
        if keepdim { self.keepdim_reduce(x, dims, kind) } else { self.reduce(x, dims, kind) }
    }

    /// Index of the extreme along `dim`, which is removed. `kind` is argmax or argmin.
    pub fn argreduce(&mut self, x: Val, dim: usize, kind: &str) -> Result<Val, OpError> {
        self.one("prim.argreduce", vec![Arg::Tensor(x), int(dim), Arg::Str(kind.into())])
    }

    /// Inclusive scan along `dim`. `kind` is sum, prod, max, min or logsumexp.
    pub fn scan(&mut self, x: Val, dim: usize, kind: &str) -> Result<Val, OpError> {
        self.one("prim.scan", vec![Arg::Tensor(x), int(dim), Arg::Str(kind.into())])
    }

    /// Values in order along `dim`, and where they were.
    pub fn sort(&mut self, x: Val, dim: usize, descending: bool, stable: bool) -> Result<(Val, Val), OpError> {
        let args = vec![Arg::Tensor(x), int(dim), Arg::Bool(descending), Arg::Bool(stable)];
        self.call("prim.sort", args).and_then(two)
    }

    /// The `k` largest (smallest) along `dim`, and where they were.
    pub fn topk(&mut self, x: Val, k: &Dim, dim: usize, largest: bool, sorted: bool) -> Result<(Val, Val), OpError> {
        let args = vec![Arg::Tensor(x), Arg::Int(k.clone()), int(dim), Arg::Bool(largest), Arg::Bool(sorted)];
        self.call("prim.topk", args).and_then(two)
    }

    /// Convolution without bias; see `prim.conv`.
    #[allow(clippy::too_many_arguments)]
    pub fn conv(
        &mut self,
        x: Val,
        w: Val,
        stride: &[Dim],
        low: &[Dim],
        high: &[Dim],
        dilation: &[Dim],
        groups: &Dim,
    ) -> Result<Val, OpError> {
        let lists = [stride, low, high, dilation].map(|l| Arg::Ints(l.to_vec()));
        let args = [Arg::Tensor(x), Arg::Tensor(w)].into_iter().chain(lists).chain([Arg::Int(groups.clone())]);
        self.one("prim.conv", args.collect())
    }

    /// Transposed convolution without bias; see `prim.conv_transpose`.
    #[allow(clippy::too_many_arguments)]
    pub fn conv_transpose(
        &mut self,
        x: Val,
        w: Val,
        stride: &[Dim],
        padding: &[Dim],
        output_padding: &[Dim],
        dilation: &[Dim],
        groups: &Dim,
    ) -> Result<Val, OpError> {
        let lists = [stride, padding, output_padding, dilation].map(|l| Arg::Ints(l.to_vec()));
        let args = [Arg::Tensor(x), Arg::Tensor(w)].into_iter().chain(lists).chain([Arg::Int(groups.clone())]);
        self.one("prim.conv_transpose", args.collect())
    }

    /// Scaled dot-product attention; see `prim.attention`.
    pub fn attention(
        &mut self,
        q: Val,
        k: Val,
        v: Val,
        mask: Option<Val>,
        scale: f64,
        causal: bool,
    ) -> Result<Val, OpError> {
        let tensors = [q, k, v].map(Arg::Tensor);
        let rest = [mask.map_or(Arg::None, Arg::Tensor), Arg::Float(scale), Arg::Bool(causal)];
        self.one("prim.attention", tensors.into_iter().chain(rest).collect())
    }

    /// Sliding windows over the trailing dimensions, `kind` max or sum; see `prim.window_reduce`.
    #[allow(clippy::too_many_arguments)]
    pub fn window_reduce(
        &mut self,
        x: Val,
        kind: &str,
        window: &[i64],
        stride: &[i64],
        dilation: &[i64],
        low: &[Dim],
        high: &[Dim],
    ) -> Result<Val, OpError> {
        let mut args = vec![Arg::Tensor(x), Arg::Str(kind.into())];
        args.extend([window, stride, dilation].map(|l| Arg::Ints(l.iter().map(|&i| Dim::int(i)).collect())));
        args.extend([low, high].map(|l| Arg::Ints(l.to_vec())));
        self.one("prim.window_reduce", args)
    }

    /// Largest element of each window and its flat index; see `prim.max_window_index`.
    pub fn max_window_index(
        &mut self,
        x: Val,
        window: &[i64],
        stride: &[i64],
        dilation: &[i64],
        low: &[Dim],
        high: &[Dim],
    ) -> Result<(Val, Val), OpError> {
        let mut args = vec![Arg::Tensor(x)];
        args.extend([window, stride, dilation].map(|l| Arg::Ints(l.iter().map(|&i| Dim::int(i)).collect())));
        args.extend([low, high].map(|l| Arg::Ints(l.to_vec())));
        self.call("prim.max_window_index", args).and_then(two)
    }

    /// Random numbers; see `prim.random` for the kinds and their parameters.
    pub fn random(&mut self, shape: &[Dim], dtype: DType, kind: &str, a: f64, b: f64) -> Result<Val, OpError> {
        let args = [Arg::DType(dtype), Arg::Str(kind.into()), Arg::Float(a), Arg::Float(b), int(0)];
        self.one("prim.random", [Arg::Ints(shape.to_vec())].into_iter().chain(args).collect())
    }

    /// A routine of the runtime over a batch; one value for each of its buffers. See `prim.routine`.
    pub fn routine(&mut self, name: &str, operands: &[Val], batch: &[Dim], sizes: &[Dim]) -> Result<Vec<Val>, OpError> {
        let lists = [batch, sizes].map(|l| Arg::Ints(l.to_vec()));
        self.call("prim.routine", [tensor_list(operands), Arg::Str(name.into())].into_iter().chain(lists).collect())
    }

    /// A run-time check.
    pub fn assert(&mut self, cond: Val, message: &str) -> Result<(), OpError> {
        self.call("prim.assert", vec![Arg::Tensor(cond), Arg::Str(message.into())]).map(|_| ())
    }

    /// The dtype PyTorch computes these arguments of a call in.
    pub fn result_type(&self, call: &Call<'_, Val>, names: &[&str]) -> Result<DType, OpError> {
        let operands =
            names.iter().map(|n| Ok(call.arg(n)?.map(|&v| self.fact(v)))).collect::<Result<Vec<_>, OpError>>()?;
        result_type(&operands).ok_or_else(|| OpError::Invalid(format!("`{}` has no operand", call.op.name)))
    }

    /// A tensor or number argument as a tensor of `dtype`.
    pub fn operand(&mut self, call: &Call<'_, Val>, name: &str, dtype: DType) -> Result<Val, OpError> {
        match call.arg(name)? {
            Arg::Tensor(v) => self.cast(*v, dtype),
            number => self.scalar_like(number, dtype),
        }
    }

    /// As [`Builder::operand`], or None.
    pub fn opt_operand(&mut self, call: &Call<'_, Val>, name: &str, dtype: DType) -> Result<Option<Val>, OpError> {
        if call.arg(name)?.is_none() { Ok(None) } else { self.operand(call, name, dtype).map(Some) }
    }

    /// Tensor and number arguments as tensors of the dtype PyTorch computes them in.
    pub fn promote(&mut self, call: &Call<'_, Val>, names: &[&str]) -> Result<Vec<Val>, OpError> {
        let dtype = self.result_type(call, names)?;
        names.iter().map(|n| self.operand(call, n, dtype)).collect()
    }
}

/// An integer argument.
pub fn int(i: usize) -> Arg<Val> {
    Arg::Int(Dim::int(i as i64))
}

/// A list of dimension numbers as an argument.
pub fn int_list(dims: &[usize]) -> Arg<Val> {
    Arg::Ints(dims.iter().map(|&d| Dim::int(d as i64)).collect())
}

/// A list of tensors as an argument.
pub fn tensor_list(xs: &[Val]) -> Arg<Val> {
    Arg::Tensors(xs.iter().map(|&x| Some(x)).collect())
}

fn two(outputs: Vec<Val>) -> Result<(Val, Val), OpError> {
    match outputs.as_slice() {
        [a, b] => Ok((*a, *b)),
        _ => Err(OpError::invalid("two outputs were expected")),
    }
}
