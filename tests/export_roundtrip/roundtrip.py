"""Writes programs with pt2c, loads them with torch.export.load, and compares what they compute.

    python3 tests/export_roundtrip/roundtrip.py FOLDER [FILTER] [--convert "target/release/pt2c convert"]
            [--args "--functional"] [--tolerance 0]

FOLDER holds NAME.pt2 with NAME.inputs*.safetensors (leaves by position), as tests/models does; programs without recorded
inputs run on their own example inputs. Each program is run by PyTorch before and after, and the results must be equal
to the bit (or within --tolerance of the largest magnitude), mutated buffers included. Needs torch and safetensors.
"""

import argparse
import copy
import glob
import importlib
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
        # Not even PyTorch reads its own file back (an output class it does not know); nothing to compare with.
        return "skipped", f"torch.export.load of the original: {str(error)[:150]}"
    after = torch.export.load(written)
    inputs = [arguments(before, sample) for sample in samples(base, before)]
    if not inputs and before.example_inputs is not None:
        inputs = [before.example_inputs]
    if not inputs:
        return "skipped", "no inputs"
    for args, kwargs in inputs:
        expected, changed, state = run(before, args, kwargs)
        found, changed_after, state_after = run(after, args, kwargs)
        if len(expected) != len(found):
            return "different", f"{len(expected)} outputs became {len(found)}"
        for index, (a, b) in enumerate(zip(expected + changed, found + changed_after)):
            if (how := same(a, b, options.tolerance)) is not None:
                return "different", f"leaf {index}: {how}"
        for name in state:
            if name in state_after and (how := same(state[name], state_after[name], options.tolerance)) is not None:
                return "different", f"buffer {name}: {how}"
    return "exact", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("filter", nargs="?", default="")
    parser.add_argument("--convert", default="target/release/pt2c convert")
    parser.add_argument("--output-flag", default="-o", help="empty: the output is the second positional argument")
    parser.add_argument("--args", default="")
    parser.add_argument("--tolerance", type=float, default=0.0)
    options = parser.parse_args()
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(glob.glob(os.path.join(options.folder, "*.pt2"))):
            if options.filter not in os.path.basename(path):
                continue
            try:
                result, why = check(path, options, folder)
            except Exception as error:
                result, why = "failed", f"{type(error).__name__}: {str(error)[:400]}"
            counts[result] = counts.get(result, 0) + 1
            if result != "exact":
                print(f"{os.path.basename(path)}: {result}: {why}", flush=True)
            for file in os.listdir(folder):
                os.remove(os.path.join(folder, file))
    print(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    sys.exit(any(counts.get(bad) for bad in ("pt2c", "different", "failed")))


if __name__ == "__main__":
    main()
