"""Nested Python values and their leaves, by the description that ``torch.export`` recorded.

Nothing is imported or executed for a type that the description names: containers of Python are known, classes that are
registered with ``torch.utils._pytree`` in this process are found there, any other becomes a :class:`Record`.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Mapping
from typing import Any, Callable, Iterator

from ._errors import ArgumentError


class Record(dict):
    """A value of a class that this process does not know: its fields as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _registered(type_name: str) -> Any:
    """The class that PyTorch's registry has for a serialised name."""
    pytree = sys.modules.get("torch.utils._pytree")
    return getattr(pytree, "SERIALIZED_TYPE_TO_PYTHON_TYPE", {}).get(type_name) if pytree else None


def _show(path: str) -> str:
    return f'"{path}"' if path else "the value"


class Tree:
    """A node: a leaf, or a container with children."""

    def __init__(self, document: dict):
        self.type: str | None = document["type"]
        self.fields: list[str] = document["fields"]
        self.children = [Tree(child) for child in document["children"]]
        self.count = 1 if self.type is None else sum(child.count for child in self.children)
        try:
            self.context = json.loads(document["context"]) if document["context"] else None
        except ValueError:
            self.context = document["context"]
        self.keys: list = []
        if self.is_dict:
            listed = self.context["dict_context"] if isinstance(self.context, dict) else self.context
            self.keys = list(listed or [])

    @property
    def is_sequence(self) -> bool:
        return self.type in ("builtins.tuple", "builtins.list", "collections.deque")

    @property
    def is_dict(self) -> bool:
        return self.type in ("builtins.dict", "collections.OrderedDict", "collections.defaultdict")

    def flatten(self, value: Any, path: str, leaves: list) -> None:
        """Appends the leaves of a value that has this structure."""
        if self.type is None:
            leaves.append(value)
            return
        for child, (name, part) in zip(self.children, self._parts(value, path)):
            child.flatten(part, path + name, leaves)

    def _parts(self, value: Any, path: str) -> Iterator[tuple[str, Any]]:
        expected = len(self.children)
        if self.is_sequence:
            if not isinstance(value, (tuple, list, deque)):
                raise ArgumentError(f"{_show(path)} must be a {self._python_name()} of {expected}, not {type(value).__name__}")
            if len(value) != expected:
                raise ArgumentError(f"{_show(path)} has {len(value)} items, but must have {expected}")
            return ((f"[{index}]", part) for index, part in enumerate(value))
        if self.is_dict:
            if not isinstance(value, Mapping):
                raise ArgumentError(f"{_show(path)} must be a dict, not {type(value).__name__}")
            missing = [key for key in self.keys if key not in value]
            extra = [key for key in value if key not in self.keys]
            if missing or extra:
                said = [f"lacks {missing}" if missing else "", f"has {extra}, which the program was exported without" if extra else ""]
                raise ArgumentError(f"{_show(path)} {' and '.join(filter(None, said))}")
            return ((f"[{key!r}]", value[key]) for key in self.keys)
        if self.fields and all(hasattr(value, name) for name in self.fields):
            return ((f".{name}", getattr(value, name)) for name in self.fields)
        if self.fields and isinstance(value, Mapping) and all(name in value for name in self.fields):
            return ((f".{name}", value[name]) for name in self.fields)
        if isinstance(value, tuple) and len(value) == expected:
            return ((f"[{index}]", part) for index, part in enumerate(value))
        pytree = sys.modules.get("torch.utils._pytree")
        node = pytree.SUPPORTED_NODES.get(type(value)) if pytree else None
        if node is not None:
            parts, _ = node.flatten_fn(value)
            if len(parts) == expected:
                return ((f"[{index}]", part) for index, part in enumerate(parts))
        raise ArgumentError(f"{_show(path)} must be a {self._python_name()}, not {type(value).__name__}")

    def _python_name(self) -> str:
        name = self.context if self.type == "collections.namedtuple" else self.type
        return str(name).removeprefix("builtins.")

    def unflatten(self, leaves: Iterator[Any]) -> Any:
        """The value that has these leaves."""
        if self.type is None:
            return next(leaves)
        parts = [child.unflatten(leaves) for child in self.children]
        if self.type == "builtins.tuple":
            return tuple(parts)
        if self.type == "builtins.list":
            return parts
        if self.type == "collections.deque":
            return deque(parts)
        if self.type == "collections.OrderedDict":
            return OrderedDict(zip(self.keys, parts))
        if self.type == "collections.defaultdict":
            return defaultdict(None, zip(self.keys, parts))
        if self.is_dict:
            return dict(zip(self.keys, parts))
        return self._class(parts)

    def _class(self, parts: list) -> Any:
        known = _registered(self.context if self.type == "collections.namedtuple" else self.type)
        if known is not None and issubclass(known, tuple) and hasattr(known, "_fields"):
            return known(*parts)
        if known is not None:
            built = _rebuild(known, self.type, self.context, parts)
            if built is not None:
                return built
        names = self.fields or [f"field{index}" for index in range(len(parts))]
        if self.type == "collections.namedtuple":
            name = str(self.context).rpartition(".")[2]
            plain = name.isidentifier() and all(field.isidentifier() for field in names)
            return namedtuple(name if plain else "Record", names, rename=True)(*parts)
        return Record(zip(names, parts))


def _rebuild(known: type, type_name: str, context: Any, parts: list) -> Any:
    """A value of a registered class, by the functions that it was registered with."""
    pytree = sys.modules["torch.utils._pytree"]
    node = pytree.SUPPORTED_NODES.get(known)
    serializer = pytree.SUPPORTED_SERIALIZED_TYPES.get(known)
    if node is None or serializer is None:
        return None
    load: Callable | None = serializer.from_dumpable_context
    return node.unflatten_fn(parts, load(context) if load else context)
