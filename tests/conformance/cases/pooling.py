"""Average, max, adaptive, fractional pooling and unpooling: ceil_mode, count_include_pad, divisor, dilation, NaN."""

from values import *


def cases(r):
    for rank in (1, 2, 3):
        size = (7, 8, 5)[:rank]
        one = [1] * rank
        for batch in ((2, 3), (2,)):
            x = f(*batch, *size)
            r(f"aten.avg_pool{rank}d.default", x, [2] * rank)
            r(f"aten.avg_pool{rank}d.default", x, [3] * rank, [2] * rank, one)
            r(f"aten.avg_pool{rank}d.default", x, [3] * rank, [2] * rank, one, True)
            r(f"aten.avg_pool{rank}d.default", x, [3] * rank, [2] * rank, one, True, False)
            r(f"aten.avg_pool{rank}d.default", x, [3] * rank, one, one, False, False)
            if rank > 1:
                r(f"aten.avg_pool{rank}d.default", x, [2] * rank, [2] * rank, [0] * rank, True, True, 5)
            for name in (f"max_pool{rank}d.default", f"max_pool{rank}d_with_indices.default"):
                r(f"aten.{name}", x, [2] * rank)
                r(f"aten.{name}", x, [3] * rank, [2] * rank, one)
                r(f"aten.{name}", x, [3] * rank, [2] * rank, one, one, True)
                r(f"aten.{name}", x, [2] * rank, one, [0] * rank, [2] * rank)
            for out in (1, 3):
                r(f"aten.adaptive_avg_pool{rank}d.default", x, [out] * rank)
                r(f"aten.adaptive_max_pool{rank}d.default", x, [out] * rank)
            r(f"aten.adaptive_avg_pool{rank}d.default", x, [11] * rank)
        if rank > 1:
            r(f"aten._adaptive_avg_pool{rank}d.default", f(1, 2, *size), [2] * rank)
    r("aten.avg_pool2d.default", f(1, 2, 7, 5), [3, 2], [2, 1], [1, 0])
    r("aten.avg_pool2d.default", f(1, 2, 7, 5, dtype=bf16), [3, 2])
    r("aten.max_pool2d.default", f(1, 2, 7, 5), [3, 2], [2, 1], [1, 0], [1, 2])
    r("aten.max_pool2d.default", t([[[[1.0, nan, -inf], [2.0, 3.0, -inf], [-1.0, -2.0, -inf]]]]), [2, 2], [1, 1])
    r("aten.max_pool2d_with_indices.default", t([[[[1.0, nan, 3.0], [3.0, 3.0, -inf], [3.0, -2.0, -inf]]]]), [2, 2], [1, 1])
    r("aten.max_pool2d.default", -pos(1, 1, 4, 4), [3, 3], [2, 2], [1, 1])
    r("aten.max_pool2d.default", f(0, 2, 4, 4), [2, 2])
    r("aten.max_pool2d.default", f(1, 2, 5, 5, dtype=bf16), [2, 2])
    r("aten.adaptive_avg_pool2d.default", f(1, 2, 7, 5), [3, 2])
    r("aten.adaptive_avg_pool2d.default", f(1, 2, 7, 5, dtype=bf16), [1, 1])
    r("aten.adaptive_max_pool2d.default", f(1, 2, 7, 5), [3, 2])
    x = f(1, 2, 6, 6)
    values, indices = torch.ops.aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
    r("aten.max_unpool2d.default", values, indices, [6, 6])
    r("aten.max_unpool2d.default", values, indices, [7, 7])
    values, indices = torch.ops.aten.max_pool3d_with_indices(f(1, 2, 4, 4, 4), [2, 2, 2], [2, 2, 2])
    r("aten.max_unpool3d.default", values, indices, [4, 4, 4], [2, 2, 2], [0, 0, 0])
    r("aten.fractional_max_pool2d.default", x, [2, 2], [3, 3], pos(1, 2, 2, low=0.0, high=1.0))
    r("aten.fractional_max_pool3d.default", f(1, 2, 5, 5, 5), [2, 2, 2], [3, 3, 3], pos(1, 2, 3, low=0.0, high=1.0))
