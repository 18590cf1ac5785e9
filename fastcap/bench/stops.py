"""Signals that end a bench between two of its looks, so that none comes between what was made and
its removal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from fastcap.errors import Interrupted
from fastcap.signals import STOPS, Signals

ENDS = (*STOPS, signal.SIGHUP)
Heed = Callable[[], None]


class _Ended(Interrupted):
    """By a signal, with the exit status that says so."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_status = 128 + number


def end_as(number: int) -> None:
    """As the signal asks, if it is one: KeyboardInterrupt for Ctrl-C, Interrupted for others."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number:
        raise _Ended(number)


@contextlib.contextmanager
def heeded() -> Iterator[Heed]:
    """Gives what is to be called often: it raises what `end_as` does, once. What came later, while
    things were removed, is heeded at the end."""
    with Signals(ENDS) as signals:
        raised = False

        def heed() -> None:
            nonlocal raised
            came = signals.wait(0)
            if came and not raised:
                raised = True
                end_as(came[0])

        yield heed
        heed()
