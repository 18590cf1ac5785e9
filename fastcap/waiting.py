"""The main thread only waits: so that Ctrl-C is heard at once, whatever native code runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from fastcap._native.cancel import Cancel

T = TypeVar("T")


class NoMoreThreadsError(RuntimeError):
    """The system lets this process start no more threads."""


class _Work(threading.Thread, Generic[T]):
    def __init__(self, function: Callable[[Cancel], T]) -> None:
        super().__init__(name="fastcap")
        self.function = function
        self.cancel = Cancel()
        self.done = threading.Event()
        self.value: T
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self.function(self.cancel)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()


def run_waiting(function: Callable[[Cancel], T]) -> T:
    """Runs `function` in a thread of its own and waits for it. Whatever interrupts the wait sets
    the Cancel that the function was given, and is raised again once the function has ended."""
    work = _Work(function)
    try:
        work.start()
    except RuntimeError as error:
        raise NoMoreThreadsError(str(error)) from error
    try:
        work.done.wait()
    except BaseException:
        work.cancel.set()
        work.done.wait()
        raise
    work.join()
    if work.error is not None:
        raise work.error
    return work.value
