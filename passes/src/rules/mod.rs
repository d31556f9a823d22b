//! Decompositions as text: PyTorch operators replaced by other PyTorch operators, as `run_decompositions(table)` does.
//!
//! A table is a list of rules. The default one, [`Table::default_decompositions`], expands composite operators to Core
//! ATen; a file of the user's adds to it or stands alone, and single operators can be kept. A rule is a pattern, guards
//! on types and sizes, and what stands in its place:
//!
//! ```text
//! # silu, and only in float32
//! rule aten.silu.default($x)
//!   where dtype($x) == f32
//!   s = aten.sigmoid.default($x)
//!   => aten.mul.Tensor($x, s)
//! ```
//!
//! Patterns may nest (`aten.relu.default(aten.add.Tensor($a, $b))`); arguments that a pattern leaves out must have their
//! defaults; `_` matches anything. Rules are tried in the file's order, and apply to what they make as well. Every call
//! is inferred, and the whole must have the type of what it replaces.

mod apply;
mod eval;
mod parse;

use std::collections::BTreeSet;

use pt2c_ir::{DType, Diagnostic};

pub use apply::{Applied, run_decompositions};

/// The default rules.
const CORE_ATEN: &str = include_str!("core_aten.rules");

/// An expression of a rule.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// `$x`, or a local name.
    Name(String),
    /// `_` in a pattern.
    Any,
    /// A number.
    Int(i64),
    /// A number with a point or exponent.
    Float(f64),
    /// `True` or `False`.
    Bool(bool),
    /// `None`
    None,
    /// A text in quotes.
    Str(String),
    /// `f32`
    DType(DType),
    /// `[a, b]`
    List(Vec<Expr>),
    /// A call of an operator (its name has a point) or of one of the functions of rules.
    Call(String, Vec<(Option<String>, Expr)>),
    /// One of several results, or an element of a list.
    Index(Box<Expr>, i64),
    /// Arithmetic, comparison or logic.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `not a`
    Not(Box<Expr>),
}

/// What joins two expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `//`
    Div,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `in [a, b]`
    In,
    /// `and`
    And,
    /// `or`
    Or,
}

/// One rule.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// The operator at the root of the pattern.
    pub op: String,
    /// Its arguments in the pattern.
    pub pattern: Vec<(Option<String>, Expr)>,
    /// All must hold.
    pub guards: Vec<Expr>,
    /// Names for what the result needs, in order.
    pub steps: Vec<(String, Expr)>,
    /// What the pattern becomes: one expression for each result.
    pub results: Vec<Expr>,
    /// `file:line`
    pub place: String,
}

/// Rules in the order in which they are tried, and operators that stay.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Vec<Rule>,
    kept: BTreeSet<String>,
}

impl Table {
    /// No rules: `run_decompositions({})`.
    pub fn empty() -> Table {
        Table::default()
    }

    /// PyTorch's `default_decompositions()` in meaning: composite operators become Core ATen.
    ///
    /// # Errors
    /// None: a test reads the rules.
    pub fn default_decompositions() -> Result<Table, Diagnostic> {
        Table::parse("core_aten.rules", CORE_ATEN)
    }

    /// Reads a file of rules; `name` stands in messages.
    ///
    /// # Errors
    /// What is wrong with the text, with its line; operators that do not exist, arguments that they do not have.
    pub fn parse(name: &str, text: &str) -> Result<Table, Diagnostic> {
        let rules = parse::parse(name, text)?;
        for rule in &rules {
            eval::check(rule)?;
        }
        Ok(Table { rules, kept: BTreeSet::new() })
    }

    /// Puts these rules in front, so that they win.
    pub fn prepend(&mut self, other: Table) {
        self.rules.splice(0..0, other.rules);
        self.kept.extend(other.kept);
    }

    /// Keeps an operator as it is: `del table[op]` in PyTorch.
    pub fn keep(&mut self, op: &str) {
        self.kept.insert(op.to_string());
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that may replace this operator, in order.
    fn rules_for<'t, 'o>(&'t self, op: &'o str) -> impl Iterator<Item = &'t Rule> + use<'t, 'o> {
        let kept = self.kept.contains(op);
        self.rules.iter().filter(move |rule| !kept && rule.op == op)
    }
}
