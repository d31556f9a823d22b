"""Writes programs around operators of a user's own that write their arguments, and recordings. Run in this folder.

* bump.dyn.pt2 calls mylib::bump, which returns nothing, and mylib::drain, which writes and returns, on temporaries, views,
  a buffer and an input;
* bump_functional.dyn.pt2 is the same program after run_decompositions(): with auto_functionalized_v2;
* bump_body.dyn.pt2 and drain_body.dyn.pt2 compute what the operators do, for `pt2c compile --implement`.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import recording  # noqa: E402

torch.manual_seed(0)


@torch.library.custom_op("mylib::bump", mutates_args=("x",))
def bump(x: torch.Tensor, by: float) -> None:
    x.add_(by)


@torch.library.custom_op("mylib::drain", mutates_args=("xs", "z"))
def drain(y: torch.Tensor, xs: list[torch.Tensor], z: torch.Tensor | None = None) -> torch.Tensor:
    for x in xs:
        x.sub_(y)
    if z is not None:
        z.mul_(2)
    return xs[0].sum(0)


@drain.register_fake
def _(y, xs, z=None):
    return xs[0].new_empty(xs[0].shape[1:])


class M(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x, y):
        bump, drain = torch.ops.mylib.bump, torch.ops.mylib.drain
        t = x * 2
        bump(t.view(-1), 3.0)
        r = drain(y, [t, x * 3], self.total)
        bump(self.total, 1.0)
        bump(t[0], 2.0)
        bump(x.view(-1)[2:5], 1.0)
        bump(t.t()[1], 5.0)
        u = t.t().contiguous().t()
        bump(u[1], 7.0)
        s = drain(y, [u, x], self.total)
        return t + r, self.total + s, x * 1.0, u


class Bump(torch.nn.Module):
    def forward(self, x, by):
        x.add_(by)


class Drain(torch.nn.Module):
    def forward(self, y, xs, z):
        for x in xs:
            x.sub_(y)
        z.mul_(2)
        return xs[0].sum(0)


def save(program, name):
    recording.without_positions(program)
    torch.export.save(program, name)


rows = torch.export.Dim("rows", min=2, max=64)
x, y = torch.randn(4, 3), torch.randn(3)
program = torch.export.export(M(), (x.clone(), y), dynamic_shapes=({0: rows}, None))
functional = program.run_decompositions()
save(program, "bump.dyn.pt2")
save(functional, "bump_functional.dyn.pt2")
save_file({"0000": x, "0001": y}, "bump.dyn.inputs.safetensors")
after = x.clone()
outputs = M()(after, y)
save_file({f"{i:04}": output.contiguous() for i, output in enumerate(outputs)}, "bump.dyn.outputs.safetensors")
save_file({"0000": after}, "bump.dyn.after.safetensors")

auto = {0: torch.export.Dim.AUTO}
body = torch.export.export(Bump(), (torch.randn(5), torch.tensor(2.0)), dynamic_shapes=(auto, None))
save(body, "bump_body.dyn.pt2")
example = (torch.randn(3), [torch.randn(5, 3), torch.randn(7, 3)], torch.randn(3))
body = torch.export.export(Drain(), example, dynamic_shapes=(None, [auto, auto], None))
save(body, "drain_body.dyn.pt2")
