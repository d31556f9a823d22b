"""Runs exported samples through one `pt2c batch` process and compares the results with PyTorch's."""

import json
import math
import os
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

SECONDS = 120


@dataclass
class Outcome:
    """What became of one call: `pass`, `refused`, `differs` or `crash`, natively and in the interpreter."""

    native: str
    oracle: str
    why: str
    ms: dict = field(default_factory=dict)


class Batch:
    def __init__(self, pt2c: str, oracle: bool):
        self.command, self.oracle = [pt2c, "batch"], oracle
        self.folder = tempfile.TemporaryDirectory()
        self.process = None
        self.cpu_seconds = 0.0

    def start(self):
        environment = dict(os.environ, RUST_BACKTRACE="0")
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        os.set_blocking(self.process.stderr.fileno(), False)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, request: dict) -> dict:
        """The answer, or `{"crash": why}` with the process gone."""
        if not self.process:
            self.start()
        before = self.cpu()
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
            line = self.process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = b""
        if line:
            self.cpu_seconds += self.cpu() - before
            self.process.stderr.read()
            return json.loads(line)
        if line is None:
            self.close()
            return {"crash": f"no answer in {SECONDS} s"}
        status = self.process.wait()
        said = (self.process.stderr.read() or b"").decode(errors="replace").strip().splitlines()
        self.close()
        return {"crash": f"exit status {status}: {' '.join(said[:3])[:300]}"}

    def cpu(self) -> float:
        """Processor seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, stem: Path, calls: list[tuple[str, dict]]) -> list[Outcome]:
        """One outcome for each call; a call is the suffix of its tensor file and what is known about it."""
        native = [Path(self.folder.name) / f"native{i}.safetensors" for i in range(len(calls))]
        oracle = [Path(self.folder.name) / f"oracle{i}.safetensors" for i in range(len(calls))]
        files = [stem.with_name(f"{stem.name}{suffix}.safetensors") for suffix, _ in calls]
        answer = self.ask({
            "model": str(stem.with_name(stem.name + ".pt2")),
            "oracle": self.oracle,
            "calls": [
                {"inputs": str(f), "native": str(n), "oracle": str(o)} for f, n, o in zip(files, native, oracle)
            ],
        })
        if "crash" in answer:
            return [Outcome("crash", "crash", answer["crash"])] + [Outcome("skipped", "skipped", "")] * (len(calls) - 1)
        refused = answer.get("refused")
        outcomes = []
        for i, (_, about) in enumerate(calls):
            said = answer.get("calls", [])[i] if "calls" in answer else {}
            expected = {k.removeprefix("out."): t for k, t in load_file(files[i]).items() if k.startswith("out.")}
            if refused:
                why = f"{refused['phase']}: {refused['message']}"
                # What the compiler blames on itself is no refusal.
                defect = refused["phase"] in ("native", "load") or "malformed" in refused["message"]
                state = "crash" if defect else "refused"
            elif "raises" in about:
                # What PyTorch refuses in this call has to be refused here too.
                state, why = ("accepts", about["raises"]) if said["native"] is None else ("pass", None)
                outcomes.append(Outcome(state, "skipped", why or ""))
                continue
            elif said["native"] is not None:
                state, why = "differs", f"call: {said['native']}"
            else:
                why = differs(expected, native[i], about, load_file(files[i]))
                state = "differs" if why else "pass"
            reference = "refused"
            if self.oracle and "calls" in answer:
                wrong = said.get("oracle") or differs(expected, oracle[i], about, load_file(files[i]))
                reference = "pass" if not wrong else "refused" if "not supported" in wrong else "differs"
                if wrong and state == "pass":
                    why = f"oracle: {wrong}"
                elif wrong:
                    why += f" | oracle: {wrong}"
            outcomes.append(Outcome(state, reference, why or "", answer.get("ms", {}) if i == 0 else {}))
        return outcomes


# Which of equal elements comes first is not defined, unless the call asks for a stable sort.
TIES = ("argsort.default", "sort.default", "topk.default", "kthvalue.default", "median.dim", "nanmedian.dim", "mode.default")


def same_elements(got, want, source) -> bool:
    """Whether two index tensors choose equal elements along some dimension."""
    if not torch.is_tensor(source) or got.dtype != torch.int64 or source.dim() == 0:
        return False
    if source.dim() == got.dim() + 1:
        # The dimension was removed.
        return any(same_elements(got.unsqueeze(d), want.unsqueeze(d), source) for d in range(source.dim()))
    if source.dim() != got.dim():
        return False
    for dim in range(source.dim()):
        fits = all(a <= b for d, (a, b) in enumerate(zip(got.shape, source.shape)) if d != dim)
        if fits and got.numel() and 0 <= int(got.min()) and int(got.max()) < source.shape[dim]:
            a, b = source.gather(dim, got), source.gather(dim, want)
            if ((a == b) | ((a != a) & (b != b))).all() and got.sort(dim).values.diff(dim=dim).ne(0).all():
                return True
    return False


# Eigenvalues of a general matrix come in no defined order.
EIGENVALUES = ("aten.linalg_eig.", "aten.linalg_eigvals.")


def same_values(got, want, tolerance) -> torch.Tensor | None:
    """The places in `got` (complex numbers as pairs) of the values of `want`, if they are the same in another order."""
    rtol, atol = tolerance
    far = (torch.view_as_complex(got.double()).unsqueeze(-2) - torch.view_as_complex(want.double()).unsqueeze(-1)).abs()
    order = torch.empty(far.shape[:-1], dtype=torch.int64)
    for at in range(far.shape[-1]):
        nearest = far[..., at, :].min(-1)
        if (nearest.values > atol + rtol * want[..., at, :].norm(dim=-1)).any():
            return None
        order[..., at] = nearest.indices
        far = far.scatter(-1, nearest.indices[..., None, None].expand(*far.shape[:-1], 1), math.inf)
    return order


def differs(expected: dict, path: Path, about: dict, recorded: dict) -> str | None:
    got = load_file(path)
    path.unlink()
    for n, (key, want) in enumerate(sorted(expected.items())):
        if key not in got:
            return f"output {n} is missing"
        why = tensor_differs(got[key], want, about["tolerances"][n], about["random"], about["outputs"][n].startswith("c"))
        if why and n == 0 and any(t.startswith(EIGENVALUES) for t in about.get("targets", ())):
            order = same_values(got[key], want, about["tolerances"][n])
            if order is not None:
                # The vectors (their sizes: the phase is not defined either) in the order of their values.
                got |= {k: t.gather(-1, order.unsqueeze(-2).expand(t.shape)) for k, t in got.items() if k != key}
                continue
        ties = any(t.removeprefix("aten.") in TIES for t in about.get("targets", ()))
        if why and not (ties and same_elements(got[key], want, recorded.get("in.0000"))):
            return f"output {n}: {why}"
    return None


def tensor_differs(got, want, tolerance, random, pairs) -> str | None:
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{list(got.shape)}, recorded {want.dtype}{list(want.shape)}"
    if random or want.numel() == 0:
        return None
    if not want.is_floating_point():
        wrong = got != want
    else:
        rtol, atol = tolerance
        g, w = got.double(), want.double()
        size = w.abs()
        if pairs:
            # A part may be small next to the whole.
            size = w.norm(dim=-1, keepdim=True).expand_as(w)
        size = torch.where(torch.isfinite(size), size, torch.zeros_like(size))
        close = (g == w) | (g.isnan() & w.isnan()) | (torch.isfinite(w) & ((g - w).abs() <= atol + rtol * size))
        wrong = ~close
    if not wrong.any():
        return None
    first = int(wrong.reshape(-1).nonzero()[0])
    return (
        f"element {first} of {list(want.shape)} is {got.reshape(-1)[first].item()}, recorded "
        f"{want.reshape(-1)[first].item()} ({int(wrong.sum())} of {want.numel()} wrong)"
    )
