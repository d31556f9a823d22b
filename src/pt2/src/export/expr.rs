//! Dimension expressions in the archive's notation: sympy's `srepr`, which evaluates to the expression in Python.

use pt2c_ir::dim::{Dim, Func, Kind, Pred, Sum, Symbol};

/// An integer expression; `None` for one beyond the size limit of expressions, which has no written form.
pub fn srepr(dim: &Dim) -> Option<String> {
    Some(match dim.kind() {
        Kind::Int(value) => format!("Integer({value})"),
        Kind::Symbol(name) => symbol(name),
        Kind::Sum(sum) => of_sum(sum)?,
        Kind::Func(func) => of_func(func)?,
    })
}

/// PyTorch's symbols for sizes are positive; values that come out of the data may be anything.
fn symbol(name: &Symbol) -> String {
    match name.is_unbacked() {
        true => format!("Symbol('{name}', integer=True)"),
        false => format!("Symbol('{name}', positive=True, integer=True)"),
    }
}

fn call(name: &str, args: &[String]) -> String {
    match args {
        // Sums and products of one are that one.
        [only] if name == "Add" || name == "Mul" => only.clone(),
        _ => format!("{name}({})", args.join(", ")),
    }
}

fn of_sum(sum: &Sum) -> Option<String> {
    let mut terms = Vec::new();
    if sum.constant != 0 {
        terms.push(format!("Integer({})", sum.constant));
    }
    for term in &sum.terms {
        let mut factors = Vec::new();
        if term.coeff != 1 {
            factors.push(format!("Integer({})", term.coeff));
        }
        for (factor, power) in &term.factors {
            let factor = srepr(factor)?;
            factors.push(if *power == 1 { factor } else { format!("Pow({factor}, Integer({power}))") });
        }
        terms.push(call("Mul", &factors));
    }
    Some(call("Add", &terms))
}

fn of_func(func: &Func) -> Option<String> {
    let all = |args: &[&Dim]| args.iter().map(|arg| srepr(arg)).collect::<Option<Vec<_>>>();
    let args = all(&func.args())?;
    Some(match func {
        Func::FloorDiv(..) => call("FloorDiv", &args),
        Func::Mod(..) => call("PythonMod", &args),
        Func::Max(_) => call("Max", &args),
        Func::Min(_) => call("Min", &args),
        Func::Pow(..) => call("PowByNatural", &args),
        Func::Where(pred, then, otherwise) => call("Where", &[srepr_pred(pred)?, srepr(then)?, srepr(otherwise)?]),
        Func::RawAdd(..) => call("Add", &args),
        Func::RawMul(..) => call("Mul", &args),
        Func::TooLarge(_) => return None,
    })
}

/// A condition.
pub fn srepr_pred(pred: &Pred) -> Option<String> {
    let pair = |name: &str, a: &Dim, b: &Dim| Some(call(name, &[srepr(a)?, srepr(b)?]));
    let parts = |name: &str, parts: &[Pred]| {
        Some(format!("{name}({})", parts.iter().map(srepr_pred).collect::<Option<Vec<_>>>()?.join(", ")))
    };
    match pred {
        Pred::True => Some("true".to_owned()),
        Pred::False => Some("false".to_owned()),
        Pred::Eq(a, b) => pair("Equality", a, b),
        Pred::Ne(a, b) => pair("Unequality", a, b),
        Pred::Lt(a, b) => pair("StrictLessThan", a, b),
        Pred::Le(a, b) => pair("LessThan", a, b),
        Pred::And(all) => parts("And", all),
        Pred::Or(any) => parts("Or", any),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pt2c_ir::dim::{parse_plain, parse_srepr, parse_srepr_pred};

    #[test]
    fn what_is_written_reads_back() {
        let texts = [
            "7",
            "s0",
            "2*s0 + 1",
            "s0*s1 - 3*s0**2 + u0",
            "(s0 // 4) + Mod(s1, 3)",
            "Max(s0, s1, 2) - Min(s0, 5)",
            "((s0 + 1) // (2*s1))",
        ];
        for text in texts {
            let dim = parse_plain(text).expect(text);
            let written = srepr(&dim).expect(text);
            assert_eq!(parse_srepr(&written).expect(&written), dim, "{written}");
        }
        let (a, b) = (Dim::sym("s0"), Dim::sym("s1"));
        for pred in
            [Pred::eq(&a, &b), Pred::lt(&a, &Dim::int(5)), Pred::and([Pred::le(&a, &b), Pred::ne(&a, &Dim::int(3))])]
        {
            let written = srepr_pred(&pred).expect("written");
            assert_eq!(parse_srepr_pred(&written).expect(&written), pred, "{written}");
        }
    }
}
