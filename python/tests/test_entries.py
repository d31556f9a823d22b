"""Several programs in one library: one copy of equal weights, and shared state."""

import pytest

torch = pytest.importorskip("torch")
import pt2c  # noqa: E402
from torch import nn  # noqa: E402


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.decoder = nn.Linear(64, 3)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def test_submodules_as_entries(tmp_path):
    torch.manual_seed(0)
    module = Pair().eval()
    kept = ("encoder", "decoder")
    names = ["all=", "encoder", "head=decoder"]
    models = pt2c.compile(
        module, (torch.randn(1, 64),), preserve_module_call_signature=kept, entry=names, output=tmp_path, name="pair"
    )
    assert list(models) == ["all", "encoder", "head"]
    x = torch.randn(1, 64)
    with torch.no_grad():
        close(models["head"](models["encoder"](x)), module(x))
        close(models["all"](x), module(x))
    # 64 * 64 floats are there once, not twice.
    assert (tmp_path / "libpair.a").stat().st_size < (tmp_path / "libpair.so").stat().st_size + 200_000
    alone = pt2c.compile(module, (torch.randn(1, 64),), weights="file", output=tmp_path / "alone", name="alone")
    together = pt2c.compile(
        module, (torch.randn(1, 64),), preserve_module_call_signature=kept, entry=names, weights="file", output=tmp_path / "w"
    )
    weights = (tmp_path / "w" / "model.weights").stat().st_size
    assert weights < 1.1 * (tmp_path / "alone" / "alone.weights").stat().st_size
    close(together["head"](together["encoder"](x)), alone(x))
    with pytest.raises(pt2c.Error, match="all, encoder, head"):
        pt2c.load(tmp_path / "w")
    close(pt2c.load(tmp_path / "w", entry="head")(models["encoder"](x)), alone(x))


class Cache(nn.Module):
    """Two ways to call one cache: one fills it, one only reads it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(4, 2))

    def forward(self, x, position):
        self.cache.index_copy_(0, position, x)
        return self.cache.sum(0)


class Read(nn.Module):
    def __init__(self, cache):
        super().__init__()
        self.register_buffer("cache", cache)

    def forward(self, scale):
        return self.cache * scale


def test_shared_state(tmp_path):
    module = Cache()
    fill = torch.export.export(module, (torch.ones(2, 2), torch.arange(2)))
    step = torch.export.export(module, (torch.ones(1, 2), torch.tensor([2])))
    read = torch.export.export(Read(module.cache), (torch.ones(()),))
    models = pt2c.compile({"fill": fill, "step": step, "read": read}, output=tmp_path)
    fill, step, read = models["fill"], models["step"], models["read"]
    fill(torch.ones(2, 2), torch.arange(2))
    assert step(torch.ones(1, 2), torch.tensor([2])).tolist() == [1, 1], "not shared yet"
    step.share_state(fill)
    read.share_state(fill)
    assert step(torch.full((1, 2), 5.0), torch.tensor([2])).tolist() == [7, 7]
    assert read(torch.tensor(2.0))[:, 0].tolist() == [2, 2, 10, 0]
    fill.reset()
    assert read(torch.tensor(2.0)).abs().sum() == 0
    header = (tmp_path / "model.h").read_text()
    assert "model_step_share_state_of_fill" in header and "model_read_share_state_of_step" in header
    other = pt2c.load(tmp_path, entry="step")
    with pytest.raises(pt2c.StateError):
        other.share_state(fill)


def test_wrong_entries():
    module = Pair().eval()
    with pytest.raises(pt2c.CompileError, match="nothing"):
        pt2c.compile(module, (torch.randn(1, 64),), entry=["nothing"])
    program = torch.export.export(module, (torch.randn(1, 64),))
    with pytest.raises(pt2c.CompileError, match="out of one file"):
        pt2c.compile({"a": program, "b": program}, entry="encoder")
