#!/usr/bin/env python3
"""Record operator samples from PyTorch into samples/FAMILY.{json,safetensors}.

Usage: python tests/conformance/record.py [FAMILY ...]        (all families when none is named)

Families are the modules of cases/; `opinfo_*` come from PyTorch's own operator database (opinfo.py). README.md
describes the format. Values are seeded: the same PyTorch on the same machine writes the same files.
"""

import importlib
import sys
import warnings
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "cases")]

import torch  # noqa: E402

import values  # noqa: E402
from recorder import Recorder  # noqa: E402


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    families = sorted(p.stem for p in (HERE / "cases").glob("*.py"))
    wanted = sys.argv[1:] or families + ["opinfo"]
    folder = HERE / "samples"
    folder.mkdir(exist_ok=True)
    for family in wanted:
        if family == "opinfo":
            importlib.import_module("opinfo").record(folder)
            continue
        values.seed(zlib.crc32(family.encode()))
        recorder = Recorder(family)
        importlib.import_module(family).cases(recorder)
        recorder.write(folder)
        print(f"{family}: {len(recorder.samples)} samples, {len(recorder.tensors)} tensors")
        for refusal in recorder.refused:
            print(f"  refused by PyTorch: {refusal}")


if __name__ == "__main__":
    main()
