//! The syntax tree of the Python expression subset, and its parser (precedence climbing).

use super::token::{Token, tokenize};
use super::{MAX_NESTING, MAX_NODES, MAX_TEXT, ParseError};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ast {
    Int(i128),
    Float(f64),
    Str(String),
    Name(String),
    Attr(Box<Ast>, String),
    Index(Box<Ast>, Box<Ast>),
    Call {
        callee: Box<Ast>,
        args: Vec<Ast>,
        kwargs: Vec<(String, Ast)>,
    },
    Neg(Box<Ast>),
    /// `not x` and `~x`
    Not(Box<Ast>),
    /// Summands with "is subtracted".
    Sum(Vec<(bool, Ast)>),
    Product(Vec<Ast>),
    Binary(BinaryOp, Box<Ast>, Box<Ast>),
    /// `a < b <= c`: the first operand and the following comparisons.
    Compare(Box<Ast>, Vec<(CompareOp, Ast)>),
    And(Vec<Ast>),
    Or(Vec<Ast>),
    /// `then if condition else otherwise`
    IfElse {
        condition: Box<Ast>,
        then: Box<Ast>,
        otherwise: Box<Ast>,
    },
    Tuple(Vec<Ast>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryOp {
    TrueDiv,
    FloorDiv,
    Mod,
    Pow,
    Shl,
    Shr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Parses the whole text.
pub(super) fn parse(text: &str) -> Result<Ast, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ParseError::Limit("text length"));
    }
    let mut parser = Parser { tokens: tokenize(text)?, next: 0, depth: 0 };
    // Every node comes from at least one token.
    if parser.tokens.len() > MAX_NODES {
        return Err(ParseError::Limit("number of nodes"));
    }
    let (ast, _) = parser.expression(LOWEST)?;
    match parser.peek() {
        Token::End => Ok(ast),
        _ => Err(parser.error("unexpected text after the expression")),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

/// Binding strengths, Python's order.
const LOWEST: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARE: u8 = 4;
const BIT_OR: u8 = 5;
const BIT_AND: u8 = 6;
const SHIFT: u8 = 7;
const ADD: u8 = 8;
const MUL: u8 = 9;
const UNARY: u8 = 10;
const POWER: u8 = 11;

/// An infix operator.
#[derive(Clone, Copy)]
enum Infix {
    Or,
    And,
    Compare(CompareOp),
    Add,
    Sub,
    Mul,
    Binary(BinaryOp),
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(t, _)| t)
    }

    fn error(&self, what: impl Into<String>) -> ParseError {
        let at = self.tokens.get(self.next).or(self.tokens.last());
        ParseError::syntax(at.map_or(0, |(_, at)| *at), what)
    }

    fn accept(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Token::Op(here) if *here == op);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, op: &str) -> Result<(), ParseError> {
        if self.accept(op) { Ok(()) } else { Err(self.error(format!("expected '{op}'"))) }
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        if found {
            self.next += 1;
        }
        found
    }

    /// The infix operator at the cursor and its strength.
    fn infix(&self) -> Option<(Infix, u8)> {
        Some(match self.peek() {
            Token::Name(name) => match name.as_str() {
                "or" => (Infix::Or, OR),
                "and" => (Infix::And, AND),
                _ => return None,
            },
            Token::Op(op) => match *op {
                "==" => (Infix::Compare(CompareOp::Eq), COMPARE),
                "!=" => (Infix::Compare(CompareOp::Ne), COMPARE),
                "<" => (Infix::Compare(CompareOp::Lt), COMPARE),
                "<=" => (Infix::Compare(CompareOp::Le), COMPARE),
                ">" => (Infix::Compare(CompareOp::Gt), COMPARE),
                ">=" => (Infix::Compare(CompareOp::Ge), COMPARE),
                "|" => (Infix::Or, BIT_OR),
                "&" => (Infix::And, BIT_AND),
                "<<" => (Infix::Binary(BinaryOp::Shl), SHIFT),
                ">>" => (Infix::Binary(BinaryOp::Shr), SHIFT),
                "+" => (Infix::Add, ADD),
                "-" => (Infix::Sub, ADD),
                "*" => (Infix::Mul, MUL),
                "/" => (Infix::Binary(BinaryOp::TrueDiv), MUL),
                "//" => (Infix::Binary(BinaryOp::FloorDiv), MUL),
                "%" => (Infix::Binary(BinaryOp::Mod), MUL),
                "**" => (Infix::Binary(BinaryOp::Pow), POWER),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// One more than the greatest height of the parts, checked against the limit. The tree's own height
    /// counts, as a chain such as `a // b // c` nests without the parser's nesting.
    fn above(&self, parts: impl IntoIterator<Item = usize>) -> Result<usize, ParseError> {
        let height = parts.into_iter().max().unwrap_or(0) + 1;
        if height > MAX_NESTING {
            return Err(ParseError::Limit("nesting"));
        }
        Ok(height)
    }

    /// Parses operators that bind at least as strongly as `strength`. Returns the tree and its height.
    fn expression(&mut self, strength: u8) -> Result<(Ast, usize), ParseError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ParseError::Limit("nesting"));
        }
        let (mut left, mut height) = self.prefix()?;
        while let Some((op, here)) = self.infix() {
            if here < strength {
                break;
            }
            self.next += 1;
            // `**` groups to the right and its exponent may be signed; all others group to the left.
            let right_strength = if here == POWER { UNARY } else { here + 1 };
            let (right, right_height) = self.expression(right_strength)?;
            let joined;
            (left, joined) = combine(op, left, right);
            height = if joined { height.max(self.above([right_height])?) } else { self.above([height, right_height])? };
        }
        if strength == LOWEST && self.accept_word("if") {
            let (condition, condition_height) = self.expression(OR)?;
            if !self.accept_word("else") {
                return Err(self.error("expected 'else'"));
            }
            let (otherwise, otherwise_height) = self.expression(LOWEST)?;
            left = Ast::IfElse { condition: Box::new(condition), then: Box::new(left), otherwise: Box::new(otherwise) };
            height = self.above([height, condition_height, otherwise_height])?;
        }
        self.depth -= 1;
        Ok((left, height))
    }

    fn prefix(&mut self) -> Result<(Ast, usize), ParseError> {
        if self.accept("-") {
            let (inner, height) = self.expression(UNARY)?;
            return Ok(match inner {
                Ast::Int(value) => (Ast::Int(-value), height),
                inner => (Ast::Neg(Box::new(inner)), self.above([height])?),
            });
        }
        if self.accept("+") {
            return self.expression(UNARY);
        }
        let inverted = if self.accept("~") {
            Some(UNARY)
        } else if self.accept_word("not") {
            Some(NOT)
        } else {
            None
        };
        if let Some(strength) = inverted {
            let (inner, height) = self.expression(strength)?;
            return Ok((Ast::Not(Box::new(inner)), self.above([height])?));
        }
        let (mut left, mut height) = self.primary()?;
        loop {
            if self.accept(".") {
                let name = match self.peek() {
                    Token::Name(name) => name.clone(),
                    _ => return Err(self.error("expected a name after '.'")),
                };
                self.next += 1;
                left = Ast::Attr(Box::new(left), name);
                height = self.above([height])?;
            } else if self.accept("[") {
                let (index, index_height) = self.expression(LOWEST)?;
                self.expect("]")?;
                left = Ast::Index(Box::new(left), Box::new(index));
                height = self.above([height, index_height])?;
            } else if self.accept("(") {
                let (args, kwargs, args_height) = self.arguments()?;
                left = Ast::Call { callee: Box::new(left), args, kwargs };
                height = self.above([height, args_height])?;
            } else {
                return Ok((left, height));
            }
        }
    }

    fn primary(&mut self) -> Result<(Ast, usize), ParseError> {
        let ast = match self.peek() {
            Token::Int(value) => Ast::Int(*value),
            Token::Float(value) => Ast::Float(*value),
            Token::Str(value) => Ast::Str(value.clone()),
            Token::Name(name) if !is_keyword(name) => Ast::Name(name.clone()),
            Token::Op("(") => {
                self.next += 1;
                return self.parenthesised();
            }
            Token::End => return Err(self.error("unexpected end")),
            _ => return Err(self.error("expected an operand")),
        };
        self.next += 1;
        Ok((ast, 1))
    }

    fn parenthesised(&mut self) -> Result<(Ast, usize), ParseError> {
        let (first, mut height) = self.expression(LOWEST)?;
        if !self.accept(",") {
            self.expect(")")?;
            // A comparison in parentheses is no part of a chain of comparisons.
            return Ok(match first {
                Ast::Compare(..) => (Ast::And(vec![first]), self.above([height])?),
                _ => (first, height),
            });
        }
        let mut items = vec![first];
        while !self.accept(")") {
            let (item, item_height) = self.expression(LOWEST)?;
            items.push(item);
            height = height.max(item_height);
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok((Ast::Tuple(items), self.above([height])?))
    }

    #[allow(clippy::type_complexity)]
    fn arguments(&mut self) -> Result<(Vec<Ast>, Vec<(String, Ast)>, usize), ParseError> {
        let (mut args, mut kwargs, mut height) = (Vec::new(), Vec::new(), 0);
        while !self.accept(")") {
            let keyword = match (self.peek(), self.tokens.get(self.next + 1)) {
                (Token::Name(name), Some((Token::Op("="), _))) => Some(name.clone()),
                _ => None,
            };
            if keyword.is_some() {
                self.next += 2;
            }
            let (value, value_height) = self.expression(LOWEST)?;
            height = height.max(value_height);
            match keyword {
                Some(name) => kwargs.push((name, value)),
                None => args.push(value),
            }
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok((args, kwargs, height))
    }
}

/// Words that are not operands.
pub(super) fn is_keyword(name: &str) -> bool {
    matches!(name, "and" | "or" | "not" | "if" | "else" | "in" | "is" | "lambda" | "for" | "await" | "yield")
}

/// Joins two operands; chains of one n-ary operator become one node, so that long sums do not nest.
/// Also tells whether the right operand joined an existing node.
fn combine(op: Infix, left: Ast, right: Ast) -> (Ast, bool) {
    match (op, left) {
        (Infix::Or, Ast::Or(mut parts)) => {
            parts.push(right);
            (Ast::Or(parts), true)
        }
        (Infix::Or, left) => (Ast::Or(vec![left, right]), false),
        (Infix::And, Ast::And(mut parts)) => {
            parts.push(right);
            (Ast::And(parts), true)
        }
        (Infix::And, left) => (Ast::And(vec![left, right]), false),
        (Infix::Add | Infix::Sub, left) => {
            let negative = matches!(op, Infix::Sub);
            match left {
                Ast::Sum(mut parts) => {
                    parts.push((negative, right));
                    (Ast::Sum(parts), true)
                }
                left => (Ast::Sum(vec![(false, left), (negative, right)]), false),
            }
        }
        (Infix::Mul, Ast::Product(mut parts)) => {
            parts.push(right);
            (Ast::Product(parts), true)
        }
        (Infix::Mul, left) => (Ast::Product(vec![left, right]), false),
        (Infix::Compare(op), Ast::Compare(first, mut rest)) => {
            rest.push((op, right));
            (Ast::Compare(first, rest), true)
        }
        (Infix::Compare(op), left) => (Ast::Compare(Box::new(left), vec![(op, right)]), false),
        (Infix::Binary(op), left) => (Ast::Binary(op, Box::new(left), Box::new(right)), false),
    }
}
