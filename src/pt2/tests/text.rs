//! The text form of every recorded program reads back to the same program, and the verifier finds nothing in it.

mod common;

use common::{load, models};
use pt2c_ir::Program;
use pt2c_ir::text::{parse, print};
use pt2c_pt2::import;

fn imported() -> Vec<(String, Program)> {
    let mut names: Vec<String> = std::fs::read_dir(models())
        .expect("there")
        .filter_map(|entry| {
            entry.expect("readable").file_name().into_string().ok()?.strip_suffix(".pt2").map(str::to_string)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 13);
    names.into_iter().map(|name| (name.clone(), import(&load(&name)).expect("imports").program)).collect()
}

#[test]
fn recorded_programs_round_trip() {
    for (name, program) in imported() {
        let text = print(&program);
        let again = parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(text, print(&again), "{name}");
        assert_eq!(program.graph.len(), again.graph.len(), "{name}");
        assert_eq!(program.signature, again.signature, "{name}");
        assert_eq!(program.constraints, again.constraints, "{name}");
        assert_eq!(program.locations, again.locations, "{name}");
    }
}

#[test]
fn the_verifier_finds_nothing_in_recorded_programs() {
    for (name, program) in imported() {
        let found = pt2c_ops::verify::verify(&program, pt2c_ops::verify::Stage::Imported);
        assert!(found.is_empty(), "{name}: {}", found.iter().map(|d| format!("{d}\n")).collect::<String>());
    }
}
