"""Modules compiled and called as their owners would, against PyTorch's own results."""

import collections
import copy
import inspect
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import pt2c  # noqa: E402
from torch import nn  # noqa: E402
from torch.export import Dim  # noqa: E402


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


class Nested(nn.Module):
    """Nested inputs and outputs, an argument by keyword, an integer and constants among the outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x, options, *, scale=2.0):
        y = self.linear(x) * scale
        return {"y": y, "parts": [y[:, :2], (options["a"] + 1,)], "rows": 2 * x.shape[0], "fixed": 3, "none": None}


@pytest.fixture(scope="module")
def nested():
    torch.manual_seed(0)
    module = Nested().eval()
    rows = Dim("rows", min=2, max=64)
    example = (torch.randn(3, 8), {"a": torch.ones(2)})
    shapes = {"x": {0: rows}, "options": {"a": None}, "scale": None}
    return module, pt2c.compile(module, example, {"scale": 2.0}, dynamic_shapes=shapes)


def test_nested_values_of_several_sizes(nested):
    module, model = nested
    for rows in (2, 5, 64):
        x, options = torch.randn(rows, 8), {"a": torch.randn(2)}
        with torch.no_grad():
            expected = module(x, options)
        got = model(x, options)
        assert list(got) == list(expected) and isinstance(got["parts"][1], tuple)
        close(got["y"], expected["y"])
        close(got["parts"][0], expected["parts"][0])
        close(got["parts"][1][0], expected["parts"][1][0])
        assert (got["rows"], got["fixed"], got["none"]) == (2 * rows, 3, None)
        close(model(options=options, x=x, scale=2.0)["y"], expected["y"])


def test_arrays_give_arrays(nested):
    module, model = nested
    x = np.random.default_rng(0).standard_normal((4, 8), dtype=np.float32)
    got = model(x, {"a": np.zeros(2, np.float32)})["y"]
    assert isinstance(got, np.ndarray)
    with torch.no_grad():
        close(torch.from_numpy(got), module(torch.from_numpy(x), {"a": torch.zeros(2)})["y"])


def test_a_transposed_tensor_is_a_tensor(nested):
    module, model = nested
    x = torch.randn(8, 5).T
    assert not x.is_contiguous()
    with torch.no_grad():
        close(model(x, {"a": torch.ones(2)})["y"], module(x, {"a": torch.ones(2)})["y"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda x, o: ((x.double(), o), {}), "must be float32"),
        (lambda x, o: ((x[0], o), {}), "not float32 [8]"),
        (lambda x, o: ((torch.randn(65, 8), o), {}), "dimension 0 is 65, but must be at most 64"),
        (lambda x, o: ((torch.randn(3, 9), o), {}), "dimension 1 is 9, but must be 8"),
        (lambda x, o: ((x,), {}), "argument 'options' is missing"),
        (lambda x, o: ((x, {"b": 1}), {}), "lacks ['a']"),
        (lambda x, o: ((x, [1]), {}), "must be a dict"),
        (lambda x, o: ((x, o, 3.0), {}), "exported with the fixed value 2.0"),
        (lambda x, o: ((x, {"a": [1.0, 2.0]}), {}), "make it a NumPy array or a tensor"),
        (lambda x, o: ((x, o), {"x": x}), "given twice"),
        (lambda x, o: ((x, o), {"other": x}), "there is no argument 'other'"),
        (lambda x, o: ((x, o, 2.0, 4), {}), "4 arguments are given"),
    ],
)
def test_wrong_arguments(nested, arguments, said):
    _, model = nested
    args, kwargs = arguments(torch.randn(3, 8), {"a": torch.ones(2)})
    with pytest.raises(pt2c.ArgumentError) as caught:
        model(*args, **kwargs)
    assert said in str(caught.value) and isinstance(caught.value, ValueError)


def test_what_it_tells_of_itself(nested):
    _, model = nested
    assert str(inspect.signature(model)) == "(x, options, scale)"
    assert model.inputs[0].startswith("x: float32 [") and "model" in repr(model)
    assert model.library.is_file() and "model_run" in model.header.read_text()


def test_saved_and_loaded(nested, tmp_path):
    _, model = nested
    x, options = torch.randn(3, 8), {"a": torch.ones(2)}
    expected = model(x, options)["y"]
    model.save(tmp_path / "saved")
    for place in ("saved", "saved/model.json", "saved/libmodel.so"):
        again = pt2c.load(tmp_path / place)
        assert torch.equal(again(x, options)["y"], expected)
    with pytest.raises(FileNotFoundError):
        pt2c.load(tmp_path / "nothing")
    with pytest.raises(pt2c.Error):
        pt2c.load(tmp_path)


class Counter(nn.Module):
    """State: a counter and the statistics of a batch norm in training."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls.add_(1)
        return self.norm(x), self.calls.clone()


def test_state():
    torch.manual_seed(1)
    module = Counter().train()
    model = pt2c.compile(module, (torch.randn(5, 4),))
    fresh = {name: value.clone() for name, value in module.state_dict().items()}
    assert set(model.state) >= {"calls", "norm.running_mean", "norm.running_var"}
    for _ in range(3):
        x = torch.randn(5, 4)
        with torch.no_grad():
            expected = module(x)
        got = model(x)
        close(got[0], expected[0])
        assert got[1].item() == expected[1].item()
    for name in model.state:
        close(model.state[name], module.state_dict()[name])
    other = model.clone()
    model.reset()
    assert model.state["calls"].item() == 0 and other.state["calls"].item() == 3
    close(model.state["norm.running_var"], fresh["norm.running_var"])
    model.state["calls"] = torch.tensor(41)
    assert model(torch.randn(5, 4))[1].item() == 42
    with pytest.raises(pt2c.StateError, match="calls.*must be int64"):
        model.state["calls"] = torch.zeros(2)
    with pytest.raises(KeyError):
        model.state["norm.weight"]


class Cache(nn.Module):
    """A cache that the caller owns and the call writes to."""

    def forward(self, cache, x, position):
        cache.index_copy_(0, position, x)
        return cache.sum(0)


def test_inputs_that_the_call_changes():
    model = pt2c.compile(Cache(), (torch.zeros(6, 3), torch.ones(1, 3), torch.tensor([2])))
    cache = torch.zeros(6, 3)
    for position in range(4):
        got = model(cache, torch.full((1, 3), float(position)), torch.tensor([position]))
    assert cache[:, 0].tolist() == [0, 1, 2, 3, 0, 0]
    assert got.tolist() == [6, 6, 6]
    columns = torch.zeros(3, 6).T
    model(columns, torch.ones(1, 3), torch.tensor([5]))
    assert columns[5].tolist() == [1, 1, 1]
    frozen = np.zeros((6, 3), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(pt2c.ArgumentError, match="read-only"):
        model(frozen, np.ones((1, 3), np.float32), np.array([0]))


class Numbers(nn.Module):
    """A number out of the data, and a size that only the data tell."""

    def forward(self, x, n: int):
        return x[x > 0], x.sum().item(), n * 2


def test_numbers_and_sizes_from_the_data():
    model = pt2c.compile(Numbers(), (torch.randn(10), 7), dynamic_shapes=({0: Dim.DYNAMIC}, Dim.DYNAMIC))
    for rows in (3, 100):
        x = torch.randn(rows)
        positive, total, doubled = model(x, 5)
        assert torch.equal(positive, x[x > 0])
        assert isinstance(total, float) and abs(total - x.sum().item()) < 1e-4
        assert doubled == 10
    with pytest.raises(pt2c.ArgumentError, match="must be an integer"):
        model(x, 2.5)


Pair = collections.namedtuple("Pair", ["first", "second"])


def test_registered_classes_come_back():
    name = "pt2c_test.Pair"
    torch.utils._pytree._register_namedtuple(Pair, serialized_type_name=name)

    class Swap(nn.Module):
        def forward(self, pair):
            return Pair(pair.second, pair.first * 2)

    model = pt2c.compile(Swap(), (Pair(torch.ones(2), torch.zeros(3)),))
    got = model(Pair(torch.ones(2), torch.zeros(3)))
    assert isinstance(got, Pair) and got.first.shape == (3,) and got.second.tolist() == [2, 2]


def test_half_precision():
    class Half(nn.Module):
        def forward(self, x):
            return x * 2

    model = pt2c.compile(Half(), (torch.ones(4, dtype=torch.bfloat16),))
    got = model(torch.full((4,), 1.5, dtype=torch.bfloat16))
    assert got.dtype == torch.bfloat16 and got.tolist() == [3, 3, 3, 3]


def test_an_index_out_of_range_is_a_data_error():
    model = pt2c.compile(nn.Embedding(4, 2), (torch.tensor([1]),))
    with pytest.raises(pt2c.DataError):
        model(torch.tensor([4]))


def test_errors_of_compiling_show_the_line():
    class Unsupported(nn.Module):
        def forward(self, x):
            return torch.sparse.mm(x.to_sparse(), x)

    with pytest.raises(pt2c.CompileError) as caught:
        pt2c.compile(Unsupported(), (torch.randn(3, 3),))
    assert "x.to_sparse()" in str(caught.value) and "test_modules.py" in str(caught.value)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.severity == "error" and diagnostic.line and diagnostic.file.endswith("test_modules.py")


def test_wrong_use(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match="tuple of example inputs"):
        pt2c.compile(nn.Linear(2, 2), torch.randn(1, 2))
    with pytest.raises(TypeError, match="cannot compile a function"):
        pt2c.compile(lambda x: x, (torch.randn(1),))
    with pytest.raises(FileNotFoundError):
        pt2c.compile(tmp_path / "none.pt2")
    with pytest.raises(pt2c.CompileError):
        (tmp_path / "bad.pt2").write_bytes(b"no archive")
        pt2c.compile(tmp_path / "bad.pt2")
    monkeypatch.setenv("PT2C", "no-such-command")
    with pytest.raises(pt2c.CommandNotFoundError):
        pt2c.compile(nn.Linear(2, 2), (torch.randn(1, 2),))


def test_an_exported_program_and_a_file_of_weights(tmp_path):
    torch.manual_seed(2)
    module = nn.Linear(3, 2).eval()
    program = torch.export.export(module, (torch.randn(1, 3),))
    model = pt2c.compile(program, weights="file", name="linear", output=tmp_path, cpu="x86-64-v3", threads=1)
    assert (tmp_path / "linear.weights").is_file()
    x = torch.randn(1, 3)
    with torch.no_grad():
        close(model(x), module(x))
    model.save(tmp_path / "copy")
    assert torch.equal(pt2c.load(tmp_path / "copy")(x), model(x))


def test_files_that_are_in_use_are_replaced(tmp_path):
    """Saving where a model was loaded from, and compiling into the same folder again, leave that model as it is."""
    example = (torch.ones(1, 3),)
    first = pt2c.compile(nn.Linear(3, 2).eval(), example, weights="file", name="linear")
    expected = first(*example)
    first.save(tmp_path)
    loaded = pt2c.load(tmp_path)
    first.save(tmp_path)
    torch.testing.assert_close(loaded(*example), expected)

    again = pt2c.compile(nn.Linear(3, 4).eval(), example, weights="file", name="linear", output=tmp_path)
    assert again(*example).shape == (1, 4)
    torch.testing.assert_close(loaded(*example), expected)
    assert not list(tmp_path.glob(".*"))

    # The static library alone is new, as after `pt2c compile -o` in a terminal: the shared one is made anew.
    first.save(tmp_path)
    (tmp_path / "liblinear.a").touch()
    inode = (tmp_path / "liblinear.so").stat().st_ino
    torch.testing.assert_close(pt2c.load(tmp_path)(*example), expected)
    assert (tmp_path / "liblinear.so").stat().st_ino != inode


def test_copies():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(2))

        def forward(self, x):
            self.n.add_(x)
            return self.n.clone()

    one = pt2c.compile(Counter(), (torch.ones(2),))
    one(torch.ones(2))
    other = copy.deepcopy(one)
    assert other(torch.ones(2)).tolist() == [2, 2] and one(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(TypeError, match="save"):
        pickle.dumps(one)


def test_a_forked_process_can_call(tmp_path):
    # A process of its own, in which nothing but the model has threads.
    torch.export.save(torch.export.export(nn.Linear(64, 4096).eval(), (torch.ones(64, 64),)), tmp_path / "linear.pt2")
    code = """
        import os, signal, sys
        import numpy as np, pt2c
        model = pt2c.load(sys.argv[1], threads=2)
        x = np.ones((64, 64), np.float32)
        expected = model(x)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            same = np.array_equal(model(x), expected) and np.array_equal(model.clone()(x), expected)
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0 and np.array_equal(model(x), expected)
    """
    path = str(tmp_path / "linear.pt2")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_submodule_as_the_entry():
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    model = pt2c.compile(module, (torch.randn(1, 4),), preserve_module_call_signature=("1",), entry="1")
    x = torch.randn(1, 4)
    with torch.no_grad():
        close(model(x), module[1](x))
