//! Expressions and guards as PyTorch prints them, with the values that sympy and Python compute (`recorded.tsv`, made
//! by `record.py` with PyTorch 2.15).

use std::collections::BTreeMap;

use crate::dim::{Dim, Pred, parse_guard, parse_plain, parse_plain_pred, parse_srepr, parse_srepr_pred};

enum Parsed {
    Number(Dim),
    Condition(Pred),
}

fn read(notation: &str, text: &str) -> Parsed {
    let fail = |e| panic!("{notation} {text}: {e}");
    match notation {
        "srepr" => Parsed::Number(parse_srepr(text).unwrap_or_else(fail)),
        "str" => Parsed::Number(parse_plain(text).unwrap_or_else(fail)),
        "srepr_pred" => Parsed::Condition(parse_srepr_pred(text).unwrap_or_else(|e| panic!("{text}: {e}"))),
        "str_pred" => Parsed::Condition(parse_plain_pred(text).unwrap_or_else(|e| panic!("{text}: {e}"))),
        "guard" => {
            let guard = parse_guard(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let name = |text: &str| match text {
                "L['x'].size()[0]" => Some(Dim::sym("s0")),
                "L['d']['k'][1].size()[2]" => Some(Dim::sym("s1")),
                "L['n']" => Some(Dim::sym("s77")),
                _ => None,
            };
            Parsed::Condition(guard.to_pred(&|r| name(&r.to_string())).unwrap_or_else(|e| panic!("{text}: {e}")))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn recorded_texts_have_the_recorded_values() {
    let mut checked = BTreeMap::new();
    for line in include_str!("recorded.tsv").lines() {
        let mut fields = line.split('\t');
        let (notation, text) = (fields.next().unwrap(), fields.next().unwrap());
        let parsed = read(notation, text);
        for pair in fields {
            let (vars, want) = pair.split_once(':').unwrap();
            let vars: Vec<i64> = vars.split(',').map(|v| v.parse().unwrap()).collect();
            let lookup =
                |s: &crate::dim::Symbol| ["s0", "s1", "s77"].iter().position(|n| *n == s.as_str()).map(|at| vars[at]);
            let got = match &parsed {
                Parsed::Number(dim) => dim.eval(&lookup),
                Parsed::Condition(pred) => pred.eval(&lookup).map(i64::from),
            };
            assert_eq!(got, Ok(want.parse().unwrap()), "{notation} {text} at {vars:?}");
            *checked.entry(notation.to_owned()).or_insert(0) += 1;
        }
    }
    assert!(checked.len() == 5 && checked.values().all(|n| *n > 400), "{checked:?}");
}
