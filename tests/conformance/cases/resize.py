"""Interpolation with and without align_corners and antialias, grid sampling, affine grids."""

from values import *

LINEAR = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}


def cases(r):
    for rank in (1, 2, 3):
        size = (5, 4, 3)[:rank]
        x = f(1, 2, *size)
        for out in ([9] * rank, [3] * rank, list(size)):
            for name in (f"upsample_nearest{rank}d", f"_upsample_nearest_exact{rank}d"):
                r(f"aten.{name}.vec", x, out, None)
                r(f"aten.{name}.default", x, out)
            for align in (False, True):
                r(f"aten.{LINEAR[rank]}.vec", x, out, align, None)
                r(f"aten.{LINEAR[rank]}.default", x, out, align)
        for scale in (2.0, 0.6, 1.7):
            for name in (f"upsample_nearest{rank}d", f"_upsample_nearest_exact{rank}d"):
                r(f"aten.{name}.vec", x, None, [scale] * rank)
            r(f"aten.{LINEAR[rank]}.vec", x, None, False, [scale] * rank)
            r(f"aten.{LINEAR[rank]}.vec", x, None, True, [scale] * rank)
        r(f"aten.{LINEAR[rank]}.vec", x, [1] * rank, True, None)
        r(f"aten.{LINEAR[rank]}.vec", x.to(bf16), [7] * rank, False, None)
        r(f"aten.upsample_nearest{rank}d.vec", x.to(f16), [7] * rank, None)
    r("aten.upsample_nearest2d.vec", i(1, 2, 3, 3, low=0, high=255, dtype=u8), [5, 7], None)
    r("aten.upsample_nearest2d.default", f(1, 2, 3, 5), [6, 7], 2.0, 1.4)
    r("aten.upsample_bilinear2d.default", f(1, 2, 3, 5), [6, 7], False, 2.0, 1.4)
    x = f(1, 2, 7, 6)
    for align in (False, True):
        for out in ([9, 11], [3, 4]):
            r("aten.upsample_bicubic2d.vec", x, out, align, None)
            r("aten._upsample_bilinear2d_aa.vec", x, out, align, None)
            r("aten._upsample_bicubic2d_aa.vec", x, out, align, None)
    r("aten.upsample_bicubic2d.vec", x, None, False, [1.5, 0.5])
    r("aten._upsample_bilinear2d_aa.vec", x, None, False, [0.5, 0.4])
    grid = unit(1, 4, 3, 2) * 1.3
    for mode in (0, 1, 2):
        for padding in (0, 1, 2):
            for align in (False, True):
                r("aten.grid_sampler.default", x, grid, mode, padding, align)
    r("aten.grid_sampler_2d.default", x, grid, 0, 0, False)
    r("aten.grid_sampler.default", x, t([nan, 0.0, inf, 0.5, -1.0, 1.0, 1.0, -1.0]).view(1, 2, 2, 2), 0, 0, True)
    for mode in (0, 1):
        for padding in (0, 1, 2):
            r("aten.grid_sampler_3d.default", f(1, 2, 3, 4, 3), unit(1, 2, 2, 2, 3) * 1.2, mode, padding, False)
    for align in (False, True):
        r("aten.affine_grid_generator.default", f(2, 2, 3), [2, 3, 4, 5], align)
        r("aten.affine_grid_generator.default", f(1, 3, 4), [1, 2, 3, 2, 2], align)
    r("aten._upsample_bilinear2d_aa.default", x, [3, 4], False)
    r("aten._upsample_bicubic2d_aa.default", x, [3, 4], False)
    r("aten.upsample_bicubic2d.default", x, [3, 9], False)
