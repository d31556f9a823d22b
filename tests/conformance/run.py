#!/usr/bin/env python3
"""Compares compiled and interpreted results with PyTorch's over its whole operator database.

Usage: python tests/conformance/run.py --pt2c target/release/pt2c [--cache DIR] [--max-samples-per-op-dtype N]
                                       [--ops add,nn.functional] [--dtypes f32,c64] [--dynamic] [--export-only] [--table FILE]

The samples are exported once into the cache (opdb.py) and run by one `pt2c batch` process, which is started again behind a
sample that kills it. Writes the table (docs/conformance.md) and prints the failures, most frequent first.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import torch  # noqa: E402

import opdb  # noqa: E402
from batch import Batch  # noqa: E402
from report import Report  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pt2c", default="target/release/pt2c")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "pt2c-conformance")
    parser.add_argument("--max-samples-per-op-dtype", type=int, default=8, metavar="N")
    parser.add_argument("--ops", default="", help="parts of operator names, separated by commas")
    parser.add_argument("--dtypes", default=",".join(opdb.DTYPES))
    parser.add_argument("--dynamic", action="store_true", help="export with dynamic dimensions, run at several sizes")
    parser.add_argument("--export-only", action="store_true")
    parser.add_argument("--no-oracle", action="store_true", help="compiled results only")
    parser.add_argument("--table", type=Path, help="where the table goes (Markdown)")
    parser.add_argument("--failures", type=Path, help="where the failures go (Markdown)")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    from torch.testing._internal.common_methods_invocations import op_db

    wanted = [w for w in flags.ops.split(",") if w]
    infos = [i for i in op_db if not wanted or any(w in opdb.name_of(i) for w in wanted)]
    infos.sort(key=opdb.name_of)
    report = Report(flags.dynamic)
    batch = None if flags.export_only else Batch(flags.pt2c, oracle=not flags.no_oracle)
    begun = time.time()
    for dtype in flags.dtypes.split(","):
        chosen = [i for i in infos if opdb.DTYPES[dtype] in i.supported_dtypes("cpu")]
        for done, info in enumerate(chosen):
            if done % 25 == 0:
                print(f"{dtype} {done}/{len(chosen)} {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
            name = opdb.name_of(info)
            samples = opdb.export_operator(info, dtype, flags.max_samples_per_op_dtype, flags.cache, flags.dynamic)
            for stem, about in samples:
                if batch and "outputs" in about:
                    calls = [("", about)] + [(f".{i + 1}", s) for i, s in enumerate(about.get("sizes", []))]
                    report.ran(name, dtype, stem, batch.run(stem, calls))
                else:
                    report.not_exported(name, dtype, about)
    if batch:
        batch.close()
        report.print()
        print(f"processor time of pt2c: {batch.cpu_seconds:.1f} s")
        if flags.table:
            flags.table.parent.mkdir(exist_ok=True)
            command = f"{flags.max_samples_per_op_dtype} samples for each operator and dtype"
            flags.table.write_text(report.table(command))
        if flags.failures:
            flags.failures.write_text(report.failures())
    return 1 if report.is_bad() else 0


if __name__ == "__main__":
    sys.exit(main())
