//! The text of rules.

use super::{Expr, Operator, Rule};
use pt2c_ir::{DType, Diagnostic};

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 64;

/// Reads all rules of a file.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(file: &str, text: &str) -> Result<Vec<Rule>, Diagnostic> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut open: Option<Rule> = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let fail = |why: String| Diagnostic::error(format!("{place}: {why}")).note(line.trim().to_string());
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        let mut tokens = Tokens::new(line).map_err(fail)?;
        if tokens.eat("rule") {
            if let Some(rule) = open.take() {
                return Err(fail(format!("the rule of {} has no result (=>)", rule.place)));
            }
            let Expr::Call(op, pattern) = tokens.expr(0).map_err(fail)? else {
                return Err(fail("a pattern is a call of an operator: rule aten.relu.default($x)".into()));
            };
            open = Some(Rule {
                op,
                pattern,
                guards: Vec::new(),
                steps: Vec::new(),
                results: Vec::new(),
                place: place.clone(),
            });
        } else {
            let Some(rule) = open.as_mut() else {
                return Err(fail("this belongs to no rule; a rule begins with `rule`".into()));
            };
            if tokens.eat("where") {
                rule.guards.push(tokens.expr(0).map_err(fail)?);
            } else if tokens.eat("=>") {
                rule.results.push(tokens.expr(0).map_err(fail)?);
                while tokens.eat(",") {
                    rule.results.push(tokens.expr(0).map_err(fail)?);
                }
                rules.extend(open.take());
            } else {
                let name = tokens.word().ok_or_else(|| fail("expected a name, `where` or `=>`".into()))?;
                if !tokens.eat("=") {
                    return Err(fail(format!("expected `{name} = …`")));
                }
                let value = tokens.expr(0).map_err(fail)?;
                rule.steps.push((name, value));
            }
        }
        if let Some(rest) = tokens.next() {
            return Err(fail(format!("unexpected {rest:?}")));
        }
    }
    match open {
        Some(rule) => Err(Diagnostic::error(format!("{}: the rule has no result (=>)", rule.place))),
        None => Ok(rules),
    }
}

/// The line up to a `#` outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return line.get(..at).unwrap_or(line),
            _ => {}
        }
    }
    line
}

struct Tokens {
    tokens: std::vec::IntoIter<String>,
    ahead: Option<String>,
}

impl Tokens {
    fn new(line: &str) -> Result<Tokens, String> {
        let mut tokens = Vec::new();
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let word = |c: char| c.is_ascii_alphanumeric() || "_.$".contains(c);
            let length = if c.is_whitespace() {
                rest = rest.trim_start();
                continue;
            } else if c == '"' {
                let end = rest.get(1..).and_then(|inner| inner.find('"'));
                end.ok_or("a text without its end")? + 2
            } else if word(c) {
                let plain = rest.find(|c| !word(c)).unwrap_or(rest.len());
                // 1e-5
                let number = c.is_ascii_digit() && rest.get(..plain).is_some_and(|w| w.ends_with(['e', 'E']));
                match number && rest.get(plain..).is_some_and(|tail| tail.starts_with(['-', '+'])) {
                    true => {
                        let tail = rest.get(plain + 1..).unwrap_or("");
                        plain + 1 + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
                    }
                    false => plain,
                }
            } else if ["=>", "==", "!=", "<=", "//"].iter().any(|two| rest.starts_with(two)) {
                2
            } else if "()[],=<+-*".contains(c) {
                1
            } else {
                return Err(format!("unexpected {c:?}"));
            };
            let (token, tail) = rest.split_at(length);
            tokens.push(token.to_string());
            rest = tail;
        }
        let mut tokens = tokens.into_iter();
        let ahead = tokens.next();
        Ok(Tokens { tokens, ahead })
    }

    fn next(&mut self) -> Option<String> {
        std::mem::replace(&mut self.ahead, self.tokens.next())
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let found = self.ahead.as_deref() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn word(&mut self) -> Option<String> {
        let is_word = self
            .ahead
            .as_deref()
            .is_some_and(|t| t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$'));
        if is_word { self.next() } else { None }
    }

    /// Logic, the loosest level.
    fn expr(&mut self, depth: usize) -> Result<Expr, String> {
        if depth > MAX_DEPTH {
            return Err("nested too deep".into());
        }
        let mut left = self.comparison(depth)?;
        loop {
            let operator = if self.eat("and") {
                Operator::And
            } else if self.eat("or") {
                Operator::Or
            } else {
                return Ok(left);
            };
            let right = self.comparison(depth)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn comparison(&mut self, depth: usize) -> Result<Expr, String> {
        if self.eat("not") {
            return Ok(Expr::Not(Box::new(self.comparison(depth + 1)?)));
        }
        let left = self.sum(depth)?;
        let operators = [
            ("==", Operator::Eq),
            ("!=", Operator::Ne),
            ("<=", Operator::Le),
            ("<", Operator::Lt),
            ("in", Operator::In),
        ];
        for (token, operator) in operators {
            if self.eat(token) {
                return Ok(Expr::Binary(operator, Box::new(left), Box::new(self.sum(depth)?)));
            }
        }
        Ok(left)
    }

    fn sum(&mut self, depth: usize) -> Result<Expr, String> {
        let mut left = self.product(depth)?;
        loop {
            let operator = if self.eat("+") {
                Operator::Add
            } else if self.eat("-") {
                Operator::Sub
            } else {
                return Ok(left);
            };
            left = Expr::Binary(operator, Box::new(left), Box::new(self.product(depth)?));
        }
    }

    fn product(&mut self, depth: usize) -> Result<Expr, String> {
        let mut left = self.primary(depth)?;
        loop {
            let operator = if self.eat("*") {
                Operator::Mul
            } else if self.eat("//") {
                Operator::Div
            } else {
                return Ok(left);
            };
            left = Expr::Binary(operator, Box::new(left), Box::new(self.primary(depth)?));
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, String> {
        let token = self.next().ok_or("the line ends too early")?;
        let first = token.chars().next().unwrap_or(' ');
        let mut expr = match token.as_str() {
            "(" => {
                let inner = self.expr(depth + 1)?;
                self.expect(")")?;
                inner
            }
            "[" => Expr::List(self.arguments("]", depth)?.into_iter().map(|(_, item)| item).collect()),
            "-" => match self.primary(depth + 1)? {
                Expr::Int(value) => Expr::Int(value.checked_neg().ok_or("a number too large")?),
                Expr::Float(value) => Expr::Float(-value),
                other => Expr::Binary(Operator::Sub, Box::new(Expr::Int(0)), Box::new(other)),
            },
            "_" => Expr::Any,
            "None" => Expr::None,
            "True" => Expr::Bool(true),
            "False" => Expr::Bool(false),
            text if first == '"' => Expr::Str(text.trim_matches('"').to_string()),
            text if first.is_ascii_digit() => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(value), _) => Expr::Int(value),
                (_, Ok(value)) => Expr::Float(value),
                _ => return Err(format!("{text:?} is no number")),
            },
            text if first.is_ascii_alphabetic() || first == '_' || first == '$' => {
                if self.eat("(") {
                    Expr::Call(text.to_string(), self.arguments(")", depth)?)
                } else if let Ok(dtype) = text.parse::<DType>() {
                    Expr::DType(dtype)
                } else {
                    Expr::Name(text.to_string())
                }
            }
            text => return Err(format!("unexpected {text:?}")),
        };
        while self.eat("[") {
            let index = match self.primary(depth + 1)? {
                Expr::Int(index) => index,
                _ => return Err("an index is a number".into()),
            };
            self.expect("]")?;
            expr = Expr::Index(Box::new(expr), index);
        }
        Ok(expr)
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.eat(wanted) {
            return Ok(());
        }
        Err(format!("expected {wanted:?}, found {:?}", self.ahead.as_deref().unwrap_or("the end")))
    }

    fn arguments(&mut self, end: &str, depth: usize) -> Result<Vec<(Option<String>, Expr)>, String> {
        let mut arguments = Vec::new();
        while !self.eat(end) {
            let value = self.expr(depth + 1)?;
            let argument = match value {
                Expr::Name(name) if self.eat("=") => (Some(name), self.expr(depth + 1)?),
                value => (None, value),
            };
            arguments.push(argument);
            if !self.eat(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(arguments)
    }
}
