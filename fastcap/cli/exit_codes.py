"""Exit statuses. Scripts rely on them."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
DAMAGED = 3  # finished, but input was damaged or frames were lost
INTERRUPTED = 130  # 128 + SIGINT; other signals likewise
