"""From a PyTorch module, an exported program or a file to a callable."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _command
from ._errors import Error
from ._library import Library
from ._model import Model


def compile(
    program: Any,
    args: tuple | None = None,
    kwargs: dict | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: Sequence[str] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
    entry: str | None = None,
    decompositions: str | Path | None = None,
    name: str | None = None,
    cpu: str = "native",
    weights: str = "embed",
    threads: int = 0,
    output: str | Path | None = None,
    flags: Sequence[str] = (),
    progress: bool | None = None,
) -> Model:
    """Compiles a program and returns it as a callable.

    ``program`` is an ``nn.Module`` with its example inputs ``args`` and ``kwargs`` (``torch.export.export`` is called, with
    the parameters of that name), or an ``ExportedProgram``, or the path of one that was saved.

    ``entry``: take one call of a submodule as the program. ``decompositions``: a file of rules. ``name``: prefix of
    everything that the library exports. ``cpu``: the processor to compile for. ``weights``: ``embed``, or ``file`` for a
    mapped file beside the library. ``threads``: of one call (0 = as many as this process may use). ``output``: a folder for
    the files, which are temporary otherwise. ``flags``: more flags of ``pt2c compile``. ``progress``: whether to show it
    (by default on a terminal).

    Raises :class:`CompileError` with the line of your program that is at fault; what ``torch.export`` raises passes through.
    """
    shown = _command.Progress(progress)
    _command.find()
    options = ["--cpu", cpu, "--weights", weights, *flags]
    options += ["--entry", entry] if entry is not None else []
    options += ["--decompositions", str(decompositions)] if decompositions is not None else []
    if isinstance(program, (str, os.PathLike)):
        if args is not None or kwargs is not None:
            raise TypeError("a file holds an exported program: args and kwargs belong to a module")
        path = Path(program)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        return _build(path, name or _identifier(path.name), options, output, threads, _default_framework(), shown)
    import torch

    if not isinstance(program, torch.export.ExportedProgram):
        if not isinstance(program, torch.nn.Module):
            raise TypeError(
                f"cannot compile a {type(program).__name__}: pass an nn.Module, an ExportedProgram or the path of a .pt2 file"
            )
        if not isinstance(args, tuple) and (args is not None or kwargs is None):
            raise TypeError("args must be a tuple of example inputs, as for torch.export.export: pt2c.compile(module, (x,))")
        shown.say("torch.export")
        program = torch.export.export(
            program,
            args or (),
            kwargs,
            dynamic_shapes=dynamic_shapes,
            strict=strict,
            preserve_module_call_signature=tuple(preserve_module_call_signature),
            prefer_deferred_runtime_asserts_over_guards=prefer_deferred_runtime_asserts_over_guards,
        )
    elif args is not None or kwargs is not None or dynamic_shapes is not None:
        raise TypeError("the program is exported already: args, kwargs and dynamic_shapes belong to a module")
    with tempfile.TemporaryDirectory(prefix="pt2c-") as folder:
        path = Path(folder) / "model.pt2"
        shown.say("torch.export.save")
        torch.export.save(program, path)
        return _build(path, name or "model", options, output, threads, "torch", shown)


def load(path: str | Path, *, threads: int = 0, **options: Any) -> Model:
    """Loads a compiled model (the folder of :meth:`Model.save` or of ``pt2c compile``, or one of its files), or compiles a
    ``.pt2`` file with the options of :func:`compile`."""
    path = Path(path)
    if path.suffix == ".pt2":
        return compile(path, threads=threads, **options)
    if options:
        raise TypeError(f"{next(iter(options))} is an option of compiling, and {path} is compiled")
    if path.is_dir():
        found = sorted(file.stem for file in path.glob("*.json") if (path / f"lib{file.stem}.a").exists() or (path / f"lib{file.stem}.so").exists())
        if len(found) != 1:
            names = f"several: {', '.join(found)} (name one of the .json files)" if found else "none"
            raise Error(f"{path} should hold one compiled model, but holds {names}")
        folder, name = path, found[0]
    elif path.exists():
        folder = path.parent
        name = path.stem.removeprefix("lib") if path.suffix in (".a", ".so") else path.stem
    else:
        raise FileNotFoundError(f"there is no file or folder {path}")
    if not (folder / f"lib{name}.so").exists() and (folder / f"lib{name}.a").exists():
        _command.link_shared(folder, name)
    return Model(Library(folder, name), threads, _default_framework())


def _build(
    path: Path, name: str, options: list[str], output: Any, threads: int, framework: str, shown: _command.Progress
) -> Model:
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="pt2c-"))
    try:
        _command.compile_program(path, folder, name, options, shown)
        _command.link_shared(folder, name)
    except BaseException:
        if output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shown.clear()
    return Model(Library(folder, name, temporary=output is None), threads, framework)


def _default_framework() -> str:
    """What a call without tensors returns: PyTorch's, if the program uses PyTorch."""
    return "torch" if "torch" in sys.modules else "numpy"


def _identifier(file: str) -> str:
    """A file's name as a C identifier."""
    name = re.sub(r"[^A-Za-z0-9]", "_", file.removesuffix(".pt2"))[:48]
    return name if name[:1].isalpha() else f"model_{name}"
