"""Small plain modules: perceptron, recurrent nets, encoder layers, UNet, audio, graph and normalisation nets."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo import DYNAMIC, add

r = torch.randn


add(
    "p_mlp",
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
    lambda: [(r(2, 1, 28, 28),), (r(5, 1, 28, 28),), (r(1, 1, 28, 28),)],
    ({0: DYNAMIC},),
)


class Wrapped(nn.Module):
    """A recurrent layer between two linear ones."""

    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = kind(12, 16, batch_first=True, **options)
        self.head = nn.Linear(16 * (2 if options.get("bidirectional") else 1), 5)

    def forward(self, x):
        out, state = self.rnn(x)
        return self.head(out), state


add("p_gru", lambda: Wrapped(nn.GRU, num_layers=2), lambda: [(r(2, 9, 12),), (r(5, 9, 12),)], ({0: DYNAMIC},))
add("p_bilstm", lambda: Wrapped(nn.LSTM, bidirectional=True), lambda: [(r(2, 9, 12),), (r(3, 9, 12),)], ({0: DYNAMIC},))
add("p_rnn_relu", lambda: Wrapped(nn.RNN, nonlinearity="relu"), lambda: [(r(2, 7, 12),)])

for activation in ("relu", "gelu"):
    add(
        f"p_encoder_{activation}",
        lambda activation=activation: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation=activation, norm_first=activation == "gelu"),
            2,
            enable_nested_tensor=False,
        ),
        lambda: [(r(2, 7, 32),), (r(3, 12, 32),), (r(1, 1, 32),)],
        ({0: DYNAMIC, 1: DYNAMIC},),
    )


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x, keep):
        out, weights = self.attention(x, x, x, key_padding_mask=~keep)
        return out, weights


add("p_mha_masked", Masked, lambda: [(r(2, 6, 32), torch.arange(6).expand(2, 6) < torch.tensor([[6], [4]]))])
add("p_decoder", lambda: nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), lambda: [(r(2, 5, 32), r(2, 7, 32)), (r(1, 9, 32), r(1, 3, 32))], ({0: torch.export.Dim("b"), 1: DYNAMIC}, {0: torch.export.Dim("b"), 1: DYNAMIC}))


class UNet(nn.Module):
    def __init__(self, transposed):
        super().__init__()
        block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
        self.d1, self.d2, self.mid = block(3, 8), block(8, 16), block(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2) if transposed else nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(32, 16, 1))
        self.up1 = nn.ConvTranspose2d(16, 8, 2, 2) if transposed else nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 8, 1))
        self.u2, self.u1 = block(32, 16), block(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        m = self.mid(F.max_pool2d(b, 2))
        b = self.u2(torch.cat([self.up2(m), b], 1))
        a = self.u1(torch.cat([self.up1(b), a], 1))
        return self.head(a)


half = torch.export.Dim("h", min=2, max=64), torch.export.Dim("w", min=2, max=64)
for transposed in (True, False):
    add(
        "p_unet_transposed" if transposed else "p_unet_resize",
        lambda transposed=transposed: UNet(transposed),
        lambda: [(r(1, 3, 32, 24),), (r(2, 3, 16, 40),), (r(3, 3, 8, 8),)],
        ({0: DYNAMIC, 2: 4 * half[0], 3: 4 * half[1]},),
    )


class Audio(nn.Module):
    """Strided and dilated 1-D convolutions, group norm, GLU, mean over time."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(1, 16, 10, 5)
        self.norm = nn.GroupNorm(4, 16)
        self.layers = nn.ModuleList(nn.Conv1d(16, 32, 3, padding=2**n, dilation=2**n) for n in range(3))
        self.head = nn.Linear(16, 6)

    def forward(self, x):
        x = F.gelu(self.norm(self.front(x)))
        for layer in self.layers:
            x = x + F.glu(layer(x), 1)
        return F.log_softmax(self.head(x.mean(-1)), -1)


add("p_audio", Audio, lambda: [(r(2, 1, 400),), (r(1, 1, 1003),), (r(3, 1, 87),)], ({0: DYNAMIC, 2: DYNAMIC},))


class Spectrogram(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.register_buffer("mel", torch.rand(33, 10))

    def forward(self, x):
        s = torch.stft(x, 64, 16, window=self.window, return_complex=True)
        return torch.log(s.abs().pow(2).transpose(1, 2) @ self.mel + 1e-6)


add("p_spectrogram", Spectrogram, lambda: [(r(2, 320),), (r(1, 1000),)], ({0: DYNAMIC, 1: DYNAMIC},))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.group, self.instance, self.layer = nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.LayerNorm(8)
        self.rms = nn.RMSNorm(8)
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        x = F.silu(self.group(self.conv(x)))
        x = F.mish(self.instance(x)).flatten(2).transpose(1, 2)
        return F.softmax(self.out(self.rms(self.layer(x))), -1)


add("p_norms", Norms, lambda: [(r(2, 3, 11, 9),), (r(1, 3, 17, 32),)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))


class Graph(nn.Module):
    """Message passing: gather by edge, scatter-add by target, degree normalisation."""

    def __init__(self):
        super().__init__()
        self.w1, self.w2 = nn.Linear(6, 16), nn.Linear(16, 3)

    def propagate(self, x, edges):
        source, target = edges[0], edges[1]
        degree = torch.zeros(x.shape[0]).index_add(0, target, torch.ones(target.shape[0])).clamp(min=1)
        total = torch.zeros_like(x).index_add(0, target, x[source])
        return total / degree[:, None]

    def forward(self, x, edges):
        x = F.elu(self.w1(self.propagate(x, edges)))
        return self.w2(self.propagate(x, edges))


add(
    "p_graph",
    Graph,
    lambda: [(r(7, 6), torch.randint(0, 7, (2, 12))), (r(3, 6), torch.randint(0, 3, (2, 5)))],
    ({0: DYNAMIC}, {1: DYNAMIC}),
)


class Mixture(nn.Module):
    """Mixture of experts by dense gating, top-k routing."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.up, self.down = nn.Parameter(r(4, 8, 16) * 0.3), nn.Parameter(r(4, 16, 8) * 0.3)

    def forward(self, x):
        score, choice = self.gate(x).softmax(-1).topk(2)
        routed = torch.zeros(x.shape[0], 4).scatter(1, choice, score / score.sum(-1, keepdim=True))
        hidden = torch.einsum("nd,edh->neh", x, self.up).relu()
        return torch.einsum("neh,ehd,ne->nd", hidden, self.down, routed)


add("p_mixture", Mixture, lambda: [(r(5, 8),), (r(2, 8),)], ({0: DYNAMIC},))


class Half(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4)).to(dtype)

    def forward(self, x):
        return self.net(x)


add("p_half_bf16", lambda: Half(torch.bfloat16), lambda: [(r(3, 16).bfloat16(),)])
add("p_half_f16", lambda: Half(torch.float16), lambda: [(r(3, 16).half(),)])


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.net(x)
        return y.float() + 1


add("p_autocast", Autocast, lambda: [(r(3, 16),)])


class Detect(nn.Module):
    """Anchors, box decoding, sigmoid scores and a fixed top-k: a detector's head."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=4, padding=1)

    def forward(self, x):
        y = self.conv(x)
        h, w = y.shape[-2:]
        gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack([gx, gy], 0).float()
        centre = (y[:, :2].sigmoid() + grid) * 4
        size = y[:, 2:4].exp()
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1).flatten(2).transpose(1, 2)
        scores, index = y[:, 4].flatten(1).sigmoid().topk(5)
        return torch.gather(boxes, 1, index[..., None].expand(-1, -1, 4)), scores, index


add("p_detect", Detect, lambda: [(r(1, 3, 24, 32),), (r(2, 3, 40, 16),)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))


class Windows(nn.Module):
    """3×3 windows between many channels, padded and not, with odd numbers of channels and outputs, a residual behind."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Conv2d(3, 40, 1)
        self.same = nn.Conv2d(40, 33, 3, padding=1)
        self.valid = nn.Conv2d(33, 40, 3)
        self.wide = nn.Conv2d(40, 40, 3, padding=2, bias=False)

    def forward(self, x):
        x = self.lift(x)
        y = torch.relu(self.same(x))
        return torch.relu(self.wide(self.valid(y)) + x)


add("p_windows", Windows, lambda: [(r(1, 3, 13, 16),), (r(2, 3, 17, 15),), (r(3, 3, 4, 8),)], ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))


class Shapes(nn.Module):
    """Derived sizes: halves, products, concatenation with itself, symbolic results."""

    def forward(self, x):
        n = x.shape[0]
        pairs = x[: n // 2] + x[n - n // 2 :]
        wide = torch.cat([x, x.flip(0)], 0).reshape(2, n, -1).sum(0)
        return pairs, wide, x.new_ones(n, n).tril().cumsum(0), n * 2


add("p_shapes", Shapes, lambda: [(r(5, 3),), (r(8, 3),), (r(2, 3),)], ({0: DYNAMIC},))


class Ragged(nn.Module):
    """Data-dependent size: selects rows by a mask."""

    def forward(self, x, keep):
        chosen = x[keep]
        return chosen.sum(0), chosen * 2, keep.nonzero()


add("p_ragged", Ragged, lambda: [(r(6, 3), torch.tensor([1, 0, 1, 1, 0, 0]).bool()), (r(6, 3), torch.zeros(6).bool())])


class Scaled(nn.Module):
    """A dynamic integer input."""

    def forward(self, x, n: int):
        return x[:n] * n, x.repeat(n, 1)


add("p_int_input", Scaled, lambda: [(r(6, 3), 4), (r(6, 3), 2)], ({}, DYNAMIC))


class Waves(nn.Module):
    def forward(self, x):
        z = torch.fft.rfft(x)
        z = z * torch.exp(-0.1j * torch.arange(z.shape[-1]))
        return torch.fft.irfft(z, n=x.shape[-1]), z, torch.angle(z)


add("p_fft", Waves, lambda: [(r(2, 16),)])


class Sampler(nn.Module):
    """A spatial transformer: affine grid and bilinear sampling."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Linear(3, 6)

    def forward(self, x):
        theta = self.theta(x.mean((2, 3))).view(-1, 2, 3) * 0.3 + torch.tensor([[1.0, 0, 0], [0, 1, 0]])
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


add("p_sampler", Sampler, lambda: [(r(2, 3, 8, 9),), (r(1, 3, 8, 9),)], ({0: DYNAMIC},))
