#!/usr/bin/env python3
"""Records operators at sizes that the caller chooses, family by family, and what PyTorch computes at several of them.

Usage: python tests/models/record_shapes.py [FAMILY ...]      (needs torch 2.15 and safetensors)

Each family of CASES is a list of expressions over shared inputs (INPUTS) whose dimensions are dynamic: `n` (rows), `m`
(columns), `h` and `w` (height and width). Every expression is exported on its own first: those that PyTorch exports for
sizes from 1 on go into tests/models/shapes/FAMILY.pt2, those that it exports for sizes from 2 or 4 on only into
FAMILY.from_2.pt2 and FAMILY.from_4.pt2, one output each. Samples are at the lower bound, at odd sizes, and at the upper bound.
"""

import math
import pathlib
import sys
import warnings

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim, export

from recording import without_positions

OUT = pathlib.Path(__file__).parent / "shapes"
BOUNDS = {"n": 8, "m": 9, "h": 9, "w": 8}
SIZES = [{"n": 4, "m": 6, "h": 6, "w": 7}, {"n": 1, "m": 1, "h": 1, "w": 1}, {"n": 7, "m": 3, "h": 5, "w": 7}, BOUNDS]
LEAST = (1, 2, 4)
# Sizes at which vector loops, blocks of products and rows of windows have whole parts and a rest.
LARGE = [{"n": 37, "m": 41, "h": 12, "w": 14}, {"n": 1, "m": 1, "h": 1, "w": 1}, {"n": 65, "m": 67, "h": 19, "w": 21}]

# Inputs by name: dtype, sizes (a name is a dynamic dimension), and how values are drawn.
INPUTS = {
    "x": ("f32", ("n", "m"), "normal"),
    "y": ("f32", ("n", "m"), "normal"),
    "row": ("f32", ("m",), "normal"),
    "col": ("f32", ("n", 1), "normal"),
    "wide": ("f32", (2, "n", "m"), "normal"),
    "d": ("f64", ("n", "m"), "normal"),
    "hf": ("f16", ("n", "m"), "normal"),
    "bf": ("bf16", ("n", "m"), "normal"),
    "q": ("i64", ("n", "m"), "small"),
    "k": ("i32", ("n", "m"), "small"),
    "u": ("u8", ("n", "m"), "small"),
    "p": ("f32", ("n", "m"), "positive"),
    "b": ("bool", ("n", "m"), "bool"),
    "i": ("i64", ("n",), "below:n"),
    "j": ("i64", ("n", "m"), "below:n"),
    "c": ("i64", ("n", "m"), "below:m"),
    "t": ("i64", ("n", "m"), "below:16"),
    "sq": ("f32", ("n", "n"), "normal"),
    "img": ("f32", (2, 3, "h", "w"), "normal"),
    "batch": ("f32", ("n", 3, "h", "w"), "normal"),
    "seq": ("f32", ("n", 4, "w"), "normal"),
    "vol": ("f32", (1, 2, 3, "h", "w"), "normal"),
    "grid": ("f32", (2, "n", "m", 2), "unit"),
    "tok": ("f32", ("n", "w", 8), "normal"),
    "steps": ("f32", ("n", 6, 8), "normal"),
    "mem": ("f32", ("n", "h", 8), "normal"),
    "heads": ("f32", ("n", 2, "w", 4), "normal"),
    "keys": ("f32", ("n", 2, "h", 4), "normal"),
    "vals": ("f32", ("n", 2, "h", 6), "normal"),
    "mask": ("bool", ("w", "h"), "bool"),
    "chan": ("f32", (1, "m", 6, 5), "normal"),
    "kern": ("f32", ("n", "m", 3, 2), "normal"),
    "odd": ("f32", ("n", "m"), "distinct"),
    "line": ("f32", (1, 4, "m"), "normal"),
    "rows": ("f32", ("n", 5, 8), "normal"),
    "asks": ("f32", (1, 2, "n", 8), "normal"),
    "told": ("f32", (1, 2, "m", 8), "normal"),
}
DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
          "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}

CASES = {
    "pointwise": """
        x + y; x * row - col; x / (y.abs() + 1); torch.where(b, x, row); torch.where(x > y, x, 0.5); x.clamp(-0.5, 0.5)
        torch.exp(-x.abs()) + torch.log1p(y.abs()); torch.sigmoid(x) * torch.tanh(y); F.gelu(x); F.gelu(y, approximate="tanh")
        F.silu(x) + F.mish(y); F.softplus(x); F.elu(x) + F.selu(y); F.hardswish(x) + F.hardsigmoid(y); F.leaky_relu(x, 0.1)
        x ** 2 + p ** 0.5; torch.atan2(x, y); torch.fmod(x, 0.7); torch.remainder(x, row.abs() + 0.5); torch.hypot(x, y)
        q // 3; q % 3; q // (t + 1); torch.div(q, t + 1, rounding_mode="trunc"); q & 5 | t; q << 2; (q ^ t) >> 1
        x > row; q == t; torch.logical_xor(b, x > 0); ~b; torch.maximum(x, y) - torch.minimum(x, row); torch.lerp(x, y, 0.3)
        torch.addcmul(x, y, row, value=0.5); torch.addcdiv(x, y, p + 1); x.sign() * y.abs().sqrt(); torch.rsqrt(p + 1)
        torch.erf(x) + torch.special.erfinv(y.tanh()); torch.nan_to_num(x / x.relu()); torch.heaviside(x, row); F.prelu(wide, row[:1])
        torch.logaddexp(x, y); torch.copysign(x, y); x.round(decimals=1); torch.frac(x) + torch.trunc(y); torch.lgamma(p + 1)
        F.glu(wide, 0); F.glu(torch.cat([x, y], 1)); F.glu(torch.cat([x, y], 0), 0); F.threshold(x, 0.1, 20.0)
    """,
    "types": """
        x + q; x * b; d + x; hf + x; bf * 2; bf + 1.5; hf * q; u + q; u - k; k / 2; q / (t + 1); q + 1.5; b + b; b * 2.5; u * 3
        hf.softmax(-1); bf.mean(0); hf @ hf.t(); bf @ bf.t(); d @ d.t(); hf.float().half(); x.to(torch.int32); d.to(torch.bfloat16)
        x.bool(); u.float() / 255; q.to(torch.uint8); k.to(torch.float16); torch.sum(b); torch.mean(hf); torch.cumsum(u, 0)
        bf.exp() + hf.float(); bf.relu(); hf.amax(1); d.std(0); x.double().sum()
    """,
    "reduction": """
        x.sum(); x.sum(0); x.sum(1, keepdim=True); wide.sum((0, 2)); x.mean(); x.mean(1); x.prod(0); x.amax(1); x.amin(0, keepdim=True)
        x.max(); x.min(1).values; odd.max(1).indices; odd.argmax(0); odd.argmin(); x.var(0, correction=0); x.std(1, correction=0)
        torch.var_mean(wide, (1, 2), correction=0)[0]; torch.logsumexp(x, 1); x.norm(dim=0); torch.linalg.vector_norm(x, 1)
        b.any(0); b.all(1); b.any(); x.cumsum(0); x.cumsum(1); x.cumprod(1); odd.cummax(0).values; odd.cummin(1).indices
        torch.logcumsumexp(x, 1); x.softmax(0); x.log_softmax(1); F.softmin(x, 1); q.sum(1); q.prod(0); torch.count_nonzero(b, 0)
        torch.aminmax(x, dim=1)[1]; x.nansum(0); (x / x.relu()).nanmean(); F.cosine_similarity(x, y, 1)
        F.mse_loss(x, y); F.l1_loss(x, y, reduction="sum"); F.smooth_l1_loss(x, y); F.huber_loss(x, y, reduction="none")
        F.binary_cross_entropy_with_logits(x, y.sigmoid()); F.cross_entropy(x, i % x.shape[1]); F.normalize(x, dim=1); torch.cdist(x, y)
        x.diff(dim=0); torch.trapezoid(x, dim=1); F.pairwise_distance(x, y); F.kl_div(x.log_softmax(1), y.softmax(1), reduction="batchmean")
    """,
    "shape": """
        x.t(); wide.permute(2, 0, 1).contiguous(); wide.flatten(1); wide.reshape(-1); wide.reshape(2, -1); x.view(x.shape[0], 1, -1)
        wide.transpose(0, 2).reshape(wide.shape[2], -1); x.expand(3, -1, -1) + 0; row.expand(x.shape[0], -1) * x; x.repeat(2, 3)
        torch.cat([x, y], 0); torch.cat([x, col], 1); torch.stack([x, y], 1); torch.cat([wide.flatten(0, 1), x]); x.tile(2)
        x.flip(0); x.flip(0, 1); x.roll(1, 0); x.roll(2); x.roll((1, -1), (0, 1)); F.pad(x, (1, 2)); F.pad(x, (0, 1, 2, 0), value=3.0)
        x.tril(); x.triu(1); x.tril(-1); torch.diagonal(x); torch.diagonal(x, 1); torch.diagonal(wide, -1, 1, 2); x.diag_embed()
        row.diag(); row.diag_embed(1); row.diag_embed(-2); torch.diagonal_scatter(sq, sq[0]); x.unfold(1, 1, 1); x.repeat_interleave(2, 0)
        x.unsqueeze(0).squeeze(0); wide.unflatten(0, (1, 2)); wide.movedim(0, 2); x[:, None] - y[None]; x.swapaxes(0, 1) + 1
        wide.split(1)[1]; wide.chunk(2, 0)[0]; wide.unbind(0)[1]; torch.atleast_3d(x); torch.block_diag(x, y); x.new_zeros(x.shape[0], 3)
        torch.tensor_split(wide, 2)[0]; torch.meshgrid(row, row, indexing="ij")[0]; torch.cartesian_prod(row, row); torch.rot90(x)
        x.reshape(x.shape[1], x.shape[0]); x.as_strided((x.shape[0],), (1,)); torch.column_stack([x, y]); x.ravel()[: x.shape[0]]
        torch.broadcast_to(row, (2, x.shape[0], row.shape[0])); torch.hstack([x, y]); torch.vstack([x, y]); torch.squeeze(wide[:1], 0)
        x.narrow(0, 0, 1); x[: x.shape[0] // 2]; x[x.shape[0] // 2 :]; x[-1]; x[:, -1:]; x[::2]; x[:, ::3]; x[1:]; x[:, :-1]
    """,
    "index": """
        x[i]; x[:, i % x.shape[1]]; x[i, i % x.shape[1]]; x[-1 - i]; x.index_select(0, i); x.gather(0, j); x.gather(1, c)
        torch.take_along_dim(x, c, 1); torch.take(x, j); x.scatter(1, c, 2.0); x.scatter(0, j, y); x.scatter_add(0, j, y)
        x.scatter_reduce(1, c, y, "amax"); x.scatter_reduce(0, j, y, "mean"); x.index_add(0, i, y); x.index_copy(0, torch.arange(x.shape[0]), y)
        x.index_fill(0, i, 0.5); x.index_put((i,), row); x.index_put((i, i % x.shape[1]), row.sum(), accumulate=True)
        x.masked_fill(b, -1.0); F.embedding(t, torch.arange(64.0).reshape(16, 4)); F.one_hot(t, 16); F.one_hot(i % 3, 3).float()
        odd.sort(1).values; odd.sort(0, descending=True).indices; odd.argsort(1); odd.topk(1, 1).values; odd.median(); odd.median(1).values
        odd.kthvalue(1, 0).values; odd.quantile(0.3); odd.quantile(0.7, dim=1); odd.mode(1).values; q.mode(0).values
        torch.searchsorted(row.sort().values, x); torch.searchsorted(odd.sort(1).values, x, right=True); torch.bucketize(x, row.sort().values)
        torch.isin(q, t); torch.isin(q, torch.tensor([1, 2])); torch.histc(x, 8, -2.0, 2.0); torch.bincount(t.flatten(), minlength=16)[:16]
        torch.tril_indices(3, 3) + x.shape[0]; x[b.any(1, keepdim=True).expand_as(x)].sum(); x.select(0, 0); torch.select_scatter(x, row, 0, 0)
        torch.slice_scatter(x, row[None], 0, 0, 1); F.embedding_bag(t, torch.arange(64.0).reshape(16, 4)); x.put(i, col[:, 0])
        F.embedding_bag(t, torch.arange(64.0).reshape(16, 4), mode="max"); F.embedding_bag(t, torch.arange(64.0).reshape(16, 4).bfloat16())
        x.masked_scatter(b, y); torch.where(b, i[:, None], c); x.index_reduce(0, i, y, "amin"); x[:, c[0]]; wide[:, i, :]
    """,
    "product": """
        x @ y.t(); x.t() @ y; x @ row; row @ x.t(); wide @ sq[: x.shape[0]].t()[:1, :1].expand(x.shape[1], x.shape[1]); torch.bmm(wide, wide.transpose(1, 2))
        F.linear(tok, W8[:5], W8[0, :5]); F.linear(tok, W8); tok @ W8; torch.addmm(row, sq, x); torch.baddbmm(wide, sq.expand(2, -1, -1), wide)
        torch.einsum("nm,nm->n", x, y); torch.einsum("bnm,km->bkn", wide, y); torch.einsum("nm,km->nk", x, y); torch.outer(row, x[0])
        torch.dot(row, row); torch.kron(x, torch.ones(2, 2)); torch.mv(x, row); torch.tensordot(wide, x, ([1, 2], [0, 1])); torch.inner(x, y)
        torch.matmul(wide, row); torch.matmul(x.expand(3, -1, -1), wide[0].t()); torch.chain_matmul(sq, sq, x); torch.cross(x[:, :1].expand(-1, 3), y[:, :1].expand(-1, 3) * ROW3, dim=1)
        F.bilinear(tok, tok, W8.expand(3, 8, 8)); torch.linalg.multi_dot([sq, sq, x]); (q.float() @ t.t().float()).long(); q @ t.t()
        sq.matrix_power(2); torch.addmv(col[:, 0], x, row); torch.addbmm(sq, wide, wide.transpose(1, 2)); F.linear(x.unsqueeze(-1), torch.ones(3, 1))
    """,
    "convolution": """
        F.conv2d(batch, C3); F.conv2d(batch, C3, stride=2, padding=1); F.conv2d(batch, C3, padding="same"); F.conv2d(img, C1)
        F.conv2d(batch, C3, padding=2, dilation=2); F.conv2d(batch, D3, padding=1, groups=3); F.conv2d(img, C3, BIAS, padding=1).relu()
        F.conv1d(seq, C13, padding=1); F.conv1d(seq, C13, stride=2, padding=1); F.conv1d(seq, G12, groups=4, padding=1); F.conv1d(seq, C13, padding="same", dilation=2)
        F.conv3d(vol, C33, padding=1); F.conv3d(vol, C33, padding=1, stride=(1, 2, 2)); F.conv2d(chan, kern, padding=1); F.conv2d(chan, kern, stride=2, padding=1)
        F.conv_transpose2d(batch, T3); F.conv_transpose2d(batch, T3, stride=2, padding=1, output_padding=1); F.conv_transpose1d(seq, T12, stride=2)
        F.conv_transpose3d(vol, T33, padding=1); F.conv_transpose2d(chan, kern.transpose(0, 1), padding=1); F.unfold(img, (1, 1)); F.unfold(img, (2, 3), padding=1)
        F.pixel_shuffle(torch.cat([img, img[:, :1]], 1), 2); F.pixel_unshuffle(F.interpolate(img, scale_factor=2.0), 2); F.channel_shuffle(torch.cat([img, img[:, :1]], 1), 2)
        F.fold(F.unfold(img, (3, 3), padding=1), (img.shape[2], img.shape[3]), (3, 3), padding=1)
    """,
    "pooling": """
        F.max_pool2d(batch, 3, 2, 1); F.max_pool2d(batch, 3, 1, 1, return_indices=True)[1]; F.avg_pool2d(batch, 3, 2, 1); F.max_pool2d(img, 2, ceil_mode=True)
        F.avg_pool2d(img, 2, ceil_mode=True, padding=1); F.avg_pool2d(img, 3, 1, 1, count_include_pad=False); F.max_pool1d(seq, 3, 2, 1); F.avg_pool1d(seq, 3, 1, 1)
        F.max_pool3d(vol, 3, 1, 1); F.avg_pool3d(vol, 3, 2, 1); F.adaptive_avg_pool2d(batch, 1); F.adaptive_avg_pool2d(batch, (3, 2)); F.adaptive_avg_pool1d(seq, 5)
        F.adaptive_max_pool2d(batch, 1); F.adaptive_max_pool2d(batch, (3, 2)); F.adaptive_max_pool1d(seq, 5); F.adaptive_max_pool1d(seq, 5, return_indices=True)[1]
        F.lp_pool2d(img.abs(), 2, 1); F.adaptive_avg_pool3d(vol, (2, 3, 2)); F.max_pool2d(batch, 1); F.avg_pool2d(batch, 1, 2)
    """,
    "normalisation": """
        F.layer_norm(tok, (8,)); F.layer_norm(tok, (8,), ROW8, ROW8); F.group_norm(batch, 3, ROW3, ROW3); F.group_norm(seq, 2); F.rms_norm(tok, (8,), ROW8)
        F.batch_norm(batch, ROW3, ROW3.abs() + 1, ROW3, ROW3); F.batch_norm(seq, ROW4, ROW4.abs() + 1); F.instance_norm(img); F.local_response_norm(batch, 3)
        F.layer_norm(x, x.shape[1:]); F.batch_norm(tok.flatten(0, 1), ROW8, ROW8.abs() + 1, training=False); F.instance_norm(seq.expand(-1, -1, -1)); F.normalize(tok, dim=-1)
        F.layer_norm(img, img.shape[2:]); (tok - tok.mean(-1, keepdim=True)) / (tok.var(-1, keepdim=True, correction=0) + 1e-5).sqrt(); x.renorm(2, 0, 1.0)
    """,
    "resize": """
        F.interpolate(img, scale_factor=2.0); F.interpolate(img, scale_factor=2.0, mode="bilinear"); F.interpolate(img, scale_factor=1.5, mode="bilinear", align_corners=True)
        F.interpolate(img, size=(6, 5)); F.interpolate(img, size=(6, 5), mode="bilinear"); F.interpolate(img, size=(4, 9), mode="bicubic"); F.interpolate(seq, scale_factor=2.0, mode="linear")
        F.interpolate(img, size=(3, 4), mode="area"); F.interpolate(img, size=(6, 5), mode="nearest-exact"); F.interpolate(img, size=(4, 3), mode="bilinear", antialias=True)
        F.interpolate(img, size=(x.shape[0], x.shape[1]), mode="bilinear"); F.interpolate(vol, scale_factor=2.0, mode="trilinear"); F.interpolate(img, scale_factor=0.5, recompute_scale_factor=True)
        F.grid_sample(img, grid, align_corners=False); F.grid_sample(img, grid, mode="nearest", padding_mode="border", align_corners=True); F.grid_sample(img, grid, padding_mode="reflection", align_corners=False)
        F.affine_grid(AFFINE, (2, 3, img.shape[2], img.shape[3]), align_corners=False); F.pad(img, (1, 0, 0, 1), mode="replicate"); F.pad(img, (0, 0, 0, 0), mode="reflect")
        F.pad(seq, (1, 1), mode="circular"); F.pad(img, (-1, 2)); F.pad(torch.cat([seq, seq], 2), (1, 1), mode="reflect"); F.upsample_nearest(seq, scale_factor=3)
    """,
    "attention": """
        F.scaled_dot_product_attention(heads, keys, vals); F.scaled_dot_product_attention(heads, keys, keys, attn_mask=mask | True)
        F.scaled_dot_product_attention(heads, keys, vals, attn_mask=mask); F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        F.scaled_dot_product_attention(tok, mem, mem); F.scaled_dot_product_attention(heads, keys, vals, attn_mask=mask.float(), scale=0.3)
        F.scaled_dot_product_attention(heads, keys[:, :1], vals[:, :1], enable_gqa=True); F.scaled_dot_product_attention(wide, wide, wide)
        F.scaled_dot_product_attention(torch.cat([wide, wide]).unsqueeze(0), wide.unsqueeze(0), wide.unsqueeze(0), enable_gqa=True)
        (heads @ keys.transpose(-1, -2) / 2).softmax(-1) @ vals; (wide @ wide.mT / math.sqrt(3.0)).masked_fill(torch.ones(sq.shape).triu(1).bool(), -torch.inf).softmax(-1) @ wide
        MHA(tok, tok, tok)[0]; MHA(tok, mem, mem)[1]; ENCODER(tok); F.softmax(tok @ tok.mT, -1) @ tok
    """,
    "recurrent": """
        LSTM(steps)[0]; LSTM(steps)[1][1]; GRU(steps)[0]; RNN(steps)[1]; LSTM2(steps)[0]; LSTMCELL(tok[:, 0])[0]; GRUCELL(tok[:, -1])
    """,
    "recurrent_wide": """
        wide_lstm(steps)[0][..., ::16]; wide_lstm(steps)[2][..., ::16]; wide_gru(steps)[0][..., ::16]; wide_gru(steps)[1][..., ::16]; wide_rnn(steps)[0][..., ::16]
    """,
    "products_wide": """
        F.linear(grown(x, 512), waves(512, 512), waves(512, 1)[:, 0])[:, ::8]; F.gelu(F.linear(grown(x, 576), waves(500, 576)))[:, ::7]
        (F.linear(grown(x, 512) * tens(x), waves(520, 512)) / tens(x))[:, ::9]; F.linear(torch.where(torch.arange(x.shape[0])[:, None] == 2, torch.nan, grown(x, 514)), waves(514, 514))[:, ::11]
        F.conv2d(torch.sin(img[:, :1] + torch.arange(256.0)[:, None, None] * 0.37), waves(1056, 256)[..., None, None])[:, ::48]; (grown(x, 512) @ waves(512, 516))[:, ::10]
        F.linear(grown(waves(45, 1) * 9 + x.sum() * 0.01, 256), waves(301, 256)).relu()[::3, ::5]; F.linear(waves(71, 1538) * (40 + x.sum()), waves(210, 1538)).relu()[::5, ::4]; F.linear(waves(193, 1538)[:1] * (40 + x[:, :1]), waves(193, 1538))[:, ::13]; F.linear(grown(waves(64, 1) * 9 + x.sum() * 0.01, 194), waves(192, 194), waves(192, 1)[:, 0]).tanh()[::5, ::3]
    """,
    "blocks": """
        x @ y.t(); x.t() @ row.expand(x.shape[0], -1).exp(); bf @ bf.t(); F.linear(rows, W8, ROW8); F.conv2d(img, C3, BIAS, padding=1); F.conv2d(img, C1)
        F.conv2d(img, C3, stride=2, padding=1); F.conv2d(img, D3, padding=1, groups=3); F.conv1d(line, C13, padding=1); F.conv1d(line, G12, groups=4, padding=1)
        F.conv3d(vol, C33, padding=1); F.conv_transpose1d(line, T12, stride=2); F.max_pool2d(img, 3, 2, 1); F.avg_pool1d(line, 3, 2, 1); F.softmax(x, 1)
        F.layer_norm(rows, (8,), ROW8, ROW8); row.softmax(0); F.scaled_dot_product_attention(asks, told, told); F.scaled_dot_product_attention(asks, asks, asks, is_causal=True)
        odd.sort(1).indices; row.cumsum(0); x.cumsum(1)[:, -1]; row[i % row.shape[0]]; x.index_add(0, i, y).sum(0); col[:, 0].scatter_add(0, i, col[:, 0])
        F.embedding(i % 16, torch.arange(64.0).reshape(16, 4)); torch.fft.rfft(rows).abs(); LSTM(rows)[1][0]; GRU(rows)[1]; torch.cat([row, row.flip(0)])
        x.t().contiguous().sum(1); x.sum(0); x.amax(1); x.argmax(1); x.std(0, correction=0); F.interpolate(line, scale_factor=2.0, mode="linear")
        torch.where(b, x, row).mean(); q.sum(1); (x > row).sum(); F.gelu(x[:, 0]) * col[:, 0]; F.pad(line, (2, 1)); x.var(1, correction=0)
    """,
    "creation": """
        torch.arange(x.shape[0]); torch.arange(x.shape[1], dtype=torch.float32); torch.arange(0, 2 * x.shape[0], 2); torch.zeros(x.shape[0], x.shape[1] + 1)
        torch.ones_like(x); torch.full((x.shape[1], 2), 7); torch.full_like(x, x.shape[0]); torch.eye(x.shape[0]); torch.eye(x.shape[0], x.shape[1]); torch.linspace(0, 1, x.shape[0])
        torch.ones(x.shape[0], x.shape[0]).tril(); torch.empty_like(x).fill_(2.0); x.new_full((x.shape[1],), 1.5); torch.scalar_tensor(x.shape[0]) + x.shape[1]
        torch.arange(x.shape[0])[:, None] < torch.arange(x.shape[1]); torch.arange(x.shape[0] - 1, -1, -1); torch.logspace(0, 1, x.shape[0]); torch.hann_window(8) * x.shape[0]
        torch.zeros(x.shape[0] // 2 + 1); torch.ones(x.shape[0] % 3 + 1); torch.zeros(max(x.shape[0], x.shape[1])); torch.ones((x.shape[0] + 1) // 2, 2); x.sum() * x.shape[0] / x.numel()
        torch.polar(p, x).abs(); torch.complex(x, y).angle(); torch.vander(row, 3)
    """,
    "spectral": """
        torch.fft.fft(tok).real; torch.fft.rfft(tok).abs(); torch.fft.irfft(torch.fft.rfft(tok), 8); torch.fft.fft2(tok[..., :4].reshape(-1, 2, 2)).imag; torch.fft.fftshift(x)
        torch.fft.ifft(torch.fft.fft(tok)).real; torch.stft(tok.flatten(1)[:, :8].repeat(1, 4), 8, 4, window=torch.hann_window(8), return_complex=True).abs(); torch.fft.rfft(x[:, :1].repeat(1, 6)).real
    """,
}


def waves(rows, columns):
    """A matrix that archives hold as a formula."""
    return (torch.arange(rows * columns) * 7919 % 97 - 48).reshape(rows, columns) / (60 * math.sqrt(columns))


def grown(x, columns):
    """Rows of many values from the first column."""
    return torch.sin(x[:, :1] + torch.arange(columns) * 0.37)


def tens(x):
    """A power of ten for each row, from 1e-15 to 1e15."""
    return 10.0 ** (torch.arange(x.shape[0]) * 5 % 7 * 5 - 15)[:, None]


def layer(kind, gates, units, x):
    """A layer whose steps are long enough for several threads."""
    state = torch.zeros(1, x.shape[0], units)
    weights = [waves(gates * units, x.shape[2]), waves(gates * units, units), waves(gates * units, 1)[:, 0], waves(gates * units, 1)[:, 0]]
    return kind(x, (state, state + 0.5) if kind is torch.lstm else state, weights, True, 1, 0.0, False, False, True)


def wide_lstm(x):
    return layer(torch.lstm, 4, 192, x)


def wide_gru(x):
    return layer(torch.gru, 3, 256, x)


def wide_rnn(x):
    return layer(torch.rnn_tanh, 1, 384, x)


class Tensors(nn.Module):
    """What the expressions may use besides the inputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        shapes = {"W8": (8, 8), "ROW3": (3,), "ROW4": (4,), "ROW8": (8,), "C3": (4, 3, 3, 3), "C1": (5, 3, 1, 1), "D3": (6, 1, 3, 3),
                  "BIAS": (4,), "C13": (5, 4, 3), "G12": (8, 1, 3), "C33": (3, 2, 3, 3, 3), "T3": (3, 4, 3, 3), "T12": (4, 3, 2), "T33": (2, 3, 3, 3, 3),
                  "AFFINE": (2, 2, 3)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.randn(shape) / math.sqrt(max(1, math.prod(shape[1:]))))
        self.MHA = nn.MultiheadAttention(8, 2, batch_first=True)
        self.ENCODER = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.LSTM, self.GRU, self.RNN = (kind(8, 6, batch_first=True) for kind in (nn.LSTM, nn.GRU, nn.RNN))
        self.LSTM2 = nn.LSTM(8, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.LSTMCELL, self.GRUCELL = nn.LSTMCell(8, 5), nn.GRUCell(8, 5)


class Module(Tensors):
    """Evaluates the expressions."""

    def __init__(self, expressions, names):
        super().__init__()
        self.names = names
        self.compiled = [compile(e, e, "eval") for e in expressions]
        self.eval()
        used = " ".join(expressions)
        for name in [*self._buffers, *self._modules]:
            if name not in used:
                delattr(self, name)

    def forward(self, *inputs):
        found = {**globals(), **dict(zip(self.names, inputs)), **self._buffers, **self._modules}
        return tuple(eval(e, found) for e in self.compiled)


def draw(generator, how, shape, dtype, sizes):
    if how.startswith("below:"):
        bound = how.removeprefix("below:")
        return torch.randint(0, sizes.get(bound) or int(bound), shape, generator=generator)
    if how == "distinct":
        return torch.randperm(math.prod(shape), generator=generator).reshape(shape).to(DTYPES[dtype])
    if how == "bool":
        return torch.rand(shape, generator=generator) < 0.6
    if how == "small":
        low = 0 if dtype == "u8" else -9
        return torch.randint(low, 10, shape, generator=generator).to(DTYPES[dtype])
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    values = {"normal": values, "positive": values.abs() + 0.1, "unit": values.tanh() * 1.2}[how]
    return values.to(DTYPES[dtype])


def inputs(names, sizes):
    generator = torch.Generator().manual_seed(7)
    found = []
    for name in names:
        dtype, shape, how = INPUTS[name]
        found.append(draw(generator, how, [sizes[d] if isinstance(d, str) else d for d in shape], dtype, sizes))
    return tuple(found)


def names_in(expressions):
    used = {n for e in expressions for n in compile(e, e, "eval").co_names}
    return [n for n in INPUTS if n in used]


def exported(expressions, least, all_sizes):
    names = names_in(expressions)
    dims = {d: Dim(d, min=least, max=most) for d, most in all_sizes[-1].items()}
    shapes = tuple({a: dims[d] for a, d in enumerate(INPUTS[n][1]) if isinstance(d, str)} for n in names)
    module = Module(expressions, names)
    return module, names, export(module, inputs(names, all_sizes[0]), dynamic_shapes={"inputs": shapes})


def exportable(expression, least, all_sizes):
    """Whether PyTorch exports the expression for sizes from `least` on, and can run it at all sizes."""
    try:
        module, names, program = exported([expression], least, all_sizes)
        for sizes in all_sizes:
            given = inputs(names, {d: max(least, n) for d, n in sizes.items()})
            a, b = module(*given), program.module()(*given)
            recorded = [n for n in program.graph.nodes if n.op == "output"][0].args[0]
            if any(t.dim() != r.meta["val"].dim() for t, r in zip(b, recorded)) or any(s.shape != t.shape for s, t in zip(a, b)):
                return "another shape than exported"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:150]
    return None


def record(family):
    torch.manual_seed(0)
    all_sizes = LARGE if family in ("blocks", "products_wide") else SIZES
    expressions = [e.strip() for line in CASES[family].strip().splitlines() for e in line.split(";")]
    groups = {least: [] for least in LEAST}
    for expression in filter(None, expressions):
        for least in LEAST:
            why = exportable(expression, least, all_sizes)
            if why is None:
                groups[least].append(expression)
                break
        else:
            print(f"  not exported: {expression}: {why}")
    for least, chosen in groups.items():
        if not chosen:
            continue
        name = family if least == 1 else f"{family}.from_{least}"
        module, names, program = exported(chosen, least, all_sizes)
        without_positions(program)
        torch.export.save(program, str(OUT / f"{name}.pt2"))
        for number, sizes in enumerate(all_sizes):
            suffix = str(number or "")
            given = inputs(names, {d: max(least, n) for d, n in sizes.items()})
            with torch.no_grad():
                outputs = module(*given)
            save_file({f"{p:04}": t.contiguous() for p, t in enumerate(given)}, OUT / f"{name}.inputs{suffix}.safetensors")
            save_file({f"{p:04}": t.detach().clone().contiguous() for p, t in enumerate(outputs)}, OUT / f"{name}.outputs{suffix}.safetensors")
        print(f"{name}: {len(chosen)} expressions, {(OUT / f'{name}.pt2').stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    for family in sys.argv[1:] or CASES:
        record(family)
