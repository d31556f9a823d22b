"""The programs that speed is measured on (`make bench-peers`), full size, named `bench_…`."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo import DYNAMIC, add, ids

r = torch.randn


def program(name, build, samples, dynamic=None):
    add(f"bench_{name}", build, samples, dynamic, large=True)


class First(nn.Module):
    """A transformers model that returns its first output."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *args):
        return self.model(**dict(zip(self.names, args)), return_dict=False)[0]


def transformer(class_name, config_name, names, **config):
    def build():
        import transformers

        model = getattr(transformers, class_name)(getattr(transformers, config_name)(**config))
        return First(model, names)

    return build


class Decode(nn.Module):
    """One step of GPT-2 with a functional cache: keys and values of all layers in, one position longer out."""

    def __init__(self):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.lm = GPT2LMHeadModel(GPT2Config())

    def forward(self, token, position, past_keys, past_values):
        t = self.lm.transformer
        h = t.wte(token) + t.wpe(position)
        keys, values = [], []
        for i, block in enumerate(t.h):
            heads = lambda z: z.view(1, 1, 12, 64).transpose(1, 2)
            q, k, v = block.attn.c_attn(block.ln_1(h)).split(768, dim=2)
            k, v = torch.cat([past_keys[i], heads(k)], 2), torch.cat([past_values[i], heads(v)], 2)
            keys.append(k)
            values.append(v)
            a = F.scaled_dot_product_attention(heads(q), k, v)
            h = h + block.attn.c_proj(a.transpose(1, 2).reshape(1, 1, 768))
            h = h + block.mlp(block.ln_2(h))
        return self.lm.lm_head(t.ln_f(h)), torch.stack(keys), torch.stack(values)


class LlamaBlock(nn.Module):
    """RMSNorm, rotary positions, grouped-query causal attention, SwiGLU: one layer of a Llama-like model."""

    def __init__(self, width=1024, heads=16, shared=4, hidden=2816):
        super().__init__()
        self.heads, self.shared, self.depth = heads, shared, width // heads
        linear = lambda a, b: nn.Linear(a, b, bias=False)
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q, self.k, self.v = linear(width, width), linear(width, shared * self.depth), linear(width, shared * self.depth)
        self.o = linear(width, width)
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)

    def rotate(self, x):
        t = torch.arange(x.shape[2], dtype=torch.float32)
        angle = torch.outer(t, 10000 ** (-torch.arange(0, self.depth, 2, dtype=torch.float32) / self.depth))
        cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    def forward(self, x):
        b, t, width = x.shape
        split = lambda y, n: y.view(b, t, n, self.depth).transpose(1, 2)
        h = self.before(x)
        q, k, v = self.rotate(split(self.q(h), self.heads)), self.rotate(split(self.k(h), self.shared)), split(self.v(h), self.shared)
        repeat = self.heads // self.shared
        a = F.scaled_dot_product_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, width))
        h = self.between(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.out = nn.LSTM(128, 256, 2, batch_first=True), nn.Linear(256, 64)

    def forward(self, x):
        return self.out(self.layers(x)[0])


class Audio(nn.Module):
    """A strided feature extractor and dilated residual 1-D convolutions over a second of audio."""

    def __init__(self):
        super().__init__()
        c, k, s = [1, 128, 128, 256, 256], [10, 3, 3, 2], [5, 2, 2, 2]
        self.extract = nn.ModuleList(nn.Conv1d(c[i], c[i + 1], k[i], s[i]) for i in range(4))
        self.norm = nn.GroupNorm(128, 128)
        self.residual = nn.ModuleList(nn.Conv1d(256, 256, 3, padding=2**i, dilation=2**i) for i in range(4))
        self.out = nn.Conv1d(256, 80, 1)

    def forward(self, x):
        for i, layer in enumerate(self.extract):
            x = layer(x)
            x = F.gelu(self.norm(x) if i == 0 else x)
        for layer in self.residual:
            x = x + F.relu(layer(x))
        return self.out(x)


def vision(name):
    def build():
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    program(name, build, lambda: [(r(1, 3, 224, 224),), (r(3, 3, 224, 224),)], ({0: DYNAMIC},))


program("mlp", lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)), lambda: [(r(1, 784),), (r(3, 784),)], ({0: DYNAMIC},))
for architecture in ("mobilenet_v2", "resnet50", "vit_b_16", "convnext_tiny", "swin_t", "efficientnet_b0"):
    vision(architecture)

TEXT = lambda *shape: (ids(30000, *shape), torch.ones(shape, dtype=torch.int64))
SEQUENCE = ({0: DYNAMIC, 1: DYNAMIC},)
program("bert_base", transformer("BertModel", "BertConfig", ["input_ids", "attention_mask"], vocab_size=30522), lambda: [TEXT(1, 128), TEXT(2, 37)], (SEQUENCE * 2,))
program("distilbert", transformer("DistilBertModel", "DistilBertConfig", ["input_ids", "attention_mask"]), lambda: [TEXT(1, 128)])
program("gpt2", transformer("GPT2LMHeadModel", "GPT2Config", ["input_ids"], use_cache=False), lambda: [(ids(50000, 1, 64),), (ids(50000, 2, 37),)], (SEQUENCE,))
cache = lambda n: r(12, 1, 12, n, 64)
program("gpt2_decode", Decode, lambda: [(ids(50000, 1, 1), torch.tensor([[64]]), cache(64), cache(64))])
program("llama_s16", LlamaBlock, lambda: [(r(1, 16, 1024),)])
program("llama_s128", LlamaBlock, lambda: [(r(1, 128, 1024),), (r(2, 37, 1024),)], SEQUENCE)
program("llama_s512", LlamaBlock, lambda: [(r(1, 512, 1024),)])
program("lstm", Lstm, lambda: [(r(1, 100, 128),), (r(2, 100, 128),)], ({0: DYNAMIC},))
program("audio", Audio, lambda: [(r(1, 1, 16000),)])
