//! Conversions between dtypes with PyTorch's rules.

use super::{Cx, Value, is_float, is_signed, value_elem};
use crate::NativeError;
use crate::builder::{Elem, FloatPredicate, Format, IntPredicate, Type, Val};
use pt2c_ir::DType;

impl Cx<'_> {
    /// `value` converted to `dtype`. Floats are cut towards zero on the way to integers; NaN, infinities and values
    /// out of range give what x86's conversion gives. To f16 and bf16 the value is rounded and stays f32.
    pub fn cast(&mut self, value: Value, dtype: DType) -> Result<Value, NativeError> {
        let Value { val, dtype: from } = value;
        let elem = value_elem(dtype)?;
        let out = match (from, dtype) {
            (_, DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2) => {
                let single = self.cast(value, DType::F32)?;
                let narrow = self.narrow(single.val, dtype)?;
                return Ok(Value { val: self.widen(narrow, dtype)?, dtype: DType::F32 });
            }
            (a, b) if a == b => val,
            (_, DType::Bool) => self.truth(val, from),
            (a, b) if is_float(a) && is_float(b) => self.b.cast_float(val, elem),
            (a, b) if is_float(a) => self.float_to_int(val, b, elem),
            (a, b) if is_float(b) => self.b.int_to_float(val, elem, is_signed(a)),
            (a, _) => self.b.cast_int(val, Type::Scalar(elem), is_signed(a)),
        };
        Ok(Value { val: out, dtype })
    }

    /// Whether a value is not zero (NaN is not).
    fn truth(&mut self, val: Val, dtype: DType) -> Val {
        let zero = self.b.zero(val.ty);
        if is_float(dtype) {
            self.b.cmpf(FloatPredicate::Une, val, zero)
        } else {
            self.b.cmpi(IntPredicate::Ne, val, zero)
        }
    }

    fn float_to_int(&mut self, val: Val, dtype: DType, elem: Elem) -> Val {
        match dtype {
            // Through a wider signed type, as C compilers do on x86: -1.0 becomes 255.
            DType::I8 | DType::U8 | DType::I16 | DType::U16 => {
                let wide = self.b.float_to_int(val, Elem::I32, true);
                self.b.cast_int(wide, Type::Scalar(elem), true)
            }
            DType::U32 => {
                let wide = self.b.float_to_int(val, Elem::I64, true);
                self.b.cast_int(wide, Type::Scalar(elem), true)
            }
            DType::U64 => {
                let half = self.b.float(val.ty, 9_223_372_036_854_775_808.0);
                let low = self.b.float_to_int(val, Elem::I64, true);
                let over = self.b.subf(val, half);
                let high = self.b.float_to_int(over, Elem::I64, true);
                let top = self.b.int(high.ty, i64::MIN);
                let high = self.b.xori(high, top);
                let is_high = self.b.cmpf(FloatPredicate::Oge, val, half);
                self.b.select(is_high, high, low)
            }
            _ => self.b.float_to_int(val, elem, true),
        }
    }

    /// An f32 value rounded to a narrow float, as its bits.
    pub(super) fn narrow(&mut self, val: Val, dtype: DType) -> Result<Val, NativeError> {
        match dtype {
            DType::F16 => Ok(self.b.narrow_to_bits(val, Elem::F16)),
            DType::BF16 => Ok(self.b.narrow_to_bits(val, Elem::BF16)),
            DType::F8E4M3FN => Ok(self.b.narrow_format(val, Format::F8E4M3FN)),
            DType::F8E5M2 => Ok(self.b.narrow_format(val, Format::F8E5M2)),
            _ => Err(NativeError::Unsupported { what: format!("conversion to {dtype}") }),
        }
    }

    /// The f32 value of a narrow float's bits.
    pub(super) fn widen(&mut self, val: Val, dtype: DType) -> Result<Val, NativeError> {
        match dtype {
            DType::F16 => Ok(self.b.widen_bits(val, Elem::F16)),
            DType::BF16 => Ok(self.b.widen_bits(val, Elem::BF16)),
            DType::F8E4M3FN => Ok(self.b.widen_format(val, Format::F8E4M3FN)),
            DType::F8E5M2 => Ok(self.b.widen_format(val, Format::F8E5M2)),
            _ => Err(NativeError::Unsupported { what: format!("conversion from {dtype}") }),
        }
    }

    /// The bits of a value as another dtype of the same size.
    pub fn bitcast(&mut self, value: Value, dtype: DType) -> Result<Value, NativeError> {
        let elem = value_elem(dtype)?;
        if value.val.ty.elem().bits() != elem.bits() {
            return Err(NativeError::Unsupported {
                what: format!("reinterpreting {} as {dtype} in registers", value.dtype),
            });
        }
        Ok(Value { val: self.b.bitcast(value.val, elem), dtype })
    }

    /// A loaded value in register form.
    pub(super) fn from_memory(&mut self, val: Val, dtype: DType) -> Result<Value, NativeError> {
        let val = match dtype {
            DType::Bool => {
                let zero = self.b.zero(val.ty);
                self.b.cmpi(IntPredicate::Ne, val, zero)
            }
            DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => self.widen(val, dtype)?,
            _ => val,
        };
        Ok(Value { val, dtype: super::loaded_dtype(dtype) })
    }

    /// A value in the form that memory of `dtype` holds.
    pub(super) fn to_memory(&mut self, value: Value, dtype: DType) -> Result<Val, NativeError> {
        match dtype {
            DType::Bool => {
                let truth = self.cast(value, DType::Bool)?;
                Ok(self.b.cast_int(truth.val, Type::Scalar(Elem::I8), false))
            }
            DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => {
                let single = self.cast(value, DType::F32)?;
                self.narrow(single.val, dtype)
            }
            _ => Ok(self.cast(value, dtype)?.val),
        }
    }
}
