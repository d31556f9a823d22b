"""A compiled library through ctypes: the functions of its header, with arrays of 8-byte words for its structs."""

from __future__ import annotations

import ctypes
import json
import shutil
import tempfile
import weakref
from pathlib import Path

from ._errors import CapacityError, Error, of_status

FORMAT = 1
ABI = 2
"""Versions that this package understands: of NAME.json, and of the functions."""


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint64),
        ("threads", ctypes.c_int32),
        ("no_grow", ctypes.c_int32),
        ("verify_weights", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("weights_file", ctypes.c_char_p),
    ]


_opened: dict[str, tuple[int, int]] = {}
"""The file that was found at each path when it was opened first."""


def _open(path: Path) -> ctypes.CDLL:
    """Loads a shared library, also if another one was loaded from this path before: the dynamic loader knows libraries by
    their paths and would return that one."""
    # An absolute path, so that the loader does not search.
    path = path.resolve()
    status = path.stat()
    file = (status.st_dev, status.st_ino)
    if _opened.setdefault(str(path), file) == file:
        return ctypes.CDLL(str(path))
    with tempfile.TemporaryDirectory(prefix="pt2c-") as folder:
        link = Path(folder) / path.name
        link.symlink_to(path)
        return ctypes.CDLL(str(link))


class Library:
    """The files of one library, loaded."""

    def __init__(self, folder: Path, name: str, temporary: bool = False):
        self.folder, self.name = folder, name
        if temporary:
            weakref.finalize(self, shutil.rmtree, str(folder), ignore_errors=True)
        document = read_manifest(self.manifest)
        versions = (document["format"], document["abi"])
        if versions != (FORMAT, ABI):
            raise Error(f"{self.manifest} is of version {versions}; this package reads {(FORMAT, ABI)}: compile again")
        self.weights_file: str | None = document["weights_file"]
        try:
            self.functions = _open(self.shared)
        except OSError as error:
            raise Error(f"{self.shared} cannot be loaded: {error}") from None
        self.programs = {self._short(entry["name"]): Program(self, entry) for entry in document["entries"]}

    def _short(self, name: str) -> str:
        """What a program is called within the library."""
        return name.removeprefix(f"{self.name}_")

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def shared(self) -> Path:
        return self.folder / f"lib{self.name}.so"

    @property
    def archive(self) -> Path:
        return self.folder / f"lib{self.name}.a"

    @property
    def header(self) -> Path:
        return self.folder / f"{self.name}.h"

    @property
    def weights(self) -> Path | None:
        return self.folder / self.weights_file if self.weights_file else None

    def files(self) -> list[Path]:
        """Everything that belongs to it and is there."""
        package = [self.folder / f"{self.name}.pc", self.folder / f"{self.name}Config.cmake"]
        own = [self.manifest, self.shared, self.archive, self.header, *([self.weights] if self.weights else []), *package]
        return [file for file in own if file.is_file()]


class Program:
    """One program of a library: its interface and its functions."""

    def __init__(self, library: Library, interface: dict):
        self.library, self.interface = library, interface
        self.name: str = interface["name"]
        pointer, words = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
        self.create = self._function("create", ctypes.c_int32, [pointer, ctypes.POINTER(pointer)])
        self.destroy = self._function("destroy", None, [pointer])
        self.error = self._function("error", ctypes.c_char_p, [pointer])
        self.run = self._function("run", ctypes.c_int32, [pointer, words, words])
        self.output_shapes = self._function("output_shapes", ctypes.c_int32, [pointer, words, words])
        self.reset = self._function("reset", ctypes.c_int32, [pointer])
        self.state = self._function("state", pointer, [pointer, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)])
        self.share_state = self._function("share_state", ctypes.c_int32, [pointer, pointer])

    def _function(self, name: str, result, arguments: list):
        function = getattr(self.library.functions, f"{self.name}_{name}")
        function.restype, function.argtypes = result, arguments
        return function


def read_manifest(path: Path) -> dict:
    """What a NAME.json says."""
    try:
        document = json.loads(path.read_text())
        document["format"], document["abi"], document["library"], document["entries"]
        return document
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Error(f"{path} does not describe a library: {error}") from None


class Context:
    """One ``NAME_context``: working memory, state and threads."""

    def __init__(self, program: Program, threads: int):
        self.program = program
        library = program.library
        names = program.interface["capacity"]

        class Options(ctypes.Structure):
            _fields_ = [("fixed", _Options), ("capacity", ctypes.c_int64 * len(names))]

        options = Options()
        options.fixed.size = ctypes.sizeof(options)
        options.fixed.threads = threads
        if library.weights is not None:
            options.fixed.weights_file = str(library.weights.resolve()).encode()
        self.handle = ctypes.c_void_p()
        status = program.create(ctypes.addressof(options), ctypes.byref(self.handle))
        if self.handle:
            weakref.finalize(self, program.destroy, self.handle)
        self.check(status)

    def check(self, status: int) -> None:
        if status != 0:
            raise of_status(status, self.program.error(self.handle).decode(errors="replace"))

    def output_shapes(self, inputs, outputs) -> None:
        self.check(self.program.output_shapes(self.handle, inputs, outputs))

    def run(self, inputs, outputs) -> bool:
        """Runs a call; False: an output is too small, and its shape says what it needs."""
        status = self.program.run(self.handle, inputs, outputs)
        if status == CapacityError.status:
            return False
        self.check(status)
        return True

    def message(self) -> str:
        return self.program.error(self.handle).decode(errors="replace")

    def reset(self) -> None:
        self.check(self.program.reset(self.handle))

    def share_state(self, owner: Context) -> None:
        self.check(self.program.share_state(self.handle, owner.handle))
        self.owner = owner

    def state(self, index: int) -> ctypes.Array:
        """The memory of a buffer; it keeps the context alive."""
        size = ctypes.c_uint64()
        address = self.program.state(self.handle, index, ctypes.byref(size))
        memory = (ctypes.c_char * size.value).from_address(address)
        memory._context = self
        return memory
