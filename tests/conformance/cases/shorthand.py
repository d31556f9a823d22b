"""Second names of operators, and small composites that user code, older archives and decompositions carry."""

from values import *


def cases(r):
    for kind in "Byte Char Double Float Half Int Long Short".split():
        r(f"aten._cast_{kind}.default", pos(5, high=90))
    r("aten.special_multigammaln.default", pos(5, low=2.0, high=5.0), 3)
    for other in (0, 2.5):
        r("aten.special_xlogy.other_scalar", f(5), other)
        r("aten.special_xlogy.self_scalar", other, pos(5))
    r("aten._stack.default", [f(2, 3), f(2, 3)], 1)
    r("aten._neg_view_copy.default", f(4))
    r("aten._lazy_clone.default", f(4))
    r("aten._index_put_impl.default", f(4), [t([1, 1, 2], i64)], f(3), True)
    r("aten._aminmax.default", f(3, 4))
    r("aten._aminmax.dim", f(3, 4), 1, True)
    r("aten._logcumsumexp.default", f(3, 4), 1)
    r("aten.view_copy.dtype", f(3, 4), i32)
    r("aten._reshape_alias_copy.default", f(3, 4), [4, 3], [3, 1])
    r("aten.native_channel_shuffle.default", f(2, 6, 3), 3)
    for base in (2, 0.5, 1.5 + 2j):
        r("aten.float_power.Scalar", base, f(5))
        r("aten.float_power.Scalar", base, i(5))
    for end in (4, 4.5):
        r("aten.range.default", 1, end)
        r("aten.range.step", 0, end, 0.75)
        r("aten.range.step", end, -3, -2)
    r("aten.range.step", 5, 1, -2, dtype=i32)
    for x in (f(4), i(4), i(3, dtype=i32), b(3), c(3)):
        r("aten.vander.default", x)
        r("aten.vander.default", x, 5, True)
    r("aten._dim_arange.default", f(3, 4), 1)
    r("aten._shape_as_tensor.default", f(3, 4))
    r("aten._shape_as_tensor.default", f())
    sequences = [f(3, 2), f(5, 2), f(1, 2)]
    r("aten.pad_sequence.default", sequences)
    r("aten.pad_sequence.default", sequences, True, -1.5, "left")
    r("aten.pad_sequence.default", [i(2), i(4)], True, 7.0)
    for mode in range(4):
        r("aten._pad_enum.default", f(1, 2, 5), [2, 1], mode)
    r("aten._pad_circular.default", f(1, 2, 4, 5), [2, 1, 0, 3])
    for dim in (-1, 0, 1, 2):
        r("aten.norm_except_dim.default", f(3, 4, 2), 2, dim)
    r("aten.norm_except_dim.default", f(3, 4), 1, 1)
    r("aten._weight_norm_interface.default", f(3, 4, 2), pos(3, 1, 1), 0)
    r("aten._weight_norm_interface.default", f(3, 4), pos(1, 4), 1)
    mask = t([[1, 0, 0, 1], [0, 0, 1, 0]], bool_)
    r("aten._masked_softmax.default", f(2, 4), mask, 1, 2)
    r("aten._masked_softmax.default", f(2, 4), mask, None, None)
    r("aten._masked_softmax.default", f(2, 3, 4, 4), mask, 3, 1)
    r("aten._masked_softmax.default", f(2, 3, 4, 4), torch.ones(4, 4).triu(1).bool(), -1, 0)
    for dtype in (f32, bf16, f16):
        r("aten._weight_int8pack_mm.default", f(3, 32, dtype=dtype), i(16, 32, dtype=i8), pos(16, dtype=dtype))
    r("aten.bernoulli.Tensor", f(3, 4), pos(4, high=1.0), random=True)
    r("aten.randint_like.Tensor", f(3, 4), t(7, i64), random=True)
    for alpha in (1, 2):
        r("aten._add_relu.Tensor", f(3, 4), f(4), alpha=alpha)
    r("aten._addmm_activation.default", f(4), f(2, 3), f(3, 4))
    r("aten._addmm_activation.default", f(2, 4), f(2, 3), f(3, 4), beta=0.5, alpha=2.0, use_gelu=True)
    r("aten.log_sigmoid_forward.default", f(3, 4) * 5)
    r("aten._batch_norm_no_update.default", f(2, 3, 4), f(3), f(3), f(3), pos(3), 0.1, 1e-5)
    for view in (f(), f(3), f(3, 4)):
        for rank in "123":
            r(f"aten.atleast_{rank}d.Sequence", [view, f(2)])
    r("aten.conv_tbc.default", f(7, 2, 3), f(3, 3, 4), f(4), 1)
    for size in ([4, 9], [7, 6], [14, 3]):
        r("aten._upsample_lanczos2d_aa.vec", f(1, 2, 7, 6), size, False, None)
    r("aten._upsample_lanczos2d_aa.default", f(1, 2, 7, 6), [4, 9], False)
