"""Runs one ATen overload on given arguments and keeps what PyTorch computed, with a tolerance from an f64 run.

The file format and the tolerance rule are described in README.md.
"""

import hashlib
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPE_NAMES = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.uint8: "u8",
    torch.bool: "bool",
    torch.complex64: "c64",
    torch.complex128: "c128",
    torch.float8_e4m3fn: "f8e4m3fn",
    torch.float8_e5m2: "f8e5m2",
}
WIDER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
# rtol: what two correct implementations may differ by through rounding alone (a few units in the last place);
# for f64 there is no wider reference, so the bound is looser and fixed.
RTOL = {
    torch.float32: 16 * 2**-23,
    torch.complex64: 16 * 2**-23,
    torch.float16: 2 * 2**-10,
    torch.bfloat16: 2 * 2**-7,
    torch.float64: 1e-10,
    torch.complex128: 1e-10,
}
EPS = {
    torch.float32: 2**-23,
    torch.complex64: 2**-23,
    torch.float16: 2**-10,
    torch.bfloat16: 2**-7,
    torch.float64: 2**-52,
    torch.complex128: 2**-52,
}


def overload(name: str):
    """The OpOverload of a dotted name such as `aten.add.Tensor`."""
    namespace, op, variant = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), op), variant)


def op_name(op) -> str:
    """`aten.add.Tensor` for an OpOverload."""
    namespace, rest = op.name().split("::")
    base, _, variant = rest.partition(".")
    return f"{namespace}.{base}.{variant or 'default'}"


def map_tensors(value, function):
    """`value` with `function` applied to each tensor leaf (and to dtypes, so that the f64 run widens them too)."""
    if isinstance(value, (torch.Tensor, torch.dtype)):
        return function(value)
    if isinstance(value, (list, tuple)):
        return [map_tensors(v, function) for v in value]
    return value


def tensor_leaves(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensor_leaves(v)]
    return []


def bind(schema, args, kwargs) -> dict:
    """Every argument of the schema by name, defaults filled in, in schema order."""
    bound = {}
    for position, argument in enumerate(schema.arguments):
        if position < len(args) and not argument.kwarg_only:
            bound[argument.name] = args[position]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
        elif str(argument.type).startswith("Optional"):
            bound[argument.name] = None
        else:
            raise TypeError(f"{schema.name}: argument {argument.name} is missing")
    return bound


def call(op, bound: dict):
    positional = []
    keyword = {}
    for argument in op._schema.arguments:
        value = bound[argument.name]
        if argument.kwarg_only:
            keyword[argument.name] = value
        else:
            positional.append(value)
    return op(*positional, **keyword)


def widen(value):
    if isinstance(value, torch.dtype):
        return WIDER.get(value, value)
    return value.to(WIDER[value.dtype]) if value.dtype in WIDER else value.clone()


def copy(value):
    return value if isinstance(value, torch.dtype) else value.clone()


class Recorder:
    """Collects the samples of one family and writes FAMILY.json and FAMILY.safetensors."""

    def __init__(self, family: str):
        self.family = family
        self.samples = []
        self.tensors = {}
        self.by_content = {}
        self.seen = set()
        self.refused = []

    def __call__(self, name: str, *args, random: bool = False, tolerance: float = 4.0, only=None, **kwargs):
        """Records `name(*args, **kwargs)`. `random`: only dtype and shape are compared (RNG, uninitialised memory).

        `tolerance` multiplies PyTorch's own error against f64 (ill-conditioned routines need more). `only` lists the
        outputs that are compared, for operators that also return what only PyTorch's own kernels can use.
        """
        op = overload(name)
        assert not op._schema.is_mutable, f"{name} mutates an argument: record the functional form"
        bound = bind(op._schema, args, kwargs)
        try:
            self.record(op, bound, random, tolerance, only)
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AssertionError) as error:
            # PyTorch refuses the combination (a dtype without a CPU kernel, say): nothing to compare with.
            self.refused.append(f"{name}: {str(error).splitlines()[0]}")

    def record(self, op, bound: dict, random: bool = False, tolerance: float = 4.0, only=None) -> None:
        with torch.no_grad():
            result = call(op, {k: map_tensors(v, copy) for k, v in bound.items()})
        outputs = tensor_leaves(result)
        if not outputs:
            return
        rtol, atol = (0.0, 0.0) if random else tolerances(op, bound, outputs, tolerance)
        sample = {
            "op": op_name(op),
            "args": {k: self.encode(v) for k, v in bound.items()},
            "outputs": [self.store(t) if only is None or n in only else None for n, t in enumerate(outputs)],
            "rtol": rtol,
            "atol": atol,
        }
        if random:
            sample["random"] = True
        line = json.dumps(sample, separators=(",", ":"))
        if line not in self.seen:
            self.seen.add(line)
            self.samples.append(line)

    def encode(self, value):
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, torch.Tensor):
            return self.reference(value)
        if isinstance(value, (list, tuple)):
            return [self.encode(v) for v in value]
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, torch.dtype):
            return {"dtype": DTYPE_NAMES[value]}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if isinstance(value, torch.layout):
            return {"layout": str(value).removeprefix("torch.")}
        if isinstance(value, torch.memory_format):
            return {"memory_format": str(value).removeprefix("torch.")}
        raise TypeError(f"cannot record {type(value)}")

    def reference(self, tensor: torch.Tensor) -> dict:
        key = self.store(tensor)
        return {"tensor": key, "complex": True} if tensor.is_complex() else {"tensor": key}

    def store(self, tensor: torch.Tensor) -> str:
        """The key under which the tensor lies in the file; equal tensors are stored once. Complex: `c` prefix."""
        assert tensor.dtype in DTYPE_NAMES, tensor.dtype
        complex_ = tensor.is_complex()
        plain = tensor.detach()
        if complex_:
            plain = torch.view_as_real(plain.resolve_conj().resolve_neg())
        plain = plain.resolve_neg().contiguous().clone()
        raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        identity = (str(tensor.dtype), tuple(plain.shape), hashlib.sha256(raw).digest())
        if identity not in self.by_content:
            key = f"{'c' if complex_ else 't'}{len(self.by_content)}"
            self.by_content[identity] = key
            self.tensors[key] = plain
        return self.by_content[identity]

    def write(self, folder: Path) -> None:
        text = "[\n" + ",\n".join(self.samples) + "\n]\n"
        (folder / f"{self.family}.json").write_text(text)
        archive = folder / f"{self.family}.safetensors"
        save_file(self.tensors, archive)
        archive.chmod(0o644)


# Operators whose PyTorch kernels overflow inside, in half precision, where the result does not.
OVERFLOWS = {"aten::matrix_exp", "aten::linalg_matrix_exp"}


def tolerances(op, bound: dict, outputs: list[torch.Tensor], factor: float) -> tuple[float, float]:
    """(rtol, atol) by the rule in README.md; (0, 0) where every output is integer or bool."""
    floating = [t for t in outputs if t.dtype in RTOL]
    if not floating:
        return 0.0, 0.0
    rtol = max(RTOL[t.dtype] for t in floating)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            reference = tensor_leaves(call(op, {k: map_tensors(v, widen) for k, v in bound.items()}))
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AssertionError):
        reference = outputs
    finally:
        torch.set_default_dtype(torch.float32)
    atol = 0.0
    for got, wide in zip(outputs, reference):
        if got.dtype not in RTOL or got.numel() == 0 or got.shape != wide.shape:
            continue
        kind = torch.complex128 if got.is_complex() else torch.float64
        got64, wide64 = got.to(kind), wide.to(kind)
        fits = wide64.abs() < torch.finfo(got.dtype).max / 2
        if op.name() in OVERFLOWS and (fits & ~torch.isfinite(got64)).any():
            raise ValueError("PyTorch overflows on the way to a result that its dtype holds")
        finite = torch.isfinite(got64) & torch.isfinite(wide64)
        if not finite.any():
            continue
        error = (got64 - wide64)[finite].abs()
        if torch.Tag.pointwise in op.tags:
            # No sums: relative error holds at every element, unless PyTorch itself does not reach it.
            error = error[error > rtol / 4 * wide64[finite].abs()]
            atol = max([atol, *(factor * e for e in error.tolist())])
        else:
            scale = got64[finite].abs().max().item()
            atol = max(atol, factor * error.max().item(), 2 * EPS[got.dtype] * scale)
    return float(f"{rtol:.2e}"), float(f"{atol:.2e}")
