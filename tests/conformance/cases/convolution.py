"""Convolutions in 1, 2 and 3 dimensions, transposed ones, unfold/fold."""

from values import *


def forward(r):
    for rank in (1, 2, 3):
        size = (7, 6, 5)[:rank]
        op = f"aten.conv{rank}d.default"
        r(op, f(2, 3, *size), f(4, 3, *[3] * rank), f(4))
        r(op, f(2, 3, *size), f(4, 3, *[3] * rank))
        r(op, f(1, 3, *size), f(4, 3, *[3] * rank), f(4), [2] * rank, [1] * rank)
        r(op, f(1, 3, *size), f(4, 3, *[2] * rank), None, [1] * rank, [2] * rank, [2] * rank)
        r(op, f(1, 4, *size), f(6, 2, *[3] * rank), f(6), [1] * rank, [1] * rank, [1] * rank, 2)
        r(op, f(1, 4, *size), f(4, 1, *[3] * rank), f(4), [1] * rank, [1] * rank, [1] * rank, 4)
        r(op, f(1, 4, *size), f(8, 1, *[3] * rank), None, [2] * rank, [1] * rank, [1] * rank, 4)
        r(op, f(2, 3, *size), f(5, 3, *[1] * rank), f(5))
        r(op, f(3, *size), f(4, 3, *[3] * rank), f(4))
        r(f"aten.conv{rank}d.padding", f(1, 3, *size), f(4, 3, *[3] * rank), f(4), [1] * rank, "same")
        r(f"aten.conv{rank}d.padding", f(1, 3, *size), f(4, 3, *[2] * rank), None, [1] * rank, "same", [2] * rank)
        r(f"aten.conv{rank}d.padding", f(1, 3, *size), f(4, 3, *[3] * rank), None, [2] * rank, "valid")
        r(op, f(0, 3, *size), f(4, 3, *[3] * rank), f(4))
        r(op, f(1, 3, *size, dtype=f64), f(4, 3, *[3] * rank, dtype=f64))
        r(op, f(1, 3, *size, dtype=bf16), f(4, 3, *[3] * rank, dtype=bf16), f(4, dtype=bf16))
        name = "conv_transpose" + ("1d.default", "2d.input", "3d.input")[rank - 1]
        op = f"aten.{name}"
        r(op, f(2, 3, *size), f(3, 4, *[3] * rank), f(4))
        r(op, f(1, 3, *size), f(3, 4, *[3] * rank), None, [2] * rank, [1] * rank, [1] * rank)
        r(op, f(1, 4, *size), f(4, 3, *[2] * rank), f(6), [2] * rank, [0] * rank, [0] * rank, 2)
        r(op, f(1, 4, *size), f(4, 1, *[3] * rank), None, [1] * rank, [1] * rank, [0] * rank, 4)
        r(op, f(1, 3, *size), f(3, 2, *[2] * rank), None, [1] * rank, [1] * rank, [0] * rank, 1, [2] * rank)
        r(op, f(3, *size), f(3, 2, *[2] * rank), None, [3] * rank)
        for transposed in (False, True):
            weight = f(3, 4, *[3] * rank) if transposed else f(4, 3, *[3] * rank)
            r("aten.convolution.default", f(1, 3, *size), weight, f(4), [2] * rank, [1] * rank, [1] * rank, transposed, [1 if transposed else 0] * rank, 1)
            r("aten.convolution.default", f(1, 3, *size), weight, None, [1] * rank, [0] * rank, [1] * rank, transposed, [0] * rank, 1)
    # Strides, paddings and dilations that differ by dimension; kernels larger than one tile; odd channel counts.
    r("aten.conv2d.default", f(1, 3, 9, 7), f(4, 3, 3, 2), f(4), [2, 1], [0, 1], [1, 2])
    r("aten.conv2d.default", f(1, 1, 5, 5), f(1, 1, 5, 5))
    r("aten.conv2d.default", f(1, 5, 4, 17), f(17, 5, 1, 3), f(17), [1, 1], [0, 1])
    r("aten.conv2d.default", f(1, 3, 8, 8), f(8, 3, 3, 3), f(8), [2, 2], [1, 1])
    r("aten.conv1d.default", f(1, 1, 40), f(4, 1, 16), f(4), [4], [7])
    r("aten.conv2d.default", f(1, 17, 3, 3), f(33, 17, 1, 1), f(33))
    r("aten.conv2d.default", f(1, 3, 5, 5, dtype=f16), f(4, 3, 3, 3, dtype=f16), None)
    r("aten.conv2d.default", t(nan).expand(1, 1, 3, 3), f(1, 1, 3, 3), None, [1, 1], [1, 1])
    r("aten.convolution.default", f(1, 2, 4, 4), f(2, 3, 3, 3), None, [2, 2], [1, 1], [1, 1], True, [1, 0], 1)


def folds(r):
    x = f(1, 2, 5, 6)
    r("aten.im2col.default", x, [2, 3], [1, 1], [0, 0], [1, 1])
    r("aten.im2col.default", x, [2, 2], [2, 1], [1, 0], [1, 2])
    r("aten.col2im.default", f(1, 12, 16), [5, 6], [2, 3], [1, 1], [0, 0], [1, 1])
    r("aten.col2im.default", f(2, 8, 4), [4, 4], [2, 2], [1, 1], [0, 0], [2, 2])
    r("aten._weight_norm.default", f(4, 3, 3), f(4, 1, 1), 0)
    r("aten._weight_norm.default", f(4, 3), f(1, 3), 1)


def cases(r):
    forward(r)
    folds(r)
