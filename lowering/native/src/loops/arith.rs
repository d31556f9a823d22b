//! Unary, binary and comparison operators, with PyTorch's results at the edges.

use super::{Cx, Value, is_float, is_signed};
use crate::NativeError;
use crate::builder::{Elem, FloatPredicate, IntPredicate, Type, Val};
use crate::dims::floor_divide;
use crate::math::{MathFn, MathFn2, emit_binary, emit_unary};
use pt2c_ir::DType;
use pt2c_kernel::{BinaryOp, CompareOp, Expr, UnaryOp};

/// C library functions of two arguments that are called lane by lane (f64 name; f32 variants end in `f`).
pub const LIBM2: &[&str] = &["nextafter"];

impl Cx<'_> {
    /// `op x`.
    pub(super) fn unary(&mut self, op: UnaryOp, x: Value) -> Result<Value, NativeError> {
        let Value { val, dtype } = x;
        let same = |val| Ok(Value { val, dtype });
        let truth = |val| Ok(Value { val, dtype: DType::Bool });
        if let Some(f) = math_function(op) {
            if !is_float(dtype) {
                return Err(unsupported(&format!("{op:?}"), dtype));
            }
            return same(emit_unary(&mut self.b, f, val));
        }
        let b = &mut self.b;
        match (op, is_float(dtype)) {
            (UnaryOp::Neg, true) => same(b.negf(val)),
            (UnaryOp::Neg, false) => {
                let zero = b.zero(val.ty);
                same(b.subi(zero, val))
            }
            (UnaryOp::Abs, true) => same(b.absf(val)),
            (UnaryOp::Abs, false) if is_signed(dtype) => same(b.absi(val)),
            (UnaryOp::Abs, false) => same(val),
            (UnaryOp::Sign, true) => {
                let (zero, one, minus) = (b.zero(val.ty), b.float(val.ty, 1.0), b.float(val.ty, -1.0));
                let above = b.cmpf(FloatPredicate::Ogt, val, zero);
                let below = b.cmpf(FloatPredicate::Olt, val, zero);
                let r = b.select(below, minus, val);
                same(b.select(above, one, r))
            }
            (UnaryOp::Sign, false) => {
                let (zero, one, minus) = (b.zero(val.ty), b.int(val.ty, 1), b.int(val.ty, -1));
                let nonzero = b.cmpi(IntPredicate::Ne, val, zero);
                let r = b.select(nonzero, one, zero);
                if !is_signed(dtype) {
                    return same(r);
                }
                let below = b.cmpi(IntPredicate::Slt, val, zero);
                same(b.select(below, minus, r))
            }
            (UnaryOp::Ceil, true) => same(b.ceil(val)),
            (UnaryOp::Floor, true) => same(b.floor(val)),
            (UnaryOp::Round, true) => same(b.roundeven(val)),
            (UnaryOp::Trunc, true) => same(b.trunc(val)),
            (UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round | UnaryOp::Trunc, false) => same(val),
            (UnaryOp::Not, false) if dtype == DType::Bool => same(b.not(val)),
            (UnaryOp::Not, false) => {
                let ones = b.int(val.ty, -1);
                same(b.xori(val, ones))
            }
            (UnaryOp::IsNan, true) => truth(b.cmpf(FloatPredicate::Uno, val, val)),
            (UnaryOp::IsInf, true) => {
                let (magnitude, infinity) = (b.absf(val), b.float(val.ty, f64::INFINITY));
                truth(b.cmpf(FloatPredicate::Oeq, magnitude, infinity))
            }
            (UnaryOp::IsNan | UnaryOp::IsInf, false) => {
                let ty = val.ty.with_elem(Elem::I1);
                truth(b.boolean(ty, false))
            }
            (UnaryOp::SignBit, float) => {
                if !float && !is_signed(dtype) {
                    let ty = val.ty.with_elem(Elem::I1);
                    return truth(b.boolean(ty, false));
                }
                let bits = b.bitcast(val, val.ty.elem().same_width_int());
                let zero = b.zero(bits.ty);
                truth(b.cmpi(IntPredicate::Slt, bits, zero))
            }
            (UnaryOp::Reciprocal, true) => {
                let one = b.float(val.ty, 1.0);
                same(b.divf(one, val))
            }
            _ => Err(unsupported(&format!("{op:?}"), dtype)),
        }
    }

    /// `x op y`; `constant` is the value of `y` where it is an integer constant.
    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        x: Value,
        y: Value,
        constant: Option<i64>,
    ) -> Result<Value, NativeError> {
        let dtype = x.dtype;
        let (a, c) = self.unify(x.val, y.val);
        let val = if is_float(dtype) {
            self.binary_float(op, a, c, dtype)?
        } else if dtype == DType::Bool {
            self.binary_bool(op, a, c)?
        } else {
            self.binary_int(op, a, c, dtype, constant)?
        };
        Ok(Value { val, dtype })
    }

    fn binary_float(&mut self, op: BinaryOp, x: Val, y: Val, dtype: DType) -> Result<Val, NativeError> {
        let b = &mut self.b;
        Ok(match op {
            BinaryOp::Add => b.addf(x, y),
            BinaryOp::Sub => b.subf(x, y),
            BinaryOp::Mul => b.mulf(x, y),
            BinaryOp::Div => b.divf(x, y),
            BinaryOp::DivTrunc => {
                let q = b.divf(x, y);
                b.trunc(q)
            }
            BinaryOp::RemTrunc => b.remf(x, y),
            BinaryOp::RemFloor => self.python_remainder(x, y).1,
            BinaryOp::DivFloor => self.floor_div_float(x, y),
            BinaryOp::Pow => emit_binary(b, MathFn2::Pow, x, y),
            BinaryOp::Atan2 => emit_binary(b, MathFn2::Atan2, x, y),
            BinaryOp::Max => self.extreme(FloatPredicate::Ogt, x, y),
            BinaryOp::Min => self.extreme(FloatPredicate::Olt, x, y),
            BinaryOp::FMax => b.maxnumf(x, y),
            BinaryOp::FMin => b.minnumf(x, y),
            BinaryOp::CopySign => b.copysign(x, y),
            BinaryOp::NextAfter => self.call_lanes("nextafter", &[x, y]),
            BinaryOp::Hypot => self.hypot(x, y),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => {
                return Err(unsupported(&format!("{op:?}"), dtype));
            }
        })
    }

    /// `√(x² + y²)` without overflow on the way: f32 in f64, f64 scaled by the larger operand. Infinite if either is.
    fn hypot(&mut self, x: Val, y: Val) -> Val {
        let b = &mut self.b;
        let (x, y) = (b.absf(x), b.absf(y));
        let size = if x.ty.elem() == Elem::F64 {
            let (large, small) = (b.maxnumf(x, y), b.minnumf(x, y));
            let ratio = b.divf(small, large);
            let (one, zero) = (b.float(x.ty, 1.0), b.zero(x.ty));
            let sum = b.mul_add(ratio, ratio, one);
            let root = b.sqrt(sum);
            let scaled = b.mulf(large, root);
            let nothing = b.cmpf(FloatPredicate::Oeq, large, zero);
            let scaled = b.select(nothing, zero, scaled);
            let nan = b.cmpf(FloatPredicate::Uno, x, y);
            let sum = b.addf(x, y);
            b.select(nan, sum, scaled)
        } else {
            let (p, q) = (b.cast_float(x, Elem::F64), b.cast_float(y, Elem::F64));
            let square = b.mulf(p, p);
            let sum = b.mul_add(q, q, square);
            let root = b.sqrt(sum);
            b.cast_float(root, x.ty.elem())
        };
        let infinity = b.float(x.ty, f64::INFINITY);
        let (first, second) = (b.cmpf(FloatPredicate::Oeq, x, infinity), b.cmpf(FloatPredicate::Oeq, y, infinity));
        let either = b.ori(first, second);
        b.select(either, infinity, size)
    }

    fn binary_bool(&mut self, op: BinaryOp, x: Val, y: Val) -> Result<Val, NativeError> {
        let b = &mut self.b;
        Ok(match op {
            BinaryOp::And | BinaryOp::Mul | BinaryOp::Min | BinaryOp::FMin => b.andi(x, y),
            BinaryOp::Or | BinaryOp::Add | BinaryOp::Max | BinaryOp::FMax => b.ori(x, y),
            BinaryOp::Xor => b.xori(x, y),
            _ => return Err(unsupported(&format!("{op:?}"), DType::Bool)),
        })
    }

    fn binary_int(
        &mut self,
        op: BinaryOp,
        x: Val,
        y: Val,
        dtype: DType,
        constant: Option<i64>,
    ) -> Result<Val, NativeError> {
        let signed = is_signed(dtype);
        let b = &mut self.b;
        Ok(match op {
            BinaryOp::Add => b.addi(x, y),
            BinaryOp::Sub => b.subi(x, y),
            BinaryOp::Mul => b.muli(x, y),
            BinaryOp::And => b.andi(x, y),
            BinaryOp::Or => b.ori(x, y),
            BinaryOp::Xor => b.xori(x, y),
            BinaryOp::Max | BinaryOp::FMax if signed => b.maxsi(x, y),
            BinaryOp::Max | BinaryOp::FMax => b.maxui(x, y),
            BinaryOp::Min | BinaryOp::FMin if signed => b.minsi(x, y),
            BinaryOp::Min | BinaryOp::FMin => b.minui(x, y),
            BinaryOp::Shl | BinaryOp::Shr => self.shift(op, x, y, signed),
            BinaryOp::DivFloor | BinaryOp::DivTrunc | BinaryOp::RemFloor | BinaryOp::RemTrunc => {
                self.divide_int(op, x, y, signed, constant)
            }
            BinaryOp::Pow => self.power_int(x, y, signed)?,
            BinaryOp::Div | BinaryOp::Atan2 | BinaryOp::CopySign | BinaryOp::NextAfter | BinaryOp::Hypot => {
                return Err(unsupported(&format!("{op:?}"), dtype));
            }
        })
    }

    /// Shifts by any amount: bits shifted beyond the width are gone, as in PyTorch.
    fn shift(&mut self, op: BinaryOp, x: Val, y: Val, signed: bool) -> Val {
        let b = &mut self.b;
        let bits = i64::from(x.ty.elem().bits());
        let (limit, zero) = (b.int(x.ty, bits), b.zero(x.ty));
        let fits = b.cmpi(IntPredicate::Ult, y, limit);
        if op == BinaryOp::Shr && signed {
            let all = b.int(x.ty, bits - 1);
            let amount = b.select(fits, y, all);
            return b.shrsi(x, amount);
        }
        let amount = b.select(fits, y, zero);
        let shifted = if op == BinaryOp::Shl { b.shli(x, amount) } else { b.shrui(x, amount) };
        b.select(fits, shifted, zero)
    }

    /// Integer division and remainder. A zero divisor, which a check before has reported, and the smallest value
    /// divided by −1 must not trap.
    fn divide_int(&mut self, op: BinaryOp, x: Val, y: Val, signed: bool, constant: Option<i64>) -> Val {
        let b = &mut self.b;
        let harmless = constant.is_some_and(|c| c != 0 && c != -1);
        let (zero, one) = (b.zero(y.ty), b.int(y.ty, 1));
        let mut divisor = y;
        let minus = if harmless {
            None
        } else {
            let is_zero = b.cmpi(IntPredicate::Eq, y, zero);
            divisor = b.select(is_zero, one, divisor);
            if signed {
                let minus_one = b.int(y.ty, -1);
                let is_minus = b.cmpi(IntPredicate::Eq, y, minus_one);
                divisor = b.select(is_minus, one, divisor);
                Some(is_minus)
            } else {
                None
            }
        };
        let quotient = matches!(op, BinaryOp::DivFloor | BinaryOp::DivTrunc);
        let r = match op {
            BinaryOp::DivFloor | BinaryOp::RemFloor if signed => {
                let (q, r) = floor_divide(b, x, divisor);
                if quotient { q } else { r }
            }
            _ if signed && quotient => b.divsi(x, divisor),
            _ if signed => b.remsi(x, divisor),
            _ if quotient => b.divui(x, divisor),
            _ => b.remui(x, divisor),
        };
        match minus {
            Some(is_minus) if quotient => {
                let negated = b.subi(zero, x);
                b.select(is_minus, negated, r)
            }
            // Dividing by 1 in place of −1 leaves the same remainder, 0.
            _ => r,
        }
    }

    /// Integer power by squaring, wrapping. A negative exponent gives 0 but for the bases 1 and −1.
    fn power_int(&mut self, x: Val, y: Val, signed: bool) -> Result<Val, NativeError> {
        let b = &mut self.b;
        let (zero, one) = (b.zero(x.ty), b.int(x.ty, 1));
        let shift = one;
        let result = b.while_loop(
            &[one, x, y],
            |b, v| {
                let zero = b.zero(y.ty);
                let more = match v {
                    [_, _, e] => b.cmpi(if signed { IntPredicate::Sgt } else { IntPredicate::Ne }, *e, zero),
                    _ => b.boolean(Type::BOOL, false),
                };
                b.any(more)
            },
            |b, v| match v {
                [r, base, e] => {
                    let zero = b.zero(x.ty);
                    let odd = b.andi(*e, one);
                    let odd = b.cmpi(IntPredicate::Ne, odd, zero);
                    let live = b.cmpi(if signed { IntPredicate::Sgt } else { IntPredicate::Ne }, *e, zero);
                    let odd = b.andi(odd, live);
                    let product = b.muli(*r, *base);
                    let square = b.muli(*base, *base);
                    vec![b.select(odd, product, *r), square, b.shrui(*e, shift)]
                }
                other => other.to_vec(),
            },
        );
        let power = super::access::one(result)?;
        if !signed {
            return Ok(power);
        }
        let b = &mut self.b;
        let minus = b.int(x.ty, -1);
        let negative = b.cmpi(IntPredicate::Slt, y, zero);
        let is_one = b.cmpi(IntPredicate::Eq, x, one);
        let is_minus = b.cmpi(IntPredicate::Eq, x, minus);
        let odd = b.andi(y, one);
        let odd = b.cmpi(IntPredicate::Ne, odd, zero);
        let sign = b.select(odd, minus, one);
        let small = b.select(is_minus, sign, zero);
        let small = b.select(is_one, one, small);
        Ok(b.select(negative, small, power))
    }

    /// Python's quotient (before rounding) and remainder of floats, as PyTorch computes them.
    fn python_remainder(&mut self, x: Val, y: Val) -> (Val, Val) {
        let b = &mut self.b;
        let zero = b.zero(x.ty);
        let r = b.remf(x, y);
        let exact = b.subf(x, r);
        let q = b.divf(exact, y);
        let inexact = b.cmpf(FloatPredicate::Une, r, zero);
        let (rn, yn) = (b.cmpf(FloatPredicate::Olt, r, zero), b.cmpf(FloatPredicate::Olt, y, zero));
        let differ = b.xori(rn, yn);
        let fix = b.andi(inexact, differ);
        let minus = b.float(x.ty, -1.0);
        let (down, up) = (b.addf(q, minus), b.addf(r, y));
        (b.select(fix, down, q), b.select(fix, up, r))
    }

    fn floor_div_float(&mut self, x: Val, y: Val) -> Val {
        let (q, _) = self.python_remainder(x, y);
        let b = &mut self.b;
        let (zero, one, half) = (b.zero(x.ty), b.float(x.ty, 1.0), b.float(x.ty, 0.5));
        let plain = b.divf(x, y);
        let floor = b.floor(q);
        let rest = b.subf(q, floor);
        let above = b.cmpf(FloatPredicate::Ogt, rest, half);
        let next = b.addf(floor, one);
        let rounded = b.select(above, next, floor);
        let signed_zero = b.copysign(zero, plain);
        let nonzero = b.cmpf(FloatPredicate::Une, q, zero);
        let result = b.select(nonzero, rounded, signed_zero);
        let by_zero = b.cmpf(FloatPredicate::Oeq, y, zero);
        b.select(by_zero, plain, result)
    }

    /// The larger or smaller of two floats, NaN if either is. The inner choice is one x86 instruction, which takes its
    /// second operand when one is NaN; only a NaN in the first needs a repair. (Zeros of either sign are equal.)
    fn extreme(&mut self, wins: FloatPredicate, x: Val, y: Val) -> Val {
        let b = &mut self.b;
        let first = b.cmpf(wins, x, y);
        let chosen = b.select(first, x, y);
        let nan = b.cmpf(FloatPredicate::Uno, x, x);
        b.select(nan, x, chosen)
    }

    /// A maximum or minimum with a float constant, in one instruction: x86's own takes its second operand when one
    /// is NaN.
    pub(super) fn clamp(&mut self, op: BinaryOp, x: &Expr, y: &Expr) -> Result<Option<Value>, NativeError> {
        let (constant, other) = match (x, y) {
            (Expr::Float(c, _), other) | (other, Expr::Float(c, _)) if !c.is_nan() => (*c, other),
            _ => return Ok(None),
        };
        let value = self.expr(other)?;
        if !is_float(value.dtype) {
            return Err(unsupported("a float constant beside", value.dtype));
        }
        let c = self.b.float(value.val.ty, constant);
        let predicate = if op == BinaryOp::Max { FloatPredicate::Ogt } else { FloatPredicate::Olt };
        let wins = self.b.cmpf(predicate, c, value.val);
        Ok(Some(Value { val: self.b.select(wins, c, value.val), dtype: value.dtype }))
    }

    /// `x op y` as truth values.
    pub(super) fn compare(&mut self, op: CompareOp, x: Value, y: Value) -> Result<Value, NativeError> {
        let (a, c) = self.unify(x.val, y.val);
        let val = if is_float(x.dtype) {
            let predicate = match op {
                CompareOp::Eq => FloatPredicate::Oeq,
                CompareOp::Ne => FloatPredicate::Une,
                CompareOp::Lt => FloatPredicate::Olt,
                CompareOp::Le => FloatPredicate::Ole,
                CompareOp::Gt => FloatPredicate::Ogt,
                CompareOp::Ge => FloatPredicate::Oge,
            };
            self.b.cmpf(predicate, a, c)
        } else {
            let signed = is_signed(x.dtype);
            let predicate = match op {
                CompareOp::Eq => IntPredicate::Eq,
                CompareOp::Ne => IntPredicate::Ne,
                CompareOp::Lt if signed => IntPredicate::Slt,
                CompareOp::Lt => IntPredicate::Ult,
                CompareOp::Le if signed => IntPredicate::Sle,
                CompareOp::Le => IntPredicate::Ule,
                CompareOp::Gt if signed => IntPredicate::Sgt,
                CompareOp::Gt => IntPredicate::Ugt,
                CompareOp::Ge if signed => IntPredicate::Sge,
                CompareOp::Ge => IntPredicate::Uge,
            };
            self.b.cmpi(predicate, a, c)
        };
        Ok(Value { val, dtype: DType::Bool })
    }

    /// A C library function, called for each lane.
    fn call_lanes(&mut self, name: &str, args: &[Val]) -> Val {
        let ty = args.first().map_or(Type::F32, |a| a.ty);
        let scalar = Type::Scalar(ty.elem());
        let name = if ty.elem() == Elem::F64 { name.to_string() } else { format!("{name}f") };
        let lanes: Vec<Val> = (0..ty.lanes())
            .filter_map(|k| {
                let lane: Vec<Val> = args.iter().map(|a| self.b.extract(*a, k)).collect();
                self.b.call(&name, &lane, &[scalar]).into_iter().next()
            })
            .collect();
        self.b.from_lanes(&lanes)
    }
}

/// The vector math function of an operator that is one.
fn math_function(op: UnaryOp) -> Option<MathFn> {
    Some(match op {
        UnaryOp::Exp => MathFn::Exp,
        UnaryOp::Exp2 => MathFn::Exp2,
        UnaryOp::Expm1 => MathFn::Expm1,
        UnaryOp::Log => MathFn::Log,
        UnaryOp::Log2 => MathFn::Log2,
        UnaryOp::Log10 => MathFn::Log10,
        UnaryOp::Log1p => MathFn::Log1p,
        UnaryOp::Sqrt => MathFn::Sqrt,
        UnaryOp::Rsqrt => MathFn::Rsqrt,
        UnaryOp::Sin => MathFn::Sin,
        UnaryOp::Cos => MathFn::Cos,
        UnaryOp::Tan => MathFn::Tan,
        UnaryOp::Asin => MathFn::Asin,
        UnaryOp::Acos => MathFn::Acos,
        UnaryOp::Atan => MathFn::Atan,
        UnaryOp::Sinh => MathFn::Sinh,
        UnaryOp::Cosh => MathFn::Cosh,
        UnaryOp::Tanh => MathFn::Tanh,
        UnaryOp::Asinh => MathFn::Asinh,
        UnaryOp::Acosh => MathFn::Acosh,
        UnaryOp::Atanh => MathFn::Atanh,
        UnaryOp::Erf => MathFn::Erf,
        UnaryOp::Erfc => MathFn::Erfc,
        UnaryOp::Erfinv => MathFn::Erfinv,
        UnaryOp::Lgamma => MathFn::Lgamma,
        UnaryOp::Digamma => MathFn::Digamma,
        UnaryOp::Sigmoid => MathFn::Sigmoid,
        UnaryOp::Gelu => MathFn::Gelu,
        _ => return None,
    })
}

fn unsupported(what: &str, dtype: DType) -> NativeError {
    NativeError::Unsupported { what: format!("{what} of {dtype}") }
}
