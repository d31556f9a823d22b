//! Every declaration parses, no name is taken twice, and PyTorch's operators have PyTorch's schemas.

use pt2c_ops::{Schema, aten, lookup, prim};
use std::collections::BTreeMap;

const DUMP: &str = include_str!("../../../tests/conformance/schemas.txt");

#[test]
fn every_declaration_is_in_the_table_once() {
    let mut seen = BTreeMap::new();
    for (namespace, def) in aten::FAMILIES
        .iter()
        .flat_map(|f| f.iter().map(|d| ("aten", d)))
        .chain(prim::FAMILIES.iter().flat_map(|f| f.iter().map(|d| ("prim", d))))
    {
        let schema = Schema::parse(def.schema).unwrap_or_else(|e| panic!("{e}"));
        let name = def.full_name(namespace, &schema);
        assert!(lookup(&name).is_some(), "{name} is not in the table");
        assert!(seen.insert(name.clone(), def.schema).is_none(), "{name} is declared twice");
    }
}

#[test]
fn schemas_are_those_of_pytorch() {
    let dump: BTreeMap<&str, &str> =
        DUMP.lines().filter_map(|l| l.split('\t').next()).filter_map(|l| Some((l.split('(').next()?, l))).collect();
    let mut wrong = Vec::new();
    for def in aten::FAMILIES.iter().flat_map(|f| f.iter()) {
        let own = if def.schema.split('(').next().is_some_and(|n| n.contains("::")) {
            def.schema.to_string()
        } else {
            format!("aten::{}", def.schema)
        };
        match own.split('(').next().and_then(|name| dump.get(name)) {
            Some(&line) if line == own => {}
            Some(line) => wrong.push(format!("ours:      {own}\nPyTorch's: {line}")),
            None => wrong.push(format!("PyTorch has no {own}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
