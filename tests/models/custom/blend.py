"""Writes two programs around operators of a user's own, and recordings of both. Run in this folder.

* blend.dyn.pt2 calls an operator that takes a list of tensors, numbers and a text;
* scaled_relu_body.dyn.pt2 computes what mylib::scaled_relu does, for `pt2c compile --implement`.
"""

import torch
from safetensors.torch import save_file

torch.manual_seed(0)


@torch.library.custom_op("mylib::blend", mutates_args=())
def blend(xs: list[torch.Tensor], weights: list[float], mode: str) -> torch.Tensor:
    total = sum(x * w for x, w in zip(xs, weights))
    return total.abs() if mode == "magnitude" else total


@blend.register_fake
def _(xs, weights, mode):
    return torch.empty_like(xs[0])


class Blend(torch.nn.Module):
    def forward(self, x, y):
        return torch.ops.mylib.blend([x, y, x * 2.0], [1.0, -2.0, 0.5], "magnitude") + 1.0


class Body(torch.nn.Module):
    def forward(self, x, scale):
        return torch.relu(x) * scale


rows = torch.export.Dim("rows", min=1, max=64)
x, y = torch.randn(4, 3), torch.randn(4, 3)
program = torch.export.export(Blend(), (x, y), dynamic_shapes=({0: rows}, {0: rows}))
torch.export.save(program, "blend.dyn.pt2")
save_file({"0000": x, "0001": y}, "blend.dyn.inputs.safetensors")
save_file({"0000": program.module()(x, y)}, "blend.dyn.outputs.safetensors")

# Any number of dimensions' sizes, and the factor as a tensor without dimensions: then it takes any number.
body = torch.export.export(Body(), (torch.randn(5, 2), torch.tensor(2.0)), dynamic_shapes=({0: torch.export.Dim.AUTO}, None))
torch.export.save(body, "scaled_relu_body.dyn.pt2")
