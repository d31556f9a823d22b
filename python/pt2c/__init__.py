"""pt2c: PyTorch programs compiled ahead of time.

    import pt2c
    model = pt2c.compile(module, (example,))     # torch.export, then native code
    model(x)                                     # the module's own signature
    model.save("out/")                           # static and shared library, C header, interface

    model = pt2c.load("out/")                    # needs neither PyTorch nor a compiler
"""

from ._compile import compile, load, load_library
from ._errors import (
    ArgumentError,
    CapacityError,
    CommandNotFoundError,
    CompileError,
    CpuError,
    DataError,
    Diagnostic,
    Error,
    LinkError,
    OutOfMemoryError,
    RunError,
    StateError,
    ThreadError,
    WeightsError,
)
from ._model import Model

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "CapacityError",
    "CommandNotFoundError",
    "CompileError",
    "CpuError",
    "DataError",
    "Diagnostic",
    "Error",
    "LinkError",
    "Model",
    "OutOfMemoryError",
    "RunError",
    "StateError",
    "ThreadError",
    "WeightsError",
    "compile",
    "load",
    "load_library",
]
