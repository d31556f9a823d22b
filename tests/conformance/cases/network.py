"""Normalisation, activations, softmax, dropout, losses, distances."""

from values import *


def norms(r):
    x = f(2, 6, 3, 3)
    g, o, mean, var = f(6), f(6), f(6), pos(6)
    r("aten.batch_norm.default", x, g, o, mean, var, False, 0.1, 1e-5, False)
    r("aten.batch_norm.default", x, None, None, mean, var, False, 0.1, 1e-3, False)
    r("aten.batch_norm.default", x, g, o, None, None, True, 0.1, 1e-5, False)
    r("aten.batch_norm.default", f(5, 6), g, o, mean, var, False, 0.1, 1e-5, False)
    r("aten.batch_norm.default", f(2, 6, 4), g, None, mean, var, False, 0.1, 1e-5, False)
    r("aten.batch_norm.default", x.to(bf16), g.to(bf16), o.to(bf16), mean.to(bf16), var.to(bf16), False, 0.1, 1e-5, False)
    r("aten._native_batch_norm_legit_no_training.default", x, g, o, mean, var, 0.1, 1e-5, only=[0])
    r("aten._native_batch_norm_legit_functional.default", x, g, o, mean, var, True, 0.1, 1e-5)
    r("aten._native_batch_norm_legit.no_stats", x, g, o, True, 0.1, 1e-5)
    for shape in ([3], [3, 3], [6, 3, 3]):
        w, bias = f(*shape), f(*shape)
        r("aten.layer_norm.default", x, shape, w, bias)
        r("aten.layer_norm.default", x, shape, w)
        r("aten.layer_norm.default", x, shape, None, None, 1e-3)
        r("aten.native_layer_norm.default", x, shape, w, bias, 1e-5)
        r("aten.rms_norm.default", x, shape, w)
        r("aten.rms_norm.default", x, shape, None, 1e-6)
    r("aten.layer_norm.default", f(3, 7) * 100 + 1000, [7])
    r("aten.layer_norm.default", f(3, 7, dtype=bf16), [7], f(7, dtype=bf16), f(7, dtype=bf16))
    r("aten.layer_norm.default", f(3, 7, dtype=f16), [7], f(7, dtype=f16), f(7, dtype=f16))
    r("aten.layer_norm.default", f(0, 7), [7])
    r("aten.rms_norm.default", f(3, 7, dtype=bf16), [7], f(7, dtype=bf16))
    for groups in (1, 2, 6):
        r("aten.group_norm.default", x, groups, g, o)
        r("aten.group_norm.default", f(2, 6), groups)
        r("aten.native_group_norm.default", x, g, o, 2, 6, 9, groups, 1e-5)
    r("aten.instance_norm.default", x, g, o, None, None, True, 0.1, 1e-5, False)
    r("aten.instance_norm.default", x, g, o, mean, var, False, 0.1, 1e-5, False)
    r("aten.instance_norm.default", f(2, 6, 5), None, None, None, None, True, 0.1, 1e-5, False)


def activations(r):
    wide = t([-100.0, -20.0, -3.0, -1.0, -0.5, -1e-4, 0.0, 1e-4, 0.5, 1.0, 3.0, 6.0, 7.0, 20.0, 100.0])
    for name in ("relu", "relu6", "silu", "mish", "hardsigmoid", "hardswish", "selu", "sigmoid", "tanh", "log_sigmoid"):
        op = f"aten.{name}.default"
        for x in (f(3, 7) * 2, wide, special(), f(0, 3), f(), f(5, dtype=f64), f(9, dtype=bf16) * 3, f(9, dtype=f16) * 3):
            r(op, x)
    r("aten.relu.default", i(6))
    for approximate in ("none", "tanh"):
        for x in (f(3, 7) * 2, wide, special(), f(5, dtype=f64), f(9, dtype=bf16), f(9, dtype=f16)):
            r("aten.gelu.default", x, approximate=approximate)
    for name, settings in {
        "leaky_relu": ((), (0.2,), (-0.5,)),
        "elu": ((), (0.5,), (1.0, 1.5, 2.0)),
        "celu": ((), (0.7,)),
        "hardtanh": ((), (0.0, 6.0), (-2, 2)),
        "softplus": ((), (2.0,), (1.0, 3.0)),
        "hardshrink": ((), (1.0,)),
        "softshrink": ((), (1.0,)),
        "threshold": ((0.5, 9.0),),
        "logit": ((1e-3,),),
    }.items():
        for setting in settings:
            for x in (f(3, 7) * 3, wide, special(), f(9, dtype=bf16) * 3):
                r(f"aten.{name}.default", x if name != "logit" else x.sigmoid(), *setting)
    r("aten.hardtanh.default", i(9), -3, 4)
    r("aten.threshold.default", i(9), 2, 7)
    r("aten.prelu.default", f(2, 3, 4), f(3))
    r("aten.prelu.default", f(2, 3), f(1))
    r("aten.prelu.default", f(3), f(1))
    r("aten._prelu_kernel.default", f(2, 3), f(1, 3))
    r("aten.glu.default", f(2, 6))
    r("aten.glu.default", f(4, 3), 0)
    r("aten.rrelu.default", f(5), 0.1, 0.3, False)
    for dim in (0, 1, -1):
        x = f(3, 4, 5)
        r("aten.softmax.int", x, dim)
        r("aten.log_softmax.int", x * 10, dim)
        r("aten._softmax.default", x * 30, dim, False)
        r("aten._log_softmax.default", x, dim, False)
    r("aten._safe_softmax.default", t([[-inf, -inf], [1.0, -inf]]), 1)
    r("aten.softmax.int", t([[-inf, -inf], [1.0, -inf], [200.0, 100.0], [nan, 1.0]]), 1)
    r("aten.log_softmax.int", t([[-inf, -inf], [1.0, -inf], [200.0, 100.0], [nan, 1.0]]), 1)
    r("aten.softmax.int", f(3, 33, dtype=bf16), 1)
    r("aten.softmax.int", f(3, 33, dtype=f16), 1)
    r("aten.softmax.int", f(3, 5, dtype=bf16), 1, f32)
    r("aten.softmax.int", i(4), 0, f32)
    r("aten.softmax.int", f(0, 3), 1)
    r("aten.softmax.int", f(), 0)
    r("aten.dropout.default", f(5), 0.5, False)
    r("aten.dropout.default", f(5), 0.0, True)
    r("aten.dropout.default", f(5), 0.5, True, random=True)
    r("aten.feature_dropout.default", f(2, 3), 0.5, False)
    r("aten.alpha_dropout.default", f(2, 3), 0.5, False)
    r("aten.native_dropout.default", f(5), 0.5, False)


def losses(r):
    x, y = f(4, 3), f(4, 3)
    for reduction in (0, 1, 2):
        r("aten.mse_loss.default", x, y, reduction)
        r("aten.l1_loss.default", x, y, reduction)
        r("aten.smooth_l1_loss.default", x, y, reduction, 0.5)
        r("aten.huber_loss.default", x, y, reduction, 0.7)
        r("aten.binary_cross_entropy.default", x.sigmoid(), y.sigmoid(), None, reduction)
        r("aten.binary_cross_entropy_with_logits.default", x, y.sigmoid(), pos(3), pos(3), reduction)
        r("aten.kl_div.default", x, y.sigmoid(), reduction)
        r("aten.kl_div.default", x, y, reduction, log_target=True)
        r("aten.soft_margin_loss.default", x, y.sign(), reduction)
        r("aten.poisson_nll_loss.default", x, pos(4, 3), True, False, 1e-8, reduction)
        target = t([0, 2, 1, -100], i64)
        r("aten.nll_loss.default", x.log_softmax(1), target, None, reduction)
        r("aten.nll_loss_forward.default", x.log_softmax(1), target, pos(3), reduction, -100)
        r("aten.nll_loss_nd.default", f(2, 3, 4).log_softmax(1), i(2, 4, low=0, high=3), None, reduction)
        r("aten.cross_entropy_loss.default", x, target, None, reduction)
        r("aten.cross_entropy_loss.default", x, target % 3, pos(3), reduction, -100, 0.1)
        r("aten.cross_entropy_loss.default", x, y.softmax(1), None, reduction)
        r("aten.cosine_embedding_loss.default", x, y, y[:, 0].sign(), 0.1, reduction)
        r("aten.margin_ranking_loss.default", x, y, f(4, 3).sign(), 0.1, reduction)
        r("aten.triplet_margin_loss.default", x, y, f(4, 3), reduction=reduction)
        r("aten.hinge_embedding_loss.default", x, y.sign(), 1.0, reduction)
        r("aten.ctc_loss.IntList", f(6, 2, 4).log_softmax(2), i(2, 3, low=1, high=4), [6, 5], [3, 2], 0, reduction)
    r("aten.cosine_similarity.default", x, y)
    r("aten.pairwise_distance.default", x, y, 2.0, 1e-6, True)
    for p in (2.0, 1.0, inf, 0.0):
        r("aten.cdist.default", f(4, 3), f(5, 3), p, None)
        r("aten.cdist.default", f(2, 4, 3), f(5, 3), p, 2)
        r("aten._cdist_forward.default", f(4, 3), f(5, 3), p, None)
    r("aten.pdist.default", f(4, 3))
    r("aten._pdist_forward.default", f(4, 3))


def cases(r):
    norms(r)
    activations(r)
    losses(r)
    logs = f(6, 3, 5).log_softmax(-1)
    for reduction in (0, 1):
        r("aten.ctc_loss.Tensor", logs, i(3, 4, low=1, high=5), torch.tensor([6, 5, 6]), torch.tensor([4, 2, 0]), 0, reduction)
        r("aten.ctc_loss.IntList", logs, i(7, low=1, high=5), [6, 5, 6], [4, 2, 1], 0, reduction, True)
    r("aten.ctc_loss.IntList", f(4, 2, 5).log_softmax(-1), i(2, 4, low=1, high=5), [4, 4], [4, 1], 0, 0, True)
    r("aten._batch_norm_with_update_functional.default", f(4, 3, 5), f(3), f(3), f(3), pos(3), 0.1, 1e-5)
    # Exponentials that overflow in the operands' type, not only in the result's.
    for dtype, large in ((f16, 20.0), (bf16, 90.0), (f32, 90.0)):
        r("aten.soft_margin_loss.default", t([large, -large, 1.0], dtype), t([-1, -1, -1], dtype), 0)
