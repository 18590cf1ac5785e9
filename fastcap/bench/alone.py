"""One bench at a time: two would spoil each other's figures."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from fastcap.errors import UsageError

# Abstract (unix(7)): of one network namespace, and gone with whoever has it, however that ends.
_NAME = "\0fastcap-bench"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """UsageError where another bench is measuring."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(_NAME)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # no such names here, so nobody can be asked
                yield
                return
            raise UsageError(
                "another fastcap bench is measuring here; each would spoil the other's figures"
            ) from None
        yield
