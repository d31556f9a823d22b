//! The three notations: accepted forms, refused forms, limits.

use super::naive::Random;
use crate::dim::{
    Dim, InputProperty, InputRef, ParseError, PathStep, Scope, parse_guard, parse_plain, parse_plain_pred, parse_srepr,
    parse_srepr_pred,
};

fn d(text: &str) -> Dim {
    parse_plain(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn srepr_forms() {
    let s = "Symbol('s77', positive=True, integer=True)";
    for (text, want) in [
        (s.to_owned(), "s77"),
        (format!("Mul(Integer(2), {s})"), "2*s77"),
        (format!("Add(FloorDiv(Add({s}, Integer(-1)), Integer(2)), Integer(1))"), "(s77 - 1)//2 + 1"),
        (format!("Pow({s}, Integer(2))"), "s77**2"),
        (format!("FloorToInt(Mul(Rational(1, 2), {s}))"), "s77//2"),
        (format!("CeilToInt(IntTrueDiv({s}, Integer(3)))"), "(s77 + 2)//3"),
        (
            format!("TruncToInt(Mul(Float('1.5', precision=53), ToFloat({s})))"),
            "Where(0 <= s77, 3*s77//2, (3*s77 + 1)//2)",
        ),
        (
            format!("Where(StrictLessThan({s}, Integer(4)), Integer(1), Max(Integer(1), {s}))"),
            "Where(s77 < 4, 1, Max(1, s77))",
        ),
        (format!("PythonMod(Mul(Integer(-1), {s}), Integer(8))"), "(-s77) % 8"),
        (format!("Mul(Rational(1, 2), Mul({s}, Integer(6)))"), "3*s77"),
    ] {
        assert_eq!(parse_srepr(&text), Ok(d(want)), "{text}");
    }
    let u = "Symbol('u0', integer=True)";
    for (class, want) in [
        ("GreaterThan", "u0 >= s77"),
        ("LessThan", "u0 <= s77"),
        ("StrictGreaterThan", "u0 > s77"),
        ("StrictLessThan", "u0 < s77"),
        ("Equality", "u0 == s77"),
        ("Unequality", "u0 != s77"),
    ] {
        let text = format!("{class}({u}, {s})");
        assert_eq!(parse_srepr_pred(&text), parse_plain_pred(want), "{text}");
        let text = format!("And(Not({class}({u}, {s})), Or(true, false))");
        assert_eq!(parse_srepr_pred(&text), parse_plain_pred(want).map(|p| p.not()), "{text}");
    }
}

#[test]
fn python_precedence() {
    let none = |_: &crate::dim::Symbol| None;
    for (text, want) in [
        ("-2**2", -4),
        ("2**3**2", 512),
        ("2**-1*4", 2),
        ("7 - 2 - 1", 4),
        ("100 // 7 * 2 % 5", 3),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("7 % -3", -2),
        ("1 + 2 << 3", 24),
        ("1 if 2 < 3 else 5", 1),
        ("(3 < 2) and 1 < 2 if False else 1 < 2", -1),
        ("math.floor(7 / 2) + math.ceil(7 / 2) + math.trunc(-7 / 2)", 4),
        ("round(5 / 2) + 10*round(7 / 2) + 100*round(-5 / 2)", 2 + 40 - 200),
        ("max(1, 5, 3) - min(4, 2) + abs(-3)", 6),
    ] {
        if want == -1 {
            assert_eq!(parse_plain_pred(text).map(|p| p.eval(&none)), Ok(Ok(true)));
        } else {
            assert_eq!(d(text).eval(&none), Ok(want), "{text}");
        }
    }
    assert_eq!(
        parse_plain_pred("(s0 > 2) & ~(s1 < 3) | Eq(s0, s1)"),
        parse_plain_pred("(s0 > 2 and not s1 < 3) or s0 == s1")
    );
}

#[test]
fn refused_forms_name_the_cause() {
    for text in ["", "s0 +", "(s0", "s0 s1", "2 $ 3", "Max(", "'x", "s0..x", "1 if s0", "not"] {
        assert!(matches!(parse_plain(text), Err(ParseError::Syntax { .. })), "{text}: {:?}", parse_plain(text));
    }
    for (text, name) in [
        ("sqrt(s0)", "sqrt"),
        ("FloatPow(s0, 2)", "FloatPow"),
        ("IsNonOverlappingAndDenseIndicator(s0, 1)", "IsNonOverlappingAndDenseIndicator"),
        ("RoundDecimal(s0, 2)", "RoundDecimal"),
        ("s0 / 2", "integer"),
        ("Mod(s0)", "Mod"),
        ("s0 < 2", "condition"),
        ("99999999999999999999", "64 bits"),
        ("floor(0.29*s0)", "float"),
        ("floor(IntTrueDiv(s0, 3)*5)", "rounded"),
        ("__import__('os')", "__import__"),
        ("s0.real", "attribute"),
    ] {
        match parse_plain(text) {
            Err(ParseError::Unsupported(what)) => assert!(what.contains(name), "{text}: {what}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(parse_srepr("s0").is_err());
    assert!(parse_srepr("Symbol('a b')").is_err());
    assert!(parse_srepr("Symbol('not')").is_err());
}

#[test]
fn untrusted_text_is_limited() {
    let deep = |open: &str, close: &str| format!("{}x{}", open.repeat(2000), close.repeat(2000));
    for text in [
        deep("(", ")"),
        deep("-", ""),
        deep("Max(1, ", ")"),
        deep("not ", ""),
        deep("2**", ""),
        deep("", "//y"),
        deep("", ".y"),
        deep("", "[0]"),
        deep("", "()"),
        deep("1 if x else ", ""),
    ] {
        assert!(matches!(parse_plain(&text), Err(ParseError::Limit("nesting"))), "{:?}", parse_plain(&text).err());
    }
    assert!(matches!(parse_plain(&"1+".repeat(100_000)), Err(ParseError::Limit(_))));
    assert!(matches!(parse_plain(&" ".repeat(1 << 20)), Err(ParseError::Limit(_))));
    // Wide texts within the limits are read in reasonable time.
    let sum: Vec<_> = (0..6000).map(|i| format!("x{i}")).collect();
    assert_eq!(d(&sum.join("+")).symbols().len(), 6000);
    assert_eq!(d(&format!("Max({})", sum.join(","))).symbols().len(), 6000);
    let all: Vec<_> = sum.iter().take(3000).map(|s| format!("{s}>2")).collect();
    assert_eq!(parse_plain_pred(&all.join(" and ")).map(|p| p.symbols().len()), Ok(3000));
}

#[test]
fn guards_read_inputs() {
    let guard = parse_guard(
        "((1 + (((-1) + L['x'].size()[3]) // 8))*L['d']['k'][0].stride()[-1]) != 1 and \
         2 <= L['n'] and L['a'].b.storage_offset() == getattr(L['a'], 'c').size(1) and \
         L['x'].size()[3] % 8 == 0 and L['t'].item() > 0 and L['x'].dim() == 4",
    )
    .unwrap();
    let texts: Vec<_> = guard.refs().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "L['x'].size()[3]",
            "L['d']['k'][0].stride()[-1]",
            "L['n']",
            "L['a'].b.storage_offset()",
            "L['a'].c.size()[1]",
            "L['t'].item()",
            "L['x'].dim()",
        ]
    );
    assert_eq!(
        guard.refs()[1],
        InputRef {
            path: vec![PathStep::Key("d".into()), PathStep::Key("k".into()), PathStep::Index(0)],
            what: InputProperty::Stride(-1),
        }
    );
    let names = ["x3", "k", "n", "off", "c1", "t", "rank"];
    let refs = guard.refs().to_vec();
    let pred = guard.to_pred(&|r| refs.iter().position(|x| x == r).map(|at| Dim::sym(names[at]))).unwrap();
    let want =
        parse_plain_pred("k*((x3 - 1)//8 + 1) != 1 and 2 <= n and off == c1 and x3 % 8 == 0 and t >= 1 and rank == 4");
    assert_eq!(Ok(pred), want);
    let missing = guard.to_pred(&|r| (r.what != InputProperty::Value).then(|| Dim::int(1)));
    assert!(matches!(missing, Err(ParseError::Unsupported(what)) if what.contains("L['n']")));
}

#[test]
fn guards_of_unknown_form_are_refused() {
    for text in [
        "L['x'].size()[0]",
        "L['x'].foo() == 1",
        "L['x'].size()[L['n']] == 1",
        "G['x'] == 1",
        "s0 == 1",
        "L['x'] is None",
        "L['x'].size() == (1, 2)",
        "len(L['x']) == 2",
        "L['x'].size()[0] / 5 < L['y'].size()[0] / 3",
    ] {
        assert!(parse_guard(text).is_err(), "{text}: {:?}", parse_guard(text));
    }
    assert!(parse_guard("L['x'].size()[0] / 2 < 3").is_ok());
    assert!(parse_guard("L['it\\'s'].size()[0] == 3").is_ok());
}

#[test]
fn random_text_never_panics() {
    const PARTS: [&str; 44] = [
        "s0",
        "s1",
        "L",
        "L['x']",
        ".size()",
        "[0]",
        "(",
        ")",
        ",",
        " + ",
        "-",
        "*",
        "**",
        "//",
        "/",
        " % ",
        "<<",
        ">>",
        " < ",
        "<=",
        "==",
        "!=",
        " and ",
        " or ",
        "not ",
        " if ",
        " else ",
        "0",
        "1",
        "-3",
        "2.5",
        "9223372036854775807",
        "Max(",
        "Mod(",
        "Where(",
        "FloorToInt(",
        "IntTrueDiv(",
        "RoundToInt(",
        "Rational(",
        "Symbol('s0')",
        "Pow(",
        "ModularIndexing(",
        "True",
        "'",
    ];
    let mut random = Random::new(7);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let mut text = String::new();
        for _ in 0..=random.below(9) {
            text.push_str(PARTS[random.below(PARTS.len() as u64) as usize]);
        }
        for dim in [parse_plain(&text), parse_srepr(&text)].into_iter().flatten() {
            accepted += 1;
            let simple = Scope::new().simplify(&dim);
            let _ = (dim.eval(&|_| Some(-3)), simple.eval(&|_| Some(i64::MIN)), dim.to_postfix());
            assert_eq!(d(&dim.to_string()), dim, "{text}");
        }
        for pred in [parse_plain_pred(&text), parse_srepr_pred(&text)].into_iter().flatten() {
            let _ = Scope::new().prove(&pred);
            assert_eq!(parse_plain_pred(&pred.to_string()), Ok(pred), "{text}");
        }
        let _ = parse_guard(&text);
    }
    assert!(accepted > 3000, "{accepted}");
}
