//! The `sh` blocks of the pages in `docs/` are run, in a folder that holds the recorded programs. (The Rust blocks are
//! tests of the `pt2c-pt2` crate.)

use std::path::{Path, PathBuf};
use std::process::Command;

/// The `sh` blocks of a page, with the lines on which they begin.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let (mut blocks, mut open) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line) {
            (None, "```sh") => open = Some((number + 1, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// A folder with links to the recorded programs.
fn folder(root: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let models = root.join("tests/models");
    for entry in [models.clone(), models.join("modules"), models.join("custom")] {
        for file in std::fs::read_dir(entry).expect("there") {
            let file = file.expect("readable");
            let name = file.file_name().into_string().expect("UTF-8");
            if [".pt2", ".safetensors"].iter().any(|end| name.ends_with(end)) {
                std::os::unix::fs::symlink(file.path(), folder.path().join(name)).expect("links");
            }
        }
    }
    std::os::unix::fs::symlink(models.join("versions"), folder.path().join("versions")).expect("links");
    folder
}

#[test]
fn the_commands_of_the_pages_work() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_pt2c"));
    let path =
        format!("{}:{}", binary.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let mut run = 0;
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(root.join("docs")).expect("there").map(|file| file.expect("readable").path()).collect();
    pages.sort();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
        let folder = folder(&root);
        for (line, block) in blocks(&std::fs::read_to_string(page).expect("UTF-8")) {
            let done = Command::new("bash")
                .args(["-euo", "pipefail", "-c", &block])
                .current_dir(folder.path())
                .env("PATH", &path)
                .env("PT2C", &binary)
                .env("PT2C_SOURCE", root.canonicalize().expect("there"))
                .env("CARGO_TARGET_DIR", folder.path().join("target"))
                .output()
                .expect("bash runs");
            let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success(), "{}:{line}\n{block}\n{said}", page.display());
            run += 1;
        }
    }
    assert!(run >= 12, "{run} blocks");
}
