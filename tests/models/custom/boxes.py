"""Writes boxes.dyn.pt2: a program whose inputs and outputs are dataclasses, dicts and tuples. Run in this folder."""

from dataclasses import dataclass

import torch
from safetensors.torch import save_file


@dataclass
class Point:
    x: torch.Tensor
    y: torch.Tensor


@dataclass
class Box:
    low: Point
    high: Point


@dataclass
class Answer:
    area: torch.Tensor
    center: Point


for kind in (Point, Box, Answer):
    torch.export.register_dataclass(kind, serialized_type_name=f"shapes.{kind.__name__}")


class Areas(torch.nn.Module):
    def forward(self, box: Box, options: dict, *, shift: torch.Tensor):
        width, height = box.high.x - box.low.x, box.high.y - box.low.y
        area = width * height * options["scale"]
        center = Point((box.low.x + box.high.x) / 2 + shift, (box.low.y + box.high.y) / 2 + shift)
        return Answer(area, center), {"largest": area.max(), "all": (area.sum(), [width, height])}


torch.manual_seed(0)
points = [torch.randn(4) for _ in range(4)]
args = (Box(Point(*points[:2]), Point(*points[2:])), {"scale": torch.tensor(2.0)})
kwargs = {"shift": torch.tensor(0.5)}
rows = torch.export.Dim("rows", min=2, max=1000)
sizes = {"box": [[{0: rows}, {0: rows}], [{0: rows}, {0: rows}]], "options": {"scale": None}, "shift": None}
program = torch.export.export(Areas(), args, kwargs, dynamic_shapes=sizes)
torch.export.save(program, "boxes.dyn.pt2")
flat = torch.utils._pytree.tree_leaves((args, kwargs))
save_file({"%04d" % i: x for i, x in enumerate(flat)}, "boxes.dyn.inputs.safetensors")
out = torch.utils._pytree.tree_leaves(program.module()(*args, **kwargs))
save_file({"%04d" % i: x.clone() for i, x in enumerate(out)}, "boxes.dyn.outputs.safetensors")
