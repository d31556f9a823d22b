#!/usr/bin/env python3
"""Compile time, library size and latency beside other runtimes, measured interleaved in one run.

Usage: python bench/compare.py MODELS_DIR [--only REGEX] [--threads 1,2] [--rounds 5] [--peers A,B] [--pt2c PATH] [--json FILE] [--svg FILE]

For each NAME.pt2 in MODELS_DIR with recorded inputs: compiles the library, builds bench/harness.c against it, checks its
outputs, then starts our harness and the peers (bench/peers.py) as processes that wait, pinned to the same CPUs. Each round asks
each of them in turn for one measurement, in an order that rotates, so that a slow moment of the machine meets all alike. The
table has the median over the rounds of each one's median; a ratio is the median of the rounds' own ratios. Prints Markdown.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def run(command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{Path(str(command[0])).name} failed: {lines[-1] if lines else done.returncode}")
    return done


class Contestant:
    """A process that measures once for each line it is sent."""

    def __init__(self, name, command, cpus):
        self.name, self.error, self.rounds, self.first = name, None, [], {}
        pinned = ["taskset", "-c", cpus] + [str(c) for c in command]
        self.process = subprocess.Popen(pinned, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.first = self.read()  # loading and warming up; not part of the rounds

    def read(self) -> dict:
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "ended without an answer"}
        self.error = self.error or answer.get("error")
        return answer

    def measure(self) -> None:
        if self.error:
            return
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.read()
        if "median_ms" in answer:
            self.rounds.append(answer["median_ms"])

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(timeout=60)

    @property
    def median(self):
        return statistics.median(self.rounds) if self.rounds else None


def library_name(model: Path) -> str:
    return re.sub(r"\W", "_", model.stem)


def compile_library(options, model: Path, folder: Path) -> dict:
    """Compiles twice: with the weights in the library (used below), and with them in a file (for the sizes)."""
    name = library_name(model)
    embedded, separate = folder / "embedded", folder / "separate"
    start = time.perf_counter()
    run([options.pt2c, "compile", model, "--output", embedded, "--name", name, "--cpu", options.cpu])
    seconds = time.perf_counter() - start
    run([options.pt2c, "compile", model, "--output", separate, "--name", name, "--cpu", options.cpu, "--weights", "file"])
    weights = separate / f"{name}.weights"
    run(
        ["cc", "-O2", f"-DPT2C_NAME={name}", f'-DPT2C_HEADER="{name}.h"', "-I", embedded, HERE / "harness.c"]
        + [embedded / f"lib{name}.a", "-lm", "-pthread", "-o", folder / "harness"]
    )
    return {
        "compile_s": seconds,
        "library_bytes": (embedded / f"lib{name}.a").stat().st_size,
        "code_bytes": (separate / f"lib{name}.a").stat().st_size,
        "weights_bytes": weights.stat().st_size if weights.exists() else 0,
    }


def largest_difference(options, inputs: Path, folder: Path) -> float:
    """Of our outputs against the recorded ones, in a process of its own: this one stays free of PyTorch's threads."""
    produced = folder / "out.safetensors"
    run([folder / "harness", inputs, "--outputs", produced, "--iterations", "-1"])
    code = (
        "import sys; from safetensors.torch import load_file\n"
        "a, b = load_file(sys.argv[1]), load_file(sys.argv[2])\n"
        "print(max([float((a[k].double() - b[k].double()).abs().max()) for k in b if b[k].numel()], default=0.0))"
    )
    expected = inputs.with_name(inputs.name.replace(".inputs", ".outputs"))
    return float(run([options.python, "-c", code, produced, expected]).stdout)


def measure(options, model: Path, folder: Path) -> list[dict]:
    inputs = model.with_name(f"{model.stem}.inputs{options.sample}.safetensors")
    facts = {"model": model.stem}
    try:
        facts |= compile_library(options, model, folder)
        facts["max_abs_diff"] = largest_difference(options, inputs, folder)
    except (RuntimeError, FileNotFoundError) as error:
        facts["error"] = str(error)
    os.sync()  # the libraries just written go to the disk now, not during the measurements
    rows = []
    for threads in options.threads:
        cpus = ",".join(options.cpus.split(",")[:threads])
        shared = ["--threads", threads, "--inputs", inputs, "--seconds", options.seconds, "--serve"]
        contestants = []
        if "error" not in facts:
            ours = [folder / "harness", inputs, "--threads", threads, "--seconds", options.seconds, "--serve"]
            contestants.append(Contestant("pt2c", ours, cpus))
        for peer in options.peers:
            python = options.executorch_python if peer == "executorch" and options.executorch_python else options.python
            command = [python, HERE / "peers.py", peer, model, *shared, "--cache", options.cache]
            contestants.append(Contestant(peer, command, cpus))
        for number in range(options.rounds):
            shift = number % max(1, len(contestants))
            for contestant in contestants[shift:] + contestants[:shift]:
                contestant.measure()
        row = facts | {"threads": threads, "contestants": {}}
        ours = next((c for c in contestants if c.name == "pt2c"), None)
        for contestant in contestants:
            contestant.close()
            entry = {"rounds_ms": contestant.rounds, "median_ms": contestant.median, **{k: contestant.first[k] for k in ("version", "max_abs_diff") if k in contestant.first}}
            if contestant.error:
                entry["error"] = contestant.error
            if ours and ours.rounds and contestant.rounds and contestant is not ours:
                entry["ratio"] = statistics.median(theirs / mine for theirs, mine in zip(contestant.rounds, ours.rounds))
            row["contestants"][contestant.name] = entry
        rows.append(row)
        print(f"  {model.stem}, {threads} thread(s): " + ", ".join(f"{c.name} {format_ms(c.median)}" for c in contestants), file=sys.stderr)
    return rows


def format_ms(value) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def format_bytes(value) -> str:
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


TITLES = {
    "torch": "PyTorch eager",
    "torch-compile": "torch.compile",
    "aotinductor": "AOTInductor",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "executorch": "ExecuTorch",
}


def ratios(row) -> dict:
    return {peer: entry["ratio"] for peer, entry in row["contestants"].items() if "ratio" in entry}


def summary(rows, peers) -> str:
    """Geometric means of the ratios: against each peer, and against the best peer of each program."""
    mean = lambda values: f"{math.exp(statistics.fmean(map(math.log, values))):.2f}"
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        those = [ratios(row) for row in rows if row["threads"] == threads and ratios(row)]
        parts = [f"{TITLES[p]} {mean([r[p] for r in those if p in r])}" for p in peers if any(p in r for r in those)]
        if those and len(peers) > 1:
            best = [min(r.values()) for r in those]
            parts.append(f"the best of them for each program {mean(best)} (least {min(best):.2f})")
        if parts:
            lines.append(f"Geometric mean with {threads} thread(s) against " + ", ".join(parts) + ".")
    return "\n\n".join(lines)


def drawing(rows, peers) -> str:
    """Bars: how many times as long as ours each peer takes. 1 is drawn as a line."""
    colours = ["#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#e45756"]
    bar, gap, left, width = 9, 10, 190, 520
    rows = [row for row in rows if ratios(row)]
    most = max([r for row in rows for r in ratios(row).values()], default=1.0)
    scale = width / min(most, 6.0)
    out, y = [], 40
    for i, peer in enumerate(peers):
        out.append(f'<rect x="{left + i * 100}" y="10" width="10" height="10" fill="{colours[i % 6]}"/>')
        out.append(f'<text x="{left + 14 + i * 100}" y="19">{TITLES[peer]}</text>')
    for row in rows:
        top = y
        for i, peer in enumerate(peers):
            ratio = ratios(row).get(peer)
            if ratio is None:
                continue
            out.append(f'<rect x="{left}" y="{y}" width="{min(ratio, 6.0) * scale:.1f}" height="{bar - 1}" fill="{colours[i % 6]}"/>')
            out.append(f'<text x="{left + min(ratio, 6.0) * scale + 4:.1f}" y="{y + bar - 2}" font-size="9">{ratio:.2f}</text>')
            y += bar
        threads = f" ×{row['threads']}" if row["threads"] > 1 else ""
        out.append(f'<text x="{left - 8}" y="{(top + y) / 2 + 4:.0f}" text-anchor="end">{row["model"]}{threads}</text>')
        y += gap
    out.append(f'<line x1="{left + scale:.1f}" y1="32" x2="{left + scale:.1f}" y2="{y}" stroke="#222"/>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{y + 24}" font-family="sans-serif" font-size="12">'
    note = f'<text x="{left}" y="{y + 14}">time of the peer ÷ time of pt2c (right of the line: pt2c is faster)</text>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *out, note, "</svg>"]) + "\n"



def table(rows, peers) -> str:
    head = ["program", "compile", "library", "without weights", "threads", "pt2c"]
    for peer in peers:
        head += [TITLES[peer], "×"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        if "error" in row:
            cells = [row["model"], row["error"].replace("|", "/")[:80], "", "", str(row["threads"]), "–"]
        else:
            ours = row["contestants"].get("pt2c", {}).get("median_ms")
            cells = [row["model"], f"{row['compile_s']:.1f} s", format_bytes(row["library_bytes"]), format_bytes(row["code_bytes"])]
            cells += [str(row["threads"]), f"{format_ms(ours)} ms"]
        for peer in peers:
            entry = row["contestants"].get(peer, {})
            time_ = entry.get("median_ms")
            cells += [f"{format_ms(time_)} ms" if time_ else "–", f"{entry['ratio']:.2f}" if "ratio" in entry else "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def describe_machine(rows) -> str:
    name = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown CPU")
    versions = {}
    for row in rows:
        for peer, entry in row["contestants"].items():
            if "version" in entry:
                versions[TITLES[peer]] = entry["version"]
    peers = ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
    return f"Measured interleaved in one run on {name}; {peers}. × = their time divided by ours (above 1: pt2c is faster)."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--only", default="", help="regular expression over program names")
    parser.add_argument("--sample", default="", help="which recorded sample: empty, 1, …")
    parser.add_argument("--threads", default="1", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--cpus", default="0,1,2,3,4,5,6,7", help="CPUs to pin to; the first N are used")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--peers", default="torch,onnxruntime", type=lambda text: [p for p in text.split(",") if p])
    parser.add_argument("--pt2c", type=Path, default=ROOT / "target/release/pt2c")
    parser.add_argument("--cpu", default="native", help="what pt2c compiles for")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--executorch-python", help="the Python that has ExecuTorch, which wants a PyTorch of its own")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "pt2c-bench", help="converted programs")
    parser.add_argument("--svg", type=Path, help="also draw the ratios here")
    parser.add_argument("--json", type=Path, help="also write everything measured here")
    options = parser.parse_args()
    rows = []
    for model in sorted(options.models.glob("*.pt2")):
        if re.search(options.only, model.stem) and model.with_name(f"{model.stem}.inputs{options.sample}.safetensors").exists():
            with tempfile.TemporaryDirectory() as folder:
                rows += measure(options, model, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(drawing(rows, options.peers))
    print("\n\n".join([table(rows, options.peers), summary(rows, options.peers), describe_machine(rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
