"""Sends a load inside a network namespace: run_load.py '{"interface": …}', a Load's fields as JSON.

Prints what it sent, or why not, as JSON. It is cancelled when standard input ends.
"""

from __future__ import annotations

import json
import sys
import threading

from fastcap._native.cancel import Cancel
from fastcap.bench.generator import Load
from fastcap.errors import FastcapError


def main(text: str) -> None:
    fields = json.loads(text)
    for name in ("sizes", "cpus"):
        if name in fields:
            fields[name] = tuple(tuple(item) if name == "sizes" else item for item in fields[name])
    cancel = Cancel()

    def cancel_at_the_end() -> None:
        sys.stdin.read()
        cancel.set()

    threading.Thread(target=cancel_at_the_end, daemon=True).start()
    try:
        sent = Load(**fields).send(cancel)
    except (FastcapError, KeyboardInterrupt) as error:
        print(json.dumps({"error": str(error) or "interrupted"}))
        return
    print(json.dumps({"threads": [thread._asdict() for thread in sent.threads],
                      "asked": sent.asked}))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
