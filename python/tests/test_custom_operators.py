"""Operators of one's own: a C function, a rule, or a link error."""

import pytest

torch = pytest.importorskip("torch")
import pt2c  # noqa: E402
from torch import nn  # noqa: E402


@torch.library.custom_op("pt2c_test::blend", mutates_args=())
def blend(x: torch.Tensor, y: torch.Tensor, weight: float, shift: int, sizes: list[int]) -> torch.Tensor:
    return x * weight + y.t() + shift + sum(sizes)


@blend.register_fake
def _(x, y, weight, shift, sizes):
    return torch.empty_like(x)


class Blend(nn.Module):
    def forward(self, x, y):
        return torch.ops.pt2c_test.blend(x + 1, y, 0.5, 3, [10, x.shape[0]]) * 2


SOURCE = r"""
#include "model.h"
int32_t pt2c_test_blend(const pt2c_tensor *x, const pt2c_tensor *y, double weight, int64_t shift, const int64_t *sizes,
                        int64_t count, const pt2c_tensor *result) {
  if (x->rank != 2 || x->dtype != 11 || count != 2) return 7;
  const float *a = x->data, *b = y->data;
  float *out = result->data;
  int64_t rows = x->sizes[0], columns = x->sizes[1];
  if (b[0] == 99) return 5;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      out[i * columns + j] = a[i * columns + j] * (float)weight + b[j * rows + i] + shift + sizes[0] + sizes[1];
  return 0;
}
"""


def example(rows):
    return torch.randn(rows, 3), torch.randn(3, rows)


SHAPES = {"x": {0: torch.export.Dim.DYNAMIC}, "y": {1: torch.export.Dim.DYNAMIC}}


def test_a_function_in_c(tmp_path):
    source = tmp_path / "blend.c"
    source.write_text(SOURCE)
    model = pt2c.compile(Blend(), example(4), dynamic_shapes=SHAPES, link=[source], output=tmp_path / "out")
    assert "int32_t pt2c_test_blend(" in model.header.read_text()
    for rows in (2, 5):
        x, y = example(rows)
        torch.testing.assert_close(model(x, y), Blend()(x, y))
    y[0, 0] = 99
    with pytest.raises(pt2c.DataError, match="pt2c_test_blend failed with code 5"):
        model(x, y)


def test_a_missing_function_is_a_link_error():
    with pytest.raises(pt2c.LinkError, match="pt2c_test_blend"):
        pt2c.compile(Blend(), example(4), dynamic_shapes=SHAPES)


def test_a_rule(tmp_path):
    rules = tmp_path / "blend.rules"
    rules.write_text(
        "rule pt2c_test.blend.default($x, $y, $weight, $shift, $sizes)\n"
        "  => aten.add.Tensor(aten.mul.Tensor($x, $weight), aten.t.default($y))\n"
    )
    model = pt2c.compile(Blend(), example(4), decompositions=rules)
    x, y = example(4)
    torch.testing.assert_close(model(x, y), ((x + 1) * 0.5 + y.t()) * 2)


@torch.library.custom_op("pt2c_test::bump", mutates_args=("x",))
def bump(x: torch.Tensor, by: float) -> None:
    x.add_(by)


class Bump(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        y = x * 2
        torch.ops.pt2c_test.bump(y[1], 3.0)
        torch.ops.pt2c_test.bump(self.total, 0.5)
        return y, self.total * 1


def test_a_function_that_writes(tmp_path):
    source = tmp_path / "bump.c"
    source.write_text(
        '#include "model.h"\n'
        "int32_t pt2c_test_bump(const pt2c_tensor *x, double by) {\n"
        "  for (int64_t i = 0; i < x->sizes[0]; i++) ((float *)x->data)[i] += (float)by;\n"
        "  return 0;\n}\n"
    )
    x = torch.randn(4, 3)
    exported = torch.export.export(Bump(), (x,))
    for program in (exported, exported.run_decompositions()):
        model, module = pt2c.compile(program, link=[source]), Bump()
        for _ in range(2):
            torch.testing.assert_close(model(x), module(x))
