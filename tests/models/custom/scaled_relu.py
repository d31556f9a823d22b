"""Writes scaled_relu.dyn.pt2: a program with an operator of its own. Run in this folder."""

import torch


@torch.library.custom_op("mylib::scaled_relu", mutates_args=())
def scaled_relu(x: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.relu(x) * scale


@scaled_relu.register_fake
def _(x, scale):
    return torch.empty_like(x)


class M(torch.nn.Module):
    def forward(self, x):
        return torch.ops.mylib.scaled_relu(x - 1.0, 3.0) + 1.0


n = torch.export.Dim("n", min=1, max=64)
p = torch.export.export(M(), (torch.randn(4, 2),), dynamic_shapes={"x": {0: n}})
torch.export.save(p, "scaled_relu.dyn.pt2")
