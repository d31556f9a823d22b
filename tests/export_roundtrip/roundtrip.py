"""Writes programs with pt2c, loads them with torch.export.load, and compares what they compute.

    python3 tests/export_roundtrip/roundtrip.py FOLDER ... [--only FILTER] [--convert "target/release/pt2c convert"]
            [--args "--functional"] [--tolerance 0] [--recorded]

A FOLDER holds NAME.pt2 with NAME.inputs*.safetensors (leaves by position), as tests/models does; programs without recorded
inputs run on their own example inputs. Each program is run by PyTorch before and after, and the results must be equal
to the bit (or within --tolerance of the largest magnitude; results in half precision within two of their last places),
mutated buffers included. What PyTorch itself wrote but does not load again must be the same document with the same weights.
Of archives that today's PyTorch does not load any more, what is written must give the recorded outputs.
With --recorded nothing is converted: PyTorch's results must be those of NAME.outputs.safetensors. Needs torch and
safetensors.
"""

import argparse
import copy
import glob
import importlib
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile

import torch
from safetensors.torch import load_file

torch.set_num_threads(1)
logging.disable(logging.WARNING)


def register_types(path):
    """Imports the modules of the output classes that a program names; importing registers them (transformers)."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json") and "model" in name]
        text = "".join(archive.read(name).decode() for name in names)
    for name in sorted(set(re.findall(r'\\"type\\": \\"([A-Za-z_]\w*(?:\.\w+)+)\.\w+\\"', text))):
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def leaves(value):
    return torch.utils._pytree.tree_leaves(value)


def same(a, b, tolerance):
    if type(a) is not type(b) and not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return f"{type(a).__name__} became {type(b).__name__}"
    if not isinstance(a, torch.Tensor):
        return None if a == b or a is b else f"{a} became {b}"
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype}{list(a.shape)} became {b.dtype}{list(b.shape)}"
    if a.is_floating_point() or a.is_complex():
        wide = torch.complex128 if a.is_complex() else torch.float64
        x, y = a.to(wide), b.to(wide)
        equal = (x == y) | (x.isnan() & y.isnan())
        if bool(equal.all()):
            return None
        difference = (x - y).abs()[~equal]
        if tolerance and a.dtype in (torch.float16, torch.bfloat16):
            tolerance = max(tolerance, 2 * torch.finfo(a.dtype).eps)
        scale = x.abs()[x.isfinite()].max().item() if bool(x.isfinite().any()) else 1.0
        worst = difference.max().item()
        return None if worst <= tolerance * max(scale, 1e-30) else f"differs by {worst:.3g} (largest {scale:.3g})"
    return None if torch.equal(a, b) else "differs"


def samples(base, program):
    found = []
    for file in sorted(glob.glob(glob.escape(base) + ".inputs*.safetensors")):
        found.append(load_file(file))
    return found


def arguments(program, sample):
    """The call's (args, kwargs): recorded leaves by position, the program's own example for constants."""
    spec = program.call_spec.in_spec
    specs = [s for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    example = leaves(program.example_inputs) if program.example_inputs is not None else [None] * spec.num_leaves
    flat = []
    for position in range(spec.num_leaves):
        key = "%04d" % position
        if key in sample:
            flat.append(sample[key].clone())
            continue
        arg = specs[position].arg if position < len(specs) else None
        value = getattr(arg, "value", None)
        flat.append(value if value is not None or example[position] is None else example[position])
    # Complex tensors are stored as pairs.
    for position, spec_ in enumerate(specs):
        meta = next((n.meta.get("val") for n in program.graph.nodes if n.name == spec_.arg.name), None)
        if isinstance(meta, torch.Tensor) and meta.is_complex() and isinstance(flat[position], torch.Tensor):
            if not flat[position].is_complex():
                flat[position] = torch.view_as_complex(flat[position])
        if isinstance(meta, torch.SymInt) and isinstance(flat[position], torch.Tensor):
            flat[position] = int(flat[position])
    return torch.utils._pytree.tree_unflatten(flat, spec)


def run(program, args, kwargs):
    torch.manual_seed(0)
    module = program.module()
    args, kwargs = copy.deepcopy((args, kwargs))
    with torch.no_grad():
        out = module(*args, **kwargs)
    state = {name: value for name, value in module.named_buffers()}
    return leaves(out), leaves((args, kwargs)), state


def documents(path):
    """What an archive says, and the bytes of its weights and constants by name."""
    with zipfile.ZipFile(path) as archive:
        files = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist() if "/" in name}
    program = json.loads(files["models/model.json"])
    # What may be written in several ways: older minor versions of the schema leave fields out.
    program.pop("schema_version")
    tensors = {}
    for kind in ("weights", "constants"):
        config = json.loads(files.get(f"data/{kind}/model_{kind}_config.json", b'{"config": {}}'))["config"]
        for name, entry in config.items():
            tensors[name] = (entry["tensor_meta"], files[f"data/{kind}/{entry['path_name']}"])
    return program, tensors


def current(path):
    """Whether an archive has the layout of PyTorch from 2.9 on."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/models/model.json") for name in archive.namelist())


def check_recorded(path, options, written=None):
    """PyTorch's results of a program beside recorded ones."""
    base = path[: -len(".pt2")]
    program = torch.export.load(written or path)
    recorded = load_file(base + ".outputs.safetensors")
    args, kwargs = arguments(program, samples(base, program)[0])
    outputs, _, _ = run(program, args, kwargs)
    if len(outputs) != len(recorded):
        return "different", f"{len(recorded)} outputs became {len(outputs)}"
    for index, found in enumerate(outputs):
        # Another PyTorch may have summed in another order.
        if (how := same(recorded["%04d" % index], found, max(options.tolerance, 1e-6))) is not None:
            return "different", f"output {index}: {how}"
    return "as recorded", ""


def check(path, options, folder):
    base = path[: -len(".pt2")]
    written = os.path.join(folder, os.path.basename(path))
    command = shlex.split(options.convert) + [path, options.output_flag, written] + shlex.split(options.args)
    if not options.output_flag:
        command = shlex.split(options.convert) + shlex.split(options.args) + [path, written]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return "pt2c", (done.stderr or done.stdout).strip()
    register_types(path)
    try:
        before = torch.export.load(path)
    except Exception as error:
        # Not even PyTorch reads its own file back (texts among the outputs, operators or classes that it does not know).
        if not current(path) and os.path.exists(base + ".outputs.safetensors"):
            return check_recorded(path, options, written)
        if options.args or not current(path):
            return "not loaded", f"torch.export.load of the original: {str(error)[:150]}"
        return ("same document", "") if documents(path) == documents(written) else ("different", "another document")
    after = torch.export.load(written)
    inputs = [arguments(before, sample) for sample in samples(base, before)]
    if not inputs and before.example_inputs is not None:
        inputs = [before.example_inputs]
    if not inputs:
        return "skipped", "no inputs"
    refused = []
    for args, kwargs in inputs:
        try:
            expected, changed, state = run(before, args, kwargs)
        except Exception as error:
            # A recording of eager PyTorch may break a rule of the exported program; both must refuse it.
            refused.append(f"{type(error).__name__}: {str(error)[:150]}")
            try:
                run(after, args, kwargs)
            except Exception:
                continue
            return "different", f"only the original refuses a call: {refused[-1]}"
        found, changed_after, state_after = run(after, args, kwargs)
        if len(expected) != len(found):
            return "different", f"{len(expected)} outputs became {len(found)}"
        for index, (a, b) in enumerate(zip(expected + changed, found + changed_after)):
            if (how := same(a, b, options.tolerance)) is not None:
                return "different", f"leaf {index}: {how}"
        for name in state:
            if name in state_after and (how := same(state[name], state_after[name], options.tolerance)) is not None:
                return "different", f"buffer {name}: {how}"
    if len(refused) == len(inputs):
        return "skipped", refused[0]
    return "within tolerance" if options.tolerance else "exact", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--recorded", action="store_true", help="compare PyTorch's results with recorded ones")
    parser.add_argument("--convert", default="target/release/pt2c convert")
    parser.add_argument("--output-flag", default="-o", help="empty: the output is the second positional argument")
    parser.add_argument("--args", default="")
    parser.add_argument("--tolerance", type=float, default=0.0)
    options = parser.parse_args()
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for source in options.folders for path in sorted(glob.glob(os.path.join(source, "*.pt2")))]
        for path in paths:
            if options.only not in os.path.basename(path):
                continue
            try:
                result, why = check_recorded(path, options) if options.recorded else check(path, options, folder)
            except Exception as error:
                result, why = "failed", f"{type(error).__name__}: {str(error)[:400]}"
            counts[result] = counts.get(result, 0) + 1
            if why:
                print(f"{os.path.basename(path)}: {result}: {why}", flush=True)
            for file in os.listdir(folder):
                os.remove(os.path.join(folder, file))
    print(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    sys.exit(any(counts.get(bad) for bad in ("pt2c", "different", "failed")))


if __name__ == "__main__":
    main()
