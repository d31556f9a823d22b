//! Quantisation operators follow their formulas in the operator table.

use super::{Builder, Decomposition, Val};
use pt2c_ir::{Arg, Fact};
use pt2c_ops::aten::quantized::{Arithmetic, formula};
use pt2c_ops::{Call, OpError};

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("quantized_decomposed.quantize_per_tensor.default", decompose),
    ("quantized_decomposed.quantize_per_tensor.tensor", decompose),
    ("quantized_decomposed.dequantize_per_tensor.default", decompose),
    ("quantized_decomposed.dequantize_per_tensor.tensor", decompose),
    ("quantized_decomposed.quantize_per_channel.default", decompose),
    ("quantized_decomposed.dequantize_per_channel.default", decompose),
    ("quantized_decomposed.choose_qparams.tensor", decompose),
    ("quantized_decomposed.choose_qparams_symmetric.tensor", decompose),
    ("quantized_decomposed.choose_qparams_per_token_asymmetric.default", decompose),
    ("quantized_decomposed.quantize_per_token.default", decompose),
    ("quantized_decomposed.dequantize_per_token.default", decompose),
];

struct Emitter<'a, 'b>(&'a mut Builder<'b>);

impl Arithmetic<Val> for Emitter<'_, '_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Val, OpError> {
        self.0.one(op, args)
    }

    fn fact(&self, value: &Val) -> Fact {
        self.0.fact(*value)
    }
}

fn decompose(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Result<Vec<Val>, OpError> {
    formula(c, &mut Emitter(b))
}
