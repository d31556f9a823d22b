"""What can go wrong, as exceptions. Every message is complete; the attributes are for programs."""

from __future__ import annotations

from dataclasses import dataclass, field


class Error(Exception):
    """Everything that this package raises by itself."""


class CommandNotFoundError(Error):
    """There is no ``pt2c`` command to compile with."""


class LinkError(Error):
    """The system's C compiler could not make a shared library."""


@dataclass(frozen=True)
class Diagnostic:
    """One finding of the compiler."""

    severity: str
    """``error``, ``warning`` or ``note``."""
    message: str
    rendered: str = ""
    """The text for a terminal, with the line of your program."""
    file: str | None = None
    line: int | None = None
    code: str | None = None
    """That line."""
    module: str | None = None
    """Path of the submodule that it belongs to."""
    subject: str | None = None
    notes: list[str] = field(default_factory=list)
    help: str | None = None


class CompileError(Error):
    """The program does not compile; the message shows the line of your program that is at fault."""

    def __init__(self, message: str, diagnostics: list[Diagnostic] = ()):  # type: ignore[assignment]
        super().__init__(message)
        self.diagnostics = list(diagnostics)


class RunError(Error):
    """A call failed. ``status`` is the library's code."""

    status: int | None = None


class ArgumentError(RunError, ValueError):
    """An argument has the wrong type, shape or nesting, or breaks a rule that the program was exported with."""

    status = 1


class CapacityError(RunError):
    """An output did not fit."""

    status = 2


class OutOfMemoryError(RunError, MemoryError):
    """There is not enough memory for these sizes."""

    status = 3


class WeightsError(RunError):
    """The weights file is missing, damaged or belongs to another library."""

    status = 4


class DataError(RunError):
    """A check inside the program failed on the values of this call (an index out of range, an assertion)."""

    status = 5


class ThreadError(RunError):
    """A thread could not be started."""

    status = 6


class CpuError(RunError):
    """This machine lacks instructions that the library was compiled for."""

    status = 7


class StateError(Error, KeyError):
    """There is no such buffer, or the value does not fit it."""

    __str__ = Exception.__str__


_BY_STATUS = {
    kind.status: kind
    for kind in (
        ArgumentError,
        CapacityError,
        OutOfMemoryError,
        WeightsError,
        DataError,
        ThreadError,
        CpuError,
    )
}


def of_status(status: int, message: str) -> RunError:
    """The exception for what a function of the library returned."""
    error = _BY_STATUS.get(status, RunError)(message)
    error.status = status
    return error
