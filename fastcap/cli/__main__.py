"""Entry point: `fastcap`, `python -m fastcap.cli`."""

from __future__ import annotations

import gc
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

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
