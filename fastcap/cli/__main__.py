"""Entry point: `fastcap`, `python -m fastcap.cli`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Runs the command in sys.argv and ends the process with its status."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before click is imported
        from fastcap import __version__

        print(f"fastcap {__version__}")
        return
    gc.disable()  # a tenth of the start-up; app.py turns it on when the imports are over
    try:
        from fastcap.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)

    status = run(sys.argv[1:])
    _leave_at_once(status)
    sys.exit(status)


def _leave_at_once(status: int) -> None:
    """Where nobody misses the interpreter's own end, which takes every module and object apart
    before the kernel gets their memory. What it would do for others is done here: functions for
    the end are called, and what was printed is written; where it cannot be, it says so itself."""
    import atexit
    import threading

    if threading.active_count() == 1 and not _is_watched():
        atexit._run_exitfuncs()
        if _is_flushed():
            os._exit(status)


def _is_watched() -> bool:
    """By a debugger, a profiler, a coverage tool, or somebody who looks at what is left."""
    monitoring = getattr(sys, "monitoring", None)  # since Python 3.12
    return bool(
        sys.gettrace()
        or sys.getprofile()
        or (monitoring and any(monitoring.get_tool(number) for number in range(6)))
        or sys.flags.dev_mode
        or sys.flags.inspect
    )


def _is_flushed() -> bool:
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # no room, nobody reads it; closed
        return False
    return True


if __name__ == "__main__":
    main()
