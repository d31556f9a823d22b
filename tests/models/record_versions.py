"""Records small programs with whatever torch is installed: NAME.pt2, NAME.inputs.safetensors, NAME.outputs.safetensors.

Written so that every torch from 2.1 on can run it. Usage: record_versions.py OUT_DIR
"""
import sys, os
import torch
from safetensors.torch import save_file

OUT = sys.argv[1]
VERSION = torch.__version__.split("+")[0]


class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x):
        return torch.relu(self.linear(x))


class Conv(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.register_buffer("gain", torch.linspace(0.5, 2.0, 4).reshape(4, 1, 1), persistent=False)

    def forward(self, x):
        y = self.norm(self.conv(x)) * self.gain
        return {"mean": y.mean((2, 3)), "all": (y, x + torch.tensor([1.0]))}


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, 6)
        self.out = torch.nn.Linear(6, 10, bias=False)
        self.out.weight = self.embed.weight
        self.scaling = torch.nn.Parameter(torch.arange(12.0).to(torch.float16)[::2])
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, ids):
        self.steps.add_(1)
        return self.out(self.embed(ids) * self.scaling.float()), self.steps + 1


class Dynamic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 5)

    def forward(self, x):
        n = x.shape[0]
        y = self.linear(x.reshape(n, 6))
        return torch.cat([y, y], 0).reshape(2 * n, 5).sum(1), x.sum()


def inputs(name, second=False):
    g = torch.Generator().manual_seed(7 + second)
    if name == "linear":
        return (torch.randn(2, 4, generator=g),)
    if name == "conv":
        return (torch.randn(1, 3, 6, 5, generator=g),)
    if name == "tied":
        return (torch.randint(0, 10, (2, 3), generator=g),)
    return (torch.randn(7 if second else 4, 2, 3, generator=g),)


def leaves(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)]


def write(path, value):
    save_file({"%04d" % i: t.detach().clone().contiguous() for i, t in enumerate(leaves(value))}, path)


def export(name, module, args):
    if name != "dynamic":
        return torch.export.export(module, args)
    if hasattr(torch.export, "Dim"):
        return torch.export.export(module, args, dynamic_shapes={"x": {0: torch.export.Dim("n", min=2, max=64)}})
    from torch.export import dynamic_dim
    return torch.export.export(module, args, constraints=[2 <= dynamic_dim(args[0], 0), dynamic_dim(args[0], 0) <= 64])


for name, cls in (("linear", Linear), ("conv", Conv), ("tied", Tied), ("dynamic", Dynamic)):
    torch.manual_seed(3)
    module = cls().eval()
    args = inputs(name)
    base = os.path.join(OUT, "torch_%s.%s" % (VERSION, name))
    try:
        program = export(name, module, args)
        torch.export.save(program, base + ".pt2")
    except Exception as error:
        print(VERSION, name, "not exported:", repr(error)[:2000])
        continue
    write(base + ".inputs.safetensors", args)
    write(base + ".outputs.safetensors", module(*args))
    if name == "dynamic":
        write(base + ".inputs1.safetensors", inputs(name, True))
        write(base + ".outputs1.safetensors", module(*inputs(name, True)))
    print(VERSION, name, "ok")
