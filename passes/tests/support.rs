//! The page of supported operators is what the table says, and the table covers what PyTorch exports.

use pt2c_ops::{functional_of, lookup};
use pt2c_passes::support::operators_page;
use std::path::Path;

const SCHEMAS: &str = include_str!("../../tests/conformance/schemas.txt");

#[test]
fn the_page_of_operators_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md");
    let page = operators_page(SCHEMAS);
    if std::env::var_os("PT2C_BLESS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == page, "docs/operators.md is stale: run `make bless`");
}

/// Sizes are expressions, not values, and storage is ours: import resolves these, or they make no sense in a library.
const NOT_CALLS: [&str; 9] = [
    "aten._local_scalar_dense.default",
    "aten.resize_.default",
    "aten.sym_is_contiguous.default",
    "aten.sym_numel.default",
    "aten.sym_size.int",
    "aten.sym_storage_offset.default",
    "aten.sym_stride.int",
    "aten.atan2.out",
    "aten.nonzero.default",
];

/// The official set of operators: each is in the table, or is the in-place form of one that is.
#[test]
fn core_aten_is_covered() {
    let mut missing = Vec::new();
    for line in SCHEMAS.lines() {
        let Some((schema, markers)) = line.split_once('\t') else { continue };
        if !markers.split(',').any(|m| m == "core") {
            continue;
        }
        let Some((namespace, rest)) = schema.split_once("::") else { continue };
        let name = rest.split('(').next().unwrap_or(rest);
        let (base, overload) = name.split_once('.').unwrap_or((name, "default"));
        let full = format!("{namespace}.{base}.{overload}");
        let functional = format!("{namespace}.{base}_functional.{overload}");
        if lookup(&full).or(lookup(&functional)).is_none()
            && functional_of(&full).is_none()
            && !NOT_CALLS.contains(&full.as_str())
        {
            missing.push(full);
        }
    }
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
