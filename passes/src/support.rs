//! What is supported, as text for people: made from the operator table and the decompositions, never written by hand.

use crate::decompose::is_primitive;
use pt2c_ops::movement::movement_of;
use pt2c_ops::{Op, Tags, functional_of, ops};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How an operator is compiled.
fn how(op: &Op) -> &'static str {
    if op.def.tags.has(Tags::RANDOM) {
        "random"
    } else if op.def.formula.is_some() {
        "formula"
    } else if movement_of(&op.name).is_some() {
        "rearrangement"
    } else {
        "decomposed"
    }
}

/// The page `docs/operators.md`. `schemas` is the dump of PyTorch's schemas, for the forms that change an operand.
pub fn operators_page(schemas: &str) -> String {
    let mut rows: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for op in ops().filter(|op| !is_primitive(&op.name)) {
        let Some((namespace, rest)) = op.name.split_once('.') else { continue };
        let Some((base, overload)) = rest.split_once('.') else { continue };
        if let Some(reason) = op.def.refusal {
            refused.entry(reason).or_default().push(&op.name);
            continue;
        }
        *counts.entry(how(op)).or_default() += 1;
        rows.entry((namespace, base)).or_default().entry(how(op)).or_default().push(overload);
    }
    let mutable: Vec<String> = schemas
        .lines()
        .filter_map(|l| l.split_once('\t'))
        .filter(|(_, markers)| markers.split(',').any(|m| m == "inplace"))
        .filter_map(|(schema, _)| {
            let (namespace, rest) = schema.split_once("::")?;
            let (name, overload) = {
                let name = rest.split('(').next()?;
                name.split_once('.').unwrap_or((name, "default"))
            };
            Some(format!("{namespace}.{name}.{overload}"))
        })
        .filter(|name| functional_of(name).is_some_and(|(op, _)| op.def.refusal.is_none()))
        .collect();
    let total: usize = counts.values().sum();
    let mut page = String::from(
        "<!-- Made from the operator table by `make bless`; a test fails when it is stale. -->\n\n# Operators\n\n",
    );
    let _ = writeln!(
        page,
        "{total} operator overloads are compiled, and {} that change an operand in place through them. How:\n",
        mutable.len()
    );
    for (how, what) in [
        ("decomposed", "expanded into primitives"),
        ("formula", "one formula over other operators gives its inference, evaluation and expansion"),
        ("rearrangement", "only moves elements; costs nothing where addresses stay linear"),
        ("random", "drawn from a counter-based generator (Philox4x32-10), seeded through the context"),
    ] {
        let _ = writeln!(page, "* **{how}** ({}): {what}", counts.get(how).copied().unwrap_or(0));
    }
    page.push_str(
        "\nA call may still be refused for its arguments (a complex matrix to a factorisation, say); the message says what\nto do instead. What differs from PyTorch's own operator database is in `tests/conformance`.\n",
    );
    page.push_str("\n## Refused\n\n| operators | why, and what to do |\n| --- | --- |\n");
    for (reason, names) in &refused {
        let _ =
            writeln!(page, "| {} | {reason} |", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "));
    }
    let mut namespace = "";
    for ((of, base), kinds) in &rows {
        if *of != namespace {
            namespace = of;
            let _ = write!(page, "\n## {of}\n\n| operator | overloads | how |\n| --- | --- | --- |\n");
        }
        for (how, overloads) in kinds {
            let _ = writeln!(page, "| `{base}` | {} | {how} |", overloads.join(", "));
        }
    }
    page
}
