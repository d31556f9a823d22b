"""Torture for functionalisation: input and buffer mutation, writes through views, training BatchNorm, caches, branches."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo import DYNAMIC, add

r = torch.randn


class InputMutation(nn.Module):
    def forward(self, x, y):
        x.add_(1)
        y[:, 1:3] = x[:, :2]
        y.t()[0].mul_(3)
        return x * y


add("t_input_mutation", InputMutation, lambda: [(r(3, 4), r(3, 4)), (r(5, 4), r(5, 4))], ({0: torch.export.Dim("n")}, {0: torch.export.Dim("n")}))


class ViewWrites(nn.Module):
    """Writes through chains of views of an intermediate, read back through others."""

    def forward(self, x):
        a = x.clone()
        v = a.view(2, 6)
        v[0].fill_(7)
        w = v.transpose(0, 1)[2:4]
        w += 10
        a[1, ::2] *= -1
        b = a.permute(1, 0)
        b[0, 0] = 99.0
        d = a.diagonal()
        d.zero_()
        s = a.unsqueeze(0).expand(2, 3, 4).sum(0)
        p, q = a.split([1, 3], 1)
        q.relu_()
        p.copy_(q[:, :1])
        return a, v, s, torch.as_strided(a, (2, 2), (4, 1), 1)


add("t_view_writes", ViewWrites, lambda: [(r(3, 4),)])


class MaskedWrites(nn.Module):
    def forward(self, x, index):
        a = torch.zeros(5, 4)
        a[index] = x
        a[a > 1] = -1.0
        a[:, 0] += a[:, 1]
        a.index_put_((index,), x, accumulate=True)
        a.scatter_(1, index[:, None], 0.5)
        a.masked_fill_(a < -2, 0.0)
        a.clamp_(-1.5, 1.5)
        return a


add("t_masked_writes", MaskedWrites, lambda: [(r(3, 4), torch.tensor([0, 3, 1]))])


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("average", torch.zeros(4))
        self.register_buffer("unused", torch.ones(3), persistent=False)

    def forward(self, x):
        self.count += 1
        self.average.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return x - self.average, self.count


add("t_counter", Counter, lambda: [(r(3, 4),), (r(6, 4),)], ({0: DYNAMIC},))


class Training(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6, momentum=0.3), nn.Hardswish(inplace=True))

    def forward(self, x):
        return self.net(x)


add("t_bn_train", Training, lambda: [(r(3, 3, 8, 8),), (r(2, 3, 10, 6),)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},), training=True)


class Cache(nn.Module):
    """A decode step at a position given as a tensor; keys and values are kept in buffers."""

    def __init__(self, slice_write):
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.slice_write = slice_write
        self.register_buffer("k", torch.zeros(1, 2, 12, 8))
        self.register_buffer("v", torch.zeros(1, 2, 12, 8))

    def forward(self, x, position):
        n = x.shape[1]
        q, k, v = self.qkv(x).view(1, n, 3, 2, 8).permute(2, 0, 3, 1, 4)
        if self.slice_write:
            self.k[:, :, :n] = k
            self.v[:, :, :n].copy_(v)
        else:
            self.k.index_copy_(2, position, k)
            self.v.index_copy_(2, position, v)
        mask = torch.arange(12)[None, :] <= position[:, None]
        y = F.scaled_dot_product_attention(q, self.k, self.v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(1, n, 16))


n = torch.export.Dim("n", min=1, max=11)
steps = lambda: [(r(1, 3, 16), torch.arange(3)), (r(1, 7, 16), torch.arange(7)), (r(1, 1, 16), torch.arange(1)), (r(1, 11, 16), torch.arange(11))]
add("t_cache_copy", lambda: Cache(False), steps, ({1: n}, {0: n}))
add("t_cache_slice", lambda: Cache(True), steps, ({1: n}, {0: n}))


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda v: self.a(v).relu(), lambda v: self.b(v) * 2, (x,))


add("t_cond", Branch, lambda: [(r(3, 4).abs(),), (-r(2, 4).abs(),)], ({0: DYNAMIC},))


class Loop(nn.Module):
    def forward(self, x):
        def more(i, v):
            return i < 5

        def step(i, v):
            return i + 1, v * 0.5 + 1

        return torch._higher_order_ops.while_loop(more, step, (torch.tensor(0), x))


add("t_while", Loop, lambda: [(r(3),)])


class Alias(nn.Module):
    """Outputs that are inputs, views of inputs, constants and each other."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(6.0).view(2, 3))

    def forward(self, x, y):
        z = x.view(-1)
        return x, z, self.table, y, z[1:3], 3, None, {"again": x.t(), "flag": True}


add("t_alias", Alias, lambda: [(r(2, 3), r(2))])


class Tied(nn.Module):
    """Tied and transposed weights, channels-last weight, a view of a larger storage."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.register_buffer("strided", torch.randn(8, 8).t()[2:6, ::2])

    def forward(self, tokens, image):
        h = self.embed(tokens)
        return self.head(h), self.conv(image), self.strided @ self.strided.T


add("t_tied", Tied, lambda: [(torch.randint(0, 11, (2, 5)), r(1, 3, 6, 6))])


class InPlace(nn.Module):
    """Every common in-place activation and arithmetic on intermediates that are used again."""

    def forward(self, x):
        y = x + 1
        z = y.relu_()
        y.mul_(2).sub_(0.5)
        u = F.hardtanh(z.clone(), inplace=True)
        u.div_(3).pow_(2)
        F.silu(u, inplace=True)
        w = torch.empty_like(u)
        w.zero_()
        w[0] = 5
        w.add_(u, alpha=2)
        w.t_()
        return y, z, u, w.sigmoid_()


add("t_inplace", InPlace, lambda: [(r(3, 4),)])
