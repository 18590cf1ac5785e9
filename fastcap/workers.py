"""Threads for tasks: of concurrent.futures what a run needs, without the 4 ms of its imports."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from fastcap.waiting import Work, start_thread

T = TypeVar("T")


class Workers:
    """At most `most` threads, started as work comes, which begin it in its order. Close them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.threads: list[threading.Thread] = []
        self.waiting: deque[Work[Any]] = deque()
        self.idle = 0  # threads that wait, those included that were woken for what is waiting
        self.is_closed = False
        self.changed = threading.Condition()

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Work[T]:
        """NoMoreThreadsError where a thread is needed and the system has none."""
        work = Work(function, *arguments)
        with self.changed:
            if self.is_closed:
                raise RuntimeError("work for workers that were closed")
            if self.idle <= len(self.waiting) and len(self.threads) < self.most:
                self.threads.append(start_thread(self._work, "fastcap-worker"))
            self.waiting.append(work)
            self.changed.notify()
        return work

    def close(self) -> None:
        """Cancels what has not begun, and waits for what has."""
        with self.changed:
            self.is_closed = True
            for work in self.waiting:
                work.cancel()
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self.changed:
                while not self.waiting:
                    if self.is_closed:
                        return
                    self.idle += 1
                    self.changed.wait()
                    self.idle -= 1
                work = self.waiting.popleft()
            work.run()
            del work  # and its result, while this thread is idle
