#!/usr/bin/env python3
"""Records programs that read or write at indices which data give, with inputs whose indices are out of range.

Usage: python tests/models/record_bad_indices.py      (needs torch 2.15 and safetensors)

For each entry of CASES, in tests/models/bad_indices/: NAME.pt2, NAME.inputs.safetensors and NAME.outputs.safetensors as
in the other folders, and NAME.badN.safetensors: inputs that PyTorch refuses, which every way of running the program
must refuse too, without changing state or inputs.
"""

import pathlib
import warnings

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim, export

from recording import without_positions

OUT = pathlib.Path(__file__).parent / "bad_indices"
N = Dim("n", min=2, max=64)


class Module(nn.Module):
    def __init__(self, forward, **buffers):
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor.clone())
        self.body = forward

    def forward(self, *args):
        return self.body(self, *args)


def caches(m, keys, values, at):
    """Two caches written in place; the second index is checked when the first cache could be written already."""
    m.keys.index_copy_(0, at[0], keys)
    m.values.index_copy_(0, at[1], values)
    return m.keys.sum(0) + m.values.sum(0)


def counted(m, i):
    """A counter, then a look-up that may fail, whose result goes into state as well."""
    m.calls.add_(1)
    m.last.copy_(F.embedding(i, m.table))
    return m.last * 2


def chained(m, x, at):
    """The second index is what the first write left in the state."""
    m.places.index_copy_(0, at, x)
    return m.table[m.places[0]]


def changed_input(m, x, at):
    x.index_fill_(0, at, 3.0)
    return x[at].sum()


def narrow_item(m, x, i):
    start = i[0].item()
    torch._check(start >= 0)
    return x.narrow(0, start, 2)


def split_items(m, x, i):
    a, b = i.tolist()
    torch._check(a >= 0)
    torch._check(b >= 0)
    first, second = x.split([a, b])
    return torch.cat([first.sum(0), second.sum(0)])


X, TABLE = torch.arange(20.0).reshape(4, 5), torch.arange(12.0).reshape(6, 2)
GOOD = torch.tensor([0, 3, -1])


def far(*indices):
    return [torch.tensor(i) for i in indices]


OUTSIDE = far([0, 4, 1], [-5, 0, 0], [1, 2, 2**40])
FROM_0 = far([0, 4, 1], [-1, 0, 0], [1, 2, 2**40])
# name: module, good inputs, bad inputs
CASES = {
    "index": (Module(lambda m, x, i: x[i]), (X, GOOD), [(X, i) for i in OUTSIDE]),
    "index_2": (Module(lambda m, x, i: x[:, i]), (X, GOOD), [(X, i) for i in far([0, 5, 1], [-6, 0, 0])]),
    "gather": (Module(lambda m, x, i: x.gather(0, i[:, None])), (X, GOOD.abs()), [(X, i) for i in FROM_0]),
    "scatter": (Module(lambda m, x, i: x.scatter(0, i[:, None], 1.0)), (X, GOOD.abs()), [(X, i) for i in FROM_0]),
    "scatter_add": (Module(lambda m, x, i: x.scatter_add(0, i[:, None], x)), (X, GOOD.abs()), [(X, i) for i in FROM_0]),
    "embedding": (Module(lambda m, i: F.embedding(i, m.t), t=TABLE), (GOOD.abs(),), [(i,) for i in far([0, 6, 1], [-1, 0, 0])]),
    "embedding_bag": (Module(lambda m, i: F.embedding_bag(i[None], m.t), t=TABLE), (GOOD.abs(),), [(i,) for i in far([0, 6, 1], [-1, 0, 0])]),
    "index_select": (Module(lambda m, x, i: x.index_select(0, i)), (X, GOOD.abs()), [(X, i) for i in FROM_0]),
    "index_put": (Module(lambda m, x, i: x.index_put((i,), x[0])), (X, GOOD), [(X, i) for i in OUTSIDE]),
    "index_add": (Module(lambda m, x, i: x.index_add(0, i, x[:3])), (X, GOOD.abs()), [(X, i) for i in FROM_0]),
    "one_hot": (Module(lambda m, i: F.one_hot(i, 4)), (GOOD.abs(),), [(i,) for i in FROM_0]),
    "take": (Module(lambda m, x, i: x.take(i)), (X, GOOD), [(X, i) for i in far([20, 0, 0], [-21, 0, 0])]),
    "dynamic_index": (Module(lambda m, x, i: x[i] + x[i - 1]), (X, torch.tensor([1, 2, 3])), [(X, i) for i in OUTSIDE], ({0: N}, None)),
    "caches": (Module(caches, keys=torch.zeros(6, 3), values=torch.zeros(6, 3)),
               (torch.ones(2, 3), torch.ones(2, 3) * 2, torch.tensor([[0, 1], [4, 5]])),
               [(torch.ones(2, 3), torch.ones(2, 3), torch.tensor(i)) for i in ([[0, 6], [1, 2]], [[0, 1], [2, -1]], [[0, 1], [9, 0]])]),
    "counted": (Module(counted, calls=torch.zeros(1), last=torch.zeros(3, 2), table=TABLE), (GOOD.abs(),), [(i,) for i in far([0, 6, 1], [-1, 0, 0])]),
    "chained": (Module(chained, places=torch.zeros(4, dtype=torch.int64), table=TABLE), (torch.tensor([5, 1]), torch.tensor([0, 2])),
                [(torch.tensor([6, 1]), torch.tensor([0, 2])), (torch.tensor([5, 1]), torch.tensor([0, 4]))]),
    "select_item": (Module(lambda m, i: m.t[i[0].item()] + m.t[i[1].item() - 6], t=TABLE), (torch.tensor([5, 0]),), [(i,) for i in far([6, 0], [-7, 0], [0, -1], [0, 12])]),
    "narrow_item": (Module(narrow_item), (X, torch.tensor([2])), [(X, i) for i in far([3], [2**40])]),
    "split_items": (Module(split_items), (X, torch.tensor([1, 3])), [(X, i) for i in far([2, 3], [1, 2])]),
    "changed_input": (Module(changed_input), (X, GOOD.abs()), [(X, i) for i in OUTSIDE]),
}


def keyed(tensors):
    return {f"{p:04}": t.detach().clone().contiguous() for p, t in enumerate(tensors)}


def record(name):
    module, good, bad, *dynamic = CASES[name]
    initial = {k: v.clone() for k, v in module.state_dict().items()}
    copies = lambda tensors: tuple(t.clone() for t in tensors)  # noqa: E731
    program = export(module, copies(good), dynamic_shapes={"args": dynamic[0]} if dynamic else None)
    without_positions(program)
    module.load_state_dict(initial)
    for inputs in bad:
        try:
            module(*copies(inputs))
        except (IndexError, RuntimeError):
            pass
        else:
            raise AssertionError(f"PyTorch takes {inputs}")
        module.load_state_dict(initial)
    given = copies(good)
    outputs = module(*given)
    torch.export.save(program, str(OUT / f"{name}.pt2"))
    save_file(keyed(good), OUT / f"{name}.inputs.safetensors")
    save_file(keyed([outputs]), OUT / f"{name}.outputs.safetensors")
    for number, inputs in enumerate(bad):
        save_file(keyed(inputs), OUT / f"{name}.bad{number}.safetensors")
    after = {k: v.clone() for k, v in module.state_dict().items() if not torch.equal(v, initial[k])}
    if after:
        save_file(after, OUT / f"{name}.state.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    for name in CASES:
        record(name)
