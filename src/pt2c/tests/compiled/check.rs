//! What `pt2c check` says: of programs with one thing to say each, and of files that are no programs.

use pt2c::check::{self, Finding, Kind, Report};
use pt2c_ir::Severity;
use pt2c_pt2::ExportedProgram;
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models")
}

fn report(name: &str) -> Report {
    check::check_file(&models().join(format!("{name}.pt2")), &Default::default())
}

fn of(report: &Report, kind: Kind) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.kind == kind).collect()
}

#[test]
fn sizes_out_of_the_data_are_warnings_without_a_bound_only() {
    let bounded = report("dynamic/masks");
    let found = of(&bounded, Kind::DataDependent);
    assert!(!found.is_empty() && found.iter().all(|finding| finding.severity == Severity::Note), "{found:?}");
    assert!(found.iter().all(|finding| finding.notes.iter().any(|note| note.contains(" is at most "))), "{found:?}");

    let unbounded = report("dynamic/repeats");
    let found = of(&unbounded, Kind::DataDependent);
    assert!(found.iter().any(|finding| finding.severity == Severity::Warning && finding.fix.is_some()), "{found:?}");
    assert!(found.iter().all(|f| f.places.iter().all(|place| place.subject.contains(" = u"))), "{found:?}");

    // A number out of the data that is only computed with is no size.
    assert_eq!(of(&report("dynamic/item_as_float"), Kind::DataDependent), Vec::<&Finding>::new());
    assert!(bounded.passes() && unbounded.passes());
}

#[test]
fn rules_of_the_entry_and_of_the_data_are_two_things() {
    let report = report("dynamic/item_as_size");
    assert!(of(&report, Kind::Constraint).iter().all(|finding| !finding.what.contains("u0")), "{report:?}");
    assert!(of(&report, Kind::Assertion).iter().any(|finding| finding.what.contains("u0")), "{report:?}");
}

#[test]
fn reasons_and_remedies_stand_apart() {
    let path = models().join("versions/torch_2.10.0.linear.pt2");
    let mut exported = ExportedProgram::open(&path).expect("recorded");
    let nodes = &mut exported.program.graph_module.graph.nodes;
    let relu = nodes.iter_mut().find(|node| node.target == "torch.ops.aten.relu.default").expect("recorded");
    relu.target = "torch.ops.aten.poisson.default".into();
    let report = check::check("altered.pt2", &exported, &Default::default());
    let [finding] = of(&report, Kind::Operator)[..] else { panic!("{report:?}") };
    assert_eq!(
        finding.what,
        "the operator `aten.poisson.default` is not supported: Poisson numbers are found by rejection"
    );
    assert_eq!(finding.fix.as_deref(), Some("draw them outside the model and pass them in"));
    assert!(!report.passes() && report.is_readable());
    assert!(check::text(&report).starts_with("altered.pt2: does not compile: 1 error\n"), "{}", check::text(&report));
}

#[test]
fn what_is_no_program_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let pickle = folder.path().join("weights.pt2");
    std::fs::write(&pickle, [0x80, 4, b'}', b'.']).expect("writable");
    let whole = std::fs::read(models().join("hf_gpt2_tiny.pt2")).expect("recorded");
    let cut = folder.path().join("cut.pt2");
    std::fs::write(&cut, whole.get(..20_000).expect("longer")).expect("writable");
    for (path, said) in [
        (pickle.as_path(), "a pickle file"),
        (&cut, "cut off"),
        (folder.path(), "a folder"),
        (&folder.path().join("none.pt2"), "No such file"),
    ] {
        let report = check::check_file(path, &Default::default());
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert!(finding.kind == Kind::Archive && finding.what.contains(said), "{finding:?}");
        assert!(!report.passes() && !report.is_readable());
        assert!(check::text(&report).starts_with(&format!("{}: cannot be read\n", report.file)));
        assert_eq!(check::json(&report)["compiles"], serde_json::json!(false));
    }
}
