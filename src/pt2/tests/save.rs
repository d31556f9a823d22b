//! What is written reads back as what it was; the bytes are those of the format and the same every time.

mod common;

use common::{load, models};
use pt2c_ir::Bytes;
use pt2c_ir::text::print;
use pt2c_pt2::archive::Archive;
use pt2c_pt2::payload::{Payload, Payloads};
use pt2c_pt2::schema::{InputSpec, OutputSpec};
use pt2c_pt2::{ExportedProgram, export, import};

/// Every recorded program, old archives included.
fn all() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "versions/", "effects/"] {
        for file in std::fs::read_dir(models().join(folder)).expect("there") {
            let file = file.expect("readable").file_name().into_string().expect("UTF-8");
            if let Some(name) = file.strip_suffix(".pt2") {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    names.sort();
    assert!(names.len() > 20);
    names
}

fn read(bytes: Vec<u8>) -> ExportedProgram {
    ExportedProgram::from_archive(&Archive::from_bytes(Bytes::new(bytes)).expect("opens"), None).expect("loads")
}

fn assert_same_tensors(name: &str, before: &Payloads, after: &Payloads) {
    let keys = |payloads: &Payloads| payloads.entries.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(before), keys(after), "{name}");
    let tensors = |payloads: &Payloads| {
        let tensors = payloads.entries.values().map(|payload| match payload {
            Payload::Tensor(tensor) => tensor.clone(),
            Payload::Pickled { .. } => panic!("{name}: a pickle"),
        });
        tensors.collect::<Vec<_>>()
    };
    let (before, after) = (tensors(before), tensors(after));
    for (index, (a, b)) in before.iter().zip(&after).enumerate() {
        assert_eq!((a.dtype, &a.sizes, &a.strides, a.offset), (b.dtype, &b.sizes, &b.strides, b.offset), "{name}");
        assert_eq!((a.is_param, a.requires_grad, &a.device), (b.is_param, b.requires_grad, &b.device), "{name}");
        assert_eq!(*a.storage.bytes, *b.storage.bytes, "{name}: the whole storage stays");
        for (other, (c, d)) in before.iter().zip(&after).enumerate().take(index) {
            if a.dtype == c.dtype && !a.storage.bytes.is_empty() {
                let shared = a.storage.bytes.same_storage(&c.storage.bytes);
                assert_eq!(shared, b.storage.bytes.same_storage(&d.storage.bytes), "{name}: {index} and {other}");
            }
        }
    }
}

#[test]
fn programs_read_back_as_they_were() {
    for name in all() {
        let program = load(&name);
        let bytes = program.to_bytes().unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = read(bytes.clone());
        assert_eq!(program.program.graph_module, again.program.graph_module, "{name}");
        assert_eq!(program.program.range_constraints, again.program.range_constraints, "{name}");
        assert_eq!(program.program.guards_code, again.program.guards_code, "{name}");
        assert_same_tensors(&name, &program.state_dict, &again.state_dict);
        assert_same_tensors(&name, &program.constants, &again.constants);
        assert_eq!(*program.example_inputs, *again.example_inputs, "{name}");
        assert_eq!(program.extra_files.len(), again.extra_files.len(), "{name}");
        assert_eq!(bytes, again.to_bytes().expect("writes"), "{name}: the same bytes again");
    }
}

#[test]
fn entries_are_stored_and_aligned() {
    let bytes = Bytes::new(load("real_crepe_tiny.dyn").to_bytes().expect("writes"));
    let archive = Archive::from_bytes(bytes.clone()).expect("opens");
    assert_eq!(archive.root(), "real_crepe_tiny.dyn");
    for name in archive.names() {
        let entry = archive.read(name).expect("there");
        // A range of the file itself: stored.
        let start = (entry.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize).expect("inside");
        assert!(start < bytes.len() && start.is_multiple_of(64), "{name} at {start}");
    }
    for name in ["archive_format", "archive_version", ".data/version", "byteorder"] {
        assert!(archive.contains(name), "{name}");
    }
}

#[test]
fn the_folder_is_named_after_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other name.pt2");
    load("m_lstm").save(&path).expect("writes");
    assert_eq!(Archive::open(&path).expect("opens").root(), "other name");
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1, "no partial file stays");
    let nowhere = folder.path().join("missing/x.pt2");
    assert!(load("m_lstm").save(&nowhere).is_err());
}

/// import → export → import gives the same IR: nothing is lost on the way back to the archive's form.
#[test]
fn functional_programs_survive_the_way_back() {
    for name in all() {
        let program = load(&name);
        let imported = import(&program).unwrap_or_else(|error| panic!("{name}: {error}")).program;
        let exported = export(&imported, Some(&program)).unwrap_or_else(|error| panic!("{name}: {error}"));
        exported.lint().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(exported.program.verifiers, ["ATEN"], "{name}");
        let again =
            import(&read(exported.to_bytes().expect("writes"))).unwrap_or_else(|e| panic!("{name}: {e}")).program;
        let (before, mut after) = (normal(&print(&imported)), normal(&print(&again)));
        if name == "effects/tied" {
            // Two buffers with one value: PyTorch knows mutations by names of values, so the second is a copy.
            let (copy, returned) = ("  %4: f32[4] = aten.clone.default(%2, none)", "  return %2, %4, %3");
            assert!(after.iter().any(|line| line == returned), "{after:?}");
            after.retain(|line| line != copy);
            after.iter_mut().filter(|line| *line == returned).for_each(|line| *line = "  return %2, %2, %3".to_owned());
        }
        assert_eq!(before, after, "{name}");
    }
}

/// Programs with control flow and with sizes and numbers that data decide compute the same after import → export →
/// import.
#[test]
fn control_flow_and_late_sizes_survive_the_way_back() {
    let folder = models().join("dynamic");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("there")
        .filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".pt2")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 20);
    for name in names {
        let program = load(&format!("dynamic/{name}"));
        let imported = import(&program).unwrap_or_else(|error| panic!("{name}: {error}")).program;
        let exported = export(&imported, Some(&program)).unwrap_or_else(|error| panic!("{name}: {error}"));
        exported.lint().unwrap_or_else(|error| panic!("{name}: {error}"));
        // PyTorch pairs them: an effect that is gone takes both.
        let signature = exported.graph_signature();
        let given = signature.input_specs.iter().filter(|spec| matches!(spec, InputSpec::Token(_))).count();
        let returned = signature.output_specs.iter().filter(|spec| matches!(spec, OutputSpec::Token(_))).count();
        assert_eq!(given, returned, "{name}: tokens");
        let bytes = std::fs::read(folder.join(format!("{name}.inputs.safetensors"))).expect("recorded");
        let inputs = common::inputs(&imported, &bytes);
        let again = read(exported.to_bytes().expect("writes"));
        let mut modules = [&program, &again].map(|p| p.module().unwrap_or_else(|error| panic!("{name}: {error}")));
        let [before, after] =
            modules.each_mut().map(|module| module.call(&inputs).unwrap_or_else(|e| panic!("{name}: {e}")));
        assert_eq!(format!("{:?}", before.outputs), format!("{:?}", after.outputs), "{name}");
        assert_eq!(before.buffers, after.buffers, "{name}");
    }
}

/// The text form without what may differ: value names and locations.
fn normal(text: &str) -> Vec<String> {
    let mut numbers = std::collections::BTreeMap::new();
    let word = |word: &str| -> String {
        let Some(name) = word.strip_prefix('%') else { return word.to_owned() };
        let count = numbers.len();
        format!("%{}", numbers.entry(name.to_owned()).or_insert(count))
    };
    let mut word = word;
    text.lines()
        .filter(|line| !line.trim_start().starts_with("loc") && !line.trim_start().starts_with('#'))
        .map(|line| {
            let line = line.split(" loc(").next().unwrap_or(line);
            line.split_inclusive(|c: char| !(c.is_alphanumeric() || "_%.".contains(c)))
                .map(|part| {
                    let end = part.len()
                        - part
                            .chars()
                            .last()
                            .filter(|c| !(c.is_alphanumeric() || "_%.".contains(*c)))
                            .map_or(0, char::len_utf8);
                    format!("{}{}", word(&part[..end]), &part[end..])
                })
                .collect()
        })
        .collect()
}
