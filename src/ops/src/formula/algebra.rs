//! Arithmetic of formulas in infix form: a [`Term`] is a value on a [`Sheet`], and adding two terms adds a call.
//! The first error is kept and ends the formula in [`Sheet::finish`].

use crate::builder::Build;
use crate::{Builder, Call, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};
use std::cell::RefCell;

/// Where terms are written down.
pub struct Sheet<'a> {
    build: RefCell<&'a mut dyn Build>,
    error: RefCell<Option<OpError>>,
}

/// A step of a formula with a builder.
type Step<'f> = &'f mut dyn FnMut(&mut Builder<'_>) -> Result<Val, OpError>;

/// What a term asks of its sheet.
trait Lines {
    fn step(&self, step: Step<'_>) -> Val;
    fn fact(&self, v: Val) -> Fact;
}

impl Lines for Sheet<'_> {
    fn step(&self, step: Step<'_>) -> Val {
        if self.error.borrow().is_none() {
            let result = match self.build.try_borrow_mut() {
                Ok(mut build) => step(&mut Builder::new(&mut **build)),
                Err(_) => Err(OpError::invalid("a step of a formula inside another")),
            };
            match result {
                Ok(v) => return v,
                Err(e) => *self.error.borrow_mut() = Some(e),
            }
        }
        Val(u32::MAX)
    }

    fn fact(&self, v: Val) -> Fact {
        let build = self.build.try_borrow();
        build.map_or_else(|_| Fact::of(DType::Bool, &[0]), |b| b.fact(v))
    }
}

/// A value of a formula.
#[derive(Clone, Copy)]
pub struct Term<'s> {
    sheet: &'s dyn Lines,
    value: Val,
}

impl<'a> Sheet<'a> {
    /// A sheet over what a builder adds to.
    pub fn new(b: &'a mut Builder<'_>) -> Sheet<'a> {
        Sheet { build: RefCell::new(b.inner()), error: RefCell::new(None) }
    }

    /// A value as a term.
    pub fn term(&self, value: Val) -> Term<'_> {
        Term { sheet: self, value }
    }

    /// A tensor argument as a term.
    pub fn arg(&self, c: &Call<'_, Val>, name: &str) -> Term<'_> {
        self.step(|_| c.tensor(name).copied())
    }

    /// A tensor or number argument as a term of `dtype`.
    pub fn operand(&self, c: &Call<'_, Val>, name: &str, dtype: DType) -> Term<'_> {
        self.step(|b| b.operand(c, name, dtype))
    }

    /// A number as a term.
    pub fn number(&self, value: f64, dtype: DType) -> Term<'_> {
        self.step(|b| b.constant(value, dtype))
    }

    /// A size as a term.
    pub fn size(&self, value: &Dim, dtype: DType) -> Term<'_> {
        self.step(|b| b.constant_dim(value, dtype))
    }

    /// `[0, 1, …, size - 1]`.
    pub fn iota(&self, size: &Dim, dtype: DType) -> Term<'_> {
        self.step(|b| b.iota(size, dtype))
    }

    /// Any other step.
    pub fn step(&self, mut step: impl FnMut(&mut Builder<'_>) -> Result<Val, OpError>) -> Term<'_> {
        Term { sheet: self, value: Lines::step(self, &mut step) }
    }

    /// A step with several results.
    pub fn many<const N: usize>(
        &self,
        mut step: impl FnMut(&mut Builder<'_>) -> Result<Vec<Val>, OpError>,
    ) -> [Term<'_>; N] {
        let mut all = Vec::new();
        let first = self.step(|b| {
            all = step(b)?;
            let enough = all.len() >= N;
            let first = all.first().copied().filter(|_| enough);
            first.ok_or_else(|| OpError::invalid("fewer results than the formula takes"))
        });
        std::array::from_fn(|i| all.get(i).map_or(first, |&v| self.term(v)))
    }

    /// A check at run time that every element of a boolean term holds.
    pub fn assert(&self, holds: Term<'_>, message: &str) {
        self.step(|b| b.assert(holds.value, message).map(|()| holds.value));
    }

    /// Records an error that ends the formula.
    pub fn fail(&self, error: OpError) {
        self.error.borrow_mut().get_or_insert(error);
    }

    /// The values of the terms, or the first error.
    pub fn finish(&self, results: &[Term<'_>]) -> Result<Vec<Val>, OpError> {
        match self.error.borrow().clone() {
            Some(e) => Err(e),
            None => Ok(results.iter().map(|t| t.value).collect()),
        }
    }
}

macro_rules! methods {
    (unary: $($u:ident)*; binary: $($b:ident)*;) => {
        $(
            #[doc = concat!("[`Builder::", stringify!($u), "`].")]
            pub fn $u(self) -> Term<'s> {
                self.then(|b, x| b.$u(x))
            }
        )*
        $(
            #[doc = concat!("[`Builder::", stringify!($b), "`] with a term or a number.")]
            pub fn $b(self, other: impl Other<'s>) -> Term<'s> {
                let other = other.beside(self);
                self.then(|b, x| b.$b(x, other.value))
            }
        )*
    };
}

impl<'s> Term<'s> {
    /// A step from this value.
    pub fn then(self, mut step: impl FnMut(&mut Builder<'_>, Val) -> Result<Val, OpError>) -> Term<'s> {
        Term { sheet: self.sheet, value: self.sheet.step(&mut |b| step(b, self.value)) }
    }

    /// The value.
    pub fn value(self) -> Val {
        self.value
    }

    /// Its element type.
    pub fn dtype(self) -> DType {
        self.sheet.fact(self.value).dtype
    }

    /// Its sizes.
    pub fn shape(self) -> Vec<Dim> {
        self.sheet.fact(self.value).shape
    }

    /// Size of a dimension; 1 where a step before failed, which [`Sheet::finish`] reports.
    pub fn extent(self, dim: usize) -> Dim {
        self.shape().get(dim).cloned().unwrap_or(Dim::ONE)
    }

    /// Number of its dimensions.
    pub fn rank(self) -> usize {
        self.shape().len()
    }

    /// A number beside it, of its dtype.
    pub fn like(self, number: f64) -> Term<'s> {
        let dtype = self.dtype();
        self.then(|b, _| b.constant(number, dtype))
    }

    methods! {
        unary: abs sign ceil floor round trunc exp expm1 log log2 log1p sqrt rsqrt reciprocal sin cos tan asin acos
            atan sinh cosh tanh erf erfc lgamma digamma sigmoid not is_nan is_inf signbit;
        binary: div_floor div_trunc rem_floor rem_trunc pow atan2 max min and or xor eq ne lt le gt ge copysign hypot
            matmul;
    }

    /// Converted.
    pub fn cast(self, dtype: DType) -> Term<'s> {
        self.then(|b, x| b.cast(x, dtype))
    }

    /// Halves as f32, integers and booleans as f32: what PyTorch computes floating-point functions in.
    pub fn wide(self) -> Term<'s> {
        let dtype = super::common::wide(self.dtype());
        self.cast(if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F32 })
    }

    /// `a` where this holds, else `b`.
    pub fn pick(self, a: impl Other<'s>, b: impl Other<'s>) -> Term<'s> {
        let beside = if let Some(t) = a.term().or(b.term()) { t } else { self };
        let (x, y) = (a.beside(beside), b.beside(beside));
        self.then(|builder, c| builder.where_(c, x.value, y.value))
    }

    /// Sum over dimensions; they stay with size 1 if `keep`.
    pub fn sum(self, dims: &[usize], keep: bool) -> Term<'s> {
        self.then(|b, x| b.reduce_dims(x, dims, keep, "sum"))
    }

    /// Sum of all elements.
    pub fn total(self) -> Term<'s> {
        let dims: Vec<usize> = (0..self.rank()).collect();
        self.sum(&dims, false)
    }

    /// Mean over dimensions, which stay with size 1.
    pub fn mean(self, dims: &[usize]) -> Term<'s> {
        self.then(|b, x| super::common::mean(b, x, dims))
    }

    /// In another shape of as many elements.
    pub fn reshape(self, shape: &[Dim]) -> Term<'s> {
        self.then(|b, x| b.reshape(x, shape))
    }

    /// Broadcast to a shape.
    pub fn expand(self, shape: &[Dim]) -> Term<'s> {
        self.then(|b, x| b.expand(x, shape))
    }

    /// With a dimension of size 1 before `dim`.
    pub fn unsqueeze(self, dim: usize) -> Term<'s> {
        self.then(|b, x| b.unsqueeze(x, dim))
    }

    /// The last two dimensions exchanged.
    pub fn mt(self) -> Term<'s> {
        let rank = self.rank();
        self.then(|b, x| b.transpose(x, rank.wrapping_sub(2), rank.wrapping_sub(1)))
    }

    /// The conjugate; of real numbers themselves.
    pub fn conjugate(self) -> Term<'s> {
        if self.dtype().is_complex() { self.then(|b, x| b.conj(x)) } else { self }
    }

    /// The conjugate of the last two dimensions exchanged.
    pub fn mh(self) -> Term<'s> {
        self.conjugate().mt()
    }

    /// The modulus, as a real number.
    pub fn modulus(self) -> Term<'s> {
        self.then(super::common::modulus)
    }

    /// Along `dim`, `size` elements from `start`.
    pub fn narrow(self, dim: usize, start: &Dim, size: &Dim) -> Term<'s> {
        self.then(|b, x| b.slice_dim(x, dim, start, size, 1))
    }

    /// The only output of an operator of this and further arguments, the rest by default.
    pub fn op(self, op: &str, more: Vec<Arg<Val>>) -> Term<'s> {
        self.then(|b, x| b.op(op, [vec![Arg::Tensor(x)], more.clone()].concat()))
    }

    /// `Σ coefficients[i]·x^i` by Horner's rule.
    pub fn polynomial(self, coefficients: &[f64]) -> Term<'s> {
        let mut terms = coefficients.iter().rev();
        let first = self.like(terms.next().copied().unwrap_or(0.0));
        terms.fold(first, |sum, &c| sum * self + c)
    }

    /// Square.
    pub fn squared(self) -> Term<'s> {
        self * self
    }
}

/// The other operand: a term, or a number that takes the dtype of the term beside it.
pub trait Other<'s>: Copy {
    /// As a term of the neighbour's dtype.
    fn beside(self, neighbour: Term<'s>) -> Term<'s>;
    /// The term, if it is one.
    fn term(self) -> Option<Term<'s>>;
}

impl<'s> Other<'s> for Term<'s> {
    fn beside(self, _: Term<'s>) -> Term<'s> {
        self
    }

    fn term(self) -> Option<Term<'s>> {
        Some(self)
    }
}

impl<'s> Other<'s> for f64 {
    fn beside(self, neighbour: Term<'s>) -> Term<'s> {
        neighbour.like(self)
    }

    fn term(self) -> Option<Term<'s>> {
        None
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident)*) => {
        $(
            impl<'s, O: Other<'s>> std::ops::$trait<O> for Term<'s> {
                type Output = Term<'s>;
                fn $method(self, other: O) -> Term<'s> {
                    let other = other.beside(self);
                    self.then(|b, x| b.$method(x, other.value))
                }
            }

            impl<'s> std::ops::$trait<Term<'s>> for f64 {
                type Output = Term<'s>;
                fn $method(self, other: Term<'s>) -> Term<'s> {
                    std::ops::$trait::$method(other.like(self), other)
                }
            }
        )*
    };
}

operators! { Add add Sub sub Mul mul Div div }

impl<'s> std::ops::Neg for Term<'s> {
    type Output = Term<'s>;
    fn neg(self) -> Term<'s> {
        self.then(|b, x| b.neg(x))
    }
}
