"""Who runs filters in user space: machine code, by the package fastcap-jit, or the interpreter.

Both do the same; fastcap needs no fastcap-jit. ARCHITECTURE.md says how a program becomes code.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcap._native.program import CODE_ABI
from fastcap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcap.language.program import Packed, Program

ENGINES = ("auto", "jit", "interpreter")
VARIABLE = "FASTCAP_ENGINE"
_MOST_KEPT = 16  # machine codes that somebody may ask for again: a worker, for each original


class Engine(NamedTuple):
    """`name` is "jit" or "interpreter"; `why` says why it is the interpreter, else ""; `defect`,
    that this is a fault, and not just what is installed or asked for."""

    name: str
    why: str = ""
    defect: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.why}" if self.why else self.name

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "why": self.why}

    def notes(self) -> list[str]:
        """What the user should see though nobody asked."""
        return [f"machine code: {self.why}; the interpreter filters"] if self.defect else []


class MachineCode:
    """Machine code for programs: of one for single frames, or with `judge` of several for groups of
    frames. The code is where `address` says, as long as this object lives; any number of threads
    may run it. Made by `machine_code`."""

    __slots__ = ("_made", "address", "judge", "packed", "programs")

    def __init__(self, made: Any, packed: tuple[Packed, ...], judge: bool) -> None:
        self._made = made
        self.address: int = made.address
        self.packed = packed
        self.judge = judge
        self.programs = len(packed)

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.packed, self.judge)  # in a process of its own it is made anew


def wanted(engine: str) -> str:
    """What is asked for: by an option, or where that says "auto" by the environment's
    FASTCAP_ENGINE. UsageError for what is no engine, and for "jit" without fastcap-jit."""
    if engine not in ENGINES:
        raise UsageError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}")
    told = os.environ.get(VARIABLE) or "auto"
    if told not in ENGINES:
        raise UsageError(f"{VARIABLE} is one of {', '.join(ENGINES)}, not {told!r}")
    asked = told if engine == "auto" else engine
    if asked == "jit" and _load()[0] is None:
        raise UsageError(f"engine jit: {_load()[1]}")
    return asked


def machine_code(
    programs: Sequence[Program], engine: str, *, judge: bool
) -> tuple[MachineCode | None, Engine]:
    """Machine code for programs, if the engine asked for allows it and there can be any, and who
    runs them then. UsageError where "jit" is asked for and there is none."""
    asked = wanted(engine)
    if asked == "interpreter":
        return None, Engine("interpreter", "asked for")
    try:
        return _make(tuple(program.packed() for program in programs), judge), Engine("jit")
    except _NoCode as no_code:
        if asked == "jit":
            raise UsageError(f"engine jit: {no_code}") from no_code
        return None, Engine("interpreter", str(no_code), no_code.defect)


class _NoCode(Exception):
    """Why there is no machine code."""

    def __init__(self, why: str, defect: bool = False) -> None:
        super().__init__(why)
        self.defect = defect


@lru_cache(1)
def _load() -> tuple[Any, str]:
    """The module, or why there is none."""
    try:
        import fastcap_jit
    except ModuleNotFoundError:
        return None, "fastcap-jit is not installed"
    except Exception as error:  # whatever is called so, it must not end a filter
        return None, f"fastcap-jit cannot be loaded: {error}"
    if getattr(fastcap_jit, "ABI", None) != CODE_ABI:
        version = getattr(fastcap_jit, "__version__", "of no version")
        return None, f"fastcap-jit {version} is for another version of fastcap"
    return fastcap_jit, ""


@lru_cache(_MOST_KEPT)  # which does not keep what failed: memory may be there the next time
def _make(packed: tuple[Packed, ...], judge: bool) -> MachineCode:
    module, why = _load()
    if module is None:
        raise _NoCode(why)
    try:
        return MachineCode(module.MachineCode(list(packed), judge), packed, judge)
    except module.Unavailable as error:
        raise _NoCode(str(error), isinstance(error, module.Defect)) from error
    except ValueError as error:  # our own checker took them
        raise _NoCode(str(error), True) from error


def _again(packed: tuple[Packed, ...], judge: bool) -> MachineCode | None:
    try:
        return _make(packed, judge)
    except _NoCode:
        return None
