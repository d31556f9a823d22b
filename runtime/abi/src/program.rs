//! Postfix programs over 64-bit integers: the sizes, offsets and rules of a model with symbolic dimensions.
//!
//! A program is a sequence of words. An operation is one word, `Const` and `Symbol` are followed by one word more. The
//! meaning is that of `pt2c_ir::dim::PostfixOp`: a value is a 64-bit integer (truth: 1 or 0) or undefined. What
//! overflows, divides by zero or has an undefined operand is undefined, except that `And` and `Or` look at their
//! second operand only where the first does not decide, and `Select` only at the operand that it chooses.

/// Deepest stack that a program may need.
pub const MAX_STACK: usize = 64;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// One step of a program. Binary operations take `a b` from the stack, `b` on top.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Op {
            /// Pushes an integer.
            Const(i64),
            /// Pushes the value of the symbol with this index.
            Symbol(u32),
            $($(#[$doc])* $name,)*
        }

        impl Op {
            /// The words of this operation: the code and, for the first two kinds, its operand.
            pub const fn encode(self) -> (i64, Option<i64>) {
                match self {
                    Op::Const(value) => (0, Some(value)),
                    Op::Symbol(index) => (1, Some(index as i64)),
                    $(Op::$name => ($code, None),)*
                }
            }

            /// Reads one operation; returns it with the number of words it took.
            pub fn decode(words: &[i64]) -> Option<(Op, usize)> {
                let code = *words.first()?;
                Some(match code {
                    0 => (Op::Const(*words.get(1)?), 2),
                    1 => (Op::Symbol(u32::try_from(*words.get(1)?).ok()?), 2),
                    $($code => (Op::$name, 1),)*
                    _ => return None,
                })
            }
        }
    };
}

operations! {
    /// Pushes "undefined".
    Undefined = 2;
    Add = 3;
    Mul = 4;
    /// Rounds towards minus infinity, as Python's `//`.
    FloorDiv = 5;
    /// The remainder with the divisor's sign, as Python's `%`.
    Mod = 6;
    Max = 7;
    Min = 8;
    /// `a` to the power `b`; undefined for a negative exponent.
    Pow = 9;
    Eq = 10;
    Ne = 11;
    Lt = 12;
    Le = 13;
    And = 14;
    Or = 15;
    /// Takes `p a b` and pushes `a` where `p` is true, else `b`.
    Select = 16;
}

/// The value of a program at the given symbols; `None` if it is undefined or not a program.
pub fn evaluate(words: &[i64], symbols: &[i64]) -> Option<i64> {
    let mut stack = Stack { values: [None; MAX_STACK], depth: 0 };
    let mut rest = words;
    while !rest.is_empty() {
        let (op, taken) = Op::decode(rest)?;
        rest = rest.get(taken..)?;
        let value = match op {
            Op::Const(value) => Some(value),
            Op::Symbol(index) => Some(*symbols.get(index as usize)?),
            Op::Undefined => None,
            Op::Select => {
                let (otherwise, then, condition) = (stack.pop()?, stack.pop()?, stack.pop()?);
                match condition {
                    Some(0) => otherwise,
                    Some(_) => then,
                    None => None,
                }
            }
            _ => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                match (op, a) {
                    (Op::And, Some(0)) => Some(0),
                    (Op::Or, Some(a)) if a != 0 => Some(1),
                    (Op::And | Op::Or, Some(_)) => b,
                    _ => a.zip(b).and_then(|(a, b)| binary(op, a, b)),
                }
            }
        };
        stack.push(value)?;
    }
    let value = stack.pop()?;
    if stack.depth == 0 { value } else { None }
}

/// The value stack of one evaluation.
struct Stack {
    values: [Option<i64>; MAX_STACK],
    depth: usize,
}

impl Stack {
    fn push(&mut self, value: Option<i64>) -> Option<()> {
        *self.values.get_mut(self.depth)? = value;
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<Option<i64>> {
        self.depth = self.depth.checked_sub(1)?;
        self.values.get(self.depth).copied()
    }
}

fn binary(op: Op, a: i64, b: i64) -> Option<i64> {
    match op {
        Op::Add => a.checked_add(b),
        Op::Mul => a.checked_mul(b),
        // `checked_…` gives `None` for a zero divisor and for the one quotient that overflows.
        Op::FloorDiv => a.checked_div(b).map(|q| if a % b != 0 && ((a < 0) != (b < 0)) { q - 1 } else { q }),
        Op::Mod if b == -1 => Some(0),
        Op::Mod => a.checked_rem(b).map(|r| if r != 0 && ((r < 0) != (b < 0)) { r + b } else { r }),
        Op::Max => Some(a.max(b)),
        Op::Min => Some(a.min(b)),
        Op::Pow => power(a, b),
        Op::Eq => Some(i64::from(a == b)),
        Op::Ne => Some(i64::from(a != b)),
        Op::Lt => Some(i64::from(a < b)),
        Op::Le => Some(i64::from(a <= b)),
        _ => None,
    }
}

fn power(base: i64, exponent: i64) -> Option<i64> {
    match base {
        _ if exponent < 0 => None,
        // Any exponent is legal for these bases, even one beyond 32 bits.
        0 | 1 => Some(if exponent == 0 { 1 } else { base }),
        -1 => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        _ => base.checked_pow(u32::try_from(exponent).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ops: &[Op], symbols: &[i64]) -> Option<i64> {
        let mut words = [0i64; 256];
        let mut n = 0;
        for op in ops {
            let (code, operand) = op.encode();
            for word in core::iter::once(code).chain(operand) {
                words[n] = word;
                n += 1;
            }
        }
        evaluate(&words[..n], symbols)
    }

    fn binary(op: Op, a: i64, b: i64) -> Option<i64> {
        run(&[Op::Const(a), Op::Const(b), op], &[])
    }

    #[test]
    fn divisions_round_as_python_does() {
        // Expected values from Python: a // b, a % b.
        for (a, b, floor, modulo) in [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (6, 3, 2, 0)] {
            assert_eq!(binary(Op::FloorDiv, a, b), Some(floor), "{a} // {b}");
            assert_eq!(binary(Op::Mod, a, b), Some(modulo), "{a} % {b}");
        }
        assert_eq!(binary(Op::FloorDiv, 1, 0), None);
        assert_eq!(binary(Op::Mod, 1, 0), None);
        assert_eq!(binary(Op::FloorDiv, i64::MIN, -1), None);
        assert_eq!(binary(Op::Mod, i64::MIN, -1), Some(0));
    }

    #[test]
    fn overflow_is_undefined() {
        assert_eq!(binary(Op::Mul, i64::MAX, 2), None);
        assert_eq!(binary(Op::Add, i64::MAX, 1), None);
        assert_eq!(binary(Op::Pow, 2, 62), Some(1 << 62));
        assert_eq!(binary(Op::Pow, 2, 63), None);
        assert_eq!(binary(Op::Pow, 2, -1), None);
        assert_eq!(binary(Op::Pow, -1, i64::MAX), Some(-1));
    }

    #[test]
    fn undefined_operands_matter_only_where_they_are_looked_at() {
        let divide = [Op::Const(1), Op::Const(0), Op::FloorDiv];
        let with = |head: &[Op], tail: &[Op]| {
            let mut ops = [Op::Undefined; 8];
            let mut n = 0;
            for op in head.iter().chain(&divide).chain(tail) {
                ops[n] = *op;
                n += 1;
            }
            run(&ops[..n], &[])
        };
        assert_eq!(with(&[Op::Const(0)], &[Op::And]), Some(0));
        assert_eq!(with(&[Op::Const(1)], &[Op::And]), None);
        assert_eq!(with(&[Op::Const(1)], &[Op::Or]), Some(1));
        assert_eq!(with(&[Op::Const(0)], &[Op::Or]), None);
        assert_eq!(with(&[Op::Const(1), Op::Const(7)], &[Op::Select]), Some(7));
        assert_eq!(with(&[Op::Const(0), Op::Const(7)], &[Op::Select]), None);
        assert_eq!(with(&[], &[Op::Const(1), Op::Or]), None);
    }

    #[test]
    fn symbols_and_malformed_programs() {
        assert_eq!(run(&[Op::Symbol(0), Op::Symbol(1), Op::Mul], &[3, 5]), Some(15));
        assert_eq!(run(&[Op::Symbol(2)], &[3, 5]), None);
        assert_eq!(run(&[Op::Add], &[]), None);
        assert_eq!(run(&[Op::Const(1), Op::Const(2)], &[]), None);
        assert_eq!(evaluate(&[99], &[]), None);
        assert_eq!(evaluate(&[], &[]), None);
    }
}
