#!/usr/bin/env python3
"""Export a zoo of programs with recorded inputs and outputs, for `PT2C_MODELS=DIR make test-models`.

Usage: python tests/models/export_zoo.py OUT_DIR [--only REGEX] [--large] [--list]

Needs torch, torchvision, timm, transformers and safetensors. Weights are random (seeded), configurations small; `--large`
adds full-size ones, used by the benchmarks. For each program NAME it writes

  NAME.pt2                          torch.export.export + save; `.dyn` in the name: with dynamic shapes
  NAME.inputs{,1,…}.safetensors     tensors by flattened leaf position of (args, kwargs), four digits; a symbolic-int
                                    input is a 0-d int64 tensor; other leaves are constants and missing
  NAME.outputs{,1,…}.safetensors    what PyTorch eager computed, by flattened position; complex as real pairs
  NAME.state{,1,…}.safetensors      the buffers that the call changed, by name, after one call from the initial state
  NAME.after{,1,…}.safetensors      the user inputs that the call changed, by position

Further samples have other sizes inside the same dynamic ranges.
"""

import argparse
import copy
import re
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from zoo import PROGRAMS, load  # noqa: E402


def storable(value):
    """A leaf as a tensor for the file, or None where it is a constant."""
    if isinstance(value, torch.Tensor):
        plain = value.detach()
        if plain.is_complex():
            plain = torch.view_as_real(plain.resolve_conj())
        return plain.resolve_neg().contiguous().clone()
    return None


def by_position(leaves, dynamic_ints=frozenset()) -> dict:
    found = {}
    for position, leaf in enumerate(leaves):
        if position in dynamic_ints:
            found[f"{position:04}"] = torch.tensor(int(leaf), dtype=torch.int64)
            continue
        tensor = storable(leaf)
        if tensor is not None:
            found[f"{position:04}"] = tensor
    return found


def randomise_constants(module) -> None:
    """Values as training would leave them: fresh biases, scales and BatchNorm statistics (0 and 1) hide errors."""
    for child in module.modules():
        if isinstance(child, torch.nn.modules.batchnorm._BatchNorm) and child.running_mean is not None:
            child.running_mean.normal_(0, 0.2)
            child.running_var.uniform_(0.6, 1.4)
    for parameter in module.parameters():
        if parameter.numel() < 2 or not parameter.is_floating_point() or parameter.min() != parameter.max():
            continue
        if parameter.flatten()[0] == 0:
            parameter.normal_(0, 0.1)
        else:
            parameter.uniform_(0.7, 1.3)


def ones(sample) -> int:
    """How many dimensions of the sample's tensors are 1."""
    return sum(list(t.shape).count(1) for t in pytree.tree_leaves(sample) if isinstance(t, torch.Tensor))


def record(name: str, program, out: Path) -> str:
    torch.manual_seed(0)
    module = program.build()
    if not program.training:
        module.eval()
    with torch.no_grad():
        randomise_constants(module)
    samples = [s if isinstance(s, tuple) and len(s) == 2 and isinstance(s[1], dict) else (s, {}) for s in program.samples()]
    initial = copy.deepcopy(module)
    with torch.no_grad():
        # Export specialises a dimension whose example is 1: a dynamic one is traced on another sample.
        traced = min(samples, key=ones) if program.dynamic is not None else samples[0]
        args, kwargs = copy.deepcopy(traced)
        exported = torch.export.export(module, args, kwargs, dynamic_shapes=program.dynamic, strict=False)
    torch.export.save(exported, out / f"{name}.pt2")
    symbolic = {
        position
        for position, node in enumerate(n for n in exported.graph.nodes if n.op == "placeholder" and n.name in exported.graph_signature.user_inputs)
        if isinstance(node.meta.get("val"), torch.SymInt)
    }
    for number, (args, kwargs) in enumerate(samples):
        suffix = str(number) if number else ""
        eager = copy.deepcopy(initial)
        before = {k: v.clone() for k, v in eager.named_buffers()}
        leaves = pytree.tree_leaves((args, kwargs))
        save_file(by_position(leaves, symbolic), out / f"{name}.inputs{suffix}.safetensors")
        given = copy.deepcopy((args, kwargs))
        with torch.no_grad():
            result = eager(*given[0], **given[1])
        save_file(by_position(pytree.tree_leaves(result)), out / f"{name}.outputs{suffix}.safetensors")
        after = {k: v for k, v in eager.named_buffers() if k in before and not torch.equal(v, before[k])}
        if after:
            save_file({k: storable(v) for k, v in after.items()}, out / f"{name}.state{suffix}.safetensors")
        changed = {
            k: v
            for k, v in by_position(pytree.tree_leaves(given)).items()
            if not torch.equal(v, storable(leaves[int(k)]))
        }
        if changed:
            save_file(changed, out / f"{name}.after{suffix}.safetensors")
    ops = len([n for n in exported.graph.nodes if n.op == "call_function"])
    return f"{ops} nodes, {(out / f'{name}.pt2').stat().st_size / 1e6:.1f} MB, {len(samples)} samples"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--only", default="", help="regular expression over program names")
    parser.add_argument("--large", action="store_true", help="also the full-size programs")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    load()
    failed = 0
    for name, program in PROGRAMS.items():
        if not re.search(options.only, name) or (program.large and not options.large):
            continue
        if options.list:
            print(name)
            continue
        options.out.mkdir(parents=True, exist_ok=True)
        start = time.time()
        try:
            print(f"{name}: {record(name, program, options.out)} ({time.time() - start:.1f} s)", flush=True)
        except Exception:
            failed += 1
            for stale in options.out.glob(f"{name}.*"):
                if stale.name.removeprefix(name).lstrip(".").split(".")[0] != "dyn" or name.endswith(".dyn"):
                    stale.unlink()
            print(f"{name}: FAILED\n{traceback.format_exc(limit=-2)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
