"""Matrix products, einsum, attention."""

from values import *


def products(r):
    for shapes in (((3, 4), (4, 5)), ((1, 4), (4, 1)), ((17, 33), (33, 19)), ((0, 4), (4, 5)), ((3, 0), (0, 5))):
        r("aten.mm.default", f(*shapes[0]), f(*shapes[1]))
        r("aten.matmul.default", f(*shapes[0]), f(*shapes[1]))
    for a, b_ in (((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))):
        r("aten.matmul.default", f(*a), f(*b_))
    for dtype in (f64, f16, bf16):
        r("aten.mm.default", f(5, 9, dtype=dtype), f(9, 3, dtype=dtype))
        r("aten.matmul.default", f(2, 5, 9, dtype=dtype), f(9, 3, dtype=dtype))
        r("aten.linear.default", f(2, 5, dtype=dtype), f(3, 5, dtype=dtype), f(3, dtype=dtype))
        r("aten.bmm.default", f(2, 5, 3, dtype=dtype), f(2, 3, 4, dtype=dtype))
        r("aten.addmm.default", f(3, dtype=dtype), f(5, 9, dtype=dtype), f(9, 3, dtype=dtype))
    r("aten.mm.default", i(3, 4), i(4, 2))
    r("aten.mm.default", c(3, 4), c(4, 2))
    r("aten.matmul.default", i(3, 4, dtype=i32), i(4, 2, dtype=i32))
    r("aten._int_mm.default", i(17, 8, dtype=i8), i(8, 8, dtype=i8))
    r("aten.bmm.default", f(3, 2, 4), f(3, 4, 5))
    r("aten.bmm.default", f(0, 2, 4), f(0, 4, 5))
    r("aten.mv.default", f(3, 4), f(4))
    r("aten.dot.default", f(7), f(7))
    r("aten.dot.default", i(7), i(7))
    r("aten.vdot.default", c(5), c(5))
    r("aten.outer.default", f(3), f(4))
    r("aten.inner.default", f(2, 4), f(3, 4))
    r("aten.kron.default", f(2, 3), f(3, 2))
    r("aten.chain_matmul.default", [f(2, 3), f(3, 4), f(4, 2)])
    r("aten.linalg_multi_dot.default", [f(2, 3), f(3, 4), f(4)])
    r("aten.addmm.default", f(5), f(3, 4), f(4, 5))
    r("aten.addmm.default", f(3, 5), f(3, 4), f(4, 5), beta=0.5, alpha=2)
    r("aten.addmm.default", f(3, 1), f(3, 4), f(4, 5), beta=0, alpha=-1.0)
    r("aten.addmm.default", t(nan).expand(3, 5), f(3, 4), f(4, 5), beta=0)
    r("aten.addmm.default", f(5), f(3, 0), f(0, 5))
    r("aten.addmv.default", f(3), f(3, 4), f(4), beta=0.5, alpha=2)
    r("aten.addr.default", f(3, 4), f(3), f(4), beta=0.5, alpha=2)
    r("aten.addbmm.default", f(2, 5), f(3, 2, 4), f(3, 4, 5), beta=0.5, alpha=2)
    r("aten.baddbmm.default", f(2, 5), f(3, 2, 4), f(3, 4, 5), beta=0.5, alpha=2)
    r("aten.baddbmm.default", f(3, 2, 5), f(3, 2, 4), f(3, 4, 5), beta=0)
    for shape in ((4,), (3, 4), (2, 3, 4), (0, 4)):
        r("aten.linear.default", f(*shape), f(5, 4), f(5))
        r("aten.linear.default", f(*shape), f(5, 4))
    r("aten.linear.default", f(3, 64), f(65, 64), f(65))
    r("aten.bilinear.default", f(3, 4), f(3, 5), f(2, 4, 5), f(2))
    r("aten._trilinear.default", f(3, 4), f(2, 4, 5), f(3, 5), [1, 3], [0], [1, 2], [2, 3])
    r("aten.tensordot.default", f(2, 3, 4), f(4, 3, 5), [1, 2], [1, 0])
    r("aten.linalg_matrix_power.default", f(3, 3), 3)
    r("aten.linalg_cross.default", f(4, 3), f(4, 3))
    r("aten.cross.default", f(3, 4), f(3, 4), 0)
    r("aten.linalg_vecdot.default", f(4, 3), f(4, 3))
    for equation, shapes in (
        ("ij,jk->ik", ((2, 3), (3, 4))),
        ("bhid,bhjd->bhij", ((1, 2, 3, 4), (1, 2, 5, 4))),
        ("ii->i", ((3, 3),)),
        ("ij->", ((2, 3),)),
        ("i,j->ij", ((2,), (3,))),
        ("...ij,...jk->...ik", ((2, 2, 3), (2, 3, 4))),
        ("ijk,jil->kl", ((2, 3, 4), (3, 2, 5))),
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ):
        r("aten.einsum.default", equation, [f(*s) for s in shapes])


def attention(r):
    op = "aten.scaled_dot_product_attention.default"
    q, k, v = f(2, 3, 5, 8), f(2, 3, 7, 8), f(2, 3, 7, 8)
    r(op, q, k, v)
    r(op, q, k, v, scale=0.5)
    r(op, q, k, v, is_causal=True)
    r(op, q, q.clone(), f(2, 3, 5, 4), is_causal=True)
    r(op, q, k, v, b(2, 1, 5, 7) | torch.eye(5, 7, dtype=torch.bool))
    r(op, q, k, v, f(5, 7))
    r(op, q, k, v, f(2, 1, 1, 7))
    r(op, q, k, v, f(2, 3, 5, 7), scale=1.0)
    masked = b(5, 7)
    masked[2] = False
    r(op, q, k, v, masked)
    r(op, f(3, 5, 8), f(3, 7, 8), f(3, 7, 8))
    r(op, f(5, 8), f(7, 8), f(7, 8))
    r(op, f(1, 4, 3, 8), f(1, 2, 6, 8), f(1, 2, 6, 8), enable_gqa=True)
    r(op, f(1, 4, 3, 8), f(1, 2, 6, 8), f(1, 2, 6, 8), b(3, 6) | torch.eye(3, 6, dtype=torch.bool), enable_gqa=True)
    r(op, f(1, 2, 1, 16), f(1, 2, 9, 16), f(1, 2, 9, 16))
    r(op, f(1, 2, 33, 16), f(1, 2, 33, 16), f(1, 2, 33, 16), is_causal=True)
    for dtype in (f64, f16, bf16):
        r(op, f(1, 2, 5, 8, dtype=dtype), f(1, 2, 7, 8, dtype=dtype), f(1, 2, 7, 8, dtype=dtype))
    r("aten._scaled_dot_product_flash_attention_for_cpu.default", q, k, v, only=[0])
    r("aten._scaled_dot_product_flash_attention_for_cpu.default", q, k, v, 0.0, True, only=[0])
    r("aten._scaled_dot_product_flash_attention_for_cpu.default", q, k, v, 0.0, False, attn_mask=f(2, 3, 5, 7), scale=0.3, only=[0])
    r("aten._scaled_dot_product_attention_math.default", q, k, v, only=[0])


def cases(r):
    products(r)
    attention(r)
