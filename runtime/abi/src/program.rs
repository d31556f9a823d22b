//! Postfix programs over 64-bit integers: the sizes, offsets and rules of a model with symbolic dimensions.
//!
//! A program is a sequence of words. An operation is one word, `Const` and `Symbol` are followed by one word more.
//! Evaluation works on a stack of at most [`MAX_STACK`] words and checks every step for overflow and division by zero. Words of a few
//! operations hold the bits of an `f64` (`torch` computes sizes through floats in `interpolate` and `round`): which
//! words are floats follows from the operations.

/// Deepest stack that a program may need.
pub const MAX_STACK: usize = 64;

/// Why a program has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// An intermediate value does not fit into 64 bits.
    Overflow,
    /// Division or modulo by zero.
    DivisionByZero,
    /// Not a program: unknown operation, missing operand, symbol out of range, too deep.
    Malformed,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// One step of a program. Binary operations take `a b` from the stack, `b` on top.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Op {
            /// Pushes an integer (or, by its bits, a float).
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
    Add = 2;
    Sub = 3;
    Mul = 4;
    Neg = 5;
    /// Rounds towards minus infinity, as Python's `//`.
    FloorDiv = 6;
    /// Rounds towards plus infinity.
    CeilDiv = 7;
    /// Rounds towards zero, as C.
    TruncDiv = 8;
    /// The remainder with the divisor's sign, as Python's `%`.
    Mod = 9;
    Min = 10;
    Max = 11;
    /// `a` to the power `b`, `b >= 0`.
    Pow = 12;
    /// `a << b`, `b` in `0..63`.
    Shl = 13;
    /// `a >> b` (arithmetic).
    Shr = 14;
    Abs = 15;
    /// Comparisons give 1 or 0.
    Eq = 16;
    Ne = 17;
    Lt = 18;
    Le = 19;
    Gt = 20;
    Ge = 21;
    /// Truth values: non-zero is true.
    And = 22;
    Or = 23;
    Not = 24;
    /// `c a b` → `a` where `c` is non-zero, else `b`.
    Select = 25;
    /// Integer → float.
    ToFloat = 32;
    FAdd = 33;
    FSub = 34;
    FMul = 35;
    FDiv = 36;
    FNeg = 37;
    FMin = 38;
    FMax = 39;
    FEq = 40;
    FNe = 41;
    FLt = 42;
    FLe = 43;
    /// Float → integer, towards minus infinity.
    FFloor = 44;
    /// Float → integer, towards plus infinity.
    FCeil = 45;
    /// Float → integer, towards zero.
    FTrunc = 46;
    /// Float → nearest integer, ties to even, as Python's `round`.
    FRound = 47;
}

/// The value of a program.
pub fn evaluate(words: &[i64], symbols: &[i64]) -> Result<i64, EvalError> {
    let mut stack = Stack { words: [0; MAX_STACK], depth: 0 };
    let mut rest = words;
    while !rest.is_empty() {
        let (op, taken) = Op::decode(rest).ok_or(EvalError::Malformed)?;
        rest = rest.get(taken..).ok_or(EvalError::Malformed)?;
        step(op, &mut stack, symbols)?;
    }
    let value = stack.pop()?;
    if stack.depth != 0 { Err(EvalError::Malformed) } else { Ok(value) }
}

/// The value stack of one evaluation.
struct Stack {
    words: [i64; MAX_STACK],
    depth: usize,
}

impl Stack {
    fn push(&mut self, value: i64) -> Result<(), EvalError> {
        *self.words.get_mut(self.depth).ok_or(EvalError::Malformed)? = value;
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Result<i64, EvalError> {
        self.depth = self.depth.checked_sub(1).ok_or(EvalError::Malformed)?;
        self.words.get(self.depth).copied().ok_or(EvalError::Malformed)
    }

    fn pop_float(&mut self) -> Result<f64, EvalError> {
        Ok(f64::from_bits(self.pop()? as u64))
    }
}

fn step(op: Op, stack: &mut Stack, symbols: &[i64]) -> Result<(), EvalError> {
    use EvalError::{DivisionByZero, Malformed, Overflow};
    let value = match op {
        Op::Const(value) => value,
        Op::Symbol(index) => *symbols.get(index as usize).ok_or(Malformed)?,
        Op::Neg => stack.pop()?.checked_neg().ok_or(Overflow)?,
        Op::Abs => stack.pop()?.checked_abs().ok_or(Overflow)?,
        Op::Not => i64::from(stack.pop()? == 0),
        Op::Select => {
            let (b, a, c) = (stack.pop()?, stack.pop()?, stack.pop()?);
            if c != 0 { a } else { b }
        }
        Op::ToFloat => (stack.pop()? as f64).to_bits() as i64,
        Op::FNeg => (-stack.pop_float()?).to_bits() as i64,
        Op::FFloor | Op::FCeil | Op::FTrunc | Op::FRound => round(op, stack.pop_float()?)?,
        Op::FAdd | Op::FSub | Op::FMul | Op::FDiv | Op::FMin | Op::FMax | Op::FEq | Op::FNe | Op::FLt | Op::FLe => {
            let (b, a) = (stack.pop_float()?, stack.pop_float()?);
            match op {
                Op::FAdd => (a + b).to_bits() as i64,
                Op::FSub => (a - b).to_bits() as i64,
                Op::FMul => (a * b).to_bits() as i64,
                Op::FDiv if b == 0.0 => return Err(DivisionByZero),
                Op::FDiv => (a / b).to_bits() as i64,
                Op::FMin => a.min(b).to_bits() as i64,
                Op::FMax => a.max(b).to_bits() as i64,
                Op::FEq => i64::from(a == b),
                Op::FNe => i64::from(a != b),
                Op::FLt => i64::from(a < b),
                _ => i64::from(a <= b),
            }
        }
        _ => {
            let (b, a) = (stack.pop()?, stack.pop()?);
            integer_binary(op, a, b)?
        }
    };
    stack.push(value)
}

fn integer_binary(op: Op, a: i64, b: i64) -> Result<i64, EvalError> {
    use EvalError::{DivisionByZero, Malformed, Overflow};
    let divides = matches!(op, Op::FloorDiv | Op::CeilDiv | Op::TruncDiv | Op::Mod);
    if divides && b == 0 {
        return Err(DivisionByZero);
    }
    match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::TruncDiv => a.checked_div(b),
        Op::FloorDiv => a.checked_div(b).map(|q| if a % b != 0 && ((a < 0) != (b < 0)) { q - 1 } else { q }),
        Op::CeilDiv => a.checked_div(b).map(|q| if a % b != 0 && ((a < 0) == (b < 0)) { q + 1 } else { q }),
        Op::Mod if b == -1 => Some(0),
        Op::Mod => a.checked_rem(b).map(|r| if r != 0 && ((r < 0) != (b < 0)) { r + b } else { r }),
        Op::Min => Some(a.min(b)),
        Op::Max => Some(a.max(b)),
        Op::Pow => match a {
            // Any exponent is legal for these bases, even one beyond 32 bits.
            _ if b < 0 => None,
            0 | 1 => Some(if b == 0 { 1 } else { a }),
            -1 => Some(if b % 2 == 0 { 1 } else { -1 }),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        },
        Op::Shl => match u32::try_from(b) {
            Ok(b) if b < 63 => a.checked_mul(1i64 << b),
            _ => None,
        },
        Op::Shr => match u32::try_from(b) {
            Ok(b) => Some(a >> b.min(63)),
            Err(_) => None,
        },
        Op::Eq => Some(i64::from(a == b)),
        Op::Ne => Some(i64::from(a != b)),
        Op::Lt => Some(i64::from(a < b)),
        Op::Le => Some(i64::from(a <= b)),
        Op::Gt => Some(i64::from(a > b)),
        Op::Ge => Some(i64::from(a >= b)),
        Op::And => Some(i64::from(a != 0 && b != 0)),
        Op::Or => Some(i64::from(a != 0 || b != 0)),
        _ => return Err(Malformed),
    }
    .ok_or(Overflow)
}

/// Float → integer without `libm`: the cast truncates, the remainder says which neighbour is meant.
fn round(op: Op, x: f64) -> Result<i64, EvalError> {
    // 2^63 is the first float beyond i64; NaN fails the comparison as well.
    if !(-9223372036854775808.0..9223372036854775808.0).contains(&x) {
        return Err(EvalError::Overflow);
    }
    let truncated = x as i64;
    let rest = x - truncated as f64;
    Ok(match op {
        Op::FFloor if rest < 0.0 => truncated - 1,
        Op::FCeil if rest > 0.0 => truncated + 1,
        Op::FRound if rest > 0.5 || (rest == 0.5 && truncated % 2 != 0) => truncated + 1,
        Op::FRound if rest < -0.5 || (rest == -0.5 && truncated % 2 != 0) => truncated - 1,
        _ => truncated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ops: &[Op], symbols: &[i64]) -> Result<i64, EvalError> {
        let mut words = [0i64; 256];
        let mut n = 0;
        for op in ops {
            let (code, operand) = op.encode();
            words[n] = code;
            n += 1;
            if let Some(operand) = operand {
                words[n] = operand;
                n += 1;
            }
        }
        evaluate(&words[..n], symbols)
    }

    fn binary(op: Op, a: i64, b: i64) -> Result<i64, EvalError> {
        run(&[Op::Const(a), Op::Const(b), op], &[])
    }

    #[test]
    fn divisions_round_as_python_does() {
        // Expected values from Python: a // b, -(-a // b), a % b.
        for (a, b, floor, ceil, modulo) in
            [(7, 2, 3, 4, 1), (-7, 2, -4, -3, 1), (7, -2, -4, -3, -1), (-7, -2, 3, 4, -1), (6, 3, 2, 2, 0)]
        {
            assert_eq!(binary(Op::FloorDiv, a, b), Ok(floor), "{a} // {b}");
            assert_eq!(binary(Op::CeilDiv, a, b), Ok(ceil), "-(-{a} // {b})");
            assert_eq!(binary(Op::Mod, a, b), Ok(modulo), "{a} % {b}");
        }
        assert_eq!(binary(Op::FloorDiv, 1, 0), Err(EvalError::DivisionByZero));
        assert_eq!(binary(Op::FloorDiv, i64::MIN, -1), Err(EvalError::Overflow));
        assert_eq!(binary(Op::Mod, i64::MIN, -1), Ok(0));
    }

    #[test]
    fn overflow_is_an_error() {
        assert_eq!(binary(Op::Mul, i64::MAX, 2), Err(EvalError::Overflow));
        assert_eq!(binary(Op::Add, i64::MAX, 1), Err(EvalError::Overflow));
        assert_eq!(binary(Op::Pow, 2, 62), Ok(1 << 62));
        assert_eq!(binary(Op::Pow, 2, 63), Err(EvalError::Overflow));
        assert_eq!(binary(Op::Shl, 1, 62), Ok(1 << 62));
        assert_eq!(binary(Op::Shl, 2, 62), Err(EvalError::Overflow));
    }

    #[test]
    fn floats_round_to_even() {
        for (x, floor, ceil, round) in
            [(2.5, 2, 3, 2), (3.5, 3, 4, 4), (-2.5, -3, -2, -2), (-0.5, -1, 0, 0), (1e3, 1000, 1000, 1000)]
        {
            let bits = Op::Const(f64::to_bits(x) as i64);
            assert_eq!(run(&[bits, Op::FFloor], &[]), Ok(floor));
            assert_eq!(run(&[bits, Op::FCeil], &[]), Ok(ceil));
            assert_eq!(run(&[bits, Op::FRound], &[]), Ok(round));
        }
        assert_eq!(run(&[Op::Const(f64::NAN.to_bits() as i64), Op::FFloor], &[]), Err(EvalError::Overflow));
    }

    #[test]
    fn symbols_and_malformed_programs() {
        assert_eq!(run(&[Op::Symbol(0), Op::Symbol(1), Op::Mul], &[3, 5]), Ok(15));
        assert_eq!(run(&[Op::Symbol(2)], &[3, 5]), Err(EvalError::Malformed));
        assert_eq!(run(&[Op::Add], &[]), Err(EvalError::Malformed));
        assert_eq!(run(&[Op::Const(1), Op::Const(2)], &[]), Err(EvalError::Malformed));
        assert_eq!(evaluate(&[99], &[]), Err(EvalError::Malformed));
        assert_eq!(evaluate(&[], &[]), Err(EvalError::Malformed));
    }
}
