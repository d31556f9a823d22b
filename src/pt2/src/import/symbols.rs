//! Symbolic integers: expressions, ranges and guards of the archive as dimensions, scope and constraints.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use pt2c_ir::dim::{
    Dim, Guard, InputProperty, InputRef, Kind, PathStep, Pred, Scope, Symbol, parse_guard, parse_plain,
    parse_plain_pred, parse_srepr, parse_srepr_pred,
};
use pt2c_ir::{Constraint, Diagnostic, Fact};

use super::error::ImportErrorKind;
use crate::schema::{Graph, RangeConstraint, SymBool, SymInt};

/// Reads expressions, each text once.
#[derive(Default)]
pub struct Expressions {
    dims: BTreeMap<String, Dim>,
    /// Integers that are made of floats, by name.
    named: BTreeMap<String, Dim>,
}

impl Expressions {
    /// An integer expression in either printed form.
    pub fn dim(&mut self, text: &str) -> Result<Dim, ImportErrorKind> {
        if let Some(dim) = self.dims.get(text) {
            return Ok(dim.clone());
        }
        let read = if is_srepr(text) { parse_srepr(text) } else { parse_plain(text) };
        let dim = read.map_err(|error| ImportErrorKind::Expression { text: text.to_owned(), error })?;
        self.dims.insert(text.to_owned(), dim.clone());
        Ok(dim)
    }

    /// A symbolic int of a value table or a size.
    pub fn sym_int(&mut self, value: &SymInt) -> Result<Dim, ImportErrorKind> {
        match value {
            SymInt::AsInt(value) => Ok(Dim::int(*value)),
            SymInt::AsExpr(expr) => self.dim(&expr.expr_str),
        }
    }

    /// States what an integer of a graph is, whose expression cannot be read.
    pub fn name_int(&mut self, name: &str, graph: &Graph, dim: Dim) {
        if let Some(SymInt::AsExpr(expr)) = graph.sym_int_values.get(name) {
            self.dims.insert(expr.expr_str.clone(), dim.clone());
        }
        self.named.insert(name.to_owned(), dim);
    }

    /// What was stated of an integer.
    pub fn named(&self, name: &str) -> Option<&Dim> {
        self.named.get(name)
    }

    /// A symbolic bool of a value table.
    pub fn sym_bool(&mut self, value: &SymBool) -> Result<Pred, ImportErrorKind> {
        match value {
            SymBool::AsBool(true) => Ok(Pred::True),
            SymBool::AsBool(false) => Ok(Pred::False),
            SymBool::AsExpr(expr) => {
                let text = &expr.expr_str;
                let read = if is_srepr(text) { parse_srepr_pred(text) } else { parse_plain_pred(text) };
                read.map_err(|error| ImportErrorKind::Expression { text: text.clone(), error })
            }
        }
    }

    /// All symbols met so far.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.dims.values().flat_map(Dim::symbols)
    }
}

/// Whether a comparison is with the largest integer, as PyTorch's guards of slices without an end are.
fn is_about_overflow(pred: &Pred) -> bool {
    fn is_huge(dim: &Dim) -> bool {
        const HUGE: u64 = 1 << 62;
        match dim.kind() {
            Kind::Int(n) => n.unsigned_abs() >= HUGE,
            Kind::Symbol(_) => false,
            Kind::Sum(sum) => {
                sum.constant.unsigned_abs() >= HUGE
                    || sum.terms.iter().flat_map(|t| &t.factors).any(|(factor, _)| is_huge(factor))
            }
            Kind::Func(func) => func.args().into_iter().any(is_huge),
        }
    }
    matches!(pred, Pred::Eq(..) | Pred::Ne(..) | Pred::Lt(..) | Pred::Le(..)) && pred.dims().into_iter().any(is_huge)
}

/// `srepr` writes every leaf as a constructor; the plain form never does.
fn is_srepr(text: &str) -> bool {
    ["Symbol(", "Integer(", "Rational(", "true", "false"].iter().any(|leaf| text.contains(leaf))
}

/// What must hold, collected while importing.
#[derive(Default)]
pub struct Facts {
    /// Symbols, their ranges and everything assumed.
    pub scope: Scope,
    /// What the entry checks.
    pub constraints: Vec<Constraint>,
    /// Expressions that are known to be sizes.
    pub sizes: BTreeSet<Dim>,
    /// Rules that cannot be expressed and so will not be checked.
    pub warnings: Vec<Diagnostic>,
}

impl Facts {
    /// Adds a rule: assumed by every pass, checked at the entry. Rules that hold anyway are dropped, and those that only
    /// say that a size does not overflow 64 bits: the check of them would.
    pub fn require(&mut self, pred: Pred, rule: impl Into<String>) {
        if pred == Pred::True || is_about_overflow(&pred) || self.constraints.iter().any(|known| known.pred == pred) {
            return;
        }
        self.scope.assume(pred.clone());
        self.constraints.push(Constraint { pred, rule: rule.into() });
    }

    /// Declares the archive's ranges. A key is usually a symbol, sometimes an expression.
    pub fn add_ranges(
        &mut self,
        ranges: &IndexMap<String, RangeConstraint>,
        expressions: &mut Expressions,
    ) -> Result<(), ImportErrorKind> {
        for (key, range) in ranges {
            // A float has a range of no use to sizes.
            if key.starts_with('z') {
                continue;
            }
            let dim = expressions.dim(key)?;
            let (min, max) = (range.min_val, range.max_val.filter(|&max| max < i64::MAX - 1));
            if let Some(symbol) = dim.as_symbol() {
                // A lower bound of 2 says that 0 and 1 were not traced, not that they are illegal: PyTorch's own module
                // runs them, unless a guard says otherwise (torch/_export/utils.py: "we allow dimensions to be 0/1").
                let relaxed = !symbol.is_unbacked() && min.is_some_and(|min| (0..=2).contains(&min));
                let legal = if relaxed { Some(0) } else { min };
                self.scope.declare(symbol, legal, max);
            }
            let bounds = [min.map(|min| Pred::ge(&dim, &Dim::int(min))), max.map(|max| Pred::le(&dim, &Dim::int(max)))];
            if dim.as_symbol().is_none() {
                let rule = match (min, max) {
                    (Some(min), Some(max)) => format!("{min} <= {key} <= {max}"),
                    (Some(min), None) => format!("{key} >= {min}"),
                    (None, Some(max)) => format!("{key} <= {max}"),
                    (None, None) => continue,
                };
                self.require(Pred::and(bounds.into_iter().flatten()), rule);
            }
        }
        Ok(())
    }

    /// Symbols without a range of their own are sizes all the same.
    pub fn declare_sizes(&mut self, expressions: &Expressions) {
        let declared: BTreeSet<Symbol> = self.scope.symbols().map(|(symbol, _)| symbol.clone()).collect();
        for symbol in expressions.symbols() {
            // What data decide may be negative.
            if !declared.contains(&symbol) && !symbol.is_unbacked() && !symbol.as_str().starts_with('z') {
                self.scope.declare(symbol, Some(0), None);
            }
        }
    }

    /// Turns `guards_code` into constraints. A guard that cannot be read becomes a warning.
    pub fn add_guards(&mut self, guards: &[String], inputs: &GuardInputs) {
        for text in guards {
            let guard = parse_guard(text);
            let pred = guard.clone().and_then(|guard: Guard| guard.to_pred(&|input| inputs.resolve(input)));
            match pred {
                Ok(pred) => {
                    self.warnings.extend(guard.ok().and_then(|guard| fixed(&guard, &pred, inputs)));
                    self.require(pred, text.clone());
                }
                Err(error) => self.warnings.push(
                    Diagnostic::warning("a rule that PyTorch recorded for the inputs will not be checked")
                        .note(format!("the rule: {text}"))
                        .note(error.to_string()),
                ),
            }
        }
    }
}

/// A size that was asked to be dynamic and is not. Guards speak only of sizes that were: what is static from the start has
/// no symbol that a guard could be about.
fn fixed(guard: &Guard, pred: &Pred, inputs: &GuardInputs) -> Option<Diagnostic> {
    let help = "export with an example of another size, or change the code that needs this one: TORCH_LOGS=\"+dynamic\" \
                shows the line";
    if let [wanted] = guard.refs()
        && *pred == Pred::True
        && matches!(wanted.what, InputProperty::Size(_) | InputProperty::Value)
        && guard.equates()
        && let Some(size) = inputs.resolve(wanted)?.as_int()
    {
        let what = match wanted.what {
            InputProperty::Size(dim) => format!("dimension {dim} of input {}", name_of(&wanted.path)),
            _ => format!("input {}", name_of(&wanted.path)),
        };
        return Some(
            Diagnostic::warning(format!("{what} was exported as dynamic, but is always {size}"))
                .note(format!("PyTorch recorded the rule {}", guard.text()))
                .help(help),
        );
    }
    let Pred::Eq(a, b) = pred else { return None };
    let tied = if a.is_int() { b } else { a };
    let only = (a.is_int() != b.is_int()).then(|| tied.symbols())?;
    // That a size is a multiple of something leaves it dynamic.
    if !only.iter().all(|symbol| tied.coefficient_of(symbol).is_some()) {
        return None;
    }
    let what = match only.first() {
        Some(symbol) if only.len() == 1 => format!("the dynamic size {symbol} can only be what {a} = {b} says"),
        _ => format!("the dynamic sizes are tied to each other: {a} = {b}"),
    };
    Some(Diagnostic::warning(what).note(format!("PyTorch recorded the rule {}", guard.text())).help(help))
}

/// An input as the caller writes it.
fn name_of(path: &[PathStep]) -> String {
    let mut name = String::new();
    for (i, step) in path.iter().enumerate() {
        match step {
            PathStep::Key(key) if i == 0 => name.push_str(key),
            PathStep::Key(key) => name.push_str(&format!("['{key}']")),
            PathStep::Index(index) => name.push_str(&format!("[{index}]")),
            PathStep::Attr(attribute) => name.push_str(&format!(".{attribute}")),
        }
    }
    name
}

/// What guards can ask about an input.
#[derive(Clone, Debug)]
pub enum GuardInput {
    /// A tensor of this type.
    Tensor(Fact),
    /// An integer.
    Int(Dim),
}

/// The program's inputs by the way guards name them.
#[derive(Default)]
pub struct GuardInputs {
    inputs: Vec<(Vec<PathStep>, GuardInput)>,
}

impl GuardInputs {
    /// Adds an input leaf.
    pub fn insert(&mut self, path: Vec<PathStep>, input: GuardInput) {
        self.inputs.push((path, input));
    }

    /// The expression of a property, if there is such an input with such a property.
    fn resolve(&self, wanted: &InputRef) -> Option<Dim> {
        let known = |path: &[PathStep]| self.inputs.iter().find(|(p, _)| p.as_slice() == path);
        let (_, input) = known(&wanted.path).or_else(|| match wanted.path.as_slice() {
            // `*args`: the archive calls its elements `args_0`, `args_1`, and so on.
            [PathStep::Key(name), PathStep::Index(index), rest @ ..] => {
                let first = PathStep::Key(format!("{name}_{index}"));
                known(&[&[first], rest].concat())
            }
            _ => None,
        })?;
        match (input, &wanted.what) {
            (GuardInput::Int(dim), InputProperty::Value) => Some(dim.clone()),
            (GuardInput::Tensor(fact), InputProperty::Size(index)) => at(&fact.shape, *index),
            // The library takes row-major tensors, so these are known.
            (GuardInput::Tensor(fact), InputProperty::Stride(index)) => at(&fact.order.strides(&fact.shape), *index),
            (GuardInput::Tensor(_), InputProperty::StorageOffset) => Some(Dim::int(0)),
            (GuardInput::Tensor(fact), InputProperty::Rank) => Some(Dim::int(fact.rank() as i64)),
            _ => None,
        }
    }
}

/// Python indexing.
fn at(dims: &[Dim], index: i64) -> Option<Dim> {
    let index = if index < 0 { index.checked_add(dims.len() as i64)? } else { index };
    dims.get(usize::try_from(index).ok()?).cloned()
}
