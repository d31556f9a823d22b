"""NumPy arrays and PyTorch tensors as plain memory. Neither library is imported unless it is there or needed."""

from __future__ import annotations

import math
import sys
from typing import Any

from ._errors import ArgumentError, Error

# Types that NumPy has only with the ml_dtypes package; without it their bits are shown as integers of that size.
EXTENSIONS = {
    "bfloat16": ("bfloat16", "uint16"),
    "float8_e4m3fn": ("float8_e4m3fn", "uint8"),
    "float8_e5m2": ("float8_e5m2", "uint8"),
}


class Numpy:
    """NumPy arrays."""

    name = "numpy"

    def __init__(self) -> None:
        try:
            import numpy
        except ImportError:
            raise Error("arrays need NumPy (or pass PyTorch tensors): pip install numpy") from None
        self.np = numpy
        self.types: dict[str, Any] = {}

    def type_of(self, dtype: str) -> Any:
        if dtype not in self.types:
            self.types[dtype] = self._find(dtype)
        return self.types[dtype]

    def _find(self, dtype: str) -> Any:
        if dtype not in EXTENSIONS:
            return self.np.dtype(dtype)
        name, bits = EXTENSIONS[dtype]
        try:
            import ml_dtypes
        except ImportError:
            return self.np.dtype(bits)
        return self.np.dtype(getattr(ml_dtypes, name))

    def fits(self, value: Any, dtype: str) -> bool:
        return value.dtype == self.type_of(dtype)

    def dtype(self, value: Any) -> str:
        return str(value.dtype)

    def shape(self, value: Any) -> tuple[int, ...]:
        return tuple(value.shape)

    def prepare(self, value: Any) -> Any:
        """The same values, dense and aligned, in this machine's byte order."""
        return self.np.require(value, requirements=["C", "A"])

    def address(self, value: Any) -> int:
        return value.ctypes.data

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self.np.empty(shape, self.type_of(dtype))

    def head(self, value: Any, shape: tuple[int, ...]) -> Any:
        """The first elements of a flat array as an array of this shape, without keeping the rest alive."""
        count = math.prod(shape)
        return (value if count == value.size else value[:count].copy()).reshape(shape)

    def view(self, memory: Any, shape: tuple[int, ...], dtype: str) -> Any:
        """An array over this memory."""
        return self.np.frombuffer(memory, self.type_of(dtype)).reshape(shape)

    def assign(self, target: Any, value: Any) -> None:
        target[...] = value

    def writable(self, value: Any) -> bool:
        return bool(value.flags.writeable)


class Torch:
    """PyTorch tensors on the CPU."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def fits(self, value: Any, dtype: str) -> bool:
        return value.dtype == getattr(self.torch, dtype, None)

    def dtype(self, value: Any) -> str:
        return str(value.dtype).removeprefix("torch.")

    def shape(self, value: Any) -> tuple[int, ...]:
        return tuple(value.shape)

    def prepare(self, value: Any) -> Any:
        if value.device.type != "cpu":
            raise ArgumentError(f"the tensor is on {value.device}; compiled code runs on the CPU: pass tensor.cpu()")
        return value.detach().contiguous().resolve_conj().resolve_neg()

    def address(self, value: Any) -> int:
        return value.data_ptr()

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self.torch.empty(shape, dtype=getattr(self.torch, dtype))

    def head(self, value: Any, shape: tuple[int, ...]) -> Any:
        count = math.prod(shape)
        return (value if count == value.numel() else value[:count].clone()).reshape(shape)

    def view(self, memory: Any, shape: tuple[int, ...], dtype: str) -> Any:
        return self.torch.frombuffer(memory, dtype=getattr(self.torch, dtype)).reshape(shape)

    def assign(self, target: Any, value: Any) -> None:
        with self.torch.no_grad():
            target.copy_(value)

    def writable(self, value: Any) -> bool:
        return True


_known: dict[str, Any] = {}


def framework(name: str) -> Any:
    """``numpy`` or ``torch``."""
    if name not in _known:
        _known[name] = Numpy() if name == "numpy" else Torch()
    return _known[name]


def of_value(value: Any) -> Any:
    """The library that a value belongs to; ``None`` for what is no tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return framework("torch")
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return framework("numpy")
    return None
