//! Expressions over the model's symbols in the form that the descriptor holds: a postfix program plus its text.

use pt2c_abi::{EvalError, Op};

/// An integer expression over the symbols of a [`crate::LibrarySpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// The postfix program; `Op::Symbol(i)` is the spec's symbol `i`.
    pub ops: Vec<Op>,
    /// The expression as a reader of the header or of an error message should see it.
    pub text: String,
}

impl Expr {
    /// A number.
    pub fn constant(value: i64) -> Expr {
        Expr { ops: vec![Op::Const(value)], text: value.to_string() }
    }

    /// A symbol by its index and its name.
    pub fn symbol(index: u32, name: &str) -> Expr {
        Expr { ops: vec![Op::Symbol(index)], text: name.to_owned() }
    }

    /// A program with its text.
    pub fn new(ops: Vec<Op>, text: impl Into<String>) -> Expr {
        Expr { ops, text: text.into() }
    }

    /// The value if no symbol occurs.
    pub fn as_constant(&self) -> Option<i64> {
        if self.symbols().is_empty() { self.evaluate(&[]).ok() } else { None }
    }

    /// The value at the given symbols.
    pub fn evaluate(&self, symbols: &[i64]) -> Result<i64, EvalError> {
        pt2c_abi::evaluate(&self.encode(), symbols)
    }

    /// The words of the program.
    pub fn encode(&self) -> Vec<i64> {
        let mut words = Vec::with_capacity(2 * self.ops.len());
        for op in &self.ops {
            let (code, operand) = op.encode();
            words.push(code);
            words.extend(operand);
        }
        words
    }

    /// The symbols that occur, ascending and without repetition.
    pub fn symbols(&self) -> Vec<u32> {
        let mut symbols: Vec<u32> =
            self.ops.iter().filter_map(|op| if let Op::Symbol(index) = op { Some(*index) } else { None }).collect();
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    }

    /// The expression as `scale · symbol + rest` where `rest` does not hold the symbol; `None` where it is not of that form.
    pub fn linear_in(&self, symbol: u32) -> Option<(i64, Expr)> {
        // Abstract evaluation: every stack entry is (coefficient of the symbol, program of the rest).
        let mut stack: Vec<(i64, Vec<Op>)> = Vec::new();
        for &op in &self.ops {
            let entry = match op {
                Op::Symbol(index) if index == symbol => (1, vec![Op::Const(0)]),
                Op::Const(_) | Op::Symbol(_) => (0, vec![op]),
                Op::Neg => {
                    let (scale, mut rest) = stack.pop()?;
                    rest.push(Op::Neg);
                    (scale.checked_neg()?, rest)
                }
                Op::Abs | Op::Not | Op::ToFloat | Op::FNeg | Op::FFloor | Op::FCeil | Op::FTrunc | Op::FRound => {
                    let (scale, mut rest) = stack.pop()?;
                    rest.push(op);
                    (scale == 0).then_some((0, rest))?
                }
                Op::Select => {
                    let (b, a, c) = (stack.pop()?, stack.pop()?, stack.pop()?);
                    (a.0 == 0 && b.0 == 0 && c.0 == 0).then_some(())?;
                    (0, [c.1, a.1, b.1, vec![op]].concat())
                }
                _ => {
                    let (b, a) = (stack.pop()?, stack.pop()?);
                    let scale = match op {
                        _ if a.0 == 0 && b.0 == 0 => 0,
                        Op::Add => a.0.checked_add(b.0)?,
                        Op::Sub => a.0.checked_sub(b.0)?,
                        Op::Mul if b.0 == 0 => a.0.checked_mul(constant(&b.1)?)?,
                        Op::Mul if a.0 == 0 => b.0.checked_mul(constant(&a.1)?)?,
                        _ => return None,
                    };
                    (scale, [a.1, b.1, vec![op]].concat())
                }
            };
            stack.push(entry);
        }
        let (scale, ops) = stack.pop()?;
        if scale == 0 || !stack.is_empty() {
            return None;
        }
        let rest = Expr::new(ops, "");
        // The rest is often a sum of zeros; keep it short where it is a number.
        Some((scale, rest.as_constant().map_or(rest, Expr::constant)))
    }
}

fn constant(ops: &[Op]) -> Option<i64> {
    Expr::new(ops.to_vec(), "").as_constant()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_linear_forms() {
        // 2*s0 + 3 - s1, in s0: 2·s0 + (3 - s1); in s1: -1·s1 + ….
        let expr = Expr::new(
            vec![Op::Const(2), Op::Symbol(0), Op::Mul, Op::Const(3), Op::Add, Op::Symbol(1), Op::Sub],
            "2*s0 + 3 - s1",
        );
        let (scale, rest) = expr.linear_in(0).unwrap();
        assert_eq!((scale, rest.evaluate(&[100, 10])), (2, Ok(-7)));
        let (scale, rest) = expr.linear_in(1).unwrap();
        assert_eq!((scale, rest.evaluate(&[4, 100])), (-1, Ok(11)));
        assert_eq!(expr.linear_in(2), None);
        let square = Expr::new(vec![Op::Symbol(0), Op::Symbol(0), Op::Mul], "s0**2");
        assert_eq!(square.linear_in(0), None);
        let half = Expr::new(vec![Op::Symbol(0), Op::Const(2), Op::FloorDiv], "s0//2");
        assert_eq!(half.linear_in(0), None);
    }
}
