//! The keyed table from elementwise primitives to scalar operations.

use crate::{BinaryOp, CompareOp, UnaryOp};

/// What an elementwise primitive is, one element at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar {
    Unary(UnaryOp),
    Binary(BinaryOp),
    Compare(CompareOp),
}

/// Elementwise primitives by name, without the namespace.
pub const TABLE: &[(&str, Scalar)] = &[
    ("neg", Scalar::Unary(UnaryOp::Neg)),
    ("abs", Scalar::Unary(UnaryOp::Abs)),
    ("sign", Scalar::Unary(UnaryOp::Sign)),
    ("ceil", Scalar::Unary(UnaryOp::Ceil)),
    ("floor", Scalar::Unary(UnaryOp::Floor)),
    ("round", Scalar::Unary(UnaryOp::Round)),
    ("trunc", Scalar::Unary(UnaryOp::Trunc)),
    ("not", Scalar::Unary(UnaryOp::Not)),
    ("is_nan", Scalar::Unary(UnaryOp::IsNan)),
    ("is_inf", Scalar::Unary(UnaryOp::IsInf)),
    ("signbit", Scalar::Unary(UnaryOp::SignBit)),
    ("exp", Scalar::Unary(UnaryOp::Exp)),
    ("exp2", Scalar::Unary(UnaryOp::Exp2)),
    ("expm1", Scalar::Unary(UnaryOp::Expm1)),
    ("log", Scalar::Unary(UnaryOp::Log)),
    ("log2", Scalar::Unary(UnaryOp::Log2)),
    ("log10", Scalar::Unary(UnaryOp::Log10)),
    ("log1p", Scalar::Unary(UnaryOp::Log1p)),
    ("sqrt", Scalar::Unary(UnaryOp::Sqrt)),
    ("rsqrt", Scalar::Unary(UnaryOp::Rsqrt)),
    ("reciprocal", Scalar::Unary(UnaryOp::Reciprocal)),
    ("sin", Scalar::Unary(UnaryOp::Sin)),
    ("cos", Scalar::Unary(UnaryOp::Cos)),
    ("tan", Scalar::Unary(UnaryOp::Tan)),
    ("asin", Scalar::Unary(UnaryOp::Asin)),
    ("acos", Scalar::Unary(UnaryOp::Acos)),
    ("atan", Scalar::Unary(UnaryOp::Atan)),
    ("sinh", Scalar::Unary(UnaryOp::Sinh)),
    ("cosh", Scalar::Unary(UnaryOp::Cosh)),
    ("tanh", Scalar::Unary(UnaryOp::Tanh)),
    ("asinh", Scalar::Unary(UnaryOp::Asinh)),
    ("acosh", Scalar::Unary(UnaryOp::Acosh)),
    ("atanh", Scalar::Unary(UnaryOp::Atanh)),
    ("erf", Scalar::Unary(UnaryOp::Erf)),
    ("erfc", Scalar::Unary(UnaryOp::Erfc)),
    ("erfinv", Scalar::Unary(UnaryOp::Erfinv)),
    ("lgamma", Scalar::Unary(UnaryOp::Lgamma)),
    ("digamma", Scalar::Unary(UnaryOp::Digamma)),
    ("sigmoid", Scalar::Unary(UnaryOp::Sigmoid)),
    ("gelu", Scalar::Unary(UnaryOp::Gelu)),
    ("add", Scalar::Binary(BinaryOp::Add)),
    ("sub", Scalar::Binary(BinaryOp::Sub)),
    ("mul", Scalar::Binary(BinaryOp::Mul)),
    ("div", Scalar::Binary(BinaryOp::Div)),
    ("div_floor", Scalar::Binary(BinaryOp::DivFloor)),
    ("div_trunc", Scalar::Binary(BinaryOp::DivTrunc)),
    ("rem_floor", Scalar::Binary(BinaryOp::RemFloor)),
    ("rem_trunc", Scalar::Binary(BinaryOp::RemTrunc)),
    ("pow", Scalar::Binary(BinaryOp::Pow)),
    ("atan2", Scalar::Binary(BinaryOp::Atan2)),
    ("max", Scalar::Binary(BinaryOp::Max)),
    ("min", Scalar::Binary(BinaryOp::Min)),
    ("fmax", Scalar::Binary(BinaryOp::FMax)),
    ("fmin", Scalar::Binary(BinaryOp::FMin)),
    ("and", Scalar::Binary(BinaryOp::And)),
    ("or", Scalar::Binary(BinaryOp::Or)),
    ("xor", Scalar::Binary(BinaryOp::Xor)),
    ("shl", Scalar::Binary(BinaryOp::Shl)),
    ("shr", Scalar::Binary(BinaryOp::Shr)),
    ("copysign", Scalar::Binary(BinaryOp::CopySign)),
    ("nextafter", Scalar::Binary(BinaryOp::NextAfter)),
    ("hypot", Scalar::Binary(BinaryOp::Hypot)),
    ("eq", Scalar::Compare(CompareOp::Eq)),
    ("ne", Scalar::Compare(CompareOp::Ne)),
    ("lt", Scalar::Compare(CompareOp::Lt)),
    ("le", Scalar::Compare(CompareOp::Le)),
    ("gt", Scalar::Compare(CompareOp::Gt)),
    ("ge", Scalar::Compare(CompareOp::Ge)),
];

/// The scalar operation of `prim.NAME`.
pub fn scalar_of(op: &str) -> Option<Scalar> {
    let name = op.strip_prefix("prim.")?;
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
}
