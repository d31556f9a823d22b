//! From syntax to expressions: one table of functions serves `srepr`, the plain form and guards; they
//! differ only in how a leaf is written.

use super::ParseError;
use super::real::Real;
use super::syntax::{Ast, BinaryOp, CompareOp};
use crate::dim::expr::{Dim, Func};
use crate::dim::pred::Pred;

/// How a notation writes its leaves. `None`: not a leaf.
pub(super) type Leaf<'a> = dyn FnMut(&Ast) -> Result<Option<Dim>, ParseError> + 'a;

/// What an expression denotes.
enum Value {
    Number(Real),
    Bool(Pred),
}

/// Translates a syntax tree.
pub(super) struct Lowering<'a> {
    pub(super) leaf: &'a mut Leaf<'a>,
    /// Whether `/` is a float division (Python) rather than an exact one (sympy).
    pub(super) float_division: bool,
}

type Result2<T> = Result<T, ParseError>;

fn unsupported<T>(what: impl Into<String>) -> Result2<T> {
    Err(ParseError::Unsupported(what.into()))
}

impl Lowering<'_> {
    /// The integer expression that the tree denotes.
    pub(super) fn dim(&mut self, ast: &Ast) -> Result2<Dim> {
        self.number(ast)?.to_int()
    }

    /// The predicate that the tree denotes.
    pub(super) fn pred(&mut self, ast: &Ast) -> Result2<Pred> {
        match self.value(ast)? {
            Value::Bool(pred) => Ok(pred),
            Value::Number(_) => unsupported("a number where a condition is expected"),
        }
    }

    fn number(&mut self, ast: &Ast) -> Result2<Real> {
        match self.value(ast)? {
            Value::Number(number) => Ok(number),
            Value::Bool(_) => unsupported("a condition where a number is expected"),
        }
    }

    fn numbers(&mut self, args: &[Ast]) -> Result2<Vec<Real>> {
        args.iter().map(|a| self.number(a)).collect()
    }

    fn preds(&mut self, args: &[Ast]) -> Result2<Vec<Pred>> {
        args.iter().map(|a| self.pred(a)).collect()
    }

    fn value(&mut self, ast: &Ast) -> Result2<Value> {
        if let Some(dim) = (self.leaf)(ast)? {
            return Ok(Value::Number(Real::int(dim)));
        }
        let number = |n: Real| Ok(Value::Number(n));
        match ast {
            Ast::Int(value) => match i64::try_from(*value) {
                Ok(value) => number(Real::int(Dim::int(value))),
                Err(_) => unsupported(format!("the integer {value}, beyond 64 bits")),
            },
            Ast::Float(value) => number(Real::float(*value)?),
            Ast::Name(name) => match name.as_str() {
                "True" | "true" => Ok(Value::Bool(Pred::True)),
                "False" | "false" => Ok(Value::Bool(Pred::False)),
                _ => unsupported(format!("the name {name}")),
            },
            Ast::Neg(inner) => number(self.number(inner)?.neg()),
            Ast::Not(inner) => Ok(Value::Bool(self.pred(inner)?.not())),
            Ast::Sum(parts) => {
                let mut terms = Vec::with_capacity(parts.len());
                for (negative, part) in parts {
                    let term = self.number(part)?;
                    terms.push(if *negative { term.neg() } else { term });
                }
                number(Real::sum(&terms)?)
            }
            Ast::Product(parts) => number(Real::product(&self.numbers(parts)?)?),
            Ast::Binary(op, a, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                number(self.binary(*op, &a, &b)?)
            }
            Ast::Compare(first, rest) => {
                let mut left = self.number(first)?;
                let mut parts = Vec::with_capacity(rest.len());
                for (op, right) in rest {
                    let right = self.number(right)?;
                    parts.push(compare(*op, &left, &right)?);
                    left = right;
                }
                Ok(Value::Bool(Pred::and(parts)))
            }
            Ast::And(parts) => match parts.as_slice() {
                [one] => self.value(one),
                _ => Ok(Value::Bool(Pred::and(self.preds(parts)?))),
            },
            Ast::Or(parts) => Ok(Value::Bool(Pred::or(self.preds(parts)?))),
            Ast::IfElse { condition, then, otherwise } => {
                let condition = self.pred(condition)?;
                self.choose(condition, then, otherwise)
            }
            Ast::Call { callee, args, kwargs } => {
                let Some(name) = dotted_name(callee) else {
                    return unsupported("a call of something that is not a function's name");
                };
                // Assumptions (`evaluate=False`, `precision=53`) do not change the value.
                for (keyword, _) in kwargs {
                    if !matches!(keyword.as_str(), "evaluate" | "precision") {
                        return unsupported(format!("{name} with the keyword {keyword}"));
                    }
                }
                self.call(&name, args)
            }
            Ast::Str(_) => unsupported("a string"),
            Ast::Tuple(_) => unsupported("a tuple"),
            Ast::Attr(..) | Ast::Index(..) => unsupported("an attribute or an element"),
        }
    }

    /// `then if condition else otherwise`, of numbers or of conditions.
    fn choose(&mut self, condition: Pred, then: &Ast, otherwise: &Ast) -> Result2<Value> {
        match (self.value(then)?, self.value(otherwise)?) {
            (Value::Number(a), Value::Number(b)) => {
                Ok(Value::Number(Real::int(Dim::where_(condition, a.to_int()?, b.to_int()?))))
            }
            (Value::Bool(a), Value::Bool(b)) => {
                Ok(Value::Bool(Pred::or([Pred::and([condition.clone(), a]), Pred::and([condition.not(), b])])))
            }
            _ => unsupported("a choice between a number and a condition"),
        }
    }

    fn binary(&self, op: BinaryOp, a: &Real, b: &Real) -> Result2<Real> {
        let two = Real::int(Dim::int(2));
        Ok(match op {
            BinaryOp::TrueDiv => a.divide(b, self.float_division)?,
            BinaryOp::FloorDiv => floor_div(a, b)?,
            BinaryOp::Mod => Real::int(a.to_int()?.modulo(&b.to_int()?)),
            BinaryOp::Pow => a.pow(b)?,
            BinaryOp::Shl => Real::product(&[a.clone(), natural_power(&two, b)?])?,
            BinaryOp::Shr => floor_div(a, &natural_power(&two, b)?)?,
        })
    }

    fn call(&mut self, name: &str, args: &[Ast]) -> Result2<Value> {
        let short = name.strip_prefix("torch.sym_").unwrap_or(name);
        let short = short.strip_prefix("math.").unwrap_or(short);
        let comparison = match short {
            "GreaterThan" | "Ge" => Some(CompareOp::Ge),
            "LessThan" | "Le" => Some(CompareOp::Le),
            "StrictGreaterThan" | "Gt" => Some(CompareOp::Gt),
            "StrictLessThan" | "Lt" => Some(CompareOp::Lt),
            "Equality" | "Eq" => Some(CompareOp::Eq),
            "Unequality" | "Ne" => Some(CompareOp::Ne),
            _ => None,
        };
        if let Some(op) = comparison {
            let [a, b] = fixed(name, args)?;
            return Ok(Value::Bool(compare(op, &self.number(a)?, &self.number(b)?)?));
        }
        match short {
            "And" => return Ok(Value::Bool(Pred::and(self.preds(args)?))),
            "Or" => return Ok(Value::Bool(Pred::or(self.preds(args)?))),
            "Not" | "not" => {
                let [a] = fixed(name, args)?;
                return Ok(Value::Bool(self.pred(a)?.not()));
            }
            "Where" | "ite" => {
                let [condition, then, otherwise] = fixed(name, args)?;
                let condition = self.pred(condition)?;
                return self.choose(condition, then, otherwise);
            }
            "Piecewise" => return self.piecewise(args),
            "Float" => {
                return match args.first() {
                    Some(Ast::Str(text)) => match text.parse() {
                        Ok(value) => Ok(Value::Number(Real::float(value)?)),
                        Err(_) => unsupported(format!("the float {text}")),
                    },
                    Some(other) => self.value(other),
                    None => unsupported("Float without an argument"),
                };
            }
            "TooLarge" => {
                let [Ast::Int(value)] = fixed(name, args)? else {
                    return unsupported("TooLarge without a number");
                };
                return match u64::try_from(*value) {
                    Ok(print) => Ok(Value::Number(Real::int(Dim::from_func(Func::TooLarge(print))))),
                    Err(_) => unsupported("TooLarge with a bad number"),
                };
            }
            _ => {}
        }
        Ok(Value::Number(self.numeric_call(name, short, args)?))
    }

    fn numeric_call(&mut self, name: &str, short: &str, args: &[Ast]) -> Result2<Real> {
        let one = |this: &mut Self| {
            let [a] = fixed(name, args)?;
            this.number(a)
        };
        let two = |this: &mut Self| {
            let [a, b] = fixed(name, args)?;
            Ok((this.number(a)?, this.number(b)?))
        };
        let operator = |this: &mut Self, op| {
            let (a, b) = two(this)?;
            this.binary(op, &a, &b)
        };
        Ok(match short {
            "Integer" | "Identity" | "ToFloat" | "float" => one(self)?,
            "Rational" => {
                let (a, b) = two(self)?;
                a.divide(&b, false)?
            }
            "Add" => Real::sum(&self.numbers(args)?)?,
            "Mul" => Real::product(&self.numbers(args)?)?,
            "PowByNatural" => {
                let (a, b) = two(self)?;
                natural_power(&a, &b)?
            }
            "Pow" | "pow" => operator(self, BinaryOp::Pow)?,
            "FloorDiv" | "CleanDiv" => operator(self, BinaryOp::FloorDiv)?,
            "Mod" | "PythonMod" => operator(self, BinaryOp::Mod)?,
            "LShift" => operator(self, BinaryOp::Shl)?,
            "RShift" => operator(self, BinaryOp::Shr)?,
            "CeilDiv" => {
                let (a, b) = two(self)?;
                Real::int(a.to_int()?.ceil_div(&b.to_int()?))
            }
            "IntTrueDiv" | "FloatTrueDiv" => {
                let (a, b) = two(self)?;
                a.divide(&b, true)?
            }
            "ModularIndexing" => {
                let [a, b, c] = fixed(name, args)?;
                let (a, b, c) = (self.dim(a)?, self.dim(b)?, self.dim(c)?);
                Real::int(a.floor_div(&b).modulo(&c))
            }
            "FloorToInt" | "floor" => Real::int(one(self)?.floor()),
            "CeilToInt" | "ceiling" | "ceil" => Real::int(one(self)?.ceil()),
            "TruncToInt" | "TruncToFloat" | "trunc" | "int" => Real::int(one(self)?.trunc()),
            "RoundToInt" | "round" => Real::int(one(self)?.round()),
            "Abs" | "abs" => Real::int(one(self)?.to_int()?.abs()),
            "Max" | "max" => extremum(&self.numbers(args)?, Dim::max_of)?,
            "Min" | "min" => extremum(&self.numbers(args)?, Dim::min_of)?,
            _ => return unsupported(format!("the function {name}")),
        })
    }

    /// `Piecewise((value, condition), …)`, whose last condition must be true.
    fn piecewise(&mut self, args: &[Ast]) -> Result2<Value> {
        let mut cases = Vec::with_capacity(args.len());
        for arg in args {
            let pair = match arg {
                Ast::Tuple(items) => items,
                Ast::Call { args, .. } => args,
                _ => return unsupported("Piecewise without pairs"),
            };
            let [value, condition] = fixed("a case of Piecewise", pair)?;
            cases.push((self.dim(value)?, self.pred(condition)?));
        }
        let Some((mut result, Pred::True)) = cases.pop() else {
            return unsupported("Piecewise without a final case");
        };
        for (value, condition) in cases.into_iter().rev() {
            result = Dim::where_(condition, value, result);
        }
        Ok(Value::Number(Real::int(result)))
    }
}

fn fixed<'a, const N: usize>(name: &str, args: &'a [Ast]) -> Result2<&'a [Ast; N]> {
    args.try_into().map_err(|_| ParseError::Unsupported(format!("{name} with {} arguments, not {N}", args.len())))
}

/// `f` or `module.f`.
fn dotted_name(callee: &Ast) -> Option<String> {
    match callee {
        Ast::Name(name) => Some(name.clone()),
        Ast::Attr(base, name) => match base.as_ref() {
            Ast::Name(base) => Some(format!("{base}.{name}")),
            _ => None,
        },
        _ => None,
    }
}

fn compare(op: CompareOp, a: &Real, b: &Real) -> Result2<Pred> {
    let (a, b) = a.comparable(b)?;
    Ok(match op {
        CompareOp::Eq => Pred::eq(&a, &b),
        CompareOp::Ne => Pred::ne(&a, &b),
        CompareOp::Lt => Pred::lt(&a, &b),
        CompareOp::Le => Pred::le(&a, &b),
        CompareOp::Gt => Pred::gt(&a, &b),
        CompareOp::Ge => Pred::ge(&a, &b),
    })
}

/// A power of integers whose exponent is not negative; undefined otherwise.
fn natural_power(base: &Real, exponent: &Real) -> Result2<Real> {
    Ok(Real::int(base.to_int()?.pow(&exponent.to_int()?)))
}

fn floor_div(a: &Real, b: &Real) -> Result2<Real> {
    if a.den.is_one() && b.den.is_one() {
        return Ok(Real::int(a.num.floor_div(&b.num)));
    }
    Ok(Real::int(a.divide(b, false)?.floor()))
}

/// The greatest or least of numbers, which may have constant divisors.
fn extremum(args: &[Real], pick: fn(Vec<Dim>) -> Dim) -> Result2<Real> {
    if args.is_empty() {
        return unsupported("Max or Min without arguments");
    }
    if args.iter().all(|a| a.den.is_one()) {
        return Ok(Real::int(pick(args.iter().map(|a| a.num.clone()).collect())));
    }
    let mut den = 1i64;
    for arg in args {
        match arg.den.as_int().filter(|d| *d > 0 && !arg.rounded) {
            Some(d) => {
                let g = crate::dim::arith::gcd(den.unsigned_abs(), d.unsigned_abs());
                let g = i64::try_from(g).unwrap_or(1).max(1);
                den = match den.checked_mul(d / g) {
                    Some(den) => den,
                    None => return unsupported("Max or Min of fractions with large divisors"),
                };
            }
            None => return unsupported("Max or Min of floats"),
        }
    }
    let scaled = args.iter().map(|a| a.num.clone() * Dim::int(den).floor_div(&a.den)).collect();
    Ok(Real { num: pick(scaled), den: Dim::int(den), rounded: false, literal: false })
}
