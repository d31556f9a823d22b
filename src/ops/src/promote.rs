//! PyTorch's type promotion: tensors with dimensions outrank 0-d tensors, which outrank Python numbers, within a
//! category (bool < integer < float < complex). Source: `torch/csrc` `result_type`, `c10::promoteTypes`.

use crate::Tensor;
use pt2c_ir::{Arg, DType, Fact};

/// What has an element type and a rank, as promotion needs it.
pub trait Typed {
    /// Element type.
    fn dtype(&self) -> DType;
    /// Number of dimensions.
    fn rank(&self) -> usize;
}

impl Typed for Fact {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl Typed for Tensor {
    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }

    fn rank(&self) -> usize {
        Tensor::rank(self)
    }
}

/// Category of a dtype in promotion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Category {
    Bool,
    Int,
    Float,
    Complex,
}

impl Category {
    /// The category of a dtype.
    pub fn of(dtype: DType) -> Category {
        match dtype {
            DType::Bool => Category::Bool,
            d if d.is_complex() => Category::Complex,
            d if d.is_float() => Category::Float,
            _ => Category::Int,
        }
    }
}

/// The smallest dtype both convert to (`torch.promote_types`).
pub fn promote_types(a: DType, b: DType) -> DType {
    use DType::*;
    if a == b {
        return a;
    }
    let (ca, cb) = (Category::of(a), Category::of(b));
    if ca != cb {
        let (low, high) = if ca < cb { (a, b) } else { (b, a) };
        // A float next to a complex type widens it: f64 with c64 is c128.
        return match (Category::of(low), high) {
            (Category::Float, C32 | C64) => promote_types(low.to_complex().unwrap_or(C64), high),
            _ => high,
        };
    }
    match ca {
        Category::Bool => Bool,
        Category::Int => {
            let (small, large) = if a.size() <= b.size() { (a, b) } else { (b, a) };
            if large.is_signed_int() || !small.is_signed_int() {
                if small.size() == large.size() && small.is_signed_int() != large.is_signed_int() {
                    signed_above(large.size())
                } else {
                    large
                }
            } else {
                signed_above(large.size())
            }
        }
        Category::Float => match (a, b) {
            (F64, _) | (_, F64) => F64,
            (F32, _) | (_, F32) => F32,
            (F16, BF16) | (BF16, F16) => F32,
            (F16, _) | (_, F16) => F16,
            (BF16, _) | (_, BF16) => BF16,
            _ => F32,
        },
        Category::Complex => {
            if a.size() > b.size() {
                a
            } else {
                b
            }
        }
    }
}

fn signed_above(size: usize) -> DType {
    match size {
        1 => DType::I16,
        2 => DType::I32,
        _ => DType::I64,
    }
}

/// The dtype PyTorch computes a pointwise operator in, from its operands: tensors and Python numbers (default float
/// f32, default integer i64). Other arguments do not take part. `None` without operands.
pub fn result_type<'a, T: Typed + 'a>(operands: impl IntoIterator<Item = &'a Arg<T>>) -> Option<DType> {
    let (mut dimmed, mut zero_d, mut number): (Option<DType>, Option<DType>, Option<DType>) = (None, None, None);
    let join = |slot: &mut Option<DType>, d: DType| *slot = Some(slot.map_or(d, |s| promote_types(s, d)));
    for operand in operands {
        match operand {
            Arg::Tensor(f) if f.rank() > 0 => join(&mut dimmed, f.dtype()),
            Arg::Tensor(f) => join(&mut zero_d, f.dtype()),
            Arg::Bool(_) => join(&mut number, DType::Bool),
            Arg::Int(_) => join(&mut number, DType::I64),
            Arg::Float(_) => join(&mut number, DType::F32),
            Arg::Complex(..) => join(&mut number, DType::C64),
            _ => {}
        }
    }
    // A lower-priority operand matters only if its category is higher.
    let combine = |high: Option<DType>, low: Option<DType>| match (high, low) {
        (Some(h), Some(l)) if Category::of(l) > Category::of(h) => Some(match Category::of(l) {
            // A Python float with an f64 0-d tensor etc. keeps the higher operand's precision where it has one.
            Category::Complex if Category::of(h) == Category::Float => h.to_complex().unwrap_or(l),
            _ => l,
        }),
        (Some(h), _) => Some(h),
        (None, l) => l,
    };
    combine(dimmed, combine(zero_d, number))
}

/// What functions of floats compute integers and booleans in: PyTorch's default dtype, f32.
pub fn to_float(dtype: DType) -> DType {
    if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F32 }
}

/// What sums and products of integers and booleans are in: i64.
pub fn to_sum(dtype: DType) -> DType {
    if dtype.is_int() || dtype == DType::Bool { DType::I64 } else { dtype }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pt2c_ir::dim::Dim;

    fn t(dtype: DType, shape: &[i64]) -> Arg<Fact> {
        Arg::Tensor(Fact::of(dtype, shape))
    }

    /// Results of `torch.result_type`.
    #[test]
    fn numbers_and_0d_tensors_are_weak() {
        use DType::*;
        let int = || Arg::Int(Dim::int(2));
        assert_eq!(result_type(&[t(F16, &[3]), Arg::Float(1.5)]), Some(F16));
        assert_eq!(result_type(&[t(I32, &[3]), Arg::Float(1.5)]), Some(F32));
        assert_eq!(result_type(&[t(U8, &[3]), int()]), Some(U8));
        assert_eq!(result_type(&[t(Bool, &[3]), int()]), Some(I64));
        assert_eq!(result_type(&[t(F32, &[3]), t(F64, &[])]), Some(F32));
        assert_eq!(result_type(&[t(I64, &[3]), t(F64, &[])]), Some(F64));
        assert_eq!(result_type(&[t(I8, &[]), t(U8, &[])]), Some(I16));
        assert_eq!(result_type(&[t(F64, &[3]), Arg::Complex(0.0, 1.0)]), Some(C128));
        assert_eq!(promote_types(F16, BF16), F32);
        assert_eq!(promote_types(I64, F16), F16);
        assert_eq!(promote_types(C64, F64), C128);
    }
}
