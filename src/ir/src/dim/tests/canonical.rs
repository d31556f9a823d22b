//! Canonical forms: equal values, printing, stack programs, overflow, limits.

use std::collections::{BTreeMap, BTreeSet};

use super::naive::{Cond, Random, Tree, lookup, values};
use crate::dim::{Dim, EvalError, Pred, Symbol, parse_plain, parse_plain_pred, run_postfix};

const CASES: u64 = 20_000;

fn d(text: &str) -> Dim {
    parse_plain(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn canonical_form_keeps_the_value() {
    let mut random = Random::new(1);
    let mut defined = 0;
    for _ in 0..CASES {
        let tree = Tree::random(&mut random, 4);
        let dim = tree.dim();
        for _ in 0..8 {
            let vars = values(&mut random, -12, 12);
            if let Some(want) = tree.eval(&vars) {
                defined += 1;
                assert_eq!(dim.eval(&lookup(&vars)), Ok(want), "{tree:?}\n{dim}\n{vars:?}");
                assert_eq!(run_postfix(&dim.to_postfix(), &lookup(&vars)), Some(want), "{dim} {vars:?}");
            }
        }
    }
    assert!(defined > CASES * 4);
}

#[test]
fn canonical_predicates_keep_the_truth_value() {
    let mut random = Random::new(2);
    for _ in 0..CASES {
        let cond = Cond::random(&mut random, 3);
        let pred = cond.pred();
        for _ in 0..8 {
            let vars = values(&mut random, -12, 12);
            if let Some(want) = cond.eval(&vars) {
                assert_eq!(pred.eval(&lookup(&vars)), Ok(want), "{cond:?}\n{pred}\n{vars:?}");
                assert_eq!(run_postfix(&pred.to_postfix(), &lookup(&vars)), Some(i64::from(want)), "{pred} {vars:?}");
            }
        }
    }
}

#[test]
fn printed_form_parses_back() {
    let mut random = Random::new(3);
    for _ in 0..CASES {
        let dim = Tree::random(&mut random, 4).dim();
        assert_eq!(d(&dim.to_string()), dim, "{dim}");
        let pred = Cond::random(&mut random, 3).pred();
        let text = pred.to_string();
        assert_eq!(parse_plain_pred(&text).as_ref(), Ok(&pred), "{text}");
    }
}

#[test]
fn substitution_agrees_with_evaluation() {
    let mut random = Random::new(4);
    for _ in 0..CASES / 4 {
        let tree = Tree::random(&mut random, 3);
        let by = Tree::random(&mut random, 2);
        let map = BTreeMap::from([(Symbol::from("x"), by.dim())]);
        let replaced = tree.dim().subs(&map);
        for _ in 0..6 {
            let vars = values(&mut random, -9, 9);
            let Some(inner) = by.eval(&vars) else {
                continue;
            };
            let changed = [inner, vars[1], vars[2]];
            if let Some(want) = tree.eval(&changed) {
                assert_eq!(replaced.eval(&lookup(&vars)), Ok(want), "{tree:?} {by:?} {replaced}");
            }
        }
    }
}

#[test]
fn linear_parts_recombine() {
    let mut random = Random::new(5);
    let x = Symbol::from("x");
    let mut linear = 0;
    for _ in 0..CASES {
        let dim = Tree::random(&mut random, 3).dim();
        if let Some((coeff, rest)) = dim.coefficient_of(&x) {
            linear += 1;
            assert!(!coeff.symbols().contains(&x) && !rest.symbols().contains(&x));
            assert_eq!(&coeff * Dim::sym("x") + &rest, dim, "{dim}: {coeff} and {rest}");
        }
    }
    assert!(linear > CASES / 4);
}

#[test]
fn equal_expressions_are_identical() {
    for (a, b) in [
        ("x + x", "2*x"),
        ("(x + y)*(x - y)", "x*x - y**2"),
        ("(x - 1)//2 + 1", "(x + 1)//2"),
        ("((x - 1)//2 - 1)//2 + 2", "(x - 3)//4 + 2"),
        ("(4*x)//4", "x"),
        ("(4*x + 6*y)//2", "2*x + 3*y"),
        ("(4*x + 2*y)//8", "(2*x + y)//4"),
        ("(6*x) % 4", "2*Mod(x, 2)"),
        ("(x // 4)*4 + x % 4", "x"),
        ("3*y*(x // y) + 3*(x % y) + 1", "3*x + 1"),
        ("(x*y + z)//y", "x + z//y"),
        ("(x*y + z) % y", "z % y"),
        ("(x*y)//(y*z)", "x//z"),
        ("(x % 12) % 4", "x % 4"),
        ("(x//3)//4", "x//12"),
        ("Max(x, y, x + 2, 3, 5)", "Max(5, y, x + 2)"),
        ("Min(Min(x, y), x)", "Min(y, x)"),
        ("CeilDiv(x, 4)", "(x + 3)//4"),
        ("-((-x)//4)", "(x + 3)//4"),
        ("ModularIndexing(x, 4, 8)", "(x//4) % 8"),
        ("x << 3", "8*x"),
        ("x >> 3", "x // 8"),
        ("((x + 1)*y + z + 1)//(x + 1)", "y + (z + 1)//(x + 1)"),
    ] {
        assert_eq!(d(a), d(b), "{a} and {b}");
    }
    for (a, b) in [
        ("2*x == 2*y", "y == x"),
        ("x > 1", "2 <= x"),
        ("3*x >= 7", "x >= 3"),
        ("not (x < y and y != 3)", "y <= x or y == 3"),
        ("2*x == 3", "False"),
        ("x + 1 > x", "True"),
        ("x < y or y <= x", "True"),
        ("1 < x < 5", "2 <= x and x <= 4"),
    ] {
        assert_eq!(parse_plain_pred(a), parse_plain_pred(b), "{a} and {b}");
    }
}

#[test]
fn printed_forms() {
    for (text, want) in [
        ("1 + 2*s0", "2*s0 + 1"),
        ("4 - s0", "-s0 + 4"),
        ("s0**2*s1", "s0**2*s1"),
        ("(s0 + 3)//4*2", "2*((s0 + 3) // 4)"),
        ("(s0 + 3) % s1", "Mod(s0 + 3, s1)"),
        ("Max(1, s1)", "Max(1, s1)"),
        ("2**s0", "PowByNatural(2, s0)"),
    ] {
        assert_eq!(d(text).to_string(), want);
    }
    let pred = parse_plain_pred("s0 >= 3 and (s1 < s0 or s1 == 8)").unwrap();
    assert_eq!(pred.to_string(), "3 <= s0 and (s1 < s0 or s1 == 8)");
}

#[test]
fn overflow_never_wraps() {
    let max = Dim::int(i64::MAX);
    let min = Dim::int(i64::MIN);
    let x = Dim::sym("x");
    let at = |v: i64| move |_: &Symbol| Some(v);
    for dim in [&max + 1, &min - 1, -&min, &max * 2, min.floor_div(&Dim::int(-1)), Dim::int(10).pow(&Dim::int(30))] {
        assert_eq!(dim.eval(&at(0)), Err(EvalError::Overflow), "{dim}");
        assert_eq!(d(&dim.to_string()), dim, "{dim}");
    }
    let big = &max * &x;
    assert_eq!(big.eval(&at(1)), Ok(i64::MAX));
    let bigger = &big + &big;
    assert_eq!(bigger.eval(&at(1)), Err(EvalError::Overflow));
    assert_eq!(bigger.eval(&at(0)), Ok(0));
    assert_eq!(d(&bigger.to_string()), bigger);
    assert_ne!(&max + 1, &max + 2);
    for text in [
        format!("Mod({}, -1)", i64::MIN),
        format!("(x - {}) // -1", i64::MAX),
        format!("x*{} % -{}", i64::MAX, i64::MAX),
        format!("Max(x, {}) - {}", i64::MIN, i64::MAX),
    ] {
        let dim = d(&text);
        assert_eq!(d(&dim.to_string()), dim, "{text}: {dim}");
    }
    assert_eq!(Pred::le(&(&max + 1), &x).eval(&at(0)), Err(EvalError::Overflow));
}

#[test]
fn undefined_operations_are_errors() {
    let none = |_: &Symbol| None;
    assert_eq!(d("5 // 0").eval(&none), Err(EvalError::DivisionByZero));
    assert_eq!(d("5 % 0").eval(&none), Err(EvalError::DivisionByZero));
    assert_eq!(d("x").eval(&none), Err(EvalError::UnknownSymbol("x".into())));
    assert_eq!(d("2**x").eval(&|_| Some(-1)), Err(EvalError::NegativeExponent));
    assert_eq!(run_postfix(&d("5 // x").to_postfix(), &|_| Some(0)), None);
    let guarded = parse_plain_pred("x == 0 or 12 % x == 0").unwrap();
    assert_eq!(guarded.eval(&|_| Some(0)), Ok(true));
    assert_eq!(run_postfix(&guarded.to_postfix(), &|_| Some(0)), Some(1));
    let chosen = d("Where(x == 0, 7, 12 // x)");
    assert_eq!(chosen.eval(&|_| Some(0)), Ok(7));
    assert_eq!(run_postfix(&chosen.to_postfix(), &|_| Some(0)), Some(7));
}

#[test]
fn large_products_stay_factored() {
    let mut product = Dim::ONE;
    for i in 0..40 {
        product = product * (Dim::sym(format!("a{i}")) + Dim::sym(format!("b{i}")) + 1);
    }
    assert!(product.size() < 500, "{}", product.size());
    assert_eq!(product.eval(&|s| Some(i64::from(s.as_str() == "a3"))), Ok(2));
    assert_eq!(d(&product.to_string()), product);
    assert!((&product - &product).is_zero());
}

#[test]
fn deep_expressions_become_opaque() {
    let build = |last: i64| {
        let mut dim = Dim::sym("x");
        for i in 0..100_000 {
            dim = Dim::sym("y").max(&dim * &dim).floor_div(&Dim::sym(format!("k{}", i % 7)));
        }
        dim + last
    };
    let dim = build(0);
    assert_eq!(dim.eval(&|_| Some(1)), Err(EvalError::TooLarge));
    assert_eq!(dim, build(0));
    assert_ne!(dim, build(1));
    assert_eq!(d(&dim.to_string()), dim);
}

#[test]
fn symbols_are_found() {
    let dim = d("Where(a < b, c//d, Max(e, f)) + g*h**2");
    let names: BTreeSet<Symbol> = "abcdefgh".chars().map(|c| c.to_string().into()).collect();
    assert_eq!(dim.symbols(), names);
    assert!(d("2*a + b*i + 3").is_affine_in(&BTreeSet::from(["a".into(), "i".into()])));
    assert!(!d("a*b").is_affine_in(&BTreeSet::from(["a".into(), "b".into()])));
    assert!(d("2*a + b - 3").is_affine());
    assert!(!d("a*b").is_affine());
    assert!(Symbol::from("u12").is_unbacked() && !Symbol::from("s12").is_unbacked());
}

#[test]
fn every_spelling_of_max_is_of_values() {
    let (x, three) = (Dim::sym("x"), Dim::int(3));
    let want = d("Max(3, x)");
    let by_reference = |x: &Dim| x.max(&three);
    assert_eq!(by_reference(&x), want);
    assert_eq!(x.clone().max(three.clone()), want);
    assert_eq!(std::cmp::max(x.clone(), three.clone()), want);
    assert_eq!(x.clone().min(three.clone()), d("Min(3, x)"));
}

#[test]
fn large_values_are_right_or_reported() {
    let mut random = Random::new(6);
    let (mut right, mut reported) = (0, 0);
    for _ in 0..CASES {
        let mut tree = Tree::random(&mut random, 3);
        tree.enlarge(&mut random);
        let dim = tree.dim();
        assert_eq!(d(&dim.to_string()), dim, "{dim}");
        for _ in 0..4 {
            let scale = 1i64 << random.below(62);
            let vars = values(&mut random, -12, 12).map(|v| v.wrapping_mul(scale));
            let Some(want) = tree.eval(&vars) else { continue };
            match dim.eval(&lookup(&vars)) {
                Ok(got) => {
                    right += 1;
                    assert_eq!(got, want, "{tree:?}\n{dim}\n{vars:?}");
                }
                // A sum that is multiplied out or regrouped may leave 64 bits where the original does not.
                Err(EvalError::Overflow) => reported += 1,
                Err(other) => panic!("{other}: {tree:?}\n{dim}\n{vars:?}"),
            }
        }
    }
    assert!(right > 10 * reported && right > CASES / 2, "{right} {reported}");
}

#[test]
fn quotient_and_remainder_join_whatever_they_are_multiplied_by() {
    for (apart, whole) in [
        ("2*(s0 // 2) + Mod(s0, 2)", "s0"),
        ("4*s1*(s0 // 2) + 2*s1*Mod(s0, 2)", "2*s0*s1"),
        ("s1*s2*((s0 + 1) // s1) + s2*Mod(s0 + 1, s1)", "s2*s0 + s2"),
    ] {
        assert_eq!(d(apart), d(whole), "{apart}");
    }
}
