//! PyTorch's own operator schemas: the archive leaves defaults out, and only the schema says what is written to.
//!
//! Import understands every ATen operator's arguments, also of operators that the compiler does not implement
//! (the operator table is about meaning; saying that an operator is unsupported is the verifier's, with all of
//! them at once).

use std::collections::BTreeSet;
use std::sync::OnceLock;

use indexmap::IndexMap;
use pt2c_ops::Schema;

/// `torch._C._jit_get_all_schemas()` of the namespace `aten`, one a line, tags behind a tab.
const DUMP: &str = include_str!("../../../../tests/conformance/schemas.txt");

/// The schema of an operator by its IR name (`aten.add.Tensor`). Operators outside `aten` are looked up in the
/// operator table.
pub fn schema(op: &str) -> Option<&'static Schema> {
    aten().get(op).or_else(|| pt2c_ops::lookup(op).map(|op| &op.schema))
}

/// All overloads of an ATen operator by their IR names: of `pow`, `aten.pow.Scalar` and others.
pub fn overloads(base: &str) -> impl Iterator<Item = (&'static str, &'static Schema)> {
    aten().iter().filter(move |(_, schema)| schema.name == base).map(|(name, schema)| (name.as_str(), schema))
}

fn aten() -> &'static IndexMap<String, Schema> {
    static ATEN: OnceLock<IndexMap<String, Schema>> = OnceLock::new();
    ATEN.get_or_init(|| {
        let lines = DUMP.lines().map(|line| line.split('\t').next().unwrap_or(line));
        lines
            .filter_map(|line| {
                // A few take types that no exported program can hold (dimension names, quantisers).
                let schema = Schema::parse(line).ok()?;
                let overload = if schema.overload.is_empty() { "default" } else { &schema.overload };
                Some((format!("aten.{}.{overload}", schema.name), schema))
            })
            .collect()
    })
}

/// Whether an operator draws random numbers.
pub fn is_random(op: &str) -> bool {
    static RANDOM: OnceLock<BTreeSet<String>> = OnceLock::new();
    let random = RANDOM.get_or_init(|| {
        let lines = DUMP.lines().filter_map(|line| line.split_once('\t'));
        let drawn = lines.filter(|(_, tags)| tags.split(',').any(|tag| tag == "nondeterministic_seeded"));
        drawn
            .filter_map(|(schema, _)| Some(schema.strip_prefix("aten::")?.split('(').next()?.to_owned()))
            .map(|name| if name.contains('.') { format!("aten.{name}") } else { format!("aten.{name}.default") })
            .collect()
    });
    random.contains(op)
}

/// The operator's name without namespace and overload: `aten.add_.Tensor` → `add_`. `None` outside `aten`.
pub fn aten_base(op: &str) -> Option<&str> {
    let rest = op.strip_prefix("aten.")?;
    Some(rest.split_once('.').map_or(rest, |(base, _)| base))
}

/// The overload: `aten.add_.Tensor` → `Tensor`.
pub fn overload(op: &str) -> &str {
    op.rsplit_once('.').map_or("", |(_, overload)| overload)
}

/// The IR's name of a node's target: `torch.ops.aten.add.Tensor` → `aten.add.Tensor`,
/// `torch.ops.higher_order.cond` → `higher_order.cond`, `_operator.mul` → `py._operator.mul`.
pub fn op_name(target: &str) -> String {
    match target.strip_prefix("torch.ops.") {
        Some(op) => op.to_owned(),
        None => format!("py.{}", target.trim_start_matches('#')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_every_aten_schema_is_read() {
        let unread: Vec<&str> =
            DUMP.lines().filter(|line| Schema::parse(line.split('\t').next().unwrap_or("")).is_err()).collect();
        assert!(unread.len() < DUMP.lines().count() / 20, "{unread:#?}");
        for op in ["aten.add_.Tensor", "aten.conv2d.default", "aten.index_put_.default", "aten.slice.Tensor"] {
            assert!(schema(op).is_some(), "{op}");
        }
    }

    #[test]
    fn writes_and_views_are_marked() {
        let add = schema("aten.add_.Tensor").expect("there");
        assert!(add.params[0].mutated && !add.params[1].mutated);
        assert_eq!(schema("aten.slice.Tensor").expect("there").returns, ["Tensor(a)"]);
    }
}
