//! Checks that exported programs carry.

use crate::{Call, OpDef, OpError, Tags, Tensor};
use pt2c_ir::{Arg, Fact};

/// A check that the exporter has already made: types, devices, ranges of symbols (which are constraints by now).
macro_rules! checked {
    ($schema:literal) => {
        OpDef::new($schema, none, |_| Ok(Vec::new()))
    };
}

/// A check of a value.
macro_rules! check {
    ($schema:literal, $message:expr) => {
        OpDef::new($schema, none, |c| check(c, $message)).tagged(Tags::EFFECT)
    };
}

/// The family.
pub const OPS: &[OpDef] = &[
    check!("_assert_async(Tensor self) -> ()", None),
    check!("_assert_async.msg(Tensor self, str assert_msg) -> ()", Some("assert_msg")),
    check!("_assert_scalar(Scalar self, str assert_msg) -> ()", Some("assert_msg")),
    checked!(
        "_assert_tensor_metadata(Tensor a, SymInt[]? size=None, SymInt[]? stride=None, ScalarType? dtype=None, *, Device? device=None, Layout? layout=None) -> ()"
    ),
    checked!("sym_constrain_range(Scalar size, *, int? min=None, int? max=None) -> ()"),
    checked!("sym_constrain_range_for_size(Scalar size, *, int? min=None, int? max=None) -> ()"),
];

fn none(_: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    Ok(Vec::new())
}

fn check(c: &Call<'_, Tensor>, message: Option<&str>) -> Result<Vec<Tensor>, OpError> {
    let holds = match c.arg("self")? {
        Arg::Tensor(t) => (0..t.numel()).all(|i| t.get(i).to_bool()),
        _ => c.number("self")?.to_bool(),
    };
    let message = message.map_or(Ok("an assertion failed"), |m| c.str(m))?;
    if holds { Ok(Vec::new()) } else { Err(OpError::Runtime(message.to_string())) }
}
