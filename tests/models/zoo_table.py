#!/usr/bin/env python3
"""Runs exported programs of the zoo, static and dynamic, and writes what came of each as a table.

Usage: python tests/models/zoo_table.py FOLDER --pt2c target/release/pt2c [--only REGEX] [--table docs/zoo.md]

FOLDER is one that export_zoo.py wrote. Every program is compiled once and called at each recorded sample; results are
compared with PyTorch's. One row for each architecture: NAME (static) and NAME.dyn (dynamic, several sizes).
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

# Of the largest magnitude of an output, as the tests of the project allow.
ALLOWED = 2e-5
ALLOWED_HALF = {torch.float16: 4e-3, torch.bfloat16: 3e-2}

HEADING = """# Architectures that are checked

Written by `make zoo`: programs of torchvision, timm, transformers, audio, graph networks and others in small
configurations with random weights (`tests/models/zoo`), exported with fixed and with dynamic sizes, compiled, and called
at every recorded sample. The number is the largest difference from PyTorch's result, of the largest magnitude of that
output; a dynamic program is one library for all its samples.

| program | static | dynamic | samples at other sizes |
| --- | ---: | ---: | ---: |
"""


def distance(got, want):
    """How far two tensors are apart, of the largest magnitude; None where type or shape differ."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return None
    if want.numel() == 0:
        return 0.0
    if not want.is_floating_point():
        return 0.0 if torch.equal(got, want) else None
    got, want = got.double(), want.double()
    finite = want.isfinite()
    if not torch.equal(finite, got.isfinite()):
        return None
    scale = want[finite].abs().max().item() if finite.any() else 1.0
    return ((got - want)[finite].abs().max().item() if finite.any() else 0.0) / max(scale, 1e-3)


class Compiler:
    def __init__(self, pt2c):
        self.process = subprocess.Popen([pt2c, "batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.folder = pathlib.Path(tempfile.mkdtemp())

    def run(self, model: pathlib.Path):
        """(largest distance, number of samples) or why not."""
        stem = model.with_suffix("")
        calls, expected = [], []
        for number in range(10):
            path = pathlib.Path(f"{stem}.inputs{number or ''}.safetensors")
            if not path.exists():
                break
            inputs = self.folder / f"in{number}.safetensors"
            save_file({f"in.{k}": v for k, v in load_file(path).items()}, inputs)
            calls.append({"inputs": str(inputs), "native": str(self.folder / f"out{number}.safetensors"), "oracle": ""})
            expected.append(load_file(f"{stem}.outputs{number or ''}.safetensors"))
        self.process.stdin.write(json.dumps({"model": str(model), "calls": calls}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer.get("refused"):
            return answer["refused"]["message"]
        far = 0.0
        for call, said, want in zip(calls, answer["calls"], expected):
            if said["native"]:
                return said["native"]
            got = load_file(call["native"])
            for key, tensor in want.items():
                apart = distance(got[key], tensor) if key in got else None
                allowed = ALLOWED_HALF.get(tensor.dtype, ALLOWED)
                if apart is None or apart > allowed:
                    return f"output {key} differs" + ("" if apart is None else f" by {apart:.1e}")
                far = max(far, apart)
        return far, len(calls)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pt2c", default="target/release/pt2c")
    parser.add_argument("--only", default="")
    parser.add_argument("--table", type=pathlib.Path)
    options = parser.parse_args()
    compiler = Compiler(options.pt2c)
    rows, both, failed = [], 0, 0
    for model in sorted(options.folder.glob("*.pt2")):
        name = model.name.removesuffix(".pt2")
        if name.endswith(".dyn") or not re.search(options.only, name):
            continue
        cells, samples, right = [], "", 0
        for kind in (model, model.with_name(f"{name}.dyn.pt2")):
            if not kind.exists():
                cells.append("—")
                continue
            found = compiler.run(kind)
            if isinstance(found, str):
                cells.append(found)
                failed += 1
                print(f"{kind.name}: {found}", file=sys.stderr, flush=True)
            else:
                cells.append(f"{found[0]:.1e}")
                samples = str(found[1] - 1) if kind is not model else samples
                right += 1
        both += right == 2
        rows.append(f"| {name} | {cells[0]} | {cells[1]} | {samples} |")
    text = HEADING + "\n".join(rows) + f"\n\n{len(rows)} architectures, {both} of them static and dynamic; {failed} programs fail.\n"
    if options.table:
        options.table.write_text(text)
    else:
        print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
