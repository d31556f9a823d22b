//! Symbolic dimensions: integer expressions over symbols, what is known about the symbols, and
//! three-valued proofs.
//!
//! Every symbolic integer of a program is a [`Dim`]: a canonical expression over root symbols (sizes
//! such as `s77`, data-dependent integers such as `u0`) or over loop variables. Two expressions that
//! are `==` have equal values; [`Scope::prove`] decides more, from ranges and asserted facts.
//!
//! A binary operation between a dimension and 1 that "broadcasts" is not `Max`: whether a dimension
//! is 1 must be decided by a proof, never assumed.
//!
//! Where things are: `expr` the representation, `arith`/`division`/`extremum`/`pred` the canonical
//! constructors, `eval`/`affine`/`display`/`postfix` what can be read off an expression, `scope`,
//! `assume`, `interval`, `bounds`, `prove`,
//! `simplify` the reasoning, `parse` the three input notations.

mod affine;
mod arith;
mod assume;
mod bounds;
mod display;
mod division;
mod eval;
mod expr;
mod extremum;
mod interval;
mod order;
mod parse;
mod postfix;
mod pred;
mod prove;
mod scope;
mod simplify;
mod symbol;
#[cfg(test)]
mod tests;

pub use eval::{EvalError, Lookup};
pub use expr::{Dim, Func, Kind, Sum, Term};
pub use interval::Interval;
pub use parse::{
    Guard, InputProperty, InputRef, ParseError, PathStep, parse_guard, parse_plain, parse_plain_pred, parse_srepr,
    parse_srepr_pred,
};
pub use postfix::{PostfixOp, run_postfix};
pub use pred::Pred;
pub use scope::{Proof, Scope};
pub use symbol::Symbol;
