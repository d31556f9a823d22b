//! Several programs in one library.

mod common;

use pt2c_library::{Entry, WeightsPlacement, write_entries};

#[test]
fn two_programs_share_weights_and_state() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (common::spec("both_a"), common::spec("both_b"));
    let (first, second) = (common::weights(), common::weights());
    let entries = vec![
        Entry { spec: &a, code: common::code("both_a", folder.path()), weights: first.clone() },
        Entry { spec: &b, code: common::code("both_b", folder.path()), weights: second.clone() },
    ];
    let files = write_entries("both", entries, WeightsPlacement::Embedded, folder.path()).unwrap();
    assert_eq!(files.weights_size, first.size());
    let program = common::program("entries.c", folder.path(), &["both"], &[]);
    assert_eq!(
        common::stdout(&program, &[]),
        "weights shared\n11 44, b counted 0\nb counted 1\nb counted 2\n\
         there is no state to share: the owner is NULL or unusable\na counted 0\n"
    );
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(files.manifest).unwrap()).unwrap();
    let names: Vec<&str> = document["entries"].as_array().unwrap().iter().filter_map(|e| e["name"].as_str()).collect();
    assert_eq!(names, ["both_a", "both_b"]);
}
