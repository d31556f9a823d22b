"""Operators of other namespaces that exports carry: torchvision's, quantized_decomposed's and torchao's, and fake quantisation."""

from values import *
import torchvision  # noqa: F401
import torch.ao.quantization.fx._decomposed  # noqa: F401
import torch.nn.modules.linear_cross_entropy  # noqa: F401


def cases(r):
    q = "quantized_decomposed."
    x = f(3, 7) * 3
    for dtype, low, high, zero in ((i8, -128, 127, 3), (u8, 0, 255, 128), (i8, -127, 127, 0), (i32, -(2**31), 2**31 - 1, 0)):
        r(q + "quantize_per_tensor.default", x, 0.05, zero, low, high, dtype)
        r(q + "quantize_per_tensor.tensor", x, t(0.05), t(zero, i64), low, high, dtype)
        quantised = torch.ops.quantized_decomposed.quantize_per_tensor(x, 0.05, zero, low, high, dtype)
        r(q + "dequantize_per_tensor.default", quantised, 0.05, zero, low, high, dtype)
        r(q + "dequantize_per_tensor.tensor", quantised, t(0.05), t(zero, i64), low, high, dtype)
    r(q + "quantize_per_tensor.default", t([0.5, 1.5, 2.5, -0.5, -1.5, 200.0, -200.0]), 1.0, 0, -128, 127, i8)
    for axis in (0, 1):
        n = x.shape[axis]
        scales, zeros = pos(n, low=0.02, high=0.1), i(n, low=-5, high=5)
        r(q + "quantize_per_channel.default", x, scales, zeros, axis, -128, 127, i8)
        quantised = torch.ops.quantized_decomposed.quantize_per_channel(x, scales, zeros, axis, -128, 127, i8)
        r(q + "dequantize_per_channel.default", quantised, scales, zeros, axis, -128, 127, i8)
        r(q + "dequantize_per_channel.default", quantised, scales, None, axis, -128, 127, i8)
        r("aten.fake_quantize_per_channel_affine.default", x, scales, zeros.to(i32), axis, -128, 127)
    r(q + "choose_qparams.tensor", x, -128, 127, 1e-5, i8)
    r(q + "choose_qparams_symmetric.tensor", x, -127, 127, 1e-5, i8)
    r(q + "choose_qparams_per_token_asymmetric.default", x, i8)
    scales, zeros = pos(3, 1, low=0.02, high=0.1), i(3, 1, low=-5, high=5)
    r(q + "quantize_per_token.default", x, scales, zeros, -128, 127, i8)
    r(q + "dequantize_per_token.default", i(3, 7, dtype=i8), scales, zeros, -128, 127, i8, f32)
    w = f(4, 8)
    scales = pos(4, 2, low=0.02, high=0.1)
    r(q + "quantize_per_channel_group.default", w, scales, torch.zeros(4, 2, dtype=i32), -8, 7, i8, 4)
    r(q + "dequantize_per_channel_group.default", i(4, 8, low=-8, high=8, dtype=i8), scales, torch.zeros(4, 2, dtype=i32), -8, 7, i8, 4, f32)
    r("aten.fake_quantize_per_tensor_affine.default", x, 0.05, 3, -128, 127)
    r("aten.fake_quantize_per_tensor_affine.tensor_qparams", x, t(0.05), t([3], i32), 0, 255)
    boxes = pos(9, 2, low=0, high=10)
    boxes = torch.cat([boxes, boxes + pos(9, 2, low=2, high=6)], 1)
    for threshold in (0.2, 0.5, 0.9):
        r("torchvision.nms.default", boxes, pos(9), threshold)
    r("torchvision.nms.default", torch.zeros(0, 4), torch.zeros(0), 0.5)
    image = f(2, 3, 8, 8)
    rois = torch.cat([i(4, 1, low=0, high=2).float(), pos(4, 2, low=0, high=3), pos(4, 2, low=4, high=9)], 1)
    for aligned in (False, True):
        r("torchvision.roi_align.default", image, rois, 1.0, 3, 2, 2, aligned)
        r("torchvision.roi_align.default", image, rois, 0.5, 2, 2, -1, aligned)
    r("torchvision.roi_pool.default", image, rois, 1.0, 3, 2)
    r("torchvision.ps_roi_align.default", f(2, 8, 6, 6), rois, 1.0, 2, 2, 2)
    r("torchvision.ps_roi_pool.default", f(2, 8, 6, 6), rois, 1.0, 2, 2)
    x = f(1, 2, 5, 5)
    for masked in (False, True):
        r("torchvision.deform_conv2d.default", x, f(4, 2, 3, 3), f(1, 18, 5, 5), pos(1, 9, 5, 5), f(4), 1, 1, 1, 1, 1, 1, 1, 1, masked)
    r("torchvision.deform_conv2d.default", x, f(4, 1, 3, 3), f(1, 36, 3, 3), pos(1, 18, 3, 3), f(4), 2, 2, 1, 1, 1, 1, 2, 2, True)
    r("aten.fake_quantize_per_tensor_affine_cachemask.default", f(3, 7) * 9, 0.05, 3, -128, 127)
    r("aten.fake_quantize_per_channel_affine_cachemask.default", f(3, 7) * 9, pos(3, low=0.02, high=0.1), i(3, dtype=i32), 0, -128, 127)
    import transformers.integrations.moe  # noqa: F401  registers transformers::grouped_mm_fallback

    ends = torch.tensor([2, 2, 7], dtype=i32)
    r("transformers.grouped_mm_fallback.default", f(7, 4), f(3, 4, 5), ends)
    r("aten._grouped_mm.default", f(7, 16).to(torch.bfloat16), f(3, 16, 8).to(torch.bfloat16), ends)


    fused = "torch_nn._linear_cross_entropy_batch_chunked"
    x, w, labels, bias = f(6, 4), f(5, 4), torch.tensor([0, 4, 1, -100, 2, 2]), f(5)
    for reduction in ("mean", "sum"):
        r(fused + ".default", x, w, labels, bias, pos(5), reduction, -100, 0.0, 2, "accumulate", f32, False, False, False, False)
    r(fused + ".default", x, w, labels, None, None, "mean", -100, 0.0, 4, "accumulate", f32, False, False, False, False)
    r(fused + "_no_reduction.default", x, w, labels, bias, None, -100, 3, "accumulate", f32)

    torchao(r)


def torchao(r):
    """Scales per tensor, row, column and block; `pip install torchao` (0.18)."""
    import torchao.quantization  # noqa: F401  registers torchao::*

    ao = torch.ops.torchao
    x = f(4, 6) * 3
    for block in ([4, 6], [1, 6], [4, 1], [2, 3], [1, 2]):
        for mapping in ("ASYMMETRIC", "SYMMETRIC", "SYMMETRIC_NO_CLIPPING_ERR"):
            for dtype, low, high in ((i8, None, None), (i8, -8, 7), (u8, 0, 15)):
                if dtype == u8 and mapping == "SYMMETRIC_NO_CLIPPING_ERR":
                    continue
                r("torchao.choose_qparams_affine.default", x, mapping, block, dtype, low, high)
                scale, zero = ao.choose_qparams_affine(x, mapping, block, dtype, low, high, None, None, i32)
                r("torchao.quantize_affine.default", x, block, scale, zero, dtype, low, high)
                quantised = ao.quantize_affine(x, block, scale, zero, dtype, low, high)
                r("torchao.dequantize_affine.default", quantised, block, scale, zero, dtype, low, high, f32)
        r("torchao.dequantize_affine.default", quantised, block, scale, None, dtype, low, high, torch.bfloat16)
        r("torchao.choose_qparams_affine.default", x, "ASYMMETRIC", block, i8, -128, 127, 1e-5, f32, i8, True)
        r("torchao.choose_qparams_affine.default", x.to(torch.bfloat16), "SYMMETRIC", block, i8, -128, 127, None, f32)
        for narrow in (torch.float8_e4m3fn, torch.float8_e5m2):
            r("torchao.choose_scale_float8.default", x, block, narrow, f32)
            r("torchao.choose_scale_float8.default", x, block, narrow, f32, 0.5, 2.0)
            scale = ao.choose_scale_float8(x, block, narrow)
            r("torchao.quantize_affine_float8_non_decomposed.default", x, scale, narrow)
            quantised = ao.quantize_affine_float8_non_decomposed(x, scale, narrow)
            r("torchao.dequantize_affine_float8_non_decomposed.default", quantised, scale, torch.bfloat16)
    r("torchao.quantize_affine.default", x.half(), [4, 6], t(0.05), t(3, i32), i8)
    r("torchao.choose_qparams_affine.default", f(3, 4, 5), "ASYMMETRIC", [1, 4, 5], u8)
