#!/usr/bin/env python3
"""Records every form of dynamic dimension that torch.export writes, with calls that break each rule.

Usage: python tests/models/record_dims.py [NAME ...]      (needs torch 2.15 and safetensors)

For each entry of CASES, in tests/models/dims/: NAME.pt2; NAME.inputs[n].safetensors and NAME.outputs[n].safetensors as in the
other folders; NAME.badN.safetensors, inputs that break a rule; and NAME.rules.json, for each of those the words that the
error has to contain. The recorder fails if PyTorch takes such inputs.
"""

import json
import math
import pathlib
import sys
import warnings

import torch
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves

from recording import without_positions

OUT = pathlib.Path(__file__).parent / "dims"


class Module(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *args):
        return self.body(*args)


def x(*shape):
    """Distinct numbers of this shape."""
    return torch.arange(1, math.prod(shape) + 1, dtype=torch.float32).reshape(shape) / 8


def both(a, b):
    return a + 1, b * 2


def guarded(a):
    return a * 2 if a.shape[0] > 4 else a - 1


def excluded(a):
    return a * 2 if a.shape[0] == 3 else a - 1


def even(a):
    torch._check(a.shape[0] % 2 == 0)
    return a.reshape(a.shape[0] // 2, 2, -1).sum(1)


def parts(a, n):
    torch._check(n >= 0)
    torch._check(n <= a.shape[0])
    return a[:n].sum(0), a[n:], n, a.shape[0] - n


def integers(a, n):
    """Every arithmetic on symbolic integers that exports, as numbers and as sizes."""
    rows = a.shape[0]
    return (
        rows * 2 + n, rows // 2, -(-rows // 3), rows % 4, max(rows, n), min(rows, n), rows - n, rows / 4,
        rows * n, rows**2, a.numel(), a.new_zeros(rows // 2 + 1), a.new_ones(rows % 3 + 1),
        a.new_full((max(rows, n),), 2.0), a.new_zeros(min(rows, n), 2), a.new_zeros(-(-rows // 3)), torch.arange(-(-rows // 2)),
        a * n + rows, a[: rows // 2], a[(rows + 1) // 2 :], a.sum() / rows,
    )


def halves(a):
    return a[: a.shape[0] // 2] + a[a.shape[0] // 2 :]


def size_in_data(n, a):
    u = n.item()
    torch._check(u >= 2)
    torch._check(u <= a.shape[0])
    return a[:u] * 2, u


def positive(a):
    rows = torch.nonzero(a > 0)[:, 0]
    torch._check(rows.shape[0] <= 4)
    return rows, rows.shape[0] + 1


def chunked(a):
    torch._check(a.shape[0] % 3 == 0)
    torch._check(a.shape[0] * a.shape[1] <= 60)
    torch._check(max(a.shape[0], a.shape[1]) <= 12)
    return a.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)


B, N = Dim("b", min=3, max=16), Dim("n", min=1, max=100)
HALF, FREE = Dim("half", min=1, max=20), Dim("free")
# name: function, samples, dimensions, broken calls as (inputs, words of the error)
CASES = {
    "bounded": (lambda a: a.relu() + 1, [(x(n, 3),) for n in (5, 3, 7, 16)], ({0: B},), [
        ((x(17, 3),), ["dimension 0 is 17", "at most 16"]), ((x(2, 3),), ["dimension 0 is 2", "at least 3"]),
        ((x(5, 4),), ["dimension 1 is 4", "must be 3"])]),
    "free": (lambda a: a.cumsum(0), [(x(n, 3),) for n in (5, 1, 7, 1000)], ({0: FREE},), [
        ((x(5, 2),), ["dimension 1 is 2", "must be 3"])]),
    "shared": (lambda a, b: a @ b.t(), [(x(n, m), x(n, m)) for n, m in ((4, 3), (1, 5), (7, 7))], ({0: N, 1: FREE}, {0: N, 1: FREE}), [
        ((x(4, 3), x(5, 3)), ["dimension 0 is 5", "must be 4"]), ((x(4, 3), x(4, 2)), ["dimension 1 is 2", "must be 3"]),
        ((x(101, 1), x(101, 1)), ["101", "at most 100"])]),
    "twice": (lambda a, b: b.view(2, -1) + a, [(x(n), x(2 * n)) for n in (4, 2, 9, 20)], ({0: HALF}, {0: 2 * HALF}), [
        ((x(4), x(9)), ["dimension 0 is 9", "must be 8"]), ((x(21), x(42)), ["21", "at most 20"])]),
    "one_more": (lambda a, b: b[1:] * a - b[:-1], [(x(n), x(n + 1)) for n in (4, 2, 9, 20)], ({0: HALF}, {0: HALF + 1}), [
        ((x(4), x(4)), ["dimension 0 is 4", "must be 5"])]),
    "only_derived": (halves, [(x(n, 2),) for n in (8, 4, 18, 40)], ({0: 2 * HALF},), [
        ((x(5, 2),), ["dimension 0 is 5", "2*", "with an integer"]), ((x(42, 2),), ["dimension 0 is 42", "<= 20"])]),
    "derived_offset": (lambda a: a[1:].reshape(-1, 3).sum(1), [(x(n),) for n in (7, 10, 13, 61)], ({0: 3 * HALF + 1},), [
        ((x(8),), ["dimension 0 is 8", "3*", "+ 1 with an integer"]), ((x(64),), ["dimension 0 is 64", "<= 20"])]),
    "automatic": (guarded, [(x(n, 3),) for n in (7, 5, 33)], ({0: Dim.AUTO, 1: Dim.AUTO},), [
        ((x(4, 3),), ["dimension 0 is 4", "at least 5"])]),
    "excluded": (excluded, [(x(n, 3),) for n in (7, 1, 4)], ({0: Dim.AUTO},), [((x(3, 3),), ["dimension 0 is 3", "!= 3"])]),
    "even": (even, [(x(n, 3),) for n in (6, 4, 34)], ({0: Dim.AUTO, 1: Dim.AUTO},), [((x(5, 3),), ["dimension 0 is 5", "Mod(", ", 2) == 0"])]),
    "tied": (lambda a, b: torch.cat([a + b, a]), [(x(n, 3), x(n, 3)) for n in (5, 1, 9)], ({0: Dim.AUTO}, {0: Dim.AUTO}), [
        ((x(5, 3), x(4, 3)), ["dimension 0 is 4", "must be 5"])]),
    "sums": (lambda a, b, c: torch.cat([a, b]) + c, [(x(n), x(m), x(n + m)) for n, m in ((3, 4), (2, 2), (7, 2))],
             ({0: Dim.AUTO}, {0: Dim.AUTO}, {0: Dim.AUTO}), [((x(3), x(4), x(8)), ["dimension 0 is 8", "must be 7"])]),
    "number": (parts, [(x(6, 2), n) for n in (2, 4, 3)] + [(x(7, 2), 5)], ({0: N}, Dim.DYNAMIC), [
        ((x(6, 2), 7), ["its value is 7", "is dimension 0 of input"]), ((x(6, 2), -1), ["its value is -1", "at least"])]),
    "integers": (integers, [(x(n, 2), k) for n, k in ((6, 5), (6, 9), (9, 3), (15, 12))], ({0: Dim.AUTO}, Dim.DYNAMIC), []),
    "several_rules": (chunked, [(x(n, m),) for n, m in ((6, 4), (9, 6), (12, 5))], ({0: Dim.AUTO, 1: Dim.AUTO},), [
        ((x(7, 4),), ["dimension 0 is 7", ", 3) == 0"]), ((x(12, 6),), ["<= 60"]), ((x(6, 13),), ["dimension 1 is 13", "must satisfy"])]),
    "size_in_data": (size_in_data, [(torch.tensor(k), x(n, 2)) for k, n in ((3, 6), (2, 2), (7, 7))], (None, {0: N}), [
        ((torch.tensor(7), x(6, 2)), ["= 7", "is dimension 0 of input"]), ((torch.tensor(1), x(6, 2)), ["= 1", "at least 2"]),
        ((torch.tensor(-1), x(6, 2)), ["= -1", "at least 2"])]),
    "count_in_data": (positive, [(v,) for v in (torch.tensor([1.0, -1, 2, 0, 3]), torch.tensor([-1.0]), torch.ones(4))], ({0: FREE},), [
        ((torch.ones(5),), ["= 5", "at most 4"])]),
}


def keyed(leaves):
    tensors = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, bool | int | float):
            leaf = torch.tensor(leaf, dtype=torch.bool if isinstance(leaf, bool) else torch.int64 if isinstance(leaf, int) else torch.float64)
        tensors[f"{i:04}"] = leaf.detach().clone().contiguous()
    return tensors


def record(name):
    body, samples, dynamic, broken = CASES[name]
    module = Module(body)
    program = export(module, samples[0], dynamic_shapes={"args": dynamic})
    without_positions(program)
    torch.export.save(program, str(OUT / f"{name}.pt2"))
    for number, args in enumerate(samples):
        suffix = str(number or "")
        try:
            outputs = program.module()(*args)
        except (RuntimeError, AssertionError) as error:
            raise SystemExit(f"{name}: PyTorch refuses sample {number}: {error}") from error
        save_file(keyed(args), OUT / f"{name}.inputs{suffix}.safetensors")
        save_file(keyed(tree_leaves(outputs)), OUT / f"{name}.outputs{suffix}.safetensors")
    for number, (args, words) in enumerate(broken):
        try:
            program.module()(*args)
            raise SystemExit(f"{name}: PyTorch takes bad {number}")
        except (RuntimeError, AssertionError) as error:
            print(f"  {str(error).strip().splitlines()[0][:120]}  ->  {words}")
        save_file(keyed(args), OUT / f"{name}.bad{number}.safetensors")
    (OUT / f"{name}.rules.json").write_text(json.dumps([words for _, words in broken]) + "\n")
    print(name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        record(name)
