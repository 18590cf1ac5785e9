"""The main thread only waits: so that Ctrl-C is heard at once, whatever native code runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fastcap._native.cancel import Cancel
from fastcap.errors import Interrupted

T = TypeVar("T")


class NoMoreThreadsError(RuntimeError):
    """The system lets this process start no more threads."""


class Work(Generic[T]):
    """A call that another thread makes: of concurrent.futures.Future what is needed here."""

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments
        self.is_cancelled = False
        self.done = threading.Event()
        self.value: T
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if self.is_cancelled:
                raise Interrupted("cancelled before it began")
            self.value = self.function(*self.arguments)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        """Where it has not begun it never will; then `result` raises Interrupted."""
        self.is_cancelled = True

    def result(self) -> T:
        """Waits for the call; what it returned, or raises what it raised."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


def start_thread(function: Callable[[], None], name: str) -> threading.Thread:
    """NoMoreThreadsError where the system has none."""
    thread = threading.Thread(target=function, name=name)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoMoreThreadsError(str(error)) from error
    return thread


def run_waiting(function: Callable[[Cancel], T]) -> T:
    """Runs `function` in a thread of its own and waits for it. Whatever interrupts the wait sets
    the Cancel that the function was given, and is raised again once the function has ended."""
    cancel = Cancel()
    work = Work(function, cancel)
    thread = start_thread(work.run, "fastcap")
    try:
        work.done.wait()
    except BaseException:
        cancel.set()
        work.done.wait()
        raise
    thread.join()
    return work.result()
