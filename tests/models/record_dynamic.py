"""Records programs whose sizes, numbers or control flow depend on data, and what PyTorch computes.

Usage: python tests/models/record_dynamic.py [NAME ...]      (needs torch 2.15 and safetensors)

Each entry of CASES becomes, in tests/models/dynamic/: NAME.pt2, and for sample number n (none for the first)
NAME.inputs[n].safetensors, NAME.outputs[n].safetensors, and NAME.state[n].safetensors where buffers change. Tensors are
keyed by the flattened leaf position; numbers are 0-d tensors (int64, float64, bool).
"""

import math
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch._higher_order_ops import map as torch_map
from torch._higher_order_ops import scan, while_loop
from torch._higher_order_ops.associative_scan import associative_scan
from torch.export import Dim, export
from torch.utils._pytree import tree_flatten

from recording import with_short_positions

OUT = pathlib.Path(__file__).parent / "dynamic"
torch.manual_seed(0)
torch.set_num_threads(1)


class Module(nn.Module):
    """Registers the given tensors as buffers and runs the given function as forward."""

    def __init__(self, forward, **buffers):
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)
        self.body = forward

    def forward(self, *args):
        return self.body(self, *args)


def masks(m, x):
    return x[x > 0], torch.masked_select(x, x > 0.5), x[x[:, 0] > 0], x[:, x[0] > 0]


def mask_and_integers(m, x, rows):
    return x[rows > 0, 1], x[rows > 0][:, :2]


def positions(m, x):
    rows, columns = torch.where(x > 0)
    return torch.nonzero(x > 0), rows, columns, torch.nonzero_static(x > 0, size=4), torch.argwhere(x[0] > 0)


def after_selection(m, x):
    """Work at a size that data decide: elementwise, reduction, product, sort, concatenation."""
    y = x[x[:, 0] > 0]
    z = torch.relu(y @ m.weight) + y.sum(1, keepdim=True)
    return z.softmax(-1), torch.cat([y, x]), y.sort(0).values, y.mean(0), z.t().contiguous()


def twice(m, x):
    y = x[x[:, 0] > 0]
    z = y[y[:, 1] > 0]
    return z, y.shape[0] * 10 + z.shape[0]


def distinct(m, x):
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    rows, row_inverse, row_counts = torch.unique(x, dim=0, return_inverse=True, return_counts=True)
    runs, run_counts = torch.unique_consecutive(x, return_counts=True)
    return values, inverse, counts, rows, row_inverse, row_counts, runs, run_counts, torch.unique(x, dim=1)


def distinct_floats(m, x):
    return torch.unique(x), torch.unique(x > 0), torch.unique_consecutive(x, return_inverse=True, dim=0)


def counts(m, x, w):
    return torch.bincount(x), torch.bincount(x, minlength=10), torch.bincount(x, w), torch.histc(w, 4, -2, 2)


def repeats(m, x, r):
    return torch.repeat_interleave(x, r, dim=0), torch.repeat_interleave(r), torch.repeat_interleave(x.t(), r, dim=1)


def item_as_size(m, n, x):
    u = n.item()
    torch._check(u >= 0)
    torch._check(u <= x.shape[0])
    return x[:u], torch.zeros(u, 3) + 1, torch.arange(u), x.narrow(0, 0, u), u, torch.full((u, 2), 7)


def item_as_float(m, x):
    s = x.max().item()
    return x * s + s, torch.full((2,), s), x.clamp(max=s), s * 2 + 1.0, x.to(torch.bfloat16) * s, x.long() * s, x > s


def item_negative(m, n, x):
    return x * n.item() + n.item(), n.item() - 3


def numbers(m, x, n):
    return x.shape[0] * 2, x * n, x.shape[0] / 2, n + 1, n * 1.5, x.shape[0] // 2, (x.shape[0], 7)


def write_by_mask(m, x, v):
    y = x.clone()
    y[x > 0] = 1.0
    z = x.index_put((x[:, 0] > 0,), v, accumulate=True)
    w = x.clone()
    w[x[:, 0] > 0, 1] = 5.0
    return y, z, w


def branch(m, x):
    return torch.cond(x.sum() > 0, lambda x: (x.cos() + m.w, x * 1), lambda x: (x.sin(), x + 1), (x,))


def branch_on_size(m, x):
    return torch.cond(x.shape[0] > 4, lambda x: x.cos(), lambda x: x.sin(), (x,))


def branch_with_selection(m, x):
    return torch.cond(x.sum() > 0, lambda x: x[x > 0].sum(), lambda x: x.sum() * 2, (x,))


def nested_branches(m, x):
    def inner(x):
        return torch.cond(x.max() > 1, lambda x: x * 2, lambda x: x @ m.w, (x,))

    return torch.cond(x.sum() > 0, inner, lambda x: x - 1, (x,))


def loop(m, x):
    return while_loop(lambda i, x: (i < 5) & (x.sum() < 100), lambda i, x: (i + 1, x * 2 + m.w), (torch.tensor(0), x))


def exchange(m, x):
    """The loop carries two tensors that change places."""
    return while_loop(lambda i, a, b: i < 3, lambda i, a, b: (i + 1, b.clone(), a + 1), (torch.tensor(0), x, x * 2))


def running(m, x):
    return scan(lambda c, x: (c + x, c * x), torch.zeros(3), x, dim=0)


def running_back(m, x):
    step = lambda c, x: ([c[0] * 0.5 + x["a"], c[1] + 1], x["a"] @ m.w + c[0])
    return scan(step, [torch.zeros(3), torch.zeros(())], {"a": x}, dim=0, reverse=True)


def each(m, x, y):
    return torch_map(lambda x, y: x.cos() + y, x, y)


def sorting(m, x):
    values, indices = x.sort(dim=0)
    down = x.sort(dim=1, descending=True, stable=True)
    largest, where = x.topk(2, dim=1)
    smallest, _ = x.topk(2, dim=0, largest=False)
    return values, indices, down[0], down[1], largest, where, smallest, x.argsort(), x.median(), x.kthvalue(2, 0)[0]


def sorting_types(m, x):
    i = (x * 4).long()
    return i.sort(0)[0], i.int().sort(1)[0], i.to(torch.uint8).sort(0)[0], (x > 0).sort(dim=0, stable=True)[1], x.half().sort(0)[0], x.double().sort(1, True)[0]


def both(a, b):
    """One step of a linear recurrence, of any two neighbouring parts."""
    return a[0] * b[0], b[0] * a[1] + b[1]


def combined(m, x, y):
    return associative_scan(both, (x, y), 0)


def combined_back(m, x, y):
    return associative_scan(both, (x, y), 1, reverse=True)


def printing(m, x):
    torch.ops.aten._print("before")
    y = x + 1
    torch._higher_order_ops.print("sum {s}", s=y.sum())
    return y.to(torch.promote_types(x.dtype, torch.float64))


def mapped(m, x, y):
    """Over different dimensions, with a shared matrix, and a result without slices."""
    one = lambda a, c: ((a.sin() @ m.w) * c.sum(), c.max() + a.mean(), m.w * 2)
    return torch.vmap(one, in_dims=(0, 1))(x, y)


def mapped_mask(m, mask):
    """A mask as transformers makes them: four nested calls of single numbers."""
    allowed = lambda b, h, q, k: (k <= q) & mask[b, k] | (q == k)
    for dims in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None), (0, None, None, None)):
        allowed = torch.vmap(allowed, in_dims=dims)
    length = torch.arange(mask.shape[1])
    return allowed(torch.arange(mask.shape[0]), torch.arange(2), length, length)


def mapped_shapes(m, x, i):
    """Views, joins and indices, of slices by what is shared and by slices."""

    def one(a, i):
        b = a.unsqueeze(1).expand(-1, 2, -1).transpose(0, 2).reshape(3, -1)
        c = torch.cat([a, m.t], 0).flip(0)[1:4, ::2]
        d = torch.nn.functional.pad(a, (1, 2), value=0.5)
        e = a[i] + m.t[i, 1:2] + a.index_select(1, i[:2]).sum() + m.t.index_select(0, i).sum(1, keepdim=True)
        f = a.gather(0, i.unsqueeze(1).expand(-1, 3)) * a.scatter(0, i[:1].unsqueeze(1), a[:1, :1])
        g = a.index_put((i,), m.t, accumulate=True) + m.t.index_add(0, i, a)
        return b, c, d, e, f, g, torch.where(a > 0, a, m.t), a.roll(1, 0), torch.stack([a, m.t], 1)

    return torch.vmap(one)(x, i)


def mapped_reductions(m, x):
    def one(a):
        values, indices = a.sort(0)
        top, where = a.topk(2, 1)
        numbers = a.softmax(-1), a.logsumexp(0), a.std(1), a.amax(), a.argmax(1), a.cumsum(0), a.norm(), a.prod(1)
        return *numbers, values, indices, top, where, *torch.var_mean(a, 0), torch.einsum("ij,kj->ik", a, m.t), a @ a.t()

    return torch.vmap(one, in_dims=2)(x)


def mapped_networks(m, x):
    def one(a, w):
        b = torch.nn.functional.conv1d(a, m.w, padding=1) + torch.nn.functional.conv1d(a, w, groups=2, padding=1)
        c = torch.nn.functional.max_pool1d(b, 2) + torch.nn.functional.avg_pool1d(b, 2)
        d = torch.nn.functional.layer_norm(c, c.shape[-1:])
        return b, torch.nn.functional.gelu(d), torch.linalg.solve(a[0, :, :2] @ a[0, :, :2].t() + torch.eye(2), b[0, :2])

    return torch.vmap(one)(x, m.ws[: x.shape[0]] * 2)


def mapped_in_steps(m, x):
    """Attention, which is a primitive of its own: a loop over the slices."""
    attention = torch.nn.functional.scaled_dot_product_attention
    return torch.vmap(lambda a: attention(a, a * 2, a @ m.w, is_causal=True).relu())(x)


def mapped_same(m, x):
    """The same random numbers for all slices: what is returned is 0, whatever they are."""
    noise = torch.vmap(lambda a: torch.rand_like(a) + a * 0, randomness="same")(x)
    kept = torch.vmap(lambda a: torch.nn.functional.dropout(a * 0 + 1, 0.5, True), randomness="same")(x)
    return noise - noise[:1], kept - kept[:1], kept * (kept - 2)


def split_at(m, x, indices):
    a, b, c = torch.tensor_split(x, indices)
    d, e = torch.tensor_split(x, m.columns, 1)
    return a, b * 2, torch.cat([c, a]), d.sum(0), e


def stateful(m, x):
    m.seen[: x.shape[0]] = x[:, 0]
    m.steps.add_(1)
    return m.seen[m.seen > 0], m.steps * 1


def xs(*rows):
    """Random inputs with these numbers of rows of three."""
    return [(torch.randn(n, 3),) for n in rows]


def with_nan(n):
    x = torch.randn(n, 3)
    x[0, 1], x[n - 1, 0], x[n // 2] = math.nan, math.inf, 0.0
    return (x,)


b = {0: Dim("b")}
more = {0: Dim("b", min=5)}
integers = lambda n: (torch.randint(-2, 3, (n, 2)),)
CASES = {
    "masks": (Module(masks), xs(5, 1, 40), (b,)),
    "mask_and_integers": (Module(mask_and_integers), [(torch.randn(n, 3), torch.randn(n)) for n in (5, 9)], (b, b)),
    "positions": (Module(positions), xs(5, 2, 33), (b,)),
    "after_selection": (Module(after_selection, weight=torch.randn(3, 3)), xs(6, 3, 37), (b,)),
    "twice": (Module(twice), xs(8, 2, 50), (b,)),
    "distinct": (Module(distinct), [integers(7), integers(1), integers(65)], (b,)),
    "distinct_floats": (Module(distinct_floats), [with_nan(5), with_nan(30)], (b,)),
    "counts": (Module(counts), [(torch.randint(0, 5, (n,)), torch.randn(n)) for n in (9, 1, 70)], (b, b)),
    "repeats": (Module(repeats), [(torch.randn(n, 3), torch.randint(0, 4, (n,))) for n in (5, 2, 21)], (b, b)),
    "item_as_size": (Module(item_as_size), [(torch.tensor(k), torch.randn(n, 3)) for k, n in ((3, 5), (0, 2), (17, 17))], (None, b)),
    "item_as_float": (Module(item_as_float), xs(5, 2), (b,)),
    "item_negative": (Module(item_negative), [(torch.tensor(k), torch.randn(n, 3)) for k, n in ((3, 5), (-9, 2))], (None, b)),
    "numbers": (Module(numbers), [(torch.randn(5, 3), 3), (torch.randn(9, 3), 8)], (b, Dim.DYNAMIC)),
    "write_by_mask": (Module(write_by_mask), [(x[0], torch.ones(3)) for x in xs(5, 2, 19)], (b, None)),
    "branch": (Module(branch, w=torch.ones(3)), [(torch.rand(5, 3),), (-torch.rand(3, 3),)], (b,)),
    "branch_on_size": (Module(branch_on_size), xs(5, 3, 4), (b,)),
    "branch_with_selection": (Module(branch_with_selection), [(torch.rand(5, 3) - 0.4,), (-torch.rand(3, 3),)], (b,)),
    "nested_branches": (Module(nested_branches, w=torch.randn(3, 3)), [(torch.rand(5, 3),), (-torch.rand(3, 3),), (torch.rand(3, 3) + 1,)], (b,)),
    "loop": (Module(loop, w=torch.ones(3)), [(torch.rand(5, 3),), (torch.rand(2, 3) * 90,)], (b,)),
    "exchange": (Module(exchange), xs(5, 2), (b,)),
    "running": (Module(running), xs(5, 2, 40), (b,)),
    "running_back": (Module(running_back, w=torch.randn(3, 3)), xs(5, 2, 11), (b,)),
    "each": (Module(each), [(x[0], torch.ones(3)) for x in xs(5, 2)], (b, None)),
    "combined": (Module(combined), [(torch.rand(n, 4), torch.randn(n, 4)) for n in (5, 9, 33)], (more, more)),
    "combined_back": (Module(combined_back), [(torch.rand(n, 4), torch.randn(n, 4)) for n in (5, 9)], (more, more)),
    "mapped": (Module(mapped, w=torch.randn(4, 3)), [(torch.randn(n, 4), torch.randn(6, n)) for n in (5, 1, 33)], (b, {1: Dim("b")})),
    "mapped_mask": (Module(mapped_mask), [(torch.rand(n, k) > 0.5,) for n, k in ((3, 7), (2, 19))], ({0: Dim("b"), 1: Dim("k")},)),
    "mapped_shapes": (Module(mapped_shapes, t=torch.randn(4, 3)), [(torch.randn(5, 4, 3), torch.randint(0, 3, (5, 4)))], (None, None)),
    "mapped_reductions": (Module(mapped_reductions, t=torch.randn(2, 3)), [(torch.randn(4, 3, n),) for n in (5, 2, 17)], ({2: Dim("b")},)),
    "mapped_networks": (Module(mapped_networks, w=torch.randn(4, 2, 3), ws=torch.randn(8, 4, 1, 3)), [(torch.randn(5, 2, 2, 8),)], (None,)),
    "mapped_in_steps": (Module(mapped_in_steps, w=torch.randn(5, 5)), [(torch.randn(4, 2, 3, 5),)], (None,)),
    "mapped_same": (Module(mapped_same), xs(5, 2), (b,)),
    "split_at": (
        Module(split_at, columns=torch.tensor([1])),
        [(torch.randn(n, 3), torch.tensor(i)) for n, i in ((7, [2, 5]), (9, [-4, 40]), (6, [4, 2]))],
        ({0: Dim("b", min=2)}, None),
    ),
    "printing": (Module(printing), xs(5, 2), (b,)),
    "sorting": (Module(sorting), [with_nan(7), *xs(2, 100)], (b,)),
    "sorting_types": (Module(sorting_types), xs(7, 50), (b,)),
    "stateful": (Module(stateful, seen=torch.zeros(64), steps=torch.tensor(0)), xs(5, 9), ({0: Dim("b", min=2, max=64)},)),
}

# What PyTorch's functionalisation adds is in these as well: effect tokens.
DECOMPOSED = ("printing",)


def keyed(leaves):
    tensors = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            leaf = torch.tensor(leaf, dtype=torch.int64 if isinstance(leaf, int) else torch.float64)
        if isinstance(leaf, torch.Tensor):
            tensors[f"{i:04}"] = leaf.detach().clone().contiguous()
    return tensors


def record(name):
    module, samples, dynamic = CASES[name]
    initial = {k: v.clone() for k, v in module.state_dict().items()}
    program = export(module, samples[0], dynamic_shapes={"args": dynamic})
    if name in DECOMPOSED:
        program = program.run_decompositions({})
    module.load_state_dict(initial)
    with_short_positions(program, "record_dynamic.py")
    torch.export.save(program, str(OUT / f"{name}.pt2"))
    for number, args in enumerate(samples):
        suffix = str(number or "")
        module.load_state_dict(initial)
        inputs = keyed(tree_flatten(args)[0])
        outputs = module(*args)
        save_file(inputs, OUT / f"{name}.inputs{suffix}.safetensors")
        save_file(keyed(tree_flatten(outputs)[0]), OUT / f"{name}.outputs{suffix}.safetensors")
        after = {k: v.clone() for k, v in module.state_dict().items() if not torch.equal(v, initial[k])}
        if after:
            save_file(after, OUT / f"{name}.state{suffix}.safetensors")
    print(name)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        record(name)
