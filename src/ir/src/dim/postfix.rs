//! Stack programs of expressions and predicates, for the constraint table that the runtime checks at
//! the library's entry.
//!
//! A stack slot holds a 64-bit integer (predicates: 1 or 0) or "undefined". An operation whose
//! operand is undefined, that overflows, or that divides by zero gives undefined, with three
//! exceptions that stand for Python's short-circuiting: `And` gives 0 where its *first* operand is 0,
//! `Or` gives 1 where its first operand is 1, and `Select` needs only the operand that it chooses.
//! A constraint whose result is undefined is violated.

use super::division::{floor_div_i64, floor_mod_i64};
use super::eval::{Lookup, power_i64};
use super::expr::{Dim, Func, Kind};
use super::pred::Pred;
use super::symbol::Symbol;

/// One instruction of a stack program. Binary operations pop the right operand first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PostfixOp {
    /// Pushes a constant.
    PushConst(i64),
    /// Pushes a symbol's value.
    PushSymbol(Symbol),
    /// Pushes "undefined".
    PushUndefined,
    /// `a + b`
    Add,
    /// `a * b`
    Mul,
    /// `a // b`, rounding towards minus infinity.
    FloorDiv,
    /// `a % b` with the divisor's sign.
    Mod,
    /// The greater.
    Max,
    /// The lesser.
    Min,
    /// `a ** b`; undefined for a negative exponent.
    Pow,
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// Logical and of two predicates.
    And,
    /// Logical or of two predicates.
    Or,
    /// Pops `b`, `a`, `p` and pushes `a` where `p` is 1, else `b`.
    Select,
}

impl Dim {
    /// The stack program that computes this expression.
    pub fn to_postfix(&self) -> Vec<PostfixOp> {
        let mut program = Vec::new();
        push_dim(self, &mut program);
        program
    }
}

impl Pred {
    /// The stack program that computes whether this predicate holds (1 or 0).
    pub fn to_postfix(&self) -> Vec<PostfixOp> {
        let mut program = Vec::new();
        push_pred(self, &mut program);
        program
    }
}

fn push_dim(dim: &Dim, out: &mut Vec<PostfixOp>) {
    let binary = |a: &Dim, b: &Dim, op: PostfixOp, out: &mut Vec<PostfixOp>| {
        push_dim(a, out);
        push_dim(b, out);
        out.push(op);
    };
    let chain = |args: &[Dim], op: PostfixOp, out: &mut Vec<PostfixOp>| {
        for (at, arg) in args.iter().enumerate() {
            push_dim(arg, out);
            if at > 0 {
                out.push(op.clone());
            }
        }
    };
    match dim.kind() {
        Kind::Int(value) => out.push(PostfixOp::PushConst(value)),
        Kind::Symbol(symbol) => out.push(PostfixOp::PushSymbol(symbol.clone())),
        Kind::Sum(sum) => {
            for (at, term) in sum.terms.iter().enumerate() {
                for (position, (factor, power)) in term.factors.iter().enumerate() {
                    push_dim(factor, out);
                    if *power != 1 {
                        out.push(PostfixOp::PushConst(i64::from(*power)));
                        out.push(PostfixOp::Pow);
                    }
                    if position > 0 {
                        out.push(PostfixOp::Mul);
                    }
                }
                if term.coeff != 1 {
                    out.push(PostfixOp::PushConst(term.coeff));
                    out.push(PostfixOp::Mul);
                }
                if at > 0 {
                    out.push(PostfixOp::Add);
                }
            }
            if sum.constant != 0 {
                out.push(PostfixOp::PushConst(sum.constant));
                out.push(PostfixOp::Add);
            }
        }
        Kind::Func(func) => match func {
            Func::FloorDiv(a, b) => binary(a, b, PostfixOp::FloorDiv, out),
            Func::Mod(a, b) => binary(a, b, PostfixOp::Mod, out),
            Func::Pow(a, b) => binary(a, b, PostfixOp::Pow, out),
            Func::RawAdd(a, b) => binary(a, b, PostfixOp::Add, out),
            Func::RawMul(a, b) => binary(a, b, PostfixOp::Mul, out),
            Func::Max(args) => chain(args, PostfixOp::Max, out),
            Func::Min(args) => chain(args, PostfixOp::Min, out),
            Func::Where(pred, a, b) => {
                push_pred(pred, out);
                push_dim(a, out);
                push_dim(b, out);
                out.push(PostfixOp::Select);
            }
            Func::TooLarge(_) => out.push(PostfixOp::PushUndefined),
        },
    }
}

fn push_pred(pred: &Pred, out: &mut Vec<PostfixOp>) {
    let compare = |a: &Dim, b: &Dim, op: PostfixOp, out: &mut Vec<PostfixOp>| {
        push_dim(a, out);
        push_dim(b, out);
        out.push(op);
    };
    // Joined from the right, so that an earlier part that decides is always a first operand.
    let join = |parts: &[Pred], op: PostfixOp, out: &mut Vec<PostfixOp>| {
        for part in parts {
            push_pred(part, out);
        }
        for _ in 1..parts.len() {
            out.push(op.clone());
        }
    };
    match pred {
        Pred::True => out.push(PostfixOp::PushConst(1)),
        Pred::False => out.push(PostfixOp::PushConst(0)),
        Pred::Eq(a, b) => compare(a, b, PostfixOp::Eq, out),
        Pred::Ne(a, b) => compare(a, b, PostfixOp::Ne, out),
        Pred::Lt(a, b) => compare(a, b, PostfixOp::Lt, out),
        Pred::Le(a, b) => compare(a, b, PostfixOp::Le, out),
        Pred::And(parts) if parts.is_empty() => out.push(PostfixOp::PushConst(1)),
        Pred::Or(parts) if parts.is_empty() => out.push(PostfixOp::PushConst(0)),
        Pred::And(parts) => join(parts, PostfixOp::And, out),
        Pred::Or(parts) => join(parts, PostfixOp::Or, out),
    }
}

/// Runs a stack program: the definition that the runtime's evaluator follows. `None` where the result
/// is undefined or the program is malformed.
pub fn run_postfix(program: &[PostfixOp], lookup: &Lookup<'_>) -> Option<i64> {
    let mut stack: Vec<Option<i64>> = Vec::new();
    for op in program {
        let value = match op {
            PostfixOp::PushConst(value) => Some(*value),
            PostfixOp::PushSymbol(symbol) => lookup(symbol),
            PostfixOp::PushUndefined => None,
            PostfixOp::Select => {
                let (otherwise, then, pred) = (stack.pop()?, stack.pop()?, stack.pop()?);
                match pred {
                    Some(0) => otherwise,
                    Some(_) => then,
                    None => None,
                }
            }
            _ => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                match (op, a, b) {
                    (PostfixOp::And, Some(0), _) => Some(0),
                    (PostfixOp::And, Some(_), b) => b,
                    (PostfixOp::Or, Some(0), b) => b,
                    (PostfixOp::Or, Some(_), _) => Some(1),
                    (op, Some(a), Some(b)) => binary(op, a, b),
                    _ => None,
                }
            }
        };
        stack.push(value);
    }
    match stack.as_slice() {
        [result] => *result,
        _ => None,
    }
}

fn binary(op: &PostfixOp, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        PostfixOp::Add => a.checked_add(b)?,
        PostfixOp::Mul => a.checked_mul(b)?,
        PostfixOp::FloorDiv => floor_div_i64(a, b)?,
        PostfixOp::Mod if b == 0 => return None,
        PostfixOp::Mod => floor_mod_i64(a, b)?,
        PostfixOp::Max => a.max(b),
        PostfixOp::Min => a.min(b),
        PostfixOp::Pow => power_i64(a, b).ok()?,
        PostfixOp::Eq => i64::from(a == b),
        PostfixOp::Ne => i64::from(a != b),
        PostfixOp::Lt => i64::from(a < b),
        PostfixOp::Le => i64::from(a <= b),
        _ => return None,
    })
}
