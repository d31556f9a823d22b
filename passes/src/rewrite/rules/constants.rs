//! Numbers known now.

use super::{Roots, Rule, Site};
use crate::decompose::Val;
use crate::rewrite::engine::Engine;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::Scalar;

/// The theme.
pub const RULES: &[Rule] = &[Rule {
    name: "fold_uniform",
    about: "elementwise work on operands that are one number everywhere is that number",
    roots: Roots::Pointwise,
    depth: None,
    apply: fold_uniform,
}];

fn fold_uniform(r: &mut Engine<'_>, s: &Site<'_>) -> Option<Val> {
    let value = r.uniform(s.class)?;
    let dtype = r.dtype(s.class);
    let value = match value {
        Scalar::Float(x) => Arg::Float(x),
        Scalar::Int(i) if dtype == DType::U64 && i < 0 => return None,
        Scalar::Int(i) => Arg::Int(Dim::int(i)),
        Scalar::Bool(b) => Arg::Bool(b),
        Scalar::Complex(z) => Arg::Complex(z.re, z.im),
    };
    let shape = r.shape(s.class).to_vec();
    r.b().full(&shape, &value, dtype).ok()
}
