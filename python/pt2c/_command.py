"""Finding and running the ``pt2c`` command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from ._errors import CommandNotFoundError, CompileError, Diagnostic, LinkError


def find() -> str:
    """The command: the one of the environment variable ``PT2C``, else the one in this package, else the one in PATH."""
    named = os.environ.get("PT2C")
    if named:
        found = shutil.which(named)
        if found is None:
            raise CommandNotFoundError(f"the environment variable PT2C names {named!r}, which is no program")
        return found
    own = Path(__file__).parent / "bin" / "pt2c"
    found = str(own) if own.is_file() else shutil.which("pt2c")
    if found is None:
        raise CommandNotFoundError(
            "there is no pt2c command: this installation of the package has none in its bin folder, and there is none in "
            "PATH. Build it (cargo build --release) and set the environment variable PT2C to where it is."
        )
    return found


class Progress:
    """One line on a terminal that says what is being done; nothing elsewhere."""

    WIDTH = 32

    def __init__(self, shown: bool | None):
        self.shown = sys.stderr.isatty() if shown is None else shown
        self.length = 0

    def say(self, text: str) -> None:
        if self.shown:
            sys.stderr.write("\r" + text.ljust(self.length))
            sys.stderr.flush()
            self.length = len(text)

    def bar(self, what: str, done: int, of: int) -> None:
        filled = self.WIDTH * done // max(of, 1)
        self.say(f"{what} [{'#' * filled}{'-' * (self.WIDTH - filled)}] {done}/{of}")

    def clear(self) -> None:
        if self.shown and self.length:
            sys.stderr.write("\r" + " " * self.length + "\r")
            sys.stderr.flush()
            self.length = 0


def compile_programs(models: list[Path], output: Path, name: str, flags: list[str], progress: Progress) -> None:
    """Runs ``pt2c compile``; its warnings become Python's, its error a :class:`CompileError`."""
    command = [find(), "compile", *map(str, models), "-o", str(output), "--name", name, "--message-format", "json", "--quiet"]
    progress.say("pt2c: optimising")
    found: list[Diagnostic] = []
    other: list[str] = []
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        process = subprocess.Popen(
            command + flags, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        try:
            for line in process.stderr:
                _read_line(line, found, other, progress)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stderr.close()
            progress.clear()
    for diagnostic in found:
        if diagnostic.severity == "warning":
            warnings.warn(diagnostic.rendered, stacklevel=4)
    if code != 0:
        errors = [diagnostic.rendered for diagnostic in found if diagnostic.severity == "error"]
        said = "\n\n".join(errors) or "\n".join(other) or f"the command ended with code {code}"
        raise CompileError(f"the program does not compile:\n{said}", found)


def _read_line(line: str, found: list[Diagnostic], other: list[str], progress: Progress) -> None:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        other.append(line.rstrip())
    elif "progress" in message:
        progress.bar("pt2c: generating code", message["progress"]["done"], message["progress"]["of"])
    elif "diagnostic" in message:
        told = message["diagnostic"]
        place = told.pop("location", None) or {}
        place = {key: place.get(key) or None for key in ("file", "line", "code", "module")}
        found.append(Diagnostic(**place, **told))


def link_shared(folder: Path, name: str, programs: list[str], more: list[str]) -> Path:
    """Makes ``libNAME.so`` of ``libNAME.a`` with the system's C compiler (the environment variable CC names another). ``more``: sources,
    objects and libraries with what the library needs besides."""
    compilers = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    compiler = next((found for found in map(shutil.which, compilers) if found), None)
    if compiler is None:
        raise LinkError(
            f"there is no C compiler ({', '.join(compilers)}): install gcc or clang, or set the environment variable CC"
        )
    shared = folder / f"lib{name}.so"
    # Everything of the library is reached from its exported functions.
    exported = [f"-Wl,-u,{program}_create" for program in programs]
    command = [compiler, "-shared", "-o", str(shared), *exported, "-fPIC", "-O2", "-I", str(folder), *more]
    command += [str(folder / f"lib{name}.a"), "-Wl,-z,defs", "-lm", "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise LinkError(f"{compiler} cannot make a shared library:\n{done.stderr.strip()}")
    return shared
