//! Damaged and dishonest containers: each is refused with the error that names what is wrong, and never a panic.

mod common;

use common::Entries;
use pt2c_ir::Bytes;
use pt2c_pt2::archive::{Archive, ArchiveError, Layout};

fn open(bytes: Vec<u8>) -> ArchiveError {
    Archive::from_bytes(Bytes::new(bytes)).expect_err("must be refused")
}

fn weight(program: &pt2c_pt2::ExportedProgram) -> Vec<u8> {
    let tensor = program.tensor("w").expect("no pickle").expect("there");
    tensor.data("w").expect("f32").to_dense().into_owned()
}

fn layout_of(bytes: Vec<u8>) -> Layout {
    match open(bytes) {
        ArchiveError::WrongLayout { layout } => layout,
        other => panic!("expected WrongLayout, got {other:?}"),
    }
}

/// Finds the nth header with this signature.
fn find(bytes: &[u8], signature: &[u8], nth: usize) -> usize {
    bytes.windows(4).enumerate().filter(|(_, window)| *window == signature).nth(nth).expect("present").0
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_good_archive_opens_stored_and_deflated() {
    let mut sample = Entries::sample();
    let program = sample.load().expect("stored");
    assert_eq!(program.input_names(), ["x"]);
    assert_eq!(program.output_names(), ["output"]);
    sample.deflate = true;
    let again = sample.load().expect("deflated");
    assert_eq!(program.program, again.program);
    assert_eq!(weight(&program), weight(&again));
}

#[test]
fn stored_entries_are_not_copied() {
    let file = Bytes::new(Entries::sample().write());
    let archive = Archive::from_bytes(file.clone()).expect("good");
    let entry = archive.read("data/weights/weight_0").expect("there");
    let whole = file.as_ptr_range();
    assert!(whole.contains(&entry.as_ptr()));
}

#[test]
fn other_files_are_named() {
    assert_eq!(layout_of(Vec::new()), Layout::Other("an empty file"));
    assert_eq!(layout_of(b"\x1c\0\0\0ET12....".to_vec()), Layout::ExecuTorch);
    assert!(
        matches!(layout_of(b"version https://git-lfs.github.com".to_vec()), Layout::Other(name) if name.contains("Git LFS"))
    );
    assert_eq!(layout_of(vec![0x80, 2, b'}']), Layout::Pickle);
    assert!(matches!(layout_of(vec![7; 1000]), Layout::Other(name) if name.contains("unknown format")));
    let zip = |names: &[&str]| Entries {
        root: String::new(),
        entries: names.iter().map(|n| ((*n).to_owned(), vec![1])).collect(),
        deflate: false,
    };
    let read =
        |names: &[&str]| Archive::from_bytes(Bytes::new(zip(names).write())).expect("a program").layout().clone();
    assert_eq!(read(&["serialized_exported_program.json", "version"]), Layout::FlatExport);
    assert_eq!(read(&["m/models/model.json", "m/data/weights/model.pt"]), Layout::Pt2PickledWeights);
    let cases: [(&[&str], Layout); 6] = [
        (&["m/data.pkl", "m/code/x.py", "m/constants.pkl"], Layout::TorchScript),
        (&["m/data.pkl", "m/data/0"], Layout::TorchSave),
        (&["m/data/aotinductor/model/x.so", "m/archive_format"], Layout::AotInductor),
        (&["m/data/executorch/x.pte"], Layout::ExecuTorch),
        (&["a.npy"], Layout::Other("a NumPy .npz file")),
        (&["readme.txt"], Layout::UnknownZip(vec!["readme.txt".to_owned()])),
    ];
    for (names, expected) in cases {
        assert_eq!(layout_of(zip(names).write()), expected);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = Entries::sample().write();
    for length in (0..bytes.len()).step_by(7) {
        let result = Archive::from_bytes(Bytes::new(bytes[..length].to_vec()));
        assert!(result.is_err(), "{length} of {} bytes", bytes.len());
    }
}

#[test]
fn every_flipped_byte_is_an_error_or_harmless() {
    let bytes = Entries::sample().write();
    let whole = Entries::sample().load().expect("good");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        // Timestamps and the like may change without harm; whatever loads is the same program.
        if let Ok(archive) = Archive::from_bytes(Bytes::new(damaged))
            && let Ok(program) = pt2c_pt2::ExportedProgram::from_archive(&archive, None)
        {
            assert_eq!(program.program, whole.program, "byte {at}");
            assert_eq!(weight(&program), weight(&whole), "byte {at}");
        }
    }
}

#[test]
fn a_damaged_weight_fails_its_checksum() {
    let sample = Entries::sample().with("data/weights/weight_0", vec![0xEE; 24]);
    let mut bytes = sample.write();
    let at = bytes.windows(24).position(|w| w == [0xEE; 24]).expect("stored");
    bytes[at + 3] = 0;
    let archive = Archive::from_bytes(Bytes::new(bytes)).expect("the directory is whole");
    assert!(matches!(
        archive.read("data/weights/weight_0"),
        Err(ArchiveError::Checksum { name, .. }) if name == "data/weights/weight_0"
    ));
}

#[test]
fn sizes_that_lie_are_refused() {
    // Central header: compressed size at 20, uncompressed size at 24, local header's offset at 42.
    let bytes = Entries::sample().write();
    let central = find(&bytes, CENTRAL, 0);

    let mut larger = bytes.clone();
    put_u32(&mut larger, central + 24, 1 << 30);
    assert!(matches!(open(larger), ArchiveError::BadEntry { reason, .. } if reason.contains("stored")));

    let mut outside = bytes.clone();
    put_u32(&mut outside, central + 20, 1 << 30);
    put_u32(&mut outside, central + 24, 1 << 30);
    assert!(matches!(open(outside), ArchiveError::BadEntry { reason, .. } if reason.contains("inside the file")));

    let mut elsewhere = bytes.clone();
    put_u32(&mut elsewhere, central + 42, 0x7FFF_0000);
    assert!(matches!(open(elsewhere), ArchiveError::Damaged { .. } | ArchiveError::WrongLayout { .. }));

    // The second entry claims the first one's bytes.
    let mut shared = bytes.clone();
    let second = find(&bytes, CENTRAL, 1);
    let first_local = find(&bytes, LOCAL, 0) as u32;
    put_u32(&mut shared, second + 42, first_local);
    assert!(matches!(open(shared), ArchiveError::Overlap { .. } | ArchiveError::Damaged { .. }));
}

#[test]
fn a_deflate_bomb_is_refused_before_it_is_inflated() {
    let mut sample = Entries::sample();
    sample.deflate = true;
    let bytes = sample.write();
    let central = find(&bytes, CENTRAL, 3);
    let mut bomb = bytes.clone();
    put_u32(&mut bomb, central + 24, 0xFFFF_0000);
    assert!(matches!(open(bomb), ArchiveError::BadEntry { reason, .. } if reason.contains("cannot become")));

    // A smaller lie is found when the entry is read.
    let honest = u32::from_le_bytes(bytes[central + 24..central + 28].try_into().expect("four"));
    for lie in [honest - 1, honest + 1] {
        let mut bytes = bytes.clone();
        put_u32(&mut bytes, central + 24, lie);
        let archive = Archive::from_bytes(Bytes::new(bytes)).expect("plausible");
        assert!(matches!(archive.read("models/model.json"), Err(ArchiveError::BadEntry { .. })));
    }
}

#[test]
fn duplicate_names_are_refused() {
    let bytes = Entries::sample().with("data/weights/weight_1", vec![1; 8]).write();
    // Rename weight_1 to weight_0 everywhere.
    let mut twice = bytes.clone();
    let needle = b"data/weights/weight_1";
    for at in 0..bytes.len() - needle.len() {
        if &bytes[at..at + needle.len()] == needle {
            twice[at + needle.len() - 1] = b'0';
        }
    }
    assert!(matches!(open(twice), ArchiveError::DuplicateEntry { name } if name.ends_with("weight_0")));
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    for name in ["../evil", "a/../../evil", "a//b", "./x", "a\\b", "a\u{1}b"] {
        let error = Entries::sample().with(name, vec![1]).archive().expect_err("refused");
        assert!(matches!(error, ArchiveError::UnsafeName { .. }), "{name}: {error:?}");
    }
    let mut absolute = Entries::sample();
    absolute.root = "/sample".to_owned();
    assert!(matches!(absolute.archive(), Err(ArchiveError::UnsafeName { .. })));
}

#[test]
fn two_roots_are_refused() {
    let mut sample = Entries::sample();
    sample.root = String::new();
    for entry in &mut sample.entries {
        entry.0 = format!("a/{}", entry.0);
    }
    sample.entries.push(("b/extra/x".to_owned(), vec![1]));
    assert!(matches!(sample.archive(), Err(ArchiveError::TwoRoots { first, second }) if first == "a" && second == "b"));
}

#[test]
fn markers_are_checked() {
    let error = Entries::sample().with("byteorder", "big").archive();
    assert!(matches!(error, Err(ArchiveError::Unsupported { what: "byteorder", .. })));
    let error = Entries::sample().with("archive_version", "1").archive();
    assert!(matches!(error, Err(ArchiveError::Unsupported { what: "archive_version", .. })));
}

#[test]
fn a_missing_config_is_named() {
    let name = "data/constants/model_constants_config.json";
    let error = Entries::sample().without(name).load().expect_err("refused");
    assert!(error.to_string().contains(name), "{error}");
}
