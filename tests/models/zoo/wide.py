"""Graph networks, audio, time series and detection: programs that are not stacks of image or text layers."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from zoo import DYNAMIC, add, ids

r = torch.randn


def graphs(*sizes, features=8):
    """Nodes with features and a list of directed edges."""
    return lambda: [(r(n, features), torch.stack([torch.randint(0, n, (e,)), torch.randint(0, n, (e,))])) for n, e in sizes]


GRAPH = ({0: DYNAMIC}, {1: DYNAMIC})
SIZES = ((7, 20), (3, 5), (31, 97))


class GraphConvolution(nn.Module):
    """Kipf and Welling, 2017: neighbours averaged by the square roots of the degrees."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 4)])

    def forward(self, x, edges):
        source, target = edges[0], edges[1]
        degree = torch.ones_like(x[:, 0]).scatter_add(0, target, torch.ones_like(target, dtype=x.dtype))
        weight = (degree[source] * degree[target]).rsqrt()
        for i, layer in enumerate(self.layers):
            x = layer(x)
            x = (x / degree[:, None]).index_add(0, target, x[source] * weight[:, None])
            x = x.relu() if i == 0 else x
        return x.log_softmax(-1)


class GraphAttention(nn.Module):
    """Veličković et al., 2018: softmax over the edges into each node."""

    def __init__(self):
        super().__init__()
        self.project, self.ends = nn.Linear(8, 3 * 5), nn.Parameter(r(2, 3, 5))

    def forward(self, x, edges):
        n = x.shape[0]
        h = self.project(x).view(n, 3, 5)
        a, b = (h * self.ends[0]).sum(-1), (h * self.ends[1]).sum(-1)
        score = F.leaky_relu(a[edges[0]] + b[edges[1]], 0.2)
        index = edges[1][:, None].expand_as(score)
        top = score.new_full((n, 3), -1e9).scatter_reduce(0, index, score, "amax")
        weight = (score - top[edges[1]]).exp()
        total = weight.new_zeros(n, 3).scatter_add(0, index, weight)
        return h.new_zeros(n, 3, 5).index_add(0, edges[1], h[edges[0]] * weight[..., None]) / (total[..., None] + 1e-9)


class Sage(nn.Module):
    """Hamilton et al., 2017: mean and maximum of the neighbours beside the node itself."""

    def __init__(self):
        super().__init__()
        self.update = nn.Linear(24, 12)

    def forward(self, x, edges):
        index = edges[1][:, None].expand(-1, x.shape[1])
        mean = torch.zeros_like(x).scatter_reduce(0, index, x[edges[0]], "mean", include_self=False)
        most = torch.zeros_like(x).scatter_reduce(0, index, x[edges[0]], "amax", include_self=False)
        return F.normalize(self.update(torch.cat([x, mean, most], 1)).relu(), dim=1)


class MessagePassing(nn.Module):
    """Gilmer et al., 2017: messages by an MLP of both ends, a GRU cell as update, a sum over all nodes."""

    def __init__(self):
        super().__init__()
        self.message, self.update, self.out = nn.Sequential(nn.Linear(16, 8), nn.SiLU()), nn.GRUCell(8, 8), nn.Linear(8, 2)

    def forward(self, x, edges):
        for _ in range(3):
            messages = self.message(torch.cat([x[edges[0]], x[edges[1]]], 1))
            x = self.update(torch.zeros_like(x).index_add(0, edges[1], messages), x)
        return self.out(x.sum(0))


class PointNet(nn.Module):
    """Qi et al., 2017, with the nearest neighbours of each point."""

    def __init__(self):
        super().__init__()
        self.local, self.final = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(16, 5)

    def forward(self, points):
        near = torch.cdist(points, points).topk(4, dim=-1, largest=False).indices
        batch = torch.arange(points.shape[0])[:, None, None]
        neighbours = points[batch, near]
        centre = points[:, :, None].expand_as(neighbours)
        return self.final(self.local(torch.cat([centre, neighbours - centre], -1)).amax(2).amax(1))


class Separator(nn.Module):
    """Conv-TasNet (Luo and Mesgarani, 2019): learned analysis and synthesis around dilated convolutions."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Conv1d(1, 16, 16, 8, bias=False), nn.ConvTranspose1d(16, 1, 16, 8, bias=False)
        self.norm = nn.GroupNorm(1, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(16, 24, 1), nn.PReLU(), nn.GroupNorm(1, 24), nn.Conv1d(24, 24, 3, padding=2**i, dilation=2**i, groups=24), nn.PReLU(), nn.Conv1d(24, 16, 1))
            for i in range(3)
        )
        self.masks = nn.Conv1d(16, 32, 1)

    def forward(self, audio):
        code = self.encode(audio[:, None]).relu()
        x = self.norm(code)
        for block in self.blocks:
            x = x + block(x)
        masks = self.masks(x).sigmoid().unflatten(1, (2, 16))
        return self.decode((code[:, None] * masks).flatten(0, 1)).unflatten(0, (-1, 2))[:, :, 0]


class Vocoder(nn.Module):
    """HiFi-GAN's generator (Kong et al., 2020)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1d(20, 32, 7, padding=3), nn.Conv1d(8, 1, 7, padding=3)
        self.up = nn.ModuleList([nn.ConvTranspose1d(32, 16, 8, 4, 2), nn.ConvTranspose1d(16, 8, 4, 2, 1)])
        self.blocks = nn.ModuleList(nn.ModuleList(nn.Conv1d(c, c, 3, padding=d, dilation=d) for d in (1, 3, 5)) for c in (16, 8))

    def forward(self, mel):
        x = self.first(mel)
        for up, block in zip(self.up, self.blocks):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(x + conv(F.leaky_relu(x, 0.1)) for conv in block) / 3
        return self.last(F.leaky_relu(x)).tanh()[:, 0]


class KeywordSpotter(nn.Module):
    """Log-mel spectrogram, depthwise-separable convolutions."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.register_buffer("mel", torch.rand(33, 12))
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, (2, 1), 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 12, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6)
        )

    def forward(self, audio):
        power = torch.stft(audio, 64, 32, window=self.window, return_complex=True).abs().square()
        return self.net((power.transpose(1, 2) @ self.mel + 1e-6).log()[:, None])


class SpeechRecogniser(nn.Module):
    """Convolutions that halve time, a bidirectional LSTM, character probabilities."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(20, 24, 3, 2, 1), nn.GELU(), nn.Conv1d(24, 24, 3, 2, 1), nn.GELU())
        self.rnn, self.out = nn.LSTM(24, 16, bidirectional=True, batch_first=True), nn.Linear(32, 30)

    def forward(self, mel):
        return self.out(self.rnn(self.front(mel).transpose(1, 2))[0]).log_softmax(-1)


class Conformer(nn.Module):
    """Gulati et al., 2020: one block."""

    def __init__(self):
        super().__init__()
        self.ff1, self.ff2 = (nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16)) for _ in range(2))
        self.attention, self.norms = nn.MultiheadAttention(16, 4, batch_first=True), nn.ModuleList(nn.LayerNorm(16) for _ in range(3))
        self.conv = nn.Sequential(nn.Conv1d(16, 32, 1), nn.GLU(1), nn.Conv1d(16, 16, 7, padding=3, groups=16), nn.BatchNorm1d(16), nn.SiLU(), nn.Conv1d(16, 16, 1))

    def forward(self, x):
        x = x + 0.5 * self.ff1(x)
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.conv(self.norms[1](x).transpose(1, 2)).transpose(1, 2)
        return self.norms[2](x + 0.5 * self.ff2(x))


class Forecaster(nn.Module):
    """N-BEATS (Oreshkin et al., 2020): what a block explains is taken from its input."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 24 + 6)) for _ in range(3))

    def forward(self, x):
        forecast = 0
        for block in self.blocks:
            back, ahead = block(x).split([24, 6], -1)
            x, forecast = x - back, forecast + ahead
        return forecast


class Detector(nn.Module):
    """An anchor-free head (FCOS, Tian et al., 2019): scores and boxes of every place, the best of each image."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.GroupNorm(3, 12), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU())
        self.score, self.box = nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, x):
        y = self.body(x)
        h, w = y.shape[2], y.shape[3]
        centre = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).flatten(0, 1) * 4 + 2
        side = self.box(y).exp().flatten(2).transpose(1, 2)
        boxes = torch.cat([centre - side[..., :2], centre + side[..., 2:]], -1)
        scores = self.score(y).sigmoid().flatten(2)
        best, at = scores.flatten(1).topk(5)
        place = at % (h * w)
        return best, at // (h * w), boxes.gather(1, place[..., None].expand(-1, -1, 4))


class Recommender(nn.Module):
    """DLRM (Naumov et al., 2019): embeddings of categories, products of all pairs."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(50, 8) for _ in range(3))
        self.bottom, self.top = nn.Linear(4, 8), nn.Linear(8 + 6, 1)

    def forward(self, dense, categories):
        x = self.bottom(dense).relu()
        all = torch.stack([x, *(t(categories[:, i]) for i, t in enumerate(self.tables))], 1)
        i, j = torch.tril_indices(4, 4, -1)
        return self.top(torch.cat([x, (all @ all.mT)[:, i, j]], 1)).sigmoid()


class Diffusion(nn.Module):
    """A U-Net with the embedding of a time step (Ho et al., 2020)."""

    def __init__(self):
        super().__init__()
        self.time, self.start = nn.Linear(16, 16), nn.Conv2d(3, 16, 3, padding=1)
        self.down, self.middle, self.up = nn.Conv2d(16, 24, 3, 2, 1), nn.Conv2d(24, 24, 3, padding=1), nn.Conv2d(40, 16, 3, padding=1)
        self.norm, self.end = nn.GroupNorm(4, 16), nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x, t):
        angles = t[:, None] * torch.exp(torch.arange(8) * (-math.log(1e4) / 8))
        step = self.time(torch.cat([angles.sin(), angles.cos()], 1)).view(-1, 16, 1, 1)
        a = F.silu(self.norm(self.start(x) + step))
        b = F.silu(self.middle(F.silu(self.down(a))))
        return self.end(F.silu(self.up(torch.cat([a, F.interpolate(b, scale_factor=2.0)], 1))))


for name, module in (("gcn", GraphConvolution), ("gat", GraphAttention), ("graphsage", Sage), ("mpnn", MessagePassing)):
    add(f"graph_{name}", module, graphs(*SIZES), GRAPH)
add("graph_pointnet", PointNet, lambda: [(r(2, 16, 3),), (r(1, 9, 3),), (r(3, 25, 3),)], ({0: DYNAMIC, 1: DYNAMIC},))
add("audio_separator", Separator, lambda: [(r(2, 800),), (r(1, 96),), (r(3, 1603),)], ({0: DYNAMIC, 1: DYNAMIC},))
add("audio_vocoder", Vocoder, lambda: [(r(2, 20, 11),), (r(1, 20, 30),), (r(3, 20, 5),)], ({0: DYNAMIC, 2: DYNAMIC},))
add("audio_keywords", KeywordSpotter, lambda: [(r(2, 1600),), (r(1, 1000),), (r(3, 2048),)], ({0: DYNAMIC, 1: DYNAMIC},))
add("audio_recogniser", SpeechRecogniser, lambda: [(r(2, 20, 32),), (r(1, 20, 32),), (r(5, 20, 32),)], ({0: DYNAMIC},))
add("audio_conformer", Conformer, lambda: [(r(2, 12, 16),), (r(1, 31, 16),), (r(3, 7, 16),)], ({0: DYNAMIC, 1: DYNAMIC},))
add("series_nbeats", Forecaster, lambda: [(r(4, 24),), (r(1, 24),), (r(9, 24),)], ({0: DYNAMIC},))
add("detect_fcos", Detector, lambda: [(r(2, 3, 32, 24),), (r(1, 3, 40, 48),), (r(3, 3, 24, 56),)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))
add("rank_dlrm", Recommender, lambda: [(r(4, 4), ids(50, 4, 3)), (r(1, 4), ids(50, 1, 3)), (r(9, 4), ids(50, 9, 3))], ({0: DYNAMIC}, {0: DYNAMIC}))
add("image_diffusion", Diffusion, lambda: [(r(2, 3, 16, 16), torch.rand(2) * 100), (r(1, 3, 24, 8), torch.rand(1)), (r(3, 3, 8, 32), torch.rand(3) * 9)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}, {0: DYNAMIC}))
