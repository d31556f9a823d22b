#!/usr/bin/env python3
"""Where each program's time goes, kernel by kernel, beside what the machine can do: Markdown on stdout.

Usage: python bench/profiles.py MODELS_DIR [--only REGEX] [--threads N] [--pt2c PATH]

For each NAME.pt2 in MODELS_DIR with recorded inputs: `pt2c bench --profile`, which compiles with clock readings around each
kernel and measures, with code for the same processor, the multiply-add peak and the read bandwidth of one thread. Kernels with
less than 2 % of the time are one row by kind, those of one name and size (the layers of a network) one row. "bound" is the larger of the kernel's operations at the peak and its bytes at the
bandwidth of memory, were nothing in a cache: a kernel whose data are in a cache can be faster.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def profile(options, model: Path, inputs: Path) -> dict:
    command = [options.pt2c, "bench", model, "--inputs", inputs, "--threads", options.threads, "--profile", "--json"]
    return json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout)


def place(kernel: dict) -> str:
    file = Path(kernel.get("file") or "").name
    where = f"{file}:{kernel['line']}" if file else ""
    return " ".join(part for part in (kernel.get("module", ""), where) if part).replace("|", "/").replace("*", "\\*")


def rows(kernels: list, peak: float, bandwidth: float, total: float):
    """Large kernels one by one, the others by kind: name, kind, calls, time, operations, bytes, place."""
    alike, rest = {}, {}
    for kernel in kernels:
        # The same work in every layer of a network is one row.
        key = (kernel["kernel"], kernel["kind"], kernel["operations"], kernel["bytes"])
        first = alike.setdefault(key, [0, 0.0, 0.0, 0.0, place(kernel)])
        for i, cell in enumerate(("runs", "ms", "operations", "bytes")):
            first[i] += kernel[cell]
    for (name, kind, *_), (runs, ms, operations, bytes_, where) in sorted(alike.items(), key=lambda item: -item[1][1]):
        if ms >= 0.02 * total:
            yield f"`{name}`", kind, runs, ms, operations, bytes_, where
        else:
            others = rest.setdefault(kind, [0, 0.0, 0.0, 0.0, 0])
            for i, cell in enumerate((runs, ms, operations, bytes_, 1)):
                others[i] += cell
    for kind, (runs, ms, operations, bytes_, count) in rest.items():
        yield f"{count} others", kind, runs, ms, operations, bytes_, ""


def report(name: str, facts: dict) -> str:
    peak, bandwidth = facts["peak_operations_per_s"], facts["read_bytes_per_s"]
    kernels = facts["kernels"]
    total = sum(k["ms"] for k in kernels)
    heavy = sum(k["operations"] for k in kernels if k["kind"] != "loops")
    lines = [
        f"## {name}",
        "",
        f"{facts['median_ms']:.3g} ms a call; {peak / 1e9:.0f} GFLOP/s and {bandwidth / 1e9:.0f} GB/s measured in the same run. "
        f"Products and convolutions alone would take {heavy / peak * 1e3:.3g} ms at that peak, {heavy / peak / 0.92 * 1e3:.3g} ms at 92 % of it.",
        "",
        "| kernel | kind | calls | ms | share | GFLOP/s | of peak | GB/s | bound ms | module, line |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for kernel, kind, runs, ms, operations, bytes_, where in rows(kernels, peak, bandwidth, total):
        speed, bound = operations / ms / 1e6, max(operations / peak, bytes_ / bandwidth) * 1e3
        lines.append(
            f"| {kernel} | {kind} | {runs:.0f} | {ms:.3f} | {ms / total:.1%} | {speed:.1f} | {speed * 1e9 / peak:.0%} "
            f"| {bytes_ / ms / 1e6:.1f} | {bound:.3f} | {where} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--only", default="", help="regular expression over program names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pt2c", type=Path, default=ROOT / "target/release/pt2c")
    options = parser.parse_args()
    for model in sorted(options.models.glob("*.pt2")):
        inputs = model.with_name(f"{model.stem}.inputs.safetensors")
        if re.search(options.only, model.stem) and inputs.exists():
            print(report(model.stem, profile(options, model, inputs)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
