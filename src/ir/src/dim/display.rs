//! The printed form, which [`super::parse_plain`] and [`super::parse_plain_pred`] read back.

use std::fmt;

use super::expr::{Dim, Func, Kind, Sum};
use super::pred::Pred;

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Int(value) => write!(f, "{value}"),
            Kind::Symbol(symbol) => write!(f, "{symbol}"),
            Kind::Sum(sum) => write_sum(f, sum),
            Kind::Func(func) => write_func(f, func),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An operand that needs no parentheses next to `*`, `//` or `**`.
struct Operand<'a>(&'a Dim);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            Kind::Sum(_) => write!(f, "({})", self.0),
            Kind::Int(value) if value < 0 => write!(f, "({value})"),
            _ => write!(f, "{}", self.0),
        }
    }
}

fn write_sum(f: &mut fmt::Formatter<'_>, sum: &Sum) -> fmt::Result {
    for (at, term) in sum.terms.iter().enumerate() {
        match (at, term.coeff < 0) {
            (0, false) => {}
            (0, true) => write!(f, "-")?,
            (_, false) => write!(f, " + ")?,
            // Its magnitude alone is no 64-bit integer.
            (_, true) if term.coeff == i64::MIN => write!(f, " + -")?,
            (_, true) => write!(f, " - ")?,
        }
        let mut separator = "";
        if term.coeff.unsigned_abs() != 1 {
            write!(f, "{}", term.coeff.unsigned_abs())?;
            separator = "*";
        }
        for (factor, power) in &term.factors {
            write!(f, "{separator}{}", Operand(factor))?;
            if *power != 1 {
                write!(f, "**{power}")?;
            }
            separator = "*";
        }
    }
    match sum.constant {
        0 => Ok(()),
        i64::MIN => write!(f, " + {}", i64::MIN),
        c if c < 0 => write!(f, " - {}", c.unsigned_abs()),
        c => write!(f, " + {c}"),
    }
}

fn write_func(f: &mut fmt::Formatter<'_>, func: &Func) -> fmt::Result {
    let call = |f: &mut fmt::Formatter<'_>, name: &str, args: &[&Dim]| {
        write!(f, "{name}(")?;
        for (at, arg) in args.iter().enumerate() {
            write!(f, "{}{arg}", if at == 0 { "" } else { ", " })?;
        }
        write!(f, ")")
    };
    match func {
        Func::FloorDiv(a, b) => write!(f, "({} // {})", Operand(a), Operand(b)),
        Func::Mod(a, b) => call(f, "Mod", &[a, b]),
        Func::Max(args) => call(f, "Max", &args.iter().collect::<Vec<_>>()),
        Func::Min(args) => call(f, "Min", &args.iter().collect::<Vec<_>>()),
        Func::Pow(a, b) => call(f, "PowByNatural", &[a, b]),
        Func::Where(pred, a, b) => write!(f, "Where({pred}, {a}, {b})"),
        Func::RawAdd(a, b) => call(f, "Add", &[a, b]),
        Func::RawMul(a, b) => call(f, "Mul", &[a, b]),
        Func::TooLarge(fingerprint) => write!(f, "TooLarge({fingerprint})"),
    }
}

impl fmt::Display for Pred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pred::True => write!(f, "True"),
            Pred::False => write!(f, "False"),
            Pred::Eq(a, b) => write!(f, "{a} == {b}"),
            Pred::Ne(a, b) => write!(f, "{a} != {b}"),
            Pred::Lt(a, b) => write!(f, "{a} < {b}"),
            Pred::Le(a, b) => write!(f, "{a} <= {b}"),
            Pred::And(parts) => write_joined(f, parts, " and "),
            Pred::Or(parts) => write_joined(f, parts, " or "),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Pred], by: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        let separator = if at == 0 { "" } else { by };
        match part {
            Pred::And(_) | Pred::Or(_) => write!(f, "{separator}({part})")?,
            _ => write!(f, "{separator}{part}")?,
        }
    }
    Ok(())
}
