//! Which kind of file this is: PyTorch writes half a dozen formats that users confuse with one another, several
//! of them under the same extension, so each is recognised and named.

use std::fmt;

/// What a file turned out to be, from its first bytes or from the entry names of the zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `torch.export.save` of torch 2.9 and later: one root folder, raw weight files, JSON configs.
    Pt2,
    /// `torch.export.save` of torch 2.8: one root folder, but weights in a pickle.
    Pt2PickledWeights,
    /// `torch.export.save` of torch 2.1 to 2.7: a flat zip.
    FlatExport,
    /// `torch.jit.save`.
    TorchScript,
    /// `torch.save` (a state dict or a pickled module).
    TorchSave,
    /// A bare pickle, which is also what `torch.save` wrote before zip files.
    Pickle,
    /// `torch._inductor.aoti_compile_and_package`: a compiled library, no program.
    AotInductor,
    /// An ExecuTorch program.
    ExecuTorch,
    /// An ONNX model is not a zip; the others are formats that people keep next to their models.
    Other(&'static str),
    /// A zip with none of the marks above; the first names found in it.
    UnknownZip(Vec<String>),
}

impl Layout {
    /// Whether `torch.export.save` of some version writes it.
    pub fn is_program(&self) -> bool {
        matches!(self, Layout::Pt2 | Layout::Pt2PickledWeights | Layout::FlatExport)
    }

    /// What the user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Layout::Pt2 | Layout::Pt2PickledWeights | Layout::FlatExport => "nothing: pt2c reads this format",
            Layout::TorchScript => {
                "TorchScript cannot be compiled: export the original module with torch.export.export and save that with torch.export.save"
            }
            Layout::TorchSave | Layout::Pickle => {
                "this holds weights or a pickled module but no program: load it in Python, then torch.export.export the module and torch.export.save the result"
            }
            Layout::AotInductor => {
                "this is already compiled by AOTInductor: save the exported program with torch.export.save instead"
            }
            Layout::ExecuTorch => {
                "this is already lowered for ExecuTorch: save the exported program with torch.export.save before to_edge()/to_executorch()"
            }
            Layout::Other(_) | Layout::UnknownZip(_) => {
                "pt2c reads what torch.export.save writes: torch.export.save(torch.export.export(module, args), \"model.pt2\")"
            }
        }
    }

    /// Recognises a file that is not a zip by its first bytes.
    pub(super) fn of_plain_file(bytes: &[u8]) -> Layout {
        let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        if bytes.is_empty() {
            return Layout::Other("an empty file");
        }
        // A FlatBuffer has its file identifier after the root offset.
        if at(4, b"ET12") || at(4, b"ET13") {
            return Layout::ExecuTorch;
        }
        if matches!(bytes, [0x80, 2..=5, ..]) {
            return Layout::Pickle;
        }
        let known: [(usize, &[u8], &str); 12] = [
            (0, b"version https://git-lfs", "a Git LFS pointer: the real file was not downloaded (run git lfs pull)"),
            (0, b"<!DOCTYPE", "an HTML page (a failed download?)"),
            (0, b"<html", "an HTML page (a failed download?)"),
            (0, b"\x7fELF", "an ELF library or program"),
            (0, b"\x89HDF", "an HDF5 file"),
            (0, b"\x1f\x8b", "a gzip file (unpack it first)"),
            (0, b"\x28\xb5\x2f\xfd", "a Zstandard file (unpack it first)"),
            (0, b"GGUF", "a GGUF file"),
            (4, b"TFL3", "a TensorFlow Lite model"),
            (8, b"{\"", "a safetensors file (weights without a program)"),
            (0, b"{", "a JSON file"),
            (0, b"\x93NUMPY", "a NumPy array"),
        ];
        for (offset, magic, name) in known {
            if at(offset, magic) {
                return Layout::Other(name);
            }
        }
        if at(257, b"ustar") {
            return Layout::Other("a tar archive");
        }
        if at(0, b"PK\x03\x04") {
            return Layout::Other("a zip archive that is cut off or damaged (its directory is missing)");
        }
        Layout::Other("a file of unknown format (not a zip archive)")
    }

    /// Recognises a zip by the names of its entries.
    pub(super) fn of_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Layout {
        let any = |test: &dyn Fn(&str) -> bool| names.clone().any(test);
        // Below the root folder, whatever its name.
        let below = |name: &'a str| name.split_once('/').map_or("", |(_, rest)| rest);
        let has_below = |wanted: &str| names.clone().any(|name| below(name) == wanted);
        let starts_below = |start: &str| names.clone().any(|name| below(name).starts_with(start));

        if any(&|name| name == "serialized_exported_program.json") {
            return Layout::FlatExport;
        }
        let has_program = names.clone().map(below).any(|name| name.starts_with("models/") && name.ends_with(".json"));
        if has_program {
            let pickled = names.clone().map(below).any(|name| {
                (name.starts_with("data/weights/") || name.starts_with("data/constants/")) && name.ends_with(".pt")
            });
            let raw = names
                .clone()
                .map(below)
                .any(|name| name.starts_with("data/weights/") && name.ends_with("_weights_config.json"));
            return if pickled && !raw { Layout::Pt2PickledWeights } else { Layout::Pt2 };
        }
        if starts_below("data/aotinductor/") {
            return Layout::AotInductor;
        }
        if starts_below("data/executorch/") {
            return Layout::ExecuTorch;
        }
        if starts_below("code/") || has_below("constants.pkl") {
            return Layout::TorchScript;
        }
        if has_below("data.pkl") || any(&|name| name == "data.pkl") {
            return Layout::TorchSave;
        }
        if has_below("archive_format") {
            return Layout::Other("a PT2 archive without a program (no models/*.json entry)");
        }
        if any(&|name| name.ends_with(".npy")) {
            return Layout::Other("a NumPy .npz file");
        }
        Layout::UnknownZip(names.take(4).map(str::to_owned).collect())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Pt2 => f.write_str("a program saved by torch.export.save"),
            Layout::Pt2PickledWeights => f.write_str("a program saved by torch.export.save of PyTorch 2.8"),
            Layout::FlatExport => f.write_str("a program saved by torch.export.save of PyTorch 2.1 to 2.7"),
            Layout::TorchScript => f.write_str("a TorchScript archive (torch.jit.save)"),
            Layout::TorchSave => f.write_str("a torch.save file"),
            Layout::Pickle => f.write_str("a pickle file (torch.save wrote such once)"),
            Layout::AotInductor => f.write_str("an AOTInductor package"),
            Layout::ExecuTorch => f.write_str("an ExecuTorch program"),
            Layout::Other(name) => f.write_str(name),
            Layout::UnknownZip(names) => {
                write!(f, "a zip archive that PyTorch did not write (it holds {}, …)", names.join(", "))
            }
        }
    }
}
