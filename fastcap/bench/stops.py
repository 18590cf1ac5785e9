"""Signals that end a bench between two of its looks, so that none comes between what was made and
its removal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from fastcap.errors import Interrupted
from fastcap.signals import STOPS, Signals

Heed = Callable[[], None]


class _Ended(Interrupted):
    """By a signal, with the exit status that says so."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_status = 128 + number


@contextlib.contextmanager
def heeded() -> Iterator[Heed]:
    """Gives what is to be called often: it raises KeyboardInterrupt for Ctrl-C and Interrupted for
    the other signals, once. What came later, while things were removed, is heeded at the end."""
    with Signals((*STOPS, signal.SIGHUP)) as signals:
        raised = False

        def heed() -> None:
            nonlocal raised
            came = signals.wait(0)
            if came and not raised:
                raised = True
                raise KeyboardInterrupt if came[0] == signal.SIGINT else _Ended(came[0])

        yield heed
        heed()
