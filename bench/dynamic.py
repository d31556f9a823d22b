#!/usr/bin/env python3
"""What dynamic sizes cost: NAME.dyn.pt2 against NAME.pt2 at the same sizes, interleaved, as a Markdown table.

Usage: python bench/dynamic.py MODELS_DIR [--only REGEX] [--threads 1] [--rounds 7] [--pt2c PATH]

Both libraries are called with the inputs of the static program; harness.c measures them in turn, as in compare.py. A ratio above 1
means that the dynamic library is slower.
"""

import argparse
import re
import statistics
import tempfile
from pathlib import Path

from compare import ROOT, Contestant, compile_library, format_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--only", default="", help="regular expression over program names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", default="0", help="CPUs to pin to")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--cpu", default="native", help="what pt2c compiles for")
    parser.add_argument("--pt2c", type=Path, default=ROOT / "target/release/pt2c")
    options = parser.parse_args()
    print("| program | static ms | dynamic ms | dynamic ÷ static |\n| --- | ---: | ---: | ---: |")
    for dynamic in sorted(options.models.glob("*.dyn.pt2")):
        static = dynamic.with_name(dynamic.name.replace(".dyn.pt2", ".pt2"))
        inputs = static.with_name(f"{static.stem}.inputs.safetensors")
        if not (re.search(options.only, static.stem) and static.exists() and inputs.exists()):
            continue
        contestants = []
        with tempfile.TemporaryDirectory() as folder:
            for model in (static, dynamic):
                place = Path(folder) / model.stem
                place.mkdir()
                compile_library(options, model, place)
                command = [place / "harness", inputs, "--threads", options.threads, "--seconds", options.seconds, "--serve"]
                contestants.append(Contestant(model.stem, command, options.cpus))
            for number in range(options.rounds):
                for contestant in contestants if number % 2 else reversed(contestants):
                    contestant.measure()
            for contestant in contestants:
                contestant.close()
        one, other = contestants
        if one.error or other.error:
            print(f"| {static.stem} | {one.error or ''} {other.error or ''} | | |", flush=True)
            continue
        ratio = statistics.median(b / a for a, b in zip(one.rounds, other.rounds))
        print(f"| {static.stem} | {format_ms(one.median)} | {format_ms(other.median)} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
