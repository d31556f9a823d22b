#!/usr/bin/env python3
"""How long compiling takes: `pt2c compile` beside AOTInductor's compilation with empty caches, as a Markdown table.

Usage: python bench/compile_time.py MODELS_DIR [--only REGEX] [--pt2c PATH] [--no-aotinductor]

Seconds are wall-clock time of one run each, for AOTInductor without loading the program and without importing PyTorch. The peak is
the most memory `pt2c compile` held at a time, beside the size of the program's weights.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

AOTINDUCTOR = """
import sys, time, torch, torch._inductor
exported = torch.export.load(sys.argv[1])
begin = time.perf_counter()
with torch.no_grad():
    torch._inductor.aoti_compile_and_package(exported, package_path=sys.argv[2], inductor_configs={"freezing": True})
print(time.perf_counter() - begin)
"""


def aotinductor(model: Path) -> float:
    """Seconds of AOTInductor's compilation."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder}
        command = [sys.executable, "-c", AOTINDUCTOR, str(model), f"{folder}/model.pt2"]
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return float(said.stdout.split()[-1])


def pt2c(binary: Path, model: Path) -> tuple[float, float]:
    """Seconds of `pt2c compile`, and the most memory it held, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        child = subprocess.Popen([binary, "compile", "--quiet", model, "--name", "model", "-o", folder])
        _, status, usage = os.wait4(child.pid, 0)
        if status != 0:
            sys.exit(f"{model.name}: pt2c failed")
        return time.perf_counter() - begin, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--only", default="", help="regular expression over program names")
    parser.add_argument("--pt2c", type=Path, default=ROOT / "target/release/pt2c")
    parser.add_argument("--no-aotinductor", action="store_true", help="only pt2c")
    options = parser.parse_args()
    print("| program | weights MB | pt2c s | peak MB | AOTInductor s | share |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for model in sorted(options.models.glob("*.pt2")):
        if ".dyn." in model.name or not re.search(options.only, model.stem):
            continue
        ours, peak = pt2c(options.pt2c, model)
        row = f"| {model.stem.removeprefix('bench_')} | {model.stat().st_size / 1e6:.1f} | {ours:.1f} | {peak:.0f} |"
        if not options.no_aotinductor:
            theirs = aotinductor(model)
            row += f" {theirs:.1f} | {ours / theirs:.3f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
