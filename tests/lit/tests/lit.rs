//! Every case under `cases/` is a test (or under the folder that `PT2C_LIT_CASES` names).

use std::path::Path;

fn case(path: &Path) -> datatest_stable::Result<()> {
    Ok(pt2c_lit::run_file(path)?)
}

fn root() -> String {
    std::env::var("PT2C_LIT_CASES").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/cases").to_string())
}

datatest_stable::harness! {
    { test = case, root = root(), pattern = r".*\.pt2c$" },
}
