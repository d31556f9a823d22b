"""From a PyTorch module, an exported program or a file to a callable."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _command
from ._errors import Error, LinkError
from ._library import Library, read_manifest
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
    entry: str | Sequence[str] | None = None,
    decompositions: str | Path | None = None,
    name: str | None = None,
    cpu: str = "native",
    weights: str = "embed",
    threads: int = 0,
    output: str | Path | None = None,
    link: Sequence[str | Path] = (),
    flags: Sequence[str] = (),
    progress: bool | None = None,
) -> Any:
    """Compiles a program and returns it as a callable: a :class:`Model`.

    ``program`` is an ``nn.Module`` with its example inputs ``args`` and ``kwargs`` (``torch.export.export`` is called, with
    the parameters of that name), or an ``ExportedProgram``, or the path of one that was saved. A dict of such programs or
    paths becomes one library with one copy of the weights that are equal, and the result is a dict of models.

    ``entry``: take one call of a submodule as the program; of several (``"encoder"``, ``"step=decoder"``), each becomes a
    model, and the result is a dict of them by name. ``decompositions``: a file of rules. ``name``: prefix of
    everything that the library exports. ``cpu``: the processor to compile for. ``weights``: ``embed``, or ``file`` for a
    mapped file beside the library. ``threads``: of one call (0 = as many as this process may use). ``output``: a folder for
    the files, which are temporary otherwise. ``link``: C sources, objects and libraries with the functions of custom operators.
    ``flags``: more flags of ``pt2c compile``. ``progress``: whether to show it
    (by default on a terminal).

    Raises :class:`CompileError` with the line of your program that is at fault; what ``torch.export`` raises passes through.
    """
    shown = _command.Progress(progress)
    _command.find()
    options = ["--cpu", cpu, "--weights", weights, *flags]
    modules = [entry] if isinstance(entry, str) else list(entry or ())
    for module in modules:
        options += ["--entry", module]
    several = isinstance(program, Mapping) or (entry is not None and not isinstance(entry, str))
    options += ["--decompositions", str(decompositions)] if decompositions is not None else []
    if not isinstance(program, (str, os.PathLike, Mapping)):
        program = _export(
            program,
            args,
            kwargs,
            shown,
            dynamic_shapes=dynamic_shapes,
            strict=strict,
            preserve_module_call_signature=tuple(preserve_module_call_signature),
            prefer_deferred_runtime_asserts_over_guards=prefer_deferred_runtime_asserts_over_guards,
        )
    elif args is not None or kwargs is not None or dynamic_shapes is not None:
        raise TypeError("the program is exported already: args, kwargs and dynamic_shapes belong to a module")
    if name is None:
        name = _identifier(Path(program).name) if isinstance(program, (str, os.PathLike)) else "model"
    with tempfile.TemporaryDirectory(prefix="pt2c-") as folder:
        for one in program.values() if isinstance(program, Mapping) else [program]:
            options += [flag for schema in _writing(one) for flag in ("--schema", schema)]
        if isinstance(program, Mapping):
            paths = [_file(one, Path(folder) / f"{key}.pt2", True, shown) for key, one in program.items()]
        else:
            paths = [_file(program, Path(folder) / "model.pt2", False, shown)]
        library = _build(paths, name, options, output, [str(file) for file in link], shown)
    framework = _default_framework()
    models = {key: Model(one, threads, framework) for key, one in library.programs.items()}
    return models if several else next(iter(models.values()))


def _export(program: Any, args: Any, kwargs: Any, shown: _command.Progress, **options: Any) -> Any:
    """The exported program of a module, or the program itself if it is one."""
    try:
        import torch
    except ImportError as error:
        message = f"compiling a {type(program).__name__} needs PyTorch; without it, give the path of a .pt2 file"
        raise ModuleNotFoundError(message, name=error.name) from error

    if isinstance(program, torch.export.ExportedProgram):
        if args is not None or kwargs is not None or options["dynamic_shapes"] is not None:
            raise TypeError("the program is exported already: args, kwargs and dynamic_shapes belong to a module")
        return program
    if not isinstance(program, torch.nn.Module):
        raise TypeError(
            f"cannot compile a {type(program).__name__}: pass an nn.Module, an ExportedProgram or the path of a .pt2 file"
        )
    if not isinstance(args, tuple) and (args is not None or kwargs is None):
        raise TypeError("args must be a tuple of example inputs, as for torch.export.export: pt2c.compile(module, (x,))")
    shown.say("torch.export")
    return torch.export.export(program, args or (), kwargs, **options)


def _writing(program: Any) -> list[str]:
    """The schemas of the custom operators in a program that write their arguments: archives do not hold them."""
    if isinstance(program, (str, os.PathLike)):
        return []
    import torch

    found = set()
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for called in (node.target, *node.args):
                if isinstance(called, torch._ops.OpOverload) and called.namespace not in ("aten", "prim", "prims"):
                    if called._schema.is_mutable:
                        found.add(str(called._schema))
    return sorted(found)


def _file(program: Any, place: Path, named: bool, shown: _command.Progress) -> Path:
    """The file of a program, which is saved if it has none; ``named``: the file must have the name of ``place``."""
    if isinstance(program, (str, os.PathLike)):
        path = Path(program)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        if named:
            place.symlink_to(path.resolve())
            return place
        return path
    import torch

    if not isinstance(program, torch.export.ExportedProgram):
        raise TypeError(f"cannot compile a {type(program).__name__}: pass an ExportedProgram or the path of a .pt2 file")
    shown.say("torch.export.save")
    torch.export.save(program, place)
    return place


def load(path: str | Path, *, entry: str | None = None, threads: int = 0, **options: Any) -> Model:
    """Loads a compiled model (the folder of :meth:`Model.save` or of ``pt2c compile``, or one of its files), or compiles a
    ``.pt2`` file with the options of :func:`compile`. ``entry`` names the program in a library of several."""
    path = Path(path)
    if path.suffix == ".pt2":
        return compile(path, entry=entry, threads=threads, **options)
    if options:
        raise TypeError(f"{next(iter(options))} is an option of compiling, and {path} is compiled")
    programs = load_library(path, threads=threads)
    if entry is None and len(programs) == 1:
        return next(iter(programs.values()))
    if entry not in programs:
        what = "name one with entry=" if entry is None else f"none is called {entry!r}"
        raise Error(f"{path} holds the programs {', '.join(programs)}: {what}")
    return programs[entry]


def load_library(path: str | Path, *, threads: int = 0) -> dict[str, Model]:
    """All programs of a compiled library by name; their state can be shared (:meth:`Model.share_state`)."""
    path = Path(path)
    if path.is_dir():
        found = [file for file in sorted(path.glob("*.json")) if any((path / f"lib{file.stem}{end}").exists() for end in (".a", ".so"))]
        if len(found) != 1:
            names = f"several: {', '.join(file.name for file in found)} (name one of these files)" if found else "none"
            raise Error(f"{path} should hold one compiled library, but holds {names}")
        folder, name = path, found[0].stem
    elif path.exists():
        if path.suffix not in (".a", ".so", ".h", ".json"):
            raise Error(f"{path} is neither a .pt2 program nor a file of a compiled library (libNAME.so, libNAME.a, NAME.h, NAME.json)")
        folder = path.parent
        name = path.stem.removeprefix("lib") if path.suffix in (".a", ".so") else path.stem
    else:
        raise FileNotFoundError(f"there is no file or folder {path}")
    shared, archive = folder / f"lib{name}.so", folder / f"lib{name}.a"
    if archive.exists() and not shared.exists():
        _link(folder, name, [])
    elif archive.exists() and shared.stat().st_mtime_ns < archive.stat().st_mtime_ns:
        # Compiled again since; or files were copied in this order, to a machine that may have no compiler.
        try:
            _link(folder, name, [])
        except LinkError:
            pass
    framework = _default_framework()
    return {key: Model(program, threads, framework) for key, program in Library(folder, name).programs.items()}


def _link(folder: Path, name: str, more: list[str]) -> None:
    entries = read_manifest(folder / f"{name}.json")["entries"]
    _command.link_shared(folder, name, [entry["name"] for entry in entries], more)


def _build(
    paths: list[Path], name: str, options: list[str], output: Any, link: list[str], shown: _command.Progress
) -> Library:
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="pt2c-"))
    try:
        _command.compile_programs(paths, folder, name, options, shown)
        _link(folder, name, link)
    except BaseException:
        if output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shown.clear()
    return Library(folder, name, temporary=output is None)


def _default_framework() -> str:
    """What a call without tensors returns: PyTorch's, if the program uses PyTorch."""
    return "torch" if "torch" in sys.modules else "numpy"


def _identifier(file: str) -> str:
    """A file's name as a C identifier."""
    name = re.sub(r"[^A-Za-z0-9]", "_", file.removesuffix(".pt2"))[:48]
    return name if name[:1].isalpha() else f"model_{name}"
