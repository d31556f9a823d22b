"""Records programs that write to their tensors, and what PyTorch says these writes amount to.

Usage: python tests/models/record_effects.py [NAME ...]      (needs torch 2.15 and safetensors)

Each module below becomes, in tests/models/effects/:
  NAME.pt2                      as users save it: not functional
  NAME.effects.json             the mutation outputs that run_decompositions({}) reports: [kind, target], in order
  NAME.inputs.safetensors       flattened tensor inputs before the call, keys 0000, 0001, ...
  NAME.after.safetensors        the same inputs after the call, where the call changed them
  NAME.outputs.safetensors      flattened outputs
  NAME.state.safetensors        buffers and parameters after the call, where the call changed them
The expectations come from eager PyTorch, so an import that gets an alias wrong gives other numbers.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim, export
from torch.utils._pytree import tree_flatten

from recording import with_short_positions

OUT = pathlib.Path(__file__).parent / "effects"


class Buffers(nn.Module):
    """Registers the given tensors as buffers and runs the given function as forward."""

    def __init__(self, forward, **buffers):
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)
        self.body = forward

    def forward(self, *args):
        return self.body(self, *args)


def ramp(*shape):
    return torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float32).reshape(shape) / 4


def views_of_buffers(m, x, y):
    y.add_(1)
    m.c[0].mul_(2)
    m.b.add_(x)
    x[:, 1].copy_(m.b[:, 0])
    m.a.view(2, 2).t()[0] += 3
    return x + m.c, m.a


def diagonals(m, x, cube):
    m.table.fill_diagonal_(-1)
    x.fill_diagonal_(2.5, wrap=True)
    y = cube * 2
    return y.fill_diagonal_(7), x[1:].clone().fill_diagonal_(0)


def intermediates(m, x):
    y = x + 1
    z = y[1:]
    z.mul_(2)
    w = y.view(-1)
    w[0] = 7.0
    y.relu_()
    return y, z.sum(), w * 1


def old_values_stay(m, x):
    before = x * 1
    kept = before + 0
    before.add_(5)
    return kept, before, x


def reshape_copies(m, x):
    t = x.t()
    copied = t.reshape(-1)
    copied.add_(100)
    viewed = x.reshape(-1)
    viewed.sub_(1)
    return copied, x * 1, t * 1


def split_chunk_unbind(m, x):
    y = x.clone()
    a, b = y.split([1, 2], dim=0)
    a.add_(10)
    b.mul_(3)
    c, d = y.chunk(2, dim=1)
    d.neg_()
    rows = y.unbind(0)
    rows[2].zero_()
    return y, a * 1, c * 1


def expand_reads(m, x):
    base = x.clone()
    wide = base.expand(3, 4)
    base.add_(1)
    return wide + 0, base


def fills(m, x):
    y = x.clone()
    y[0].fill_(3)
    y[1].zero_()
    y[2].fill_(x[0, 0])
    z = torch.empty_like(x)
    z.copy_(x[0])
    return y, z


def masks(m, x):
    y = x.clone()
    y.masked_fill_(x > 1, -1.0)
    y[y < 0] = 0.5
    y.index_fill_(0, torch.tensor([1]), 9.0)
    y.clamp_(max=8.0)
    return y


def mixed_types(m, x):
    m.count.add_(1)
    half = x.to(torch.float16)
    half.add_(x)
    whole = m.count + 2
    whole.mul_(3)
    m.scale.copy_(whole)
    return half, whole


def permuted_write(m, x):
    y = x.clone()
    y.permute(2, 0, 1)[1, :, 0] = 5.0
    y.transpose(0, 1).unsqueeze(0).squeeze(0)[1].sub_(2)
    y.movedim(0, 2)[0, 1].add_(1)
    return y


def diagonal_write(m, x):
    y = x.clone()
    y.diagonal().add_(1)
    y.diagonal(1).mul_(2)
    return y


def scatter_writes(m, x, index):
    m.table.index_copy_(0, index, x)
    m.table.index_add_(0, index, x, alpha=2)
    m.sums.scatter_add_(1, index.view(1, -1).expand(2, 2), x[:, :2])
    m.table.index_put_((index,), x[0], accumulate=True)
    return m.table[index]


def identity_aliases(m, x):
    y = x.clone()
    a = y.detach()
    b = a.contiguous()
    c = b.to(torch.float32)
    d = torch.nn.functional.dropout(c, 0.5, training=False)
    d.add_(1)
    e = y.to(torch.float64)
    e.add_(1)
    return y, e


def metadata_changes(m, x):
    y = x.clone()
    y.unsqueeze_(0)
    y.transpose_(1, 2)
    y.add_(1)
    return y


def input_views_returned(m, x):
    x[0].add_(1)
    return x[0], x


def powers(m, x):
    y = x.clone()
    y.pow_(2)
    y.pow_(x)
    y.clamp_min_(0.25)
    return y


def complex_parts(m, x):
    z = torch.view_as_complex(x.clone())
    z.mul_(2)
    r = torch.view_as_real(z)
    r[..., 1].add_(1)
    return r * 1, torch.view_as_real(z * 1)


def outs(m, x, y):
    t = torch.empty(3)
    torch.atan2(x, y, out=t)
    torch.add(x, y, alpha=2, out=m.sums)
    torch.mul(x, y, out=m.table[1])
    values, indices = torch.zeros(2), torch.zeros(2, dtype=torch.int64)
    torch.topk(x, 2, out=(values, indices))
    narrow = torch.zeros(3, dtype=torch.float16)
    torch.maximum(x, y, out=narrow)
    return t, values, indices, narrow, m.sums * 2


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(3)
        self.frozen = nn.BatchNorm1d(3).eval()
        with torch.no_grad():
            self.frozen.running_mean.copy_(ramp(3))

    def forward(self, x):
        return self.frozen(torch.relu_(self.bn(x)))


class InstanceNorms(nn.Module):
    """The running statistics are means over the samples."""

    def __init__(self):
        super().__init__()
        self.wide = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
        self.flat = nn.InstanceNorm1d(3, momentum=0.3, track_running_stats=True)
        with torch.no_grad():
            self.wide.weight.copy_(ramp(3))
            self.flat.running_mean.copy_(ramp(3))

    def forward(self, x):
        return self.flat(torch.relu(self.wide(x)).flatten(2)) * 2


class Tied(nn.Module):
    """Two names of one buffer: a write through one is seen through the other."""

    def __init__(self):
        super().__init__()
        self.register_buffer("first", ramp(4))
        self.inner = nn.Module()
        self.inner.register_buffer("second", self.first)

    def forward(self, x):
        self.first.add_(x)
        return self.inner.second * 2


class NoGrad(nn.Module):
    """torch.no_grad around a part of the graph: a nested graph that writes to an outer tensor's memory."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(3))

    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            self.steps.add_(1)
            z = y.detach() + self.steps
        return y + z


class Autocast(nn.Module):
    """Saved as a nested graph of uncast operators: the conversions are the reader's to insert."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm = nn.Linear(4, 3), nn.LayerNorm(3)
        self.conv, self.bn = nn.Conv1d(2, 3, 3, padding=1), nn.BatchNorm1d(3).eval()

    def forward(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = torch.relu(self.linear(x)) + x[:, :3]
            scores = torch.softmax(mixed @ mixed.t(), -1)
            mixed = self.norm(self.linear(x))
            wide = torch.cat([mixed, x], 1)
            q = self.bn(self.conv(y)).transpose(1, 2)
            attended = nn.functional.scaled_dot_product_attention(q, q, y.new_ones(q.shape))
            product = torch.prod(mixed)
            with torch.autocast("cpu", enabled=False):
                plain = self.linear(x)
            mixed.add_(1)
        return scores, wide, attended, product, plain, mixed


class Dynamic(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x):
        y = x.clone()
        y[1:].add_(1)
        y.view(-1, 2)[:, 0] = 0.0
        y[:, :2].copy_(x[:, 2:])
        self.total.add_(y.sum(0))
        return y, y.reshape(-1)


b = Dim("b", min=3, max=64)
CASES = {
    "views_of_buffers": (Buffers(views_of_buffers, a=ramp(4), b=ramp(2, 3), c=ramp(2, 3)), (ramp(2, 3), ramp(2)), None),
    "intermediates": (Buffers(intermediates), (ramp(3, 2) - 1,), None),
    "old_values_stay": (Buffers(old_values_stay), (ramp(3),), None),
    "reshape_copies": (Buffers(reshape_copies), (ramp(3, 2),), None),
    "split_chunk_unbind": (Buffers(split_chunk_unbind), (ramp(3, 4),), None),
    "expand_reads": (Buffers(expand_reads), (ramp(4),), None),
    "fills": (Buffers(fills), (ramp(3, 2),), None),
    "masks": (Buffers(masks), (ramp(3, 2),), None),
    "mixed_types": (Buffers(mixed_types, count=torch.tensor(4), scale=torch.zeros(3)), (ramp(3),), None),
    "permuted_write": (Buffers(permuted_write), (ramp(2, 3, 4),), None),
    "diagonal_write": (Buffers(diagonal_write), (ramp(3, 4),), None),
    "scatter_writes": (
        Buffers(scatter_writes, table=ramp(4, 3), sums=torch.zeros(2, 3)),
        (ramp(2, 3), torch.tensor([2, 0])),
        None,
    ),
    "identity_aliases": (Buffers(identity_aliases), (ramp(3),), None),
    "metadata_changes": (Buffers(metadata_changes), (ramp(2, 3),), None),
    "input_views_returned": (Buffers(input_views_returned), (ramp(2, 3),), None),
    "complex_parts": (Buffers(complex_parts), (ramp(3, 2),), None),
    "outs": (Buffers(outs, sums=torch.zeros(3), table=torch.zeros(2, 3)), (ramp(3), ramp(3).cos()), None),
    "diagonals": (Buffers(diagonals, table=ramp(3, 5)), (ramp(7, 3), ramp(3, 3, 3)), None),
    "norms": (Norms(), (ramp(5, 3),), None),
    "instance_norms": (InstanceNorms(), (ramp(4, 3, 2, 5).sin(),), ({0: b},)),
    "tied": (Tied(), (ramp(4),), None),
    "no_grad": (NoGrad(), (ramp(3),), None),
    "autocast": (Autocast(), (ramp(5, 4) - 2, ramp(2, 2, 6) - 3), None),
    "powers": (Buffers(powers), (ramp(3),), None),
    "dynamic": (Dynamic(), (ramp(4, 4),), ({0: b},)),
}

# torch 2.15's run_decompositions fails an assertion of its own on two buffers that are one tensor.
# The schema of instance_norm does not say that it writes its statistics.
STATISTICS = ("wide.running_mean", "wide.running_var", "flat.running_mean", "flat.running_var")
BY_HAND = {
    "tied": [["buffer_mutation", "first"], ["buffer_mutation", "inner.second"]],
    "instance_norms": [["buffer_mutation", name] for name in STATISTICS],
}


def keyed(tensors):
    return {f"{i:04}": t.detach().clone().contiguous() for i, t in enumerate(tensors) if isinstance(t, torch.Tensor)}


def changed(before, after):
    return {k: v for k, v in after.items() if not torch.equal(v, before[k])}


def record(name):
    module, args, dynamic = CASES[name]
    program = export(module, tuple(a.clone() for a in args), dynamic_shapes=dynamic)
    effects = BY_HAND.get(name)
    if effects is None:
        functional = program.run_decompositions({})
        effects = [
            [spec.kind.name.lower(), spec.target]
            for spec in functional.graph_signature.output_specs
            if "MUTATION" in spec.kind.name
        ]
    with_short_positions(program, "record_effects.py")
    torch.export.save(program, str(OUT / f"{name}.pt2"))
    (OUT / f"{name}.effects.json").write_text(json.dumps(effects) + "\n")

    state = lambda: {k: v.detach().clone().contiguous() for k, v in module.state_dict(keep_vars=False).items()}
    inputs, before = keyed(args), state()
    called = [a.clone() for a in args]
    outputs = module(*called)
    save_file(inputs, OUT / f"{name}.inputs.safetensors")
    save_file(keyed(tree_flatten(outputs)[0]), OUT / f"{name}.outputs.safetensors")
    for kind, tensors in [("after", changed(inputs, keyed(called))), ("state", changed(before, state()))]:
        path = OUT / f"{name}.{kind}.safetensors"
        path.unlink(missing_ok=True)
        if tensors:
            save_file(tensors, path)
    print(name, effects)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        record(name)
