"""A compiled model as a Python callable."""

from __future__ import annotations

import inspect
import math
import operator
import os
import shutil
import threading
from collections.abc import MutableMapping
from ctypes import c_int64
from pathlib import Path
from typing import Any, Iterator

from . import _arrays
from ._errors import ArgumentError, CapacityError, StateError
from ._library import Context, Program
from ._tree import Tree

_MISSING = object()
_CONSTANTS = {"none": lambda _: None, "float": float}


class State(MutableMapping):
    """The buffers that calls change, by their names in the module. Values are views: they show and change the buffer."""

    def __init__(self, model: Model):
        self._model = model
        self._specs = {spec["path"]: (index, spec) for index, spec in enumerate(model._program.interface["states"])}

    def __getitem__(self, path: str) -> Any:
        index, spec = self._find(path)
        arrays = _arrays.framework(self._model.framework)
        if math.prod(spec["shape"]) == 0:
            return arrays.empty(tuple(spec["shape"]), spec["dtype"])
        return arrays.view(self._model._context.state(index), tuple(spec["shape"]), spec["dtype"])

    def __setitem__(self, path: str, value: Any) -> None:
        _, spec = self._find(path)
        arrays = _arrays.of_value(value)
        if arrays is None or not arrays.fits(value, spec["dtype"]) or list(arrays.shape(value)) != spec["shape"]:
            raise StateError(f"buffer {path!r} must be {_describe(spec)}, not {_describe_value(value)}")
        if 0 in spec["shape"]:
            return
        with self._model._lock:
            index, _ = self._find(path)
            memory = self._model._context.state(index)
            arrays.assign(arrays.view(memory, tuple(spec["shape"]), spec["dtype"]), value)

    def __delitem__(self, path: str) -> None:
        raise StateError("buffers cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        return "State({" + ", ".join(f"{path!r}: {_describe(spec)}" for path, (_, spec) in self._specs.items()) + "})"

    def _find(self, path: str) -> tuple[int, dict]:
        if path not in self._specs:
            raise StateError(f"the program changes no buffer {path!r}; it changes: {', '.join(self._specs) or 'none'}")
        return self._specs[path]


class Model:
    """A compiled model. Call it as you would call the module.

    NumPy arrays in, NumPy arrays out; PyTorch tensors in, PyTorch tensors out. Calls of one model run one after the other;
    :meth:`clone` gives another one for another thread.
    """

    def __init__(self, program: Program, threads: int = 0, framework: str = "numpy"):
        interface = program.interface
        self._program = program
        self._library = program.library
        self._threads = threads
        self._context = Context(program, threads)
        self._lock = threading.Lock()
        self.framework = framework
        """``numpy`` or ``torch``: what calls without any tensor return, and what :attr:`state` holds."""
        self._input_tree = Tree(interface["input_tree"])
        self._output_tree = Tree(interface["output_tree"])
        self._inputs = {leaf["position"]: leaf for leaf in interface["inputs"]}
        self._constants: tuple[dict, dict] = ({}, {})
        for constant in interface["constants"]:
            value = _CONSTANTS.get(constant["kind"], lambda value: value)(constant["value"])
            self._constants[constant["output"]][constant["position"]] = value
        self._paths = {constant["position"]: constant["path"] for constant in interface["constants"] if not constant["output"]}
        self._input_type = c_int64 * max(interface["input_words"], 1)
        self._output_type = c_int64 * max(interface["output_words"], 1)
        self.state = State(self)
        self.__signature__ = self._signature()

    # What it is.

    @property
    def name(self) -> str:
        """Prefix of everything that the library exports."""
        return self._program.name

    @property
    def library(self) -> Path:
        """The static library, for C programs."""
        return self._library.archive

    @property
    def shared_library(self) -> Path:
        """The shared library that this object calls."""
        return self._library.shared

    @property
    def header(self) -> Path:
        """The C header."""
        return self._library.header

    @property
    def inputs(self) -> list[str]:
        """The inputs of a call, each with type and shape."""
        return [f"{leaf['path']}: {_describe(leaf)}" for leaf in self._program.interface["inputs"]]

    @property
    def outputs(self) -> list[str]:
        """The outputs of a call, each with type and shape."""
        return [f"{leaf['path']}: {_describe(leaf)}" for leaf in self._program.interface["outputs"]]

    def __repr__(self) -> str:
        return f"<pt2c.Model {self.name}({', '.join(self.inputs)}) -> {', '.join(self.outputs)}>"

    def save(self, folder: str | Path) -> Path:
        """Copies libraries, header and interface (and a weights file) into a folder, which ``pt2c.load`` reads. Files that are
        there are replaced; a model that was loaded from them goes on with what it has."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for file in self._library.files():
            if (folder / file.name).resolve() != file.resolve():
                _replace(file, folder / file.name)
        return folder

    # State.

    def reset(self) -> None:
        """Gives every buffer its content in the exported program."""
        with self._lock:
            self._context.reset()

    def share_state(self, owner: Model) -> None:
        """Uses the buffers of another program of the same library wherever both have one of the same name, type and shape:
        what a call of one writes, the next call of the other reads. The two must not run at the same time."""
        if owner._library is not self._library:
            raise StateError("state is shared between programs of one library, as pt2c.compile and pt2c.load give them together")
        if owner is self:
            return
        with self._lock:
            self._context.share_state(owner._context)

    def clone(self, threads: int | None = None) -> Model:
        """Another one with its own working memory and a copy of the present state; code and weights are shared."""
        other = Model(self._program, self._threads if threads is None else threads, self.framework)
        with self._lock:
            for index in range(len(self.state)):
                other._context.state(index)[:] = self._context.state(index)[:]
        return other

    def __copy__(self) -> Model:
        return self.clone()

    def __deepcopy__(self, memo: dict) -> Model:
        return self.clone()

    def __reduce__(self) -> Any:
        raise TypeError("a compiled model is no pickle: save() it to a folder, and pt2c.load() that in the other process")

    # Calling.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._flatten(args, kwargs)
        words = self._input_type()
        alive, changed, arrays = [], [], None
        for position, value in enumerate(leaves):
            leaf = self._inputs.get(position)
            if leaf is None:
                self._check_constant(position, value)
            elif leaf["kind"] == "int":
                words[leaf["word"]] = _integer(leaf, value)
            else:
                own = _arrays.of_value(value)
                dense = _dense(leaf, own, value)
                alive.append(dense)
                arrays = own if arrays is None or own.name == "torch" else arrays
                word = leaf["word"]
                words[word] = own.address(dense)
                words[word + 1 : word + 1 + len(leaf["shape"])] = own.shape(dense)
                if leaf["mutated"]:
                    if not own.writable(value):
                        raise ArgumentError(f'input "{leaf["path"]}" is changed by the call, but it is read-only')
                    if own.address(value) != own.address(dense):
                        changed.append((own, value, dense))
        with self._lock:
            results = self._run(words, arrays or _arrays.framework(self.framework))
        for own, value, dense in changed:
            own.assign(value, dense)
        return self._output_tree.unflatten(iter(results))

    def _run(self, words: Any, arrays: Any) -> list:
        outputs = self._output_type()
        self._context.output_shapes(words, outputs)
        leaves = self._program.interface["outputs"]
        held: dict[int, Any] = {}
        for leaf in leaves:
            if leaf["kind"] != "int":
                self._provide(leaf, outputs, arrays, held, max(outputs[leaf["word"] + 1], 0))
        # A size that only the call finds out, and that no bound is known for, may need another attempt for each output.
        for _ in range(2 * len(leaves) + 2):
            if self._context.run(words, outputs):
                break
            for leaf in leaves:
                needed = _elements(leaf, outputs)
                if leaf["kind"] != "int" and needed > outputs[leaf["word"] + 1]:
                    self._provide(leaf, outputs, arrays, held, needed)
        else:
            raise CapacityError(self._context.message())
        results = dict(self._constants[True])
        for leaf in leaves:
            results[leaf["position"]] = self._result(leaf, outputs, arrays, held)
        return [results.get(position) for position in range(self._output_tree.count)]

    @staticmethod
    def _provide(leaf: dict, outputs: Any, arrays: Any, held: dict, capacity: int) -> None:
        memory = arrays.empty((capacity,), leaf["dtype"])
        held[leaf["position"]] = memory
        outputs[leaf["word"]] = arrays.address(memory)
        outputs[leaf["word"] + 1] = capacity

    @staticmethod
    def _result(leaf: dict, outputs: Any, arrays: Any, held: dict) -> Any:
        word = leaf["word"]
        if leaf["kind"] == "int":
            return outputs[word]
        rank = len(leaf["shape"])
        result = arrays.head(held[leaf["position"]], tuple(outputs[word + 2 : word + 2 + rank]))
        if leaf["kind"] == "float":
            return result.item()
        if leaf["kind"] == "bool":
            return bool(result.item())
        return result

    # Arguments.

    def _arguments(self) -> tuple[list[tuple[str, Tree]], list[tuple[str, Tree]]]:
        """Names and trees of the arguments that the program was exported with: positional ones, and those by keyword."""
        positional, keyword = self._input_tree.children
        names = self._program.interface["arguments"]
        first = [
            (names[index] if index < len(names) else f"argument_{index}", child)
            for index, child in enumerate(positional.children)
        ]
        return first, list(zip(keyword.keys, keyword.children))

    def _signature(self) -> inspect.Signature:
        positional, keyword = self._arguments()
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [name for name, _ in positional + keyword]
        if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
            return inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])
        return inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def _flatten(self, args: tuple, kwargs: dict) -> list:
        """The leaves of a call. Arguments that are wholly constants of the program may be left out."""
        positional, keyword = self._arguments()
        every = positional + keyword
        usage = f"{self.name}({', '.join(name for name, _ in every)})"
        if len(args) > len(every):
            raise ArgumentError(f"{len(args)} arguments are given, but the program was exported as {usage}")
        unknown = [name for name in kwargs if name not in [known for known, _ in every]]
        if unknown:
            raise ArgumentError(
                f"there is no argument {unknown[0]!r}: the program was exported as {usage}; what the example inputs leave out is "
                "fixed at its default"
            )
        leaves: list = []
        for index, (name, tree) in enumerate(every):
            if index < len(args):
                if name in kwargs:
                    raise ArgumentError(f"argument {name!r} is given twice")
                tree.flatten(args[index], name, leaves)
            elif name in kwargs:
                tree.flatten(kwargs[name], name, leaves)
            else:
                positions = range(len(leaves), len(leaves) + tree.count)
                if not all(position in self._constants[False] for position in positions):
                    raise ArgumentError(f"argument {name!r} is missing: the program was exported as {usage}")
                leaves.extend([_MISSING] * tree.count)
        return leaves

    def _check_constant(self, position: int, value: Any) -> None:
        if value is _MISSING:
            return
        expected = self._constants[False].get(position)
        same = value is None if expected is None else _same(value, expected)
        if not same:
            raise ArgumentError(
                f'input "{self._paths.get(position, position)}" is {value!r}, but the program was exported with the fixed value '
                f"{expected!r}: export again with the other value, or make it a tensor"
            )


def _replace(source: Path, target: Path) -> None:
    """Copies a file to a new one that takes the place of ``target``: somebody may have the old one mapped, who would crash if it
    were written over."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.copy2(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(value, (int, float)):
        return value == expected or (math.isnan(value) and math.isnan(expected))
    return isinstance(value, (bool, int, float, str)) and type(value) is type(expected) and value == expected


def _integer(leaf: dict, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f'input "{leaf["path"]}" must be an integer, not {_describe_value(value)}') from None


def _dense(leaf: dict, arrays: Any, value: Any) -> Any:
    """The tensor as the library takes it, after its type and rank are checked (the library checks the sizes)."""
    if arrays is None:
        hint = ": make it a NumPy array or a tensor" if isinstance(value, (bool, int, float, list, tuple)) else ""
        raise ArgumentError(f'input "{leaf["path"]}" must be {_describe(leaf)}, not {_describe_value(value)}{hint}')
    if not arrays.fits(value, leaf["dtype"]) or len(arrays.shape(value)) != len(leaf["shape"]):
        raise ArgumentError(f'input "{leaf["path"]}" must be {_describe(leaf)}, not {_describe_value(value)}')
    return arrays.prepare(value)


def _elements(leaf: dict, outputs: Any) -> int:
    word = leaf["word"]
    return math.prod(outputs[word + 2 : word + 2 + len(leaf.get("shape", []))])


def _describe(leaf: dict) -> str:
    if leaf.get("kind") in ("int", "float", "bool"):
        return leaf["kind"]
    return f"{leaf['dtype']} [{', '.join(map(str, leaf['shape']))}]"


def _describe_value(value: Any) -> str:
    arrays = _arrays.of_value(value)
    if arrays is None:
        return f"{type(value).__name__} {value!r}"[:80]
    return f"{arrays.dtype(value)} [{', '.join(map(str, arrays.shape(value)))}]"
