"""Seeded sample tensors, short to write in the case files."""

import torch


_generator = torch.Generator().manual_seed(20250101)
inf, nan = float("inf"), float("nan")
f64, f32, f16, bf16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
i64, i32, i16, i8, u8, bool_ = torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool
c64 = torch.complex64
FLOATS = (f32, f64, f16, bf16)


def seed(number: int) -> None:
    """Restarts the generator: each family does so, hence a change in one leaves the others' files alone."""
    _generator.manual_seed(number)
    torch.manual_seed(number)


def f(*shape, dtype=f32):
    """Normal values."""
    return torch.randn(shape, generator=_generator, dtype=f32).to(dtype)


def pos(*shape, dtype=f32, low=0.1, high=3.0):
    """Uniform in [low, high)."""
    return (torch.rand(shape, generator=_generator, dtype=f32) * (high - low) + low).to(dtype)


def unit(*shape, dtype=f32):
    """Uniform in (-1, 1)."""
    return pos(*shape, dtype=dtype, low=-0.99, high=0.99)


def i(*shape, low=-9, high=10, dtype=i64):
    """Integers in [low, high)."""
    return torch.randint(low, high, shape, generator=_generator).to(dtype)


def nz(*shape, dtype=i64):
    """Nonzero integers of either sign."""
    values = i(*shape, low=1, high=9)
    return torch.where(b(*shape), values, -values).to(dtype)


def b(*shape):
    return torch.randint(0, 2, shape, generator=_generator).to(torch.bool)


def c(*shape):
    return torch.complex(f(*shape), f(*shape))


def t(values, dtype=f32):
    """A literal tensor."""
    return torch.tensor(values, dtype=dtype)


def special(dtype=f32):
    """NaN, infinities, signed zeros and ordinary values."""
    return torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, inf, -inf, nan, 3.0, -7.25], dtype=dtype)
